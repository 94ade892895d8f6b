"""A file of the web, brought by its URL: bounded in bytes and in time, and never from within a private network.

A server that takes URLs from others must not be made to ask its own network for them. So each host is resolved once, all of
its addresses are checked, and the connection is made to an address that was checked, not to the name again, which might
by then lead elsewhere (DNS rebinding). Each redirect is checked anew.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urljoin, urlsplit

from memorability.core.errors import DataError

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

MOST_BYTES: Final = 512 * 2**20
CHUNK: Final = 2**20  # bytes that are read at a time
SECONDS: Final = 60.0  # for all of it: names, redirects, the last byte
REDIRECTS: Final = 5
PORTS: Final = {"http": 80, "https": 443}
REDIRECTED: Final = (301, 302, 303, 307, 308)
SENT: Final = {
    "Accept-Encoding": "identity",
    "Accept": "image/*, video/*, */*;q=0.1",
    "User-Agent": "memorability",
}
EMBEDDED: Final = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses, as NAT64 writes them


class Url(str):
    """Where a file of the web lies, as a user gave it."""

    __slots__ = ()

    @staticmethod
    def is_one(text: str) -> bool:
        return text.lower().startswith(("http://", "https://"))


class Fetcher:
    """Brings files of the web.

    Args:
        most_bytes, seconds: that one may have, and take.
        private: whether addresses of this machine and of private networks are allowed, as tests need.
    """

    def __init__(
        self, *, most_bytes: int = MOST_BYTES, seconds: float = SECONDS, private: bool = False
    ) -> None:
        self._most, self._seconds, self._private = most_bytes, seconds, private

    @contextmanager
    def brought(self, url: str) -> Iterator[Path]:
        """The file of a URL, for as long as the block lasts.

        Raises:
            DataError: the URL or an address is not valid, the server refuses, or it is too large or takes too long.
        """
        # Clients of the web are imported when there is something to bring: scoring files needs none.
        from urllib3.exceptions import HTTPError

        from memorability.data.transfers import file_name

        with TemporaryDirectory(prefix="memorability-") as folder:
            try:
                name = "".join(c for c in file_name(url)[-80:] if c.isalnum() or c in "._-").lstrip(".")
                path = Path(folder) / (name or "file")
                with path.open("wb") as out:
                    self._bring(url, out)
            except DataError:
                raise
            except (HTTPError, OSError, ValueError) as error:
                raise DataError(f"{url}: cannot be brought ({_text(error)})") from error
            yield path

    def _bring(self, url: str, out: Any) -> None:
        at = url
        with _Clock(self._seconds) as clock:
            for _ in range(REDIRECTS + 1):
                connection = self._connection(at, url)
                try:
                    with clock.watching(connection, url):
                        connection.connect()
                        clock.socket = connection.sock  # which an answer without a length takes over
                        target = self._answer(connection, at, url, out)
                finally:
                    connection.close()
                if target is None:
                    return
                at = target
        raise DataError(f"{url}: more than {REDIRECTS} redirects")

    def _connection(self, at: str, url: str) -> HTTPConnection:
        """To an address of the host that was checked."""
        from urllib3.connection import HTTPConnection, HTTPSConnection

        try:
            parts = urlsplit(at)
            host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
        except ValueError as error:
            raise DataError(f"{url}: no valid URL ({error})") from error
        if parts.scheme not in PORTS or not host or parts.username is not None:
            raise DataError(f"{url}: received {at}; valid: http:// or https://, a host and a path, no user")
        address = self._address(host, port, url)
        if parts.scheme == "http":
            return HTTPConnection(address, port, timeout=self._seconds)
        return HTTPSConnection(
            address,
            port,
            timeout=self._seconds,
            server_hostname=host,
            assert_hostname=host,
            ssl_context=ssl.create_default_context(),
        )

    def _address(self, host: str, port: int, url: str) -> str:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DataError(f"{url}: the host {host} is not known ({_text(error)})") from error
        addresses = [str(one[4][0]) for one in found]
        for address in addresses:
            if not self._private and not is_public(address):
                raise DataError(
                    f"{url}: {host} is {address}, which is no public address; valid: hosts of the open web"
                )
        return addresses[0]

    def _answer(self, connection: HTTPConnection, at: str, url: str, out: Any) -> str | None:
        """Writes what the server sends; or says where it sends us."""
        parts = urlsplit(at)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
        host = parts.netloc.rpartition("@")[2]
        connection.request("GET", path + query, headers=SENT | {"Host": host}, preload_content=False)
        answer = connection.getresponse()
        if answer.status in REDIRECTED and (target := answer.headers.get("Location")):
            return urljoin(at, target)
        if answer.status != 200:
            raise DataError(f"{url}: the server answers {answer.status}")
        told = answer.headers.get("Content-Length", "")
        self._check(int(told) if told.isdecimal() else 0, url)
        size = 0
        while block := answer.read1(CHUNK, decode_content=False):
            size += len(block)
            self._check(size, url)
            out.write(block)
        return None

    def _check(self, size: int, url: str) -> None:
        if size > self._most:
            raise DataError(f"{url}: more than the {self._most:,} bytes that are valid")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, whatever notation an IPv4 address is wrapped in.

    >>> [is_public(one) for one in ("1.1.1.1", "127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254", "64:ff9b::7f00:1")]
    [True, False, False, False, False]
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in EMBEDDED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def _text(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]


class _Clock:
    """Cuts a connection once the time is over, whether or not the server still sends a byte now and then."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._over = seconds, threading.Event()
        self._connection: HTTPConnection | None = None
        self.socket: Any = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Clock:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    @contextmanager
    def watching(self, connection: HTTPConnection, url: str) -> Iterator[None]:
        late = DataError(f"{url}: not here after {self._seconds:g} seconds")
        self._connection, self.socket = connection, None
        if self._over.is_set():
            raise late
        try:
            yield
        except Exception as error:
            raise late if self._over.is_set() else error from error
        if self._over.is_set():  # what looks like an end is the cut
            raise late

    def _cut(self) -> None:
        self._over.set()
        connection = self._connection
        connected = self.socket if connection is None else self.socket or connection.sock
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
