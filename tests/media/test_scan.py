"""Which files are pictures and which are clips, and what is not looked at."""

import io
import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from memorability.media import pictures, video
from memorability.media.scan import kind, scan

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))


def encoded(kind, **options):
    stream = io.BytesIO()
    PICTURE.save(stream, kind, **options)
    return stream.getvalue()


PICTURES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "JPEG"),
    **{".png": "PNG", ".apng": "PNG", ".webp": "WEBP", ".avif": "AVIF", ".jp2": "JPEG2000", ".bmp": "BMP"},
    **{".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF"},
}
# How ffmpeg makes a clip of each ending.
CLIPS = {
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".qt", ".mkv", ".avi", ".3gp"), "-c:v mpeg4"),
    **dict.fromkeys((".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".mxf"), "-c:v mpeg2video"),
    **dict.fromkeys((".wmv", ".asf"), "-c:v wmv2 -f asf"),
    **{".flv": "-c:v flv1", ".f4v": "-c:v libx264 -f mp4", ".webm": "-c:v libvpx", ".ogv": "-c:v libtheora"},
    ".gif": "",
}
FORMATS = {".m4v": "mp4", ".qt": "mov", ".mts": "mpegts", ".m2ts": "mpegts"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A clip of half a second of each ending."""
    folder = tmp_path_factory.mktemp("clips")
    for ending, codec in CLIPS.items():
        output = [*codec.split(), *(["-f", FORMATS[ending]] if ending in FORMATS else [])]
        source = ["-f", "lavfi", "-i", "testsrc=size=176x144:rate=25:duration=0.5"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *source, *output]
        subprocess.run([*command, str(folder / f"clip{ending}")], check=True)
    return folder


def test_the_endings_are_all_tried_here():
    assert set(PICTURES) == set(pictures.SUFFIXES)
    assert set(CLIPS) == set(video.SUFFIXES)


@pytest.mark.parametrize("ending", PICTURES)
@pytest.mark.parametrize("named", ["as it is", "without an ending", "wrongly", "in capitals"])
def test_pictures_of_every_kind(tmp_path, ending, named):
    shown = {"as it is": ending, "without an ending": "", "wrongly": ".mp4", "in capitals": ending.upper()}[
        named
    ]
    if named == "wrongly" and PICTURES[ending] == "TIFF":
        shown = ".tif"  # whose first bytes are those of raw photographs too
    path = tmp_path / f"a{shown}"
    path.write_bytes(encoded(PICTURES[ending]))
    assert kind(path) == "picture"
    assert pictures.read(path).size == (48, 32)


@pytest.mark.parametrize("ending", CLIPS)
@pytest.mark.parametrize("named", ["as it is", "without an ending", "wrongly"])
def test_clips_of_every_kind(clips, tmp_path, ending, named):
    path = tmp_path / {"as it is": f"a{ending}", "without an ending": "a", "wrongly": "a.dat"}[named]
    path.write_bytes((clips / f"clip{ending}").read_bytes())
    assert kind(path) == "clip"
    sampling = video.Sampling("evenly", count=2)
    assert len(video.sample(video.url(path), sampling, name="a").frames) == 2


def test_a_folder_is_sorted_into_what_its_files_are(clips, tmp_path):
    for name in ("b.mp4", "a.webm", "sub/c.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((clips / f"clip.{name[-3:].replace('ebm', 'webm')}").read_bytes())
    (tmp_path / "poster.jpg").write_bytes(encoded("JPEG"))
    (tmp_path / "still.gif").write_bytes(encoded("GIF"))
    (tmp_path / "moving.gif").write_bytes((clips / "clip.gif").read_bytes())
    (tmp_path / "empty.png").write_bytes(b"")  # decoding it says so
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "more.txt").write_text("notes")
    (tmp_path / "README").write_text("notes")
    (tmp_path / "._a.jpg").write_bytes(encoded("JPEG"))
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "d.jpg").write_bytes(encoded("JPEG"))
    found = scan([tmp_path])
    assert [path.name for path in found.pictures] == ["empty.png", "poster.jpg", "still.gif"]
    assert [path.relative_to(tmp_path).as_posix() for path in found.clips] == [
        "a.webm",
        "b.mp4",
        "moving.gif",
        "sub/c.mkv",
    ]
    assert {other.path.name: other.reason for other in found.others} == {
        "README": "without an ending",
        "more.txt": "of ending '.txt'",
        "notes.txt": "of ending '.txt'",
    }
    assert found.left_out() == (
        f"not looked at: 2 of ending '.txt' (such as '{tmp_path}/more.txt'); "
        f"1 without an ending (such as '{tmp_path}/README')"
    )


def test_named_files_keep_their_order_and_may_be_hidden(tmp_path):
    for name in (".b.png", "a.png"):
        (tmp_path / name).write_bytes(encoded("PNG"))
    found = scan([tmp_path / ".b.png", tmp_path / "a.png"])
    assert [path.name for path in found.pictures] == [".b.png", "a.png"]
    assert found.left_out() is None


def test_what_cannot_be_read_does_not_lose_the_rest(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "b.png").write_bytes(encoded("PNG"))
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "album").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "pipe.mp4")
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refusing)
        found = scan([tmp_path, tmp_path / "missing.jpg", tmp_path / ("x" * 300), tmp_path / "a\0b"])
    assert [path.name for path in found.pictures] == ["a.png"]
    assert [(other.path.name[:12], other.reason) for other in found.others] == [
        ("album", "a link to a folder"),
        ("gone.png", "cannot be read (No such file or directory)"),
        ("locked", "cannot be read (Permission denied)"),
        ("pipe.mp4", "not a file, but a pipe or a device"),
        ("zero.png", "not a file, but a pipe or a device"),
        ("missing.jpg", "cannot be read (No such file or directory)"),
        ("xxxxxxxxxxxx", "cannot be read (File name too long)"),
        ("a\0b", "cannot be read (embedded null byte)"),
    ]


def test_folders_may_be_deep(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        for _ in range(1200):
            Path("d").mkdir()
            os.chdir("d")
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    found = scan([tmp_path])
    subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)  # Python's own removal is not made for it
    assert [path.name for path in found.pictures] == ["a.png"]


@pytest.mark.parametrize("name", ["song.m4a", "raw.dng", "notes.pdf", "song.ogg"])
def test_what_is_neither(tmp_path, name):
    heads = {
        ".m4a": b"\0\0\0\x20ftypM4A ",
        ".dng": b"II*\0",
        ".pdf": b"%PDF-1.7",
        ".ogg": b"OggS" + bytes(60),
    }
    (tmp_path / name).write_bytes(heads[name[-4:]] + bytes(500))
    assert kind(tmp_path / name) is None
