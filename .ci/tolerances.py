"""How far a number of a report may be from the committed one, on another processor.

A number with a 95 % interval of its own (NAME_low, NAME_high) may differ by `TRAINED` times half the width of that interval, and so
may both ends. Numbers without one follow the measures beside them, as `RULES` says. A name without a rule is an error:
a measure that is added says here what it may differ by.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

Numbers = Mapping[str, Any]  # of one model on one split, as its report has them
Rule = Callable[[Numbers, str, re.Match[str]], float]

ROUNDING = 2e-6  # reports have six digits
# Training amplifies rounding until it is as if by another seed, of which an interval over items knows nothing (docs/numerics.md
# has how far an Intel Xeon's numbers were from an AMD EPYC's).
TRAINED = 3.0
SPREAD, DISTANCE = 1 / 4, 1 / 9  # shares of a number, TRAINED times of which it may differ by in any case
WIDE = NormalDist().inv_cdf(0.975)  # standard errors to either side in a 95 % interval
ENDS = ("_low", "_high", "_lowest", "_highest")  # of an interval; of a range over training seeds

# Not judged, since something else that is judged decides them.
EXCEPTIONS = {
    r"p|p_holm": "follow from a difference and its interval; `better` says what came of them",
    r"collapse\.outputs_lost_their_variety": "whether `variety` is under a threshold",
    r"collapse\.discriminator_wins_from_epoch": "an epoch of a training; the maps that came of it are judged",
    r"collapse\.text": "words for the rest of `collapse`",
}


class NoRule(Exception):
    """A number that nothing here says how to judge."""


def of_the_truth(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """Decided by data and split alone: equal, to rounding."""
    return ROUNDING


def of_a_mean(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """Half a 95 % interval of a mean over so many items, their spread taken to be that of the errors."""
    items = int(match[1]) if match.groups() else numbers["n"]
    return WIDE * math.sqrt(numbers["mse"] / items)


def of_a_ratio_of_spreads(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """Likewise of a ratio of two standard deviations of normal values, each known to 1 / sqrt(2 n); but a network's spread begins at none
    and is still on its way after a short training."""
    return abs(numbers[name]) * max(SPREAD, WIDE / math.sqrt(numbers["n"]))


def of_a_slope(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """Pearson's r times the ratio of spreads, so as far as both may go; of predictions that do not vary it is 0."""
    if numbers["pearson"] is None:
        return ROUNDING
    ratio = of_a_ratio_of_spreads(numbers, "sd_ratio", match)
    return half_width(numbers, "pearson") * numbers["sd_ratio"] + abs(numbers["pearson"]) * ratio


def of_single_predictions(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """An extreme is one prediction, which is as far from where it should be as predictions are."""
    return float(numbers["l1"])


def of_a_share_beyond(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """The truth beyond an extreme prediction: as a count, and what lies where that extreme may go, the truth being even."""
    share, n, width = numbers[name], numbers["n"], numbers["true_high"] - numbers["true_low"]
    moved = min(1.0, of_single_predictions(numbers, name, match) / width) if width else 1.0
    return max(3.0, WIDE * math.sqrt(n * share * (1 - share))) / n + moved


def of_a_count(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """Half a 95 % interval of a count among n; of none or all, 3 (the rule of three)."""
    count, n = numbers[name], numbers["n"]
    return max(3.0, WIDE * math.sqrt(count * (1 - count / n)))


def of_a_share(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """Likewise of a count over n."""
    share, n = numbers[name], numbers["n"]
    return max(3.0, WIDE * math.sqrt(n * share * (1 - share))) / n


def of_pairs(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """A half and half of Kendall's tau, which varies less than Spearman's rho."""
    return half_width(numbers, "spearman") / 2


def of_channels(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """CC is the mean of those of the channels, so each varies by the root of their number more."""
    channels = [key for key in numbers if key.startswith("cc_channel_") and numbers[key] is not None]
    return half_width(numbers, "cc") * math.sqrt(len(channels))


def of_a_distance(numbers: Numbers, name: str, match: re.Match[str]) -> float:
    """A squared distance of features: in proportion, as the squared error of the maps; but the features are of a trained network themselves."""
    return abs(numbers[name]) * max(DISTANCE, half_width(numbers, "mse") / numbers["mse"])


def like(measure: str) -> Rule:
    """As a measure with an interval, in proportion where the number is a multiple of it."""

    def rule(numbers: Numbers, name: str, match: re.Match[str]) -> float:
        return half_width(numbers, measure)

    return rule


def multiple_of(measure: str) -> Rule:
    """A number that is a multiple of a measure with an interval."""

    def rule(numbers: Numbers, name: str, match: re.Match[str]) -> float:
        return half_width(numbers, measure) * abs(numbers[name] / numbers[measure])

    return rule


RULES: dict[str, Rule] = {
    r"n|seeds|seen|residuals|true_low|true_high|maps_without_cc": of_the_truth,
    r"split_half|reliability|attainable": of_the_truth,
    r"(?:top|bottom)_(\d+)": of_a_mean,
    r"wasserstein": of_a_mean,
    r"sd_ratio|variety": of_a_ratio_of_spreads,
    r"slope": of_a_slope,
    r"truth_below|truth_above": of_a_share_beyond,
    r"predicted_low|predicted_high": of_single_predictions,
    r"maps_predicted_flat": of_a_count,
    r"accuracy|coverage": of_a_share,
    r"width": multiple_of("l1"),
    r"pair_accuracy": of_pairs,
    r"spearman_within_category": like("spearman"),
    r"spearman_of_attainable": multiple_of("spearman"),
    r"l1_on_-1_to_1": multiple_of("l1"),
    r"cc_channel_\d+": of_channels,
    r"fid_.+": of_a_distance,
}


def half_width(numbers: Numbers, name: str) -> float:
    """Of the interval of a measure; infinite where there are too few rows for one."""
    low, high = numbers[f"{name}_low"], numbers[f"{name}_high"]
    return math.inf if low is None or high is None else (high - low) / 2


def tolerance(name: str, numbers: Numbers) -> float:
    """What a number may differ by, given all numbers of its model and split as they are committed.

    Raises:
        NoRule: nothing says how to judge it.
    """
    if f"{name}_low" in numbers and f"{name}_high" in numbers:
        return max(ROUNDING, TRAINED * half_width(numbers, name))
    for end in ENDS:
        base = name.removesuffix(end)
        if base != name and base in numbers:
            return tolerance(base, numbers)
    for pattern, rule in RULES.items():
        if match := re.fullmatch(pattern, name):
            allowed = rule(numbers, name, match)
            return allowed if rule is of_the_truth else max(ROUNDING, TRAINED * allowed)
    raise NoRule(name)


def excepted(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in EXCEPTIONS)


def may_turn(difference: float, low: float | None, high: float | None, *, comparisons: int = 1) -> bool:
    """Whether a verdict may be another one: the interval that decided it has an end nearer to 0 than the tolerance.

    Args:
        low, high: the 95 % interval of the difference, None of too few rows.
        comparisons: made at once; what decided is then the interval widened for their number.
    """
    if low is None or high is None:
        return True
    error = (high - low) / 2 / WIDE
    widened = NormalDist().inv_cdf(1 - 0.025 / comparisons) * error
    return abs(difference) - widened <= TRAINED * (high - low) / 2
