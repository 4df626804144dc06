"""What a host lends the core: progress, interruption, a device, and room on it for networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pavas_core.errors import PavasError

if TYPE_CHECKING:
    import torch
    from torch import nn

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "fp8")
"""What a user may ask for; ``auto`` is the host's choice for its device. ``fp8`` keeps a network's large weights in
eight bits and computes in what ``auto`` gives."""

OUT_OF_MEMORY = (
    "The memory of {device} is full: close other programs that use it, make a shorter sound or fewer takes at once, "
    "or choose a smaller model or precision fp16."
)


SAYINGS_OF_FULL_MEMORY = ("out of memory", "can't allocate memory", "bad allocation", "could not create a primitive")
"""The last is oneDNN's, which computes on the CPU and says no more."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that a device's memory is full; devices differ in how they say it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in SAYINGS_OF_FULL_MEMORY)


def _no_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


def _never_cancelled() -> None:
    """Never interrupt."""


@contextmanager
def _moved(modules: tuple[nn.Module, ...], device: str, activation_bytes: int) -> Iterator[None]:
    """Move modules to ``device`` and back to where they were.

    What is there already is left alone: a small network would spend a tenth of its time on looking at every parameter.
    """
    import torch

    there = torch.device(device)
    strangers = [(module, home) for module in modules if (home := next(module.parameters()).device) != there]
    try:
        for module, _ in strangers:
            module.to(device)
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise PavasError(OUT_OF_MEMORY.format(device=device)) from error
    finally:
        for module, home in strangers:
            module.to(home)


def _dtype_of_device(precision: str, device: str) -> torch.dtype:
    """Half precision where the device computes faster in it, single precision elsewhere."""
    import torch

    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision in named:
        return named[precision]
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16 if kind == "mps" else torch.float32


@dataclass(frozen=True)
class Runtime:
    """The host's side of a job, passed explicitly to everything that takes over a second.

    ``on_progress(stage, done, total)`` is called at every frame, window or step. ``check_cancelled()``
    is called as often and raises the host's own interruption (``pavas_core.errors.Cancelled`` on the
    command line, ComfyUI's ``InterruptProcessingException`` in ComfyUI).
    """

    on_progress: Callable[[str, int, int], None] = _no_progress
    check_cancelled: Callable[[], None] = _never_cancelled
    device: str = "cpu"
    """Where networks compute; inputs of a resident module belong there."""
    operations: Any = None
    """Layer classes that the host can stream (``comfy.ops`` in ComfyUI); None = ``torch.nn``."""
    lend_device: Callable[[tuple[nn.Module, ...], str, int], AbstractContextManager[None]] = _moved
    """``(modules, device, activation_bytes)`` -> modules on the device for the time of the context."""
    choose_dtype: Callable[[str, str], torch.dtype] = _dtype_of_device
    """``(precision, device)`` -> the type to compute in."""

    def step(self, stage: str, done: int, total: int) -> None:
        """Report ``done`` of ``total`` units of ``stage`` and stop if the user asked for it."""
        self.check_cancelled()
        self.on_progress(stage, done, total)

    def resident(self, *modules: nn.Module, activation_bytes: int = 0) -> AbstractContextManager[None]:
        """While in the context, ``modules`` can compute on :attr:`device`; what becomes of them after is the host's.

        Parameters may live elsewhere even then (a host that streams weights): take the device from the inputs, and
        bring free parameters to the activations with ``.to(x)``. ``activation_bytes`` is what the work needs beside
        the weights, as far as known. Raises PavasError, or the host's own error, when memory runs out.
        """
        return self.lend_device(modules, self.device, activation_bytes)

    def dtype(self, precision: str = "auto") -> torch.dtype:
        """The type to compute in for a precision of :data:`PRECISIONS`. Raises PavasError for another word."""
        if precision not in PRECISIONS:
            raise PavasError(f"{precision!r} is no precision: use one of {', '.join(PRECISIONS)}.")
        return self.choose_dtype(precision, self.device)
