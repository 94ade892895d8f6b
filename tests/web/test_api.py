"""The JSON API: scores as `predict` has them, bounds on what is sent, honest refusals, nothing left on disk."""

from __future__ import annotations

import io
import tempfile
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from memorability.core.errors import DataError, ParamsError
from memorability.predict.about import Project
from memorability.predict.predictor import Predictor
from memorability.web import uploads
from memorability.web.app import create_app
from memorability.web.catalogue import Catalogue
from memorability.web.limits import Limits

LIMITS = Limits(bytes=2**20, pixels=500_000, seconds=4, frames=60, running=1, slots=2, upload_seconds=5)


def picture(width=80, height=60, *, seed=0, kind="PNG"):
    values = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).resize((width, height)).save(stream, format=kind)
    return stream.getvalue()


def clip(frames, *, rate=10):
    stream = io.BytesIO()
    with av.open(stream, "w", format="webm") as container:
        video = container.add_stream("libvpx", rate=rate, options={"deadline": "realtime"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            frame = np.full((48, 64, 3), (20 * i) % 256, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
    return stream.getvalue()


@pytest.fixture(scope="module")
def client(catalogue):
    with TestClient(create_app(catalogue, limits=LIMITS)) as client:
        yield client


def send(client, content, *, name="a.png", path="/api/score", model=None):
    data = {} if model is None else {"model": model}
    return client.post(path, files={"file": (name, content)}, data=data)


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert list(Path(tempfile.gettempdir()).glob(f"{uploads.PREFIX}*")) == []


def test_a_picture_has_the_score_that_predict_gives_it(client, models, tmp_path):
    content = picture()
    (tmp_path / "a.png").write_bytes(content)
    expected = Predictor(models / "memnet", device="cpu").predict(tmp_path / "a.png")[0]
    found = send(client, content)
    assert found.status_code == 200
    said = found.json()
    assert said["score"] == pytest.approx(expected.score, abs=1e-6)
    assert (said["low"], said["high"]) == pytest.approx(expected.interval, abs=1e-6)
    assert said["percentile"] == pytest.approx(expected.percentile, abs=0.01)
    assert (said["name"], said["kind"], said["model"], said["confidence"]) == (
        "a.png",
        "picture",
        "memnet",
        0.9,
    )
    assert found.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in found.headers["content-security-policy"]


def test_a_clip_is_scored_frame_by_frame_where_no_model_of_clips_is(client):
    said = send(client, clip(20), name="a.webm").json()
    frames = said["frames"]
    assert said["kind"] == "clip"
    assert said["score"] == pytest.approx(np.mean(frames["values"]), abs=1e-6)
    assert len(frames["values"]) == len(frames["times"]) > 5
    assert frames["times"] == sorted(frames["times"])
    assert "mean of its frames" in said["note"]


def test_maps_by_occlusion_and_by_a_model_of_maps(client):
    occlusion = send(client, picture(), path="/api/map", model="memnet").json()
    memory = send(client, picture(), path="/api/map").json()
    assert (occlusion["kind"], np.shape(occlusion["values"])) == ("occlusion", (1, 8, 8))
    assert (memory["kind"], memory["model"]) == ("memory", "unet")
    assert 0 <= np.min(memory["values"]) <= np.max(memory["values"]) <= 1
    assert send(client, clip(5), name="a.webm", path="/api/map").status_code == 422


def test_models_and_what_is_known_of_one(client):
    listed = client.get("/api/models").json()
    assert {(m["name"], m["gives"], m["default"]) for m in listed["models"]} == {
        ("memnet", "scores", True),
        ("unet", "maps", True),
    }
    assert listed["limits"] == {"bytes": 2**20, "pixels": 500_000, "seconds": 4}
    about = client.get("/api/models/memnet").json()
    assert len(about["distribution"]) == 101
    assert about["distribution"] == sorted(about["distribution"])
    assert "recognise the picture" in about["meaning"]
    unknown = client.get("/api/models/none")
    assert (unknown.status_code, "valid: memnet, unet" in unknown.json()["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("content", "name", "status", "said"),
    [
        (b"", "a.png", 415, "an empty file"),
        (b"#!/bin/sh\necho", "a.sh", 415, "neither a picture nor a clip"),
        (b"%PDF-1.4 text", "a.jpg", 422, "not a picture in any format that Pillow reads"),
        (picture()[:200], "a.png", 422, ""),
        (
            picture(1000, 600, kind="JPEG"),
            "a.jpg",
            413,
            "1,000 x 600 pixels; this server takes up to 500,000",
        ),
        (bytes(2**20 + 1), "a.png", 413, "this server takes up to 1,048,576 a file"),
        (clip(70), "a.webm", 413, ""),
    ],
)
def test_what_is_refused_says_why(client, content, name, status, said):
    found = send(client, content, name=name)
    assert found.status_code == status
    assert said in found.json()["detail"]
    assert tempfile.gettempdir() not in found.json()["detail"]


def test_a_picture_that_unpacks_to_very_many_pixels_is_refused_by_its_header(client):
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, format="PNG", optimize=True)
    assert len(stream.getvalue()) < 100_000
    found = send(client, stream.getvalue())
    assert (found.status_code, "pixels" in found.json()["detail"]) == (413, True)


def test_names_are_shown_and_lead_nowhere(client):
    said = send(client, picture(), name="../../etc/x\x1b[31m.png").json()
    assert "/" not in said["name"]
    assert "\x1b" not in said["name"]


def test_requests_that_are_none(client):
    assert client.post("/api/score").status_code == 422
    assert "file" in client.post("/api/score").json()["detail"]
    assert send(client, picture(), model="other").status_code == 404
    elsewhere = client.post(
        "/api/score", files={"file": ("a.png", picture())}, headers={"sec-fetch-site": "cross-site"}
    )
    assert elsewhere.status_code == 403
    assert client.get("/api/score").status_code == 405


def test_a_server_that_is_full_says_when_to_come_again(catalogue, monkeypatch):
    """One computes, one waits, and the third is refused at once; then there is room again."""
    begun, go = threading.Event(), threading.Event()
    opened = Predictor.batch

    def slow(self, *given, **options):
        begun.set()
        assert go.wait(20)
        return opened(self, *given, **options)

    monkeypatch.setattr(Predictor, "batch", slow)
    with TestClient(create_app(catalogue, limits=LIMITS)) as client:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(send(client, picture()))) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert begun.wait(20)
        until = time.monotonic() + 20
        while client.get("/healthz").json()["inside"] < 2:
            assert time.monotonic() < until
        busy = send(client, picture())
        go.set()
        for thread in threads:
            thread.join(20)
        assert busy.status_code == 503
        assert int(busy.headers["retry-after"]) >= 1
        assert "busy; try again in" in busy.json()["detail"]
        assert [answer.status_code for answer in answers] == [200, 200]
        health = client.get("/healthz").json()
        assert (health["status"], health["inside"], health["refused"]) == ("ok", 0, 1)


def test_the_description_and_the_page_need_no_other_server(client):
    described = client.get("/openapi.json").json()
    assert {"/api/score", "/api/map", "/api/models", "/healthz"} <= set(described["paths"])
    for path in ("/", "/api", "/static/page.js", "/static/style.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("http://www.w3.org", "")
        assert "https://" not in answer.text
    assert client.get("/docs").status_code == 404


def test_what_killed_servers_have_left_is_cleared(catalogue):
    left = Path(tempfile.mkdtemp(prefix=f"{uploads.PREFIX}999999999-"))
    with TestClient(create_app(catalogue, limits=LIMITS)):
        assert not left.exists()


def test_limits_that_are_none():
    with pytest.raises(ParamsError, match="pixels of a server must be above 0, received 0"):
        Limits(pixels=0)
    with pytest.raises(ParamsError, match="slots of a server: received 1; valid: at least as many"):
        Limits(running=2, slots=1)


def test_a_folder_without_models(tmp_path, monkeypatch):
    monkeypatch.setattr("memorability.core.layout.RELEASED", tmp_path / "none")
    with pytest.raises(DataError):
        Catalogue(Project.of(tmp_path), device="cpu")
