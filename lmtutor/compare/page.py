"""The report as a page: one HTML file that asks for nothing and runs nothing, and the same as a fragment for a notebook."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from html import unescape
from itertools import groupby
from pathlib import Path

from lmtutor.compare.figures import (
    METRICS,
    at_most,
    band,
    charged,
    curves,
    drawn,
    figure,
    given,
    leaders,
    level,
    many,
    money,
    ms,
    points,
    prices,
    seconds,
    size,
    text,
)

WAYS = {  # a plain name, and what it does
    "majority": ("the commonest label", "reads nothing and always says it: what the others have to beat"),
    "words": ("words", "counts of words and of pieces of words, weighed by TF-IDF, and a logistic regression"),
    "vectors": ("word vectors", "their mean over a text, and a logistic regression"),
    "encoder": ("a sentence encoder", "one vector for a text from a frozen encoder, and a logistic regression"),
    "label-names": ("the nearest label name", "the label whose name the encoder finds nearest to the text; needs no labels"),
    "zero-shot": ("a prompt", "the language model is asked without examples, its leaning to some labels taken out"),
    "few-shot": ("a prompt with examples", "the language model is shown labelled texts, its leaning to some labels taken out"),
    "probe": ("a frozen language model", "what it makes of a text, and a logistic regression"),
    "lora": ("a fine-tuned language model", "its weights learn from the labels, by LoRA"),
    "endpoint": ("a model behind an address", "asked to choose one of the labels"),
}
KINDS = {"nearest": "for each text those nearest to it", "few-shot": "with labelled examples in the prompt"}  # of ways, after the comma
WARNINGS = {"data": "The table", "conflict": "One text, several labels", "near-constant": "One label is nearly all",
            "rare": "Labels that are hardly asked about", "noise": "Labels that may be wrong",
            "long": "Texts that are not read to their end", "few": "Few texts asked",
            "overlap": "Draws that share labels"}
DEFAULTS = {"group": None, "labels": [8, 32, 128, 512], "minutes": 10, "seeds": 3, "least": 2, "model": "smollm2", "encoder": "minilm",
            "words": 60, "asked": None, "queries": 100_000, "seed": 0}
LIGHT = ("color-scheme: light; --ink: #1b2027; --soft: #56606d; --line: #e3e6ea; --rule: #a3abb5; --card: #f4f5f7; --ground: #fff; "
         "--accent: #135bec; --k1: #7a5a22; --k2: #3f7168; --k3: #75608f; --k4: #8a5560; --k5: #5d6876;")
DARK = ("color-scheme: dark; --ink: #e7eaee; --soft: #a3adb9; --line: #2a313a; --rule: #626d7a; --card: #1b2129; --ground: #12161c; "
        "--accent: #7ba7ff; --k1: #c9aa6e; --k2: #7fb5a9; --k3: #b3a0cf; --k4: #cf98a3; --k5: #98a3b0;")
SPOKEN = {"None": "\u2013", "True": "yes", "False": "no"}
FIRST_TEXTS, MOST_TEXTS, SHOWN_TEXT = 6, 50, 300
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%s</title>
<style>%s
html { -webkit-text-size-adjust: 100%%; }
body { margin: 0; }
@media screen { html { LIGHT background: var(--ground); } }
@media screen and (prefers-color-scheme: dark) { html { DARK } }
@media screen and (min-width: 60rem) { .lmc { padding: 3rem 1.25rem 5rem; } }
@page { margin: 16mm 15mm; }
</style>
</head>
<body>
<main class="lmc">%s</main>
</body>
</html>
""".replace("LIGHT", LIGHT).replace("DARK", DARK)


def page(content: Mapping) -> str:
    """The report as one HTML document, for the file `report.html`."""
    return PAGE % (text(f"{Path(content['data']['where']).name}: {verdict(content)}"), style(), parts(content))


def body(content: Mapping) -> str:
    """The same as a fragment, whose headings stand below those of a notebook."""
    below = re.sub(r"(</?h)([123])\b", lambda found: found[1] + str(int(found[2]) + 1), parts(content))
    return f'<div class="lmc"><style>{style()}</style>{below}</div>'


def style() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8").replace("LIGHT", LIGHT).replace("DARK", DARK)


def way(name: str) -> str:
    return f'<em class="lmc-way">{text(name)}</em>'


def explained(name: str) -> str:
    base, *more = name.split(", ")
    plain, line = WAYS.get(base, (base, ""))
    line = line.replace("taken out", "left in") if "raw" in more else line
    line = "; ".join([line, *(KINDS.get(one, one) for one in more if one != "raw")])
    return line if plain == name else f"{plain}: {line}"


def verdict(content: Mapping) -> str:
    told = content["recommendation"]
    if told["decision"] == "none" or not told["way"]:
        return "None of these is good enough"
    if told["decision"] == "take":
        return f"Take {told['way']}"
    more = f"; {asking(content)}" if told["labels_more"] else ""
    return f"Undecided: {told['way']} is highest" + (f", {told['open'][0]} may do" if told.get("open") else "") + more


def asking(content: Mapping) -> str:
    """What would decide it: of a table that has as many labelled texts only an option."""
    data, more = content["data"], content["recommendation"]["labels_more"]
    held = data["asked"] + more <= data["texts"] // 3
    return f"ask about {more:,} more texts (--asked {data['asked'] + more})" if held else f"label about {more:,} more texts"


# The page's parts -----------------------------------------------------------------------------------------------------------------

def parts(content: Mapping) -> str:
    key = "r" + hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:8]  # of ids, which a notebook shares
    told = {"More labels, better answers?": curve_part(content, key), "The ways side by side": table_part(content, key),
            "What it costs": price_part(content, key), "What would change this": change_part(content),
            "Know before you believe it": warnings_part(content), "Texts worth looking at": texts_part(content, key),
            "What was not run, and on what this rests": rest_part(content, key), "Use it, and run it again": use_part(content),
            "What this does not show": LIMITS}
    return head(content) + "".join(f'<section><h2 class="lmc-title">{title}</h2>{one}</section>' for title, one in told.items() if one)


def bullets(lines: Sequence[str], quiet: bool = True) -> str:
    return f'<ul class="lmc-plain{" lmc-quiet" * quiet}">' + "".join(f"<li>{line}</li>" for line in lines) + "</ul>" if lines else ""


def folded(title: str, told: str) -> str:
    return f"<details><summary>{title}</summary>{told}</details>" if told else ""


def under(title: str) -> str:
    return f'<h3 class="lmc-under">{title}</h3>'


def table(key: str, caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = (), taken: str = "") -> str:
    """Of cells that are HTML already, the first of a row its name. Roles are written out: on a phone a row is laid out as a card,
    which would take them away.
    """
    short = ' class="lmc-short"' * (len(columns) < 4)

    def kind(i):
        return "" if i in (0, *words) else ' class="lmc-n lmc-whole"' if " (" in rows[0][i] else ' class="lmc-n"'

    heads = "".join(f'<th scope="col" role="columnheader"{kind(i)}>{name}</th>' for i, name in enumerate(columns))
    lines = []
    for row in rows:
        cells = "".join(f'<td role="cell" data-name="{columns[i]}"{kind(i)}><span>{cell}</span></td>' for i, cell in enumerate(row) if i)
        marked = ' class="lmc-taken"' * (row[0] == taken)
        lines.append(f'<tr role="row"{marked}><th scope="row" role="rowheader">{row[0]}</th>{cells}</tr>')
    return (f'<table role="table" aria-labelledby="{key}"{short}><caption id="{key}">{caption}</caption><thead role="rowgroup">'
            f'<tr role="row">{heads}</tr></thead><tbody role="rowgroup">{"".join(lines)}</tbody></table>')


def head(content: Mapping) -> str:
    data, told, settings, machine = (content[name] for name in ("data", "recommendation", "settings", "machine"))
    metric, rows = settings["metric"], at_most(content)
    taken = next((row for row in rows if row["name"] == told["way"]), None)
    row = taken or next((row for row in rows if row["name"] != "majority"), rows[0])
    one, price, date = row["name"], money(row["price_per_1000"], content["prices"]["currency"]), text(content["prices"]["date"])
    made = datetime.datetime.fromisoformat(content["made"])
    there = f"{data['texts']:,} different texts of {data['rows']:,} rows" if data["texts"] != data["rows"] else f"{data['texts']:,} texts"
    line = " \u00b7 ".join([there, f"{len(data['labels']):,} labels", f"{data['asked']:,} asked, {data['pool']:,} to learn from",
                           f"{made.day} {made:%B %Y}", f"{text(machine.get('cpu') or 'a machine')}, {machine.get('cores')} cores"])
    said = text(verdict(content))
    said = said.replace(text(taken["name"]), way(taken["name"]), 1) if taken else said
    unit, learned = "\u00a0%" * (metric == "accuracy"), f"after {row['labels']:,} labels" if row["labels"] else "without a label"
    does = f"reaches {METRICS[metric][1]} of {points(row['estimate'], metric)}{unit} {band(row, metric)}"
    if metric == "cost":
        does = f"answers at a mean cost of {level(row | {'estimate': -row['estimate'], 'low': -row['high'], 'high': -row['low']})}"
    found = f"{'It' if taken else f'The best of them, {way(one)},'} {does} on {row['items']:,} texts that it had not seen, {learned}."
    facts = [(METRICS[metric][0], points(row["estimate"], metric) + unit, f"{band(row, metric)[1:-1]}, 95\u00a0% interval"),
             ("to prepare it", seconds(row["train_seconds"]), given(row["labels"])),
             ("one answer", f"{ms(row['query_ms'])} ms", "at its address" if one.startswith("endpoint") else "on this machine"),
             ("1,000 answers", price, f"at prices of {date}")]
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}<span>{about}</span></dd></div>" for name, value, about in facts)
    opens = "decide it" if told["decision"] == "undecided" else "tell whether something cheaper would do"
    more = f"To {opens}, {asking(content)}; they are to be asked about, not learned from." if told["labels_more"] else ""
    return (f'<header><h1 class="lmc-file">{text(Path(data["where"]).name)}</h1><p class="lmc-meta">{line}</p></header>'
            f'<h2 class="lmc-verdict">{said}</h2><p class="lmc-level">{found}</p>'
            f'<p class="lmc-soft lmc-gloss">{way(one)}, {text(explained(one))}.</p><dl class="lmc-facts">{listed}</dl>'
            + bullets([text(one) for one in told["reasons"]], quiet=False)
            + f'<p class="lmc-soft lmc-small">{more}</p>' * bool(told["labels_more"]))


def curve_part(content: Mapping, key: str) -> str:
    metric, shown, rows = content["settings"]["metric"], drawn(content), at_most(content)
    names = [row["name"] for row in shown]
    said = " ".join([f"{METRICS[metric][0]} against labels, with 95 % intervals.",
                     *(f"{row['name']} {given(row['labels'])}: {level(row)}." for row in shown)])
    caption = [f"{sentence(METRICS[metric][0], '')} against the number of labels, on a log axis. The band and the bars are "
               "95 % intervals, over draws of the labels and over the texts asked."]
    if any(not row["labels"] for row in shown):
        caption.append("Dashed straight across: without labels.")
    low = [row for row in rows if row["name"] == "majority" and "majority" not in names]
    caption += [f"Saying the commonest label always, {points(row['estimate'], metric)}, is not drawn." for row in low]
    left = [row["name"] for row in rows if row["name"] not in (*names, "majority")]
    if left:
        caption.append(f"In the table, not drawn: {text('; '.join(left))}.")
    return figure(content, curves, f"{key}-curves", leaders(content), said, " ".join(caption))


def named(row: Mapping, content: Mapping) -> str:
    tags = ["taken"] * (row["name"] == content["recommendation"]["way"]) + ["highest"] * (row == at_most(content)[0])
    lost = f" {row['unparsed']:,} answers named no label." if row.get("unparsed") else ""
    return (f"<b>{text(row['name'])}</b>" + "".join(f' <span class="lmc-tag">{said}</span>' for said in tags)
            + f"<small>{text(explained(row['name']))}.{lost}</small>")


def cells(row: Mapping, currency: str) -> list[str]:
    return [f"{row['labels']:,}", level(row), seconds(row["train_seconds"]), ms(row["query_ms"]), money(row["price_per_1000"], currency)]


def table_part(content: Mapping, key: str) -> str:
    metric, assumed, rows = METRICS[content["settings"]["metric"]][0], content["prices"], at_most(content)
    currency, columns = assumed["currency"], ["way", "labels", metric, "training", "ms a query", "1,000 queries"]
    each = [row for one in rows for row in sorted(content["ways"], key=lambda row: row["labels"]) if row["name"] == one["name"]]
    cost = {name: money(assumed[name], currency) for name in ("machine_hour", "read", "written", "label")}
    note = (f"Prices are assumptions of {text(assumed['date'])}: {cost['machine_hour']} for an hour of this machine, and of a hosted model "
            f"{cost['read']} a million tokens read, {cost['written']} written. Training is spread over "
            f"{content['settings']['queries']:,} queries; labels, at {cost['label']} each, are not in it.")
    every = table(f"{key}-all", "Each way with each number of labels", [*columns, "draws"],
                  [[f"<b>{text(row['name'])}</b>", *cells(row, currency), f"{row['draws']}"] for row in each])
    bill = table(f"{key}-bill", "What was computed, what the labels would cost, and the setting that was chosen most often",
                 ["way", "labels", "FLOPs to train", "FLOPs a query", "tokens a query", "its labels", "setting"],
                 [[f"<b>{text(row['name'])}</b>", f"{row['labels']:,}", many(row["train_flops"]), many(row["query_flops"]),
                   f"{row['query_tokens']:,.0f}", money(row["price_labels"], currency),
                   text(", ".join(f"{name} {value}" for name, value in row["setting"].items())) or "\u2013"] for row in each], words=(6,))
    taken = next((named(row, content) for row in rows if row["name"] == content["recommendation"]["way"]), "")
    lines = [[named(row, content), *cells(row, currency), size(row["stored_bytes"])] for row in rows]
    most = table(f"{key}-most", f"Each way at the most labels with which it ran: {metric} with its 95 % interval, and what it costs",
                 [*columns, "stored"], lines, taken=taken)
    return (most + f'<p class="lmc-soft lmc-small">{note}</p>' + folded("All numbers of labels", every)
            + folded("The bill in FLOPs and tokens", bill))


def price_part(content: Mapping, key: str) -> str:
    metric, told, rows = content["settings"]["metric"], content["recommendation"], charged(content)
    if not rows:
        return ""
    cheap = min(rows, key=lambda row: row["price_per_1000"])
    row = next((row for row in rows if row["name"] == told["way"]), max(rows, key=lambda row: row["estimate"]))

    def at(row, joined=""):
        price = unescape(money(row["price_per_1000"], content["prices"]["currency"]))
        return f"{row['name']}{joined} reaches {points(row['estimate'], metric)} at {price}"

    finding = f"For a thousand answers {at(row)}; " + ("nothing drawn is cheaper." if row is cheap else f"the cheapest is {at(cheap, ', which')}.")
    caption = ["Up is better, left is cheaper, on a log axis. The bars are 95 % intervals."]
    free = [one["name"] for one in drawn(content, 12) if one["price_per_1000"] <= 0]
    if free:
        caption.append(f"At a price of nothing, and not drawn: {text('; '.join(free))}.")
    return figure(content, prices, f"{key}-prices", finding, " ".join(f"{at(one)}." for one in rows), " ".join(caption))


def change_part(content: Mapping) -> str:
    metric, told, lines = content["settings"]["metric"], content["recommendation"], []
    for row in content["more_labels"]:
        if row["name"] == told["way"]:
            gain, low, high = (points(row[name], metric) for name in ("gain", "low", "high"))
            lines.append(f"{row['more']:,} more labels, {row['labels'] + row['more']:,} in all, should bring {way(row['name'])} "
                         f"{gain}{' points' * (metric != 'cost')} ({low} to {high}).")
    if told["way"] and not lines:
        lines.append(f"{way(told['way'])} learns from no labels, so more of them bring it nothing." if told["labels"] == 0 else
                     f"What more labels would bring {way(told['way'])} cannot be told: that takes three numbers of labels or more.")
    for row in content["break_even"]:
        asks, trains = text(row["cheaper_to_ask"]), text(row["cheaper_to_train"])
        lines.append(f"{asks} takes longer to train than {trains}, and answers faster: from {row['queries']:,} queries on it has taken less time.")
    return bullets(lines + [text(one) for one in told["would_change"]])


def warnings_part(content: Mapping) -> str:
    order, told = list(WARNINGS), ""
    found = sorted(content["warnings"], key=lambda one: order.index(one["kind"]) if one["kind"] in order else len(order))
    for kind, group in groupby(found, key=lambda one: one["kind"]):
        told += under(text(WARNINGS.get(kind, kind)))
        for one in group:
            examples = [f'<span dir="auto" class="lmc-small">{text(example)}</span>' for example in one["examples"]]
            told += f"<p>{text(sentence(one['text']))}</p>{bullets(examples)}"
    return told or "<p>Nothing stood out: no text with two labels, no label that is hardly asked about, no text cut short.</p>"


def sentence(said: str, end: str = ".") -> str:
    return said[:1].upper() + said[1:] + end * (not said.endswith((".", "!", "?")))


def answered(row: Mapping) -> str:
    by = {}
    for name, label in row["answers"].items():
        by.setdefault(label, []).append(name)
    said = ", ".join(f"<b><bdi>{text(label)}</bdi></b> by {text(' and '.join(names))}" for label, names in by.items())
    more = "\u2026" * (len(row["text"]) >= SHOWN_TEXT)
    return (f'<li><p class="lmc-said" dir="auto">{text(row["text"])}{more}</p>'
            f'<p class="lmc-answers">labelled <b><bdi>{text(row["label"])}</bdi></b>, answered {said}</p></li>')


def texts_part(content: Mapping, key: str) -> str:
    told = ""
    for kind, title, line in (
        ("label?", "Is the label right?", "Two ways of different kinds answer alike, surely, and not as the text is labelled."),
        ("error", f"Errors of {text(content['recommendation']['way'])}", "Those of which it was surest come first."),
    ):
        rows = [answered(row) for row in content["look_at"] if row["kind"] == kind]
        first, rest = ("".join(some) for some in (rows[:FIRST_TEXTS], rows[FIRST_TEXTS:MOST_TEXTS]))
        if rows:
            told += f'{under(title)}<p class="lmc-soft lmc-small">{line}</p><ol class="lmc-texts">{first}</ol>'
        if rest:
            told += folded(f"{min(len(rows), MOST_TEXTS) - FIRST_TEXTS} more", f'<ol class="lmc-texts">{rest}</ol>')
        if len(rows) > MOST_TEXTS:
            told += f'<p class="lmc-soft lmc-small">{len(rows) - MOST_TEXTS:,} more stand in look_at.csv.</p>'
    pairs = [[f"<bdi>{text(one['label'])}</bdi>", f"<bdi>{text(one['answered'])}</bdi>", f"{one['texts']:g} of {one['of']:,}"]
             for one in content.get("confused", ())]
    if pairs:
        told += under("Labels taken for each other") + table(
            f"{key}-pairs", "Texts of the first label that were answered with the second, in the mean over draws of the labels",
            ["label", "answered", "texts"], pairs, words=(1,))
    return told or "<p>None: no text was surely answered otherwise than it is labelled, and no error is kept.</p>"


def rest_part(content: Mapping, key: str) -> str:
    assumed, currency, told = content["prices"], content["prices"]["currency"], ""
    rows = [[f"<b>{text(one['way'])}</b>", "all" if one["labels"] is None else f"{one['labels']:,}", text(one["why"])]
            for one in content["not_run"]]
    if rows:
        told = table(f"{key}-not", "What was not run, and why", ["way", "labels", "why"], rows, words=(2,))
        told = told if len(rows) <= FIRST_TEXTS else folded(f"{len(rows)} parts were not run", told)
    priced = {"a label": "label", "an hour of this machine": "machine_hour", "a million tokens read": "read",
              "a million read again": "cached", "a million written": "written"}
    pairs = [(name, money(assumed[one], currency)) for name, one in priced.items()]
    for name, value in {**content["settings"], **content["machine"], "lmtutor": content["lmtutor"], "made": content["made"],
                        "seconds in all": f"{content['seconds']:,.0f}",
                        "memory at most": f"{content['peak_memory_mb']:,} MB" if content["peak_memory_mb"] else None}.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else SPOKEN.get(str(value), value)
        pairs.append((text(name.replace("_", " ")), text(shown)))
    names = [(f"<bdi>{text(name)}</bdi>", f"{n:,}") for name, n in content["data"]["labels"].items()]

    def listed(pairs):
        return '<ul class="lmc-names">' + "".join(f"<li><span>{name}</span><span>{value}</span></li>" for name, value in pairs) + "</ul>"

    return ((told or "<p>All that was asked for was run.</p>")
            + folded(f"{len(names):,} labels, and how many texts have each", listed(names))
            + folded(f"Assumptions: prices of {text(assumed['date'])}, settings, versions", listed(pairs)))


def use_part(content: Mapping) -> str:
    kept, settings, told = content.get("kept"), content["settings"], ""
    if kept:
        learned = f", learned from {kept['learned_from']:,} texts" * bool(kept["learned_from"])
        told = (f"<p>{way(kept['way'])} is kept in DIR/{text(kept['folder'])}{learned} ({size(kept['bytes'])}), where DIR is the "
                "folder of this report. It reads a text a line and writes a label a line, or with --json the probability of each label.</p>"
                "<pre>lmtutor predict DIR &lt; texts.txt\nlmtutor predict DIR --json &lt; texts.txt</pre>")
    command = ["lmtutor", "compare", content["data"]["where"], "--text", settings["text"], "--label", settings["label"]]
    for name, default in DEFAULTS.items():
        value = settings.get(name, default)
        if value != default:
            command += [f"--{name}", ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    if settings["metric"] != "macro-f1":
        command += ["--cost-of-error", settings.get("cost_of_error") or "FILE"] if settings["metric"] == "cost" else ["--metric", settings["metric"]]
    if str(settings["model"]).startswith("openai:"):
        command += ["--base-url", settings.get("base_url") or "URL"]
    if settings.get("ways"):
        command += ["--ways", ",".join(settings["ways"])]
    if settings.get("prices"):
        command += ["--prices", settings["prices"]]
    return (f"{told}<p>Run it again; with the same DIR a comparison that was interrupted goes on where it was.</p>"
            f"<pre>{text(shlex.join([*command, '--out', 'DIR']))}</pre>")


LIMITS = bullets([
    "How these ways do on other texts than yours, or with other models than these: one split of one table was asked, on this machine.",
    "How they do on texts that differ from those in the table, as next year's may.",
    "Anything beyond the intervals: they are 95 % ones, over draws of the labels and over the texts asked. Settings were chosen within the "
    "labels alone.",
])
