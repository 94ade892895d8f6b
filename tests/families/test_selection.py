"""Settings are chosen within train: near-duplicates stay on one side of a fold, and a fold's scaler sees its part alone."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from worlds import made

from memorability import families
from memorability.core.errors import TrainingError
from memorability.families import caption_ridge, kernel_ridge, place_ridge, ridge, svr
from memorability.families.blocks import gaussian
from memorability.families.blocks.selection import FOLDS, chosen, least_error

COUNT = 40  # rows, in 16 groups of any size that do not stand together
GROUPS = np.random.default_rng(3).integers(0, 16, COUNT) * 7


def numbers():
    """Features whose first one names the row, and scores."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(COUNT, 5))
    x[:, 0] = np.arange(COUNT)
    return x, rng.uniform(size=COUNT)


def of_places():
    """The same features at each of four places, and maps."""
    x, _ = numbers()
    y = np.random.default_rng(1).uniform(size=(COUNT, 1, 2, 2))
    return np.tile(x[:, :, None, None], (1, 1, 2, 2)), y


def titles():
    _, y = numbers()
    return np.array([f"row{i:02d} word{i % 5} word{i % 3}" for i in range(COUNT)]), y


# Family, the module and the name of what scales its inputs, inputs, settings of which the first is chosen.
FAMILIES = {
    "ridge": (ridge, ridge, "StandardScaler", numbers, {"alphas": [0.1, 10.0]}),
    "svr": (svr, gaussian, "StandardScaler", numbers, {"cs": [0.1, 1.0]}),
    "kernel_ridge": (
        *(kernel_ridge, gaussian, "StandardScaler", numbers),
        {"alphas": [0.1, 10.0], "gammas": [1.0]},
    ),
    "place_ridge": (place_ridge, place_ridge, "StandardScaler", of_places, {"alphas": [0.1, 10.0]}),
    "caption_ridge": (
        *(caption_ridge, caption_ridge, "TfidfVectorizer", titles),
        {"alphas": [0.1, 10.0], "min_titles": 1},
    ),
}
SHARE = ("ridge", "svr", "kernel_ridge")  # one scaler of a fold serves all values
every = pytest.mark.parametrize("name", FAMILIES)


def rows_of(x):
    """Which rows a scaler or a vectorizer was shown, by what names each."""
    if x.dtype.kind == "U":
        return Counter(int(title[3:5]) for title in x)
    return Counter(np.rint(x[:, 0]).astype(int).tolist())


@pytest.fixture
def shown(monkeypatch):
    """What the first step of a family's pipeline is fitted on, each time."""

    def shown(module, step):
        seen, plain = [], getattr(module, step)

        class Watched(plain):
            def fit(self, x, y=None, *args):
                seen.append(rows_of(x))
                return super().fit(x, y, *args)

            def fit_transform(self, x, y=None, *args):
                seen.append(rows_of(x))
                return super().fit_transform(x, y, *args)

        monkeypatch.setattr(module, step, Watched)
        return seen

    return shown


@every
def test_what_scales_a_fold_s_part_sees_that_part_alone(shown, name):
    family, module, step, data, values = FAMILIES[name]
    seen = shown(module, step)
    x, y = data()
    family.fit(made(name, **values), x, y, groups=GROUPS)
    inside = [set(rows) for rows in seen if len(rows) < COUNT]
    assert len(inside) >= (1 if name in SHARE else 2) * FOLDS
    outside = [set(range(COUNT)) - rows for rows in inside]
    assert Counter(row for rows in outside for row in rows) == dict.fromkeys(
        range(COUNT), len(inside) // FOLDS
    )
    # The last is the fit of the chosen value, on all.
    assert set(seen[-1]) == set(range(COUNT))


@every
def test_near_duplicates_never_stand_on_both_sides_of_a_fold(shown, name):
    family, module, step, data, values = FAMILIES[name]
    seen = shown(module, step)
    x, y = data()
    family.fit(made(name, **values), x, y, groups=GROUPS)
    for rows in seen[:-1]:
        inside = {GROUPS[row] for row in rows}
        outside = {GROUPS[row] for row in range(COUNT) if row not in rows}
        assert inside
        assert outside or len(rows) == COUNT
        assert not inside & outside


def duplicates(width=30):
    """20 groups of four rows that are nearly the same, whose scores say nothing but which group it is."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 4)
    x = rng.normal(size=(20, width))[group] + rng.normal(0, 0.01, (80, width))
    y = rng.uniform(size=20)[group] + rng.normal(0, 0.01, 80)
    order = rng.permutation(80)
    return x[order], y[order], group[order]


def test_ridge_is_not_taken_in_by_near_duplicates():
    """Among rows that stand on both sides of a fold the weakest penalty seems best; none of them is of use."""
    x, y, groups = duplicates()
    own = made("ridge", alphas=[1e-3, 1e4])
    assert ridge.fit(own, x, y, groups=groups)["alpha"] == 1e4
    assert ridge.fit(own, x, y, groups=np.arange(80))["alpha"] == 1e-3


def test_svr_is_not_taken_in_by_near_duplicates():
    x, y, groups = duplicates(width=2)
    own = made("svr", cs=[1e-4, 100.0], epsilon=0.0)
    assert svr.fit(own, x, y, groups=groups)["c"] == 1e-4
    assert svr.fit(own, x, y, groups=np.arange(80))["c"] == 100.0


def test_kernel_ridge_is_not_taken_in_by_near_duplicates():
    x, y, groups = duplicates(width=2)
    own = made("kernel_ridge", alphas=[1e-3, 1e4], gammas=[4.0])
    assert kernel_ridge.fit(own, x, y, groups=groups)["alpha"] == 1e4
    assert kernel_ridge.fit(own, x, y, groups=np.arange(80))["alpha"] == 1e-3


def test_place_ridge_is_not_taken_in_by_near_duplicates():
    x, y, groups = duplicates()
    own = made("place_ridge", alphas=[1e-3, 1e4])
    x, y = x[:, :, None, None], y[:, None, None, None]
    assert place_ridge.fit(own, x, y, groups=groups)["alpha"] == 1e4
    assert place_ridge.fit(own, x, y, groups=np.arange(80))["alpha"] == 1e-3


def test_caption_ridge_is_not_taken_in_by_near_duplicates():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 4)
    words = rng.integers(0, 12, (20, 5))
    x = np.array([" ".join(f"word{word}" for word in words[g]) for g in group])
    y = rng.uniform(size=20)[group]
    own = made("caption_ridge", alphas=[1e-3, 1e3])
    assert caption_ridge.fit(own, x, y, groups=group)["alpha"] == 1e3
    assert caption_ridge.fit(own, x, y, groups=np.arange(80))["alpha"] == 1e-3


def test_the_same_rows_are_chosen_by_in_the_same_way_every_time():
    x, y = numbers()
    model = make_pipeline(Ridge())
    found = [chosen(model, {"ridge__alpha": [0.1, 10.0]}, x, y, groups=GROUPS)[-1] for _ in range(2)]
    assert np.array_equal(found[0].coef_, found[1].coef_)
    assert found[0].alpha == found[1].alpha


def test_choices_that_are_asked_for_together_are_chosen_as_one_by_one():
    x, y = numbers()
    alphas = [0.1, 10.0, 1000.0]

    def each(inside, scores, outside):
        return np.stack([Ridge(alpha).fit(inside, scores).predict(outside) for alpha in alphas])

    found = chosen(make_pipeline(Ridge()), {"ridge__alpha": alphas}, x, y, groups=GROUPS)[-1].alpha
    assert alphas[least_error(each, x, y, groups=GROUPS)] == found


def test_of_equals_the_first_is_chosen():
    x, y = numbers()
    assert least_error(lambda inside, scores, outside: np.zeros((3, len(outside))), x, y, groups=GROUPS) == 0


def test_no_family_has_a_seed_of_its_own_in_its_code():
    for file in Path(families.__file__).parent.rglob("*.py"):
        assert not re.search(r"random_state\s*=\s*\d|(?<!torch\.)manual_seed\(\d", file.read_text()), (
            file.name
        )


@every
def test_one_value_leaves_nothing_to_choose(shown, name):
    family, module, step, data, values = FAMILIES[name]
    seen = shown(module, step)
    key = next(iter(values))
    x, y = data()
    family.fit(made(name, **values | {key: [1.0]}), x, y, groups=np.zeros(COUNT, int))
    assert [len(rows) for rows in seen] == [COUNT] * len(seen)


@every
def test_a_single_group_leaves_nothing_to_choose_by(name):
    family, _, _, data, values = FAMILIES[name]
    x, y = data()
    with pytest.raises(TrainingError, match=r"folds of different pictures; received \d+ rows of 1 group"):
        family.fit(made(name, **values), x, y, groups=np.zeros(COUNT, int))


def test_few_groups_are_folds_of_one_each():
    x, y, _ = duplicates()
    groups = np.arange(80) % 3
    assert chosen(make_pipeline(Ridge()), {"ridge__alpha": [1.0, 2.0]}, x, y, groups=groups)[-1].alpha in (
        1,
        2,
    )
