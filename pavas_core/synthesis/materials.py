"""What things are made of: density, stiffness, damping and texture of everyday materials.

Values are mid-range figures of the cited handbooks, rounded. Sources by tag:

* ``Ashby``: M. F. Ashby, *Materials Selection in Mechanical Design* (4th ed., 2011), appendix A, and the Cambridge
  Engineering Selector data booklet (density, modulus, Poisson's ratio, loss coefficient).
* ``Wegst``: U. G. K. Wegst, "Wood for sound", Am. J. Botany 93 (2006), after Wegst & Ashby's natural material charts.
* ``FPL``: Forest Products Laboratory, *Wood Handbook* (FPL-GTR-190), chapter 5 (elastic ratios of hardwoods).
* ``Cremer``: Cremer, Heckl & Petersson, *Structure-Borne Sound* (3rd ed., 2005), table 4.3 (loss factors).
* ``Goldsmith``: W. Goldsmith, *Impact* (1960), chapter 8 (coefficients of restitution); Cross, Am. J. Phys. 67 (1999)
  for sports balls.
* ``Fung``: Y. C. Fung, *Biomechanics: Mechanical Properties of Living Tissues* (1993).
* ``Bowles``: J. E. Bowles, *Foundation Analysis and Design* (5th ed., 1996), tables 2-7 and 2-8 (soils).

Textures have no handbook: their levels and bands are our judgement (docs/modal-engine.md).

The loss factor is tan(delta) of the internal friction model of Klatzky, Pai & Krotkov, "Perception of material from
contact sounds" (Presence 9, 2000): a mode at ``f`` decays at ``pi f tan(delta)`` per second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Texture:
    """The unpitched part of a contact: how rough and how long the surfaces rub and crumble."""

    level: float
    """Peak noise pressure as a fraction of ``rho0 c v a`` (see ``contact``)."""
    duration_s: float
    """Time constant of its decay."""
    low_hz: float
    high_hz: float
    """Band of the noise."""


LOOSE_S = 0.015
"""Textures that last longer belong to loose stuff: grains, fibres, sheets, liquids."""
SMOOTH = Texture(0.004, 0.004, 300.0, 6000.0)


@dataclass(frozen=True)
class Material:
    """Mechanical data of one material."""

    key: str
    density_kg_m3: float
    youngs_pa: float
    poisson: float
    loss_factor: float
    restitution: float
    """Typical coefficient of restitution against a hard floor at a few metres per second."""
    thickness_m: float
    """Of a floor, table or ground made of it (effective depth for ground)."""
    source: str
    transverse_ratio: float = 1.0
    """Young's modulus across the grain over that along it (1 = isotropic)."""
    texture: Texture = SMOOTH
    metal: bool = False
    covering: bool = False
    """As a surface it lies on, or belongs to, something firmer that does the sounding."""

    @property
    def transverse_pa(self) -> float:
        """Young's modulus across the grain, pascals: what a contact presses on."""
        return self.youngs_pa * self.transverse_ratio


_DULL = Texture(0.018, 0.008, 120.0, 2500.0)
_SOFT = Texture(0.015, 0.035, 60.0, 900.0)
_CRISP = Texture(0.012, 0.012, 500.0, 9000.0)

_TABLE = (
    Material("wood", 650.0, 11e9, 0.35, 0.012, 0.50, 0.040, "Ashby; FPL; Wegst (loss)", 0.10,
             Texture(0.005, 0.005, 200.0, 5000.0)),
    Material("bamboo", 700.0, 15e9, 0.35, 0.010, 0.55, 0.020, "Ashby; Wegst", 0.10,
             Texture(0.005, 0.005, 200.0, 5000.0)),
    Material("cork", 180.0, 25e6, 0.10, 0.10, 0.55, 0.010, "Ashby", texture=_DULL),
    Material("steel", 7850.0, 210e9, 0.29, 0.0005, 0.70, 0.020, "Ashby; Cremer", metal=True),
    Material("iron", 7200.0, 110e9, 0.26, 0.004, 0.60, 0.030, "Ashby (grey cast iron)", metal=True),
    Material("aluminium", 2700.0, 70e9, 0.33, 0.0006, 0.60, 0.012, "Ashby; Cremer", metal=True),
    Material("brass", 8500.0, 105e9, 0.35, 0.0006, 0.60, 0.012, "Ashby; Cremer", metal=True),
    Material("copper", 8900.0, 120e9, 0.34, 0.002, 0.50, 0.012, "Ashby; Cremer", metal=True),
    Material("lead", 11300.0, 16e9, 0.44, 0.03, 0.15, 0.010, "Ashby; Cremer", metal=True),
    Material("glass", 2500.0, 70e9, 0.23, 0.0008, 0.65, 0.012, "Ashby; Cremer"),
    Material("ceramic", 2400.0, 70e9, 0.22, 0.003, 0.55, 0.060, "Ashby (porcelain)"),
    Material("stone", 2650.0, 50e9, 0.22, 0.005, 0.55, 0.060, "Ashby (granite)", texture=_CRISP),
    Material("concrete", 2300.0, 30e9, 0.20, 0.010, 0.50, 0.120, "Ashby; Cremer", texture=_CRISP),
    Material("brick", 1900.0, 15e9, 0.20, 0.015, 0.45, 0.100, "Ashby; Cremer", texture=_CRISP),
    Material("asphalt", 2300.0, 5e9, 0.35, 0.15, 0.50, 0.100, "Cremer", texture=_CRISP),
    Material("plaster", 1000.0, 4e9, 0.25, 0.012, 0.35, 0.013, "Cremer (plasterboard)", texture=_DULL),
    Material("ice", 917.0, 9.3e9, 0.33, 0.010, 0.45, 0.100, "Ashby", texture=_CRISP),
    Material("bone", 1900.0, 18e9, 0.35, 0.020, 0.45, 0.010, "Ashby; Fung"),
    Material("plastic", 1050.0, 2.3e9, 0.39, 0.030, 0.60, 0.040, "Ashby (ABS, polypropylene)"),
    Material("rubber", 1100.0, 8e6, 0.49, 0.12, 0.75, 0.010, "Ashby; Cremer; Goldsmith", texture=_DULL),
    Material("leather", 900.0, 100e6, 0.40, 0.10, 0.65, 0.005, "Ashby; Goldsmith", texture=_DULL),
    Material("cardboard", 250.0, 0.5e9, 0.30, 0.060, 0.20, 0.006, "Ashby (paper-based board; crush across it)", 0.03,
             Texture(0.008, 0.012, 150.0, 4000.0), covering=True),
    Material("paper", 800.0, 3e9, 0.30, 0.060, 0.10, 0.010, "Ashby (stacked sheets across)", 0.02,
             Texture(0.010, 0.030, 800.0, 9000.0), covering=True),
    Material("foam", 40.0, 60e3, 0.30, 0.30, 0.20, 0.150, "Ashby (flexible polymer foam)",
             texture=_SOFT, covering=True),
    Material("fabric", 250.0, 0.5e6, 0.30, 0.25, 0.15, 0.010, "Ashby (felt, carpet)", texture=_SOFT, covering=True),
    Material("flesh", 1050.0, 1e6, 0.49, 0.40, 0.15, 0.050, "Fung (skin and muscle over bone, dynamic)",
             texture=Texture(0.014, 0.008, 100.0, 2500.0), covering=True),
    Material("soil", 1600.0, 30e6, 0.35, 0.15, 0.25, 0.300, "Bowles (firm clay)",
             texture=Texture(0.012, 0.030, 150.0, 3000.0)),
    Material("grass", 1400.0, 8e6, 0.35, 0.25, 0.30, 0.300, "Bowles (soft clay under turf)",
             texture=Texture(0.010, 0.020, 200.0, 5000.0)),
    Material("sand", 1600.0, 15e6, 0.30, 0.25, 0.05, 0.300, "Bowles (loose sand)",
             texture=Texture(0.012, 0.040, 200.0, 3500.0)),
    Material("gravel", 1700.0, 100e6, 0.30, 0.15, 0.15, 0.300, "Bowles (sand and gravel)",
             texture=Texture(0.030, 0.070, 500.0, 6000.0)),
    Material("snow", 300.0, 1e6, 0.25, 0.35, 0.05, 0.300, "Bowles (as loose soil); Ashby",
             texture=Texture(0.008, 0.050, 200.0, 2500.0)),
    Material("water", 1000.0, 1e6, 0.49, 0.50, 0.05, 0.500, "effective modulus of a splash crater, not elastic",
             texture=Texture(0.030, 0.120, 300.0, 8000.0)),
    Material("unknown", 900.0, 4e9, 0.33, 0.025, 0.50, 0.060, "neutral middle of the everyday materials above"),
)  # fmt: skip

MATERIALS: dict[str, Material] = {material.key: material for material in _TABLE}
"""Every material by its key; ``unknown`` is the neutral default for things and surfaces alike."""

_SYNONYMS = {
    "wood": "wood wooden timber oak pine beech maple birch walnut plywood parquet plank hardwood log lumber chopsticks "
    "table desk bench door chair shelf bat stick drumstick racket",
    "bamboo": "bamboo",
    "cork": "cork",
    "steel": "steel metal metallic chrome stainless tin hammer nail anvil rail knife axe wrench spanner chisel key "
    "chain spoon fork cutlery barbell dumbbell bolt screw rod wok coin crowbar pickaxe sword",
    "iron": "iron cast-iron radiator kettlebell skillet",
    "aluminium": "aluminium aluminum can foil",
    "brass": "brass bronze bell cymbal gong",
    "copper": "copper",
    "lead": "lead",
    "glass": "glass crystal window bottle wineglass jar mirror",
    "ceramic": "ceramic porcelain china pottery earthenware tile tiled mug vase teacup plate bowl dish crockery",
    "stone": "stone rock granite slate marble pebble boulder cobble cobblestone",
    "concrete": "concrete cement pavement sidewalk",
    "brick": "brick masonry",
    "asphalt": "asphalt tarmac road street",
    "plaster": "plaster drywall plasterboard gypsum",
    "ice": "ice icy",
    "bone": "bone ivory antler",
    "plastic": "plastic acrylic nylon pvc polypropylene vinyl laminate lego toy bucket phone pingpong bowling",
    "rubber": "rubber rubbery latex silicone tyre tire basketball tennis sneaker trainer mallet",
    "leather": "leather leathery football soccer volleyball baseball shoe boot glove",
    "cardboard": "cardboard carton box parcel package",
    "paper": "paper book newspaper magazine notebook",
    "foam": "foam mattress bed cushion pillow sponge sofa couch",
    "fabric": "fabric cloth textile cotton wool woollen felt carpet carpeted rug towel curtain blanket clothes "
    "backpack",
    "flesh": "flesh skin hand foot feet fist finger palm arm leg knee head body person man woman child boy girl people "
    "human dog cat animal meat",
    "soil": "soil earth dirt mud clay ground",
    "grass": "grass grassy lawn turf meadow pitch",
    "sand": "sand sandy beach",
    "gravel": "gravel shingle",
    "snow": "snow snowy",
    "water": "water pool puddle lake river sea",
}
_WORDS = {word: key for key, words in _SYNONYMS.items() for word in words.split()}
_IRREGULAR = {"shelves": "shelf", "knives": "knife", "dice": "die", "glasses": "glass", "leaves": "leaf",
              "men": "man", "women": "woman", "children": "child"}  # fmt: skip

_MADE_OF_WORDS = (
    "wood wooden timber oak pine beech maple birch walnut plywood parquet hardwood bamboo cork steel "
    "metal metallic chrome stainless tin iron cast-iron aluminium aluminum brass bronze copper lead glass "
    "crystal ceramic porcelain china earthenware tiled stone granite slate marble concrete cement brick "
    "asphalt tarmac plaster plasterboard ice icy bone ivory plastic acrylic nylon pvc polypropylene vinyl "
    "laminate rubber rubbery latex silicone leather leathery cardboard paper foam fabric cloth textile "
    "cotton wool woollen felt carpeted flesh grassy sandy snowy "
)
_MADE_OF = frozenset(_MADE_OF_WORDS.split())
"""Words that say what a thing is made of; the other known words are things usually made of it."""


def singular(word: str) -> str:
    """``word`` in lower case and without an English plural ending."""
    word = word.lower()
    if word in _WORDS:
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending, instead in (("ies", "y"), ("es", ""), ("s", "")):
        stem = word.removesuffix(ending) + instead
        if word.endswith(ending) and stem in _WORDS:
            return stem
    return word.removesuffix("s") if word.endswith("s") and not word.endswith("ss") else word


def split_words(text: str) -> list[str]:
    """The words of ``text``, singular and in lower case, hyphens kept."""
    return [singular(word) for word in re.findall(r"[A-Za-z][A-Za-z-]*", text)]


def is_made_of(word: str) -> bool:
    """Whether the singular ``word`` names a material rather than a thing usually made of one."""
    return word in _MADE_OF


def words_to_material(text: str) -> str | None:
    """Key of the material that ``text`` speaks of, or None.

    A word for the material itself (``wooden``, ``steel``) beats a thing usually made of one (``hammer``), and among
    equals the first one counts: ``wooden hammer`` is wood, ``hammer`` is steel.
    """
    known = [word for word in split_words(text) if word in _WORDS]
    named = [word for word in known if is_made_of(word)]
    return _WORDS[(named or known)[0]] if known else None
