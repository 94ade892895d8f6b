"""LaMem's adapter, and SUN's, which reads the same layout."""

import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from memorability.core.errors import DataError
from memorability.data import datasets, offenders, splits, tables
from memorability.data.datasets import lamem, sun
from memorability.data.settings import Split

SHARED = Path(os.environ.get("MEMORABILITY_SHARED", Path(__file__).parents[3] / "shared"))
REAL = SHARED / "data" / "lamem" / "splits"

TWO = {
    "train_1.txt": "c.jpg 0.75\na.jpg 0.5\n",
    "val_1.txt": "b.jpg 0.625\n",
    "test_1.txt": "d e.jpg 1\n",
    "train_2.txt": "b.jpg 0.625\nd e.jpg 1\n",
    "val_2.txt": "a.jpg 0.5\n",
    "test_2.txt": "c.jpg 0.75\n",
}


def layout(root, files, **changes):
    """A folder in LaMem's layout; a change is NAME='lines', or None for a file that is not there."""
    (root / "splits").mkdir(parents=True)
    for name, text in (files | {f"{key}.txt": text for key, text in changes.items()}).items():
        if text is not None:
            (root / "splits" / name).write_text(text, encoding="utf-8")
    return root


def read(root, adapter=lamem):
    return adapter.read(adapter.Params(root=root), work=root, seed=0)


def test_every_picture_has_a_row_with_its_part_in_each_split(tmp_path):
    rows = read(layout(tmp_path, TWO))
    assert list(rows["path"]) == ["images/a.jpg", "images/b.jpg", "images/c.jpg", "images/d e.jpg"]
    assert [Path(file) for file in rows["file"]] == [tmp_path / path for path in rows["path"]]
    assert list(rows["score"]) == [0.5, 0.625, 0.75, 1.0]
    assert list(rows["split"]) == ["train val", "val train", "train test", "test train"]
    assert rows["problem"].isna().all()


def test_splits_are_in_the_order_of_their_numbers(tmp_path):
    files = {f"{part}_{n}.txt": "" for part in ("train", "val", "test") for n in (1, 2, 10)}
    rows = read(layout(tmp_path, files, train_1="a.jpg 1", val_2="a.jpg 1", test_10="a.jpg 1"))
    assert list(rows["split"]) == ["train val test"]


def test_a_picture_that_a_split_does_not_cover_is_not_in_it(tmp_path):
    rows = read(layout(tmp_path, TWO, test_2="new.jpg 0.25\n"))
    assert dict(zip(rows["path"], rows["split"], strict=True)) == {
        "images/a.jpg": "train val",
        "images/b.jpg": "val train",
        "images/c.jpg": "train -",
        "images/d e.jpg": "test train",
        "images/new.jpg": "- test",
    }


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    layout(tmp_path, TWO, train_faces="x", README="x", train_1_old="x")
    assert len(read(tmp_path)) == 4


@pytest.mark.parametrize(
    "text",
    ["\ufeffc.jpg 0.75\r\na.jpg\t0.5\r\n", "\n  c.jpg   0.75 \n\n a.jpg 0.5", "c.jpg 7.5e-1\na.jpg .5\n"],
)
def test_lines_as_other_programs_write_them(tmp_path, text):
    plain, other = read(layout(tmp_path / "a", TWO)), read(layout(tmp_path / "b", TWO, train_1=text))
    assert plain.drop(columns="file").equals(other.drop(columns="file"))


def test_missing_split_files_are_all_named(tmp_path):
    with pytest.raises(DataError, match="2 split files are missing") as caught:
        read(layout(tmp_path, TWO, val_1=None, train_2=None))
    for name in ("val_1.txt", "train_2.txt"):
        assert str(tmp_path / "splits" / name) in str(caught.value)


@pytest.mark.parametrize("files", [{}, {"train.txt": "a.jpg 1\n"}])
def test_a_folder_without_splits_is_named(tmp_path, files):
    with pytest.raises(DataError, match=r"splits: no split files such as train_1\.txt"):
        read(layout(tmp_path, files))


def test_lines_that_cannot_be_read_are_all_named_with_their_place(tmp_path):
    bad = {"train_1": "c.jpg 0.75\na.jpg\n\na.jpg 0.5\nx.jpg nan\n", "val_2": "a.jpg,0.5\n"}
    with pytest.raises(DataError, match="3 lines cannot be read") as caught:
        read(layout(tmp_path, TWO, **bad))
    for place, line in (
        ("train_1.txt:2", "a.jpg"),
        ("train_1.txt:5", "x.jpg nan"),
        ("val_2.txt:1", "a.jpg,0.5"),
    ):
        assert f"{place}: expected NAME SCORE, received {line!r}" in str(caught.value)


def test_a_split_file_that_is_no_text_is_named(tmp_path):
    layout(tmp_path, TWO)
    (tmp_path / "splits" / "test_2.txt").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DataError, match=r"test_2\.txt"):
        read(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"train_1": "c.jpg 0.75\na.jpg 0.5\nc.jpg 0.75\n"},
        {"train_1": "c.jpg 0.75\na.jpg 0.5\nc.jpg 0.25\n"},
        {"test_1": "d e.jpg 1\nc.jpg 0.75\n"},
    ],
)
def test_a_picture_that_is_twice_in_a_split_keeps_its_row_and_the_others_are_good(tmp_path, changes):
    rows = read(layout(tmp_path, TWO, **changes)).set_index("path")
    assert rows["problem"].dropna().to_dict() == {"images/c.jpg": "appears twice in one split"}
    assert len(rows) == 4


def test_each_split_has_scores_of_its_own(tmp_path):
    rows = read(layout(tmp_path, TWO, test_2="c.jpg 0.5\n", val_2="new.jpg 0.1234567\n")).set_index("path")
    assert rows["split_scores"].to_dict() == {
        "images/a.jpg": "0.5 -",
        "images/b.jpg": "0.625 0.625",
        "images/c.jpg": "0.75 0.5",
        "images/d e.jpg": "1.0 1.0",
        "images/new.jpg": "- 0.1234567",
    }
    assert list(rows["score"]) == [0.5, 0.625, 0.625, 1.0, 0.1234567]
    assert rows["problem"].isna().all()


@pytest.mark.parametrize("score", ["-0.5", "57"])
def test_scores_that_no_picture_can_have_are_left_to_the_split_stage(tmp_path, score):
    rows = read(layout(tmp_path, TWO, val_1=f"b.jpg {score}\n", train_2=f"b.jpg {score}\nd e.jpg 1\n"))
    rows = rows.assign(id=rows["path"], dataset="lamem").reindex(columns=tables.raw("images"))
    assert [row for row, _ in offenders.problems(rows)] == [1]


# SUN


def test_sun_has_two_parts_and_no_val(tmp_path):
    files = {
        f"{part}_{n}.txt": text
        for part, text in (("train", "a.jpg 0.5\n"), ("test", "b.jpg 0.75\n"))
        for n in range(1, 26)
    }
    rows = read(layout(tmp_path, files, train_25="b.jpg 0.75\n", test_25="a.jpg 0.5\n"), sun)
    assert list(rows["path"]) == ["images/a.jpg", "images/b.jpg"]
    assert list(rows["split"]) == [" ".join(["train"] * 24 + ["test"]), " ".join(["test"] * 24 + ["train"])]
    assert list(rows["score"]) == [0.5, 0.75]
    with pytest.raises(DataError, match="split files are missing"):
        read(tmp_path, lamem)


@pytest.mark.parametrize("name", ["lamem", "sun"])
def test_where_to_get_a_missing_set_is_said(tmp_path, name):
    settings = datasets.adapter(name).Params(root=tmp_path / "absent")
    with pytest.raises(DataError, match=rf"acquire\.{name}\.root: no folder .*absent.* handed out at http"):
        datasets.read(name, settings, work=tmp_path, store=tmp_path, seed=0)
    with pytest.raises(ValidationError, match="folds"):
        datasets.adapter(name).Params(root=tmp_path, folds=5)


# The published splits


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """LaMem's own splits as a raw index whose pictures are all there and all different."""
    if not REAL.is_dir():
        pytest.skip("no LaMem splits at MEMORABILITY_SHARED/data/lamem/splits")
    root = tmp_path_factory.mktemp("lamem")
    (root / "splits").symlink_to(REAL.resolve())
    rows = lamem.read_layout(root, parts=("train", "val", "test"))
    rng = np.random.default_rng(0)
    hashes = [f"{number:04x}" * 4 for number in rng.choice(2**16, len(rows), replace=False)]  # all far apart
    rows = rows.assign(id="lamem/" + rows["path"], dataset="lamem", phash=hashes)
    return rows.reindex(columns=tables.raw("images"))


def test_the_published_set_has_its_rows_without_a_contradiction(published):
    assert len(published) == published["id"].nunique() == 58_741
    assert offenders.problems(published) == []
    assert (published["split"].str.split().str.len() == 5).all()
    assert not published["split"].str.contains("-", regex=False).any()


@pytest.mark.parametrize("fold", range(5))
def test_the_published_splits_have_their_sizes(published, fold):
    block = {"input": "x", "val": 0.1, "test": 0.2, "folds": 5, "seed": 0, "near_duplicate_bits": 0}
    found, _, report = splits.split(published, Split(method="published", fold=fold, **block))
    assert report["rows"] == {"train": 45_000, "val": 3_741, "test": 10_000, "unlabelled": 0}
    assert report["near_duplicates_across_published_splits"] == 0
    scores = found.set_index("id")["score"]
    for part in ("train", "val", "test"):
        lines = [line.split() for line in (REAL / f"{part}_{fold + 1}.txt").read_text().splitlines() if line]
        expected = {f"lamem/images/{name}": float(score) for name, score in lines}
        assert scores[(found["split"] == part).to_numpy()].to_dict() == expected  # of this split's own people


def test_a_drawn_split_of_the_published_set_has_the_mean_scores(published):
    files = [path.read_text().splitlines() for path in REAL.glob("*.txt")]
    first = [line.split()[1] for lines in files for line in lines if line.startswith("00000001.jpg")]
    block = {"val": 0.1, "test": 0.2, "folds": 5, "fold": 0, "seed": 0, "near_duplicate_bits": 0}
    found, _, report = splits.split(published, Split(input="x", method="random", **block))
    assert report["rows"]["test"] == 11_748
    assert len(first) == 5
    assert found["score"][0] == pytest.approx(np.mean([float(score) for score in first]))
