"""What tells objects from patches, doubles and specks; its training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pavas_core.cli import main
from pavas_core.estimation.tracking.bodies import Body
from pavas_core.estimation.tracking.falling import falls_freely
from pavas_core.estimation.tracking.judging import FEATURES, describe, judged, likelihood
from pavas_core.runtime import Runtime
from pavas_core.simulation.simulate import SimulatedClip, simulate
from pavas_core.training import objects
from pavas_core.training.regression import fit_logistic
from tests.planar_tracks import bounces, sampled
from tests.test_estimation_track_selection import GREEN, sighting

RATE, WIDTH, FRAMES = 30.0, 512, 60


def rolling(side: float = 40.0, start: float = 40.0, step: float = 6.0, count: int = 60, y: float = 150.0) -> Body:
    return Body([sighting(i, start + step * i, y, side**2) for i in range(count)])


def test_a_lone_body_is_an_object() -> None:
    body = rolling()
    assert judged([body], [], WIDTH, RATE, FRAMES) == [body]
    assert judged([], [], WIDTH, RATE, FRAMES) == []


def test_a_speck_that_rides_within_a_large_body_is_none() -> None:
    whole = rolling(100.0)
    speck = Body([sighting(i, 50 + 6 * i, 140, 30, GREEN) for i in range(10, 40)])
    assert judged([whole, speck], [], WIDTH, RATE, FRAMES) == [whole]


def test_of_doubles_one_is_kept() -> None:
    body, again = rolling(), Body([sighting(i, 42 + 6 * i, 152, 1500) for i in range(5, 40)])
    kept = judged([body, again], [], WIDTH, RATE, FRAMES)
    assert len(kept) == 1
    assert judged([again, body], [], WIDTH, RATE, FRAMES) == kept


def test_a_small_ball_that_plays_before_a_person_for_long_is_one() -> None:
    person = Body([sighting(i, 250 + 3 * np.sin(i / 9), 150, 190.0**2) for i in range(200)])
    ball = Body([sighting(i, 250, 150 + 70 * np.sin(i / 4), 90, GREEN) for i in range(200)])
    assert ball in judged([person, ball], [], WIDTH, RATE, 200)
    short = Body(ball.observations[:30])
    assert short not in judged([person, short], [], WIDTH, RATE, 200)


def dropped(**more) -> Body:
    """A ball ten pixels wide that falls 0.9 m and bounces, 80 pixels a metre."""
    path, _ = bounces(height_m=0.9, restitution=0.6, floor_m=2.0, duration_s=1.6, drift_mps=0.3)
    places = sampled(path, np.arange(48) / RATE, 80.0)
    return Body([sighting(i, float(x), float(y), 90, GREEN, **more) for i, (x, y) in enumerate(places)])


def test_what_falls_freely_is_one_however_small() -> None:
    person = Body([sighting(i, 350 + 60 * np.sin(i / 9), 150, 190.0**2) for i in range(60)])
    ball = dropped()
    assert falls_freely(ball, RATE)
    assert likelihood(describe([ball], [person], WIDTH, RATE, FRAMES))[0] < 0.5
    assert judged([person], [ball], WIDTH, RATE, FRAMES) == [person, ball]
    assert judged([person], [dropped(shadow=1.0)], WIDTH, RATE, FRAMES) == [person]
    assert len(judged([person, ball], [dropped()], WIDTH, RATE, FRAMES)) == 2


def test_what_is_waved_thrown_aside_or_seen_too_briefly_does_not_fall_freely() -> None:
    assert not falls_freely(Body([sighting(i, 250, 150 + 60 * np.sin(i / 4), 90) for i in range(60)]), RATE)
    assert not falls_freely(Body([sighting(i, 250 + 0.5 * i**2, 150 + 0.5 * i**2, 90) for i in range(20)]), RATE)
    assert not falls_freely(rolling(), RATE)
    assert not falls_freely(Body(dropped().observations[:11]), RATE)
    assert not falls_freely(Body(dropped().observations[::2]), RATE)


def test_the_form_of_what_the_border_cuts_is_told_by_all_its_sightings() -> None:
    cut = [sighting(i, 480, 100 + i, 2000, border=True, roundness=0.6, aspect=5.0) for i in range(58)]
    whole = [sighting(i, 440, 100 + i, 400) for i in range(58, 60)]
    assert not Body(cut + whole).round
    assert Body(cut[:10] + [sighting(i, 440, 100 + i, 2000) for i in range(10, 30)]).round


def test_what_the_rules_passed_over_counts_where_it_is_clearly_an_object() -> None:
    body, other = rolling(), rolling(y=60.0, step=4.0)
    assert judged([body], [other], WIDTH, RATE, FRAMES) == [body, other]
    assert judged([body], [Body(other.observations[:10])], WIDTH, RATE, FRAMES) == [body]
    at_rest = Body([sighting(i, 300, 60, 1600) for i in range(60)])
    again = Body([sighting(i, 42 + 6 * i, 152, 1500) for i in range(60)])
    whole = Body([sighting(i, 40 + 6 * i, 150, 8000) for i in range(60)])
    assert judged([body], [at_rest, again, whole], WIDTH, RATE, FRAMES) == [body]


def test_a_shadow_that_the_rules_passed_over_stays_none() -> None:
    body = rolling()
    for roundness, expected in ((0.6, False), (0.95, True)):
        shade = Body([sighting(i, 40 + 5 * i, 60, 1500, shadow=1.0, roundness=roundness) for i in range(60)])
        assert likelihood(describe([shade], [body], WIDTH, RATE, FRAMES))[0] > 0.5
        assert (shade in judged([body], [shade], WIDTH, RATE, FRAMES)) == expected


def test_features_are_named_and_finite() -> None:
    bodies = [rolling(), rolling(12.0, y=160.0, count=20), Body([sighting(i, 9.0, 9.0, 25) for i in range(3)])]
    told = describe(bodies, bodies, WIDTH, RATE, FRAMES)
    assert told.shape == (3, len(FEATURES))
    assert np.isfinite(told).all()
    likely = likelihood(told)
    assert likely[0] > 0.8
    assert ((likely > 0) & (likely < 1)).all()


def test_the_fit_finds_what_made_its_examples() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(2.0, 3.0, (40_000, 3))
    real = rng.random(40_000) < 1 / (1 + np.exp(-(1.5 * x[:, 0] - 0.8 * x[:, 1] - 0.5)))
    weights, bias = fit_logistic(x, real, ridge=10.0)
    assert np.allclose(weights, [1.5, -0.8, 0.0], atol=0.1)
    assert abs(bias + 0.5) < 0.2


def test_training_writes_weights_of_the_shipped_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(seed: int) -> SimulatedClip:
        return simulate(seed, kind="drop", width=192, height=144, frame_rate=24.0, duration_s=1.2, mask_long_side=96)

    monkeypatch.setattr(objects, "tracked_clip", small)
    path = objects.train_objects(tmp_path, scenes=2, runtime=Runtime())
    stored = json.loads(path.read_text())
    assert list(stored["weights"]) == list(FEATURES)
    assert "2 simulated clips" in stored["fitted_on"]


def test_objects_take_no_ablation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "objects", "--out", str(tmp_path), "--ablate", "mass"]) == 2
    assert "belongs to nano" in capsys.readouterr().err


def test_the_thread_of_a_pendulum_is_no_part_of_its_outline() -> None:
    sim = simulate(7, kind="pendulum", width=320, height=240, frame_rate=15.0, duration_s=1.0, mask_long_side=320)
    assert sim.scene.tracks is not None
    box = sim.scene.tracks.tracks[0].boxes[0]
    reach_px = 2 * sim.played.motions[0].actor.solid.reach / sim.metres_per_px
    assert max(box[2] - box[0], box[3] - box[1]) < 1.3 * reach_px + 4
