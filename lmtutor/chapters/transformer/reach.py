"""Lists of pairs whose items come back, for a model that learns to look far, or near, by them."""

from __future__ import annotations

import numpy as np

from lmtutor.errors import ConfigError
from lmtutor.tinyworld import world as tw


def lists_with_repeats(world: tw.World, n: int, furthest: int, *, seed: int, pairs: int = 42) -> np.ndarray:
    """Rows `item label ; item label ; ...` in which every second pair, by chance, is an earlier one again.

    Each item has a label of its own, drawn anew in each row, so that the second time it can be known by looking back.

    Parameters
    ----------
    n : int           rows
    furthest : int    how many pairs back, of three tokens each, a pair may have stood that comes again
    pairs : int       most different pairs in a row

    Returns
    -------
    (n, 3 * pairs + 3)    token ids, `<eos>` first; 129 of them with 42 pairs: a context of 128 and the last target
    """
    if furthest < 1:
        raise ConfigError(f"furthest is {furthest}, allowed is 1 pair or more; 42 reach through the whole context")
    items = sorted(word for words in world.classes.values() for word in words)
    draws = tw.Draws(np.random.SeedSequence(seed))
    rows = []
    for _ in range(n):
        fresh = iter(zip(draws.sample(items, pairs), draws.sample(world.labels, pairs)))
        chosen = [next(fresh)]
        while len(chosen) < pairs + 1:
            again = draws.uniform() < 0.5
            chosen.append(draws.choice(chosen[-furthest:]) if again else next(fresh))
        words = [word for item, label in chosen for word in (item, label, ";")]
        rows.append(world.ids((tw.EOS, *words))[: 3 * pairs + 3])
    return np.array(rows)
