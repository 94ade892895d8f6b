import io
import os
import pickle
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.core.errors import DataError
from memorability.data import shards, tables
from memorability.data.shards import ShardReader, ShardWriter, Span

LONG = "images/" + "very-long-folder/" * 12 + "picture.jpg"
UNICODE = "images/Ünïcödé/猫/😀.jpg"
MEMBERS = {
    "plain.jpg": b"plain",
    LONG: b"long name",
    UNICODE: b"unicode name",
    UNICODE * 10: b"both",
    "empty": b"",
    "block": bytes(512),
    "over": bytes(range(256)) * 2 + b"!",
    "last.jpg": b"last",
}


def pack(folder, members, **options):
    with ShardWriter(folder, **options) as writer:
        return {name: writer.add(name, content) for name, content in members.items()}


def tar_content(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_members_read_back_by_place(tmp_path):
    places = pack(tmp_path, MEMBERS)
    reader = ShardReader(tmp_path)
    for name in reversed(list(MEMBERS)):
        assert reader.read(places[name]) == MEMBERS[name]
        assert places[name].size == len(MEMBERS[name])


def test_any_tar_reader_reads_a_shard(tmp_path):
    places = pack(tmp_path, MEMBERS)
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.tar"]
    assert tar_content(tmp_path / "shard-00000.tar") == MEMBERS
    with tarfile.open(tmp_path / "shard-00000.tar") as tar:
        assert {m.name: m.offset_data for m in tar} == {name: p.offset for name, p in places.items()}


def test_shards_hold_nothing_of_the_machine(tmp_path):
    pack(tmp_path, MEMBERS)
    with tarfile.open(tmp_path / "shard-00000.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
            assert (member.uname, member.gname) == ("", "")


def test_same_input_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pack(tmp_path / name, MEMBERS, prefix="pictures", limit=1500)
    shards = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(shards) > 1
    assert shards == sorted(path.name for path in (tmp_path / "two").iterdir())
    for shard in shards:
        assert (tmp_path / "one" / shard).read_bytes() == (tmp_path / "two" / shard).read_bytes()


def test_a_new_shard_starts_after_the_limit(tmp_path):
    members = {f"{i}.bin": bytes([i]) * 700 for i in range(7)}
    places = pack(tmp_path, members, prefix="p", limit=3000)  # 512 + 1024 bytes each: two fill a shard
    assert [place.shard for place in places.values()] == [f"p-{i // 2:05d}.tar" for i in range(7)]
    reader = ShardReader(tmp_path)
    assert all(reader.read(places[name]) == content for name, content in members.items())
    together = [tar_content(path) for path in sorted(tmp_path.iterdir())]
    assert {name: content for shard in together for name, content in shard.items()} == members


def test_no_members_no_shard(tmp_path):
    assert pack(tmp_path, {}) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_shard_is_closed_when_the_block_raises(tmp_path):
    def interrupted():
        with ShardWriter(tmp_path) as writer:
            writer.add("a", b"content")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert tar_content(tmp_path / "shard-00000.tar") == {"a": b"content"}


# Continued by another writer


def many_members():
    rng = np.random.default_rng(1)
    return {f"{UNICODE * (i % 3)}{i}.jpg": rng.bytes(int(rng.integers(0, 1800))) for i in range(24)}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stopped(folder, members, last, **options):
    """The place of member `last`, written by a writer that ended like a killed one."""
    place = None
    writer = ShardWriter(folder, **options)
    for name in list(members)[: last + 1]:
        place = writer.add(name, members[name])
    del writer
    return place


def garbage_behind(folder, place):
    with (folder / place.shard).open("ab") as file:
        file.write(b"half a member" * 500)


def finished_behind(folder, place):
    with ShardWriter(folder, prefix="p", limit=5000, after=place):
        pass


def shards_behind(folder, place):
    for name in ("p-00090.tar", "p-00091.tar"):
        (folder / name).write_bytes(b"of later members")


def member_cut_short(folder, place):
    os.truncate(folder / place.shard, place.offset + place.size)


@pytest.mark.parametrize(
    "behind",
    [None, garbage_behind, finished_behind, shards_behind, member_cut_short],
    ids=lambda behind: getattr(behind, "__name__", "nothing"),
)
def test_a_writer_that_follows_another_ends_alike(tmp_path, behind):
    members = many_members()
    (tmp_path / "whole").mkdir()
    places = pack(tmp_path / "whole", members, prefix="p", limit=5000)
    expected = contents(tmp_path / "whole")
    assert len(expected) >= 4
    for last, name in enumerate(members):  # every member can be the last, so every border of shards is met
        folder = tmp_path / str(last)
        folder.mkdir()
        after = stopped(folder, members, last, prefix="p", limit=5000)
        assert after == places[name]
        if behind is not None:
            behind(folder, after)
        rest = {name: members[name] for name in list(members)[last + 1 :]}
        found = pack(folder, rest, prefix="p", limit=5000, after=after)
        assert found == {name: places[name] for name in rest}
        assert contents(folder) == expected
    tar = {
        name: content for shard in expected for name, content in tar_content(tmp_path / "0" / shard).items()
    }
    assert tar == members


def test_a_writer_after_nothing_starts_over(tmp_path):
    stopped(tmp_path, MEMBERS, 3, limit=1000)
    places = pack(tmp_path, MEMBERS)
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.tar"]
    assert tar_content(tmp_path / "shard-00000.tar") == MEMBERS
    assert ShardReader(tmp_path).read(places[LONG]) == MEMBERS[LONG]


def test_shards_of_another_prefix_are_left_alone(tmp_path):
    after = stopped(tmp_path, MEMBERS, 3, prefix="masks")
    pack(tmp_path, MEMBERS, prefix="pictures")
    longer = pack(tmp_path, MEMBERS, prefix="masks-2")
    pack(tmp_path, {}, prefix="masks", after=after)
    assert all((tmp_path / place.shard).is_file() for place in longer.values())
    assert tar_content(tmp_path / "pictures-00000.tar") == MEMBERS
    assert list(tar_content(tmp_path / "masks-00000.tar")) == list(MEMBERS)[:4]


def test_a_member_is_in_its_file_when_add_returns(tmp_path):
    with ShardWriter(tmp_path) as writer:
        for name, content in MEMBERS.items():
            place = writer.add(name, content)
            assert ShardReader(tmp_path).read(place) == content


def test_members_are_written_whole_where_the_system_takes_them_in_parts(tmp_path, monkeypatch):
    class Slow(io.FileIO):
        def write(self, content):
            return super().write(bytes(content[:100]))

    pack(tmp_path, MEMBERS)
    expected = (tmp_path / "shard-00000.tar").read_bytes()
    monkeypatch.setattr(shards, "FileIO", Slow)
    pack(tmp_path, MEMBERS)
    assert (tmp_path / "shard-00000.tar").read_bytes() == expected


# Reading


def test_reading_from_several_threads(tmp_path):
    rng = np.random.default_rng(0)
    members = {f"{i}.bin": rng.bytes(int(rng.integers(0, 3000))) for i in range(60)}
    places = pack(tmp_path, members, limit=8000)
    reader = ShardReader(tmp_path)
    names = [str(name) for name in rng.choice(list(members), 600)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: reader.read(places[name]), names))
    assert found == [members[name] for name in names]


def test_a_pickled_reader_opens_files_of_its_own(tmp_path):
    places = pack(tmp_path, MEMBERS)
    reader = ShardReader(tmp_path)
    assert reader.read(places[LONG]) == MEMBERS[LONG]
    copy = pickle.loads(pickle.dumps(reader))
    del reader
    assert copy.read(places[LONG]) == MEMBERS[LONG]


@pytest.mark.parametrize("at", [0, 4, -1])
def test_a_flipped_bit_is_noticed_in_its_member_alone(tmp_path, at):
    packed = pack(tmp_path, MEMBERS)
    content = bytearray((tmp_path / packed[LONG].shard).read_bytes())
    content[packed[LONG].offset + (at if at >= 0 else packed[LONG].size - 1)] ^= 0b100
    (tmp_path / packed[LONG].shard).write_bytes(content)
    reader = ShardReader(tmp_path)
    with pytest.raises(DataError, match=r"^frame 3: .*shard-00000\.tar is damaged"):
        reader.read(packed[LONG], name="frame 3")
    for name in MEMBERS.keys() - {LONG}:
        assert reader.read(packed[name]) == MEMBERS[name]


def test_a_shard_that_is_cut_short_is_noticed(tmp_path):
    packed = pack(tmp_path, {"a": b"12345"})["a"]
    os.truncate(tmp_path / packed.shard, packed.offset + 4)
    with pytest.raises(DataError, match="is damaged"):
        ShardReader(tmp_path).read(packed)


def test_the_rows_of_a_table_name_members(tmp_path):
    packed = pack(tmp_path, MEMBERS)
    table = pd.DataFrame([{"id": name, **span._asdict()} for name, span in packed.items()])
    tables.write(table, tmp_path / "index.csv")
    assert shards.spans(tables.read(tmp_path / "index.csv")) == list(packed.values())


@pytest.mark.parametrize("read", [ShardReader.read, ShardReader.check])
@pytest.mark.parametrize("shard", ["shard-00009.tar", "."])
def test_a_shard_that_is_not_there_is_named(tmp_path, read, shard):
    with pytest.raises(DataError, match=r"^frame 3: .*cannot be read .*; get the shard again"):
        read(ShardReader(tmp_path), Span(shard, 0, 1, "0" * 64), name="frame 3")


def test_a_member_is_checked_in_parts(tmp_path, monkeypatch):
    packed = pack(tmp_path, MEMBERS)
    monkeypatch.setattr(shards, "PART", 7)
    reader = ShardReader(tmp_path)
    for name, span in packed.items():
        reader.check(span)
        assert reader.read(span) == MEMBERS[name]
        for other in (span._replace(sha256="0" * 64), span._replace(size=span.size + 1)):
            with pytest.raises(DataError, match="is damaged"):
                reader.check(other)


# Letters of one to four bytes in UTF-8, and lengths on both sides of the 100 that a plain header holds.
member_names = st.text("aZ0 ._-é猫😀", min_size=1, max_size=130).map(lambda text: "m" + text + "m")


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(member_names, st.binary(max_size=1100), max_size=6), st.sampled_from([0, 2000, 10**6]))
def test_any_members_read_back(members, limit):
    with tempfile.TemporaryDirectory() as folder:
        places = pack(Path(folder), members, limit=limit)
        reader = ShardReader(Path(folder))
        for name, content in members.items():
            assert reader.read(places[name]) == content
            with tarfile.open(fileobj=io.BytesIO((Path(folder) / places[name].shard).read_bytes())) as tar:
                assert tar.extractfile(name).read() == content
