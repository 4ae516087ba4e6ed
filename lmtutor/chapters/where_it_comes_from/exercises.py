"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Exercise, as_number, as_word, checker


ROWS = ([0, 3, 1, 4, 2, 5, 3], [0, 2, 5, 1, 6, 2], [0, 6, 1, 2, 3, 4, 5, 1])  # of words; 0 begins each, the last stood there before
N_WORDS = 7


def says(answer: Any, row: list[int], *more: Any) -> int | str:
    """The word that a reader's circuit says at the end of a row, or what is wrong with it."""
    said = answer(list(row), N_WORDS, *more)
    shape = tuple(getattr(said, "shape", ()))
    if shape != (len(row), N_WORDS):
        return f"return a row of {N_WORDS} shares for each of the {len(row)} places, as circuit does; it was {shape or type(said).__name__}"
    return int(said[-1].argmax())


def skips(answer: Any) -> bool | str:
    """A circuit that says what stood two places behind the last occurrence."""
    if not callable(answer):
        return "give the function itself, without calling it"
    for row in ROWS:
        place = row.index(row[-1])
        said = says(answer, row)
        if isinstance(said, str):
            return said
        if said == row[place + 1]:
            return "it still says the very next word; the note is about one place back: which place should it be about?"
        if said != row[place + 2]:
            return f"after {row} it says {said}, and {row[place + 2]} is right: the word two behind where {row[-1]} stood before"
    return True


def one_layer(answer: Any) -> bool | str:
    """A circuit of one head, whose keys know the word before."""
    if not callable(answer):
        return "give the function itself, without calling it"
    calls = []

    def head(asks, keys, values):
        import torch

        calls.append(1)
        scores = 20 * asks @ keys.T
        return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1) @ values

    for row in ROWS:
        calls.clear()
        said = says(answer, row, head)
        if isinstance(said, str):
            return said
        if len(calls) != 1:
            return f"it called head {len(calls)} times; with keys that know the word before, once is enough"
        if said != row[row.index(row[-1]) + 1]:
            return f"after {row} it says {said}, and {row[row.index(row[-1]) + 1]} is right; a key is the word of the place before, moved by one"
    return True


def finds_places(answer: Any) -> bool | str:
    """The reader's function, on rows in which tokens come back several times."""
    import torch

    if not callable(answer):
        return "give the function itself, without calling it"
    for row in ([3, 1, 3, 1, 3], [5, 5, 5], [1, 2, 3, 1, 2]):
        ids = torch.tensor(row)
        given, n = answer(ids), len(row)
        if not torch.is_tensor(given) or given.dtype != torch.bool or given.shape != (n, n):
            return f"return a bool tensor of shape ({n}, {n}) for a row of {n} tokens"
        right = [[0 < key <= place and row[key - 1] == row[place] for key in range(n)] for place in range(n)]
        if given.tolist() != right:
            return f"for {row} it is not right yet; place 0 has no predecessor, and nothing after a place has been read"
    return True


def own_switch(answer: Any) -> bool | str:
    """What the reader expected of a switch of their own, what was seen, and the onsets."""
    if not isinstance(answer, dict) or set(answer) != {"expected", "seen", "onsets"}:
        return "give a dict with 'expected', 'seen' and 'onsets'"
    if min(len(as_word(answer[key]).split()) for key in ("expected", "seen")) < 4:
        return "say in a sentence what you expected, and in another what you saw"
    if not isinstance(answer["onsets"], (list, tuple)) or len(answer["onsets"]) < 2:
        return "one seed says little about an onset: give at least two"
    return all(one is None or as_number(one) > 0 for one in answer["onsets"])


EXERCISES = [
    Exercise(
        2, "Make the circuit say not the next word but the one after it", skips,
        "the note of a place should be about two places back",
        "the second head is as it was: it searches the notes, and what is noted decides what is found",
    ),
    Exercise(
        5, "Write the circuit with one head, for keys that know the word before", one_layer,
        "call head(word, before, word), where before is word moved down by one place, with zeros in its first row",
        "a smeared key does what the first head did; that is why one layer can be enough",
    ),
    Exercise(
        10, "Write the places that an induction head should look at", finds_places,
        "compare ids[:, None] with ids[None, :-1], shifted by one place; then keep what lies in the past",
        "with this table any head can be scored, in any model whose attention can be read",
    ),
    Exercise(
        20, "Switch off something of your own", own_switch,
        "SWITCHES['mine'] = Variant('...', stream={'without': ('echo',)}) or model={'num_hidden_layers': 2}; then, for two seeds, "
        "onset(learn(seed, 'mine', 420, range(0, 421, 30))[1]['curve'])",
        "what you said before you looked is worth more than what one can say afterwards",
    ),
]

check = checker(EXERCISES)
