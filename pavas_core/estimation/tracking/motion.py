"""Moving objects of an ordinary video, without weights: background, regions, links, tracks.

Frames are taken at no more than 60 a second and 512 pixels; the camera's motion is removed; what differs
from a long and a short temporal median is linked from frame to frame; trails that really move become objects. Memory
is bounded by a window of a few seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.errors import MediaError
from pavas_core.estimation.ahead import ahead, watched
from pavas_core.estimation.tracking import camera, judging, outlines, resting, selection
from pavas_core.estimation.tracking.bodies import Body
from pavas_core.estimation.tracking.flow import FlowField
from pavas_core.estimation.tracking.linking import Linker, Observation, Trail
from pavas_core.estimation.tracking.parts import Part, moving_parts
from pavas_core.estimation.tracking.stops import Patch, StopFinder, stops_of
from pavas_core.estimation.tracking.windows import STILL_PX, Film, Window
from pavas_core.physics.masks import pack_masks
from pavas_core.physics.types import MovingObject, ObjectSet, PackedMasks, Track, TrackSet
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.video.clip import Clip


@dataclass(frozen=True)
class Analysis:
    """Everything one pass over the clip leaves behind, in analysis pixels."""

    times_s: np.ndarray
    poses: np.ndarray
    trails: list[Trail]
    width: int
    height: int
    patches: list[Patch]
    parts: list[Part]
    cuts: tuple[int, ...] = ()
    """First frame of every shot but the first."""


def detect_motion(clip: Clip, *, max_objects: int = 8, runtime: Runtime | None = None) -> ObjectSet:
    """Find what moves in a clip, apart from the camera, shadows, flicker and things waving in place.

    Returns at most ``max_objects`` objects in order of appearance, with their tracks on ``ObjectSet.tracks``. Ids are
    ``ball-1`` for round compact bodies and ``object-1`` for others. An empty set means that nothing moves. Nothing is
    followed over a hard cut: every shot has objects of its own. Pixels are addressed by their centres: the first is
    (0, 0); boxes are edges, so they span 0 to width.

    Raises MediaError when the clip has fewer than two frames.
    """
    runtime = runtime or Runtime()
    analysis = analyse(clip, runtime)
    return watched(lambda: _objects(analysis, clip, max_objects), runtime.check_cancelled)


def _objects(analysis: Analysis, clip: Clip, max_objects: int) -> ObjectSet:
    """The trails that really move, named and with their tracks."""
    frame_rate = _rate(analysis.times_s)
    bodies: list[Body] = []
    for start, end in pairwise((0, *analysis.cuts, len(analysis.times_s))):
        trails = [t for t in analysis.trails if start <= t.observations[0].frame < end]
        chosen, others = selection.considered(trails, frame_rate)
        chosen = sorted(chosen, key=lambda b: -b.weight())[:max_objects]
        of_shot = judging.judged(chosen, others, analysis.width, frame_rate, end - start)
        whole = outlines.complete(of_shot, analysis.parts)
        bodies += resting.with_rests(whole, trails, analysis.poses, range(start, end), frame_rate)
    bodies = sorted(sorted(bodies, key=lambda b: -b.weight())[:max_objects], key=lambda b: b.first.frame)
    names = ["ball" if b.round else "object" for b in bodies]
    counts: dict[str, int] = {}
    objects, tracks = [], []
    for body, name in zip(bodies, names, strict=True):
        counts[name] = counts.get(name, 0) + 1
        object_id = f"{name}-{counts[name]}"
        track = _track(object_id, body, analysis, clip.width, clip.height)
        objects.append(_object(object_id, name, track, analysis.times_s))
        tracks.append(track)
    track_set = _track_set(tuple(tracks), analysis, clip)
    return ObjectSet(tuple(objects), clip.width, clip.height, clip.duration_s, track_set)


def track_motion(clip: Clip, objects: ObjectSet, *, runtime: Runtime | None = None) -> TrackSet:
    """Follow given objects through a clip.

    Tracks that came with the objects are reused when they cover all of them. Otherwise each object with a box takes the
    moving thing that overlaps it most at its time, and each without one takes what is left, the most prominent first;
    an object for which nothing moves gets a track that is nowhere visible.
    """
    ids = [o.id for o in objects.objects]
    if objects.tracks is not None and set(ids) <= {t.object_id for t in objects.tracks.tracks}:
        by_id = {t.object_id: t for t in objects.tracks.tracks}
        return replace(objects.tracks, tracks=tuple(by_id[i] for i in ids))
    found = detect_motion(clip, max_objects=max(8, 2 * len(ids)), runtime=runtime)
    assert found.tracks is not None
    free = list(found.tracks.tracks)
    chosen: dict[str, Track] = {}
    for wanted in sorted(objects.objects, key=lambda o: o.box is None):
        if wanted.box is not None:
            scores = [_overlap(t, wanted, found.tracks.times_s) for t in free]
        else:
            scores = [_prominence(t) for t in free]
        if scores and max(scores) > 0.05:
            chosen[wanted.id] = replace(free.pop(int(np.argmax(scores))), object_id=wanted.id)
        else:
            chosen[wanted.id] = _unseen(wanted.id, len(found.tracks.times_s))
    return replace(found.tracks, tracks=tuple(chosen[i] for i in ids))


def analyse(clip: Clip, runtime: Runtime) -> Analysis:
    """One pass over the clip in windows; each is decoded once, and the next one made while one is linked."""
    film = Film(clip)
    linker, patches, parts = Linker(film.frame_rate), list[Patch](), list[Part]()
    most = 2 * max(1, round(clip.duration_s * film.frame_rate))
    linked = 0

    def step() -> None:
        runtime.step("Finding motion", min(len(film.times) + linked, most), most)

    for window in ahead(film.windows, 1, check_cancelled=step):
        for new_patches, new_parts in _link(window, linker, film, step):
            patches += new_patches
            parts += new_parts
            linked += 1
        if window.ends_shot:
            linker.finish()
    if len(film.times) < 2:
        raise MediaError("The clip shows fewer than two frames, so nothing can move; choose a longer part of it.")
    step()
    width, height = film.size
    return Analysis(
        np.array(film.times), np.array(film.poses), linker.finished, width, height, patches, parts, tuple(film.cuts)
    )


def _link(
    window: Window, linker: Linker, film: Film, step: Callable[[], None]
) -> Iterator[tuple[list[Patch], list[Part]]]:
    """Link the regions of the window's new pictures, and give what stops and what moves at each."""
    canvas, new, first = window.canvas, window.new, window.first
    flow, stops = FlowField(), StopFinder(film.size[0])

    def follow(i: int) -> list[Patch]:
        flow.step(canvas.images[i])
        return stops.step(first + i, film.times[first + i], flow, window.to_frame[i])

    for i in range(max(0, new.start - 2), new.start):
        follow(i)
    seen = []
    for i, (regions, changed) in zip(new, window.described(), strict=True):
        step()
        patches = follow(i)
        linker.step(first + i, canvas.images[i], changed, regions, flow, window.to_world, window.to_frame[i])
        seen.append(regions)
        yield patches, moving_parts(first + i, flow.field, changed, window.to_frame[i])
    images, to_frame = canvas.images[new.start : new.stop], window.to_frame[new.start : new.stop]
    watched(lambda: linker.extend_back(images, seen, first + new.start, window.to_world, to_frame), step)


def _rate(times_s: np.ndarray) -> float:
    return float(1.0 / np.median(np.diff(times_s)))


def _full_size(pose: np.ndarray, sx: float, sy: float) -> np.ndarray:
    """A pose of analysis pixels (edges whole) as one of displayed pixels (centres whole)."""
    scale = np.array([sx, sy])
    linear = pose[:, :2] * scale[:, None] / scale[None, :]
    return np.hstack([linear, (pose[:, 2] * scale + linear @ [0.5, 0.5] - 0.5)[:, None]])


def _track_set(tracks: tuple[Track, ...], analysis: Analysis, clip: Clip) -> TrackSet:
    sx, sy = clip.width / analysis.width, clip.height / analysis.height
    corners = np.array([[0, 0], [analysis.width, analysis.height]], float)
    moved = max(float(np.abs(camera.apply(p, corners) - corners).max()) for p in analysis.poses)
    poses = None if moved < STILL_PX else np.array([_full_size(p, sx, sy) for p in analysis.poses])
    return TrackSet(analysis.times_s, clip.width, clip.height, clip.duration_s, tracks, poses)


def _track(object_id: str, body: Body, analysis: Analysis, width: int, height: int) -> Track:
    """A trail of analysis pixels as a track of displayed pixels on the clip's time axis."""
    count = len(analysis.times_s)
    sx, sy = width / analysis.width, height / analysis.height
    visible, truncated = np.zeros(count, bool), np.zeros(count, bool)
    boxes = np.full((count, 4), np.nan, np.float32)
    centroids = np.full((count, 2), np.nan, np.float32)
    area = np.full(count, np.nan, np.float32)
    flow = np.full((count - 1, 2), np.nan, np.float32)
    seen = np.full((count, 4), np.nan)
    small = body.round
    before: Observation | None = None
    for o in body.observations:
        visible[o.frame], truncated[o.frame] = True, o.border
        boxes[o.frame] = np.clip(
            [o.box[0] * sx, o.box[1] * sy, o.box[2] * sx, o.box[3] * sy], 0, [width, height, width, height]
        )
        centroids[o.frame] = o.centroid[0] * sx - 0.5, o.centroid[1] * sy - 0.5
        area[o.frame] = o.area * sx * sy
        seen[o.frame] = o.box
        if before is not None and before.frame == o.frame - 1:
            step = o.flow
            if (small or step is None) and not (o.border or before.border):
                step = (o.world[0] - before.world[0], o.world[1] - before.world[1])
            if step is not None:
                interval = analysis.times_s[o.frame] - analysis.times_s[before.frame]
                flow[o.frame - 1] = step[0] * sx / interval, step[1] * sy / interval
        before = o
    if not body.round:
        truncated |= _unsteady(area)
    packed = _pack(body, count, analysis.height, analysis.width)
    stops = stops_of(seen, analysis.patches)
    return Track(object_id, visible, boxes, centroids, area, truncated, flow, packed, _confidence(body), stops)


def _unsteady(area: np.ndarray) -> np.ndarray:
    """Frames where a jointed body shows much more or less of itself than around them: its centroid jumps."""
    out = np.zeros(len(area), bool)
    for i in np.flatnonzero(np.isfinite(area)):
        usual = np.nanmedian(area[max(0, i - 3) : i + 4])
        out[i] = abs(np.log(area[i] / usual)) > 0.25
    return out


def _pack(body: Body, count: int, height: int, width: int) -> PackedMasks:
    """Masks of all frames, one unpacked at a time."""
    empty = pack_masks(np.zeros((1, height, width), bool)).runs[0]
    runs = [empty] * count
    picture = np.zeros((1, height, width), bool)
    for o in body.observations:
        picture[:] = False
        _place(picture[0], o)
        runs[o.frame] = pack_masks(picture).runs[0]
    return PackedMasks(height, width, tuple(runs))


def _place(target: np.ndarray, o: Observation) -> None:
    mask = o.mask
    x, y = o.origin
    left, top = max(0, -x), max(0, -y)
    right, bottom = min(mask.shape[1], target.shape[1] - x), min(mask.shape[0], target.shape[0] - y)
    if right > left and bottom > top:
        target[y + top : y + bottom, x + left : x + right] = mask[top:bottom, left:right]


def _confidence(body: Body) -> float:
    return float(np.clip(len(body.observations) / 12.0, 0.2, 1.0))


def _object(object_id: str, name: str, track: Track, times_s: np.ndarray) -> MovingObject:
    """The object where it is first clearly seen: whole, and of its usual size."""
    usual = float(np.nanmedian(track.area_px))
    clear = track.visible & ~track.truncated & (np.abs(np.log(track.area_px / usual)) < 0.4)
    shown = np.flatnonzero(clear if clear.any() else track.visible)
    first = int(shown[0])
    x0, y0, x1, y1 = (float(v) for v in track.boxes[first])
    return MovingObject(
        object_id, name, box=(x0, y0, x1, y1), time_s=float(times_s[first]), confidence=track.confidence
    )


def _overlap(track: Track, wanted: MovingObject, times_s: np.ndarray) -> float:
    """Intersection over union of the wanted box with the track's, at the nearest time it is seen."""
    shown = np.flatnonzero(track.visible)
    index = int(shown[np.argmin(np.abs(times_s[shown] - wanted.time_s))])
    assert wanted.box is not None
    a, b = np.array(wanted.box), track.boxes[index].astype(float)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.clip(sides, 0, None)))
    return shared / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - shared)


def _prominence(track: Track) -> float:
    points = track.centroids[track.visible]
    return float(np.hypot(*np.ptp(points, axis=0))) * float(np.sqrt(track.visible.sum()))


def _unseen(object_id: str, count: int) -> Track:
    return Track(
        object_id, np.zeros(count, bool), np.full((count, 4), np.nan, np.float32),
        np.full((count, 2), np.nan, np.float32), np.full(count, np.nan, np.float32), np.zeros(count, bool),
        np.full((count - 1, 2), np.nan, np.float32), confidence=0.0,
    )  # fmt: skip
