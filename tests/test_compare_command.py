"""`lmtutor compare` and `lmtutor predict` as a user gives them: what is wrong with a table is one line, and nothing is left half-written."""

import csv
import io
import json
import os
import sys
import time

import numpy as np
import pytest
from test_own import WORDS, table

from lmtutor.cli.commands import main
from lmtutor.compare import run as runs

FREE = ("--ways", "majority,words", "--labels", "8,32", "--text", "what", "--label", "kind")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Give a command line in an empty folder; get its exit code, standard output and standard error."""
    monkeypatch.setenv("LMTUTOR_QUIET", "1")
    monkeypatch.setenv("LMTUTOR_THREADS", "2")
    monkeypatch.chdir(tmp_path)

    def given(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["lmtutor", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return given


def as_csv(rows=None, path="data.csv", encoding="utf-8", **form):
    rows = rows or table()
    with open(path, "w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, **form)
        writer.writerow(rows)
        writer.writerows(zip(*rows.values(), strict=True))
    return path


def changed(**columns):
    rows = table()
    for name, change in columns.items():
        rows[name] = [change(value, i) for i, value in enumerate(rows[name])]
    return rows


def test_a_comparison_from_a_file_to_answers(call, tmp_path):
    code, out, err = call("compare", as_csv(), *FREE, "--out", "found")
    assert code == 0 and out.startswith("Take words") and "plan: about" in err
    assert "use it: lmtutor predict found < texts" in out
    report = json.loads((tmp_path / "found/report.json").read_text())
    assert report["recommendation"]["way"] == "words" and report["kept"]["way"] == "words"
    code, out, _ = call("predict", "found", stdin="sail the deck w1\n\npan and oven\n")
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith("ship\t") and not lines[1] and lines[2].startswith("cook\t") and float(lines[0].split("\t")[1]) > 0.4
    code, out, _ = call("predict", "found", "--json", stdin='"stack and\\nmerge"\n')
    told = json.loads(out)
    assert told["label"] == "code" and sum(told["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    said = (tmp_path / "found/kept/README.md").read_text()
    assert 'load("found/kept")' in said and not list((tmp_path / "found").rglob("*.pkl"))


def test_the_readme_of_what_is_kept_runs(call, tmp_path, capsys):
    call("compare", as_csv(), *FREE, "--out", "found")
    code = (tmp_path / "found/kept/README.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code.replace("a text of yours", "sail the deck"), {})
    assert "['ship']" in capsys.readouterr().out


REFUSED = [  # what is written to the file (or made there), further options, what is said
    (None, (), "there is no file"),
    (b"", (), "is empty; the first line names the columns"),
    (b"what,kind\n", (), "has no row with both"),
    (b"what,kind\n\0\0,ship\n", (), "holds NUL bytes, so it is no text"),
    (b"what,kinds\nx,y\n", (), "has no column 'kind'; it has 'what', 'kinds': did you mean 'kinds'?"),
    (b"what,kind\n1,a\n2,b\n", (), "holds numbers, not texts"),
    (b"what,kind\n , a\n\t,b\n", (), "has no row with both"),
    (lambda: as_csv(changed(kind=lambda value, i: "ship")), (), "has one label, 'ship'; a choice needs two"),
    (lambda: as_csv(changed(kind=lambda value, i: f"{value} {i}")), (), "has 300 labels for 300 texts; is it the column with the labels?"),
    (lambda: as_csv(changed(what=lambda value, i: "the same text")), (), "has 0 label left once texts that are there twice are left out"),
    (lambda: as_csv(table(40)), (), "has 40 different texts with one label; 60 are needed"),
    (b'what,kind\n"a,b\n', (), "check its quotes"),
    (as_csv, ("--labels", "8;32"), "--labels is '8;32'; give numbers such as 8,32,128,512"),
    (as_csv, ("--metric", "f2"), "no metric is called 'f2'; choose from macro-f1, accuracy, average-precision"),
    (as_csv, ("--ways", "wurds"), "no way is called 'wurds'; choose from majority, words"),
    (as_csv, ("--minutes", "0"), "minutes is 0; give a number above 0"),
    (as_csv, ("--out", "data.csv"), "is a file; give a folder with --out"),
    (as_csv, ("--out", "."), "holds other files; give an empty or a new folder"),
    (as_csv, ("--group", "who"), "has no column 'who'"),
    (as_csv, ("--prices", "data.csv"), "cannot be read as JSON"),
    (as_csv, ("--model", "openai:x", "--base-url", "somewhere"), "is no address; give one such as http://localhost:11434/v1"),
]


@pytest.mark.parametrize(("content", "options", "said"), REFUSED, ids=[said[:40] for _, _, said in REFUSED])
def test_what_is_refused_is_one_line_and_leaves_nothing(call, tmp_path, content, options, said):
    if isinstance(content, bytes):
        (tmp_path / "data.csv").write_bytes(content)
    elif content:
        content()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    begin = time.perf_counter()
    code, out, err = call("compare", "data.csv", *FREE, *options)
    assert code == 2 and not out and err.startswith("error: ") and err.count("\n") == 1 and said in err
    assert time.perf_counter() - begin < 5 and {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


READ = [  # what is written, further options, a note that is given (or none)
    (lambda: as_csv(delimiter=";"), (), None),
    (lambda: as_csv(delimiter="\t", path="data.tsv"), (), None),
    (lambda: as_csv(encoding="utf-8-sig"), (), None),
    (lambda: as_csv(changed(what=lambda value, i: f"caf\u00e9 {value}"), encoding="latin-1"), (), "is not UTF-8 and was read as Windows-1252"),
    (lambda: as_csv(changed(what=lambda value, i: value.replace(" ", '\n"', 1))), (), None),
    (lambda: as_csv(changed(kind=lambda value, i: {"ship": 1, "cook": 2, "code": 3}[value])), (), None),
    (lambda: as_csv(changed(kind=lambda value, i: "one of a kind" if i == 7 else value)), (), "1 labels have one text each"),
    (lambda: as_csv(changed(kind=lambda value, i: f"{value}, \u201cvery\u201d & = <b>")), (), None),
    (lambda: as_csv(changed(what=lambda value, i: f"\U0001f600\U0001f600 \u05e9\u05dc\u05d5\u05dd {value} \u0645\u0631\u062d\u0628\u0627")), (), None),
    (lambda: as_csv(changed(what=lambda value, i: value if i % 3 else "NA" + value, kind=lambda value, i: "NA" if value == "ship" else value)), (), None),
    (lambda: as_csv(changed(what=lambda value, i: value if i else value + " word" * 20_000)), (), None),
    (lambda: as_csv(changed(what=lambda value, i: "" if i % 10 == 0 else value)), (), "30 of 300 rows have no text or no label and are left out"),
    (lambda: as_csv(changed(kind=lambda value, i: value if i % 25 == 0 else "none")), (), "look at macro-F1"),
    (lambda: as_csv(table() | {"who": [str(i // 5) for i in range(300)]}), ("--group", "who"), None),
]


@pytest.mark.parametrize(("make", "options", "note"), READ, ids=range(len(READ)))
def test_what_is_odd_is_read_and_counted(call, make, options, note):
    code, out, err = call("compare", make(), *FREE, *options, "--labels", "8", "--out", "found")
    assert code in (0, 1) and "macro-f1" in out and (note is None or note in out + err)


def test_a_language_without_blanks(call):
    signs = {"ship": "\u8239\u5e06\u6d77", "cook": "\u9505\u76d0\u7089", "code": "\u7c7b\u73af\u7801"}
    rows = table()
    generator = np.random.default_rng(0)
    rows["what"] = ["".join(generator.permutation([signs[kind][i % 3], signs[kind][(i + 1) % 3], *map(chr, generator.integers(0x4E00, 0x5E00, 6))])) for i, kind in enumerate(rows["kind"])]
    code, _, _ = call("compare", as_csv(rows), *FREE, "--labels", "128", "--out", "found")
    report = json.loads(open("found/report.json").read())
    assert code == 0 and next(row["estimate"] for row in report["ways"] if row["name"] == "words") > 0.6


def test_nothing_that_is_good_enough_ends_with_1(call):
    generator = np.random.default_rng(1)
    code, out, _ = call("compare", as_csv(changed(kind=lambda value, i: generator.choice(list(WORDS)))), *FREE, "--out", "found", "--metric", "accuracy")
    assert code == 1 and out.startswith("None of these is good enough") and not os.path.exists("found/kept")


def test_a_folder_that_cannot_be_written_to(call, tmp_path, monkeypatch):
    as_csv()
    real = runs.write

    def refused(path, content):
        if "found" in str(path):
            from lmtutor.errors import ConfigError
            raise ConfigError(f"{path} cannot be written (Permission denied); give a folder that can, with --out")
        real(path, content)

    monkeypatch.setattr(runs, "write", refused)
    code, out, err = call("compare", "data.csv", *FREE, "--out", "found")
    assert code == 2 and err.splitlines()[-1].startswith("error: found/plan.json cannot be written") and not out


def test_an_interrupt_says_what_is_kept(call, monkeypatch):
    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "run_cell", stops)
    code, _, err = call("compare", as_csv(), *FREE, "--out", "found")
    assert code == 130 and "interrupted: what is finished is kept in found; give the same command again to go on" in err


def test_predicting_from_nothing(call, tmp_path):
    assert "holds no kept way" in call("predict", tmp_path)[2]
    call("compare", as_csv(), *FREE, "--out", "found")
    assert "there is no text on the standard input" in call("predict", "found", stdin="\n")[2]
    (tmp_path / "found/kept/weights.safetensors").write_bytes(b"broken")
    assert "cannot be read" in call("predict", "found", stdin="x\n")[2]
