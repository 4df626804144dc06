"""The nodes from a sound model to AUDIO, on a small network with drawn weights."""

from __future__ import annotations

import importlib

import pytest
import torch

from pavas_core.errors import PavasError, PhysicsError
from tests import comfy_double
from tests.test_sampling_generate import ball_scene, features, model

SAMPLER = {
    "prompt": "a ball",
    "negative_prompt": "speech",
    "seed": 1,
    "steps": 3,
    "cfg_strength": 4.5,
    "physics_strength": 1.0,
    "takes": 1,
    "duration_s": 2.0,
}
UNHEARD = "No trained Phy-Adapter: mass and speed do not change this model's sound."


@pytest.fixture
def pack(monkeypatch, tmp_path):
    comfy, extension = comfy_double.install(monkeypatch, tmp_path / "comfy")
    return comfy, importlib.import_module(extension.__name__.rpartition(".")[0] + ".generate")


def sampled(nodes, of, **changes):
    return nodes.PavasSampler.execute(model=of, **(SAMPLER | changes)).args[0]


def test_text_alone_makes_a_sound_of_the_asked_length_to_the_sample(pack):
    comfy, nodes = pack
    of = model()
    latent = sampled(nodes, of, takes=3)
    assert latent["samples"].shape == (3, 50, 6)
    assert latent["type"] == "audio"
    sounds = nodes.PavasVocode.execute(model=of, latent=latent, output_gain_db=0.0).args[0]
    assert len(sounds) == 3
    for sound in sounds:
        assert sound["waveform"].shape == (1, 1, round(2.0 * of.sample_rate))
        assert sound["sample_rate"] == of.sample_rate
    assert not torch.equal(sounds[0]["waveform"], sounds[1]["waveform"])
    assert comfy.said[-1].startswith("Take 1: peak ")
    assert comfy.said[-1].count("\n") == 2


def test_a_clips_sound_is_as_long_as_the_clip(pack):
    _, nodes = pack
    latent = sampled(nodes, model(), features=features(3.0))
    assert latent["duration_s"] == 3.0
    assert latent["samples"].shape[1] == 75


def test_gain_scales_the_sound_and_nothing_else_does(pack):
    _, nodes = pack
    of = model()
    latent = sampled(nodes, of)
    plain, loud = (
        nodes.PavasVocode.execute(model=of, latent=latent, output_gain_db=gain).args[0][0]["waveform"]
        for gain in (0.0, 20.0)
    )
    torch.testing.assert_close(loud, 10 * plain)


def test_seed_decides_and_cached_inputs_are_left_alone(pack):
    _, nodes = pack
    of, seen = model(), features(2.0)
    before = [value.clone() for value in (seen.clip, seen.sync)]
    one, again, other = (sampled(nodes, of, features=seen, seed=seed)["samples"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert all(torch.equal(a, b) for a, b in zip(before, (seen.clip, seen.sync), strict=True))


def test_without_an_adapter_the_faces_say_that_physics_is_not_heard(pack):
    comfy, nodes = pack
    of, seen = model(), features(2.0, objects=True)
    physics = nodes.PavasPhyAdapterEncode.execute(model=of, features=seen, scene=ball_scene()).args[0]
    assert physics is None
    assert comfy.said == [UNHEARD]
    with_wire = sampled(nodes, of, features=seen, physics=physics)["samples"]
    assert comfy.said == [UNHEARD, UNHEARD]
    assert torch.equal(with_wire, sampled(nodes, of, features=seen)["samples"])


def test_with_an_adapter_physics_changes_the_sound_and_strength_zero_does_not(pack):
    comfy, nodes = pack
    of, seen = model(adapter=True), features(2.0, objects=True)
    physics = nodes.PavasPhyAdapterEncode.execute(model=of, features=seen, scene=ball_scene()).args[0]
    plain = sampled(nodes, of, features=seen)["samples"]
    given = sampled(nodes, of, features=seen, physics=physics)["samples"]
    none = sampled(nodes, of, features=seen, physics=physics, physics_strength=0.0)["samples"]
    assert not torch.allclose(plain, given)
    torch.testing.assert_close(plain, none)
    assert comfy.said == []


def test_guidance_far_above_what_a_model_is_meant_for_is_told_on_the_node(pack):
    comfy, nodes = pack
    of, seen = model(adapter=True), features(2.0)
    of.usual_cfg_strength = 1.0
    sampled(nodes, of, features=seen, cfg_strength=1.5)
    assert comfy.said == []
    sampled(nodes, of, features=seen, cfg_strength=4.5)
    assert comfy.said == [f"{of.name} is meant for cfg_strength 1: 4.5 makes it too loud."]


def test_features_without_the_scenes_objects_are_explained(pack):
    _, nodes = pack
    with pytest.raises(PhysicsError, match="connect the same tracks"):
        nodes.PavasPhyAdapterEncode.execute(model=model(adapter=True), features=features(2.0), scene=ball_scene())


def test_a_marked_part_is_made_anew_and_all_else_stays(pack):
    _, nodes = pack
    of, seen = model(), features(3.0)
    first = sampled(nodes, of, features=seen)
    kept = nodes.PavasRegeneratePart.execute(latent=first, start_s=1.0, end_s=1.5).args[0]
    kept = nodes.PavasRegeneratePart.execute(latent=kept, start_s=2.8, end_s=9.0).args[0]
    again = sampled(nodes, of, features=seen, seed=7, kept=kept)
    changed = (again["samples"] != first["samples"]).any(dim=2)[0]
    expected = torch.zeros(75, dtype=torch.bool)
    expected[25:38] = expected[70:] = True
    assert torch.equal(changed, expected)
    assert again["duration_s"] == 3.0
    assert "redo_s" not in again, "the new sound is finished"
    assert "redo_s" not in first, "cached inputs are left alone"


def test_one_kept_sound_gives_as_many_new_takes_as_asked(pack):
    _, nodes = pack
    of = model()
    kept = nodes.PavasRegeneratePart.execute(latent=sampled(nodes, of), start_s=0.5, end_s=1.0).args[0]
    takes = sampled(nodes, of, takes=3, kept=kept, duration_s=9.0)["samples"]
    assert takes.shape == (3, 50, 6)
    assert torch.equal(takes[0, :12], takes[2, :12])
    assert not torch.equal(takes[0, 12:25], takes[2, 12:25])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "No part of the latent is marked"),
        ({"redo_s": ((0.5, 1.0),), "samples": torch.zeros(1, 40, 6)}, "The latent lasts 1.60 s and the new sound 2.00"),
        ({"redo_s": ((0.5, 1.0),), "samples": torch.zeros(1, 50, 9)}, "9 channels and this model's has 6"),
        ({"redo_s": ((0.5, 1.0),), "samples": torch.zeros(3, 50, 6)}, "has 3 takes and 2 are asked for"),
    ],
)
def test_a_kept_latent_that_does_not_fit_is_explained(pack, change, message):
    _, nodes = pack
    with pytest.raises(PavasError, match=message):
        sampled(nodes, model(), takes=2, kept={"samples": torch.zeros(1, 50, 6), "duration_s": 2.0, **change})


@pytest.mark.parametrize(("start_s", "end_s"), [(1.0, 1.0), (1.5, 1.0), (2.0, 3.0), (-1.0, 1.0), (float("nan"), 1.0)])
def test_parts_that_are_none_are_refused(pack, start_s, end_s):
    _, nodes = pack
    with pytest.raises(PavasError, match="is no part of a sound of 2 s"):
        nodes.PavasRegeneratePart.execute(
            latent={"samples": torch.zeros(1, 50, 6), "duration_s": 2.0}, start_s=start_s, end_s=end_s
        )


def test_a_latent_of_another_sampler_is_refused(pack):
    _, nodes = pack
    with pytest.raises(PavasError, match="not of a PAVAS Sampler"):
        nodes.PavasRegeneratePart.execute(latent={"samples": torch.zeros(1, 4, 8, 8)}, start_s=0.0, end_s=1.0)


def test_cancel_reaches_the_sampler(pack):
    comfy, nodes = pack
    comfy.cancelled = True
    with pytest.raises(comfy_double.Interrupted):
        sampled(nodes, model())


def test_progress_counts_the_steps(pack):
    comfy, nodes = pack
    sampled(nodes, model(), steps=5)
    assert (5, 5) in comfy.progress


def test_a_full_card_is_emptied_and_then_told(pack, monkeypatch):
    comfy, nodes = pack
    of = model()

    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(of.network, "forward", full)
    monkeypatch.setattr(of.network, "flow", full)
    with pytest.raises(PavasError, match="The memory of cpu is full") as said:
        sampled(nodes, of)
    assert comfy.unloaded == 1
    assert "GiB" not in str(said.value)
