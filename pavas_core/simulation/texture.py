"""Procedural pictures: cloudy noise, boards, tiles, cluttered rooms, and painted sprites of bodies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pavas_core.simulation.outline import Point
from pavas_core.simulation.stage import Colour, Look

_FINE = 4
"""Sprites are drawn this much larger and averaged down for smooth edges."""
_LARGEST_PX = 900


def clouds(rng: np.random.Generator, height: int, width: int, cell_px: float, octaves: int = 4) -> np.ndarray:
    """float32 [height, width] fractal noise of about -1..1 whose largest blobs are ``cell_px`` wide."""
    import cv2

    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for _ in range(octaves):
        rows, columns = max(2, math.ceil(height / cell_px) + 1), max(2, math.ceil(width / cell_px) + 1)
        coarse = rng.normal(0.0, 0.5, (min(rows, height), min(columns, width))).astype(np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        weight *= 0.55
        cell_px = max(1.5, cell_px / 2.3)
    return total


def coloured(base: Colour | np.ndarray, field: np.ndarray, contrast: float) -> np.ndarray:
    """float32 [H, W, 3] of one colour whose brightness follows ``field``."""
    return np.asarray(base, np.float32) * (1.0 + contrast * field)[..., None]


def boards(rng: np.random.Generator, height: int, width: int, colour: Colour, board_px: float) -> np.ndarray:
    """float32 [H, W, 3] wooden boards that run along x."""
    row = np.arange(height) / max(board_px, 2.0)
    board = row.astype(int)
    shade = rng.normal(0.0, 0.08, board.max() + 1).astype(np.float32)[board]
    grain = clouds(rng, height, max(2, width // 12), board_px * 0.5)
    import cv2

    grain = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
    seam = (row - board < 1.4 / max(board_px, 2.0)).astype(np.float32)
    return coloured(colour, shade[:, None] + 0.10 * grain - 0.35 * seam[:, None], 1.0)


def tiles(rng: np.random.Generator, height: int, width: int, colour: Colour, tile_px: float, brick: bool) -> np.ndarray:
    """float32 [H, W, 3] square tiles, or bricks with shifted rows."""
    tile_px = max(tile_px, 4.0)
    tall = tile_px * (0.42 if brick else 1.0)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    row = np.floor(y / tall)
    x = x + (row % 2) * tile_px / 2 if brick else x
    column = np.floor(x / tile_px)
    shade = rng.normal(0.0, 0.09, (64, 64)).astype(np.float32)[row.astype(int) % 64, column.astype(int) % 64]
    joint = max(1.0, 0.05 * tile_px)
    seam = ((y - row * tall < joint) | (x - column * tile_px < joint)).astype(np.float32)
    fine = clouds(rng, height, width, tile_px * 0.4, 3)
    return coloured(colour, shade + 0.05 * fine + (-0.3 if rng.random() < 0.6 else 0.3) * seam, 1.0)


def clutter(rng: np.random.Generator, height: int, width: int, colour: Colour) -> np.ndarray:
    """float32 [H, W, 3] a room's back: shelves, frames, books, blobs and lettering, a little out of focus."""
    import cv2

    picture = coloured(colour, clouds(rng, height, width, width / 3.0, 3), 0.12)
    picture = np.clip(picture, 0, 255).astype(np.uint8).copy()

    def some_colour() -> tuple[int, int, int]:
        grey = rng.uniform(30, 230)
        red, green, blue = np.clip(grey + rng.normal(0, 45, 3), 0, 255)
        return int(red), int(green), int(blue)

    for _ in range(int(rng.integers(4, 14))):
        x, y = int(rng.uniform(-0.1, 1.0) * width), int(rng.uniform(-0.1, 1.0) * height)
        w, h = int(rng.uniform(0.03, 0.28) * width), int(rng.uniform(0.05, 0.45) * height)
        kind = rng.random()
        if kind < 0.5:
            cv2.rectangle(picture, (x, y), (x + w, y + h), some_colour(), -1, cv2.LINE_AA)
            cv2.rectangle(picture, (x, y), (x + w, y + h), some_colour(), max(1, width // 200), cv2.LINE_AA)
        elif kind < 0.7:
            cv2.ellipse(
                picture, (x, y), (w // 2 + 1, h // 3 + 1), rng.uniform(0, 180), 0, 360, some_colour(), -1, cv2.LINE_AA
            )
        elif kind < 0.9:
            left = x
            while left < x + w:
                thick = max(2, int(rng.uniform(0.006, 0.02) * width))
                top = y + int(rng.uniform(0, 0.3) * h)
                cv2.rectangle(picture, (left, top), (left + thick - 1, y + h), some_colour(), -1)
                left += thick
        else:
            word = "".join(chr(65 + int(c)) for c in rng.integers(0, 26, 5))
            cv2.putText(
                picture,
                word,
                (x, y),
                cv2.FONT_HERSHEY_DUPLEX,
                width / 700,
                some_colour(),
                max(1, width // 400),
                cv2.LINE_AA,
            )
    blur = rng.uniform(0.0, 0.006) * width
    return (cv2.GaussianBlur(picture, (0, 0), blur) if blur > 0.5 else picture).astype(np.float32)


def foliage(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """float32 [H, W, 3] sky over a hedge."""
    sky = np.linspace(1.0, 0.0, height, dtype=np.float32)[:, None, None]
    blue, haze = np.array((110, 160, 225), np.float32), np.array((225, 228, 230), np.float32)
    picture = sky * blue + (1 - sky) * haze + 18 * clouds(rng, height, width, width / 4)[..., None]
    line = height * rng.uniform(0.25, 0.7) + 0.12 * height * clouds(rng, 1, width, width / 5)[0]
    hedge = (np.arange(height)[:, None] > line[None]).astype(np.float32)[..., None]
    leaves = coloured((70, 96, 48), clouds(rng, height, width, width / 25, 4), 0.55)
    return picture * (1 - hedge) + leaves * hedge


@dataclass(frozen=True)
class Sprite:
    """A painted part: premultiplied uint8 [h, w, 4] and the map from its pixels to the body's frame in metres."""

    pixels: np.ndarray
    to_body: np.ndarray
    """float64 [2, 3]."""


def make_sprite(look: Look, px_per_m: float) -> Sprite:
    """Paint ``look`` at the density of the picture."""
    left, top, right, bottom = _bounds(look.vertices, look.radius)
    px_per_m = min(px_per_m, _LARGEST_PX / max(right - left, bottom - top))
    width, height = (max(3, math.ceil((b - a) * px_per_m) + 4) for a, b in ((left, right), (top, bottom)))
    origin = np.array([left - 2.0 / px_per_m, top - 2.0 / px_per_m])
    alpha = coverage(look.vertices, look.radius, origin, px_per_m, width, height)
    rng = np.random.default_rng(look.seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / px_per_m
    x, y = x + origin[0], y + origin[1]
    colours = _pattern(look, rng, x, y, px_per_m)
    if look.turns:
        colours *= _edge_shade(alpha, height, width)
    rgba = np.dstack([np.clip(colours, 0, 255) * alpha[..., None], alpha * 255.0])
    to_body = np.array([[1 / px_per_m, 0.0, origin[0]], [0.0, 1 / px_per_m, origin[1]]])
    # pixel centres: sprite pixel i covers i - 0.5 .. i + 0.5
    return Sprite(np.ascontiguousarray(np.rint(rgba).astype(np.uint8)), to_body)


def gloss_sprite(radius: float, px_per_m: float, shine: float) -> Sprite:
    """Shading of a ball lit from above left: a dark lower rim and a highlight, to be laid over the turned pattern."""
    px_per_m = min(px_per_m, _LARGEST_PX / (2 * radius))
    size = max(3, math.ceil(2 * radius * px_per_m) + 4)
    origin = -radius - 2.0 / px_per_m
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / px_per_m + origin
    inside = coverage(((0.0, 0.0),), radius, np.array([origin, origin]), px_per_m, size, size)
    u, v = x / radius, y / radius
    z = np.sqrt(np.clip(1.0 - u * u - v * v, 0.0, 1.0))
    light = np.clip(-0.4 * u - 0.65 * v + 0.65 * z, 0.0, 1.0)
    dark = np.clip(0.62 - 0.62 * light, 0.0, 0.62) * inside
    spark = np.clip((light - 0.93) / 0.07, 0.0, 1.0) * shine * inside
    white = 255.0 * spark
    rgba = np.dstack([white, white, white, 255.0 * np.clip(dark * (1 - spark) + spark, 0, 1)])
    to_body = np.array([[1 / px_per_m, 0.0, origin], [0.0, 1 / px_per_m, origin]])
    return Sprite(np.ascontiguousarray(np.rint(rgba).astype(np.uint8)), to_body)


def coverage(
    vertices: tuple[Point, ...], radius: float, origin: np.ndarray, px_per_m: float, width: int, height: int
) -> np.ndarray:
    """float32 [height, width] share of every pixel that a rounded outline covers."""
    import cv2

    large = np.zeros((height * _FINE, width * _FINE), np.uint8)
    scale = px_per_m * _FINE
    shift = 4
    points = ((np.array(vertices) - origin) * scale + (_FINE - 1) / 2) * (1 << shift)
    corners = np.rint(points).astype(np.int32)
    if len(corners) > 2:
        cv2.fillPoly(large, [corners], 255, cv2.LINE_8, shift)
    rounding = radius * scale
    if rounding >= 0.5:
        for index, (x, y) in enumerate(corners):
            cv2.circle(large, (int(x), int(y)), round(rounding * (1 << shift)), 255, -1, cv2.LINE_8, shift)
            if len(corners) > 1:
                ax, ay = points[index - 1] / (1 << shift)
                bx, by = points[index] / (1 << shift)
                length = math.hypot(bx - ax, by - ay)
                nx, ny = (by - ay) / length * rounding, (ax - bx) / length * rounding
                quad = np.array([(ax + nx, ay + ny), (bx + nx, by + ny), (bx - nx, by - ny), (ax - nx, ay - ny)])
                cv2.fillConvexPoly(large, np.rint(quad * (1 << shift)).astype(np.int32), 255, cv2.LINE_8, shift)
    return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0


def _bounds(vertices: tuple[Point, ...], radius: float) -> tuple[float, float, float, float]:
    xs, ys = [v[0] for v in vertices], [v[1] for v in vertices]
    return min(xs) - radius, min(ys) - radius, max(xs) + radius, max(ys) + radius


def _edge_shade(alpha: np.ndarray, height: int, width: int) -> np.ndarray:
    """Light from above: brighter upper and darker lower edges of a flat part, float32 [H, W, 1]."""
    import cv2

    soft = cv2.GaussianBlur(alpha, (0, 0), max(0.8, 0.06 * min(height, width)))
    slope = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3) + 0.5 * cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3)
    peak = float(np.abs(slope).max()) or 1.0
    return (1.0 + 0.30 * slope / peak)[..., None]


def _pattern(look: Look, rng: np.random.Generator, x: np.ndarray, y: np.ndarray, px_per_m: float) -> np.ndarray:
    """float32 [H, W, 3] colours before shading."""
    height, width = x.shape
    colour, accent = np.array(look.colour, np.float32), np.array(look.accent, np.float32)
    left, top, right, bottom = _bounds(look.vertices, look.radius)
    size = max(right - left, bottom - top) / 2
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    u, v = (x - middle_x) / size, (y - middle_y) / size
    fine = clouds(rng, height, width, max(3.0, 0.3 * size * px_per_m), 3)
    share: np.ndarray | None = None
    contrast = 0.05
    if look.pattern == "halves":
        share = (v > 0.0) ^ (u > 0.0) if rng.random() < 0.4 else v > 0.0
    elif look.pattern == "stripes":
        share = np.sin((u * math.cos(0.4) + v * math.sin(0.4)) * rng.uniform(5, 11)) > 0.2
    elif look.pattern == "dots":
        share = np.zeros(x.shape, bool)
        for _ in range(int(rng.integers(5, 12))):
            a, b = rng.uniform(-0.9, 0.9, 2)
            share |= (u - a) ** 2 + (v - b) ** 2 < rng.uniform(0.1, 0.25) ** 2
    elif look.pattern == "panels":
        line = 0.035 + 1.0 / max(size * px_per_m, 4.0)
        share = (np.abs(u) < line) | (np.abs(v) < line)
        for side in (-1.0, 1.0):
            share |= np.abs(np.hypot(u - side * 1.25, v) - 0.85) < line
        contrast = 0.08
    elif look.pattern == "patches":
        angle = np.arctan2(v, u)
        share = np.hypot(u, v) < 0.30 + 0.03 * np.cos(5 * angle)
        for turn in range(5):
            a = 2 * math.pi * turn / 5 + 0.3
            share |= np.hypot(u - 0.85 * math.cos(a), v - 0.85 * math.sin(a)) < 0.26
    elif look.pattern == "grain":
        along = u if right - left > bottom - top else v
        across = v if right - left > bottom - top else u
        share = np.clip(3.0 * np.sin(across * 26 + 2.0 * np.sin(along * 2.3) + 1.2 * fine), 0.0, 1.0)
        accent = colour * 0.84
        contrast = 0.06
    elif look.pattern == "metal":
        across = v if right - left > bottom - top else u
        share = np.abs(across + 0.1) < 0.07
        accent = np.minimum(colour * 1.35 + 20, 255.0)
        contrast = 0.03
    elif look.pattern == "speckle":
        contrast = 0.28
    elif look.pattern == "tape":
        share = np.abs(v + 0.1) < 0.12
        accent = colour * 0.85 + 25
    elif look.pattern in ("cloth", "skin"):
        contrast = 0.10 if look.pattern == "cloth" else 0.05
    painted = colour * np.ones((height, width, 1), np.float32)
    if share is not None:
        part = share.astype(np.float32)[..., None]
        painted = painted * (1 - part) + accent * part
    return painted * (1.0 + contrast * fine)[..., None]
