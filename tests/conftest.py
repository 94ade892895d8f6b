"""What more than one test file needs made once, and what every test starts from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from memorability.core import kernels

kernels.pin()  # as stages do, before anything imports NumPy

import pytest  # noqa: E402
import repository  # noqa: E402
from filelock import FileLock  # noqa: E402


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
    """The tiny repository after the one `dvc repro` of all workers; work in a copy of it, never in it."""
    several = "PYTEST_XDIST_WORKER" in os.environ  # whose folders lie in one
    root = tmp_path_factory.getbasetemp().parent if several else tmp_path_factory.getbasetemp()
    road, done = root / "road" / "clone", root / "road" / "done"
    with FileLock(root / "road.lock"):
        if not done.exists():
            repository.build(road)
            done.touch()
    return road


# The longest first, so that no worker is left with one of them when the others have nothing more to do. What stands
# between two that need the tiny repository is done while another worker makes it.
FIRST = (
    *("test_pipeline.py", "test_doc_pages.py", "core/test_interruption.py", "core/test_distributed.py"),
    "test_sharing.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
