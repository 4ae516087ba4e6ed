"""The ledger: the article's claims and the book's own bets, joined with the verdicts that the notebooks stored. No verdict is typed.

    ```{ledger} score           drawn: how many of the article's claims hold, how many of our own came out
    ```
    ```{ledger} many            what judging so many claims at once does to the count
    ```
    ```{ledger} Fine-tuning     the rows of a part of the article, out of book/ledger.toml
    ```
    ```{ledger} bets            all other claims of the chapters
    ```

A card of a verdict in a chapter gets a name to link to, `verdict-<chapter>-<name>`, and a link to its row. The build stops where `faults` finds one.
"""

import json
import re
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from html import escape
from math import inf
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

import bound

ROOT = Path(__file__).resolve().parents[2]
ROWS = "book/ledger.toml"
PAGE = "book/ledger"
READINGS = {"holds": "hold", "nuance": "hold with a nuance", "imprecise": "are imprecise", "wrong": "are wrong", "open": "can't be told here"}
OUTSIDE = "outside"  # of the closing line, which is none of the 52
WORDS = {"supported": "+", "not supported": "-", "undecided": "?"}
FIELDS = {"part", "says", "reading", "true", "source", "read", "shown", "experiments", "reason", "seen"}
NUMBERED = [f"C{n:02d}" for n in range(1, 53)]
CARD = re.compile(r'<div class="lm-card lm-(supported|not-supported|undecided)">')
LIVE = re.compile(r"<!-- this run -->(.*?)<!-- / -->", re.S)


@dataclass(frozen=True)
class Card:
    """A verdict as a notebook stored it: the same word stands in five places."""

    page: str  # "notebooks/07_transfer_and_labels"
    kept: dict  # what the card holds for the ledger: id, word, sentence, estimate, low, high, unit, n, seeds, live
    html: str
    text: str
    glued: str
    sentence: str  # that was glued; of a live one none is

    @property
    def id(self):
        return self.kept["id"]

    @property
    def number(self):
        """Of its chapter, `07`."""
        return Path(self.page).name[:2]


def read_cards(root=ROOT):
    """Every card of a verdict, in the order of the notebooks: chapters first, then what goes deeper."""
    found = []
    for path in [*sorted(root.glob("notebooks/*.ipynb")), *sorted(root.glob("notebooks/deeper/*.ipynb"))]:
        glued, _ = bound.read(path, path.stat().st_mtime_ns)
        for out in (out for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] for out in cell.get("outputs", [])):
            if kept := out.get("metadata", {}).get("lmtutor", {}).get("verdict"):
                key = "verdict_" + kept["id"].replace(".", "_")
                found.append(Card(path.relative_to(root).with_suffix("").as_posix(), kept, "".join(out["data"]["text/html"]),
                                  "".join(out["data"]["text/plain"]), glued.get(key, ""), glued.get(f"{key}_sentence", "")))
    return found


def read_rows(root=ROOT):
    """The article's claims by number; of the chapters' claims those that nothing judges any more, and those whose "it" needs a word."""
    rows = tomllib.loads((root / ROWS).read_text(encoding="utf-8"))
    return rows, rows.pop("not_judged"), rows.pop("meant")


def experiments(number, row, claims):
    """The chapters' claims that stand in a row: those that say so, and those that the row names."""
    return [*(id for id, claim in claims.items() if number in claim.answers), *row.get("experiments", ())]


def seen(ids, words):
    """The verdicts of a row in one line, by which it is noticed when one changes."""
    return ", ".join(f"{id} {WORDS[words[id]]}" for id in ids if id in words)


def moved(ids, words, row):
    """What is no longer as it was when the row was last read, and what has come since; only the first is a fault."""
    then = dict(one.rsplit(" ", 1) for one in row.get("seen", "").split(", ") if one)
    now = {id: WORDS[words[id]] for id in ids if id in words}
    return [id for id, sign in then.items() if now.get(id) != sign], [id for id in now if id not in then]


# What is wrong ----------------------------------------------------------------------------------------------------------


def row_faults(rows, not_judged, claims, words):
    """What is missing in the rows, or no longer so."""
    if list(rows) != [*NUMBERED, "closing"]:
        odd = ", ".join(sorted({*rows} ^ {*NUMBERED, "closing"})) or "not in their order"
        yield f"the rows are {odd}: one each, C01 to C52, then the closing line"
    for number, row in rows.items():
        ids = experiments(number, row, claims)
        judged = [id for id in ids if id in words]
        if unknown := {*row} - FIELDS or {"part", "says", "reading", "true"} - {*row}:
            yield f"{number}: fields {', '.join(sorted(unknown))} are unknown or missing"
        elif row["reading"] not in ({OUTSIDE} if number == "closing" else READINGS):
            yield f"{number}: its reading is {row['reading']!r}"
        if lost := [id for id in ids if id not in claims]:
            yield f"{number}: no claim is called {', '.join(lost)}"
        if twice := [id for id, times in Counter(ids).items() if times > 1]:
            yield f"{number}: names {', '.join(twice)} twice; it stands there by its own `answers`"
        if not judged and not row.get("reason") and not {*ids} & {*not_judged}:
            yield f"{number}: no experiment and no reason"
        if bool(row.get("source")) != bool(row.get("read")):
            yield f"{number}: a source, and what of it was read, or neither"
        if not (judged or row.get("source") or row.get("shown")):
            yield f"{number}: nothing stands behind what is true"
        if moved(ids, words, row)[0]:
            yield f"{number}: its verdicts are no longer those that it was read with; read the row again, then write: seen = \"{seen(ids, words)}\""
    for id in {*claims} - {*words} - {*not_judged}:
        yield f"{id}: no notebook judges it, and no reason is given"
    for id in {*not_judged} & {*words} | {*not_judged} - {*claims}:
        yield f"{id}: is named as not judged, and is, or is no claim"


def card_faults(card, claim):
    """Where a card contradicts itself or what is registered."""
    from lmtutor.measure.claims import registration
    from lmtutor.measure.stats import Interval, in_words

    kept, html = card.kept, LIVE.sub(r"\1", card.html)
    word, interval = kept["word"], Interval(*(kept[key] for key in ("estimate", "low", "high", "n")), unit=kept["unit"], seeds=kept["seeds"])
    said = {card.glued, *re.findall(r"^verdict: (.+)$", card.text, re.M), *re.findall(r'class="lm-head">([^<]*)<', html),
            *(name.replace("-", " ") for name in CARD.findall(html))}
    if word not in WORDS or said != {word}:
        yield f"{card.id} in {card.page}: its word is {word!r}, elsewhere on the card {', '.join(sorted(said - {word}))}"
        return
    sentence = kept["sentence"]
    told = f"<strong>{escape(sentence)}</strong>" in html and sentence in card.text.replace(" (this run)", "")
    if not told or not kept["live"] and card.sentence != sentence:
        yield f"{card.id} in {card.page}: its sentence is not the same everywhere"
    heads = {"within": {"supported": "No difference that counts:", "not supported": "They differ:", "undecided": "Open:"},
             "at most": {"supported": "Yes:", "not supported": "No:", "undecided": "Open:"},
             "at least": {"supported": "Yes:", "undecided": ("Open:", "Yes, but whether by as much as we asked is open:"),
                          "not supported": ("No:", "No, worse than chance:", "No, the other way round:", "Yes, but by less than we asked:")}}
    if not sentence.startswith(heads[claim.direction][word]):
        yield f"{card.id} in {card.page}: {word!r}, and the sentence begins {sentence.split(':')[0]!r}"
    alone = claim.word(interval)
    if word != "undecided" and alone != word and not near(claim, kept):
        yield f"{card.id} in {card.page}: {word!r}, and the interval that is shown says {alone!r}"
    if word != "undecided" and "Alone this would be" in sentence:
        yield f"{card.id} in {card.page}: {word!r}, and the sentence says that it is open"
    if not says(sentence, kept):
        yield f"{card.id} in {card.page}: its interval is {in_words(interval)}, and the sentence says otherwise"
    stored = {re.sub(r"<.*?>", "", name): text for name, text in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html, re.S)}
    for name, text in registration(claim).items():
        if stored.get(name) != escape(text):
            yield f"{card.id} in {card.page}: registered is now {name}: {text!r}, the card says {stored.get(name)!r}"
    for name in {*stored} - {*registration(claim)} - {"judged"}:
        yield f"{card.id} in {card.page}: the card has {name}, which is registered no more"
    judged = stored.get("judged", "")
    if not judged.partition(", ")[2].startswith(f"as {claim.among}") or not judged.startswith(f"at {100 * claim.level:.4g}%"):
        yield f"{card.id} in {card.page}: judged {judged!r}, and should be {f'as {claim.among}'!r}"
    if ends := judged_ends(card):
        low, high = ends["low"], ends["high"]
        wider = replace(interval, low=low, high=high)
        beside = near(claim, {"low": low, "high": high}, 0.006)
        if claim.word(wider) != word and word != "undecided" and not beside:
            yield f"{card.id} in {card.page}: {word!r}, and the interval at which it is judged says {claim.word(wider)!r}"
        if claim.word(wider) == alone != word and not beside and "other draws might" not in sentence:
            yield f"{card.id} in {card.page}: {word!r}, and both its intervals say {alone!r}"
    if kept["n"] < claim.n_items or (kept["seeds"] or 1) < claim.n_seeds:
        yield f"{card.id} in {card.page}: fewer items or seeds than registered"


def judged_ends(card):
    """The bounds at which a card was judged, and half of the last digit to which they are rounded; None where it shows none."""
    found = re.search(r"<dt>judged</dt><dd>[^<]*: [^<]*\((\S+) to (\S+)\)</dd>", LIVE.sub(r"\1", card.html))
    if not found:
        return None
    scale = 100 if card.kept["unit"] in ("%", "points") else 1
    ends = [end.replace(",", "").replace("−", "-") for end in found.groups()]
    off = max(0.5 * 10.0 ** -len(end.partition("e")[0].partition(".")[2]) for end in ends)
    return {"low": float(ends[0]) / scale, "high": float(ends[1]) / scale, "off": off / scale}


def says(sentence, kept):
    """Whether a sentence holds the estimate and both bounds, as exactly as it writes them; of signs nothing, as "a fall of" stands for one."""
    scale = 100 if kept["unit"] in ("%", "points") else 1
    found = re.search(r": (?:a[\w ]+ of )?[+−-]?(\d[\d,.]*\d|\d)(?:e[+-]?\d+)?\D.*?\([+−-]?(\S+) to [+−-]?(\S+)\)", sentence)
    if not found:
        return False
    for text, key in zip(found.groups(), ("estimate", "low", "high"), strict=True):
        text = text.replace(",", "").lstrip("+−-")
        exactly = 0.51 * 10.0 ** -len(text.partition(".")[2]) + 1e-4 * scale
        if abs(float(text) - abs(kept[key]) * scale) > exactly:
            return False
    return True


def near(claim, kept, rounded=1e-4):
    """Whether a bound lies so near to the mark that by its rounding it might lie beyond."""
    return min(abs(abs(kept[end]) - abs(claim.least_effect)) for end in ("low", "high")) <= rounded


def faults(rows, not_judged, claims, cards):
    """Everything that is wrong, in a line each."""
    words, found = {}, []
    for card in cards:
        if card.id not in claims:
            found.append(f"{card.id} in {card.page}: no claim is called so")
            continue
        if words.setdefault(card.id, card.kept["word"]) != card.kept["word"]:
            found.append(f"{card.id}: two notebooks say {words[card.id]!r} and {card.kept['word']!r}")
        found += card_faults(card, claims[card.id])
    return found + list(row_faults(rows, not_judged, claims, words))


# The page ---------------------------------------------------------------------------------------------------------------


class Ledgers(NamedTuple):
    """All that the page is made from."""

    rows: dict
    not_judged: dict
    claims: dict
    cards: dict  # the first of each claim
    meant: dict


def stored(app):
    """Rows, claims that nothing judges, words that are meant, claims and all cards: read once in a build, as many pages ask for them."""
    if not hasattr(app, "lm_stored"):
        from lmtutor.measure.claims import read_claims

        root = Path(app.srcdir)
        app.lm_stored = *read_rows(root), read_claims(root / "lmtutor/chapters"), read_cards(root)
    return app.lm_stored


def gather(app):
    """What is stored, checked."""
    rows, not_judged, meant, claims, cards = stored(app)
    found = faults(rows, not_judged, claims, cards) + [f"{id}: a word is meant for it, and it is no claim" for id in {*meant} - {*claims}]
    if found:
        raise ExtensionError("the ledger does not agree with the notebooks:\n  " + "\n  ".join(found))
    first = {}
    for card in cards:
        first.setdefault(card.id, card)
    return Ledgers(rows, not_judged, claims, first, meant)


def anchor(id):
    return "verdict-" + re.sub(r"[^a-z0-9]+", "-", id)


def bet_anchor(id):
    return anchor(id).replace("verdict", "bet", 1)


def links(claims, rows):
    """For each claim of the chapters, the rows that it stands in."""
    found = defaultdict(list)
    for number, row in rows.items():
        for id in experiments(number, row, claims):
            found[id].append(number)
    return found


def item(id, data, uri, own=False):
    """An experiment in one entry of a list: what was claimed, the verdict, its sentence, when it was registered, where it stands."""
    claim, card = data.claims[id], data.cards.get(id)
    text = escape(claim.text) + (f" [{escape(data.meant[id])}]" if id in data.meant else "")
    if card is None:
        return f"<li>{text}: <strong>not judged</strong>, {escape(data.not_judged[id])}.</li>"
    when = "registered before the run" if claim.registered == "before" else f"registered after a look: {claim.why}"
    deeper = ", going deeper" if "/deeper/" in card.page else ""
    live = " (a live run)" if card.kept["live"] else ""
    name = f' id="{bet_anchor(id)}"' if own else ""
    return (f'<li{name}><a href="{uri(card.page)}#{anchor(id)}">{text}</a>: <strong>{card.kept["word"]}</strong>. '
            f'{escape(card.kept["sentence"])}{live} <small>Chapter {card.number}{deeper}; {escape(when)}.</small></li>')


def tally(ids, cards):
    """How many came out how: "3 supported, 1 undecided"."""
    counted = Counter(cards[id].kept["word"] for id in ids if id in cards)
    return ", ".join(f"{counted[word]} {word}" for word in WORDS if counted[word])


def entries(ids, data, uri, least=4, own=False):
    """The experiments of a row as a list, folded where there are many."""
    if not ids:
        return ""
    inner = f'<ul>{"".join(item(id, data, uri, own) for id in ids)}</ul>'
    if len(ids) < least:
        return inner
    return f"<details><summary>{len(ids)} experiments: {tally(ids, data.cards)}</summary>{inner}</details>"


GREEN, RED, ORANGE, GREY = "--pst-color-success", "--pst-color-danger", "--pst-color-warning", "--pst-color-text-muted"
PALE = 0.5
OURS = {"supported": ("came out as claimed", GREEN), "not supported": ("came out otherwise", RED), "undecided": ("can't be decided", ORANGE)}


def score(data):
    """Both counts as one drawing, whose description says the finding."""
    read = Counter(row["reading"] for row in data.rows.values())
    counts = Counter((card.kept["word"], data.claims[id].registered) for id, card in data.cards.items())
    before, after = ({word: counts[word, when] for word in OURS} for when in ("before", "after a look"))
    colours = dict(zip(READINGS, ((GREEN, 1), (GREEN, PALE), (ORANGE, 1), (RED, 1), (GREY, 1)), strict=True))
    told = ", ".join(f"{read[key]} {name}" for key, name in READINGS.items())
    ours = ", ".join(f"{before[word] + after[word]} {name}" for word, (name, _) in OURS.items())
    first = ", ".join(f"{before[word]} {name}" for word, (name, _) in OURS.items())
    words = (f"Of the article's 52 claims {told}. Of {len(data.cards)} claims of our own about experiments {ours}; "
             f"of the {sum(before.values())} that were registered before their run {first}.")
    y, marks = 0, []

    def line(text, kind, step, x=0):
        nonlocal y
        y += step
        marks.append(f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>')

    def bars(rows):
        nonlocal y
        most = max(sum(number for number, *_ in parts) for _, parts, _ in rows)
        for name, parts, shown in rows:
            line(name, "", 23)
            x = 150.0
            for number, colour, full in parts:
                width = 145 * number / most
                marks.append(f'<rect x="{x:.1f}" y="{y - 12}" width="{width:.1f}" height="14" fill="var({colour})" opacity="{full}"/>')
                x += width
            marks.append(f'<text x="{x + 6:.1f}" y="{y}" class="lm-count">{shown}</text>')

    line("The article's 52 claims", "lm-head", 16)
    bars([(name, [(read[key], *colours[key])], read[key]) for key, name in READINGS.items()])
    line(f"Our own {len(data.cards)} claims", "lm-head", 36)
    bars([(name, [(before[word], colour, 1), (after[word], colour, PALE)], f"{before[word]} + {after[word]}") for word, (name, colour) in OURS.items()])
    y += 24
    for x, full, text in ((0, 1, "registered before the run"), (190, PALE, "after a look")):
        marks.append(f'<rect x="{x}" y="{y - 11}" width="12" height="12" fill="var({GREY})" opacity="{full}"/>')
        line(text, "", 0, x + 17)
    return f'<svg class="lm-score" role="img" viewBox="0 0 370 {y + 6}" aria-label="{escape(words)}">{"".join(marks)}</svg>'


def widened(card, claim, level, seeds):
    """The interval of a card as it would be at another level, from that at 95 % and from that at which it was judged, which the card has rounded.

    Without `seeds` none of its width is taken to come from the seeds, and both are widened as the normal is: the wider is still narrow enough.
    With them all of it is, or from the items if these are fewer, and both are widened as Student's t is: the narrower is still wide enough.
    """
    from lmtutor.measure.stats import Interval, limits

    kept, (lowest, highest) = card.kept, limits(card.kept["unit"])
    few, printed, ends = min(kept["seeds"] or kept["n"], kept["n"]), judged_ends(card), []
    for side, end in ((-1, "low"), (1, "high")):

        def apart(few, off, side=side, end=end):
            found = [ratio(level, 0.95, few) * side * (kept[end] - kept["estimate"])]
            if printed:
                found.append(ratio(level, claim.level, few) * (side * (printed[end] - kept["estimate"]) + off * printed["off"]))
            return found

        least = max(0, *apart(inf, -1))
        ends.append(kept["estimate"] + side * (max(least, min(apart(few, 1))) if seeds else least))
    return Interval(kept["estimate"], max(ends[0], lowest), min(ends[1], highest), kept["n"], unit=kept["unit"])


def ratio(level, known, few=inf):
    """How many times as wide an interval is at one level as at another, by Student's t of so few values, or the normal."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, max(few - 1, 1)) / t.ppf((1 + known) / 2, max(few - 1, 1)))


def stay(data, level, seeds):
    """How many verdicts of each word stay decided as they are if all are judged at one level."""
    return Counter(card.kept["word"] for id, card in data.cards.items()
                   if card.kept["word"] != "undecided" and data.claims[id].word(widened(card, data.claims[id], level, seeds)) == card.kept["word"])


def counted(data):
    """The verdicts of the book: how many in all; of claims that are gone, by chapter; and the chapters that replaced one elsewhere."""
    numbers = {id.partition(".")[0]: card.number for id, card in data.cards.items()}
    families = {id.partition(".")[0]: claim.family for id, claim in data.claims.items()}
    there = Counter(id.partition(".")[0] for id in data.claims)
    gone = {numbers[name]: family - there[name] for name, family in families.items() if family > there[name]}
    again = {numbers[id.partition(".")[0]] for id, claim in data.claims.items() if "had been judged" in claim.why}
    return sum(families.values()), len(families), gone, sorted(again)


def many(data):
    """What judging all claims of the book as one family would leave, from the intervals that the cards kept: a paragraph each."""
    in_all, chapters, gone, again = counted(data)
    now = Counter(card.kept["word"] for card in data.cards.values())
    decided = [id for id, card in data.cards.items() if card.kept["word"] != "undecided"]
    looked = sum(data.claims[id].registered != "before" for id in decided)
    level, ten = 1 - 0.10 / in_all, 1 - 0.10 / 10
    least, most = (stay(data, level, seeds) for seeds in (True, False))
    often = [seeds for seeds, _ in Counter(card.kept["seeds"] for card in data.cards.values() if card.kept["seeds"]).most_common(2)]
    times = " and ".join(f"{ratio(level, ten, few):.1f} times where there are {few} seeds" for few in often)
    span = lambda word: f"{least[word]} to {most[word]} of {now[word]} {word}"  # noqa: E731
    return [
        "Who asks 200 questions and lets each answer be wrong in 5% of cases gets up to ten wrong answers by luck, on average. So no verdict is judged "
        "alone. The verdicts of a chapter are judged together, with intervals so wide that luck makes any of them wrong in 5% of such chapters at most. "
        f"That holds where claim and bar were set before the data; for the {looked} of {len(decided)} decided verdicts that were registered after a look "
        "it is no guarantee.",
        f"The book has {chapters} chapters with {in_all} verdicts: the {len(data.cards)} that stand here, "
        f"{', '.join(f'{number} of claims that are gone from chapter {chapter}' for chapter, number in gone.items())}, and {len(data.not_judged)} counts "
        f"that no notebook judges. What was judged first and then asked in another way, in chapters {' and '.join(again)}, is not among them. If chapters "
        f"err independently, the chance that somewhere at least one verdict is wrong by luck is up to {100 * (1 - 0.95**chapters):.0f}%.",
        f"Judged as one of {in_all}, an interval would be at least {ratio(level, ten):.1f} times as wide as in a chapter with ten claims, and up to {times}. Of the "
        f"{len(decided)} decided verdicts between {least.total()} and {most.total()} would stay decided: {span('supported')}, {span('not supported')}. "
        "The cards do not keep how much of a width comes from the seeds. The smaller counts hold if all of it does, the larger ones if none does.",
    ]


class Ledger(SphinxDirective):
    required_arguments, final_argument_whitespace = 1, True

    def run(self):
        for path in (self.env.srcdir / Path(name) for name in (ROWS, *claim_files())):
            self.env.note_dependency(str(path))
        try:  # once in a build: the page asks for each of its parts
            data = self.env.app.lm_data = getattr(self.env.app, "lm_data", None) or gather(self.env.app)
        except ExtensionError as error:
            raise self.error(str(error)) from None
        for path in {card.page for card in data.cards.values()}:
            self.env.note_dependency(str(Path(self.env.srcdir) / f"{path}.ipynb"))
        what = self.arguments[0]
        if what == "score":
            return [nodes.raw("", score(data), format="html")]
        if what == "many":
            return [nodes.paragraph("", text) for text in many(data)]
        if what == "bets":
            return [nodes.paragraph("", own(data)), nodes.raw("", other_bets(data, self.uri), format="html")]
        rows = {number: row for number, row in data.rows.items() if row["part"] == what}
        if not rows:
            raise self.error(f"no claim has the part {what!r}; there are {', '.join(dict.fromkeys(row['part'] for row in data.rows.values()))}")
        return [self.row(number, row, data) for number, row in rows.items()]

    def uri(self, page):
        return self.env.app.builder.get_relative_uri(PAGE, page)

    def row(self, number, row, data):
        box = nodes.container("", ids=[number.lower()], classes=["lm-row", f"lm-{row['reading']}"])
        word = {"nuance": "holds with a nuance", "open": "can't be told here", OUTSIDE: "not one of the 52"}.get(row["reading"], row["reading"])
        lines = [f"**{number if number != 'closing' else 'Closing line'}: {row['says']}.** *{word.capitalize()}.*", "", row["true"] + ".",
                 *(["", f"Source: {row['source']}. Read: {row['read']}."] if row.get("source") else []),
                 *(["", f"Shown: {row['shown']}."] if row.get("shown") else []),
                 *(["", row["reason"][0].upper() + row["reason"][1:] + "."] if row.get("reason") else [])]
        self.state.nested_parse(StringList(lines, source=str(self.env.doc2path(self.env.docname))), self.content_offset, box)
        if listed := entries(experiments(number, row, data.claims), data, self.uri):
            box += nodes.raw("", listed, format="html")
        return box


def others(data):
    """The claims that stand in no row, by chapter."""
    placed, chapters = links(data.claims, data.rows), defaultdict(list)
    for id in data.claims:
        if id not in placed:
            chapters[data.cards[id].number if id in data.cards else "99"].append(id)
    return dict(sorted(chapters.items()))


def own(data):
    """How these came out, in a sentence."""
    ids = [id for found in others(data).values() for id in found if id in data.cards]
    before = [id for id in ids if data.claims[id].registered == "before"]
    return (f"What the chapters claim beyond the article: {len(ids)} claims, {tally(ids, data.cards)}. "
            f"Of the {len(before)} that were registered before their run: {tally(before, data.cards)}.")


def other_bets(data, uri):
    """The claims that stand in no row, by chapter, folded."""
    return "".join(f'<details class="lm-row"><summary>Chapter {number}, {escape(title(ids[0]))}: {tally(ids, data.cards)}</summary>'
                   f'{entries(ids, data, uri, least=10**6, own=True)}</details>' for number, ids in others(data).items())


def title(id):
    return id.partition(".")[0].replace("_", " ")


def claim_files():
    return [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("lmtutor/chapters/*/claims.toml"))]


def name_cards(app, doctree):
    """Give each card of a verdict in a chapter its name, and a link to its row."""
    page = app.env.docname
    if not page.startswith("notebooks/"):
        return
    rows, _, _, claims, cards = stored(app)
    cards = [card for card in cards if card.page == page]
    shown = [node for node in doctree.findall(nodes.raw) if node.get("format") == "html" and CARD.search(node.astext())]
    if len(cards) != len(shown):
        raise ExtensionError(f"{page}: stores {len(cards)} verdicts and shows {len(shown)} cards")
    for path in (ROWS, *claim_files()):
        app.env.note_dependency(str(Path(app.srcdir) / path))
    placed = links(claims, rows)
    ledger = app.builder.get_relative_uri(page, PAGE)
    for card, node in zip(cards, shown, strict=True):
        numbers = placed.get(card.id, [])
        to = ", ".join(f'<a href="{ledger}#{place.lower()}">{name}</a>' for place, name in (
            [(number, number.replace("closing", "the closing line")) for number in numbers] or [(bet_anchor(card.id), "our own bets")]))
        text = CARD.sub(rf'<div id="{anchor(card.id)}" class="lm-card lm-\1">', node.astext(), count=1)
        node.children[:] = [nodes.Text(f'{text.removesuffix("</div>")}<p class="lm-ledger">In the ledger: {to}</p></div>')]
        node.rawsource = ""


def setup(app):
    app.add_directive("ledger", Ledger)
    app.connect("doctree-read", name_cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":  # what there is to mend, and the rows that have got an experiment since they were last read
    from lmtutor.measure.claims import read_claims

    (found, dropped, _), known, stored_cards = read_rows(), read_claims(), read_cards()
    verdicts = {card.id: card.kept["word"] for card in stored_cards}
    print("\n".join(faults(found, dropped, known, stored_cards)) or "The ledger agrees with the notebooks.")
    for number, row in found.items():
        if moved(listed := experiments(number, row, known), verdicts, row)[1]:
            print(f'{number} has a new experiment; read the row again, then write: seen = "{seen(listed, verdicts)}"')
