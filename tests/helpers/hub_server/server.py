"""What the tests' Hub speaks, {id} being namespace/name and {rev} a branch or a commit.

    GET  /api/whoami-v2                               POST /api/repos/create       POST /api/validate-yaml
    GET  /api/models/{id}[/revision/{rev}]            GET  /api/models/{id}/tree/{rev}?recursive=true
    GET  /api/models/{id}/refs                        POST /api/models/{id}/branch/{rev}
    POST /api/models/{id}/preupload/{rev}             POST /api/models/{id}/commit/{rev}
    HEAD, GET /{id}/resolve/{rev}/{path}              GET  /api/models/{id}/xet-write-token/{rev}, xet-read-token
    POST /{id}.git/info/lfs/objects/batch             POST /{id}.git/info/lfs/verify
    PUT, GET /lfs/{id}/{oid}                          the object storage's part, and so without a token

The address that Xet's tokens name is a folder: hf_xet then plays the content store itself, in that folder.
"""

import base64
import hashlib
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import yaml

from hub_server.store import GITATTRIBUTES, Repo, XetFile, front_matter, metadata_errors
from hub_server.wire import Answer, Fault, Handler, Refusal

WRITER = "hf_writer"
READER = "hf_reader"
TOKENS = {WRITER: {"name": "me", "can_write": ["me"]}, READER: {"name": "reader", "can_write": []}}

LFS_FROM_BYTES = 10 * 1024 * 1024
NEVER = "2026-01-01T00:00:00.000Z"


@dataclass
class Request:
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    user: dict | None  # whose token it carries

    def json(self) -> dict:
        return json.loads(self.body)


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
    """See the package. `tokens` maps a token to its user's name and the namespaces that it may write to.

    `faults` are what is still to go wrong, and `requests` lists what came, as "METHOD /path". A listing of a tree
    comes in pages of `page_size`.
    """

    page_size = 1000

    def __init__(self, tokens: dict[str, dict] | None = None) -> None:
        self.tokens = TOKENS if tokens is None else tokens
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.lock = threading.Lock()

    def __enter__(self) -> "HubServer":
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("HandlerOfHub", (Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self.http.server_port}"
        # Another host to the client, which takes a redirect within one host for the file itself.
        self.storage = f"http://localhost:{self.http.server_port}"
        self.folder = tempfile.TemporaryDirectory(prefix="hub_", ignore_cleanup_errors=True)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.folder.cleanup()

    def fault(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request; None where nothing does."""
        for fault in self.faults:
            if fault.times and fault.method == method and fault.path in path:
                fault.times -= 1
                return fault
        return None

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        try:
            token = headers.get("authorization", "").removeprefix("Bearer ")
            if token and token not in self.tokens:
                raise Refusal(401, "Invalid credentials in Authorization header")
            request = Request(query, headers, body, self.tokens.get(token))
            for verb, pattern, access, handle in ROUTES:
                if verb == method and (match := pattern.fullmatch(parts.path)):
                    arguments = {name: unquote(value) for name, value in match.groupdict().items() if value}
                    if access == "write" and "create_pr" in query:
                        access = "user"  # whoever may read may propose
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
        repo = self.repos[id] = Repo(id, asked.get("visibility") == "private", Path(self.folder.name, id))
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
        start, entries = int(request.query.get("cursor", 0)), repo.find(revision).tree()
        end, headers = start + self.page_size, {}
        if end < len(entries):
            following = (
                f"{self.endpoint}/api/models/{repo.id}/tree/{quote(revision, '')}?recursive=true&cursor={end}"
            )
            headers["Link"] = f'<{following}>; rel="next"'
        return Answer(200, entries[start:end], headers)

    @route("GET", "/api/models/{id}/refs", "read")
    def list_refs(self, request: Request, repo: Repo) -> Answer:
        refs = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
        for name, commits in repo.branches.items():
            is_proposed = name.startswith("refs/pr/")
            ref = {"name": name, "ref": name if is_proposed else f"refs/heads/{name}"}
            refs["pullRequests" if is_proposed else "branches"].append(ref | {"targetCommit": commits[-1].sha})
        if "include_prs" not in request.query:
            del refs["pullRequests"]
        return Answer(200, refs)

    @route("HEAD GET", "/{id}/resolve/{revision}/{path}", "read")
    def resolve(self, request: Request, repo: Repo, revision: str, path: str) -> Answer:
        commit = repo.find(revision)
        headers = {"X-Repo-Commit": commit.sha}
        if path not in commit.files:
            raise Refusal(404, "Entry not found", "EntryNotFound", **headers)
        entry = next(entry for entry in commit.tree() if entry["path"] == path)
        data, lfs = commit.files[path], entry.get("lfs")
        if lfs is None:
            return content(data, request, {**headers, "ETag": f'"{entry["oid"]}"'})
        headers |= {"X-Linked-Etag": f'"{lfs["oid"]}"', "X-Linked-Size": str(lfs["size"])}
        headers["ETag"] = headers["X-Linked-Etag"]
        if isinstance(data, XetFile):
            token = f"{self.endpoint}/api/models/{repo.id}/xet-read-token/{commit.sha}"
            headers |= {"X-Xet-Hash": data.hash, "Link": f'<{token}>; rel="xet-auth"'}
        return Answer(302, b"", {**headers, "Location": f"{self.storage}/lfs/{repo.id}/{lfs['oid']}"})

    @route("GET", "/api/models/{id}/xet-write-token/{revision}", "write")
    @route("GET", "/api/models/{id}/xet-read-token/{revision}", "read")
    def xet_token(self, request: Request, repo: Repo, revision: str) -> Answer:
        repo.find(revision)
        repo.xet.mkdir(parents=True, exist_ok=True)
        token = {"accessToken": "xet", "exp": int(time.time()) + 3600, "casUrl": f"local://{repo.xet}"}
        names = {"accessToken": "X-Xet-Access-Token", "exp": "X-Xet-Token-Expiration", "casUrl": "X-Xet-Cas-Url"}
        return Answer(200, token, {header: str(token[key]) for key, header in names.items()})

    @route("POST", "/api/models/{id}/branch/{branch}", "write")
    def create_branch(self, request: Request, repo: Repo, branch: str) -> Answer:
        if branch in repo.branches:
            raise Refusal(409, "Reference already exists")
        repo.branches[branch] = repo.history(repo.find(request.json().get("startingPoint", "main")))
        return Answer(200, {})

    @route("POST", "/api/models/{id}/preupload/{revision}", "write")
    def preupload(self, request: Request, repo: Repo, revision: str) -> Answer:
        known = {entry["path"]: entry for entry in repo.find(revision).tree()}
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

    @route("HEAD GET", "/lfs/{id}/{oid}")
    def lfs_get(self, request: Request, repo: Repo, oid: str) -> Answer:
        if "authorization" in request.headers:
            raise Refusal(400, "the storage has signed addresses, and must not be told the Hub's token")
        if oid not in repo.objects:
            raise Refusal(404, "no such object: what came by Xet can be had by Xet only, from this server")
        return content(repo.objects[oid], request, {"ETag": f'"{oid}"'})

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
                data = repo.uploaded(value["oid"], value["size"])
                if data is None:
                    raise Refusal(400, f"LFS pointer of {value['path']} points to nothing")
                files[value["path"]] = data
                lfs.add(value["path"])
            else:
                raise Refusal(400, f"this server does not speak {key}")
        proposed = {}
        if "create_pr" in request.query:
            number = 1 + sum(name.startswith("refs/pr/") for name in repo.branches)
            revision = f"refs/pr/{number}"
            repo.branches[revision] = repo.history(last)
            proposed["pullRequestUrl"] = f"{self.endpoint}/{repo.id}/discussions/{number}"
        done = repo.add(revision, header["summary"], files, frozenset(lfs))
        url = f"{self.endpoint}/{repo.id}/commit/{done.sha}"
        return Answer(
            200, {"success": True, "commitOid": done.sha, "commitUrl": url, "hookOutput": "", **proposed}
        )


def content(data: bytes, request: Request, headers: dict[str, str]) -> Answer:
    """A file, or the part of it that the request asks for."""
    if part := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
        first, last = int(part[1]), min(int(part[2] or len(data)), len(data) - 1)
        if first > last:
            raise Refusal(416, f"the file has {len(data)} bytes", **{"Content-Range": f"bytes */{len(data)}"})
        headers = {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return Answer(206, data[first : last + 1], headers)
    return Answer(200, data, {**headers, "Accept-Ranges": "bytes"})
