"""A report as a terminal shows it."""

from __future__ import annotations

from collections.abc import Mapping


def as_text(content: Mapping, width: int = 110) -> str:
    """The recommendation first, then the table, then what to know."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lmtutor.compare.page import verdict

    told, settings = content["recommendation"], content["settings"]
    cost = settings["metric"] == "cost"
    figure = (lambda value: f"{value:.3g}") if cost else (lambda value: f"{100 * value:.0f}")
    console = Console(file=StringIO(), width=width, highlight=False)
    console.print(Text(verdict(content), "bold"))
    for reason in told["reasons"]:
        console.print(Text(f"  {reason}"))
    console.print()
    shown = Table(box=None, pad_edge=False, title=f"{settings['metric']}{'' if cost else ', of 100,'} on {content['data']['asked']} texts, with 95 % intervals", title_justify="left")
    budgets = sorted({row["labels"] for row in content["ways"]})
    shown.add_column("way")
    for n in budgets:
        shown.add_column(f"{n} labels" if n else "no label", justify="right")
    for name in ("train s", "ms a query", f"{content['prices']['currency']}/1,000"):
        shown.add_column(name, justify="right")
    for way in dict.fromkeys(row["name"] for row in content["ways"]):
        rows = {row["labels"]: row for row in content["ways"] if row["name"] == way}
        last = rows[max(rows)]
        cells = [f"{figure(rows[n]['estimate'])} [{figure(rows[n]['low'])}, {figure(rows[n]['high'])}]" if n in rows else "" for n in budgets]
        shown.add_row(Text(way, "bold" if way == told["way"] else ""), *cells, f"{last['train_seconds']:.1f}", f"{last['query_ms']:.1f}", f"{last['price_per_1000']:.4f}")
    console.print(shown)
    for row in content["more_labels"]:
        if row["name"] == told["way"]:
            console.print(Text(f"{row['more']:,} more labels should bring {row['name']} {figure(row['gain']) if cost else format(100 * row['gain'], '.1f')} more [{figure(row['low']) if cost else format(100 * row['low'], '.1f')}, {figure(row['high']) if cost else format(100 * row['high'], '.1f')}]"))
    for row in content["break_even"][:3]:
        console.print(Text(f"{row['cheaper_to_ask']} takes longer to train than {row['cheaper_to_train']}, and from {row['queries']:,} queries on it has taken less time"))
    for line in told["would_change"]:
        console.print(Text(line))
    for warning in content["warnings"]:
        console.print(Text(f"note: {warning['text']}"))
    for row in content["not_run"]:
        if row["labels"] is None:
            console.print(Text(f"not run: {row['way']}: {row['why']}"))
    memory = f", {content['peak_memory_mb']:,} MB at most" if content["peak_memory_mb"] else ""  # of a recorded one nobody measured it
    console.print(Text(f"{content['seconds']:.0f} seconds{memory}"))
    return "".join(c if c.isprintable() or c == "\n" else " " for c in console.file.getvalue()).rstrip()
