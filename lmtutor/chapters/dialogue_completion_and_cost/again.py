"""Questions that the first records left open, asked again with more draws, dialogues and sentences, and none of the first ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from lmtutor import runtime
from lmtutor.chapters.dialogue_completion_and_cost.baking import ARMS, KINDS, bake, prompted
from lmtutor.chapters.dialogue_completion_and_cost.completion import Counts, Keyboard, _articles, model_scores, offered_words, saved, typed_sentences
from lmtutor.chapters.dialogue_completion_and_cost.memory import recall, script
from lmtutor.chapters.dialogue_completion_and_cost.price import rounds
from lmtutor.compare.bench import Bench
from lmtutor.compare.sides import answer
from lmtutor.compare.ways import ways
from lmtutor.data.tasks import Task, headlines
from lmtutor.errors import DataError
from lmtutor.incontext.calibration import calibrate_batch
from lmtutor.models.llm import load_llm
from lmtutor.models.score import Prefix, encode_text, read_prefix, score_choices
from lmtutor.records.address import depends_on
from lmtutor.records.recording import unit
from lmtutor.records.sweep import rows

FIRST_TESTED = 100  # headlines that the first record asks: the first of the test part


def other_headlines(n_test: int) -> Task:
    """Headlines of the test part that the first record left over; examples are drawn from the train and the validation part."""
    task = headlines(n_dev=240, n_test=FIRST_TESTED + n_test)
    return replace(task, pool=(*task.pool, *task.dev), test=task.test[FIRST_TESTED:])


@torch.inference_mode()
def ask_side_by_side(model, tokenizer, prefix: Prefix, questions: Sequence[str], choices: Sequence[str], *, at_once: int = 25) -> np.ndarray:
    """Log-probabilities (N, K) of the first tokens of K choices, as `score_choices` gives them, for questions after one long prefix.

    Several questions stand in one row after the prefix and none sees another, so that its keys and values are copied once for all of them.
    """
    first = [encode_text(tokenizer, choice) for choice in choices]
    if any(len(ids) > 1 for ids in first) or not prefix.ids:
        raise DataError("a choice has more than one token, or the prefix is empty; use score_choices")
    found = []
    for start in range(0, len(questions), at_once):
        rows = [encode_text(tokenizer, question) for question in questions[start : start + at_once]]
        owner = torch.tensor([i for i, row in enumerate(rows) for _ in row])
        place = torch.tensor([at for row in rows for at in range(len(row))])
        sees = (owner[:, None] == owner) & (place[:, None] >= place)  # (T, T): its own question, up to here
        sees = torch.cat([torch.ones(len(owner), len(prefix.ids), dtype=torch.bool), sees], dim=1)
        mask = torch.zeros(sees.shape, dtype=model.dtype).masked_fill(~sees, torch.finfo(model.dtype).min)
        logits = model(
            input_ids=torch.tensor([[token for row in rows for token in row]]), attention_mask=mask[None, None],
            position_ids=(len(prefix.ids) + place)[None], past_key_values=prefix.cache(1), use_cache=True,
            logits_to_keep=torch.tensor(np.cumsum([len(row) for row in rows]) - 1),
        ).logits[0]
        found.append(logits.float().log_softmax(-1)[:, [ids[0] for ids in first]].numpy())
    return np.concatenate(found)


def asked_after(model, tokenizer, task: Task, k: int, seed: int) -> dict:
    """Answers to all test headlines after k examples, raw and batch-calibrated."""
    questions, choices = [task.template.question(item.text) for item in task.test], [task.template.choice(label) for label in task.labels]
    prefix = read_prefix(model, tokenizer, task.template.prefix(rounds(task.pool, k, seed=seed)))
    log_probs = (ask_side_by_side(model, tokenizer, prefix, questions, choices) if k
                 else score_choices(model, tokenizer, prefix, questions, choices).log_probs)
    return {"k": k, "seed": seed, "prefix": len(prefix.ids), "raw": log_probs.argmax(1), "batch": calibrate_batch(log_probs).argmax(1)}


def price_more(*, seeds: Sequence[int], ks: Sequence[int], n_test: int, model: str, dtype: str) -> dict:
    """Right answers to other headlines after other draws of k examples, asked as in `price`."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    task = other_headlines(n_test)
    cells = [(k, seed) for k in sorted(ks) for seed in (seeds if k else seeds[:1])]
    found = [unit(f"k={k} seed={seed}", asked_after, llm, tokenizer, task, k, seed) for k, seed in runtime.progress(cells, desc="prompts")]
    return {"labels": task.labels, "truth": task.truth, "n_pool": len(task.pool), "runs": found}


def price_cheap(*, seeds: Sequence[int], ks: Sequence[int], names: Sequence[str], n_test: int, model: str, dtype: str) -> dict:
    """What learns from the very labels that the prompts of `price_more` show, without a prompt; and from all labels of the pool."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    task = other_headlines(n_test)
    bench = Bench(task, {"its own": task.template}, llm, tokenizer)
    known = ways(("its own",))

    def taught(name, k, seed):
        shown = rounds(task.pool, k, seed=seed) if k else list(task.pool)
        return answer(bench, known[name], shown, seed)["predicted"]

    cells = [(name, k, seed) for name in names for k in ks for seed in (seeds if k else seeds[:1])]
    return {"truth": task.truth, "n_pool": len(task.pool), "runs": [
        {"way": name, "k": k, "seed": seed, "predicted": unit(f"{name} k={k} seed={seed}", taught, name, k, seed)} for name, k, seed in cells]}


def memory_more(*, seeds: Sequence[int], room: int, model: str, dtype: str) -> dict:
    """The six facts of further dialogues, with everything kept and with the one turn that tells the fact."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    return {"answers": {policy: [unit(f"{policy} {seed}", recall, llm, tokenizer, script(seed), policy, room)
                                 for seed in runtime.progress(seeds, desc="dialogues")] for policy in ("everything", "the fact alone")}}


def completion_more(*, seeds: Sequence[int], first: int, n: int, weights: Sequence[float], model: str, dtype: str) -> dict:
    """Presses saved on n further sentences of news, from the article with the number `first` on: the model and the counts, mixed as before."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    ids = offered_words(tokenizer)
    keyboard, counts = Keyboard(list(ids)), Counts(_articles(), list(ids))
    sentences = [text for _, text in typed_sentences("test", first + n)][first:]
    scores = {"counts": lambda text: counts.scores(text, weights), "model": lambda text: model_scores(llm, tokenizer, ids, text)}
    return {"saved3": {name: unit(name, lambda of=of: [round(saved(keyboard, of(text), text), 4) for text in sentences])
                       for name, of in scores.items()}}


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def baking_more(*, seeds: Sequence[int], rates: dict[str, float]) -> dict:
    """Further mappings with a new class: the prompted teacher, and the two ways to bake it in that are compared, at the rates chosen before."""
    kind = KINDS[1]
    return {"baked": rows(bake, ("kind", "arm", "lr", "seed"), [(kind, arm, rates[arm], s) for arm in ARMS if arm in rates for s in seeds]),
            "teachers": rows(prompted, ("kind", "seed"), [(kind, s) for s in seeds])}
