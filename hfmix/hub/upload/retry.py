"""Going on when the Hub fails for a while, for a bounded time, and telling so."""

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
# What a commit meets where another one came first: 412 where its parent is not the head any more, 409 in a race.
_RACED = frozenset({409, 412})
# The client is one for the process, and what is set on it counts for all: pushes of several threads take turns.
_TURN = threading.Lock()
# httpx's classes of errors for a request that was not, or not wholly, answered
_LOST = frozenset({"NetworkError", "RemoteProtocolError", "TimeoutException"})


class _SilenceError(TimeoutError):
    """The client's own retries have gone on for longer than the patience."""


class Retry:
    """Tries a step again while it fails for reasons that pass, until `seconds` were lost to failures.

    What counts is each wait, and the time since the last good answer before each failure, though no more than a
    fifth of the patience: a large file takes long to send. A request without an answer is given up after such a
    fifth. The waits begin with a hundredth and double up to a tenth; where the Hub says how long, that long.

    huggingface_hub has retries of its own, of five tries in 23 seconds, for some requests and not for others; they
    would multiply with these, and follow any Retry-After. So while a step runs the Hub's failures come here at
    once. What is left to the client are connections that break, and to hf_xet, what its own storage answers.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lost = 0.0
        self.tries = 0
        self._last_good = 0.0
        self._asking_since: float | None = None  # the first request since the last good answer
        self._failure: Exception | None = None

    def keep_trying(self, step: Callable[[], _T], reason: Callable[[BaseException], str]) -> _T:
        """What `step` returns in the end; `reason` puts an error into words for the line that is printed.

        The step may be broken off anywhere and must be one that can be done again. Raises its last error, where
        that is a permanent one or the patience is at its end.
        """
        while True:
            self.tries += 1
            try:
                with self._asking_once():
                    return step()
            except Exception as error:
                if not is_transient(error):
                    raise
                # of the client's own retries the end is no news: what they failed of is
                if self._failure is None or not _is_silence(error):
                    self._failure = error
            self.lost += min(time.monotonic() - self._last_good, self.seconds / 5)
            wait = self._wait(self._failure)
            left = self.seconds - self.lost - wait
            if left <= 0:  # no patience at all is one try
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
        asked = _asked_wait(answer.headers) if answer is not None else None
        if asked is not None:
            return asked
        # not all at once, where many pushes failed together
        return min(2 ** (self.tries - 1), 10) * self.seconds / 100 * random.uniform(0.75, 1.25)

    @contextmanager
    def _asking_once(self) -> Iterator[None]:
        """huggingface_hub's client, which waits for ever and tries again by itself, with limits meanwhile."""
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
    """Whether the same request may succeed later: no answer, a broken connection, or an answer that says so."""
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
    # by name: huggingface_hub has changed from httpx to its successor, and may again
    return any(cls.__name__ in _LOST for link in chain for cls in type(link).__mro__)


def _answer_of(error: BaseException) -> Any:
    """The Hub's or its storage's answer that the error is about, an httpx response, or None."""
    from huggingface_hub.errors import HfHubHTTPError

    return next((link.response for link in error_chain(error) if isinstance(link, HfHubHTTPError)), None)


def _asked_wait(headers: Any) -> float | None:
    """The seconds to wait that an answer asks for, by Retry-After or, as the Hub does it, by RateLimit's reset."""
    if limit := re.search(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit", "")):
        return float(limit[1])
    asked = headers.get("retry-after", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return None
