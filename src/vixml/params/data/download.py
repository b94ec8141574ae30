"""Settings of the pipeline `image_download`."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params


class DownloadParams(Params):
    """How images are fetched from the web: politely, within limits, and never from inside the own network."""

    concurrency: int = Field(16, ge=1, le=256)
    """Images fetched at once, 1 to 256; each holds at most `max_bytes` in memory."""
    per_host_per_second: float = Field(10.0, ge=0.0)
    """Requests a second to one host; 0 is no limit."""
    timeout_seconds: float = Field(15.0, gt=0.0)
    """Seconds without an answer or a byte after which an attempt ends."""
    total_seconds: float = Field(60.0, gt=0.0)
    """Seconds after which an attempt ends, however many bytes still trickle in."""
    retries: int = Field(3, ge=0, le=20)
    """Further attempts after a failure that may pass (no connection, timeout, busy or broken server)."""
    backoff_seconds: float = Field(1.0, ge=0.0)
    """Wait before the first further attempt, doubled for each one after; a server's Retry-After counts if longer."""
    max_wait_seconds: float = Field(60.0, ge=0.0)
    """Longest wait before an attempt, whatever the server asks for."""
    max_redirects: int = Field(5, ge=0, le=20)
    """Redirects that are followed; each target is checked like the first."""
    max_bytes: int = Field(20_000_000, ge=1)
    """Largest file in bytes; a larger one is given up as soon as that shows."""
    max_pixels: int = Field(50_000_000, ge=1)
    """Largest image, width * height."""
    size: int = Field(384, ge=0, le=4096)
    """Side of the square that images are scaled into, with white padding, and kept as JPEG (the paper: 384); 0 keeps
    the file as it came."""
    retry_dead: bool = False
    """Try links again that an earlier run found dead (no such page, no image, too large)."""
    allow_private: bool = False
    """Also fetch from private, loopback and link-local addresses: only where every URL is your own."""
    user_agent: str = Field("vixml-image-download", min_length=1)
    """How the requests introduce themselves; a way to reach you is polite."""
