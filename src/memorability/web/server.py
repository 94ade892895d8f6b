"""Runs the application under uvicorn."""

from __future__ import annotations

import uvicorn

from memorability.core import runtime
from memorability.web.app import create_app
from memorability.web.catalogue import Catalogue
from memorability.web.limits import Limits


def serve(catalogue: Catalogue, *, host: str, port: int, limits: Limits, threads: int | None = None) -> None:
    """Serves until it is stopped; requests that are inside then are answered first, for up to 10 s.

    Args:
        threads: of the CPU, for each request that computes; by default the cores.
    """
    import torch

    threads = threads or runtime.cores()
    runtime.limit_threads(threads)
    torch.set_num_threads(threads)
    uvicorn.run(
        create_app(catalogue, limits=limits),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=10,
    )
