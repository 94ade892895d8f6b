"""The card of a model: what it was made of, what it is worth, what it is not for. Made anew of its files each time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memorability.core.errors import CallError
from memorability.core.files import digest, read_json
from memorability.predict import listing
from memorability.predict.about import Project
from memorability.training import artifacts

RELEASED = "README.md"  # the card that a released model carries
OF_DRAWINGS = ("demo", "demo_videos", "demo_maps")


def card(model: listing.Model, project: Project) -> str:
    """A Markdown text; of a released model the card that came with it.

    Raises:
        DataError: the model is damaged.
    """
    folder = Path(model.folder)
    if (folder / RELEASED).is_file():
        return (folder / RELEASED).read_text(encoding="utf-8")
    config, _ = artifacts.load(folder)
    report = project.metrics / model.track / f"{model.name}.json"
    told = read_json(report).get(model.target, {}) if report.is_file() else {}
    parts = [_head(model), *_worth(model, told, project), *_intervals(told, folder), *_limits(model)]
    return "\n".join([*parts, *_use(model, config, folder)]) + "\n"


def find(name: str, project: Project) -> listing.Model:
    """The model of that name, or in that folder.

    Raises:
        CallError: there is none; names the valid ones.
    """
    known = list(listing.models(project))
    for model in known:
        if name in (model.name, model.folder):
            return model
    folder = Path(name)
    inside = listing.models(Project(models=folder.parent, metrics=project.metrics))
    for model in inside if folder.name != name else ():
        if Path(model.folder) == folder:
            return model
    raise CallError(
        f"no model {name[:80]!r}; valid: {', '.join(model.name for model in known)}, or a model's folder"
    )


def _head(model: listing.Model) -> str:
    what = {
        "images": "scores pictures: the share of people who would recognise one when it comes again",
        "videos": f"scores clips ({model.target}): the share of people who would recognise one when it comes again",
        "maps": "maps which regions of a picture are remembered",
    }[model.track]
    about = next((one["about"] for one in listing.families() if one["name"] == model.family), "")
    return (
        f"# {model.name}\n\nIt {what}.\n\n"
        f"- family: `{model.family}`: {about}\n- reads: {model.reads}\n"
        f"- trained on: {model.data or 'data that are not known here'}\n- weights: {model.bytes:,} bytes\n"
    )


def _worth(model: listing.Model, told: dict[str, Any], project: Project) -> Iterator[str]:
    yield "## Worth\n"
    splits = [split for split in ("val", "test") if split in told]
    if not splits:
        yield "It was not evaluated here (`dvc repro`, or `memorability evaluate` against a table of your own).\n"
        return
    names = [name for name in told[splits[-1]] if f"{name}_low" in told[splits[-1]]]
    heads = [f"{split}, n = {told[split]['n']:,}" for split in splits]
    yield f"| measure | {' | '.join(heads)} |"
    yield "| --- |" + " --- |" * len(splits)
    for name in names:
        cells = []
        for split in splits:
            value, low, high = (told[split].get(key) for key in (name, f"{name}_low", f"{name}_high"))
            cells.append(
                "-"
                if value is None
                else f"{value:.3f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})")
            )
        yield f"| {name} | {' | '.join(cells)} |"
    yield "\nIntervals: 95 % bootstrap over the items of the split."
    people = project.metrics / model.track / f"{model.target}.people.json"
    if people.is_file() and (found := read_json(people).get("test", {})).get("attainable"):
        yield (
            f"Human ceiling: two halves of people's answers agree at rho {found['split_half']:.3f}, so that no model can be "
            f"expected above rho {found['attainable']:.3f}."
        )
    if told[splits[-1]].get("predicted_low") is not None:
        last = told[splits[-1]]
        yield (
            f"Its predictions there lie from {last['predicted_low']:.3f} to {last['predicted_high']:.3f}, the truth from "
            f"{last['true_low']:.3f} to {last['true_high']:.3f}: extremes are pulled to the middle."
        )
    yield ""


def _intervals(told: dict[str, Any], folder: Path) -> Iterator[str]:
    evidence = artifacts.evidence(folder)
    yield "## Intervals and what it has seen\n"
    yield (
        f"{len(evidence.residuals):,} residuals of validation make its intervals; hashes of "
        f"{len(evidence.phashes) + len(evidence.contents):,} pictures say which it was fitted or selected on."
    )
    intervals = told.get("test", {}).get("intervals", {})
    for level, found in intervals.items():
        if isinstance(found, dict) and "coverage" in found:
            yield f"- {float(level):.0%}: held the truth of {found['coverage']:.1%} of test items, {found['width']:.3f} wide"
    yield ""


def _limits(model: listing.Model) -> Iterator[str]:
    yield "## Intended use and limits\n"
    yield (
        "For research on memorability: to choose, match and compare stimuli, and as a baseline. Not a measure of quality, "
        "interest or truth, and no ground for decisions on people. It knows the kinds of items that it was trained on; of "
        "others its figures say nothing (`memorability evaluate` says it for your own). Few items of a data set are hardly "
        "remembered, so low scores are rare and rough."
    )
    if any(name in model.data for name in OF_DRAWINGS):
        yield "\nIt was trained on the demo's generated drawings: for photographs its numbers mean nothing."
    yield (
        "\nLicence: its weights may be bound by the terms of the data and of the network below; the code is under Apache-2.0.\n"
    )


def _use(model: listing.Model, config: artifacts.Config, folder: Path) -> Iterator[str]:
    yield "## Use\n\n```python\nfrom memorability import Predictor\n"
    yield f'print(Predictor("{model.folder}")("photo.jpg"))\n```\n'
    yield "To cite: CITATION.cff of the package, and the sources of the family and of the data set.\n"
    yield "## Files\n"
    for file in (artifacts.CONFIG, artifacts.WEIGHTS, artifacts.EVIDENCE):
        if (folder / file).is_file():
            yield f"- `{file}`: {(folder / file).stat().st_size:,} bytes, digest `{digest(folder / file)}`"
    for origin in config.features or []:
        backbone = origin.get("backbone") or {}
        if backbone:
            yield f"- network `{backbone.get('arch')}` ({backbone.get('source')}), digest `{backbone.get('sha256')}`"
    yield f"\nSettings:\n\n```json\n{json.dumps(config.settings, indent=1)}\n```"
