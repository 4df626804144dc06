"""Writing simulated clips: H.264 as a camera would, with the modal engine's sound where it is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.audio import Audio
from pavas_core.runtime import Runtime
from pavas_core.simulation.simulate import SimulatedClip
from pavas_core.video.atomic import replacing
from pavas_core.video.limiter import limit

if TYPE_CHECKING:
    from pavas_core.video.clip import Clip


def write_clip(
    sim: SimulatedClip,
    path: str | Path,
    *,
    crf: int | None = None,
    preset: str | None = None,
    sound: bool = False,
    runtime: Runtime | None = None,
) -> Path:
    """Render ``sim`` to an H.264 file, compressed as its filming says unless ``crf`` or ``preset`` do.

    Every picture is stamped with its time of the truth. Odd sizes lose a row or column, as yuv420p asks for. Sound over
    -1 dBFS is limited, which ``sound_of`` never is. The file
    appears whole or not at all; raises MediaError where the folder is missing or cannot be written.
    """
    import av

    path, runtime = Path(path), runtime or Runtime()
    tracks = sim.scene.tracks
    assert tracks is not None
    with replacing(path) as temporary, av.open(str(temporary), "w") as container:
        rate = Fraction(sim.frame_rate).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = sim.scene.width & ~1, sim.scene.height & ~1
        stream.pix_fmt = "yuv420p"
        # the same bytes every time: one thread, and no macroblock tree, whose sums differ from run to run
        stream.thread_count = 1
        stream.options = {
            "crf": str(crf or sim.filming.crf),
            "preset": preset or sim.filming.preset,
            "x264-params": "threads=1:mbtree=0",
        }
        voice = container.add_stream("aac", rate=48000) if sound else None
        count = len(tracks.times_s)
        for index, picture in enumerate(sim.frames()):
            runtime.step("simulate", index, count)
            trimmed = np.ascontiguousarray(picture[: stream.height, : stream.width])
            frame = av.VideoFrame.from_ndarray(trimmed, format="rgb24")
            frame.pts = index
            frame.time_base = 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice is not None:
            audio, _ = limit(sound_of(sim))
            frames = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio.waveform), format="fltp", layout="stereo")
            frames.sample_rate, frames.pts = audio.sample_rate, 0
            frames.time_base = Fraction(1, audio.sample_rate)
            container.mux(voice.encode(frames))
            container.mux(voice.encode())
    return path


@contextmanager
def filmed(sim: SimulatedClip) -> Iterator[Clip]:
    """``sim`` as :func:`write_clip` writes it, opened as any clip; the file lasts as long as the context."""
    from pavas_core.video.clip import open_clip

    with tempfile.TemporaryDirectory() as folder:
        yield open_clip(write_clip(sim, Path(folder) / "clip.mp4"))


def sound_of(sim: SimulatedClip, *, seed: int | None = None) -> Audio:
    """The modal engine's rendering of the truth, 48 kHz stereo; ``seed`` defaults to the clip's own."""
    from pavas_core.synthesis.engine import synthesize_impacts

    floor = sim.played.stage.floor_material
    return synthesize_impacts(sim.scene, seed=sim.seed if seed is None else seed, floor=floor).mix
