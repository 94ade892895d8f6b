"""A user's files opened for a model, in threads and ahead of it: decoded, looked at, and let go."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from memorability.core.errors import DataError
from memorability.data.urls import Fetcher, Url
from memorability.features.items import Item, Look, Source
from memorability.media import pictures, reduced, video
from memorability.predict.results import SEEN, Failure, failure
from memorability.predict.trust import Trust

# What is decoded of a clip for models that read no frame: what is no clip has no score.
ANY = video.Sampling("first_middle_last", count=3)


@dataclass(frozen=True)
class Open:
    """An item that a model can be asked for: what it reads of it is there, and of a picture little more than that.

    `pixels`: how many are still held; `note`: what is to be known of this very file.
    """

    path: Path | str
    item: Item
    pixels: int = 0
    seen: bool = False
    note: str = ""


class Opener:
    """Opens files for one model. Its method may be called from several threads.

    Args:
        source: what the model reads; `family` is its name, for errors.
        whole: whether the picture itself is needed afterwards, in its own size.
    """

    def __init__(self, source: Source, trust: Trust, *, clips: bool, whole: bool, family: str) -> None:
        self._source, self._trust = source, trust
        self._clips, self._whole, self._family = clips, whole, family

    def open(
        self, what: Path | Url | Item | Failure, titles: Mapping[Path, str], fetcher: Fetcher
    ) -> Open | Failure:
        """The item, or why it cannot be read."""
        if isinstance(what, Failure):
            return what
        if isinstance(what, Item):
            return self._held(what)
        name: Path | str = str(what) if isinstance(what, Url) else what
        try:
            with fetcher.brought(what) if isinstance(what, Url) else nullcontext(what) as file:
                if not self._clips:
                    return self._picture(file, name)
                return self._clip(file, name, titles.get(Path(name)))
        except (DataError, OSError) as error:
            return failure(name, error)

    def _held(self, item: Item) -> Open | Failure:
        if self._clips:
            return Failure(item.path, f"{item.path}: no clip, but a picture")
        if item.picture is None:
            return Failure(item.path, f"{item.path}: no picture, but a clip")
        looks = self._source.looks
        for look in looks or ():
            item.made(look)
        return self._done(item, item.path, item.picture.size)

    def _clip(self, file: Path, name: Path | str, title: str | None) -> Open:
        if self._source.needs_title and title is None:
            raise DataError(f"{name}: this model ({self._family}) reads titles; give one (--title)")
        item = Item(file, title=title or "", name=str(name))
        for sampling in self._source.samplings or (ANY,):
            item.frames(sampling)
        return Open(name, item)

    def _picture(self, file: Path, name: Path | str) -> Open:
        content, looks = pictures.content_of(file, name=str(name)), self._source.looks
        item = Item(file, name=str(name))
        if self._whole or looks is None:
            item.picture = pictures.decode(content, name=str(name))
            return self._done(item, name, item.picture.size)
        by_side = dict[
            int | None, list[Look]
        ]()  # the largest picture last: whether it was seen is asked of that
        for look in sorted(looks, key=lambda look: (look.side is None, look.side or 0)):
            by_side.setdefault(look.side and max(look.side, reduced.LEAST), []).append(look)
        known = False
        for side, some in (by_side or {reduced.LEAST: []}).items():
            item.picture = pictures.decode(content, name=str(name), side=side, known=known)
            known = True
            for look in some:
                item.made(look)
        return self._done(item, name, item.picture.size if item.picture else (0, 0))

    def _done(self, item: Item, name: Path | str, size: tuple[int, int]) -> Open:
        seen, side = self._trust.seen(item), self._source.side
        notes = [SEEN] if seen else []
        if side is not None and min(size) < side:
            notes.append(f"smaller than the {side} pixels that the model looks at")
        if self._source.looks is not None and not self._whole:
            item.picture, size = None, (0, 0)
        return Open(name, item, pixels=size[0] * size[1], seen=seen, note="; ".join(notes))
