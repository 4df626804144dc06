"""What rings on after an impact is heard as the textbook says, whatever the network makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pavas_core.evaluation.proof_clips import made_of, proof_clip, proof_sim
from pavas_core.models.nano import load_nano
from pavas_core.models.nano_codec import CodecConfig
from pavas_core.models.nano_ringing import at_least, ringing
from pavas_core.physics.types import Mass
from pavas_core.runtime import Runtime
from pavas_core.sampling.generate import generate
from pavas_core.sampling.physics import encode_physics
from pavas_core.training.examples import true_sound

NEPER_DB = 20 / np.log(10)
CONFIG = CodecConfig()
FRAMES_A_SECOND = CONFIG.sample_rate / CONFIG.hop


@pytest.fixture(scope="module")
def fall():
    """A scene in which a cup or a rod falls, of steel, and bounces once, half a second into it."""
    seed = next(s for s in range(950, 990) if any(_rings(b.object.name) for b in proof_sim(s, "drop").scene.bodies))
    scene = made_of(proof_sim(seed, "drop").scene, "steel")
    names = {body.object.id: body.object.name for body in scene.bodies}
    own = [one for one in scene.impacts if _rings(names[one.object_id]) and one.partner is None]
    hardest = max(own, key=lambda one: one.impulse_ns)
    hit = replace(hardest, time_s=0.5, contact="bounce", impulse_ns=10 * hardest.impulse_ns)  # free, and loud
    return replace(scene, impacts=(hit,))


def _rings(name: str) -> bool:
    return name.split()[-1] in ("cup", "rod")


def _spectrum(scene) -> np.ndarray:
    """Logarithms of magnitudes [frames, bands]."""
    found = ringing(scene, 64)
    assert found is not None
    return found.numpy().reshape(-1, CONFIG.bands)


def _weighing(scene, mass_kg: float):
    mass = Mass(mass_kg, mass_kg, mass_kg, "manual")
    return replace(scene, bodies=tuple(replace(body, mass=mass) for body in scene.bodies))


def _at(seconds: float) -> int:
    return round(seconds * FRAMES_A_SECOND)


def test_nothing_rings_before_the_impact_nor_below_what_the_codec_hears(fall) -> None:
    spectrum = _spectrum(fall)
    silence = np.float32(np.log(CONFIG.floor))
    assert (spectrum[: _at(0.5 - 0.04)] == silence).all()
    assert spectrum[_at(0.55)].max() > silence + 3
    assert spectrum.min() == silence


def test_it_is_what_the_engine_plays_on_average(fall) -> None:
    """Over strike positions; where it stands well over all else that is heard."""
    codec = load_nano(Runtime()).codec
    sounds = np.stack([true_sound(fall, "concrete", seed) for seed in range(12)])
    heard = codec.mel(torch.from_numpy(sounds)).numpy().reshape(12, -1, CONFIG.bands).mean(axis=0)
    spectrum = _spectrum(fall)
    for seconds in (0.75, 1.0, 1.25):
        loud = spectrum[_at(seconds)] > heard[: _at(0.4)].mean(axis=0) + 2.0
        assert loud.any()
        error_db = NEPER_DB * (spectrum[_at(seconds)] - heard[_at(seconds)])[loud]
        assert abs(error_db.mean()) < 5.0


def test_steel_rings_longer_than_wood_and_wood_longer_than_rubber(fall) -> None:
    falls_db = []
    for material in ("steel", "wood", "rubber"):
        early, late = (_spectrum(made_of(fall, material))[_at(seconds)] for seconds in (0.55, 0.65))
        falls_db.append(NEPER_DB * float(early.max() - late.max()))
    assert falls_db == sorted(falls_db)
    assert falls_db[1] > 2 * falls_db[0]


def test_the_lighter_rings_higher(fall) -> None:
    light, heavy = (int(_spectrum(_weighing(fall, kilograms))[_at(0.55)].argmax()) for kilograms in (0.1, 1.0))
    assert light > heavy


def test_ten_times_the_impulse_rings_twenty_decibels_louder(fall) -> None:
    hit = fall.impacts[0]
    soft, hard = (
        _spectrum(replace(fall, impacts=(replace(hit, impulse_ns=k * hit.impulse_ns),)))[_at(0.6)] for k in (1.0, 10.0)
    )
    loud = soft > soft.max() - 2
    np.testing.assert_allclose(NEPER_DB * (hard - soft)[loud], 20.0, atol=0.2)


def test_two_impacts_add_up_in_power(fall) -> None:
    hit = fall.impacts[0]
    once, twice = _spectrum(fall), _spectrum(replace(fall, impacts=(hit, replace(hit, id="again"))))
    loud = once > once.max() - 3
    np.testing.assert_allclose((twice - once)[loud], np.log(2) / 2, atol=1e-3)


def test_of_unknown_things_nothing_is_said(fall) -> None:
    bodies = tuple(
        replace(body, object=replace(body.object, name="object-1", material="unknown", aliases=()))
        for body in fall.bodies
    )
    assert ringing(replace(fall, bodies=bodies), 64) is None
    assert ringing(replace(fall, impacts=()), 64) is None
    pushed = replace(fall.impacts[0], pre_normal_mps=0.0)
    assert ringing(replace(fall, impacts=(pushed,)), 64) is None


def test_only_what_is_softer_is_lifted() -> None:
    codec = load_nano(Runtime()).codec
    latent = torch.randn(2, 5, codec.config.channels, generator=torch.Generator().manual_seed(0))
    mel = latent @ codec.basis + codec.mean
    assert torch.equal(at_least(latent, mel[:1] - 1, codec)[0], latent[0])
    lifted = at_least(latent, mel[:1] + 1, codec)[:1] @ codec.basis + codec.mean
    assert 0.9 < float((lifted - mel[:1]).mean()) < 1.1
    line = mel[:1].clone()
    line[..., 40] += 3.0
    lifted = at_least(latent, line, codec)[:1] @ codec.basis + codec.mean
    reached = (lifted - mel[:1])[..., 40] / 3.0
    once = float(codec.basis[:, 40].square().sum())  # what the codec keeps of a line lifted once
    assert (reached > 1.2 * once).all()
    assert (reached < 1.0).all()


def test_a_sound_rings_on_by_physics_strength_and_not_against_the_prompt() -> None:
    model, clip = load_nano(Runtime()), proof_clip(955, "drop")
    scene = made_of(clip.sim.scene, "steel")
    louder = tuple(replace(one, contact="bounce", impulse_ns=30 * one.impulse_ns) for one in scene.impacts)
    scene = replace(scene, impacts=louder)
    physics = encode_physics(model, clip.features, scene, runtime=Runtime())
    assert physics.ringing is not None

    def sound(given, **settings) -> torch.Tensor:
        return generate(model, clip.features, given, steps=1, cfg_strength=1.0, runtime=Runtime(), **settings)

    silent = replace(physics, ringing=None)
    full, plain = sound(physics), sound(silent)
    torch.testing.assert_close(full, model.rings_on(plain, physics.ringing))
    assert not torch.equal(full, plain)
    assert torch.equal(sound(physics, physics_strength=0.0), sound(silent, physics_strength=0.0))
    assert torch.equal(sound(physics, prompt="wood cup"), sound(silent, prompt="wood cup"))
    assert not torch.equal(sound(physics, prompt="steel cup"), sound(silent, prompt="steel cup"))
