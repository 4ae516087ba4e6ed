"""LoRA: leave the weights alone and learn a low-rank update beside them (Hu et al. 2022).

`LoRALinear` is the update written out, for reading. peft does the work: a test holds that the two compute the same.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from lmtutor.errors import AssetError, ConfigError

if TYPE_CHECKING:
    from peft import PeftModel

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoRALinear(nn.Module):
    """W x + (alpha / r) B A x: a frozen linear map and its update (Hu et al. 2022, equation 3).

    A starts random and B at zero, so at first nothing is changed. The map has d_out * d_in parameters and its
    update r * (d_in + d_out): for r = 8 and 576 x 576 that is 9,216 instead of 331,776.
    """

    def __init__(self, linear: nn.Linear, *, rank: int, alpha: float):
        super().__init__()
        self.frozen = linear.requires_grad_(False)
        self.A = nn.Parameter(torch.empty(rank, linear.in_features))
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=5**0.5)
        self.scale = alpha / rank

    def forward(self, x):
        return self.frozen(x) + self.scale * (x @ self.A.T @ self.B.T)

    def merged(self) -> torch.Tensor:
        """The one matrix (d_out, d_in) that does the same: an adapted model need not be slower."""
        return self.frozen.weight + self.scale * self.B @ self.A


def adapt(model: nn.Module, *, rank: int = 8, alpha: float = 16, targets: Sequence[str] = TARGETS,
          layers: int | None = None, seed: int, name: str = "default") -> PeftModel:
    """Put LoRA beside the matrices of a model; only the updates are trained from then on.

    Parameters
    ----------
    model : a `transformers` model; its weights stay as they are, `detach` gives it back
    targets : names of the matrices
    layers : int    how many layers, from the top; None: all
    seed : int      of the updates' first values

    Returns
    -------
    PeftModel    with the updates in fp32 whatever the model's own type

    Raises
    ------
    ConfigError    no such matrix, more layers than there are, a rank below 1
    """
    from peft import LoraConfig, get_peft_model

    n = model.config.num_hidden_layers
    layers = n if layers is None else layers
    if rank < 1 or not 1 <= layers <= n:
        raise ConfigError(f"rank is {rank} and layers {layers}; give a rank from 1 and 1 to {n} layers")
    names = {module.rpartition(".")[2] for module, _ in model.named_modules()}
    if missing := set(targets) - names:
        raise ConfigError(f"the model has no matrix called {', '.join(sorted(missing))}; choose from "
                          f"{', '.join(t for t in TARGETS if t in names) or 'its named_modules()'}")
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(targets),
                        layers_to_transform=list(range(n - layers, n)))
    with torch.random.fork_rng(devices=[]), _unbothered():
        torch.manual_seed(seed)
        return get_peft_model(model, config, adapter_name=name)


@contextlib.contextmanager
def _unbothered():
    """Without the warning about a name in transformers that peft still uses; it is theirs to mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        yield


def detach(model: PeftModel) -> nn.Module:
    """The model as it was before `adapt`, updates thrown away."""
    return model.unload()


def take_off(model: nn.Module) -> int:
    """Take every update off a model that has them inside, whoever put them there: what an interrupt may have left.

    Returns
    -------
    int    how many matrices had one; the model is then as it was
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    held = [(name, module) for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
    for name, module in held:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, module.get_base_layer())
    for left in ("peft_config", "_hf_peft_config_loaded"):
        if left in vars(model):
            delattr(model, left)
    return len(held)


def merge(model: PeftModel) -> nn.Module:
    """Add the active update to the weights for good: (alpha / r) B A into each W. The model is changed in place."""
    return model.merge_and_unload()


def save(model: PeftModel, folder: str | Path) -> int:
    """Write the active update, and nothing of the model, as safetensors; return its bytes."""
    name = model.active_adapter
    model.save_pretrained(str(folder), selected_adapters=[name])
    place = Path(folder) if name == "default" else Path(folder) / name
    return (place / "adapter_model.safetensors").stat().st_size


def load(model: nn.Module, folder: str | Path, *, name: str = "default") -> PeftModel:
    """Put a saved update beside a model, or one more beside a model that has some; it becomes the active one.

    Raises
    ------
    AssetError    the folder holds no update, or a damaged one, or one for another model
    """
    from peft import PeftModel

    place = Path(folder) if (Path(folder) / "adapter_config.json").is_file() else Path(folder) / name
    if not (place / "adapter_config.json").is_file():
        raise AssetError(f"{folder} holds no LoRA update; give a folder that lora.save wrote")
    try:
        with _unbothered():
            if isinstance(model, PeftModel):
                model.load_adapter(str(place), adapter_name=name)
                model.set_adapter(name)
                return model
            return PeftModel.from_pretrained(model, str(place), adapter_name=name)
    except Exception as error:  # peft, safetensors and torch each have their own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise AssetError(f"the update in {folder} cannot be put beside this model: {reason[:200]}; train it again") from error


def swap(model: PeftModel, name: str) -> None:
    """Make another update the active one: how one model in memory serves many tasks.

    Raises
    ------
    ConfigError    no update of that name is loaded
    """
    if name not in model.peft_config:
        raise ConfigError(f"no update is called {name!r}; loaded are {', '.join(model.peft_config)}")
    model.set_adapter(name)


def trained(model: nn.Module) -> int:
    """How many parameters training would change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
