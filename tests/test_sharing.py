"""Sharing: a DVC remote in a folder and behind real SSH servers, and two people whose models are merged."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncssh
import pytest
import yaml
from repository import ENSEMBLE, MODELS, ON_BOARD, commit, copy, memorability, ran, run

from memorability.core import layout
from memorability.data import scenes

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {keys}/host
AuthorizedKeysFile {keys}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
Subsystem sftp internal-sftp
"""

LAST = MODELS["maps"][-1]  # in params.yaml

# Two people's models: the name, and the lines of its block below `models:`.
SOFT = ("ridge_soft", {"family": "ridge", "alphas": [0.1, 1.0]})
NARROW = ("svr_narrow", {"family": "svr", "cs": [0.1], "epsilon": 0.01})


def outputs(clone: Path) -> list[Path]:
    """What a clone needs to work on and to predict, and git does not hold."""
    found = [Path("data/features/demo_images"), Path("data/features/demo_videos"), Path("data/plan")]
    found += [Path("models/demo_resnet18"), Path("models/none/config.json"), Path("data/frames/demo_videos")]
    for track, models in ON_BOARD.items():
        found += [layout.RAW / track / "index.csv", layout.split_table(track), layout.FIGURES / track]
        found += [layout.MODELS / name / "model.safetensors" for name in models]
        folders = [layout.predictions(track, name, ensemble=name == ENSEMBLE) for name in models]
        found += [folder / "predictions.csv" for folder in folders]
    return [clone / path for path in found]


def cloned(source: Path, to: Path) -> Path:
    run(source, "git", "clone", "-q", str(source), str(to))
    assert not any(path.exists() for path in outputs(to))
    return to


# --- SSH ---


def make_keys(to: Path) -> Path:
    """A folder with a key pair of the server (host) and one of the user (user)."""
    to.mkdir()
    for name in ("host", "user"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(to / name))
        key.write_public_key(str(to / f"{name}.pub"))
        (to / name).chmod(0o600)
    return to


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"sshd does not answer: {log.read_text()}")


@contextlib.contextmanager
def openssh(keys: Path) -> Iterator[int]:
    """OpenSSH's own server in the foreground, as the user who runs the tests; yields its port."""
    if SSHD is None:
        pytest.skip("OpenSSH's sshd is not installed (apt-get install openssh-server)")
    port, config, log = free_port(), keys / "sshd_config", keys / "sshd.log"
    config.write_text(SSHD_CONFIG.format(port=port, keys=keys))
    tried = subprocess.run([SSHD, "-t", "-f", config], capture_output=True, text=True)
    if "privilege separation directory" in tried.stderr:
        pytest.skip(f"sshd cannot run as root here: {tried.stderr.strip()}")
    assert tried.returncode == 0, tried.stderr
    server = subprocess.Popen([SSHD, "-D", "-f", config, "-E", log], stdin=subprocess.DEVNULL)
    try:
        wait_for(port, server, log)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=10)


@contextlib.contextmanager
def python_ssh(keys: Path) -> Iterator[int]:
    """A server of the library asyncssh in a thread; yields its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncssh.SSHAcceptor:
        key, allowed = str(keys / "host"), str(keys / "user.pub")
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[key], authorized_client_keys=allowed, sftp_factory=True
        )

    async def stop(server: asyncssh.SSHAcceptor) -> None:
        server.close()
        await server.wait_closed()

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=10)
    try:
        yield server.get_port()
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


@pytest.mark.parametrize("serve", [openssh, python_ssh])
def test_outputs_travel_over_ssh(
    serve: Callable[[Path], contextlib.AbstractContextManager[int]], road: Path, tmp_path: Path
) -> None:
    keys, home, store = make_keys(tmp_path / "keys"), tmp_path / "home", tmp_path / "store"
    home.mkdir()
    with serve(keys) as port:
        url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{store}"
        one = copy(road, tmp_path / "one" / "clone")
        run(one, "dvc", "remote", "add", "--default", "lab", url)
        commit(one, "a remote")
        sent = ("models/ridge", "data/raw/images")  # the way is what is tested, not how much goes along it
        assert "Permission denied" in run(one, "dvc", "push", *sent, check=False, HOME=str(home))
        run(one, "dvc", "remote", "modify", "--local", "lab", "keyfile", str(keys / "user"))
        assert "files pushed" in run(one, "dvc", "push", *sent, HOME=str(home))
        assert (store / "files" / "md5").is_dir()
        other = cloned(one, tmp_path / "other" / "clone")
        run(other, "dvc", "remote", "modify", "--local", "lab", "keyfile", str(keys / "user"))
        run(other, "dvc", "pull", *sent, HOME=str(home))
    for name in ("models/ridge/model.safetensors", "data/raw/images/index.csv"):
        assert (other / name).read_bytes() == (one / name).read_bytes()
    assert not (home / ".ssh").exists()


# --- a folder ---


@pytest.fixture(scope="module")
def first(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that shares: a bare git repository and a DVC remote in a folder hold all it has."""
    where = tmp_path_factory.mktemp("sharing")
    clone = copy(road, where / "first" / "clone")
    run(clone, "dvc", "remote", "add", "--default", "shared", str(where / "remote"))
    commit(clone, "a remote")
    run(clone, "dvc", "push", "--run-cache")
    run(clone, "git", "clone", "-q", "--bare", str(clone), str(where / "origin.git"))
    run(clone, "git", "remote", "add", "origin", str(where / "origin.git"))
    return clone


@pytest.fixture(scope="module")
def origin(first: Path) -> Path:
    return first.parents[1] / "origin.git"


def test_a_clone_pulls_and_then_runs_nothing_and_predicts(origin: Path, tmp_path: Path) -> None:
    clone = cloned(origin, tmp_path / "clone")
    run(clone, "dvc", "pull")
    assert all(path.exists() for path in outputs(clone))
    assert ran(run(clone, "dvc", "repro")) == []
    picture = tmp_path / "scene.png"
    scenes.render(scenes.draw(1, stream=9, seed=0)[0], size=100)[0].save(picture)
    output = memorability(clone, "predict", str(picture), "--json", "--model", "resmem")
    (found,), _ = json.JSONDecoder().raw_decode(
        output[output.index("[\n") :]
    )  # behind notes, on standard error
    assert 0 <= found["score"] <= 1


def test_repro_pull_fetches_instead_of_running(origin: Path, tmp_path: Path) -> None:
    clone = cloned(origin, tmp_path / "clone")
    for _ in range(2):
        assert ran(run(clone, "dvc", "repro", "--pull")) == []
        assert all(path.exists() for path in outputs(clone))
        assert run(clone, "git", "status", "--short") == ""
        shutil.rmtree(clone / "models")  # and once more


# --- two people ---


def block(name: str, settings: dict[str, object]) -> str:
    common = {
        "track": "images",
        "target": "score",
        "input": "data/features/demo_images",
        "backbone": "none",
    }
    lines = [f"    {key}: {json.dumps(value)}\n" for key, value in (settings | common).items()]
    return f"  {name}:\n" + "".join(lines)


def add_model(clone: Path, model: tuple[str, dict[str, object]], *, after: str) -> None:
    """Writes a model's block into params.yaml as a person would, below the block of another."""
    params = clone / "params.yaml"
    text = params.read_text()
    above = re.search(rf"^  {after}:\n(?:    .*\n)+", text, flags=re.MULTILINE)
    assert above is not None
    params.write_text(text[: above.end()] + block(*model) + text[above.end() :])


def contribute(first: Path, where: Path, model: tuple[str, dict[str, object]]) -> Path:
    """One person's work in a complete clone: a branch, a model at the end of the list, results, both pushes."""
    clone, name = copy(first, where / "clone"), model[0]
    run(clone, "git", "switch", "-qc", name)
    add_model(clone, model, after=LAST)
    assert ran(run(clone, "dvc", "repro")) == ["plan", f"train@{name}", "evaluate@images"]
    commit(clone, name)
    run(clone, "dvc", "push", "--run-cache")
    run(clone, "git", "push", "-q", "origin", name)
    return clone


def without_markers(text: str) -> str:
    return re.sub(r"^(<{7}|\|{7}|={7}|>{7}).*\n", "", text, flags=re.MULTILINE)


def test_models_of_two_people_merge_without_training_again(first: Path, origin: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as people:
        work = [people.submit(contribute, first, tmp_path / m[0], m) for m in (SOFT, NARROW)]
        soft, narrow = (w.result() for w in work)

    merger = cloned(origin, tmp_path / "merger" / "clone")
    run(merger, "git", "merge", "-q", "origin/ridge_soft")
    run(merger, "git", "merge", "origin/svr_narrow", check=False)
    conflicts = set(run(merger, "git", "diff", "--name-only", "--diff-filter=U").split())
    assert conflicts >= {"dvc.lock", "metrics/images.json", "params.yaml"}
    for name in conflicts - {"params.yaml"}:  # whole, and this side's
        assert (merger / name).read_bytes() == (soft / name).read_bytes()
    run(merger, "git", "checkout", "--conflict=diff3", "params.yaml")
    params = merger / "params.yaml"
    params.write_text(without_markers(params.read_text()))
    both = [*MODELS["images"], *MODELS["videos"], *MODELS["maps"], "ridge_soft", "svr_narrow"]
    assert list(yaml.safe_load(params.read_text())["models"]) == both

    # The plan and the track's evaluation are of both models, as nobody's were before.
    output = run(merger, "dvc", "repro", "--pull")
    assert ran(output) == ["plan", "evaluate@images"]
    assert "Stage 'train@svr_narrow' is cached" in output
    commit(merger, "both models")
    assert run(merger, "git", "status", "--short") == ""
    board = (merger / "metrics/images/score.leaderboard.csv").read_text().splitlines()[1:]
    assert {line.split(",")[0] for line in board} == {*MODELS["images"], "ridge_soft", "svr_narrow"}
    for name, theirs in (("ridge_soft", soft), ("svr_narrow", narrow)):
        for path in (f"models/{name}/model.safetensors", f"metrics/images/{name}.json"):
            assert (merger / path).read_bytes() == (theirs / path).read_bytes()
    assert ran(run(merger, "dvc", "repro")) == []


def test_blocks_in_different_places_need_no_hand(road: Path, tmp_path: Path) -> None:
    clone = cloned(road, tmp_path / "clone")
    base = run(clone, "git", "rev-parse", "HEAD").strip()
    for model, after in ((SOFT, "ridge"), (NARROW, LAST)):
        run(clone, "git", "switch", "-qc", model[0], base)
        add_model(clone, model, after=after)
        commit(clone, model[0])
    run(clone, "git", "merge", "-q", "ridge_soft")
    models = yaml.safe_load((clone / "params.yaml").read_text())["models"]
    others = (*MODELS["videos"], *MODELS["maps"])
    assert list(models) == [*("mean", "ridge", "ridge_soft", "resmem"), *others, "svr_narrow"]
