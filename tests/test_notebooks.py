"""The stored notebooks: executed in order on a fresh kernel, clean, self-contained, and with answered exercises."""

import ast
import copy
import importlib
import re
import sys
import tomllib

import nbformat
import pytest
import run
import yaml
from conftest import ROOT

CHAPTERS = {p.stem: p for p in sorted((ROOT / "notebooks").glob("*.ipynb"))}
DEEPER = {p.stem: p for p in sorted((ROOT / "notebooks/deeper").glob("*.ipynb"))}
SOLUTIONS = {p.stem: p for p in sorted((ROOT / "notebooks/solutions").glob("*.ipynb"))}
ALL = [*CHAPTERS.values(), *DEEPER.values(), *SOLUTIONS.values()]
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
    assert set(re.findall(r"notebooks/(\w+)$", toc, re.M)) == set(CHAPTERS) != set()
    assert set(re.findall(r"notebooks/deeper/(\w+)$", toc, re.M)) == set(DEEPER)
    assert {name[:3] for name in DEEPER} <= {name[:3] for name in CHAPTERS}, "what goes deeper has its chapter's number"
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
def test_a_picture_is_stored_as_png_too(path):
    for cell in code(path):
        for output in cell.outputs:
            kinds = set(output.get("data", {}))
            if "image/svg+xml" in kinds and "text/html" not in kinds:
                assert "image/png" in kinds, f"JupyterLab shows no SVG of a notebook that is not trusted: {cell.source}"


@each
def test_first_cell_installs_only_where_lmtutor_is_missing(path):
    assert code(path)[0].source.startswith(run.first_cell(*run.address())), "run `python notebooks/run.py --sync`"


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
def test_what_a_cell_takes_from_the_package_is_there(path):
    """A definition that moves is missed at once, and not only when the notebook is run again."""
    for cell in code(path):
        for node in ast.walk(ast.parse(python(cell))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lmtutor":
                room = importlib.import_module(node.module)
                for name in (alias.name for alias in node.names if not hasattr(room, alias.name)):
                    importlib.import_module(f"{node.module}.{name}")


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
        if cell.cell_type == "code":  # what is folded scrolls when somebody opens it
            folded = {"fold", "numbers"} & set(cell.metadata.get("tags", []))
            assert max(map(len, cell.source.splitlines()), default=0) <= (140 if folded else 88), cell.source


@each_chapter
def test_chapter_opens_with_its_title_and_the_measured_minutes(name):
    book = read(CHAPTERS[name])
    titles = [line for cell in book.cells if cell.cell_type == "markdown"
              for line in re.sub(r"```.*?```", "", cell.source, flags=re.S).splitlines() if line.startswith("# ")]
    assert len(titles) == 1 and book.cells[0].source.startswith(titles[0])
    box = next(filter(None, (run.MEASURED.search(cell.source) for cell in book.cells[:5])), None)
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


@each
def test_folded_cells_are_folded_in_the_book_in_jupyterlab_and_on_colab(path):
    for cell in code(path):
        before = copy.deepcopy(cell)
        run.fold(cell)
        assert cell == before, "run `python notebooks/run.py --sync`"
        if "hide-input" in cell.metadata.get("tags", []) and cell.id != "install":
            assert cell.source.startswith(run.TITLE), f"a folded cell says in its first line what it does, after {run.TITLE!r}: {cell.source}"


@each
def test_numbers_in_the_prose_are_those_that_were_bound(path):
    book, before = read(path), read(path)
    run.bind(book)
    assert book == before, "run `python notebooks/run.py` and store the result"


UNIT = r"(?:%|points?|nats?|bits?|million|billion|thousand|GB|MB|minutes?|seconds?|times|words|steps|weights|models|articles)"
RESULT = re.compile(rf"[\u2212+-]?\d[\d.,]*[ -]?{UNIT}(?!\w)")
NO_RESULT = re.compile(r"<!-- =\w+ -->.*?<!-- / -->|<!-- measured -->.*?<!-- /measured -->|```.*?```|`[^`]*`|\*\* \(\d+ minutes?", re.S)  # bound, code, an exercise's time
TYPED = {  # what stands in a rewritten chapter's prose as it is, and why nothing has to be bound
    ("01_tokens", "1%"): "toy numbers, by hand",
    ("01_tokens", "50%"): "toy numbers, by hand",
    ("01_tokens", "100%"): "toy numbers, by hand",
    ("01_tokens", "4.6 nats"): "toy numbers, by hand",
    ("01_tokens", "95%"): "the level of every range, by definition",
    ("01_tokens", "20 points"): "what was asked for, not what came out",
    ("01_tokens", "4 times"): "how often a word stands in the drawing's toy text",
    ("01_tokens_first_steps", "120 steps"): "how long the cell above trains",
    ("01_tokens_vocabulary", "192 weights"): "two rows of the model's width, arithmetic",
    ("02_transformer", "95%"): "what an exercise asks for",
    ("07_transfer_curves", "120 steps"): "how long every run trains",
    ("07_transfer_steps", "120 steps"): "how long every run trains",
    ("07_transfer_steps", "40 steps"): "the bound of the count that is bound beside it",
    ("07_transfer_steps", "90%"): "the bar that the runs were held to",
    ("07_transfer_news", "23 million"): "the size of a published encoder",
    ("07_transfer_urgency", "135 million"): "the size of a published model",
    ("07_transfer_rare", "135 million"): "the size of a published model",
    ("07_transfer_rare", "2.8 seconds"): "what Hollmann et al. report",
    ("04_masked_and_causal", "60%"): "what an exercise asks for",
    ("04_masked_and_causal", "40%"): "what an exercise asks for",
    ("04_masked_and_causal", "700 steps"): "what an exercise asks for",
    ("04_masked_and_causal", "8 billion"): "the size of a published model, cited",
    ("02_transformer", "90%"): "what an exercise asks for",
    ("03_pretraining", "1%"): "toy numbers, by hand",
    ("03_pretraining", "5,000 words"): "an exercise's vocabulary",
    ("03_pretraining", "90%"): "the level that was asked for, not what came out",
    ("03_pretraining", "70 steps"): "which checkpoint is loaded in the cell above",
    ("06_using_a_pretrained_model", "90%"): "where top-p cuts in the cell above",
    ("06_using_a_pretrained_model", "30 points"): "what the claim asked for",
    ("06_using_decoding", "16-bit"): "kind of arithmetic",
    ("06_using_forms", "32-bit"): "kind of arithmetic",
    ("06_using_translation", "30 million"): "what Briakou et al. report",
    ("06_using_sentiment", "175 billion"): "the size of GPT-3",
    ("06_using_sentiment", "71.6%"): "what Zhao et al. report",
    ("06_using_sentiment", "75.8%"): "what Zhao et al. report",
    **{("05_scale_and_cost_reading", text): "what others say of GPT-3's text and of children, or what a book is taken to be"
       for text in ("570 GB", "400 billion", "90,000 words", "7 million", "91 million", "100 million")},
    ("08_gradients_and_forgetting", "95%"): "how much was enough, not what came out",
    ("08_gradients_and_forgetting", "5%"): "the rest of it",
    ("08_gradients_and_forgetting", "97%"): "what an exercise asks for",
    ("08_gradients_and_forgetting", "120 steps"): "how long the cells train",
    ("08_gradients_checked", "64 bits"): "kind of arithmetic",
    ("08_gradients_probes", "120 steps"): "how long the cell trains",
    ("08_gradients_probes", "90%"): "what a probe had to have before",
    ("08_gradients_probes", "5 points"): "what the claim allows",
    ("08_gradients_rates", "90%"): "how much of the change the directions have to hold",
    ("08_gradients_rates", "100 times"): "what Biderman et al. report",
    ("08_gradients_rates", "2 points"): "how near to the best a rate had to be",
    ("08_gradients_rates", "95%"): "how much was enough",
    ("08_gradients_too_long", "500 steps"): "how long the runs train",
    ("08_gradients_too_long", "0.05 nats"): "what the claim asks for",
    ("13_learning_inside_the_prompt", "8 points"): "after how many an exercise's check looks",
    ("13_inside_which_rule", "12 points"): "how many a training prompt has",
    ("13_inside_which_rule", "8 points"): "after how many points it was asked",
    ("13_inside_which_rule", "16 steps"): "the name of a rule",
    ("13_inside_other_prompts", "11 points"): "how many training had",
    ("13_inside_hidden_worlds", "50 words"): "how many the made world has",
    ("13_inside_hidden_worlds", "5%"): "a chance of the made world, by definition",
    ("13_inside_hidden_worlds", "201 words"): "how long its texts are",
    ("13_inside_hidden_worlds", "40 points"): "what Xie et al. show",
    ("10_instructions_and_answers", "5%"): "how many wrong answers the threshold is chosen for",
    ("10_instructions_desk", "5%"): "how many wrong answers the threshold is chosen for",
    ("10_instructions_form", "65 billion"): "the size of the model of Zhou et al.",
    ("10_instructions_facts", "30 points"): "what the claim asks for",
    **{("10_instructions_facts", text): "what Allen-Zhu and Li report" for text in ("9.7%", "48.9%", "96.6%", "86%", "96%")},
    ("09_lora_on_a_real_model", "135 million"): "the size of the model",
    ("09_lora_on_a_real_model", "45%"): "what an exercise asks for",
    **{("09_lora_bits", text): "kind of arithmetic" for text in ("2 bits", "4 bits", "8 bits", "32 bits")},
    ("09_lora_comparison", "900 articles"): "out of how many the labels are drawn",
    ("09_lora_comparison", "23 million"): "the size of a published encoder",
    ("09_lora_comparison", "95%"): "the level of the intervals",
    ("09_lora_comparison", "5 points"): "what the claims allow",
    ("09_lora_lines", "32 articles"): "how many stand in the longest prompt",
    ("09_lora_lines", "320 articles"): "how many were learned from",
    ("09_lora_update", "32 bits"): "kind of arithmetic",
    **{("12_where_it_comes_from", text): "what Chen et al. report" for text in ("51%", "2%")},
    ("12_where_it_comes_from", "20 billion"): "the size of a model of Crosbie and Shutova",
    ("11_prompting_calibration", "200 articles"): "how many are asked; guarded in its numbers",
    ("11_prompting_calibration", "32-bit"): "kind of arithmetic",
    ("11_prompting_labels", "5 points"): "what Min et al. report, and what the claim allows",
    ("14_dialogue_completion", "120 words"): "how much of the article stands before the sentence",
    ("14_dialogue_forms", "20 points"): "what the claim asked for",
    ("14_dialogue_handover", "90%"): "what the claim asked for",
    ("14_dialogue_memory", "10 points"): "what the claim asked for",
    ("14_dialogue_memory", "5 points"): "what the claim allowed",
    ("14_dialogue_price", "20%"): "chance among five, by definition",
    ("14_dialogue_price", "32-bit"): "kind of arithmetic",
    ("14_dialogue_price", "1.2 times"): "what the claim allowed",
    ("14_dialogue_price", "5 points"): "what the claim asked for",
    ("14_dialogue_price", "11 billion"): "the size of the model of Liu et al.",
    ("14_dialogue_together", "200 articles"): "how many are asked",
    ("14_dialogue_together", "5 points"): "what the claim allowed",
    ("07_transfer_and_labels", "98%"): "toy numbers, by hand",
    ("07_transfer_and_labels", "50%"): "toy numbers, by hand",
    ("15_head_tables", "95%"): "the level of the intervals",
    **{("16_after_preferences", text): "what Razin et al. report" for text in ("33.4%", "74.4%")},
    ("16_after_2023", "90%"): "the threshold from which an answer counts as sure",
    ("16_after_2023", "400 times"): "e to the sixth, by hand",
    ("16_after_manner", "135 million"): "the size of SmolLM2",
    ("17_your_own_data", "20%"): "toy numbers, by hand",
    ("17_your_own_data", "22%"): "toy numbers, by hand",
    ("17_your_own_data", "67%"): "toy numbers, by hand",
    ("17_your_own_data", "135 million"): "the size of the model",
}


def typed_results(book):
    """What looks like a result in the prose and is not bound."""
    prose = (NO_RESULT.sub(" ", cell.source) for cell in book.cells if cell.cell_type == "markdown")
    return [match[0] for text in prose for match in RESULT.finditer(text)]


def test_no_result_is_typed_into_the_prose_of_a_rewritten_chapter():
    rewritten = {path.stem: read(path) for path in ALL if all(any(tag in cell.metadata.get("tags", []) for cell in read(path).cells) for tag in ("fold", "numbers"))}
    found = {(stem, text) for stem, book in rewritten.items() for text in typed_results(book)}
    assert found == set(TYPED), "bind it by number(...), or say in TYPED why it is no result"


def test_a_typed_result_is_seen_and_a_bound_one_is_not():
    book = notebook(nbformat.v4.new_markdown_cell("**2.** (5 minutes) It gets 89%, <!-- =a -->90%<!-- / --> and \u22123 points, `12%` aside; 3 tasks."))
    assert typed_results(book) == ["89%", "\u22123 points"]


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


def printing(text):
    cell = nbformat.v4.new_code_cell("", metadata={"tags": ["numbers"]})
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    return cell


def test_numbers_are_written_into_the_prose_again_and_again():
    book = notebook(printing("lora = 89%\nfast = 3 s (this run)\n"),
                    nbformat.v4.new_markdown_cell("LoRA: <!-- =lora -->?<!-- / -->, in <!-- =fast -->7 s<!-- / -->."))
    for _ in range(2):
        run.bind(book)
        assert book.cells[1].source == "LoRA: <!-- =lora -->89%<!-- / -->, in <!-- =fast -->3 s<!-- / -->."
    with pytest.raises(run.NotStored, match="asks for 'full'; bound are lora"):
        run.bind(notebook(printing("lora = 89%\n"), nbformat.v4.new_markdown_cell("<!-- =full -->1<!-- / -->")))
    with pytest.raises(run.NotStored, match="two numbers are called lora"):
        run.bind(notebook(printing("lora = 89%\nlora = 88%\n")))


def test_one_tag_folds_a_cell_everywhere_and_goes_without_a_trace():
    cell = nbformat.v4.new_code_cell("1", metadata={"tags": ["fold", "nbval-ignore-output"]})
    run.fold(cell)
    assert cell.metadata == {"tags": ["fold", "nbval-ignore-output", "hide-input"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    cell.metadata.tags.remove("fold")
    run.fold(cell)
    assert cell.metadata == {"tags": ["nbval-ignore-output"]}
    cell.metadata.tags = ["numbers"]
    run.fold(cell)
    assert cell.metadata == {"tags": ["numbers", "remove-cell"], "jupyter": {"source_hidden": True, "outputs_hidden": True}, "cellView": "form"}


def test_a_drawing_says_its_words_to_the_book_too():
    cell = nbformat.v4.new_code_cell("picture('lab/one')")
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>", "text/plain": "An arrow leads from a to b."})]
    figure = nbformat.v4.new_code_cell("plt.show()")
    figure.outputs = [nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>", "text/plain": "<Figure size 6x3 with 1 Axes>"})]
    run.describe(notebook(cell, figure))
    assert cell.metadata["mystnb"]["image"]["alt"] == "An arrow leads from a to b." and not figure.metadata


def test_a_bar_and_a_random_id_are_recognised():
    assert run.BAR.search(" 40%|████      | 4/10 [00:01<00:02,  2.9it/s]") and not run.BAR.search("accuracy 40%")
    assert run.RANDOM_ID.fullmatch("3f2a9c1e") and not run.RANDOM_ID.fullmatch("code-03")


def test_measures_are_rounded_up_in_words():
    assert run.in_words(31, 840) == "40 seconds, 0.9 GB"
    assert run.in_words(61, 1500) == "2 minutes, 1.5 GB"
