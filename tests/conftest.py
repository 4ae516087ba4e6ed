"""What several tests share: where things are, the built book, a browser, toy tasks, and toy models that have never learned anything."""

import datetime
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "tools"), str(ROOT / "book/_ext")]  # for `import run`, `import slides`, `import ledger`

ONLY = """
import sys

class Missing:
    here = set(sys.argv.pop(1).split(","))

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in cls.here:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing)
from jupyter_book.cli.main import main
main()
"""
CHROMIUM = os.environ.get("LMTUTOR_CHROMIUM") or shutil.which("chromium")
AXE = importlib.util.find_spec("axe_playwright_python")
needs_browser = [
    pytest.mark.long,
    pytest.mark.skipif(not importlib.util.find_spec("playwright"), reason="playwright is not installed: pip install playwright"),
    pytest.mark.skipif(not CHROMIUM, reason="no browser: apt-get install chromium, or name one in LMTUTOR_CHROMIUM"),
]
needs_axe = pytest.mark.skipif(not AXE, reason="axe, which looks for barriers, is not installed: pip install axe-playwright-python")
FIND_BARRIERS = """axe.run({ preload: false, rules: Object.fromEntries(axe.getRules(["experimental"]).map(({ ruleId }) => [ruleId, { enabled: true }])) })
    .then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`)))"""
TOY_WORDS = [*"<eos> N/A [MASK] topic : say what it is red blue warm cold".split(), *(f"w{i}" for i in range(40))]


@cache
def book_command():
    """What builds the book, without the modules of this environment that `make book` does not install."""
    installed = {canonicalize_name(one.name): one for one in metadata.distributions()}
    left, kept = [Requirement(line).name for line in PROJECT["optional-dependencies"]["book"]], {"lmtutor", "pip", "setuptools"}
    while left:
        name = canonicalize_name(left.pop())
        if name in installed and name not in kept:
            kept.add(name)
            wanted = map(Requirement, installed[name].requires or [])
            left += [one.name for one in wanted if not one.marker or one.marker.evaluate({"extra": ""})]
    others = [module for module, names in metadata.packages_distributions().items() if not kept & set(map(canonicalize_name, names))]
    return [sys.executable, "-c", ONLY, ",".join(others), "build"]


def start_build(out, config):
    """Begin to build every page, each warning an error."""
    command = [*book_command(), ROOT, "--toc", ROOT / "book/_toc.yml", "--config", config,
               "--path-output", out, "-W", "-n", "--keep-going", "-q"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment)


def build(out, config, started=None):
    """Build every page without a warning, or wait for the build that was started; return the folder with the HTML."""
    started = started or start_build(out, config)
    said, _ = started.communicate()
    assert started.returncode == 0, said
    return out / "_build/html"


def pytest_collection_modifyitems(items):
    """Tests that read the built pages come last: until then the book is built beside the others."""
    items.sort(key=lambda item: "site" in item.fixturenames)


def in_turn(checks):
    """Today's one of several long checks, by the day of the year; all of them where LMTUTOR_ALL is set, as `make turns` does."""
    checks = list(checks)
    return checks if os.environ.get("LMTUTOR_ALL") else [checks[datetime.date.today().timetuple().tm_yday % len(checks)]]


def other_python(version):
    """Another Python of this machine, "3.13"; None where there is none, or one that only says that it is not set up."""
    found = shutil.which(f"python{version}")
    return found if found and subprocess.run([found, "-c", "import venv"], capture_output=True).returncode == 0 else None


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built without the network from a copy of what git would hold."""
    clone, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    shutil.copytree(ROOT / "lmtutor", clone / "lmtutor", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", out, clone]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def index():
    """For tests that ask a package index what it has: skips them where none can be reached."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--retries", "0", "--no-cache-dir", "evaluate"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no package index can be reached")


@pytest.fixture(scope="session", autouse=True)
def being_built(request, tmp_path_factory):
    """Where the book is being built, and by which process; None where no test reads it."""
    if not any("site" in item.fixturenames for item in request.session.items):
        yield None
        return
    out = tmp_path_factory.mktemp("book")
    with start_build(out, ROOT / "_config.yml") as started:
        yield out, started
        started.kill()


@pytest.fixture(scope="session")
def site(being_built):
    out, started = being_built
    return build(out, ROOT / "_config.yml", started)


@pytest.fixture(scope="module")  # not longer: while it is there no other test in this process can run an event loop
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open pages; at the end they must have asked nothing but the disk, and complained of nothing."""
    opened = []

    def open_(path, *, slow=1, **settings):
        page = browser.new_context(**settings).new_page()
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.said.append(str(error)))
        if slow > 1:
            page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slow})
        opened.append(page)
        page.began = time.perf_counter()
        page.goto(path.as_uri())
        return page

    yield open_
    for page in opened:
        assert not [url for url in page.asked if not url.startswith(("file:", "data:"))] and not page.said, (page.asked, page.said)
        page.context.close()


def barriers(page):
    """What axe finds on a page, a line for each; none where axe is not installed."""
    if not AXE:
        return []
    page.add_script_tag(path=Path(AXE.origin).parent / "axe.min.js")
    return page.evaluate(FIND_BARRIERS)


def toy_items(n, seed):
    """n different texts of four blind words and one that tells the label."""
    from lmtutor.data.prompts import Item

    draw = np.random.default_rng(seed)
    made = {}
    while len(made) < n:
        warm = len(made) % 2 == 0
        text = " ".join([*(f"w{j}" for j in draw.integers(0, 40, 4)), "warm" if warm else "cold"])
        made[text] = Item(text, "red" if warm else "blue")
    return tuple(made.values())


def toy_lm():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
                                        vocab_size=len(TOY_WORDS), max_position_embeddings=300)).eval()


class Letters:
    """A tokenizer whose tokens are the characters themselves; `opening` stands before a text and `closing` after it."""

    eos_token_id = 127

    def __init__(self, opening=(), closing=()):
        self.opening, self.closing = opening, closing

    def __call__(self, text, add_special_tokens=True):
        ids = [ord(letter) for letter in text]
        return {"input_ids": [*self.opening, *ids, *self.closing] if add_special_tokens else ids}

    def decode(self, ids):
        return "".join(map(chr, ids))


@pytest.fixture(scope="session")
def by_letters():
    """A model and a tokenizer that read letter by letter, up to 100 of them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=100, initializer_range=0.5, eos_token_id=127,
        ))
    return model.eval(), Letters()


def tiny_gemma(**settings):
    """A Gemma 3 of four layers that never learned anything: windows of 8 tokens, but for the second layer, which sees all."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    kinds = ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"]
    sizes = dict(vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
                 head_dim=24, query_pre_attn_scalar=24, max_position_embeddings=100, sliding_window=8, layer_types=kinds,
                 initializer_range=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Gemma3ForCausalLM(Gemma3TextConfig(**sizes | settings)).eval()


@pytest.fixture(scope="session")
def by_letters_gemma():
    """The same with a Gemma 3, for which every text begins with token 2."""
    return tiny_gemma(), Letters(opening=(2,))


def everything(dataset, column):
    """A column of all splits."""
    return [value for split in dataset.values() for value in split[column]]
