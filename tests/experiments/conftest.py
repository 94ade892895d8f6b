"""A small project in which the tests of searches search."""

from __future__ import annotations

import shutil

import pytest
import searching


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return searching.made(tmp_path_factory.mktemp("project") / "here")


@pytest.fixture
def here(project, tmp_path, monkeypatch):
    """A copy of the project without results, which is the working directory."""
    shutil.copytree(project / "data", tmp_path / "here" / "data")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"
