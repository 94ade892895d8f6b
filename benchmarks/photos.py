"""Do other regressions on the released model's features pay? And pictures of a project as a table, for models of others.

    memorability crossval kernel_ridge            # in a project of profiles/photos.yaml, first
    python benchmarks/photos.py likelihood        # a Gaussian process: penalty and width by its marginal likelihood
    python benchmarks/photos.py logit             # kernel_ridge on logits of the scores
    python benchmarks/photos.py rank              # kernel_ridge on normal scores of their ranks
    python benchmarks/photos.py table FOLDER      # any project's test pictures, and FOLDER/table.csv with their scores

The first three cross-validate as `memorability crossval` does, on the same folds, and print the difference to
`kernel_ridge` by the paired bootstrap. Everything is fitted, and every choice made, within the training folds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from memorability import params
from memorability.core import layout
from memorability.data import shards, tables
from memorability.evaluation import score_measures
from memorability.experiments import crossval, folds, gains
from memorability.families import kernel_ridge
from memorability.families.blocks import gaussian
from memorability.features import stored

Array = np.ndarray
MODEL = "kernel_ridge"  # of params.yaml
ALPHAS, WIDTHS = np.geomspace(0.01, 10, 31), (0.1, 0.25, 0.5, 1.0, 2.0)  # of the Gaussian process


def likelihood(_: kernel_ridge.Params, x: Array, y: Array, new: Array, groups: Array) -> Array:
    """The mean of a Gaussian process with a Gaussian kernel, a variance and noise.

    Penalty (noise over variance) and width have the greatest marginal likelihood, the variance in closed form; Rasmussen
    and Williams, Gaussian Processes for Machine Learning (2006), 5.4.1.
    """
    inputs, off = gaussian.Inputs(x, components=None), y - y.mean()
    best: tuple[float, float, Array] = (-np.inf, 0.0, off)
    for width in WIDTHS:
        gamma = width / x.shape[1]
        values, vectors = np.linalg.eigh(np.exp(-gamma * inputs.distances))
        turned = vectors.T @ off
        for alpha in ALPHAS:
            variance = (turned**2 / (values + alpha)).mean()
            found = -len(x) / 2 * np.log(variance) - np.log(values + alpha).sum() / 2
            if found > best[0]:
                best = (found, gamma, vectors @ (turned / (values + alpha)))
    gamma, dual = best[1:]
    apart = gaussian.squared_distances(inputs.of(new), inputs.rows)
    return np.asarray(np.exp(-gamma * apart) @ dual + y.mean())


def logits(settings: kernel_ridge.Params, x: Array, y: Array, new: Array, groups: Array) -> Array:
    """kernel_ridge on logits of scores within 0.02 and 0.98."""
    state = kernel_ridge.fit(settings, x, logit(np.clip(y, 0.02, 0.98)), groups=groups)
    return np.asarray(expit(kernel_ridge.predict(settings, state, new)))


def ranks(settings: kernel_ridge.Params, x: Array, y: Array, new: Array, groups: Array) -> Array:
    """kernel_ridge on normal scores of ranks, brought back by the training scores of the same ranks."""
    scores = norm.ppf((rankdata(y) - 0.5) / len(y))
    state = kernel_ridge.fit(settings, x, scores, groups=groups)
    return np.interp(kernel_ridge.predict(settings, state, new), np.sort(scores), np.sort(y))


REGRESSIONS: dict[str, Callable[..., Array]] = {"likelihood": likelihood, "logit": logits, "rank": ranks}


def compare(name: str) -> None:
    """Cross-validates a regression on what `MODEL` reads, on its folds, and prints what it gains on it."""
    project = params.load()
    settings, split = project.model(MODEL), project.split["images"]
    rows, theirs = tables.read(Path(split.input) / "index.csv"), crossval.out_of_fold(MODEL)
    seeds = gains.columns(theirs, "seed").shape[1]
    own = theirs[["id", "score", *gains.columns(theirs, "seed")]].set_index("id")
    for draw in folds.draws(rows, split, folds=5, seeds=seeds):
        table = draw.table(rows, val=0.0)
        x = stored.read(Path(settings.input), list(table["id"]), family=MODEL).values
        x, y = x.reshape(len(x), -1).astype(float), table["score"].to_numpy(float)
        test, groups = (table["split"] == "test").to_numpy(bool), table["group"].to_numpy(np.int64)
        found = REGRESSIONS[name](settings, x[~test], y[~test], x[test], groups[~test])
        own.loc[table["id"][test], f"seed_{draw.seed}"] = found
    own = own.reset_index()
    truth = own["score"].to_numpy(float)
    drawn = (own[f"seed_{seed}"].to_numpy(float) for seed in range(seeds))
    measured = [score_measures.spearman(truth, predicted) for predicted in drawn]
    print(f"{name}: rho of {seeds} fold seeds {', '.join(f'{rho:.4f}' for rho in measured if rho)}")
    pairs = gains.paired(name, own, MODEL, theirs, settings, project.evaluate["images"], seed=project.seed)
    print("\n".join(gains.text(pairs, own)))


def write_table(folder: Path) -> None:
    """Writes the project's test pictures as files, and `table.csv` with their scores."""
    raw, table = layout.RAW / "images", tables.read(layout.split_table("images"))
    test, reader = table[table["split"] == "test"], shards.ShardReader(raw)
    folder.mkdir(parents=True)
    names = [f"{n:05d}{Path(str(name)).suffix or '.png'}" for n, name in enumerate(test["id"])]
    for name, span in zip(names, shards.spans(test), strict=True):
        (folder / name).write_bytes(reader.read(span, name=name))
    pd.DataFrame({"file": names, "score": test["score"].to_numpy()}).to_csv(folder / "table.csv", index=False)
    print(f"{folder}: {len(test)} pictures and table.csv")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["table", to]:
            write_table(Path(to))
        case [kind] if kind in REGRESSIONS:
            compare(kind)
        case _:
            sys.exit(__doc__)
