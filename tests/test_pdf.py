"""The page to print: the book's pages in one, every place named once, every link and picture there."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import pdf
import pytest
from conftest import CHROMIUM, ROOT


def test_pages_come_in_reading_order_with_or_without_what_goes_deeper():
    chapters, whole = (pdf.chosen(deeper=deeper, only=[]) for deeper in (False, True))
    assert chapters[0] == "book/intro" and [name for name in whole if "/deeper/" not in name] == chapters
    assert {Path(name).stem for name in chapters if name.startswith("notebooks/")} == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert pdf.chosen(deeper=False, only=["07"]) == ["notebooks/07_transfer_and_labels"]


def test_places_and_links_are_renamed_and_links_out_of_the_selection_become_words(tmp_path):
    text = ('<article class="bd-article"><h1 id="a">A</h1><a href="#a">here</a> <a href="../book/x.html#b">there</a> <a href="y.html">gone</a>'
            '<img src="../_images/z.svg"><script>1</script><noscript><p>picture</p></noscript></article>')
    made = pdf.article(text, "notebooks/07", {"notebooks/07", "book/x"}, tmp_path)
    assert 'id="notebooks-07--a"' in made and 'href="#notebooks-07--a"' in made and 'href="#book-x--b"' in made
    assert "<a >gone</a>" in made and (tmp_path / "_images/z.svg").as_uri() in made and "script" not in made and "<p>picture</p>" in made


def test_a_quiz_stands_open_and_what_was_registered_does_not(tmp_path):
    quiz = '<div class="lm-card lm-quiz"><div>Quiz</div><details><summary>2</summary><div><details><p>Answer</p></details></div></details></div>'
    made = pdf.article(f'<article class="bd-article">{quiz}<details><p>registered</p></details></article>', "x", {"x"}, tmp_path)
    assert made.count("<details open>") == 2 and made.count("<details>") == 1


def test_headings_are_read_as_words():
    page = '<h1>Set-<br>up &amp; more<a class="headerlink" href="#x">#</a></h1><p>x</p><h2 id="a">Two\n <em>words</em></h2>'
    assert pdf.headings(page) == ["Set-up & more", "Two words"]


def test_of_the_built_book_every_place_is_named_once_and_all_that_is_asked_for_is_there(site):
    page = pdf.assemble(pdf.chosen(deeper=True, only=[]), site)
    places = re.findall(r'\bid="([^"]+)"', page)
    assert len(places) == len(set(places)), sorted({place for place in places if places.count(place) > 1})[:5]
    assert not set(re.findall(r'\bhref="#([^"]+)"', page)) - set(places)
    loaded = re.findall(r'(?:src|<link rel="stylesheet" href)="([^"]+)"', page)
    assert loaded and all(address.startswith("data:") or Path(unquote(urlparse(address).path)).exists() for address in loaded)
    assert not [address for address in loaded if address.startswith("http")]


@pytest.mark.long
@pytest.mark.skipif(not CHROMIUM, reason="no browser: apt-get install chromium, or name one in LMTUTOR_CHROMIUM")
def test_two_chapters_as_a_pdf(site, tmp_path):
    out = tmp_path / "two.pdf"
    command = [sys.executable, ROOT / "tools/pdf.py", "--only", "07", "08", "--site", site, "--out", out]
    subprocess.run(list(map(str, command)), check=True, env={**pdf.os.environ, "LMTUTOR_CHROMIUM": CHROMIUM})
    assert out.read_bytes()[:5] == b"%PDF-" and 2e5 < out.stat().st_size < 5e6
