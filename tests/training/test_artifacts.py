"""A model on disk comes back as it was; a missing or damaged one is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy
from safetensors.numpy import save_file

from memorability.core.errors import DataError
from memorability.core.files import digest, read_json, write_json
from memorability.training import artifacts

CONFIG = {"settings": {"family": "ridge"}, "features": [{"layers": ["avgpool"]}]}
KINDS = st.sampled_from([np.float32, np.float64, np.int64, np.uint8])
SHAPES = of_numpy.array_shapes(min_dims=0, max_dims=3, max_side=4)
ARRAYS = of_numpy.arrays(KINDS, SHAPES, elements=st.integers(0, 255), fill=st.nothing())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["weight", "bias", "a.b"]), ARRAYS, min_size=1))
def test_arrays_come_back_as_they_were(tmp_path, arrays):
    artifacts.save(tmp_path / "m", config=CONFIG, arrays=arrays)
    config, found = artifacts.load(tmp_path / "m")
    assert (config.settings, config.features) == (CONFIG["settings"], CONFIG["features"])
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        assert found[name].shape == value.shape
        assert found[name].dtype == value.dtype
        assert np.array_equal(found[name], value)


def test_a_transposed_view_comes_back_as_it_was(tmp_path):
    array = np.arange(6.0).reshape(2, 3).T
    artifacts.save(tmp_path / "m", config=CONFIG, arrays={"a": array})
    assert np.array_equal(artifacts.load(tmp_path / "m")[1]["a"], array)


def test_the_bytes_depend_on_the_content_alone(tmp_path):
    for name in ("one", "two"):
        artifacts.save(tmp_path / name, config=CONFIG, arrays={"b": np.ones(2), "a": np.zeros(3)})
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert files == ["config.json", "model.safetensors"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_failed_save_leaves_the_model_as_it_was(tmp_path):
    artifacts.save(tmp_path / "m", config=CONFIG, arrays={"a": np.ones(2)})
    with pytest.raises(ValueError, match="JSON"):
        artifacts.save(tmp_path / "m", config={"score": float("nan")}, arrays={"a": np.zeros(2)})
    config, found = artifacts.load(tmp_path / "m")
    assert config.settings == CONFIG["settings"]
    assert found["a"].tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


# Evidence


EVIDENCE = artifacts.Evidence(
    np.array([0.1, -0.2], np.float32), np.array([7, 2**63 + 1], np.uint64), np.full((1, 266), 3, np.uint8)
)


def test_evidence_comes_back_as_it_was(tmp_path):
    artifacts.save(tmp_path / "m", config=CONFIG, arrays={"a": np.ones(2)}, evidence=EVIDENCE)
    found = artifacts.evidence(tmp_path / "m")
    for name, array in vars(EVIDENCE).items():
        assert getattr(found, name).dtype == array.dtype
        assert np.array_equal(getattr(found, name), array)
    assert artifacts.load(tmp_path / "m")[0].evidence == digest(tmp_path / "m" / "evidence.safetensors")


def test_a_model_without_evidence_has_none(tmp_path):
    artifacts.save(tmp_path / "m", config=CONFIG, arrays={"a": np.ones(2)})
    found = artifacts.evidence(tmp_path / "m")
    assert [array.shape for array in vars(found).values()] == [(0,), (0,), (0, 266), (0,)]


def sealed(folder, arrays):
    """Other evidence in the place of what was saved, and its hash in the config."""
    save_file(arrays, folder / "evidence.safetensors")
    config = read_json(folder / "config.json") | {"evidence": digest(folder / "evidence.safetensors")}
    write_json(folder / "config.json", config)


DAMAGES = {
    "gone": (lambda folder: (folder / "evidence.safetensors").unlink(), "evidence.safetensors is missing"),
    "cut": (
        lambda folder: (folder / "evidence.safetensors").write_bytes(b"{ cut"),
        "not the evidence that config.json was written with",
    ),
    "none in it": (lambda folder: sealed(folder, {}), r"residuals must be float32 \[n\]"),
    "of another type": (
        lambda folder: sealed(folder, vars(EVIDENCE) | {"phashes": np.ones(3, np.int64)}),
        r"phashes must be uint64 \[n\]",
    ),
    "of another shape": (
        lambda folder: sealed(folder, vars(EVIDENCE) | {"contents": np.ones((3, 5), np.uint8)}),
        r"contents must be uint8 \[n, 266\]",
    ),
    "a scalar": (
        lambda folder: sealed(folder, vars(EVIDENCE) | {"residuals": np.array(0.1, np.float32)}),
        r"residuals must be float32 \[n\]",
    ),
    "not finite": (
        lambda folder: sealed(folder, vars(EVIDENCE) | {"residuals": np.full(3, np.nan, np.float32)}),
        "residuals has numbers that are not finite",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_model_with_damaged_evidence_is_a_damaged_model(tmp_path, damage):
    artifacts.save(tmp_path / "m", config=CONFIG, arrays={"a": np.ones(2)}, evidence=EVIDENCE)
    change, text = DAMAGES[damage]
    change(tmp_path / "m")
    for read in (artifacts.load, artifacts.evidence):
        with pytest.raises(DataError, match=text):
            read(tmp_path / "m")


def test_no_model(tmp_path):
    with pytest.raises(DataError, match=r"nothing: no trained model here; run dvc repro"):
        artifacts.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", "damaged model"),
        ("model.safetensors", "not the weights that config.json was written with"),
    ],
)
def test_a_damaged_model(tmp_path, file, text):
    """What else may be wrong with one is in test_trained.py."""
    artifacts.save(tmp_path / "m", config=CONFIG, arrays={"a": np.ones(2)})
    (tmp_path / "m" / file).write_bytes(b"{ cut")
    with pytest.raises(DataError, match=text):
        artifacts.load(tmp_path / "m")
