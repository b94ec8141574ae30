"""Settings of the pipeline `image_download`."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params


class DownloadParams(Params):
    """How images are downloaded from the web: politely, within limits, and never from your own network."""

    concurrency: int = Field(16, ge=1, le=256)
    """Images downloaded at the same time, 1 to 256; each takes at most `max_bytes` of memory."""
    per_host_per_second: float = Field(10.0, ge=0.0)
    """Requests per second to one host; 0 for no limit."""
    timeout_seconds: float = Field(15.0, gt=0.0)
    """Seconds without an answer or a byte after which an attempt ends."""
    total_seconds: float = Field(60.0, gt=0.0)
    """Seconds after which an attempt ends, even if bytes are still arriving."""
    retries: int = Field(3, ge=0, le=20)
    """Further attempts after a temporary failure (no connection, timeout, busy or broken server)."""
    backoff_seconds: float = Field(1.0, ge=0.0)
    """Wait before the first further attempt, doubled for each one after it; a longer Retry-After of the server takes
    precedence."""
    max_wait_seconds: float = Field(60.0, ge=0.0)
    """Longest wait before an attempt, whatever the server asks for."""
    max_redirects: int = Field(5, ge=0, le=20)
    """Maximum number of redirects to follow; each target is checked like the first."""
    max_bytes: int = Field(20_000_000, ge=1)
    """Largest file in bytes; the download of a larger file is aborted."""
    max_pixels: int = Field(50_000_000, ge=1)
    """Largest image, width * height."""
    size: int = Field(384, ge=0, le=4096)
    """Side of the square in pixels that images are scaled into, with white padding, and saved as JPEG (384 in the
    paper); 0 keeps the downloaded file unchanged."""
    retry_dead: bool = False
    """Retry links that an earlier run found dead (no such page, not an image, too large)."""
    allow_private: bool = False
    """Also download from private, loopback and link-local addresses; use it only if all URLs are your own."""
    user_agent: str = Field("vixml-image-download", min_length=1)
    """User agent of the requests; it is polite to include a contact."""
