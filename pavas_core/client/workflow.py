"""Graphs in ComfyUI's API form: reading one, finding its inputs by name, giving them values."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from pavas_core.errors import PavasError

Graph = dict[str, dict[str, Any]]

CLIP_INPUTS = {"PavasLoadVideo": "file", "LoadVideo": "file", "VHS_LoadVideo": "video"}
"""Nodes that open a clip, and the input that names its file."""
PREFIX_INPUT = "filename_prefix"


class Target(NamedTuple):
    """One input of one node."""

    node: str
    input: str


class Sweep(NamedTuple):
    """An input, by the name the user gave it, and the values it takes in turn."""

    name: str
    values: tuple[str, ...]


def read_workflow(path: Path) -> Graph:
    """The graph of an API-format file. Raises PavasError, in one sentence, for anything else."""
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PavasError(f"The workflow {path} cannot be read ({error.strerror}): check the path.") from None
    except ValueError as error:
        raise PavasError(f"The workflow {path.name} is no JSON ({error}): export it again from ComfyUI.") from None
    if isinstance(graph, dict) and "nodes" in graph:
        raise PavasError(
            f"{path.name} is in the form of ComfyUI's canvas: open it there and use Workflow > Export (API)."
        )
    if not isinstance(graph, dict) or not graph or not all(_is_node(node) for node in graph.values()):
        raise PavasError(f"{path.name} is no workflow: use Workflow > Export (API) in ComfyUI to make one.")
    if not any(PREFIX_INPUT in node["inputs"] for node in graph.values()):
        raise PavasError(f"No node of {path.name} saves a file: add a Save Video node and export again.")
    return graph


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def clip_input(graph: Graph, name: str = "") -> Target:
    """The input that names the clip to open: the one called ``name``, or the only one there is.

    Raises PavasError where there is none, or several to choose from.
    """
    found = find_targets(graph, name) if name else _clip_inputs(graph)
    if len(found) != 1:
        choices = " or ".join(f"{target.node}.{target.input}" for target in found) or "NODE.INPUT"
        raise PavasError(f"The workflow opens {len(found)} clips: say which one to change with --clip-input {choices}.")
    return found[0]


def _clip_inputs(graph: Graph) -> list[Target]:
    return [
        Target(name, CLIP_INPUTS[node["class_type"]])
        for name, node in graph.items()
        if node["class_type"] in CLIP_INPUTS
    ]


def find_targets(graph: Graph, name: str) -> list[Target]:
    """Inputs meant by ``NODE.INPUT`` (node id, title or class), by an input's bare name, or by ``mass``.

    Raises PavasError where the graph has none, or where the input is wired to another node.
    """
    node_name, _, input_name = name.rpartition(".")
    if name == "mass":
        found = [Target(key, "masses") for key, node in graph.items() if node["class_type"] == "PavasManualMass"]
    else:
        found = [
            Target(key, input_name)
            for key, node in graph.items()
            if input_name in node["inputs"] and (not node_name or node_name.lower() in _names(key, node))
        ]
    if not found:
        inputs = sorted({f"{node['class_type']}.{key}" for node in graph.values() for key in node["inputs"]})
        raise PavasError(f"The workflow has no input {name!r}: it has {', '.join(inputs)}.")
    if not node_name:
        found = [target for target in found if not _wired(graph, target)] or found
    for target in found:
        if _wired(graph, target):
            raise PavasError(f"The input {name!r} is wired to another node: set a value of that node instead.")
    return found


def _names(key: str, node: dict[str, Any]) -> set[str]:
    kind, title = node["class_type"].lower(), str(node.get("_meta", {}).get("title", "")).lower()
    return {key.lower(), kind, kind.removeprefix("pavas"), title}


def _wired(graph: Graph, target: Target) -> bool:
    return isinstance(graph[target.node]["inputs"][target.input], list)


def set_value(graph: Graph, name: str, text: str) -> Graph:
    """A copy of the graph in which the inputs called ``name`` hold ``text``, as the kind of value they hold now."""
    graph = copy.deepcopy(graph)
    if name == "mass" and "=" not in text:
        text = f"*={text}"  # one number is every object's mass
    for target in find_targets(graph, name):
        inputs = graph[target.node]["inputs"]
        inputs[target.input] = _converted(text, inputs[target.input], name)
    return graph


def _converted(text: str, now: Any, name: str) -> Any:
    try:
        if isinstance(now, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(now, int):
            return int(text) if text.lstrip("-").isdigit() else float(text)  # 0 stands for 0.0 in exported files
        if isinstance(now, float):
            return float(text)
    except (ValueError, KeyError):
        kind = "true or false" if isinstance(now, bool) else "a number"
        raise PavasError(f"{name}={text} gives no value that fits: write {kind}.") from None
    return text


def depth(graph: Graph, node: str) -> int:
    """Longest chain of nodes that leads to ``node``. Raises PavasError for a graph that runs in a circle."""

    def level(name: str, below: frozenset[str]) -> int:
        if name in below:
            raise PavasError("The workflow's wires run in a circle: export it again from ComfyUI.")
        if name not in levels:
            links = [
                str(value[0])
                for value in graph[name]["inputs"].values()
                if isinstance(value, list) and value and str(value[0]) in graph
            ]
            levels[name] = 1 + max((level(link, below | {name}) for link in links), default=-1)
        return levels[name]

    levels: dict[str, int] = {}
    return level(node, frozenset())


def combinations(graph: Graph, sweeps: Sequence[Sweep]) -> list[dict[str, str]]:
    """Every combination of the sweeps' values; what lies deepest in the graph changes fastest.

    A server keeps the results of nodes whose inputs did not change since the last prompt, so that two neighbours in
    this order share as much of the graph as they can.
    """
    nearest = {
        sweep.name: min(depth(graph, target.node) for target in find_targets(graph, sweep.name)) for sweep in sweeps
    }
    ordered = sorted(sweeps, key=lambda sweep: nearest[sweep.name])
    names = [sweep.name for sweep in ordered]
    return [dict(zip(names, values, strict=True)) for values in product(*(sweep.values for sweep in ordered))]
