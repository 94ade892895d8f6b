"""The one loop: what it learns, when it stops, and that an interruption leaves no trace."""

from __future__ import annotations

import math
import re
import signal
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from memorability.core import runtime
from memorability.core.errors import TrainingError
from memorability.evaluation.metrics import measure
from memorability.training import checkpoint
from memorability.training import loop as training
from memorability.training.loading import Examples
from memorability.training.optim import descend, optimiser
from memorability.training.settings import Gradient

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = X @ np.array([0.4, -0.3, 0.2, 0.1], np.float32) + 0.5


class Stop(Exception):
    """What interrupts a run here."""


@pytest.fixture(autouse=True)
def torch_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def settings(**changes):
    return Gradient(**{"lr": 0.02, "epochs": 4, "batch_size": 8, "patience": 99} | changes)


def step(settings, net, batch, optimisers, backward):
    loss = F.mse_loss(net(batch["x"]).squeeze(1), batch["y"])
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach()}


def task(**changes):
    """A family of one linear layer."""
    functions = {
        "SELECTION": "spearman",
        "measure": measure,
        "optimisers": lambda s, net: {"net": optimiser(net.parameters(), **s.optimiser_options())},
        "step": step,
        "predict": lambda s, net, batch: net(batch["x"]).squeeze(1),
    }
    return SimpleNamespace(**functions | changes)


def linear(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(4, 1))


def examples(rows, x=X, y=Y):
    rows = np.asarray(rows, int)
    return Examples(x, y[rows], rows)


TRAIN, VAL, EVERYTHING = range(40), range(40, 50), range(60)
ORDER = np.random.default_rng(1).permutation(60)


def train(
    tmp_path,
    *,
    by=None,
    net=None,
    log=None,
    seed=0,
    precision="32-true",
    parts=None,
    compiled=False,
    **changes,
):
    """Trains on the linear function; returns the weights, the predictions and the logged lines."""
    lines = []
    fabric = runtime.fabric(precision=precision, threads=1)

    def keep(line):
        lines.append(line)
        if log is not None:
            log(line)

    train, val, everything = parts or (examples(rows) for rows in (TRAIN, VAL, EVERYTHING))
    own = settings(**changes)
    with training.unfinished(tmp_path / "run", own.model_dump_json(), fabric=fabric) as state:
        net, (outcome,) = training.fit(
            by or task(),
            own,
            linear() if net is None else net,
            train=train,
            val=val,
            judged=[everything],
            fabric=fabric,
            seed=seed,
            state=state,
            log=keep,
            compiled=compiled,
        )
    assert outcome.by_frame is None
    return {name: value.cpu().numpy() for name, value in net.state_dict().items()}, outcome.prediction, lines


def same(one, other):
    """Weights, predictions and lines, all to the bit."""
    weights = all(np.array_equal(one[0][name], other[0][name]) for name in one[0])
    return weights and np.array_equal(one[1], other[1]) and one[2] == other[2]


# A validation measure with no ceiling, so that the best epoch is a late one.
GAIN = {
    "SELECTION": "gain",
    "measure": lambda truth, prediction: {"gain": -measure(truth, prediction)["mse"]},
}


# What it learns.


def test_a_linear_function_is_learnt(tmp_path):
    weights, prediction, lines = train(tmp_path, by=task(**GAIN), epochs=30)
    assert np.allclose(prediction, Y, atol=0.02)
    assert np.allclose(weights["1.bias"], 0.5, atol=0.02)
    assert lines[-1]["train_loss"] < lines[0]["train_loss"] / 100
    assert lines[-1]["val_gain"] > -1e-4


def test_lines_hold_all_numbers_of_an_epoch(tmp_path):
    lines = train(tmp_path)[2]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    names = {"epoch", "lr", "train_loss", "val_l1", "val_mse", "val_spearman", "val_pearson"}
    assert all(set(line) == names for line in lines)


def test_predictions_are_of_the_returned_weights_in_the_asked_order(tmp_path):
    parts = (examples(TRAIN), examples(VAL), examples(ORDER))
    weights, prediction, _ = train(tmp_path, parts=parts)
    assert prediction.dtype == np.float32
    assert np.allclose(prediction, X[ORDER] @ weights["1.weight"][0] + weights["1.bias"], atol=1e-5)


def test_the_seed_decides(tmp_path):
    one, again, other = (train(tmp_path, seed=seed, net=linear(0.5)) for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)


def test_scores_of_other_rows_do_not_matter(tmp_path):
    one = train(tmp_path)
    y = np.where(np.arange(60) < 50, Y, 7).astype(np.float32)
    other = train(tmp_path, parts=[examples(rows, y=y) for rows in (TRAIN, VAL, EVERYTHING)])
    assert same(one, other)


def test_several_loading_processes_change_nothing(tmp_path):
    assert same(train(tmp_path, epochs=2), train(tmp_path, epochs=2, workers=1))


def test_mixed_precision(tmp_path):
    weights, prediction, _ = train(tmp_path, by=task(**GAIN), precision="bf16-mixed", epochs=30)
    assert weights["1.weight"].dtype == prediction.dtype == np.float32
    assert np.allclose(prediction, Y, atol=0.1)


def test_evaluation_is_without_dropout(tmp_path):
    modes = []

    def predict(settings, net, batch):
        modes.append(("predict", net.training, torch.is_grad_enabled()))
        return net(batch["x"]).squeeze(1)

    def watched(settings, net, batch, *rest):
        modes.append(("step", net.training, torch.is_grad_enabled()))
        return step(settings, net, batch, *rest)

    train(tmp_path, by=task(predict=predict, step=watched), epochs=2)
    assert set(modes) == {("step", True, True), ("predict", False, False)}


# Batches.


def seen(tmp_path, parts, **changes):
    """The batches that reach `step`, by epoch."""
    batches = [[]]

    def watched(settings, net, batch, *rest):
        batches[-1].append(batch)
        return step(settings, net, batch, *rest)

    train(tmp_path, by=task(step=watched), parts=parts, log=lambda line: batches.append([]), **changes)
    return batches[:-1]


def test_every_epoch_has_an_order_of_its_own(tmp_path):
    epochs = seen(tmp_path, (examples(range(16)), examples(VAL), examples([0])), epochs=3)
    orders = [torch.cat([batch["y"] for batch in batches]).tolist() for batches in epochs]
    assert all(sorted(order) == sorted(Y[:16].tolist()) for order in orders)
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize(("count", "sizes"), [(17, [8, 8]), (24, [8, 8, 8]), (8, [8]), (3, [3])])
def test_a_small_last_batch_is_left_out_of_training(tmp_path, count, sizes):
    parts = (examples(range(count)), examples(VAL), examples([0]))
    epochs = seen(tmp_path, parts, epochs=2)
    assert [[len(batch["y"]) for batch in batches] for batches in epochs] == [sizes, sizes]


def test_x_and_y_belong_together(tmp_path):
    rows = ORDER[ORDER < 40][:16]
    for batches in seen(tmp_path, (examples(rows), examples(VAL), examples([0])), epochs=1):
        for batch in batches:
            place = (batch["x"].cpu().numpy()[:, None] == X).all(2).argmax(1)
            assert np.array_equal(Y[place], batch["y"].cpu().numpy())


def test_pixels_become_numbers_up_to_one(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 3, 5, 5), dtype=np.uint8)
    pixels[:, 0, 0, 0] = 255
    inputs = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 1, 5)

        def forward(self, x):
            inputs.append(x)
            return self.conv(x).flatten(1)

    parts = [examples(rows, x=pixels) for rows in (TRAIN, VAL, EVERYTHING)]
    train(tmp_path, net=Net(), parts=parts, epochs=1)
    last = torch.cat(inputs[-8:])  # 60 rows in batches of 8
    assert np.allclose(last.cpu(), pixels / 255)
    assert inputs[0].is_contiguous(memory_format=torch.channels_last)


# What a frozen part makes of the pictures.


def test_the_constant_comes_with_the_row_it_is_of(tmp_path):
    calls = []

    def constant(net, batch):
        assert not net.training
        x = batch["x"]
        calls.append(len(x))
        return torch.stack([x[:, 0] * 2, x.sum(1)], dim=1)

    def check(batch):
        assert torch.equal(batch["constant"][:, 0], batch["x"][:, 0] * 2)
        return batch

    made = task(
        constant=constant,
        step=lambda settings, net, batch, *rest: step(settings, net, check(batch), *rest),
        predict=lambda settings, net, batch: check(batch)["constant"][:, 1],
    )
    parts = (examples(ORDER[ORDER < 40]), examples([49, 41, 45]), examples(ORDER))
    _, prediction, _ = train(tmp_path, by=made, parts=parts, epochs=5)
    assert np.allclose(prediction, X[ORDER].sum(1), atol=1e-6)
    assert sum(calls) == 60  # once for each picture of the run


def test_constants_that_were_computed_before_a_stop_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CONSTANT_ROWS", 8)
    seen, batches = [], count(1)

    def constant(net, batch, stop_at=None):
        if next(batches) == stop_at:
            raise Stop
        seen.extend(map(tuple, batch["x"].tolist()))
        return batch["x"] * 2

    def made(**stop):
        return task(
            constant=lambda net, batch: constant(net, batch, **stop),
            predict=lambda settings, net, batch: net(batch["constant"]).squeeze(1),
        )

    expected = train(tmp_path, by=made())
    assert len(seen) == len(set(seen)) == 60
    for stop_at in (3, 6, 8):  # of train: 5 parts of 8 rows; of val: one of 8 and one of 2; of the rest: 2
        seen.clear()
        batches = count(1)
        with pytest.raises(Stop):
            train(tmp_path, by=made(stop_at=stop_at))
        assert same(train(tmp_path, by=made()), expected)
        assert len(seen) == len(set(seen)) == 60


# Interruptions. (Those by a kill are in test_interruption.py.)


def stopping(at, function=step):
    """The function, which fails when it is called for the last of so many times."""
    calls = count(1)

    def called(*args):
        if next(calls) == at:
            raise Stop
        return function(*args)

    return called


@pytest.fixture
def saving(monkeypatch):
    """The state is saved after every step."""
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SAVE_SHARE", 1e9)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole"), net=linear(0.5), schedule="cosine")


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("at", [1, 2, 4, 6, 13, 20])
def test_a_run_stopped_within_an_epoch_repeats_no_step(tmp_path, whole, at):
    with pytest.raises(Stop):
        train(tmp_path, by=task(step=stopping(at)), net=linear(0.5), schedule="cosine")
    resumed = []
    again = task(step=lambda *args: resumed.append(1) or step(*args))
    assert same(train(tmp_path, by=again, net=linear(0.5), schedule="cosine"), whole)
    assert len(resumed) == 4 * 5 - (at - 1)


@pytest.mark.usefixtures("saving")
def test_a_run_stopped_again_and_again(tmp_path, whole):
    for _ in range(9):
        with pytest.raises(Stop):
            train(tmp_path, by=task(step=stopping(3)), net=linear(0.5), schedule="cosine")
    resumed = []
    again = task(step=lambda *args: resumed.append(1) or step(*args))
    assert same(train(tmp_path, by=again, net=linear(0.5), schedule="cosine"), whole)
    assert len(resumed) == 4 * 5 - 9 * 2


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("at", [1, 3, 7, 9, 16])  # two batches of validation in each of four epochs
def test_a_run_stopped_while_it_predicts_repeats_no_step(tmp_path, whole, at):
    steps = []
    counted = task(
        step=lambda *args: steps.append(1) or step(*args),
        predict=stopping(at, lambda settings, net, batch: net(batch["x"]).squeeze(1)),
    )
    with pytest.raises(Stop):
        train(tmp_path, by=counted, net=linear(0.5), schedule="cosine")
    again = task(step=counted.step)
    assert same(train(tmp_path, by=again, net=linear(0.5), schedule="cosine"), whole)
    assert len(steps) == 4 * 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at", [1, 8, 20])
def test_asked_to_stop_it_saves_after_the_step_in_hand(tmp_path, whole, capsys, number, at):
    steps = count(1)

    def signalled(*args):
        if next(steps) == at:
            signal.raise_signal(number)
        return step(*args)

    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path, by=task(step=signalled), net=linear(0.5), schedule="cosine")
    assert stopped.value.code == 128 + number
    assert signal.getsignal(number) == before
    where = f"epoch {(at - 1) // 5}, step {(at - 1) % 5 + 1}"
    assert f"stopped; run again to go on at {where}\n" in capsys.readouterr().out
    resumed = []
    again = task(step=lambda *args: resumed.append(1) or step(*args))
    assert same(train(tmp_path, by=again, net=linear(0.5), schedule="cosine"), whole)
    assert len(resumed) == 4 * 5 - at
    assert f"going on at {where}\n" in capsys.readouterr().out


def test_asked_twice_it_stops_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime.Stopping, "ECHO", -1.0)

    def signalled(*args):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, by=task(step=signalled))


@pytest.mark.usefixtures("saving")
def test_patience_is_remembered(tmp_path):
    values = iter([0.5, 0.9, 0.1, 0.2, 0.3, 0.4])
    made = scripted(values)
    with pytest.raises(Stop):
        train(tmp_path, by=made, log=stop_after(2), epochs=9, patience=2)
    assert [line["val_score"] for line in train(tmp_path, by=made, epochs=9, patience=2)[2]] == [
        *(0.5, 0.9, 0.1, 0.2)
    ]


@pytest.mark.usefixtures("saving")
def test_the_state_is_gone_at_the_end_and_no_other(tmp_path):
    other = tmp_path / "other" / "last.pt"
    other.parent.mkdir()
    other.write_text("of another run")
    with pytest.raises(Stop):
        train(tmp_path, log=stop_after(1))
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"key.txt", "last.pt"}
    train(tmp_path)
    assert not (tmp_path / "run").exists()
    assert other.read_text() == "of another run"


@pytest.mark.usefixtures("saving")
def test_numbers_of_numpy_do_not_spoil_the_state(tmp_path):
    """A family may measure with NumPy; a state is read without running any code that is in it."""
    made = task(measure=lambda truth, prediction: {"spearman": np.float64(0.5)})
    with pytest.raises(Stop):
        train(tmp_path, by=made, log=stop_after(1))
    assert len(train(tmp_path, by=made)[2]) == 4


@pytest.mark.usefixtures("saving")
def test_mixed_precision_goes_on(tmp_path):
    changes = {"precision": "bf16-mixed", "schedule": "cosine"}
    expected = train(tmp_path, net=linear(0.5), **changes)
    with pytest.raises(Stop):
        train(tmp_path, by=task(step=stopping(9)), net=linear(0.5), **changes)
    assert same(train(tmp_path, net=linear(0.5), **changes), expected)


# Selection.


def stop_after(epoch):
    def log(line):
        if line["epoch"] == epoch:
            raise Stop

    return log


def scripted(values):
    """A task whose validation measure is the next of `values`, whatever was predicted."""
    return task(SELECTION="score", measure=lambda truth, prediction: {"score": next(values)})


def selected(tmp_path, values, **changes):
    """The epochs that ran, and which of them the returned weights are of."""
    net, snapshots = linear(), []

    def log(line):
        snapshots.append(net[1].weight.detach().cpu().numpy().copy())

    weights, _, lines = train(tmp_path, by=scripted(iter(values)), net=net, log=log, **changes)
    best = [i for i, snapshot in enumerate(snapshots) if np.array_equal(snapshot, weights["1.weight"])]
    return len(lines), best


@pytest.mark.parametrize(
    ("values", "patience", "ran", "best"),
    [
        ([0.1, 0.9, 0.5, 0.4, 0.8, 0.95], 2, 4, 1),
        ([0.1, 0.9, 0.5, 0.4, 0.8, 0.95], 3, 5, 1),
        ([0.1, 0.9, 0.5, 0.4, 0.8, 0.95], 4, 6, 5),
        ([0.9, 0.1], 1, 2, 0),
        ([0.5, 0.5, 0.5], 2, 3, 0),  # a tie is no better
        ([-0.9, -0.5, -0.7], 5, 3, 1),
        ([None, None, None, 0.9], 2, 3, 0),
        ([None, -0.9, None], 5, 3, 1),
        ([0.3, None, 0.4], 5, 3, 2),
    ],
)
def test_the_best_epoch_is_returned_and_patience_ends_it(tmp_path, values, patience, ran, best):
    epochs = len(values)
    assert selected(tmp_path, values, epochs=epochs, patience=patience) == (ran, [best])


def test_constant_predictions_have_no_correlation_but_train(tmp_path):
    constant = task(predict=lambda settings, net, batch: torch.full_like(batch["x"][:, 0], 0.5))
    _, prediction, lines = train(tmp_path, by=constant, patience=2)
    assert [line["val_spearman"] for line in lines] == [None, None, None]
    assert set(prediction) == {0.5}


# Rates.


def rates(tmp_path, by=None, **changes):
    """The learning rates that steps are made with, one of each epoch."""
    made = by or task()
    used = []

    def watched(settings, net, batch, optimisers, backward):
        used.append(tuple(o.param_groups[0]["lr"] for o in optimisers.values()))
        return made.step(settings, net, batch, optimisers, backward)

    by = SimpleNamespace(**vars(made) | {"step": watched})
    lines = train(tmp_path, by=by, **changes)[2]
    assert len(set(used[::5])) == len(set(used))
    return used[::5], [line["lr"] for line in lines]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [0.02, 0.02, 0.02, 0.02]),
        ({"schedule": "cosine"}, [0.02, 0.02 * 0.853553, 0.01, 0.02 * 0.146447]),
        ({"schedule": "step", "step_epochs": 2}, [0.02, 0.02, 0.002, 0.002]),
        ({"warmup": 3}, [0.005, 0.01, 0.015, 0.02]),
    ],
)
def test_schedules_change_the_rate(tmp_path, changes, expected):
    used, logged = rates(tmp_path, **changes)
    assert [rate for (rate,) in used] == pytest.approx(expected, rel=1e-5)
    assert logged == pytest.approx(expected, rel=1e-5)


def two_optimisers(**changes):
    """Weight and bias each learn by their own optimiser, the bias at half the rate."""

    def optimisers(settings, net):
        return {
            "weight": torch.optim.Adam([net[1].weight], lr=settings.lr),
            "bias": torch.optim.SGD([net[1].bias], lr=settings.lr / 2, momentum=0.9),
        }

    def step(settings, net, batch, optimisers, backward):
        losses = {}
        for name, by in optimisers.items():
            loss = F.mse_loss(net(batch["x"]).squeeze(1), batch["y"])
            descend(loss, by, backward)
            losses[name] = loss.detach()
        return losses

    return task(optimisers=optimisers, step=step, **changes)


def test_two_optimisers_learn(tmp_path):
    _, prediction, lines = train(tmp_path, by=two_optimisers(**GAIN), epochs=30)
    assert np.allclose(prediction, Y, atol=0.03)
    assert {"train_weight", "train_bias"} <= set(lines[0])


def test_two_optimisers_keep_their_own_rates(tmp_path):
    used, _ = rates(tmp_path, by=two_optimisers(), schedule="step", step_epochs=2)
    assert np.allclose(used, [(0.02, 0.01), (0.02, 0.01), (0.002, 0.001), (0.002, 0.001)])


# What cannot be trained.


@pytest.mark.parametrize(("train_rows", "val_rows"), [(range(5), []), ([], range(5)), ([], [])])
def test_nothing_to_train_or_validate_on(tmp_path, train_rows, val_rows):
    counts = f"received {len(train_rows)} and {len(val_rows)}"
    with pytest.raises(TrainingError, match=counts):
        train(tmp_path, parts=(examples(train_rows), examples(val_rows), examples([0])))


def faulty(at, factor):
    """Steps whose loss is multiplied from one step on."""
    steps = count(1)

    def broken(*args):
        factors = factor if next(steps) >= at else 1.0
        return {name: loss * factors for name, loss in step(*args).items()}

    return broken


def faulty_from_state(at, tmp_path):
    """As `faulty`, counted over all runs of a training."""
    path = tmp_path / "run" / "last.pt"
    if not path.is_file():
        return faulty(at + 1, math.nan)
    progress = torch.load(path, weights_only=True)["progress"]
    return faulty(at + 1 - 5 * progress["epoch"] - progress["step"], math.nan)


NAMES = [f"picture-{i}.jpg" for i in range(60)]


def named_parts():
    return tuple(Examples(X, Y[rows], rows, NAMES) for rows in map(np.array, (TRAIN, VAL, EVERYTHING)))


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (math.nan, "is not finite"),
        (math.inf, "is not finite"),
        (1e12, "has diverged"),
        (-1e12, "has diverged"),
    ],
)
@pytest.mark.parametrize(("at", "where"), [(2, "epoch 0, step 1"), (14, "epoch 2, step 3")])
def test_a_loss_that_leads_nowhere_is_named(tmp_path, factor, text, at, where):
    changes = {"parts": named_parts(), "schedule": "step", "step_epochs": 2}
    with pytest.raises(TrainingError) as error:
        train(tmp_path, by=task(step=faulty(at, factor)), **changes)
    rate = 0.02 if at == 2 else 0.002
    assert str(error.value).startswith(f"{where} (picture-")
    assert f"the loss {text}" in str(error.value)
    assert f"at learning rate {{'net': {rate}}}; try a lower lr than 0.02" in str(error.value)
    with pytest.raises(TrainingError, match=re.escape(where)):  # again, since nothing was mended
        train(tmp_path, by=task(step=faulty(at, factor)), parts=named_parts(), schedule="step", step_epochs=2)


def test_the_pictures_of_the_step_are_named(tmp_path):
    batches = []

    def watched(settings, net, batch, *rest):
        batches.append(batch["x"].cpu().numpy())
        losses = step(settings, net, batch, *rest)
        return losses if len(batches) < 3 else {"loss": losses["loss"] * math.nan}

    with pytest.raises(TrainingError) as error:
        train(tmp_path, by=task(step=watched), parts=named_parts(), epochs=1)
    rows = (batches[2][:4, None] == X).all(2).argmax(1)
    assert f"({', '.join(NAMES[row] for row in rows)}, ...)" in str(error.value)


def test_inputs_without_names_have_numbers():
    assert Examples(X, Y[5:9], np.arange(5, 9)).name(2) == "input 7"


@pytest.mark.usefixtures("saving")
def test_a_state_never_holds_a_loss_that_leads_nowhere(tmp_path):
    for _ in range(2):
        with pytest.raises(TrainingError, match="epoch 1, step 2 "):
            train(tmp_path, by=task(step=faulty_from_state(7, tmp_path)))
        state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
        assert (state["progress"]["epoch"], state["progress"]["step"]) == (1, 2)
        assert math.isfinite(state["progress"]["totals"]["loss"])
        assert all(value.isfinite().all() for value in state["parts"]["net"].values())
    steps = []
    train(tmp_path, by=task(step=lambda *args: steps.append(1) or step(*args)), lr=0.01)
    assert len(steps) == 4 * 5  # another lr starts afresh


def test_an_update_that_leads_nowhere_at_the_end_of_an_epoch(tmp_path):
    parts = (examples(range(8)), examples(VAL), examples(EVERYTHING))  # an epoch of one step
    with pytest.raises(
        TrainingError, match=r"epoch 0: predictions .* not finite; try a lower lr than 3e\+38"
    ):
        train(tmp_path, parts=parts, optimiser="sgd", lr=3e38)


def used_up_by_torch():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def used_up_on_a_cpu():
    torch.empty(2**55)


def used_up_by_numpy():
    np.empty(2**55)


@pytest.mark.parametrize("use", [used_up_by_torch, used_up_on_a_cpu, used_up_by_numpy])
def test_memory_that_is_used_up(tmp_path, use):
    with pytest.raises(TrainingError, match=r"out of memory: lower one of batch_size \(8\), or on a GPU set"):
        train(tmp_path, by=task(step=lambda *args: use()))


def test_the_params_that_cost_memory_are_named():
    settings = SimpleNamespace(batch_size=8, crop=67, hidden=16, lr=0.1)
    with (
        pytest.raises(TrainingError, match=r"lower one of batch_size \(8\), crop \(67\), hidden \(16\), or"),
        training.memory_explained(settings),
    ):
        raise MemoryError


def test_other_errors_stay_what_they_are(tmp_path):
    def wrong(*args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(tmp_path, by=task(step=wrong))


# Compiled.


def test_a_compiled_network_gives_the_same(tmp_path, whole, monkeypatch):
    calls, compile = [], torch.compile

    def eager(*args, **keywords):
        calls.append(1)
        return compile(*args, **keywords | {"backend": "eager"})

    monkeypatch.setattr(torch, "compile", eager)
    found = train(tmp_path, net=linear(0.5), schedule="cosine", compiled=True)
    assert calls
    assert found[0].keys() == whole[0].keys()
    assert same(found, whole)
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SAVE_SHARE", 1e9)
    with pytest.raises(Stop):
        train(tmp_path, by=task(step=stopping(9)), net=linear(0.5), schedule="cosine", compiled=True)
    assert same(train(tmp_path, net=linear(0.5), schedule="cosine"), whole)  # its state fits both
