"""`memorability evaluate`: a model against the truth of any table."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from memorability.cli import common
from memorability.core import layout


def evaluate(
    model: Annotated[str, typer.Argument(help="A model's name or folder.")],
    on: Annotated[Path, typer.Option(help="A table (CSV) of files with their true scores.")],
    root: Annotated[
        Path | None, typer.Option(help="The folder that the files are named in; by default the table's.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="The data set that it is of, such as memcat; by default the table's name."),
    ] = None,
    file: Annotated[str, typer.Option(help="The table's column of files.")] = "file",
    score: Annotated[str, typer.Option(help="Its column of true scores.")] = "score",
    scale: Annotated[float, typer.Option(help="The score of what all remember; 100: per cent.")] = 1.0,
    category: Annotated[str | None, typer.Option(help="Its column of categories.")] = None,
    title: Annotated[str | None, typer.Option(help="Its column of titles, of clips.")] = None,
    hits: Annotated[
        str | None, typer.Option(help="Its column of hits, for what people leave to attain.")
    ] = None,
    false_alarms: Annotated[
        str | None, typer.Option(help="Of false alarms; without it scores are those of hits alone.")
    ] = None,
    responses: Annotated[str | None, typer.Option(help="Of the answers behind each score.")] = None,
    false_alarm_responses: Annotated[
        str | None, typer.Option(help="Of answers to an item as a new one, where they are not as many.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out, and count, rows that cannot be used.")
    ] = False,
    confidence: Annotated[
        float, typer.Option(help="With which a score's interval is to hold the truth, between 0 and 1.")
    ] = 0.9,
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = layout.MODELS,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A CSV to write, of every row with its prediction.")
    ] = None,
) -> None:
    """Holds a model's scores against the truth of any table: what it is worth on data that it was not made for.

    Example: memorability evaluate photos --on ratings.csv --root pictures
    """
    from memorability.experiments import evaluate_on, evaluate_on_text
    from memorability.predict import choice, report
    from memorability.predict.printable import printable
    from memorability.predict.tabled import knows_seen, may_have_seen, tabled

    columns = {
        **{"file": file, "score": score, "category": category, "title": title, "responses": responses},
        **{"hits": hits, "false_alarms": false_alarms, "false_alarm_responses": false_alarm_responses},
    }
    source = evaluate_on.source(on, root=root, scale=scale, columns=columns)
    predictor, said = choice.named(
        model, common.project(models), device=common.device(), confidence=confidence
    )
    of = on.stem if dataset is None else dataset
    found = evaluate_on.evaluate(
        source,
        partial(tabled, predictor, dataset=of),
        clips=predictor.clips,
        knows_seen=knows_seen(predictor, dataset=of),
        skip_bad=skip_bad,
    )
    if common.is_first():
        if out is not None:
            found.write(out)
        if as_json:
            asked = {"table": str(on), "confidence": confidence}
            print(json.dumps({**asked, **said.as_dict(), **found.numbers, "bad": found.bad}, indent=2))
        else:
            print(said.line())
            print(evaluate_on_text.text(found.numbers, table=str(on), confidence=confidence))
        notes = report.notes([said], None)
        if may_have_seen(predictor, of):
            notes.append(f"it was trained on {of}; nobody knows on which files of it, so all count as seen")
        common.note([*notes, *(f"left out: {printable(line)}" for line in found.bad)])
