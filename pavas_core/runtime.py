"""What a host lends the core: progress, interruption and a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _no_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


def _never_cancelled() -> None:
    """Never interrupt."""


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

    def step(self, stage: str, done: int, total: int) -> None:
        """Report ``done`` of ``total`` units of ``stage`` and stop if the user asked for it."""
        self.check_cancelled()
        self.on_progress(stage, done, total)
