"""The truth of a played scene as the data on the wires: objects, masses, velocities, impacts, tracks."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from pavas_core.physics.masks import fitted_size, pack_masks
from pavas_core.physics.types import (
    Body,
    Break,
    Contact,
    Impact,
    Mass,
    MovingObject,
    Scene,
    Track,
    TrackSet,
    Velocity,
)
from pavas_core.simulation.dynamics import Meeting
from pavas_core.simulation.filming import Filming
from pavas_core.simulation.outline import Point
from pavas_core.simulation.render import Painter, chain
from pavas_core.simulation.scenes import Motion, Played

SAME_BLOW_S = 0.02
"""Contacts of one pair that follow this closely are one impact: a corner and then the other, a chatter."""
MOVES_PX = 3.0
MOVES_WIDTH = 0.006
"""An object moves when its way over the scene exceeds both, in pixels and as a fraction of the width."""
SEEN_FRAMES = 3
_SEEN_CELLS = 10.0
_SETTLED_MPS = 0.05


@dataclass(frozen=True)
class Partner:
    """The other tracked side of an impact, kept for other masses: speeds of its centre, m/s."""

    pre_speed_mps: float
    post_speed_mps: float


@dataclass(frozen=True)
class Truth:
    """What is so: the scene, and per impact its tracked partner's speeds and whether it can be seen."""

    scene: Scene
    partners: tuple[Partner | None, ...]
    visible: tuple[bool, ...]
    """The contact point lies in the picture, in front of any post."""
    metres_per_px: float


def make_truth(
    played: Played, filming: Filming, width: int, height: int, frame_rate: float, mask_long_side: int
) -> Truth:
    """Truth of a scene as seen in a picture of this size at this rate."""
    stage = played.stage
    frames = max(2, round(stage.duration_s * frame_rate))
    times = np.arange(frames) / frame_rate
    duration = frames / frame_rate
    shrink = min(1.0, mask_long_side / max(width, height))
    mask_h, mask_w = fitted_size(max(2, round(height * shrink)), max(2, round(width * shrink)))
    painter = Painter(played, filming, mask_w, mask_h)
    covers = np.stack([painter.masks(float(t)) for t in times])
    tracks: list[Track] = []
    kept: list[tuple[Motion, str]] = []
    first_seen: list[tuple[int, int]] = []
    for index, motion in enumerate(played.motions):
        track = _track(covers[:, index], width, height)
        if _moves(motion, track, times, width / stage.width_m, width):
            first_seen.append((int(np.argmax(track.visible)), index))
            tracks.append(track)
            kept.append((motion, ""))
    order = sorted(range(len(kept)), key=lambda i: first_seen[i])
    counts: dict[str, int] = {}
    named: list[tuple[Motion, str, Track]] = []
    for i in order:
        motion = kept[i][0]
        slug = re.sub(r"[^a-z0-9]+", "-", motion.actor.name.lower()).strip("-")
        counts[slug] = counts.get(slug, 0) + 1
        object_id = f"{slug}-{counts[slug]}"
        named.append((motion, object_id, _renamed(tracks[i], object_id)))
    to_first = painter_at(played, filming, width, height)
    camera = np.stack([chain(to_first.view(0.0), _inverse(to_first.view(float(t)))) for t in times])
    track_set = TrackSet(times, width, height, duration, tuple(t for _, _, t in named), camera, "simulation")
    impacts, partners, visible = _impacts(played, {id(m.actor.solid): n for m, n, _ in named}, filming, duration)
    bodies = tuple(_body(m, n, t, times, impacts, to_first, stage.width_m / width) for m, n, t in named)
    scene = Scene(duration, width, height, bodies, tuple(impacts), track_set, notes=(f"Simulated: {stage.kind}.",))
    return Truth(scene, tuple(partners), tuple(visible), stage.width_m / width)


def painter_at(played: Played, filming: Filming, width: int, height: int) -> Painter:
    """A painter, used here for its geometry alone."""
    return Painter(played, filming, width, height)


def _track(covers: np.ndarray, width: int, height: int) -> Track:
    frames, rows, columns = covers.shape
    masks = covers > 127
    sx, sy = width / columns, height / rows
    boxes = np.full((frames, 4), np.nan, np.float32)
    centroids = np.full((frames, 2), np.nan, np.float32)
    area = np.full(frames, np.nan, np.float32)
    truncated = np.zeros(frames, bool)
    visible = masks.reshape(frames, -1).sum(axis=1) >= _SEEN_CELLS
    for i in np.flatnonzero(visible):
        across, down = np.flatnonzero(masks[i].any(axis=0)), np.flatnonzero(masks[i].any(axis=1))
        cover = covers[i].astype(np.float64)
        total = cover.sum()
        # cell i spans i .. i + 1; pixels are addressed by their centres
        cx = (cover.sum(axis=0) @ (np.arange(columns) + 0.5)) / total * sx - 0.5
        cy = (cover.sum(axis=1) @ (np.arange(rows) + 0.5)) / total * sy - 0.5
        boxes[i] = across[0] * sx, down[0] * sy, (across[-1] + 1) * sx, (down[-1] + 1) * sy
        centroids[i] = cx, cy
        area[i] = total / 255.0 * sx * sy
        truncated[i] = across[0] == 0 or down[0] == 0 or across[-1] == columns - 1 or down[-1] == rows - 1
    return Track("", visible, boxes, centroids, area, truncated, masks=pack_masks(masks))


def _renamed(track: Track, object_id: str) -> Track:
    return Track(
        object_id, track.visible, track.boxes, track.centroids, track.area_px, track.truncated, masks=track.masks
    )


def _moves(motion: Motion, track: Track, times: np.ndarray, px_per_m: float, width: int) -> bool:
    seen = times[track.visible]
    if len(seen) < SEEN_FRAMES:
        return False
    pose = motion.pose(seen)
    way = np.ptp(pose[:, :2], axis=0).max()
    turn = np.ptp(pose[:, 2]) * motion.actor.solid.reach if len(motion.actor.solid.vertices) > 1 else 0.0
    return max(way, min(turn, 1.0)) * px_per_m > max(MOVES_PX, MOVES_WIDTH * width)


def _body(
    motion: Motion,
    object_id: str,
    track: Track,
    times: np.ndarray,
    impacts: list[Impact],
    painter: Painter,
    scale: float,
) -> Body:
    actor = motion.actor
    first = int(np.argmax(track.visible))
    middle = (times[1:] + times[:-1]) / 2
    planar = motion.velocity(middle)[:, :2]
    seen = track.visible[1:] | track.visible[:-1]
    vector = np.concatenate([planar, np.zeros((len(planar), 1))], axis=1).astype(np.float32)
    vector[~seen] = np.nan
    speed = np.linalg.norm(vector, axis=1).astype(np.float32)
    breaks = []
    for impact in impacts:
        if object_id not in (impact.object_id, impact.partner):
            continue
        before, after = motion.velocity(np.array([impact.time_s - 1e-6, impact.time_s + 1e-6]))
        at = chain(painter.view(impact.time_s), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        x, y = at[:, :2] @ motion.pose(impact.time_s)[:2] + at[:, 2]
        pre, post = (float(before[0]), float(before[1]), 0.0), (float(after[0]), float(after[1]), 0.0)
        breaks.append(Break(impact.time_s, 0.0, (float(x), float(y)), pre, post, 0.0, 1.0))
    mass = Mass(actor.mass_kg, actor.mass_kg, actor.mass_kg, "simulation")
    x0, y0, x1, y1 = (float(v) for v in track.boxes[first])
    size = 2.0 * math.sqrt(float(np.nanmax(track.area_px)) / math.pi) * scale
    return Body(
        MovingObject(object_id, actor.name, actor.action, actor.material, (), (x0, y0, x1, y1), float(times[first])),
        mass,
        Velocity(
            object_id,
            middle,
            speed,
            vector,
            np.zeros(len(middle), np.float32),
            tuple(breaks),
            scale,
            "metres_per_pixel",
            0.0,
            size,
            free=not actor.solid.path,
        ),
    )


def _impacts(
    played: Played, ids: dict[int, str], filming: Filming, duration_s: float
) -> tuple[list[Impact], list[Partner | None], list[bool]]:
    impacts: list[Impact] = []
    partners: list[Partner | None] = []
    visible: list[bool] = []
    masses = {id(motion.actor.solid): motion.actor.mass_kg for motion in played.motions}
    actors = {id(motion.actor.solid): motion.actor for motion in played.motions}
    geometry = painter_at(played, filming, 1000, max(2, round(1000 * played.stage.height_m / played.stage.width_m)))
    for first, last, impulse in _blows(played.meetings):
        if first.time_s >= duration_s:
            continue
        if id(first.first) not in ids and id(first.second) not in ids:
            continue
        swap = id(first.first) not in ids or (first.second.path is not None and id(first.second) in ids)
        mine, other = (first.second, first.first) if swap else (first.first, first.second)
        normal = (-first.normal[0], -first.normal[1]) if swap else first.normal
        pre = (first.second_pre, first.first_pre) if swap else (first.first_pre, first.second_pre)
        post = (last.second_post, last.first_post) if swap else (last.first_post, last.second_post)
        partner = ids.get(id(other))
        pair = Partner(math.hypot(*pre[1]), math.hypot(*post[1])) if id(other) in masses else None
        approach = max(0.0, -_along(pre[0], pre[1], normal))
        leaving = max(0.0, _along(post[0], post[1], normal))
        pre_speed, post_speed = math.hypot(*pre[0]), math.hypot(*post[0])
        loss = 0.5 * masses[id(mine)] * (pre_speed**2 - post_speed**2)
        if pair is not None:
            loss += 0.5 * masses[id(other)] * (pair.pre_speed_mps**2 - pair.post_speed_mps**2)
        contact: Contact
        if mine.path or other.path:
            contact = "strike"
        elif pair is not None:
            contact = "collision"
        else:
            contact = "landing" if leaving < _SETTLED_MPS else "bounce"
        surface = actors[id(other)].material if id(other) in actors else other.material
        view = geometry.view(first.time_s)
        px = view[:, :2] @ np.array(first.point) + view[:, 2]
        x, y = float((px[0] + 0.5) / geometry.width), float((px[1] + 0.5) / geometry.height)
        impacts.append(
            Impact(
                f"impact-{len(impacts) + 1}",
                first.time_s,
                ids[id(mine)],
                partner,
                surface,
                contact,
                (normal[0], normal[1], 0.0),
                approach,
                leaving,
                pre_speed,
                post_speed,
                impulse,
                max(0.0, loss),
                (x, y),
                source="simulation",
            )
        )
        partners.append(pair)
        post_x = filming.occluder
        world_x = first.point[0] / played.stage.width_m
        hidden = post_x is not None and post_x[0] <= world_x <= post_x[0] + post_x[1]
        visible.append(0.0 <= x <= 1.0 and 0.0 <= y <= 1.0 and not hidden)
    return impacts, partners, visible


def _along(first: Point, second: Point, normal: Point) -> float:
    return (first[0] - second[0]) * normal[0] + (first[1] - second[1]) * normal[1]


def _blows(meetings: tuple[Meeting, ...]) -> list[tuple[Meeting, Meeting, float]]:
    """(first contact, last contact, summed impulse) of every blow, in order of time."""
    blows: list[tuple[Meeting, Meeting, float]] = []
    latest: dict[tuple[int, int], int] = {}
    for meeting in meetings:
        pair = id(meeting.first), id(meeting.second)
        at = latest.get(pair)
        if at is not None and meeting.time_s - blows[at][1].time_s < SAME_BLOW_S:
            first, _, impulse = blows[at]
            blows[at] = first, meeting, impulse + meeting.impulse_ns
        else:
            latest[pair] = len(blows)
            blows.append((meeting, meeting, meeting.impulse_ns))
    return blows


def _inverse(affine: np.ndarray) -> np.ndarray:
    turn = np.linalg.inv(affine[:, :2])
    return np.concatenate([turn, -turn @ affine[:, 2:]], axis=1)
