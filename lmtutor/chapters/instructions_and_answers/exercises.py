"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker


def scored_tokens(answer: Any) -> bool | str:
    """A function (prompt, answer) -> for each token that is read the one that must be said, None where nothing is scored."""
    if not callable(answer):
        return "give the function itself, not what it returns: def must_say(prompt, answer): ..."
    for prompt, said in (([0, 7, 8, 9], [5, 6, 0]), ([3], [4]), (list(range(20, 30)), [1, 2])):
        given = list(answer(list(prompt), list(said)))
        right = [None] * (len(prompt) - 1) + list(said)
        if given == right:
            continue
        if len(given) == len(right) + 1:
            return "the last token of the answer is never read: nothing comes after it. So one entry less"
        if given == [None] * len(prompt) + list(said)[1:]:
            return "the answer's first token is missing: it is said when the prompt's last token has been read"
        if given == [*prompt[1:], *said]:
            return "that scores the question, too; None wherever the next token is one of the prompt's"
        return f"for prompt {prompt} and answer {said} it gives {given}; {len(right)} entries are wanted, {len(said)} of them scored"
    return True


def topic_scores(answer: Any) -> bool | str:
    """A function (scores, owners) -> (questions, topics): likeness to a topic is that of its likest text."""
    import numpy as np

    if not callable(answer):
        return "give the function itself: def by_topic(scores, owners): ..."
    rng = np.random.default_rng(0)
    for n, owners in ((3, np.array([0, 0, 1, 1, 1, 2])), (5, np.array([1, 0, 2, 0]))):
        scores = rng.normal(size=(n, len(owners)))
        given = np.asarray(answer(scores.copy(), owners.copy()), float)
        topics = owners.max() + 1
        if given.shape != (n, topics):
            return f"{n} questions and {topics} topics: the result has shape {(n, topics)}, yours {given.shape}"
        columns = [scores[:, owners == topic] for topic in range(topics)]
        if np.allclose(given, np.stack([some.mean(axis=1) for some in columns], axis=1)):
            return "that is the mean; one like text is enough to find a topic, and the unlike ones would drag it down: take the largest"
        if not np.allclose(given, np.stack([some.max(axis=1) for some in columns], axis=1)):
            return "scores[:, owners == topic] are the texts of one topic; take the largest of each row, and stack the topics side by side"
    return True


def threshold(answer: Any) -> bool | str:
    """A function (right, sure, most) -> the lowest confidence from which on at most a share `most` of all questions is answered wrongly."""
    import numpy as np

    if not callable(answer):
        return "give the function itself: def least(right, sure, most): ..."
    cases = [(np.array([1, 0, 1, 1, 0], bool), np.array([0.9, 0.8, 0.7, 0.6, 0.5])), (np.array([0, 1, 1, 0, 1, 1, 1, 1], bool), np.array([3.0, 9, 2, 5, 7, 1, 8, 6]))]
    for right, sure in cases:
        for most in (0.0, 0.125, 0.2, 0.5):
            order = np.argsort(-sure)
            wrong = np.cumsum(~right[order]) / len(sure)
            of_sent = np.cumsum(~right[order]) / np.arange(1, len(sure) + 1)
            given = float(answer(right.copy(), sure.copy(), most))
            if np.isclose(given, sure[order][wrong <= most].min()):
                continue
            if (of_sent <= most).any() and np.isclose(given, sure[order][of_sent <= most].min()):
                return "that is a share of the answers that go out; here it is one of all questions, those that are held back too"
            return (f"right {right.astype(int)}, sure {sure}, most {most}: yours is {given:g}, {sure[order][wrong <= most].min():g} was wanted. "
                    "Go through the answers from the surest down and count the wrong ones")
    return True


def blind_judgement(answer: Any) -> bool | str:
    """A filled sheet with the order of its answers."""
    from lmtutor.chapters.instructions_and_answers.support_desk import ab_result
    from lmtutor.errors import DataError

    if not isinstance(answer, tuple) or len(answer) != 2 or not all(isinstance(part, list) for part in answer):
        return "give the pair (sheet, first)"
    sheet, first = answer
    if len(sheet) < 12 or len(first) != len(sheet):
        return f"the sheet has {len(sheet)} rows; judge all twelve"
    try:
        counts = ab_result(sheet, first)
    except (DataError, KeyError, TypeError) as problem:
        return str(problem)
    print(f"the reader better {counts['one']}, the stored answer better {counts['other']}, same {counts['same']}")
    return True


EXERCISES = [
    Exercise(
        2, "What must the model say after each token that it reads?", Checker(scored_tokens, "a function"),
        "the prompt without its last token asks for nothing; its last token asks for the answer's first",
        "the prompt is read and the answer is scored, its end mark too: that is how it learns to stop",
    ),
    Exercise(
        5, "How like is a topic that has several texts?", Checker(topic_scores, "a function"),
        "for each topic the columns of its texts, and of these the largest in each row",
        "so past questions can be added to a handbook without training anything",
    ),
    Exercise(
        10, "How sure must an answer be to go out?", Checker(threshold, "a function"),
        "sort by confidence, the surest first; the running number of wrong ones over the number of all questions",
        "chosen on questions that nobody reports on; on others the share will be near it, not below it",
    ),
    Exercise(
        20, "Judge twelve pairs of answers blind", Checker(blind_judgement, "a pair of lists"),
        "row['better'] = 'A', 'B' or 'same' for each row of the sheet",
        "now look at the questions on which you and the key disagree",
    ),
]

check = checker(EXERCISES)
