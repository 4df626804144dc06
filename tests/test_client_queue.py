"""The batch client: planning, the manifest, and servers that fail."""

from __future__ import annotations

import asyncio
import csv
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavas_core import cli
from pavas_core.client import batch
from pavas_core.client.jobs import find_clips, graph_of, new_run, plan_jobs, safe_name
from pavas_core.client.manifest import NAME, Job, Manifest, Outcome, Submission, opened, plan
from pavas_core.client.report import write_report
from pavas_core.client.workflow import Sweep, clip_input, combinations, read_workflow, set_value
from pavas_core.errors import PavasError
from tests.comfy_api_double import ComfyDouble, serve

GRAPH = {
    "1": {"class_type": "PavasLoadVideo", "inputs": {"file": "x.mp4", "start_s": 0}},
    "2": {"class_type": "PavasManualMass", "inputs": {"masses": "", "video": ["1", 0]}, "_meta": {"title": "Mass"}},
    "3": {
        "class_type": "PavasSaveVideo",
        "inputs": {"filename_prefix": "pavas/video", "video": ["1", 0], "mass": ["2", 0], "save_workflow": True},
    },
}
QUICK_START = Path(__file__).resolve().parents[1] / "workflows" / "api" / "quick_start.json"


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """The double's time is its requests, so the client need not wait between them."""
    monkeypatch.setattr(batch, "POLL_S", 0.001)
    monkeypatch.setattr(batch, "RECONNECT_S", (0.001,))
    monkeypatch.setattr("pavas_core.client.server.RECONNECT_S", (0.001,))


def clips_in(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    clips = [folder / f"clip é {number}.mp4" for number in range(count)]
    for number, clip in enumerate(clips):
        clip.write_bytes(b"clip" * 1000 + bytes([number // 256, number % 256]))
    return clips


def planned(folder: Path, clips: list[Path], sweeps: tuple[Sweep, ...] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    run = new_run()
    plan(folder, run, GRAPH, clip_input(GRAPH), plan_jobs(run, clips, GRAPH, sweeps))
    return folder


def run_on(folder: Path, *doubles: ComfyDouble, patience_s: float = 60.0, stop_after: int = 0) -> list[str]:
    """Run the folder's batch on doubles; die without a word after ``stop_after`` reports."""

    class Killed(BaseException):
        pass

    async def main() -> list[str]:
        started = [await serve(double) for double in doubles]
        reports = 0

        def on_progress(progress: batch.Progress) -> None:
            nonlocal reports
            reports += 1
            if reports == stop_after:
                raise Killed

        try:
            with opened(folder) as manifest:
                addresses = [address for _, address in started]
                return await batch.run_batch(manifest, addresses, patience_s=patience_s, on_progress=on_progress)
        finally:
            for runner, _ in started:
                await runner.cleanup()

    try:
        return asyncio.run(main())
    except Killed:
        return ["killed"]


def outcomes(folder: Path) -> dict[str, list[dict]]:
    """Outcome lines by job."""
    found: dict[str, list[dict]] = {}
    for text in (folder / NAME).read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line["event"] == "job":
            found[line["id"]] = []
        elif line["event"] == "outcome":
            found[line["id"]].append(line)
    return found


def assert_all_done(folder: Path) -> None:
    """Every job has exactly one outcome, and the file of its own clip and mass."""
    with opened(folder) as manifest:
        records = manifest.records
    for job_id, lines in outcomes(folder).items():
        (line,) = lines
        assert line["status"] == "done", line
        (name,) = line["files"]
        assert name.startswith(job_id)
        job = records[job_id].job
        mass = job.values.get("mass", "")
        expected = Path(job.clip).read_bytes() + (f"*={mass}" if mass else "").encode()
        assert (folder / name).read_bytes() == expected
        assert line["texts"] == ["1 impact"]
    files = {path.name for path in folder.iterdir() if path.suffix == ".mp4"}
    assert len(files) == len(records)


def test_a_sweep_over_clips_ends_in_one_file_each(tmp_path):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 3), (Sweep("mass", ("0.1", "1", "10")),))
    double = ComfyDouble()
    assert run_on(folder, double) == []
    assert_all_done(folder)
    assert len(set(double.executed)) == 9
    changes = sum(a != b for a, b in zip(double.clips_run, double.clips_run[1:], strict=False))
    assert changes == 2, "the masses of one clip follow each other, so that the server reuses what it found in it"


def test_clips_spread_over_servers(tmp_path):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 8), (Sweep("mass", ("1", "2")),))
    doubles = [ComfyDouble(), ComfyDouble()]
    assert run_on(folder, *doubles) == []
    assert_all_done(folder)
    assert all(double.executed for double in doubles)


@pytest.mark.parametrize("seed", range(3))
def test_two_hundred_jobs_through_restarts_faults_and_deaths(tmp_path, seed):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 20), (Sweep("mass", tuple(map(str, range(1, 11)))),))
    doubles = [ComfyDouble(seed=seed + k, restart_share=0.004, fault_share=0.05) for k in range(2)]
    chance, deaths = random.Random(seed), 0
    while run_on(folder, *doubles, stop_after=chance.randint(1, 50)) == ["killed"]:
        deaths += 1
        if chance.random() < 0.5:  # killed while it wrote a line
            with (folder / NAME).open("ab") as file:
                file.write(b'{"event": "outcome", "id"')
        for double in doubles:
            if deaths < 3 or chance.random() < 0.3:
                double.restart()
    assert deaths >= 3, "two hundred jobs report more than three times fifty"
    assert sum(double.restarts for double in doubles) >= 3
    assert_all_done(folder)


def test_a_dead_servers_jobs_go_to_the_other_one(tmp_path):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 6))
    (away,) = run_on(folder, ComfyDouble(fault_share=1.0), ComfyDouble(), patience_s=0.05)
    assert "500" in away or "127.0.0.1" in away
    assert_all_done(folder)


def test_jobs_stay_open_when_every_server_is_gone(tmp_path):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 3))
    assert run_on(folder, ComfyDouble(fault_share=1.0), patience_s=0.01)
    assert not any(outcomes(folder).values())
    assert run_on(folder, ComfyDouble()) == []
    assert_all_done(folder)


def test_what_cannot_succeed_fails_once_with_its_reason(tmp_path):
    clips = clips_in(tmp_path, 4)
    folder = planned(tmp_path / "out", clips)
    clips[3].unlink()
    assert run_on(folder, ComfyDouble(reject="clip_é_0", breaks="clip_é_1")) == []
    lines = [line for (line,) in outcomes(folder).values()]
    assert [line["status"] for line in lines] == ["failed", "failed", "done", "failed"]
    assert "Value not in list" in lines[0]["error"]
    assert lines[1]["error"] == "PavasLoadVideo: The clip is broken."
    assert "cannot be read" in lines[3]["error"]


def test_out_of_memory_is_tried_once_more_with_memory_freed(tmp_path):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 1))
    double = ComfyDouble(memory_faults=1)
    assert run_on(folder, double) == []
    assert_all_done(folder)
    assert double.freed == 1


def test_a_clip_that_stops_the_server_every_time_fails_and_the_others_go_on(tmp_path):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 3))
    double = ComfyDouble(poison="clip_é_1")
    assert run_on(folder, double) == []
    statuses = [line["status"] for (line,) in outcomes(folder).values()]
    assert statuses == ["done", "failed", "done"]


def test_results_that_cannot_be_stored_stop_the_batch_and_lose_nothing(tmp_path, monkeypatch):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 2))

    async def full(self, entry, target):
        from pavas_core.errors import MediaError

        raise MediaError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("pavas_core.client.server.ComfyServer.download", full)
        with pytest.raises(batch.LocalFault, match="disk is full"):
            run_on(folder, ComfyDouble())
    assert not any(outcomes(folder).values())
    assert run_on(folder, ComfyDouble()) == []
    assert_all_done(folder)


def test_something_else_than_comfyui(tmp_path, monkeypatch):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 1))

    async def other(self, path):
        return {"hello": 1}

    monkeypatch.setattr("pavas_core.client.server.ComfyServer._json", other)
    with pytest.raises(PavasError, match="no ComfyUI server"):
        run_on(folder, ComfyDouble())


def test_manifest_has_one_outcome_one_user_and_one_plan(tmp_path):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 1))
    with pytest.raises(PavasError, match="--resume"):
        plan(folder, "r", GRAPH, clip_input(GRAPH), [])
    with opened(folder) as manifest:
        (record,) = manifest.open_records()
        with pytest.raises(PavasError, match="Another process"), opened(folder):
            pass
        manifest.submitted(record.job, Submission("a:1", "p"))
        manifest.lost(record.job, while_running=True)
        manifest.ended(record.job, Outcome("done", files=("a.mp4",)))
        with pytest.raises(ValueError, match="ended"):
            manifest.ended(record.job, Outcome("failed"))
    with opened(folder) as manifest:
        (again,) = manifest.records.values()
        assert (again.losses, again.submission, again.outcome) == (1, None, record.outcome)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["flip", "cut"]), share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_damaged_manifest_is_read_or_refused_in_a_sentence(tmp_path_factory, kind, share, bit):
    folder = planned(tmp_path_factory.mktemp("m"), clips_in(tmp_path_factory.mktemp("c"), 3))
    path = folder / NAME
    content = bytearray(path.read_bytes())
    place = int(share * len(content))
    if kind == "flip":
        content[place] ^= 1 << bit
    else:
        del content[place:]
    path.write_bytes(content)
    try:
        with opened(folder) as manifest:
            assert isinstance(manifest, Manifest)
    except PavasError as error:
        assert str(error).count("\n") == 0  # noqa: PT017


def test_values_find_their_inputs():
    assert set_value(GRAPH, "mass", "2")["2"]["inputs"]["masses"] == "*=2"
    assert set_value(GRAPH, "mass", "ball=2")["2"]["inputs"]["masses"] == "ball=2"
    assert set_value(GRAPH, "Mass.masses", "*=3")["2"]["inputs"]["masses"] == "*=3"
    assert set_value(GRAPH, "loadvideo.start_s", "1.5")["1"]["inputs"]["start_s"] == 1.5
    assert set_value(GRAPH, "3.save_workflow", "false")["3"]["inputs"]["save_workflow"] is False
    assert GRAPH["2"]["inputs"]["masses"] == ""
    for name, value, says in (
        ("nothing", "1", "has no input"),
        ("PavasSaveVideo.mass", "1", "is wired"),
        ("start_s", "soon", "write a number"),
        ("save_workflow", "2", "write true or false"),
    ):
        with pytest.raises(PavasError, match=says):
            set_value(GRAPH, name, value)


def test_the_deepest_sweep_changes_fastest():
    graph = read_workflow(QUICK_START)
    sweeps = [Sweep("seed", ("1", "2")), Sweep("max_objects", ("2", "3")), Sweep("mass", ("1", "2"))]
    order = combinations(graph, sweeps)
    assert [list(values) for values in order[:1]] == [["max_objects", "mass", "seed"]]
    assert [values["seed"] for values in order] == ["1", "2"] * 4
    assert [values["max_objects"] for values in order] == ["2"] * 4 + ["3"] * 4


def test_jobs_write_where_no_other_job_does(tmp_path):
    cyrillic = "\u0434\u043b\u0438\u043d\u043d\u043e\u0435 \u0438\u043c\u044f"
    long = tmp_path / f"{(cyrillic + ' ') * 12}?.mp4"
    job = Job("ab12-00001", str(long), {"mass": "2"})
    graph = graph_of(job, GRAPH, clip_input(GRAPH), "sub/x.mp4", "77aa")
    assert graph["1"]["inputs"]["file"] == "sub/x.mp4"
    prefix = graph["3"]["inputs"]["filename_prefix"]
    assert prefix.startswith("pavas/queue/ab12-00001-77aa/" + cyrillic.replace(" ", "_"))
    assert prefix.endswith("_video")
    assert len(prefix.rpartition("/")[2].encode()) < 200
    assert safe_name("../..") == "clip"


def test_clips_are_files_and_folders_once(tmp_path):
    clips = clips_in(tmp_path / "a", 2)
    assert find_clips([tmp_path / "a", clips[0]]) == [clip.resolve() for clip in clips]
    (tmp_path / "empty").mkdir()
    for source in ("empty", "none.mp4"):
        with pytest.raises(PavasError, match=source):
            find_clips([tmp_path / source])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"nodes": [], "links": []}', "Export \\(API\\)"),
        ("[1]", "no workflow"),
        ("{", "no JSON"),
        ('{"1": {"class_type": "PavasLoadVideo", "inputs": {"file": "a"}}}', "saves a file"),
    ],
)
def test_files_that_are_no_api_workflow(tmp_path, text, says):
    path = tmp_path / "w.json"
    path.write_text(text)
    with pytest.raises(PavasError, match=says):
        read_workflow(path)


def test_which_clip_input(tmp_path):
    two = {**GRAPH, "9": {"class_type": "LoadVideo", "inputs": {"file": "b.mp4"}}}
    with pytest.raises(PavasError, match="2 clips"):
        clip_input(two)
    assert clip_input(two, "9.file") == ("9", "file")
    with pytest.raises(PavasError, match="0 clips"):
        clip_input({"3": GRAPH["3"]})


def test_the_report_is_a_table(tmp_path):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 2), (Sweep("mass", ("1", "2")),))
    run_on(folder, ComfyDouble(breaks="clip_é_1"))
    with opened(folder) as manifest:
        path = write_report(folder, manifest.records.values())
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done", "done", "failed", "failed"]
    assert [row["mass"] for row in rows] == ["1", "2", "1", "2"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["CLIP", "--server", "a b:c"], "is no server"),
        (["CLIP", "--set", "mass"], "NAME=VALUE"),
        (["CLIP", "--set", "masss=2"], "has no input"),
        (["CLIP", "--sweep", "seed=1,x"], "write a number"),
        ([], "No clip is given"),
        (["--resume"], "no batch"),
        (["CLIP", "--resume"], "leave out clips"),
        (["CLIP", "--workflow", "none.json"], "cannot be read"),
    ],
)
def test_bad_orders_are_refused_before_anything_is_written(tmp_path, capsys, arguments, says):
    (clip,) = clips_in(tmp_path, 1)
    out = tmp_path / "out"
    arguments = [str(clip) if one == "CLIP" else one for one in arguments]
    assert cli.main(["queue", *arguments, "-o", str(out)]) == 2
    assert says in capsys.readouterr().err
    assert not (out / NAME).exists()


def test_the_command_reports_and_fails_if_a_job_did(tmp_path, capsys, monkeypatch):
    clips = clips_in(tmp_path, 2)
    workflow = tmp_path / "w.json"
    workflow.write_text(json.dumps(GRAPH))
    real = batch.run_batch

    async def on_a_double(manifest, addresses, **options):
        runner, address = await serve(ComfyDouble(breaks="clip_é_1"))
        try:
            return await real(manifest, [address], **options)
        finally:
            await runner.cleanup()

    monkeypatch.setattr(batch, "run_batch", on_a_double)
    arguments = ["queue", *map(str, clips), "--workflow", str(workflow), "-o", str(tmp_path / "out")]
    assert cli.main([*arguments, "--set", "mass=3"]) == 1
    said = capsys.readouterr().out
    assert "1 done, 1 failed, 0 left." in said
    assert "The clip is broken." in said


def test_stopping_takes_the_prompts_off_the_server_and_leaves_their_jobs_open(tmp_path):
    folder = planned(tmp_path / "out", clips_in(tmp_path, 4))
    double = ComfyDouble(ticks=10**9)

    async def main() -> None:
        runner, address = await serve(double)
        with opened(folder) as manifest:
            task = asyncio.create_task(batch.run_batch(manifest, [address]))
            while len(double.queue) < batch.IN_FLIGHT:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert all(record.submission is None for record in manifest.open_records())
        await runner.cleanup()

    asyncio.run(main())
    assert double.queue == []
    assert run_on(folder, ComfyDouble()) == []
    assert_all_done(folder)
