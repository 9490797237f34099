"""Log lines for machines and spans for tracing: JSON where PERENNIAL_LOG_FORMAT asks for it.

Spans go to whatever OpenTelemetry is set up in the process (`opentelemetry-instrument perennial …`); without
that, and without its packages, nothing is sent and nothing is needed.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

NAME = "perennial"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A record as a line of JSON: `at` (UTC), `level`, `logger`, `event`, what came as `extra`, `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def set_up(form: Literal["text", "json"]) -> None:
    """Send the project's log lines to standard error in one of the two forms; once, whoever asks again."""
    log = logging.getLogger(NAME)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(message)s"))
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO if form == "json" else logging.WARNING)


@contextmanager
def span(name: str, **attributes: str | int | float) -> Iterator[None]:
    """A span of OpenTelemetry around a piece of work, where its interface is installed."""
    try:
        from opentelemetry import trace
    except ImportError:
        yield
        return
    with trace.get_tracer(NAME).start_as_current_span(name, attributes=attributes):
        yield
