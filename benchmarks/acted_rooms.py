"""Rooms and gardens that acted scenes happen in: painted walls and grounds, larger than the picture on every side."""

from __future__ import annotations

import cv2
import numpy as np

MARGIN = 0.12
"""Of the picture's width, on every side."""
_LUMPS = ((97, 1.0), (41, 0.7), (17, 0.5), (7, 0.35), (3, 0.25))


def room(rng: np.random.Generator, width: int, height: int, floor: float) -> tuple[str, np.ndarray]:
    """Its name, and its picture [height + 2 m, width + 2 m, 3] with m of ``margin_px``; ground is below ``floor``."""
    name = str(rng.choice(list(_WALLS)))
    margin = margin_px(width)
    wide, high, ground = width + 2 * margin, height + 2 * margin, int(floor) + margin
    picture = np.ones((high, wide, 3)) * rng.uniform(60, 200, 3)
    _WALLS[name](rng, picture, width, ground)
    if name != "grass":
        _lay(rng, picture, width, height, ground)
    return name, np.clip(picture, 0, 255).astype(np.float32)


def margin_px(width: int) -> int:
    return int(MARGIN * width)


def _lumps(rng: np.random.Generator, shape: tuple[int, ...], strength: float, lumps: tuple = _LUMPS) -> np.ndarray:
    out = np.zeros(shape[:2])
    for cell, share in lumps:
        grid = rng.normal(0, 1, (shape[0] // cell + 3, shape[1] // cell + 3))
        out += share * cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return strength * out[..., None]


def _plaster(rng: np.random.Generator, picture: np.ndarray, width: int, ground: int) -> None:
    picture += _lumps(rng, picture.shape, 25)


def _plain(rng: np.random.Generator, picture: np.ndarray, width: int, ground: int) -> None:
    picture += _lumps(rng, picture.shape, rng.uniform(0, 4))


def _bricks(rng: np.random.Generator, picture: np.ndarray, width: int, ground: int) -> None:
    high = max(6, int(rng.uniform(0.03, 0.06) * width))
    for row, y in enumerate(range(0, picture.shape[0], high)):
        for x in range(-(row % 2) * high, picture.shape[1], 2 * high):
            picture[y + 1 : y + high - 1, max(0, x + 1) : max(0, x + 2 * high - 1)] += rng.normal(20, 12)
    picture += _lumps(rng, picture.shape, 5)


def _planks(rng: np.random.Generator, picture: np.ndarray, width: int, ground: int) -> None:
    wide = int(rng.uniform(0.08, 0.15) * width)
    for x in range(0, picture.shape[1], wide):
        picture[:, x + 1 : x + wide - 1] += rng.normal(15, 12)
    picture += _lumps(rng, picture.shape, 6, ((3, 1.0),))


def _shelf(rng: np.random.Generator, picture: np.ndarray, width: int, ground: int) -> None:
    picture += _lumps(rng, picture.shape, 5)
    for _ in range(40):
        x, y = rng.integers(0, picture.shape[1]), rng.integers(0, ground)
        wide, high = (rng.uniform(0.03, 0.15, 2) * width).astype(int)
        picture[y : y + high, x : x + wide] = rng.uniform(20, 235, 3)


def _window(rng: np.random.Generator, picture: np.ndarray, width: int, ground: int) -> None:
    picture += np.linspace(-25, 25, picture.shape[1])[None, :, None]
    x, y = int(rng.uniform(0.1, 0.6) * picture.shape[1]), int(rng.uniform(0.05, 0.3) * ground)
    right, low = x + int(0.2 * width), y + int(0.4 * ground)
    picture[y:low, x:right] = 80, 60, 50
    picture[y + 5 : low - 5, x + 5 : right - 5] = 235, 225, 190
    picture += _lumps(rng, picture.shape, 2)


def _grass(rng: np.random.Generator, picture: np.ndarray, width: int, ground: int) -> None:
    picture[:] = 90, 140, 70
    picture += _lumps(rng, picture.shape, 30, ((5, 1.0), (2, 1.0), (31, 0.4)))


_WALLS = {
    "plaster": _plaster, "plain": _plain, "bricks": _bricks, "planks": _planks, "shelf": _shelf, "window": _window,
    "grass": _grass,
}  # fmt: skip


def _lay(rng: np.random.Generator, picture: np.ndarray, width: int, height: int, ground: int) -> None:
    """The ground: of one colour, rough or tiled."""
    picture[ground:] = rng.uniform(50, 190, 3)
    kind = rng.choice(["plain", "rough", "tiles"])
    if kind == "rough":
        picture[ground:] += _lumps(rng, picture.shape, 14)[ground:]
    elif kind == "tiles":
        for x in range(0, picture.shape[1], max(4, int(0.09 * width))):
            picture[ground:, x : x + 2] -= 40
        for y in range(ground, picture.shape[0], max(4, int(0.05 * height))):
            picture[y : y + 2] -= 40
