"""Scenes of free bodies: dropped, thrown, rolled off, run into each other."""

from __future__ import annotations

import math

import numpy as np

from pavas_core.physics.types import GRAVITY_MPS2
from pavas_core.simulation import catalogue
from pavas_core.simulation.stage import (
    Actor,
    Stage,
    body_actor,
    box_fixture,
    floor_fixture,
    ramp_fixture,
    rest_height,
)


def drop(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """One to three bodies fall from rest in the picture or from above it."""
    stage, first = _with_floor(rng, "drop", aspect, duration_s)
    count = int(rng.choice([1, 1, 2, 2, 3]))
    models = [first] + [_another(rng, stage) for _ in range(count - 1)]
    places = rng.permutation(count)
    for index, model in enumerate(models):
        x = stage.width_m * (0.18 + 0.64 * (places[index] + rng.uniform(0.2, 0.8)) / count)
        stage.actors.append(_falling(rng, stage, model, x, index))
    _maybe_wall(rng, stage)
    return stage


def throw(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """Bodies fly in from the side and bounce across, now and then against a wall."""
    stage, first = _with_floor(rng, "throw", aspect, duration_s, ("ball", "ball", "ball", "block", "cup", "rod"))
    models = [first] + [_another(rng, stage) for _ in range(int(rng.choice([0, 0, 1])))]
    for index, model in enumerate(models):
        stage.actors.append(_thrown(rng, stage, model, float(rng.uniform(0.0, 0.4)) + 0.9 * index))
    _maybe_wall(rng, stage, chance=0.5)
    return stage


def collide(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """A rolled or thrown body runs into others that stand on the floor."""
    stage, first = _with_floor(rng, "collide", aspect, duration_s, ("ball",))
    floor = _floor_y(stage)
    side = 1.0 if rng.random() < 0.5 else -1.0
    targets = int(rng.choice([1, 1, 2]))
    x = stage.width_m * (0.5 + side * rng.uniform(-0.1, 0.1))
    for _ in range(targets):
        model = _another(rng, stage, ("ball", "ball", "block", "block", "cup"))
        stage.actors.append(body_actor(rng, model, x, floor - rest_height(model)))
        x += side * (model.reach_m * 2.0 + rng.uniform(0.05, 0.18) * stage.width_m)
    start = stage.width_m * 0.5 - side * (stage.width_m * 0.5 + 1.5 * first.radius)
    if rng.random() < 0.65:
        speed = stage.width_m / rng.uniform(0.6, 1.6)
        motion = {"vx": side * speed, "spin": side * speed / first.radius}
        # held out of the picture until it is let go
        delay = float(rng.uniform(0.0, 0.5))
        stage.actors.append(body_actor(rng, first, start, floor - first.radius, release_s=delay, **motion))
    else:
        stage.actors.append(_thrown(rng, stage, first, float(rng.uniform(0.0, 0.3)), side))
    _maybe_wall(rng, stage, chance=0.3)
    return stage


def roll_off(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """A ball rolls down a plank or over a table's edge and drops to the floor."""
    stage, model = _with_floor(rng, "roll_off", aspect, duration_s, ("ball",))
    floor = _floor_y(stage)
    side = 1.0 if rng.random() < 0.5 else -1.0
    middle = stage.width_m / 2
    if rng.random() < 0.5:
        top = floor * rng.uniform(0.35, 0.65)
        edge = middle - side * rng.uniform(0.0, 0.2) * stage.width_m
        far = middle - side * 0.8 * stage.width_m
        left, right = min(edge, far), max(edge, far)
        stage.fixtures.append(box_fixture(rng, "table", "wood", left, top, right, top + 0.05 * stage.height_m))
        speed = stage.width_m / rng.uniform(0.8, 2.5)
        start = middle - side * (stage.width_m / 2 - 0.08 * stage.width_m)
        motion = {"vx": side * speed, "spin": side * speed / model.radius}
        stage.actors.append(body_actor(rng, model, start, top - model.radius, **motion))
    else:
        high = (middle - side * 0.42 * stage.width_m, floor * rng.uniform(0.3, 0.55))
        slope = math.tan(math.radians(rng.uniform(12.0, 28.0)))
        run = rng.uniform(0.2, 0.4) * stage.width_m
        low = (high[0] + side * run, min(high[1] + slope * run, floor - 0.05 * stage.height_m))
        stage.fixtures.append(ramp_fixture(rng, "wood", high, low, 0.03 * stage.height_m))
        dx, dy = low[0] - high[0], low[1] - high[1]
        length = math.hypot(dx, dy)
        nx, ny = side * dy / length, -abs(dx) / length
        along = rng.uniform(0.12, 0.3)
        x, y = high[0] + along * dx + nx * model.radius * 1.001, high[1] + along * dy + ny * model.radius * 1.001
        stage.actors.append(body_actor(rng, model, x, y, release_s=float(rng.uniform(0.1, 0.5))))
    if rng.random() < 0.4:
        other = _another(rng, stage, ("block", "ball", "cup"))
        x = middle + side * rng.uniform(0.15, 0.4) * stage.width_m
        stage.actors.append(body_actor(rng, other, x, floor - rest_height(other)))
    return stage


def _with_floor(rng, kind: str, aspect: float, duration_s: float, families=None):
    model, width = catalogue.draw_body_and_width(rng, families or catalogue.FAMILIES)
    height = width / aspect
    floor = float(rng.uniform(0.72, 0.95)) * height
    material = catalogue.FLOORS[rng.integers(len(catalogue.FLOORS))]
    stage = Stage(kind, width, height, duration_s, floor, material)
    stage.fixtures.append(floor_fixture(floor, material))
    return stage, model


def _floor_y(stage: Stage) -> float:
    assert stage.floor_y is not None
    return stage.floor_y


def _another(rng: np.random.Generator, stage: Stage, families: tuple[str, ...] | None = None):
    return catalogue.draw_fitting_body(rng, stage.width_m, families or catalogue.FAMILIES)


def _falling(rng: np.random.Generator, stage: Stage, model, x: float, index: int) -> Actor:
    floor = _floor_y(stage)
    tumble = 0.0 if model.family == "ball" else 4.0
    motion = {
        "vx": float(rng.normal(0.0, 0.06)) * stage.width_m,
        "spin": float(rng.normal(0.0, 3.0 + tumble)),
        "angle": float(rng.uniform(-math.pi, math.pi)) if tumble else 0.0,
    }
    delay = float(rng.uniform(0.0, 0.6)) + 0.5 * index
    room = floor - model.reach_m
    if rng.random() < 0.5 and index == 0:
        y = room - float(rng.uniform(0.35, 0.95)) * room
        return body_actor(rng, model, x, max(y, model.reach_m), release_s=delay, **motion)
    motion["vy"] = float(rng.uniform(0.0, 0.5)) * math.sqrt(2 * GRAVITY_MPS2 * stage.height_m)
    return body_actor(rng, model, x, -1.3 * model.reach_m, release_s=delay, **motion)


def _thrown(rng: np.random.Generator, stage: Stage, model, delay: float, side: float | None = None) -> Actor:
    side = side or (1.0 if rng.random() < 0.5 else -1.0)
    floor = _floor_y(stage)
    x = stage.width_m / 2 - side * (stage.width_m / 2 + 1.3 * model.reach_m)
    y = float(rng.uniform(0.15, 0.6)) * floor
    vx = side * stage.width_m / float(rng.uniform(0.9, 2.6))
    rise = float(rng.uniform(-0.6, 0.9)) * y
    vy = -math.copysign(math.sqrt(2 * GRAVITY_MPS2 * abs(rise)), rise)
    spin = float(rng.normal(0.0, 6.0))
    return body_actor(rng, model, x, y, vx=vx, vy=vy, spin=spin, release_s=delay)


def _maybe_wall(rng: np.random.Generator, stage: Stage, chance: float = 0.25) -> None:
    """Close one side of the picture with a wall."""
    if rng.random() > chance:
        return
    floor = _floor_y(stage)
    right = rng.random() < 0.5
    depth = rng.uniform(0.04, 0.10) * stage.width_m
    material = str(rng.choice(["brick", "concrete", "wood", "stone"]))
    far = 0.6 * stage.width_m
    left_edge, right_edge = (stage.width_m - depth, stage.width_m + far) if right else (-far, depth)
    for actor in stage.actors:
        if (
            not left_edge - 1.2 * actor.solid.reach > actor.solid.x
            and not right_edge + 1.2 * actor.solid.reach < actor.solid.x
        ):
            return
    stage.fixtures.append(box_fixture(rng, "wall", material, left_edge, -1.5 * stage.height_m, right_edge, floor))
