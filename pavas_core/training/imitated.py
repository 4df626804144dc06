"""Scenes as a tracker would measure them, made from the truth's blurred outlines without rendering a picture.

A scene takes a tenth of a second instead of many, so that thousands can be learned from. What a tracker does to them is
imitated: outlines that melt into each other where things touch, jitter, drop-outs, things unseen while they rest, flow
that loses what is fast, arms that come with the tool they hold; and what is no thing at all: shadows, doubles, people.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pavas_core.physics.types import Track, TrackSet
from pavas_core.simulation.render import Painter
from pavas_core.simulation.simulate import SimulatedClip

LONG_SIDE = 192
"""Of the pictures in which outlines are drawn, pixels."""
MELTS = 0.55
"""Share of pairs whose outlines melt into one where they touch."""
ARM_SHARE = 0.5
"""Share of held tools that are seen together with the arm that holds them."""
_FAST_SHARE = 0.65


def imitate(sim: SimulatedClip, rng: np.random.Generator) -> tuple[TrackSet, dict[str, str | None]]:
    """Tracks of a scene as a tracker might have measured them, and the true object of each (None: no thing).

    Raises ValueError for a scene whose bodies cannot be told apart from each other.
    """
    true = sim.scene.tracks
    assert true is not None
    held = {body.object.id for body in sim.scene.bodies if not body.velocity.free}
    found: list[tuple[Track, str | None]] = []
    for track in _measured(sim, rng):
        with_its_arm = track.object_id in held and rng.random() < ARM_SHARE
        found.append((with_arm(track, true, rng) if with_its_arm else track, track.object_id))
    if found and rng.random() < 0.25:
        found.append((_double(found[int(rng.integers(len(found)))][0], true, rng), None))
    share = rng.random()
    people = int(rng.integers(3, 8)) if share < 0.07 else int(rng.integers(1, 3)) if share < 0.35 else 0
    if not found:
        people = max(people, int(rng.integers(1, 6)))
    found += [(_person(true, rng), None) for _ in range(people)]
    order = rng.permutation(len(found))
    tracks = tuple(replace(found[i][0], object_id=f"thing-{n}") for n, i in enumerate(order))
    return replace(true, tracks=tracks), {f"thing-{n}": found[i][1] for n, i in enumerate(order)}


def hidden(track: Track, visible: np.ndarray) -> Track:
    """``track`` seen in the frames ``visible`` [L] at most."""
    seen = track.visible & visible
    boxes, centroids, area = track.boxes.copy(), track.centroids.copy(), track.area_px.copy()
    boxes[~seen], centroids[~seen], area[~seen] = np.nan, np.nan, np.nan
    flow = track.flow_px_s
    if flow is not None:
        flow = np.where((seen[1:] & seen[:-1])[:, None], flow, np.nan).astype(np.float32)
    stops = track.stops
    if stops is not None:
        # Told of a frame by the flow on either side of it.
        whole = seen.copy()
        whole[1:] |= seen[:-1]
        stops = np.where(whole[:, None], stops, np.nan).astype(np.float32)
    return replace(track, visible=seen, boxes=boxes, centroids=centroids, area_px=area, flow_px_s=flow, stops=stops)


def with_arm(track: Track, tracks: TrackSet, rng: np.random.Generator) -> Track:
    """The track of an arm with the tool at its end: outline of the whole, flow of its fast end."""
    width, height, count = tracks.width, tracks.height, len(track.visible)
    centres = track.centroids.astype(float)
    middle = np.nanmean(centres, axis=0)
    angle = rng.uniform(0, 2 * np.pi)
    rise = -abs(np.sin(angle)) if rng.random() < 0.7 else np.sin(angle)
    shoulder = middle + rng.uniform(0.06, 0.45) * width * np.array([np.cos(angle), rise])
    away = np.where(np.isfinite(centres), centres, middle) - middle
    elbow = shoulder + rng.uniform(0.05, 0.6) * away + _drift(count, 8.0, rng.uniform(0, 0.02) * width, rng)
    share, thick = rng.uniform(0.15, 0.75), rng.uniform(0.015, 0.1) * width
    jitter = np.exp(rng.uniform(*np.log([0.0004, 0.006]))) * width
    both = share * centres + (1 - share) * elbow + rng.normal(0, jitter, (count, 2))
    low, high = np.minimum(track.boxes[:, :2], elbow - thick), np.maximum(track.boxes[:, 2:], elbow + thick)
    boxes = np.hstack([low, high]) + rng.normal(0, rng.uniform(0.001, 0.006) * width, (count, 4))
    cut = (boxes[:, :2] <= 2).any(axis=1) | (boxes[:, 2:] >= np.array([width, height]) - 2).any(axis=1)
    boxes = np.clip(boxes, 0, [width, height, width, height])
    breath = rng.normal(0, rng.uniform(0.02, 0.2), count) + _drift(count, 5.0, 1.0, rng)[:, 0] * rng.uniform(0, 0.3)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * rng.uniform(0.25, 0.7) * np.exp(breath)
    flow = track.flow_px_s
    if flow is not None:
        flow = flow * np.exp(rng.normal(0, rng.uniform(0.03, 0.25), (count - 1, 1)))
        flow = _stumbling(flow + rng.normal(0, rng.uniform(0.002, 0.03) * width, flow.shape), 0.08, rng)
    whole = replace(
        track,
        boxes=boxes.astype(np.float32),
        centroids=np.clip(both, boxes[:, :2], boxes[:, 2:]).astype(np.float32),
        area_px=area.astype(np.float32),
        truncated=(cut | _flagged(count, rng)) & track.visible,
        flow_px_s=flow,
        masks=None,
    )
    return hidden(whole, track.visible)


def _flagged(count: int, rng: np.random.Generator) -> np.ndarray:
    """bool [count]: frames in which a jointed body shows more or less of itself than usual."""
    share = rng.random()
    return np.asarray(rng.random(count) < (0.0 if share < 0.35 else rng.uniform(0, 0.6) if share < 0.65 else 1.0))


def _drift(count: int, frames: float, size: float, rng: np.random.Generator) -> np.ndarray:
    """Slow random motion [count, 2] of standard deviation ``size``."""
    from scipy.ndimage import gaussian_filter1d

    slow = gaussian_filter1d(rng.normal(0, 1, (count, 2)), frames, axis=0)
    return np.asarray(slow / (slow.std() + 1e-9) * size)


def _stumbling(flow: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    """Flow [N, 2] that loses the motion in up to the share ``most`` of the intervals."""
    lost = rng.random(len(flow)) < rng.uniform(0, most)
    flow[lost] *= rng.uniform(-0.2, 0.7, (int(lost.sum()), 1))
    return np.asarray(flow, np.float32)


def _measured(sim: SimulatedClip, rng: np.random.Generator) -> list[Track]:
    """One track a body, named as in the truth; bodies that are missed altogether are left out."""
    true = sim.scene.tracks
    assert true is not None
    drawn = _outlines(sim, rng)
    if not drawn.covers.shape[1]:
        return []
    covers, visible = _melted(drawn.covers, rng)
    jitter = float(np.exp(rng.uniform(*np.log([0.08, 0.7])))) * true.width / 512
    lost_at = rng.uniform(0.05, 0.16) * true.width
    out = []
    for number, body in enumerate(sim.scene.bodies):
        if rng.random() < 0.06:
            continue
        seen = visible[:, number] & _noticed(sim, drawn.motions[number], rng)
        track = _track(body.object.id, number, covers[:, number], seen, drawn, true, jitter, lost_at, rng)
        if track.visible.sum() >= 3:
            out.append(track)
    return out


class _Drawn:
    """Blurred outlines bool [L, bodies, h, w] and where every pixel of them goes."""

    def __init__(self, sim: SimulatedClip, painter: Painter, covers: np.ndarray, motions: list[int]) -> None:
        assert sim.scene.tracks is not None
        self.covers, self.motions = covers, motions
        times = sim.scene.tracks.times_s
        self.times_s = times
        self.views = [painter.view(float(t)) for t in times]
        self.poses = [sim.played.motions[i].pose(times) for i in motions]
        self.scale = sim.scene.width / painter.width

    def moved(self, frame: int, body: int, places: np.ndarray) -> np.ndarray:
        """How far the pixels ``places`` [N, 2] of a body move until the next frame, without the camera, pixels."""
        view = self.views[frame]
        world = (places - view[:, 2]) @ np.linalg.inv(view[:, :2]).T
        before, after = self.poses[body][frame], self.poses[body][frame + 1]
        own = (world - before[:2]) @ _rotation(before[2])
        return np.asarray((own @ _rotation(after[2]).T + after[:2] - world) @ self.views[0][:, :2].T)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _outlines(sim: SimulatedClip, rng: np.random.Generator) -> _Drawn:
    """Outlines of the bodies in the order of the scene's, what lies in front taken away."""
    true, played = sim.scene.tracks, sim.played
    assert true is not None
    shrink = LONG_SIDE / max(true.width, true.height)
    painter = Painter(played, sim.filming, max(2, round(true.width * shrink)), max(2, round(true.height * shrink)))
    free = list(range(len(played.motions)))
    motions = []
    for body in sim.scene.bodies:
        same = [
            i
            for i in free
            if played.motions[i].actor.name == body.object.name
            and np.isclose(played.motions[i].actor.mass_kg, body.mass.mass_kg)
        ]
        if not same:
            raise ValueError(f"no motion belongs to {body.object.id}")
        motions.append(same[0])
        free.remove(same[0])
    level = rng.uniform(40, 110)
    interval_s = true.frame_s
    covers = np.zeros((len(true.times_s), len(motions), painter.height, painter.width), bool)
    for frame, time_s in enumerate(true.times_s):
        blurred, hard = painter.blurred_masks(float(time_s), sim.filming.exposure * interval_s)
        for number, index in enumerate(motions):
            covers[frame, number] = (blurred[index] > level) & ~hard[index]
    return _Drawn(sim, painter, covers, motions)


def _melted(covers: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Outlines as they are found where some pairs melt together, and which bodies [L, n] are seen by themselves."""
    import cv2

    frames, count, _, columns = covers.shape
    size = covers.reshape(frames, count, -1).sum(axis=2)
    visible = size >= rng.integers(3, 9)
    usual = [np.median(size[visible[:, i], i]) if visible[:, i].any() else 0.0 for i in range(count)]
    reach = max(1, round(rng.uniform(0.004, 0.02) * columns))
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    both_seen = rng.random() < 0.4
    out, alone = covers.copy(), visible.copy()
    for a in range(count):
        for b in range(a + 1, count):
            if rng.random() >= MELTS:
                continue
            small, large = (a, b) if usual[a] < usual[b] else (b, a)
            for frame in np.flatnonzero(visible[:, a] & visible[:, b]):
                near = cv2.dilate(covers[frame, a].astype(np.uint8), kernel) > 0
                if (near & covers[frame, b]).any():
                    out[frame, large] = covers[frame, a] | covers[frame, b]
                    out[frame, small] = out[frame, large]
                    alone[frame, small] &= both_seen
    return out, alone


def _noticed(sim: SimulatedClip, motion: int, rng: np.random.Generator) -> np.ndarray:
    """bool [L]: frames in which a tracker notices the body at all."""
    assert sim.scene.tracks is not None
    times = sim.scene.tracks.times_s
    count, moving = len(times), sim.played.motions[motion]
    pose, width = moving.pose(times), sim.played.stage.width_m
    speed = np.hypot(*np.gradient(pose[:, :2], times, axis=0).T) / width
    spin = np.abs(np.gradient(pose[:, 2], times)) * moving.actor.solid.reach / width
    seen = np.ones(count, bool)
    stirring = np.flatnonzero(speed + spin >= 0.01)
    if rng.random() < 0.35 and len(stirring):
        seen[: max(0, stirring[0] - int(rng.integers(0, 4)))] = False
        if rng.random() < 0.5:
            seen[stirring[-1] + int(rng.integers(1, 8)) :] = False
    if rng.random() < 0.5:
        seen &= rng.random(count) > rng.uniform(0, 0.06)
    if rng.random() < 0.15:
        for _ in range(int(rng.integers(1, 4))):
            start = int(rng.integers(count))
            seen[start : start + int(rng.integers(1, 6))] = False
    if rng.random() < 0.4:
        fast = speed * float(np.median(np.diff(times))) > rng.uniform(0.06, 0.25)
        seen &= ~(fast & (rng.random(count) < 0.5))
    return seen


def _track(
    object_id: str,
    number: int,
    covers: np.ndarray,
    seen: np.ndarray,
    drawn: _Drawn,
    true: TrackSet,
    jitter: float,
    lost_at: float,
    rng: np.random.Generator,
) -> Track:
    """The track measured on the outlines ``covers`` [L, h, w] of one body in the frames ``seen`` [L]."""
    count, rows, columns = covers.shape
    width, height, scale = true.width, true.height, drawn.scale
    jitter *= rng.uniform(0.6, 1.6)
    shift = rng.normal(0, jitter, (count, 2)) + _drift(count, 4.0, 0.5 * jitter, rng)
    breath = np.exp(rng.normal(0, rng.uniform(0.01, 0.08), count))
    boxes, centroids = np.full((count, 4), np.nan, np.float32), np.full((count, 2), np.nan, np.float32)
    area, cut, seen = np.full(count, np.nan, np.float32), np.zeros(count, bool), seen.copy()
    flow = np.full((count - 1, 2), np.nan, np.float32)
    for frame in map(int, np.flatnonzero(seen)):
        y, x = np.nonzero(covers[frame])
        if len(x) < 3:
            seen[frame] = False
            continue
        if rng.random() < 0.02:
            # a piece of it only
            along = y if rng.random() < 0.5 else x
            piece = along >= np.quantile(along, rng.uniform(0.25, 0.5))
            y, x = (y[piece], x[piece]) if piece.sum() >= 3 else (y, x)
        side = float(np.sqrt(len(x))) * scale
        off = shift[frame] + rng.normal(0, 0.012 * side, 2)
        centroids[frame] = (np.array([x.mean(), y.mean()]) + 0.5) * scale - 0.5 + off
        edges = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) * scale + np.tile(off, 2)
        edges += rng.normal(0, 1.2 * jitter + 0.01 * side, 4)
        boxes[frame] = np.clip(edges, 0, [width, height, width, height])
        area[frame] = len(x) * scale**2 * breath[frame]
        cut[frame] = x.min() == 0 or y.min() == 0 or x.max() == columns - 1 or y.max() == rows - 1
        if frame + 1 < count:
            flow[frame] = _flow(frame, number, x, y, drawn, width, lost_at, rng)
    flow /= np.asarray(np.diff(true.times_s)[:, None], np.float32)
    if drawn.covers.shape[1] and np.nanmedian(area) < 60 * scale**2 and rng.random() < 0.3:
        # of a small body the way of its centre stands for the flow
        flow = (np.diff(centroids, axis=0) / np.diff(true.times_s)[:, None]).astype(np.float32)
    return hidden(Track(object_id, seen, boxes, centroids, area, cut, flow), seen)


def _flow(
    frame: int,
    number: int,
    x: np.ndarray,
    y: np.ndarray,
    drawn: _Drawn,
    width: int,
    lost_at: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Motion of the fast pixels until the next frame, pixels of the clip; each pixel goes with the body it is of."""
    pick = rng.integers(0, len(x), min(80, len(x)))
    places = np.stack([x[pick], y[pick]], axis=1).astype(float)
    owner = np.full(len(pick), number)
    for other in range(drawn.covers.shape[1]):
        if other != number:
            owner[drawn.covers[frame, other][y[pick], x[pick]]] = other
    moved = np.zeros_like(places)
    for body in np.unique(owner):
        moved[owner == body] = drawn.moved(frame, int(body), places[owner == body])
    speed = np.hypot(*moved.T)
    top = float(np.quantile(speed, 0.9))
    motion = np.median(moved[speed >= _FAST_SHARE * top] if top > 0.1 else moved, axis=0) * drawn.scale
    if np.hypot(*motion) > lost_at:
        motion = motion * rng.uniform(0, 0.8) if rng.random() < 0.7 else motion * np.nan
    noise = rng.normal(0, 0.15 * width / 512 + 0.03 * float(np.nan_to_num(np.hypot(*motion))), 2)
    return np.asarray(motion * np.exp(rng.normal(0, 0.08)) + noise)


def _double(track: Track, tracks: TrackSet, rng: np.random.Generator) -> Track:
    """A shadow or reflection that goes along with a track."""
    width, height, count = tracks.width, tracks.height, len(track.visible)
    squeeze = np.array([1.0, rng.uniform(0, 1)])
    shift = np.array([rng.normal(0, 0.05) * width, rng.normal(0.05, 0.05) * height])
    middle = np.nanmean(track.centroids, axis=0)
    centres = (track.centroids - middle) * squeeze + middle + shift + rng.normal(0, 0.003 * width, (count, 2))
    half = (track.boxes[:, 2:] - track.boxes[:, :2]) / 2 * rng.uniform([0.4, 0.3], [1.0, 1.0])
    flow = track.flow_px_s
    if flow is not None:
        flow = (flow * squeeze + rng.normal(0, 0.02 * width, flow.shape)).astype(np.float32)
    made = Track(
        "double",
        track.visible,
        np.hstack([centres - half, centres + half]).astype(np.float32),
        centres.astype(np.float32),
        (2.8 * half.prod(axis=1)).astype(np.float32),
        np.zeros(count, bool),
        flow,
    )
    return hidden(made, rng.random(count) > 0.15)


def _person(tracks: TrackSet, rng: np.random.Generator) -> Track:
    """Somebody who reaches, walks, sways or fidgets without hitting anything."""
    width, height, times = tracks.width, tracks.height, np.asarray(tracks.times_s)
    count = len(times)
    size = float(np.exp(rng.uniform(*np.log([0.02, 0.3])))) * width
    way = _gesture(times, size, width, rng)
    start = rng.uniform([0.1 * width, 0.1 * height], [0.9 * width, 0.9 * height])
    half = np.exp(rng.uniform(np.log(0.012), np.log(0.18), 2)) * width
    half = half * np.clip(1 + rng.uniform(0, 0.4) * _drift(count, rng.uniform(1, 6), 0.5, rng), 0.3, 2)
    # Often a part of a large body moves, and the middle of the whole little.
    share = rng.uniform(0.1, 1) if rng.random() < 0.6 else 1.0
    jitter = np.exp(rng.uniform(*np.log([0.0003, 0.006]))) * width
    middle = start + way * share + rng.normal(0, jitter, (count, 2))
    boxes = np.hstack([middle - half, middle + half])
    cut = (boxes[:, :2] <= 0).any(axis=1) | (boxes[:, 2:] >= [width, height]).any(axis=1)
    boxes = np.clip(boxes, 0, [width, height, width, height])
    flow = np.diff(way, axis=0) / np.diff(times)[:, None] * np.exp(rng.normal(0, 0.15, (count - 1, 1)))
    flow = _stumbling(flow + rng.normal(0, 0.01 * width, flow.shape), 0.2, rng)
    fill = rng.uniform(0.4, 0.8) * np.exp(rng.normal(0, rng.uniform(0.01, 0.15), count))
    visible = rng.random(count) > rng.uniform(0, 0.1)
    if rng.random() < 0.5:
        first = int(rng.integers(0, max(1, count // 2)))
        visible[:first] = False
        visible[first + int(rng.integers(8, max(9, count))) :] = False
    made = Track(
        "person",
        visible,
        boxes.astype(np.float32),
        ((boxes[:, :2] + boxes[:, 2:]) / 4 + middle / 2).astype(np.float32),
        (4 * half.prod(axis=1) * fill).astype(np.float32),
        cut | _flagged(count, rng),
        flow,
    )
    return hidden(made, visible)


def _gesture(times: np.ndarray, size: float, width: int, rng: np.random.Generator) -> np.ndarray:
    """float64 [L, 2] a way through the air that begins and ends its moves without a jolt."""
    fine = np.arange(0, times[-1] + 1, 1 / 240)
    path = np.zeros((len(fine), 2))
    style = str(rng.choice(["reach", "cycle", "fidget", "walk"]))
    if style == "reach":
        start, here = 0.0, np.zeros(2)
        while start < fine[-1]:
            lasts = float(np.exp(rng.uniform(*np.log([0.12, 1.0]))))
            goal = rng.normal(0, size, 2) * [1, rng.uniform(0.3, 1.2)]
            # Minimum jerk (Flash and Hogan 1985), hurried at its start or at its end.
            u = np.clip((fine - start) / lasts, 0, 1) ** rng.uniform(0.55, 1.6)
            later = fine >= start
            path[later] = (here + (goal - here) * (10 * u**3 - 15 * u**4 + 6 * u**5)[:, None])[later]
            here = goal
            start += lasts + (float(rng.exponential(0.25)) if rng.random() < 0.7 else 0.0)
    elif style == "cycle":
        turn = 2 * np.pi * (np.exp(rng.uniform(*np.log([0.5, 4.0]))) * fine + 0.1 * np.sin(2 * np.pi * 0.4 * fine))
        path[:, 0] = size * rng.uniform(0, 1) * np.sin(turn)
        second = rng.uniform(0, 0.3) * np.sin(2 * turn + rng.uniform(0, 6))
        path[:, 1] = size * (np.sin(turn + rng.uniform(0, 6)) + second)
    elif style == "walk":
        path[:, 0] = rng.uniform(-0.3, 0.3) * width * fine
        path[:, 1] = 0.2 * size * rng.uniform(0.1, 1) * np.abs(np.sin(np.pi * rng.uniform(1.2, 2.6) * fine))
    sway = rng.uniform(0.3, 1.0) if style == "fidget" else rng.uniform(0, 0.12)
    path += _drift(len(fine), 240 * rng.uniform(0.05, 0.3), sway * size, rng)
    return np.stack([np.interp(times, fine, column) for column in path.T], axis=1)


def altered(tracks: TrackSet, rng: np.random.Generator) -> tuple[TrackSet, float]:
    """Measured tracks measured otherwise, and by how much they are slowed down.

    Fewer frames a second, more noise, missing frames, no flow, a track in two pieces, a track less, slower or faster.
    Pieces of a track keep its id with ``#2`` behind it.
    """
    frame_s = tracks.frame_s
    share = rng.random()
    if frame_s < 0.023 and share < 0.6:
        tracks = _every(tracks, int(rng.integers(2, 4)))
    elif frame_s < 0.045 and share < 0.3:
        tracks = _every(tracks, 2)
    noise = float(np.exp(rng.uniform(*np.log([1e-4, 1.2e-3])))) * tracks.width if rng.random() < 0.5 else 0.0
    out: list[Track] = []
    for track in tracks.tracks:
        track = _noisy(track, noise, frame_s, rng)
        count = len(track.visible)
        if rng.random() < 0.4:
            track = hidden(track, rng.random(count) > rng.uniform(0, 0.08))
        if rng.random() < 0.1:
            track = replace(track, flow_px_s=None)
        if rng.random() < 0.1:
            track = replace(track, stops=None)
        seen = np.flatnonzero(track.visible)
        if rng.random() < 0.12 and len(seen) > 16:
            first = np.arange(count) < int(rng.choice(seen[5:-5]))
            out += [hidden(track, first), replace(hidden(track, ~first), object_id=f"{track.object_id}#2")]
        else:
            out.append(track)
    if len(out) > 1 and rng.random() < 0.2:
        out.pop(int(rng.integers(len(out))))
    slower = float(np.exp(rng.uniform(*np.log([0.75, 1.35])))) if rng.random() < 0.6 else 1.0
    out = [t if t.flow_px_s is None else replace(t, flow_px_s=t.flow_px_s / np.float32(slower)) for t in out]
    pace = np.array([1.0, 1.0 / slower, 1.0], np.float32)
    out = [t if t.stops is None else replace(t, stops=t.stops * pace) for t in out]
    duration_s = tracks.duration_s * slower
    return replace(tracks, tracks=tuple(out), times_s=tracks.times_s * slower, duration_s=duration_s), slower


def _noisy(track: Track, noise: float, frame_s: float, rng: np.random.Generator) -> Track:
    if not noise:
        return track
    count = len(track.visible)
    shift = rng.normal(0, noise, (count, 2)).astype(np.float32)
    edges = rng.normal(0, 1.5 * noise, (count, 4)).astype(np.float32)
    swell = np.exp(rng.normal(0, rng.uniform(0, 0.06), count)).astype(np.float32)
    flow = track.flow_px_s
    if flow is not None:
        flow = flow * np.exp(rng.normal(0, 0.12, (count - 1, 1))) + rng.normal(0, 0.3 * noise / frame_s, flow.shape)
        flow = np.asarray(flow, np.float32)
    stops = track.stops
    if stops is not None:
        share = np.clip(stops[:, 0] + rng.normal(0, 0.06, count), 0, 1)
        lost = stops[:, 1] * np.exp(rng.normal(0, 0.15, count))
        stops = np.stack([share, lost, stops[:, 2]], axis=1).astype(np.float32)
    return replace(
        track,
        centroids=track.centroids + shift,
        boxes=track.boxes + np.tile(shift, 2) + edges,
        area_px=track.area_px * swell,
        flow_px_s=flow,
        stops=stops,
    )


def _every(tracks: TrackSet, step: int) -> TrackSet:
    """The tracks in every ``step``-th frame; flow is that of the whole way between two of them."""
    keep = np.arange(0, len(tracks.times_s), step)
    times = tracks.times_s[keep]
    out = []
    for track in tracks.tracks:
        flow = track.flow_px_s
        if flow is not None:
            unknown = np.concatenate([[0], np.cumsum(~np.isfinite(flow).all(axis=1))])
            steps = np.nan_to_num(flow) * np.diff(tracks.times_s)[:, None]
            way = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
            flow = np.diff(way[keep], axis=0) / np.diff(times)[:, None]
            flow[np.diff(unknown[keep]) > 0] = np.nan
            flow = flow.astype(np.float32)
        masks = track.masks
        if masks is not None:
            masks = replace(masks, runs=tuple(masks.runs[i] for i in keep))
        out.append(
            replace(
                track,
                visible=track.visible[keep],
                boxes=track.boxes[keep],
                centroids=track.centroids[keep],
                area_px=track.area_px[keep],
                truncated=track.truncated[keep],
                flow_px_s=flow,
                masks=masks,
                stops=None,
            )
        )
    camera = None if tracks.camera is None else tracks.camera[keep]
    return replace(tracks, times_s=times, tracks=tuple(out), camera=camera)
