"""SAM 2 by its authors' ``sam2`` package and official checkpoints; pictures stay in memory, states stay small."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pavas_core.errors import WeightsError
from pavas_core.estimation.masks.segmenter import MEAN, MEMORY_FRAMES, STD, Prompt, Session
from pavas_core.estimation.result_cache import hash_of_weights
from pavas_core.runtime import Runtime

log = logging.getLogger("pavas")

VARIANTS = {(96, 12): "t", (96, 16): "s", (112, 24): "b+", (144, 48): "l"}
"""(width of the first stage, number of blocks) of the published image encoders."""
_TRUNK = "image_encoder.trunk."


def cure() -> str:
    """The command that installs the package for this interpreter without touching its torch."""
    pip = f'"{sys.executable}" -m pip install'
    return f"{pip} --no-build-isolation --no-deps sam2 && {pip} hydra-core iopath"


def is_installed() -> bool:
    """Whether the package is there, without importing it."""
    return importlib.util.find_spec("sam2") is not None


def load_file(
    path: Path, *, precision: str = "auto", overrides: Mapping[str, Any] | None = None, runtime: Runtime | None = None
) -> PackageSegmenter:
    """The network of an official checkpoint, told by its tensors whatever its name, on the CPU.

    ``overrides`` replaces values of its configuration by dotted name. Raises WeightsError where the package is
    missing or the file is no SAM 2.
    """
    runtime = runtime or Runtime()
    runtime.step("Loading SAM 2", 0, 1)
    predictor_class = _predictor_class()
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    state = _read(path)
    config = OmegaConf.load(_config_file(state, path.name))
    wanted = {
        "model._target_": f"{predictor_class.__module__}.{predictor_class.__name__}",
        # As their own builder does, apart from filling holes, which needs their CUDA extension.
        "model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability": True,
        "model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta": 0.05,
        "model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh": 0.98,
        "model.binarize_mask_from_pts_for_mem_enc": True,
        "model.fill_hole_area": 0,
        **(overrides or {}),
    }
    for name, value in wanted.items():
        OmegaConf.update(config, name, value, force_add=True)
    OmegaConf.resolve(config)
    model = instantiate(config.model, _recursive_=True)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"{path.name} is not a whole SAM 2 checkpoint ({' '.join(str(error).split())[:160]}): fetch it again."
        ) from None
    model.eval().requires_grad_(False).float()
    runtime.step("Loading SAM 2", 1, 1)
    return PackageSegmenter(
        path.stem, model, hash_of_weights([path]) + repr(sorted((overrides or {}).items())), precision
    )


class PackageSegmenter:
    """SAM 2 in the package's own classes."""

    def __init__(self, name: str, module: Any, fingerprint: str, precision: str = "auto"):
        self.name, self.module, self.precision = name, module, precision
        self.fingerprint = f"sam2-package {fingerprint} {precision}"

    def sessions(self, images: Sequence[np.ndarray], count: int, runtime: Runtime) -> list[Session]:
        """``count`` sessions over the same pictures, which share the features of the current one."""
        shared: dict[str, Any] = {}
        return [_PackageSession(self, images, shared, runtime) for _ in range(count)]


class _Pictures:
    """Pictures as the network takes them, made when asked for: [3, S, S] float."""

    def __init__(self, images: Sequence[np.ndarray], size: int):
        self.images, self.size = images, size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        import torch
        from PIL import Image

        picture = Image.fromarray(self.images[index]).resize((self.size, self.size))
        values = (np.asarray(picture, np.float32) / 255.0 - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


class _PackageSession:
    def __init__(
        self, segmenter: PackageSegmenter, images: Sequence[np.ndarray], shared: dict[str, Any], runtime: Runtime
    ):
        import torch

        self._model, self._runtime, self._shared = segmenter.module, runtime, shared
        self._dtype = runtime.dtype(segmenter.precision)
        device = torch.device(runtime.device)
        self._state: dict[str, Any] = {
            "images": _Pictures(images, self._model.image_size),
            "num_frames": len(images),
            "offload_video_to_cpu": True,
            "offload_state_to_cpu": False,
            "video_height": images[0].shape[0],
            "video_width": images[0].shape[1],
            "device": device,
            "storage_device": device,
            "cached_features": {},
            "constants": {},
            "obj_id_to_idx": OrderedDict(),
            "obj_idx_to_id": OrderedDict(),
            "obj_ids": [],
        }
        for name in ("point_inputs", "mask_inputs", "output_dict", "temp_output_dict", "frames_tracked"):
            self._state[f"{name}_per_obj"] = {}
        self._ways: dict[bool, Iterator[Any]] = {}

    def prompt(self, frame: int, prompt: Prompt) -> np.ndarray:
        with self._computing():
            if prompt.mask is not None:
                _, _, masks = self._model.add_new_mask(self._state, frame, 1, prompt.mask)
            else:
                _, _, masks = self._model.add_new_points_or_box(
                    self._state,
                    frame,
                    1,
                    points=np.asarray(prompt.points, np.float32) if prompt.points else None,
                    labels=np.asarray(prompt.point_labels, np.int32) if prompt.points else None,
                    box=np.asarray(prompt.box, np.float32) if prompt.box is not None else None,
                )
            self._model.propagate_in_video_preflight(self._state)
        self._start = frame
        self._keep_near(frame)
        return _binary(masks)

    def step(self, frame: int, reverse: bool) -> np.ndarray:
        with self._computing():
            if reverse not in self._ways:
                start = frame + 1 if reverse else frame - 1
                self._ways[reverse] = self._model.propagate_in_video(
                    self._state, start_frame_idx=start, reverse=reverse
                )
                with _no_bar():
                    next(self._ways[reverse])  # the picture that is known already
            index, _, masks = next(self._ways[reverse])
        assert index == frame
        self._keep_near(frame)
        return _binary(masks)

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        import torch
        from torch import autocast

        self._state["cached_features"] = self._shared.get("features", {})
        half = self._dtype != torch.float32 and torch.device(self._runtime.device).type == "cuda"
        with torch.inference_mode(), autocast("cuda", self._dtype) if half else contextlib.nullcontext():
            yield
        self._shared["features"] = self._state["cached_features"]

    def _keep_near(self, frame: int) -> None:
        """Drop memories far from ``frame``; the package stores them in bfloat16, which it then cannot add to floats."""
        import torch

        on_gpu = torch.device(self._runtime.device).type == "cuda"
        for outputs in self._state["output_dict_per_obj"].values():
            kept = outputs["non_cond_frame_outputs"]
            for index in [index for index in kept if abs(index - frame) > MEMORY_FRAMES]:
                del kept[index]
            for output in (*outputs["cond_frame_outputs"].values(), *kept.values()):
                memory = output.get("maskmem_features")
                if memory is not None and not (on_gpu and self._dtype != torch.float32):
                    output["maskmem_features"] = memory.float()


def _binary(masks: Any) -> np.ndarray:
    """bool [H, W] of logits [1, 1, H, W]."""
    return (masks[0, 0] > 0).cpu().numpy()


@contextlib.contextmanager
def _no_bar() -> Iterator[None]:
    """The package draws a progress bar for every propagation; the host draws its own."""
    module: Any = importlib.import_module("sam2.sam2_video_predictor")
    before = module.tqdm
    module.tqdm = lambda frames, **_: frames
    try:
        yield
    finally:
        module.tqdm = before


def _predictor_class() -> Any:
    """The package's predictor. Importing it starts Hydra, which other packages want to start themselves."""
    if not is_installed():
        raise WeightsError(
            f"The sam2 package, which official SAM 2 checkpoints need, is missing: run {cure()}, or choose a SAM 2 "
            "folder in the format of transformers."
        )
    try:
        from hydra.core.global_hydra import GlobalHydra

        started = GlobalHydra.instance().is_initialized()
        try:
            predictor = importlib.import_module("sam2.sam2_video_predictor").SAM2VideoPredictor
        finally:
            if not started:
                GlobalHydra.instance().clear()
    except ImportError as error:
        raise WeightsError(f"The sam2 package cannot be imported ({error}): run {cure()}.") from error
    return predictor


def _config_file(state: Mapping[str, Any], name: str) -> Path:
    """The package's configuration for a checkpoint's tensors."""
    first = state.get(f"{_TRUNK}patch_embed.proj.weight")
    if first is None or "memory_encoder.out_proj.weight" not in state:
        raise WeightsError(f"{name} is no SAM 2 checkpoint: give one of Meta's, such as sam2.1_hiera_large.pt.")
    blocks = 1 + max(int(key[len(_TRUNK) :].split(".")[1]) for key in state if key.startswith(f"{_TRUNK}blocks."))
    variant = VARIANTS.get((first.shape[0], blocks))
    if variant is None:
        raise WeightsError(f"{name} is a SAM 2 of unknown size: give one of Meta's, such as sam2.1_hiera_large.pt.")
    version = "sam2.1" if "no_obj_embed_spatial" in state else "sam2"
    root = Path(importlib.import_module("sam2").__path__[0])
    return root / "configs" / version / f"{version}_hiera_{variant}.yaml"


def _read(path: Path) -> dict[str, Any]:
    """Tensors of a checkpoint, without running anything it may hold."""
    import pickle

    import torch

    state: Any
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file as read_safetensors

            state = read_safetensors(str(path))
        else:
            state = torch.load(str(path), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise WeightsError(
            f"{path.name} cannot be read ({' '.join(str(error).split())[:120]}): fetch it again."
        ) from error
    state = state.get("model", state) if isinstance(state, dict) else {}
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
