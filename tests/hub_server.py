"""A Hub for tests: a local server that speaks the Hub's protocol to an unmodified huggingface_hub.

Nothing needs to know of it: a process that starts with HF_ENDPOINT set to `hub.endpoint` talks to it, with
HF_HUB_DISABLE_XET=1 for now. It listens on this machine only, and keeps everything in memory.

    with HubServer() as hub:
        ...                                           # push with HF_ENDPOINT=hub.endpoint, HF_TOKEN=WRITER
        hub.repos["me/digits"].commits[-1].files      # {path: bytes}

What it speaks, {id} being namespace/name and {rev} a branch or a commit:

    GET  /api/whoami-v2                               POST /api/repos/create       POST /api/validate-yaml
    GET  /api/models/{id}[/revision/{rev}]            GET  /api/models/{id}/tree/{rev}?recursive=true
    POST /api/models/{id}/branch/{rev}                POST /api/models/{id}/preupload/{rev}
    POST /api/models/{id}/commit/{rev}                HEAD, GET /{id}/resolve/{rev}/{path}
    POST /{id}.git/info/lfs/objects/batch             POST /{id}.git/info/lfs/verify
    PUT  /lfs/{id}/{oid}                              the object storage's part, and so without a token
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

WRITER = "hf_writer"
READER = "hf_reader"
TOKENS = {WRITER: {"name": "me", "can_write": ["me"]}, READER: {"name": "reader", "can_write": []}}

# The Hub's first commit to a new repository; which files go through LFS is read from here.
GITATTRIBUTES = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % kind
    for kind in (b"bin", b"ckpt", b"npz", b"onnx", b"pkl", b"pt", b"pth", b"safetensors", b"zip")
)
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n"
LFS_FROM_BYTES = 10 * 1024 * 1024
NEVER = "2026-01-01T00:00:00.000Z"


@dataclass
class Commit:
    sha: str
    message: str
    files: dict[str, bytes]
    lfs: frozenset[str]  # the paths that went through LFS


@dataclass
class Repo:
    id: str
    private: bool
    branches: dict[str, list[Commit]] = field(default_factory=lambda: {"main": []})
    objects: dict[str, bytes] = field(default_factory=dict)  # LFS objects by their SHA-256

    @property
    def commits(self) -> list[Commit]:
        """The default branch, oldest first."""
        return self.branches["main"]

    def add(self, branch: str, message: str, files: dict[str, bytes], lfs: frozenset[str]) -> Commit:
        commits = self.branches[branch]
        parent = commits[-1].sha if commits else ""
        content = [(path, hashlib.sha1(data).hexdigest()) for path, data in sorted(files.items())]
        sha = hashlib.sha1(repr((self.id, parent, message, content)).encode()).hexdigest()
        commits.append(Commit(sha, message, files, lfs))
        return commits[-1]

    def find(self, revision: str) -> Commit:
        if revision in self.branches:
            return self.branches[revision][-1]
        for commits in self.branches.values():
            for commit in commits:
                if commit.sha == revision:
                    return commit
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")


@dataclass
class Request:
    query: dict[str, str]
    body: bytes
    user: dict | None  # whose token it carries

    def json(self) -> dict:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    body: object = b""  # bytes as they are, anything else as JSON
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818
    """Ends the handling of a request with an error as the Hub words it."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        headers = headers | ({"X-Error-Code": code} if code else {}) | {"X-Error-Message": message}
        self.answer = Answer(status, {"error": message}, headers)


@dataclass
class Fault:
    """Answers the next `times` requests of this method whose path contains `path`, in the server's stead."""

    method: str
    path: str
    answer: Answer
    times: int = 1


ROUTES: list[tuple[str, re.Pattern[str], str, Callable[..., Answer]]] = []


def route(methods: str, path: str, access: str = "") -> Callable:
    """Registers a method of HubServer. access: "", or what the token must allow: "user", "read" or "write".

    {id} in the path becomes the Repo that is given to the method, other names become strings.
    """
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.replace("{id}", r"(?P<id>[^/]+/[^/]+?)"))
    pattern = re.compile(pattern.replace("(?P<path>[^/]+)", "(?P<path>.+)"))

    def register(handle: Callable[..., Answer]) -> Callable[..., Answer]:
        ROUTES.extend((method, pattern, access, handle) for method in methods.split())
        return handle

    return register


class HubServer:
    """See the module. `tokens` maps a token to its user's name and the namespaces that it may write to.

    `faults` is consulted before each request, and `requests` lists those that came, as "METHOD /path".
    """

    def __init__(self, tokens: dict[str, dict] | None = None) -> None:
        self.tokens = TOKENS if tokens is None else tokens
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.lock = threading.Lock()

    def __enter__(self) -> "HubServer":
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        self.requests.append(f"{method} {parts.path}")
        for fault in self.faults:
            if fault.times and fault.method == method and fault.path in parts.path:
                fault.times -= 1
                return fault.answer
        try:
            token = headers.get("authorization", "").removeprefix("Bearer ")
            if token and token not in self.tokens:
                raise Refusal(401, "Invalid credentials in Authorization header")
            request = Request(query, body, self.tokens.get(token))
            for verb, pattern, access, handle in ROUTES:
                if verb == method and (match := pattern.fullmatch(parts.path)):
                    arguments = {name: unquote(value) for name, value in match.groupdict().items() if value}
                    if access == "user" and request.user is None:
                        raise Refusal(401, "Invalid username or password.")
                    if "id" in arguments:
                        arguments["repo"] = self.repo_for(request.user, arguments.pop("id"), access)
                    return handle(self, request, **arguments)
            raise Refusal(404, f"this server does not speak {method} {parts.path}")
        except Refusal as refusal:
            return refusal.answer

    def repo_for(self, user: dict | None, id: str, access: str) -> Repo:
        repo = self.repos.get(id)
        writes = user is not None and id.split("/")[0] in user["can_write"]
        if repo is None or (repo.private and access and not writes):
            if user is None:  # who is not logged in is not told whether there is such a repository
                raise Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if access == "write" and user is None:
            raise Refusal(401, "Invalid username or password.")
        if access == "write" and not writes:
            raise Refusal(403, "Forbidden: you must use a write token to upload to a repository.")
        return repo

    @route("GET", "/api/whoami-v2", "user")
    def whoami(self, request: Request) -> Answer:
        role = "write" if request.user["can_write"] else "read"
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        orgs = [{"name": name} for name in request.user["can_write"] if name != request.user["name"]]
        return Answer(200, {"type": "user", "name": request.user["name"], "orgs": orgs, "auth": auth})

    @route("POST", "/api/repos/create", "user")
    def create_repo(self, request: Request) -> Answer:
        asked = request.json()
        owner = asked.get("organization") or request.user["name"]
        if asked.get("type", "model") != "model":
            raise Refusal(400, "this server holds models only")
        if owner not in request.user["can_write"]:
            raise Refusal(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
        id = f"{owner}/{asked['name']}"
        body = {"url": f"{self.endpoint}/{id}", "name": id}
        if id in self.repos:
            return Answer(409, {"error": "You already created this model repo", **body})
        repo = self.repos[id] = Repo(id, private=asked.get("visibility") == "private")
        repo.add("main", "initial commit", {".gitattributes": GITATTRIBUTES}, frozenset())
        return Answer(200, body)

    @route("POST", "/api/validate-yaml")
    def validate_yaml(self, request: Request) -> Answer:
        try:
            data = front_matter(request.json()["content"])
        except yaml.YAMLError as error:
            data, errors = None, [str(error)]
        else:
            errors = metadata_errors(data)
        empty = [] if data or errors else [{"message": "empty or missing yaml metadata in repo card"}]
        answers = [{"message": message} for message in errors]
        return Answer(400 if errors else 200, {"errors": answers, "warnings": empty})

    @route("GET", "/api/models/{id}", "read")
    @route("GET", "/api/models/{id}/revision/{revision}", "read")
    def model_info(self, request: Request, repo: Repo, revision: str = "main") -> Answer:
        commit = repo.find(revision)
        card = front_matter(commit.files.get("README.md", b"").decode()) or {}
        files = [{"rfilename": path} for path in sorted(commit.files)]
        info = {"id": repo.id, "modelId": repo.id, "author": repo.id.split("/")[0], "sha": commit.sha}
        info |= {"private": repo.private, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
        info |= {"lastModified": NEVER, "createdAt": NEVER, "siblings": files, "tags": card.get("tags", [])}
        info |= {key: card[key] for key in ("library_name", "pipeline_tag", "model-index") if key in card}
        return Answer(200, info | ({"cardData": card} if card else {}))

    @route("GET", "/api/models/{id}/tree/{revision}", "read")
    def list_tree(self, request: Request, repo: Repo, revision: str) -> Answer:
        if request.query.get("recursive") != "true":
            raise Refusal(400, "this server lists whole trees only")
        return Answer(200, tree(repo.find(revision)))

    @route("HEAD GET", "/{id}/resolve/{revision}/{path}", "read")
    def resolve(self, request: Request, repo: Repo, revision: str, path: str) -> Answer:
        commit = repo.find(revision)
        if path not in commit.files:
            raise Refusal(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": commit.sha})
        entry = next(entry for entry in tree(commit) if entry["path"] == path)
        # LFS files are sent from here too: the client takes a redirect to the same host for the file itself.
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        return Answer(200, commit.files[path], {"X-Repo-Commit": commit.sha, "ETag": f'"{etag}"'})

    @route("POST", "/api/models/{id}/branch/{branch}", "write")
    def create_branch(self, request: Request, repo: Repo, branch: str) -> Answer:
        if branch in repo.branches:
            raise Refusal(409, "Reference already exists")
        start = repo.find(request.json().get("startingPoint", "main"))
        history = next(commits for commits in repo.branches.values() if start in commits)
        repo.branches[branch] = history[: history.index(start) + 1]
        return Answer(200, {})

    @route("POST", "/api/models/{id}/preupload/{revision}", "write")
    def preupload(self, request: Request, repo: Repo, revision: str) -> Answer:
        known = {entry["path"]: entry for entry in tree(repo.find(revision))}
        attributes = repo.find(revision).files.get(".gitattributes", b"").decode().splitlines()
        patterns = [line.split()[0] for line in attributes if "filter=lfs" in line]
        files = []
        for file in request.json()["files"]:
            name = file["path"].rsplit("/")[-1]
            lfs = file["size"] > LFS_FROM_BYTES or any(fnmatch(name, pattern) for pattern in patterns)
            answer = {"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            if entry := known.get(file["path"]):
                answer["oid"] = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
            files.append(answer)
        return Answer(200, {"files": files})

    @route("POST", r"/{id}\.git/info/lfs/objects/batch", "write")
    def lfs_batch(self, request: Request, repo: Repo) -> Answer:
        objects = []
        for wanted in request.json()["objects"]:
            if wanted["oid"] not in repo.objects:  # no actions: the object is here already
                upload = {"href": f"{self.endpoint}/lfs/{repo.id}/{wanted['oid']}", "header": {}}
                verify = {"href": f"{self.endpoint}/{repo.id}.git/info/lfs/verify"}
                wanted = wanted | {"actions": {"upload": upload, "verify": verify}}
            objects.append(wanted)
        return Answer(200, {"transfer": "basic", "objects": objects})

    @route("PUT", "/lfs/{id}/{oid}")
    def lfs_put(self, request: Request, repo: Repo, oid: str) -> Answer:
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise Refusal(400, "the content does not have the SHA-256 that it was announced with")
        repo.objects[oid] = request.body
        return Answer()

    @route("POST", r"/{id}\.git/info/lfs/verify", "write")
    def lfs_verify(self, request: Request, repo: Repo) -> Answer:
        wanted = request.json()
        if len(repo.objects.get(wanted["oid"], b"")) != wanted["size"]:
            raise Refusal(404, "no such object of that size")
        return Answer()

    @route("POST", "/api/models/{id}/commit/{revision}", "write")
    def commit(self, request: Request, repo: Repo, revision: str) -> Answer:
        if revision not in repo.branches:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        last = repo.find(revision)
        files, lfs, header = dict(last.files), set(last.lfs), {}
        for line in request.body.splitlines():
            key, value = (item := json.loads(line))["key"], item["value"]
            if key == "header":
                header = value
                if value.get("parentCommit", last.sha) != last.sha:
                    raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"], validate=True)
                lfs.discard(value["path"])
            elif key == "lfsFile":
                if value["oid"] not in repo.objects:
                    raise Refusal(400, f"LFS pointer of {value['path']} points to nothing")
                files[value["path"]] = repo.objects[value["oid"]]
                lfs.add(value["path"])
            else:
                raise Refusal(400, f"this server does not speak {key}")
        done = repo.add(revision, header["summary"], files, frozenset(lfs))
        url = f"{self.endpoint}/{repo.id}/commit/{done.sha}"
        return Answer(200, {"success": True, "commitOid": done.sha, "commitUrl": url, "hookOutput": ""})


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def tree(commit: Commit) -> list[dict]:
    """The commit's files as the tree listing words them."""
    entries = []
    for path, data in sorted(commit.files.items()):
        entry = {"type": "file", "path": path, "size": len(data), "oid": git_oid(data)}
        if path in commit.lfs:
            oid = hashlib.sha256(data).hexdigest()
            pointer = LFS_POINTER % (oid.encode(), len(data))
            entry["oid"] = git_oid(pointer)
            entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": len(pointer)}
        entries.append(entry)
    return entries


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


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"  # keeps connections open, as the client expects

    def _respond(self) -> None:
        # The body is read before anything is answered: on a kept connection it would be the next request.
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.hub.lock:
            answer = self.hub.answer(self.command, self.path, headers, body)
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body, default=str).encode()
        kind = "application/octet-stream" if isinstance(answer.body, bytes) else "application/json"
        self.send_response(answer.status)
        described = {"Content-Type": kind, "Content-Length": str(len(content))}
        for name, value in (described | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = _respond  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keeps the tests' output to the tests."""
