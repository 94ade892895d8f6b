"""Orders of trials, conditions files, and the page, run by a scripted participant whose answers are read back."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memorability.bench import answers, experiment, folder, reliability, sequence, validate
from memorability.core.errors import DataError

CHROMIUM = shutil.which("chromium")
JSPSYCH = os.environ.get("MEMORABILITY_JSPSYCH")  # a node_modules folder: it is no part of this project
TARGETS = [f"t{i:02d}" for i in range(20)]
WATCH, REST = ["v0", "v1", "v2"], [f"f{i:02d}" for i in range(25)]


def test_every_repeat_comes_at_its_lag_and_every_item_as_often_as_its_role_says() -> None:
    made = sequence.order(
        TARGETS, vigilance=WATCH, fillers=REST, lags=(20, 30), vigilance_lags=(1, 4), seed=3
    )
    assert len(made) == 2 * 23 + 25
    shown = made.groupby("item").indices
    for item in (*TARGETS, *WATCH):
        first, second = shown[item]
        low, high = (20, 30) if item in TARGETS else (1, 4)
        assert low <= second - first <= high
        assert made["old_or_new"].iloc[[first, second]].tolist() == ["new", "old"]
        assert made["lag"].iloc[second] == second - first
    assert (made["role"] == "filler").sum() == 25
    again = sequence.order(
        TARGETS, vigilance=WATCH, fillers=REST, lags=(20, 30), vigilance_lags=(1, 4), seed=3
    )
    assert made.equals(again)
    other = sequence.order(
        TARGETS, vigilance=WATCH, fillers=REST, lags=(20, 30), vigilance_lags=(1, 4), seed=4
    )
    assert not made["item"].equals(other["item"])


def test_lags_that_nothing_can_hold_are_refused() -> None:
    with pytest.raises(DataError, match="no order of 40 trials has 20 targets at lags of 50 to 60"):
        sequence.order(TARGETS, lags=(50, 60))
    with pytest.raises(DataError, match="received 5 to 2"):
        sequence.order(TARGETS, lags=(5, 2))
    with pytest.raises(DataError, match="each item in one role"):
        sequence.order(TARGETS, fillers=["t00"], lags=(1, 9))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures") / "my pictures"
    root.mkdir()
    rng = np.random.default_rng(0)
    for i in range(24):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / f"picture {i:02d}.png")
    return root


@pytest.fixture(scope="module")
def made(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("experiment") / "out"
    listed, _ = folder.pictures_of(pictures)
    targets = list(listed["item"][:12])
    rest, watch = experiment.roles(
        folder.measure(listed, statistics=False, hashed=True), targets, fillers=6, vigilance=2, seed=0
    )
    orders = experiment.orders(
        targets, fillers=rest, vigilance=watch, lags=(4, 14), vigilance_lags=(1, 3), lists=2, seed=0
    )
    experiment.write(orders, pictures, to, timing=experiment.Timing(shown=20, gap=15))
    return to


def test_conditions_files_have_relative_paths_and_names_of_variables(made: Path) -> None:
    table = pd.read_csv(made / "conditions_02.csv", keep_default_na=False)
    assert all(name.isidentifier() for name in table.columns)
    assert len(table) == 2 * 14 + 6
    for path, item in zip(table["stimulus"], table["item"], strict=True):
        assert re.fullmatch(r"stimuli/\d{5}\.png", path)
        assert (made / path).is_file()
        assert item.startswith("picture ")
    assert set(zip(table["old_or_new"], table["correct_key"], strict=True)) == {
        ("old", "space"),
        ("new", "None"),
    }


def test_the_timeline_for_jspsych_holds_the_same_trials(made: Path) -> None:
    text = (made / "jspsych_timeline.js").read_text()
    found = re.search(r"const memorabilityLists = (\[.*?\]\]?);\n", text)
    assert found is not None
    lists: list[list[dict[str, Any]]] = json.loads(found[1])
    table = pd.read_csv(made / "conditions_01.csv", keep_default_na=False)
    assert [one["stimulus"] for one in lists[0]] == list(table["stimulus"])
    assert "null;\n" not in text


def test_near_duplicates_of_targets_are_no_fillers(pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "p")
    shutil.copy(tmp_path / "p/picture 00.png", tmp_path / "p/zcopy.png")
    listed = folder.measure(folder.pictures_of(tmp_path / "p")[0], statistics=False, hashed=True)
    rest, watch = experiment.roles(listed, ["picture 00.png"], fillers=20, vigilance=3, seed=1)
    assert "zcopy.png" not in {*rest, *watch}
    with pytest.raises(DataError, match="30 fillers and 0 vigilance items are wished; of 25 pictures 23"):
        experiment.roles(listed, ["picture 00.png"], fillers=30, vigilance=0, seed=1)
    with pytest.raises(DataError, match=r"1 targets are no pictures of the folder:\n  x.png"):
        experiment.roles(listed, ["x.png"], fillers=1, vigilance=0, seed=1)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *given: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address(made: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(made)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


# Presses the space bar for pictures that it has seen before, but forgets some, each person others. It presses in
# the same turn of the page's loop as the picture comes (no timer): no busy machine can make it miss its trial.
SCRIPT = """([person, stage]) => {
  const seen = new Set(); let last = null;
  const look = () => {
    const picture = document.querySelector(stage + ' img');
    if (!picture || picture === last) { if (!picture) last = null; return; }
    last = picture;
    const number = Number(picture.src.match(/stimuli\\/(\\d{5})/)[1]);
    const remembers = (number * 7 + person * 5) % 11 < 3 + number % 9;
    if (seen.has(number) ? remembers : (number + person) % 13 === 0)
      for (const kind of ['keydown', 'keyup'])
        document.querySelector(stage).dispatchEvent(new KeyboardEvent(kind, { key: ' ', bubbles: true }));
    seen.add(number);
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
}"""


def taken_part(address: str, page_name: str, *, stage: str, begin: str, to: Path) -> pd.DataFrame:
    """The answers that four participants have saved at the end, in one table."""
    api = pytest.importorskip("playwright.sync_api")
    tables: list[pd.DataFrame] = []
    with api.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        saved: list[Any] = []
        for person in range(4):  # all at once
            page = browser.new_page()
            page.on("download", lambda one: saved.append(one))
            page.goto(f"{address}/{page_name}?participant=p{person}&list={1 + person % 2}")
            page.wait_for_selector(begin)
            page.evaluate(SCRIPT, [person, stage])
            page.keyboard.press("Space") if page_name == "jspsych.html" else page.click(begin)
        for _ in range(400):
            if len(saved) == 4:
                break
            page.wait_for_timeout(50)
        assert sorted(one.suggested_filename for one in saved) == [f"answers_p{k}.csv" for k in range(4)]
        tables += [pd.read_csv(one.path(), keep_default_na=False, dtype=str) for one in saved]
        browser.close()
    joined = pd.concat(tables, ignore_index=True)
    joined.to_csv(to, index=False)
    return joined[joined["item"] != ""]


def check_answers(saved: pd.DataFrame, file: Path) -> None:
    """They are what the script has pressed, and `reliability` and `validate` read them."""
    assert len(saved) == 4 * 34
    assert {"trial_type", "trial_index", "time_elapsed", "rt", "stimulus", "response"} <= set(saved)
    read = answers.read(file)
    assert len(read.items) == 12
    assert (read.items[["responses", "false_alarm_responses"]] == 4).all(axis=None)
    number = saved["stimulus"].str.extract(r"/(\d{5})")[0].astype(int)
    person = saved["participant"].str[1:].astype(int)
    expected = (number * 7 + person * 5) % 11 < 3 + number % 9
    own = (saved["role"] == "target") & (saved["old_or_new"] == "old")
    assert read.items["hits"].sum() == expected[own].sum()
    found = reliability.reliability(read, measure="hit_rate", repeats=20, bootstrap=20)
    assert found.participants == 4
    said = pd.DataFrame({"item": read.items["item"], "model": np.arange(12.0)})
    assert len(validate.validate(said, read, measure="hit_rate", bootstrap=20, repeats=4).rows) == 12


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_scripted_participants_answers_are_read_back(address: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    saved = taken_part(address, "experiment.html", stage="#stage", begin="#begin:enabled", to=file)
    assert set(saved["response"]) == {" ", "null"}
    check_answers(saved, file)


@pytest.mark.skipif(
    CHROMIUM is None or JSPSYCH is None, reason="no Chromium, or MEMORABILITY_JSPSYCH names no jsPsych"
)
def test_the_same_participants_in_jspsych_itself(address: str, made: Path, tmp_path: Path) -> None:
    experiment.copy_library(Path(str(JSPSYCH)), made / "jspsych")
    file = tmp_path / "answers.csv"
    begin = "#jspsych-html-keyboard-response-stimulus"
    saved = taken_part(address, "jspsych.html", stage=".jspsych-content", begin=begin, to=file)
    check_answers(saved, file)


def test_a_folder_without_jspsych_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no jspsych/dist/index.browser.min.js, .* npm install jspsych@8 @jsp"
    ):
        experiment.copy_library(tmp_path, tmp_path / "jspsych")
    assert not (tmp_path / "jspsych").exists()
