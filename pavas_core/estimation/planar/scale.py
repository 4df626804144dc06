"""Metres from pixels: gravity in free flights, a known size, metres per pixel, or a typical scene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.estimation.planar.breaks import CutPath, general_motion
from pavas_core.estimation.planar.fits import fit_piece
from pavas_core.physics.types import GRAVITY_MPS2, ScaleSource
from pavas_core.physics.validate import check_length_m

TYPICAL_WIDTH_M = 2.5
"""Width of an everyday scene where nothing else tells; within a factor of about 2.5 for two scenes of three."""
TYPICAL_SIGMA = 0.9
_WIDTHS_M = (0.12, 80.0)
_SHORTEST_S = 0.13
_SHORTEST_ALONE_S = 0.28
_UNUSUAL = 2.0 * TYPICAL_SIGMA
"""Logarithm of gravity over the usual one up to which a lone flight is believed."""
GIVEN_SIGMA = 0.02
"""Relative standard error of metres per pixel that somebody has measured."""
_LEVEL, _ON_THE_WAY = 0.5, 0.1
"""Of the rise of a hop: how much lower or higher it may end than it began, and how far off its places may lie."""
_OTHER_GRAVITY = 0.3
"""Logarithm by which tilt and perspective let gravity seem another."""
_TILT_SIGMA = 0.04
"""Of gravity not lying in the picture plane, perspective and air, relative."""


@dataclass(frozen=True)
class Scale:
    """Metres per pixel where one object is, and how sure."""

    metres_per_px: float
    source: ScaleSource
    sigma: float
    """Relative standard error."""
    reason: str


@dataclass(frozen=True)
class Flight:
    """One stretch of free flight."""

    start_s: float
    end_s: float
    gravity_px_s2: float
    sigma_px_s2: float
    drop_px: float
    """Height that gravity alone makes up in it."""


def find_flights(cut: CutPath, width: int, time_scale: float) -> list[Flight]:
    """Parts of a path that only gravity bends: a steady acceleration straight down of a plausible size."""
    path = cut.path
    low = GRAVITY_MPS2 * time_scale**2 * width / _WIDTHS_M[1]
    high = GRAVITY_MPS2 * time_scale**2 * width / _WIDTHS_M[0]
    prior = general_motion(width)
    spans = sorted({*cut.parts(), *((p.first, p.last) for p in cut.pieces)})
    found = []
    for first, last in spans:
        t, p, s = (a[first : last + 1] for a in (path.times_s, path.points, path.sigma))
        if last - first < 5 or t[-1] - t[0] < _SHORTEST_S:
            continue
        middle = float(t.mean())
        values, errors = fit_piece(t, p, s, middle, prior)
        u = t - middle
        residual = p - values[0] - np.outer(u, values[1]) - np.outer(0.5 * u**2, values[2])
        worse = max(1.0, float(np.sqrt((residual**2).mean()) / s.mean()))
        ax, ay = values[2]
        sigma = float(errors[2, 1]) * worse
        drop = ay * (t[-1] - t[0]) ** 2 / 8
        if not low < ay < high or sigma > 0.25 * ay or abs(ax) > 0.2 * ay + 2.5 * sigma:
            continue
        if worse > 3.0 or drop < max(6.0 * s.mean(), 0.15 * path.side_px):
            continue
        if _jerk(t, p[:, 1], s * worse) * (t[-1] - t[0]) > max(0.35 * ay, 2.5 * sigma):
            continue
        found.append(Flight(*_hop_of(cut, first, last, middle, values), float(ay), sigma, float(drop)))
    return _apart(found)


def _hop_of(cut: CutPath, first: int, last: int, middle_s: float, values: np.ndarray) -> tuple[float, float]:
    """When the flight of the samples ``first`` to ``last`` began and ended: at the contacts around it, where all
    between them goes on as it does and ends about as high as it began; ``values`` are its place, velocity and
    acceleration at ``middle_s``.

    What hands do between two blows may bend like a flight for a while, but not from the one blow to the other.
    """
    times, heights = cut.path.times_s, cut.path.points[:, 1]
    start_s, end_s = float(times[first]), float(times[last])
    for left, met in pairwise(cut.kinks):
        if not (left.time_s <= end_s and start_s <= met.time_s):
            continue
        rise = values[2, 1] * (met.time_s - left.time_s) ** 2 / 8
        others = (times > left.time_s) & (times < met.time_s) & ((times < start_s) | (times > end_s))
        u = times[others] - middle_s
        off = np.abs(heights[others] - values[0, 1] - values[1, 1] * u - 0.5 * values[2, 1] * u**2)
        turned = left.before[1] > 0 > left.after[1] and met.before[1] > 0
        level = abs(met.place[1] - left.place[1]) < _LEVEL * rise
        if turned and level and (not off.size or float(np.median(off)) < _ON_THE_WAY * rise):
            return left.time_s, met.time_s
    return start_s, end_s


def _jerk(t: np.ndarray, y: np.ndarray, sigma: np.ndarray) -> float:
    """What is certain of the change of acceleration per second: its size less two standard errors."""
    u = t - t.mean()
    d = np.stack([np.ones_like(u), u, u**2 / 2, u**3 / 6], axis=-1) / sigma[:, None]
    inverse = np.linalg.pinv(d.T @ d)
    value = float((inverse @ (d.T @ (y / sigma)))[3])
    return max(0.0, abs(value) - 2.0 * float(np.sqrt(inverse[3, 3])))


def _apart(flights: list[Flight]) -> list[Flight]:
    """The most certain ones of those that overlap."""
    kept: list[Flight] = []
    for flight in sorted(flights, key=lambda f: f.sigma_px_s2 / f.gravity_px_s2):
        if all(flight.end_s <= k.start_s or flight.start_s >= k.end_s for k in kept):
            kept.append(flight)
    return sorted(kept, key=lambda f: f.start_s)


def agree(flights: Sequence[Flight], usual_px_s2: float) -> tuple[float, float, int] | None:
    """Gravity in pixels per second squared, its relative standard error and how many flights say so; None without any.

    The value is the one that most flights, weighted by certainty, agree on within their errors and a tenth. A flight
    that no other one confirms says nothing where it is short, for hands and paws move like that, or where its gravity
    is far from the usual one, so that the picture would be a hand or a field wide: somebody bows or sits down.
    """
    if not flights:
        return None
    values = np.array([f.gravity_px_s2 for f in flights])
    sigmas = np.hypot([f.sigma_px_s2 for f in flights], _TILT_SIGMA * values)
    weights = 1.0 / (sigmas / values) ** 2
    near = np.abs(np.log(values[:, None] / values[None, :])) < 0.1 + 1.5 * (sigmas / values)[:, None]
    best = int(np.argmax((near * weights[:, None]).sum(axis=0)))
    same = near[:, best]
    lasts = flights[best].end_s - flights[best].start_s
    if same.sum() == 1 and (lasts < _SHORTEST_ALONE_S or abs(np.log(values[best] / usual_px_s2)) > _UNUSUAL):
        return None
    logs, w = np.log(values[same]), weights[same]
    mean = float((w * logs).sum() / w.sum())
    spread = (
        float(np.sqrt((w * (logs - mean) ** 2).sum() / w.sum() / max(1, same.sum() - 1))) if same.sum() > 1 else 0.0
    )
    sigma = float(np.sqrt(1.0 / w.sum()))
    # A lone flight may be a hand that happens to move like one.
    alone = 0.06 if same.sum() == 1 else 0.0
    return float(np.exp(mean)), float(np.sqrt(sigma**2 + spread**2 + _TILT_SIGMA**2 + alone**2)), int(same.sum())


def falling_at(flights: Iterable[Flight], gravity_px_s2: float, sigma: float) -> tuple[Flight, ...]:
    """Those of a gravity known to a relative ``sigma``; whatever else moves like a fall is swung or carried."""
    return tuple(
        f
        for f in flights
        if abs(np.log(f.gravity_px_s2 / gravity_px_s2))
        < _OTHER_GRAVITY + 2.0 * f.sigma_px_s2 / f.gravity_px_s2 + 3.0 * sigma
    )


def gravity_at(metres_per_px: float, time_scale: float) -> float:
    """Gravity where a scale is known, pixels per second of the clip squared."""
    return GRAVITY_MPS2 * time_scale**2 / metres_per_px


def from_gravity(gravity_px_s2: float, sigma: float, count: int, time_scale: float) -> Scale:
    """Metres per pixel from the acceleration of free flights, in pixels per second of the clip squared."""
    metres = GRAVITY_MPS2 * time_scale**2 / gravity_px_s2
    flights = "one free flight" if count == 1 else f"{count} free flights"
    return Scale(metres, "gravity", sigma, f"gravity in {flights}")


def typical(width: int) -> Scale:
    """A guess for want of anything better."""
    return Scale(TYPICAL_WIDTH_M / width, "assumed", TYPICAL_SIGMA, f"assumed: a picture {TYPICAL_WIDTH_M:g} m wide")


def read_known_sizes(items: Iterable[str]) -> dict[str, float]:
    """Diameters in metres by name from items like ``ball=0.22``. Raises PhysicsError for one that is none."""
    sizes: dict[str, float] = {}
    for item in items:
        name, separator, value = (part.strip() for part in item.partition("="))
        try:
            metres = float(value.removesuffix("m"))
        except ValueError:
            separator, metres = "", 0.0
        if not (name and separator):
            raise PhysicsError(f"The known_size {item.strip()!r} cannot be read: write it like ball=0.22, in metres.")
        if name in sizes:
            raise PhysicsError(f"The known_size of {name} is given twice: keep one.")
        sizes[name] = check_length_m(metres, f"The known_size of {name}")
    return sizes
