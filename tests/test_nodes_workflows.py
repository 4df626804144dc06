"""The templates on disk: each equals its API twin, knows only existing nodes and inputs, and lies tidily."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import node_schema, template_graphs

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
TEMPLATES = sorted(WORKFLOWS.glob("*.json"))
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
KINDS = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool, "COMBO": str}
CORE_NODES = {"PreviewAny": {"inputs": [{"name": "source", "type": "*", "optional": False}]}}
"""Nodes of ComfyUI itself that templates may use."""


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def known_nodes() -> dict:
    return json.loads(node_schema.GOLDEN.read_text(encoding="utf-8")) | CORE_NODES


def widget_values(node: dict, schema: dict) -> dict:
    """Widget values by input name: they are stored in the order of the inputs, the seed's followed by its control."""
    values = iter(node.get("widgets_values", []))
    with_widget = {socket["name"] for socket in node["inputs"] if "widget" in socket}
    named = {}
    for socket in schema["inputs"]:
        if socket["type"] in WIDGET_TYPES and socket["name"] in with_widget:
            named[socket["name"]] = next(values)
            if socket["name"] == "seed":
                assert next(values) == "fixed", "a second Run must not change the sound"
    return named


def test_bare_graphs_are_those_of_the_templates():
    bare = {path.name: path.read_text(encoding="utf-8") for path in template_graphs.BARE.glob("*.json")}
    assert bare == {path.name: template_graphs.text_of(path) for path in TEMPLATES}, "python -m tests.template_graphs"


def test_there_is_a_quick_start():
    assert WORKFLOWS / "quick_start.json" in TEMPLATES


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_template_equals_its_api_twin(path):
    golden = known_nodes()
    graph, api = load(path), load(WORKFLOWS / "api" / path.name)
    links = {link[0]: (str(link[1]), link[2]) for link in graph["links"]}
    nodes = {str(node["id"]): node for node in graph["nodes"] if node["type"] not in template_graphs.NOTES}
    assert set(nodes) == set(api)
    for name, node in nodes.items():
        assert api[name]["class_type"] == node["type"]
        expected = widget_values(node, golden[node["type"]])
        for socket in node["inputs"]:
            if socket.get("link") is not None:
                expected[socket["name"]] = list(links[socket["link"]])
        assert api[name]["inputs"] == expected


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_api_twin_is_complete_and_in_range(path):
    golden = known_nodes()
    for node in load(WORKFLOWS / "api" / path.name).values():
        declared = {socket["name"]: socket for socket in golden[node["class_type"]]["inputs"]}
        assert set(node["inputs"]) <= set(declared)
        assert {name for name, socket in declared.items() if not socket["optional"]} <= set(node["inputs"])
        for name, value in node["inputs"].items():
            if not isinstance(value, list):
                kinds = KINDS.get(declared[name]["type"], object)
                assert isinstance(value, kinds), f"{node['class_type']}.{name} is {value!r}"
                assert isinstance(value, bool) == (kinds is bool), f"{node['class_type']}.{name} is {value!r}"
            if "options" in declared[name]:
                assert value in declared[name]["options"]
            if "min" in declared[name]:
                assert declared[name]["min"] <= value <= declared[name]["max"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_nodes_lie_apart_and_inside_a_group(path):
    graph = load(path)
    boxes = [
        (node["type"], x, y - 30, x + width, y + height)
        for node in graph["nodes"]
        for (x, y), (width, height) in [(node["pos"], node["size"])]
    ]
    for index, (name, left, top, right, bottom) in enumerate(boxes):
        for other, other_left, other_top, other_right, other_bottom in boxes[index + 1 :]:
            apart = right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
            assert apart, f"{name} lies on {other}"
        assert any(
            x <= left and y <= top and right <= x + width and bottom <= y + height
            for x, y, width, height in (group["bounding"] for group in graph["groups"])
        ), f"{name} is in no group"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_template_has_a_picture(path):
    assert path.with_suffix(".jpg").read_bytes()[:3] == b"\xff\xd8\xff"


def test_the_example_it_opens_comes_with_the_pack():
    name = next(
        node["inputs"]["file"]
        for node in load(WORKFLOWS / "api" / "quick_start.json").values()
        if node["class_type"] == "PavasLoadVideo"
    )
    assert name == "[example] example.mp4"
    assert (WORKFLOWS / "clips" / "example.mp4").is_file()


def test_no_folder_hides_the_templates():
    """ComfyUI serves the first of these folders that it finds in a pack as the templates' folder."""
    assert not [
        name for name in ("example_workflows", "example", "examples", "workflow") if (WORKFLOWS.parent / name).exists()
    ]


@pytest.mark.parametrize("path", sorted((WORKFLOWS.parent / "subgraphs").glob("*.json")), ids=lambda path: path.stem)
def test_a_blueprint_is_one_node_whose_inside_fits_together(path):
    golden = known_nodes()
    document = load(path)
    (outside,) = document["nodes"]
    (inside,) = document["definitions"]["subgraphs"]
    assert outside["type"] == inside["id"]
    assert [socket["name"] for socket in outside["inputs"]] == [socket["name"] for socket in inside["inputs"]]
    assert [socket["name"] for socket in outside["outputs"]] == [socket["name"] for socket in inside["outputs"]]
    nodes = {node["id"]: node for node in inside["nodes"]}
    given: set[tuple[int, int]] = set()
    for link in inside["links"]:
        origin, target = nodes.get(link["origin_id"]), nodes.get(link["target_id"])
        source = origin["outputs"] if origin else inside["inputs"]
        sink = target["inputs"] if target else inside["outputs"]
        assert source[link["origin_slot"]]["type"] == sink[link["target_slot"]]["type"] == link["type"]
        if target:
            assert sink[link["target_slot"]]["link"] == link["id"]
            given.add((link["target_id"], link["target_slot"]))
    for node in nodes.values():
        schema = golden[node["type"]]
        widget_values(node, schema)
        optional = {one["name"]: one["optional"] or one["type"] in WIDGET_TYPES for one in schema["inputs"]}
        for slot, socket in enumerate(node["inputs"]):
            assert optional[socket["name"]] or (node["id"], slot) in given, socket["name"]
