"""A user's files as arrays: frames are decoded one at a time, and answers do not depend on what is asked with them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memorability.features import items
from memorability.features.items import Frames, Item, in_groups
from memorability.media import video


def jpeg(value):
    stream = io.BytesIO()
    Image.new("RGB", (16, 8), (value,) * 3).save(stream, "JPEG")
    return stream.getvalue()


def test_frames_are_decoded_when_they_are_looked_at(monkeypatch):
    """All of a long clip would fill the memory."""
    decoded, decode = [], items.decode
    monkeypatch.setattr(items, "decode", lambda content, **more: decoded.append(1) or decode(content, **more))
    frames = Frames([jpeg(value) for value in (10, 100, 200)])
    assert (len(frames), len(decoded)) == (3, 0)
    assert frames[1].getpixel((0, 0)) == (100, 100, 100)
    assert len(decoded) == 1
    assert [frame.getpixel((0, 0))[0] for frame in frames] == [10, 100, 200]


def test_a_clip_is_sampled_once_for_each_way(monkeypatch):
    asked = []

    def sample(url, sampling, *, name):
        asked.append(sampling)
        return video.Clip([jpeg(1)], [0.0], 16, 8, 1.0)

    monkeypatch.setattr(video, "sample", sample)
    item, one, other = Item(Path("a.mp4")), video.Sampling("fps"), video.Sampling("evenly")
    for sampling in (one, other, one):
        assert len(item.frames(sampling)) == 1
    assert asked == [one, other]


# Groups


@pytest.fixture
def asked():
    """What a model is asked: the shapes of x, its last row and the lengths."""
    return []


def model(asked, *, frames=True):
    def ask(x, lengths):
        asked.append((x.shape, x[-1].tolist(), None if lengths is None else lengths.tolist()))
        return x.sum(axis=1), x if frames else None

    return ask


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("with_lengths", [True, False])
def test_a_model_is_always_asked_for_groups_of_one_size(asked, count, with_lengths):
    x = np.arange(2 * count, dtype=np.float32).reshape(count, 2) + 1
    lengths = np.arange(count) + 1 if with_lengths else None
    answers, frames = in_groups(model(asked), size=3)(x, lengths)
    assert answers.tolist() == x.sum(axis=1).tolist()
    assert frames.tolist() == x.tolist()
    assert {shape for shape, _, _ in asked} == {(3, 2)}
    assert len(asked) == -(-count // 3)
    if count % 3:
        assert asked[-1][1] == [0, 0]  # a blank row
    if with_lengths:
        told = [length for _, _, part in asked for length in part]
        assert told[:count] == lengths.tolist()
        assert set(told[count:]) <= {1}


def test_what_is_asked_keeps_its_type(asked):
    seen = []

    def ask(x, lengths):
        seen.append((x.dtype, lengths.dtype))
        return np.zeros(len(x)), None

    in_groups(ask, size=4)(np.ones((4, 2), np.uint8), np.ones(4, np.int64))
    in_groups(ask, size=4)(np.ones((3, 2), np.uint8), np.ones(3, np.int64))
    assert seen == [(np.uint8, np.int64)] * 2


def test_titles_are_asked_in_groups_too():
    def ask(x, lengths):
        return np.array([len(title) for title in x], float), None

    assert in_groups(ask, size=2)(np.array(["a", "bcd", "ef"]), None)[0].tolist() == [1, 3, 2]


def test_what_is_said_of_no_frame_stays_unsaid(asked):
    assert in_groups(model(asked, frames=False), size=2)(np.ones((3, 2)), None)[1] is None
