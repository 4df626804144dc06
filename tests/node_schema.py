"""The part of the nodes' schema that saved graphs depend on, in one normal form.

Run as ``python -m tests.node_schema`` it rewrites ``golden/node_schema.json`` from the nodes. Do that only for
what graphs saved with a released version survive: a new node, or new inputs and outputs after the existing ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden" / "node_schema.json"
USERS_FILES = ("file", "model", "adapter", "vae", "vocoder", "clip", "synchformer", "sam2", "florence")
"""Widgets whose options are what lies in the user's folders."""
KEPT = ("default", "min", "max", "step", "multiline", "options")


def of_nodes(nodes: list[type]) -> dict[str, Any]:
    """From the node classes, loaded with ``comfy_double``."""
    return {schema.node_id: _of_schema(schema) for schema in (node.define_schema() for node in nodes)}


def _of_schema(schema: Any) -> dict[str, Any]:
    return {
        "display_name": schema.display_name,
        "category": schema.category,
        "output_node": schema.is_output_node,
        "inputs": [
            _input(socket.id, socket.io_type, socket.options, bool(socket.options.get("optional")))
            for socket in schema.inputs
        ],
        "outputs": [
            {
                "name": socket.options["display_name"],
                "type": socket.io_type,
                "list": bool(socket.options.get("is_output_list")),
            }
            for socket in schema.outputs
        ],
    }


def of_object_info(info: dict[str, Any]) -> dict[str, Any]:
    """From a server's ``/object_info``."""
    return {name: _of_info(node) for name, node in info.items() if name.startswith("Pavas")}


def _of_info(node: dict[str, Any]) -> dict[str, Any]:
    return {
        "display_name": node["display_name"],
        "category": node["category"],
        "output_node": node["output_node"],
        "inputs": [
            _input(name, declared[0], declared[1], group == "optional")
            for group in ("required", "optional")
            for name, declared in node["input"].get(group, {}).items()
        ],
        "outputs": [
            {"name": name, "type": io_type, "list": is_list}
            for name, io_type, is_list in zip(node["output_name"], node["output"], node["output_is_list"], strict=True)
        ],
    }


def _input(name: str, io_type: str, options: dict[str, Any], optional: bool) -> dict[str, Any]:
    kept = {key: options[key] for key in KEPT if options.get(key) is not None and options.get(key) is not False}
    if name in USERS_FILES:
        kept.pop("options", None)
    return {"name": name, "type": io_type, "optional": optional, **kept}


def dumps(schema: dict[str, Any]) -> str:
    """As the golden file holds it."""
    return json.dumps(schema, indent=1, sort_keys=False) + "\n"


if __name__ == "__main__":
    import tempfile

    import pytest

    from tests import comfy_double

    with tempfile.TemporaryDirectory() as base, pytest.MonkeyPatch.context() as patch:
        _, extension = comfy_double.install(patch, Path(base))
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(dumps(of_nodes(extension.NODES)))
