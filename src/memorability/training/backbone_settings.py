"""Settings of frozen networks: whose weights, and how those are trained that are trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from memorability.core.settings import Block
from memorability.features.settings import PACKAGES, Transform
from memorability.training.settings import Gradient


class DemoTraining(Gradient):
    """Training of a demo backbone on `pictures` generated scenes."""

    pictures: int = Field(ge=100)
    select: Literal["accuracy"] = "accuracy"


# What a backbone's block says beside its architecture and transform, by source: what is needed, and what may be there.
SOURCES: dict[str, tuple[set[str], set[str]]] = {
    "torchvision": (set(), set()),
    "timm": (set(), {"path", "sha256"}),
    "package": ({"package"}, {"sha256"}),
    "file": ({"path"}, {"sha256"}),
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
    - `demo`: trained here, as `demo` says, on generated pictures that no track contains; networks of places
      (fcn_resnet18, fcn_resnet50) on the masks of these.

    `sha256` is that of the file, as `sha256sum` prints it, and checked. `transform` is by default the one that the
    library publishes for the network, of the whole picture brought to a square.
    """

    arch: str
    source: Literal["torchvision", "timm", "package", "file", "demo"]
    transform: Transform | None = None
    path: Path | None = None
    package: str | None = None
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    demo: DemoTraining | None = None

    @model_validator(mode="after")
    def _source_described(self) -> Backbone:
        values = {"path": self.path, "package": self.package, "sha256": self.sha256, "demo": self.demo}
        received = {key for key, value in values.items() if value is not None}
        needed, more = SOURCES[self.source]
        if needed - received or received - needed - more or received == {"sha256"}:
            raise ValueError(
                f"source {self.source} needs {_listed(needed)} and may have {_listed(more)}; "
                f"received {_listed(received)}"
            )
        if self.package is not None and PACKAGES.get(self.package) != self.arch:
            known = ", ".join(f"{package} of {arch}" for package, arch in PACKAGES.items())
            raise ValueError(f"package {self.package!r} of arch {self.arch!r}; valid: {known}")
        return self
