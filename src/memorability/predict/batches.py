"""Files through models: opened ahead in threads, asked for in batches, answered in their order at constant memory."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from memorability.core import runtime
from memorability.core.parallel import map_ahead
from memorability.data.urls import Fetcher, Url
from memorability.features.items import Item
from memorability.predict.opening import Open
from memorability.predict.results import Failure

BATCH = 32  # pictures, or frames of clips, at a time
OF_A_CLIP = 8  # pictures that a clip counts as
PIXELS = 2**26  # of pictures that are in memory at a time
WINDOW = 1024  # files that several processes share at a time

What = Path | Url | Item | Failure
Result = TypeVar("Result", covariant=True)


class Asked(Protocol[Result]):
    """A model as it is asked here."""

    @property
    def clips(self) -> bool: ...
    @property
    def name(self) -> str: ...
    def opened(self, what: What, titles: Mapping[Path, str], fetcher: Fetcher) -> Open | Failure: ...
    def answers(self, items: list[Open]) -> Iterator[Result | Failure]: ...


class Batches(Generic[Result]):
    """Results of (model, file) after (model, file).

    Args:
        titles: of clips, for models that read them.
        fetcher: brings what is named by a URL, within its bounds.
        most: pictures at a time, or as many as `PIXELS` allow; the results do not depend on it.
    """

    def __init__(self, *, titles: Mapping[Path, str], fetcher: Fetcher, most: int = BATCH) -> None:
        self._titles, self._fetcher, self._most = titles, fetcher, most

    def __call__(
        self, feed: Iterable[tuple[Asked[Result] | None, What]]
    ) -> Iterator[tuple[Asked[Result] | None, Result | Failure]]:
        threads = runtime.cores()
        for share in self._shares(feed):
            for batch in self._batches(map_ahead(self._open, share, threads=threads, ahead=2 * threads)):
                yield from _answered(batch)

    def together(
        self, feed: Iterable[tuple[Asked[Result] | None, What]]
    ) -> Iterator[tuple[Asked[Result] | None, Result | Failure]]:
        """As a call, the work shared by the processes that `torchrun` started; all know all results."""
        from memorability.core import distributed

        turns = iter(feed)
        while window := list(itertools.islice(turns, WINDOW)):
            mine = [found for _, found in self(distributed.share(window))]
            for (model, _), found in zip(window, distributed.interleaved(mine), strict=True):
                yield model, found

    def _shares(
        self, feed: Iterable[tuple[Asked[Result] | None, What]]
    ) -> Iterator[Iterable[tuple[Asked[Result] | None, What]]]:
        """The feed in parts, within which files are opened while a model computes; each to be used up before the next.

        All of it is one on a GPU. Else a part is one batch (several if its pictures are large), so that nothing is
        decoded while a network computes: on the same cores both would only get in each other's way.
        """
        if _on_gpu():
            yield feed
            return
        spent = 0

        def number(one: tuple[Asked[Result] | None, What]) -> int:
            nonlocal spent
            spent += _counts_as(one[0])
            return (spent - 1) // self._most

        for _, share in itertools.groupby(feed, number):
            yield share

    def _open(self, one: tuple[Asked[Result] | None, What]) -> tuple[Asked[Result] | None, Open | Failure]:
        model, what = one
        if model is None or isinstance(what, Failure):
            return model, what if isinstance(what, Failure) else Failure(str(what), f"{what}: no model")
        return model, model.opened(what, self._titles, self._fetcher)

    def _batches(
        self, opened: Iterable[tuple[Asked[Result] | None, Open | Failure]]
    ) -> Iterator[list[tuple[Asked[Result] | None, Open | Failure]]]:
        batch, count, pixels = list[tuple[Asked[Result] | None, Open | Failure]](), 0, 0
        for model, one in opened:
            batch.append((model, one))
            count += _counts_as(model)
            pixels += one.pixels if isinstance(one, Open) else 0
            if count >= self._most or pixels >= PIXELS:
                yield batch
                batch, count, pixels = [], 0, 0
        if batch:
            yield batch


def _counts_as(model: Asked[Any] | None) -> int:
    return OF_A_CLIP if model is not None and model.clips else 1


def _on_gpu() -> bool:
    torch: Any = sys.modules.get("torch")  # which a model without networks has not loaded
    return torch is not None and bool(torch.cuda.is_available())


def _answered(
    batch: list[tuple[Asked[Result] | None, Open | Failure]],
) -> Iterator[tuple[Asked[Result] | None, Result | Failure]]:
    """Each model is asked for all of its items of the batch; the answers come in the batch's order."""
    items = dict[int, list[Open]]()
    for model, one in batch:
        if isinstance(one, Open):
            items.setdefault(id(model), []).append(one)
    models = {id(model): model for model, _ in batch if model is not None}
    answers = {key: models[key].answers(some) for key, some in items.items()}
    for model, one in batch:
        yield model, one if isinstance(one, Failure) else next(answers[id(model)])
