import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memorability.core import states
from memorability.core.errors import StateError


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


def test_a_new_code_throws_away_what_the_old_one_left(package, work):
    stopped(work, "a")
    (package / "core" / "states.py").write_text("x = 2")
    assert stopped(work, "a") == []


# One process at a time

HOLD = """
import sys
from pathlib import Path
from memorability.core import states
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
