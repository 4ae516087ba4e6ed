"""Chapter 16's exercises: what the checks accept, and that they know the usual mistakes."""

import math

import numpy as np
import pytest

from lmtutor.chapters.after_2023 import exercises


@pytest.mark.parametrize("wrong, hint", [
    (lambda p, k: k * p, "counts right answers"),
    (lambda p, k: min(1, k * p), "a sum counts"),
    (lambda p, k: 1 - p**k, "at least one wrong"),
    (lambda p, k: (1 - p) ** k, "none right"),
    (lambda p, k: p**k, "one is enough"),
    (lambda p, k: k * p * (1 - p) ** (k - 1), "exactly one right"),
    (lambda p, k: 0.5, "all k wrong"),
    (0.5, "the function itself"),
])
def test_pass_at_k_by_hand(wrong, hint):
    assert exercises.some_try_is_right(lambda p, k: 1 - (1 - p) ** k) is True
    assert hint in exercises.some_try_is_right(wrong)


def advantage(rewards, *, ddof=1, spread=True, mean=True, power=1, sign=1):
    rewards = np.array(rewards, dtype=float)
    away = rewards - rewards.mean() * mean
    scale = rewards.std(ddof=ddof) ** power if spread else 1.0
    return (sign * away / scale if scale else 0 * rewards).tolist()


def divided(rewards):
    mean = sum(rewards) / len(rewards)
    return [(r - mean) / math.sqrt(sum((s - mean) ** 2 for s in rewards) / (len(rewards) - 1)) for r in rewards]


def divided_in_numpy(rewards):
    with np.errstate(invalid="ignore"):
        return (np.array(rewards) - np.mean(rewards)) / np.std(rewards, ddof=1)


@pytest.mark.parametrize("wrong, hint", [
    (lambda rewards: advantage(rewards, spread=False), "divide by the spread"),
    (lambda rewards: advantage(rewards, ddof=0), "of a sample"),
    (lambda rewards: advantage(rewards, power=2), "square root"),
    (lambda rewards: advantage(rewards, mean=False), "mean of the group"),
    (lambda rewards: advantage(rewards, sign=-1), "turned round"),
    (lambda rewards: advantage(rewards)[0], "one number for each"),
    (lambda rewards: [r or 1.0 for r in advantage(rewards)], "zeros, but it says"),
    (divided, "zeros"),
    (divided_in_numpy, "0 divided by 0"),
    ([1.5, -0.5, -0.5, -0.5], "the function itself"),
])
def test_advantages_of_a_group(wrong, hint):
    assert exercises.better_than_its_group(advantage) is True
    assert hint in exercises.better_than_its_group(wrong)


def test_a_little_may_be_added_to_the_spread():
    added = lambda rewards: [(r - np.mean(rewards)) / (np.std(rewards, ddof=1) + 1e-4) for r in rewards]  # noqa: E731
    assert exercises.better_than_its_group(added) is True


def nats(x):
    return math.log1p(math.exp(-x))


@pytest.mark.parametrize("wrong, hint", [
    (lambda c, r, rc, rr, b: nats(-b * (c - rc - r + rr)), "sign"),
    (lambda c, r, rc, rr, b: -nats(b * (c - rc - r + rr)), "above zero"),
    (lambda c, r, rc, rr, b: nats(b * (c - r)), "reference"),
    (lambda c, r, rc, rr, b: nats(c - rc - r + rr), "beta is missing"),
    (lambda c, r, rc, rr, b: nats((c - rc - r + rr) / b), "don't divide"),
    (lambda c, r, rc, rr, b: b * nats(c - rc - r + rr), "inside the sigmoid"),
    (lambda c, r, rc, rr, b: nats(b * (c - rc)), "rejected answer is missing"),
    (lambda c, r, rc, rr, b: nats(b * (c - rc + r - rr)), "not added"),
    (lambda c, r, rc, rr, b: nats(b * (c - rc - r + rr)) / math.log(2), "in bits"),
    (lambda c, r, rc, rr, b: -b * (c - rc - r + rr), "the margin"),
    (lambda c, r, rc, rr, b: 1.0, "log 2"),
    (math.log(2), "the function itself"),
])
def test_the_loss_of_one_pair(wrong, hint):
    assert exercises.one_pair(lambda c, r, rc, rr, b: nats(b * (c - rc - r + rr))) is True
    assert hint in exercises.one_pair(wrong)


def test_the_loss_of_a_far_pair_does_not_stop_the_check():
    def by_sigmoid(c, r, rc, rr, b):
        return -math.log(1 / (1 + math.exp(-b * (c - rc - r + rr))))

    assert exercises.one_pair(by_sigmoid) is True


def leaked(text, corpus, n=8, *, lower=True, joined=False, distinct=False, of_words=False, count=False):
    def words(one):
        return (one.lower() if lower else one).split()

    def runs(w):
        return [tuple(w[i : i + n]) for i in range(len(w) - n + 1)]

    mine, whole = runs(words(text)), words(" ".join(corpus))
    if joined:
        known = set(runs(whole))
    else:
        known = {run for one in corpus for run in runs(words(one))}
    mine = list(set(mine)) if distinct else mine
    found = sum(run in known for run in mine)
    return found if count else found / max(1, len(words(text)) if of_words else len(mine))


def in_letters(text, corpus, n=8):
    w = text.lower().split()
    mine = [" ".join(w[i : i + n]) for i in range(len(w) - n + 1)]
    return sum(any(run in one.lower() for one in corpus) for run in mine) / max(1, len(mine))


def bag(text, corpus, n=8):
    known = {word for one in corpus for word in one.lower().split()}
    words = text.lower().split()
    return sum(word in known for word in words) / len(words)


def unguarded(text, corpus, n=8):
    w = text.lower().split()
    runs = [w[i : i + n] for i in range(len(w) - n + 1)]
    known = [one.lower().split()[i : i + n] for one in corpus for i in range(len(one.split()) - n + 1)]
    return sum(run in known for run in runs) / len(runs)


@pytest.mark.parametrize("wrong, hint", [
    (bag, "another order"),
    (lambda *given: leaked(*given, joined=True), "over the end of one text"),
    (lambda *given: leaked(*given, lower=False), "capital letters"),
    (lambda *given: leaked(*given, distinct=True), "each different run once"),
    (in_letters, "not letters"),
    (unguarded, "the share is 0"),
    (lambda *given: leaked(*given, of_words=True), "not by the words"),
    (lambda *given: leaked(*given, count=True), "that is the count"),
    (lambda text, corpus, n=5: leaked(text, corpus, n) * (n != 5), "n is 8"),
    (0.5, "the function itself"),
])
def test_runs_of_words_that_were_read(wrong, hint):
    assert exercises.runs_that_were_read(leaked) is True
    assert hint in exercises.runs_that_were_read(wrong)


@pytest.mark.parametrize("number", range(1, len(exercises.EXERCISES) + 1))
def test_nonsense_is_not_accepted(number, capsys):
    for nonsense in (None, "", [], {}, -1e9, float("nan"), "no such answer", lambda *given: None, lambda *given: "x"):
        exercises.check(number, nonsense)
        assert capsys.readouterr().out.startswith("not yet: ")
