"""features@NAME: one track through one frozen backbone: data/features/NAME."""

from memorability import tables
from memorability.feature_cache import default_root
from memorability.features import Extractor, extract
from memorability.files import staged_folder
from memorability.inputs import Pictures
from memorability.params import Params
from pipeline.common import BACKBONES, FEATURES, RAW, run


def main(params: Params, name: str) -> None:
    block = params.features[name]
    rows = tables.read(RAW / block.track / "index.csv")
    rows = rows[rows["problem"].isna()]
    pictures = Pictures(rows, RAW / block.track)
    extractor = Extractor(
        BACKBONES / block.backbone,
        layer=block.layer,
        pool=block.pool,
        dtype=block.dtype,
        batch_size=block.batch_size,
    )
    with staged_folder(FEATURES / name) as out:
        rows[["id"]].to_csv(out / "ids.csv", index=False)
        keys, threads = list(rows["sha256"]), params.threads
        computed = extract(
            keys, pictures.picture, extractor, out=out, cache_root=default_root(), threads=threads
        )
    print(f"{len(rows)} pictures: {computed} computed, the others from the cache")


if __name__ == "__main__":
    run("features", main)
