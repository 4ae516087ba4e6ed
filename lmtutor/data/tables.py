"""The reader's own table: read, looked at, told plainly what is wrong with it, split."""

from __future__ import annotations

import csv
import difflib
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtutor.data.texts import as_datasets, normalise, split_by_hash
from lmtutor.errors import DataError

if TYPE_CHECKING:
    from datasets import DatasetDict

FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}
FEWEST = 5  # different texts a class: fewer can't be divided by FRACTIONS with one in each split


def load_csv(source: str | Path | Any, *, text: str = "text", label: str = "label", seed: int) -> DatasetDict:
    """Read texts with labels and split them, each label in the same proportions, no text in two splits.

    Parameters
    ----------
    source : path or table    a CSV or TSV file in UTF-8 with a header; or a pandas DataFrame, a `datasets.Dataset`,
                              a mapping of columns
    text, label : str         names of the columns
    seed : int                another seed, another split

    Returns
    -------
    DatasetDict    train (60%), validation, test (20% each) with text (str) and label (`ClassLabel`, names sorted).
                   Rows without text or label and repeated texts are left out, with a warning that counts them

    Raises
    ------
    DataError    no such file, not text, no such column, a column of numbers for texts, no rows, one class,
                 a class with too few texts, as many classes as texts

    Book: "Your own data"
    """
    table = _columns(source)
    where = str(source) if isinstance(source, str | Path) else "the table"
    require_columns(table, [text, label], where=where)
    if text == label:
        raise DataError(f"text and label are both the column {text!r} of {where}; name two columns")
    pairs = [(_cell(a), _cell(b)) for a, b in zip(table[text], table[label], strict=True)]
    full = [pair for pair in pairs if all(pair)]
    if not full:
        raise DataError(f"{where} has no row with both {text!r} and {label!r}; give at least {FEWEST} a class")
    if all(_is_number(words) for words, _ in full):
        raise DataError(
            f"the column {text!r} of {where} holds numbers, not texts; name the column with the texts"
        )

    rows = {normalise(words) or words: {"text": words, "label": name} for words, name in reversed(full)}
    rows = dict(reversed(rows.items()))  # the first of equal texts is kept
    counts = Counter(row["label"] for row in rows.values())
    require_classes(counts, column=label, where=where)
    if lost := [
        f"{n} {what}"
        for n, what in (
            (len(pairs) - len(full), "without text or label"),
            (len(full) - len(rows), "with a text that was there before"),
        )
        if n
    ]:
        warnings.warn(f"{where}: of {len(pairs)} rows, left out {' and '.join(lost)}", stacklevel=2)
    splits = split_by_hash(list(rows), [row["label"] for row in rows.values()], FRACTIONS, seed=seed)
    return as_datasets(list(rows.values()), splits, classes={"label": sorted(counts)})


def require_columns(columns: Iterable[str], needed: Iterable[str], *, where: str = "the table") -> None:
    """Raise a `DataError` that names what is missing, what is there, and what was probably meant."""
    there = list(columns)
    for name in needed:
        if name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            meant = f"did you mean {close[0]!r}?" if close else "name the right one with text=... and label=..."
            raise DataError(
                f"{where} has no column {name!r}; it has {', '.join(map(repr, there)) or 'none'}: {meant}"
            )


def require_classes(counts: Mapping[str, int], *, column: str = "label", where: str = "the table") -> None:
    """Raise a `DataError` unless there are two classes or more, each with enough texts, and not a class a text.

    Parameters
    ----------
    counts : {class: number of different texts}
    """
    if len(counts) < 2:
        raise DataError(
            f"the column {column!r} of {where} has one class, {next(iter(counts), '')!r}; "
            "there is nothing to learn with fewer than two"
        )
    if len(counts) > 20 and 2 * len(counts) > sum(counts.values()):
        raise DataError(
            f"the column {column!r} of {where} has {len(counts)} classes for {sum(counts.values())} texts; "
            "is it the column with the labels?"
        )
    few = {name: n for name, n in counts.items() if n < FEWEST}
    if few:
        name, n = min(few.items(), key=lambda item: item[1])
        raise DataError(
            f"class {name!r} of {where} has {n} different texts, at least {FEWEST} are needed to train, choose and "
            f"test; add some, or leave out or merge the classes that are too small ({len(few)})"
        )


def _columns(source: Any) -> dict[str, list]:
    """{column: values} out of a file or of anything that holds columns."""
    if isinstance(source, str | Path):
        return _read(Path(source).expanduser())
    if hasattr(source, "to_dict"):  # pandas.DataFrame wants "list" to give columns; datasets.Dataset gives them
        source = source.to_dict("list") if hasattr(source, "iloc") else source.to_dict()
    if not isinstance(source, Mapping):
        raise DataError(
            f"cannot read data of type {type(source).__name__}; give a CSV file's path, a DataFrame, or a Dataset"
        )
    table = {str(name): list(values) for name, values in source.items()}
    if len({len(values) for values in table.values()}) > 1:
        raise DataError("the table's columns differ in length; give one value a row in each")
    return table


def _read(path: Path) -> dict[str, list]:
    if not path.is_file():
        raise DataError(f"there is no file {path}; give the path of a CSV file with a header")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            separator = max(",;\t|", key=header.count)
            file.seek(0)
            reader = csv.DictReader(file, delimiter=separator, strict=True)
            rows, names = list(reader), reader.fieldnames
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is not UTF-8 text; save it as CSV in UTF-8 (a spreadsheet offers that)"
        ) from None
    except csv.Error as error:
        raise DataError(
            f"{path} cannot be read as CSV after line {reader.line_num} ({error}); check its quotes"
        ) from None
    if not names:
        raise DataError(f"{path} is empty; the first line must name the columns")
    uneven = next((i for i, row in enumerate(rows, 1) if None in row), None)
    if uneven:
        raise DataError(
            f"row {uneven} of {path} has more fields than the header; put quotes around texts with {separator!r}"
        )
    return {name.strip(): [row[name] for row in rows] for name in names}


def _cell(value: Any) -> str:
    """A cell as stripped text; what pandas calls missing becomes empty."""
    return "" if value is None or value != value else str(value).strip()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
