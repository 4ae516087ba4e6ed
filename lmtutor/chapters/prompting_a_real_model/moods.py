"""A task in which single words give little away, asked by choice and freely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lmtutor.data.prompts import draw_demonstrations
from lmtutor.data.tasks import mood_task, topic_task
from lmtutor.incontext.ask import both_ways
from lmtutor.incontext.studies import both_ways_curve, label_patterns, relabel
from lmtutor.models.llm import load_llm
from lmtutor.records.address import depends_on
from lmtutor.records.recording import unit


@depends_on("data/moods/*.tsv")
def moods(*, seeds: Sequence[int], ks: Sequence[int], k_labels: int, n_patterns: int, model: str, dtype: str) -> dict:
    """Short remarks in every way: by choice and freely, bare and instructed; other labels; all patterns of four labels."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    bare, told = mood_task(), mood_task(instruction=True)
    shown = {seed: draw_demonstrations(bare.pool, k_labels, seed=seed, per_class=True) for seed in seeds}
    few = replace(bare, test=bare.test[:n_patterns])
    return {
        "curves": {task.name: both_ways_curve(llm, tokenizer, task, ks, seeds=seeds) for task in (bare, told)},
        "labels": {
            kind: [unit(f"{kind} {s}", both_ways, llm, tokenizer, bare, relabel(shown[s], bare.labels, kind=kind, seed=s))
                   for s in seeds]
            for kind in ("gold", "random", "wrong")
        },
        "patterns": [unit(f"patterns {s}", label_patterns, llm, tokenizer, few, seed=s) for s in seeds],
        "truth": bare.truth,
        "kinds": _kinds_of_remarks(),
    }


def _kinds_of_remarks() -> list[str]:
    from lmtutor.data.moods import load

    return list(load()["test"]["kind"])


def topics_freely(*, seeds: Sequence[int], wording: str, ks: Sequence[int], model: str, dtype: str) -> dict:
    """BBC topics by choice and written freely, after the same prompts."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    return both_ways_curve(llm, tokenizer, topic_task(wording=wording), ks, seeds=seeds)
