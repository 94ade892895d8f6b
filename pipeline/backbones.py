"""backbones@NAME: the weights of one frozen network, pinned: models/backbones/NAME."""

from memorability import backbones, demo_backbone
from memorability.params import Params
from pipeline.common import BACKBONES, STATES, run


def main(params: Params, name: str) -> None:
    block = params.backbones[name]
    if block.demo is not None:
        state = demo_backbone.train(
            block.arch,
            block.demo,
            transform=block.transform,
            seed=params.seed,
            threads=params.threads,
            states=STATES,
        )
    elif block.path is not None:
        state = backbones.file_weights(block.path)
    else:
        state = backbones.published_weights(block.arch)
    transform = block.transform.model_dump(mode="json")
    backbones.save(BACKBONES / name, arch=block.arch, state=state, transform=transform, source=block.source)


if __name__ == "__main__":
    run("backbones", main)
