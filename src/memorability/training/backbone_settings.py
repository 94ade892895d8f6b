"""Settings of frozen networks: whose weights, and how those are trained that are trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from memorability.core.errors import BackboneError
from memorability.core.files import sha256
from memorability.core.settings import Block
from memorability.features.settings import PACKAGES, Transform
from memorability.training.settings import Gradient

MOST_BYTES = 2**31  # of a downloaded file


class DemoTraining(Gradient):
    """Training of a demo backbone on `pictures` generated scenes."""

    pictures: int = Field(ge=100)
    select: Literal["accuracy"] = "accuracy"


class Published(Block):
    """One file that its owners hand out: a `path` of yours (a text alone is one), or the `url` that it is fetched from.

    `sha256` is that of the file, as `sha256sum` prints it, checked; of a `url` it must be there.
    """

    path: Path | None = None
    url: str | None = None
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")

    @model_validator(mode="before")
    @classmethod
    def _of_a_text(cls, given: Any) -> Any:
        return {"path": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.url is None) or (self.url is not None and self.sha256 is None):
            raise ValueError(
                f"received path: {self.path}, url: {self.url}, sha256: {self.sha256}; valid: a path, or a url and its sha256"
            )
        if self.url is not None and self.sha256 is not None:
            from memorability.data.downloads import Download

            Download(url=self.url, sha256=self.sha256)
        return self

    def file(self, store: Path) -> Path:
        """Where it is, once it is known to be the one that is meant; of a URL in `store`.

        Raises:
            BackboneError: there is none, or it is another one. DataError, StorageError: as `data.transfers.fetch`.
        """
        if self.url is not None and self.sha256 is not None:
            from memorability.data.transfers import fetch

            return fetch(self.url, self.sha256, store=store, most_bytes=MOST_BYTES)
        path = Path(self.path or "")
        if not path.is_file():
            raise BackboneError(f"{path}: no such file")
        if self.sha256 is not None and (found := sha256(path)) != self.sha256:
            raise BackboneError(f"{path}: another file than the one that is meant: its SHA-256 is {found}")
        return path


class Labels(Block):
    """Names of a network's classes, in files as Places365 publishes them (`memorability.features.scene_labels`).

    `attributes` and `attribute_weights` go together.
    """

    categories: Published
    indoor_outdoor: Published | None = None
    attributes: Published | None = None
    attribute_weights: Published | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.attributes is None) != (self.attribute_weights is None):
            raise ValueError("attributes and attribute_weights go together; received one of them")
        return self


# What a backbone's block says beside its architecture and transform, by source: what is needed, and what may be there.
SOURCES: dict[str, tuple[set[str], set[str]]] = {
    "torchvision": (set(), set()),
    "timm": (set(), {"path", "sha256"}),
    "package": ({"package"}, {"sha256"}),
    "file": ({"path"}, {"sha256", "labels"}),
    "url": ({"url", "sha256"}, {"labels"}),
    "demo": ({"demo"}, set()),
}


def _listed(keys: set[str]) -> str:
    return ", ".join(sorted(keys)) or "nothing"


class Backbone(Block):
    """One frozen network: its architecture, where its weights come from, and its input.

    `source` says whose weights:

    - `torchvision`: its published ImageNet weights;
    - `timm`: those of timm's hub, or of the file `path` (safetensors or a state dict); `arch` is any name of timm's;
    - `package`: those in the installed `package`, of the architecture of timm that they belong to;
    - `file`: those of the file `path`, of an architecture of torchvision;
    - `url`: those of a file that is fetched from there, the same otherwise;
    - `demo`: trained here, as `demo` says, on generated pictures that no track contains; networks of places
      (fcn_resnet18, fcn_resnet50) on the masks of these.

    `sha256` is that of the file, as `sha256sum` prints it, and checked. `transform` is by default the one that the
    library publishes for the network, of the whole picture brought to a square. `labels` name its classes.
    """

    arch: str
    source: Literal["torchvision", "timm", "package", "file", "url", "demo"]
    transform: Transform | None = None
    path: Path | None = None
    url: str | None = None
    package: str | None = None
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    demo: DemoTraining | None = None
    labels: Labels | None = None

    @model_validator(mode="after")
    def _source_described(self) -> Backbone:
        named = ("path", "url", "package", "sha256", "demo", "labels")
        received = {key for key in named if getattr(self, key) is not None}
        needed, more = SOURCES[self.source]
        if needed - received or received - needed - more or received == {"sha256"}:
            raise ValueError(
                f"source {self.source} needs {_listed(needed)} and may have {_listed(more)}; "
                f"received {_listed(received)}"
            )
        if self.url is not None:
            Published(url=self.url, sha256=self.sha256)
        if self.package is not None and PACKAGES.get(self.package) != self.arch:
            known = ", ".join(f"{package} of {arch}" for package, arch in PACKAGES.items())
            raise ValueError(f"package {self.package!r} of arch {self.arch!r}; valid: {known}")
        return self
