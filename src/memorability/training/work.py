"""One model to fit: its settings, the rows as its target sees them, and what is written of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from memorability.core.files import write_json
from memorability.core.layout import ModelPaths
from memorability.data.known import Known
from memorability.features.items import Array
from memorability.training import artifacts
from memorability.training.contract import Judge, Truth

QUANTILES = np.linspace(0, 1, 101)


@dataclass(frozen=True, kw_only=True)
class Work:
    """One model to fit: its settings, the rows as its target sees them, and where all lies.

    `published` is each row's split, whether or not it has this target.
    """

    settings: Any
    rows: pd.DataFrame
    published: Array
    truth: Truth
    paths: ModelPaths
    judge: Judge

    def of(self, split: str) -> Array:
        """The rows of a split, int [M]."""
        return np.flatnonzero(self.rows["split"].to_numpy(str) == split)

    def content(self) -> str:
        """What of the rows a model depends on."""
        columns = [name for name in ("id", "sha256", "map", "score", "split") if name in self.rows]
        return self.rows[columns].to_csv(index=False)

    def write(
        self,
        *,
        origin: dict[str, Any],
        arrays: dict[str, Array],
        columns: dict[str, Array],
        fitted_on_val: bool,
    ) -> None:
        """The model with its evidence, and its predictions (one of `columns`) of the rows that are kept, with its description.

        `fitted_on_val`: whether its scores were fitted on validation, whose residuals are then no evidence.
        """
        datasets = self.rows["dataset"].iloc[self.of("train")].value_counts().sort_index()
        trained_on = {str(name): int(count) for name, count in datasets.items()}
        config = {"settings": self.settings.model_dump(mode="json"), "trained_on": trained_on, **origin}
        evidence = self.evidence(columns["prediction"], fitted_on_val=fitted_on_val)
        artifacts.save(self.paths.model, config=config, arrays=arrays, evidence=evidence)
        more = {name: values for name, values in columns.items() if name != "prediction"}
        rows = self.rows.assign(split=self.published)
        self.judge.write(self.paths.predictions, rows, self.truth.kept, columns["prediction"], more)
        described = artifacts.described(self.paths.model).model_dump(mode="json")
        write_json(self.paths.predictions / artifacts.DESCRIBED, described)

    def evidence(self, prediction: Array, *, fitted_on_val: bool) -> artifacts.Evidence:
        """Residuals of validation and quantiles of scores; and which pictures the model was fitted or selected on."""
        known = Known.of(self.rows.iloc[np.sort(np.concatenate([self.of("train"), self.of("val")]))])
        if self.truth.values.ndim > 1:  # a map has no residual and no quantiles
            return artifacts.Evidence(phashes=known.phashes, contents=known.contents)
        residuals, fitted_on = np.empty(0, np.float32), self.of("train")
        if fitted_on_val:
            fitted_on = np.concatenate([fitted_on, self.of("val")])
        else:
            val = np.isin(self.truth.kept, self.of("val"))
            residuals = self.truth.values[self.truth.kept[val]] - prediction[val]
        scores = np.quantile(self.truth.values[fitted_on], QUANTILES)
        return artifacts.Evidence(
            residuals.astype(np.float32), known.phashes, known.contents, scores.astype(np.float32)
        )
