"""A hub on 127.0.0.1 that speaks the few endpoints huggingface_hub calls, and misbehaves on request.

Endpoints: ``GET /api/models/<repo>[/revision/<rev>]`` (the record), ``HEAD|GET /<repo>/resolve/<commit>/<path>`` (large
files through a redirect to ``/cdn/<sha256>``, as on the real hub). Every request is written down in ``requests``.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES = 20_000  # from here on a file counts as "large" and has an LFS record


@dataclass
class Seen:
    """One request as the server received it."""

    method: str
    path: str
    range: str | None
    authorization: str | None
    via_proxy: bool = False


@dataclass
class LoopbackHub:
    """Repositories (name -> path -> content) plus the misbehaviour that a test switches on."""

    repositories: dict[str, dict[str, bytes]]
    commit: str = COMMIT
    gated: bool = False
    granted_token: str | None = None
    cut_after: list[int] = field(default_factory=list)  # bytes of body after which the next large bodies are cut
    stall_after: list[int] = field(default_factory=list)  # bytes after which the next large bodies stand still
    fail_status: list[int] = field(default_factory=list)  # statuses of the next requests
    corrupt: int = 0  # how many of the next large bodies arrive with a flipped byte
    ignore_range: bool = False
    list_without_checksums: bool = False
    record_override: dict[str, str] = field(default_factory=dict)  # path -> sha256 in the record
    api_body: bytes | None = None
    page_instead: dict[str, str] | None = None  # headers of the page that comes instead of every file
    speaks_like: str = "hub"  # "firewall": what a refusal looks like
    requests: list[Seen] = field(default_factory=list)
    stall_s: float = 5.0
    cdn_url: str = ""  # where large bodies come from, "" for this server itself
    drip_s: float = 0.0  # pause between the pieces of a large body
    drip_pieces: int = 1

    def __enter__(self) -> LoopbackHub:
        class Handler(_Handler):
            hub = self

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.closing = threading.Event()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def seen(self, method: str, part: str) -> list[Seen]:
        return [one for one in self.requests if one.method == method and part in one.path]

    def bodies_sent(self) -> list[Seen]:
        return self.seen("GET", "/cdn/")


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(Seen(self.command, path, self.headers.get("Range"), self.headers.get("Authorization"),
                                      "X-Loopback-Proxy" in self.headers))
        if self.hub.fail_status:
            self._refuse(self.hub.fail_status.pop(0), None)
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"))
        elif self.hub.page_instead is not None and self.command == "GET":
            self._send(200, b"<html><title>Login</title></html>", self.hub.page_instead)
        elif path.startswith("/cdn/"):
            self._cdn(path.removeprefix("/cdn/"))
        else:
            self._resolve(path.lstrip("/"))

    def _api(self, rest: str) -> None:
        repo, _, revision = rest.partition("/revision/")
        if repo not in self.hub.repositories:
            return self._refuse(404, "RepoNotFound")
        if revision and revision not in ("main", self.hub.commit):
            return self._refuse(404, "RevisionNotFound")
        siblings = []
        for path, content in self.hub.repositories[repo].items():
            one: dict = {"rfilename": path, "size": len(content)}
            if not self.hub.list_without_checksums:
                one["blobId"] = _git_sha1(content)
                if len(content) >= LARGE_BYTES:
                    sha256 = self.hub.record_override.get(path, hashlib.sha256(content).hexdigest())
                    one["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append(one)
        body = json.dumps({"id": repo, "sha": self.hub.commit, "gated": "auto" if self.hub.gated else False,
                           "cardData": {"license": "cc-by-nc-4.0"}, "siblings": siblings}).encode()
        body = body if self.hub.api_body is None else self.hub.api_body
        return self._send(200, body, {"Content-Type": "application/json"})

    def _resolve(self, rest: str) -> None:
        repo, _, tail = rest.partition("/resolve/")
        commit, _, path = tail.partition("/")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.hub.gated and token != self.hub.granted_token:
            return self._refuse(403 if token else 401, "GatedRepo")
        content = self.hub.repositories.get(repo, {}).get(path)
        if content is None or commit != self.hub.commit:
            return self._refuse(404, "EntryNotFound")
        headers = {"X-Repo-Commit": self.hub.commit}
        if len(content) < LARGE_BYTES:
            return self._send(200, content, {**headers, "ETag": f'"{_git_sha1(content)}"'})
        sha256 = hashlib.sha256(content).hexdigest()
        headers |= {"X-Linked-ETag": f'"{sha256}"', "X-Linked-Size": str(len(content)),
                    "Location": f"{self.hub.cdn_url}/cdn/{sha256}"}
        return self._send(302, b"", headers)

    def _cdn(self, sha256: str) -> None:
        content = next(content for files in self.hub.repositories.values() for content in files.values()
                       if hashlib.sha256(content).hexdigest() == sha256)
        if self.hub.corrupt:
            self.hub.corrupt -= 1
            content = content[:100] + bytes([content[100] ^ 1]) + content[101:]
        start, status, headers = 0, 200, {"Accept-Ranges": "bytes", "ETag": f'"{sha256}"'}
        wanted = self.headers.get("Range")
        if wanted and not self.hub.ignore_range:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self._refuse(416, None)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return self._send(status, content[start:], headers, large=True)

    def _send(self, status: int, body: bytes, headers: dict[str, str], large: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if large and self.hub.cut_after:
            self.wfile.write(body[:self.hub.cut_after.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(1)
            return
        if large and self.hub.stall_after:
            self.wfile.write(body[:self.hub.stall_after.pop(0)])
            self.wfile.flush()
            self.hub.closing.wait(self.hub.stall_s)
            self.close_connection = True
            return
        step = -(-len(body) // self.hub.drip_pieces) if large else len(body)
        for start in range(0, len(body), max(1, step)):
            self.wfile.write(body[start:start + step])
            time.sleep(self.hub.drip_s if large else 0)

    def _refuse(self, status: int, code: str | None) -> None:
        if self.hub.speaks_like == "firewall":
            return self._send(status, b"<html>blocked by policy</html>", {"Content-Type": "text/html"})
        headers = {"X-Error-Code": code} if code else {}
        return self._send(status, b'{"error": "no"}', {**headers, "Content-Type": "application/json"})


class LoopbackProxy:
    """A forward proxy on 127.0.0.1 for plain http; counts what passes, or refuses everything."""

    def __init__(self, refuse_with: int | None = None) -> None:
        self.refuse_with = refuse_with
        self.count = 0

    def __enter__(self) -> LoopbackProxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: object) -> None:
                pass

            def do_GET(self) -> None:
                proxy.count += 1
                if proxy.refuse_with:
                    return self._give(proxy.refuse_with, b"", {})
                request = urllib.request.Request(self.path, headers={**dict(self.headers), "X-Loopback-Proxy": "1"})
                with _NO_PROXY.open(request) as answer:
                    return self._give(answer.status, answer.read(), dict(answer.headers))

            def do_CONNECT(self) -> None:
                self._give(proxy.refuse_with or 501, b"", {})

            do_HEAD = do_GET

            def _give(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _KeepRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        return None


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    def http_response(self, _request, response):  # a proxy passes every status on
        return response


_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}), _KeepRedirects, _AnyStatus)


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
