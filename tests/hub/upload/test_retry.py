"""The time that a push counts as lost, with the real client and a real server."""

import time

import pytest
from hub_server import WRITER, Answer, Fault, HubServer
from huggingface_hub import HfApi, get_session
from huggingface_hub.errors import HfHubHTTPError

from hfmix.hub.upload.retry import Retry, is_transient

BUSY = Answer(503, {"error": "maintenance"})


def ask(hub: HubServer) -> str:
    return HfApi(endpoint=hub.endpoint).whoami(WRITER)["name"]


def test_what_goes_well_may_take_long(hub, capsys):
    def step() -> str:
        ask(hub)
        time.sleep(1.2)  # an upload by hf_xet, which the client knows nothing of
        return ask(hub)

    hub.faults.append(Fault("GET", "/api/whoami-v2", BUSY))
    patience = Retry(1)
    assert patience.keep_trying(step, str) == "me"
    hub.faults.append(Fault("GET", "/api/whoami-v2", BUSY, times=1))
    assert patience.keep_trying(lambda: (time.sleep(1.2), ask(hub))[1], str) == "me"
    assert patience.lost < 0.5  # a fifth for the late failure, and the waits
    assert capsys.readouterr().err.count("trying again in") == 2


def test_the_last_failure_is_what_is_raised_and_the_client_is_as_before(hub):
    hub.faults.append(Fault("GET", "/api/whoami-v2", BUSY, times=99))
    client = get_session()
    hooks, timeout = client.event_hooks, client.timeout
    begun = time.monotonic()
    with pytest.raises(HfHubHTTPError, match="503"):
        Retry(1).keep_trying(lambda: ask(hub), str)
    assert time.monotonic() - begun < 1.5
    assert (client.event_hooks, client.timeout) == (hooks, timeout)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionError("Server error: HTTP status server error (503 Service Unavailable), domain: x"), True),
        (ConnectionError("Network error: HTTP status client error (403 Forbidden), domain: x"), False),
        (ConnectionError("connection closed before message completed"), True),
        (TimeoutError("timed out"), True),
        (ValueError("Invalid metadata in README.md"), False),
        (PermissionError(13, "Permission denied"), False),
    ],
)
def test_what_passes(error, expected):
    assert is_transient(error) == expected
