"""CUT3R: a recurrent network that turns a stream of images into metric points and camera poses.

Written from a description of its behaviour (Wang et al., "Continuous 3D Perception Model with Persistent State", CVPR
2025); tensor names follow the released checkpoints. Only what a video needs: one image at a time, a state of constant
size, no ray-map queries.

Notation: N = h * w image tokens of 16 x 16 pixels, B batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 16
ROPE_BASE = 100.0


@dataclass(frozen=True)
class Cut3rConfig:
    """Shape of the network; ``dpt`` heads (512 px release) or linear heads (224 px release)."""

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
    head_widths: tuple[int, int, int, int] = (96, 192, 384, 768)
    head_features: int = 256


VARIANTS = {"cut3r_512_dpt": Cut3rConfig(dpt=True), "cut3r_224_linear": Cut3rConfig(dpt=False)}


def config_from_names(names: Mapping[str, Sequence[int]] | set[str]) -> Cut3rConfig:
    """Which released variant a state dict is. Raises KeyError if it is neither."""
    if "downstream_head.dpt_self.head.4.weight" in names:
        return VARIANTS["cut3r_512_dpt"]
    if "downstream_head.proj.fc2.weight" in names:
        return VARIANTS["cut3r_224_linear"]
    raise KeyError("downstream_head")


class State(NamedTuple):
    """What the network remembers: ``tokens`` (B, state_size, dec_dim), ``memory`` (B, memory_size, 2 dec_dim)."""

    tokens: Tensor
    memory: Tensor


class Prediction(NamedTuple):
    """One frame's geometry."""

    points: Tensor
    """(B, H, W, 3) metres in this camera's frame: x right, y down, z forward."""
    confidence: Tensor
    """(B, H, W) >= 1."""
    pose: Tensor
    """(B, 7) translation then quaternion w, x, y, z, camera to world; the world is about the first camera."""
    rgb: Tensor | None = None
    world_points: Tensor | None = None
    """(B, H, W, 3) direct prediction of world points, when asked for."""
    world_confidence: Tensor | None = None


def rope2d(x: Tensor, position: Tensor) -> Tensor:
    """Rotate x (B, heads, N, D) by token positions (B, N, 2) = (row, column); -1 is a valid position.

    The first half of the channels turns with the row, the second with the column; channel k pairs with k + D / 4.
    """
    quarter = x.shape[-1] // 4
    frequency = ROPE_BASE ** -(torch.arange(quarter, dtype=torch.float32, device=x.device) / quarter)
    angle = position.float()[:, None, :, :, None] * frequency  # (B, 1, N, 2, quarter)
    cos, sin = angle.cos(), angle.sin()
    u, v = x.float().unflatten(-1, (2, 2, quarter)).unbind(-2)
    return torch.stack([u * cos - v * sin, v * cos + u * sin], dim=-2).flatten(-3).to(x.dtype)


def heads_of(x: Tensor, heads: int) -> Tensor:
    """(B, N, C) -> (B, heads, N, C / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, heads, N, D) -> (B, N, C)."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class _Parts:
    """How layers are made: the host's operations and factory arguments."""

    def __init__(self, operations: Any, factory: dict[str, Any]) -> None:
        self.operations, self.factory = operations, factory

    def linear(self, dim_in: int, dim_out: int) -> Any:
        return self.operations.Linear(dim_in, dim_out, **self.factory)

    def norm(self, dim: int) -> Any:
        return self.operations.LayerNorm(dim, eps=1e-6, **self.factory)

    def conv(self, dim_in: int, dim_out: int, kernel: int, **options: Any) -> Any:
        return self.operations.Conv2d(dim_in, dim_out, kernel, **options, **self.factory)

    def parameter(self, *shape: int) -> nn.Parameter:
        return nn.Parameter(torch.zeros(*shape, **self.factory))


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, parts: _Parts, dim: int, hidden: int, dim_out: int | None = None) -> None:
        super().__init__()
        self.fc1 = parts.linear(dim, hidden)
        self.fc2 = parts.linear(hidden, dim_out or dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SelfAttention(nn.Module):
    """Self-attention with 2-D rotary positions. ``half_rope`` rounds queries and keys to fp16 around the rotation, as
    the released image encoder was run."""

    def __init__(self, parts: _Parts, dim: int, heads: int, half_rope: bool = False) -> None:
        super().__init__()
        self.heads, self.half_rope = heads, half_rope
        self.qkv = parts.linear(dim, 3 * dim)
        self.proj = parts.linear(dim, dim)

    def forward(self, x: Tensor, position: Tensor | None) -> Tensor:
        q, k, v = (heads_of(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        if position is not None:
            working = torch.float16 if self.half_rope else q.dtype
            q, k = (rope2d(part.to(working), position).to(v.dtype) for part in (q, k))
        return self.proj(softmax_attention(q, k, v))


class CrossAttention(nn.Module):
    """Attention of one stream to another, each with its own positions."""

    def __init__(self, parts: _Parts, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projq = parts.linear(dim, dim)
        self.projk = parts.linear(dim, dim)
        self.projv = parts.linear(dim, dim)
        self.proj = parts.linear(dim, dim)

    def forward(self, x: Tensor, other: Tensor, position: Tensor | None, other_position: Tensor | None) -> Tensor:
        q, k, v = (heads_of(part, self.heads) for part in (self.projq(x), self.projk(other), self.projv(other)))
        if position is not None and other_position is not None:
            q, k = rope2d(q, position), rope2d(k, other_position)
        return self.proj(softmax_attention(q, k, v))


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, parts: _Parts, dim: int, heads: int, half_rope: bool) -> None:
        super().__init__()
        self.norm1 = parts.norm(dim)
        self.attn = SelfAttention(parts, dim, heads, half_rope)
        self.norm2 = parts.norm(dim)
        self.mlp = Mlp(parts, dim, 4 * dim)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), position)
        return x + self.mlp(self.norm2(x))


class DecoderBlock(nn.Module):
    """Self-attention, attention to the other stream (read as given), MLP."""

    def __init__(self, parts: _Parts, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = parts.norm(dim)
        self.attn = SelfAttention(parts, dim, heads)
        self.cross_attn = CrossAttention(parts, dim, heads)
        self.norm2 = parts.norm(dim)
        self.norm3 = parts.norm(dim)
        self.mlp = Mlp(parts, dim, 4 * dim)
        self.norm_y = parts.norm(dim)

    def forward(
        self, x: Tensor, other: Tensor, position: Tensor | None = None, other_position: Tensor | None = None
    ) -> Tensor:
        x = x + self.attn(self.norm1(x), position)
        x = x + self.cross_attn(self.norm2(x), self.norm_y(other), position, other_position)
        return x + self.mlp(self.norm3(x))


class AdaptiveNorm(nn.Module):
    """LayerNorm whose shift and scale come from a condition vector (B, D)."""

    def __init__(self, parts: _Parts, dim: int) -> None:
        super().__init__()
        self.norm = parts.norm(dim)
        self.mlp = nn.Sequential(nn.SiLU(), parts.linear(dim, 2 * dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.mlp(condition)[:, None].chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class PoseBlock(nn.Module):
    """Encoder block modulated by the pose token; turns tokens of this view into tokens of the world."""

    def __init__(self, parts: _Parts, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = AdaptiveNorm(parts, dim)
        self.attn = SelfAttention(parts, dim, heads)
        self.norm2 = AdaptiveNorm(parts, dim)
        self.mlp = Mlp(parts, dim, 4 * dim)

    def forward(self, x: Tensor, pose_token: Tensor, position: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x, pose_token), position)
        return x + self.mlp(self.norm2(x, pose_token))


class PoseMemory(nn.Module):
    """Associative memory from what a frame shows to where its camera was."""

    def __init__(self, parts: _Parts, config: Cut3rConfig) -> None:
        super().__init__()
        dim = config.dec_dim
        self.proj_q = parts.linear(config.enc_dim, dim)
        self.masked_token = parts.parameter(1, 1, dim)
        self.mem = parts.parameter(1, config.memory_size, 2 * dim)
        self.write_blocks = nn.ModuleList(DecoderBlock(parts, 2 * dim, config.dec_heads) for _ in range(2))
        self.read_blocks = nn.ModuleList(DecoderBlock(parts, 2 * dim, config.dec_heads) for _ in range(2))

    def read(self, memory: Tensor, global_feature: Tensor) -> Tensor:
        """Pose token (B, 1, D) guessed for a frame with mean feature (B, 1, enc_dim)."""
        masked = self.masked_token.to(global_feature).expand(global_feature.shape[0], -1, -1)
        x = torch.cat([self.proj_q(global_feature), masked], dim=-1)
        for block in self.read_blocks:
            x = block(x, memory)
        return x.chunk(2, dim=-1)[1]

    def write(self, memory: Tensor, global_feature: Tensor, pose_token: Tensor) -> Tensor:
        """The memory after a frame whose pose token (B, 1, D) is known."""
        entry = torch.cat([self.proj_q(global_feature), pose_token], dim=-1)
        for block in self.write_blocks:
            memory = block(memory, entry)
        return memory


class ResidualUnit(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, parts: _Parts, features: int) -> None:
        super().__init__()
        self.conv1 = parts.conv(features, features, 3, padding=1)
        self.conv2 = parts.conv(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


def double(x: Tensor) -> Tensor:
    """Bilinear upsampling by two, corners aligned."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class Fusion(nn.Module):
    """Merge a coarser map with a skip connection and double its size."""

    def __init__(self, parts: _Parts, features: int) -> None:
        super().__init__()
        self.out_conv = parts.conv(features, features, 1)
        self.resConfUnit1 = ResidualUnit(parts, features)
        self.resConfUnit2 = ResidualUnit(parts, features)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is not None:
            x = x + self.resConfUnit1(skip)
        return self.out_conv(double(self.resConfUnit2(x)))


class _Scratch(nn.Module):
    """Level adapters and fusions, under the released names."""

    def __init__(self, parts: _Parts, widths: Sequence[int], features: int) -> None:
        super().__init__()
        self.layer_rn = nn.ModuleList(parts.conv(width, features, 3, padding=1, bias=False) for width in widths)
        self.refinenet1 = Fusion(parts, features)
        self.refinenet2 = Fusion(parts, features)
        self.refinenet3 = Fusion(parts, features)
        self.refinenet4 = Fusion(parts, features)


class DptHead(nn.Module):
    """Dense prediction transformer head (Ranftl et al., ICCV 2021): four token levels -> (B, C, H, W)."""

    def __init__(self, parts: _Parts, config: Cut3rConfig, channels: int) -> None:
        super().__init__()
        w0, w1, w2, w3 = config.head_widths
        enc, dec, features = config.enc_dim, config.dec_dim, config.head_features
        transpose = parts.operations.ConvTranspose2d
        self.act_postprocess = nn.ModuleList(
            [
                nn.Sequential(parts.conv(enc, w0, 1), transpose(w0, w0, 4, stride=4, **parts.factory)),
                nn.Sequential(parts.conv(dec, w1, 1), transpose(w1, w1, 2, stride=2, **parts.factory)),
                nn.Sequential(parts.conv(dec, w2, 1)),
                nn.Sequential(parts.conv(dec, w3, 1), parts.conv(w3, w3, 3, stride=2, padding=1)),
            ]
        )
        self.scratch = _Scratch(parts, config.head_widths, features)
        self.head = nn.Sequential(
            parts.conv(features, features // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            parts.conv(features // 2, features // 2, 3, padding=1),
            nn.ReLU(),
            parts.conv(features // 2, channels, 1),
        )

    def forward(self, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        maps = [
            adapt(process(tokens.transpose(1, 2).unflatten(2, grid)))
            for tokens, process, adapt in zip(levels, self.act_postprocess, self.scratch.layer_rn, strict=True)
        ]
        x = self.scratch.refinenet4(maps[3])[:, :, : grid[0], : grid[1]]
        x = self.scratch.refinenet3(x, maps[2])
        x = self.scratch.refinenet2(x, maps[1])
        return self.head(self.scratch.refinenet1(x, maps[0]))


class _PoseHead(nn.Module):
    def __init__(self, parts: _Parts, dim: int) -> None:
        super().__init__()
        self.mlp = Mlp(parts, dim, 4 * dim, 7)


class Heads(nn.Module):
    """Points and pose from the decoder's tokens, with DPT or linear maps."""

    def __init__(self, parts: _Parts, config: Cut3rConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dec_dim
        self.pose_head = _PoseHead(parts, dim)
        self.final_transform = nn.ModuleList(PoseBlock(parts, dim, config.dec_heads) for _ in range(2))
        if config.dpt:
            self.dpt_self = DptHead(parts, config, 4)
            self.dpt_cross = DptHead(parts, config, 4)
            self.dpt_rgb = DptHead(parts, config, 3)
        else:
            self.proj = Mlp(parts, dim, 4 * dim, 4 * PATCH**2)
            self.cross_proj = Mlp(parts, dim, 4 * dim, 4 * PATCH**2)
            self.rgb_proj = Mlp(parts, dim, 4 * dim, 3 * PATCH**2)

    def forward(
        self, levels: Sequence[Tensor], pose_token: Tensor, position: Tensor, grid: tuple[int, int], all_heads: bool
    ) -> Prediction:
        """levels: encoder tokens, two inner decoder levels, final tokens; pose_token (B, D)."""

        def dense(name: str, last: Tensor) -> Tensor:
            if self.config.dpt:
                return getattr(self, f"dpt_{name}")([*levels[:3], last], grid)
            linear = {"self": "proj", "cross": "cross_proj", "rgb": "rgb_proj"}[name]
            tokens = getattr(self, linear)(last)
            return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, grid), PATCH)

        points, confidence = points_and_confidence(dense("self", levels[3]), positive_z=not self.config.dpt)
        pose = decode_pose(self.pose_head.mlp(pose_token))
        if not all_heads:
            return Prediction(points, confidence, pose)
        world = levels[3]
        for block in self.final_transform:
            world = block(world, pose_token, position)
        world_points, world_confidence = points_and_confidence(dense("cross", world))
        return Prediction(points, confidence, pose, decode_rgb(dense("rgb", levels[3])), world_points, world_confidence)


def points_and_confidence(raw: Tensor, *, positive_z: bool = False) -> tuple[Tensor, Tensor]:
    """(B, 4, H, W) -> points (B, H, W, 3), distance on an exponential scale, and confidence 1 + exp (B, H, W)."""
    xyz = raw[:, :3].movedim(1, -1)
    if positive_z:
        xyz = xyz * xyz[..., 2:].sign()
    distance = xyz.norm(dim=-1, keepdim=True)
    return xyz / distance.clamp(min=1e-8) * distance.expm1(), 1 + raw[:, 3].exp()


def decode_rgb(raw: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, H, W, 3) in -1..1."""
    return 2 * (raw.movedim(1, -1).sigmoid() * (1 - 2e-6) + 1e-6 - 0.5)


def decode_pose(raw: Tensor) -> Tensor:
    """(B, 7) -> translation on an exponential scale and unit quaternion with w >= 0."""
    distance = raw[:, :3].norm(dim=-1, keepdim=True)
    translation = raw[:, :3] * distance.expm1() / distance.clamp(min=1e-8)
    quaternion = F.normalize(raw[:, 3:], dim=-1, eps=1e-12)
    return torch.cat([translation, torch.where(quaternion[:, :1] < 0, -quaternion, quaternion)], dim=-1)


def pose_matrix(pose: Tensor) -> Tensor:
    """(B, 7) translation and quaternion (any norm) -> (B, 4, 4) camera-to-world."""
    w, x, y, z = pose[:, 3:].unbind(-1)
    s = 2.0 / pose[:, 3:].square().sum(-1)
    rows = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    matrix = torch.zeros(*pose.shape[:-1], 4, 4, dtype=pose.dtype, device=pose.device)
    matrix[:, :3, :3] = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    matrix[:, :3, 3] = pose[:, :3]
    matrix[:, 3, 3] = 1
    return matrix


def world_points(points: Tensor, pose: Tensor) -> Tensor:
    """Points of a view (B, H, W, 3) in the world of its pose (B, 7)."""
    matrix = pose_matrix(pose)
    return torch.einsum("bij,bhwj->bhwi", matrix[:, :3, :3], points) + matrix[:, None, None, :3, 3]


def focal_length(points: Tensor, *, iterations: int = 10) -> Tensor:
    """Focal length in pixels (B,) that best explains points (B, H, W, 3) of a pinhole camera centred in the picture.

    Iteratively reweighted least squares for the smallest sum of distances (Weiszfeld's method).
    """
    height, width = points.shape[1:3]
    x = torch.arange(width, dtype=points.dtype, device=points.device) - width // 2
    y = torch.arange(height, dtype=points.dtype, device=points.device) - height // 2
    pixel = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
    ray = (points[..., :2] / points[..., 2:]).flatten(1, 2).nan_to_num(0.0, 0.0, 0.0)
    along, squared = (pixel * ray).sum(-1), ray.square().sum(-1)
    focal = along.mean(-1) / squared.mean(-1)
    for _ in range(iterations):
        weight = 1 / (pixel - focal[:, None, None] * ray).norm(dim=-1).clamp(min=1e-8)
        focal = (weight * along).mean(-1) / (weight * squared).mean(-1)
    return focal.clamp(min=0.0)


class _PatchEmbed(nn.Module):
    def __init__(self, parts: _Parts, channels: int, dim: int) -> None:
        super().__init__()
        self.proj = parts.conv(channels, dim, PATCH, stride=PATCH)


class Cut3r(nn.Module):
    """The recurrent network. Call :meth:`initial_state`, then :meth:`forward` frame after frame."""

    def __init__(self, config: Cut3rConfig, *, operations: Any = nn, dtype: Any = None, device: Any = None) -> None:
        super().__init__()
        parts = _Parts(operations, {"dtype": dtype, "device": device})
        enc, dec = config.enc_dim, config.dec_dim
        self.config = config
        self.patch_embed = _PatchEmbed(parts, 3, enc)
        self.enc_blocks = nn.ModuleList(
            EncoderBlock(parts, enc, config.enc_heads, half_rope=True) for _ in range(config.enc_depth)
        )
        self.enc_norm = parts.norm(enc)
        self.decoder_embed = parts.linear(enc, dec)
        self.dec_blocks = nn.ModuleList(DecoderBlock(parts, dec, config.dec_heads) for _ in range(config.dec_depth))
        self.dec_norm = parts.norm(dec)
        self.register_tokens = parts.operations.Embedding(config.state_size, enc, **parts.factory)
        self.decoder_embed_state = parts.linear(enc, dec)
        self.dec_blocks_state = nn.ModuleList(
            DecoderBlock(parts, dec, config.state_heads) for _ in range(config.dec_depth)
        )
        self.dec_norm_state = parts.norm(dec)
        self.pose_token = parts.parameter(1, 1, dec)
        self.pose_retriever = PoseMemory(parts, config)
        self.downstream_head = Heads(parts, config)

    def initial_state(self, batch: int) -> State:
        """The state before the first frame; it depends on no image."""
        index = torch.arange(self.config.state_size, device=self.register_tokens.weight.device)
        tokens = self.decoder_embed_state(self.register_tokens(index))
        memory = self.pose_retriever.mem.to(tokens)
        return State(tokens.expand(batch, -1, -1), memory.expand(batch, -1, -1))

    def _positions(self, batch: int, grid: tuple[int, int], device: Any) -> tuple[Tensor, Tensor, Tensor]:
        """(row, column) of image tokens, of pose and image tokens, of state tokens; each (B, n, 2)."""
        rows, columns = torch.arange(grid[0], device=device), torch.arange(grid[1], device=device)
        image = torch.cartesian_prod(rows, columns)[None].expand(batch, -1, -1)
        with_pose = torch.cat([image.new_full((batch, 1, 2), -1), image], dim=1)
        width = int(self.config.state_size**0.5)
        width += width % 2
        index = torch.arange(self.config.state_size, device=device)
        state = torch.stack([index // width, index % width], dim=-1)[None].expand(batch, -1, -1)
        return image, with_pose, state

    def forward(self, image: Tensor, state: State, *, first: bool, all_heads: bool = False) -> tuple[Prediction, State]:
        """One frame (B, 3, H, W) in -1..1, sides divisible by 16 -> its geometry and the state after it.

        ``first`` is True for the first frame of a clip. ``all_heads`` adds colours and directly predicted world
        points, which a video's velocities do not need.
        """
        batch, grid = image.shape[0], (image.shape[2] // PATCH, image.shape[3] // PATCH)
        position, pose_position, state_position = self._positions(batch, grid, image.device)
        encoded = self.patch_embed.proj(image).flatten(2).transpose(1, 2)
        for block in self.enc_blocks:
            encoded = block(encoded, position)
        encoded = self.enc_norm(encoded)

        overall = encoded.mean(dim=1, keepdim=True)
        if first:
            pose_token = self.pose_token.to(encoded).expand(batch, -1, -1)
        else:
            pose_token = self.pose_retriever.read(state.memory, overall)

        x, s = torch.cat([pose_token, self.decoder_embed(encoded)], dim=1), state.tokens
        hooks = (self.config.dec_depth * 2 // 4, self.config.dec_depth * 3 // 4)
        levels = [encoded]
        for depth, (block, state_block) in enumerate(zip(self.dec_blocks, self.dec_blocks_state, strict=True), start=1):
            x, s = (
                block(x, s, pose_position, state_position),
                state_block(s, x, state_position, pose_position),
            )
            if depth in hooks:
                levels.append(x[:, 1:])
        x = self.dec_norm(x)
        levels.append(x[:, 1:])
        prediction = self.downstream_head(levels, x[:, 0], position, grid, all_heads)
        memory = self.pose_retriever.write(state.memory, overall, x[:, :1])
        return prediction, State(self.dec_norm_state(s), memory)
