"""The parts a scene is put together from: actors that move, fixtures that do not, and how each is painted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from pavas_core.simulation import catalogue
from pavas_core.simulation.catalogue import BodyModel
from pavas_core.simulation.dynamics import Listener, Restitution, Solid, World
from pavas_core.simulation.outline import Point

Colour = tuple[int, int, int]
"""Red, green, blue, 0..255."""

SKIN: tuple[Colour, ...] = ((238, 200, 170), (214, 166, 130), (172, 120, 86), (120, 80, 58), (84, 56, 42))
CLOTH: tuple[Colour, ...] = ((52, 64, 92), (120, 40, 44), (60, 92, 70), (190, 186, 176), (46, 46, 50), (150, 120, 80))
_PAINT: dict[str, tuple[tuple[str, ...], tuple[Colour, ...]]] = {
    "rubber": (("panels", "halves", "dots"), ((214, 110, 40), (200, 40, 44), (40, 90, 180), (230, 200, 60),
                                              (60, 60, 64))),
    "leather": (("panels", "patches"), ((236, 236, 230), (150, 90, 50), (230, 220, 190), (190, 60, 50))),
    "plastic": (("halves", "dots", "stripes", "plain"), ((230, 60, 60), (50, 140, 220), (240, 200, 50), (80, 180, 90),
                                                         (235, 235, 235), (230, 120, 190))),
    "wood": (("grain",), ((176, 128, 80), (206, 164, 110), (120, 78, 48))),
    "bamboo": (("grain",), ((208, 186, 120),)),
    "steel": (("metal",), ((150, 154, 160), (118, 122, 130), (190, 194, 200))),
    "aluminium": (("metal",), ((196, 198, 202),)),
    "glass": (("halves", "stripes"), ((120, 180, 190), (90, 150, 110), (170, 200, 220))),
    "ceramic": (("stripes", "dots", "plain"), ((240, 236, 228), (70, 110, 170), (200, 120, 90))),
    "stone": (("speckle",), ((140, 136, 130), (104, 100, 98))),
    "concrete": (("speckle",), ((160, 158, 154),)),
    "brick": (("speckle",), ((168, 84, 62),)),
    "ice": (("speckle",), ((206, 226, 236),)),
    "foam": (("plain", "dots"), ((240, 180, 70), (120, 190, 220))),
    "cardboard": (("tape",), ((186, 144, 98),)),
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """One painted rigid part, its outline in the body's frame (metres); fixtures' parts lie in the world's frame."""

    vertices: tuple[Point, ...]
    radius: float
    pattern: str
    colour: Colour
    accent: Colour
    seed: int
    turns: bool = True
    """Patterns of balls are those of spheres: shaded from above whatever the angle."""


@dataclass(frozen=True)
class Limb:
    """An arm or leg of two capsules between a shoulder or hip fixed in the world and a point of the body."""

    anchor: Point
    grip: Point
    """In the body's frame."""
    upper_m: float
    lower_m: float
    thickness_m: float
    bend: float
    """+1 or -1: to which side the elbow or knee points."""
    sleeve: Colour
    skin: Colour


@dataclass(frozen=True)
class Actor:
    """A thing that may move."""

    solid: Solid
    name: str
    material: str
    mass_kg: float
    looks: tuple[Look, ...]
    limbs: tuple[Limb, ...] = ()
    threads: tuple[Look, ...] = ()
    """What it hangs on: painted behind it, but without mass and no part of its outline."""
    action: str = "thrown"
    inflated: bool = False
    tool: bool = False


@dataclass(frozen=True)
class Fixture:
    """A thing that stays where it is."""

    solid: Solid | None
    looks: tuple[Look, ...]


@dataclass
class Stage:
    """A scene before it is played."""

    kind: str
    width_m: float
    height_m: float
    duration_s: float
    floor_y: float | None
    floor_material: str
    actors: list[Actor] = field(default_factory=list)
    fixtures: list[Fixture] = field(default_factory=list)
    tool_restitution: float = 0.25
    pan: bool = False
    """The camera must travel: nothing else happens."""
    restless_light: bool = False
    listeners: list[Listener] = field(default_factory=list)
    """Told of every contact while the scene is played."""
    openers: list[Callable[[World], None]] = field(default_factory=list)
    """Called once before the scene is played."""


def paint(rng: np.random.Generator, material: str) -> tuple[str, Colour, Colour]:
    """Pattern and two colours that suit a material."""
    patterns, colours = _PAINT.get(material, (("plain",), ((150, 150, 150),)))
    colour = colours[rng.integers(len(colours))]
    shade = rng.uniform(0.75, 1.15)
    colour = _rgb(shade * c for c in colour)
    accent = colours[rng.integers(len(colours))]
    if accent == colour or rng.random() < 0.5:
        accent = _rgb(c * 0.3 for c in colour) if sum(colour) > 300 else _rgb(c + 110 for c in colour)
    return patterns[rng.integers(len(patterns))], colour, accent


def _rgb(values) -> Colour:
    red, green, blue = (int(min(255.0, max(0.0, v))) for v in values)
    return red, green, blue


def free_solid(
    model: BodyModel,
    x: float,
    y: float,
    *,
    vx: float = 0.0,
    vy: float = 0.0,
    spin: float = 0.0,
    angle: float = 0.0,
    release_s: float = 0.0,
) -> Solid:
    """The body as the dynamics know it."""
    return Solid(
        model.name,
        model.material,
        model.vertices,
        model.radius,
        inverse_mass=1.0 / model.mass_kg,
        inverse_inertia=1.0 / model.inertia_kg_m2,
        x=x,
        y=y,
        angle=angle,
        vx=vx,
        vy=vy,
        spin=spin,
        drag_per_m=model.drag_per_m,
        release_s=release_s,
    )


def body_actor(rng: np.random.Generator, model: BodyModel, x: float, y: float, **motion: float) -> Actor:
    """A free body at (x, y); ``motion`` sets what ``free_solid`` takes."""
    solid = free_solid(model, x, y, **motion)
    pattern, colour, accent = paint(rng, model.material)
    turns = model.family == "ball"
    look = Look(model.vertices, model.radius, pattern, colour, accent, int(rng.integers(1 << 30)), not turns)
    looks: tuple[Look, ...] = (look,)
    if model.family == "cup":
        # the mouth, seen slightly from above
        top = [v for v in model.vertices if v[1] < 0.0]
        rim = tuple((u, v - model.radius) for u, v in top)
        looks += (replace(look, vertices=rim, radius=model.radius * 1.3, pattern="plain", colour=accent),)
    return Actor(solid, model.name, model.material, model.mass_kg, looks, inflated=model.inflated)


def rest_height(model: BodyModel) -> float:
    """Height of the centre over the floor of a body that stands or lies on it."""
    return max(v for _, v in model.vertices) + model.radius


def floor_fixture(y: float, material: str) -> Fixture:
    """The floor everything stands on; it is painted with the background."""
    return Fixture(Solid("floor", material, plane=(0.0, -1.0), y=y), ())


def box_fixture(
    rng: np.random.Generator, name: str, material: str, left: float, top: float, right: float, bottom: float
) -> Fixture:
    """A solid box: table, pedestal, wall, anvil."""
    cx, cy, a, b = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
    rounding = 0.03 * min(a, b)
    core = tuple((sx * (a - rounding), sy * (b - rounding)) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1)))
    pattern, colour, accent = paint(rng, material)
    world = tuple((u + cx, v + cy) for u, v in core)
    look = Look(world, rounding, pattern, colour, accent, int(rng.integers(1 << 30)))
    return Fixture(Solid(name, material, core, rounding, x=cx, y=cy), (look,))


def ramp_fixture(rng: np.random.Generator, material: str, high: Point, low: Point, thickness: float) -> Fixture:
    """A plank from ``high`` to ``low``, its upper face through both."""
    dx, dy = low[0] - high[0], low[1] - high[1]
    length = (dx * dx + dy * dy) ** 0.5
    nx, ny = dy / length, -dx / length
    if ny > 0:
        nx, ny = -nx, -ny
    a, b = high, low
    c = (low[0] - nx * thickness, low[1] - ny * thickness)
    d = (high[0] - nx * thickness, high[1] - ny * thickness)
    cx, cy = (a[0] + b[0] + c[0] + d[0]) / 4, (a[1] + b[1] + c[1] + d[1]) / 4
    core = tuple((u - cx, v - cy) for u, v in (a, b, c, d))
    pattern, colour, accent = paint(rng, material)
    look = Look((a, b, c, d), 0.0, pattern, colour, accent, int(rng.integers(1 << 30)))
    return Fixture(Solid("ramp", material, core, 0.0, x=cx, y=cy), (look,))


def contact_law(stage: Stage, seed: int) -> Restitution:
    """Restitution and friction of every pair of this stage, each pair with its own draw."""
    inflated = {id(actor.solid) for actor in stage.actors if actor.inflated}
    limbs = {id(actor.solid) for actor in stage.actors if actor.material == "flesh" or actor.limbs}
    drawn: dict[tuple[int, int], tuple[float, float]] = {}
    order = {id(solid): index for index, solid in enumerate(solids_of(stage))}

    def law(first: Solid, second: Solid) -> tuple[float, float]:
        key = order[id(first)], order[id(second)]
        if key not in drawn:
            rng = np.random.default_rng([seed, *key])
            soft = id(first) in inflated, id(second) in inflated
            e = catalogue.restitution(first.material, second.material, *soft)
            if id(first) in limbs or id(second) in limbs:
                # a hand or foot pushes through the contact: its bones, not its skin, stop the ball
                e = rng.uniform(0.35, 0.65) if any(soft) else rng.uniform(0.1, 0.35)
            elif (first.path or second.path) and not (first.free or second.free):
                e = stage.tool_restitution
            mu = catalogue.friction(first.material, second.material)
            bounce = min(0.92, max(0.0, e * rng.uniform(0.85, 1.15)))
            drawn[key] = float(bounce), float(mu * rng.uniform(0.7, 1.1))
        return drawn[key]

    return law


def solids_of(stage: Stage) -> list[Solid]:
    """All solids in their fixed order: actors, then fixtures."""
    return [actor.solid for actor in stage.actors] + [f.solid for f in stage.fixtures if f.solid is not None]
