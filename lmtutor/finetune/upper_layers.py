"""A real model fine-tuned on a laptop: the frozen lower layers are run once, and what they say is kept."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lmtutor import runtime
from lmtutor.data.prompts import Item
from lmtutor.errors import ConfigError, TrainingError
from lmtutor.finetune import lora, sft
from lmtutor.finetune.classifier import Classifier, as_rows, fit, in_batches, label_word_head, pooled
from lmtutor.models.score import encode_text
from lmtutor.train import History


def body_of(lm: nn.Module) -> nn.Module:
    """The layers of a causal LM, without its head.

    Raises
    ------
    ConfigError    they aren't where Llama, Qwen, Gemma and our own model have them
    """
    body = getattr(lm, "model", None)
    if not all(hasattr(body, part) for part in ("embed_tokens", "layers", "norm")):
        raise ConfigError(f"{type(lm).__name__} has no .model with .embed_tokens, .layers and .norm, so its layers cannot be "
                          "split; use a model built like Llama, Qwen or Gemma 3, or ask this one by prompts alone")
    return body


def split(body: nn.Module, below: int) -> tuple[nn.Module, nn.Module]:
    """Two views of one body: its first `below` layers, and the rest with the final norm. They share its weights."""
    n = len(body.layers)
    if not 0 <= below < n:
        raise ConfigError(f"below is {below}, the model has {n} layers; give 0 to {n - 1}")
    lower, upper = copy.copy(body), copy.copy(body)
    above = body.layers[below:]
    if getattr(body.config, "layer_types", None):  # by its number a layer is told its kind: something keeps the places of those below
        through = nn.Module()
        through.forward = lambda hidden_states, *_, **__: hidden_states
        above = nn.ModuleList([*[through] * below, *above])
    for part, layers in ((lower, body.layers[:below]), (upper, above)):
        part._modules = dict(body._modules)
        part.layers = layers
    lower.norm = nn.Identity()
    return lower, upper


@torch.inference_mode()
def check_split(body: nn.Module, below: int) -> float:
    """Run a few tokens through the two parts and through the whole; by asking, no list of architectures is needed.

    Returns
    -------
    float    the largest difference among the final hidden states, as a share of the largest of them; rounding at most

    Raises
    ------
    ConfigError    they differ: the model does something between its layers that a split leaves out
    """
    window = getattr(body.config, "sliding_window", None) if getattr(body.config, "layer_types", None) else None
    n = min((window or 0) + 16, getattr(body.config, "max_position_embeddings", None) or 16)  # a window shows beyond its end alone
    ids = torch.arange(n, device=body.device)[None] % body.config.vocab_size
    lower, upper = split(body, below)
    whole = body(input_ids=ids, use_cache=False).last_hidden_state.float()
    parts = upper(inputs_embeds=lower(input_ids=ids, use_cache=False).last_hidden_state, use_cache=False).last_hidden_state.float()
    difference = float((parts - whole).abs().max() / whole.abs().max())
    if not difference < 1e-3:  # the same products in the same order: equal but for rounding; nan is refused too
        raise ConfigError(f"{type(body).__name__} split below layer {below} says something else than whole (by {difference:.1g} of "
                          "its largest value), so its upper layers cannot be trained alone; use another model, or prompts")
    return difference


@torch.inference_mode()
def lower_states(body: nn.Module, rows: np.ndarray, below: int, *, batch_size: int = 32) -> torch.Tensor:
    """What the first `below` layers say about each text: (N, T, d) in the model's own type.

    It is exact only while nothing in or below those layers changes.

    Raises
    ------
    ConfigError    this model cannot be split
    """
    check_split(body, below)
    lower, _ = split(body, below)
    states = torch.zeros(len(rows), rows.shape[1] - 2, body.config.hidden_size, dtype=body.dtype)
    for at in in_batches(rows, batch_size):
        batch = torch.from_numpy(rows[at])
        width = int(batch[:, -2].max())
        states[torch.from_numpy(at), :width] = lower(input_ids=batch[:, :width], use_cache=False).last_hidden_state
    return states.clone()  # of an inference tensor autograd may not keep track


def numbered(rows: np.ndarray) -> np.ndarray:
    """The rows of texts whose lower states are kept: (N, 3) of the text's number, its length, its label."""
    return np.column_stack([np.arange(len(rows)), rows[:, -2:]])


class Reader:
    """How a real model reads the texts of a task: their tokens, and what its frozen lower layers make of them, once.

    Parameters
    ----------
    lm, tokenizer : of `lmtutor.models.llm.load_llm`
    task : with `template`, `labels`, `pool`, `dev` and `test`, as `lmtutor.data.tasks.Task`
    layers : int    how many layers from the top may be trained; a smaller model has them all trained
    """

    def __init__(self, lm: nn.Module, tokenizer, task, *, layers: int = 8):
        self.lm, self.task, self.layers = lm, task, min(layers, len(body_of(lm).layers))
        self.items = [*task.pool, *task.dev, *task.test]
        self.place = {item: i for i, item in enumerate(self.items)}
        asked = [task.template.prompt([], item.text) for item in self.items]
        self.rows = as_rows([encode_text(tokenizer, text, begins=True) for text in asked],
                            [task.labels.index(item.label) for item in self.items])
        self.head = label_word_head(lm, [encode_text(tokenizer, task.template.choice(label))[0] for label in task.labels])

    @cached_property
    def states(self) -> torch.Tensor:
        """(N, T, d): after the layers that stay frozen."""
        return lower_states(self.lm.model, self.rows, self.lm.config.num_hidden_layers - self.layers)

    @cached_property
    def features(self) -> np.ndarray:
        """(N, d): the mean of the final hidden states, for a probe."""
        _, upper = split(self.lm.model, self.lm.config.num_hidden_layers - self.layers)
        found = np.zeros((len(self.rows), self.lm.config.hidden_size), np.float32)
        with torch.inference_mode():
            for at in in_batches(self.rows, 32):
                lengths = torch.from_numpy(self.rows[at, -2])
                states = self.states[torch.from_numpy(at), : int(lengths.max())]
                hidden = upper(inputs_embeds=states, use_cache=False).last_hidden_state.float()
                found[at] = pooled(hidden, lengths, "mean").numpy()
        return found

    def at(self, items: Sequence[Item]) -> np.ndarray:
        """(N,) int: where items stand among all texts."""
        return np.array([self.place[item] for item in items])

    def numbered(self, items: Sequence[Item]) -> np.ndarray:
        """Rows of items for a classifier that starts from `states`."""
        return numbered(self.rows)[self.at(items)]


def steps_for(n: int, batch_size: int = 16) -> int:
    """How long LoRA trains on n labels: at least 30 steps, at least two passes."""
    return max(30, -(-2 * n // batch_size))


def fit_lora(reader: Reader, shown: Sequence[Item], *, lr: float, seed: int, rank: int = 8, steps: int | None = None,
             name: str = "default", **settings):
    """Teach a real model one task with LoRA on its upper layers; the answer is a label word after the prompt.

    The layers below are frozen, so each text passes through them once and not in every step.

    Returns
    -------
    adapted : PeftModel       the reader's model with the update beside it, under `name`; `lora.detach` takes it off
    classifier : Classifier   for `reader.numbered(items)`
    history : History

    Raises
    ------
    TrainingError    the loss is not finite; the model is then as it was
    """
    states = reader.states  # of the model as it is, before anything is put beside it
    adapted = lora.adapt(reader.lm, rank=rank, alpha=2 * rank, layers=reader.layers, seed=seed, name=name)
    _, upper = split(reader.lm.model, reader.lm.config.num_hidden_layers - reader.layers)
    classifier = Classifier(upper, reader.head, pool="last", states=states)
    steps = steps_for(len(shown)) if steps is None else steps
    with _for_short_texts(adapted, reader.lm, autocast=runtime.has_bf16() and settings.get("dtype") != "float32"):
        try:
            history = fit(classifier, reader.numbered(shown), lr=lr, steps=steps, seed=seed, **settings)
        except TrainingError:
            lora.detach(adapted)  # an update that holds no numbers is of no use
            raise
    return adapted, classifier, history


def go_on_with_lora(reader: Reader, shown: Sequence[Item], *, checkpoint: str | Path, **settings):
    """`fit_lora` that may be stopped at any moment: the model is then as it was, without an update, and can be used.

    Called again with the same arguments it goes on from `checkpoint`, which is written every five seconds of training and
    deleted at the end.
    """
    lora.take_off(reader.lm)
    try:
        found = fit_lora(reader, shown, checkpoint=checkpoint, checkpoint_seconds=5, **settings)
    except BaseException:
        lora.take_off(reader.lm)
        raise
    Path(checkpoint).unlink(missing_ok=True)
    return found


@contextlib.contextmanager
def _for_short_texts(adapted, lm, *, autocast):
    """Two things that slow the training of short texts on a processor, switched off while it lasts.

    The backward pass of fused attention takes longer than that of attention written out, and peft turns each input to
    fp32 although autocast turns it back. Together 1.4 times the tokens a second (benchmarks/finetuning.py).
    """
    from peft.helpers import disable_input_dtype_casting

    fused = getattr(lm.config, "_attn_implementation", None) == "sdpa"
    if fused:
        lm.set_attn_implementation("eager")
    try:
        with disable_input_dtype_casting(adapted, active=autocast):
            yield
    finally:
        if fused:
            lm.set_attn_implementation("sdpa")


LAYERS, RANK, PASSES, BATCH = 8, 16, 8, 16


class FromStates(nn.Module):
    """The upper layers of a causal LM behind what its frozen lower layers said of N rows, for `lmtutor.finetune.sft`.

    Parameters
    ----------
    lm : causal LM
    rows : (N, 2, T) of `sft.example_rows`    `numbered` holds the same rows with their number in the place of their tokens
    layers : int    from the top, to be trained
    """

    def __init__(self, lm: nn.Module, rows: np.ndarray, layers: int):
        super().__init__()
        below = len(body_of(lm).layers) - layers
        # A row's tokens end where its last asked token is foretold
        ends = rows.shape[2] - (rows[:, 1, ::-1] != sft.UNASKED).argmax(axis=1)
        texts = as_rows([row[:end].tolist() for row, end in zip(rows[:, 0], ends, strict=True)])
        self.states = lower_states(lm.model, texts, below)
        self.body, self.lm_head = split(lm.model, below)[1], lm.lm_head
        self.numbered = rows.copy()
        self.numbered[:, 0] = np.arange(len(rows))[:, None]

    def model(self, numbers: torch.Tensor, use_cache: bool = False):
        """Hidden states of rows given by their numbers (B, T)."""
        return self.body(inputs_embeds=self.states[numbers[:, 0], : numbers.shape[1]], use_cache=use_cache)


def teach(lm: nn.Module, rows: np.ndarray, *, lr: float, seed: int, rank: int = RANK, layers: int = LAYERS, passes: int = PASSES,
          name: str = "default", checkpoint: Path | str | None = None, checkpoint_seconds: float = 5.0, **settings):
    """Teach a real model to answer, with LoRA on its upper layers; the loss asks for answers only.

    An interrupt leaves the model as it was, without the update. Called again with the same `checkpoint` file and rows it goes on
    from where the file was last written, at most `checkpoint_seconds` of training before the interrupt.

    Returns
    -------
    adapted : PeftModel    the model with its update beside it; `lora.detach` takes it off
    history : History
    """
    upper = FromStates(lm, rows, layers)
    adapted = lora.adapt(lm, rank=rank, alpha=2 * rank, layers=layers, seed=seed, name=name)
    steps = passes * -(-len(rows) // BATCH)
    try:
        with _for_short_texts(adapted, lm, autocast=runtime.has_bf16() and settings.get("dtype") != "float32"):
            history: History = sft.fine_tune(upper, upper.numbered, lr=lr, steps=steps, seed=seed, batch_size=BATCH,
                                             checkpoint=checkpoint, checkpoint_seconds=checkpoint_seconds, **settings)
    except BaseException:  # an interrupt too
        lora.detach(adapted)
        raise
    return adapted, history


def with_update(lm: nn.Module, fit_it, *, seed: int, rank: int = RANK, layers: int = LAYERS):
    """Put an update beside the upper layers and train it by a procedure of the caller's, in fp32, as `teach` does with answers.

    Parameters
    ----------
    lm : causal LM
    fit_it : () -> History    trains what isn't frozen, say a `FromStates` that was made of `lm` before; called once

    Returns
    -------
    adapted : PeftModel    the model with its update beside it; `lora.detach` takes it off
    history : History

    An interrupt leaves the model as it was, without the update.
    """
    adapted = lora.adapt(lm, rank=rank, alpha=2 * rank, layers=layers, seed=seed)
    try:
        with _for_short_texts(adapted, lm, autocast=False):
            history: History = fit_it()
    except BaseException:  # an interrupt too
        lora.detach(adapted)
        raise
    return adapted, history
