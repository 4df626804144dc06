"""What pavas-nano is told of every impact besides its impulse: what met, how heavy and fast it is, what will ring.

A fact that is not known is zero in all its columns, one of which says that it is told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pavas_core.models.nano_codec import CodecConfig
from pavas_core.models.nano_text import families, materials
from pavas_core.models.sound_model import Told
from pavas_core.physics.types import CONTACTS

if TYPE_CHECKING:
    from pavas_core.physics.types import Body, Impact, Scene
    from pavas_core.synthesis.modes import Modes


def told_of(scene: Scene) -> Told:
    """What there is to tell of a scene's impacts."""
    facts = impact_facts(scene)
    return Told(fact_columns(facts)[None], fact_columns(without_stuff(facts))[None], stuff_of(scene))


MASS, PARTNER_MASS, SPEED, ENERGY, CONTACT, MATERIAL, FAMILY, OTHER_MATERIAL, OTHER_FAMILY = range(9)
"""Places of a row of facts, float with NaN for unknown: kilograms, kilograms, metres per second along the normal,
joules, and the numbers of contact, materials and families. The other is the partner, or the surface."""
CONTACT_S, RINGING_DB = 9, 10
"""What a textbook expects where all of these are known: the natural logarithm of the contact's length in seconds, and
the level of all that rings in dB of 1 Pa at 1 m."""
FACTS = 11
EXPECTED = (CONTACT_S, RINGING_DB)
STUFF = (MATERIAL, FAMILY, OTHER_MATERIAL, OTHER_FAMILY)
_SCALES = {MASS: (-1.0, 2.0), PARTNER_MASS: (-1.0, 2.0), SPEED: (0.5, 1.0), ENERGY: (-2.0, 3.0)}
"""Mean and spread of the logarithms."""
_EXPECTED_SCALES = {CONTACT_S: (-6.5, 1.5), RINGING_DB: (-10.0, 20.0)}
_Z_LIMIT = 4.0
_HEARD_HZ = (60.0, CodecConfig().sample_rate / 2)
"""What rings outside is not counted."""


def facts_dim() -> int:
    """Columns of :func:`fact_columns`."""
    told = 2 * len(_SCALES) + len(CONTACTS) + 2 * (len(materials()) + _STUFF_NUMBERS + len(families()))
    return told + 1 + len(EXPECTED)


def impact_facts(scene: Scene) -> Tensor:
    """Rows (K, FACTS) of all impacts of a scene."""
    bodies = {body.object.id: body for body in scene.bodies}
    rows = [_row(one, bodies) for one in scene.impacts]
    return torch.tensor(rows, dtype=torch.float32).view(-1, FACTS)


def _row(impact: Impact, bodies: dict[str, Body]) -> list[float]:
    body, partner = bodies[impact.object_id], bodies.get(impact.partner or "")
    pushed = _is_pushed(impact)
    found = expected(impact, bodies)
    return [
        body.mass.mass_kg,
        partner.mass.mass_kg if partner else math.nan,
        math.nan if pushed else impact.pre_normal_mps,
        math.nan if pushed else impact.energy_loss_j,
        _number(CONTACTS, impact.contact),
        *_stuff(body),
        *(_stuff(partner) if partner else (_number(materials(), impact.surface), math.nan)),
        *((math.nan, math.nan) if found is None else _expected_numbers(*found)),
    ]


def _is_pushed(impact: Impact) -> bool:
    """Whether something unseen came: neither how fast that was nor what it lost is known."""
    return impact.pre_normal_mps <= 0.0


def expected(impact: Impact, bodies: dict[str, Body]) -> tuple[Modes, float] | None:
    """What rings of an impact and the length of its contact in seconds; None where a speed or a material by name is
    not known."""
    from pavas_core.synthesis.materials import MATERIALS
    from pavas_core.synthesis.voices import body_material, expected_ringing

    met = (bodies[impact.object_id], bodies.get(impact.partner or ""))
    if _is_pushed(impact) or not all(body_material(one).key in materials() for one in met if one):
        return None
    return expected_ringing(impact, bodies, MATERIALS["unknown"])


def _expected_numbers(modes: Modes, contact_s: float) -> tuple[float, float]:
    heard = (modes.frequency_hz > _HEARD_HZ[0]) & (modes.frequency_hz < _HEARD_HZ[1])
    power = float((modes.pressure_pa[heard] ** 2).sum()) / 2
    return math.log(contact_s), 10 * math.log10(power + 1e-12)


def _stuff(body: Body) -> tuple[float, float]:
    """Numbers of a body's material and family, as far as they are known."""
    from pavas_core.synthesis.materials import split_words
    from pavas_core.synthesis.shapes import knows_shape
    from pavas_core.synthesis.voices import body_material, body_shape

    words = split_words(" ".join([body.object.name, *body.object.aliases]))
    family = body_shape(body).family if any(map(knows_shape, words)) else ""
    return _number(materials(), body_material(body).key), _number(families(), family)


def _number(names: Sequence[str], name: str) -> float:
    return float(names.index(name)) if name in names else math.nan


def stuff_of(scene: Scene) -> tuple[frozenset[str], frozenset[str]]:
    """Materials that the facts of a scene tell: of things, and of the ground.

    What a tool strikes is not the ground, whatever floor a prompt names.
    """
    from pavas_core.synthesis.voices import body_material

    things = {body_material(body).key for body in scene.bodies}
    surfaces = {one.surface for one in scene.impacts if one.partner is None and one.contact != "strike"}
    return frozenset(things & {*materials()}), frozenset(surfaces & {*materials()})


def without_stuff(facts: Tensor) -> Tensor:
    """``facts`` (..., FACTS) of which nobody says what things are made of or shaped like."""
    facts = without_expected(facts)
    facts[..., list(STUFF)] = torch.nan
    return facts


def without_expected(facts: Tensor) -> Tensor:
    """``facts`` (..., FACTS) of which it is not known what rings: that takes masses, speed and materials."""
    facts = facts.clone()
    facts[..., list(EXPECTED)] = torch.nan
    return facts


def fact_columns(facts: Tensor) -> Tensor:
    """Columns (..., facts_dim) of rows (..., FACTS)."""
    parts = []
    for place, (mean, spread) in _SCALES.items():
        known = ~facts[..., place].isnan()
        z = (facts[..., place].clamp(min=1e-6).log() - mean) / spread
        parts += [torch.where(known, z.clamp(-_Z_LIMIT, _Z_LIMIT), 0.0)[..., None], known[..., None].float()]
    tables = {CONTACT: torch.eye(len(CONTACTS)), FAMILY: torch.eye(len(families()))}
    tables |= {MATERIAL: _material_table(), OTHER_MATERIAL: _material_table(), OTHER_FAMILY: tables[FAMILY]}
    for place, table in tables.items():
        number = facts[..., place]
        row = table.to(facts.device)[number.nan_to_num().long()]
        parts.append(torch.where(number.isnan()[..., None], 0.0, row))
    parts.append((~facts[..., CONTACT_S, None].isnan()).float())
    for place, (mean, spread) in _EXPECTED_SCALES.items():
        z = ((facts[..., place] - mean) / spread).clamp(-_Z_LIMIT, _Z_LIMIT)
        parts.append(z.nan_to_num()[..., None])
    return torch.cat(parts, dim=-1)


_STUFF_NUMBERS = 3


def _material_table() -> Tensor:
    """(materials, columns): which it is, and logarithms of damping, density and stiffness."""
    from pavas_core.synthesis.materials import MATERIALS

    found = [MATERIALS[key] for key in materials()]
    numbers = torch.tensor([[one.loss_factor, one.density_kg_m3, one.youngs_pa] for one in found]).log()
    return torch.cat([torch.eye(len(found)), (numbers - numbers.mean(dim=0)) / numbers.std(dim=0)], dim=1)
