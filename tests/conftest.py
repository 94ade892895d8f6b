"""What more than one test file needs made once, and what every test starts from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from memorability.core import kernels

kernels.pin()  # as stages do, before anything imports NumPy

import pytest  # noqa: E402
import repository  # noqa: E402


def _torch_as_at_first() -> None:
    """One thread, on which the last bits of results depend, and no process pays for torch that has not loaded it."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module", autouse=True)
def one_thread_in_a_module() -> None:
    """Before anything that a module makes once."""
    _torch_as_at_first()


@pytest.fixture(autouse=True)
def one_thread(one_thread_in_a_module: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test computes with one thread, outside of any stage of DVC, and leaves torch as it was."""
    monkeypatch.delenv("DVC_STAGE", raising=False)
    yield
    _torch_as_at_first()


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny repository after the one `dvc repro` of the session; work in a copy of it, never in it."""
    return repository.build(tmp_path_factory.mktemp("road") / "clone")
