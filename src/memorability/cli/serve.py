"""`memorability serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memorability.cli import common
from memorability.core import layout
from memorability.core.errors import DataError


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0: for all of the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8000,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model's name or folder, may be given several times; by default all that are here."
        ),
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = layout.MODELS,
    confidence: Annotated[
        float, typer.Option(help="With which a score's interval is to hold the true score, between 0 and 1.")
    ] = 0.9,
    workers: Annotated[int, typer.Option(min=1, help="Requests that compute at the same time.")] = 2,
    slots: Annotated[int, typer.Option(min=1, help="Requests inside at a time; more are answered 503.")] = 16,
    megabytes: Annotated[int, typer.Option(min=1, help="Largest file, in MiB.")] = 64,
    seconds: Annotated[float, typer.Option(help="Longest clip, in seconds.")] = 60.0,
) -> None:
    """Opens a page that scores pictures and clips, and a JSON API, at http://HOST:PORT.

    Example: memorability serve --port 8080 --model photos
    """
    try:
        from memorability.web import server
    except ImportError as error:
        raise DataError(f"serve needs {error.name}: pip install 'memorability[serve]'") from error
    from memorability.web.catalogue import Catalogue
    from memorability.web.limits import Limits

    limits = Limits(bytes=megabytes * 2**20, seconds=seconds, running=workers, slots=max(slots, workers))
    project = common.project(models)
    catalogue = Catalogue(project, names=model or (), device=common.device(), confidence=confidence)
    offered = ", ".join(catalogue.offers)
    shown = f"[{host}]" if ":" in host else host
    common.note([f"models: {offered}", f"http://{shown}:{port}  (Ctrl-C stops it)"])
    server.serve(catalogue, host=host, port=port, limits=limits)
