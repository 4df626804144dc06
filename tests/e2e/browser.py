"""Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.comfy_client import JsonSocket

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1920,1200",
)
START_LIMIT_S = 60
KEY_CODES = {
    "Backspace": 8, "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37,
    "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Delete": 46, "[": 219, "]": 221,
}  # fmt: skip


def chromium() -> str | None:
    """The browser's path, where there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page of a fresh browser."""

    def __init__(self, program: str, profile: Path):
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + START_LIMIT_S
        while not (port_file.exists() and port_file.read_text().count("\n")):
            if time.monotonic() > deadline:
                raise TimeoutError("Chromium did not start.")
            time.sleep(0.1)
        port = int(port_file.read_text().split("\n", 1)[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as reply:
            page = next(target for target in json.load(reply) if target["type"] == "page")
        self._socket = JsonSocket(port, "/" + page["webSocketDebuggerUrl"].split("/", 3)[3])
        self._sent = 0

    def _call(self, method: str, limit_s: float = 240, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        self._socket.send({"id": self._sent, "method": method, "params": parameters})
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            message = self._socket.receive(deadline - time.monotonic())
            if message is not None and message.get("id") == self._sent:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
        raise TimeoutError(method)

    def open(self, url: str) -> None:
        """Go to ``url``."""
        self._call("Page.navigate", url=url)

    def run(self, script: str, limit_s: float = 240) -> Any:
        """The JSON value of a JavaScript expression, awaited where it is a promise."""
        answer = self._call(
            "Runtime.evaluate", limit_s, expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def wait_for(self, script: str, limit_s: float = 90) -> Any:
        """Repeat ``script`` until it gives something true, and return that."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            try:
                value = self.run(script)
            except RuntimeError:
                value = None  # the page is still loading
            if value:
                return value
            time.sleep(0.2)
        raise TimeoutError(f"{script} stayed false for {limit_s} s")

    def press(self, key: str, control: bool = False, shift: bool = False) -> None:
        """Press and release a key, perhaps with Ctrl or Shift."""
        code = KEY_CODES.get(key, ord(key.upper()) if len(key) == 1 else 0)
        typed = {"Enter": "\r", " ": " "}.get(key)
        for kind in ("keyDown", "keyUp"):
            text = {"text": typed} if typed and kind == "keyDown" and not control else {}
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                modifiers=2 * control + 8 * shift,
                **text,
            )

    def type(self, text: str) -> None:
        """Type words into what has the focus."""
        self._call("Input.insertText", text=text)

    def _mouse(self, kind: str, place: tuple[float, float], clicks: int = 0, held: bool = False) -> None:
        button = {"button": "left", "clickCount": clicks} if clicks else {}
        self._call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], buttons=1 if held else 0, **button)

    def click(self, x: float, y: float, clicks: int = 1) -> None:
        """Click with the left button; 3 clicks select what a field holds."""
        self._mouse("mouseMoved", (x, y))
        for count in range(1, clicks + 1):
            self._mouse("mousePressed", (x, y), count, held=True)
            self._mouse("mouseReleased", (x, y), count)

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 12) -> None:
        """Press, move in a straight line, release."""
        self._mouse("mouseMoved", start)
        self._mouse("mousePressed", start, 1, held=True)
        for step in range(1, steps + 1):
            part = step / steps
            point = (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
            self._mouse("mouseMoved", point, held=True)
        self._mouse("mouseReleased", end, 1)

    def screenshot(self, path: Path) -> None:
        """Write what the page shows as PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the browser."""
        self._socket.close()
        self._process.terminate()
        self._process.wait(20)


def open_frontend(server: Any, profile: Path, *, vue_nodes: bool) -> Browser:
    """ComfyUI's page on ``server`` with an empty graph, in either way of drawing nodes; skips without a browser."""
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on the path")
    settings = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": vue_nodes}
    for name, value in settings.items():
        assert server.post(f"/settings/{name}", value)[0] == 200
    browser = Browser(program, profile)
    try:
        browser.open(f"http://127.0.0.1:{server.port}/")
        browser.wait_for("Boolean(window.app?.graph && window.LiteGraph?.registered_node_types?.PavasLoadVideo)")
        browser.run("new Promise(resolve => setTimeout(resolve, 3000))")
        browser.press("Escape")
        browser.press("Escape")
    except BaseException:
        browser.close()
        raise
    return browser


def early_vue_nodes(server: Any, renderer: str) -> bool:
    """Whether the trial of Vue nodes in ComfyUI 0.3 draws, which knows neither all sizes nor all widgets."""
    version = server.get("/system_stats")["system"]["comfyui_version"]
    return renderer == "vue nodes" and version.startswith("0.3.")


def press_run(server: Any, page: Browser, limit_s: float = 300) -> dict[str, Any]:
    """Press Run and return the finished job as ComfyUI's history tells it."""
    known = set(server.get("/history"))
    page.run("window.app.queuePrompt(0, 1)")
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        history = server.get("/history")
        new = set(history) - known
        if new:
            (prompt_id,) = new
            return history[prompt_id]
        time.sleep(0.5)
    raise TimeoutError(f"The graph did not finish within {limit_s} s")
