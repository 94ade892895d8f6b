"""What `make repro` says of committed files that came out otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from repository import commit, run

from pipeline import done

HERE = {"processor": "x86_64 One avx2", "threads": 2, "kernels": "pinned"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a few committed files that stages make, and one that they do not make."""
    for name in ("metrics/images/ridge.json", "plots/data/images/density.csv", "dvc.lock", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    (tmp_path / "metrics/images/processor.json").write_text(json.dumps(HERE))
    run(tmp_path, "git", "init", "-q")
    commit(tmp_path, "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_is_said_of_what_came_out_as_it_was(project: Path) -> None:
    (project / "README.md").write_text("of the user")
    (project / "metrics/images/new.json").write_text("of a model that is not committed")
    assert done.changed() == []


def test_another_processor_is_named(project: Path) -> None:
    (project / "metrics/images/ridge.json").write_text("another number")
    (project / "metrics/images/processor.json").write_text(json.dumps(HERE | {"processor": "arm64 Other"}))
    assert done.changed() == ["metrics/images/processor.json", "metrics/images/ridge.json"]
    said = done.explained(done.changed())
    assert "2 committed files" in said
    assert "here on arm64 Other, 2 threads, pinned kernels, there on x86_64 One avx2, 2 threads" in said
    assert "\n" not in said


def test_a_gpu_is_as_another_seed(project: Path) -> None:
    (project / "metrics/images/ridge.json").write_text("another number")
    (project / "metrics/images/processor.json").write_text(json.dumps(HERE | {"gpu": "NVIDIA T4"}))
    said = done.explained(done.changed())
    assert (
        "made here on x86_64 One avx2, 2 threads, pinned kernels, NVIDIA T4, there on x86_64 One avx2" in said
    )
    assert "as another seed does; CUDA_VISIBLE_DEVICES= dvc repro --force" in said
    commit(project, "made on a GPU")
    (project / "metrics/images/ridge.json").write_text("a third number")
    (project / "metrics/images/processor.json").write_text(json.dumps(HERE | {"gpu": "NVIDIA H200"}))
    assert "CUDA_VISIBLE_DEVICES" not in done.explained(done.changed())


def test_on_the_same_processor_something_else_has_changed(project: Path) -> None:
    (project / "dvc.lock").write_text("other hashes")
    assert done.explained(done.changed()) == (
        "1 committed files (dvc.lock, ...) came out otherwise than they are committed: "
        "code, params or libraries are others."
    )


def test_outside_a_git_repository_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert done.changed() == []
