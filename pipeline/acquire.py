"""acquire@TRACK: the data sets in use, packed: data/raw/TRACK."""

from memorability.core import layout
from memorability.core.files import cache_root
from memorability.data.acquire import acquire, summary
from memorability.data.tables import Track
from memorability.params import Params
from pipeline.common import run


def main(params: Params, track: Track) -> None:
    sources = params.acquire[track].sources(track)
    index = acquire(
        track,
        sources,
        layout.RAW / track,
        work=layout.STATES / f"acquire-{track}",
        store=cache_root() / "downloads",
        seed=params.seed,
        threads=params.threads,
    )
    print(f"{layout.RAW / track}:\n{summary(index)}")


if __name__ == "__main__":
    run("acquire", main)
