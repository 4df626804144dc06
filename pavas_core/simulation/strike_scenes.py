"""Scenes of articulated strikes: hammers, axes and sticks on things, kicks, dribbling, juggling, batting."""

from __future__ import annotations

import math

import numpy as np

from pavas_core.physics.types import GRAVITY_MPS2
from pavas_core.simulation import catalogue
from pavas_core.simulation.driven import Coordinates, Path, Piece, follow_through, go, hold
from pavas_core.simulation.dynamics import Meeting, Solid, World
from pavas_core.simulation.outline import Point
from pavas_core.simulation.stage import (
    CLOTH,
    SKIN,
    Actor,
    Colour,
    Fixture,
    Limb,
    Look,
    Stage,
    body_actor,
    box_fixture,
    floor_fixture,
    paint,
    rest_height,
)
from pavas_core.synthesis.materials import MATERIALS

FOREVER_S = 1e3
_HEADS = {  # name: materials of the head, kilograms, metres from hand to head, reach of the rebound
    "hammer": (("steel", "steel", "rubber"), (0.2, 1.6), (0.22, 0.34), (0.1, 0.45)),
    "mallet": (("wood", "rubber"), (0.2, 1.2), (0.22, 0.34), (0.1, 0.4)),
    "axe": (("steel",), (0.6, 2.5), (0.35, 0.7), (0.0, 0.1)),
    "stick": (("wood", "bamboo", "steel"), (0.05, 0.8), (0.35, 0.6), (0.25, 0.65)),
    "spoon": (("wood", "steel"), (0.03, 0.12), (0.18, 0.26), (0.2, 0.5)),
}  # fmt: skip
_TARGETS = ("wood", "wood", "steel", "stone", "concrete", "brick", "plastic", "ceramic", "cardboard", "iron")


def strike(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """A tool swings down on something fixed, once or again and again, and rebounds."""
    name = str(rng.choice(list(_HEADS), p=[0.4, 0.1, 0.2, 0.2, 0.1]))
    materials, masses, handles, rebounds = _HEADS[name]
    handle = float(rng.uniform(*handles))
    forearm = float(rng.uniform(0.24, 0.32)) if name != "spoon" else 0.2
    reach = handle + forearm
    width = float(np.clip(reach * rng.uniform(1.4, 3.8), 0.6, 6.0))
    height = width / aspect
    stage = Stage("strike", width, height, duration_s, None, "wood", tool_restitution=float(rng.uniform(*rebounds)))
    side = 1.0 if rng.random() < 0.5 else -1.0
    contact = float(rng.uniform(-0.15, 0.25))
    # where the head is at the blow; the elbow follows and may well lie outside the picture
    head_x = width / 2 + side * rng.uniform(-0.15, 0.2) * width
    head_y = float(rng.uniform(0.55, 0.85)) * height
    pivot = (head_x - side * reach * math.cos(contact), head_y - reach * math.sin(contact))
    material = str(rng.choice(list(materials)))
    mass = float(np.exp(rng.uniform(*np.log(masses))))
    tool = _swung_tool(rng, name, material, mass, handle, forearm, side, width)
    path = _swings(rng, stage, pivot, (side * reach, 0.0), side, contact)
    tool.solid.path = path
    stage.actors.append(tool)
    if 0.0 < pivot[0] < width:
        # whoever holds it stands or kneels right behind the elbow
        hip = (pivot[0] - side * 0.1, pivot[1] + 0.12)
        stage.fixtures.append(_person(rng, hip, hip[1] + 0.8, CLOTH[rng.integers(len(CLOTH))], elbow=pivot))
    lowest = max(v for _, v in _turned(tool.solid.vertices, side * contact)) + head_y + tool.solid.radius
    what = str(rng.choice(list(_TARGETS)))
    if rng.random() < 0.25:
        stage.floor_y, stage.floor_material = lowest, what if what in catalogue.FLOORS else "concrete"
        stage.fixtures.append(floor_fixture(lowest, stage.floor_material))
    else:
        half = float(rng.uniform(0.05, 0.22)) * width + tool.solid.reach * 0.4
        bottom = lowest + float(rng.uniform(0.06, 0.35)) * height
        stage.fixtures.append(box_fixture(rng, "block", what, head_x - half, lowest, head_x + half, bottom))
        stage.floor_y = bottom
        stage.fixtures.append(floor_fixture(bottom, "wood"))
    return stage


def air_swings(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """The same tool swung through the air, hitting nothing."""
    stage = strike(rng, aspect, duration_s)
    stage.kind = "air_swings"
    stage.fixtures.clear()
    stage.floor_y = None
    return stage


def kick(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """A foot, mallet or stick that swings like a pendulum drives a body along the floor or into the air."""
    foot = rng.random() < 0.65
    leg = 0.85 if foot else float(rng.uniform(0.5, 0.9))
    width = float(np.clip(np.exp(rng.uniform(np.log(1.2), np.log(4.5))), 0.6, 6.0))
    height = width / aspect
    floor = float(rng.uniform(0.78, 0.95)) * height
    material = catalogue.FLOORS[rng.integers(len(catalogue.FLOORS))]
    stage = Stage("kick", width, height, duration_s, floor, material)
    stage.fixtures.append(floor_fixture(floor, material))
    side = 1.0 if rng.random() < 0.5 else -1.0
    model = catalogue.draw_fitting_body(rng, width, ("ball", "ball", "block", "cup") if not foot else ("ball",))
    ball_x = width / 2 - side * rng.uniform(0.1, 0.35) * width
    ball_y = floor - rest_height(model)
    stage.actors.append(body_actor(rng, model, ball_x, ball_y))
    half = min(0.06, 0.05 * width + 0.02)
    thick = 0.5 * half
    # the tool's face is just behind the body when it hangs down, a little under its middle
    tool_x = ball_x - side * (model.reach_m + half + 0.005)
    tool_y = min(ball_y + 0.2 * model.radius, floor - thick - 0.01)
    pivot = (tool_x, tool_y - leg)
    tool = _foot(rng, half, thick, pivot, leg) if foot else _pendulum_mallet(rng, half, thick, leg)
    back, forth = float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.15, 0.4))
    swing_s = back * float(rng.uniform(0.22, 0.55))
    rate = 2.0 * back / swing_s
    turn = -side
    start = (*pivot, -turn * back)
    through = (*pivot, turn * 0.02)
    begin = float(rng.uniform(0.2, 0.8))
    speed = (0.0, 0.0, turn * rate)
    swing = go(begin, begin + swing_s, start, through, speed)

    def plan(time_s: float, at: Coordinates, after: Coordinates) -> list[Piece]:
        brake, end = follow_through(time_s, at, after, 2.0 * forth / max(abs(after[2]), 1.0))
        return [brake, hold(brake.end_s, FOREVER_S, end)]

    tool.solid.path = Path([hold(0.0, begin, start), swing, *plan(swing.end_s, through, speed)], (0.0, leg), plan)
    if foot:
        stage.fixtures.append(_person(rng, pivot, floor, tool.looks[0].colour))
    stage.actors.append(tool)
    if rng.random() < 0.5:
        edge = width / 2 + side * rng.uniform(0.36, 0.46) * width
        far = width / 2 + side * 1.1 * width
        brick = str(rng.choice(["brick", "wood", "concrete"]))
        stage.fixtures.append(box_fixture(rng, "wall", brick, min(edge, far), -height, max(edge, far), floor))
    return stage


def bat(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """A thrown ball is hit back by a swung bat."""
    width = float(np.exp(rng.uniform(np.log(1.6), np.log(4.5))))
    height = width / aspect
    floor = float(rng.uniform(0.85, 0.97)) * height
    material = catalogue.FLOORS[rng.integers(len(catalogue.FLOORS))]
    stage = Stage("bat", width, height, duration_s, floor, material)
    stage.fixtures.append(floor_fixture(floor, material))
    side = 1.0 if rng.random() < 0.5 else -1.0
    model = catalogue.draw_fitting_body(rng, width, ("ball",), largest=0.05)
    handle, forearm = float(rng.uniform(0.5, 0.75)), 0.3
    reach = handle + forearm
    mass = float(rng.uniform(0.3, 1.2))
    tool = _swung_tool(rng, "stick", "wood", mass, handle, forearm, 1.0, width)
    meet = (width / 2 - side * rng.uniform(0.05, 0.3) * width, float(rng.uniform(0.3, 0.6)) * floor)
    meet_s = float(rng.uniform(0.7, 1.3))
    # the bat hangs down from the shoulder side and swings up through the vertical towards the ball
    lean = float(rng.uniform(-0.2, 0.35))
    contact = math.pi / 2 + side * lean
    offset = (reach, 0.0)
    at = (reach * math.cos(contact), reach * math.sin(contact))
    pivot = (meet[0] - side * (model.radius + tool.solid.radius) - at[0], meet[1] - at[1])
    back = float(rng.uniform(0.8, 1.4))
    swing_s = back * float(rng.uniform(0.2, 0.4))
    turn = -side
    start = (*pivot, contact - turn * back)
    through = (*pivot, contact)
    rate = (0.0, 0.0, turn * 2.0 * back / swing_s)

    def plan(time_s: float, at: Coordinates, after: Coordinates) -> list[Piece]:
        brake, end = follow_through(time_s, at, after, 0.3)
        return [brake, hold(brake.end_s, FOREVER_S, end)]

    begin = meet_s - swing_s
    pieces = [hold(0.0, begin, start), go(begin, meet_s, start, through, rate), *plan(meet_s, through, rate)]
    tool.solid.path = Path(pieces, offset, plan)
    flight = meet_s - 0.1
    from_x = width / 2 + side * (width / 2 + 1.5 * model.radius)
    vx = (meet[0] - from_x) / flight
    from_y = float(rng.uniform(0.2, 0.6)) * floor
    vy = (meet[1] - from_y - 0.5 * GRAVITY_MPS2 * flight**2) / flight
    stage.actors.append(body_actor(rng, model, from_x, from_y, vx=vx, vy=vy, spin=5.0, release_s=0.1))
    stage.actors.append(tool)
    return stage


def dribble(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """A hand pushes a ball down at the top of every bounce."""
    return _keep_going(rng, aspect, duration_s, downwards=True)


def juggle(rng: np.random.Generator, aspect: float, duration_s: float) -> Stage:
    """A foot or racket sends a falling ball up again and again."""
    return _keep_going(rng, aspect, duration_s, downwards=False)


def _keep_going(rng: np.random.Generator, aspect: float, duration_s: float, downwards: bool) -> Stage:
    width = float(np.exp(rng.uniform(np.log(1.2), np.log(3.5))))
    height = width / aspect
    floor = float(rng.uniform(0.8, 0.95)) * height
    material = str(rng.choice(["wood", "concrete", "asphalt", "stone"]))
    stage = Stage("dribble" if downwards else "juggle", width, height, duration_s, floor, material)
    stage.fixtures.append(floor_fixture(floor, material))
    while True:
        mass = float(np.exp(rng.uniform(np.log(0.15), np.log(1.2))))
        model = catalogue.make_body("ball", str(rng.choice(["rubber", "leather"])), mass, 0.12)
        if catalogue.VISIBLE_RADIUS[0] <= model.radius / width <= 0.09 and model.radius < 0.15 * floor:
            break
    x = width * float(rng.uniform(0.35, 0.65))
    top = float(rng.uniform(0.35, 0.55)) * floor if downwards else float(rng.uniform(0.1, 0.35)) * floor
    meet_y = top + 0.02 if downwards else float(rng.uniform(0.6, 0.8)) * floor
    sign = 1.0 if downwards else -1.0
    half = model.radius * float(rng.uniform(0.7, 1.0))
    thick = 0.02 + 0.15 * model.radius
    gap = model.radius + thick
    if not downwards:
        # room under the foot to swing up from
        meet_y = min(meet_y, floor - gap - thick - 0.16)
        top = min(top, meet_y - 0.25)
    rest = (x, meet_y - sign * (gap + float(rng.uniform(0.08, 0.14))), 0.0)
    anchor = (x + (1 if rng.random() < 0.5 else -1) * 0.28, rest[1] - sign * (0.45 if downwards else 0.1))
    if not downwards:
        anchor = (anchor[0], meet_y - 0.75)
    limb_m = 1.15 * max(0.5, math.hypot(anchor[0] - rest[0], anchor[1] - rest[1]) + 0.3)
    tool = _palm(rng, half, thick, anchor, limb_m, not downwards)
    solid = tool.solid
    ball = body_actor(rng, model, x, top, release_s=float(rng.uniform(0.1, 0.4)))
    pace = float(rng.uniform(1.2, 2.2))

    def plan(time_s: float, at: Coordinates, after: Coordinates) -> list[Piece]:
        brake, end = follow_through(time_s, at, after, 0.12)
        home = go(brake.end_s, brake.end_s + 0.22, end, (ball.solid.x, rest[1], 0.0))
        return [brake, home, hold(home.end_s, FOREVER_S, home.end)]

    path = Path([hold(0.0, FOREVER_S, rest)], (0.0, 0.0), plan)
    solid.path = path
    stage.actors += [ball, tool]
    hip = (anchor[0], anchor[1] + 0.5) if downwards else anchor
    stage.fixtures.append(_person(rng, hip, floor, tool.limbs[0].sleeve))

    def meet(meeting: Meeting) -> None:
        """Plan the next push as soon as the ball flies towards the hand."""
        if ball.solid not in (meeting.first, meeting.second):
            return
        if downwards and solid in (meeting.first, meeting.second):
            return
        body = ball.solid
        # height at which the ball is met: near its apex for a hand, on the way down for a foot
        if downwards:
            apex = body.y - body.vy**2 / (2 * GRAVITY_MPS2)
            wait = -body.vy / GRAVITY_MPS2
            contact_y = apex
            speed = pace + 0.5 * math.sqrt(GRAVITY_MPS2 * model.radius)
        else:
            drop = body.vy**2 + 2 * GRAVITY_MPS2 * (meet_y - body.y)
            if drop <= 0.0:
                return
            wait = (-body.vy + math.sqrt(drop)) / GRAVITY_MPS2
            contact_y = meet_y
            # the speed that sends it back to its old height, whatever the contact swallows
            speed = -(math.sqrt(2 * GRAVITY_MPS2 * max(meet_y - top, 0.1)) - 0.5 * math.sqrt(drop)) / 1.5
        if wait < 0.12:
            return
        time_s = meeting.time_s
        x_then = body.x + body.vx * wait
        x_aim = x_then + 0.1 * (x_then - x)
        strike_s = min(0.16, 0.6 * wait)
        where = (x_aim, contact_y - sign * gap, 0.0)
        ready = (x_aim, where[1] - 0.5 * speed * strike_s, 0.0)
        current, _ = path.coordinates(time_s)
        rate = (0.0, speed, 0.0)
        brake, end = follow_through(time_s + wait, where, rate, 0.12)
        path.replace_from(
            time_s,
            [
                go(time_s, time_s + wait - strike_s, current, ready),
                go(time_s + wait - strike_s, time_s + wait, ready, where, rate),
                brake,
                hold(brake.end_s, FOREVER_S, end),
            ],
        )

    stage.listeners.append(meet)
    if not downwards:
        stage.openers.append(lambda world: _first_fall(world, ball.solid, meet))
    return stage


def _first_fall(world: World, ball: Solid, meet) -> None:
    """Let the foot know of the ball's first fall, which no contact announces."""
    ghost = Solid("nothing", "unknown")
    nought = (0.0, 0.0)
    meet(Meeting(ball.release_s, ball, ghost, (0.0, -1.0), nought, nought, nought, nought, nought, 0.0, 0.0))


def _swings(rng: np.random.Generator, stage: Stage, pivot: Point, offset: Point, side: float, contact: float) -> Path:
    """Lift, pause, swing down; again after every blow while the clip lasts."""
    lifts = float(rng.uniform(0.35, 1.3))
    effort = float(rng.uniform(0.16, 0.4))
    pause = float(rng.uniform(0.05, 0.5))
    blows = int(rng.integers(1, 7))
    bounces = 0 if rng.random() < 0.75 else 1
    sway = float(rng.uniform(0.0, 0.05)), float(rng.uniform(0.0, 0.08))
    low = contact * side

    def raised() -> Coordinates:
        lift = lifts * rng.uniform(0.7, 1.15)
        return pivot[0] + side * sway[0] * lift, pivot[1] - sway[1] * lift, low - side * lift

    def blow(time_s: float, start: Coordinates) -> list[Piece]:
        lift = abs(start[2] - low)
        swing_s = effort * math.sqrt(lift) * rng.uniform(0.8, 1.3)
        rate = (0.0, 0.0, side * rng.uniform(1.7, 2.3) * lift / swing_s)
        down = go(time_s, time_s + swing_s, start, (*pivot, low), rate)
        brake, end = follow_through(down.end_s, down.end, rate, 0.25)
        return [down, brake, *lift_again(brake.end_s, end, (0.0, 0.0, 0.0), 0.0)]

    left = [blows, bounces]

    def lift_again(time_s: float, at: Coordinates, rate: Coordinates, dwell: float) -> list[Piece]:
        top = raised()
        rise_s = float(rng.uniform(0.25, 0.6))
        rise = Piece(time_s + dwell, time_s + dwell + rise_s, at, rate, top, (0.0, 0.0, 0.0))
        stay = [hold(time_s, time_s + dwell, at)] if dwell else []
        return [*stay, rise, hold(rise.end_s, FOREVER_S, top)]

    def plan(time_s: float, at: Coordinates, after: Coordinates) -> list[Piece]:
        thrown = abs(after[2])
        if left[1] and thrown > 0.5:
            left[1] -= 1
            back_s = float(rng.uniform(0.07, 0.15))
            again = (-after[0], -after[1], -after[2])
            hop = Piece(time_s, time_s + back_s, at, after, at, again)
            brake, end = follow_through(hop.end_s, at, again, 0.1)
            return [hop, brake, hold(brake.end_s, FOREVER_S, end)]
        left[0] -= 1
        left[1] = bounces
        dwell = float(rng.uniform(0.1, 0.4)) if thrown < 0.3 else 0.0
        rise = lift_again(time_s, at, after if not dwell else (0.0, 0.0, 0.0), dwell)
        if left[0] <= 0:
            return rise
        start_s = rise[-1].start_s + pause * float(rng.uniform(0.6, 1.4))
        rise[-1] = hold(rise[-1].start_s, start_s, rise[-1].start)
        return rise + blow(start_s, rise[-1].end)

    begin = float(rng.uniform(0.1, 0.7))
    start = raised()
    return Path([hold(0.0, begin, start), *blow(begin, start)], offset, plan)


def _swung_tool(
    rng: np.random.Generator,
    name: str,
    material: str,
    mass: float,
    handle: float,
    forearm: float,
    side: float,
    width: float,
) -> Actor:
    """A tool whose head strikes with its lower side; the hand holds it ``handle`` metres away along -x * side."""
    density = MATERIALS[material].density_kg_m3
    pattern, colour, accent = paint(rng, material)
    wood = paint(rng, "wood")
    thin = max(0.012, 0.006 * width)
    seed = int(rng.integers(1 << 30))
    looks: list[Look] = []
    if name in ("stick", "spoon"):
        radius = max(thin * (0.7 if name == "spoon" else 1.2), 0.006 if name == "spoon" else 0.014)
        half = 0.35 * handle if name == "stick" else 0.03
        vertices: tuple[Point, ...] = ((-half, 0.0), (half, 0.0))
        looks.append(Look(((-side * handle, 0.0), (side * half, 0.0)), radius, pattern, colour, accent, seed))
        if name == "spoon":
            radius = max(radius, 0.02)
            looks.append(Look(vertices, radius, pattern, colour, accent, seed))
    else:
        volume = mass / density
        long = max((volume * (4.0 if name != "axe" else 5.0)) ** (1 / 3), 0.05 * width, 0.05)
        wide = long * (0.38 if name != "axe" else 0.55)
        radius = 0.12 * wide
        a, b = wide / 2 - radius, long / 2 - radius
        blade = a * (0.25 if name == "axe" else 1.0)
        vertices = ((-a, -b), (a, -b), (blade, b), (-blade, b))
        looks.append(Look(((-side * handle, 0.0), (0.0, 0.0)), thin * 0.8, wood[0], wood[1], wood[2], seed))
        looks.append(Look(vertices, radius, pattern, colour, accent, seed + 1))
    skin = SKIN[rng.integers(len(SKIN))]
    sleeve = CLOTH[rng.integers(len(CLOTH))] if rng.random() < 0.6 else skin
    if rng.random() < 0.85:
        looks += _forearm(rng, -side * handle, -side * (handle + forearm), skin, sleeve)
    solid = Solid(name, material, vertices, radius, rigidity_kg=mass + float(rng.uniform(0.1, 0.6)))
    return Actor(solid, f"{material} {name}", material, mass, tuple(looks), action="swung", tool=True)


def _forearm(rng: np.random.Generator, hand_x: float, elbow_x: float, skin: Colour, sleeve: Colour) -> list[Look]:
    seed = int(rng.integers(1 << 30))
    toward = 1.0 if elbow_x > hand_x else -1.0
    wrist = hand_x + toward * 0.05
    return [
        Look(((wrist, 0.0), (elbow_x, 0.0)), 0.036, "cloth", sleeve, _darker(sleeve), seed),
        Look(
            ((hand_x - toward * 0.02, 0.004), (hand_x + toward * 0.035, 0.0)), 0.04, "skin", skin, _darker(skin), seed
        ),
    ]


def _darker(colour: Colour) -> Colour:
    return int(colour[0] * 0.7), int(colour[1] * 0.7), int(colour[2] * 0.7)


def _foot(rng: np.random.Generator, half: float, thick: float, pivot: Point, leg: float) -> Actor:
    shoe = CLOTH[rng.integers(len(CLOTH))]
    trouser = CLOTH[rng.integers(len(CLOTH))]
    skin = SKIN[rng.integers(len(SKIN))]
    seed = int(rng.integers(1 << 30))
    vertices = ((-half, 0.0), (half, 0.0))
    looks = (
        Look(((0.0, -0.02), (0.0, -leg * 0.5)), 0.05, "cloth", trouser, _darker(trouser), seed),
        Look(((0.0, -leg * 0.5), (0.0, -leg)), 0.07, "cloth", trouser, _darker(trouser), seed + 1),
        Look(((0.0, -0.02), (0.0, -0.09)), 0.04, "skin", skin, _darker(skin), seed + 2),
        Look(vertices, thick, "plain", shoe, (230, 230, 230), seed + 3),
    )
    solid = Solid("foot", "flesh", vertices, thick, rigidity_kg=float(rng.uniform(2.0, 5.0)))
    return Actor(solid, "foot", "flesh", 1.2, looks, action="kicks", tool=True)


def _pendulum_mallet(rng: np.random.Generator, half: float, thick: float, leg: float) -> Actor:
    material = str(rng.choice(["wood", "steel", "rubber"]))
    pattern, colour, accent = paint(rng, material)
    wood = paint(rng, "wood")
    seed = int(rng.integers(1 << 30))
    vertices = ((-half, -thick * 0.6), (half, -thick * 0.6), (half, thick * 0.6), (-half, thick * 0.6))
    mass = float(np.exp(rng.uniform(np.log(0.3), np.log(2.5))))
    skin = SKIN[rng.integers(len(SKIN))]
    looks = (
        Look(((0.0, 0.0), (0.0, -leg)), 0.014, wood[0], wood[1], wood[2], seed),
        Look(vertices, thick * 0.4, pattern, colour, accent, seed + 1),
        Look(((0.0, -0.8 * leg), (0.0, -0.86 * leg)), 0.04, "skin", skin, _darker(skin), seed + 2),
    )
    solid = Solid("mallet", material, vertices, thick * 0.4, rigidity_kg=mass + 0.4)
    return Actor(solid, f"{material} mallet", material, mass, looks, action="swung", tool=True)


def _palm(rng: np.random.Generator, half: float, thick: float, anchor: Point, limb_m: float, foot: bool) -> Actor:
    skin = SKIN[rng.integers(len(SKIN))]
    sleeve = CLOTH[rng.integers(len(CLOTH))]
    seed = int(rng.integers(1 << 30))
    vertices = ((-half, 0.0), (half, 0.0))
    cover = CLOTH[rng.integers(len(CLOTH))] if foot else skin
    look = Look(vertices, thick, "plain" if foot else "skin", cover, _darker(cover), seed)
    grip = (math.copysign(half * 0.7, anchor[0]), -thick * 0.3)
    thickness = 0.06 if foot else 0.038
    bend = 1.0 if rng.random() < 0.5 else -1.0
    limb = Limb(anchor, grip, 0.5 * limb_m, 0.5 * limb_m, thickness, bend, sleeve, sleeve if foot else skin)
    name = "foot" if foot else "hand"
    mass = 1.2 if foot else 0.5
    solid = Solid(name, "flesh", vertices, thick, rigidity_kg=float(rng.uniform(1.5, 4.0)))
    return Actor(solid, name, "flesh", mass, (look,), (limb,), action="kicks" if foot else "pushes", tool=True)


def _person(
    rng: np.random.Generator, hip: Point, floor: float, trousers: Colour, elbow: Point | None = None
) -> Fixture:
    """Who the foot or hand belongs to, standing still behind the action."""
    x, y = hip
    skin = SKIN[rng.integers(len(SKIN))]
    shirt = CLOTH[rng.integers(len(CLOTH))]
    seed = int(rng.integers(1 << 30))
    looks: tuple[Look, ...]
    knee = (x + 0.04, (y + floor) / 2)
    looks = (
        Look((hip, knee), 0.075, "cloth", trousers, _darker(trousers), seed),
        Look((knee, (x, max(knee[1] + 0.05, floor - 0.05))), 0.055, "cloth", trousers, _darker(trousers), seed + 1),
        Look(((x, y - 0.05), (x, y - 0.48)), 0.15, "cloth", shirt, _darker(shirt), seed + 2),
        Look(((x, y - 0.72), (x + 0.02, y - 0.80)), 0.085, "skin", skin, _darker(skin), seed + 3),
    )
    if elbow is not None:
        looks += (Look(((x, y - 0.44), elbow), 0.045, "cloth", shirt, _darker(shirt), seed + 4),)
    return Fixture(None, looks)


def _turned(vertices: tuple[Point, ...], angle: float) -> list[Point]:
    cos, sin = math.cos(angle), math.sin(angle)
    return [(cos * u - sin * v, sin * u + cos * v) for u, v in vertices]
