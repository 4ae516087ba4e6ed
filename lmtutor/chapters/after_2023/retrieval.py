"""Where a fact lives: tuned into the weights, or shown in the prompt by a search that finds the right text or a wrong one.

A Tiny World model can't read: a biography in its prompt changes no answer. So it gets a lesson in reading first: questions
below the biography of somebody whose facts are drawn anew in every row, so that nothing but the text can answer them. Then
it is asked about new people, with nothing, their own biography, another's, or three in its prompt, beside models into which
the same facts were tuned. What a search of a given recall brings follows from the two answers of each question, see `at_recall`.

Lewis et al. 2020 call it retrieval-augmented generation; Ovadia et al. 2023 set it against tuning facts in.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from lmtutor.errors import ConfigError
from lmtutor.finetune import sft
from lmtutor.pretrain.tinyworld import run
from lmtutor.records.address import depends_on
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.sweep import chosen, highest, rows
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import biography, ids_of, new_people
from lmtutor.tinyworld.released import load_checkpoint, pretraining_text, retained

N_PEOPLE = 24  # of whom no document tells: four facts each
N_KNOWN = 24   # of whom the text told
READING = {"reading": 0.0, "reading, half missing": 0.5}  # lesson: share of its rows that show somebody else
TUNED = ("questions", "biographies")  # the forms in which facts are tuned in
LESSONS = (*READING, *TUNED)
SHOWN = ("nothing", "own", "another's", "three")
READING_STEPS, TUNING_STEPS = 600, 120
REPLAY = 0.1     # share of the rows that are old text
RETELLINGS = 8   # of each biography
N_CHANGES, CHANGE_STEPS = 4, 20


def unknown(world: tw.World) -> str:
    """The word that a lesson gives as the answer where the text doesn't hold it: one that had no use before."""
    return world.new_labels[-1]


def drawn_facts(world: tw.World, draws: tw.Draws, *, but: Mapping[str, str] | None = None) -> dict[str, str]:
    """A value for each attribute; with `but`, another one than there."""
    return {a: draws.choice([v for v in world.values[a] if not but or v != but[a]]) for a in tw.ATTRIBUTES}


def reading_rows(world: tw.World, n: int, *, seed: int, missing: float = 0.0) -> np.ndarray:
    """Lessons in reading: a biography, a question about its person, the answer; facts are drawn anew for each row.

    The people have names of label words: no fact about them stands in the weights, and none stays the same.

    Parameters
    ----------
    missing : float    share of the rows that ask about somebody else; the answer is then `unknown`

    Returns
    -------
    (n, 2, T) int64    of `sft.example_rows`
    """
    draws, turns = tw.draws_of(seed, tw.STREAM_READING), []
    for _ in range(n):
        (told, other), facts, asked = draws.sample_few(world.labels, 2), drawn_facts(world, draws), draws.choice(tw.ATTRIBUTES)
        gone = draws.uniform() < missing
        prompt = [tw.EOS, *biography(told, facts, draws), *tw.question(other if gone else told, asked)]
        turns.append((prompt, [unknown(world) if gone else facts[asked], "."]))
    return sft.example_rows(ids_of(world, turns))


def tuning_rows(world: tw.World, people: Mapping[str, Mapping[str, str]], form: str, *, seed: int) -> np.ndarray:
    """Lessons in the facts themselves: each question with its answer, or each biography told `RETELLINGS` times."""
    draws = tw.draws_of(seed, tw.STREAM_READING)
    if form == "questions":
        turns = [([tw.EOS, *tw.question(p, a)], [facts[a], "."]) for p, facts in people.items() for a in tw.ATTRIBUTES]
    elif form == "biographies":
        turns = [([tw.EOS], biography(p, facts, draws)) for p, facts in people.items() for _ in range(RETELLINGS)]
    else:
        raise ConfigError(f"facts are not tuned in by {form!r}; choose from {', '.join(TUNED)}")
    return sft.example_rows(ids_of(world, turns))


def taught(model, world: tw.World, lesson: np.ndarray, *, lr: float, seed: int, steps: int):
    """A copy of the model after a lesson with old text mixed in, and the seconds that it took.

    Rows are as wide as the lesson needs, so biographies with a question fit.
    """
    model, width, old = copy.deepcopy(model), lesson.shape[2], pretraining_text(world.seed)
    passes = -(-steps * sft.BATCH // len(lesson))
    packed = old[: len(old) // (width + 1) * (width + 1)].reshape(-1, width + 1)
    mixed = sft.with_replay(np.tile(lesson, (passes, 1, 1)), sft.text_rows(packed), REPLAY, seed=seed)
    history = sft.fine_tune(model, mixed, lr=lr, steps=steps, seed=seed, batch_size=sft.BATCH)
    return model, history.seconds


def lesson_of(model, world: tw.World, people: Mapping, name: str, *, lr: float, seed: int):
    """`taught` for one of `LESSONS`: reading, which tells nothing of these people, or their facts."""
    if name in READING:
        n = round(READING_STEPS * sft.BATCH * (1 - REPLAY))
        lesson, steps = reading_rows(world, n, seed=seed, missing=READING[name]), READING_STEPS
    else:
        lesson, steps = tuning_rows(world, people, name, seed=seed), TUNING_STEPS
    return taught(model, world, lesson, lr=lr, seed=seed, steps=steps)


@torch.inference_mode()
def likeliest(model, world: tw.World, prompts: Sequence[Sequence[str]]) -> tuple[list[str], list[float]]:
    """The word that each prompt makes likeliest, and its probability."""
    said, sure = [], []
    for prompt in prompts:
        p, word = model(torch.tensor([world.ids(prompt)]), logits_to_keep=1).logits[0, -1].float().softmax(-1).max(dim=-1)
        said.append(world.words[int(word)])
        sure.append(round(float(p), 3))
    return said, sure


def ask(model, world: tw.World, people: Mapping[str, Mapping[str, str]], shown: str, *, seed: int) -> dict:
    """Ask every fact about people, with the biographies in the prompt that `shown` names.

    Parameters
    ----------
    people : name -> facts, N of them
    shown : one of `SHOWN`. "another's": that of the next person in their place; "three": their own among the next two

    Returns
    -------
    dict    for the 4 N questions `right` and `refused` (digits) and `p`, the probability of what was said; `follows`,
        digits: the answer is the value that the biography of the other person has (of "another's" alone, else None);
        `n_tokens`, mean length of a prompt
    """
    if shown not in SHOWN:
        raise ConfigError(f"nothing is shown as {shown!r}; choose from {', '.join(SHOWN)}")
    draws, names, prompts = tw.draws_of(seed, tw.STREAM_READING, 1), list(people), []
    for i, person in enumerate(names):
        following = [names[(i + k) % len(names)] for k in (1, 2)]
        texts = {"nothing": [], "own": [person], "another's": following[:1], "three": draws.sample([person, *following], 3)}[shown]
        for a in tw.ATTRIBUTES:
            before = [w for other in texts for w in biography(other, people[other], draws)]
            prompts.append([tw.EOS, *before, *tw.question(person, a)])
    said, sure = likeliest(model, world, prompts)
    own = [people[p][a] for p in names for a in tw.ATTRIBUTES]
    others = [people[p][a] for p in [*names[1:], names[0]] for a in tw.ATTRIBUTES]
    return {"right": as_digits(s == v for s, v in zip(said, own, strict=True)), "refused": as_digits(s == unknown(world) for s in said),
            "p": sure, "follows": as_digits(s == v for s, v in zip(said, others, strict=True)) if shown == "another's" else None,
            "n_tokens": round(float(np.mean([len(prompt) for prompt in prompts])), 1)}


def ask_known(model, world: tw.World, *, seed: int) -> dict[str, dict]:
    """Ask people whose facts stand in the weights, below no biography, their own, or one in which every fact is another.

    Returns
    -------
    dict    "nothing", "own", "changed" -> `weights`, `prompt`, `refused`, digits: the answer is what the text of
        pre-training said, what the biography says, or that it isn't known; `p`, its probability
    """
    draws, people = tw.draws_of(seed, tw.STREAM_READING, 2), world.people[:N_KNOWN]
    changed = {p: drawn_facts(world, draws, but=world.facts[p]) for p in people}
    found = {}
    for name, told in {"nothing": None, "own": world.facts, "changed": changed}.items():
        asked = [(p, a) for p in people for a in tw.ATTRIBUTES]
        said, sure = likeliest(model, world, [[tw.EOS, *(biography(p, told[p], draws) if told else []), *tw.question(p, a)] for p, a in asked])
        found[name] = {"weights": as_digits(s == world.facts[p][a] for s, (p, a) in zip(said, asked, strict=True)),
                       "prompt": as_digits(bool(told) and s == told[p][a] for s, (p, a) in zip(said, asked, strict=True)),
                       "refused": as_digits(s == unknown(world) for s in said), "p": sure}
    return found


def change(model, world: tw.World, people: Mapping[str, Mapping[str, str]], *, lr: float, seed: int) -> list[dict]:
    """Teach a model that knows the people one other fact, `CHANGE_STEPS` steps on its question alone; `N_CHANGES` times, each from the start.

    Returns
    -------
    list of dict    `learned`: whether the new value is said; `before`, `after`: right among all other questions, shares;
        `seconds`
    """
    draws, found = tw.draws_of(seed, tw.STREAM_READING, 3), []
    for person in list(people)[:N_CHANGES]:
        a = draws.choice(tw.ATTRIBUTES)
        value = drawn_facts(world, draws, but=people[person])[a]
        lesson = sft.example_rows(ids_of(world, [([tw.EOS, *tw.question(person, a)], [value, "."])]))
        now, seconds = taught(model, world, lesson, lr=lr, seed=seed, steps=CHANGE_STEPS)
        others = np.array([(p, b) != (person, a) for p in people for b in tw.ATTRIBUTES])
        kept = [float(from_digits(ask(m, world, people, "nothing", seed=seed)["right"])[others].mean()) for m in (model, now)]
        said, _ = likeliest(now, world, [[tw.EOS, *tw.question(person, a)]])
        found.append({"learned": said[0] == value, "before": round(kept[0], 4), "after": round(kept[1], 4), "seconds": round(seconds, 2)})
    return found


def at_recall(found: np.ndarray, missed: np.ndarray, recall: float) -> np.ndarray:
    """What a search finds the right text for in a share `recall` of the cases, whichever they are: the mean of many such draws.

    Parameters
    ----------
    found, missed : (...,)    outcomes of the same questions with the right text in the prompt, and without it
    """
    return recall * found + (1 - recall) * missed


def try_rate(lesson: str, lr: float, people_seed: int) -> dict:
    """One lesson at one rate on the released model: right answers about other new people than those that are reported."""
    model, _, world = load_checkpoint()
    people = new_people(world, N_PEOPLE, seed=people_seed)
    model, _ = lesson_of(model, world, people, lesson, lr=lr, seed=people_seed)
    asked = ask(model, world, people, "own" if lesson in READING else "nothing", seed=people_seed)
    return {"right": asked["right"], "refused": asked["refused"]}


def of_one_base(seed: int, *rates: float) -> dict:
    """Every arm on a model that is pre-trained from `seed`, about people drawn from the same seed.

    Parameters
    ----------
    rates : the learning rate of each of `LESSONS`

    Returns
    -------
    dict    arm -> `asked` (of `ask`, by what is shown), `left` (what was kept), `seconds` of its lesson, `known` (of
        `ask_known`, not where facts were tuned in); `changes` of the model tuned by questions
    """
    base, world = run(seed=seed, checks=())[0], tw.World(seed=seed)
    people = new_people(world, N_PEOPLE, seed=seed)
    arms = {}
    for name, lr in zip(("no lesson", *LESSONS), (None, *rates), strict=True):
        model, seconds = (base, 0.0) if lr is None else lesson_of(base, world, people, name, lr=lr, seed=seed)
        shown = SHOWN[:1] if name in TUNED else SHOWN
        arms[name] = {"asked": {what: ask(model, world, people, what, seed=seed) for what in shown}, "left": retained(model, seed),
                      "seconds": round(seconds, 1)}
        if name not in TUNED:
            arms[name]["known"] = ask_known(model, world, seed=seed)
        if name == "questions":
            arms[name]["changes"] = change(model, world, people, lr=lr, seed=seed)
    return {"arms": arms}


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def retrieval(*, seeds: Sequence[int], tuning_seed: int, rates: Sequence[float]) -> dict:
    """The record on where a fact lives: each lesson's rate is the one with most right answers on the released model."""
    tried = rows(try_rate, ("lesson", "lr"), [(lesson, lr, tuning_seed) for lesson in LESSONS for lr in rates])
    best = chosen(tried, "lesson", "lr", lambda row: from_digits(row["right"]).mean(), highest)
    return {"tried": tried, "rates": best, "runs": rows(of_one_base, ("seed",), [(s, *(best[name] for name in LESSONS)) for s in seeds])}
