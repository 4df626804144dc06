"""Translations: every language names exactly the nodes, inputs and outputs there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.node_schema import GOLDEN

LOCALES = Path(__file__).resolve().parents[1] / "locales"


@pytest.mark.parametrize("language", sorted(path.name for path in LOCALES.iterdir()))
def test_a_translation_has_the_schemas_keys_and_no_empty_text(language):
    schema = json.loads(GOLDEN.read_text())
    texts = json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))
    assert set(texts) == set(schema)
    for name, node in schema.items():
        inputs = {one["name"] for one in node["inputs"]}
        assert set(texts[name]["inputs"]) == inputs, name
        assert set(texts[name]["outputs"]) == {str(index) for index in range(len(node["outputs"]))}, name
        sockets = [*texts[name]["inputs"].values(), *texts[name]["outputs"].values()]
        said = [texts[name]["display_name"], texts[name]["description"]]
        said += [socket[key] for socket in sockets for key in ("name", "tooltip")]
        assert all(isinstance(text, str) and text.strip() for text in said), name
        assert texts[name]["description"] not in json.dumps(node, ensure_ascii=False), "not translated"
