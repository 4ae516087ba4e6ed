"""The instructor's guide and what those who carry on need: made from what is there, and in agreement with it."""

import re
import shutil
import tomllib

import pytest
import yaml
from conftest import ROOT

from lmtutor import __version__

errors = pytest.importorskip("sphinx.errors")
import teach  # noqa: E402

PAGE = (ROOT / "book/instructors.md").read_text(encoding="utf-8")
CHAPTERS = teach.numbers(ROOT)


def made(maker, *arguments, root=ROOT):
    return list(maker(root, *arguments))[-1]


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


def test_an_exercise_has_twice_its_minutes_in_class_and_a_section_is_linked():
    table = made(teach.lesson, "half")
    assert f"Exercise 11.2 ({2 * teach.exercises_of(ROOT, '11')[1]['minutes']}\u00a0min)." in table
    assert "Notebooks that run long: 03 (2\u00a0min), 11" in table and "that run long" not in made(teach.lesson, "one"), "there nobody runs any"
    assert "[Who forgets more?](../notebooks/08_gradients_and_forgetting.ipynb#who-forgets-more)" in table
    assert teach.anchor("Error, loss, gradient: three things") == "error-loss-gradient-three-things"


def test_a_lesson_says_which_vote_nobody_wins_and_what_notebooks_left_open_hold():
    table = made(teach.lesson, "half")
    row = next(line for line in table.splitlines() if "**[07]" in line)
    assert "to be as good? (The verdict is open: nobody wins.)<br/>*Show:*" in row and table.count("nobody wins") == 1
    runs = [teach.notebook(ROOT, number)[1]["metadata"]["lmtutor"] for number in ("03", "07", "08", "11", "15")]
    assert f"all 5 left open, {(sum(run['peak_mb'] for run in runs) + teach.SERVER) / 1000:.1f} GB" in table


def test_seconds_in_words():
    assert [teach.wait(s).replace("\u00a0", " ") for s in (1, 41, 50, 51, 61)] == ["10 s", "50 s", "50 s", "1 min", "2 min"]


@pytest.mark.parametrize("old, new, said", [
    ("talk = 16, chapter = \"03\"", "talk = 3, chapter = \"03\"", "has 3 minutes to talk; its sections and bets take 4"),
    ("The wrong rule first\"]", "The right rule first\"]", "chapter 03 has no section 'The right rule first'; it has Pre-training"),
    ("minutes = 90", "minutes = 60", "one adds up to 88 minutes, it has 60"),
    ("minutes = 90", "minutes = 120", "one adds up to 88 minutes, it has 120"),
    ('chapter = "03"', 'chapter = "3"', "chapter 3: 0 notebooks in notebooks/ begin so"),
])  # fmt: skip
def test_a_plan_that_cannot_be_kept_fails_the_build(planned, old, new, said):
    with pytest.raises(errors.ExtensionError, match=said):
        made(teach.lesson, "one", root=planned(old, new))


def test_a_plan_with_an_exercise_that_is_not_there_fails_the_build(planned):
    with pytest.raises(errors.ExtensionError, match="there is no exercise 11.9"):
        made(teach.lesson, "half", root=planned('"11.1"', '"11.9"'))


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
        assert f"\n| [{number}](" in rows and f"{{dropdown}} {number} " in slips
        for place, one in enumerate(teach.exercises_of(ROOT, number), 1):
            is_open = teach.is_open(ROOT, number, place)
            assert (f"**{number}.{place} " in answers) == is_open
            if is_open:
                parts = teach.solution(ROOT, number, place)
                assert not parts[0][0] and any(code and f"check({place}," in text for code, text in parts), (number, place)
    assert sum(map(len, re.findall(r"\d+\*", rows))) and "<!--" not in slips + answers and "](../" not in slips + answers


def test_every_bet_has_its_question_its_options_and_what_came_out():
    from lmtutor.measure.claims import claim

    slips = made(teach.slips)
    for number in CHAPTERS:
        _, book = teach.notebook(ROOT, number)
        found = teach.bets(book)
        assert list(found) == [name for _, _, names in teach.sections_of(book) for name in names] and found, number
        for name, (question, options, text, said) in found.items():
            assert text == (claim(name).text if said else "") and teach.SIGNS.sub(teach.LITERAL, text) in slips, "what was claimed, then what came out"
            assert (question, options) == (claim(name).question, list(claim(name).options)), "the stored card is the claim's"
            assert all(teach.SIGNS.sub(teach.LITERAL, text) in slips for text in (question, *options))
            won = [line for line in said if line.startswith("It was: ")]
            assert not won or won[0].removeprefix("It was: ").rstrip(".") in options, (name, said)
            assert not any("───" in line or line.startswith("verdict: ") for line in said), said


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


def test_a_contributor_can_copy_the_claim_and_the_record(tmp_path, monkeypatch, capsys):
    from lmtutor.classroom import bets
    from lmtutor.measure import claims
    from lmtutor.records import store, table

    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    claim, record = re.findall(r"^```toml\n(.*?)^```", text, re.S | re.M)
    (cells,) = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    (tmp_path / "topic").mkdir()
    (tmp_path / "topic/claims.toml").write_text(claim, encoding="utf-8")
    (tmp_path / "topic/experiments.toml").write_text(record, encoding="utf-8")
    experiment = table.read_experiments(tmp_path)["topic/ahead"]
    assert experiment.function.endswith(".topic.labels:ahead") and set(experiment.sample) == {"seeds", "config", "constants"}
    known = claims.read_claims(tmp_path)
    assert "registered: after a look" not in known and known["topic.ahead"].options
    rows = {"LoRA": [[1] * 400] * 5, "counting words": [[1, 0, 1, 1] * 100] * 5}
    monkeypatch.setattr(bets, "claim", known.__getitem__)
    monkeypatch.setattr(bets, "glue", lambda *_: None)
    monkeypatch.setattr(store, "load", lambda name: type("Kept", (), {"results": {"topic/ahead": rows}[name]}))
    exec(cells, told := {})
    assert told["gain"].unit == "points" and known["topic.ahead"].judge(told["gain"]).word == "supported"


def test_citation_names_this_version_and_licence():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited) and cited["cff-version"] == "1.2.0"
    licence = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license"]
    assert (cited["version"], cited["license"]) == (__version__, licence)
    assert (ROOT / f".github/RELEASE_NOTES_{__version__}.md").read_text(encoding="utf-8").startswith(f"# lmtutor {__version__}\n")
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1] == __version__


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
    assert "Chapter 09, two of the pages that go deeper and one open exercise need them" in " ".join(PAGE.split())
    asking = [cell for cell in teach.notebook(ROOT, "09")[1]["cells"] if "review_task(" in teach.source(cell)]
    assert [teach.source(cell).splitlines()[0] for cell in asking] == ["# @title Numbers of the reviews"]
    assert "*Numbers of the reviews*" in " ".join(PAGE.split())


def test_the_lines_for_a_grader_raise_what_the_check_would_print():
    import torch
    import torch.nn.functional as F

    first, second = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    right = lambda logits, word: logits.softmax(0) - F.one_hot(torch.tensor(word), len(logits))  # noqa: E731
    wrong = lambda logits, word: -right(logits, word)  # noqa: E731
    for answer in (right, wrong, ...):
        names = {"slope_at_logits": answer}
        for run in (lambda: exec(first, names), lambda: exec(f"{second}\ntest_gradient(slope_at_logits)", names)):
            if answer is right:
                run()
            else:
                with pytest.raises(AssertionError, match="it points the other way" if answer is wrong else "give the function itself"):
                    run()


def test_the_image_has_what_may_be_passed_on_and_no_solutions():
    from lmtutor.data import assets

    lines = (ROOT / "hub/Dockerfile").read_text(encoding="utf-8").splitlines()
    (fetched,) = [line.split("lmtutor fetch ")[1].split(" &&")[0].split() for line in lines if line.startswith("RUN lmtutor fetch")]
    assert set(fetched) == set(assets.ASSETS) - set(assets.NOT_PASSED_ON)
    copied = [part for line in lines if line.startswith("COPY") for part in line.split()[1:-1] if not part.startswith("--")]
    assert all(list(ROOT.glob(part)) for part in copied) and not any("solutions" in part or part == "notebooks" for part in copied)
    assert not (ROOT / "Dockerfile").exists(), "Binder would read it in place of environment.yml"


def keys_of(config, above=""):
    """All settings of a configuration by their dotted names; what stands in one of Sphinx's own is its value."""
    for key, value in config.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and name in ("repository", "execute", "launch_buttons", "html", "parse", "sphinx", "sphinx.config"):
            yield from keys_of(value, f"{name}.")
        else:
            yield name


def test_all_that_ties_the_book_to_jupyter_book_1_is_listed():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    page = (ROOT / "book/jupyter_book_2.md").read_text(encoding="utf-8").partition("<!-- keys -->")[2].partition("<!-- /keys -->")[0]
    listed = [name for line in page.splitlines() if line.startswith("| `") for name in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert sorted(listed) == sorted(keys_of(config)), "name a new key in book/jupyter_book_2.md, with what becomes of it in version 2"
