"""YAML files of people: what is wrong with one is said, and none takes the machine down."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from memorability.core import yaml
from memorability.core.errors import ParamsError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def read(path: Path, content: str | bytes) -> object:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return yaml.read_yaml(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [x, 2.5, null]\n", {"a": 1, "b": ["x", 2.5, None]}),
        ("", None),
        ("# nothing\n", None),
        ("- 1\n", [1]),
        ("\ufeffa: ü\n", {"a": "ü"}),  # as some editors begin a file
        ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 1}\nd: {<<: *x, c: 2}\n", {"a": {"b": 1, "c": 1}, "d": {"b": 1, "c": 2}}),
        ("a: 2020-01-31\n", {"a": datetime.date(2020, 1, 31)}),
    ],
)
def test_what_is_yaml(path: Path, text: str, expected: object) -> None:
    assert read(path, text) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# Größe".encode("latin-1"), "no UTF-8"),
        ("a: 1".encode("utf-16"), "no UTF-8"),
        ("a: 1".encode("utf-16-le"), "no valid YAML"),
        (bytes(range(256)), "no UTF-8"),
        ("a: [1", "no valid YAML"),
        ("a: b: c", "no valid YAML"),
        ("\ta: 0", "no valid YAML"),
        ("a: 1\n---\na: 2\n", "another document"),
        (f"a: {'9' * 5000}", "4300 digits"),
        ("a: 2020-99-99", "month must be in 1..12"),
        ("a: !!python/object/apply:os.getcwd []", "constructor for the tag"),
        ("[1]: 2", "unhashable"),
        ("a: \0", "special characters are not allowed"),
        (f"a: {'[' * 5000}{']' * 5000}", "nested too deeply"),
        (f"a: {'{a: ' * 5000}1{'}' * 5000}", "nested too deeply"),
        (BOMB, "over 100000 values"),
        (MERGED, "over 100000 values"),
        ("a: &a [*a]", "over 100000 values"),
        ("a: &a {b: *a}", "over 100000 values"),
        ("a: 1\nb: 2\na: 3\n", "key 'a' twice"),
        ("m:\n  a: 1\n  'a': 3\n", "key 'a' twice"),
        ("m: [{a: 1, a: 1}]", "key 'a' twice"),
    ],
)
def test_what_is_not_yaml_or_cannot_be_meant(path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(ParamsError) as error:
        read(path, content)
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)


def test_a_file_that_nobody_writes_by_hand(path: Path) -> None:
    with pytest.raises(ParamsError, match="valid: up to 1,048,576"):
        read(path, "#" * (yaml.LARGEST + 1))


def test_no_file(path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml: no such file; run this from the project's root"):
        yaml.read_yaml(path)


def test_a_folder(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ParamsError, match="cannot be read"):
        yaml.read_yaml(path)


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(ParamsError, match="not a file, but a pipe or a device"):
        yaml.read_yaml(path)


def test_a_link_to_a_device_is_not_read_without_end(path: Path) -> None:
    path.symlink_to("/dev/zero")
    with pytest.raises(ParamsError, match="not a file, but a pipe or a device"):
        yaml.read_yaml(path)
