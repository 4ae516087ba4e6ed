"""Supervised fine-tuning: which tokens are asked for, that the loss is pre-training's, and what bad input is told."""

import numpy as np
import pytest
import torch

from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune import sft
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.train import next_token_loss


@pytest.fixture(scope="module")
def model():
    tiny = build(TinyConfig(vocab_size=20, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2), seed=0)
    torch.nn.init.normal_(tiny.lm_head.weight, generator=torch.Generator().manual_seed(1))
    return tiny.eval()


def test_only_the_answer_is_asked_and_the_last_token_of_the_prompt_foretells_its_first():
    rows = sft.example_rows([([1, 2, 3], [4, 5]), ([6], [7])])
    assert rows[:, 0].tolist() == [[1, 2, 3, 4], [6, 0, 0, 0]]
    assert rows[:, 1].tolist() == [[-100, -100, 4, 5], [7, -100, -100, -100]]


def test_with_the_prompt_asked_every_token_but_the_first_is():
    assert sft.example_rows([([1, 2, 3], [4, 5])], ask_prompt=True)[0, 1].tolist() == [2, 3, 4, 5]


def test_where_everything_is_asked_the_loss_is_that_of_pretraining(model):
    text = np.random.default_rng(0).integers(1, 20, (6, 9))
    one, other = (f(model, torch.from_numpy(rows)) for f, rows in ((next_token_loss, text), (sft.answer_loss, sft.text_rows(text))))
    assert torch.allclose(one, other, atol=1e-6)


def test_each_row_has_the_same_say_and_padding_none(model):
    long, short = ([1, 2], [3, 4, 5, 6]), ([7, 8, 9], [10])
    alone = [sft.answer_loss(model, torch.from_numpy(sft.example_rows([e]))).item() for e in (long, short)]
    together = torch.from_numpy(sft.example_rows([long, short], width=12))
    assert sft.answer_loss(model, together).item() == pytest.approx(np.mean(alone), abs=1e-6)
    assert sft.held_out_loss(model, together.numpy()) == pytest.approx(alone, abs=1e-5)


def test_the_prompt_gets_no_gradient_through_the_head(model):
    """A token that stands only in the prompt, and is never asked, moves the loss through attention alone."""
    rows = torch.from_numpy(sft.example_rows([([1, 2, 3], [4])]))
    sft.answer_loss(model, rows).backward()
    moved = model.lm_head.weight.grad.abs().sum(dim=1)
    softmax_only, asked = model.lm_head.weight.grad[2], model.lm_head.weight.grad[4]
    assert moved[4] > 0 and torch.allclose(softmax_only / softmax_only.norm(), -asked / asked.norm(), atol=1e-5)
    model.zero_grad(set_to_none=True)


def test_replay_has_its_share_and_no_piece_of_old_text_twice():
    rows, old = np.zeros((90, 2, 4), int), np.arange(1, 41).reshape(40, 1, 1) * np.ones((1, 2, 4), int)
    mixed = sft.with_replay(rows, old, 0.1, seed=0)
    back = mixed[mixed[:, 0, 0] > 0, 0, 0]
    assert len(mixed) == 100 and len(back) == 10 == len(set(back.tolist()))


def test_fine_tuning_learns_the_answers_and_goes_on_after_an_interrupt(tmp_path, model):
    rows = sft.example_rows([([1, i], [i + 1]) for i in range(2, 12)])

    def start():
        return build(model.config, seed=5)

    whole = start()
    history = sft.fine_tune(whole, rows, lr=1e-2, steps=30, seed=0, dtype="float32")
    assert history.loss[-1] < history.loss[0] / 2

    stopped = start()

    def stop(m, step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sft.fine_tune(stopped, rows, lr=1e-2, steps=30, seed=0, dtype="float32", checkpoint=tmp_path / "c.pt", checkpoint_seconds=0,
                      evaluate=stop, evaluate_at=(17,))
    assert not stopped.training and np.isfinite(sft.held_out_loss(stopped, rows)).all()
    again = start()
    sft.fine_tune(again, rows, lr=1e-2, steps=30, seed=0, dtype="float32", checkpoint=tmp_path / "c.pt")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(("wrong", "error", "says"), [
    (lambda: sft.example_rows([]), DataError, "no examples"),
    (lambda: sft.example_rows([([1], [])]), DataError, "example 0 has an empty answer"),
    (lambda: sft.example_rows([([], [1])]), DataError, "example 0 has an empty prompt"),
    (lambda: sft.example_rows([([1, 2], [3])], width=1), ConfigError, "give a width of 2"),
    (lambda: sft.with_replay(np.zeros((9, 2, 2)), np.zeros((0, 2, 2)), 0.1, seed=0), ConfigError, "takes 1 rows of old text"),
    (lambda: sft.with_replay(np.zeros((9, 2, 2)), np.zeros((9, 2, 2)), 1.0, seed=0), ConfigError, "less than 1"),
])
def test_bad_input_is_told_what_to_do(wrong, error, says):
    with pytest.raises(error, match=says):
        wrong()
