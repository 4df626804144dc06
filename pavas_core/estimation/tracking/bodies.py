"""Observations of one thing in order of time, with what they have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pavas_core.estimation.tracking.linking import Observation

_ROUND = 0.82
_OWN_WAY = 0.45


@dataclass
class Body:
    """Observations of one thing in order of time, with what they have in common."""

    observations: list[Observation]

    def __post_init__(self) -> None:
        seen = self.observations
        self.frames = np.array([o.frame for o in seen])
        self.points = np.array([o.world for o in seen], float)
        areas = np.array([o.area for o in seen])
        self.area = float(np.median(areas))
        self.side = float(np.sqrt(self.area))
        """Square root of the typical area, pixels."""
        self.colour = np.median([o.colour for o in seen], axis=0)
        low, high = np.percentile(self.points, [5, 95], axis=0)
        self.extent = float(np.hypot(*(high - low)))
        """Diagonal of the box that holds the middle nine tenths of the path, pixels."""
        own = [o for o in seen if not (o.by_template or o.held)] or seen
        self.attached = float(np.mean([o.parent >= 0 for o in own]))
        self.carried = self.attached > 0.5 and _mismatch(own) < _OWN_WAY
        """It moves with the larger thing around it, as a mark or a limb does, and not on its own."""
        self.shadow = float(np.median([o.shadow for o in own]))
        self.lit = float(np.mean([o.lit for o in own]))
        """Share of its sightings that show the background in another light."""
        clear = [o for o in seen if not (o.border or o.by_template or o.held)] or seen
        clear_areas = np.array([o.area for o in clear])
        steady = float(np.median(np.abs(np.log(clear_areas / np.median(clear_areas))))) < 0.4
        self.round = (
            steady
            and float(np.median([o.roundness for o in clear])) > _ROUND
            and float(np.percentile([o.aspect for o in clear], 25)) < 1.7
        )
        """Round and compact, at least where it is slow enough not to be drawn out by motion blur."""

    @property
    def first(self) -> Observation:
        return self.observations[0]

    @property
    def last(self) -> Observation:
        return self.observations[-1]

    def weight(self) -> float:
        """How much of the clip's motion this carries."""
        return float(self.extent * np.sqrt(len(self.observations) * self.side))

    def presence(self, way: float | None = None) -> float:
        """How much of the picture moves with this, and how far; a few times its own size is far enough.

        ``way`` (pixels) counts instead of ``extent``, which is small where a thing comes once and then rests.
        """
        return float(min(self.extent if way is None else way, 4.0 * self.side) * self.side)


def _mismatch(observations: list[Observation]) -> float:
    """Typical difference between a thing's motion and that of what is around it, relative to its own."""
    pairs = [(o.flow, o.around) for o in observations if o.flow is not None and o.around is not None]
    moving = [(np.array(a), np.array(b)) for a, b in pairs if np.hypot(*a) > 1.0]
    if len(moving) < 3:
        return 0.0
    return float(np.median([np.hypot(*(a - b)) / np.hypot(*a) for a, b in moving]))


def boxes_of(body: Body) -> np.ndarray:
    """Boxes in world pixels [N, 4]: the camera's sway matters little between neighbours, its pan does."""
    boxes = np.array([o.box for o in body.observations])
    shift = body.points - np.array([o.centroid for o in body.observations])
    return boxes + np.tile(shift, 2)


def gap_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance between boxes [N, 4], zero where they overlap."""
    apart = np.maximum(0.0, np.maximum(a[:, :2] - b[:, 2:], b[:, :2] - a[:, 2:]))
    return np.hypot(apart[:, 0], apart[:, 1])


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Areas [N] of boxes [N, 4]."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def shared_areas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas [N] that boxes [N, 4] have in common; NaN where one is."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    return np.asarray(np.clip(sides, 0.0, None).prod(axis=1))
