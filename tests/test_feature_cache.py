"""The feature cache gives back what was put in, or nothing: never a damaged value."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorability.feature_cache import FeatureCache, default_root


@pytest.fixture
def cache(tmp_path):
    made = FeatureCache(tmp_path, "space")
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
    first = FeatureCache(tmp_path / "new" / "folder", "space")
    first.put([("a", b"one")])
    first.close()
    assert FeatureCache(tmp_path / "new" / "folder", "space").get("a") == b"one"


def test_namespaces_are_apart(cache, tmp_path):
    cache.put([("a", b"one")])
    assert FeatureCache(tmp_path, "other").get("a") is None


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
from memorability.feature_cache import FeatureCache
sys.stdin.readline()  # both start at once
cache = FeatureCache(Path(sys.argv[1]), "space")
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
    cache = FeatureCache(tmp_path, "space")
    for key in [f"{who}-{batch}-{i}" for who in ("both", *names) for batch in range(40) for i in range(8)]:
        assert cache.get(key) == key.encode() * 20


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.delenv("MEMORABILITY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert default_root() == tmp_path / ".cache" / "memorability"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_root() == tmp_path / "xdg" / "memorability"
    monkeypatch.setenv("MEMORABILITY_CACHE", str(tmp_path / "named"))
    assert default_root() == tmp_path / "named"
