"""backbones@NAME: the weights of one frozen network, pinned: models/NAME."""

from functools import partial

from memorability.core import layout, runtime
from memorability.features import backbones, weights
from memorability.params import Params
from memorability.training import demo_backbone
from pipeline.common import run


def main(params: Params, name: str) -> None:
    block = params.backbones[name]
    transform = block.transform.model_dump(mode="json")
    save = partial(
        backbones.save, layout.MODELS / name, arch=block.arch, transform=transform, source=block.source
    )
    if block.demo is not None:
        demo_backbone.train(
            block.arch,
            block.demo,
            transform=block.transform,
            seed=params.seed,
            threads=params.threads,
            state=layout.STATES / f"backbones-{name}",
            write=lambda state: save(state=state),
        )
    elif runtime.rank() == 0:
        path = block.path
        save(state=weights.published_weights(block.arch) if path is None else weights.file_weights(path))


if __name__ == "__main__":
    run("backbones", main, together=True)
