"""What was claimed before a run, and the verdict after it.

A chapter's claims stand in `chapters/<chapter>/claims.toml`, one table each, and are called "<chapter>.<name>". A table `[_family]` says, where
claims were dropped after their results, how many verdicts were judged in all and why: the others are judged as so many, not as those that are left.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure.stats import Interval, in_words, number, quantity

CHAPTERS = Path(__file__).parents[1] / "chapters"
FAMILY = "_family"  # of a chapter's file: {judged: verdicts in all, those of claims that are gone included; why: which}
DIRECTIONS = ("at least", "at most", "within")  # "within": least_effect is a margin around zero
REGISTERED = ("before", "after a look")


@dataclass(frozen=True)
class Claim:
    """What an experiment claims, declared before it runs."""

    id: str
    text: str
    measure: str
    n_items: int
    n_seeds: int
    least_effect: float  # on the measure's own scale: .10 is ten points
    refuted_by: str
    chance: float | None = None
    direction: str = "at least"
    answers: Sequence[str] = ()  # the numbers of the article's claims that it answers
    question: str = ""  # of the bet, with its options
    options: Sequence[str] = ()
    arms: Sequence[str] = ()  # what is compared
    unit: str = ""  # of the measure, as an `Interval` has it: "%", "points", "nats"; empty: the interval's own
    family: int = 10  # verdicts of its chapter, at most: together they err in 5 % at most, see `lmtutor.measure.stats`
    registered: str = "before"  # the run; "after a look" says in `why` what had been seen
    why: str = ""
    zero: str = ""  # what a difference of zero is, where it is not "no difference"

    def __post_init__(self):
        if self.direction not in DIRECTIONS:
            raise ConfigError(f"direction of claim {self.id} is {self.direction!r}; choose one of {', '.join(DIRECTIONS)}")
        if self.n_items < 1 or self.n_seeds < 1:
            declared = f"{self.n_items} items and {self.n_seeds} seeds"
            raise ConfigError(f"claim {self.id} declares {declared}; both need 1 or more")
        if self.family < 1:
            raise ConfigError(f"claim {self.id} is one of {self.family} claims; give the number of the chapter's claims, 1 or more")
        if self.direction == "within" and self.least_effect <= 0:
            raise ConfigError(f"claim {self.id} is 'within' {self.least_effect}; the margin must be above 0")
        if self.registered not in REGISTERED:
            raise ConfigError(f"claim {self.id} was registered {self.registered!r}; say one of {', '.join(REGISTERED)}")
        if self.registered != "before" and not self.why:
            raise ConfigError(f"claim {self.id} was registered {self.registered}; say in `why` what had been seen")
        if bool(self.question) != (len(self.options) > 1):
            raise ConfigError(f"claim {self.id} asks {self.question!r} with {len(self.options)} options; give a question and two or more")

    @property
    def level(self) -> float:
        """The level at which it is judged, 1 - .10 / family or .95; the rule stands in `lmtutor.measure.stats`."""
        return max(0.95, 1 - 0.10 / self.family)

    @property
    def among(self) -> str:
        """As one of how many it is judged."""
        return f"one of at most {self.family} claims" if self.family > 1 else "the only claim"

    def judge(self, interval: Interval) -> Verdict:
        """Supported if all of the interval keeps the promise, not supported if all breaks it.

        It is judged at the claim's level, or at its own if that is higher. Where a bound lies so near to what is needed that other draws might
        decide otherwise, ten times as many are taken; if that isn't enough it is undecided.
        """
        seeds = interval.seeds or 1
        if interval.n < self.n_items or seeds < self.n_seeds:
            raise DataError(
                f"claim {self.id} declares {self.n_items} items and {self.n_seeds} seeds, the interval has "
                f"{interval.n} and {seeds}; measure what was declared, or declare less before measuring"
            )
        if self.unit not in ("", interval.unit):
            raise DataError(f"claim {self.id} is measured in {self.unit}, the interval is in {interval.unit}; give what was declared")
        judged = interval if interval.level >= self.level - 1e-9 else interval.at(self.level)  # 1e-9: rounding
        if self.word(judged) != self.word(judged, safely=True):
            judged = judged.at(judged.level, more=10)
        return Verdict(self.word(judged, safely=True), self, interval, judged)

    def word(self, interval: Interval, safely: bool = False) -> str:
        """The verdict that the bounds give as they are; or `safely`, with each moved outwards by its Monte-Carlo error."""
        effect, low, high = self.least_effect, interval.low - safely * interval.error[0], interval.high + safely * interval.error[1]
        keeps, breaks = {
            "at least": (low >= effect, high < effect),
            "at most": (high <= effect, low > effect),
            "within": (-effect <= low and high <= effect, low > effect or high < -effect),
        }[self.direction]
        return "supported" if keeps else "not supported" if breaks else "undecided"


@dataclass(frozen=True)
class Verdict:
    """A claim beside what was measured."""

    word: str  # supported, not supported or undecided
    claim: Claim
    interval: Interval  # as it is shown
    judged: Interval | None = None  # the same at the level at which it was judged

    def level(self) -> str:
        """At which level it was judged, and why."""
        return f"at {100 * (self.judged or self.interval).level:.4g}%, as {self.claim.among} of its chapter"

    def doubt(self) -> str:
        """Why it is undecided although the interval that is shown decides."""
        alone = self.claim.word(self.interval)
        if self.word != "undecided" or alone == "undecided":
            return ""
        if self.judged and (self.judged.level == self.interval.level or self.claim.word(self.judged) == alone):
            return " A bound lies so near to that that other draws might decide otherwise."
        answer = "yes" if alone == "supported" else "no"
        return f" Alone this would be a {answer}; beside the chapter's other claims it is not sure."

    def digits(self) -> int:
        """How many digits more than usual tell the interval's bounds from what was asked."""
        claim, unit = self.claim, self.interval.unit
        bounds, mark = (self.interval.low, self.interval.high), claim.least_effect
        marks = (mark, -mark) if claim.direction == "within" else (mark,)

        def hidden(digits):  # a bound that prints like what is needed, without being that
            return any(a != b and number(a, unit, digits) == number(b, unit, digits) for a in bounds for b in marks)

        return next((d for d in range(3) if not hidden(d)), 3)

    def sentence(self) -> str:
        """The verdict in plain words: first the direction, then the bar. The numbers are those of the interval at 95 %."""
        claim, interval, unit = self.claim, self.interval, self.interval.unit
        low, high = (self.judged or interval).low, (self.judged or interval).high
        value, bar = in_words(interval, self.digits()), quantity(claim.least_effect, unit).lstrip("+")
        if claim.direction == "within":
            return {"supported": f"No difference that counts: {value}, within {bar} of zero.",
                    "not supported": f"They differ: {value}, by more than {bar}.",
                    "undecided": f"Open: {value}. It may be more than {bar} or less.{self.doubt()}"}[self.word]
        if claim.direction == "at most":
            head = {"supported": "Yes", "not supported": "No", "undecided": "Open"}[self.word]
            return f"{head}: {value}. We allowed at most {bar}.{self.doubt()}"
        nothing = {"%": None, "times": 1.0}.get(unit, 0.0)  # a difference has a direction, a share has not
        over, under = nothing is not None and low > nothing, nothing is not None and high < nothing
        asked = f"We asked for at least {bar}" + ("." if claim.chance is None else f"; chance is {quantity(claim.chance, unit)}.")
        if self.word == "supported":
            head = "Yes"
        elif self.word == "undecided":
            head = "Yes, but whether by as much as we asked is open" if over and not self.doubt() else "Open"
        elif under and claim.least_effect >= 0 and not claim.zero:  # a bar below zero allows a loss: more of it turns nothing round
            head = "No, the other way round"
        elif claim.chance is not None and high < claim.chance:
            head = "No, worse than chance"
        else:
            head = "Yes, but by less than we asked" if over else "No"
        zero = f", where zero is {claim.zero}" if claim.zero else ""
        return f"{head}: {value}{zero}. {asked}{self.doubt()}"

    def lines(self, measured: str = "measured") -> list[str]:
        """The verdict as it is printed; `measured` heads the line of the interval."""
        claim, unit = self.claim, self.interval.unit
        seeds = f", {claim.n_seeds} seeds" if claim.n_seeds > 1 else ", one seed"
        chance = "" if claim.chance is None else f" (chance {quantity(claim.chance, unit)})"
        judged = ""
        if self.judged and self.judged.level > self.interval.level and measured == "measured":
            judged = ": [" + self.judged.text(self.digits()).split("[")[1].split("]")[0] + "]"
        return [
            f"claim {claim.id}: {claim.text}",
            f"measure: {claim.measure}, n={claim.n_items:,}{seeds}",
            f"needed: {claim.direction} {quantity(claim.least_effect, unit)}{chance}",
            f"refuted by: {claim.refuted_by}",
            f"{measured}: {self.interval.text(self.digits())}",
            f"judged: {self.level()}{judged}",
            *([] if claim.registered == "before" else [f"registered: {claim.registered}: {claim.why}"]),
            f"verdict: {self.word}",
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def registration(claim: Claim) -> dict[str, str]:
    """What was declared, by name, as a card's folded part shows it."""
    unit = claim.unit or "%"
    found = {"claim": claim.text, "measured": claim.measure, "compared": " against ".join(claim.arms),
             "sample": f"{claim.n_items:,} items, {claim.n_seeds} seed{'s' * (claim.n_seeds > 1)}",
             "asked": f"{claim.direction} {quantity(claim.least_effect, unit)}"
             + ("" if claim.chance is None else f"; chance is {quantity(claim.chance, unit)}"),
             "refuted by": claim.refuted_by, "answers": ", ".join(claim.answers),
             "registered": claim.registered + (" the run" if claim.registered == "before" else f": {claim.why}")}
    return {name: text for name, text in found.items() if text}


def judged_in_all(*, judged: int = 0, why: str = "", left: int) -> int:
    """The verdicts of a chapter: those that stand in its file, or all that were ever judged, where it says so."""
    if bool(judged) != bool(why):
        raise TypeError(f"[{FAMILY}] needs both `judged` and `why`")
    return max(judged, left)


@cache
def read_claims(chapters: Path = CHAPTERS) -> dict[str, Claim]:
    """Every claim of every chapter, by "<chapter>.<name>"."""
    found = {}
    for path in sorted(chapters.glob("*/claims.toml")):
        chapter = path.parent.name
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            dropped = tables.pop(FAMILY, {})
            family = judged_in_all(**dropped, left=len(tables))
            for name, table in tables.items():
                found[f"{chapter}.{name}"] = Claim(id=f"{chapter}.{name}", family=family, **table)
        except (tomllib.TOMLDecodeError, TypeError, AttributeError) as problem:
            wanted = ", ".join(item.name for item in dataclasses.fields(Claim)[1:])
            raise ConfigError(f"{chapter}/{path.name} cannot be read ({problem}); a claim has {wanted}") from None
    return found


def claim(id: str) -> Claim:
    """The claim called "<chapter>.<name>"."""
    known = read_claims()
    if id not in known:
        near = [one for one in known if one.partition(".")[0] == str(id).partition(".")[0]] or list(known)
        raise ConfigError(f"no claim is called {id!r}; choose one of {', '.join(near) or '(none)'}")
    return known[id]
