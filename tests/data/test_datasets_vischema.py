import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from test_datasets_pairs import files, problems

from memorability.core.errors import DataError
from memorability.core.settings import checked
from memorability.data import datasets, splits, tables
from memorability.data.acquire import acquire
from memorability.data.datasets import vischema
from memorability.data.settings import Split


def read(root, **options):
    return vischema.read(vischema.Params(root=root, **options), work=root, seed=0)


def test_rows_and_files(tmp_path):
    files(tmp_path, "images/kitchen/1.jpg", "images/beach/2.jpg", "vms/kitchen/1.png", "vms/beach/2.png")
    rows = read(tmp_path)
    assert list(rows["path"]) == ["images/beach/2.jpg", "images/kitchen/1.jpg"]
    assert [Path(file) for file in rows["map_file"]] == [
        tmp_path / "vms/beach/2.png",
        tmp_path / "vms/kitchen/1.png",
    ]
    assert list(rows["category"]) == ["beach", "kitchen"]
    assert set(rows["channels"]) == {3}
    assert rows["problem"].isna().all()


def test_ends_of_names_are_ignored_where_that_is_wanted(tmp_path):
    files(tmp_path, "scenes/a/1.jpg", "scenes/a/2_scene.jpg", "scenes/b_vms/3.jpg", "scenes/_vms.jpg")
    files(tmp_path, "vms/a/1_vms.png", "vms/a/2-map.png", "vms/b_vms/3_vms.png", "vms/_vms.png")
    rows = read(tmp_path, pictures="scenes", strip=["_vms", "-map", "_scene"])
    assert problems(rows) == dict.fromkeys(rows["path"], "")
    assert list(rows["path"]) == [
        "scenes/_vms.jpg",
        "scenes/a/1.jpg",
        "scenes/a/2_scene.jpg",
        "scenes/b_vms/3.jpg",
    ]
    assert (
        problems(read(tmp_path, pictures="scenes"))["scenes/a/1.jpg"]
        == "no map: nothing in vms/ is called a/1"
    )


def test_names_that_are_one_without_their_ends_are_a_problem(tmp_path):
    files(tmp_path, "images/1.jpg", "vms/1.png", "vms/1_vms.png")
    assert problems(read(tmp_path)) == {
        "images/1.jpg": "",
        "vms/1_vms.png": "no picture: nothing in images/ is called 1_vms",
    }
    said = "2 maps are called 1: vms/1.png, vms/1_vms.png"
    assert problems(read(tmp_path, strip=["_vms"])) == {"images/1.jpg": said}


def test_a_missing_root_says_where_to_get_the_set(tmp_path):
    settings = vischema.Params(root=tmp_path / "absent")
    with pytest.raises(
        DataError, match=r"no folder .*absent\. VISCHEMA is handed out at https://www\.cs\.york"
    ):
        datasets.read("vischema", settings, work=tmp_path, store=tmp_path, seed=0)


def test_maps_have_three_channels_whatever_is_asked(tmp_path):
    with pytest.raises(ValidationError, match="channels"):
        vischema.Params(root=tmp_path, channels=1)


# Its portions.

PORTIONS = {"train": "train", "validation": "test"}


def pictures(root, portion, names):
    """Pictures with maps of three channels, each of its own."""
    rng = np.random.default_rng(len(portion))
    for name in names:
        for folder, end in (("images", "jpg"), ("vms", "png")):
            path = root / portion / folder / f"{name}.{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(path)


def test_a_portion_is_a_part_of_the_split(tmp_path):
    for portion, names in (("train", ("a/1", "b/2")), ("validation", ("a/1",))):
        files(tmp_path, *(f"{portion}/images/{name}.jpg" for name in names))
        files(tmp_path, *(f"{portion}/vms/{name}.png" for name in names))
    rows = read(tmp_path, portions=PORTIONS)
    assert dict(zip(rows["path"], rows["split"], strict=True)) == {
        "train/images/a/1.jpg": "train",
        "train/images/b/2.jpg": "train",
        "validation/images/a/1.jpg": "test",
    }
    assert list(rows["category"]) == ["a", "b", "a"]
    assert Path(rows["map_file"][2]) == tmp_path / "validation/vms/a/1.png"
    assert rows["problem"].isna().all()
    assert "split" not in read(tmp_path / "train")


def test_the_split_stage_takes_the_portions_as_they_come(tmp_path):
    pictures(tmp_path / "set", "train", [f"indoor/{i}" for i in range(20)])
    pictures(tmp_path / "set", "validation", [f"indoor/{i}" for i in range(5)])
    params = checked(vischema.Params, {"root": tmp_path / "set", "portions": PORTIONS}, at="acquire.maps")
    folders = {"work": tmp_path / "work", "store": tmp_path / "store"}
    acquire("maps", {"vischema": params}, tmp_path / "raw", **folders, seed=0, threads=1)
    settings = Split(input="raw", method="published", val=0.2, near_duplicate_bits=0)
    rows, _, _ = splits.split(tables.read(tmp_path / "raw" / "index.csv"), settings)
    test = rows["id"].str.startswith("vischema/validation/")
    assert set(rows["split"][test]) == {"test"}
    assert rows["split"][~test].value_counts().to_dict() == {"train": 15, "val": 5}


@pytest.mark.parametrize(
    ("portions", "said"),
    [
        ({"/train": "train"}, "folders below root, received '/train'"),
        ({"../train": "train"}, "folders below root, received '../train'"),
        ({"train": "training"}, "'train', 'val' or 'test'"),
        ({"train": "train", "train/": "test"}, "valid: each folder once"),
    ],
)
def test_portions_that_are_none(tmp_path, portions, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        vischema.Params(root=tmp_path, portions=portions)


def test_a_portion_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*validation; `portions` names folders below"):
        pictures(tmp_path, "train", ["a/1"])
        read(tmp_path, portions=PORTIONS)
