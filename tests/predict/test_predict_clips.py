"""A model of clips alone gives its users' files the scores that it gave the same clips in training."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import torch
import worlds
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from memorability import cli, families
from memorability.core.errors import BackboneError, DataError, ParamsError
from memorability.core.files import read_json, staged_folder, write_json
from memorability.core.settings import checked
from memorability.data import acquire, frames, splits, tables
from memorability.data.datasets import demo_videos, mediaeval
from memorability.data.settings import Split
from memorability.families import conv3d
from memorability.features import backbones
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor
from memorability.features.inputs import Listed
from memorability.media import video
from memorability.predict.predictor import Failure, Predictor, Score
from memorability.training import artifacts

SAMPLING = video.Sampling("fps", fps=0.5, count=5)  # of 8 s four frames, and of the shorter clips fewer
TRANSFORM = {"fit": "squash", "resize": 36, "crop": 36, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
CUT = {"layers": ["features.8"], "pools": ["mean"], "dtype": "float32", "batch_size": 8}
TRAINED = {"lr": 0.003, "epochs": 3, "batch_size": 6, "hidden": 16, "dropout": 0.0}
MEMBERS = ("ridge", "caption_ridge", "time_distributed")
# Family -> what it reads, and its settings.
BLOCKS = {
    "mean": ("raw", {}),
    "ridge": ("features", {"alphas": [1.0, 100.0]}),
    "svr": ("features", {"cs": [0.5], "epsilon": 0.02}),
    "caption_ridge": ("raw", {"alphas": [0.1, 1.0]}),
    "frame_mlp": ("features", TRAINED),
    "lstm_regressor": ("features", TRAINED),
    "time_distributed": ("features", TRAINED),
    "lstm_classifier": ("features", TRAINED),
    "amnet_video": ("features", TRAINED),
    "pairwise_ranker": ("features", TRAINED | {"second": 8}),
    "cnn_lstm": ("frames", TRAINED | {"resize": 36, "crop": 32, "backbone": "small"}),
    "conv3d": (
        "frames",
        {"resize": 18, "crop": 16, "steps": 2, "lr": 0.001, "epochs": 1, "batch_size": 6},
    ),
    "frame_average": ("frames", {"calibrate": "linear", "backbone": "pictures"}),
    "ensemble": ("predictions", {"members": MEMBERS, "weights": "equal"}),
}
OF_FRAMES = {"time_distributed": "score", "amnet_video": "attention", "frame_average": "score"}


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Clips are decoded once in all, and the network of clips is a small one; both have tests of their own."""
    sample, build = video.sample, backbones.build

    @functools.cache
    def decoded(url, sampling, *, name):
        return sample(url, sampling, name=name)

    def small(arch, *, classes=1000, **options):
        if arch != conv3d.ARCH:
            return build(arch, classes=classes, **options)
        layers = nn.Conv3d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten()
        return nn.Sequential(*layers, nn.Linear(8, classes)).eval()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "sample", decoded)
        patch.setattr(backbones, "build", small)
        yield


@dataclass(frozen=True)
class World:
    """`root` has the clips in `source`, all artifacts that models read, and the models in `models`."""

    root: Path
    rows: pd.DataFrame  # the split table

    @property
    def clips(self):
        """The file of each row."""
        return [self.root / "source" / name.removeprefix("mediaeval/") for name in self.rows["id"]]

    @property
    def titles(self):
        return dict(zip(self.clips, self.rows["title"].fillna(""), strict=True))

    def table(self, family):
        return tables.read(self.root / "predictions" / family / "predictions.csv")


def short_clip(path, count):
    """A clip of so many frames, one a second."""
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=1, options={"deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        rng = np.random.default_rng(count)
        for _ in range(count):
            frame = np.full((32, 48, 3), rng.integers(0, 256, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """20 clips with scores, two shorter ones without, their frames and features, and what models contain."""
    root = tmp_path_factory.mktemp("world")
    demo_videos.generate(root / "source", demo_videos.Params(clips=20, pixels=32), seed=0)
    for name, count in (("video21", 1), ("video22", 3)):
        short_clip(root / "source" / "sources" / f"{name}.webm", count)
    sources, beside = {"mediaeval": mediaeval.Params(root=root / "source")}, root / "beside"
    acquire.acquire("videos", sources, root / "raw", work=beside / "w", store=beside, seed=0, threads=2)
    with staged_folder(root / "frames") as out:
        index = tables.read(root / "raw" / "index.csv")
        frames.extract(index, root / "raw", SAMPLING, out=out, cache_root=beside, threads=2)
    split = Split(input="frames", method="random", val=0.25, test=0.2, near_duplicate_bits=0)
    rows = splits.split(tables.read(root / "frames" / "index.csv"), split)[0]
    torch.manual_seed(0)
    state, folder = backbones.build("squeezenet1_1", classes=4).state_dict(), root / "models" / "small"
    backbones.save(folder, arch="squeezenet1_1", state=state, transform=TRANSFORM, source="file")
    extractor = Extractor(folder, **CUT, device="cpu")
    image_model(root / "models" / "pictures", extractor)
    listed = Listed(root / "frames")
    with staged_folder(root / "features") as out:
        extract(
            listed.keys,
            listed.pictures.picture,
            extractor,
            out=out,
            cache_root=beside,
            threads=1,
            shape=listed.shape,
            slots=listed.slots.tolist(),
            more={"frames": listed.frames},
        )
        ids = pd.DataFrame({"id": listed.ids, "length": listed.lengths})
        ids.to_csv(out / "ids.csv", index=False)
    return World(root, rows)


def image_model(folder, extractor):
    """A model of pictures by the same network, whose weights are random."""
    head = {"family": "ridge", "track": "images", "target": "score", "input": "x", "backbone": "none"}
    weight = np.random.default_rng(0).normal(0, 0.05, extractor.shape[0])
    arrays = {"weight": weight, "bias": np.array(0.5), "alpha": np.array(1.0)}
    config = {"settings": head | {"alphas": [1.0]}, "features": [extractor.describe()]}
    artifacts.save(folder, config=config, arrays=arrays)


def fit(world, family, *, name=None, **changes):
    reads, own = BLOCKS[family]
    head = {"family": family, "track": "videos", "target": "short_term", "input": "x", "backbone": "none"}
    settings = checked(families.load(family).Params, head | own | changes, at="models.x")
    return worlds.fit(settings, world.rows, worlds.paths(world.root, name or family, input=reads)).where.model


@pytest.fixture(scope="module")
def predictor(world):
    """The model of each family, fitted once, on demand, and the same the next time."""
    done = {}

    def predictor(family):
        if family not in done:
            for member in MEMBERS if family == "ensemble" else ():
                predictor(member)
            done[family] = Predictor(fit(world, family), device="cpu")
        return done[family]

    return predictor


@pytest.fixture(scope="module")
def scored(world, predictor):
    """The scores that a family's model gives the files of all rows."""
    done = {}

    def scored(family):
        if family not in done:
            done[family] = predictor(family).predict(world.clips, titles=world.titles)
        return done[family]

    return scored


# Scores


@pytest.mark.parametrize("family", [name for name in BLOCKS if name != "pairwise_ranker"])
def test_the_model_alone_gives_the_same_scores_from_the_files(world, scored, family):
    found, table = scored(family), world.table(family)
    assert [score.path for score in found] == world.clips
    off = np.abs([score.score for score in found] - table["prediction"]).max()
    assert off <= (1e-4 if family == "mean" else min(1e-4, np.ptp(table["prediction"]) / 20))


@pytest.mark.parametrize("family", BLOCKS)
def test_what_is_said_of_each_frame_is_the_same_too(world, scored, family):
    """And nothing of frames that a clip does not have."""
    found, table = scored(family), world.table(family)
    assert {score.kind for score in found} == {OF_FRAMES.get(family)}
    columns = [f"{OF_FRAMES.get(family)}_{t}" for t in range(SAMPLING.count)]
    assert [name for name in table if name.startswith(("score_", "attention_"))] == (
        columns if family in OF_FRAMES else []
    )
    for score, row, length in zip(found, table.to_dict("records"), world.rows["frames"], strict=True):
        if family not in OF_FRAMES:
            assert score.frame_values is None
            continue
        expected = [row[name] for name in columns]
        assert np.isfinite(expected).tolist() == [t < length for t in range(SAMPLING.count)]
        assert np.allclose(score.frame_values, expected[:length], atol=1e-4)


def test_clips_have_four_frames_or_fewer(world):
    assert sorted(world.rows["frames"])[:3] == [1, 2, 4]
    assert world.rows["split"].value_counts()["unlabelled"] == 2


def test_attention_to_all_frames_sums_to_one(scored):
    for score in scored("amnet_video"):
        assert sum(score.frame_values) == pytest.approx(1, abs=1e-5)


def test_the_score_after_the_last_frame_is_that_of_the_clip(scored):
    for score in scored("time_distributed"):
        assert score.frame_values[-1] == pytest.approx(score.score)


def test_a_model_that_ranks_places_a_clip_among_those_of_validation(world, predictor, scored, tmp_path):
    ranker, table = predictor("pairwise_ranker"), world.table("pairwise_ranker")
    scores = np.array([score.score for score in scored("pairwise_ranker")])
    truth = table["score"][table["split"] == "val"]
    assert scores.min() >= truth.min() - 1e-6
    assert scores.max() <= truth.max() + 1e-6
    curve = artifacts.load(ranker.folder)[0].calibration
    shutil.copytree(ranker.folder, tmp_path / "places")
    config = read_json(tmp_path / "places" / "config.json")
    write_json(tmp_path / "places" / "config.json", config | {"calibration": {"x": [0, 1], "y": [0, 1]}})
    of_places = Predictor(tmp_path / "places", models=world.root / "models", device="cpu")
    places = np.array([score.score for score in of_places.predict(world.clips)])
    assert np.allclose(scores, np.interp(places, curve.x, curve.y))
    order = np.argsort(places, kind="stable")
    assert (np.diff(scores[order]) >= -1e-9).all()
    val = (table["split"] == "val").to_numpy()
    assert val.sum() == 5
    # Among the five and itself once more; its place among the five is known.
    assert np.abs(places[val] - table["ranking"][val]).max() <= 1 / 5
    assert (np.argsort(places[val]) == np.argsort(table["ranking"][val].to_numpy())).all()


@pytest.mark.parametrize("family", BLOCKS)
def test_a_score_is_the_same_to_the_last_bit_whatever_is_scored_with_it(world, predictor, scored, family):
    together, model = scored(family), predictor(family)
    for i in (0, 7, -1):
        alike(family, model.predict(world.clips[i], titles=world.titles), [together[i]])
    alike(family, model.predict(world.clips[-3:][::-1], titles=world.titles), together[-3:][::-1])


def alike(family, found, expected):
    """cnn_lstm's trunk sees all frames of a group at once, as many as there are: equal to the last printed digit."""
    if family != "cnn_lstm":
        assert found == expected
        return
    assert [score.path for score in found] == [score.path for score in expected]
    assert [score.score for score in found] == pytest.approx([s.score for s in expected], abs=5e-7)


def test_models_that_read_frames_of_several_samplings_decode_a_clip_once_for_each(
    world, predictor, monkeypatch
):
    predictor("ensemble")
    decoded, sample = [], video.sample
    monkeypatch.setattr(video, "sample", lambda *a, **o: decoded.append(o["name"]) or sample(*a, **o))
    predictor("ensemble").predict(world.clips[:3], titles=world.titles)
    assert decoded == [str(path) for path in world.clips[:3]]


# Files and folders


def test_the_clips_of_a_folder_in_sorted_order(world, predictor, tmp_path):
    (tmp_path / "more").mkdir()
    for name, clip in (("b.webm", 0), ("a.WEBM", 1), ("more/c.webm", 2)):
        shutil.copy(world.clips[clip], tmp_path / name)
    (tmp_path / "notes.txt").write_text("none")
    Image.new("RGB", (20, 20)).save(tmp_path / "picture.png")
    with pytest.warns(UserWarning, match=r"not looked at: 1 of ending '\.txt' .*; 1 for a model of pictures"):
        found = predictor("ridge").predict([tmp_path])
    assert [str(score.path.relative_to(tmp_path)) for score in found] == ["a.WEBM", "b.webm", "more/c.webm"]
    expected = world.table("ridge")["prediction"]
    assert np.allclose([score.score for score in found], expected[[1, 0, 2]], atol=1e-4)


@pytest.fixture
def mixed(world, tmp_path):
    """Ten clips of which the fourth is damaged, the fifth is a picture and the last is not there."""
    paths = [tmp_path / f"{i}.webm" for i in range(10)]
    for path, clip in zip(paths[:-1], world.clips, strict=False):
        shutil.copy(clip, path)
    content = bytearray(paths[3].read_bytes())
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    paths[3].write_bytes(content)
    Image.new("RGB", (20, 20)).save(paths[4], format="PNG")
    return paths


@pytest.mark.parametrize(
    "family", ["mean", "ridge", "caption_ridge", "cnn_lstm", "frame_average", "ensemble", "pairwise_ranker"]
)
def test_what_cannot_be_decoded_is_named_and_the_others_are_scored(world, predictor, mixed, family):
    titles = dict(zip(mixed, world.rows["title"], strict=False))
    found = list(predictor(family).batch(mixed, titles=titles))
    assert [item.path for item in found] == mixed
    reasons = {3: "damaged, decoding breaks about", 4: "no clip", 9: "no such file"}
    for i, item in enumerate(found):
        if i in reasons:
            assert isinstance(item, Failure)
            assert item.reason.startswith(f"{mixed[i]}: {reasons[i]}")
        else:
            assert isinstance(item, Score)
    table = world.table(family)["prediction"]
    good = [i for i in range(9) if i not in reasons]
    if family != "pairwise_ranker":
        assert np.allclose([found[i].score for i in good], table[good], atol=1e-4)
    with pytest.raises(DataError, match="3 of 10 cannot be scored"):
        predictor(family).predict(mixed, titles=titles)


def test_nothing_but_what_cannot_be_decoded(predictor, mixed):
    found = list(predictor("ridge").batch([mixed[4], mixed[9]]))
    assert [type(item) for item in found] == [Failure, Failure]
    assert predictor("ridge").predict([]) == []


@pytest.mark.parametrize("family", ["caption_ridge", "ensemble"])
def test_a_model_that_reads_titles_needs_them(world, predictor, family):
    assert predictor(family).needs_title
    clips = world.clips[:2]
    found = list(predictor(family).batch(clips, titles={clips[1]: "a cat in a room"}))
    assert isinstance(found[0], Failure)
    assert found[0].reason == f"{clips[0]}: this model ({family}) reads titles; give one (--title)"
    assert isinstance(found[1], Score)


def test_titles_may_be_given_by_names_as_paths_are(world, predictor):
    clip = str(world.clips[0])
    (found,) = predictor("caption_ridge").predict([clip], titles={clip: world.rows["title"][0]})
    assert found.score == pytest.approx(world.table("caption_ridge")["prediction"][0])


def test_other_models_need_no_titles(world, predictor):
    for family in BLOCKS:
        assert predictor(family).needs_title == (family in ("caption_ridge", "ensemble"))
    one, other = (predictor("ridge").predict(world.clips[:1], titles=t) for t in (None, world.titles))
    assert one == other


# Pictures and clips


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (30, 30), (9, 99, 200)).save(folder / name)
    return folder


@pytest.mark.filterwarnings("ignore:not looked at")
@pytest.mark.parametrize("family", ["mean", "ridge", "conv3d", "frame_average"])
def test_pictures_are_no_clips(predictor, pictures, family):
    found = list(predictor(family).batch([pictures / "a.png", pictures]))
    assert [type(item) for item in found] == [Failure, Failure]
    assert found[0].reason.startswith(f"{pictures / 'a.png'}: no clip")
    assert found[1].reason == f"{pictures}: no clips in this folder; it holds 2 pictures, 0 other files"


@pytest.mark.filterwarnings("ignore:not looked at")
def test_clips_are_no_pictures(world, pictures):
    model = Predictor(world.root / "models" / "pictures", device="cpu")
    assert not model.clips
    found = list(model.batch([world.clips[0], world.clips[0].parent, pictures / "a.png"]))
    assert [type(item) for item in found] == [Failure, Failure, Score]
    assert found[0].reason.startswith(f"{world.clips[0]}: not a picture")
    assert "no pictures in this folder; it holds 22 clips, 0 other files" in found[1].reason


def test_a_model_of_clips_scores_no_frames(predictor):
    (found,) = predictor("ridge").batch(Image.new("RGB", (9, 9)))
    assert isinstance(found, Failure)
    assert found.reason == "picture: no clip, but a picture"


def test_frames_are_averaged_with_a_model_of_pictures_alone(world, predictor):
    predictor("ridge")
    with pytest.raises(
        ParamsError, match="needs an image model as its backbone; ridge is one of track videos"
    ):
        fit(world, "frame_average", name="of-clips", backbone="ridge")
    with pytest.raises(DataError, match="small: a backbone, which predicts no memorability"):
        fit(world, "frame_average", name="of-a-network", backbone="small")
    with pytest.raises(ParamsError, match="frame_average needs an image model as its backbone"):
        fit(world, "frame_average", name="of-none", backbone="none")


def test_a_model_is_no_backbone(world):
    with pytest.raises(BackboneError, match="pictures: not a backbone but a model of another kind"):
        fit(world, "cnn_lstm", name="of-a-model", backbone="pictures")


def test_what_a_model_needs_beside_it_is_named(world, predictor, tmp_path):
    for family in ("ridge", "frame_average", "ensemble"):
        predictor(family)
        shutil.copytree(world.root / "models" / family, tmp_path / family)
    for family, missing in (("ridge", "small"), ("frame_average", "pictures"), ("ensemble", "small")):
        with pytest.raises(DataError, match=f"{missing}: .*(no trained model|not) here"):
            Predictor(tmp_path / family, device="cpu")
    shutil.copytree(world.root / "models" / "small", tmp_path / "small")
    with pytest.raises(DataError, match="caption_ridge: no trained model here"):
        Predictor(tmp_path / "ensemble", device="cpu")
    elsewhere = Predictor(tmp_path / "ensemble", models=world.root / "models", device="cpu")
    titles, clips = world.titles, world.clips[:1]
    assert elsewhere.predict(clips, titles=titles) == predictor("ensemble").predict(clips, titles=titles)


# The command


@pytest.fixture
def here(world, predictor, tmp_path, monkeypatch):
    """A working folder with the models, a clip and a leaderboard, whose first models read titles."""
    for family in ("ensemble", "amnet_video", "mean"):
        predictor(family)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(world.root / "models")
    board = tmp_path / "metrics" / "videos"
    board.mkdir(parents=True)
    board = board / "short_term.leaderboard.csv"
    board.write_text("model,val_spearman\nensemble,0.9\ncaption_ridge,0.8\namnet_video,0.7\nmean,0.1\n")
    shutil.copy(world.clips[0], tmp_path / "clip.webm")
    shutil.copy(world.clips[-1], tmp_path / "short.webm")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli.app, ["predict", *arguments])


def answered(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("here")
def test_without_a_title_the_best_model_that_reads_none_is_taken(world):
    expected = world.table("amnet_video")
    found = answered(run("clip.webm", "short.webm", "--json"))
    assert [(item["path"], item["model"]) for item in found] == [
        ("clip.webm", "amnet_video"),
        ("short.webm", "amnet_video"),
    ]
    for item, row in zip(found, (0, -1), strict=True):
        assert item["score"] == pytest.approx(expected["prediction"].iloc[row], abs=1e-4)
        length = world.rows["frames"].iloc[row]
        columns = [f"attention_{t}" for t in range(length)]
        assert item["attention_by_frame"] == pytest.approx(list(expected[columns].iloc[row]), abs=1e-4)


@pytest.mark.usefixtures("here")
def test_with_a_title_the_best_model_is_taken(world):
    (item,) = answered(run("clip.webm", "--title", world.rows["title"][0], "--json"))
    assert item["model"] == "ensemble"
    assert item["score"] == pytest.approx(world.table("ensemble")["prediction"][0], abs=1e-4)
    assert (item["low"], item["high"]) == (None, None)  # of a model that was fitted on validation


@pytest.mark.usefixtures("here")
def test_the_title_counts():
    scores = [
        answered(run("clip.webm", "--model", "caption_ridge", "--title", title, "--json"))[0]["score"]
        for title in ("cat in a meadow", "house in the street")
    ]
    assert scores[0] != scores[1]


@pytest.mark.usefixtures("here")
def test_a_table_with_the_frames():
    result = run("clip.webm", "--frames")
    said = next(line for line in result.stderr.splitlines() if "trained on" in line)
    assert said.startswith("amnet_video: trained on ")
    assert said.endswith("; rho 0.700 on validation")
    heading, row, of_frames = result.stdout.splitlines()
    assert (heading.split()[-1], row.split()[-1]) == ("path", "clip.webm")
    assert of_frames.split()[:3] == ["attention", "by", "frame:"]
    assert sum(map(float, of_frames.split()[3:])) == pytest.approx(1, abs=0.01)
    assert len(run("clip.webm").stdout.splitlines()) == 2
    assert len(run("clip.webm", "--frames", "--model", "mean").stdout.splitlines()) == 2


@pytest.mark.usefixtures("here")
def test_a_model_that_reads_titles_asks_for_one():
    result = run("clip.webm", "--model", "caption_ridge")
    assert result.exit_code == 1
    assert (
        "not scored: clip.webm: this model (caption_ridge) reads titles; give one (--title)" in result.stderr
    )


@pytest.mark.parametrize("paths", [("clip.webm", "short.webm"), (".",)])
def test_a_title_is_that_of_one_clip(here, paths):
    result = run(*paths, "--model", "caption_ridge", "--title", "a cat")
    assert isinstance(result.exception, DataError)
    assert str(result.exception).startswith("--title is that of one clip, received ")


def test_without_a_board_of_clips_a_model_is_asked_for(here):
    shutil.rmtree(here / "metrics")
    result = run("clip.webm")
    assert isinstance(result.exception, DataError)
    assert "videos/short_term.leaderboard.csv: no leaderboard" in str(result.exception)
    assert "name one with --model: " in str(result.exception)


def test_pictures_and_clips_each_go_to_their_model(here, pictures):
    (here / "metrics" / "images").mkdir()
    (here / "metrics" / "images" / "score.leaderboard.csv").write_text("model,val_spearman\npictures,0.8\n")
    (here / "notes.txt").write_text("notes")
    paths = ("notes.txt", "short.webm", str(pictures))
    result = run(*paths, "--json")
    rows = json.loads(result.stdout)
    assert [(Path(row["path"]).name, row["model"]) for row in rows] == [
        ("notes.txt", None),
        ("short.webm", "amnet_video"),
        ("a.png", "pictures"),
        ("b.jpg", "pictures"),
    ]
    assert rows[0]["note"].startswith("neither a picture nor a clip")
    assert "1 of 4 could not be scored" in result.stderr


@pytest.mark.usefixtures("here")
def test_what_cannot_be_scored_has_its_row_and_the_others_are_scored():
    Path("text.webm").write_text("no clip")
    result = run("text.webm", "clip.webm", "--json")
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert [(row["path"], row["score"] is None) for row in rows] == [
        ("text.webm", True),
        ("clip.webm", False),
    ]
    assert "not scored: text.webm: not a clip" in result.stderr
    assert "1 of 2 could not be scored" in result.stderr


def test_the_config_names_how_frames_were_taken(world, predictor):
    described = read_json(world.root / "frames" / "config.json")
    assert SAMPLING._asdict() == {name: described[name] for name in SAMPLING._fields}
    for family in ("cnn_lstm", "conv3d", "frame_average"):
        predictor(family)
        assert read_json(world.root / "models" / family / "config.json")["frames"] == described
    predictor("ridge")
    assert read_json(world.root / "models" / "ridge" / "config.json")["features"][0]["frames"] == described
