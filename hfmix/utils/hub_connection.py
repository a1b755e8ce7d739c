"""The connection to the Hub: whether it is there, and the errors of failed downloads."""

import socket
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies


@cache
def hub_reachable() -> bool:
    """Returns whether the Hub's name resolves, or a proxy is set; checked once per process.

    Without a network the client would retry for half a minute before it gives up, and only its cache can serve.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    url = urlsplit(constants.ENDPOINT)
    if url.scheme in getproxies():
        return True
    try:
        socket.getaddrinfo(url.hostname, url.port or url.scheme)
    except OSError:
        return False
    return True


def hub_error(error: Exception, what: str) -> Exception:
    """Returns a one-line error for a failed download of `what`: no connection, or nothing of that name.

    Any other error is returned as it is.
    """
    names = {type(cause).__name__ for cause in error_chain(error)}
    if names & {"RepositoryNotFoundError", "GatedRepoError", "RevisionNotFoundError", "DatasetNotFoundError"}:
        return ValueError(
            f"the Hub has no {what} that you may read: check the name, or log in with `hf auth login`"
        )
    if not hub_reachable() or names & {"ConnectError", "ConnectTimeout", "ConnectionError"}:
        return no_connection(what)
    return error


def no_connection(what: str) -> ConnectionError:
    """Returns the error for `what` being on the Hub, which cannot be reached."""
    from huggingface_hub import constants

    return ConnectionError(
        f"no connection to the Hub ({constants.ENDPOINT}), which {what} needs: "
        f"check the network, or give a folder on this machine"
    )


def error_chain(error: BaseException | None) -> list[BaseException]:
    """Returns the error and those it was raised from, outermost first."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
