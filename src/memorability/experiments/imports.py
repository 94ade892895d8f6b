"""Published weights as ordinary trained models: `memorability import` (docs/published.md).

A file of weights goes into the family of ours that is the same network. Nothing is left to chance: every
tensor of the network must be in the file, with its shape, and every tensor of the file in the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memorability.core import files, layout
from memorability.core.errors import DataError, ParamsError, listing
from memorability.core.files import staged, write_text
from memorability.core.settings import Block, Name, checked
from memorability.experiments.published import PUBLISHED, Published
from memorability.training.contract import Gradient

if TYPE_CHECKING:
    from torch import Tensor, nn

    from memorability.features.backbones import Network

CARD = "README.md"


class _Folder(Block):
    """A new model's place."""

    to: Name


def run(
    name: str, *, weights: Path | None = None, to: str | None = None, models: Path = layout.MODELS
) -> str:
    """Makes a published model one of the models at hand: the folder `to` in `models`.

    Args:
        name: a key of `PUBLISHED`.
        weights: its file; None: the one in the installed package, which is found and not imported.
        to: the model's name; by default NAME_published.

    Returns:
        What was made, for a person to read.

    Raises:
        DataError: there is no such published model, no such package, there is a model of that name, or the
            file does not hold what was published.
        BackboneError: the file is missing, or holds no tensors.
        ParamsError: `to` is no name.
    """
    if name not in PUBLISHED:
        raise DataError(f"import: no published model {name[:80]!r}; valid: {', '.join(PUBLISHED)}")
    published = PUBLISHED[name]
    folder = models / checked(_Folder, {"to": f"{name}_published" if to is None else to}, at="import").to
    if folder.exists():
        raise DataError(f"{folder}: is there already; remove it, or give another name by --to")
    file = packaged(published) if weights is None else weights
    count, origin = write(published, file, folder)
    return (
        f"{folder}: {count} tensors, every one in its place, from {origin}\n{published.licence}\n"
        f"memorability predict photo.jpg --model {folder.name if models == layout.MODELS else folder}"
    )


def packaged(published: Published) -> Path:
    """The file of weights in an installed distribution, whose code is not run.

    Raises:
        DataError: it is not installed, or has no such file.
    """
    by_hand = f"give its file by --weights; valid without: an installed {published.package}"
    try:
        listed = metadata.files(published.package) or []
    except metadata.PackageNotFoundError as error:
        raise DataError(f"{published.package} is not installed; {by_hand}") from error
    for file in listed:
        if file.name == published.file and (found := Path(str(file.locate()))).is_file():
            return found
    raise DataError(f"the installed {published.package} has no {published.file}; {by_hand}")


def write(published: Published, file: Path, folder: Path) -> tuple[int, str]:
    """The model's folder, whole or not at all; how many tensors it has, and what file they are from."""
    from memorability.features import architectures, weights
    from memorability.training import artifacts

    state, sha256 = weights.file_weights(file), files.sha256(file)
    net, backbone, settings = network(published, sha256=sha256)
    wanted = net.state_dict()
    state = architectures.unprefixed(state, lambda: wanted)
    check(state, wanted, file)
    origin = published.files.get(sha256, "a file that is not known here")
    config = {
        "settings": settings,
        "trained_on": dict.fromkeys(published.trained_on),  # of how many rows of each is not known
        "shape": [3, settings["crop"], settings["crop"]],
        "backbone": backbone.config,
        "build_options": {},
        "published": {"origin": origin, "file": file.name, "sha256": sha256, "licence": published.licence},
    }
    card = published.card.format(name=folder.name, licence=published.licence)
    with staged(folder) as part:
        arrays = {key: state[key].detach().to(wanted[key].dtype).numpy() for key in wanted}
        artifacts.save(part, config=config, arrays=arrays)
        write_text(part / CARD, f"{card}- File: {file.name}, {origin}; SHA-256 {sha256}.\n")
    return len(wanted), origin


def network(published: Published, *, sha256: str) -> tuple[nn.Module, Network, dict[str, Any]]:
    """Our network without numbers, the one inside it, and its settings with all defaults."""
    import torch

    from memorability import families
    from memorability.features import backbones
    from memorability.features.settings import Transform

    family = families.load(published.settings["family"])
    if not isinstance(family, Gradient):
        raise ParamsError(f"family {family.name} has no network to put weights into")
    settings = checked(family.Params, published.settings, at="settings")
    transform = Transform(
        fit=settings.fit, resize=settings.resize, crop=settings.crop, mean=(0, 0, 0), std=(1, 1, 1)
    )
    config = backbones.Config(
        arch=published.arch,
        classes=published.classes,
        headless=False,
        source="file",
        sha256=sha256,
        transform=transform,
    )
    with torch.device("meta"):  # shapes alone, in no memory
        inner = backbones.build(published.arch, classes=published.classes)
        backbone = backbones.Network(inner, config.model_dump(mode="json"))
        net = family.build(settings, shape=(3, settings.crop, settings.crop), backbone=backbone)
    return net, backbone, settings.model_dump(mode="json")


def check(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: Path) -> None:
    """Raises a DataError that lists every tensor that is missing, unknown, of another form or not finite."""
    both = [key for key in wanted if key in state]
    alike = [key for key in both if _kind(state[key]) == _kind(wanted[key])]
    found = {
        "missing": [key for key in wanted if key not in state],
        "unknown": [key for key in state if key not in wanted],
        "of another shape": [
            f"{key} {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
            for key in both
            if state[key].shape != wanted[key].shape
        ],
        "of another kind": [
            f"{key} {_kind(state[key])}, not {_kind(wanted[key])}" for key in both if key not in alike
        ],
        "with numbers that are not finite": [key for key in alike if not _finite(state[key])],
    }
    problems = [f"{len(keys)} {what}:\n{listing(keys)}" for what, keys in found.items() if keys]
    if problems:
        raise DataError(f"{file}: not the {len(wanted)} tensors that were published\n" + "\n".join(problems))


def _kind(tensor: Tensor) -> str:
    """What its numbers are: floating-point ones, of whatever precision, are brought to ours."""
    dense = "" if str(tensor.layout) == "torch.strided" else "not dense, "
    return dense + ("floating-point" if tensor.is_floating_point() else str(tensor.dtype))


def _finite(tensor: Tensor) -> bool:
    """Whether all numbers are, by the least and the greatest: no copy is made."""
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    return all(bool(end.isfinite()) for end in tensor.float().aminmax())
