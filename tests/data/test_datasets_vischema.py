from pathlib import Path

import pytest
from pydantic import ValidationError
from test_datasets_pairs import files, problems

from memorability.core.errors import DataError
from memorability.data import datasets
from memorability.data.datasets import vischema


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
