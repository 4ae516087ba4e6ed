"""The book's table of contents, for the scripts beside this file."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TOC = yaml.safe_load((ROOT / "book/_toc.yml").read_text(encoding="utf-8"))
PARTS = sorted(int(path.stem[4:]) for path in (ROOT / "book").glob("part*.md"))


def part(number: int) -> tuple[str, list[Path], list[Path]]:
    """A part's title, its chapters in reading order, and what goes deeper below them."""
    pages = [page for group in TOC["parts"] for page in group["chapters"] if page["file"] == f"book/part{number}"]
    if not pages:
        raise SystemExit(f"the book has no part {number}; its parts are {', '.join(map(str, PARTS))}")
    title = (ROOT / f"book/part{number}.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    chapters = pages[0]["sections"]
    below = [page["file"] for chapter in chapters for page in chapter.get("sections", [])]
    return title, [ROOT / f"{chapter['file']}.ipynb" for chapter in chapters], [ROOT / f"{name}.ipynb" for name in below]


def pages(*, deeper: bool = True) -> list[str]:
    """The book's pages in reading order, as the table of contents names them."""

    def walk(entries):
        for entry in entries:
            yield entry["file"]
            yield from walk(entry.get("sections", []))

    found = [TOC["root"], *walk(page for group in TOC["parts"] for page in group["chapters"])]
    return [name for name in found if deeper or "/deeper/" not in name]
