"""What `memorability explain` writes, and that it can be looked at."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from memorability.cli import app
from memorability.core.errors import CallError, DataError
from memorability.explain import Explanation, drawing
from memorability.media.overlay import FALSELY, REMEMBERED


@pytest.fixture
def run(world, tmp_path, monkeypatch):
    def called(*words):
        monkeypatch.chdir(tmp_path)
        models = ["--models", str(world.root / "models")]
        return CliRunner().invoke(app, [*map(str, words), *models], catch_exceptions=False)

    return called


def test_one_picture(run, picture, tmp_path):
    picture.save(tmp_path / "one.png")
    done = run("explain", "one.png", "--model", "ridge", "-o", "why.png", "--json")
    assert done.exit_code == 0
    [said] = json.loads(done.stdout)
    assert {"method", "score", "highest", "lowest", "overlay", "numbers", "model"} <= set(said)
    table = pd.read_csv(tmp_path / "why.csv")
    assert list(table) == ["row", "column", "left", "top", "right", "bottom", "value"]
    assert len(table) == 100
    assert (table["right"].max(), table["bottom"].max()) == picture.size
    assert table["value"].max() == pytest.approx(said["highest"]["value"], abs=1e-6)
    summary = json.loads((tmp_path / "why.json").read_text())
    assert summary.items() <= said.items()
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.width > drawn.height > 100


def test_several_pictures_and_one_that_is_none(run, picture, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        picture.save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "c.png").write_bytes(b"none")
    with pytest.raises(DataError, match="1 of 3 could not be explained"):
        run("explain", "in", "--model", "memnet", "--how", "gradcam", "-o", "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}.{kind}" for name in ("a", "b") for kind in ("csv", "json", "png")
    ]


@pytest.mark.parametrize("out", ["why/one.png", "why"])
def test_nothing_but_an_earlier_explanation_is_written_over(run, picture, tmp_path, out):
    (tmp_path / "in").mkdir()
    picture.save(tmp_path / "in" / "one.png")
    (tmp_path / "why").mkdir()
    words = ("explain", "in/one.png", "--model", "ridge", "--how", "sections", "-o", out)
    assert [run(*words).exit_code, run(*words).exit_code] == [0, 0]
    for name, content in (("one.csv", "path,score\n"), ("one.json", '[{"method": 1}]'), ("one.json", "{}")):
        (tmp_path / "why" / "one.json").unlink(missing_ok=True)
        (tmp_path / "why" / name).write_text(content)
        with pytest.raises(CallError, match=rf"why/{name}: is there, and of no earlier explanation"):
            run(*words)
        assert (tmp_path / "why" / name).read_text() == content


def test_options_are_those_of_a_method(run, picture, tmp_path):
    picture.save(tmp_path / "one.png")
    with pytest.raises(DataError, match="--how sections: received --patch; its options: --sections"):
        run("explain", "one.png", "--model", "ridge", "--how", "sections", "--patch", "0.3", "-o", "why.png")


def test_orange_where_it_is_remembered_and_blue_where_not(tmp_path):
    values = np.array([[1.0, 0.0, -1.0]], np.float32)
    picture = Image.new("RGB", (300, 100), "grey")
    found = Explanation("sections", values, 0.5, "x")
    drawing.draw(found, picture, title="n", to=tmp_path / "x.png")
    pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB"), int)
    row = pixels[pixels.shape[0] // 2]
    warm, cold = (np.abs(row - np.array(colour)).sum(axis=1) for colour in (REMEMBERED, FALSELY))
    assert warm.min() < 120
    assert cold.min() < 120
    assert warm.argmin() < cold[: int(0.9 * len(row))].argmin()


def test_steps_are_a_strip(tmp_path):
    steps = np.random.default_rng(0).random((3, 4, 4)).astype(np.float32)
    picture = Image.new("RGB", (60, 60), "grey")
    one = Explanation("attention", steps.mean(0), 0.5, "weight", signed=False)
    drawing.draw(one, picture, title="n", to=tmp_path / "one.png")
    several = Explanation("attention", steps.mean(0), 0.5, "weight", signed=False, steps=steps)
    drawing.draw(several, picture, title="n", to=tmp_path / "three.png")
    widths = [Image.open(tmp_path / f"{name}.png").width for name in ("one", "three")]
    assert widths[1] > 1.6 * widths[0]
