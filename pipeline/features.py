"""features@NAME: pictures or frames through one frozen backbone, hand-made features, or such as come with the data:
data/features/NAME."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from memorability.core import layout, runtime
from memorability.core.files import cache_root, staged_folder, write_json
from memorability.features import stored
from memorability.features.inputs import Listed
from memorability.features.settings import Features
from memorability.params import Params
from pipeline.common import run

if TYPE_CHECKING:
    from memorability.features.extractor import Extractor


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

    listed = Listed(Path(block.input))
    device = distributed.device(threads=threads)
    extractor, names = opened(block, device=str(device))
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
            if names:
                write_json(out / stored.NAMES, names)
    kind = "frames" if listed.frames else "pictures"
    print(
        f"{len(listed.keys)} {kind}: {computed} computed here, the others in the cache or by other processes"
    )


def opened(block: Features, *, device: str) -> "tuple[Extractor, list[str]]":
    """What computes a block's features, and their names where they have any."""
    from memorability.features.extractor import Extractor
    from memorability.features.scene_categories import SceneExtractor

    folder = layout.MODELS / block.backbone
    how: dict[str, Any] = {
        "views": block.views,
        "dtype": block.dtype,
        "batch_size": block.batch_size,
        "device": device,
    }
    if block.scenes is not None:
        scenes = SceneExtractor(folder, scenes=block.scenes, **how)
        return scenes, scenes.names
    return Extractor(folder, layers=block.layers, pools=block.pools, pixels=block.pixels, **how), []


if __name__ == "__main__":
    run("features", main, together=True)
