"""The card of a model: what it was made of, what it is worth, what it is not for.

The evaluate stage writes one of each model that it judges, from its metrics. Of any other model one is made when asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memorability.core import layout
from memorability.core.errors import CallError, DataError
from memorability.core.files import read_json, write_text
from memorability.core.settings import checked
from memorability.predict import listing
from memorability.predict.about import Project, of_drawings
from memorability.training import artifacts

RELEASED = "README.md"  # the card that a released model carries


@dataclass(frozen=True)
class Facts:
    """What a card is made of: the model as described, its reports by split, and people's agreement on test.

    `folder`: where it lies, as one would write it; `told` and `people` are empty where it was not evaluated.
    """

    folder: Path
    described: artifacts.Described
    told: dict[str, Any]
    people: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        return self.described.config.settings


def write(to: Path, predictions: Mapping[str, Path], *, metrics: Path) -> None:
    """NAME.md into `to` for each model, by name with the folder of its predictions.

    Args:
        metrics: the folder of the track's reports.

    Raises:
        DataError: nothing describes a model beside its predictions.
    """
    for name, folder in predictions.items():
        if not (folder / artifacts.DESCRIBED).is_file():
            raise DataError(f"{folder}: no {artifacts.DESCRIBED} of the model; train it again")
        given = read_json(folder / artifacts.DESCRIBED)
        described = checked(artifacts.Described, given, at=str(folder / artifacts.DESCRIBED), error=DataError)
        write_text(to / f"{name}.md", text(_facts(layout.MODELS / name, described, metrics)))


def card(model: listing.Model, project: Project) -> str:
    """A Markdown text; of a released model the card that came with it, of an evaluated one that of the evaluation.

    Raises:
        DataError: the model is damaged.
    """
    folder = Path(model.folder)
    if (folder / RELEASED).is_file():
        return (folder / RELEASED).read_text(encoding="utf-8")
    described = artifacts.described(folder)
    own = folder.parent == project.models
    written = project.cards / model.track / f"{model.name}.md"
    if own and written.is_file():
        said = written.read_text(encoding="utf-8")
        if described.files[artifacts.CONFIG].digest in said:  # of this very model
            return said
    return text(_facts(folder, described, project.metrics / model.track if own else None))


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
    inside = listing.models(Project.of(folder.parent))
    for model in inside if folder.name != name else ():
        if Path(model.folder) == folder:
            return model
    raise CallError(
        f"no model {name[:80]!r}; valid: {', '.join(model.name for model in known)}, or a model's folder"
    )


def text(facts: Facts) -> str:
    """The card as Markdown."""
    parts = (_head(facts), _worth(facts), _intervals(facts), _limits(facts), _use(facts), _files(facts))
    return "\n".join(line for part in parts for line in part) + "\n"


def _facts(folder: Path, described: artifacts.Described, metrics: Path | None) -> Facts:
    target = described.config.settings["target"]
    report = metrics and metrics / f"{folder.name}.json"
    people = metrics and metrics / f"{target}.people.json"
    told = read_json(report).get(target, {}) if report and report.is_file() else {}
    agree = read_json(people).get("test", {}) if people and people.is_file() else {}
    return Facts(folder, described, told, agree)


def _head(facts: Facts) -> Iterator[str]:
    what = {
        "images": "scores pictures: the share of people who would recognise one when it comes again",
        "videos": f"scores clips ({facts.settings['target']}): the share of people who would recognise one when it comes again",
        "maps": "maps which regions of a picture are remembered",
    }[facts.settings["track"]]
    family = facts.settings["family"]
    known = next((one for one in listing.families() if one["name"] == family), {"about": "", "reads": ""})
    data = facts.described.config.trained_on
    rows = ", ".join(f"{name} ({count:,} items)" if count else name for name, count in data.items())
    yield f"# {facts.folder.name}\n\nIt {what}.\n"
    yield f"- family: `{family}`: {known['about']}"
    yield f"- reads: {known['reads']}"
    yield f"- trained on: {rows or 'data that are not known here'}"
    judged = ", ".join(
        f"{split} {facts.told[split]['n']:,}" for split in ("train", "val", "test") if split in facts.told
    )
    if judged:
        yield f"- split: {judged} items{_divided(facts)}"
    yield f"- weights: {facts.described.files[artifacts.WEIGHTS].bytes:,} bytes\n"


def _divided(facts: Facts) -> str:
    """How far the test items are others than those that the model was made by."""
    seen = facts.told.get("test", {}).get("seen")
    if seen is None:
        return ""
    if seen == 0:
        return "; no test item is a near-duplicate of one that it was fitted or selected on"
    return f"; **{seen:,} of the test items are near-duplicates of some that it was fitted or selected on**"


def _is_ensemble(facts: Facts) -> bool:
    return "members" in facts.settings


def _worth(facts: Facts) -> Iterator[str]:
    told = facts.told
    yield "## Worth\n"
    splits = [split for split in ("val", "test") if split in told]
    if not splits:
        yield "It was not evaluated here (`dvc repro`, or `memorability evaluate` against a table of your own).\n"
        return
    last = told[splits[-1]]
    heads = (f"{split}, n = {told[split]['n']:,}" for split in splits)
    yield f"| measure | {' | '.join(heads)} |"
    yield "| --- |" + " --- |" * len(splits)
    for name in (name for name in last if f"{name}_low" in last):
        yield f"| {name} | {' | '.join(_measured(told[split], name) for split in splits)} |"
    how = "fitted on val, which therefore says too much of it" if _is_ensemble(facts) else "selected on val"
    yield f"\nIntervals: 95 % bootstrap over the items of the split. The model was {how}; test was looked at once."
    if facts.people.get("attainable"):
        yield (
            f"Human ceiling: two halves of people's answers agree at rho {facts.people['split_half']:.3f}, so that no model "
            f"can be expected above rho {facts.people['attainable']:.3f}."
        )
    else:
        yield "Human ceiling: not known here; nothing counts the answers behind the truth."
    if last.get("predicted_low") is not None:
        yield (
            f"Its predictions there lie from {last['predicted_low']:.3f} to {last['predicted_high']:.3f}, the truth from "
            f"{last['true_low']:.3f} to {last['true_high']:.3f}: low scores are cut off where these begin above those."
        )
    yield ""


def _measured(told: dict[str, Any], name: str) -> str:
    value, low, high = (told.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "-"
    return f"{value:.3f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})")


def _intervals(facts: Facts) -> Iterator[str]:
    yield "## Intervals and what it has seen\n"
    known = (
        f"hashes of {facts.described.pictures:,} pictures or clips say which it was fitted or selected on."
    )
    if facts.described.residuals:
        yield f"{facts.described.residuals:,} residuals of validation make its intervals; {known}"
    else:
        yield f"It has no residuals of items that it was not fitted on, and so gives no intervals; {known}"
    intervals = facts.told.get("test", {}).get("intervals", {})
    for level, found in intervals.items():
        if isinstance(found, dict) and "coverage" in found:
            yield f"- {float(level):.0%}: held the truth of {found['coverage']:.1%} of test items, {found['width']:.3f} wide"
    yield ""


def _limits(facts: Facts) -> Iterator[str]:
    yield "## Intended use and limits\n"
    yield (
        "For research on memorability: to choose, match and compare stimuli, and as a baseline. Not a measure of quality, "
        "interest or truth, and no ground for decisions on people. It knows the kinds of items that it was trained on, and "
        "what the people remembered who saw them; of others its figures say nothing (`memorability evaluate` says it for your "
        "own). Few items of a data set are hardly remembered, so low scores are rare and rough."
    )
    data = facts.described.config.trained_on
    if of_drawings(data):
        yield "\nIt was trained on the demo's generated drawings: for photographs its numbers mean nothing."
    yield (
        "\nLicence: its weights may be bound by the terms of the data and of the networks below; the code is under Apache-2.0.\n"
    )
    access = {one["name"]: one["access"] for one in listing.datasets()}
    if asked := [f"- {name}: {access[name]}" for name in data if "http" in access.get(name, "")]:
        yield "\n".join([*asked, ""])


def _use(facts: Facts) -> Iterator[str]:
    yield "## Use\n\n```python\nfrom memorability import Predictor\n"
    if facts.settings["track"] == "maps":
        yield f'print(Predictor.load("{facts.folder}").predict_maps("photo.jpg"))\n```\n'
    else:
        file = "clip.mp4" if facts.settings["track"] == "videos" else "photo.jpg"
        yield f'print(Predictor.load("{facts.folder}")("{file}"))\n```\n'
    yield "To cite: CITATION.cff of the package, and the sources of the family (docs/sources.md) and of the data set.\n"


def _files(facts: Facts) -> Iterator[str]:
    yield "## Files\n"
    for name, file in facts.described.files.items():
        yield f"- `{name}`: {file.bytes:,} bytes, digest `{file.digest}`"
    for origin in facts.described.config.features or []:
        backbone = origin.get("backbone") or {}
        if backbone:
            yield f"- network `{backbone.get('arch')}` ({backbone.get('source')}), digest `{backbone.get('sha256')}`"
    yield f"\nSettings:\n\n```json\n{json.dumps(facts.settings, indent=1)}\n```"
