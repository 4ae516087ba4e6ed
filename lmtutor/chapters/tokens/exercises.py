"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from typing import Any

from lmtutor.classroom.exercises import Exercise, checker, number


def english_over_german() -> float:
    """Tokens of German sentences, cut by a tokenizer that read English over one that read German."""
    from lmtutor.data import parallel
    from lmtutor.models.tokens import train_bpe

    sentences = parallel.read()
    made = [sum(map(len, train_bpe(sentences[language][:25], 400)(list(sentences["german"][25:]), verbose=False)["input_ids"]))
            for language in ("english", "german")]
    return made[0] / made[1]


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
        3, "What does an untrained model with 50,257 tokens pay for one, in bits?", number(math.log2(50257), within=0.02),
        "every token has probability 1/50257; a nat is 1 / ln 2 bits",
        "log2 of the vocabulary: as many yes-or-no questions as it takes to name one of the tokens",
    ),
    Exercise(
        5, "Which share of SmolLM2-135M's weights is its vocabulary?", number(49152 * 576 / 134515008, within=0.005),
        "tokens times width, once; both are in the chapter",
        "about a fifth, in a model of this size; in one a thousand times larger the same matrix would be a small part",
    ),
    Exercise(
        10, "How many times as many tokens does the English tokenizer make of German?", number(english_over_german, within=0.02),
        "train_bpe(sentences['english'][:25], 400) and the same for German; count the tokens of sentences['german'][25:]",
        "same language, same sentences, other text read: what the tokenizer has read makes that much of the difference",
    ),
    Exercise(
        20, "Write a tokenizer that makes fewer tokens", own_tokenizer,
        "tokenizers.models.BPE with ByteLevel(use_regex=False), so that pieces may reach over spaces; or another method",
        "fewer tokens for the same vocabulary; whether a model learns more from them is another question",
    ),
]

check = checker(EXERCISES)
