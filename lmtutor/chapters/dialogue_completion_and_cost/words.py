"""What a bag of words learns from the labels that a prompt shows, and from labels that a prompted model gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lmtutor.chapters.dialogue_completion_and_cost.price import rounds
from lmtutor.compare.bench import Bench
from lmtutor.compare.sides import answer
from lmtutor.compare.ways import ways
from lmtutor.data.prompts import Item
from lmtutor.data.tasks import Task, headlines, own_articles, relabelled, topic_task
from lmtutor.models.llm import load_llm
from lmtutor.records.recording import unit
from lmtutor.records.store import load


def words(*, seeds: Sequence[int], ks: Sequence[int], many: int, many_seeds: int, n_headlines: int, few: Sequence[int], n_test: int,
          model: str, dtype: str) -> dict:
    """The record, on the items and draws of `price` and of `together`; the language model lends its tokenizer and is not asked.

    Parameters
    ----------
    ks, many, many_seeds, n_headlines : of the headlines, as `price` has them
    few : numbers of right labels from which it learns besides; n_test : of the articles, as `together` has them
    """
    llm, tokenizer = load_llm(model, dtype=dtype)
    way = ways(("its own",))["bag of words"]

    def taught(task: Task, shown: Sequence[Item], seed: int) -> list[int]:
        bench = Bench(replace(task, pool=tuple(dict.fromkeys([*shown, *task.pool]))), {"its own": task.template}, llm, tokenizer)
        return answer(bench, way, shown, seed)["predicted"]

    short, handed = headlines(n_test=n_headlines), load("dialogue_completion_and_cost/together").results["words"]
    news = topic_task(wording="labelled", n_pool=sum(len(one["pseudo"]) for one in handed), n_dev=5, n_test=n_test)
    own = own_articles(news, [one["seed"] for one in handed])
    cells = [(k, seed) for k in ks for seed in (seeds if k < many else seeds[:many_seeds])]
    return {
        "headlines": [{"k": k, "seed": seed, "predicted": unit(f"k={k} seed={seed}", taught, short, rounds(short.pool, k, seed=seed), seed)}
                      for k, seed in cells],
        "students": [{
            "seed": one["seed"],
            "student": unit(f"student {one['seed']}", taught, replace(news, pool=()),
                            relabelled(own[one["seed"]], one["pseudo"], news.labels), one["seed"]),
            "right_labels": {str(n): unit(f"{n} right labels {one['seed']}", taught, replace(news, pool=tuple(own[one["seed"]])),
                                          own[one["seed"]][:n], one["seed"]) for n in (*few, len(one["pseudo"]))},
        } for one in handed],
    }
