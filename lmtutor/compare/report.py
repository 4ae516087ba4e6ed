"""What a comparison found, as numbers with their names (report.json), as a table for the terminal, and as files in a folder.

`report.json` holds

* `schema` "lmtutor-compare-1", `made`, `lmtutor`, `settings`, `machine`, `prices` (the assumptions), `seconds`, `peak_memory_mb`
* `data`: `where`, `rows`, `texts`, `asked`, `pool`, `labels` {name: texts}
* `warnings`: a list of `{kind, text, examples}`
* `ways`: a list of `{name, labels, metric, estimate, low, high, draws, items, setting, train_seconds, train_flops, query_ms, query_flops,
  query_tokens, stored_bytes, price_labels, price_once, price_per_1000, unparsed}`; `price_per_1000` is that of a thousand of
  `settings.queries` queries, training spread over them, without the labels
* `not_run`: `{way, labels, why, seconds}`; `more_labels`: `{name, labels, more, gain, low, high}`; `break_even`: `{cheaper_to_train, cheaper_to_ask, queries}`
* `look_at`: `{text, label, answers, kind}`, with `kind` "label?" or "error"
* `recommendation`: `{decision: take | undecided | none, way, labels, labels_more, open, reasons, would_change}`; `open` are the cheaper ways
  that may do
"""

from __future__ import annotations

import csv
import datetime
import math
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lmtutor import runtime
from lmtutor.compare.curve import gain
from lmtutor.compare.own import Own, overlap
from lmtutor.compare.prices import Prices
from lmtutor.compare.recommend import Candidate, Recommendation, recommend
from lmtutor.data.tables import Table
from lmtutor.errors import AssetError
from lmtutor.measure.costs import Bill, break_even
from lmtutor.measure.stats import Interval
from lmtutor.records.files import plain, write

SCHEMA = "lmtutor-compare-1"
MOST_SHARED = 0.9      # of two draws; with more they are one draw
SHOWN_TEXT = 300       # characters of a text that is shown
LOOK_AT = 20
LEASTS = (0.5, 1, 2, 3, 5, 8, 10)
TIMES = (1e-3, 1e-2, 0.1, 10, 100, 1e3)  # the queries
BILL = ("train_seconds", "train_flops", "query_ms", "query_flops", "query_tokens", "stored_bytes")


@dataclass
class Report:
    """The numbers, as in `report.json`, and what makes other forms of them."""

    content: dict
    bench: Any = field(default=None, repr=False)

    @property
    def recommendation(self) -> dict:
        return self.content["recommendation"]

    def __str__(self) -> str:
        from lmtutor.compare.terminal import as_text

        return as_text(self.content)

    def _repr_html_(self) -> str:
        from lmtutor.compare.page import body

        return body(self.content)

    def save(self, folder: str | Path) -> None:
        """Write report.json, report.html, look_at.csv and, if there is a winner, what answers as it does, each file whole or not at all.

        Raises
        ------
        AssetError    the folder cannot be written to, or the disk is full
        """
        from lmtutor.compare.keep import keep
        from lmtutor.compare.page import page

        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.recommendation["way"] and self.bench is not None:
                self.content["kept"] = keep(self.bench, self.content, folder / "kept")
            write(folder / "report.json", self.content)
            whole(folder / "report.html", page(self.content))
            whole(folder / "look_at.csv", look_at_csv(self.content["look_at"]))
        except OSError as error:
            raise AssetError(f"{folder} cannot be written to ({error.strerror or error}); free some space or give another --out, then give the "
                             "same command again") from None


def whole(path: Path, text: str) -> None:
    part = path.with_suffix(path.suffix + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def look_at_csv(rows: Sequence[Mapping]) -> str:
    """The texts worth looking at as CSV; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    import io

    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["why", "label", "answers", "text"])
    for row in rows:
        writer.writerow([_no_formula(cell) for cell in (row["kind"], row["label"], ", ".join(f"{way}: {said}" for way, said in row["answers"].items()), row["text"])])
    return file.getvalue()


def _no_formula(cell: str) -> str:
    return "'" + cell if cell.lstrip()[:1] in ("=", "+", "-", "@") or cell[:1] in ("\t", "\r") else cell


# Making it ------------------------------------------------------------------------------------------------------------------------

def report_of(own: Own, runs: Sequence[dict], *, settings: dict, prices: Prices, table: Table, conflicts: Sequence, n_pool: int,
              absent: Mapping[str, str], left: Sequence, began: float) -> Report:
    """All numbers of a comparison that was run.

    Parameters
    ----------
    runs : way, n, seed and what `run.run_cell` gave
    """
    metric, truth = own.metric, own.task.truth
    cells: dict[tuple[str, int], list[dict]] = {}
    for run in runs:
        if run["predicted"] is not None:
            cells.setdefault((run["way"], run["n"]), []).append(run)
    cells = {key: found for key, found in cells.items() if key[1] == 0 or len(found) > 1}
    values = {key: metric.values(np.array([run["predicted"] for run in found]), truth, np.array([run["rare"] for run in found])) for key, found in cells.items()}
    bills = {key: Bill(**{name: float(np.mean([run["bill"][name] for run in found])) for name in found[0]["bill"]}) for key, found in cells.items()}
    shared = {(way, n): min(MOST_SHARED, overlap(own.draws[: len(found)], n)) for (way, n), found in cells.items()}
    hosted = bool(own.endpoint) and not own.endpoint.local
    spread = settings["queries"]

    def price(key, queries):
        ours = key[0].startswith("endpoint") and hosted
        return prices.once(bills[key]) + queries * prices.each(bills[key], hosted=ours, written=2.0)

    rows = []
    for (way, n), found in cells.items():
        level, bill = metric.interval(values[way, n], shared[way, n]), bills[way, n]
        rows.append({"name": way, "labels": n, "metric": metric.name, "estimate": level.estimate, "low": level.low, "high": level.high,
                     "draws": len(found), "items": len(truth), "setting": most_common([run["setting"] for run in found]),
                     **{name: getattr(bill, name) for name in BILL}, "price_labels": prices.labels(n), "price_once": prices.once(bill),
                     "price_per_1000": 1000 * price((way, n), spread) / spread,
                     "unparsed": int(np.sum([run["told"].get("unparsed", 0) for run in found])) if way.startswith("endpoint") else None})
    most = {}
    for way, n in cells:
        most[way] = max(most.get(way, 0), n)

    def advice(least=settings["least"] / 100, queries=spread):
        candidates = [Candidate(way, values[way, n], n, price((way, n), queries), shared[way, n]) for way, n in most.items()]
        return recommend(candidates, metric, least=least)

    told = unsettled(undominated(advice(), rows, most), values, most, metric, shared, settings["least"] / 100)
    not_run = [{"way": way, "labels": None, "why": why, "seconds": None} for way, why in absent.items()]
    not_run += [{"way": group.way, "labels": group.n, "why": f"takes about {took:.0f} s more than --minutes leaves", "seconds": round(took, 1)} for group, took in left]
    content = {
        "schema": SCHEMA, "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "lmtutor": _version(),
        "settings": settings, "machine": runtime.machine(), "prices": prices.as_dict(),
        "data": {"where": table.where, "rows": table.n_rows, "texts": len(table), "asked": len(truth), "pool": n_pool, "labels": dict(Counter(table.labels).most_common())},
        "ways": rows, "not_run": not_run, "more_labels": more_labels(values, most, told, metric), "break_even": even(values, most, bills, metric, shared),
        "look_at": look_at(own, cells, most, told.way), "confused": confused(own, cells, most, told.way),
        "recommendation": {"decision": told.decision, "way": told.way, "labels": most.get(told.way), "labels_more": told.labels_more, "open": list(told.open),
                           "reasons": list(told.reasons),
                           "would_change": would_change(told, advice, settings, not_run, most, metric, values, shared)},
    }
    content["warnings"] = warnings(own, table, conflicts, content, values, most, metric, settings, shared)
    content["seconds"], content["peak_memory_mb"] = round(time.perf_counter() - began, 1), round(runtime.peak_memory_mb())
    return Report(plain(content))


def _version() -> str:
    from lmtutor import __version__

    return __version__


def most_common(settings: Sequence[dict]) -> dict:
    """The setting that was chosen most often, of equals the first."""
    return max(settings, key=lambda one: sum(one == other for other in settings))


def undominated(told: Recommendation, rows: Sequence[dict], most: Mapping[str, int]) -> Recommendation:
    """Never a way whose interval lies below that of another one that costs no more."""
    by = {row["name"]: row for row in rows if row["labels"] == most[row["name"]]}
    if told.way is None:
        return told
    mine = by[told.way]
    better = [row for row in rows if row["price_per_1000"] <= mine["price_per_1000"] and row["low"] > mine["high"] and row["name"] in by]
    if not better:
        return told
    other = max(better, key=lambda row: row["estimate"])["name"]
    return Recommendation(told.decision, other, told.labels_more, (*told.reasons, f"{other} costs no more than {told.way} and is clearly better, so it is taken."))


def unsettled(told: Recommendation, values, most, metric, shared, least: float) -> Recommendation:
    """Nothing is decided while a way that was run with fewer labels for want of time was better with as many, and by more than the least
    effect beyond doubt.
    """
    if told.decision != "take":
        return told
    ahead = {}
    for way, n in most.items():
        if 0 < n < most[told.way] and (told.way, n) in values:
            apart = metric.difference(values[way, n], values[told.way, n], max(shared[way, n], shared[told.way, n]))
            if apart.low > least:
                ahead[way] = f"{way} was run with {n} labels at most, and there it is {metric.in_words(apart)}{metric.points} ahead of {told.way}: give it more --minutes."
    return Recommendation("undecided", told.way, None, (*told.reasons, *ahead.values())) if ahead else told


def more_labels(values, most, told: Recommendation, metric) -> list[dict]:
    """What as many labels again, and three times as many besides, should bring the ways that learn from labels."""
    rows = []
    for way, n in most.items():
        by_n = {budget: found for (name, budget), found in values.items() if name == way and budget}
        for more in (n, 3 * n) if n else ():
            found = gain(by_n, more, ceiling=0.0 if metric.name == "cost" else 1.0)
            if found and way != "majority":
                rows.append({"name": way, "labels": n, "more": more, "gain": found.estimate, "low": found.low, "high": found.high})
    return rows


def even(values, most, bills, metric, shared) -> list[dict]:
    """Of ways that can't be told apart, neither from each other nor from the best: from how many queries on the one that takes longer to
    train is the cheaper one.
    """
    best = max(most, key=lambda way: values[way, most[way]].mean())
    near = [way for way in most if metric.difference(values[best, most[best]], values[way, most[way]], max(shared[best, most[best]], shared[way, most[way]])).low <= 0]
    rows, ways = [], [way for way in near if way != "majority" and not way.startswith("endpoint") and not way.endswith("raw")]
    for one in ways:
        for other in ways:
            a, b = bills[one, most[one]], bills[other, most[other]]
            if a.train_seconds > b.train_seconds and 1.5 * a.query_ms < b.query_ms:
                apart = metric.difference(values[one, most[one]], values[other, most[other]], max(shared[one, most[one]], shared[other, most[other]]))
                queries = break_even(a, b, "seconds")
                if apart.low <= 0 <= apart.high and math.isfinite(queries):
                    rows.append({"cheaper_to_ask": one, "cheaper_to_train": other, "queries": math.ceil(queries)})
    return rows


def look_at(own: Own, cells, most, way: str | None) -> list[dict]:
    """Texts that two kinds of ways answer alike, surely and not as they are labelled; then errors of the way that is taken."""
    truth, names, rows, seen = own.task.truth, own.task.labels, [], set()

    def answers(key):
        found = np.array([run["predicted"] for run in cells[key]])
        sure = np.mean([run["sure"] for run in cells[key]], axis=0)
        return np.where((found == found[0]).all(axis=0), found[0], -1), sure

    trained = [(name, most[name]) for name in ("words", "encoder", "vectors", "probe", "lora") if most.get(name)]
    if len(trained) > 1:
        (one, sure_one), (other, sure_other) = answers(trained[0]), answers(trained[1])
        sure = np.minimum(sure_one, sure_other)
        doubtful = np.flatnonzero((one == other) & (one != truth) & (one >= 0) & (sure > max(0.5, 1.5 / len(names))))
        for i in doubtful[np.argsort(-sure[doubtful])]:
            rows.append({"kind": "label?", "text": own.task.test[i].text[:SHOWN_TEXT], "label": names[truth[i]],
                         "answers": {name: names[one[i]] for name, _ in trained[:2]}, "sure": float(sure[i])})
            seen.add(int(i))
    if way and way in most:
        said, sure = answers((way, most[way]))
        wrong = [i for i in np.flatnonzero((said != truth) & (said >= 0)) if int(i) not in seen]
        for i in sorted(wrong, key=lambda i: -sure[i])[:LOOK_AT]:
            rows.append({"kind": "error", "text": own.task.test[i].text[:SHOWN_TEXT], "label": names[truth[i]], "answers": {way: names[said[i]]}, "sure": float(sure[i])})
    return rows


def confused(own: Own, cells, most, way: str | None) -> list[dict]:
    """The pairs of labels that the way takes for each other most often, as shares of the texts with the first."""
    if way is None:
        return []
    truth, names, runs = own.task.truth, own.task.labels, cells[way, most[way]]
    counts = Counter((int(t), int(p)) for run in runs for t, p in zip(truth, run["predicted"], strict=True) if t != p)
    asked = Counter(truth.tolist())
    return [{"label": names[t], "answered": names[p], "texts": round(n / len(runs), 1), "of": asked[t]} for (t, p), n in counts.most_common(8)]


def would_change(told: Recommendation, advice, settings, not_run, most, metric, values, shared) -> list[str]:
    """What else would have been said, under another least effect or with other numbers of queries; ways that were no worse with
    fewer labels, as each is judged with its most; and what was not looked at.
    """
    said = []
    for least in sorted(LEASTS, key=lambda one: abs(math.log(one / max(settings["least"], 0.1)))):
        other = advice(least=least / 100)
        if least != settings["least"] and (other.decision, other.way) != (told.decision, told.way) and other.decision != "none":
            what = f"take {other.way}" if other.decision == "take" else f"undecided, {other.way} until then"
            size = f"{metric.figure(least / 100)}{metric.points}"
            said.append(f"If differences {f'below {size} did not matter' if least > settings['least'] else f'of {size} mattered'}: {what}.")
            break
    for times in TIMES:
        queries = max(1, int(settings["queries"] * times))
        other = advice(queries=queries)
        if other.way != told.way and other.decision == "take":
            said.append(f"With {queries:,} queries rather than {settings['queries']:,}: take {other.way}.")
            break
    for way, n in most.items():
        before = [(one, at) for one, at in values if one == way and 0 < at < n]
        best = max(before, key=lambda key: values[key].mean(), default=None)
        if best and not way.endswith("raw") and way != "majority":
            apart = metric.difference(values[best], values[way, n], max(shared[best], shared[way, n]))
            if apart.estimate >= 0:
                said.append(f"{way} was no worse with {best[1]} labels than with {n}: {metric.in_words(apart)}{metric.points} ahead.")
    fewer = [way for way, n in most.items() if 0 < n < max(most.values())]
    if fewer:
        said.append(f"Run with fewer labels than the others, so it may have more to give: {', '.join(f'{way} ({most[way]})' for way in fewer)}.")
    absent = list(dict.fromkeys(one["way"] for one in not_run if one["way"] not in most))
    if absent:
        said.append(f"Not run, so nothing is known about: {', '.join(absent)}.")
    return said


def warnings(own: Own, table: Table, conflicts, content: dict, values, most, metric, settings, shared) -> list[dict]:
    """What a reader should know before believing the table."""
    said = [{"kind": "data", "text": note, "examples": []} for note in table.notes]
    if conflicts:
        said.append({"kind": "conflict", "text": f"{len(conflicts):,} texts stand there with different labels; they were left out", "examples":
                     [f"{text[:SHOWN_TEXT]} ({' / '.join(labels)})" for text, labels in conflicts[:5]]})
    counts = Counter(table.labels)
    name, n = counts.most_common(1)[0]
    if n >= 0.9 * len(table):
        said.append({"kind": "near-constant", "text": f"{100 * n / len(table):.0f} % of the texts have the label {name!r}: saying it always is right as often, so look at macro-F1", "examples": []})
    asked = Counter(item.label for item in own.task.test)
    if few := [label for label in own.task.labels if asked[label] < 5]:
        said.append({"kind": "rare", "text": f"{len(few)} of {len(own.task.labels)} labels are asked about fewer than 5 times, so little is known about them", "examples": few[:10]})
    if doubtful := [row for row in content["look_at"] if row["kind"] == "label?"]:
        said.append({"kind": "noise", "text": f"{len(doubtful)} of {len(own.task.test)} texts that were asked are surely answered otherwise by two ways: look whether their labels are right (look_at.csv)",
                     "examples": [f"{row['text'][:120]} (labelled {row['label']}, answered {next(iter(row['answers'].values()))})" for row in doubtful[:5]]})
    lengths = np.array([len(item.text.split()) for item in own.task.test])
    if any(way in most for way in ("zero-shot", "few-shot", "probe", "lora")) and (cut := int((lengths > settings["words"]).sum())):
        said.append({"kind": "long", "text": f"the language model reads the first {settings['words']} words of a text; {cut} of {len(lengths)} texts asked are longer (--words reads more, for more minutes)", "examples": []})
    if any(way in most for way in ("encoder", "label-names")) and (cut := int((lengths > 190).sum())):
        said.append({"kind": "long", "text": f"the encoder reads about the first 190 words of a text; {cut} of {len(lengths)} texts asked are longer", "examples": []})
    if (part := max((shared[way, n] for way, n in most.items()), default=0)) > 0.5:
        said.append({"kind": "overlap", "text": f"with {max(most.values()):,} labels the draws share {100 * part:.0f} % of them, as the table has no more: their intervals are wide for that", "examples": []})
    needed = items_needed(values, most, metric, settings["least"] / 100)
    if needed and needed > len(own.task.test):
        there = max(content["data"]["texts"] // 3, len(own.task.test))
        where = f"--asked {needed}" if needed <= there else f"your table allows {there:,}"
        said.append({"kind": "few", "text": f"{len(own.task.test)} texts are asked, and to tell the two best ways apart by {metric.figure(settings['least'] / 100)}{metric.points} takes about {needed:,} ({where})", "examples": []})
    return said


def items_needed(values, most, metric, least: float) -> int | None:
    """How many items would make the half-width of the difference of the two best ways as small as the least effect."""
    ways = sorted((way for way in most if way != "majority" and not way.endswith(", raw")), key=lambda way: -values[way, most[way]].mean())
    if len(ways) < 2 or not least:
        return None
    found: Interval = metric.difference(values[ways[0], most[ways[0]]], values[ways[1], most[ways[1]]])
    return math.ceil(found.n * ((found.high - found.low) / 2 / least) ** 2 / 10) * 10
