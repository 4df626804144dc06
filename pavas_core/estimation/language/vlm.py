"""Vision-language models of the transformers library: what moves in a clip, and how heavy it is (paper, section 3.3).

Any image-text-to-text model in a local folder works; Qwen2.5-VL (the paper's) and Qwen3-VL are known. No code from a
checkpoint is run, nothing is fetched, and answers are greedy: the same pictures give the same words.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pavas_core.errors import PavasError, PhysicsError, WeightsError
from pavas_core.estimation.checkpoints import check_whole, loading, quiet
from pavas_core.estimation.language import vlm_text
from pavas_core.estimation.result_cache import ResultCache, hash_of_weights, key_of
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.physics.types import MassSet, ObjectSet
    from pavas_core.video.clip import Clip, Frame

log = logging.getLogger("pavas")

DEFAULT_MODEL = "Qwen/Qwen3-VL-8B-Instruct"
"""Apache 2.0, as is Qwen/Qwen2.5-VL-7B-Instruct; Qwen2.5-VL-3B and 72B have licences of their own."""
KNOWN_MODELS = {
    "Qwen/Qwen3-VL-8B-Instruct": "Apache-2.0",
    "Qwen/Qwen3-VL-4B-Instruct": "Apache-2.0",
    "Qwen/Qwen3-VL-2B-Instruct": "Apache-2.0",
    "Qwen/Qwen2.5-VL-7B-Instruct": "Apache-2.0",
}
PICTURES = 12
LONG_SIDE = 768
MAX_NEW_TOKENS = 1024
FEWEST_PICTURES, MOST_PICTURES = 2, 64


@dataclass(frozen=True, eq=False)
class Vlm:
    """A loaded model; ``fingerprint`` changes with its files."""

    name: str
    model: Any
    processor: Any
    fingerprint: str


@dataclass(frozen=True)
class Seen:
    """What an answer rests on."""

    frames: tuple[Frame, ...]
    """The pictures the model saw."""
    text: str
    """The model's words."""


def is_vlm_folder(folder: Path) -> bool:
    """Whether ``folder`` holds a checkpoint of an image-text-to-text model in the format of transformers."""
    config = _config(folder)
    has_processor = (folder / "preprocessor_config.json").is_file() or (folder / "processor_config.json").is_file()
    # Florence-2 also turns pictures into text, but takes task words and cannot chat.
    chats = "florence" not in str(config.get("model_type", "")).casefold()
    return chats and has_processor and any(key in config for key in ("vision_config", "visual", "image_token_id"))


def load_vlm(folder: Path, *, precision: str = "auto", runtime: Runtime | None = None) -> Vlm:
    """Load the model in ``folder`` (config.json, safetensors, tokenizer and processor files) on the CPU.

    Raises WeightsError where files are missing, are pickles, or need code of their own.
    """
    import torch
    import transformers

    runtime = runtime or Runtime()
    config = _config(folder)
    if not config:
        raise WeightsError(f"{folder} holds no config.json: give the folder of a model, such as {DEFAULT_MODEL}.")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise WeightsError(f"{folder.name} holds no .safetensors file: get the model's safetensors version.")
    runtime.step("Loading the language model", 0, 1)
    dtype = runtime.dtype(precision)
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with loading(
        f"{folder.name} ({config.get('model_type', 'unknown type')})",
        f"only models that transformers {transformers.__version__} knows without code of their own can be used: update "
        f"transformers, or get {DEFAULT_MODEL}",
    ):
        processor = transformers.AutoProcessor.from_pretrained(str(folder), **options)
        loaded: Any = transformers.AutoModelForImageTextToText.from_pretrained(
            str(folder),
            use_safetensors=True,
            output_loading_info=True,
            **{_dtype_word(transformers.__version__): dtype},
            **options,
        )
    model, info = loaded
    check_whole(info, folder.name, DEFAULT_MODEL)
    if not getattr(processor, "chat_template", None) and not getattr(
        getattr(processor, "tokenizer", None), "chat_template", None
    ):
        raise WeightsError(f"{folder.name} has no chat template: use an instruct model, such as {DEFAULT_MODEL}.")
    model.eval()
    model.requires_grad_(False)
    assert isinstance(model, torch.nn.Module)
    runtime.step("Loading the language model", 1, 1)
    settings = [
        path for name in ("*.json", "*.jinja", "*.txt", "*.model") for path in folder.glob(name) if path.is_file()
    ]
    return Vlm(folder.name, model, processor, hash_of_weights([*weights, *settings]) + str(dtype))


def sample_frames(
    clip: Clip, count: int = PICTURES, *, long_side: int = LONG_SIDE, runtime: Runtime | None = None
) -> tuple[Frame, ...]:
    """``count`` pictures of ``clip``, those being shown in the middle of as many equal spans of time.

    Fewer where the clip has fewer pictures. Raises PavasError for a count out of 2..64.
    """
    from pavas_core.video.clip import iter_frames

    if not FEWEST_PICTURES <= count <= MOST_PICTURES:
        raise PavasError(f"{count} pictures cannot be shown: give {FEWEST_PICTURES} to {MOST_PICTURES}.")
    runtime = runtime or Runtime()
    wanted = (np.arange(count) + 0.5) * clip.duration_s / count
    chosen: list[Frame] = []
    before: Frame | None = None
    total = max(1, clip.frame_count)
    index = 0
    for number, frame in enumerate(iter_frames(clip, long_side=long_side)):
        runtime.step("Choosing pictures", min(number, total), total)
        while before is not None and index < count and wanted[index] < frame.time_s:
            chosen.append(before)
            index += 1
        before = frame
    assert before is not None
    chosen += [before] * (count - index)
    runtime.step("Choosing pictures", total, total)
    return tuple({frame.time_s: frame for frame in chosen}.values())


def detect_vlm(
    clip: Clip,
    vlm: Vlm,
    *,
    prompt: str = vlm_text.DETECT_PROMPT,
    pictures: int = PICTURES,
    max_objects: int = 8,
    max_new_tokens: int = MAX_NEW_TOKENS,
    cache: ResultCache | None = None,
    renew: bool = False,
    runtime: Runtime | None = None,
) -> tuple[ObjectSet, Seen]:
    """What moves in ``clip``, by the model's words, and what it saw and said.

    ``{count}``, ``{times}`` and ``{max_objects}`` are filled in the prompt; ``renew`` asks even where the answer is
    cached. Raises AnswerError, with the model's
    text, where two answers cannot be used.
    """
    runtime = runtime or Runtime()
    frames = sample_frames(clip, pictures, runtime=runtime)
    question = vlm_text.fill_prompt(prompt, {**_about(frames), "max_objects": max_objects})

    def parse(text: str) -> ObjectSet:
        return vlm_text.parse_objects(
            text, clip.width, clip.height, clip.duration_s, max_objects=max_objects, source=f"vlm:{vlm.name}"
        )

    objects, text = _ask(
        vlm, frames, question, parse, "answer about moving objects", max_new_tokens, cache, renew, runtime
    )
    return objects, Seen(frames, text)


def estimate_masses_vlm(
    clip: Clip,
    objects: ObjectSet,
    vlm: Vlm,
    *,
    prompt: str = vlm_text.MASS_PROMPT,
    pictures: int = PICTURES,
    max_new_tokens: int = MAX_NEW_TOKENS,
    cache: ResultCache | None = None,
    renew: bool = False,
    runtime: Runtime | None = None,
) -> tuple[MassSet, Seen]:
    """A mass with range and reason for each object, by the model's words, and what it saw and said.

    ``{count}``, ``{times}`` and ``{objects}`` are filled in the prompt. Raises AnswerError, with the model's text,
    where two answers cannot be used.
    """
    from pavas_core.physics.types import MassSet

    runtime = runtime or Runtime()
    frames = sample_frames(clip, pictures, runtime=runtime)
    if not objects.objects:
        return MassSet({}), Seen(frames, "")
    question = vlm_text.fill_prompt(prompt, {**_about(frames), "objects": vlm_text.described(objects)})

    def parse(text: str) -> MassSet:
        return vlm_text.parse_masses(text, objects, source=f"vlm:{vlm.name}")

    masses, text = _ask(vlm, frames, question, parse, "answer about masses", max_new_tokens, cache, renew, runtime)
    return masses, Seen(frames, text)


def answer(
    vlm: Vlm,
    frames: tuple[Frame, ...],
    question: str,
    *,
    earlier: tuple[str, str] | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    runtime: Runtime | None = None,
) -> str:
    """The model's greedy answer to ``question`` about ``frames``.

    ``earlier`` is a first answer and the complaint about it. Cancelling takes effect within a token.
    """
    import torch
    from PIL import Image

    runtime = runtime or Runtime()
    content: list[dict[str, Any]] = []
    for frame in frames:
        content += [
            {"type": "text", "text": f"{frame.time_s:.2f} s:"},
            {"type": "image", "image": Image.fromarray(frame.image)},
        ]
    content.append({"type": "text", "text": question})
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if earlier is not None:
        messages += [
            {"role": "assistant", "content": [{"type": "text", "text": earlier[0]}]},
            {"role": "user", "content": [{"type": "text", "text": earlier[1]}]},
        ]
    inputs = vlm.processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    length = inputs["input_ids"].shape[1]
    stage = "Reading the pictures and answering"
    with runtime.resident(vlm.model), torch.inference_mode(), quiet():
        device = torch.device(runtime.device)
        inputs = inputs.to(device)
        kind = vlm.model.dtype
        inputs = {
            name: value.to(kind) if torch.is_tensor(value) and value.is_floating_point() else value
            for name, value in inputs.items()
        }
        runtime.step(stage, 0, max_new_tokens)
        made = vlm.model.generate(
            **inputs,
            generation_config=_greedy(vlm.model, max_new_tokens),
            stopping_criteria=_steps(runtime, stage, length, max_new_tokens),
        )
    runtime.step(stage, max_new_tokens, max_new_tokens)
    return vlm.processor.batch_decode(made[:, length:].cpu(), skip_special_tokens=True)[0].strip()


def _ask(
    vlm: Vlm,
    frames: tuple[Frame, ...],
    question: str,
    parse: Callable[[str], Any],
    what: str,
    max_new_tokens: int,
    cache: ResultCache | None,
    renew: bool,
    runtime: Runtime,
) -> tuple[Any, str]:
    """The parsed answer and its text, from the cache where it was given before."""
    shown = [part for frame in frames for part in (frame.time_s, frame.image)]
    key = key_of(vlm.fingerprint, question, max_new_tokens, *shown)
    known = cache.text(key) if cache is not None and not renew else None
    if known is not None:
        with contextlib.suppress(PhysicsError):  # stored by a version that read it otherwise
            return parse(known), known

    def one(earlier_text: str | None, complaint: str | None) -> str:
        earlier = (earlier_text, complaint) if earlier_text is not None and complaint is not None else None
        return answer(vlm, frames, question, earlier=earlier, max_new_tokens=max_new_tokens, runtime=runtime)

    value, text = vlm_text.ask(one, parse, what)
    if cache is not None:
        cache.put_text(key, text)
    return value, text


def _about(frames: tuple[Frame, ...]) -> dict[str, Any]:
    return {"count": len(frames), "times": ", ".join(f"{frame.time_s:.2f}" for frame in frames)}


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _dtype_word(version: str) -> str:
    """What this version of transformers calls the type to load weights in."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return "dtype" if (major, minor) >= (4, 56) else "torch_dtype"


def _greedy(model: Any, max_new_tokens: int) -> Any:
    """The model's own settings without chance: its special tokens stay, sampling goes."""
    import copy

    settings = copy.deepcopy(model.generation_config)
    settings.do_sample, settings.num_beams = False, 1
    settings.temperature = settings.top_p = settings.top_k = None
    settings.max_length, settings.max_new_tokens = None, max_new_tokens
    return settings


def _steps(runtime: Runtime, stage: str, length: int, total: int) -> Any:
    """Progress and cancellation at every token; the host's interruption passes through the library."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    class EveryToken(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            runtime.step(stage, min(input_ids.shape[1] - length, total), total)
            return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)

    return StoppingCriteriaList([EveryToken()])
