"""The one loop: what it learns, when it stops, and that an interruption leaves no trace."""

from __future__ import annotations

import math
import re
import signal
from collections import Counter
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from memorability.core import distributed, runtime
from memorability.core.errors import TrainingError
from memorability.evaluation.scores import measure
from memorability.training import checkpoint, contract, frozen, loop, run, settings
from memorability.training.loading import Examples, training_order
from memorability.training.optim import descend

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = X @ np.array([0.4, -0.3, 0.2, 0.1], np.float32) + 0.5


class Stop(Exception):
    """What interrupts a run here."""


def made(**changes):
    given = {"lr": 0.02, "epochs": 4, "batch_size": 8, "patience": 99, "schedule": "constant"}
    return settings.Gradient(**given | changes)


def step(settings, net, batch, optimisers, backward):
    loss = F.mse_loss(net(batch["x"]).squeeze(1), batch["y"])
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach()}


def family(**changes):
    """A family of one linear layer."""
    parts = {
        "name": "linear",
        "Params": settings.Gradient,
        "READS": "features",
        "build": None,  # the loop is handed the network
        "step": step,
        "predict": lambda settings, net, batch: net(batch["x"]).squeeze(1),
    }
    return contract.Gradient(**parts | changes)


SPEARMAN = loop.Criterion(measure, "spearman", higher_is_better=True)
# A validation measure with no ceiling, so that the best epoch is a late one.
MSE = loop.Criterion(measure, "mse", higher_is_better=False)


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
    criterion=SPEARMAN,
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
    fabric = distributed.fabric(precision=precision, threads=1)

    def keep(line):
        lines.append(line)
        if log is not None:
            log(line)

    train, val, everything = parts or (examples(rows) for rows in (TRAIN, VAL, EVERYTHING))
    own = made(**changes)
    with loop.shared_state(tmp_path / "run", own.model_dump_json(), fabric=fabric) as state:
        net, (outcome,) = loop.fit(
            by or family(),
            own,
            linear() if net is None else net,
            train=train,
            val=val,
            predicted=[everything],
            criterion=criterion,
            fabric=fabric,
            seed=seed,
            state=state,
            log=keep,
            compiled=compiled,
        )
    assert outcome.frame_values is None
    return {name: value.cpu().numpy() for name, value in net.state_dict().items()}, outcome.prediction, lines


def same(one, other):
    """Weights, predictions and lines, all to the bit."""
    weights = all(np.array_equal(one[0][name], other[0][name]) for name in one[0])
    return weights and np.array_equal(one[1], other[1]) and one[2] == other[2]


# What it learns.


def test_a_linear_function_is_learnt(tmp_path):
    weights, prediction, lines = train(tmp_path, criterion=MSE, epochs=30)
    assert np.allclose(prediction, Y, atol=0.02)
    assert np.allclose(weights["1.bias"], 0.5, atol=0.02)
    assert lines[-1]["train_loss"] < lines[0]["train_loss"] / 100
    assert lines[-1]["val_mse"] < 1e-4


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
    weights, prediction, _ = train(tmp_path, criterion=MSE, precision="bf16-mixed", epochs=30)
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

    train(tmp_path, by=family(predict=predict, step=watched), epochs=2)
    assert set(modes) == {("step", True, True), ("predict", False, False)}


# Batches.


def seen(tmp_path, parts, **changes):
    """The batches that reach `step`, by epoch."""
    batches = [[]]

    def watched(settings, net, batch, *rest):
        batches[-1].append(batch)
        return step(settings, net, batch, *rest)

    train(tmp_path, by=family(step=watched), parts=parts, log=lambda line: batches.append([]), **changes)
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


# Random numbers.


def seeds(tmp_path, monkeypatch, seed=0):
    """What every epoch's order and every step's random numbers are seeded by."""
    orders, steps = [], []

    def order(*args, seed, **options):
        orders.append(seed)
        return training_order(*args, seed=seed, **options)

    def watched(*args):
        steps.append(torch.initial_seed())
        return step(*args)

    monkeypatch.setattr(run, "training_order", order)
    train(tmp_path, by=family(step=watched), seed=seed, epochs=3)
    return orders, steps


def test_every_epoch_s_order_and_every_step_has_a_stream_of_its_own(tmp_path, monkeypatch):
    orders, steps = seeds(tmp_path, monkeypatch)
    assert (len(orders), len(steps)) == (3, 3 * 5)
    (name, times), *_ = Counter([*orders, *steps]).most_common()
    assert times == 1, name
    assert seeds(tmp_path, monkeypatch) == (orders, steps)
    other = seeds(tmp_path, monkeypatch, seed=1)
    assert not {*orders, *steps} & {*other[0], *other[1]}


def test_every_process_draws_numbers_of_its_own_in_the_order_of_all(tmp_path, monkeypatch):
    """With one dropout for all, of several processes every one would mask the same places."""
    orders, steps = seeds(tmp_path / "first", monkeypatch)
    monkeypatch.setattr(loop.runtime, "rank", lambda: 1)
    other = seeds(tmp_path / "second", monkeypatch)
    assert other[0] == orders
    assert not {*steps} & {*other[1]}


def test_every_step_draws_other_numbers(tmp_path):
    drawn = []

    def watched(settings, net, batch, *rest):
        drawn.append(float(torch.rand(1)))
        return step(settings, net, batch, *rest)

    train(tmp_path, by=family(step=watched))
    assert len(set(drawn)) == len(drawn) == 4 * 5


# What a frozen part makes of the pictures.


def test_frozen_features_come_with_the_row_they_are_of(tmp_path):
    calls = []

    def frozen_features(net, batch):
        assert not net.training
        x = batch["x"]
        calls.append(len(x))
        return torch.stack([x[:, 0] * 2, x.sum(1)], dim=1)

    def check(batch):
        assert torch.equal(batch["frozen"][:, 0], batch["x"][:, 0] * 2)
        return batch

    own = family(
        frozen_features=frozen_features,
        step=lambda settings, net, batch, *rest: step(settings, net, check(batch), *rest),
        predict=lambda settings, net, batch: check(batch)["frozen"][:, 1],
    )
    parts = (examples(ORDER[ORDER < 40]), examples([49, 41, 45]), examples(ORDER))
    _, prediction, _ = train(tmp_path, by=own, parts=parts, epochs=5)
    assert np.allclose(prediction, X[ORDER].sum(1), atol=1e-6)
    assert sum(calls) == 60  # once for each picture of the run


def test_settings_say_whether_the_part_is_frozen(tmp_path):
    def never(net, batch):
        raise AssertionError("computed")

    asked = []

    def step_without(settings, net, batch, *rest):
        assert "frozen" not in batch
        return step(settings, net, batch, *rest)

    own = family(
        frozen_features=never, is_frozen=lambda settings: bool(asked.append(settings)), step=step_without
    )
    train(tmp_path, by=own, epochs=1)
    assert asked
    assert all(isinstance(one, settings.Gradient) for one in asked)


class Counted:
    """Inputs that count how often each was loaded."""

    def __init__(self):
        self.loaded = Counter()

    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        self.loaded[index] += 1
        return X[index]


@pytest.mark.parametrize("only", [True, False])
def test_inputs_of_which_nothing_else_is_looked_at_are_loaded_once(tmp_path, only):
    x = Counted()
    own = family(
        frozen_features=lambda net, batch: batch["x"] * 1,
        ONLY_FROZEN=only,
        step=lambda settings, net, batch, *rest: step(settings, net, {**batch, "x": batch["frozen"]}, *rest),
        predict=lambda settings, net, batch: net(batch["frozen"]).squeeze(1),
    )
    parts = [examples(rows, x=x) for rows in (TRAIN, VAL, EVERYTHING)]
    assert same(train(tmp_path, by=own, parts=parts), train(tmp_path))
    assert x.loaded.keys() == set(range(60))
    assert (max(x.loaded.values()) == 1) == only


@pytest.fixture
def part_by_part(monkeypatch):
    """A family with frozen features that are kept in parts of 8; notes the rows they were computed of."""
    monkeypatch.setattr(frozen, "FROZEN_ROWS", 8)
    computed = []

    def own(stop_at=None):
        batches = count(1)

        def frozen_features(net, batch):
            if next(batches) == stop_at:
                raise Stop
            computed.extend(map(tuple, batch["x"].tolist()))
            return batch["x"] * 2

        return family(
            frozen_features=frozen_features,
            predict=lambda settings, net, batch: net(batch["frozen"]).squeeze(1),
        )

    return own, computed


def test_frozen_features_that_were_computed_before_a_stop_are_kept(tmp_path, part_by_part):
    own, computed = part_by_part
    expected = train(tmp_path, by=own())
    assert len(computed) == len(set(computed)) == 60
    for stop_at in (3, 6, 8):  # of train: 5 parts of 8 rows; of val: one of 8 and one of 2; of the rest: 2
        computed.clear()
        with pytest.raises(Stop):
            train(tmp_path, by=own(stop_at=stop_at))
        assert same(train(tmp_path, by=own()), expected)
        assert len(computed) == len(set(computed)) == 60


# What became of the state since it was left.

DAMAGES = {
    "empty": lambda content: b"",
    "halved": lambda content: content[: len(content) // 2],
    "cut by one byte": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "zeros at the end": lambda content: content[:-64] + bytes(64),
    "text": lambda content: b"not what it was",
    "one bit": lambda content: flipped(content, len(content) // 2),
    "one bit of the seal": lambda content: flipped(content, len(content) - 1),
    "one bit of the beginning": lambda content: flipped(content, 0),
}


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_said_and_begun_anew(tmp_path, whole, damage, capsys):
    with pytest.raises(Stop):
        train(tmp_path, by=family(step=stopping(9)), net=linear(0.5), schedule="cosine")
    path = tmp_path / "run" / "last.pt"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    capsys.readouterr()
    steps = []
    again = family(step=lambda *args: steps.append(1) or step(*args))
    assert same(train(tmp_path, by=again, net=linear(0.5), schedule="cosine"), whole)
    assert len(steps) == 4 * 5
    printed = capsys.readouterr().out
    assert printed.count("thrown away") == 1
    assert f"{path}: damaged since an interrupted run left it; thrown away and made again\n" in printed
    assert "going on" not in printed


@pytest.mark.usefixtures("saving")
def test_weights_of_a_state_that_were_changed_are_never_trained_on(tmp_path, whole):
    """400 bytes anywhere, such as a disk that fails would change."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        with pytest.raises(Stop):
            train(tmp_path, by=family(step=stopping(9)), net=linear(0.5), schedule="cosine")
        path = tmp_path / "run" / "last.pt"
        content = np.frombuffer(path.read_bytes(), np.uint8).copy()
        content[rng.integers(0, len(content), 400)] ^= 255
        path.write_bytes(content.tobytes())
        assert same(train(tmp_path, net=linear(0.5), schedule="cosine"), whole)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_frozen_features_are_said_and_computed_anew(tmp_path, part_by_part, damage, capsys):
    own, computed = part_by_part
    expected = train(tmp_path, by=own())
    with pytest.raises(Stop):
        train(tmp_path, by=own(stop_at=6))
    path = sorted((tmp_path / "run").glob("frozen-*.npy"))[2]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    computed.clear()
    capsys.readouterr()
    assert same(train(tmp_path, by=own()), expected)
    assert len(computed) == 60 - 4 * 8  # one of five parts again
    assert capsys.readouterr().out.count(f"{path}: damaged") == 1


def test_frozen_features_of_other_rows_are_not_used(tmp_path, part_by_part):
    own, _ = part_by_part
    expected = train(tmp_path, by=own())
    with pytest.raises(Stop):
        train(tmp_path, by=own(stop_at=6))
    one, other, *_ = sorted((tmp_path / "run").glob("frozen-*.npy"))
    one.write_bytes(other.read_bytes())
    assert same(train(tmp_path, by=own()), expected)


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
        train(tmp_path, by=family(step=stopping(at)), net=linear(0.5), schedule="cosine")
    resumed = []
    again = family(step=lambda *args: resumed.append(1) or step(*args))
    assert same(train(tmp_path, by=again, net=linear(0.5), schedule="cosine"), whole)
    assert len(resumed) == 4 * 5 - (at - 1)


@pytest.mark.usefixtures("saving")
def test_a_run_stopped_again_and_again(tmp_path, whole):
    for _ in range(9):
        with pytest.raises(Stop):
            train(tmp_path, by=family(step=stopping(3)), net=linear(0.5), schedule="cosine")
    resumed = []
    again = family(step=lambda *args: resumed.append(1) or step(*args))
    assert same(train(tmp_path, by=again, net=linear(0.5), schedule="cosine"), whole)
    assert len(resumed) == 4 * 5 - 9 * 2


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("at", [1, 3, 7, 9, 16])  # two batches of validation in each of four epochs
def test_a_run_stopped_while_it_predicts_repeats_no_step(tmp_path, whole, at):
    steps = []
    counted = family(
        step=lambda *args: steps.append(1) or step(*args),
        predict=stopping(at, lambda settings, net, batch: net(batch["x"]).squeeze(1)),
    )
    with pytest.raises(Stop):
        train(tmp_path, by=counted, net=linear(0.5), schedule="cosine")
    again = family(step=counted.step)
    assert same(train(tmp_path, by=again, net=linear(0.5), schedule="cosine"), whole)
    assert len(steps) == 4 * 5


def test_what_fails_after_the_last_epoch_costs_no_step(tmp_path, whole):
    """The state is saved there whether or not the minute is over."""
    failing = family(predict=stopping(9, lambda settings, net, batch: net(batch["x"]).squeeze(1)))
    with pytest.raises(Stop):
        train(tmp_path, by=failing, net=linear(0.5), schedule="cosine")
    steps = []
    again = family(step=lambda *args: steps.append(1) or step(*args))
    assert same(train(tmp_path, by=again, net=linear(0.5), schedule="cosine"), whole)
    assert not steps


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
        train(tmp_path, by=family(step=signalled), net=linear(0.5), schedule="cosine")
    assert stopped.value.code == 128 + number
    assert signal.getsignal(number) == before
    where = f"epoch {(at - 1) // 5}, step {(at - 1) % 5 + 1}"
    assert f"stopped; run again to go on at {where}\n" in capsys.readouterr().out
    resumed = []
    again = family(step=lambda *args: resumed.append(1) or step(*args))
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
        train(tmp_path, by=family(step=signalled))


@pytest.mark.usefixtures("saving")
def test_patience_is_remembered(tmp_path):
    values = iter([0.5, 0.9, 0.1, 0.2, 0.3, 0.4])
    criterion = scripted(values)
    with pytest.raises(Stop):
        train(tmp_path, criterion=criterion, log=stop_after(2), epochs=9, patience=2)
    lines = train(tmp_path, criterion=criterion, epochs=9, patience=2)[2]
    assert [line["val_score"] for line in lines] == [0.5, 0.9, 0.1, 0.2]


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
    """Measures may be NumPy's; a state is read without running any code that is in it."""
    numpy = loop.Criterion(lambda truth, prediction: {"one": np.float64(0.5)}, "one", higher_is_better=True)
    with pytest.raises(Stop):
        train(tmp_path, criterion=numpy, log=stop_after(1))
    assert len(train(tmp_path, criterion=numpy)[2]) == 4


@pytest.mark.usefixtures("saving")
def test_mixed_precision_goes_on(tmp_path):
    changes = {"precision": "bf16-mixed", "schedule": "cosine"}
    expected = train(tmp_path, net=linear(0.5), **changes)
    with pytest.raises(Stop):
        train(tmp_path, by=family(step=stopping(9)), net=linear(0.5), **changes)
    assert same(train(tmp_path, net=linear(0.5), **changes), expected)


# Selection.


def stop_after(epoch):
    def log(line):
        if line["epoch"] == epoch:
            raise Stop

    return log


def scripted(values, *, higher_is_better=True):
    """The measure of validation is the next of `values`, whatever was predicted."""
    return loop.Criterion(lambda truth, prediction: {"score": next(values)}, "score", higher_is_better)


def selected(tmp_path, values, *, higher_is_better=True, **changes):
    """The epochs that ran, and which of them the returned weights are of."""
    net, snapshots = linear(), []

    def log(line):
        snapshots.append(net[1].weight.detach().cpu().numpy().copy())

    criterion = scripted(iter(values), higher_is_better=higher_is_better)
    weights, _, lines = train(tmp_path, criterion=criterion, net=net, log=log, **changes)
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


@pytest.mark.parametrize(("higher", "best"), [(True, 1), (False, 2)])
def test_each_measure_says_which_end_of_it_is_better(tmp_path, higher, best):
    assert selected(tmp_path, [0.5, 0.9, 0.1, 0.4], higher_is_better=higher) == (4, [best])


def test_constant_predictions_have_no_correlation_but_train(tmp_path):
    same = family(predict=lambda settings, net, batch: torch.full_like(batch["x"][:, 0], 0.5))
    _, prediction, lines = train(tmp_path, by=same, patience=2)
    assert [line["val_spearman"] for line in lines] == [None, None, None]
    assert set(prediction) == {0.5}


# Rates.


def rates(tmp_path, by=None, **changes):
    """The learning rates that steps are made with, one of each epoch."""
    own, used = by or family(), []

    def watched(settings, net, batch, optimisers, backward):
        used.append(tuple(o.param_groups[0]["lr"] for o in optimisers.values()))
        return own.step(settings, net, batch, optimisers, backward)

    lines = train(tmp_path, by=replace(own, step=watched), **changes)[2]
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

    return family(optimisers=optimisers, step=step, **changes)


def test_two_optimisers_learn(tmp_path):
    _, prediction, lines = train(tmp_path, by=two_optimisers(), criterion=MSE, epochs=30)
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
        train(tmp_path, by=family(step=faulty(at, factor)), **changes)
    rate = 0.02 if at == 2 else 0.002
    assert str(error.value).startswith(f"{where} (picture-")
    assert f"the loss {text}" in str(error.value)
    assert f"at learning rate {{'net': {rate}}}; try a lower lr than 0.02" in str(error.value)
    with pytest.raises(TrainingError, match=re.escape(where)):  # again, since nothing was mended
        train(
            tmp_path, by=family(step=faulty(at, factor)), parts=named_parts(), schedule="step", step_epochs=2
        )


def test_the_pictures_of_the_step_are_named(tmp_path):
    batches = []

    def watched(settings, net, batch, *rest):
        batches.append(batch["x"].cpu().numpy())
        losses = step(settings, net, batch, *rest)
        return losses if len(batches) < 3 else {"loss": losses["loss"] * math.nan}

    with pytest.raises(TrainingError) as error:
        train(tmp_path, by=family(step=watched), parts=named_parts(), epochs=1)
    rows = (batches[2][:4, None] == X).all(2).argmax(1)
    assert f"({', '.join(NAMES[row] for row in rows)}, ...)" in str(error.value)


def test_inputs_without_names_have_numbers():
    assert Examples(X, Y[5:9], np.arange(5, 9)).name(2) == "input 7"


@pytest.mark.usefixtures("saving")
def test_a_state_never_holds_a_loss_that_leads_nowhere(tmp_path):
    for _ in range(2):
        with pytest.raises(TrainingError, match="epoch 1, step 2 "):
            train(tmp_path, by=family(step=faulty_from_state(7, tmp_path)))
        state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
        assert (state["progress"]["epoch"], state["progress"]["step"]) == (1, 2)
        assert math.isfinite(state["progress"]["totals"]["loss"])
        assert all(value.isfinite().all() for value in state["parts"]["net"].values())
    steps = []
    train(tmp_path, by=family(step=lambda *args: steps.append(1) or step(*args)), lr=0.01)
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
        train(tmp_path, by=family(step=lambda *args: use()))


def test_the_params_that_cost_memory_are_named():
    class Sized(settings.PictureModel):
        hidden: int = 16

    own = Sized(family="x", track="images", input="x", batch_size=8, crop=67)
    with (
        pytest.raises(TrainingError, match=r"lower one of batch_size \(8\), crop \(67\), hidden \(16\), or"),
        loop.memory_explained(own),
    ):
        raise MemoryError


def test_other_errors_stay_what_they_are(tmp_path):
    def wrong(*args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(tmp_path, by=family(step=wrong))


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
        train(tmp_path, by=family(step=stopping(9)), net=linear(0.5), schedule="cosine", compiled=True)
    assert same(train(tmp_path, net=linear(0.5), schedule="cosine"), whole)  # its state fits both
