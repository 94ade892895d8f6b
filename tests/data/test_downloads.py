import hashlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
from urllib3.exceptions import ReadTimeoutError
from urllib3.response import HTTPResponse

from memorability.core.errors import DataError, ParamsError, StorageError
from memorability.core.settings import checked
from memorability.data import archives, downloads, transfers
from memorability.data.downloads import RECORD, Download, install

CONTENT = np.random.default_rng(0).bytes(300_000)
FAST = {"wait": 0.001}


def fetch(download, **options):
    return transfers.fetch(download.url, download.sha256, most_bytes=download.most_bytes, **options)


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; misbehaves as the attributes of the server say."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        with server.lock:
            server.requests.append((self.path, asked, self.headers.get("Accept-Encoding")))
            answer = server.answers.pop(0) if server.answers else {}
        if answer.get("hang_up"):
            return self.break_off(reset=False)
        if "status" in answer:
            return self.head(answer["status"], {"Content-Length": "0", **answer.get("headers", {})})
        content = answer.get("content", server.files[self.path])
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.ranges else None
        if start is not None and start >= len(content):
            return self.head(416, {"Content-Range": f"bytes */{len(content)}"})
        return self.body(content, start, answer)

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, content, start, answer):
        first, body = start or 0, content[start or 0 :][: answer.get("piece")]
        headers = {"Content-Length": str(len(body) + answer.get("promised_more", 0))}
        if start is not None:
            told = first + answer.get("shifted", 0)
            headers["Content-Range"] = f"bytes {told}-{first + len(body) - 1}/{len(content)}"
        if answer.get("without_length"):
            del headers["Content-Length"]
        if isinstance(body, Endless):
            self.head(200, {})
            while True:
                self.wfile.write(bytes(2**20))
        self.head(200 if start is None else 206, headers | answer.get("headers", {}))
        cut = answer.get("cut")
        for at in range(0, len(body[:cut]), self.server.chunk):
            piece = body[:cut][at : at + self.server.chunk]
            self.wfile.write(piece)
            with self.server.lock:
                self.server.served += len(piece)
            if self.server.hold is not None and self.server.served >= self.server.hold:
                self.server.stopped.wait()
        if cut is not None:
            self.break_off(reset=answer.get("reset", False))

    def break_off(self, *, reset):
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, ValueError):  # the client has gone, or the socket was closed above
            self.close_connection = True

    def finish(self):
        if self.connection.fileno() != -1:
            super().finish()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.files = {"/data.bin": CONTENT}
        self.answers = []  # what is wrong with the next answers; all later ones are good
        self.requests, self.served = [], 0
        self.ranges, self.chunk = True, 65536
        self.hold = None  # bytes after which nothing more is sent

    def url(self, path="/data.bin"):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def download(self, path="/data.bin", content=None, **options):
        content = self.files[path] if content is None else content
        return Download(url=self.url(path), sha256=sha256(content), **options)

    @property
    def ranges_asked(self):
        return [asked for _, asked, _ in self.requests]


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.stopped.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def only_right_bytes_get_a_final_name(monkeypatch):
    replace = Path.replace

    def watched(self, target):
        if len(Path(target).name) == 64:
            assert sha256(self.read_bytes()) == Path(target).name
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)


@pytest.fixture
def waits(monkeypatch):
    """The waits between attempts, which take no time."""
    found = []
    monkeypatch.setattr(transfers.time, "sleep", found.append)
    return found


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def part_of(store, content=CONTENT):
    return store / f"{sha256(content)}.part"


def holds_the_file_alone(store, content=CONTENT):
    return names(store) == [sha256(content)] and (store / sha256(content)).read_bytes() == content


def tree(folder):
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def zipped(**members):
    return packed_zip({f"{name}.txt": content for name, content in members.items()})


def packed_zip(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def packed_tar(members, mode="w:gz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("url", "ftp://host/a.zip", "valid: http:// or https://"),
        ("url", "file:///etc/passwd", "valid: http:// or https://"),
        ("url", "https:///a.zip", "a host"),
        ("url", "https://host/", "the path of a file"),
        ("url", "https://host/a/..", "leads out"),
        ("url", "https://host/a%5C..%5Cb", "backslash"),
        ("sha256", "abc", "received 'abc'; valid: 64 hexadecimal digits"),
        ("sha256", "g" * 64, "64 hexadecimal"),
        ("into", "/top", "leads out of its folder: received '/top'"),
        ("into", "a/../..", "leads out"),
        ("name", "../x", "leads out"),
        ("called", "x", "unknown key; valid keys: url, sha256, into, name, most_bytes"),
        ("most_bytes", 0, "greater than 0"),
    ],
)
def test_settings_that_are_not_valid_are_named(key, value, why):
    block = {"url": "https://host/a.zip", "sha256": "0" * 64} | {key: value}
    with pytest.raises(ParamsError, match=rf"downloads.0.{key}: .*{why}"):
        checked(Download, block, at="downloads.0")


def test_settings_are_brought_to_one_form():
    download = Download(url="http://host/a.zip?x=1", sha256="AB" * 32, into="a//b/")
    assert (download.sha256, download.into) == ("ab" * 32, "a/b")


def test_a_file_is_fetched_once(server, tmp_path):
    store = tmp_path / "new" / "store"
    path = fetch(server.download(), store=store)
    assert path == store / sha256(CONTENT)
    assert fetch(server.download(), store=store) == path
    assert holds_the_file_alone(store)
    assert server.requests == [("/data.bin", None, "identity")]


@pytest.mark.parametrize("answer", [{}, {"without_length": True}, {"headers": {"Content-Encoding": "gzip"}}])
@pytest.mark.parametrize("content", [CONTENT, b""])
def test_bytes_are_stored_as_they_are_served(server, tmp_path, answer, content):
    server.files["/data.bin"], server.answers = content, [answer]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path, content)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307])
def test_redirects_are_followed_also_by_a_continued_transfer(server, tmp_path, status):
    moved = {"status": status, "headers": {"Location": server.url("/there")}}
    server.files["/there"] = CONTENT
    server.answers = [moved, {"cut": 70_000}, moved]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.requests[-1][:2] == ("/there", "bytes=70000-")


def test_a_transfer_that_is_cut_goes_on_with_the_rest_alone(server, tmp_path):
    server.answers = [{"cut": 100_001}, {"cut": 99_998}]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked == [None, "bytes=100001-", "bytes=199999-"]
    assert server.served == len(CONTENT)


def test_a_connection_that_is_reset_goes_on(server, tmp_path):
    # A reset may take bytes with it that were on their way, so little enough must be left for a third one.
    server.answers = [{"cut": 200_000, "reset": True}, {"cut": 50_000, "reset": True}]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert len(server.requests) == 3


def test_a_server_that_gives_ranges_in_pieces_is_asked_for_all_of_them(server, tmp_path):
    server.answers = [{"cut": 50_000}, {"piece": 60_000}, {"piece": 70_000}]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked[1:] == ["bytes=50000-", "bytes=110000-", "bytes=180000-"]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.ranges, server.answers = False, [{"cut": 250_000}, {"cut": 10}]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked == [None, "bytes=250000-", "bytes=10-"]
    assert server.served == 250_010 + len(CONTENT)


def test_another_range_than_asked_for_is_not_appended(server, tmp_path):
    server.answers = [{"cut": 1000}, {"shifted": -10}]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked == [None, "bytes=1000-", None]


@pytest.mark.parametrize(
    "left", [CONTENT, CONTENT + b"more", b"x" * len(CONTENT)], ids=["all", "more", "bad"]
)
def test_a_part_that_is_complete_or_longer(server, tmp_path, left):
    part_of(tmp_path).write_bytes(left)
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked == [f"bytes={len(left)}-"] + [None] * (left != CONTENT)


@pytest.mark.parametrize("left", [b"x" * 1000, CONTENT[1:2000]])
def test_a_part_of_another_file_is_thrown_away(server, tmp_path, left):
    part_of(tmp_path).write_bytes(left)
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked == [f"bytes={len(left)}-", None]


def test_a_file_that_changes_between_the_cut_and_the_rest_is_fetched_afresh(server, tmp_path):
    server.answers = [{"content": b"y" * 300_000, "cut": 100_000}]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked == [None, "bytes=100000-", None]


@pytest.mark.parametrize("cut", [None, 100])
def test_another_content_is_refused_with_both_hashes(server, tmp_path, cut):
    expected = server.download()
    server.files["/data.bin"] = b"changed" * 1000
    server.answers = [{"cut": cut}] if cut else []
    with pytest.raises(DataError) as caught:
        fetch(expected, store=tmp_path, **FAST)
    for words in (server.url(), sha256(CONTENT), sha256(b"changed" * 1000), "may have changed", "set sha256"):
        assert words in str(caught.value)
    assert names(tmp_path) == []
    assert server.ranges_asked == ([None, "bytes=100-", None] if cut else [None])


@pytest.mark.parametrize(
    "answer",
    [
        *({"status": status} for status in (408, 425, 429, 500, 502, 503)),
        {"hang_up": True},
        {"cut": 0},
    ],
    ids=str,
)
def test_waits_grow_while_nothing_comes(server, tmp_path, waits, answer):
    server.answers = [answer] * 5
    fetch(server.download(), store=tmp_path, wait=1)
    assert waits == [1, 2, 4, 8, 16]
    assert holds_the_file_alone(tmp_path)


def test_progress_resets_the_count_and_the_waits(server, tmp_path, waits):
    down = {"status": 503}
    server.answers = [down, down, {"cut": 10}, down, down, {"cut": 20}, down, down]
    fetch(server.download(), store=tmp_path, attempts=3, wait=1)
    assert waits == [1, 2, 1, 1, 2, 1, 1, 2]
    assert holds_the_file_alone(tmp_path)


def test_starting_over_again_and_again_is_no_progress(server, tmp_path, waits):
    server.ranges, server.answers = False, [{"cut": size} for size in (5000, 4000, 4500, 4900)]
    with pytest.raises(DataError, match="3 attempts in a row failed"):
        fetch(server.download(), store=tmp_path, attempts=3, wait=1)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("asked", "waited"), [("7", 7), ("0", 1), ("4000", 60), ("Wed, 21 Oct 2065 07:28:00 GMT", 1), ("-5", 1)]
)
def test_a_server_may_ask_for_a_longer_wait(server, tmp_path, waits, asked, waited):
    server.answers = [{"status": 503, "headers": {"Retry-After": asked}}]
    fetch(server.download(), store=tmp_path, wait=1)
    assert waits == [waited]


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (401, "asks for permission"),
        (403, "asks for permission"),
        (404, "no such file"),
        (410, "no longer there"),
        (400, "refuses"),
        (416, "refuses"),
        (204, "refuses"),
    ],
)
def test_a_refusal_is_not_asked_again(server, tmp_path, waits, status, meaning):
    server.answers = [{"status": status}]
    with pytest.raises(DataError, match=f"{server.url()}: the server answers {status}: .*{meaning}"):
        fetch(server.download(), store=tmp_path)
    assert (len(server.requests), waits, names(tmp_path)) == (1, [], [])


def test_giving_up_says_why_and_a_second_run_continues(server, tmp_path):
    server.answers = [{"cut": 1234}, *[{"status": 500}] * 2]
    with pytest.raises(
        DataError, match="2 attempts in a row failed, the last one: the server answers 500"
    ) as up:
        fetch(server.download(), store=tmp_path, attempts=2, **FAST)
    assert server.url() in str(up.value)
    assert "continues at 1,234 bytes" in str(up.value)
    assert part_of(tmp_path).read_bytes() == CONTENT[:1234]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked[-1] == "bytes=1234-"


def test_a_server_that_never_sends_what_it_promises(server, tmp_path):
    server.ranges, server.answers = False, [{"promised_more": 10}] * 4
    with pytest.raises(DataError, match="3 attempts in a row failed"):
        fetch(server.download(), store=tmp_path, attempts=3, **FAST)
    assert names(tmp_path) == [part_of(tmp_path).name]


def test_no_server_at_all(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/data.bin"
        with pytest.raises(DataError, match=f"{url}: 2 attempts .*refused"):
            fetch(Download(url=url, sha256="0" * 64), store=tmp_path, attempts=2, **FAST)


def test_a_server_that_falls_silent_is_left(server, tmp_path, monkeypatch):
    """The silence comes after 100,000 bytes; that the wait for more has ended is said and not waited for."""
    read, got = HTTPResponse.read1, []

    def silent(self, amount, **options):
        left = 100_000 - sum(map(len, got))
        if left == 0 and len(server.requests) == 1:
            raise ReadTimeoutError(None, None, "Read timed out.")
        got.append(read(self, min(amount, left) if len(server.requests) == 1 else amount, **options))
        return got[-1]

    monkeypatch.setattr(HTTPResponse, "read1", silent)
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked == [None, "bytes=100000-"]


def test_no_answer_is_waited_for_without_end(server, tmp_path, monkeypatch):
    get, waited = requests.get, []
    monkeypatch.setattr(requests, "get", lambda *a, **o: waited.append(o["timeout"]) or get(*a, **o))
    fetch(server.download(), store=tmp_path, **FAST)
    assert waited == [transfers.TIMEOUT]


def test_a_cut_of_an_answer_without_a_length_goes_on(server, tmp_path):
    server.answers = [{"without_length": True, "cut": 100_000}, {"without_length": True, "cut": 50_000}]
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked == [None, "bytes=100000-", "bytes=150000-"]
    assert server.served == len(CONTENT)


@pytest.mark.parametrize("ranges", [True, False])
def test_another_content_without_a_length_is_refused(server, tmp_path, ranges):
    expected, server.ranges = server.download(), ranges
    server.files["/data.bin"], server.answers = b"changed" * 1000, [{"without_length": True}] * 3
    with pytest.raises(DataError, match=r"expected the SHA-256 .*the source may have changed"):
        fetch(expected, store=tmp_path, **FAST)
    assert names(tmp_path) == []
    assert len(server.requests) <= 3


@pytest.mark.parametrize("answer", [{}, {"without_length": True}])
def test_a_body_has_a_limit(server, tmp_path, answer):
    server.answers, server.chunk = [answer], 1000
    with pytest.raises(DataError, match="has more than the 100,000 bytes that are valid; `most_bytes`"):
        fetch(server.download(most_bytes=100_000), store=tmp_path, **FAST)
    assert names(tmp_path) == []
    assert len(server.requests) == 1
    fetch(server.download(most_bytes=len(CONTENT)), store=tmp_path, **FAST)


def test_a_body_without_end_is_left(server, tmp_path):
    server.files["/data.bin"] = Endless()
    download = Download(url=server.url(), sha256="0" * 64, most_bytes=5_000_000)
    with pytest.raises(DataError, match="has more than the 5,000,000 bytes that are valid"):
        fetch(download, store=tmp_path, **FAST)
    assert names(tmp_path) == []


class Endless:
    """As bytes, as far as the server looks: a million zeros, again and again."""

    def __getitem__(self, part):
        return self

    def __len__(self):
        return 2**62


def test_a_redirect_to_what_is_no_web_address(server, tmp_path):
    server.answers = [{"status": 302, "headers": {"Location": "ftp://host/file"}}]
    with pytest.raises(DataError, match="cannot be asked for"):
        fetch(server.download(), store=tmp_path)
    assert len(server.requests) == 1


def test_a_store_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "store").write_bytes(b"a file")
    with pytest.raises(StorageError, match="store: cannot be written"):
        fetch(server.download(), store=tmp_path / "store")


def in_a_process(server, store):
    code = (
        "import sys; from pathlib import Path; from memorability.data.transfers import fetch; "
        "fetch(sys.argv[1], sys.argv[2], store=Path(sys.argv[3]), most_bytes=10**9)"
    )
    arguments = [sys.executable, "-c", code, server.url(), sha256(CONTENT), str(store)]
    return subprocess.Popen(arguments, stderr=subprocess.DEVNULL)


def test_a_process_that_is_killed_is_continued(server, tmp_path):
    server.chunk, server.hold = 20_000, 60_000
    process = in_a_process(server, tmp_path)
    while not (part_of(tmp_path).exists() and part_of(tmp_path).stat().st_size == 60_000):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    there = part_of(tmp_path).stat().st_size
    assert there == 60_000
    assert not (tmp_path / sha256(CONTENT)).exists()
    server.hold = None
    fetch(server.download(), store=tmp_path, **FAST)
    assert holds_the_file_alone(tmp_path)
    assert server.ranges_asked == [None, f"bytes={there}-"]


def test_two_processes_at_once_transfer_once(server, tmp_path):
    processes = [in_a_process(server, tmp_path) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert holds_the_file_alone(tmp_path)
    assert (len(server.requests), server.served) == (1, len(CONTENT))


def test_root_is_made_of_archives_and_files(server, tmp_path):
    server.files |= {
        "/a.zip": packed_zip({"images/1.jpg": b"one", "images/ü.jpg": b"two"}),
        "/b.TGZ": packed_tar({"data/t.csv": b"t"}),
        "/c.tar": packed_tar({"c": b"c"}, "w:"),
        "/d.tar.gz": packed_tar({"d": b"d"}),
        "/e%20f.csv": b"x,y\n",
        "/g.npz": packed_zip({"array": b"stays packed"}),
    }
    into = {"/c.tar": "deep/er", "/d.tar.gz": "deep", "/g.npz": "images"}
    wanted = [server.download(path, into=into.get(path, ".")) for path in server.files if path != "/data.bin"]
    install(wanted, tmp_path / "new" / "root", store=tmp_path / "store")
    found = tree(tmp_path / "new" / "root")
    record = json.loads(found.pop(RECORD))
    assert record == [{"url": d.url, "sha256": d.sha256, "into": d.into, "name": ""} for d in wanted]
    assert found == {
        **{"images/1.jpg": b"one", "images/ü.jpg": b"two", "images/g.npz": server.files["/g.npz"]},
        **{"data/t.csv": b"t", "deep/er/c": b"c", "deep/d": b"d", "e f.csv": b"x,y\n"},
    }
    assert names(tmp_path / "new") == ["root"]
    install(wanted, tmp_path / "new" / "root", store=tmp_path / "gone")  # from what stands there
    assert len(server.requests) == len(wanted)
    assert not (tmp_path / "gone").exists()


def test_an_archives_only_top_folder_becomes_the_root(server, tmp_path):
    server.files["/files/17"] = packed_zip({"lamem-1.0/images/1.jpg": b"one", "lamem-1.0/splits/a.txt": b"a"})
    download = server.download("/files/17").model_copy(update={"name": "lamem.zip"})
    for _ in range(2):  # the second time from what stands there
        install([download], tmp_path / "root", store=tmp_path / "store")
        assert tree(tmp_path / "root").keys() == {RECORD, "images/1.jpg", "splits/a.txt"}
    assert len(server.requests) == 1
    assert names(tmp_path) == ["root", "store"]


def test_another_set_replaces_the_folder_at_once(server, tmp_path):
    root, store = tmp_path / "root", tmp_path / "store"
    server.files |= {"/a.zip": zipped(old=b"1"), "/b.zip": zipped(new=b"2")}
    install([server.download("/a.zip")], root, store=store)
    server.answers = [{"status": 404}]
    with pytest.raises(DataError, match="404"):
        install([server.download("/b.zip")], root, store=store)
    assert tree(root).keys() == {RECORD, "old.txt"}
    install([server.download("/b.zip")], root, store=store)
    assert tree(root).keys() == {RECORD, "new.txt"}
    assert names(tmp_path) == ["root", "store"]


@pytest.mark.parametrize("record", [None, "no json"])
def test_a_folder_of_ones_own_is_left_alone(server, tmp_path, record):
    root = tmp_path / "root"
    root.mkdir()
    (root / "mine").write_bytes(b"1")
    if record:
        (root / RECORD).write_text(record)
    before = tree(root)
    with pytest.raises(
        DataError, match=r"root: received a folder that was not downloaded here.*move it away"
    ):
        install([server.download()], root, store=tmp_path / "store")
    assert (tree(root), server.requests) == (before, [])


def test_a_link_to_a_folder_elsewhere_is_kept(server, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk" / "data")
    for content in (b"1", b"2"):
        server.files["/a.zip"] = zipped(a=content)
        install([server.download("/a.zip")], tmp_path / "root", store=tmp_path / "store")
        assert (tmp_path / "root").is_symlink()
        assert tree(tmp_path / "disk" / "data")["a.txt"] == content
    assert names(tmp_path / "disk") == ["data"]


def test_files_of_the_same_name_are_refused_before_anything_is_fetched(server, tmp_path):
    server.files |= {"/1/download": b"1", "/2/download": b"2"}
    first, second = server.download("/1/download"), server.download("/2/download")
    with pytest.raises(DataError, match=r"received the files download, download; .* see `into`"):
        install([first, second], tmp_path / "root", store=tmp_path / "store")
    assert server.requests == []
    install([first, second.model_copy(update={"into": "2"})], tmp_path / "root", store=tmp_path / "store")


def test_a_bad_archive_makes_no_root(server, tmp_path):
    server.files |= {"/a.zip": zipped(a=b"1"), "/b.zip": packed_zip({"../b": b"2"}), "/c.tar": b"<html>"}
    for bad in ("/b.zip", "/c.tar"):
        with pytest.raises(DataError, match=r"leads out|no tar"):
            install(
                [server.download("/a.zip"), server.download(bad)], tmp_path / "root", store=tmp_path / "store"
            )
        assert not (tmp_path / "root").exists()


def interrupted(monkeypatch, where, name, after):
    """Makes the `after`-th call of `where.name` (and later ones) an interruption."""
    original, left = getattr(where, name), iter(range(after))

    def call(*arguments, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(where, name, call)


def test_an_interrupted_unpacking_goes_on(server, tmp_path, monkeypatch):
    root, store = tmp_path / "root", tmp_path / "store"
    server.files |= {"/a.zip": zipped(a=b"1", b=b"2", c=b"3"), "/b.zip": zipped(d=b"4")}
    wanted = [server.download("/a.zip"), server.download("/b.zip")]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted(patch, archives._Target, "take", 2)
        install(wanted, root, store=store)
    assert not root.exists()
    first = tmp_path / ".root.part" / "content" / "a.txt"
    kept = first.stat().st_ino
    install(wanted, root, store=store)
    assert (root / "a.txt").stat().st_ino == kept
    assert tree(root).keys() == {RECORD, "a.txt", "b.txt", "c.txt", "d.txt"}
    assert names(tmp_path) == ["root", "store"]
    assert len(server.requests) == 2


def test_what_was_begun_for_another_set_is_thrown_away(server, tmp_path, monkeypatch):
    root, store = tmp_path / "root", tmp_path / "store"
    server.files |= {"/a.zip": zipped(a=b"1", same=b"old"), "/b.zip": zipped(b=b"2", same=b"new")}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted(patch, downloads, "_publish", 0)
        install([server.download("/a.zip")], root, store=store)
    install([server.download("/b.zip")], root, store=store)
    found = tree(root)
    assert (found.keys(), found["same.txt"]) == ({RECORD, "b.txt", "same.txt"}, b"new")


@pytest.mark.parametrize("renamed", [0, 1])
def test_a_replacement_that_is_killed_half_way_is_completed(server, tmp_path, monkeypatch, renamed):
    root, store = tmp_path / "root", tmp_path / "store"
    server.files |= {"/a.zip": zipped(a=b"1"), "/b.zip": zipped(b=b"2")}
    install([server.download("/a.zip")], root, store=store)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted(patch, Path, "rename", renamed)
        install([server.download("/b.zip")], root, store=store)
    install([server.download("/b.zip")], root, store=store)
    assert tree(root).keys() == {RECORD, "b.txt"}
    assert names(tmp_path) == ["root", "store"]


def test_what_a_kill_after_the_last_step_left_is_cleared(server, tmp_path, monkeypatch):
    root, store = tmp_path / "root", tmp_path / "store"
    server.files["/a.zip"] = zipped(a=b"1")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted(patch, downloads.shutil, "rmtree", 0)
        install([server.download("/a.zip")], root, store=store)
    assert names(tmp_path) == [".root.part", "root", "store"]
    install([server.download("/a.zip")], root, store=store)
    assert names(tmp_path) == ["root", "store"]


def test_two_threads_make_one_root(server, tmp_path):
    texts = {f"t{i}": CONTENT[:i] for i in range(300)}  # so many that both would be at it at once
    server.files["/a.zip"] = zipped(**texts)
    wanted, errors = [server.download("/a.zip")], []

    def work():
        try:
            install(wanted, tmp_path / "root", store=tmp_path / "store")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, len(server.requests)) == ([], 1)
    assert tree(tmp_path / "root").keys() == {RECORD, *(f"{name}.txt" for name in texts)}
    assert names(tmp_path) == ["root", "store"]
