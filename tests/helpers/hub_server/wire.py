"""How requests come to the tests' Hub and answers leave it, and how either goes wrong on demand."""

import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal


@dataclass
class Answer:
    status: int = 200
    body: object = b""  # bytes as they are, anything else as JSON
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818
    """Ends the handling of a request with an error as the Hub words it."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        headers = headers | ({"X-Error-Code": code} if code else {}) | {"X-Error-Message": message}
        self.answer = Answer(status, {"error": message}, headers)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of this method whose path contains `path`.

    `answer` is given in the server's stead. `breaks` resets the connection in the middle of the "request", which
    is not handled, or after it was handled, "unanswered"; or it closes it after half of the "answer". `delay` is
    slept through before anything else, in seconds, and `meanwhile` is called then.
    """

    method: str
    path: str
    answer: Answer | None = None
    times: int = 1
    breaks: Literal["", "request", "unanswered", "answer"] = ""
    delay: float = 0.0
    meanwhile: Callable[[], object] = lambda: None


class Handler(BaseHTTPRequestHandler):
    """One connection; `hub` is the HubServer that it belongs to."""

    hub: Any
    protocol_version = "HTTP/1.1"  # keeps connections open, as the client expects

    def _respond(self) -> None:
        path, _, _ = self.path.partition("?")
        with self.hub.lock:
            self.hub.requests.append(f"{self.command} {path}")
            fault = self.hub.fault(self.command, path) or Fault(self.command, path)
        # The body is read before anything is answered: on a kept connection it would be the next request.
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length // 2 if fault.breaks == "request" else length)
        time.sleep(fault.delay)
        fault.meanwhile()
        if fault.breaks == "request":
            return self._reset()
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = fault.answer
        if answer is None:
            with self.hub.lock:
                answer = self.hub.answer(self.command, self.path, headers, body)
        if fault.breaks == "unanswered":
            return self._reset()
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body, default=str).encode()
        kind = "application/octet-stream" if isinstance(answer.body, bytes) else "application/json"
        self.send_response(answer.status)
        described = {"Content-Type": kind, "Content-Length": str(len(content))}
        for name, value in (described | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if fault.breaks == "answer":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = _respond  # noqa: N815

    def _reset(self) -> None:
        """Ends the connection with a TCP reset, which is what closing it at once amounts to."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client was gone first, as after a timeout of its own
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:  # after a reset there is nothing to flush
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keeps the tests' output to the tests."""
