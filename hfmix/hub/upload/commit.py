"""Files of this machine and files of a repository: which differ, and one commit that makes them equal."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

# The Hub keeps larger files than this by their SHA-256, in its storage; smaller ones are held in memory here.
_SMALL = 10 * 1024 * 1024


class ChangedMeanwhileError(RuntimeError):
    """A file that is not any more what it was when the push began."""


@dataclass(frozen=True)
class LocalFile:
    """A file as it was when a push began, under its path in the repository."""

    name: str
    path: Path
    size: int
    sha256: str
    blob_id: str  # git's SHA-1, by which the Hub knows files outside its storage
    content: bytes | None  # of a small file: what was read is what is sent

    @classmethod
    def read(cls, folder: Path, name: str) -> "LocalFile":
        """The file `name` of `folder`, read once."""
        path = folder / name
        size = path.stat().st_size
        content = path.read_bytes() if size <= _SMALL else None
        size = size if content is None else len(content)
        hashes = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
        with path.open("rb") as file:
            for piece in [content] if content is not None else iter(lambda: file.read(1 << 20), b""):
                for hash_ in hashes:
                    hash_.update(piece)
        return cls(name, path, size, hashes[0].hexdigest(), hashes[1].hexdigest(), content)

    def equals(self, remote: Any) -> bool:
        """Whether a file of a repository, a huggingface_hub RepoFile, has the same content."""
        if remote is None:
            return False
        return remote.lfs.sha256 == self.sha256 if remote.lfs else remote.blob_id == self.blob_id

    def operation(self) -> "CommitOperationAdd":
        """Its part of a commit."""
        from huggingface_hub import CommitOperationAdd

        return CommitOperationAdd(self.name, self.path if self.content is None else self.content)


def files_at(api: "HfApi", repo_id: str, revision: str, token: str | bool) -> dict[str, Any]:
    """The files of a repository at a revision, huggingface_hub RepoFiles by their paths."""
    entries = api.list_repo_tree(repo_id, recursive=True, revision=revision, token=token)
    return {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}


def differing(files: Iterable[LocalFile], remote: Mapping[str, Any]) -> list[LocalFile]:
    """Those of `files` that the repository has not, or with another content."""
    return [file for file in files if not file.equals(remote.get(file.name))]


def commit(
    api: "HfApi",
    repo_id: str,
    files: list[LocalFile],
    *,
    message: str,
    revision: str | None,
    head: str,
    create_pr: bool,
    token: str,
) -> str | None:
    """Sends the files and then makes one commit of all of them on top of `head`; the pull request's URL, if any.

    The Hub refuses the commit, with 409 or 412, where `head` is not the branch's head any more: that of an
    attempt whose answer was lost, and which the Hub comes to later, cannot be followed by a second one.

    Raises:
        ChangedMeanwhileError: what was sent of a large file is not what `files` say; nothing is committed.
    """
    operations = [file.operation() for file in files]
    options = {"revision": revision, "create_pr": create_pr, "token": token}
    # Not upload_folder: with Xet it may cut a long upload into several commits, and where a later one fails, the
    # Hub is left with a new card on old weights.
    api.preupload_lfs_files(repo_id, operations, free_memory=False, **options)
    for file, operation in zip(files, operations, strict=True):
        if operation.upload_info.sha256.hex() != file.sha256:
            raise ChangedMeanwhileError(f"{file.path} changed while it was sent: push again when it is whole")
    done = api.create_commit(repo_id, operations, commit_message=message, parent_commit=head, **options)
    return done.pr_url
