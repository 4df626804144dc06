"""Made-up clips unlike the simulator's: plain things before plain walls, stripes, blocks or clouds.

    python -m benchmarks.plain_scenes [--seeds 200] [--first 1000] [--landings]

One disc, box, ellipse or two-coloured ball goes along the ground, drops, flies, swings, comes to rest or starts from
rest, at 12 to 60 frames a second, H.264-compressed. Prints every clip in which it is missed, then how many are found.
A camera that takes such a thing for the scene, or a shadow's test that takes it for light, shows here.

With ``--landings`` each falls and stays where it falls, as most things do that fall: its place is soon learned as
background. Then it counts how many are heard to land, within 40 ms and with no other impact.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pavas_core.audio import Audio
from pavas_core.estimation.tracking.motion import detect_motion
from pavas_core.pipeline import estimate_scene
from pavas_core.video.clip import Clip, clip_from_frames, open_clip
from pavas_core.video.save import save_video

WALLS = ("plain", "blocks", "stripes", "gradient", "clouds")
MOTIONS = ("along", "drop", "throw", "pendulum", "stop", "start", "swing")
SHAPES = ("disc", "box", "ellipse", "two colours")
_SIZES = ((640, 360), (480, 270), (360, 640), (320, 240))
_RATES = (12.0, 24.0, 25.0, 30.0, 50.0, 60.0)
_LEAST_CONTRAST = (40.0, 90.0)
_EXPOSURES = 3
_ON_TIME_S = 0.04
_FOUND = 0.4
"""Share of its frames in which a track must lie on the thing; of what rests for long, three frames do."""


@dataclass(frozen=True)
class PlainScene:
    """One thing before one wall."""

    wall: str
    motion: str
    shape: str
    picture: np.ndarray
    """float [H, W, 3], without the thing."""
    colour: np.ndarray
    size_px: float
    rate_hz: float
    path: np.ndarray
    """float [L, 2], the thing's centre in every frame."""
    lands_s: float | None = None
    """When it meets the ground to stay there."""


def make_scene(seed: int, landing: bool = False) -> PlainScene:
    """The scene of a seed; where it is to land, that is all it does."""
    rng = np.random.default_rng(seed)
    width, height = _SIZES[rng.integers(len(_SIZES))]
    wall, motion, shape = (str(rng.choice(names)) for names in (WALLS, MOTIONS, SHAPES))
    picture, ground = _wall(rng, wall, width, height)
    mean, colour = picture.mean((0, 1)), rng.uniform(0, 255, 3)
    least = rng.choice(_LEAST_CONTRAST)
    while np.abs(colour - mean).max() < least:
        colour = rng.uniform(0, 255, 3)
    size = width * float(np.exp(rng.uniform(np.log(0.03), np.log(0.22))))
    half = size / 2 * (1.0 if shape in ("disc", "two colours") else 0.6)
    rate, duration = float(rng.choice(_RATES)), rng.uniform(1.2, 4.0)
    time = np.arange(round((duration + 2 * landing) * rate)) / rate
    if landing:
        path, lands_s = _fall(rng, width, height, ground - half, time)
        return PlainScene(wall, "landing", shape, picture, colour, size, rate, path, lands_s)
    path = _path(rng, motion, width, height, ground - half, time)
    return PlainScene(wall, motion, shape, picture, colour, size, rate, path)


def _wall(rng: np.random.Generator, wall: str, width: int, height: int) -> tuple[np.ndarray, float]:
    """A wall, in six of ten cases with a floor of one colour, and where the ground is."""
    picture = np.ones((height, width, 3)) * rng.uniform(40, 210, 3)
    if wall == "blocks":
        side = int(rng.integers(6, 30))
        blocks = rng.normal(0, 25, (height // side + 1, width // side + 1, 1))
        picture += blocks.repeat(side, 0).repeat(side, 1)[:height, :width]
    elif wall == "stripes":
        picture += 30 * np.sin(np.arange(width) / rng.uniform(2, 15))[None, :, None]
    elif wall == "gradient":
        picture += np.linspace(-50, 50, height)[:, None, None]
    elif wall == "clouds":
        for cell, strength in ((64, 30), (24, 18), (8, 10), (3, 6)):
            grid = rng.normal(0, strength, (height // cell + 2, width // cell + 2))
            picture += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    ground = 0.8 * height
    if rng.random() < 0.6:
        ground = float(int(height * rng.uniform(0.6, 0.9)))
        picture[int(ground) :] = rng.uniform(20, 200, 3)
    return np.clip(picture, 0, 255), ground


def _path(rng: np.random.Generator, motion: str, width: int, height: int, floor: float, time: np.ndarray) -> np.ndarray:
    """Centres [L, 2] of what rests on the ground at ``floor``."""
    speed, duration, low = rng.uniform(0.25, 1.5) * width, time[-1], np.full(len(time), floor)
    if motion == "along":
        return np.stack([rng.uniform(-0.1, 0.3) * width + min(speed, 0.9 * width / duration) * time, low], 1)
    if motion == "stop":
        return np.stack([0.1 * width + np.minimum(speed * time, 0.6 * width), low], 1)
    if motion == "start":
        return np.stack([0.2 * width + np.clip(speed * (time - duration / 2), 0, 0.6 * width), low], 1)
    if motion == "throw":
        rise = 4 * 0.6 * height * time / duration * (1 - time / duration)
        return np.stack([0.05 * width + 0.9 * width * time / duration, floor - rise], 1)
    if motion == "pendulum":
        angle = 0.6 * np.sin(2 * np.pi * time / rng.uniform(0.8, 2.0))
        return np.stack([width / 2 + 0.5 * height * np.sin(angle), (0.1 + 0.5 * np.cos(angle)) * height], 1)
    if motion == "swing":
        sway = 0.2 * width * np.sin(2 * np.pi * time / rng.uniform(0.5, 1.5))
        return np.stack([width / 2 + sway, np.full(len(time), 0.45 * height)], 1)
    place, fall, gravity, heights = 0.15 * height, 0.0, rng.uniform(1.5, 4.0) * height, []
    for _ in time:
        heights.append(place)
        for _ in range(8):
            fall += gravity * time[1] / 8
            place += fall * time[1] / 8
            if place > floor:
                place, fall = floor, -0.7 * fall if fall > 0.05 * gravity else 0.0
    return np.stack([rng.uniform(0.3, 0.7) * width + rng.uniform(-0.1, 0.1) * width * time, heights], 1)


def _fall(
    rng: np.random.Generator, width: int, height: int, floor: float, time: np.ndarray
) -> tuple[np.ndarray, float]:
    """Centres [L, 2] of what is let go at a time and stays where it falls, and when it lands."""
    start, gravity, let_go_s = 0.15 * height, rng.uniform(1.5, 6.0) * height, rng.uniform(0.0, 0.1)
    lands_s = let_go_s + float(np.sqrt(2 * (floor - start) / gravity))
    heights = np.minimum(start + gravity / 2 * np.clip(time - let_go_s, 0, None) ** 2, floor)
    return np.stack([np.full(len(time), rng.uniform(0.3, 0.7) * width), heights], 1), lands_s


def film(scene: PlainScene, path: Path, rng: np.random.Generator) -> Clip:
    """The scene as a compressed file, each frame exposed for half of its time."""
    height, width = scene.picture.shape[:2]
    frames = np.empty((len(scene.path), height, width, 3), np.uint8)
    for i, place in enumerate(scene.path):
        before = scene.path[max(0, i - 1)]
        shares = np.linspace(0.5, 1.0, _EXPOSURES)
        cover = np.mean([_cover(scene, before + share * (place - before)) for share in shares], axis=0)[..., None]
        colours = np.ones((height, width, 3)) * scene.colour
        if scene.shape == "two colours":
            colours[:, int(np.clip(place[0], 0, width)) :] = 255 - scene.colour
        image = scene.picture * (1 - cover) + colours * cover
        frames[i] = np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255)
    silence = Audio(np.zeros((1, round(48000 * len(frames) / scene.rate_hz)), np.float32), 48000)
    save_video(clip_from_frames(frames, scene.rate_hz), silence, path)
    return open_clip(path)


def _cover(scene: PlainScene, place: np.ndarray) -> np.ndarray:
    """How much of every pixel [H, W] the thing covers at ``place``."""
    cover = np.zeros(scene.picture.shape[:2], np.uint8)
    (x, y), half = (place * 16).astype(int).tolist(), round(scene.size_px * 8)
    if scene.shape == "box":
        low = round(0.6 * half)
        cv2.rectangle(cover, (x - half, y - low), (x + half, y + low), 255, -1, cv2.LINE_AA, 4)
    elif scene.shape == "ellipse":
        cv2.ellipse(cover, (x, y), (half, round(0.6 * half)), 20, 0, 360, 255, -1, cv2.LINE_AA, 4)
    else:
        cv2.circle(cover, (x, y), half, 255, -1, cv2.LINE_AA, 4)
    return cover / 255.0


def is_found(scene: PlainScene, clip: Clip) -> bool:
    """Whether one track lies on the thing."""
    tracks = detect_motion(clip).tracks
    assert tracks is not None
    times = np.arange(len(scene.path)) / scene.rate_hz
    truth = np.stack([np.interp(tracks.times_s, times, scene.path[:, axis]) for axis in (0, 1)], 1)
    near = [np.hypot(*(one.centroids - truth).T) < 0.5 * scene.size_px for one in tracks.tracks]
    seen = int(((truth[:, 0] > 0) & (truth[:, 0] < tracks.width)).sum())
    least = 3 if scene.motion in ("stop", "start") else _FOUND * seen
    return max((int(one.sum()) for one in near), default=0) >= least


def is_heard(scene: PlainScene, clip: Clip) -> bool:
    """Whether it is heard to land, once."""
    found = estimate_scene(clip).impacts
    assert scene.lands_s is not None
    return len(found) == 1 and abs(found[0].time_s - scene.lands_s) <= _ON_TIME_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--landings", action="store_true")
    options = parser.parse_args()
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.seeds):
            scene = make_scene(seed, options.landings)
            clip = film(scene, Path(folder) / "plain.mp4", np.random.default_rng([seed, 1]))
            if (is_heard if options.landings else is_found)(scene, clip):
                found += 1
                continue
            size = f"{scene.size_px:.0f} of {scene.picture.shape[1]} px at {scene.rate_hz:g} Hz"
            print(f"{seed}: missed a {scene.shape}, {size}, {scene.motion}, before {scene.wall}", flush=True)
    print(f"found {found} of {options.seeds}")


if __name__ == "__main__":
    main()
