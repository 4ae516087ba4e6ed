"""What `lmtutor doctor --model` asks of a model that isn't the book's: does it load, read English, and give the numbers it should?"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from lmtutor import runtime
from lmtutor.cli.doctor import Finding
from lmtutor.errors import LmtutorError

ENGLISH = """The market stood at the end of a long street, and on Saturdays it was so full that carts had to wait outside. A woman \
who sold apples knew every child by name, and she kept the bruised ones for them in a basket under the table. When the rain came, \
people moved closer together and talked about prices, the harvest and the new road that was going to be built across the river.
"""
MOST = 300  # of perplexity: models of a hundred million parameters are near 30, and one that is lost is in the hundreds
QUERIES, CHOICES = ("On Monday", "The woman who sold apples said"), (" that", " nothing at all")
NATS = 1e-3  # 32-bit rounding is a hundredth of it


def examine_model(model: str) -> Iterator[Finding]:
    """Check a model as the book uses it, a line at a time; what one check cannot do doesn't stop the next."""
    from lmtutor.models.llm import load_llm

    runtime.set_threads()
    try:
        lm, tokenizer = load_llm(model)
    except LmtutorError as problem:
        yield Finding("model", "loads", "no", str(problem))
        return
    inside = lm.num_parameters() - lm.get_input_embeddings().weight.numel()
    yield Finding("model", "loads", f"{type(lm).__name__}, {lm.num_parameters() / 1e6:,.0f} M parameters, {inside / 1e6:,.0f} M without "
                                    f"its input embedding, {str(lm.dtype).removeprefix('torch.')}")
    checks = {"chat template": chats, "English": reads_english, "speed": speed, "memory": memory, "kept prefix": keeps_a_prefix,
              "split layers": splits}
    for what, check in checks.items():
        try:
            value, advice = check(lm, tokenizer)
        except Exception as problem:  # whatever a model that nobody here has seen may do
            value, advice = "fails", f"{type(problem).__name__}: {next(iter(str(problem).splitlines()), '')[:200]}"
        yield Finding("model", what, value, advice)


def chats(lm, tokenizer) -> tuple[str, str]:
    return "it has one" if tokenizer.chat_template else "none: what the book asks in a chat template can't be asked of it", ""


def reads_english(lm, tokenizer) -> tuple[str, str]:
    """Perplexity of a short text, as the model wants texts to begin and bare."""
    from lmtutor.models.losses import token_losses
    from lmtutor.models.score import encode_text, opening

    bare, mark = encode_text(tokenizer, ENGLISH), opening(tokenizer, ENGLISH)
    last = len(bare) - 1  # without a mark nothing stands before the first token
    opened, plain = (float(np.exp(token_losses(lm, np.array([row]))[0, -last:].mean())) for row in (mark + bare, bare))
    told = f"perplexity {opened:.0f} of {len(bare)} tokens"
    if not mark:
        advice = "" if plain < MOST else f"it should be below {MOST}: use a model that reads English"
        return f"{told}; its texts begin without a mark", advice
    told += f" after {tokenizer.decode(mark)}, {plain:.0f} without"
    return told, "" if opened < min(MOST, plain) else f"it should be below {MOST} and below that without the mark: look at its tokenizer"


def speed(lm, tokenizer) -> tuple[str, str]:
    """Tokens a second, reading one row of 256."""
    import torch

    ids = torch.arange(256)[None] % lm.config.vocab_size
    seconds = []
    with torch.inference_mode():
        for _ in range(3):
            start = time.perf_counter()
            lm(ids, use_cache=False, logits_to_keep=1)
            seconds.append(time.perf_counter() - start)
    return f"reads {256 / min(seconds):,.0f} tokens a second", ""


def memory(lm, tokenizer) -> tuple[str, str]:
    return f"{runtime.peak_memory_mb() / 1000:.1f} GB at the most so far", ""


def keeps_a_prefix(lm, tokenizer) -> tuple[str, str]:
    """Scores after a kept beginning against those of whole prompts, in 32 bits; longer than a window if the model has one."""
    import torch

    from lmtutor.models.score import encode_text, read_prefix, score_choices

    lm.float()
    wanted = (getattr(lm.config, "sliding_window", None) or 0) + 64
    prefix = read_prefix(lm, tokenizer, ENGLISH * -(-wanted // len(encode_text(tokenizer, ENGLISH))))
    kept = score_choices(lm, tokenizer, prefix, QUERIES, CHOICES).log_probs
    apart = 0.0
    for query, row in zip(QUERIES, kept, strict=True):
        for choice, found in zip(CHOICES, row, strict=True):
            answer = encode_text(tokenizer, choice)
            ids = torch.tensor([[*prefix.ids, *encode_text(tokenizer, query), *answer]])
            with torch.inference_mode():
                logits = lm(ids, use_cache=False, logits_to_keep=len(answer) + 1).logits[0, :-1]
                log_probs = logits.float().log_softmax(-1)
            apart = max(apart, abs(float(log_probs[range(len(answer)), answer].sum()) - float(found)))
    told = f"at most {apart:.0e} nat from the whole prompt, after {len(prefix.ids)} tokens"
    return told, "" if apart < NATS else "a kept prefix changes what it says: its numbers in the chapters on prompts would be wrong"


def splits(lm, tokenizer) -> tuple[str, str]:
    """Whether the upper layers can be trained alone, and whether the head is the product that a row of label words stands for."""
    import torch

    from lmtutor.finetune.upper_layers import body_of, check_split

    lm.float()
    try:
        body = body_of(lm)
        difference = check_split(body, max(0, len(body.layers) - 8))
    except LmtutorError as problem:
        return "no", str(problem)
    ids = torch.arange(16)[None] % lm.config.vocab_size
    with torch.inference_mode():
        logits = lm(ids, use_cache=False).logits
        product = lm.get_output_embeddings()(body(ids, use_cache=False).last_hidden_state)
    head = float((logits - product).abs().max() / logits.abs().max())
    told = f"parts and whole differ by {difference:.0e}, head and logits by {head:.0e} of the largest value"
    return told, "" if head < 1e-3 else "its logits are more than a product, so label words would be scored otherwise: ask by prompts alone"
