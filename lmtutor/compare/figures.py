"""Numbers as the report's page writes them, and its two pictures as SVG, laid out so that no letters lie over others or over marks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

METRICS = {"macro-f1": ("macro-F1", "a macro-F1"), "accuracy": ("accuracy", "an accuracy"),
           "average-precision": ("average precision", "an average precision"),
           "cost": ("minus the cost of an answer", "")}
SHAPES = ("M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0Z", "M-4.5-4.5H4.5V4.5H-4.5Z", "M0-6L5.5 4.5H-5.5Z", "M0-6.5L6 0L0 6.5L-6 0Z",
          "M0 6L5.5-4.5H-5.5Z", "M-5-1.8H-1.8V-5H1.8V-1.8H5V1.8H1.8V5H-1.8V1.8H-5Z")
DASHES = ("", "7 4", "2 4", "10 4 2 4", "4 3", "14 4")
MOST_DRAWN = 6
SCREENS = (("wide", 760), ("narrow", 350))  # each is drawn in its own pixels, so that letters are never made small
LETTER = 7.9  # pixels, more than the mean letter of 13 pixels is wide in any common font


# Words and numbers ----------------------------------------------------------------------------------------------------------------

def text(value) -> str:
    """Escaped, and without what no page can hold: control characters and halves of characters."""
    kept = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", " ", str(value))
    return escape(kept.encode("utf-8", "replace").decode())


def points(value: float, metric: str, digits: int = 1) -> str:
    """A value of the metric in hundredths, or a cost as it is."""
    shown = f"{value:,.2f}" if metric == "cost" else f"{100 * value:.{digits}f}"
    return (shown.lstrip("-") if not float(shown.replace(",", "")) else shown).replace("-", "\u2212")


def band(row: Mapping, metric: str) -> str:
    digits = 0 if row["high"] - row["low"] >= 0.02 else 1
    return f"({points(row['low'], metric, digits)} to {points(row['high'], metric, digits)})"


def level(row: Mapping) -> str:
    return f"{points(row['estimate'], row['metric'])} {band(row, row['metric'])}"


def money(value: float, currency: str) -> str:
    if not value:
        shown = "0"
    elif value < 1e-5:
        return "&lt;\u00a0" + money(1e-5, currency)
    else:
        digits = 0 if value >= 100 else 2 if value >= 1 else 1 - math.floor(math.log10(value))
        shown = f"{value:,.{digits}f}"
    return text(currency) + ("\u00a0" if currency[-1:].isalpha() else "") + shown


def seconds(value: float) -> str:
    if value < 0.0005:
        return "0"
    if value < 0.095:
        return f"{1000 * value:.0f} ms"
    if value < 99.5:
        return f"{value:.{int(value < 9.95)}f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def ms(value: float) -> str:
    if 0 < value < 0.01:
        return "&lt; 0.01"
    return f"{value:,.0f}" if value >= 99.5 or not value else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def size(value: float) -> str:
    if not value:
        return "0"
    for unit, digits in (("bytes", 0), ("KB", 1), ("MB", 1), ("GB", 1)):
        if value < 999.5 or unit == "GB":
            return f"{value:,.{digits if value < 99.5 else 0}f} {unit}"
        value /= 1000


def many(value: float) -> str:
    """A large count by its power of ten."""
    if value < 1e6:
        return f"{value:,.0f}"
    first, power = f"{value:.1e}".split("e")
    return f"{first} \u00d7 10<sup>{int(power)}</sup>"


# Figures --------------------------------------------------------------------------------------------------------------------------

@dataclass
class Sheet:
    """A drawing, and where its letters (x, y, width, height) and marks stand, so that none lies over another."""

    width: int
    height: int
    drawn: list[str] = field(default_factory=list)
    texts: list[tuple] = field(default_factory=list)
    marks: list[tuple] = field(default_factory=list)

    def line(self, kind: str, *at: tuple[float, float], dash: str = "") -> None:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
        self.drawn.append(f'<path class="{kind}" d="{path}"' + (f' stroke-dasharray="{dash}"' if dash else "") + "/>")

    def whisker(self, k: int, x: float, low: float, high: float) -> None:
        self.drawn.append(f'<path class="whisker k{k}" d="M{x - 3:.1f} {high:.1f}h6m-3 0V{low:.1f}m-3 0h6"/>')
        self.marks.append((x - 3, high, 6, low - high))

    def mark(self, k: int, x: float, y: float, said: str = "") -> None:
        title = f"<title>{text(said)}</title>" if said else ""
        self.drawn.append(f'<path class="mark k{k}" transform="translate({x:.1f} {y:.1f})" d="{SHAPES[k]}">{title}</path>')
        self.marks.append((x - 5, y - 5, 10, 10))

    def scale(self, at: Sequence[tuple[float, str]], bottom: float, left: float, right: float, name: str) -> None:
        """The axis below; a number that would touch the one before it is left out."""
        free = 0.0
        for x, said in at:
            if x - LETTER * len(said) / 2 >= free and x + LETTER * len(said) / 2 <= self.width:
                self.line("axis", (x, bottom), (x, bottom + 5))
                self.write(x, bottom + 20, said, "middle")
                free = x + LETTER * len(said) / 2 + 6
        self.write((left + right) / 2, bottom + 42, name, "middle")

    def box(self, x: float, y: float, said: str, anchor: str = "start") -> tuple[float, float, float, float]:
        wide = LETTER * len(said)
        return x - {"start": 0, "middle": wide / 2, "end": wide}[anchor], y - 11, wide, 15

    def free(self, box: tuple) -> bool:
        inside = box[0] >= 0 and box[0] + box[2] <= self.width and box[1] >= 0 and box[1] + box[3] <= self.height
        return inside and not any(overlap(box, other) for other in self.texts + self.marks)

    def write(self, x: float, y: float, said: str, anchor: str = "start", kind: str = "") -> None:
        more = f' text-anchor="{anchor}"' * (anchor != "start") + f' class="{kind}"' * bool(kind)
        self.drawn.append(f'<text x="{x:.1f}" y="{y:.1f}"{more}>{text(said)}</text>')
        self.texts.append(self.box(x, y, said, anchor))

    def svg(self, kind: str, key: str, title: str, said: str) -> str:
        return (f'<svg class="lmc-{kind}" viewBox="0 0 {self.width} {self.height}" role="img" aria-labelledby="{key}-t {key}-d">'
                f'<title id="{key}-t">{text(title)}</title><desc id="{key}-d">{text(said)}</desc>{"".join(self.drawn)}</svg>')


def overlap(one: tuple, other: tuple) -> bool:
    """Whether two boxes (x, y, width, height) do."""
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights as near as can be to those wanted, `gap` apart: neighbours that are too near share the way."""
    order, blocks = sorted(range(len(wanted)), key=lambda i: wanted[i]), []
    for rank, i in enumerate(order):
        blocks.append([wanted[i] - rank * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, n = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + n]
    flat = [total / n for total, n in blocks for _ in range(n)]
    top = high - gap * (len(order) - 1)
    placed = {i: max(low, min(at, top)) + rank * gap for rank, (i, at) in enumerate(zip(order, flat, strict=True))}
    return [placed[i] for i in range(len(wanted))]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers around a range."""
    span = max(high - low, 1e-9)
    step = next(step for power in range(-9, 12) for step in (10**power, 2 * 10**power, 5 * 10**power) if span / step <= most - 1)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, max(last, first + 1) + 1)]


def at_most(content: Mapping) -> list[dict]:
    """Of each way the row with the most labels, the highest first."""
    rows = {}
    for row in content["ways"]:
        if row["labels"] >= rows.get(row["name"], row)["labels"]:
            rows[row["name"]] = row
    return sorted(rows.values(), key=lambda row: -row["estimate"])


def drawn(content: Mapping, most: int = MOST_DRAWN) -> list[dict]:
    """The rows of the ways to draw: that which is taken, then the highest; no raw prompts, and no commonest label where others are."""
    taken, rows = content["recommendation"]["way"], at_most(content)
    plain = [row for row in rows if not row["name"].endswith(", raw") and row["name"] != "majority"] or rows
    return sorted(plain, key=lambda row: row["name"] != taken)[:most]


def heights(sheet: Sheet, rows: Sequence[Mapping], metric: str, top: float, bottom: float, right: float) -> tuple[float, Callable]:
    """The upward axis with its lines; gives the left end of the picture, and what makes a height of a value."""
    scale = 1 if metric == "cost" else 100
    marks = ticks(scale * min(row["low"] for row in rows), scale * max(row["high"] for row in rows))
    named = [f"{mark:,.10g}".replace("-", "\u2212") for mark in marks]
    left = 12 + LETTER * max(map(len, named))

    def height(value):
        return bottom - (bottom - top) * (scale * value - marks[0]) / (marks[-1] - marks[0])

    for mark, name in zip(marks, named, strict=True):
        sheet.line("grid" if mark != marks[0] else "axis", (left, height(mark / scale)), (right, height(mark / scale)))
        sheet.write(left - 8, height(mark / scale) + 4.5, name, "end")
    sheet.write(0, 12, METRICS[metric][0] + ("" if metric == "cost" else ", of 100"))
    return left, height


def curves(content: Mapping, width: int) -> Sheet:
    """The metric against labels: a line for each way, named at its right end; below the picture where there is no room for the names."""
    metric, wide, last = content["settings"]["metric"], width > 500, drawn(content)
    rows = [row for row in content["ways"] if row["name"] in {one["name"] for one in last}]
    budgets = sorted({row["labels"] for row in rows})
    most, least = budgets[-1], next((n for n in budgets if n), 0)

    def name(row, full):
        return row["name"] + f" {points(row['estimate'], metric)}" * full + (f" (at {row['labels']:,})" if 0 < row["labels"] < most else "")

    longest = max(len(name(row, wide)) for row in last)
    beside = 40 + LETTER * longest < 0.41 * width
    bottom = 352 if wide else 300
    sheet = Sheet(width, bottom + 48 + (0 if beside else 20 + 20 * len(last)))
    right = width - (40 + LETTER * longest if beside else 8)
    left, y = heights(sheet, rows, metric, 36, bottom, right)
    aside = 18 if wide else 14
    start = left + aside + (right - left) * 0.14 * (budgets[0] == 0 < least)

    def x(n):
        if not n and least:
            return left + aside
        return start + (right - aside - start) * (math.log(n / least) / math.log(most / least) if most > least else 0.5)

    sheet.scale([(x(n), f"{n:,}" if n else "none") for n in budgets], bottom, left, right, "labels to learn from")
    at = spread([y(row["estimate"]) for row in last], 19, 40, bottom) if beside else [bottom + 78 + 20 * k for k in range(len(last))]
    for k, row in reversed(list(enumerate(last))):
        moved = (k - (len(last) - 1) / 2) * (5 if wide else 3.5)
        mine = sorted((one for one in rows if one["name"] == row["name"]), key=lambda one: one["labels"])
        path = [(x(one["labels"]) + moved, y(one["estimate"])) for one in mine]
        if len(mine) > 1 and not k:
            highs, lows = ([(spot, y(one[end])) for (spot, _), one in zip(path, mine, strict=True)] for end in ("high", "low"))
            sheet.line("band", *highs, *reversed(lows))
        else:
            for (spot, _), one in zip(path, mine, strict=True):
                sheet.whisker(k, spot, y(one["low"]), y(one["high"]))
        if not row["labels"]:
            sheet.line(f"curve k{k}", path[0], (right, path[0][1]), dash="6 5")
        elif len(path) > 1:
            sheet.line(f"curve k{k}", *path, dash=DASHES[k])
        if beside and row["labels"] in (0, most):
            end = right if not row["labels"] else path[-1][0] + 7
            sheet.line("lead", (end, path[-1][1]), (right + 4, path[-1][1]), (right + 14, at[k]))
        for (spot, high), one in zip(path, mine, strict=True):
            sheet.mark(k, spot, high, f"{one['name']}, {given(one['labels'])}: {level(one)}")
        edge = right + 22 if beside else left
        sheet.mark(k, edge, at[k])
        sheet.write(edge + 10, at[k] + 4.5, name(row, wide or not beside), kind=f"name k{k}")
    return sheet


def charged(content: Mapping) -> list[dict]:
    """The rows that can stand on an axis of prices."""
    return [row for row in drawn(content, 12) if row["price_per_1000"] > 0]


def prices(content: Mapping, width: int) -> Sheet:
    """The metric against the price of a thousand queries: a point for each way with its name beside it."""
    metric, currency = content["settings"]["metric"], content["prices"]["currency"]
    rows = charged(content)[: 12 if width > 500 else MOST_DRAWN]
    sheet, bottom, right = Sheet(width, 372), 320, width - 12
    left, y = heights(sheet, rows, metric, 36, bottom, right)
    logs = [math.log10(row["price_per_1000"]) for row in rows]
    middle, half = (min(logs) + max(logs)) / 2, max(0.6, (max(logs) - min(logs)) / 2 * 1.15)

    def x(value):
        return left + (right - left) * (math.log10(value) - middle + half) / (2 * half)

    powers, steps = range(math.floor(middle - half), math.ceil(middle + half) + 1), (1, 2, 5) if half < 1 else (1,)
    values = [step * 10.0**power for power in powers for step in steps if abs(math.log10(step) + power - middle) < half]
    marks = [(x(value), f"{value:,.12f}".rstrip("0").rstrip(".")) for value in values]
    sheet.scale(marks, bottom, left, right, f"price of 1,000 queries, {currency}")
    for k, row in reversed(list(enumerate(rows))):
        k = min(k, MOST_DRAWN - 1)
        sheet.whisker(k, x(row["price_per_1000"]), y(row["low"]), y(row["high"]))
        sheet.mark(k, x(row["price_per_1000"]), y(row["estimate"]), f"{row['name']}: {level(row)}")
    for k, row in enumerate(rows):
        spot, at, name = x(row["price_per_1000"]), y(row["estimate"]), row["name"]
        ups = (0, -13, 13, -26, 26, -40, 40, -56, 56)
        places = [(spot + side * 10, at + 4.5 + up, name, anchor) for up in ups for side, anchor in ((1, "start"), (-1, "end"))]
        places += [(spot, y(row["high"]) - 7, name, "middle"), (spot, y(row["low"]) + 17, name, "middle")]
        place = next((one for one in places if one[1] < bottom - 2 and sheet.free(sheet.box(*one))), None)
        if not place:  # it is named below
            sheet.height += 20
            sheet.mark(min(k, MOST_DRAWN - 1), left, sheet.height - 10)
            place = left + 10, sheet.height - 5.5, name, "start"
        sheet.write(*place, f"name k{min(k, MOST_DRAWN - 1)}")
    return sheet


def figure(content: Mapping, draw: Callable, key: str, finding: str, said: str, caption: str) -> str:
    pictures = "".join(draw(content, width).svg(kind, f"{key}-{kind}", finding, said) for kind, width in SCREENS)
    return f'<figure>{pictures}<figcaption><p class="lmc-finding">{text(finding)}</p><p>{caption}</p></figcaption></figure>'


def leaders(content: Mapping) -> str:
    """What the curves show, in one sentence."""
    metric, names = content["settings"]["metric"], {row["name"] for row in drawn(content)}
    rows = [row for row in content["ways"] if row["name"] in names]
    budgets = sorted({row["labels"] for row in rows if row["labels"]}) or [0]
    first, last = (max((row for row in rows if row["labels"] in (0, n)), key=lambda row: row["estimate"])
                   for n in (budgets[0], budgets[-1]))

    def who(row, n):
        return row["name"] + ", which needs none," * (n > row["labels"] == 0)

    start = f"{given(budgets[0]).capitalize()} {who(first, budgets[0])} is highest, at {points(first['estimate'], metric)}"
    if len(budgets) == 1:
        return f"{start}."
    if first["name"] == last["name"]:
        low, high = (points(row["estimate"], metric) for row in (first, last))
        return f"{who(last, budgets[-1]).capitalize()} is highest, {given(budgets[0])} ({low}) and {given(budgets[-1])} ({high})."
    return f"{start}; with {budgets[-1]:,} it is {who(last, budgets[-1]).rstrip(',')}, at {points(last['estimate'], metric)}."


def given(n: int) -> str:
    return f"with {n:,} labels" if n else "without labels"
