"""How often the book's intervals hold the truth, and how wide they are, in the situations in which it uses them.

    python benchmarks/coverage.py [--trials 400] [--out coverage.md]

Every trial draws a study from a world whose truth is known and asks for its 95 % interval. Seeds and items have effects of their own,
normal on the scale of log-odds, so some items are hard for all seeds. Old methods stand beside the new ones; with 400 trials the
standard error of a coverage of 95 % is one point. It needs less than three minutes on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm, t

from lmtutor.chapters.transfer_and_labels.labels import labels_worth
from lmtutor.measure.stats import paired_bootstrap, resampled_means, seeds_then_items, share_of_seeds, wilson

NODES = np.random.default_rng(0).normal(size=(2, 40_000))


def centre(accuracy, seeds, items):
    """The log-odds at which answers with these effects (standard deviations) are right with this probability."""
    return brentq(lambda x: expit(x + seeds * NODES[0] + items * NODES[1]).mean() - accuracy, -30, 30)


def answers(rng, S, N, middle, seeds, items):
    """(S, N) of 0.0 and 1.0."""
    return (rng.random((S, N)) < expit(middle + seeds * rng.normal(size=(S, 1)) + items * rng.normal(size=N))).astype(float)


def before(values, seed, lowest=0.0, highest=1.0, classes=None, resamples=500):
    """The interval as it was: percentiles of resampled seeds plus resampled items, only the seeds' part stretched; low, high."""
    groups = [values] if classes is None else [values[:, classes == c] for c in np.unique(classes)]
    each = np.mean([group.mean(axis=1) for group in groups], axis=0)
    if values.min() == values.max():
        unseen = wilson(0, values.shape[1]).high
        return each.mean() - unseen * (each.mean() - lowest), each.mean() + unseen * (highest - each.mean())
    rng, S = np.random.default_rng(seed), len(values)
    means = np.mean([resampled_means(group.mean(axis=0), resamples, rng) for group in groups], axis=0)
    if S > 1:
        stretch = t.ppf(0.975, S - 1) / norm.ppf(0.975) * np.sqrt(S / (S - 1))
        means += stretch * (resampled_means(each, resamples, rng) - each.mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return max(low, lowest), min(high, highest)


def satterthwaite(values):
    """The two-way random-effects interval with what is neither taken out once; low, high."""
    S, N = values.shape
    of_seeds, of_items = N * values.mean(axis=1).var(ddof=1), S * values.mean(axis=0).var(ddof=1)
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    rest = (rest**2).sum() / ((S - 1) * (N - 1))
    total = max(of_seeds + of_items - rest, of_seeds, of_items)
    if not total:
        return values.mean(), values.mean()
    freedom = total**2 / (of_seeds**2 / (S - 1) + of_items**2 / (N - 1) + rest**2 / ((S - 1) * (N - 1)))
    half = t.ppf(0.975, max(freedom, min(S, N) - 1)) * np.sqrt(total / (S * N))
    return values.mean() - half, values.mean() + half


def ends(interval):
    return interval.low, interval.high


def shares(rng):
    for S, N in ((3, 6), (5, 9), (10, 9), (3, 40), (10, 40), (5, 200), (10, 1000)):
        for accuracy in (0.5, 0.8, 0.95, 0.99):
            middle = centre(accuracy, 0.4, 1.2)

            def draw(S=S, N=N, middle=middle):
                return answers(rng, S, N, middle, 0.4, 1.2)

            yield f"accuracy {accuracy:.2f}, S={S}, N={N}", accuracy, draw, {
                "before": before, "Satterthwaite": lambda v, i: satterthwaite(v), "now": lambda v, i: ends(seeds_then_items(v))}


def differences(rng):
    for S, N in ((3, 6), (5, 9), (10, 9), (3, 40), (5, 200)):
        truth = 0.1

        def draw(S=S, N=N):  # an item gains by an amount of its own, and so does a seed; between -1 and 1 by far
            gain = truth + 0.1 * rng.normal(size=N) + 0.05 * rng.normal(size=(S, 1)) + 0.1 * rng.normal(size=(S, N))
            return gain.clip(-1, 1)

        yield f"gain per probe, S={S}, N={N}", truth, draw, {
            "before": lambda v, i: before(v, i, -1.0), "Satterthwaite": lambda v, i: satterthwaite(v),
            "now": lambda v, i: ends(seeds_then_items(v, unit="points"))}
    for S in (3, 5, 10):
        truth, items = 0.1, 0.1 + 0.25 * rng.normal(size=9)
        items += truth - items.mean()

        def draw(S=S, items=items):
            return (items + 0.05 * rng.normal(size=(S, 1)) + 0.05 * rng.normal(size=(S, 9))).clip(-1, 1)

        yield f"the mean of just these 9 probes, S={S}", truth, draw, {
            "before": lambda v, i: before(v, i, -1.0), "now": lambda v, i: ends(seeds_then_items(v, unit="points", items="fixed"))}
    for S in (5, 10):
        def draw(S=S):  # one probe in four loses much, the others nothing
            return ((rng.random(9) < 0.25) * rng.exponential(0.4, 9) + 0.02 * rng.normal(size=(S, 9))).clip(-1, 1)

        yield f"a quarter of 9 probes loses all there is to lose, S={S}", 0.25 * 0.4 * (1 - np.exp(-1 / 0.4)), draw, {
            "before": lambda v, i: before(v, i, -1.0), "Satterthwaite": lambda v, i: satterthwaite(v),
            "now": lambda v, i: ends(seeds_then_items(v, unit="points"))}


def failing_seeds(rng):
    for S in (3, 5, 10):
        for ok, N in ((1.0, 200), (0.97, 200), (0.97, 9)):
            def draw(S=S, N=N, ok=ok):
                rate = np.where(rng.random((S, 1)) < 0.1, 0.5, ok)
                return (rng.random((S, N)) < rate).astype(float)

            yield f"1 seed in 10 is at chance, others {ok:.0%}, S={S}, N={N}", 0.9 * ok + 0.05, draw, {
                "before": before, "now": lambda v, i: ends(seeds_then_items(v)),
                "now, `floor=.5`": lambda v, i: ends(seeds_then_items(v, floor=0.5))}
        yield f"share of seeds that reach it, 9 in 10, S={S}", 0.9, lambda S=S: (rng.random(S) < 0.9).astype(float), {
            "now": lambda v, i: ends(share_of_seeds(v))}


def paired(rng):
    for N in (6, 12, 40, 200):
        def draw(N=N):
            u = rng.random(N)
            return (u < 0.25).astype(float) - (u > 0.9)

        yield f"right minus right, one run, N={N}", 0.15, draw, {
            "before": lambda v, i: before(v[None], i, -1.0),
            "now": lambda v, i: ends(paired_bootstrap(v, 0 * v, seed=i, resamples=500))}
        yield f"ratio of times, one run, N={N}", np.exp(0.02), lambda N=N: np.exp(0.2 * rng.normal(size=N)), {
            "before": lambda v, i: before(v[None], i, -np.inf, np.inf),
            "now": lambda v, i: ends(paired_bootstrap(v, 0 * v, seed=i, resamples=500, unit="times"))}


def balanced(rng):
    for S, sizes in ((3, (20, 6, 4)), (5, (140, 40, 20))):
        classes, accuracies = np.repeat(range(3), sizes), np.array([0.9, 0.6, 0.4])
        middles = np.array([centre(a, 0.4, 1.0) for a in accuracies])[classes]

        def draw(S=S, middles=middles):
            return answers(rng, S, len(middles), middles, 0.4, 1.0)

        yield f"balanced accuracy, classes of {', '.join(map(str, sizes))}, S={S}", accuracies.mean(), draw, {
            "before": lambda v, i, c=classes: before(v, i, classes=c), "now": lambda v, i, c=classes: ends(seeds_then_items(v, classes=c))}


def labels(rng):
    ns, rates = (4, 16, 64, 256), (0.55, 0.65, 0.75, 0.85)  # from scratch; with 8 labels .7 here is worth 32 there
    for S, N in ((5, 40), (5, 400), (10, 400)):
        def draw(S=S, N=N):
            hard = rng.normal(size=N)
            return [answers(rng, S, N, centre_of[rate] + hard, 0.3, 0.0) for rate in (0.7, *rates)]

        def call(tables, i, whole):
            given = [table if whole else table.mean(axis=1) for table in tables]
            return ends(labels_worth(given[0], 8, dict(zip(ns, given[1:])), seed=i, resamples=500))

        def old(tables, i):
            draws = np.random.default_rng(i)
            curve = np.column_stack([resampled_means(table.mean(axis=1), 500, draws) for table in tables])
            worth = [np.interp(m, np.maximum.accumulate(c), np.log2(ns), right=np.inf) for m, *c in curve]
            return tuple(2 ** np.quantile(worth, [0.025, 0.975], method="nearest") / 8)

        centre_of = {rate: centre(rate, 0.3, 1.0) for rate in (0.7, *rates)}
        yield f"labels are worth 4 times as many, S={S}, N={N}", 4.0, draw, {
            "before": old, "now, accuracies": lambda v, i: call(v, i, False), "now": lambda v, i: call(v, i, True)}


def coverage(truth, draw, methods, trials):
    """By method: the share of intervals that hold the truth, and their median width."""
    found = {name: [] for name in methods}
    for trial in range(trials):
        values = draw()
        for name, method in methods.items():
            low, high = method(values, trial)
            found[name].append((low - 1e-9 <= truth <= high + 1e-9, high - low))
    return {name: np.array(rows) for name, rows in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    columns = ("before", "Satterthwaite", "now", "now, `floor=.5`", "now, accuracies")
    lines = [f"| {' | '.join(['coverage in % (median width)', *columns])} |", "|---" * (len(columns) + 1) + "|"]
    rng = np.random.default_rng(1)
    print(*lines, sep="\n")
    for situations in (shares, differences, failing_seeds, paired, balanced, labels):
        for name, truth, draw, methods in situations(rng):
            found = coverage(truth, draw, methods, args.trials)
            cells = [f"{100 * found[c][:, 0].mean():.0f} ({np.median(found[c][:, 1]):.2g})" if c in found else "" for c in columns]
            lines.append(f"| {' | '.join([name, *cells])} |")
            print(lines[-1], flush=True)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
