"""A Hub for the tests: it speaks the real one's protocol to the real client, and keeps everything in memory.

It follows what huggingface_hub sends: who am I, create a repository, check a card, preupload, upload large files by
git LFS, commit, tag, and resolve a file at a branch, a tag or a commit.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants
from huggingface_hub.utils import close_session

WRITER = "hf_aTokenThatMayWrite"
READER = "hf_aTokenThatMayOnlyRead"
STRANGER = "hf_aTokenThatNobodyKnows"
ROLES = {WRITER: "write", READER: "read"}

LARGE = (".safetensors", ".gif", ".parquet", ".tar")  # what goes by LFS


@dataclass
class Repository:
    """What the Hub keeps of one: the files of every commit, and the names of some commits."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # in order
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str | None:
        return next(reversed(self.commits), None)

    def files(self, revision: str) -> dict[str, bytes] | None:
        """The files at a revision; None where there is no such revision."""
        if revision == "main":
            return self.commits[self.head] if self.head else {}
        return self.commits.get(self.tags.get(revision, revision))


class Hub(ThreadingHTTPServer):
    """The server. `repositories` is what it keeps, `requests` what it was asked, in order.

    Set `refuse["word"] = 403` to refuse every request with that word in its path, or (403, "GatedRepo") to
    say why, and `break_off = "word"` to hang up in the middle of one that is being sent.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Repository] = {}
        self.uploaded: dict[str, bytes] = {}  # large files by SHA-256
        self.requests: list[str] = []
        self.refuse: dict[str, int | tuple[int, str]] = {}
        self.break_off: str | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""

    def count(self, word: str) -> int:
        """How many requests had that word in them."""
        return sum(word in request for request in self.requests)


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub that answers until the end of the block."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def turn_to(address: str, monkeypatch: Any) -> None:
    """Turn the client in this process to a server."""
    close_session()
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


class Refusal(Exception):
    """An answer that is an error: its status, and the Hub's code for it."""

    def __init__(self, status: int, code: str = "", message: str = ""):
        self.status, self.headers = status, {"X-Error-Code": code, "X-Error-Message": message}


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would hold every answer back for 40 ms

    def log_message(self, *_: object) -> None:
        """Nothing on stderr: the tests look for tokens there."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        if self.server.break_off and self.server.break_off in path:
            self.rfile.read(100)
            self.connection.close()
            self.close_connection = True
            return
        body = self.body()
        try:
            for word, why in self.server.refuse.items():
                if word in path:
                    raise Refusal(*(why if isinstance(why, tuple) else (why,)))
            for method, pattern, answer in ROUTES:
                if self.command in method and (match := re.fullmatch(pattern, path)):
                    answer(self, body, **match.groupdict(""))
                    return
            raise Refusal(404)
        except Refusal as refusal:
            self.answer(b"{}", refusal.status, **refusal.headers)

    do_HEAD = do_POST = do_PUT = do_GET

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, content: bytes | dict[str, Any], status: int = 200, **headers: str) -> None:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def role(self) -> str | None:
        """What the request's token may do; None without a token, and a wrong one is refused."""
        sent = self.headers.get("Authorization")
        if sent is None:
            return None
        if sent.removeprefix("Bearer ") not in ROLES:
            raise Refusal(401, message="Invalid credentials in Authorization header")
        return ROLES[sent.removeprefix("Bearer ")]

    def must_write(self) -> None:
        role = self.role()
        if role != "write":
            raise Refusal(403 if role else 401)

    def repository(self, repo: str) -> Repository:
        repository = self.server.repositories.get(repo)
        if repository is None or (repository.private and not self.role()):
            raise Refusal(404 if self.role() else 401, "RepoNotFound")
        return repository

    def who_am_i(self, body: bytes) -> None:
        role = self.role() or ""
        if not role:
            raise Refusal(401)
        token = {"displayName": "a token", "role": role}
        self.answer({"type": "user", "name": "user", "auth": {"type": "access_token", "accessToken": token}})

    def create(self, body: bytes) -> None:
        self.must_write()
        wanted = json.loads(body)
        kind = "datasets/" if wanted.get("type") == "dataset" else ""
        repo = f"{kind}{wanted['organization']}/{wanted['name']}"
        url = {"url": f"{self.server.address}/{repo}"}
        if repo in self.server.repositories:
            self.answer(url, 409)
        else:
            self.server.repositories[repo] = Repository(wanted.get("visibility") == "private")
            self.answer(url)

    def describe(self, body: bytes, repo: str, revision: str = "main") -> None:
        repository = self.repository(repo)
        siblings = [{"rfilename": path} for path in repository.files(revision) or {}]
        name = repo.removeprefix("datasets/")
        self.answer({"id": name, "private": repository.private, "sha": repository.head, "siblings": siblings})

    def tree(self, body: bytes, repo: str, revision: str, folder: str = "") -> None:
        """The files in a folder, and the folders in it or else, where that is asked for, the files below those."""
        files = self.repository(repo).files(revision) or {}
        start = f"{folder}/" if folder else ""
        found: dict[str, dict[str, Any]] = {}
        for path, content in files.items():
            if path.startswith(start):
                below = start + path.removeprefix(start).split("/")[0]
                if below == path or "recursive=true" in self.path.lower():
                    found[path] = {"type": "file", "path": path, "size": len(content), "oid": etag(path, content)}
                else:
                    found[below] = {"type": "directory", "path": below, "oid": etag(below, b"")}
        self.answer(json.dumps(list(found.values())).encode())

    def check_card(self, body: bytes) -> None:
        valid = json.loads(body)["content"].startswith("---\n")
        self.answer({"errors": [], "warnings": []}, 200 if valid else 400)

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        self.must_write()
        there = self.repository(repo).files(revision) or {}
        answers = []
        for file in json.loads(body)["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith(LARGE) else "regular"
            oid = {"oid": etag(path, there[path])} if path in there else {}
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False} | oid)
        self.answer({"files": answers})

    def lfs_batch(self, body: bytes, repo: str) -> None:
        self.must_write()
        self.repository(repo)
        objects = []
        for wanted in json.loads(body)["objects"]:
            upload = {"upload": {"href": f"{self.server.address}/lfs/{wanted['oid']}"}}
            missing = wanted["oid"] not in self.server.uploaded
            objects.append(wanted | ({"actions": upload} if missing else {}))
        self.answer({"transfer": "basic", "objects": objects})

    def lfs_upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refusal(400)
        self.server.uploaded[oid] = body
        self.answer(b"")

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        self.must_write()
        repository = self.repository(repo)
        files = dict(repository.files(revision) or {})
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.server.uploaded[value["oid"]]
        oid = hashlib.sha1(f"{repo} {len(repository.commits)}".encode()).hexdigest()
        repository.commits[oid] = files
        self.answer({"commitUrl": f"{self.server.address}/{repo}/commit/{oid}", "commitOid": oid})

    def tag(self, body: bytes, repo: str, revision: str) -> None:
        self.must_write()
        repository, name = self.repository(repo), json.loads(body)["tag"]
        if name in repository.tags:
            raise Refusal(409)
        repository.tags[name] = repository.head or "" if revision == "main" else revision
        self.answer(b"")

    def resolve(self, body: bytes, repo: str, revision: str, path: str) -> None:
        self.role()
        repository = self.repository(repo)
        files = repository.files(revision)
        if files is None:
            raise Refusal(404, "RevisionNotFound")
        if path not in files:
            raise Refusal(404, "EntryNotFound")
        commit = (repository.head or "") if revision == "main" else repository.tags.get(revision, revision)
        self.answer(files[path], ETag=f'"{etag(path, files[path])}"', **{"X-Repo-Commit": commit})


def etag(path: str, content: bytes) -> str:
    """SHA-256 for large files, git's SHA-1 for the others."""
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


MODEL = r"/api/(?:models/(?=[^/]+/)|(?=datasets/))(?P<repo>(?:datasets/)?[^/]+/[^/]+)"
ROUTES = [
    ("GET", "/api/whoami-v2", Handler.who_am_i),
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.check_card),
    ("GET", MODEL, Handler.describe),
    ("GET", MODEL + "/revision/(?P<revision>.+)", Handler.describe),
    ("GET", MODEL + "/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", Handler.tree),
    ("POST", MODEL + "/preupload/(?P<revision>.+)", Handler.preupload),
    ("POST", MODEL + "/commit/(?P<revision>.+)", Handler.commit),
    ("POST", MODEL + "/tag/(?P<revision>.+)", Handler.tag),
    ("POST", r"/(?P<repo>(?:datasets/)?[^/]+/[^/]+)\.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", Handler.lfs_upload),
    ("GET HEAD", r"/(?P<repo>(?:datasets/)?[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.resolve),
]
