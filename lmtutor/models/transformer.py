"""The transformer of this book: a readable decoder that is also a real `transformers` model.

Without smearing and QK-norm it computes what `LlamaForCausalLM` computes from the same weights, under the same
names, so `save_pretrained`, `generate`, peft adapters and safetensors all work on it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast


class TinyConfig(PreTrainedConfig):
    """Sizes and switches. Names are those of `LlamaConfig`; what Llama does not have stands last.

    qk_norm        normalise each head's queries and keys, so that attention logits cannot exceed
                   `qk_scale * sqrt(head size)` (Henry et al. 2020)
    qk_scale       what the normalised products are multiplied by, on top of 1 / sqrt(head size)
    smeared_keys   mix into each key some of the key before it, one learned share a head (Olsson et al. 2022)
    smeared_values  mix into each value some of the value before it, in the same way
    bidirectional  let every position see the whole row (masked language modelling) instead of only its past
    """

    model_type = "lmtutor"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(self, vocab_size=701, hidden_size=96, intermediate_size=240, num_hidden_layers=4,
                 num_attention_heads=3, max_position_embeddings=128, rope_theta=1000.0, rms_norm_eps=1e-6,
                 tie_word_embeddings=False, qk_norm=True, qk_scale=2.5, smeared_keys=True, smeared_values=True,
                 bidirectional=False, use_cache=True, bos_token_id=0, eos_token_id=0, pad_token_id=0, **settings):
        if hidden_size % num_attention_heads or (hidden_size // num_attention_heads) % 2:
            raise ValueError(f"hidden_size {hidden_size} does not split into {num_attention_heads} heads of even size; "
                             f"choose a multiple of {2 * num_attention_heads}")
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.head_dim = hidden_size // num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.rope_theta = rope_theta
        self.rms_norm_eps = rms_norm_eps
        self.qk_norm = qk_norm
        self.qk_scale = qk_scale
        self.smeared_keys = smeared_keys
        self.smeared_values = smeared_values
        self.bidirectional = bidirectional
        self.use_cache = use_cache
        super().__init__(tie_word_embeddings=tie_word_embeddings, bos_token_id=bos_token_id,
                         eos_token_id=eos_token_id, pad_token_id=pad_token_id, **settings)


class RMSNorm(nn.Module):
    """Scale each position to unit mean square, then by a learned gain (Zhang & Sennrich 2019)."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.eps)


def rotate(x, cos, sin):
    """Rotary position: turn each pair (i, i + half) of a head by an angle that grows with the position (Su et al. 2021).

    x : (B, H, T, head size);  cos, sin : (B or 1, 1, T, head size)
    """
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def smear(x, share, first):
    """Mix into each position some of the one to its left; nothing stands before a row's first token.

    x : (B, H, T, head size);  share : (H,), 0 mixes in one half;  first : (B or 1, 1, T or 1, 1), 0 where a row begins
    """
    before = F.pad(x, (0, 0, 1, -1)) * first
    return torch.lerp(x, before, torch.sigmoid(share).to(x.dtype).view(1, -1, 1, 1))


class Attention(nn.Module):
    """Multi-head attention, written out (Vaswani et al. 2017, equation 1)."""

    def __init__(self, config: TinyConfig, layer: int):
        super().__init__()
        self.config, self.layer = config, layer
        d = config.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(d, d, bias=False) for _ in range(4))
        if config.smeared_keys:
            self.smear_k = nn.Parameter(torch.zeros(config.num_attention_heads))
        if config.smeared_values:
            self.smear_v = nn.Parameter(torch.zeros(config.num_attention_heads))

    def forward(self, x, cos, sin, mask, first, cache=None, keep_weights=False):
        B, T, d = x.shape
        H, head = self.config.num_attention_heads, self.config.head_dim
        q, k, v = (f(x).view(B, T, H, head).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))  # (B, H, T, head)
        if self.config.qk_norm:
            q, k = (F.rms_norm(z, (head,), eps=self.config.rms_norm_eps) for z in (q, k))
        if cache is not None:
            # The cache holds keys and values as they are before smearing and rotation, so that it can be cropped, repeated and
            # reordered like any other: what depends on neighbours and positions is applied after reading.
            k, v = cache.update(k, v, self.layer)
        if self.config.smeared_keys:
            k = smear(k, self.smear_k, first)
        if self.config.smeared_values:
            v = smear(v, self.smear_v, first)
        q, k = rotate(q, cos[..., -T:, :], sin[..., -T:, :]), rotate(k, cos, sin)
        scale = (self.config.qk_scale if self.config.qk_norm else 1.0) / math.sqrt(head)
        scores = (q @ k.transpose(-1, -2)) * scale + mask  # (B, H, T, S)
        weights = scores.softmax(dim=-1)
        mixed = (weights.to(v.dtype) @ v).transpose(1, 2).reshape(B, T, d)
        return self.o_proj(mixed), weights if keep_weights else None


class MLP(nn.Module):
    """Two gated matrices and one back (SwiGLU, Shazeer 2020)."""

    def __init__(self, config: TinyConfig):
        super().__init__()
        d, hidden = config.hidden_size, config.intermediate_size
        self.gate_proj, self.up_proj = (nn.Linear(d, hidden, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(hidden, d, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """One layer: attention and MLP, each reading a normalised copy of the residual stream and adding to it."""

    def __init__(self, config: TinyConfig, layer: int):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x, *context, **settings):
        mixed, weights = self.self_attn(self.input_layernorm(x), *context, **settings)
        x = x + mixed
        return x + self.mlp(self.post_attention_layernorm(x)), weights


class TinyPreTrainedModel(PreTrainedModel):
    config_class = TinyConfig
    base_model_prefix = "model"
    _no_split_modules = ["Block"]

    def _init_weights(self, module):
        # Matrices that write into the residual stream, and the head, start at zero: every layer begins as "do nothing"
        # and the first loss is exactly ln V.
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        elif isinstance(module, Attention):
            for share in (getattr(module, name, None) for name in ("smear_k", "smear_v")):
                if share is not None:
                    nn.init.zeros_(share)
            for linear in (module.q_proj, module.k_proj, module.v_proj):
                nn.init.normal_(linear.weight, std=self.config.hidden_size**-0.5)
            nn.init.zeros_(module.o_proj.weight)
        elif isinstance(module, MLP):
            for linear in (module.gate_proj, module.up_proj):
                nn.init.normal_(linear.weight, std=self.config.hidden_size**-0.5)
            nn.init.zeros_(module.down_proj.weight)
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)
        elif module is getattr(self, "lm_head", None) and not self.config.tie_word_embeddings:
            nn.init.zeros_(module.weight)


class TinyModel(TinyPreTrainedModel):
    """The transformer without its head: token ids in, hidden states out."""

    def __init__(self, config: TinyConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None,
                use_cache=None, output_attentions=None, output_hidden_states=None, **_):
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        x = inputs_embeds
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))  # the residual stream in the type of the products
        B, T, _ = x.shape
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        cos, sin = self.rope(past + T, attention_mask, position_ids, x)
        mask, first = self.masks(T, past, attention_mask, x)
        hidden, attentions = (x,), ()
        for block in self.layers:
            x, weights = block(x, cos, sin, mask, first, cache=past_key_values, keep_weights=bool(output_attentions))
            hidden, attentions = hidden + (x,), attentions + (weights,)
        x = self.norm(x)
        return BaseModelOutputWithPast(
            last_hidden_state=x,
            past_key_values=past_key_values if use_cache else None,
            hidden_states=(*hidden[:-1], x) if output_hidden_states else None,
            attentions=attentions if output_attentions else None,
        )

    def rope(self, S, attention_mask, position_ids, x):
        """Cosines and sines for all S positions of the context, cached ones included: (B or 1, 1, S, head size)."""
        if attention_mask is not None and attention_mask.dim() == 2 and not bool(attention_mask.all()):
            positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)  # left padding does not count
        elif position_ids is not None and position_ids.shape[-1] == S:
            positions = position_ids
        else:
            positions = torch.arange(S, device=x.device)[None]
        head = self.config.head_dim
        frequency = self.config.rope_theta ** (-torch.arange(0, head, 2, device=x.device) / head)
        angle = positions[:, None, :, None].float() * torch.cat((frequency, frequency))
        return angle.cos().to(x.dtype), angle.sin().to(x.dtype)

    def masks(self, T, past, attention_mask, x):
        """What may be seen, as 0 or -inf to add to the scores, and where a key has a key before it, as 1 or 0."""
        S = past + T
        seen = torch.ones(T, S, dtype=torch.bool, device=x.device)
        if not self.config.bidirectional:
            seen = seen.tril(past)
        first = torch.ones(1, 1, 1, 1, dtype=x.dtype, device=x.device)
        if attention_mask is not None and attention_mask.dim() == 2 and not bool(attention_mask.all()):
            real = attention_mask.bool()
            # a padded position sees itself alone, so that its softmax has something to add up
            seen = seen & real[:, None, None, :] | torch.eye(S, dtype=torch.bool, device=x.device)[past:]
            first = F.pad(real, (1, -1)).to(x.dtype)[:, None, :, None]
        mask = torch.zeros(seen.shape, dtype=x.dtype, device=x.device).masked_fill_(~seen, -torch.inf)
        return mask, first


class TinyForCausalLM(TinyPreTrainedModel, GenerationMixin):
    """Predicts the next token at every position.

    forward(input_ids (B, T)) returns `logits` (B, T, V), or (B, k, V) with `logits_to_keep=k`; with `labels` (B, T),
    the same ids as the input, also the mean loss in nats per token (-100 is left out, the shift is made here).
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: TinyConfig):
        super().__init__(config)
        self.model = TinyModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids=None, labels=None, logits_to_keep=0, **settings):
        out = self.model(input_ids, **settings)
        logits = self.lm_head(out.last_hidden_state[:, -logits_to_keep:])  # 0 keeps all
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=out.past_key_values,
                                      hidden_states=out.hidden_states, attentions=out.attentions)


def build(config: TinyConfig, *, seed: int) -> TinyForCausalLM:
    """A model with fresh weights drawn from `seed`; torch's global random state is as before on return."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyForCausalLM(config)


AutoConfig.register("lmtutor", TinyConfig)
AutoModelForCausalLM.register(TinyConfig, TinyForCausalLM)
