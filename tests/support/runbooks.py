"""The page of runbooks that the monitor serves, made from docs/how-to/incidents.md.

`python -m tests.support.runbooks` writes it. It is committed, because an installed monitor has no
documentation beside it, and may have no way to the internet.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

from bridge.monitor.problems import RUNBOOKS
from tests.support.broker import TOP

SOURCE = TOP / RUNBOOKS
PAGE = TOP / "bridge" / "monitor" / "page" / "runbooks.html"
HEAD = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Incidents: rasa-bridge</title>
  <link rel="icon" href="icon.svg">
  <link rel="stylesheet" href="style.css">
</head>
<body>
<main class="runbooks">
<!-- Made from docs/how-to/incidents.md by tests/support/runbooks.py. -->
"""


def rendered() -> str:
    """Return the page. Links to other pages of the documentation become their names."""
    text = re.sub(r"\[([^\]]+)\]\((?!#)[^)]+\)", r"\1", SOURCE.read_text())
    html = MarkdownIt().render(text)
    parts = re.split(r"<h2>(.*?)</h2>\n", html)
    intro, sections = parts[0], zip(parts[1::2], parts[2::2], strict=True)
    body = "".join(
        f'<section id="{name}">\n<h2>{name}</h2>\n{content}</section>\n'
        for name, content in sections
    )
    return f"{HEAD}{intro}{body}</main>\n</body>\n</html>\n"


if __name__ == "__main__":
    PAGE.write_text(rendered())
