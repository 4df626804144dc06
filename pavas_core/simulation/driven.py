"""Paths of driven bodies: tools, hands and feet that a person moves, and what they do after a blow.

A path is a chain of cubic pieces in (pivot x, pivot y, angle). A blow scales the speed along the path (negative: the
tool is thrown back) and asks the plan for the pieces that follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Coordinates = tuple[float, float, float]


@dataclass(frozen=True)
class Piece:
    """Cubic Hermite piece between two times; positions and rates are (pivot x, pivot y, angle) and per second."""

    start_s: float
    end_s: float
    start: Coordinates
    start_rate: Coordinates
    end: Coordinates
    end_rate: Coordinates

    def at(self, time_s: float) -> tuple[Coordinates, Coordinates]:
        """Coordinates and their rates."""
        span = self.end_s - self.start_s
        u = min(1.0, max(0.0, (time_s - self.start_s) / span))
        h00, h10 = (1 + 2 * u) * (1 - u) ** 2, u * (1 - u) ** 2
        h01, h11 = u * u * (3 - 2 * u), u * u * (u - 1)
        d00, d10 = 6 * u * u - 6 * u, 3 * u * u - 4 * u + 1
        d11 = 3 * u * u - 2 * u
        values, rates = [], []
        for p, v, q, w in zip(self.start, self.start_rate, self.end, self.end_rate, strict=True):
            values.append(h00 * p + h10 * span * v + h01 * q + h11 * span * w)
            rates.append((d00 * (p - q)) / span + d10 * v + d11 * w)
        if not self.start_s <= time_s <= self.end_s:
            rates = [0.0, 0.0, 0.0] if time_s > self.end_s else rates
        return _three(values), _three(rates)


def _three(values: list[float]) -> Coordinates:
    return float(values[0]), float(values[1]), float(values[2])


STILL: Coordinates = (0.0, 0.0, 0.0)
Plan = Callable[[float, Coordinates, Coordinates], list[Piece]]
"""(time, coordinates, rates just after a blow) -> the pieces that follow."""


class Path:
    """What a driven body does; its centre of mass sits at ``offset`` from the pivot when the angle is 0."""

    def __init__(self, pieces: list[Piece], offset: tuple[float, float], plan: Plan) -> None:
        self.pieces = pieces
        self.offset = float(offset[0]), float(offset[1])
        self.plan = plan

    def coordinates(self, time_s: float) -> tuple[Coordinates, Coordinates]:
        """(pivot x, pivot y, angle) and their rates."""
        pieces = self.pieces
        index = len(pieces) - 1
        while index > 0 and pieces[index].start_s > time_s:
            index -= 1
        return pieces[index].at(time_s)

    def pose(self, time_s: float) -> tuple[float, float, float, float, float, float]:
        """Centre x, y, angle and their rates."""
        (px, py, angle), (rx, ry, spin) = self.coordinates(time_s)
        cos, sin = math.cos(angle), math.sin(angle)
        u, v = self.offset
        dx, dy = cos * u - sin * v, sin * u + cos * v
        return px + dx, py + dy, angle, rx - spin * dy, ry + spin * dx, spin

    def hit(self, time_s: float, factor: float) -> None:
        """Scale the rates at ``time_s`` by ``factor`` and go on with the plan."""
        at, rate = self.coordinates(time_s)
        rate = (rate[0] * factor, rate[1] * factor, rate[2] * factor)
        kept = [piece for piece in self.pieces if piece.start_s < time_s]
        self.pieces = kept + self.plan(time_s, at, rate)

    def replace_from(self, time_s: float, pieces: list[Piece]) -> None:
        """Drop what was planned after ``time_s`` and do ``pieces`` instead."""
        self.pieces = [piece for piece in self.pieces if piece.start_s < time_s] + pieces


def hold(start_s: float, end_s: float, at: Coordinates) -> Piece:
    """Stay put."""
    return Piece(start_s, end_s, at, STILL, at, STILL)


def follow_through(time_s: float, at: Coordinates, rate: Coordinates, brake_s: float) -> tuple[Piece, Coordinates]:
    """Brake evenly from ``rate`` to rest within ``brake_s``; the piece and where it ends."""
    end = (at[0] + 0.5 * brake_s * rate[0], at[1] + 0.5 * brake_s * rate[1], at[2] + 0.5 * brake_s * rate[2])
    return Piece(time_s, time_s + brake_s, at, rate, end, STILL), end


def go(start_s: float, end_s: float, start: Coordinates, end: Coordinates, end_rate: Coordinates = STILL) -> Piece:
    """Move from rest at ``start`` to ``end``, arriving at ``end_rate``."""
    return Piece(start_s, end_s, start, STILL, end, end_rate)
