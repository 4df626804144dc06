"""Florence-2: where in a picture the thing is that words describe (paper, section 3.3), by transformers' own class."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pavas_core.errors import WeightsError
from pavas_core.estimation.checkpoints import check_whole, loading
from pavas_core.estimation.result_cache import hash_of_weights
from pavas_core.runtime import Runtime

Box = tuple[float, float, float, float]

TASK = "<CAPTION_TO_PHRASE_GROUNDING>"
DEFAULT_MODEL = "florence-community/Florence-2-base"
"""Microsoft's weights (MIT) in the format of transformers' own class."""
MAX_NEW_TOKENS = 128
SMALLEST, LARGEST = 2e-5, 0.85
"""Least and most of the picture that a box may cover: for what it cannot find, the model answers with all of it."""


@dataclass(frozen=True, eq=False)
class Grounder:
    """A loaded Florence-2."""

    name: str
    model: Any
    processor: Any
    fingerprint: str


def is_florence_folder(folder: Path) -> bool:
    """Whether ``folder`` holds a Florence-2 that needs no code of its own."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return config.get("model_type") == "florence2" and "auto_map" not in config


def load_grounder(folder: Path, *, precision: str = "auto", runtime: Runtime | None = None) -> Grounder:
    """Load the Florence-2 in ``folder`` on the CPU.

    Raises WeightsError where it is none, holds no safetensors, or is in the format that needs code from the hub.
    """
    import transformers

    if not hasattr(transformers, "Florence2ForConditionalGeneration"):
        raise WeightsError(
            f"transformers {transformers.__version__} has no Florence-2 of its own: update it to 4.56 or newer."
        )
    if not is_florence_folder(folder):
        raise WeightsError(
            f"{folder.name} is no Florence-2 in the format of transformers' own class: get {DEFAULT_MODEL}."
        )
    runtime = runtime or Runtime()
    runtime.step("Loading Florence-2", 0, 1)
    dtype = runtime.dtype(precision)
    options: dict[str, Any] = {"local_files_only": True}
    with loading(folder.name, f"get {DEFAULT_MODEL} again"):
        processor = transformers.AutoProcessor.from_pretrained(str(folder), trust_remote_code=False, **options)
        loaded: Any = transformers.Florence2ForConditionalGeneration.from_pretrained(
            str(folder), use_safetensors=True, dtype=dtype, output_loading_info=True, **options
        )
    model, info = loaded
    check_whole(info, folder.name, DEFAULT_MODEL)
    model.eval()
    model.requires_grad_(False)
    runtime.step("Loading Florence-2", 1, 1)
    files = [*folder.glob("*.safetensors"), *folder.glob("*.json")]
    return Grounder(folder.name, model, processor, hash_of_weights(files) + str(dtype))


def ground(grounder: Grounder, image: np.ndarray, words: str, *, runtime: Runtime | None = None) -> Box | None:
    """The box x0, y0, x1, y1 (pixels of ``image``, uint8 [H, W, 3]) of what ``words`` describe, or None.

    The model must be resident. It names a box for nearly everything it is asked for, so a box of nearly the whole
    picture counts as none.
    """
    import torch
    from PIL import Image

    runtime = runtime or Runtime()
    runtime.check_cancelled()
    height, width = image.shape[:2]
    inputs = grounder.processor(text=TASK + words, images=Image.fromarray(image), return_tensors="pt")
    with torch.inference_mode():
        made = grounder.model.generate(
            input_ids=inputs["input_ids"].to(runtime.device),
            attention_mask=inputs["attention_mask"].to(runtime.device),
            pixel_values=inputs["pixel_values"].to(runtime.device, grounder.model.dtype),
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            num_beams=3,
        )
    text = grounder.processor.batch_decode(made.cpu(), skip_special_tokens=False)[0]
    return box_of_answer(grounder.processor, text, words, width, height)


def box_of_answer(processor: Any, text: str, words: str, width: int, height: int) -> Box | None:
    """The box of the phrase nearest to ``words`` in Florence-2's text for a picture of ``width`` x ``height``."""
    found = processor.post_process_generation(text, task=TASK, image_size=(width, height))[TASK]
    wanted = set(_words(words))
    best: tuple[float, Box] | None = None
    for box, label in zip(found.get("bboxes", []), found.get("labels", []), strict=False):
        x0, y0, x1, y1 = (float(value) for value in box)
        share = (x1 - x0) * (y1 - y0) / (width * height)
        if not (x1 > x0 and y1 > y0 and SMALLEST <= share <= LARGEST):
            continue
        alike = len(wanted & set(_words(str(label)))) / max(len(wanted), 1)
        if best is None or alike > best[0]:
            best = alike, (x0, y0, x1, y1)
    return best[1] if best else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
