"""How CUT3R wants its pictures: size, crop and range; and where its pixels lie in the picture they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.errors import MediaError

if TYPE_CHECKING:
    from torch import Tensor

PATCH = 16


@dataclass(frozen=True)
class Placement:
    """Resize to ``resized`` (width, height), then cut the box from ``left``, ``top`` of ``width`` x ``height``."""

    source: tuple[int, int]
    """Width and height of the picture."""
    resized: tuple[int, int]
    left: int
    top: int
    width: int
    height: int

    def to_network(self, points: np.ndarray) -> np.ndarray:
        """Pixel centres (..., 2) of the picture as those of the network's input."""
        scale = np.array(self.resized) / np.array(self.source)
        return (np.asarray(points, float) + 0.5) * scale - 0.5 - [self.left, self.top]

    def to_source(self, points: np.ndarray) -> np.ndarray:
        """Pixel centres (..., 2) of the network's input as those of the picture."""
        scale = np.array(self.resized) / np.array(self.source)
        return (np.asarray(points, float) + [self.left, self.top] + 0.5) / scale - 0.5

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """A mask [h, w] of the whole picture, at any resolution, on the network's pixels: bool [height, width].

        A pixel is set where the mask covers at least half of it.
        """
        import cv2

        rows, columns = mask.shape
        enlarged = self.resized[0] / columns, self.resized[1] / rows
        area = enlarged[0] < 1.0 and enlarged[1] < 1.0
        whole = cv2.resize(
            mask.astype(np.float32), self.resized, interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR
        )
        return whole[self.top : self.top + self.height, self.left : self.left + self.width] >= 0.5


def place(width: int, height: int, size: int) -> Placement:
    """Where a picture of ``width`` x ``height`` pixels lies in the network's input of ``size`` 512 or 224.

    512 is the long side, and sides are cut to multiples of 16 (a square to 4:3); 224 is a square out of the middle.
    Raises MediaError for a picture so narrow that nothing would be left.
    """
    long_side = size if size != 224 else round(size * max(width / height, height / width))
    factor = long_side / max(width, height)
    resized = round(width * factor), round(height * factor)
    middle = resized[0] // 2, resized[1] // 2
    if size == 224:
        half = min(middle), min(middle)
    else:
        half = 2 * middle[0] // PATCH * PATCH // 2, 2 * middle[1] // PATCH * PATCH // 2
        if resized[0] == resized[1]:
            half = half[0], 3 * half[0] // 4
    if min(half) < PATCH // 2:
        raise MediaError(f"A picture of {width} x {height} pixels is too narrow for CUT3R: crop the video.")
    return Placement((width, height), resized, middle[0] - half[0], middle[1] - half[1], 2 * half[0], 2 * half[1])


def prepare_picture(image: np.ndarray, placement: Placement) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [height, width, 3]: Lanczos where it shrinks, bicubic else, as the network was run."""
    from PIL import Image

    # The filter goes by the long side, whatever the short one does.
    shrinks = max(placement.source) > max(placement.resized)
    way = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
    resized = Image.fromarray(np.ascontiguousarray(image)).resize(placement.resized, way)
    box = (placement.left, placement.top, placement.left + placement.width, placement.top + placement.height)
    return np.asarray(resized.crop(box))


def network_input(picture: np.ndarray) -> Tensor:
    """uint8 [height, width, 3] -> float32 (1, 3, height, width) in -1..1."""
    import torch

    values = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    return (values - 0.5) / 0.5
