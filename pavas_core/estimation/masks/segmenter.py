"""SAM 2 as the pack sees it, whatever runs it: one session an object, one picture a step, either way in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pavas_core.errors import PavasError
from pavas_core.runtime import Runtime

MEMORY_FRAMES = 24
"""Memories further than this from the current picture are dropped; SAM 2 looks at 16 at most."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Prompt:
    """What marks an object in one picture, in pixels of that picture: a box, points, a mask, or a box and points."""

    box: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1."""
    points: tuple[tuple[float, float], ...] = ()
    """x, y."""
    labels: tuple[int, ...] = ()
    """1 = on the object, 0 = not on it; one a point, all 1 where empty."""
    mask: np.ndarray | None = None
    """bool [H, W]."""

    def __post_init__(self) -> None:
        if self.mask is None and self.box is None and not self.points:
            raise PavasError("A prompt needs a box, a point or a mask: give one.")
        if self.labels and len(self.labels) != len(self.points):
            raise PavasError(f"{len(self.points)} points have {len(self.labels)} labels: give one for each.")

    @property
    def point_labels(self) -> tuple[int, ...]:
        return self.labels or (1,) * len(self.points)


class Session(Protocol):
    """One object in one run of pictures."""

    def prompt(self, frame: int, prompt: Prompt) -> np.ndarray:
        """Mark the object in picture ``frame``; its mask there, bool [H, W]."""

    def step(self, frame: int, reverse: bool) -> np.ndarray:
        """The mask in the next picture, bool [H, W]; pictures must come in order, forwards or backwards."""


class Segmenter(Protocol):
    """A loaded SAM 2."""

    name: str
    module: Any
    """The network, for ``runtime.resident``."""
    fingerprint: str

    def sessions(self, images: Sequence[np.ndarray], count: int, runtime: Runtime) -> list[Session]:
        """``count`` sessions over the same pictures, uint8 [H, W, 3], which share what they see."""
