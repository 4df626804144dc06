"""``queue``: many clips through a workflow on ComfyUI servers."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pavas_core.commands.console import make_folder, print_files
from pavas_core.errors import PavasError

if TYPE_CHECKING:
    from pavas_core.client.batch import Progress, Report
    from pavas_core.client.workflow import Sweep

QUICK_START = Path(__file__).resolve().parents[2] / "workflows" / "api" / "quick_start.json"
EXIT_FAILED = 1


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    queue = commands.add_parser("queue", help="run many clips on ComfyUI servers", allow_abbrev=False)
    queue.add_argument("clips", type=Path, nargs="*", metavar="CLIP", help="video files, or folders of them")
    queue.add_argument(
        "--workflow", type=Path, default=QUICK_START, metavar="FILE", help="workflow in API form; default: quick start"
    )
    queue.add_argument(
        "--server", action="append", default=[], metavar="HOST:PORT", help="default: 127.0.0.1:8188 (repeatable)"
    )
    queue.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="as: mass=2, seed=7, PavasSaveVideo.format=mkv"
    )
    queue.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NAME=V1,V2",
        help="every clip with each value, as: mass=0.1,1,10",
    )
    queue.add_argument("--clip-input", default="", metavar="NODE.INPUT", help="where the workflow names its clip")
    queue.add_argument("-o", "--output", type=Path, default=Path("queue_out"), metavar="FOLDER")
    queue.add_argument("--resume", action="store_true", help="go on with the batch in the output folder")
    queue.add_argument(
        "--patience-s",
        type=float,
        default=120.0,
        metavar="S",
        help="how long a server may be away before it is given up",
    )
    queue.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from pavas_core.client.batch import run_batch
    from pavas_core.client.manifest import opened
    from pavas_core.client.report import write_report
    from pavas_core.client.server import base_url

    servers = list(dict.fromkeys(options.server)) or ["127.0.0.1:8188"]
    for server in servers:
        base_url(server)
    if options.resume:
        if options.clips or options.set or options.sweep:
            raise PavasError("--resume goes on with the batch as it was planned: leave out clips, --set and --sweep.")
    else:
        _plan(options)
    with opened(options.output) as manifest:
        with _bar(len(manifest.records), len(manifest.open_records())) as on_progress:
            away = asyncio.run(run_batch(manifest, servers, patience_s=options.patience_s, on_progress=on_progress))
        records = list(manifest.records.values())
        report = write_report(options.output, records)
    failed = [record for record in records if record.outcome and record.outcome.status == "failed"]
    left = [record for record in records if not record.outcome]
    print(f"{len(records) - len(failed) - len(left)} done, {len(failed)} failed, {len(left)} left.")
    for record in failed:
        assert record.outcome is not None
        print(f"  {record.job.id} {Path(record.job.clip).name}: {record.outcome.error}")
    for reason in away:
        print(f"Given up: {reason}")
    if left:
        print(f"Go on with: --resume -o {options.output}")
    print_files([report])
    return EXIT_FAILED if failed or left else 0


def _plan(options: argparse.Namespace) -> None:
    from pavas_core.client.jobs import find_clips, new_run, plan_jobs
    from pavas_core.client.manifest import plan
    from pavas_core.client.workflow import clip_input, read_workflow, set_value

    if not options.clips:
        raise PavasError("No clip is given: name video files or folders of them.")
    graph = read_workflow(options.workflow)
    target = clip_input(graph, options.clip_input)
    for name, value in map(_assignment, options.set):
        graph = set_value(graph, name, value)
    sweeps = [_sweep(text) for text in options.sweep]
    for sweep in sweeps:
        for value in sweep.values:
            set_value(graph, sweep.name, value)  # refuses here what no server would take
    run = new_run()
    jobs = plan_jobs(run, find_clips(options.clips), graph, sweeps)
    make_folder(options.output)
    plan(options.output, run, graph, target, jobs)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise PavasError(f"{text!r} sets nothing: write NAME=VALUE.")
    return name.strip(), value.strip()


def _sweep(text: str) -> Sweep:
    from pavas_core.client.workflow import Sweep

    name, values = _assignment(text)
    return Sweep(name, tuple(dict.fromkeys(value.strip() for value in values.split(","))))


@contextmanager
def _bar(total: int, still_open: int) -> Iterator[Report]:
    """A bar over all jobs on a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    with tqdm(
        total=total, initial=total - still_open, unit="job", disable=None, file=sys.stderr, dynamic_ncols=True
    ) as bar:
        failed = 0

        def on_progress(progress: Progress) -> None:
            nonlocal failed
            if progress.outcome is None:
                share = f"{Path(progress.job.clip).name[:24]} {progress.fraction:.0%}"
                bar.set_postfix_str(f"{share}, {failed} failed" if failed else share)
                return
            failed += progress.outcome.status == "failed"
            bar.update()

        yield on_progress
