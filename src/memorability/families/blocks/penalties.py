"""Solving one regularised system under several penalties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memorability.core.errors import TrainingError


def penalised(gram: np.ndarray, right: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
    """(gram + penalty I)^-1 right, a column for each penalty: [N, P].

    Solved one by one: of up to a dozen penalties quicker than the eigendecomposition that could serve all.

    Args:
        gram: symmetric and positive semidefinite [N, N], such as a kernel matrix.
        right: [N].

    Raises:
        TrainingError: a penalty is lost in rounding, and the matrix has no inverse.
    """
    columns = []
    for penalty in penalties:
        matrix = gram.copy()
        matrix[np.diag_indices(len(gram))] += penalty
        try:
            columns.append(np.linalg.solve(matrix, right))
        except np.linalg.LinAlgError as error:
            raise TrainingError(f"penalty {penalty:g} is too small for these features ({error})") from error
    return np.stack(columns, axis=1)
