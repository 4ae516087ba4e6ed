"""A text's tokens made visible: their names, and a drawing of them in colour."""

from __future__ import annotations

from collections.abc import Sequence

from lmtutor.classroom import plots
from lmtutor.errors import DataError

INK = "#14181e"  # on pieces, whose ground is light in either theme
ADVANCE = 0.602  # of a letter of the font, in its size


def byte_names() -> dict[str, int]:
    """Character -> the byte that it stands for in a byte-level tokenizer: printable bytes stand for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(rest)}


def visible(token: str) -> str:
    """A byte-level token as people can read it: `·` for a space, `¶` for a line end; the bytes in hex where it is a part of a character."""
    names = byte_names()
    if any(letter not in names for letter in token):
        return token  # a mark such as <eos>, or another kind of tokenizer
    raw = bytes(names[letter] for letter in token)
    try:
        return raw.decode().replace(" ", "·").replace("\n", "¶").replace("\t", "→")
    except UnicodeDecodeError:
        return " ".join("·" if byte == 32 else f"{byte:02X}" for byte in raw)


def pieces(tokenizer, text: str) -> list[str]:
    """The tokens of a text, each as `visible` shows it."""
    return [visible(token) for token in tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])]


def wrap(parts: Sequence[str], most: int) -> list[list[str]]:
    """Pieces in lines of at most `most` letters, with half a letter between two of them."""
    lines: list[list[str]] = [[]]
    for part in parts:
        if lines[-1] and sum(len(p) + 1 for p in lines[-1]) + len(part) > most:
            lines.append([])
        lines[-1].append(part)
    return lines


def draw(
    lines: Sequence[Sequence[str]],
    *,
    labels: Sequence[str] = (),
    counts: Sequence[str] = (),
    notes: Sequence[Sequence[tuple[int, int, str]]] = (),
    title: str = "",
    size: float = 11,
    width: float = 7,
):
    """Lines of pieces as boxes in colour, dark letters on a light ground, so that it reads in both themes.

    Parameters
    ----------
    lines : list of lists of str    as `pieces` returns them
    labels : a text at the left of each line
    counts : a text at the right of each line, as many pieces as it has
    notes : for each line (first, last, text): a mark below these pieces, with the text under it
    size : float     of the letters, in points
    width : float    of the figure, in inches

    Returns
    -------
    Figure

    Raises
    ------
    DataError    no pieces, or a line that is wider than the figure
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import to_rgb
    from matplotlib.patches import FancyBboxPatch

    if not lines or not all(lines):
        raise DataError("there is a line without pieces; give at least one piece for each")
    letter, pad, gap = ADVANCE * size, 0.35 * size, 0.3 * size
    left = max((0.62 * size * len(text) for text in labels), default=0) + (8 if labels else 2)
    tall = 2.0 * size
    told = [text for line in notes for _, _, text in line]
    under = (0.9 + 1.05 * max(1 + text.count("\n") for text in told)) * size if told else 0
    top = 2 * size if title or counts else 3
    height = top + len(lines) * (tall + 0.35 * size + under)
    wide = 72 * width
    needed = left + max(sum(len(p) * letter + 2 * pad + gap for p in line) for line in lines) + (2 * size if counts else 0)
    if needed > wide:
        raise DataError(f"a line of pieces needs {needed / 72:.1f} inches and the figure has {width}; wrap it, or take smaller letters")
    figure = plt.figure(figsize=(width, height / 72), layout="tight")
    figure.set_layout_engine("none")  # else the book's style would lay out axes that fill the figure
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, wide), ylim=(-height, 0))
    ax.set_axis_off()
    light = [tuple(0.34 * c + 0.66 for c in to_rgb(colour)) for colour in plots.COLOURS[:4]]
    if title:
        ax.text(left, -0.8 * size, title, va="center", fontsize=size, color=plots.GREY)
    if counts:
        ax.text(wide - 2, -0.8 * size, "pieces", ha="right", va="center", fontsize=size, color=plots.GREY)
    number = 0
    for i, line in enumerate(lines):
        y, x, spans = -top - i * (tall + 0.35 * size + under) - tall / 2, left, []
        if labels:
            ax.text(left - 8, y, labels[i], ha="right", va="center", fontsize=size, color=plots.GREY)
        for part in line:
            w = len(part) * letter + 2 * pad
            ax.add_patch(FancyBboxPatch((x + 1, y - tall / 2 + 1), w - 2, tall - 2, boxstyle="round,pad=0,rounding_size=3",
                                        linewidth=0, facecolor=light[number % len(light)]))
            ax.text(x + w / 2, y, part, ha="center", va="center_baseline", fontsize=size, color=INK, family="monospace")
            spans.append((x, x + w))
            x, number = x + w + gap, number + 1
        if counts:
            ax.text(wide - 2, y, counts[i], ha="right", va="center", fontsize=size, color=plots.GREY, weight="bold")
        for first, last, text in notes[i] if notes else ():
            a, b, below = spans[first][0], spans[last][1], y - tall / 2 - 0.35 * size
            ax.plot([a + 1, a + 1, b - 1, b - 1], [below + 2, below - 2, below - 2, below + 2], "-", color=plots.GREY, linewidth=1)
            ax.text((a + b) / 2, below - 0.35 * size, text, ha="center", va="top", fontsize=0.86 * size, color=plots.GREY, linespacing=1.15)
    return figure
