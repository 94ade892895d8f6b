"""The comparison that CI makes: to the byte on the same processor, within every number's tolerance elsewhere.

The metrics are those that the project's own judges write of a few models of each track, so that a measure without a
tolerance fails here.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memorability import evaluation
from memorability.core.files import write_json
from memorability.evaluation import Judged, leaderboard, reports
from memorability.evaluation.leaderboard import Line
from memorability.evaluation.settings import Evaluate
from memorability.evaluation.standings import standings

ROOT = Path(__file__).parents[1]
CI = str(ROOT / ".ci")
sys.path.insert(0, CI)
try:
    import compare_metrics
    import comparison
    import tolerances
finally:
    sys.path.remove(CI)

SETTINGS, SEED = Evaluate(bootstrap=200), 0
SIZES = {"train": 60, "val": 90, "test": 120}


def table() -> pd.DataFrame:
    """Rows of three splits, of two data sets, in categories, with people's answers."""
    rng = np.random.default_rng(SEED)
    split = np.repeat(list(SIZES), list(SIZES.values()))
    n, score = len(split), rng.uniform(0.2, 0.9, len(split))
    return pd.DataFrame(
        {
            **{"id": [f"{i:03}.jpg" for i in range(n)], "split": split, "score": score},
            **{
                "dataset": np.where(np.arange(n) % 2, "one", "other"),
                "category": ["indoor", "outdoor", "x"] * (n // 3),
            },
            **{"responses": 40, "hits": rng.binomial(40, score), "false_alarms": rng.binomial(40, 0.1, n)},
            "false_alarm_responses": 30,
        }
    )


def judged_scores(noise: float, *, ranks: bool = False) -> Judged:
    """What a model says of them, with so much noise; constant without any."""
    rows, rng = table(), np.random.default_rng(1)
    truth = rows["score"].to_numpy(float)
    said = truth + noise * rng.normal(size=len(rows)) if noise else np.full(len(rows), 0.55)
    return Judged(rows, truth, said, said.argsort().argsort() / len(rows) if ranks else None)


def judged_maps(noise: float) -> Judged:
    rows, rng = table(), np.random.default_rng(1)
    truth = rng.integers(0, 256, (len(rows), 2, 6, 6)).astype(np.uint8)
    truth[:, :, :2] = 0
    said = (truth / 255 + noise * rng.normal(size=truth.shape)).clip(0, 1)
    if not noise:
        said = np.broadcast_to(said.mean(axis=0), truth.shape).copy()
    said[:3] = 0.5  # predicted as flat
    return Judged(rows, truth, said.astype(np.float32))


HISTORY = pd.DataFrame({"epoch": range(1, 6), "train_loss": 0.1, "train_wins": 1.0})
MODELS = {
    "images": {
        "constant": ("mean", judged_scores(0), ""),
        "good": ("ridge", judged_scores(0.1), ""),
        "good_1": ("ridge", judged_scores(0.12), ""),
        "poor": ("svr", judged_scores(1.5), ""),
        "ranker": ("pairwise_ranker", judged_scores(0.2, ranks=True), "scores"),
    },
    "maps": {
        "average": ("mean", judged_maps(0), ""),
        "places": ("place_ridge", judged_maps(0.5), ""),
        "gan": ("pix2pix", judged_maps(0.2), ""),
    },
}
TARGETS = {"images": "score", "maps": "map"}
KERNELS = {"processor": "x86_64 of this kind", "threads": 2}


def write_track(track: str, folder: Path) -> None:
    """metrics/TRACK.json and metrics/TRACK/, as the evaluation writes them, without its figures."""
    judge, target = evaluation.judge(track), TARGETS[track]
    (folder / track).mkdir(parents=True)
    people = reports.agreement(judge, table(), settings=SETTINGS, seed=SEED)
    lines = {}
    for name, (family, judged, on_val) in MODELS[track].items():
        report, test = reports.report(
            judge, judged, HISTORY, settings=SETTINGS, seed=SEED, models=folder, threads=1
        )
        report["test"] |= reports.evidence(
            judge, judged, seen=frozenset(["150.jpg"]), fitted_on_val=bool(on_val)
        )
        if track == "maps":
            report["test"]["fid_network"] = 3.5  # which needs a network
        lines[name] = Line(family, target, report, test, on_val)
        write_json(folder / track / f"{name}.json", {target: report})
    of_test = people.get("test", {})
    seeds = [["good", "good_1"]] if track == "images" else []
    standing = standings(track, target, lines, of_test, seeds=seeds, repeats=SETTINGS.bootstrap)
    standing.write(folder / track, target)
    summary = {
        row["model"]: leaderboard.summary(row, evaluation.board_of(track))
        for row in standing.models.to_dict("records")
    }
    if people:
        write_json(folder / track / f"{target}.people.json", people)
        summary["attainable_spearman"] = {target: of_test["attainable"]}
    write_json(folder / f"{track}.json", summary)
    write_json(folder / track / "processor.json", KERNELS)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory) -> dict[str, str]:
    """Path -> text of all files of both tracks."""
    root = tmp_path_factory.mktemp("project")
    for track in MODELS:
        write_track(track, root / "metrics")
    return {
        p.relative_to(root).as_posix(): p.read_text() for p in (root / "metrics").rglob("*") if p.is_file()
    }


def problems(metrics, changed, *, only=None) -> list[str]:
    """What the comparison says of changed texts, by path; of one file alone, where that is all."""
    new, found = {**metrics, **changed}, []
    for paths in compare_metrics.by_track(list(metrics)).values():
        compared = comparison.Comparison(paths, old=metrics.__getitem__, new=new.__getitem__)
        for path in paths:
            if only in (None, path):
                compared.judge(path)
        found += compared.problems
    return found


def edited(text: str, keys, change) -> str:
    """A JSON text with one value changed."""
    tree = json.loads(text)
    inner = tree
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = change(inner[keys[-1]])
    return json.dumps(tree)


def with_cell(text: str, line: int, column: str, change) -> str:
    """A table with one cell changed."""
    rows = list(csv.DictReader(text.splitlines()))
    rows[line][column] = str(change(rows[line][column]))
    return pd.DataFrame(rows).to_csv(index=False)


def leaves(tree, keys=()):
    """Every value of nested dicts, with its keys."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*keys, key))
        else:
            yield (*keys, key), value


def of_files(metrics, pattern):
    found = {path: text for path, text in metrics.items() if re.fullmatch(pattern, path)}
    assert found
    return found.items()


def test_equal_metrics_have_no_problems_and_everything_in_them_has_a_rule(metrics):
    assert {
        "metrics/images/score.seeds.csv",
        "metrics/images/score.people.json",
        "metrics/maps/map.items.csv",
    } <= set(metrics)
    assert not problems(metrics, {})


def test_everything_that_is_committed_has_a_rule():
    """Else the comparison could pass on no other processor than the one that the metrics were made on."""
    files = [path for path in (ROOT / "metrics").rglob("*") if path.is_file()]
    committed = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    assert len(compare_metrics.by_track(list(committed))) >= 1
    assert problems(committed, {}) == []


@pytest.mark.parametrize("track", MODELS)
def test_every_measure_has_a_finite_tolerance(metrics, track):
    """On the test split, with intervals: none of a judge's measures is passed over."""
    for path, text in of_files(metrics, rf"metrics/{track}/[a-z_0-9]+\.json"):
        if path.endswith("processor.json"):
            continue
        numbers = json.loads(text)[TARGETS[track]]["test"]
        assert set(evaluation.judge(track).MEASURES) <= set(numbers)
        for name, value in numbers.items():
            if isinstance(value, int | float):
                assert not tolerances.excepted(name)
                assert 0 < tolerances.tolerance(name, numbers) < np.inf, (path, name)


def test_what_is_excepted_is_short_and_says_why():
    assert len(tolerances.EXCEPTIONS) <= 5
    assert all(len(reason) > 20 for reason in tolerances.EXCEPTIONS.values())


def test_no_number_of_a_report_may_change_beyond_its_tolerance(metrics):
    """Each by itself, in each JSON file: by nine tenths of what it may, and by eleven."""
    tried = 0
    for path, text in of_files(metrics, r"metrics/(images|maps)/[a-z_0-9.]+\.json"):
        if path.endswith("processor.json"):
            continue
        tree = json.loads(text)
        for keys, value in leaves(tree):
            name = ".".join(("collapse", keys[-1])) if "collapse" in keys else keys[-1]
            if tolerances.excepted(name) or isinstance(value, str) or value is None:
                continue
            numbers = tree
            for key in keys[:-1]:
                numbers = numbers[key]
            numbers = tree[TARGETS["maps"]]["val"] if "collapse" in keys else numbers
            if "intervals" in keys:
                numbers = {**tree[TARGETS["images"]]["test"], **numbers}
            if keys[-2] == "residuals":  # of each category: of the truth, and compared whole
                assert problems(metrics, {path: edited(text, keys, lambda v: v + 1)}, only=path)
                continue
            allowed = tolerances.tolerance(keys[-1], numbers)
            assert np.isfinite(allowed)
            fine, far = (edited(text, keys, lambda v, f=f: v + f * allowed) for f in (0.9, 1.1))  # noqa: B023
            assert not problems(metrics, {path: fine}, only=path), keys
            (problem,) = problems(metrics, {path: far}, only=path)
            assert problem.startswith(path)
            assert keys[-1] in problem
            tried += 1
    assert tried > 300


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("metrics/images/good.json", ("score", "test", "spearman")),
        ("metrics/images/good.json", ("score", "test", "by_dataset", "one", "mse")),
        ("metrics/images/good.json", ("score", "val", "wasserstein")),
        ("metrics/images/score.people.json", ("test", "attainable")),
        ("metrics/images.json", ("good", "test_spearman")),
        ("metrics/images.json", ("attainable_spearman", "score")),
        ("metrics/maps/gan.json", ("map", "test", "kl_high")),
        ("metrics/maps/gan.json", ("map", "collapse", "variety")),
        ("metrics/maps.json", ("gan", "test_kl")),
    ],
)
def test_a_number_that_is_lost_or_new_is_a_problem(metrics, path, keys):
    (problem,) = problems(metrics, {path: edited(metrics[path], keys, lambda value: None)})
    assert problem.startswith(path)
    tree = json.loads(metrics[path])
    inner = tree
    for key in keys[:-1]:
        inner = inner[key]
    inner["new"] = inner.pop(keys[-1])
    assert len(problems(metrics, {path: json.dumps(tree)})) == 2


def test_a_number_that_nothing_says_how_to_judge_is_a_problem(metrics):
    path = "metrics/maps/gan.json"
    tree = json.loads(metrics[path])
    tree["map"]["test"]["novel"] = 0.5
    old = {**metrics, path: json.dumps(tree)}
    (problem,) = problems(old, {})
    assert "novel" in problem
    assert "tolerances.py" in problem


def test_no_cell_of_a_board_may_change_beyond_its_tolerance(metrics):
    for path, text in of_files(metrics, r"metrics/.*(leaderboard|seeds|pairs)\.csv"):
        rows = list(csv.DictReader(text.splitlines()))
        for column, value in rows[-1].items():
            if value == "" or column in ("p", "p_holm", "better", "beats_baseline"):
                continue
            far = with_cell(text, -1, column, lambda v: float(v) + 50 if re.match(r"-?\d", v) else f"{v}x")
            found = problems(metrics, {path: far})
            assert found, (path, column)
            assert all(problem.startswith(path) for problem in found)


def test_a_board_within_its_tolerance_is_fine(metrics):
    path = "metrics/images/score.leaderboard.csv"
    row = next(csv.DictReader(metrics[path].splitlines()))
    allowed = tolerances.TRAINED * (float(row["test_spearman_high"]) - float(row["test_spearman_low"])) / 2
    for factor, count in ((0.9, 0), (1.1, 1)):
        changed = with_cell(metrics[path], 0, "test_spearman", lambda v, f=factor: float(v) - f * allowed)
        assert len(problems(metrics, {path: changed})) == count


def test_the_order_of_a_board_may_change_with_its_numbers(metrics):
    path = "metrics/images/score.leaderboard.csv"
    head, *rows = metrics[path].splitlines()
    assert not problems(metrics, {path: "\n".join([head, *reversed(rows)])})
    assert problems(metrics, {path: "\n".join([head, *rows[1:]])})


def verdicts(metrics, path):
    return list(enumerate(csv.DictReader(metrics[path].splitlines())))


def test_a_clear_star_may_not_be_lost_or_turned(metrics):
    path = "metrics/maps/map.pairs.csv"
    place, row = next(
        (i, r) for i, r in verdicts(metrics, path) if r["measure"] == "cc" and r["better"] == "gan"
    )
    assert float(row["p_holm"]) < 1e-6
    for better in ("", row["other"] if row["model"] == "gan" else row["model"]):
        (problem,) = problems(
            metrics, {path: with_cell(metrics[path], place, "better", lambda _, b=better: b)}
        )
        assert "better is gan" in problem


def test_a_near_thing_may_turn_but_not_into_its_opposite(metrics):
    path = "metrics/images/score.pairs.csv"
    near = with_cell(metrics[path], 0, "difference", lambda _: 0.06)
    for column, value in (("low", 0.01), ("high", 0.11), ("better", "constant")):
        near = with_cell(near, 0, column, lambda _, v=value: v)
    old = {**metrics, path: near}
    row = next(csv.DictReader(near.splitlines()))
    assert not problems(old, {path: with_cell(near, 0, "better", lambda _: "")})
    (problem,) = problems(old, {path: with_cell(near, 0, "better", lambda _: row["other"])})
    assert "better is constant" in problem


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("metrics/images/score.leaderboard.csv", "good"),
        ("metrics/images/score.seeds.csv", "good"),
        ("metrics/maps/map.leaderboard.csv", "gan"),
    ],
)
def test_a_model_that_clearly_beats_the_baseline_must_go_on_to(metrics, path, model):
    place = next(
        i for i, r in verdicts(metrics, path) if r["model"] == model and r["beats_baseline"] == "yes"
    )
    (problem,) = problems(metrics, {path: with_cell(metrics[path], place, "beats_baseline", lambda _: "no")})
    assert f"{model}.beats_baseline" in problem


def test_a_model_that_hardly_beats_the_baseline_need_not(metrics):
    path = "metrics/images/score.leaderboard.csv"
    place, row = next((i, r) for i, r in verdicts(metrics, path) if r["model"] == "poor")
    assert abs(float(row["test_spearman_low"])) < 0.2  # of a correlation that is hardly there
    other = {"yes": "no", "no": "yes"}[row["beats_baseline"]]
    assert not problems(metrics, {path: with_cell(metrics[path], place, "beats_baseline", lambda _: other)})


def test_single_items_are_judged_by_their_means(metrics):
    path = "metrics/maps/map.items.csv"
    assert not problems(metrics, {path: with_cell(metrics[path], 0, "gan.cc", lambda v: float(v) - 0.5)})
    rows = list(csv.DictReader(metrics[path].splitlines()))
    for row in rows:
        row["gan.cc"] = float(row["gan.cc"]) - 0.5
    (problem,) = problems(metrics, {path: pd.DataFrame(rows).to_csv(index=False)})
    assert "gan.cc (mean)" in problem
    assert problems(metrics, {path: with_cell(metrics[path], 0, "id", lambda _: "another.jpg")})


def test_a_file_of_an_unknown_kind_is_a_problem(metrics):
    found = problems({**metrics, "metrics/maps/novel.csv": "a,b\n1,2\n"}, {})
    assert found == ["metrics/maps/novel.csv: nothing says how to judge such a file"]


@pytest.fixture
def repository(metrics, tmp_path, monkeypatch):
    """A folder with the metrics, which counts as committed as it is."""
    for path, text in metrics.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare_metrics, "committed", metrics.__getitem__)
    listed = type("Listed", (), {"stdout": "\n".join([*metrics, "metrics/crossval/svr.json"])})
    monkeypatch.setattr(compare_metrics.subprocess, "run", lambda *args, **kwargs: listed)
    return tmp_path


def test_the_same_processor_must_give_the_same_bytes(repository, capsys):
    assert compare_metrics.main() == 0
    assert "must be equal to the byte" in capsys.readouterr().out
    report = repository / "metrics/images/good.json"
    report.write_text(edited(report.read_text(), ("score", "test", "spearman"), lambda v: v + 1e-6))
    assert compare_metrics.main() == 1
    assert "metrics/images/good.json: not equal to the byte" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["processor", "threads"])
def test_another_processor_has_tolerances_for_its_track_alone(repository, capsys, key):
    machine = repository / "metrics/images/processor.json"
    machine.write_text(json.dumps(KERNELS | {key: "another"}))
    for track, name, code in (("images", "good", 0), ("maps", "gan", 1)):
        report = repository / f"metrics/{track}/{name}.json"
        keys = (TARGETS[track], "test", "mse")
        report.write_text(edited(report.read_text(), keys, lambda v: v * 1.0001))
        assert compare_metrics.main() == code
        said = capsys.readouterr().out
        assert "images: another processor" in said
        assert "metrics/images/good.json score.test.mse" in said


@pytest.mark.parametrize(
    "path",
    ["metrics/maps/gan.json", "metrics/images.json", "metrics/maps/processor.json", "metrics/maps/map.txt"],
)
def test_a_file_that_was_not_rebuilt_is_a_problem(repository, capsys, path):
    (repository / path).unlink()
    assert compare_metrics.main() == 1
    assert f"{path}: committed, not rebuilt" in capsys.readouterr().out


def test_a_file_that_was_not_committed_is_a_problem(repository, capsys):
    (repository / "metrics/maps/novel.json").write_text("{}")
    assert compare_metrics.main() == 1
    assert "metrics/maps/novel.json: rebuilt, not committed" in capsys.readouterr().out


def test_metrics_that_no_stage_makes_are_not_compared(repository):
    (repository / "metrics/crossval").mkdir()
    (repository / "metrics/crossval/other.json").write_text("{}")
    assert compare_metrics.main() == 0
