"""What the tests' Hub holds: repositories, their branches and commits, and the files in these."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from hub_server.wire import Refusal

# The Hub's first commit to a new repository; which files go through LFS is read from here.
GITATTRIBUTES = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % kind
    for kind in (b"bin", b"ckpt", b"npz", b"onnx", b"pkl", b"pt", b"pth", b"safetensors", b"zip")
)
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n"


@dataclass(frozen=True)
class XetFile:
    """A file whose content lies in hf_xet's own store."""

    sha256: str
    size: int
    hash: str


@dataclass
class Commit:
    sha: str
    message: str
    files: dict[str, bytes | XetFile]
    lfs: frozenset[str]  # the paths that went through LFS or Xet

    def tree(self) -> list[dict]:
        """The files as the tree listing words them."""
        entries = []
        for path, data in sorted(self.files.items()):
            size = data.size if isinstance(data, XetFile) else len(data)
            entry = {"type": "file", "path": path, "size": size}
            if path in self.lfs:
                oid = data.sha256 if isinstance(data, XetFile) else hashlib.sha256(data).hexdigest()
                pointer = LFS_POINTER % (oid.encode(), size)
                entry["oid"] = git_oid(pointer)
                entry["lfs"] = {"oid": oid, "size": size, "pointerSize": len(pointer)}
                if isinstance(data, XetFile):
                    entry["xetHash"] = data.hash
            else:
                entry["oid"] = git_oid(data)
            entries.append(entry)
        return entries


@dataclass
class Repo:
    id: str
    private: bool
    xet: Path  # where hf_xet keeps the content of this repository's files
    branches: dict[str, list[Commit]] = field(default_factory=lambda: {"main": []})
    objects: dict[str, bytes] = field(default_factory=dict)  # LFS objects by their SHA-256

    @property
    def commits(self) -> list[Commit]:
        """The default branch, oldest first."""
        return self.branches["main"]

    def add(self, branch: str, message: str, files: dict[str, bytes | XetFile], lfs: frozenset[str]) -> Commit:
        commits = self.branches[branch]
        made = Commit("", message, files, lfs)
        content = [self.id, commits[-1].sha if commits else "", message, made.tree()]
        made.sha = hashlib.sha1(json.dumps(content).encode()).hexdigest()
        commits.append(made)
        return made

    def find(self, revision: str) -> Commit:
        if revision in self.branches:
            return self.branches[revision][-1]
        for commits in self.branches.values():
            for commit in commits:
                if commit.sha == revision:
                    return commit
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, start: Commit) -> list[Commit]:
        """A new branch that ends in this commit."""
        commits = next(commits for commits in self.branches.values() if start in commits)
        return commits[: commits.index(start) + 1]

    def uploaded(self, oid: str, size: int) -> bytes | XetFile | None:
        """The object with this SHA-256, whichever way it came; None where it did not."""
        if oid in self.objects:
            return self.objects[oid]
        found = stored_in_xet(self.xet).get(oid)
        return XetFile(oid, size, found) if found else None


def stored_in_xet(folder: Path) -> dict[str, str]:
    """The Xet hash of each file in a local store of hf_xet, by the file's SHA-256, read from its shards.

    A shard's file section starts at byte 48. An entry is a head of 48 bytes (the file's hash, flags and the number
    of segments as 32-bit integers, 8 bytes unused; a hash of ones ends the section), then 48 bytes a segment, the
    same once more for verification where the flags have bit 31, then, where they have bit 30, 48 bytes that begin
    with the SHA-256. A hash prints as four 64-bit integers, their bytes the other way round.
    """
    found = {}
    for shard in folder.rglob("*.mdb"):
        data, at = shard.read_bytes(), 48
        while len(data) >= at + 48 and data[at : at + 32] != b"\xff" * 32:
            name = _printed(data[at : at + 32])
            flags, segments = (int.from_bytes(data[at + i : at + i + 4], "little") for i in (32, 36))
            at += 48 * (1 + segments * (2 if flags & 1 << 31 else 1))
            if flags & 1 << 30:
                found[_printed(data[at : at + 32])] = name
                at += 48
    return found


def _printed(hash_: bytes) -> str:
    return b"".join(hash_[i : i + 8][::-1] for i in range(0, 32, 8)).hex()


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def front_matter(text: str) -> dict | None:
    """The YAML between the dashes on top of a card, None where there is none."""
    match = re.match(r"\s*---\r?\n(.*?)\r?\n---\s*(\n|$)", text, re.DOTALL)
    return yaml.safe_load(match[1]) if match else None


def metadata_errors(data: object) -> list[str]:
    """What the Hub would refuse in a card's metadata, as far as hfmix writes it."""
    if not isinstance(data, dict | None):
        return ["the metadata must be a mapping"]
    data = data or {}
    errors = [
        f'"{key}" must be {"a string" if kind is str else "an array"}'
        for key, kind in {"library_name": str, "pipeline_tag": str, "tags": list, "model-index": list}.items()
        if key in data and not isinstance(data[key], kind)
    ]
    for i, model in enumerate(data.get("model-index", []) if not errors else []):
        needed = [(f"model-index[{i}]", model, "name results")]
        for j, result in enumerate(model.get("results", [])):
            where = f"model-index[{i}].results[{j}]"
            needed += [(f"{where}.task", result.get("task", {}), "type")]
            needed += [(f"{where}.dataset", result.get("dataset", {}), "type name")]
            metrics = enumerate(result.get("metrics") or [{}])
            needed += [(f"{where}.metrics[{k}]", metric, "type value") for k, metric in metrics]
        for where, part, keys in needed:
            errors += [f'"{where}.{key}" is required' for key in keys.split() if key not in part]
    return errors
