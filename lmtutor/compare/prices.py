"""What things cost, as assumptions that a reader changes: of a label, of a machine, of tokens."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lmtutor.errors import ConfigError
from lmtutor.measure.costs import Bill


@dataclass(frozen=True)
class Prices:
    """In one currency. The tokens' are those of a small hosted model in September 2026; the others are round numbers to be replaced."""

    label: float = 0.10        # one text labelled by a person
    machine_hour: float = 0.10  # of a machine like this one
    read: float = 0.10         # a million tokens read by a hosted model
    cached: float = 0.01       # a million tokens read again
    written: float = 0.50      # a million tokens written
    currency: str = "$"
    date: str = "2026-09"

    def once(self, bill: Bill) -> float:
        """Training, on this machine; labels are counted apart, as the reader has them."""
        return bill.train_seconds / 3600 * self.machine_hour

    def each(self, bill: Bill, *, hosted: bool = False, written: float = 0.0) -> float:
        """One query: the machine's time, or a hosted model's tokens."""
        if hosted:
            return (bill.query_tokens * self.read + written * self.written) / 1e6
        return bill.query_ms / 3.6e6 * self.machine_hour

    def labels(self, n: int) -> float:
        return n * self.label

    def as_dict(self) -> dict:
        return asdict(self)


def read_prices(path: str | Path | None) -> Prices:
    """The assumptions of a JSON file, which may name some of them; without one the defaults.

    Raises
    ------
    ConfigError    no such file, no JSON, a name that isn't there, a number below 0
    """
    if path is None:
        return Prices()
    names = [each.name for each in fields(Prices)]
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON ({error}); write for example {{\"label\": 0.25, \"machine_hour\": 0.05}}") from None
    if not isinstance(told, dict) or set(told) - set(names):
        raise ConfigError(f"{path} names {', '.join(sorted(set(told) - set(names))) if isinstance(told, dict) else 'no prices'}; "
                          f"the prices are {', '.join(names)}")
    for name, value in told.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
        if name not in ("currency", "date") and not number or name in ("currency", "date") and not isinstance(value, str):
            raise ConfigError(f"{path}: {name} is {value!r}; give {'a text' if name in ('currency', 'date') else 'a number from 0'}")
    return Prices(**told)
