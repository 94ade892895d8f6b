import hashlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability import files


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
