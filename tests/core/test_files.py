import errno
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from permissions import read_only
from safetensors import SafetensorError

from memorability.core import files
from memorability.core.errors import DataError, MemorabilityError, StorageError


class Stop(Exception):
    pass


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_staged_writes_a_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "folders" / "a.txt"
    with files.staged(path) as scratch:
        assert scratch.parent == path.parent
        scratch.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    assert names(path.parent) == ["a.txt"]


def test_staged_keeps_the_old_file_when_the_block_raises(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(Stop), files.staged(path) as scratch:
        scratch.write_text("half")
        raise Stop
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_staged_makes_nothing_when_a_first_block_raises(tmp_path):
    with pytest.raises(Stop), files.staged(tmp_path / "a.txt") as scratch:
        scratch.write_text("half")
        raise Stop
    assert names(tmp_path) == []


def test_staged_survives_what_an_interrupted_run_left(tmp_path):
    path = tmp_path / "a.txt"
    with files.staged(path) as scratch:
        left = scratch
        scratch.write_text("x")
    left.mkdir()
    (left / "rest").write_text("of a run that was killed")
    with files.staged(path) as scratch:
        assert not scratch.exists()
        scratch.write_text("new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_staged_folder_replaces_the_whole_folder(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / "stale").write_text("old")
    with files.staged_folder(path) as folder:
        assert list(folder.iterdir()) == []
        (folder / "fresh").write_text("new")
        assert names(path) == ["stale"]
    assert names(path) == ["fresh"]
    assert names(tmp_path) == ["out"]


def test_staged_folder_keeps_the_old_folder_when_the_block_raises(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / "kept").write_text("old")
    with pytest.raises(Stop), files.staged_folder(path) as folder:
        (folder / "fresh").write_text("new")
        raise Stop
    assert names(path) == ["kept"]
    assert names(tmp_path) == ["out"]


# What a killed process left


def left_by(path, number):
    """Scratch of a process, half a file or half a folder."""
    scratch = path.with_name(f".{path.name}.{number}.part")
    if number % 2:
        scratch.mkdir()
        (scratch / "half").write_text("x")
    else:
        scratch.write_text("x")
    return scratch


@pytest.fixture
def ended():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_scratch_of_an_ended_process_is_removed(tmp_path, ended):
    left_by(tmp_path / "a.txt", ended)
    files.write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_was_being_replaced_comes_back(tmp_path, ended):
    """Its process was killed between moving the old one away and moving the new one here."""
    old = tmp_path / f".a.{ended}.old"
    old.mkdir()
    (old / "content").write_text("before")
    with pytest.raises(KeyError), files.staged_folder(tmp_path / "a"):
        raise KeyError
    assert (tmp_path / "a" / "content").read_text() == "before"
    assert names(tmp_path) == ["a"]


def test_scratch_of_a_living_process_is_kept(tmp_path):
    kept = left_by(tmp_path / "a.txt", os.getppid())
    files.write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == sorted([kept.name, "a.txt"])


@pytest.mark.parametrize("name", ["b.txt", "a.txt.part", "xa.txt", "a.txt.gz"])
def test_scratch_for_other_paths_is_kept(tmp_path, ended, name):
    kept = left_by(tmp_path / name, ended)
    files.write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == sorted([kept.name, "a.txt"])


@pytest.mark.parametrize("name", ["model [1]*?.txt", "ü", ".hidden"])
def test_names_of_any_kind(tmp_path, ended, name):
    left_by(tmp_path / name, ended)
    files.write_text(tmp_path / name, "new")
    assert names(tmp_path) == [name]


def test_files_that_only_look_like_scratch_are_kept(tmp_path):
    (tmp_path / ".a.txt.mine.part").write_text("x")
    files.write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == [".a.txt.mine.part", "a.txt"]


# A disk that is full


def of_python(number):
    return OSError(number, os.strerror(number))


def of_rust(number):
    return SafetensorError(f"Error while serializing: I/O error: {os.strerror(number)} (os error {number})")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get)
@pytest.mark.parametrize("error", [of_python, of_rust])
def test_a_full_disk_is_named_and_nothing_changes(tmp_path, error, number):
    (tmp_path / "a.txt").write_text("old")
    full = pytest.raises(StorageError, match=r"a\.txt: cannot be written, the disk is full")
    with full as caught, files.staged(tmp_path / "a.txt") as scratch:
        scratch.write_text("half")
        raise error(number)
    assert str(caught.value.__cause__) == str(error(number))
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("again", ["from", "while"])
def test_a_full_disk_is_recognised_behind_other_errors(tmp_path, again):
    with pytest.raises(StorageError), files.staged(tmp_path / "a.txt"):
        try:
            raise of_python(errno.ENOSPC)
        except OSError as error:
            if again == "from":
                raise RuntimeError("archive not closed") from error
            raise RuntimeError("archive not closed")  # noqa: B904


@pytest.mark.parametrize(
    "error", [of_python(errno.EACCES), of_rust(errno.EACCES), ValueError("os error 28"), DataError("x")]
)
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, files.staged(tmp_path / "a.txt"):
        raise error
    assert caught.value is error


def test_an_error_that_hides_a_full_disk(tmp_path, monkeypatch):
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 5000, 5000))
    with pytest.raises(StorageError), files.staged(tmp_path / "a.txt"):
        raise RuntimeError("the stream failed")


def test_a_full_disk_is_a_users_error():
    assert issubclass(StorageError, MemorabilityError)


# A process of its own under a real limit: overwrites a model and a table, each too large this time.
WRITE = """
import json, resource, signal, sys
from pathlib import Path
import numpy as np
import pandas as pd
from memorability.core.errors import StorageError
from memorability.data import tables
from memorability.training import artifacts

folder, limit = Path(sys.argv[1]), int(sys.argv[2])

def write(name, rows):
    if name == "model":
        artifacts.save(folder / name, config={"rows": rows}, arrays={"a": np.zeros(rows)})
    else:
        tables.write(pd.DataFrame({"id": np.arange(rows)}), folder / name)

def contents():
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

def attempt(name):
    try:
        write(name, 10**6)
    except StorageError as error:
        return str(error)

for name in ("model", "table.csv"):
    write(name, 10)
before = contents()
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
errors = [attempt(name) for name in ("model", "table.csv")]
print(json.dumps({"errors": errors, "intact": contents() == before, "names": sorted(contents())}))
"""


def written_under(folder, *, limit=0, before=()):
    command = [*before, sys.executable, "-c", WRITE, str(folder), str(limit)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def assert_named_and_intact(found):
    assert [error.split(": ")[1].split(",")[0] for error in found["errors"]] == ["cannot be written"] * 2
    assert found["intact"]
    assert found["names"] == ["model/config.json", "model/model.safetensors", "table.csv"]


def test_a_limit_on_the_size_of_files(tmp_path):
    assert_named_and_intact(written_under(tmp_path, limit=100_000))


MOUNT = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"'
OWN_MOUNTS = ("unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT)


def may_mount(folder):
    try:
        return subprocess.run([*OWN_MOUNTS, str(folder), "true"], capture_output=True).returncode == 0
    except OSError:
        return False


def test_a_file_system_that_is_full(tmp_path):
    if not may_mount(tmp_path):
        pytest.skip("no permission to mount a small file system")
    assert_named_and_intact(written_under(tmp_path, before=(*OWN_MOUNTS, str(tmp_path))))
    assert names(tmp_path) == []  # all that was inside the mount


# JSON, text and digests


def test_json_round_trip(tmp_path):
    value = {"a": [1, 2.5, None, True], "é": {"b": "text"}}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_json_does_not_have(tmp_path, number):
    path = tmp_path / "a.json"
    files.write_json(path, {"kept": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"deep": [{"value": number}]})
    assert files.read_json(path) == {"kept": 1}
    assert names(tmp_path) == ["a.json"]


def test_text_is_utf8_with_plain_newlines(tmp_path):
    files.write_text(tmp_path / "a.txt", "é\nü\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\nü\n".encode()


def test_digest_sees_the_borders_between_parts():
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("", "abc"), ("abc", ""), ("c", "ab")]
    assert len({files.digest(*each) for each in parts}) == len(parts)


def test_digest_of_a_path_is_that_of_its_content(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"content")
    assert files.digest(tmp_path / "one") == files.digest(b"content") == files.digest("content")
    assert files.digest(tmp_path / "one") == files.digest(tmp_path / "two")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.binary(max_size=20), max_size=4))
def test_digest_is_equal_for_equal_parts_only(left, right):
    assert (files.digest(*left) == files.digest(*right)) == (left == right)
    assert len(files.digest(*left)) == len(hashlib.sha256().hexdigest())


# Reading within bounds


def test_a_file_is_read_up_to_its_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "a", limit=5) == b"12345"
    with pytest.raises(DataError, match=r"^a file of 5 bytes; valid: up to 4$"):
        files.read_bytes(tmp_path / "a", limit=4)


def test_a_file_that_grows_while_it_is_read_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    status = path.stat()
    monkeypatch.setattr(files.os, "fstat", lambda number: status)
    path.write_bytes(b"1" * 1000)
    with pytest.raises(DataError, match=r"^a file of 6 bytes; valid: up to 5$"):
        files.read_bytes(path, limit=5)


@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device", "folder", "nothing", "loop"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "a"
    {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: None,
        "link to a device": lambda: path.symlink_to("/dev/zero"),
        "folder": lambda: path.mkdir(),
        "nothing": lambda: None,
        "loop": lambda: path.symlink_to(path),
    }[kind]()
    error = OSError if kind in ("folder", "nothing", "loop") else DataError
    with pytest.raises(error):
        files.read_bytes(Path("/dev/zero") if kind == "device" else path, limit=10)


# A folder that may not be written


@pytest.mark.parametrize("write", ["file", "folder", "new folder"])
def test_a_read_only_folder_is_named_and_nothing_changes(tmp_path, write):
    (tmp_path / "a").mkdir()
    path = {
        "file": tmp_path / "a.txt",
        "folder": tmp_path / "a",
        "new folder": tmp_path / "b" / "c" / "d.txt",
    }
    stage = files.staged_folder if write == "folder" else files.staged
    with (
        read_only(tmp_path),
        pytest.raises(StorageError, match=r"cannot be written \(.*Permission denied.*; nothing was changed"),
        stage(path[write]) as scratch,
    ):
        scratch.write_text("new")
    assert names(tmp_path) == ["a"]


def test_a_folder_that_becomes_read_only_while_its_content_is_written(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(StorageError, match="nothing was changed"), files.staged_folder(path) as scratch:
        (scratch / "one").write_text("1")
        with read_only(scratch):
            (scratch / "two").write_text("2")
    assert names(tmp_path) == []


@pytest.mark.parametrize("path", ["file/a.txt", "file/new/a.txt"])
def test_a_file_where_a_folder_belongs(tmp_path, path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(StorageError, match="cannot be written"):
        files.write_text(tmp_path / path, "new")
    assert (tmp_path / "file").read_text() == "kept"


def test_what_may_not_be_read_while_something_is_written_stays_its_own_error(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "out").mkdir()
    with pytest.raises(FileNotFoundError), files.staged(tmp_path / "out" / "a.txt"):
        (tmp_path / "gone").read_text()


def test_no_home_folder_is_named(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("MEMORABILITY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(StorageError, match="no home folder; name a folder in MEMORABILITY_CACHE"):
        files.cache_root()
