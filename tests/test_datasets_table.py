from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from memorability import datasets
from memorability.datasets import table
from memorability.errors import DataError, ParamsError


def read(root, text=None, *, encoding="utf-8", name="scores.csv", **options):
    if text is not None:
        (root / name).write_text(text, encoding=encoding)
    return table.read(table.Params(root=root, **options), work=root, seed=0)


def test_two_columns_are_enough(tmp_path):
    rows = read(tmp_path, "file,score\na.jpg,0.25\nsub/b.png,1\n")
    assert list(rows) == ["path", "file", "score"]
    assert list(rows["path"]) == ["a.jpg", "sub/b.png"]
    assert [Path(file) for file in rows["file"]] == [tmp_path / "a.jpg", tmp_path / "sub" / "b.png"]
    assert list(rows["score"]) == [0.25, 1.0]


def test_columns_under_other_names(tmp_path):
    text = "group,picture,n,yes,wrong,rating,ignored\nfood,a.jpg,40,30,4,0.65,x\n"
    names = {"file": "picture", "score": "rating", "category": "group"}
    counts = {"responses": "n", "hits": "yes", "false_alarms": "wrong"}
    rows = read(tmp_path, text, **names, **counts)
    assert set(rows) == {"path", "file", "score", "category", "responses", "hits", "false_alarms"}
    row = rows.iloc[0]
    assert (row["path"], row["score"], row["category"]) == ("a.jpg", 0.65, "food")
    assert (row["responses"], row["hits"], row["false_alarms"]) == (40, 30, 4)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_and_byte_order_marks(tmp_path, delimiter, encoding, newline):
    lines = [["file", "score", "category"], ["ü b.jpg", "0.5", "animal"], ["c.jpg", "0.125", "food"]]
    text = newline.join(delimiter.join(line) for line in lines) + newline
    (tmp_path / "scores.csv").write_bytes(text.encode(encoding))
    rows = read(tmp_path, category="category")
    assert list(rows["path"]) == ["ü b.jpg", "c.jpg"]
    assert list(rows["score"]) == [0.5, 0.125]
    assert list(rows["category"]) == ["animal", "food"]


def test_quoted_values_and_names_with_spaces(tmp_path):
    text = '"file name","mean score"\n"a, b.jpg","0.5"\n'
    rows = read(tmp_path, text, file="file name", score="mean score")
    assert list(rows["path"]) == ["a, b.jpg"]


def test_names_of_digits_keep_their_zeros(tmp_path):
    rows = read(tmp_path, "file,score,category\n0001,0.5,007\n0002,0.6,008\n", category="category")
    assert list(rows["path"]) == ["0001", "0002"]
    assert list(rows["category"]) == ["007", "008"]


def test_a_table_in_another_place(tmp_path):
    (tmp_path / "tables").mkdir()
    rows = read(tmp_path, "file,score\na.jpg,0.5\n", name="tables/mine.csv", csv="tables/mine.csv")
    assert len(rows) == 1


def test_a_score_that_is_no_number_is_left_to_the_split_stage(tmp_path):
    rows = read(tmp_path, "file,score\na.jpg,high\nb.jpg,\nc.jpg,0.5\n")
    assert list(np.isnan(rows["score"])) == [True, True, False]


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(DataError, match="no column rating, group; it has file, score"):
        read(tmp_path, "file,score\na.jpg,0.5\n", score="rating", category="group")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv: no such table"):
        read(tmp_path, csv="absent.csv")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_table_in_another_encoding_is_named(tmp_path, encoding):
    with pytest.raises(DataError, match=r"scores\.csv: cannot be read as a table"):
        read(tmp_path, "file,score\nü.jpg,0.5\n", encoding=encoding)


def test_unknown_settings_are_refused(tmp_path):
    with pytest.raises(ValidationError, match="scores"):
        table.Params(root=tmp_path, scores="x")


def test_adapters_are_found_by_file_name():
    assert {"demo", "memcat", "table"} <= set(datasets.names())
    assert not {"common", "__init__"} & set(datasets.names())
    for name in datasets.names():
        adapter = datasets.adapter(name)
        assert callable(adapter.read)
        assert adapter.Params.model_config["extra"] == "forbid"


@pytest.mark.parametrize("name", ["common", "__init__", "../params", "os", ""])
def test_an_unknown_data_set_is_named(name):
    with pytest.raises(ParamsError, match=r"is not known; valid: .*demo.*memcat.*table"):
        datasets.adapter(name)


def test_words_for_nothing_are_text(tmp_path):
    rows = read(tmp_path, "file,score,kind\nNA,0.5,None\n", category="kind")
    assert (rows["path"][0], rows["category"][0]) == ("NA", "None")


def test_rows_of_another_length_are_named(tmp_path):
    with pytest.raises(DataError, match="2 columns, but not in rows 3"):
        read(tmp_path, "file,score\na.jpg,0.5\nb.jpg,0.5,0.7\n")


@pytest.mark.parametrize("text", ["", "file\na.jpg\n"])
def test_an_empty_or_one_column_table_is_refused(tmp_path, text):
    with pytest.raises(DataError, match=r"scores\.csv"):
        read(tmp_path, text)


def test_counts_that_are_no_numbers_are_named(tmp_path):
    with pytest.raises(DataError, match="column hits has 1 entries that are no numbers, such as 'many'"):
        read(tmp_path, "file,score,hits\na.jpg,0.5,many\n", hits="hits")


def test_a_published_split_comes_along(tmp_path):
    rows = read(tmp_path, "file,score,part\na.jpg,0.5,test\nb.jpg,,unlabelled\n", split="part")
    assert list(rows["split"]) == ["test", "unlabelled"]
