"""A server's catalogue of small models, and the server itself on the loopback address."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
import worlds

from memorability.predict.about import Project
from memorability.web.app import create_app
from memorability.web.catalogue import Catalogue
from memorability.web.limits import Limits


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained model of scores, which has evidence, and one of maps."""
    world = worlds.pictures(tmp_path_factory.mktemp("served"), 120)
    world.fit("memnet", epochs=1)
    maps = worlds.pictures_with_maps(tmp_path_factory.mktemp("served-maps"))
    maps.fit("unet", epochs=1).where.model.rename(world.root / "models" / "unet")
    return world.root / "models"


@pytest.fixture(scope="session")
def catalogue(models: Path) -> Catalogue:
    return Catalogue(Project.of(models), names=["memnet", "unet"], device="cpu")


@pytest.fixture(scope="session")
def address(catalogue: Catalogue) -> Iterator[str]:
    """Of a server that runs for as long as the tests do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(catalogue, limits=Limits(bytes=4 * 2**20))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)
