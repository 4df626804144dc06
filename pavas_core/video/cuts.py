"""Scene cuts: where a clip's picture becomes another one at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pavas_core.runtime import Runtime
    from pavas_core.video.clip import Clip

SIDE_PX = 64
DIFFERENCE = 18.0
"""Mean difference of two pictures, of 255 grey levels, below which no cut is seen."""
STANDS_OUT = 3.0
"""How many times the differences around it a cut's is: fast motion and flashes come in rows."""
AROUND = 3


def find_cuts(clip: Clip, *, runtime: Runtime) -> tuple[float, ...]:
    """Times in seconds of the first picture after every hard cut; fades are none."""
    from pavas_core.video.clip import iter_frames

    times: list[float] = []
    differences: list[float] = []
    before: np.ndarray | None = None
    for frame in iter_frames(clip, long_side=SIDE_PX):
        runtime.check_cancelled()
        picture = frame.image.astype(np.int16)
        if before is not None:
            times.append(frame.time_s)
            differences.append(float(np.abs(picture - before).mean()))
        before = picture
    change = np.array(differences)
    cuts = []
    for index in np.flatnonzero(change > DIFFERENCE):
        around = np.r_[change[max(0, index - AROUND) : index], change[index + 1 : index + 1 + AROUND]]
        if change[index] > STANDS_OUT * around.max(initial=0.0):
            cuts.append(times[index])
    return tuple(cuts)
