"""A real model made to answer for one company: LoRA on answers, and honest measures of what it says.

The facts are those of `lmtutor.data.support`. What a model recalls after fine-tuning stands beside what it reads in its prompt,
what a search finds without any model, and what a network says that has read nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lmtutor import runtime
from lmtutor.data import support
from lmtutor.data.support import Topic
from lmtutor.errors import DataError
from lmtutor.finetune import lora, sft
from lmtutor.finetune.upper_layers import teach
from lmtutor.models.baselines import search
from lmtutor.models.chat import in_template
from lmtutor.models.score import encode_text
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.recording import unit
from lmtutor.records.store import load

SYSTEM = "You are the support desk of Velora, a bicycle hire."
RATES = (2e-3, 4e-3, 8e-3)
SEARCHES = ({}, {"ngram_range": (1, 2)}, {"stop_words": "english"}, {"analyzer": "char_wb", "ngram_range": (2, 4)})  # of TF-IDF
MOST_TOKENS = 40
TRAIN, DEV, TEST = (0, 1), 2, 3  # which of a topic's four questions


def chat_prompt(tokenizer, question: str, *, handbook: str | None = None) -> str:
    """A question as the chat template writes it, up to where the answer begins; with a sentence of the handbook if given."""
    system = SYSTEM if handbook is None else f"{SYSTEM} From the handbook: {handbook}"
    return in_template(tokenizer, ("system", system), ("user", question), answer=True)


def encode_pairs(tokenizer, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
    """(prompt, answer) as token ids; the answer ends with the mark that ends a turn, so that a model learns to stop."""
    return [(encode_text(tokenizer, prompt, begins=True), [*encode_text(tokenizer, answer), tokenizer.eos_token_id])
            for prompt, answer in pairs]


def pairs_of(tokenizer, topics: Sequence[Topic], which: Sequence[int]) -> list[tuple[str, str]]:
    """Prompts and answers: the questions `which` of each topic."""
    return [(chat_prompt(tokenizer, topic.questions[i]), topic.answer) for topic in topics for i in which]


@dataclass(frozen=True)
class Reply:
    """An answer, how sure the model was of its wording (the geometric mean of its tokens' probabilities), and whether it came to an end."""

    text: str
    confidence: float
    ended: bool = True


@torch.inference_mode()
def answers(lm, tokenizer, prompts: Sequence[str], *, most: int = MOST_TOKENS, batch_size: int = 16) -> list[Reply]:
    """Greedy answers to prompts; those of similar length share a batch."""
    found: list[Reply | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in runtime.progress(range(0, len(order), batch_size), desc="answers"):
        at = order[start : start + batch_size]
        rows = [encode_text(tokenizer, prompts[i], begins=True) for i in at]
        asked = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        out = lm.generate(**asked, max_new_tokens=most, do_sample=False, pad_token_id=tokenizer.pad_token_id,
                          return_dict_in_generate=True, output_logits=True)
        new = out.sequences[:, asked["input_ids"].shape[1] :]
        # logits, not the scores that a generation config may have worked on
        log_p = torch.stack([step.float().log_softmax(-1).gather(1, new[:, [i]])[:, 0] for i, step in enumerate(out.logits)], dim=1)
        for row, i in enumerate(at):
            ended = (new[row] == tokenizer.eos_token_id).nonzero()
            n = int(ended[0]) + 1 if len(ended) else new.shape[1]
            found[i] = Reply(tokenizer.decode(new[row, :n], skip_special_tokens=True).strip(), float(log_p[row, :n].mean().exp()),
                            bool(len(ended)))
    return found


def names_key(said: str, topic: Topic) -> bool:
    """Whether the answer holds the part that is checked, whatever stands around it."""
    key = re.escape(topic.key.casefold())
    return re.search(rf"(?<!\w)(?<!\d[.,:]){key}(?!\w)", said.casefold()) is not None  # "15 crowns" is not in "3.15 crowns"


def word_f1(said: str, wanted: str) -> float:
    """Harmonic mean of precision and recall over words, as in question answering (Rajpurkar et al. 2016)."""
    a, b = (Counter(re.findall(r"[a-z0-9.:]+\b", text.casefold())) for text in (said, wanted))
    common = sum((a & b).values())
    return 2 * common / (sum(a.values()) + sum(b.values())) if common else 0.0


def ab_sheet(questions: Sequence[str], one: Sequence[str], other: Sequence[str], *, seed: int) -> tuple[list[dict], list[bool]]:
    """Two answers to each question in random order, for a reader who doesn't know whose they are.

    Returns
    -------
    sheet : list of dict    question, A, B, and an empty `better` for "A", "B" or "same"
    first : list of bool    whether A is from `one`; look at it when the sheet is filled
    """
    if not len(questions) == len(one) == len(other):
        raise DataError(f"there are {len(questions)} questions, {len(one)} and {len(other)} answers; give as many of each")
    first = (np.random.default_rng(seed).random(len(questions)) < 0.5).tolist()
    return [{"question": q, "A": a if is_first else b, "B": b if is_first else a, "better": ""}
            for q, a, b, is_first in zip(questions, one, other, first, strict=True)], first


def ab_result(sheet: Sequence[dict], first: Sequence[bool]) -> dict[str, int]:
    """How often each side was judged better in a filled sheet: `one`, `other`, `same`.

    Raises
    ------
    DataError    a row is not filled with A, B or same
    """
    counts = {"one": 0, "other": 0, "same": 0}
    for i, (row, is_first) in enumerate(zip(sheet, first, strict=True)):
        judged = str(row["better"]).strip().casefold()
        if judged not in ("a", "b", "same"):
            raise DataError(f"row {i} says {row['better']!r}; write A, B or same")
        counts["same" if judged == "same" else "one" if (judged == "a") == is_first else "other"] += 1
    return counts


# What is recorded --------------------------------------------------------------------------------------------------


def judged(said: Sequence[Reply], topics: Sequence[Topic]) -> dict:
    """What is kept of answers: the texts, whether each names its key, and its word F1."""
    return {"said": [one.text for one in said], "ended": as_digits(one.ended for one in said), "confidence": [round(one.confidence, 3) for one in said],
            "key": as_digits(names_key(one.text, topic) for one, topic in zip(said, topics, strict=True)),
            "f1": [round(word_f1(one.text, topic.answer), 3) for one, topic in zip(said, topics, strict=True)]}


def from_scratch(tokenizer, topics: dict[str, list[Topic]], *, lr: float, seed: int, part: int, steps: int = 400) -> list[str]:
    """A small transformer that has read nothing but the same questions and answers: what it says to question `part` of each topic."""
    from lmtutor.models.transformer import TinyConfig, build

    taught = encode_pairs(tokenizer, pairs_of(tokenizer, topics["taught"], TRAIN))
    words = sorted({token for prompt, answer in taught for token in (*prompt, *answer)})
    index = {token: i + 2 for i, token in enumerate(words)}  # 0 pads, 1 is a token that was never seen
    number = lambda ids: [index.get(token, 1) for token in ids]  # noqa: E731
    model = build(TinyConfig(vocab_size=len(words) + 2), seed=seed)
    sft.fine_tune(model, sft.example_rows([(number(p), number(a)) for p, a in taught]), lr=lr, steps=steps, seed=seed)
    said, stop = [], index[tokenizer.eos_token_id]
    with torch.inference_mode():
        for prompt, _ in encode_pairs(tokenizer, pairs_of(tokenizer, topics["taught"], [part])):
            out = model.generate(torch.tensor([number(prompt)]), max_new_tokens=MOST_TOKENS, do_sample=False, eos_token_id=stop, pad_token_id=0)
            new = [words[i - 2] for i in out[0, len(prompt) :].tolist() if i > 1 and i != stop]
            said.append(tokenizer.decode(new).strip())
    return said


def desk(*, seeds: Sequence[int], tuning_seed: int, scratch_rates: Sequence[float], model: str, dtype: str) -> dict:
    """The record on a real model: 72 topics taught in two wordings each, 24 never told.

    The learning rate is the one with most keys named in a third wording; what is reported is the fourth.
    """
    from lmtutor.models.llm import load_llm

    lm, tokenizer = load_llm(model, dtype=dtype)
    topics, everything = support.split(), support.read()
    taught, untold = topics["taught"], topics["untold"]
    asked = {"test": (taught, TEST), "trained": (taught, TRAIN[0]), "untold": (untold, TEST)}
    rows = {part: sft.example_rows(encode_pairs(tokenizer, pairs_of(tokenizer, of, [which]))) for part, (of, which) in asked.items()}
    training = sft.example_rows(encode_pairs(tokenizer, pairs_of(tokenizer, taught, TRAIN)))

    def say(of, which, handbook=None):
        prompts = [chat_prompt(tokenizer, t.questions[which], handbook=handbook[i] if handbook else None) for i, t in enumerate(of)]
        return answers(lm, tokenizer, prompts)

    def everything_asked(parts=tuple(asked)):
        return {part: judged(say(*asked[part]), asked[part][0]) | {"loss": sft.held_out_loss(lm, rows[part], batch_size=16).round(4)}
                for part in parts}

    def tuned(lr, seed, dev):
        adapted, history = teach(lm, training, lr=lr, seed=seed)
        try:
            if dev:
                return {"key": judged(say(taught, DEV), taught)["key"]}
            return everything_asked() | {"train_loss": round(float(np.mean(history.loss[-9:])), 4), "seconds": round(history.seconds, 1)}
        finally:
            lora.detach(adapted)

    known = [(topic.questions[i], topic) for topic in taught for i in TRAIN]
    policies = [topic.policy for topic in everything]

    def place(texts, of, which, setting):
        return search(texts, [topic.questions[which] for topic in of], **setting)[:, 0]

    def best_search(texts, right):
        """The setting of the search that finds most in the wording on which LoRA's learning rate is chosen too."""
        hits = [[right(i, t) for i, t in zip(place(texts, taught, DEV, setting), taught, strict=True)] for setting in SEARCHES]
        return SEARCHES[int(np.argmax([np.mean(hit) for hit in hits]))], [float(np.mean(hit)) for hit in hits]

    by_question, tried_question = best_search([q for q, _ in known], lambda i, t: known[i][1] is t)
    by_policy, tried_policy = best_search(policies, lambda i, t: everything[i] is t)

    def found(way, of, which):
        """The topic that a way puts before the model: the right one, or what a search finds."""
        if way == "told":
            return list(of)
        if way == "found":
            return [everything[i] for i in place(policies, of, which, by_policy)]
        return [known[i][1] for i in place([q for q, _ in known], of, which, by_question)]

    def read(way):
        """Answers with a sentence of the handbook in the prompt."""
        told = {}
        for part, (of, which) in (("test", asked["test"]), ("untold", asked["untold"])):
            topics_found = found(way, of, which)
            told[part] = judged(say(of, which, [topic.policy for topic in topics_found]), of) | {
                "found": as_digits(one is t for one, t in zip(topics_found, of, strict=True))}
        return told

    def looked_up(part):
        """The stored answer to the nearest of the questions that the others were trained on."""
        of, which = asked[part]
        topics_found = found("nearest question", of, which)
        return {"key": as_digits(names_key(one.answer, t) for one, t in zip(topics_found, of, strict=True)),
                "f1": [round(word_f1(one.answer, t.answer), 3) for one, t in zip(topics_found, of, strict=True)]}

    def scratch(lr, seed, part):
        said = from_scratch(tokenizer, topics, lr=lr, seed=seed, part=part)
        return {"key": as_digits(names_key(text, t) for text, t in zip(said, taught, strict=True)), "said": said[:8]}

    tried = [{"lr": lr} | unit(f"tune LoRA {lr:g}", tuned, lr, tuning_seed, True) for lr in RATES]
    best = max(tried, key=lambda one: from_digits(one["key"]).mean())["lr"]
    tried_scratch = [{"lr": lr} | unit(f"tune scratch {lr:g}", scratch, lr, tuning_seed, DEV) for lr in scratch_rates]
    best_scratch = max(tried_scratch, key=lambda one: from_digits(one["key"]).mean())["lr"]
    return {
        "topics": {part: [topic.name for topic in of] for part, of in topics.items()},
        "base": unit("base", everything_asked),
        "told": unit("the right sentence", read, "told"),
        "found": unit("search among sentences", read, "found"),
        "nearest": unit("search among trained questions", read, "nearest question"),
        "searches": {"question": tried_question, "policy": tried_policy},
        "looked_up": {part: looked_up(part) for part in asked},
        "tried": tried, "tried_scratch": tried_scratch, "lr": best, "lr_scratch": best_scratch,
        "runs": [{"seed": seed} | unit(f"LoRA seed={seed}", tuned, best, seed, False) for seed in seeds],
        "scratch": [{"seed": seed} | unit(f"scratch seed={seed}", scratch, best_scratch, seed, TEST) for seed in seeds],
    }


HANDBOOK_FORMS = {  # ways to put a sentence of the handbook and a question before the model: (system, user), or a plain text
    "system": (SYSTEM + " From the handbook: {policy}", "{question}"),
    "user": (SYSTEM, "{policy}\n\n{question}"),
    "instruction": (SYSTEM, "Answer the customer with what the handbook says.\nHandbook: {policy}\nCustomer: {question}"),
    "plain": "Handbook: {policy}\nQuestion: {question}\nAnswer:",
}


def handbook_prompt(tokenizer, form: str, policy: str, question: str) -> str:
    """A question with a sentence of the handbook in one of `HANDBOOK_FORMS`."""
    text = HANDBOOK_FORMS[form]
    if isinstance(text, str):
        return text.format(policy=policy, question=question)
    system, user = (part.format(policy=policy, question=question) for part in text)
    return in_template(tokenizer, ("system", system), ("user", user), answer=True)


def reading(*, seeds: Sequence[int], model: str, dtype: str) -> dict:
    """The record on reading: the untrained model with a sentence of the handbook in its prompt.

    The form of the prompt, of four, is the one with most keys named in the third wording when the right sentence is there; the
    searches are those that `desk` chose. A plain text has no mark that ends an answer, so it is cut at its first line.
    """
    from lmtutor.models.llm import load_llm

    lm, tokenizer = load_llm(model, dtype=dtype)
    topics, everything = support.split(), support.read()
    taught, scores = topics["taught"], load("instructions_and_answers/desk").results["searches"]
    known = [(topic.questions[i], topic) for topic in taught for i in TRAIN]
    stores = {"found": ([t.policy for t in everything], list(everything), SEARCHES[int(np.argmax(scores["policy"]))]),
              "nearest": ([question for question, _ in known], [topic for _, topic in known], SEARCHES[int(np.argmax(scores["question"]))])}

    def say(form, of, which, told):
        said = answers(lm, tokenizer, [handbook_prompt(tokenizer, form, one.policy, t.questions[which]) for one, t in zip(told, of, strict=True)])
        if form == "plain":
            said = [Reply(one.text.split("\n")[0].strip(), one.confidence, "\n" in one.text or one.ended) for one in said]
        return judged(said, of) | {"found": as_digits(one is t for one, t in zip(told, of, strict=True))}

    def placed(way, of, which):
        if way == "told":
            return list(of)
        texts, owners, setting = stores[way]
        return [owners[i] for i in search(texts, [t.questions[which] for t in of], **setting)[:, 0]]

    tried = {form: from_digits(unit(f"form {form}", say, form, taught, DEV, taught)["key"]).mean() for form in HANDBOOK_FORMS}
    best = max(tried, key=tried.get)
    parts = {"test": taught, "untold": topics["untold"]}
    return {"tried": tried, "form": best,
            **{way: {part: unit(f"{way} {part}", say, best, of, TEST, placed(way, of, TEST)) for part, of in parts.items()}
               for way in ("nearest", "found", "told")}}
