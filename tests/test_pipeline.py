"""The whole road on a tiny demo, with DVC, in a clone of its own: run, no-op, share, experiment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from memorability import scenes

ROOT = Path(__file__).parents[1]
MODELS = ("mean", "ridge", "resmem")


def run(where: Path, *command: str, check: bool = True) -> str:
    """Runs a command in a clone, against that clone's own code; returns what it printed."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(where / "src"),
        "MEMORABILITY_CACHE": str(where.parent / "cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)
    output = done.stdout + done.stderr
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} failed:\n{output}")
    return output


def commit(where: Path, message: str) -> None:
    run(where, "git", "add", "--all")
    run(where, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", message)


def shrink(params: dict) -> dict:
    """The committed params with a tiny demo: the same stages, seconds instead of minutes."""
    params["acquire"]["images"]["demo"] |= {"pictures": 60, "size": 72}
    demo = params["backbones"]["demo_resnet18"]
    demo["demo"] |= {"pictures": 100, "epochs": 1}
    params["models"] = {name: params["models"][name] for name in MODELS}
    params["models"]["resmem"] |= {"epochs": 2, "hidden": 32}
    params["evaluate"]["bootstrap"] = 100
    return params


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the working tree's files and tiny params, after one `dvc repro`."""
    where = tmp_path_factory.mktemp("road") / "clone"
    where.mkdir()
    files = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in files:
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "plots/", "dvc.lock", "docs/")):
            target = where / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    params = where / "params.yaml"
    params.write_text(yaml.safe_dump(shrink(yaml.safe_load(params.read_text())), sort_keys=False))
    run(where, "git", "init", "-q")
    commit(where, "a tiny demo")
    run(where, "dvc", "repro")
    commit(where, "results")
    return where


def test_every_model_has_its_outputs(clone: Path) -> None:
    for name in MODELS:
        assert (clone / "models" / name / "model.safetensors").is_file()
        assert (clone / f"plots/figures/images/{name}/density.pdf").is_file()
        report = json.loads((clone / f"metrics/images/{name}.json").read_text())
        assert set(report) == {"train", "val", "test"}
    assert json.loads((clone / "metrics/images/mean.json").read_text())["test"]["spearman"] is None
    board = (clone / "metrics/compare/images.leaderboard.csv").read_text()
    assert all(name in board for name in MODELS)


def test_git_holds_metrics_and_no_data(clone: Path) -> None:
    files = run(clone, "git", "ls-files").splitlines()
    assert "metrics/summary.json" in files
    assert "data/splits/images.ids.csv" in files
    assert not [f for f in files if f.startswith(("data/raw", "data/features", "data/predictions"))]
    assert [f for f in files if f.startswith("models/")] == ["models/backbones/none/config.json"]
    assert max((clone / f).stat().st_size for f in files) < 2**20


def test_running_again_does_nothing(clone: Path) -> None:
    assert "Running stage" not in run(clone, "dvc", "repro")


def test_a_clone_pulls_from_a_remote_and_then_runs_nothing(clone: Path, tmp_path: Path) -> None:
    run(clone, "dvc", "remote", "add", "--default", "--force", "--local", "shared", str(tmp_path / "remote"))
    run(clone, "dvc", "push")
    other = tmp_path / "other" / "clone"
    run(clone, "git", "clone", "-q", str(clone), str(other))
    run(other, "dvc", "remote", "add", "--default", "--local", "shared", str(tmp_path / "remote"))
    run(other, "dvc", "pull")
    assert "Running stage" not in run(other, "dvc", "repro")
    picture = tmp_path / "scene.png"
    scenes.render(scenes.draw(1, stream=9, seed=0)[0], size=100)[0].save(picture)
    scored = json.loads(
        run(other, sys.executable, "-m", "memorability.cli", "predict", str(picture), "--json")
    )
    assert 0 <= scored[0]["score"] <= 1


def test_an_experiment_overrides_every_learning_rate_at_top_level(clone: Path) -> None:
    output = run(clone, "dvc", "exp", "run", "-S", "lr=0.00003", "--name", "slow")
    assert "Running stage 'train@resmem'" in output
    assert "Running stage 'features" not in output
    history = (clone / "data/history/resmem/history.csv").read_text().splitlines()
    assert float(history[1].split(",")[1]) == pytest.approx(3e-5)
    shown = run(clone, "dvc", "exp", "show", "--csv")
    assert "slow" in shown
    run(clone, "git", "checkout", "-q", ".")
    run(clone, "dvc", "checkout", "-q")


def test_an_unknown_key_stops_a_stage_before_it_writes(clone: Path) -> None:
    params = clone / "params.yaml"
    kept = params.read_text()
    params.write_text(kept.replace("epochs: 2", "epoks: 2"))
    output = run(clone, "dvc", "repro", "train@resmem", check=False)
    params.write_text(kept)
    assert "models.resmem.epoks: unknown key" in output
    run(clone, "dvc", "checkout", "-q")
    assert (clone / "models/resmem/model.safetensors").is_file()
