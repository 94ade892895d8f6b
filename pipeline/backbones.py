"""backbones@NAME: the weights of one frozen network, pinned: models/NAME."""

from functools import partial
from pathlib import Path

from torch import Tensor

from memorability.core import layout, runtime
from memorability.core.files import cache_root
from memorability.features import backbones, packaged, scene_labels, timm_networks, weights
from memorability.features.scene_labels import SceneLabels
from memorability.features.settings import Transform
from memorability.params import Params
from memorability.training import demo_backbone
from memorability.training.backbone_settings import Backbone, Labels, Published
from pipeline.common import run


def main(params: Params, name: str) -> None:
    block = params.backbones[name]
    transform = block.transform or own_transform(block)
    save = partial(
        backbones.save,
        layout.MODELS / name,
        arch=block.arch,
        transform=transform.model_dump(mode="json"),
        source=block.source,
        library="timm" if block.source in ("timm", "package") else "torchvision",
        package=block.package,
    )
    if block.demo is not None:
        demo_backbone.train(
            block.arch,
            block.demo,
            transform=transform,
            seed=params.seed,
            threads=params.threads,
            state=layout.STATES / f"backbones-{name}",
            write=lambda state: save(state=state, labels=demo_backbone.scene_labels(block.arch, state)),
        )
    elif runtime.rank() == 0:
        save(state=_state(block), labels=_labels(block.labels))


def own_transform(block: Backbone) -> Transform:
    """What the library, or package, publishes for a network."""
    if block.source == "package":
        return packaged.transform(block.arch)
    return timm_networks.transform(block.arch) if block.source == "timm" else Transform()


def _labels(block: Labels | None) -> SceneLabels | None:
    if block is None:
        return None
    return scene_labels.read(
        _file(block.categories),
        outdoor=_found(block.indoor_outdoor),
        attributes=_found(block.attributes),
        weights=_found(block.attribute_weights),
    )


def _found(published: Published | None) -> Path | None:
    return None if published is None else _file(published)


def _file(published: Published) -> Path:
    return published.file(cache_root() / "downloads")


def _state(block: Backbone) -> dict[str, Tensor]:
    if block.url is not None:
        return weights.file_weights(_file(Published(url=block.url, sha256=block.sha256)))
    if block.package is not None:
        return weights.package_weights(block.package, sha256=block.sha256)
    if block.path is not None:
        return weights.file_weights(block.path, sha256=block.sha256)
    if block.source == "timm":
        return timm_networks.published_weights(block.arch)
    return weights.published_weights(block.arch)


if __name__ == "__main__":
    run("backbones", main, together=True)
