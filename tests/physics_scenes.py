"""A small scene for tests: a ball that bounces and hits a cup."""

from __future__ import annotations

import numpy as np

from pavas_core.physics.types import (
    Body,
    Break,
    Impact,
    Mass,
    MovingObject,
    Scene,
    Track,
    TrackSet,
    Velocity,
)

FRAMES = 9


def make_impact(id: str, object_id: str, **values) -> Impact:
    """A bounce of 0.6 kg with e = 0.5 from 2 m/s, unless ``values`` say otherwise."""
    given = {
        "time_s": 0.8,
        "partner": None,
        "surface": "wood",
        "contact": "bounce",
        "normal": (0.0, -1.0, 0.0),
        "pre_normal_mps": 2.0,
        "post_normal_mps": 1.0,
        "pre_speed_mps": 2.5,
        "post_speed_mps": float(np.sqrt(1.0 + 1.5**2)),
        "impulse_ns": 1.8,
        "energy_loss_j": 0.9,
        **values,
    }
    return Impact(id=id, object_id=object_id, **given)


def make_scene(*, tracks: bool = True) -> Scene:
    """Two seconds with ``ball-1`` (0.6 kg, two impacts) and ``cup-1`` (0.3 kg)."""
    rng = np.random.default_rng(7)
    times_s = np.linspace(0, 2, FRAMES)
    middles_s = (times_s[1:] + times_s[:-1]) / 2
    bodies = []
    for index, (name, mass_kg) in enumerate((("ball", 0.6), ("cup", 0.3))):
        vectors = rng.normal(0, 2, (FRAMES - 1, 3)).astype(np.float32)
        vectors[:, 2] = 0
        vectors[0] = (0.1, 0, 0)
        vectors[5] = np.nan
        change = Break(0.8, 0.004, (20.0, 30.0), (1.5, 2.0, 0.0), (1.5, -1.0, 0.0), 0.05, 0.9)
        velocity = Velocity(
            f"{name}-1",
            middles_s,
            np.linalg.norm(vectors, axis=1),
            vectors,
            np.full(FRAMES - 1, 0.05, np.float32),
            (change,) if index == 0 else (),
            0.004,
            "gravity",
            0.06,
            0.2,
            True,
        )
        thing = MovingObject(
            f"{name}-1", name, "falls", aliases=("thing",) if index else ("toy",), box=(1.0, 2.0, 3.0, 4.0)
        )
        bodies.append(Body(thing, Mass(mass_kg, mass_kg / 2, mass_kg * 2, "table:x", "Because."), velocity))
    track = Track(
        "ball-1",
        np.arange(FRAMES) != 5,
        rng.random((FRAMES, 4)).astype(np.float32) * 40,
        np.stack([np.linspace(5, 60, FRAMES), np.linspace(10, 40, FRAMES)], 1).astype(np.float32),
        np.full(FRAMES, 12.0, np.float32),
        np.zeros(FRAMES, bool),
        rng.normal(size=(FRAMES - 1, 2)).astype(np.float32),
    )
    impacts = (
        make_impact("impact-1", "ball-1"),
        make_impact(
            "impact-2", "ball-1", time_s=1.4, partner="cup-1", contact="collision", surface="ceramic", energy_loss_j=1.2
        ),
    )
    return Scene(
        2.0,
        64,
        48,
        tuple(bodies),
        impacts,
        TrackSet(times_s, 64, 48, 2.0, (track,), rng.normal(size=(FRAMES, 2, 3))) if tracks else None,
        1.0,
        ("ball-1: scale from gravity.",),
    )
