"""runtime: memory goes back to the system where it can."""

import ctypes
import importlib.util
import platform
import subprocess
import sys
import threading
import time

import pytest

from lmtutor import runtime


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in another way")
def test_memory_that_was_freed_goes_back_to_the_system():
    """In a process of its own: how much is kept depends on what was allocated before."""
    code = (
        "from pathlib import Path\nfrom lmtutor import runtime\n"
        "held = lambda: int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 1e6\n"
        "some = [b'x' * 100_000 for _ in range(2000)]\nlast = some.pop()\ndel some\n"
        "kept = held()\nruntime.release_memory()\nprint(kept - held())"
    )
    given_back = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert given_back > 150


def test_memory_is_released_again_and_again_and_no_longer_than_asked(monkeypatch):
    times = []
    monkeypatch.setattr(runtime, "release_memory", lambda: times.append(threading.active_count()))
    before = threading.active_count()
    with pytest.raises(KeyError), runtime.memory_released(every=0.01):
        deadline = time.monotonic() + 10
        while len(times) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyError
    assert len(times) >= 3 and threading.active_count() == before


def test_where_memory_cannot_be_given_back_nothing_happens(monkeypatch):
    def none(name):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", none)
    assert runtime.release_memory() is None


def test_muon_makes_the_same_step_in_float32_where_bfloat16_would_be_emulated(monkeypatch):
    import torch
    from torch.optim import _muon

    untouched = importlib.util.module_from_spec(_muon.__spec__)  # another test's `set_threads` may have come first
    _muon.__spec__.loader.exec_module(untouched)
    monkeypatch.setattr(_muon, "_zeropower_via_newtonschulz", untouched._zeropower_via_newtonschulz)
    monkeypatch.setattr(runtime, "has_bf16", lambda: False)
    matrices = [torch.randn(shape, generator=torch.Generator().manual_seed(0)) for shape in ((6, 6), (12, 5), (5, 12))]

    def steps():
        for matrix in matrices:
            weight = torch.nn.Parameter(torch.zeros_like(matrix))
            weight.grad = matrix.clone()
            torch.optim.Muon([weight], lr=1.0, weight_decay=0.0).step()
            yield weight.detach().clone()

    before, inside = list(steps()), _muon._zeropower_via_newtonschulz
    runtime.set_threads()
    assert _muon._zeropower_via_newtonschulz is not inside
    for one, other in zip(before, steps(), strict=True):
        assert torch.allclose(one, other, atol=0.06) and not torch.equal(one, other)


@pytest.mark.parametrize(("busy", "cores", "threads"), [(2, 2, None), (60, 2, 1), (30, 4, None), (70, 4, 1), (60, 1, None)])
def test_one_thread_where_another_program_keeps_a_core(busy, cores, threads, monkeypatch, capsys):
    monkeypatch.delenv("LMTUTOR_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("psutil.cpu_percent", lambda seconds: busy)
    assert runtime.free_threads() == threads
    assert ("LMTUTOR_THREADS=2" in capsys.readouterr().err) == (threads == 1)
    monkeypatch.setenv("LMTUTOR_THREADS", "2")
    assert runtime.free_threads() is None
