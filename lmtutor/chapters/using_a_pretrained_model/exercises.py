"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker

CAPITALS = {
    "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Japan": "Tokyo", "China": "Beijing", "Russia": "Moscow", "Egypt": "Cairo",
    "Greece": "Athens", "Portugal": "Lisbon", "Poland": "Warsaw", "Ireland": "Dublin", "Norway": "Oslo", "Sweden": "Stockholm",
    "Austria": "Vienna", "Hungary": "Budapest", "Cuba": "Havana", "Kenya": "Nairobi", "Peru": "Lima", "Thailand": "Bangkok",
    "South Korea": "Seoul",
}  # fmt: skip


def as_function(answer: Any) -> Callable:
    if not callable(answer):
        raise TypeError
    return answer


def asks_for_the_job(answer: Any) -> bool | str:
    """A function from a person's name to a prompt after which Tiny World's model says that person's job."""
    import numpy as np

    from lmtutor.models.generate import by_length
    from lmtutor.tinyworld.released import load_checkpoint
    from lmtutor.tinyworld.world import EOS

    model, _, world = load_checkpoint()
    people = list(world.asked_people)[:40]
    prompts = [as_function(answer)(person).split() for person in people]
    if unknown := [word for words in prompts for word in words if word not in world.words]:
        return f"the world has no word {unknown[0]!r}; marks such as : and ? are words of their own, with a space on each side"
    jobs = [world.facts[person]["job"] for person in people]
    if any(job in words for job, words in zip(jobs, prompts)):
        return "the job stands in the prompt already"
    said = [world.words[i] for i in by_length(model, [world.ids((EOS, *words)) for words in prompts], 1)[:, 0]]
    if said.count("answer") > len(said) / 2:
        return "its next word is 'answer': it is still writing the question's line. Go on up to the place where the job comes"
    if sum(word in world.cities for word in said) > len(said) / 2:
        return "it names cities: the question asks where, as the chapter's does; a continuation above shows how to ask for a job"
    share = np.mean([word == job for word, job in zip(said, jobs)])
    return bool(share >= 0.9) or f"the next word is the job for {share:.0%} of forty people; the last it said was {said[-1]!r}"


def keeps_the_nucleus(answer: Any) -> bool | str:
    """A function of probabilities and p that does what top-p does."""
    import numpy as np
    import torch

    from lmtutor.models.generate import distribution

    draws = np.random.default_rng(0)
    cases = [([0.5, 0.3, 0.15, 0.05], 0.75), ([0.05, 0.15, 0.5, 0.3], 0.75), ([0.9, 0.06, 0.04], 0.5), (draws.dirichlet(np.ones(50)), 0.9)]
    for probabilities, share in cases:
        given = np.array(probabilities, float)
        wanted = distribution(torch.tensor(given).log()[None], top_p=share)[0].numpy()
        found = np.asarray(as_function(answer)(given.copy(), share), float)
        about = f"for {given.round(2).tolist()} and p = {share}" if len(given) < 9 else f"for fifty tokens and p = {share}"
        if found.shape != wanted.shape:
            return f"{about} it gives {found.shape} numbers; give one for each token, 0 for those that are cut"
        if np.allclose(found, wanted, atol=1e-5):
            continue
        kept, right = found > 0, wanted > 0
        if (kept == right).all():
            return f"{about} the right tokens stay, but they sum to {found.sum():.2f}; divide by what they hold together"
        if kept.sum() == right.sum():
            return f"{about} it keeps as many tokens as it should, but not the likeliest, or not at their own places: sort, and then undo the sorting"
        held = given[kept].sum()
        return f"{about} the tokens that stay hold {held:.2f}: " + (
            "not yet p; the token with which they reach it stays too" if held < share else "fewer would do")
    return True


def names_capitals(answer: Any) -> bool | str:
    """A function from a country to a beginning after which SmolLM2's likeliest next word is the capital."""
    from lmtutor.models.generate import answers
    from lmtutor.models.llm import load_llm

    llm, tokenizer = load_llm()
    prompts = [as_function(answer)(country) for country in CAPITALS]
    if held := [city for city, prompt in zip(CAPITALS.values(), prompts) if city in prompt]:
        return f"{held[0]} stands in the prompt already; leave its own capital out of a country's prompt"
    said = [one.text for one in answers(llm, tokenizer, prompts, max_new_tokens=4, batch_size=20)]
    wrong = [(country, text) for (country, city), text in zip(CAPITALS.items(), said) if not text.startswith(city)]
    if len(wrong) > 4 and any(prompt != prompt.rstrip(" ") for prompt in prompts):
        return "the prompt ends in a space; the space belongs to the next token, so leave it out"
    return len(wrong) <= 4 or f"{len(said) - len(wrong)} of {len(said)} capitals; for {wrong[0][0]} it goes on with {wrong[0][1]!r}"


def own_form(answer: Any) -> bool | str:
    """A form of a question that no document has, and that the released model answers."""
    import numpy as np

    from lmtutor.chapters.using_a_pretrained_model.uses import FORMS, questions_in_form
    from lmtutor.models.generate import by_length
    from lmtutor.tinyworld.released import load_checkpoint

    if not (isinstance(answer, tuple) and len(answer) == 2 and all(isinstance(part, str) for part in answer)):
        return "give a pair of texts: what stands before the question and what stands after it"
    before, after = (part.split() for part in answer)
    if (" ".join(before), " ".join(after)) in FORMS.values():
        return "this form is in the chapter; find another one"
    if before[-2:] == ["question", ":"] and after[-2:] == ["answer", ":"]:
        return "both marks of the text are in it; do without one of them at least"
    model, _, world = load_checkpoint()
    if unknown := [word for word in (*before, *after) if word not in world.words]:
        return f"the world has no word {unknown[0]!r}; use its own, see world.words"
    probe = questions_in_form(world, "as in the text")
    before, after = ([world.words.index(word) for word in part] for part in (before, after))
    prompts = [[prompt[0], *before, *prompt[3:-2], *after] for prompt in probe.prompts]
    share = np.mean(by_length(model, prompts, 1)[:, 0] == probe.answers)
    return bool(share >= 0.5) or f"the first word is right for {share:.0%} of the questions; half is asked for"


EXERCISES = [
    Exercise(
        1, "Write a prompt after which the model names a person's job", Checker(asks_for_the_job, "a function"),
        "the document is a question with its answer; a continuation in the chapter asks for a job by itself",
        "you asked by writing the document up to the place where the answer comes",
    ),
    Exercise(
        5, "Write top-p", Checker(keeps_the_nucleus, "a function"),
        "sort the probabilities from the largest; a token stays while those before it hold less than p",
        "what was cut goes to those that stay, in proportion; how many stay, the probabilities decide",
    ),
    Exercise(
        10, "Choose a beginning after which a small real model names capitals", Checker(names_capitals, "a function"),
        "begin a page on which the capital is the next word, such as a sentence of a geography book",
        "no training, no example: only another beginning",
    ),
    Exercise(
        20, "Find a form of your own that no document has and that the model answers", own_form,
        "keep what stands right before the place of the answer, and change the rest",
        "what works is what looks like a place where the text had an answer; change one word at a time to see which",
    ),
]

check = checker(EXERCISES)
