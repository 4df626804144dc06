"""What scenes are made of: bodies whose size follows from mass and density, and the contact laws of pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pavas_core.simulation.outline import Point
from pavas_core.synthesis.materials import MATERIALS

MASS_RANGE_KG = (0.02, 20.0)
SCENE_WIDTHS_M = (0.6, 6.0)
VISIBLE_RADIUS = (0.016, 0.10)
"""Allowed half size of a body as a fraction of the picture's width."""

_BALLS = ("rubber", "rubber", "leather", "plastic", "plastic", "wood", "steel", "glass", "stone", "aluminium", "foam")
_BLOCKS = ("wood", "wood", "stone", "brick", "plastic", "steel", "concrete", "cardboard", "foam", "ice")
_CUPS = ("ceramic", "glass", "plastic", "steel", "aluminium")
_RODS = ("wood", "steel", "plastic", "aluminium", "bamboo")
FAMILIES = ("ball", "ball", "ball", "ball", "ball", "block", "block", "cup", "rod")
FLOORS = ("wood", "wood", "concrete", "stone", "ceramic", "grass", "asphalt", "fabric", "soil", "plastic", "steel")

_ADJECTIVES = {"wood": "wooden", "leather": "leather", "steel": "steel", "stone": "stone", "glass": "glass"}
_INFLATED_PA = 1e6
"""Stiffness with which an inflated ball meets a floor, so that its own restitution rules on all but soft ground."""
_FRICTION = {"rubber": 0.7, "leather": 0.5, "wood": 0.4, "steel": 0.25, "glass": 0.2, "ice": 0.06, "plastic": 0.3,
             "ceramic": 0.25, "stone": 0.5, "concrete": 0.6, "brick": 0.6, "asphalt": 0.7, "aluminium": 0.3,
             "grass": 0.5, "fabric": 0.5, "soil": 0.6, "foam": 0.6, "cardboard": 0.4, "flesh": 0.6}  # fmt: skip
_ROLLING = {"grass": 0.07, "fabric": 0.05, "soil": 0.08, "foam": 0.1, "asphalt": 0.02}


@dataclass(frozen=True)
class BodyModel:
    """A thing before it is put into a scene."""

    name: str
    family: str
    material: str
    mass_kg: float
    vertices: tuple[Point, ...]
    radius: float
    inertia_kg_m2: float
    drag_per_m: float
    inflated: bool = False

    @property
    def reach_m(self) -> float:
        return max(math.hypot(u, v) for u, v in self.vertices) + self.radius


def make_body(family: str, material: str, mass_kg: float, fill: float, aspect: float = 1.0) -> BodyModel:
    """A ball, block, cup or rod of this mass, of which ``fill`` of the volume is material.

    ``aspect`` is height over width (of rods, length over width).
    """
    inflated = family == "ball" and material in ("rubber", "leather") and fill < 0.5
    volume = mass_kg / (MATERIALS[material].density_kg_m3 * fill)
    name = f"{_ADJECTIVES.get(material, material)} {family}"
    if family == "ball":
        # basketballs, footballs and toy balls alike have a skin of about a sixth of their radius' solid mass
        radius = 0.12 * (mass_kg / 0.6) ** (1 / 3) if inflated else (3 * volume / (4 * math.pi)) ** (1 / 3)
        inertia = (2 / 3 if fill < 0.5 else 2 / 5) * mass_kg * radius**2
        area = math.pi * radius**2
        return BodyModel(
            name, family, material, mass_kg, ((0.0, 0.0),), radius, inertia, _drag(area, mass_kg), inflated
        )
    if family == "rod":
        width = (volume / aspect) ** (1 / 3)
        length = aspect * width
        inertia = mass_kg * (length**2 + width**2) / 12.0
        half = (length - width) / 2
        return BodyModel(
            name,
            family,
            material,
            mass_kg,
            ((-half, 0.0), (half, 0.0)),
            width / 2,
            inertia,
            _drag(length * width, mass_kg),
        )
    depth = (volume / aspect) ** (1 / 3)
    width, height = depth, aspect * depth
    rounding = 0.06 * min(width, height)
    a, b = width / 2 - rounding, height / 2 - rounding
    foot = 0.72 * a if family == "cup" else a
    vertices = ((-a, -b), (a, -b), (foot, b), (-foot, b))
    inertia = mass_kg * (width**2 + height**2) / 12.0
    return BodyModel(name, family, material, mass_kg, vertices, rounding, inertia, _drag(width * height, mass_kg))


def _drag(area_m2: float, mass_kg: float) -> float:
    """0.5 rho C_d A / m of a blunt body in air (C_d 0.47, rho 1.2 kg/m3), 1/m."""
    return 0.5 * 1.2 * 0.47 * area_m2 / mass_kg


def draw_body(rng: np.random.Generator, families: tuple[str, ...] = FAMILIES) -> BodyModel:
    """A body with log-uniform mass and fitting material, hollow or solid."""
    family = families[rng.integers(len(families))]
    pool = {"ball": _BALLS, "block": _BLOCKS, "cup": _CUPS, "rod": _RODS}[family]
    material = pool[rng.integers(len(pool))]
    mass = float(np.exp(rng.uniform(*np.log(MASS_RANGE_KG))))
    fill = 1.0
    aspect = 1.0
    if family == "ball":
        if material in ("rubber", "leather"):
            fill = 0.12 if rng.random() < 0.75 or material == "leather" else 1.0
        elif material in ("plastic", "steel", "glass"):
            fill = float(rng.choice([0.15, 0.4, 1.0]))
    elif family == "block":
        aspect = float(rng.uniform(0.5, 1.7))
        fill = 0.15 if material == "cardboard" else float(rng.choice([0.4, 1.0]))
    elif family == "cup":
        aspect = float(rng.uniform(0.9, 1.5))
        fill = float(rng.uniform(0.15, 0.3))
    else:
        aspect = float(rng.uniform(6.0, 12.0))
        fill = float(rng.choice([0.4, 1.0]))
    return make_body(family, material, mass, fill, aspect)


def draw_fitting_body(
    rng: np.random.Generator,
    scene_width_m: float,
    families: tuple[str, ...] = FAMILIES,
    largest: float = VISIBLE_RADIUS[1],
) -> BodyModel:
    """A body that is neither a speck nor fills the picture."""
    while True:
        body = draw_body(rng, families)
        if _looks(body, scene_width_m, largest):
            return body


def draw_body_and_width(rng: np.random.Generator, families: tuple[str, ...] = FAMILIES) -> tuple[BodyModel, float]:
    """A body and a log-uniform scene width in which it can be seen."""
    while True:
        body = draw_body(rng, families)
        width = float(np.exp(rng.uniform(*np.log(SCENE_WIDTHS_M))))
        if _looks(body, width, VISIBLE_RADIUS[1]):
            return body, width


def _looks(body: BodyModel, scene_width_m: float, largest: float) -> bool:
    thick = max(body.radius, min(math.hypot(u, v) for u, v in body.vertices))
    size = body.reach_m if body.family != "rod" else body.radius * 3
    return (
        VISIBLE_RADIUS[0] <= size / scene_width_m <= largest
        and thick / scene_width_m > 0.004
        and (body.reach_m < 0.16 * scene_width_m)
    )


def restitution(first: str, second: str, soft_first: bool = False, soft_second: bool = False) -> float:
    """Coefficient of restitution of a pair: the softer partner deforms, so its own coefficient counts most."""
    a, b = MATERIALS[first], MATERIALS[second]
    stiff_a = _INFLATED_PA if soft_first else a.youngs_pa
    stiff_b = _INFLATED_PA if soft_second else b.youngs_pa
    return (a.restitution * stiff_b + b.restitution * stiff_a) / (stiff_a + stiff_b)


def friction(first: str, second: str) -> float:
    """Coulomb friction coefficient of a pair: the geometric mean of both materials' own."""
    return math.sqrt(_FRICTION.get(first, 0.4) * _FRICTION.get(second, 0.4))


def rolling_resistance(floor: str) -> float:
    """Rolling resistance of a ball on this floor as a fraction of its weight."""
    return _ROLLING.get(floor, 0.008)
