"""LoRA makes specialists of a real model: what it learns, and what other tasks lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lmtutor.compare.sides import built_in, report, tune
from lmtutor.compare.ways import ways
from lmtutor.data import shorttasks
from lmtutor.data.prompts import draw_demonstrations
from lmtutor.data.tasks import short_task
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import Classifier, predict
from lmtutor.finetune.upper_layers import fit_lora, split
from lmtutor.incontext.ask import free_answers
from lmtutor.models.llm import load_llm
from lmtutor.records.address import depends_on
from lmtutor.records.files import as_digits
from lmtutor.records.recording import unit


@depends_on("data/shorttasks/*.tsv")
def specialists(*, seeds: Sequence[int], budgets: Mapping[str, int], k: int, n_dev: int, n_test: int, model: str, dtype: str) -> dict:
    """The record: LoRA on real tasks, the bag of words on the same labels, and five other tasks before and after.

    Parameters
    ----------
    budgets : task -> number of labels
    k : demonstrations in the prompts of the other tasks
    """
    llm, tokenizer = load_llm(model, dtype=dtype)
    other = {name: short_task(name) for name in shorttasks.TASKS}

    def others():
        return {name: as_digits(free_answers(
            llm, tokenizer, task, draw_demonstrations(task.pool, k, seed=0), task.test)) for name, task in other.items()}

    def specialist(bench, n, lr, seed):
        shown = bench.draw(n, seed)
        adapted, classifier, history = fit_lora(bench.reader, shown, lr=lr, seed=seed)
        try:
            predicted = predict(classifier, bench.reader.numbered(bench.task.test)).argmax(axis=1)
            return {"seed": seed, "predicted": predicted, "others": others(), "seconds": round(history.seconds, 1),
                    "trained": lora.trained(llm)}
        finally:
            lora.detach(adapted)

    before, tasks = unit("others before", others), {}
    for name, n in budgets.items():
        bench = built_in(name, llm, tokenizer, n_dev=n_dev, n_test=n_test, n_pool=max(n, 300))
        way, words = (ways(tuple(bench.wordings))[one] for one in ("LoRA", "bag of words"))
        tried, tried_words = (unit(f"{name} tune {key}", tune, bench, one, n) for key, one in (("LoRA", way), ("words", words)))
        best, best_words = (max(found, key=lambda one: one["dev"])["setting"] for found in (tried, tried_words))
        upper = split(llm.model, llm.config.num_hidden_layers - bench.reader.layers)[1]
        untrained = Classifier(upper, bench.reader.head, pool="last", states=bench.reader.states)
        tasks[name] = {
            "labels": bench.task.labels, "n": n, "truth": bench.truth(bench.task.test), "tried": tried, "tried_words": tried_words,
            "before": predict(untrained, bench.reader.numbered(bench.task.test)).argmax(axis=1),
            "words": [report(bench, words, n, best_words, seed)["predicted"] for seed in seeds],
            "runs": [unit(f"{name} seed={seed}", specialist, bench, n, best["lr"], seed) for seed in seeds],
        }
    return {"others_before": before, "tasks": tasks}
