"""Pictures of a scene: the clip with what was found drawn in, and curves over time. RGB uint8, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pavas_core.audio import Audio
from pavas_core.errors import PhysicsError
from pavas_core.physics.masks import unpack_mask
from pavas_core.physics.types import Body, Impact, Scene, Track
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.video.clip import Clip

PALETTE = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (148, 103, 189),
    (110, 110, 110),
)  # fmt: skip
"""Colours that people with any colour vision can tell apart (after Okabe & Ito, 2008)."""
OVERLAY_LONG_SIDE = 1280
TRAIL_S = 0.6
ARROW_S = 0.12
"""An arrow shows how far its object would go in this time."""
FLASH_S = 0.10
"""An impact is drawn into pictures this near to it."""
PLOT_SIZE = (1280, 300)
"""Width of a plot and height of each of its panels."""
FINE = 2
"""Plots are drawn this much larger and scaled down, for smooth lines."""
INK, GREY, PALE, PAPER = (34, 34, 34), (120, 120, 120), (226, 226, 226), (255, 255, 255)
DYNAMIC_RANGE_DB = 70.0
FLOOR_DB = -120.0

Colour = tuple[int, int, int]


def overlay_frames(clip: Clip, scene: Scene, *, count: int = 4, runtime: Runtime | None = None) -> np.ndarray:
    """Pictures of the clip with masks, names, speeds and impacts: uint8 [count, H, W, 3], long side <= 1280.

    The hardest impacts come first, then moments spread over the clip; the pictures are in order of time. Raises
    PhysicsError where ``count`` is below 1.
    """
    from pavas_core.video.clip import iter_frames

    if count < 1:
        raise PhysicsError(f"{count} pictures cannot be drawn: ask for 1 or more.")
    runtime = runtime or Runtime()
    wanted = picture_times(scene, clip.duration_s, count)
    pictures: list[np.ndarray] = []
    long_side = min(OVERLAY_LONG_SIDE, max(clip.width, clip.height))
    last = None
    for frame in iter_frames(clip, long_side=long_side):
        while last is not None and len(pictures) < count and frame.time_s > wanted[len(pictures)]:
            near = min(last, frame, key=lambda one: abs(one.time_s - wanted[len(pictures)]))
            pictures.append(draw_overlay(near.image, near.time_s, scene))
        runtime.step("draw", len(pictures), count)
        if len(pictures) == count:
            break
        last = frame
    while last is not None and len(pictures) < count:
        pictures.append(draw_overlay(last.image, last.time_s, scene))
    return np.stack(pictures)


def save_overlay_video(
    clip: Clip, scene: Scene, path: Path, audio: Audio | None = None, *, runtime: Runtime | None = None
) -> None:
    """Write the clip with everything drawn into every picture; without ``audio`` with its own sound, or silence."""
    from pavas_core.video.clip import read_audio
    from pavas_core.video.save import save_video

    sound = audio or read_audio(clip)
    if sound is None:
        sound = Audio(np.zeros((1, round(clip.duration_s * 48_000)), np.float32), 48_000)
    save_video(clip, sound, path, draw=lambda image, time_s: draw_overlay(image, time_s, scene), runtime=runtime)


def picture_times(scene: Scene, duration_s: float, count: int) -> list[float]:
    """``count`` moments worth a picture, sorted: hard impacts first, else spread evenly."""
    chosen: list[float] = []
    apart_s = duration_s / (2 * count)
    for impact in sorted(scene.impacts, key=lambda one: -one.energy_loss_j):
        if len(chosen) < count and all(abs(impact.time_s - one) >= apart_s for one in chosen):
            chosen.append(impact.time_s)
    while len(chosen) < count:
        grid = (np.arange(8 * count) + 0.5) / (8 * count) * duration_s
        free = [min((abs(time_s - one) for one in chosen), default=min(time_s, duration_s - time_s)) for time_s in grid]
        chosen.append(float(grid[int(np.argmax(free))]))
    return sorted(chosen)


def draw_overlay(image: np.ndarray, time_s: float, scene: Scene) -> np.ndarray:
    """One RGB picture [H, W, 3] of ``time_s`` with what the scene says of that moment drawn in."""
    from PIL import Image, ImageDraw

    picture = np.array(image)
    height, width = picture.shape[:2]
    scale = np.array([width / scene.width, height / scene.height])
    tracks = {} if scene.tracks is None else {track.object_id: track for track in scene.tracks.tracks}
    frame = 0 if scene.tracks is None else int(np.argmin(np.abs(scene.tracks.times_s - time_s)))
    for index, body in enumerate(scene.bodies):
        track = tracks.get(body.object.id)
        if track is not None:
            tint_object(picture, track, frame, PALETTE[index % len(PALETTE)])
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    size = max(12, round(max(height, width) / 64))
    for index, body in enumerate(scene.bodies):
        track = tracks.get(body.object.id)
        if track is not None and scene.tracks is not None:
            _draw_trail(draw, track, scene.tracks.times_s, frame, scale, PALETTE[index % len(PALETTE)], size)
    taken: list[tuple[float, float, float, float]] = []
    for impact in scene.impacts:
        if abs(impact.time_s - time_s) <= FLASH_S:
            _draw_flash(draw, impact, width, height, size, taken)
    for index, body in enumerate(scene.bodies):
        track = tracks.get(body.object.id)
        if track is not None and track.visible[frame]:
            _draw_body(draw, body, track, frame, time_s, scale, PALETTE[index % len(PALETTE)], size, canvas.size, taken)
    _chip(draw, (size * 0.6, size * 0.6), f"{time_s:.2f} s", size, (0, 0, 0), (width, height), [])
    return np.asarray(canvas)


def plot_scene(scene: Scene, audio: Audio | None = None) -> np.ndarray:
    """Speeds and kinetic energies over time with the impacts, above waveform and spectrogram where there is sound.

    RGB uint8 [H, 1280, 3].
    """
    from PIL import Image, ImageDraw

    rows = max(1, math.ceil(len(scene.bodies) / 2))
    panels = 4 if audio is not None else 2
    width, each = PLOT_SIZE[0] * FINE, PLOT_SIZE[1] * FINE
    head = (58 + 24 * rows) * FINE
    canvas = Image.new("RGB", (width, head + panels * each), PAPER)
    draw = ImageDraw.Draw(canvas)
    _draw_head(draw, scene)
    frames = [
        (70 * FINE, head + index * each + 26 * FINE, width - 24 * FINE, head + (index + 1) * each - 34 * FINE)
        for index in range(panels)
    ]
    _draw_speeds(draw, scene, frames[0])
    _draw_energies(draw, scene, frames[1])
    if audio is not None:
        _draw_waveform(draw, scene, audio, frames[2])
        _draw_spectrogram(canvas, draw, scene, audio, frames[3])
    return np.asarray(canvas.resize((width // FINE, canvas.height // FINE), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class _Axes:
    """Where times and values lie in a picture."""

    box: tuple[int, int, int, int]
    duration_s: float
    low: float
    high: float
    log: bool = False

    def x(self, time_s: Any) -> Any:
        return self.box[0] + np.asarray(time_s) / self.duration_s * (self.box[2] - self.box[0])

    def y(self, value: Any) -> Any:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        value = np.log10(np.maximum(value, self.low)) if self.log else np.asarray(value)
        return self.box[3] - (np.clip(value, low, high) - low) / (high - low) * (self.box[3] - self.box[1])


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def tint_object(picture: np.ndarray, track: Track, frame: int, colour: Colour) -> None:
    """Colour the object's pixels and its outline, in place."""
    if track.masks is None or track.masks.runs[frame].size == 0:
        return
    height, width = picture.shape[:2]
    small = unpack_mask(track.masks, frame)
    rows = ((np.arange(height) + 0.5) * small.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * small.shape[1] / width).astype(int)
    mask = small[rows[:, None], columns]
    picture[mask] = (0.6 * picture[mask] + 0.4 * np.array(colour)).astype(np.uint8)
    inner, reach = mask.copy(), max(1, round(max(height, width) / 640))
    for step in range(1, reach + 1):
        inner[step:] &= mask[:-step]
        inner[:-step] &= mask[step:]
        inner[:, step:] &= mask[:, :-step]
        inner[:, :-step] &= mask[:, step:]
    picture[mask & ~inner] = colour


def _draw_trail(
    draw: Any, track: Track, times_s: np.ndarray, frame: int, scale: np.ndarray, colour: Colour, size: int
) -> None:
    """Where the object has just been."""
    past = np.flatnonzero(track.visible & (times_s <= times_s[frame]) & (times_s > times_s[frame] - TRAIL_S))
    for run in np.split(past, np.flatnonzero(np.diff(past) > 1) + 1):
        if run.size > 1:
            points = [tuple(point) for point in (track.centroids[run] * scale).tolist()]
            draw.line(points, fill=(255, 255, 255), width=max(3, size // 4), joint="curve")
            draw.line(points, fill=colour, width=max(2, size // 7), joint="curve")


def _draw_body(
    draw: Any,
    body: Body,
    track: Track,
    frame: int,
    time_s: float,
    scale: np.ndarray,
    colour: Colour,
    size: int,
    bounds: tuple[int, int],
    taken: list[tuple[float, float, float, float]],
) -> None:
    """Box, arrow of motion, and a label with mass and speed."""
    x0, y0, x1, y1 = (track.boxes[frame].reshape(2, 2) * scale).ravel().tolist()
    if track.masks is None:
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=2)
    velocity = body.velocity
    text = f"{body.object.id}  {_amount(body.mass.mass_kg, 'kg')}"
    near = int(np.argmin(np.abs(velocity.times_s - time_s))) if len(velocity.times_s) else -1
    if near >= 0 and np.isfinite(velocity.speed_mps[near]):
        text += f"  {velocity.speed_mps[near]:.2f} m/s"
        if velocity.vector_mps is not None and velocity.metres_per_px:
            start = track.centroids[frame] * scale
            step = velocity.vector_mps[near, :2] * ARROW_S / velocity.metres_per_px * scale
            _arrow(draw, start, start + step, colour, size)
    below = y0 < 2.2 * size
    _chip(draw, (x0, y1 + size * 0.4 if below else y0 - size * 1.9), text, size, colour, bounds, taken)


def _arrow(draw: Any, start: np.ndarray, end: np.ndarray, colour: Colour, size: int) -> None:
    length = float(np.hypot(*(end - start)))
    if not math.isfinite(length) or length < 2:
        return
    ahead = (end - start) / length
    across = np.array([-ahead[1], ahead[0]])
    head = min(0.8 * size, length)
    tip = [tuple(end), tuple(end - ahead * head + across * head / 2), tuple(end - ahead * head - across * head / 2)]
    for fill, extra in (((255, 255, 255), 2), (colour, 0)):
        draw.line([tuple(start), tuple(end - ahead * head * 0.8)], fill=fill, width=max(2, size // 6) + extra)
    draw.polygon(tip, fill=colour, outline=(255, 255, 255))


def _draw_flash(
    draw: Any, impact: Impact, width: int, height: int, size: int, taken: list[tuple[float, float, float, float]]
) -> None:
    """Rings where something was hit, with how."""
    x, y = impact.position[0] * width, impact.position[1] * height
    for radius, fill, thick in ((1.7, (255, 255, 255), 5), (1.7, (230, 30, 30), 3), (0.9, (230, 30, 30), 2)):
        around = (x - radius * size, y - radius * size, x + radius * size, y + radius * size)
        draw.ellipse(around, outline=fill, width=max(2, round(thick * size / 20)))
    onto = impact.partner or (impact.surface if impact.surface != "unknown" else "")
    text = f"{impact.contact}{' on ' + onto if onto else ''}  {impact.pre_normal_mps:.2f} m/s  "
    text += _amount(impact.energy_loss_j, "J")
    _chip(draw, (x + 2 * size, y + 1.2 * size), text, size, (200, 20, 20), (width, height), taken)


def _chip(
    draw: Any,
    place: tuple[float, float],
    text: str,
    size: int,
    colour: Colour,
    bounds: tuple[int, int],
    taken: list[tuple[float, float, float, float]],
) -> None:
    """White words on a coloured plate, moved into the picture and clear of those already there."""
    font = _font(size)
    pad = size * 0.35
    wide, high = draw.textlength(text, font=font) + 2 * pad, size * 1.5
    x = min(max(place[0], 0.0), max(0.0, bounds[0] - wide))
    y = min(max(place[1], 0.0), max(0.0, bounds[1] - high))
    for _ in range(len(taken) + 1):
        hit = [one for one in taken if x < one[2] and x + wide > one[0] and y < one[3] and y + high > one[1]]
        if not hit:
            break
        y = hit[0][3] + 2 if hit[0][3] + 2 + high <= bounds[1] else max(0.0, hit[0][1] - high - 2)
    taken.append((x, y, x + wide, y + high))
    draw.rounded_rectangle((x, y, x + wide, y + high), radius=size * 0.3, fill=colour)
    draw.text((x + pad, y + high / 2), text, fill=(255, 255, 255), font=font, anchor="lm")


def _draw_head(draw: Any, scene: Scene) -> None:
    """Title and one entry an object."""
    hits = len(scene.impacts)
    title = (
        f"{len(scene.bodies)} object{'s' * (len(scene.bodies) != 1)}, {hits} impact{'s' * (hits != 1)} "
        f"in {scene.duration_s:.2f} s"
    )
    draw.text((24 * FINE, 28 * FINE), title, fill=INK, font=_font(20 * FINE), anchor="lm")
    for index, body in enumerate(scene.bodies):
        x, y = (24 + 620 * (index % 2)) * FINE, (62 + 24 * (index // 2)) * FINE
        draw.rounded_rectangle(
            (x, y - 6 * FINE, x + 22 * FINE, y + 6 * FINE), radius=3 * FINE, fill=PALETTE[index % len(PALETTE)]
        )
        velocity = body.velocity
        text = (
            f"{body.object.id}: {_amount(body.mass.mass_kg, 'kg')} ({body.mass.source}), {body.object.material}, "
            f"scale: {velocity.scale_source.replace('_', ' ')} ±{100 * velocity.scale_sigma:.0f} %"
        )
        draw.text((x + 30 * FINE, y), text, fill=INK, font=_font(14 * FINE), anchor="lm")


def _draw_speeds(draw: Any, scene: Scene, box: tuple[int, int, int, int]) -> None:
    top = max((float(np.nanmax(body.velocity.speed_mps)) for body in scene.bodies if _seen(body)), default=1.0)
    top = max([top, *(impact.pre_speed_mps for impact in scene.impacts), 0.1])
    axes = _Axes(box, scene.duration_s, 0.0, top * 1.08)
    _draw_axes(draw, axes, "Speed, m/s", _ticks(axes.low, axes.high))
    _mark_impacts(draw, scene, axes)
    for index, body in enumerate(scene.bodies):
        _curve(draw, axes, body.velocity.times_s, body.velocity.speed_mps, PALETTE[index % len(PALETTE)])
    for impact in scene.impacts:
        _dots(draw, axes, impact.time_s, (impact.pre_speed_mps, impact.post_speed_mps), _colour(scene, impact))


def _draw_energies(draw: Any, scene: Scene, box: tuple[int, int, int, int]) -> None:
    curves = [body.mass.mass_kg / 2 * body.velocity.speed_mps.astype(np.float64) ** 2 for body in scene.bodies]
    losses = [impact.energy_loss_j for impact in scene.impacts if impact.energy_loss_j > 0]
    tops = [float(np.nanmax(curve)) for body, curve in zip(scene.bodies, curves, strict=True) if _seen(body)]
    top = max([*tops, *losses, 1e-6])
    high = 10.0 ** math.ceil(math.log10(top))
    low = high / 10.0 ** min(6, max(3, math.ceil(math.log10(high / min([*losses, top])))))
    axes = _Axes(box, scene.duration_s, low, high, log=True)
    decades = [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    _draw_axes(draw, axes, "Kinetic energy and what each impact loses (bars), J", decades)
    for impact in scene.impacts:
        x, half = float(axes.x(impact.time_s)), 4 * FINE
        if impact.energy_loss_j > 0:
            draw.rectangle(
                (x - half, float(axes.y(impact.energy_loss_j)), x + half, box[3]), fill=_colour(scene, impact)
            )
    for index, (body, curve) in enumerate(zip(scene.bodies, curves, strict=True)):
        _curve(draw, axes, body.velocity.times_s, curve, PALETTE[index % len(PALETTE)])


def _draw_waveform(draw: Any, scene: Scene, audio: Audio, box: tuple[int, int, int, int]) -> None:
    mono = audio.waveform.mean(axis=0)
    peak = float(np.abs(audio.waveform).max(initial=0.0))
    level = f"peak {20 * math.log10(peak):.1f} dBFS" if peak > 0 else "silence"
    top = max(1e-3, float(np.abs(mono).max(initial=0.0)) * 1.05)
    axes = _Axes(box, scene.duration_s, -top, top)
    _draw_axes(draw, axes, f"Sound ({level})", _ticks(-top, top, 4))
    _mark_impacts(draw, scene, axes)
    columns = box[2] - box[0]
    edges = np.linspace(0, scene.duration_s * audio.sample_rate, columns + 1).astype(int)
    for column in range(columns):
        part = mono[edges[column] : max(edges[column] + 1, edges[column + 1])]
        if part.size:
            x = box[0] + column
            draw.line((x, float(axes.y(part.max())), x, float(axes.y(part.min()))), fill=(60, 60, 60), width=1)


def _draw_spectrogram(canvas: Any, draw: Any, scene: Scene, audio: Audio, box: tuple[int, int, int, int]) -> None:
    from PIL import Image

    top_hz = audio.sample_rate / 2
    axes = _Axes(box, scene.duration_s, 50.0, top_hz, log=True)
    marks = [float(hz) for hz in (100, 200, 500, 1000, 2000, 5000, 10000, 20000) if hz <= top_hz]
    levels, centres_hz, times_s = _levels_db(audio)
    top_db = math.ceil(float(levels.max(initial=FLOOR_DB)) / 10) * 10
    if levels.size:
        wide, high = box[2] - box[0], box[3] - box[1]
        hz = 10 ** np.linspace(math.log10(top_hz), math.log10(axes.low), high)
        rows = np.clip(np.searchsorted(centres_hz, hz), 0, len(centres_hz) - 1)
        moments = (np.arange(wide) + 0.5) / wide * scene.duration_s
        columns = np.clip(np.searchsorted(times_s, moments), 0, len(times_s) - 1)
        shown = np.clip((levels[rows[:, None], columns] - top_db) / DYNAMIC_RANGE_DB + 1.0, 0.0, 1.0)
        shown[:, moments > audio.duration_s] = 0.0
        canvas.paste(Image.fromarray(_heat(shown)), (box[0], box[1]))
    _draw_axes(draw, axes, f"Spectrogram, Hz ({top_db - DYNAMIC_RANGE_DB:.0f} to {top_db:.0f} dBFS)", marks, False)
    for impact in scene.impacts:
        x = float(axes.x(impact.time_s))
        draw.polygon(
            [(x - 5 * FINE, box[1]), (x + 5 * FINE, box[1]), (x, box[1] + 9 * FINE)],
            fill=_colour(scene, impact),
        )


def _levels_db(audio: Audio) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels in dB re a full-scale sine [frequencies, times], frequencies in Hz, times in s."""
    from scipy.signal import stft

    mono = audio.waveform.mean(axis=0).astype(np.float64)
    length = min(1024, mono.size // 2)
    if length < 16:
        return np.zeros((0, 0)), np.zeros(0), np.zeros(0)
    centres_hz, times_s, spectra = stft(mono, audio.sample_rate, "hann", length, length - max(1, length // 4))
    # two-sided amplitude: a full-scale sine has half of it at either side
    return 20 * np.log10(np.maximum(2 * np.abs(spectra), 10 ** (FLOOR_DB / 20))), centres_hz, times_s


_HEAT = np.array(
    [(255, 255, 255), (216, 220, 240), (120, 140, 205), (130, 60, 150), (215, 60, 75), (250, 190, 60)], float
)


def _heat(shown: np.ndarray) -> np.ndarray:
    """White (0) over blue and red to yellow (1): uint8 [H, W, 3]."""
    stops = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(shown, stops, _HEAT[:, channel]) for channel in range(3)], axis=-1).astype(np.uint8)


def _draw_axes(draw: Any, axes: _Axes, title: str, marks: Sequence[float], grid: bool = True) -> None:
    x0, y0, x1, y1 = axes.box
    font = _font(13 * FINE)
    draw.text((x0, y0 - 14 * FINE), title, fill=INK, font=_font(14 * FINE), anchor="lm")
    for mark in marks:
        y = float(axes.y(mark))
        if grid:
            draw.line((x0, y, x1, y), fill=PALE, width=FINE)
        draw.text((x0 - 8 * FINE, y), _short(mark), fill=GREY, font=font, anchor="rm")
    for mark in _ticks(0.0, axes.duration_s, 12):
        x = float(axes.x(mark))
        draw.line((x, y1, x, y1 + 5 * FINE), fill=GREY, width=FINE)
        draw.text((x, y1 + 15 * FINE), f"{mark:g}{' s' if mark == 0 else ''}", fill=GREY, font=font, anchor="mm")
    draw.line((x0, y0, x0, y1, x1, y1), fill=GREY, width=FINE)


def _mark_impacts(draw: Any, scene: Scene, axes: _Axes) -> None:
    """A dashed line at every impact."""
    for impact in scene.impacts:
        x = float(axes.x(impact.time_s))
        colour = tuple(round(0.5 * part + 0.5 * 255) for part in _colour(scene, impact))
        for y in range(axes.box[1], axes.box[3], 10 * FINE):
            draw.line((x, y, x, min(y + 5 * FINE, axes.box[3])), fill=colour, width=FINE)


def _curve(draw: Any, axes: _Axes, times_s: np.ndarray, values: np.ndarray, colour: Colour) -> None:
    """A line that breaks where values are unknown; lone values are dots."""
    known = np.flatnonzero(np.isfinite(values))
    for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        points = list(zip(axes.x(times_s[run]).tolist(), axes.y(values[run]).tolist(), strict=True))
        if len(points) > 1:
            draw.line(points, fill=colour, width=2 * FINE, joint="curve")
        elif points:
            (x, y), reach = points[0], 2 * FINE
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)


def _dots(draw: Any, axes: _Axes, time_s: float, values: tuple[float, float], colour: Colour) -> None:
    """Before (filled) and after (hollow) an impact."""
    x, reach = float(axes.x(time_s)), 4 * FINE
    for value, fill in zip(values, (colour, PAPER), strict=True):
        y = float(axes.y(value))
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill, outline=colour, width=FINE)


def _ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most about ``most``."""
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-9) / most))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def _short(value: float) -> str:
    """A number for an axis: ``10k``, ``0.5``, ``1e-4``."""
    if value >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.0e}".replace("e-0", "e-")


def _amount(value: float, unit: str) -> str:
    """A quantity with a fitting prefix: ``57.7 g``, ``0.6 kg``, ``3.2 mJ``."""
    if unit == "kg":
        return f"{value * 1000:.3g} g" if value < 0.1 else f"{value:.3g} kg"
    return f"{value * 1000:.2g} m{unit}" if 0 < value < 0.1 else f"{value:.3g} {unit}"


def _seen(body: Body) -> bool:
    return bool(np.isfinite(body.velocity.speed_mps).any())


def _colour(scene: Scene, impact: Impact) -> Colour:
    ids = [body.object.id for body in scene.bodies]
    return PALETTE[ids.index(impact.object_id) % len(PALETTE)] if impact.object_id in ids else GREY
