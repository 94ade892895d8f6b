"""`memorability reliability` and `memorability validate`: people's answers, and models against them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from memorability.cli import common
from memorability.core.errors import DataError

Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", help="NAME=THEIRS, where a table calls a column otherwise: participant=subject."
    ),
]


def reliability(
    answers: Annotated[
        Path, typer.Argument(help="CSV of trials (participant, item, old_or_new, response) or of counts.")
    ],
    measure: Annotated[
        str, typer.Option(help="corrected, hit_rate, false_alarm_rate, high_threshold, a_prime, d_prime.")
    ] = "corrected",
    correlation: Annotated[str, typer.Option(help="spearman or pearson.")] = "spearman",
    wished: Annotated[float, typer.Option(help="The reliability that answers are to be planned for.")] = 0.8,
    interval: Annotated[str, typer.Option(help="Of items' rates: wilson or jeffreys.")] = "wilson",
    repeats: Annotated[int, typer.Option(min=1, help="Random halves.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the halves and of the bootstrap.")] = 0,
    column: Columns = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A CSV of every item's scores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of lines.")] = False,
) -> None:
    """How far people agree on items, with limits, and how many answers more agreement takes.

    Example: memorability reliability answers.csv --wished 0.9 -o items.csv
    """
    from memorability.bench import answers as people
    from memorability.bench import reliability as bench
    from memorability.data import tables

    read = people.read(answers, columns=_columns(column))
    measure = measure if read.has_new or measure != "corrected" else "hit_rate"
    found = bench.reliability(
        read, measure=measure, correlation=correlation, wished=wished, repeats=repeats, seed=seed
    )
    if out is not None:
        tables.write(bench.items(read, interval=interval), out)
    print(json.dumps(found.as_dict(), indent=2) if as_json else bench.text(found))


def _columns(given: list[str] | None) -> dict[str, str]:
    pairs = [one.partition("=") for one in given or []]
    if wrong := [name for name, sign, theirs in pairs if not (name and sign and theirs)]:
        raise DataError(f"--column: received {', '.join(wrong)}; valid: NAME=THEIRS, such as item=stimulus")
    return {name: theirs for name, _, theirs in pairs}


def validate(
    predictions: Annotated[
        Path, typer.Argument(help="CSV of items and numbers: a column a model; or predict's.")
    ],
    answers: Annotated[Path, typer.Argument(help="CSV of answers, as `memorability reliability` reads it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the report, which is replaced.")],
    item: Annotated[str, typer.Option(help="The predictions' column of items.")] = "item",
    models: Annotated[
        str,
        typer.Option(help="Their columns, with commas; by default all of numbers, of predict's table score."),
    ] = "",
    measure: Annotated[str, typer.Option(help="The score of the answers, as in reliability.")] = "corrected",
    confounds: Annotated[
        Path | None,
        typer.Option(help="CSV of items and numbers that are held constant in partial correlations."),
    ] = None,
    control: Annotated[str, typer.Option(help="Its columns, with commas; by default all of numbers.")] = "",
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    column: Columns = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON of the models instead of the page.")] = False,
) -> None:
    """Models' scores against new answers of people: rho, share of the ceiling, which is better, calibration.

    Example: memorability validate scores.csv answers.csv -o report
    """
    from memorability.bench import answers as people
    from memorability.bench import predictions as scored
    from memorability.bench import validate as bench
    from memorability.bench import validate_report

    read = people.read(answers, columns=_columns(column))
    held, said = None, list[str]()
    if confounds is not None:
        held, said = bench.read_numbers(confounds, columns=_names(control))
    measure = measure if read.has_new or measure != "corrected" else "hit_rate"
    scores, more = scored.read(predictions, read.items["item"], item=item, models=_names(models))
    common.note(list(dict.fromkeys([*said, *more])))
    found = bench.validate(scores, read, measure=measure, confounds=held, seed=seed)
    validate_report.write(found, out)
    if as_json:
        print(found.models.to_json(orient="records", indent=2))
    else:
        print(validate_report.markdown(found))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
