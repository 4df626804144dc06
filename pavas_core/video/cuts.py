"""Scene cuts: where a clip's picture becomes another one at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pavas_core.runtime import Runtime
    from pavas_core.video.clip import Clip, Frame

SIDE_PX = 64
DIFFERENCE = 18.0
"""Mean difference of two pictures, of 255 grey levels, below which no cut is seen."""
STANDS_OUT = 3.0
"""How many times the differences around it a cut's is: fast motion and flashes come in rows."""
AROUND = 3
LOOK = 12
"""Pictures to either side among which those differences are taken."""
REPEATED = 0.3
"""Difference below which a picture is the one before, shown again: it tells nothing of the motion around."""


def find_cuts(clip: Clip, *, runtime: Runtime) -> tuple[float, ...]:
    """Times in seconds of the first picture after every hard cut; fades are none."""
    from pavas_core.video.clip import iter_frames

    cuts = []
    for frame, is_first in with_cuts(iter_frames(clip, long_side=SIDE_PX)):
        runtime.check_cancelled()
        if is_first:
            cuts.append(frame.time_s)
    return tuple(cuts)


def with_cuts(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Every frame, and whether it is the first after a hard cut, once ``LOOK`` further ones are known."""
    waiting: deque[Frame] = deque()
    changes: list[float] = []
    before: np.ndarray | None = None
    given = 0
    for frame in frames:
        small = _thumbnail(frame.image)
        if before is not None:
            changes.append(float(np.abs(small - before).mean()))
        before = small
        waiting.append(frame)
        if len(waiting) > LOOK:
            yield waiting.popleft(), is_cut(changes, given - 1)
            given += 1
    for frame in waiting:
        yield frame, is_cut(changes, given - 1)
        given += 1


def is_cut(changes: Sequence[float], index: int) -> bool:
    """Whether one change from picture to picture stands out from up to ``LOOK`` on either side."""
    if index < 0:
        return False
    around = [
        *[one for one in changes[max(0, index - LOOK) : index] if one > REPEATED][-AROUND:],
        *[one for one in changes[index + 1 : index + 1 + LOOK] if one > REPEATED][:AROUND],
    ]
    return changes[index] > max(DIFFERENCE, STANDS_OUT * max(around, default=0.0))


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """A picture uint8 [H, W, 3] at the size at which pictures are compared, int16."""
    import cv2

    height, width = image.shape[:2]
    scale = SIDE_PX / max(height, width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.int16)
