"""The package's page on an index: the README with absolute links, and the project's URLs.

hatchling calls this for each build. A relative link works in the repository only.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?!https?://|#|mailto:)([^()\s]+)\)")
VARIABLE = "REPOSITORY_URL"
"""Environment variable that replaces the repository of pyproject.toml."""
UNKNOWN = (
    "package_metadata: the repository has no address, so the README's links and picture will not"
    f" work on an index; set repository in pyproject.toml, or {VARIABLE}"
)


class CustomMetadataHook(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        """Add `readme`, and `urls` if the address of the repository is known."""
        repository = (os.environ.get(VARIABLE) or self.config["repository"]).rstrip("/")
        tag = f"v{metadata['version']}"
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute(readme, repository, tag) if repository else readme,
        }
        if not repository:
            print(UNKNOWN, file=sys.stderr)
            return
        pages = f"{repository}/blob/{tag}"
        metadata["urls"] = {
            "Homepage": repository,
            "Documentation": f"{pages}/docs/index.md",
            "Source": repository,
            "Changelog": f"{pages}/CHANGELOG.md",
            "Issues": f"{repository}/issues",
        }


def absolute(text: str, repository: str, tag: str) -> str:
    """Return Markdown whose links and pictures lead to the repository, at a tag."""

    def target(found: re.Match[str]) -> str:
        kind = "raw" if found[1].startswith("!") else "blob"
        return f"{found[1]}({repository}/{kind}/{tag}/{found[2]})"

    return LINK.sub(target, text)
