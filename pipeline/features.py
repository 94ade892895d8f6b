"""features@NAME: one track through one frozen backbone: data/features/NAME."""

from contextlib import nullcontext
from pathlib import Path

from memorability import runtime, tables
from memorability.features import Extractor, extract
from memorability.files import cache_root, staged_folder
from memorability.inputs import Pictures
from memorability.params import Params
from pipeline.common import BACKBONES, FEATURES, RAW, run


def main(params: Params, name: str) -> None:
    block = params.features[name]
    rows = tables.read(RAW / block.track / "index.csv")
    rows = rows[rows["problem"].isna()]
    pictures = Pictures(rows, RAW / block.track)
    fabric = runtime.fabric(precision="32-true", threads=params.threads, deterministic=False)
    extractor = Extractor(
        BACKBONES / block.backbone,
        layer=block.layer,
        pool=block.pool,
        dtype=block.dtype,
        batch_size=block.batch_size,
        device=str(fabric.device),
    )
    with staged_folder(FEATURES / name) if runtime.rank() == 0 else nullcontext(Path()) as scratch:
        out = Path(fabric.broadcast(str(scratch)))  # one folder for all processes
        keys, threads = list(rows["sha256"]), params.threads
        computed = extract(
            keys, pictures.picture, extractor, out=out, cache_root=cache_root(), threads=threads
        )
        if runtime.rank() == 0:
            rows[["id"]].to_csv(out / "ids.csv", index=False)
    print(f"{len(rows)} pictures: {computed} computed here, the others in the cache or by other processes")


if __name__ == "__main__":
    run("features", main, together=True)
