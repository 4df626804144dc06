"""The static picture behind a scene: wall or landscape, floor in perspective, fixtures."""

from __future__ import annotations

import math

import numpy as np

from pavas_core.simulation.filming import Filming
from pavas_core.simulation.stage import Colour, Stage
from pavas_core.simulation.texture import boards, clouds, clutter, coloured, foliage, tiles

_FLOOR_COLOURS: dict[str, Colour] = {
    "wood": (170, 122, 78), "concrete": (158, 156, 152), "stone": (130, 126, 120), "ceramic": (214, 208, 196),
    "grass": (86, 122, 54), "asphalt": (84, 84, 88), "fabric": (120, 70, 70), "soil": (118, 92, 66),
    "plastic": (190, 190, 200), "steel": (140, 146, 152), "brick": (150, 80, 60), "iron": (110, 110, 116),
}  # fmt: skip


def paint_backdrop(stage: Stage, filming: Filming, width: int, height: int, margin_x: int, margin_y: int) -> np.ndarray:
    """uint8 [height + 2 margin_y, width + 2 margin_x, 3]: the picture and what lies around it."""
    import cv2

    rng = np.random.default_rng([filming.seed, 7])
    full_w, full_h = width + 2 * margin_x, height + 2 * margin_y
    picture = _wall(rng, filming.backdrop, full_h, full_w, width)
    if stage.floor_y is not None:
        line = stage.floor_y / stage.height_m * height + margin_y
        horizon = int(line - rng.uniform(0.03, 0.18) * height)
        floor = _floor(rng, stage.floor_material, full_h - horizon, full_w, width)
        if floor is not None and horizon < full_h:
            horizon = max(0, horizon)
            picture[horizon:] = floor[-(full_h - horizon) :]
            if rng.random() < 0.5:
                thick = max(1, int(0.012 * height))
                picture[max(0, horizon - thick) : horizon] *= rng.uniform(0.5, 0.85)
    y, x = np.mgrid[0:full_h, 0:full_w].astype(np.float32)
    u, v = (x - margin_x) / width - 0.5, (y - margin_y) / height - 0.5
    tilt = rng.normal(0.0, 0.18, 2)
    vignette = 1.0 + tilt[0] * u + tilt[1] * v - rng.uniform(0.0, 0.25) * (u * u + v * v)
    picture = picture * np.clip(vignette, 0.4, 1.4)[..., None]
    picture = np.clip(picture * rng.uniform(0.65, 1.05), 4, 250).astype(np.uint8)
    return cv2.GaussianBlur(picture, (0, 0), 0.6) if width > 200 else picture


def _wall(rng: np.random.Generator, kind: str, height: int, width: int, frame_px: int) -> np.ndarray:
    grey = rng.uniform(60, 220)
    tone = np.clip(grey + rng.normal(0, 22, 3), 20, 240)
    colour: Colour = (int(tone[0]), int(tone[1]), int(tone[2]))
    if kind == "plain":
        return coloured(colour, clouds(rng, height, width, frame_px / 2, 2), 0.03)
    if kind == "cloudy":
        return coloured(colour, clouds(rng, height, width, frame_px / rng.uniform(4, 14), 5), rng.uniform(0.08, 0.3))
    if kind == "bricks":
        return tiles(
            rng, height, width, (150, 84, 64) if rng.random() < 0.6 else colour, frame_px * rng.uniform(0.04, 0.1), True
        )
    if kind == "tiles":
        return tiles(rng, height, width, colour, frame_px * rng.uniform(0.04, 0.15), False)
    if kind == "panels":
        turned = boards(rng, width, height, colour, frame_px * rng.uniform(0.04, 0.12))
        return np.ascontiguousarray(turned.transpose(1, 0, 2))
    if kind == "outdoors":
        return foliage(rng, height, width)
    return clutter(rng, height, width, colour)


def _floor(rng: np.random.Generator, material: str, height: int, width: int, frame_px: int) -> np.ndarray | None:
    """A floor seen at a flat angle, its far edge at row 0, float32 [height, width, 3]."""
    import cv2

    if height < 4:
        return None
    base = np.array(_FLOOR_COLOURS.get(material, (150, 150, 150))) * rng.uniform(0.7, 1.2) + rng.normal(0, 8, 3)
    base = np.clip(base, 10, 245)
    colour: Colour = (int(base[0]), int(base[1]), int(base[2]))
    deep = max(16, height * 2)
    if material == "wood":
        flat = boards(rng, deep, width, colour, frame_px * rng.uniform(0.03, 0.08))
    elif material in ("ceramic", "brick"):
        flat = tiles(rng, deep, width, colour, frame_px * rng.uniform(0.06, 0.16), False)
    elif material in ("grass", "soil", "asphalt", "fabric"):
        flat = coloured(colour, clouds(rng, deep, width, frame_px / 40, 4), 0.3 if material != "fabric" else 0.12)
    else:
        flat = coloured(colour, clouds(rng, deep, width, frame_px / 8, 5), 0.1)
    pull = 0.35
    corners = np.array([[0, 0], [width, 0], [width, deep], [0, deep]], np.float32)
    seen = np.array([[0, 0], [width, 0], [width * (1 + pull), height], [-width * pull, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, seen)
    picture = cv2.warpPerspective(flat, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    haze = np.linspace(0.88, 1.0, height, dtype=np.float32)[:, None, None]
    return picture * haze


def margins(filming: Filming, width: int, height: int, exact: float = 0.0) -> tuple[int, int]:
    """Pixels the camera may see beyond the picture on every side."""
    camera = filming.camera
    if camera.still:
        return 2, 2
    rest = camera.reach - max(abs(camera.pan_x), abs(camera.pan_y)) + abs(camera.zoom - 1.0) / 2
    x = math.ceil((rest + abs(camera.pan_x) + exact) * width) + 2
    y = math.ceil((rest + abs(camera.pan_y) + exact) * width) + 2
    return x, y
