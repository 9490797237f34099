"""A local server that answers as the documented API of the Census Bureau does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "k3y"
COUNTIES = {
    ("25", "017"): "Middlesex County, Massachusetts",
    ("25", "025"): "Suffolk County, Massachusetts",
}
INVALID_KEY = "<html><head><title>Invalid Key</title></head><body>A valid <em>key</em> is needed.</body>"


class Bureau(BaseHTTPRequestHandler):
    """Answers /data/{year}/acs/acs5 as api.census.gov does: all values text, the geography's columns last."""

    def do_GET(self):
        server, url = self.server, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        server.asked.append(query)
        if server.troubles:
            self.reply(*server.troubles.pop(0))
        elif query.get("key") != KEY:
            self.reply(200, INVALID_KEY)
        elif url.path != "/data/2022/acs/acs5":
            self.reply(404, "<html><head><title>404 Not Found</title></head></html>")
        else:
            self.reply(*self.table(query))

    def table(self, query):
        names = query["get"].split(",")
        if len(names) > 50:
            return 400, "error: get argument list too long"
        unknown = [name for name in names if name != "NAME" and not name.endswith("E")]
        if unknown:
            return 400, f"error: unknown variable '{unknown[0]}'"
        if query["for"] == "county:*":
            states = query["in"].removeprefix("state:").split(",")
            kept = [key for key in COUNTIES if key[0] in states or states == ["*"]]
            if not kept:
                return 204, ""
            head = [*names, "state", "county"]
            rows = [[*self.values(names, COUNTIES[key], at), *key] for at, key in enumerate(kept)]
        elif "in" in query:
            return 400, "error: unknown/unsupported geography hierarchy"
        else:
            head = [*names, "zip code tabulation area"]
            rows = [[*self.values(names, "ZCTA5 02139", 0), "02139"]]
        return 200, json.dumps([head, *rows])

    def values(self, names, name, at):
        return [name if each == "NAME" else self.server.values.get((each, at), "10") for each in names]

    def reply(self, status, text, headers=None):
        self.send_response(status)
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        self.end_headers()
        if status != 204:
            self.wfile.write(text.encode())

    def log_message(self, *words):
        pass


@contextmanager
def census_server() -> Iterator[ThreadingHTTPServer]:
    """The server on a port of its own; `asked`, `troubles` and `values` are the test's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bureau)
    server.asked, server.troubles, server.values = [], [], {}
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
