"""The nodes' declarations: what saved graphs depend on, and what users read."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import comfy_double, node_schema

HERE = Path(__file__).resolve().parent


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    _, extension = comfy_double.install(monkeypatch, tmp_path)
    return extension.NODES


def test_declarations_equal_the_golden_file(nodes):
    golden = json.loads(node_schema.GOLDEN.read_text())
    assert node_schema.of_nodes(nodes) == golden, (
        "the nodes' declarations changed; released inputs and outputs are append-only. "
        "If saved graphs survive the change, run: python -m tests.node_schema"
    )


def test_input_and_output_ids_differ(nodes):
    """ComfyUI 0.3.64 refuses the whole pack otherwise."""
    for node in nodes:
        schema = node.define_schema()
        ids = [socket.id for socket in (*schema.inputs, *schema.outputs)]
        assert len(ids) == len(set(ids)), schema.node_id


def test_everything_has_a_tooltip_and_a_description(nodes):
    for node in nodes:
        schema = node.define_schema()
        assert schema.description.endswith("."), schema.node_id
        for socket in (*schema.inputs, *schema.outputs):
            assert socket.options.get("tooltip", "").endswith("."), f"{schema.node_id}.{socket.id}"


def test_optional_inputs_come_last_and_execute_takes_every_input(nodes):
    for node in nodes:
        schema = node.define_schema()
        optional = [bool(socket.options.get("optional")) for socket in schema.inputs]
        assert optional == sorted(optional), schema.node_id
        parameters = inspect.signature(node.execute).parameters
        assert list(parameters) == [socket.id for socket in schema.inputs], schema.node_id
        for socket in schema.inputs:
            if socket.options.get("optional"):
                usual = None, socket.options.get("default")
                assert parameters[socket.id].default in usual, f"{schema.node_id}.{socket.id}"


def test_every_node_has_a_help_page_that_names_its_inputs(nodes):
    for node in nodes:
        schema = node.define_schema()
        page = HERE.parent / "web" / "docs" / f"{schema.node_id}.md"
        text = page.read_text(encoding="utf-8")
        for socket in (*schema.inputs, *schema.outputs):
            shown = socket.options.get("display_name", socket.id)
            assert f"`{shown}`" in text, f"{page.name} does not explain {shown}"
        pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
        assert pictures, f"{page.name} has no picture"
        for picture in pictures:
            assert (page.parent / picture).is_file(), f"{page.name} shows {picture}, which is not there"


def test_loading_the_pack_imports_nothing_heavy(tmp_path):
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "import pytest\n"
        "from tests import comfy_double\n"
        "with pytest.MonkeyPatch.context() as patch:\n"
        "    _, extension = comfy_double.install(patch, pathlib.Path(sys.argv[1]))\n"
        "    [node.define_schema() for node in extension.NODES]\n"
        "    heavy = {'cv2', 'av', 'scipy', 'torch', 'PIL', 'soundfile', 'tqdm', 'matplotlib', 'transformers'}\n"
        "    print(sorted(heavy & set(sys.modules)))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(HERE.parent)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.strip() == "[]"
