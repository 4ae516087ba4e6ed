"""The decision guide: its table is the records', its JavaScript decides as its Python does, and its page is there for everybody."""

import copy
import itertools
import json
import math
import re

import numpy as np
import pytest
from conftest import ROOT, barriers, needs_axe, needs_browser
from py_mini_racer import MiniRacer

from lmtutor.compare import guide
from lmtutor.compare.guide import at, decide, difference, flips, hosted_bill, own_bill
from lmtutor.measure import stats
from lmtutor.records.store import load

TABLE = json.loads(guide.FILE.read_text(encoding="utf-8"))
START, SOURCES = TABLE["start"], {source["id"]: source for source in TABLE["sources"]}
SCRIPT = (ROOT / "book/_static/guide.js").read_text(encoding="utf-8")
PAGE = "book/guide.html"


def case(**changes):
    return START | changes


def answer(name, **changes):
    found = decide(TABLE, SOURCES[name], case(**changes))
    return found["status"], found["pick"], found["open"]


def leaves(value):
    """Everything that stands in nested lists and dictionaries, in order, keys too."""
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, (list, tuple)) else [value]


# --- the table is the records' ---------------------------------------------------------------------------------------------------

def test_the_table_is_what_the_records_say():
    """Made anew by `python -m lmtutor.compare.guide` when a record changes."""
    ours, stored = leaves(guide.table()), leaves(TABLE)
    assert len(ours) == len(stored)
    for one, other in zip(ours, stored, strict=True):
        assert one == (pytest.approx(other, abs=2e-4, rel=1e-3) if isinstance(other, float) else other)


def test_a_level_and_a_difference_are_chapter_15s_own():
    results = load("head_to_head/bbc").results
    truth = np.array(results["truth"])
    lora, words = (np.array([np.array(run["predicted"]) == truth for run in results["runs"] if (run["way"], run["n"]) == (way, 128)], float)
                   for way in ("LoRA", "bag of words"))
    level, gap = stats.seeds_then_items(lora, shared=128 / 600), stats.seeds_then_items(lora - words, shared=128 / 600, unit="points")
    assert at(SOURCES["topics"]["ways"]["LoRA"]["accuracy"], 128) == pytest.approx([level.estimate, level.low, level.high], abs=1e-4)
    for sign, pair in ((1, ("LoRA", "bag of words")), (-1, ("bag of words", "LoRA"))):
        estimate, low, high = difference(SOURCES["topics"], "accuracy", *pair, 128)
        assert sorted([sign * low, sign * high]) + [sign * estimate] == pytest.approx([gap.low, gap.high, gap.estimate], abs=1e-4)


def test_every_curve_says_its_model_and_its_page():
    for source in SOURCES.values():
        assert source["model"] in (guide.SMOLLM2, guide.GEMMA) and (ROOT / f"notebooks/{source['page']}.ipynb").exists()
        assert "LoRA" not in source["ways"] or source["model"] == guide.SMOLLM2  # with Gemma it was not measured


def test_records_of_other_items_do_not_stand_in_one_table():
    with pytest.raises(AssertionError, match="asked different items"):
        guide.source("x", "", "", "", ["head_to_head/bbc", "head_to_head/reviews"], "", 600)


# --- the rule ----------------------------------------------------------------------------------------------------------------------

def test_between_measured_numbers_a_line_over_the_logarithm_and_none_outside():
    points = [[8, 0.2, 0.0, 0.4], [32, 0.6, 0.4, 0.8]]
    assert at(points, 7) is None and at(points, 8) == [0.2, 0.0, 0.4]
    assert at(points, 16) == pytest.approx([0.4, 0.2, 0.6]) and at(points, 32) == at(points, 5000) == [0.6, 0.4, 0.8]
    assert at([[0, 0.7, 0.6, 0.8]], 0) == at([[0, 0.7, 0.6, 0.8]], 300) == [0.7, 0.6, 0.8]


def test_a_bill_by_hand():
    year = case(labels=100, label_price=0.1, queries=1000, years=1, changes=0, machine=0.36)
    assert own_bill(year, 100, 100, 1000) == pytest.approx(10 + 0.1 + 365_000 * 0.1 / 3600 * 0.36)
    assert own_bill(year | {"changes": 2}, 100, 0, 0) == pytest.approx(30)
    assert own_bill(year | {"changes": 1, "years": 3}, 100, 0, 0) == pytest.approx(40)
    told = {"tokens": 250}
    free = year | {"labels": 0, "queries": 1e6 / 365, "read": 0.1, "cached": 0.01, "written": 0.5}
    assert hosted_bill(TABLE, told, free) == pytest.approx(27.5)  # 250 read and 5 written, a million times
    assert hosted_bill(TABLE, told, free | {"read": 0, "written": 0}) == 0
    assert hosted_bill(TABLE, told, free | {"labels": 500, "label_price": 0}) == pytest.approx(27.5 + 32 * 250 * 0.01)


def test_without_labels_a_prompt_and_with_few_nothing_that_learns():
    assert answer("topics", labels=0) == answer("topics", labels=4) == ("take", "zero-shot, calibrated", [])
    rows = decide(TABLE, SOURCES["topics"], case(labels=4))["rows"]
    assert rows["LoRA"] == {"level": None, "ms": None, "bill": None, "state": "labels"}


def test_with_a_few_dozen_labels_the_linear_layer():
    assert answer("topics", labels=32) == ("take", "frozen probe", [])
    assert answer("topics, few", labels=32)[1] == answer("topics, Gemma", labels=32)[1] == "frozen probe"


def test_with_many_labels_on_topics_cheap_ways_are_open_and_a_wider_margin_settles_it():
    status, pick, pending = answer("topics", labels=128)
    assert (status, pick, pending) == ("undecided", "frozen probe", ["encoder"])
    assert answer("topics", labels=128, matters=0.1)[:2] == ("take", "encoder")
    assert "bag of words" in answer("topics", labels=512)[2]


def test_little_time_takes_the_language_model_out():
    assert answer("topics", latency=200)[1] == "encoder" and answer("topics", latency=20)[1] == "word vectors"


def test_where_nothing_beats_the_commonest_label_nothing_is_to_be_done():
    assert answer("tone", labels=32)[:2] == ("take", "majority")
    assert answer("tone", labels=32, metric="balanced")[1] != "majority"  # each mood alike: then the constant answer is worth little


def test_on_reviews_no_way_is_clearly_better_than_the_commonest_mood():
    """What the page's first sentence says of SmolLM2-135M; with 8 labels the commonest of a draw is often the wrong one."""
    for way, n in itertools.product(set(SOURCES["tone"]["ways"]) - {"majority"}, (32, 128, 256)):
        assert difference(SOURCES["tone"], "accuracy", way, "majority", n)[1] <= 0, (way, n)


def test_nothing_above_the_largest_number_of_labels_is_made_up():
    assert answer("topics", labels=512) == answer("topics", labels=1024)


def test_private_texts_meet_no_hosted_model_and_it_never_is_the_answer():
    assert decide(TABLE, SOURCES["topics"], case(private=True))["hosted"] is None
    open_, closed = decide(TABLE, SOURCES["topics"], case()), decide(TABLE, SOURCES["topics"], case(private=True))
    assert open_["hosted"] > 0 and open_ | {"hosted": None} == closed


def test_i_do_not_know_needs_labels_and_no_constant_answer():
    assert answer("topics", declines=True, labels=0) == ("none", None, [])
    assert answer("tone", declines=True)[1] != "majority"
    paid = decide(TABLE, SOURCES["topics"], case(declines=True))["rows"]["zero-shot"]["bill"]
    assert paid - decide(TABLE, SOURCES["topics"], case())["rows"]["zero-shot"]["bill"] == pytest.approx(32 * 0.1)


def test_dear_labels_and_a_task_that_changes_leave_the_prompt_that_needs_none():
    told = copy.deepcopy(SOURCES["topics"])
    for pair in told["gaps"]["accuracy"]:
        told["gaps"]["accuracy"][pair] = [[n, 0, -0.01, 0.01] for n, *_ in told["gaps"]["accuracy"][pair]]  # all as good as each other
    for way in told["ways"].values():
        way["accuracy"] = [[n, 0.5, 0.4, 0.6] for n, *_ in way["accuracy"]]
    assert decide(TABLE, told, case(label_price=0))["pick"] == "majority"
    dear = decide(TABLE, told, case(label_price=5, changes=12))
    assert dear["pick"] == "encoder, label names" and dear["status"] == "take"


def test_what_would_change_the_answer_does_and_nothing_nearer_does():
    for name, labels in itertools.product(SOURCES, (0, 32, 128)):
        now, told = case(labels=labels), SOURCES[name]

        def found(given, told=told):
            answer = decide(TABLE, told, given)
            return [answer["status"], answer["pick"], answer["open"][0] if answer["open"] else None]

        for flip in flips(TABLE, told, now):
            assert found(now | {flip["input"]: flip["value"]}) == flip["answer"] != found(now)
            nearer = [value for value in TABLE["steps"][flip["input"]] if min(now[flip["input"]], flip["value"]) < value < max(
                now[flip["input"]], flip["value"])]
            assert all(found(now | {flip["input"]: value}) == found(now) for value in nearer)
    assert {flip["input"] for flip in flips(TABLE, SOURCES["topics"], case())} >= {"labels", "latency"}


# --- the same in JavaScript --------------------------------------------------------------------------------------------------------

def grid():
    """Cases at the ends and in the middle of every slider, and some between."""
    for labels, latency, matters, declines in itertools.product((0, 4, 8, 20, 32, 100, 128, 500, 1024), (1, 100, 500), (0.01, 0.05, 0.1),
                                                                (False, True)):
        yield case(labels=labels, latency=latency, matters=matters, declines=declines)
    for price, queries, changes, years in itertools.product((0, 0.1, 10), (1, 1000, 1_000_000), (0, 52), (0.25, 5)):
        yield case(labels=64, label_price=price, queries=queries, changes=changes, years=years, metric="balanced")
    yield case(private=True)
    yield case(machine=0, read=0, cached=0, written=0)


@pytest.fixture(scope="module")
def javascript():
    context = MiniRacer()
    context.eval(SCRIPT + """;
      let table;
      globalThis.load = (text) => { table = JSON.parse(text); return true; };
      globalThis.all = (text) => { const { id, cases, turning } = JSON.parse(text), told = table.sources.find((one) => one.id === id);
        return JSON.stringify(cases.map((given) => turning ? LmGuide.flips(table, told, given) : LmGuide.decide(table, told, given))); };
      globalThis.curve = (text) => { const { points, ns } = JSON.parse(text);
        return JSON.stringify(ns.map((n) => LmGuide.at(points, n))); };""")
    context.call("load", json.dumps(TABLE))
    return lambda name, **told: json.loads(context.call(name, json.dumps(told)))


def same(one, other):
    ours, theirs = leaves(one), leaves(other)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        number = isinstance(a, (int, float)) and not isinstance(a, bool)
        assert (math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if number else a == b), (a, b)


@pytest.mark.parametrize("name", SOURCES)
def test_javascript_decides_as_python_does(javascript, name):
    cases = list(grid())
    same([decide(TABLE, SOURCES[name], one) for one in cases], javascript("all", id=name, cases=cases))
    some = cases[::17]
    same([flips(TABLE, SOURCES[name], one) for one in some], javascript("all", id=name, cases=some, turning=True))


def test_javascript_draws_the_same_curves(javascript):
    ns = [0, 1, 8, 9, 20, 24, 40, 96, 300, 512, 4000]
    for source in SOURCES.values():
        for points in [way[kind] for way in source["ways"].values() for kind in ("accuracy", "balanced", "bill")]:
            same([at(points, n) for n in ns], javascript("curve", points=points, ns=ns))


@pytest.mark.parametrize("old, new", [
    ("high <= given.matters", "high < low"), ("Math.log(n / low)", "(n - low)"), ("low > 0 ?", "low < 0 ?"), ("* 365 *", "* 364 *"),
    ("fit.indexOf(way) < fit.indexOf(pick)", "false"), ("cost[0] > given.latency", "false"),
    ("[-estimate, -high, -low]", "[-estimate, -low, -high]")])
def test_a_wrong_line_would_be_noticed(old, new):
    assert SCRIPT.count(old) >= 1
    context = MiniRacer()
    context.eval(SCRIPT.replace(old, new) + """; globalThis.all = (a, b, c) => { const table = JSON.parse(a);
        return JSON.stringify(JSON.parse(c).map((given) => table.sources.map((told) => LmGuide.decide(table, told, given)))); };""")
    cases = list(grid())
    with pytest.raises(AssertionError):
        same([[decide(TABLE, told, one) for told in TABLE["sources"]] for one in cases],
             json.loads(context.call("all", json.dumps(TABLE), "", json.dumps(cases))))


def test_the_script_is_small_classic_and_asks_nobody():
    forbidden = ("fetch(", "import(", "export ", "innerHTML", "insertAdjacentHTML", "document.write", "eval(", "XMLHttpRequest")
    assert len(SCRIPT) < 25_000 and not any(word in SCRIPT for word in forbidden)
    assert SCRIPT.count("http") == SCRIPT.count("http://www.w3.org/2000/svg")


# --- the page ----------------------------------------------------------------------------------------------------------------------

def test_the_picture_and_the_costs_are_bound():
    pytest.importorskip("sphinx")
    import importlib

    extension = importlib.import_module("guide")
    drawn = extension.picture(lambda path: None)
    assert "{{" not in drawn and 'role="img"' in drawn and "79%" in drawn and f'width="{0.9 * 79:g}"' in drawn
    assert extension.took("topics/LoRA/32", 1) == at(SOURCES["topics"]["ways"]["LoRA"]["bill"], 32)[1]
    with pytest.raises(extension.ExtensionError, match="no such task"):
        extension.took("topics/LoRA/33", 0)


@pytest.fixture
def guide_page(visit, site):
    def open_(**settings):
        page = visit(site / PAGE, **{"viewport": {"width": 1280, "height": 900}, **settings})
        page.wait_for_load_state("networkidle")
        return page
    return open_


class TestInABrowser:
    pytestmark = needs_browser

    def test_it_answers_to_the_keyboard(self, guide_page):
        page = guide_page()
        headline = page.locator(".lm-headline")
        assert headline.get_attribute("role") == "status" and headline.inner_text() == "Take a linear layer on the frozen model."
        page.get_by_label("Labels at hand").focus()
        page.keyboard.press("Home")
        page.wait_for_function("document.querySelector('.lm-headline').textContent === 'Take a calibrated prompt.'")
        assert page.get_by_label("Labels at hand").get_attribute("aria-valuetext") == "0 labels"
        page.get_by_label("The texts must not leave this machine").press("Space")
        assert "Hosted models are out" in page.locator(".lm-results").inner_text()
        page.get_by_label("The task most like yours").select_option("tone")
        page.wait_for_function("document.querySelector('.lm-headline').textContent === 'Take a prompt as it is.'")

    def test_what_is_typed_is_a_number_or_nothing(self, guide_page):
        page = guide_page()
        page.get_by_text("Prices of tokens and of a machine").click()
        price, results = page.get_by_label("Tokens read, $ a million"), page.locator(".lm-results")
        before = results.inner_text()
        for wrong in ("", "-3", "1e999"):
            price.fill(wrong)
            assert price.get_attribute("aria-invalid") == "true" and results.inner_text() == before
        price.fill("0")
        assert price.get_attribute("aria-invalid") == "false" and results.inner_text() != before

    def test_without_scripting_it_is_the_table(self, guide_page):
        page = guide_page(java_script_enabled=False)
        ways = re.findall(r"^\| \*\*", (ROOT / "book/guide.md").read_text(), re.M)  # a row begins with its way, in bold
        assert page.locator(".lm-ways tbody tr").count() == len(ways) > 7 and not page.locator(".lm-guide form").count()
        assert page.locator(".lm-guide noscript p").is_visible()

    def test_on_paper_stand_the_table_and_what_was_set(self, guide_page):
        page = guide_page()
        page.get_by_label("Labels at hand").press("End")
        page.emulate_media(media="print")
        assert not page.locator(".lm-guide form").is_visible() and page.locator(".lm-ways").is_visible()
        assert "1,024 labels" in page.locator(".lm-state").inner_text() and page.locator(".lm-state").is_visible()
        assert "Measured with up to 512 labels" in page.locator(".lm-results").inner_text()

    @needs_axe
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_no_barrier_in_any_state(self, guide_page, scheme):
        page = guide_page(color_scheme=scheme)
        page.get_by_text("Prices of tokens and of a machine").click()
        for key in ("End", "Home"):
            page.get_by_label("Labels at hand").press(key)
            page.wait_for_timeout(400)
            assert not barriers(page)

    def test_on_a_phone_nothing_is_pushed_off_the_side(self, guide_page):
        page = guide_page(viewport={"width": 390, "height": 844})
        for name in SOURCES:
            page.get_by_label("The task most like yours").select_option(name)
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert page.locator(".lm-guide .lm-table").evaluate("(it) => it.scrollWidth - it.clientWidth") <= 1
