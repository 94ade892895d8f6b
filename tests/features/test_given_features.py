"""Features that come with clips: packed beside them, gathered as an artifact, and fitted on."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from memorability import families
from memorability.core.errors import DataError, ParamsError
from memorability.core.files import read_json
from memorability.core.layout import ModelPaths
from memorability.core.settings import checked
from memorability.data import tables
from memorability.data.acquire import acquire
from memorability.data.datasets import mediaeval
from memorability.data.shards import ShardReader, spans
from memorability.evaluation import judge
from memorability.features import given as descriptors
from memorability.features import stored
from memorability.predict.predictor import Predictor
from memorability.training import fitting

LABELLED, UNLABELLED = 12, 2
IDS = [f"mediaeval/sources/video{n}.webm" for n in range(1, LABELLED + UNLABELLED + 1)]
C3D = {"name": "C3D", "format": "numbers", "length": 5, "channels": 1, "first": 0}
HMP = {"name": "HMP", "format": "pairs", "length": 4, "channels": 1, "first": 1}
FRAMES = {1: (0, 56, 112), 2: (0,), 14: (0, 112)}  # of HMP by the clip's number; two in all others


def values(number):
    """What C3D says of a clip."""
    return np.random.default_rng(number).random(5).astype(np.float32)


def score(number):
    return round(float(0.3 + 0.4 * values(number)[0] + 0.2 * values(number)[3]), 6)


def layout(root):
    """A folder of clips with one file of C3D each, and a file of HMP for each of some frames."""
    for folder in ("sources", "features/C3D", "features/HMP"):
        (root / folder).mkdir(parents=True)
    head = [f"{t}-term_memorability,nb_{t}-term_annotations" for t in ("short", "long")]
    lines = [f"video{n}.webm,{score(n)},34,0.5,13" for n in range(1, LABELLED + 1)]
    (root / "ground-truth.csv").write_text("\n".join([f"video,{','.join(head)}", *lines]))
    for n in range(1, LABELLED + UNLABELLED + 1):
        (root / "sources" / f"video{n}.webm").write_bytes(b"a clip %d" % n)
        (root / "features" / "C3D" / f"video{n}.txt").write_text(" ".join(map(str, values(n))))
        for frame in FRAMES.get(n, (0, 56)):
            text = f"1:{n} 4:{frame + 0.5}\n"
            (root / "features" / "HMP" / f"video{n}-{frame}.txt").write_text(text)
    return root


def packed(root, *, features=("C3D", "HMP")):
    """What the acquire stage makes of such a folder."""
    settings = mediaeval.Params(root=root, captions=None, features=features)
    out = root.with_name("raw")
    place = {"work": root.with_name("work"), "store": root.with_name("store")}
    acquire("videos", {"mediaeval": settings}, out, **place, seed=0, threads=2)
    return out


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return packed(layout(tmp_path_factory.mktemp("given") / "source"))


@pytest.fixture
def own(tmp_path):
    """A folder to be changed before it is packed."""
    return layout(tmp_path / "source")


def gather(raw, out, *, of=C3D, dtype="float32"):
    out.mkdir(parents=True)
    return descriptors.gather(raw, out, **of, dtype=dtype)


# In the raw data


def test_each_file_has_a_row_and_its_bytes(raw):
    assert {path.name for path in raw.glob("*.csv")} == {"index.csv", "given-C3D.csv", "given-HMP.csv"}
    for name, count in (("C3D", 14), ("HMP", 28)):
        table, source = tables.read(raw / f"given-{name}.csv"), raw.with_name("source") / "features" / name
        assert list(table) == ["id", "frame", "shard", "offset", "size", "sha256"]
        assert len(table) == count
        contents = [ShardReader(raw).read(span) for span in spans(table)]
        assert sorted(contents) == sorted(path.read_bytes() for path in source.iterdir())
    frames = tables.read(raw / "given-HMP.csv").groupby("id")["frame"].apply(list)
    assert frames[IDS[0]] == [0, 1, 2]
    assert frames[IDS[1]] == [0]


def test_the_index_does_not_depend_on_the_features(raw, own):
    bare = packed(own, features=())
    assert {path.name for path in bare.iterdir()} == {"SHA256SUMS", "index.csv", "clips-00000.tar"}
    assert (bare / "index.csv").read_bytes() == (raw / "index.csv").read_bytes()


# Gathered


def test_one_vector_a_clip(raw, tmp_path):
    assert gather(raw, tmp_path / "out") == 14
    x = np.load(tmp_path / "out" / "features.npy")
    assert (x.dtype, x.shape) == (np.float32, (14, 1, 5))
    for n, row in enumerate(x, start=1):
        np.testing.assert_array_equal(row[0], values(n))
    assert stored.read(tmp_path / "out", IDS[::-1], family="x").lengths.tolist() == [1] * 14


def test_a_vector_for_each_frame_and_zeros_behind(raw, tmp_path):
    assert gather(raw, tmp_path / "out", of=HMP) == 28
    ids = pd.read_csv(tmp_path / "out" / "ids.csv")
    assert list(ids["id"]) == IDS
    assert list(ids["length"]) == [3, 1, *[2] * 11, 2]
    x = stored.read(tmp_path / "out", IDS, family="x").values
    assert x.shape == (14, 3, 4)
    assert x[0].tolist() == [[1, 0, 0, 0.5], [1, 0, 0, 56.5], [1, 0, 0, 112.5]]
    assert x[1].tolist() == [[2, 0, 0, 0.5], [0] * 4, [0] * 4]
    assert x[13].tolist() == [[14, 0, 0, 0.5], [14, 0, 0, 112.5], [0] * 4]


def test_numbers_are_stored_as_told(raw, tmp_path):
    gather(raw, tmp_path / "half", dtype="float16")
    found = np.load(tmp_path / "half" / "features.npy")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found[3, 0], values(4).astype(np.float16))


def test_the_config_names_what_was_read(raw, own, tmp_path):
    gather(raw, tmp_path / "one")
    config = read_json(tmp_path / "one" / "config.json")["given"]
    assert config.items() >= C3D.items()
    assert len(config["sha256"]) == len(hashlib.sha256().hexdigest())
    gather(packed(own), tmp_path / "two")
    assert read_json(tmp_path / "two" / "config.json")["given"] == config
    (own / "features" / "C3D" / "video3.txt").write_text("0 0 0 0 1")
    gather(packed(own), tmp_path / "three")
    assert read_json(tmp_path / "three" / "config.json")["given"]["sha256"] != config["sha256"]


def test_clips_that_are_not_there_keep_their_features(own, tmp_path):
    (own / "sources" / "video5.webm").unlink()
    raw = packed(own)
    assert tables.read(raw / "index.csv")["problem"].notna().sum() == 1
    gather(raw, tmp_path / "out")
    assert stored.read(tmp_path / "out", IDS, family="x").values[4, 0].tolist() == values(5).tolist()


def test_a_clip_that_the_table_has_twice_has_its_frames_once(own, tmp_path):
    with (own / "ground-truth.csv").open("a") as table:
        table.write(f"\nvideo3.webm,{score(3)},34,0.5,13")
    raw = packed(own)
    assert list(tables.read(raw / "index.csv")["id"]).count(IDS[2]) == 2
    gather(raw, tmp_path / "out", of=HMP)
    assert stored.read(tmp_path / "out", IDS, family="x").lengths.tolist() == [3, 1, *[2] * 12]
    assert stored.read(tmp_path / "out", IDS, family="x").values.shape == (14, 3, 4)


# What is refused


def test_numbers_too_large_for_float16_are_counted(own, tmp_path):
    (own / "features" / "C3D" / "video3.txt").write_text("0 1e5 0 -7e4 1")
    raw = packed(own)
    with pytest.raises(DataError, match="features C3D: 2 of 70 numbers are not finite as float16"):
        gather(raw, tmp_path / "out", dtype="float16")
    assert not (tmp_path / "out" / stored.VALUES).exists()
    gather(raw, tmp_path / "whole")


def test_features_that_did_not_come_with_the_data(raw, tmp_path):
    with pytest.raises(DataError, match=r"raw: no features 'LBP' came with these data; name them in"):
        gather(raw, tmp_path / "out", of=C3D | {"name": "LBP"})


def test_every_missing_file_is_named_by_acquiring(own):
    (own / "features" / "C3D" / "video4.txt").unlink()
    (own / "features" / "HMP" / "video2-0.txt").unlink()
    with pytest.raises(DataError, match="2 given features are missing or doubtful") as caught:
        packed(own)
    assert "C3D/video4.txt: no such file" in str(caught.value)
    assert "HMP/video2.txt: no such file, nor video2-0.txt" in str(caught.value)


def test_every_malformed_file_is_named(own, tmp_path):
    received = {2: ("1 2 3 4", "4 numbers"), 7: ("1 2 3 4 x", "'1 2 3 4 x'"), 13: ("", "0 numbers")}
    for n, (text, _) in received.items():
        (own / "features" / "C3D" / f"video{n}.txt").write_text(text)
    raw = packed(own)
    with pytest.raises(DataError, match=r"^3 files of features C3D cannot be used") as caught:
        gather(raw, tmp_path / "out")
    for n, (_, said) in received.items():
        assert f"\n  C3D of {IDS[n - 1]}, file 0: received {said}; valid: 5 finite" in str(caught.value)
    assert not (tmp_path / "out" / "features.npy").exists()


def test_clips_of_another_set_that_brings_no_features_are_named(raw, tmp_path):
    """Where data sets are combined, all must bring them."""
    index = tables.read(raw / "index.csv")
    other = index[:1].assign(id="other/clip.webm")
    for name in ("given-C3D.csv", "clips-00000.tar", "C3D-00000.tar", "given-C3D-00000.tar"):
        if (raw / name).exists():
            (tmp_path / name).write_bytes((raw / name).read_bytes())
    tables.write(pd.concat([index, other]), tmp_path / "index.csv")
    with pytest.raises(DataError, match=r"1 files .*\n  other/clip\.webm: no file of C3D"):
        gather(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "error"),
    [({"length": 6}, DataError), ({"format": "pairs"}, DataError), ({"length": 0}, ParamsError)],
)
def test_a_wrong_description_is_refused(raw, tmp_path, change, error):
    with pytest.raises(error):
        gather(raw, tmp_path / "out", of=C3D | change)


# Fitted on


def test_a_model_is_fitted_on_them(raw, tmp_path):
    gather(raw, tmp_path / "features")
    index = tables.read(raw / "index.csv")
    split = ["train"] * 8 + ["val"] * 2 + ["test"] * 2 + ["unlabelled"] * 2
    rows = index.assign(split=split, group=range(14), frames=1)[::-1]
    own = {"family": "ridge", "track": "videos", "target": "short_term", "input": "x", "backbone": "none"}
    settings = checked(families.load("ridge").Params, own | {"alphas": [1e-4, 1e-3]}, at="x")
    paths = ModelPaths(
        input=tmp_path / "features",
        models=tmp_path,
        raw=raw,
        **{name: tmp_path / name for name in ("model", "predictions", "state")},
    )
    compute = fitting.Compute(seed=0, precision="32-true", threads=1)
    fitting.fit(
        settings, rows, paths, compute, family=families.load("ridge"), judge=judge("videos"), open_model=None
    )
    found = tables.read(paths.predictions / "predictions.csv")
    assert list(found["id"]) == IDS[::-1]
    truth = [score(n) for n in range(1, 15)][::-1]  # linear in the features, also of the unlabelled ones
    np.testing.assert_allclose(found["prediction"], truth, atol=0.01)
    assert read_json(paths.model / "config.json")["features"][0]["given"]["name"] == "C3D"
    with pytest.raises(DataError, match=r"features that came with its data set \(C3D\)"):
        Predictor(paths.model)


def test_windows_of_all_files_of_a_clip_are_one_sequence(tmp_path):
    root = layout(tmp_path / "set")
    for n in range(1, LABELLED + UNLABELLED + 1):
        for frame in (0, 56):
            text = "" if n == 3 else "\n".join(f"{n} {frame} {k + 1}" for k in range(1 + n % 2 + frame // 56))
            path = root / "features" / "HoG" / f"video{n}-{frame}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    raw, out = packed(root, features=("HoG",)), tmp_path / "features"
    out.mkdir()
    read = {"name": "HoG", "format": "windows", "length": 3, "channels": 1, "first": 0, "dtype": "float32"}
    assert descriptors.gather(raw, out, **read) == 2 * (LABELLED + UNLABELLED)
    found = stored.read(out, IDS[:3], family="bag_ridge")
    assert found.values.shape == (3, 5, 3)
    assert found.lengths.tolist() == [5, 3, 1]
    first = [[1, 0, 1], [1, 0, 2], [1, 56, 1], [1, 56, 2], [1, 56, 3]]
    assert found.values[0].tolist() == first
    assert not found.values[2].any()  # files and no window in them
