"""The demo's clips: the same for one seed, in MediaEval's layout, of scenes that no picture shows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageEnhance
from pydantic import ValidationError
from trees import contents, inodes

from memorability import params
from memorability.data import scene_drawing, scenes
from memorability.data.datasets import demo, demo_videos, mediaeval
from memorability.evaluation import score_measures
from memorability.training import demo_backbone

ROOT = Path(__file__).parents[2]
SMALL = demo_videos.Params(clips=20, pixels=32)


def drawn(count, seed=0):
    """The scenes of the clips, how things move in them, and their latent memorability after both times."""
    found = scenes.draw(count, stream=demo_videos.SCENE_STREAM, seed=seed)
    motions = [
        demo_videos._motions(scene, np.random.default_rng([demo_videos.MOTION_STREAM, seed, i]))
        for i, scene in enumerate(found)
    ]
    rng = np.random.default_rng([demo_videos.ANSWER_STREAM, seed])
    return found, motions, *demo_videos._latents(found, motions, rng), rng


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    demo_videos.generate(root, SMALL, seed=0)
    return root


@pytest.fixture(scope="module")
def rows(generated):
    return mediaeval.read_layout(generated)


# Files


def test_the_same_seed_gives_the_same_files(generated, tmp_path):
    demo_videos.generate(tmp_path, SMALL, seed=0)
    assert contents(tmp_path) == contents(generated)


def test_another_seed_gives_other_clips_scores_and_titles(generated, tmp_path):
    demo_videos.generate(tmp_path, SMALL, seed=1)
    ours, theirs = contents(generated), contents(tmp_path)
    assert set(ours) == set(theirs)
    assert not set(ours.values()) & set(theirs.values())


def test_the_first_clips_are_the_same_for_any_count(generated, tmp_path, monkeypatch):
    # Only what is drawn beyond the first ones is encoded here.
    shutil.copytree(generated / "sources", tmp_path / "sources")
    demo_videos.generate(tmp_path, SMALL.model_copy(update={"clips": 22}), seed=0)
    longer, shorter = (demo_videos.scenes.draw(n, stream=5, seed=0) for n in (22, 20))
    assert longer[:20] == shorter
    titles = (tmp_path / "captions.txt").read_text().splitlines()
    assert titles[:20] == (generated / "captions.txt").read_text().splitlines()
    assert len(list((tmp_path / "sources").iterdir())) == len(titles) == 22


@pytest.mark.parametrize("lost", [0, 7, 20])
def test_what_a_stopped_run_has_written_is_kept(generated, tmp_path, lost):
    shutil.copytree(generated, tmp_path / "again")
    clips = sorted((tmp_path / "again" / "sources").iterdir())
    for clip in clips[:lost]:
        clip.unlink()
    (tmp_path / "again" / "ground-truth.csv").write_text("half")
    kept = inodes(clips[lost:])
    demo_videos.generate(tmp_path / "again", SMALL, seed=0)
    assert inodes(clips[lost:]) == kept  # what is written again is a new file
    assert contents(tmp_path / "again") == contents(generated)


def test_a_clip_that_was_being_written_is_written_again(generated, tmp_path, monkeypatch):
    film = scenes.film

    def stopped(moments, *, size):
        yield next(film(moments, size=size))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scenes, "film", stopped)
        demo_videos.generate(tmp_path, SMALL, seed=0)
    assert not list(tmp_path.glob("sources/[!.]*"))
    demo_videos.generate(tmp_path, SMALL, seed=0)
    assert contents(tmp_path) == contents(generated)


def test_clips_are_what_the_settings_say(generated):
    for number in (1, 20):
        with av.open(str(generated / "sources" / f"video{number}.webm")) as container:
            (stream,) = container.streams
            frames = list(container.decode(video=0))
            assert (stream.codec_context.name, stream.width, stream.height) == ("vp8", 32, 32)
        times = [float(frame.pts * frame.time_base) for frame in frames]
        assert times == [k / demo_videos.RATE for k in range(demo_videos.SECONDS * demo_videos.RATE)]


def test_clips_show_their_scenes(tmp_path):
    found, motions, *_ = drawn(2)
    for i, (scene, moving) in enumerate(zip(found, motions, strict=True)):
        demo_videos._save(tmp_path / f"{i}.webm", scene, moving, 64)
        with av.open(str(tmp_path / f"{i}.webm")) as container:
            shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
        for k in (0, 13, 31):
            at = demo_videos._at(scene, moving, k / demo_videos.RATE)
            expected = np.asarray(scenes.render(at, size=64)[0]).astype(int)
            assert np.abs(shown[k] - expected).mean() < 8


# What the adapter reads


def test_the_layout_is_that_of_mediaeval(generated, rows, tmp_path):
    shutil.copytree(generated, tmp_path / "work")
    again = demo_videos.read(SMALL, work=tmp_path / "work", seed=0)
    pd.testing.assert_frame_equal(again.drop(columns="file"), rows.drop(columns="file"))
    assert list(rows["path"]) == [f"sources/video{i}.webm" for i in range(1, 21)]
    assert all(Path(file).is_file() for file in rows["file"])
    assert rows["problem"].isna().all()
    assert rows["split"].isna().all()


def test_scores_are_shares_of_those_who_knew_the_clip_again(rows):
    for term in ("short_term", "long_term"):
        assert rows[term].between(0, 1).all()
        hits = rows[term] * rows[f"{term}_responses"]
        np.testing.assert_allclose(hits, hits.round(), atol=1e-9)
        assert rows[term].nunique() > 5


def test_far_fewer_people_answer_after_days(rows):
    assert 30 < rows["short_term_responses"].mean() < 46
    assert 9 < rows["long_term_responses"].mean() < 17
    assert (rows["long_term_responses"] >= 2).all()


def test_titles_name_what_is_seen(rows):
    for scene, title in zip(drawn(20)[0], rows["title"], strict=True):
        assert any(where in title for where in demo_videos.WHERE[scene.place])
        main = ("landscape", "scenery", scene.place)
        named = main if scene.main is None else demo_videos.WORDS[scene.subcategory]
        assert title.startswith(named)
    assert rows["title"].nunique() > 10


def test_every_thing_and_place_has_words():
    assert set(demo_videos.WORDS) == set(scenes.CATEGORIES)
    assert set(demo_videos.WHERE) == set(scenes.PLACES)
    assert set(demo_videos.LIVELY) < set(scenes.CATEGORIES)


# The world behind it


@pytest.fixture(scope="module")
def committed():
    found = params.load(ROOT / "params.yaml")
    settings = found.acquire["videos"].sources("videos").get("demo_videos")
    if settings is None:
        pytest.skip("params.yaml does not use the demo clips")
    world = drawn(settings.clips, found.seed)
    short, long, rng = world[2:]
    answers = [
        demo_videos.answers(1.4 + 0.9 * short, settings.short_term_responses, rng),
        demo_videos.answers(0.7 + 0.8 * long, settings.long_term_responses, rng),
    ]
    return world, [np.array(found) for found in answers]


def test_no_clip_shows_the_scene_of_a_picture():
    streams = [demo_videos.SCENE_STREAM, demo_videos.MOTION_STREAM, demo_videos.ANSWER_STREAM]
    streams += [demo_videos.TITLE_STREAM, demo.PICTURE_STREAM, demo.ANSWER_STREAM, demo_backbone.STREAM]
    assert len(set(streams)) == len(streams)
    pictures = scenes.draw(100, stream=demo.PICTURE_STREAM, seed=0)
    assert not set(pictures) & set(drawn(100)[0])


def test_latent_memorability_is_standardised(committed):
    (_, _, short, long, _), _ = committed
    for latent in (short, long):
        assert latent.mean() == pytest.approx(0, abs=1e-12)
        assert latent.std() == pytest.approx(1)
    assert 0.6 < np.corrcoef(short, long)[0, 1] < 0.95


def test_less_is_known_after_days_and_less_surely(committed):
    (_, _, short, long, _), (minutes, days) = committed
    assert minutes[:, 0].mean() > days[:, 0].mean() + 0.05
    after = [
        score_measures.spearman(latent, found[:, 0]) for latent, found in ((short, minutes), (long, days))
    ]
    assert after[0] > 0.8
    assert after[0] > after[1] > 0.5


def test_a_set_without_open_landscapes_is_remembered_too():
    found, motions, _, _, rng = drawn(20, seed=1)
    assert all(scene.main is not None for scene in found)
    for latent in demo_videos._latents(found, motions, rng):
        assert latent.std() == pytest.approx(1)


def test_motion_is_remembered(committed):
    (_, motions, short, _, _), _ = committed
    motion = np.array([sum(m.reach * m.rate for m in moving) for moving in motions])
    assert 0.1 < score_measures.spearman(motion, short) < 0.7


def test_what_is_not_alive_hardly_moves(committed):
    (found, motions, *_), _ = committed
    reach = {True: [], False: []}
    for scene, moving in zip(found, motions, strict=True):
        for thing, motion in zip(scene.things, moving, strict=True):
            reach[thing.category in demo_videos.LIVELY].append(motion.reach)
    assert max(reach[False]) < 0.04
    assert np.mean(reach[True]) > 4 * np.mean(reach[False])


def test_things_are_where_they_were_at_the_first_moment():
    for scene, moving in zip(*drawn(20)[:2], strict=True):
        assert demo_videos._at(scene, moving, 0.0) == scene
        later = demo_videos._at(scene, moving, 1.5)
        assert replace(later, things=scene.things) == scene
        assert [replace(t, x=0) for t in later.things] == [replace(t, x=0) for t in scene.things]
        for before, after, motion in zip(scene.things, later.things, moving, strict=True):
            assert 0 < abs(after.x - before.x) <= 2 * motion.reach


# Drawing many moments of a scene


def rendered(scene, size):
    """A scene as it was drawn before there were clips."""
    side = 2 * size
    picture, mask = Image.fromarray(scene_drawing._background(scene, side)), Image.new("L", (side, side), 0)
    paint, stencil = ImageDraw.Draw(picture), ImageDraw.Draw(mask)
    scene_drawing._furnish(paint, scene, side)
    for thing in scene.things:
        scene_drawing._draw_thing(paint, stencil, thing, side)
    picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    picture = ImageEnhance.Color(picture).enhance(scene.saturation)
    picture = ImageEnhance.Contrast(picture).enhance(scene.contrast)
    picture = ImageEnhance.Brightness(picture).enhance(scene.light)
    return picture.tobytes(), mask.resize((size, size), Image.Resampling.NEAREST).tobytes()


def test_a_picture_is_drawn_as_it_was_before_there_were_clips():
    for scene in scenes.draw(12, stream=demo.PICTURE_STREAM, seed=0):
        picture, mask = scenes.render(scene, size=48)
        assert (picture.tobytes(), mask.tobytes()) == rendered(scene, 48)


def test_the_moments_of_a_film_are_pictures_of_the_scene():
    for scene, moving in zip(*drawn(6)[:2], strict=True):
        moments = [demo_videos._at(scene, moving, k / 2) for k in range(3)]
        found = [(a.tobytes(), b.tobytes()) for a, b in scenes.film(moments, size=48)]
        assert found == [rendered(moment, 48) for moment in moments]


@pytest.mark.parametrize(
    "change",
    [
        {"clips": 19},
        {"clips": 100_000},
        {"pixels": 31},
        {"pixels": 33},
        {"short_term_responses": 3},
        {"long_term_responses": 3},
        {"colour": 1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        demo_videos.Params(**(SMALL.model_dump() | change))
