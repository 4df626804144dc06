"""Heads of CUT3R: metric points, confidence, colours and a pose from the decoder's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pavas_core.models.cut3r_blocks import Mlp, Parts, PoseBlock, Rotary

PATCH = 16


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


def double(x: Tensor) -> Tensor:
    """Bilinear upsampling by two, corners aligned."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class ResidualUnit(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, parts: Parts, features: int) -> None:
        super().__init__()
        self.conv1 = parts.conv(features, features, 3, padding=1)
        self.conv2 = parts.conv(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Fusion(nn.Module):
    """Merge a coarser map with a skip connection and double its size."""

    def __init__(self, parts: Parts, features: int) -> None:
        super().__init__()
        self.out_conv = parts.conv(features, features, 1)
        self.resConfUnit1 = ResidualUnit(parts, features)
        self.resConfUnit2 = ResidualUnit(parts, features)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is not None:
            x = x + self.resConfUnit1(skip)
        # A 1 x 1 convolution before the upsampling says the same as after it (the weights sum to one), at a quarter.
        return double(self.out_conv(self.resConfUnit2(x)))


class _Scratch(nn.Module):
    """Level adapters and fusions, under the released names."""

    def __init__(self, parts: Parts, widths: Sequence[int], features: int) -> None:
        super().__init__()
        self.layer_rn = nn.ModuleList(parts.conv(width, features, 3, padding=1, bias=False) for width in widths)
        self.refinenet1 = Fusion(parts, features)
        self.refinenet2 = Fusion(parts, features)
        self.refinenet3 = Fusion(parts, features)
        self.refinenet4 = Fusion(parts, features)


class DptHead(nn.Module):
    """Dense prediction transformer head (Ranftl et al., ICCV 2021): four token levels -> (B, C, H, W)."""

    def __init__(
        self, parts: Parts, enc_dim: int, dim: int, widths: Sequence[int], features: int, channels: int
    ) -> None:
        super().__init__()
        w0, w1, w2, w3 = widths
        self.act_postprocess = nn.ModuleList(
            [
                nn.Sequential(parts.conv(enc_dim, w0, 1), parts.upconv(w0, 4)),
                nn.Sequential(parts.conv(dim, w1, 1), parts.upconv(w1, 2)),
                nn.Sequential(parts.conv(dim, w2, 1)),
                nn.Sequential(parts.conv(dim, w3, 1), parts.conv(w3, w3, 3, stride=2, padding=1)),
            ]
        )
        self.scratch = _Scratch(parts, widths, features)
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
    def __init__(self, parts: Parts, dim: int) -> None:
        super().__init__()
        self.mlp = Mlp(parts, dim, 4 * dim, 7)


class Heads(nn.Module):
    """Points and pose; with ``all_heads`` colours and directly predicted world points too, which no video needs."""

    def __init__(
        self,
        parts: Parts,
        *,
        dpt: bool,
        enc_dim: int,
        dim: int,
        heads: int,
        widths: Sequence[int],
        features: int,
        all_heads: bool,
    ) -> None:
        super().__init__()
        self.dpt = dpt
        self.pose_head = _PoseHead(parts, dim)
        channels = {"self": 4, "cross": 4, "rgb": 3} if all_heads else {"self": 4}
        for name, count in channels.items():
            if dpt:
                setattr(self, f"dpt_{name}", DptHead(parts, enc_dim, dim, widths, features, count))
            else:
                setattr(self, LINEAR_NAMES[name], Mlp(parts, dim, 4 * dim, count * PATCH**2))
        if all_heads:
            self.final_transform = nn.ModuleList(PoseBlock(parts, dim, heads) for _ in range(2))

    def _dense(self, name: str, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        if self.dpt:
            return getattr(self, f"dpt_{name}")(levels, grid)
        tokens = getattr(self, LINEAR_NAMES[name])(levels[3])
        return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, grid), PATCH)

    def forward(
        self, levels: Sequence[Tensor], pose_token: Tensor, places: Rotary, grid: tuple[int, int], all_heads: bool
    ) -> Prediction:
        """levels: encoder tokens, two inner decoder levels, final tokens; pose_token (B, D)."""
        points, confidence = points_and_confidence(self._dense("self", levels, grid), positive_z=not self.dpt)
        pose = decode_pose(self.pose_head.mlp(pose_token))
        if not all_heads:
            return Prediction(points, confidence, pose)
        world = levels[3]
        for block in self.final_transform:
            world = block(world, pose_token, places)
        world_points, world_confidence = points_and_confidence(self._dense("cross", [*levels[:3], world], grid))
        rgb = decode_rgb(self._dense("rgb", levels, grid))
        return Prediction(points, confidence, pose, rgb, world_points, world_confidence)


LINEAR_NAMES = {"self": "proj", "cross": "cross_proj", "rgb": "rgb_proj"}


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
