"""The comparison on an own table, end to end with what needs no model."""

import numpy as np
import pytest

from lmtutor.compare import own
from lmtutor.errors import ConfigError, DataError

WORDS = {"ship": "sail harbour deck anchor mast", "cook": "pan salt oven stew spoon", "code": "loop class merge branch stack"}


def table(n=300, seed=0, noise=3):
    """Texts of which some words belong to a label and others to nobody."""
    generator = np.random.default_rng(seed)
    rows = {"what": [], "kind": []}
    for i in range(n):
        kind = list(WORDS)[i % 3]
        words = [*generator.choice(WORDS[kind].split(), 2), *(f"w{k}" for k in generator.integers(0, 400, noise))]
        rows["what"].append(" ".join(generator.permutation(words)))
        rows["kind"].append(kind)
    return rows


def run(**settings):
    return own.compare(table(), text="what", label="kind", names=["majority", "words"], **{"labels": (8, 32), "seeds": 3} | settings)


@pytest.fixture(scope="module")
def result():
    return run()


def test_every_way_answers_the_same_items_with_the_same_labels(result):
    assert {(r["way"], r["n"], r["seed"]) for r in result.runs} == {(w, n, s) for w in ("majority", "words") for n in (8, 32) for s in range(3)}
    assert len(result.truth) == 100 and all(len(r["predicted"]) == 100 and r["bill"]["labels"] == r["n"] for r in result.runs)


def test_what_tells_the_labels_apart_is_found_and_recommended(result):
    assert result.values("words", 32).mean() > result.values("words", 8).mean() > 0.6 > result.values("majority", 32).mean()
    told = own.advise(result)
    assert (told.decision, told.way) == ("take", "words")


def test_labels_that_say_nothing_give_nothing():
    rows = table()
    rows["kind"] = [str(label) for label in np.random.default_rng(3).choice(list(WORDS), 300)]
    found = own.compare(rows, text="what", label="kind", names=["majority", "words"], labels=(32, 128), seeds=3, metric="accuracy")
    assert own.advise(found).decision == "none"


def test_an_interrupted_comparison_goes_on(tmp_path, monkeypatch, result):
    done = []
    real = own.answer

    def stops(*arguments):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments)

    monkeypatch.setattr(own, "answer", stops)
    with pytest.raises(KeyboardInterrupt):
        run(out=tmp_path / "out")
    monkeypatch.setattr(own, "answer", lambda *arguments: done.append(1) or real(*arguments))
    again = run(out=tmp_path / "out")
    assert len(done) == 12 and [r["predicted"] for r in again.runs] == [r["predicted"] for r in result.runs]


def test_only_labelled_texts_are_read_and_all_are_counted():
    task, said, _ = own.task_of(own.read_table(table(), text="what", label="kind"), seed=0, text="what", label="kind")
    made = own.OwnBench(task, said, None, most=8, seeds=range(2))
    assert len(made.task.pool) <= 16 and len(made.items) == len(made.task.pool) + len(task.dev) + len(task.test)
    assert len(made._unlabelled) == len(task.pool) + len(task.dev) and made.draw(4, 1) == made.draw(8, 1)[:4]


def test_a_long_text_is_cut_in_a_prompt_and_nowhere_else():
    said = own.wordings("body_text", "The {topic}")["labelled"]
    assert said.query == "Body text: {text}\nThe (topic):"
    long = said.question("word " * 500)
    assert long.count("word") == own.WORDS_READ and "\u2026" in long and said.question("short") == "Body text: short\nThe (topic):"


def test_what_cannot_be_compared():
    with pytest.raises(ConfigError, match="no way is called 'wordz'; choose from majority, words"):
        own.compare(table(), text="what", label="kind", names=["wordz"])
    with pytest.raises(ConfigError, match="no metric is called 'f2'"):
        own.compare(table(), text="what", label="kind", metric="f2")
    with pytest.raises(DataError, match="has 30 different texts with one label; 60 are needed"):
        own.compare(table(30), text="what", label="kind")
