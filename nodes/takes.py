"""Several takes of a sound, listened to on the node, and one of them chosen."""

from __future__ import annotations

import uuid
from itertools import pairwise
from pathlib import Path

from comfy_api.latest import io

from pavas_core.errors import PavasError

from .convert import audio_of, comfy_audio
from .host import says_what_is_missing
from .wires import node_schema

SUBFOLDER = "pavas_takes"
PEAKS = 160
"""Columns of the waveform shown of a take."""


class PavasPickTake(io.ComfyNode):
    """Players of all takes on the node, and the chosen one as output."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasPickTake",
            display_name="Pick Take (PAVAS)",
            category="PAVAS/sound",
            description="Shows every take with a player and its waveform, and passes the chosen one on.",
            search_aliases=["choose take", "select audio", "compare takes", "preview audio", "batch"],
            is_output_node=True,
            is_input_list=True,
            inputs=[
                io.Audio.Input("audio", tooltip="Takes of Vocode or Sample Stems, or a batch."),
                io.Int.Input("take", default=1, min=1, max=4096, tooltip="The take to pass on; 1 is the first."),
            ],
            outputs=[io.Audio.Output("audio_out", display_name="audio", tooltip="The chosen take.")],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, audio, take):
        takes = [
            audio_of({"waveform": one["waveform"][k : k + 1], "sample_rate": one["sample_rate"]})
            for one in audio
            for k in range(one["waveform"].shape[0])
        ]
        number = take[0]
        if not 1 <= number <= len(takes):
            raise PavasError(f"There is no take {number}: choose one from 1 to {len(takes)}.")
        shown = [_shown(one, index) for index, one in enumerate(takes, start=1)]
        return io.NodeOutput(comfy_audio(takes[number - 1]), ui={"pavas_takes": shown})


def _shown(sound, number: int) -> dict:
    """A take as a file of the temp folder, with what its player shows."""
    import folder_paths
    import numpy as np

    from pavas_core.evaluation.loudness import measure
    from pavas_core.video.audio_files import write_flac

    folder = Path(folder_paths.get_temp_directory()) / SUBFOLDER
    folder.mkdir(parents=True, exist_ok=True)
    name = f"take{number}_{uuid.uuid4().hex[:12]}.flac"
    write_flac(sound, folder / name)
    loudest = np.abs(sound.waveform).max(axis=0)
    edges = np.linspace(0, loudest.size, PEAKS + 1).astype(int)
    peaks = [float(loudest[a : max(b, a + 1)].max(initial=0)) for a, b in pairwise(edges)]
    return {
        "filename": name,
        "subfolder": SUBFOLDER,
        "type": "temp",
        "label": str(measure(sound)),
        "peaks": [round(peak, 4) for peak in peaks],
    }
