"""The multimodal flow-matching transformer (MMAudio's, on which PAVAS builds).

Reads video semantics (CLIP tokens), frame-aligned motion (Synchformer tokens) and text, and predicts the flow
velocity of the audio latent. State-dict names are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pavas_core.models.layers import (
    GatedMLP,
    JointBlock,
    Modulation,
    SingleBlock,
    TimestepEmbedder,
    layer_norm,
    modulate,
    rope_table,
    token_conv,
)

SYNC_TOKENS_PER_SEGMENT = 8
COMPUTED_KEYS = ("t_embed.freqs", "latent_rot", "clip_rot")
"""Tables that some published files contain and that are computed here."""


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of one network; ``version`` 2 has SiLU projections and fast timestep frequencies."""

    latent_dim: int
    hidden_dim: int
    depth: int
    fused_depth: int
    version: int = 1
    clip_dim: int = 1024
    sync_dim: int = 768
    text_dim: int = 1024
    text_length: int = 77
    mlp_width: int = 0
    """Inner width of the gated MLPs; 0 = as published."""

    @property
    def joint_depth(self) -> int:
        """Number of joint blocks."""
        return self.depth - self.fused_depth


VARIANTS = {
    "small_16k": NetworkConfig(20, 448, 12, 8),
    "small_44k": NetworkConfig(40, 448, 12, 8),
    "medium_44k": NetworkConfig(40, 896, 12, 8),
    "large_44k": NetworkConfig(40, 896, 21, 14),
    "large_44k_v2": NetworkConfig(40, 896, 21, 14, version=2),
}


def config_from_shapes(shapes: Mapping[str, Sequence[int]]) -> NetworkConfig:
    """Tell the network from its tensor names and shapes. Raises KeyError if the names are not this network's."""
    joint = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("joint_blocks."))
    fused = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("fused_blocks."))
    return NetworkConfig(
        latent_dim=shapes["final_layer.conv.weight"][0],
        hidden_dim=shapes["audio_input_proj.0.bias"][0],
        depth=joint + fused,
        fused_depth=fused,
        version=2 if "clip_input_proj.2.w1.weight" in shapes else 1,
        clip_dim=shapes["empty_clip_feat"][1],
        sync_dim=shapes["empty_sync_feat"][1],
        text_dim=shapes["empty_string_feat"][1],
        text_length=shapes["empty_string_feat"][0],
    )


@dataclass(frozen=True)
class Conditions:
    """Projected conditions, independent of the latent and of the flow time; computed once, used by every step."""

    clip: Tensor
    """(B, Nc, D) clip tokens."""
    sync: Tensor
    """(B, S, D) sync rows; ``sync_index`` spreads them over the latent."""
    text: Tensor
    """(B, Nt, D) text tokens."""
    pooled: Tensor
    """(B, 1, D) global condition without the flow time."""
    clip_pooled: Tensor
    text_pooled: Tensor
    sync_index: Tensor
    """int64 (L,): the sync row of every latent token."""

    @property
    def sync_per_token(self) -> Tensor:
        """(B, L, D) sync condition of every latent token."""
        return self.sync[:, self.sync_index]


@dataclass(frozen=True)
class Residuals:
    """What a Phy-Adapter adds to the network, computed once per edit. Empty = the backbone alone."""

    blocks: tuple[Tensor, ...] = ()
    """One (B, L, 6 D) per joint then fused block, added to the audio stream's adaLN coefficients (paper eq. 10)."""
    condition: Tensor | None = None
    """(B, L, D) added to the frame-aligned condition (the paper's direct summation, table 3)."""


NO_RESIDUALS = Residuals()


def nearest_exact_index(length: int, source_length: int, device: Any = None) -> Tensor:
    """Source row of every target row, int64 (length,), as torch's ``nearest-exact`` picks it.

    Ratio and product are fp32: exact ties exist (192 -> 345) and other arithmetic breaks them differently.
    """
    ratio = torch.tensor(source_length, dtype=torch.float32) / torch.tensor(length, dtype=torch.float32)
    index = ((torch.arange(length, dtype=torch.float32) + 0.5) * ratio).floor().long()
    return index.clamp(max=source_length - 1).to(device)


class FinalLayer(nn.Module):
    """adaLN and a convolution to the latent channels. Conditioned on the global condition only, as published."""

    def __init__(self, dim: int, latent_dim: int, *, operations: Any = nn, **factory: Any) -> None:
        super().__init__()
        self.adaLN_modulation = Modulation(dim, 2, operations=operations, **factory)
        self.conv = token_conv(operations, dim, latent_dim, 7, **factory)

    def forward(self, latent: Tensor, global_condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(global_condition).chunk(2, dim=-1)
        return self.conv(modulate(layer_norm(latent), shift, scale))


class FlowTransformer(nn.Module):
    """Predicts the flow velocity of an audio latent.

    ``operations``, ``dtype`` and ``device`` are the host's; ``torch.nn`` in fp32 on the CPU by default.
    """

    def __init__(self, config: NetworkConfig, *, operations: Any = nn, dtype: Any = None, device: Any = None) -> None:
        super().__init__()
        self.config = config
        factory = {"dtype": dtype, "device": device}
        build = {"operations": operations, **factory}
        dim, width, v2 = config.hidden_dim, config.mlp_width, config.version == 2
        activation = nn.SiLU if v2 else nn.SELU

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape, **factory))

        self.sync_pos_emb = parameter(1, 1, SYNC_TOKENS_PER_SEGMENT, config.sync_dim)
        self.latent_mean = parameter(1, 1, config.latent_dim).requires_grad_(False)
        self.latent_std = nn.Parameter(torch.ones(1, 1, config.latent_dim, **factory), requires_grad=False)
        self.empty_string_feat = parameter(config.text_length, config.text_dim).requires_grad_(False)
        self.empty_clip_feat = parameter(1, config.clip_dim)
        self.empty_sync_feat = parameter(1, config.sync_dim)

        def conv_projection(dim_in: int, kernel: int, mlp_kernel: int) -> nn.Sequential:
            return nn.Sequential(
                token_conv(operations, dim_in, dim, kernel, **factory),
                activation(),
                GatedMLP(dim, 4 * dim, kernel=mlp_kernel, width=width, **build),
            )

        def linear_projection(dim_in: int, mlp_kernel: int) -> nn.Sequential:
            layers = [
                operations.Linear(dim_in, dim, **factory),
                GatedMLP(dim, 4 * dim, kernel=mlp_kernel, width=width, **build),
            ]
            return nn.Sequential(layers[0], nn.SiLU(), layers[1]) if v2 else nn.Sequential(*layers)

        self.audio_input_proj = conv_projection(config.latent_dim, 7, 7)
        self.clip_input_proj = linear_projection(config.clip_dim, 3)
        self.sync_input_proj = conv_projection(config.sync_dim, 7, 3)
        self.text_input_proj = linear_projection(config.text_dim, 0)
        self.clip_cond_proj = operations.Linear(dim, dim, **factory)
        self.text_cond_proj = operations.Linear(dim, dim, **factory)
        self.global_cond_mlp = GatedMLP(dim, 4 * dim, width=width, **build)
        self.t_embed = TimestepEmbedder(dim, dim if v2 else 256, 1.0 if v2 else 10000.0, **build)
        self.joint_blocks = nn.ModuleList(
            JointBlock(dim, last=i == config.joint_depth - 1, mlp_width=width, **build)
            for i in range(config.joint_depth)
        )
        self.fused_blocks = nn.ModuleList(
            SingleBlock(dim, kernel=3, mlp_width=width, **build) for _ in range(config.fused_depth)
        )
        self.final_layer = FinalLayer(dim, config.latent_dim, **build)

    def _parameter(self, name: str, like: Tensor) -> Tensor:
        """A free parameter where and as the activations are (hosts may keep it elsewhere)."""
        return getattr(self, name).to(device=like.device, dtype=like.dtype)

    def prepare(self, clip: Tensor, sync: Tensor, text: Tensor, latent_length: int) -> Conditions:
        """Project raw features once.

        clip (B, Nc, clip_dim), sync (B, 8 n, sync_dim), text (B, Nt, text_dim).
        """
        segments = sync.unflatten(1, (-1, SYNC_TOKENS_PER_SEGMENT)) + self._parameter("sync_pos_emb", sync)
        clip = self.clip_input_proj(clip)
        sync = self.sync_input_proj(segments.flatten(1, 2))
        text = self.text_input_proj(text)
        clip_pooled = self.clip_cond_proj(clip.mean(dim=1))
        text_pooled = self.text_cond_proj(text.mean(dim=1))
        return Conditions(
            clip=clip,
            sync=sync,
            text=text,
            pooled=self.global_cond_mlp(clip_pooled + text_pooled)[:, None],
            clip_pooled=clip_pooled,
            text_pooled=text_pooled,
            sync_index=nearest_exact_index(latent_length, sync.shape[1], sync.device),
        )

    def prepare_null(self, clip_tokens: int, sync_tokens: int, text: Tensor, latent_length: int) -> Conditions:
        """:meth:`prepare` for null clip and sync, with as few sync rows as there are different ones.

        They repeat every segment but for the first and last, to which the convolutions' padding reaches (5 rows). The
        audio stream's adaLN runs on every row, so that a null call of 8 s becomes some 8 % cheaper.
        """
        batch, segments = text.shape[0], sync_tokens // SYNC_TOKENS_PER_SEGMENT
        kept = min(segments, 3)
        sync = self.empty_sync(batch, kept * SYNC_TOKENS_PER_SEGMENT, text)
        short = self.prepare(self.empty_clip(batch, clip_tokens, text), sync, text, latent_length)
        row = nearest_exact_index(latent_length, sync_tokens, text.device)
        segment = row // SYNC_TOKENS_PER_SEGMENT
        # Segment 1 stands for all between the first and the last.
        stand_in = torch.where(segment == segments - 1, kept - 1, segment.clamp(max=min(1, kept - 1)))
        index = stand_in * SYNC_TOKENS_PER_SEGMENT + row % SYNC_TOKENS_PER_SEGMENT
        return replace(short, sync_index=index)

    def empty_clip(self, batch: int, tokens: int, like: Tensor) -> Tensor:
        """Null clip features (B, tokens, clip_dim)."""
        return self._parameter("empty_clip_feat", like).expand(batch, tokens, -1)

    def empty_sync(self, batch: int, tokens: int, like: Tensor) -> Tensor:
        """Null sync features (B, tokens, sync_dim)."""
        return self._parameter("empty_sync_feat", like).expand(batch, tokens, -1)

    def empty_text(self, batch: int, like: Tensor) -> Tensor:
        """Null text features (B, text_length, text_dim)."""
        return self._parameter("empty_string_feat", like).expand(batch, -1, -1)

    def forward(self, latent: Tensor, t: Tensor, conditions: Conditions, residuals: Residuals = NO_RESIDUALS) -> Tensor:
        """Flow velocity (B, L, C) of ``latent`` (B, L, C) at flow time ``t`` (B,)."""
        return self.flow(self.audio_input_proj(latent), t, conditions, residuals)

    def flow(self, x: Tensor, t: Tensor, conditions: Conditions, residuals: Residuals = NO_RESIDUALS) -> Tensor:
        """As :meth:`forward`, from the projected latent ``x`` (B, L, D), which guidance branches share."""
        length, clip_length = x.shape[1], conditions.clip.shape[1]
        latent_rope = rope_table(length, device=x.device)
        clip_rope = rope_table(clip_length, length / clip_length, device=x.device)
        global_condition = self.t_embed(t, x.dtype)[:, None] + conditions.pooled
        rows = global_condition + conditions.sync
        if residuals.condition is not None:
            rows = rows[:, conditions.sync_index] + residuals.condition

        def latent_modulation(block: Any, index: int) -> Tensor:
            modulation = block.adaLN_modulation(rows)
            if residuals.condition is None and modulation.shape[1] != length:
                # adaLN ran on the distinct sync rows, fewer than latent tokens; spread them now.
                modulation = modulation[:, conditions.sync_index]
            if residuals.blocks:
                modulation += residuals.blocks[index]  # in place: on a CPU a new tensor costs as much as the sum
            return modulation

        clip, text = conditions.clip, conditions.text
        for index, block in enumerate(self.joint_blocks):
            modulation = latent_modulation(block.latent_block, index)
            x, clip, text = block(x, clip, text, modulation, global_condition, latent_rope, clip_rope)
        for index, block in enumerate(self.fused_blocks, start=len(self.joint_blocks)):
            x = block(x, latent_modulation(block, index), latent_rope)
        return self.final_layer(x, global_condition)

    def normalize(self, latent: Tensor) -> Tensor:
        """(latent - mean) / std, per channel."""
        return (latent - self._parameter("latent_mean", latent)) / self._parameter("latent_std", latent)

    def unnormalize(self, latent: Tensor) -> Tensor:
        """latent * std + mean, per channel."""
        return latent * self._parameter("latent_std", latent) + self._parameter("latent_mean", latent)


def join_conditions(parts: Sequence[Conditions]) -> Conditions:
    """Conditions of several clips, guidance branches or takes as one batch; all of the same lengths."""

    def join(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    names = ("clip", "sync", "text", "pooled", "clip_pooled", "text_pooled")
    return replace(parts[0], **{name: join(name) for name in names})
