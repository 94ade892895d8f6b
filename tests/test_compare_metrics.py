"""The comparison that CI makes: to the byte on the same processor, within tolerances elsewhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "compare_metrics.py"
SPEC = importlib.util.spec_from_file_location("compare_metrics", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
compare_metrics = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(compare_metrics)


@pytest.mark.parametrize(
    ("name", "old", "new", "fine"),
    [
        (".test.spearman", 0.60, 0.615, True),
        (".test.spearman", 0.60, 0.625, False),
        (".images.svr.val_spearman", 0.60, 0.57, False),
        (".test.mse", 0.0200, 0.0209, True),
        (".test.mse", 0.0200, 0.0212, False),
        (".test.l1", 0.100, 0.108, False),
        (".test.spearman", None, None, True),
        (".test.spearman", None, 0.1, False),
        (".test.mse_low", 0.010, 0.020, True),
        (".test.sd_ratio", 0.5, 0.9, True),
        (".images.human.test_spearman", 0.77, 0.74, False),
    ],
)
def test_tolerances(name: str, old: float | None, new: float | None, fine: bool) -> None:
    assert compare_metrics.tolerable(name, old, new) is fine


def test_reports_are_flattened_with_their_splits() -> None:
    assert compare_metrics.flat({"test": {"mse": 0.1}, "n": 3}) == {".test.mse": 0.1, ".n": 3}
