"""The feature cache gives back what was put in, or nothing: never a damaged value."""

from __future__ import annotations

import random
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from permissions import read_only

from memorability.core.cache import ContentCache
from memorability.core.errors import StorageError
from memorability.core.files import cache_root


@pytest.fixture
def cache(tmp_path):
    made = ContentCache(tmp_path, "space")
    yield made
    made.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(st.characters(codec="ascii"), max_size=8), st.binary(max_size=64)))
def test_what_was_put_comes_back(cache, pairs):
    cache.put(pairs.items())
    assert {key: cache.get(key) for key in pairs} == pairs


def test_an_unknown_key_is_a_miss(cache):
    assert cache.get("a") is None


def test_a_later_value_replaces_an_earlier(cache):
    cache.put([("a", b"one")])
    cache.put([("a", b"two")])
    assert cache.get("a") == b"two"


def test_values_outlive_the_process_that_put_them(tmp_path):
    first = ContentCache(tmp_path / "new" / "folder", "space")
    first.put([("a", b"one")])
    first.close()
    assert ContentCache(tmp_path / "new" / "folder", "space").get("a") == b"one"


def test_namespaces_are_apart(cache, tmp_path):
    cache.put([("a", b"one")])
    assert ContentCache(tmp_path, "other").get("a") is None


@pytest.mark.parametrize("change", ["crc = crc + 1", "value = x'00'", "value = x''"])
def test_a_damaged_value_is_a_miss_until_put_again(cache, tmp_path, change):
    cache.put([("a", b"one"), ("b", b"two")])
    with sqlite3.connect(tmp_path / "space.sqlite") as db:
        db.execute(f"UPDATE features SET {change} WHERE key = 'a'")
    db.close()
    assert cache.get("a") is None
    assert cache.get("b") == b"two"
    cache.put([("a", b"one")])
    assert cache.get("a") == b"one"


# Damage to the file itself.

PAIRS = {f"{i:064x}": bytes([i]) * (200 + i) for i in range(60)}


def filled(folder):
    """The file of a cache that holds PAIRS."""
    cache = ContentCache(folder, "space")
    cache.put(PAIRS.items())
    cache.close()
    return folder / "space.sqlite"


def used(folder):
    """What a cache finds, if it lets everything that is missing be stored again."""
    cache = ContentCache(folder, "space")
    found = {key: cache.get(key) for key in PAIRS}
    assert all(value in (None, PAIRS[key]) for key, value in found.items())
    cache.put((key, value) for key, value in PAIRS.items() if found[key] is None)
    cache.close()
    return {key for key in PAIRS if found[key] is not None}


def test_a_flipped_byte_costs_its_own_value_alone(tmp_path):
    path, key = filled(tmp_path), f"{7:064x}"
    content = bytearray(path.read_bytes())
    content[content.index(PAIRS[key]) + 100] ^= 1
    path.write_bytes(content)
    assert used(tmp_path) == PAIRS.keys() - {key}
    assert used(tmp_path) == PAIRS.keys()


def test_the_value_of_another_key_is_damage_too(tmp_path):
    """An index that is damaged may lead to a whole value that belongs elsewhere."""
    path = filled(tmp_path)
    one, other = (f"{i:064x}".encode() for i in (7, 8))
    content = path.read_bytes()
    path.write_bytes(content.replace(one, b"x" * 64).replace(other, one).replace(b"x" * 64, other))
    cache = ContentCache(tmp_path, "space")
    assert cache.get(one.decode()) is cache.get(other.decode()) is None


def test_no_flipped_bit_is_ever_believed_or_fatal(tmp_path):
    path = filled(tmp_path)
    content, rng = path.read_bytes(), random.Random(0)
    # The header and the names of the table are where a bit does most.
    places = [*rng.sample(range(20, 108), 20), *rng.sample(range(len(content)), 40)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        used(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no database", bytes(9000), b"SQLite format 3\0" + b"x" * 9000])
def test_a_file_that_is_no_database_is_moved_aside(tmp_path, capsys, content):
    path = tmp_path / "space.sqlite"
    path.write_bytes(content)
    assert used(tmp_path) == set()
    assert used(tmp_path) == PAIRS.keys()
    if content:
        assert "damaged" in capsys.readouterr().out
        assert path.with_suffix(".damaged").read_bytes() == content


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_filled_again(tmp_path, share):
    path = filled(tmp_path)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    assert used(tmp_path) != PAIRS.keys()
    assert used(tmp_path) == PAIRS.keys()


def test_what_another_process_has_mended_stays(tmp_path):
    path = filled(tmp_path)
    slow = ContentCache(tmp_path, "space")
    with path.open("r+b") as file:
        file.truncate(5000)
    used(tmp_path)  # moves the file aside and begins a new one
    slow.put([("new", b"value")])  # finds the damage as well
    slow.close()
    assert used(tmp_path) == PAIRS.keys()
    assert ContentCache(tmp_path, "space").get("new") == b"value"


KEPT_NOT = r"warning: .*space\.sqlite: cannot be written .*MEMORABILITY_CACHE"


def test_a_file_that_may_not_be_written_is_read_and_that_is_said_once(tmp_path, capsys):
    path = filled(tmp_path)
    content = bytearray(path.read_bytes())
    content[18] = 9  # the header's way to say: to be read alone
    path.write_bytes(content)
    cache = ContentCache(tmp_path, "space")
    assert cache.get(f"{3:064x}") == PAIRS[f"{3:064x}"]
    assert cache.put([("a", b"one")]) is cache.put([("b", b"two")]) is cache.get("a") is None
    assert len(re.findall(KEPT_NOT, capsys.readouterr().err)) == 1
    assert path.read_bytes() == content


@pytest.mark.parametrize("where", ["above", "folder", "file", "a file"])
def test_where_nothing_may_be_written_work_goes_on_without(tmp_path, capsys, where):
    root = tmp_path / "home" / "cache"
    if where == "above":
        root.parent.mkdir()
    elif where == "a file":
        root.parent.write_text("no folder")
    else:
        filled(root)
    shut = {"above": [root.parent], "folder": [root], "file": [root / "space.sqlite"], "a file": []}[where]
    with read_only(*shut):
        cache = ContentCache(root, "space")
        cache.put([("a", b"one")])
        assert cache.get("a") is None
        assert cache.get(f"{3:064x}") == (PAIRS[f"{3:064x}"] if where in ("folder", "file") else None)
        cache.close()
    assert len(re.findall(KEPT_NOT, capsys.readouterr().err)) == 1


def test_a_damaged_file_in_a_read_only_folder(tmp_path, capsys):
    path = filled(tmp_path)
    path.write_bytes(b"no database")
    with read_only(tmp_path, path):
        cache = ContentCache(tmp_path, "space")
        cache.put([("a", b"one")])
        assert cache.get("a") is None
    assert path.read_bytes() == b"no database"
    assert len(re.findall(KEPT_NOT, capsys.readouterr().err)) == 1


def test_a_full_disk_is_named_and_what_was_stored_stays(tmp_path):
    path, before = filled(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    cache = ContentCache(tmp_path, "space")
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    try:
        with pytest.raises(StorageError, match=r"space\.sqlite: cannot be written .*make room.*is kept"):
            cache.put([("a", b"x" * 100_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    cache.close()
    assert used(tmp_path) == PAIRS.keys()


def test_a_lock_is_no_damage(tmp_path, monkeypatch):
    path = filled(tmp_path)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout, connect=sqlite3.connect: connect(path, 0))
    with pytest.raises(StorageError, match=r"locked.* wait for whoever holds it"):
        ContentCache(tmp_path, "space")
    other.close()
    assert used(tmp_path) == PAIRS.keys()


def test_an_interrupted_put_stores_nothing(cache):
    def pairs():
        yield "a", b"one"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.put(pairs())
    assert cache.get("a") is None


WRITER = """
import sys
from pathlib import Path
from memorability.core.cache import ContentCache
sys.stdin.readline()  # both start at once
cache = ContentCache(Path(sys.argv[1]), "space")
for batch in range(40):
    keys = [f"{who}-{batch}-{i}" for who in ("both", sys.argv[2]) for i in range(8)]
    cache.put((key, key.encode() * 20) for key in keys)
    assert all(cache.get(key) == key.encode() * 20 for key in keys)
cache.close()
"""


def test_two_processes_write_at_once(tmp_path):
    names = ("one", "two")
    commands = [[sys.executable, "-c", WRITER, str(tmp_path), name] for name in names]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for command in commands]
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        process.communicate(timeout=60)
    assert [process.returncode for process in running] == [0, 0]
    cache = ContentCache(tmp_path, "space")
    for key in [f"{who}-{batch}-{i}" for who in ("both", *names) for batch in range(40) for i in range(8)]:
        assert cache.get(key) == key.encode() * 20


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.delenv("MEMORABILITY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_root() == tmp_path / ".cache" / "memorability"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "memorability"
    monkeypatch.setenv("MEMORABILITY_CACHE", str(tmp_path / "named"))
    assert cache_root() == tmp_path / "named"
