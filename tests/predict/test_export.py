"""Every family of pictures as an ONNX file, held against the model on 50 pictures; and what cannot be one, with the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest
import worlds
from PIL import Image

from memorability.core.errors import DataError
from memorability.features.extraction import Extractor, extract
from memorability.features.inputs import Pictures
from memorability.features.items import Item
from memorability.predict import export
from memorability.predict.predictor import Predictor

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

PIXELS = {"memnet": {}, "resmem": {}, "finetune": {"backbone": "small", "resize": 64, "crop": 64}}
OF_FEATURES = {"ridge": {}, "svr": {}, "kernel_ridge": {"cs": None}}
OF_PLACES = {"amnet": {"hidden": 16}, "probe": {}}
MAPS = ("unet", "pix2pix", "wgan", "palette")


def pictures():
    rng = np.random.default_rng(11)
    for _ in range(50):
        coarse = rng.integers(0, 256, (*rng.integers(2, 12, 2), 3), dtype=np.uint8)
        width, height = (int(side) for side in rng.integers(40, 200, 2))
        yield Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def apart(folder, to):
    """How far the file's answers are from the model's, one by one and together."""
    predictor = Predictor(folder, device="cpu")
    export.export(predictor, to)
    session = onnxruntime.InferenceSession(str(to), providers=["CPUExecutionProvider"])
    how = json.loads(session.get_modelmeta().custom_metadata_map["memorability"])["preprocessing"]
    shown = list(pictures())
    expected, _ = predictor.model.predict([Item(to, picture) for picture in shown])
    given = np.concatenate([export.pixels(picture, how) for picture in shown])
    alone = np.concatenate([session.run(None, {"pixels": one[None]})[0] for one in given])
    (together,) = session.run([how["output"]], {"pixels": given})
    assert together.shape == expected.shape
    return max(np.abs(found - expected).max() for found in (alone, together))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A track with features of its pictures, pooled and of their places."""
    world = worlds.pictures(tmp_path_factory.mktemp("world"), 24)
    worlds.extract_features(world)
    out, rows = world.root / "data" / "features" / "places", world.index
    out.mkdir(parents=True)
    rows[["id"]].to_csv(out / "ids.csv", index=False)
    extractor = Extractor(world.backbone, **worlds.CUT | {"pools": ["none"]}, device="cpu")
    read = Pictures(rows, world.root / "raw").picture
    extract(list(rows["sha256"]), read, extractor, out=out, cache_root=world.root / "cache", threads=1)
    return world


@pytest.mark.parametrize("family", [*PIXELS, *OF_FEATURES, *OF_PLACES])
def test_of_scores(world, tmp_path, family):
    changes = {
        key: value for key, value in (PIXELS | OF_FEATURES | OF_PLACES)[family].items() if value is not None
    }
    where = world.paths(family)
    if family in OF_PLACES:
        where = worlds.paths(world.root, family, input="data/features/places")
        changes |= {"input": "data/features/places"}
    world.fit(family, where=where, **changes)
    assert apart(world.root / "models" / family, tmp_path / "m.onnx") < 1e-4


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    return worlds.pictures_with_maps(tmp_path_factory.mktemp("maps"))


@pytest.mark.parametrize("family", MAPS)
def test_of_maps(maps, tmp_path, family):
    """Those that draw noise (palette) say why there is no file."""
    maps.fit(family, epochs=1)
    if family == "palette":
        with pytest.raises(DataError, match="out of noise"):
            export.export(Predictor(maps.root / "models" / family, device="cpu"), tmp_path / "m.onnx")
        assert not (tmp_path / "m.onnx").exists()
    else:
        assert apart(maps.root / "models" / family, tmp_path / "m.onnx") < 1e-4


def test_what_has_no_file_says_why(world, tmp_path):
    world.fit("mean")
    with pytest.raises(DataError, match="it says the same of every picture"):
        export.export(Predictor(world.root / "models" / "mean", device="cpu"), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
