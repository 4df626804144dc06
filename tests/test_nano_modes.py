"""What pavas-nano is told of the ringing to expect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pavas_core.evaluation.proof_clips import made_of, proof_sim
from pavas_core.models.nano_modes import BAND, CONTACT_S, LEVEL_DB, MODES, NEPER_DB, RATE, impact_modes
from pavas_core.physics.types import Mass


@pytest.fixture(scope="module")
def fall():
    """A scene in which a cup or a rod falls, and its hardest impact."""
    seed = next(s for s in range(950, 990) if any(_rings(b.object.name) for b in proof_sim(s, "drop").scene.bodies))
    scene = proof_sim(seed, "drop").scene
    names = {body.object.id: body.object.name for body in scene.bodies}
    own = [one for one in scene.impacts if _rings(names[one.object_id]) and one.partner is None]
    return scene, max(own, key=lambda one: one.impulse_ns)


def _rings(name: str) -> bool:
    return name.split()[-1] in ("cup", "rod")


def _modes(scene, impact, material="steel", mass_kg=0.2) -> np.ndarray:
    bodies = {body.object.id: body for body in made_of(scene, material).bodies}
    mass = Mass(mass_kg, mass_kg, mass_kg, "manual")
    bodies[impact.object_id] = replace(bodies[impact.object_id], mass=mass)
    return impact_modes(impact, bodies)


def _pitch(modes: np.ndarray) -> float:
    """Mean band, by level."""
    return float(np.average(np.arange(RATE - BAND), weights=modes[BAND:RATE]))


def _slowest(modes: np.ndarray) -> float:
    return modes[RATE:][modes[BAND:RATE] > 0].min()


def test_all_numbers_are_finite_and_none_below_what_is_heard(fall) -> None:
    modes = _modes(*fall)
    assert modes.shape == (MODES,)
    assert np.isfinite(modes).all()
    assert (modes[BAND:] >= 0).all()
    assert ((modes[RATE:] > 0) == (modes[BAND:RATE] > 0)).all()


def test_steel_rings_longer_than_wood_and_wood_longer_than_rubber(fall) -> None:
    rates = [_slowest(_modes(*fall, material=material)) for material in ("steel", "wood", "rubber")]
    assert rates == sorted(rates)
    assert rates[1] > 1.2 * rates[0]


def test_the_lighter_rings_higher_and_touches_shorter(fall) -> None:
    light, heavy = (_modes(*fall, mass_kg=kilograms) for kilograms in (0.1, 1.0))
    assert _pitch(light) > _pitch(heavy) + 1
    assert light[CONTACT_S] < heavy[CONTACT_S]


def test_ten_times_the_impulse_rings_twenty_decibels_louder(fall) -> None:
    scene, impact = fall
    soft, hard = (_modes(scene, replace(impact, impulse_ns=k * impact.impulse_ns)) for k in (1.0, 10.0))
    assert hard[LEVEL_DB] - soft[LEVEL_DB] == pytest.approx(20.0)
    ringing = soft[BAND:RATE] > 0
    np.testing.assert_allclose((hard - soft)[BAND:RATE][ringing] * NEPER_DB, 20.0, rtol=1e-6)
