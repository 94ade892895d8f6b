"""Clips become packed frames: each is decoded once, and one that cannot be decoded says so in its row."""

from __future__ import annotations

import hashlib
import io
import shutil

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.core.files import digest, read_json, staged_folder
from memorability.data import acquire, duplicates, frames, splits, tables
from memorability.data.datasets import demo_videos, mediaeval
from memorability.data.settings import Split
from memorability.data.shards import ShardReader, ShardWriter, Span
from memorability.media import video
from memorability.media.pictures import decode

CLIPS = 20
FEW = video.Sampling("evenly", count=3)
OTHERS = (
    video.Sampling("fps", count=2),
    video.Sampling("first_middle_last", count=3),
    FEW._replace(quality=9),
)
SPLIT = {"input": "x", "method": "random", "val": 0.2, "test": 0.2, "folds": 5, "fold": 0, "seed": 0}


class Stop(Exception):
    pass


def packed(root, out):
    """The clips of a folder in MediaEval's layout as raw data in `out`; returns their index as it is read."""
    sources = {"mediaeval": mediaeval.Params(root=root)}
    place = {"work": out.with_name("work"), "store": out.with_name("downloads")}
    acquire.acquire("videos", sources, out, **place, seed=0, threads=2)
    return tables.read(out / "index.csv")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """20 clips of 32 x 32 pixels, 8 s of 4 frames a second."""
    root = tmp_path_factory.mktemp("source")
    demo_videos.generate(root, demo_videos.Params(clips=CLIPS, pixels=32), seed=0)
    return root


@pytest.fixture(scope="module")
def raw(source, tmp_path_factory):
    root = tmp_path_factory.mktemp("packed") / "raw"
    return root, packed(source, root)


def taken(raw, out, *, sampling=FEW, store="store", threads=2):
    """The frames of raw data in the folder `out`, as the stage takes them; returns how many were decoded."""
    folder, rows = raw
    where = out.with_name(store)
    with staged_folder(out) as part:
        return frames.extract(rows, folder, sampling, out=part, cache_root=where, threads=threads)


@pytest.fixture(scope="module")
def whole(raw, tmp_path_factory):
    """Three frames of each of the 20 clips."""
    out = tmp_path_factory.mktemp("whole") / "frames"
    assert taken(raw, out) == CLIPS
    return out


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pixels(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


@pytest.fixture
def watched(monkeypatch):
    """The names of the clips that are decoded, in the order in which decoding begins."""
    names, sample = [], video.sample

    def watch(url, sampling, *, name):
        names.append(name)
        return sample(url, sampling, name=name)

    monkeypatch.setattr(video, "sample", watch)
    return names


# What is written


def test_the_index_has_a_row_for_every_clip(raw, whole):
    _, rows = raw
    index = tables.read(whole / "index.csv")
    assert list(index) == [*tables.raw("videos"), "frames", "duration"]
    assert index["problem"].isna().all()
    facts = ["width", "height", "phash"]
    pd.testing.assert_frame_equal(index[list(rows)].drop(columns=facts), rows.drop(columns=facts))
    assert (index[["width", "height"]] == 32).all(axis=None)
    assert index["phash"].str.fullmatch("[0-9a-f]{16}").all()
    assert (index["frames"] == 3).all()
    assert (index["duration"] == 8.0).all()


def test_the_table_of_frames_has_a_row_for_each(whole):
    table, ids = tables.read(whole / "frames.csv"), tables.read(whole / "index.csv")["id"]
    assert list(table) == ["id", "frame", "time", "sha256", "shard", "offset", "size"]
    assert list(table["id"]) == [name for name in ids for _ in range(3)]
    assert list(table["frame"]) == [0, 1, 2] * CLIPS
    # In the middles of thirds of 8 s, at 4 frames a second.
    assert list(table["time"]) == [1.25, 4.0, 6.5] * CLIPS
    assert table["sha256"].nunique() > 2 * CLIPS


def test_frames_are_those_of_the_clips(source, whole):
    reader, table = ShardReader(whole), tables.read(whole / "frames.csv")
    for name in ("video1.webm", "video20.webm"):
        with av.open(str(source / "sources" / name)) as container:
            shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
        for row in table[table["id"].str.endswith("/" + name)].itertuples():
            found = pixels(reader.read(Span(row.shard, row.offset, row.size, row.sha256)))
            differences = [np.abs(found - frame).mean() for frame in shown]
            assert min(differences) == differences[round(row.time * demo_videos.RATE)] < 8


def test_the_config_says_how_frames_were_taken(whole):
    config = read_json(whole / "config.json")
    contents = config.pop("sha256")  # of all frames, so that what is made of them knows them
    assert contents == digest(*tables.read(whole / "frames.csv")["sha256"])
    assert config == FEW._asdict() | {"version": video.VERSION}


def test_the_perceptual_hash_is_of_the_middle_frame(whole):
    table, index = tables.read(whole / "frames.csv"), tables.read(whole / "index.csv")
    reader = ShardReader(whole)
    for row, expected in zip(table[table["frame"] == 1].itertuples(), index["phash"], strict=True):
        picture = decode(reader.read(Span(row.shard, row.offset, row.size, row.sha256)))
        assert frames.perceptual_hash(picture) == expected


@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_clips_give_the_same_bytes(raw, whole, tmp_path, threads):
    assert taken(raw, tmp_path / "frames", threads=threads) == CLIPS
    assert contents(tmp_path / "frames") == contents(whole)


# Clips that cannot be decoded


@pytest.fixture(scope="module")
def damaged(source, tmp_path_factory):
    """Raw data of the 20 clips, some of which are none, with the word that says what is wrong with each."""
    root = tmp_path_factory.mktemp("damaged") / "source"
    shutil.copytree(source, root)
    clips = root / "sources"
    content = bytearray((clips / "video2.webm").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    (clips / "video2.webm").write_bytes(content)
    (clips / "video4.webm").write_bytes(b"")
    sound(clips / "video7.webm")
    (clips / "video11.webm").write_bytes(b"id,score\n" * 100)
    (clips / "video13.webm").unlink()
    Image.new("RGB", (32, 32)).save(clips / "video20.webm", format="PNG")
    out = root.with_name("raw")
    said = {2: "damaged", 4: "an empty file", 7: "no video stream", 11: "not a clip", 13: "No such file"}
    return (out, packed(root, out)), {f"video{n}.webm": text for n, text in (said | {20: "no clip"}).items()}


def sound(path):
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48000)
        stream.codec_context.layout = "mono"
        part = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        part.pts, part.sample_rate = 0, 48000
        container.mux(stream.encode(part))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def partial(damaged, tmp_path_factory):
    out = tmp_path_factory.mktemp("partial") / "frames"
    taken(damaged[0], out)
    return out


def test_clips_that_cannot_be_decoded_keep_their_row(damaged, partial, whole):
    _, said = damaged
    index, complete = (tables.read(folder / "index.csv").set_index("id") for folder in (partial, whole))
    assert len(index) == CLIPS
    problems = index["problem"].dropna()
    assert {name.rsplit("/", 1)[1]: text for name, text in problems.items()}.keys() == said.keys()
    for name, text in problems.items():
        assert said[name.rsplit("/", 1)[1]] in text
        assert not text.startswith(name)  # which the split stage says
    unusable = index.loc[problems.index]
    assert unusable[["width", "height", "phash", "frames", "duration"]].isna().all(axis=None)
    sound = index.drop(index=problems.index)
    columns = ["phash", "frames", "duration", "width", "sha256", "title", "short_term"]
    pd.testing.assert_frame_equal(sound[columns], complete.loc[sound.index, columns])


def test_the_frames_of_all_others_are_there(partial, whole):
    table, complete = (tables.read(folder / "frames.csv") for folder in (partial, whole))
    usable = tables.read(partial / "index.csv").pipe(lambda index: index["id"][index["problem"].isna()])
    kept = complete[complete["id"].isin(usable)].reset_index(drop=True)
    assert len(kept) == 3 * (CLIPS - 6)
    columns = ["id", "frame", "time", "sha256", "size"]
    pd.testing.assert_frame_equal(table[columns], kept[columns])


def test_the_split_lists_every_clip_that_cannot_be_decoded(damaged, partial):
    settings = Split(**SPLIT, near_duplicate_bits=0)
    with pytest.raises(DataError, match="6 problems in 20 rows") as caught:
        splits.split(tables.read(partial / "index.csv"), settings)
    for name, text in damaged[1].items():
        assert f"mediaeval/sources/{name}: " in str(caught.value)
        assert text in str(caught.value)


def test_the_split_leaves_them_out_where_it_is_told_to(damaged, partial):
    settings = Split(**SPLIT, near_duplicate_bits=0, on_bad_item="skip")
    table, ids, report = splits.split(tables.read(partial / "index.csv"), settings)
    assert not {name.rsplit("/", 1)[1] for name in ids["id"]} & set(damaged[1])
    assert len(table) == len(ids) == CLIPS - 6
    assert report["left_out"] == len(report["left_out_because"]) == 6
    assert sum(report["rows"].values()) == CLIPS - 6
    assert {"frames", "duration", "phash"} <= set(table)


def test_a_damaged_shard_stops_the_stage_and_poisons_no_store(raw, whole, watched, tmp_path):
    """A clip that decodes as other pixels would be kept under the hash of the whole one."""
    folder, rows = raw
    shutil.copytree(folder, tmp_path / "raw")
    row = rows.iloc[7]
    with (tmp_path / "raw" / row["shard"]).open("r+b") as shard:
        shard.seek(row["offset"] + row["size"] // 2)
        byte = shard.read(1)[0]
        shard.seek(-1, 1)
        shard.write(bytes([byte ^ 1]))
    with pytest.raises(DataError, match=rf"^{row['id']}: .*is damaged"):
        taken((tmp_path / "raw", rows), tmp_path / "frames")
    assert row["id"] not in watched
    assert not (tmp_path / "frames").exists()
    taken(raw, tmp_path / "frames")  # once the shard is mended
    assert contents(tmp_path / "frames") == contents(whole)


def test_clips_that_cannot_be_decoded_are_tried_again(damaged, partial, watched, tmp_path):
    """Only frames are kept: what is wrong may be the machine's and not the clip's."""
    shutil.copytree(partial.with_name("store"), tmp_path / "store")
    assert taken(damaged[0], tmp_path / "frames") == 0
    assert len(watched) == 5  # the sixth is not there at all
    assert contents(tmp_path / "frames") == contents(partial)


def test_no_clip_at_all_can_be_decoded(raw, tmp_path):
    folder, rows = raw
    nothing = rows.assign(size=0, sha256=hashlib.sha256(b"").hexdigest())
    assert taken((folder, nothing), tmp_path / "frames") == 0
    assert len(tables.read(tmp_path / "frames" / "frames.csv")) == 0
    with pytest.raises(DataError, match="20 problems in 20 rows"):
        splits.split(tables.read(tmp_path / "frames" / "index.csv"), Split(**SPLIT, near_duplicate_bits=0))


# Stopped and run again


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Stop])
def test_a_stopped_run_decodes_only_the_rest_the_next_time(raw, whole, watched, tmp_path, monkeypatch, kind):
    sample, stop_at = video.sample, 10

    def stopping(url, sampling, *, name):
        if len(watched) == stop_at - 1:
            raise kind
        return sample(url, sampling, name=name)

    with monkeypatch.context() as patch, pytest.raises(kind):
        patch.setattr(video, "sample", stopping)
        taken(raw, tmp_path / "frames", threads=1)
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    first = list(watched)
    watched.clear()
    assert taken(raw, tmp_path / "frames") == len(watched) == CLIPS - (stop_at - 1)
    assert not set(first) & set(watched)
    assert contents(tmp_path / "frames") == contents(whole)


def test_a_run_that_could_not_write_decodes_only_the_rest_the_next_time(
    raw, whole, watched, tmp_path, monkeypatch
):
    add, added = ShardWriter.add, []

    def full(self, name, content):
        added.append(name)
        if len(added) == 25:  # of the ninth clip
            raise Stop
        return add(self, name, content)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(ShardWriter, "add", full)
        taken(raw, tmp_path / "frames", threads=1)
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    watched.clear()
    assert taken(raw, tmp_path / "frames", threads=1) == len(watched) == CLIPS - 9
    assert contents(tmp_path / "frames") == contents(whole)


def test_a_second_run_decodes_nothing(raw, whole, watched, tmp_path):
    shutil.copytree(whole.with_name("store"), tmp_path / "store")
    assert taken(raw, tmp_path / "frames") == 0
    assert watched == []
    assert contents(tmp_path / "frames") == contents(whole)


def test_clips_that_are_new_are_the_only_ones_decoded(raw, watched, tmp_path):
    folder, rows = raw
    assert taken((folder, rows[:12]), tmp_path / "part") == 12
    watched.clear()
    turned = rows[::-1].reset_index(drop=True)
    assert taken((folder, turned), tmp_path / "frames") == 8
    assert sorted(watched) == sorted(rows["id"][12:])
    assert list(tables.read(tmp_path / "frames" / "frames.csv")["id"][::3]) == list(turned["id"])


def test_another_sampling_has_a_store_of_its_own(raw, whole, tmp_path):
    folder, rows = raw
    shutil.copytree(whole.with_name("store"), tmp_path / "store")
    for number, sampling in enumerate(OTHERS):
        some = (folder, rows[:3])
        assert taken(some, tmp_path / f"{number}", sampling=sampling) == 3
        assert taken(some, tmp_path / f"{number}", sampling=sampling) == 0
    assert len(list((tmp_path / "store").glob("*.sqlite"))) == 1 + len(OTHERS)
    assert taken(raw, tmp_path / "frames") == 0


def test_a_damaged_value_in_the_store_is_computed_again(raw, whole, watched, tmp_path):
    shutil.copytree(whole.with_name("store"), tmp_path / "store")
    (file,) = (tmp_path / "store").iterdir()
    content = bytearray(file.read_bytes())
    frame = tables.read(whole / "frames.csv").iloc[30]
    jpeg = ShardReader(whole).read(
        Span(frame["shard"], int(frame["offset"]), int(frame["size"]), frame["sha256"])
    )
    place = content.index(jpeg[100:400])
    content[place] ^= 4
    file.write_bytes(content)
    assert taken(raw, tmp_path / "frames") == 1
    assert watched == [frame["id"]]
    assert contents(tmp_path / "frames") == contents(whole)
    assert taken(raw, tmp_path / "again") == 0


# Kinds of clips


def film(path, count):
    """A clip of so many frames, 10 a second."""
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10, options={"deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for k in range(count):
            frame = np.full((24, 32, 3), 40 * k % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def uneven(tmp_path):
    """Clips of 5, 1 and 2 frames, and the second one under another name."""
    clips = tmp_path / "source" / "sources"
    clips.mkdir(parents=True)
    for name, count in (("a", 5), ("b", 1), ("c", 2)):
        film(clips / f"{name}.webm", count)
    shutil.copy(clips / "b.webm", clips / "d.webm")
    head = "video,short-term_memorability,nb_short-term_annotations"
    text = f"{head},{head[6:].replace('short', 'long')}\n"
    (tmp_path / "source" / "ground-truth.csv").write_text(text + "c.webm,0.5,30,0.5,10\n")
    (tmp_path / "source" / "captions.txt").write_text("")
    return tmp_path / "raw", packed(tmp_path / "source", tmp_path / "raw")


def test_clips_with_fewer_frames_have_what_they_have(uneven, tmp_path):
    assert taken(uneven, tmp_path / "frames", sampling=video.Sampling("evenly", count=4)) == 4
    index = tables.read(tmp_path / "frames" / "index.csv")
    assert [name[-6] for name in index["id"]] == ["c", "a", "b", "d"]
    assert list(index["frames"]) == [2, 4, 1, 1]
    assert list(index["duration"]) == pytest.approx([0.2, 0.5, 0.1, 0.1])
    assert (index["width"] == 32).all()
    assert (index["height"] == 24).all()
    table = tables.read(tmp_path / "frames" / "frames.csv")
    assert list(table["frame"]) == [0, 1, 0, 1, 2, 3, 0, 0]


@pytest.mark.parametrize(
    ("sampling", "durations", "said"),
    [
        (
            video.Sampling("fps", fps=1, count=8),
            [8.0, 8.3, 60.0, 9.0],
            "2 of 5 clips are longer (up to 60.0 s) than the 8 s",
        ),
        (
            video.Sampling("fps", fps=2, count=8),
            [4.2, 4.3],
            "1 of 3 clips are longer (up to 4.3 s) than the 4 s",
        ),
        (video.Sampling("fps", fps=1, count=8), [8.0, 7.0, 0.1], None),
        (
            video.Sampling("ffmpeg_rate", fps=1, count=8),
            [8.0, 60.0],
            "1 of 3 clips are longer (up to 60.0 s) than the 8 s",
        ),
        (video.Sampling("evenly", count=2), [8.0, 600.0], None),
        (video.Sampling("first_middle_last"), [8.0, 600.0], None),
    ],
)
def test_clips_that_are_longer_than_what_is_looked_at_are_counted(sampling, durations, said):
    index = pd.DataFrame({"duration": [*durations, np.nan]})  # the last one cannot be decoded
    found = frames.unseen(index, sampling)
    assert found is None if said is None else found.startswith(said)


def test_equal_clips_have_equal_frames(uneven, tmp_path):
    taken(uneven, tmp_path / "frames")
    table = tables.read(tmp_path / "frames" / "frames.csv")
    one, other = (table[table["id"].str.endswith(f"{name}.webm")] for name in "bd")
    assert list(one["sha256"]) == list(other["sha256"])
    assert list(one["offset"]) != list(other["offset"])
    index = tables.read(tmp_path / "frames" / "index.csv")
    of = dict(zip(index["id"].str[-6], duplicates.groups(index, bits=None), strict=True))
    assert of["b"] == of["d"] != of["c"]
    assert taken(uneven, tmp_path / "again") == 0
