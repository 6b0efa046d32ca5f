"""What the site needs beyond mkdocs: pages from outside ``docs/``, links between them, and formulas without scripts.

Markdown files here are read on GitHub as well, so a link is a path in the repository. On the site such a path becomes
the page it leads to. A formula is LaTeX, which GitHub draws; here it becomes MathML, which browsers draw by themselves.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs"
# Files that lie elsewhere than the site has them: their path in the repository, and what they are called there.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/CHANGELOG.md",
    "CONTRIBUTING.md": "project/CONTRIBUTING.md",
    "SECURITY.md": "project/SECURITY.md",
    "CITATION.cff": "project/CITATION.cff.txt",
    "LICENSE": "project/LICENSE.txt",
    "NOTICE": "project/NOTICE.txt",
    "docs/report/README.md": "report/about.md",  # README.md would be written over index.html, the report itself
    "stylerig_fast/assets/mobilestylegan-ffhq/README.md": "project/model-card.md",
}
# The list of pages that GitHub shows for docs/; the site has its navigation.
CONTENTS = f"{DOCS}/README.md"

LINK = re.compile(r'(\]\(|<img src=")(?!https?://|mailto:|#)([^)#"\s]+)')
FORMULA = re.compile(r'<(span|div) class="arithmatex">\s*\\([(\[])(.*?)\\[)\]]\s*</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files that lie elsewhere."""
    for source, name in ELSEWHERE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns paths in the repository into paths on the site; what is not on the site is left to mkdocs' check."""
    place = repository_path(page.file.src_uri)

    def on_site(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), found[2]))
        return found[1] + posixpath.relpath(site_path(target), posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(on_site, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas as MathML."""
    return FORMULA.sub(mathml, content)


def mathml(found: re.Match[str]) -> str:
    """A formula that arithmatex has marked, as MathML."""
    return convert(html.unescape(found[3]).strip(), display="block" if found[2] == "[" else "inline")


def repository_path(name: str) -> str:
    """Where a file of the site lies in the repository."""
    return next((source for source, site in ELSEWHERE.items() if site == name), f"{DOCS}/{name}")


def site_path(path: str) -> str:
    """What a file of the repository is called on the site."""
    if path in (CONTENTS, DOCS):
        path = "README.md"
    return ELSEWHERE.get(path, path.removeprefix(f"{DOCS}/"))
