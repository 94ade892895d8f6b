"""Of every kind of input, rows of a track and a user's files give equal arrays for the same files."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pandas as pd
import pytest
import torch
import worlds
from PIL import ExifTags, Image

from memorability.core.errors import DataError, GivenFeaturesError, ParamsError
from memorability.core.files import read_json, write_json
from memorability.data import frames, tables
from memorability.data.acquire import acquire
from memorability.data.datasets import table
from memorability.features import backbones, joined, stored
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor
from memorability.features.inputs import Listed
from memorability.features.items import Item, Source
from memorability.features.reads import KINDS, Where
from memorability.features.settings import Transform
from memorability.media import pictures, video
from memorability.training.settings import PictureModel

ARCH, WHOLE = "squeezenet1_1", 48
SAMPLING = video.Sampling("fps", fps=1.0, count=4)
FITS = ("squash", "shorter_side")
CLIPS = {"long.webm": 6, "short.webm": 2, "one.webm": 1}  # their seconds
CASES = [
    *[(kind, "images") for kind in ("nothing", "pictures", "whole_pictures", "features", "sequences")],
    *[("places", "images"), ("predictions", "images")],
    *[("places_or_pictures", "images"), ("pictures_and_places", "images")],
    *[(kind, "videos") for kind in ("nothing", "frames", "features", "sequences", "titles", "predictions")],
    *[("frame_scores", "videos"), ("section_scores", "images")],
]


class Brightness:
    """A model that another one contains: the mean of a picture's first channel, or the length of a clip's title."""

    settings = SimpleNamespace(track="images")
    source = Source(lambda items: (np.empty((len(items), 0)), None), frozenset([SAMPLING]), needs_title=True)

    def predict(self, items):
        values = [
            len(item.title) if item.picture is None else np.asarray(item.picture)[..., 0].mean()
            for item in items
        ]
        return np.array(values, float), None


@dataclass(frozen=True)
class World:
    """`root` has the files in `files`, and by track raw data, frames and features as the stages make them."""

    root: Path

    def table(self, track):
        return tables.read(self.root / ("frames" if track == "videos" else "raw-images") / "index.csv")

    def items(self, track):
        """A user's files, of the rows in their order."""
        rows = self.table(track)
        paths = [self.root / "files" / name.removeprefix("table/") for name in rows["id"]]
        if track == "images":
            return [Item(path, pictures.read(path)) for path in paths]
        titles = rows["title"].fillna("")
        return [Item(path, title=title) for path, title in zip(paths, titles, strict=True)]

    def input(self, kind, track, fit):
        raw, frames = self.root / f"raw-{track}", self.root / "frames"
        computed = self.root / f"features-{track}-{fit}"
        return {
            "features": computed,
            "sequences": computed,
            "places": self.root / f"places-{fit}",
            "pictures_and_places": self.root / f"places-{fit}",
            "frames": frames,
            "frame_scores": frames,
            "predictions": self.root / f"predictions-{track}",
        }.get(kind, raw)


def draw(folder):
    """Pictures of several shapes and kinds, one of them 16:9 and one that EXIF turns."""
    rng = np.random.default_rng(0)

    def noise(width, height):
        return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))

    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    noise(160, 90).save(folder / "wide.jpg")
    noise(48, 80).save(folder / "tall.png")
    noise(64, 64).convert("L").save(folder / "grey.png")
    noise(90, 50).save(folder / "turned.jpg", exif=turned)
    clear = noise(50, 60).convert("RGBA")
    clear.putalpha(90)
    clear.save(folder / "clear.webp", lossless=True)


def clip(path, seconds):
    """Frames of 32 x 18 pixels, one a second."""
    rng = np.random.default_rng(seconds)
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=1, options={"deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = 32, 18, "yuv420p"
        for _ in range(seconds):
            pixels = np.kron(rng.integers(0, 256, (3, 4, 3)), np.ones((6, 8, 1))).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def packed(root):
    """The files as raw data of both tracks, and frames of the clips."""
    files = root / "files"
    draw(files)
    names = sorted(path.name for path in files.iterdir())
    pd.DataFrame({"file": names, "score": 0.5}).to_csv(files / "pictures.csv", index=False)
    for name, seconds in CLIPS.items():
        clip(files / name, seconds)
    titled = pd.DataFrame({"file": list(CLIPS), "short": 0.5, "title": ["a cat", None, "a dog, twice"]})
    titled.to_csv(files / "clips.csv", index=False)
    of_clips = {"csv": "clips.csv", "short_term": "short", "title": "title"}
    for track, own in (("images", {"csv": "pictures.csv"}), ("videos", of_clips)):
        source = {"table": table.Params(root=files, **own)}
        beside = {"work": root / "work", "store": root / "store", "seed": 0, "threads": 1}
        acquire(track, source, root / f"raw-{track}", **beside)
    (root / "frames").mkdir()
    index = tables.read(root / "raw-videos" / "index.csv")
    frames.extract(
        index, root / "raw-videos", SAMPLING, out=root / "frames", cache_root=root / "cache", threads=1
    )


def extracted(root, out, *, of, backbone, **cut):
    """As the features stage makes them; in an order that is not the rows'."""
    listed = Listed(root / of)
    extractor = Extractor(root / "models" / backbone, **cut, dtype="float16", batch_size=4, device="cpu")
    (root / out).mkdir()
    more = {} if listed.frames is None else {"frames": listed.frames}
    pictures, place = listed.pictures.picture, {"shape": listed.shape, "slots": listed.slots.tolist()}
    extract(
        listed.keys,
        pictures,
        extractor,
        out=root / out,
        cache_root=root / "cache",
        threads=1,
        **place,
        more=more,
    )
    ids = pd.DataFrame({"id": listed.ids})
    (ids.assign(length=listed.lengths) if more else ids).to_csv(root / out / stored.IDS, index=False)


def predicted(root, track):
    """What the member `bright` says of the track's files, as the train stage writes it."""
    world = World(root)
    values = Brightness().predict(world.items(track))[0]
    rows = world.table(track)[["id"]].assign(prediction=values)
    tables.write(rows[::-1], root / f"predictions-{track}" / "bright" / "predictions.csv")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    (root / "files").mkdir()
    packed(root)
    torch.manual_seed(0)
    state = backbones.build(ARCH, classes=4).state_dict()
    for fit in FITS:
        transform = Transform(fit=fit, resize=40, crop=36).model_dump(mode="json")
        backbones.save(root / "models" / fit, arch=ARCH, state=state, transform=transform, source="file")
        cut = {"layers": ["features.8"], "backbone": fit}
        extracted(root, f"features-images-{fit}", of="raw-images", **cut)
        extracted(root, f"features-videos-{fit}", of="frames", **cut)
        more = {
            "layers": ["features.3", "features.8"],
            "pools": ["sd", "gem"],
            "views": "mirror",
            "backbone": fit,
        }
        extracted(root, f"more-images-{fit}", of="raw-images", **more)
        extracted(root, f"more-videos-{fit}", of="frames", **more | {"views": "ten_crop"})
        extracted(root, f"places-{fit}", of="raw-images", pools=["none"], pixels=WHOLE, **cut)
    for track in ("images", "videos"):
        predicted(root, track)
    return World(root)


def settings(track, fit):
    own = {
        "fit": fit,
        "interpolation": "bilinear",
        "resize": 30,
        "crop": 24,
        "side": WHOLE,
        "features": (),
        "members": ("bright",),
        "backbone": "bright",
        "sections": 3,
        "how": "occluded",
        "fill": "blur",
    }
    return SimpleNamespace(family="x", track=track, **own)


def where(world, input=None):
    return Where(
        models=world.root / "models",
        open_model=lambda folder: {"bright": Brightness()}[folder.name],
        input=input,
        raw=world.root / "raw-images",
        device="cpu",
    )


def both(world, name, track, fit):
    """What the kind reads of the track's rows, and of the files."""
    if name == "pictures_and_places":  # which are joined of whole pictures alone
        fit = "squash"
    kind, own = KINDS[name], settings(track, fit)
    rows = kind.rows(own, world.table(track), where(world, world.input(name, track, fit)))
    config = json.loads(json.dumps(rows.origin))  # as a model's config keeps it
    return rows, kind.files(own, config, where(world))


def test_every_kind_is_tried():
    assert {name for name, _ in CASES} == set(KINDS)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("name", "track"), CASES)
def test_rows_and_files_give_equal_arrays(world, name, track, fit):
    rows, source = both(world, name, track, fit)
    x, lengths = source.read(world.items(track))
    expected = np.stack([rows.x[i] for i in range(len(x))])
    assert x.shape == (len(world.table(track)), *rows.shape)
    assert x.dtype == expected.dtype
    np.testing.assert_array_equal(x, expected)
    assert (lengths is None) == (rows.lengths is None)
    if lengths is not None:
        np.testing.assert_array_equal(lengths, rows.lengths)
    if name != "nothing":
        assert len({row.tobytes() for row in x}) == len(x)  # no two files look alike


def several(track, fit, *names):
    own = settings(track, fit)
    own.features = tuple(f"{name}-{track}-{fit}" for name in names)
    return own


def test_places_are_where_the_pixels_are(world):
    """Of a picture whose left half is white, so are the enlarged features of the crop's left half."""
    pixels = np.zeros((1, 3, 24, 24), np.uint8)
    pixels[..., :12] = 255
    places = np.array([[[[4.0, -4.0]] * 2]], np.float16)
    x = joined.joined(pixels, places, settings("images", "squash"))
    assert (x.shape, x.dtype) == ((1, 4, 24, 24), np.float16)
    np.testing.assert_array_equal(x[:, :3], pixels / 255)
    assert (x[0, 3, :, :12] > 0).all()
    assert (x[0, 3, :, 12:] < 0).all()
    np.testing.assert_array_equal(x[0, 3], -x[0, 3, :, ::-1])  # the middle of the picture is that of the crop
    flipped = joined.joined(pixels[..., ::-1], places[..., ::-1], settings("images", "squash"))
    np.testing.assert_array_equal(flipped, x[..., ::-1])


@pytest.mark.parametrize(("fit", "folder"), [("shorter_side", "places-squash"), ("squash", "of-a-part")])
def test_pixels_and_places_must_be_of_the_whole_picture(world, fit, folder):
    if folder == "of-a-part" and not (world.root / folder).exists():
        cut = {"layers": ["features.8"], "backbone": "squash", "pools": ["none"]}
        extracted(world.root, folder, of="raw-images", **cut)
    kind, own = KINDS["pictures_and_places"], settings("images", fit)
    with pytest.raises(ParamsError, match=rf"fit: squash, and pixels in .*{folder}; received fit: {fit}"):
        kind.rows(own, world.table("images"), where(world, world.root / folder))


def test_places_or_pictures_by_the_backbone(world):
    own, kind = settings("images", "squash"), KINDS["places_or_pictures"]
    rows = kind.rows(own, world.table("images"), where(world, world.root / "raw-images"))
    assert rows.shape == (3, 24, 24)
    own.backbone = "none"
    rows = kind.rows(own, world.table("images"), where(world, world.root / "places-squash"))
    assert rows.shape == (256, 2, 2)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("track", ["images", "videos"])
def test_several_features_side_by_side(world, track, fit):
    kind, own = KINDS["features"], several(track, fit, "more", "features")
    rows = kind.rows(own, world.table(track), where(world, world.root))
    single = [
        kind.rows(settings(track, fit), world.table(track), where(world, world.root / name)).x
        for name in own.features
    ]
    assert rows.shape == (2 * (128 + 256) + 256,)
    np.testing.assert_array_equal(rows.x, np.concatenate(single, axis=1))
    config = json.loads(json.dumps(rows.origin))
    assert [one["views"] for one in config["features"]] == [
        "mirror" if track == "images" else "ten_crop",
        "single",
    ]
    source = kind.files(own, config, where(world))
    x, lengths = source.read(world.items(track))
    np.testing.assert_array_equal(x, rows.x)
    assert (x.dtype, lengths) == (rows.x.dtype, None)
    assert source.samplings == ({SAMPLING} if track == "videos" else set())


def test_one_of_the_features_came_with_the_data(world, config):
    config["features"].append({"given": {"name": "C3D"}})
    with pytest.raises(GivenFeaturesError, match=r"came with its data set \(C3D\)"):
        KINDS["features"].files(settings("videos", "squash"), config, where(world))


@pytest.mark.parametrize("name", ["sequences", "places"])
def test_what_reads_one_artifact_alone(world, name):
    own = several("images", "squash", "more", "features")
    with pytest.raises(
        ParamsError, match=r"family x reads one artifact of features; received more-images-squash, f"
    ):
        KINDS[name].rows(own, world.table("images"), where(world, world.root))


@pytest.mark.parametrize(("name", "track"), CASES)
def test_what_is_read_of_a_file_does_not_depend_on_what_is_read_with_it(world, name, track):
    _, source = both(world, name, track, "squash")
    together, lengths = source.read(world.items(track))
    for i, item in enumerate(world.items(track)):
        alone, length = source.read([item])
        np.testing.assert_array_equal(alone, together[i : i + 1])
        if length is not None:
            assert length.tolist() == [lengths[i]]


@pytest.mark.parametrize(
    ("name", "track", "samplings", "needs_title"),
    [
        ("pictures", "images", set(), False),
        ("features", "images", set(), False),
        ("features", "videos", {SAMPLING}, False),
        ("frames", "videos", {SAMPLING}, False),
        ("frame_scores", "videos", {SAMPLING}, False),
        ("titles", "videos", set(), True),
        ("predictions", "videos", {SAMPLING}, True),
    ],
)
def test_what_is_needed_of_files_is_known_beforehand(world, name, track, samplings, needs_title):
    _, source = both(world, name, track, "squash")
    assert (source.samplings, source.needs_title) == (samplings, needs_title)


# What is seen of a picture


def sided(left, right):
    """A picture of 16:9 whose sides have these grey values, and whose middle square is always the same."""
    pixels = np.full((90, 160, 3), 128, np.uint8)
    pixels[:, :30], pixels[:, -30:] = left, right
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return Item(Path("sided.png"), pictures.decode(stream.getvalue()))


@pytest.mark.parametrize("name", ["pictures", "features"])
@pytest.mark.parametrize(("fit", "seen"), [("squash", True), ("shorter_side", False)])
def test_what_lies_at_the_sides_counts_when_pictures_are_squashed(world, name, fit, seen):
    _, source = both(world, name, "images", fit)
    x, _ = source.read([sided(0, 0), sided(255, 0), sided(0, 255)])
    assert (not np.array_equal(x[0], x[1])) == seen
    assert (not np.array_equal(x[0], x[2])) == seen


@pytest.mark.parametrize("name", ["whole_pictures", "places"])
def test_what_lies_at_the_sides_always_counts_for_maps(world, name):
    _, source = both(world, name, "images", "shorter_side")
    x, _ = source.read([sided(0, 0), sided(255, 0), sided(0, 255)])
    assert not np.array_equal(x[0], x[1])
    assert not np.array_equal(x[0], x[2])


def test_pictures_are_squashed_by_default():
    assert Transform().fit == "squash"
    assert PictureModel.model_fields["fit"].default == "squash"


# What is refused


@pytest.mark.parametrize("name", ["features", "sequences", "places"])
def test_what_holds_no_features_is_named(world, name):
    with pytest.raises(ParamsError, match=r"family x reads features; input .*raw-images holds none"):
        KINDS[name].rows(
            settings("images", "squash"), world.table("images"), where(world, world.root / "raw-images")
        )


def test_places_are_features_of_each_place_of_whole_pictures(world):
    with pytest.raises(
        ParamsError, match=r"\[N, D, h, w\]; .*features-images-squash has \(5, 256\): set pools: \[none\]"
    ):
        KINDS["places"].rows(
            settings("images", "squash"),
            world.table("images"),
            where(world, world.root / "features-images-squash"),
        )


@pytest.mark.parametrize("pixels", [{}, {"pixels": WHOLE}])
@pytest.mark.parametrize("track", ["images", "maps"])
def test_places_for_maps_alone_must_be_of_whole_pictures(world, tmp_path, track, pixels):
    table, x = world.table("images"), np.zeros((5, 4, 3, 3), np.float32)
    worlds.features(tmp_path / "f", list(table["id"]), x, config={"pools": ["none"], **pixels})

    def read():
        return KINDS["places"].rows(settings(track, "squash"), table, where(world, tmp_path / "f"))

    if track == "maps" and not pixels:
        with pytest.raises(ParamsError, match="family x must see all that a map shows; set pixels in"):
            read()
    else:
        assert read().shape == (4, 3, 3)


@pytest.mark.parametrize("name", ["frames", "frame_scores"])
def test_pictures_are_no_frames(world, name):
    with pytest.raises(ParamsError, match="frames"):
        KINDS[name].rows(
            settings("videos", "squash"), world.table("images"), where(world, world.root / "raw-images")
        )


def test_pictures_have_no_titles(world):
    with pytest.raises(ParamsError, match="family x reads titles; track images has none"):
        KINDS["titles"].rows(settings("images", "squash"), world.table("images"), where(world, world.root))


def test_frames_are_scored_by_a_model_alone(world):
    own = settings("videos", "squash")
    own.backbone = "none"
    for ask in (
        lambda: KINDS["frame_scores"].rows(own, world.table("videos"), where(world, world.root / "frames")),
        lambda: KINDS["frame_scores"].files(own, {"frames": SAMPLING._asdict()}, where(world)),
    ):
        with pytest.raises(ParamsError, match="family x needs an image model as its backbone; received none"):
            ask()


@pytest.fixture
def config(world):
    return json.loads(
        json.dumps({"features": [read_json(world.root / "features-videos-squash" / stored.CONFIG)]})
    )


def refused(world, config, name="features"):
    with pytest.raises(DataError) as caught:
        KINDS[name].files(settings("videos", "squash"), config, where(world))
    return str(caught.value)


def test_features_that_came_with_the_data_cannot_be_computed(world):
    with pytest.raises(GivenFeaturesError, match=r"came with its data set \(C3D\); they cannot be computed"):
        KINDS["features"].files(
            settings("videos", "squash"), {"features": [{"given": {"name": "C3D"}}]}, where(world)
        )


@pytest.mark.parametrize("name", ["features", "sequences", "places", "frames", "frame_scores"])
@pytest.mark.parametrize("broken", [{}, {"features": None, "frames": None}, {"features": [], "frames": 3}])
def test_a_config_that_says_nothing_of_its_inputs_is_named(world, name, broken):
    assert "config.json: " in refused(world, broken, name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[
            ("layers", None),
            ("layers", []),
            ("layers", [""]),
            ("pools", ["all"]),
            ("views", "two"),
            ("dtype", "int8"),
            ("batch_size", 0),
            ("batch_size", 10**9),
        ],
        *[
            ("pixels", -1),
            ("backbone", "squash"),
            ("backbone", {"name": "../x", "sha256": "", "arch": "x", "transform": {}}),
            ("frames", {}),
        ],
    ],
)
def test_a_damaged_description_of_features_is_named(world, config, key, value):
    config["features"][0][key] = value
    assert f"config.json: features.0.{key}" in refused(world, config)


@pytest.mark.parametrize("change", [{"method": "all"}, {"fps": 0}, {"count": 10**9}, {"quality": "best"}])
def test_a_damaged_description_of_frames_is_named(world, config, change):
    config["features"][0]["frames"] |= change
    assert f"config.json: features.0.frames.{next(iter(change))}" in refused(world, config)
    assert f"config.json: frames.{next(iter(change))}" in refused(world, config["features"][0], "frames")


def test_a_backbone_that_is_not_here_or_another_one_is_named(world, config):
    config["features"][0]["backbone"]["sha256"] = "0" * 64
    assert "squash: not the weights this model was trained with" in refused(world, config)
    config["features"][0]["backbone"]["sha256"] = read_json(world.root / "models/squash/config.json")[
        "sha256"
    ]
    config["features"][0]["backbone"]["transform"]["crop"] = 35
    assert "squash: not the transform this model was trained with" in refused(world, config)
    config["features"][0]["backbone"]["name"] = "gone"
    assert "gone: the backbone of this model is not here" in refused(world, config)


@pytest.fixture
def damaged(world, tmp_path):
    """A copy of an artifact, to be damaged."""
    for name in (stored.VALUES, stored.IDS, stored.CONFIG):
        (tmp_path / name).write_bytes((world.root / "features-images-squash" / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", [stored.VALUES, stored.IDS, stored.CONFIG])
@pytest.mark.parametrize(
    "change", [lambda content: b"", lambda content: content[: len(content) // 2], bytes.swapcase]
)
def test_a_damaged_artifact_is_named(world, damaged, name, change):
    content = change((damaged / name).read_bytes())
    if name == stored.IDS and content == (damaged / name).read_bytes().swapcase():
        content = b"\xff\xfe" + content  # binary
    (damaged / name).write_bytes(content)
    if name == stored.CONFIG and change is bytes.swapcase:
        write_json(damaged / name, [])
    with pytest.raises(DataError, match=f"{damaged}: (damaged features|nothing for)"):
        stored.read(damaged, list(world.table("images")["id"]), family="x")
