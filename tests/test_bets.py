"""The bet before a run, the verdict after it, and the numbers and tables of a page."""

import json
import re

import pytest

from lmtutor.classroom import bets, tables
from lmtutor.classroom.notebook import holds, number
from lmtutor.classroom.tables import table
from lmtutor.errors import ConfigError, DataError
from lmtutor.measure.claims import Claim, Verdict, claim, read_claims
from lmtutor.measure.stats import Interval

TOML = """
[order]
text = "Grammar comes first"
question = "What comes first?"
options = ["grammar", "facts & figures"]
arms = ["grammar", "facts"]
measure = "share of seeds"
n_items = 10
n_seeds = 1
least_effect = 0.5
unit = "%"
refuted_by = "an interval below half"
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """One claim, "lab.order", and what the cards show."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/claims.toml").write_text(TOML)
    shown = []
    monkeypatch.setattr(bets, "claim", lambda id: read_claims(tmp_path)[id])
    monkeypatch.setattr("IPython.display.display", lambda data, raw, metadata=None: shown.append((data, metadata)))
    monkeypatch.setattr(bets, "GUESSES", {})
    monkeypatch.setattr(bets, "glue", lambda key, value: shown.append((key, value)))
    return shown


def test_a_bet_shows_question_and_options_and_folds_what_was_registered(lab):
    bets.bet("lab.order")
    ((card, _),) = lab
    assert card["text/plain"].splitlines() == ["Your bet: What comes first?", "  - grammar", "  - facts & figures"]
    before, folded = card["text/html"].split("<details>")
    assert "<li>facts &amp; figures</li>" in before and "share of seeds" not in before
    assert "share of seeds" in folded and "at least 50%" in folded and "grammar against facts" in folded and "before the run" in folded


def test_a_verdict_says_the_answer_draws_the_interval_and_remembers_the_bet(lab, capsys):
    bets.predict("lab.order", ...)
    assert capsys.readouterr().out == ""
    bets.predict("lab.order", "facts & figures")
    verdict = bets.judge("lab.order", Interval(0.9, 0.6, 0.98, 10), outcome="grammar", levels={"grammar": Interval(0.9, 0.6, 0.98, 10), "facts": "10%"})
    (card, kept), *glued = lab
    assert glued == [("verdict_lab_order", "supported"), ("verdict_lab_order_sentence", "Yes: 90% (60 to 98). We asked for at least 50%.")]
    assert verdict.word == "supported"
    text = card["text/plain"].splitlines()
    assert text[1:4] == ["Yes: 90% (60 to 98). We asked for at least 50%.", "It was: grammar. You bet: facts & figures.", "grammar 90% (60 to 98), facts 10%"]
    assert "<dt>judged</dt><dd>at 95%, as the only claim of its chapter</dd>" in card["text/html"].partition("<details>")[2]
    assert text[-1] == "verdict: supported" and "├" in text[4] and text[5].endswith("│→ at least 50%")
    assert '<div class="lm-claim">Claim: Grammar comes first.</div>' in card["text/html"]
    assert kept["lmtutor"]["verdict"] | {"sentence": ""} == {
        "id": "lab.order", "word": "supported", "sentence": "", "estimate": 0.9, "low": 0.6, "high": 0.98, "unit": "%", "n": 10, "seeds": None, "live": False}
    assert json.dumps(kept)


def test_while_a_verdict_is_undecided_no_bet_is_won(lab):
    bets.predict("lab.order", "grammar")
    bets.judge("lab.order", Interval(0.6, 0.4, 0.8, 10), outcome="grammar")
    (card, _), *_ = lab
    assert card["text/plain"].splitlines()[2] == "So far no bet is won. You bet: grammar." and "It was" not in card["text/html"]


def test_what_a_live_run_measured_is_marked_and_its_verdict_is_not(lab):
    bets.judge("lab.order", Interval(0.9, 0.6, 0.98, 10), live=True)
    bets.judge("lab.order", Interval(0.8, 0.55, 0.98, 10), live=True)
    one, other = (card for card, _ in lab if isinstance(card, dict))
    assert one != other
    for kind, mark in (("text/html", r"(?s)<!-- this run -->.*?<!-- / -->"), ("text/plain", r"(?m)^.*\(this run\)$")):
        assert re.sub(mark, "", one[kind]) == re.sub(mark, "", other[kind]) and "supported" in re.sub(mark, "", one[kind])


def test_a_card_needs_no_script_no_style_and_no_picture(lab):
    bets.bet("lab.order")
    bets.judge("lab.order", Interval(0.9, 0.6, 0.98, 10))
    for card in (card for card, _ in lab if isinstance(card, dict)):
        assert not re.search(r"<(script|style|svg|img)|style=|width=|on\w+=", card["text/html"])


@pytest.mark.parametrize("call, error, message", [
    (lambda: bets.predict("lab.order", "verbs"), ConfigError, "'verbs' is no option of lab.order; choose one of 'grammar', 'facts & figures'"),
    (lambda: bets.judge("lab.order", Interval(0.9, 0.6, 0.98, 10), outcome="verbs"), ConfigError, "'verbs' is no option"),
    (lambda: bets.judge("lab.order", Interval(0.1, 0.0, 0.2, 10, unit="points")), DataError, "is measured in %, the interval is in points"),
])  # fmt: skip
def test_what_was_not_declared_is_refused(lab, call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
    assert lab == []


@pytest.mark.parametrize("low, high, unit, chance, direction, sentence", [
    (0.25, 0.35, "points", None, "at least", "Yes: +30 points (25 to 35). We asked for at least 20 points."),
    (0.05, 0.15, "points", None, "at least", "Yes, but by less than we asked: +10 points (5 to 15). We asked for at least 20 points."),
    (0.15, 0.25, "points", None, "at least", "Yes, but whether by as much as we asked is open: +20 points (15 to 25). We asked for at least 20 points."),
    (-0.15, -0.05, "points", None, "at least", "No, the other way round: \u221210 points (\u221215 to \u22125). We asked for at least 20 points."),
    (-0.05, 0.05, "points", None, "at least", "No: +0 points (\u22125 to 5). We asked for at least 20 points."),
    (-0.05, 0.25, "points", None, "at least", "Open: +10 points (\u22125 to 25). We asked for at least 20 points."),
    (0.25, 0.35, "%", 0.1, "at least", "Yes: 30% (25 to 35). We asked for at least 20%; chance is 10%."),
    (0.11, 0.15, "%", 0.1, "at least", "No: 13% (11 to 15). We asked for at least 20%; chance is 10%."),
    (0.01, 0.05, "%", 0.1, "at least", "No, worse than chance: 3% (1 to 5). We asked for at least 20%; chance is 10%."),
    (-0.1, 0.1, "points", None, "within", "No difference that counts: +0 points (\u221210 to 10), within 20 points of zero."),
    (0.25, 0.35, "points", None, "within", "They differ: +30 points (25 to 35), by more than 20 points."),
    (0.05, 0.15, "points", None, "at most", "Yes: +10 points (5 to 15). We allowed at most 20 points."),
])  # fmt: skip
def test_a_sentence_says_first_the_direction_and_then_the_bar(low, high, unit, chance, direction, sentence):
    declared = Claim("1", "t", "m", 10, 1, 0.2, "r", chance, direction, family=1)
    assert declared.judge(Interval((low + high) / 2, low, high, 10, unit=unit)).sentence() == sentence


@pytest.mark.parametrize("bar, zero, sentence", [
    (0.0, "", "No, the other way round: \u221230 points (\u221235 to \u221225). We asked for at least 0 points."),
    (-0.1, "", "No: \u221230 points (\u221235 to \u221225). We asked for at least -10 points."),
    (0.0, "half of the cost", "No: \u221230 points (\u221235 to \u221225), where zero is half of the cost. We asked for at least 0 points."),
])  # fmt: skip
def test_below_zero_is_the_other_way_round_only_where_zero_is_no_difference_and_no_loss_was_allowed(bar, zero, sentence):
    declared = Claim("1", "t", "m", 10, 1, bar, "r", family=1, zero=zero)
    assert declared.judge(Interval(-0.3, -0.35, -0.25, 10, unit="points")).sentence() == sentence


@pytest.mark.parametrize("low, high", [(0.3, 0.5), (-0.9, -0.5), (0.0, 0.0), (0.2, 3.0)])
def test_a_bar_has_its_interval_and_what_was_asked_at_their_places(low, high):
    drawn = bets.bar(Verdict("undecided", Claim("1", "t", "m", 1, 1, 0.2, "r"), Interval((low + high) / 2, low, high, 10, unit="points")))
    line, below = drawn.splitlines()
    assert line.count("●") == 1 and below.index("│") <= len(line)
    if high < 0.2:
        assert line.index("●") < below.index("│")
    if low > 0.2:
        assert line.index("●") > below.index("│")


@pytest.mark.parametrize("direction, low, high, unit, below", [
    ("at least", 0.3, 0.5, "points", "│→ at least 20 points"),
    ("at most", 0.0, 0.1, "points", "←│ at most 20 points"),
    ("within", -0.5, 0.1, "points", "←│ within 20 points"),
])  # fmt: skip
def test_an_arrow_points_to_the_side_on_which_the_claim_holds(direction, low, high, unit, below):
    declared = Claim("1", "t", "m", 1, 1, 0.2, "r", direction=direction)
    drawn = bets.bar(Verdict("undecided", declared, Interval((low + high) / 2, low, high, 10, unit=unit))).splitlines()[1]
    assert drawn.endswith(below) and drawn.count("→") + drawn.count("←") == 1 + (direction == "within")


def test_the_interval_at_which_a_claim_is_judged_is_drawn_beyond_the_one_that_is_shown():
    declared = Claim("1", "t", "m", 1, 1, 0.2, "r", family=8)
    line, _ = bets.bar(declared.judge(Interval(0.64, 0.43, 0.84, 10, unit="points", seeds=3))).splitlines()
    assert "│╌" in line and "╌├" in line and "┤╌" in line and line.endswith("+100 points")
    assert "╌" not in bets.bar(Claim("1", "t", "m", 1, 1, 0.2, "r", family=1).judge(Interval(0.64, 0.43, 0.84, 10, unit="points", seeds=3)))


def test_every_claim_of_the_book_can_be_read_and_is_known_by_its_chapter():
    known = read_claims()
    assert known and all(id.partition(".")[0] and id == one.id for id, one in known.items())
    chapters = [id.partition(".")[0] for id in known]
    assert all(one.family >= chapters.count(id.partition(".")[0]) for id, one in known.items())
    assert known["dialogue_completion_and_cost.each"].family == 34 and known["tokens.first_loss"].family == chapters.count("tokens")
    with pytest.raises(ConfigError, match="no claim is called 'pretraining.ordre'; choose one of pretraining."):
        claim("pretraining.ordre")


def test_claims_that_were_dropped_after_their_results_still_count_in_the_family(tmp_path):
    (tmp_path / "lab").mkdir()

    def families(head):
        (tmp_path / "lab/claims.toml").write_text(head + TOML)
        read_claims.cache_clear()
        return {id: one.family for id, one in read_claims(tmp_path).items()}

    known = families("")
    assert set(known.values()) == {len(known)}
    assert families('[_family]\njudged = 12\nwhy = "nine are gone"\n') == dict.fromkeys(known, 12)
    assert families('[_family]\njudged = 1\nwhy = "none is gone"\n') == known  # never fewer than stand there
    for bad in ("judged = 12", 'why = "gone"', 'judged = 12\nwhy = "gone"\nleft = 1'):
        with pytest.raises(ConfigError, match="lab/claims.toml cannot be read"):
            families(f"[_family]\n{bad}\n")


def test_a_claim_that_lacks_something_is_told_in_a_line(tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/claims.toml").write_text(TOML + "colour = 1\n")
    with pytest.raises(ConfigError, match="lab/claims.toml cannot be read .*colour.*; a claim has text, measure"):
        read_claims(tmp_path)
    for settings, message in (({"registered": "after a look"}, "say in `why`"), ({"question": "What?"}, "two or more"), ({"registered": "never"}, "say one of")):
        with pytest.raises(ConfigError, match=message):
            Claim("1", "t", "m", 1, 1, 0.1, "r", **settings)


def test_a_number_is_text_before_it_is_bound_and_a_guard_is_silent_while_it_holds(capsys):
    number("accuracy", Interval(0.89, 0.84, 0.93, 200))
    number("items", 1200)
    number("fast", "3 s", live=True)
    assert capsys.readouterr().out.splitlines() == ["accuracy = 89% (84 to 93)", "items = 1,200", "fast = 3 s (this run)"]
    for bad in (lambda: number("accuracy", 0.891), lambda: number("The Accuracy", 1)):
        with pytest.raises(ConfigError):
            bad()
    holds("one is less than two", 1 < 2)
    with pytest.raises(AssertionError, match="no longer true: two is less than one"):
        holds("two is less than one", 2 < 1)


def test_with_the_readers_own_model_a_chapter_goes_on(monkeypatch, capsys):
    monkeypatch.setenv("LMTUTOR_MODEL", "some/model")
    holds("two is less than one", 2 < 1)
    assert capsys.readouterr().out == "not so here, with some/model: two is less than one\n"


ROWS = [{"": "LoRA", "accuracy": Interval(0.89, 0.84, 0.93, 200), "seconds": "1.2 s"}, {"": "words < all", "accuracy": "84%", "seconds": "-"}]


def test_a_table_aligns_numbers_marks_the_best_and_names_its_record(lab):
    table(ROWS, caption="LoRA wins", source="head_to_head/bbc", best={"seconds": "1.2 s"})
    ((shown, _),) = lab
    html = shown["text/html"]
    assert html.count('class="lm-number"') == 6 and "<strong>1.2 s</strong>" in html and "words &lt; all" in html and "<caption>LoRA wins" in html
    assert shown["text/plain"].splitlines() == ["LoRA wins", "                   accuracy  seconds", "LoRA         89% (84 to 93)    1.2 s", "words < all             84%        -"]
    assert tables.MOST_COLUMNS == 6


@pytest.mark.parametrize("rows, more, message", [
    ([], {}, "one row at least"), ([{"a": 1}, {"b": 1}], {}, "the same columns"), ([dict.fromkeys("abcdefg", 1)], {}, "7 columns do not fit"),
    ([{"a": "x", "b": 1}], {"best": {"b": 2}}, "no row has 2 in 'b'"),
])  # fmt: skip
def test_a_table_that_does_not_fit_is_refused(lab, rows, more, message):
    with pytest.raises(ConfigError, match=message):
        table(rows, caption="c", **more)
