"""What a stage cost: seconds and peak memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Cost:
    """Seconds and the most bytes in use on the device (of the process, on the CPU)."""

    stage: str
    seconds: float = 0.0
    peak_bytes: int = 0

    def __str__(self) -> str:
        return f"{self.stage}: {self.seconds:.1f} s, {self.peak_bytes / 2**30:.2f} GiB at most"


@contextmanager
def cost_of(stage: str, device: str) -> Iterator[Cost]:
    """Measure what is done in the context; the figures are there when it ends."""
    cost = Cost(stage)
    on_gpu = device.startswith("cuda")
    if on_gpu:
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - began
        cost.peak_bytes = torch.cuda.max_memory_allocated(device) if on_gpu else _peak_of_process()


def _peak_of_process() -> int:
    """Most memory the process ever had resident, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
