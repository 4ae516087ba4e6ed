"""The comparison on the reader's own table: it is planned, run cheap ways first, kept on disk cell by cell, and reported."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmtutor import runtime
from lmtutor.compare import plan as plans
from lmtutor.compare.endpoint import Endpoint
from lmtutor.compare.own import MORE_DRAWS, WORDS_READ, Own, OwnBench, endpoint_prompts, own_ways, task_of
from lmtutor.compare.plan import Group
from lmtutor.compare.prices import Prices, read_prices
from lmtutor.compare.report import Report, report_of
from lmtutor.compare.sides import best, choose, fits
from lmtutor.data import assets
from lmtutor.data.tables import read_table
from lmtutor.errors import ConfigError, TrainingError
from lmtutor.measure.by_item import Metric
from lmtutor.models.sooner import sooner
from lmtutor.records.files import plain, write
from lmtutor.records.recording import Partial, cluster

NAMES = ("majority", "words", "vectors", "encoder", "label-names", "zero-shot", "few-shot", "probe", "lora", "endpoint")  # a reader's
NEEDS = {"minilm": ("vectors", "encoder", "label-names"), "smollm2": ("zero-shot", "few-shot", "probe", "lora")}
BUDGETS = (8, 32, 128, 512)
OVER = 1.1  # times the minutes, beyond which no cell may reach


@dataclass
class Settings:
    """What a comparison was asked to do, as it stands in its plan; `seed` draws the split and the labels."""

    text: str
    label: str
    group: str | None
    labels: tuple[int, ...]
    seeds: int
    metric: str
    least: float
    model: str
    encoder: str
    words: int
    asked: int | None
    queries: int
    minutes: float
    seed: int
    ways: tuple[str, ...] | None = None
    base_url: str | None = None
    prices: str | None = None
    cost_of_error: str | None = None


def compare(source: str | Path | Any, *, text: str = "text", label: str = "label", group: str | None = None,
            labels: Sequence[int] = BUDGETS, minutes: float = 10.0, seeds: int = 3, metric: str = "macro-f1",
            cost_of_error: str | Path | Mapping | None = None, model: str | None = None, encoder: str = "minilm",
            ways: Sequence[str] | None = None, least: float = 2.0, out: str | Path | None = None, asked: int | None = None,
            words: int = WORDS_READ, queries: int = 100_000, prices: str | Path | Prices | None = None, base_url: str | None = None,
            yes: bool = False, scheduler: str | None = None, seed: int = 0, say: Callable[[str], None] | None = None) -> Report:
    """Prompts, cheap trained baselines and fine-tuning on the reader's own labels, in one table.

    Parameters
    ----------
    source, text, label, group : see `lmtutor.data.tables.read_table`
    labels : budgets; those that the table cannot fill are left out
    minutes : in all; what does not fit is left out and named
    seeds : draws of the labels; two at least, as an interval needs them
    metric : macro-f1, accuracy, or for two labels average-precision of the rarer one
    cost_of_error : a CSV file with the columns truth, predicted, cost, or a mapping (truth, predicted) -> cost; the metric is then minus
        the mean cost of an answer, and what is not named costs 1 if it is wrong
    model : a causal language model, as `load_llm` takes it; or "openai:NAME" with `base_url` for one behind an OpenAI-compatible address
    encoder : see `lmtutor.models.encoder.load_encoder`
    ways : of `NAMES`; default: all whose models are on this machine
    least : the smallest difference that would matter, in hundredths of the metric
    out : folder for the report, the kept winner and the finished cells; the same call goes on where it was interrupted
    asked : how many texts are asked about; default 500, a third of the table at most
    words : of a text that a language model reads
    queries : over which training is spread in the price of a thousand
    prices : assumptions, see `lmtutor.compare.prices`
    yes : whether texts may be sent to another machine
    scheduler : address of a Dask scheduler, whose workers then run the cells
    seed : draws the rows of a long table, the split, and the labels
    say : is told what is going on, a line at a time; default: printed on stderr where somebody watches

    Raises
    ------
    ConfigError    a setting that isn't there, contradicts another one, or a folder with something else in it
    DataError      the table cannot be used
    AssetError     an endpoint that can't be asked
    """
    began = time.perf_counter()
    say = say or (lambda line: None if runtime.quiet() else print(line, file=sys.stderr))
    given = list(dict.fromkeys(ways or ()))
    if unknown := [name for name in given if name not in NAMES]:
        raise ConfigError(f"no way is called {unknown[0]!r}; choose from {', '.join(NAMES)}")
    check(labels, minutes, seeds, least, asked, words, queries)
    folder = Path(out) if out is not None else None
    if folder:
        check_folder(folder)
    name, endpoint = model or "smollm2", None
    if name.startswith("openai:"):
        if not base_url:
            raise ConfigError("give the address with --base-url, for example http://localhost:11434/v1")
        endpoint, name = Endpoint(name.removeprefix("openai:"), base_url, (folder or Path(".")) / "answers", yes), "smollm2"
    elif base_url or "endpoint" in given:
        raise ConfigError("an endpoint takes --model openai:NAME and --base-url URL")
    price = prices if isinstance(prices, Prices) else read_prices(prices)
    table = read_table(source, text=text, label=label, group=group, seed=seed)
    budgets = sorted(set(labels))
    task, said, draws, counted, table, conflicts = task_of(table, seed=seed, text=text, label=label, most=max(budgets), draws=MORE_DRAWS * seeds, words=words, asked=asked)
    n_pool = len(table) - len(task.dev) - len(task.test)
    budgets = [n for n in budgets if n <= n_pool] or [n_pool]
    costs = read_costs(cost_of_error, task.labels) if cost_of_error is not None else None
    rare = min(range(len(task.labels)), key=lambda k: sum(item.label == task.labels[k] for item in task.pool))
    measure = Metric("cost" if costs is not None else metric, len(task.labels), rare, costs)
    own = Own(task, said, draws, counted, measure, name, encoder, endpoint)
    settings = Settings(text, label, group, tuple(budgets), seeds, measure.name, least, name if not endpoint else model, encoder, words, asked, queries, minutes, seed,
                        tuple(given) or None, base_url, *(str(one) if isinstance(one, str | Path) else None for one in (prices, cost_of_error)))
    bench = OwnBench(own, loader(name))
    chosen, absent = present(given or [one for one in NAMES if one != "endpoint" or endpoint], bool(given), name, encoder, endpoint)
    wanted = [row for row in own_ways(tuple(said)) if row.split(",")[0] in chosen]
    if "majority" not in wanted:
        wanted.insert(0, "majority")  # what the others have to beat
    fingerprint = hashlib.sha256(json.dumps(plain([asdict(settings) | dict.fromkeys(("minutes", "least", "queries", "ways", "prices")), task.labels, [i.text for i in task.test],
                                                   [(i.text, i.label) for i in task.pool]])).encode()).hexdigest()
    before = claim(folder, fingerprint) if folder else None
    say(f"{table.where}: {table.n_rows:,} rows, {len(table):,} different texts, {len(task.labels)} labels; {len(task.test):,} are asked about, up to {budgets[-1]:,} of {n_pool:,} labelled")
    for note in (*table.notes, *beforehand(bench, wanted, words, least)):
        say(f"  note: {note}")
    runtime.set_threads(runtime.free_threads())
    with small_products(), runtime.memory_released(), Partial(folder / "units.json", fingerprint) if folder else contextlib.nullcontext() as kept:
        seconds = 60 * minutes
        speeds = None if before else plans.measure(bench, wanted)
        cheap = before or plans.cheap_draws(bench, wanted, budgets, seeds, speeds, seconds)
        groups = plans.groups_of(wanted, budgets, seeds, cheap)
        finished = [group for group in groups if kept and all(cell(group, draw) in kept.units for draw in group.draws)]
        todo = [group for group in groups if group not in finished]
        speeds = speeds or plans.measure(bench, {group.way for group in todo})
        order, left = plans.planned(bench, todo, speeds, seconds - (time.perf_counter() - began)) if todo else ([], [])
        tell_plan(say, order, left, absent, finished, minutes)
        if endpoint:
            ask_first(bench, [group for group, _ in order], price, say)
        if folder:
            write(folder / "plan.json", plain({"schema": "lmtutor-compare-plan-1", "fingerprint": fingerprint, "draws": cheap, "settings": asdict(settings), "versions": runtime.machine(),
                                               "run": [{"way": group.way, "labels": group.n, "seconds": round(took, 1)} for group, took in order],
                                               "left_out": [{"way": group.way, "labels": group.n, "seconds": round(took, 1)} for group, took in left]}))
        if scheduler:
            run_elsewhere(own, order, kept, scheduler, say)
            left_out = left
        else:
            left_out = run_here(bench, order, left, speeds, kept, began, seconds, say)
        units = kept.units if kept else bench.told_units
    runs = [{"way": group.way, "n": group.n, "seed": draw, **units[cell(group, draw)]} for group in groups for draw in group.draws if cell(group, draw) in units]
    report = report_of(own, runs, settings=asdict(settings), prices=price, table=table, conflicts=conflicts, n_pool=n_pool, absent=absent,
                       left=[(group, took) for group, took in left_out], began=began)
    report.bench = bench
    if folder:
        report.save(folder)
    return report


def beforehand(bench: OwnBench, ways: Sequence[str], words: int, least: float) -> list[str]:
    """What can be known before anything is run: labels that hardly vary, texts that are cut, differences too small to be seen."""
    asked, said = bench.task.test, []
    name, most = Counter(item.label for item in asked).most_common(1)[0]
    if most >= 0.9 * len(asked):
        said.append(f"{100 * most / len(asked):.0f} % of the texts have the label {name!r}, so accuracy says little; macro-f1 does not reward saying it always")
    cut = sum(len(item.text.split()) > words for item in asked)
    if cut and set(ways) & set(plans.BY_MODEL):
        said.append(f"a language model reads the first {words} words of a text (--words); {cut:,} of {len(asked):,} are longer")
    if least and bench.own.metric.name != "cost":
        needed = math.ceil(0.1 * (196 / least) ** 2 / 10) * 10
        if needed > len(asked):
            seen = 196 * math.sqrt(0.1 / len(asked))
            said.append(f"where two ways answer a tenth of the texts differently, {len(asked):,} texts show a difference of {seen:.1f} points; one of {least:g} takes about {needed:,}")
    return said


@contextlib.contextmanager
def small_products():
    """One thread for the lines, which are small: where another program keeps a core busy, two take twenty times as long. And no word
    of scikit-learn about many labels with few texts each, as that is what is asked.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        yield


def check(labels, minutes, seeds, least, asked, words, queries) -> None:
    if not labels or any(not isinstance(n, int) or n < 1 for n in labels):
        raise ConfigError(f"labels are {labels}; give numbers from 1, such as 8,32,128,512")
    if not minutes > 0:
        raise ConfigError(f"minutes is {minutes:g}; give a number above 0")
    if seeds < 2:
        raise ConfigError(f"seeds is {seeds}; one draw of labels says nothing about others, give 2 or more")
    if not 0 <= least <= 100:
        raise ConfigError(f"least is {least:g}; give hundredths of the metric, from 0 to 100")
    if asked is not None and asked < 20:
        raise ConfigError(f"asked is {asked}; ask about 20 texts or more")
    if words < 1 or queries < 1:
        raise ConfigError("words and queries are numbers from 1")


def loader(model: str) -> Callable:
    def load():
        from lmtutor.models.llm import load_llm

        return load_llm(model, dtype=runtime.best_dtype())

    return load


def present(names: Sequence[str], given: bool, model: str, encoder: str, endpoint: Endpoint | None) -> tuple[list[str], dict[str, str]]:
    """(ways that can run, way -> why another one cannot); what must be fetched first costs nothing here."""
    states = {status.name: status for status in assets.check() if status.name in NEEDS}
    absent = {}
    for asset, ways in NEEDS.items():
        if asset == "smollm2" and (model != "smollm2"):
            continue
        if asset == "smollm2" and states[asset].state == "ready":
            from lmtutor.models.llm import check_converted

            if check_converted(thorough=False):
                states.pop(asset)
                absent |= {way: "get it with `lmtutor fetch smollm2`" for way in ways}
                continue
        if states.get(asset) and states[asset].state != "ready":
            absent |= {way: f"get it with `{states[asset].advice}`" for way in ways if way == "vectors" or asset != "minilm" or encoder == "minilm"}
    return [name for name in names if name not in absent], {name: why for name, why in absent.items() if name in names}


def read_costs(source: str | Path | Mapping, labels: Sequence[str]) -> np.ndarray:
    """(K, K): row the right label, column the answer; what is not named costs 0 on the diagonal and 1 beside it."""
    import csv

    if isinstance(source, Mapping):
        rows = [{"truth": truth, "predicted": said, "cost": cost} for (truth, said), cost in source.items()]
    else:
        try:
            with open(source, encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigError(f"{source} cannot be read ({error}); give a CSV file with the columns truth, predicted, cost") from None
    table = 1.0 - np.eye(len(labels))
    for row in rows:
        if set(row) != {"truth", "predicted", "cost"}:
            raise ConfigError(f"{source} has the columns {', '.join(map(str, row))}; a table of costs has truth, predicted, cost")
        for name in (row["truth"], row["predicted"]):
            if name not in labels:
                raise ConfigError(f"the table of costs names the label {name!r}, which is not in the data")
        try:
            cost = float(row["cost"])
        except (TypeError, ValueError):
            cost = -1.0
        if not 0 <= cost < np.inf:
            raise ConfigError(f"the cost of {row['predicted']!r} for {row['truth']!r} is {row['cost']!r}; give a number from 0")
        table[labels.index(row["truth"]), labels.index(row["predicted"])] = cost
    return table


# On disk --------------------------------------------------------------------------------------------------------------------------

def check_folder(folder: Path) -> None:
    """Refuse a folder that can't be a comparison's, before anything is read."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give a folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "plan.json").exists():
        raise ConfigError(f"{folder} holds other files; give an empty or a new folder with --out")


def claim(folder: Path, fingerprint: str) -> int | None:
    """Take the folder for this comparison, or say that it holds another one; of one that was begun, the draws of its cheap ways."""
    file = folder / "plan.json"
    if file.exists():
        try:
            there = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            there = {}
        if there.get("fingerprint") != fingerprint:
            raise ConfigError(f"{folder} holds another comparison (other data or settings); give another folder with --out, or delete it")
        return there.get("draws")
    write(file, {"schema": "lmtutor-compare-plan-1", "fingerprint": fingerprint})
    return None


# Running --------------------------------------------------------------------------------------------------------------------------

def cell(group: Group, draw: int) -> str:
    return f"{group.way} n={group.n} draw={draw}"


def run_cell(bench: OwnBench, way_name: str, n: int, draw: int) -> dict:
    """One way with one draw of labels: its setting is chosen within them, then it answers the test items."""
    way, metric = own_ways(tuple(bench.wordings))[way_name], bench.own.metric
    shown = bench.draw(n, draw) if n else []
    bench.told, start = {}, time.perf_counter()
    try:
        tried = choose(bench, way, shown, draw)
        setting = best(way, tried)
        scores, bill = way.scores(bench, shown, bench.task.test, setting, draw)
    except TrainingError as error:
        return {"setting": {}, "predicted": None, "why": str(error)}
    predicted = metric.decide(scores)
    return plain({"setting": setting, "predicted": predicted.tolist(), "sure": [round(float(row[k]), 4) for row, k in zip(scores, predicted, strict=True)],
                  "rare": [round(float(p), 6) for p in scores[:, metric.rare]], "bill": asdict(bill) | {"labels": n}, "told": bench.told,
                  "seconds": round(time.perf_counter() - start, 2)})


def run_here(bench: OwnBench, order, left, speeds, kept: Partial | None, began: float, seconds: float, say) -> list[tuple[Group, float]]:
    """Run group after group while there is time; what was left out comes last, if there is time after all. Returns what was not run."""
    units, not_run, done = {} if kept is None else kept.units, [], []
    bar = runtime.progress(total=sum(len(group.draws) for group, _ in order), desc="ways")
    known: dict[str, str] = {}
    for group, _ in (*order, *sorted(left, key=lambda one: one[1])):
        remaining = seconds - plans.SLACK - (time.perf_counter() - began)
        own = plans.expected(bench, group, speeds, done)
        if own > remaining and group.way != "majority":
            not_run.append((group, own))
            continue
        if group.way.startswith("few-shot") and group.way != "few-shot, nearest" and not fits(bench, own_ways(tuple(bench.wordings))[group.way], group.n, group.draws):
            say(f"  {group.title}: not run, the prompt is longer than the model reads")
            continue
        start, cut, one = time.perf_counter(), False, own / len(group.draws)
        for draw in group.draws:
            begin = time.perf_counter()
            if begin + one - began > OVER * seconds - plans.SLACK and group.way != "majority":
                cut = True
                break
            key = cell(group, draw)
            if key not in units:
                result = run_cell(bench, group.way, group.n, draw)
                if kept is None:
                    units[key] = result
                else:
                    kept.keep(key, result, {})
            one = max(one, time.perf_counter() - begin)  # so long the next one may take, too
            bar.update()
        took = time.perf_counter() - start
        if cut:
            not_run.append((group, max(1.0, own - took)))
            continue
        speeds.learn(group.way, own, took)
        done.append(group.way)
        found = [units[cell(group, draw)] for draw in group.draws]
        if all(run["predicted"] is not None for run in found):
            values = bench.own.metric.values(np.array([run["predicted"] for run in found]), bench.task.truth, np.array([run["rare"] for run in found]))
            known[group.way] = f"{group.way} {values.mean():.2f}"
            bar.set_postfix_str(" | ".join(known.values()))
            if not group.way.endswith(", raw"):
                say(f"  {group.title:28} {values.mean():.3f}   {took:5.1f} s")
    bar.close()
    bench.told_units = units
    return not_run


_benches: dict[str, OwnBench] = {}  # of a worker, which gets many cells of one comparison


def cell_elsewhere(own: Own, key: str, way: str, n: int, draw: int) -> dict:
    """A cell on another process, which makes its bench once."""
    if key not in _benches:
        _benches.clear()
        runtime.set_threads(1)
        _benches[key] = OwnBench(own, loader(own.model))
    with small_products(), sooner(), runtime.memory_released():  # as where the comparison was begun
        return run_cell(_benches[key], way, n, draw)


def run_elsewhere(own: Own, order, kept: Partial | None, scheduler: str, say) -> None:
    """The cells on the workers of a Dask scheduler."""
    from concurrent.futures import as_completed

    if kept is None:
        raise ConfigError("--scheduler needs --out, where what comes back is kept")
    if own.endpoint:
        raise ConfigError("--scheduler and an endpoint do not go together: the workers' answers would be paid for one by one")
    with cluster(scheduler) as pool:
        wanted = [(group, draw) for group, _ in order for draw in group.draws if cell(group, draw) not in kept.units]
        waiting = {pool.submit(cell_elsewhere, own, kept.fingerprint, group.way, group.n, draw): (group, draw) for group, draw in wanted}
        for future in runtime.progress(as_completed(waiting), total=len(waiting), desc="ways"):
            group, draw = waiting[future]
            kept.keep(cell(group, draw), future.result(), {})
    say(f"  {len(wanted)} cells came from {scheduler}")


# Talking --------------------------------------------------------------------------------------------------------------------------

def tell_plan(say, order, left, absent: Mapping[str, str], finished, minutes: float) -> None:
    say(f"plan: about {sum(took for _, took in order) / 60:.1f} of {minutes:g} minutes" + (f"; {len(finished)} parts were finished before" if finished else ""))
    for way in dict.fromkeys(group.way for group, _ in order):
        mine = [(group, took) for group, took in order if group.way == way]
        labels = " ".join(str(group.n) for group, _ in mine if group.n) or "no label"
        say(f"  {way:20} {labels:20} {sum(took for _, took in mine):6.0f} s")
    for way in dict.fromkeys(group.way for group, _ in left):
        mine = [(group, took) for group, took in left if group.way == way]
        first = min(took for _, took in mine)
        labels = " ".join(str(group.n) for group, _ in mine if group.n)
        say(f"  left out: {way}{f' with {labels} labels' if labels else ''}, {first:.0f} s more for the first; --minutes {minutes + np.ceil(first / 60):g} would do")
    for why in dict.fromkeys(absent.values()):
        say(f"  not run: {', '.join(way for way, reason in absent.items() if reason == why)}: {why}")


def ask_first(bench: OwnBench, groups: Sequence[Group], prices: Prices, say) -> None:
    """Say what would be sent, and where to; stop if it may not be."""
    endpoint, prompts = bench.own.endpoint, []
    for group in groups:
        if group.way.startswith("endpoint"):
            for draw in group.draws:
                shown = bench.draw(min(group.n, 32), draw) if group.n else []
                prompts += endpoint_prompts(bench, shown, bench.task.test)
    plan = endpoint.plan(prompts)
    cost = plan.tokens * prices.read / 1e6 + plan.calls * 2 * prices.written / 1e6
    say(f"  endpoint: {plan.calls:,} calls to {plan.where}, about {plan.tokens:,} tokens, {prices.currency}{cost:.2f} at the prices of {prices.date}"
        + (f"; {plan.kept:,} answers are kept from before" if plan.kept else ""))
    if plan.calls and not plan.local and not endpoint.allowed:
        raise ConfigError(f"{plan.calls:,} texts would be sent to {plan.where}; add --yes if they may")


