"""Models against people's answers, and partial correlations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memorability.bench import answers as people
from memorability.bench import partial, validate, validate_report
from memorability.core.errors import DataError

N = 80


@pytest.fixture(scope="module")
def latent() -> np.ndarray:
    return np.random.default_rng(0).normal(0.6, 0.15, N).clip(0.05, 0.95)


@pytest.fixture(scope="module")
def answers(latent: np.ndarray) -> people.Answers:
    rng = np.random.default_rng(1)
    items = [f"i{k:02d}" for k in range(N)]
    hits, alarms = rng.binomial(60, latent), rng.binomial(50, 0.1, N)
    table = {
        "item": items,
        "hits": hits,
        "responses": 60,
        "false_alarms": alarms,
        "false_alarm_responses": 50,
    }
    return people.of_counts(pd.DataFrame(table))


@pytest.fixture(scope="module")
def predictions(latent: np.ndarray) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {"item": [f"i{k:02d}" for k in range(N)], "good": latent, "weak": latent + rng.normal(0, 0.4, N)}
    )


def test_a_model_that_knows_the_truth_reaches_the_ceiling(
    predictions: pd.DataFrame, answers: people.Answers
) -> None:
    found = validate.validate(predictions, answers, bootstrap=300, repeats=50)
    good, weak = found.models.to_dict("records")
    assert good["share"] == pytest.approx(1, abs=0.06)
    assert good["rho_low"] < good["rho"] < good["rho_high"]
    assert weak["rho"] < 0.6
    row = found.pairs[found.pairs["measure"] == "spearman"].iloc[0]
    assert (row["better"], row["difference"]) == ("good", pytest.approx(good["rho"] - weak["rho"], abs=1e-5))


def test_the_curve_has_every_item_once(latent: np.ndarray) -> None:
    curve = validate.curve(latent, latent)
    assert curve["n"].sum() == N
    assert curve["score"].to_numpy() == pytest.approx(curve["predicted"].to_numpy())


def test_partial_correlations_are_those_of_two_regressions_residuals() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(200, 3))
    x, y = z @ [1, 2, 0] + rng.normal(size=200), z @ [0.5, 1, 1] + rng.normal(size=200)
    design = np.column_stack([np.ones(200), z])
    left = [v - design @ np.linalg.solve(design.T @ design, design.T @ v) for v in (x, y)]
    assert partial.partial(x, y, z) == pytest.approx(np.corrcoef(*left)[0, 1])
    assert partial.partial(x, x, x[:, None]) is None


def test_a_partial_correlation_of_one_other_is_the_closed_form() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(size=100)
    x, y = z + rng.normal(size=100), z + rng.normal(size=100)
    xy, xz, yz = (np.corrcoef(a, b)[0, 1] for a, b in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial.partial(x, y, z[:, None]) == pytest.approx(expected)


def test_what_a_confound_explains_is_gone_from_the_partial_correlation(
    predictions: pd.DataFrame, answers: people.Answers
) -> None:
    confounds = predictions[["item"]].assign(same=predictions["good"])
    found = validate.validate(predictions, answers, confounds=confounds, bootstrap=50, repeats=5)
    good, weak = found.models["partial_rho"]
    assert np.isnan(good)
    assert abs(weak) < 0.3


def test_the_report_is_one_page_with_a_figure(
    predictions: pd.DataFrame, answers: people.Answers, tmp_path: Path
) -> None:
    found = validate.validate(predictions, answers, bootstrap=50, repeats=5)
    validate_report.write(found, tmp_path / "report")
    names = sorted(file.name for file in (tmp_path / "report").iterdir())
    assert names == [
        *("curves.csv", "figures.pdf", "figures.svg", "models.csv", "pairs.csv", "report.md", "rows.csv"),
    ]
    page = (tmp_path / "report/report.md").read_text()
    assert "| good | " in page
    assert len(page.splitlines()) < 50


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item,m\na,0.1\na,0.2\n", r"row 3: the item is there twice \('a'\)"),
        ("item,m\na,0.1\nb,\n", "row 3: m is no finite number"),
        ("item,m\na,0.1\nb,inf\n", "row 3: m is no finite number"),
        ("item,m\na,much\n", "no column of numbers"),
        ("name,m\na,1\n", "no column item"),
    ],
)
def test_faults_of_predictions_are_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        validate.read_numbers(tmp_path / "p.csv")


def test_decimal_commas_are_read_and_words_are_named(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("item;svr;rank;by;note\na;0,30;1;me;\nb;0,4;2;me;\n")
    found, said = validate.read_numbers(tmp_path / "p.csv")
    assert found.to_dict("list") == {"item": ["a", "b"], "svr": [0.3, 0.4], "rank": [1, 2]}
    assert said == [f"{tmp_path / 'p.csv'}: not read, since they hold no numbers: by, note"]
    found, said = validate.read_numbers(tmp_path / "p.csv", columns=("svr",))
    assert found.to_dict("list") == {"item": ["a", "b"], "svr": [0.3, 0.4]}
    assert said == []
    with pytest.raises(DataError, match=r"row 2: by is no number \('me'\)"):
        validate.read_numbers(tmp_path / "p.csv", columns=("by",))


def test_a_column_item_beside_the_users_own_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("item,stimulus,m\n1,a,0.1\n2,b,0.2\n")
    found, _ = validate.read_numbers(tmp_path / "p.csv", item="stimulus")
    assert found.to_dict("list") == {"item": ["a", "b"], "m": [0.1, 0.2]}
    with pytest.raises(DataError, match="item: received as a column of numbers, with stimulus for the items"):
        validate.read_numbers(tmp_path / "p.csv", item="stimulus", columns=("item",))


def test_items_of_other_names_are_shown(answers: people.Answers, predictions: pd.DataFrame) -> None:
    others = predictions.assign(item="x" + predictions["item"])
    with pytest.raises(DataError, match=r"0 items are in .* 'xi00', of the answers 'i00'"):
        validate.validate(others, answers)


def test_models_may_be_called_id_or_score(predictions: pd.DataFrame, answers: people.Answers) -> None:
    named = predictions.rename(columns={"good": "id", "weak": "score"})
    found = validate.validate(named, answers, bootstrap=50, repeats=5)
    plain = validate.validate(predictions, answers, bootstrap=50, repeats=5)
    assert list(found.models["model"]) == ["id", "predicted_score"]
    pd.testing.assert_frame_equal(found.models.drop(columns="model"), plain.models.drop(columns="model"))
    with pytest.raises(DataError, match="score would be called predicted_score, and there is one beside it"):
        validate.validate(named.assign(predicted_score=0.5), answers)


def test_constant_scores_are_refused(predictions: pd.DataFrame) -> None:
    same = pd.DataFrame({"item": predictions["item"], "hits": 3, "responses": 4, "false_alarms": 1})
    with pytest.raises(DataError, match="constant scores"):
        validate.validate(predictions, people.of_counts(same))
