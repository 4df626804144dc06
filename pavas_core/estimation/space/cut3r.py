"""Geometry of a clip by CUT3R: picture after picture in constant memory, long clips in windows that agree."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from pavas_core.estimation.ahead import ahead
from pavas_core.estimation.space.reconstruction import Reconstruction, View
from pavas_core.estimation.space.world_background import similarity
from pavas_core.models.cut3r_picture import PATCH, network_input, place, prepare_picture
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from torch import Tensor

    from pavas_core.models.cut3r import Cut3r, State
    from pavas_core.models.cut3r_heads import Prediction
    from pavas_core.models.cut3r_load import Cut3rModel
    from pavas_core.video.clip import Clip

log = logging.getLogger("pavas")

WINDOW, OVERLAP = 64, 8
"""Pictures after which the state starts again, as it was trained for up to 64; and how many of them both sides see."""
SCALE_SIGMA = 0.2
"""Of CUT3R's metres on clips it was not trained on, relative; by its authors' figures for metric depth."""
_TOGETHER = 4
"""Pictures that are encoded at once; encoding needs no state."""
_STRIDE = 8
_BYTES_A_TOKEN = 850_000
"""Of activations: the encoder's of several pictures at once, and the largest maps of the heads."""


@dataclass(frozen=True)
class _Window:
    """How a window's world lies in that of the first one."""

    scale: float = 1.0
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    shift: np.ndarray = field(default_factory=lambda: np.zeros(3))


def reconstruct(
    clip: Clip,
    times_s: np.ndarray,
    model: Cut3rModel,
    *,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    runtime: Runtime | None = None,
) -> Reconstruction:
    """Views of the clip at ``times_s``, made as they are asked for; nothing grows with the clip's length.

    After ``window`` pictures the network starts anew on the last ``overlap`` of them, whose points tell how the new
    world lies in the old one. Raises MediaError where the clip cannot be read or is too narrow.
    """
    runtime = runtime or Runtime()
    placement = place(clip.width, clip.height, model.size)
    pictures = (prepare_picture(image, placement) for image in _shown_at(clip, times_s))
    grid = placement.height // PATCH, placement.width // PATCH
    views = _views(pictures, np.asarray(times_s, float), model.network, grid, window, overlap, runtime)
    return Reconstruction(views, np.asarray(times_s, float), placement, "CUT3R", SCALE_SIGMA)


def _shown_at(clip: Clip, times_s: np.ndarray) -> Iterator[np.ndarray]:
    """The picture shown at each of the rising times."""
    from pavas_core.video.clip import iter_frames

    wanted = iter(np.asarray(times_s, float))
    time_s = next(wanted, None)
    current: np.ndarray | None = None
    for frame in ahead(lambda _: iter_frames(clip)):
        while time_s is not None and current is not None and time_s < frame.time_s - clip.stamp_slack_s:
            yield current
            time_s = next(wanted, None)
        if time_s is None:
            return
        current = frame.image
    while time_s is not None and current is not None:
        yield current
        time_s = next(wanted, None)


def _views(
    pictures: Iterable[np.ndarray],
    times_s: np.ndarray,
    network: Cut3r,
    grid: tuple[int, int],
    window: int,
    overlap: int,
    runtime: Runtime,
) -> Iterator[View]:
    import torch

    started = time.perf_counter()
    stream = iter(pictures)
    device = torch.device(runtime.device)
    recent: deque[tuple[Tensor, np.ndarray]] = deque(maxlen=max(1, overlap))  # features, and where points lay
    state: State | None = None
    place_of = _Window()
    seen, index = 0, 0
    with runtime.resident(network, activation_bytes=grid[0] * grid[1] * _BYTES_A_TOKEN):
        while batch := list(islice(stream, _TOGETHER)):
            runtime.check_cancelled()
            features = _encode(network, batch, device)
            for picture, feature in zip(batch, features, strict=True):
                runtime.check_cancelled()
                if state is not None and seen >= window:
                    state, place_of = _begin_again(network, recent, grid, runtime)
                    seen = len(recent)
                first = state is None
                if state is None:
                    state = _initial(network, device)
                prediction, state = _decode(network, feature, grid, state, first)
                points, pose = _in_first_world(prediction, place_of)
                recent.append((feature, _world(points, pose)))
                seen += 1
                confidence = prediction.confidence[0].float().cpu().numpy()
                yield View(float(times_s[index]), points, confidence, pose, None, _gray(picture))
                index += 1
    if index:
        spent = time.perf_counter() - started
        log.info(
            "CUT3R: %d pictures of %d tokens, %.2f s each%s.", index, grid[0] * grid[1], spent / index, _peak(device)
        )


def _peak(device: Any) -> str:
    """The most memory of a CUDA device so far, for the log."""
    import torch

    return f", at most {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GB" if device.type == "cuda" else ""


def _encode(network: Cut3r, pictures: Sequence[np.ndarray], device: Any) -> tuple[Tensor, ...]:
    import torch

    with torch.inference_mode():
        images = torch.cat([network_input(picture) for picture in pictures]).to(device)
        return network.encode(images).split(1)


def _initial(network: Cut3r, device: Any) -> State:
    import torch

    with torch.inference_mode():
        return network.initial_state(1, device)


def _decode(
    network: Cut3r, feature: Tensor, grid: tuple[int, int], state: State, first: bool
) -> tuple[Prediction, State]:
    import torch

    with torch.inference_mode():
        return network.decode(feature, grid, state, first=first)


def _begin_again(
    network: Cut3r, recent: deque[tuple[Tensor, np.ndarray]], grid: tuple[int, int], runtime: Runtime
) -> tuple[State, _Window]:
    """A new state that has seen the recent pictures, and how its world lies in the first one."""
    state = _initial(network, recent[0][0].device)
    new, old = [], []
    for number, (feature, places) in enumerate(recent):
        runtime.check_cancelled()
        prediction, state = _decode(network, feature, grid, state, number == 0)
        points, pose = _in_first_world(prediction, _Window())
        new.append(_world(points, pose))
        old.append(places)
    a, b = np.concatenate(new), np.concatenate(old)
    good = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    return state, _Window(*_laid(a[good], b[good]))


def _laid(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Similarity that lays points onto others, most of which agree."""
    if len(a) < 12:
        return 1.0, np.eye(3), np.zeros(3)
    size = np.maximum(np.linalg.norm(b - np.median(b, axis=0), axis=1), 1e-6)
    weights = 1.0 / size
    fitted = similarity(a, b, weights)
    for _ in range(8):
        off = np.linalg.norm(fitted[0] * a @ fitted[1].T + fitted[2] - b, axis=1)
        spread = 1.4826 * float(np.median(off)) + 1e-9
        fitted = similarity(a, b, weights / np.maximum(1.0, off / spread) ** 2)
    return fitted


def _in_first_world(prediction: Prediction, window: _Window) -> tuple[np.ndarray, np.ndarray]:
    """Points [h, w, 3] in the camera's frame and its pose [4, 4], in the metres and the world of the first window."""
    from pavas_core.models.cut3r_camera import pose_matrix

    points = prediction.points[0].float().cpu().numpy() * np.float32(window.scale)
    own = pose_matrix(prediction.pose.cpu().double())[0].numpy()
    pose = np.eye(4)
    pose[:3, :3] = window.rotation @ own[:3, :3]
    pose[:3, 3] = window.scale * window.rotation @ own[:3, 3] + window.shift
    return points, pose


def _world(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Some of the points [n, 3] in the world."""
    some = points[_STRIDE // 2 :: _STRIDE, _STRIDE // 2 :: _STRIDE].reshape(-1, 3).astype(float)
    return some @ pose[:3, :3].T + pose[:3, 3]


def _gray(picture: np.ndarray) -> np.ndarray:
    import cv2

    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


class DepthPreview:
    """Keeps a few views' depth on their way to someone else, and draws them on one scale."""

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._near: list[np.ndarray] = []

    def watch(self, reconstruction: Reconstruction) -> Reconstruction:
        """The same reconstruction; views that are walked through leave their depth here."""
        total = len(reconstruction.times_s)
        wanted = set(np.linspace(0, total - 1, min(self.count, total)).round().astype(int).tolist())

        def views() -> Iterator[View]:
            for index, view in enumerate(reconstruction.views):
                if index in wanted:
                    depth = view.points[..., 2]
                    known = np.isfinite(depth) & (depth > 1e-3)
                    self._near.append(np.where(known, 1.0 / np.where(known, depth, 1.0), 0.0).astype(np.float32))
                yield view

        return replace(reconstruction, views=views())

    def pictures(self) -> np.ndarray:
        """uint8 [N, h, w, 3]: near is bright, far is dark, unknown is black."""
        import cv2

        near = np.stack(self._near)
        known = near[near > 0]
        low, high = np.quantile(known, [0.02, 0.98]) if known.size else (0.0, 1.0)
        levels = np.clip((near - low) / max(float(high - low), 1e-9) * 255, 1, 255) * (near > 0)
        coloured = [cv2.applyColorMap(one.astype(np.uint8), cv2.COLORMAP_INFERNO) for one in levels]
        return np.stack([cv2.cvtColor(one, cv2.COLOR_BGR2RGB) for one in coloured])
