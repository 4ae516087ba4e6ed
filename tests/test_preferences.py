"""Preferences: the loss by hand, which tokens are summed, and that training moves the two answers apart."""

import copy
import math

import numpy as np
import pytest
import torch

from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune import sft
from lmtutor.finetune.preferences import dpo_loss, log_p, prefer
from lmtutor.models.tokens import word_tokenizer
from lmtutor.models.transformer import TinyConfig, build


@pytest.fixture
def model():
    tiny = build(TinyConfig(vocab_size=20, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2), seed=0)
    torch.nn.init.normal_(tiny.lm_head.weight, generator=torch.Generator().manual_seed(1))
    return tiny.eval()


def test_log_p_is_the_sum_over_the_answer_and_padding_adds_nothing(model):
    rows = torch.from_numpy(sft.example_rows([([1, 2, 3], [4, 5]), ([6], [7])], width=9))
    logits = [model(torch.tensor([ids])).logits[0].log_softmax(-1) for ids in ([1, 2, 3, 4], [6])]
    by_hand = torch.stack([logits[0][2, 4] + logits[0][3, 5], logits[1][0, 7]])
    assert torch.allclose(log_p(model, rows), by_hand, atol=1e-5)


def test_a_model_that_is_its_reference_has_a_loss_of_log_2():
    a, b = torch.tensor([-3.0, -1.0]), torch.tensor([-2.0, -5.0])
    assert dpo_loss(a, b, a, b, beta=0.1).item() == pytest.approx(math.log(2))


def test_the_loss_by_hand():
    """Chosen rose by 2 nats, rejected fell by 1: at beta .5 the margin counts 1.5; a second pair went the other way."""
    one = dpo_loss(*map(torch.tensor, ([-3.0], [-6.0], [-5.0], [-5.0])), beta=0.5).item()
    other = dpo_loss(*map(torch.tensor, ([-6.0], [-3.0], [-5.0], [-5.0])), beta=0.5).item()
    assert one == pytest.approx(math.log(1 + math.exp(-1.5))) and other == pytest.approx(math.log(1 + math.exp(1.5)))
    both = dpo_loss(*map(torch.tensor, ([-3.0, -6.0], [-6.0, -3.0], [-5.0, -5.0], [-5.0, -5.0])), beta=0.5).item()
    assert both == pytest.approx((one + other) / 2)


def test_only_the_difference_counts_so_both_may_fall():
    gain = [dpo_loss(*map(torch.tensor, ([-5.0 - down + 2], [-5.0 - down], [-5.0], [-5.0])), beta=0.1).item() for down in (0.0, 7.0)]
    assert gain[0] == pytest.approx(gain[1])


def test_the_gradient_is_beta_times_the_doubt():
    chosen = torch.tensor([-3.0], requires_grad=True)
    dpo_loss(chosen, torch.tensor([-6.0]), torch.tensor([-5.0]), torch.tensor([-5.0]), beta=0.5).backward()
    assert chosen.grad.item() == pytest.approx(-0.5 / (1 + math.exp(1.5)))


def test_training_moves_the_two_answers_apart_from_where_they_were(model):
    chosen = sft.example_rows([([1, 2], [3, 4]), ([5, 6], [7]), ([8], [9, 10])], width=5)
    rejected = sft.example_rows([([1, 2], [11, 4]), ([5, 6], [12]), ([8], [13, 10])], width=5)

    def margin():
        with torch.no_grad():
            return log_p(model, torch.from_numpy(chosen)) - log_p(model, torch.from_numpy(rejected))

    before = margin()
    history = prefer(model, chosen, rejected, beta=0.5, lr=1e-2, seed=0, steps=20)
    assert history.loss[0] == pytest.approx(math.log(2), abs=1e-3) and history.loss[-1] < history.loss[0]
    assert (margin() > before).all() and not model.training


def test_bad_input_is_told(model):
    rows = np.zeros((3, 2, 4), int)
    with pytest.raises(DataError, match="as many rows"):
        prefer(model, rows, rows[:2], beta=0.1, lr=1e-4, seed=0)
    with pytest.raises(ConfigError, match="beta is 0"):
        prefer(model, rows, rows, beta=0, lr=1e-4, seed=0)
    with pytest.raises(ConfigError, match="beta is -1"):
        dpo_loss(*[torch.zeros(1)] * 4, beta=-1)


def test_trl_reads_the_same_loss_and_gradient_off_the_same_batch(tmp_path):
    """trl's trainer, on a batch that it made itself: its log p are sums too, its loss is ours, and so is the gradient.

    trl ends both answers with `<eos>`, so the answers here do too; the reference has another head, or every loss were log 2.
    """
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    words = ["<eos>", *"abcdefghijklmnopqrs"]
    tiny = build(TinyConfig(vocab_size=20, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2), seed=0)
    reference = copy.deepcopy(tiny)
    for net, seed in ((tiny, 1), (reference, 2)):
        torch.nn.init.normal_(net.lm_head.weight, generator=torch.Generator().manual_seed(seed))
    pairs = [("<eos> a b c", " d e <eos>", " f <eos>"), ("<eos> g", " h <eos>", " i j k <eos>"), ("<eos> l m", " n <eos>", " o <eos>")]
    names = ("prompt", "chosen", "rejected")
    settings = trl.DPOConfig(str(tmp_path), beta=0.3, per_device_train_batch_size=len(pairs), max_steps=1, use_cpu=True, bf16=False,
                             gradient_checkpointing=False, report_to="none", disable_tqdm=True, save_strategy="no")
    trainer = trl.DPOTrainer(tiny, reference, settings, train_dataset=Dataset.from_list([dict(zip(names, pair)) for pair in pairs]),
                             processing_class=word_tokenizer(words))
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, dict(batch))
    theirs.backward()
    gradient = [p.grad.clone() for p in tiny.parameters()]

    ids, asked, real = batch["input_ids"], batch["completion_mask"].bool(), batch["attention_mask"].bool()
    examples = [(row[real_ & ~asked_].tolist(), row[asked_].tolist()) for row, asked_, real_ in zip(ids, asked, real)]
    assert sorted(tuple(prompt + answer) for prompt, answer in examples) == sorted(
        tuple(words.index(w) for w in (prompt + answer).split()) for prompt, *answers in pairs for answer in answers)
    rows = torch.from_numpy(sft.example_rows(examples))
    now, (ref_chosen, ref_rejected) = log_p(tiny, rows).chunk(2), log_p(reference, rows).detach().chunk(2)
    tiny.zero_grad()
    ours = dpo_loss(*now, ref_chosen, ref_rejected, beta=0.3)
    ours.backward()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5) and abs(ours.item() - math.log(2)) > 0.01
    assert all(torch.allclose(p.grad, g, atol=1e-5) for p, g in zip(tiny.parameters(), gradient))
