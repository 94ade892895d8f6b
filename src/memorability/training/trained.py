"""A trained model of any family, as a function of a user's pictures and clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from memorability.core import runtime
from memorability.core.errors import BackboneError, DataError, ParamsError
from memorability.core.settings import checked
from memorability.features import reads
from memorability.features.items import ON_A_CPU, Array, Ask, Item, in_groups
from memorability.training import artifacts, crops
from memorability.training.contract import ClosedForm, Family
from memorability.training.network import TrainedNetwork

# Scores [N] or maps [N, C, S, S], and what is said of each frame, [N, T].
Answer = tuple[Array, Array | None]


class TrainedModel:
    """A model from its folder.

    `source` says what it needs of items; `settings` are those that it was trained with. `answers` gives those of inputs
    [N, ...] as they come; `network` is the trained network, None of a closed form.

    Args:
        folder: written by the train stage.
        models: folder of the backbones and models that it contains.
        load_family: gives a family by its name.
        device: `cpu`, `cuda`, ...; by default the GPU if there is one.

    Raises:
        DataError: there is no trained model, a damaged one, or not the backbone that it was trained with.
        GivenFeaturesError: it reads features that came with its data set.
    """

    def __init__(
        self,
        folder: Path,
        *,
        models: Path,
        load_family: Callable[[str], Family],
        device: str | None = None,
        within: tuple[Path, ...] = (),
    ) -> None:
        if folder.resolve() in within:
            raise DataError(f"{folder}: this model contains itself")
        self.config, arrays = artifacts.load(folder)

        def open_model(other: Path) -> TrainedModel:
            inside = (*within, folder.resolve())
            return TrainedModel(other, models=models, load_family=load_family, device=device, within=inside)

        where = reads.Where(models=models, open_model=open_model, device=device)
        with _named(folder / artifacts.CONFIG):
            family = load_family(str(self.config.settings.get("family")))
            self.settings = checked(family.Params, self.config.settings, at="settings", error=DataError)
            self.family = crops.applied(family, self.settings)
            self.source = reads.KINDS[self.family.READS].files(self.settings, self.config.model_dump(), where)
        if isinstance(self.family, ClosedForm):
            self.network: TrainedNetwork | None = None
            self.answers: Ask = _closed_form(self.family, self.settings, arrays, folder)
        else:
            with _named(folder / artifacts.CONFIG):
                self.network = self.answers = TrainedNetwork(
                    self.family, self.settings, self.config, arrays, device=device, folder=folder
                )
        self._ask = in_groups(self.answers, size=_group(self.family, self.settings, device))

    def predict(self, items: Sequence[Item]) -> Answer:
        """Scores [N] or maps [N, C, S, S] of items, and what the family says of each frame, [N, T]."""
        return self._ask(*self.source.read(items))


def _group(family: Family, settings: Any, device: str | None) -> int:
    """Items that are always asked for together, since the last bits of an answer depend on how many there are."""
    if settings.track == "maps":
        return 1
    if isinstance(family, ClosedForm) or not runtime.on_gpu(device):
        return ON_A_CPU
    return 32


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Names the file in every error that it may lead to, and makes one of what training would not have written.

    Whatever a config says that has been changed by hand, it ends in an error that says which file to mend.
    """
    try:
        yield
    except BackboneError as error:
        raise BackboneError(f"{file}: {error}") from error
    except DataError as error:
        if str(file.parent) in str(error):
            raise
        raise type(error)(f"{file}: {error}") from error
    except ParamsError as error:
        raise DataError(f"{file}: {error}") from error
    except (LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(
            f"{file}: not what training has written ({type(error).__name__}: {error}); train it again"
        ) from error


def _closed_form(family: ClosedForm, settings: Any, state: dict[str, Array], folder: Path) -> Ask:
    def ask(x: Array, lengths: Array | None) -> Answer:
        with _named(folder / artifacts.WEIGHTS):
            frames = None if family.frame_values is None else family.frame_values(settings, state, x)
            return np.asarray(family.predict(settings, state, x)), frames

    return ask
