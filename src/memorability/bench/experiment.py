"""An experiment to be run: pictures, conditions files for PsychoPy and jsPsych, and a page that runs in any browser.

The page `experiment.html` is plain JavaScript that needs nothing else. `jspsych.html` is the same experiment in jsPsych (de Leeuw,
Gilbert and Luchterhandt 2023), which the user gives: it is no part of this package. Nothing is fetched while either runs, and
both save the same columns, those of jsPsych.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from memorability.bench import sequence
from memorability.bench.sequence import Lags
from memorability.core.errors import DataError, listing
from memorability.core.files import staged_folder, write_text
from memorability.data import duplicates, tables
from memorability.data.known import BITS

KINDS: Final = ("psychopy", "jspsych", "page")
KEY: Final = "space"  # for "seen before"; no key: "not seen"
STIMULI: Final = "stimuli"
LIBRARY: Final = "jspsych"  # the folder of jsPsych beside the page, and within what npm installs what becomes which file of it
COPIED: Final = {
    "jspsych.js": "jspsych/dist/index.browser.min.js",
    "jspsych.css": "jspsych/css/jspsych.css",
    **{
        f"{plugin}.js": f"@jspsych/{plugin}/dist/index.browser.min.js"
        for plugin in ("plugin-preload", "plugin-html-keyboard-response", "plugin-image-keyboard-response")
    },
}
PACKAGES: Final = "jspsych@8 " + " ".join(f"@jspsych/{file[:-3]}@2" for file in COPIED if "plugin" in file)


@dataclass(frozen=True)
class Timing:
    """Milliseconds that a picture is shown, and between two of them (Isola et al. 2011: 1,000 and 1,400). Keys count in both."""

    shown: int = 1000
    gap: int = 1400


def roles(
    listed: pd.DataFrame, targets: Sequence[str], *, fillers: int, vigilance: int, seed: int
) -> tuple[list[str], list[str]]:
    """Fillers and vigilance items, drawn of pictures that are neither targets nor near-duplicates of any that are shown.

    Args:
        listed: item, phash, content, sha256 of all pictures.

    Raises:
        DataError: targets are not there, or there are too few other pictures.
    """
    missing = sorted(set(targets) - set(listed["item"]))
    if missing:
        raise DataError(f"{len(missing)} targets are no pictures of the folder:\n{listing(missing)}")
    groups = duplicates.groups(listed, bits=BITS)
    is_target = listed["item"].isin(list(targets)).to_numpy(bool)
    others = np.flatnonzero(~is_target & ~np.isin(groups, groups[is_target]))
    others = others[~pd.Series(groups[others]).duplicated().to_numpy()]
    if len(others) < fillers + vigilance:
        raise DataError(
            f"{fillers} fillers and {vigilance} vigilance items are wished; of {len(listed)} pictures {len(others)} are neither "
            "targets nor near-duplicates"
        )
    drawn = np.random.default_rng(seed).permutation(others)[: fillers + vigilance]
    names = [str(name) for name in listed["item"].iloc[drawn]]
    return names[:fillers], names[fillers:]


def orders(
    targets: Sequence[str],
    *,
    fillers: Sequence[str],
    vigilance: Sequence[str],
    lags: Lags,
    vigilance_lags: Lags,
    lists: int,
    seed: int,
) -> list[pd.DataFrame]:
    """One order for each list, as `sequence.order` with the column list, numbered from 1."""
    return [
        sequence.order(
            targets,
            vigilance=vigilance,
            fillers=fillers,
            lags=lags,
            vigilance_lags=vigilance_lags,
            seed=seed + number,
        ).assign(list=number + 1)
        for number in range(lists)
    ]


def write(
    made: Sequence[pd.DataFrame],
    root: Path,
    to: Path,
    *,
    kinds: Sequence[str] = KINDS,
    timing: Timing | None = None,
    library: Path | None = None,
) -> None:
    """Writes a folder that can be handed out: pictures under neutral names, and what each of the kinds needs.

    conditions_NN.csv (PsychoPy, a file a list), jspsych_timeline.js with jspsych.html and, where it is given, a copy of
    jsPsych, and experiment.html.

    Args:
        made: of `orders`.
        root: the folder that items are paths in.
        kinds: some of `KINDS`.
        library: the folder node_modules into which npm has installed `PACKAGES`.

    Raises:
        DataError: no such kind, or files of jsPsych are not there.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise DataError(
            f"kinds of experiment: received {', '.join(unknown) or 'none'}; valid: {', '.join(KINDS)}"
        )
    timing = timing or Timing()
    with staged_folder(to) as folder:
        names = _copied(sorted(set(pd.concat(list(made))["item"])), root, folder)
        lists = [_conditions(table, names) for table in made]
        if "psychopy" in kinds:
            for number, table in enumerate(lists, start=1):
                tables.write(table, folder / f"conditions_{number:02d}.csv")
        trials = [json.loads(table.drop(columns="correct_key").to_json(orient="records")) for table in lists]
        if "jspsych" in kinds:
            write_text(folder / "jspsych_timeline.js", _filled_in("jspsych_timeline.js", trials, timing))
            write_text(folder / "jspsych.html", _filled_in("jspsych.html", trials, timing))
            if library is not None:
                copy_library(library, folder / LIBRARY)
        if "page" in kinds:
            write_text(folder / "experiment.html", _filled_in("experiment.html", trials, timing))


def _copied(items: Sequence[str], root: Path, folder: Path) -> dict[str, str]:
    """Item -> the path of its copy, whose name says nothing and has no spaces."""
    (folder / STIMULI).mkdir()
    names = {item: f"{STIMULI}/{i:05d}{Path(item).suffix.lower()}" for i, item in enumerate(items)}
    for item, name in names.items():
        shutil.copyfile(root / item, folder / name)
    return names


def copy_library(library: Path, to: Path) -> None:
    """Copies jsPsych's files (`COPIED`) into a new folder.

    Raises:
        DataError: some are not there (it names them).
    """
    missing = [path for path in COPIED.values() if not (library / path).is_file()]
    if missing:
        raise DataError(
            f"{library}: no {', '.join(missing)}; valid: the folder node_modules after npm install {PACKAGES}"
        )
    to.mkdir()
    for name, path in COPIED.items():
        shutil.copyfile(library / path, to / name)


def _conditions(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """The columns of a conditions file; their names are names of variables, as PsychoPy wants them."""
    return pd.DataFrame(
        {
            "stimulus": table["item"].map(names),
            "item": table["item"],
            "old_or_new": table["old_or_new"],
            "role": table["role"],
            "lag": table["lag"],
            "list": table["list"],
            "correct_key": table["old_or_new"].map({"old": KEY, "new": "None"}),
        }
    )


def _filled_in(template: str, trials: list[Any], timing: Timing) -> str:
    """A template of this package with the trials of each list and the times."""
    text = resources.files("memorability.bench").joinpath("templates", template).read_text(encoding="utf-8")
    # "</" would end the page's script; a line of JSON may not have these two, which JavaScript took for line ends.
    lists = json.dumps(trials).replace("</", "<\\/").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    values = {"LISTS": lists, "SHOWN": str(timing.shown), "GAP": str(timing.gap)}
    for name, value in values.items():
        text = text.replace(f"/*{name}*/ null", value)
    return text
