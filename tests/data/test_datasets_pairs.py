import os
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from memorability.core.errors import DataError
from memorability.data import datasets
from memorability.data.datasets import pairs
from memorability.data.settings import Acquire

SHARED = Path(os.environ.get("MEMORABILITY_SHARED", Path(__file__).parents[3] / "shared"))
REAL = SHARED / "data" / "osie"


def files(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content is not looked at here")
    return root


def read(root, **options):
    return pairs.read(pairs.Params(root=root, **options), work=root, seed=0)


def problems(rows):
    return dict(zip(rows["path"], rows["problem"].fillna(""), strict=True))


def test_rows_and_files(tmp_path):
    files(tmp_path, "images/b/2.JPG", "images/a/x/1.jpg", "images/3.png", "maps/a/x/1.png")
    files(tmp_path, "maps/b/2.png", "maps/3.tif", "images/notes.txt", "maps/a/Thumbs.db")
    rows = read(tmp_path)
    assert list(rows["path"]) == ["images/3.png", "images/a/x/1.jpg", "images/b/2.JPG"]
    assert [Path(file) for file in rows["file"]] == [tmp_path / path for path in rows["path"]]
    marked = [Path(file).relative_to(tmp_path).as_posix() for file in rows["map_file"]]
    assert marked == ["maps/3.tif", "maps/a/x/1.png", "maps/b/2.png"]
    assert list(rows["category"].fillna("")) == ["", "a", "b"]
    assert set(rows["channels"]) == {1}
    assert rows["problem"].isna().all()


def test_folders_and_channels_are_settings(tmp_path):
    rows = read(
        files(tmp_path, "shown/1.jpg", "seen/deep/1.png"), pictures="shown", maps="seen/deep", channels=3
    )
    assert list(rows["path"]) == ["shown/1.jpg"]
    assert list(rows["channels"]) == [3]
    assert rows["problem"].isna().all()


@pytest.mark.parametrize(("pictures", "maps"), [(".", "maps"), ("images", ".")])
def test_one_folder_may_lie_in_the_other(tmp_path, pictures, maps):
    inner = "maps" if maps == "maps" else "images"
    files(tmp_path, "1.jpg", "a/2.jpg", f"{inner}/1.png", f"{inner}/a/2.png")
    rows = read(tmp_path, pictures=pictures, maps=maps)
    assert rows["problem"].isna().all()
    assert len(rows) == 2


def test_what_other_programs_hide_is_no_picture(tmp_path):
    files(tmp_path, "images/1.jpg", "images/._1.jpg", "images/.cache/1.jpg", "maps/1.png", "maps/._2.png")
    assert problems(read(tmp_path)) == {"images/1.jpg": ""}


def test_what_has_no_partner_is_a_row_with_a_problem(tmp_path):
    files(tmp_path, "images/a/1.jpg", "images/2.jpg", "maps/1.png", "maps/2.png")
    rows = read(tmp_path)
    assert problems(rows) == {
        "images/2.jpg": "",
        "images/a/1.jpg": "no map: nothing in maps/ is called a/1",
        "maps/1.png": "no picture: nothing in images/ is called 1",
    }
    assert list(rows["map_file"].isna()) == [False, True, True]


def test_names_that_several_files_have_are_problems_of_all_rows(tmp_path):
    files(tmp_path, "images/1.jpg", "images/1.png", "maps/1.png")  # two pictures
    files(tmp_path, "images/2.jpg", "maps/2.png", "maps/2.gif")  # two maps
    files(tmp_path, "images/3.jpg", "images/3.gif")  # two pictures, no map
    files(tmp_path, "maps/4.jpg", "maps/4.gif")  # two maps, no picture
    assert problems(read(tmp_path)) == {
        "images/1.jpg": "2 pictures are called 1: images/1.jpg, images/1.png",
        "images/1.png": "2 pictures are called 1: images/1.jpg, images/1.png",
        "images/2.jpg": "2 maps are called 2: maps/2.gif, maps/2.png",
        "images/3.gif": "no map: nothing in maps/ is called 3",
        "images/3.jpg": "no map: nothing in maps/ is called 3",
        "maps/4.gif": "no picture: nothing in images/ is called 4",
        "maps/4.jpg": "no picture: nothing in images/ is called 4",
    }


@pytest.mark.parametrize("missing", ["pictures", "maps"])
def test_a_missing_folder_is_named_with_its_setting(tmp_path, missing):
    files(tmp_path, "images/1.jpg", "maps/1.png")
    with pytest.raises(DataError, match=rf"no folder {tmp_path}/elsewhere; its setting `{missing}`"):
        read(tmp_path, **{missing: "elsewhere"})


@pytest.mark.parametrize("empty", ["images", "maps"])
def test_a_folder_without_pictures_is_named(tmp_path, empty):
    files(tmp_path, *(f"{name}/1.{'txt' if name == empty else 'png'}" for name in ("images", "maps")))
    with pytest.raises(
        DataError, match=rf"{tmp_path}/{empty}: no picture in this folder; valid endings are \.jpg"
    ):
        read(tmp_path)


def test_a_missing_root_says_what_to_do(tmp_path):
    settings = pairs.Params(root=tmp_path / "absent")
    with pytest.raises(
        DataError, match=r"acquire\.pairs\.root: no folder .*absent. Put the pictures in images/"
    ):
        datasets.read("pairs", settings, work=tmp_path, store=tmp_path, seed=0)


@pytest.mark.parametrize(
    "change", [{"channels": 2}, {"colour": 1}, {"pictures": "maps"}, {"maps": "./images"}]
)
def test_settings_that_mean_nothing_are_refused(tmp_path, change):
    with pytest.raises(ValidationError):
        pairs.Params(root=tmp_path, **change)


def test_names_that_are_not_utf8_are_offenders(tmp_path):
    files(
        tmp_path,
        *(f"{kind}/{os.fsdecode(name)}.png" for kind in ("images", "maps") for name in (b"a", b"\xff")),
    )
    rows = read(tmp_path)
    assert problems(rows) == {
        "images/\\xff.png": "the name of the file is not UTF-8; rename it",
        "images/a.png": "",
    }
    rows.drop(columns="file").to_csv(tmp_path / "index.csv")  # where it used to fail, after all was packed


def test_pictures_of_other_endings_are_seen_and_what_is_none_is_named(tmp_path, capsys):
    files(tmp_path, "maps/1.png", "maps/2.jfif", "maps/notes.txt", "images/1.avif")
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / "2.download", "PNG")
    assert problems(read(tmp_path)) == {"images/1.avif": "", "images/2.download": ""}
    assert f"warning: {tmp_path}/maps: 1 files are no pictures, such as notes.txt" in capsys.readouterr().err


def test_settings_may_stand_in_params(tmp_path):
    block = {"watch": "params.yaml", "datasets": ["pairs"], "pairs": {"root": str(tmp_path), "channels": 3}}
    assert Acquire(**block).sources("maps")["pairs"] == pairs.Params(root=tmp_path, channels=3)


@pytest.mark.skipif(not REAL.is_dir(), reason="no OSIE folder at MEMORABILITY_SHARED/data/osie")
def test_a_real_set_has_its_pairs():
    rows = read(REAL)
    assert len(rows) == 450
    assert rows["problem"].isna().all()
    assert rows["path"].is_unique
    for picture, marked in zip(rows["file"][:5], rows["map_file"][:5], strict=True):
        with Image.open(picture) as one, Image.open(marked) as other:
            assert one.width / one.height == pytest.approx(other.width / other.height, rel=0.02)


@pytest.mark.parametrize("name", ["/elsewhere", "../elsewhere"])
def test_folders_lie_below_the_root(tmp_path, name):
    with pytest.raises(ValueError, match="names of folders below root"):
        pairs.Params(root=tmp_path, maps=name)
