"""acquire@TRACK: the data sets in use, packed: data/raw/TRACK."""

import shutil

from memorability.acquire import acquire
from memorability.params import Params, Track
from pipeline.common import RAW, WORK, run


def main(params: Params, track: Track) -> None:
    work = WORK / f"acquire-{track}"
    shutil.rmtree(work, ignore_errors=True)  # of a run that was stopped
    sources = params.acquire[track].sources(track)
    index = acquire(sources, RAW / track, work=work, seed=params.seed, threads=params.threads)
    shutil.rmtree(work, ignore_errors=True)
    print(f"{len(index)} pictures of {', '.join(sources)} in {RAW / track}")


if __name__ == "__main__":
    run("acquire", main)
