"""A language model behind an OpenAI-compatible address, asked to choose among options: Ollama, llama.cpp, vLLM, a company's gateway.

Nothing is sent before `Endpoint.plan` said what it would be, and nothing to another machine without `allowed`. Answers are kept on disk, so
no question is paid for twice. The key comes from the environment and goes into one header; it is in no file, message or repr.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import math
import os
import re
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from lmtutor import runtime
from lmtutor.errors import AssetError, ConfigError

KEY = "OPENAI_API_KEY"            # environment variable
TRIES, FIRST_WAIT = 5, 1.0        # seconds; each wait is twice the one before
BUSY = (408, 409, 425, 429, 500, 502, 503, 504)
ANSWER = 8                        # tokens that an answer may have
FLOOR = -20.0                     # nats, of an option that is not among the likeliest tokens
PER_TOKEN = 4                     # characters of English, to guess tokens before anything is sent; a guess, and said to be one


@dataclass(frozen=True)
class Plan:
    """What asking would send."""

    calls: int        # that are not answered on disk
    kept: int         # that are
    tokens: int       # to be read, about
    where: str        # the host
    local: bool


@dataclass(frozen=True)
class Answers:
    log_probs: np.ndarray   # (N, K) nats; where an endpoint gives none: 0 for what was said, FLOOR for the rest
    parsed: np.ndarray      # (N,) bool: whether an option could be read out of the answer
    tokens_read: int        # by the endpoint's own count
    tokens_written: int
    seconds: float          # that the calls took, when they were made


@dataclass
class Endpoint:
    """One model at one address.

    Parameters
    ----------
    name : str       of the model, as the endpoint calls it
    url : str        up to and without `/chat/completions`, for example http://localhost:11434/v1
    cache : Path     folder for answers
    allowed : bool   whether texts may be sent to a host that isn't this machine
    """

    name: str
    url: str
    cache: Path
    allowed: bool = False
    _waits: Any = field(default=time.sleep, repr=False)

    def __post_init__(self):
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{self.url!r} is no address; give one such as http://localhost:11434/v1")
        if parts.username or parts.password or parts.query:
            raise ConfigError(f"the address holds a name, a password or a query; give the key as {KEY} in the environment")
        self.url = self.url.rstrip("/")

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def local(self) -> bool:
        """Whether the texts stay on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def plan(self, prompts: Sequence[str]) -> Plan:
        """What asking these would send; sends nothing."""
        new = [prompt for prompt in dict.fromkeys(prompts) if not self._file(prompt).exists()]
        return Plan(len(new), len(set(prompts)) - len(new), sum(len(prompt) // PER_TOKEN + 1 for prompt in new), self.host, self.local)

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> Answers:
        """Ask each prompt and read which option was chosen, by its letter, its number or its name.

        Raises
        ------
        ConfigError    texts would leave this machine and that is not allowed
        AssetError     the endpoint cannot be reached, or refuses
        """
        plan = self.plan(prompts)
        if plan.calls and not self.local and not self.allowed:
            raise ConfigError(f"{plan.calls:,} texts would be sent to {self.host}; say --yes if they may")
        said = [self._asked(prompt) for prompt in runtime.progress(prompts, desc=self.name)]
        read = [read_choice(one, options) for one in said]
        usage = [one.get("usage") or {} for one in said]
        return Answers(np.array([log_probs for log_probs, _ in read]), np.array([parsed for _, parsed in read]),
                       sum(int(u.get("prompt_tokens") or 0) for u in usage), sum(int(u.get("completion_tokens") or 0) for u in usage),
                       sum(float(one.get("seconds") or 0) for one in said))

    def _file(self, prompt: str) -> Path:
        key = json.dumps([self.url, self.name, prompt, ANSWER])
        return self.cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _asked(self, prompt: str) -> dict:
        file = self._file(prompt)
        if not file.exists():
            begin = time.perf_counter()
            answer = self._send({"model": self.name, "messages": [{"role": "user", "content": prompt}], "max_tokens": ANSWER,
                                 "temperature": 0, "logprobs": True, "top_logprobs": 20})
            answer["seconds"] = time.perf_counter() - begin
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            part.write_text(json.dumps(answer), encoding="utf-8")
            part.replace(file)
        return json.loads(file.read_text(encoding="utf-8"))

    def _send(self, body: dict) -> dict:
        import httpx

        headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get(KEY)) else {}
        wait, trouble = FIRST_WAIT, ""
        for attempt in range(TRIES):
            if attempt:
                self._waits(wait)
                wait *= 2
            try:
                got = httpx.post(f"{self.url}/chat/completions", json=body, headers=headers, timeout=120, follow_redirects=False)
            except httpx.HTTPError as error:
                trouble = type(error).__name__
                continue
            if got.status_code == 400 and "logprobs" in body:  # an endpoint that gives no probabilities may refuse to be asked for them
                body = {name: value for name, value in body.items() if "logprobs" not in name}
                got = httpx.post(f"{self.url}/chat/completions", json=body, headers=headers, timeout=120, follow_redirects=False)
            if got.status_code in BUSY:
                trouble = f"status {got.status_code}"
                wait = min(60.0, max(wait, _seconds(got.headers.get("retry-after"))))
                continue
            if got.status_code == 401:
                raise AssetError(f"{self.host} wants a key, or another one; set {KEY} in the environment")
            if got.status_code != 200:
                raise AssetError(f"{self.host} answered with status {got.status_code}; look whether --model and --base-url are right")
            try:
                answer = got.json()
                answer["choices"][0]["message"]["content"]
                return {"choices": answer["choices"][:1], "usage": answer.get("usage")}
            except (ValueError, LookupError, TypeError):
                raise AssetError(f"{self.host} answered in another form than an OpenAI-compatible endpoint; is --base-url right?") from None
        raise AssetError(f"{self.host} gave no answer in {TRIES} tries ({trouble}); what was answered is kept, so the same command goes on")


def _seconds(header: str | None) -> float:
    try:
        return float(header or 0)
    except ValueError:
        return 0.0


def marks(n: int) -> list[str]:
    """What stands before each option: a letter; a number where the letters don't reach."""
    return list(string.ascii_uppercase[:n]) if n <= 26 else [str(i + 1) for i in range(n)]


def question(text: str, options: Sequence[str], *, shown: Sequence[tuple[str, str]] = ()) -> str:
    """The prompt: the options with their marks, examples with their answers, the text.

    Parameters
    ----------
    shown : (text, label) of each example
    """
    at = dict(zip(options, marks(len(options)), strict=True))
    listed = "\n".join(f"{mark}) {option}" for option, mark in at.items())
    examples = "".join(f"Text: {example}\nAnswer: {at[label]}\n\n" for example, label in shown)
    kind = "letter" if len(options) <= 26 else "number"
    return f"Which of these fits the text? Answer with the {kind} alone.\n\n{listed}\n\n{examples}Text: {text}\nAnswer:"


def read_choice(answer: dict, options: Sequence[str]) -> tuple[np.ndarray, bool]:
    """(log-probability of each option (K,), whether one could be read): by the likeliest first tokens where they are given, else by what
    was written: a mark alone or at its beginning, or the name of one option and of no other.
    """
    known = marks(len(options))
    choice = answer["choices"][0]
    log_probs = np.full(len(options), FLOOR)
    tokens = ((choice.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs") or []
    for told in tokens:
        mark = str(told.get("token", "")).strip(" \t\n).:(*").upper()
        if mark in known:
            log_probs[known.index(mark)] = np.logaddexp(log_probs[known.index(mark)], float(told.get("logprob", FLOOR)))
    if len(options) <= 26 and (log_probs > FLOOR + 1).any():
        return log_probs, True
    said = str(choice["message"]["content"] or "").strip()
    begins = re.match(r"[(*\s]*([A-Za-z]|\d+)(?=$|[).:,*\s])", said)
    if begins and begins[1].upper() in known and not (begins[1] in ("a", "A", "I", "i") and re.match(r"\S+ \w", said)):
        at = known.index(begins[1].upper())
    else:
        named = [i for i, option in enumerate(options) if re.search(rf"(?<!\w){re.escape(option)}(?!\w)", said, re.IGNORECASE)]
        longest = [i for i in named if not any(options[i] != options[j] and options[i].lower() in options[j].lower() for j in named)]
        if len(longest) != 1:
            return np.full(len(options), -math.log(len(options))), False
        at = longest[0]
    found = np.full(len(options), FLOOR)
    found[at] = 0.0
    return found, True
