"""Shape families: how a body of given mass and material is proportioned, and the pitches of its modes.

Each family has fixed proportions, so a mass fixes the size and every frequency goes with mass^(-1/3): a heavier object
is the same object, geometrically scaled. Mode formulas:

* bar: free-free Euler-Bernoulli beam, Fletcher & Rossing, *The Physics of Musical Instruments* (2nd ed.), section 2.15
* plate: free square plate, Leissa, *Vibration of Plates* (NASA SP-160), table 4.72, nu = 0.3
* box: simply supported square panels, pi^2 (m^2 + n^2) for the plate's roots (Fletcher & Rossing, section 3.12)
* drum: ideal circular membrane, roots of J_m (Fletcher & Rossing, section 3.6)
* shell: thin spherical shell, membrane theory (Lamb 1882; Soedel, *Vibrations of Shells and Plates*)
* ball: spherical air cavity (Russell, Am. J. Phys. 78 (2010)) and the stretched skin around it
* cup: inextensional ring modes (Rayleigh; Fletcher & Rossing section 20.1, on wine glasses and bells)
* block: spheroidal modes of a solid sphere of Poisson's ratio 1/4 (Lamb 1882; Sato & Usami 1962)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .materials import MATERIALS, Material, is_made_of, singular, split_words

SOUND_SPEED_MPS = 343.0
BALL_PRESSURE_PA = 55e3
"""Gauge pressure of an inflated ball (a basketball's 7 to 9 psi)."""
BALL_AIR_LOSS = 0.04
"""Loss factor of the enclosed air's modes, from the quarter second a basketball rings (Russell 2010)."""
DRUM_WAVE_SPEED_MPS = 90.0
DRUM_LOSS = 0.01
"""Between a tom's, which rings for seconds, and a hand drum's (recordings in docs/modal-engine.md)."""

PERSON_SHARE = 0.068

BAR_ROOTS = np.array([4.7300, 7.8532, 10.9956, 14.1372, 17.2788, 20.4204, 23.5619, 26.7035, 29.8451, 32.9867])
PLATE_ROOTS = np.array([13.468, 19.596, 24.271, 34.801, 34.801, 61.093, 61.093, 63.687, 69.265, 77.172,
                        77.172, 105.46, 105.46, 117.11, 119.0, 122.5, 134.0, 152.0, 156.0, 170.0])  # fmt: skip
PANEL_ROOTS = math.pi**2 * np.array([2, 5, 5, 8, 10, 10, 13, 13, 17, 17, 18, 20, 20, 25, 25, 26, 26, 29, 29, 32])
MEMBRANE_ROOTS = np.array([2.4048, 3.8317, 5.1356, 5.5201, 6.3802, 7.0156, 7.5883, 8.4172, 8.6537, 8.7715, 9.7610])
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
    """Velocity of each mode over the rigid-body velocity that the blow gives; above 1 where a light skin is struck."""
    wall_m: float = 0.0
    """Wall thickness of a hollow body; 0 = solid or inflated."""
    critical_hz: float = 0.0
    """Below it the bending waves of a flat sheet are slower than sound and radiate poorly; 0 = not a sheet."""
    closed: bool = False
    """Pumps air as a whole, so that low modes radiate as a monopole."""
    share: float = 1.0
    """Part of the mass that a contact stops at once; the rest follows softly through joints."""


def bar(mass_kg: float, material: Material) -> Shape:
    """A rod 20 times as long as it is thick."""
    length = (400.0 * mass_kg / material.density_kg_m3) ** (1 / 3)
    thick = length / 20.0
    speed = math.sqrt(material.youngs_pa / material.density_kg_m3)
    frequencies = BAR_ROOTS**2 / (2 * math.pi * length**2) * speed * thick / math.sqrt(12.0)
    return _solid("bar", length * thick**2, 0.2, frequencies, material, 0.4)


def plate(mass_kg: float, material: Material) -> Shape:
    """A square sheet 40 times as wide as it is thick."""
    side = (40.0 * mass_kg / material.density_kg_m3) ** (1 / 3)
    thick = side / 40.0
    speed = _sheet_speed_mps(material)
    frequencies = PLATE_ROOTS / (2 * math.pi * side**2) * speed * thick / math.sqrt(12.0)
    critical = SOUND_SPEED_MPS**2 / (1.8 * thick * speed)
    radius = side / math.sqrt(4 * math.pi)
    losses = np.full(frequencies.size, material.loss_factor)
    return Shape("plate", radius, 0.1 * radius, frequencies, losses, 0.25, critical_hz=critical)


def box(mass_kg: float, material: Material) -> Shape:
    """A hollow cube of panels 30 times as wide as they are thick."""
    side = (5.0 * mass_kg / material.density_kg_m3) ** (1 / 3)
    wall = side / 30.0
    frequencies = PANEL_ROOTS / (2 * math.pi * side**2) * _sheet_speed_mps(material) * wall / math.sqrt(12.0)
    radius = _sphere_radius(side**3)
    losses = np.full(frequencies.size, material.loss_factor)
    return Shape("box", radius, 0.05 * radius, frequencies, losses, 0.12, wall, closed=True)


def _sheet_speed_mps(material: Material) -> float:
    """Speed of longitudinal waves in a sheet; the grain averages over both directions."""
    modulus = math.sqrt(material.youngs_pa * material.transverse_pa)
    return math.sqrt(modulus / (material.density_kg_m3 * (1 - material.poisson**2)))


def drum(mass_kg: float, material: Material) -> Shape:
    """A drum proportioned like a tom (3 kg on 0.16 m radius), its skin tuned so that waves cross it at 90 m/s.

    The skin and the air load of it decide pitch and decay, not the shell's ``material``.
    """
    radius = 0.16 * (mass_kg / 3.0) ** (1 / 3)
    frequencies = MEMBRANE_ROOTS * DRUM_WAVE_SPEED_MPS / (2 * math.pi * radius)
    losses = np.full(frequencies.size, DRUM_LOSS)
    return Shape("drum", radius, radius, frequencies, losses, 4.0, closed=True)


def shell(mass_kg: float, material: Material) -> Shape:
    """A hollow sphere whose wall is 1/45 of its radius, as a table-tennis ball's."""
    radius = (45.0 * mass_kg / (4 * math.pi * material.density_kg_m3)) ** (1 / 3)
    nu = material.poisson
    degree = SHELL_ORDERS * (SHELL_ORDERS + 1.0)
    linear, constant = degree + 1 + 3 * nu, (degree - 2) * (1 - nu**2)
    squared = (linear - np.sqrt(linear**2 - 4 * constant)) / 2 / (1 - nu**2)
    speed = math.sqrt(material.transverse_pa / material.density_kg_m3)
    frequencies = np.sqrt(squared) * speed / (2 * math.pi * radius)
    losses = np.full(frequencies.size, material.loss_factor)
    return Shape("shell", radius, radius, frequencies, losses, 0.3, radius / 45.0)


def ball(mass_kg: float, material: Material) -> Shape:
    """An air-filled ball, proportioned like a basketball (0.6 kg of 1100 kg/m3 skin on 0.12 m radius)."""
    radius = 0.12 * (mass_kg / 0.6 * 1100.0 / material.density_kg_m3) ** (1 / 3)
    skin_kg_m2 = mass_kg / (4 * math.pi * radius**2)
    orders = np.arange(2, 8)
    skin = np.sqrt(BALL_PRESSURE_PA / (2 * skin_kg_m2 * radius) * (orders - 1) * (orders + 2)) / (2 * math.pi)
    air = CAVITY_ROOTS * SOUND_SPEED_MPS / (2 * math.pi * radius)
    losses = np.concatenate([np.full(skin.size, material.loss_factor), np.full(air.size, BALL_AIR_LOSS)])
    return Shape("ball", radius, radius, np.concatenate([skin, air]), losses, 0.3)


def cup(mass_kg: float, material: Material) -> Shape:
    """An open vessel twice as high as its radius, its wall 1/14 of the radius."""
    radius = (14.0 * mass_kg / material.density_kg_m3 / (5 * math.pi)) ** (1 / 3)
    wall = radius / 14.0
    order = RING_ORDERS.astype(float)
    ring = order * (order**2 - 1) / np.sqrt(order**2 + 1)
    speed = math.sqrt(material.transverse_pa / material.density_kg_m3)
    frequencies = wall * speed / (2 * math.pi * math.sqrt(12.0) * radius**2) * ring
    size = _sphere_radius(2 * math.pi * radius**3)
    losses = np.full(frequencies.size, material.loss_factor)
    return Shape("cup", size, 0.1 * size, frequencies, losses, 0.3, wall)


def block(mass_kg: float, material: Material) -> Shape:
    """A compact solid, which lands on an edge or a corner."""
    return _compact("block", mass_kg, material, 0.1)


def sphere(mass_kg: float, material: Material) -> Shape:
    """A solid ball: it touches with its full radius."""
    return _compact("sphere", mass_kg, material, 1.0)


def person(mass_kg: float, material: Material) -> Shape:
    """A jointed body: its foot and shank meet the ground, 6.8 % of it (Lieberman et al., Nature 463 (2010))."""
    foot = block(PERSON_SHARE * mass_kg, material)
    return replace(foot, family="person", share=PERSON_SHARE)


def _compact(family: str, mass_kg: float, material: Material, bluntness: float) -> Shape:
    volume = mass_kg / material.density_kg_m3
    shear_speed = math.sqrt(material.transverse_pa / (2 * (1 + material.poisson)) / material.density_kg_m3)
    frequencies = SOLID_ROOTS * shear_speed / (2 * math.pi * _sphere_radius(volume))
    return _solid(family, volume, bluntness, frequencies, material, 0.3)


def _solid(
    family: str, volume_m3: float, bluntness: float, frequencies_hz: np.ndarray, material: Material, coupling: float
) -> Shape:
    radius = _sphere_radius(volume_m3)
    losses = np.full(frequencies_hz.size, material.loss_factor)
    return Shape(family, radius, bluntness * radius, frequencies_hz, losses, coupling)


def _sphere_radius(volume_m3: float) -> float:
    return (3 * volume_m3 / (4 * math.pi)) ** (1 / 3)


_BUILDERS = (bar, plate, box, drum, shell, ball, cup, block, sphere, person)
FAMILIES = {build.__name__: build for build in _BUILDERS}

_NAMES = {
    "bar": "bar rod stick pipe tube ruler pencil pen bat club racket fork spoon knife rail beam pole nail axe hammer "
    "wrench spanner chisel key plank log drumstick chopsticks crowbar screwdriver bolt sword",
    "plate": "plate lid sheet tray coin disc disk door board panel table pan cymbal window mirror tile paper card dish",
    "cup": "cup glass mug bottle bowl bell jar vase can tin pot bucket wineglass teacup tumbler kettle",
    "ball": "ball basketball football soccer volleyball tennis",
    "person": "person man woman child boy girl people human dog",
    "drum": "drum tom snare bongo djembe tambourine timpani",
    "box": "box cajon crate carton parcel package suitcase drawer cabinet chair chest",
    "sphere": "marble bowling golf baseball billiard pebble",
    "block": "block brick cube book stone rock die phone",
    "shell": "pingpong egg maraca",
}
_FAMILY_OF = {word: family for family, words in _NAMES.items() for word in words.split()}
_USUAL = {"glass": "cup", "ceramic": "cup", "wood": "bar", "bamboo": "bar", "plastic": "box", "cardboard": "box"}
"""Usual family of things of unknown shape; metal ones are bars (tools, cutlery), all others compact."""
_HARD_BALLS = {"plastic": "shell", "unknown": "ball", "rubber": "ball", "leather": "ball"}


def knows_shape(word: str) -> bool:
    """Whether ``word`` (any number) names a thing of known shape."""
    return singular(word) in _FAMILY_OF


def shape_family(name: str, material: Material) -> str:
    """Family for an object called ``name``, or else the usual one of its material.

    Balls are air-filled when of rubber or leather, hollow when of plastic, solid otherwise.
    """
    words = [word for word in split_words(name) if word in _FAMILY_OF]
    things = [word for word in words if not is_made_of(word)]  # a glass ball is no drinking glass
    families = [_FAMILY_OF[word] for word in things or words]
    specific = [family for family in families if family != "ball"] or families
    if not specific:
        return "bar" if material.metal else _USUAL.get(material.key, "block")
    return _HARD_BALLS.get(material.key, "sphere") if specific[0] == "ball" else specific[0]


def make_shape(name: str, mass_kg: float, material: Material) -> Shape:
    """The shape of an object called ``name``. An unknown ball is taken for an air-filled one of rubber."""
    family = shape_family(name, material)
    if family == "ball" and material.key == "unknown":
        material = MATERIALS["rubber"]
    return FAMILIES[family](mass_kg, material)
