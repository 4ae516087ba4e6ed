"""What is handed around: a part's chapters, the package and the data, with an installer that asks no network."""

import ast
import importlib.util
import json
import re
import zipfile

import pytest
from conftest import ROOT

spec = importlib.util.spec_from_file_location("handout", ROOT / "tools/handout.py")
handout = importlib.util.module_from_spec(spec)
spec.loader.exec_module(handout)
PARTS = sorted(int(path.stem[4:]) for path in (ROOT / "book").glob("part*.md"))


@pytest.fixture
def wheels(tmp_path):
    """Files in place of wheels."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("lmtutor-0.1.0", "pip-26.3", "torch-2.13.0"):
        (folder / f"{name}-py3-none-any.whl").write_bytes(b"wheel")
    return folder


def test_parts_hold_every_chapter_and_all_that_goes_deeper_once():
    found = [path for part in PARTS for paths in handout.chapters(part)[1:] for path in paths]
    assert sorted(found) == sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/deeper/*.ipynb")])
    with pytest.raises(SystemExit, match="no part 9"):
        handout.chapters(9)


def test_the_archive_holds_notebooks_as_they_are_wheels_and_an_installer(wheels, tmp_path):
    path = handout.write(1, tmp_path, wheels, light=False)
    with zipfile.ZipFile(path) as archive:
        inside = {name.removeprefix("lmtutor-part1/"): archive.read(name) for name in archive.namelist()}
    title, own, deeper = handout.chapters(1)
    for notebook in [*own, *deeper]:
        assert inside[notebook.relative_to(ROOT).as_posix()] == notebook.read_bytes()
    assert {f"wheels/{wheel.name}" for wheel in wheels.iterdir()} <= set(inside) and not [name for name in inside if "solutions" in name]
    told = inside["README.txt"].decode()
    assert told.startswith(title) and all(chapter.name in told for chapter in own) and re.search(r"Python 3\.\d+ for \w+ \(\w+\)", told)
    assert not re.search(r"\{\w*\}|/tmp|/root", told) and ast.parse(inside["install.py"])


def test_a_light_archive_says_that_the_machine_must_have_the_rest(wheels, tmp_path):
    path = handout.write(2, tmp_path, wheels, light=True)
    with zipfile.ZipFile(path) as archive:
        assert path.name == "lmtutor-part2-light.zip" and "all that lmtutor depends on" in archive.read("lmtutor-part2-light/README.txt").decode()


def test_links_between_the_notebooks_of_a_part_lead_into_the_archive_or_are_of_another_part():
    """A link to a notebook must name one that the book has; those of other parts are in another handout."""
    for part in PARTS:
        for notebook in handout.chapters(part)[1]:
            text = "".join(line for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] for line in cell["source"])
            for target in re.findall(r"\]\(([\w./]+\.ipynb)[#)]", text):
                assert (notebook.parent / target).exists(), f"{notebook.name}: {target}"
