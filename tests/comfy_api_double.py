"""A server that speaks ComfyUI's API, in one process with the tests, and fails in the ways real ones do.

It runs nothing: a prompt is done after a few looks at the history, whoever looks,
so no test depends on time. Faults are drawn from a seed.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web


@dataclass
class ComfyDouble:
    """Queue, history and files of one server."""

    seed: int = 0
    ticks: int = 2
    """How many looks at its queue or history a prompt takes."""
    restart_share: float = 0.0
    """Share of requests at which the server stops and starts again: queue, history and connections are gone."""
    fault_share: float = 0.0
    """Share of requests that are answered with 500 or a dropped connection, before or after they took effect."""
    reject: str = ""
    """Refuse graphs whose clip's name holds this, as a failed validation."""
    breaks: str = ""
    """Fail graphs whose clip's name holds this, while running."""
    poison: str = ""
    """Stop the server whenever such a graph runs."""
    memory_faults: int = 0
    """So many runs end out of memory."""
    queue: list[list[Any]] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, bytes] = field(default_factory=dict)
    outputs: dict[str, bytes] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    """File name prefixes of every graph that ran to its end."""
    clips_run: list[str] = field(default_factory=list)
    restarts: int = 0
    freed: int = 0
    sockets: set[web.WebSocketResponse] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def app(self) -> web.Application:
        """The server's routes."""
        app = web.Application(middlewares=[self._faults])
        app.router.add_get("/system_stats", self._stats)
        app.router.add_post("/upload/image", self._upload)
        app.router.add_post("/prompt", self._prompt)
        app.router.add_get("/queue", self._queue)
        app.router.add_post("/queue", self._delete)
        app.router.add_post("/interrupt", self._nothing)
        app.router.add_post("/free", self._free)
        app.router.add_get("/history/{prompt_id}", self._history)
        app.router.add_get("/view", self._view)
        app.router.add_get("/ws", self._ws)
        return app

    def restart(self) -> None:
        """Forget everything but files."""
        self.restarts += 1
        self.queue.clear()
        self.history.clear()
        for socket in list(self.sockets):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.close()

    @web.middleware
    async def _faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        draw = self.random.random()
        if draw < self.restart_share:
            self.restart()
            return self._dropped(request)
        if draw < self.restart_share + self.fault_share:
            if self.random.random() < 0.5:
                await handler(request)  # it took effect, but nobody hears of it
            return self._dropped(request) if self.random.random() < 0.5 else web.Response(status=500, text="oh")
        return await handler(request)

    def _dropped(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.close()
        return web.Response()

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response({"system": {"comfyui_version": "0.33.0", "pytorch_version": "2.11.0"}})

    async def _upload(self, request: web.Request) -> web.Response:
        fields: dict[str, Any] = {}
        async for part in await request.multipart():
            fields[part.name] = (part.filename, await part.read()) if part.filename else await part.text()
        name, data = fields["image"]
        while self.inputs.setdefault(f"{fields['subfolder']}/{name}", data) != data:
            name = f"{name} (1)"
        return web.json_response({"name": name, "subfolder": fields["subfolder"], "type": fields["type"]})

    async def _prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        graph = body["prompt"]
        clip = graph["1"]["inputs"]["file"]
        assert clip in self.inputs, f"{clip} was never uploaded"
        if self.reject and self.reject in clip:
            fault = {"errors": [{"message": "Value not in list", "details": clip}], "class_type": "PavasLoadVideo"}
            error = {"error": {"message": "Prompt outputs failed validation"}, "node_errors": {"1": fault}}
            return web.json_response(error, status=400)
        self.queue.append([len(self.executed), body["prompt_id"], graph, self.ticks, body["client_id"]])
        return web.json_response({"prompt_id": body["prompt_id"], "number": 1, "node_errors": {}})

    async def _tick(self) -> None:
        """The graph at the head of the queue comes nearer to its end."""
        if not self.queue:
            return
        entry = self.queue[0]
        if entry[3] == self.ticks:
            await self._say("execution_start", entry[1])
        entry[3] -= 1
        if self.poison and self.poison in entry[2]["1"]["inputs"]["file"] and entry[3] == 0:
            self.restart()
        elif entry[3] < 0:
            self.queue.pop(0)
            await self._finish(entry[1], entry[2])

    async def _finish(self, prompt_id: str, graph: Any) -> None:
        clip, prefix = graph["1"]["inputs"]["file"], graph["3"]["inputs"]["filename_prefix"]
        messages: list[Any] = [["execution_start", {}]]
        outputs: dict[str, Any] = {}
        if self.memory_faults:
            self.memory_faults -= 1
            messages.append(["execution_error", {"exception_type": "torch.OutOfMemoryError", "exception_message": "x"}])
        elif self.breaks and self.breaks in clip:
            fault = {"node_type": "PavasLoadVideo", "exception_message": "The clip\nis broken.", "exception_type": "E"}
            messages.append(["execution_error", fault])
        else:
            folder, _, name = prefix.rpartition("/")
            mass = str(graph["2"]["inputs"]["masses"])
            self.outputs[f"{folder}/{name}_00001_.mp4"] = self.inputs[clip] + mass.encode()
            entry = {"filename": f"{name}_00001_.mp4", "subfolder": folder, "type": "output"}
            outputs = {"3": {"images": [entry], "animated": [True]}, "4": {"text": ["1 impact"]}}
            self.executed.append(prefix)
            self.clips_run.append(clip)
        self.history[prompt_id] = {"outputs": outputs, "status": {"messages": messages, "completed": bool(outputs)}}
        await self._say("executing", prompt_id)

    async def _say(self, kind: str, prompt_id: str) -> None:
        for socket in list(self.sockets):
            if not socket.closed:
                await socket.send_json({"type": kind, "data": {"node": None, "prompt_id": prompt_id}})

    async def _queue(self, request: web.Request) -> web.Response:
        head = [entry[:3] for entry in self.queue[:1]]
        return web.json_response({"queue_running": head, "queue_pending": [entry[:3] for entry in self.queue[1:]]})

    async def _delete(self, request: web.Request) -> web.Response:
        gone = set((await request.json()).get("delete", ()))
        self.queue[:] = [entry for entry in self.queue if entry[1] not in gone]
        return web.Response()

    async def _nothing(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _free(self, request: web.Request) -> web.Response:
        self.freed += 1
        return web.Response()

    async def _history(self, request: web.Request) -> web.Response:
        await self._tick()
        prompt_id = request.match_info["prompt_id"]
        found = {prompt_id: self.history[prompt_id]} if prompt_id in self.history else {}
        return web.json_response(copy.deepcopy(found))

    async def _view(self, request: web.Request) -> web.Response:
        key = f"{request.query['subfolder']}/{request.query['filename']}"
        return web.Response(body=self.outputs[key]) if key in self.outputs else web.Response(status=404)

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        await socket.send_str('{"type": "status"}')  # and what is no event at all must not end the connection
        await socket.send_bytes(b"\0\0\0\1preview")
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break
        self.sockets.discard(socket)
        return socket


async def serve(double: ComfyDouble) -> tuple[web.AppRunner, str]:
    """Start a double; what stops it, and its address."""
    runner = web.AppRunner(double.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    return runner, f"127.0.0.1:{port}"
