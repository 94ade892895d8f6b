"""`memorability experiment`: conditions files and a page for a continuous-recognition experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memorability.cli import common
from memorability.core.errors import DataError


def experiment(
    folder: Annotated[Path, typer.Argument(help="A folder of pictures: targets and others.")],
    targets: Annotated[
        Path,
        typer.Option(
            help="CSV with a column item: pictures that come twice, such as selected.csv of select."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write, which is replaced.")],
    fillers: Annotated[int, typer.Option(min=0, help="Pictures that come once.")] = 80,
    vigilance: Annotated[int, typer.Option(min=0, help="Pictures that come again soon.")] = 20,
    lags: Annotated[str, typer.Option(help="Places from a target to its repeat.")] = "91-109",
    vigilance_lags: Annotated[str, typer.Option(help="Of vigilance repeats.")] = "1-7",
    lists: Annotated[int, typer.Option(min=1, max=99, help="Orders, each drawn anew.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    shown: Annotated[int, typer.Option(min=1, help="Milliseconds of a picture.")] = 1000,
    gap: Annotated[int, typer.Option(min=0, help="Milliseconds between pictures.")] = 1400,
    psychopy: Annotated[bool, typer.Option("--psychopy", help="Conditions files for PsychoPy.")] = False,
    jspsych: Annotated[bool, typer.Option("--jspsych", help="A timeline and a page for jsPsych.")] = False,
    jspsych_js: Annotated[
        Path | None,
        typer.Option(help="The folder node_modules with your jsPsych, which is copied beside its page."),
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="A page that runs in a browser by itself.")] = False,
) -> None:
    """Writes a memory experiment: every target twice, among fillers and vigilance repeats; all kinds, or those named.

    Example: memorability experiment pictures --targets sets/selected.csv --lists 4 -o experiment
    """
    from memorability.bench import experiment as bench
    from memorability.bench import folder as pictures
    from memorability.data.datasets.common import read_csv

    chosen = list(dict.fromkeys(map(str, read_csv(targets, ["item"])["item"].dropna())))
    listed, said = pictures.pictures_of(folder)
    common.note(said)
    hashed = pictures.measure(listed, statistics=False, hashed=True)
    rest, watch = bench.roles(hashed, chosen, fillers=fillers, vigilance=vigilance, seed=seed)
    made = bench.orders(
        chosen,
        fillers=rest,
        vigilance=watch,
        lags=_span(lags),
        vigilance_lags=_span(vigilance_lags),
        lists=lists,
        seed=seed,
    )
    given = {"psychopy": psychopy, "jspsych": jspsych, "page": page}
    kinds = [kind for kind, asked in given.items() if asked] or list(bench.KINDS)
    bench.write(made, folder, out, kinds=kinds, timing=bench.Timing(shown, gap), library=jspsych_js)
    print(f"{lists} lists of {len(made[0])} trials ({', '.join(kinds)}) in {out}")
    if "jspsych" in kinds and jspsych_js is None:
        print(
            f"jspsych.html needs jsPsych beside it: npm install {bench.PACKAGES}, then --jspsych-js node_modules"
        )


def _span(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    try:
        return int(low), int(high or low)
    except ValueError as error:
        raise DataError(f"lags: received {text!r}; valid: such as 91-109") from error
