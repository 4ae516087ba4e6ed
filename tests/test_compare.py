"""The ways side by side: same items, same tuning, a bill each; what does not fit or makes no sense is said."""

import numpy as np
import pytest
from conftest import TOY_WORDS, toy_items, toy_lm

from lmtutor.compare import bench as benches
from lmtutor.compare.bench import Bench
from lmtutor.compare.sides import answer, built_in, choose, compare, macro_f1, parts
from lmtutor.compare.ways import FEW, Way, from_scratch, prompted, ways
from lmtutor.data.prompts import Item, Template
from lmtutor.data.tasks import Task
from lmtutor.errors import ConfigError, DataError
from lmtutor.measure import costs
from lmtutor.models import llm, score
from lmtutor.models.tokens import word_tokenizer

pytestmark = pytest.mark.long

WORDINGS = {"plain": Template("{text} topic :", end=" "), "bare": Template("{text} :", end=" "),
            "asked": Template("{text} what is it :", end=" "), "told": Template("{text} topic :", end=" ", instruction="say topic ")}


class ToyEncoder:
    """Counts the words of a text; a label's name is such a word."""

    vocabulary = TOY_WORDS

    def encode(self, texts, **_):
        found = np.array([[text.replace(".", "").split().count(word) for word in self.vocabulary] for text in texts], dtype=np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def lengths(self, texts):
        return np.array([len(text.split()) for text in texts])

    def flops(self, tokens):
        return 100.0 * tokens


@pytest.fixture(scope="module")
def bench():
    task = Task("toy", WORDINGS["bare"], toy_items(60, 0), toy_items(20, 1), toy_items(40, 2), ("red", "blue"))
    made = Bench(task, WORDINGS, toy_lm(), word_tokenizer(TOY_WORDS))
    made.encoder = made.words = ToyEncoder()  # the real one is tested in test_encoder.py
    return made


@pytest.fixture(scope="module")
def found(bench):
    return compare(bench, {8: [0, 1], 48: [0]})


def test_what_needs_no_language_model_loads_none(bench):
    made = Bench(bench.task, WORDINGS, lambda: pytest.fail("a model was loaded"))
    made.encoder = made.words = ToyEncoder()
    names = ["majority", "bag of words", "word vectors", "encoder", "encoder, label names"]
    assert {r["way"] for r in compare(made, {8: [0], 48: [0]}, names=names)} == set(names)


def test_every_way_answers_every_item_for_every_budget_and_seed(bench, found):
    names = ways(tuple(WORDINGS))
    trained = [name for name, way in names.items() if way.shows != 0]
    asked = [name for name, way in names.items() if way.shows == 0]
    rows = {(r["way"], r["n"], r["seed"]) for r in found}
    assert rows == {(w, n, s) for w in trained for n, s in ((8, 0), (8, 1), (48, 0))} | {(w, n, 0) for w in asked for n in (0, 48)}
    assert set(asked) == {"zero-shot", "zero-shot, calibrated", "encoder, label names"}
    for row in found:
        if row["predicted"] is not None:
            assert len(row["predicted"]) == len(bench.task.test) and set(row["predicted"]) <= {0, 1}
            assert row["bill"]["labels"] == row["n"]


def test_no_way_is_tuned_more_than_another_and_with_few_labels_none_is(found):
    few = [r for r in found if r["n"] < FEW]
    assert few and not any(r["tried"] for r in few)
    chosen = [r for r in found if r["n"] >= FEW and r["way"] != "majority" and r["predicted"] is not None]
    assert {len(r["tried"]) for r in chosen} == {4}
    assert all(one["flops"] > 0 for r in chosen for one in r["tried"])
    assert all(r["setting"] == max(r["tried"], key=lambda one: one["score"])["setting"] for r in chosen)


def test_what_chooses_is_held_out_and_paid_for(bench):
    truth = np.array([0] * 30 + [1] * 12 + [2] * 3)
    seen = []
    for learn, held in parts(Way(None, folds=5), truth):
        assert not set(learn) & set(held) and len(learn) + len(held) == len(truth)
        assert [int((truth[held] == k).sum()) for k in (0, 1)] in ([6, 2], [6, 3])
        seen += held.tolist()
    assert sorted(seen) == list(range(45))
    (learn, held), = parts(Way(None, shows=32), truth)
    assert learn.tolist() == list(range(32)) and held.tolist() == list(range(32, 45))
    (learn, held), = parts(Way(None, shows=0), truth)
    assert len(learn) == 0 and len(held) == 45

    asked = []

    def spy(bench, shown, items, setting, seed):
        asked.append((tuple(shown), tuple(items)))
        return np.zeros(len(items), dtype=int), costs.Bill(query_flops=1.0)

    shown = bench.draw(48, 0)
    told = answer(bench, Way(spy, ({"a": 1}, {"a": 2})), shown, 0)
    *choosing, last = asked
    assert len(choosing) == 2 and all(set(one[1]) <= set(shown) and not set(one[0]) & set(one[1]) for one in choosing)
    assert last == (tuple(shown), bench.task.test) and told["bill"]["labels"] == 48


def test_a_rate_at_which_training_fails_loses_and_leaves_the_model_as_it_was(bench):
    way, before = ways(tuple(WORDINGS))["LoRA"], llm.weights_hash(bench.lm)
    tried = choose(bench, Way(way.answer, ({"lr": float("nan")}, {"lr": 1e-3})), bench.draw(FEW, 0), 0)
    assert tried[0]["score"] == 0.0 and tried[1]["score"] > 0 and tried[1]["flops"] > 0
    assert llm.weights_hash(bench.lm) == before and not hasattr(bench.lm, "peft_config")


def test_the_way_that_only_asks_finds_the_label_that_a_text_names(bench):
    way = ways(tuple(WORDINGS))["encoder, label names"]
    told = answer(bench, Way(way.answer, way.settings, shows=0), [], 0)
    assert told["bill"]["labels"] == 0 and told["bill"]["query_flops"] > 0


def test_a_prompt_that_does_not_fit_is_said_and_not_cut(found):
    few = {r["n"]: r["predicted"] for r in found if r["way"].startswith("few-shot")}
    assert few[8] is not None and few[48] is None


def test_the_model_is_given_back_as_it_was(bench):
    before = llm.weights_hash(bench.lm)
    compare(bench, {8: [0]}, names=["LoRA", "frozen probe"])
    assert llm.weights_hash(bench.lm) == before


def test_what_can_be_read_off_one_word_is_learned_with_labels(bench, found):
    truth = bench.truth(bench.task.test)
    right = {(r["way"], r["n"]): np.mean(np.array(r["predicted"]) == truth) for r in found if r["predicted"] is not None}
    assert min(right["bag of words", 48], right["encoder", 48], right["word vectors", 48]) > 0.9 and right["majority", 48] == 0.5


def test_bills_hold_what_was_paid(bench, found):
    bills = {(r["way"], r["n"]): costs.Bill(**r["bill"]) for r in found if r["bill"]}
    few, trained, zero = bills["few-shot", 8], bills["LoRA", 8], bills["zero-shot", 0]
    assert few.trained == zero.train_flops == 0 < few.train_flops < trained.train_flops
    assert few.query_tokens > zero.query_tokens and zero.labels == 0
    assert trained.trained > 0 and trained.train_flops > 0 and trained.train_tokens > 0 and trained.stored_bytes == 4 * trained.trained
    assert all(b.query_ms > 0 for (w, _), b in bills.items() if w != "majority")
    assert bills["frozen probe", 48].train_flops > bills["frozen probe", 8].train_flops
    assert bills["bag of words", 8].query_flops < bills["encoder", 8].query_flops


def test_a_long_prompt_is_asked_in_smaller_batches_with_the_same_answers(bench, monkeypatch):
    shown, items = tuple(bench.draw(8, 0)), bench.task.test
    usual = bench.ask(shown, items, "plain")
    sizes = []
    forward = score._forward
    monkeypatch.setattr(score, "_forward", lambda model, rows, *more, **named:
                        sizes.append(len(rows)) or forward(model, rows, *more, **named))
    monkeypatch.setattr(benches, "TOKENS_AT_ONCE", 2 * usual.prefix)
    bench._asked.clear()
    again = bench.ask(shown, items, "plain")
    assert max(sizes) == 2 and again.prefix == usual.prefix
    np.testing.assert_allclose(again.log_probs, usual.log_probs, atol=1e-4)


def test_calibration_answers_a_query_alone(bench):
    """The leaning comes from dev texts, so an answer does not depend on which other queries there are."""
    answer, shown = prompted(True, few=True), bench.draw(8, 0)
    together, bill = answer(bench, shown, bench.task.test, {"wording": "plain"}, 0)
    alone = [answer(bench, shown, [item], {"wording": "plain"}, 0)[0][0] for item in bench.task.test[:5]]
    np.testing.assert_allclose(together[:5], alone, atol=1e-4)
    raw = prompted(False, few=True)(bench, shown, bench.task.test, {"wording": "plain"}, 0)[1]
    assert bill.train_flops > raw.train_flops and bill.query_flops == raw.query_flops


def test_words_never_labelled_are_left_out_by_the_model_from_scratch(bench):
    shown = [Item("warm w1", "red"), Item("cold w2", "blue")]
    scores, bill = from_scratch(bench, shown, [Item("w30 w31 w32", "red")], {"lr": 1e-3}, 0)
    assert scores.shape == (1, 2) and bill.query_tokens == 1


def test_labels_are_drawn_evenly_where_asked(bench):
    even = Bench(bench.task, WORDINGS, bench.lm, bench.tokenizer, even=True)
    drawn = even.draw(8, 3)
    assert sum(item.label == "red" for item in drawn) == 4
    with pytest.raises(ConfigError, match="9 labels do not divide among 2 classes"):
        even.draw(9, 3)


def test_macro_f1_counts_a_label_never_predicted_as_zero():
    assert macro_f1(np.array([0, 0, 0, 0]), np.array([0, 0, 1, 1]), 2) == pytest.approx(1 / 3)


@pytest.mark.parametrize("call, message", [
    (lambda b: compare(b, {8: [0]}, names=["magic"]), "no way is called \\['magic'\\]; choose from majority"),
    (lambda b: compare(b, {800: [0]}, names=["bag of words"]), "n is 800, the pool has 60 items"),
    (lambda b: Bench(Task("free", WORDINGS["bare"], b.task.pool, b.task.dev, b.task.test), WORDINGS, b.lm, b.tokenizer),
     "a comparison needs a choice among labels"),
    (lambda b: built_in("tweets", b.lm, b.tokenizer, n_dev=1, n_test=1, n_pool=5), "choose 'bbc' or 'reviews'"),
])
def test_bad_input_is_one_line(bench, call, message):
    with pytest.raises((ConfigError, DataError), match=message) as error:
        call(bench)
    assert "\n" not in str(error.value)
