"""What ComfyUI lends the nodes: progress bar, Cancel button, and a user who needs plain words."""

from __future__ import annotations

import contextvars
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pavas_core.errors import PavasError
from pavas_core.runtime import OUT_OF_MEMORY, Runtime, is_out_of_memory

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
PACKAGE_OF_MODULE = {"cv2": "opencv-python-headless", "PIL": "Pillow", "open_clip": "open_clip_torch"}


def says_what_is_missing(execute: Callable) -> Callable:
    """Turn a missing Python package into one sentence with the command that installs it here."""

    @functools.wraps(execute)
    def run(cls, *args, **inputs):
        try:
            return execute(cls, *args, **inputs)
        except ModuleNotFoundError as missing:
            module = (missing.name or "").partition(".")[0]
            if module == "pavas_core":
                raise  # a fault of the pack, which installing cannot cure
            raise PavasError(
                f"The Python package {PACKAGE_OF_MODULE.get(module, module)} is missing: run "
                f'"{sys.executable}" -m pip install -r "{REQUIREMENTS}" and start ComfyUI again.'
            ) from missing

    return run


def _in_a_thread_of_its_own(call: Callable) -> Callable:
    """Have ``call`` run in a thread that ends with it, and wait.

    oneDNN, which computes on the CPU, generates code for every new shape and keeps a failure to find memory for it
    with the thread (xbyak's thread-local error, which nothing clears): from then on that thread gets no new
    primitive, however much memory there is. ComfyUI has one thread for all graphs, so it is spared.
    """

    def run(*args, **inputs):
        import torch

        context, inference = contextvars.copy_context(), torch.is_inference_mode_enabled()
        results, errors = [], []

        def work():
            try:
                with torch.inference_mode(inference):
                    results.append(context.run(call, *args, **inputs))
            except BaseException as error:  # ComfyUI's interruption is no Exception; raised again below
                errors.append(error)

        thread = threading.Thread(target=work, name="pavas", daemon=True)
        thread.start()
        thread.join()
        if errors:
            raise errors.pop()
        return results.pop()

    return run


def survives_full_memory(execute: Callable) -> Callable:
    """On a full device, have ComfyUI unload every model and try once more; then give up in one sentence."""

    @functools.wraps(execute)
    def run(cls, *args, **inputs):
        import comfy.model_management as management

        on_cpu = str(management.get_torch_device()) == "cpu"
        call = _in_a_thread_of_its_own(execute) if on_cpu else execute
        for attempt in ("first", "last"):
            try:
                return call(cls, *args, **inputs)
            except Exception as error:
                if not (isinstance(error, (RuntimeError, MemoryError)) and is_out_of_memory(error)):
                    raise
                if attempt == "last":
                    raise PavasError(OUT_OF_MEMORY.format(device=management.get_torch_device())) from None
            # Outside the handler: its traceback would keep the tensors alive that are to be freed.
            management.unload_all_models()
            management.soft_empty_cache()

    return run


def say_on_node(cls: Any, text: str) -> None:
    """Show a line on the face of the node that is executing; its schema asks for the hidden ``unique_id``."""
    from server import PromptServer

    if text and PromptServer.instance is not None:
        PromptServer.instance.send_progress_text(text, cls.hidden.unique_id)


def _can_be_streamed(module: Any) -> bool:
    """Whether a network is made of ComfyUI's own layers."""
    return any(hasattr(layer, "comfy_cast_weights") for layer in module.modules())


def _settable(module: Any) -> Any:
    """What ComfyUI may write ``device`` on: a shell around networks, such as transformers', that only tell theirs."""
    from torch import nn

    own = getattr(type(module), "device", None)
    return nn.ModuleDict({"network": module}) if isinstance(own, property) and own.fset is None else module


def _patcher(module: Any) -> Any:
    """ComfyUI's handle on a network, made at its first use and kept with it.

    Networks made of ComfyUI's own layers can be streamed in part; others are moved whole.
    """
    import comfy.model_management as management
    import comfy.model_patcher as patchers

    patcher = getattr(module, "_comfy_patcher", None)
    if patcher is None:
        kind = patchers.ModelPatcher
        if _can_be_streamed(module):
            kind = getattr(patchers, "CoreModelPatcher", kind)
        patcher = kind(
            _settable(module),
            load_device=management.get_torch_device(),
            offload_device=management.unet_offload_device(),
        )
        module._comfy_patcher = patcher
    return patcher


@contextmanager
def _lent_by_comfy(modules: tuple[Any, ...], device: str, activation_bytes: int) -> Iterator[None]:
    """Have ComfyUI's memory manager load modules; it decides itself when they go."""
    import comfy.model_management as management

    # Streamed ones first: where memory is short, what must be loaded whole then takes its place from them.
    streamed = [module for module in modules if _can_be_streamed(module)]
    whole = [module for module in modules if module not in streamed]
    if streamed:
        management.load_models_gpu([_patcher(module) for module in streamed], memory_required=activation_bytes)
    if whole:
        management.load_models_gpu(
            [_patcher(module) for module in whole], memory_required=activation_bytes, force_full_load=True
        )
    yield


def _dtype_of_comfy(precision: str, device: str) -> Any:
    """The type ComfyUI would compute in on its device, unless the user named one."""
    import comfy.model_management as management
    import torch

    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision in named:
        return named[precision]
    where = management.get_torch_device()
    if management.should_use_bf16(where):
        return torch.bfloat16
    return torch.float16 if management.should_use_fp16(where) else torch.float32


def comfy_runtime() -> Runtime:
    """A runtime for the node that is executing now.

    Cancelling raises ComfyUI's own interruption, which on recent versions is no ``Exception``; nothing
    between here and ComfyUI may catch it.
    """
    import comfy.model_management
    import comfy.ops
    import comfy.utils

    bar = comfy.utils.ProgressBar(1)

    def on_progress(stage: str, done: int, total: int) -> None:
        bar.update_absolute(done, max(total, 1))

    return Runtime(
        on_progress=on_progress,
        check_cancelled=comfy.model_management.throw_exception_if_processing_interrupted,
        device=str(comfy.model_management.get_torch_device()),
        operations=comfy.ops.manual_cast,
        lend_device=_lent_by_comfy,
        choose_dtype=_dtype_of_comfy,
    )
