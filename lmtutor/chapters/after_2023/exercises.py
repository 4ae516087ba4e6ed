"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker


def some_try_is_right(answer: Any) -> bool | str:
    """A function (p, k) -> how likely at least one of k answers is right."""
    from lmtutor.measure.metrics import pass_at

    if not callable(answer):
        return "give the function itself: pass_at_k = lambda p, k: ..."
    for p, k in ((0.3, 4), (0.01, 256), (0.25, 1), (1.0, 2), (0.0, 8)):
        given, true = float(answer(p, k)), float(pass_at([p], k)[0])
        if math.isclose(given, true, abs_tol=1e-6):
            continue
        near = {k * p: "that counts right answers, and may exceed 1: two right ones are one question answered",
                min(1.0, k * p): "a sum counts a question twice where two tries are right: go by way of no try being right",
                1 - p**k: "that is at least one wrong; turn right and wrong round",
                (1 - p) ** k: "that is none right; wanted is the rest",
                p**k: "that is all right; one is enough",
                k * p * (1 - p) ** (k - 1): "that is exactly one right; two or more count as well",
                1 - (1 - p) * k: "all k have to be wrong: multiply, don't add"}
        hint = next((text for value, text in near.items() if math.isclose(given, value, abs_tol=1e-6)), "how likely are all k wrong?")
        return f"p = {p:g}, k = {k}: it says {given:.3f}, not {true:.3f}; {hint}"
    return True


def better_than_its_group(answer: Any) -> bool | str:
    """A function of one group's rewards, a list -> their advantages, a list."""
    import numpy as np
    import torch

    from lmtutor.finetune.rewards import advantages

    if not callable(answer):
        return "give the function itself: def advantage(rewards): ..."
    for group in ([1, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0, 1], [0.2, 0.9, 0.4], [0, 0, 0, 0], [1, 1, 1]):
        rewards, alike = np.array(group, dtype=float), len(set(group)) == 1
        try:
            given = np.asarray(answer(list(group)), dtype=float)
        except ZeroDivisionError:
            return f"{group}: the spread is 0, so nothing can be divided by it; all are as good as their group: zeros"
        if given.shape != rewards.shape:
            return f"{group}: it gives shape {given.shape}; one number for each of {len(group)} answers"
        true = advantages(torch.tensor([group], dtype=torch.float32))[0].numpy()
        if np.allclose(given, true, atol=2e-3):  # with or without the little that is added to the spread
            continue
        if not np.isfinite(given).all():
            return f"{group}: 0 divided by 0; all are as good as their group: zeros, or add a little to the spread"
        if alike:
            return f"{group}: all are as good as their group: zeros, but it says {given.round(2).tolist()}"
        away = rewards - rewards.mean()
        near = ((away, "divide by the spread of the group, its standard deviation"),
                (away / rewards.std(), "that is the spread of a whole population; of a sample it is divided by n - 1, not by n"),
                (away / rewards.var(ddof=1), "that divides by the variance; the spread is its square root"),
                (rewards / rewards.std(ddof=1), "take the mean of the group away first"),
                (-true, "the sign is turned round: what got more than its group is above zero"))
        hint = next((text for value, text in near if np.allclose(given, value, atol=2e-3)), "reward less the mean, divided by the standard deviation")
        return f"{group}: it says {given.round(2).tolist()}, not {true.round(2).tolist()}; {hint}"
    return True


def one_pair(answer: Any) -> bool | str:
    """A function (chosen, rejected, ref_chosen, ref_rejected, beta) -> the loss of one pair, in nats."""
    import torch

    from lmtutor.finetune.preferences import dpo_loss

    if not callable(answer):
        return "give the function itself: def dpo(chosen, rejected, ref_chosen, ref_rejected, beta): ..."
    for case in ((-12.0, -9.0, -12.0, -9.0, 0.1), (-10.0, -11.0, -12.0, -9.0, 0.1), (-20.0, -31.0, -12.0, -9.0, 0.5), (-9.0, -4.0, -8.0, -7.0, 1.0)):
        chosen, rejected, ref_chosen, ref_rejected, beta = case
        true = float(dpo_loss(*(torch.tensor([x], dtype=torch.float64) for x in case[:4]), beta=beta))
        given = float(answer(*case))
        if math.isclose(given, true, abs_tol=1e-6):
            continue
        margin = (chosen - ref_chosen) - (rejected - ref_rejected)

        def loss(x):
            return math.log1p(math.exp(-x))

        near = {loss(-beta * margin): "the sign is turned round: the loss falls as the chosen answer rises",
                -loss(beta * margin): "a loss is above zero: minus log sigmoid",
                loss(beta * (chosen - rejected)): "the reference is missing: count how far each has risen above what it was",
                loss(margin): "beta is missing: it multiplies the margin",
                loss(margin / beta): "multiply by beta, don't divide",
                beta * loss(margin): "beta stands inside the sigmoid",
                loss(beta * (chosen - ref_chosen)): "the rejected answer is missing: only the difference of the two counts",
                loss(beta * (chosen - ref_chosen + rejected - ref_rejected)): "the rejected answer's rise is taken away, not added",
                1 / (1 + math.exp(-beta * margin)): "that is the probability; the loss is minus its logarithm",
                loss(beta * margin) / math.log(2): "that is in bits; nats take the natural logarithm",
                -beta * margin: "that is the margin; it goes through minus log sigmoid"}
        start = " At the start, where model and reference are one, it is log 2." if margin == 0 else ""
        hint = next((text for value, text in near.items() if math.isclose(given, value, abs_tol=1e-6)), "-log sigmoid(beta * margin)")
        told = f"{chosen:g}, {rejected:g}, reference {ref_chosen:g}, {ref_rejected:g}, beta {beta:g}"
        return f"{told}: it says {given:.3f}, not {true:.3f}; {hint}.{start}"
    return True


def share_found(text: str, corpus: list[str], n: int = 8, *, distinct: bool = False) -> float:
    """Share of the places in a text at which a run of n words begins that stands in one of the corpus's texts."""
    def runs(words):
        return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

    known = {run for other in corpus for run in runs(other.lower().split())}
    mine = runs(text.lower().split())
    mine = sorted(set(mine)) if distinct else mine
    return sum(run in known for run in mine) / max(1, len(mine))


def runs_that_were_read(answer: Any) -> bool | str:
    """A function (text, corpus, n=8) -> the share of the text's runs of n words that stand in the corpus."""
    if not callable(answer):
        return "give the function itself: def looks_leaked(text, corpus, n=8): ..."
    story = "the old harbour was closed on monday after a crane fell into the water and nobody was hurt"
    cases = (
        (story, [f"Local news: {story} , police said."], 8, "all of it stands there, inside a longer text"),
        (story, [" ".join(reversed(story.split()))], 8, "the same words in another order are no copy"),
        (story, [story[:44], story[44:]], 8, "no run goes over the end of one text into the next"),
        ("The Old Harbour was closed", ["the old harbour Was Closed today"], 3, "capital letters make no difference"),
        ("a b c a b c a b c x y z", ["a b c a"], 3, "count places, each as often as it comes: a run that comes three times counts three times"),
        ("one cat ran", ["someone cat rank"], 3, "compare words, not letters: 'one' stands in 'someone'"),
        ("too short", ["too short"], 3, "a text of fewer than n words has no run: 0"),
        (story, [], 8, "nothing was read: 0"),
    )
    for text, corpus, n, hint in cases:
        true = share_found(text, list(corpus), n)
        try:
            given = float(answer(text, list(corpus), n))
        except ZeroDivisionError:
            return f"a text of {len(text.split())} words has no run of {n}: the share is 0, not an error"
        if math.isclose(given, true, abs_tol=1e-6):
            continue
        found = round(true * (len(text.split()) - n + 1))
        if math.isclose(given, found, abs_tol=1e-6):
            return f"that is the count, {found}; wanted is the share of all places at which a run begins"
        if math.isclose(given, found / len(text.split()), abs_tol=1e-6):
            return f"divide by the runs, not by the words: {len(text.split())} words hold {len(text.split()) - n + 1} runs of {n}"
        different = share_found(text, corpus, n, distinct=True)
        if math.isclose(given, different, abs_tol=1e-6) and not math.isclose(true, different):
            hint = "that counts each different run once; count places"
        return f"{text[:30]!r}, n = {n}: it says {given:.2f}, not {true:.2f}; {hint}"
    return True if math.isclose(float(answer(story, [story])), 1.0) else "without a third argument n is 8: def looks_leaked(text, corpus, n=8)"


EXERCISES = [
    Exercise(
        3, "The loss of one preferred and one rejected answer", Checker(one_pair, "a function"),
        "-log sigmoid(beta * margin), where the margin is the rise of the chosen one's log p less the rise of the rejected one's",
        "log 2 at the start, whatever the answers; and nothing in it asks that the chosen answer become likelier, only that the gap grow",
    ),
    Exercise(
        3, "How much better was each answer than its group?", Checker(better_than_its_group, "a function of a list that gives a list"),
        "reward less the mean, divided by the standard deviation; zeros where all are alike",
        "a group in which all are right, or all wrong, teaches nothing: practice needs questions that are answered now and then",
    ),
    Exercise(
        2, "How likely is at least one of k answers right?", Checker(some_try_is_right, "a function"),
        "all k are wrong with probability (1 - p)^k",
        "many tries make a sure thing of a small chance, so pass@k for large k asks whether the right answer is anywhere in the model",
    ),
    Exercise(
        15, "How much of a test text was read before?", Checker(runs_that_were_read, "a function"),
        "the runs of n words of every text of the corpus in a set; then the share of the text's runs that are in it",
        "eight words in a row are rarely the same by chance; a paraphrase passes, so a share of 0 is no proof of a clean test",
    ),
]

check = checker(EXERCISES)
