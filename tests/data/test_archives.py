import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.core.errors import DataError, StorageError
from memorability.data import archives
from memorability.data.archives import SCRATCH, unpack

KINDS = ["zip", "w:", "w:gz", "w:bz2", "w:xz"]
LONG = "very-long-folder/" * 12 + "picture.jpg"
MEMBERS = {
    "a.txt": b"first",
    "images/deep/er/b.jpg": bytes(range(256)) * 40,
    "images/Ünïcödé 猫 😀.jpg": b"unicode",
    LONG: b"long",
    "empty": b"",
    "z.txt": b"last",
}


def pack(path, members, kind="zip"):
    """Writes an archive; a value that is a TarInfo or ZipInfo stands for itself, with no content."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                special = isinstance(content, zipfile.ZipInfo)
                archive.writestr(content if special else name, "x" if special else content)
        return path
    with tarfile.open(path, kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            info.name, info.mode = name, 0o4777
            info.size = len(content) if isinstance(content, bytes) else 0
            archive.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return path


def tree(folder):
    """The files below a folder, links included, by path."""
    found = (path for path in sorted(folder.rglob("*")) if not path.is_dir())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def tar_member(kind, **options):
    info = tarfile.TarInfo()
    info.type = kind
    for name, value in options.items():
        setattr(info, name, value)
    return info


def zip_member(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def refused(tmp_path, archive, why, **options):
    """Unpacks beside a file that must survive; returns what was unpacked before the refusal."""
    (tmp_path / "outside").write_bytes(b"untouched")
    with pytest.raises(DataError, match=why) as caught:
        unpack(archive, tmp_path / "out", **options)
    assert str(archive) in str(caught.value)
    beside = {path: content for path, content in tree(tmp_path).items() if not path.startswith("out/")}
    assert beside == {"outside": b"untouched", archive.name: archive.read_bytes()}
    found = tree(tmp_path / "out")
    assert SCRATCH not in found
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("told", [True, False])
def test_every_kind_is_unpacked(tmp_path, kind, told):
    archive = pack(tmp_path / "stored", MEMBERS.items(), kind)
    before = os.umask(0o077)
    try:
        unpack(archive, tmp_path / "out" / "new", kind=(kind if kind == "zip" else "tar") if told else None)
    finally:
        os.umask(before)
    assert tree(tmp_path / "out" / "new") == MEMBERS
    modes = {stat.S_IMODE((tmp_path / "out" / "new" / name).stat().st_mode) for name in MEMBERS}
    assert modes == {0o644}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", KINDS)
def test_folders_come_along_and_may_repeat(tmp_path, kind):
    members = ["./", "only/", "only/this/", "only/"]
    if kind == "zip":
        pack(tmp_path / "stored", [(name, b"") for name in members])
    else:
        folders = [(name, tar_member(tarfile.DIRTYPE)) for name in members]
        pack(tmp_path / "stored", folders, kind)
    unpack(tmp_path / "stored", tmp_path / "out")
    assert [path.name for path in sorted((tmp_path / "out").rglob("*"))] == ["only", "this"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_archive_makes_an_empty_folder(tmp_path, kind):
    unpack(pack(tmp_path / "stored", [], kind), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    inner = pack(tmp_path / "inner.zip", [("inside", b"x")]).read_bytes()
    archive = pack(tmp_path / "stored", [("inner.zip", inner)], "w:")
    assert zipfile.is_zipfile(archive)
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"inner.zip": inner}


@pytest.mark.parametrize("kind", ["zip", "w:gz"])
@pytest.mark.parametrize(
    "name", ["../up", "a/../../up", "/top", "//host/top", "C:/top", "C:top", "..\\up", "a\\b", "."]
)
def test_paths_that_leave_the_folder_are_refused(tmp_path, kind, name):
    archive = pack(tmp_path / "stored", [("good", b"1"), (name, b"bad"), ("later", b"2")], kind)
    why = r"stored: member .* (leads out|has a backslash|is to become)"
    assert refused(tmp_path, archive, why) == {"good": b"1"}


@pytest.mark.parametrize(
    "special",
    [
        tar_member(tarfile.SYMTYPE, linkname="/etc"),
        tar_member(tarfile.SYMTYPE, linkname="good"),
        tar_member(tarfile.LNKTYPE, linkname="good"),
        tar_member(tarfile.FIFOTYPE),
        tar_member(tarfile.CHRTYPE, devmajor=1, devminor=3),
        tar_member(tarfile.BLKTYPE, devmajor=8),
        zip_member("odd", stat.S_IFLNK | 0o777),
        zip_member("odd", stat.S_IFIFO | 0o644),
        zip_member("odd", stat.S_IFCHR | 0o644),
    ],
    ids=["symlink", "local symlink", "hard link", "fifo", "chr", "blk", "zip link", "zip fifo", "zip chr"],
)
def test_members_that_are_no_files_are_refused(tmp_path, special):
    kind = "zip" if isinstance(special, zipfile.ZipInfo) else "w:"
    archive = pack(tmp_path / "stored", [("good", b"1"), ("odd", special), ("odd/x", b"2")], kind)
    assert refused(tmp_path, archive, "member 'odd' is a link, device or pipe") == {"good": b"1"}


def test_a_member_with_a_password_is_refused(tmp_path):
    archive = pack(tmp_path / "stored", [("secret", b"x" * 100)])
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flags of both headers
        content[content.index(signature) + offset] |= 1
    archive.write_bytes(content)
    assert refused(tmp_path, archive, "'secret' needs a password: unpack .* yourself and point `root`") == {}


@pytest.mark.parametrize("kind", ["zip", "w:"])
@pytest.mark.parametrize(
    ("standing", "name", "why"),
    [
        ("link to a folder", "x/new", "leads through .*x, which is a link"),
        ("link to a folder", "x/", "leads through .*x, which is a link"),
        ("dangling link", "x/new", "leads through .*x, which is a link"),
        ("link to a file", "x", "is to become .*x, which is a folder or a link"),
        ("dangling link", "x", "is to become .*x, which is a folder or a link"),
        ("folder", "x", "is to become .*x, which is a folder or a link"),
        ("file", "x/y/new", "leads through .*x, which is a link or a file"),
    ],
)
def test_what_stands_in_the_way_is_never_followed(tmp_path, kind, standing, name, why):
    out, place, elsewhere = tmp_path / "out", tmp_path / "out" / "x", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (elsewhere / "file").write_bytes(b"bad")
    targets = {"link to a folder": "", "link to a file": "file", "dangling link": "absent"}
    if standing in targets:
        place.symlink_to(elsewhere / targets[standing])
    elif standing == "folder":
        place.mkdir()
    else:
        place.write_bytes(b"in the way")
    content = tar_member(tarfile.DIRTYPE) if kind == "w:" and name.endswith("/") else b"bad"
    with pytest.raises(DataError, match=why):
        unpack(pack(tmp_path / "stored", [(name, content)], kind), out)
    assert tree(elsewhere) == {"file": b"bad"}
    assert [path.name for path in out.iterdir()] == ["x"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "w:gz"])
@pytest.mark.parametrize("second", ["a/b", "./a/b", "a//b", "a/./b"])
def test_the_same_path_twice_is_refused(tmp_path, kind, second):
    archive = pack(tmp_path / "stored", [("a/b", b"one"), (second, b"two")], kind)
    assert refused(tmp_path, archive, "has the path of an earlier member") == {"a/b": b"one"}


def test_a_member_called_as_the_scratch_file_is_refused(tmp_path):
    archive = pack(tmp_path / "stored", [(SCRATCH, b"one"), ("a", b"two")])
    assert refused(tmp_path, archive, "scratch file of unpacking") == {}


@pytest.mark.parametrize("kind", ["zip", "w:gz"])
def test_limits_stop_at_the_member_that_passes_them(tmp_path, kind):
    archive = pack(tmp_path / "stored", [("a", b"x" * 60), ("b", b"y" * 40), ("c", b"z")], kind)
    assert refused(tmp_path, archive, "'c' is beyond the 2 members", limit_files=2).keys() == {"a", "b"}
    unpack(archive, tmp_path / "out", limit_files=3, limit_bytes=101)
    assert tree(tmp_path / "out").keys() == {"a", "b", "c"}


@pytest.mark.parametrize("kind", ["zip", "w:gz"])
@pytest.mark.parametrize("standing", [False, True])
def test_bytes_are_counted_whether_or_not_a_file_is_there_already(tmp_path, kind, standing):
    archive = pack(tmp_path / "stored", [("a", b"x" * 60), ("b", b"y" * 41)], kind)
    if standing:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").write_bytes(b"x" * 60)
    assert refused(tmp_path, archive, "'b' goes beyond the 100 unpacked", limit_bytes=100).keys() == {"a"}


@pytest.mark.parametrize("kind", ["zip", "w:gz"])
def test_a_bomb_is_stopped_while_it_grows(tmp_path, monkeypatch, kind):
    archive = pack(tmp_path / "stored", [("zeros", bytes(3 * 2**20))], kind)
    monkeypatch.setattr(archives, "BOMB_BYTES", 2**20)
    monkeypatch.setattr(archives, "BOMB_RATIO", 100)
    assert refused(tmp_path, archive, "'zeros' grows beyond 100 times the archive") == {}
    monkeypatch.setattr(archives, "BOMB_RATIO", 2000)  # over the floor, under the ratio
    unpack(archive, tmp_path / "out")


def test_a_small_archive_may_grow_up_to_the_floor(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "BOMB_RATIO", 2)
    unpack(pack(tmp_path / "stored", [("zeros", bytes(2**20))]), tmp_path / "out")


def test_a_zip_that_lies_about_a_size_is_damaged(tmp_path):
    archive = pack(tmp_path / "stored", [("a", b"x" * 5000)])
    for size in (10, 6000):
        content = bytearray(archive.read_bytes())
        at = content.index(b"PK\1\2") + 24
        content[at : at + 4] = struct.pack("<I", size)
        archive.write_bytes(content)
        assert refused(tmp_path, archive, "damaged or cut short|should have 6,000 bytes") == {}


def noise(size, seed=0):
    return np.random.default_rng(seed).bytes(size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_an_archive_that_was_cut_is_an_error(tmp_path, kind, share):
    archive = pack(tmp_path / "stored", [(f"{i}", noise(20_000, i)) for i in range(5)], kind)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    found = refused(tmp_path, archive, "stored: no zip or tar, damaged or cut short")
    assert all(content == noise(20_000, int(name)) for name, content in found.items())


def test_a_tar_that_ends_between_two_members_is_cut_short(tmp_path):
    archive = pack(tmp_path / "stored", [("a", noise(512)), ("b", noise(512, 1))], "w:")
    archive.write_bytes(archive.read_bytes()[:1024])
    assert refused(tmp_path, archive, "cut short").keys() == {"a"}


@pytest.mark.parametrize(("kind", "at"), [("w:", 1030), ("w:gz", -6), ("w:gz", 700), ("zip", 700)])
def test_a_changed_byte_is_noticed(tmp_path, kind, at):
    archive = pack(tmp_path / "stored", [("a", noise(512)), ("b", noise(512, 1))], kind)
    content = bytearray(archive.read_bytes())
    content[at] ^= 0xFF  # in a header, in the checksum at the end, in compressed bytes
    archive.write_bytes(content)
    refused(tmp_path, archive, "damaged or cut short")


@pytest.mark.parametrize("kind", [None, "zip", "tar"])
@pytest.mark.parametrize("content", [b"", b"<!doctype html><title>Log in</title>", noise(3000)])
def test_what_is_no_archive_is_named(tmp_path, kind, content):
    archive = tmp_path / "stored"
    archive.write_bytes(content)
    assert refused(tmp_path, archive, f"stored: no {kind or 'zip or tar'}", kind=kind) == {}


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE]
)
def test_a_header_that_claims_gigabytes_is_not_read_into_memory(tmp_path, kind):
    """As a small .tar.bz2 may: a long name of 4 GiB of zeros, which pack well; here only the claim."""
    header = tar_member(kind, name="././@LongLink", size=4 * 2**30).tobuf(tarfile.GNU_FORMAT)
    archive = tmp_path / "stored"
    with bz2.open(archive, "wb") as stream:
        stream.write(header + bytes(2 * 2**20))
    assert refused(tmp_path, archive, r"a header of 4,294,967,296 bytes; valid: up to 1,048,576") == {}


def test_names_of_usual_length_are_read(tmp_path):
    archive = pack(tmp_path / "stored", [("d/" * 100 + "a" * 200, b"x")], "w:gz")
    unpack(archive, tmp_path / "out")
    assert list(tree(tmp_path / "out").values()) == [b"x"]


@pytest.mark.parametrize("kind", ["w:gz", "w:bz2", "w:xz"])
def test_what_follows_the_end_of_a_tar_has_a_limit(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "MOST_BEHIND", 2**20)
    monkeypatch.setattr(archives, "CHUNK", 2**16)
    inner = pack(tmp_path / "stored", [("a", b"1")], "w:").read_bytes()
    archive = tmp_path / "stored"
    opening = {"w:gz": gzip.open, "w:bz2": bz2.open, "w:xz": lzma.open}[kind]
    for behind, valid in ((2**19, True), (2**22, False)):
        with opening(archive, "wb") as stream:
            stream.write(inner + bytes(behind))
        if valid:
            unpack(archive, tmp_path / "out")
            assert tree(tmp_path / "out") == {"a": b"1"}
        else:
            refused(tmp_path, archive, "more than 1,048,576 bytes behind its end")


@pytest.mark.parametrize("left", ["folder", "file", "link"])
def test_a_scratch_file_of_an_earlier_run_is_no_hindrance(tmp_path, left):
    scratch = tmp_path / "out" / SCRATCH
    (tmp_path / "out").mkdir()
    if left == "folder":
        (scratch / "deep").mkdir(parents=True)
        (scratch / "deep" / "a").write_bytes(b"1")
    elif left == "file":
        scratch.write_bytes(b"half")
    else:
        scratch.symlink_to(tmp_path)
    unpack(pack(tmp_path / "stored", MEMBERS.items()), tmp_path / "out")
    assert tree(tmp_path / "out") == MEMBERS


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(StorageError, match=r"cannot be unpacked into .*out"):
        unpack(pack(tmp_path / "stored", MEMBERS.items()), tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "w:", "w:gz"])
def test_an_interrupted_unpacking_goes_on_where_it_was(tmp_path, monkeypatch, kind):
    archive, out = pack(tmp_path / "stored", MEMBERS.items(), kind), tmp_path / "out"
    replace, left = Path.replace, iter([1, 1, 1])

    def interrupted(self, target):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", interrupted)
        unpack(archive, out)
    assert tree(out) == dict(list(MEMBERS.items())[:3])
    before = {name: (out / name).stat() for name in tree(out)}
    unpack(archive, out)
    assert tree(out) == MEMBERS
    after = {name: (out / name).stat() for name in before}
    assert {n: (s.st_ino, s.st_mtime_ns) for n, s in before.items()} == {
        n: (s.st_ino, s.st_mtime_ns) for n, s in after.items()
    }


def test_what_a_killed_unpacking_left_does_no_harm(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "victim").write_bytes(b"untouched")
    (out / SCRATCH).symlink_to(tmp_path / "victim")
    (out / "a.txt").write_bytes(b"of another size")
    unpack(pack(tmp_path / "stored", MEMBERS.items()), out)
    assert tree(out) == MEMBERS
    assert (tmp_path / "victim").read_bytes() == b"untouched"


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["zip", "w:", "w:gz"]), st.data())
def test_damage_of_any_kind_raises_nothing_but_a_named_error(kind, data):
    with tempfile.TemporaryDirectory() as folder:
        archive = pack(Path(folder) / "stored", [("a", b"x" * 600), ("d/b", noise(300))], kind)
        content = bytearray(archive.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        archive.write_bytes(content)
        with suppress(DataError):
            unpack(archive, Path(folder) / "out", limit_bytes=2**20)
        assert {path.name for path in Path(folder).iterdir()} <= {"stored", "out"}
