"""What a linear layer cannot do: write. Articles become a line of the house's own form, `topic | headline`, by a prompt or by LoRA.

Four rules, each of which a program can check: the form, the right topic, 10 to 40 characters, and words of its own, which
means that the headline is not a piece of the article.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from lmtutor.data.prompts import Item, Template, draw_demonstrations, draw_labelled
from lmtutor.data.tasks import TOPICS
from lmtutor.finetune import lora, sft
from lmtutor.finetune.upper_layers import teach
from lmtutor.models.baselines import fit_linear
from lmtutor.models.encoder import load_encoder
from lmtutor.models.llm import load_llm
from lmtutor.models.score import encode_text, generate_answers
from lmtutor.records.recording import units

WORDS = 40                    # of an article, its title left out
SHORTEST, LONGEST = 10, 40    # characters of a headline
RULES = ("form", "topic", "length", "own words")
HOUSE = ("Make one line of each article: its topic (business, entertainment, politics, sport or technology), a bar, "
         "and a headline in your own words of at most 40 characters.")
PLAIN = Template("Article: {text}\nLine:", end="\n\n", instruction=HOUSE + "\n\n")
CHAT = Template("<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n", answer="{label}", end="<|im_end|>\n",
                instruction=f"<|im_start|>system\n{HOUSE}<|im_end|>\n")
TAUGHT = Template("Article: {text}\nLine:", end="\n\n")  # LoRA gets no instruction: the form is in the weights
PROMPTS = {"plain": PLAIN, "chat": CHAT}
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
PASSES = 4
MOST_TOKENS = 24


@cache
def articles() -> dict[str, list[Item]]:
    """Articles as `pool`, `dev` and `test`: the first words without the title; the label is the line that the house would write."""
    from lmtutor.data.bbc import load_bbc

    data, found = load_bbc(), {}
    names = [TOPICS[name] for name in data["train"].features["label"].names]
    for part, split in (("pool", "train"), ("dev", "validation"), ("test", "test")):
        rows = [(" ".join(row["text"].split()[:WORDS]), names[row["label"]], row["title"]) for row in data[split]]
        found[part] = [Item(text, f"{topic} | {title}") for text, topic, title in rows if keeps(f"{topic} | {title}", text, topic)["all"]]
    return found


def split_line(said: str) -> tuple[str, str] | None:
    """(topic, headline) of a line in the house's form, else None."""
    found = re.fullmatch(rf"({'|'.join(TOPICS.values())}) \| (\S.*)", said)
    return (found[1], found[2].strip()) if found else None


def bare(text: str) -> str:
    """Small letters, figures and single spaces, so that a piece is found whatever its commas."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def keeps(said: str, article: str, topic: str) -> dict[str, bool]:
    """Which of the four rules a line keeps, and whether all."""
    line = split_line(said)
    named, headline = line or ("", "")
    kept = {"form": line is not None, "topic": named == topic, "length": SHORTEST <= len(headline) <= LONGEST,
            "own words": bool(line) and f" {bare(headline)} " not in f" {bare(article)} "}
    return kept | {"all": all(kept.values())}


def shared_words(said: str, wanted: str) -> float:
    """F1 over words of a headline with the one that was printed: of little use for one line, of some for the mean of many."""
    a, b = (Counter(bare((split_line(line) or ("", line))[1]).split()) for line in (said, wanted))
    common = sum((a & b).values())
    return 2 * common / (sum(a.values()) + sum(b.values())) if common else 0.0


def rows_of(tokenizer, items: Sequence[Item], template: Template = TAUGHT) -> np.ndarray:
    """Rows for `teach`: the article is read, the line and its end are asked for."""
    return sft.example_rows([(encode_text(tokenizer, template.question(item.text), begins=True),
                              encode_text(tokenizer, template.choice(item.label) + "\n")) for item in items])


def write_lines(lm, tokenizer, items: Sequence[Item], *, template: Template = TAUGHT, shown: Sequence[Item] = ()) -> list[str]:
    """What the model writes for each article: the first line of it."""
    questions = [template.question(item.text) for item in items]
    said = generate_answers(lm, tokenizer, template.prefix(shown), questions, max_new_tokens=MOST_TOKENS, stop=template.end[0], batch_size=16)
    return [line.splitlines()[0].strip() if line.strip() else "" for line in said]


def cut(article: str) -> str:
    """The beginning of an article, as many whole words as fit a headline."""
    short = article[: LONGEST + 1]
    return (short if len(short) <= LONGEST else short[: short.rfind(" ")]).rstrip(" ,.;:")


# What is recorded --------------------------------------------------------------------------------------------------


def asked(part: str, n: int) -> list[Item]:
    """Articles of a part, as many of each topic as can be."""
    by = {topic: [item for item in articles()[part] if item.label.startswith(topic)] for topic in TOPICS.values()}
    return [some[i] for i in range(-(-n // len(by))) for some in by.values()][:n]


def prompted(form: str, k: int, seed: int, part: str, n: int, model: str, dtype: str) -> dict:
    """Lines by a prompt with k articles and their lines in it."""
    lm, tokenizer = load_llm(model, dtype=dtype)
    shown = draw_demonstrations(articles()["pool"], k, seed=seed)
    return {"said": write_lines(lm, tokenizer, asked(part, n), template=PROMPTS[form], shown=shown)}


def taught(lr: float, seed: int, part: str, n: int, labels: int, model: str, dtype: str) -> dict:
    """Lines after LoRA on articles and their lines."""
    lm, tokenizer = load_llm(model, dtype=dtype)
    rows = rows_of(tokenizer, drawn(labels, seed))
    adapted, history = teach(lm, rows, lr=lr, seed=seed, rank=8, layers=8, passes=PASSES)
    said = write_lines(lm, tokenizer, asked(part, n))
    trained = lora.trained(lm)
    lora.detach(adapted)
    return {"said": said, "trained": trained, "steps": len(history.loss)}


def drawn(labels: int, seed: int) -> list[Item]:
    """The articles that a way may learn from."""
    by_topic = [Item(item.text, item.label.partition(" |")[0]) for item in articles()["pool"]]
    lines = {item.text: item for item in articles()["pool"]}
    return [lines[item.text] for item in draw_labelled(by_topic, labels, seed=seed)]


def cut_off(seed: int, part: str, n: int, labels: int) -> dict:
    """Lines without a language model: a linear layer on a sentence encoder names the topic, the article's beginning is the headline."""
    encoder, names = load_encoder(), list(TOPICS.values())
    learned, items = drawn(labels, seed), asked(part, n)
    line = fit_linear(encoder.encode([item.text for item in learned]), [names.index(item.label.partition(" |")[0]) for item in learned], C=10.0, intercept=True)
    said = line.predict(encoder.encode([item.text for item in items]))
    return {"said": [f"{names[i]} | {cut(item.text)}" for i, item in zip(said, items, strict=True)]}


def rate(said: Sequence[str], items: Sequence[Item]) -> float:
    """The share of lines that keep all rules."""
    return float(np.mean([keeps(line, item.text, item.label.partition(" |")[0])["all"] for line, item in zip(said, items, strict=True)]))


def lines(*, seeds: Sequence[int], tuning_seed: int, labels: int, rates: Sequence[float], forms: Sequence[str], ks: Sequence[int], n_dev: int, n_test: int,
          model: str, dtype: str) -> dict:
    """The record: articles into lines, by prompts and by LoRA, each way tuned on dev articles with a seed of its own.

    Parameters
    ----------
    labels : articles with their lines, for LoRA and for the linear layer
    rates : of LoRA
    forms, ks : of the prompt, and how many articles with their lines stand in it
    """
    dev, test = asked("dev", n_dev), asked("test", n_test)
    prompts = [(form, k, tuning_seed, "dev", n_dev, model, dtype) for form in forms for k in ks]
    loras = [(lr, tuning_seed, "dev", n_dev, labels, model, dtype) for lr in rates]
    tried = {"prompt": units(prompted, {f"dev {c[0]} k={c[1]}": c for c in prompts}), "LoRA": units(taught, {f"dev lr={c[0]}": c for c in loras})}
    found = {way: [round(rate(one["said"], dev), 4) for one in several] for way, several in tried.items()}
    bare_prompt = max((c for c in prompts if c[1] == 0), key=lambda c: found["prompt"][prompts.index(c)])
    full_prompt = max((c for c in prompts if c[1] > 0), key=lambda c: found["prompt"][prompts.index(c)])
    lr = rates[int(np.argmax(found["LoRA"]))]
    rules = units(prompted, {"test rules alone": (bare_prompt[0], 0, seeds[0], "test", n_test, model, dtype)})
    shown = units(prompted, {f"test examples seed={s}": (*full_prompt[:2], s, "test", n_test, model, dtype) for s in seeds})
    tuned = units(taught, {f"test LoRA seed={s}": (lr, s, "test", n_test, labels, model, dtype) for s in seeds})
    plain = units(cut_off, {f"test cut seed={s}": (s, "test", n_test, labels) for s in seeds})
    return {
        "tried": {"prompt": [{"form": c[0], "k": c[1], "kept": kept} for c, kept in zip(prompts, found["prompt"], strict=True)],
                  "LoRA": [{"lr": rate_, "kept": kept} for rate_, kept in zip(rates, found["LoRA"], strict=True)]},
        "chosen": {"rules alone": {"form": bare_prompt[0]}, "examples": {"form": full_prompt[0], "k": full_prompt[1]}, "LoRA": {"lr": lr}},
        "articles": [item.text for item in test], "wanted": [item.label for item in test],
        "trained": tuned[0]["trained"], "steps": tuned[0]["steps"],
        "said": {"rules alone": [one["said"] for one in rules], "rules and examples": [one["said"] for one in shown],
                 "LoRA": [one["said"] for one in tuned], "no language model": [one["said"] for one in plain]},
    }


# What is shown -----------------------------------------------------------------------------------------------------


def mend(said: str, topic: str) -> str:
    """The line with another topic; of what has no bar all is taken as the headline."""
    return f"{topic} | {said.rpartition(' | ')[2]}"


def kept(results: dict) -> dict[str, dict[str, np.ndarray]]:
    """Of the record: way -> rule -> (runs, articles) of 0 and 1; the prompt mended by the linear layer's topic is a way, too."""
    said = dict(results["said"])
    said["rules and examples, topic mended"] = [[mend(line, other.partition(" |")[0]) for line, other in zip(run, layer, strict=True)]
                                                for run, layer in zip(said["rules and examples"], said["no language model"], strict=True)]
    topics = [line.partition(" |")[0] for line in results["wanted"]]
    found = {}
    for way, runs in said.items():
        each = [[keeps(*one) for one in zip(run, results["articles"], topics, strict=True)] for run in runs]
        found[way] = {rule: np.array([[one[rule] for one in run] for run in each], dtype=float) for rule in (*RULES, "all")}
    return found
