"""What a chapter's cells call: set-up, numbers for the pages, source shown as it is."""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import textwrap
import warnings
from typing import Any

from lmtutor import runtime
from lmtutor.classroom import plots
from lmtutor.errors import ConfigError
from lmtutor.measure.stats import Interval, in_words


def setup(chapter: str) -> None:
    """Prepare a chapter's kernel: threads, figures, and libraries that keep to what matters. Prints nothing.

    Warnings stay on. What goes is advertising: advice, telemetry, the hint to install widgets, and progress
    bars where nobody is watching.

    Parameters
    ----------
    chapter : str    its topic, "pretraining"
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", str(chapter)):
        raise ConfigError(f"chapter is {chapter!r}; give its topic, such as 'pretraining'")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else a warning at every fork
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore", message="IProgress not found")  # plain bars are what we want
    if runtime.quiet():
        hide_bars()
    runtime.set_threads()
    plots.use_style(f"lmtutor-{chapter}")


def hide_bars() -> None:
    """Switch off the progress bars of the libraries, whether they are imported already or later."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    if "huggingface_hub" in sys.modules:
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    if "datasets" in sys.modules:
        import datasets

        datasets.disable_progress_bars()
    if "transformers" in sys.modules:
        from transformers.utils import logging

        logging.disable_progress_bar()


def glue(key: str, value: str | int | Interval) -> None:
    """Hand a number to the book's pages; does nothing where the book's software is absent.

    Text, whole numbers and intervals only: a float's last digits differ between machines, and a stored
    notebook is compared to the last digit.
    """
    if not isinstance(value, (str, int, Interval)):
        raise ConfigError(
            f"glue({key!r}) got a {type(value).__name__}; round it first: glue({key!r}, f'{{value:.2f}}')"
        )
    try:
        from myst_nb import glue as book_glue
    except ImportError:
        return
    book_glue(key, value if isinstance(value, int) else str(value), display=False)


def number(key: str, value: str | int | Interval, *, live: bool = False) -> None:
    """Bind a number: where the notebook's Markdown says `<!-- =key -->...<!-- / -->`, `notebooks/run.py` writes this value.

    It prints `key = value`, so the cell belongs folded. `live`: this run measured it, another machine may measure otherwise.

    Raises
    ------
    ConfigError    a key that is no word, or a float: round it first, since a stored notebook is compared to the last digit
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        raise ConfigError(f"the key {key!r} is no word of small letters, digits and _; give one such as 'lora_accuracy'")
    if not isinstance(value, (str, int, Interval)):
        raise ConfigError(f"number({key!r}) got a {type(value).__name__}; round it first: number({key!r}, f'{{value:.0%}}')")
    text = in_words(value) if isinstance(value, Interval) else f"{value:,}" if isinstance(value, int) else value
    print(f"{key} = {text}" + " (this run)" * live)


def holds(what: str, condition: Any) -> None:
    """Guard a sentence: silent while it is true; where it no longer is, the notebook stops.

    With a model of the reader's own (`LMTUTOR_MODEL`) it goes on and says so: the sentences are about the book's model.

    Raises
    ------
    AssertionError    the sentence is not true any more: rewrite it
    """
    if condition:
        return
    if own := os.environ.get(runtime.OWN):
        print(f"not so here, with {own}: {what}")
    else:
        raise AssertionError(f"no longer true: {what}; look at the results and rewrite the sentence")


def show_source(thing: Any, *, doc: bool = True) -> None:
    """Show the package's own source of a function or class, so that what a chapter shows is what runs.

    Parameters
    ----------
    doc : bool    whether its docstrings are shown too
    """
    from IPython.display import Markdown, display

    display(Markdown(f"```python\n{source_of(thing, doc=doc)}\n```"))


def source_of(thing: Any, *, doc: bool = True) -> str:
    """The source text of a function or class, from its file."""
    try:
        source = textwrap.dedent(inspect.getsource(thing)).rstrip()
    except (TypeError, OSError):
        raise ConfigError(f"{thing!r} has no source to show; give a function or a class of lmtutor") from None
    if doc:
        return source
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            text = node.body[0]
            lines[text.lineno - 1 : text.end_lineno] = [None] * (text.end_lineno - text.lineno + 1)
    return "\n".join(line for line in lines if line is not None)
