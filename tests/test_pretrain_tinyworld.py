"""A run of the recipe: written whole or not at all, reloaded as it was."""

import json

import numpy as np
import pytest
import torch

from lmtutor.errors import ConfigError, TrainingError
from lmtutor.pretrain import tinyworld as pretrain
from lmtutor.pretrain.tinyworld import KEPT, pretrain_tinyworld, run
from lmtutor.tinyworld import probes
from lmtutor.tinyworld.released import load_checkpoint

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "short"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "CHECKPOINTS", (0, 2, 4))
        patch.setattr(pretrain, "CHECKS", (0, 2))
        return out, pretrain_tinyworld(out, seed=1, steps=4)


def test_a_run_writes_what_it_knows(short):
    out, told = short
    stored = json.loads((out / "metrics.json").read_text())
    assert stored == json.loads(json.dumps(told))
    assert {"seconds", "tokens", "probes", "address", "parts", "model", "train", "machine"} <= set(stored)
    assert {"grammar", "facts", "sentiment", "icl8_new_labels", "icl8_new_class"} <= set(stored["probes"])
    assert stored["tokens"] == 4 * 16 * 128
    assert [c["step"] for c in stored["curve"]] == [0, 2, 4]
    assert not (out / "resume.pt").exists() and not list(out.rglob("*.part"))


def test_the_final_model_loads_by_name_with_its_tokenizer(short):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out, _ = short
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    model = AutoModelForCausalLM.from_pretrained(out / "model")
    kept, _, _ = load_checkpoint(folder=out)
    ids = tokenizer("the dog near the cats", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert (model(ids).logits - kept(ids).logits).abs().max() < 0.05  # kept in fp16


def test_step_0_follows_from_the_seed(short):
    out, _ = short
    fresh, _, _ = load_checkpoint(folder=out, step=0)
    kept = load_checkpoint(folder=out, step=2)[0]
    assert fresh.lm_head.weight.abs().max() == 0 and kept.lm_head.weight.abs().max() > 0


def test_a_finished_run_is_not_overwritten(short):
    with pytest.raises(ConfigError, match="a run is finished there; choose another folder or delete it"):
        pretrain_tinyworld(short[0], seed=1, steps=4)


def test_an_interrupted_run_goes_on_and_ends_the_same(short, tmp_path, monkeypatch):
    out, whole = short
    monkeypatch.setattr(pretrain, "CHECKPOINTS", (0, 2, 4))
    monkeypatch.setattr(pretrain, "CHECKS", (0, 2))
    looked = probes.run
    monkeypatch.setattr(pretrain.probes, "run", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt()) if len(calls) == 1
                        else calls.append(1) or looked(*a, **k))
    calls: list = []
    with pytest.raises(KeyboardInterrupt):
        pretrain_tinyworld(tmp_path / "run", seed=1, steps=4, checkpoint_seconds=0)
    assert (tmp_path / "run/resume.pt").exists() and not (tmp_path / "run/metrics.json").exists()
    monkeypatch.setattr(pretrain.probes, "run", looked)
    with pytest.raises(TrainingError, match="belongs to a run with other data or settings"):
        pretrain_tinyworld(tmp_path / "run", seed=2, steps=4)
    told = pretrain_tinyworld(tmp_path / "run", seed=1, steps=4)
    assert told["loss"] == whole["loss"] and told["probes"] == whole["probes"]


def test_answers_are_kept_one_by_one(short):
    told = short[1]
    for name in KEPT:
        assert np.mean([int(x) for x in told["answers"][name]]) == pytest.approx(told["probes"][name], abs=1e-4)


def test_one_change_a_variant(monkeypatch):
    seen = {}

    class Stop(Exception):
        pass

    def spy(model, rows, *args, **settings):
        seen.update(config=model.config, rows=rows)
        raise Stop

    monkeypatch.setattr(pretrain, "train", spy)

    def see(variant):
        with pytest.raises(Stop):
            run(seed=0, variant=variant, steps=4)
        return seen["config"], seen["rows"]

    base, rows = see("released")
    assert base.smeared_keys and not see("no_smearing")[0].smeared_keys
    assert see("one_layer")[0].num_hidden_layers == 1
    assert np.array_equal(see("one_layer")[1], rows)
    for variant in ("no_patterns", "fixed_labels", "shuffled"):
        config, changed = see(variant)
        assert config.to_dict() == base.to_dict() and not np.array_equal(changed, rows)


def test_an_unknown_variant_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="^no variant is called 'huge'; choose from released.*$"):
        run(seed=0, variant="huge")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written .*choose another folder"):
        pretrain_tinyworld(tmp_path / "file" / "run", seed=0, steps=1)
