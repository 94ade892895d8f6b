"""300 malformed and hostile files among good ones: each has its row, the good ones their score, nothing else happens."""

from __future__ import annotations

import csv
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import save
from typer.testing import CliRunner

from memorability import cli
from memorability.predict.choice import Project

KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
GOOD = ("a-good.png", "m-good.jpg", "z-good.webp")


def picture():
    colours = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((96, 72), Image.Resampling.BICUBIC)


def bomb(width, height, zeros):
    """A PNG that claims to be of this size, with a run of zeros for its pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(zeros))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def contents():
    """300 contents: cut, scrambled, of another kind than they say, of sizes that no memory holds."""
    rng = np.random.default_rng(0)
    for kind in KINDS:
        out = io.BytesIO()
        picture().save(out, kind)
        whole = out.getvalue()
        for _ in range(24):
            yield kind.lower(), whole[: int(rng.integers(1, len(whole) // 2))]
        for _ in range(22):
            changed = np.frombuffer(whole, np.uint8).copy()
            places = rng.integers(0, len(whole), 1 + len(whole) // 50)
            changed[places] = rng.integers(0, 256, len(places))
            yield kind.lower(), changed.tobytes()
    for side in (60_000, 2**31 - 1, 0, 30_000):
        yield "png", bomb(side, side, 2**20)
    for size in (0, 1, 3, 100, 5000, 70_000):
        yield "jpg", rng.bytes(size)
        yield "jpg", b"\xff\xd8\xff" + rng.bytes(size)
        yield "webp", b"RIFF\xff\xff\xff\xffWEBPVP8 " + rng.bytes(size)
    yield "svg", b"<svg><image href='file:///etc/passwd'/></svg>"
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    save(Project.of(root / "models"), "m", "memnet")
    (root / "files").mkdir()
    for name in GOOD:
        picture().save(root / "files" / name)
    for i, (ending, content) in enumerate(contents()):
        (root / "files" / f"h{i:03}.{ending}").write_bytes(content)
    os.mkfifo(root / "files" / "pipe.png")
    (root / "files" / "circle.png").symlink_to("circle.png")
    return root


@pytest.mark.filterwarnings("ignore")  # Pillow's, of tags that make no sense
def test_the_good_ones_are_scored_and_each_other_has_its_reason(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = sorted(path.name for path in Path("files").iterdir())
    assert len(names) == len(GOOD) + 302
    listed = "".join(f"files/{name}\n" for name in names)
    done = CliRunner().invoke(cli.app, ["predict", "-", "--model", "m", "-o", "scores.csv"], input=listed)
    assert done.exit_code == 1, done.output
    with Path("scores.csv").open(newline="") as stream:
        rows = {row["path"]: row for row in csv.DictReader(stream)}
    assert list(rows) == [f"files/{name}" for name in names]
    scores = {float(rows[f"files/{name}"]["score"]) for name in GOOD}
    assert all(np.isfinite(score) for score in scores)
    unscored = [row for row in rows.values() if not row["score"]]
    assert len(unscored) > 200  # what was changed in its pixels alone is a picture still
    assert all(row["note"] for row in unscored)
    assert sorted(path.name for path in Path().iterdir()) == ["files", "models", "scores.csv"]
