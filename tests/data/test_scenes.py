import colorsys
import itertools

import numpy as np
import pytest
from PIL import Image

from memorability.data import scenes


def drawn(i):
    return scenes.sample(np.random.default_rng(i))


def bare(place="meadow", things=(), main=None, **changes):
    given = {"light": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5, "grain": 1}
    return scenes.Scene(place=place, things=tuple(things), main=main, **(given | changes))


def values(mask):
    return set(np.unique(np.asarray(mask)).tolist())


@pytest.mark.parametrize("size", [16, 67, 128])
def test_pictures_and_masks_have_the_size_asked_for(size):
    picture, mask = scenes.render(drawn(0), size=size)
    assert (picture.mode, picture.size) == ("RGB", (size, size))
    assert (mask.mode, mask.size) == ("L", (size, size))


def test_the_same_scene_is_drawn_the_same():
    for one, two in zip(scenes.render(drawn(3), size=64), scenes.render(drawn(3), size=64), strict=True):
        assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("i", range(8))
def test_mask_values_are_those_of_the_things(i):
    scene = drawn(i)
    _, mask = scenes.render(scene, size=96)
    labels = {1 + scenes.CATEGORIES.index(thing.category) for thing in scene.things}
    assert values(mask) <= labels | {0}
    if scene.main is not None:
        assert 1 + scenes.CATEGORIES.index(scene.things[scene.main].category) in values(mask)


@pytest.mark.parametrize("category", scenes.CATEGORIES)
@pytest.mark.parametrize("flip", [False, True])
def test_every_category_can_be_drawn(category, flip):
    thing = scenes.Thing(category, x=0.5, y=0.9, size=0.5, hue=0.3, flip=flip)
    scene = bare(scenes.HABITAT[category][0], [thing], main=0)
    picture, mask = scenes.render(scene, size=96)
    label = 1 + scenes.CATEGORIES.index(category)
    inside = np.asarray(mask) == label
    assert values(mask) == {0, label}
    assert 0.02 < inside.mean() < 0.4
    without, _ = scenes.render(bare(scene.place), size=96)
    changed = np.abs(np.asarray(picture).astype(int) - np.asarray(without)).max(axis=-1) > 30
    assert changed[inside].mean() > 0.7  # what the mask marks is what was painted
    assert changed[~inside].mean() < 0.05


@pytest.mark.parametrize("category", scenes.CATEGORIES)
def test_flipping_mirrors_a_thing(category):
    masks = [
        np.asarray(scenes.render(bare("sea", [scenes.Thing(category, 0.5, 0.9, 0.5, 0.3, f)]), size=64)[1])
        for f in (False, True)
    ]
    assert (masks[0] == masks[1][:, ::-1]).mean() > 0.97


@pytest.mark.parametrize("place", scenes.PLACES)
def test_every_place_can_be_drawn(place):
    picture, mask = scenes.render(bare(place), size=64)
    assert values(mask) == {0}
    assert np.asarray(picture).std() > 5


def test_places_look_different():
    small = [np.asarray(scenes.render(bare(place), size=32)[0]).astype(int) for place in scenes.PLACES]
    assert min(np.abs(a - b).mean() for a, b in itertools.combinations(small, 2)) > 5


@pytest.mark.parametrize("i", range(6))
def test_a_scene_at_two_sizes_is_similar(i):
    (large, large_mask), (small, small_mask) = (scenes.render(drawn(i), size=size) for size in (128, 64))
    reduced = large.resize((64, 64), Image.Resampling.BOX)
    difference = np.asarray(reduced).astype(int) - np.asarray(small)
    assert np.abs(difference).mean() < 8  # the fine grain differs, nothing else
    reduced_mask = large_mask.resize((64, 64), Image.Resampling.NEAREST)
    assert (np.asarray(reduced_mask) == np.asarray(small_mask)).mean() > 0.97


def test_things_in_front_cover_those_behind():
    back = scenes.Thing("house", 0.5, 0.9, 0.5, 0.1)
    front = scenes.Thing("car", 0.5, 0.9, 0.3, 0.6)
    labels = [1 + scenes.CATEGORIES.index(name) for name in ("house", "car")]
    masks = [
        np.asarray(scenes.render(bare("street", order), size=64)[1])
        for order in ((back, front), (front, back))
    ]
    assert (masks[0] == labels[1]).sum() > (masks[1] == labels[1]).sum()


@pytest.mark.parametrize(("factor", "low", "high"), [("light", 0.75, 1.15), ("contrast", 0.55, 1.35)])
def test_factors_change_what_they_are_named_after(factor, low, high):
    dim, bright = (
        np.asarray(scenes.render(bare(**{factor: v}), size=48)[0]).astype(float) for v in (low, high)
    )
    if factor == "light":
        assert bright.mean() > 1.2 * dim.mean()
    else:
        assert bright.std() > 1.5 * dim.std()


def test_saturation_changes_colour():
    pale, vivid = (np.asarray(scenes.render(bare(saturation=v), size=48)[0]).astype(int) for v in (0.35, 1.5))
    assert np.ptp(vivid, axis=-1).mean() > 2 * np.ptp(pale, axis=-1).mean()


@pytest.mark.parametrize("hue", [0.0, 0.3, 0.9])
def test_tones_have_the_hue(hue):
    tones = scenes.tones(hue)
    for name in ("main", "dark", "light"):
        found = colorsys.rgb_to_hsv(*(c / 255 for c in tones[name]))[0]
        assert min(abs(found - hue), 1 - abs(found - hue)) < 0.01
    assert {tone for _, shapes in scenes.THINGS.values() for _, _, tone in shapes} <= set(tones)


def test_the_tables_name_the_same_categories():
    assert set(scenes.CATEGORIES) == set(scenes.THINGS) == set(scenes.HABITAT)
    assert set(scenes.FREQUENCY) == {*scenes.CATEGORIES, "open"}
    assert sum(scenes.FREQUENCY.values()) == pytest.approx(1)
    assert set(scenes.PLACES) == set(scenes.HORIZON) == set(scenes.ABOVE) == set(scenes.BELOW)
    assert {place for places in scenes.HABITAT.values() for place in places} <= set(scenes.PLACES)


def test_sampled_scenes_are_sensible():
    for i in range(300):
        scene = drawn(i)
        assert scene == drawn(i)
        others = [thing for j, thing in enumerate(scene.things) if j != scene.main]
        assert len(others) <= 4
        assert [thing.y for thing in others] == sorted(thing.y for thing in others)
        if scene.main is None:
            assert scene.place == scene.subcategory
            assert scene.place in scenes.OPEN_PLACES
            assert scene.category == "landscape"
        else:
            assert scene.main == len(scene.things) - 1
            assert scene.subcategory in scenes.GROUPS[scene.category]
        assert all(scene.place in scenes.HABITAT[thing.category] for thing in scene.things)


def test_main_things_are_as_frequent_as_stated():
    kinds = [scene.subcategory if scene.main is not None else "open" for scene in map(drawn, range(1500))]
    for name, share in scenes.FREQUENCY.items():
        assert kinds.count(name) / len(kinds) == pytest.approx(share, abs=4 * (share / len(kinds)) ** 0.5)


def test_drawn_scenes_are_the_same_for_any_count():
    assert scenes.draw(5, stream=1, seed=0) == scenes.draw(9, stream=1, seed=0)[:5]
    assert len({scenes.draw(1, stream=s, seed=k)[0].grain for s in (1, 2, 3) for k in (0, 1, 2)}) == 9
