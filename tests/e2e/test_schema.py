"""The real servers' view of the nodes equals the golden file, so graphs saved with one version open in the other."""

from __future__ import annotations

import json
import re

from tests import node_schema
from tests.e2e.comfy_client import PACK_FOLDER


def test_object_info_equals_the_golden_file(comfy):
    golden = json.loads(node_schema.GOLDEN.read_text())
    assert node_schema.of_object_info(comfy.get("/object_info")) == golden


def test_the_pack_loads_in_under_a_second(comfy):
    log = comfy.log()
    seconds, failed = re.search(rf"([\d.]+) seconds( \(IMPORT FAILED\))?: .*{re.escape(PACK_FOLDER)}", log).groups()
    assert failed is None
    assert float(seconds) < 1.0


def test_help_pages_are_served(comfy):
    import urllib.parse
    import urllib.request

    golden = json.loads(node_schema.GOLDEN.read_text())
    for node_id in golden:
        url = f"http://127.0.0.1:{comfy.port}/extensions/{urllib.parse.quote(PACK_FOLDER)}/docs/{node_id}.md"
        with urllib.request.urlopen(url, timeout=10) as page:
            assert page.status == 200


def test_templates_are_listed_with_pictures(comfy):
    import urllib.parse
    import urllib.request

    names = comfy.get("/workflow_templates")[PACK_FOLDER]
    assert "quick_start" in names
    for name in names:
        for suffix in ("json", "jpg"):
            url = f"http://127.0.0.1:{comfy.port}/api/workflow_templates/{urllib.parse.quote(PACK_FOLDER)}/{name}.{suffix}"
            with urllib.request.urlopen(url, timeout=10) as file:
                assert file.status == 200
