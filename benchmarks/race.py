#!/usr/bin/env python3
"""Our loop and model against nanoGPT's published CPU configuration, on character-level tiny Shakespeare, in one sitting.

    git clone https://github.com/karpathy/nanoGPT DIR
    python benchmarks/race.py --peer DIR --text FILE --seeds 3 --json OUT    about 4 minutes on two idle cores
    ... --ablations    then also: one ingredient changed at a time, about 6 minutes more
    ... --dev          the same on the training part of the text alone, split anew: for choosing settings
    ... --without-bf16 ours as on a processor that doesn't multiply bfloat16; the peer computes in float32 anyway

The peer is run with the flags of its README (4 layers, 4 heads, 128 wide, block 64, batch 12, 2,000 iterations, dropout 0),
once before ours and once after. Nobody tuned it here: its own defaults are what was published. The target is the lower of its
two losses on the full validation split, the last tenth of the text, cut into rows of 65 characters, of which 64 are foretold;
one evaluator asks both, in float32. Ours is the book's `train()` and model with one part more, `NgramEmbedding`, and in `sooner()`;
its settings were chosen with `--dev`, which never sees that split. Beside both stands what needs no network: counts of which
character follows which five, smoothed (Kneser and Ney 1995).
Training seconds are without evaluations and start-up, for both; "process" is everything, from the command to its end.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import inspect
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from training import flops_per_token, peak

from lmtutor import runtime
from lmtutor.models.sooner import sooner as in_sooner
from lmtutor.models.tokens import pack
from lmtutor.models.transformer import Attention, TinyConfig, build, rotate, smear
from lmtutor.records.address import address
from lmtutor.train import TrainConfig, next_token_loss, train

BLOCK = 64
ANY = torch.zeros((12, BLOCK), dtype=torch.long)  # a batch: FLOPs don't depend on what is in it
FLAGS = dict(device="cpu", compile=False, eval_iters=20, log_interval=1, block_size=BLOCK, batch_size=12, n_layer=4, n_head=4,
             n_embd=128, max_iters=2000, lr_decay_iters=2000, dropout=0.0)
SIZE = dict(hidden_size=128, intermediate_size=336, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=BLOCK)
TABLES = {2: 4225, 3: 8191, 4: 8191}  # rows of the tables of pairs, triples and fours; 65 characters make 4,225 pairs
RECIPE = dict(steps=90, batch_size=16, muon_lr=0.07, muon_momentum=0.85, embedding_lr=0.1, other_lr=0.015, warmup=8,
              decay_from=0.3, floor=0.0)
FIRST_SEED = 300  # seeds 0 to 3 chose the settings; 100 to 102 and 200 to 202 ran earlier races
COUNTED = 6  # characters that stand together in what is counted; chosen with --dev among 3 to 7
ADAMW = dict(muon_lr=None, embedding_lr=0.1, other_lr=0.012)  # plain AdamW in the same loop; its rate was swept with --dev, too
CHANGES = {  # what is changed -> how; the tokens stay the same except where the name says so
    "the recipe": {},
    "no tables": {"tables": {}},
    "no tables, 165 steps: the recipe before": {"tables": {}, "recipe": {"steps": 165}},
    "a table of pairs alone": {"tables": {2: 4225}},
    "a table of fives, too": {"tables": TABLES | {5: 8191}},
    "the readable code, without sooner()": {"sooner": False},
    "AdamW for everything": {"recipe": ADAMW},
    "AdamW, twice the tokens": {"recipe": ADAMW | {"steps": 2 * RECIPE["steps"]}},
    "AdamW, three times the tokens": {"recipe": ADAMW | {"steps": 3 * RECIPE["steps"]}},
    "three Newton-Schulz iterations, not five": {"iterations": 3},
    "two thirds of the steps": {"recipe": {"steps": 2 * RECIPE["steps"] // 3}},
    "a rate that falls from the start": {"recipe": {"decay_from": 0.0}},
    "weights averaged over the last fifth": {"how": "averaged"},
    "half the batch, twice the steps": {"recipe": {"batch_size": RECIPE["batch_size"] // 2, "steps": 2 * RECIPE["steps"]}},
    "twice the batch, half the steps": {"recipe": {"batch_size": RECIPE["batch_size"] * 2, "steps": RECIPE["steps"] // 2}},
    "a batch that grows from 8 to 24": {"how": "growing", "recipe": {"batch_size": 24}},
    "rows in the order of the text": {"how": "in order"},
    "half the rate of the embedding": {"recipe": {"embedding_lr": RECIPE["embedding_lr"] / 2}},
    "half the rate of the head": {"recipe": {"other_lr": RECIPE["other_lr"] / 2}},
    "one layer": {"size": {"num_hidden_layers": 1}},
    "four layers": {"size": {"num_hidden_layers": 4}},
    "nothing smeared": {"size": {"smeared_values": False, "smeared_keys": False}},
    "no QK-norm": {"size": {"qk_norm": False}},
    "torch's fused attention": {"fused": True},
    "float32 products": {"recipe": {"dtype": "float32"}},
    "one thread": {"threads": 1},
    "torch.compile, compiling counted": {"compiled": True},
    "the recipe again": {},
}


def characters(path: Path) -> tuple[np.ndarray, int]:
    """The text as (N,) numbers of its characters in sorted order, as the peer has them, and how many there are."""
    text = path.read_text(encoding="utf-8")
    number = {c: i for i, c in enumerate(sorted(set(text)))}
    return np.array([number[c] for c in text], dtype=np.uint16), len(number)


@torch.inference_mode()
def full_loss(logits_of, ids: np.ndarray) -> float:
    """Mean of -log p in nats over all rows of a split, 64 characters foretold in each. `logits_of`: (B, 64) -> (B, 64, V)."""
    rows, total = pack(ids, BLOCK), 0.0
    for start in range(0, len(rows), 32):
        batch = torch.from_numpy(rows[start : start + 32].astype(np.int64))
        logits = logits_of(batch[:, :-1].contiguous())
        total += F.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten(), reduction="sum").item()
    return total / (len(rows) * BLOCK)


def run_peer(checkout: Path, text: Path) -> dict:
    """Train the peer in a copy of its checkout and ask what it saved."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "peer"
        shutil.copytree(checkout, home, ignore=shutil.ignore_patterns(".git"))
        data = home / "data/shakespeare_char"
        shutil.copy(text, data / "input.txt")
        subprocess.run([sys.executable, "prepare.py"], cwd=data, check=True, capture_output=True)
        start = time.perf_counter()
        flags = [f"--{name}={value}" for name, value in FLAGS.items()]
        told = subprocess.run([sys.executable, "train.py", "config/train_shakespeare_char.py", *flags], cwd=home, check=True,
                              capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "2"}).stdout
        process = time.perf_counter() - start
        steps = [(int(i), float(loss), float(ms) / 1e3) for i, loss, ms in
                 re.findall(r"^iter (\d+): loss ([\d.]+), time ([\d.]+)ms", told, re.M)]
        # An evaluation falls into the time of the step after it: those steps are counted as the median of the others.
        plain = [s for i, _, s in steps if i % 250]
        usual = statistics.median(plain)
        seconds = np.cumsum([s if i % 250 else usual for i, _, s in steps])
        spec = importlib.util.spec_from_file_location("peer_model", home / "model.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["peer_model"] = module
        spec.loader.exec_module(module)
        saved = torch.load(home / "out-shakespeare-char/ckpt.pt", map_location="cpu", weights_only=True)
        model = module.GPT(module.GPTConfig(**saved["model_args"]))
        model.load_state_dict(saved["model"])
        model.eval()
        ids, _ = characters(text)
        loss = full_loss(lambda x: model(x, x)[0], ids[int(0.9 * len(ids)) :])
        return {"seconds": round(float(seconds[-1]), 2), "process": round(process, 1),
                "loss": round(loss, 4), "saved_at": saved["iter_num"],
                "tokens": len(steps) * FLAGS["batch_size"] * BLOCK, "ms_per_step": round(1e3 * usual, 2),
                "parameters": sum(p.numel() for p in model.transformer.h.parameters()),
                "flops_per_token": flops_per_token(lambda x: model(x, x)[1], ANY),
                "curve": [[round(float(s), 2), loss] for s, (i, loss, _) in zip(seconds, steps) if i % 20 == 0]}


class NgramEmbedding(nn.Module):
    """A character's vector, and for the 2, 3 and 4 characters that end there one vector more each, from a table of their own.

    What doesn't fit a table shares its rows, by the remainder of a division. Before a row stands character 0.

    ids : (B, T);  returns (B, T, d)

    Source: Pagnoni et al. 2024, there of bytes.
    """

    def __init__(self, embedding: nn.Embedding, tables: dict[int, int]):
        super().__init__()
        self.embedding, self.tables = embedding, nn.ModuleDict()
        for n, rows in tables.items():
            self.tables[str(n)] = nn.Embedding(rows, embedding.embedding_dim)
            nn.init.zeros_(self.tables[str(n)].weight)

    def forward(self, ids):
        x, number = self.embedding(ids), ids
        for n in range(2, max(map(int, self.tables), default=1) + 1):
            number = number + F.pad(ids, (n - 1, 1 - n)) * self.embedding.num_embeddings ** (n - 1)
            if str(n) in self.tables:
                x = x + self.tables[str(n)](number % self.tables[str(n)].num_embeddings)
        return x


def fresh(vocabulary: int, seed: int, *, size: dict = {}, tables: dict[int, int] = TABLES) -> nn.Module:
    """The book's model, with tables of n-grams in front."""
    net = build(TinyConfig(vocab_size=vocabulary, **SIZE | size), seed=seed)
    net.model.embed_tokens = NgramEmbedding(net.model.embed_tokens, {int(n): rows for n, rows in tables.items()})
    return net


class Changed:
    """The objective with one thing of the training changed that `TrainConfig` has no word for."""

    def __init__(self, how: str, rows: np.ndarray, steps: int):
        self.how, self.rows, self.steps, self.step, self.tokens, self.kept = how, rows, steps, 0, 0, []

    def objective(self, net, batch):
        if self.how == "growing":
            batch = batch[: 8 * (1 + 3 * self.step // self.steps)]
        if self.how == "in order":
            start = self.step * len(batch)
            batch = torch.from_numpy(self.rows[start : start + len(batch)].astype(np.int64))
        if self.how == "averaged" and self.step >= 0.8 * self.steps:
            self.kept.append([p.detach().clone() for p in net.parameters()])
        self.step, self.tokens = self.step + 1, self.tokens + batch[:, 1:].numel()
        return next_token_loss(net, batch)

    def finish(self, net):
        for p, *states in zip(net.parameters(), *self.kept) if self.kept else ():
            p.data.copy_(torch.stack(states).mean(0))


def run_ours(text: str, seed: int, *, size: dict, recipe: dict, tables: dict, how: str, iterations: int, threads: int, fused: bool,
             compiled: bool, sooner: bool, without_bf16: bool) -> dict:
    """Train ours in this process, ask it about the last tenth of the text."""
    if without_bf16:
        runtime.has_bf16 = lambda: False
    runtime.set_threads(threads)
    if fused:
        Attention.forward = fused_attention
    torch.optim.Muon.__init__ = partialmethod(torch.optim.Muon.__init__, ns_steps=iterations)
    ids, vocabulary = characters(Path(text))
    training, asked = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
    net = fresh(vocabulary, seed, size=size, tables=tables)
    if compiled:
        net.compile()
    settings, rows = TrainConfig(**RECIPE | recipe), pack(training, BLOCK)
    changed = Changed(how, rows, settings.steps)
    with in_sooner() if sooner else contextlib.nullcontext():
        history = train(net, rows, settings, seed=seed, objective=changed.objective)
        changed.finish(net)
        loss = full_loss(lambda x: net(x).logits, asked)
    per_step = history.seconds / settings.steps
    return {
        "seed": seed, "seconds": round(history.seconds, 2), "tokens": changed.tokens, "loss": round(loss, 4),
        "parameters": sum(p.numel() for n, p in net.named_parameters() if "embed" not in n and "lm_head" not in n),
        "in_tables": sum(p.numel() for n, p in net.named_parameters() if ".tables." in n),
        "curve": [[round(per_step * (i + 1), 2), round(x, 4)] for i, x in enumerate(history.loss) if i % 5 == 0],
    }


def run_counts(text: Path) -> dict:
    """Count the training part, ask the last tenth: what needs no network and no rate."""
    from lmtutor.pretrain.ngrams import KneserNey  # here, because it brings what a run of ours shouldn't wait for

    ids, vocabulary = characters(text)
    training, start = ids[: int(0.9 * len(ids))], time.perf_counter()
    counts = KneserNey(training, COUNTED, vocabulary)
    seconds = time.perf_counter() - start
    return {"characters": COUNTED, "read": len(training), "seconds": round(seconds, 2),
            "loss": round(float(counts.losses(pack(ids[int(0.9 * len(ids)) :], BLOCK)).mean()), 4)}


def fused_attention(self, x, cos, sin, mask, first, cache=None, keep_weights=False):
    """The book's attention with torch's fused call in the place of two products and a softmax: an ablation."""
    B, T, d = x.shape
    H, head = self.config.num_attention_heads, self.config.head_dim
    q, k, v = (f(x).view(B, T, H, head).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
    q, k = (F.rms_norm(z, (head,), eps=self.config.rms_norm_eps) for z in (q, k))
    k, v = smear(k, self.smear_k, first), smear(v, self.smear_v, first)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.config.qk_scale / math.sqrt(head))
    return self.o_proj(mixed.transpose(1, 2).reshape(B, T, d)), None


def in_process(text: Path, seed: int, **changed) -> dict:
    """One run of ours in a process of its own, timed from the outside."""
    usual = {"size": {}, "recipe": {}, "tables": TABLES, "how": "as it is", "iterations": 5, "threads": 2, "fused": False,
             "compiled": False, "sooner": True, "without_bf16": False}
    told = json.dumps({"text": str(text), "seed": seed} | usual | changed)
    start = time.perf_counter()
    alone = os.environ | {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}  # what an earlier run compiled doesn't count
    said = subprocess.run([sys.executable, __file__, "--worker", told], check=True, stdout=subprocess.PIPE, text=True, env=alone).stdout
    return json.loads(said.splitlines()[-1]) | {"process": round(time.perf_counter() - start, 1)}


def code() -> dict[str, str]:
    """The address of what was raced: a test compares it with the record that chapter 05 draws."""
    stood_on = {"training": "lmtutor.train:train", "model": "lmtutor.models.transformer:build", "Muon": "lmtutor.models.sooner:_muon_in_stacks",
                "products": "lmtutor.models.sooner:_by_onednn"}
    own = hashlib.sha256(inspect.getsource(NgramEmbedding).encode()).hexdigest()
    return {what: address(function)[0] for what, function in stood_on.items()} | {"tables": own}


def race(peer: Path, text: Path, seeds: int, *, without_bf16: bool = False) -> dict:
    runtime.set_threads()
    if without_bf16:
        runtime.has_bf16 = lambda: False
    ours_dtype = str(runtime.best_dtype()).removeprefix("torch.")
    net = fresh(characters(text)[1], 0)
    flops = flops_per_token(lambda x: F.cross_entropy(net(x).logits.flatten(0, 1), x.flatten()), ANY)
    peaks = {kind: peak(getattr(torch, kind)) for kind in {"float32", ours_dtype}}
    before = run_peer(peer, text)
    print(f"peer    {before['seconds']:6.1f} s  loss {before['loss']:.4f}  {before['tokens']:,} tokens", flush=True)
    ours = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        ours.append(in_process(text, seed, without_bf16=without_bf16) | {"flops_per_token": flops})
        print(f"ours {seed}  {ours[-1]['seconds']:6.1f} s  loss {ours[-1]['loss']:.4f}  {ours[-1]['tokens']:,} tokens", flush=True)
    after = run_peer(peer, text)
    print(f"peer    {after['seconds']:6.1f} s  loss {after['loss']:.4f}", flush=True)
    target, fastest = min(before["loss"], after["loss"]), min((before, after), key=lambda run: run["seconds"])
    for run in ours:
        run["reached"] = run["loss"] <= target
        run["ratio"] = round(run["seconds"] / fastest["seconds"], 4) if run["reached"] else None
        run["process_ratio"] = round(run["process"] / min(before["process"], after["process"]), 4) if run["reached"] else None
    ratios = [run["ratio"] if run["reached"] else float("inf") for run in ours]

    def gflops(run):
        return run["flops_per_token"] * run["tokens"] / run["seconds"] / 1e9

    share = {"peer": gflops(fastest) / peaks["float32"], "ours": statistics.median(map(gflops, ours)) / peaks[ours_dtype]}
    finite = [r for r in ratios if r != float("inf")]
    note = "The peer is nanoGPT as published for a CPU, not retuned; ours was tuned on a part of the training text."
    return {"note": note,
            "target": target, "reached": f"{len(finite)} of {len(ours)}",
            "ratio_median": statistics.median(ratios) if len(finite) > len(ours) / 2 else None,
            "ratio_worst": max(ratios) if len(finite) == len(ours) else None,
            "peer": [before, after], "ours": ours, "counts": run_counts(text), "peak_gflops": {k: round(v) for k, v in peaks.items()},
            "share_of_peak": {k: round(v, 3) for k, v in share.items()}, "recipe": RECIPE, "size": SIZE, "tables": {str(n): rows for n, rows in TABLES.items()},
            "machine": runtime.machine(), "code": code()}


def ablations(text: Path, seeds: int, keep: Callable[[dict], None], *, without_bf16: bool = False) -> None:
    """Every change of `CHANGES` on every seed: losses, seconds, tokens. All in one sitting, the recipe itself at both ends."""
    found = {}
    for name, changed in CHANGES.items():
        if changed.get("recipe", {}).get("dtype") == "float32" and (without_bf16 or not runtime.has_bf16()):
            continue  # it is what was run
        if changed.get("compiled") and not shutil.which("g++"):
            continue  # no compiler
        made = [in_process(text, seed, **changed, without_bf16=without_bf16) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
        found[name] = {key: [run[key] for run in made] for key in ("loss", "seconds", "tokens")}
        print(f"{name:44} loss {' '.join(f'{x:.4f}' for x in found[name]['loss'])}   "
              f"seconds {' '.join(f'{x:.1f}' for x in found[name]['seconds'])}", flush=True)
        keep(found)


def draw(result: dict, path: Path) -> None:
    """Training loss against seconds, both sides."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6.4, 3.4))
    for name, of, colour in (("nanoGPT, as published", result["peer"], "#767676"), ("lmtutor", result["ours"], "#0072b2")):
        for i, run in enumerate(of):
            ax.plot(*zip(*run["curve"]), color=colour, label=name if i == 0 else None, linewidth=1)
    ax.axhline(result["target"], linestyle="--", color="#767676", linewidth=1)
    ax.set(xlabel="seconds of training", ylabel="training loss, nats", ylim=(1.4, 3))
    ax.legend(frameon=False)
    figure.savefig(path, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, metavar="DIR", help="a checkout of nanoGPT")
    parser.add_argument("--text", type=Path, metavar="FILE", help="tiny Shakespeare, about 1.1 MB")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here, and a picture beside them (.svg)")
    parser.add_argument("--ablations", action="store_true", help="also change one ingredient at a time")
    parser.add_argument("--dev", action="store_true", help="race on the training part of the text alone")
    parser.add_argument("--without-bf16", action="store_true", help="ours as on a processor that doesn't multiply bfloat16")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(run_ours(**json.loads(given.worker))))
        return
    if not (given.peer and (given.peer / "train.py").exists()):
        parser.exit(2, f"--peer {given.peer} holds no train.py; clone https://github.com/karpathy/nanoGPT and give its folder\n")
    if not (given.text and given.text.exists()):
        parser.exit(2, f"--text {given.text} is not there; give the file of tiny Shakespeare\n")
    if given.seeds < 1:
        parser.exit(2, f"--seeds is {given.seeds}; give at least 1\n")
    with tempfile.TemporaryDirectory() as folder:
        text = given.text.resolve()
        if given.dev:
            whole = text.read_text(encoding="utf-8")
            text = Path(folder) / "training_part.txt"
            text.write_text(whole[: int(0.9 * len(whole))], encoding="utf-8")
        result = race(given.peer.resolve(), text, given.seeds, without_bf16=given.without_bf16)

        def keep(found):
            if given.json:
                given.json.write_text(json.dumps(result | ({"ablations": found} if found else {}), indent=1) + "\n", encoding="utf-8")

        keep({})
        print(f"counts  {result['counts']['seconds']:6.1f} s  loss {result['counts']['loss']:.4f}")
        print(f"target {result['target']:.4f} reached by {result['reached']}; share of the peer's training time: "
              f"median {result['ratio_median']}, worst {result['ratio_worst']}; of its whole process: worst "
              f"{max(run['process_ratio'] or float('inf') for run in result['ours'])}", flush=True)
        if given.json:
            draw(result, given.json.with_suffix(".svg"))
        if given.ablations:
            ablations(text, given.seeds, keep, without_bf16=given.without_bf16)


if __name__ == "__main__":
    main()
