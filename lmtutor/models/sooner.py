"""The same results, sooner: while `sooner()` lasts, four inner steps of models and training are done in a faster form.

The book's own code is written to be read, and its records were made with it. Here the same sums are made in another order, equal but
for rounding. `lmtutor pretrain`, `compare` and `predict` run so, and the race; no chapter and no record of an experiment does.

* On a processor by AMD float32 products of layers without a bias go to oneDNN: torch's own choice, MKL, leaves its wider
  instructions unused.
* Muon makes the steps of all matrices of one shape orthogonal together, and not one after the other.
* The prefix of many questions is kept once for all rows of a batch, and not copied for each, in models of the kinds in `SHARING`.
* With `bits=8` products are made of 8-bit integers: the one change that moves answers.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Iterator

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.optim import _muon
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lmtutor import runtime
from lmtutor.errors import ConfigError
from lmtutor.models import score

_plain_linear, _plain_attention, _plain_read_prefix = nn.Linear.forward, ALL_ATTENTION_FUNCTIONS["sdpa"], score.read_prefix
_flash = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_lasting, _bits = False, None  # whether this lasts, and with how many bits

SHARING = ("llama", "qwen2", "qwen3", "mistral")  # kinds whose attention takes keys and values as the cache gives them; SmolLM2 is a llama


@contextlib.contextmanager
def sooner(*, bits: int | None = None) -> Iterator[None]:
    """Train, score and write sooner while this lasts.

    It exchanges methods of torch and transformers for the whole process and puts them back at the end, so it isn't for threads
    of which some should go without.

    Parameters
    ----------
    bits : None or 8    8: make products from 8-bit integers wherever no gradient is wanted, for processors without bfloat16. Answers
        change: benchmarks/README.md says how many. The weights are read when they are first needed, so they must not change within.

    Raises
    ------
    ConfigError    `bits` is something else, or torch has no 8-bit products on this processor
    """
    global _lasting, _bits
    if bits not in (None, 8):
        raise ConfigError(f"bits is {bits}; give 8, or None for the model's own type")
    if bits and not ("fbgemm" in torch.backends.quantized.supported_engines and hasattr(torch, "quantize_per_channel")):
        raise ConfigError("torch has no 8-bit products on this processor; leave bits out")
    bits, exchanged = bits or _bits, []
    if bits:
        exchanged.append((nn.Linear, "forward", _in_8_bits))
    elif _onednn_is_faster():
        exchanged.append((nn.Linear, "forward", _by_onednn))
    if hasattr(_muon, "_single_tensor_muon"):
        exchanged.append((_muon, "_single_tensor_muon", _muon_in_stacks))
    if _flash is not None:
        exchanged.append((score, "read_prefix", _read_shared_prefix))
    before = [getattr(of, name) for of, name, _ in exchanged], ALL_ATTENTION_FUNCTIONS["sdpa"], _lasting, _bits
    if bits and not _bits:
        _packed.clear()
    try:
        for of, name, new in exchanged:
            setattr(of, name, new)
        ALL_ATTENTION_FUNCTIONS["sdpa"], _lasting, _bits = _attention, True, bits
        yield
    finally:
        for (of, name, _), old in zip(exchanged, before[0], strict=True):
            setattr(of, name, old)
        ALL_ATTENTION_FUNCTIONS["sdpa"], _lasting, _bits = before[1:]


# Products


def _by_onednn(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    own = x.dtype == self.weight.dtype == torch.float32 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    if not own or x.dim() < 2 or self.bias is not None or torch.compiler.is_compiling():  # what compiles has products of its own
        return _plain_linear(self, x)
    return _Product.apply(x, self.weight)


class _Product(torch.autograd.Function):
    """x W^T and what it sends back, without the product for weights that stay as they are."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        back = _onednn(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        return back, gradient.flatten(0, -2).t() @ x.flatten(0, -2) if ctx.needs_input_grad[1] else None


def _onednn(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


def _onednn_is_faster() -> bool:
    """By the name of the processor, and not by a race, so that a run twice takes the same products twice."""
    return hasattr(torch.ops.mkldnn, "_linear_pointwise") and "AMD" in runtime.cpu_name() and not torch.cuda.is_available()


_packed: weakref.WeakKeyDictionary[nn.Linear, object] = weakref.WeakKeyDictionary()


def _in_8_bits(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """x W^T with a scale for each row of W and for each token (Dettmers et al. 2022, vector-wise quantisation).

    torch scales all tokens alike, and one token of a text with huge values takes the bits of all others: the rows are brought to one
    size first. A processor without VNNI adds pairs in 16 bits, so it gets 7 bits for x.
    """
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return _plain_linear(self, x)
    if self not in _packed:
        weight = self.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=1e-8) / 127
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch will put another function in this one's place
            rounded = torch.quantize_per_channel(weight, scale.double(), torch.zeros(len(scale), dtype=torch.long), 0, torch.qint8)
        _packed[self] = torch.ops.quantized.linear_prepack(rounded, None)
    size = x.float().abs().amax(dim=-1, keepdim=True).clamp(min=1e-8)
    y = torch.ops.quantized.linear_dynamic(x.float() / size, _packed[self], not torch.cpu._is_vnni_supported()) * size
    return (y if self.bias is None else y + self.bias).to(x.dtype)


# Training


def _muon_in_stacks(params, grads, muon_momentum_bufs, *, lr, weight_decay, momentum, nesterov, ns_coefficients, ns_steps, eps,
                    adjust_lr_fn, has_complex) -> None:
    """What torch's Muon does to each matrix, for all matrices of one shape, or its transpose, in one stack (Jordan et al. 2024)."""
    if not params:
        return
    torch._foreach_lerp_(muon_momentum_bufs, grads, 1 - momentum)
    steps = torch._foreach_lerp(grads, muon_momentum_bufs, momentum) if nesterov else muon_momentum_bufs
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, param in enumerate(params):
        alike.setdefault(tuple(sorted(param.shape)), []).append(i)
    a, b, c = ns_coefficients
    for places in alike.values():
        wide = [steps[i] if params[i].shape[0] <= params[i].shape[1] else steps[i].T for i in places]
        x = torch.stack(wide).to(runtime.best_dtype())
        x = x / x.flatten(1).norm(dim=1).clamp(min=eps)[:, None, None]
        for _ in range(ns_steps):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        for i, step in zip(places, x.float(), strict=True):
            rate = _muon._adjust_lr(float(lr), adjust_lr_fn, params[i].shape)
            params[i].mul_(1 - float(lr) * weight_decay)
            params[i].add_(step if params[i].shape[0] <= params[i].shape[1] else step.T, alpha=-rate)


# A prefix that many rows share


class _SharedPrefix(score.Prefix):
    def cache(self, rows: int) -> DynamicCache:
        cache = DynamicCache()
        cache.layers = [_SharedLayer(keys, values, rows) for keys, values in self.layers]
        return cache


class _SharedLayer(DynamicLayer):
    """Keys and values of a layer: those of the prefix once, (1, H, P, D), and those after it for each row, (B, H, T, D).

    It isn't for cropping or reordering, which `keys` and `values` refuse as they cannot be set.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, rows: int):
        self.is_initialized, self.prefix = True, (keys, values)
        self.own = tuple(x.new_empty(rows, x.shape[1], 0, x.shape[3]) for x in (keys, values))

    def _whole(self, part: int) -> torch.Tensor:
        return torch.cat((self.prefix[part].expand(len(self.own[part]), -1, -1, -1), self.own[part]), dim=-2)

    keys = property(lambda self: self._whole(0))
    values = property(lambda self: self._whole(1))

    def get_seq_length(self) -> int:
        return self.prefix[0].shape[-2] + self.own[0].shape[-2]

    def update(self, key_states, value_states, *_, **__):
        if not _lasting:
            raise ConfigError("this prefix was read in sooner() and is of no use after it; read it again")
        self.own = tuple(torch.cat(pair, dim=-2) for pair in zip(self.own, (key_states, value_states), strict=True))
        keys, values = self.own
        keys.prefix = self.prefix  # how `_attention`, which is given keys and values alone, knows
        return keys, values


def _read_shared_prefix(model, tokenizer, text: str) -> score.Prefix:
    prefix = _plain_read_prefix(model, tokenizer, text)
    config = model.config
    sees_all = not getattr(config, "sliding_window", None) and set(getattr(config, "layer_types", None) or ()) <= {"full_attention"}
    able = config.model_type in SHARING and config._attn_implementation == "sdpa" and sees_all and model.device.type == "cpu"
    if not prefix.ids or not able:
        return prefix
    return _SharedPrefix(prefix.ids, prefix.layers)


def _attention(module, query, key, value, attention_mask, dropout=0.0, scaling=None, **settings):
    """Attention of the rows' tokens to a prefix they share and to their own, then merged: exact (Juravsky et al. 2024).

    query : (B, Hq, T, D);  key, value : (B, H, S, D), without the prefix;  returns (B, T, Hq, D)
    """
    prefix = getattr(key, "prefix", None)
    if prefix is None:
        return _plain_attention(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **settings)
    (B, Hq, T, D), (H, S), P = query.shape, key.shape[1:3], prefix[0].shape[-2]
    group = Hq // H * T  # what shares a head of keys stands in one row of queries
    query = query.reshape(B, H, group, D)
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T) if attention_mask is None else attention_mask[..., P:]
    if seen.dtype == torch.bool:
        seen = torch.zeros(seen.shape, dtype=query.dtype).masked_fill_(~seen, -torch.inf)
    seen = seen.expand(B, 1, T, S).repeat(1, 1, Hq // H, 1)
    own, own_weight = _flash(query, key, value, attn_mask=seen, scale=scaling)
    together = query.transpose(0, 1).reshape(1, H, B * group, D)
    shared, weight = _flash(together, *prefix, scale=scaling)
    shared, weight = shared.view(H, B, group, D).transpose(0, 1), weight.reshape(H, B, group).transpose(0, 1)
    share = torch.sigmoid(weight - own_weight.reshape(B, H, group)).to(query.dtype)[..., None]
    return torch.lerp(own, shared, share).reshape(B, Hq, T, D).transpose(1, 2).contiguous(), None
