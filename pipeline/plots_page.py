"""Writes plots/page.html, the page that `dvc plots show` fills: its scripts are inside, so it works offline.

No stage: `make` runs it once after installing. DVC's own page loads its scripts from the network.
"""

import vl_convert

from memorability.core.files import write_text
from memorability.core.layout import PLOTS_PAGE

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


def main() -> None:
    scripts = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    write_text(PLOTS_PAGE, HTML.replace("SCRIPTS", scripts.replace("</script", "<\\/script")))


if __name__ == "__main__":
    main()
