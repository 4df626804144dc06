"""The network in the box through the generic sampler: any length, any number of objects, the same sound again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pavas_core.errors import PavasError, WeightsError
from pavas_core.evaluation.proof_clips import made, proof_clip
from pavas_core.models.nano import CHANCE, LOUDNESS_CHANNELS, WEIGHTS, features_of, load_nano, prompt_of
from pavas_core.models.nano_visual import see
from pavas_core.physics.types import Mass
from pavas_core.runtime import Runtime
from pavas_core.sampling.generate import generate
from pavas_core.sampling.physics import encode_physics
from pavas_core.simulation.simulate import counterfactual, simulate


@pytest.fixture(scope="module")
def model():
    return load_nano(Runtime())


@pytest.fixture(scope="module")
def bounce():
    return proof_clip(900, "drop")


def test_weights_fit_the_box_and_tell_how_they_came_to_be(model) -> None:
    assert WEIGHTS.stat().st_size <= 12e6
    assert model.facts["runs"]
    assert model.facts["held_out_scores"]["step"] > 0


def test_damaged_and_missing_weights_are_told(tmp_path) -> None:
    with pytest.raises(WeightsError, match="install the pack again"):
        load_nano(Runtime(), tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged"):
        load_nano(Runtime(), tmp_path / "bad.safetensors")


def test_weights_that_are_told_other_facts_of_impacts_are_refused(tmp_path) -> None:
    with safe_open(WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    adapter = json.loads(metadata["adapter"])
    older = adapter | {"impact_facts": adapter["impact_facts"] - 1}
    save_file(tensors, tmp_path / "old.safetensors", metadata={**metadata, "adapter": json.dumps(older)})
    with pytest.raises(WeightsError, match="facts of an impact"):
        load_nano(Runtime(), tmp_path / "old.safetensors")


def test_same_seed_same_sound_other_seed_another(model, bounce) -> None:
    first, again, other = (
        made(model, bounce, bounce.sim.scene, Runtime(), seed=seed)[0].waveform for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


def test_a_scene_is_as_loud_with_every_seed(model, monkeypatch) -> None:
    clip = proof_clip(501, "drop")

    def spread() -> float:
        takes = made(model, clip, clip.sim.scene, Runtime(), takes=4)
        return float(np.std([10 * np.log10(np.square(take.waveform).mean()) for take in takes]))

    tempered = spread()
    monkeypatch.setattr(model, "tempered", lambda noise: noise)
    assert tempered < 0.5 * spread()


def test_tempering_leaves_all_but_loudness_to_chance(model) -> None:
    noise = torch.randn(1, 20, 40, generator=torch.Generator().manual_seed(0))
    out = model.tempered(noise)
    assert torch.equal(out[..., LOUDNESS_CHANNELS:], CHANCE * noise[..., LOUDNESS_CHANNELS:])
    assert out[..., :LOUDNESS_CHANNELS].std() < 0.5 * noise[..., :LOUDNESS_CHANNELS].std()
    shift = model.tempered(torch.zeros_like(noise))
    louder, softer = (model.codec.decode(model.network.unnormalize(sign * shift)) for sign in (1, -1))
    assert louder.square().mean() > softer.square().mean()


def test_heavier_changes_the_sound_and_is_louder(model, bounce) -> None:
    ids = {body.object.id: 30.0 for body in bounce.sim.scene.bodies}
    heavy = counterfactual(bounce.sim, ids).scene
    levels = [
        np.square(made(model, bounce, scene, Runtime())[0].waveform).mean() for scene in (bounce.sim.scene, heavy)
    ]
    assert levels[1] > levels[0]


@pytest.mark.parametrize("duration_s", [0.5, 3.3, 9.0])
def test_any_length_is_trimmed_to_the_sample(model, duration_s: float) -> None:
    sim = simulate(901, kind="drop", width=96, height=54, frame_rate=12, duration_s=duration_s, mask_long_side=96)
    tracks, seconds = sim.scene.tracks, sim.scene.duration_s
    assert tracks is not None
    features = features_of(see(tracks, None, seconds), tracks, seconds)
    physics = encode_physics(model, features, sim.scene, runtime=Runtime())
    latent = generate(model, features, physics, steps=2, cfg_strength=0.0, runtime=Runtime())
    assert torch.isfinite(latent).all()
    assert latent.shape[1] == int(np.ceil(seconds * model.latent_rate_hz))
    assert model.decode(latent, runtime=Runtime()).shape[1] >= round(seconds * model.sample_rate)


def test_order_of_objects_changes_nothing(model) -> None:
    clip = proof_clip(903, "collide")
    scene = clip.sim.scene
    turned = replace(scene, bodies=scene.bodies[::-1])
    first, second = (encode_physics(model, clip.features, one, runtime=Runtime()).given for one in (scene, turned))
    torch.testing.assert_close(first.mass, second.mass)
    torch.testing.assert_close(first.velocity, second.velocity)


def test_no_object_at_all_makes_a_sound(model) -> None:
    clip = proof_clip(904, "still")
    assert np.isfinite(made(model, clip, replace(clip.sim.scene, bodies=(), impacts=()), Runtime())[0].waveform).all()


def test_prompt_of_a_scene_uses_known_words(bounce) -> None:
    from pavas_core.models.nano_text import prompt_tokens

    rows, unknown = prompt_tokens(prompt_of(bounce.sim.scene, "wood"))
    assert not unknown
    assert rows[-1].any()


def test_a_value_beyond_the_adapter_is_told_once(model, bounce, caplog) -> None:
    bodies = tuple(replace(body, mass=Mass(1e6, 1e6, 1e6, "manual")) for body in bounce.sim.scene.bodies)
    encode_physics(model, bounce.features, replace(bounce.sim.scene, bodies=bodies), runtime=Runtime())
    told = [record.getMessage() for record in caplog.records if "beyond" in record.getMessage()]
    assert len([text for text in told if "Some mass" in text]) == 1
    assert len(told) == len(set(told))


def test_modal_only_options_are_refused() -> None:
    from pavas_core.pipeline import SoundOptions, foley_nano

    scene = proof_clip(904, "still").sim.scene
    with pytest.raises(PavasError, match="small room"):
        foley_nano(None, scene, options=SoundOptions(room="large"))  # type: ignore[arg-type]
