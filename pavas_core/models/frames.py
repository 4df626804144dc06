"""Which pictures of a clip the published encoders see, and how these are scaled (MMAudio's preprocessing)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    import numpy as np

    from pavas_core.video.clip import Clip

SEMANTIC_RATE_HZ, SYNC_RATE_HZ = 8.0, 25.0
SEMANTIC_SIDE, SYNC_SIDE = 384, 224
SEMANTIC_MEAN = (0.48145466, 0.4578275, 0.40821073)
SEMANTIC_STD = (0.26862954, 0.26130258, 0.27577711)


def nearest_pictures(clip: Clip, rate_hz: float, count: int) -> Iterator[np.ndarray]:
    """``count`` pictures uint8 (H, W, 3): for every k / ``rate_hz`` the one whose own time is nearest.

    Of two equally near the earlier; after the last picture it is held. Any source rate, constant or not.
    """
    from pavas_core.video.clip import iter_frames

    frames = iter_frames(clip)
    current = next(frames)
    following = next(frames, None)
    for index in range(count):
        wanted_s = index / rate_hz
        while following is not None and wanted_s - current.time_s > following.time_s - wanted_s:
            current, following = following, next(frames, None)
        yield current.image


def official_picks(times_s: Sequence[float], rate_hz: float, end_s: float) -> list[int]:
    """Indices of the frames that the reference's own reader takes: the first at or after each wanted time.

    It adds up the wanted times in float64, whose drift makes it take the next frame at many exact matches; trained
    results do not depend on it, but equal pictures do.
    """
    picks = []
    wanted_s = 0.0
    for index, time_s in enumerate(times_s):
        if not 0 <= time_s <= end_s:
            continue
        while time_s >= wanted_s:
            picks.append(index)
            wanted_s += 1 / rate_hz
    return picks


def official_durations(semantic: int, sync: int, duration_s: float) -> tuple[float, int, int]:
    """The reference's duration when its reader found so many pictures, and how many of each kind it keeps."""
    for count, rate_hz in ((semantic, SEMANTIC_RATE_HZ), (sync, SYNC_RATE_HZ)):
        duration_s = min(duration_s, count / rate_hz)
    return duration_s, int(SEMANTIC_RATE_HZ * duration_s), int(SYNC_RATE_HZ * duration_s)


def semantic_picture(image: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) -> uint8 (3, 384, 384), squashed."""
    return _resized(image, SEMANTIC_SIDE, SEMANTIC_SIDE)


def sync_picture(image: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) -> uint8 (3, 224, 224): the shorter side scaled, the middle kept."""
    height, width = image.shape[:2]
    if height < width:
        picture = _resized(image, SYNC_SIDE, int(SYNC_SIDE * width / height))
    else:
        picture = _resized(image, int(SYNC_SIDE * height / width), SYNC_SIDE)
    top, left = (round((side - SYNC_SIDE) / 2) for side in picture.shape[1:])
    return picture[:, top : top + SYNC_SIDE, left : left + SYNC_SIDE]


def _resized(image: np.ndarray, height: int, width: int) -> Tensor:
    """Antialiased bicubic in integers: rounded and kept within 0..255, as the encoders were trained."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
    return interpolate(pixels, size=(height, width), mode="bicubic", antialias=True)[0]


def normalised_semantic(pictures: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) -> float32, by CLIP's mean and deviation."""
    mean, std = (
        torch.tensor(values, device=pictures.device)[:, None, None] for values in (SEMANTIC_MEAN, SEMANTIC_STD)
    )
    return (pictures * (1 / 255) - mean) / std


def normalised_sync(pictures: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) -> float32 in -1..1."""
    return (pictures * (1 / 255) - 0.5) / 0.5
