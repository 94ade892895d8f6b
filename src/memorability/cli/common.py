"""What several commands need: the project at hand, the device, notes beside the output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from memorability.core.errors import CallError, ParamsError

if TYPE_CHECKING:
    from memorability.data.tables import Track
    from memorability.predict.about import Choice, Project
    from memorability.predict.predictor import Predictor


def project(models: Path) -> Project:
    """Where all lies; the models of the project's params.yaml are known, if it has one."""
    from memorability import params
    from memorability.predict.about import Project, root_of

    file = root_of(models) / "params.yaml"
    if not file.is_file():
        return Project.of(models)
    try:
        named = params.load(file)
    except ParamsError as error:  # another program's, or one that is being edited: models say what they need
        note([f"{file} is not used: {' '.join(str(error).split())[:300]}"])
        return Project.of(models)
    return Project.of(models, known=(*named.models, *named.ensembles))


def opened(track: Track, model: str | None, models: Path, *, device: str | None) -> tuple[Predictor, Choice]:
    """The model of that name or folder, or the best one of a track."""
    from memorability.predict import choice

    if model is None:
        return choice.best(track, project(models), device=device)
    return choice.named(model, project(models), device=device)


def device(asked: str | None = None) -> str | None:
    """Where a model computes: as it was asked, else where `torchrun` has this process, else left to the model.

    Raises:
        CallError: there is no such device.
    """
    from memorability.core import runtime

    if asked is not None:
        import torch

        try:
            torch.empty(0, device=asked)
        except (RuntimeError, AssertionError) as error:
            first = str(error).splitlines()[0]
            raise CallError(f"--device: received {asked} ({first}); valid: cpu, cuda, cuda:1, ...") from error
        return asked
    if runtime.world() == 1:
        return None
    from memorability.core import distributed

    return str(distributed.fabric(precision="32-true", threads=runtime.cores(), deterministic=False).device)


def is_first() -> bool:
    from memorability.core import runtime

    return runtime.rank() == 0


def note(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
