"""Scenes in which things move and nothing is hit, or nothing moves at all."""

from __future__ import annotations

import math

import numpy as np

from pavas_core.physics.types import GRAVITY_MPS2
from pavas_core.simulation import catalogue
from pavas_core.simulation.driven import Coordinates, Path, Piece
from pavas_core.simulation.dynamics import Solid
from pavas_core.simulation.stage import CLOTH, SKIN, Actor, Fixture, Limb, Look, Stage, body_actor, paint


class Sway(Path):
    """A path that swings to and fro for ever: ``centre + amplitude * sin(rate t + phase) * exp(-decay t)``."""

    def __init__(
        self,
        centre: Coordinates,
        amplitude: Coordinates,
        rate: float,
        phase: Coordinates,
        offset: tuple[float, float],
        decay: float = 0.0,
    ) -> None:
        super().__init__([], offset, lambda *_: [])
        self.centre, self.amplitude, self.rate, self.phase, self.decay = centre, amplitude, rate, phase, decay

    def coordinates(self, time_s: float) -> tuple[Coordinates, Coordinates]:
        fade = math.exp(-self.decay * time_s)
        values, rates = [], []
        for middle, size, phase in zip(self.centre, self.amplitude, self.phase, strict=True):
            sin, cos = math.sin(self.rate * time_s + phase), math.cos(self.rate * time_s + phase)
            values.append(middle + size * fade * sin)
            rates.append(size * fade * (self.rate * cos - self.decay * sin))
        return (values[0], values[1], values[2]), (rates[0], rates[1], rates[2])


def toss(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """Something flies through the picture and comes down outside it."""
    model, width = catalogue.draw_body_and_width(rng)
    height = width / aspect
    stage = Stage("toss", width, height, duration_s, None, "wood")
    for _ in range(int(rng.choice([1, 1, 2]))):
        up = rng.random() < 0.6
        side = 1.0 if rng.random() < 0.5 else -1.0
        if up:
            x = width * float(rng.uniform(0.25, 0.75))
            y = height + 1.2 * model.reach_m
            rise = y - float(rng.uniform(0.1, 0.5)) * height
            vy = -math.sqrt(2 * GRAVITY_MPS2 * rise)
            flight = -2 * vy / GRAVITY_MPS2
            vx = side * float(rng.uniform(0.0, 0.4)) * width / flight
        else:
            x = width / 2 - side * (width / 2 + 1.2 * model.reach_m)
            y = float(rng.uniform(0.3, 0.8)) * height
            rise = y - float(rng.uniform(0.1, 0.25)) * height
            vy = -math.sqrt(2 * GRAVITY_MPS2 * max(rise, 0.02 * height))
            vx = side * width / float(rng.uniform(0.5, 1.2))
        delay = float(rng.uniform(0.1, 0.5)) + len(stage.actors) * 1.2
        spin = float(rng.normal(0.0, 4.0))
        stage.actors.append(body_actor(rng, model, x, y, vx=vx, vy=vy, spin=spin, release_s=delay))
        model = catalogue.draw_fitting_body(rng, width)
    return stage


def pendulum(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """A weight on a string swings freely at the rate its length asks for."""
    model, width = catalogue.draw_body_and_width(rng, ("ball", "ball", "block"))
    height = width / aspect
    stage = Stage("pendulum", width, height, duration_s, None, "wood")
    length = height * float(rng.uniform(0.45, 0.9))
    pivot_y = height * float(rng.uniform(0.75, 0.9)) - length - model.reach_m
    swing = min(float(rng.uniform(0.2, 0.7)), math.asin(min(0.9, 0.4 * width / length)))
    rate = math.sqrt(GRAVITY_MPS2 / length) * (1.0 - swing**2 / 16.0)
    centre = (width * float(rng.uniform(0.42, 0.58)), pivot_y, 0.0)
    phase = (0.0, 0.0, float(rng.uniform(-math.pi, math.pi)))
    path = Sway(centre, (0.0, 0.0, swing), rate, phase, (0.0, length), decay=float(rng.uniform(0.0, 0.08)))
    actor = body_actor(rng, model, 0.0, 0.0)
    string = Look(((0.0, 0.0), (0.0, -length)), 0.0025 * width, "plain", (50, 45, 40), (50, 45, 40), 1)
    solid = Solid(model.name, model.material, model.vertices, model.radius, path=path)
    stage.actors.append(
        Actor(solid, actor.name, actor.material, actor.mass_kg, actor.looks, threads=(string,), action="swings")
    )
    return stage


def wave(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """A hand waves; nothing is touched."""
    width = float(np.exp(rng.uniform(np.log(0.7), np.log(2.5))))
    height = width / aspect
    stage = Stage("wave", width, height, duration_s, None, "wood")
    skin = SKIN[rng.integers(len(SKIN))]
    sleeve = CLOTH[rng.integers(len(CLOTH))]
    at = (width * float(rng.uniform(0.3, 0.7)), height * float(rng.uniform(0.3, 0.5)), 0.0)
    size = (float(rng.uniform(0.05, 0.16)) * width, float(rng.uniform(0.0, 0.08)) * height, 0.4)
    phases = (0.0, float(rng.uniform(0, 6.3)), 0.0)
    path = Sway(at, size, 2 * math.pi * float(rng.uniform(0.5, 2.2)), phases, (0.0, 0.0))
    seed = int(rng.integers(1 << 30))
    dark = (int(skin[0] * 0.8), int(skin[1] * 0.8), int(skin[2] * 0.8))
    palm = ((0.0, -0.02), (0.0, 0.03))
    looks = [Look(palm, 0.042, "skin", skin, dark, seed)]
    for finger in range(4):
        u = -0.03 + 0.02 * finger
        looks.append(Look(((u, -0.04), (u * 1.4, -0.11)), 0.011, "skin", skin, dark, seed))
    looks.append(Look(((0.03, 0.02), (0.075, -0.025)), 0.012, "skin", skin, dark, seed))
    anchor = (at[0] + float(rng.uniform(-0.2, 0.2)), height + 0.2)
    far = math.hypot(anchor[0] - at[0], anchor[1] - at[1]) + size[0]
    limb = Limb(anchor, (0.0, 0.06), 0.55 * far, 0.55 * far, 0.038, 1.0, sleeve, skin)
    solid = Solid("hand", "flesh", palm, 0.042, path=path)
    stage.actors.append(Actor(solid, "hand", "flesh", 0.5, tuple(looks), (limb,), action="waves", tool=True))
    return stage


def passing(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """Things go by at constant speed: a box on a belt, a ball rolling along."""
    stage: Stage | None = None
    for index in range(int(rng.choice([1, 1, 2]))):
        if stage is None:
            model, width = catalogue.draw_body_and_width(rng, ("ball", "block", "block", "cup"))
            height = width / aspect
            floor = float(rng.uniform(0.6, 0.95)) * height
            stage = Stage("passing", width, height, duration_s, floor, str(rng.choice(catalogue.FLOORS)))
        else:
            model = catalogue.draw_fitting_body(rng, stage.width_m, ("ball", "block", "cup"))
        side = 1.0 if rng.random() < 0.5 else -1.0
        half = stage.width_m / 2
        far = half + 1.3 * model.reach_m
        cross_s = float(rng.uniform(1.2, 5.0))
        begin = float(rng.uniform(0.0, 0.5)) + 0.8 * index
        speed = side * 2 * far / cross_s
        y = (stage.floor_y or 0.0) - max(v for _, v in model.vertices) - model.radius
        spin = speed / model.radius if model.family == "ball" else 0.0
        rate = (speed, 0.0, spin)
        start, end = (half - side * far, y, 0.0), (half + side * far, y, spin * cross_s)
        actor = body_actor(rng, model, 0.0, 0.0)
        still = Piece(-1.0, begin, start, (0.0, 0.0, 0.0), start, (0.0, 0.0, 0.0))
        path = Path([still, Piece(begin, begin + cross_s, start, rate, end, rate)], (0.0, 0.0), lambda *_: [])
        solid = Solid(model.name, model.material, model.vertices, model.radius, path=path)
        stage.actors.append(Actor(solid, actor.name, actor.material, actor.mass_kg, actor.looks, action="passes"))
    assert stage is not None
    return stage


def pan(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """The camera travels over things that stand still."""
    stage = still(rng, aspect, duration_s)
    stage.kind, stage.pan = "pan", True
    return stage


def light(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """Flickering light, moving shadows, a television; nothing solid moves."""
    stage = still(rng, aspect, duration_s)
    stage.kind, stage.restless_light = "light", True
    return stage


def still(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """Things that stand about."""
    _, width = catalogue.draw_body_and_width(rng)
    height = width / aspect
    floor = float(rng.uniform(0.7, 0.95)) * height
    stage = Stage("still", width, height, duration_s, floor, str(rng.choice(catalogue.FLOORS)))
    for _ in range(int(rng.integers(0, 5))):
        stage.fixtures.append(standing(rng, stage))
    return stage


def standing(rng: np.random.Generator, stage: Stage) -> Fixture:
    """A thing that stands on the floor behind the action."""
    model = catalogue.draw_fitting_body(rng, stage.width_m, ("ball", "block", "block", "cup"))
    x = stage.width_m * float(rng.uniform(0.02, 0.98))
    y = (stage.floor_y or stage.height_m) - max(v for _, v in model.vertices) - model.radius
    pattern, colour, accent = paint(rng, model.material)
    world = tuple((u + x, v + y) for u, v in model.vertices)
    return Fixture(None, (Look(world, model.radius, pattern, colour, accent, int(rng.integers(1 << 30))),))
