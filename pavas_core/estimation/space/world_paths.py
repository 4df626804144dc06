"""Where the centre of each object is in every view, from what is seen of its surface."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pavas_core.estimation.space.reconstruction import View
from pavas_core.estimation.space.world_background import Alignment
from pavas_core.models.cut3r_picture import Placement
from pavas_core.physics.masks import unpack_mask
from pavas_core.physics.types import Track

_RIM_PX = 3.0
_RIM_SHARE = 0.5
"""Of the thickness of an object: how much of its rim is dropped at most."""
_LEAST_PIXELS = 5
_SURE = 0.3
"""Of an object's pixels: the least sure that are dropped."""
_HIDDEN = 0.93
"""Of the usual area: what is smaller, next to another object, is partly hidden."""
_GATE = 3.0 * 1.4826
MARGIN_PX = 9
"""Around a mask: where pixels may belong to the object still."""


@dataclass
class Surface:
    """What is seen of one object, view after view, in the reconstructor's pixels and its unaligned metres."""

    track: Track
    centres_px: list[tuple[float, float]] = field(default_factory=list)
    depths_m: list[float] = field(default_factory=list)
    """Of the surface, robust."""
    thickness_px: list[float] = field(default_factory=list)
    """Half the shorter side of the outline."""
    area_px: list[float] = field(default_factory=list)
    touched: list[bool] = field(default_factory=list)
    """Another object's outline is next to this one's, so that it may cover a part."""
    rim: list[float] = field(default_factory=list)
    """Share of the thickness that was dropped as rim."""
    literal: list[np.ndarray] = field(default_factory=list)
    """Mean world point of the mask: the paper's centroid."""

    def see(self, view: View, mask: np.ndarray, others: np.ndarray, index: int, placement: Placement) -> None:
        """Take view ``index``; ``mask`` bool [h, w] is the object in it, ``others`` are all others with a margin."""
        import cv2

        centre, depth, thickness, rim = (np.nan, np.nan), np.nan, np.nan, 0.0
        literal = np.full(3, np.nan)
        if self.track.visible[index] and mask.any():
            x, y = placement.to_network(self.track.centroids[index].astype(float))
            centre = float(x), float(y)
            literal = _mean_point(view, mask)
            padded = np.pad(mask, 1).astype(np.uint8)
            inner = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
            rows, columns = np.nonzero(mask)
            if len(rows) > 2:
                spread = np.linalg.eigvalsh(np.cov(np.stack([columns, rows])))
                thickness = 2.0 * float(np.sqrt(max(float(spread[0]), 0.0) + 1.0 / 12))
            cut = min(_RIM_PX, _RIM_SHARE * float(inner.max()))
            depth = _depth(view, inner > cut)
            rim = min(1.0, cut / thickness) if thickness > 0 else 0.0
        self.centres_px.append(centre)
        self.depths_m.append(depth)
        self.thickness_px.append(thickness)
        self.area_px.append(float(mask.sum()))
        self.touched.append(bool((mask & others).any()))
        self.rim.append(rim)
        self.literal.append(literal)


def _mean_point(view: View, mask: np.ndarray) -> np.ndarray:
    """The mean world point of all of a mask's pixels, as the paper has it."""
    points = view.points[mask].astype(float)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return np.full(3, np.nan)
    mean = points.mean(axis=0)
    return mean if view.pose is None else np.asarray(view.pose[:3, :3] @ mean + view.pose[:3, 3])


def _depth(view: View, core: np.ndarray) -> float:
    """Weighted median of the depth of a mask's core, without what is unsure, steep or apart."""
    depth = view.points[..., 2][core].astype(float)
    sure = np.ones(len(depth)) if view.confidence is None else view.confidence[core].astype(float)
    good = np.isfinite(depth) & (depth > 1e-6)
    depth, sure = depth[good], sure[good]
    if len(depth) < 1:
        return float("nan")
    if len(depth) >= 4 * _LEAST_PIXELS:
        keep = sure >= np.quantile(sure, _SURE)
        depth, sure = depth[keep], sure[keep]
    off = np.abs(np.log(depth / np.median(depth)))
    keep = off <= max(_GATE * float(np.median(off)), 1e-3)
    depth, weight = depth[keep], np.minimum(sure[keep], np.quantile(sure[keep], 0.95)) ** 2
    order = np.argsort(depth)
    return float(depth[order][np.searchsorted(np.cumsum(weight[order]), 0.5 * weight.sum())])


@dataclass(frozen=True)
class WorldPath:
    """The centre of one object over time, in metres of the reconstruction, in the aligned world."""

    track: Track
    frames: np.ndarray
    """int [N] views in which it was measured."""
    times_s: np.ndarray
    places: np.ndarray
    """float64 [N, 3]."""
    rays: np.ndarray
    """float64 [N, 3] unit vectors of the lines of sight."""
    across_m: float
    """Standard error of a place across the line of sight, a coordinate."""
    along_m: float
    """Standard error of a place along the line of sight."""
    distance_m: float
    """From the camera, in the middle."""
    diameter_m: float
    """Of a disc with the outline's area, in the middle."""
    literal: np.ndarray
    """float64 [L, 3] mean world points of the mask, not aligned; NaN where it is not seen."""


def path_of(
    surface: Surface, times_s: np.ndarray, alignment: Alignment, focal_px: float, shape: tuple[int, int]
) -> WorldPath:
    """The path of an object's centre: the line of sight through its outline's middle, as far as the surface, and half
    the thickness further."""
    pixels, depth = np.array(surface.centres_px), np.array(surface.depths_m)
    thickness, rim = np.array(surface.thickness_px), np.array(surface.rim)
    seen = np.isfinite(pixels).all(axis=1) & np.isfinite(depth)
    whole = seen & ~surface.track.truncated & ~_covered(np.array(surface.area_px), np.array(surface.touched))
    if whole.sum() >= max(5, 0.5 * seen.sum()):
        seen = whole
    middle = np.array([shape[1] // 2, shape[0] // 2])
    ray = np.concatenate([(pixels - middle) / focal_px, np.ones((len(pixels), 1))], axis=1)
    half_m, diameter_m = 0.0, float("nan")
    if seen.any():
        scaled = depth * alignment.scales
        half_m = float(np.nanmedian((thickness * scaled / focal_px)[seen]))
        # The median depth of a ball's disc lies this far in front of its centre; a flat front nearly as far.
        outer = 1.0 - float(np.nanmedian(rim[seen]))
        half_m *= float(np.sqrt(1.0 - 0.5 * outer**2))
        diameter = 2.0 * np.sqrt(np.array(surface.area_px) / np.pi) * (scaled + half_m) / focal_px
        diameter_m = float(np.nanmedian(diameter[seen]))
    camera = ray * (depth + half_m / alignment.scales)[:, None]
    frames = np.flatnonzero(seen)
    places = alignment.apply(np.where(seen[:, None], camera, 0.0))[frames]
    rays = np.einsum("lij,lj->li", alignment.rotations, ray)[frames]
    length = np.linalg.norm(rays, axis=1, keepdims=True)
    distance = float(np.median(np.linalg.norm(camera[frames], axis=1))) if len(frames) else float("nan")
    across, along = noise(places, rays / length)
    least = 0.15 * distance / focal_px
    return WorldPath(
        surface.track,
        frames,
        times_s[frames],
        places,
        rays / length,
        max(across, least),
        max(along, 2.0 * least),
        distance,
        diameter_m,
        np.array(surface.literal),
    )


def _covered(area: np.ndarray, touched: np.ndarray) -> np.ndarray:
    """Where something else hides a part: an outline next to another's that is smaller than when it stands alone."""
    alone = np.flatnonzero((area > 0) & ~touched)
    out = np.zeros(len(area), bool)
    for i in np.flatnonzero((area > 0) & touched):
        near = alone[np.argsort(np.abs(alone - i), kind="stable")[:8]]
        out[i] = len(near) > 0 and bool(area[i] < _HIDDEN * np.median(area[near]))
    return out


def noise(places: np.ndarray, rays: np.ndarray) -> tuple[float, float]:
    """Standard errors of places [N, 3] across and along the lines of sight [N, 3], from third differences.

    The lower part of the differences counts, so that sudden turns do not pass for noise.
    """
    if len(places) < 6:
        return 0.0, 0.0
    third = np.diff(places, n=3, axis=0) / np.sqrt(20.0)
    along = np.einsum("ni,ni->n", third, rays[1:-2])
    across = third - along[:, None] * rays[1:-2]
    # 0.35 quantiles of |N(0, 1)| and of the length of two such coordinates.
    quantiles = np.quantile(np.linalg.norm(across, axis=1), 0.35), np.quantile(np.abs(along), 0.35)
    return float(quantiles[0] / 0.928), float(quantiles[1] / 0.454)


def object_masks(tracks: list[Track], index: int, placement: Placement) -> list[np.ndarray]:
    """Every object's mask in view ``index``, bool [h, w]; its ellipse where the track brings no mask."""
    masks = []
    for track in tracks:
        if not track.visible[index]:
            masks.append(np.zeros((placement.height, placement.width), bool))
        elif track.masks is not None:
            masks.append(placement.mask(unpack_mask(track.masks, index)))
        else:
            masks.append(_ellipse(track.boxes[index], placement))
    return masks


def _ellipse(box: np.ndarray, placement: Placement) -> np.ndarray:
    corners = placement.to_network(box.reshape(2, 2).astype(float) - 0.5)
    x, y = np.meshgrid(np.arange(placement.width), np.arange(placement.height))
    middle, half = corners.mean(axis=0), np.maximum((corners[1] - corners[0]) / 2, 0.5)
    return np.asarray(((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1.0)


def with_margin(masks: list[np.ndarray], shape: tuple[int, int], margin_px: float) -> np.ndarray:
    """All masks together, widened by ``margin_px`` of a picture of 512 pixels, two of its own at least."""
    import cv2

    together = np.zeros(shape, np.uint8)
    for mask in masks:
        together |= mask.astype(np.uint8)
    size = 2 * max(2, round(margin_px * max(shape) / 512)) + 1
    return np.asarray(cv2.dilate(together, np.ones((size, size), np.uint8)) > 0)
