"""How well estimated physics agrees with the truth of simulated clips.

``python -m pavas_core simulate --score --count 60 --seed 10000`` prints it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from pavas_core.physics.types import Impact, Mass, MassSet, Scene, Track, TrackSet
from pavas_core.runtime import Runtime
from pavas_core.simulation.clip_files import write_clip
from pavas_core.simulation.simulate import SimulatedClip, simulate
from pavas_core.simulation.truth import Partner

IMPACT_TOLERANCE_S = 0.04
WEAKEST_MPS = 0.3
APART_S = 0.12
OVERLAP = 0.25
"""Boxes count as the same thing from this intersection over union."""
OWN_SHARE = 0.4
"""Share of an estimated track's frames that must lie on a true object for it to be explained by it."""
_SEEN_S = 0.15
_SEEN_WIDTH = 0.012
"""A true object must be seen moving at least this long and this far (fraction of the width) to be asked for."""


class KnownClip(Protocol):
    """What must be known of a clip to score an estimate of it; the simulator's clips have it."""

    @property
    def seed(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def scene(self) -> Scene:
        """Truth, with its tracks."""

    @property
    def visible(self) -> tuple[bool, ...]:
        """Per impact of the scene: it happens in the picture."""

    @property
    def partners(self) -> tuple[Partner | None, ...]:
        """Per impact: the speeds of what was hit where that moves too."""

    @property
    def metres_per_px(self) -> float: ...


@dataclass(frozen=True)
class ClipScore:
    """Counts and errors of one clip."""

    seed: int
    kind: str
    wanted: int
    found: int
    false: int
    impacts: int
    hits: int
    extra: int
    pre_errors: tuple[float, ...]
    """Relative errors of the total speed just before each hit impact, of the objects that take part."""
    post_errors: tuple[float, ...]
    energy_ratios: tuple[float, ...]
    """Estimated over true kinetic-energy loss."""
    timing_s: tuple[float, ...] = ()
    missed: tuple[str, ...] = ()
    """Ids of true objects not found."""


@dataclass(frozen=True)
class Bar:
    """One figure that must be reached."""

    name: str
    value: float
    bar: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.value >= self.bar if self.at_least else self.value <= self.bar


@dataclass(frozen=True)
class Report:
    """All clips' scores."""

    clips: tuple[ClipScore, ...]
    bars: tuple[Bar, ...] = field(default=())

    def text(self) -> str:
        """Table of kinds, then of bars."""
        lines = [f"{'kind':<12}{'clips':>6}{'recall':>8}{'false':>7}{'F1':>7}{'pre %':>7}{'post %':>8}{'energy':>8}"]
        for kind in sorted({clip.kind for clip in self.clips}):
            part = summary([clip for clip in self.clips if clip.kind == kind])
            count = sum(clip.kind == kind for clip in self.clips)
            lines.append(
                f"{kind:<12}{count:>6}{part['recall']:>8.2f}{part['false']:>7.2f}{part['f1']:>7.2f}"
                f"{100 * part['pre']:>7.1f}{100 * part['post']:>8.1f}{part['energy']:>8.2f}"
            )
        lines.append("")
        for bar in self.bars:
            sign = ">=" if bar.at_least else "<="
            lines.append(f"{'met ' if bar.met else 'MISS'}  {bar.name:<52}{bar.value:>8.3f}  {sign} {bar.bar:g}")
        return "\n".join(lines)


def score_clip(sim: KnownClip, estimate: Scene) -> ClipScore:
    """Compare one estimated scene with the truth.

    Estimated objects belong to the true object whose box theirs overlaps in most of their frames. Impacts are asked
    for where they can be seen, close at 0.3 m/s or more and do not follow another of the same object within 120 ms; an
    estimated impact at any true contact of that object is not an extra, nor is one slower than 0.3 m/s. Speeds after
    an impact, and its energy, are compared where no other follows within 120 ms.
    """
    truth = sim.scene
    assert truth.tracks is not None
    estimated = estimate.tracks.tracks if estimate.tracks is not None else ()
    owner, false = _assign(truth.tracks, estimate.tracks)
    wanted = [body.object.id for body in truth.bodies if _is_wanted(sim, body.object.id)]
    found = {true_id for track in estimated if (true_id := owner.get(track.object_id)) is not None}
    missed = tuple(name for name in wanted if name not in found)
    asked = [i for i, impact in enumerate(truth.impacts) if sim.visible[i] and is_asked(impact, truth.impacts)]
    pairs, extra = _match(truth.impacts, set(asked), estimate.impacts, owner)
    pre, post, energy, timing = [], [], [], []
    for index, other in pairs:
        true = truth.impacts[index]
        partner = sim.partners[index]
        timing.append(other.time_s - true.time_s)
        if owner.get(other.object_id) == true.object_id:
            speeds = true.pre_speed_mps, true.post_speed_mps
        elif partner is not None:
            speeds = partner.pre_speed_mps, partner.post_speed_mps
        else:
            continue
        if speeds[0] >= WEAKEST_MPS:
            pre.append(abs(other.pre_speed_mps - speeds[0]) / speeds[0])
        if is_followed(true, truth.impacts):
            continue
        if speeds[1] >= WEAKEST_MPS:
            post.append(abs(other.post_speed_mps - speeds[1]) / speeds[1])
        kinetic = 0.5 * _mass(truth, true.object_id) * true.pre_speed_mps**2
        if true.energy_loss_j > 0.02 * kinetic:
            energy.append(other.energy_loss_j / true.energy_loss_j)
    return ClipScore(
        sim.seed,
        sim.kind,
        len(wanted),
        len(wanted) - len(missed),
        false,
        len(asked),
        len(pairs),
        extra,
        tuple(pre),
        tuple(post),
        tuple(energy),
        tuple(timing),
        missed,
    )


def summary(clips: list[ClipScore]) -> dict[str, float]:
    """Pooled figures: recall, false objects a clip, F1, median speed errors, share of energies within x1.5."""
    wanted, found = sum(c.wanted for c in clips), sum(c.found for c in clips)
    asked, hits = sum(c.impacts for c in clips), sum(c.hits for c in clips)
    extra = sum(c.extra for c in clips)
    pre, post = np.array([e for c in clips for e in c.pre_errors]), np.array([e for c in clips for e in c.post_errors])
    energy = np.array([r for c in clips for r in c.energy_ratios])
    within = (energy >= 1 / 1.5) & (energy <= 1.5)
    return {
        "recall": found / wanted if wanted else 1.0,
        "false": sum(c.false for c in clips) / max(len(clips), 1),
        "f1": 2 * hits / (asked + hits + extra) if asked + hits + extra else 1.0,
        "pre": float(np.median(pre)) if pre.size else float("nan"),
        "post": float(np.median(post)) if post.size else float("nan"),
        "energy": float(within.mean()) if energy.size else float("nan"),
    }


def report(clips: Iterable[ClipScore]) -> Report:
    """Figures against the bars of this stage."""
    clips = tuple(clips)
    total = summary(list(clips))
    bars = (
        Bar("moving objects found", total["recall"], 0.95, True),
        Bar("false objects a clip", total["false"], 0.2, False),
        Bar("median error of the speed before an impact", total["pre"], 0.10, False),
        Bar("median error of the speed after an impact", total["post"], 0.10, False),
        Bar("impacts whose energy loss is within x1.5", total["energy"], 0.80, True),
        Bar("F1 of impacts at 40 ms", total["f1"], 0.90, True),
    )
    return Report(clips, bars)


Estimator = Callable[[Path, SimulatedClip], Scene]


def run(
    seeds: Iterable[int],
    *,
    kind: str | None = None,
    estimator: Estimator | None = None,
    runtime: Runtime | None = None,
) -> Report:
    """Simulate, render, compress, estimate and score the clips of ``seeds``, of one ``kind`` of scene or all."""
    runtime, estimator = runtime or Runtime(), estimator or estimate_clip
    seeds = list(seeds)
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        for done, seed in enumerate(seeds):
            runtime.step("score", done, len(seeds))
            sim = simulate(seed, kind=kind)
            path = write_clip(sim, Path(folder) / f"{seed}.mp4")
            scores.append(score_clip(sim, estimator(path, sim)))
            path.unlink()
    return report(scores)


def estimate_clip(path: Path, sim: KnownClip) -> Scene:
    """The weight-free estimators on a file, told the true metres per pixel and the true masses of what they find."""
    from pavas_core.estimation.masses import default_masses
    from pavas_core.estimation.planar.velocity import planar_velocity
    from pavas_core.estimation.tracking.motion import detect_motion, track_motion
    from pavas_core.physics.combine import combine_physics
    from pavas_core.video.clip import open_clip

    clip = open_clip(path)
    objects = detect_motion(clip)
    tracks = track_motion(clip, objects)
    velocities = planar_velocity(tracks, objects, metres_per_px=sim.metres_per_px)
    masses = default_masses(objects, velocities).masses
    assert sim.scene.tracks is not None
    owner = owners(sim.scene.tracks, tracks)
    for name, true_id in owner.items():
        if true_id is not None:
            mass = _mass(sim.scene, true_id)
            masses[name] = Mass(mass, mass, mass, "simulation")
    return combine_physics(objects, tracks, MassSet(masses), velocities)


def _mass(scene: Scene, object_id: str) -> float:
    return next(body.mass.mass_kg for body in scene.bodies if body.object.id == object_id)


def _is_wanted(sim: KnownClip, object_id: str) -> bool:
    tracks = sim.scene.tracks
    assert tracks is not None
    track = next(t for t in tracks.tracks if t.object_id == object_id)
    still = _steady(track, tracks)
    seen = track.visible & ~track.truncated
    if seen.sum() < 3:
        # a tool may touch the border all the time
        seen = track.visible
    if seen.sum() < 3 or seen.sum() * tracks.frame_s < _SEEN_S:
        return False
    return bool(np.ptp(still[seen], axis=0).max() > _SEEN_WIDTH * tracks.width)


def _steady(track: Track, tracks: TrackSet) -> np.ndarray:
    """Centroids in the first frame's pixels."""
    if tracks.camera is None:
        return track.centroids
    return np.einsum("lij,lj->li", tracks.camera[:, :, :2], track.centroids) + tracks.camera[:, :, 2]


def owners(truth: TrackSet, estimate: TrackSet | None) -> dict[str, str | None]:
    """The true object that each estimated track follows, None for false and double ones."""
    return _assign(truth, estimate)[0]


def _assign(truth: TrackSet, estimate: TrackSet | None) -> tuple[dict[str, str | None], int]:
    """True id (or None) of every estimated track, and how many estimated objects are false or double."""
    owner: dict[str, str | None] = {}
    taken: dict[str, list[np.ndarray]] = {}
    false = 0
    if estimate is None:
        return owner, 0
    index = np.clip(np.searchsorted(truth.times_s, estimate.times_s), 1, len(truth.times_s) - 1)
    index -= (estimate.times_s - truth.times_s[index - 1]) < (truth.times_s[index] - estimate.times_s)
    scored = []
    for track in estimate.tracks:
        shares = {true.object_id: _overlap(true, track, index) for true in truth.tracks}
        best = max(shares, key=lambda name: shares[name], default=None)
        good = best is not None and shares[best] >= OWN_SHARE
        scored.append((int(track.visible.sum()) if good else -1, track, best if good else None))
    for _, track, best in sorted(scored, key=lambda entry: -entry[0]):
        if best is not None:
            mine = track.visible
            others = taken.setdefault(best, [])
            if any((mine & other).sum() > 0.3 * mine.sum() for other in others):
                best = None
            else:
                others.append(mine)
        owner[track.object_id] = best
        false += best is None
    return owner, false


def _overlap(true: Track, track: Track, index: np.ndarray) -> float:
    """Share of the estimated track's frames in which it lies on the true object."""
    mine = track.visible
    if not mine.any():
        return 0.0
    a, b = true.boxes[index][mine], track.boxes[mine]
    with np.errstate(invalid="ignore"):
        width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
        height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
        common = np.clip(width, 0, None) * np.clip(height, 0, None)
        area_a, area_b = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]), (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        on = common / (area_a + area_b - common) >= OVERLAP
    return float(np.mean(np.where(np.isnan(a[:, 0]), False, on)))


def is_asked(impact: Impact, impacts: tuple[Impact, ...]) -> bool:
    """Hard enough, and not the chatter after another impact of the same object."""
    if impact.pre_normal_mps < WEAKEST_MPS:
        return False
    return not any(0.0 <= impact.time_s - other.time_s < APART_S for other in _relatives(impact, impacts))


def is_followed(impact: Impact, impacts: tuple[Impact, ...]) -> bool:
    """Another impact of the same object comes so soon that no speed can be told in between."""
    return any(0.0 <= other.time_s - impact.time_s < APART_S for other in _relatives(impact, impacts))


def _relatives(impact: Impact, impacts: tuple[Impact, ...]) -> list[Impact]:
    mine = {impact.object_id, impact.partner} - {None}
    return [
        other
        for other in impacts
        if other is not impact and mine & {other.object_id, other.partner} and other.pre_normal_mps > 0.1
    ]


def _match(
    truth: tuple[Impact, ...], asked: set[int], estimate: tuple[Impact, ...], owner: dict[str, str | None]
) -> tuple[list[tuple[int, Impact]], int]:
    """(asked true index, estimated impact) pairs, nearest in time first, and the number of extra estimated impacts."""
    near = []
    for j, other in enumerate(estimate):
        mapped = {owner.get(other.object_id), owner.get(other.partner) if other.partner else None} - {None}
        for i, impact in enumerate(truth):
            late = abs(other.time_s - impact.time_s)
            if late <= IMPACT_TOLERANCE_S and mapped & {impact.object_id, impact.partner}:
                near.append((i not in asked, late, i, j))
    pairs: list[tuple[int, Impact]] = []
    used_true: set[int] = set()
    used: set[int] = set()
    for spare, _, i, j in sorted(near):
        if j in used or (not spare and i in used_true):
            continue
        used.add(j)
        if not spare:
            used_true.add(i)
            pairs.append((i, estimate[j]))
    extra = sum(j not in used and other.pre_normal_mps >= WEAKEST_MPS for j, other in enumerate(estimate))
    return pairs, extra
