"""How a scene is filmed and what surrounds it: exposure, noise, light, distractors, occluders, compression."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pavas_core.simulation.camera import CameraMotion, draw_camera
from pavas_core.simulation.stage import Stage


@dataclass(frozen=True)
class Light:
    """Brightness of the whole picture over time, and a large soft shadow that may cross it."""

    drift: float = 0.0
    drift_hz: float = 0.1
    mains: float = 0.0
    mains_hz: float = 7.0
    """Beat of the lamps with the shutter."""
    steps: tuple[tuple[float, float], ...] = ()
    """(seconds, gain): the lamp's brightness from then on."""
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shade_strength: float = 0.0
    shade_from: tuple[float, float] = (0.0, 0.0)
    shade_speed: tuple[float, float] = (0.0, 0.0)
    """Widths of the picture, and widths a second."""
    shade_size: float = 0.3

    def gain(self, time_s: float) -> float:
        """Factor on all pixels at a time."""
        value = 1.0 + self.drift * math.sin(2 * math.pi * self.drift_hz * time_s + 1.0)
        value *= 1.0 + self.mains * math.sin(2 * math.pi * self.mains_hz * time_s)
        for begin, gain in self.steps:
            if time_s >= begin:
                value = gain
        return value


@dataclass(frozen=True)
class Filming:
    """Everything between the scene and the file. Lengths are fractions of the picture's width."""

    seed: int
    camera: CameraMotion
    backdrop: str
    light: Light
    exposure: float
    """Open share of every frame interval."""
    noise: float
    """Standard deviation of the sensor noise in 8-bit levels."""
    blur: float
    """Defocus, standard deviation as a fraction of the width."""
    crf: int
    preset: str
    wall_shadow: float
    floor_shadow: float
    leaves: int = 0
    curtain: bool = False
    television: bool = False
    bystanders: int = 0
    """Static things behind the action."""
    occluder: tuple[float, float] | None = None
    """Left edge and width of a post in front of everything."""


BACKDROPS = ("plain", "cloudy", "bricks", "tiles", "panels", "clutter", "clutter", "outdoors")
_CROSSING = frozenset({"throw", "collide", "roll_off", "kick", "toss", "passing"})
"""Kinds whose bodies cross the picture, so that a post hides them for a moment only."""
_CONTACT_LIGHT = 0.25
"""Share of ordinary clips whose light drifts, beats or shades."""


def draw_filming(rng: np.random.Generator, stage: Stage) -> Filming:
    """Random filming that suits the stage."""
    camera = draw_camera(rng, stage.duration_s, stage.pan)
    restless = stage.restless_light
    steps: list[tuple[float, float]] = []
    if restless and rng.random() < 0.6:
        at = 0.0
        while at < stage.duration_s:
            at += float(rng.exponential(0.35)) + 0.04
            steps.append((at, float(rng.uniform(0.6, 1.15))))
    shade = 0.0
    if rng.random() < (0.6 if restless else 0.10):
        shade = float(rng.uniform(0.15, 0.45))
    drawn = _CONTACT_LIGHT if not restless else 0.8
    light = Light(
        drift=float(rng.uniform(0.0, 0.12)) if rng.random() < drawn else 0.0,
        drift_hz=float(rng.uniform(0.05, 0.4)),
        mains=float(rng.uniform(0.005, 0.04)) if rng.random() < drawn / 2 else 0.0,
        mains_hz=float(rng.uniform(2.0, 11.0)),
        steps=tuple(steps),
        tint=(float(rng.uniform(0.92, 1.05)), 1.0, float(rng.uniform(0.88, 1.05))),
        shade_strength=shade,
        shade_from=(float(rng.choice([-0.5, 1.5])), float(rng.uniform(0.1, 0.5))),
        shade_speed=(0.0, 0.0),
        shade_size=float(rng.uniform(0.12, 0.4)),
    )
    if shade:
        across = float(rng.uniform(0.3, 0.9)) * (1.0 if light.shade_from[0] < 0 else -1.0)
        light = Light(**{**light.__dict__, "shade_speed": (across, float(rng.normal(0.0, 0.05)))})
    occluder = None
    if rng.random() < 0.25 and stage.kind in _CROSSING:
        occluder = (float(rng.uniform(0.1, 0.85)), float(rng.uniform(0.015, 0.05)))
    return Filming(
        seed=int(rng.integers(1 << 30)),
        camera=camera,
        backdrop=BACKDROPS[rng.integers(len(BACKDROPS))],
        light=light,
        exposure=float(rng.uniform(0.1, 0.8)),
        noise=float(np.exp(rng.uniform(np.log(0.4), np.log(5.0)))),
        blur=float(rng.uniform(0.0, 0.0009)),
        crf=int(rng.integers(18, 35)),
        preset=str(rng.choice(["ultrafast", "veryfast", "veryfast", "fast"])),
        wall_shadow=float(rng.uniform(0.1, 0.4)) if rng.random() < 0.4 else 0.0,
        floor_shadow=float(rng.uniform(0.2, 0.65)),
        leaves=int(rng.integers(6, 22)) if rng.random() < 0.12 else 0,
        curtain=bool(rng.random() < 0.06),
        television=bool(rng.random() < (0.35 if restless else 0.05)),
        bystanders=int(rng.choice([0, 0, 1, 2, 3])),
        occluder=occluder,
    )
