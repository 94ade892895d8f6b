"""A trained network as a function of arrays: built, filled with its weights, asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memorability.core.errors import DataError
from memorability.core.settings import checked
from memorability.features.items import Array
from memorability.training import artifacts, calibration
from memorability.training.contract import Gradient

if TYPE_CHECKING:
    import torch

AT_ONCE = 64  # validation inputs that are asked for together


@dataclass(frozen=True)
class Ranking:
    """How a model that ranks scores files that come alone: by their ranks among validation inputs, and a curve."""

    among: Callable[..., torch.Tensor]  # `Gradient.rank_among`
    curve: calibration.Curve
    x: Array
    lengths: Array


class TrainedNetwork:
    """Scores [N] or maps [N, C, S, S] of inputs [N, ...], and what the family says of each frame, [N, T].

    Raises:
        DataError: the weights, or what else came with the model, are not what its family needs.
    """

    def __init__(
        self,
        family: Gradient,
        settings: Any,
        config: artifacts.Config,
        arrays: dict[str, Array],
        *,
        device: str | None,
        folder: Path,
    ) -> None:
        import torch

        from memorability.core.distributed import full_precision

        full_precision()
        self._family, self._settings = family, settings
        self._ranking = ranking(family, config, arrays, folder)
        self._place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.net = built(family, settings, config, arrays, folder).to(self._place)
        self._references: torch.Tensor | None = None  # the outputs of `Ranking.x`, once they are asked for

    def __call__(self, x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
        import torch

        with torch.inference_mode():
            outputs, frames = self.asked(self._family.predict, x, lengths), None
            if self._family.frame_values is not None:
                frames = self.asked(self._family.frame_values, x, lengths).cpu().numpy()
            if self._ranking is None:
                return outputs.cpu().numpy(), frames
            return self._ranked(outputs, self._ranking), frames

    def asked(self, question: Callable[..., torch.Tensor], x: Array, lengths: Array | None) -> torch.Tensor:
        """What a function of the family, such as `predict`, says of inputs."""
        import torch

        from memorability.training.loading import as_floats

        batch = {"x": as_floats(torch.from_numpy(np.ascontiguousarray(x)).to(self._place))}
        if lengths is not None:
            batch["length"] = torch.from_numpy(lengths).to(self._place)
        return question(self._settings, self.net, batch).float()

    def _ranked(self, outputs: torch.Tensor, by: Ranking) -> Array:
        """The score of each by its place among validation inputs, whose ranks the curve to scores is made for."""
        import torch

        if self._references is None:
            parts = [slice(i, i + AT_ONCE) for i in range(0, len(by.x), AT_ONCE)]
            asked = [self.asked(self._family.predict, by.x[part], by.lengths[part]) for part in parts]
            self._references = torch.cat(asked)
        return by.curve(by.among(self._settings, self.net, outputs, self._references).cpu().numpy())


def ranking(
    family: Gradient, config: artifacts.Config, arrays: dict[str, Array], folder: Path
) -> Ranking | None:
    """What came with a model that ranks; None of one that does not."""
    if family.rank is None:
        return None
    x, lengths = (arrays.get(f"{artifacts.REFERENCE}{name}") for name in ("x", "length"))
    if family.rank_among is None or config.calibration is None or x is None or lengths is None:
        raise DataError(
            f"{folder / artifacts.CONFIG}: without its curve from ranks to scores, or the clips to rank others among, "
            f"which family {family.name} needs; train it again"
        )
    curve = calibration.Curve(tuple(config.calibration.x), tuple(config.calibration.y))
    return Ranking(family.rank_among, curve, x, lengths)


def built(
    family: Gradient, settings: Any, config: artifacts.Config, arrays: dict[str, Array], folder: Path
) -> torch.nn.Module:
    """The network with its weights, in evaluation mode."""
    import torch

    from memorability.features import backbones

    backbone = None
    if config.backbone is not None:
        known = checked(backbones.Config, config.backbone, at="backbone", error=DataError)
        net = backbones.build(known.arch, classes=known.classes, library=known.library)
        backbone = backbones.Network(net, known.model_dump(mode="json"))
    net = family.build(settings, shape=config.shape, backbone=backbone, **config.build_options)
    weights = {n: torch.from_numpy(v) for n, v in arrays.items() if not n.startswith(artifacts.REFERENCE)}
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise DataError(f"{folder / artifacts.WEIGHTS}: not the weights of this model ({error})") from error
    return net.eval()
