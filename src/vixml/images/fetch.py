"""Fetching one image from an untrusted address.

The name is resolved here, every address it has must be public, and the connection goes to exactly the address that was
checked (so that a second look-up cannot lead inside); each redirect is treated the same. No proxy, no cookies, no
credentials, no compression, no more bytes and seconds than allowed.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vixml.params.data.download import DownloadParams

if TYPE_CHECKING:
    import httpx2

_REDIRECTS = (301, 302, 303, 307, 308)
_MAY_PASS = (408, 425, 429, 500, 502, 503, 504)
_TYPES = ("image/", "application/octet-stream", "binary/octet-stream")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out to anybody; wrapped IPv4 addresses are outside it, except 6to4 and Teredo."""
_NOBODY = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "2002:c058:6300::/40", "3fff::/20", "2001:db8::/32", "2001::/32"),
    )
)
"""Relays of 6to4 and Teredo, documentation."""


class FetchError(Exception):
    """An image that could not be fetched.

    Args:
        reason: What kind of failure, in two or three words.
        detail: What exactly.
        may_pass: Whether another attempt makes sense.
        wait: Seconds that the server asks to wait.
    """

    def __init__(self, reason: str, detail: str = "", *, may_pass: bool = False, wait: float = 0.0) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.may_pass, self.wait = reason, detail, may_pass, wait


class Pace:
    """At most so many requests a second to each host.

    Args:
        per_second: Requests a second; 0 is no limit.
        sleep: How to wait.
    """

    def __init__(self, per_second: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._gap = 1.0 / per_second if per_second else 0.0
        self._sleep = sleep
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, host: str) -> None:
        """Wait for the host's next turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next.get(host, now))
            self._next[host] = turn + self._gap
        if turn > now:
            self._sleep(turn - now)


class Deadline:
    """Ends a connection when its time is up: every byte may come in time, and the answer never end.

    Args:
        seconds: From entering on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._lock = seconds, threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._socket: socket.socket | None = None
        self.passed = False

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._timer.cancel()

    def watch(self, event: str, facts: Mapping[str, Any]) -> None:
        """Take the socket of the connection from the client's trace."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._socket = facts["return_value"].get_extra_info("socket")
            if self.passed:
                self._cut()

    def error(self) -> FetchError:
        """Return what happened."""
        return FetchError("timeout", f"not complete after {self._seconds} s", may_pass=True)

    def _cut(self) -> None:
        self.passed = True
        with self._lock, suppress(OSError):  # the client may have closed it
            if self._socket is not None:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Fetcher:
    """Fetches images; safe to share between threads.

    Args:
        params: Limits.
        sleep: How to wait, for tests.
    """

    def __init__(self, params: DownloadParams, sleep: Callable[[float], None] = time.sleep) -> None:
        import httpx2

        self._params, self._sleep = params, sleep
        self._pace = Pace(params.per_host_per_second, sleep)
        # A kept connection is known by its address alone; hosts that share one must not share its TLS check.
        limits = httpx2.Limits(max_connections=params.concurrency, max_keepalive_connections=0)
        self._client = httpx2.Client(
            trust_env=False, follow_redirects=False, limits=limits, timeout=params.timeout_seconds
        )

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def fetch(self, url: str) -> bytes:
        """Return the content at `url`, after as many attempts as allowed.

        Raises:
            FetchError: The last attempt's failure.
        """
        for attempt in range(self._params.retries + 1):
            try:
                return self._attempt(url)
            except FetchError as err:
                if not err.may_pass or attempt == self._params.retries:
                    raise
                wait = max(err.wait, self._params.backoff_seconds * 2**attempt)
            self._sleep(min(wait, self._params.max_wait_seconds))
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, url: str) -> bytes:
        import httpx2

        deadline = Deadline(self._params.total_seconds)
        try:
            target = httpx2.URL(url)
            with deadline:
                for _ in range(self._params.max_redirects + 1):
                    found = self._follow(target, deadline)
                    if isinstance(found, bytes):
                        return found
                    target = target.join(found)
        except httpx2.InvalidURL as err:
            raise FetchError("bad address", str(err)) from err
        except (httpx2.TimeoutException, TimeoutError) as err:
            raise FetchError("timeout", str(err), may_pass=True) from err
        except (httpx2.TransportError, OSError) as err:
            raise (
                deadline.error() if deadline.passed else FetchError("connection failed", str(err), may_pass=True)
            ) from err
        except (FetchError, MemoryError):
            raise
        except Exception as err:  # a server chooses every byte of its answer, and no library foresees all of them
            raise FetchError("bad answer", f"{type(err).__name__}: {err}"[:200]) from err
        raise FetchError("too many redirects", str(self._params.max_redirects))

    def _follow(self, url: httpx2.URL, deadline: Deadline) -> bytes | str:
        """Ask one address; return its content, or where it redirects to."""
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise FetchError("bad address", "only http and https without credentials")
        addresses = self._addresses(url)
        self._pace.wait(url.host)
        response = self._send(url, addresses, deadline)
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return str(response.headers["location"])
            self._check(response)
            return self._read(response, deadline)
        finally:
            response.close()

    def _send(self, url: httpx2.URL, addresses: list[str], deadline: Deadline) -> httpx2.Response:
        """Ask the first of the checked addresses that takes the connection."""
        import httpx2

        for address in addresses[:-1]:
            try:
                return self._client.send(self._request(url, address, deadline), stream=True)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return self._client.send(self._request(url, addresses[-1], deadline), stream=True)

    def _request(self, url: httpx2.URL, address: str, deadline: Deadline) -> httpx2.Request:
        return self._client.build_request(
            "GET",
            url.copy_with(host=address),
            headers={
                "Host": url.netloc.decode(),
                "User-Agent": self._params.user_agent,
                "Accept": "image/*",
                "Accept-Encoding": "identity",
            },
            extensions={
                "sni_hostname": url.raw_host.decode(),
                "trace": deadline.watch,
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._params.timeout_seconds),
            },
        )

    def _addresses(self, url: httpx2.URL) -> list[str]:
        """Resolve the host and return its addresses, which may be connected to.

        Raises:
            FetchError: Unknown, or one of its addresses is not public.
        """
        host = url.raw_host.decode()
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as err:
            raise FetchError("bad address", str(err)) from err
        except socket.gaierror as err:
            raise FetchError("unknown host", host, may_pass=err.errno == socket.EAI_AGAIN) from err
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        refused = [address for address in addresses if not is_public(address)]
        if refused and not self._params.allow_private:
            raise FetchError("private address", f"{host} is {refused[0]}")
        return addresses

    def _check(self, response: httpx2.Response) -> None:
        """Refuse what cannot be an image within the limits, going by the head of the answer."""
        status, headers = response.status_code, response.headers
        if status != 200:
            wait = _seconds(headers.get("retry-after", ""))
            raise FetchError(f"http {status}", may_pass=status in _MAY_PASS, wait=wait)
        kind = headers.get("content-type", _TYPES[1]).strip().lower()
        if not kind.startswith(_TYPES):
            raise FetchError("no image", kind)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise FetchError("no image", f"content-encoding {headers['content-encoding']}")
        length = _number(headers.get("content-length", ""))
        if length is not None and length > self._params.max_bytes:
            raise FetchError("too large", f"over {self._params.max_bytes} bytes")

    def _read(self, response: httpx2.Response, deadline: Deadline) -> bytes:
        parts, size = [], 0
        for part in response.iter_raw():
            size += len(part)
            if size > self._params.max_bytes:
                raise FetchError("too large", f"over {self._params.max_bytes} bytes")
            if deadline.passed:
                raise deadline.error()
            parts.append(part)
        if deadline.passed:  # an answer without a length may seem to end where it was cut
            raise deadline.error()
        if not size:
            raise FetchError("empty")
        return b"".join(parts)


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet.

    Of IPv6 that is what registries give out (2000::/3), and the translation of a public IPv4 address (mapped, NAT64,
    6to4); every other form, however it is written, might lead inside.
    """
    ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    if any(ip in network for network in _NOBODY if network.version == ip.version) or not _leaves(ip):
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        wrapped = _wrapped(ip)
        return is_public(str(wrapped)) if wrapped is not None else ip in _GLOBAL
    return True


def _leaves(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None
    inside = ip.is_private or ip.is_reserved or ip.is_loopback or ip.is_link_local or ip.is_multicast
    return mapped or ip in _NAT64 or (ip.is_global and not inside and not getattr(ip, "is_site_local", False))


def _wrapped(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one translates to, if any."""
    isatap = (int(ip) >> 32) & 0xFFFFFFFF in (0x00005EFE, 0x02005EFE)
    if ip in _NAT64 or isatap:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def _number(text: str) -> int | None:
    """Return the number that a header holds, cut at a value beyond every use; None where it holds none."""
    text = text.strip()
    return int(text[:15]) if text.isascii() and text.isdigit() else None


def _seconds(retry_after: str) -> float:
    """Return the seconds of a Retry-After header, a number or a date; 0 where it is neither."""
    number = _number(retry_after)
    if number is not None:
        return float(number)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
