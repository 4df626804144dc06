"""A small client of a real ComfyUI server: start it, queue a graph, watch it run. Standard library only."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_LIMIT_S = 400
RUN_LIMIT_S = 600


@dataclass
class Run:
    """What one queued graph did."""

    prompt_id: str
    cached: set[str] = field(default_factory=set)
    executed: list[str] = field(default_factory=list)
    """Node ids in the order they began to run."""
    progress: set[str] = field(default_factory=set)
    """Nodes that reported progress."""
    error: dict[str, Any] | None = None
    interrupted: bool = False
    outputs: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class Graph(dict):
    """A graph in API form: node id -> {class_type, inputs}."""

    def node(self, class_type: str) -> str:
        """Id of the only node of that class."""
        (found,) = [name for name, node in self.items() if node["class_type"] == class_type]
        return found

    def inputs(self, class_type: str) -> dict[str, Any]:
        """Inputs of the only node of that class."""
        return self[self.node(class_type)]["inputs"]

    def add(self, class_type: str, **inputs: Any) -> str:
        """Add a node and return its id; links are ``[id, output index]``."""
        name = str(max((int(one) for one in self), default=0) + 1)
        self[name] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}
        return name

    def classes(self, names: Any) -> set[str]:
        """Classes of the nodes with these ids."""
        return {self[name]["class_type"] for name in names}


class JsonSocket:
    """A WebSocket that carries JSON (RFC 6455, text frames)."""

    def __init__(self, port: int, path: str):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._socket.recv(65536)
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise ConnectionError(head.decode(errors="replace"))

    def send(self, message: Any) -> None:
        """Send one message."""
        data = json.dumps(message).encode()
        size = len(data)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size) if size < 65536 else None
        # A mask of zeros is a valid mask and leaves the data as it is.
        self._socket.sendall(b"\x81" + (length or b"\xff" + struct.pack(">Q", size)) + b"\0\0\0\0" + data)

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The next text message, or None after ``timeout_s`` without one."""
        deadline = time.monotonic() + timeout_s
        message = b""
        while True:
            frame = self._next_frame(deadline)
            if frame is None:
                return None
            final, opcode, payload = frame
            if opcode == 9:
                self._socket.sendall(bytes([0x8A, 0x80 | len(payload)]) + b"\0\0\0\0" + payload)
            elif opcode in (0, 1):
                message += payload
                if final:
                    return json.loads(message)
            elif opcode == 8:
                raise ConnectionError("The server closed the event stream.")

    def _next_frame(self, deadline: float) -> tuple[bool, int, bytes] | None:
        if not self._fill(2, deadline):
            return None
        first, length = self._buffer[0], self._buffer[1] & 0x7F
        head = 2 + {126: 2, 127: 8}.get(length, 0)
        if not self._fill(head, deadline):
            return None
        if length == 126:
            length = struct.unpack(">H", self._buffer[2:4])[0]
        elif length == 127:
            length = struct.unpack(">Q", self._buffer[2:10])[0]
        if not self._fill(head + length, deadline):
            return None
        payload, self._buffer = self._buffer[head : head + length], self._buffer[head + length :]
        return bool(first & 0x80), first & 0x0F, payload

    def _fill(self, count: int, deadline: float) -> bool:
        while len(self._buffer) < count:
            ready, _, _ = select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            chunk = self._socket.recv(1 << 20)
            if not chunk:
                raise ConnectionError("The server closed the event stream.")
            self._buffer += chunk
        return True

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _without_roots_rights() -> list[str]:
    """Started as root, a server could write what is read-only; users' servers cannot."""
    if getattr(os, "geteuid", lambda: 1)() or not shutil.which("setpriv"):
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


class ComfyServer:
    """A ComfyUI of its own, with the pack linked in as ``folder`` and its other folders below ``base``."""

    def __init__(self, checkout: Path, python: str, pack: Path, base: Path, folder: str):
        self.base = base
        self.folder = folder
        self._pack = pack
        self.files_at_start = self.files_of_pack()
        for name in ("custom_nodes", "input", "output", "models", "user", "temp"):
            (base / name).mkdir(parents=True, exist_ok=True)
        (base / "custom_nodes" / folder).symlink_to(pack, target_is_directory=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log_path = base / "server.log"
        self._log = self.log_path.open("ab")
        self._command = [
            *_without_roots_rights(),
            python,
            "main.py",
            "--cpu",
            "--listen",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--disable-api-nodes",
            "--base-directory",
            str(base),
            "--database-url",
            "sqlite:///:memory:",
        ]
        self._checkout = checkout
        self.start()

    def start(self) -> None:
        """Start the server, on the port and folders it had before, and wait until it answers."""
        self._process = subprocess.Popen(
            self._command,
            cwd=self._checkout,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._wait_until_ready()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def kill(self) -> None:
        """Stop the server at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"ComfyUI stopped while starting:\n{self.log()[-3000:]}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                self.get("/system_stats")
                return
            time.sleep(0.3)
        raise TimeoutError(f"ComfyUI did not start within {START_LIMIT_S} s:\n{self.log()[-3000:]}")

    def files_of_pack(self) -> set[Path]:
        """Every file in the pack's own folders, Python's caches apart."""
        return {
            path
            for folder in ("nodes", "web", "workflows", "pavas_core")
            for path in (self._pack / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    def log(self) -> str:
        """Everything the server printed so far."""
        return self.log_path.read_text(errors="replace")

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def get(self, path: str) -> Any:
        """JSON of a GET."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as reply:
            return json.load(reply)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON (None where empty) of a POST."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                text = reply.read()
                return reply.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def run(
        self,
        prompt: dict[str, Any],
        *,
        interrupt_at: str | None = None,
        when: dict[str, Callable[[], Any]] | None = None,
    ) -> Run:
        """Queue ``prompt`` and follow it to its end; press Cancel when node ``interrupt_at`` reports progress.

        ``when`` holds what else to do at a node's first progress, by node id.

        ``seconds`` is the time from the start, or from the cancel, to the end.
        """
        client_id, prompt_id = str(uuid.uuid4()), str(uuid.uuid4())
        events = JsonSocket(self.port, f"/ws?clientId={client_id}")
        try:
            status, reply = self.post("/prompt", {"prompt": prompt, "client_id": client_id, "prompt_id": prompt_id})
            if status != 200 or reply["node_errors"]:
                raise AssertionError(f"ComfyUI refused the graph: {json.dumps(reply)[:2000]}")
            run = self._follow(events, Run(prompt_id), interrupt_at, when or {})
        finally:
            events.close()
        history = self.get(f"/history/{prompt_id}")
        run.outputs = history.get(prompt_id, {}).get("outputs", {})
        return run

    def _follow(
        self, events: JsonSocket, run: Run, interrupt_at: str | None, when: dict[str, Callable[[], Any]]
    ) -> Run:
        began = time.monotonic()
        while True:
            event = events.receive(RUN_LIMIT_S)
            if event is None:
                raise TimeoutError(f"Nothing happened for {RUN_LIMIT_S} s:\n{self.log()[-3000:]}")
            kind, data = event["type"], event["data"]
            if data.get("prompt_id") != run.prompt_id:
                continue
            if kind == "execution_cached":
                run.cached |= set(data["nodes"])
            elif kind == "progress":
                if data["node"] in when and data["node"] not in run.progress:
                    when[data["node"]]()
                run.progress.add(data["node"])
                if data["node"] == interrupt_at:
                    interrupt_at = None
                    self.post("/interrupt", {})
                    began = time.monotonic()
            elif kind == "execution_error":
                run.error = data
            elif kind == "execution_interrupted":
                run.interrupted = True
            elif kind == "executing":
                if data["node"] is None:
                    run.seconds = time.monotonic() - began
                    return run
                run.executed.append(data["node"])
