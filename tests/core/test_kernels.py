"""Kernels are pinned before a library that computes is loaded, and only where that is asked for and possible."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from memorability.core import kernels

SAYS = """
import json, os, sys
from pathlib import Path
from memorability.core import kernels
kernels.start(Path(sys.argv[1]))
found = {name: os.environ.get(name) for name in kernels.PINNED}
print(json.dumps([kernels.setting(), found, "numpy" in sys.modules]))
"""
NONE = dict.fromkeys(kernels.PINNED)


@pytest.fixture
def environment(monkeypatch):
    """An environment without any of the variables, of a process on a processor with AVX2 that has loaded nothing."""
    for name in (*kernels.PINNED, kernels._OPPOSITE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kernels, "_has_avx2", lambda: True)
    monkeypatch.setattr(kernels, "_TOO_LATE", ())
    yield os.environ
    for name in kernels.PINNED:
        monkeypatch.delenv(name, raising=False)


def started(params):
    """What a new process has after `start`."""
    environment = {name: value for name, value in os.environ.items() if name not in kernels.PINNED}
    command = [sys.executable, "-c", SAYS, str(params)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "text", [None, "seed: 0\n", "kernels: pinned\n", "kernels: [\n", "[]\n", "kernels: other\n"]
)
def test_a_process_is_pinned_before_numpy_is_loaded(tmp_path, text):
    """Without a params file and with one that `params.load` will refuse as well."""
    if text is not None:
        (tmp_path / "params.yaml").write_text(text)
    expected = ["pinned", kernels.PINNED, False] if kernels._has_avx2() else ["native", NONE, False]
    assert started(tmp_path / "params.yaml") == expected


def test_params_turn_it_off(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 0\nkernels: native\n")
    assert started(tmp_path / "params.yaml") == ["native", NONE, False]


def test_what_a_user_has_set_stays_and_is_said(environment, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    kernels.pin()
    assert environment["OPENBLAS_CORETYPE"] == "Zen"
    assert environment["MKL_CBWR"] == kernels.PINNED["MKL_CBWR"]
    assert "OPENBLAS_CORETYPE=Zen" in kernels.setting()


def test_numpy_is_not_given_two_variables_that_contradict_each_other(environment, monkeypatch):
    monkeypatch.setenv("NPY_ENABLE_CPU_FEATURES", "X86_V3")
    kernels.pin()
    assert "NPY_DISABLE_CPU_FEATURES" not in environment
    assert "NPY_ENABLE_CPU_FEATURES=X86_V3" in kernels.setting()


def test_nothing_is_pinned_without_avx2(environment, monkeypatch):
    monkeypatch.setattr(kernels, "_has_avx2", lambda: False)
    kernels.pin()
    assert kernels.setting() == "native"


def test_nothing_is_pinned_by_halves(environment, monkeypatch):
    monkeypatch.setattr(kernels, "_TOO_LATE", ("numpy",))
    monkeypatch.setitem(sys.modules, "numpy", sys)
    kernels.pin()
    assert kernels.setting() == "native"
