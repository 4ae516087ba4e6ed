"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Exercise, checker, number, number_between


def points_from_the_whole() -> float:
    """What scoring the whole piece adds to a causal model's choice among ten, in points."""
    import numpy as np

    from lmtutor.records.files import from_digits
    from lmtutor.records.store import load

    found = [r["filling"] for r in load("masked_and_causal/masked_and_causal").results["runs"] if r["name"] == "causal"]
    return 100 * float(np.mean([from_digits(f["chosen by the whole"]).mean() - from_digits(f["chosen"]).mean() for f in found]))


def own_filler(answer: Any) -> bool | str:
    """A function that fills blanks better than the frequency of tokens, without seeing the answers."""
    import numpy as np

    from lmtutor.chapters.masked_and_causal.masked import blank_losses, windows
    from lmtutor.pretrain.news import read_news
    from lmtutor.pretrain.ngrams import BLANK, Neighbours

    if not callable(answer):
        return "give the function itself: answer = my_function"
    news = read_news()
    pieces, _ = windows(news, "validation")
    asked, size = pieces.copy(), len(news.tokenizer)
    asked[:, BLANK] = size  # the mask token
    found = np.asarray(answer(asked))
    if found.shape not in ((len(pieces), size), (len(pieces), size + 1)):
        return f"it returned shape {found.shape}; give one row for each of the {len(pieces)} pieces, one column for each token"
    if not np.allclose(np.exp(found).sum(axis=1), 1, atol=1e-3):
        return "the probabilities of a row don't add up to 1; give log-probabilities"
    frequency = -np.log(Neighbours(news.ids["train"], size).alone[pieces[:, BLANK]]).mean()
    loss = blank_losses(found, pieces).mean()
    return bool(loss < frequency) or f"it pays {loss:.2f} nats a blank, frequency alone {frequency:.2f}"


EXERCISES = [
    Exercise(
        3, "How many of 512 positions show the mask token?", number(61.44, within=0.6),
        "15% are chosen, and of these only a part shows the mask token",
        "12% of all positions: the rest of the chosen show a random token or the right one",
    ),
    Exercise(
        5, "How many points does a causal model gain by scoring the whole piece?", number(points_from_the_whole, within=0.5),
        "from_digits(f['chosen by the whole']).mean() against f['chosen'], runs called causal, times 100",
        "what comes after a blank does help a causal model; it only has to be asked in another way",
    ),
    Exercise(
        5, "What does a masked model that is asked at 40% of the positions pay for the blanks?", number_between(4.5, 7.4),
        "it learns frequencies first, so after 200 steps it is below ln 2,049 = 7.6 and above what any model here reaches",
        "compare it with the 15% of the live run on the same blanks; one seed each is a first look",
    ),
    Exercise(
        20, "Fill blanks in a way of your own", own_filler,
        "def mine(pieces): ...; return log-probabilities (N, V); masked.Neighbours counts neighbours for you",
        "it beats frequency; now ask it about test articles beside the chapter's baselines",
    ),
]

check = checker(EXERCISES)
