import io
import itertools
import json
import multiprocessing
import os
import resource
import signal
import threading
import time
import traceback
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tqdm import tqdm

from memorability.core import states
from memorability.core.errors import DataError, StateError, StorageError
from memorability.data import acquire as acquiring
from memorability.data import datasets, packing, scenes, tables
from memorability.data.datasets import demo
from memorability.data.shards import ShardReader, ShardWriter, Span

PICTURES = 20
SIZE = 32
THREADS = 2
IN_HAND = 4 * THREADS + 2  # pictures decoded and not yet packed, at most


class Stop(Exception):
    pass


def acquire(sources, out, *, seed=0, threads=THREADS):
    """Into `out`, with unfinished work beside it."""
    work, store = work_of(out), out.with_name("store")
    track = "maps" if set(sources) & {"pairs", "vischema", "demo_maps"} else "images"
    return acquiring.acquire(track, sources, out, work=work, store=store, seed=seed, threads=threads)


def work_of(out):
    return out.with_name(f"work-{out.name}")


def journal_of(out):
    return work_of(out) / "packed" / "pictures.jsonl"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def demo_settings(**changes):
    given = {"pictures": PICTURES, "pixels": SIZE, "participants": 20, "responses": 10}
    return datasets.adapter("demo").Params(**(given | changes))


def own_pictures(root, good=2):
    """A folder with a table of good pictures and three that are none: cut, of text, missing."""
    rng = np.random.default_rng(0)
    root.mkdir()
    names = ["ü b.jpg", *(f"{i:03d}.png" for i in range(1, good))]
    for i, name in enumerate([*names, "cut.jpg"]):
        Image.fromarray(rng.integers(0, 256, (30, 40 + i, 3), dtype=np.uint8)).save(root / name)
    cut = (root / "cut.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(cut[: len(cut) // 2])
    (root / "text.jpg").write_text("no picture")
    names[good // 2 : good // 2] = ["cut.jpg", "text.jpg", "missing.jpg"]
    table = "".join(f"{name},{i / len(names)}\n" for i, name in enumerate(names))
    (root / "scores.csv").write_text("file,score\n" + table, encoding="utf-8")
    return {"table": datasets.adapter("table").Params(root=root)}


def packed(row, folder):
    return ShardReader(folder).read(Span(row["shard"], int(row["offset"]), int(row["size"]), row["sha256"]))


# What is written


@pytest.fixture(scope="module")
def combined(tmp_path_factory):
    """The demo set, the same files once more as a MemCat folder, and one's own pictures, combined."""
    tmp = tmp_path_factory.mktemp("combined")
    datasets.adapter("demo").generate(tmp / "copy", demo_settings(), seed=0)
    memcat = datasets.adapter("memcat").Params(root=tmp / "copy")
    acquire({"demo": demo_settings(), "memcat": memcat} | own_pictures(tmp / "own"), tmp / "raw")
    return tmp


@pytest.fixture
def index(combined):
    return tables.read(combined / "raw" / "index.csv")


def test_the_index_has_a_row_for_every_picture(index):
    assert list(index) == tables.raw("images")
    assert index["dataset"].value_counts().to_dict() == {"demo": PICTURES, "memcat": PICTURES, "table": 5}
    assert index["size"].dtype == index["hits"].dtype == "Int64"
    assert index["split"].isna().all()


def test_the_index_is_also_given_back(tmp_path):
    found = acquire(own_pictures(tmp_path / "own"), tmp_path / "raw")
    tables.write(found, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "raw" / "index.csv").read_bytes()


def test_ids_of_combined_data_sets_do_not_collide(index):
    assert index["id"].is_unique
    assert (index["id"].str.split("/").str[0] == index["dataset"]).all()
    paths = index["id"].str.split("/", n=1).str[1]
    assert set(paths[index["dataset"] == "demo"]) == set(paths[index["dataset"] == "memcat"])


def test_pictures_are_packed_with_their_bytes_unchanged(combined, index):
    roots = {"demo": combined / "copy", "memcat": combined / "copy", "table": combined / "own"}
    good = index[index["problem"].isna()]
    assert len(good) == 2 * PICTURES + 2
    for row in good.to_dict("records"):
        dataset, path = row["id"].split("/", 1)
        content = (roots[dataset] / path).read_bytes()
        assert packed(row, combined / "raw") == content
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.size == (row["width"], row["height"])


def test_equal_files_have_equal_digests_and_hashes(index):
    by_set = {
        name: rows.set_index(rows["id"].str.split("/", n=1).str[1]) for name, rows in index.groupby("dataset")
    }
    demo, memcat = by_set["demo"], by_set["memcat"]
    for column in ("sha256", "phash", "score", "responses", "hits", "false_alarms", "category"):
        assert (demo[column] == memcat[column].reindex(demo.index)).all()
    assert demo["sha256"].is_unique
    assert demo["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert demo["phash"].str.fullmatch("[0-9a-f]{16}").all()


def test_output_depends_on_the_seed_alone(tmp_path):
    for name, seed, threads in (("one", 0, 1), ("two", 0, 4), ("other", 1, 1)):
        acquire({"demo": demo_settings()}, tmp_path / name, seed=seed, threads=threads)
    one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
    assert sorted(one) == ["SHA256SUMS", "index.csv", "pictures-00000.tar"]
    assert one == two
    assert all(one[name] != other[name] for name in one)


def test_files_that_are_not_there_are_named_with_the_path_that_was_tried(tmp_path, capsys):
    acquire(own_pictures(tmp_path / "own"), tmp_path / "raw")
    said = capsys.readouterr().err
    assert (
        f"warning: data set table: 1 of 5 files are not there; tried:\n  {tmp_path}/own/missing.jpg\n" in said
    )


def test_a_data_set_of_which_nothing_is_there_stops(tmp_path):
    own_pictures(tmp_path / "own")
    (tmp_path / "own" / "scores.csv").write_text("file,score\nphotos/a.jpg,0.5\nphotos/b.jpg,0.25\n")
    sources = {"table": datasets.adapter("table").Params(root=tmp_path / "own")}
    with pytest.raises(DataError) as caught:
        acquire(sources | {"demo": demo_settings()}, tmp_path / "raw")
    said = str(caught.value)
    assert "data set table: none of its 2 files is there; tried:" in said
    assert f"{tmp_path}/own/photos/a.jpg" in said
    assert "relative to the data set's `root`" in said
    assert not (tmp_path / "raw").exists()


def test_a_summary_says_how_many_scores_there_are_and_their_range(tmp_path):
    acquire(own_pictures(tmp_path / "own"), tmp_path / "raw")
    index = tables.read(tmp_path / "raw" / "index.csv")
    assert acquiring.summary(index) == "table: 5 files; 3 unusable; 2 scores, 0.000 to 0.800, mean 0.400"
    clips = pd.DataFrame(
        {
            **{"dataset": ["a", "a", "b"], "problem": pd.array([pd.NA] * 3, dtype="string")},
            **{"short_term": [0.25, 0.75, 0.5], "long_term": [0.5, np.nan, np.nan]},
        }
    )
    assert acquiring.summary(clips) == (
        "a: 2 files; 2 short-term scores, 0.250 to 0.750, mean 0.500; 1 long-term scores, 0.500 to 0.500, mean 0.500\n"
        "b: 1 files; 1 short-term scores, 0.500 to 0.500, mean 0.500"
    )


@pytest.mark.parametrize("damage", ["cut by a line", "cut in a line", "a line changed", "empty", "binary"])
def test_an_index_that_is_not_as_it_was_written_is_noticed(tmp_path, damage):
    acquire(own_pictures(tmp_path / "own"), tmp_path / "raw")
    path = tmp_path / "raw" / "index.csv"
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    path.write_bytes(
        {
            "cut by a line": b"".join(lines[:-1]),
            "cut in a line": content[:-30],
            "a line changed": content.replace(b"0.8", b"0.9", 1),
            "empty": b"",
            "binary": bytes(range(256)) * 10,
        }[damage]
    )
    with pytest.raises(DataError, match=r"index\.csv: not as its stage wrote it"):
        tables.read(path)


@pytest.mark.parametrize("damage", ["zeros in a shard", "another hash", "a binary line"])
def test_unfinished_work_that_was_damaged_is_packed_again(tmp_path, monkeypatch, damage):
    album = own_pictures(tmp_path / "own", good=20)
    acquire(album, tmp_path / "reference")
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=15)
    journal = journal_of(tmp_path / "raw")
    lines = journal.read_bytes().splitlines(keepends=True)
    third = list(states.lines(journal))[2]
    if damage == "zeros in a shard":
        with (journal.parent / third["shard"]).open("r+b") as shard:
            shard.seek(third["offset"] + 20)
            shard.write(bytes(50))
    elif damage == "another hash":
        lines[2] = lines[2].replace(third["sha256"].encode(), b"0" * 64)
        journal.write_bytes(b"".join(lines))
    else:
        lines[2] = bytes(range(14, 200)) + b"\n"
        journal.write_bytes(b"".join(lines))
    names = decoded(monkeypatch, album, tmp_path / "raw")
    assert len(names) > 20  # from the damaged one on
    assert contents(tmp_path / "raw") == contents(tmp_path / "reference")


def test_old_output_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "stale.tar").write_text("of a data set no longer in use")
    acquire(own_pictures(tmp_path / "own"), tmp_path / "raw")
    assert "stale.tar" not in contents(tmp_path / "raw")


def test_nothing_but_the_output_is_left(tmp_path):
    acquire(own_pictures(tmp_path / "own"), tmp_path / "raw")
    assert {path.name for path in tmp_path.iterdir()} <= {"own", "raw", "work-raw.lock"}


def test_work_on_another_disk_is_copied(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(18, "Invalid cross-device link")

    sources = own_pictures(tmp_path / "own")
    acquire(sources, tmp_path / "linked")
    monkeypatch.setattr(os, "link", refuse)
    acquire(sources, tmp_path / "copied")
    assert contents(tmp_path / "copied") == contents(tmp_path / "linked")


# Stopped and run again

GOOD = 37
ALL = GOOD + 3


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Data sets of 40 files that fill several shards, and what acquiring them gives."""
    monkeypatch.setattr(packing, "ShardWriter", partial(ShardWriter, limit=20_000))
    sources = own_pictures(tmp_path / "own", good=GOOD)
    acquire(sources, tmp_path / "reference")
    assert len(contents(tmp_path / "reference")) > 4
    return sources


def decoded(monkeypatch, sources, out, *, stop_at=None, **options):
    """Acquires, and gives the names of the files that were decoded; one of them may raise Stop."""
    names = []

    def examine(file):
        names.append(Path(file).name)
        if len(names) == stop_at:
            raise Stop
        return examined(file)

    with monkeypatch.context() as patch:
        examined = acquiring.EXAMINE["images"]
        patch.setitem(acquiring.EXAMINE, "images", examine)
        if stop_at is None:
            acquire(sources, out, **options)
        else:
            with pytest.raises(Stop):
                acquire(sources, out, **options)
    return names


@pytest.mark.parametrize("stop_at", [1, 2, 12, 25, ALL])
def test_a_run_that_was_stopped_goes_on_at_the_next_picture(album, tmp_path, monkeypatch, stop_at):
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=stop_at)
    assert not (tmp_path / "raw").exists()
    packed_before = len(journal_of(tmp_path / "raw").read_text().splitlines())
    assert stop_at - IN_HAND <= packed_before < stop_at + THREADS
    assert len(decoded(monkeypatch, album, tmp_path / "raw")) == ALL - packed_before
    assert contents(tmp_path / "raw") == contents(tmp_path / "reference")
    assert not work_of(tmp_path / "raw").exists()


def test_a_finished_run_starts_over(album, tmp_path, monkeypatch):
    acquire(album, tmp_path / "raw")
    assert len(decoded(monkeypatch, album, tmp_path / "raw")) == ALL
    assert contents(tmp_path / "raw") == contents(tmp_path / "reference")


def first_packed(out):
    """The files whose members the journal has, in order."""
    return [line["id"].removeprefix("table/") for line in states.lines(journal_of(out))]


def other_content(path):
    Image.new("RGB", (9, 9)).save(path)


def other_time(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("change", [other_content, other_time, Path.unlink])
def test_a_file_that_changed_meanwhile_is_packed_anew(album, tmp_path, monkeypatch, change):
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=32)
    before = first_packed(tmp_path / "raw")
    assert before[12].endswith(".png")
    change(tmp_path / "own" / before[12])
    again = decoded(monkeypatch, album, tmp_path / "raw")
    assert not set(again) & set(before[:12])
    assert len(again) == ALL - 12
    acquire(album, tmp_path / "fresh")
    assert contents(tmp_path / "raw") == contents(tmp_path / "fresh")


def test_a_row_that_came_meanwhile_is_packed_in_its_place(album, tmp_path, monkeypatch):
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=32)
    table = tmp_path / "own" / "scores.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    other_content(tmp_path / "own" / "new.png")
    table.write_text("\n".join([*lines[:9], "new.png,0.5", *lines[9:]]), encoding="utf-8")
    assert len(decoded(monkeypatch, album, tmp_path / "raw")) == ALL + 1 - 8
    acquire(album, tmp_path / "fresh")
    assert contents(tmp_path / "raw") == contents(tmp_path / "fresh")


def test_new_scores_need_no_decoding(album, tmp_path, monkeypatch):
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=ALL)
    done = len(first_packed(tmp_path / "raw"))
    table = tmp_path / "own" / "scores.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",0.", ",0.0"), encoding="utf-8")
    assert len(decoded(monkeypatch, album, tmp_path / "raw")) == ALL - done
    assert tables.read(tmp_path / "raw" / "index.csv")["score"].max() < 0.1


@pytest.mark.parametrize("change", ["seed", "setting"])
def test_other_settings_start_over(album, tmp_path, monkeypatch, change):
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=32)
    changed = {"table": album["table"].model_copy(update={"scale": 0.5})} if change == "setting" else album
    seed = 1 if change == "seed" else 0
    assert len(decoded(monkeypatch, changed, tmp_path / "raw", seed=seed)) == ALL
    acquire(changed, tmp_path / "fresh", seed=seed)
    assert contents(tmp_path / "raw") == contents(tmp_path / "fresh")


def half_a_line_more(out):
    with journal_of(out).open("a") as journal:
        journal.write('{"id": "table/0')


def last_line_cut(out):
    os.truncate(journal_of(out), journal_of(out).stat().st_size - 20)


def garbage_behind_the_last_member(out):
    with max(journal_of(out).parent.glob("*.tar")).open("ab") as shard:
        shard.write(b"half a member" * 100)


def last_shard_cut(out):
    os.truncate(max(journal_of(out).parent.glob("*.tar")), 100)


def first_shard_lost(out):
    min(journal_of(out).parent.glob("*.tar")).unlink()


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (half_a_line_more, 0),
        (last_line_cut, 1),
        (garbage_behind_the_last_member, 0),
        (last_shard_cut, 10),
        (first_shard_lost, ALL),
    ],
)
def test_what_a_stop_left_damaged_is_made_again(album, tmp_path, monkeypatch, damage, lost):
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=32)
    done = len(first_packed(tmp_path / "raw"))
    damage(tmp_path / "raw")
    again = len(decoded(monkeypatch, album, tmp_path / "raw")) - (ALL - done)
    assert min(lost, 1) <= again <= lost
    assert contents(tmp_path / "raw") == contents(tmp_path / "reference")


# Killed by the system


def in_a_process_of_its_own(function, *arguments):
    """Runs a function where it may fork: in a new process, with no other threads and no torch."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def fork(function, *arguments):
    """The number of a copy of this process that runs a function and ends."""
    number = os.fork()
    if number == 0:
        try:
            function(*arguments)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    return number


def exit_code(number):
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def prepare(sources, reference, *, limit):
    """In a process that will fork: what its copies need is loaded, no thread of tqdm's runs."""
    tqdm.monitor_interval = 0
    tqdm.set_lock(threading.RLock())  # its own is a semaphore that a killed process leaves behind
    demo.map_in_processes = drawn_here
    packing.ShardWriter = partial(ShardWriter, limit=limit)
    acquire(sources, reference)


def drawn_here(function, *items, processes):
    """What draws, in the process that is watched and killed."""
    return map(function, *items)


def watched_acquire(sources, out, log, limit):
    """Acquires with a line in `log` before each picture that is drawn or decoded; after `limit` lines it waits
    until there is a file `LOG.go`, so that no slow machine lets it get to its end before it is killed."""
    left = iter(range(limit))

    def watched(name, function):
        def wrapped(*args, **options):
            with log.open("a") as stream:
                stream.write(f"{name} {args[0]}\n")
            while next(left, None) is None and not log.with_suffix(".go").exists():
                time.sleep(0.001)
            return function(*args, **options)

        return wrapped

    scenes.render = watched("draw", scenes.render)
    acquiring.EXAMINE["images"] = watched("examine", acquiring.EXAMINE["images"])
    acquire(sources, out)


def lines_of(path):
    return path.read_text().split("\n")[:-1] if path.exists() else []


def wait_for(log, lines, number):
    """Until the log has so many lines, or the process has ended."""
    while len(lines_of(log)) < lines:
        if os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(0.001)


def kill_at_any_moment(sources, out, log, report):
    """Acquires and kills it, again and again until it has ended; writes what each attempt did."""
    prepare(sources, out.with_name("reference"), limit=50_000)
    rng, attempts, code = np.random.default_rng(0), [], -signal.SIGKILL
    while code == -signal.SIGKILL:
        log.unlink(missing_ok=True)
        before = lines_of(journal_of(out))
        lines = int(1 + rng.integers(0, 12))
        number = fork(watched_acquire, sources, out, log, lines + int(rng.integers(0, 6)))
        wait_for(log, lines, number)
        time.sleep(rng.uniform(0, 0.01))
        os.kill(number, signal.SIGKILL)
        code = exit_code(number)
        did = [line.split(maxsplit=1) for line in lines_of(log)]
        attempts.append({"code": code, "before": before, "did": did, "after": lines_of(journal_of(out))})
    report.write_text(json.dumps(attempts))


def test_a_run_killed_at_any_moment_goes_on_at_the_next_picture(tmp_path):
    sources, out = {"demo": demo_settings(pictures=150)}, tmp_path / "raw"
    in_a_process_of_its_own(kill_at_any_moment, sources, out, tmp_path / "log", tmp_path / "report")
    *killed, last = json.loads((tmp_path / "report").read_text())
    assert last["code"] == 0
    assert len(killed) >= 20
    for kind in ("draw", "examine"):
        assert sum(kind in dict(attempt["did"]) for attempt in killed) >= 3  # each was interrupted
    for attempt in killed:
        packed_before = {Path(json.loads(line.split(maxsplit=1)[1])["id"]).name for line in attempt["before"]}
        examined = {Path(what).name for kind, what in attempt["did"] if kind == "examine"}
        assert not packed_before & examined
        assert attempt["after"][: len(attempt["before"])] == attempt["before"]
        assert len(examined) <= len(attempt["after"]) - len(attempt["before"]) + IN_HAND
    decodes = sum(kind == "examine" for attempt in [*killed, last] for kind, _ in attempt["did"])
    assert 150 <= decodes <= 150 + len(killed) * IN_HAND
    assert contents(out) == contents(tmp_path / "reference")
    assert not work_of(out).exists()


def die_at(sources, out, at):
    """Acquires, and kills itself just before the change number `at` of the file system."""
    count = itertools.count(1)

    def deadly(function):
        def wrapped(*args, **options):
            if next(count) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return wrapped

    for name in ("mkdir", "link", "replace", "unlink", "rmdir", "truncate"):
        setattr(os, name, deadly(getattr(os, name)))
    ShardWriter.add = deadly(ShardWriter.add)
    acquire(sources, out)


def die_at_every_change(sources, reference, report):
    """Runs that die at the first change, at the second and so on, each followed by one that does not."""
    prepare(sources, reference, limit=5_000)
    codes = []
    for at in itertools.count(1):
        out = reference.with_name(str(at))
        codes.append(exit_code(fork(die_at, sources, out, at)))
        if codes[-1] == 0:
            break
        acquire(sources, out)
    report.write_text(json.dumps(codes))


def test_a_run_killed_between_any_two_changes_of_the_disk_goes_on(tmp_path):
    sources = own_pictures(tmp_path / "own", good=4)
    in_a_process_of_its_own(die_at_every_change, sources, tmp_path / "reference", tmp_path / "report")
    *killed, last = json.loads((tmp_path / "report").read_text())
    assert len(killed) > 25
    assert (set(killed), last) == ({-signal.SIGKILL}, 0)
    for at in range(1, len(killed) + 2):
        assert contents(tmp_path / str(at)) == contents(tmp_path / "reference")
    assert not [path for path in tmp_path.glob("work-*") if path.is_dir()]
    assert not [*tmp_path.glob(".*")]


def with_a_full_disk(sources, out):
    prepare(sources, out.with_name("reference"), limit=50_000)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # for the system, as good as a full disk
    for _ in range(2):
        with pytest.raises(
            StorageError, match="packed: cannot be written, the disk is full; what is packed is kept"
        ):
            acquire(sources, out)
    assert 3 < len(lines_of(journal_of(out))) < 30
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    acquire(sources, out)


def test_a_run_that_fills_the_disk_is_told_so_and_goes_on_later(tmp_path):
    sources, out = own_pictures(tmp_path / "own", good=40), tmp_path / "raw"
    in_a_process_of_its_own(with_a_full_disk, sources, out)
    assert contents(out) == contents(tmp_path / "reference")


def two_at_once(sources, out, log):
    prepare(sources, out.with_name("reference"), limit=50_000)
    first = fork(watched_acquire, sources, out, log, 5)
    wait_for(log, 5, first)
    with pytest.raises(StateError, match="work-raw: another process is at this"):
        acquire(sources, out)
    log.with_suffix(".go").touch()
    assert exit_code(first) == 0


def test_a_second_process_at_the_same_work_is_refused_and_the_first_goes_on(tmp_path):
    sources, out, log = own_pictures(tmp_path / "own", good=100), tmp_path / "raw", tmp_path / "log"
    in_a_process_of_its_own(two_at_once, sources, out, log)
    assert len(lines_of(log)) == 103
    assert contents(out) == contents(tmp_path / "reference")
