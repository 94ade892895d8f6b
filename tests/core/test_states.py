import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from permissions import read_only

from memorability.core import kernels, states
from memorability.core.errors import StateError, StorageError

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Stop(Exception):
    pass


@pytest.fixture
def work(tmp_path):
    return tmp_path / "states" / "train-x"


def stopped(work, *parts):
    """Work under a key that leaves a file behind; returns what an earlier run had left there."""
    with pytest.raises(Stop) as caught, states.unfinished(work, *parts) as folder:
        found = sorted(path.name for path in folder.iterdir() if path.name != states.KEY)
        (folder / f"{len(found)}.txt").write_text("half")
        raise Stop(found)
    return caught.value.args[0]


def test_the_folder_of_new_work_is_empty(work):
    with states.unfinished(work, "a") as folder:
        assert folder == work
        assert [path.name for path in folder.iterdir()] == [states.KEY]


def test_what_a_failed_run_left_is_found_again(work):
    assert stopped(work, "a", "b") == []
    assert stopped(work, "a", "b") == ["0.txt"]
    assert stopped(work, "a", "b") == ["0.txt", "1.txt"]


def test_finished_work_is_removed(work):
    stopped(work, "a")
    with states.unfinished(work, "a") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
    assert not work.exists()
    assert stopped(work, "a") == []


@pytest.mark.parametrize("other", [("b",), ("a", ""), (), ("a", "b")])
def test_what_was_left_under_another_key_is_thrown_away(work, other):
    stopped(work, "a")
    assert stopped(work, *other) == []
    assert stopped(work, "a") == []  # the other one took its place


def test_a_folder_without_a_key_is_thrown_away(work):
    work.mkdir(parents=True)
    (work / "left.txt").write_text("of a run that was killed before it wrote its key")
    assert stopped(work, "a") == []


def test_folders_beside_it_are_left_alone(work):
    stopped(work.with_name("train-x2"), "a")
    with states.unfinished(work, "a"):
        pass
    assert stopped(work.with_name("train-x2"), "a") == ["0.txt"]


@pytest.mark.parametrize("end", ["finished", "another key"])
def test_what_a_kill_leaves_while_it_is_being_removed_is_not_taken_up(work, monkeypatch, end):
    stopped(work, "a")

    def killed(folder):
        (folder / "0.txt").rename(folder / "half-removed.txt")
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(Stop), states.unfinished(work, "a" if end == "finished" else "b"):
            pass
    assert (work / "half-removed.txt").exists()
    assert stopped(work, "a") == []


# The key


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of some of the code, from which keys are made."""
    folder = tmp_path / "package"
    for name in ("core/states.py", "families/memnet.py"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("x = 1")
    monkeypatch.setattr(states, "__file__", str(folder / "core" / "states.py"))
    return folder


def test_the_key_is_the_same_for_the_same_work(package):
    assert states.key("a", "b") == states.key("a", "b")
    (package / "notes.txt").write_text("no code")
    assert states.key("a", "b") == states.key("a", "b")


@pytest.mark.parametrize(
    "change",
    [
        lambda package: (package / "core" / "states.py").write_text("x = 2"),
        lambda package: (package / "families" / "memnet.py").write_text(""),
        lambda package: (package / "new.py").write_text(""),
        lambda package: (package / "families" / "memnet.py").unlink(),
    ],
)
def test_the_key_changes_with_the_code(package, change):
    before = states.key("a")
    change(package)
    assert states.key("a") != before


@pytest.mark.parametrize("library", ["torch", "torchvision", "numpy", "pillow"])
def test_the_key_changes_with_the_libraries(package, monkeypatch, library):
    before, version = states.key("a"), states.version
    monkeypatch.setattr(states, "version", lambda name: "9.9" if name == library else version(name))
    assert states.key("a") != before


def test_the_key_changes_with_the_kernels(package, monkeypatch):
    before = states.key("a")
    monkeypatch.setattr(kernels, "setting", lambda: "others")
    assert states.key("a") != before


def test_a_new_code_throws_away_what_the_old_one_left(package, work):
    stopped(work, "a")
    (package / "core" / "states.py").write_text("x = 2")
    assert stopped(work, "a") == []


# What has become of the folder.


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", bytes(64), b"0" * 63, b"G" * 64, b"0" * 10**6])
def test_a_key_that_is_none_is_said_and_what_it_names_thrown_away(work, content, capsys):
    stopped(work, "a")
    (work / states.KEY).write_bytes(content)
    assert stopped(work, "a") == []
    text = "damaged since an interrupted run left it; thrown away and made again"
    assert capsys.readouterr().out == f"{work / states.KEY}: {text}\n"
    assert stopped(work, "a") == ["0.txt"]


def test_another_key_is_no_damage(work, capsys):
    stopped(work, "a")
    stopped(work, "b")
    assert capsys.readouterr().out == ""


def test_a_folder_in_the_place_of_the_key(work):
    stopped(work, "a")
    (work / states.KEY).unlink()
    (work / states.KEY / "deep").mkdir(parents=True)
    assert stopped(work, "a") == []


def test_a_file_in_the_place_of_the_folder(work):
    work.parent.mkdir()
    work.write_text("no folder")
    assert stopped(work, "a") == []


# What is kept in it.


def keep(path, content):
    with states.keeping(path) as scratch:
        scratch.write_bytes(content)


@given(st.binary(max_size=100))
@QUICK
def test_what_is_kept_is_known_again(tmp_path, content):
    path = tmp_path / "x.bin"
    keep(path, content)
    assert states.kept(path)
    assert path.read_bytes()[: -states.SEAL] == content


@given(st.binary(max_size=40), st.data())
@QUICK
def test_any_change_of_what_is_kept_is_seen(tmp_path, content, data):
    path = tmp_path / "x.bin"
    keep(path, content)
    sealed = path.read_bytes()
    kind = data.draw(st.sampled_from(["flip", "cut", "longer", "zeros"]))
    place = data.draw(st.integers(0, len(sealed) - 1))
    if kind == "flip":
        changed = (
            sealed[:place]
            + bytes([sealed[place] ^ (1 << data.draw(st.integers(0, 7)))])
            + sealed[place + 1 :]
        )
    else:
        changed = {"cut": sealed[:place], "longer": sealed + sealed[:1], "zeros": bytes(len(sealed))}[kind]
    path.write_bytes(changed)
    assert not states.kept(path)
    assert not path.exists()


def test_damage_is_said_once(tmp_path, capsys):
    path = tmp_path / "x.bin"
    path.write_bytes(b"of nobody")
    assert [states.kept(path) for _ in range(3)] == [False] * 3
    assert capsys.readouterr().out.count("\n") == 1


def test_what_is_not_there_is_no_damage(tmp_path, capsys):
    assert not states.kept(tmp_path / "x.bin")
    assert capsys.readouterr().out == ""


def test_a_file_under_the_name_of_another_is_not_believed(tmp_path):
    for name in ("a.npy", "b.npy"):
        keep(tmp_path / name, name.encode())
    shutil.copyfile(tmp_path / "a.npy", tmp_path / "b.npy")
    assert states.kept(tmp_path / "a.npy")
    assert not states.kept(tmp_path / "b.npy")


def test_what_cannot_be_written_leaves_what_was_kept(tmp_path):
    path = tmp_path / "x.bin"
    keep(path, b"one")
    with pytest.raises(Stop), states.keeping(path) as scratch:
        scratch.write_bytes(b"two")
        raise Stop
    assert states.kept(path)
    assert path.read_bytes().startswith(b"one")


def test_torch_and_numpy_read_what_is_kept(tmp_path):
    import numpy as np
    import torch

    state = {"a": torch.arange(1000.0), "b": {"lines": [{"x": 1.5, "y": None}]}}
    with states.keeping(tmp_path / "last.pt") as scratch:
        torch.save(state, scratch)
    with states.keeping(tmp_path / "x.npy") as scratch, scratch.open("wb") as stream:
        np.save(stream, np.arange(12.0).reshape(3, 4))
    again = torch.load(tmp_path / "last.pt", weights_only=True)
    assert torch.equal(again["a"], state["a"])
    assert again["b"] == state["b"]
    assert np.load(tmp_path / "x.npy").tolist() == np.arange(12.0).reshape(3, 4).tolist()


# Journals.

RECORDS = [{"id": f"demo/{i}.jpg", "size": i, "title": "東京 \n"} for i in range(4)]


def journal(path, records=RECORDS):
    path.write_text("".join(map(states.line, records)), encoding="utf-8")
    return path


def test_a_journal_comes_back_as_it_was_written(tmp_path):
    assert list(states.lines(journal(tmp_path / "x.jsonl"))) == RECORDS
    assert list(states.lines(journal(tmp_path / "x.jsonl", []))) == []
    assert list(states.lines(tmp_path / "none.jsonl")) == []


@pytest.mark.parametrize("left", [1, 30, 70])
def test_the_half_of_a_last_line_is_what_a_kill_leaves(tmp_path, capsys, left):
    path = journal(tmp_path / "x.jsonl")
    path.write_bytes(path.read_bytes() + states.line(RECORDS[0]).encode()[:left])
    assert list(states.lines(path)) == RECORDS
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"size": 2', b'"size": 3'),
        lambda line: line.replace(b"2", b"3", 1),
        lambda line: b"{}\n",
        lambda line: b"\n",
        lambda line: bytes(len(line) - 1) + b"\n",
        lambda line: b"\xff\xfe" + line,
        lambda line: line[:-5] + b"\n",
        lambda line: b"no json\n",
        lambda line: line.replace(b" ", b"\t", 1),
    ],
)
def test_a_line_that_was_changed_ends_the_journal_and_is_said(tmp_path, capsys, change):
    path = journal(tmp_path / "x.jsonl")
    one, two, three, four = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(one + two + change(three) + four)
    assert list(states.lines(path)) == RECORDS[:2]
    assert capsys.readouterr().out.count(f"{path}: damaged") == 1


# One process at a time

HOLD = """
import sys
from pathlib import Path
from memorability.core import kernels, states
with states.unfinished(Path(sys.argv[1]), "a") as folder:
    (folder / "of the first").write_text("")
    print("here", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(work):
    """Another process at the work."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(work)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "here\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("key", ["a", "b"])
def test_work_of_another_process_is_refused_and_left_alone(work, holder, key):
    with pytest.raises(StateError, match=r"train-x: another process is at this; wait for its end"):
        stopped(work, key)
    assert (work / "of the first").exists()
    stopped(work.with_name("train-y"), "a")  # other work is free
    holder.communicate("")
    assert holder.returncode == 0
    assert stopped(work, key) == []


def test_work_of_a_killed_process_is_taken_up(work, holder):
    holder.kill()
    holder.wait()
    assert stopped(work, "a") == ["of the first"]


def test_work_is_free_as_soon_as_it_failed_even_if_the_error_is_kept(work):
    kept = []
    for _ in range(2):
        try:
            with states.unfinished(work, "a"):
                raise Stop
        except Stop as error:
            kept.append(error)
    assert len(kept) == 2


def test_the_folder_above_is_made(tmp_path):
    with states.unfinished(tmp_path / "not" / "yet" / "here", "a") as folder:
        assert folder.is_dir()


def test_the_code_of_the_key_is_this_package():
    assert Path(states.__file__).parents[1].name == "memorability"


# Where nothing may be written


@pytest.mark.parametrize("where", ["above", "beside", "a file"])
def test_a_place_that_may_not_be_written_is_named_before_work_begins(work, where):
    if where == "a file":
        work.parent.write_text("no folder")
    elif where == "beside":
        work.parent.mkdir()
    shut = {"above": [work.parents[1]], "beside": [work.parent], "a file": []}[where]
    with (
        read_only(*shut),
        pytest.raises(StorageError, match=r"train-x: unfinished work cannot be kept there"),
        states.unfinished(work, "a"),
    ):
        pytest.fail("begun")


def test_what_another_run_left_and_cannot_be_removed_is_named(work):
    stopped(work, "a")
    with (
        read_only(work),
        pytest.raises(StorageError, match=r"train-x: cannot be written .*; the work has not begun"),
        states.unfinished(work, "b"),
    ):
        pytest.fail("begun")


def test_finished_work_stays_finished_where_it_cannot_be_removed(work, capsys):
    unfinished = states.unfinished(work, "a")
    (unfinished.__enter__() / "0.txt").write_text("done")
    with read_only(work):
        unfinished.__exit__(None, None, None)
    assert "warning: " in capsys.readouterr().err
    assert stopped(work, "b") == []  # under another key it counts for nothing
