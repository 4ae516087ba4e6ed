"""What this process may use: threads, arithmetic, memory, cache folder, progress bars."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

OWN = "LMTUTOR_MODEL"  # environment variable: the model that is loaded where none is named


def set_threads(n: int | None = None) -> int:
    """Set torch's threads on purpose and return their number.

    The default is `LMTUTOR_THREADS`, else at most two: the book's models are so small that more threads spend
    their time waiting for each other, and every figure in the book was made with two.
    """
    import torch

    if n is None:
        n = int(os.environ.get("LMTUTOR_THREADS", min(2, os.cpu_count() or 1)))
    torch.set_num_threads(n)
    if not has_bf16():
        muon_in_float32()
    torch.set_flush_denormal(True)  # numbers too small to matter cost a processor a hundred times the time of others
    return n


def free_threads(seconds: float = 0.5) -> int | None:
    """One thread, and a line that says so, where another program keeps a core busy; else None: as many as by default.

    Two threads wait for each other thousands of times a second, and they wait at work. When a program takes one of
    two cores, two threads learn three to four times as slowly as alone, and one thread a third more slowly
    (benchmarks/README.md).
    """
    import psutil

    cores = os.cpu_count() or 1
    if "LMTUTOR_THREADS" in os.environ or cores < 2:
        return None
    own, since = psutil.Process(), time.perf_counter()
    before = sum(own.cpu_times()[:2])
    busy = psutil.cpu_percent(seconds) / 100 * cores
    others = busy - (sum(own.cpu_times()[:2]) - before) / (time.perf_counter() - since)
    if cores - others >= 1.5:
        return None
    print("another program keeps a core busy: one thread, because two would be slower; LMTUTOR_THREADS=2 takes two",
          file=sys.stderr)
    return 1


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware. Asked, not assumed: emulated bf16 is slower than fp32."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if platform.machine() in ("arm64", "aarch64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and sys.platform != "darwin"
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def muon_in_float32() -> None:
    """Let torch's Muon make its steps orthogonal in float32: it asks for bfloat16 on every processor, and where that is
    emulated a step takes twenty times as long as the rest of the training. Does nothing where torch has no such inside.

    Source: Jordan et al. 2024, the same five Newton-Schulz iterations.
    """
    import torch
    from torch.optim import _muon

    def orthogonal(gradient, coefficients, steps, eps):
        a, b, c = coefficients
        tall = gradient.size(0) > gradient.size(1)
        x = gradient.T.float() if tall else gradient.float()
        x = x / x.norm().clamp(min=eps)
        for _ in range(steps):
            gram = x @ x.T
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x.T if tall else x

    if hasattr(_muon, "_zeropower_via_newtonschulz"):
        _muon._zeropower_via_newtonschulz = orthogonal


def best_dtype():
    """The type to compute in: `torch.bfloat16` where the processor has it, else `torch.float32`."""
    import torch

    return torch.bfloat16 if has_bf16() else torch.float32


def machine() -> dict:
    """Describe the machine in the terms that a timing needs beside it."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    def of(package):
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(total_memory_gb(), 1),
        "bf16": has_bf16(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": of("transformers"),
    }


def cpu_name() -> str:
    """The processor's own name where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def total_memory_gb() -> float:
    """Physical memory in GB (1e9 bytes)."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    import psutil  # comes with accelerate; Windows has no sysconf

    return psutil.virtual_memory().total / 1e9


def peak_memory_mb() -> float:
    """The most memory this process has held so far, in MB (1e6 bytes)."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def release_memory() -> None:
    """Give memory that was freed back to the system, which glibc else keeps after a training; elsewhere do nothing."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library, another system
        pass


@contextlib.contextmanager
def memory_released(every: float = 1.0) -> Iterator[None]:
    """While this lasts, `release_memory` every so many seconds.

    Keys and values of prompts of many lengths leave holes that glibc keeps: 5.1 GB where 1.8 were in use, on a table of reviews. It
    takes about a tenth more time.
    """
    done = threading.Event()

    def watch():
        while not done.wait(every):
            release_memory()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def cache_dir() -> Path:
    """Where downloads and conversions are kept: `LMTUTOR_CACHE`, else the user's cache folder."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("LMTUTOR_CACHE") or user_cache_dir("lmtutor", appauthor=False))


def quiet() -> bool:
    """Whether to draw no progress bars: `LMTUTOR_QUIET` is set, or nobody is watching."""
    if os.environ.get("LMTUTOR_QUIET"):
        return True
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)


def progress(iterable: Iterable | None = None, **settings):
    """A `tqdm` bar that a person sees and a stored notebook does not."""
    from tqdm import tqdm

    return tqdm(iterable, disable=quiet(), leave=False, dynamic_ncols=True, **settings)
