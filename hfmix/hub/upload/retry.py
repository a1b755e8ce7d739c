"""Retries of requests that fail for a while on the Hub, for a bounded time, reported on standard error."""

import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from hfmix.utils.hub_connection import error_chain

_T = TypeVar("_T")
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
# The answers to a commit that another one came before: 412 if its parent is no longer the head, 409 in a race.
_RACED = frozenset({409, 412})
# The process has one client, whose settings hold for all threads: pushes of several threads take turns.
_TURN = threading.Lock()
# httpx's error classes for a request that got no complete answer
_LOST = frozenset({"NetworkError", "RemoteProtocolError", "TimeoutException"})


class _SilenceError(TimeoutError):
    """Error for the client's own retries going on for longer than the patience."""


class Retry:
    """A step that is tried again after temporary failures, until these have cost `seconds`, the patience.

    A failure costs the wait after it and the time since the last good answer before it, the latter at most a fifth
    of the patience, since a large file takes long to send. A request without an answer is given up after a fifth
    too. Waits start at a hundredth of the patience and double up to a tenth, unless the Hub says how long to wait.

    huggingface_hub retries some requests itself, five times in 23 seconds, and follows any Retry-After; that would
    multiply with the retries here. So while a step runs, the Hub's error answers come here at once. Broken
    connections are still retried by the client, and error answers of the storage by hf_xet.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lost = 0.0
        self.tries = 0
        self._last_good = 0.0
        self._asking_since: float | None = None  # the first request since the last good answer
        self._failure: Exception | None = None

    def keep_trying(self, step: Callable[[], _T], reason: Callable[[BaseException], str]) -> _T:
        """Runs `step` until it succeeds and returns its result; raises its error if that is permanent.

        When the patience has run out, it raises the last error. A step may fail anywhere and must be safe to
        repeat. `reason` puts an error into words for the line that is printed.
        """
        while True:
            self.tries += 1
            try:
                with self._asking_once():
                    return step()
            except Exception as error:
                if not is_transient(error):
                    raise
                # report the underlying error, not that the client gave up
                if self._failure is None or not _is_silence(error):
                    self._failure = error
            self.lost += min(time.monotonic() - self._last_good, self.seconds / 5)
            wait = self._wait(self._failure)
            left = self.seconds - self.lost - wait
            if left <= 0:  # so that a patience of 0 is one try
                raise self._failure
            print(
                f"hfmix: {reason(self._failure)}; trying again in {wait:.1f} s, and for up to {left:.0f} s more",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(wait)
            self.lost += wait

    def _wait(self, error: Exception) -> float:
        answer = _answer_of(error)
        requested = _requested_wait(answer.headers) if answer is not None else None
        if requested is not None:
            return requested
        # spread out, in case many pushes failed together
        return min(2 ** (self.tries - 1), 10) * self.seconds / 100 * random.uniform(0.75, 1.25)

    @contextmanager
    def _asking_once(self) -> Iterator[None]:
        """Limits huggingface_hub's client within the block: by itself it waits forever, and retries."""
        from huggingface_hub import get_session

        with _TURN:
            self._last_good, self._asking_since = time.monotonic(), None
            yield from self._watched(get_session())

    def _watched(self, client: Any) -> Iterator[None]:
        hooks, timeout = client.event_hooks, client.timeout
        client.event_hooks = {
            "request": [*hooks["request"], self._check],
            "response": [*hooks["response"], self._look_at],
        }
        client.timeout = self.seconds / 5 or 60.0
        try:
            yield
        finally:
            client.event_hooks, client.timeout = hooks, timeout

    def _check(self, _: Any) -> None:
        now = time.monotonic()
        self._asking_since = self._asking_since or now
        if self.seconds and self.lost + now - self._asking_since > self.seconds:
            raise _SilenceError(f"nothing good from it for {now - self._asking_since:.0f} s")

    def _look_at(self, response: Any) -> None:
        from huggingface_hub.utils import hf_raise_for_status

        if response.status_code in _LATER:
            response.read()
            hf_raise_for_status(response)
        if response.status_code < 400:
            self._last_good, self._asking_since = time.monotonic(), None


def _is_silence(error: BaseException) -> bool:
    return any(isinstance(link, _SilenceError) for link in error_chain(error))


def is_transient(error: BaseException) -> bool:
    """Returns whether a request may succeed later: no answer came, or one such as 503, or the connection broke."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    chain = error_chain(error)
    if any(isinstance(link, OfflineModeIsEnabled) for link in chain):
        return False
    answer = _answer_of(error)
    if answer is not None:
        raced = answer.status_code in _RACED and "/commit/" in answer.request.url.path
        return raced or answer.status_code in _LATER
    for link in chain:
        # hf_xet's errors are Python's own, with the status in the text
        if isinstance(link, ConnectionError | TimeoutError):
            status = re.search(r"HTTP status \w+ error \((\d{3})", str(link))
            return status is None or int(status[1]) in _LATER
    # by name, since huggingface_hub has changed its HTTP client before and may again
    return any(cls.__name__ in _LOST for link in chain for cls in type(link).__mro__)


def _answer_of(error: BaseException) -> Any:
    """Returns the response of the Hub or its storage that the error is about, if there is one."""
    from huggingface_hub.errors import HfHubHTTPError

    return next((link.response for link in error_chain(error) if isinstance(link, HfHubHTTPError)), None)


def _requested_wait(headers: Any) -> float | None:
    """Returns the seconds to wait that an answer asks for, in Retry-After or, as the Hub does, in RateLimit."""
    if limit := re.search(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit", "")):
        return float(limit[1])
    seconds_or_date = headers.get("retry-after", "").strip()
    if seconds_or_date.isdigit():
        return float(seconds_or_date)
    try:
        return max(0.0, parsedate_to_datetime(seconds_or_date).timestamp() - time.time())
    except ValueError:
        return None
