import bisect
import contextlib
import io
import os
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from memorability.core.errors import DataError
from memorability.core.parallel import map_ahead
from memorability.data.shards import ShardWriter
from memorability.media import decoder, timelines, video
from memorability.media.video import Clip, Sampling

SHARED = Path(os.environ.get("MEMORABILITY_SHARED") or Path(__file__).parents[3] / "shared")
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
WIDTH, HEIGHT, RATE = 96, 64, 25
CORNERS = [(230, 40, 40), (40, 220, 40), (50, 50, 240), (240, 220, 50)]
MATRICES = {"bt601": 5, "bt709": 1, "bt2020": 9}  # by their numbers in a stream
FPS, EVENLY, THREE = Sampling("fps"), Sampling("evenly"), Sampling("first_middle_last")
ALL = [
    *(FPS, THREE, EVENLY, Sampling("fps", fps=7.5, count=100), Sampling("fps", fps=29.97, count=1000)),
    *(Sampling("fps", fps=1000, count=1000), Sampling("fps", count=1), Sampling("fps", fps=0.01)),
    *(Sampling("evenly", count=1), Sampling("evenly", count=13), Sampling("evenly", count=1000)),
]


def picture(i, width=WIDTH, height=HEIGHT):
    """Unlike that of any other i: a colour of its own, a box that moves, and four coloured corners."""
    pixels = np.full((height, width, 3), [40 + i * step % 160 for step in (67, 41, 23)], np.uint8)
    place = i * 5 % (width - width // 4)
    pixels[height // 3 : 2 * height // 3, place : place + width // 4] = 255 - pixels[0, 0]
    for colour, rows, columns in zip(CORNERS, (0, 0, -16, -16), (0, -16, 0, -16), strict=True):
        pixels[rows:, columns:][:16, :16] = colour
    return pixels


QUALITY = {
    "libvpx": {"b": "4M", "deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"b": "4M", "deadline": "realtime", "cpu-used": "8"},
    "libx264": {"crf": "8", "preset": "veryfast"},
    "libx265": {"crf": "8", "preset": "ultrafast", "x265-params": "log-level=0"},
    "mpeg4": {"b": "8M", "bf": "2"},
    "mpeg2video": {"b": "8M", "bf": "2"},
}


def make(
    path,
    codec="libx264",
    *,
    pts=range(40),
    unit=Fraction(1, RATE),
    size=(WIDTH, HEIGHT),
    pixels="yuv420p",
    matrix="bt601",
    full=False,
    rotation=0,
    audio=False,
    options=None,
    muxer=None,
):
    """Encodes a clip whose frame number i is `picture(i)`, displayed from `pts[i]` units of time on."""
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=RATE, options=QUALITY.get(codec, {}) | (options or {}))
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = unit
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = MATRICES[matrix]
        stream.codec_context.color_range = 2 if full else 1
        if rotation:
            stream.set_display_rotation(rotation)
        if audio:
            sound = container.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48000)
            sound.codec_context.layout = "mono"
            for k in range(100):
                wave = np.sin(np.arange(1024) / 20)[None].astype(np.float32)
                part = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                part.pts, part.sample_rate = 1024 * k, 48000
                container.mux(sound.encode(part))
        container.start_encoding()  # so that a clip of no frames is written as well
        for i, moment in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24")
            frame = frame.reformat(
                format=pixels, dst_colorspace=MATRICES[matrix], dst_color_range=2 if full else 1
            )
            frame.pts, frame.time_base = moment, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio:
            container.mux(sound.encode())
    return path


def ffmpeg(*arguments, cwd=None):
    command = [FFMPEG, "-nostdin", "-y", "-loglevel", "error", *map(str, arguments)]
    subprocess.run(command, check=True, cwd=cwd)


def sample(path, sampling=EVENLY):
    return video.sample(video.url(path), sampling, name="the clip")


def pixels(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def distance(one, other):
    """Mean difference of a pixel's channel, 0 to 255."""
    return np.abs(one.astype(np.int16) - other).mean()


def decoded(path):
    """Every frame as PyAV has it: its time after the first one, its pixels upright; and when the last one ends."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            rgb = frame.to_ndarray(format="rgb24")
            frames.append((frame.pts, np.rot90(rgb, frame.rotation // 90), frame.duration))
        unit = stream.time_base
    frames.sort(key=lambda frame: frame[0])
    times = [(start - frames[0][0]) * unit for start, _, _ in frames]
    last = frames[-1][2] * unit or (times[-1] - times[-2] if len(times) > 1 else 0)
    return times, [rgb for _, rgb, _ in frames], times[-1] + last


def displayed(times, end, sampling):
    """The numbers of the frames that are wanted, by the definition: the last one that begins at or before t."""
    if sampling.method == "fps":
        moments = [k / Fraction(str(sampling.fps)) for k in range(sampling.count)]
        moments = [0, *(t for t in moments if t < end)]
    elif sampling.method == "evenly":
        moments = [Fraction(2 * k + 1, 2 * sampling.count) * end for k in range(sampling.count)]
    else:
        moments = [0, times[-1] / 2, times[-1]]
    return sorted({bisect.bisect_right(times, t) - 1 for t in moments})


def assert_right(path, sampling, *, close=5, shown=None):
    """What is sampled is what PyAV decodes (`shown`, if that is known) at these times, and nothing else is nearer."""
    times, frames, end = shown or decoded(path)
    clip = sample(path, sampling)
    wanted = displayed(times, end, sampling)
    assert clip.times == [float(times[i]) for i in wanted]
    assert clip.duration == float(end)
    assert (clip.height, clip.width) == frames[0].shape[:2]
    for i, jpeg in zip(wanted, clip.frames, strict=True):
        found = pixels(jpeg)
        differences = [distance(found, frame) for frame in frames]
        assert np.argmin(differences) == i
        assert differences[i] < close
    return clip


# --- clips that people made ---


@pytest.fixture(scope="module")
def people():
    clips = sorted(SHARED.glob("data/clips/*.mkv"))
    if not clips:
        pytest.skip(f"no clips in {SHARED}/data/clips (the folder is named by MEMORABILITY_SHARED)")
    return clips


def test_every_clip_of_people_is_sampled(people):
    for path, clip in zip(people, map_ahead(sample, people, threads=2, ahead=4), strict=True):
        assert (clip.width, clip.height, len(clip.frames)) == (640, 480, 8), path


def test_frames_of_clips_of_people_are_those_that_pyav_shows(people):
    for path in people[::5]:
        times, frames, end = decoded(path)
        for sampling in (FPS, THREE, EVENLY):
            clip = sample(path, sampling)
            wanted = displayed(times, end, sampling)
            assert clip.times == [float(times[i]) for i in wanted]
            assert clip.duration == float(end)
            for i, jpeg in zip(wanted, clip.frames, strict=True):
                shown = pixels(jpeg)
                near = range(max(0, i - 2), min(len(frames), i + 3))
                differences = {j: distance(shown, frames[j]) for j in near}
                assert differences[i] == min(differences.values()) < 2


# --- kinds of clips ---

KINDS = {
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "h264.mp4": {"codec": "libx264"},
    "h264.mkv": {"codec": "libx264"},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "mpeg4.mkv": {"codec": "mpeg4"},
    "h265.mp4": {"codec": "libx265"},
    "mpeg2.ts": {"codec": "mpeg2video"},
    "ffv1.mkv": {"codec": "ffv1"},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p", "options": {"b": "20M"}},
    "open-ended.webm": {"codec": "libvpx", "muxer": {"live": "1"}},  # says no duration, nor any size
    "sound.mp4": {"audio": True},
    "late.mp4": {"pts": range(50, 90), "audio": True},  # begins 2 s after its sound
    "late.mkv": {"pts": range(1000, 1040)},
    "odd.mp4": {"size": (97, 65), "pixels": "yuv444p"},
    "odd.webm": {"codec": "libvpx", "size": (97, 65)},
    "10 bits.mp4": {"pixels": "yuv420p10le"},
    "4:2:2.mp4": {"pixels": "yuv422p"},
    "bt709.mp4": {"matrix": "bt709", "size": (1280, 720), "pts": range(6)},
    "bt709 full.mp4": {"matrix": "bt709", "full": True},
    "bt2020.mp4": {"matrix": "bt2020", "pixels": "yuv420p10le"},
    "rgb.mkv": {"codec": "ffv1", "pixels": "bgr0"},
    "grey.mkv": {"codec": "ffv1", "pixels": "gray"},
    "29.97.mp4": {"pts": [1001 * k for k in range(15)], "unit": Fraction(1, 30000)},
    "slides.mkv": {"pts": [0, 1, 50, 51, 52, 150], "codec": "mpeg4", "options": {"bf": "0"}},
    "variable.webm": {
        "pts": [7, 40, 41, 90, 400, 433, 467, 1990],
        "unit": Fraction(1, 1000),
        "codec": "libvpx",
    },
    "short.mp4": {"pts": range(8)},  # 0.3 s
    "short.webm": {"pts": range(8), "codec": "libvpx"},
    "one.mp4": {"pts": [0]},
    "one.webm": {"pts": [0], "codec": "libvpx"},
    "one.mkv": {"pts": [5], "codec": "mpeg4", "options": {"bf": "0"}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_that_pyav_shows(tmp_path, kind):
    path = make(tmp_path / kind.replace(":", ""), **KINDS[kind])
    wide, shown = KINDS[kind].get("size", (0, 0))[0] > 1000, decoded(path)
    for sampling in ALL[:3] if wide else [*ALL[:3], Sampling("fps", fps=29.97, count=1000)]:
        assert_right(path, sampling, shown=shown)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", pts=range(60), options={"bf": "3"})


@pytest.mark.parametrize("sampling", ALL, ids=str)
def test_every_way_of_sampling(clip, sampling):
    assert_right(clip, sampling)


@settings(max_examples=15, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 3000), max_size=12),
    first=st.integers(0, 5000),
    sampling=st.builds(
        Sampling,
        st.sampled_from(["fps", "first_middle_last", "evenly"]),
        fps=st.floats(0.1, 60),
        count=st.integers(1, 20),
        quality=st.just(3),
    ),
)
def test_any_times_and_any_sampling(tmp_path_factory, gaps, first, sampling):
    path = tmp_path_factory.mktemp("any") / "clip.mkv"
    pts = [first + sum(gaps[:k]) for k in range(len(gaps) + 1)]
    assert_right(make(path, "mjpeg", pts=pts, unit=Fraction(1, 1000), pixels="yuvj420p", full=True), sampling)


def test_no_frame_is_given_twice(tmp_path):
    path = make(tmp_path / "clip.mkv", "ffv1", pts=[0, 10, 20])
    assert sample(path, Sampling("evenly", count=100)).times == [0, 0.4, 0.8]
    assert sample(path, Sampling("fps", fps=100, count=100)).times == [0, 0.4, 0.8]
    assert sample(path, Sampling("fps", fps=100, count=41)).times == [0, 0.4]
    assert len(sample(make(tmp_path / "two.mkv", "ffv1", pts=[0, 10]), THREE).frames) == 2


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(tmp_path, degrees):
    clip = assert_right(make(tmp_path / "clip.mp4", rotation=degrees, pts=range(5)), EVENLY)
    assert (clip.width, clip.height) == ((HEIGHT, WIDTH) if degrees % 180 else (WIDTH, HEIGHT))
    upright = np.rot90(picture(0), degrees // 90)
    assert distance(pixels(clip.frames[0]), upright) < 5


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_those_that_were_encoded(tmp_path, matrix, full):
    path = make(tmp_path / "clip.mp4", matrix=matrix, full=full, pts=range(3), pixels="yuv444p")
    first = pixels(sample(path).frames[0]).astype(int)
    for colour, corner in zip(CORNERS, (first[8, 8], first[8, -8], first[-8, 8], first[-8, -8]), strict=True):
        np.testing.assert_allclose(corner, colour, atol=8)


def test_avi_with_frames_out_of_order(tmp_path):
    """AVI has no times of display, and PyAV gives those of decoding: the frames are judged by what was encoded."""
    path = make(tmp_path / "clip.avi", options={"bf": "3"})
    clip = sample(path)
    assert clip.times == [0.08, 0.28, 0.48, 0.68, 0.88, 1.08, 1.28, 1.48]
    for time, jpeg in zip(clip.times, clip.frames, strict=True):
        found = pixels(jpeg)
        differences = [distance(found, picture(i)) for i in range(40)]
        assert np.argmin(differences) == round(time * RATE)


def test_hidden_frames_are_not_taken(tmp_path):
    path = tmp_path / "clip.webm"
    for number in (1, 2):
        options = ("-c:v", "libvpx", "-b:v", "300k", "-auto-alt-ref", 1, "-lag-in-frames", 16, "-g", 1000)
        source = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=3")
        ffmpeg(*source, *options, "-cpu-used", 2, "-pass", number, path, cwd=tmp_path)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert len(packets) > 75  # that is, some are hidden
    shown = decoded(path)
    for sampling in (*ALL[:3], Sampling("evenly", count=1000)):
        assert_right(path, sampling, close=10, shown=shown)  # sharp colours lose more in JPEG


def test_clip_cut_where_frames_cannot_be_decoded(tmp_path):
    """Behind the cut, frames that refer to those before it are never displayed."""
    whole, part = tmp_path / "whole.mkv", tmp_path / "part.mkv"
    groups = ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=30:scenecut=0:bframes=3:b-adapt=0")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=3", *groups, whole)
    with av.open(str(whole)) as source, av.open(str(part), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        second = [i for i, packet in enumerate(packets) if packet.is_keyframe][1]
        for packet in packets[second:]:
            packet.stream = stream
            container.mux(packet)
    with av.open(str(part)) as container:
        announced = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    with av.open(str(part)) as container:
        assert min(announced) < next(container.decode(video=0)).pts
    for sampling in (FPS, THREE, EVENLY):
        assert_right(part, sampling, close=10)


def test_frames_that_an_edit_list_hides(tmp_path):
    path = tmp_path / "part.mp4"
    ffmpeg("-ss", 1, "-i", make(tmp_path / "whole.mp4", options={"g": "100"}), "-c", "copy", path)
    with av.open(str(path)) as container:
        assert any(packet.is_discard for packet in container.demux(video=0))
    for sampling in (FPS, THREE, EVENLY):
        assert_right(path, sampling)
    assert sample(path, THREE).times == [0, 0.28, 0.56]


def test_frames_have_one_size_where_the_clip_changes_its_own(tmp_path):
    parts = [make(tmp_path / "0.webm", "libvpx"), make(tmp_path / "1.webm", "libvpx", size=(48, 32))]
    path = tmp_path / "both.webm"
    with (
        av.open(str(path), "w") as container,
        av.open(str(parts[0])) as first,
        av.open(str(parts[1])) as second,
    ):
        stream = container.add_stream_from_template(first.streams.video[0])
        for number, source in enumerate((first, second)):
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream, packet.pts, packet.dts = stream, packet.pts + 1600 * number, None
                    packet.dts = packet.pts
                    container.mux(packet)
    clip = sample(path)
    assert [pixels(jpeg).shape for jpeg in clip.frames] == [(HEIGHT, WIDTH, 3)] * 8
    for time, jpeg in zip(clip.times, clip.frames, strict=True):
        expected = picture(round(time * RATE) % 40)[5, WIDTH // 2].astype(int)
        np.testing.assert_allclose(pixels(jpeg)[5, WIDTH // 2], expected, atol=8)


def test_animated_gif(tmp_path):
    frames = [Image.fromarray(picture(i)) for i in range(10)]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:], duration=100, loop=0)
    clip = sample(tmp_path / "clip.gif", Sampling("fps", fps=5))
    assert clip.times == [0, 0.2, 0.4, 0.6, 0.8]
    for time, jpeg in zip(clip.times, clip.frames, strict=True):
        assert np.argmin([distance(pixels(jpeg), picture(i)) for i in range(10)]) == round(time * 10)


# Interlaced


def interlaced(path, codec, *options, size="352x288"):
    """25 frames a second, each of two moments of a scene that moves; what it is made of is 50 a second."""
    source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=50:duration=1"]
    ffmpeg(
        *source,
        "-vf",
        "interlace=lowpass=0,setfield=tff",
        "-c:v",
        codec,
        "-flags",
        "+ilme+ildct",
        *options,
        path,
    )
    return path


def comb(jpeg):
    """How much each line differs from the mean of those above and below it."""
    grey = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L")).astype(float)
    return np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean()


INTERLACED = {
    "h264.mkv": ("libx264", "-x264-params", "interlaced=1:tff=1"),
    "h264.mp4": ("libx264", "-x264-params", "interlaced=1:tff=1"),
    "mpeg2.mpg": ("mpeg2video", "-q:v", "3"),
    "mpeg2.ts": ("mpeg2video", "-q:v", "3"),
    "dv.avi": ("dvvideo", "-pix_fmt", "yuv420p"),  # only its frames say that they are
}


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_clips_are_deinterlaced(tmp_path, name, monkeypatch):
    size = "720x576" if name == "dv.avi" else "352x288"
    path = interlaced(tmp_path / name, *INTERLACED[name], size=size)
    found = sample(path)
    monkeypatch.setattr(timelines.Interlaced, "see", lambda self, packet: setattr(self, "found", False))
    combed = sample(path)
    assert found.times == combed.times
    assert len(found.times) == 8
    for one, other in zip(found.frames, combed.frames, strict=True):
        assert comb(one) < 0.6 * comb(other)


@pytest.mark.parametrize("sampling", [FPS, THREE, Sampling("fps", fps=25, count=100)])
def test_frames_of_interlaced_clips_are_those_of_their_times(tmp_path, sampling):
    path = interlaced(tmp_path / "a.mkv", "libx264", "-x264-params", "interlaced=1:tff=1", "-crf", "5")
    times, shown, end = decoded(path)
    found = sample(path, sampling)
    wanted = displayed(times, end, sampling)
    assert found.times == [float(times[i]) for i in wanted]
    for i, jpeg in zip(wanted, found.frames, strict=True):
        others = [j for j in (i - 5, i + 5) if 0 <= j < len(shown)]
        assert distance(pixels(jpeg), shown[i]) < min(distance(pixels(jpeg), shown[j]) for j in others)


def test_progressive_clips_are_left_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(decoder, "run", lambda *a, run=decoder.run, **o: seen.append(o) or run(*a, **o))
    seen = []
    for name, codec in (("a.mp4", "libx264"), ("a.webm", "libvpx"), ("a.mpg", "mpeg2video")):
        sample(make(tmp_path / name, codec))
    assert len(seen) >= 3
    assert not any("bwdif" in options.get("vf", "") for options in seen)


# A clock of 33 bits


@pytest.mark.parametrize("offset", [95_200, 95_441, 95_443.5, 95_443.7])
@pytest.mark.parametrize("sampling", [FPS, EVENLY, THREE])
def test_a_transport_stream_whose_clock_begins_anew(tmp_path, offset, sampling):
    source = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=8", "-c:v", "libx264", "-bf", "2"]
    ffmpeg(*source, tmp_path / "plain.ts")
    ffmpeg(*source, "-output_ts_offset", offset, tmp_path / "late.ts")
    plain, late = sample(tmp_path / "plain.ts", sampling), sample(tmp_path / "late.ts", sampling)
    assert late.frames == plain.frames
    np.testing.assert_allclose(late.times, plain.times, atol=1e-4)
    assert late.duration == pytest.approx(8)


# Bounds


@pytest.mark.parametrize("size", [(12_000, 12_000), (16_384, 8_640)])
def test_frames_of_too_many_pixels_are_refused_before_any_is_decoded(tmp_path, size, monkeypatch):
    path = tmp_path / "a.gif"
    frames = [Image.new("P", (16, 16), i) for i in range(30)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", *size)
    path.write_bytes(content)
    monkeypatch.setattr(decoder, "run", lambda *a, **o: pytest.fail("decoded"))
    with pytest.raises(
        DataError, match=rf"^the clip: frames of {size[0]:,} x {size[1]:,} pixels; valid: up to 50,000,000"
    ):
        sample(path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "a.mp4"
    {"pipe": lambda: os.mkfifo(path), "device": lambda: path.symlink_to("/dev/zero"), "folder": path.mkdir}[
        kind
    ]()
    with pytest.raises(DataError, match=r"^the clip: not a file"):
        sample(path)


def test_music_with_a_picture_is_no_clip(tmp_path):
    Image.fromarray(picture(0)).save(tmp_path / "cover.png")
    sound = ("-f", "lavfi", "-i", "sine=duration=1")
    kept = ("-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v", "attached_pic")
    ffmpeg(*sound, "-i", tmp_path / "cover.png", *kept, tmp_path / "song.m4a")
    with pytest.raises(DataError, match="the clip: no video stream in it"):
        sample(tmp_path / "song.m4a")
    ffmpeg(
        "-i",
        make(tmp_path / "clip.mp4"),
        "-i",
        tmp_path / "cover.png",
        *kept[:-2],
        "-disposition:v:1",
        "attached_pic",
        tmp_path / "both.mp4",
    )
    assert len(sample(tmp_path / "both.mp4").frames) == 8


# --- what is refused ---


def refused(path, reason):
    for sampling in (EVENLY, FPS):
        with pytest.raises(DataError, match=f"^the clip: .*{reason}"):
            sample(path, sampling)


def test_what_is_no_clip(tmp_path, clip):
    refused(tmp_path / "missing.mp4", "no such file")
    refused(tmp_path, "not a file")
    os.mkfifo(tmp_path / "pipe.mp4")  # opening it would wait for a writer
    refused(tmp_path / "pipe.mp4", "not a file")
    other = tmp_path / "other.mp4"
    for content, reason in {
        b"": r"an empty file \(0 bytes\)",
        b"id,score\na.mp4,0.5\n" * 50: "not a clip in any format that ffmpeg reads",
        bytes(5000): "not a clip in any format that ffmpeg reads",
        video.sample(video.url(clip), FPS, name="").frames[0]: "no clip; ffmpeg takes it for",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n".encode(): "clip",
        f"ffconcat version 1.0\nfile {clip}\n".encode(): "clip",
    }.items():
        other.write_bytes(content)
        refused(other, reason)


def test_sound_alone(tmp_path):
    for suffix in ("wav", "m4a", "mkv"):
        ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / f"sound.{suffix}")
        refused(tmp_path / f"sound.{suffix}", "no video stream in it")


def test_no_frames(tmp_path):
    refused(make(tmp_path / "none.avi", "mpeg4", pts=[]), "the video stream has no frames")
    path = make(tmp_path / "clip.mp4", muxer={"movflags": "frag_keyframe+empty_moov"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moof") - 4])
    refused(path, "the video stream has no frames")
    path = make(tmp_path / "clip.webm", "libvpx")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75")])  # where the first cluster begins
    refused(path, "not a clip in any format .*File ended prematurely")


FRAGILE = {name: KINDS[name] for name in KINDS if name.split(".")[0] in ("vp8", "vp9", "h264", "mpeg4")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A clip of 3 s of each kind that must notice damage."""
    folder = tmp_path_factory.mktemp("whole")
    return {
        name: make(folder / name, pts=range(75), size=(160, 120), **kind) for name, kind in FRAGILE.items()
    }


@pytest.mark.parametrize("kind", FRAGILE)
@pytest.mark.parametrize("lost", [0.1, 300])
def test_damage_halfway_is_named_with_its_time(tmp_path, whole, kind, lost):
    content = bytearray(whole[kind].read_bytes())
    with av.open(str(whole[kind])) as container:
        packets = [(p.pos, float(p.pts * p.time_base)) for p in container.demux(video=0) if p.size]
    size = round(lost * len(content)) if lost < 1 else lost
    place = len(content) // 2
    content[place : place + size] = bytes(size)
    path = tmp_path / kind
    path.write_bytes(content)
    with pytest.raises(DataError, match="the clip: damaged, decoding breaks about") as caught:
        sample(path)
    said = float(str(caught.value).split("about ")[1].split(" s")[0])
    assert said == pytest.approx(max(time for pos, time in packets if pos <= place), abs=0.5)
    for sampling in (FPS, THREE, Sampling("fps", count=1)):  # of which the last needs nothing of it
        with pytest.raises(DataError, match="the clip: damaged"):
            sample(path, sampling)


@pytest.mark.parametrize("kind", FRAGILE)
def test_clip_cut_short(tmp_path, whole, kind):
    content = whole[kind].read_bytes()
    for part in (0.05, 0.5, 0.9):
        path = tmp_path / kind
        path.write_bytes(content[: round(part * len(content))])
        refused(path, "moov atom not found" if path.suffix == ".mp4" else "damaged|no frames|not a clip")


def test_clip_of_which_no_frame_can_be_decoded(tmp_path):
    path = make(tmp_path / "clip.ts", options={"g": "100"})
    content = path.read_bytes()
    first = b"\0\0\1\x65"  # the type of the parts of the one frame that all others depend on
    assert first in content
    path.write_bytes(content.replace(first, b"\0\0\1\x60"))
    refused(path, "cannot be decoded|no frame of the video stream can be decoded")


def test_clip_that_ends_where_its_index_does_not_say(tmp_path, whole):
    ffmpeg("-i", whole["h264.mp4"], "-c", "copy", "-movflags", "+faststart", tmp_path / "whole.mp4")
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "part.mp4").write_bytes(content[: 2 * len(content) // 3])
    refused(tmp_path / "part.mp4", "damaged, decoding breaks about [12]")


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_bytes_give_frames_or_a_named_error(tmp_path_factory, whole, data):
    """Nothing else happens, and a frame is a whole picture."""
    content = bytearray(whole[data.draw(st.sampled_from(sorted(FRAGILE)))].read_bytes())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 9), st.binary(min_size=1, max_size=8)), min_size=1)
    ):
        content[place : place + len(value)] = value
    path = tmp_path_factory.mktemp("any") / "clip"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        clip = sample(path, Sampling("evenly", count=3))
        assert {pixels(jpeg).shape for jpeg in clip.frames} == {(clip.height, clip.width, 3)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "middle"},
        *({"fps": fps} for fps in (0, -1, float("nan"), float("inf"), 2000)),
        *({"count": count} for count in (0, -1, 1001)),
        *({"quality": quality} for quality in (1, 32)),
    ],
    ids=str,
)
def test_wrong_samplings(clip, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; valid"):
        sample(clip, Sampling(**{"method": "fps"} | wrong))
    with pytest.raises(ValueError, match="is not what url"):
        video.sample(str(clip), FPS, name="x")


# --- ffmpeg as a process ---


def children():
    return [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """An ffmpeg that never ends."""
    executable = tmp_path / "ffmpeg"
    executable.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    executable.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(executable))


def test_hanging_decoder_is_ended(clip, hanging, monkeypatch):
    monkeypatch.setattr(decoder, "PATIENCE", 0.1)
    monkeypatch.setattr(decoder, "PATIENCE_A_SECOND", 0.0)
    before = children()
    with pytest.raises(DataError, match="the clip: decoding did not end within 0 s"):
        sample(clip)
    assert children() == before


def test_interrupted_sampling_leaves_no_process(clip, hanging, monkeypatch):
    def interrupted(self, timeout):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    before = children()
    with pytest.raises(KeyboardInterrupt):
        sample(clip)
    assert children() == before


def test_killed_decoder_is_no_matter_of_the_clip(clip, tmp_path, monkeypatch):
    executable = tmp_path / "ffmpeg"
    executable.write_text("#!/bin/sh\nkill -9 $$\n")
    executable.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(executable))
    with pytest.raises(MemoryError, match="ffmpeg was killed"):
        sample(clip)


# --- bytes, places, keys ---


def test_same_bytes_every_time_and_in_threads(clip):
    first = sample(clip)
    assert list(map_ahead(sample, [clip] * 6, threads=3, ahead=6)) == [first] * 6
    assert all(jpeg[:2] == b"\xff\xd8" and b"Lav" not in jpeg for jpeg in first.frames)


def test_quality(clip):
    sizes = [len(sample(clip, Sampling("fps", quality=quality)).frames[0]) for quality in (2, 8, 31)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_clip_in_a_shard_is_read_in_place(tmp_path, clip, whole):
    clips = [clip, *whole.values()]
    with ShardWriter(tmp_path) as writer:
        places = [writer.add(path.name, path.read_bytes()) for path in clips]
        nothing = writer.add("nothing.mp4", b"")
    for path, place in zip(clips, places, strict=True):
        member = video.url(tmp_path / place.shard, offset=place.offset, size=place.size)
        assert video.sample(member, EVENLY, name="x") == sample(path)
    empty = video.url(tmp_path / nothing.shard, offset=nothing.offset, size=0)
    with pytest.raises(DataError, match=r"x: an empty file \(0 bytes\)"):
        video.sample(empty, EVENLY, name="x")
    with pytest.raises(DataError, match="x: no such file"):
        video.sample(video.url(tmp_path / "none.tar", offset=512, size=10), EVENLY, name="x")


@pytest.mark.parametrize(
    "name", ["a b.mp4", "%03d.mp4", "a:b,c;d.mp4", "'é\n\".mp4", "-y", "file:x", "[1]*?.mp4"]
)
def test_any_file_name(tmp_path, clip, name, monkeypatch):
    (tmp_path / name).write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    expected = sample(clip)
    assert sample(Path(name)) == expected
    assert (
        video.sample(video.url(Path(name), offset=0, size=clip.stat().st_size), EVENLY, name="x") == expected
    )


def test_metadata_that_is_not_utf8(tmp_path, clip):
    ffmpeg("-i", clip, "-c", "copy", "-metadata", "title=Sommer", tmp_path / "clip.mkv")
    content = (tmp_path / "clip.mkv").read_bytes()
    assert b"Sommer" in content
    (tmp_path / "clip.mkv").write_bytes(content.replace(b"Sommer", b"S\xf6mmer"))
    assert sample(tmp_path / "clip.mkv").times == sample(clip).times


def test_a_file_name_that_is_not_utf8(tmp_path, clip):
    path = tmp_path / os.fsdecode(b"\xff.mp4")
    try:
        path.write_bytes(clip.read_bytes())
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    with pytest.raises(DataError, match="is not UTF-8; rename it"):
        sample(path)


def test_the_rest_of_a_file_as_a_clip(tmp_path, clip):
    (tmp_path / "both").write_bytes(b"12345" + clip.read_bytes())
    assert video.sample(video.url(tmp_path / "both", offset=5), EVENLY, name="x") == sample(clip)


@given(
    st.lists(st.binary(max_size=50)),
    st.lists(st.floats(0, 1e6)),
    st.tuples(st.integers(1, 9999), st.integers(1, 9999), st.floats(0, 1e6)),
)
def test_packed_clips_come_back(frames, times, rest):
    clip = Clip(frames, times, *rest)
    assert video.unpack(video.pack(clip)) == clip


def test_namespace_depends_on_all_that_decides_frames(monkeypatch):
    keys = {video.namespace(sampling) for sampling in [*ALL, Sampling("fps", quality=3)]}
    assert len(keys) == len(ALL) + 1
    assert video.namespace(Sampling("fps", fps=2)) == video.namespace(Sampling("fps", fps=2.0))
    assert video.namespace(FPS) in keys
    monkeypatch.setattr(video, "VERSION", -1)
    assert video.namespace(FPS) not in keys
    monkeypatch.undo()
    monkeypatch.setattr(decoder, "version", lambda: "another")
    assert video.namespace(FPS) not in keys


def test_samplings_are_keys():
    assert len({Sampling("fps"), Sampling("fps", 1.0), Sampling("evenly")}) == 2
