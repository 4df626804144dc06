"""Shape families: how a body of given mass and material is proportioned, and the pitches of its modes.

Each family has fixed proportions, so a mass fixes the size and every frequency goes with mass^(-1/3): a heavier object
is the same object, geometrically scaled. Mode formulas:

* bar: free-free Euler-Bernoulli beam, Fletcher & Rossing, *The Physics of Musical Instruments* (2nd ed.), section 2.15
* plate: free square plate, Leissa, *Vibration of Plates* (NASA SP-160), table 4.72, nu = 0.3
* shell: thin spherical shell, membrane theory (Lamb 1882; Soedel, *Vibrations of Shells and Plates*)
* ball: spherical air cavity (Russell, Am. J. Phys. 78 (2010)) and the stretched skin around it
* cup: inextensional ring modes (Rayleigh; Fletcher & Rossing section 20.1, on wine glasses and bells)
* block: spheroidal modes of a solid sphere of Poisson's ratio 1/4 (Lamb 1882; Sato & Usami 1962)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .materials import MATERIALS, Material, singular, split_words

SOUND_SPEED_MPS = 343.0
BALL_PRESSURE_PA = 55e3
"""Gauge pressure of an inflated ball (a basketball's 7 to 9 psi)."""
BALL_AIR_LOSS = 0.04
"""Loss factor of the enclosed air's modes, from the quarter second a basketball rings (Russell 2010)."""

BAR_ROOTS = np.array([4.7300, 7.8532, 10.9956, 14.1372, 17.2788, 20.4204, 23.5619, 26.7035, 29.8451, 32.9867])
PLATE_ROOTS = np.array([13.468, 19.596, 24.271, 34.801, 34.801, 61.093, 61.093, 63.687, 69.265, 77.172,
                        77.172, 105.46, 105.46, 117.11, 119.0, 122.5, 134.0, 152.0, 156.0, 170.0])  # fmt: skip
CAVITY_ROOTS = np.array([2.0816, 3.3421, 4.4934, 4.5141, 5.6467, 5.9404, 6.7565, 7.2899])
SOLID_ROOTS = np.array([2.640, 3.424, 3.916, 4.440, 4.865, 5.009, 6.033, 6.454])
RING_ORDERS = np.arange(2, 10)
SHELL_ORDERS = np.arange(2, 12)


@dataclass(frozen=True)
class Shape:
    """A body's size and resonances."""

    family: str
    radius_m: float
    """Radius of the sphere with the volume that the body encloses: what radiates."""
    tip_radius_m: float
    """Radius of curvature where it touches."""
    frequencies_hz: np.ndarray
    """float64 [modes]."""
    loss_factors: np.ndarray
    """float64 [modes]."""
    coupling: float
    """Fraction of the rigid-body velocity with which a blow sets each mode going."""


def bar(mass_kg: float, material: Material) -> Shape:
    """A rod 20 times as long as it is thick."""
    length = (400.0 * mass_kg / material.density_kg_m3) ** (1 / 3)
    thick = length / 20.0
    speed = math.sqrt(material.youngs_pa / material.density_kg_m3)
    frequencies = BAR_ROOTS**2 / (2 * math.pi * length**2) * speed * thick / math.sqrt(12.0)
    return _shape("bar", length * thick**2, 0.5, frequencies, material, 0.5)


def plate(mass_kg: float, material: Material) -> Shape:
    """A square sheet 40 times as wide as it is thick."""
    side = (40.0 * mass_kg / material.density_kg_m3) ** (1 / 3)
    thick = side / 40.0
    modulus = math.sqrt(material.youngs_pa * material.transverse_pa)
    speed = math.sqrt(modulus / (material.density_kg_m3 * (1 - material.poisson**2)))
    frequencies = PLATE_ROOTS / (2 * math.pi * side**2) * speed * thick / math.sqrt(12.0)
    return _shape("plate", side**3 / 8.0, 0.1, frequencies, material, 0.5)


def shell(mass_kg: float, material: Material) -> Shape:
    """A hollow sphere whose wall is 1/35 of its radius."""
    radius = (35.0 * mass_kg / (4 * math.pi * material.density_kg_m3)) ** (1 / 3)
    nu = material.poisson
    degree = SHELL_ORDERS * (SHELL_ORDERS + 1.0)
    linear, constant = degree + 1 + 3 * nu, (degree - 2) * (1 - nu**2)
    squared = (linear - np.sqrt(linear**2 - 4 * constant)) / 2 / (1 - nu**2)
    speed = math.sqrt(material.transverse_pa / material.density_kg_m3)
    frequencies = np.sqrt(squared) * speed / (2 * math.pi * radius)
    return _shape("shell", 4 / 3 * math.pi * radius**3, 1.0, frequencies, material, 0.3)


def ball(mass_kg: float, material: Material) -> Shape:
    """An air-filled ball, proportioned like a basketball (0.6 kg of 1100 kg/m3 skin on 0.12 m radius)."""
    radius = 0.12 * (mass_kg / 0.6 * 1100.0 / material.density_kg_m3) ** (1 / 3)
    skin_kg_m2 = mass_kg / (4 * math.pi * radius**2)
    orders = np.arange(2, 8)
    skin = np.sqrt(BALL_PRESSURE_PA / (2 * skin_kg_m2 * radius) * (orders - 1) * (orders + 2)) / (2 * math.pi)
    air = CAVITY_ROOTS * SOUND_SPEED_MPS / (2 * math.pi * radius)
    return Shape(
        "ball",
        radius,
        radius,
        np.concatenate([skin, air]),
        np.concatenate([np.full(len(skin), material.loss_factor), np.full(len(air), BALL_AIR_LOSS)]),
        0.3,
    )


def cup(mass_kg: float, material: Material) -> Shape:
    """An open vessel twice as high as its radius, its wall 1/14 of the radius."""
    volume = mass_kg / material.density_kg_m3
    radius = (14.0 * volume / (5 * math.pi)) ** (1 / 3)
    wall = radius / 14.0
    order = RING_ORDERS.astype(float)
    ring = order * (order**2 - 1) / np.sqrt(order**2 + 1)
    speed = math.sqrt(material.transverse_pa / material.density_kg_m3)
    frequencies = wall * speed / (2 * math.pi * math.sqrt(12.0) * radius**2) * ring
    return _shape("cup", 2 * math.pi * radius**3, 0.1, frequencies, material, 0.5)


def block(mass_kg: float, material: Material) -> Shape:
    """A compact solid."""
    radius = (3 * mass_kg / (4 * math.pi * material.density_kg_m3)) ** (1 / 3)
    modulus = material.transverse_pa
    shear_speed = math.sqrt(modulus / (2 * (1 + material.poisson)) / material.density_kg_m3)
    frequencies = SOLID_ROOTS * shear_speed / (2 * math.pi * radius)
    return _shape("block", mass_kg / material.density_kg_m3, 0.5, frequencies, material, 0.5)


def sphere(mass_kg: float, material: Material) -> Shape:
    """A solid ball: a block that touches with its full radius."""
    solid = block(mass_kg, material)
    return Shape("sphere", solid.radius_m, solid.radius_m, solid.frequencies_hz, solid.loss_factors, solid.coupling)


def box(mass_kg: float, material: Material) -> Shape:
    """A hollow box: the modes of its panels, one sixth of the mass each."""
    panel = plate(mass_kg / 6.0, material)
    side = 2.0 * panel.radius_m * (math.pi / 0.75) ** (1 / 3)
    return _shape("box", side**3, 0.05, panel.frequencies_hz, material, 0.4)


def _shape(
    family: str, volume_m3: float, bluntness: float, frequencies_hz: np.ndarray, material: Material, coupling: float
) -> Shape:
    radius = (3 * volume_m3 / (4 * math.pi)) ** (1 / 3)
    losses = np.full(len(frequencies_hz), material.loss_factor)
    return Shape(family, radius, bluntness * radius, frequencies_hz, losses, coupling)


FAMILIES = {"bar": bar, "plate": plate, "shell": shell, "ball": ball, "cup": cup, "block": block, "sphere": sphere,
            "box": box}  # fmt: skip

_NAMES = {
    "bar": "bar rod stick pipe tube ruler pencil pen bat club racket fork spoon knife rail beam pole nail axe hammer "
    "wrench spanner chisel key plank log drumstick chopsticks crowbar screwdriver bolt sword",
    "plate": "plate lid sheet tray coin disc disk door board panel table pan cymbal window mirror tile paper card dish",
    "cup": "cup glass mug bottle bowl bell jar vase can tin pot bucket wineglass teacup tumbler kettle",
    "ball": "ball basketball football soccer volleyball tennis",
    "box": "box crate carton parcel package suitcase drawer cabinet chair chest",
    "sphere": "marble bowling golf baseball billiard pebble",
    "shell": "pingpong egg maraca",
}
_FAMILY_OF = {word: family for family, words in _NAMES.items() for word in words.split()}
_HARD_BALLS = {"plastic": "shell", "unknown": "ball", "rubber": "ball", "leather": "ball"}


def knows_shape(word: str) -> bool:
    """Whether ``word`` (any number) names a thing of known shape."""
    return singular(word) in _FAMILY_OF


def shape_family(name: str, material: Material) -> str:
    """Family for an object called ``name``; things of unknown shape are compact blocks.

    Balls are air-filled when of rubber or leather, hollow when of plastic, solid otherwise.
    """
    families = [_FAMILY_OF[word] for word in split_words(name) if word in _FAMILY_OF]
    specific = [family for family in families if family != "ball"] or families
    if not specific:
        return "block"
    return _HARD_BALLS.get(material.key, "sphere") if specific[0] == "ball" else specific[0]


def make_shape(name: str, mass_kg: float, material: Material) -> Shape:
    """The shape of an object called ``name``. An unknown ball is taken for an air-filled one of rubber."""
    family = shape_family(name, material)
    if family == "ball" and material.key == "unknown":
        material = MATERIALS["rubber"]
    return FAMILIES[family](mass_kg, material)
