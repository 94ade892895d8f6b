"""The demo's maps: the same for one seed, in VISCHEMA's layout, made of what many people marked."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from trees import contents, inodes

from memorability.data import scene_drawing, scenes
from memorability.data.datasets import demo, demo_maps, demo_videos, vischema
from memorability.evaluation import score_measures
from memorability.training import demo_backbone

SMALL = demo_maps.Params(pictures=24, pixels=32, participants=20)
COUNT, PEOPLE, SIZE = 240, 60, 64  # of what is measured: enough of the demo to know it


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    demo_maps.generate(root, SMALL, seed=0)
    return root


# Files


def test_the_same_seed_gives_the_same_files(generated, tmp_path):
    demo_maps.generate(tmp_path, SMALL, seed=0)
    assert contents(tmp_path) == contents(generated)


def test_another_seed_gives_other_pictures_and_maps(generated, tmp_path):
    demo_maps.generate(tmp_path, SMALL, seed=1)
    assert not set(contents(generated).values()) & set(contents(tmp_path).values())


def test_the_first_pictures_are_the_same_for_any_count(generated, tmp_path):
    demo_maps.generate(tmp_path, SMALL.model_copy(update={"pictures": 30}), seed=0)
    ours, more = (contents(root / "images") for root in (generated, tmp_path))
    assert len(ours) == SMALL.pictures
    assert all(more[path] == ours[path] for path in ours)


@pytest.mark.parametrize("lost", [0, 9, SMALL.pictures])
@pytest.mark.parametrize("with_picture", [True, False])
def test_what_a_stopped_run_made_is_not_made_again(generated, tmp_path, lost, with_picture):
    root = tmp_path / "again"
    shutil.copytree(generated, root)
    maps = sorted(root.rglob("*.png"))
    for marked in maps[:lost]:
        marked.unlink()
        if with_picture:  # else it was stopped between the two
            (root / "images" / marked.relative_to(root / "vms")).with_suffix(".jpg").unlink()
    kept = inodes(maps[lost:])
    demo_maps.generate(root, SMALL, seed=0)
    assert inodes(maps[lost:]) == kept  # what is made again is a new file
    assert contents(root) == contents(generated)


def test_the_layout_is_that_of_vischema(generated, tmp_path):
    shutil.copytree(generated, tmp_path / "work")
    rows = demo_maps.read(SMALL, work=tmp_path / "work", seed=0)
    expected = vischema.read(vischema.Params(root=generated), work=tmp_path, seed=0)
    plain = ["path", "category", "channels", "problem"]
    assert rows[plain].equals(expected[plain])
    assert len(rows) == SMALL.pictures
    assert rows["problem"].isna().all()
    for row in rows.to_dict("records"):
        assert row["category"] in scenes.GROUPS
        with Image.open(row["file"]) as picture, Image.open(row["map_file"]) as marked:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (32, 32))
            assert (marked.format, marked.mode, marked.size) == ("PNG", "RGB", (32, 32))
            assert Path(row["file"]).stem == Path(row["map_file"]).stem


def test_levels_are_shares_of_the_participants(generated):
    valid = np.rint(np.arange(SMALL.participants + 1) / SMALL.participants * 255)
    for path in (generated / "vms").rglob("*.png"):
        levels = np.asarray(Image.open(path))
        assert set(np.unique(levels)) <= set(valid)
        assert (levels[..., 2] == 0).all()
        assert levels[..., 0].max() > 0


def test_no_map_is_of_a_scene_of_another_track():
    streams = [
        demo_maps.SCENE_STREAM,
        demo_maps.LAYOUT_STREAM,
        demo_maps.ANSWER_STREAM,
        demo_maps.MARK_STREAM,
    ]
    streams += [demo_videos.SCENE_STREAM, demo_videos.MOTION_STREAM, demo_videos.ANSWER_STREAM]
    streams += [demo_videos.TITLE_STREAM, demo.PICTURE_STREAM, demo.ANSWER_STREAM, demo_backbone.STREAM]
    assert len(set(streams)) == len(streams)


@pytest.mark.parametrize(
    "change",
    [{"pictures": 19}, {"pictures": 100_000}, {"pixels": 31}, {"participants": 9}, {"responses": 4}],
    ids=str,
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        demo_maps.Params(**(SMALL.model_dump() | change))


# What people mark


def scene(*things, place="meadow", main=0):
    return replace(scenes.draw(1, stream=1, seed=0)[0], place=place, things=things, main=main)


def thing(category, x=0.5, y=0.8, size=0.3):
    return scenes.Thing(category, x=x, y=y, size=size, hue=0.5)


def share(shown, *, mistaken=False, people=300):
    """How many of those who say "seen" mark each pixel: [100, 100]."""
    marks = demo_maps.draw_marks(shown, people, np.random.default_rng(0), mistaken=mistaken)
    return demo_maps.covered(*marks, people=people, size=100).mean(axis=0)


def inside(found, one):
    left, top, right, bottom = np.rint(np.array(demo_maps._box(one)) * 100).astype(int)
    return found[top:bottom, left:right].mean()


def test_a_person_marks_one_to_three_rectangles():
    shown = scene(*(thing("cat", x=x) for x in (0.2, 0.5, 0.8)))
    _, whose = demo_maps.draw_marks(shown, 400, np.random.default_rng(0), mistaken=False)
    counts = np.bincount(whose, minlength=400)
    assert set(counts) == {1, 2, 3}
    assert 1.6 < counts.mean() < 1.9


def test_no_one_marks_nothing():
    boxes, whose = demo_maps.draw_marks(scene(), 0, np.random.default_rng(0), mistaken=True)
    assert boxes.shape == (0, 4)
    assert demo_maps.covered(boxes, whose, people=0, size=8).shape == (0, 8, 8)


def test_a_place_that_a_person_marks_twice_counts_once():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.25, 0, 2.0, 0.5], [-1, 0.75, 0.25, 1.5]])
    found = demo_maps.covered(boxes, np.array([0, 0, 1]), people=2, size=4)
    assert found.sum(axis=0).tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_people_are_marked_before_trees_and_the_main_thing_before_others():
    person, tree = thing("person", x=0.2), thing("tree", x=0.8)
    shown = scene(person, tree, main=None)
    found = share(shown)
    assert inside(found, person) > 1.2 * inside(found, tree)
    assert np.subtract(*demo_maps._appeals(shown)) > 1
    cats = thing("cat", x=0.2), thing("cat", x=0.8)
    found = share(scene(*cats, main=1))
    assert inside(found, cats[1]) > 1.3 * inside(found, cats[0])


def test_what_is_hidden_is_hardly_marked():
    behind, front = thing("bird"), thing("car", size=0.4)
    boxes = [demo_maps._box(one) for one in (behind, front)]
    assert demo_maps._hidden(*boxes) > 0.9
    assert demo_maps._hidden(boxes[0], (0.9, 0.9, 1.0, 1.0)) == 0
    order = demo_maps._appeals(scene(behind, front, main=1))
    assert order[0] < order[1] - 2


def test_marks_are_on_things_and_mistaken_ones_more_at_random():
    cat = thing("cat")
    known, mistaken = share(scene(cat)), share(scene(cat), mistaken=True)
    assert inside(known, cat) > 0.6
    assert known[:30].mean() < 0.02
    assert inside(mistaken, cat) < inside(known, cat)


def test_in_an_empty_landscape_the_horizon_is_marked():
    found = share(scene(place="sea", main=None))
    rows = found.mean(axis=1)
    assert abs(rows.argmax() - 100 * scenes.HORIZON["sea"]) < 10
    assert rows[:15].max() == rows[75:].max() == 0


@pytest.mark.parametrize("category", scenes.CATEGORIES)
def test_parts_lie_within_their_thing(category):
    chances = [chance for chance, _ in demo_maps.PARTS[category]]
    assert 0 < sum(chances) < 1
    for flip in (False, True):
        one = replace(thing(category), flip=flip)
        whole = demo_maps._box(one)
        for _, part in demo_maps.PARTS[category]:
            assert demo_maps._hidden(demo_maps._box(one, part), whole) == pytest.approx(1)


def test_a_part_is_where_the_turned_thing_has_it():
    cat = thing("cat")
    left = demo_maps._box(cat, demo_maps.PARTS["cat"][0][1])
    right = demo_maps._box(replace(cat, flip=True), demo_maps.PARTS["cat"][0][1])
    assert left[0] < right[0]
    assert left[0] + right[2] == pytest.approx(1)


def test_boxes_are_those_of_what_is_drawn():
    """The mask of a thing alone reaches the edges of its box, or nearly."""
    for category in scenes.CATEGORIES:
        one = thing(category, size=0.5)
        _, mask = scenes.render(scene(one), size=200)
        rows, columns = np.nonzero(np.asarray(mask))
        drawn = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 200
        box = np.array(demo_maps._box(one))
        limit = np.full(4, 0.13 * 0.5)
        limit[3] += 0.15 * (category == "face")  # whose shoulders go on below it
        assert (np.abs(drawn - box) <= limit).all(), category


@pytest.mark.parametrize("place", ["mountains", "street", "room", "hall"])
def test_sights_are_where_the_background_has_them(place):
    shown = replace(scene(place=place, main=None), light=1.0, contrast=1.0, saturation=1.0, hue=0.0)
    found = demo_maps._sights(shown)
    assert len(found) == (1 if place in ("room", "hall") else 5)
    with_them = np.asarray(scenes.render(shown, size=100)[0]).astype(float)
    bare = scene_drawing._background(shown, 200)
    bare = np.asarray(Image.fromarray(bare).resize((100, 100), Image.Resampling.LANCZOS)).astype(float)
    changed = np.abs(with_them - bare).mean(axis=2) > 12
    marked = np.zeros((100, 100), bool)
    for left, top, right, bottom in np.rint(np.array(found) * 100).astype(int).clip(0, 100):
        marked[top:bottom, left:right] = True
    assert changed[marked].mean() > 0.5
    tops = [int(box[1] * 100) for box in found]
    assert not changed[: min(tops) - 2].any()


# The world as a whole


@pytest.fixture(scope="module")
def world():
    """Scenes, hits, and for each picture which pixels each who knew it again has marked."""
    drawn = demo_maps.compose(COUNT, seed=0)
    rng = np.random.default_rng([demo_maps.ANSWER_STREAM, 0])
    asked = demo.Params(pictures=COUNT, pixels=SIZE, participants=PEOPLE, responses=PEOPLE)
    hits, _ = demo.answers(demo.latent(drawn, rng), asked, rng)
    covered = []
    for i, shown in enumerate(drawn):
        marks = np.random.default_rng([demo_maps.MARK_STREAM, 0, i])
        boxes = demo_maps.draw_marks(shown, hits[i], marks, mistaken=False)
        covered.append(demo_maps.covered(*boxes, people=hits[i], size=SIZE))
    return drawn, hits, covered


def agreement(one, other):
    """The correlation over pixels of two maps."""
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


def test_the_maps_are_those_of_the_simulated_people(world, tmp_path):
    demo_maps.generate(tmp_path, demo_maps.Params(pictures=COUNT, pixels=SIZE, participants=PEOPLE), seed=0)
    drawn, _, covered = world
    for i in range(0, COUNT, 40):
        levels = np.asarray(Image.open(tmp_path / "vms" / drawn[i].category / f"{i:05d}.png"))
        np.testing.assert_array_equal(levels[..., 0], np.rint(255 * covered[i].sum(axis=0) / PEOPLE))


def test_people_agree_far_more_than_the_mean_map_tells(world):
    _, hits, covered = world
    rng, halves = np.random.default_rng(0), []
    for count, marked in zip(hits, covered, strict=True):
        first = rng.permutation(PEOPLE)[:count] < PEOPLE // 2
        halves.append(agreement(marked[first].sum(axis=0), marked[~first].sum(axis=0)))
    found = [marked.sum(axis=0) / PEOPLE for marked in covered]
    mean = np.mean(found[: COUNT // 2], axis=0)
    of_mean = [agreement(mean, one) for one in found[COUNT // 2 :]]
    assert 0.85 < np.mean(halves) < 0.96
    assert 0.3 < np.mean(of_mean) < 0.6


def test_what_is_forgotten_has_a_faint_map(world):
    _, hits, covered = world
    brightest = np.array([marked.sum(axis=0).max() / PEOPLE for marked in covered])
    assert score_measures.spearman(hits.astype(float), brightest) > 0.7
    assert brightest.min() < 0.45
    assert 0.8 < brightest.max() <= 1
    assert 0.5 < np.median(brightest) < 0.8


def test_maps_are_blocky(world):
    """Most neighbouring pixels have one level, as rectangles have no slopes."""
    flat = [
        np.mean([(np.diff(marked.sum(axis=0), axis=axis) == 0).mean() for axis in (0, 1)])
        for marked in world[2]
    ]
    assert np.mean(flat) > 0.7


def test_things_spread_over_the_picture():
    drawn = demo_maps.compose(COUNT, seed=0)
    alike = scenes.draw(COUNT, stream=demo_maps.SCENE_STREAM, seed=0)
    assert [one.subcategory for one in drawn] == [one.subcategory for one in alike]
    across = [one.things[one.main].x for one in drawn if one.main is not None]
    assert min(across) < 0.2
    assert max(across) > 0.8
    pairs = itertools.pairwise(sorted(across))
    assert max(b - a for a, b in pairs) < 0.1
