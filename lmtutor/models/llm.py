"""A real language model: SmolLM2-135M-Instruct out of a wheel, or any other causal LM that transformers can load."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lmtutor.data import assets
from lmtutor.errors import AssetError, ConfigError
from lmtutor.runtime import OWN, best_dtype, cache_dir, quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BUILT_IN = "smollm2"
MANIFEST = (
    "lmtutor.json"  # written with the converted model: what it was made from, and each file's size and SHA-256
)


def load_llm(
    model: str | Path | None = None, *, dtype: torch.dtype | str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer, ready to be asked: evaluation mode, no gradients.

    The built-in "smollm2" is SmolLM2-135M-Instruct **quantised** to four bits (GGUF, Q4_1) and expanded again: call it
    quantised wherever its numbers appear, since its makers' own scores are for the unquantised model. The first call
    converts it (seconds), later calls read the converted bf16 weights; they are the same in every `dtype`.

    Parameters
    ----------
    model : str or Path     "smollm2", a folder that `save_pretrained` wrote, or the id of a causal LM on the hub; by
        default the reader's own, named in the environment variable LMTUTOR_MODEL, else "smollm2"
    dtype : torch.dtype     arithmetic, also by name, "float32"; default bf16 where the processor has it, else fp32

    Returns
    -------
    model, tokenizer    on the CPU; the tokenizer pads on the left where a batch is to be continued

    Raises
    ------
    AssetError     unknown model, no network and nothing cached, or a damaged copy in the cache
    ConfigError    no such arithmetic

    Source: Ben Allal et al. 2025, "SmolLM2".   Book: "Prompting a real model"
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if isinstance(dtype, str):
        if not isinstance(found := getattr(torch, dtype, None), torch.dtype):
            raise ConfigError(f"dtype is {dtype!r}; give float32 or bfloat16")
        dtype = found
    if model is None:
        model = os.environ.get(OWN, "").strip() or BUILT_IN
        if model != BUILT_IN:
            print(f"the model is {model}, named in {OWN}; the book's numbers are {BUILT_IN}'s", file=sys.stderr)
    source = convert() if model == BUILT_IN else _place(model)
    local = isinstance(source, Path)
    with _transformers_quietly(), _one_line(model):
        llm = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype or best_dtype(), attn_implementation="sdpa", local_files_only=local
        )
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return llm.eval().requires_grad_(False), tokenizer


def convert(*, force: bool = False) -> Path:
    """Return the folder with the built-in model as bf16 safetensors; convert it from its GGUF file if need be.

    Only the files' sizes are looked at here, so that loading stays quick; `check_converted` reads them whole.
    """
    target = cache_dir() / "models" / f"{BUILT_IN}-{assets.SMOLLM2.sha256[:12]}-bf16"
    if target.exists() and not force:
        if damage := check_converted(thorough=False):
            raise AssetError(damage)
        return target
    gguf = assets.fetch(assets.SMOLLM2, force=force)
    assets.say("converting SmolLM2 once (quantised GGUF to bf16 safetensors): less than a minute")
    return assets.build_once(
        target, lambda folder: _convert(gguf, folder), 700_000_000, what="model", force=force
    )


def check_converted(*, thorough: bool = True) -> str | None:
    """Say what is wrong with the converted built-in model: None if it is whole."""
    folder = cache_dir() / "models" / f"{BUILT_IN}-{assets.SMOLLM2.sha256[:12]}-bf16"
    advice = f"run `lmtutor fetch {BUILT_IN} --force` to make it again"
    if not folder.exists():
        return f"{BUILT_IN} is not converted yet; run `lmtutor fetch {BUILT_IN}`"
    try:
        expected = json.loads((folder / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError):
        return f"{folder / MANIFEST} is damaged; {advice}"
    for name, (size, digest) in expected.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size or (thorough and assets.sha256(path) != digest):
            return f"{path} is damaged; {advice}"
    return None


def load_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a GGUF file as it is, through transformers, in bf16. Slow: `load_llm` does it once and keeps the result."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # this one bar is drawn past transformers' own switch
    with _transformers_quietly(), contextlib.redirect_stderr(io.StringIO() if quiet() else sys.stderr):
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    return model.eval(), tokenizer


def _convert(gguf: Path, folder: Path) -> None:
    """Expand the built-in model's GGUF file and write it as what it is, an ordinary Llama checkpoint, in bf16."""
    from transformers import LlamaConfig, LlamaForCausalLM

    model, tokenizer = load_gguf(gguf)
    # save_pretrained refuses a model whose config says "quantized with gguf", so a plain twin is saved
    settings = model.config.to_dict()
    del settings["quantization_config"]
    twin = LlamaForCausalLM(LlamaConfig(**settings)).to(model.dtype)
    twin.load_state_dict(model.state_dict())
    with _transformers_quietly():
        twin.save_pretrained(folder)
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(path.stat().st_mode | 0o444)  # a classroom may share one cache; safetensors writes 0600
    files = {path.name: (path.stat().st_size, assets.sha256(path)) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps({"made_from": gguf.name, "files": files}, indent=1))


def weights_hash(model: torch.nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of the state dict: equal hashes mean that nothing was learned."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        tensor = tensor.detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy())
    return total.hexdigest()


def _place(model: str | Path) -> Path | str:
    """Tell a folder from a hub id, and a hub id that can be loaded from one that can't, without a minute of retries."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    path = Path(model).expanduser()
    if (path / "config.json").is_file():
        return path
    if path.exists() or isinstance(model, Path) or model.startswith((".", "/", "~")):
        raise AssetError(
            f"{path} is not a model's folder: it has no config.json; give one that save_pretrained wrote"
        )
    with _one_line(model):
        if not isinstance(try_to_load_from_cache(model, "config.json"), str):
            HfApi().model_info(model, timeout=15)
    return model


@contextlib.contextmanager
def _one_line(model: str | Path) -> Iterator[None]:
    """Turn the many ways in which a model can fail to load into one line that says what to do."""
    try:
        yield
    except Exception as error:  # transformers, its hub and safetensors each have their own
        causes = " ".join(type(cause).__name__ for cause in _causes(error))
        if "RepositoryNotFound" in causes or "HFValidationError" in causes or "GatedRepo" in causes:
            why = f"the hub has no such model that you may read; give {BUILT_IN!r}, a folder, or an id like 'owner/name'"
        elif any(word in causes for word in ("Connect", "LocalEntryNotFound", "Timeout", "Offline")):
            why = f"the hub cannot be reached and nothing of it is cached; connect once, or use {BUILT_IN!r}"
        else:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            why = f"{reason[:200]}; give a causal LM that this transformers can load"
        raise AssetError(f"cannot load the model {str(model)!r}: {why}") from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def _transformers_quietly() -> Iterator[None]:
    """No bars of its own where nobody is watching."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    if quiet():
        logging.disable_progress_bar()
        logging.set_verbosity_error()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()
        logging.set_verbosity(level)
