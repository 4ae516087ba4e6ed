"""The instructor's guide and what those who carry on need: made from what is there, and in agreement with it."""

import re
import shutil
import sys
import tomllib

import pytest
import yaml
from conftest import ROOT

from lmtutor import __version__

errors = pytest.importorskip("sphinx.errors")
sys.path.insert(0, str(ROOT / "book/_ext"))
import teach  # noqa: E402

PAGE = (ROOT / "book/instructors.md").read_text(encoding="utf-8")
CHAPTERS = teach.numbers(ROOT)


def made(maker, *arguments, root=ROOT):
    return list(maker(root, set(), *arguments))[-1]


@pytest.fixture
def planned(tmp_path):
    """A copy of what the tables are made from; call it with changes of lessons.toml."""
    for folder in ("notebooks", "lmtutor/chapters"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("deeper", "records", "drawings", "__pycache__"))
    (tmp_path / "book").mkdir()

    def call(old, new):
        text = (ROOT / "book/lessons.toml").read_text(encoding="utf-8")
        assert old in text
        (tmp_path / "book/lessons.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
        return tmp_path

    return call


def test_the_page_shows_every_lesson_and_each_fits_its_time():
    for name, plan in teach.plans(ROOT)["lesson"].items():
        assert f"<!-- made: lesson {name} -->" in PAGE
        total = int(re.search(r"Adds up to (\d+) of", made(teach.lesson, name))[1])
        assert 0.9 * plan["minutes"] <= total <= plan["minutes"]


def test_minutes_of_exercises_and_runs_are_those_of_the_chapters():
    table = made(teach.lesson, "one")
    minutes, seconds = teach.exercises_of(ROOT, "11")[0]["minutes"], teach.notebook(ROOT, "11")[1]["metadata"]["lmtutor"]["seconds"]
    assert f"Exercise 11.1 ({minutes}\u00a0min). *It runs {teach.wait(seconds)}.*" in table
    assert [teach.wait(s).replace("\u00a0", " ") for s in (1, 41, 50, 51, 61)] == ["10 s", "50 s", "50 s", "1 min", "2 min"]


@pytest.mark.parametrize("old, new, said", [
    ("minutes = 90", "minutes = 60", "one adds up to 88 minutes, it has 60"),
    ("minutes = 90", "minutes = 120", "one adds up to 88 minutes, it has 120"),
    ('"11.1"', '"11.9"', "there is no exercise 11.9"),
    ('chapter = "03"', 'chapter = "3"', "chapter 3: 0 notebooks in notebooks/ begin so"),
])  # fmt: skip
def test_a_plan_that_cannot_be_kept_fails_the_build(planned, old, new, said):
    with pytest.raises(errors.ExtensionError, match=said):
        made(teach.lesson, "one", root=planned(old, new))


def test_a_term_has_every_chapter_once_and_all_its_exercises():
    weeks = teach.plans(ROOT)["term"]["weeks"]
    assert sorted(number for week in weeks for number in week["chapters"]) == CHAPTERS
    named = re.findall(r"\b\d\d\.\d\b", made(teach.term))
    assert sorted(named) == [f"{number}.{place}" for number in CHAPTERS for place in range(1, len(teach.exercises_of(ROOT, number)) + 1)]


def test_exercises_are_read_as_they_are():
    from lmtutor.chapters.gradients_and_forgetting.exercises import EXERCISES

    told = teach.exercises_of(ROOT, "08")
    assert [(one["minutes"], one["question"], one["hint"], one["why"]) for one in told] == [
        (one.minutes, one.question, one.hint, one.why) for one in EXERCISES]
    assert "that is a difference of losses; divide it by how far the two places are apart" in told[1]["slips"]


def test_every_chapter_has_its_row_its_slips_and_open_exercises_their_answers():
    rows, slips, answers = made(teach.takes), made(teach.slips), made(teach.answers)
    for number in CHAPTERS:
        assert f"| [{number}](" in rows and f"{{dropdown}} {number} " in slips
        for place, one in enumerate(teach.exercises_of(ROOT, number), 1):
            is_open = teach.is_open(ROOT, number, place)
            assert (f"**{number}.{place} " in answers) == is_open
            if is_open:
                parts = teach.solution(ROOT, number, place)
                assert not parts[0][0] and any(code and f"check({place}," in text for code, text in parts), (number, place)
    assert sum(map(len, re.findall(r"\d+\*", rows))) and "<!--" not in slips + answers and "](../" not in slips + answers


def test_what_to_run_ahead_is_what_runs_long():
    lines = made(teach.ahead).splitlines()
    long = [number for number in CHAPTERS if teach.notebook(ROOT, number)[1]["metadata"]["lmtutor"]["seconds"] > teach.AHEAD]
    assert [line[3:5] for line in lines] == long and all(re.search(r": \*.+\*$", line) for line in lines)


def test_the_house_shows_every_room():
    drawn = made(teach.house)
    rooms = {path.stem if path.is_file() else path.name for path in (ROOT / "lmtutor").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(re.findall(r">(\w+)</text>", drawn)) == rooms - {"__init__"}
    assert drawn.index(">compare</text>") < drawn.index(">pretrain</text>") < drawn.index(">errors</text>"), "the ground is below"


def test_names_in_the_table_for_contributors_are_used():
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("| in the text |")[2].partition("\n\n")[0]
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "lmtutor").rglob("*.py"))
    names = [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[2])]
    assert len(names) > 15 and [name for name in names if not re.search(rf"\b{name}\b", code)] == []


def test_citation_names_this_version_and_licence():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited) and cited["cff-version"] == "1.2.0"
    licence = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license"]
    assert (cited["version"], cited["license"]) == (__version__, licence)


def test_nothing_is_published_before_somebody_says_so_and_no_token_is_kept():
    workflow = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(workflow)["jobs"]
    assert jobs["publish"]["if"] == "vars.PUBLISH_PACKAGE == 'yes'" and jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in workflow and "permissions" not in jobs["build"]


def test_forms_for_issues_are_well_formed():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} == set(form) and all(part["attributes"]["label"] for part in form["body"]), path


def test_what_needs_texts_that_may_not_be_passed_on_is_what_the_page_says():
    """Chapter 09, two pages that go deeper, one open exercise. Experiments need them too, but a notebook reads their records."""
    asking = [path.relative_to(ROOT / "notebooks").as_posix() for path in sorted((ROOT / "notebooks").rglob("*.ipynb"))
              if ".ipynb_checkpoints" not in path.parts and re.search(r"\b(review_task|load_reviews)\(", path.read_text(encoding="utf-8"))]
    assert asking == ["09_lora_on_a_real_model.ipynb", "deeper/06_using_sentiment.ipynb", "deeper/09_lora_reviews.ipynb",
                      "solutions/11_prompting_a_real_model.ipynb"]
    assert "Chapter 09, two\n   of the pages that go deeper and one open exercise need them" in PAGE
