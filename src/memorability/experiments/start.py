"""How work in a project starts: params, threads, a line on which stage it is, and one on how long it took."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memorability import params
from memorability.core import layout, runtime
from memorability.core.yaml import read_yaml

GRAPH = Path("dvc.yaml")


@contextmanager
def started(work: str) -> Iterator[params.Params]:
    """The project's params, with CPU threads limited as they say; the wall time of the block is logged as `work`."""
    settings = params.load()
    runtime.limit_threads(settings.threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.threads))
    stages = stage_names(settings)
    if work in stages and runtime.rank() == 0:
        print(f"{work}: stage {stages.index(work) + 1} of {len(stages)}", flush=True)
    with runtime.timed(work, layout.TIMES):
        yield settings


def stage_names(settings: params.Params, graph: Path = GRAPH) -> list[str]:
    """The names of all stages of a project, in the order of dvc.yaml and params.yaml; none where there is no graph."""
    if not graph.is_file():
        return []
    names = list[str]()
    for stage, body in read_yaml(graph)["stages"].items():
        block = str(body.get("foreach", "")).removeprefix("${").removesuffix("}")
        names += [f"{stage}@{key}" for key in getattr(settings, block)] if block else [stage]
    return names
