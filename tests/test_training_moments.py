"""Fitting what weighs moments on clips whose blows are marked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pavas_core.cli import main
from pavas_core.errors import PavasError
from pavas_core.estimation.planar import velocity
from pavas_core.estimation.planar.moments import MEASURES, Moments
from pavas_core.runtime import Runtime
from pavas_core.simulation.clip_files import write_clip
from pavas_core.simulation.simulate import simulate
from pavas_core.training import moments
from pavas_core.training.moments import (
    SIMULATED_SEED,
    MarkedClip,
    marked,
    moment_examples,
    read_marks,
    simulated_examples,
    train_moments,
)
from pavas_core.training.regression import fit_logistic


def test_every_mark_takes_one_moment_and_what_is_near_is_left_out() -> None:
    times = np.array([0.2, 0.48, 0.56, 1.0, 1.52])
    blow, left_out = marked(times, (0.5, 3.0), (1.55,), 0.1)
    assert blow.tolist() == [False, True, False, False, False]
    assert left_out.tolist() == [False, False, True, False, True]
    assert marked(times, (0.5,), (), 0.03)[0].tolist() == [False, True, False, False, False]
    assert not marked(times, (), (), 0.1)[0].any()
    assert [len(x) for x in marked(np.zeros(0), (0.5,), (), 0.1)] == [0, 0]


def test_examples_that_count_more_pull_harder() -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    real = np.array([False, True, False, True])
    even, _ = fit_logistic(x, real, ridge=1.0)
    pulled, _ = fit_logistic(x, real, ridge=1.0, counts=np.array([1.0, 0.1, 0.1, 1.0]))
    assert pulled[0] > even[0] > 0
    twice, bias = fit_logistic(np.repeat(x, 2, axis=0), np.repeat(real, 2), ridge=1.0)
    counted = fit_logistic(x, real, ridge=1.0, counts=np.full(4, 2.0))
    np.testing.assert_allclose([*twice, bias], [*counted[0], counted[1]], rtol=1e-6)


def test_moments_of_a_clip_are_measured_and_its_blows_marked(tmp_path: Path) -> None:
    sim = simulate(81019)
    truth = tuple(impact.time_s for impact in sim.scene.impacts)
    path = write_clip(sim, tmp_path / "clip.mp4")
    measures, blow, counts = moment_examples(MarkedClip(path, truth))
    assert measures.shape == (len(blow), len(MEASURES))
    assert np.isfinite(measures).all()
    assert blow.any()
    assert counts[blow].sum() == pytest.approx(1.0)
    assert 0 < counts[~blow].sum() <= 1.0 + 1e-9


def test_a_simulated_clip_marks_the_contacts_of_the_thing_that_a_track_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sim = simulate(81019)
    assert sim.scene.tracks is not None
    struck = np.array([impact.time_s for impact in sim.scene.impacts])
    own = Moments(
        np.sort([*struck, *(struck + 0.1)]), *np.zeros((2, 2 * len(struck), 2)), np.zeros((2 * len(struck), 12))
    )
    hammer = next(track for track in sim.scene.tracks.tracks if track.object_id == sim.scene.impacts[0].object_id)
    monkeypatch.setattr(moments, "tracked_clip", lambda seed: sim)
    for name, follows in (("object-1", True), ("false-1", False)):
        seen = replace(hammer, object_id=name, boxes=hammer.boxes + (0.0 if follows else 9999.0))
        tracks = replace(sim.scene.tracks, tracks=(seen,))
        monkeypatch.setattr(moments, "tracks_seen", lambda sim, tracks=tracks: tracks)
        monkeypatch.setattr(velocity, "driven_moments", lambda tracks, name=name: {name: own})
        _, blow, counts = simulated_examples(81019)
        assert blow.sum() == (len(struck) if follows else 0)
        assert (~blow).sum() == len(struck)  # what may be a contact of something unknown is left out
        assert counts[blow].sum() == pytest.approx(1.0 if follows else 0.0)


def test_the_written_file_weighs_what_tells_blows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(clip: MarkedClip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(len(clip.blows_s) + 7)
        blow = np.arange(200) < 40 * len(clip.blows_s)
        measures = rng.normal(size=(200, len(MEASURES)))
        measures[:, MEASURES.index("stopped")] += 2.0 * blow
        return measures, blow, np.full(200, 0.05)

    def simulated(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.zeros((5, len(MEASURES))), np.arange(5) == seed - SIMULATED_SEED, np.full(5, 0.1)

    monkeypatch.setattr(moments, "moment_examples", drawn)
    monkeypatch.setattr(moments, "simulated_examples", simulated)
    clips = [MarkedClip(Path("a.mp4"), (0.5,)), MarkedClip(Path("b.mp4"), ())]
    stored = json.loads(train_moments(tmp_path, clips, scenes=3, runtime=Runtime()).read_text())
    assert set(stored["weights"]) == set(MEASURES)
    assert max(stored["weights"], key=lambda name: abs(stored["weights"][name])) == "stopped"
    assert "400 moments of 2 real clips, 40 of them" in stored["fitted_on"]
    assert "15 of 3 simulated clips, 3 of them" in stored["fitted_on"]


def test_a_list_of_clips_is_read_and_a_wrong_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "marks.json"
    path.write_text('[{"clip": "a.mp4", "blows_s": [1], "maybe_s": [2]}, {"clip": "b.mp4", "blows_s": []}]')
    assert read_marks(path) == [MarkedClip(tmp_path / "a.mp4", (1.0,), (2.0,)), MarkedClip(tmp_path / "b.mp4", ())]
    for wrong in ("nonsense", "{}", '[{"clip": "a.mp4"}]', '[{"clip": "a.mp4", "blows_s": [1]}]', "[3]"):
        path.write_text(wrong)
        with pytest.raises(PavasError, match=r"marks\.json"):
            read_marks(path)


def test_the_command_asks_for_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "moments", "--out", str(tmp_path)]) != 0
    assert "--marks" in capsys.readouterr().err


@pytest.mark.parametrize("idle", ["--steps", "--batch"])
def test_the_command_refuses_what_says_nothing_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], idle: str
) -> None:
    marks = tmp_path / "marks.json"
    marks.write_text('[{"clip": "a.mp4", "blows_s": [1]}, {"clip": "b.mp4", "blows_s": []}]')
    out = tmp_path / "run"
    assert main(["train", "moments", "--out", str(out), "--marks", str(marks), idle, "40"]) != 0
    assert idle in capsys.readouterr().err
    assert not out.exists()
