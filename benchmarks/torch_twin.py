"""The network of IASSF's released code in PyTorch, written from its description: the rival of every timing.

Same parameter names as the released checkpoints (`load_released`), NCHW, images in [-1,1]. What a PyTorch
user would write: 1x1 convolutions, grouped convolutions for depthwise layers, padding by `padding_mode`.
tests/benchmarks compares it with recorded arrays and with the JAX network on the same parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_density import device_density, host_density
from benchmarks.torch_layers import (
    WINDOW,
    AttentionUnit,
    EncoderBlock,
    KernelFusion,
    MainLayer,
    Projection,
    mix_prompts,
)

DENSITIES = {"host": host_density, "device": device_density}


class DehazePrompt(nn.Module):
    def __init__(self, channels: int, heads: int, num_prompts: int, prompt_size: int):
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, num_prompts, channels, prompt_size, prompt_size))
        self.linear_layer = nn.Linear(channels, num_prompts)
        self.conv3x3_gen = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.attention = AttentionUnit(2 * channels, heads)
        self.conv1x1_embed = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.conv3x3_embed = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        weights = self.linear_layer((visible - infrared).mean(dim=(2, 3))).softmax(dim=-1)
        mixed = mix_prompts(self.prompt_param, weights, visible.shape[2:], align_corners=False)
        joint = torch.cat([infrared, self.conv3x3_gen(mixed)], dim=1)
        return self.conv3x3_embed(self.conv1x1_embed(self.attention(joint)))


class DehazeNetwork(nn.Module):
    """(hazy, infrared) [b,3,h,w] to (dehazed, three-channel infrared)."""

    def __init__(
        self,
        *,
        density: Callable[[Tensor], Tensor],
        embed_dims: Sequence[int],
        depths: Sequence[int],
        num_heads: Sequence[int],
        attn_ratios: Sequence[float],
        mlp_ratios: Sequence[float],
        prompt_heads: int,
        prompt_size: int,
        num_prompts: int,
    ):
        super().__init__()
        self.density = density
        c0, c1, c2, _, _ = embed_dims
        for name in ("w_ir", "w_vi"):  # stored in checkpoints, used by nothing, like the two convolutions
            self.register_parameter(name, nn.Parameter(torch.ones(1)))
        self.ir_scale_conv, self.vi_scale_conv = (nn.Conv2d(c0, c0, 1, bias=False) for _ in range(2))
        self.restormer_encoder = EncoderBlock(3, c0)
        self.conv24_3 = nn.Conv2d(c0, 3, 1)
        self.PromptGenerationAndEmbeddingBlock = DehazePrompt(c0, prompt_heads, num_prompts, prompt_size)
        self.patch_embed = Projection(nn.Conv2d(c0, c0, 3, padding=1, padding_mode="reflect"))
        self.skip0, self.skip1, self.skip2 = (nn.Conv2d(c, c, 1) for c in (c0, c0, c1))
        layers = zip(embed_dims, depths, num_heads, attn_ratios, mlp_ratios, strict=True)
        self.layer1, self.layer2, self.layer3, self.layer4, self.layer5 = (
            MainLayer(*layer) for layer in layers
        )
        self.patch_merge1 = Projection(nn.Conv2d(c0, c1, 2, stride=2))
        self.patch_merge2 = Projection(nn.Conv2d(c1, c2, 2, stride=2))
        self.patch_split1 = Projection(nn.Sequential(nn.Conv2d(c2, 4 * c1, 1), nn.PixelShuffle(2)))
        self.patch_split2 = Projection(nn.Sequential(nn.Conv2d(c1, 4 * c0, 1), nn.PixelShuffle(2)))
        self.fusion1, self.fusion2, self.fusion3 = (KernelFusion(c) for c in (c1, c0, c0))
        unembed = nn.Conv2d(c0, 3, 3, padding=1, padding_mode="reflect")
        self.patch_unembed = Projection(nn.Sequential(unembed))

    def forward(self, hazy: Tensor, infrared: Tensor, density: Tensor | None) -> tuple[Tensor, Tensor]:
        visible, infrared = self.restormer_encoder(hazy), self.restormer_encoder(infrared)
        embedded = self.PromptGenerationAndEmbeddingBlock(visible, infrared)
        h = (self.density(visible) if density is None else density).to(visible.dtype)
        restored = self._restore(embedded * h + visible * (1 - h) + visible)
        return restored, self.conv24_3(infrared)

    def _restore(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        skip0 = self.skip0(x)
        first = self.layer1(x)
        second = self.layer2(self.patch_merge1(first))
        x = self.patch_split1(self.layer3(self.patch_merge2(second)))
        x = self.layer4(x + self.fusion1(x, self.skip2(second)))
        x = self.patch_split2(x)
        x = self.layer5(x + self.fusion2(x, self.skip1(first)))
        return self.patch_unembed(x + self.fusion3(x, skip0))


class FusionPrompt(nn.Module):
    def __init__(self, width: int, num_prompts: int, prompt_size: int):
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, num_prompts, width, prompt_size, prompt_size))
        self.conv1 = nn.Conv2d(3, 6, 1, bias=False)
        self.linear_layer = nn.Linear(6, num_prompts)
        self.conv3x3 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.adjust_channels = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        weights = self.linear_layer(self.conv1(infrared - visible).mean(dim=(2, 3))).softmax(dim=-1)
        mixed = mix_prompts(self.prompt_param, weights, visible.shape[2:], align_corners=True)
        return self.adjust_channels(self.conv3x3(mixed))


class FusionEmbedding(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.attention = AttentionUnit(2 * channels)
        self.conv1x1 = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.conv3x3 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        return x + self.conv3x3(self.conv1x1(self.attention(torch.cat([x, prompt], dim=1))))


class FusionNetwork(nn.Module):
    """The two images of the dehaze network to the fused image; sides must be multiples of 4."""

    def __init__(self, *, width: int, num_prompts: int, prompt_size: int):
        super().__init__()
        one, two, four = width, 2 * width, 4 * width
        self.prompt_gen_block = FusionPrompt(width, num_prompts, prompt_size)
        self.prompt_in_blocks_enc = nn.ModuleList(FusionEmbedding(c) for c in (one, two, four))
        self.prompt_in_blocks_dec = nn.ModuleList(FusionEmbedding(c) for c in (two, one))
        self.prompt_adjust_conv_enc, self.prompt_adjust_conv_dec = (
            nn.ModuleList(nn.Conv2d(width, c, 1, bias=False) for c in widths)
            for widths in ((one, two, four), (two, one))
        )
        self.encoder1, self.encoder2 = EncoderBlock(6, one), EncoderBlock(one, two)
        self.encoder3 = EncoderBlock(two, four)
        self.decoder3, self.decoder2 = EncoderBlock(four, two), EncoderBlock(two, one)
        self.skip_conv1, self.skip_conv2 = nn.Conv2d(one, one, 1), nn.Conv2d(two, two, 1)
        self.final_conv = nn.Conv2d(one, 3, 1)

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        prompt = self.prompt_gen_block(visible, infrared)
        h, w = prompt.shape[2:]
        scaled = [prompt] + [self._resize(prompt, (h // n, w // n)) for n in (2, 4)]
        down = [adjust(p) for adjust, p in zip(self.prompt_adjust_conv_enc, scaled, strict=True)]
        up = [adjust(scaled[i]) for adjust, i in zip(self.prompt_adjust_conv_dec, (1, 0), strict=True)]
        first = self.prompt_in_blocks_enc[0](self.encoder1(torch.cat([visible, infrared], dim=1)), down[0])
        second = self.prompt_in_blocks_enc[1](self.encoder2(F.max_pool2d(first, 2)), down[1])
        x = self.prompt_in_blocks_enc[2](self.encoder3(F.max_pool2d(second, 2)), down[2])
        x = self.prompt_in_blocks_dec[0](self.decoder3(self._double(x)), up[0]) + self.skip_conv2(second)
        x = self.prompt_in_blocks_dec[1](self.decoder2(self._double(x)), up[1]) + self.skip_conv1(first)
        return self.final_conv(x)

    def _double(self, x: Tensor) -> Tensor:
        return self._resize(x, (2 * x.shape[2], 2 * x.shape[3]))

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(x, size, mode="bilinear", align_corners=True)


class TorchTwin(nn.Module):
    """Both networks; takes the fields of `iassf_released`, with the five fusion blocks of the release."""

    def __init__(
        self,
        *,
        density: str,
        fusion_width: int,
        fusion_prompt_size: int,
        num_prompts: int,
        window: int = WINDOW,
        num_fusion_blocks: int = 5,
        **dehaze_fields: Any,
    ):
        super().__init__()
        if (window, num_fusion_blocks) != (WINDOW, 5):
            raise ValueError(f"the release has windows of {WINDOW} and five fusion blocks, no others")
        self.dehaze = DehazeNetwork(density=DENSITIES[density], num_prompts=num_prompts, **dehaze_fields)
        self.fusion = FusionNetwork(
            width=fusion_width, num_prompts=num_prompts, prompt_size=fusion_prompt_size
        )

    def forward(self, hazy: Tensor, infrared: Tensor, density: Tensor | None = None) -> dict[str, Tensor]:
        """Images [b,3,h,w] in [-1,1], sides multiples of 4; `density` [b,1,h,w] replaces the estimate."""
        restored, infrared3 = self.dehaze(hazy, infrared, density)
        return {"restored": restored, "infrared3": infrared3, "fused": self.fusion(restored, infrared3)}


def load_released(twin: TorchTwin, arrays: Mapping[str, np.ndarray]) -> TorchTwin:
    """Load `{dehaze,fusion}_network_state_dict/NAME` arrays strictly: every name, no other name."""
    for part in ("dehaze", "fusion"):
        prefix = f"{part}_network_state_dict/"
        names = [name for name in arrays if name.startswith(prefix)]
        state = {name.removeprefix(prefix): torch.from_numpy(np.array(arrays[name])) for name in names}
        getattr(twin, part).load_state_dict(state, strict=True)
    return twin
