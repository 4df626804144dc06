"""From clips, a workflow and sweeps to the list of jobs, and from a job to the graph to submit."""

from __future__ import annotations

import copy
import re
import secrets
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from pavas_core.client.manifest import Job
from pavas_core.client.workflow import PREFIX_INPUT, Graph, Sweep, Target, combinations, set_value
from pavas_core.errors import MediaError

CLIP_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".gif")
NAME_BYTES = 80


def find_clips(sources: Sequence[Path]) -> list[Path]:
    """Files as given and every video directly in a folder given; each once. Raises MediaError for what is not there."""
    clips: dict[Path, None] = {}
    for source in sources:
        if source.is_dir():
            found = sorted(path for path in source.iterdir() if path.suffix.lower() in CLIP_SUFFIXES)
            if not found:
                raise MediaError(f"The folder {source} holds no video: give another one.")
        elif source.is_file():
            found = [source]
        else:
            raise MediaError(f"There is no clip {source}: check the path.")
        clips.update(dict.fromkeys(path.resolve() for path in found))
    return list(clips)


def new_run() -> str:
    """A name no other batch has, on whatever machine."""
    return secrets.token_hex(4)


def plan_jobs(run: str, clips: Sequence[Path], graph: Graph, sweeps: Sequence[Sweep]) -> list[Job]:
    """Every clip with every combination, clip by clip, so that a server detects and tracks in each clip once."""
    pairs = [(clip, values) for clip in clips for values in combinations(graph, sweeps)]
    return [Job(f"{run}-{number:05}", str(clip), values) for number, (clip, values) in enumerate(pairs, start=1)]


def safe_name(name: str) -> str:
    """A file name for any system: letters of all scripts stay, the rest becomes ``_``; at most NAME_BYTES long."""
    kept = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name)).strip("._") or "clip"
    return kept.encode()[:NAME_BYTES].decode(errors="ignore")


def graph_of(job: Job, graph: Graph, clip_input: Target, uploaded: str, attempt: str) -> Graph:
    """The graph to submit: the job's clip and values, and file names that no other job or attempt can have.

    Names of their own also make every save node run, however much of the graph a server remembers.
    """
    graph = copy.deepcopy(graph)
    for name, value in job.values.items():
        graph = set_value(graph, name, value)
    graph[clip_input.node]["inputs"][clip_input.input] = uploaded
    stem = safe_name(Path(job.clip).stem)
    for node in graph.values():
        if isinstance(prefix := node["inputs"].get(PREFIX_INPUT), str):
            last = safe_name(prefix.replace("\\", "/").rpartition("/")[2])
            node["inputs"][PREFIX_INPUT] = f"pavas/queue/{job.id}-{attempt}/{stem}_{last}"
    return graph
