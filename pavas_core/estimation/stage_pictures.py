"""A picture of every stage of the estimator, to see where it went wrong. RGB uint8, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.plots import GREY, INK, PALETTE, PAPER, tint_object

if TYPE_CHECKING:
    from pavas_core.estimation.masks.segment_track import TimedPrompt
    from pavas_core.estimation.space.reconstruction import Reconstruction
    from pavas_core.physics.types import ObjectSet, TrackSet
    from pavas_core.video.clip import Clip, Frame

TILE = 480
"""Long side of one picture of a sheet."""
COLUMNS = 4
POINTS_A_VIEW = 1500
SIDE = 720


def sheet(images: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Pictures of one size in rows, each under its caption: uint8 [H, W, 3]."""
    from PIL import Image, ImageDraw, ImageFont

    if not images:
        images, captions = [np.full((90, 320, 3), 255, np.uint8)], ["nothing to show"]
    scale = min(1.0, TILE / max(images[0].shape[:2]))
    wide, high = (max(1, round(side * scale)) for side in (images[0].shape[1], images[0].shape[0]))
    columns = min(COLUMNS, len(images))
    head, gap = 22, 6
    rows = math.ceil(len(images) / columns)
    canvas = Image.new("RGB", (columns * (wide + gap) + gap, rows * (high + head + gap) + gap), PAPER)
    draw = ImageDraw.Draw(canvas)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = gap + index % columns * (wide + gap), gap + index // columns * (high + head + gap)
        draw.text((x, y + head / 2), caption, fill=INK, font=ImageFont.load_default(14), anchor="lm")
        canvas.paste(Image.fromarray(image).resize((wide, high)), (x, y + head))
    return np.asarray(canvas)


def shown_pictures(frames: Sequence[Frame]) -> np.ndarray:
    """What the language model saw."""
    return sheet([frame.image for frame in frames], [f"{frame.time_s:.2f} s" for frame in frames])


def start_pictures(clip: Clip, objects: ObjectSet, starts: Mapping[str, TimedPrompt]) -> np.ndarray:
    """Box or points that each object was first marked by, in the picture of that moment."""
    from PIL import Image, ImageDraw

    names = {thing.id: thing.name for thing in objects.objects}
    images, captions = [], []
    for index, (name, start) in enumerate(starts.items()):
        image = _frames_at(clip, [start.time_s])[0]
        canvas = Image.fromarray(image)
        draw = ImageDraw.Draw(canvas)
        sx, sy = image.shape[1] / clip.width, image.shape[0] / clip.height
        colour, width = PALETTE[index % len(PALETTE)], max(2, max(image.shape) // 160)
        if start.prompt.box is not None:
            x0, y0, x1, y1 = start.prompt.box
            draw.rectangle((x0 * sx, y0 * sy, x1 * sx, y1 * sy), outline=colour, width=width)
        for x, y in start.prompt.points:
            draw.ellipse((x * sx - width, y * sy - width, x * sx + width, y * sy + width), fill=colour)
        images.append(np.asarray(canvas))
        captions.append(f"{names.get(name, name)}, {start.time_s:.2f} s")
    return sheet(images, captions)


def mask_sheet(clip: Clip, tracks: TrackSet, count: int = 12) -> np.ndarray:
    """Masks over pictures spread over the clip."""
    places = np.unique(np.linspace(0, len(tracks.times_s) - 1, min(count, len(tracks.times_s))).round().astype(int))
    images = []
    for place, image in zip(places, _frames_at(clip, tracks.times_s[places]), strict=True):
        picture = image.copy()
        for index, track in enumerate(tracks.tracks):
            tint_object(picture, track, int(place), PALETTE[index % len(PALETTE)])
        images.append(picture)
    return sheet(images, [f"{tracks.times_s[place]:.2f} s" for place in places])


class PointWatch:
    """Keeps some world points of a few views on their way to someone else, and draws them from above and aside."""

    def __init__(self, count: int = 12) -> None:
        self.count = count
        self._points: list[np.ndarray] = []
        self._owners: list[np.ndarray] = []

    def watch(self, reconstruction: Reconstruction, tracks: TrackSet) -> Reconstruction:
        """The same reconstruction; views that are walked through leave points here."""
        from pavas_core.estimation.space.world_paths import object_masks

        total = len(reconstruction.times_s)
        wanted = set(np.linspace(0, total - 1, min(self.count, total)).round().astype(int).tolist())

        def views() -> Iterator:
            for index, view in enumerate(reconstruction.views):
                if index in wanted:
                    pose = np.eye(4) if view.pose is None else view.pose
                    owner = np.zeros(view.points.shape[:2], int)
                    masks = object_masks(list(tracks.tracks), index, reconstruction.placement)
                    for number, mask in enumerate(masks, start=1):
                        owner[mask] = number
                    stride = max(1, round(math.sqrt(owner.size / POINTS_A_VIEW)))
                    points = view.points[::stride, ::stride].reshape(-1, 3).astype(float)
                    known = np.isfinite(points).all(axis=1)
                    self._points.append(points[known] @ pose[:3, :3].T + pose[:3, 3])
                    self._owners.append(owner[::stride, ::stride].reshape(-1)[known])
                yield view

        return replace(reconstruction, views=views())

    def picture(self) -> np.ndarray:
        """From above (right is right, up is away) beside from the side (right is away, down is down), in metres."""
        points = np.concatenate(self._points) if self._points else np.zeros((0, 3))
        owners = np.concatenate(self._owners) if self._owners else np.zeros(0, int)
        above = _scatter(points[:, [0, 2]] * [1, -1], owners, "from above: right, away")
        return np.hstack([above, _scatter(points[:, [2, 1]], owners, "from the side: away, down")])


def _scatter(places: np.ndarray, owners: np.ndarray, title: str) -> np.ndarray:
    """Points [n, 2] as dots on one scale: grey, or in the colour of their object; a bar tells a length."""
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("RGB", (SIDE, SIDE), PAPER)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(16)
    draw.text((12, 16), title, fill=INK, font=font, anchor="lm")
    if len(places):
        low, high = np.quantile(places, [0.01, 0.99], axis=0)
        span = float(max((high - low).max(), 1e-6)) * 1.1
        pixels = (places - (low + high) / 2) / span * SIDE + SIDE / 2
        for number in range(int(owners.max()) + 1):  # objects lie over the surroundings
            colour = (190, 190, 190) if number == 0 else PALETTE[(number - 1) % len(PALETTE)]
            for x, y in pixels[owners == number]:
                draw.rectangle((x - 1, y - 1, x + 1, y + 1), fill=colour)
        bar = 10.0 ** math.floor(math.log10(span / 3))
        bar *= max(step for step in (1, 2, 5) if bar * step <= span / 3)
        length = bar / span * SIDE
        draw.line((SIDE - 16 - length, SIDE - 20, SIDE - 16, SIDE - 20), fill=INK, width=3)
        draw.text((SIDE - 16, SIDE - 34), f"{bar:g} m", fill=GREY, font=font, anchor="rm")
    return np.asarray(canvas)


def _frames_at(clip: Clip, times_s: Sequence[float] | np.ndarray) -> list[np.ndarray]:
    """The pictures shown at rising times, small."""
    from pavas_core.video.clip import iter_frames

    found: list[np.ndarray] = []
    before: np.ndarray | None = None
    for frame in iter_frames(clip, long_side=TILE):
        while before is not None and len(found) < len(times_s) and times_s[len(found)] < frame.time_s - 1e-6:
            found.append(before)
        if len(found) == len(times_s):
            break
        before = frame.image
    assert before is not None
    return found + [before] * (len(times_s) - len(found))
