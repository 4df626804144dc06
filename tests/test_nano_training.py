"""Training pavas-nano: examples, faults, batches, and a loop that goes on where it was killed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pavas_core.errors import WeightsError
from pavas_core.models.nano import tempered
from pavas_core.models.nano_codec import NanoCodec
from pavas_core.models.nano_config import ABLATIONS, ablated_config, adapter_config
from pavas_core.models.nano_facts import fact_columns, without_stuff
from pavas_core.models.nano_text import text_tokens
from pavas_core.models.nano_visual import look, see
from pavas_core.models.phy_adapter import PhysicsInputs
from pavas_core.physics.types import Track, TrackSet
from pavas_core.runtime import Runtime
from pavas_core.training import loop
from pavas_core.training.batches import Examples, batch, draw, stack, whole
from pavas_core.training.examples import example, through_tracker, training_clip, true_sound
from pavas_core.training.faults import with_faults
from pavas_core.training.loop import (
    AVERAGE_EVERY,
    AWAY_WEIGHT,
    BLOW_WEIGHT,
    BY_EAR,
    BY_EAR_MEAN,
    NanoNetwork,
    Recipe,
    batch_loss,
    channel_weights,
    clip_levels_db,
    clip_octaves,
    heard_loss,
    token_weights,
    train,
)
from pavas_core.training.mirror import mirrored_clip, mirrored_objects, mirrored_sync
from pavas_core.training.tracked import named_by_truth, see_through_tracker

SEEDS = (1001, 1003)
"""One scene seen through the tracker, one with true tracks."""


@pytest.fixture(scope="module")
def codec() -> NanoCodec:
    made = NanoCodec()
    sim = training_clip(501)
    made.fit(torch.from_numpy(true_sound(sim.scene, "wood", 1)[None, :32768]))
    return made


@pytest.fixture(scope="module")
def examples(codec: NanoCodec) -> list[dict]:
    def encode(sounds: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return codec.encode(torch.from_numpy(sounds)).numpy()

    made = [example(seed, encode) for seed in SEEDS]
    return [_tensors(one) for one in made]


def _tensors(value):
    from pavas_core.training.store import _tensors as convert

    return convert(value)


@pytest.fixture(scope="module")
def data(examples: list[dict]) -> Examples:
    return stack(examples, 31.25)


def test_an_example_repeats(codec: NanoCodec, examples: list[dict]) -> None:
    def encode(sounds: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return codec.encode(torch.from_numpy(sounds)).numpy()

    again = _tensors(example(SEEDS[0], encode))
    assert torch.equal(again["sync"], examples[0]["sync"])
    assert torch.equal(again["variants"][3]["latent"], examples[0]["variants"][3]["latent"])


def test_sound_is_rendered_from_the_numbers_given(data: Examples) -> None:
    """Over the variants of a scene, more impulse is more sound."""
    loud = data.latent[..., 0].amax(dim=2).flatten()
    impulse = data.impulse_ns.nan_to_num(0).amax(dim=2).clamp(min=1e-6).log().flatten()
    both = torch.corrcoef(torch.stack([loud * torch.sign(_first(data)), impulse]))
    assert float(both[0, 1]) > 0.3


def _first(data: Examples) -> torch.Tensor:
    """Sign of the first component: positive where it grows with level."""
    quiet, loud = data.latent[..., 0].amin(), data.latent[..., 0].amax()
    return torch.tensor(1.0 if loud.abs() > quiet.abs() else -1.0)


def test_half_a_batch_is_pairs_of_the_same_pictures(data: Examples) -> None:
    scene, variant = draw(data, 16, np.random.default_rng(1))
    pairs = scene[:8].reshape(4, 2), variant[:8].reshape(4, 2)
    assert (pairs[0][:, 0] == pairs[0][:, 1]).all()
    assert (pairs[1][:, 0] != pairs[1][:, 1]).all()


def test_tracks_stay_where_pictures_are_those_of_another_scene(data: Examples) -> None:
    scene, variant = np.zeros(64, int), np.ones(64, int)
    given = batch(data, scene, variant, np.random.default_rng(2))
    other = (given.clip == data.clip[1].float()).flatten(1).all(dim=1)
    assert 2 <= int(other.sum()) <= 40
    motion = given.sync[other][:, :, :-3]
    assert torch.equal(motion, data.sync[0, :, :-3].float().expand_as(motion))


def test_edited_impacts_are_always_told(data: Examples) -> None:
    scene, variant = np.nonzero(data.edited)
    if not len(scene):
        pytest.skip("none of these examples has edited impacts")
    given = batch(data, np.repeat(scene, 20), np.repeat(variant, 20), np.random.default_rng(3))
    told = given.physics.impacts_known | ~given.physics.present.flatten(1).any(dim=1)
    assert told.all()


@pytest.mark.parametrize(("seed", "things", "alike"), [(9019, 1, 0.999), (9007, 2, 0.95)])
def test_a_mirrored_scene_is_seen_mirrored(seed: int, things: int, alike: float) -> None:
    """Where one of two things is not seen, which of them stands first is not mirrored; all else is."""
    sim = training_clip(seed)
    tracks = sim.scene.tracks
    assert tracks is not None
    assert len(tracks.tracks) == things
    width = tracks.width
    turned = replace(
        tracks,
        tracks=tuple(
            replace(
                track,
                centroids=track.centroids * [-1, 1] + [width, 0],
                boxes=track.boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [width, 0, width, 0],
            )
            for track in tracks.tracks
        ),
    )
    times, frames = list(tracks.times_s), list(sim.frames())
    seen = see(tracks, look(frames, times, tracks), tracks.duration_s)
    other = see(turned, look([frame[:, ::-1].copy() for frame in frames], times, turned), tracks.duration_s)
    for mirrored, name in ((mirrored_sync, "sync"), (mirrored_clip, "clip"), (mirrored_objects, "objects")):
        expected, found = torch.from_numpy(getattr(other, name)), mirrored(torch.from_numpy(getattr(seen, name)))
        assert not torch.allclose(expected, torch.from_numpy(getattr(seen, name)), atol=0.05), name
        assert ((expected - found).abs() < 2e-3).float().mean() > alike, name


def test_sounding_tokens_weigh_more_where_impacts_are_told(data: Examples) -> None:
    physics = replace(
        whole(data, np.zeros(3, int), np.zeros(3, int)).physics,
        impact_token=torch.tensor([[10.3, 0.0], [10.3, 0.0], [0.0, 0.0]]),
        impulse_ns=torch.tensor([[1.0, torch.nan], [1.0, torch.nan], [torch.nan, torch.nan]]),
        impacts_known=torch.tensor([True, False, True]),
    )
    weight = token_weights(physics, 128)
    assert float(weight.mean()) == pytest.approx(1.0)
    assert weight[0, 9] == weight[0, 13] > 2 * weight[0, 14]
    assert weight[0, 14] == weight[0, 37] > 2 * weight[0, 39]
    assert weight[0, 8] == weight[0, 39] == weight[2, 60]


def test_a_brighter_sound_is_judged_brighter(codec: NanoCodec) -> None:
    t = torch.arange(32768) / 16000
    octaves = [float(clip_octaves(codec, codec.encode(torch.sin(2 * torch.pi * hz * t)[None]))) for hz in (800, 1600)]
    levels = [float(clip_levels_db(codec, codec.encode(gain * torch.sin(5000 * t)[None]))) for gain in (0.1, 0.01)]
    assert octaves[1] > octaves[0] + 0.1
    assert levels[0] > levels[1] + 3


def test_nothing_is_withheld_when_judged(data: Examples) -> None:
    given = whole(data, np.array([0, 1]), np.array([0, 0]))
    assert given.physics.impacts_known.all()
    assert not given.no_clip.any()
    assert torch.equal(given.text[0], text_tokens(data.things[0][0], data.surface[0][0]))


def test_what_met_is_told_by_impacts_or_else_by_the_prompt(data: Examples) -> None:
    scene, variant = (row.repeat(20) for row in np.nonzero(data.restuffed))
    assert len(scene)
    given = batch(data, scene, variant, np.random.default_rng(4))
    named = fact_columns(without_stuff(data.facts[scene, variant])) != given.physics.impact_facts
    told = named.flatten(1).any(dim=1)
    prompted = given.text.flatten(1).any(dim=1)
    everything_withheld = ~prompted & ~given.physics.impacts_known
    assert (told | prompted | everything_withheld).all()
    assert (told & prompted).any()
    assert (told & ~prompted).any()
    assert (~told & prompted).any()


def test_rare_kinds_of_scenes_are_drawn_more_often(examples: list[dict]) -> None:
    kinds = ["collide", "still", *["drop"] * 8]
    rows = stack([{**examples[0], "kind": kind} for kind in kinds], 31.25)
    scene, _ = draw(rows, 4000, np.random.default_rng(0))
    share = np.bincount(scene) / len(scene)
    assert share[0] > 2 * share[2:].mean() > 3 * share[1] > 0


def test_tokens_in_which_an_impact_begins_weigh_most(data: Examples) -> None:
    physics = replace(
        whole(data, np.zeros(1, int), np.zeros(1, int)).physics,
        impact_token=torch.tensor([[10.5]]),
        impulse_ns=torch.tensor([[1.0]]),
    )
    weight = token_weights(physics, 128)[0]
    torch.testing.assert_close(weight[[10, 13]], BLOW_WEIGHT * weight[[20, 30]])
    torch.testing.assert_close(weight[[9, 100]], AWAY_WEIGHT * weight[[20, 30]])
    unknown = token_weights(replace(physics, impacts_known=torch.zeros(1, dtype=torch.bool)), 128)
    assert (unknown == 1).all()


def test_training_begins_with_the_weights_of_another_run(data, codec, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "judge", lambda *_: {"score": 0.0})
    recipe = Recipe(steps=AVERAGE_EVERY, batch=4, judge_every=AVERAGE_EVERY, save_every=AVERAGE_EVERY, warm_up=1)
    folders = [tmp_path / name for name in ("first", "second", "third")]
    for folder in folders:
        folder.mkdir()
    first, second, third = folders
    train(data, data, codec, first, recipe, adapter=adapter_config(impact_facts=0), runtime=Runtime())
    start, still = first / "best.pt", replace(recipe, learning_rate=0.0)
    train(data, data, codec, second, still, start_from=start, runtime=Runtime())
    before, after = (torch.load(folder / "best.pt", weights_only=True) for folder in (first, second))
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert any("ringing" in name for name in after.keys() - before.keys())
    with pytest.raises(WeightsError, match="another network"):
        train(
            data,
            data,
            codec,
            third,
            recipe,
            adapter=adapter_config(impact_facts=0),
            start_from=second / "best.pt",
            runtime=Runtime(),
        )
    torch.save({**after, "adapter.lines.weight": torch.zeros(1, 1)}, second / "best.pt")
    with pytest.raises(WeightsError, match=r"another network.*lines"):
        train(data, data, codec, third, recipe, start_from=second / "best.pt", runtime=Runtime())


def test_faults_keep_the_axes_and_repeat() -> None:
    tracks = training_clip(SEEDS[0]).scene.tracks
    assert tracks is not None
    first, second = (with_faults(tracks, np.random.default_rng(5)) for _ in range(2))
    for one, other, true in zip(first.tracks, second.tracks, tracks.tracks, strict=False):
        np.testing.assert_array_equal(one.centroids, other.centroids)
        assert one.centroids.shape == true.centroids.shape
        assert np.isnan(one.centroids[~one.visible]).all()


def tracked_at(name: str, x: float, y: float = 50.0, frames: int = 10, seen: int = 10) -> Track:
    visible = np.arange(frames) < seen
    centroids = np.full((frames, 2), [x, y], np.float32)
    boxes = np.concatenate([centroids - 4, centroids + 4], axis=1)
    return Track(name, visible, boxes, centroids, np.full(frames, 50, np.float32), ~visible)


def test_tracks_bear_the_names_of_the_things_they_follow() -> None:
    times = np.arange(10) / 25.0
    true = TrackSet(times, 100, 100, 0.4, (tracked_at("cup-1", 20), tracked_at("ball-1", 70)))
    parts = (tracked_at("a", 71, seen=3), tracked_at("b", 69, seen=9), tracked_at("c", 45))
    named = named_by_truth(TrackSet(times, 100, 100, 0.4, parts), true)
    assert [track.object_id for track in named.tracks] == ["false-1", "ball-1", "false-2"]


def test_tracks_need_not_be_of_the_same_size_or_rate_as_the_truth() -> None:
    true = TrackSet(np.arange(10) / 25.0, 100, 100, 0.4, (tracked_at("ball-1", 70),))
    large = TrackSet(np.arange(20) / 50.0, 200, 200, 0.4, (tracked_at("a", 141, 100, frames=20, seen=20),))
    assert named_by_truth(large, true).tracks[0].object_id == "ball-1"


def test_a_share_of_scenes_is_seen_through_the_shipped_tracker(examples: list[dict]) -> None:
    assert through_tracker(SEEDS[0])
    assert not through_tracker(SEEDS[1])
    sim = training_clip(SEEDS[0])
    tracks, pictures = see_through_tracker(sim)
    names = [track.object_id for track in tracks.tracks]
    assert tracks.source == "motion"
    assert set(names) & {body.object.id for body in sim.scene.bodies}
    assert len(examples[0]["present"]) == len(names)
    assert pictures.change.max() > 0
    masses = examples[0]["variants"][0]["mass_kg"]
    kilograms = {body.object.id: body.mass.mass_kg for body in sim.scene.bodies}
    for name, mass in zip(names, masses.tolist(), strict=True):
        assert mass == pytest.approx(kilograms[name], rel=1e-4) if name in kilograms else np.isnan(mass)


def _loss(model: NanoNetwork, codec: NanoCodec, given, by_ear: bool = False, stage: int = 0) -> torch.Tensor:
    count = len(given.latent)
    noise = torch.randn(given.latent.shape, generator=torch.Generator().manual_seed(0))
    return batch_loss(model, codec, given, torch.full((count,), 0.4), noise, torch.tensor([by_ear] * count), stage)


def test_one_step_moves_the_mixers_last_layer(data: Examples, codec: NanoCodec) -> None:
    torch.manual_seed(0)
    model = NanoNetwork()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    given = whole(data, np.array([0, 1]), np.array([0, 0]))
    for _ in range(2):  # the first opens the closed output layer, behind which no gradient reaches the mixers
        loss = _loss(model, codec, given)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    loss = _loss(model, codec, given)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    assert any(
        float(mixer.up.weight.detach().abs().max()) > 0 for block in model.adapter.mixers for mixer in block.values()
    )


def test_a_killed_job_goes_on_as_if_it_had_not_been(data, codec, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "judge", lambda *_: {"score": 0.0})
    recipe = Recipe(steps=4, batch=4, judge_every=2, save_every=2, warm_up=1)
    whole_way, in_parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole_way, in_parts):
        folder.mkdir()
    train(data, data, codec, whole_way, recipe, runtime=Runtime())

    class Killed(Exception):
        pass

    def kill(stage: str, done: int, total: int) -> None:
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        train(data, data, codec, in_parts, recipe, runtime=Runtime(on_progress=kill))
    train(data, data, codec, in_parts, recipe, runtime=Runtime())
    first, second = (torch.load(folder / "state.pt", weights_only=True) for folder in (whole_way, in_parts))
    assert first["step"] == second["step"] == 4
    for name, value in first["model"].items():
        assert torch.equal(value, second["model"][name]), name
    notes = [json.loads(line) for line in (in_parts / "metrics.jsonl").read_text().splitlines()]
    assert [note["step"] for note in notes] == [2, 4]


def test_wrong_levels_and_brightness_are_heard(data: Examples, codec: NanoCodec) -> None:
    latent, tokens = data.latent[:2, 0].float(), torch.ones(2, data.latent.shape[2])
    frames = codec.config.frames_per_token

    def error(shift: torch.Tensor, scenes: tuple[int, int] = (0, 1)) -> torch.Tensor:
        # the codec's few components carry a shift of all bands only in part, and no two parts alike
        return heard_loss(codec, latent + shift @ codec.basis.T, latent, tokens, torch.tensor(scenes))

    louder = torch.ones(codec.config.bands * frames) * float(np.log(10) / 20)
    brighter = torch.linspace(-0.3, 0.3, codec.config.bands).repeat(frames)
    assert torch.equal(error(0 * louder), torch.zeros(2))
    assert (error(6 * louder) > error(3 * louder)).all()
    assert (error(3 * louder) > 0).all()
    assert (error(-6 * louder) > 0).all()
    assert (error(brighter) > 0).all()
    # what both variants of a scene share is no wrong change; what one of them has alone is
    latent = latent[:1].repeat(2, 1, 1)
    for shift in (louder, brighter):
        torch.testing.assert_close(error(shift, (3, 3)), error(shift))
        of_one = torch.stack([0 * shift, shift]).unsqueeze(1)
        apart, together = error(of_one), error(of_one, (3, 3))
        assert together[0] == apart[0]
        assert together[1] > 1.5 * apart[1]
        assert torch.equal(error(of_one, (-1, -1)), apart)


def test_what_the_sampler_heads_for_is_judged_by_ear(data: Examples, codec: NanoCodec) -> None:
    torch.manual_seed(0)
    model = NanoNetwork()
    given = whole(data, np.array([0, 1]), np.array([0, 0]))
    noise = torch.randn(given.latent.shape, generator=torch.Generator().manual_seed(0))
    # an untrained network goes nowhere: it ends where the sampler begins, at any of its steps
    start = tempered(noise, codec)
    weight = token_weights(given.physics, start.shape[1])
    off = (start - model.network.normalize(given.latent)).square() * channel_weights(model.network) * weight[..., None]
    heard = heard_loss(codec, model.network.unnormalize(start), given.latent, weight, given.scene)
    wanted = BY_EAR * (heard.mean() + BY_EAR_MEAN * off.mean())
    for stage in (0, 3):
        torch.testing.assert_close(_loss(model, codec, given, by_ear=True, stage=stage), wanted, rtol=1e-4, atol=1e-4)
    unknown = replace(given, physics=replace(given.physics, impacts_known=torch.zeros(2, dtype=torch.bool)))
    assert _loss(model, codec, unknown, by_ear=True) < 0.9 * wanted
    assert not torch.isclose(_loss(model, codec, given), wanted, rtol=1e-3)


@pytest.mark.parametrize("injection", ["delta", "sum"])
@pytest.mark.parametrize("row", list(ABLATIONS))
def test_rows_of_table_three_hear_what_they_say(data: Examples, codec: NanoCodec, row: str, injection: str) -> None:
    torch.manual_seed(0)
    model = NanoNetwork(ablated_config(row, injection))
    given = whole(data, np.array([0]), np.array([0]))
    spoken = _residuals(model, given.physics)
    assert torch.isfinite(_loss(model, codec, given))
    hears = {
        "mass": replace(given.physics, mass_kg=given.physics.mass_kg * 5),
        "speed": replace(given.physics, speed_mps=given.physics.speed_mps * 5),
        "impacts": replace(given.physics, impulse_ns=given.physics.impulse_ns * 5),
    }
    said = {name: not torch.allclose(spoken, _residuals(model, other)) for name, other in hears.items()}
    assert said == {"mass": row in ("mass", "both"), "speed": row in ("speed", "both"), "impacts": False}


def _residuals(model: NanoNetwork, physics: PhysicsInputs) -> torch.Tensor:
    """All that the adapter says, with its closed ends opened."""
    with torch.no_grad():
        for name, parameter in model.adapter.named_parameters():
            if "mixer" in name:
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
        said = model.adapter.residuals(model.adapter.encode(physics, 128))
    parts = [*said.blocks, *([] if said.condition is None else [said.condition])]
    return torch.cat([part.flatten() for part in parts]) if parts else torch.zeros(1)


def test_an_adapter_learns_on_another_runs_transformer(data, codec, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "judge", lambda *_: {"score": 0.0})
    recipe = Recipe(steps=AVERAGE_EVERY, batch=4, judge_every=AVERAGE_EVERY, save_every=AVERAGE_EVERY, warm_up=1)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    train(data, data, codec, first, recipe, adapter=ablated_config("none"), runtime=Runtime())
    both = ablated_config("both")
    base = first / "best.pt"
    train(data, data, codec, second, recipe, adapter=both, base=base, runtime=Runtime())
    before, after = (torch.load(folder / "state.pt", weights_only=True)["model"] for folder in (first, second))
    best = torch.load(base, weights_only=True)
    assert all(torch.equal(best[name], after[name]) for name in before if name.startswith("network."))
    moved = [name for name, value in after.items() if "mixers" in name and name.endswith("up.weight") and value.any()]
    assert moved


def test_weights_are_trained_on_in_their_own_codec(tmp_path, capsys) -> None:
    from pavas_core.cli import main

    run = tmp_path / "run"
    run.mkdir()
    (run / "best.pt").write_bytes(b"")
    command = ["train", "nano", "--out", str(tmp_path / "new"), "--start", str(run / "best.pt")]
    assert main(command) != 0
    assert "codec.safetensors does not exist" in capsys.readouterr().err
    assert main([*command, "--base", str(run / "best.pt")]) != 0
    assert "exclude each other" in capsys.readouterr().err
    assert main([*command, "--rate", "2"]) != 0
    assert "--rate is 2" in capsys.readouterr().err
    assert main(["train", "impacts", "--out", str(tmp_path), "--rate", "0.1"]) != 0
    assert "--rate belongs to nano" in capsys.readouterr().err
