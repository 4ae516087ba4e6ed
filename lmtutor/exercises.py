"""Exercises: each chapter's questions, and the check that says *not tried yet*, *not yet* or *yes*."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from numbers import Real
from typing import Any

from lmtutor.errors import ConfigError


@dataclass(frozen=True)
class Checker:
    """A test of an answer: `accepts` says yes, no or a hint of its own; `expects` is the kind of answer."""

    accepts: Callable[[Any], bool | str]
    expects: str

    def __call__(self, answer: Any) -> bool | str:
        return self.accepts(answer)


@dataclass(frozen=True)
class Exercise:
    """One question of a chapter."""

    id: str  # "03.2"
    minutes: int
    question: str  # one line; the chapter holds it in full
    checker: Callable[[Any], bool | str]  # True: right; False: not yet; text: not yet, with this hint
    hint: str
    why: str


def number(target: float | Callable[[], float], *, within: float) -> Checker:
    """Accept a number at most `within` from `target`; a function as target is called when an answer comes."""

    def accepts(answer):
        given = as_number(answer)
        return abs(given - (target() if callable(target) else target)) <= within

    return Checker(accepts, "a number")


def number_between(low: float, high: float) -> Checker:
    """Accept a number from `low` to `high`."""
    return Checker(lambda answer: low <= as_number(answer) <= high, "a number")


def one_of(*words: str) -> Checker:
    """Accept any of these words, whatever their case."""
    accepted = {word.casefold() for word in words}
    return Checker(lambda answer: as_word(answer).casefold() in accepted, "a word in quotes")


def as_number(answer: Any) -> float:
    """The answer as a float: Python's, numpy's or torch's single number."""
    if hasattr(answer, "item"):
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise TypeError
    return float(answer)


def as_word(answer: Any) -> str:
    if not isinstance(answer, str):
        raise TypeError
    return answer.strip()


# The chapters' exercises, in reading order. Whatever a run measured is looked up when it is asked for.

EXERCISES: list[Exercise] = []

# Chapter 01: tokens


def english_over_german() -> float:
    """Exercise 01.3: tokens of German sentences, cut by a tokenizer that read English over one that read German."""
    from lmtutor.data import parallel
    from lmtutor.tokens import train_bpe

    sentences = parallel.read()
    made = [sum(map(len, train_bpe(sentences[language][:25], 400)(list(sentences["german"][25:]), verbose=False)["input_ids"]))
            for language in ("english", "german")]
    return made[0] / made[1]


def own_tokenizer(answer: Any) -> bool | str:
    """Exercise 01.4: functions that cut and join texts, with at most 2,048 tokens and fewer of them than byte pairs make."""
    from lmtutor.news import read_news

    if not (isinstance(answer, (list, tuple)) and len(answer) == 2 and all(map(callable, answer))):
        return "give a pair of functions: answer = (encode, decode)"
    encode, decode = answer
    news = read_news(2048)
    texts = news.texts["validation"]
    cut = [list(encode(text)) for text in texts]
    if not all(0 <= i < 2048 for row in cut for i in row):
        return "an id is below 0 or above 2,047; at most 2,048 tokens are allowed"
    foreign = ["\U0001f642 \u03a9\u03bc\u03ad\u03b3\u03b1 \u65e5\u672c\u8a9e", "  two  spaces\n\nand lines\n", "<eos>"]
    backs = [decode(row) for row in cut + [encode(text) for text in foreign]]
    if lost := sum(back != text for back, text in zip(backs, texts + foreign, strict=True)):
        return f"{lost} of {len(backs)} texts don't come back as they were"
    ours = sum(map(len, news.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]))
    yours = sum(map(len, cut))
    return yours < ours or f"it makes {yours:,} tokens of the validation articles, ours {ours:,}"


EXERCISES += [
    Exercise(
        "01.1", 3, "What does an untrained model with 50,257 tokens pay for one, in bits?", number(math.log2(50257), within=0.02),
        "every token has probability 1/50257; a nat is 1 / ln 2 bits",
        "log2 of the vocabulary: as many yes-or-no questions as it takes to name one of the tokens",
    ),
    Exercise(
        "01.2", 5, "Which share of SmolLM2-135M's weights is its vocabulary?", number(49152 * 576 / 134515008, within=0.005),
        "tokens times width, once; both are in the chapter",
        "about a fifth, in a model of this size; in one a thousand times larger the same matrix would be a small part",
    ),
    Exercise(
        "01.3", 10, "How many times as many tokens does the English tokenizer make of German?", number(english_over_german, within=0.02),
        "train_bpe(sentences['english'][:25], 400) and the same for German; count the tokens of sentences['german'][25:]",
        "same language, same sentences, other text read: what the tokenizer has read makes that much of the difference",
    ),
    Exercise(
        "01.4", 20, "Write a tokenizer that makes fewer tokens", own_tokenizer,
        "tokenizers.models.BPE with ByteLevel(use_regex=False), so that pieces may reach over spaces; or another method",
        "fewer tokens for the same vocabulary; whether a model learns more from them is another question",
    ),
]

# Chapter 02: the transformer


def spare_heads(answer: Any) -> bool | str:
    """Exercise 02.4: six or more heads without which the released model still answers 90 % with eight examples."""
    import torch

    from lmtutor import pretrain, probes

    heads = {tuple(int(as_number(part)) for part in head) for head in answer}
    if len(heads) < 6:
        return f"these are {len(heads)} different heads; find at least six that can go together"
    model, _, world = pretrain.load_checkpoint()
    if not all(0 <= layer < model.config.num_hidden_layers and 0 <= head < model.config.num_attention_heads for layer, head in heads):
        return "there is no such head; layers and heads are counted from 0"
    told, asked = (probes.build(world, seed=seed, n=400, tasks=["new_labels"])["icl8_new_labels"] for seed in (25, 26))
    with probes.without_heads(model, sorted(heads), means=probes.head_means(model, torch.tensor(told.prompts))):
        share = probes.run(model, {"asked": asked})["asked"].accuracy
    return bool(share >= 0.9) or f"without them it answers {share:.0%} rightly; 90% is asked for"


EXERCISES += [
    Exercise(
        "02.1", 3, "What is the effective number of words of half the weight on one word and half on 32?",
        number(math.sqrt(128), within=0.1),
        "exp(-(0.5 * log(0.5) + 32 * (0.5 / 32) * log(0.5 / 32)))",
        "the square root of 128: much more than two, although half of the weight lies on one word",
    ),
    Exercise(
        "02.2", 5, "From which length on does attention take more FLOPs than the weights?", number(8192, within=50),
        "weights take 2 * T * layer_weights, attention 4 * T * T * heads * head: see costs.Shape.layer_flops",
        "8,192 tokens: below that the weights are the larger part, so long contexts are cheaper than the square suggests",
    ),
    Exercise(
        "02.3", 10, "What does a copy taught with near repeats answer at 120 tokens back?", number_between(0.0, 0.5),
        "train another copy on lists_with_repeats(16 * STEPS, 11, seed=5), then ask lists(120)",
        "the form alone doesn't teach reach: compare it with the copy that read far repeats",
    ),
    Exercise(
        "02.4", 20, "Find six or more heads that can go together", Checker(spare_heads, "a list of pairs (layer, head)"),
        "begin with the heads whose removal costs least alone, and add one after the other",
        "what can be spared alone need not be spared together, and the other way round: test sets, not sums",
    ),
]

# Chapter 03: pre-training


def seeds_with_free_answers() -> int:
    """Exercise 03.2: on how many recorded seeds the free answer ends at 90 % or more."""
    from lmtutor import runs

    recorded = [r for r in runs.load("ch03_seeds").results["runs"] if r["variant"] == "released"]
    return sum(r["probes"]["icl8_new_labels_free"] >= 0.9 for r in recorded)


def one_layer_accuracy() -> float:
    """Exercise 03.3: what the recorded one-layer runs reach on average."""
    from lmtutor import runs

    recorded = [r for r in runs.load("ch03_seeds").results["runs"] if r["variant"] == "one_layer"]
    return sum(r["probes"]["icl8_new_labels"] for r in recorded) / len(recorded)


def own_probe(answer: Any) -> bool | str:
    """Exercise 03.4: a well-formed probe of the reader's own whose questions are not in the text."""
    import numpy as np

    from lmtutor import pretrain, probes
    from lmtutor.data import tinyworld

    if not isinstance(answer, probes.Probe):
        return "give a probes.Probe: name, prompts, answers, choices, chance"
    if len(answer.prompts) < 50:
        return f"it has {len(answer.prompts)} questions; ask at least 50, or chance decides what you find"
    if not all(a in c for a, c in zip(answer.answers, answer.choices, strict=True)):
        return "an answer is not among its choices"
    places = [c.index(a) / max(1, len(c) - 1) for a, c in zip(answer.answers, answer.choices, strict=True)]
    if np.ptp(places) == 0:
        return "the right answer always stands at the same place of its choices; mix them, ties go to the first"
    ids = tinyworld.stream(tinyworld.World(seed=10), pretrain.N_TOKENS, seed=10)
    share = probes.overlap({answer.name: answer}, ids)[answer.name]
    return share == 0 or f"{share:.0%} of the questions stand in the text with their answer; ask about something else"


EXERCISES += [
    Exercise(
        "03.1", 3, "What is the loss of an untrained model with 5,000 words?",
        number(math.log(5000), within=0.01),
        "every word has probability 1/5000, and the loss is minus the logarithm of that",
        "the natural logarithm of the vocabulary size: what a model that knows nothing pays for each word",
    ),
    Exercise(
        "03.2", 5, "On how many of the recorded seeds does the free answer end at 90% or more?",
        number(seeds_with_free_answers, within=0),
        "count over released: r['probes']['icl8_new_labels_free'] >= 0.9",
        "to pick the right one of two labels is easier than to say it among all words: report which rule you used",
    ),
    Exercise(
        "03.3", 10, "What does one layer reach with 8 shots and new labels?", number(one_layer_accuracy, within=0.12),
        "build(TinyConfig(vocab_size=len(world.words), num_hidden_layers=1), seed=SEED), then train as in the chapter",
        "compare it with chance, 50%: that answers whether smearing can stand in for a second layer here",
    ),
    Exercise(
        "03.4", 20, "Write a probe of something that the text never says outright", own_probe,
        "make Probe('mine', prompts, answers, choices, chance); see probes._grammar for the shape of a question",
        "a probe is a question, its choices, its chance and the proof that the answer was not there to be read",
    ),
]

# Chapter 04: masked and causal


def points_from_the_whole() -> float:
    """Exercise 04.2: what scoring the whole piece adds to a causal model's choice among ten, in points."""
    import numpy as np

    from lmtutor import runs

    found = [r["filling"] for r in runs.load("ch04_masked_and_causal").results["runs"] if r["name"] == "causal"]
    return 100 * float(np.mean([runs.from_digits(f["chosen by the whole"]).mean() - runs.from_digits(f["chosen"]).mean() for f in found]))


def own_filler(answer: Any) -> bool | str:
    """Exercise 04.4: a function that fills blanks better than the frequency of tokens, without seeing the answers."""
    import numpy as np

    from lmtutor import masked
    from lmtutor.news import read_news

    if not callable(answer):
        return "give the function itself: answer = my_function"
    news = read_news()
    pieces, _ = masked.windows(news, "validation")
    asked, size = pieces.copy(), len(news.tokenizer)
    asked[:, masked.BLANK] = size  # the mask token
    found = np.asarray(answer(asked))
    if found.shape not in ((len(pieces), size), (len(pieces), size + 1)):
        return f"it returned shape {found.shape}; give one row for each of the {len(pieces)} pieces, one column for each token"
    if not np.allclose(np.exp(found).sum(axis=1), 1, atol=1e-3):
        return "the probabilities of a row don't add up to 1; give log-probabilities"
    frequency = -np.log(masked.Neighbours(news.ids["train"], size).alone[pieces[:, masked.BLANK]]).mean()
    loss = masked.blank_losses(found, pieces).mean()
    return bool(loss < frequency) or f"it pays {loss:.2f} nats a blank, frequency alone {frequency:.2f}"


EXERCISES += [
    Exercise(
        "04.1", 3, "How many of 512 positions show the mask token?", number(61.44, within=0.6),
        "15% are chosen, and of these only a part shows the mask token",
        "12% of all positions: the rest of the chosen show a random token or the right one",
    ),
    Exercise(
        "04.2", 5, "How many points does a causal model gain by scoring the whole piece?", number(points_from_the_whole, within=0.5),
        "runs.from_digits(f['chosen by the whole']).mean() against f['chosen'], runs called causal, times 100",
        "what comes after a blank does help a causal model; it only has to be asked in another way",
    ),
    Exercise(
        "04.3", 5, "What does a masked model that is asked at 40% of the positions pay for the blanks?", number_between(4.5, 7.4),
        "it learns frequencies first, so after 200 steps it is below ln 2,049 = 7.6 and above what any model here reaches",
        "compare it with the 15% of the live run on the same blanks; one seed each is a first look",
    ),
    Exercise(
        "04.4", 20, "Fill blanks in a way of your own", own_filler,
        "def mine(pieces): ...; return log-probabilities (N, V); masked.Neighbours counts neighbours for you",
        "it beats frequency; now ask it about test articles beside the chapter's baselines",
    ),
]


# Chapter 05: scale and cost


def fewer_or_again(answer: Any) -> bool:
    """Exercise 05.2: a quarter read once, or a sixteenth read 16 times with four times the steps."""
    import numpy as np

    from lmtutor import runs

    fresh = [r["losses"] for r in runs.load("ch05_grid").results["runs"] if (r["width"], r["steps"]) == (96, 208)]
    again = [r["losses"] for r in runs.load("ch05_repeats").results["runs"] if r["passes"] == 16]
    return as_word(answer).casefold() == ("fresh" if np.mean(fresh) < np.mean(again) else "repeated")


def highest_rate_loss() -> float:
    """Exercise 05.3: validation loss of width 48 with the highest learning rate that the record tried."""
    from lmtutor import runs

    tried = [t for t in runs.load("ch05_grid").results["tuning"] if (t["width"], t["steps"]) == (48, 208)]
    return max(tried, key=lambda t: t["rate"])["loss"]


def plan_for_a_budget(answer: Any) -> bool | str:
    """Exercise 05.4: weights and tokens for 1e13 FLOPs, near the best of the law that fits the nine runs."""
    import numpy as np

    from lmtutor import runs, scaling
    from lmtutor.costs import Shape

    weights, tokens = map(as_number, answer)
    if not 0 < 6 * weights * tokens <= 1.01e13:
        return f"6ND is {6 * weights * tokens:.3g}; it may be 1e13"
    cells: dict[tuple[int, int], list[float]] = {}
    for r in runs.load("ch05_grid").results["runs"]:
        n = scaling.matrix_weights(Shape.of(scaling.sized(r["width"])))
        cells.setdefault((n, r["tokens"]), []).append(np.mean(r["losses"]))
    law = scaling.fit_law(*zip(*cells), [np.mean(losses) for losses in cells.values()])
    if not 7e4 <= weights <= 1e7:
        return "N may be from 70 thousand to 10 million"
    sizes = np.geomspace(7e4, 1e7, 400)
    return bool(law(weights, tokens) <= law(sizes, 1e13 / 6 / sizes).min() + 0.02)


EXERCISES += [
    Exercise(
        "05.1", 3, "How many FLOPs does a model of 7 billion weights take with 20 tokens a weight?", number(5.88e21, within=3e19),
        "C = 6 * N * D with D = 20 * N",
        "about 6e21: a fiftieth of what GPT-3 took",
    ),
    Exercise(
        "05.2", 5, "Which has the lower loss: a quarter of the text once, or a sixteenth 16 times?", Checker(fewer_or_again, "a word in quotes"),
        "mean of r['losses'] in ch05_grid (width 96, steps 208) and in ch05_repeats (passes 16); answer 'fresh' or 'repeated'",
        "the one did four times the computing, the other saw four times as many different articles: both are budgets",
    ),
    Exercise(
        "05.3", 10, "What is the validation loss with the highest learning rate?", number(highest_rate_loss, within=0.1),
        "pretrain_news(corpus, seed=100, model=scaling.sized(48), settings=scaling.settings(104, rate), rows=...)",
        "compare it with the row of the table: a rate that is wrong for one of two models decides a comparison that nobody meant",
    ),
    Exercise(
        "05.4", 20, "How would you spend 1e13 FLOPs?", Checker(plan_for_a_budget, "a pair (N, D)"),
        "fit the law as in the chapter; for each N in the range, D is 1e13 / 6 / N; take the lowest",
        "the law says so; two or three runs around it would say whether it is right",
    ),
]

# Chapter 06: using a pre-trained model


def nearest_in_repetition(answer: Any) -> bool:
    """Exercise 06.2: a decoder whose recorded texts of the real model repeat as much as real text, or nearly the nearest to it."""
    import numpy as np

    from lmtutor import runs

    texts = runs.load("ch06_texts").results["texts"]
    share = {name: np.mean(found["repeated"]) for name, found in texts.items()}
    real = share.pop("the real text")
    away = {name: abs(one - real) for name, one in share.items()}
    return away.get(as_word(answer), 1.0) <= min(away.values()) + 0.002  # 40 texts can't tell less apart


@cache
def adjectives_without_patterns() -> float:
    """Exercise 06.3: adjectives of unseen pairs that the run without pattern documents translates rightly."""
    from lmtutor import pretrain, uses

    model, _, world = pretrain.load_checkpoint("no_patterns")
    right = uses.tiny_world_uses(model, world, seed=pretrain.REPORTED, n_pairs=20)
    return float(right["unseen pairs, adjective"].mean())


def own_form(answer: Any) -> bool | str:
    """Exercise 06.4: a form of a question that no document has, and that the released model answers."""
    import numpy as np

    from lmtutor import pretrain, uses

    if not (isinstance(answer, tuple) and len(answer) == 2 and all(isinstance(part, str) for part in answer)):
        return "give a pair of texts: what stands before the question and what stands after it"
    before, after = (part.split() for part in answer)
    if (" ".join(before), " ".join(after)) in uses.FORMS.values():
        return "this form is in the chapter; find another one"
    if before[-2:] == ["question", ":"] and after[-2:] == ["answer", ":"]:
        return "both marks of the text are in it; do without one of them at least"
    model, _, world = pretrain.load_checkpoint()
    if unknown := [word for word in (*before, *after) if word not in world.words]:
        return f"the world has no word {unknown[0]!r}; use its own, see world.words"
    probe = uses.questions_in_form(world, "as in the text")
    before, after = ([world.words.index(word) for word in part] for part in (before, after))
    prompts = [[prompt[0], *before, *prompt[3:-2], *after] for prompt in probe.prompts]
    share = np.mean(uses.by_length(model, prompts, 1)[:, 0] == probe.answers)
    return bool(share >= 0.5) or f"the first word is right for {share:.0%} of the questions; half is asked for"


EXERCISES += [
    Exercise(
        "06.1", 3, "What is the probability of the likeliest of 0.5, 0.3, 0.15, 0.05 after top-p with p = 0.75?",
        number(0.625, within=0.005),
        "0.5 alone holds less than 0.75, so one more token stays; then divide by what the two hold",
        "two tokens stay, and 0.5 / 0.8 = 0.625: what was cut goes to those that stay, in proportion",
    ),
    Exercise(
        "06.2", 5, "Which decoder's texts repeat most nearly as much as real text, on the real model?",
        Checker(nearest_in_repetition, "the decoder's name in quotes"),
        "compare of_llm(name, 'repeated').mean() with of_llm('the real text', 'repeated').mean()",
        "now compare the surprise: being near in one number does not make it near in the other",
    ),
    Exercise(
        "06.3", 10, "How many adjectives does the run without pattern documents translate rightly?",
        number(adjectives_without_patterns, within=0.05),
        "uses.tiny_world_uses(model, world, seed=pretrain.REPORTED, n_pairs=20)['unseen pairs, adjective'].mean()",
        "compare with the released run, which read less of the parallel text; but this is one run of each",
    ),
    Exercise(
        "06.4", 20, "Find a form of your own that no document has and that the model answers", own_form,
        "keep what stands right before the place of the answer, and change the rest",
        "what works is what looks like a place where the text had an answer; change one word at a time to see which",
    ),
]

# Chapter 07: transfer and labels


def spread_with_4_labels() -> float:
    """Exercise 07.1: points between the lowest and the highest seed with 4 labels, sentiment, full."""
    from lmtutor import runs

    rates = [runs.from_digits(r["right"]).mean() for r in runs.load("ch07_labels").results["runs"]
             if (r["task"], r["arm"], r["n"]) == ("sentiment", "pre-trained, full", 4)]
    return 100 * (max(rates) - min(rates))


def topics_of_tiny_world():
    from lmtutor import finetune, pretrain
    from lmtutor.data import tinyworld

    world = tinyworld.World(seed=pretrain.metrics()["seed"])
    stream = tinyworld.stream(world, pretrain.N_TOKENS, seed=world.seed)
    return world, {name: finetune.world_task(world, name, seed=1, stream=stream, n_pool=1200) for name in finetune.LABELS}


@cache
def random_features_accuracy() -> float:
    """Exercise 07.2: a probe with 256 labels on the features of a model that has read nothing."""
    from lmtutor import finetune

    world, tasks = topics_of_tiny_world()
    task, model = tasks["topic"], finetune.start_model("random", seed=0)
    shown = finetune.world_rows(world, finetune.draw_labelled(task.pool, 256, seed=0), task.labels)
    asked = finetune.world_rows(world, task.test, task.labels)
    found = finetune.probe(finetune.features(model.model, shown), shown[:, -1], finetune.features(model.model, asked))
    return float((found == asked[:, -1]).mean())


@cache
def wrong_labels_accuracy() -> float:
    """Exercise 07.3: full fine-tuning on 64 sentiment labels of which four are wrong."""
    from lmtutor import finetune, runs

    world, tasks = topics_of_tiny_world()
    task = tasks["sentiment"]
    setting = next(r["setting"] for r in runs.load("ch07_labels").results["runs"]
                   if (r["task"], r["arm"], r["n"]) == ("sentiment", "pre-trained, full", 64))
    shown = finetune.world_rows(world, finetune.draw_labelled(task.pool, 64, seed=0), task.labels)
    shown[:4, -1] = 1 - shown[:4, -1]
    asked = finetune.world_rows(world, task.test, task.labels)
    model = finetune.start_model("released", seed=0)
    classifier = finetune.Classifier(model.model, finetune.new_head(model.config.hidden_size, 2))
    finetune.fit(classifier, shown, lr=setting["lr"], steps=finetune.STEPS, batch_size=32, seed=0)
    return float((finetune.predict(classifier, asked).argmax(1) == asked[:, -1]).mean())


def own_task(answer: Any) -> bool | str:
    """Exercise 07.4: sentences of Tiny World with two labels that the text never names."""
    from lmtutor import pretrain
    from lmtutor.data import tinyworld
    from lmtutor.prompts import Item

    if not isinstance(answer, (list, tuple)) or not all(isinstance(item, Item) for item in answer):
        return "give a list of prompts.Item: text and label"
    if len(answer) < 200:
        return f"it has {len(answer)} items; make at least 200"
    if len({item.text for item in answer}) < len(answer):
        return "a sentence is there twice: a model could know it by heart"
    counts = {label: sum(item.label == label for item in answer) for label in {item.label for item in answer}}
    if len(counts) != 2 or min(counts.values()) < 0.4 * len(answer):
        return f"the labels are {counts}; take two, each on 40% of the items or more"
    words = set(tinyworld.World(seed=pretrain.metrics()["seed"]).words)
    unknown = {w for item in answer for w in item.text.split()} - words
    if unknown:
        return f"not words of this world: {', '.join(sorted(unknown)[:5])}"
    return not any(item.label in item.text.split() for item in answer) or "a label stands in its own sentence"


EXERCISES += [
    Exercise(
        "07.1", 3, "How many points lie between the lowest and the highest seed with 4 labels?",
        number(spread_with_4_labels, within=1),
        "rates = right('sentiment', 'pre-trained, full', 4).mean(axis=1); then 100 * (max - min)",
        "which four sentences are labelled decides: a single run with so few says little about the method",
    ),
    Exercise(
        "07.2", 5, "What does a probe reach on a model that has read nothing?", number(random_features_accuracy, within=0.06),
        "finetune.features(start_model('random', seed=0).model, rows), then finetune.probe; accuracy as a fraction",
        "random features keep which words stood there, so a probe can count words: compare probes with this, not with chance",
    ),
    Exercise(
        "07.3", 10, "What does full fine-tuning reach when 4 of 64 labels are wrong?", number(wrong_labels_accuracy, within=0.05),
        "flip rows[:4, -1], then Classifier, fit with the recorded lr, STEPS steps and batch_size=32, and predict",
        "compare it with the record's accuracy for 64 right labels: that is what 4 wrong ones cost here",
    ),
    Exercise(
        "07.4", 20, "Make a task of your own with two labels", own_task,
        "for example [Item(sentence, 'one' or 'many')], balanced, each sentence once",
        "well formed; now draw the labels for a few seeds before you believe a number",
    ),
]

# Chapter 08: what moves, how far, and what is lost


def most_lost_probe(answer: Any) -> bool:
    """Exercise 08.2: the probe that loses most when facts about people are taught with full fine-tuning."""
    import numpy as np

    from lmtutor import runs

    found = runs.load("ch08_ways").results
    rows = [r["left"] for r in found["runs"] if (r["lesson"], r["way"]) == ("people", "full")]
    lost = {name: found["before"][name] - np.mean([row[name] for row in rows]) for name in rows[0]}
    return as_word(answer) == max(lost, key=lost.get)


def taught_people(seed: int, **settings) -> tuple[float, float]:
    """Teach facts about 20 people to the released model in a way of one's own: (learned, kept), fractions."""
    import numpy as np

    from lmtutor import forgetting, pretrain, probes

    model, _, world = pretrain.load_checkpoint()
    new = forgetting.lesson(world, "people", "test", seed=seed)
    model, _ = forgetting.teach(model, new.rows, seed=seed, old=forgetting.old_text(world.seed), **settings)
    asked = {name: forgetting.asked_again(world.seed)[name] for name in forgetting.KNOWN}
    found = probes.run(model, {"new": new.asked, **asked})
    return float(found["new"].free.mean()), float(np.mean([found[name].accuracy for name in forgetting.KNOWN]))


@cache
def kept_with_more_replay() -> float:
    """Exercise 08.3: what is kept with 30% replay at the recorded learning rate."""
    from lmtutor import runs

    lr = next(r["lr"] for r in runs.load("ch08_ways").results["runs"] if (r["lesson"], r["way"]) == ("people", "full"))
    return taught_people(50, lr=lr, replay=0.3)[1]


def learns_and_keeps(answer: Any) -> bool | str:
    """Exercise 08.4: settings that learn 95% and keep 97% on a seed that the reader did not choose."""
    allowed = {"lr", "rank", "replay", "steps"}
    if not isinstance(answer, dict) or "lr" not in answer or set(answer) - allowed:
        return f"give a dictionary with lr and perhaps {', '.join(sorted(allowed - {'lr'}))}"
    if answer.get("steps", 120) > 240:
        return "at most 240 steps"
    learned, kept = taught_people(1061, **answer)
    return (learned >= 0.95 and kept >= 0.97) or f"on the check's seed it learns {learned:.0%} and keeps {kept:.0%}"


EXERCISES += [
    Exercise(
        "08.1", 3, "What is the gradient at the logit of the right word?", number(-0.3, within=1e-6), "p - y, with y = 1 for the right word",
        "0.7 - 1: below zero, so a step against the gradient raises this logit",
    ),
    Exercise(
        "08.2", 5, "Which probe lost most after people, full?", Checker(most_lost_probe, "a word in quotes"),
        "compare record.results['before'][name] with the mean of r['left'][name] over of(chosen, 'people', 'full')",
        "the new facts are told in the words of the old ones",
    ),
    Exercise(
        "08.3", 10, "What is kept with 30% replay?", number(kept_with_more_replay, within=0.012),
        "forgetting.teach(..., lr=best['people', 'full'], replay=0.3, old=old, seed=50), then the mean accuracy of the KNOWN probes",
        "compare with 10%: this is what the further fifth of old text bought on this seed",
    ),
    Exercise(
        "08.4", 20, "Settings that learn 95% and keep 97%", Checker(learns_and_keeps, "a dictionary"),
        "a lower rate than the one that was best for the lesson alone, and some replay",
        "found by looking at both sides of the bill; the rate that learns most is not it",
    ),
]

# Chapter 09: LoRA on a real model


def training_in_queries() -> float:
    """Exercise 09.2: how many queries of 65 tokens cost as much as three passes of LoRA over 160 texts."""
    from lmtutor import costs

    shape = costs.Shape(layers=30, width=576, heads=9, kv_heads=3, head=64, mlp=1536, vocabulary=49_152)
    once = 3 * 160 * costs.training_flops(shape, 65, layers=8, rank=8, answers=5, cached=True)
    return once / costs.forward_flops(shape, 65)


def small_update(answer: Any) -> bool | str:
    """Exercise 09.4: weights trained, accuracy on dev articles and share of right opposites of an update of the reader's own."""
    import numpy as np

    from lmtutor import runs

    if not isinstance(answer, tuple) or len(answer) != 3 or not all(0 <= as_number(x) <= 1 for x in answer[1:]):
        return "give a tuple: weights trained, and two fractions, accuracy on the dev articles and share of right opposites"
    recorded = runs.load("ch09_specialists").results["tasks"]["bbc"]["runs"]
    kept = np.mean([runs.from_digits(run["others"]["opposites"]).mean() for run in recorded])
    size, dev, opposites = map(as_number, answer)
    if not 0 < size <= recorded[0]["trained"] / 4:
        return f"{size:,.0f} weights; at most {recorded[0]['trained'] // 4:,}, a quarter of the chapter's"
    if dev < 0.85:
        return "below 85% on the dev articles: it has not learned enough"
    return opposites >= kept - 0.05 or f"the recorded runs keep {kept:.0%} of the opposites on average; this one loses too many"


EXERCISES += [
    Exercise(
        "09.1", 3, "How many weights does LoRA of rank 4 add beside a matrix of 576 by 1,536?", number(4 * (576 + 1536), within=0),
        "A is 4 by 576 and B is 1,536 by 4, or the other way round",
        "r (d_in + d_out): against 884,736 weights of the matrix itself",
    ),
    Exercise(
        "09.2", 5, "To how many queries do three passes over 160 texts correspond?",
        number(training_in_queries, within=15),
        "3 * 160 * kept / costs.forward_flops(shape, 65), with the shape of the model and 65 tokens",
        "a training that sounds expensive is soon paid back where there are many queries",
    ),
    Exercise(
        "09.3", 10, "What does LoRA of rank 1 reach on the test articles?", number_between(0.7, 1.0),
        "fit_lora(news, shown, lr=best['bbc'], rank=1, seed=7), then right(news, classifier).mean() and lora.detach",
        "the rank is a size, not a dose: this task needs few directions",
    ),
    Exercise(
        "09.4", 20, "Find a small update that learns the topics and keeps the opposites", small_update,
        "lower the rank, or train fewer layers with Reader(..., layers=4); measure everything on the same adapted model",
        "a quarter of the weights or fewer did it here: the size of an update is a setting like any other",
    ),
]

# Chapter 10: from continuing to answering


@cache
def keys_of_others() -> float:
    """Exercise 10.2: share of LoRA's answers about untold topics that name the key of a taught one."""
    from lmtutor import assistant, runs
    from lmtutor.data import support

    found, taught = runs.load("ch10_desk").results["runs"], support.split()["taught"]
    said = [text for run in found for text in run["untold"]["said"]]
    return sum(any(assistant.names_key(text, topic) for topic in taught) for text in said) / len(said)


@cache
def swapped_marks() -> float:
    """Exercise 10.3: right answers of a model tuned on 48 chats when the marks of the turns are swapped."""
    import numpy as np

    from lmtutor import knowledge, pretrain, runs, sft

    model, _, world = pretrain.load_checkpoint()
    turns, _ = knowledge.chats(world, knowledge.people_of(world, "train"))
    drawn = np.random.default_rng(50).permutation(len(turns))[:48]
    sft.fine_tune(model, sft.example_rows(knowledge.ids_of(world, [turns[i] for i in drawn])), lr=1e-3, steps=60, seed=50)
    asked, attributes = knowledge.chats(world, knowledge.people_of(world, "test"))
    swapped = [([p[0], p[-1], *p[2:-1], p[1]], a) for p, a in asked]
    return float(runs.from_digits(knowledge.free_answers(model, knowledge.as_probe(world, swapped, attributes))).mean())


def blind_judgement(answer: Any) -> bool | str:
    """Exercise 10.4: a filled sheet with the order of its answers."""
    from lmtutor import assistant
    from lmtutor.errors import DataError

    if not isinstance(answer, tuple) or len(answer) != 2 or not all(isinstance(part, list) for part in answer):
        return "give the pair (sheet, first)"
    sheet, first = answer
    if len(sheet) < 12 or len(first) != len(sheet):
        return f"the sheet has {len(sheet)} rows; judge all twelve"
    try:
        counts = assistant.ab_result(sheet, first)
    except (DataError, KeyError, TypeError) as problem:
        return str(problem)
    print(f"LoRA better {counts['one']}, the sentence in the prompt better {counts['other']}, same {counts['same']}")
    return True


EXERCISES += [
    Exercise(
        "10.1", 3, "How many tokens are asked for?", number(4, within=0), "the answer's, each of them, the end mark too",
        "the first is foretold from the last token of the prompt, the end mark from the answer's last word",
    ),
    Exercise(
        "10.2", 5, "Which share of answers about untold topics names a taught topic's key?", number(keys_of_others, within=0.01),
        "any(assistant.names_key(text, topic) for topic in topics['taught']) for each text of r['untold']['said']",
        "it answers with what it has; recall has no way to find nothing",
    ),
    Exercise(
        "10.3", 10, "What is right when the marks of the turns are swapped?", number(swapped_marks, within=0.12),
        "prompts are [<eos>, user, question ..., assistant]; exchange places 1 and -1, then knowledge.as_probe and free_answers",
        "a template is part of what was learned: ask a tuned model in the very form it was tuned with",
    ),
    Exercise(
        "10.4", 20, "Judge twelve pairs of answers blind", blind_judgement,
        "row['better'] = 'A', 'B' or 'same' for each row of the sheet",
        "now look at the questions on which you and the key disagree",
    ),
]

# Chapter 11: prompting a real model


def luck_of_wordings() -> float:
    """Exercise 11.2: how far the best of 24 equal wordings is above the worst on 100 items, on average."""
    import numpy as np

    scores = np.random.default_rng(0).binomial(100, 0.5, (10_000, 24)) / 100
    return float(np.ptp(scores, axis=1).mean())


def own_wording(answer: Any) -> bool | str:
    """Exercise 11.4: a template of the reader's own with two values of macro-F1."""
    from lmtutor.incontext import REVIEW
    from lmtutor.prompts import Template

    if not isinstance(answer, tuple) or len(answer) != 3 or not isinstance(answer[0], Template):
        return "give a tuple: your Template, its macro-F1 on dev, its macro-F1 on test"
    template, dev, test = answer
    if template == REVIEW:
        return "that is the book's own wording; change it"
    if not all(0 < as_number(score) <= 1 for score in (dev, test)):
        return "macro-F1 lies between 0 and 1; use MacroF1().compute(...)['macro_f1']"
    return as_number(dev) != as_number(test) or "the two numbers are equal to the last digit: measure test on its own"


EXERCISES += [
    Exercise(
        "11.1", 3, "Which label does contextual calibration choose?", one_of("politics"),
        "divide each label's probability by what it gets after the empty text, then compare",
        "the prompt leans to sport; the article moved politics above its usual share, and that is what is left",
    ),
    Exercise(
        "11.2", 5, "How far is the best of 24 equal wordings above the worst, on average?",
        number(luck_of_wordings, within=0.02),
        "divide the simulated counts by 100, take np.ptp of each row of 24, then the mean over the rows",
        "an average search over equal wordings has such a winner by luck alone: measure it again on other items",
    ),
    Exercise(
        "11.3", 10, "How often does the model copy when shown copying?", number_between(0.8, 1.0),
        "show Item(item.text, item.text) for the 8 drawn items, and count answers equal to the test item's text",
        "it follows what the prompt shows, although it knows the opposites: the demonstrations choose the task",
    ),
    Exercise(
        "11.4", 20, "Write a wording for the reviews that does better on dev; report it on test once", own_wording,
        "measure macro-F1 of your template on task.dev, keep the best, then once on task.test",
        "the dev value chose the winner, so it flatters; the test value is the one to believe",
    ),
]


# Chapter 12: where learning from the prompt comes from


def sooner_by() -> float:
    """Exercise 12.2: by how many steps one smeared layer jumps before two layers do, on average over the recorded seeds."""
    from lmtutor import induction, runs

    told = runs.load("ch12_induction")

    def jump(kind, seed):
        curve = told.results["runs"][f"{kind} {seed}"]["curve"]
        return induction.jump([x["step"] for x in curve], [x["accuracy"] for x in curve], half=curve[-1]["accuracy"] / 2)

    gaps = [jump("two layers", seed) - jump("one layer, smeared", seed) for seed in told.seeds]
    return sum(gaps) / len(gaps)


def finds_places(answer: Any) -> bool | str:
    """Exercise 12.3: the reader's function, on rows in which tokens come back several times."""
    import torch

    if not callable(answer):
        return "give the function itself, without calling it"
    for row in ([3, 1, 3, 1, 3], [5, 5, 5], [1, 2, 3, 1, 2]):
        ids = torch.tensor(row)
        given, n = answer(ids), len(row)
        if not torch.is_tensor(given) or given.dtype != torch.bool or given.shape != (n, n):
            return f"return a bool tensor of shape ({n}, {n}) for a row of {n} tokens"
        right = [[0 < key <= place and row[key - 1] == row[place] for key in range(n)] for place in range(n)]
        if given.tolist() != right:
            return f"for {row} it is not right yet; place 0 has no predecessor, and nothing after a place has been read"
    return True


def own_switch(answer: Any) -> bool | str:
    """Exercise 12.4: what the reader expected of a switch of their own, what was seen, and the onsets."""
    if not isinstance(answer, dict) or set(answer) != {"expected", "seen", "onsets"}:
        return "give a dict with 'expected', 'seen' and 'onsets'"
    if min(len(as_word(answer[key]).split()) for key in ("expected", "seen")) < 4:
        return "say in a sentence what you expected, and in another what you saw"
    if not isinstance(answer["onsets"], (list, tuple)) or len(answer["onsets"]) < 2:
        return "one seed says little about an onset: give at least two"
    return all(one is None or as_number(one) > 0 for one in answer["onsets"])


EXERCISES += [
    Exercise(
        "12.1", 2, "What does guessing among the row's other tokens get?", number(1 / 15, within=0.001),
        "sixteen tokens, less the present one", "it is the dashed line: what knowing the row without matching is worth",
    ),
    Exercise(
        "12.2", 5, "By how many steps does one smeared layer jump before two layers do?", number(sooner_by, within=15),
        "the mean over the seeds of half_way('two layers', s)[0] - half_way('one layer, smeared', s)[0]",
        "smearing hands each place its predecessor from the first step on; a head of the first layer has to learn it",
    ),
    Exercise(
        "12.3", 10, "Write the places that an induction head should look at", finds_places,
        "compare ids[:, None] with ids[None, :-1], shifted by one place; then keep what lies in the past",
        "with this table any head can be scored, in any model whose attention can be read",
    ),
    Exercise(
        "12.4", 20, "Switch off something of your own", own_switch,
        "origins.SWITCHES['mine'] = Variant('...', stream={'without': ('echo',)}), then origins.learn(seed, 'mine', 420, ...)",
        "what you said before you looked is worth more than what one can say afterwards",
    ),
]


# Chapter 13: learning inside the prompt


@cache
def nearer_to_ridge() -> float:
    """Exercise 13.2: share of prompts about a model's own 64 lines that it answers nearer to ridge than to the best guess among them."""
    import numpy as np

    from lmtutor import regression, runs

    noise, shares = 0.5, []
    for run in (r for r in runs.load("ch13_few_tasks").results["runs"] if r["tasks"] == 64):
        known = regression.pool(64, run["seed"])
        given = regression.test_prompts(noise=noise, tasks=known)
        said = np.array(run["kinds"]["its own lines"]["said"]["8"])
        guess, fit = regression.known_tasks(given, known, noise)[:, 8], regression.ridge(given, noise**2)[:, 8]
        shares.append(np.mean((said - fit) ** 2 < (said - guess) ** 2))
    return float(np.mean(shares))


@cache
def reader_of_ten() -> float:
    """Exercise 13.3: right answers about unseen concepts by an exact reader that knows ten concepts."""
    from lmtutor import hmm

    world = hmm.World(seed=0)
    given = hmm.prompts(world, 200, 8, 5, seed=3, concepts=world.unseen)
    return float((hmm.reader_of_documents(world, given.ids, concepts=range(10)).words.argmax(axis=1) == given.labels).mean())


def breaking_inputs(answer: Any) -> bool | str:
    """Exercise 13.4: a trained `PointReader` with inputs of the usual size on which it breaks and least squares does not."""
    import numpy as np

    from lmtutor import regression

    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[0], regression.PointReader):
        return "give the pair (model, x)"
    model, x = answer[0], np.asarray(answer[1], dtype=float)
    if x.shape != (500, 12, 4) or not 0.9 <= float((x**2).mean()) <= 1.1:
        return f"x has shape {x.shape} and mean square {float((x**2).mean()):.2f}; wanted are (500, 12, 4) and 0.9 to 1.1"
    truth = np.einsum("npd,nd->np", x, np.random.default_rng(13).standard_normal((500, 4)))
    own = regression.Problems(x, truth, truth, float((truth[:, 8] ** 2).mean()))
    usual = regression.test_prompts()
    if regression.error(regression.ridge(own, 0.0), own)[:, 8].mean() > 1e-6:
        return "least squares is not exact there either: the eight points before have to tell w"
    here, there = (float(regression.error(regression.answers(model, given), given)[:, 8].mean()) for given in (own, usual))
    if there > 0.5:
        return f"the model has an error of {there:.2f} on ordinary prompts: train it first, as in the chapter"
    return here >= 2 * there or f"error {here:.2f} there, {there:.2f} on ordinary prompts: not twice as much"


EXERCISES += [
    Exercise(
        "13.1", 3, "Which w does ridge of strength 1 find?", number(8 / 6, within=0.01),
        "the sum of x y divided by the sum of x x plus the strength",
        "8 / (5 + 1): the strength acts like one more point at x = 1 with y = 0",
    ),
    Exercise(
        "13.2", 5, "Trained on 64 lines, how often is one of them answered nearer to ridge?", number(nearer_to_ridge, within=0.01),
        "for each run of 64: says([r], 8, \"its own lines\")[0] against regression.known_tasks and ridge on the same prompts",
        "even on lines that it could know it fits a line more often than it recognises one, although recognising would pay",
    ),
    Exercise(
        "13.3", 10, "What does a reader of ten concepts get right about the five unseen ones?", number(reader_of_ten, within=0.01),
        "hmm.reader_of_documents(world, given.ids, concepts=range(10)).words.argmax(axis=1) == given.labels",
        "nothing about the prompts changed, only what the reader holds possible: recognition ends where its list ends",
    ),
    Exercise(
        "13.4", 20, "Find inputs of the usual size that break the model and not least squares", breaking_inputs,
        "let the points differ in size: the first eight small, the others large enough to keep the mean square",
        "the size of all inputs together was as in training; what the model met in training is more than that one number",
    ),
]


# Chapter 14: dialogue, completion and cost


def own_policy(answer: Any) -> bool | str:
    """Exercise 14.3: a policy of the reader's own, on dialogues that are not in the record."""
    from lmtutor import dialogue, llm
    from lmtutor.uses import holds

    if not callable(answer):
        return "give the function itself, without calling it"
    if answer in dialogue.POLICIES.values():
        return "that is one of the book's own; write another"
    tokenizer, room, kept = llm.load_llm()[1], 160, {"own": 0, "nearest": 0}
    for seed in range(200, 220):
        talk = dialogue.script(seed)
        size = dialogue.sizes(tokenizer, talk.turns)
        for name, (value, _, _, _) in talk.facts.items():
            for who, policy in (("own", answer), ("nearest", dialogue.keep_nearest)):
                found = policy(talk.turns, dialogue.KINDS[name].question, size, room)
                if not isinstance(found, dialogue.Kept) or found.notes or len(set(found.turns)) < len(found.turns):
                    return "return dialogue.Kept(turns=(...)) with the places of whole turns, each once, and no notes"
                if sum(size[i] for i in found.turns) > room:
                    return f"it took more than the room: {sum(size[i] for i in found.turns)} tokens of {room}"
                kept[who] += any(holds(talk.turns[i].user, value) for i in found.turns)
    return kept["own"] > kept["nearest"] or f"it keeps {kept['own']} of 120 facts, the nearest turns keep {kept['nearest']}"


EXERCISES += [
    Exercise(
        "14.1", 3, "By which factor are fewer tokens read when the demonstrations are kept?", number(40.0, within=0.1),
        "all tokens of the prompt, divided by those of the question alone",
        "(41 * 98 + 103) / 103: that is why the published cost of a GPT-3 query depends so much on what is kept",
    ),
    Exercise(
        "14.2", 10, "How much less does one offered word save than three?", number_between(0.07, 0.16),
        "for each of the ten: saved(keyboard, scores, text) - saved(keyboard, scores, text, offers=1); then the mean",
        "the second and third word are worth a good deal, as the first is so often not the one that was meant",
    ),
    Exercise(
        "14.3", 20, "Write a policy that keeps the asked fact more often than the nearest turns", own_policy,
        "a question about a city could also look for turns with other words: lived, moved, home",
        "what a search finds depends on the words that it looks for; more of them, or word vectors, find more",
    ),
]


# Chapter 14, its last section: from the prompt into the weights


def two_prompts(answer: Any) -> bool | str:
    """Exercise 14.4: a model with two mappings baked in that still knows its facts."""
    import torch

    from lmtutor import forgetting, handover, pretrain, probes
    from lmtutor.data import tinyworld

    if not isinstance(answer, torch.nn.Module) or not hasattr(answer, "lm_head"):
        return "give the model itself"
    world = tinyworld.World(seed=pretrain.metrics()["seed"])
    asked = {"facts": forgetting.asked_again(world.seed)["facts"]}
    for seed in (50, 51):
        told = handover.mapping(world, "practised classes", 0, seed=seed)
        asked[str(seed)] = handover.as_probe(world, told, [], told.labels)
    free = {name: result.free for name, result in probes.run(answer, asked).items()}
    if min(free["50"].sum(), free["51"].sum()) < 6:
        return f"of eight words each it has {free['50'].sum()} and {free['51'].sum()} right; six are wanted of both"
    return bool(free["facts"].mean() >= 0.9) or f"it names {free['facts'].mean():.0%} of the facts; nine in ten are wanted"


EXERCISES += [
    Exercise(
        "14.4", 20, "Bake in two prompts, and keep the facts", two_prompts,
        "absorb both teachers' answers in one call, among other words with the model's own answers; see handover.hold",
        "what is to stay has to be among the targets: training knows only what it is shown",
    ),
]

# Chapter 15: head to head


def lora_runs_below_commonest() -> int:
    """Exercise 15.2: recorded LoRA runs on reviews that are less accurate than the commonest label."""
    import numpy as np

    from lmtutor import runs

    results = runs.load("ch15_reviews").results
    truth = np.array(results["truth"])
    commonest = np.bincount(truth).max() / len(truth)
    return sum((np.array(r["predicted"]) == truth).mean() < commonest for r in results["runs"] if r["way"] == "LoRA")


def best_by_macro_f1(answer: Any) -> bool | str:
    """Exercise 15.3: the way with the highest mean macro-F1 on the reviews with 128 labels."""
    import numpy as np

    from lmtutor import compare, runs

    results = runs.load("ch15_reviews").results
    truth, scores = np.array(results["truth"]), {}
    for r in results["runs"]:
        if r["n"] in (0, 128) and r["predicted"]:
            score = compare.macro_f1(np.array(r["predicted"]), truth, len(results["labels"]))
            scores.setdefault(r["way"], []).append(score)
    best = max(scores, key=lambda way: np.mean(scores[way]))
    return as_word(answer) in scores and as_word(answer) == best


def own_way(answer: Any) -> bool | str:
    """Exercise 15.4: a `compare.Way` of the reader's own that answers a few articles."""
    import numpy as np

    from lmtutor import compare, llm
    from lmtutor.costs import Bill

    if not isinstance(answer, compare.Way):
        return "give a compare.Way(answer=your function, settings=...)"
    bench = compare.built_in("bbc", *llm.load_llm(), n_dev=10, n_test=10, n_pool=20)
    shown = bench.draw(10, 0)
    predicted, bill = answer.answer(bench, shown, bench.task.test, answer.settings[0], 0)
    if np.shape(predicted) != (10,) or not set(np.asarray(predicted).tolist()) <= set(range(5)):
        return "its first result must be one label number for each of the items"
    return isinstance(bill, Bill) and bill.labels == len(shown) or "its second result must be a Bill with the labels it used"


EXERCISES += [
    Exercise(
        "15.1", 3, "From how many queries on is the trained way the cheaper one?", number((4e13 - 2000 * 2.7e8) / (50 * 1e7), within=500),
        "the question's own 50 tokens cancel; what is paid once differs by 4e13 less the reading of the prompt, a query by 50 * 1e7",
        "the kept prompt costs little per query, so training needs many of them to pay: about 79,000 here",
    ),
    Exercise(
        "15.2", 5, "How many LoRA runs on reviews are below always saying the commonest label?", number(lora_runs_below_commonest, within=0),
        "np.bincount(truth).max() / len(truth) is the line; count the runs with way 'LoRA' below it",
        "a run that learned the rare classes loses accuracy to one that ignores them: look at macro-F1 too",
    ),
    Exercise(
        "15.3", 10, "Which way has the highest mean macro-F1 on the reviews with 128 labels?", Checker(best_by_macro_f1, "a word in quotes"),
        "compare.macro_f1(np.array(predicted), truth, n_labels), mean over seeds; zero-shot runs have n = 0",
        "the metric is part of the question: who wins depends on whether the rare class counts",
    ),
    Exercise(
        "15.4", 20, "Add a way of your own", own_way,
        "def answer(bench, shown, items, setting, seed): ...; return predictions, Bill(labels=len(shown))",
        "it answers; now compare.compare(bench, {32: [0]}) would put it on the table if it were in compare.ways",
    ),
]


def ids(chapter: str) -> list[str]:
    """The ids of a chapter's exercises, in order."""
    return [exercise.id for exercise in EXERCISES if exercise.id.startswith(f"{chapter}.")]


def check(id: str, answer: Any) -> None:
    """Print whether `answer` is right: `not tried yet`, `not yet: hint` or `yes: why`.

    Parameters
    ----------
    id : str        as in the chapter, "03.2"
    answer : Any    `...`, as the starter cells have it, means not tried
    """
    exercise = next((exercise for exercise in EXERCISES if exercise.id == id), None)
    if exercise is None:
        known = ids(str(id).partition(".")[0]) or [exercise.id for exercise in EXERCISES]
        raise ConfigError(f"there is no exercise {id!r}; choose one of {', '.join(known) or '(none yet)'}")
    if answer is ...:
        return print("not tried yet")
    try:
        verdict = exercise.checker(answer)
        right, hint = (False, verdict) if isinstance(verdict, str) else (bool(verdict), exercise.hint)
    except Exception:  # an answer of a kind that the checker cannot read, never an error in the reader's face
        expects = getattr(exercise.checker, "expects", "another kind of answer")
        right, hint = False, f"{exercise.hint} (expected {expects}, got {type(answer).__name__})"
    print(f"yes: {exercise.why}" if right else f"not yet: {hint}")
