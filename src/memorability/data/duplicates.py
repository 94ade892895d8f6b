"""Near-duplicates of a track's pictures or clips: groups that no drawn split may divide."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from memorability.core.errors import DataError
from memorability.media import hashes

Edges = tuple[np.ndarray, np.ndarray]  # rows that belong together: int [M], int [M]


def groups(rows: pd.DataFrame, *, bits: int | None) -> np.ndarray:
    """Groups near-duplicates, and chains of them.

    Files of equal bytes belong together. So do photographs whose perceptual hashes differ in at most `bits` of
    64, and pictures that are mostly of one colour (printed words, drawings) whose content, cut out, differs as
    little. Pictures of one colour alone have no content: of them only equal bytes count.

    Args:
        rows: of an index, with phash and, where they are known, content and sha256.
        bits: None: only equal bytes count.

    Returns:
        group number of each row, int [N], as they first appear.
    """
    edges = [_equal(rows["sha256"])]
    if bits is not None:
        content = rows["content"] if "content" in rows else pd.Series(pd.NA, index=rows.index)
        photographs = np.flatnonzero(content.isna())
        near = near_duplicates(list(rows["phash"].iloc[photographs]), bits=bits)
        edges.append((photographs, photographs[_first_of(near)]))
        plain = np.flatnonzero(content.notna() & (content != hashes.EMPTY).fillna(False))
        left, right = _alike(list(content.iloc[plain]), bits=bits)
        edges.append((plain[left], plain[right]))
    return _components(len(rows), edges)


def near_duplicates(phashes: list[str], *, bits: int) -> np.ndarray:
    """Groups hashes that differ in at most `bits` of 64, and chains of them.

    By the pigeonhole principle two such hashes agree in at least one of `bits` + 1 bands, so only
    those that share a band are compared.

    Returns:
        group number of each hash, int [N], as they first appear.
    """
    if not 0 <= bits <= 15:
        raise DataError(f"near-duplicate bits must be 0 to 15, received {bits}")
    everything = np.array([int(h, 16) for h in phashes], dtype=np.uint64)
    # Equal hashes are one group from the start: a set with many of them would fill the memory with pairs.
    values, which = np.unique(everything, return_inverse=True)
    found: list[Edges] = []
    limits = np.linspace(0, 64, bits + 2).astype(int)
    for low, high in itertools.pairwise(limits):
        mask = (1 << int(high - low)) - 1
        band = (values >> np.uint64(low)) & np.uint64(mask)
        order = np.argsort(band, kind="stable")
        borders = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(order, borders):
            for position, i in enumerate(bucket[:-1]):  # a row at a time: large buckets stay small
                others = bucket[position + 1 :]
                close = others[np.bitwise_count(values[others] ^ values[i]) <= bits]
                found.append((np.full(len(close), i), close))
    return _numbered(_components(len(values), found)[which])


def _alike(descriptions: list[str], *, bits: int) -> Edges:
    """Pairs of pictures on a plain ground whose content is alike."""
    cells, numbers = hashes.parsed(descriptions)
    found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for i in range(len(descriptions) - 1):
        others = np.arange(i + 1, len(descriptions))
        close = others[hashes.differences(cells, numbers, i, others) <= bits]
        found.append((np.full(len(close), i), close))
    left, right = zip(*found, strict=True)
    return np.concatenate(left), np.concatenate(right)


def _equal(contents: pd.Series) -> Edges:
    """Each row with the first one of the same SHA-256; a row without one is alone."""
    codes = pd.factorize(contents)[0]
    known = np.flatnonzero(codes >= 0)
    return known, known[_first_of(codes[known])]


def _first_of(numbers: np.ndarray) -> np.ndarray:
    """For each row the place of the first one with the same number."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


def _components(count: int, edges: list[Edges]) -> np.ndarray:
    left = np.concatenate([np.empty(0, np.int64), *(one for one, _ in edges)])
    right = np.concatenate([np.empty(0, np.int64), *(other for _, other in edges)])
    graph = coo_matrix((np.ones(len(left)), (left, right)), shape=(count, count))
    return _numbered(connected_components(graph, directed=False)[1])


def _numbered(numbers: np.ndarray) -> np.ndarray:
    """Group numbers as they first appear, so that a seed draws the same whatever the hashes are."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse])
