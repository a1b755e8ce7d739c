"""What went wrong on the Hub or on the way to it, in one line that says what to do, without the token."""

import json

from hfmix.utils.hub_connection import error_chain


def reason(error: BaseException, repo_id: str, endpoint: str, token: str) -> str:
    """The line for an error that huggingface_hub, hf_xet or httpx raised over `repo_id`."""
    text = _reason(error, repo_id, endpoint)
    return " ".join((text.replace(token, "***") if token else text).split())


def without_token(error: BaseException, token: str) -> BaseException | None:
    """The error as a cause to show; None where it, or what it came from, quotes the token, as an echoed header
    would: a traceback prints its causes too."""
    return None if token and any(token in str(link) for link in error_chain(error)) else error


def _reason(error: BaseException, repo_id: str, endpoint: str) -> str:
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    # An upload that fails in a thread arrives wrapped in a RuntimeError: what counts is further down.
    chain = error_chain(error)
    if answer := next((link for link in chain if isinstance(link, HfHubHTTPError)), None):
        status = answer.response.status_code
        said = f" ({answer.server_message})" if answer.server_message else ""
        if answer.response.headers.get("x-error-code") == "GatedRepo":
            return f"{repo_id} is gated: ask for access on its page on the Hub{said}"
        if status == 401:
            return f"{endpoint} does not accept the token: log in with `hf auth login` or set HF_TOKEN{said}"
        if status in (402, 413, 507):
            owner = repo_id.split("/")[0] if "/" in repo_id else "your account"
            return f"{owner} has no room left for it on {endpoint}: delete what is not needed, or get more{said}"
        if status == 403 and answer is error:  # in an upload, it is the storage that refuses, not the Hub
            owner = repo_id.split("/")[0] if "/" in repo_id else "your account"
            return f"the token may not write to {owner}: use one with write access there{said}"
        if status == 404:
            return f"not found on {endpoint}: check the name, and that the token may see it{said}"
        if status in (409, 412):
            return f"another commit came first{said}"
        if status == 429:
            return f"{endpoint} asks for fewer requests: wait some minutes and push again{said}"
        if status >= 500:
            return f"{endpoint} failed with {status}: try again later{said}"
        if type(error) is ValueError:  # the card's metadata: this text, unlike the answer, names the file
            return str(error)
        return f"{endpoint} answered {status}{said}"
    if any(isinstance(link, OfflineModeIsEnabled) for link in chain):
        return "HF_HUB_OFFLINE is set: unset it to push"
    if lost := next(
        (link for link in chain if isinstance(link, HTTPError | ConnectionError | TimeoutError)), None
    ):
        return f"no answer from {endpoint}: check the network and HF_ENDPOINT ({str(lost) or type(lost).__name__})"
    if isinstance(error, json.JSONDecodeError):
        return f"{endpoint} did not answer in JSON: it is down, or not a Hub; check HF_ENDPOINT"
    return f"{type(error).__name__}: {error}"
