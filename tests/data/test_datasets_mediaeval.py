"""MediaEval's adapter: a small folder in its layout, with given features of every kind."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from memorability.core.errors import DataError
from memorability.data import datasets, offenders, tables
from memorability.data.datasets import mediaeval
from memorability.features import formats as descriptors
from memorability.features import given

HEAD = (
    "video, short-term_memorability, nb_short-term_annotations, "
    "long-term_memorability, nb_long-term_annotations"
)
TRUTH = f"""{HEAD}
video10.webm, 0.95, 34, 0.9, 10
video3.webm, 0.924, 34, 0.846, 13
video8.webm, 0.922, 33, , 
"""  # noqa: W291
CAPTIONS = """video3.webm\tblonde-woman-is-massaged
video10.webm\tcouple-relaxing-on-picnic-crane-shot
video7494\trunner-at-sunrise
video99.webm\tof-a-clip-that-is-not-there
"""
CLIPS = ("video10", "video3", "video8", "video10001", "video7494")
# Folder -> its files' content by frame (None: one file a clip), and how they are read.
FEATURES = {
    "C3D": ({None: " ".join(["0.00990099"] * 101) + " \n"}, {"format": "numbers", "length": 101}),
    "HMP": ({None: "1:0.125 3:0.5 6075:0.25\n"}, {"format": "pairs", "length": 6075, "first": 1}),
    "InceptionV3": (
        {0: "0:1.5e-01 999:2.5e-01 \n", 56: "7:1e+00 \n", 112: "7:1e+00 \n"},
        {"format": "pairs", "length": 1000},
    ),
    "HoG": ({0: "0.5 0.25 0.25", 56: "0.5 0.5", 112: "1"}, {"format": "rows", "length": 1}),
    "LBP": ({i: " ".join(["0.00819672"] * 122) for i in (0, 56, 112)}, {"format": "numbers", "length": 122}),
    "ORB": ({0: "", 56: "1 " * 32, 112: ("2 " * 32 + "\n") * 5}, {"format": "rows", "length": 32}),
    "ColorHistogram": (
        dict.fromkeys((0, 56, 112), "0:9 255:1 \n12:3 \n254:1008 \n"),
        {"format": "pairs", "length": 256, "channels": 3},
    ),
}


def layout(root, *, truth=TRUTH, captions=CAPTIONS, clips=CLIPS):
    """A folder in MediaEval's layout, with every kind of given features of its clips."""
    (root / "sources").mkdir(parents=True)
    for clip in clips:
        (root / "sources" / f"{clip}.webm").write_bytes(b"a clip")
    (root / "ground-truth.csv").write_text(truth, encoding="utf-8")
    if captions is not None:
        (root / "captions.txt").write_text(captions, encoding="utf-8")
    for folder, (frames, _) in FEATURES.items():
        (root / "features" / folder).mkdir(parents=True)
        for clip in clips:
            for frame, text in frames.items():
                name = clip if frame is None else f"{clip}-{frame}"
                (root / "features" / folder / f"{name}.txt").write_text(text)
    return root


def read(root, **options):
    return mediaeval.read(mediaeval.Params(root=root, **options), work=root, seed=0)


def files(root, names=("sources/video10.webm", "sources/video3.webm"), features=("C3D",)):
    return mediaeval.given(mediaeval.Params(root=root, features=features), list(names))


# Rows


def test_the_table_comes_first_and_then_the_unlabelled_clips_by_number(tmp_path):
    rows = read(layout(tmp_path))
    names = ["video10.webm", "video3.webm", "video8.webm", "video7494.webm", "video10001.webm"]
    assert list(rows["path"]) == [f"sources/{name}" for name in names]
    assert [Path(file) for file in rows["file"]] == [tmp_path / "sources" / name for name in names]
    assert list(rows["split"].fillna("")) == ["", "", "", "unlabelled", "unlabelled"]
    assert rows["problem"].isna().all()
    for column in ("path", "problem", "title", "split"):
        assert rows[column].dtype == "string"


def test_scores_and_counts_without_the_spaces_around_them(tmp_path):
    rows = read(layout(tmp_path))
    nothing = float("nan")
    for column, expected in {
        "short_term": [0.95, 0.924, 0.922, nothing, nothing],
        "long_term": [0.9, 0.846, nothing, nothing, nothing],
        "short_term_responses": [34, 34, 33, nothing, nothing],
        "long_term_responses": [10, 13, nothing, nothing, nothing],
    }.items():
        np.testing.assert_array_equal(rows[column].to_numpy(float), expected)


def test_titles_have_spaces_for_hyphens(tmp_path):
    rows = read(layout(tmp_path))
    assert list(rows["title"].fillna("none")) == [
        "couple relaxing on picnic crane shot",
        "blonde woman is massaged",
        "none",
        "runner at sunrise",
        "none",
    ]


def test_a_set_without_captions_or_unlabelled_clips(tmp_path):
    rows = read(layout(tmp_path, captions=None, clips=CLIPS[:3]), captions=None)
    assert len(rows) == 3
    assert rows["title"].isna().all()
    assert rows["split"].isna().all()


def test_the_rows_fit_the_raw_index(tmp_path):
    root = layout(tmp_path)
    rows = datasets.read("mediaeval", mediaeval.Params(root=root), work=tmp_path, store=tmp_path, seed=0)
    assert rows["id"][0] == "mediaeval/sources/video10.webm"
    assert offenders.problems(rows.reindex(columns=tables.raw("videos"))) == []


@pytest.mark.parametrize(
    "truth",
    [
        "\ufeff" + TRUTH.replace(", ", ","),
        TRUTH.replace(", ", ";"),
        TRUTH.replace(", ", "\t").replace("\n", "\r\n"),
        TRUTH.replace(", ", " , "),
    ],
)
def test_tables_as_other_programs_write_them(tmp_path, truth):
    plain, other = read(layout(tmp_path / "a")), read(layout(tmp_path / "b", truth=truth))
    pd.testing.assert_frame_equal(plain.drop(columns="file"), other.drop(columns="file"))


def test_captions_as_other_programs_write_them(tmp_path):
    captions = "\ufeff\r\n video3.webm \t Blonde--woman\tis massaged \r\n\r\nvideo3\tBlonde-woman is-massaged"
    rows = read(layout(tmp_path, captions=captions)).set_index("path")
    assert rows["title"].dropna().to_dict() == {"sources/video3.webm": "Blonde woman is massaged"}


def test_other_names_of_the_parts(tmp_path):
    layout(tmp_path)
    (tmp_path / "ground-truth.csv").rename(tmp_path / "dev-set_ground-truth.csv")
    (tmp_path / "sources").rename(tmp_path / "clips")
    (tmp_path / "captions.txt").rename(tmp_path / "titles.txt")
    rows = read(tmp_path, truth="dev-set_ground-truth.csv", sources="clips", captions="titles.txt")
    assert list(rows["path"])[::4] == ["clips/video10.webm", "clips/video10001.webm"]
    assert rows["title"].notna().sum() == 3


def test_only_files_that_end_as_clips_do_are_unlabelled(tmp_path):
    root = layout(tmp_path, truth=f"{HEAD}\na.mkv,0.5,30,0.5,10\n", clips=())
    for name in ("a.mkv", "b.mkv", "c.webm", ".hidden.webm", "README.txt", "no_suffix"):
        (root / "sources" / name).write_bytes(b"")
    rows = read(root)
    assert list(rows["path"]) == ["sources/a.mkv", "sources/b.mkv", "sources/c.webm"]


@pytest.mark.parametrize("folder", [True, False])
def test_clips_that_are_not_there_keep_their_rows(tmp_path, folder):
    root = layout(tmp_path, clips=())
    if not folder:
        (root / "sources").rmdir()
    rows = read(root)
    assert list(rows["path"]) == [f"sources/video{number}.webm" for number in (10, 3, 8)]
    assert rows["problem"].isna().all()


# What is wrong with a table or the captions


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("video10.webm,x,34,0.9,10", "short-term score 'x' is no number"),
        ("video10.webm,0.9,34,nan,10", "long-term score 'nan' is no number"),
        (
            "video10.webm,x,34,y,10",
            "short-term score 'x' is no number; long-term score 'y' is no number",
        ),
        (",0.9,34,0.9,10", "names no file"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_in_it_and_the_others_are_good(tmp_path, line, problem):
    rows = read(layout(tmp_path, truth=f"{HEAD}\nvideo3.webm,0.5,30,0.5,10\n{line}\n", clips=()))
    assert list(rows["problem"].fillna("")) == ["", problem]
    assert rows["path"][1] == ("line 3 of ground-truth.csv" if line[0] == "," else "sources/video10.webm")


@pytest.mark.parametrize(
    ("line", "offence"),
    [
        ("video10.webm,1.2,34,0.9,10", "short-term 1.2 is outside"),
        ("video10.webm,0.5,34,-0.1,10", "long-term -0.1 is outside"),
        ("video10.webm,,34,,10", "no score"),
        ("video3.webm,0.5,34,0.5,10", "appears 2 times"),
    ],
)
def test_the_split_stage_finds_the_rest(tmp_path, line, offence):
    root = layout(tmp_path, truth=f"{HEAD}\nvideo3.webm,0.5,30,0.5,10\n{line}\n", clips=())
    rows = datasets.read("mediaeval", mediaeval.Params(root=root), work=tmp_path, store=tmp_path, seed=0)
    found = offenders.problems(rows.reindex(columns=tables.raw("videos")))
    assert found[-1][0] == 1
    assert offence in found[-1][1]


def test_counts_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"column nb_long-term_annotations has 1 entries .* such as 'many'"):
        read(layout(tmp_path, truth=TRUTH.replace("0.9, 10", "0.9, many")))


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no column long-term_memorability; it has video, short-term"):
        read(layout(tmp_path, truth=TRUTH.replace("long-term_memorability", "recognised")))


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv: no such table"):
        read(layout(tmp_path), truth="absent.csv")


def test_missing_captions_are_named_with_how_to_do_without(tmp_path):
    with pytest.raises(DataError, match=r"captions\.txt: no such captions; `captions: null`"):
        read(layout(tmp_path, captions=None))


def test_captions_that_are_no_text_are_named(tmp_path):
    (layout(tmp_path) / "captions.txt").write_bytes(b"video3\t\xff\xfe")
    with pytest.raises(DataError, match=r"captions\.txt: cannot be read as text"):
        read(tmp_path)


def test_captions_that_cannot_be_used_are_all_named_with_their_place(tmp_path):
    lines = ["video3.webm a-title", "video3\tone-title", "\ttitle", "video8\t-", "video3.webm\tanother"]
    with pytest.raises(DataError, match="4 captions cannot be used") as caught:
        read(layout(tmp_path, captions="\n".join(lines)))
    for number in (1, 3, 4):
        line = lines[number - 1]
        assert f"captions.txt:{number}: expected NAME TAB TITLE, received {line!r}" in str(caught.value)
    assert "captions.txt:5: video3 has another title above, 'one title'" in str(caught.value)


def test_a_missing_folder_is_named_with_where_to_get_it(tmp_path):
    settings = mediaeval.Params(root=tmp_path / "absent")
    with pytest.raises(DataError, match=r"acquire\.mediaeval\.root: no folder .*absent.* on request"):
        datasets.read("mediaeval", settings, work=tmp_path, store=tmp_path, seed=0)
    with pytest.raises(ValidationError, match="folds"):
        mediaeval.Params(root=tmp_path, folds=5)


# Given features


def test_every_given_feature_is_found_and_read(tmp_path):
    root = layout(tmp_path)
    rows = read(root)
    found = files(root, rows["path"], tuple(FEATURES))
    assert list(found) == list(FEATURES)
    for folder, clips in found.items():
        frames, form = FEATURES[folder]
        vectors = [[descriptors.parse(f.read_bytes(), name=str(f), **form) for f in clip] for clip in clips]
        whole, lengths = given.stack(vectors)
        known = {key: form[key] for key in ("format", "length", "channels") if key in form}
        assert whole.shape == (5, len(frames), descriptors.width(**known))
        assert lengths.tolist() == [len(frames)] * 5
        assert whole.any()


def test_files_are_in_the_order_of_the_rows_and_of_the_frames(tmp_path):
    root = layout(tmp_path)
    found = files(root, ["sources/video8.webm", "video10", "video3.webm"], ("HMP", "LBP"))
    assert [[file.name for file in clip] for clip in found["HMP"]] == [
        ["video8.txt"],
        ["video10.txt"],
        ["video3.txt"],
    ]
    assert [file.name for file in found["LBP"][1]] == ["video10-0.txt", "video10-56.txt", "video10-112.txt"]
    assert found["LBP"][0][0] == root / "features" / "LBP" / "video8-0.txt"


def test_clips_may_have_different_numbers_of_frames(tmp_path):
    (layout(tmp_path) / "features" / "LBP" / "video3-56.txt").unlink()
    found = files(tmp_path, features=("LBP",))["LBP"]
    assert [[file.stem for file in clip] for clip in found] == [
        ["video10-0", "video10-56", "video10-112"],
        ["video3-0", "video3-112"],
    ]


def test_a_clip_whose_name_looks_like_a_frame_has_its_own_file(tmp_path):
    folder = tmp_path / "features" / "C3D"
    folder.mkdir(parents=True)
    for name in ("clip-0", "clip-2", "clip-10"):
        (folder / f"{name}.txt").write_text("1")
    found = files(tmp_path, ["clip.webm", "clip-2.webm"])["C3D"]
    assert [[file.stem for file in clip] for clip in found] == [["clip-0", "clip-10"], ["clip-2"]]


def test_no_features_are_asked_for_by_default(tmp_path):
    assert mediaeval.given(mediaeval.Params(root=tmp_path), ["video10.webm"]) == {}


def test_a_clip_that_is_in_the_rows_twice_has_its_files_twice(tmp_path):
    found = files(layout(tmp_path), ["video3.webm", "video3.webm"])["C3D"]
    assert found[0] == found[1] != []


def test_every_missing_file_is_named(tmp_path):
    root = layout(tmp_path)
    names = list(read(root)["path"])
    (root / "features" / "C3D" / "video10001.txt").unlink()  # of an unlabelled clip
    for frame in (0, 56, 112):
        (root / "features" / "LBP" / f"video3-{frame}.txt").unlink()
    (root / "features" / "HMP" / "video8.txt").rename(root / "features" / "HMP" / "video8.p")
    with pytest.raises(DataError, match="4 given features are missing or doubtful") as caught:
        files(root, names, ("C3D", "HMP", "LBP", "Aesthetics"))
    for place in ("C3D/video10001.txt: no such file", "LBP/video3.txt: no such file, nor video3-0.txt"):
        assert place in str(caught.value)
    assert "HMP/video8.txt: no such file" in str(caught.value)
    assert "features/Aesthetics: no such folder" in str(caught.value)


def test_a_file_of_the_clip_beside_those_of_its_frames_is_doubtful(tmp_path):
    (layout(tmp_path) / "features" / "LBP" / "video3.txt").write_text("1")
    with pytest.raises(DataError, match=r"LBP/video3\.txt: one file a clip, but video3-0\.txt is there too"):
        files(tmp_path, features=("LBP",))


def test_a_malformed_file_is_named(tmp_path):
    root = layout(tmp_path)
    (root / "features" / "C3D" / "video3.txt").write_text("0.5 0.5")
    path = files(root)["C3D"][1][0]
    with pytest.raises(DataError, match=r"C3D/video3\.txt: received 2 numbers; valid: 101 finite numbers"):
        descriptors.parse(path.read_bytes(), name=str(path), format="numbers", length=101)
