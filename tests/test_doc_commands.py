"""README, CONTRIBUTING and docs: every `memorability` command that a page shows is one, with options that it has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from repository import ROOT

from memorability import cli

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = re.compile(r"^ {4,}(?:\S+/)?(memorability .*)$", re.MULTILINE)


def shown(page: Path) -> list[list[str]]:
    """The commands of a page in words: each `memorability ...` of a line of code, without what is said behind #."""
    lines = SHOWN.findall(page.read_text(encoding="utf-8").replace("\\\n", " "))  # lines that go on are one
    parts = [part for line in lines for part in re.split(r"&&?|[|>]", re.sub(r"\s#\s.*", "", line))]
    words = [shlex.split(part) for part in parts]
    return [found[1:] for found in words if found[:1] == ["memorability"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_are_ones(page: Path) -> None:
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]  # a group, which typer does not say
    for name, *arguments in shown(page):
        commands[name].make_context(name, arguments)  # a UsageError names what is wrong


def test_there_are_commands() -> None:
    assert sum(len(shown(page)) for page in PAGES) > 80
