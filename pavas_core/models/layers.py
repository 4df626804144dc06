"""Building blocks of the multimodal transformer.

Shapes: tokens are (B, N, D). Layers come from ``operations`` (``torch.nn`` by default, ``comfy.ops`` in
ComfyUI) so that a host can stream their weights. Tensor names follow the published MMAudio checkpoints
(https://github.com/hkchengrex/MMAudio, Cheng et al., CVPR 2025).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD_DIM = 64


def gated_width(hidden: int) -> int:
    """Width of a gated MLP asked for ``hidden`` units: two thirds, rounded up to a multiple of 256."""
    return -(-int(2 * hidden / 3) // 256) * 256


class TokenConv:
    """Mark of convolutions over tokens, (B, N, D_in) -> (B, N, D_out), of whatever host's layers."""

    weight: nn.Parameter


def token_conv(operations: Any, dim_in: int, dim_out: int, kernel: int, *, bias: bool = True, **factory: Any) -> Any:
    """Build an ``operations.Conv1d`` that maps (B, N, D_in) -> (B, N, D_out)."""

    class _TokenConv(TokenConv, operations.Conv1d):
        # Hosts that stream weights call this with the weights when they are there.
        def _conv_forward(self, tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            if lies_by_taps(weight):
                return convolve_rows(tokens, weight, bias)
            return super()._conv_forward(tokens.transpose(1, 2), weight, bias).transpose(1, 2)

    return _TokenConv(dim_in, dim_out, kernel, padding=kernel // 2, bias=bias, **factory)


def convolve_rows(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Same-length convolution over tokens (B, N, D_in) by ``weight`` (D_out, D_in, odd kernel), as (B, N, D_out).

    One matrix product with every token's neighbourhood. The weights lie as :func:`lay_out_for_cpu` leaves them, so that
    they need no copy.
    """
    length, kernel = tokens.shape[1], weight.shape[2]
    padded = F.pad(tokens, (0, 0, kernel // 2, kernel // 2))
    neighbourhoods = torch.cat([padded[:, tap : tap + length] for tap in range(kernel)], dim=-1)
    return F.linear(neighbourhoods, weight.permute(2, 1, 0).flatten(0, 1).t(), bias)


def lies_by_taps(weight: Tensor) -> bool:
    """Whether a convolution's weight (D_out, D_in, kernel) lies in memory as a matrix (kernel * D_in, D_out)."""
    return weight.shape[2] > 1 and weight.permute(2, 1, 0).is_contiguous()


def lay_out_for_cpu(network: nn.Module) -> None:
    """Let the token convolutions of ``network`` run as matrix products, by the order of their weights in memory.

    On a CPU a convolution reorders tokens and weights at every call. Without that a call is some 8 % cheaper, and equal
    but for rounding. Shapes and names stay.
    """
    for module in network.modules():
        if isinstance(module, TokenConv):
            weight = module.weight
            by_taps = weight.detach().permute(2, 1, 0).contiguous().permute(2, 1, 0)
            module.weight = nn.Parameter(by_taps, requires_grad=weight.requires_grad)


class GatedMLP(nn.Module):
    """w2(silu(w1 x) * w3 x) without biases; ``kernel`` > 0 makes the three maps convolutions over tokens.

    ``width`` is the inner width; 0 = :func:`gated_width` of ``hidden``.
    """

    def __init__(
        self, dim: int, hidden: int, *, kernel: int = 0, width: int = 0, operations: Any = nn, **factory: Any
    ) -> None:
        super().__init__()
        width = width or gated_width(hidden)

        def layer(dim_in: int, dim_out: int) -> Any:
            if kernel:
                return token_conv(operations, dim_in, dim_out, kernel, bias=False, **factory)
            return operations.Linear(dim_in, dim_out, bias=False, **factory)

        self.w1 = layer(dim, width)
        self.w2 = layer(width, dim)
        self.w3 = layer(dim, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


def rope_table(length: int, scale: float = 1.0, *, theta: float = 10000.0, device: Any = None) -> Tensor:
    """Rotary embedding, fp32 (length, HEAD_DIM / 2, 2): cosine and sine of position * frequency * scale."""
    frequency = theta ** -(torch.arange(0, HEAD_DIM, 2, dtype=torch.float32, device=device) / HEAD_DIM)
    frequency = frequency * scale
    angle = torch.outer(torch.arange(length, dtype=torch.float32, device=device), frequency)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def apply_rope(x: Tensor, table: Tensor) -> Tensor:
    """Rotate adjacent channel pairs of x (B, heads, N, HEAD_DIM) by ``table`` (N, HEAD_DIM / 2, 2), in fp32."""
    pairs = x.float().unflatten(-1, (-1, 2))
    cos, sin = table[..., 0], table[..., 1]
    even, odd = pairs[..., 0], pairs[..., 1]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).to(x.dtype)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x * (1 + scale) + shift."""
    return torch.addcmul(shift + x, x, scale)


def layer_norm(x: Tensor) -> Tensor:
    """LayerNorm over channels without parameters, eps 1e-5."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-5)


class Modulation(nn.Sequential):
    """SiLU then Linear(D, parts * D): the adaLN coefficients of one block. (B, N, D) -> (B, N, parts * D)."""

    def __init__(self, dim: int, parts: int, *, operations: Any = nn, **factory: Any) -> None:
        super().__init__(nn.SiLU(), operations.Linear(dim, parts * dim, **factory))


class SelfAttention(nn.Module):
    """Projections of an attention whose softmax may span several streams.

    The fused output channels are interleaved as head, channel, (q, k, v). Queries and keys are RMS-normalised per
    head before the rotation; the norm's eps is that of fp32 whatever the input type.
    """

    def __init__(self, dim: int, *, operations: Any = nn, **factory: Any) -> None:
        super().__init__()
        self.heads = dim // HEAD_DIM
        eps = torch.finfo(torch.float32).eps
        self.qkv = operations.Linear(dim, 3 * dim, **factory)
        self.q_norm = operations.RMSNorm(HEAD_DIM, eps=eps, **factory)
        self.k_norm = operations.RMSNorm(HEAD_DIM, eps=eps, **factory)

    def project(self, x: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, D) -> q, k, v, each (B, heads, N, HEAD_DIM)."""
        q, k, v = self.qkv(x).unflatten(-1, (self.heads, HEAD_DIM, 3)).transpose(1, 2).unbind(-1)
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        return q, k, v


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention, heads concatenated: (B, heads, N, HEAD_DIM) -> (B, N, D)."""
    out = F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous())
    return out.transpose(1, 2).flatten(2)


class SingleBlock(nn.Module):
    """Attention and gated MLP under adaLN, for one stream (fused blocks, and the streams of a joint block).

    ``kernel`` > 0 makes output projection and MLP convolutions over tokens. A ``pre_only`` block only contributes
    queries, keys and values. ``modulation`` is always (B, N or 1, 6 D): shift, scale, gate of attention, then of
    the MLP (``pre_only``: shift, scale).
    """

    def __init__(
        self,
        dim: int,
        *,
        kernel: int,
        pre_only: bool = False,
        mlp_width: int = 0,
        operations: Any = nn,
        **factory: Any,
    ) -> None:
        super().__init__()
        self.pre_only = pre_only
        self.attn = SelfAttention(dim, operations=operations, **factory)
        self.adaLN_modulation = Modulation(dim, 2 if pre_only else 6, operations=operations, **factory)
        if pre_only:
            return
        if kernel:
            self.linear1 = token_conv(operations, dim, dim, kernel, **factory)
        else:
            self.linear1 = operations.Linear(dim, dim, **factory)
        self.ffn = GatedMLP(dim, 4 * dim, kernel=kernel, width=mlp_width, operations=operations, **factory)

    def project(self, x: Tensor, modulation: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the modulated stream, each (B, heads, N, HEAD_DIM)."""
        shift, scale = modulation.chunk(2 if self.pre_only else 6, dim=-1)[:2]
        return self.attn.project(modulate(layer_norm(x), shift, scale), rope)

    def finish(self, x: Tensor, attended: Tensor, modulation: Tensor) -> Tensor:
        """Add the attention's output and the MLP to the stream; a ``pre_only`` stream is returned as it came."""
        if self.pre_only:
            return x
        gate, shift, scale, mlp_gate = modulation.chunk(6, dim=-1)[2:]
        x = torch.addcmul(x, self.linear1(attended), gate)
        return torch.addcmul(x, self.ffn(modulate(layer_norm(x), shift, scale)), mlp_gate)

    def forward(self, x: Tensor, modulation: Tensor, rope: Tensor | None) -> Tensor:
        return self.finish(x, attend(*self.project(x, modulation, rope)), modulation)


class JointBlock(nn.Module):
    """Three streams (audio latent, clip, text) that attend to each other."""

    def __init__(self, dim: int, *, last: bool, mlp_width: int = 0, operations: Any = nn, **factory: Any) -> None:
        super().__init__()
        build = {"mlp_width": mlp_width, "operations": operations, **factory}
        self.latent_block = SingleBlock(dim, kernel=3, **build)
        self.clip_block = SingleBlock(dim, kernel=3, pre_only=last, **build)
        self.text_block = SingleBlock(dim, kernel=0, pre_only=last, **build)

    def forward(
        self,
        latent: Tensor,
        clip: Tensor,
        text: Tensor,
        latent_modulation: Tensor,
        global_condition: Tensor,
        latent_rope: Tensor,
        clip_rope: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Latent (B, L, D), clip (B, Nc, D), text (B, Nt, D) -> the same three."""
        clip_modulation = self.clip_block.adaLN_modulation(global_condition)
        text_modulation = self.text_block.adaLN_modulation(global_condition)
        projected = (
            self.latent_block.project(latent, latent_modulation, latent_rope),
            self.clip_block.project(clip, clip_modulation, clip_rope),
            self.text_block.project(text, text_modulation, None),
        )
        q, k, v = (torch.cat(parts, dim=2) for parts in zip(*projected, strict=True))
        latent_out, clip_out, text_out = attend(q, k, v).split([latent.shape[1], clip.shape[1], text.shape[1]], dim=1)
        return (
            self.latent_block.finish(latent, latent_out, latent_modulation),
            self.clip_block.finish(clip, clip_out, clip_modulation),
            self.text_block.finish(text, text_out, text_modulation),
        )


class TimestepEmbedder(nn.Module):
    """Sinusoid of the flow time, then a small MLP: (B,) -> (B, D).

    Frequencies and sinusoid stay fp32 at every precision: with ``max_period`` 1 the phase is 10000 t and half
    precision would shift it by radians. The frequencies are evaluated as fp32 power, reciprocal, product, since
    one unit in the last place at 1e4 is visible in the output.
    """

    def __init__(
        self, dim: int, frequency_dim: int, max_period: float, *, operations: Any = nn, **factory: Any
    ) -> None:
        super().__init__()
        self.frequency_dim, self.max_period = frequency_dim, max_period
        self.mlp = nn.Sequential(
            operations.Linear(frequency_dim, dim, **factory), nn.SiLU(), operations.Linear(dim, dim, **factory)
        )

    def frequencies(self, device: Any = None) -> Tensor:
        """fp32 (frequency_dim / 2,), falling from 10000 / max_period."""
        exponent = torch.arange(0, self.frequency_dim, 2, dtype=torch.float32, device=device) / self.frequency_dim
        return (10000.0 / self.max_period) * (1.0 / 10000.0**exponent)

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        phase = t.float()[:, None] * self.frequencies(t.device)
        return self.mlp(torch.cat([phase.cos(), phase.sin()], dim=-1).to(dtype))
