"""A table as a page shows it: at most six columns, numbers aligned, the best marked, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lmtutor.errors import ConfigError
from lmtutor.measure.stats import Interval, in_words

MOST_COLUMNS = 6


def table(rows: Sequence[Mapping[str, Any]], *, caption: str, source: str = "", best: Mapping[str, Any] | None = None) -> None:
    """Show rows as a table; the first column names the row.

    Parameters
    ----------
    rows : list of dict, or a DataFrame    column -> value, alike in every row: text, a number that was rounded, or an `Interval`
    caption : str      what is to be seen in it
    source : str       the record that it was made from, "<chapter>/<name>"
    best : dict        column -> the value that is marked there

    Raises
    ------
    ConfigError    no rows, rows that differ in their columns, more than six columns, a `best` that is in no row
    """
    if hasattr(rows, "to_dict"):
        rows = rows.to_dict("records")
    columns = list(rows[0]) if rows else []
    if not columns or any(list(row) != columns for row in rows):
        raise ConfigError("a table needs one row at least, and the same columns in every row")
    if len(columns) > MOST_COLUMNS:
        raise ConfigError(f"{len(columns)} columns do not fit a page; show {MOST_COLUMNS} at most and leave the rest to another table")
    for column, value in (best or {}).items():
        if column not in columns or all(row[column] != value for row in rows):
            raise ConfigError(f"best: no row has {value!r} in {column!r}")
    numeric = {column for column in columns[1:] if all(isinstance(row[column], (int, float, Interval)) or starts_as_number(row[column]) for row in rows)}

    def cell(row, column):
        text = escape(as_text(row[column]))
        text = f"<strong>{text}</strong>" if column in (best or {}) and row[column] == best[column] else text
        if column == columns[0]:
            return f'<th scope="row">{text}</th>'
        return f'<td class="lm-number">{text}</td>' if column in numeric else f"<td>{text}</td>"

    heads = "".join(f'<th scope="col"{" class=" + chr(34) + "lm-number" + chr(34) if column in numeric else ""}>{escape(column) or "&nbsp;"}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(cell(row, column) for column in columns)}</tr>" for row in rows)
    foot = f'<p class="lm-source">From the record <code>{escape(source)}</code>.</p>' if source else ""
    html = f'<div class="lm-table"><table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{foot}</div>'
    from IPython.display import display

    display({"text/html": html, "text/plain": plain(rows, columns, caption, numeric)}, raw=True)


def as_text(value: Any) -> str:
    return in_words(value) if isinstance(value, Interval) else f"{value:,}" if isinstance(value, (int, float)) else str(value)


def starts_as_number(text: Any) -> bool:
    """Whether a text is a number with a sign or a unit: 83%, +12 points, 1.2 s; a dash stands for none."""
    return isinstance(text, str) and (text in ("-", "–", "") or text.lstrip("+-\u2212~<>").strip()[:1].isdigit())


def plain(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], caption: str, numeric: set[str]) -> str:
    """The same table in characters, for terminals and screen readers."""
    texts = [list(columns), *([as_text(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in texts) for i in range(len(columns))]
    lines = ["  ".join(text.rjust(width) if column in numeric else text.ljust(width) for text, width, column in zip(line, widths, columns)).rstrip()
             for line in texts]
    return "\n".join([caption, *lines])
