"""The bet before a run and the verdict after it, as cards that a cell shows.

A card is HTML for people and plain text for terminals, screen readers and the comparison of stored notebooks. It holds no script, no
style of its own and no picture, so it shows in a notebook that is not trusted, too: the interval is drawn with characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

from lmtutor.classroom.notebook import glue
from lmtutor.errors import ConfigError
from lmtutor.measure.claims import Claim, Verdict, claim, registration
from lmtutor.measure.stats import Interval, in_words, limits, quantity

GUESSES: dict[str, str] = {}  # what this reader bet, by the claim's id
WIDTH = 41  # of a bar, in characters
NOT_TOLD = "it can't be told"  # an option that an undecided verdict makes the right one
LIVE = "this run"  # stands beside what another machine may measure otherwise; the comparison of stored notebooks leaves it out


def bet(id: str) -> None:
    """Show the question of a claim, with its options; what was registered is folded."""
    this = asks(id)
    options = "".join(f"<li>{escape(option)}</li>" for option in this.options)
    html = f'<p class="lm-head">Your bet</p><p><strong>{escape(this.question)}</strong></p><ul>{options}</ul>'
    show("bet", html + folded(registration(this)), "\n".join(
        [f"Your bet: {this.question}", *(f"  - {option}" for option in this.options)]))


def predict(id: str, option: Any) -> None:
    """Record what you bet; `judge` shows it beside the result. `...` means no bet."""
    this = asks(id)
    if option is ...:
        return
    if option not in this.options:
        raise ConfigError(f"{option!r} is no option of {id}; choose one of {', '.join(map(repr, this.options))}")
    GUESSES[id] = option
    print(f"noted: {option}")


def judge(id: str, interval: Interval, *, outcome: str | None = None, levels: Mapping[str, Any] | None = None, of: str = "",
          live: bool = False) -> Verdict:
    """Judge a claim and show the verdict: the claim, a plain sentence, both levels, the interval beside what was asked.

    For the book's pages it glues the word and the sentence: `verdict_<chapter>_<name>`, and the same with `_sentence`.

    Parameters
    ----------
    outcome : str     the option of the bet that turned out right; while the verdict is undecided no bet is won, and the card says so
    of : str          what a difference above zero is, where its sign could be misread: "a fall" makes "a fall of 10 points"
    levels : dict     name -> Interval or text: what the difference is the difference of
    live : bool       it was measured in this run: digits may differ on another machine, the verdict's word must not

    Returns
    -------
    Verdict

    Raises
    ------
    ConfigError    no such claim, or an outcome that is none of its options
    """
    this = claim(id)
    if outcome is not None and outcome not in this.options:
        raise ConfigError(f"{outcome!r} is no option of {id}; choose one of {', '.join(map(repr, this.options))}")
    verdict = this.judge(interval)
    rows = {name: in_words(value) if isinstance(value, Interval) else str(value) for name, value in (levels or {}).items()}
    between = ", ".join(f"{name} {value}" for name, value in rows.items())
    sentence, drawn = verdict.sentence(), bar(verdict)
    if of and interval.estimate >= 0:
        sentence = sentence.replace(": +", f": {of} of ", 1)
    undecided = verdict.word == "undecided" and outcome != NOT_TOLD
    wider = at_which_judged(verdict)
    judged = f": {in_words(wider, verdict.digits())}" if wider.level > interval.level and not live else ""
    guess = outcome and ("So far no bet is won." if undecided else f"It was: {outcome}.") + (f" You bet: {GUESSES[id]}." if id in GUESSES else "")
    mark = (lambda text: f"<!-- {LIVE} -->{text}<!-- / -->") if live else str
    plain = (lambda text: "\n".join(f"{line} ({LIVE})" for line in text.splitlines())) if live else str
    html = "".join([
        f'<p class="lm-head">{verdict.word}</p>', f'<div class="lm-claim">Claim: {escape(this.text)}.</div>',
        f"<p><strong>{mark(escape(sentence))}</strong></p>",
        f"<p>{escape(guess)}</p>" if guess else "", f"<p>{mark(escape(between))}</p>" if between else "",
        f"<pre>{mark(escape(drawn))}</pre>",
        folded(registration(this) | {"judged": verdict.level() + judged}),
    ])
    text = [f"{id}: {this.text}", plain(sentence), *([guess] if guess else []), *([plain(between)] if between else []), plain(drawn),
            f"verdict: {verdict.word}"]
    kept = {"id": id, "word": verdict.word, "sentence": sentence, "estimate": round(interval.estimate, 4), "low": round(interval.low, 4),
            "high": round(interval.high, 4), "unit": interval.unit, "n": interval.n, "seeds": interval.seeds, "live": live}
    show(verdict.word.replace(" ", "-"), html, "\n".join(text), {"verdict": kept})
    key = "verdict_" + id.replace(".", "_")
    glue(key, verdict.word)
    if not live:
        glue(key + "_sentence", sentence)
    return verdict


def bar(verdict: Verdict) -> str:
    """The interval on a scale of characters: `0% ----╌╌├──●──┤╌│╌--- 100%`, and below it what was asked, `│→ at least 60%`.

    Between ├ and ┤ lies the interval that is shown; ╌ goes on to the one at which the claim is judged. The arrow points to the side on
    which the claim holds.
    """
    claim, interval = verdict.claim, verdict.interval
    judged = at_which_judged(verdict)
    outer = min(judged.low, interval.low), max(judged.high, interval.high)
    least, most = limits(interval.unit)
    within = claim.direction == "within"
    marks = [-claim.least_effect] * within + [claim.least_effect]
    ends = [0.0, 1.0] if interval.unit == "%" else [0.0, *marks, *outer]
    low, high = min(ends), max(ends)
    if interval.unit != "%":
        low, high = (end + 0.08 * (high - low) * (1 if end > 0 else -1 if end < 0 else 0) for end in (low, high))
        low, high = max(low, least), min(high, most)

    def at(value):
        return min(max(round((WIDTH - 1) * (value - low) / ((high - low) or 1.0)), 0), WIDTH - 1)

    line = ["·"] * WIDTH
    for ends, sign in ((outer, "╌"), ((interval.low, interval.high), "─")):
        line[at(ends[0]) : at(ends[1]) + 1] = sign * (at(ends[1]) - at(ends[0]) + 1)
    for value, sign in [*((mark, "│") for mark in marks), (interval.low, "├"), (interval.high, "┤"), (interval.estimate, "●")]:
        line[at(value)] = sign
    left, right = (quantity(end, interval.unit) for end in (low, high))
    below = [" "] * (len(left) + 1 + WIDTH + 1)
    for i, mark in enumerate(marks):
        place = len(left) + 1 + at(mark)
        below[place] = "│"
        upwards = claim.direction == "at least" or (within and i == 0)
        beside = place + (1 if upwards else -1)
        below[beside] = below[beside].strip() or ("→" if upwards else "←")
    asked = f"{claim.direction} {quantity(claim.least_effect, interval.unit).lstrip('+')}"
    return f"{left} {''.join(line)} {right}\n{''.join(below).rstrip()} {asked}"


def at_which_judged(verdict: Verdict) -> Interval:
    """The interval that the verdict was taken from, within what the measure allows."""
    judged = verdict.judged or verdict.interval
    least, most = limits(judged.unit)
    return replace(judged, low=max(judged.low, least), high=min(judged.high, most))


def folded(rows: Mapping[str, str]) -> str:
    """What was registered, one click away."""
    inner = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows.items())
    return f"<details><summary>What was registered</summary><dl>{inner}</dl></details>"


def show(kind: str, html: str, text: str, kept: Mapping[str, Any] | None = None) -> None:
    """Display a card; `kept` goes into the stored notebook beside it, where the ledger finds it."""
    from IPython.display import display

    display({"text/html": f'<div class="lm-card lm-{kind}">{html}</div>', "text/plain": text}, raw=True,
            metadata={"lmtutor": dict(kept)} if kept else None)


def asks(id: str) -> Claim:
    this = claim(id)
    if not this.question:
        raise ConfigError(f"{id} asks nothing; give it a question and options in its claims.toml")
    return this


def show_verdict(verdict: Verdict, *, live: bool = False) -> None:
    """Print a verdict: claim, measure, what was needed, what would refute it, what was measured.

    With `live` the measured line is marked as this run's own: on another machine its digits may differ, and
    the check of the stored notebooks leaves it out. The verdict's word is always compared.
    """
    print("\n".join(verdict.lines("measured (this run)" if live else "measured")))
