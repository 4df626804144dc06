"""Made-up clips unlike the simulator's: balls, boxes, hammers, drumsticks, hands, walkers, leaves, in painted rooms.

    python -m benchmarks.acted_scenes [--seeds 102] [--first 0] [--play hammer] [--keep FOLDER]

Stands, is held by hand or pans, at 12 to 60 frames a second, with flat drop shadows, flicker, people who walk by,
H.264-compressed. Prints what is missed or made up in which clip, then the table of ``simulate --score``. What the
simulator never draws shows here: rules and networks are all made on its clips.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.acted_plays import PLAYS, SUBSTEPS, Blow, Box, Play, Rod, Stage, Thing, passer_by
from benchmarks.acted_rooms import margin_px, room
from pavas_core.audio import Audio
from pavas_core.physics.types import (
    GRAVITY_MPS2,
    Body,
    Impact,
    Mass,
    MovingObject,
    Scene,
    Track,
    TrackSet,
    Velocity,
)
from pavas_core.simulation.score import ClipScore, estimate_clip, report, score_clip
from pavas_core.simulation.truth import Partner
from pavas_core.video.clip import clip_from_frames
from pavas_core.video.save import save_video

_SIZES = ((640, 360), (848, 480), (640, 480), (360, 640), (480, 480))
_RATES = (12.0, 15.0, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0)
_CAMERAS = ("still", "still", "hand", "hand", "pan")
_VISITED = ("bounce", "two", "hammer", "drop")
_EXPOSURES = 4
_SHIFT = 4
_LEAST_SEEN_PX = 10


@dataclass(frozen=True)
class ActedClip:
    """A film of one play, with what is true of it as ``score_clip`` wants it."""

    seed: int
    kind: str
    description: str
    frames: np.ndarray
    """uint8 [L, H, W, 3]"""
    rate_hz: float
    scene: Scene
    visible: tuple[bool, ...]
    partners: tuple[Partner | None, ...]
    metres_per_px: float


@dataclass(frozen=True)
class _Filming:
    """How the picture is taken: maps [L, 2, 3] from the standing camera's pixels to each frame's."""

    camera: str
    maps: np.ndarray
    light: np.ndarray
    """float [L]"""
    shutter: float
    """Share of a frame."""
    noise: float
    shadows: bool


def act(seed: int, kind: str | None = None) -> ActedClip:
    """The clip of a seed: of one kind of play, or of each in turn."""
    rng = np.random.default_rng(seed)
    kind = kind or list(PLAYS)[seed % len(PLAYS)]
    width, height = _SIZES[rng.integers(len(_SIZES))]
    rate_hz, duration_s = float(rng.choice(_RATES)), rng.uniform(2.5, 5.0)
    metres_per_px, floor = rng.uniform(1.2, 3.0) / width, height * rng.uniform(0.72, 0.92)
    count = int(duration_s * rate_hz)
    times_s = np.arange(count * SUBSTEPS + 1) / (rate_hz * SUBSTEPS)
    name, wall = room(rng, width, height, floor)
    stage = Stage(rng, width, height, floor, GRAVITY_MPS2 / metres_per_px, times_s)
    play = PLAYS[kind](stage)
    if kind in _VISITED and rng.random() < 0.3:
        play.things.insert(0, passer_by(stage))
    for block, colour in play.blocks:
        _stand(wall, block, colour, margin_px(width))
    filming = _filming(rng, kind, width, height, count, rate_hz)
    frames, tracks = _film(rng, stage, play, filming, wall, rate_hz)
    blows = [one for one in sorted(play.blows, key=lambda one: one.time_s) if one.time_s < count / rate_hz - 0.05]
    impacts = tuple(_impact(k, one, play, stage, metres_per_px) for k, one in enumerate(blows))
    description = f"{name}, camera {filming.camera}, {width}x{height} at {rate_hz:g} Hz"
    return ActedClip(
        seed,
        kind,
        description,
        frames,
        rate_hz,
        Scene(tracks.duration_s, width, height, _bodies(play, tracks, metres_per_px), impacts, tracks),
        tuple(all(0 < x < 1 for x in one.position) for one in impacts),
        tuple(_partner(one, metres_per_px) for one in blows),
        metres_per_px,
    )


def _stand(wall: np.ndarray, block: Box, colour: np.ndarray, margin: int) -> None:
    (left, top), (right, low) = (
        np.maximum(block.centre + side * block.half + margin, 0).astype(int) for side in (-1, 1)
    )
    wall[top:low, left:right] = colour


def _filming(rng: np.random.Generator, kind: str, width: int, height: int, count: int, rate_hz: float) -> _Filming:
    camera = "pan" if kind == "nothing" and rng.random() < 0.5 else str(rng.choice(_CAMERAS))
    shift, turn = np.zeros((count, 2)), np.zeros(count)
    if camera == "hand":
        shift = np.stack([_sway(rng, count, 0.5 * rate_hz, share * width) for share in (0.006, 0.005)], 1)
        turn = _sway(rng, count, 0.6 * rate_hz, 0.003)
    elif camera == "pan":
        along = np.linspace(-0.07, 0.07, count) * width * rng.choice([-1, 1])
        shift = np.stack([along, _sway(rng, count, 0.8 * rate_hz, 0.002 * width)], 1)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
    middle = np.array([width / 2, height / 2])
    maps = np.concatenate([rotation, (middle - rotation @ middle + shift)[:, :, None]], 2)
    light, times_s = np.ones(count), np.arange(count) / rate_hz
    if kind == "nothing" and camera != "pan":
        light += 0.08 * (np.sin(6 * np.pi * times_s) > 0)
    elif rng.random() < 0.15:
        light += 0.02 * np.sin(2 * np.pi * times_s * rng.uniform(1, 8))
    return _Filming(camera, maps, light, rng.uniform(0.15, 0.6), float(rng.choice([1.0, 2.5])), rng.random() < 0.5)


def _sway(rng: np.random.Generator, count: int, every: float, strength: float) -> np.ndarray:
    knots = np.convolve(rng.normal(0, 1, max(4, int(count / every) + 4)), [0.25, 0.5, 0.25], "same")
    return np.asarray(strength * np.interp(np.arange(count) / every, np.arange(len(knots)), knots))


def _film(
    rng: np.random.Generator, stage: Stage, play: Play, filming: _Filming, wall: np.ndarray, rate_hz: float
) -> tuple[np.ndarray, TrackSet]:
    count, (height, width) = len(filming.maps), (stage.height, stage.width)
    frames = np.empty((count, height, width, 3), np.uint8)
    asked = [number for number, one in enumerate(play.things) if one.asked]
    boxes = np.full((len(asked), count, 4), np.nan, np.float32)
    centres, areas = (
        np.full((len(asked), count, 2), np.nan, np.float32),
        np.full((len(asked), count), np.nan, np.float32),
    )
    margin = margin_px(width)
    for frame, to_frame in enumerate(filming.maps):
        from_wall = to_frame @ np.array([[1, 0, -margin], [0, 1, -margin], [0, 0, 1.0]])
        back = cv2.warpAffine(wall, from_wall, (width, height), borderMode=cv2.BORDER_REPLICATE)
        shares = np.linspace(0, filming.shutter, _EXPOSURES)
        total = np.zeros_like(back)
        for number, share in enumerate(shares):
            step = min(frame * SUBSTEPS + round(share * SUBSTEPS), len(stage.time_s) - 1)
            picture = back.copy()
            if filming.shadows:
                _cast_shadows(picture, stage, play, to_frame, step)
            covers = [_paint(picture, one, to_frame, step, stage) for one in play.things]
            total += picture
            if number == _EXPOSURES // 2:
                for row, index in enumerate(asked):
                    seen = covers[index] & ~np.any(covers[index + 1 :], axis=0)
                    boxes[row, frame], centres[row, frame], areas[row, frame] = _measured(seen)
        noisy = total / _EXPOSURES * filming.light[frame] + rng.normal(0, filming.noise, total.shape)
        frames[frame] = np.clip(noisy, 0, 255)
    inner = np.array([1, 1, width - 1, height - 1])
    tracks = []
    for row, index in enumerate(asked):
        seen = np.isfinite(areas[row])
        cut = seen & ((boxes[row, :, :2] < inner[:2]).any(1) | (boxes[row, :, 2:] > inner[2:]).any(1))
        tracks.append(Track(play.things[index].name, seen, boxes[row], centres[row], areas[row], cut))
    to_first = np.stack([cv2.invertAffineTransform(one) for one in filming.maps])
    times_s = np.arange(count) / rate_hz
    return frames, TrackSet(times_s, width, height, count / rate_hz, tuple(tracks), to_first, "acted")


def _measured(seen: np.ndarray) -> tuple:
    """Box, centre and area of a mask; NaN of what is hardly seen."""
    y, x = np.nonzero(seen)
    if len(x) < _LEAST_SEEN_PX:
        return np.nan, np.nan, np.nan
    return (x.min(), y.min(), x.max() + 1, y.max() + 1), (x.mean(), y.mean()), len(x)


def _paint(picture: np.ndarray, thing: Thing, to_frame: np.ndarray, step: int, stage: Stage) -> np.ndarray:
    """Draw a thing onto the picture, lit from above; where it is, bool [H, W]."""
    where = np.zeros(picture.shape[:2], bool)
    centre = to_frame[:, :2] @ thing.centres[step] + to_frame[:, 2]
    for shape, colour in thing.parts(step):
        cover = _cover(shape, to_frame, picture.shape[:2])
        left, top, wide, high = cv2.boundingRect(cover)
        if not wide:
            continue
        part = np.s_[top : top + high, left : left + wide]
        y, x = np.mgrid[top : top + high, left : left + wide].astype(np.float32)
        painted = np.broadcast_to(colour, (high, wide, 3))
        if thing.pattern:
            turn = thing.spin * stage.time_s[step]
            across, along = x - centre[0], y - centre[1]
            u, v = across * np.cos(turn) + along * np.sin(turn), along * np.cos(turn) - across * np.sin(turn)
            scale = max(wide, high) / 2
            odd = np.sin(3 * u / scale + 1) * np.sin(3 * v / scale) > 0 if thing.pattern == 1 else abs(v) < scale / 4
            painted = np.where(odd[..., None], 255 - painted, painted)
        lit = np.clip(painted * (1.15 - 0.4 * (y - top) / high)[..., None], 0, 255)
        share = (cover[part] / 255.0)[..., None]
        picture[part] += share * (lit - picture[part])
        where |= cover > 127
    return where


def _cover(shape: Rod | Box, to_frame: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """How much of every pixel a shape covers, uint8 [H, W]."""
    cover = np.zeros(size, np.uint8)

    def drawn(points: Sequence[np.ndarray]) -> np.ndarray:
        moved = np.asarray(points, float) @ to_frame[:, :2].T + to_frame[:, 2]
        return np.asarray(np.round(moved * 2**_SHIFT), np.int32)

    if isinstance(shape, Box):
        corners = [shape.centre + shape.half * np.array(side) for side in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        cv2.fillPoly(cover, [drawn(corners)], 255, cv2.LINE_AA, _SHIFT)
        return cover
    along = shape.b - shape.a
    length = float(np.hypot(*along))
    if length > 0:
        aside = np.array([-along[1], along[0]]) / length * shape.radius
        sides = [shape.a + aside, shape.b + aside, shape.b - aside, shape.a - aside]
        cv2.fillPoly(cover, [drawn(sides)], 255, cv2.LINE_AA, _SHIFT)
    for x, y in drawn([shape.a, shape.b]).tolist():
        cv2.circle(cover, (x, y), round(shape.radius * 2**_SHIFT), 255, -1, cv2.LINE_AA, _SHIFT)
    return cover


def _cast_shadows(picture: np.ndarray, stage: Stage, play: Play, to_frame: np.ndarray, step: int) -> None:
    """Soft flat spots on the ground below what is near to it."""
    for thing in play.things:
        x, y = thing.centres[step]
        dark = 0.4 * max(0.0, 1.0 - 2.0 * max(0.0, (stage.floor - y) / stage.height))
        if dark and thing.asked:
            half = 0.05 * stage.width
            ends = (np.array([x + side * half, stage.floor + 2]) for side in (-1, 1))
            spot = cv2.GaussianBlur(_cover(Rod(*ends, half / 5), to_frame, picture.shape[:2]), (0, 0), half / 8)
            picture *= (1 - dark * spot / 255.0)[..., None]


def _bodies(play: Play, tracks: TrackSet, metres_per_px: float) -> tuple[Body, ...]:
    middles = (tracks.times_s[1:] + tracks.times_s[:-1]) / 2
    bodies = []
    for thing in play.things:
        if not thing.asked:
            continue
        path = thing.centres[: len(tracks.times_s) * SUBSTEPS : SUBSTEPS]
        speed = np.hypot(*np.diff(path, axis=0).T) / np.diff(tracks.times_s) * metres_per_px
        mass = Mass(thing.mass_kg, thing.mass_kg, thing.mass_kg, "acted")
        velocity = Velocity(
            thing.name, middles, speed.astype(np.float32), None, None, (), metres_per_px, "metres_per_pixel", 0.0
        )
        bodies.append(Body(MovingObject(thing.name, thing.name), mass, velocity))
    return tuple(bodies)


def _impact(number: int, blow: Blow, play: Play, stage: Stage, metres_per_px: float) -> Impact:
    thing = next(one for one in play.things if one.name == blow.thing)
    before, after = blow.before * metres_per_px, blow.after * metres_per_px
    came, left = (abs(float(side @ np.array(blow.normal))) for side in (before, after))
    speeds = float(np.hypot(*before)), float(np.hypot(*after))
    lost = thing.mass_kg * (speeds[0] ** 2 - speeds[1] ** 2) / 2
    if blow.partner is not None and blow.partner_after is not None:
        other = next(one for one in play.things if one.name == blow.partner)
        lost -= other.mass_kg * float(blow.partner_after @ blow.partner_after) * metres_per_px**2 / 2
    place = thing.centres[min(round(blow.time_s / stage.step_s), len(thing.centres) - 1)]
    return Impact(
        id=f"impact-{number + 1}",
        time_s=blow.time_s,
        object_id=blow.thing,
        partner=blow.partner,
        surface="unknown",
        contact=blow.contact,
        normal=(*blow.normal, 0.0),
        pre_normal_mps=came,
        post_normal_mps=left,
        pre_speed_mps=speeds[0],
        post_speed_mps=speeds[1],
        impulse_ns=thing.mass_kg * (came + left),
        energy_loss_j=max(0.0, lost),
        position=(float(place[0]) / stage.width, float(place[1]) / stage.height),
    )


def _partner(blow: Blow, metres_per_px: float) -> Partner | None:
    if blow.partner_after is None:
        return None
    return Partner(0.0, float(np.hypot(*blow.partner_after)) * metres_per_px)


def judge(clip: ActedClip, folder: Path) -> ClipScore:
    """Write, estimate and score a clip."""
    path = folder / f"{clip.kind}_{clip.seed}.mp4"
    silence = Audio(np.zeros((1, round(48000 * clip.scene.duration_s)), np.float32), 48000)
    save_video(clip_from_frames(clip.frames, clip.rate_hz), silence, path)
    return score_clip(clip, estimate_clip(path, clip))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6 * len(PLAYS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--play", choices=sorted(PLAYS))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the clips there, and leave them")
    options = parser.parse_args()
    scores = []
    with tempfile.TemporaryDirectory() as passing:
        folder = options.keep or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(options.first, options.first + options.seeds):
            clip = act(seed, options.play)
            score = judge(clip, folder)
            scores.append(score)
            if score.missed or score.false or score.extra or score.hits < score.impacts:
                found = f"objects {score.found} of {score.wanted}, {score.false} false"
                heard = f"impacts {score.hits} of {score.impacts}, {score.extra} extra"
                print(f"{seed} {clip.kind}: {found}, {heard} ({clip.description})", flush=True)
    print(report(scores).text())


if __name__ == "__main__":
    main()
