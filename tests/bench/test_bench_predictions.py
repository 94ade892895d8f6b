"""From `predict -o scores.csv` to `validate scores.csv answers.csv`, and what such a table may not be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from memorability import cli, families
from memorability.bench import predictions
from memorability.core.errors import DataError
from memorability.core.settings import checked
from memorability.training import artifacts

HEAD = {"family": "memnet", "track": "images", "target": "score", "input": "x", "backbone": "none"}
SMALL = {"resize": 72, "crop": 67, "width": 6, "hidden": 4}


def save_model(folder: Path) -> None:
    """A network that has learnt nothing: other pictures, other scores."""
    family = families.load("memnet")
    settings = checked(family.Params, HEAD | SMALL, at="x")
    net = family.build(settings, shape=(3, 67, 67), backbone=None)
    arrays = {name: value.numpy() for name, value in net.state_dict().items()}
    config = {"settings": settings.model_dump(mode="json"), "shape": [3, 67, 67]}
    artifacts.save(folder, config=config, arrays=arrays)


def test_what_predict_writes_is_held_against_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(Path("models/net"))
    rng = np.random.default_rng(0)
    items = [f"some/{i:02d}.png" for i in range(11)] + ["other/11.png"]
    for item in items:
        file = Path("pictures", item)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (80, 80, 3), dtype=np.uint8)).save(file)
    Path("pictures/some/broken.png").touch()
    hits = rng.integers(5, 20, len(items))
    pd.DataFrame({"item": items, "hits": hits, "responses": 20}).to_csv("answers.csv", index=False)

    run = CliRunner().invoke
    assert run(cli.app, ["predict", "pictures", "--model", "net", "-o", "scores.csv"]).exit_code == 1
    result = run(cli.app, ["validate", "scores.csv", "answers.csv", "-o", "report"])
    assert result.exit_code == 0, result.output
    assert "items are matched by the names of their files" in result.stderr
    assert "1 of 13 rows have no score and are left out" in result.stderr
    models = pd.read_csv("report/models.csv")
    assert models[["model", "n"]].to_numpy().tolist() == [["predicted_score", 12]]
    scores = pd.read_csv("scores.csv").dropna(subset="score").set_index("path")["score"]
    for row in pd.read_csv("report/rows.csv").itertuples():
        assert row.predicted_score == scores[f"pictures/{row.item}"]


def test_names_of_files_that_are_shared_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("path,score,low\np/a/1.jpg,0.1,0\np/b/1.jpg,0.2,0\np/2.jpg,0.3,0\np/c/2.jpg,0.4,0\n")
    with pytest.raises(DataError, match=r"share them; .*\n  p/a/1.jpg: 1.jpg\n  p/b/1.jpg: 1.jpg$"):
        predictions.read(table, pd.Series(["1.jpg", "3.jpg"]))
    with pytest.raises(DataError, match=r"share them; .*\n  p/a/1.jpg: x/1.jpg\n  p/a/1.jpg: y/1.jpg\n"):
        predictions.read(table, pd.Series(["x/1.jpg", "y/1.jpg"]))
    found, _ = predictions.read(table, pd.Series(["3.jpg"]))  # theirs alone count
    assert found["item"].tolist() == ["p/a/1.jpg", "p/b/1.jpg", "p/2.jpg", "p/c/2.jpg"]


def test_a_column_item_or_the_users_own_counts(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("path,item,score,low\np/1.jpg,x,0.1,0\n")
    assert predictions.read(table, pd.Series(["x"]))[0].to_dict("list") == {
        "item": ["x"],
        "score": [0.1],
        "low": [0],
    }
    found, _ = predictions.read(table, pd.Series(["x"]), item="path", models=("score",))
    assert found.to_dict("list") == {"item": ["p/1.jpg"], "score": [0.1]}
