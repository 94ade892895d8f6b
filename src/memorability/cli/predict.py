"""`memorability predict`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from memorability.cli import common
from memorability.core import layout
from memorability.core.errors import CallError
from memorability.predict.map_formats import Format


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, clips, folders of them, patterns such as 'a/**/*.jpg', http(s) URLs (not with --map); -: a "
            "list of these on standard input, one a line."
        ),
    ],
    as_csv: Annotated[bool, typer.Option("--csv", help="A row a file, in their order.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as one JSON list.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="The same, a JSON object a line.")] = False,
    as_table: Annotated[bool, typer.Option("--table", help="For the eye; the default.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The file to write, at once or not at all; its ending says the format (.csv, .json, .jsonl, .txt). Of "
            "--map: the file of one picture's map (.png; .npy, .tif: its values), or a folder for several.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model's name or folder; by default the best of this project, or the one that came with the package."
        ),
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = layout.MODELS,
    confidence: Annotated[
        float, typer.Option(help="With which a score's interval is to hold the true score, between 0 and 1.")
    ] = 0.9,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Pictures at a time; the scores are the same whatever it is.")
    ] = 32,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, ...; by default a GPU if there is one.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="What the clip shows, for models that read titles (one clip).")
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="Also what the model says of each frame, if it does.")
    ] = False,
    to_maps: Annotated[
        bool,
        typer.Option("--map", help="Which regions of pictures are remembered: a file each, to --out."),
    ] = False,
    kind: Annotated[
        Format | None, typer.Option("--format", help="Of maps that go to a folder; by default png.")
    ] = None,
    overlay: Annotated[
        bool,
        typer.Option("--overlay", help="Of --map: also NAME.overlay.png, the map laid over its picture."),
    ] = False,
    private: Annotated[
        bool, typer.Option("--private-urls", help="Also URLs of this machine and of private networks.")
    ] = False,
) -> None:
    """Scores pictures or clips: how likely people are to remember them; or maps what they remember of pictures.

    What cannot be read is reported and the rest scored; the exit code is then 1, and 2 after a wrong call.

    Example: memorability predict photos/ -o scores.csv
    """
    from memorability.cli import scores

    formats = {"csv": as_csv, "json": as_json, "jsonl": as_jsonl, "table": as_table}
    asked = [name for name, given in formats.items() if given]
    if len(asked) > 1:
        raise CallError(f"received --{' and --'.join(asked)}; valid: one format")
    if to_maps:
        _check_maps(out, asked, frames=frames, title=title)
        from memorability.cli import maps

        maps.write(
            list(_listed(paths)),
            out or Path(),
            lambda: common.opened("maps", model, models, device=common.device(device)),
            overlay=overlay,
            kind=kind,
            as_json=as_json,
        )
        return
    if given := [name for name, value in (("--overlay", overlay), ("--format", kind is not None)) if value]:
        raise CallError(f"{' and '.join(given)} without --map: they are of maps")
    if title is not None and (len(paths) != 1 or paths[0] == "-" or Path(paths[0]).is_dir()):
        received = f"{len(paths)} paths" if len(paths) > 1 else "a list" if paths[0] == "-" else "a folder"
        raise CallError(f"--title is that of one clip, received {received}")
    scores.write(
        _listed(paths),
        common.project(models),
        to=out,
        kind=asked[0] if asked else None,  # type: ignore[arg-type]  # a key of `formats`
        total=len(paths) if _all_files(paths) else None,
        frames=frames,
        private=private,
        model=model,
        titles={} if title is None else {Path(paths[0]): title},
        device=common.device(device),
        confidence=confidence,
        batch_size=batch_size,
    )


def _check_maps(out: Path | None, formats: list[str], *, frames: bool, title: str | None) -> None:
    given = [name for name, value in (("--frames", frames), ("--title", title is not None)) if value]
    if given:
        raise CallError(
            f"--map is of pictures, {' and '.join(given)} of scores of clips; give one or the other"
        )
    if out is None:
        raise CallError("--map needs --out (-o): the .png of one picture, or a folder for those of several")
    if others := sorted({*formats} - {"json", "table"}):
        raise CallError(f"--map with --{others[0]}: what is said of maps is a table or --json")


def _listed(paths: list[str]) -> Iterator[str]:
    """The paths, and in the place of - those on standard input, as they come."""
    for path in paths:
        if path != "-":
            yield path
            continue
        for line in sys.stdin.buffer:
            if name := line.removesuffix(b"\n").removesuffix(b"\r"):
                yield os.fsdecode(name)


def _all_files(paths: list[str]) -> bool:
    """Whether each path is one file, so that their number is known beforehand."""
    return all(path != "-" and Path(path).is_file() for path in paths)
