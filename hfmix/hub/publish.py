"""Sending a finished run to the Hub, in one commit."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hfmix.hub.connection import error_chain
from hfmix.run_folder import RUN_FILES

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Pickles run code when they are loaded, so they stay at home even where a pattern above would take them.
_PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})


class PushError(RuntimeError):
    """A push that the Hub, or the way to it, did not allow. Its text is one line without the token."""


def push_to_hub(
    run: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
    token: str | None = None,
) -> str:
    """Send a finished run to a model repository on the Hub and return the repository's URL.

    The repository is made if it is not there. The files named by `RUN_FILES` go up in one commit: either all
    of them arrive or none does. Files that have not changed are not sent again, and no commit is made where
    nothing changed. Files that only the repository has are left there.

    `run` is the run's folder, `repo_id` is "name" or "namespace/name". `private` makes a new repository
    private; an existing one keeps its visibility. `revision` names a branch other than the default one, which
    is made if it is not there. `token` stands in for the one that `hf auth login` or HF_TOKEN gives.

    A ValueError says that the folder is not a finished run, or that `repo_id` cannot be the name of a
    repository; nothing was sent then. A PushError says what the Hub refused, or that it did not answer; also
    that the run was to be private and the repository is public.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.utils import get_token_to_send, validate_repo_id

    run = Path(run)
    files = _files_of_finished_run(run)
    validate_repo_id(repo_id)
    api = HfApi(library_name="hfmix")
    try:
        # Resolved here, once, so that it can be checked, and kept out of every message below.
        token = (get_token_to_send(token) or "").strip()
        _check_token(token)
        url = api.create_repo(repo_id, private=private, exist_ok=True, token=token)
        if private:
            _check_private(api, url.repo_id, token)
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(url.repo_id, branch=revision, exist_ok=True, token=token)
        # Not upload_folder: with Xet it may cut a long upload into several commits, and where a later one
        # fails, the Hub is left with a new card on old weights.
        api.create_commit(
            url.repo_id,
            [CommitOperationAdd(path_in_repo=name, path_or_fileobj=run / name) for name in files],
            commit_message=commit_message or f"Add the run {run.resolve().name}",
            revision=revision,
            token=token,
        )
    except PushError as error:
        raise PushError(f"cannot push to {repo_id}: {error}") from None
    except Exception as error:  # httpx, hf_xet and huggingface_hub share no base class
        reason = _one_line(_reason(error, repo_id, api.endpoint), token)
        # A traceback prints its causes too: one that quotes the token, as an echoed header would, is cut off.
        cause = None if token and any(token in str(link) for link in error_chain(error)) else error
        raise PushError(f"cannot push to {repo_id}: {reason}") from cause
    return str(url)


def _files_of_finished_run(run: Path) -> list[str]:
    """The files to send, relative to the folder; a ValueError says what keeps the run from being finished."""
    if not run.is_dir():
        raise ValueError(f"{run} is not a folder: give the folder that a finished training run left")
    files = sorted(
        {
            path.relative_to(run).as_posix()
            for pattern in RUN_FILES
            for path in run.glob(pattern)
            if path.is_file() and path.suffix.lower() not in _PICKLES and not path.name.startswith(".")
        }
    )
    required = ["README.md", "config.json", "robustness.json", *_weight_files(run)]
    if missing := [name for name in required if name not in files]:
        raise ValueError(
            f"{run} is not a finished run, {' and '.join(missing)} missing: "
            "let `hfmix train` finish, then push the folder that it leaves"
        )
    return files


def _weight_files(run: Path) -> list[str]:
    """The files that hold the weights: one, or the shards that the index names."""
    index = run / "model.safetensors.index.json"
    if (run / "model.safetensors").exists() or not index.exists():
        return ["model.safetensors"]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{index} does not say which files hold the weights: save the model again") from None


def _check_token(token: str) -> None:
    if not token:
        raise PushError("no token: log in with `hf auth login` or set HF_TOKEN")
    # httpx answers such a token with an error that quotes it.
    if not re.fullmatch("[!-~]+", token):
        raise PushError("the token has spaces or characters that no token has: copy it once more")


def _check_private(api: "HfApi", repo_id: str, token: str) -> None:
    if not api.model_info(repo_id, token=token).private:
        raise PushError(
            "the repository exists and is public, and the run was to be private: "
            "make it private in its settings on the Hub, or choose another name"
        )


def _reason(error: BaseException, repo_id: str, endpoint: str) -> str:
    """What went wrong and what to do about it, in words."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    # An upload that fails in a thread arrives wrapped in a RuntimeError: what counts is further down.
    chain = error_chain(error)
    if answer := next((link for link in chain if isinstance(link, HfHubHTTPError)), None):
        status = answer.response.status_code
        said = f" ({answer.server_message})" if answer.server_message else ""
        if status == 401:
            return f"{endpoint} does not accept the token: log in with `hf auth login` or set HF_TOKEN{said}"
        if status == 403 and answer is error:  # in an upload, it is the storage that refuses, not the Hub
            owner = repo_id.split("/")[0] if "/" in repo_id else "your account"
            return f"the token may not write to {owner}: use one with write access there{said}"
        if status == 404:
            return f"not found on {endpoint}: check the name, and that the token may see it{said}"
        if status == 429:
            return f"{endpoint} asks for fewer requests: wait some minutes and push again{said}"
        if status >= 500:
            return f"{endpoint} failed with {status}: try again later{said}"
        if type(error) is ValueError:  # the card's metadata: this text, unlike the answer, names the file
            return str(error)
        return f"{endpoint} answered {status}{said}"
    if any(isinstance(link, OfflineModeIsEnabled) for link in chain):
        return "HF_HUB_OFFLINE is set: unset it to push"
    if lost := next((link for link in chain if isinstance(link, HTTPError)), None):
        return f"no answer from {endpoint}: check the network and HF_ENDPOINT ({lost})"
    if isinstance(error, json.JSONDecodeError):
        return f"{endpoint} did not answer in JSON: it is down, or not a Hub; check HF_ENDPOINT"
    return f"{type(error).__name__}: {error}"


def _one_line(text: str, token: str) -> str:
    return " ".join((text.replace(token, "***") if token else text).split())
