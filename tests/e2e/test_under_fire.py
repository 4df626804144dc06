"""What goes wrong on a real server ends in one sentence, harms nothing outside its folders, and the next run works."""

from __future__ import annotations

import contextlib
import copy
import json
import resource
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.comfy_client import Graph
from tests.e2e.test_quick_start import make_long_clip, run_all, saved, seconds_allowed

NANO = json.loads((Path(__file__).resolve().parents[2] / "workflows" / "api" / "nano.json").read_text())
TRAVERSALS = (
    "../outside", "../../outside", "..\\..\\outside", "/tmp/pavas-outside", "a/../../outside", "C:\\outside",
    "..%2f..%2foutside", "a/b/../../../outside", "\x00outside", "~/outside", "//outside/x",
)  # fmt: skip


def assert_one_sentence(error: dict | None) -> str:
    assert error is not None, "this was to fail"
    said = error["exception_message"].strip()
    assert len(said.splitlines()) == 1, said
    assert "Traceback" not in said
    assert len(said) < 600, said
    assert said.endswith((".", ")")), said
    return said


def files_outside(comfy) -> set[Path]:
    """What lies beside ComfyUI's folders, and where traversals lead."""
    beside = {path for path in comfy.base.iterdir() if path.is_file() and path.name != "server.log"}
    return beside | set(comfy.base.parent.glob("outside*")) | set(Path("/tmp").glob("pavas-outside*"))


@pytest.fixture
def nano() -> Graph:
    return Graph(copy.deepcopy(NANO))


@pytest.fixture
def unharmed(comfy):
    """Nothing appears outside ComfyUI's folders or in the pack."""
    before = files_outside(comfy)
    yield
    assert files_outside(comfy) == before
    assert comfy.files_of_pack() == comfy.files_at_start


@pytest.mark.parametrize("where", ["PavasDetectMotion", "PavasEncodeVideo", "PavasSampler"])
def test_nano_stops_within_a_second(comfy, nano, where):
    nano.inputs("PavasSampler").update(steps=200, seed=hash(where) % 1000, takes=4)
    nano.inputs("PavasLoadVideo")["start_s"] = {"PavasDetectMotion": 0.04, "PavasEncodeVideo": 0.08}.get(where, 0.0)
    run = comfy.run(nano, interrupt_at=nano.node(where))
    assert run.interrupted
    assert run.error is None
    print(f"{where}: stopped after {run.seconds:.2f} s")
    assert run.seconds < seconds_allowed()


def test_the_server_goes_on_after_its_memory_ran_out(comfy, nano):
    run_all(comfy, nano)
    (size,) = [
        line.split()[1] for line in Path(f"/proc/{comfy.pid}/status").read_text().splitlines() if "VmSize" in line
    ]
    nano.inputs("PavasSampler").update(seed=5, takes=16)
    resource.prlimit(comfy.pid, resource.RLIMIT_AS, (int(size) * 1024 + (1 << 20), resource.RLIM_INFINITY))
    try:
        run = comfy.run(nano)
    finally:
        resource.prlimit(comfy.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert "memory" in assert_one_sentence(run.error).lower()
    nano.inputs("PavasSampler").update(seed=6, takes=1)
    run_all(comfy, nano)
    # Shapes that were never computed before, for which oneDNN must generate code.
    nano.inputs("PavasSampler").update(seed=7, takes=3)
    run_all(comfy, nano)


def test_a_clip_deleted_during_the_run_is_told(comfy, quick_start):
    clip = comfy.base / "input" / "going.mp4"
    make_long_clip(clip)
    quick_start.inputs("PavasLoadVideo")["file"] = "going.mp4"
    detect = quick_start.node("PavasDetectMotion")
    run = comfy.run(quick_start, when={detect: clip.unlink})
    assert "going.mp4" in assert_one_sentence(run.error)
    quick_start.inputs("PavasLoadVideo")["file"] = "[example] example.mp4"
    run_all(comfy, quick_start)


@pytest.mark.parametrize("save", ["PavasSaveVideo", "PavasSaveStems", "PavasSavePhysics", "PavasSaveMarkers"])
def test_a_read_only_output_folder_is_told(comfy, quick_start, save):
    editor, sound = quick_start.node("PavasPhysicsEditor"), quick_start.node("PavasSynthesizeImpacts")
    prefix = f"locked {save}/name"
    if save == "PavasSaveVideo":
        quick_start.inputs(save)["filename_prefix"] = prefix
    else:
        del quick_start[quick_start.node("PavasSaveVideo")]
        inputs = {"audio": [sound, 1], "names": [sound, 2], "format": "wav 24 bit"} if "Stems" in save else {}
        quick_start.add(save, **(inputs or {"scene": [editor, 0]}), filename_prefix=prefix)
    folder = comfy.base / "output" / f"locked {save}"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        run = comfy.run(quick_start)
        assert_one_sentence(run.error)
        assert list(folder.iterdir()) == []
    finally:
        folder.chmod(stat.S_IRWXU)
    quick_start.inputs(save)["filename_prefix"] = prefix + "-again"
    run_all(comfy, quick_start)


@pytest.mark.parametrize(
    "prefix",
    [
        "pavas/\u97f3\u58f0 \u043c\u044f\u0447 \u00fc",
        "pavas/" + "l" * 300,
        "pavas/" + "\u97f3" * 120,
        "pavas/a:b?c*d|e",
        "pavas/ trailing . ",
    ],
)
def test_odd_and_long_names_are_saved_or_refused_in_a_sentence(comfy, unharmed, quick_start, prefix):
    quick_start.inputs("PavasSaveVideo")["filename_prefix"] = prefix
    run = comfy.run(quick_start)
    if run.error is None:
        assert saved(comfy, quick_start, run).stat().st_size > 1000
    else:
        assert_one_sentence(run.error)


@pytest.mark.parametrize(
    "name", ["\u97f3\u58f0 \u043c\u044f\u0447 \u00fc \U0001f3c0.mp4", "n" * 240 + ".mp4", "a b%20c;'&.mp4"]
)
def test_odd_and_long_input_names_are_read(comfy, quick_start, name):
    example = comfy.base / "custom_nodes" / comfy.folder / "workflows" / "clips" / "example.mp4"
    (comfy.base / "input" / name).write_bytes(example.read_bytes())
    quick_start.inputs("PavasLoadVideo")["file"] = name
    run_all(comfy, quick_start)


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_of_a_graph_leads_outside(comfy, unharmed, quick_start, path):
    editor, sound = quick_start.node("PavasPhysicsEditor"), quick_start.node("PavasSynthesizeImpacts")
    quick_start.inputs("PavasSaveVideo")["filename_prefix"] = path
    quick_start.inputs("PavasPhysicsEditor")["edits"] = json.dumps({"objects": {"*": {"name": path}}})
    quick_start.add("PavasSaveStems", audio=[sound, 1], names=[sound, 2], filename_prefix=path, format="flac")
    quick_start.add("PavasSaveMarkers", scene=[editor, 0], filename_prefix=path)
    quick_start.add("PavasSavePhysics", scene=[editor, 0], filename_prefix=path)
    run = comfy.run(quick_start)
    if run.error is not None:
        assert_one_sentence(run.error)
    for class_type, name in (("PavasLoadVideo", "file"), ("PavasLoadPhysics", "file"), ("PavasLoadModel", "file")):
        graph = Graph(copy.deepcopy(quick_start)) if class_type == "PavasLoadVideo" else Graph()
        if class_type == "PavasLoadVideo":
            graph.inputs(class_type)[name] = path
        else:
            node = graph.add(class_type, **{name: path})
            if class_type == "PavasLoadPhysics":
                graph.add("PavasSavePhysics", scene=[node, 0], filename_prefix="e2e/none")
        status, _ = comfy.post("/prompt", {"prompt": graph})
        assert status == 400, f"{class_type} took {path!r}"


@pytest.mark.parametrize(
    "edits",
    [
        '{"objects": {"*": {"mass_kg": 1e999}}}', '{"objects": {"*": {"mass_kg": NaN}}}', "[" * 5000, '{"objects": []}',
        '{"add_impacts": [{"object": "ball-1", "time_s": -1}]}', '{"version": "x"}', '{"__proto__": {"a": 1}}',
        '{"objects": {"ball-1": {"speed_curve": [[0, 1], [1e9, 1e9]]}}}', '{"impacts": {"x": {"time_s": "soon"}}}',
        '{"objects": {"ball-1": {"__class__": "os.system"}}}', "\x00", '{"objects": {"' + "a" * 70000 + '": {}}}',
    ],
    ids=range(12),
)  # fmt: skip
def test_hostile_edits_end_in_a_sentence(comfy, unharmed, quick_start, edits):
    quick_start.inputs("PavasPhysicsEditor")["edits"] = edits
    run = comfy.run(quick_start)
    if run.error is not None:
        assert_one_sentence(run.error)


def test_graphs_of_the_wrong_shape_do_not_harm_the_server(comfy, unharmed, quick_start):
    for value in (None, [], {}, ["1", 99], ["none", 0], {"a": 1}, "x" * 100_000, 1e308, True, [["2", 0]]):
        for class_type in ("PavasLoadVideo", "PavasManualMass", "PavasPhysicsEditor", "PavasSaveVideo"):
            graph = Graph(copy.deepcopy(quick_start))
            name = next(iter(graph.inputs(class_type)))
            graph.inputs(class_type)[name] = value
            status, reply = comfy.post("/prompt", {"prompt": graph})
            if status == 200:
                comfy.post("/queue", {"delete": [reply["prompt_id"]]})
                comfy.post("/interrupt", {})
    run_all(comfy, quick_start)


def test_routes_serve_nothing_of_the_pack_but_its_page_and_examples(comfy_web):
    for path in (
        "/extensions/{pack}/../nodes/paths.py",
        "/extensions/{pack}/%2e%2e/nodes/paths.py",
        "/extensions/{pack}/..%2fnodes%2fpaths.py",
        "/api/workflow_templates/{pack}/../nodes/paths.py",
        "/api/workflow_templates/{pack}/..%2fnodes%2fpaths.py",
        "/view?filename=../../paths.py&type=temp&subfolder=pavas_editor",
        "/view?filename=paths.py&type=temp&subfolder=../../custom_nodes/{pack}/nodes",
        "/api/userdata/..%2f..%2fnodes%2fpaths.py",
    ):
        url = f"http://127.0.0.1:{comfy_web.port}{path.format(pack=comfy_web.folder)}"
        body = b""
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(url, timeout=30) as reply:
            body = reply.read()
        assert b"readable_file" not in body, path
