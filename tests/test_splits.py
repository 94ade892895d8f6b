import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability import params, splits, tables
from memorability.errors import DataError

SETTINGS = {
    "method": "random", "val": 0.15, "test": 0.25, "folds": 5, "fold": 0, "seed": 0, "near_duplicate_bits": 4,
}  # fmt: skip
QUICK = settings(deadline=None, max_examples=40)


def split_settings(**changes):
    return params.Split(**(SETTINGS | changes))


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
    ).reindex(columns=tables.RAW)
    return rows.astype(dict.fromkeys(("split", "problem", "category", "subcategory"), "string"))


def same_groups(left, right):
    """Whether two numberings describe the same groups."""
    pairs = {(int(a), int(b)) for a, b in zip(left, right, strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def whole(groups, names):
    """Whether no group has rows under two names."""
    return (pd.Series(names).groupby(np.asarray(groups)).nunique() == 1).all()


# check


def test_a_good_index_passes():
    rows = raw_index()
    rows.loc[0, "score"] = 0.0
    rows.loc[1, "score"] = 1.0
    rows.loc[2, ["split", "score"]] = ["unlabelled", np.nan]
    rows.loc[3, "split"] = "val"
    splits.check(rows)


def test_every_offender_is_listed_in_one_error():
    rows = raw_index(30)
    rows.loc[0, "problem"] = "cannot be read (No such file or directory)"
    rows.loc[1, "problem"] = "not a picture"
    rows.loc[3, "id"] = rows.loc[2, "id"]
    rows.loc[4, "score"] = -0.25
    rows.loc[5, "score"] = 1.5
    rows.loc[6, "score"] = np.inf
    rows.loc[7, "score"] = np.nan
    rows.loc[8, ["score", "split"]] = [np.nan, "train"]
    rows.loc[9, "split"] = "dev"
    with pytest.raises(DataError) as caught:
        splits.check(rows)
    message = str(caught.value)
    assert message.splitlines()[0] == "9 problems in 30 rows:"
    assert len(message.splitlines()) == 10
    for expected in (
        "demo/0000.jpg: cannot be read (No such file or directory)",
        "demo/0001.jpg: not a picture",
        "demo/0002.jpg: this id appears 2 times",
        "demo/0004.jpg: score -0.25 is outside [0, 1]",
        "demo/0005.jpg: score 1.5 is outside [0, 1]",
        "demo/0006.jpg: score inf is outside [0, 1]",
        "demo/0007.jpg: no score",
        "demo/0008.jpg: no score",
        "demo/0009.jpg: split 'dev' is none of train, val, test, unlabelled",
    ):
        assert f"  {expected}" in message.splitlines()


def test_a_long_list_of_offenders_is_counted():
    rows = raw_index(50)
    rows["score"] = 2.0
    with pytest.raises(DataError, match="50 problems in 50 rows") as caught:
        splits.check(rows)
    assert "and 30 more" in str(caught.value)


# near_duplicates


@st.composite
def hashes_with_neighbours(draw):
    """Hashes of which many lie a few bits from another."""
    bases = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6))
    values = list(bases)
    for _ in range(draw(st.integers(0, 20))):
        value = draw(st.sampled_from(values))
        for bit in draw(st.lists(st.integers(0, 63), max_size=9)):
            value ^= 1 << bit
        values.append(value)
    return draw(st.permutations(values))


def brute_force(values, bits):
    """Groups by comparing all pairs and spreading the smallest number until nothing changes."""
    groups = np.arange(len(values))
    close = np.array([[(a ^ b).bit_count() <= bits for b in values] for a in values])
    while True:
        spread = np.array([groups[row].min() for row in close])
        if (spread == groups).all():
            return groups
        groups = spread


@settings(deadline=None, max_examples=60)
@given(hashes_with_neighbours(), st.sampled_from([0, 1, 3, 4, 7, 10, 15]))
def test_near_duplicates_are_those_of_all_pairs(values, bits):
    found = splits.near_duplicates([f"{value:016x}" for value in values], bits=bits)
    assert same_groups(found, brute_force(values, bits))


@pytest.mark.parametrize("bits", [0, 1, 4, 15])
def test_near_duplicates_of_random_hashes(bits):
    rng = np.random.default_rng(bits)
    values = [int(v) for v in rng.integers(0, 2**64, 150, dtype=np.uint64)]
    values += [v ^ (1 << int(rng.integers(64))) for v in values[:40]]
    found = splits.near_duplicates([f"{value:016x}" for value in values], bits=bits)
    assert same_groups(found, brute_force(values, bits))


def test_near_duplicates_form_chains():
    chain = [f"{(1 << 3 * i) - 1:016x}" for i in range(6)]  # 3 bits from one to the next
    assert len(set(splits.near_duplicates(chain, bits=3))) == 1
    assert len(set(splits.near_duplicates(chain, bits=2))) == 6


def test_near_duplicate_bits_have_limits():
    for bits in (-1, 16):
        with pytest.raises(DataError, match=f"0 to 15, received {bits}"):
            splits.near_duplicates(["0" * 16], bits=bits)


# random_split

group_lists = st.lists(st.integers(0, 30), min_size=1, max_size=120).map(np.array)


@QUICK
@given(group_lists, st.floats(0, 0.45), st.floats(0, 0.45), st.integers(0, 9))
def test_random_split_keeps_groups_whole_and_shares_close(groups, val, test, seed):
    names = splits.random_split(groups, val=val, test=test, seed=seed)
    assert set(names) <= {"train", "val", "test"}
    assert whole(groups, names)
    largest = np.unique(groups, return_counts=True)[1].max()
    tested, validated = (names == "test").sum(), (names == "val").sum()
    assert test * len(groups) - largest - 1 < tested <= test * len(groups) + 0.5
    assert val * len(groups) - largest - 1 < validated <= val * len(groups) + 0.5


def test_random_split_without_groups_has_exact_shares():
    names = splits.random_split(np.arange(1000), val=0.15, test=0.25, seed=0)
    assert pd.Series(names).value_counts().to_dict() == {"train": 600, "test": 250, "val": 150}


def test_random_split_is_that_of_its_seed():
    one, two, other = (splits.random_split(np.arange(300), val=0.2, test=0.2, seed=s) for s in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


def test_random_split_without_val_and_test_is_all_train():
    assert set(splits.random_split(np.arange(10), val=0.0, test=0.0, seed=0)) == {"train"}


# folds


@QUICK
@given(group_lists, st.integers(2, 8), st.integers(0, 9))
def test_fold_numbers_are_balanced_and_keep_groups_whole(groups, folds, seed):
    found = splits.fold_numbers(groups, folds=folds, seed=seed)
    assert whole(groups, found)
    sizes = np.bincount(found, minlength=folds)
    assert len(sizes) == folds
    assert sizes.max() - sizes.min() <= np.unique(groups, return_counts=True)[1].max()


def test_fold_numbers_without_groups_differ_by_one_at_most():
    sizes = np.bincount(splits.fold_numbers(np.arange(503), folds=5, seed=0))
    assert sorted(sizes) == [100, 100, 101, 101, 101]


def test_each_row_is_tested_by_exactly_one_fold():
    groups = np.random.default_rng(0).integers(0, 150, 400)
    fold = splits.fold_numbers(groups, folds=5, seed=0)
    runs = [splits.fold_split(groups, fold, test_fold=k, val=0.1, seed=0) for k in range(5)]
    tested = np.array([names == "test" for names in runs])
    assert (tested.sum(axis=0) == 1).all()
    for k, names in enumerate(runs):
        assert (tested[k] == (fold == k)).all()
        assert whole(groups, names)
        assert abs((names == "val").sum() - 40) <= np.bincount(groups).max()
        assert set(names) == {"train", "val", "test"}


def test_folds_validate_on_different_rows():
    groups = np.arange(200)
    fold = splits.fold_numbers(groups, folds=4, seed=0)
    runs = [splits.fold_split(groups, fold, test_fold=k, val=0.2, seed=0) == "val" for k in range(4)]
    assert all((a != b).any() for i, a in enumerate(runs) for b in runs[:i])


# published_split


def test_published_split_reports_near_duplicates_that_straddle():
    rows = raw_index(8, duplicates=2)
    rows["split"] = pd.array(["train", "test", "val", "val"] + ["train"] * 4, dtype="string")
    names, straddling = splits.published_split(rows, splits.near_duplicates(list(rows["phash"]), bits=4))
    assert list(names) == list(rows["split"])
    assert straddling == ["demo/0000.jpg ~ demo/0001.jpg"]


def test_published_split_names_the_data_sets_that_publish_none():
    rows = raw_index(6)
    rows["dataset"] = ["own", "own", "demo", "demo", "lamem", "lamem"]
    rows.loc[[4, 5], "split"] = "train"
    with pytest.raises(DataError, match="own, demo publishes no split; use 'random' or 'folds'"):
        splits.published_split(rows, np.arange(6))


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
    assert list(table) == tables.SPLIT
    assert list(table["id"]) == list(ids["id"]) == list(written["id"])
    assert list(table["split"]) == list(ids["split"])
    counts = table["split"].value_counts().to_dict()
    assert report["rows"] == counts
    assert counts["unlabelled"] == 20
    assert abs(counts["test"] - (45 if method == "random" else 36)) <= 2
    assert abs(counts["val"] - 27) <= 2
    assert (table["split"][:10:2].to_numpy() == table["split"][1:10:2].to_numpy()).all()
    assert report["near_duplicate_groups"] == 5
    assert report["near_duplicate_pictures"] == 10
    assert report["near_duplicates_across_published_splits"] == []


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
    assert report["near_duplicates_across_published_splits"] == ["demo/0000.jpg ~ demo/0001.jpg"]


def test_split_refuses_an_index_with_problems(written):
    written.loc[3, "problem"] = "cannot be read"
    with pytest.raises(DataError, match=r"demo/0003\.jpg: cannot be read"):
        splits.split(written, split_settings())


def test_split_keeps_scores_and_places(written):
    table, _, _ = splits.split(written, split_settings())
    rest = [column for column in tables.SPLIT if column != "split"]
    pd.testing.assert_frame_equal(table[rest], written[rest])


def test_a_group_too_large_for_test_does_not_close_it():
    groups = np.concatenate([np.zeros(60, int), np.arange(1, 41)])
    for seed in range(5):
        names = pd.Series(splits.random_split(groups, val=0.15, test=0.25, seed=seed))
        assert names.value_counts().to_dict() == {"train": 60, "test": 25, "val": 15}
