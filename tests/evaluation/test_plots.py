import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.core.errors import DataError
from memorability.evaluation import figures as plots
from memorability.evaluation import leaderboard

HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "lr": [0.1, 0.1, 0.01],
        "train_loss": [0.05, 0.03, 0.02],
        "val_mse": [0.04, 0.03, 0.035],
        "val_spearman": [np.nan, 0.6, 0.5],
    }
)
CLOSED_FORM = HISTORY.drop(columns=["lr", "train_loss"])[:1]


def joined(n=60, *, constant=False):
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.3, 0.9, n)
    prediction = np.full(n, 0.6) if constant else truth + rng.normal(0, 0.1, n)
    split = np.where(np.arange(n) % 3 == 0, "train", "test")
    return pd.DataFrame({"score": truth, "prediction": prediction, "split": split})


def draw(to, rows, history):
    plots.model_plots("model", rows, history, tables_to=to / "data", figures_to=to / "figures")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def board():
    numbers = {
        "spearman": 0.6,
        "pearson": 0.6,
        "l1": 0.1,
        "mse": 0.02,
        "spearman_low": 0.5,
        "spearman_high": 0.7,
    }
    reports = {
        "net": {"val": numbers, "test": numbers},
        "mean": {"val": {"mse": 0.03}, "test": {"mse": 0.03}},
    }
    return leaderboard.board(reports, dict.fromkeys(reports, "score"))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.35, 0.65), min_size=5, max_size=50).filter(lambda v: np.std(v) > 0.01))
def test_density_integrates_to_one_and_is_nowhere_negative(values):
    curve = plots.density(np.array(values))
    assert (curve >= 0).all()
    assert np.trapezoid(curve, plots.GRID) == pytest.approx(1, abs=0.02)


def test_density_has_its_peak_where_the_values_are():
    curve = plots.density(np.random.default_rng(0).normal(0.7, 0.05, 500))
    assert curve.shape == plots.GRID.shape
    assert plots.GRID[curve.argmax()] == pytest.approx(0.7, abs=0.03)
    assert curve.max() == pytest.approx(1 / (0.05 * np.sqrt(2 * np.pi)), rel=0.15)


@pytest.mark.parametrize("value", [0.1, 0.4321, 0.7])
@pytest.mark.parametrize("count", [1, 7])
def test_the_density_of_equal_values_is_one_peak(value, count):
    curve = plots.density(np.full(count, value))
    assert curve.shape == plots.GRID.shape
    assert np.flatnonzero(curve).tolist() == [round(200 * value)]
    assert np.trapezoid(curve, plots.GRID) == pytest.approx(1)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    draw(folder, joined(), HISTORY)
    return folder


def test_figures_are_pdf_and_svg(drawn):
    expected = [f"{name}.{kind}" for name in ("density", "history", "scatter") for kind in ("pdf", "svg")]
    assert names(drawn / "figures") == expected
    for path in (drawn / "figures").iterdir():
        assert (b"%PDF" if path.suffix == ".pdf" else b"<svg") in path.read_bytes()[:1000]


def test_the_numbers_are_beside_the_figures(drawn):
    assert names(drawn / "data") == ["density.csv", "history.csv", "scatter.csv"]
    density = pd.read_csv(drawn / "data" / "density.csv")
    assert list(density) == ["score", "truth", "prediction"]
    assert len(density) == len(plots.GRID)
    rows = joined()
    test = rows[rows["split"] == "test"]
    scatter = pd.read_csv(drawn / "data" / "scatter.csv")
    np.testing.assert_allclose(scatter, test[["score", "prediction"]], atol=1e-5)
    pd.testing.assert_frame_equal(pd.read_csv(drawn / "data" / "history.csv"), HISTORY)


def test_a_constant_model_with_one_row_of_history(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "history.pdf").write_text("of a run with epochs")
    draw(tmp_path, joined(constant=True), CLOSED_FORM)
    assert names(tmp_path / "figures") == ["density.pdf", "density.svg", "scatter.pdf", "scatter.svg"]
    density = pd.read_csv(tmp_path / "data" / "density.csv")
    assert (density["prediction"] > 0).sum() == 1
    assert (density["truth"] > 0).sum() > 100
    assert len(pd.read_csv(tmp_path / "data" / "history.csv")) == 1


def test_the_comparison_of_models_is_written_and_repeatable(tmp_path):
    rows = {"mean": joined(constant=True), "net": joined()}
    for name, human in (("one", 0.77), ("two", 0.77), ("alone", None)):
        plots.comparison(rows, board(), human, to=tmp_path / name)
    assert names(tmp_path / "one") == ["models.pdf", "models.png", "models.svg"]
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert "people" in (tmp_path / "one" / "models.svg").read_text()
    assert "people" not in (tmp_path / "alone" / "models.svg").read_text()


def test_a_history_without_any_correlation_is_drawn(tmp_path):
    draw(tmp_path, joined(), HISTORY.assign(val_spearman=np.nan))
    assert (tmp_path / "figures" / "history.svg").is_file()


def test_no_test_rows_is_a_named_error(tmp_path):
    with pytest.raises(DataError, match="model: no test rows"):
        draw(tmp_path, joined().assign(split="train"), HISTORY)
    assert list(tmp_path.iterdir()) == []
