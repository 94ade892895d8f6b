"""What test_distributed.py runs in two processes at once, which have the environment that torchrun gives.

Results go to FOLDER/found-RANK.pickle (to be compared), files of the first process alone to where one process
would write them.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import time
from contextlib import chdir, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import worlds
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner
from worlds import CUT, World, made

from memorability import cli, params
from memorability.core import distributed, runtime
from memorability.core.errors import TrainingError
from memorability.core.layout import ModelPaths
from memorability.evaluation.scores import measure
from memorability.features.settings import Features
from memorability.predict.predictor import Predictor
from memorability.training import contract, loop
from memorability.training.loading import Examples
from memorability.training.optim import descend
from memorability.training.settings import Gradient

ROOT = Path(__file__).parents[1]
X = np.random.default_rng(0).normal(size=(45, 3, 6, 6)).astype(np.float32)
Y = X.mean((1, 2, 3)) * 5
TRAIN, VAL, EVERYTHING = np.arange(26), np.arange(26, 37), np.arange(45)[::-1]


class Net(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout))
        self.head = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(x)).squeeze(1)


class Parts:
    """Of a family with one optimiser for all, or (`apart`) one for each of two sub-networks, each with its own update."""

    def __init__(self, *, apart: bool = False, pause: float = 0.0, killed_at: int | None = None) -> None:
        self.apart, self.pause, self.killed_at = apart, pause, killed_at
        self.predicted, self.seeds = 0, list[int]()

    def family(self) -> contract.Gradient:
        return contract.Gradient(
            name="two",
            Params=Gradient,
            READS="pictures",
            build=Net,
            optimisers=self.optimisers,
            step=self.step,
            predict=self.predict,
        )

    def optimisers(self, settings: Any, net: nn.Module) -> dict[str, torch.optim.Optimizer]:
        if not self.apart:
            return {"net": torch.optim.SGD(net.parameters(), lr=settings.lr, momentum=0.9)}
        return {
            "trunk": torch.optim.Adam(net.trunk.parameters(), lr=settings.lr / 10),
            "head": torch.optim.SGD(net.head.parameters(), lr=settings.lr, momentum=0.9),
        }

    def step(self, settings, net, batch, optimisers, backward):
        time.sleep(self.pause)
        self.seeds.append(torch.initial_seed())
        if len(self.seeds) == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        losses = {}
        for name, by in optimisers.items():
            loss = F.mse_loss(net(batch["x"]), batch["y"])
            descend(loss, by, backward)
            losses[name] = loss.detach()
        return losses

    def predict(self, settings, net, batch):
        self.predicted += len(batch["x"])
        return net(batch["x"])


def train(
    folder: Path,
    *,
    apart: bool = False,
    dropout: float = 0.0,
    pause: float = 0.0,
    killed_at: int | None = None,
    **changes: Any,
) -> Any:
    """Trains and returns all that came of it in this process."""
    fabric = distributed.fabric(precision="32-true", threads=1)
    own = Gradient(**{"lr": 0.05, "epochs": 4, "batch_size": 4, "schedule": "cosine"} | changes)
    parts, lines = Parts(apart=apart, pause=pause, killed_at=killed_at), []
    torch.manual_seed(0)
    with loop.shared_state(folder, own.model_dump_json(), fabric=fabric) as state:
        net, (outcome,) = loop.fit(
            parts.family(),
            own,
            Net(dropout),
            train=Examples(X, Y[TRAIN], TRAIN),
            val=Examples(X, Y[VAL], VAL),
            predicted=[Examples(X, Y[EVERYTHING], EVERYTHING)],
            criterion=loop.Criterion(measure, "spearman", higher_is_better=True),
            fabric=fabric,
            seed=0,
            state=state,
            log=lines.append,
        )
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    found = {"weights": weights, "prediction": outcome.prediction, "lines": lines}
    return SimpleNamespace(**found, predicted=parts.predicted, seeds=parts.seeds)


def features(world: World) -> str:
    """The stage; returns what it printed in this process."""
    from pipeline import features as stage

    os.environ["MEMORABILITY_CACHE"] = str(world.root / "cache-together")
    block = Features(input="data/raw/images", backbone="small", **CUT)
    committed = params.load(ROOT / "params.yaml").model_copy(
        update={"threads": 1, "features": {"together": block}}
    )
    with chdir(world.root), redirect_stdout(io.StringIO()) as printed:
        stage.main(committed, "together")
    return printed.getvalue()


def fit(world: World, family: str) -> ModelPaths:
    """Fits a model; what another process than the first writes would go to a place of its own."""
    where = world.paths(family, f"{family}-together")
    if runtime.rank() > 0:
        own = world.root / str(runtime.rank())
        where = replace(where, model=own / "model", predictions=own / "predictions")
    worlds.train(made(family), world.rows, where, worlds.COMPUTE)
    return where


def refused(folder: Path) -> str:
    """What is said of a batch that two processes cannot share."""
    try:
        train(folder, batch_size=5)
    except TrainingError as error:
        return str(error)
    return "nothing"


def scores(world: World) -> tuple[list[Any], list[Any]]:
    """Of this process alone and of all together, failures and a lonely picture among them."""
    files = sorted((world.root / "pictures").iterdir())
    predictor = Predictor(world.root / "models" / "memnet-alone", device="cpu")
    paths = [*files, world.root / "no.png"]
    together = list(predictor.batch_together(paths))
    return list(predictor.batch(paths)), together + list(predictor.batch_together(files[:1]))


def command(world: World) -> str:
    """What `memorability predict` prints in this process."""
    paths = [str(world.root / "pictures" / name) for name in ("00.png", "01.png", "02.png")]
    result = CliRunner().invoke(
        cli.app, ["predict", *paths, "--model", str(world.root / "models" / "memnet-alone"), "--json"]
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def main(folder: Path) -> None:
    world = pickle.loads((folder / "world.pickle").read_bytes())
    found = {
        "one": train(folder / "states" / "one"),
        "two": train(folder / "states" / "two", apart=True),
        "refused": refused(folder / "states" / "refused"),
        "features": (features(world), features(world)),
        "memnet": fit(world, "memnet"),
        "ridge": fit(world, "ridge"),
        "scores": scores(world),
        "command": command(world),
        "joined": [distributed.interleaved(list(distributed.share(range(n)))) for n in range(5)],
    }
    (folder / f"found-{runtime.rank()}.pickle").write_bytes(pickle.dumps(found))
