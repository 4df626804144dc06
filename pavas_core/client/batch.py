"""Runs a manifest's jobs on one or several servers until each has its one outcome."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from pavas_core.client.jobs import graph_of
from pavas_core.client.manifest import Job, Manifest, Outcome, Record, Submission
from pavas_core.client.server import RECONNECT_S, ComfyServer, Finished, Unreachable
from pavas_core.errors import MediaError, PavasError

log = logging.getLogger("pavas")

IN_FLIGHT = 2
"""Prompts a server holds at once: one runs while the next waits, so that it never idles."""
POLL_S = 2.0
PATIENCE_S = 120.0
MAX_LOSSES = 5
"""A clip that was being run when its server stopped this often is taken to be the reason."""
CANCEL_LIMIT_S = 3.0

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """A change worth showing: how far a job is on a server, or its outcome."""

    server: str
    job: Job
    fraction: float = 0.0
    outcome: Outcome | None = None


Report = Callable[[Progress], None]


class LocalFault(PavasError):
    """Results cannot be stored on this machine: going on would lose them."""


@dataclass
class Pool:
    """Jobs nobody works on, shared by the workers of all servers."""

    records: list[Record]
    last_clip: dict[str, str] = field(default_factory=dict)
    """Server -> the clip it was given last."""
    _working: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, server: str) -> Record | None:
        """The best next job for a server, or None when no job is left that could ever come back."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.records or not self._working)
            if not self.records:
                return None
            record = min(self.records, key=lambda one: self._cost(one, server))  # of equals the first: as planned
            self.records.remove(record)
            self.last_clip[server] = record.job.clip
            self._working += 1
            return record

    def _cost(self, record: Record, server: str) -> int:
        """Jobs the server has already come first, then those of its last clip, then of clips no server works on."""
        if record.submission is not None:
            return 0 if record.submission.server == server else 4
        if record.job.clip == self.last_clip.get(server):
            return 1
        return 3 if record.job.clip in self.last_clip.values() else 2

    async def put_down(self, record: Record, again: bool) -> None:
        """A worker is through with a job; ``again`` gives it to another one."""
        async with self._changed:
            self._working -= 1
            if again:
                self.records.insert(0, record)
            self._changed.notify_all()


@dataclass
class Heard:
    """What a server's events say of one prompt."""

    on_fraction: Callable[[float], None]
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever something decisive may have happened."""
    started: bool = False


class Ears:
    """Hears a server's events for those who wait for a prompt.

    Where a prompt is, is never decided from events, which can be missed, but from the server's queue and history.
    """

    def __init__(self) -> None:
        self._prompts: dict[str, Heard] = {}

    def attend(self, prompt_id: str, on_fraction: Callable[[float], None]) -> Heard:
        """Keep what is said of a prompt."""
        return self._prompts.setdefault(prompt_id, Heard(on_fraction))

    def forget(self, prompt_id: str) -> None:
        """Nobody waits for a prompt any more."""
        self._prompts.pop(prompt_id, None)

    def on_event(self, kind: str, data: dict[str, Any]) -> None:
        """Take one event of the socket."""
        if kind == "connected":
            for heard in self._prompts.values():
                heard.news.set()
        if (prompt_id := data.get("prompt_id")) not in self._prompts:
            return
        heard = self._prompts[str(prompt_id)]
        heard.started |= kind == "execution_start"
        if kind in ("execution_error", "execution_interrupted") or (kind == "executing" and data.get("node") is None):
            heard.news.set()
        elif kind == "progress_state":
            nodes = data.get("nodes", {}).values()
            shares = [node.get("value", 0) / (node.get("max") or 1) for node in nodes if node.get("state") == "running"]
            heard.on_fraction(max(shares, default=0.0))


@dataclass
class Worker:
    """One server's part of a batch."""

    server: ComfyServer
    manifest: Manifest
    pool: Pool
    report: Report
    patience_s: float
    ears: Ears = field(default_factory=Ears)
    comfyui: str = ""
    given_up: bool = False

    async def run(self) -> None:
        """Work until no job is left. Raises Unreachable when the server stays away, PavasError if it is no ComfyUI."""
        self.comfyui = (await self._patiently(self.server.versions))["comfyui"]
        listening = asyncio.create_task(self.server.listen(self.ears.on_event))
        try:
            await _all_or_first_fault([self._slot() for _ in range(IN_FLIGHT)])
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _slot(self) -> None:
        while not self.given_up and (record := await self.pool.take(self.server.address)):
            ended = False
            try:
                outcome = await self._outcome(record)
                self.manifest.ended(record.job, outcome)
                ended = True
                self.report(Progress(self.server.address, record.job, 1.0, outcome))
            except Unreachable:
                self.given_up = True
                raise
            except asyncio.CancelledError:
                await self._withdraw(record)
                raise
            finally:
                await self.pool.put_down(record, again=not ended)

    async def _withdraw(self, record: Record) -> None:
        """Take a job off the server as far as that can be done quickly; it stays open in the manifest."""
        if record.submission is not None and record.submission.server == self.server.address:
            with suppress(Unreachable, asyncio.TimeoutError):
                await asyncio.wait_for(self.server.cancel(record.submission.prompt_id), CANCEL_LIMIT_S)
                self.manifest.lost(record.job, while_running=False)

    async def _outcome(self, record: Record) -> Outcome:
        """Hand a job in, again where the server lost it, until it ends."""
        began = time.monotonic()
        freed = False
        try:
            while True:
                if record.submission is None or record.submission.server != self.server.address:
                    await self._hand_in(record.job)
                submission = record.submission
                assert submission is not None
                state, had_begun = await self._follow(record.job, submission.prompt_id)
                if state is None or (state.out_of_memory and not freed):
                    self.manifest.lost(record.job, while_running=state is None and had_begun)
                    if record.losses >= MAX_LOSSES:
                        return self._failed(
                            f"The server stopped {MAX_LOSSES} times while it ran this job: see its log."
                        )
                    if state is not None:
                        freed = True
                        await self._patiently(self.server.free_memory)
                    continue
                if state.error:
                    return self._failed(state.error, submission.prompt_id, time.monotonic() - began)
                return await self._collected(record.job, state, submission.prompt_id, time.monotonic() - began)
        except LocalFault:
            raise
        except PavasError as error:
            return self._failed(str(error))

    def _failed(self, error: str, prompt_id: str = "", seconds: float = 0.0) -> Outcome:
        return Outcome("failed", error, (), (), self.server.address, prompt_id, round(seconds, 2), self.comfyui)

    async def _hand_in(self, job: Job) -> None:
        prompt_id = str(uuid.uuid4())
        name = await self._patiently(lambda: self.server.upload(job.clip))
        graph = graph_of(job, self.manifest.graph, self.manifest.clip_input, name, attempt=prompt_id[:8])
        self.manifest.submitted(job, Submission(self.server.address, prompt_id))
        with suppress(Unreachable):  # it may have been taken all the same: the next look at the queue tells
            await self.server.submit(graph, prompt_id)

    async def _follow(self, job: Job, prompt_id: str) -> tuple[Finished | None, bool]:
        """Wait for a prompt's end: what became of it (None: the server forgot it) and whether it had begun to run."""
        heard = self.ears.attend(prompt_id, lambda fraction: self.report(Progress(self.server.address, job, fraction)))
        try:
            while True:
                state = await self._patiently(lambda: self.server.state(prompt_id))
                if state is None or isinstance(state, Finished):
                    return state, heard.started
                heard.started |= state.running
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(heard.news.wait(), POLL_S)
                heard.news.clear()
        finally:
            self.ears.forget(prompt_id)

    async def _collected(self, job: Job, state: Finished, prompt_id: str, seconds: float) -> Outcome:
        """Fetch every file and text that a prompt put out."""
        names: dict[str, dict[str, str]] = {}
        texts: list[str] = []
        for node, output in state.outputs.items():
            for entry in (entry for values in output.values() if isinstance(values, list) for entry in values):
                if isinstance(entry, str):
                    texts.append(entry)
                elif isinstance(entry, dict) and entry.get("type") == "output":
                    name = f"{job.id}_{entry['filename']}"
                    names[name if name not in names else f"{job.id}_{node}_{entry['filename']}"] = entry
        if not names:
            return self._failed("The workflow made no file: check that its save nodes run.", prompt_id, seconds)
        for name, entry in names.items():
            await self._patiently(partial(self._download, entry, name))
        return Outcome(
            "done", "", tuple(names), tuple(texts), self.server.address, prompt_id, round(seconds, 2), self.comfyui
        )

    async def _download(self, entry: dict[str, str], name: str) -> None:
        try:
            await self.server.download(entry, self.manifest.folder / name)
        except MediaError as error:
            raise LocalFault(f"{error} The batch stopped; go on with --resume.") from None

    async def _patiently(self, request: Callable[[], Awaitable[T]]) -> T:
        """Make a request until the server answers. Raises Unreachable when its patience is over."""
        began, failures = time.monotonic(), 0
        while True:
            try:
                return await request()
            except Unreachable as fault:
                if time.monotonic() - began > self.patience_s:
                    raise
                log.info("%s; trying again.", fault)
                self.server.forget_uploads()
            await asyncio.sleep(RECONNECT_S[min(failures, len(RECONNECT_S) - 1)])
            failures += 1


def _ignore(progress: Progress) -> None:
    """Show nothing."""


async def run_batch(
    manifest: Manifest, addresses: Sequence[str], *, patience_s: float = PATIENCE_S, on_progress: Report = _ignore
) -> list[str]:
    """Bring every open job of a manifest to its outcome; returns why servers were given up.

    Jobs are left without outcome only when no server is left, or when cancelled; a later run goes on with them, and
    prompts of this batch are then taken off the servers. Raises PavasError if an address is no ComfyUI server and
    LocalFault if results cannot be written.
    """
    import aiohttp

    pool = Pool(manifest.open_records())
    async with aiohttp.ClientSession() as session:
        workers = [
            Worker(ComfyServer(session, address, uuid.uuid4().hex), manifest, pool, on_progress, patience_s)
            for address in addresses
        ]
        return [reason for reason in await _all_or_first_fault(map(_reason_given_up, workers)) if reason]


async def _reason_given_up(worker: Worker) -> str:
    """Let a worker run to its end; why its server was given up, or nothing."""
    try:
        await worker.run()
    except Unreachable as fault:
        return str(fault)
    return ""


async def _all_or_first_fault(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines together; at the first fault, or when cancelled, cancel the others once and let them tidy up.

    ``asyncio.gather`` would cancel them a second time from an outer level, in the midst of tidying up.
    """
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        running = [task for task in tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
    for task in tasks:
        if not task.cancelled():
            task.result()  # raises its fault
    return [task.result() for task in tasks]
