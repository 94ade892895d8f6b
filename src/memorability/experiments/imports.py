"""Published weights as ordinary trained models: `memorability import` (docs/published.md).

A file of weights goes into the family of ours that is the same network. Nothing is left to chance: every
tensor of the network must be in the file, with its shape, and every tensor of the file in the network, but for those
that `Published` names.
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
    name: str,
    *,
    weights: Path | None = None,
    mean: Path | None = None,
    to: str | None = None,
    models: Path = layout.MODELS,
) -> str:
    """Makes a published model one of the models at hand: the folder `to` in `models`.

    Args:
        name: a key of `PUBLISHED`.
        weights: its file; None: the one in the installed package, which is found and not imported.
        mean: the file of memnet's mean picture, where it is not in `weights`.
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
    count, origin = write(published, file, folder, mean=mean)
    return (
        f"{folder}: {count} tensors, every one in its place, from {origin}\n{published.licence}\n"
        f"memorability predict photo.jpg --model {folder.name if models == layout.MODELS else folder}"
    )


def packaged(published: Published) -> Path:
    """The file of weights in an installed distribution, whose code is not run.

    Raises:
        DataError: there is none, it is not installed, or has no such file.
    """
    if published.package is None:
        raise DataError("import: no package has these weights; give their file by --weights")
    by_hand = f"give its file by --weights; valid without: an installed {published.package}"
    try:
        listed = metadata.files(published.package) or []
    except metadata.PackageNotFoundError as error:
        raise DataError(f"{published.package} is not installed; {by_hand}") from error
    for file in listed:
        if file.name == published.file and (found := Path(str(file.locate()))).is_file():
            return found
    raise DataError(f"the installed {published.package} has no {published.file}; {by_hand}")


def write(published: Published, file: Path, folder: Path, *, mean: Path | None = None) -> tuple[int, str]:
    """The model's folder, whole or not at all; how many tensors it has, and what file they are from."""
    from memorability.features import weights
    from memorability.training import artifacts

    state, sha256 = weights.file_weights(file), files.sha256(file)
    net, backbone, settings, shape = network(published, sha256=sha256)
    own = net.state_dict()
    wanted = {published.name_of(key): value for key, value in own.items()}
    state = complete(published, state, wanted, mean=mean)
    check(state, wanted, file)
    state = dict(published.adapted(state))
    origin = published.files.get(sha256, "a file that is not known here")
    config = {
        "settings": settings,
        "trained_on": dict.fromkeys(published.trained_on),  # of how many rows of each is not known
        "shape": shape,
        "backbone": None if backbone is None else backbone.config,
        "build_options": {},
        "published": {"origin": origin, "file": file.name, "sha256": sha256, "licence": published.licence}
        | ({} if mean is None else {"mean": mean.name, "mean_sha256": files.sha256(mean)}),
    }
    card = published.card.format(name=folder.name, licence=published.licence)
    with staged(folder) as part:
        arrays = {
            key: state[published.name_of(key)].detach().to(value.dtype).numpy() for key, value in own.items()
        }
        artifacts.save(part, config=config, arrays=arrays)
        write_text(part / CARD, f"{card}- File: {file.name}, {origin}; SHA-256 {sha256}.\n")
    return len(wanted), origin


def complete(
    published: Published, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, mean: Path | None
) -> dict[str, Tensor]:
    """The file's tensors without a common prefix and what is unused, with what may be missing or lies apart."""
    import torch

    from memorability.features import architectures

    found = architectures.unprefixed(dict(state), lambda: wanted)
    found = {key: value for key, value in found.items() if not key.startswith(published.unused)}
    for key in wanted:
        if published.may_lack and key.endswith(published.may_lack) and key not in found:
            found[key] = torch.zeros(wanted[key].shape, dtype=wanted[key].dtype)
    if mean is not None:
        if published.apart is None or published.apart in found:
            raise DataError(f"{mean}: a mean picture is not asked for here; leave out --mean")
        found[published.apart] = mean_picture(mean)
    if published.apart in found and found[published.apart].ndim == 4:  # as caffe's blobs are: [1, 3, H, W]
        found[published.apart] = found[published.apart].squeeze(0)
    return found


def mean_picture(file: Path) -> Tensor:
    """A mean picture as the published network has it: blue, green, red, 0 to 255; float [3, H, W] or [1, 3, H, W].

    Raises:
        DataError: a `.npy` that holds no such array, or another file without a tensor `mean`.
        BackboneError: the file is missing, or holds no tensors.
    """
    import numpy as np
    import torch

    from memorability.features import weights

    if file.suffix == ".npy" and file.is_file():
        try:
            return torch.from_numpy(np.load(file, allow_pickle=False))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{file}: no array of numbers ({error})") from error
    state = weights.file_weights(file)
    if set(state) != {"mean"}:
        raise DataError(f"{file}: valid: one tensor, mean; received {', '.join(state)[:200] or 'none'}")
    return state["mean"]


def network(
    published: Published, *, sha256: str
) -> tuple[nn.Module, Network | None, dict[str, Any], list[int]]:
    """Our network without numbers, the one inside it if there is one, its settings with all defaults, its input's shape."""
    import torch

    from memorability import families
    from memorability.features import backbones
    from memorability.features.settings import needs_whole
    from memorability.training import crops

    family = families.load(published.settings["family"])
    settings = checked(family.Params, published.settings, at="settings")
    family = crops.applied(family, settings)
    if not isinstance(family, Gradient):
        raise ParamsError(f"family {family.name} has no network to put weights into")
    side = settings.resize if needs_whole(settings) else settings.crop
    with torch.device("meta"):  # shapes alone, in no memory
        backbone = None
        if published.arch is not None:
            config = inner_config(published, published.arch, settings, sha256=sha256)
            net = backbones.build(published.arch, classes=published.classes)
            backbone = backbones.Network(net, config)
        net = family.build(settings, shape=(3, side, side), backbone=backbone)
    return net, backbone, settings.model_dump(mode="json"), [3, side, side]


def inner_config(published: Published, arch: str, settings: Any, *, sha256: str) -> dict[str, Any]:
    """What the config says of the network inside."""
    from memorability.features import backbones
    from memorability.features.settings import Transform

    seen = {key: getattr(settings, key) for key in ("fit", "resize", "crop")}
    config = backbones.Config(
        arch=arch,
        classes=published.classes,
        headless=False,
        source="file",
        sha256=sha256,
        transform=checked(Transform, seen | dict(published.transform), at="transform"),
    )
    return config.model_dump(mode="json")


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
