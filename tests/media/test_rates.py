"""`ffmpeg_rate` against what `ffmpeg -i CLIP -r RATE out-%02d.png` itself writes, frame by frame."""

import io
import shutil
import subprocess

import av
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.media import rates, video
from memorability.media.video import Sampling

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SYSTEM = shutil.which("ffmpeg")  # another release of it, where there is one
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "8")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "4M")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "4M")
UNEVEN = ("-vf", "select='not(mod(n\\,7))+gt(mod(n\\,40)\\,30)'", "-fps_mode", "vfr")
# Name, frames a second, seconds, rate asked for, how it is made, what is read before it.
CLIPS = [
    ("a.mp4", "25", 7, 1, X264, ()),
    ("b.webm", "30", 6.8, 1, VP8, ()),
    ("c.webm", "24", 6.5, 1, VP9, ()),
    ("d.mp4", "30000/1001", 7, 1, X264, ()),
    ("e.mkv", "25", 4, 2.5, X264, ()),
    ("f.mp4", "10", 3.3, 4, X264, ()),
    ("g.mkv", "5", 2, 12, ("-c:v", "ffv1"), ()),  # more than there are: frames come again
    ("h.mkv", "25", 7, 1, (*UNEVEN, "-c:v", "ffv1"), ()),
    ("i.webm", "50", 2, 0.5, VP8, ()),
    ("j.mp4", "25", 0.3, 1, X264, ()),
    ("k.mp4", "25", 5, 1, (*X264, "-c:a", "aac"), ("-f", "lavfi", "-i", "sine=duration=7")),
    ("l.mp4", "25", 5, 1, (*X264, "-bf", "3", "-c:a", "aac"), ("-f", "lavfi", "-itsoffset", "-1.6", "-i", "sine")),
]  # fmt: skip


def made(path, rate, seconds, how=X264, before=()):
    source = ("-f", "lavfi", "-i", f"testsrc2=size=96x64:rate={rate}:duration={seconds}")
    command = [FFMPEG, "-nostdin", "-loglevel", "error", "-y", *before, *source, *how, "-t", seconds, path]
    subprocess.run([str(part) for part in command], check=True)
    return path


def decoded(path):
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [time - frames[0][0] for time, _ in frames], np.stack([rgb for _, rgb in frames]).astype(np.int16)


def nearest(found, frames):
    """The number of the frame that a picture is, which no other frame is as near to."""
    differences = np.abs(frames - np.asarray(found.convert("RGB"), np.int16)).mean(axis=(1, 2, 3))
    one, other = np.partition(differences, 1)[:2] if len(differences) > 1 else (differences[0], np.inf)
    assert one < other, (one, other)
    return int(differences.argmin())


def written(executable, path, rate, frames):
    """The numbers of the frames that the command writes."""
    folder = path.with_suffix("")
    folder.mkdir()
    out = str(folder / "%02d.png")
    command = [executable, "-nostdin", "-loglevel", "error", "-i", path, "-r", rate, out]
    subprocess.run([str(part) for part in command], check=True)
    return [nearest(Image.open(picture), frames) for picture in sorted(folder.iterdir())]


def assert_same(executable, path, rate):
    times, frames = decoded(path)
    expected = written(executable, path, rate, frames)
    clip = video.sample(video.url(path), Sampling("ffmpeg_rate", fps=rate, count=1000), name="the clip")
    assert [nearest(Image.open(io.BytesIO(jpeg)), frames) for jpeg in clip.frames] == expected
    assert clip.times == pytest.approx([times[number] for number in expected], abs=1e-6)
    return expected


@pytest.mark.parametrize(("name", "fps", "seconds", "rate", "how", "before"), CLIPS)
def test_frames_are_those_that_ffmpeg_writes(tmp_path, name, fps, seconds, rate, how, before):
    assert assert_same(FFMPEG, made(tmp_path / name, fps, seconds, how, before), rate)


@pytest.mark.skipif(SYSTEM is None, reason="no ffmpeg on the PATH beside the one of imageio-ffmpeg")
@pytest.mark.parametrize(
    ("name", "fps", "seconds", "rate", "how", "before"),
    [clip for clip in CLIPS if clip[3] < float(clip[1][:2])],
)
def test_another_release_of_ffmpeg_writes_the_same(tmp_path, name, fps, seconds, rate, how, before):
    """Above a clip's own rate 5.1 and 9.0 differ in which of two frames comes again."""
    assert assert_same(SYSTEM, made(tmp_path / name, fps, seconds, how, before), rate)


def test_how_many_frames_a_clip_gives(tmp_path):
    """Of 7 s at 25 a second nine, the second one 0.04 s after the first; eight if the clip ends before 6.88 s."""
    whole = made(tmp_path / "whole.mp4", 25, 7)
    assert assert_same(FFMPEG, whole, 1) == [0, 1, 22, 47, 72, 97, 122, 147, 172]
    assert len(assert_same(FFMPEG, made(tmp_path / "shorter.mp4", 25, 6.84), 1)) == 8
    eight = video.sample(video.url(whole), Sampling("ffmpeg_rate", count=8), name="the clip")
    assert eight.times == [0, 0.04, 0.88, 1.88, 2.88, 3.88, 4.88, 5.88]
    assert eight.duration == 7
    assert len(video.sample(video.url(whole), Sampling("fps"), name="the clip").frames) == 7


def test_the_same_bytes_every_time_and_within_a_shard(tmp_path):
    path = made(tmp_path / "clip.mp4", 25, 3)
    packed = tmp_path / "shard"
    packed.write_bytes(bytes(100) + path.read_bytes() + bytes(50))
    sampling, length = Sampling("ffmpeg_rate", fps=2), path.stat().st_size
    one = video.sample(video.url(path), sampling, name="the clip")
    assert one == video.sample(video.url(packed, offset=100, size=length), sampling, name="the clip")


def test_interlaced_frames_are_the_same_ones_deinterlaced(tmp_path):
    how = (
        "-vf",
        "interlace=lowpass=0,setfield=tff",
        "-c:v",
        "mpeg2video",
        "-flags",
        "+ilme+ildct",
        "-b:v",
        "8M",
    )
    path = made(tmp_path / "clip.ts", 50, 3, how)
    times, frames = decoded(path)
    expected = written(FFMPEG, path, 1, frames)
    clip = video.sample(video.url(path), Sampling("ffmpeg_rate", count=100), name="the clip")
    assert clip.times == pytest.approx([times[number] for number in expected], abs=1e-6)


def test_damage_behind_the_last_frame_that_is_taken_is_found(tmp_path):
    path = made(tmp_path / "clip.mp4", 25, 7, ("-c:v", "libx264", "-crf", "8", "-movflags", "+faststart"))
    content = bytearray(path.read_bytes())
    content[-3000:-1500] = bytes(range(250)) * 6
    path.write_bytes(content)
    with pytest.raises(DataError, match="the clip: damaged, decoding breaks about"):
        video.sample(video.url(path), Sampling("ffmpeg_rate", count=2), name="the clip")


def test_what_was_written_and_what_was_told_must_fit_together():
    told = "0 0 1/10 3\n1 2 1/10 2\n"
    assert [one.jpeg for one in rates.read(b"abcde", told)] == [b"abc", b"de"]
    with pytest.raises(ValueError, match="told of 5 bytes and wrote 6"):
        rates.read(b"abcdef", told)
