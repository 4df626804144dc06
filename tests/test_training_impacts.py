"""Training the scorer of impacts: imitated tracks, their labels, and a tiny training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pavas_core.estimation.planar.scorer import OFFSET_S, response
from pavas_core.estimation.planar.signals import COLUMNS
from pavas_core.runtime import Runtime
from pavas_core.simulation.simulate import SimulatedClip, simulate
from pavas_core.training.imitated import altered, hidden, imitate
from pavas_core.training.impact_examples import Example, imitated_examples, tracked_examples
from pavas_core.training.impacts import ImpactRecipe, fit, judge, train_impacts


@pytest.fixture(scope="module")
def sim() -> SimulatedClip:
    return simulate(3, kind="drop", width=320, height=240, frame_rate=30.0, duration_s=2.5, mask_long_side=96)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [one for seed in range(1000, 1006) for one in imitated_examples(seed)]


def test_imitated_tracks_follow_their_bodies(sim: SimulatedClip) -> None:
    true = sim.scene.tracks
    assert true is not None
    names = {track.object_id: track for track in true.tracks}
    followed = 0
    for seed in range(4):
        tracks, owner = imitate(sim, np.random.default_rng(seed))
        for track in tracks.tracks:
            body = owner[track.object_id]
            if body is None:
                continue
            both = track.visible & names[body].visible
            gap = np.hypot(*(track.centroids - names[body].centroids)[both].T)
            assert np.median(gap) < 0.05 * true.width
            followed += 1
    assert followed >= 3


def test_imitation_is_drawn_from_its_seed_alone(sim: SimulatedClip) -> None:
    first, second = (imitate(sim, np.random.default_rng(5)) for _ in range(2))
    assert first[1] == second[1]
    for a, b in zip(first[0].tracks, second[0].tracks, strict=True):
        np.testing.assert_array_equal(a.centroids, b.centroids)
        np.testing.assert_array_equal(a.flow_px_s, b.flow_px_s)


def test_what_is_hidden_is_nowhere(sim: SimulatedClip) -> None:
    tracks, _ = imitate(sim, np.random.default_rng(1))
    gone = hidden(tracks.tracks[0], np.zeros(len(tracks.times_s), bool))
    assert not gone.visible.any()
    assert np.isnan(gone.boxes).all()
    assert np.isnan(gone.flow_px_s).all()


def test_what_stops_goes_with_its_track(sim: SimulatedClip) -> None:
    true = sim.scene.tracks
    assert true is not None
    count = len(true.times_s)
    stops = np.tile(np.array([0.5, 2e-3, 0.1], np.float32), (count, 1))
    tracks = replace(true, tracks=(replace(true.tracks[0], stops=stops),))
    seen = np.arange(count) < count // 2
    told = hidden(tracks.tracks[0], seen).stops
    assert told is not None
    shown = tracks.tracks[0].visible & seen
    assert np.isnan(told[count // 2 + 1 :]).all()
    np.testing.assert_array_equal(told[shown], stops[shown])
    kept = 0
    for seed in range(12):
        other, slower = altered(tracks, np.random.default_rng(seed))
        for track in other.tracks:
            if track.stops is None:
                continue
            kept += 1
            assert len(track.stops) == len(other.times_s)
            known = np.isfinite(track.stops[:, 1])
            assert np.median(track.stops[known, 1]) * slower == pytest.approx(2e-3, rel=0.1)
            assert ((track.stops[known, 0] >= 0) & (track.stops[known, 0] <= 1)).all()
    assert kept >= 3


def test_a_slowed_clip_lasts_longer(sim: SimulatedClip) -> None:
    tracks, _ = imitate(sim, np.random.default_rng(1))
    for seed in range(6):
        other, slower = altered(tracks, np.random.default_rng(seed))
        assert other.duration_s == pytest.approx(slower * tracks.duration_s)
        lengths = {len(t.visible) for t in other.tracks} | {len(other.times_s)}
        assert len(lengths) == 1
        assert all(t.flow_px_s is None or len(t.flow_px_s) == len(other.times_s) - 1 for t in other.tracks)


def test_true_tracks_are_hit_where_the_truth_says(sim: SimulatedClip) -> None:
    true = sim.scene.tracks
    assert true is not None
    made = tracked_examples(sim, replace(true, tracks=true.tracks[:1]))
    first = made[0]
    name = true.tracks[0].object_id
    hits = [i.time_s for i in sim.scene.impacts if name in (i.object_id, i.partner) and i.pre_normal_mps >= 0.3]
    grid = true.times_s[0] + np.arange(len(first.hit)) / 60
    marked = grid[(first.hit > 0) & (first.weight > 0)]
    assert len(marked)
    assert all(np.abs(np.array(hits) - t).min() <= OFFSET_S + 0.002 for t in marked)
    on = first.hit > 0
    np.testing.assert_array_less(np.abs(first.offset[on]), OFFSET_S + 0.002)


def test_a_little_training_helps(examples: list[Example]) -> None:
    untrained, _ = fit([], examples, [], ImpactRecipe(steps=1, batch=8), Runtime())
    trained, scores = fit([], examples, examples, ImpactRecipe(steps=30, batch=8), Runtime())
    before = judge(untrained, examples)
    assert scores == judge(trained, examples)
    assert scores["cross_entropy"] < 0.5 * before["cross_entropy"]


def test_a_seed_gives_one_network_and_numpy_evaluates_it(examples: list[Example]) -> None:
    import torch

    recipe = ImpactRecipe(steps=3, batch=4)
    first, _ = fit([], examples, [], recipe, Runtime())
    second, _ = fit([], examples, [], recipe, Runtime())
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    x = examples[0].features.astype(np.float32)
    members = list(first.members.children())
    assert len(members) == recipe.members
    assert not torch.equal(members[0].out.bias, members[1].out.bias)
    weights = [{name: value.numpy() for name, value in one.state_dict().items()} for one in members]
    with torch.no_grad():
        wanted = first(torch.from_numpy(x.T[None]))[0].numpy().T
    np.testing.assert_allclose(response(x, weights), wanted, atol=1e-4)


def test_the_job_goes_on_where_it_was(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file

    recipe = ImpactRecipe(steps=2, batch=4)
    written = train_impacts(tmp_path, recipe, imitated=4, tracked=0, runtime=Runtime())
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "imitated").iterdir()}
    first = load_file(written)
    second = load_file(train_impacts(tmp_path, recipe, imitated=4, tracked=0, runtime=Runtime()))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "imitated").iterdir()} == stamps
    with safe_open(str(written), "numpy") as file:
        facts = file.metadata()
    assert tuple(json.loads(facts["columns"])) == COLUMNS
    assert json.loads(facts["recipe"])["imitated_scenes"] == 4


def test_the_command_refuses_what_belongs_to_nano(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pavas_core.cli import main

    assert main(["train", "impacts", "--out", str(tmp_path), "--ablate", "mass"]) != 0
    assert main(["train", "impacts", "--out", str(tmp_path), "--tracked", "-1"]) != 0
    told = capsys.readouterr().err
    assert "--ablate belongs to nano" in told
    assert "--tracked is -1" in told
