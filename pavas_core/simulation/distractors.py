"""Things that change in the picture without anything solid going anywhere: leaves, a curtain, a television."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pavas_core.simulation.filming import Filming
from pavas_core.simulation.stage import Look, Stage
from pavas_core.simulation.texture import Sprite, clouds, coloured, make_sprite


class Distractor(Protocol):
    """Something that paints itself behind the action."""

    def parts(self, time_s: float) -> list[tuple[Sprite, np.ndarray]]:
        """Sprites and where they are: [2, 3] maps to world metres."""
        ...


@dataclass(frozen=True)
class Leaves:
    """A twig whose leaves tremble in the wind."""

    sprites: tuple[Sprite, ...]
    hinges: np.ndarray
    """float64 [leaves, 6]: x, y, angle, amplitude (radians), Hz, phase."""

    def parts(self, time_s: float) -> list[tuple[Sprite, np.ndarray]]:
        placed = []
        for sprite, (x, y, angle, size, rate, phase) in zip(self.sprites, self.hinges, strict=True):
            turn = angle + size * math.sin(2 * math.pi * rate * time_s + phase)
            cos, sin = math.cos(turn), math.sin(turn)
            placed.append((sprite, np.array([[cos, -sin, x], [sin, cos, y]])))
        return placed


@dataclass(frozen=True)
class Curtain:
    """Folds of cloth that drift to and fro."""

    cloth: np.ndarray
    """uint8 [h, w, 4], twice as wide as shown."""
    to_world: np.ndarray
    rate_hz: float
    shift_px: float

    def parts(self, time_s: float) -> list[tuple[Sprite, np.ndarray]]:
        import cv2

        height, width = self.cloth.shape[0], self.cloth.shape[1] // 2
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        wave = np.sin(2 * math.pi * (self.rate_hz * time_s + 1.5 * x / width)) * (y / height) * self.shift_px
        shown = cv2.remap(self.cloth, (x + width / 2 + wave).astype(np.float32), y, cv2.INTER_LINEAR)
        return [(Sprite(shown, self.to_world), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))]


@dataclass(frozen=True)
class Television:
    """A screen whose picture drifts and cuts."""

    pictures: tuple[np.ndarray, ...]
    """uint8 [h, w, 4] each."""
    cuts_s: tuple[float, ...]
    to_world: np.ndarray

    def parts(self, time_s: float) -> list[tuple[Sprite, np.ndarray]]:
        shown = int(np.searchsorted(self.cuts_s, time_s)) % len(self.pictures)
        picture = np.roll(self.pictures[shown], int(time_s * 9), axis=1)
        return [(Sprite(np.ascontiguousarray(picture), self.to_world), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))]


def make_distractors(stage: Stage, filming: Filming, px_per_m: float) -> tuple[Distractor, ...]:
    """The distractors that the filming asks for."""
    made: list[Distractor] = []
    rng = np.random.default_rng([filming.seed, 19])
    if filming.curtain:
        made.append(_curtain(rng, stage, px_per_m))
    if filming.television:
        made.append(_television(rng, stage, px_per_m))
    if filming.leaves:
        made.append(_leaves(rng, stage, filming.leaves, px_per_m))
    return tuple(made)


def _leaves(rng: np.random.Generator, stage: Stage, count: int, px_per_m: float) -> Leaves:
    corner = stage.width_m * float(rng.choice([0.04, 0.96]))
    sprites, hinges = [], []
    for _ in range(count):
        length = stage.width_m * float(rng.uniform(0.012, 0.03))
        green = float(rng.uniform(0.6, 1.1))
        colour = int(70 * green), int(110 * green), int(48 * green)
        vertices = ((0.0, 0.0), (0.5 * length, 0.22 * length), (length, 0.0), (0.5 * length, -0.22 * length))
        look = Look(vertices, 0.05 * length, "plain", colour, colour, int(rng.integers(1 << 30)))
        sprites.append(make_sprite(look, px_per_m))
        x = corner + float(rng.normal(0.0, 0.06)) * stage.width_m
        y = stage.height_m * float(rng.uniform(0.0, 0.3))
        hinges.append((x, y, rng.uniform(0, 6.3), rng.uniform(0.05, 0.35), rng.uniform(0.5, 2.0), rng.uniform(0, 6.3)))
    return Leaves(tuple(sprites), np.array(hinges))


def _curtain(rng: np.random.Generator, stage: Stage, px_per_m: float) -> Curtain:
    wide, tall = 0.14 * stage.width_m, 0.75 * stage.height_m
    w, h = max(8, round(wide * px_per_m)), max(8, round(tall * px_per_m))
    folds = np.sin(np.linspace(0, 2 * math.pi * rng.uniform(6, 12), 2 * w)).astype(np.float32)
    tone = rng.uniform(60, 220, 3)
    cloth = coloured(tone, 0.22 * folds[None] + 0.05 * clouds(rng, h, 2 * w, w / 3), 1.0)
    rgba = np.dstack([np.clip(cloth, 0, 255), np.full((h, 2 * w), 255.0)]).astype(np.uint8)
    left = 0.0 if rng.random() < 0.5 else stage.width_m - wide
    to_world = np.array([[wide / w, 0.0, left], [0.0, tall / h, 0.0]])
    return Curtain(rgba, to_world, float(rng.uniform(0.1, 0.4)), float(rng.uniform(0.01, 0.04)) * w * 3)


def _television(rng: np.random.Generator, stage: Stage, px_per_m: float) -> Television:
    wide = float(rng.uniform(0.12, 0.24)) * stage.width_m
    tall = wide * 9 / 16
    w, h = max(8, round(wide * px_per_m)), max(6, round(tall * px_per_m))
    pictures = []
    for _ in range(5):
        picture = coloured(rng.uniform(40, 220, 3), clouds(rng, h, w, w / 3, 4), 0.5)
        pictures.append(np.dstack([np.clip(picture, 0, 255), np.full((h, w), 255.0)]).astype(np.uint8))
    cuts = np.cumsum(rng.exponential(0.9, 40) + 0.15)
    left, top = float(rng.uniform(0.05, 0.7)) * stage.width_m, float(rng.uniform(0.05, 0.35)) * stage.height_m
    to_world = np.array([[wide / w, 0.0, left], [0.0, tall / h, top]])
    return Television(tuple(pictures), tuple(float(c) for c in cuts), to_world)
