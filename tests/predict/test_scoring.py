"""Each kind of file goes to its model, what is left out is counted, and one bad path costs no other score."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from small_models import board, save, split

from memorability.cli import common
from memorability.core.errors import CallError, DataError
from memorability.predict import report, rows
from memorability.predict.choice import Project
from memorability.predict.results import Failure
from memorability.predict.scoring import Scoring


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The bytes of a clip of two seconds."""
    path = tmp_path_factory.mktemp("clip") / "clip.webm"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=2", "-c:v", "libvpx"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *source, str(path)], check=True)
    return path.read_bytes()


@pytest.fixture
def project(tmp_path):
    """A model of pictures and one of clips, which averages the other's scores of frames."""
    project = Project.of(tmp_path / "models")
    save(project, "pictures", "memnet")
    save(project, "clips", "frame_average", "videos", settings={"backbone": "pictures"})
    board(project, "images", "score", pictures=0.6)
    board(project, "videos", "short_term", clips=0.4)
    split(project, "images", "memcat")
    split(project, "videos", "mediaeval")
    return project


@pytest.fixture
def folder(tmp_path, clip):
    """Two pictures, one with a strange ending, two clips, notes, and what macOS leaves behind."""
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, kind in (("b.png", "PNG"), ("a.jfif", "JPEG"), ("._b.png", "PNG")):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(folder / name, kind)
    (folder / "sub" / "c.webm").write_bytes(clip)
    (folder / "d").write_bytes(clip)
    (folder / "notes.txt").write_text("notes")
    return folder


class Scored:
    """All that came of some paths."""

    def __init__(self, paths, project, **options):
        self.choices = []
        scoring = Scoring(project, opened=self.choices.append, **options)
        self.rows = list(scoring(paths))
        self.failures = [found for _, found in self.rows if isinstance(found, Failure)]
        self.left_out = scoring.left.said()


score = Scored


def scores(scored):
    """The names of the files that each model has scored."""
    found = {}
    for model, one in scored.rows:
        if not isinstance(one, Failure):
            found.setdefault(model, []).append(one.path.name)
    return found


def failures(scored):
    return {Path(failure.path).name: failure.reason for failure in scored.failures}


def table(scored, **options):
    return "".join(rows.text(scored.rows, "table", **{"confidence": 0.9, "frames": False} | options))


def test_each_kind_goes_to_its_model_and_what_is_left_out_is_counted(project, folder):
    scored = score([folder], project)
    assert scores(scored) == {"pictures": ["a.jfif", "b.png"], "clips": ["d", "c.webm"]}
    assert scored.failures == []
    assert scored.left_out == f"not looked at: 1 of ending '.txt' (such as '{folder}/notes.txt')"
    assert [one.path.name for _, one in scored.rows] == ["a.jfif", "b.png", "d", "c.webm"]


def test_a_named_model_takes_its_kind_and_the_other_is_left_out(project, folder):
    scored = score([folder], project, model="clips")
    assert scores(scored) == {"clips": ["d", "c.webm"]}
    assert scored.left_out == (
        f"not looked at: 2 for a model of pictures (such as '{folder}/a.jfif'); "
        f"1 of ending '.txt' (such as '{folder}/notes.txt')"
    )
    assert scores(score([folder], project, model="pictures")) == {"pictures": ["a.jfif", "b.png"]}


def test_a_named_file_of_another_kind_is_a_failure(project, folder):
    scored = score([folder / "d", folder / "b.png", folder / "notes.txt"], project, model="pictures")
    assert scores(scored) == {"pictures": ["b.png"]}
    assert "not a picture" in failures(scored)["d"]
    assert "not a picture" in failures(scored)["notes.txt"]
    scored = score([folder / "notes.txt", folder / "b.png"], project)
    assert failures(scored) == {
        "notes.txt": f"{folder}/notes.txt: neither a picture nor a clip (of ending '.txt')"
    }
    assert scored.left_out is None


def test_a_kind_without_a_model_costs_the_other_kind_nothing(project, folder):
    project.board("videos", "short_term").unlink()
    scored = score([folder], project)
    assert scores(scored) == {"pictures": ["a.jfif", "b.png"]}
    assert failures(scored).keys() == {"d", "c.webm"}
    assert f"{folder}/d: no model to score it ({project.metrics}/videos/" in failures(scored)["d"]
    project.board("images", "score").unlink()
    with pytest.raises(DataError, match="no leaderboard to take the best model from"):
        score([folder / "d"], project)


@pytest.mark.parametrize("model", [None, "pictures"])
def test_folders_without_any_item_are_named(project, tmp_path, model):
    (tmp_path / "empty").mkdir()
    scored = score([tmp_path / "empty"], project, model=model)
    assert failures(scored).keys() == {"empty"}
    assert "in this folder" in failures(scored)["empty"]


@pytest.fixture
def locked(folder, monkeypatch):
    """A folder and a file of mode 000, for whoever runs the tests, root included."""
    (folder / "locked").mkdir()
    Image.new("RGB", (9, 9)).save(folder / "locked" / "in.png")
    Image.new("RGB", (9, 9)).save(folder / "secret.png")
    scandir, system_open = os.scandir, os.open

    def refuse(path):
        if str(path).endswith(("locked", "secret.png")):
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", lambda path=".": refuse(path) or scandir(path))
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: refuse(path) or system_open(path, *rest, **more)
    )
    return folder


@pytest.mark.parametrize("model", [None, "pictures"])
def test_what_may_not_be_read_is_a_failure_each(project, locked, model):
    paths = [locked, locked / "locked", locked / "secret.png", locked / ("n" * 300), locked / "gone.png"]
    scored = score(paths, project, model=model)
    assert scores(scored)["pictures"] == ["a.jfif", "b.png"]
    reasons = failures(scored)
    assert reasons.keys() == {"locked", "secret.png", "n" * 300, "gone.png"}
    assert reasons["locked"] == f"{locked}/locked: cannot be read (Permission denied)"
    assert "Permission denied" in reasons["secret.png"]
    assert "File name too long" in reasons["n" * 300]
    assert "No such file" in reasons["gone.png"]


def test_folders_too_deep_to_be_named_are_a_failure(project, folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        for _ in range(20):
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
        Image.new("RGB", (9, 9)).save("deep.png")
    scored = score([folder], project, model="pictures")
    subprocess.run(
        ["rm", "-r", str(folder / ("d" * 250))], check=True
    )  # Python's own removal is not made for it
    assert scores(scored) == {"pictures": ["a.jfif", "b.png"]}
    (failure,) = scored.failures
    assert failure.reason.endswith("cannot be read (File name too long)")


# What is said


def test_a_table_has_its_paths_last(project, folder):
    scored = score([folder], project)
    lines = table(scored).splitlines()
    assert [choice.line() for choice in scored.choices] == [
        "pictures: trained on memcat; rho 0.600 on validation",
        "clips: trained on mediaeval; rho 0.400 on validation",
    ]
    assert lines[0] == "score  90 % interval   percentile  path"
    assert lines[1].split()[1:4] == ["-", "-", f"{folder}/a.jfif"]
    assert lines[1].endswith("(smaller than the 72 pixels that the model looks at)")
    assert lines[4].endswith(f"  {folder}/sub/c.webm")
    assert len({line.index(str(folder)) for line in lines[1:]}) == 1
    assert len(lines) == 5


def test_frames_are_shown_where_they_are_asked_for(project, folder):
    scored = score([folder / "d"], project)
    assert "score by frame:" not in table(scored)
    values = table(scored, frames=True).split("score by frame: ")[1].split()
    row = rows.row(scored.rows[0])
    assert [float(value) for value in values] == [round(value, 3) for value in row["score_by_frame"]]
    assert len(values) == 2
    lines = "".join(rows.text(scored.rows, "csv", confidence=0.9, frames=True)).splitlines()
    assert lines[0].endswith(",note,frames")
    assert lines[1].split(",")[-1].split() == [str(value) for value in row["score_by_frame"]]


def test_a_row_has_the_columns_in_their_order(project, folder):
    scored = score([folder / "a.jfif", folder / "gone.png"], project)
    found, failed = map(rows.row, scored.rows)
    assert list(found) == list(failed) == ["path", "score", "low", "high", "percentile", "model", "note"]
    assert found["model"] == "pictures"
    assert (failed["score"], failed["model"]) == (None, None)
    assert failed["note"] == "cannot be read (No such file or directory)"


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_rows_come_one_after_the_other(kind):
    """Each is written before the next file is looked at, whatever the format: a million take no more memory."""
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield "m", Failure(f"{len(taken)}.png", f"{len(taken)}.png: gone")

    pieces = rows.text(endless(), kind, confidence=0.9, frames=False)
    read = "".join(next(pieces) for _ in range(50))
    assert "49.png" in read
    assert len(taken) <= 51


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_one_list(count):
    found = [("m", Failure(f"{i}.png", "gone")) for i in range(count)]
    told = json.loads("".join(rows.text(found, "json", confidence=0.9, frames=False)))
    assert [row["path"] for row in told] == [f"{i}.png" for i in range(count)]


def test_warnings_and_what_was_left_out_come_beside(project, folder):
    split(project, "images", "demo")
    board(project, "images", "score", gone=0.9, pictures=0.6)
    scored = score([folder], project)
    lines = report.notes(scored.choices, scored.left_out)
    assert [line.split(":")[0] for line in lines] == ["warning", "passed over", "not looked at"]
    assert "its scores mean nothing for photographs" in lines[0]


def test_names_are_printed_in_one_line(project, folder):
    (folder / "b.png").rename(folder / "two\nlines\x1b[31m.png")
    (folder / "a.jfif").rename(folder / os.fsdecode(b"\xff.jfif"))
    scored = score([folder], project, model="pictures")
    assert table(scored).encode().count(b"\n") == 3
    assert r"two\nlines\x1b[31m.png" in table(scored)
    assert r"\xff.jfif" in table(scored)
    text = "".join(rows.text(scored.rows, "csv", confidence=0.9, frames=False))
    assert [row["path"] for row in csv.DictReader(io.StringIO(text, newline=""))] == [
        f"{folder}/two\nlines\x1b[31m.png",
        f"{folder}/\\udcff.jfif",
    ]


# Lists, patterns, one after the other


def test_patterns_are_files_in_sorted_order(project, folder):
    found = score([f"{folder}/**/*.*", str(folder / "*.nothing")], project, model="pictures")
    assert failures(found).keys() == {"notes.txt", "c.webm", "*.nothing"}
    assert scores(found) == {"pictures": ["a.jfif", "b.png"]}
    (folder / "a[1].png").write_bytes((folder / "b.png").read_bytes())
    assert scores(score([str(folder / "a[1].png")], project)) == {"pictures": ["a[1].png"]}


def test_files_of_two_kinds_keep_their_order_and_their_scores(project, folder):
    paths = [folder / name for name in ("d", "a.jfif", "sub/c.webm", "b.png", "a.jfif")]
    together = score(paths, project, batch_size=3)
    assert [one.path for _, one in together.rows] == paths
    alone = [score([path], project).rows[0] for path in paths]
    assert together.rows == alone


def test_there_is_no_such_device():
    with pytest.raises(CallError, match=r"--device: received nowhere \(.*\); valid: cpu, cuda"):
        common.device("nowhere")
    assert common.device("cpu") == "cpu"
