"""Images from the web: what comes back, what is given up and why, and that no inner address is ever asked."""

from __future__ import annotations

import io
import socket
import time
from urllib.parse import quote

import pytest
from PIL import Image
from tests.web import params

from vixml.images.fetch import Fetcher, FetchError, Pace, is_public


@pytest.fixture
def fetch(web):
    def call(path: str, **changes) -> bytes:
        with Fetcher(params(**changes), sleep=call.slept.append) as fetcher:
            return fetcher.fetch(path if path.startswith("http") else web.url(path))

    call.slept = []
    return call


@pytest.mark.parametrize("path", ["ok", "jpeg", "to/1?/ok", "to/1?/to/2?/ok"])
def test_an_image_comes_back_as_it_is(fetch, path):
    assert Image.open(io.BytesIO(fetch(path))).size in ((40, 20), (30, 90))


@pytest.mark.parametrize(
    ("path", "reason", "attempts"),
    [
        ("status/404", "http 404", 1),
        ("status/403", "http 403", 1),
        ("status/500", "http 500", 2),
        ("status/429", "http 429", 2),
        ("page", "no image", 1),
        ("cut", "connection failed", 2),
        ("huge", "too large", 1),
        ("endless", "too large", 1),
        ("packed", "no image", 1),
        ("empty", "empty", 1),
        ("to/x?/to/x", "too many redirects", 1),
        ("to/x?ftp://127.0.0.1/a", "bad address", 1),
        ("to/x?http://user:word@127.0.0.1/a", "bad address", 1),
        ("to/x?data:image/png,AAAA", "bad address", 1),
    ],
)
def test_what_is_no_image_is_given_up_for_a_reason(fetch, web, path, reason, attempts):
    with pytest.raises(FetchError) as err:
        fetch(path, max_redirects=0 if reason.startswith("too many") else 5)
    assert err.value.reason == reason
    assert web.seen["/" + path.split("?")[0]] == attempts
    assert err.value.may_pass == (attempts == 2)


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("slow", {"timeout_seconds": 0.2}),
        ("trickle", {"total_seconds": 0.3}),
        ("trickle", {"timeout_seconds": 0.01}),
        ("drip", {"total_seconds": 0.3}),
        ("to/x?/drip", {"total_seconds": 0.3}),
    ],
)
def test_a_slow_server_is_given_up(fetch, path, changes):
    with pytest.raises(FetchError) as err:
        fetch(path, retries=0, **changes)
    assert (err.value.reason, err.value.may_pass) == ("timeout", True)


def test_a_busy_server_is_asked_again_when_it_says(fetch, web):
    assert fetch("busy", retries=2, backoff_seconds=1, max_wait_seconds=60)
    assert fetch.slept == [7, 7]
    web.seen.clear()
    fetch("busy", retries=2, backoff_seconds=20, max_wait_seconds=30)
    assert fetch.slept[2:] == [20, 30]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(("9" * 400, 60), ("9" * 5000, 60), ("-1", 0), ("1e999", 0), ("nan", 0), ("\u00b2", 0), ("", 0), (" 7 ", 7)),
        *(("Fri, 31 Dec 9999 23:59:59 -2359", 60), ("Fri, 31 Dec 99999 23:59:59 GMT", 0), ("0 0 0", 0), ("(" * 300, 0)),
    ],
)
def test_any_header_that_says_when_to_come_again(fetch, header, seconds):
    with pytest.raises(FetchError, match="http 503"):
        fetch(f"later?{quote(header, encoding='latin-1')}", retries=1, backoff_seconds=0, max_wait_seconds=60)
    assert fetch.slept == [seconds]


@pytest.mark.parametrize("raised", [OverflowError("too large"), IndexError("x"), UnicodeError("y"), RecursionError()])
def test_whatever_a_library_raises_about_an_answer_is_a_failure_of_that_image(fetch, monkeypatch, raised):
    def fail(self, response):
        raise raised

    monkeypatch.setattr(Fetcher, "_check", fail)
    with pytest.raises(FetchError, match="bad answer"):
        fetch("ok")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_an_inner_address_is_refused_before_anything_is_sent(fetch, web, host):
    with pytest.raises(FetchError) as err:
        fetch(f"http://{host}:{web.port}/ok", allow_private=False)
    assert err.value.reason == "private address"
    assert not web.seen


def resolve(monkeypatch, table):
    """Let names resolve to what the table says."""

    def answer(host, port, *args, **kwargs):
        addresses = table.get(host, [host])
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        turn = addresses.pop(0) if isinstance(addresses[0], list) else addresses
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in turn]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_redirect_inside_is_refused(fetch, web, monkeypatch):
    """The first host counts as public here, so only the redirect's target is refused."""
    monkeypatch.setattr("vixml.images.fetch.is_public", lambda address: address == "127.0.0.1")
    resolve(monkeypatch, {"shop.example": ["127.0.0.1"], "inner.example": ["10.0.0.7"]})
    with pytest.raises(FetchError) as err:
        fetch(f"http://shop.example:{web.port}/to/x?http://inner.example:{web.port}/ok", allow_private=False)
    assert err.value.reason == "private address"
    assert "10.0.0.7" in err.value.detail
    assert dict(web.seen) == {"/to/x": 1}


def test_the_connection_goes_to_the_address_that_was_checked(fetch, web, monkeypatch):
    """A name that answers differently the second time (DNS rebinding) is never asked a second time."""
    monkeypatch.setattr("vixml.images.fetch.is_public", lambda address: address == "127.0.0.1")
    resolve(monkeypatch, {"shop.example": [["127.0.0.1"], ["10.0.0.7"]]})
    assert fetch(f"http://shop.example:{web.port}/ok", allow_private=False)
    assert web.hosts == [f"shop.example:{web.port}"]


def test_one_inner_address_among_public_ones_is_enough_to_refuse(fetch, monkeypatch):
    resolve(monkeypatch, {"both.example": ["93.184.216.34", "192.168.0.1"], "none.example": []})
    with pytest.raises(FetchError, match="private address"):
        fetch("http://both.example/a", allow_private=False)
    with pytest.raises(FetchError, match="unknown host"):
        fetch("http://none.example/a")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("::127.0.0.1", False),
        ("::93.184.216.34", False),
        ("64:ff9b:1::7f00:1", False),
        ("64:ff9b:1::5db8:d822", False),
        ("::ffff:0:127.0.0.1", False),
        ("::ffff:0:93.184.216.34", False),
        ("fec0::1", False),
        ("192.88.99.1", False),
        ("2002:c058:6301::", False),
        ("2001:0:5db8:d822::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("4000::1", False),
        ("2606:2800:220:1:0:5efe:a00:1", False),
        ("255.255.255.255", False),
        ("192.0.0.8", False),
        ("198.18.0.1", False),
    ],
)
def test_what_is_public(address, public):
    assert is_public(address) is public


def test_no_connection_to_an_address_that_is_not_public(fetch, monkeypatch):
    def connect(*args, **kwargs):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "create_connection", connect)
    for address in ("::127.0.0.1", "64:ff9b:1::1", "::ffff:0:127.0.0.1", "fec0::1", "192.88.99.1"):
        resolve(monkeypatch, {"shop.example": [address]})
        with pytest.raises(FetchError, match="private address"):
            fetch("http://shop.example/a", allow_private=False)


def test_a_host_is_asked_at_its_pace(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    slept: list[float] = []
    pace = Pace(4.0, slept.append)
    for host in ("a", "a", "b", "a"):
        pace.wait(host)
    assert slept == [0.25, 0.5]
