"""The models that a server offers, each opened once, when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memorability import families
from memorability.core import layout
from memorability.core.errors import DataError, MemorabilityError
from memorability.core.files import read_json
from memorability.data.tables import Track
from memorability.predict import choice
from memorability.predict.about import Choice, Project
from memorability.predict.predictor import Predictor
from memorability.web.refusals import Unknown

TRACKS: tuple[Track, ...] = ("images", "videos", "maps")


@dataclass
class Offer:
    """A model. `lock` is held by whoever opens it or computes with it: networks keep what they see on its way."""

    name: str
    folder: Path
    track: str
    target: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    opened: tuple[Predictor, Choice] | None = None


class Catalogue:
    """Args:
        project: where models lie.
        names: of the only models that are offered; by default all that can score a file by itself, with the released one.
        device: `cpu`, `cuda`, ...; by default the GPU if there is one.
        confidence: of the scores' intervals, in (0, 1).

    Raises:
        DataError: there is no such model, or none at all.
    """

    def __init__(
        self,
        project: Project,
        *,
        names: Sequence[str] = (),
        device: str | None = None,
        confidence: float = 0.9,
    ) -> None:
        self._project, self._device, self._confidence = project, device, confidence
        self.offers: dict[str, Offer] = {}
        self.defaults: dict[str, str] = {}  # track -> model
        if names:
            for name in names:
                self._add(*choice.named(name, project, device=device, confidence=confidence))
        else:
            self._find_all()
        if not self.offers:
            raise DataError(
                f"no model that can score a file is in {project.models}; train one, or name one with --model"
            )

    def _find_all(self) -> None:
        problems = []
        for track in TRACKS:
            try:
                self._add(
                    *choice.best(track, self._project, device=self._device, confidence=self._confidence)
                )
            except MemorabilityError as error:  # there need not be a model of each track
                problems.append(str(error))
        folders = [config.parent for config in sorted(self._project.models.glob("*/config.json"))]
        for folder in [*folders, layout.RELEASED]:
            settings = _settings(folder)
            if settings is not None and folder.name not in self.offers:
                offer = Offer(folder.name, folder, settings["track"], settings["target"])
                self.offers[folder.name] = offer
                self.defaults.setdefault(offer.track, offer.name)
        if not self.offers:
            raise DataError(problems[0])

    def _add(self, predictor: Predictor, said: Choice) -> None:
        name = predictor.folder.name
        offer = Offer(name, predictor.folder, predictor.track, predictor.target, opened=(predictor, said))
        self.offers[name] = offer
        self.defaults.setdefault(offer.track, name)

    def offer(self, name: str | None, *, track: str) -> Offer:
        """The model of that name, or that which is taken of a track where none is named.

        Raises:
            Unknown: there is none.
        """
        name = name or self.defaults.get(track)
        if name is None:
            what = {"images": "pictures", "videos": "clips", "maps": "maps of pictures"}[track]
            raise Unknown(f"no model of {what} is here; valid: {', '.join(self.offers)}")
        if name not in self.offers:
            raise Unknown(f"no model {name[:80]!r}; valid: {', '.join(self.offers)}")
        return self.offers[name]

    def open(self, offer: Offer) -> tuple[Predictor, Choice]:
        """To be called with the offer's lock held.

        Raises:
            MemorabilityError: the model cannot be opened; says why.
        """
        if offer.opened is None:
            name = offer.name if offer.folder.parent == self._project.models else str(offer.folder)
            found = choice.named(name, self._project, device=self._device, confidence=self._confidence)
            offer.opened = found
        return offer.opened


def _settings(folder: Path) -> dict[str, Any] | None:
    """Of a trained model that can score a file by itself: none that says the same of all, needs a title or given features."""
    try:
        config = read_json(folder / "config.json")
        settings = config["settings"]
        reads = families.load(settings["family"]).READS
        features = config.get("features") or []
        given = any("given" in origin for origin in features)
        titled = reads == "titles" and not features  # captions are made of features
        fits = reads != "nothing" and not titled and not given and settings["track"] in TRACKS
        return dict(settings) if fits and settings["target"] else None
    except (
        MemorabilityError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
    ):  # a backbone, or damaged
        return None
