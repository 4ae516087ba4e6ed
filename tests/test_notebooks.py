"""The stored notebooks: executed in order on a fresh kernel, clean, self-contained, and with answered exercises."""

import ast
import re
import sys
import tomllib

import nbformat
import pytest
import run
import yaml
from conftest import ROOT

CHAPTERS = {p.stem: p for p in sorted((ROOT / "notebooks").glob("*.ipynb"))}
SOLUTIONS = {p.stem: p for p in sorted((ROOT / "notebooks/solutions").glob("*.ipynb"))}
ALL = [*CHAPTERS.values(), *SOLUTIONS.values()]
PROVIDES = {"sklearn": "scikit-learn", "IPython": "ipykernel"}
CHECK = re.compile(r"\bcheck\(\s*(\d+)\s*,")

each = pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(ROOT / "notebooks").with_suffix("")))
each_chapter = pytest.mark.parametrize("name", CHAPTERS)


def read(path):
    return nbformat.read(path, as_version=4)


def code(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def python(cell):
    """The cell without IPython's own lines, so that it can be parsed."""
    return "\n".join(re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in cell.source.splitlines())


def test_every_chapter_in_the_table_of_contents_is_stored_and_the_other_way_round():
    toc = (ROOT / "book/_toc.yml").read_text()
    assert set(re.findall(r"notebooks/(\w+)", toc)) == set(CHAPTERS) != set()
    assert yaml.safe_load(toc)["root"] == "book/intro"


@each
def test_executed_in_order_on_a_fresh_kernel(path):
    counts = [cell.execution_count for cell in code(path) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1)), "run `python notebooks/run.py` and store the result"


@each
def test_no_error_no_stderr_no_progress_bar(path):
    for cell in code(path):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text
            assert not run.BAR.search(output.get("text", "")), cell.source
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {}), cell.source


@each
def test_outputs_name_no_folder_of_the_machine_that_made_them(path):
    for cell in code(path):
        assert not re.search(r"(/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\)\w", str(cell.outputs)), cell.source


@each
def test_pictures_are_described(path):
    for cell in code(path):
        if any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) >= 20 and "_images" not in alt, f"no alt text: {cell.source}"


@each
def test_first_cell_installs_only_where_lmtutor_is_missing(path):
    assert code(path)[0].source == run.first_cell(*run.address()), "run `python notebooks/run.py --sync`"


def test_first_cell_follows_the_address():
    assert run.first_cell("", "main").endswith("%pip install -q lmtutor")
    assert run.first_cell("https://github.com/o/r", "v1").endswith('-q "lmtutor @ git+https://github.com/o/r@v1"')


@each
def test_cells_import_only_what_the_package_brings(path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]} | {"lmtutor"}
    for cell in code(path):
        for node in ast.walk(ast.parse(python(cell))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in (name.split(".")[0] for name in names):
                assert name in sys.stdlib_module_names or PROVIDES.get(name, name) in brought, f"{name}: {cell.source}"


@each
def test_cells_left_out_of_the_comparison_say_why(path):
    for cell in code(path):
        tags = set(cell.metadata.get("tags", []))
        assert "nbval-skip" not in tags and "NBVAL_" not in cell.source, "use the tag nbval-ignore-output, with a reason"
        if "nbval-ignore-output" in tags:
            assert len(cell.metadata.get("lmtutor", {}).get("why", "")) >= 20, f"no reason: {cell.source}"


@each
def test_no_cell_hides_its_value_behind_a_semicolon(path):
    for cell in code(path):
        assert not cell.source.rstrip().endswith(";"), f"nbval shows the value, nbclient does not: {cell.source}"


@each
def test_code_fits_a_page_and_cells_have_lasting_ids(path):
    for cell in read(path).cells:
        assert not run.RANDOM_ID.fullmatch(cell.id), "run `python notebooks/run.py --sync`"
        if cell.cell_type == "code":
            assert max(map(len, cell.source.splitlines()), default=0) <= 88, cell.source


@each_chapter
def test_chapter_opens_with_its_title_and_the_measured_minutes(name):
    book = read(CHAPTERS[name])
    titles = [line for cell in book.cells if cell.cell_type == "markdown"
              for line in re.sub(r"```.*?```", "", cell.source, flags=re.S).splitlines() if line.startswith("# ")]
    assert len(titles) == 1 and book.cells[0].source.startswith(titles[0])
    box = run.MEASURED.search(book.cells[0].source)
    assert box and box[0] == f"{box[1]}about {run.in_words(**book.metadata['lmtutor'])}{box[2]}"


@each
def test_runs_within_its_budget(path):
    measured = read(path).metadata["lmtutor"]
    assert 0 < measured["seconds"] <= 240 and 0 < measured["peak_mb"] <= 4000


@each_chapter
def test_exercises_start_untried_and_solutions_are_accepted(name):
    asked = {m: cell for cell in code(CHAPTERS[name]) for m in CHECK.findall(cell.source)}
    assert len(asked) >= 3, "a chapter ends with three to five exercises"
    assert name in SOLUTIONS, f"notebooks/solutions/{name}.ipynb is missing"
    solved = {m: cell for cell in code(SOLUTIONS[name]) for m in CHECK.findall(cell.source)}
    assert set(solved) == set(asked)
    for cells, answer in ((asked, "not tried yet"), (solved, "yes: ")):
        for exercise, cell in cells.items():
            said = [line for line in printed(cell).splitlines() if line.startswith(("not ", "yes"))]
            wanted = len(CHECK.findall(cell.source))
            assert len(said) == wanted and all(line.startswith(answer) for line in said), f"{exercise}: {said}"


def test_a_bar_and_a_random_id_are_recognised():
    assert run.BAR.search(" 40%|████      | 4/10 [00:01<00:02,  2.9it/s]") and not run.BAR.search("accuracy 40%")
    assert run.RANDOM_ID.fullmatch("3f2a9c1e") and not run.RANDOM_ID.fullmatch("code-03")


def test_measures_are_rounded_up_in_words():
    assert run.in_words(31, 840) == "40 seconds, 0.9 GB"
    assert run.in_words(61, 1500) == "2 minutes, 1.5 GB"
