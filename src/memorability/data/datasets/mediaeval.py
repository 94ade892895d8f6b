"""MediaEval 2018 Predicting Media Memorability: 10,000 soundless clips of about 7 s (Cohendet et al. 2018).

Layout: `sources/NAME.webm`, a table of scores, `captions.txt` with lines `NAME TAB TITLE`, and
`features/FOLDER/` with text files, one a clip (`video10.txt`) or one a frame (`video10-56.txt`, by the
frame's number), which `memorability.features.given` reads. The table's columns are read by name. Its two
scores say how many people knew the clip again after minutes (short-term, corrected for how many) and
after one to three days (long-term). 8,000 clips are in the table; the 2,000 others are the official
test, whose scores are not part of the set.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from memorability.core.errors import DataError, listing
from memorability.core.settings import Name
from memorability.data.datasets.common import (
    Folder,
    counts,
    file_columns,
    name_problem,
    read_csv,
    scores,
    shown,
)

ACCESS = (
    "MediaEval 2018's clips are handed out on request, see "
    "http://www.multimediaeval.org/mediaeval2018/memorability: put sources/, ground-truth.csv, captions.txt "
    "and, if they are used, features/ there."
)
TERMS = {"short_term": "short-term", "long_term": "long-term"}  # our columns: the table's
SUFFIX = ".webm"
WHOLE = -1


class Params(Folder):
    """Where the parts of the set lie below `root`.

    `truth` is the table of scores, `sources` the folder of clips, `captions` the file of titles (None if
    there is none), and `features` names the folders below `features_root` that are to be imported.
    """

    truth: str = "ground-truth.csv"
    sources: str = "sources"
    captions: str | None = "captions.txt"
    features: tuple[Name, ...] = ()
    features_root: str = "features"


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The rows of a MediaEval folder: see `read_layout`."""
    return read_layout(params.root, truth=params.truth, sources=params.sources, captions=params.captions)


def read_layout(
    root: Path,
    *,
    truth: str = "ground-truth.csv",
    sources: str = "sources",
    captions: str | None = "captions.txt",
) -> pd.DataFrame:
    """The rows of a folder in this layout: the table's in its order, then the clips that are not in it.

    A clip that is not in the table is unlabelled; such clips are in the order of their numbers. Every
    file in `sources` is a clip that is called .webm or ends as a clip of the table does. A row of the
    table keeps its place whether its file is there or not.

    Returns:
        path, file, problem       as in every data set
        short_term, long_term     scores in [0, 1]
        short_term_responses, long_term_responses     counts of answers behind them
        title                     with spaces for hyphens; missing where there is none
        split                     `unlabelled`, or missing

    Raises:
        DataError: the table or the captions are missing, or lines of them cannot be read.
    """
    table = root / truth
    columns = ["video", *(f"{term}_memorability" for term in TERMS.values())]
    columns += [f"nb_{term}_annotations" for term in TERMS.values()]
    raw = read_csv(table, columns, strip=True)  # some copies have spaces around names and fields
    parsed = {name: scores(raw[f"{term}_memorability"]) for name, term in TERMS.items()}
    problems = pd.Series(pd.NA, index=raw.index, dtype="string")
    for name, term in TERMS.items():
        said = f"{term} " + parsed[name][1]
        problems = (problems + "; " + said).fillna(problems).fillna(said)
    rows = pd.DataFrame(
        file_columns(f"{sources}/" + raw["video"], problems, root=root, table=table.name)
        | {name: found for name, (found, _) in parsed.items()}
        | {
            f"{name}_responses": counts(raw[f"nb_{term}_annotations"], of=table)
            for name, term in TERMS.items()
        }
        | {"split": pd.Series(pd.NA, index=raw.index, dtype="string")}
    )
    rows = pd.concat([rows, _unlabelled(root, sources, set(raw["video"].dropna()))], ignore_index=True)
    titles = {} if captions is None else _titles(root / captions)
    rows["title"] = pd.array([titles.get(_stem(path), pd.NA) for path in rows["path"]], dtype="string")
    return rows


def given(params: Params, names: list[str]) -> dict[str, list[list[Path]]]:
    """The files of the given features: for each folder in `params.features`, each clip's in frame order.

    Args:
        names: the clips, such as the rows' `path`: `sources/video10.webm`, `video10.webm` or `video10`.

    A clip has one file, `video10.txt`, or one for each of its frames, `video10-0.txt`, `video10-56.txt` and
    so on, in the order of these numbers; clips may differ in how many they have. Files of other clips
    are left alone.

    Raises:
        DataError: a folder is not there, a clip has no file in it, or both kinds; all of these are named.
    """
    stems = [_stem(name) for name in names]
    found, wrong = dict[str, list[list[Path]]](), list[str]()
    for feature in params.features:
        folder = params.root / params.features_root / feature
        if not folder.is_dir():
            wrong.append(f"{folder}: no such folder")
            continue
        files = _feature_files(folder, set(stems))
        for stem in dict.fromkeys(stems):
            numbers = [number for number, _ in files[stem]]
            if not numbers:
                wrong.append(f"{folder / stem}.txt: no such file, nor {stem}-0.txt or of another frame")
            elif len(numbers) > 1 and numbers[0] == WHOLE:
                wrong.append(
                    f"{folder / stem}.txt: one file a clip, but {files[stem][1][1].name} is there too"
                )
        found[feature] = [[path for _, path in files[stem]] for stem in stems]
    if wrong:
        raise DataError(f"{len(wrong)} given features are missing or doubtful:\n{listing(wrong)}")
    return found


def _feature_files(folder: Path, stems: set[str]) -> dict[str, list[tuple[int, Path]]]:
    """Each clip's files with the numbers of their frames, in order; the one file of a clip has `WHOLE`."""
    found: dict[str, list[tuple[int, Path]]] = {stem: [] for stem in stems}
    for path in folder.glob("*.txt"):
        frame = re.fullmatch(r"(.+)-([0-9]+)", path.stem)
        if path.stem in stems:  # also if it looks like a frame: a clip may be called clip-2
            found[path.stem].append((WHOLE, path))
        elif frame and frame[1] in stems:
            found[frame[1]].append((int(frame[2]), path))
    return {stem: sorted(files) for stem, files in found.items()}


def _unlabelled(root: Path, sources: str, known: set[str]) -> pd.DataFrame:
    """The clips that the table does not know, in the order of the numbers in their names."""
    suffixes = {SUFFIX, *(Path(name).suffix for name in known)} - {""}
    folder = root / sources
    files = folder.iterdir() if folder.is_dir() else ()
    clips = [file.name for file in files if file.suffix in suffixes and not file.name.startswith(".")]
    names = sorted(set(clips) - known, key=_natural)
    return pd.DataFrame(
        {
            "path": pd.array([f"{sources}/{shown(name)}" for name in names], dtype="string"),
            "file": [folder / name for name in names],
            "problem": pd.array([name_problem(name) for name in names], dtype="string"),
            "split": pd.array(["unlabelled"] * len(names), dtype="string"),
        }
    )


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sorts clip2 before clip10."""
    parts = re.split("([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _stem(path: str) -> str:
    """What a clip's files of captions and features call it."""
    return Path(path).stem


def _titles(path: Path) -> dict[str, str]:
    """The title of each clip, by its name without its suffix."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such captions; `captions: null` if the set has none") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error
    titles, wrong = dict[str, str](), list[str]()
    for number, line in enumerate(lines, start=1):
        name, _, text = line.partition("\t")
        stem, title = _stem(name.strip()), " ".join(text.replace("-", " ").split())
        if not line.strip():
            continue
        if not stem or not title:
            wrong.append(f"{path}:{number}: expected NAME TAB TITLE, received {line!r}")
        elif titles.setdefault(stem, title) != title:
            wrong.append(
                f"{path}:{number}: {stem} has another title above, {titles[stem]!r}, received {line!r}"
            )
    if wrong:
        raise DataError(f"{len(wrong)} captions cannot be used:\n{listing(wrong)}")
    return titles
