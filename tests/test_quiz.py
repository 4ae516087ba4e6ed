"""The chapters' quizzes: their form, what they may say, and how they show."""

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter

import nbformat
import pytest
from conftest import ROOT, barriers, needs_axe, needs_browser

from lmtutor.classroom import quiz as room
from lmtutor.classroom.quiz import LONGEST, VERDICTS, as_html, quiz, read_quiz, title
from lmtutor.errors import ConfigError
from lmtutor.measure.claims import read_claims

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
CHAPTERS = {path.stem.partition("_")[2] for path in NOTEBOOKS}
ALL = {path.parent.name: read_quiz(path.parent.name) for path in sorted(room.CHAPTERS.glob("*/quiz.toml"))}
QUESTIONS = [(chapter, question) for chapter, questions in ALL.items() for question in questions]
DIGIT = re.compile(r"(?<![A-Za-z])\d")  # SmolLM2 and F1 are names
GOOD = """
[window]
ask = "Is `window` < context?"
rests_on = { "lab.reach" = "not supported" }

[[window.options]]
says = "Yes & always."
why = "You would have to believe it."

[[window.options]]
says = "No."
why = "It was measured."
right = true

[[window.options]]
says = "Sometimes."
why = "Nobody saw that."
"""
TWO = GOOD + GOOD.replace("[window]", "[second]").replace("[[window.", "[[second.")


@pytest.fixture
def lab(tmp_path):
    """A function: the text of a quiz.toml -> its questions."""
    (tmp_path / "lab").mkdir()

    def read(text, encoding="utf-8"):
        (tmp_path / "lab/quiz.toml").write_text(text, encoding=encoding)
        return read_quiz("lab", tmp_path)

    return read


def test_every_chapter_has_a_quiz_and_every_quiz_a_chapter():
    assert set(ALL) == CHAPTERS


def test_no_measured_number_is_typed_into_a_quiz():
    """A result is told without its number, so that no run can make it wrong; its direction is guarded by `rests_on`."""
    texts = [text for _, question in QUESTIONS for text in (question.ask, *(part for option in question.options for part in (option.says, option.why)))]
    assert not [text for text in texts if DIGIT.search(text)]


def test_what_an_answer_rests_on_is_what_the_stored_notebooks_say():
    said = {}
    for path in NOTEBOOKS + sorted((ROOT / "notebooks/deeper").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if kept := output.get("metadata", {}).get("lmtutor", {}).get("verdict"):
                    said[kept["id"]] = kept["word"]
    wanted = {(claim, word) for _, question in QUESTIONS for claim, word in question.rests_on.items()}
    assert {claim for claim, _ in wanted} <= set(read_claims())
    assert not [(claim, word, said.get(claim)) for claim, word in wanted if said.get(claim) != word], "read the question again: its answer may be another now"
    assert {chapter for chapter, question in QUESTIONS if question.rests_on} == CHAPTERS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_chapter_shows_its_quiz_once_right_before_what_to_take_away(path):
    chapter, cells = path.stem.partition("_")[2], nbformat.read(path, as_version=4).cells
    at = [place for place, cell in enumerate(cells) if "lm-quiz" in str(cell.get("outputs", "")) or "quiz(" in cell.source]
    assert len(at) == 1 and cells[at[0] + 1].source.startswith("## To take away\n")
    cell = cells[at[0]]
    assert cell.source == f'# @title Questions to yourself\nfrom lmtutor.classroom.quiz import quiz\n\nquiz("{chapter}")'
    assert cell.id == "quiz" and "fold" in cell.metadata.tags
    assert [(output.output_type, output.data) for output in cell.outputs] == [("display_data", shown(chapter))], f"run {path.stem} again"


def shown(chapter):
    """What a quiz's cell shows."""
    return {"text/html": as_html(chapter, ALL[chapter]), "text/plain": f"Quiz. {title(ALL[chapter])}: in the book and in a notebook they are shown."}


def test_all_quizzes_together_add_little_to_the_book():
    assert sum(len(as_html(chapter, questions).encode()) for chapter, questions in ALL.items()) < 75_000


def test_neither_place_nor_length_gives_the_right_answer_away():
    places = Counter(question.answer() for _, question in QUESTIONS)
    assert max(places.values()) <= 0.4 * len(QUESTIONS)
    for extreme in (max, min):
        told = [question for _, question in QUESTIONS if extreme(question.options, key=lambda option: len(option.says)).right]
        assert len(told) <= 0.4 * len(QUESTIONS)


def test_a_question_asks_what_to_do_and_not_what_a_word_means():
    assert not [question.ask for _, question in QUESTIONS if re.search(r"\b(what is an?|what does \S+ mean|define|is called|stands? for)\b", question.ask, re.I)]
    assert len({question.ask for _, question in QUESTIONS}) == len(QUESTIONS)


def test_html_is_well_formed_folded_and_asks_for_nothing(lab):
    html = as_html("lab", lab(TWO))
    root = ET.fromstring(html)  # so it stands in an EPUB, too
    assert not any("open" in part.attrib for part in root.iter("details"))
    names = [button.get("name") for button in root.iter("input")]
    assert Counter(names) == {"lab-1": 3, "lab-2": 3}
    assert all(group.find("legend") is not None for group in root.iter("fieldset"))
    assert len(root.findall(".//label/input")) == 6  # each button has its words beside it, and both can be clicked
    assert "<code>window</code> &lt; context" in html and "Yes &amp; always." in html
    assert [part.text for part in root.iter("b")] == ["A. No.", "B. Right.", "C. No."] * 2
    for chapter, questions in ALL.items():
        parts = list(ET.fromstring(as_html(chapter, questions)).iter())
        assert {part.tag for part in parts} <= set("details summary div fieldset legend label input p b code".split())
        assert {key for part in parts for key in part.attrib} == {"class", "type", "name"}  # no script, no style, nothing to fetch


def test_a_cell_shows_it(monkeypatch):
    cells = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: cells.append((data, raw)))
    quiz("pretraining")
    assert cells == [(shown("pretraining"), True)]
    json.dumps(cells)


@pytest.mark.parametrize("old, new, message", [
    ("ask = ", "asks = ", "lab/quiz.toml, window lacks ask; it needs ask, options"),
    ("rests_on", "rest_on", "has rest_on, which nobody reads; allowed are ask, options, rests_on"),
    ("right = true", "correct = true", "option 2 has correct, which nobody reads"),
    ("right = true", "right = 1", "option 2: right is 1; write true, or leave it out"),
    ("right = true", "", "window: 0 options are right; write right = true in exactly one"),
    ('why = "It was', 'right = true\nwhy = "It was', "cannot be read"),
    ('believe it."', 'believe it."\nright = true', "window: 2 options are right"),
    ('"Sometimes."', '"no."', "two options say the same"),
    ("context?", "context.", "ask ends with '.'; end it with '?'"),
    ("measured.", "measured", "why ends with 'd'"),
    ("measured.", "mea  sured.", "give one line of text, with single spaces"),
    ('"Sometimes."', '""', "says is ''"),
    ('"Sometimes."', "3", "says is 3"),
    ('"Sometimes."', f'"{"s" * (LONGEST["says"] + 1)}"', f"says has {LONGEST['says'] + 1} characters; at most {LONGEST['says']} fit"),
    ('"not supported"', '"refuted"', f"each with one of {', '.join(VERDICTS)}"),
    ('{ "lab.reach" = "not supported" }', '"lab.reach"', "rests_on is 'lab.reach'"),
    ("[window]", "[window", "lab/quiz.toml cannot be read"),
])
def test_what_is_wrong_is_said_in_one_line(lab, old, new, message):
    assert TWO.count(old) >= 1
    with pytest.raises(ConfigError) as error:
        lab(TWO.replace(old, new, 1))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_too_few_and_too_many_are_said(lab):
    option = '\n[[window.options]]\nsays = "{}"\nwhy = "So."\n'
    for text, message in [(GOOD, "lab/quiz.toml has 1 questions; give 2 to 4"), ("", "has 0 questions"),
                          (TWO.replace("[second", option.format("d") + option.format("e") + "[second", 1), "window has 5 options; give 3 to 4"),
                          (TWO + "\n[third]\nask = 'So?'\noptions = 3\n", "options is 3; write each under [[third.options]]"),
                          ("first = 3\nsecond = 4\n", "first is 3; make it a table")]:
        with pytest.raises(ConfigError, match=re.escape(message)):
            lab(text)
    with pytest.raises(ConfigError, match="cannot be read"):
        lab(TWO.replace("Sometimes", "Ähnlich"), encoding="latin-1")


def test_a_quiz_that_is_not_there_is_said_with_those_that_are():
    for name in ("pre_training", "../classroom", "", None):
        with pytest.raises(ConfigError, match="there is no quiz of .*; choose one of after_2023, .*your_own_data"):
            quiz(name)


class TestInABrowser:
    pytestmark = needs_browser

    @pytest.fixture
    def page(self, visit, tmp_path):
        """A function that opens all quizzes as a page holds them, with the book's style sheet, from the disk."""
        body = "".join(f'<div class="output text_html">{as_html(chapter, questions)}</div>' for chapter, questions in ALL.items())
        style = (ROOT / "book/_static/custom.css").read_text(encoding="utf-8")
        (tmp_path / "quiz.html").write_text(f'<!doctype html><html lang="en"><head><meta charset="utf-8"/><title>Quiz</title><style>{style}</style></head>'
                                            f'<body><main class="bd-content"><h1>Quiz</h1>{body}</main></body></html>', encoding="utf-8")
        return lambda script=False: visit(tmp_path / "quiz.html", java_script_enabled=script, viewport={"width": 1280, "height": 900})

    def test_by_keyboard_a_choice_is_made_and_found_among_the_reasons(self, page):
        page = page()
        first = page.locator(".lm-quiz").first
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # opens the quiz
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")  # from the first option to the second
        assert first.locator("input").nth(1).is_checked()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # opens the answer
        marks = first.locator("details details").first.locator("p").evaluate_all("items => items.map((it) => getComputedStyle(it, '::before').content)")
        assert marks == ["none", '"Your choice. "', "none"]

    def test_folded_it_adds_no_words_and_on_paper_all_answers_stand_at_the_end(self, page):
        page = page()
        seen = "(it) => it.checkVisibility({contentVisibilityAuto: true})"
        count = lambda what: page.evaluate(f"[...document.querySelectorAll('{what}')].filter({seen}).length")  # noqa: E731
        assert count(".lm-quiz > details > summary") == len(ALL) and not count(".lm-questions *")
        page.emulate_media(media="print")
        for _ in range(100):  # until the browser has drawn it anew
            if count("legend"):
                break
            page.wait_for_timeout(50)
        assert count("legend") == len(QUESTIONS) and count(".lm-questions p") == sum(len(question.options) for _, question in QUESTIONS)
        for quiz_ in page.locator(".lm-questions").all():
            asked, answered = (quiz_.locator(what).evaluate_all("all => all.map((it) => it.getBoundingClientRect().top)") for what in ("fieldset", "p"))
            assert max(asked) < min(answered)

    @needs_axe
    def test_open_it_has_no_barrier(self, page):
        page = page(script=True)
        page.evaluate("for (const it of document.querySelectorAll('details')) it.open = true")
        assert not barriers(page)
