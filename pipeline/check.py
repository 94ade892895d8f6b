"""check: every block of params.yaml, that of the last model too, is valid before anything else runs: data/checked.

It comes first also because DVC deletes a stage's outputs before it runs the stage, wherever the name of a model leads.
Beside that, TRACK.json has the blocks of the models of each track: what is evaluated anew when a model comes or goes.
"""

from memorability.core.files import staged_folder, write_json, write_text
from memorability.core.layout import CHECKED
from memorability.params import Params
from pipeline.common import run


def main(params: Params) -> None:
    params.check()
    blocks = params.models | params.ensembles
    with staged_folder(CHECKED) as out:
        write_text(out / "valid", "yes\n")
        for track in params.evaluate:
            write_json(out / f"{track}.json", {name: blocks[name] for name in params.heads(track)})


if __name__ == "__main__":
    run("check", main)
