"""One visible training loop for every way of training in this book.

It runs as it stands on one processor, on a GPU, and under `accelerate launch` on several processes; it can be killed
at any moment and goes on from its last checkpoint with the same weights, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lmtutor import runtime
from lmtutor.errors import ConfigError, TrainingError


@dataclass(frozen=True)
class TrainConfig:
    """What to do at each step. The defaults are the recipe of the released Tiny World model."""

    steps: int = 700
    batch_size: int = 16            # rows per step and process
    muon_lr: float | None = 0.03    # weight matrices of the blocks; None: AdamW at `other_lr` trains them too
    muon_momentum: float = 0.9
    embedding_lr: float = 0.03      # AdamW, input embedding
    other_lr: float = 0.005         # AdamW, head, gains and scalars
    warmup: int = 20                # steps of linear rise
    decay_from: float = 0.5         # share of the steps after which the learning rate falls linearly
    floor: float = 0.02             # least learning rate, as a share of the highest
    clip: float | None = None       # largest gradient norm; None: as it comes
    dtype: str = "auto"             # of the products: "auto" asks the processor, "float32", "bfloat16"

    def __post_init__(self):
        if self.steps < 1 or self.batch_size < 1:
            raise ConfigError(f"steps {self.steps} and batch_size {self.batch_size} must be at least 1; {TrainConfig.steps} and {TrainConfig.batch_size} are the recipe")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise ConfigError(f"dtype is {self.dtype!r}, allowed are auto, float32, bfloat16; auto asks the processor")
        if not 0 <= self.decay_from < 1:
            raise ConfigError(f"decay_from is {self.decay_from}, allowed is 0 to below 1; {TrainConfig.decay_from} is the recipe")

    def rate(self, step: int) -> float:
        """The learning rate of a step as a share of its highest value."""
        falling = (self.steps - step) / ((1 - self.decay_from) * self.steps)
        return min(1.0, (step + 1) / max(1, self.warmup), max(self.floor, falling))


@dataclass
class History:
    """What happened: one entry a step in `loss` (nats per token), one dict a check in `evaluations`."""

    loss: list[float] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)
    tokens: int = 0          # predicted so far, over all processes
    seconds: float = 0.0     # of training; evaluations and start-up are not in it


def optimizers(model: torch.nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for the rest (Jordan et al. 2024)."""
    named = _trainable(model)
    embedding = [p for n, p in named if "embed" in n]
    matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
    known = {id(p) for p in (*embedding, *matrices)}
    others = [p for _, p in named if id(p) not in known]
    if config.muon_lr is None:
        others, matrices = others + matrices, []
    groups = [{"params": ps, "lr": lr} for ps, lr in ((embedding, config.embedding_lr), (others, config.other_lr)) if ps]
    chosen: list[torch.optim.Optimizer] = []
    if groups:
        chosen.append(torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0, fused=True))
    if matrices:
        chosen.append(torch.optim.Muon(matrices, lr=config.muon_lr, momentum=config.muon_momentum, weight_decay=0.0))
    for group in (g for o in chosen for g in o.param_groups):
        group["peak_lr"] = group["lr"]
    return chosen


def next_token_loss(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Mean of -log p(next token) in nats over rows of token ids (B, T + 1): the objective of pre-training."""
    logits = model(ids[:, :-1]).logits  # (B, T, V)
    return F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())


def train(
    model: torch.nn.Module,
    rows: np.ndarray,
    config: TrainConfig,
    *,
    seed: int,
    objective: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor] = next_token_loss,
    evaluate: Callable[[torch.nn.Module, int], dict] | None = None,
    evaluate_at: Sequence[int] = (),
    checkpoint: Path | str | None = None,
    checkpoint_seconds: float = 30.0,
) -> History:
    """Train a model on rows of integers; what is frozen stays as it is.

    Parameters
    ----------
    model : any causal LM whose output has `.logits` (B, T, V); changed in place, in evaluation mode on return, also
        after an interrupt
    rows : (N, T + 1) integers; for the default objective token ids: the first T are the input, the last T the targets
    config : TrainConfig
    seed : int               decides the order of the rows, anew for each pass over them
    objective : (model, batch of rows (B, T + 1)) -> loss, a scalar; fine-tuning brings its own
    evaluate : (model, step) -> dict, called after `step` updates for each step in `evaluate_at`; 0 is before training
    checkpoint : file to keep the state in, at least every `checkpoint_seconds` (of training); where it exists, training
        goes on from it

    Returns
    -------
    History

    Raises
    ------
    TrainingError    the loss is not a finite number; or the checkpoint belongs to another run

    Book: "Training, live".
    """
    from accelerate import Accelerator

    # Without a GPU say so: only then does accelerate join several processes over gloo.
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    device, n_processes, rank = accelerator.device, accelerator.num_processes, accelerator.process_index
    dtype = runtime.best_dtype() if config.dtype == "auto" else getattr(torch, config.dtype)
    rows_per_step = config.batch_size * n_processes
    if len(rows) < rows_per_step:
        raise ConfigError(f"{len(rows)} rows fill no step of {rows_per_step}; give more text or a smaller batch_size")

    history, first_step = History(), 0
    checkpoint = Path(checkpoint) if checkpoint else None
    identity = _identity(model, rows, config, seed, n_processes, objective)
    model.to(device)
    chosen = optimizers(model, config)
    if checkpoint and checkpoint.exists():
        first_step, history = _restore(checkpoint, identity, model, chosen)
    wrapped = accelerator.prepare_model(model)
    model.train()

    def check(step):
        if evaluate is not None and step in evaluate_at and all(e["step"] != step for e in history.evaluations):
            model.eval()
            with torch.inference_mode():
                found = evaluate(model, step)
            model.train()
            history.evaluations.append({"step": step, "tokens": history.tokens, "seconds": round(history.seconds, 2), **found})

    steps_per_pass = len(rows) // rows_per_step
    bar = runtime.progress(total=config.steps, initial=first_step, desc="training", unit="step")
    started = saved_at = time.perf_counter()
    try:
        for step in range(first_step, config.steps):
            check_from = time.perf_counter()
            check(step)
            started += time.perf_counter() - check_from  # checks are not training time

            epoch, place = divmod(step, steps_per_pass)
            order = np.random.default_rng([seed, epoch]).permutation(len(rows))
            mine = order[place * rows_per_step :][rank : rows_per_step : n_processes]
            batch = torch.from_numpy(rows[mine].astype(np.int64)).to(device)  # (B, T + 1)

            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                loss = objective(wrapped, batch)

            value = accelerator.reduce(loss.detach(), reduction="mean").item()
            if not np.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} at step {step}; lower the learning rates"
                    + (f", the last good state is in {checkpoint}" if checkpoint and checkpoint.exists() else ""))
            # Saved here, where the state has just given a finite loss; this step is done again on resume.
            if checkpoint and accelerator.is_main_process and time.perf_counter() - saved_at > checkpoint_seconds:
                history.seconds += time.perf_counter() - started
                _save(checkpoint, {"identity": identity, "step": step, "history": asdict(history),
                                   "model": {n: p.detach() for n, p in _trainable(model)},
                                   "optimizers": [o.state_dict() for o in chosen]})
                started = saved_at = time.perf_counter()

            accelerator.backward(loss)
            if config.clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            for optimizer in chosen:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * config.rate(step)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

            history.loss.append(value)
            history.tokens += (batch.shape[-1] - 1) * len(batch) * n_processes
            now = time.perf_counter()
            history.seconds, started = history.seconds + now - started, now
            bar.update()
            bar.set_postfix(loss=f"{value:.3f}", tokens=f"{history.tokens / 1e6:.2f}M", refresh=False)
        check(config.steps)
    finally:  # an interrupted model can be used, and trained further
        bar.close()
        model.eval()
        model.zero_grad(set_to_none=True)
    return history


def _trainable(model):
    return [(n, p) for n, p in model.named_parameters() if p.requires_grad]


def _identity(model, rows, config, seed, n_processes, objective) -> str:
    """What must be equal for a checkpoint to be continued: data, settings, objective, what is trained and its sizes."""
    told = json.dumps([asdict(config), seed, n_processes, rows.shape, str(rows.dtype), objective.__qualname__,
                       [(n, list(p.shape)) for n, p in _trainable(model)]])
    return hashlib.sha256(told.encode() + np.ascontiguousarray(rows).tobytes()).hexdigest()


def _save(path: Path, state: dict) -> None:
    """Write next to the old file, then replace it in one step: a kill in between leaves the old one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    with open(half, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)


def _restore(path: Path, identity: str, model, chosen) -> tuple[int, History]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"{path} cannot be read ({type(error).__name__}); delete it to start again") from error
    if state.get("identity") != identity:
        raise TrainingError(f"{path} belongs to a run with other data or settings; delete it or choose another folder")
    model.load_state_dict(state["model"], strict=False)  # what is frozen was not kept
    for optimizer, saved in zip(chosen, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["step"], History(**state["history"])
