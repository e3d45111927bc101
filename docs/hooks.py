"""MkDocs hooks: the CLI reference from click, pages from the top directory, links out of docs/.

Nothing is written twice: a marker in `reference/cli.md` is replaced by the help texts of the
commands, and ARCHITECTURE.md and the like become pages without being copied.
"""

from __future__ import annotations

import inspect
import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bridge.cli import cli

log = logging.getLogger("mkdocs.plugins.bridge")

TOP = Path(__file__).resolve().parents[1]
COMMANDS = "<!-- commands -->"
PROJECT = {
    "ARCHITECTURE.md": "project/architecture.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
}
"""Files of the top directory that are pages, too."""
LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
FOREIGN = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*")
"""What a page would fetch from another host."""
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for source, uri in PROJECT.items():
        files.append(File.generated(config, uri, abs_src_path=str(TOP / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    uri = page.file.src_uri
    return outside_code(
        generated(markdown), lambda text: LINK.sub(lambda link: relink(link, uri), text)
    )


def on_post_page(output: str, page: Any, **_: Any) -> str:
    for found in FOREIGN.findall(output):
        log.warning("%s fetches from another host: %s", page.file.src_uri, found)
    return output


def generated(markdown: str) -> str:
    """Replace the marker by the reference of all commands."""
    if COMMANDS not in markdown:
        return markdown
    return markdown.replace(COMMANDS, "\n".join(reference(cli, "rasa-bridge")))


def outside_code(markdown: str, change: Any) -> str:
    """Apply `change` to everything but fenced code."""
    pieces, end = [], 0
    for fence in FENCE.finditer(markdown):
        pieces += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, change(markdown[end:])])


def relink(link: re.Match[str], uri: str) -> str:
    """Point a link between files of the repository at the page, or leave only its text.

    The site has no page for a file outside docs/, and no public host to link to.
    """
    path, hash_, anchor = link["target"].partition("#")
    if not path or "://" in path or path.startswith("mailto:"):
        return link[0]
    sources = {page: source for source, page in PROJECT.items()}
    source = sources.get(uri, f"docs/{uri}")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if target in PROJECT:
        target = f"docs/{PROJECT[target]}"
    elif not (TOP / target).exists():
        return link[0]  # MkDocs reports it
    if not target.startswith("docs/"):
        return link["text"]
    relative = posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(uri) or ".")
    return f"[{link['text']}]({relative}{hash_}{anchor})"


# ---- the command line ----------------------------------------------------------------------------


def reference(command: click.Command, path: str) -> Iterator[str]:
    """Yield the lines of the reference of a command and of all below it."""
    context = click.Context(command, info_name=path)
    if not isinstance(command, click.Group):
        yield from section(command, path, context)
        return
    if path.count(" "):
        yield from [f"## {path}", "", *prose(command), ""]
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from reference(child, f"{path} {name}")


def section(command: click.Command, path: str, context: click.Context) -> Iterator[str]:
    level = "#" * (path.count(" ") + 1)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from [f"{level} {path}", "", *prose(command), "", "```text", f"{path} {usage}", "```", ""]
    records = (param.get_help_record(context) for param in command.get_params(context))
    yield from ["| option | meaning | details |", "| --- | --- | --- |"]
    yield from (f"| {' | '.join(row(*record))} |" for record in records if record)
    yield ""


def prose(command: click.Command) -> Iterator[str]:
    """Yield a command's help as Markdown; a block that click leaves as it is becomes code."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        as_it_is = paragraph.startswith("\b")
        text = paragraph.removeprefix("\b").strip("\n")
        yield from ["```text", text, "```", ""] if as_it_is else [escaped(text), ""]


def row(names: str, help: str) -> tuple[str, str, str]:
    """Return an option's names, its meaning, and what click adds in brackets."""
    text, details = help, []
    while found := re.search(r"\s*\[([^\[\]]+)\]$", text):
        text = text[: found.start()]
        details += [f"`{part.strip()}`" for part in found[1].split(";")]
    return (f"`{names}`".replace("|", "\\|"), escaped(" ".join(text.split())), ", ".join(details))


def escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")
