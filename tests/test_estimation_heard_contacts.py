"""What becomes of a contact that the scorer hears where the fits show it at another time, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from pavas_core.estimation.planar import hits
from pavas_core.estimation.planar.scorer import Peak
from pavas_core.physics.types import Break, Velocity
from tests.planar_tracks import make_track, make_tracks

HIT_S = 0.5
TIMES_S = np.arange(0, 1, 1 / 30)
MIDDLES_S = (TIMES_S[1:] + TIMES_S[:-1]) / 2
DOWN = np.stack([np.full(30, 320.0), 300.0 - 400.0 * np.abs(TIMES_S - HIT_S)], axis=1)


def _judged(
    monkeypatch: pytest.MonkeyPatch,
    heard_s: float,
    *fits: Break,
    free: bool = False,
    seen: np.ndarray | None = None,
    probability: float = 0.95,
    path: np.ndarray = DOWN,
) -> list[Break]:
    """The breaks of a body, that falls and is thrown back unless told otherwise, heard at ``heard_s``."""
    peak = Peak(heard_s, probability, 400.0 / 640, 400.0 / 640)
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [[peak]])
    tracks = make_tracks(TIMES_S, make_track("hand-1", path, 40.0, seen))
    speed = np.ones(29, np.float32)
    velocity = Velocity("hand-1", MIDDLES_S, speed, None, None, fits, 0.005, "assumed", 0.4, 0.2, free)
    return list(
        hits.judged(tracks, [tracks.tracks[0].centroids.astype(float)], [True], [True], [velocity], 1.0)[0].breaks
    )


def _fit(time_s: float) -> Break:
    return Break(time_s, 0.002, (320.0, 300.0), (0.0, 2.0, 0.0), (0.0, -2.0, 0.0), 0.1, 0.9)


@pytest.mark.parametrize(("fit_s", "told_s"), [(0.508, 0.508), (0.535, HIT_S), (0.465, HIT_S)])
def test_the_fits_time_a_contact_unless_the_scorer_hears_it_at_another_time(
    monkeypatch: pytest.MonkeyPatch, fit_s: float, told_s: float
) -> None:
    (one,) = _judged(monkeypatch, HIT_S, _fit(fit_s))
    assert one.time_s == pytest.approx(told_s)
    assert one.pre_mps[1] == pytest.approx(2.0)


@pytest.mark.parametrize("side", [-1, 1])
def test_what_is_held_may_be_seen_on_one_side_of_its_contact_alone(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    seen = side * (TIMES_S - HIT_S) >= 0
    (one,) = _judged(monkeypatch, HIT_S, seen=seen)
    assert (one.pre_mps[0], one.post_mps[0]) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert (one.pre_mps[1], one.post_mps[1]) == pytest.approx((2.0, -2.0))
    assert _judged(monkeypatch, HIT_S, seen=seen, free=True) == []


@pytest.mark.parametrize(("probability", "contacts"), [(0.95, 0), (0.995, 1)])
def test_what_rolls_on_as_before_was_not_hit_unless_that_is_certain(
    monkeypatch: pytest.MonkeyPatch, probability: float, contacts: int
) -> None:
    rolling = np.stack([100.0 + 400.0 * TIMES_S, np.full(30, 300.0)], axis=1)
    assert len(_judged(monkeypatch, HIT_S, free=True, probability=probability, path=rolling)) == contacts
    assert len(_judged(monkeypatch, HIT_S, free=True, probability=probability)) == 1
