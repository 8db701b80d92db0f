"""What the site shows: the pages of the repository, the files that they name, and pages that are made here.

A hook of mkdocs. A page keeps its path in the repository, so that a link leads to the same place in both.
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from notebook import TUTORIAL, executed
from reference import api_pages, command_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "config/README.md",
    "results/README.md",
    "benchmarks/README.md",
    "docs/**/*.md",
)
ASSETS = ("docs/site/style.css", "docs/site/favicon.svg", "docs/site/iframe-worker.js")
WIDE = {"config/README.md", "results/README.md"}
"""Pages of wide tables, which get the place of the table of contents."""
COPIED = {".svg", ".png", ".jpg", ".gif", ".webp", ".pdf", ".root", ".h5", ".parquet"}
"""Kinds of files that are no text, so that a link leads to the file itself; to others, to a page that shows it."""
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")
HTML_PICTURE = re.compile(r"""(?:src|srcset)=["'](?!\w+:)([^"'\s]+)["']""")
KEPT = {"Ll", "Lm", "Lo", "Mn", "Mc", "Nd", "Nl", "Pc"}
"""Categories of Unicode that stand in anchors."""
LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".toml": "toml", ".sh": "bash"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that are there in the place of each * of the navigation, and give headings GitHub's anchors."""
    config.mdx_configs["toc"]["slugify"] = anchor
    config.nav = [entry for entry in map(_expanded, config.nav or []) if entry]
    return config


def anchor(heading: str, separator: str) -> str:
    """The anchor that GitHub gives a heading: lower case, without signs and superscripts."""
    kept = (sign for sign in heading.lower() if unicodedata.category(sign) in KEPT or sign in " -")
    return "".join(kept).replace(" ", separator)


def _expanded(entry: Any) -> Any:
    """An entry of the navigation without *; None where there is nothing."""
    ((title, inside),) = entry.items() if isinstance(entry, dict) else ((None, entry),)
    if isinstance(inside, list):
        return {title: [each for each in map(_expanded, inside) if each]}
    if not inside.endswith("*.md"):
        return entry
    there = (path.relative_to(ROOT).as_posix() for path in ROOT.glob(inside))
    found = {*there, *(path for path in api_pages() if Path(path).match(inside))}
    return {title: sorted(found, key=lambda path: (not path.endswith("index.md"), path))} if found else None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the files of the repository in place of those of its folder docs/."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    made = {**api_pages(), **command_page(), **executed(ROOT)}
    pages = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in _found(PAGES)}
    texts = pages | {path: content for path, content in made.items() if isinstance(content, str)}
    named = {target for page, text in texts.items() for target in _named(page, text)} - pages.keys() - {TUTORIAL}
    copied = {target for target in named if Path(target).suffix in COPIED}
    for path in (*pages, *ASSETS, *sorted(copied)):
        files.append(File(path, str(ROOT), config.site_dir, use_directory_urls=False))
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    for path in sorted(named - copied):
        shown = {"content": _as_code(path), "inclusion": InclusionLevel.NOT_IN_NAV}
        files.append(File.generated(config, f"{path}.md", **shown))
    return files


def _found(patterns: tuple[str, ...]) -> Iterator[Path]:
    return (path for pattern in patterns for path in sorted(ROOT.glob(pattern)))


def _named(page: str, text: str) -> set[str]:
    """The files of the repository to which a page links."""
    targets = [*(target for _, target in LINK.findall(text)), *HTML_PICTURE.findall(text)]
    return {path for target in targets if (path := _in_repository(page, target))}


def _in_repository(page: str, target: str) -> str:
    """The path in the repository to which a link of a page leads; empty where there is no such file."""
    path = (ROOT / page).parent / target
    path = (path / "README.md" if path.is_dir() else path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_file() and path.is_relative_to(ROOT) else ""


def _as_code(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8").rstrip()
    language = "python" if path == "Snakefile" else LANGUAGES.get(Path(path).suffix, "text")
    return f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n````{language}\n{text}\n````\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links to files of the repository to the pages that show them."""
    source = page.file.src_uri
    if source in WIDE:
        page.meta.setdefault("hide", ["toc"])

    def shown(link: re.Match[str]) -> str:
        path = _in_repository(source, link[2])
        if path == TUTORIAL:
            path = TUTORIAL.replace(".py", ".md")
        elif path and not files.get_file_from_path(path):
            path = f"{path}.md"
        return link[1] + "../" * source.count("/") + path if path else link[0]

    return LINK.sub(shown, markdown)
