"""Rows of a features artifact come in the order that is asked for, and numbers that are none are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from memorability.core.errors import DataError
from memorability.core.files import write_json
from memorability.features import stored
from memorability.features.reads import KINDS


@pytest.fixture
def values(tmp_path):
    """Features of five pictures."""
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    write(tmp_path, values, {"id": list("abcde")})
    return values


@pytest.fixture
def clips(tmp_path):
    """Features of three clips, of which one is listed as 2 frames, one as 1 and one as 3."""
    write(
        tmp_path,
        np.arange(18, dtype=np.float32).reshape(3, 3, 2),
        {"id": ["b", "02", "a"], "length": [2, 1, 3]},
    )
    return tmp_path


def write(folder, values, table):
    np.save(folder / stored.VALUES, values)
    pd.DataFrame(table).to_csv(folder / stored.IDS, index=False)
    write_json(folder / stored.CONFIG, {"layers": ["x"]})


def read(folder, ids):
    return stored.read(folder, list(ids), family="ridge")


def test_rows_in_the_order_of_ids(values, tmp_path):
    found = read(tmp_path, "dac")
    assert np.array_equal(found.values, values[[3, 0, 2]])
    assert found.lengths is None
    assert found.config == {"layers": ["x"]}


def test_rows_in_file_order_stay_mapped(values, tmp_path):
    found = read(tmp_path, "abcde").values
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    assert np.array_equal(found, values)


def test_rows_of_numeric_ids(values, tmp_path):
    pd.DataFrame({"id": ["1", "02", "3", "NA", "5"]}).to_csv(tmp_path / stored.IDS, index=False)
    assert np.array_equal(read(tmp_path, ["02", "1", "NA"]).values, values[[1, 0, 3]])


def test_lengths_come_in_the_order_of_ids(clips):
    found = read(clips, ["a", "b", "a", "02"])
    assert found.lengths.dtype == np.int64
    assert found.lengths.tolist() == [3, 2, 3, 1]
    assert found.values[:, 0, 0].tolist() == [12, 0, 12, 6]


def test_what_is_missing_is_named_and_counted(values, tmp_path):
    with pytest.raises(DataError, match="nothing for 2 of 3 ids, such as x; run dvc repro"):
        read(tmp_path, "axy")


def test_an_array_of_another_length_than_its_ids_is_refused(values, tmp_path):
    np.save(tmp_path / stored.VALUES, values[:4])
    with pytest.raises(DataError, match=r"damaged features \(4 rows of 5 ids\)"):
        read(tmp_path, "ab")


def test_pickled_objects_are_not_read(values, tmp_path):
    np.save(tmp_path / stored.VALUES, np.array([object] * 5), allow_pickle=True)
    with pytest.raises(DataError, match="damaged features"):
        read(tmp_path, "ab")


def test_positions(tmp_path):
    found = stored.positions(["a", "b", "c"], ["c", "a", "c"], tmp_path)
    assert found.tolist() == [2, 0, 2]
    assert stored.positions(["a"], [], tmp_path).tolist() == []
    assert stored.positions([], [], tmp_path).tolist() == []


def test_positions_where_others_are_there_twice(tmp_path):
    assert stored.positions(["a", "b", "a", "c"], ["c", "b"], tmp_path).tolist() == [3, 1]


# In the form of sequences, or as their mean


@pytest.mark.parametrize(
    ("shape", "of_frames", "sequence"),
    [
        ((5, 6), False, (1, 6)),
        ((5, 3, 6), True, (3, 6)),
        ((5, 3, 2, 2, 2), True, (3, 8)),
        ((5, 6, 2, 2), False, (1, 24)),
    ],
)
def test_features_are_sequences(shape, of_frames, sequence):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    found, lengths = KINDS["sequences"].shaped(x, np.array([3, 1, 2, 3, 3]) if of_frames else None)
    assert found.shape == (5, *sequence)
    assert found.dtype == np.float16
    assert lengths.tolist() == ([3, 1, 2, 3, 3] if of_frames else [1] * 5)
    for row in range(5):
        assert np.array_equal(found[row], x[row].reshape(sequence))


def test_sequences_of_a_mapped_file_stay_mapped(clips):
    found = read(clips, ["b", "02", "a"])
    sequences, _ = KINDS["sequences"].shaped(found.values, found.lengths)
    assert np.shares_memory(sequences, found.values)


@pytest.mark.parametrize("rest", [(), (6,), (2, 3, 3)])
@pytest.mark.parametrize("rows", [1, 300])
def test_the_mean_over_frames(rest, rows):
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(rows, 5, *rest)).astype(np.float32), rng.integers(1, 6, rows)
    found = stored.mean_over_frames(x, lengths)
    assert (found.dtype, found.shape) == (np.float64, (rows, *rest))
    for row in range(rows):
        total = sum(x[row, t].astype(float) for t in range(lengths[row]))
        np.testing.assert_allclose(found[row], total / lengths[row], rtol=1e-12, atol=1e-12)


def test_the_mean_of_float16_does_not_overflow():
    x = np.full((1, 4, 2), 60_000, np.float16)
    assert stored.mean_over_frames(x, np.array([4])).tolist() == [[60_000, 60_000]]


def test_the_mean_over_no_frame_is_zero():
    assert stored.mean_over_frames(np.ones((1, 2, 3)), np.array([0])).tolist() == [[0, 0, 0]]


# Numbers that are none


def test_numbers_that_float16_cannot_hold_are_counted():
    values = np.ones((4, 3), np.float16)
    stored.check_finite(values, of="a layer")
    values[1] = [np.inf, -np.inf, np.nan]
    with pytest.raises(
        DataError, match=r"^a layer: 3 of 12 numbers are not finite as float16, .* 65,504; set dtype:"
    ):
        stored.check_finite(values, of="a layer")


def test_float32_is_not_advised_where_it_is_used():
    with pytest.raises(DataError, match="1 of 2 numbers are not finite as float32") as caught:
        stored.check_finite(np.array([1, np.nan], np.float32), of="a layer")
    assert "set dtype" not in str(caught.value)
