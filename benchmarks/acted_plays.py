"""What happens in acted scenes: who moves how, and what is hit when. Everything is in pixels of a standing camera.

Written without a look at the simulator: paths are closed formulas or stepped flights, tools swing about a point, and
nothing of ``pavas_core.simulation`` is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pavas_core.physics.types import Contact

SUBSTEPS = 16
"""Steps of every path in a frame."""
_REST = 0.03
"""What bounces off the ground slower than gravity makes it in this many seconds stays there."""
_SKIN = np.array([200.0, 150.0, 110.0])

Point = np.ndarray
Colour = np.ndarray


@dataclass(frozen=True)
class Rod:
    """All within ``radius`` of a line; a disc where both ends are the same."""

    a: Point
    b: Point
    radius: float


@dataclass(frozen=True)
class Box:
    """Upright."""

    centre: Point
    half: Point


@dataclass(frozen=True)
class Thing:
    """What is drawn, of one or more parts."""

    name: str
    mass_kg: float
    parts: Callable[[int], list[tuple[Rod | Box, Colour]]]
    """At a step."""
    centres: np.ndarray
    """float [steps, 2]"""
    pattern: int = 0
    """0 = plain, 1 = chequered, 2 = banded."""
    spin: float = 0.0
    """Radians a second, of the pattern."""
    asked: bool = True
    """Whether it is to be found; a hand at the end of a tool and leaves are not."""


@dataclass(frozen=True)
class Blow:
    """One contact of a thing."""

    time_s: float
    thing: str
    before: np.ndarray
    """float [2] velocity, pixels per second."""
    after: np.ndarray
    normal: tuple[float, float]
    contact: Contact = "bounce"
    partner: str | None = None
    partner_after: np.ndarray | None = None


@dataclass
class Play:
    """All that happens, in the order in which it is drawn."""

    things: list[Thing] = field(default_factory=list)
    blows: list[Blow] = field(default_factory=list)
    blocks: list[tuple[Box, Colour]] = field(default_factory=list)
    """What stands there, as part of the scene."""


@dataclass(frozen=True)
class Stage:
    """Where it happens, and the chance that decides how."""

    rng: np.random.Generator
    width: int
    height: int
    floor: float
    """Height of the ground in the picture."""
    gravity: float
    time_s: np.ndarray
    """float [steps]"""

    @property
    def step_s(self) -> float:
        return float(self.time_s[1])

    def radius(self) -> float:
        """A usual one."""
        return self.width * float(self.rng.uniform(0.025, 0.07))

    def colour(self) -> Colour:
        return np.asarray(self.rng.uniform(10, 245, 3))

    def speed(self, path: np.ndarray) -> np.ndarray:
        """Velocity [steps, 2] along a path."""
        return np.asarray(np.gradient(path, self.time_s, axis=0))


def _disc(centre: Point, radius: float) -> Rod:
    return Rod(centre, centre, radius)


def _ball(stage: Stage, name: str, path: np.ndarray, radius: float, mass_kg: float) -> Thing:
    colour, pattern, spin = stage.colour(), int(stage.rng.integers(3)), float(stage.rng.normal(0, 6))
    return Thing(name, mass_kg, lambda k: [(_disc(path[k], radius), colour)], path, pattern, spin)


def _box(stage: Stage, name: str, path: np.ndarray, half: Point, mass_kg: float) -> Thing:
    colour, pattern = stage.colour(), int(stage.rng.choice([0, 2]))
    return Thing(name, mass_kg, lambda k: [(Box(path[k], half), colour)], path, pattern)


def _flight(
    stage: Stage,
    start: Sequence[float],
    velocity: Sequence[float],
    floor: float,
    restitution: float,
    *,
    from_s: float = 0.0,
    rubs: float = 0.9,
    wall: float = np.inf,
) -> tuple[np.ndarray, list[tuple[float, np.ndarray, np.ndarray, tuple[float, float]]]]:
    """Path [steps, 2] of what lies at ``start`` until a time and then flies, and each of its contacts."""
    (x, y), (vx, vy), dt = start, velocity, stage.step_s
    path, contacts, rests = np.empty((len(stage.time_s), 2)), [], False
    for k, time_s in enumerate(stage.time_s):
        path[k] = x, y
        if time_s < from_s:
            continue
        if rests:
            vx *= 1 - 0.6 * dt
            x += vx * dt
            continue
        vy += stage.gravity * dt
        x, y = x + vx * dt, y + vy * dt
        before = np.array([vx, vy])
        if y >= floor and vy > 0:
            y, vx, vy = floor, vx * rubs, -restitution * vy
            if -vy < stage.gravity * _REST:
                vy, rests = 0.0, True
            contacts.append((float(time_s), before, np.array([vx, vy]), (0.0, -1.0)))
        elif x > wall and vx > 0:
            vx = -restitution * vx
            contacts.append((float(time_s), before, np.array([vx, vy]), (-1.0, 0.0)))
    return path, contacts


def _falls(play: Play, thing: Thing, contacts: list, contact: Contact = "bounce") -> None:
    play.things.append(thing)
    play.blows += [Blow(at, thing.name, before, after, normal, contact) for at, before, after, normal in contacts]


def bounce(stage: Stage) -> Play:
    rng, play, radius = stage.rng, Play(), stage.radius()
    start = stage.width * rng.uniform(0.2, 0.7), stage.height * rng.uniform(-0.05, 0.3)
    across = stage.width * rng.uniform(-0.15, 0.2)
    path, contacts = _flight(stage, start, (across, 0.0), stage.floor - radius, rng.uniform(0.45, 0.85))
    _falls(play, _ball(stage, "ball", path, radius, rng.uniform(0.05, 0.6)), contacts)
    return play


def two(stage: Stage) -> Play:
    rng, play, radius = stage.rng, Play(), stage.radius()
    for name, place, own in (("left", 0.25, radius), ("right", 0.7, 1.5 * radius)):
        start = stage.width * (place + rng.uniform(-0.1, 0.1)), stage.height * rng.uniform(-0.1, 0.3)
        across = stage.width * rng.uniform(-0.1, 0.1)
        path, contacts = _flight(stage, start, (across, 0.0), stage.floor - own, rng.uniform(0.5, 0.85))
        _falls(play, _ball(stage, name, path, own, 0.2), contacts)
    return play


def wall(stage: Stage) -> Play:
    rng, play, radius, edge = stage.rng, Play(), stage.radius(), 0.93 * stage.width
    start = 0.1 * stage.width, stage.floor - stage.height * rng.uniform(0.2, 0.5)
    velocity = stage.width * rng.uniform(0.8, 1.8), -stage.width * rng.uniform(0.0, 0.8)
    path, contacts = _flight(stage, start, velocity, stage.floor - radius, rng.uniform(0.5, 0.8), wall=edge - radius)
    half = np.array([0.1 * stage.width, stage.height])
    play.blocks.append((Box(np.array([edge + half[0], 0.0]), half), stage.colour()))
    _falls(play, _ball(stage, "ball", path, radius, 0.4), contacts)
    return play


def drop(stage: Stage) -> Play:
    rng, play, radius = stage.rng, Play(), stage.radius()
    half = np.array([1.4, 1.1]) * radius
    start = stage.width * rng.uniform(0.3, 0.7), stage.height * rng.uniform(-0.05, 0.25)
    across = stage.width * rng.uniform(-0.05, 0.05)
    path, contacts = _flight(stage, start, (across, 0.0), stage.floor - half[1], rng.uniform(0.0, 0.15), rubs=0.1)
    _falls(play, _box(stage, "box", path, half, 1.0), contacts, "landing")
    return play


def collide(stage: Stage) -> Play:
    """One rolls into a ball or a box that stands."""
    rng, play, radius = stage.rng, Play(), stage.radius()
    other, restitution = radius * rng.uniform(0.8, 1.4), rng.uniform(0.4, 0.9)
    (mine, theirs), speed, at_s = rng.uniform(0.2, 1.0, 2), stage.width * rng.uniform(0.4, 1.0), rng.uniform(0.5, 1.2)
    mine_after = (mine - restitution * theirs) / (mine + theirs) * speed
    theirs_after = (1 + restitution) * mine / (mine + theirs) * speed
    place, later = 0.55 * stage.width, stage.time_s - at_s
    x = place - radius - other + np.where(later < 0, speed, mine_after) * later
    path = np.stack([x, np.full_like(x, stage.floor - radius)], 1)
    x = place + np.where(later < 0, 0.0, theirs_after) * later
    path_of_other = np.stack([x, np.full_like(x, stage.floor - other)], 1)
    play.things.append(_ball(stage, "ball", path, radius, mine))
    if rng.random() < 0.5:
        play.things.append(_ball(stage, "other", path_of_other, other, theirs))
    else:
        play.things.append(_box(stage, "other", path_of_other, np.array([other, other]), theirs))
    flat = [np.array([v, 0.0]) for v in (speed, mine_after, theirs_after)]
    play.blows.append(Blow(at_s, "ball", flat[0], flat[1], (-1.0, 0.0), "collision", "other", flat[2]))
    return play


def _swung(phase: np.ndarray) -> np.ndarray:
    """Out like a sine to 1 and gently back to rest at 0, which is reached at pi."""
    phase = np.clip(phase, 0, np.pi)
    return np.where(phase < np.pi / 2, np.sin(phase), (1 - np.cos(2 * phase)) / 2)


def kick(stage: Stage) -> Play:
    """A leg swings about its hip and meets a ball that lies there."""
    rng, play, radius, time_s = stage.rng, Play(), stage.radius(), stage.time_s
    hip = np.array([0.3 * stage.width, 0.15 * stage.height])
    length, at_s, turn = stage.floor - hip[1] - 0.02 * stage.height, rng.uniform(0.7, 1.4), rng.uniform(4, 8)
    reach, later = 0.9, time_s - at_s
    angle = reach * np.where(later < 0, -_swung(-later * turn / reach), _swung(0.7 * later * turn / reach))
    foot = hip + length * np.stack([np.sin(angle), np.cos(angle)], 1)
    colour = np.array([90.0, 60.0, 60.0]) + rng.normal(0, 20, 3)

    def leg(k: int) -> list:
        toe = foot[k] + 0.05 * stage.width * np.array([np.cos(angle[k]), -np.sin(angle[k])])
        trunk = np.array([hip[0], -0.2 * stage.height])
        parts = Rod(trunk, hip, 0.05 * stage.width), Rod(hip, foot[k], 0.03 * stage.width)
        return [(part, colour) for part in (*parts, Rod(foot[k], toe, 0.02 * stage.width))]

    speed = turn * length
    velocity = np.array([rng.uniform(0.8, 1.3), -rng.uniform(0.2, 0.8)]) * speed
    start = hip[0] + radius + 0.05 * length, stage.floor - radius
    path, contacts = _flight(stage, start, velocity, stage.floor - radius, 0.6, from_s=at_s)
    play.things.append(Thing("leg", 3.0, leg, foot))
    still, flat = np.zeros(2), np.array([speed, 0.0])
    play.blows.append(Blow(at_s, "leg", flat, 0.7 * flat, (-1.0, 0.0), "strike", "ball", velocity))
    _falls(play, _ball(stage, "ball", path, radius, 0.43), [one for one in contacts if np.any(one[1] != still)])
    return play


def _lifts(stage: Stage, rate_hz: float, rebound: float) -> tuple[np.ndarray, list[float]]:
    """How high something is [steps], from 0 to 1, that strikes at a rate, and when it strikes.

    It leaves what it has struck with a share of the speed at which it came, is lifted slowly and driven down.
    """
    first_s, speed = 0.4, 3.2
    turns = (stage.time_s - first_s) * rate_hz
    strikes = int((stage.time_s[-1] - first_s - 0.3) * rate_hz)
    phase = turns - np.floor(turns)
    up, down = np.clip(phase / 0.6, 0, 1), np.clip((phase - 0.6) / 0.4, 0, 1)
    leaving = np.where(turns < 1, 0.0, rebound * speed * 0.6)  # from rest, or from the strike before
    lifted = (up**3 - 2 * up**2 + up) * leaving + (3 * up**2 - 2 * up**3)
    driven = (2 * down**3 - 3 * down**2 + 1) - (down**3 - down**2) * speed * 0.4
    height = np.where(phase < 0.6, lifted, driven)
    height[(turns < 0) | (turns > strikes)] = 0.0
    return height, [first_s + number / rate_hz for number in range(1, strikes + 1)]


def _strikes(play: Play, stage: Stage, thing: Thing, times_s: Sequence[float]) -> None:
    play.things.append(thing)
    speed = stage.speed(thing.centres)
    for at_s in times_s:
        k = round(at_s / stage.step_s)
        if k + 4 < len(speed):
            play.blows.append(Blow(at_s, thing.name, speed[k - 3], speed[k + 4], (0.0, -1.0), "strike"))


def _tool(stage: Stage, name: str, rate_hz: float, swing: float, head: float, mass_kg: float) -> Play:
    """A tool that a hand, drawn or out of sight, swings about its end onto a block."""
    rng, play = stage.rng, Play()
    length = stage.width * rng.uniform(0.18, 0.32)
    pivot = np.array([stage.width * rng.uniform(0.15, 0.35), stage.floor - stage.height * rng.uniform(0.02, 0.2)])
    height, times_s = _lifts(stage, rate_hz, rng.uniform(0.1, 0.5))
    end = pivot + length * np.stack([np.cos(swing * height), -np.sin(swing * height)], 1)
    colour, thick, head = stage.colour(), 0.035 * length, head * length

    def parts(k: int) -> list:
        along = (end[k] - pivot) / length
        across = np.array([-along[1], along[0]])
        return [
            (Rod(pivot, end[k], thick), colour),
            (Rod(end[k] - 0.8 * head * across, end[k] + 0.55 * head * across, 0.45 * head), colour),
        ]

    struck = np.array([pivot[0] + length, (pivot[1] + head + stage.floor) / 2])
    half = np.array([0.08 * stage.width, max(2.0, (stage.floor - pivot[1] - head) / 2)])
    play.blocks.append((Box(struck, half), stage.colour()))
    if rng.random() < 0.7:
        skin, radius = _SKIN + rng.normal(0, 15, 3), 0.07 * length
        arm = Rod(pivot, np.array([-0.1 * stage.width, pivot[1] + 0.1 * stage.height]), radius)
        held = [(_disc(pivot, 1.3 * radius), skin), (arm, skin)]
        play.things.append(Thing("hand", 1.0, lambda k: held, np.tile(pivot, (len(end), 1)), asked=False))
    # A tool goes as fast as its head, or as the middle of the half that strikes where it has none.
    told = end if head > 0.1 * length else pivot + 0.75 * (end - pivot)
    _strikes(play, stage, Thing(name, mass_kg, parts, told), times_s)
    return play


def hammer(stage: Stage) -> Play:
    return _tool(stage, "hammer", stage.rng.uniform(0.8, 2.0), stage.rng.uniform(0.6, 1.3), 0.13, 0.5)


def drumstick(stage: Stage) -> Play:
    return _tool(stage, "stick", stage.rng.uniform(2, 5), stage.rng.uniform(0.3, 0.7), 0.035, 0.06)


def knock(stage: Stage) -> Play:
    rng, play = stage.rng, Play()
    radius, x = stage.width * rng.uniform(0.03, 0.06), stage.width * rng.uniform(0.4, 0.6)
    height, times_s = _lifts(stage, rng.uniform(1.5, 4), rng.uniform(0.1, 0.5))
    y = stage.floor - radius - rng.uniform(0.3, 0.6) * height * 0.3 * stage.height
    path, skin = np.stack([np.full_like(y, x), y], 1), _SKIN + rng.normal(0, 20, 3)

    def hand(k: int) -> list:
        elbow = np.array([-0.1 * stage.width, y[k] - 0.3 * stage.height])
        return [(_disc(path[k], radius), skin), (Rod(path[k], elbow, 0.7 * radius), skin)]

    _strikes(play, stage, Thing("hand", 0.5, hand, path), times_s)
    return play


def dribble(stage: Stage) -> Play:
    """A hand pushes a ball down again and again."""
    rng, play, radius = stage.rng, Play(), stage.radius()
    period, rise = 1 / rng.uniform(1.2, 2.0), 0.35 * stage.height
    half = period / 2
    rise = max(rise, 0.525 * stage.gravity * half**2)
    push = rise / half - stage.gravity * half / 2
    phase = np.mod(stage.time_s - 0.2, period)
    falling = np.minimum(phase, period - phase)
    top, x = stage.floor - radius - rise, stage.width * rng.uniform(0.4, 0.6)
    y = top + push * falling + stage.gravity / 2 * falling**2
    path = np.stack([np.full_like(y, x), y], 1)
    deepest = 0.12 * stage.height
    palm, skin = top - 1.2 * radius + deepest * np.tanh((y - top) / deepest), _SKIN + rng.normal(0, 15, 3)
    shoulder = np.array([-0.1 * stage.width, top - 0.1 * stage.height])

    def hand(k: int) -> list:
        at = np.array([x, palm[k]])
        return [(_disc(at, 0.5 * radius), skin), (Rod(at, shoulder, 0.4 * radius), skin)]

    play.things.append(Thing("hand", 0.6, hand, np.stack([np.full_like(y, x), palm], 1)))
    down, pushed = np.array([0.0, push + stage.gravity * half]), np.array([0.0, push])
    times_s = np.arange(0.2 + half, stage.time_s[-1], period)
    _falls(play, _ball(stage, "ball", path, radius, 0.6), [(at, down, -down, (0.0, -1.0)) for at in times_s])
    for at in times_s[1:] - half:
        play.blows.append(Blow(at, "ball", -pushed, pushed, (0.0, 1.0), "strike", "hand", pushed))
    return play


def pendulum(stage: Stage) -> Play:
    angle = 0.6 * np.sin(2 * np.pi * stage.time_s / stage.rng.uniform(1, 2))
    path = np.stack([0.5 * stage.width + 0.5 * stage.height * np.sin(angle), stage.height * np.cos(angle) / 2], 1)
    return Play([_ball(stage, "bob", path + np.array([0, 0.05 * stage.height]), stage.radius(), 0.3)])


def wave(stage: Stage) -> Play:
    angle = 0.5 * np.sin(2 * np.pi * stage.time_s * stage.rng.uniform(1, 2.5))
    elbow, length = np.array([0.5 * stage.width, 0.9 * stage.height]), 0.45 * stage.height
    hand = elbow + length * np.stack([np.sin(angle), -np.cos(angle)], 1)
    skin, wide = _SKIN + stage.rng.normal(0, 15, 3), stage.width
    below = elbow + np.array([0, 0.3 * stage.height])

    def arm(k: int) -> list:
        parts = Rod(below, elbow, 0.05 * wide), Rod(elbow, hand[k], 0.035 * wide), _disc(hand[k], 0.05 * wide)
        return [(part, skin) for part in parts]

    return Play([Thing("arm", 2.0, arm, hand)])


def walk(stage: Stage) -> Play:
    rng, wide, high = stage.rng, stage.width, stage.height
    speed, step = wide * rng.uniform(0.1, 0.3) * rng.choice([-1, 1]), 2 * np.pi * stage.time_s * rng.uniform(0.8, 1.1)
    x = wide / 2 + speed * (stage.time_s - stage.time_s[-1] / 2)
    hip, colour = np.stack([x, np.full_like(x, stage.floor - 0.35 * high)], 1), stage.colour()

    def body(k: int) -> list:
        shoulder = hip[k] - [0, 0.25 * high]
        parts = [Rod(hip[k], shoulder, 0.04 * wide), _disc(shoulder - [0, 0.06 * wide], 0.035 * wide)]
        for side in (1, -1):
            angle = 0.45 * side * np.sin(step[k])
            parts.append(Rod(hip[k], hip[k] + 0.33 * high * np.array([np.sin(angle), np.cos(angle)]), 0.02 * wide))
            parts.append(Rod(shoulder, hip[k] - [0.15 * high * np.sin(angle), 0], 0.013 * wide))
        return [(part, colour) for part in parts]

    return Play([Thing("walker", 70.0, body, hip)])


def carry(stage: Stage) -> Play:
    """A hand that carries a ball: one thing of two colours."""
    radius, turn = stage.radius(), 2 * np.pi * stage.time_s / stage.time_s[-1]
    path = np.stack([0.5 + 0.25 * np.sin(turn), 0.5 + 0.1 * np.sin(1.7 * turn)], 1) * [stage.width, stage.height]
    colour, skin, below = stage.colour(), _SKIN + stage.rng.normal(0, 15, 3), np.array([0.1, 1.2])

    def held(k: int) -> list:
        arm = Rod(path[k] + [0, radius], below * [stage.width, stage.height], 0.6 * radius)
        palm = _disc(path[k] + [-0.3 * radius, 0.9 * radius], 0.7 * radius)
        return [(arm, skin), (palm, skin), (_disc(path[k], radius), colour)]

    return Play([Thing("hand with ball", 1.0, held, path)])


def toss(stage: Stage) -> Play:
    """Thrown up from below the picture and gone there again."""
    rise = np.sqrt(2 * stage.gravity * stage.height * stage.rng.uniform(0.6, 1.0))
    later = stage.time_s - 0.3
    y = np.where(later < 0, 1.2, 1.08) * stage.height - rise * later + stage.gravity / 2 * later**2
    x = stage.width * (0.2 + 0.6 * stage.time_s / stage.time_s[-1])
    return Play([_ball(stage, "ball", np.stack([x, y], 1), stage.radius(), 0.3)])


def leaves(stage: Stage) -> Play:
    rng, green = stage.rng, np.array([60.0, 120.0, 60.0])
    places = rng.uniform(0, 1, (25, 2)) * [stage.width, 0.5 * stage.height]
    radii, phases, rates = rng.uniform(0.02, 0.05, 25) * stage.width, rng.uniform(0, 6, 25), rng.uniform(0.6, 1.4, 25)

    def crown(k: int) -> list:
        turns = 2 * np.pi * stage.time_s[k] * rates + phases
        moved = places + stage.width * np.stack([0.008 * np.sin(turns), 0.003 * np.cos(turns)], 1)
        return [(_disc(one, radius), green) for one, radius in zip(moved, radii, strict=True)]

    still = np.tile(places.mean(0), (len(stage.time_s), 1))
    return Play([Thing("crown", 1.0, crown, still, asked=False)])


def nothing(stage: Stage) -> Play:
    """Only the camera moves, or the light flickers."""
    return Play()


PLAYS: dict[str, Callable[[Stage], Play]] = {
    play.__name__: play
    for play in (
        bounce, two, wall, drop, collide, kick, hammer, drumstick, knock, dribble,
        pendulum, wave, walk, carry, toss, leaves, nothing,
    )
}  # fmt: skip


def passer_by(stage: Stage) -> Thing:
    """Somebody who walks through behind what happens."""
    rng, wide, high = stage.rng, stage.width, stage.height
    x = rng.uniform(-0.2, 0.5) * wide + wide * rng.uniform(0.1, 0.25) * stage.time_s
    middle, colour = np.stack([x, np.full_like(x, stage.floor - 0.22 * high)], 1), stage.colour()

    def body(k: int) -> list:
        trunk = Rod(middle[k] - [0, 0.12 * high], middle[k] + [0, 0.2 * high], 0.03 * wide)
        return [(trunk, colour), (_disc(middle[k] - [0, 0.12 * high + 0.05 * wide], 0.03 * wide), colour)]

    return Thing("passer-by", 60.0, body, middle)
