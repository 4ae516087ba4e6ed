"""A Tiny World run as JavaScript, to be run live in a page: weights, words, questions, curves, and a picture for where no script runs.

Browsers refuse to fetch local files but load local scripts, so each file is a script that hands its contents to `TinyLive`. Needs
numpy, and of the package what needs no torch to be imported but for `probes`, whose questions are drawn without it.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

from lmtutor.errors import ConfigError
from lmtutor.tinyworld import world as tw

LIVE = Path(__file__).parent / "live"  # the model and its page in JavaScript
CONTRASTS = {  # twins of the released run that are put beside it, at their last checkpoint
    "no_patterns": "a twin that read no lists of examples",
    "no_smearing": "a twin whose heads cannot peek at the word before",
    "one_layer": "a twin with one layer instead of four",
}
KINDS = {  # what the page calls it: probe, and how many of its questions travel
    "grammar": ("grammar", 24), "fact": ("facts", 32), "question": ("qa_other_people", 32), "review": ("sentiment", 24),
    "translation": ("translation_noun", 24), "deduction": ("deduction_2_steps", 12),
}
SHOTS, FEW_SHOT = 16, 12  # demonstrations in a few-shot question, and how many questions of each task travel
SIDES = {"name": "person", "neutral": "look", "evaluative": "opinion", "subject": "thing reviewed"}  # classes in plainer words
DRAWN = {"grammar": "#c2571a", "icl8_new_labels": "#7a4fd0", "facts": "#0b7d71", "translation_noun": "#2f6fde"}  # in the picture
CALLED = {"grammar": "grammar", "icl8_new_labels": "in context", "facts": "facts", "translation_noun": "translation"}
CHARACTERS = np.array([code for code in range(33, 127) if chr(code) not in '"\\<'], np.uint8)  # 91 that need no escape anywhere


def export(folder: str | os.PathLike | None, out: str | os.PathLike, *, digits: int = 1) -> dict[str, int]:
    """Write the run in `folder` for a page: `index.html` opens by itself, and the book loads the rest from its own pages.

    Parameters
    ----------
    folder        made by `lmtutor pretrain tinyworld --out`; None is the released run, with its contrasts
    out           folder, made if need be; files of the same names are replaced
    digits : int  characters a weight: 1 has 91 levels a row, 2 have 8,281, 4 are as good as fp16

    Returns
    -------
    {name: bytes} of the files written

    Raises
    ------
    AssetError, ConfigError    `folder` holds no run, none of its checkpoints, or damaged ones; `out` cannot be written
    """
    from lmtutor.tinyworld.released import SHIPPED, metrics

    first = Path(folder or SHIPPED / "released")
    folders = {"main": first} | ({} if folder else {name: SHIPPED / name for name in CONTRASTS})
    known = {name: metrics(folder=path) for name, path in folders.items()}
    files, kept = {}, {}
    for name, path in folders.items():
        checkpoints = sorted((path / "checkpoints").glob("step_*.safetensors"))
        if not checkpoints:
            raise ConfigError(f"{path} holds no checkpoint; `lmtutor pretrain tinyworld` keeps its first after 70 updates")
        kept[name] = {int(file.stem.removeprefix("step_")): f"weights-{name}-{file.stem.removeprefix('step_')}.js" for file in checkpoints}
        kept[name][max(kept[name])] = f"weights-{name}.js"  # the last has a name that a page knows before it has read world.js
        for file, script in zip(checkpoints, kept[name].values(), strict=True):
            packed = {tensor: pack(values, digits) for tensor, values in read_safetensors(file).items()}
            files[script] = f'TinyLive.weights("{script}",{_json(packed)});\n'
    try:
        run = known["main"]
        told = {"runs": {name: _run(known[name], kept[name], CONTRASTS.get(name, "the book's model" if not folder else "your model"))
                         for name in folders}, **questions(tw.World(seed=run["seed"]))}
        fallback = f'<img src="curves.svg" alt="{described(run)}">'
        files |= {"world.js": f"TinyLive.world({_json(told)});\n", "curves.svg": picture(run), "fallback.html": fallback}
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{first / 'metrics.json'} is not that of a Tiny World run ({error} is missing)") from error
    files["index.html"] = (LIVE / "index.html").read_text(encoding="utf-8").replace("<!-- fallback -->", fallback)
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
        for name in ("transformer.js", "parts.js", "live.js", "live.css"):
            shutil.copy(LIVE / name, out)
            files[name] = (LIVE / name).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error.strerror}); choose another folder") from error
    return {name: len(text.encode()) for name, text in files.items()}


def _json(value) -> str:
    return json.dumps(value, separators=(",", ":"))


# --- weights ---------------------------------------------------------------------------------------------------------


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The fp16 tensors of a file, as float32. A file that is cut short or no such file is a `ConfigError`."""
    try:
        raw = path.read_bytes()
        start = 8 + int.from_bytes(raw[:8], "little")
        head = json.loads(raw[8:start])
        return {name: np.frombuffer(raw[start:][slice(*told["data_offsets"])], "<f2").reshape(told["shape"]).astype(np.float32)
                for name, told in head.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}); make the run again") from error


def written(x: np.ndarray, digits: int) -> str:
    """Numbers from -1 to 1, each as `digits` characters: a whole number from 0 to 91**digits - 1, whose middle is 0."""
    most = (len(CHARACTERS) ** digits - 1) // 2
    whole = np.clip(np.rint(x.astype(np.float64) * most), -most, most).astype(np.int64).ravel() + most
    places = [whole // len(CHARACTERS) ** i % len(CHARACTERS) for i in reversed(range(digits))]
    return CHARACTERS[np.stack(places, axis=-1)].tobytes().decode("ascii")


def pack(w: np.ndarray, digits: int) -> dict:
    """A tensor as JSON: a matrix (R, C) by shares of the largest number of each row, at `digits`; a vector (C,) always at 4."""
    top = float(np.abs(w).max()) or 1.0
    if w.ndim < 2:
        return {"shape": w.shape, "top": top, "text": written(w / top, 4)}
    most = (len(CHARACTERS) ** 2 - 1) // 2
    rows = np.ceil(np.abs(w).max(axis=1) / top * most) / most  # rounded up, so that no share is above 1
    shares = w / (top * np.where(rows == 0, 1, rows))[:, None]
    return {"shape": w.shape, "top": top, "rows": written(rows, 2), "text": written(shares, digits)}


# --- words, questions, curves ----------------------------------------------------------------------------------------


def _run(run, files, about):
    curve, names = run["curve"], [probe for probe, _ in KINDS.values()]
    names += [name for name in curve[0]["probes"] if name.startswith("icl8_") and not name.endswith("_free")]
    return {"about": about, "config": run["model"], "parameters": run["parameters"], "files": files,
            "step": [check["step"] for check in curve], "tokens": [check["tokens"] for check in curve],
            "curve": {name: [check["probes"][name] for check in curve] for name in names}}


def questions(world: tw.World) -> dict:
    """Words and questions as a page holds them, words by their number: the first of each probe as it was reported.

    Of a few-shot question the page shows any number of its demonstrations from the first on.
    """
    from lmtutor.tinyworld import probes
    from lmtutor.tinyworld.released import REPORTED

    asked = probes.build(world, seed=REPORTED, shots=(SHOTS,))
    kinds = {}
    for kind, (name, n) in KINDS.items():
        probe = asked[name]
        which = range(n) if len(probe.prompts) == 200 else np.linspace(0, len(probe.prompts) - 1, n).astype(int)  # all people in turn
        kinds[kind] = {"probe": name, "chance": round(probe.chance, 4), "free": probe.free, "questions": [
            {"prompt": probe.prompts[i][1:], "answer": int(probe.answers[i]), "choices": probe.choices[i]} for i in which]}
    tasks = {}
    for task in probes.TASKS:
        probe = asked[f"icl{SHOTS}_{task}"]
        tasks[task] = [_few_shot(world, task, probe.prompts[i][1:], int(probe.answers[i]), probe.choices[i]) for i in range(FEW_SHOT)]
    return {"words": " ".join(world.words), "kinds": kinds, "tasks": tasks}


def _few_shot(world, task, prompt, answer, labels):
    """A question `item label ; item label ; ... item` taken apart, and what its two labels stand for."""
    items, sides = prompt[0::3], [labels.index(label) for label in prompt[1::3]]
    sides.append(labels.index(answer))
    if task == "number":
        classes = {"one": tw._ALL_NOUNS, "many": [tw.plural(noun) for noun in tw._ALL_NOUNS]}
    else:
        classes = {"praise": tw.POSITIVE, "blame": tw.NEGATIVE} if task == "sentiment" else world.classes | world.new_classes
    members = [{world.words[item] for item, side in zip(items, sides, strict=True) if side == which} for which in (0, 1)]
    names = [next(name for name, words in classes.items() if found <= set(words)) for found in members]
    return {"items": items, "sides": sides, "labels": labels, "names": [SIDES.get(name, name) for name in names]}


# --- where no script runs --------------------------------------------------------------------------------------------


def described(run: dict) -> str:
    """The finding of `picture` in a sentence."""
    grammar = [(check["probes"]["grammar"], check["tokens"]) for check in run["curve"]]
    (least, when), end = min(grammar), run["curve"][-1]["probes"]
    return (f"Share of right answers while the model reads. Grammar, two choices a question, is at {least:.0%} after {when:,} words; "
            "at the end " + ", ".join(f"{called} is at {end[name]:.0%}" for name, called in CALLED.items()) + ".")


def picture(run: dict) -> str:
    """Four curves of a run as SVG, transparent with mid-grey text as all of the book's figures."""
    wide, high, left, top = 640, 300, 50, 16
    last = run["curve"][-1]["tokens"] or 1
    x, y = (lambda tokens: left + (wide - left - 20) * tokens / last), (lambda share: top + (high - top - 60) * (1 - share))
    text = lambda a, b, said, more="": f'<text x="{a:.0f}" y="{b:.0f}" {more}>{said}</text>'  # noqa: E731 - three places draw text
    drawn = [f'<line x1="{left}" x2="{wide - 20}" y1="{y(share):.0f}" y2="{y(share):.0f}" stroke="#888" stroke-dasharray="{dash}"/>'
             + text(left - 6, y(share) + 4, f"{share:.0%}", 'text-anchor="end"') for share, dash in ((0, ""), (0.5, "4 4"), (1, ""))]
    for i, (name, colour) in enumerate(DRAWN.items()):
        points = " ".join(f"{x(check['tokens']):.1f},{y(check['probes'][name]):.1f}" for check in run["curve"])
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
                     f'<rect x="{left + 150 * i}" y="{high - 18}" width="16" height="4" fill="{colour}"/>'
                     + text(left + 22 + 150 * i, high - 12, CALLED[name]))
    drawn.append(text(wide - 20, high - 36, f"{last / 1e6:.2f} million words read", 'text-anchor="end"'))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="13" fill="#767676">'
            + "".join(drawn) + "</svg>\n")
