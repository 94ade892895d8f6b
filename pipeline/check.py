"""check: every block of params.yaml, that of the last model too, is valid before anything else runs: data/checked.

It comes first also because DVC deletes a stage's outputs before it runs the stage, wherever the name of a model leads.
"""

from memorability.core.files import write_text
from memorability.core.layout import CHECKED
from memorability.params import Params
from pipeline.common import run


def main(params: Params) -> None:
    params.check()
    write_text(CHECKED, "valid\n")


if __name__ == "__main__":
    run("check", main)
