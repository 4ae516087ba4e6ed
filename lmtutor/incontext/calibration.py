"""The prompt's own leaning, measured and taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmtutor.errors import DataError

CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao et al. 2021: texts that favour no label


@dataclass(frozen=True)
class LabelScores:
    """The label log-probabilities that one prompt gives."""

    log_probs: np.ndarray  # (N, K) nats
    content_free: np.ndarray  # (M, K) nats, after texts that say nothing

    def __post_init__(self):
        for name in ("log_probs", "content_free"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=float))

    def predicted(self) -> dict[str, np.ndarray]:
        """The label chosen for each item, raw and by the two calibrations: each (N,) int."""
        return {
            "raw": self.log_probs.argmax(axis=1),
            "contextual": calibrate_contextual(self.log_probs, self.content_free).argmax(axis=1),
            "batch": calibrate_batch(self.log_probs).argmax(axis=1),
        }


def calibrate_contextual(log_probs: np.ndarray, content_free: np.ndarray) -> np.ndarray:
    """Divide out what the prompt answers when the text says nothing.

    Parameters
    ----------
    log_probs : (N, K)       nats, of K labels after N texts
    content_free : (M, K)    the same after M texts without content, such as "N/A"

    Returns
    -------
    (N, K)    log_probs minus the log of the labels' mean probability (among the labels) after the empty texts

    Source: Zhao et al. 2021, section 5.
    """
    log_probs, content_free = np.asarray(log_probs, float), np.asarray(content_free, float)
    if content_free.ndim != 2 or not len(content_free) or content_free.shape[1] != log_probs.shape[1]:
        raise DataError(f"content_free has shape {content_free.shape}; give (M, {log_probs.shape[1]}) with M >= 1")
    shares = np.exp(content_free - content_free.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return log_probs - np.log(shares.mean(axis=0))


def calibrate_batch(log_probs: np.ndarray) -> np.ndarray:
    """Take each label's mean over a batch of unlabelled texts as the prompt's leaning, and subtract it.

    It uses the other questions, though never their answers; and it suits batches in which no class is rare.

    Parameters
    ----------
    log_probs : (N, K)    nats, N >= 2

    Source: after Zhou et al. 2024 (batch calibration), here on log-probabilities.
    """
    log_probs = np.asarray(log_probs, float)
    if len(log_probs) < 2:
        raise DataError(f"batch calibration of {len(log_probs)} text; give two or more, or use calibrate_contextual")
    return log_probs - log_probs.mean(axis=0)
