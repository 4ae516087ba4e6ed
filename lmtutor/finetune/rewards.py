"""Practice with a checker: the model answers, a rule says right or wrong, and what was better than its fellows becomes likelier.

This is group relative policy optimisation (GRPO) in its smallest form. Each question is answered several times; the mean reward of
the group is what an answer is measured against, so no second network has to guess it. One update is made from each batch of
answers, from which the model that gave them is still the model that is trained: the ratio of the two is 1, and the clip of the
original has nothing to clip. There is no penalty for leaving the reference model.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune.sft import RECIPE
from lmtutor.train import History, train

STEPS, BATCH, GROUP = 200, 16, 8
TOO_SMALL = 1e-4  # added to the spread of a group, which may be 0
REWARDS = ("right", "random")


@dataclass(frozen=True)
class Questions:
    """N questions of one length whose answer is one token."""

    prompts: np.ndarray  # (N, T) token ids
    answers: np.ndarray  # (N,) the right token
    kinds: tuple[str, ...]  # N names, to report apart

    def __post_init__(self):
        if not len(self.prompts) or not len(self.prompts) == len(self.answers) == len(self.kinds):
            given = f"{len(self.prompts)} prompts, {len(self.answers)} answers, {len(self.kinds)} kinds"
            raise DataError(f"{given}; give each question all three, and at least one question")


@dataclass
class Practice:
    """What happened in practice: one number a step in each list."""

    reward: list[float] = field(default_factory=list)  # mean over the answers
    entropy: list[float] = field(default_factory=list)  # nats, of the distribution that answers are drawn from
    mute: list[float] = field(default_factory=list)  # share of groups that all got one reward: they teach nothing


def advantages(rewards: torch.Tensor) -> torch.Tensor:
    """How much better each answer was than its group, in units of the group's spread.

    Parameters
    ----------
    rewards : (B, G)    G answers to each of B questions

    Returns
    -------
    (B, G)    each row sums to 0; all 0 where a group got one reward throughout

    Raises
    ------
    ConfigError    a group of fewer than two has nothing to be compared with

    Source: Shao et al. 2024
    """
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise ConfigError(f"rewards have the shape {tuple(rewards.shape)}; give questions by answers, two answers or more")
    return (rewards - rewards.mean(dim=1, keepdim=True)) / (rewards.std(dim=1, keepdim=True) + TOO_SMALL)


def policy_loss(log_probs: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
    """What to go down: answers with an advantage become likelier, the others less likely.

    Parameters
    ----------
    log_probs : (B, G) nats    of the answers that were drawn
    advantages : (B, G)        taken as given: no gradient runs through them

    Returns
    -------
    scalar    its value says nothing (before an update it is about 0 whatever the rewards); its gradient does
    """
    return -(advantages.detach() * log_probs).mean()


def practise(model: nn.Module, questions: Questions, *, lr: float, seed: int, steps: int = STEPS, group: int = GROUP,
             batch: int = BATCH, reward: str = "right", **settings) -> tuple[History, Practice]:
    """Let the model answer, reward it, and move every weight; it is changed in place.

    The learning rate rises and falls as in `sft.fine_tune`, and the order of the questions is the same, so that with equal `steps`
    and `batch` both read the same questions.

    Parameters
    ----------
    lr : float       the highest learning rate
    seed : int       of the order of the questions and of the answers that are drawn
    group : int      answers to each question
    batch : int      questions a step
    reward : str     "right": 1 for the right token, else 0; "random": 1 or 0 by the toss of a coin, whatever was answered
    settings         of `lmtutor.train.train`: `evaluate` and `evaluate_at`

    Returns
    -------
    history, practice

    Raises
    ------
    ConfigError    there is no such reward, or the group is too small
    """
    if reward not in REWARDS:
        raise ConfigError(f"no reward is called {reward!r}; choose from {', '.join(REWARDS)}")
    if group < 2:
        raise ConfigError(f"group is {group}; give 2 or more answers a question")
    draws, told = torch.Generator().manual_seed(seed), Practice()

    def objective(model, rows):  # (B, T + 1): a prompt and its right answer
        ids, right = rows[:, :-1], rows[:, -1]
        log_p = model(ids, logits_to_keep=1).logits[:, -1].float().log_softmax(dim=-1)  # (B, V)
        drawn = torch.multinomial(log_p.detach().exp().cpu(), group, replacement=True, generator=draws).to(ids.device)  # (B, G)
        if reward == "right":
            rewards = (drawn == right[:, None]).float()
        else:
            rewards = torch.randint(2, drawn.shape, generator=draws).to(ids.device).float()
        told.reward.append(rewards.mean().item())
        told.entropy.append(-(log_p.exp() * log_p).sum(dim=-1).mean().item())
        told.mute.append((rewards == rewards[:, :1]).all(dim=1).float().mean().item())
        return policy_loss(log_p.gather(1, drawn), advantages(rewards))

    rows = np.column_stack([questions.prompts, questions.answers])
    history = train(model, rows, recipe(lr, steps, min(batch, len(rows))), seed=seed, objective=objective, **settings)
    return history, told


def recipe(lr: float, steps: int, batch: int):
    """The settings of `sft.fine_tune`."""
    return replace(RECIPE, steps=steps, batch_size=batch, embedding_lr=lr, other_lr=lr, warmup=max(1, min(10, steps // 5)))


@torch.inference_mode()
def answer_distribution(model: nn.Module, questions: Questions, *, batch_size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """How likely each question's right answer is, and how open the answer is.

    Returns
    -------
    p : (N,)          probability of the right token
    entropy : (N,)    nats, over all tokens
    """
    p, entropy = [], []
    for start in range(0, len(questions.prompts), batch_size):
        some = slice(start, start + batch_size)
        ids = torch.from_numpy(questions.prompts[some]).to(model.device)
        log_p = model(ids, logits_to_keep=1).logits[:, -1].float().log_softmax(dim=-1).cpu()
        p.append(log_p.exp().gather(1, torch.from_numpy(questions.answers[some])[:, None])[:, 0].numpy())
        entropy.append(-(log_p.exp() * log_p).sum(dim=-1).numpy())
    return np.concatenate(p), np.concatenate(entropy)
