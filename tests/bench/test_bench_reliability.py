"""Reliability of people's answers: right values, coverage of the intervals, faults named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm

from memorability.bench import answers as people
from memorability.bench import binomial, reliability
from memorability.core.errors import DataError
from memorability.data import recognition

ITEMS, PEOPLE = 60, 40


def study(seed: int, *, items: int = ITEMS, participants: int = PEOPLE, spread: float = 0.6) -> pd.DataFrame:
    """Trials of simulated participants: each answers to each item as a new and as an old one."""
    rng = np.random.default_rng(seed)
    latent, ability = rng.normal(0, spread, items), rng.normal(0, 0.4, participants)
    old = rng.random((participants, items)) < 1 / (1 + np.exp(-(0.7 + latent + ability[:, None])))
    new = rng.random((participants, items)) < 1 / (1 + np.exp(-(-1.5 - 0.3 * latent + ability[:, None])))
    rows = [
        pd.DataFrame(
            {
                "participant": np.repeat(np.arange(participants), items).astype(str),
                "item": np.tile([f"i{i:03d}" for i in range(items)], participants),
                "old_or_new": kind,
                "response": np.where(said.ravel(), "old", "new"),
            }
        )
        for kind, said in (("new", new), ("old", old))
    ]
    return pd.concat(rows, ignore_index=True)


def counts(seed: int, **more: int) -> people.Answers:
    return people.Answers(people.of_trials(study(seed, **more)).items)


def truth(participants: int = PEOPLE) -> float:
    """The correlation of scores of two other sets of participants, over very many items."""
    rng = np.random.default_rng(99)
    latent = rng.normal(0, 0.6, 20_000)
    scores = []
    for _ in range(2):
        ability = rng.normal(0, 0.4, (participants, 1))
        hits = rng.random((participants, len(latent))) < 1 / (1 + np.exp(-(0.7 + latent + ability)))
        alarms = rng.random((participants, len(latent))) < 1 / (1 + np.exp(-(-1.5 - 0.3 * latent + ability)))
        scores.append(hits.mean(axis=0) - alarms.mean(axis=0))
    return float(np.corrcoef(*scores)[0, 1])


def test_the_interval_holds_the_true_reliability_in_90_of_100_studies() -> None:
    true, within = truth(), 0
    for seed in range(100):
        found = reliability.reliability(
            people.of_trials(study(seed)), correlation="pearson", repeats=20, bootstrap=200, seed=seed
        )
        assert found.reliability_low is not None
        assert found.reliability_high is not None
        within += found.reliability_low <= true <= found.reliability_high
    assert within >= 90


def test_as_many_answers_as_are_needed_have_the_wished_reliability() -> None:
    needed = [
        reliability.reliability(
            people.of_trials(study(seed, participants=15)),
            correlation="pearson",
            wished=0.85,
            repeats=30,
            bootstrap=2,
        ).needed_old
        for seed in range(20)
    ]
    assert truth(int(np.median([n for n in needed if n is not None]))) == pytest.approx(0.85, abs=0.03)


def test_spearman_brown_is_what_a_simulation_of_parallel_halves_gives() -> None:
    rng = np.random.default_rng(0)
    latent = rng.normal(size=100_000)
    half = [latent + rng.normal(size=100_000) for _ in range(4)]
    r = np.corrcoef(half[0], half[1])[0, 1]
    whole = np.corrcoef(half[0] + half[1], half[2] + half[3])[0, 1]
    assert reliability.spearman_brown(r) == pytest.approx(whole, abs=0.01)
    assert reliability.times_needed(r, whole) == pytest.approx(2, abs=0.05)


def test_trials_and_their_counts_agree_on_the_reliability() -> None:
    trials = people.of_trials(study(1))
    of_people = reliability.reliability(trials, repeats=50, bootstrap=50)
    of_counts = reliability.reliability(counts(1), repeats=50, bootstrap=50)
    assert of_people.participants == PEOPLE
    assert of_counts.participants is None
    assert of_people.split_half == pytest.approx(of_counts.split_half, abs=0.06)


def test_the_same_seed_gives_the_same_numbers() -> None:
    one, two = (reliability.reliability(counts(2), repeats=5, bootstrap=20) for _ in range(2))
    assert one == two


def test_d_prime_and_criterion_equal_the_closed_form() -> None:
    found = reliability.items(
        people.of_counts(
            pd.DataFrame(
                {"item": ["a", "b"], "hits": [10, 7], "responses": [10, 9]}
                | {"false_alarms": [0, 3], "false_alarm_responses": [20, 12]}
            )
        )
    )
    h, f = np.array([10.5 / 11, 7.5 / 10]), np.array([0.5 / 21, 3.5 / 13])
    assert found["d_prime"].to_numpy() == pytest.approx(norm.ppf(h) - norm.ppf(f))
    assert found["criterion"].to_numpy() == pytest.approx(-(norm.ppf(h) + norm.ppf(f)) / 2)
    assert found["corrected"].to_numpy() == pytest.approx([1, 7 / 9 - 3 / 12])
    assert found["high_threshold"].to_numpy() == pytest.approx([1, (7 / 9 - 0.25) / 0.75])


def test_a_prime_is_a_half_at_chance_and_mirrored_below_it() -> None:
    ten = np.array(10.0)
    assert recognition.a_prime(np.array(3.0), ten, np.array(3.0), ten) == 0.5
    above = recognition.a_prime(np.array(8.0), ten, np.array(2.0), ten)
    assert above == pytest.approx(0.5 + 0.6 * 1.6 / (4 * 0.8 * 0.8))
    assert recognition.a_prime(np.array(2.0), ten, np.array(8.0), ten) == pytest.approx(1 - above)


def test_wilson_intervals_are_those_of_scipy() -> None:
    low, high = binomial.wilson(np.array([0, 3, 12]), np.array([12, 12, 12]))
    expected = [binomtest(k, 12).proportion_ci(method="wilson") for k in (0, 3, 12)]
    assert low == pytest.approx([one.low for one in expected])
    assert high == pytest.approx([one.high for one in expected])


def test_newcombes_interval_is_that_of_his_example() -> None:
    low, high = binomial.difference(np.array(56), np.array(70), np.array(48), np.array(80))
    assert (float(low), float(high)) == pytest.approx((0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.rename(columns={"participant": "subject"}), "no column participant"),
        (lambda t: pd.concat([t, t.iloc[[3]]]), "the same trial twice"),
        (
            lambda t: t.assign(response=t["response"].mask(t.index == 4, "perhaps")),
            "row 6: response is neither",
        ),
        (lambda t: t.assign(item=t["item"].mask(t.index == 2)), "row 4: no item"),
        (lambda t: t[t["old_or_new"] == "old"], "there are none; take hit_rate"),
        (
            lambda t: t.drop_duplicates(["item", "old_or_new"]),
            "items have under 2 answers to old trials:\n  i000: 1",
        ),
        (lambda t: t.assign(response="old"), "all items are the same"),
    ],
)
def test_faults_are_named(change: object, said: str, tmp_path: Path) -> None:
    change(study(0, items=5, participants=6)).to_csv(tmp_path / "a.csv", index=False)  # type: ignore[operator]
    with pytest.raises(DataError, match=said):
        reliability.reliability(people.read(tmp_path / "a.csv"), repeats=3)


def test_counts_that_cannot_be_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("item,hits,responses\na,3,4\nb,5,4\na,1,4\nc,,4\n")
    with pytest.raises(DataError) as caught:
        people.read(tmp_path / "a.csv")
    assert "row 3: more hits" in str(caught.value)
    assert "row 4: the item is there twice ('a')" in str(caught.value)
    assert "row 5: counts are missing" in str(caught.value)


def test_old_and_new_trials_may_differ_in_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "item,hits,responses,false_alarms,false_alarm_responses\na,3,4,1,9\nb,1,4,3,8\nc,2,4,5,9\n"
    )
    read = people.read(tmp_path / "a.csv")
    assert reliability.items(read)["corrected"].tolist() == pytest.approx(
        [3 / 4 - 1 / 9, 1 / 4 - 3 / 8, 2 / 4 - 5 / 9]
    )


@pytest.mark.parametrize("header", ["item,day2,responses,hits", "item,hits,responses,day2"])
def test_the_column_that_a_user_names_counts_wherever_it_stands(header: str, tmp_path: Path) -> None:
    day2, hits = (header.split(",").index(name) for name in ("day2", "hits"))
    row = ["a", "", "9", ""]
    row[day2], row[hits] = "2", "7"
    (tmp_path / "a.csv").write_text(f"{header}\n{','.join(row)}\n")
    assert people.read(tmp_path / "a.csv").items["hits"].tolist() == [7]
    assert people.read(tmp_path / "a.csv", columns={"hits": "day2"}).items["hits"].tolist() == [2]
    with pytest.raises(DataError, match="no column day3; it has item"):
        people.read(tmp_path / "a.csv", columns={"false_alarms": "day3"})
    with pytest.raises(DataError, match="no hit is read; valid: participant, item"):
        people.read(tmp_path / "a.csv", columns={"hit": "day2"})


def test_jspsych_data_are_read_key_for_key(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "trial_type,participant,item,old_or_new,role,response\nhtml,,,,,x\n"
        'image,p1,a.jpg,new,target,null\nimage,p1,f.jpg,new,filler," "\nimage,p1,a.jpg,old,target," "\n'
    )
    read = people.read(tmp_path / "a.csv")
    assert read.items.iloc[0].tolist() == ["a.jpg", 1, 1, 0, 1]
