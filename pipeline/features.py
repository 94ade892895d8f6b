"""features@NAME: pictures or frames through one frozen backbone, hand-made features, or such as come with the data:
data/features/NAME."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pandas as pd

from memorability.core import layout, runtime
from memorability.core.files import cache_root, staged_folder
from memorability.features.inputs import Listed
from memorability.features.settings import Features
from memorability.params import Params
from pipeline.common import run


def main(params: Params, name: str) -> None:
    block = params.features[name]
    if block.backbone != "none":
        through_backbone(block, name, threads=params.threads)
    elif runtime.rank() == 0:
        with staged_folder(layout.FEATURES / name) as out:
            print(without_backbone(block, out, threads=params.threads))


def without_backbone(block: Features, out: Path, *, threads: int) -> str:
    """Fills `out`; returns a line on what was done. None of this needs torch."""
    from memorability.features import given, handmade, labels

    folder = Path(block.input)
    if block.given is not None:
        count = given.gather(folder, out, **block.given.model_dump(), dtype=block.dtype)
        return f"{count} files of {block.given.name}"
    if block.handmade is not None:
        count = handmade.extract(folder, out, block.handmade, cache_root=cache_root(), threads=threads)
        return f"{count} computed here, the others in the cache"
    return f"{labels.gather(folder, out, block.labels)} labels of {', '.join(block.labels)}"


def through_backbone(block: Features, name: str, *, threads: int) -> None:
    from memorability.core import distributed
    from memorability.features.extraction import extract
    from memorability.features.extractor import Extractor

    listed = Listed(Path(block.input))
    device = distributed.device(threads=threads)
    extractor = Extractor(
        layout.MODELS / block.backbone,
        layers=block.layers,
        pools=block.pools,
        views=block.views,
        dtype=block.dtype,
        batch_size=block.batch_size,
        pixels=block.pixels,
        device=str(device),
    )
    with staged_folder(layout.FEATURES / name) if runtime.rank() == 0 else nullcontext(Path()) as scratch:
        out = Path(distributed.told(str(scratch), device=device))  # one folder for all processes
        computed = extract(
            listed.keys,
            partial(listed.pictures.picture, side=extractor.side),
            extractor,
            out=out,
            cache_root=cache_root(),
            threads=threads,
            shape=listed.shape,
            slots=listed.slots.tolist(),
            more={"frames": listed.frames} if listed.frames else None,
        )
        if runtime.rank() == 0:
            ids = pd.DataFrame({"id": listed.ids})
            (ids.assign(length=listed.lengths) if listed.frames else ids).to_csv(out / "ids.csv", index=False)
    kind = "frames" if listed.frames else "pictures"
    print(
        f"{len(listed.keys)} {kind}: {computed} computed here, the others in the cache or by other processes"
    )


if __name__ == "__main__":
    run("features", main, together=True)
