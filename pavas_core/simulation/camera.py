"""How the camera moves: still, hand-held, panning, slowly zooming."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class CameraMotion:
    """Smooth sway, jitter and a pan, in fractions of the picture's width; the first moment is the identity."""

    waves: tuple[tuple[float, float, float, float, float], ...] = ()
    """(Hz, phase, x amplitude, y amplitude, roll amplitude in radians)."""
    jitter: float = 0.0
    """Standard deviation of the per-frame tremor, fraction of the width."""
    pan_x: float = 0.0
    pan_y: float = 0.0
    """Way of the pan."""
    pan_from_s: float = 0.0
    pan_for_s: float = 1.0
    zoom: float = 1.0
    """Magnification at the end of the pan."""
    seed: int = 0
    still: bool = True

    @property
    def reach(self) -> float:
        """How far the picture's edge may travel, fraction of the width."""
        sway = sum(abs(a) + abs(b) + 1.2 * abs(c) for _, _, a, b, c in self.waves)
        return 2 * sway + 5 * self.jitter + max(abs(self.pan_x), abs(self.pan_y)) + 0.02

    def at(self, time_s: float, aspect: float) -> np.ndarray:
        """float64 [2, 3] scene to picture, both in widths of the picture."""
        dx, dy, roll, zoom = self._state(time_s)
        dx0, dy0, roll0, _ = self._state(0.0)
        dx, dy, roll = dx - dx0, dy - dy0, roll - roll0
        cx, cy = 0.5, 0.5 / aspect
        cos, sin = zoom * math.cos(roll), zoom * math.sin(roll)
        return np.array(
            [[cos, -sin, cx - cos * cx + sin * cy + dx], [sin, cos, cy - sin * cx - cos * cy + dy]], dtype=np.float64
        )

    def _state(self, time_s: float) -> tuple[float, float, float, float]:
        dx = dy = roll = 0.0
        for rate, phase, a, b, c in self.waves:
            s = math.sin(2 * math.pi * rate * time_s + phase)
            dx += a * s
            dy += b * math.sin(2 * math.pi * rate * 1.13 * time_s + 2.1 * phase)
            roll += c * math.sin(2 * math.pi * rate * 0.87 * time_s + 1.7 * phase)
        if self.jitter:
            # tremor of a hand: band-limited noise, a fresh draw at every thirtieth of a second
            step = time_s * 30.0
            index, part = int(step), step - int(step)
            now, then = (_tremor(self.seed, at, self.jitter) for at in (index, index + 1))
            dx += now[0] + part * (then[0] - now[0])
            dy += now[1] + part * (then[1] - now[1])
        u = min(1.0, max(0.0, (time_s - self.pan_from_s) / self.pan_for_s))
        ease = u * u * (3 - 2 * u)
        return dx - self.pan_x * ease, dy - self.pan_y * ease, roll, 1.0 + (self.zoom - 1.0) * ease


@lru_cache(maxsize=1024)
def _tremor(seed: int, index: int, jitter: float) -> tuple[float, float]:
    """The draw of one thirtieth of a second, which several moments ask for."""
    x, y = np.random.default_rng([seed, index]).normal(0.0, jitter, 2).tolist()
    return x, y


def draw_camera(rng: np.random.Generator, duration_s: float, must_pan: bool) -> CameraMotion:
    """Tripods, hands, pans and zooms in everyday proportions."""
    seed = int(rng.integers(1 << 30))
    if must_pan:
        waves = _sway(rng, rng.uniform(0.0, 0.006))
        side = 1.0 if rng.random() < 0.5 else -1.0
        far = side * float(rng.uniform(0.15, 0.8))
        begin, last = float(rng.uniform(0.0, 0.4)), float(rng.uniform(0.6, 1.0)) * duration_s
        tilt = float(rng.normal(0.0, 0.04))
        return CameraMotion(waves, 0.0003, far, tilt, begin, last, float(rng.uniform(0.97, 1.08)), seed, False)
    kind = rng.random()
    if kind < 0.40:
        return CameraMotion()
    if kind < 0.55:
        return CameraMotion(_sway(rng, 0.0008), 0.0002, seed=seed, still=False)
    waves = _sway(rng, float(np.exp(rng.uniform(np.log(0.002), np.log(0.014)))))
    jitter = float(rng.uniform(0.0001, 0.0008))
    if kind < 0.88:
        return CameraMotion(waves, jitter, seed=seed, still=False)
    pan_x, pan_y = float(rng.normal(0.0, 0.08)), float(rng.normal(0.0, 0.03))
    zoom = float(rng.uniform(0.97, 1.10))
    return CameraMotion(waves, jitter, pan_x, pan_y, 0.0, duration_s, zoom, seed, False)


def _sway(rng: np.random.Generator, size: float) -> tuple[tuple[float, float, float, float, float], ...]:
    waves = []
    for rate in (0.25, 0.6, 1.3, 3.1):
        amplitude = size * rng.uniform(0.5, 1.5) * (0.3 / rate) ** 0.7
        roll = 0.5 * amplitude * rng.normal()
        waves.append((rate * rng.uniform(0.8, 1.25), rng.uniform(0, 6.28), amplitude, 0.7 * amplitude, roll))
    return tuple(waves)
