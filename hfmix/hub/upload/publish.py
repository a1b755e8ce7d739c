"""Publication of a finished run on the Hub, in one commit."""

import re
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hfmix.hub.upload.commit import LocalFile, commit, differing, files_at
from hfmix.hub.upload.error_messages import reason, without_token
from hfmix.hub.upload.retry import Retry
from hfmix.hub.upload.run_checks import check_finished_run

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PATIENCE = 300.0


class PushError(RuntimeError):
    """Error for a push that the Hub refused, or that did not reach it: one line, without the token."""


def push_to_hub(
    run: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    token: str | None = None,
    patience: float = PATIENCE,
) -> str:
    """Sends a finished run to a model repository on the Hub and returns the repository's URL.

    The repository is created if it does not exist. The files named by `RUN_FILES` are sent in one commit: either
    all of them arrive or none does. Files that have not changed are not sent again, and no commit is made if
    nothing changed. Files that only the repository has are left there.

    Args:
        run: the run's folder.
        repo_id: "name" or "namespace/name".
        private: make the repository private if it is new; an existing one keeps its visibility.
        revision: a branch to push to instead of the default one; it is created if it does not exist.
        create_pr: propose the commit as a pull request to `revision`, and return the pull request's URL.
        commit_message: the commit's message; None names the folder.
        token: the token to use instead of the one that `hf auth login` or HF_TOKEN gives.
        patience: the seconds that may be lost to failures, and to the waits between them, before the push gives
            up. A temporary failure, such as 429, 5xx or a broken connection, is reported on standard error and
            tried again. If the answer to the commit was lost, the repository shows whether it was made, so that
            it is never made twice.

    Raises:
        ValueError: the folder is not a finished run (`check_finished_run`), or `repo_id` cannot be the name of
            a repository; nothing was sent.
        PushError: the Hub refused or did not answer, a file changed while it was sent, or the run was to be
            private and the repository is public. Nothing was committed.
    """
    run = Path(run)
    names = check_finished_run(run)
    return push_files(
        run,
        names,
        repo_id,
        private=private,
        revision=revision,
        create_pr=create_pr,
        commit_message=commit_message or f"Add the run {run.resolve().name}",
        token=token,
        patience=patience,
    )


def push_files(
    folder: Path,
    names: Sequence[str],
    repo_id: str,
    *,
    commit_message: str,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    token: str | None = None,
    patience: float = PATIENCE,
) -> str:
    """Sends the files `names` of a folder in one commit, without checking their content. See `push_to_hub`."""
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repo_id)
    files = [LocalFile.read(folder, name) for name in names]
    proposed: Set[str] | None = None  # the pull requests that existed before this push

    def push(api: "HfApi", token: str) -> str:
        nonlocal proposed
        url = api.create_repo(repo_id, private=private, exist_ok=True, token=token)
        id = url.repo_id
        if private:
            _check_private(api, id, token)
        if revision is not None and not create_pr and not revision.startswith("refs/"):
            api.create_branch(id, branch=revision, exist_ok=True, token=token)
        head = api.model_info(id, revision=revision, token=token).sha
        changed = differing(files, files_at(api, id, head, token))
        if create_pr and changed:
            open_now = _pull_requests(api, id, token)
            proposed = open_now.keys() if proposed is None else proposed
            for ref in open_now.keys() - proposed:
                if not differing(files, files_at(api, id, open_now[ref], token)):
                    return f"{url}/discussions/{ref.rsplit('/')[-1]}"
        if not changed:
            return str(url)
        options = {"revision": revision, "head": head, "create_pr": create_pr, "token": token}
        return commit(api, id, changed, message=commit_message, **options) or str(url)

    return _patiently(push, repo_id, token, patience)


def create_repository(
    repo_id: str, *, private: bool = False, token: str | None = None, patience: float = PATIENCE
) -> str:
    """Creates a model repository if it does not exist, and returns its full name, with the namespace.

    Raises:
        ValueError, PushError: see `push_to_hub`.
    """
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repo_id)

    def create(api: "HfApi", token: str) -> str:
        return api.create_repo(repo_id, private=private, exist_ok=True, token=token).repo_id

    return _patiently(create, repo_id, token, patience)


def _patiently(step: Callable[["HfApi", str], str], repo_id: str, token: str | None, patience: float) -> str:
    """Runs `step` with the Hub's client and a checked token, again after temporary failures; returns its result.

    Raises:
        PushError: it failed for good, or the patience has run out.
    """
    from huggingface_hub import HfApi

    api, retry, token = HfApi(library_name="hfmix"), Retry(patience), _resolved(token)
    try:
        _check_token(token)
        return retry.keep_trying(
            lambda: step(api, token), lambda error: reason(error, repo_id, api.endpoint, token)
        )
    except PushError as error:
        raise PushError(f"cannot push to {repo_id}: {error}") from None
    except Exception as error:  # httpx, hf_xet and huggingface_hub share no base class
        given_up = f" (given up after {retry.tries} tries)" if retry.tries > 1 else ""
        text = f"cannot push to {repo_id}: {reason(error, repo_id, api.endpoint, token)}{given_up}"
        raise PushError(text) from without_token(error, token)


@dataclass(frozen=True)
class PlannedFile:
    """A file that `push_to_hub` would consider: its size in bytes, and its state compared with the Hub's."""

    name: str
    size: int
    state: Literal["new", "changed", "unchanged"]


def push_plan(
    run: str | Path, repo_id: str, *, revision: str | None = None, token: str | None = None
) -> tuple[list[PlannedFile], str]:
    """Returns the files that `push_to_hub` would consider, and a line that says what they were compared with.

    Sends nothing. If the repository or the revision does not exist, or cannot be seen, all files are new.

    Raises:
        ValueError: as `push_to_hub` does.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import validate_repo_id

    run = Path(run)
    files = [LocalFile.read(run, name) for name in check_finished_run(run)]
    validate_repo_id(repo_id)
    api, token = HfApi(library_name="hfmix"), _resolved(token)
    if "/" not in repo_id:
        return _planned(files, {}), f"{repo_id} is a name without a namespace: not compared with the Hub"

    def look() -> dict:
        head = api.model_info(repo_id, revision=revision, token=token or False).sha
        return files_at(api, repo_id, head, token or False)

    where = f"{api.endpoint}/{repo_id}" + (f" at {revision}" if revision else "")
    try:
        remote = Retry(0).keep_trying(look, str)
    except Exception as error:
        return _planned(files, {}), f"compared with nothing: {reason(error, repo_id, api.endpoint, token)}"
    return _planned(files, remote), f"compared with {where}"


def _planned(files: list[LocalFile], remote: dict) -> list[PlannedFile]:
    changed = {file.name for file in differing(files, remote)}
    return [
        PlannedFile(
            file.name,
            file.size,
            "unchanged" if file.name not in changed else "changed" if file.name in remote else "new",
        )
        for file in files
    ]


def _resolved(token: str | None) -> str:
    """Returns the token, which is looked up once, to be checked and to be kept out of every message."""
    from huggingface_hub.utils import get_token_to_send

    return (get_token_to_send(token) or "").strip()


def _check_token(token: str) -> None:
    if not token:
        raise PushError("no token: log in with `hf auth login` or set HF_TOKEN")
    # httpx's error for such a token would quote it.
    if not re.fullmatch("[!-~]+", token):
        raise PushError("the token has spaces or characters that no token has: copy it again")


def _check_private(api: "HfApi", repo_id: str, token: str) -> None:
    if not api.model_info(repo_id, token=token).private:
        raise PushError(
            "the repository exists and is public, and the run was to be private: "
            "make it private in its settings on the Hub, or choose another name"
        )


def _pull_requests(api: "HfApi", repo_id: str, token: str) -> dict[str, str]:
    """Returns the head commit of each pull request, by its reference."""
    refs = api.list_repo_refs(repo_id, include_pull_requests=True, token=token)
    return {ref.ref: ref.target_commit for ref in refs.pull_requests or []}
