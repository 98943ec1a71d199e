"""The released networks in plain NumPy and float64, written from their description with PyTorch's names.

One image at a time, [C,H,W] in [-1,1]; parameters under their released names. Slow and literal: it is what
the Flax network is compared with where no recorded outputs are at hand.
"""

import cv2
import numpy as np
from scipy import ndimage


class Parameters:
    """State dict with a moving prefix: p["a.b"] reads prefix + "a.b"."""

    def __init__(self, state: dict[str, np.ndarray], prefix: str = ""):
        self.state, self.prefix = state, prefix

    def __truediv__(self, name: str) -> "Parameters":
        return Parameters(self.state, f"{self.prefix}{name}.")

    def __getitem__(self, name: str) -> np.ndarray:
        return self.state[self.prefix + name].astype(np.float64)

    def __contains__(self, name: str) -> bool:
        return any(key.startswith(self.prefix + name) for key in self.state)


def conv(x, p, *, padding="valid", stride=1):
    weight = p["weight"]
    size = weight.shape[2]
    if padding != "valid":
        r = size // 2
        mode = {"reflect": "reflect", "zero": "constant"}[padding]
        x = np.pad(x, ((0, 0), (r, r), (r, r)), mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    if weight.shape[1] == 1 and weight.shape[0] == x.shape[0] and size > 1:
        y = np.einsum("chwij,cij->chw", windows, weight[:, 0])
    else:
        y = np.einsum("chwij,ocij->ohw", windows, weight)
    return y + p["bias"][:, None, None] if "bias" in p else y


def rescaled_norm(x, p):
    mean = x.mean()
    std = np.sqrt(((x - mean) ** 2).mean() + 1e-5)
    normed = (x - mean) / std * p["weight"][0] + p["bias"][0]

    def head(q, value):
        return (q["weight"][:, 0, 0, 0] * value + q["bias"])[:, None, None]

    return normed, head(p / "meta1", std), head(p / "meta2", mean)


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def window_attention(qkv, p, heads):
    """One window's tokens [64, 3C]."""
    tokens, c3 = qkv.shape
    c, d = c3 // 3, c3 // 3 // heads
    y, x = np.divmod(np.arange(tokens), 8)
    out = np.empty((tokens, c))
    delta = np.stack([y[:, None] - y[None], x[:, None] - x[None]], -1).astype(float)
    offsets = np.sign(delta) * np.log(1 + np.abs(delta))
    hidden = np.maximum(offsets @ p["meta.0.weight"].T + p["meta.0.bias"], 0)
    bias = hidden @ p["meta.2.weight"].T + p["meta.2.bias"]
    for h in range(heads):
        q, k, v = (qkv[:, i * c + h * d : i * c + (h + 1) * d] for i in range(3))
        out[:, h * d : (h + 1) * d] = softmax(q @ k.T / np.sqrt(d) + bias[..., h], 1) @ v
    return out


def attention_unit(x, p, heads, shift):
    _, h, w = x.shape
    value = conv(x, p / "V")
    total = 0.0
    if "QK" in p:
        qkv = np.concatenate([conv(x, p / "QK"), value])
        bottom, right = (shift + (-h) % 8) % 8, (shift + (-w) % 8) % 8
        padded = np.pad(qkv, ((0, 0), (shift, bottom), (shift, right)), mode="reflect")
        merged = np.empty((x.shape[0], *padded.shape[1:]))
        for i in range(0, padded.shape[1], 8):
            for j in range(0, padded.shape[2], 8):
                tokens = padded[:, i : i + 8, j : j + 8].reshape(len(padded), 64).T
                merged[:, i : i + 8, j : j + 8] = window_attention(tokens, p / "attn", heads).T.reshape(
                    -1, 8, 8
                )
        total = total + merged[:, shift : shift + h, shift : shift + w]
    if "conv." in p:
        total = total + conv(value, p / "conv", padding="reflect")
    return conv(total, p / "proj")


def mlp(x, p):
    return conv(np.maximum(conv(x, p / "mlp.0"), 0), p / "mlp.2")


def main_block(x, p, heads, shift):
    if "norm1" in p:
        normed, rescale, rebias = rescaled_norm(x, p / "norm1")
        x = x + attention_unit(normed, p / "attn", heads, shift) * rescale + rebias
    else:
        x = x + attention_unit(x, p / "attn", heads, shift)
    return x + mlp(x, p / "mlp")


def encoder_block(x, p):
    x = conv(x, p / "mlp")
    normed, rescale, rebias = rescaled_norm(x, p / "norm1")
    x = x + attention_unit(normed, p / "attn", 1, 0) * rescale + rebias
    normed, rescale, rebias = rescaled_norm(x, p / "norm2")
    return x + mlp(normed, p / "ffn") * rescale + rebias


def prompt_embedding(feature, prompt, p, heads, suffix=""):
    joint = attention_unit(np.concatenate([feature, prompt]), p / "attention", heads, 0)
    return conv(conv(joint, p / f"conv1x1{suffix}"), p / f"conv3x3{suffix}", padding="zero")


def resize(x, size, *, corners):
    """Bilinear, by interpolation at explicit source coordinates."""
    grids = []
    for n, m in zip(x.shape[1:], size, strict=True):
        k = np.arange(m)
        source = k * (n - 1) / max(m - 1, 1) if corners else (k + 0.5) * n / m - 0.5
        grids.append(np.clip(source, 0, n - 1))
    mesh = np.meshgrid(*grids, indexing="ij")
    return np.stack([ndimage.map_coordinates(plane, mesh, order=1, mode="nearest") for plane in x])


def weighted_prompt(logits, pool, size, *, corners):
    mixed = np.tensordot(softmax(logits, 0), pool[0], axes=1)
    return resize(mixed, size, corners=corners)


def density(feature):
    """Haze density with OpenCV's filters, as the released code computes it."""
    mean = feature.astype(np.float32).mean(axis=0)
    mean = (mean - mean.min()) / (mean.max() - mean.min() + np.float32(1e-8))
    guide = (mean * np.float32(255)).astype(np.uint8) / 255.0
    dark = cv2.erode(guide, np.ones((15, 15)))
    source = 1 - 0.95 * dark

    def box(image):
        return cv2.boxFilter(image, cv2.CV_64F, (60, 60))

    mean_i, mean_p = box(guide), box(source)
    a = (box(guide * source) - mean_i * mean_p) / (box(guide * guide) - mean_i**2 + 1e-4)
    b = mean_p - a * mean_i
    return 1 - (box(a) * guide + box(b))


def selective_fusion(a, b, p):
    pooled = (a + b).mean(axis=(1, 2))
    hidden = np.maximum(p["mlp.0.weight"][:, :, 0, 0] @ pooled, 0)
    shares = softmax((p["mlp.2.weight"][:, :, 0, 0] @ hidden).reshape(2, -1), 0)[:, :, None, None]
    return a * shares[0] + b * shares[1]


def pixel_shuffle(x):
    c, h, w = x.shape[0] // 4, *x.shape[1:]
    return x.reshape(c, 2, 2, h, w).transpose(0, 3, 1, 4, 2).reshape(c, 2 * h, 2 * w)


def dehaze(hazy, infrared, p, *, depths, num_heads, prompt_heads, haze=None):
    """Sides must be multiples of 4. Returns (dehazed, infrared of three channels, density)."""
    f_vi, f_ir = (encoder_block(x, p / "restormer_encoder") for x in (hazy, infrared))
    block = p / "PromptGenerationAndEmbeddingBlock"
    logits = block["linear_layer.weight"] @ (f_vi - f_ir).mean(axis=(1, 2)) + block["linear_layer.bias"]
    prompt = weighted_prompt(logits, block["prompt_param"], hazy.shape[1:], corners=False)
    prompt = conv(prompt, block / "conv3x3_gen", padding="zero")
    embedded = prompt_embedding(f_ir, prompt, block, prompt_heads, "_embed")
    haze = density(f_vi) if haze is None else haze
    x = embedded * haze + f_vi * (1 - haze) + f_vi

    def layer(number, x):
        for i in range(depths[number - 1]):
            x = main_block(x, p / f"layer{number}.blocks.{i}", num_heads[number - 1], 4 * (i % 2))
        return x

    def fuse(number, x, skip):
        return x + selective_fusion(x, skip, p / f"fusion{number}")

    x = conv(x, p / "patch_embed.proj", padding="reflect")
    skip0 = conv(x, p / "skip0")
    x = skip1 = layer(1, x)
    x = skip2 = layer(2, conv(x, p / "patch_merge1.proj", stride=2))
    x = layer(3, conv(x, p / "patch_merge2.proj", stride=2))
    x = layer(4, fuse(1, pixel_shuffle(conv(x, p / "patch_split1.proj.0")), conv(skip2, p / "skip2")))
    x = layer(5, fuse(2, pixel_shuffle(conv(x, p / "patch_split2.proj.0")), conv(skip1, p / "skip1")))
    dehazed = conv(fuse(3, x, skip0), p / "patch_unembed.proj.0", padding="reflect")
    return dehazed, conv(f_ir, p / "conv24_3"), haze


def fuse(visible, infrared, p, *, stages):
    """Sides must be multiples of 2^(stages - 1)."""
    size = visible.shape[1:]
    block = p / "prompt_gen_block"
    pooled = conv(infrared - visible, block / "conv1").mean(axis=(1, 2))
    logits = block["linear_layer.weight"] @ pooled + block["linear_layer.bias"]
    prompt = weighted_prompt(logits, block["prompt_param"], size, corners=True)
    prompt = conv(conv(prompt, block / "conv3x3", padding="zero"), block / "adjust_channels")

    def embed(x, where):
        q = conv(resize(prompt, x.shape[1:], corners=True), p / f"prompt_adjust_conv_{where}")
        return x + prompt_embedding(x, q, p / f"prompt_in_blocks_{where}", 1)

    x, skips = np.concatenate([visible, infrared]), []
    for stage in range(1, stages + 1):
        if stage > 1:
            c, h, w = x.shape
            x = x.reshape(c, h // 2, 2, w // 2, 2).max(axis=(2, 4))
        x = embed(encoder_block(x, p / f"encoder{stage}"), f"enc.{stage - 1}")
        skips.append(x)
    for position, stage in enumerate(range(stages - 1, 0, -1)):
        x = resize(x, (2 * x.shape[1], 2 * x.shape[2]), corners=True)
        x = embed(encoder_block(x, p / f"decoder{stage + 1}"), f"dec.{position}")
        x = x + conv(skips[stage - 1], p / f"skip_conv{stage}")
    return conv(x, p / "final_conv")
