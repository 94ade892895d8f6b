from pathlib import Path

import pytest
from pydantic import ValidationError

from memorability.core.errors import DataError, ParamsError
from memorability.data import datasets
from memorability.data.datasets import table


def read(root, text=None, *, encoding="utf-8", name="scores.csv", **options):
    if text is not None:
        (root / name).write_text(text, encoding=encoding)
    return table.read(table.Params(root=root, **options), work=root, seed=0)


def test_two_columns_are_enough(tmp_path):
    rows = read(tmp_path, "file,score\na.jpg,0.25\nsub/b.png,1\n")
    assert set(rows) == {"path", "file", "score", "problem"}
    assert rows["problem"].isna().all()
    assert list(rows["path"]) == ["a.jpg", "sub/b.png"]
    assert [Path(file) for file in rows["file"]] == [tmp_path / "a.jpg", tmp_path / "sub" / "b.png"]
    assert list(rows["score"]) == [0.25, 1.0]


def test_columns_under_other_names(tmp_path):
    text = "group,picture,n,yes,wrong,new,rating,ignored\nfood,a.jpg,40,30,4,25,0.65,x\n"
    names = {"file": "picture", "score": "rating", "category": "group"}
    counts = {"responses": "n", "hits": "yes", "false_alarms": "wrong", "false_alarm_responses": "new"}
    rows = read(tmp_path, text, **names, **counts)
    assert set(rows) == {"path", "file", "score", "problem", "category", *counts}
    row = rows.iloc[0]
    assert (row["path"], row["score"], row["category"]) == ("a.jpg", 0.65, "food")
    assert [row[name] for name in counts] == [40, 30, 4, 25]


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


@pytest.mark.parametrize("text", ["high", "NaN", "0.5.1", "0,5,1", "1.234,5", "50 %", "½"])
def test_a_score_that_is_no_number_is_the_rows_problem(tmp_path, text):
    rows = read(tmp_path, f'file;score\na.jpg;"{text}"\nb.jpg;\nc.jpg;0.5\n')
    assert rows["score"].isna().tolist() == [True, True, False]
    assert rows["problem"].fillna("").tolist() == [f"score {text!r} is no number", "", ""]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0,85", 0.85),
        ("0.85", 0.85),
        (",5", 0.5),
        ("-0,25", -0.25),
        (" 0,5 ", 0.5),
        ("1", 1.0),
        ("8,5e-1", None),
    ],
)
def test_decimal_commas(tmp_path, text, value):
    rows = read(tmp_path, f"file;score\na.jpg;{text}\nb.jpg;0.5\n")
    assert rows["score"][1] == 0.5
    assert rows["score"].isna()[0] if value is None else rows["score"][0] == value


@pytest.mark.parametrize(("scale", "text"), [(100, "85"), (100, "85,0"), (10, "8.5"), (0.5, "0.425")])
def test_scores_on_another_scale(tmp_path, scale, text):
    rows = read(tmp_path, f"file;score\na.jpg;{text}\n", scale=scale)
    assert rows["score"][0] == pytest.approx(0.85)


@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan")])
def test_an_impossible_scale_is_refused(tmp_path, scale):
    with pytest.raises(ValidationError, match="scale"):
        table.Params(root=tmp_path, scale=scale)


def test_counts_may_have_decimal_commas_too(tmp_path):
    rows = read(tmp_path, "file;score;hits\na.jpg;0,5;40,0\nb.jpg;0,5;\n", hits="hits")
    assert rows["hits"].fillna(-1).tolist() == [40, -1]


def test_a_row_that_names_no_file_is_told_by_its_line(tmp_path):
    rows = read(tmp_path, "file,score\na.jpg,0.5\n,0.5\n,high\n")
    assert list(rows["path"]) == ["a.jpg", "line 3 of scores.csv", "line 4 of scores.csv"]
    assert rows["problem"].fillna("").tolist() == ["", "names no file", "names no file"]


@pytest.mark.parametrize("kind", ["table", "column of scores"])
def test_an_empty_table_has_no_rows(tmp_path, kind):
    rows = read(tmp_path, "file,score\n" + ("a.jpg,\n" if kind != "table" else ""))
    assert len(rows) == (kind != "table")
    assert rows["score"].isna().all()


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
    assert {"demo", "lamem", "memcat", "sun", "table"} <= set(datasets.names())
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


@pytest.mark.parametrize("text", ["1,000", "1.000", "12.345", "1,234,567", "-1.000"])
def test_counts_with_a_separator_before_three_digits_are_doubtful(tmp_path, text):
    with pytest.raises(
        DataError, match=f"column h has 1 entries that could be thousands or fractions.*'{text}'"
    ):
        read(tmp_path, f"file;score;h\na.jpg;0,5;{text}\nb.jpg;0,25;7\n", hits="h")


@pytest.mark.parametrize(
    ("text", "count"), [("1000", 1000), ("40.0", 40), ("40,0", 40), ("0.000", 0), ("1e3", 1000)]
)
def test_counts_that_are_plain(tmp_path, text, count):
    assert list(read(tmp_path, f"file;score;h\na.jpg;0,5;{text}\n", hits="h")["hits"]) == [count]


def test_scores_with_three_decimals_are_scores(tmp_path):
    rows = read(tmp_path, "file;score\na.jpg;0,750\nb.jpg;1.000\nc.jpg;1,000\n")
    assert list(rows["score"]) == [0.75, 1.0, 1.0]


def test_a_scale_that_does_not_fit_the_scores_is_refused(tmp_path):
    text = "file,score\na.jpg,0.75\nb.jpg,0.25\n"
    with pytest.raises(
        DataError, match=r"column score: no score is above 1 \(they are 0\.25 to 0\.75\), so `scale: 100`"
    ):
        read(tmp_path, text, scale=100)
    assert list(read(tmp_path, text.replace("0.75", "75"), scale=100)["score"]) == [0.75, 0.0025]


def test_a_column_that_is_there_twice_is_refused_where_it_counts(tmp_path):
    with pytest.raises(
        DataError, match=r"scores\.csv: more than one column is called score; which one counts\?"
    ):
        read(tmp_path, "file,score,score\na.jpg,0.5,0.6\n")
    rows = read(tmp_path, "file,score,,,note,note\na.jpg,0.5,,,x,y\n")
    assert list(rows["score"]) == [0.5]


@pytest.mark.parametrize("text", ["many", "40.5", "inf", "NaN"])
def test_counts_that_are_no_whole_numbers_are_named(tmp_path, text):
    with pytest.raises(
        DataError, match=f"column hits has 1 entries that are no whole numbers, such as '{text}'"
    ):
        read(tmp_path, f"file,score,hits\na.jpg,0.5,{text}\nb.jpg,0.5,40\nc.jpg,0.5,\n", hits="hits")


@pytest.mark.parametrize("text", ["1000000001", "9223372036854775808", "1" + "0" * 21])
def test_counts_beyond_all_reason_are_named(tmp_path, text):
    with pytest.raises(
        DataError, match="column n has 1 entries that are more than anybody counts, such as '"
    ):
        read(tmp_path, f"file,score,n\na.jpg,0.5,12\nb.jpg,0.5,{text}\n", responses="n")


def test_spaces_make_no_category_of_their_own(tmp_path):
    rows = read(tmp_path, "file,score,kind\na,0.5,food\nb,0.5, food \nc,0.5,  \nd,0.5,\n", category="kind")
    assert list(rows["category"][:2]) == ["food", "food"]
    assert rows["category"][2:].isna().all()


@pytest.mark.parametrize("bits", [11, "12.5", 0])
def test_bits_that_are_none_are_refused(tmp_path, bits):
    with pytest.raises(ValidationError, match="bits"):
        table.Params(root=tmp_path, bits=bits)


def test_bits_are_of_pictures(tmp_path):
    with pytest.raises(ValidationError, match="bits are of pictures; received bits: 12"):
        table.Params(root=tmp_path, bits=12, short_term="s")


def test_a_published_split_comes_along(tmp_path):
    rows = read(tmp_path, "file,score,part\na.jpg,0.5,test\nb.jpg,,unlabelled\n", split="part")
    assert list(rows["split"]) == ["test", "unlabelled"]


def read_by_name(name, settings, tmp_path):
    return datasets.read(name, settings, work=tmp_path / "work", store=tmp_path / "store", seed=0)


def test_rows_have_their_data_set_and_an_id(tmp_path):
    (tmp_path / "scores.csv").write_text("file,score\nsub/a.jpg,0.5\n")
    rows = read_by_name("table", table.Params(root=tmp_path), tmp_path)
    assert rows[["dataset", "id"]].values.tolist() == [["table", "table/sub/a.jpg"]]


@pytest.mark.parametrize("name", ["table", "memcat"])
def test_a_missing_folder_is_named_with_where_to_get_it(tmp_path, name):
    adapter = datasets.adapter(name)
    with pytest.raises(DataError, match=rf"^acquire\.{name}\.root: no folder .*absent\. ") as caught:
        read_by_name(name, adapter.Params(root=tmp_path / "absent"), tmp_path)
    assert str(caught.value).endswith(adapter.ACCESS)


def test_downloads_come_before_reading(tmp_path, monkeypatch):
    def install(downloads, root, *, store):
        seen.append((downloads[0].url, root, store))
        root.mkdir()
        (root / "scores.csv").write_text("file,score\na.jpg,0.5\n")

    seen = []
    monkeypatch.setattr(datasets, "install", install)
    download = {"url": "https://example.org/own.zip", "sha256": "0" * 64}
    rows = read_by_name("table", table.Params(root=tmp_path / "own", downloads=(download,)), tmp_path)
    assert seen == [(download["url"], tmp_path / "own", tmp_path / "store")]
    assert len(rows) == 1
