"""features@NAME: pictures or frames through one frozen backbone, or features that come with the data:
data/features/NAME."""

from contextlib import nullcontext
from pathlib import Path

import pandas as pd

from memorability.core import distributed, layout, runtime
from memorability.core.files import cache_root, staged_folder
from memorability.features import given
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor
from memorability.features.inputs import Listed
from memorability.params import Params
from pipeline.common import run


def main(params: Params, name: str) -> None:
    block = params.features[name]
    if block.given is not None:
        if runtime.rank() == 0:
            with staged_folder(layout.FEATURES / name) as out:
                how = block.given.model_dump()
                count = given.gather(Path(block.input), out, **how, dtype=block.dtype)
            print(f"{count} files of {block.given.name}")
        return
    listed = Listed(Path(block.input))
    device = distributed.device(threads=params.threads)
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
            listed.pictures.picture,
            extractor,
            out=out,
            cache_root=cache_root(),
            threads=params.threads,
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
