"""The command: scores as a table or as JSON, leaderboards, errors in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: F401 - some families load it, and it parts of itself later, when a test's folder may be gone
import yaml
from PIL import Image
from typer.testing import CliRunner

from memorability import cli, families, params
from memorability.core import layout
from memorability.core.errors import DataError, ParamsError
from memorability.core.settings import checked
from memorability.training import artifacts

PARAMS = """
seed: 0
threads: 1
precision: 32-true
compile: false
lr: 1e-05
epochs: null
batch_size: null
acquire: {images: {watch: x, datasets: [demo], demo: {pictures: 40, pixels: 64, participants: 20, responses: 8}}}
split: {images: {input: data/raw/images}}
models:
  ridge: {family: ridge, track: images, input: data/features/x}
  memnet: {family: memnet, track: images, input: data/raw/images, hidden: 8}
evaluate: {images: {fid: none}}
"""
HEAD = {"track": "images", "target": "score", "input": "x", "backbone": "none"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with two models, a leaderboard and three pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(layout, "RELEASED", tmp_path / "none")  # test_released.py is of that
    for name, score in (("one", 0.25), ("two", 0.75)):
        config = {"settings": {"family": "mean", **HEAD}}
        artifacts.save(tmp_path / "models" / name, config=config, arrays={"mean": np.array(score)})
    board = tmp_path / "metrics" / "images"
    board.mkdir(parents=True)
    (board / "score.leaderboard.csv").write_text("model,val_spearman\ntwo,0.6\none,0.5\n")
    (board / "score.txt").write_text(" 1 two\n 2 one")
    (tmp_path / "metrics" / "videos").mkdir()  # committed by someone whose params named clips too
    (tmp_path / "metrics" / "videos" / "short_term.txt").write_text(" 1 of clips")
    (tmp_path / "params.yaml").write_text(PARAMS)
    for name in ("a.png", "b.png", "more/c.png"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 10)).save(tmp_path / "pictures" / name)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli.app, list(arguments))


def scored(result):
    assert result.exit_code == 0, result.output
    return {item["path"]: (item["score"], item["model"]) for item in json.loads(result.stdout)}


@pytest.mark.usefixtures("here")
def test_json():
    found = scored(run("predict", "pictures", "--model", "one", "--json"))
    assert found == {f"pictures/{name}": (0.25, "one") for name in ("a.png", "b.png", "more/c.png")}


@pytest.mark.usefixtures("here")
def test_a_table():
    result = run("predict", "pictures/a.png", "pictures/more", "--model", "one")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["score", "90", "%", "interval", "percentile", "path"],
        ["0.250", "-", "-", "pictures/a.png"],
        ["0.250", "-", "-", "pictures/more/c.png"],
    ]
    assert result.stderr == (
        "one: trained on data that are not known here; no figure on validation says what it is worth\n"
    )


@pytest.mark.usefixtures("here")
def test_a_leaderboard_of_other_params_chooses_no_model():
    result = run("predict", "pictures/a.png", "--json")
    assert result.exit_code == 1
    assert "not the leaderboard of the params at hand, which have no model two, one" in str(result.exception)


def test_a_model_by_its_folder(here):
    for model in (here / "models" / "one", "models/one"):
        found = scored(run("predict", "pictures/a.png", "--json", "--model", str(model)))
        assert found == {"pictures/a.png": (0.25, "one")}


@pytest.mark.parametrize(
    "content",
    [
        b"lr: 0.1\nmodel: {layers: 12}\n",
        b"\xff\xfe",
        b"a: [",
        b"",
        PARAMS.replace("seed: 0", "seed: -1").encode(),
    ],
    ids=["another program's", "no text", "no YAML", "empty", "being edited"],
)
def test_params_that_are_none_of_ours_keep_nobody_from_a_model(here, content):
    (here / "params.yaml").write_bytes(content)
    result = run("predict", "pictures/a.png", "--json", "--model", "one")
    assert scored(result) == {"pictures/a.png": (0.25, "one")}
    (line,) = [line for line in result.stderr.splitlines() if "params.yaml" in line]
    assert line.startswith("params.yaml is not used: ")
    assert len(line) < 400


def test_models_in_another_folder(here):
    (here / "models").rename(here / "others")
    found = scored(run("predict", "pictures/a.png", "--json", "--model", "one", "--models", "others"))
    assert found == {"pictures/a.png": (0.25, "one")}


def test_models_of_another_project_come_with_its_params_and_board(here):
    """And not with those of the folder that one is in."""
    for name in ("models", "metrics"):
        shutil.copytree(here / name, here / "other" / name)
    arguments = ("predict", "pictures/a.png", "--json", "--models", "other/models", "--model", "two")
    assert "two: trained on data that are not known here; rho 0.600 on validation" in run(*arguments).stderr
    (here / "other" / "params.yaml").write_text(PARAMS)
    assert "no figure on validation says what it is worth" in run(*arguments).stderr


def test_no_leaderboard(here):
    (here / "metrics" / "images" / "score.leaderboard.csv").unlink()
    result = run("predict", "pictures/a.png")
    assert isinstance(result.exception, DataError)
    assert "name one with --model" in str(result.exception)


@pytest.mark.usefixtures("here")
def test_no_such_model():
    result = run("predict", "pictures/a.png", "--model", "three")
    assert isinstance(result.exception, DataError)
    assert "--model: no model 'three'" in str(result.exception)


def test_what_cannot_be_scored_is_said_in_its_place_and_the_rest_is_scored(here):
    (here / "pictures" / "b.png").write_bytes(b"broken")
    result = run("predict", "no.png", "pictures", "--model", "one", "--json")
    found = [(row["path"], row["score"], row["note"]) for row in json.loads(result.stdout)]
    assert found == [
        ("no.png", None, "cannot be read (No such file or directory)"),
        ("pictures/a.png", 0.25, ""),
        ("pictures/b.png", None, "not a picture in any format that Pillow reads"),
        ("pictures/more/c.png", 0.25, ""),
    ]
    assert result.exit_code == 1
    assert result.stderr.splitlines()[1:] == [
        "not scored: no.png: cannot be read (No such file or directory)",
        "not scored: pictures/b.png: not a picture in any format that Pillow reads",
        "2 of 4 could not be scored",
    ]


@pytest.mark.usefixtures("here")
def test_a_list_on_standard_input():
    names = "pictures/more/c.png\r\n\npictures/a.png\n"
    result = CliRunner().invoke(cli.app, ["predict", "-", "--model", "one", "--csv"], input=names)
    assert result.exit_code == 0
    assert [row.split(",")[0] for row in result.stdout.splitlines()] == [
        "path",
        "pictures/more/c.png",
        "pictures/a.png",
    ]


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "txt"])
def test_a_file_has_what_would_be_printed(here, ending):
    arguments = ["predict", "pictures", "--model", "one"]
    printed = run(*arguments, "--table" if ending == "txt" else f"--{ending}")
    written = run(*arguments, "-o", f"to/scores.{ending}")
    assert (printed.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert (here / "to" / f"scores.{ending}").read_bytes() == printed.stdout_bytes


def test_a_file_is_written_whole_or_not_at_all(here, monkeypatch):
    (here / "scores.csv").write_text("of before")

    def stopped(rows, *, frames):
        yield "path,score\n"
        raise KeyboardInterrupt

    monkeypatch.setattr("memorability.predict.rows._csv", stopped)
    assert run("predict", "pictures", "--model", "one", "-o", "scores.csv").exit_code != 0
    assert (here / "scores.csv").read_text() == "of before"
    assert [path.name for path in here.iterdir() if ".part" in path.name] == []


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--csv", "--json"], "received --csv and --json; valid: one format"),
        (["-o", "scores.xlsx"], "received the ending '.xlsx'; valid: .csv"),
        (["-o", "scores.csv", "--json"], "its ending is that of csv, received --json"),
        (["--model", "three"], "--model: no model 'three'"),
        (["--confidence", "90"], "confidence: received 90"),
        (["--map", "-o", "x", "--csv"], "--map with --csv"),
    ],
)
def test_a_wrong_call_has_the_exit_code_2(capsys, monkeypatch, options, said):
    monkeypatch.setattr(sys, "argv", ["memorability", "predict", "pictures", "--model", "one", *options])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_an_example(name):
    assert f"Example: memorability {name}" in " ".join(cli.COMMANDS[name].__doc__.split())
    assert f"Example: memorability {name}" in " ".join(run(name, "--help").output.split())


# Maps: what goes with what (tests/test_predict_maps.py has the maps themselves)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--frames"], "--frames"),
        (["--title", "a cat"], "--title"),
        (["--frames", "--title", "a cat"], "--frames and --title"),
    ],
)
def test_maps_go_with_nothing_of_clips(options, said):
    result = run("predict", "pictures/a.png", "--map", "-o", "map.png", *options)
    assert isinstance(result.exception, DataError)
    assert f"--map is of pictures, {said} of scores of clips" in str(result.exception)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "map.png"], "received the ending '.png'"),
        (["--overlay"], "--overlay without --map"),
        (["--format", "npy", "--overlay"], "--overlay and --format without --map"),
        (["--map"], "--map needs --out (-o): the .png of one picture, or a folder"),
        (["--map", "--overlay"], "--map needs --out (-o)"),
    ],
)
def test_maps_need_a_place_and_scores_none(options, said):
    result = run("predict", "pictures/a.png", *options)
    assert isinstance(result.exception, DataError)
    assert said in str(result.exception)


def test_the_mean_map_needs_no_torch(here):
    settings = {"family": "mean", **HEAD, "track": "maps", "target": "map"}
    mean = np.linspace(0, 1, 64).reshape(1, 8, 8)
    artifacts.save(here / "models" / "mean_map", config={"settings": settings}, arrays={"mean": mean})
    options = ["--map", "-o", "out", "--overlay", "--model", "mean_map"]
    done = subprocess.run(
        [sys.executable, "-c", SILENT, "predict", "pictures", *options],
        cwd=here,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout.splitlines()[-1].split()
    assert (here / "out" / "more" / "c.overlay.png").is_file()


@pytest.fixture
def judged(here):
    """The folder after the evaluation of what its params name."""
    (here / "metrics" / "images" / "score.leaderboard.csv").write_text(
        "model,val_spearman\nridge,0.6\nmemnet,0.5\n"
    )
    return here


@pytest.mark.usefixtures("judged")
def test_leaderboards_are_printed():
    result = run("leaderboard")
    assert result.exit_code == 0
    assert result.stdout.startswith("images\n 1 two\n 2 one\n")
    assert "of clips" not in result.stdout  # params.yaml names no clips
    assert "models: models/" in result.stdout


def test_a_leaderboard_of_other_params_is_not_printed_and_those_that_fit_are(here):
    """As after `cp profiles/mine.yaml params.yaml`, before `dvc repro`: the demo's board is not one's own."""
    named = PARAMS.replace("{fid: none}}", "{fid: none}, videos: {fid: none}}")
    (here / "params.yaml").write_text(named)
    result = run("leaderboard")
    assert result.exit_code == 1
    assert str(result.exception) == (
        "metrics/images/score.leaderboard.csv: not the leaderboard of the params at hand, which have no model two, one; "
        "run dvc repro evaluate@images"
    )
    assert result.stdout.startswith("videos, short_term\n 1 of clips\n")
    assert "two" not in result.stdout


def test_no_leaderboards(here):
    (here / "metrics" / "images" / "score.txt").unlink()
    result = run("leaderboard")
    assert isinstance(result.exception, DataError)
    assert "no leaderboard; run dvc repro" in str(result.exception)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("model", "keys"),
    [("ridge", {"alphas", "target", "backbone"}), ("memnet", {"lr", "epochs", "optimiser", "width", "crop"})],
)
def test_every_value_in_force_is_printed(model, keys):
    """Defaults and top-level values too: what is printed is a block that gives the same model."""
    result = run("params", model)
    assert result.exit_code == 0, result.output
    found = yaml.safe_load(result.stdout)[model]
    assert keys <= set(found)
    settings = params.load().model(model)
    assert checked(families.load(model).Params, found, at="") == settings
    assert getattr(settings, "lr", 1e-5) == 1e-5  # which YAML reads as text


@pytest.mark.usefixtures("here")
def test_a_full_disk_behind_the_output_is_one_line():
    command = [
        sys.executable,
        "-m",
        "memorability.cli",
        "predict",
        "pictures/a.png",
        "--model",
        "one",
        "--json",
    ]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "StorageError: what there is to say cannot be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["crossval", "ablate", "search", "params"])
@pytest.mark.parametrize("name", ["../../x", "../../../victim", "-x", "a" * 300])
def test_names_that_lead_elsewhere(here, command, name):
    for file in ("ablations.yaml", "searches.yaml"):
        (here / file).write_text("")
    before = sorted(here.parent.rglob("*"))
    result = run(command, "--", name)
    assert isinstance(result.exception, ParamsError)
    assert sorted(here.parent.rglob("*")) == before


@pytest.mark.parametrize("command", ["crossval", "ablate", "search", "params"])
def test_experiments_outside_a_project(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = run(command, "ridge")
    assert isinstance(result.exception, ParamsError)
    assert "run this from the project's root" in str(result.exception)


@pytest.mark.parametrize("option", [("--folds", "1"), ("--seeds", "0")])
def test_cross_validation_needs_folds_and_seeds(option):
    assert run("crossval", "ridge", *option).exit_code == 2


@pytest.mark.usefixtures("here")
def test_an_error_is_one_text_and_no_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["memorability", "predict", "no.png", "--model", "one"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    monkeypatch.setattr(sys, "argv", ["memorability", "params", "ridgy"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert str(stopped.value).startswith("memorability: ParamsError: ")


@pytest.mark.usefixtures("here")
def test_nothing_asked_shows_the_help():
    result = run()
    assert "predict" in result.output
    assert "leaderboard" in result.output


SILENT = """
import sys
from pathlib import Path
from memorability import cli
sys.argv = ["memorability", *sys.argv[1:]]
try:
    cli.main()
finally:
    heavy = {"torch", "torchvision", "sklearn", "matplotlib"} & set(sys.modules)
    print("imported:", *sorted(heavy))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["leaderboard"]])
def test_help_and_leaderboards_import_nothing_heavy(judged, arguments):
    done = subprocess.run(
        [sys.executable, "-c", SILENT, *arguments], cwd=judged, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "imported:"


def test_the_mean_needs_no_torch(here):
    arguments = ["predict", "pictures/a.png", "--model", "one", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", SILENT, *arguments], cwd=here, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout.splitlines()[-1].split()
