"""What `dvc plots` draws with: committed as `python -m pipeline.plots_page` writes it, and small."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memorability.core.layout import PLOTS_PAGE
from pipeline import plots_page

ROOT = Path(__file__).parents[2]
KINDS = {
    "density": ("value", "density"),
    "history": ("epoch", "validation"),
    "scatter": ("truth", "prediction"),
}
EACH = [(track, kind) for track in plots_page.TRACKS for kind in KINDS]


def test_what_is_committed_is_what_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plots_page.main()
    written = [PLOTS_PAGE, *(plots_page.TEMPLATES / f"{track}_{kind}.json" for track, kind in EACH)]
    for path in written:
        assert (tmp_path / path).read_bytes() == (ROOT / path).read_bytes(), path


def test_the_page_works_offline_and_is_small_enough_for_git():
    page = (ROOT / PLOTS_PAGE).read_text(encoding="utf-8")
    assert len(page.encode()) < 1_000_000
    assert "{plot_divs}" in page
    assert 'src="http' not in page


def filled(track, kind, rows):
    """A template as DVC fills it: every value is a text."""
    from dvc_render.vega import VegaRenderer

    x, y = KINDS[kind]
    path = ROOT / plots_page.TEMPLATES / f"{track}_{kind}.json"
    texts = rows.astype(str).assign(rev="workspace").to_dict("records")
    return json.loads(VegaRenderer(texts, "name", template=str(path), x=x, y=y, title="title").partial_html())


@pytest.mark.parametrize(("track", "kind"), EACH)
def test_templates_are_filled_and_drawn(track, kind):
    vl_convert = pytest.importorskip("vl_convert")
    x, y = KINDS[kind]
    grid = np.linspace(0.01, 0.9, 5)
    rows = pd.concat(
        [pd.DataFrame({"target": "t", "model": m, x: grid, y: grid}) for m in ("truth", "net", "mean")]
    )
    spec = filled(track, kind, rows)
    assert spec["title"]["text"] == "title"
    svg = vl_convert.vegalite_to_svg(spec, vl_version=plots_page.VEGA_LITE)
    assert "title" in svg
    assert "NaN" not in svg


def test_labels_are_those_of_the_track():
    x = {t: plots_page.density(t)["spec"]["layer"][0]["encoding"]["x"]["title"] for t in plots_page.TRACKS}
    assert x == {"images": "memorability score", "videos": "memorability score", "maps": "value of a map"}
    y = {t: plots_page.history(t)["spec"]["encoding"]["y"]["title"] for t in plots_page.TRACKS}
    assert y == dict.fromkeys(("images", "videos"), "validation Spearman") | {"maps": "validation CC"}


def test_one_constant_model_cannot_flatten_the_others():
    """Densities are cut at a multiple of the truth's highest."""
    (height,) = [t["calculate"] for t in plots_page.density("images")["transform"] if t.get("as") == "height"]
    assert height == f"min(datum.density, {plots_page.PEAK} * datum.top)"
