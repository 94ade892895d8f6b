import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.core.errors import DataError
from memorability.data import offenders, splits, tables
from memorability.data.settings import Split
from memorability.media.hashes import EMPTY

SETTINGS = {
    "input": "x", "method": "random", "val": 0.15, "test": 0.25, "folds": 5, "fold": 0, "seed": 0, "near_duplicate_bits": 4,
}  # fmt: skip
QUICK = settings(deadline=None, max_examples=40)


def split_settings(**changes):
    return Split(**(SETTINGS | changes))


def raw_index(n=200, *, seed=0, duplicates=0):
    """A raw index of `n` good rows; the first 2 x `duplicates` are pairs of near-duplicates."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    for i in range(duplicates):
        hashes[2 * i + 1] = hashes[2 * i] ^ np.uint64(0b1011)
    rows = pd.DataFrame(
        {
            "id": [f"demo/{i:04d}.jpg" for i in range(n)],
            "dataset": "demo",
            "score": rng.random(n),
            "phash": [f"{int(value):016x}" for value in hashes],
        }
    ).reindex(columns=tables.raw("images"))
    return rows.astype(dict.fromkeys(("split", "problem", "category", "subcategory"), "string"))


def whole(groups, names):
    """Whether no group has rows under two names."""
    return (pd.Series(names).groupby(np.asarray(groups)).nunique() == 1).all()


# problems


def test_a_good_index_has_no_problems():
    rows = raw_index()
    rows.loc[0, "score"] = 0.0
    rows.loc[1, "score"] = 1.0
    rows.loc[2, ["split", "score"]] = ["unlabelled", np.nan]
    rows.loc[3, "split"] = "val"
    rows.loc[4, "split"] = "train - test unlabelled val"
    rows.loc[5, "split"] = "-"
    assert offenders.problems(rows) == []


def test_every_offender_is_listed_with_its_row():
    rows = raw_index(30)
    rows.loc[0, "problem"] = "cannot be read (No such file or directory)"
    rows.loc[1, ["problem", "score"]] = ["score 'high' is no number", np.nan]
    rows.loc[3, "id"] = rows.loc[2, "id"]
    rows.loc[4, "score"] = -0.25
    rows.loc[5, "score"] = 1.5
    rows.loc[6, "score"] = np.inf
    rows.loc[7, "score"] = np.nan
    rows.loc[8, ["score", "split"]] = [np.nan, "train"]
    rows.loc[9, "split"] = "dev"
    rows.loc[10, "split"] = "train Test -"
    assert sorted(offenders.problems(rows)) == [
        (0, "demo/0000.jpg: cannot be read (No such file or directory)"),
        (1, "demo/0001.jpg: score 'high' is no number"),
        (2, "demo/0002.jpg: this id appears 2 times"),
        (3, "demo/0002.jpg: this id appears 2 times"),
        (4, "demo/0004.jpg: score -0.25 is outside [0, 1]"),
        (5, "demo/0005.jpg: score 1.5 is outside [0, 1]"),
        (6, "demo/0006.jpg: score inf is outside [0, 1]"),
        (7, "demo/0007.jpg: no score"),
        (8, "demo/0008.jpg: no score"),
        (9, "demo/0009.jpg: split 'dev' is none of train, val, test, unlabelled"),
        (10, "demo/0010.jpg: split 'Test' is none of train, val, test, unlabelled"),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hits": 37, "responses": 12}, "37 hits of 12 answers"),
        ({"false_alarms": 13, "responses": 12}, "13 false alarms of 12 answers"),
        ({"false_alarms": 9, "responses": 12, "false_alarm_responses": 8}, "9 false alarms of 8 answers"),
        ({"responses": -1}, "responses -1 below 0"),
        ({"hits": -3, "responses": 12}, "hits -3 below 0"),
        ({"false_alarm_responses": -2}, "false alarm responses -2 below 0"),
    ],
)
def test_impossible_counts_are_offenders(changes, said):
    rows = raw_index(20)
    for name, value in changes.items():
        rows.loc[3, name] = value
    assert offenders.problems(rows) == [(3, f"demo/0003.jpg: {said}")]
    _, _, report = splits.split(rows, split_settings(on_bad_item="skip"))
    assert report["left_out_because"] == [f"demo/0003.jpg: {said}"]


def test_possible_counts_are_none():
    rows = raw_index(5).assign(hits=[0, 12, 5, np.nan, 3], responses=[12, 12, np.nan, 4, 3])
    rows = rows.assign(false_alarms=[0, 12, 20, 1, 4], false_alarm_responses=[np.nan, 12, np.nan, 1, 4])
    assert offenders.problems(rows) == []


def test_impossible_counts_of_clips_are_offenders():
    rows = raw_index(3).drop(columns="score").assign(short_term=0.5, short_term_responses=[38, -1, np.nan])
    assert offenders.problems(rows) == [(1, "demo/0001.jpg: short term responses -1 below 0")]


def test_a_row_can_have_several_problems():
    rows = raw_index(5)
    rows.loc[1, ["problem", "score", "split"]] = ["not a picture", 3.0, "dev"]
    assert [row for row, _ in offenders.problems(rows)] == [1, 1, 1]
    _, _, report = splits.split(rows, split_settings(on_bad_item="skip"))
    assert (report["left_out"], len(report["left_out_because"])) == (1, 3)


@pytest.mark.parametrize(
    ("scores", "hinted"),
    [
        (np.linspace(0, 100, 20), True),
        (np.linspace(40, 90, 20), True),
        (np.linspace(0, 1.2, 20), False),
        (np.linspace(-5, 90, 20), False),
        (np.linspace(100, 900, 20), False),
        (np.full(20, np.nan), False),
    ],
)
def test_scores_in_per_cent_are_recognised(scores, hinted):
    found = offenders.problems(raw_index(20).assign(score=scores))
    assert len(found) > 0
    assert any("are they per cent? Data set `table` has `scale: 100`" in text for _, text in found) == hinted


def test_bad_rows_stop_the_split_with_all_of_them_in_one_error():
    rows = raw_index(50)
    rows["score"] = 2.0
    with pytest.raises(DataError, match="50 problems in 50 rows") as caught:
        splits.split(rows, split_settings())
    assert "demo/0019.jpg: score 2.0 is outside [0, 1]" in str(caught.value)
    assert "and 30 more" in str(caught.value)
    assert "on_bad_item: skip" in str(caught.value)


@pytest.mark.parametrize("method", ["random", "folds", "published"])
def test_bad_rows_are_left_out_where_that_is_wanted(method):
    rows = raw_index(60).assign(split=["train", "val", "test"] * 20)
    rows.loc[3, "problem"] = "not a picture"
    rows.loc[10, "score"] = np.nan
    rows.loc[20, "id"] = rows.loc[21, "id"]
    rows.loc[30:33, "phash"] = pd.NA  # as that of a picture that cannot be read
    rows.loc[30:33, "problem"] = "cannot be read"
    table, ids, report = splits.split(rows, split_settings(method=method, on_bad_item="skip"))
    good = rows.drop(index=[3, 10, 20, 21, 30, 31, 32, 33])
    assert list(table["id"]) == list(ids["id"]) == list(good["id"])
    assert list(table["score"]) == list(good["score"])
    assert report["left_out"] == 8
    assert sum(report["rows"].values()) == 52
    assert report["left_out_because"] == [text for _, text in offenders.problems(rows)]
    alone, _, _ = splits.split(good, split_settings(method=method))
    pd.testing.assert_frame_equal(table, alone)


def test_a_report_names_some_of_very_many():
    rows = raw_index(400)
    rows.loc[:299, "problem"] = "not a picture"
    _, _, report = splits.split(rows, split_settings(on_bad_item="skip"))
    assert report["left_out"] == 300
    assert len(report["left_out_because"]) == splits.REPORTED


@pytest.mark.parametrize("on_bad_item", ["fail", "skip"])
def test_rows_that_are_all_bad_stop_the_split(on_bad_item):
    rows = raw_index(30)
    rows["problem"] = "not a picture"
    with pytest.raises(DataError, match="30 rows") as caught:
        splits.split(rows, split_settings(on_bad_item=on_bad_item))
    assert "demo/0000.jpg: not a picture" in str(caught.value)


# published_split


def published(rows, groups=None, **changes):
    groups = np.arange(len(rows)) if groups is None else np.array(groups)
    names, straddling = splits.published_split(rows, groups, split_settings(method="published", **changes))
    return list(names), straddling


def with_split(names, dataset="lamem", start=0):
    rows = raw_index(len(names), seed=len(names) + start)
    ids = [f"{dataset}/{start + i}.jpg" for i in range(len(names))]
    return rows.assign(id=ids, dataset=dataset, split=pd.array(names, dtype="string"))


def together(*parts):
    return pd.concat(parts, ignore_index=True)


FIVE = [
    "train val test - train",
    "val test - train train",
    "test - train val val",
    "- train val test test",
    "train train train test -",
]


@pytest.mark.parametrize("fold", range(5))
def test_the_fold_picks_one_of_several_published_splits(fold):
    expected = [names.split()[fold].replace("-", "unlabelled") for names in FIVE]
    assert published(with_split(FIVE), fold=fold)[0] == expected


def test_one_published_split_is_that_of_every_fold():
    names = ["train", "val", "test", "unlabelled", "-"]
    for fold in (0, 3):
        assert published(with_split(names), fold=fold)[0] == [*names[:4], "unlabelled"]
        both = together(with_split(names), with_split(FIVE, "other"))
        assert published(both, fold=fold)[0][:4] == names[:4]


@pytest.mark.parametrize("fold", [5, 99])
def test_a_fold_that_is_not_published_is_refused(fold):
    with pytest.raises(DataError, match=f"fold {fold}: 5 splits are published; valid: 0 to 4"):
        published(with_split(FIVE), fold=fold)


def test_published_near_duplicates_that_straddle_are_reported_and_stay():
    names = ["train", "test", "val", "val", "train", "test", "train"]
    found, straddling = published(with_split(names), [0, 0, 1, 1, 2, 2, 3])
    assert found == names
    assert straddling == ["lamem/0.jpg ~ lamem/1.jpg", "lamem/4.jpg ~ lamem/5.jpg"]


def test_no_published_split_at_all_is_an_error_that_names_the_data_sets():
    rows = together(with_split([None] * 3, "own"), with_split([None] * 3, "demo"))
    with pytest.raises(DataError, match="own, demo publishes no split; use 'random' or 'folds'"):
        published(rows)


def test_a_data_set_without_a_split_is_drawn_and_the_others_stay():
    names = ["train", "val", "test", "unlabelled"] * 10
    rows = together(with_split(names), with_split([None] * 200, "own"))
    found, _ = published(rows, val=0.1, test=0.3)
    assert found[:40] == names
    assert pd.Series(found[40:]).value_counts().to_dict() == {"train": 120, "test": 60, "val": 20}
    assert published(rows, val=0.1, test=0.3)[0] == found
    assert published(rows, val=0.1, test=0.3, seed=1)[0] != found


def test_near_duplicates_of_published_pictures_go_with_them():
    names = ["train", "val", "test", "unlabelled"] * 5
    rows = together(with_split([None] * 20, "own"), with_split(names), with_split([None] * 20, "more"))
    found, straddling = published(rows, [*range(20)] * 3)
    own, theirs, more = found[:20], found[20:40], found[40:]
    assert theirs == names
    assert own == more
    # An unlabelled picture is in no part, so it binds nothing.
    assert all(was in (name, "unlabelled") for name, was in zip(own, names, strict=True))
    assert straddling == []


def test_without_a_published_val_part_val_is_drawn_from_train():
    rows = with_split(["train", "test"] * 100, "sun")
    found, _ = published(rows, val=0.15)
    assert pd.Series(found).value_counts().to_dict() == {"test": 100, "train": 70, "val": 30}
    assert all(name == "test" for name in found[1::2])
    assert published(rows, val=0.15)[0] == found
    assert published(rows, val=0.15, seed=1)[0] != found
    assert published(rows, val=0.0)[0] == list(rows["split"])


def test_val_is_drawn_in_the_fold_in_use():
    rows = with_split(["train test", "test train"] * 50, "sun")
    for fold in (0, 1):
        found, _ = published(rows, val=0.2, fold=fold)
        was = [names.split()[fold] for names in rows["split"]]
        assert {(a, b) for a, b in zip(was, found, strict=True)} == {
            ("train", "train"),
            ("train", "val"),
            ("test", "test"),
        }
        assert found.count("val") == 20


def test_a_drawn_val_part_leaves_the_published_ones_alone():
    lamem = ["train", "val", "test"] * 30
    rows = together(
        with_split(lamem), with_split(["train", "test"] * 50, "sun"), with_split([None] * 40, "own")
    )
    found, _ = published(rows, val=0.1, test=0.2)
    assert found[:90] == lamem
    assert found[90:190].count("val") == 10
    assert found[190:].count("val") == 4


def test_val_is_drawn_in_whole_groups_that_lie_in_train():
    # Pairs of train; pairs of train and test; a train picture with one of another set's train.
    names = ["train"] * 40 + ["train", "test"] * 20 + ["train"] * 20
    rows = together(with_split(names, "sun"), with_split(["train"] * 20 + ["val"]))
    groups = [i // 2 for i in range(80)] + [*range(40, 60)] * 2 + [60]
    found, straddling = published(rows, groups, val=0.3)
    assert found[40:80] == names[40:80]
    assert found[80:] == ["train"] * 40 + ["val"]
    assert found[:40:2] == found[1:40:2]
    assert found[:40].count("val") == 30
    assert len(straddling) == 20


def test_the_scores_are_those_of_the_published_split_in_use():
    rows = together(with_split(["train test", "test train", "- train"]), with_split(["train"] * 2, "own"))
    scores = [0.5, 0.25, 0.75, 0.1, 0.2]
    rows = rows.assign(score=scores, split_scores=["0.4 0.6", "0.2 0.3", "- 0.75", None, None])
    for changes, expected in (
        ({"method": "published", "fold": 0}, [0.4, 0.2, 0.75, 0.1, 0.2]),
        ({"method": "published", "fold": 1}, [0.6, 0.3, 0.75, 0.1, 0.2]),
        ({"method": "random"}, scores),
        ({"method": "folds"}, scores),
    ):
        assert list(splits.split(rows, split_settings(**changes))[0]["score"]) == expected
    del rows["split_scores"]
    assert list(splits.split(rows, split_settings(method="published"))[0]["score"]) == scores


def test_a_bad_score_of_another_published_split_does_not_matter():
    rows = with_split(["train test", "test train"]).assign(split_scores=["0.4 40", "0.2 0.3"])
    assert len(splits.split(rows, split_settings(method="published", val=0.0))[0]) == 2
    with pytest.raises(DataError, match=r"lamem/0\.jpg: score 40\.0 is outside \[0, 1\]"):
        splits.split(rows, split_settings(method="published", fold=1))


@st.composite
def combined_sets(draw):
    """Rows of up to four data sets that publish all, no val, a part, or nothing; groups across them."""
    names = {
        "all": ["train", "val", "test", "unlabelled"],
        "no val": ["train", "test", "unlabelled"],
        "some": ["train", "val", "test", None],
        "no val for some": ["train", "train", "test", None],
        "none": [None],
    }
    sets = draw(st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=4, unique=True))
    rows = draw(
        st.lists(
            st.sampled_from(sets).flatmap(lambda s: st.tuples(st.just(s), st.sampled_from(names[s]))),
            min_size=1,
            max_size=60,
        ).filter(lambda rows: any(name for _, name in rows))
    )
    groups = draw(st.lists(st.integers(0, 25), min_size=len(rows), max_size=len(rows)))
    return rows, np.array(groups)


@settings(deadline=None, max_examples=80)
@given(combined_sets(), st.floats(0, 0.4), st.floats(0, 0.4), st.integers(0, 3))
def test_nothing_drawn_straddles_and_nothing_published_changes(drawn, val, test, seed):
    sets, groups = drawn
    rows = raw_index(len(sets))
    rows["dataset"] = [dataset for dataset, _ in sets]
    rows["split"] = pd.array([name for _, name in sets], dtype="string")
    found, straddling = published(rows, groups, val=val, test=test, seed=seed)
    table = pd.DataFrame({"set": rows["dataset"], "was": rows["split"], "is": found, "group": groups})
    assert set(found) <= set(tables.SPLITS)
    has_val = table["was"].eq("val").fillna(False).groupby(table["set"]).transform("any")
    changed = table[(table["was"] != table["is"]) & table["was"].notna()]
    assert changed.empty or (not has_val[changed.index].any() and set(changed["was"]) == {"train"})
    assert changed.empty or set(changed["is"]) == {"val"}
    crossing = 0
    for _, group in table.groupby("group"):
        group = group[group["was"].ne("unlabelled").fillna(True)]  # a picture in no part binds nothing
        known = group["was"].dropna()
        crossing += known.nunique() > 1
        if known.nunique() <= 1:
            assert group["is"].nunique() <= 1
        else:
            free = group[group["was"].isna()]
            assert free["is"].nunique() <= 1
            assert set(free["is"]) <= set(known)
            assert (group["is"] == group["was"]).fillna(True).all()
    assert len(straddling) == crossing


# split


@pytest.fixture
def written(tmp_path):
    """An index with five pairs of near-duplicates and 20 unlabelled rows, as read from its file."""
    rows = raw_index(200, duplicates=5)
    rows.loc[180:, "split"] = "unlabelled"
    rows.loc[190:, "score"] = np.nan  # a score, if there is one, changes nothing
    tables.write(rows, tmp_path / "index.csv")
    return tables.read(tmp_path / "index.csv")


@pytest.mark.parametrize("method", ["random", "folds"])
def test_split_from_end_to_end(written, method):
    table, ids, report = splits.split(written, split_settings(method=method, fold=2))
    assert list(table) == tables.split(written)
    assert list(table["id"]) == list(ids["id"]) == list(written["id"])
    assert list(table["split"]) == list(ids["split"])
    counts = table["split"].value_counts().to_dict()
    assert report["rows"] == counts
    assert counts["unlabelled"] == 20
    assert abs(counts["test"] - (45 if method == "random" else 36)) <= 2
    assert abs(counts["val"] - 27) <= 2
    assert (table["split"][:10:2].to_numpy() == table["split"][1:10:2].to_numpy()).all()
    pairs = table["group"][:10].to_numpy().reshape(5, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()
    assert table["group"].nunique() == 195
    assert report["near_duplicate_groups"] == 5
    assert report["near_duplicate_pictures"] == 10
    assert report["near_duplicates_across_published_splits"] == report["left_out"] == 0
    assert report["such_as"] == report["left_out_because"] == []


@pytest.mark.parametrize("method", ["random", "folds", "published"])
def test_nothing_but_unlabelled_rows_has_no_parts_to_be_filled(method):
    rows = raw_index(20).assign(score=np.nan)
    rows["split"] = pd.array(["unlabelled"] * 20, dtype="string")
    table, _, report = splits.split(rows, split_settings(method=method))
    assert set(table["split"]) == {"unlabelled"}
    assert report["rows"] == {"train": 0, "val": 0, "test": 0, "unlabelled": 20}


@pytest.mark.parametrize("method", ["random", "folds"])
def test_unlabelled_rows_stay_unlabelled(written, method):
    table, ids, _ = splits.split(written, split_settings(method=method))
    assert (table["split"][180:] == "unlabelled").all()
    assert "unlabelled" not in set(table["split"][:180])
    assert (ids["fold"][180:] == -1).all()


def test_the_folds_cover_all_labelled_rows(written):
    runs = [splits.split(written, split_settings(method="folds", fold=k))[1] for k in range(5)]
    assert all((run["fold"] == runs[0]["fold"]).all() for run in runs)
    assert set(runs[0]["fold"][:180]) == set(range(5))
    assert (sum((run["split"] == "test").astype(int) for run in runs)[:180] == 1).all()


def test_no_fold_numbers_in_a_random_split(written):
    assert (splits.split(written, split_settings())[1]["fold"] == -1).all()


def test_published_split_from_end_to_end(written):
    published = ["train"] * 100 + ["val"] * 30 + ["test"] * 50 + ["unlabelled"] * 20
    published[1] = "test"
    table, _, report = splits.split(written.assign(split=published), split_settings(method="published"))
    assert list(table["split"]) == published
    assert report["rows"] == {"train": 99, "val": 30, "test": 51, "unlabelled": 20}
    assert report["near_duplicates_across_published_splits"] == 1
    assert report["such_as"] == ["demo/0000.jpg ~ demo/0001.jpg"]


def test_a_report_counts_all_that_straddle_and_names_some(written):
    rows = raw_index(400, duplicates=150).assign(split=["train", "test"] * 200)
    _, _, report = splits.split(rows, split_settings(method="published", val=0.0))
    assert report["near_duplicates_across_published_splits"] == report["near_duplicate_groups"] == 150
    assert len(report["such_as"]) == splits.REPORTED


def plain(n=30, *, equal=0):
    """Plain colours, which have one perceptual hash; the first `equal` are one file."""
    rows = raw_index(n).assign(phash="8" + "0" * 15, content=EMPTY)
    return rows.assign(sha256=[f"{max(0, i - equal + 1):064x}" for i in range(n)])


@pytest.mark.parametrize("bits", [4, None])
@pytest.mark.parametrize("method", ["random", "folds"])
def test_plain_stimuli_are_split_as_others_are(bits, method):
    table, _, report = splits.split(plain(), split_settings(method=method, near_duplicate_bits=bits))
    assert table["group"].is_unique
    assert report["near_duplicate_groups"] == 0
    assert report["rows"]["test"] == (8 if method == "random" else 6)


@pytest.mark.parametrize(
    ("changes", "empty"),
    [
        ({}, "val and test"),
        ({"method": "folds", "fold": 4}, "val and test"),
        ({"val": 0.0}, "test"),
    ],
)
def test_a_part_that_was_asked_for_and_is_empty_stops_the_split(changes, empty):
    said = (
        rf"^{empty} would be empty, of 30 rows: the largest group of near-duplicates, which is never divided, has 30 "
        r"of them, such as demo/0000\.jpg, demo/0001\.jpg, demo/0002\.jpg; near_duplicate_bits: null"
    )
    with pytest.raises(DataError, match=said):
        splits.split(plain(equal=30), split_settings(**changes))


def test_too_few_rows_for_a_part_are_said_to_be():
    with pytest.raises(DataError, match=r"^val would be empty, of 3 rows: there are too few rows"):
        splits.split(raw_index(3), split_settings())
    assert len(splits.split(raw_index(3), split_settings(val=0.0))[0]) == 3


@pytest.mark.parametrize("method", ["random", "folds"])
def test_a_split_that_comes_with_the_data_and_is_not_used_is_said(method):
    names = ["train"] * 60 + ["test"] * 40
    rows = raw_index(100).assign(split=pd.array(names, dtype="string"))
    table, _, report = splits.split(rows, split_settings(method=method))
    lost = int(((np.array(names) == "test") & (table["split"] == "train")).sum())
    assert lost > 0
    assert report["published_split_not_used"] == 100
    assert report["published_test_rows_in_train"] == lost
    _, _, report = splits.split(rows, split_settings(method="published"))
    assert "published_split_not_used" not in report


def test_unlabelled_rows_are_no_split_that_comes_with_the_data(written):
    assert "published_split_not_used" not in splits.split(written, split_settings())[2]


def test_split_keeps_scores_and_places(written):
    table, _, _ = splits.split(written, split_settings())
    rest = [column for column in tables.split(written) if column not in ("split", "group")]
    pd.testing.assert_frame_equal(table[rest], written[rest])


def test_a_group_too_large_for_test_does_not_close_it():
    groups = np.concatenate([np.zeros(60, int), np.arange(1, 41)])
    for seed in range(5):
        names = pd.Series(splits.random_split(groups, val=0.15, test=0.25, seed=seed))
        assert names.value_counts().to_dict() == {"train": 60, "test": 25, "val": 15}


def test_clips_are_split_where_it_is_known_which_can_be_decoded():
    clips = raw_index(20).drop(columns=["score"]).assign(phash=pd.NA, short_term=0.5, long_term=0.5)
    with pytest.raises(DataError, match="no perceptual hash: split"):
        splits.split(clips, split_settings())


# Maps


def pairs(n=60):
    """A raw index of pictures with maps, the last three of them unlabelled ones without."""
    rows = raw_index(n).reindex(columns=tables.raw("maps"))
    rows["map"] = pd.array([f"{i:064x}" for i in range(n)], dtype="string")
    rows.loc[n - 3 :, "map"] = pd.NA
    rows.loc[n - 3 :, "split"] = "unlabelled"
    return rows


def test_a_picture_without_a_map_is_an_offence_unless_it_is_unlabelled():
    rows = pairs()
    assert offenders.problems(rows) == []
    rows.loc[4, "map"] = pd.NA
    rows.loc[5, ["map", "problem"]] = [pd.NA, "map 5.png: not a picture"]
    rows.loc[6, ["map", "split"]] = [pd.NA, "train"]
    assert offenders.problems(rows) == [
        (5, "demo/0005.jpg: map 5.png: not a picture"),
        (4, "demo/0004.jpg: no map"),
        (6, "demo/0006.jpg: no map"),
    ]


def test_a_track_without_any_map_is_refused():
    rows = pairs().assign(
        map=pd.array([pd.NA] * 60, dtype="string"), split=pd.array([pd.NA] * 60, dtype="string")
    )
    with pytest.raises(DataError, match=r"60 problems in 60 rows:\n  demo/0000\.jpg: no map"):
        splits.split(rows, split_settings())


@pytest.mark.parametrize("method", ["random", "folds", "published"])
def test_pictures_with_maps_are_split_as_others_are(method, tmp_path):
    scored, rows = raw_index(60, duplicates=4), pairs()
    published = ["train", "val", "test"] * 19 + ["unlabelled"] * 3
    scored["split"] = rows["split"] = published if method == "published" else rows["split"]
    rows["phash"] = scored["phash"]
    tables.write(rows, tmp_path / "index.csv")
    settings = split_settings(method=method, fold=1)
    table, ids, report = splits.split(tables.read(tmp_path / "index.csv"), settings)
    _, of_scored, report_of_scored = splits.split(scored, settings)
    assert list(ids["split"]) == list(of_scored["split"])
    assert list(ids["fold"]) == list(of_scored["fold"])
    assert report == report_of_scored
    assert list(table) == tables.split(rows)
    assert list(table["map"].fillna("")) == list(rows["map"].fillna(""))
    assert (table["split"][-3:] == "unlabelled").all()
