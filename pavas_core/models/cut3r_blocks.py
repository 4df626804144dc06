"""Layers of CUT3R: rotary positions, attention, transformer blocks and the memory of poses.

Tensor names follow the released checkpoints. Streams are carried in single precision; only the matrix products run in
the working type, which is what mixed precision in training did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROPE_BASE = 100.0


class Rotary(NamedTuple):
    """Cosines and sines (..., N, 2, D / 4) that turn the heads of N tokens by their row and column."""

    cos: Tensor
    sin: Tensor


def rotary(position: Tensor, width: int) -> Rotary:
    """Angles of tokens at ``position`` (..., N, 2) = (row, column) for heads of ``width`` channels; -1 is valid."""
    quarter = width // 4
    frequency = ROPE_BASE ** -(torch.arange(quarter, dtype=torch.float32, device=position.device) / quarter)
    angle = position.float()[..., None] * frequency
    return Rotary(angle.cos(), angle.sin())


def rotate(x: Tensor, by: Rotary) -> Tensor:
    """Heads x (B, heads, N, D) turned in single precision.

    The first half of the channels turns with the row, the second with the column; channel k pairs with k + D / 4.
    """
    u, v = x.float().unflatten(-1, (2, 2, -1)).unbind(-2)
    return torch.stack([u * by.cos - v * by.sin, v * by.cos + u * by.sin], dim=-2).flatten(-3).to(x.dtype)


def heads_of(x: Tensor, heads: int) -> Tensor:
    """(B, N, C) -> (B, heads, N, C / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, heads, N, D) -> (B, N, C)."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class Parts:
    """How layers are made: the host's operations, the device, and the type matrix products run in."""

    operations: Any
    device: Any
    dtype: torch.dtype

    def linear(self, dim_in: int, dim_out: int) -> Any:
        """Linear layer in the working type."""
        return self.operations.Linear(dim_in, dim_out, dtype=self.dtype, device=self.device)

    def norm(self, dim: int) -> Any:
        """LayerNorm, in single precision whatever the working type."""
        return self.operations.LayerNorm(dim, eps=1e-6, dtype=torch.float32, device=self.device)

    def conv(self, dim_in: int, dim_out: int, kernel: int, **options: Any) -> Any:
        """2-D convolution in the working type."""
        return self.operations.Conv2d(dim_in, dim_out, kernel, dtype=self.dtype, device=self.device, **options)

    def upconv(self, dim: int, factor: int) -> Any:
        """Transposed convolution that enlarges by ``factor``."""
        make = self.operations.ConvTranspose2d
        return make(dim, dim, factor, stride=factor, dtype=self.dtype, device=self.device)

    def embedding(self, count: int, dim: int) -> Any:
        """Learned tokens."""
        return self.operations.Embedding(count, dim, dtype=self.dtype, device=self.device)

    def parameter(self, *shape: int) -> nn.Parameter:
        """Free parameter, in single precision."""
        return nn.Parameter(torch.zeros(*shape, dtype=torch.float32, device=self.device))


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, parts: Parts, dim: int, hidden: int, dim_out: int | None = None) -> None:
        super().__init__()
        self.dtype = parts.dtype
        self.fc1 = parts.linear(dim, hidden)
        self.fc2 = parts.linear(hidden, dim_out or dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x.to(self.dtype))))


class SelfAttention(nn.Module):
    """Self-attention with 2-D rotary positions. ``half_rope`` rounds queries and keys to fp16 around the rotation, as
    the released image encoder was run."""

    def __init__(self, parts: Parts, dim: int, heads: int, half_rope: bool = False) -> None:
        super().__init__()
        self.heads, self.dtype = heads, parts.dtype
        self.rope_dtype = torch.float16 if half_rope and parts.dtype == torch.float32 else parts.dtype
        self.qkv = parts.linear(dim, 3 * dim)
        self.proj = parts.linear(dim, dim)

    def forward(self, x: Tensor, places: Rotary | None) -> Tensor:
        q, k, v = (heads_of(part, self.heads) for part in self.qkv(x.to(self.dtype)).chunk(3, dim=-1))
        if places is not None:
            q, k = (rotate(part.to(self.rope_dtype), places).to(v.dtype) for part in (q, k))
        return self.proj(softmax_attention(q, k, v))


class CrossAttention(nn.Module):
    """Attention of one stream to another, each with its own positions."""

    def __init__(self, parts: Parts, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.dtype = heads, parts.dtype
        self.projq = parts.linear(dim, dim)
        self.projk = parts.linear(dim, dim)
        self.projv = parts.linear(dim, dim)
        self.proj = parts.linear(dim, dim)

    def forward(self, x: Tensor, other: Tensor, here: Rotary | None, there: Rotary | None) -> Tensor:
        x, other = x.to(self.dtype), other.to(self.dtype)
        q, k, v = (heads_of(part, self.heads) for part in (self.projq(x), self.projk(other), self.projv(other)))
        if here is not None and there is not None:
            q, k = rotate(q, here), rotate(k, there)
        return self.proj(softmax_attention(q, k, v))


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, parts: Parts, dim: int, heads: int, half_rope: bool) -> None:
        super().__init__()
        self.norm1 = parts.norm(dim)
        self.attn = SelfAttention(parts, dim, heads, half_rope)
        self.norm2 = parts.norm(dim)
        self.mlp = Mlp(parts, dim, 4 * dim)

    def forward(self, x: Tensor, places: Rotary) -> Tensor:
        x = x + self.attn(self.norm1(x), places)
        return x + self.mlp(self.norm2(x))


class DecoderBlock(nn.Module):
    """Self-attention, attention to the other stream (read as given), MLP."""

    def __init__(self, parts: Parts, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = parts.norm(dim)
        self.attn = SelfAttention(parts, dim, heads)
        self.cross_attn = CrossAttention(parts, dim, heads)
        self.norm2 = parts.norm(dim)
        self.norm3 = parts.norm(dim)
        self.mlp = Mlp(parts, dim, 4 * dim)
        self.norm_y = parts.norm(dim)

    def forward(self, x: Tensor, other: Tensor, here: Rotary | None = None, there: Rotary | None = None) -> Tensor:
        x = x + self.attn(self.norm1(x), here)
        x = x + self.cross_attn(self.norm2(x), self.norm_y(other), here, there)
        return x + self.mlp(self.norm3(x))


class AdaptiveNorm(nn.Module):
    """LayerNorm whose shift and scale come from a condition vector (B, D)."""

    def __init__(self, parts: Parts, dim: int) -> None:
        super().__init__()
        self.norm = parts.norm(dim)
        self.mlp = nn.Sequential(nn.SiLU(), parts.linear(dim, 2 * dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.mlp(condition)[:, None].chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class PoseBlock(nn.Module):
    """Encoder block modulated by the pose token; turns tokens of this view into tokens of the world."""

    def __init__(self, parts: Parts, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = AdaptiveNorm(parts, dim)
        self.attn = SelfAttention(parts, dim, heads)
        self.norm2 = AdaptiveNorm(parts, dim)
        self.mlp = Mlp(parts, dim, 4 * dim)

    def forward(self, x: Tensor, pose_token: Tensor, places: Rotary) -> Tensor:
        x = x + self.attn(self.norm1(x, pose_token), places)
        return x + self.mlp(self.norm2(x, pose_token))


class PoseMemory(nn.Module):
    """Associative memory from what a frame shows to where its camera was."""

    def __init__(self, parts: Parts, enc_dim: int, dim: int, heads: int, size: int) -> None:
        super().__init__()
        self.dtype = parts.dtype
        self.proj_q = parts.linear(enc_dim, dim)
        self.masked_token = parts.parameter(1, 1, dim)
        self.mem = parts.parameter(1, size, 2 * dim)
        self.write_blocks = nn.ModuleList(DecoderBlock(parts, 2 * dim, heads) for _ in range(2))
        self.read_blocks = nn.ModuleList(DecoderBlock(parts, 2 * dim, heads) for _ in range(2))

    def _question(self, overall: Tensor) -> Tensor:
        return self.proj_q(overall.to(self.dtype)).float()

    def read(self, memory: Tensor, overall: Tensor) -> Tensor:
        """Pose token (B, 1, D) guessed for a frame with mean feature ``overall`` (B, 1, enc_dim)."""
        masked = self.masked_token.to(overall).expand(overall.shape[0], -1, -1)
        x = torch.cat([self._question(overall), masked], dim=-1)
        for block in self.read_blocks:
            x = block(x, memory)
        return x.chunk(2, dim=-1)[1]

    def write(self, memory: Tensor, overall: Tensor, pose_token: Tensor) -> Tensor:
        """The memory after a frame whose pose token (B, 1, D) is known."""
        entry = torch.cat([self._question(overall), pose_token], dim=-1)
        for block in self.write_blocks:
            memory = block(memory, entry)
        return memory
