"""ComfyUI's progress bar and Cancel button, as the core's ``Runtime``."""

from __future__ import annotations

from pavas_core.runtime import Runtime


def comfy_runtime() -> Runtime:
    """A runtime for the node that is executing now.

    Cancelling raises ComfyUI's own interruption, which on recent versions is no ``Exception``; nothing
    between here and ComfyUI may catch it.
    """
    import comfy.model_management
    import comfy.utils

    bar = comfy.utils.ProgressBar(1)

    def on_progress(stage: str, done: int, total: int) -> None:
        bar.update_absolute(done, max(total, 1))

    return Runtime(
        on_progress=on_progress, check_cancelled=comfy.model_management.throw_exception_if_processing_interrupted
    )
