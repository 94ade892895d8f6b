"""The tables everything else reads: a track's raw index, its frames' index, and its split.

Columns (empty where a data set has no such thing):

    id            data set and path within it; unique
    dataset, category, subcategory
    score         memorability in [0, 1]                                                  images
    responses, hits, false_alarms     counts of participants' answers                     images
    false_alarm_responses             answers to the picture as a new one, of which false_alarms were wrong;
                  where it is missing, there were as many as `responses`                  images
    short_term, long_term             memorability after minutes and after a day or more  videos
    short_term_responses, long_term_responses     answers behind each                     videos
    title         a line on what a clip shows                                             videos
    map, channels sha256 of the file of the picture's map (without one it is unlabelled), and how many
                  channels it has, 1 or 3                                                 maps
    width, height pixels;  phash: perceptual hash, 16 hex digits;  sha256 of the file
    content       of pictures that are mostly of one colour: what is on them (`memorability.media.hashes`)
    frames, duration                  frames taken from a clip and its seconds            (frames' index)
    shard, offset, size               where the file's bytes lie among the raw shards
    split         train | val | test | unlabelled; in the raw index as published: empty, one name, or
                  one name for each published split of the set, with spaces between (- : not in it)
    group         number of the row's group of near-duplicates, which one part of a split must not divide
                  (split table only)
    split_scores  score in each published split of the set, as `split` is written, where they differ;
                  `score` is then their mean (raw index of images only)
    problem       why the file cannot be used (not in the split table)
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from memorability.core.errors import DataError
from memorability.core.files import sha256, staged, write_text

Track = Literal["images", "videos", "maps"]
SPLITS: Final = ("train", "val", "test", "unlabelled")
LABELLED: Final = SPLITS[:3]  # those with scores
# Track -> what can be predicted: columns of its tables.
TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "images": ("score",),
    "videos": ("short_term", "long_term"),
    "maps": ("map",),
}
# Of pictures whose answers are counted also these, which no table has as a column.
COUNTED: Final = ("hit_rate", "false_alarm_rate", "d_prime")
SEALS: Final = "SHA256SUMS"
MEND: Final = "get it again (dvc checkout --force), or run the stage that makes it"
_ONLY_BEFORE_SPLIT = ("split_scores", "problem")
_TEXT = (
    "id",
    "dataset",
    "category",
    "subcategory",
    "title",
    "map",
    "phash",
    "content",
    "sha256",
    "shard",
    "split",
)
_WHOLE = ("channels", "width", "height", "frames", "offset", "size", "group")
AS_A_RATE = 0.0051  # that a score may be off hits / responses and be the same, rounded to two digits
COUNTS = (
    *("responses", "hits", "false_alarms", "false_alarm_responses"),
    *("short_term_responses", "long_term_responses"),
)
_OF_TRACK = {
    "images": ("score", "responses", "hits", "false_alarms", "false_alarm_responses", "split_scores"),
    "videos": ("short_term", "short_term_responses", "long_term", "long_term_responses", "title"),
    "maps": ("map", "channels"),
}


def raw(track: str) -> list[str]:
    """The columns of a track's raw index."""
    return [
        *("id", "dataset", "category", "subcategory", *_OF_TRACK[track]),
        *("width", "height", "phash", "content", "sha256", "shard", "offset", "size", "split", "problem"),
    ]


def split(rows: pd.DataFrame) -> list[str]:
    """The columns of the split table that is made of an index."""
    return [column for column in rows.columns if column not in _ONLY_BEFORE_SPLIT] + ["group"]


def targets(rows: pd.DataFrame) -> list[str]:
    """What can be predicted of the rows of an index or a split table: of what they have any score, or map."""
    named = [target for names in TARGETS.values() for target in names if target in rows.columns]
    return [target for target in named if rows[target].notna().any()]


def for_target(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """A split table as seen by a model of one target: its score and its answers are in the images' columns.

    Of `COUNTED` the score is made of the answers: the hit rate, the false-alarm rate, or d' as the share of pairs that an
    unbiased observer of that d' tells apart, in [0, 1] as all scores are (`recognition.forced_choice`). Halves of answers are those
    to old, or to new, trials alone; of d' there are none.

    A row without that score is unlabelled. Where answers were counted but not told apart, hits are
    taken as score x responses, rounded, and false alarms as 0. Of target `map` there are no scores: only
    rows without a map become unlabelled.

    Raises:
        DataError: the table has no such target.
    """
    if target in COUNTED and "hits" in rows.columns:
        return _of_counts(rows, target)
    if target not in rows.columns:
        raise DataError(f"target {target!r}: the table has {', '.join(targets(rows)) or 'no scores'}")
    if target == "map":
        found = rows
    elif target == "score":
        found = _in_halves_of_its_kind(rows)
    else:
        score, responses = rows[target].astype(float), rows[f"{target}_responses"]
        counted = (score * responses.astype("Float64")).round().astype("Int64")
        alarms = responses.where(responses.isna(), 0)
        answers = {"responses": responses, "hits": counted, "false_alarms": alarms}
        found = rows.assign(score=score, **answers, false_alarm_responses=responses)
    missing = found["map" if target == "map" else "score"].isna()
    return found.assign(split=found["split"].mask(missing, "unlabelled"))


def _in_halves_of_its_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of pictures; where the scores of a data set are hit rates, no false alarms: halves of answers are then scored alike."""
    if not {"hits", "responses", "false_alarms"} <= set(rows.columns):
        return rows
    off = (rows["hits"] / rows["responses"] - rows["score"]).abs().astype(float)
    farthest = off.groupby(rows["dataset"]).transform("max") if "dataset" in rows else off.max() + 0 * off
    return rows.assign(false_alarms=rows["false_alarms"].mask((farthest < AS_A_RATE).to_numpy(bool), 0))


def _of_counts(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """`for_target` of one of `COUNTED`; rows without the counts that it needs are unlabelled."""
    from memorability.data import recognition  # scipy, which the stages that only read tables do without

    both = rows["false_alarm_responses"].fillna(rows["responses"])
    counts = [rows["hits"], rows["responses"], rows["false_alarms"], both]
    hits, old, alarms, new = (
        column.astype("Float64").to_numpy(float, na_value=float("nan")) for column in counts
    )
    score = pd.Series(recognition.target(target, hits, old, alarms, new), index=rows.index)
    counted, answers = {
        "hit_rate": (rows["hits"], rows["responses"]),
        "false_alarm_rate": (rows["false_alarms"], both),
        "d_prime": (pd.Series(pd.NA, index=rows.index, dtype="Int64"),) * 2,
    }[target]
    none = answers.where(answers.isna(), 0)
    found = rows.assign(
        score=score, hits=counted, responses=answers, false_alarms=none, false_alarm_responses=answers
    )
    return found.assign(split=found["split"].mask(score.isna(), "unlabelled"))


def seal(folder: Path) -> None:
    """Notes the SHA-256 of each table in a folder in `SHA256SUMS`, as `sha256sum` does; `read` looks there."""
    tables = sorted(folder.glob("*.csv"))
    write_text(folder / SEALS, "".join(f"{sha256(path)}  {path.name}\n" for path in tables))


def write(table: pd.DataFrame, path: Path) -> None:
    """Writes CSV with every float at its shortest exact form."""
    with staged(path) as scratch:
        table.to_csv(scratch, index=False, lineterminator="\n")


def read(path: Path, *, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """Reads a table written by a stage, with the column types above (pandas 3 reads floats exactly).

    Args:
        columns: that it must have.

    Raises:
        DataError: the file is not there, is no such table, or is not as its stage wrote it (see `seal`).
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table; run the stage that makes it (dvc repro)")
    try:
        content = path.read_bytes()
        _check_seal(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    try:
        head = pd.read_csv(io.BytesIO(content), nrows=0).columns
        types = {name: "string" for name in (*_TEXT, *_ONLY_BEFORE_SPLIT) if name in head}
        types |= {name: "Int64" for name in (*COUNTS, *_WHOLE) if name in head}
        table = pd.read_csv(io.BytesIO(content), dtype=types, keep_default_na=False, na_values=[""])
    except (ValueError, TypeError, OverflowError) as error:  # of an empty, a binary or a mangled file
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as a table ({reason}); {MEND}") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns)}; {MEND}")
    return table


def _check_seal(path: Path, content: bytes) -> None:
    """A table that lost lines can still be read, as one of fewer rows."""
    seals = path.with_name(SEALS)
    text = seals.read_text(encoding="utf-8", errors="replace") if seals.is_file() else ""
    if f"  {path.name}\n" in text and f"{sha256(content)}  {path.name}\n" not in text:
        raise DataError(f"{path}: not as its stage wrote it (cut, or changed since); {MEND}")
