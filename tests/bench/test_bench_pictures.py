"""What is measured of pictures, matched sets of them, and how far they are from each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memorability.bench import confounds, distinctiveness, folder, folder_features, partial, selection
from memorability.cli import bench_pictures
from memorability.core.errors import BackboneError, DataError
from memorability.data.datasets import demo
from memorability.features.picture_statistics import STATISTICS, colourfulness, frequency_slope, measured

NAMED = ["luminance", "contrast", "saturation", "colourfulness", "edge_density", "category"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The demo's pictures with their scores, categories and statistics."""
    root = tmp_path_factory.mktemp("demo")
    demo.generate(root, demo.Params(pictures=300, pixels=48, participants=100, responses=60), seed=0)
    table = pd.read_csv(root / "data/memcat_image_data.csv", dtype={"image_file": str})
    table["item"] = table["category"] + "/" + table["subcategory"] + "/" + table["image_file"]
    table["score"] = table["memorability_w_fa_correction"]
    table[["item", "score"]].to_csv(root / "scores.csv", index=False)
    listed, _ = folder.pictures_of(root / "images")
    known, _ = folder.known(listed, root / "scores.csv")
    rows = folder.measure(listed, hashed=True).merge(known, on="item")
    rows.attrs["root"] = str(root / "images")
    return rows


def test_statistics_of_plain_and_of_striped_pictures() -> None:
    plain = measured(Image.new("RGB", (80, 40), (255, 0, 0)))
    assert (plain["width"], plain["height"], plain["aspect"]) == (80, 40, 2)
    assert (plain["contrast"], plain["entropy"], plain["edge_density"]) == pytest.approx((0, 0, 0))
    assert (plain["saturation"], plain["hue"]) == (1, 0)
    assert np.isnan(plain["frequency_slope"])
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    half = measured(Image.fromarray(stripes))
    assert (half["luminance"], half["contrast"], half["entropy"]) == pytest.approx((0.5, 0.5, 1))
    assert np.isnan(half["hue"])


def test_colourfulness_is_the_closed_form_of_two_colours() -> None:
    values = np.zeros((2, 2, 3))
    values[0] = [1, 0, 0]  # rg 255, yb 127.5
    values[1] = [0, 0, 1]  # rg 0, yb -255
    spread = np.hypot(127.5, 191.25)
    assert colourfulness(values) == pytest.approx(spread + 0.3 * np.hypot(127.5, -63.75))


@pytest.mark.parametrize("slope", [-0.5, -1.0, -1.5])
def test_the_slope_of_noise_of_a_known_spectrum(slope: float) -> None:
    cycles = np.fft.fftfreq(128, 1 / 128)
    radius = np.hypot(cycles[:, None], cycles[None])
    radius[0, 0] = 1
    noise = np.fft.fft2(np.random.default_rng(0).normal(size=(128, 128)))
    assert frequency_slope(np.fft.ifft2(noise * radius**slope).real) == pytest.approx(slope, abs=0.1)


def test_on_the_demo_selection_halves_every_imbalance_and_keeps_the_gap(drawn: pd.DataFrame) -> None:
    found = selection.select(drawn, high=25, low=25, match=NAMED, seed=1)
    gap = found.gap_after / found.gap_before
    over = (found.balance["after"].abs() > found.balance["limit"] + 1e-9).any()
    assert bool(found.problems) == bool(over or gap < 0.7)  # else it says that it cannot
    assert gap > 0.65
    assert not over
    sets = dict(list(found.rows.groupby("set")))
    counts = [sets[name]["category"].value_counts().sort_index() for name in ("high", "low")]
    assert counts[0].equals(counts[1])
    assert found.rows["item"].is_unique
    again = selection.select(drawn, high=25, low=25, match=NAMED, seed=1)
    assert again.rows.equals(found.rows)


def test_pairs_are_of_one_category(drawn: pd.DataFrame) -> None:
    rows = selection.select(drawn, high=20, low=20, match=["luminance", "category"]).rows
    wide = rows.pivot(index="pair", columns="set", values="category")
    assert (wide["high"] == wide["low"]).all()


def test_where_no_matched_set_exists_it_says_so() -> None:
    score = np.linspace(0, 1, 40)
    rows = pd.DataFrame({"item": [f"{i}.jpg" for i in range(40)], "score": score, "luminance": score})
    found = selection.select(rows, high=15, low=15, match=["luminance"])
    assert found.problems
    assert selection.text(found).startswith("NO matched sets")


def test_sets_may_differ_in_number(drawn: pd.DataFrame) -> None:
    found = selection.select(drawn, high=20, low=30, match=["luminance", "contrast"])
    assert found.rows["set"].value_counts().to_dict() == {"high": 20, "low": 30}
    assert found.rows["item"].is_unique


def test_near_duplicates_and_pictures_seen_in_training_are_left_out(drawn: pd.DataFrame) -> None:
    twin = drawn.iloc[[0]].assign(item="twin.jpg")
    rows = pd.concat([drawn, twin], ignore_index=True).assign(seen=lambda table: table.index % 10 == 5)
    kept, left_out = selection.candidates(rows)
    assert left_out["seen in training"] == 30
    assert left_out["near-duplicates"] >= 1
    assert "twin.jpg" not in set(kept["item"])
    assert not (set(rows["item"][rows["seen"]]) & set(kept["item"]))


def test_selection_is_written_at_once_with_a_contact_sheet(drawn: pd.DataFrame, tmp_path: Path) -> None:
    found = selection.select(drawn, high=12, low=12, match=["luminance"])
    selection.write(found, Path(drawn.attrs["root"]), tmp_path / "sets")
    names = sorted(file.name for file in (tmp_path / "sets").iterdir())
    assert names == ["balance.csv", "contact_sheet.png", "report.txt", "selected.csv", "selection.json"]
    with pytest.raises(DataError):
        selection.write(found, tmp_path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("change", "match", "said"),
    [
        ({"score": 0.5}, ["luminance"], "constant scores order nothing"),
        ({"score": np.nan}, ["luminance"], "no score of 300 pictures"),
        ({}, ["brightness"], "no covariate brightness; valid: luminance"),
        ({"luminance": np.nan}, ["luminance"], "luminance is NaN of 300 pictures"),
    ],
)
def test_faults_of_selection_are_named(
    drawn: pd.DataFrame, change: dict[str, float], match: list[str], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        selection.select(drawn.drop(columns="phash").assign(**change), high=5, low=5, match=match)


def test_more_pictures_than_there_are_cannot_be_selected(drawn: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="200 \\+ 200 pictures are wished, and there are"):
        selection.select(drawn, high=200, low=200, match=["luminance"])


def test_confounds_of_the_demo_are_those_that_it_is_made_of(drawn: pd.DataFrame) -> None:
    found = confounds.confounds(drawn, [name for name in STATISTICS if name in drawn])
    rho = found.table.set_index("covariate")["spearman"]
    assert rho["contrast"] > 0.2
    assert rho["colourfulness"] > 0.2
    assert found.dropped == ("width", "height", "aspect")
    assert found.category is not None
    assert 0.2 < found.category < 0.7
    assert "category explains" in confounds.text(found)


def test_a_covariate_that_works_through_another_has_no_partial_correlation() -> None:
    rng = np.random.default_rng(0)
    cause, score = rng.normal(size=400), rng.normal(size=400)
    score += cause
    table = pd.DataFrame({"cause": cause, "shadow": cause + 0.5 * rng.normal(size=400)})
    found = partial.table(score, table).set_index("covariate")
    assert found.loc["shadow", "spearman"] > 0.4
    assert abs(found.loc["shadow", "partial_spearman"]) < 0.1
    assert found.loc["cause", "partial_low"] > 0.2
    with pytest.raises(DataError, match="NaN or infinity in cause"):
        partial.table(score, table.assign(cause=np.nan))


def test_what_stands_apart_is_distinct() -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(size=(50, 8)), rng.normal(size=(1, 8)) + 12])
    ids = pd.Series([f"p{i}" for i in range(51)])
    found = distinctiveness.distinctiveness(ids, features, neighbours=3)
    for column in ("mean_distance", "neighbour_distance", "distinctiveness"):
        assert found[column].idxmax() == 50
    direct = np.linalg.norm(features[:, None] - features[None], axis=2)
    assert found["mean_distance"].to_numpy() == pytest.approx(direct.sum(axis=1) / 50)
    np.fill_diagonal(direct, np.inf)
    assert found["neighbour_distance"].to_numpy() == pytest.approx(
        np.sort(direct, axis=1)[:, :3].mean(axis=1)
    )
    with pytest.raises(DataError, match="neighbours: received 51"):
        distinctiveness.distinctiveness(ids, features, neighbours=51)
    with pytest.raises(DataError, match="all pictures have the same"):
        distinctiveness.distinctiveness(ids, np.ones((51, 3)))


def test_features_come_back_with_their_items(tmp_path: Path) -> None:
    items, values = pd.Series(["a b.jpg", "NA"]), np.array([[1, 2], [3, 4.5]], np.float32)
    for name in ("f.npy", "f.csv"):
        folder_features.write(items, values, {"layers": ["x"]}, tmp_path / name)
        read_items, read = folder_features.read(tmp_path / name)
        assert list(read_items) == list(items)
        assert np.array_equal(read, values)
    with pytest.raises(DataError, match=r"go to a \.npy or a \.csv"):
        folder_features.write(items, values, {}, tmp_path / "f.mat")
    with pytest.raises(BackboneError, match="efficientnet-lite0"):
        folder_features.folder("nothing", tmp_path)


def test_features_that_are_given_are_those_of_the_folders_pictures(tmp_path: Path) -> None:
    pictures, features, values = (
        tmp_path / "p",
        tmp_path / "f.npy",
        np.random.default_rng(0).normal(size=(9, 4)),
    )
    pictures.mkdir()
    items = pd.Series([f"{i}.png" for i in range(9)])
    for item in items:
        Image.new("RGB", (9, 9)).save(pictures / item)
    folder_features.write(items[::-1], values[::-1], {}, features)
    bench_pictures.distinctiveness(pictures, features=features, out=tmp_path / "d.csv")
    expected = distinctiveness.distinctiveness(items, values)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "d.csv"), expected, check_dtype=False)
    (pictures / "8.png").rename(pictures / "other.png")
    with pytest.raises(
        DataError, match=r"these 9 pictures:\n  other.png: no features\n  8.png: no picture of the folder"
    ):
        bench_pictures.distinctiveness(pictures, features=features)
    folder_features.write(pd.Series(["a", "a"]), values[:2], {}, features)
    with pytest.raises(DataError, match="  a: twice"):
        folder_features.read_for(pd.Series(["a"]), features)


def test_tables_that_lack_pictures_name_them(drawn: pd.DataFrame, tmp_path: Path) -> None:
    listed, _ = folder.pictures_of(Path(drawn.attrs["root"]))
    (tmp_path / "t.csv").write_text("item,score\nx.jpg,1\n")
    with pytest.raises(DataError, match="300 of 300 pictures are in no row"):
        folder.known(listed, tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("item,score\nx.jpg,1\nx.jpg,2\n")
    with pytest.raises(DataError, match=r"1 items are there twice:\n  x.jpg"):
        folder.known(listed, tmp_path / "t.csv")


def test_what_of_a_folder_and_of_a_table_is_not_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "p/moves.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "p/notes.txt").touch()
    with pytest.raises(DataError, match=r"no picture in this folder; not looked at: 1 of ending '\.txt'"):
        folder.pictures_of(tmp_path / "p")
    frames[0].save(tmp_path / "p/a.png")
    listed, said = folder.pictures_of(tmp_path / "p")
    assert list(listed["item"]) == ["a.png"]
    assert len(said) == 1
    assert "1 for a model of clips (such as" in said[0]
    assert "1 of ending '.txt'" in said[0]
    (tmp_path / "t.csv").write_text("item,score\na.png,1\ngone.png,2\n,3\n")
    found, said = folder.known(listed, tmp_path / "t.csv")
    assert list(found["score"]) == [1]
    assert said == [f"{tmp_path}/t.csv: 2 of 3 rows are of no picture in the folder, such as 'gone.png', ''"]


def test_a_number_that_is_none_is_refused_and_loses_no_column(tmp_path: Path) -> None:
    listed = pd.DataFrame({"item": ["a.jpg", "b.jpg", "c.jpg"]})
    table = tmp_path / "t.csv"
    table.write_text("item,score,note\na.jpg,0.5,3\nb.jpg,NA,dark\nc.jpg,,grey\n")
    found, said = folder.known(listed, table)
    assert said == [f"{table}: not read, since they hold no numbers: note"]
    assert list(found) == ["item", "score"]
    assert list(found["score"].isna()) == [False, True, True]
    table.write_text("item,score\na.jpg,0.5\nb.jpg,0.6\nc.jpg,0;7\n")
    with pytest.raises(DataError, match=r"t.csv: 1 faults in 3 rows:\n  row 4: score is no number \('0;7'\)"):
        folder.known(listed, table)


def test_decimal_commas_are_numbers_unless_they_could_be_thousands(tmp_path: Path) -> None:
    listed = pd.DataFrame({"item": ["a.jpg", "b.jpg"]})
    table = tmp_path / "t.csv"
    table.write_text("item;score;faces;area\na.jpg;0,5;1;12,531\nb.jpg;,75;2;7,25\n")
    found, said = folder.known(listed, table)
    assert found.drop(columns="item").to_numpy().tolist() == [[0.5, 1, 12.531], [0.75, 2, 7.25]]
    assert said == []
    table.write_text("item;area\na.jpg;999\nb.jpg;1,234\n")
    with pytest.raises(DataError, match=r"row 3: area could be thousands .*\('1,234'\)"):
        folder.known(listed, table)


@pytest.mark.parametrize("score", ["0;5", "NA", "high"])
def test_scores_that_are_none_do_not_make_room_for_a_models(score: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"item,score\na.jpg,{score}\nb.jpg,{score}\n")
    with pytest.raises(DataError, match=r"t\.csv: score: hardly a number in it"):
        folder.known(pd.DataFrame({"item": ["a.jpg", "b.jpg"]}), tmp_path / "t.csv")


def test_a_users_own_covariate_is_the_one_that_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "p").mkdir()
    lines = ["item,score,luminance"]
    for number in range(12):
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(
            tmp_path / "p" / f"{number}.png"
        )
        lines.append(f"{number}.png,{rng.uniform():.3f},{100 + number}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    rows = bench_pictures._rows(tmp_path / "p", tmp_path / "t.csv", None, tmp_path, hashed=False)
    assert sorted(rows["luminance"]) == list(range(100, 112))
    assert "its own luminance in place of what is measured" in capsys.readouterr().err
