"""Contacts that last: when what rolls or slides lies on what carries it, and how fast it goes there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from pavas_core.physics.resample import impact_times_s
from pavas_core.physics.types import GRAVITY_MPS2, Body, Impact, Scene

Manner = Literal["rolls", "slides"]

_WORDS: dict[Manner, re.Pattern[str]] = {
    "rolls": re.compile(r"\broll(?:s|ed|ing)?\b", re.IGNORECASE),
    "slides": re.compile(
        r"\b(?:slid(?:e|es|ing)?|scrap(?:e|es|ed|ing)|drag(?:s|ged|ging)?|skid(?:s|ded|ding)?|scratch(?:es|ed|ing)?)\b",
        re.IGNORECASE,
    ),
}
_SHORTEST_S = 0.1
_GAP_S = 0.2
"""What is out of sight for no longer than this went on meanwhile."""
_RESTS_MPS = 0.02
"""Slower than this, what is measured is the noise of the outline."""
_FALLS = 0.5
"""Of gravity: what gains more downward speed than this flies; a slope of 45 degrees gives a rolling ball 0.36."""
_FIT_S = 0.15
"""A change of speed is told over this long."""


@dataclass(frozen=True)
class LastingContact:
    """One object on what carries it for a while."""

    object_id: str
    manner: Manner
    times_s: np.ndarray
    """float64 [K], increasing."""
    speed_mps: np.ndarray
    """float64 [K], speed along what carries it."""
    across: np.ndarray
    """float64 [K], horizontal place in the picture (0 left .. 1 right)."""


def manner_of(action: str) -> Manner | None:
    """How an object touches what carries it, from words such as ``rolling down a ramp``; None where they do not say."""
    return next((manner for manner, words in _WORDS.items() if words.search(action)), None)


def find_lasting_contacts(scene: Scene) -> tuple[LastingContact, ...]:
    """Whenever an object whose action says that it rolls or slides moves, is seen, and does not fly.

    It flies where its downward speed grows as in a fall, and after a bounce until gravity has brought it back; where
    no directions are known, as of a curve drawn by hand, it never does, nor where it slides and was not seen to fly:
    what scrubs a wall goes down as fast.
    """
    found = []
    for body in scene.bodies:
        manner = manner_of(body.object.action)
        if manner is not None:
            found += _contacts(scene, body, manner)
    return tuple(found)


def _contacts(scene: Scene, body: Body, manner: Manner) -> list[LastingContact]:
    times, speed = body.velocity.times_s, body.velocity.speed_mps.astype(float)
    known = np.isfinite(speed)
    touches = known & (np.nan_to_num(speed) >= _RESTS_MPS) & ~_flies(scene, body, manner)
    touching = np.flatnonzero(touches)
    # Out of sight for a moment is no end of a contact; a rest or a flight is.
    ended = np.diff(np.cumsum(known & ~touches)[touching]) > 0
    parts = np.split(touching, np.flatnonzero(ended | (np.diff(times[touching]) > _GAP_S)) + 1)
    return [
        LastingContact(body.object.id, manner, times[part], speed[part], _across(scene, body.object.id, times[part]))
        for part in parts
        if len(part) > 1 and times[part[-1]] - times[part[0]] >= _SHORTEST_S
    ]


def _flies(scene: Scene, body: Body, manner: Manner) -> np.ndarray:
    """bool [L-1]: the object touches nothing in this interval."""
    velocity = body.velocity
    times, flies = velocity.times_s, np.zeros(len(velocity.times_s), bool)
    if velocity.vector_mps is None or (manner == "slides" and not velocity.free):
        return flies
    gravity = GRAVITY_MPS2 * scene.time_scale
    for impact in scene.impacts:
        if body.object.id == impact.object_id:
            # What it met was pushed the other way, onto what carries it.
            flies |= (times >= impact.time_s) & (times < impact.time_s + _hop_s(impact, gravity))
    edges = [-np.inf, *impact_times_s(scene, body.object.id), np.inf]
    downward = velocity.vector_mps[:, 1]
    for start, stop in pairwise(edges):
        inside = np.flatnonzero((times > start) & (times < stop) & np.isfinite(downward))
        for i in inside:
            near = inside[np.abs(times[inside] - times[i]) <= _FIT_S / 2]
            if len(near) > 1 and np.polyfit(times[near] - times[i], downward[near], 1)[0] > _FALLS * gravity:
                flies[i] = True
    return flies


def _hop_s(impact: Impact, gravity_mps2: float) -> float:
    """How long the object stays in the air after a bounce off something level, seconds."""
    upward = impact.post_normal_mps * max(0.0, -impact.normal[1])
    return 2.0 * upward / gravity_mps2


def _across(scene: Scene, object_id: str, times_s: np.ndarray) -> np.ndarray:
    """Horizontal place [K] as a fraction of the width; the middle where there is no track."""
    tracks = scene.tracks
    for track in tracks.tracks if tracks else ():
        seen = np.isfinite(track.centroids[:, 0])
        if tracks and track.object_id == object_id and seen.any():
            places = np.interp(times_s, tracks.times_s[seen], track.centroids[seen, 0])
            return np.clip(places / scene.width, 0.0, 1.0)
    return np.full(len(times_s), 0.5)
