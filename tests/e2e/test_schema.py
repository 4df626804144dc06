"""The real servers' view of the nodes equals the golden file, so graphs saved with one version open in the other."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

from tests import node_schema
from tests.e2e.test_quick_start import seconds_allowed

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"


def test_object_info_equals_the_golden_file(comfy):
    golden = json.loads(node_schema.GOLDEN.read_text())
    assert node_schema.of_object_info(comfy.get("/object_info")) == golden


def test_the_pack_loads_in_under_a_second(comfy):
    log = comfy.log()
    seconds, failed = re.search(rf"([\d.]+) seconds( \(IMPORT FAILED\))?: .*{re.escape(comfy.folder)}", log).groups()
    assert failed is None
    assert float(seconds) < seconds_allowed()


def fetch(comfy, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{comfy.port}{path}", timeout=10) as reply:
        return reply.read()


def test_help_pages_are_served_with_their_pictures(comfy_web):
    base = f"/extensions/{comfy_web.folder}/docs"
    for node_id in json.loads(node_schema.GOLDEN.read_text()):
        page = fetch(comfy_web, f"{base}/{node_id}.md").decode()
        assert page.startswith("# ")
        pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
        assert pictures, node_id
        for picture in pictures:
            assert fetch(comfy_web, f"{base}/{picture}").startswith(b"\xff\xd8"), picture


def test_templates_are_listed_with_pictures(comfy_web):
    names = {path.stem for path in WORKFLOWS.glob("*.json")}
    assert set(comfy_web.get("/workflow_templates")[comfy_web.folder]) == names
    for name in names:
        assert fetch(comfy_web, f"/api/workflow_templates/{comfy_web.folder}/{name}.json").startswith(b"{")
        assert fetch(comfy_web, f"/api/workflow_templates/{comfy_web.folder}/{name}.jpg").startswith(b"\xff\xd8")
