"""The blocks of the released networks in PyTorch, with the released parameter names."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iassf_jax.checkpoints.released_names import relative_positions

WINDOW = 8  # side of an attention window, pixels


class RescaledNorm(nn.Module):
    """Layer norm over a whole image that also predicts a scale and a shift from its statistics."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.meta1, self.meta2 = nn.Conv2d(1, channels, 1), nn.Conv2d(1, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        centred = x - mean
        std = (centred.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-5).sqrt()
        return centred / std * self.weight + self.bias, self.meta1(std), self.meta2(mean)


class WindowAttention(nn.Module):
    """Attention within windows [n, tokens, 3c] with a position bias from an MLP."""

    def __init__(self, heads: int):
        super().__init__()
        self.heads = heads
        self.register_buffer("relative_positions", torch.from_numpy(relative_positions(WINDOW)))
        self.meta = nn.Sequential(nn.Linear(2, 256), nn.ReLU(), nn.Linear(256, heads))

    def forward(self, qkv: Tensor) -> Tensor:
        n, tokens, width = qkv.shape
        q, k, v = qkv.view(n, tokens, 3, self.heads, width // (3 * self.heads)).permute(2, 0, 3, 1, 4)
        bias = self.meta(self.relative_positions).permute(2, 0, 1)
        weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1) + bias).softmax(dim=-1)
        return (weights @ v).transpose(1, 2).reshape(n, tokens, width // 3)


class AttentionUnit(nn.Module):
    """Window attention and a depthwise convolution in parallel, either of them optional."""

    def __init__(self, channels: int, heads=1, *, attention=True, depthwise=False, shift=0):
        super().__init__()
        self.shift = shift
        self.V, self.proj = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.QK = nn.Conv2d(channels, 2 * channels, 1) if attention else None
        self.attn = WindowAttention(heads) if attention else None
        self.conv = (
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, padding_mode="reflect")
            if depthwise
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        value = self.V(x)
        result = self.conv(value) if self.conv is not None else 0
        if self.QK is not None and self.attn is not None:
            result = result + self._attend(torch.cat([self.QK(x), value], dim=1), self.attn)
        return self.proj(result)

    def _attend(self, qkv: Tensor, core: WindowAttention) -> Tensor:
        b, c3, h, w = qkv.shape
        right, bottom = ((self.shift + (-side) % WINDOW) % WINDOW for side in (w, h))
        qkv = F.pad(qkv, (self.shift, right, self.shift, bottom), mode="reflect")
        rows, columns = qkv.shape[2] // WINDOW, qkv.shape[3] // WINDOW
        windows = qkv.view(b, c3, rows, WINDOW, columns, WINDOW).permute(0, 2, 4, 3, 5, 1)
        windows = core(windows.reshape(-1, WINDOW * WINDOW, c3))
        windows = windows.view(b, rows, columns, WINDOW, WINDOW, c3 // 3).permute(0, 5, 1, 3, 2, 4)
        image = windows.reshape(b, c3 // 3, rows * WINDOW, columns * WINDOW)
        return image[:, :, self.shift : self.shift + h, self.shift : self.shift + w]


class Mlp(nn.Module):
    def __init__(self, channels: int, ratio: float):
        super().__init__()
        hidden = int(channels * ratio)
        self.mlp = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class MainBlock(nn.Module):
    def __init__(self, channels: int, heads: int, mlp_ratio: float, *, attention: bool, shift: int):
        super().__init__()
        self.norm1 = RescaledNorm(channels) if attention else None
        self.attn = AttentionUnit(channels, heads, attention=attention, depthwise=True, shift=shift)
        self.mlp = Mlp(channels, mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm1 is None:
            x = x + self.attn(x)
        else:
            normed, rescale, rebias = self.norm1(x)
            x = x + self.attn(normed) * rescale + rebias
        return x + self.mlp(x)


class MainLayer(nn.Module):
    """`depth` main blocks, the last `attn_ratio` of them with attention, every second one shifted."""

    def __init__(self, channels: int, depth: int, heads: int, attn_ratio: float, mlp_ratio: float):
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                MainBlock(
                    channels,
                    heads,
                    mlp_ratio,
                    attention=index >= depth - attn_ratio * depth,
                    shift=WINDOW // 2 if index % 2 else 0,
                )
                for index in range(depth)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class EncoderBlock(nn.Module):
    def __init__(self, inputs: int, channels: int):
        super().__init__()
        self.mlp = nn.Conv2d(inputs, channels, 1)
        self.norm1, self.norm2 = RescaledNorm(channels), RescaledNorm(channels)
        self.attn = AttentionUnit(channels)
        self.ffn = Mlp(channels, 2.66)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mlp(x)
        for norm, branch in ((self.norm1, self.attn), (self.norm2, self.ffn)):
            normed, rescale, rebias = norm(x)
            x = x + branch(normed) * rescale + rebias
        return x


class KernelFusion(nn.Module):
    """Weighs two features against each other, channel by channel."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // 8, 4)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, 2 * channels, 1, bias=False),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        b, c, _, _ = first.shape
        shares = self.mlp((first + second).mean(dim=(2, 3), keepdim=True)).view(b, 2, c, 1, 1).softmax(dim=1)
        return first * shares[:, 0] + second * shares[:, 1]


class Projection(nn.Module):
    """A scope called `proj`, as patch embedding, merging and splitting have it."""

    def __init__(self, proj: nn.Module):
        super().__init__()
        self.proj = proj

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


def mix_prompts(pool: Tensor, weights: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Weigh the pool [1,l,c,s,s] by [b,l] and resize the mixture."""
    mixed = torch.einsum("bl,lchw->bchw", weights, pool[0])
    return F.interpolate(mixed, tuple(size), mode="bilinear", align_corners=align_corners)
