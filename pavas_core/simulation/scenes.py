"""Which scenes there are, in which proportions, and playing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.simulation import free_scenes, quiet_scenes, strike_scenes
from pavas_core.simulation.catalogue import rolling_resistance
from pavas_core.simulation.dynamics import Meeting, World
from pavas_core.simulation.stage import Actor, Stage, contact_law, solids_of

SceneMaker = Callable[[np.random.Generator, float, float], Stage]

KINDS: dict[str, tuple[float, SceneMaker]] = {
    # free bodies that hit things: 36 %
    "drop": (0.12, free_scenes.drop),
    "throw": (0.09, free_scenes.throw),
    "collide": (0.09, free_scenes.collide),
    "roll_off": (0.06, free_scenes.roll_off),
    # articulated strikes: 42 %
    "strike": (0.20, strike_scenes.strike),
    "kick": (0.08, strike_scenes.kick),
    "bat": (0.04, strike_scenes.bat),
    "dribble": (0.06, strike_scenes.dribble),
    "juggle": (0.04, strike_scenes.juggle),
    # no contact: 22 %
    "toss": (0.05, quiet_scenes.toss),
    "pendulum": (0.03, quiet_scenes.pendulum),
    "wave": (0.02, quiet_scenes.wave),
    "air_swings": (0.02, strike_scenes.air_swings),
    "passing": (0.03, quiet_scenes.passing),
    "pan": (0.03, quiet_scenes.pan),
    "light": (0.02, quiet_scenes.light),
    "still": (0.02, quiet_scenes.still),
}
"""Share and maker of every kind of scene."""
STRIKES = frozenset({"strike", "kick", "bat", "dribble", "juggle"})
QUIET = frozenset({"toss", "pendulum", "wave", "air_swings", "passing", "pan", "light", "still"})


@dataclass(frozen=True)
class Motion:
    """Everywhere one actor was: ``knots`` has the columns t, x, y, angle, vx, vy, spin (metres, radians, seconds)."""

    actor: Actor
    knots: np.ndarray

    def pose(self, time_s: np.ndarray | float) -> np.ndarray:
        """float64 [..., 3] x, y, angle at the given times."""
        return np.stack([np.interp(time_s, self.knots[:, 0], self.knots[:, c]) for c in (1, 2, 3)], axis=-1)

    def velocity(self, time_s: np.ndarray) -> np.ndarray:
        """float64 [..., 3] vx, vy, spin."""
        return np.stack([np.interp(time_s, self.knots[:, 0], self.knots[:, c]) for c in (4, 5, 6)], axis=-1)


@dataclass(frozen=True)
class Played:
    """A stage and what happened on it."""

    stage: Stage
    motions: tuple[Motion, ...]
    meetings: tuple[Meeting, ...]


def draw_kind(rng: np.random.Generator) -> str:
    """A kind of scene in the documented proportions."""
    names = list(KINDS)
    shares = np.array([KINDS[name][0] for name in names])
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def make_stage(rng: np.random.Generator, kind: str, aspect: float, duration_s: float) -> Stage:
    """A random stage of this kind. Raises PhysicsError for an unknown kind."""
    if kind not in KINDS:
        raise PhysicsError(f"There is no scene called {kind}, choose one of {', '.join(KINDS)}.")
    return KINDS[kind][1](rng, aspect, duration_s)


def play(stage: Stage, seed: int) -> Played:
    """Run the dynamics of a stage for its duration."""
    far = stage.width_m
    world = World(solids_of(stage), contact_law(stage, seed), (-far, 2.0 * far, 2.0 * stage.height_m))
    world.listeners = stage.listeners
    for solid in world.movers:
        solid.rolling = rolling_resistance(stage.floor_material)
    for opener in stage.openers:
        opener(world)
    world.run(stage.duration_s)
    motions = tuple(Motion(actor, np.array(world.knots[id(actor.solid)])) for actor in stage.actors)
    return Played(stage, motions, tuple(world.meetings))
