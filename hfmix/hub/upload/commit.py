"""Local files and those of a repository: their differences, and one commit that uploads them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

# The Hub keeps files larger than this in its storage, by their SHA-256; smaller files are held in memory here.
_SMALL = 10 * 1024 * 1024


class ChangedMeanwhileError(RuntimeError):
    """Error for a file that changed after the push began."""


@dataclass(frozen=True)
class LocalFile:
    """A local file as it was when the push began; `name` is its path in the repository."""

    name: str
    path: Path
    size: int
    sha256: str
    blob_id: str  # git's SHA-1, by which the Hub identifies files outside its storage
    content: bytes | None  # of a small file, so that what was read is what is sent

    @classmethod
    def read(cls, folder: Path, name: str) -> "LocalFile":
        """Reads the file `name` of `folder` once, for its content and its hashes."""
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
        """Returns whether a repository's file, a huggingface_hub RepoFile, has the same content."""
        if remote is None:
            return False
        return remote.lfs.sha256 == self.sha256 if remote.lfs else remote.blob_id == self.blob_id

    def operation(self) -> "CommitOperationAdd":
        """Returns the operation that adds the file in a commit."""
        from huggingface_hub import CommitOperationAdd

        return CommitOperationAdd(self.name, self.path if self.content is None else self.content)


def files_at(api: "HfApi", repo_id: str, revision: str, token: str | bool) -> dict[str, Any]:
    """Returns the files of a repository at a revision: huggingface_hub RepoFiles by path."""
    entries = api.list_repo_tree(repo_id, recursive=True, revision=revision, token=token)
    return {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}


def differing(files: Iterable[LocalFile], remote: Mapping[str, Any]) -> list[LocalFile]:
    """Returns the files that the repository lacks, or holds with other content."""
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
    """Sends the files, then makes one commit of all of them on top of `head`.

    The Hub refuses the commit, with 409 or 412, if `head` is no longer the branch's head. So a commit is never
    made twice, even if the answer to an attempt is lost and the Hub carries it out after the retry.

    Returns:
        The URL of the pull request, if one was asked for.

    Raises:
        ChangedMeanwhileError: a large file was changed while it was sent; nothing is committed.
    """
    operations = [file.operation() for file in files]
    options = {"revision": revision, "create_pr": create_pr, "token": token}
    # Not upload_folder: with Xet it may split a long upload into several commits, and if a later one fails, the
    # Hub is left with a new card on old weights.
    api.preupload_lfs_files(repo_id, operations, free_memory=False, **options)
    for file, operation in zip(files, operations, strict=True):
        if operation.upload_info.sha256.hex() != file.sha256:
            raise ChangedMeanwhileError(f"{file.path} changed while it was sent: push again when it is whole")
    made = api.create_commit(repo_id, operations, commit_message=message, parent_commit=head, **options)
    return made.pr_url
