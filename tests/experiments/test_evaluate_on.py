"""A model held against any table with truth: right numbers, and no row left out without a word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memorability.core.errors import DataError, ParamsError
from memorability.evaluation import people, score_measures
from memorability.experiments import evaluate_on, evaluate_on_text

RNG = np.random.default_rng(0)
COUNT = 40
TRUTH = RNG.uniform(0.3, 0.95, COUNT).round(3)
ANSWERS = pd.DataFrame(
    {
        "prediction": (0.5 * TRUTH + 0.3 + RNG.normal(0, 0.05, COUNT)).round(4),
        "seen": np.arange(COUNT) % 8 == 0,
        "problem": pd.array([pd.NA] * COUNT, dtype="string"),
    }
).assign(low=lambda table: table["prediction"] - 0.1, high=lambda table: table["prediction"] + 0.1)
NAMES = [f"{i:02d}.png" for i in range(COUNT)]
COUNTS = {"hits": "h", "false_alarms": "fa", "responses": "n"}
TABLE = pd.DataFrame({"file": NAMES, "score": TRUTH}).assign(
    kind=["food", "sports"] * (COUNT // 2),
    h=(TRUTH * 100).round().astype(int) + 4,
    fa=RNG.integers(0, 5, COUNT),
    n=100,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with a picture for each row."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / name)
    return folder


@pytest.fixture
def here(pictures, tmp_path):
    """The same folder, to be changed."""
    for name in NAMES:
        (tmp_path / name).write_bytes((pictures / name).read_bytes())
    return tmp_path


def known(files, titles):
    """What a model says of each picture, whatever the order."""
    return ANSWERS.iloc[[NAMES.index(file.name) for file in files]].reset_index(drop=True)


def evaluate(
    folder,
    table=TABLE,
    *,
    ask=known,
    skip_bad=False,
    scale=1.0,
    clips=False,
    knows_seen=True,
    root=None,
    **columns,
):
    csv = folder / "mine.csv"
    table.to_csv(csv, index=False)
    columns = {"file": "file", "score": "score", **columns}
    source = evaluate_on.source(csv, root=root, scale=scale, columns=columns)
    return evaluate_on.evaluate(source, ask, clips=clips, knows_seen=knows_seen, skip_bad=skip_bad)


def refused(folder, table=TABLE, error=DataError, **changes):
    """The lines of the error, its first one apart."""
    with pytest.raises(error) as raised:
        evaluate(folder, table, **changes)
    first, *lines = str(raised.value).splitlines()
    return first, [line.strip() for line in lines]


# The numbers


def test_measures_are_those_of_evaluation(pictures):
    numbers = evaluate(pictures).numbers
    assert (numbers["n"], numbers["left_out"], numbers["seen"]) == (COUNT, 0, 5)
    found, prediction = numbers["all"], ANSWERS["prediction"].to_numpy()
    for name in ("spearman", "pearson", "mse", "l1"):
        expected = getattr(score_measures, name)(TRUTH, prediction)
        assert found[name] == pytest.approx(expected, abs=1e-6)
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
    slope, intercept = np.polyfit(prediction, TRUTH, 1)
    line = found["calibration"]
    assert (line["slope"], line["intercept"]) == pytest.approx((slope, intercept), abs=1e-5)
    covered = (np.abs(TRUTH - prediction) <= 0.1).mean()
    assert found["intervals"]["coverage"] == pytest.approx(covered)
    assert found["intervals"]["coverage_low"] < covered < found["intervals"]["coverage_high"]
    assert found["intervals"]["width"] == pytest.approx(0.2)
    assert "people" not in found
    assert "by_category" not in numbers


def test_what_was_seen_in_training_is_also_left_out(pictures):
    numbers = evaluate(pictures).numbers
    unseen = ~ANSWERS["seen"].to_numpy()
    assert numbers["unseen"]["n"] == 35
    expected = score_measures.spearman(TRUTH[unseen], ANSWERS["prediction"].to_numpy()[unseen])
    assert numbers["unseen"]["spearman"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("seen", "unseen"), [(0, "absent"), (COUNT, None), (COUNT - 1, None)])
def test_none_or_all_were_seen(pictures, seen, unseen):
    answers = ANSWERS.assign(seen=np.arange(COUNT) < seen)
    numbers = evaluate(pictures, ask=lambda files, titles: answers).numbers
    assert numbers["seen"] == seen
    assert numbers.get("unseen", "absent") == unseen


def test_within_and_by_category(pictures):
    numbers = evaluate(pictures, category="kind").numbers
    prediction, kind = ANSWERS["prediction"].to_numpy(), TABLE["kind"].to_numpy(str)
    within = score_measures.within_category(TRUTH, prediction, kind)
    assert numbers["all"]["spearman_within_category"] == pytest.approx(within, abs=1e-6)
    assert list(numbers["by_category"]) == ["food", "sports"]
    food = numbers["by_category"]["food"]
    assert food["n"] == 20
    assert food["spearman"] == pytest.approx(score_measures.spearman(TRUTH[::2], prediction[::2]), abs=1e-6)


def test_what_people_leave_to_attain(pictures):
    counts = {name: TABLE[column].to_numpy() for name, column in COUNTS.items()}
    expected = people.agreement(
        people.split_half(**counts, false_alarm_responses=counts["responses"], repeats=25, seed=0)
    )
    assert expected is not None
    found = evaluate(pictures, **COUNTS).numbers["all"]["people"]
    assert found == pytest.approx(expected._asdict(), abs=1e-6)


def test_without_false_alarms_scores_are_of_hits_alone(pictures):
    alone = evaluate(pictures, hits="h", responses="n").numbers["all"]["people"]
    none = evaluate(pictures, TABLE.assign(fa=0), **COUNTS).numbers["all"]["people"]
    assert alone == none


def test_a_model_without_intervals(pictures):
    answers = ANSWERS.assign(low=np.nan, high=np.nan)
    assert "intervals" not in evaluate(pictures, ask=lambda files, titles: answers).numbers["all"]


def test_a_model_that_says_the_same_of_everything(pictures):
    found = evaluate(pictures, ask=lambda files, titles: ANSWERS.assign(prediction=0.7)).numbers["all"]
    assert found["spearman"] is found["pearson"] is found["calibration"]["slope"] is None
    assert found["mse"] == pytest.approx(((TRUTH - 0.7) ** 2).mean(), abs=1e-6)


def test_two_rows_are_enough(pictures):
    numbers = evaluate(pictures, TABLE[:2]).numbers
    assert numbers["all"]["spearman_low"] is None
    assert numbers["all"]["intervals"]["coverage_low"] is None
    assert numbers["unseen"] is None


# The table


def test_columns_scale_and_folder_as_the_table_has_them(pictures, tmp_path):
    table = TABLE.rename(columns={"file": "picture", "score": "rating"})
    table["rating"] = (100 * table["rating"]).round(1)
    found = evaluate(tmp_path, table, root=pictures, file="picture", score="rating", scale=100)
    np.testing.assert_allclose(found.rows["score"], TRUTH)
    assert found.numbers["all"]["spearman"] == evaluate(pictures).numbers["all"]["spearman"]


def test_each_row_is_asked_for_with_its_file_and_title(pictures):
    asked = []

    def ask(files, titles):
        asked.append((files, titles))
        return known(files, titles)

    table = TABLE.assign(title=["a dog", ""] * 20)
    evaluate(pictures, table.iloc[::-1], ask=ask, title="title")
    assert asked == [([pictures / name for name in reversed(NAMES)], ["", "a dog"] * 20)]


def test_the_written_table_has_every_row(pictures, tmp_path):
    evaluate(pictures, category="kind").write(tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table) == ["id", "category", "score", "prediction", "low", "high", "seen"]
    assert list(table["id"]) == NAMES
    np.testing.assert_array_equal(table[["score", "prediction"]], np.stack([TRUTH, ANSWERS["prediction"]], 1))
    assert list(table["seen"]) == list(ANSWERS["seen"])


def test_no_table(tmp_path):
    source = evaluate_on.source(tmp_path / "no.csv", root=None, scale=1.0, columns={"score": "score"})
    with pytest.raises(DataError, match=r"no\.csv: no such table"):
        evaluate_on.evaluate(source, known, clips=False, knows_seen=True)


def test_a_table_without_a_row(tmp_path):
    with pytest.raises(DataError, match=r"mine\.csv: a table without a row"):
        evaluate(tmp_path, TABLE[:0])


def test_a_column_that_is_not_there(pictures):
    with pytest.raises(DataError, match="no column rating; it has file, score, kind"):
        evaluate(pictures, score="rating")


@pytest.mark.parametrize(
    "counts", [{"hits": "h"}, {"responses": "n"}, {"false_alarms": "fa", "responses": "n"}]
)
def test_answers_in_part(pictures, counts):
    with pytest.raises(DataError, match="hits and responses are needed .*; received " + ", ".join(counts)):
        evaluate(pictures, **counts)


def test_a_scale_that_is_none(pictures):
    with pytest.raises(ParamsError, match="scale: received 0"):
        evaluate(pictures, scale=0)


# Rows that cannot be used

BAD = TABLE[["file", "score"]].astype({"score": object})
BAD.loc[1, "file"] = "gone.png"
BAD.loc[2, "score"] = 1.5
BAD.loc[3, "score"] = "high"
BAD.loc[4, "score"] = None
BAD.loc[6, "file"] = "./05.png"
BAD.loc[7, "file"] = None
SAID = [
    "gone.png: no such file",
    "02.png: score 1.5 is outside [0, 1]",
    "03.png: score 'high' is no number",
    "04.png: no score",
    "05.png: this id appears 2 times",
    "05.png: this id appears 2 times",
    "line 9 of mine.csv: names no file",
]


def never(files, titles):
    raise AssertionError("a model must not be asked")


def test_every_bad_row_is_named_before_the_model_is_asked(here):
    (here / "10.png").write_bytes(b"broken")
    first, lines = refused(here, BAD, ask=never)
    assert first.startswith(f"8 of {COUNT} rows cannot be used; mend them, or leave them out with --skip-bad")
    assert lines == [*SAID, "10.png: not a picture in any format that Pillow reads"]


def failing(files, titles):
    """Of the last picture there is no prediction."""
    table = known(files, titles)
    table.loc[len(table) - 1, ["prediction", "low", "high"]] = np.nan
    table.loc[len(table) - 1, "problem"] = "39.png: cut short"
    return table


def test_what_the_model_cannot_read_is_named(pictures):
    first, lines = refused(pictures, ask=failing)
    assert first.startswith(f"1 of {COUNT} rows")
    assert lines == ["39.png: cut short"]


def test_bad_rows_are_left_out_and_counted_if_asked_for(pictures):
    found = evaluate(pictures, BAD, ask=failing, skip_bad=True)
    assert found.bad == [*SAID, "39.png: cut short"]
    numbers = found.numbers
    assert (numbers["n"], numbers["left_out"]) == (32, 8)
    left = [0, *range(8, 39)]
    expected = score_measures.spearman(TRUTH[left], ANSWERS["prediction"].to_numpy()[left])
    assert numbers["all"]["spearman"] == pytest.approx(expected, abs=1e-6)
    assert list(found.rows["id"]) == [NAMES[i] for i in left]


def test_none_is_left(pictures):
    first, lines = refused(pictures, BAD[1:4], skip_bad=True, ask=known)
    assert first == "3 of 3 rows cannot be used; none is left:"
    assert len(lines) == 3


def test_named_columns_must_be_filled(pictures):
    table = TABLE.astype({"kind": object, "h": object, "fa": object})
    table.loc[1, "kind"] = table.loc[2, "h"] = table.loc[3, "fa"] = None
    table.loc[4, "h"] = 101
    _, lines = refused(pictures, table, category="kind", **COUNTS)
    assert lines == [
        "01.png: no category",
        "02.png: no hits",
        "03.png: no false alarms",
        "04.png: 101 hits of 100 answers",
    ]


def test_scores_in_per_cent_are_seen_as_such(pictures):
    _, lines = refused(pictures, TABLE.assign(score=100 * TRUTH))
    assert len(lines) == COUNT
    assert "`scale: 100`" in lines[0]


def test_clips_are_not_decoded_as_pictures(here):
    (here / "00.png").write_bytes(b"a clip")
    _, lines = refused(here, BAD, clips=True)
    assert lines == SAID


# What is said


def test_the_text(pictures):
    numbers = evaluate(pictures, category="kind", **COUNTS).numbers
    lines = evaluate_on_text.text(numbers, table="mine.csv", confidence=0.9).splitlines()
    assert lines[0] == "mine.csv: 40 rows; 5 of them seen in training"
    assert lines[1].split() == ["all", "(40)", "not", "seen", "(35)"]
    rho = next(line for line in lines if line.startswith("  rho  "))
    for block in (numbers["all"], numbers["unseen"]):
        assert f"{block['spearman']:.3f}  {block['spearman_low']:.3f} to {block['spearman_high']:.3f}" in rho
    share = numbers["all"]["spearman"] / numbers["all"]["people"]["attainable"]
    assert any(line.split("attainable")[-1].split()[:1] == [f"{share:.0%}"] for line in lines)
    coverage = numbers["all"]["intervals"]["coverage"]
    assert any(line.split()[:5] == ["covered", "by", "90%", "intervals", f"{coverage:.3f}"] for line in lines)
    assert lines[-2].split()[:3] == ["food", "n", "20"]


def test_the_text_of_few_rows_and_of_some_left_out(pictures):
    found = evaluate(pictures, BAD[:2], skip_bad=True)
    lines = evaluate_on_text.text(found.numbers, table="mine.csv", confidence=0.9).splitlines()
    assert lines[0] == "mine.csv: 1 rows, 1 more left out; 1 of them seen in training"
    assert lines[1].split() == ["rho", "-"]


def test_a_model_that_cannot_tell_what_it_has_seen(pictures):
    answers = ANSWERS.assign(seen=False)
    numbers = evaluate(pictures, ask=lambda files, titles: answers, knows_seen=False).numbers
    assert numbers["seen"] is None
    assert "unseen" not in numbers
    text = evaluate_on_text.text(numbers, table="mine.csv", confidence=0.9)
    assert text.startswith("mine.csv: 40 rows; it is not known which of them were seen in training\n")


def test_long_names(pictures):
    _, lines = refused(pictures, TABLE.assign(file="x" * 300)[:1])
    assert lines == [f"{'x' * 300}: no such file"]
