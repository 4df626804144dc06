"""What swings turns all the time: a contact must stand out from that."""

from __future__ import annotations

import numpy as np
import pytest

from pavas_core.estimation.planar.sudden import is_sudden
from tests.planar_tracks import make_track, make_tracks

RATE = 24.0
TIMES_S = np.arange(72) / RATE


def told(points: np.ndarray, time_s: float, visible: np.ndarray | None = None) -> bool:
    track = make_track("object-1", points, 30.0, visible)
    return is_sudden(track.centroids.astype(float), track, make_tracks(TIMES_S[: len(points)], track), time_s)


def pendulum(times_s: np.ndarray) -> np.ndarray:
    angle = 0.6 * np.sin(2 * np.pi * times_s / 1.5)
    return 300 * np.stack([1 + np.sin(angle), np.cos(angle)], axis=-1)


@pytest.mark.parametrize("time_s", [0.65, 0.75, 0.85, 1.4, 1.5, 1.6, 2.15, 2.25, 2.35])
def test_a_pendulum_at_its_fastest_turns_no_more_than_around(time_s: float) -> None:
    assert not told(pendulum(TIMES_S), float(time_s))


def test_a_pendulum_that_meets_a_wall_stands_out() -> None:
    """At the lowest point of its second swing it goes back the way that it came."""
    struck = 1.5
    way = np.where(struck > TIMES_S, TIMES_S, 2 * struck - TIMES_S)
    assert told(pendulum(way), struck)
    assert not told(pendulum(way), struck / 2)


def test_where_too_little_is_seen_it_is_believed() -> None:
    assert told(pendulum(TIMES_S[:3]), 0.05)
    assert told(pendulum(TIMES_S), 1.0, np.abs(TIMES_S - 1.0) < 0.1)
    assert told(pendulum(TIMES_S), 1.0, np.abs(TIMES_S - 1.0) > 0.2)
