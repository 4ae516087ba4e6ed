"""The ledger: every claim of the article has its row, every verdict is its notebook's, and what was altered by hand shows."""

import copy
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

from lmtutor.measure.claims import read_claims
from lmtutor.measure.stats import Interval
from lmtutor.records.store import load, stale
from lmtutor.records.table import EXPERIMENTS

pytest.importorskip("sphinx.errors")
import ledger  # noqa: E402


@pytest.fixture(scope="module")
def book():
    """What the page is made from: rows, claims that are not judged, claims of the chapters, cards."""
    return *ledger.read_rows()[:2], dict(read_claims()), ledger.read_cards()


def test_the_ledger_agrees_with_the_notebooks(book):
    assert not ledger.faults(*book)


def test_every_claim_of_the_article_has_a_row_with_an_experiment_or_a_reason(book):
    rows, not_judged, claims, cards = book
    assert [number for number in rows if number != "closing"] == [f"C{n:02d}" for n in range(1, 53)]
    judged = {card.id for card in cards}
    for number, row in rows.items():
        ids = {*ledger.experiments(number, row, claims)}
        assert judged & ids or row.get("reason") or all(not_judged[id] for id in ids) and ids, number
    told = {number for claim in claims.values() for number in claim.answers}
    assert told <= {*rows}, "a chapter answers a claim that the article does not make"


def test_the_scorecard_counts_every_claim_once(book):
    rows = book[0]
    assert Counter(row["reading"] for row in rows.values()) == {"holds": 8, "nuance": 21, "imprecise": 15, "wrong": 6, "open": 2, "outside": 1}


def test_many_verdicts_as_one_family(book):
    """What would stay decided lies between two counts, and each of both is what the intervals say."""
    rows, not_judged, claims, cards = book
    data = ledger.Ledgers(rows, not_judged, claims, {card.id: card for card in reversed(cards)}, {})
    in_all, chapters, gone, again = ledger.counted(data)
    assert (in_all, chapters) == (len(data.cards) + sum(gone.values()) + len(not_judged), 17) and gone == {"14": 20} and again == ["02", "07"]
    least, most = (ledger.stay(data, 1 - 0.10 / in_all, seeds) for seeds in (True, False))
    now = Counter(card.kept["word"] for card in data.cards.values())
    assert all(least[word] <= most[word] < now[word] for word in ("supported", "not supported"))
    for id, card in data.cards.items():
        claim, kept = claims[id], card.kept
        at = max(0.95, 1 - 0.10 / claim.family)
        known = ledger.widened(card, claim, at, False)
        assert kept["word"] in ("undecided", claim.word(known)), f"{id}: at its own level it is not what it was judged"
        narrow, wide = (ledger.widened(card, claim, 1 - 0.10 / in_all, seeds) for seeds in (False, True))
        assert wide.low <= narrow.low + 1e-9 and narrow.high <= wide.high + 1e-9, id
    for few in (3, 5):  # as an interval is stretched that has nothing but its ends
        plain = Interval(0.5, 0.4, 0.6, 100, seeds=few, unit="nats")
        assert plain.at(0.999).high - 0.5 == pytest.approx(0.1 * ledger.ratio(0.999, 0.95, few))
    said = " ".join(ledger.many(data))
    assert f"between {least.total()} and {most.total()} would stay" in said and "2.3 times where there are 5 seeds and 4.6 times" in said
    looked = sum(claims[id].registered != "before" for id, card in data.cards.items() if card.kept["word"] != "undecided")
    assert f"for the {looked} of {now['supported'] + now['not supported']} decided verdicts that were registered after a look" in said


def test_a_source_says_what_of_it_was_read(book):
    for number, row in book[0].items():
        assert "?" not in row.get("read", ""), number


def test_a_word_is_meant_only_for_claims_that_there_are(book):
    assert {*ledger.read_rows()[2]} <= {*book[2]}


def test_pre_training_and_fine_tuning_call_one_function():
    """What row C33 shows."""
    for name in ("pretrain/tinyworld", "pretrain/news", "finetune/sft", "finetune/classifier"):
        text = (ROOT / f"lmtutor/{name}.py").read_text(encoding="utf-8")
        assert re.search(r"^from lmtutor\.train import .*\btrain\b", text, re.M) and re.search(r"[^.\w]train\(", text), name


# Mutations: each alters one thing as a careless or a hopeful hand would, and must be found. ------------------------------


def card_of(book, id):
    return next(i for i, card in enumerate(book[3]) if card.id == id)


def kept(id, **values):
    """What the ledger reads of a card, and nothing else of it, altered."""
    def alter(book):
        i = card_of(book, id)
        book[3][i] = dataclasses.replace(book[3][i], kept=book[3][i].kept | values)
    return alter


def everywhere(id, *pairs):
    """A card altered in all places at once, as by search and replace in its notebook."""
    def alter(book):
        i = card_of(book, id)
        text = json.dumps(dataclasses.asdict(book[3][i]), ensure_ascii=False)
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        book[3][i] = ledger.Card(**json.loads(text))
    return alter


def claim(id, **values):
    def alter(book):
        book[2][id] = dataclasses.replace(book[2][id], **values)
    return alter


def row(number, **values):
    def alter(book):
        book[0][number] = {key: value for key, value in (book[0][number] | values).items() if value is not None}
    return alter


def without(part, key):
    return lambda book: book[part].pop(key)


MUTATIONS = {
    "a word in the card's data": (kept("transfer_and_labels.news", word="undecided"), "its word is"),
    "a word in all places": (everywhere("transfer_and_labels.shuffled", ("supported", "undecided")), "the sentence begins"),
    "an open claim made a yes": (everywhere("transfer_and_labels.ratio_probe", ("undecided", "supported"), ("Open:", "Yes:")), "says that it is open"),
    "and without the doubt": (everywhere("transfer_and_labels.ratio_probe", ("undecided", "supported"), ("Open:", "Yes:"), (
        " Alone this would be a yes; beside the chapter's other claims it is not sure.", ""), (
        " Alone this would be a yes; beside the chapter&#x27;s other claims it is not sure.", "")), "the interval at which it is judged"),
    "a no made open, in a bet of our own": (everywhere("after_2023.words_keep", ("supported", "undecided"), ("Yes:", "Open:")), "both its intervals"),
    "the interval in the card's data": (kept("transfer_and_labels.news", low=0.2, estimate=0.3), "the sentence says otherwise"),
    "the sentence on the card alone": (kept("transfer_and_labels.news", sentence="Yes: +90 points (80 to 99)."), "is not the same everywhere"),
    "a bar lowered after the run": (claim("transfer_and_labels.ratio_probe", least_effect=2), "registered is now asked"),
    "after a look made before": (claim("transfer_and_labels.ratio_probe", registered="before", why=""), "registered is now registered"),
    "a claim reworded after the run": (claim("transformer.reach", text="It reaches far"), "registered is now claim"),
    "fewer claims in the family": (claim("dialogue_completion_and_cost.bake", family=15), "as one of at most 15 claims'"),
    "an answer to another claim": (claim("transfer_and_labels.news", answers=["C31"]), "registered is now answers"),
    "fewer items than registered": (kept("transfer_and_labels.news", n=10), "fewer items"),
    "a claim dropped from its chapter": (without(2, "transfer_and_labels.news"), "no claim is called so"),
    "a card dropped from its notebook": (lambda book: book[3].pop(card_of(book, "after_2023.wins")), "no notebook judges it"),
    "a second notebook that says otherwise": (kept("pretraining.in_context", word="supported"), "two notebooks say"),
    "a row dropped": (without(0, "C22"), "the rows are C22"),
    "a row twice, by another name": (lambda book: book[0].update(C53=book[0]["C22"]), "the rows are C53"),
    "a row without experiment or reason": (row("C18", reason=None), "no experiment and no reason"),
    "a source of which nothing was read": (row("C18", read=None), "a source, and what of it was read"),
    "an experiment that nobody made": (row("C25", experiments=["instructions_and_answers.contracts"]), "no claim is called instructions"),
    "a reading that there is not": (row("C25", reading="maybe"), "its reading is"),
    "a verdict that changed since the row was read": (row("C26", seen="transfer_and_labels.ratio_probe +"), "read the row again"),
}  # fmt: skip


def test_the_page_says_how_many_are_tried():
    assert f"{len(MUTATIONS)} such changes" in (ROOT / "book/ledger.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_found(book, name):
    alter, said = MUTATIONS[name]
    rows, not_judged, claims, cards = book
    altered = copy.deepcopy(rows), dict(not_judged), dict(claims), list(cards)
    alter(altered)
    assert any(said in fault for fault in ledger.faults(*altered)), ledger.faults(*altered)


def test_a_new_claim_needs_no_edit_here(book):
    """One more claim of a chapter, with its card, beyond the article or on one of its claims."""
    rows, not_judged, claims, cards = copy.deepcopy(book[0]), dict(book[1]), dict(book[2]), list(book[3])
    for old in ("after_2023.words_keep", "transfer_and_labels.news"):
        claims[f"{old}_too"] = dataclasses.replace(claims[old], id=f"{old}_too")
        cards.append(card := copy.deepcopy(cards[card_of(book, old)]))
        card.kept["id"] += "_too"
    assert not ledger.faults(rows, not_judged, claims, cards)
    words = {card.id: card.kept["word"] for card in cards}
    assert ledger.moved(ledger.experiments("C30", rows["C30"], claims), words, rows["C30"]) == ([], ["transfer_and_labels.news_too"])
    data = ledger.Ledgers(rows, not_judged, claims, {card.id: card for card in cards}, {})
    assert "after_2023.words_keep_too" in ledger.others(data)["16"] and "bet-after-2023-words-keep-too" in ledger.other_bets(data, str)


@pytest.mark.parametrize("name", ["transfer_and_labels/labels", "after_2023/students"])
def test_a_number_changed_in_a_record_shows_in_its_checksum(name):
    assert name in EXPERIMENTS
    record = load(name)
    assert record.checksum == record.digest()
    results = json.loads(json.dumps(record.results))

    def change(value):
        for key in value if isinstance(value, dict) else range(len(value)):
            if isinstance(value[key], float):
                value[key] += 0.01
                return True
            if isinstance(value[key], (dict, list)) and change(value[key]):
                return True
        return False

    assert change(results)
    assert dataclasses.replace(record, results=results).digest() != record.checksum


@pytest.mark.long
def test_a_record_altered_with_its_checksum_made_anew_shows_when_its_notebook_runs_again(tmp_path):
    """What the quick tests can't see: nothing in such a record contradicts anything else in it. `notebooks/compare.py`, in `make test`, sees it."""
    shutil.copytree(ROOT / "lmtutor", tmp_path / "lmtutor", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "lmtutor/chapters/after_2023/records/students.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    kept["results"]["teacher"] = [[0 if told == 1 else told for told in draw] for draw in kept["results"]["teacher"]]
    path.write_text(json.dumps(kept), encoding="utf-8")
    record = load("after_2023/students", folder=tmp_path / "lmtutor/chapters")
    path.write_text(json.dumps(kept | {"checksum": record.digest()}), encoding="utf-8")
    assert stale("after_2023/students", folder=tmp_path / "lmtutor/chapters") is None, "the quick check sees it after all: say so"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env",
                           "--nbval-sanitize-with", "tests/nbval_sanitize.cfg", "notebooks/deeper/16_after_students.ipynb"],
                          cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path), "LMTUTOR_QUIET": "1"}, capture_output=True, text=True)
    assert done.returncode == 1 and re.search("no longer true|mismatch", done.stdout), done.stdout[-2000:]


# The references ---------------------------------------------------------------------------------------------------------


def references(text):
    """{key: {field: value}} of a bibliography in which each entry ends with a brace on a line of its own."""
    found = {}
    for key, inner in re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", text, re.M | re.S):
        assert key not in found, f"{key} stands there twice"
        found[key] = dict(re.findall(r"(\w+) = \{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}", inner))
    assert len(found) == len(re.findall(r"^@", text, re.M))
    return found


def badly_formed(key, fields):
    """What is wrong with the addresses of a reference."""
    url, doi, named = fields.get("url", ""), fields.get("doi", ""), re.search(r"arXiv:(.*)$", fields.get("howpublished", ""))
    doi = doi or url.removeprefix("https://doi.org/") * url.startswith("https://doi.org/")
    if missing := {"author", "title", "year"} - {*fields}:
        yield f"{key} has no {', '.join(sorted(missing))}"
    if "arxiv" in url.lower() and not re.fullmatch(r"https://arxiv\.org/abs/\d\d(0[1-9]|1[0-2])\.\d{4,5}", url):
        yield f"{key}: {url} is no address of arXiv"
    if named and "arxiv" in url and not url.endswith("/" + named[1]):
        yield f"{key}: names {named[1]} and links to {url}"
    if doi and not re.fullmatch(r"10\.\d{4,9}/[^\s{}]+", doi):
        yield f"{key}: {doi} is no DOI"
    if url and not re.fullmatch(r"https://[^\s{}]+", url):
        yield f"{key}: {url} is no address"
    if (posted := re.search(r"abs/(\d\d)", url)) and 2000 + int(posted[1]) > int(fields["year"]):
        yield f"{key}: of {fields['year']}, on arXiv later"
    if not (url or doi) and key not in OLD:
        yield f"{key}: neither a DOI nor an address"


OLD = {"radford2019"}  # its makers gave it none


def test_every_reference_is_well_formed():
    found = references((ROOT / "book/references.bib").read_text(encoding="utf-8"))
    assert not [fault for key, fields in found.items() for fault in badly_formed(key, fields)]
    assert OLD == {key for key, fields in found.items() if not (fields.get("url") or fields.get("doi"))}


@pytest.mark.parametrize("fields", [{"url": "https://arxiv.org/abs/2213.1234"}, {"url": "https://arxiv.org/pdf/2203.15556"}, {"doi": "doi:10.1/x"},
                                    {"url": "https://arxiv.org/abs/2203.15556", "howpublished": "arXiv:2203.15557"}, {"url": "www.x.org"}, {},
                                    {"url": "https://arxiv.org/abs/2503.15556"}])  # fmt: skip
def test_a_badly_formed_reference_is_found(fields):
    assert [*badly_formed("x2022", {"author": "X", "title": "X", "year": "2022"} | fields)]


# The built page ---------------------------------------------------------------------------------------------------------


def test_the_page_says_what_the_notebooks_say_and_links_both_ways(site, book):
    page = BeautifulSoup((site / "book/ledger.html").read_text(encoding="utf-8"), "html.parser")
    words = {ledger.anchor(card.id): card.kept["word"] for card in book[3]}
    names, shown, cards = {tag["id"] for tag in page.select("[id]")}, set(), {}
    assert len(page.select(".lm-row[id]")) == 53
    for path in {card.page for card in book[3]}:  # found by what stands around them: to parse the whole pages takes twenty seconds
        text = (site / f"{path}.html").read_text(encoding="utf-8")
        for name, inner in re.findall(r'<div id="(verdict-[a-z0-9-]+)" class="lm-card (.*?)</p></div>', text, re.S):
            cards[f"{path}.html#{name}"] = inner
            assert f'<p class="lm-head">{words[name]}</p>' in inner
            for file, place in re.findall(r'<a href="([^"#]*)#([^"]*)">', inner.partition('class="lm-ledger"')[2]) or [("", "")]:
                assert (site / path).parent.joinpath(file).resolve() == (site / "book/ledger.html").resolve() and place in names, (path, name)
    for entry in page.select("li:has(a[href*='#verdict-'])"):
        assert entry.a["href"].removeprefix("../") in cards
        name = entry.a["href"].partition("#")[2]
        assert entry.strong.get_text() == words[name]
        shown.add(name)
    assert shown == {*words}


def test_the_scorecard_is_drawn_and_says_its_finding(site, book):
    page = BeautifulSoup((site / "book/ledger.html").read_text(encoding="utf-8"), "html.parser")
    drawn = page.select_one("svg.lm-score[role=img]")
    counts = Counter(card.kept["word"] for card in {card.id: card for card in book[3]}.values())
    words = drawn["aria-label"]
    assert "8 hold, 21 hold with a nuance, 15 are imprecise, 6 are wrong, 2 can't be told here" in words
    assert f"{counts['supported']} came out as claimed, {counts['not supported']} came out otherwise" in words
    assert (site / "book/ledger.html").stat().st_size < 300_000
