#!/usr/bin/env python3
"""The book as an EPUB, by Sphinx's builder, with its pages mended: into _build/lmtutor.epub.

    python tools/epub.py
    python tools/epub.py --toc FILE --out FOLDER    of other pages, elsewhere

The builder writes what pages on the web forgive and readers of books do not: tags left open, scripts, links to .html, entries in the order
of reading that name no file. Code that the book folds away stays away. Without scripting there is no live model: the picture that stands for it shows.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import warnings
import zipfile
from os.path import normpath
from pathlib import Path
from xml.etree import ElementTree

import yaml
from bs4 import BeautifulSoup, Doctype, XMLParsedAsHTMLWarning
from contents import ROOT

warnings.filterwarnings("ignore", category=XMLParsedAsHTMLWarning)  # on purpose: as XML the pages can't be read before they are mended
DOCTYPE = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n'


def configuration(version: str) -> dict:
    """The book's configuration, with what an EPUB needs, usable from another folder."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["sphinx"]["local_extensions"] = {name: str(ROOT / "book/_ext") for name in config["sphinx"]["local_extensions"]}
    config["sphinx"]["config"] |= {
        "project": config["title"], "version": version, "release": version, "epub_title": config["title"], "epub_author": config["author"],
        "epub_basename": "lmtutor", "epub_identifier": f"lmtutor-{version}", "epub_uid": f"lmtutor-{version}", "epub_scheme": "ID", "epub_tocscope": "includehidden",
        "epub_tocdepth": 2, "epub_show_urls": "no", "epub_use_index": False, "pygments_style": "friendly", "epub_description": "Pre-training, fine-tuning and in-context "
        "learning: each run, measured and compared.", "suppress_warnings": ["epub.unknown_project_files"],
    }
    return config


def mend(text: str, page: str, files: set[str]) -> str:
    """A page as well-formed XHTML without scripts, every link leading to a file of the book or out of it."""
    soup = BeautifulSoup(text, "html.parser")
    for one in soup.find_all(string=lambda node: isinstance(node, Doctype) or "xml version=" in node[:20]):
        one.extract()
    for one in soup.select("script, button, svg metadata, details.hide.above-input"):  # folded code, too: readers of books fold nothing
        one.decompose()
    for one in soup.find_all("noscript"):
        one.unwrap()
    for paragraph in soup.select("summary p"):
        paragraph.name = "span"
    for paragraph in soup.find_all("p"):
        if paragraph.find(["ul", "ol", "dl", "div"], recursive=False):
            paragraph.unwrap()
    for drawing in soup.find_all("svg"):
        drawing["xmlns"] = "http://www.w3.org/2000/svg"
    for style in soup.select("body style"):
        if not style.find_parent("svg"):
            soup.head.append(style.extract())
    for one in soup.find_all(id=re.compile(r"^\s*$|\s")):
        del one["id"]
    folder = page.rpartition("/")[0]
    for attribute in ("href", "src"):
        for one in soup.find_all(attrs={attribute: True}):
            address, mark, place = one[attribute].partition("#")
            if not address or re.match(r"\w+:", address):
                continue
            address = re.sub(r"\.html$", ".xhtml", address)
            if normpath(f"{folder}/{address}").lstrip("/") in files:
                one[attribute] = address + mark + place
            elif one.name == "a":
                one.unwrap()
            else:
                one.decompose()
    return DOCTYPE + str(soup).strip() + "\n"


def mend_order(text: str, drawn: set[str]) -> str:
    """The list of files: in the order of reading none that isn't there, and marked which pages hold drawings in themselves."""
    known = set(re.findall(r'<item [^>]*\bid="([^"]+)"', text))
    text = re.sub(r'<item [^>]*href="([^"]+)"', lambda found: f'{found[0]} properties="svg"' if found[1] in drawn else found[0], text)
    return re.sub(r'\s*<itemref idref="([^"]+)"\s*/>', lambda found: found[0] if found[1] in known else "", text)


def pack(folder: Path, out: Path) -> None:
    """What the builder left in a folder, mended, as an EPUB."""
    listed = re.findall(r'<item [^>]*href="([^"]+)"', (folder / "content.opf").read_text(encoding="utf-8"))
    files = {name for name in listed if (folder / name).is_file()}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)  # first, and not compressed: so readers know the file
        archive.write(folder / "META-INF/container.xml", "META-INF/container.xml")
        pages = {name: mend((folder / name).read_text(encoding="utf-8"), name, files) for name in sorted(files) if name.endswith(".xhtml")}
        drawn = {name for name, text in pages.items() if "<svg" in text}
        archive.writestr("content.opf", mend_order((folder / "content.opf").read_text(encoding="utf-8"), drawn))
        for name in sorted(files):
            if name in pages:
                ElementTree.fromstring(pages[name].encode())  # a page that is not well-formed shows in no reader: no book then
                archive.writestr(name, pages[name])
            else:
                archive.write(folder / name, name)
        if "toc.ncx" not in files:
            archive.write(folder / "toc.ncx", "toc.ncx")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toc", type=Path, default=ROOT / "book/_toc.yml")
    parser.add_argument("--out", type=Path, default=ROOT / "_build")
    arguments = parser.parse_args()
    version = re.search(r'__version__ = "(.+?)"', (ROOT / "lmtutor/__init__.py").read_text(encoding="utf-8"))[1]
    built = arguments.out / "epub"
    built.mkdir(parents=True, exist_ok=True)
    config = built / "_config.yml"
    config.write_text(yaml.safe_dump(configuration(version)), encoding="utf-8")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", ROOT, "--toc", arguments.toc, "--config", config,
               "--path-output", built, "--builder", "custom", "--custom-builder", "epub", "-q"]
    done = subprocess.run(list(map(str, command)), cwd=ROOT)
    if done.returncode:
        return done.returncode
    pack(built / "_build/epub", arguments.out / "lmtutor.epub")
    print(f"{arguments.out / 'lmtutor.epub'}: {(arguments.out / 'lmtutor.epub').stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
