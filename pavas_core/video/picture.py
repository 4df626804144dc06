"""Decoded FFmpeg pictures to upright RGB or grey arrays, scaled by swscale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fractions import Fraction

    from av.video.frame import VideoFrame

# A sample aspect ratio outside this is taken for damage, not for an anamorphic picture.
SANE_ASPECT = (0.2, 5.0)
# Untagged pictures this tall are HD and use BT.709, as players assume.
HD_HEIGHT = 720
# Numbers of ITU-T H.273, as FFmpeg uses them; BT.709 and "unspecified" are the same for matrix, primaries, transfer.
SPC_BT709, UNSPECIFIED, SPC_BT470BG, SPC_SMPTE170M = 1, 2, 5, 6
RANGE_LIMITED, RANGE_FULL = 1, 2
# AVColorSpace values that swscale knows under the same number.
SWSCALE_MATRICES = frozenset({1, 4, 5, 6, 7, 9})


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is turned for display: ``transpose`` first, then the flips."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False


def orientation_of(frame: VideoFrame) -> Orientation:
    """Orientation from the frame's display matrix, rounded to the nearest quarter turn.

    The matrix maps stored to shown coordinates, x' = a x + c y and y' = b x + d y, stored row by row as
    (a, b, u, c, d, v, x, y, w) in 16.16 fixed point (ISO/IEC 14496-12, 8.3.2; FFmpeg libavutil/display.h).
    """
    try:
        side_data: Any = frame.side_data
        matrix = bytes(side_data["DISPLAYMATRIX"])
    except (KeyError, ValueError):  # ValueError: side data newer than this PyAV
        return Orientation()
    a, b, _, c, d = np.frombuffer(matrix[:20], np.int32).astype(np.int64)
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        return Orientation(False, bool(a < 0), bool(d < 0))
    return Orientation(True, bool(c < 0), bool(b < 0))


def shown_size(frame: VideoFrame, orientation: Orientation, sample_aspect: Fraction | None) -> tuple[int, int]:
    """(width, height) in square pixels after widening by the sample aspect ratio and turning upright."""
    width, height = frame.width, frame.height
    aspect = float(sample_aspect or 0)
    if SANE_ASPECT[0] <= aspect <= SANE_ASPECT[1]:
        width = max(1, round(width * aspect))
    return (height, width) if orientation.transpose else (width, height)


def fit_long_side(width: int, height: int, long_side: int | None) -> tuple[int, int]:
    """(width, height) scaled down so that the longer one is ``long_side``; never scaled up."""
    longest = max(width, height)
    if long_side is None or longest <= long_side:
        return width, height
    return max(1, round(width * long_side / longest)), max(1, round(height * long_side / longest))


class PictureMaker:
    """Turns frames into arrays of one size; keeps one swscale context for the whole clip.

    ``width`` and ``height`` are those of the upright result. Transparent pictures are composited on black, which is
    what most players show; dropping alpha would uncover whatever colour hides under it.
    """

    def __init__(self, width: int, height: int, orientation: Orientation, gray: bool) -> None:
        from av.video.reformatter import VideoReformatter

        self._size = (height, width) if orientation.transpose else (width, height)
        self._orientation = orientation
        self._gray = gray
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """uint8 [H, W, 3] RGB, or [H, W] when gray."""
        if any(component.is_alpha for component in frame.format.components):
            image = over_black(self._convert(frame, "rgba"))
            if self._gray:
                image = np.rint(image @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
        else:
            image = self._convert(frame, "gray" if self._gray else "rgb24")
        return upright(image, self._orientation)

    def _convert(self, frame: VideoFrame, pixel_format: str) -> np.ndarray:
        width, height = self._size
        scaled = (width, height) != (frame.width, frame.height)
        return self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=pixel_format,
            interpolation="AREA" if scaled else "BILINEAR",
            **_colours(frame),
        ).to_ndarray()


def _colours(frame: VideoFrame) -> dict[str, int]:
    """swscale's colour arguments for ``frame``: none for RGB and grey, else matrix and range as tagged.

    Spelled out because PyAV before 15 leaves the frame's own tags unread. It also skips the conversion where both
    matrices are equal, so the target's, which RGB does not use, is a different name of BT.601 than the source's.
    """
    if frame.format.is_rgb or len(frame.format.components) < 3 or frame.format.has_palette:
        return {}
    matrix = int(frame.colorspace)
    if matrix not in SWSCALE_MATRICES:
        matrix = SPC_BT709 if frame.height >= HD_HEIGHT else SPC_BT470BG
    full = frame.color_range == RANGE_FULL or frame.format.name.startswith("yuvj")
    return {
        "src_colorspace": matrix,
        "dst_colorspace": SPC_SMPTE170M if matrix == SPC_BT470BG else SPC_BT470BG,
        "src_color_range": RANGE_FULL if full else RANGE_LIMITED,
        "dst_color_range": RANGE_FULL,
    }


def over_black(rgba: np.ndarray) -> np.ndarray:
    """Composite uint8 [H, W, 4] on black: uint8 [H, W, 3]."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)


def upright(image: np.ndarray, orientation: Orientation) -> np.ndarray:
    """Apply ``orientation`` to [H, W, ...]; the result is contiguous."""
    if orientation.transpose:
        image = image.swapaxes(0, 1)
    if orientation.flip_x:
        image = image[:, ::-1]
    if orientation.flip_y:
        image = image[::-1]
    return np.ascontiguousarray(image)
