"""Did a test stand in a model's text? Checks by what is shared, by the loss, and by a line that only its author can know."""

from __future__ import annotations

import numpy as np

from lmtutor.errors import DataError


def shared_grams(items: np.ndarray, text: np.ndarray, *, n: int = 8) -> np.ndarray:
    """Which share of each item's n-grams stands somewhere in `text`, token for token: needs the text at hand.

    Parameters
    ----------
    items : (N, T) int    the test's items, at least n tokens each
    text : (M,) int       all that the model read

    Returns
    -------
    (N,) shares
    """
    items, text = np.asarray(items), np.asarray(text)
    if items.shape[1] < n or len(text) < n:
        raise DataError(f"{items.shape[1]} and {len(text)} tokens hold no {n}-gram; give longer ones or a smaller n")
    factors = np.random.default_rng(0).integers(1, 2**63, n, dtype=np.uint64)

    def hashes(tokens):  # 64 bits each: two different ones are alike once in 10^19
        windows = np.lib.stride_tricks.sliding_window_view(tokens.astype(np.uint64) + np.uint64(1), n, axis=-1)
        return (windows * factors).sum(axis=-1, dtype=np.uint64)

    return np.isin(hashes(items), hashes(text)).mean(axis=1)


def min_k(losses: np.ndarray, *, share: float = 0.2) -> np.ndarray:
    """The mean loss of each text's least expected tokens: a text that was read has few that surprise.

    Parameters
    ----------
    losses : (N, T)    nats, token by token
    share : float      of the tokens, the ones with the highest loss

    Returns
    -------
    (N,) nats

    Source: Shi et al. 2024, "Detecting pretraining data from large language models", there with the sign turned.
    """
    n = max(1, round(share * losses.shape[1]))
    return np.sort(losses, axis=1)[:, -n:].mean(axis=1)


def told_apart(read: np.ndarray, unread: np.ndarray) -> np.ndarray:
    """For each text that was read the share of unread ones with a higher loss; the mean is the AUC, .5 is guessing.

    Parameters
    ----------
    read : (N,)    unread : (M,)    losses, or another figure that is low for what was read
    """
    read, unread = np.asarray(read)[:, None], np.asarray(unread)[None]
    return (read < unread).mean(axis=1) + (read == unread).mean(axis=1) / 2


def canary_p(canary: float, strangers: np.ndarray) -> float:
    """The p-value of "this line was never read": how often a line drawn in the same way has a loss as low.

    Exact, whatever the model, as the canary was drawn by lot among lines that nobody ever wrote.

    Parameters
    ----------
    canary : float        loss of the line that was put into the test
    strangers : (M,)      losses of others, drawn in the same way

    Source: Carlini et al. 2019, "The secret sharer", whose exposure is about -log2 of this.
    """
    return float((1 + (np.asarray(strangers) <= canary).sum()) / (1 + len(strangers)))
