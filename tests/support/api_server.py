"""A local HTTP server that speaks a system's documented protocol, and breaks it where a test asks."""

import json
import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CUT, SHORT, EXPIRED, LIMIT, DOWN = "cut", "short", "expired", "429", "503"


class Answer:
    """What is sent: JSON or text, with a status and headers."""

    def __init__(self, body=None, status=200, headers=None, text=None):
        self.status, self.headers = status, headers or {}
        self.text = json.dumps(body) if text is None and body is not None else text or ""
        self.headers.setdefault("Content-Type", "application/json" if text is None else "text/csv")


class ApiServer:
    """One system: subclasses answer `answer(method, path, query, body, headers)`.

    `faults` holds (part of a path, fault): the next call to such a path meets it, once.
    """

    prefix = "/"

    def __init__(self):
        self.faults, self.calls, self.tokens = deque(), [], set()
        self.url, self.kill_at = "", None

    def token(self):
        token = f"token-{len(self.tokens)}-of-{type(self).__name__}-very-secret"
        self.tokens = {*self.tokens, token}
        self.valid = token
        return token

    def is_let_in(self, headers):
        return headers.get("Authorization") == f"Bearer {getattr(self, 'valid', None)}"

    def fault_for(self, path):
        for fault in list(self.faults):
            if fault[0] in path:
                self.faults.remove(fault)
                return fault[1]
        return None

    def answer(self, method, path, query, body, headers):
        raise NotImplementedError

    def counted(self, part, method=None):
        return sum(part in path and method in (None, verb) for verb, path, _ in self.calls)


def assert_nowhere(secrets, texts, home):
    """No secret in what was printed or logged, nor in any file of a home."""
    kept = [p.read_bytes().decode(errors="replace") for p in home.rglob("*") if p.is_file()]
    for secret in secrets:
        assert not [text for text in [*texts, *kept] if secret in text]


@contextmanager
def serving(server):
    """The server on a free port of this machine, for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size).decode()
            parts = urlsplit(self.path)
            server.calls.append((self.command, self.path, body))
            fault = server.fault_for(self.path)
            if fault == LIMIT:
                return self.send(Answer([{"errorCode": "x", "message": "slow"}], 429, {"Retry-After": "3"}))
            if fault == DOWN:
                return self.send(Answer(text="<html>", status=503))
            if fault == EXPIRED:
                server.valid = None
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            answer = server.answer(self.command, parts.path, query, body, self.headers)
            self.send(answer, fault)

        def send(self, answer, fault=None):
            content = answer.text.encode()
            self.send_response(answer.status)
            sent = content
            if fault == CUT:
                sent = content[: len(content) // 2]
            if fault == SHORT:  # ends at a line, so only the number of rows shows it
                sent = content = b"\n".join(content.split(b"\n")[:-2]) + b"\n"
            for name, value in {**answer.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)
            if fault == CUT:
                self.close_connection = True
            if server.kill_at and server.kill_at(self.path):
                server.kill_at = None

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = respond  # noqa: N815

        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{httpd.server_port}"
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
