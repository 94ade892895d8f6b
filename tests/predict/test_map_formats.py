"""Maps as files: pictures for the eye, or their values as they are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageSequence
from typer.testing import CliRunner

from memorability import cli
from memorability.core.errors import DataError
from memorability.predict.predictor import Predictor
from memorability.training import artifacts

SIZE = 12
SETTINGS = {
    "family": "mean",
    "track": "maps",
    "target": "map",
    "input": "x",
    "backbone": "none",
    "pixels": SIZE,
}


@pytest.fixture(params=[1, 3])
def here(request, tmp_path, monkeypatch):
    """A working folder with a model of maps of so many channels, and pictures."""
    monkeypatch.chdir(tmp_path)
    mean = np.random.default_rng(0).random((request.param, SIZE, SIZE))
    artifacts.save(tmp_path / "models" / "maps", config={"settings": SETTINGS}, arrays={"mean": mean})
    (tmp_path / "pictures" / "more").mkdir(parents=True)
    for name in ("photo.png", "pictures/a.png", "pictures/more/b.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli.app, ["predict", "--map", "--model", "maps", *arguments])


def written(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [row["map"] for row in json.loads(result.stdout)]


def refused(result):
    assert isinstance(result.exception, DataError), result.output
    return str(result.exception)


def values_of(path):
    if path.suffix == ".npy":
        return np.load(path)
    with Image.open(path) as found:
        if path.suffix == ".png":
            values = np.asarray(found)
            return (values[None] if values.ndim == 2 else values.transpose(2, 0, 1)) / 255
        pages = [page.copy() for page in ImageSequence.Iterator(found)]
    assert {page.mode for page in pages} == {"F"}
    return np.stack([np.asarray(page) for page in pages])


@pytest.mark.parametrize(
    ("name", "precision"), [("map.png", 0.002), ("map.npy", 0), ("map.tif", 0), ("m.TIFF", 0)]
)
def test_the_ending_says_how_the_map_of_one_picture_is_written(here, name, precision):
    assert written("photo.png", "-o", name, "--overlay") == [name]
    (expected,) = Predictor("models/maps").predict_maps(["photo.png"])
    found = values_of(here / name)
    assert found.shape == (len(expected.values), 30, 40)
    assert np.abs(found - expected.values).max() <= precision
    assert precision or found.dtype == np.float32
    assert (here / name).with_suffix(".overlay.png").is_file()


@pytest.mark.parametrize(("kind", "ending"), [("png", ".png"), ("npy", ".npy"), ("tiff", ".tif")])
def test_the_maps_of_a_folder_are_of_the_format_that_is_asked_for(here, kind, ending):
    assert written("pictures", "-o", "out", "--format", kind) == [f"out/a{ending}", f"out/more/b{ending}"]
    found = {path.name for path in (here / "out").rglob("*.*")}
    assert found == {f"a{ending}", f"b{ending}"}
    assert values_of(here / "out" / f"a{ending}").shape[1:] == (30, 40)


@pytest.mark.usefixtures("here")
def test_formats_that_contradict_each_other_or_are_none():
    text = refused(run("photo.png", "-o", "map.npy", "--format", "png"))
    assert text == "-o map.npy: its ending is that of npy, received --format png; leave one out"
    assert "-o maps.npy: valid for several pictures" in refused(run("pictures", "-o", "maps.npy"))
    result = run("pictures", "-o", "out", "--format", "exr")
    assert result.exit_code == 2
    assert all(kind in result.output for kind in ("png", "npy", "tiff"))
    result = CliRunner().invoke(cli.app, ["predict", "photo.png", "--format", "npy"])
    assert "--format without --map" in refused(result)
