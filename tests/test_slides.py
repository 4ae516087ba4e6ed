"""Slides: made from what the notebooks hold, whole, without a network."""

import json
import re

import contents
import pytest
import slides
from bs4 import BeautifulSoup
from conftest import in_turn, needs_browser

PARTS = contents.PARTS


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    for part in PARTS:
        (folder / f"part{part}.html").write_text(slides.deck(part), encoding="utf-8")
    return folder


def read(decks, part):
    return BeautifulSoup((decks / f"part{part}.html").read_text(encoding="utf-8"), "html.parser")


def outputs(path):
    return [output for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] for output in cell.get("outputs", [])]


@pytest.mark.parametrize("part", PARTS)
def test_every_chapter_has_its_question_pictures_bets_verdicts_and_an_end(decks, part):
    columns = read(decks, part).select(".slides > section")[1:]
    paths = contents.part(part)[1]
    assert len(columns) == len(paths)
    for path, column in zip(paths, columns):
        stored = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs(path)]
        drawn = sum("image/svg+xml" in output.get("data", {}) for output in outputs(path))
        asked = [text for text in stored if text.startswith('<div class="lm-card lm-bet')]
        judged = [output["metadata"]["lmtutor"]["verdict"] for output in outputs(path) if "verdict" in output.get("metadata", {}).get("lmtutor", {})]
        assert "?" in column.select_one("section p:not(.head)").get_text(), path.name
        assert len(column.select("section.picture")) == drawn and len(column.select(".hero")) == 1, path.name
        assert len(column.select("section.poll")) == len(asked) > 0, path.name
        assert all(len(poll.select("li")) >= 2 and poll.aside for poll in column.select("section.poll")), path.name
        said = [one.get_text() for one in column.select("section.verdict")]
        assert len(said) == len(judged) and all(kept["sentence"] in text for kept, text in zip(judged, said)), path.name
        assert column.select("section.take li") and column.select("section")[-1]["class"] == ["take"], path.name
        assert all(len(image["alt"]) > 40 for image in column.select("img")), path.name


@pytest.mark.parametrize("part", PARTS)
def test_a_deck_is_one_file_that_leads_nowhere(decks, part):
    deck = read(decks, part)
    assert not deck.select("a, link, iframe, script[src]") and (decks / f"part{part}.html").stat().st_size < 4e6
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in deck.select("img"))
    text = deck.select_one(".slides").get_text()
    assert not re.search(r"<!--|-->|\]\(|\*\*|\{\w+\}`", text), re.search(r".{40}(<!--|-->|\]\(|\*\*|\{\w+\}`).{40}", text)


class TestInABrowser:
    pytestmark = needs_browser

    @pytest.mark.parametrize("part", in_turn(PARTS))
    def test_nothing_runs_over_a_slide_s_edge_and_notes_open(self, decks, part, visit):
        page = visit(decks / f"part{part}.html", viewport={"width": 1280, "height": 720})
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        over = page.evaluate("""() => Reveal.getSlides().flatMap(slide => {
            const { h, v } = Reveal.getIndices(slide)
            Reveal.slide(h, v)
            return [...slide.children].filter(one => one.tagName != "ASIDE").filter(one => {
                const { bottom, right } = one.getBoundingClientRect()
                return bottom > 720 || right > 1280
            }).map(one => `${h}/${v}: ${one.textContent.slice(0, 60)}`)
        })""")
        assert not over
        page.evaluate("Reveal.slide(1, 1)")
        with page.expect_popup() as opened:
            page.keyboard.press("s")
        opened.value.wait_for_function("document.querySelector('.speaker-controls-notes .value')?.textContent.length > 20")

    def test_on_paper_every_picture_stands_on_a_page_of_its_own(self, decks, visit):
        page = visit(decks / "part4.html")
        page.goto((decks / "part4.html").as_uri() + "?print-pdf")
        page.wait_for_selector(".pdf-page")
        page.wait_for_function("document.querySelectorAll('.pdf-page').length == Reveal.getSlides().length")
        heights = page.evaluate("[...document.querySelectorAll('.pdf-page img')].map(one => one.getBoundingClientRect().height)")
        assert len(heights) > 10 and min(heights) > 300
