import io

import numpy as np
import pytest
from PIL import Image

from memorability import datasets, scenes, splits, tables
from memorability.acquire import acquire
from memorability.errors import DataError
from memorability.shards import Place, ShardReader

PICTURES = 20
SIZE = 32


def demo_settings(**changes):
    given = {"pictures": PICTURES, "size": SIZE, "participants": 20, "responses": 10}
    return datasets.adapter("demo").Params(**(given | changes))


def own_pictures(root):
    """Five files in a folder with a table: two good ones, one cut, one of text, one missing."""
    rng = np.random.default_rng(0)
    root.mkdir()
    for name, width in (("a.png", 40), ("ü b.jpg", 50), ("cut.jpg", 60)):
        Image.fromarray(rng.integers(0, 256, (30, width, 3), dtype=np.uint8)).save(root / name)
    cut = (root / "cut.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(cut[: len(cut) // 2])
    (root / "text.jpg").write_text("no picture")
    names = ["a.png", "ü b.jpg", "cut.jpg", "text.jpg", "missing.jpg"]
    table = "".join(f"{name},0.{i + 1}\n" for i, name in enumerate(names))
    (root / "scores.csv").write_text("file,score\n" + table, encoding="utf-8")
    return datasets.adapter("table").Params(root=root)


def packed(row, folder):
    return ShardReader(folder).read(Place(row["shard"], int(row["offset"]), int(row["size"])))


@pytest.fixture(scope="module")
def combined(tmp_path_factory):
    """The demo set, the same files once more as a MemCat folder, and one's own pictures, combined."""
    tmp = tmp_path_factory.mktemp("combined")
    datasets.adapter("demo").generate(tmp / "copy", demo_settings(), seed=0)
    sources = {
        "demo": demo_settings(),
        "memcat": datasets.adapter("memcat").Params(root=tmp / "copy"),
        "table": own_pictures(tmp / "own"),
    }
    acquire(sources, tmp / "raw", work=tmp / "work", seed=0, threads=2)
    return tmp


@pytest.fixture
def index(combined):
    return tables.read(combined / "raw" / "index.csv")


def test_the_index_has_a_row_for_every_picture(index):
    assert list(index) == tables.RAW
    assert index["dataset"].value_counts().to_dict() == {"demo": PICTURES, "memcat": PICTURES, "table": 5}
    assert index["size"].dtype == index["hits"].dtype == "Int64"
    assert index["split"].isna().all()


def test_ids_of_combined_data_sets_do_not_collide(index):
    assert index["id"].is_unique
    assert (index["id"].str.split("/").str[0] == index["dataset"]).all()
    paths = index["id"].str.split("/", n=1).str[1]
    assert set(paths[index["dataset"] == "demo"]) == set(paths[index["dataset"] == "memcat"])


def test_pictures_are_packed_with_their_bytes_unchanged(combined, index):
    roots = {"demo": combined / "work" / "demo", "memcat": combined / "copy", "table": combined / "own"}
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


def test_broken_and_missing_pictures_keep_a_row_with_the_problem(index):
    rows = index[index["dataset"] == "table"].set_index("id")
    assert list(rows.index[rows["problem"].isna()]) == ["table/a.png", "table/ü b.jpg"]
    assert "cannot be read" in rows["problem"]["table/missing.jpg"]
    assert "not a picture" in rows["problem"]["table/text.jpg"]
    assert "cannot be decoded" in rows["problem"]["table/cut.jpg"]
    assert list(rows["score"]) == [0.1, 0.2, 0.3, 0.4, 0.5]
    bad = rows[rows["problem"].notna()]
    assert bad[["shard", "sha256", "phash", "width", "height"]].isna().all(axis=None)
    assert (bad["size"] == 0).all()


def test_the_split_stage_names_every_problem(index):
    with pytest.raises(DataError, match="3 problems") as caught:
        splits.check(index)
    for name in ("table/missing.jpg", "table/text.jpg", "table/cut.jpg"):
        assert name in str(caught.value)


def test_masks_are_found_again_by_place(combined):
    masks = tables.read(combined / "raw" / "masks.csv")
    assert list(masks) == ["id", "shard", "offset", "size"]
    assert len(masks) == PICTURES  # of the demo set alone: the others have none
    seen = set()
    for row in masks.to_dict("records"):
        with Image.open(io.BytesIO(packed(row, combined / "raw"))) as mask:
            assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (SIZE, SIZE))
            seen |= set(np.unique(np.asarray(mask)).tolist())
    assert 0 in seen
    assert seen <= set(range(len(scenes.CATEGORIES) + 1))


def test_the_masks_belong_to_their_pictures(combined, index):
    masks = tables.read(combined / "raw" / "masks.csv").set_index("id")
    demo = index[(index["dataset"] == "demo") & index["subcategory"].isin(scenes.CATEGORIES)]
    for row in demo.to_dict("records"):
        mask = np.asarray(Image.open(io.BytesIO(packed(masks.loc[row["id"]], combined / "raw"))))
        assert (mask == 1 + scenes.CATEGORIES.index(row["subcategory"])).any()


def test_output_depends_on_the_seed_alone(tmp_path):
    for name, seed, threads in (("one", 0, 1), ("two", 0, 4), ("other", 1, 1)):
        acquire(
            {"demo": demo_settings()},
            tmp_path / name,
            work=tmp_path / f"w-{name}",
            seed=seed,
            threads=threads,
        )
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["index.csv", "masks-00000.tar", "masks.csv", "pictures-00000.tar"]
    for name in files:
        one, two, other = ((tmp_path / run / name).read_bytes() for run in ("one", "two", "other"))
        assert one == two
        assert one != other


def test_a_set_without_masks_has_no_table_of_masks(tmp_path):
    acquire(
        {"table": own_pictures(tmp_path / "own")}, tmp_path / "raw", work=tmp_path / "w", seed=0, threads=1
    )
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["index.csv", "pictures-00000.tar"]


def test_old_output_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "stale.tar").write_text("of a data set no longer in use")
    acquire(
        {"table": own_pictures(tmp_path / "own")}, tmp_path / "raw", work=tmp_path / "w", seed=0, threads=1
    )
    assert not (tmp_path / "raw" / "stale.tar").exists()
