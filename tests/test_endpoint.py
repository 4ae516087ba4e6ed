"""An endpoint that is asked to choose: what is sent, what is read, what is kept, and what never leaves."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from lmtutor.compare import endpoint
from lmtutor.compare.endpoint import Endpoint, question, read_choice
from lmtutor.errors import AssetError, ConfigError

OPTIONS = ["sport", "politics", "art"]


def said(content, top=None):
    choice = {"message": {"content": content}}
    if top:
        choice["logprobs"] = {"content": [{"top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()]}]}
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}


@pytest.fixture
def server():
    """A small server that answers with what `replies` gives for a request; each is a (status, headers, body)."""
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.server.seen.append((self.path, dict(self.headers), body))
            status, headers, reply = self.server.reply(body)
            text = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(text)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.seen, made.reply = [], lambda body: (200, {}, said("A"))
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()


@pytest.fixture
def asked(server, tmp_path, monkeypatch):
    monkeypatch.delenv(endpoint.KEY, raising=False)
    made = Endpoint("small", f"http://127.0.0.1:{server.server_port}/v1/", tmp_path / "answers")
    made._waits = lambda seconds: server.seen.append(("waited", seconds))
    return made


def test_it_asks_once_and_keeps_what_was_answered(server, asked):
    prompts = [question(text, OPTIONS) for text in ("a goal", "a vote", "a goal")]
    assert asked.plan(prompts).calls == 2 and asked.plan(prompts).local and not server.seen
    found = asked.choose(prompts, OPTIONS)
    assert found.log_probs.argmax(axis=1).tolist() == [0, 0, 0] and found.parsed.all() and (found.tokens_read, found.tokens_written) == (21, 3)
    path, _, body = server.seen[0]
    assert path == "/v1/chat/completions" and body["temperature"] == 0 and body["top_logprobs"] == 20 and len(server.seen) == 2
    again = Endpoint("small", asked.url, asked.cache).choose(prompts, OPTIONS)
    assert len(server.seen) == 2 and (again.log_probs == found.log_probs).all() and asked.plan(prompts).kept == 2
    assert Endpoint("other", asked.url, asked.cache).plan(prompts).calls == 2, "another model is another question"


def test_probabilities_of_the_letters_are_read_where_they_are_given():
    log_probs, parsed = read_choice(said("B", {" B": -0.2, "B": -3.0, "A)": -2.0, "The": -1.0}), OPTIONS)
    assert parsed and log_probs == pytest.approx([-2.0, np.logaddexp(-0.2, -3.0), endpoint.FLOOR])


@pytest.mark.parametrize(("content", "at"), [
    ("B", 1), ("b)", 1), ("(C) art", 2), ("**A**", 0), ("C. because", 2), ("The answer is politics.", 1), ("SPORT", 0),
    ("A good question", None), ("I think so", None), ("", None), ("sport or politics", None), ("none of these", None), ("D", None)])
def test_what_is_written_is_read_or_counted_as_unreadable(content, at):
    log_probs, parsed = read_choice(said(content), OPTIONS)
    assert parsed == (at is not None) and (not parsed or log_probs.argmax() == at)
    assert parsed or np.ptp(log_probs) == 0


def test_many_options_have_numbers_and_of_two_names_the_longer_counts():
    many = [f"label {i}" for i in range(77)]
    assert read_choice(said("12"), many)[0].argmax() == 11 and "number alone" in question("x", many)
    assert read_choice(said("it is label 12"), many)[0].argmax() == 12
    assert read_choice(said("card not working"), ["card", "card not working"])[0].argmax() == 1


def test_examples_stand_before_the_text():
    asked = question("a vote", OPTIONS, shown=[("a goal", "sport")])
    assert "A) sport\nB) politics\nC) art" in asked and asked.endswith("Text: a goal\nAnswer: A\n\nText: a vote\nAnswer:")


def test_a_busy_endpoint_is_asked_again_after_longer_and_longer_waits(server, asked):
    replies = iter([(429, {"retry-after": "3"}, {}), (503, {}, {}), (200, {}, said("C"))])
    server.reply = lambda body: next(replies)
    assert asked.choose(["one"], OPTIONS).log_probs.argmax() == 2
    assert [seconds for path, *rest in server.seen if path == "waited" for seconds in rest] == [3.0, 6.0]


def test_one_that_gives_no_probabilities_is_asked_without(server, asked):
    server.reply = lambda body: (400, {}, {"error": "logprobs"}) if "logprobs" in body else (200, {}, said("B"))
    assert asked.choose(["one"], OPTIONS).log_probs.argmax() == 1 and "logprobs" not in server.seen[-1][2]


@pytest.mark.parametrize(("reply", "message"), [
    ((401, {}, {}), "wants a key, or another one; set OPENAI_API_KEY in the environment"),
    ((404, {}, {}), "answered with status 404; look whether --model and --base-url are right"),
    ((200, {}, b"<html>"), "another form than an OpenAI-compatible endpoint"),
    ((200, {}, {"choices": []}), "another form than an OpenAI-compatible endpoint"),
    ((500, {}, {}), "gave no answer in 5 tries (status 500); what was answered is kept"),
])
def test_trouble_is_told_in_one_line_and_keeps_nothing(server, asked, reply, message):
    server.reply = lambda body: reply
    with pytest.raises(AssetError) as caught:
        asked.choose(["one"], OPTIONS)
    assert message in str(caught.value) and "\n" not in str(caught.value) and not list(asked.cache.glob("*"))


def test_nobody_there(tmp_path):
    made = Endpoint("small", "http://127.0.0.1:9/v1", tmp_path)
    made._waits = lambda seconds: None
    with pytest.raises(AssetError, match="127.0.0.1 gave no answer in 5 tries"):
        made.choose(["one"], OPTIONS)


def test_nothing_leaves_this_machine_unasked(tmp_path, monkeypatch):
    import httpx

    monkeypatch.setattr(httpx, "post", lambda *_, **__: pytest.fail("something was sent"))
    made = Endpoint("big", "https://api.example.com/v1", tmp_path)
    assert not made.local and made.plan(["a", "b"]).where == "api.example.com"
    with pytest.raises(ConfigError, match="2 texts would be sent to api.example.com; say --yes if they may"):
        made.choose(["a", "b"], OPTIONS)
    assert Endpoint("x", "http://[::1]:8000/v1", tmp_path).local and not Endpoint("x", "http://localhost.example.com/v1", tmp_path).local


def test_the_key_goes_into_the_header_and_nowhere_else(server, asked, monkeypatch, caplog):
    monkeypatch.setenv(endpoint.KEY, "sk-secret")
    asked.choose(["one"], OPTIONS)
    assert server.seen[0][1]["Authorization"] == "Bearer sk-secret"
    kept = "".join(file.read_text() for file in asked.cache.glob("*"))
    assert "sk-secret" not in kept + repr(asked) + repr(asked.plan(["two"])) + caplog.text


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://x/v1", "http://", "http://user:sk@x/v1", "http://x/v1?key=sk"])
def test_addresses_that_are_none(url, tmp_path):
    with pytest.raises(ConfigError) as caught:
        Endpoint("x", url, tmp_path)
    assert "sk" not in str(caught.value).replace("--", "")
