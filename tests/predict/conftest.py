"""Tests of what predicts do not depend on whether a model came with the package."""

from __future__ import annotations

import pytest

from memorability.core import layout


@pytest.fixture(autouse=True)
def none_released(tmp_path_factory, monkeypatch):
    """No model came with the package; a test of the released one makes its own."""
    monkeypatch.setattr(layout, "RELEASED", tmp_path_factory.getbasetemp() / "nowhere" / "photos")
