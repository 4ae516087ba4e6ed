#!/usr/bin/env python3
"""The built book as one page to print, and as a PDF by Chromium: into _build/lmtutor.pdf. First `make book`.

    python tools/pdf.py                    the chapters and the pages around them
    python tools/pdf.py --deeper           and all that goes deeper
    python tools/pdf.py --only 07 08       some chapters
    python tools/pdf.py --page             only the page, _build/pdf/book.html, for a browser's own print command

Code that the book folds away stays away, and so does the reference of the code; the live model's picture stands for it. Bookmarks are
the headings; links lead to pages.
"""

from __future__ import annotations

import argparse
import html
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from posixpath import dirname, join, normpath

from contents import ROOT, pages

TITLE = "Three ways to teach a language model"
STYLE = Path(__file__).with_name("pdf.css")
SHEETS = ("styles/theme.css", "styles/pydata-sphinx-theme.css", "pygments.css", "styles/sphinx-book-theme.css", "sphinx-design.min.css", "custom.css")
MATHS = '<script>MathJax = {{options: {{processHtmlClass: "tex2jax_process|mathjax_process|math|output_area"}}}}</script><script src="{}"></script>'
QUIZ = re.compile(r'<div class="lm-card lm-quiz">.*?</div></details></div>', re.S)  # on paper its questions and answers stand open
PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8"><title>{title}</title>
{sheets}
<style>{style}</style>{maths}</head><body>
{body}
</body></html>
"""


def chosen(*, deeper: bool, only: list[str]) -> list[str]:
    """The pages to print, without `.html`: not the reference of the code, which nobody reads on paper."""
    names = [name for name in pages(deeper=deeper) if not name.startswith("book/reference")]
    return [name for name in names if not only or Path(name).name.startswith(tuple(only))]


def slug(page: str) -> str:
    return page.replace("/", "-")


def article(text: str, page: str, listed: set[str], site: Path) -> str:
    """What a page says, its places and links renamed so that all pages stand in one; what is loaded is named in full."""
    body = re.search(r'<article class="bd-article">(.*)</article>', text, re.S)[1]
    here = slug(page)
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.S)
    body = re.sub(r"</?noscript>", "", body)
    body = QUIZ.sub(lambda found: found[0].replace("<details>", "<details open>"), body)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{here}--\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{here}--\1)", body)

    def link(found):
        address, mark, place = found[2].partition("#")
        if re.match(r"\w+:", address):
            return found[0]
        target = normpath(join(dirname(page), address)).removesuffix(".html") if address else page
        if target not in listed:
            return ""
        return f'{found[1]}="#{slug(target)}{"--" + place if place else ""}"'

    body = re.sub(r'\b((?:xlink:)?href)="([^"]*)"', link, body)
    body = re.sub(r'\bsrc="((?!\w+:)[^"#]+)', lambda found: f'src="{(site / normpath(join(dirname(page), found[1]))).as_uri()}', body)
    return f'<section class="page" id="{here}">{body}</section>'


def assemble(names: list[str], site: Path) -> str:
    """All pages as one."""
    missing = [name for name in names if not (site / f"{name}.html").exists()]
    if missing:
        raise SystemExit(f"not built: {', '.join(missing)}; first `make book`")
    body = "\n".join(article((site / f"{name}.html").read_text(encoding="utf-8"), name, set(names), site) for name in names)
    sheets = "\n".join(f'<link rel="stylesheet" href="{(site / "_static" / name).as_uri()}">' for name in SHEETS)
    maths = MATHS.format((site / "_static/mathjax/tex-chtml.js").as_uri()) if 'class="math ' in body else ""
    return PAGE.format(title=TITLE, sheets=sheets, style=STYLE.read_text(encoding="utf-8"), maths=maths, body=body)


def headings(page: str) -> list[str]:
    """The words of a page's headings, in order."""
    found = re.findall(r"<h([1-6])\b[^>]*>(.*?)</h\1>", page, re.S)
    words = (re.sub(r"<[^>]+>", "", re.sub(r'<a class="headerlink".*?</a>', "", text, flags=re.S)) for _, text in found)
    return [" ".join(html.unescape(text).split()) for text in words]


def name_bookmarks(pdf: Path, page: str) -> None:
    """Give the bookmarks the headings' words, for the browser drops spaces and doubles lines where a heading wraps."""
    from pypdf import PdfWriter
    from pypdf.generic import NameObject, TextStringObject

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it counts the browser's objects in another way, and says so
    book = PdfWriter(clone_from=pdf)

    def walk(entry):
        while entry is not None:
            entry = entry.get_object()
            yield entry
            yield from walk(entry.get("/First"))
            entry = entry.get("/Next")

    bookmarks, told = list(walk(book.root_object["/Outlines"].get("/First"))), headings(page)
    if len(bookmarks) == len(told):  # else the page hides a heading, and which is which can't be told
        for entry, text in zip(bookmarks, told):
            entry[NameObject("/Title")] = TextStringObject(text)
    book.add_metadata({"/Title": TITLE, "/Author": "The lmtutor authors"})
    book.write(pdf)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deeper", action="store_true", help="with all that goes deeper")
    parser.add_argument("--only", nargs="*", default=[], help="pages whose names begin so")
    parser.add_argument("--page", action="store_true", help="stop at the page to print")
    parser.add_argument("--site", type=Path, default=ROOT / "_build/html", help="the built book")
    parser.add_argument("--out", type=Path, default=ROOT / "_build/lmtutor.pdf")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    page = out.parent / "pdf" / "book.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(assemble(chosen(deeper=arguments.deeper, only=arguments.only), arguments.site.resolve()), encoding="utf-8")
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    if arguments.page:
        return 0
    chromium = os.environ.get("LMTUTOR_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        raise SystemExit(f"a PDF needs Chromium (apt-get install chromium, or name one in LMTUTOR_CHROMIUM); or print {page} from a browser")
    subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--allow-file-access-from-files",
                    "--virtual-time-budget=120000", "--timeout=600000", "--no-pdf-header-footer", "--generate-pdf-document-outline",
                    f"--print-to-pdf={out}", page.as_uri()], check=True, stderr=subprocess.DEVNULL)
    name_bookmarks(out, page.read_text(encoding="utf-8"))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
