"""acquire@TRACK: the data sets in use, packed: data/raw/TRACK."""

from memorability.acquire import acquire
from memorability.files import cache_root
from memorability.params import Params, Track
from pipeline.common import RAW, STATES, run


def main(params: Params, track: Track) -> None:
    sources = params.acquire[track].sources(track)
    index = acquire(
        track,
        sources,
        RAW / track,
        work=STATES / f"acquire-{track}",
        store=cache_root() / "downloads",
        seed=params.seed,
        threads=params.threads,
    )
    print(f"{len(index)} files of {', '.join(sources)} in {RAW / track}")


if __name__ == "__main__":
    run("acquire", main)
