"""split@TRACK: one table of who trains, validates and is tested: data/splits/TRACK.csv.

Beside it the bare ids with their fold and split, which git keeps, and a report.
"""

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
    print(", ".join(f"{name} {count}" for name, count in report["rows"].items()))


if __name__ == "__main__":
    run("split", main)
