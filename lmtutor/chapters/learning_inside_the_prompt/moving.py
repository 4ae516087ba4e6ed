"""The chapter's two pictures with a slider: points that arrive, and a reader's belief while it reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmtutor.chapters.learning_inside_the_prompt import hmm, plane
from lmtutor.chapters.learning_inside_the_prompt.regression import POINTS, Problems, error
from lmtutor.classroom.plots import COLOURS, GREY
from lmtutor.classroom.stepping import Panel, Switch, stepped

WIDE, HIGH, TOP = 335, 300, 44  # of one panel; what stands above its axes
X_END, Y_END = 2.4, 5.2  # where the axes end, both ways
BLUE, ORANGE, PINK = COLOURS[0], COLOURS[1], "#cc4a93"
RULES = {  # rule -> the class of its marks, colour, dashes, whether shown at first
    "averaging": ("r-mean", COLOURS[1], "2 3", False), "1 gradient step": ("r-one", COLOURS[3], "7 4", True),
    "16 gradient steps": ("r-many", COLOURS[4], "2 4", False), "least squares": ("r-squares", PINK, "9 3", False),
    "ridge, the best possible": ("r-ridge", COLOURS[2], "4 3", True),
}


def at(x, y) -> tuple:
    """Places in a panel of places in the plane."""
    return 8 + (np.asarray(x) + X_END) / (2 * X_END) * (WIDE - 16), TOP + (Y_END - np.asarray(y)) / (2 * Y_END) * (HIGH - TOP - 26)


def path(x, y, colour: str, width: float = 2.0, dash: str = "", opacity: float = 1.0) -> str:
    across, down = at(x, y)
    points = " ".join(f"{a:.0f},{d:.0f}" for a, d in zip(across, down, strict=True))
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-opacity="{opacity}"{dashed}/>'


def straight(w: Sequence[float], *look, **more) -> str:
    """The line slope x + offset, from edge to edge."""
    ends = np.array([-X_END, X_END])
    return path(ends, w[0] * ends + w[1], *look, **more)


def words(x: float, y: float, text: str, colour: str = GREY, size: int = 13, weight: int = 400, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">{text}</text>'


def plain(value: float) -> str:
    return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"


def weights_of(say, given: Problems) -> np.ndarray:
    """(prompts, points, 2) slope and offset of a rule whose answers lie on a line, read off its answers at 0 and at 1."""
    found = np.zeros((len(given.x), POINTS, 2))
    for n in range(POINTS):
        two = np.repeat(given.x[:, None], 2, axis=1)
        two[:, :, n] = plane.with_one(np.array([0.0, 1.0]))
        y = np.repeat(given.y, 2, axis=0)
        said = say(Problems(two.reshape(-1, POINTS, two.shape[-1]), y, y, 1.0))[:, n].reshape(-1, 2)
        found[:, n] = np.stack([said[:, 1] - said[:, 0], said[:, 0]], axis=-1)
    return found


def points_arrive(runs: Sequence[dict], *, shown: int = 3, still: int = 8, own: str = "points-arrive") -> None:
    """Two models of `plane`'s record read the same points: one that met a new line in every prompt, one that met four lines."""
    fresh, few = (next(run for run in runs if (run["lines"], run["seed"]) == (size, 0)) for size in (0, 4))
    new, rules = plane.test_prompts(), plane.known_rules()
    first = Problems(new.x[:shown], new.y[:shown], new.truth[:shown], new.variance)
    names = {"ridge, the best possible": "ridge"}
    lines_of_rules = {name: weights_of(rules[names.get(name, name)], first) for name in RULES}
    best = error(rules["ridge"](new), new).mean(axis=0)
    truth = [np.linalg.lstsq(first.x[i], first.truth[i], rcond=None)[0] for i in range(shown)]
    known = plane.lines_of(0, 4)[:, :2]

    panels = []
    for run, colour, title, below in ((fresh, BLUE, "Trained on a new line every time", "line"),
                                      (few, ORANGE, "Trained on four lines", "four")):
        frames = {}
        for i in range(shown):
            steps = []
            for n in range(POINTS):
                marks = [straight(truth[i], GREY, 1.5, "1 4")]
                if run is few:
                    marks += [straight(w, GREY, 1.2, "", 0.55) for w in known]
                else:
                    marks += [f'<g class="{name}">{straight(lines_of_rules[rule][i, n], tint, 2, dash)}</g>'
                              for rule, (name, tint, dash, _) in RULES.items()]
                marks.append(path(plane.GRID, np.clip(run["curves"][n][i], -9, 9), colour, 3.2))
                for x, y in zip(first.x[i, :n, 0], first.y[i, :n], strict=True):
                    if abs(x) < X_END and abs(y) < Y_END:
                        across, down = at(x, y)
                        marks.append(f'<circle cx="{across:.0f}" cy="{down:.0f}" r="4.5" fill="{GREY}"/>')
                said = f"error on 1,000 new lines: {plain(run['error'][n])}" + f"; best possible {plain(best[n])}" * (run is fresh)
                steps.append(f'<g clip-path="url(#{own}-{below})">{"".join(marks)}</g>' + words(10, 38, said, colour))
            frames[f"line {i + 1}"] = steps
        box = f'x="8" y="{TOP}" width="{WIDE - 16}" height="{HIGH - TOP - 26}"'
        zero_x, zero_y = at(0, 0)
        behind = (f'<defs><clipPath id="{own}-{below}"><rect {box}/></clipPath></defs><rect {box} fill="{GREY}" fill-opacity="0.06"/>'
                  f'<path d="M8 {zero_y:.0f} H{WIDE - 8} M{zero_x:.0f} {TOP} V{HIGH - 26}" stroke="{GREY}" stroke-opacity="0.35"/>'
                  + words(10, 18, title, colour, 15, 700)
                  + words(10, HIGH - 8, f"{'dots: points shown' if run is fresh else 'grey: the four lines it knows'}; dotted: the true line"))
        panels.append(Panel(WIDE, HIGH, behind, frames))
    alt = ("Points of a line arrive one by one in two panels. On the left a model that was trained on a new line in every prompt: after "
           f"{still} points its answers, drawn over all x, lie on those of ridge, the best possible rule, and near the true line; one gradient "
           "step lies off. On the right a model that was trained on four lines only: its answers follow one of the four, or a mixture of them, "
           "and miss the true line however many points come.")
    stepped(panels, own=own, alt=alt, slider="points seen", still=still, pick="asked about", switches=[
        Switch(name, rule, tint, on) for rule, (name, tint, _, on) in RULES.items()])


CHARACTERS = "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"  # the words of a hidden world, as they are printed
ROW = 24  # words in a line of the picture


def beliefs(world: hmm.World, given: hmm.Prompts) -> tuple[np.ndarray, np.ndarray]:
    """(T + 1, C) chances of each concept after so many words of the first prompt, for the reader of documents and for that of prompts."""
    ids, C = given.ids[:1], len(world.seen)
    logs = np.array([hmm.after(world, ids, world.moves[[c]], hmm.evenly(world))[0][0].cumsum() for c in world.seen]).T
    of_documents = np.vstack([np.full(C, 1 / C), hmm.posterior(logs)])
    of_prompts = [np.full(C, 1 / C)]
    for t in range(1, ids.shape[1] + 1):
        done, rest = divmod(t, given.k + 1)
        if rest == 0:  # the delimiter is given and says nothing
            of_prompts.append(of_prompts[-1])
            continue
        part = hmm.Prompts(ids[:, :t], given.labels[:1], given.concepts[:1], given.starts[:1], done, given.k)
        of_prompts.append(hmm.reader_of_prompts(world, part).concepts[0])
    return of_documents, np.array(of_prompts)


def belief_moves(world: hmm.World, given: hmm.Prompts, *, still: int, own: str = "belief-moves") -> None:
    """The chances of the five concepts while the first of the prompts is read, word by word."""
    true, text = int(given.concepts[0]), [CHARACTERS[i] for i in given.ids[0]]
    rows = -(-len(text) // ROW)
    base, panels = 60 + 20 * rows, []
    high = base + 26 * len(world.seen)

    def place(i):
        return 14 + 13 * (i % ROW), 54 + 20 * (i // ROW)

    letters = "".join(words(*place(i), letter, GREY, 14, 400, "middle") for i, letter in enumerate(text))
    for title, colour, chances in zip(("The reader of documents", "The reader of prompts"), (ORANGE, BLUE), beliefs(world, given), strict=True):
        tints = [colour if c == true else GREY for c in range(len(world.seen))]
        names = "".join(words(10, base + 26 * c + 14, f"concept {c + 1}{', true' * (c == true)}", tint, 13, 700 if c == true else 400)
                        for c, tint in enumerate(tints))
        steps = []
        for t in range(len(text) + 1):
            x, y = place(max(t - 1, 0))
            marks = [f'<rect x="{x - 6:g}" y="{y - 14:g}" width="12" height="19" fill="{colour}" fill-opacity="0.3"/>'] * (t > 0)
            for c, chance in enumerate(chances[t]):
                y = base + 26 * c
                marks.append(f'<rect x="118" y="{y}" width="{max(1, 160 * chance):.0f}" height="18" fill="{tints[c]}" '
                             f'fill-opacity="{0.9 if c == true else 0.45}"/>'
                             + words(round(124 + 160 * chance), y + 14, f"{chance:.0%}", tints[c]))
            steps.append("".join(marks))
        panels.append(Panel(WIDE, high, words(10, 18, title, colour, 15, 700) + letters + names, {"prompt": steps}))
    ends = [chances[still][true] for chances in beliefs(world, given)]
    alt = (f"A prompt of {given.n} examples of {given.k} words is read word by word, and bars show the chances of five concepts. "
           f"After {still} words the reader of documents gives the true concept {ends[0]:.0%}, the reader of prompts {ends[1]:.0%}.")
    stepped(panels, own=own, alt=alt, slider="words read", still=still, pace=350)
