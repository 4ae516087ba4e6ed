"""The EPUB: what the builder leaves is mended, and the whole book is one that readers open."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from posixpath import normpath
from xml.etree import ElementTree

import contents
import epub
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::bs4.XMLParsedAsHTMLWarning")


def test_a_page_becomes_well_formed_without_scripts_and_its_links_lead_somewhere():
    text = ('<!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><head></head><body id=""><p><ul><li>x</li></ul></p><style>b {}</style><p>a&nbsp;b<br><img src="../_images/x.svg" alt="x">'
            '<a href="07.html#here">seven</a> <a href="gone.html">gone</a> <a href="https://host/y.html">out</a></p><script>x</script>'
            "<noscript><p>picture</p></noscript><details><summary><p>more</p></summary></details></body></html>")
    made = epub.mend(text, "notebooks/08.xhtml", {"_images/x.svg", "notebooks/07.xhtml"})
    body = ElementTree.fromstring(made.removeprefix('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n'))
    assert [one.get("href") for one in body.iter("{http://www.w3.org/1999/xhtml}a")] == ["07.xhtml#here", "https://host/y.html"]
    assert "gone" in made and "script" not in made and "<p>picture</p>" in made and "<span>more</span>" in made and 'id=""' not in made
    assert "<head><style>b {}</style></head>" in made and "<p><ul>" not in made


def test_the_list_of_files_loses_what_is_not_there_and_marks_drawings():
    text = '<item id="a" href="a.xhtml" media-type="x"/><itemref idref="a" /><itemref idref="b" />'
    assert epub.mend_order(text, {"a.xhtml"}) == '<item id="a" href="a.xhtml" properties="svg" media-type="x"/><itemref idref="a" />'


def some_pages(folder):
    """A table of contents of few pages: the first, the one with the live model, a chapter."""
    toc = folder / "_toc.yml"
    toc.write_text("format: jb-book\nroot: book/intro\nchapters:\n- file: book/talk\n- file: notebooks/08_gradients_and_forgetting\n")
    return toc


@pytest.mark.long
@pytest.mark.parametrize("whole", [False, *[True] * ("LMTUTOR_ALL" in os.environ)])
def test_a_book_that_readers_open(whole, tmp_path):
    toc = ROOT / "book/_toc.yml" if whole else some_pages(tmp_path)
    done = subprocess.run([sys.executable, ROOT / "tools/epub.py", "--toc", toc, "--out", tmp_path], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / "lmtutor.epub") as archive:
        names = archive.namelist()
        assert names[0] == "mimetype" and archive.getinfo("mimetype").compress_type == zipfile.ZIP_STORED
        pages = {name: archive.read(name).decode() for name in names if name.endswith((".xhtml", ".opf", ".ncx"))}
    assert (tmp_path / "lmtutor.epub").stat().st_size < 25e6
    wanted = [Path(name).stem for name in contents.pages()] if whole else ["intro", "talk", "08_gradients_and_forgetting"]
    assert set(wanted) <= {name.rpartition("/")[2].removesuffix(".xhtml") for name in names}
    for name, text in pages.items():
        ElementTree.fromstring(text.encode())
        soup = BeautifulSoup(text, "html.parser")
        assert not soup.find("script"), name
        for image in soup.find_all("img"):
            source = normpath(f"{name.rpartition('/')[0]}/{image['src'].partition('#')[0]}").lstrip("/")
            assert image.get("alt") and (image["src"].startswith("data:") or source in names), (name, image)
    assert all(f"{stem}.xhtml" in pages["nav.xhtml"] for stem in wanted if stem != "intro")
    assert "<img" in pages["book/talk.xhtml"] or "<svg" in pages["book/talk.xhtml"]  # stands for the live model
