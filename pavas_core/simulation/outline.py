"""Rounded convex outlines in the plane and the gap between two of them."""

from __future__ import annotations

import math
from typing import NamedTuple

Point = tuple[float, float]


class Gap(NamedTuple):
    """How far two outlines are apart (negative when they overlap), and where they would touch."""

    distance: float
    nx: float
    ny: float
    """Unit normal that points from the second outline to the first."""
    x: float
    y: float
    """Contact point, on the surface of the second outline."""


def place(vertices: tuple[Point, ...], x: float, y: float, angle: float) -> list[Point]:
    """Vertices of a body's frame in the world."""
    if len(vertices) == 1 and vertices[0] == (0.0, 0.0):
        return [(x, y)]
    cos, sin = math.cos(angle), math.sin(angle)
    return [(x + cos * u - sin * v, y + sin * u + cos * v) for u, v in vertices]


def plane_gap(first: list[Point], radius: float, px: float, py: float, nx: float, ny: float) -> Gap:
    """Gap between an outline and the half-plane below the line through p with outward normal n."""
    depth, (x, y) = min(((u - px) * nx + (v - py) * ny, (u, v)) for u, v in first)
    return Gap(depth - radius, nx, ny, x - depth * nx, y - depth * ny)


def convex_gap(first: list[Point], first_radius: float, second: list[Point], second_radius: float) -> Gap:
    """Gap between two rounded convex outlines (vertices in order, any sense; one vertex = a disc, two = a capsule)."""
    overlap = _overlap(first, second)
    if overlap is not None:
        depth, nx, ny, x, y = overlap
        return Gap(depth - first_radius - second_radius, nx, ny, x, y)
    best = (math.inf, 0.0, 0.0, 0.0, 0.0)
    for u, v in first:
        candidate = _nearest(u, v, second)
        if candidate[0] < best[0]:
            best = (candidate[0], u - candidate[1], v - candidate[2], candidate[1], candidate[2])
    if len(first) > 1:
        for u, v in second:
            candidate = _nearest(u, v, first)
            if candidate[0] < best[0]:
                best = (candidate[0], candidate[1] - u, candidate[2] - v, u, v)
    distance, dx, dy, x, y = best
    distance = math.sqrt(distance)
    if distance < 1e-12:
        dx, dy, distance = 0.0, -1.0, 1.0
        return Gap(-first_radius - second_radius, dx, dy, x, y)
    nx, ny = dx / distance, dy / distance
    return Gap(distance - first_radius - second_radius, nx, ny, x + nx * second_radius, y + ny * second_radius)


def _nearest(u: float, v: float, outline: list[Point]) -> tuple[float, float, float]:
    """Squared distance from (u, v) to the outline's edges, and the nearest point on them."""
    count = len(outline)
    if count == 1:
        x, y = outline[0]
        return (u - x) ** 2 + (v - y) ** 2, x, y
    best = (math.inf, 0.0, 0.0)
    for index in range(count if count > 2 else 1):
        x0, y0 = outline[index]
        x1, y1 = outline[index + 1 - count]
        ex, ey = x1 - x0, y1 - y0
        along = ((u - x0) * ex + (v - y0) * ey) / (ex * ex + ey * ey)
        along = 0.0 if along < 0.0 else 1.0 if along > 1.0 else along
        x, y = x0 + along * ex, y0 + along * ey
        distance = (u - x) ** 2 + (v - y) ** 2
        if distance < best[0]:
            best = (distance, x, y)
    return best


def _overlap(first: list[Point], second: list[Point]) -> tuple[float, float, float, float, float] | None:
    """(depth < 0, normal towards the first, contact point) where two cores overlap, None where they do not."""
    best: tuple[float, float, float, float, float] | None = None
    for face, other, sign in ((second, first, 1.0), (first, second, -1.0)):
        count = len(face)
        if count < 3:
            continue
        cx, cy = sum(p[0] for p in face) / count, sum(p[1] for p in face) / count
        for index in range(count):
            x0, y0 = face[index]
            x1, y1 = face[index + 1 - count]
            nx, ny = y1 - y0, x0 - x1
            length = math.hypot(nx, ny)
            nx, ny = nx / length, ny / length
            if (x0 - cx) * nx + (y0 - cy) * ny < 0.0:
                nx, ny = -nx, -ny
            depth, (x, y) = min(((u - x0) * nx + (v - y0) * ny, (u, v)) for u, v in other)
            if depth > 0.0:
                return None
            if best is None or depth > best[0]:
                best = (depth, sign * nx, sign * ny, x, y)
    return best
