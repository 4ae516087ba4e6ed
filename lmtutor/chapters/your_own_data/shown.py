"""Parts of a comparison's report, shown one at a time, so that a chapter can say what each line means."""

from __future__ import annotations

import hashlib
import re

from lmtutor.compare import page
from lmtutor.compare.report import Report
from lmtutor.errors import ConfigError

PARTS = {  # name -> (title, what makes it; it takes the content and a key for ids, which a page shares)
    "verdict": ("", lambda content, key: page.head(content)),
    "curve": ("More labels, better answers?", page.curve_part),
    "table": ("The ways side by side", lambda content, key: re.sub(r"<small>.*?</small>", "", page.table_part(content, key))),  # what a way is, the chapter says
    "costs": ("What it costs", page.price_part),
    "change": ("What would change this", lambda content, key: page.change_part(content)),
    "warnings": ("Know before you believe it", lambda content, key: page.warnings_part(content)),
    "texts": ("Texts worth looking at", page.texts_part),
}


def show(report: Report, *names: str) -> None:
    """Show parts of a report as it shows them itself.

    Parameters
    ----------
    names : of `PARTS`

    Raises
    ------
    ConfigError    no part is called so
    """
    from IPython.display import display

    if unknown := [name for name in names if name not in PARTS]:
        raise ConfigError(f"a report has no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    content = report.content
    key = "p" + hashlib.sha256(repr((content["data"]["where"], content["ways"], names)).encode()).hexdigest()[:8]
    html = ""
    for name in names:
        title, make = PARTS[name]
        html += f"<section>{f'<h2 class=lmc-title>{title}</h2>' * bool(title)}{make(content, key)}</section>"
    below = re.sub(r"(</?h)([123])\b", lambda found: found[1] + str(int(found[2]) + 2), html)
    told = report.recommendation
    lines = [page.verdict(content), *told["reasons"]] if "verdict" in names else [f"{content['data']['where']}: {', '.join(names)} of the report"]
    display({"text/html": f'<div class="lmc"><style>{page.style()}</style>{below}</div>', "text/plain": "\n".join(lines)}, raw=True)
