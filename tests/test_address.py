"""address: what counts and what does not, on a package in miniature; the package's own experiments in test_records.py."""

import shutil
import textwrap

import pytest

from lmtutor.errors import ConfigError
from lmtutor.records.address import FILES, RECORD, Code, address

# Every way in which one definition reaches another, and look-alikes: names that are local where they stand.
TOY = {
    "__init__.py": "",
    "errors.py": "class Oops(ValueError):\n    pass",
    "world.py": """
        import math
        import numpy as np
        from .words import WORDS as VOCABULARY, unused
        from . import assets, tools
        import toy.deep.well as well
        from toy.again import passed_on

        SIZE, OTHER = 3, 4
        TABLE = {}
        TABLE["a"] = SIZE
        SQUARES = [unrelated * 2 for unrelated in range(SIZE)]

        def study(*, seeds, size=SIZE):
            "Docstring."
            # a comment
            from toy.lazy import late
            from toy.errors import Oops
            tools_used = tools.sharpen(size)
            if not seeds:
                raise Oops(f"no seeds, {unrelated()}")
            assets.fetch()
            mean = np.mean([math.sqrt(2)])
            return [late(seed) for seed in seeds], VOCABULARY, well.Bucket().full, TABLE, tools_used, plain(1), passed_on(mean)

        def plain(tail: "Never" = 1) -> int:
            unrelated = [tail]
            total = sum(blunt := item for item in unrelated) + blunt
            try:
                total += len(SQUARES)
            except ValueError as unrelated:
                print(unrelated)
            return [unrelated for unrelated in unrelated], total

        def unrelated():
            return 1
    """,
    "words.py": 'WORDS = ("a", "b")\n\ndef unused():\n    return 0',
    "again.py": "from .tools import passed_on",
    "tools.py": """
        def sharpen(x):
            return _helper(x)

        def _helper(x):
            return x + 1

        def blunt(x):
            return x

        def passed_on(x):
            return x * 7
    """,
    "lazy.py": """
        from toy.runs import depends_on, load

        @depends_on("data/*.tsv")
        def late(seed):
            def inner():
                return LIMIT
            return inner(), load("lab/first").results

        LIMIT = 5
    """,
    "assets.py": 'ASSETS = {"gguf": "sha256"}\n\ndef fetch():\n    return 1',
    "runs.py": "def depends_on(*patterns):\n    return lambda function: function\n\ndef load(name):\n    return name",
    "deep/__init__.py": "",
    "deep/well.py": """
        class Base:
            depth = 2

        class Bucket(Base):
            shallow: int = 0

            @property
            def full(self):
                return deepest(), shallow()

        def deepest():
            return 9

        def shallow():
            return 1
    """,
    "data/facts.tsv": "x\ty\n",
    "data/notes.md": "",
    "chapters/lab/records/first.json": '{"name": "first", "results": {"a": 1}}',
}

MARKS = {"assets:fetch": ("assets:ASSETS",), "runs:depends_on": FILES, "runs:load": RECORD}


@pytest.fixture
def toy(tmp_path):
    """Write the miniature package; returns a function that edits a file of it and asks for the address of `study` again."""
    package = tmp_path / "toy"
    for name, text in TOY.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(textwrap.dedent(text))

    def edited(name=None, old="", new=""):
        if name:
            text = (package / name).read_text()
            assert old in text
            (package / name).write_text(text.replace(old, new))
        return Code(package, MARKS).address("toy.world:study")

    edited.package = package
    return edited


def test_a_function_stands_on_what_it_reaches_and_on_nothing_else(toy):
    assert sorted(toy()[1].values()) == [
        "ASSETS", "Base", "Bucket", "LIMIT", "SIZE", "SQUARES", "TABLE", "WORDS", "_helper", "data/facts.tsv", "deepest", "lab/first",
        "late", "passed_on", "plain", "shallow", "sharpen", "study",
    ]  # fmt: skip


@pytest.mark.parametrize("name, old, new, moved", [
    ("world.py", "[late(seed)", "[-late(seed)", "study"),
    ("world.py", "size=SIZE", "size=1 + SIZE", "study"),
    ("world.py", "np.mean", "np.median", "study"),
    ("world.py", "import numpy as np", "import torch as np", "study"),
    ("world.py", "tail: ", "head, tail: ", "plain"),
    ("world.py", "blunt := item", "blunt := -item", "plain"),
    ("world.py", "SIZE, OTHER = 3, 4", "SIZE, OTHER = 4, 4", "SIZE"),
    ("world.py", 'TABLE["a"] = SIZE', 'TABLE["b"] = SIZE', "TABLE"),
    ("world.py", "unrelated * 2 for", "unrelated * 3 for", "SQUARES"),
    ("words.py", '("a", "b")', '("a", "c")', "WORDS"),
    ("tools.py", "x + 1", "x + 2", "_helper"),
    ("tools.py", "x * 7", "x * 8", "passed_on"),
    ("lazy.py", "LIMIT = 5", "LIMIT = 6", "LIMIT"),
    ("deep/well.py", "return 9", "return 8", "deepest"),
    ("deep/well.py", "return 1", "return 2", "shallow"),
    ("deep/well.py", "depth = 2", "depth = 3", "Base"),
    ("deep/well.py", "shallow: int", "shadow: int", "Bucket"),
    ("assets.py", "sha256", "another", "ASSETS"),
    ("data/facts.tsv", "y", "z", "data/facts.tsv"),
    ("chapters/lab/records/first.json", '"a": 1', '"a": 2', "lab/first"),
])  # fmt: skip
def test_a_change_in_what_is_reached_is_noticed_and_named(toy, name, old, new, moved):
    (before, then), (after, now) = toy(), toy(name, old, new)
    assert before != after
    assert {parts[key] for parts in (then, now) for key in then.keys() ^ now.keys() if key in parts} == {moved}


@pytest.mark.parametrize("name, old, new", [
    ("world.py", "Docstring.", "Another docstring."),
    ("world.py", "# a comment", "# another comment\n"),
    ("world.py", "no seeds,", "no seeds at all,"),
    ("world.py", "-> int", "-> float"),
    ("world.py", "return 1", "return 2"),  # unrelated()
    ("world.py", "SIZE, OTHER = 3, 4", "SIZE, OTHER = 3, 5"),
    ("world.py", "SIZE, OTHER = 3, 4", "OTHER = 4\nSIZE = 3"),
    ("tools.py", "return x\n", "return -x\n"),  # blunt()
    ("words.py", "return 0", "return 1"),
    ("assets.py", "return 1", "return 2"),
    ("errors.py", "pass", "code = 1"),
    ("runs.py", "return lambda", "return  lambda"),
    ("data/facts.tsv", "\n", "\r\n"),
    ("data/notes.md", "", "text"),
    ("chapters/lab/records/first.json", '"name": "first"', '"name": "renamed"'),
])  # fmt: skip
def test_what_cannot_move_a_result_is_not_noticed(toy, name, old, new):
    assert toy()[0] == toy(name, old, new)[0]


@pytest.mark.parametrize("name, old, new", [
    ("world.py", "tools_used", "sharp"),  # local variables
    ("world.py", "mean = np.mean([math.sqrt(2)])", "from math import sqrt as root\n    mean = np.mean([root(2)])"),
    ("world.py", "blunt", "last"),
    ("world.py", "[unrelated for unrelated in unrelated]", "[one for one in unrelated]"),
    ("world.py", "unrelated * 2 for unrelated in", "n * 2 for n in"),
    ("lazy.py", "inner", "within"),
    ("world.py", "TABLE", "TABELLE"),  # definitions
    ("world.py", "SQUARES", "POWERS"),
    ("lazy.py", "LIMIT", "BOUND"),
    ("deep/well.py", "deepest", "bottom"),
    ("deep/well.py", "Base", "Ground"),
    ("world.py", "np", "numbers"),  # how a name comes in
    ("world.py", "import toy.deep.well as well", "from toy.deep import well"),
    ("world.py", "from toy.again import", "from toy.tools import"),
])  # fmt: skip
def test_names_and_the_way_they_came_in_do_not_count(toy, name, old, new):
    assert toy()[0] == toy(name, old, new)[0]


def test_a_definition_in_another_file_keeps_the_address(toy):
    before = toy()[0]
    (toy.package / "elsewhere").mkdir()
    (toy.package / "elsewhere/__init__.py").write_text("")
    for new, old, text in [("elsewhere/hammer.py", "tools.py", TOY["tools.py"]), ("data2/facts.tsv", "data/facts.tsv", "x\ty\n")]:
        (toy.package / new).parent.mkdir(exist_ok=True)
        (toy.package / new).write_text(textwrap.dedent(text))
        (toy.package / old).unlink()
    for name, old, new in [("world.py", "import assets, tools", "import assets\n        from .elsewhere import hammer as tools"),
                           ("again.py", ".tools", ".elsewhere.hammer"), ("lazy.py", "data/*.tsv", "data2/*.tsv")]:
        text = (toy.package / name).read_text()
        (toy.package / name).write_text(text.replace(textwrap.dedent(old), textwrap.dedent(new).replace("\n        ", "\n")))
    assert toy()[0] == before


def test_the_address_does_not_depend_on_the_python_version(toy):
    """Fields that a newer Python adds to its syntax trees, and empty ones that it leaves out, don't count."""
    code = Code(toy.package)
    place = "toy.tools:sharpen"
    before = code.address(place)
    tree = code.source("toy.tools").definitions["sharpen"][0]
    tree.type_params = []
    tree.args.posonlyargs, tree.decorator_list, tree.type_comment = [], [], None
    code.tree.cache_clear()
    assert code.address(place) == before
    tree.args.args.append(tree.args.args[0])
    code.tree.cache_clear()
    assert code.address(place) != before


@pytest.mark.parametrize("call, message", [
    (lambda toy: address("lmtutor.nowhere:f"), "is no function of lmtutor; give 'lmtutor.module:function'"),
    (lambda toy: address("lmtutor.measure.stats:nothing"), "is no function of lmtutor"),
    (lambda toy: address("shutil:copy"), "is no function of lmtutor"),
    (lambda toy: toy("lazy.py", "data/*.tsv", "data/*.csv"), "depends_on('data/*.csv') matches no file in toy/"),
    (lambda toy: toy("lazy.py", 'load("lab/first")', "load(seed)"), "toy.lazy:8: give load its names as they are, not computed"),
    (lambda toy: toy("world.py", "import assets, tools", "import *"), "`from toy import *` hides what is used"),
    (lambda toy: toy("world.py", "tools.sharpen(size)", "getattr(tools, 'blunt')(size)"), "toy.tools is used as a whole"),
    (lambda toy: toy("world.py", "tools.sharpen(size)", "tools.nothing(size)"), "toy.tools has no nothing"),
])  # fmt: skip
def test_what_has_no_address_is_refused_in_one_line(toy, call, message):
    with pytest.raises(ConfigError) as caught:
        call(toy)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_package_that_lies_elsewhere_has_the_same_addresses(toy, tmp_path):
    shutil.copytree(toy.package, tmp_path / "there" / "toy")
    assert Code(tmp_path / "there" / "toy", MARKS).address("toy.world:study") == toy()
