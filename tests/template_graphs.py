"""The bare graphs of the templates, for comfy-test's level ``validation``.

It checks nodes, sockets and links against a running server, but takes notes for missing nodes and looks for the values
of widgets in the wrong places. So it gets the templates without both. Run as ``python -m tests.template_graphs`` it
rewrites ``workflows/tests`` from the templates.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).resolve().parents[1] / "workflows"
BARE = TEMPLATES / "tests"
NOTES = {"Note", "MarkdownNote"}


def bare(template: dict[str, Any]) -> dict[str, Any]:
    """A template without notes and widget values: all widgets at their defaults."""
    kept = ("id", "type", "pos", "size", "flags", "order", "mode", "inputs", "outputs", "properties")
    nodes = [node for node in template["nodes"] if node["type"] not in NOTES]
    return {
        **{name: template[name] for name in ("last_node_id", "last_link_id", "links", "version")},
        "nodes": [{name: node[name] for name in kept if name in node} for node in nodes],
    }


def text_of(template: Path) -> str:
    """The file of the bare graph of a template."""
    return json.dumps(bare(json.loads(template.read_text(encoding="utf-8")))) + "\n"


if __name__ == "__main__":
    for path in TEMPLATES.glob("*.json"):
        (BARE / path.name).write_text(text_of(path), encoding="utf-8")
