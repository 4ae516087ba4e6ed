"""Practice with a checker: advantages, the loss and its gradient, and a tiny model that learns what is rewarded."""

import copy

import numpy as np
import pytest
import torch

from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune import rewards
from lmtutor.finetune.rewards import Questions, advantages, answer_distribution, policy_loss, practise
from lmtutor.models.transformer import TinyConfig, build

SMALL = dict(vocab_size=16, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)


def questions(n=8):
    prompts = np.array([[0, 1 + i % 8] for i in range(n)])
    return Questions(prompts, 8 + prompts[:, 1] % 4, tuple("ab"[i % 2] for i in range(n)))


@pytest.fixture
def small():
    return build(TinyConfig(**SMALL), seed=0)


def test_advantages_by_hand():
    found = advantages(torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 1]]))
    assert torch.allclose(found[0], torch.tensor([0.75, -0.25, -0.25, -0.25]) / (0.5 + 1e-4))  # the sample's spread is .5
    assert (found[1] == 0).all()


def test_the_gradient_is_that_of_the_policy_by_hand():
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    drawn, rewarded = torch.tensor([[0, 3, 3], [1, 2, 4]]), torch.tensor([[1.0, 0, 0], [0, 1, 1]])
    better = advantages(rewarded)
    policy_loss(logits.log_softmax(-1).gather(1, drawn), better).backward()
    p, by_hand = logits.detach().softmax(-1), torch.zeros(2, 5)
    for i in range(2):
        for j in range(3):
            by_hand[i] -= better[i, j] * (torch.eye(5)[drawn[i, j]] - p[i]) / 6
    assert torch.allclose(logits.grad, by_hand, atol=1e-6)


def test_no_gradient_runs_through_the_advantages():
    given = torch.ones(1, 2, requires_grad=True)
    policy_loss(torch.zeros(1, 2, requires_grad=True), given).backward()
    assert given.grad is None


def test_what_is_rewarded_becomes_likelier(small):
    before, _ = answer_distribution(small, questions())
    history, told = practise(small, questions(), lr=3e-3, seed=0, steps=60, batch=8)
    after, entropy = answer_distribution(small, questions())
    assert after.mean() > before.mean() + 0.3 and (entropy >= 0).all()
    assert len(history.loss) == len(told.reward) == len(told.entropy) == len(told.mute) == 60
    assert np.mean(told.reward[-10:]) > np.mean(told.reward[:10])


def test_random_rewards_do_not_ask_what_was_said(small):
    _, told = practise(small, questions(), lr=1e-4, seed=0, steps=40, batch=8, reward="random")
    assert 0.4 < np.mean(told.reward) < 0.6


def test_practice_can_be_repeated(small):
    found = []
    for _ in range(2):
        model = build(TinyConfig(**SMALL), seed=0)
        found.append(practise(model, questions(), lr=1e-3, seed=3, steps=3, batch=4)[1].reward)
    assert found[0] == found[1]


def test_bad_input_is_told_what_to_do(small):
    with pytest.raises(ConfigError, match="choose from right, random"):
        practise(small, questions(), lr=1e-3, seed=0, reward="kind")
    with pytest.raises(ConfigError, match="2 or more answers"):
        practise(small, questions(), lr=1e-3, seed=0, group=1)
    with pytest.raises(ConfigError, match="two answers or more"):
        advantages(torch.ones(3, 1))
    with pytest.raises(DataError, match="all three"):
        Questions(np.zeros((2, 3), int), np.zeros(1, int), ("a", "a"))


def test_the_recipe_is_that_of_supervised_fine_tuning(monkeypatch, small):
    from lmtutor.finetune import sft

    seen = []
    monkeypatch.setattr(sft, "train", lambda model, rows, config, **settings: seen.append(config))
    sft.fine_tune(small, sft.example_rows([([0, 1], [2])] * 16), lr=5e-4, steps=30, seed=0, batch_size=16)
    assert seen == [rewards.recipe(5e-4, 30, 16)]


def test_the_gradient_is_that_of_trl(small, tmp_path):
    """The same batch, as trl drew it: its advantages, and the gradient of every weight. The losses' values are about 0 in both."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    from lmtutor.models.tokens import word_tokenizer

    torch.nn.init.normal_(small.lm_head.weight, generator=torch.Generator().manual_seed(1))
    ours, words, seen = copy.deepcopy(small), ["<eos>", *(f"w{i}" for i in range(1, SMALL["vocab_size"]))], {}

    def even(completion_ids, **_):
        return [float(ids[0] % 2 == 0) for ids in completion_ids]

    class Watched(trl.GRPOTrainer):
        def compute_loss(self, model, inputs, **settings):
            loss = super().compute_loss(model, inputs, **settings)
            found = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
            seen.update(inputs, gradients=dict(zip(dict(model.named_parameters()), found, strict=True)))
            return loss

    config = trl.GRPOConfig(output_dir=str(tmp_path), per_device_train_batch_size=16, num_generations=4, max_completion_length=1, max_steps=1,
                            beta=0.0, loss_type="dapo", gradient_checkpointing=False, use_cpu=True, bf16=False, report_to="none",
                            save_strategy="no", disable_tqdm=True, seed=0)
    asked = Dataset.from_list([{"prompt": f"w{i} w{i + 1}"} for i in range(1, 5)])
    Watched(small, even, args=config, train_dataset=asked, processing_class=word_tokenizer(words)).train()

    order = seen["prompt_ids"][:, 0].argsort(stable=True)  # trl shuffles the answers of a group among the others
    prompts, drawn = seen["prompt_ids"][order].view(4, 4, 2)[:, 0], seen["completion_ids"][order].view(4, 4)
    better = advantages((drawn % 2 == 0).float())
    assert torch.allclose(better, seen["advantages"][order].view(4, 4), atol=1e-5) and better.any()
    log_p = ours(prompts, logits_to_keep=1).logits[:, -1].log_softmax(dim=-1)
    policy_loss(log_p.gather(1, drawn), better).backward()
    for name, parameter in ours.named_parameters():
        assert torch.allclose(parameter.grad, seen["gradients"][name], atol=1e-5), name
    assert max(parameter.grad.abs().max() for parameter in ours.parameters()) > 0.01
