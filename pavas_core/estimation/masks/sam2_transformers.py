"""SAM 2 by transformers' own video class, for checkpoints in its format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pavas_core.errors import WeightsError
from pavas_core.estimation.checkpoints import check_whole, loading
from pavas_core.estimation.masks.segmenter import MEMORY_FRAMES, Prompt, Session
from pavas_core.estimation.result_cache import hash_of_weights
from pavas_core.runtime import Runtime

DEFAULT_MODEL = "facebook/sam2.1-hiera-large"
_OBJECT = 1
_PROMPT_PLACES = "prompt_encoder.shared_embedding.positional_embedding"
_PICTURE_PLACES = "shared_image_embedding.positional_embedding"


def is_sam2_folder(folder: Path) -> bool:
    """Whether ``folder`` holds a SAM 2 in the format of transformers."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") in {"sam2", "sam2_video"}


def load(folder: Path, *, precision: str = "auto", runtime: Runtime | None = None) -> TransformersSegmenter:
    """The network in ``folder``, on the CPU. Raises WeightsError where it is none or transformers is too old."""
    import transformers

    runtime = runtime or Runtime()
    if not hasattr(transformers, "Sam2VideoModel"):
        raise WeightsError(f"transformers {transformers.__version__} has no SAM 2 video: update it to 4.56 or newer.")
    if not is_sam2_folder(folder):
        raise WeightsError(f"{folder.name} is no SAM 2 in the format of transformers: get {DEFAULT_MODEL}.")
    runtime.step("Loading SAM 2", 0, 1)
    dtype = runtime.dtype(precision)
    with loading(folder.name, f"get {DEFAULT_MODEL} again"):
        loaded: Any = transformers.Sam2VideoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
        )
        processor = transformers.Sam2VideoProcessor.from_pretrained(str(folder), local_files_only=True)
    model, info = loaded
    check_whole(info, folder.name, DEFAULT_MODEL, known=(_PROMPT_PLACES,))
    # SAM 2 has one encoding of places; transformers 5 has two, and published files may hold only the pictures' one.
    model.requires_grad_(False)
    model.get_parameter_or_buffer(_PROMPT_PLACES).copy_(model.get_parameter_or_buffer(_PICTURE_PLACES))
    model.eval()
    runtime.step("Loading SAM 2", 1, 1)
    files = [*folder.glob("*.safetensors"), *folder.glob("*.json")]
    return TransformersSegmenter(folder.name, model, processor, hash_of_weights(files) + str(dtype))


class TransformersSegmenter:
    """SAM 2 in transformers' classes."""

    def __init__(self, name: str, module: Any, processor: Any, fingerprint: str):
        self.name, self.module, self.processor = name, module, processor
        self.fingerprint = f"sam2-transformers {fingerprint}"

    def sessions(self, images: Sequence[np.ndarray], count: int, runtime: Runtime) -> list[Session]:
        """``count`` sessions over the same pictures, which share the features of the current one."""
        made = [_TransformersSession(self, images, runtime) for _ in range(count)]
        for one in made[1:]:
            one.session.cache = made[0].session.cache
        return list(made)


class _Pictures(dict):
    """Pictures as the network takes them, made when asked for: [3, S, S]."""

    def __init__(self, images: Sequence[np.ndarray], processor: Any, dtype: Any):
        super().__init__()
        self.images, self.processor, self.dtype = images, processor, dtype

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        made = self.processor.video_processor(videos=[self.images[index][None]], return_tensors="pt")
        return made.pixel_values_videos[0, 0].to(self.dtype)


class _TransformersSession:
    def __init__(self, segmenter: TransformersSegmenter, images: Sequence[np.ndarray], runtime: Runtime):
        self._model, self._processor = segmenter.module, segmenter.processor
        dtype = self._model.dtype
        self.session = self._processor.init_video_session(
            inference_device=runtime.device, video_storage_device="cpu", dtype=dtype
        )
        self.session.processed_frames = _Pictures(images, self._processor, dtype)
        self.session.video_height, self.session.video_width = images[0].shape[:2]

    def prompt(self, frame: int, prompt: Prompt) -> np.ndarray:
        inputs: dict[str, Any] = {}
        if prompt.mask is not None:
            inputs["input_masks"] = prompt.mask
        if prompt.mask is None and prompt.points:
            inputs["input_points"] = [[[list(map(float, point)) for point in prompt.points]]]
            inputs["input_labels"] = [[list(prompt.point_labels)]]
        if prompt.mask is None and prompt.box is not None:
            inputs["input_boxes"] = [[list(map(float, prompt.box))]]
        self._processor.add_inputs_to_inference_session(self.session, frame_idx=frame, obj_ids=_OBJECT, **inputs)
        return self._run(frame, False)

    def step(self, frame: int, reverse: bool) -> np.ndarray:
        return self._run(frame, reverse)

    def _run(self, frame: int, reverse: bool) -> np.ndarray:
        import torch

        with torch.inference_mode():
            made = self._model(self.session, frame_idx=frame, reverse=reverse)
            size = [self.session.video_height, self.session.video_width]
            masks = self._processor.post_process_masks([made.pred_masks.float()], original_sizes=[size], binarize=True)
        for outputs in self.session.output_dict_per_obj.values():
            kept = outputs["non_cond_frame_outputs"]
            for index in [index for index in kept if abs(index - frame) > MEMORY_FRAMES]:
                del kept[index]
        return masks[0].reshape(size).cpu().numpy().astype(bool)
