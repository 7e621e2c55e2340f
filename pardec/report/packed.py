"""Compress the page for viewers that limit the size of embedded pages.

Snakemake's report shows a page as a `data:` address, which Chromium limits to two million characters. The folded page
contains the same bytes, compressed, and unfolds itself in the browser.
"""

from __future__ import annotations

from html import escape

from pardec.common.folded import fold_text

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
</head>
<body>
<p id="progress">Unfolding the page. If nothing happens, open results/report.html: it needs no script to be read.</p>
<script type="application/octet-stream" id="folded">{data}</script>
<script>
(async () => {{
  const bytes = Uint8Array.from(atob(document.getElementById("folded").textContent), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const page = await new Response(stream).text();
  document.open();
  document.write(page);
  document.close();
}})().catch((error) => {{
  document.getElementById("progress").textContent = `This page does not unfold (${{error}}). Open results/report.html.`;
}});
</script>
</body>
</html>
"""


def fold(html: str, title: str) -> str:
    """Return a page that unfolds to `html`; equal pages give equal bytes."""
    return PAGE.format(title=escape(title), data=fold_text(html))
