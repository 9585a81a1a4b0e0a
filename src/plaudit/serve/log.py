"""Events of the service in, one JSON object a line on stderr out."""

import json
import sys
import traceback
from datetime import UTC, datetime
from typing import IO, Any

_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


class Log:
    """Writes events; of requests only those that met an error of ours if `requests` is off."""

    def __init__(self, *, requests: bool, file: IO[str] | None = None) -> None:
        self._requests = requests
        self._file = file or sys.stderr

    def event(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Write an event at once."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = _encode({"time": time, "level": level, "event": event, **fields})
        self._file.write(line + "\n")
        self._file.flush()

    def request(self, status: int, fields: dict[str, Any]) -> None:
        """Write what a request was and came to."""
        if self._requests or status == 500:
            self.event("request", level="error" if status == 500 else "info", status=status, **fields)

    def crash(self, error: BaseException, **fields: object) -> None:
        """Write an error of ours by its type and where it came from, without its message, which may hold a text."""
        trace = "".join(traceback.format_tb(error.__traceback__))
        self.event("crash", level="error", error=type(error).__name__, traceback=trace, **fields)
