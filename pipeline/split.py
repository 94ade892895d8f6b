"""split@TRACK: one table of who trains, validates and is tested: data/splits/TRACK.csv.

Beside it the bare ids with their fold and split, which git keeps, and a report.
"""

import sys
from pathlib import Path

from memorability.core import layout
from memorability.core.files import write_json
from memorability.data import splits, tables
from memorability.data.tables import Track
from memorability.params import Params
from pipeline.common import run


def main(params: Params, track: Track) -> None:
    settings = params.split[track]
    table, ids, report = splits.split(tables.read(Path(settings.input) / "index.csv"), settings)
    tables.write(table, layout.SPLITS / f"{track}.csv")
    tables.write(ids, layout.SPLITS / f"{track}.ids.csv")
    write_json(layout.SPLITS / f"{track}.report.json", report)
    left_out = f"; {report['left_out']} left out" * bool(report["left_out"])
    print(", ".join(f"{name} {count}" for name, count in report["rows"].items()) + left_out)
    if unused := report.get("published_split_not_used"):
        print(
            f"warning: {unused} rows come with a split, which method {settings.method} does not use: "
            f"{report['published_test_rows_in_train']} of their test rows are in train (method: published uses it)",
            file=sys.stderr,
        )


if __name__ == "__main__":
    run("split", main)
