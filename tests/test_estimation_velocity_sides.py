"""Speeds on either side of a contact when one way of seeing them fails."""

from __future__ import annotations

import numpy as np
import pytest

from pavas_core.estimation.planar.scorer import Peak
from pavas_core.estimation.planar.sides import told_anew
from pavas_core.physics.types import Break, TrackSet
from tests.planar_tracks import make_track, make_tracks

RATE = 30.0
CONTACT_S = 0.41
BEFORE_PX_S, AFTER_PX_S = 600.0, -400.0
METRES_PER_PX = 0.005


def _tracks(flow_share: float) -> TrackSet:
    """A disc that comes down and is thrown back up, and a flow that sees a share of its speed."""
    times_s = np.arange(24) / RATE
    since = times_s - CONTACT_S
    y = 180.0 + np.where(since < 0, BEFORE_PX_S, AFTER_PX_S) * since
    middles = (times_s[1:] + times_s[:-1]) / 2
    flow = np.stack([np.zeros(23), flow_share * np.where(middles < CONTACT_S, BEFORE_PX_S, AFTER_PX_S)], axis=1)
    return make_tracks(times_s, make_track("ball-1", np.stack([np.full(24, 320.0), y], axis=1), 50.0, flow=flow))


def _break(sigma: float) -> Break:
    """Down at 200 and up at 100 pixels a second."""
    down, up = 200.0 * METRES_PER_PX, -100.0 * METRES_PER_PX
    return Break(CONTACT_S, 0.01, (320.0, 180.0), (0.0, down, 0.0), (0.0, up, 0.0), sigma * down, 0.9)


def _told(tracks: TrackSet, peak: Peak | None, sigma: float = 0.25) -> tuple[float, float]:
    track = tracks.tracks[0]
    one = told_anew(_break(sigma), peak, track.centroids, track, tracks, METRES_PER_PX)
    assert one.pre_mps[0] == one.post_mps[0] == 0.0
    return one.pre_mps[1] / METRES_PER_PX, one.post_mps[1] / METRES_PER_PX


@pytest.mark.parametrize("heard_share", [0.5, 1.0])
def test_what_is_rough_has_the_speeds_that_the_scorer_hears(heard_share: float) -> None:
    """Box and flow agree on the ball's speed where foot and ball are one outline."""
    peak = Peak(CONTACT_S, 0.9, heard_share * BEFORE_PX_S / 640, heard_share * -AFTER_PX_S / 640)
    before, after = _told(_tracks(1.0), peak)
    assert before == pytest.approx(heard_share * BEFORE_PX_S)
    assert after == pytest.approx(heard_share * AFTER_PX_S)


@pytest.mark.parametrize(("flow_share", "heard_share"), [(1.0, 0.5), (0.3, 3.0), (0.3, 1.0)])
def test_a_scorer_that_errs_is_outvoted_by_box_and_sure_break(flow_share: float, heard_share: float) -> None:
    down, up = BEFORE_PX_S * METRES_PER_PX, AFTER_PX_S * METRES_PER_PX
    sure = Break(CONTACT_S, 0.01, (320.0, 180.0), (0.0, down, 0.0), (0.0, up, 0.0), 0.05 * down, 0.9)
    peak = Peak(CONTACT_S, 0.9, heard_share * BEFORE_PX_S / 640, heard_share * -AFTER_PX_S / 640)
    tracks = _tracks(flow_share)
    one = told_anew(sure, peak, tracks.tracks[0].centroids, tracks.tracks[0], tracks, METRES_PER_PX)
    assert one.pre_mps[1] == pytest.approx(down, rel=0.05)
    assert one.post_mps[1] == pytest.approx(up, rel=0.05)


def test_a_contact_that_the_scorer_does_not_hear_is_told_by_box_and_flow() -> None:
    before, after = _told(_tracks(0.5), None)
    assert before == pytest.approx(0.75 * BEFORE_PX_S, rel=0.05)
    assert after == pytest.approx(0.75 * AFTER_PX_S, rel=0.05)


def test_speeds_that_are_sure_stay_unless_box_and_scorer_speak_against_them() -> None:
    assert _told(_tracks(1.0), None, sigma=0.05) == pytest.approx((200.0, -100.0))
    as_told = Peak(CONTACT_S, 0.9, 200.0 / 640, 100.0 / 640)
    assert _told(_tracks(1.0), as_told, sigma=0.05) == pytest.approx((200.0, -100.0))
    as_the_box = Peak(CONTACT_S, 0.9, BEFORE_PX_S / 640, -AFTER_PX_S / 640)
    assert _told(_tracks(0.3), as_the_box, sigma=0.05) == pytest.approx((BEFORE_PX_S, AFTER_PX_S), rel=0.05)
