"""One ComfyUI server, spoken to over HTTP and its event socket (routes of ComfyUI 0.3.64 to 0.33)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavas_core.client.jobs import safe_name
from pavas_core.client.workflow import Graph
from pavas_core.errors import MediaError, PavasError
from pavas_core.video.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

log = logging.getLogger("pavas")

REPLY_LIMIT_S = 60.0
CHUNK = 1 << 20
RECONNECT_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class Unreachable(Exception):
    """The server did not answer, or not as a healthy one does; the same request may succeed later."""


@dataclass(frozen=True)
class Finished:
    """A prompt that ended: what ComfyUI's history says of it."""

    outputs: dict[str, Any]
    error: str = ""
    out_of_memory: bool = False


@dataclass(frozen=True)
class Waiting:
    """A prompt in the server's queue, or on its way through the graph."""

    running: bool


State = Finished | Waiting | None
"""None: the server knows nothing of the prompt."""


def base_url(address: str) -> str:
    """``host:port`` or a URL, as a URL without a slash at its end. Raises PavasError for neither."""
    from urllib.parse import urlsplit

    url = (address if "://" in address else f"http://{address}").rstrip("/")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise PavasError(f"{address!r} is no server: write host:port, as 127.0.0.1:8188.")
    return url


class ComfyServer:
    """Requests to one server. Every method raises Unreachable when it should be tried again later."""

    def __init__(self, session: aiohttp.ClientSession, address: str, client_id: str):
        self.address = address
        self._session = session
        self._url = base_url(address)
        self._client_id = client_id
        self._uploaded: dict[str, str] = {}
        self._uploading = asyncio.Lock()

    @asynccontextmanager
    async def _request(self, method: str, path: str, **kwargs: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=REPLY_LIMIT_S)
        try:
            async with self._session.request(method, self._url + path, timeout=timeout, **kwargs) as reply:
                if reply.status >= 500:
                    raise Unreachable(f"{self.address} answered {reply.status} to {path}")
                yield reply
        except (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError) as error:
            raise Unreachable(f"{self.address}: {error or type(error).__name__}") from None

    async def _json(self, path: str) -> Any:
        async with self._request("GET", path) as reply:
            try:
                return await reply.json()
            except ValueError:
                raise Unreachable(f"{self.address} answered {path} with something that is no JSON") from None

    async def versions(self) -> dict[str, str]:
        """ComfyUI's and torch's versions. Raises PavasError where something else than ComfyUI answers."""
        system = (await self._json("/system_stats")).get("system")
        if not isinstance(system, dict):
            raise PavasError(f"{self.address} is no ComfyUI server: check the address.")
        return {
            "comfyui": str(system.get("comfyui_version", "unknown")),
            "torch": str(system.get("pytorch_version", "unknown")),
        }

    async def upload(self, clip: str) -> str:
        """Put a clip into the server's input folder, if this has not been done, and return its name there.

        The folder is named by the content, so that clips of one name never meet; a file that a stopped server left
        half-written differs, and ComfyUI then gives the whole one another name.
        """
        async with self._uploading:
            if clip not in self._uploaded:
                self._uploaded[clip] = await self._upload(Path(clip))
            return self._uploaded[clip]

    async def _upload(self, clip: Path) -> str:
        import aiohttp

        digest = await asyncio.to_thread(_digest, clip)
        form = aiohttp.FormData(quote_fields=False)
        with _readable(clip) as file:
            form.add_field("image", file, filename=safe_name(clip.name), content_type="application/octet-stream")
            form.add_field("type", "input")
            form.add_field("subfolder", f"pavas_queue/{digest[:16]}")
            async with self._request("POST", "/upload/image", data=form) as reply:
                if reply.status == 413:
                    raise PavasError(
                        f"{clip.name} is larger than {self.address} accepts: start it with --max-upload-size MB."
                    )
                if reply.status != 200:
                    raise PavasError(f"{self.address} refused {clip.name} ({reply.status}): see its log.")
                answer = await reply.json()
        return "/".join(part for part in (answer["subfolder"], answer["name"]) if part)

    def forget_uploads(self) -> None:
        """After a restart the files may be gone or half-written."""
        self._uploaded.clear()

    async def submit(self, graph: Graph, prompt_id: str) -> None:
        """Queue a graph. Raises PavasError with ComfyUI's own reason where it will not, or not all of it, run."""
        body = {"prompt": graph, "client_id": self._client_id, "prompt_id": prompt_id}
        async with self._request("POST", "/prompt", json=body) as reply:
            try:
                answer = await reply.json()
            except ValueError:
                raise Unreachable(f"{self.address} answered /prompt with something that is no JSON") from None
        if reply.status != 200 or answer.get("node_errors"):
            if reply.status == 200:
                await self.cancel(prompt_id)
            raise PavasError(f"{self.address} refused the workflow: {_refusal(answer, graph)}")

    async def state(self, prompt_id: str) -> State:
        """Where a prompt is.

        ComfyUI writes its history after the success event and moves prompts from queue to history at once, so
        history, queue and history again leave no gap to fall through.
        """
        if done := await self._history(prompt_id):
            return done
        queue = await self._json("/queue")
        for key in ("queue_running", "queue_pending"):
            if any(entry[1] == prompt_id for entry in queue.get(key, ())):
                return Waiting(running=key == "queue_running")
        return await self._history(prompt_id)

    async def _history(self, prompt_id: str) -> Finished | None:
        entry = (await self._json(f"/history/{prompt_id}")).get(prompt_id)
        if entry is None:
            return None
        messages = dict(reversed((entry.get("status") or {}).get("messages", [])))
        if fault := messages.get("execution_error"):
            text = " ".join(str(fault.get("exception_message", "")).split()) or str(fault.get("exception_type"))
            memory = "OutOfMemory" in str(fault.get("exception_type")) or "out of memory" in text.lower()
            return Finished({}, f"{fault.get('node_type')}: {text}", memory)
        if "execution_interrupted" in messages:
            return Finished({}, "It was cancelled on the server.")
        return Finished(entry.get("outputs", {}))

    async def free_memory(self) -> None:
        """Ask the server to let go of models and caches."""
        async with self._request("POST", "/free", json={"unload_models": True, "free_memory": True}):
            pass

    async def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or stop it."""
        async with self._request("POST", "/queue", json={"delete": [prompt_id]}):
            pass
        async with self._request("POST", "/interrupt", json={"prompt_id": prompt_id}):
            pass

    async def download(self, entry: dict[str, str], target: Path) -> None:
        """Fetch one output file, whole or not at all."""
        query = {key: entry.get(key, "") for key in ("filename", "subfolder", "type")}
        async with self._request("GET", "/view", params=query) as reply:
            if reply.status != 200:
                raise PavasError(
                    f"{self.address} no longer has {query['filename']} ({reply.status}): run the job again."
                )
            with replacing(target) as temporary, temporary.open("wb") as file:
                async for chunk in reply.content.iter_chunked(CHUNK):
                    file.write(chunk)

    async def listen(self, on_event: Callable[[str, dict[str, Any]], None]) -> None:
        """Pass on events until cancelled, connecting again whenever the line drops.

        ``on_event("connected", {})`` follows every connect, since events in between were missed.
        """
        import aiohttp

        failures = 0
        while True:
            with suppress(aiohttp.ClientError, asyncio.TimeoutError, ConnectionError):
                async with self._session.ws_connect(
                    f"{self._url}/ws", params={"clientId": self._client_id}, heartbeat=20, max_msg_size=0
                ) as socket:
                    failures = 0
                    on_event("connected", {})
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            _pass_on(message.data, on_event)
            await asyncio.sleep(RECONNECT_S[min(failures, len(RECONNECT_S) - 1)])
            failures += 1


def _pass_on(text: str, on_event: Callable[[str, dict[str, Any]], None]) -> None:
    try:
        event = json.loads(text)
        kind, data = event["type"], event["data"]
    except (ValueError, KeyError, TypeError):
        log.debug("An event that is no ComfyUI event was passed over.")
        return
    if isinstance(data, dict):
        on_event(kind, data)


def _refusal(answer: dict[str, Any], graph: Graph) -> str:
    """ComfyUI's reasons in one sentence."""
    reasons = [
        f"{fault.get('class_type') or graph.get(node, {}).get('class_type', node)}: {one.get('message', '')}"
        + (f" ({one['details']})" if one.get("details") else "")
        for node, fault in (answer.get("node_errors") or {}).items()
        for one in fault.get("errors", [])
    ]
    error = answer.get("error")
    overall = error.get("message", "") if isinstance(error, dict) else str(error or "")
    return "; ".join(reasons) or overall or "it gave no reason"


def _readable(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise MediaError(f"The clip {path} cannot be read ({error.strerror}): check that it is still there.") from None


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with _readable(path) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
