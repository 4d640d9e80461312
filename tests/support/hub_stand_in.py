"""A Hugging Face Hub on 127.0.0.1, in memory, strict about what it is sent: tests read what a client really uploaded.

It answers what huggingface_hub 2.4 asks without Xet. A client with `hf_xet` uploads large files to Xet storage
without asking whether there is any; `HF_HUB_DISABLE_XET` makes it use LFS, so `environment` and `connect` set it.
Left out: paging, Range requests, `.gitignore`, and what the Hub derives from the files.
"""

import base64
import codecs
import hashlib
import json
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml


TOKEN = "hf_stand_in"
LARGE = 10 * 1024**2  # bytes above which the Hub wants LFS whatever the file is called
LFS_NAME = re.compile(
    r".*\.(7z|arrow|bin|bmp|bz2|ckpt|gif|gz|h5|jpe?g|mp4|msgpack|np[yz]|onnx|parquet|pickle|pkl|png|pth?|safetensors"
    r"|tar|tgz|webp|xz|zip|zst)"
)
LICENSES = ("apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0", "mit", "other")
COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SDKS = ("gradio", "streamlit", "docker", "static")

REPO = r"/api/(?P<kind>models|datasets|spaces)/(?P<id>[^/]+/[^/]+)"
PAGE = r"/((?P<kind>datasets|spaces)/)?(?P<id>[^/]+/[^/]+)"
ROUTES = {  # name of a request, as in `calls` and `fail_next` -> its methods and path
    "whoami": ("GET", "/api/whoami-v2"),
    "validate_yaml": ("POST", "/api/validate-yaml"),
    "create_repo": ("POST", "/api/repos/create"),
    "info": ("GET", REPO + "(/revision/(?P<revision>[^/]+))?"),
    "branch": ("POST", REPO + "/branch/(?P<branch>[^/]+)"),
    "tree": ("GET", REPO + "/tree/(?P<revision>[^/]+)(/(?P<path>.+))?"),
    "settings": ("GET POST DELETE", REPO + "/(?P<what>variables|secrets)"),
    "preupload": ("POST", REPO + "/preupload/(?P<revision>[^/]+)"),
    "lfs_batch": ("POST", PAGE + r"\.git/info/lfs/objects/batch"),
    "lfs_upload": ("PUT", PAGE + r"\.git/lfs/(?P<oid>[0-9a-f]{64})"),
    "lfs_verify": ("POST", PAGE + r"\.git/lfs/verify"),
    "commit": ("POST", REPO + "/commit/(?P<revision>[^/]+)"),
    "resolve": ("GET HEAD", PAGE + "/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
}
READS = ("info", "tree", "resolve")  # a public repository answers these to everybody
ANONYMOUS = (*READS, "validate_yaml", "lfs_upload")  # the last stands for a signed address: it comes without a token


class LargeFile(bytes):
    """Content that came through LFS."""


class HubError(Exception):
    """An answer other than 2xx; `code` is the X-Error-Code by which the client picks its exception."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, {"X-Error-Message": message, "X-Error-Code": code, **headers}


class Reply(NamedTuple):
    """An answer: bytes as they are, anything else as JSON."""

    content: Any
    status: int = 200
    headers: dict[str, str] = {}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_oid(content: bytes) -> str:
    """Returns the name of the git blob: of a large file, what git has is a pointer."""
    if isinstance(content, LargeFile):
        content = f"version https://git-lfs.github.com/spec/v1\noid {sha256(content)}\nsize {len(content)}\n".encode()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def needs_lfs(path: str, size: int, sample: bytes) -> bool:
    """Returns whether the Hub refuses the file as a plain git blob: by its name, its size, or as it is not text."""
    try:
        binary = "\0" in codecs.getincrementaldecoder("utf-8")().decode(sample)  # may end inside a character
    except UnicodeDecodeError:
        binary = True
    return size > 0 and (binary or size > LARGE or LFS_NAME.fullmatch(path) is not None)


def card_metadata(card: str) -> dict[str, Any]:
    """Returns the YAML front matter of a README; raises ValueError if it is no mapping."""
    block = re.match(r"\s*---\r?\n(.*?)\r?\n?---(\r?\n|$)", card, re.DOTALL)
    try:
        return dict(yaml.safe_load(block[1]) or {}) if block else {}
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise ValueError(f"the metadata is not a YAML mapping: {error}") from error


def card_errors(card: str, kind: str) -> list[str]:
    """Returns what the Hub refuses in a README, by the few of its rules that are known here."""
    try:
        metadata = card_metadata(card)
    except ValueError as error:
        return [str(error)]
    allowed = {"license": LICENSES, **dict.fromkeys(("language", "tags", "datasets", "base_model", "models"))}
    if kind == "space":
        allowed |= {"sdk": SDKS, "colorFrom": COLORS, "colorTo": COLORS}
    errors = []
    for key in allowed.keys() & metadata.keys():
        for item in metadata[key] if isinstance(metadata[key], list) else [metadata[key]]:
            if not isinstance(item, str) or (allowed[key] and item not in allowed[key]):
                errors.append(f'"{key}" must be {"one of " + ", ".join(allowed[key] or ["text"])}: got {item!r}')
    if kind == "space" and len(str(metadata.get("short_description", ""))) > 60:
        errors.append('"short_description" must have at most 60 characters')
    return errors


@dataclass
class Repo:
    """A repository; `commits` has the summaries of all branches, oldest first, and `files` what main holds."""

    private: bool = False
    space_sdk: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)  # branch or pull request -> its last commit
    trees: dict[str, dict[str, bytes]] = field(default_factory=dict)  # commit -> path -> content
    announced: dict[str, int] = field(default_factory=dict)  # sha256 -> size of the uploads that a batch asked for
    lfs_objects: dict[str, LargeFile] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        return self.trees[self.refs["main"]]

    def commit(self, ref: str, files: dict[str, bytes], summary: str) -> str:
        """Makes `files` the content of `ref` and returns the hash of the commit."""
        oid = hashlib.sha1(repr((self.refs, summary, sorted(files.items()))).encode()).hexdigest()
        self.commits.append(summary)
        self.trees[oid], self.refs[ref] = files, oid
        return oid


class Call(NamedTuple):
    """A request: its method, the named parts of its path, its query, its body and the repository that it is about."""

    method: str
    parts: dict[str, str]
    query: dict[str, list[str]]
    body: bytes
    kind: str
    repo: Repo

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def revision(self) -> tuple[str, dict[str, bytes]]:
        """Returns the commit that the path asks for, by branch, pull request or hash, and its files."""
        name = self.parts.get("revision", "main")
        oid = self.repo.refs.get(name, name)
        if oid not in self.repo.trees:
            raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
        return oid, self.repo.trees[oid]


class HubStandIn:
    """`with HubStandIn() as hub:` serves `hub.endpoint`; the token is that of `user`, who may write for the others."""

    def __init__(self, user: str = "user", organizations: tuple[str, ...] = ()) -> None:
        self.user, self.organizations = user, organizations
        self.repos: dict[str, Repo] = {}  # "model/user/name" -> repository
        self.calls: list[str] = []  # names of the requests that came
        self._failures: dict[str, list[HubError]] = defaultdict(list)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail_next(self, name: str, status: int, message: str = "injected failure", times: int = 1) -> None:
        """Makes the next `times` requests called `name` fail. The client repeats many of them on 408, 429 and 5xx."""
        if name not in ROUTES:
            raise ValueError(f"no request is called {name}: use one of {', '.join(ROUTES)}")
        self._failures[name] += [HubError(status, message)] * times

    def environment(self, home: Path) -> dict[str, str]:
        """Returns the variables with which a new process uses the stand-in: add them to `os.environ`."""
        switches = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(home), **switches}

    def connect(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        """Points huggingface_hub of this process at the stand-in: it read its environment when it was imported."""
        from huggingface_hub import constants, hf_api

        template = self.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        addresses = {"ENDPOINT": self.endpoint, "HUGGINGFACE_CO_URL_TEMPLATE": template, "HF_HUB_CACHE": str(home)}
        switches = {"HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True, "HF_HUB_DISABLE_TELEMETRY": True}
        for name, value in {**addresses, **switches}.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(hf_api.api, "endpoint", self.endpoint)  # behind huggingface_hub.upload_folder and the like
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # made at its first use, with the endpoint of then
        monkeypatch.setenv("HF_TOKEN", TOKEN)

    def answer(self, method: str, target: str, authorization: str | None, body: bytes) -> Reply:
        """Returns the answer to a request, or raises HubError."""
        url = urlsplit(target)
        matches = (
            (name, re.fullmatch(path, url.path)) for name, (methods, path) in ROUTES.items() if method in methods
        )
        name, match = next(((name, match) for name, match in matches if match), ("", None))
        if match is None:
            raise HubError(404, f"the stand-in does not know {method} {url.path}")
        parts = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
        with self._lock:
            self.calls.append(name)
            if self._failures[name]:
                raise self._failures[name].pop(0)
            if authorization not in (None, f"Bearer {TOKEN}"):
                raise HubError(401, "Invalid credentials in Authorization header")
            if authorization is None and name not in ANONYMOUS:
                raise HubError(401, "Invalid username or password.")
            kind = parts.get("kind", "models").removesuffix("s")
            repo = self.repos.get(f"{kind}/{parts.get('id')}")
            if "id" in parts and (repo is None or (repo.private and authorization is None and name in READS)):
                raise HubError(404 if authorization else 401, "Repository not found", "RepoNotFound")
            return getattr(self, f"_{name}")(Call(method, parts, parse_qs(url.query), body, kind, repo or Repo()))

    def _address(self, kind: str, repo_id: str) -> str:
        return f"{self.endpoint}/{'' if kind == 'model' else kind + 's/'}{repo_id}"

    def _whoami(self, call: Call) -> Reply:
        access = {"accessToken": {"displayName": "stand-in", "role": "write"}}
        organizations = [{"type": "org", "name": name} for name in self.organizations]
        return Reply({"type": "user", "name": self.user, "orgs": organizations, "auth": access})

    def _validate_yaml(self, call: Call) -> Reply:
        card = call.json()["content"]
        errors = [{"message": error} for error in card_errors(card, call.json()["repoType"])]
        warnings = (
            [] if errors or card_metadata(card) else [{"message": "empty or missing yaml metadata in repo card"}]
        )
        return Reply({"errors": errors, "warnings": warnings}, 400 if errors else 200)

    def _create_repo(self, call: Call) -> Reply:
        wanted = call.json()
        owner, kind = wanted.get("organization") or self.user, wanted.get("type", "model")
        name = f"{owner}/{wanted['name']}"
        if owner not in (self.user, *self.organizations):
            raise HubError(403, f"You don't have the rights to create a {kind} under the namespace {owner}")
        made = {"url": self._address(kind, name), "name": name}
        if f"{kind}/{name}" in self.repos:
            return Reply({**made, "error": f"You already created this {kind} repo"}, 409)
        settings = [{item["key"]: item["value"] for item in wanted.get(what, [])} for what in ("variables", "secrets")]
        repo = self.repos[f"{kind}/{name}"] = Repo(wanted.get("visibility") == "private", wanted.get("sdk"), *settings)
        repo.commit(
            "main", {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}, "initial commit"
        )
        return Reply(made)

    def _info(self, call: Call) -> Reply:
        oid, files = call.revision()
        info = {"id": call.parts["id"], "sha": oid, "private": call.repo.private, "sdk": call.repo.space_sdk}
        card = card_metadata(files.get("README.md", b"").decode())
        return Reply({**info, "siblings": [{"rfilename": path} for path in sorted(files)], "cardData": card})

    def _branch(self, call: Call) -> Reply:
        if call.parts["branch"] in call.repo.refs:
            raise HubError(409, "Reference already exists")
        start = call.json().get("startingPoint", "main")
        call.repo.refs[call.parts["branch"]] = call.repo.refs.get(start, start)
        return Reply({})

    def _tree(self, call: Call) -> Reply:
        oid, files = call.revision()
        folder = f"{call.parts['path'].strip('/')}/" if "path" in call.parts else ""
        below = [path for path in sorted(files) if path.startswith(folder)]
        if folder and not below:
            raise HubError(404, f"{folder} does not exist on {oid}", "EntryNotFound")
        entries = {}
        for path in below:
            size = len(files[path])
            for cut in [index for index, letter in enumerate(path) if letter == "/" and index >= len(folder)]:
                entries[path[:cut]] = {"type": "directory", "oid": sha256(path[:cut].encode())[:40], "size": 0}
            entries[path] = {"type": "file", "oid": git_oid(files[path]), "size": size}
            if isinstance(files[path], LargeFile):
                entries[path]["lfs"] = {"oid": sha256(files[path]), "size": size, "pointerSize": 127 + len(str(size))}
        flat = call.query.get("recursive", ["false"])[0].lower() == "false"
        found = {path: entry for path, entry in entries.items() if not (flat and "/" in path[len(folder) :])}
        return Reply([{"path": path, **entry} for path, entry in found.items()])

    def _resolve(self, call: Call) -> Reply:
        oid, files = call.revision()
        content = files.get(call.parts["path"])
        if content is None:
            raise HubError(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": oid})
        etag = sha256(content) if isinstance(content, LargeFile) else git_oid(content)
        return Reply(content, headers={"X-Repo-Commit": oid, "ETag": f'"{etag}"'})

    def _settings(self, call: Call) -> Reply:
        settings, key = getattr(call.repo, call.parts["what"]), call.json().get("key")
        if call.kind != "space":
            raise HubError(404, f"only a Space has {call.parts['what']}")
        if call.method == "POST":
            settings[key] = call.json()["value"]
        elif call.method == "DELETE":
            settings.pop(key, None)
        shown = call.parts["what"] == "variables"  # the Hub never gives a secret back
        return Reply({name: {"value": value} if shown else {} for name, value in settings.items()})

    def _preupload(self, call: Call) -> Reply:
        _, files = call.revision()
        if "gitIgnore" in call.json():
            raise HubError(400, "the stand-in cannot apply a .gitignore as the Hub does: leave it out")
        answers = []
        for file in call.json()["files"]:
            lfs = needs_lfs(file["path"], file["size"], base64.b64decode(file["sample"]))
            answers.append({"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False})
            if file["path"] in files:  # the client commits only what differs from this
                answers[-1]["oid"] = (sha256 if lfs else git_oid)(files[file["path"]])
        return Reply({"files": answers})

    def _lfs_batch(self, call: Call) -> Reply:
        objects, folder = call.json()["objects"], f"{self._address(call.kind, call.parts['id'])}.git/lfs"
        for item in objects:
            if item["oid"] not in call.repo.lfs_objects:
                call.repo.announced[item["oid"]] = item["size"]
                addresses = {"upload": f"{folder}/{item['oid']}", "verify": f"{folder}/verify"}
                item["actions"] = {action: {"href": address} for action, address in addresses.items()}
        return Reply({"transfer": "basic", "objects": objects})

    def _lfs_upload(self, call: Call) -> Reply:
        oid = call.parts["oid"]
        if (sha256(call.body), len(call.body)) != (oid, call.repo.announced.get(oid)):
            raise HubError(400, "the upload is not the object that was announced")
        call.repo.lfs_objects[oid] = LargeFile(call.body)
        return Reply(b"")

    def _lfs_verify(self, call: Call) -> Reply:
        if len(call.repo.lfs_objects.get(call.json()["oid"], b"")) != call.json()["size"]:
            raise HubError(404, "the object was not uploaded")
        return Reply({})

    def _commit(self, call: Call) -> Reply:
        (head, files), ref = call.revision(), call.parts["revision"]
        header, *operations = [json.loads(line) for line in call.body.splitlines()]
        summary = header["value"]["summary"] if header["key"] == "header" else ""
        if ref not in call.repo.refs or not summary:
            raise HubError(400, "a commit needs a branch, and a header with a summary")
        if not head.startswith(header["value"].get("parentCommit", "")):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(files)
        for operation in operations:
            _apply(operation["key"], operation["value"], files, call.repo)
        errors = card_errors(files.get("README.md", b"").decode(), call.kind)
        if errors:
            raise HubError(400, f"Invalid metadata in README.md: {'; '.join(errors)}")
        number = 1 + sum(name.startswith("refs/pr/") for name in call.repo.refs)
        oid = call.repo.commit(f"refs/pr/{number}" if "create_pr" in call.query else ref, files, summary)
        address = self._address(call.kind, call.parts["id"])
        request = {"pullRequestUrl": f"{address}/discussions/{number}"} if "create_pr" in call.query else {}
        return Reply({"success": True, "commitOid": oid, "commitUrl": f"{address}/commit/{oid}", **request})


def _apply(key: str, value: dict[str, Any], files: dict[str, bytes], repo: Repo) -> None:
    """Applies one operation of a commit to `files`."""
    path = value["path"].removesuffix("/")
    if any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise HubError(400, f"{path} is not a path in a repository")
    if key == "file":
        files[path] = base64.b64decode(value["content"], validate=True)
        if needs_lfs(path, len(files[path]), files[path][:512]):
            raise HubError(400, f"{path} must be uploaded with LFS")
    elif key == "lfsFile":
        if value["oid"] not in repo.lfs_objects or len(repo.lfs_objects[value["oid"]]) != value["size"]:
            raise HubError(400, f"{path} points to an LFS object that was not uploaded")
        files[path] = repo.lfs_objects[value["oid"]]
    elif key in ("deletedFile", "deletedFolder"):
        gone = [file for file in files if (file == path if key == "deletedFile" else file.startswith(f"{path}/"))]
        if not gone:
            raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for file in gone:
            del files[file]
    else:
        raise HubError(400, f"the stand-in knows no {key} in a commit")


class _Handler(BaseHTTPRequestHandler):
    """HTTP around `HubStandIn.answer`: version 1.0, so that no thread waits for another request of a connection."""

    hub: HubStandIn

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            reply = self.hub.answer(self.command, self.path, self.headers.get("Authorization"), body)
        except HubError as error:
            reply = Reply({"error": str(error)}, error.status, error.headers)
        except (KeyError, TypeError, ValueError) as error:  # a request that the stand-in cannot read
            reply = Reply({"error": repr(error)}, 400, {"X-Error-Message": repr(error)})
        content = (
            reply.content if isinstance(reply.content, bytes) else json.dumps(reply.content, default=str).encode()
        )
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
            self.send_header(name, " ".join(value.split()).encode("ascii", "replace").decode())
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, *arguments: object) -> None:
        """Keeps the output of the tests clean."""
