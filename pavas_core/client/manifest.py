"""The record of a batch: every job planned, submitted and ended, one JSON line each, safe against being killed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pavas_core.client.workflow import Graph, Target
from pavas_core.errors import PavasError
from pavas_core.video.atomic import replacing

VERSION = 1
NAME = "manifest.jsonl"


@dataclass(frozen=True)
class Job:
    """One clip with one combination of swept values."""

    id: str
    """Unique among all batches; part of every file name."""
    clip: str
    """Absolute path of the clip."""
    values: dict[str, str]


@dataclass(frozen=True)
class Submission:
    """Where and as what a job was last handed in."""

    server: str
    prompt_id: str


@dataclass(frozen=True)
class Outcome:
    """How a job ended; a job has exactly one."""

    status: Literal["done", "failed"]
    error: str = ""
    files: tuple[str, ...] = ()
    """Names below the batch's folder."""
    texts: tuple[str, ...] = ()
    """What the graph's text outputs said."""
    server: str = ""
    prompt_id: str = ""
    seconds: float = 0.0
    """From handing in to the end, waiting in the server's queue included."""
    comfyui: str = ""
    """The server's version of ComfyUI."""


@dataclass
class Record:
    """What the manifest says about one job."""

    job: Job
    submission: Submission | None = None
    losses: int = 0
    """How often a server stopped while it ran this job."""
    outcome: Outcome | None = None


@dataclass
class Manifest:
    """An open manifest. Every change is on the disk before the call returns."""

    folder: Path
    run: str
    graph: Graph
    clip_input: Target
    records: dict[str, Record]
    _file: BinaryIO = field(repr=False)

    def submitted(self, job: Job, submission: Submission) -> None:
        """Note, before it is done, that a job is handed in."""
        self.records[job.id].submission = submission
        self._write("submitted", id=job.id, server=submission.server, prompt_id=submission.prompt_id)

    def lost(self, job: Job, while_running: bool) -> None:
        """Note that a server forgot a job."""
        record = self.records[job.id]
        record.submission = None
        record.losses += while_running
        self._write("lost", id=job.id, while_running=while_running)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Note the one outcome of a job. Raises ValueError for a second one."""
        record = self.records[job.id]
        if record.outcome is not None:
            raise ValueError(f"{job.id} has ended already")
        record.outcome = outcome
        self._write("outcome", id=job.id, **outcome.__dict__)

    def open_records(self) -> list[Record]:
        """Jobs without an outcome, in the order planned."""
        return [record for record in self.records.values() if record.outcome is None]

    def _write(self, event: str, **fields: Any) -> None:
        self._file.write(_line(event, **fields))
        self._file.flush()
        os.fsync(self._file.fileno())


def _line(event: str, **fields: Any) -> bytes:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"event": event, "time": stamp, **fields}, ensure_ascii=False).encode() + b"\n"


def plan(folder: Path, run: str, graph: Graph, clip_input: Target, jobs: Sequence[Job]) -> None:
    """Write a new manifest, whole or not at all. Raises PavasError where the folder holds one already."""
    path = folder / NAME
    if path.exists():
        raise PavasError(f"{folder} holds a batch already: add --resume to go on with it, or give another --output.")
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(_line("run", version=VERSION, run=run, graph=graph, clip_input=clip_input))
        for job in jobs:
            file.write(_line("job", id=job.id, clip=job.clip, values=job.values))
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def opened(folder: Path) -> Iterator[Manifest]:
    """The manifest of a folder, for one process at a time.

    A last line cut off by a crash is dropped: what it would have said had not happened yet. Raises PavasError for a
    folder without a manifest, one in use, and one that is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        raise PavasError(f"{folder} holds no batch to go on with: leave out --resume to begin one.")
    with _locked(folder), path.open("r+b") as file:
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        file.truncate(len(whole))
        file.seek(0, os.SEEK_END)
        yield Manifest(folder, *_read(path, whole), file)


def _read(path: Path, content: bytes) -> tuple[str, Graph, Target, dict[str, Record]]:
    records: dict[str, Record] = {}
    head: tuple[str, Graph, Target] | None = None
    for number, text in enumerate(content.splitlines(), start=1):
        try:
            line = json.loads(text)
            event = line.pop("event")
            line.pop("time")
            if event == "run":
                if line["version"] != VERSION:
                    raise PavasError(f"{path} was written by another version of PAVAS: finish it with that one.")
                head = (line["run"], line["graph"], Target(*line["clip_input"]))
                continue
            if event == "job":
                records[line["id"]] = Record(Job(**line))
                continue
            record = records[line.pop("id")]
            if event == "submitted":
                record.submission = Submission(**line)
            elif event == "lost":
                record.submission = None
                record.losses += line["while_running"]
            else:
                record.outcome = Outcome(**{**line, "files": tuple(line["files"]), "texts": tuple(line["texts"])})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise PavasError(f"Line {number} of {path} is damaged: restore the file, or begin a new batch.") from None
    if head is None:
        raise PavasError(f"{path} has no first line: restore the file, or begin a new batch.")
    return *head, records


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes off the folder; the system lets go when this process ends, however it ends."""
    with (folder / ".lock").open("wb") as file:
        try:
            _lock(file)
        except OSError:
            raise PavasError(f"Another process works on {folder}: wait for it, or stop it first.") from None
        yield


def _lock(file: BinaryIO) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
