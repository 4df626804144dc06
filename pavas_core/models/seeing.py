"""A clip through the published encoders, once: semantic tokens, sync tokens and features of every object."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from pavas_core.models import frames
from pavas_core.models.sound_model import Features, ObjectFeatures
from pavas_core.models.synchformer import HOP, WINDOW
from pavas_core.sampling.generate import SYNC_TOKENS, clip_tokens, sync_tokens
from pavas_core.video.cuts import find_cuts

if TYPE_CHECKING:
    from pavas_core.models.clip_encoder import ClipEncoder
    from pavas_core.models.synchformer import SyncEncoder
    from pavas_core.physics.types import Track, TrackSet
    from pavas_core.runtime import Runtime
    from pavas_core.video.clip import Clip

PICTURES_AT_ONCE = {"cpu": 4}
WINDOWS_AT_ONCE = {"cpu": 1}
AT_ONCE_ELSEWHERE = 16


def look(
    clip: Clip,
    tracks: TrackSet | None,
    semantic: ClipEncoder,
    sync: SyncEncoder,
    *,
    encoder: str,
    dtype: torch.dtype,
    runtime: Runtime,
) -> Features:
    """Encode a clip by its own times, one network at a time in memory; pictures are read as they are needed."""
    duration_s = clip.duration_s
    times_s = torch.arange(clip_tokens(duration_s), dtype=torch.float64) / frames.SEMANTIC_RATE_HZ
    with torch.inference_mode():
        with runtime.resident(semantic):
            tokens, objects = _semantic(clip, tracks, semantic, times_s, dtype, runtime)
        with runtime.resident(sync):
            motion = _sync(clip, sync, sync_tokens(duration_s) // SYNC_TOKENS, dtype, runtime)
    return Features(encoder, duration_s, tokens, motion, times_s, objects, find_cuts(clip, runtime=runtime))


def _batched(pictures: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    waiting: list[Tensor] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == size:
            yield torch.stack(waiting)
            waiting = []
    if waiting:
        yield torch.stack(waiting)


def _at_once(table: dict[str, int], runtime: Runtime) -> int:
    return table.get(torch.device(runtime.device).type, AT_ONCE_ELSEWHERE)


def _semantic(
    clip: Clip, tracks: TrackSet | None, encoder: ClipEncoder, times_s: Tensor, dtype: torch.dtype, runtime: Runtime
) -> tuple[Tensor, tuple[ObjectFeatures, ...]]:
    """Semantic tokens (T, C), and per object the mask-weighted sums of patch tokens (paper eq. 4)."""
    count = len(times_s)
    found = () if tracks is None else tracks.tracks
    tokens: list[Tensor] = []
    sums: list[list[Tensor]] = [[] for _ in found]
    seen = [[_cover(track, tracks, float(time_s)) for time_s in times_s] for track in found] if tracks else []
    pictures = (
        frames.semantic_picture(image) for image in frames.nearest_pictures(clip, frames.SEMANTIC_RATE_HZ, count)
    )
    for batch in _batched(pictures, _at_once(PICTURES_AT_ONCE, runtime)):
        runtime.step("encoding pictures", len(tokens), count)
        pooled, patches = encoder.encode_pictures(frames.normalised_semantic(batch.to(runtime.device)).to(dtype))
        for index, patch in enumerate(patches.float(), start=len(tokens)):
            for covers, total in zip(seen, sums, strict=True):
                weight = patch_weights(covers[index], encoder.side_px, encoder.grid).to(patch)
                total.append((weight.flatten()[:, None] * patch).sum(dim=0).cpu())
        tokens.extend(pooled.cpu())
    runtime.step("encoding pictures", count, count)
    objects = tuple(
        ObjectFeatures(track.object_id, torch.stack(total), torch.tensor([bool(cover.any()) for cover in covers]))
        for track, total, covers in zip(found, sums, seen, strict=True)
    )
    return torch.stack(tokens), objects


def _cover(track: Track, tracks: TrackSet, time_s: float) -> np.ndarray:
    """bool (H, W): where an object is at a time, by its mask, or by its box where it has none."""
    from pavas_core.physics.masks import fitted_size, unpack_mask

    index = int(np.argmin(np.abs(tracks.times_s - time_s)))
    if track.masks is not None:
        return unpack_mask(track.masks, index)
    height, width = fitted_size(tracks.height, tracks.width)
    cover = np.zeros((height, width), dtype=bool)
    if track.visible[index]:
        scale = width / tracks.width
        x0, y0, x1, y1 = (scale * track.boxes[index]).round().astype(int)
        cover[max(0, y0) : max(y0 + 1, y1), max(0, x0) : max(x0 + 1, x1)] = True
    return cover


def patch_weights(cover: np.ndarray, side_px: int, grid: int) -> Tensor:
    """Share of every patch that a mask covers, float (grid, grid): squashed and cut like the picture, then averaged."""
    square = adaptive_avg_pool2d(torch.from_numpy(cover).float()[None, None], frames.SEMANTIC_SIDE)
    return adaptive_avg_pool2d(square[..., :side_px, :side_px], grid)[0, 0]


def _sync(clip: Clip, encoder: SyncEncoder, windows: int, dtype: torch.dtype, runtime: Runtime) -> Tensor:
    """Sync tokens (8 n, C): windows of 16 pictures every 8, each on its own."""
    count = HOP * (windows - 1) + WINDOW
    pictures = (frames.sync_picture(image) for image in frames.nearest_pictures(clip, frames.SYNC_RATE_HZ, count))
    tokens: list[Tensor] = []
    for batch in _batched(_windows(pictures), _at_once(WINDOWS_AT_ONCE, runtime)):
        runtime.step("encoding motion", len(tokens), windows)
        moving = frames.normalised_sync(batch.to(runtime.device)).to(dtype).transpose(1, 2)
        tokens.extend(encoder.encode_window(moving).float().cpu())
    runtime.step("encoding motion", windows, windows)
    return torch.cat(tokens)


def _windows(pictures: Iterator[Tensor]) -> Iterator[Tensor]:
    """uint8 (WINDOW, 3, H, W) every HOP pictures."""
    held: deque[Tensor] = deque(maxlen=WINDOW)
    for index, picture in enumerate(pictures):
        held.append(picture)
        if index >= WINDOW - 1 and (index - WINDOW + 1) % HOP == 0:
            yield torch.stack(list(held))
