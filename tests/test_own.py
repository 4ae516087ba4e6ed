"""The comparison on an own table, end to end with what needs no model, and with a model that has never learned anything."""

import json

import numpy as np
import pytest
from conftest import Letters
from test_compare import ToyEncoder

import lmtutor
from lmtutor.compare import own, plan, run
from lmtutor.compare.own import OwnBench, beginning, own_ways, wordings
from lmtutor.compare.report import look_at_csv
from lmtutor.data.tables import read_table
from lmtutor.errors import AssetError, ConfigError, DataError
from lmtutor.measure.by_item import Metric

WORDS = {"ship": "sail harbour deck anchor mast", "cook": "pan salt oven stew spoon", "code": "loop class merge branch stack"}
FREE = ["majority", "words"]


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


def compared(rows=None, **settings):
    return lmtutor.compare(rows or table(), **{"text": "what", "label": "kind", "ways": FREE, "labels": (8, 32), "say": lambda line: None} | settings)


def cells(report):
    return {(row["name"], row["labels"]): row for row in report.content["ways"]}


@pytest.fixture(autouse=True, scope="module")
def alone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.runtime, "free_threads", lambda: None)  # it looks for half a second
        yield


@pytest.fixture(scope="module")
def report():
    return compared()


def test_every_way_answers_the_same_items_with_the_same_labels(report):
    assert set(cells(report)) == {(w, n) for w in FREE for n in (8, 32)}
    assert all(row["items"] == 100 and row["draws"] == 9 and row["low"] <= row["estimate"] <= row["high"] for row in report.content["ways"])


def test_what_tells_the_labels_apart_is_found_and_recommended(report):
    by = cells(report)
    assert by["words", 32]["estimate"] > by["words", 8]["estimate"] > 0.6 > by["majority", 32]["estimate"]
    assert (report.recommendation["decision"], report.recommendation["way"]) == ("take", "words")
    assert str(report).startswith("Take words\n  The highest number is that of words")


def test_words_give_what_scikit_learn_gives_with_the_same_labels(report):
    """The turned features are the counts themselves, as far as a line through labelled texts can see."""
    from lmtutor.models.baselines import count_words, fit_linear

    data = read_table(table(), text="what", label="kind")
    task, said, draws, counted, *_ = own.task_of(data, seed=0, text="what", label="kind", most=32, draws=3)
    bench = OwnBench(own.Own(task, said, draws, counted, Metric("macro-f1", 3), "none", "none"), None)
    shown, counter = bench.draw(32, 1), count_words(counted)
    plain = fit_linear(counter.transform([i.text for i in shown]), bench.truth(shown), C=1.0).predict_proba(counter.transform([i.text for i in task.test]))
    turned, _ = own_ways(tuple(said))["words"].scores(bench, shown, task.test, {"C": 1.0, "intercept": False}, 1)
    np.testing.assert_allclose(turned, plain, atol=2e-3)


def test_labels_that_say_nothing_give_nothing():
    rows = table()
    rows["kind"] = [str(label) for label in np.random.default_rng(3).choice(list(WORDS), 300)]
    assert compared(rows, metric="accuracy").recommendation["decision"] == "none"


def test_two_labels_one_rare_by_average_precision():
    rows = table(600)
    rows["kind"] = ["alarm" if kind == "ship" and i % 4 == 0 else "none" for i, kind in enumerate(rows["kind"])]
    found = compared(rows, metric="average-precision", labels=(32, 128))
    by = cells(found)
    assert by["words", 128]["estimate"] > by["majority", 128]["estimate"] and by["words", 128]["metric"] == "average-precision"
    with pytest.raises(ConfigError, match="one of two labels and there are 3"):
        compared(metric="average-precision")


def test_what_errors_cost_decides_what_is_answered():
    dear = {("ship", "cook"): 100.0, ("ship", "code"): 100.0}
    usual, careful = compared(labels=(8,), cost_of_error={("ship", "cook"): 1.0}), compared(labels=(8,), cost_of_error=dear)
    assert {row["metric"] for row in careful.content["ways"]} == {"cost"} and cells(careful)["words", 8]["estimate"] <= 0
    missed = lambda report: sum(r["texts"] for r in report.content["confused"] if r["label"] == "ship")  # noqa: E731
    assert missed(careful) < max(1, missed(usual)) or not missed(usual)
    with pytest.raises(ConfigError, match="names the label 'boat', which is not in the data"):
        compared(cost_of_error={("boat", "cook"): 1.0})


def test_an_interrupted_comparison_goes_on(tmp_path, monkeypatch, report):
    done, real = [], run.run_cell

    def stops(*arguments):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments)

    monkeypatch.setattr(run, "run_cell", stops)
    with pytest.raises(KeyboardInterrupt):
        compared(out=tmp_path / "out")
    monkeypatch.setattr(run, "run_cell", lambda *arguments: done.append(1) or real(*arguments))
    again = compared(out=tmp_path / "out")
    assert len(done) == 36 and [(r["name"], r["estimate"]) for r in again.content["ways"]] == [(r["name"], r["estimate"]) for r in report.content["ways"]]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"plan.json", "units.json", "report.json", "report.html", "look_at.csv", "kept"}
    more = compared(out=tmp_path / "out", minutes=20)
    assert len(done) == 36 and more.content["ways"][0]["estimate"] == again.content["ways"][0]["estimate"]
    with pytest.raises(ConfigError, match="holds another comparison"):
        compared(out=tmp_path / "out", metric="accuracy")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="holds other files"):
        compared(out=tmp_path)
    with pytest.raises(ConfigError, match="is a file; give a folder"):
        compared(out=tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    from lmtutor.compare import report as reports

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reports, "whole", full)
    with pytest.raises(AssetError, match="No space left on device"):
        compared(out=tmp_path / "out")


def test_draws_are_apart_as_far_as_the_table_goes():
    draws = own.windows(300, 100, 9, 0)
    assert own.overlap(draws[:3], 100) == 0 and own.overlap(draws, 33) == 0 < own.overlap(draws, 100) < 1 / 3
    assert all(len(set(draw)) == 100 for draw in draws) and own.overlap(own.windows(50, 100, 6, 0), 50) == 1


def test_only_texts_that_some_draw_labels_are_read_and_the_draws_are_nested():
    data = read_table(table(), text="what", label="kind")
    task, said, draws, counted, *_ = own.task_of(data, seed=0, text="what", label="kind", most=8, draws=2)
    made = OwnBench(own.Own(task, said, draws, counted, Metric("macro-f1", 3), "none", "none"), None)
    assert len(task.pool) <= 16 and len(made.items) == len(task.pool) + len(task.dev) + len(task.test)
    assert len(counted) == 200 and made.draw(4, 1) == made.draw(8, 1)[:4]
    assert not {item.text for item in task.test} & {*counted}


def test_what_does_not_fit_is_left_out_and_the_cheapest_still_answers(monkeypatch):
    said = []
    monkeypatch.setattr(plan, "measure", lambda bench, ways: plan.Speeds({}, counting=500.0, fit=0.0))
    monkeypatch.setattr(plan, "cheap_draws", lambda *_: 3)
    found = compared(minutes=1, say=said.append)
    assert {row["name"] for row in found.content["ways"]} == {"majority"} and found.recommendation["decision"] == "none"
    assert any("left out: words with 8 32 labels, 500 s more for the first; --minutes 10 would do" in line for line in said)
    assert {one["way"] for one in found.content["not_run"]} == {"words"}


def test_what_takes_longer_than_it_should_is_cut_at_the_end_of_the_time(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(run.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(plan, "measure", lambda bench, ways: plan.Speeds({}, counting=1.0, fit=0.0))
    real = run.run_cell

    def slow(*arguments):
        found = real(*arguments)
        clock[0] += 0 if arguments[1] == "majority" else 40
        return found

    monkeypatch.setattr(run, "run_cell", slow)
    found = compared(minutes=2)
    assert clock[0] <= 132 and ("words", 8) in cells(found) and ("words", 32) not in cells(found)


def test_a_way_that_was_cut_short_and_was_ahead_leaves_it_open(report):
    from lmtutor.compare.recommend import Recommendation
    from lmtutor.compare.report import unsettled

    generator, metric = np.random.default_rng(0), Metric("accuracy", 2)
    right = lambda p: (generator.random((3, 200)) < p).astype(float)  # noqa: E731
    values, told = {("words", 8): right(0.5), ("words", 32): right(0.9), ("encoder", 8): right(0.85)}, Recommendation("take", "words", None, ("best",))
    shared = dict.fromkeys(values, 0.0)
    found = unsettled(told, values, {"words": 32, "encoder": 8}, metric, shared, 0.02)
    assert found.decision == "undecided" and found.way == "words" and "encoder was run with 8 labels at most, and there it is" in found.reasons[-1]
    assert unsettled(told, values | {("encoder", 8): right(0.4)}, {"words": 32, "encoder": 8}, metric, shared, 0.02) == told


def test_a_model_whose_files_are_not_here_is_named_with_the_command_that_gets_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LMTUTOR_CACHE", str(tmp_path))
    monkeypatch.setattr(run.assets, "_installed", lambda asset: None)
    found = compared(ways=None, labels=(8,))
    assert {row["name"] for row in found.content["ways"]} == {"majority", "words"}
    why = {one["way"]: one["why"] for one in found.content["not_run"]}
    assert why["encoder"] == "get it with `lmtutor fetch minilm`" and why["lora"] == "get it with `lmtutor fetch smollm2`"


def test_a_long_text_is_cut_in_a_prompt_and_nowhere_else():
    said = wordings("body_text", "The {topic}")["labelled"]
    assert said.query == "Body text: {text}\nThe (topic):"
    long = said.question("word " * 500)
    assert long.count("word") == own.WORDS_READ and "\u2026" in long and said.question("short") == "Body text: short\nThe (topic):"
    assert len(beginning("\u6587" * 5000, 60)) == 60 * own.PER_WORD + 2, "a script without blanks"


def test_cells_of_a_table_are_no_formulas():
    told = look_at_csv([{"kind": "error", "label": "=cmd()", "answers": {"words": "a"}, "text": "+1 @x"}, {"kind": "label?", "label": "a", "answers": {}, "text": "fine"}])
    assert "'=cmd()" in told and "'+1 @x" in told and "\nlabel?,a,,fine" in told.replace("\r", "")


def test_terminal_and_numbers_from_hostile_texts(tmp_path):
    rows = table()
    rows["what"] = [f"{text} \x1b[31m<script>alert({i})</script>" for i, text in enumerate(rows["what"])]
    rows["kind"] = [f"{kind}\x1b[2J, =1+1 \u202e" for kind in rows["kind"]]
    found = compared(rows, out=tmp_path / "out")
    assert "\x1b" not in str(found) and json.loads((tmp_path / "out/report.json").read_text())["schema"] == "lmtutor-compare-1"


def test_what_cannot_be_compared():
    for settings, message in (({"ways": ["wordz"]}, "no way is called 'wordz'; choose from majority, words"), ({"metric": "f2"}, "no metric is called 'f2'"),
                              ({"seeds": 1}, "one draw of labels says nothing"), ({"minutes": 0}, "minutes is 0"), ({"labels": ()}, "give numbers from 1"),
                              ({"least": -1}, "give hundredths"), ({"asked": 5}, "ask about 20"), ({"ways": ["endpoint"]}, "an endpoint takes --model openai:NAME"),
                              ({"model": "openai:x"}, "give the address with --base-url"), ({"scheduler": "tcp://x"}, "--scheduler needs --out")):
        with pytest.raises(ConfigError, match=message):
            compared(**settings)
    with pytest.raises(DataError, match="has 30 different texts with one label; 60 are needed"):
        compared(table(30))


@pytest.mark.long
def test_all_ways_with_a_model_that_knows_nothing(monkeypatch, tmp_path):
    """Every way runs, is billed and can be kept; of what was kept the probabilities are those that were measured."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from lmtutor.compare import keep

    torch.manual_seed(0)
    lm, tokenizer = LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, vocab_size=128,
                                                 max_position_embeddings=4096)).eval(), Letters()
    rows = table(240)
    rows["what"] = [" ".join(word for word in text.split() if not word.startswith("w")) or "red" for text in rows["what"]]
    rows["what"] = [f"{text} w{i % 40} w{i // 40}" for i, text in enumerate(rows["what"])]
    monkeypatch.setattr(own.OwnBench, "encoder", ToyEncoder())
    monkeypatch.setattr(own.OwnBench, "words", ToyEncoder())
    monkeypatch.setattr(run, "loader", lambda name: lambda: (lm, tokenizer))
    monkeypatch.setattr(run, "present", lambda names, *_: (list(names), {}))
    monkeypatch.setattr(keep.Kept, "model", (lm, tokenizer))
    monkeypatch.setattr(keep.Kept, "encoder", ToyEncoder())
    found = compared(rows, ways=None, labels=(8, 40), minutes=60, seeds=2)
    names = [name for name in own_ways(("a",)) if not name.startswith("endpoint")]
    assert {row["name"] for row in found.content["ways"]} == set(names)
    bench = found.bench
    for row in found.content["ways"]:
        if row["labels"] != 8 and row["labels"] or row["name"] == "majority":
            continue
        content = {**found.content, "recommendation": {"way": row["name"], "labels": row["labels"]}}
        told = keep.keep(bench, content, tmp_path / "kept")
        kept, texts = keep.load(tmp_path / "kept"), [item.text for item in bench.task.test]
        shares = kept.probabilities(texts)
        assert shares.shape == (len(texts), 3) and np.allclose(shares.sum(axis=1), 1) and told["bytes"] > 0
        if row["name"].split(",")[0] in ("label-names", "zero-shot", "few-shot", "lora"):  # learned from the same labels: the same answers
            shown = bench.draw(row["labels"], 0) if row["labels"] else []
            again, _ = own_ways(tuple(bench.wordings))[row["name"]].scores(bench, shown, bench.task.test, row["setting"], 0)
            np.testing.assert_allclose(shares, again, atol=2e-2)
        else:  # learned from all texts that were read, these among them
            assert np.mean(shares.argmax(axis=1) == bench.task.truth) >= row["estimate"] - 0.05
            fresh = own.OwnBench(bench.own, lambda: (lm, tokenizer))  # the same command again, which has read nothing yet
            assert keep.keep(fresh, content, tmp_path / "again")["learned_from"] == told["learned_from"]
            np.testing.assert_allclose(keep.load(tmp_path / "again").probabilities(texts), shares, atol=1e-3)


# An endpoint ----------------------------------------------------------------------------------------------------------------------

from test_endpoint import said, server  # noqa: E402, F401, a fixture


@pytest.fixture
def knowing(server):  # noqa: F811
    """A server that answers with the letter of the label whose words it sees, and now and then with nonsense."""
    def reply(body):
        asked = body["messages"][0]["content"]
        text = asked.rpartition("Text: ")[2]
        names = [line.partition(") ")[2] for line in asked.splitlines() if line[1:3] == ") "]
        fits = [i for i, name in enumerate(names) if any(word in text for word in WORDS[name].split())]
        return 200, {}, said("ABC"[fits[0]] if "w7" not in text else "Well, who knows?")

    server.reply = reply
    return server


def test_an_endpoint_is_asked_billed_and_kept(knowing, tmp_path):
    lines, address = [], f"http://127.0.0.1:{knowing.server_port}/v1"
    settings = dict(model="openai:small", base_url=address, ways=["majority", "words", "endpoint"], labels=(8,), out=tmp_path / "out", say=lines.append)
    found = compared(**settings)
    by = cells(found)
    assert by["endpoint", 0]["estimate"] > 0.9 and by["endpoint", 0]["unparsed"] > 0 and by["endpoint, few-shot", 8]["draws"] == 3
    (plan,) = [line for line in lines if "calls to 127.0.0.1" in line]
    assert f"{len(knowing.seen):,} calls" in plan and "about" in plan and found.recommendation["way"] != "majority"
    before = len(knowing.seen)
    again = compared(**settings)
    assert len(knowing.seen) == before and cells(again)["endpoint", 0]["query_ms"] == by["endpoint", 0]["query_ms"] > 0


def test_nothing_is_sent_to_another_machine_unasked(tmp_path, monkeypatch):
    import httpx

    monkeypatch.setattr(httpx, "post", lambda *_, **__: pytest.fail("something was sent"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    lines = []
    with pytest.raises(ConfigError, match=r"texts would be sent to api.example.com; add --yes if they may") as refused:
        compared(model="openai:large", base_url="https://api.example.com/v1", ways=["words", "endpoint"], labels=(8,), out=tmp_path / "out", say=lines.append)
    kept = "".join(path.read_text() for path in (tmp_path / "out").iterdir() if path.is_file())
    assert any("calls to api.example.com" in line and "$" in line for line in lines) and "sk-secret" not in kept + str(refused.value) + "".join(lines)
