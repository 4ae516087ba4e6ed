"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker


def makes_the(answer: Any) -> bool | str:
    """Words with counts of which two merges make the piece `the`, though that word is not among them."""
    from lmtutor.chapters.tokens.merges import cut, learn

    if not isinstance(answer, Mapping) or not answer:
        return "give a dictionary, word -> how often it stands there: {'then': 3, ...}"
    if not all(isinstance(word, str) and word.isascii() and word.isalpha() and type(n) is int and n > 0 for word, n in answer.items()):
        return "each word is letters a to z, each count a whole number above 0"
    if "the" in answer:
        return "the word 'the' itself is among them; leave it out, its letters also stand together in longer words"
    if max(map(len, answer)) < 3:
        return "none of the words is long enough to hold t, h and e"
    merges = learn(answer, 2)
    if len(merges) == 2 and cut("the", merges) == ["the"]:
        return True
    first, *rest = ["+".join(pair) for pair in merges] or ["nothing"]
    return f"the first merge is {first}{', the second ' + rest[0] if rest else ''}; which pair of neighbours do you want to be the most frequent?"


def choices(answer: Any) -> bool | str:
    """A function from the probabilities that the right pieces got to the number of equally likely choices."""
    import numpy as np

    if not callable(answer):
        return "give the function itself, not its value: choices = lambda p: ..."
    rng = np.random.default_rng(0)
    for p in (np.full(5, 1 / 2048), np.array([1.0, 1.0]), rng.uniform(0.01, 1, 30)):
        found, right = float(answer(p)), float(np.exp(-np.log(p).mean()))
        if math.isclose(found, right, rel_tol=1e-6):
            continue
        cost = -np.log(p).mean()
        for wrong, hint in (
            (cost, "that is the mean cost in nats; how many equally likely choices would cost as much?"),
            (np.exp(-np.log(p).sum()), "that adds the costs up; take their mean, or a longer text looks harder"),
            (1 / p.mean(), "that averages the probabilities; average the costs, so that one piece held impossible counts in full"),
            (2 ** cost, "the chapter's cost is in nats, so its base is e"),
            (np.exp(-cost), "that is below 1: mind the sign of the logarithm"),
        ):
            if math.isclose(found, float(wrong), rel_tol=1e-6):
                return hint
        return f"for probabilities {np.round(p[:3], 3).tolist()} ... it says {found:.3g}; first each piece's cost, then the mean, then back"
    return True


def two_tokenizers(answer: Any) -> bool | str:
    """Two tokenizers of 400 tokens, learned from English and from German: which needs fewer pieces for German?"""
    from lmtutor.data import parallel

    if not isinstance(answer, (list, tuple)) or len(answer) != 2 or not all(map(callable, answer)):
        return "give both tokenizers: answer = (english_one, german_one)"
    if not all(len(tokenizer) == 400 for tokenizer in answer):
        return f"they have {len(answer[0])} and {len(answer[1])} tokens; train_bpe(texts, 400) makes 400"
    sentences = parallel.read()
    made = {language: [sum(map(len, tokenizer(list(sentences[language][25:]), verbose=False)["input_ids"])) for tokenizer in answer]
            for language in ("english", "german")}
    if answer[0].get_vocab() == answer[1].get_vocab():
        return "both have learned the same pieces; each has a text of its own to learn from"
    if made["english"][0] > made["english"][1]:
        return "the first cuts English into more pieces than the second: the one that read English comes first"
    if made["german"][1] >= made["german"][0]:
        return "the second needs as many pieces of German as the first; did it read the German sentences?"
    return made["german"][0] / made["german"][1] > 1.2 or "the German one saves little; let it read the first 25 German sentences, all of them"


def own_tokenizer(answer: Any) -> bool | str:
    """Functions that cut and join texts, with at most 2,048 tokens and fewer of them than byte pairs make."""
    from lmtutor.pretrain.news import read_news

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


EXERCISES = [
    Exercise(
        1, "Which words make `the` a piece in two merges?", Checker(makes_the, "a dictionary"),
        "two merges: first two of the three letters, then the third; longer words hold them side by side",
        "a piece is made by what stands side by side often, whether or not it is a word there",
    ),
    Exercise(
        3, "Among how many equally likely choices?", Checker(choices, "a function"),
        "each piece's cost is -log p; take the mean, then undo the logarithm",
        "this is perplexity: 1 for a model that is always sure and right, the vocabulary's size for one that knows nothing",
    ),
    Exercise(
        10, "Is it the language, or what the tokenizer has read?", Checker(two_tokenizers, "two tokenizers"),
        "train_bpe(sentences['english'][:25], 400) and the same for German",
        "same language, same sentences, other text read: what the tokenizer has read makes much of the difference",
    ),
    Exercise(
        20, "Write a tokenizer that makes fewer tokens", own_tokenizer,
        "must a piece end where a word ends? look at what ByteLevel's use_regex does",
        "fewer tokens for the same vocabulary; whether a model learns more from them is another question",
    ),
]

check = checker(EXERCISES)
