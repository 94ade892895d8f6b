import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from memorability.core.errors import DataError
from memorability.data import tables
from memorability.data.datasets import memcat

HEAD = [
    "image_file", "category", "subcategory", "H", "FA", "n_resp",
    "memorability_wo_fa_correction", "memorability_w_fa_correction",
]  # fmt: skip
ROWS = [
    ["1.jpg", "animal", "bear", "74", "4", "107", "0.69", "0.65"],
    ["2.jpg", "food", "ice cream", "50", "10", "100", "0.5", "0.4"],
]
SHARED = Path(os.environ.get("MEMORABILITY_SHARED", Path(__file__).parents[3] / "shared"))
REAL = SHARED / "data" / "memcat"


def memcat_folder(root, order=(0, 1, 2, 3, 4, 5, 6, 7), extra="", rows=ROWS):
    (root / "data").mkdir(parents=True)
    lines = [[f'"{line[i]}"' for i in order] for line in [HEAD, *rows]]
    text = "".join(f'"{i or extra}",{",".join(line)}\n' for i, line in enumerate(lines))
    (root / "data" / "memcat_image_data.csv").write_text(text, encoding="utf-8")
    return root


def read(root, **options):
    return memcat.read(memcat.Params(root=root, **options), work=root, seed=0)


def test_rows_and_files(tmp_path):
    rows = read(memcat_folder(tmp_path))
    assert list(rows["path"]) == ["images/animal/bear/1.jpg", "images/food/ice cream/2.jpg"]
    assert [Path(file) for file in rows["file"]] == [tmp_path / path for path in rows["path"]]
    assert list(rows["category"]) == ["animal", "food"]
    assert list(rows["subcategory"]) == ["bear", "ice cream"]
    assert list(rows["score"]) == [0.65, 0.4]
    assert list(rows["hits"]) == [74, 50]
    assert list(rows["false_alarms"]) == [4, 10]
    assert list(rows["responses"]) == [107, 100]


def test_columns_are_read_by_name(tmp_path):
    plain = read(memcat_folder(tmp_path / "a"))
    shuffled = read(memcat_folder(tmp_path / "b", order=[7, 3, 1, 5, 0, 2, 6, 4], extra="unnamed"))
    assert plain.drop(columns="file").equals(shuffled.drop(columns="file"))


def test_which_score_is_a_param(tmp_path):
    rows = read(memcat_folder(tmp_path), score="memorability_wo_fa_correction")
    assert list(rows["score"]) == [0.69, 0.5]
    assert list(rows["hits"]) == [74, 50]
    assert list(rows["false_alarms"]) == [4, 10]
    split = rows.assign(
        split="train", dataset="memcat", false_alarm_responses=pd.array([None, None], "Int64")
    )
    of_score, of_alarms = (tables.for_target(split, target) for target in ("score", "false_alarm_rate"))
    assert list(of_score["false_alarms"]) == [0, 0]  # so that human halves are scored alike
    assert list(of_alarms["score"]) == pytest.approx([4 / 107, 0.1])
    corrected = read(memcat_folder(tmp_path / "corrected")).assign(split="train", dataset="memcat")
    assert list(tables.for_target(corrected, "score")["false_alarms"]) == [4, 10]


def test_an_unknown_score_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="memorability_w_fa_correction"):
        memcat.Params(root=tmp_path, score="beauty")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"memcat_image_data\.csv: no such table"):
        read(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    memcat_folder(tmp_path, order=[0, 1, 2, 3, 5, 6])
    with pytest.raises(DataError, match=r"no column FA, memorability_w_fa_correction; it has .*image_file"):
        read(tmp_path)


def changed(column, value):
    """The rows, the second of them with another value."""
    return [ROWS[0], [value if name == column else v for name, v in zip(HEAD, ROWS[1], strict=True)]]


def test_a_score_that_is_no_number_is_the_rows_problem(tmp_path):
    rows = read(memcat_folder(tmp_path, rows=changed("memorability_w_fa_correction", "NaN")))
    assert rows["problem"].fillna("").tolist() == ["", "score 'NaN' is no number"]
    assert rows["score"].isna().tolist() == [False, True]


@pytest.mark.parametrize("column", ["image_file", "category", "subcategory"])
def test_a_row_that_names_no_file_is_the_rows_problem(tmp_path, column):
    rows = read(memcat_folder(tmp_path, rows=changed(column, "")))
    assert rows["problem"].fillna("").tolist() == ["", "names no file"]
    assert list(rows["path"]) == ["images/animal/bear/1.jpg", "line 3 of memcat_image_data.csv"]


@pytest.mark.parametrize("column", ["H", "FA", "n_resp"])
def test_counts_that_are_no_whole_numbers_are_named(tmp_path, column):
    with pytest.raises(DataError, match=f"column {column} has 1 entries that are no whole numbers"):
        read(memcat_folder(tmp_path, rows=changed(column, "4.5")))


needs_memcat = pytest.mark.skipif(
    not REAL.is_dir(), reason="no MemCat folder at MEMORABILITY_SHARED/data/memcat"
)


@needs_memcat
def test_the_real_set_has_its_rows_and_files():
    rows = read(REAL)
    assert len(rows) == 1000
    assert rows["path"].is_unique
    assert all(Path(file).is_file() for file in rows["file"])
    assert set(rows["category"]) == {"animal", "food", "landscape", "sports", "vehicle"}
    assert rows["score"].between(0, 1).all()


@needs_memcat
@pytest.mark.parametrize("score", [memcat.WITH, memcat.WITHOUT])
def test_the_real_scores_agree_with_the_counts(score):
    rows = tables.for_target(read(REAL, score=score).assign(split="train", dataset="memcat"), "score")
    np.testing.assert_allclose(
        rows["score"], (rows["hits"] - rows["false_alarms"]) / rows["responses"], atol=1e-9
    )
