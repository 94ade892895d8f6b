"""Writes what `dvc plots` draws with: plots/page.html and the templates in .dvc/plots/. All are committed; no stage.

python -m pipeline.plots_page, after a change of this file or of the version of Vega: tests hold what is committed
against it. The page has Vega's scripts inside, so it works offline (DVC's own loads them from the network); it has to be
committed, since DVC refuses a template that is not there, and is under 1 MB.
"""

from pathlib import Path
from typing import Any

import vl_convert

from memorability.core.files import write_json, write_text
from memorability.core.layout import PLOTS_PAGE

TEMPLATES = Path(".dvc/plots")  # where DVC looks for the names that dvc.yaml gives
VEGA_LITE = "5.21"  # the version whose schema DVC's templates are written in
HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>Memorability: plots</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a202c; }
main { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
main > :has(img) { order: -1; flex-basis: 100%; }
img { max-width: 100%; }
</style>
<script>SCRIPTS</script>
</head>
<body><h1>Memorability: plots</h1><main>{plot_divs}</main></body>
</html>
"""
# Track -> what its values are called, and what is followed by epoch.
SCORE, MAP = ("memorability score", "Spearman"), ("value of a map", "CC")
TRACKS = {"images": SCORE, "videos": SCORE, "maps": MAP}
PEAK = (
    2  # densities above so many times the truth's highest are cut off: a model of one value flattens no other
)
LOWEST = 0.001  # density of maps: most of their pixels are near 0, so that axis is logarithmic


def density(track: str) -> dict[str, Any]:
    """Each model's predictions and, black and dashed, the truth."""
    model = {"field": "model", "type": "nominal", "title": "model", "scale": {"scheme": "tableau20"}}
    scale = {"type": "log", "domainMin": LOWEST, "clamp": True} if track == "maps" else {"zero": True}
    axes = {
        "x": {"field": "value", "type": "quantitative", "title": TRACKS[track][0]},
        "y": {"field": "height", "type": "quantitative", "title": "density", "scale": scale},
    }
    chosen = {"param": "model", "value": 1}
    models = {
        "transform": [{"filter": "datum.model != 'truth'"}],
        "params": [{"name": "model", "select": {"type": "point", "fields": ["model"]}, "bind": "legend"}],
        "mark": {"type": "line", "clip": True},
        "encoding": axes
        | {"color": model, "opacity": {"condition": chosen, "value": 0.1}, "tooltip": [model]},
    }
    truth = {
        "transform": [{"filter": "datum.model == 'truth'"}],
        "mark": {"type": "line", "color": "black", "strokeDash": [6, 4], "clip": True},
        "encoding": axes,
    }
    top = {"op": "max", "field": "true", "as": "top"}
    transform: list[dict[str, Any]] = [
        {"calculate": "datum.model == 'truth' ? datum.density : 0", "as": "true"},
        {"joinaggregate": [top], "groupby": ["target", "rev"]},
        {"calculate": f"min(datum.density, {PEAK} * datum.top)", "as": "height"},
        *([{"filter": f"datum.height > {LOWEST}"}] if track == "maps" else []),
    ]
    return _faceted(
        {"width": 420, "height": 260, "layer": [models, truth]},
        numbers=("value", "density"),
        transform=transform,
        facet=_by_target(),
        note="The truth is dashed. Click on names in the legend.",
    )


def history(track: str) -> dict[str, Any]:
    """Validation by epoch of the models that have epochs."""
    model = {"field": "model", "type": "nominal", "scale": {"scheme": "tableau20"}}
    title = f"validation {TRACKS[track][1]}"
    followed = {"field": "validation", "type": "quantitative", "title": title, "scale": {"zero": False}}
    encoding = {
        "x": {"field": "epoch", "type": "quantitative", "title": "epoch"},
        "y": followed,
        "color": model,
        "tooltip": [model, {"field": "epoch"}, {"field": "validation", "title": title}],
    }
    return _faceted(
        {"width": 420, "height": 260, "mark": {"type": "line", "point": True}, "encoding": encoding},
        numbers=("epoch", "validation"),
        facet=_by_target(),
    )


def scatter(track: str) -> dict[str, Any]:
    """Predicted over true values of test items, a panel a model, with the line on which both are the same."""
    kind = "mean of the map" if track == "maps" else TRACKS[track][0]
    # One model's wild predictions must not flatten the others: they are drawn at the edge.
    scale = {"zero": False} if track == "maps" else {"domain": [0, 1], "clamp": True}
    x = {"field": "truth", "type": "quantitative", "title": f"true {kind}", "scale": scale}
    y = {"field": "prediction", "type": "quantitative", "title": "predicted", "scale": scale}
    points = {
        "mark": {"type": "circle", "size": 14, "opacity": 0.6},
        "encoding": {"x": x, "y": y, "color": {"field": "rev", "type": "nominal", "title": "revision"}},
    }
    same = {
        "mark": {"type": "line", "color": "grey", "strokeDash": [4, 4]},
        "encoding": {"x": x, "y": y | {"field": "truth"}},
    }
    header = {"field": "model", "type": "nominal", "title": None, "sort": None}
    spec = {"width": 150, "height": 150, "layer": [same, points]}
    return _faceted(spec, numbers=("truth", "prediction"), facet=header) | {"columns": 6}


def _by_target() -> dict[str, Any]:
    """A column a target, a row a revision that is compared."""
    head = {"type": "nominal", "title": None, "sort": None}
    return {"column": head | {"field": "target"}, "row": head | {"field": "rev"}}


def _faceted(
    spec: dict[str, Any],
    *,
    numbers: tuple[str, ...],
    facet: dict[str, Any],
    transform: list[dict[str, Any]] | None = None,
    note: str = "",
) -> dict[str, Any]:
    """A template: what is in angles is filled in by DVC, whose values are texts."""
    title = {"text": "<DVC_METRIC_TITLE>", "anchor": "start"} | ({"subtitle": note} if note else {})
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": title,
        "data": {
            "values": "<DVC_METRIC_DATA>",
            "format": {"type": "json", "parse": dict.fromkeys(numbers, "number")},
        },
        "transform": transform or [],
        "facet": facet,
        "spec": spec,
    }


def main() -> None:
    scripts = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    write_text(PLOTS_PAGE, HTML.replace("SCRIPTS", scripts.replace("</script", "<\\/script")))
    for track in TRACKS:
        for template in (density, history, scatter):
            write_json(TEMPLATES / f"{track}_{template.__name__}.json", template(track))


if __name__ == "__main__":
    main()
