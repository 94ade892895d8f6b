"""What a trained model of any family answers to what it reads of a user's own files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memorability.features.inputs import mean_over_frames
from memorability.features.items import Item, Reader
from memorability.training import artifacts, calibration

if TYPE_CHECKING:
    import torch

# Scores [N] or maps [N, C, S, S], and what is said of each frame, [N, T].
Answer = tuple[np.ndarray, np.ndarray | None]
Asked = Callable[[Sequence[Item]], Answer]


def closed_form(task: Any, settings: Any, state: dict[str, np.ndarray], read: Reader) -> Asked:
    """A fitted closed form, as a function of items."""

    def answer(items: Sequence[Item]) -> Answer:
        x, lengths = read(items)
        if task.READS == "features":
            x = x if lengths is None else mean_over_frames(x, lengths)
            x = x.reshape(len(x), -1)
        by_frame = task.by_frame(settings, state, x) if hasattr(task, "by_frame") else None
        return np.asarray(task.predict(settings, state, x)), by_frame

    return answer


def network(
    task: Any,
    settings: Any,
    config: dict[str, Any],
    arrays: dict[str, np.ndarray],
    read: Reader,
    *,
    device: str | None,
) -> Asked:
    """A trained network, as a function of items.

    Args:
        config, arrays: of the trained model.
        device: by default the GPU if there is one.
    """
    import torch

    from memorability.training.loading import as_floats

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    net = _built(task, settings, config, arrays).to(place)

    def asked(
        question: Callable[..., torch.Tensor], x: np.ndarray, lengths: np.ndarray | None
    ) -> torch.Tensor:
        batch = {"x": as_floats(torch.from_numpy(np.ascontiguousarray(x)).to(place))}
        if lengths is not None:
            batch["length"] = torch.from_numpy(lengths).to(place)
        return question(settings, net, batch).float()

    others_of = list[torch.Tensor]()  # the validation files' outputs, once they are asked for

    def ranked(outputs: torch.Tensor) -> np.ndarray:
        """The place of each among the validation files, whose ranks the curve to scores is made for."""
        if not others_of:
            x, lengths = (arrays[f"{artifacts.REFERENCE}{name}"] for name in ("x", "length"))
            parts = [slice(i, i + 64) for i in range(0, len(x), 64)]
            others_of.append(torch.cat([asked(task.predict, x[part], lengths[part]) for part in parts]))
        (others,) = others_of
        curve = calibration.Curve(**{k: tuple(v) for k, v in config["calibration"].items()})
        return curve(task.against(settings, net, outputs, others).cpu().numpy())

    @torch.inference_mode()
    def answer(items: Sequence[Item]) -> Answer:
        x, lengths = read(items)
        if task.READS == "features":
            x = x.reshape(len(x), *config["shape"])
            lengths = np.ones(len(x), np.int64) if lengths is None else lengths
        outputs = asked(task.predict, x, lengths)
        by_frame = asked(task.by_frame, x, lengths).cpu().numpy() if hasattr(task, "by_frame") else None
        return ranked(outputs) if hasattr(task, "together") else outputs.cpu().numpy(), by_frame

    return answer


def _built(
    task: Any, settings: Any, config: dict[str, Any], arrays: dict[str, np.ndarray]
) -> torch.nn.Module:
    """The network with its weights, in evaluation mode."""
    import torch

    from memorability.features import backbones

    backbone, made = None, config["backbone"]
    if made is not None:
        backbone = backbones.Network(backbones.build(made["arch"], classes=made["classes"]), made)
    of_maps = {"channels": config["channels"]} if settings.track == "maps" else {}
    net: torch.nn.Module = task.build(settings, shape=tuple(config["shape"]), backbone=backbone, **of_maps)
    net.load_state_dict(
        {n: torch.from_numpy(v) for n, v in arrays.items() if not n.startswith(artifacts.REFERENCE)}
    )
    return net.eval()
