"""The bet before a run, and the verdict after it, as a cell shows them."""

from __future__ import annotations

from lmtutor.measure.claims import Verdict


def show_verdict(verdict: Verdict, *, live: bool = False) -> None:
    """Print a verdict: claim, measure, what was needed, what would refute it, what was measured.

    With `live` the measured line is marked as this run's own: on another machine its digits may differ, and
    the check of the stored notebooks leaves it out. The verdict's word is always compared.
    """
    print("\n".join(verdict.lines("measured (this run)" if live else "measured")))
