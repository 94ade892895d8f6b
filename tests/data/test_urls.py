"""Files of the web: within bounds of bytes and time, and never from within a private network."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from memorability.core.errors import DataError
from memorability.data import urls
from memorability.data.urls import Fetcher, Url, is_public

CONTENT = bytes(range(256)) * 40


class Server(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Host"]))
        getattr(self, self.path.strip("/").partition(".")[0].partition("?")[0])()

    def answer(self, status=200, body=CONTENT, **headers):
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def picture(self):
        self.answer()

    def gone(self):
        self.answer(404, b"no such file")

    def short(self):
        self.answer(Content_Length=len(CONTENT) + 9)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(bytes(2**16))

    def dripping(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x")
            time.sleep(0.05)

    def headers_for_ever(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            self.wfile.write(b"X-More: x\r\n")
            time.sleep(0.05)

    def slow(self):
        self.headers_for_ever()

    def moved(self):
        self.answer(302, b"", Location="/picture.png?size=2")

    def loop(self):
        self.answer(302, b"", Location="/loop")

    def inward(self):
        self.answer(302, b"", Location=f"http://127.0.0.1:{self.server.server_port}/picture")

    def file(self):
        self.answer(302, b"", Location="file:///etc/passwd")


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments):
        pass  # the other end has hung up


@pytest.fixture
def server():
    server = Quiet(("127.0.0.1", 0), Server)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def at(server, path):
    return Url(f"http://127.0.0.1:{server.server_port}/{path}")


def refused(fetcher, url):
    with pytest.raises(DataError) as caught, fetcher.brought(url):
        pass
    return str(caught.value)


LOCAL = Fetcher(private=True, most_bytes=2**20, seconds=3)


@pytest.mark.parametrize("path", ["picture.png", "moved", "picture?x=1&y=%20"])
def test_a_file_is_there_for_as_long_as_it_is_needed(server, path):
    with LOCAL.brought(at(server, path)) as file:
        assert file.read_bytes() == CONTENT
    assert not file.exists()
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("gone", "the server answers 404"),
        ("endless", "more than the 1,048,576 bytes that are valid"),
        ("short", "cannot be brought"),
        ("loop", "more than 5 redirects"),
        ("file", "received file:///etc/passwd; valid: http:// or https://"),
    ],
)
def test_what_is_refused(server, path, said):
    assert said in refused(LOCAL, at(server, path))


@pytest.mark.parametrize("path", ["dripping", "slow"])
def test_a_server_that_never_ends_is_cut_off(server, path):
    """A byte now and then, which no time-out between two bytes would notice; in the body, and in the headers."""
    start = time.monotonic()
    assert "not here after 0.4 seconds" in refused(Fetcher(private=True, seconds=0.4), at(server, path))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.7", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:192.168.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "no address"),
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_addresses_that_are(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_not_asked_however_it_is_written(server, host):
    said = refused(Fetcher(seconds=3), Url(f"http://{host}:{server.server_port}/picture"))
    assert "no public address" in said or "is not known" in said or "cannot be brought" in said
    assert server.asked == []


@pytest.fixture
def names(monkeypatch):
    """Hosts and what they resolve to, one answer after the other; connections go to what was connected to."""
    answers, connected = {}, []

    def getaddrinfo(host, port, *rest, **more):
        found = answers[host]
        address = found.pop(0) if len(found) > 1 else found[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in address.split()]

    monkeypatch.setattr(urls.socket, "getaddrinfo", getaddrinfo)
    system = socket.create_connection

    def connect(address, *rest, **more):
        connected.append(address[0])
        raise OSError(f"no network in tests ({address[0]})")

    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    return answers, connected, system


def test_every_address_of_a_host_is_checked(names):
    answers, connected, _ = names
    answers["mixed.example"] = ["1.1.1.1 10.0.0.1"]
    assert "mixed.example is 10.0.0.1, which is no public address" in refused(
        Fetcher(), "http://mixed.example/a.png"
    )
    assert connected == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_connection_goes_to_the_address_that_was_checked(names, scheme):
    """DNS rebinding: the second answer for the name is another one, and nobody asks for it."""
    answers, connected, _ = names
    answers["rebinding.example"] = ["1.1.1.1", "127.0.0.1"]
    assert "no network in tests (1.1.1.1)" in refused(Fetcher(), f"{scheme}://rebinding.example/a.png")
    assert connected == ["1.1.1.1"]
    assert answers["rebinding.example"] == ["127.0.0.1"]  # asked for once


def test_a_redirect_inwards_is_checked_like_any_address(server, monkeypatch):
    """The first host is let in, as a public one would be; the one that it points to is not."""
    first = []

    def public(address):
        first.append(address)
        return len(first) == 1

    monkeypatch.setattr(urls, "is_public", public)
    assert "127.0.0.1, which is no public address" in refused(Fetcher(seconds=3), at(server, "inward"))
    assert [path for path, _ in server.asked] == ["/inward"]


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///a.png", "http://user:secret@1.1.1.1/", "http://1.1.1.1:99999/", "https://[::1/"],
)
def test_what_is_no_url(url):
    assert refused(Fetcher(), url).startswith(url)
