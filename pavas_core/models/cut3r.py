"""CUT3R: a recurrent network that turns a stream of images into metric points and camera poses.

Written from a description of its behaviour (Wang et al., "Continuous 3D Perception Model with Persistent State", CVPR
2025); tensor names follow the released checkpoints. One frame at a time, with a state of constant size; a frame is an
image, a ray map (a camera without an image), or both.

Notation: N = h * w image tokens of 16 x 16 pixels, B batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pavas_core.models.cut3r_blocks import DecoderBlock, EncoderBlock, Parts, PoseMemory, Rotary, rotary
from pavas_core.models.cut3r_heads import PATCH, Heads, Prediction

ENCODER_HEAD_WIDTH, DECODER_HEAD_WIDTH, STATE_HEAD_WIDTH = 64, 64, 48
"""Channels a head of the released networks; shapes alone do not say them."""


@dataclass(frozen=True)
class Cut3rConfig:
    """Shape of the network; ``dpt`` heads (512 px release) or linear heads (224 px release).

    ``ray_maps`` and ``all_heads`` say whether parts are built that a video does not need: the encoder of ray maps, and
    the heads of colours and of directly predicted world points.
    """

    dpt: bool
    enc_dim: int = 1024
    enc_depth: int = 24
    enc_heads: int = 16
    dec_dim: int = 768
    dec_depth: int = 12
    dec_heads: int = 12
    state_heads: int = 16
    state_size: int = 768
    memory_size: int = 256
    ray_depth: int = 2
    ray_heads: int = 16
    head_widths: tuple[int, int, int, int] = (96, 192, 384, 768)
    head_features: int = 256
    ray_maps: bool = True
    all_heads: bool = True

    @property
    def size(self) -> int:
        """The picture size that a release with such heads was trained for, as :func:`network_size` takes it."""
        return 512 if self.dpt else 224


VARIANTS = {"cut3r_512_dpt": Cut3rConfig(dpt=True), "cut3r_224_linear": Cut3rConfig(dpt=False)}


def config_from_shapes(shapes: Mapping[str, Sequence[int]]) -> Cut3rConfig:
    """The network a state dict belongs to; heads are as wide as in the releases. Raises KeyError where it is none."""
    enc_dim, dec_dim = shapes["patch_embed.proj.weight"][0], shapes["decoder_embed.weight"][0]

    def depth(name: str) -> int:
        return len({key.split(".")[1] for key in shapes if key.startswith(f"{name}.")})

    dpt = "downstream_head.dpt_self.head.4.weight" in shapes
    if not dpt and "downstream_head.proj.fc2.weight" not in shapes:
        raise KeyError("downstream_head")
    heads: dict[str, Any] = {}
    if dpt:
        level = "downstream_head.dpt_self.act_postprocess.{}.0.weight"
        heads["head_widths"] = tuple(shapes[level.format(index)][0] for index in range(4))
        heads["head_features"] = shapes["downstream_head.dpt_self.scratch.refinenet1.out_conv.weight"][0]
    return Cut3rConfig(
        dpt=dpt,
        enc_dim=enc_dim,
        enc_depth=depth("enc_blocks"),
        enc_heads=enc_dim // ENCODER_HEAD_WIDTH,
        dec_dim=dec_dim,
        dec_depth=depth("dec_blocks"),
        dec_heads=dec_dim // DECODER_HEAD_WIDTH,
        state_heads=dec_dim // STATE_HEAD_WIDTH,
        state_size=shapes["register_tokens.weight"][0],
        memory_size=shapes["pose_retriever.mem"][1],
        ray_depth=depth("enc_blocks_ray_map"),
        ray_heads=enc_dim // ENCODER_HEAD_WIDTH,
        **heads,
    )


class State(NamedTuple):
    """What the network remembers: ``tokens`` (B, state_size, dec_dim), ``memory`` (B, memory_size, 2 dec_dim)."""

    tokens: Tensor
    memory: Tensor


class _PatchEmbed(nn.Module):
    def __init__(self, parts: Parts, channels: int, dim: int) -> None:
        super().__init__()
        self.proj = parts.conv(channels, dim, PATCH, stride=PATCH)


class Cut3r(nn.Module):
    """The recurrent network. Call :meth:`initial_state`, then :meth:`forward` frame after frame.

    ``dtype`` is the type of the matrix products in encoder and decoder (default float32); streams, heads and the
    exponentials after them stay in single precision.
    """

    def __init__(
        self, config: Cut3rConfig, *, operations: Any = nn, dtype: torch.dtype | None = None, device: Any = None
    ) -> None:
        super().__init__()
        parts = Parts(operations, device, dtype or torch.float32)
        enc, dec = config.enc_dim, config.dec_dim
        self.config, self.dtype = config, parts.dtype
        self.patch_embed = _PatchEmbed(parts, 3, enc)
        self.enc_blocks = nn.ModuleList(
            EncoderBlock(parts, enc, config.enc_heads, half_rope=True) for _ in range(config.enc_depth)
        )
        self.enc_norm = parts.norm(enc)
        self.decoder_embed = parts.linear(enc, dec)
        self.dec_blocks = nn.ModuleList(DecoderBlock(parts, dec, config.dec_heads) for _ in range(config.dec_depth))
        self.dec_norm = parts.norm(dec)
        self.register_tokens = parts.embedding(config.state_size, enc)
        self.decoder_embed_state = parts.linear(enc, dec)
        self.dec_blocks_state = nn.ModuleList(
            DecoderBlock(parts, dec, config.state_heads) for _ in range(config.dec_depth)
        )
        self.dec_norm_state = parts.norm(dec)
        self.pose_token = parts.parameter(1, 1, dec)
        self.pose_retriever = PoseMemory(parts, enc, dec, config.dec_heads, config.memory_size)
        self.downstream_head = Heads(
            Parts(operations, device, torch.float32),
            dpt=config.dpt,
            enc_dim=enc,
            dim=dec,
            heads=config.dec_heads,
            widths=config.head_widths,
            features=config.head_features,
            all_heads=config.all_heads,
        )
        if config.ray_maps:
            self.patch_embed_ray_map = _PatchEmbed(parts, 6, enc)
            self.enc_blocks_ray_map = nn.ModuleList(
                EncoderBlock(parts, enc, config.ray_heads, half_rope=False) for _ in range(config.ray_depth)
            )
            self.enc_norm_ray_map = parts.norm(enc)
            self.masked_img_token = parts.parameter(1, enc)
            self.masked_ray_map_token = parts.parameter(1, enc)

    def initial_state(self, batch: int, device: Any = None) -> State:
        """The state before the first frame; it depends on no image. ``device`` is where the network computes."""
        index = torch.arange(self.config.state_size, device=device)
        tokens = self.decoder_embed_state(self.register_tokens(index).to(self.dtype)).float()
        memory = self.pose_retriever.mem.to(tokens)
        return State(tokens.expand(batch, -1, -1), memory.expand(batch, -1, -1))

    def encode(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1, sides divisible by 16 -> features (B, N, enc_dim). Needs no state, so that
        several frames may be encoded at once."""
        x = self.patch_embed.proj(image.to(self.dtype)).flatten(2).transpose(1, 2).float()
        places = self._places(_grid(image.shape[-2:]), image.device, self.config.enc_dim // self.config.enc_heads)
        for block in self.enc_blocks:
            x = block(x, places)
        return self.enc_norm(x)

    def encode_rays(self, rays: Tensor) -> Tensor:
        """Ray maps (B, H, W, 6) -> features (B, N, enc_dim)."""
        x = self.patch_embed_ray_map.proj(rays.movedim(-1, 1).to(self.dtype)).flatten(2).transpose(1, 2).float()
        places = self._places(_grid(rays.shape[1:3]), rays.device, self.config.enc_dim // self.config.ray_heads)
        for block in self.enc_blocks_ray_map:
            x = block(x, places)
        return self.enc_norm_ray_map(x)

    def forward(
        self,
        image: Tensor | None,
        state: State,
        *,
        first: bool,
        rays: Tensor | None = None,
        update: Tensor | bool = True,
        reset: Tensor | bool = False,
        all_heads: bool = False,
        mixed: bool = False,
    ) -> tuple[Prediction, State]:
        """One frame: image (B, 3, H, W), ray map (B, H, W, 6) or both -> its geometry and the state after it.

        ``first`` is True for the first frame of a clip, not after a reset. ``update`` and ``reset`` are bool or (B,):
        whether the state may change, which a frame without an image never does, and whether the state starts again
        after this frame. ``mixed`` marks frames of a clip that is known beforehand to hold ray maps: the features
        then say which of the two is missing. ``all_heads`` adds colours and directly predicted world points.
        """
        feature = self._feature(image, rays, mixed)
        shape = image.shape[-2:] if image is not None else rays.shape[1:3] if rays is not None else (0, 0)
        prediction, after = self.decode(
            feature,
            _grid(shape),
            state,
            first=first,
            write=image is not None and update is not False,
            all_heads=all_heads,
        )
        after = _where(torch.as_tensor(update, device=feature.device), after, state)
        if reset is not False:
            start = self.initial_state(feature.shape[0], feature.device)
            after = _where(torch.as_tensor(reset, device=feature.device), start, after)
        return prediction, after

    def query(self, rays: Tensor, state: State, *, all_heads: bool = False) -> Prediction:
        """What would be seen along a ray map (B, H, W, 6); the state stays as it is."""
        return self(None, state, first=False, rays=rays, update=False, all_heads=all_heads)[0]

    def _feature(self, image: Tensor | None, rays: Tensor | None, mixed: bool) -> Tensor:
        feature = None if image is None else self.encode(image)
        if rays is not None:
            of_rays = self.encode_rays(rays)
            feature = of_rays if feature is None else feature + of_rays
        if feature is None:
            raise ValueError("a frame needs an image or a ray map")
        if mixed and image is None:
            feature = feature + self.masked_img_token.to(feature)
        if mixed and rays is None:
            feature = feature + self.masked_ray_map_token.to(feature)
        return feature

    def decode(
        self,
        feature: Tensor,
        grid: tuple[int, int],
        state: State,
        *,
        first: bool,
        write: bool = True,
        all_heads: bool = False,
    ) -> tuple[Prediction, State]:
        """Feature (B, N, enc_dim) of one frame -> its geometry, and the state after it where ``write`` is set."""
        config, device = self.config, feature.device
        overall = feature.mean(dim=1, keepdim=True)
        if first:
            pose_token = self.pose_token.to(feature).expand(feature.shape[0], -1, -1)
        else:
            pose_token = self.pose_retriever.read(state.memory, overall)

        x = torch.cat([pose_token, self.decoder_embed(feature.to(self.dtype)).float()], dim=1)
        s = state.tokens
        wide, narrow = config.dec_dim // config.dec_heads, config.dec_dim // config.state_heads
        image_wide, state_wide = self._places(grid, device, wide, pose=True), self._state_places(device, wide)
        image_narrow, state_narrow = self._places(grid, device, narrow, pose=True), self._state_places(device, narrow)
        hooks = (config.dec_depth * 2 // 4, config.dec_depth * 3 // 4)
        levels = [feature]
        for depth, (block, state_block) in enumerate(zip(self.dec_blocks, self.dec_blocks_state, strict=True), start=1):
            # Both streams read the other one as it was before this layer.
            before = x
            x = block(x, s, image_wide, state_wide)
            if write or depth < config.dec_depth:
                s = state_block(s, before, state_narrow, image_narrow)
            if depth in hooks:
                levels.append(x[:, 1:])
        x = self.dec_norm(x)
        levels.append(x[:, 1:])
        places = self._places(grid, device, wide)
        prediction = self.downstream_head(levels, x[:, 0], places, grid, all_heads)
        if not write:
            return prediction, state
        return prediction, State(self.dec_norm_state(s), self.pose_retriever.write(state.memory, overall, x[:, :1]))

    def _places(self, grid: tuple[int, int], device: Any, width: int, *, pose: bool = False) -> Rotary:
        """Rotary angles of image tokens; with ``pose`` those of the pose token at (-1, -1) before them."""
        position = torch.cartesian_prod(torch.arange(grid[0], device=device), torch.arange(grid[1], device=device))
        return rotary(torch.cat([position.new_full((1, 2), -1), position]) if pose else position, width)

    def _state_places(self, device: Any, width: int) -> Rotary:
        """Rotary angles of state tokens, which lie on a grid of an even width of about the root of their number."""
        columns = int(self.config.state_size**0.5)
        columns += columns % 2
        index = torch.arange(self.config.state_size, device=device)
        return rotary(torch.stack([index // columns, index % columns], dim=-1), width)


def _grid(shape: Sequence[int]) -> tuple[int, int]:
    return shape[0] // PATCH, shape[1] // PATCH


def _where(choice: Tensor, yes: State, no: State) -> State:
    """``yes`` where ``choice`` (() or (B,)) is true, else ``no``."""
    chosen = choice.bool().reshape(-1, 1, 1)
    return State(*(torch.where(chosen, a, b) for a, b in zip(yes, no, strict=True)))
