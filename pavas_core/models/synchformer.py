"""Synchformer's visual encoder: divided space-time attention over 16-frame windows (Iashin et al., ICASSP 2024, after
Motionformer, Patrick et al., NeurIPS 2021).

Frames (B, T, 3, 224, 224) at 25 fps, scaled to -1..1 -> (B, 8 n, 768). Tensor names follow the published file.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIM, HEADS, DEPTH = 768, 12, 12
WINDOW, HOP, TUBE = 16, 8, 8
PATCHES = 14 * 14
PREFIX = "vfeat_extractor."


def split_heads(x: Tensor) -> Tensor:
    """(..., N, D) -> (..., heads, N, D / heads)."""
    return x.unflatten(-1, (HEADS, -1)).transpose(-3, -2)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Multi-head attention on (..., N, D) tensors."""
    out = F.scaled_dot_product_attention(split_heads(q), split_heads(k), split_heads(v))
    return out.transpose(-3, -2).flatten(-2)


class DividedAttention(nn.Module):
    """Attention within groups of tokens; the class token sees all and is seen by every group."""

    def __init__(self, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.qkv = operations.Linear(DIM, 3 * DIM, **factory)
        self.proj = operations.Linear(DIM, DIM, **factory)

    def forward(self, x: Tensor, over_time: bool) -> Tensor:
        """x (B, 1 + TUBE * PATCHES, D), patches t-major; groups are locations (``over_time``) or frames."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        cls = attend(q[:, :1], k, v)

        def group(part: Tensor) -> Tensor:
            grid = part[:, 1:].unflatten(1, (TUBE, PATCHES))
            return grid.transpose(1, 2) if over_time else grid  # (B, groups, members, D)

        def with_cls(part: Tensor) -> Tensor:
            grouped = group(part)
            return torch.cat([part[:, None, :1].expand(-1, grouped.shape[1], -1, -1), grouped], dim=2)

        out = attend(group(q), with_cls(k), with_cls(v))
        if over_time:
            out = out.transpose(1, 2)
        return self.proj(torch.cat([cls, out.flatten(1, 2)], dim=1))


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.fc1 = operations.Linear(DIM, 4 * DIM, **factory)
        self.fc2 = operations.Linear(4 * DIM, DIM, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class DividedBlock(nn.Module):
    """Attention over time, attention over space, MLP, each pre-norm and residual."""

    def __init__(self, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.norm1 = operations.LayerNorm(DIM, eps=1e-6, **factory)
        self.attn = DividedAttention(operations, factory)
        self.timeattn = DividedAttention(operations, factory)
        self.norm2 = operations.LayerNorm(DIM, eps=1e-6, **factory)
        self.mlp = Mlp(operations, factory)
        self.norm3 = operations.LayerNorm(DIM, eps=1e-6, **factory)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.timeattn(self.norm3(x), over_time=True)
        x = x + self.attn(self.norm1(x), over_time=False)
        return x + self.mlp(self.norm2(x))


class _Attention(nn.Module):
    """The parameters of ``torch.nn.MultiheadAttention`` under its names, streamable by a host."""

    def __init__(self, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * DIM, DIM, **factory))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * DIM, **factory))
        self.out_proj = operations.Linear(DIM, DIM, **factory)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = F.linear(x, self.in_proj_weight.to(x), self.in_proj_bias.to(x)).chunk(3, dim=-1)
        return self.out_proj(attend(q, k, v))


class SpatialPool(nn.Module):
    """One encoder layer whose class token gathers a frame's patches: (B, PATCHES, D) -> (B, D)."""

    def __init__(self, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, DIM, **factory))
        self.self_attn = _Attention(operations, factory)
        self.linear1 = operations.Linear(DIM, 4 * DIM, **factory)
        self.linear2 = operations.Linear(4 * DIM, DIM, **factory)
        self.norm1 = operations.LayerNorm(DIM, eps=1e-6, **factory)
        self.norm2 = operations.LayerNorm(DIM, eps=1e-6, **factory)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.cls_token.to(x).expand(x.shape[0], -1, -1), x], dim=1)
        x = x + self.self_attn(self.norm1(x))
        x = x + self.linear2(F.gelu(self.linear1(self.norm2(x))))
        return x[:, 0]


class _PatchEmbed(nn.Module):
    def __init__(self, proj: nn.Module) -> None:
        super().__init__()
        self.proj = proj


class SyncEncoder(nn.Module):
    """Eight motion tokens per 16-frame window, windows every 8 frames."""

    def __init__(self, *, operations: Any = nn, dtype: Any = None, device: Any = None) -> None:
        super().__init__()
        factory = {"dtype": dtype, "device": device}

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape, **factory))

        self.cls_token = parameter(1, 1, DIM)
        self.pos_embed = parameter(1, 1 + PATCHES, DIM)
        self.temp_embed = parameter(1, TUBE, DIM)
        # In the published file but without effect: the 2-D patch embedding of the image model it grew from.
        self.patch_embed = _PatchEmbed(operations.Conv2d(3, DIM, 16, stride=16, **factory))
        self.patch_embed_3d = _PatchEmbed(operations.Conv3d(3, DIM, (2, 16, 16), stride=(2, 16, 16), **factory))
        self.blocks = nn.ModuleList(DividedBlock(operations, factory) for _ in range(DEPTH))
        self.norm = operations.LayerNorm(DIM, eps=1e-6, **factory)
        self.spatial_attn_agg = SpatialPool(operations, factory)

    def windows(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, n, 3, WINDOW, H, W), windows every HOP frames."""
        return frames.unfold(1, WINDOW, HOP).movedim(-1, 3)

    def encode_window(self, window: Tensor) -> Tensor:
        """(B, 3, WINDOW, 224, 224) -> (B, TUBE, D)."""
        tokens = self.patch_embed_3d.proj(window).flatten(2).transpose(1, 2)
        position = self.pos_embed.to(tokens)
        time = self.temp_embed.to(tokens)
        grid = tokens.unflatten(1, (TUBE, PATCHES)) + position[:, None, 1:] + time[:, :, None]
        cls = (self.cls_token.to(tokens) + position[:, :1]).expand(tokens.shape[0], -1, -1)
        x = torch.cat([cls, grid.flatten(1, 2)], dim=1)
        for block in self.blocks:
            x = block(x)
        frames = self.norm(x[:, 1:]).unflatten(1, (TUBE, PATCHES))
        return self.spatial_attn_agg(frames.flatten(0, 1)).unflatten(0, (-1, TUBE))

    def forward(self, frames: Tensor) -> Tensor:
        windows = self.windows(frames)
        encoded = [self.encode_window(windows[:, index]) for index in range(windows.shape[1])]
        return torch.cat(encoded, dim=1)
