"""The reader's own table of texts with labels: read row by row, sampled where it is long, or told plainly what is wrong with it."""

from __future__ import annotations

import csv
import difflib
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmtutor.errors import DataError

LIMIT = 20_000    # rows that are kept of a longer table
SEPARATORS = ",;\t|"
LONGEST_NAME = 40  # characters of a column's or label's name that a message repeats


@dataclass(frozen=True)
class Table:
    """Texts with labels, as they stand in the reader's file, and what was noticed on the way."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...] | None   # rows of one group belong together: a customer, a thread, a document
    where: str                       # what messages call the table
    n_rows: int                      # of the source, before rows were left out or drawn
    notes: tuple[str, ...] = ()      # what was left out or read otherwise than one would think, a sentence each

    def __len__(self) -> int:
        return len(self.texts)


def read_table(source: str | Path | Any, *, text: str = "text", label: str = "label", group: str | None = None,
               limit: int = LIMIT, seed: int = 0) -> Table:
    """Read texts with labels; of more than `limit` rows so many are drawn, each row with the same chance.

    Parameters
    ----------
    source : path or table    a CSV or TSV file (separator and encoding are found), JSON lines, Parquet, a folder written by
        `Dataset.save_to_disk`; or a pandas DataFrame, a `datasets.Dataset`, a mapping of columns
    text, label, group : str  names of the columns; every cell counts as text, so "NA" and "1.0" are what they say
    limit, seed : int         the file is read in one pass, and no more than `limit` rows are held

    Raises
    ------
    DataError    no such file or column, no text, broken quotes or lines, no row with text and label, numbers for texts, fewer than
        two labels, nearly a label a text
    """
    if limit < 1:
        raise DataError(f"limit is {limit}; keep at least one row")
    columns = [text, label] + ([group] if group is not None else [])
    where = str(source) if isinstance(source, str | Path) else "the table"
    if len(set(columns)) < len(columns):
        raise DataError(f"one column of {where} is named twice: {_names(columns)}; text, label and group are different columns")
    notes: list[str] = []
    kept, n_rows, n_full = [], 0, 0
    generator = np.random.default_rng(seed)
    for row in _rows(source, columns, where, notes):
        n_rows += 1
        cells = [_cell(value) for value in row]
        if not all(cells[:2]):
            continue
        n_full += 1
        if len(kept) < limit:
            kept.append(cells)
        elif (at := int(generator.integers(n_full))) < limit:  # algorithm R of Vitter 1985
            kept[at] = cells
    if not kept:
        raise DataError(f"{where} has no row with both {text!r} and {label!r}" + (f" among {n_rows:,}" if n_rows else "; give it some"))
    if n_rows > n_full:
        notes.append(f"{n_rows - n_full:,} of {n_rows:,} rows have no text or no label and are left out")
    if n_full > limit:
        notes.append(f"of {n_full:,} rows {limit:,} were drawn (seed {seed}); only these are looked at")
    texts, labels, *rest = (tuple(column) for column in zip(*kept, strict=True))
    if all(_is_number(words) for words in texts):
        raise DataError(f"the column {text!r} of {where} holds numbers, not texts; name the column with the texts")
    _check_labels(Counter(labels), label, where)
    notes += _alike(labels)
    return Table(texts, labels, rest[0] if rest else None, where, n_rows, tuple(notes))


def require_columns(columns: Iterable[str], needed: Iterable[str], *, where: str = "the table") -> None:
    """Raise a `DataError` that names what is missing, what is there, and what was probably meant."""
    there = list(columns)
    for name in needed:
        if name not in there:
            lower = {column.lower(): column for column in there}
            close = difflib.get_close_matches(name.lower(), lower, n=1)
            meant = f"did you mean {lower[close[0]]!r}?" if close else "name the right ones, for example --text and --label"
            raise DataError(f"{where} has no column {name!r}; it has {_names(there) or 'none'}: {meant}")


def _check_labels(counts: Mapping[str, int], label: str, where: str) -> None:
    if len(counts) < 2:
        raise DataError(f"the column {label!r} of {where} has one label, {_short(next(iter(counts)))!r}; a choice needs two at least")
    if len(counts) > 20 and 2 * len(counts) > sum(counts.values()):
        raise DataError(f"the column {label!r} of {where} has {len(counts):,} labels for {sum(counts.values()):,} texts; "
                        "is it the column with the labels?")


def _alike(labels: Iterable[str]) -> list[str]:
    """Labels that differ by case or blanks alone are most likely one label, written in two ways."""
    ways: dict[str, set[str]] = {}
    for name in set(labels):
        ways.setdefault(" ".join(name.casefold().split()), set()).add(name)
    return [f"the labels {_names(sorted(names))} differ by case or blanks alone; they count as different labels"
            for names in ways.values() if len(names) > 1]


# Sources --------------------------------------------------------------------------------------------------------------------------

def _rows(source: Any, columns: list[str], where: str, notes: list[str]) -> Iterator[tuple]:
    """The wanted cells of each row, as they are."""
    if not isinstance(source, str | Path):
        return _of_columns(source, columns, where)
    path = Path(source).expanduser()
    if path.is_dir():
        return _of_folder(path, columns, notes)
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [], n=1)
        raise DataError(f"there is no file {path}" + (f"; did you mean {near[0]!r}?" if near else "; give the path of a table"))
    if not path.stat().st_size:
        raise DataError(f"{path} is empty; the first line names the columns")
    try:
        kind = path.suffix.lower()
        if kind in (".parquet", ".pq"):
            return _of_parquet(path, columns)
        return (_of_json if kind in (".jsonl", ".ndjson", ".json") else _of_csv)(path, columns, _encoding(path, notes))
    except PermissionError:
        raise DataError(f"{path} may not be read; change its permissions") from None


def _of_columns(source: Any, columns: list[str], where: str) -> Iterator[tuple]:
    if not isinstance(source, Mapping) and not hasattr(source, "to_dict"):
        raise DataError(f"cannot read data of type {type(source).__name__}; give a file's path, a DataFrame, or a Dataset")
    there = list(source) if isinstance(source, Mapping) else list(getattr(source, "column_names", getattr(source, "columns", ())))
    require_columns(map(str, there), columns, where=where)
    named = {str(name): source[name] for name in there}
    if len({len(named[name]) for name in columns}) > 1:
        raise DataError("the table's columns differ in length; give one value a row in each")
    features = getattr(source, "features", {})
    for row in zip(*(named[name] for name in columns), strict=True):
        yield tuple(_said(value, features.get(name)) for name, value in zip(columns, row, strict=True))


def _of_folder(path: Path, columns: list[str], notes: list[str]) -> Iterator[tuple]:
    import datasets

    try:
        found = datasets.load_from_disk(str(path))
    except FileNotFoundError:
        raise DataError(f"the folder {path} holds no data set; give a file, or a folder written by Dataset.save_to_disk") from None
    if isinstance(found, datasets.DatasetDict):
        split = "train" if "train" in found else next(iter(found))
        if len(found) > 1:
            notes.append(f"of the splits {_names(list(found))} {split!r} is read; this command draws its own test items")
        found = found[split]
    return _of_columns(found, columns, str(path))


def _said(value: Any, feature: Any) -> Any:
    """A class by its name, where a data set stores its number."""
    return feature.int2str(value) if hasattr(feature, "int2str") and isinstance(value, int) and value >= 0 else value


def _of_parquet(path: Path, columns: list[str]) -> Iterator[tuple]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} cannot be read as Parquet ({_short(str(error), 100)}); is it cut short?") from None
    require_columns(file.schema_arrow.names, columns, where=str(path))
    for batch in file.iter_batches(columns=columns):
        held = batch.to_pydict()
        yield from zip(*(held[name] for name in columns), strict=True)


def _of_json(path: Path, columns: list[str], encoding: str) -> Iterator[tuple]:
    checked = False
    with open(path, encoding=encoding, errors=_errors(encoding)) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"line {number} of {path} is no JSON ({error.msg}); write one object a line") from None
            if not isinstance(row, dict):
                raise DataError(f"line {number} of {path} is {_short(line.strip())!r}; write one object a line, as in "
                                f'{{"{columns[0]}": "...", "{columns[1]}": "..."}}')
            if not checked:
                require_columns(row, columns, where=str(path))
                checked = True
            yield tuple(row.get(name) for name in columns)


def _of_csv(path: Path, columns: list[str], encoding: str) -> Iterator[tuple]:
    before = csv.field_size_limit(sys.maxsize // 2**32)  # texts may be long: two billion characters, the largest that C takes everywhere
    try:
        with open(path, encoding=encoding, errors=_errors(encoding), newline="") as file:
            separator, names = _header(file, columns)
            require_columns(names, columns, where=str(path))
            doubled = [name for name, n in Counter(names).items() if n > 1 and name in columns]
            if doubled:
                raise DataError(f"{path} has {names.count(doubled[0])} columns {doubled[0]!r}; give them different names")
            places = [names.index(name) for name in columns]
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, strict=True)
            next(reader)
            for row in reader:
                if not row:
                    continue
                if len(row) > len(names):
                    raise DataError(f"line {reader.line_num} of {path} has {len(row)} fields, the header {len(names)}; put quotes around "
                                    f"texts with {separator!r}")
                yield tuple(row[at] if at < len(row) else "" for at in places)
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV after line {reader.line_num} ({error}); check its quotes") from None
    finally:
        csv.field_size_limit(before)


def _header(file: Any, columns: list[str]) -> tuple[str, list[str]]:
    """The separator under which the first line names most of the wanted columns, and of those equal the one with most columns."""
    found = []
    for separator in SEPARATORS:
        file.seek(0)
        try:
            names = [name.strip() for name in next(csv.reader(file, delimiter=separator), [])]
        except csv.Error:
            continue
        found.append((sum(name in names for name in columns), len(names), -SEPARATORS.index(separator), separator, names))
    *_, separator, names = max(found)
    return separator, names


def _encoding(path: Path, notes: list[str]) -> str:
    """UTF-8, else UTF-16 if it says so, else Windows-1252 with a note; a file with NUL bytes is no text."""
    import codecs

    decoder, utf8 = codecs.getincrementaldecoder("utf-8")(), True
    with open(path, "rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        file.seek(0)
        while block := file.read(1 << 20):
            if b"\0" in block:
                raise DataError(f"{path} holds NUL bytes, so it is no text; export the table as CSV in UTF-8")
            try:
                utf8 = utf8 and decoder.decode(block) is not None
            except UnicodeDecodeError:
                utf8 = False
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        utf8 = False
    if utf8:
        return "utf-8-sig"
    notes.append(f"{path.name} is not UTF-8 and was read as Windows-1252: look whether its accents are right")
    return "cp1252"


def _errors(encoding: str) -> str:
    """Windows-1252 leaves five bytes undefined; UTF-16 may be cut short."""
    return "strict" if encoding == "utf-8-sig" else "replace"


# Cells ----------------------------------------------------------------------------------------------------------------------------

def _cell(value: Any) -> str:
    """A cell as stripped text; what pandas or JSON call missing becomes empty, the word "NA" does not."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    return str(value).strip()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short(text: str, n: int = LONGEST_NAME) -> str:
    """The beginning of a name or text on one line, fit to be printed."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= n else text[: n - 1] + "\u2026"


def _names(names: list[str], most: int = 12) -> str:
    shown = ", ".join(repr(_short(str(name))) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
