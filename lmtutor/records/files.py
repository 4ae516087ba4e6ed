"""Records as files: plain JSON in, plain JSON out, written whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

from lmtutor.errors import ConfigError, DataError

PACKAGE = Path(__file__).parent.parent
CHAPTERS = PACKAGE / "chapters"


def path_of(name: str, chapters: Path = CHAPTERS) -> Path:
    """The file of the record called "<chapter>/<name>"."""
    chapter, _, name = name.partition("/")
    return chapters / chapter / "records" / f"{name}.json"


def as_digits(right) -> str:
    """Right or wrong, question by question, as a string of 1 and 0: how a record keeps answers."""
    return "".join("01"[int(one)] for one in right)


def from_digits(text: str):
    """(N,) of 0.0 and 1.0 from what `as_digits` wrote."""
    import numpy as np

    return np.array([float(digit) for digit in text])


def plain(value: Any, where: str = "results") -> Any:
    """`value` as JSON can hold it: numpy and dataclasses unpacked, tuples as lists; NaN is refused."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    elif hasattr(value, "tolist"):  # numpy, torch
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DataError(f"{where} is {value}; a record holds no such number: find out why, or store None")
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise DataError(f"{where} has the key {key!r}; JSON keys are text: use str(key)")
        return {key: plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    kind = type(value).__name__
    raise DataError(f"{where} is a {kind}; a record holds numbers, text, lists and dicts of them")


def write(path: Path, content: dict) -> None:
    """Write JSON, one top-level key a line, so that `path` is either the old file or the whole new one."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in content.items())
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError as problem:
        remedy = "give a folder that can, with --out"
        raise ConfigError(f"{path} cannot be written ({problem.strerror}); {remedy}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def refuse_constant(text: str) -> None:
    raise ValueError(f"it holds {text}")


def digest(text: str | bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
