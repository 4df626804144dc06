"""Rooms with known geometry, seen by a camera that stands or moves: what a metric reconstructor would give of them.

Rays are cast at a textured room with boxes, a moving ball or box and one that stands; points, masks and pictures come
out as exact as pixels allow, then the errors of reconstructors are laid over them: soft depth edges, frayed masks, and
in each picture another scale, pose and warp of depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pavas_core.estimation.space.reconstruction import Reconstruction, View
from pavas_core.estimation.tracking.camera import CameraTracker, apply
from pavas_core.models.cut3r_picture import Placement
from pavas_core.physics.masks import pack_masks
from pavas_core.physics.types import Track, TrackSet

WIDTH, HEIGHT = 256, 144
FOCAL = 0.8 * WIDTH
RATE = 30.0
FLOOR = 0.8
GRAVITY = 9.81
KINDS = ("drop", "throw", "push", "cross", "approach")
CAMERAS = ("still", "handheld", "dolly")


@dataclass(frozen=True)
class Noise:
    """Errors of one picture, drawn anew for each: standard deviations."""

    scale: float = 0.0
    rotation_deg: float = 0.0
    shift_m: float = 0.0
    warp: float = 0.0
    """Of depth, relative, smooth over a quarter of the picture."""


CLEAN, JITTER = Noise(), Noise(0.01, 0.2, 0.01, 0.003)


@dataclass(frozen=True)
class Contact:
    """What really happened."""

    time_s: float
    pre_mps: float
    post_mps: float


@dataclass(frozen=True)
class WorldScene:
    """One made-up clip and its truth; object ``mover-1`` moves, ``rest-1`` stands."""

    kind: str
    camera: str
    reconstruction: Reconstruction
    tracks: TrackSet
    speed_mps: np.ndarray
    """float64 [L - 1] true speed of the mover at the middles of intervals."""
    contacts: tuple[Contact, ...]


@dataclass(frozen=True)
class _Body:
    """A ball (``half`` equal) or a box."""

    ball: bool
    half: np.ndarray
    tint: float


def make_scene(kind: str, camera: str, noise: Noise, seed: int, *, seconds: float = 1.7) -> WorldScene:
    """A scene of one of :data:`KINDS`, filmed by one of :data:`CAMERAS`."""
    rng = np.random.default_rng([seed, KINDS.index(kind), CAMERAS.index(camera)])
    times = np.arange(round(seconds * RATE)) / RATE
    fine = np.arange(0.0, seconds, 1e-3)
    body, path, contacts = _motion(kind, fine, rng)
    middles = (times[:-1] + times[1:]) / 2
    speeds = np.linalg.norm(np.gradient(path, fine, axis=0), axis=1)
    for contact in contacts:
        near = np.abs(fine - contact.time_s) < 2.5e-3
        speeds[near] = np.where(fine[near] < contact.time_s, contact.pre_mps, contact.post_mps)
    places = np.stack([np.interp(times, fine, path[:, axis]) for axis in range(3)], axis=-1)
    rest = _Body(bool(rng.random() < 0.5), np.full(3, rng.uniform(0.12, 0.2)), 0.3)
    side = -np.sign(places[len(places) // 2, 0] or 1.0)
    rest_place = np.array([side * rng.uniform(0.6, 1.0), FLOOR - rest.half[1], rng.uniform(3.0, 4.0)])
    boxes = [
        (np.array([rng.uniform(-2.2, 2.2), FLOOR - h / 2, rng.uniform(4.2, 5.5)]), np.array([w, h, w]) / 2)
        for w, h in rng.uniform([0.3, 0.4], [0.7, 1.4], (4, 2))
    ]
    poses = _cameras(camera, times, rng)
    views, masks, grays = [], [], []
    for index, time_s in enumerate(times):
        shown = [(body, places[index]), (rest, rest_place)]
        points, which, gray = _shoot(poses[index], shown, boxes)
        grays.append(gray)
        masks.append([_frayed(which == number, rng) for number in range(2)])
        views.append(_view(float(time_s), points, poses[index], gray, noise, rng))
    placement = Placement((WIDTH, HEIGHT), (WIDTH, HEIGHT), 0, 0, WIDTH, HEIGHT)
    reconstruction = Reconstruction(views, times, placement, "The scene", 0.2)
    tracks = _tracks(times, np.array(masks), grays)
    return WorldScene(kind, camera, reconstruction, tracks, np.interp(middles, fine, speeds), tuple(contacts))


def _motion(kind: str, fine: np.ndarray, rng: np.random.Generator) -> tuple[_Body, np.ndarray, list[Contact]]:
    """Body, its centre [N, 3] in the first camera's level frame, and its contacts."""
    radius = rng.uniform(0.09, 0.16)
    ball = _Body(True, np.full(3, radius), 0.8)
    if kind in ("drop", "throw"):
        start = np.array([rng.uniform(-0.5, 0.5), rng.uniform(-0.5, -0.1), rng.uniform(2.6, 3.8)])
        speed = np.array([rng.uniform(-0.4, 0.4), 0.0, rng.uniform(-0.4, 0.4)])
        if kind == "throw":
            start[0] = -rng.uniform(0.7, 1.1)
            speed = np.array([rng.uniform(1.0, 1.8), rng.uniform(-1.6, -0.3), rng.uniform(-0.6, 0.6)])
        return ball, *_bounces(start, speed, radius, rng.uniform(0.6, 0.85), fine)
    half = rng.uniform(0.09, 0.18, 3)
    box = _Body(False, half, 0.8)
    if kind == "push":
        start = np.array([-rng.uniform(0.8, 1.2), FLOOR - half[1], rng.uniform(2.4, 3.2)])
        speed = np.array([rng.uniform(1.2, 2.4), 0.0, rng.uniform(-0.6, 0.6)])
        at = rng.uniform(0.5, 0.8)
        keep = rng.uniform(0.25, 0.6)
        after = np.array([-keep * speed[0], 0.0, 0.8 * speed[2]])
        path = start + np.minimum(fine, at)[:, None] * speed + np.maximum(fine - at, 0)[:, None] * after
        return box, path, [Contact(at, float(np.linalg.norm(speed)), float(np.linalg.norm(after)))]
    height = rng.uniform(-0.3, 0.3)
    if kind == "cross":
        start = np.array([-rng.uniform(0.9, 1.2), height, rng.uniform(2.6, 3.8)])
        speed = np.array([rng.uniform(0.8, 1.5), rng.uniform(-0.2, 0.2), rng.uniform(-0.5, 0.5)])
    else:
        start = np.array([rng.uniform(-0.6, 0.6), height, rng.uniform(3.8, 4.2)])
        speed = np.array([rng.uniform(-0.3, 0.3), rng.uniform(-0.1, 0.1), -rng.uniform(0.7, 1.2)])
    return (ball if rng.random() < 0.5 else box), start + fine[:, None] * speed, []


def _bounces(
    start: np.ndarray, speed: np.ndarray, radius: float, keep: float, fine: np.ndarray
) -> tuple[np.ndarray, list[Contact]]:
    """Free flight with bounces on the floor."""
    path, contacts = np.zeros((len(fine), 3)), []
    place, velocity, since = start.copy(), speed.copy(), 0.0
    down = np.array([0.0, GRAVITY, 0.0])
    for index, time_s in enumerate(fine):
        lasted = time_s - since
        path[index] = place + velocity * lasted + 0.5 * down * lasted**2
        fall = velocity[1] ** 2 + 2 * GRAVITY * (FLOOR - radius - place[1])
        until = (-velocity[1] + np.sqrt(max(fall, 0.0))) / GRAVITY
        if lasted >= until > 1e-6:
            before = velocity + down * until
            after = before * [0.95, -keep, 0.95]
            if 0.2 < since + until < fine[-1] - 0.12:
                contacts.append(Contact(since + until, float(np.linalg.norm(before)), float(np.linalg.norm(after))))
            place = place + velocity * until + 0.5 * down * until**2
            velocity, since = after, since + until
    return path, contacts


def _cameras(kind: str, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poses [L, 4, 4], camera to world; the first one looks level or a little down."""
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    angles, shifts = np.zeros((len(times), 3)), np.zeros((len(times), 3))
    angles[:, 0] = -np.deg2rad(rng.uniform(5, 12))
    if kind != "still":
        for axis, (deg, metres) in enumerate(((0.6, 0.012), (1.0, 0.015), (0.4, 0.012))):
            for rate in rng.uniform(0.4, 2.2, 3):
                wave = np.sin(2 * np.pi * rate * times + rng.uniform(0, 6.3)) / np.sqrt(3)
                angles[:, axis] += np.deg2rad(deg) * wave
                shifts[:, axis] += metres * wave
    if kind == "handheld":
        angles[:, 1] += np.deg2rad(rng.uniform(-8, 8)) * times
    if kind == "dolly":
        shifts += np.array([rng.uniform(-0.35, 0.35), 0.0, rng.uniform(-0.1, 0.4)]) * times[:, None]
    for pose, angle, shift in zip(poses, angles, shifts, strict=True):
        pose[:3, :3], pose[:3, 3] = _rotation(angle), shift
    return poses


def _rotation(angle: np.ndarray) -> np.ndarray:
    """About y, then x, then z, radians."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angle), np.cos(angle)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def _shoot(
    pose: np.ndarray, shown: list[tuple[_Body, np.ndarray]], boxes: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points in the camera's frame [h, w, 3], which body each pixel shows (-1 none) and a grey picture."""
    x, y = np.meshgrid(np.arange(WIDTH) - WIDTH // 2, np.arange(HEIGHT) - HEIGHT // 2)
    ray = np.stack([x / FOCAL, y / FOCAL, np.ones_like(x, float)], axis=-1) @ pose[:3, :3].T
    origin = pose[:3, 3]
    far = np.full((HEIGHT, WIDTH), np.inf)
    which, offset = np.full((HEIGHT, WIDTH), -1), np.zeros(3)
    moved = np.zeros((HEIGHT, WIDTH, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis, at in ((1, FLOOR), (2, 6.0), (0, -3.0), (0, 3.0), (1, -2.2)):
            hit = (at - origin[axis]) / ray[..., axis]
            far = np.where((hit > 0) & (hit < far), hit, far)
        for number, (centre, half, ball) in enumerate(
            [(c, h, False) for c, h in boxes] + [(place, body.half, body.ball) for body, place in shown]
        ):
            hit = _hit(origin - centre, ray, half, ball)
            nearer = hit < far
            far = np.where(nearer, hit, far)
            number -= len(boxes)
            if number >= 0:
                which[nearer], offset = number, centre
                moved[nearer] = offset
    world = origin + far[..., None] * ray
    tint = np.array([*(body.tint for body, _ in shown), 0.5])[which]
    gray = np.clip(255 * (0.25 * tint + 0.75 * _texture(world - moved)), 0, 255).astype(np.uint8)
    return (world - origin) @ pose[:3, :3], which, gray


def _hit(origin: np.ndarray, ray: np.ndarray, half: np.ndarray, ball: bool) -> np.ndarray:
    """How far along the rays a ball or box around zero is met; infinite where it is missed."""
    if ball:
        a, b = (ray**2).sum(axis=-1), ray @ origin
        inside = b**2 - a * (origin @ origin - half[0] ** 2)
        hit = (-b - np.sqrt(np.maximum(inside, 0))) / a
        return np.where((inside > 0) & (hit > 0), hit, np.inf)
    sides = np.stack([(-half - origin) / ray, (half - origin) / ray])
    enter, leave = sides.min(axis=0).max(axis=-1), sides.max(axis=0).min(axis=-1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


_LATTICE = np.random.default_rng(0).random((64, 64, 64)).astype(np.float32)


def _texture(places: np.ndarray) -> np.ndarray:
    """0..1 from a lattice of random values in space, at two sizes."""
    out = np.zeros(places.shape[:-1], np.float32)
    for size, strength in ((0.3, 0.55), (0.09, 0.45)):
        scaled = places / size + 100.0
        cell = np.floor(scaled).astype(int)
        part = (scaled - cell).astype(np.float32)
        weights = 1 - part * part * (3 - 2 * part), part * part * (3 - 2 * part)
        x, y, z = np.moveaxis(np.stack([cell % 64, (cell + 1) % 64]), -1, 0)
        for i, j, k in np.ndindex(2, 2, 2):
            share = weights[i][..., 0] * weights[j][..., 1] * weights[k][..., 2]
            out += strength * share * _LATTICE[x[i], y[j], z[k]]
    return out


def _frayed(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask with an edge that is off by up to about a pixel, differently in each picture."""
    import cv2

    if not mask.any():
        return mask
    rough = cv2.resize(rng.normal(0, 0.12, (HEIGHT // 4, WIDTH // 4)), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
    return soft + rough > 0.5


def _view(
    time_s: float, points: np.ndarray, pose: np.ndarray, gray: np.ndarray, noise: Noise, rng: np.random.Generator
) -> View:
    """One picture as a reconstructor sees it."""
    import cv2

    depth = points[..., 2]
    # Networks draw depth edges over a few pixels, with points between front and back.
    soft = cv2.GaussianBlur(depth.astype(np.float32), (0, 0), 1.2)
    edge = np.abs(soft - depth) / depth
    if noise.warp:
        coarse = rng.normal(0, noise.warp, (5, 8)).astype(np.float32)
        soft = soft * (1 + cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
    seen = (points / depth[..., None] * soft[..., None]) * (1 + noise.scale * rng.normal())
    off = np.eye(4)
    off[:3, :3] = _rotation(np.deg2rad(noise.rotation_deg) * rng.normal(0, 1, 3))
    off[:3, 3] = noise.shift_m * rng.normal(0, 1, 3)
    confidence = (1.0 + 8.0 * np.exp(-edge / 0.02) / depth).astype(np.float32)
    return View(time_s, seen.astype(np.float32), confidence, pose @ off, FOCAL, gray)


def _tracks(times: np.ndarray, masks: np.ndarray, grays: list[np.ndarray]) -> TrackSet:
    """Tracks from masks [L, 2, h, w], with the camera's motion as the tracker measures it."""
    follower = CameraTracker()
    maps = np.array([follower.step(gray) for gray in grays])
    corners = np.array([[0.0, 0.0], [WIDTH, HEIGHT]])
    moved = max(float(np.abs(apply(one, corners) - corners).max()) for one in maps)
    tracks = []
    for number, name in enumerate(("mover-1", "rest-1")):
        own = masks[:, number]
        area = own.sum(axis=(1, 2)).astype(np.float32)
        visible = area > 8
        boxes, centroids = np.full((len(times), 4), np.nan, np.float32), np.full((len(times), 2), np.nan, np.float32)
        truncated = np.zeros(len(times), bool)
        for i in np.flatnonzero(visible):
            rows, columns = np.nonzero(own[i])
            boxes[i] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            centroids[i] = columns.mean(), rows.mean()
            truncated[i] = boxes[i, 0] < 1 or boxes[i, 1] < 1 or boxes[i, 2] > WIDTH - 1 or boxes[i, 3] > HEIGHT - 1
        area[~visible] = np.nan
        tracks.append(Track(name, visible, boxes, centroids, area, truncated, None, pack_masks(own)))
    duration = float(times[-1] + 1 / RATE)
    return TrackSet(times, WIDTH, HEIGHT, duration, tuple(tracks), None if moved < 0.25 else maps)
