"""What a way of teaching a model costs: labels, parameters, tokens, seconds, FLOPs, bytes; once and per query.

A FLOP is one multiplication or one addition. Matrix products are counted, and nothing else: they are nearly all of
the work of a transformer. A test compares the counts with torch's own counter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lmtutor.errors import ConfigError, DataError


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder that its FLOPs follow from."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int        # size of one head
    mlp: int         # hidden size of the gated MLP
    vocabulary: int

    @classmethod
    def of(cls, config) -> Shape:
        """Of a `transformers` configuration: Llama's, ours, or one with the same names.

        Raises
        ------
        ConfigError    the configuration lacks a size
        """
        try:
            heads = config.num_attention_heads
            head = getattr(config, "head_dim", None) or config.hidden_size // heads
            return cls(config.num_hidden_layers, config.hidden_size, heads,
                       getattr(config, "num_key_value_heads", None) or heads, head, config.intermediate_size,
                       config.vocab_size)
        except AttributeError as error:
            raise ConfigError(f"cannot count the FLOPs of this model: {error}; give a decoder with Llama's layout") from None

    @property
    def layer_weights(self) -> int:
        """Parameters in the matrices of one layer."""
        attention = self.width * self.head * 2 * (self.heads + self.kv_heads)
        return attention + 3 * self.width * self.mlp

    def layer_flops(self, tokens: int, past: int = 0) -> tuple[int, int]:
        """Of one layer's forward pass over a row: (products with weights, products of attention).

        Attention is counted as it is usually computed, masked half included; so is what lies outside a sliding window.
        """
        return 2 * tokens * self.layer_weights, 4 * tokens * (past + tokens) * self.heads * self.head


def forward_flops(shape: Shape, tokens: int, *, past: int = 0, outputs: int = 1, answers: int | None = None,
                  layers: int | None = None) -> int:
    """FLOPs to run one row through the model.

    Parameters
    ----------
    tokens : int     new tokens in the row
    past : int       tokens before them that are in the cache: a shared prompt is not computed again
    outputs : int    positions at which the head is asked
    answers : int    words of the vocabulary that it is asked for; None: all
    layers : int     how many layers are run; None: all
    """
    check_counts(tokens=tokens, past=past, outputs=outputs)
    weights, attention = shape.layer_flops(tokens, past)
    n_layers = shape.layers if layers is None else layers
    return n_layers * (weights + attention) + 2 * outputs * shape.width * (answers or shape.vocabulary)


def training_flops(shape: Shape, tokens: int, *, layers: int | None = None, rank: int | None = None,
                   adapted: int | None = None, outputs: int = 1, answers: int | None = None, cached: bool = False) -> int:
    """FLOPs of one forward and backward pass over one row.

    A trained matrix costs three products: forward, the gradient of its input, its own gradient. A frozen one between
    the loss and something that is trained costs two; a frozen one below all that is trained costs one.

    Parameters
    ----------
    layers : int     how many layers from the top are trained (or adapted); None: all
    rank : int       of LoRA's update; None: the layers' own matrices are trained
    adapted : int    sum of (inputs + outputs) over the matrices that LoRA adapts in one layer; None: all seven
    cached : bool    the frozen layers below were run once before: they cost nothing here
    """
    check_counts(tokens=tokens, outputs=outputs)
    trained = shape.layers if layers is None else layers
    if not 0 <= trained <= shape.layers:
        raise ConfigError(f"layers is {layers}, the model has {shape.layers}; give 0 to {shape.layers}")
    weights, attention = shape.layer_flops(tokens)
    head = 2 * outputs * shape.width * (answers or shape.vocabulary)
    below = 0 if cached else (shape.layers - trained) * (weights + attention)
    if rank is None:
        return below + trained * 3 * (weights + attention) + 3 * head
    update = 2 * tokens * rank * (lora_sizes(shape) if adapted is None else adapted)
    return below + trained * (2 * weights + 3 * attention + 3 * update) + 2 * head


def lora_sizes(shape: Shape, targets: tuple[str, ...] | None = None) -> int:
    """Sum of (inputs + outputs) over a layer's adapted matrices; times the rank it is LoRA's number of parameters."""
    inner, kv = shape.heads * shape.head, shape.kv_heads * shape.head
    sizes = {"q_proj": shape.width + inner, "k_proj": shape.width + kv, "v_proj": shape.width + kv,
             "o_proj": inner + shape.width, "gate_proj": shape.width + shape.mlp, "up_proj": shape.width + shape.mlp,
             "down_proj": shape.mlp + shape.width}
    unknown = set(targets or ()) - set(sizes)
    if unknown:
        raise ConfigError(f"no matrix is called {sorted(unknown)}; choose from {', '.join(sizes)}")
    return sum(sizes[name] for name in targets or sizes)


@dataclass(frozen=True)
class Bill:
    """What one way costs on one task: first what is paid once, then what every query pays."""

    labels: int = 0             # labelled examples paid for, those that chose a setting among them
    trained: int = 0            # parameters that were changed
    train_tokens: int = 0       # read while training, every pass counted
    train_seconds: float = 0.0
    train_flops: float = 0.0
    query_tokens: float = 0.0   # that a query adds, its prompt included
    query_flops: float = 0.0
    query_ms: float = 0.0
    stored_bytes: int = 0       # kept for this task, beside the model that all tasks share

    def total(self, queries: int, unit: str = "flops") -> float:
        """Cost of the training and of `queries` queries, in FLOPs or in seconds."""
        once, each = self.parts(unit)
        return once + queries * each

    def parts(self, unit: str = "flops") -> tuple[float, float]:
        """(paid once, paid per query), in "flops" or "seconds"."""
        if unit == "flops":
            return self.train_flops, self.query_flops
        if unit == "seconds":
            return self.train_seconds, self.query_ms / 1000
        raise ConfigError(f"unit is {unit!r}; choose 'flops' or 'seconds'")


def break_even(trained: Bill, prompted: Bill, unit: str = "flops") -> float:
    """The number of queries from which the way that pays once is the cheaper one.

    Returns
    -------
    float    0: it is cheaper from the start; infinity: never, since each of its queries costs as much or more
    """
    once, each = trained.parts(unit)
    other_once, other_each = prompted.parts(unit)
    if not all(math.isfinite(x) for x in (once, each, other_once, other_each)):
        raise DataError("a bill holds a number that is not finite; find out why first")
    if once <= other_once and each <= other_each:
        return 0.0
    if each >= other_each:
        return math.inf
    return max(0.0, (once - other_once) / (other_each - each))


def check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 0:
            raise ConfigError(f"{name} is {value}; give a number from 0")


def kv_bytes(shape: Shape, tokens: int, bytes_each: int = 2) -> int:
    """Keys and values of a shared prompt, kept so that it is not read for each query; `bytes_each` of one number, 4 in float32."""
    return 2 * shape.layers * shape.kv_heads * shape.head * tokens * bytes_each
