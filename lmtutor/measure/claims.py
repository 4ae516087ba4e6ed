"""What was claimed before a run, and the verdict after it.

A chapter's claims stand in `chapters/<chapter>/claims.toml`, one table each, and are called "<chapter>.<name>".
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
    registered: str = "before"  # the run; "after a look" says in `why` what had been seen
    why: str = ""

    def __post_init__(self):
        if self.direction not in DIRECTIONS:
            raise ConfigError(f"direction of claim {self.id} is {self.direction!r}; choose one of {', '.join(DIRECTIONS)}")
        if self.n_items < 1 or self.n_seeds < 1:
            declared = f"{self.n_items} items and {self.n_seeds} seeds"
            raise ConfigError(f"claim {self.id} declares {declared}; both need 1 or more")
        if self.direction == "within" and self.least_effect <= 0:
            raise ConfigError(f"claim {self.id} is 'within' {self.least_effect}; the margin must be above 0")
        if self.registered not in REGISTERED:
            raise ConfigError(f"claim {self.id} was registered {self.registered!r}; say one of {', '.join(REGISTERED)}")
        if self.registered != "before" and not self.why:
            raise ConfigError(f"claim {self.id} was registered {self.registered}; say in `why` what had been seen")
        if bool(self.question) != (len(self.options) > 1):
            raise ConfigError(f"claim {self.id} asks {self.question!r} with {len(self.options)} options; give a question and two or more")

    def judge(self, interval: Interval) -> Verdict:
        """Supported if all of the interval keeps the promise, not supported if all breaks it."""
        seeds = interval.seeds or 1
        if interval.n < self.n_items or seeds < self.n_seeds:
            raise DataError(
                f"claim {self.id} declares {self.n_items} items and {self.n_seeds} seeds, the interval has "
                f"{interval.n} and {seeds}; measure what was declared, or declare less before measuring"
            )
        if self.unit not in ("", interval.unit):
            raise DataError(f"claim {self.id} is measured in {self.unit}, the interval is in {interval.unit}; give what was declared")
        effect, low, high = self.least_effect, interval.low, interval.high
        keeps, breaks = {
            "at least": (low >= effect, high < effect),
            "at most": (high <= effect, low > effect),
            "within": (-effect <= low and high <= effect, low > effect or high < -effect),
        }[self.direction]
        return Verdict("supported" if keeps else "not supported" if breaks else "undecided", self, interval)


@dataclass(frozen=True)
class Verdict:
    """A claim beside what was measured."""

    word: str  # supported, not supported or undecided
    claim: Claim
    interval: Interval

    def digits(self) -> int:
        """How many digits more than usual tell the interval's bounds from what was asked."""
        claim, unit = self.claim, self.interval.unit
        bounds, mark = (self.interval.low, self.interval.high), claim.least_effect
        marks = (mark, -mark) if claim.direction == "within" else (mark,)

        def hidden(digits):  # a bound that prints like what is needed, without being that
            return any(a != b and number(a, unit, digits) == number(b, unit, digits) for a in bounds for b in marks)

        return next((d for d in range(3) if not hidden(d)), 3)

    def sentence(self) -> str:
        """The verdict in plain words: first the direction, then the bar."""
        claim, interval, unit = self.claim, self.interval, self.interval.unit
        low, high = interval.low, interval.high
        value, bar = in_words(interval, self.digits()), quantity(claim.least_effect, unit).lstrip("+")
        if claim.direction == "within":
            return {"supported": f"No difference that counts: {value}, within {bar} of zero.",
                    "not supported": f"They differ: {value}, by more than {bar}.",
                    "undecided": f"Open: {value}. It may be more than {bar} or less."}[self.word]
        if claim.direction == "at most":
            return {"supported": f"Yes: {value}. We allowed at most {bar}.", "not supported": f"No: {value}. We allowed at most {bar}.",
                    "undecided": f"Open: {value}. We allowed at most {bar}."}[self.word]
        nothing = 0.0 if unit != "%" else None  # a difference has a direction, a share has not
        over, under = nothing is not None and low > nothing, nothing is not None and high < nothing
        asked = f"We asked for at least {bar}" + ("." if claim.chance is None else f"; chance is {quantity(claim.chance, unit)}.")
        if self.word == "supported":
            return f"Yes: {value}. {asked}"
        if under:
            return f"No, the other way round: {value}. {asked}"
        if claim.chance is not None and high < claim.chance:
            return f"No, worse than chance: {value}. {asked}"
        if self.word == "not supported":
            return f"Yes, but by less than we asked: {value}. {asked}" if over else f"No: {value}. {asked}"
        return f"Yes, but whether by as much as we asked is open: {value}. {asked}" if over else f"Open: {value}. {asked}"

    def lines(self, measured: str = "measured") -> list[str]:
        """The verdict as it is printed; `measured` heads the line of the interval."""
        claim, unit = self.claim, self.interval.unit
        seeds = f", {claim.n_seeds} seeds" if claim.n_seeds > 1 else ", one seed"
        chance = "" if claim.chance is None else f" (chance {quantity(claim.chance, unit)})"
        return [
            f"claim {claim.id}: {claim.text}",
            f"measure: {claim.measure}, n={claim.n_items:,}{seeds}",
            f"needed: {claim.direction} {quantity(claim.least_effect, unit)}{chance}",
            f"refuted by: {claim.refuted_by}",
            f"{measured}: {self.interval.text(self.digits())}",
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


@cache
def read_claims(chapters: Path = CHAPTERS) -> dict[str, Claim]:
    """Every claim of every chapter, by "<chapter>.<name>"."""
    found = {}
    for path in sorted(chapters.glob("*/claims.toml")):
        chapter = path.parent.name
        try:
            for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
                found[f"{chapter}.{name}"] = Claim(id=f"{chapter}.{name}", **table)
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
