"""What the service admits: every limit that a request can meet."""

from pydantic import Field

from plaudit.settings import Settings


class ServeSettings(Settings):
    """Limits of the service; whoever meets one is told so, and what it is."""

    max_body_bytes: int = Field(4 << 20, ge=1)
    """Longest body of a request."""
    max_texts: int = Field(1024, ge=1)
    """Most texts in a request."""
    max_characters: int = Field(100_000, ge=1)
    """Longest text."""
    max_explained_texts: int = Field(16, ge=1)
    """Most texts in a request that asks for explanations."""
    max_explained_characters: int = Field(20_000, ge=1)
    """Longest text that is explained."""
    max_explaining: int = Field(8, ge=1)
    """Requests that wait for explanations."""
    max_requests: int = Field(64, ge=1)
    """Requests that are judged or wait for it; the next one is answered 503 at once."""
    max_open_requests: int = Field(512, ge=1)
    """Those and the ones whose body is still on its way."""
    max_held_bytes: int = Field(128 << 20, ge=1)
    """Bodies in memory, all together."""
    body_seconds: float = Field(10.0, gt=0)
    """Time that a body has to arrive in."""
    answer_seconds: float = Field(60.0, gt=0)
    """Time that an answer has to be made in, and to be taken by the client."""
    wait_ms: float = Field(1.0, ge=0)
    """How long the first text of a batch waits for more, at most."""
    shutdown_seconds: int = Field(30, ge=1)
    """Time that accepted requests have to be answered in when the service stops."""
