"""What the tests of whole repositories share: running commands in one, and a tiny one to run them in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
# Of each kind one: a baseline, a closed form and a network that reads features or pictures, of each track.
MODELS = {
    "images": ("mean", "ridge", "resmem"),
    "videos": ("mean_short", "ridge_short"),
    "maps": ("mean_map", "ridge_map", "pix2pix"),
}
FEATURES = ("demo_images", "demo_videos", "demo_maps_places")  # that these read
BACKBONE = "demo_resnet18"  # by which
ENSEMBLE = "ensemble_short"
ON_BOARD = MODELS | {"videos": (*MODELS["videos"], ENSEMBLE)}
NOT_COPIED = ("metrics/", "plots/data/", "plots/figures/", "dvc.lock", "docs/", "tests/", "benchmarks/")
# Variables that one machine sets and another one does not: the tests run commands as in any user's shell.
NOT_PASSED_ON = (
    *("PYTHON", "PIP_", "UV_", "VIRTUAL_ENV", "DVC_", "GIT_", "SSH_", "XDG_", "MEMORABILITY_"),
    *("OMP_", "MKL_", "OPENBLAS_", "ATEN_", "ONEDNN_", "NPY_", "RANK", "WORLD_SIZE", "LOCAL_"),
)


def run(where: Path, *command: str, check: bool = True, **more: str) -> str:
    """Runs a command in a repository, against that repository's own code; returns what it printed.

    Settings of the person who runs the tests do not count: git and DVC see none, nor is there an SSH agent.
    `more` are further environment variables.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)}
    environment = kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(where / "src"),
        "MEMORABILITY_CACHE": str(where.parent / "cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_NAME": "test" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "test@example.org" for who in ("AUTHOR", "COMMITTER")},
        **{f"DVC_{name}_CONFIG_DIR": str(where.parent / "no-config") for name in ("GLOBAL", "SYSTEM")},
        "DVC_SITE_CACHE_DIR": str(where.parent / "site"),
        "DVC_NO_ANALYTICS": "1",
        **more,
    }
    done = subprocess.run(
        command, cwd=where, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    output = done.stdout + done.stderr
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} failed:\n{output}")
    return output


def memorability(where: Path, *arguments: str, check: bool = True) -> str:
    """The user's command, with the repository's code."""
    return run(where, sys.executable, "-m", "memorability.cli", *arguments, check=check)


def commit(where: Path, message: str) -> None:
    run(where, "git", "add", "--all")
    run(where, "git", "commit", "-qm", message)


def ran(output: str) -> list[str]:
    """The stages whose command `dvc repro` really ran, by its output."""
    lines = (line.split("'") for line in output.splitlines())
    return [words[1] for words in lines if words[0] == "Running stage "]


def edit_params(where: Path, **changes: Any) -> dict[str, Any]:
    """Sets keys of params.yaml at dotted paths (`__` for the dots; None removes a key); returns all of it."""
    path = where / "params.yaml"
    params: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *above, key = dotted.split("__")
        block = params
        for name in above:
            block = block[name]
        block[key] = value
        if value is None:
            del block[key]
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return params


def shrink(params: dict[str, Any]) -> dict[str, Any]:
    """The committed params with a tiny demo and a few of its models: stages of each kind, seconds instead of minutes."""
    params["acquire"]["images"]["demo"] |= {"pictures": 60, "pixels": 72}
    params["acquire"]["videos"]["demo_videos"] |= {"clips": 24, "pixels": 48}
    params["acquire"]["maps"]["demo_maps"] |= {"pictures": 40, "pixels": 48}
    params["frames"]["demo_videos"]["count"] = 2
    params["features"] = {name: params["features"][name] for name in FEATURES}
    params["features"]["demo_maps_places"]["pixels"] = 64
    params["backbones"] = {BACKBONE: params["backbones"][BACKBONE]}
    demo = params["backbones"][BACKBONE]
    demo["demo"] |= {"pictures": 100, "epochs": 1}
    demo["transform"] |= {"resize": 36, "crop": 32}
    params["models"] = {name: params["models"][name] for names in MODELS.values() for name in names}
    params["models"]["resmem"] |= {"epochs": 1, "hidden": 32}
    params["models"]["pix2pix"] |= {"epochs": 1, "pixels": 32, "width": 4, "discriminator": {"width": 4}}
    params["ensembles"] = {ENSEMBLE: params["ensembles"][ENSEMBLE] | {"members": list(MODELS["videos"])}}
    for block in params["evaluate"].values():
        block |= {"bootstrap": 100, "halves": 5}
    return params


def lay_out(where: Path) -> Path:
    """A repository with the working tree's files and tiny params, in which nothing has run."""
    where.mkdir(parents=True)
    files = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in files:
        if (ROOT / name).is_file() and not name.startswith(NOT_COPIED):
            target = where / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    params = where / "params.yaml"
    params.write_text(yaml.safe_dump(shrink(yaml.safe_load(params.read_text())), sort_keys=False))
    run(where, "git", "init", "-q")
    commit(where, "a tiny demo")
    return where


def build(where: Path) -> Path:
    """The same, after one `dvc repro`."""
    lay_out(where)
    run(where, "dvc", "repro")
    commit(where, "results")
    return where


def copy(source: Path, to: Path) -> Path:
    """A repository with its outputs and its DVC cache (whose files nobody edits: linked), free to be changed."""
    cache = str(source / ".dvc" / "cache" / "files")

    def duplicate(one: str, other: str) -> None:
        if one.startswith(cache):
            os.link(one, other)
        else:
            shutil.copy2(one, other)

    return Path(shutil.copytree(source, to, symlinks=True, copy_function=duplicate))
