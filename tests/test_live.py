"""The model that runs live in a page is the book's model: its JavaScript against torch, in V8 from a wheel, without node or browser."""

import json
import re

import numpy as np
import pytest
import torch
from py_mini_racer import MiniRacer

from lmtutor.errors import AssetError, ConfigError
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.tinyworld import probes
from lmtutor.tinyworld.export import CONTRASTS, LIVE, export, pack
from lmtutor.tinyworld.released import SHIPPED, load_checkpoint, metrics

CLOSE = 1e-4  # of logits; weights are written at four characters, which tell all fp16 numbers of a row apart
ENGINE = (LIVE / "transformer.js").read_text()
CALLS = """;
  let world, model;
  globalThis.TinyLive = { world: (told) => { world = told; }, weights: (file, packed) => { model = new TinyModel(CONFIG, packed); } };
  const logits = (prompts, silent) => JSON.stringify(JSON.parse(prompts).map((ids) => Array.from(model.forward(ids, silent))));"""


def in_javascript(config, script, prompts, silent=(), engine=ENGINE):
    """(N, V) logits after each prompt, from the weights in a script that `export` wrote."""
    context = MiniRacer()
    context.eval(engine + f"; globalThis.CONFIG = {json.dumps(config)};" + CALLS)
    context.eval(script)
    return np.array(json.loads(context.call("logits", json.dumps(prompts), list(silent))))


@torch.inference_mode()
def in_torch(model, prompts, silent=()):
    """The same from torch; a silent head's part of what the output matrix reads is zero."""
    size, hooks = model.config.head_dim, []

    def silence(heads):
        def hook(module, inputs):
            mixed = inputs[0].clone()
            for head in heads:
                mixed[..., head * size : (head + 1) * size] = 0
            return (mixed,)
        return hook

    for layer in range(model.config.num_hidden_layers):
        heads = [int(name.split(".")[1]) for name in silent if name.startswith(f"{layer}.")]
        hooks.append(model.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(silence(heads)))
    rows = np.stack([model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].numpy() for ids in prompts])
    for hook in hooks:
        hook.remove()
    return rows


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """The released run and its contrasts, written closer than fp16."""
    out = tmp_path_factory.mktemp("exact")
    export(None, out, digits=4)
    return out


def prompts_of(world):
    """Two prompts of every kind of question and number of demonstrations, one that fills the context, and one of nothing but its start."""
    asked = probes.build(world, seed=3, n=2, shots=(0, 1, 8, 16))
    return [prompt for probe in asked.values() for prompt in probe.prompts[:2]] + [[0, *range(1, 128)], [0]]


@pytest.mark.parametrize("variant, step, silent", [
    ("released", 70, ()), ("released", 330, ()), ("released", 700, ()), ("released", 700, ("3.2",)),
    ("released", 700, ("0.0", "1.1", "3.2")), ("no_patterns", 700, ()),
    ("no_smearing", 700, ("2.0",)), ("one_layer", 700, ()), ("one_layer", 700, ("0.1",))])
def test_javascript_says_what_torch_says(exact, variant, step, silent):
    model, _, world = load_checkpoint(variant, step)
    prompts = prompts_of(world)
    script = exact / f"weights-{'main' if variant == 'released' else variant}{f'-{step:04d}' * (step < 700)}.js"
    ours, theirs = in_javascript(metrics(variant)["model"], script.read_text(), prompts, silent), in_torch(model, prompts, silent)
    assert len(prompts) >= 60 and ours.shape == theirs.shape
    print(f"{variant} {step} {silent}: {len(prompts)} prompts, largest difference {np.abs(ours - theirs).max():.1e}")
    assert np.abs(ours - theirs).max() <= CLOSE


def test_what_is_kept_of_a_shared_beginning_changes_nothing(exact):
    script, config = (exact / "weights-main.js").read_text(), metrics()["model"]
    longer = [[0, *range(5, 5 + n)] for n in (3, 9, 6, 12, 12)]  # each shares what it can with the one before
    kept = in_javascript(config, script, longer)
    for ids, row in zip(longer, kept, strict=True):
        assert np.abs(in_javascript(config, script, [ids])[0] - row).max() < 1e-6


def faint():
    """A model whose numbers are so small that what the norms add to a mean square is as large as the mean square."""
    config = TinyConfig(vocab_size=40, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    model = build(config, seed=0).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                small = re.search("embed|o_proj|down_proj|q_proj|k_proj", name)
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))) * (1e-3 if small else 0.3))
    return model


@pytest.mark.parametrize("change", [
    {}, {"rms_norm_eps": 0}, {"rms_norm_eps": 1e-5}, {"rms_norm_eps": 1.2e-6}, {"smeared_keys": False}, {"smeared_values": False},
    {"qk_norm": False}, {"qk_scale": 1}, {"rope_theta": 10_000}], ids=str)
def test_every_setting_matters_and_a_wrong_one_would_be_noticed(change):
    model = faint() if "rms_norm_eps" in change or not change else load_checkpoint()[0]
    config = {name: getattr(model.config, name) for name in metrics()["model"]}
    weights = {name: pack(tensor.numpy(), 4) for name, tensor in model.state_dict().items()}
    prompts = [[0, 7, 8, 9, 7, 8], list(range(30))]
    ours = in_javascript(config | change, f"TinyLive.weights('', {json.dumps(weights)})", prompts)
    far = np.abs(ours - in_torch(model, prompts)).max()
    assert far > 10 * CLOSE if change else far <= CLOSE, far


@pytest.mark.parametrize("norm", ["c.rms_norm_eps, at(\"input", "c.rms_norm_eps, at(\"post", "c.rms_norm_eps, w[", "size, c.rms_norm_eps)"])
def test_each_norm_adds_its_epsilon(norm):
    model, prompts = faint(), [[0, 7, 8, 9, 7, 8], list(range(30))]
    weights = {name: pack(tensor.numpy(), 4) for name, tensor in model.state_dict().items()}
    config = {name: getattr(model.config, name) for name in metrics()["model"]}
    assert ENGINE.count(norm) == 1
    broken = ENGINE.replace(norm, norm.replace("c.rms_norm_eps", "0"))
    ours = in_javascript(config, f"TinyLive.weights('', {json.dumps(weights)})", prompts, engine=broken)
    assert np.abs(ours - in_torch(model, prompts)).max() > 10 * CLOSE


def test_the_book_ships_rounded_weights_that_answer_as_the_exact_ones(tmp_path):
    sizes = export(None, tmp_path)
    model, _, world = load_checkpoint()
    prompts = prompts_of(world)
    rounded = in_javascript(metrics()["model"], (tmp_path / "weights-main.js").read_text(), prompts)
    same = (rounded.argmax(1) == in_torch(model, prompts).argmax(1)).mean()
    assert same >= 0.9, f"{same:.0%} of first words; 91 levels a row"
    first = ("transformer.js", "parts.js", "live.js", "live.css", "world.js", "weights-main.js")
    assert sum(sizes.values()) <= 5.6e6 and sum(sizes[name] for name in first) <= 0.9e6
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == sizes
    told = json.loads((tmp_path / "world.js").read_text().removeprefix("TinyLive.world(").removesuffix(");\n"))
    assert list(told["runs"]) == ["main", *CONTRASTS] and len(told["runs"]["main"]["files"]) == 7
    assert {file for run in told["runs"].values() for file in run["files"].values()} <= set(sizes)


def test_questions_are_the_reported_probes_own(exact):
    told = json.loads((exact / "world.js").read_text().removeprefix("TinyLive.world(").removesuffix(");\n"))
    words, few = told["words"].split(), told["tasks"]["new_labels"][0]
    probe = probes.build(load_checkpoint()[2], seed=14, shots=(16,), tasks=("new_labels",))["icl16_new_labels"]
    *shown, (asked, side) = zip(few["items"], few["sides"], strict=True)
    prompt = [i for item, which in shown for i in (item, few["labels"][which], words.index(";"))]
    assert [0, *prompt, asked] == probe.prompts[0] and few["labels"][side] == probe.answers[0]


@pytest.mark.parametrize("prepare, error, message", [
    (lambda folder: None, AssetError, "make it with `lmtutor pretrain tinyworld"),
    (lambda folder: (folder / "metrics.json").write_text("{}"), ConfigError, "holds no checkpoint; .* keeps its first after 70 updates"),
    (lambda folder: [(folder / "metrics.json").write_text("{}"), (folder / "checkpoints").mkdir(),
                     (folder / "checkpoints/step_0070.safetensors").write_bytes(b"x")], ConfigError, "0070.safetensors cannot be read"),
])
def test_a_folder_without_a_run_is_told_in_one_line(tmp_path, prepare, error, message):
    prepare(tmp_path)
    with pytest.raises(error, match=message) as raised:
        export(tmp_path, tmp_path / "out")
    assert "\n" not in str(raised.value) and not (tmp_path / "out").exists()


def test_a_run_of_ones_own_becomes_a_page(tmp_path):
    sizes = export(SHIPPED / "one_layer", tmp_path / "page", digits=2)
    page = (tmp_path / "page/index.html").read_text()
    assert "weights-main.js" in sizes and "curves.svg" in page and not re.search("https?://", page.replace("http://www.w3.org", ""))
