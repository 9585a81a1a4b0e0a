"""The limits of the service."""

from pydantic import Field

from plaudit.settings import Settings


class ServeSettings(Settings):
    """Limits of the service; a request over one is refused with a message that names it."""

    max_body_bytes: int = Field(4 << 20, ge=1)
    """Longest request body."""
    max_texts: int = Field(1024, ge=1)
    """Most texts in a request."""
    max_characters: int = Field(100_000, ge=1)
    """Longest text."""
    max_explained_texts: int = Field(16, ge=1)
    """Most texts in a request that asks for explanations."""
    max_explained_characters: int = Field(20_000, ge=1)
    """Longest text that is explained."""
    max_explaining: int = Field(8, ge=1)
    """Most requests waiting for explanations."""
    max_requests: int = Field(64, ge=1)
    """Most requests in progress or waiting; another one gets 503 at once."""
    max_open_requests: int = Field(512, ge=1)
    """Most requests in total, including those whose body is still arriving."""
    max_held_bytes: int = Field(128 << 20, ge=1)
    """Most memory for all request bodies together."""
    body_seconds: float = Field(10.0, gt=0)
    """Longest time for a body to arrive."""
    answer_seconds: float = Field(60.0, gt=0)
    """Longest time to compute an answer and send it to the client."""
    wait_ms: float = Field(1.0, ge=0)
    """Longest time that the first text of a batch waits for others."""
    shutdown_seconds: int = Field(30, ge=1)
    """Longest time to finish accepted requests when the service stops."""
