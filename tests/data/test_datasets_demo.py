import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError
from trees import contents, inodes

from memorability import params
from memorability.data import scenes
from memorability.data.datasets import demo, memcat
from memorability.evaluation import people, score_measures

ROOT = Path(__file__).parents[2]
SMALL = demo.Params(pictures=24, pixels=32, participants=30, responses=12)


def simulated(settings, seed):
    """The scenes and the answers to them, without drawing a picture."""
    drawn = scenes.draw(settings.pictures, stream=demo.PICTURE_STREAM, seed=seed)
    rng = np.random.default_rng([demo.ANSWER_STREAM, seed])
    memorability = demo.latent(drawn, rng)
    return drawn, memorability, *demo.answers(memorability, settings, rng)


@pytest.fixture(scope="module")
def committed():
    found = params.load(ROOT / "params.yaml")
    settings = found.acquire["images"].sources("images").get("demo")
    if settings is None:
        pytest.skip("params.yaml does not use the demo set")
    return settings, *simulated(settings, found.seed)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    demo.generate(root, SMALL, seed=0)
    return root


def test_the_same_seed_gives_the_same_files(generated, tmp_path):
    demo.generate(tmp_path / "again", SMALL, seed=0)
    assert contents(tmp_path / "again") == contents(generated)


def test_another_seed_gives_other_pictures_and_answers(generated, tmp_path):
    demo.generate(tmp_path / "other", SMALL, seed=1)
    ours, theirs = contents(generated), contents(tmp_path / "other")
    assert not set(ours.values()) & {theirs[path] for path in theirs if path.parts[0] == "images"}
    table = Path("data/memcat_image_data.csv")
    assert ours[table] != theirs[table]


def test_the_first_pictures_are_the_same_for_any_count(generated, tmp_path):
    demo.generate(tmp_path / "more", SMALL.model_copy(update={"pictures": 40}), seed=0)
    ours, more = contents(generated), contents(tmp_path / "more")
    pictures = [path for path in ours if path.parts[0] == "images"]
    assert len(pictures) == SMALL.pictures
    assert all(more[path] == ours[path] for path in pictures)


@pytest.mark.parametrize("lost", [0, 9, SMALL.pictures])
def test_what_a_stopped_run_drew_is_not_drawn_again(generated, tmp_path, lost):
    root = tmp_path / "again"
    shutil.copytree(generated, root)
    pictures = sorted(root.rglob("*.jpg"))
    for picture in pictures[:lost]:
        picture.unlink()
    (root / "data" / "memcat_image_data.csv").write_text("half")
    kept = inodes(pictures[lost:])
    demo.generate(root, SMALL, seed=0)
    assert inodes(pictures[lost:]) == kept  # what is drawn again is a new file
    assert contents(root) == contents(generated)


def test_the_layout_is_that_of_memcat(generated):
    table = pd.read_csv(generated / "data" / "memcat_image_data.csv")
    assert set(table) >= {"image_file", "category", "subcategory", "H", "FA", "n_resp"}
    assert set(table) >= {"memorability_w_fa_correction", "memorability_wo_fa_correction"}
    for row in table.to_dict("records"):
        place = Path(row["category"], row["subcategory"], row["image_file"])
        assert row["subcategory"] in (*scenes.GROUPS.get(row["category"], ()), *scenes.OPEN_PLACES)
        with Image.open(generated / "images" / place) as picture:
            assert (picture.format, picture.size) == ("JPEG", (SMALL.pixels, SMALL.pixels))


def test_scores_agree_with_the_answers(generated):
    table = pd.read_csv(generated / "data" / "memcat_image_data.csv")
    assert (table["n_resp"] == SMALL.responses).all()
    assert table[["H", "FA"]].min().min() >= 0
    assert table[["H", "FA"]].max().max() <= SMALL.responses
    corrected = ((table["H"] - table["FA"]) / table["n_resp"]).clip(lower=0)
    np.testing.assert_allclose(table["memorability_w_fa_correction"], corrected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(table["memorability_wo_fa_correction"], table["H"] / table["n_resp"])


def test_no_score_is_negative(tmp_path, monkeypatch):
    hits, alarms = np.arange(SMALL.pictures) % 12, np.full(SMALL.pictures, 5)
    monkeypatch.setattr(demo, "answers", lambda *_: (hits, alarms))
    rows = demo.read(SMALL, work=tmp_path, seed=0)
    assert list(rows["false_alarms"]) == list(alarms)
    assert rows["score"].min() == 0
    np.testing.assert_allclose(rows["score"], np.maximum(hits - alarms, 0) / SMALL.responses)


def test_read_gives_the_table(generated, tmp_path):
    rows = demo.read(SMALL, work=tmp_path / "work", seed=0)
    expected = memcat.read(memcat.Params(root=generated), work=tmp_path, seed=0)
    pd.testing.assert_frame_equal(rows.drop(columns="file"), expected.drop(columns="file"))
    assert len(rows) == SMALL.pictures
    assert all(Path(file).is_file() for file in rows["file"])


def test_answers_depend_on_the_seed_alone():
    one, two, other = (simulated(SMALL, seed)[2:] for seed in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_latent_memorability_is_standardised(committed):
    _, _, memorability, _, _ = committed
    assert memorability.mean() == pytest.approx(0, abs=1e-12)
    assert memorability.std() == pytest.approx(1)


def test_all_categories_occur_at_the_committed_count(committed):
    _, drawn, *_ = committed
    assert {scene.subcategory for scene in drawn} == {*scenes.CATEGORIES, *scenes.OPEN_PLACES}
    assert {scene.category for scene in drawn} == set(scenes.GROUPS)


def test_people_agree_as_much_as_in_real_data(committed):
    settings, _, _, hits, alarms = committed
    answers = np.full(len(hits), settings.responses)
    found = people.split_half(hits, alarms, answers, answers, repeats=25, seed=0)
    assert len(found) == 25
    assert 0.70 <= np.mean(found) <= 0.85


def test_scores_spread_over_the_range_as_real_ones_do(committed):
    settings, _, memorability, hits, alarms = committed
    scores = (hits - alarms) / settings.responses
    assert 0.55 <= scores.mean() <= 0.75
    assert 0.1 <= scores.std() <= 0.25
    assert score_measures.spearman(memorability, scores) > 0.85


def test_what_is_remembered_better(committed):
    _, drawn, memorability, *_ = committed
    people = np.array([scene.category == "people" for scene in drawn])
    landscape = np.array([scene.main is None for scene in drawn])
    assert memorability[people].mean() > 0.4 > -0.4 > memorability[landscape].mean()
    contrast = np.array([scene.contrast for scene in drawn])
    assert 0.2 < score_measures.spearman(memorability, contrast) < 0.7


def test_no_one_is_remembered_by_more_people_than_looked():
    settings = demo.Params(pictures=20, pixels=32, participants=10, responses=10)
    hits, alarms = demo.answers(np.linspace(-9, 9, 20), settings, np.random.default_rng(0))
    assert hits.min() >= 0
    assert hits.max() <= 10
    assert alarms.max() <= 10
    assert hits[0] < 3 < 8 < hits[-1]


@pytest.mark.parametrize(
    "change",
    [
        {"pictures": 19},
        {"pictures": 100_000},
        {"pixels": 31},
        {"responses": 3},
        {"responses": 31},
        {"colour": 1},
    ],
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        demo.Params(**(SMALL.model_dump() | change))
