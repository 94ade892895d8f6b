"""A search of one variable at a time: its trials, what is kept, what is read, and that it goes on after a stop."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pytest
import searching
import worlds
from processes import Child

from memorability.core import states
from memorability.core.errors import DataError, ParamsError, StateError, TrainingError
from memorability.experiments import search
from memorability.experiments.search import trials
from memorability.experiments.train import train

STRENGTHS = {
    "model": "ridge",
    "method": "one_at_a_time",
    "score": "mse",
    "space": {"alphas": [[0.1], [1.0], [1000.0]]},
}
WIDTHS = {
    "model": "pix2pix",
    "method": "one_at_a_time",
    "score": "l1",
    "space": {
        "discriminator.width": [4, 8],
        "both": [{"normalisation": "instance", "width": 4}, {"optimiser": "sgd", "lr": 0.01}],
        "layers": [4, 5],
    },
}


def test_each_variable_is_tried_with_the_others_at_their_best(here):
    searching.asked(here, "gan", **WIDTHS)
    printed = search.run(searching.params(), "gan")
    found = searching.found(here, "gan")
    assert list(found["variable"]) == ["", *["discriminator.width"] * 2, *["both"] * 2, *["layers"] * 2]
    changes = [json.loads(text) for text in found["changes"]]
    kept = found["kept"] == "yes"
    best, score = {}, float(found["l1"][0])
    for variable, rows in found[1:].groupby("variable", sort=False):
        for row in rows.index:
            assert {**best, **changes[row]} == changes[row]  # the best so far, and the value that is tried
            assert set(changes[row]) - set(best) <= {variable, "normalisation", "width", "optimiser", "lr"}
        of = pd.to_numeric(rows["l1"], errors="coerce")
        if of.min() < score:
            best, score = changes[of.idxmin()], of.min()
            assert list(rows.index[kept[rows.index]]) == [of.idxmin()]
    assert f"{score:.4f}" in printed
    assert found["trial"][2] == found["trial"][0]  # 8 is what it has: one trial in two lines
    assert found["trial"].nunique() == 5
    pictures = here / "plots" / "figures" / "searches" / "gan"
    assert {file.name for file in pictures.iterdir()} == {"curves.pdf", "curves.svg", "curves.png"}
    curves = pd.read_csv(here / "metrics" / "searches" / "gan" / "curves.csv")
    assert set(curves["trial"]) == set(found["trial"][found["state"] == "done"])
    assert set(curves["epoch"]) == {0, 1}


def test_settings_that_do_not_go_together_are_refused_and_passed_over(here):
    space = {"normalisation": ["instance"], "layers": [3, 5]}
    searching.asked(here, "gan", **{**WIDTHS, "change": {"epochs": 1}, "space": space})
    search.run(searching.params(), "gan")
    found = searching.found(here, "gan").set_index(["variable", "value"])
    if found["kept"]["normalisation", "instance"] == "yes":
        assert found["state"]["layers", "5"] == "refused"
        assert "one pixel, which instance" in found["said"]["layers", "5"]
    assert set(found["state"]) <= {"done", "refused"}


def test_the_winner_is_what_its_stage_would_train(here):
    """And its score is that of the leaderboard: training on all rows of the split table gives it again."""
    searching.asked(here, "gan", **{**WIDTHS, "space": {"width": [4]}})
    search.run(searching.params(), "gan")
    settings = worlds.made("pix2pix", layers=4, width=4)
    where = worlds.paths(here / "again", "pix2pix", input=here / "data" / "raw" / "maps")
    where = replace(where, raw=here / "data" / "raw" / "maps")
    train(settings, searching.table(here, "maps"), where, worlds.COMPUTE)
    history = pd.read_csv(where.predictions / "history.csv")
    assert float(searching.found(here, "gan")["l1"][1]) == pytest.approx(history["val_l1"].min(), abs=1e-6)


@pytest.mark.parametrize("block", [STRENGTHS, WIDTHS], ids=["scores", "maps"])
def test_no_test_row_is_opened(here, block):
    track = "maps" if block is WIDTHS else "images"
    block = {**block, "space": dict(list(block["space"].items())[:1])}
    searching.asked(here, "one", **block)
    search.run(searching.params(), "one")
    before = searching.found(here, "one")
    rows = searching.table(here, track)
    tested = (rows["split"] == "test").to_numpy()
    assert tested.any()
    shutil.rmtree(here / ".states")
    for column in [name for name in ("score", "map", "sha256", "offset") if name in rows]:
        rows[column] = rows[column].astype(object).where(~tested, np.nan)
    rows.to_csv(here / "data" / "splits" / f"{track}.csv", index=False)
    if track == "images":
        path = here / "data" / "features" / "small" / "features.npy"
        values = np.load(path)
        values[::-1][tested] = np.nan  # worlds.features turns the order round
        np.save(path, values)
    search.run(searching.params(), "one")
    pd.testing.assert_frame_equal(searching.found(here, "one"), before)


def test_nothing_validates(here):
    rows = searching.table(here, "images")
    rows[rows["split"] != "val"].to_csv(here / "data" / "splits" / "images.csv", index=False)
    searching.asked(here, "one", **STRENGTHS)
    with pytest.raises(DataError, match="no row validates"):
        search.run(searching.params(), "one")


def test_a_search_that_was_stopped_goes_on_and_a_longer_one_trains_only_what_is_new(here, monkeypatch):
    calls, fit = count(1), trials.train

    def stopping(*arguments, **options):
        if next(calls) == 2:
            raise KeyboardInterrupt
        fit(*arguments, **options)

    monkeypatch.setattr(trials, "train", stopping)
    searching.asked(here, "one", **STRENGTHS)
    with pytest.raises(KeyboardInterrupt):
        search.run(searching.params(), "one")
    assert not (here / "metrics").exists()
    said = search.run(searching.params(), "one")
    assert next(calls) == 5  # three strengths, one of them twice: it was stopped
    assert search.run(searching.params(), "one") == said
    assert next(calls) == 6
    record = sorted((here / ".states" / "search-one" / "trials").glob("*.json"))[0]
    record.write_bytes(record.read_bytes()[1:])
    assert search.run(searching.params(), "one") == said  # what is damaged is made again
    assert next(calls) == 8


def test_a_trial_that_fails_is_a_record_and_no_trial_at_all_an_error(here, monkeypatch):
    fit = trials.train

    def failing(settings, *arguments, **options):
        if settings.alphas != (1.0,):
            raise TrainingError("a loss is not finite")
        fit(settings, *arguments, **options)

    monkeypatch.setattr(trials, "train", failing)
    searching.asked(here, "one", **STRENGTHS)
    search.run(searching.params(), "one")
    found = searching.found(here, "one")
    assert list(found["state"]) == ["done", "failed", "done", "failed"]
    assert list(found["kept"]) == ["yes", "", "yes", ""]
    assert found["said"][1] == "a loss is not finite"
    searching.asked(here, "one", **{**STRENGTHS, "change": {"alphas": [5.0]}, "space": {"alphas": [[6.0]]}})
    with pytest.raises(TrainingError, match=r"none of the 2 trials .* a loss is not finite"):
        search.run(searching.params(), "one")


def test_an_ensemble_is_refused_since_it_is_fitted_where_a_search_selects(here):
    block = {"model": "both", "method": "one_at_a_time", "score": "spearman"}
    searching.asked(here, "one", **block, space={"weights": ["equal", "spearman"]})
    with pytest.raises(ParamsError, match=r"one.model: both is an ensemble, which is fitted on validation"):
        search.run(searching.params(), "one")


def test_two_processes_share_the_trials(here, tmp_path):
    space = {"width": [4, 5, 6, 7]}
    searching.asked(here, "gan", **{**WIDTHS, "space": space})
    log = tmp_path / "log"
    workers = [
        Child(searching.worker, here, "gan", None, str(log), output=tmp_path / f"out-{n}") for n in range(2)
    ]
    ends = [worker.end() for worker in workers]
    assert [code for code, _ in ends] == [0, 0], ends
    lines = log.read_text().splitlines()
    assert len(lines) == 5  # nothing is trained twice
    tails = [printed[printed.index("trial  variable") :] for _, printed in ends]
    assert tails[0] == tails[1]


def test_another_search_of_the_name_waits_until_nobody_is_at_the_first(here, tmp_path):
    with states.shared(here / ".states" / "search-x", "one"):
        with states.shared(here / ".states" / "search-x", "one") as folder:
            (folder / "kept").write_text("")
        with pytest.raises(StateError, match="with other settings"), states.shared(folder, "other"):
            pass
    with states.shared(folder, "one"):
        assert (folder / "kept").exists()
    with states.shared(folder, "other"):
        assert not (folder / "kept").exists()
