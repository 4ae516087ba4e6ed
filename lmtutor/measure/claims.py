"""What was claimed before a run, and the verdict after it."""

from __future__ import annotations

from dataclasses import dataclass

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure.stats import Interval, number, quantity


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
    direction: str = "at least"  # "at most": least_effect is a ceiling; "within": a margin around zero

    def __post_init__(self):
        allowed = ("at least", "at most", "within")
        if self.direction not in allowed:
            choices = ", ".join(allowed)
            raise ConfigError(f"direction of claim {self.id} is {self.direction!r}; choose one of {choices}")
        if self.n_items < 1 or self.n_seeds < 1:
            declared = f"{self.n_items} items and {self.n_seeds} seeds"
            raise ConfigError(f"claim {self.id} declares {declared}; both need 1 or more")
        if self.direction == "within" and self.least_effect <= 0:
            raise ConfigError(f"claim {self.id} is 'within' {self.least_effect}; the margin must be above 0")

    def judge(self, interval: Interval) -> Verdict:
        """Supported if all of the interval keeps the promise, not supported if all breaks it."""
        seeds = interval.seeds or 1
        if interval.n < self.n_items or seeds < self.n_seeds:
            raise DataError(
                f"claim {self.id} declares {self.n_items} items and {self.n_seeds} seeds, the interval has "
                f"{interval.n} and {seeds}; measure what was declared, or declare less before measuring"
            )
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

    def lines(self, measured: str = "measured") -> list[str]:
        """The verdict as it is printed; `measured` heads the line of the interval."""
        claim, unit = self.claim, self.interval.unit
        bounds, mark = (self.interval.low, self.interval.high), claim.least_effect
        marks = (mark, -mark) if claim.direction == "within" else (mark,)

        def hidden(digits):  # a bound that prints like what is needed, without being that
            return any(a != b and number(a, unit, digits) == number(b, unit, digits) for a in bounds for b in marks)

        digits = next((d for d in range(3) if not hidden(d)), 3)
        seeds = f", {claim.n_seeds} seeds" if claim.n_seeds > 1 else ", one seed"
        chance = "" if claim.chance is None else f" (chance {quantity(claim.chance, unit)})"
        return [
            f"claim {claim.id}: {claim.text}",
            f"measure: {claim.measure}, n={claim.n_items:,}{seeds}",
            f"needed: {claim.direction} {quantity(claim.least_effect, unit)}{chance}",
            f"refuted by: {claim.refuted_by}",
            f"{measured}: {self.interval.text(digits)}",
            f"verdict: {self.word}",
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())
