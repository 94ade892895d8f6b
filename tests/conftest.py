"""What more than one test file needs made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import repository


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny repository after the one `dvc repro` of the session; work in a copy of it, never in it."""
    return repository.build(tmp_path_factory.mktemp("road") / "clone")
