"""What else in the prompt moves the answers: the order of its demonstrations, their labels, the wording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lmtutor import runtime
from lmtutor.data.prompts import draw_demonstrations
from lmtutor.data.tasks import short_task, topic_task
from lmtutor.incontext.studies import k_shot_curve, label_study, order_study
from lmtutor.models.llm import load_llm
from lmtutor.records.address import depends_on


@depends_on("data/shorttasks/*.tsv")
def orders(*, seeds: Sequence[int], wording: str, short: Sequence[str], model: str, dtype: str) -> dict:
    """All 24 orders of four demonstrations, on BBC topics (the first draw) and on short tasks (every draw)."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    topic = topic_task(wording=wording)
    tasks = [(topic, seed) for seed in seeds[:1]] + [(short_task(name), seed) for name in short for seed in seeds]
    return {
        f"{task.name} {seed}": order_study(
            llm, tokenizer, replace(task, name=f"{task.name} {seed}"), draw_demonstrations(task.pool, 4, seed=seed)
        )
        for task, seed in runtime.progress(tasks)
    }


@depends_on("data/shorttasks/*.tsv")
def labels(
    *, seeds: Sequence[int], wording: str, short: Sequence[str], k_topics: int, k_short: int, model: str, dtype: str
) -> dict:
    """Right, random and wrong answers in the demonstrations: task -> kind -> curve."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    tasks = [(topic_task(wording=wording), k_topics)] + [(short_task(name), k_short) for name in short]
    return {task.name: label_study(llm, tokenizer, task, k, seeds=seeds) for task, k in runtime.progress(tasks)}


def wordings(*, seeds: Sequence[int], names: Sequence[str], ks: Sequence[int], model: str, dtype: str) -> dict:
    """The same articles under several wordings, without and with one demonstration of each topic: wording -> curve."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    return {
        name: k_shot_curve(llm, tokenizer, topic_task(wording=name), ks, seeds=seeds)
        for name in runtime.progress(names)
    }
