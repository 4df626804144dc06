"""Pixel-wise medians of many pictures, by a sorting network of whole rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

_STRIP_ROWS = 32


def strips(picture: np.ndarray) -> Iterator[slice]:
    """Rows of a picture, a few at a time: what is made in between stays in the cache and takes no fresh memory."""
    for top in range(0, len(picture), _STRIP_ROWS):
        yield slice(top, top + _STRIP_ROWS)


def median_of(images: Sequence[np.ndarray], valid: Sequence[np.ndarray | None] | None = None) -> np.ndarray:
    """Pixel-wise median of uint8 pictures of one shape, the upper one of an even number.

    ``valid`` (uint8 [H, W], 255 inside, None = everywhere) says where each picture is: what lies outside counts for
    nothing.
    """
    import cv2

    out = np.empty_like(images[0])
    for rows in strips(out):
        p = [image[rows] for image in images]
        if valid is not None:
            p = with_neutral_holes(p, [None if inside is None else inside[rows] for inside in valid])
        for a, b, lower, higher in _network(len(p)):
            p[a], p[b] = (cv2.min(p[a], p[b]) if lower else p[a]), (cv2.max(p[a], p[b]) if higher else p[b])
        out[rows] = p[len(p) // 2]
    return out


def with_neutral_holes(images: Sequence[np.ndarray], valid: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """Fill what lies outside each picture by black and white in turn, which leaves a median alone."""
    import cv2

    if all(v is None for v in valid):
        return list(images)
    turn = np.zeros(images[0].shape[:2], np.uint8)
    out = []
    for image, inside in zip(images, valid, strict=True):
        if inside is None:
            out.append(image)
            continue
        hole = cv2.bitwise_not(inside)
        white = cv2.bitwise_and(hole, turn)
        out.append(cv2.bitwise_or(cv2.bitwise_and(image, image, mask=inside), cv2.merge([white, white, white])))
        turn = np.asarray(cv2.bitwise_xor(turn, hole), np.uint8)
    return out


@cache
def _network(count: int) -> tuple[tuple[int, int, bool, bool], ...]:
    """Exchanges that bring the middle of ``count`` values to its place: two places, and which of both results matter.

    Batcher's merge exchange (Knuth, The Art of Computer Programming, 5.2.2, algorithm M) without what the middle does
    not depend on.
    """
    exchanges = []
    half = 1 << (count - 1).bit_length() - 1 if count > 1 else 0
    p = half
    while p:
        q, r, d = half, 0, p
        while True:
            exchanges += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    wanted, out = {count // 2}, list[tuple[int, int, bool, bool]]()
    for a, b in reversed(exchanges):
        if a in wanted or b in wanted:
            out.append((a, b, a in wanted, b in wanted))
            wanted |= {a, b}
    return tuple(reversed(out))
