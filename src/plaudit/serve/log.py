"""The service's log: one JSON object per line on stderr."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import IO, Any

_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


class Log:
    """Writes events; without `requests`, of all requests only those that ended in status 500."""

    def __init__(self, *, requests: bool, file: IO[str] | None = None) -> None:
        self._requests = requests
        self._file = file or sys.stderr

    def event(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Write and flush an event."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = _encode({"time": time, "level": level, "event": event, **fields})
        self._file.write(line + "\n")
        self._file.flush()

    def request(self, status: int, fields: dict[str, Any]) -> None:
        """Write a request and its status."""
        if self._requests or status == 500:
            self.event("request", level="error" if status == 500 else "info", status=status, **fields)

    def crash(self, error: BaseException, **fields: object) -> None:
        """Write a bug's type and traceback, without its message, which may contain a text."""
        trace = "".join(traceback.format_tb(error.__traceback__))
        self.event("crash", level="error", error=type(error).__name__, traceback=trace, **fields)


class LibraryHandler(logging.Handler):
    """Writes what the package logs, such as that it compiles, as events."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        self._log.event("message", level=record.levelname.lower(), message=record.getMessage())
