"""The race against a published configuration: what the chapter on scale draws belongs to the code of today; bad input is told in a line."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT

from lmtutor.records.files import CHAPTERS

SCRIPT = ROOT / "benchmarks/race.py"
KEPT = json.loads((CHAPTERS / "scale_and_cost/race.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def race():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        import race
    return race


def test_what_is_drawn_was_measured_with_this_recipe_and_this_code(race):
    assert (KEPT["recipe"], KEPT["size"], KEPT["tables"]) == (race.RECIPE, race.SIZE, {str(n): rows for n, rows in race.TABLES.items()})
    assert KEPT["code"] == race.code(), "train or model moved on: run benchmarks/race.py again"
    assert KEPT["counts"]["characters"] == race.COUNTED
    assert race.CHANGES.keys() - KEPT["ablations"].keys() <= {"float32 products", "torch.compile, compiling counted"}, "not everywhere"
    assert KEPT["ablations"].keys() <= race.CHANGES.keys()


def test_the_ratios_follow_from_the_runs():
    target = min(run["loss"] for run in KEPT["peer"])
    fastest = min(run["seconds"] for run in KEPT["peer"])
    ratios = [run["seconds"] / fastest for run in KEPT["ours"] if run["loss"] <= target]
    assert KEPT["target"] == target and KEPT["reached"] == f"{len(ratios)} of {len(KEPT['ours'])}"
    assert KEPT["ratio_worst"] == (pytest.approx(max(ratios), abs=1e-4) if len(ratios) == len(KEPT["ours"]) else None)
    assert all(run["parameters"] <= 850_000 for run in KEPT["ours"])


def test_a_character_s_vector_is_its_own_and_those_of_what_ends_there(race):
    embedding = race.NgramEmbedding(torch.nn.Embedding(5, 3), {2: 25, 3: 7})
    with torch.no_grad():
        assert torch.equal(embedding(torch.tensor([[1, 2]])), embedding.embedding.weight[None, [1, 2]]), "the tables begin at zero"
        for table in embedding.tables.values():
            torch.nn.init.normal_(table.weight)
        found = embedding(torch.tensor([[4, 2, 3]]))[0]
        pair, triple = embedding.tables["2"].weight, embedding.tables["3"].weight
        for place, (c, b, a) in enumerate([(4, 0, 0), (2, 4, 0), (3, 2, 4)]):  # character 0 stands before a row
            expected = embedding.embedding.weight[c] + pair[c + 5 * b] + triple[(c + 5 * b + 25 * a) % 7]
            assert torch.allclose(found[place], expected)


def test_one_evaluator_for_both_asks_every_row_once(race):
    ids = np.arange((race.BLOCK + 1) * 300) % 7
    asked = []

    def uniform(x):
        asked.append(len(x))
        return torch.zeros(*x.shape, 7)

    assert race.full_loss(uniform, ids) == pytest.approx(math.log(7))
    assert sum(asked) == 300

    def knows(x):
        return 50.0 * torch.nn.functional.one_hot((x + 1) % 7, 7)

    assert race.full_loss(knows, ids) == pytest.approx(0, abs=1e-6)


def test_the_fused_attention_of_the_ablation_computes_the_book_s(race, monkeypatch):
    net = race.build(race.TinyConfig(vocab_size=65, **race.SIZE), seed=0)
    for name, weight in net.named_parameters():
        if "o_proj" in name or "lm_head" in name:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(1))
    x = torch.randint(65, (2, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        book = net(x).logits
        monkeypatch.setattr(race.Attention, "forward", race.fused_attention)
        assert book.std() > 0.1 and torch.allclose(net(x).logits, book, atol=1e-4)


@pytest.mark.parametrize(("arguments", "told"), [
    ([], "--peer"),
    (["--peer", "no/such"], "train.py"),
    (["--peer", "PEER", "--text", "no/such"], "--text"),
    (["--peer", "PEER", "--text", __file__, "--seeds", "0"], "at least 1"),
])
@pytest.mark.long
def test_bad_input_is_one_line_and_exit_2(arguments, told, tmp_path):
    (tmp_path / "train.py").touch()
    arguments = [str(tmp_path) if a == "PEER" else a for a in arguments]
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
