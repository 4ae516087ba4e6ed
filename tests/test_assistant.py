"""A support desk's answers: how they are checked, searched and judged blind, and that an interrupt harms nothing."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lmtutor import assistant, finetune, llm, lora, sft
from lmtutor.data.support import Topic
from lmtutor.errors import DataError

DEPOSIT = Topic("deposit", "A sum of 63 crowns is held back.", ("a", "b", "c", "d"), "We hold a deposit of 63 crowns.", "63 crowns")


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
                         num_key_value_heads=1, max_position_embeddings=32, tie_word_embeddings=True)
    return LlamaForCausalLM(config).eval().requires_grad_(False)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return sft.example_rows([(rng.integers(1, 40, 3 + i % 3).tolist(), rng.integers(1, 40, 2 + i % 2).tolist()) for i in range(12)])


@pytest.mark.parametrize(("said", "right"), [
    ("The deposit is 63 crowns.", True), ("It is 63 Crowns", True), ("163 crowns", False), ("1.63 crowns", False), ("Say: 63 crowns", True), ("63 crownsmen", False), ("63 pounds", False), ("", False)])
def test_a_key_is_named_as_whole_words(said, right):
    assert assistant.names_key(said, DEPOSIT) == right


def test_word_f1_by_hand():
    assert assistant.word_f1("a b c", "a b d e") == pytest.approx(2 * 2 / 7)
    assert assistant.word_f1("same words", "Same words") == 1 and assistant.word_f1("", "x") == 0


def test_the_search_finds_the_text_that_shares_words():
    known, asked = ["how much is a lock", "when do you open"], ["do you open on sunday", "a lock please"]
    for settings in assistant.SEARCHES:
        assert assistant.search(known, asked, **settings).tolist() == [1, 0]


def test_states_of_the_lower_layers_change_no_loss(tiny, rows):
    upper = assistant.FromStates(tiny, rows, layers=2)
    with torch.no_grad():
        plain = sft.answer_loss(tiny, torch.from_numpy(rows))
        kept = sft.answer_loss(upper, torch.from_numpy(upper.numbered))
    assert torch.allclose(plain, kept, atol=1e-5)


def test_an_interrupt_leaves_the_model_as_it_was_and_the_work_goes_on(tiny, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(assistant, "BATCH", 4)
    settings = {"lr": 1e-2, "seed": 0, "layers": 2, "rank": 2, "passes": 4, "dtype": "float32"}
    before = llm.weights_hash(tiny)
    adapted, whole = assistant.teach(tiny, rows, **settings)
    weights = {n: p.clone() for n, p in adapted.named_parameters() if p.requires_grad}
    lora.detach(adapted)

    def stop(_, step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assistant.teach(tiny, rows, **settings, checkpoint=tmp_path / "c.pt", checkpoint_seconds=0, evaluate=stop,
                        evaluate_at=(7,))
    assert (tmp_path / "c.pt").exists()
    assert llm.weights_hash(tiny) == before and not tiny.training
    tiny.generate(torch.tensor([[1, 2]]), max_new_tokens=2)  # usable
    again, history = assistant.teach(tiny, rows, **settings, checkpoint=tmp_path / "c.pt")
    assert history.loss == whole.loss
    assert all(torch.equal(weights[n], p) for n, p in again.named_parameters() if p.requires_grad)


def test_updates_that_were_left_behind_come_off(tiny):
    before = llm.weights_hash(tiny)
    lora.adapt(tiny, rank=2, layers=1, seed=0)
    assert lora.take_off(tiny) == 7 and lora.take_off(tiny) == 0
    assert llm.weights_hash(tiny) == before


def test_the_stop_button_in_a_classifiers_training(tiny, tmp_path):
    """`fit_lora` alone leaves its update behind; `go_on_with_lora` takes it off and goes on."""
    from types import SimpleNamespace

    generator = np.random.default_rng(1)
    table = finetune.as_rows([generator.integers(1, 40, 5).tolist() for _ in range(12)], [i % 2 for i in range(12)])
    reader = SimpleNamespace(lm=tiny, layers=2, head=finetune.label_word_head(tiny, [3, 4]), numbered=lambda items: finetune.numbered(table),
                             states=finetune.lower_states(tiny.model, table, 1))
    before = llm.weights_hash(tiny)
    settings = {"lr": 1e-2, "seed": 0, "rank": 2, "steps": 6, "dtype": "float32"}

    def stop(_, step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune.go_on_with_lora(reader, range(12), checkpoint=tmp_path / "c.pt", evaluate=stop, evaluate_at=(3,), **settings)
    assert llm.weights_hash(tiny) == before
    adapted, _, history = finetune.go_on_with_lora(reader, range(12), checkpoint=tmp_path / "c.pt", **settings)
    assert len(history.loss) == 6 and not (tmp_path / "c.pt").exists()
    lora.detach(adapted)


def test_a_blind_sheet_is_counted_for_the_side_that_won():
    sheet, first = assistant.ab_sheet(list("pqrs"), ["one"] * 4, ["other"] * 4, seed=0)
    assert len(set(first)) == 2  # both orders occur
    for row in sheet:
        row["better"] = "A" if row["A"] == "one" else "b"
    assert assistant.ab_result(sheet, first) == {"one": 4, "other": 0, "same": 0}
    sheet[0]["better"] = "same"
    assert assistant.ab_result(sheet, first) == {"one": 3, "other": 0, "same": 1}
    sheet[1]["better"] = "?"
    with pytest.raises(DataError, match="row 1 says '\\?'; write A, B or same"):
        assistant.ab_result(sheet, first)
    with pytest.raises(DataError, match="as many of each"):
        assistant.ab_sheet(["q"], [], ["a"], seed=0)
