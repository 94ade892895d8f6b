"""A trained model of any family says of a user's own pictures which regions are remembered."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import worlds
from PIL import ExifTags, Image
from typer.testing import CliRunner
from worlds import World

from memorability import cli, families
from memorability.core.errors import DataError, MemorabilityError, StorageError
from memorability.core.settings import checked
from memorability.data import splits, tables, true_maps
from memorability.data.acquire import acquire
from memorability.data.datasets import pairs
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor
from memorability.features.inputs import Pictures
from memorability.media.maps import at_size
from memorability.predict import batches as batches_module
from memorability.predict import map_files
from memorability.predict.predictor import Failure, Predictor
from memorability.training import artifacts

SIZE, COUNT = 32, 24  # of maps in pixels; of pictures
HEAD = {"track": "maps", "target": "map", "input": "x", "backbone": "none", "pixels": SIZE}
GRADIENT = {"lr": 0.01, "epochs": 1, "batch_size": 6, "translation": 0, "cutout": 0}
MODELS = {
    "mean": {"family": "mean"},
    "place_ridge": {"family": "place_ridge", "alphas": [1.0]},
    "unet": {"family": "unet", "width": 8, **GRADIENT},
    "composite": {"family": "unet", "width": 8, "target": "composite", **GRADIENT},
    "pretrained": {"family": "unet", "width": 4, "backbone": "small", "encoder": "frozen", "picture": 64}
    | GRADIENT,
    "pix2pix": {"family": "pix2pix", "width": 4, **GRADIENT},
    "palette": {"family": "palette", "width": 8, "multipliers": (1, 2), "blocks": 1, "attention": ()}
    | {"timesteps": 20, "noise": "cosine", "steps": 2, "val_pictures": 2, **GRADIENT},
}


def draw(folder, *, channels):
    """Pictures with a bright square on a dark ground, which their maps mark, of several shapes."""
    rng = np.random.default_rng(0)
    for kind in ("images", "maps"):
        (folder / kind).mkdir(parents=True)
    for i in range(COUNT):
        height, width = ((SIZE, SIZE), (48, 80), (90, 40))[i % 3]
        pixels = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
        marked = np.zeros((height, width, channels), np.uint8)
        y, x = rng.integers(0, height - 16), rng.integers(0, width - 16)
        pixels[y : y + 16, x : x + 16] = 250
        marked[y : y + 16, x : x + 16, 0] = 200
        marked[: height // 3, :, min(1, channels - 1)] += 40
        Image.fromarray(pixels).save(folder / "images" / f"{i:02}.png")
        Image.fromarray(marked if channels == 3 else marked[..., 0]).save(folder / "maps" / f"{i:02}.png")


def make(root, *, channels):
    """A small raw track of maps with its split, a backbone with random weights, and features of places."""
    draw(root / "source", channels=channels)
    sources = {"pairs": pairs.Params(root=root / "source", channels=channels)}
    beside = {"work": root / "work", "store": root / "store"}
    acquire("maps", sources, root / "raw", **beside, seed=0, threads=2)
    index = tables.read(root / "raw" / "index.csv")
    tables.write(splits.split(index, worlds.SPLIT)[0], root / "split.csv")
    world = World(root, index, tables.read(root / "split.csv"))
    worlds.backbone(world.backbone)
    extractor = Extractor(world.backbone, **{**worlds.CUT, "pools": ["none"]}, pixels=64, device="cpu")
    (root / "features").mkdir()
    index[["id"]].to_csv(root / "features" / "ids.csv", index=False)
    pictures, out = Pictures(index, root / "raw"), {"out": root / "features", "cache_root": root / "cache"}
    extract(list(index["sha256"]), pictures.picture, extractor, **out, threads=1)
    return world


@pytest.fixture(scope="module")
def world(request, tmp_path_factory):
    """Of maps of 3 channels, unless a test asks for 1."""
    return make(tmp_path_factory.mktemp("world"), channels=getattr(request, "param", 3))


of_either_kind = pytest.mark.parametrize("world", [1, 3], indirect=True)


@pytest.fixture(scope="module")
def fitted(world):
    """Fits a model, once; gives its folder and what the pipeline predicted with it, by the picture's name."""
    done = {}

    def fit(name):
        if name not in done:
            settings = checked(
                families.load(MODELS[name]["family"]).Params, HEAD | MODELS[name], at="models.x"
            )
            reads = "features" if name == "place_ridge" else "raw"
            model = worlds.fit(settings, world.rows, worlds.paths(world.root, name, input=reads))
            table, values = model.table, model.maps
            names = [identity.rsplit("/", 1)[1] for identity in table["id"]]
            done[name] = model.where.model, dict(zip(names, values, strict=True))
        return done[name]

    return fit


@pytest.fixture
def predictor(fitted):
    return lambda name: Predictor(fitted(name)[0], device="cpu")


def images(world):
    return world.root / "source" / "images"


def channels(world):
    return true_maps.channels(world.root / "raw")


# Maps of files


@of_either_kind
@pytest.mark.parametrize("name", MODELS)
def test_the_map_of_a_file_is_the_one_of_the_pipeline(world, fitted, name):
    folder, predicted = fitted(name)
    predictor = Predictor(folder, device="cpu")
    assert (predictor.maps, predictor.clips, predictor.needs_title) == (True, False, False)
    found = predictor.predict_maps([images(world)])
    assert [one.path.name for one in found] == [f"{i:02}.png" for i in range(COUNT)]
    compared, spread = set(), []
    for one in found:
        width, height = Image.open(one.path).size
        assert one.values.shape == (channels(world), height, width)
        assert one.values.dtype == np.float32
        assert one.values.min() >= 0
        assert one.values.max() <= 1
        if one.path.name in predicted:
            expected = at_size(predicted[one.path.name], width=width, height=height)
            np.testing.assert_allclose(one.values, expected, atol=2e-3)
            compared.add((width, height))
            spread.append(float(np.ptp(one.values)))
    assert compared == {(SIZE, SIZE), (80, 48), (40, 90)}
    assert max(spread) > 0.01


def test_the_map_is_of_the_upright_picture(world, predictor, tmp_path):
    upright = Image.open(images(world) / "01.png")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6  # shown after a quarter turn to the right
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "turned.png", exif=turned)
    straight, other = predictor("unet").predict_maps([images(world) / "01.png", tmp_path / "turned.png"])
    assert other.values.shape[1:] == (48, 80)
    np.testing.assert_allclose(straight.values, other.values, atol=1e-5)


@pytest.mark.parametrize("name", ["mean", "place_ridge", "unet"])
def test_pictures_of_any_kind_and_shape_have_maps(world, predictor, tmp_path, name):
    kinds = {"grey.png": ("L", (50, 30)), "clear.png": ("RGBA", (20, 70)), "long.jpg": ("RGB", (2000, 3))}
    for file, (mode, size) in {**kinds, "pixel.bmp": ("RGB", (1, 1))}.items():
        Image.new(mode, size).save(tmp_path / file)
        (found,) = predictor(name).predict_maps([tmp_path / file])
        assert found.values.shape == (channels(world), size[1], size[0])
        assert np.isfinite(found.values).all()


@pytest.mark.parametrize("name", ["unet", "palette", "place_ridge"])
def test_a_map_is_the_same_to_the_last_bit_whatever_is_mapped_with_it(world, predictor, name):
    model = predictor(name)
    files = [images(world) / f"{i:02}.png" for i in (4, 1, 2, 7)]
    together = model.predict_maps(files)
    for file, one in zip(files, together, strict=True):
        (alone,) = model.predict_maps([file])
        np.testing.assert_array_equal(alone.values, one.values)
    assert np.abs(together[1].values - together[3].values).max() > 1e-3


def test_maps_come_batch_after_batch(world, predictor, tmp_path, monkeypatch):
    for i in range(5):
        shutil.copy(images(world) / f"{i:02}.png", tmp_path)
    (tmp_path / "02.png").write_bytes(b"broken")
    model, batches = predictor("mean"), []
    inner = model._model.predict
    monkeypatch.setattr(model._model, "predict", lambda items: batches.append(len(items)) or inner(items))
    for size, pixels, expected in ((2, 10**9, [2, 1, 1]), (32, 4000, [2, 2])):
        with monkeypatch.context() as patch:
            patch.setattr(batches_module, "PIXELS", pixels)
            batches.clear()
            found = list(model.maps_of([tmp_path], batch_size=size))
        assert [one.path.name for one in found] == [f"{i:02}.png" for i in range(5)]
        assert [isinstance(one, Failure) for one in found] == [False, False, True, False, False]
        assert batches == expected


def test_every_failure_is_listed(world, predictor, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    (tmp_path / "empty").mkdir()
    paths = [images(world) / "00.png", *(tmp_path / name for name in ("broken.jpg", "no.jpg", "empty"))]
    with pytest.raises(DataError, match="3 of 4 cannot be mapped") as error:
        predictor("mean").predict_maps(paths)
    for text in ("broken.jpg: not a picture", "no.jpg: cannot be read", "empty: no pictures in this folder"):
        assert text in str(error.value)


def test_no_picture_no_map(predictor):
    assert predictor("mean").predict_maps([]) == []


# What a model does not predict


def test_a_model_of_maps_has_no_scores(world, predictor):
    for ask in ("predict", "batch", "batch_together"):
        with pytest.raises(DataError, match=r"\(mean\) predicts maps, not scores; .*predict_maps.*--map"):
            getattr(predictor("mean"), ask)([images(world)])


@pytest.mark.parametrize(("track", "kind"), [("images", "pictures"), ("videos", "clips")])
def test_a_model_of_scores_has_no_maps(tmp_path, track, kind):
    target = "score" if track == "images" else "short_term"
    settings = {"family": "mean", "track": track, "target": target, "input": "x", "backbone": "none"}
    artifacts.save(tmp_path / "m", config={"settings": settings}, arrays={"mean": np.array(0.5)})
    model = Predictor(tmp_path / "m")
    assert not model.maps
    for ask in (model.maps_of, model.predict_maps):
        with pytest.raises(DataError, match=f"predicts scores of {kind}, not maps; they come by predict"):
            ask(["a.jpg"])


# The command


@pytest.fixture
def here(world, fitted, tmp_path, monkeypatch):
    """A working folder with the models, the board of maps and a few pictures."""
    for name in ("mean", "unet"):
        fitted(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(world.root / "models")
    board = tmp_path / "metrics" / "maps"
    board.mkdir(parents=True)
    pd.DataFrame({"model": ["unet", "mean"], "val_cc": [0.5, 0.2]}).to_csv(
        board / "map.leaderboard.csv", index=False
    )
    for source, name in (("00", "a.png"), ("01", "b.png"), ("02", "more/c.png")):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images(world) / f"{source}.png", tmp_path / "pictures" / name)
    Image.open("pictures/b.png").save(tmp_path / "photo.jpg")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli.app, ["predict", "--map", *arguments])


def answered(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result):
    assert isinstance(result.exception, DataError), result.output
    assert result.exit_code == 1
    return str(result.exception)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def opened(path):
    """A map's file as values [C, height, width] in [0, 255]."""
    values = np.asarray(Image.open(path)).astype(int)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


@of_either_kind
def test_one_picture_by_the_best_model(world, predictor, here):
    (said,) = answered(run("photo.jpg", "-o", "out/map.png", "--overlay", "--json"))
    (found,) = predictor("unet").predict_maps([here / "photo.jpg"])
    first = found.values[0]
    x, y = said.pop("peak")
    assert first[y, x] == pytest.approx(first.max(), abs=1e-6)
    assert said.pop("mean") == pytest.approx(first.mean(), abs=1e-5)
    names = {"path": "photo.jpg", "map": "out/map.png", "overlay": "out/map.overlay.png"}
    assert said.items() >= {**names, "model": "unet", "val_cc": 0.5}.items()
    assert files(here / "out") == ["map.overlay.png", "map.png"]
    assert Image.open("out/map.png").mode == ("L" if channels(world) == 1 else "RGB")
    assert np.abs(opened("out/map.png") - found.values * 255).max() <= 0.51
    shown = Image.open("out/map.overlay.png")
    assert (shown.mode, shown.size) == ("RGB", (80, 48))


@pytest.mark.usefixtures("here")
def test_a_table_of_where_the_maps_are():
    result = run("pictures", "photo.jpg", "-o", "out", "--model", "mean")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("mean: trained on ")
    assert [line.split() for line in lines[1:]] == [
        ["path", "map"],
        ["pictures/a.png", "out/a.png"],
        ["pictures/b.png", "out/b.png"],
        ["pictures/more/c.png", "out/more/c.png"],
        ["photo.jpg", "out/photo.png"],
    ]


def test_a_folder_keeps_its_subfolders(here):
    said = answered(run("pictures", "-o", "out", "--overlay", "--json"))
    assert files(here / "out") == [
        *("a.overlay.png", "a.png", "b.overlay.png", "b.png", "more/c.overlay.png", "more/c.png")
    ]
    assert [one["overlay"] for one in said] == [f"out/{name}.overlay.png" for name in ("a", "b", "more/c")]
    sizes = [Image.open(one["map"]).size for one in said]
    assert sizes == [(SIZE, SIZE), (80, 48), (40, 90)]
    before = (here / "out" / "a.png").read_bytes()
    assert answered(run("pictures", "-o", "out", "--json"))[0]["map"] == "out/a.png"  # and once more
    assert (here / "out" / "a.png").read_bytes() == before


@pytest.mark.parametrize("pattern", ["pictures/*/*.png", "pictures/**/c.png", "pictures/**/c*"])
def test_a_pattern_keeps_the_subfolders_below_its_first_wildcard(here, pattern):
    (said,) = answered(run(pattern, "-o", "out", "--json"))
    assert (said["path"], said["map"]) == ("pictures/more/c.png", "out/more/c.png")
    assert files(here / "out") == ["more/c.png"]


@pytest.mark.usefixtures("here")
def test_patterns_are_of_several_pictures():
    assert len(answered(run("pictures/?.png", "photo.jpg", "-o", "out", "--json"))) == 3
    assert len(answered(run("pictures/**", "-o", "all", "--json"))) == 3  # each once
    assert "x*.png: no file is called so" in refused(run("x*.png", "-o", "out"))
    assert "valid for several pictures" in refused(run("pictures/*.png", "-o", "map.png"))


def test_a_picture_with_wildcards_in_its_name(here):
    (here / "photo.jpg").rename("a[1].jpg")
    assert answered(run("a[1].jpg", "-o", "map.png", "--json"))[0]["map"] == "map.png"


def test_a_url_is_not_mapped_and_said_to_be_one(here):
    text = refused(run("pictures", "https://example.org/b.jpg", "-o", "out"))
    assert text.startswith("--map: received https://example.org/b.jpg; valid: pictures that are files")
    assert not (here / "out").exists()


def test_one_picture_into_a_folder_that_exists(here):
    (here / "out").mkdir()
    (said,) = answered(run("photo.jpg", "-o", "out", "--json"))
    assert said["map"] == "out/photo.png"
    assert "overlay" not in said


def test_what_cannot_be_mapped_comes_after_what_can(here):
    (here / "pictures" / "broken.png").write_bytes(b"broken")
    (here / "empty").mkdir()
    result = run("pictures", "no.png", "empty", "-o", "out", "--json")
    text = refused(result)
    assert text.startswith("3 of 6 could not be mapped")
    for reason in (
        "pictures/broken.png: not a picture",
        "no.png: cannot be read",
        "empty: no pictures in this folder",
    ):
        assert reason in text
    assert [one["map"] for one in json.loads(result.stdout)] == ["out/a.png", "out/b.png", "out/more/c.png"]
    assert files(here / "out") == ["a.png", "b.png", "more/c.png"]


@pytest.mark.parametrize("name", ["map.jpg", "map", "map.png.gz"])
def test_the_file_of_a_map_has_a_valid_ending(here, name):
    text = refused(run("photo.jpg", "-o", name))
    assert f"-o {name}: a map is not written to a file of ending" in text
    assert "valid: NAME.png, NAME.npy, NAME.tif, NAME.tiff, or a folder that exists" in text
    assert not (here / name).exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["maps.png", "photo.jpg", "models/mean/config.json"])
def test_the_maps_of_several_pictures_go_to_a_folder(name):
    for paths in (("pictures",), ("pictures/a.png", "pictures/b.png")):
        assert f"-o {name}: valid for several pictures" in refused(run(*paths, "-o", name))


def test_two_maps_of_one_name_are_refused_before_anything_is_computed(here):
    shutil.copy(here / "photo.jpg", here / "pictures" / "a.jpg")
    shutil.copy(here / "photo.jpg", here / "pictures" / "b.overlay.jpg")
    text = refused(run("pictures", "pictures/more", "pictures/more/c.png", "-o", "out", "--overlay"))
    assert "pictures/a.jpg and pictures/a.png would both give out/a.png" in text
    assert "pictures/b.overlay.jpg and pictures/b.png would both give out/b.overlay.png" in text
    assert "pictures/more/c.png and pictures/more/c.png would both give out/c.png" in text
    assert not (here / "out").exists()


def test_no_picture_is_written_over(here):
    (here / "link.png").symlink_to("pictures/a.png")
    (here / "a.overlay.png").hardlink_to(here / "pictures" / "b.png")
    contents = {file: (here / file).read_bytes() for file in files(here) if not file.startswith("m")}
    for arguments in (
        ("pictures/a.png", "-o", "pictures/a.png"),
        ("pictures/a.png", "-o", "link.png"),
        ("pictures/a.png", "pictures/b.png", "-o", "pictures"),
        ("pictures/a.png", "pictures/b.png", "-o", ".", "--overlay"),
    ):
        assert "which is one of the pictures" in refused(run(*arguments))
    assert {file: (here / file).read_bytes() for file in contents} == contents


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("out", ["pictures", "pictures/maps", "pictures/more"])
def test_maps_do_not_go_among_the_pictures_of_a_folder(out):
    assert "lies in pictures, where its maps would be taken for pictures" in refused(
        run("pictures", "-o", out)
    )


def test_no_folder_is_written_over(here):
    (here / "out" / "a.png").mkdir(parents=True)
    (here / "out" / "a.png" / "work.txt").write_text("of weeks")
    assert "would give out/a.png, which is a folder" in refused(run("pictures", "-o", "out"))
    assert files(here / "out") == ["a.png/work.txt"]


def test_nothing_is_half_written(here, monkeypatch):
    def fail(image, path, kind, **options):
        path.write_bytes(b"half")
        raise OSError("no more paper")

    monkeypatch.setattr(Image.Image, "save", fail)
    result = run("photo.jpg", "-o", "out/map.png")
    assert isinstance(result.exception, StorageError)
    assert "out/map.png: cannot be written (no more paper)" in str(result.exception)
    assert files(here / "out") == []


def test_a_map_whose_name_is_too_long_costs_no_other_map(here):
    long = "n" * 251 + ".png"
    shutil.copy(here / "photo.jpg", here / "pictures" / long)
    result = run("pictures", "-o", "out", "--overlay", "--json")
    assert "1 of 4 could not be mapped" in refused(result)
    assert "cannot be written, the name is too long" in str(result.exception)
    assert [one["map"] for one in json.loads(result.stdout)] == ["out/a.png", "out/b.png", "out/more/c.png"]


@pytest.mark.parametrize("out", ["n" * 300, "n" * 300 + ".png"])
def test_a_place_whose_name_is_too_long_is_named(here, out):
    for paths in (("photo.jpg",), ("pictures",)):
        result = run(*paths, "-o", out)
        assert isinstance(result.exception, MemorabilityError)
    assert files(here / "pictures") == ["a.png", "b.png", "more/c.png"]


def test_what_is_no_picture_is_not_mapped_and_counted(here):
    (here / "pictures" / "notes.txt").write_text("notes")
    result = run("pictures", "-o", "out", "--json")
    assert len(answered(result)) == 3
    assert "not looked at: 1 of ending '.txt' (such as 'pictures/notes.txt')" in result.stderr


@pytest.mark.usefixtures("here")
def test_a_place_that_cannot_be_written_is_named():
    result = run("photo.jpg", "-o", "photo.jpg/map.png")
    assert isinstance(result.exception, StorageError)
    assert "photo.jpg/map.png: cannot be written" in str(result.exception)


def test_a_picture_that_goes_away_before_its_overlay(here, predictor):
    (target,) = map_files.targets([here / "photo.jpg"], here / "map.png", overlays=True).found
    model = predictor("mean")
    maps_of = model.maps_of

    def gone(paths):
        for found in maps_of(paths):
            (here / "photo.jpg").unlink()
            yield found

    model.maps_of = gone
    (found,) = map_files.written(model, [target], model="mean")
    assert isinstance(found, Failure)
    assert "no overlay, the picture is gone" in found.reason


@pytest.mark.usefixtures("here")
def test_a_score_model_is_refused(world):
    settings = {"family": "mean", "track": "images", "target": "score", "input": "x", "backbone": "none"}
    artifacts.save(
        world.root / "models" / "scores", config={"settings": settings}, arrays={"mean": np.array(0.5)}
    )
    text = refused(run("photo.jpg", "-o", "map.png", "--model", "scores"))
    assert "models/scores: this model (mean) predicts scores of pictures, not maps" in text
    result = CliRunner().invoke(cli.app, ["predict", "photo.jpg", "--model", "mean"])
    assert "models/mean: this model (mean) predicts maps, not scores" in refused(result)


def test_without_a_board_of_maps_a_model_is_asked_for(here):
    (here / "metrics" / "maps" / "map.leaderboard.csv").unlink()
    assert "name one with --model: " in refused(run("photo.jpg", "-o", "map.png"))


# The place of the largest value


def test_the_peak_is_x_and_y():
    values = np.zeros((5, 9))
    values[1, 7] = 0.3
    assert map_files.peak(values) == (7, 1)


def test_the_peak_of_several_largest_is_the_middle_one_of_them():
    values = np.zeros((20, 30))
    values[4:9, 10:17] = 1
    assert map_files.peak(values) == (13, 6)
    values[:, :] = 0
    values[3, [0, 1, 29]] = 1  # their mean is at none of them
    assert map_files.peak(values) == (1, 3)
