"""What text asks of itself: the next token, or the tokens that were hidden."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
import torch.nn.functional as F

from lmtutor.errors import ConfigError
from lmtutor.train import next_token_loss

SHARE, TO_MASK, TO_RANDOM = 0.15, 0.8, 0.1  # Devlin et al. 2019, section 3.1
OBJECTIVES = ("masked", "causal")


def mask_tokens(ids: torch.Tensor, *, mask_id: int, generator: torch.Generator,
                share: float = SHARE) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose some tokens to ask for, and hide most of them.

    Of the chosen, 80% become the mask token, 10% a random token, 10% stay as they are: a model that has to doubt every
    token keeps an opinion about every token.

    Parameters
    ----------
    ids : (B, T) int     token ids below `mask_id`
    mask_id : int        id of the mask token, one more than the last id of the text
    generator            what is drawn is drawn from it
    share : float        of the positions that are chosen

    Returns
    -------
    (B, T) int     what the model reads
    (B, T) bool    which positions were chosen; the loss counts these and no others

    Raises
    ------
    ConfigError    the share is not between 0 and 1

    Source: Devlin et al. 2019, section 3.1.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share is {share}; give a fraction between 0 and 1, such as {SHARE}")
    chosen = torch.rand(ids.shape, generator=generator) < share
    fate = torch.rand(ids.shape, generator=generator)
    strangers = torch.randint(mask_id, ids.shape, generator=generator)
    shown = torch.where(chosen & (fate < TO_MASK), mask_id, ids)
    shown = torch.where(chosen & (fate >= 1 - TO_RANDOM), strangers, shown)
    return shown, chosen


def masked_objective(*, mask_id: int, seed: int, share: float = SHARE) -> Callable:
    """The objective of masked language modelling, for `train(..., objective=...)`.

    It reads the first T tokens of each row, as the next-token objective does. Masks follow from `seed` and from the
    batch, so a resumed run draws the same ones; a row that comes back comes in another batch, and is masked anew.
    """

    def masked_loss(model, batch):
        ids = batch[:, :-1]
        generator = torch.Generator().manual_seed(zlib.crc32(batch.cpu().numpy().tobytes(), seed))
        shown, chosen = mask_tokens(ids, mask_id=mask_id, generator=generator, share=share)
        logits = model(shown).logits[chosen]  # (chosen, V)
        return F.cross_entropy(logits.float(), ids[chosen])

    return masked_loss


def objective(name: str, *, mask_id: int, seed: int) -> Callable:
    """The loss that goes by a name of `OBJECTIVES`."""
    if name not in OBJECTIVES:
        raise ConfigError(f"no objective is called {name!r}; choose from {', '.join(OBJECTIVES)}")
    return next_token_loss if name == "causal" else masked_objective(mask_id=mask_id, seed=seed)
