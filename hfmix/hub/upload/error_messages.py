"""Messages for failures of the Hub or the network: one line that says what to do, without the token."""

import json

from hfmix.utils.hub_connection import error_chain


def reason(error: BaseException, repo_id: str, endpoint: str, token: str) -> str:
    """Returns the message for an error that huggingface_hub, hf_xet or httpx raised about `repo_id`."""
    text = _reason(error, repo_id, endpoint)
    return " ".join((text.replace(token, "***") if token else text).split())


def without_token(error: BaseException, token: str) -> BaseException | None:
    """Returns the error, to be raised from, or None if it or one of its causes quotes the token.

    An echoed header would quote it, and a traceback prints an error's causes too.
    """
    return None if token and any(token in str(link) for link in error_chain(error)) else error


def _reason(error: BaseException, repo_id: str, endpoint: str) -> str:
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    # An upload that fails in a thread arrives wrapped in a RuntimeError: look for its cause.
    chain = error_chain(error)
    if answer := next((link for link in chain if isinstance(link, HfHubHTTPError)), None):
        status = answer.response.status_code
        detail = f" ({answer.server_message})" if answer.server_message else ""
        if answer.response.headers.get("x-error-code") == "GatedRepo":
            return f"{repo_id} is gated: ask for access on its page on the Hub{detail}"
        if status == 401:
            return f"{endpoint} does not accept the token: log in with `hf auth login` or set HF_TOKEN{detail}"
        if status in (402, 413, 507):
            owner = repo_id.split("/")[0] if "/" in repo_id else "your account"
            return f"{owner} has no storage left on {endpoint}: delete what is not needed, or get more{detail}"
        if status == 403 and answer is error:  # during an upload, the storage refuses, not the Hub
            owner = repo_id.split("/")[0] if "/" in repo_id else "your account"
            return f"the token may not write to {owner}: use one with write access there{detail}"
        if status == 404:
            return f"not found on {endpoint}: check the name, and that the token may see it{detail}"
        if status in (409, 412):
            return f"another commit came first{detail}"
        if status == 429:
            return f"{endpoint} asks for fewer requests: wait a few minutes and push again{detail}"
        if status >= 500:
            return f"{endpoint} failed with {status}: try again later{detail}"
        if type(error) is ValueError:  # about the card's metadata; unlike the answer, it names the file
            return str(error)
        return f"{endpoint} answered {status}{detail}"
    if any(isinstance(link, OfflineModeIsEnabled) for link in chain):
        return "HF_HUB_OFFLINE is set: unset it to push"
    if lost := next(
        (link for link in chain if isinstance(link, HTTPError | ConnectionError | TimeoutError)), None
    ):
        return f"no answer from {endpoint}: check the network and HF_ENDPOINT ({str(lost) or type(lost).__name__})"
    if isinstance(error, json.JSONDecodeError):
        return f"{endpoint} did not answer in JSON: it is down, or not a Hub; check HF_ENDPOINT"
    return f"{type(error).__name__}: {error}"
