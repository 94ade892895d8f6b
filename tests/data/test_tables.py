import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from permissions import as_anybody

from memorability.core.errors import DataError
from memorability.data import tables


def raw_rows():
    return pd.DataFrame(
        {
            "id": ["demo/a.jpg", 'demo/ü, "b".jpg', "demo/c;d.jpg"],
            "dataset": ["demo"] * 3,
            "category": ["animal", None, "food"],
            "subcategory": [None] * 3,
            "score": [0.1 + 0.2, 1 / 3, np.nan],
            "responses": [80, None, 79],
            "hits": [50, None, 0],
            "false_alarms": [3, None, 1],
            "false_alarm_responses": [40, None, None],
            "split_scores": [None, "0.5 0.25", "0.125"],
            "width": [128, 64, None],
            "height": [128, 32, None],
            "phash": ["0000000000000012", "1234567890123456", None],
            "content": [None, "00" * 138, None],
            "sha256": ["00e1" * 16, "12" * 32, None],
            "shard": ["pictures-00000.tar"] * 2 + [None],
            "offset": [512, 2**40, 0],
            "size": [7049, 1, 0],
            "split": [None, "train", "unlabelled"],
            "problem": [None, None, "cannot be read (No such file or directory)"],
        }
    )


def test_a_table_that_may_not_be_read_is_named(tmp_path):
    tables.write(pd.DataFrame({"id": ["a"]}), tmp_path / "index.csv")
    (tmp_path / "index.csv").chmod(0)
    with as_anybody(), pytest.raises(DataError, match=r"index\.csv: cannot be read \(.*Permission denied"):
        tables.read(tmp_path / "index.csv")


def test_round_trip_of_values_and_types(tmp_path):
    rows = raw_rows()
    tables.write(rows, tmp_path / "index.csv")
    found = tables.read(tmp_path / "index.csv")
    assert list(found) == tables.raw("images") == list(rows)
    for column in rows:
        assert [v for v in found[column] if pd.notna(v)] == [v for v in rows[column] if pd.notna(v)]
        assert list(found[column].isna()) == list(rows[column].isna())
    for column in (
        "responses",
        "hits",
        "false_alarms",
        "false_alarm_responses",
        "width",
        "height",
        "offset",
        "size",
    ):
        assert found[column].dtype == "Int64"
    for column in (
        "id",
        "dataset",
        "category",
        "subcategory",
        "phash",
        "content",
        "sha256",
        "shard",
        "split",
        "split_scores",
        "problem",
    ):
        assert found[column].dtype == "string"
    assert found["score"].dtype == "float64"


def test_hashes_of_digits_alone_stay_text(tmp_path):
    tables.write(raw_rows(), tmp_path / "index.csv")
    assert tables.read(tmp_path / "index.csv")["phash"][0] == "0000000000000012"


def test_writing_again_gives_the_same_bytes(tmp_path):
    tables.write(raw_rows(), tmp_path / "one.csv")
    tables.write(tables.read(tmp_path / "one.csv"), tmp_path / "two.csv")
    tables.write(tables.read(tmp_path / "two.csv"), tmp_path / "three.csv")
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "three.csv").read_bytes()
    assert b"\r" not in (tmp_path / "one.csv").read_bytes()


def test_some_of_the_columns_are_enough(tmp_path):
    tables.write(pd.DataFrame({"id": ["007"], "prediction": [0.25]}), tmp_path / "predictions.csv")
    found = tables.read(tmp_path / "predictions.csv")
    assert found["id"][0] == "007"
    assert found["prediction"][0] == 0.25


def test_the_split_table_has_no_problems_and_one_score():
    rows = raw_rows()
    assert set(rows) - set(tables.split(rows)) == {"problem", "split_scores"}
    assert set(tables.split(rows)) - set(rows) == {"group"}


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv: no such table"):
        tables.read(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        bytes(range(256)) * 20,
        b'id,score\n"a,0.5\n',
        b"id,responses\na,many\n",
        b"id,frames\na,2.5\n",
    ],
)
def test_a_table_that_is_none_is_named(tmp_path, content):
    (tmp_path / "index.csv").write_bytes(content)
    with pytest.raises(
        DataError, match=r"index\.csv: cannot be read as a table .*run the stage that makes it"
    ):
        tables.read(tmp_path / "index.csv")


def test_columns_that_must_be_there(tmp_path):
    tables.write(pd.DataFrame({"id": ["a"], "score": [0.5]}), tmp_path / "p.csv")
    assert len(tables.read(tmp_path / "p.csv", columns=("id", "score"))) == 1
    with pytest.raises(DataError, match=r"p\.csv: no column split, prediction; it has id, score"):
        tables.read(tmp_path / "p.csv", columns=("id", "split", "prediction"))


def test_a_sealed_table_that_lost_a_line_is_refused(tmp_path):
    for name in ("index", "maps"):
        tables.write(raw_rows(), tmp_path / f"{name}.csv")
    tables.seal(tmp_path)
    assert len(tables.read(tmp_path / "index.csv")) == 3
    lines = (tmp_path / "index.csv").read_bytes().splitlines(keepends=True)
    (tmp_path / "index.csv").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(DataError, match=r"index\.csv: not as its stage wrote it \(cut, or changed since\)"):
        tables.read(tmp_path / "index.csv")
    assert len(tables.read(tmp_path / "maps.csv")) == 3
    tables.write(raw_rows(), tmp_path / "other.csv")  # not sealed
    assert len(tables.read(tmp_path / "other.csv")) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, error):
    def broken(self, path, **options):
        path.write_text("id\nhalf")
        raise error

    tables.write(raw_rows(), tmp_path / "index.csv")
    before = (tmp_path / "index.csv").read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_csv", broken)
    with pytest.raises(error):
        tables.write(raw_rows()[:1], tmp_path / "index.csv")
    assert (tmp_path / "index.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["index.csv"]


def test_several_published_splits_stay_text(tmp_path):
    rows = raw_rows().assign(split=["train - test", "-", None])
    tables.write(rows, tmp_path / "index.csv")
    assert list(tables.read(tmp_path / "index.csv")["split"].fillna("")) == ["train - test", "-", ""]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_floats_are_exact(scores):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.csv"
        tables.write(pd.DataFrame({"id": [str(i) for i in range(len(scores))], "score": scores}), path)
        assert list(tables.read(path)["score"]) == scores


def clips():
    return pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "split": ["train", "val", "unlabelled"],
            "short_term": [0.5, 0.75, np.nan],
            "short_term_responses": pd.array([10, 8, pd.NA], dtype="Int64"),
            "long_term": [np.nan, 0.5, np.nan],
            "long_term_responses": pd.array([pd.NA, 4, pd.NA], dtype="Int64"),
        }
    )


def test_what_has_no_score_at_all_is_no_target():
    assert tables.targets(clips()) == ["short_term", "long_term"]
    assert tables.targets(clips().assign(long_term=np.nan)) == ["short_term"]


def test_a_table_as_models_of_one_target_see_it():
    short, long = (tables.for_target(clips(), target) for target in ("short_term", "long_term"))
    assert list(short["split"]) == ["train", "val", "unlabelled"]
    assert list(short["hits"][:2]) == [5, 6]
    assert list(short["false_alarms"][:2]) == [0, 0]
    assert list(short["false_alarm_responses"][:2]) == [10, 8]
    assert list(long["split"]) == ["unlabelled", "val", "unlabelled"]  # without a score there is no label
    with pytest.raises(DataError, match="'score': the table has short_term, long_term"):
        tables.for_target(clips(), "score")


def pairs():
    return pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "map": pd.array(["0" * 64, pd.NA, "12" * 32], dtype="string"),
            "split": ["train", "val", "unlabelled"],
        }
    )


def test_maps_are_named_by_text(tmp_path):
    rows = pairs().reindex(columns=tables.raw("maps"))
    tables.write(rows, tmp_path / "index.csv")
    found = tables.read(tmp_path / "index.csv")
    assert list(found) == tables.raw("maps")
    assert found["map"].dtype == "string"
    assert list(found["map"].fillna("")) == ["0" * 64, "", "12" * 32]


def test_a_table_of_maps_as_models_see_it():
    assert tables.targets(pairs()) == ["map"]
    assert tables.targets(pairs().assign(map=pd.NA)) == []
    found = tables.for_target(pairs(), "map")
    assert list(found) == list(pairs())
    assert list(found["split"]) == ["train", "unlabelled", "unlabelled"]
    with pytest.raises(DataError, match="'score': the table has map"):
        tables.for_target(pairs(), "score")
    with pytest.raises(DataError, match="'map': the table has short_term, long_term"):
        tables.for_target(clips(), "map")
