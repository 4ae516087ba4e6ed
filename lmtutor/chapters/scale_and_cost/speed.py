"""How fast this machine trains, and what a number of FLOPs is in its time."""

from __future__ import annotations

from lmtutor.chapters.scale_and_cost.scaling import BATCH, VOCABULARY, fresh_rows, settings, sized
from lmtutor.errors import ConfigError
from lmtutor.measure.costs import Shape, training_flops
from lmtutor.pretrain.news import CONTEXT, pretrain_news, read_news

YEAR = 365 * 24 * 3600  # seconds
UNITS = (("million years", 1e6 * YEAR), ("years", YEAR), ("days", 24 * 3600), ("hours", 3600), ("minutes", 60), ("seconds", 1))


def training_speed(width: int = 144, steps: int = 20) -> float:
    """FLOPs a second that this machine gets done while it trains a small model, the best of three short trainings.

    Matrix products count, those of attention among them. What else takes time counts for nothing, so this is less than
    the processor's peak. The best, with one thread and with all: whatever else runs on the machine makes a training
    slower and none faster, and two threads that wait for each other more than one.
    """
    import torch

    news, config = read_news(VOCABULARY), sized(width)
    rows = fresh_rows(news, steps * BATCH, seed=0)
    a_row = training_flops(Shape.of(config), CONTEXT, outputs=CONTEXT)
    threads, found = torch.get_num_threads(), []
    try:
        for n in (1, threads, 1):
            torch.set_num_threads(n)
            _, history = pretrain_news(news, seed=0, model=config, settings=settings(steps, rate=0.001), rows=rows)
            found.append(a_row * history.tokens / CONTEXT / history.seconds)
    finally:
        torch.set_num_threads(threads)
    return max(found)


def duration(seconds: float) -> str:
    """A time in its largest unit, two figures of it: `duration(5400)` is "1.5 hours".

    Raises
    ------
    ConfigError    a time below zero
    """
    if not seconds >= 0:
        raise ConfigError(f"seconds is {seconds}; a time is 0 or more")
    name, size = next((unit for unit in UNITS if seconds >= unit[1]), ("seconds", 1))
    shown = float(f"{seconds / size:.2g}")
    return f"{shown:,.0f} {name}" if shown >= 10 else f"{shown:.2g} {name}"
