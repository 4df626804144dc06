"""The example clip: a basketball bounces on a wooden floor, a hammer hits a block, a steel ball drops on the boards."""

from __future__ import annotations

import math

from pavas_core.simulation.camera import CameraMotion
from pavas_core.simulation.catalogue import make_body
from pavas_core.simulation.driven import Coordinates, Path, Piece, follow_through, go, hold
from pavas_core.simulation.dynamics import Solid
from pavas_core.simulation.filming import Filming, Light
from pavas_core.simulation.simulate import SimulatedClip, film
from pavas_core.simulation.stage import Actor, Fixture, Look, Stage, floor_fixture, free_solid
from pavas_core.simulation.strike_scenes import FOREVER_S

EXAMPLE_CRF = 23
_SEED = 20
_WIDTH_M, _HEIGHT_M, _FLOOR_Y = 2.4, 1.35, 1.17
_DURATION_S = 6.0
_ORANGE, _BLACK = (222, 112, 42), (38, 30, 28)
_STEEL, _OAK, _OAK_DARK = (168, 172, 180), (190, 142, 92), (140, 98, 58)
_SKIN, _SLEEVE = (226, 178, 146), (58, 78, 116)


def example_clip() -> SimulatedClip:
    """Six seconds, 1280x720 at 30 frames a second, always the same."""
    stage = Stage("example", _WIDTH_M, _HEIGHT_M, _DURATION_S, _FLOOR_Y, "wood", tool_restitution=0.22)
    stage.actors += [_basketball(), _steel_ball(), _hammer()]
    stage.fixtures += [floor_fixture(_FLOOR_Y, "wood"), _block()]
    filming = Filming(
        seed=5,
        camera=CameraMotion(
            ((0.3, 1.0, 0.0012, 0.0008, 0.0006), (0.9, 2.0, 0.0005, 0.0004, 0.0)), 0.0001, seed=4, still=False
        ),
        backdrop="plain",
        light=Light(tint=(1.2, 1.18, 1.13)),
        exposure=0.4,
        noise=1.0,
        blur=0.0,
        crf=EXAMPLE_CRF,
        preset="slow",
        wall_shadow=0.28,
        floor_shadow=0.55,
    )
    return film(stage, filming, _SEED, 1280, 720, 30.0)


def _free(name: str, model, x: float, y: float, look: Look, **motion: float) -> Actor:
    solid = free_solid(model, x, y, **motion)
    return Actor(solid, name, model.material, model.mass_kg, (look,), inflated=model.inflated)


def _basketball() -> Actor:
    model = make_body("ball", "rubber", 0.6, 0.12)
    look = Look(model.vertices, model.radius, "panels", _ORANGE, _BLACK, 3, turns=False)
    return _free("basketball", model, 0.14, 0.3, look, vx=0.36, spin=2.5, release_s=0.0)


def _steel_ball() -> Actor:
    model = make_body("ball", "steel", 0.6, 1.0)
    look = Look(model.vertices, model.radius, "plain", _STEEL, _STEEL, 4, turns=False)
    return _free("steel ball", model, 1.3, -0.1, look, vx=0.04, release_s=2.35)


def _block() -> Fixture:
    left, right, top = 1.66, 2.14, _FLOOR_Y - 0.30
    cx, cy, a, b = (left + right) / 2, (top + _FLOOR_Y) / 2, (right - left) / 2 - 0.01, (_FLOOR_Y - top) / 2 - 0.01
    core = ((-a, -b), (a, -b), (a, b), (-a, b))
    world = tuple((u + cx, v + cy) for u, v in core)
    return Fixture(Solid("block", "wood", core, 0.01, x=cx, y=cy), (Look(world, 0.01, "grain", _OAK, _OAK_DARK, 9),))


def _hammer() -> Actor:
    """A hand's hammer whose elbow lies at the picture's right edge; four blows, the last two in quick succession."""
    handle, forearm = 0.33, 0.30
    reach = handle + forearm
    a, b, radius = 0.024, 0.062, 0.008
    vertices = ((-a, -b), (a, -b), (a, b), (-a, b))
    looks = (
        Look(((handle + 0.04, 0.0), (0.0, 0.0)), 0.014, "grain", _OAK, _OAK_DARK, 21),
        Look(vertices, radius, "metal", (120, 124, 132), (190, 194, 200), 22),
        Look(((handle + 0.05, 0.0), (reach + 0.4, 0.0)), 0.046, "cloth", _SLEEVE, (40, 56, 86), 23),
        Look(((handle - 0.035, 0.004), (handle + 0.04, 0.0)), 0.043, "skin", _SKIN, (190, 140, 110), 24),
    )
    solid = Solid("hammer", "steel", vertices, radius, rigidity_kg=1.1)
    pivot_x = 1.86 + reach
    # at angle 0 the arm is level and the head just touches the block
    pivot = (pivot_x, _FLOOR_Y - 0.30 - b - radius)
    blows = [(0.75, 0.8, 0.30), (1.9, 0.95, 0.28), (3.35, 0.85, 0.30), (4.05, 0.5, 0.25), (4.95, 1.0, 0.27)]

    def at(angle: float) -> Coordinates:
        return (pivot[0] + 0.04 * angle, pivot[1] - 0.03 * angle, angle)

    def swing(index: int, start_s: float, start: Coordinates) -> list[Piece]:
        blow_s, lift, swing_s = blows[index]
        raised = at(lift)
        rate = (0.0, 0.0, -2.0 * lift / swing_s)
        begin = blow_s - swing_s
        ready = begin - 0.08
        rise = Piece(start_s, max(ready, start_s + 0.1), start, (0.0, 0.0, 0.0), raised, (0.0, 0.0, 0.0))
        through, _ = follow_through(blow_s, at(0.0), rate, 0.1)
        return [rise, hold(rise.end_s, begin, raised), go(begin, blow_s, raised, at(0.0), rate), through]

    done = [0]

    def plan(time_s: float, now: Coordinates, after: Coordinates) -> list[Piece]:
        done[0] += 1
        settle_s = 0.14
        up = Piece(time_s, time_s + settle_s, now, after, at(now[2] + 0.5 * after[2] * settle_s), (0.0, 0.0, 0.0))
        if done[0] < len(blows):
            return [up, *swing(done[0], up.end_s, up.end)]
        leave = go(up.end_s, up.end_s + 0.6, up.end, at(0.5 * math.pi / 2))
        return [up, leave, hold(leave.end_s, FOREVER_S, leave.end)]

    start = at(0.9)
    first = [hold(0.0, 0.3, start), *swing(0, 0.3, start)]
    solid.path = Path(first, (-reach, 0.0), plan)
    return Actor(solid, "hammer", "steel", 0.6, looks, action="swung", tool=True)
