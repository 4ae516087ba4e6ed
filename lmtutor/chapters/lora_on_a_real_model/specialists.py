"""LoRA makes specialists of a real model: what it learns, and what other tasks lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lmtutor.compare.sides import answer, best, built_in, choose
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
def specialists(*, seeds: Sequence[int], budgets: Mapping[str, int], names: Sequence[str], k: int, n_dev: int, n_test: int, model: str,
                dtype: str) -> dict:
    """The record: LoRA on real tasks, cheap ways on the same labels, and five other tasks before and after.

    Parameters
    ----------
    budgets : task -> number of labels, those that choose a setting among them
    names : of the cheap ways, as in `lmtutor.compare.ways`
    k : demonstrations in the prompts of the other tasks
    """
    llm, tokenizer = load_llm(model, dtype=dtype)
    other = {name: short_task(name) for name in shorttasks.TASKS}

    def others():
        return {name: as_digits(free_answers(
            llm, tokenizer, task, draw_demonstrations(task.pool, k, seed=0), task.test)) for name, task in other.items()}

    def specialist(bench, way, n, seed):
        shown = bench.draw(n, seed)
        tried = choose(bench, way, shown, seed)
        setting = best(way, tried)
        adapted, classifier, history = fit_lora(bench.reader, shown, lr=setting["lr"], seed=seed)
        try:
            predicted = predict(classifier, bench.reader.numbered(bench.task.test)).argmax(axis=1)
            return {"seed": seed, "setting": setting, "tried": tried, "predicted": predicted, "others": others(),
                    "seconds": round(history.seconds, 1), "trained": lora.trained(llm)}
        finally:
            lora.detach(adapted)

    before, tasks = unit("others before", others), {}
    for name, n in budgets.items():
        bench = built_in(name, llm, tokenizer, n_dev=n_dev, n_test=n_test, n_pool=max(n, 900))
        known = ways(tuple(bench.wordings))
        upper = split(llm.model, llm.config.num_hidden_layers - bench.reader.layers)[1]
        untrained = Classifier(upper, bench.reader.head, pool="last", states=bench.reader.states)
        tasks[name] = {
            "labels": bench.task.labels, "n": n, "truth": bench.truth(bench.task.test),
            "before": predict(untrained, bench.reader.numbered(bench.task.test)).argmax(axis=1),
            "cheap": {way: [unit(f"{name} {way} seed={seed}", answer, bench, known[way], bench.draw(n, seed), seed)["predicted"] for seed in seeds]
                      for way in names},
            "runs": [unit(f"{name} seed={seed}", specialist, bench, known["LoRA"], n, seed) for seed in seeds],
        }
    return {"others_before": before, "tasks": tasks}
