"""The reader's own table: read as it is, or told plainly what is wrong with it."""

import json
import time

import pytest

from lmtutor.data import tables
from lmtutor.errors import DataError


def rows(n=10, labels=("good", "bad"), separator=","):
    return "".join(f"text number {i} of {label}{separator}{label}\n" for label in labels for i in range(n))


GOOD = "text,label\n" + rows()


@pytest.fixture
def write(tmp_path):
    def write(content, name="mine.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path
    return write


def refusal(source, **names):
    begin = time.perf_counter()
    with pytest.raises(DataError) as caught:
        tables.read_table(source, **names)
    assert "\n" not in str(caught.value) and time.perf_counter() - begin < 5
    return str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_line_ends_of_spreadsheets(write, separator):
    content = f"message{separator}topic\n{rows(separator=separator)}".replace("\n", "\r\n")
    table = tables.read_table(write(content), text="message", label="topic")
    assert len(table) == 20 and table.texts[0] == "text number 0 of good" and table.labels[-1] == "bad" and not table.notes


def test_the_separator_is_that_under_which_the_columns_are_there(write):
    assert len(tables.read_table(write("text;a,b,c,d;label\n" + "one;1,2,3,4;x\ntwo;1,2,3,4;y\n"))) == 2


@pytest.mark.parametrize(("encoding", "noted"), [("utf-8", False), ("utf-8-sig", False), ("utf-16", False), ("cp1252", True)])
def test_encodings(write, encoding, noted):
    table = tables.read_table(write((GOOD + "caf\u00e9 cr\u00e8me,good\n").encode(encoding)))
    assert table.texts[-1] == "caf\u00e9 cr\u00e8me" and bool(table.notes) == noted
    assert not noted or "is not UTF-8 and was read as Windows-1252" in table.notes[0]


def test_cells_are_what_they_say(write):
    said = ["NA", "nan", "null", "None", "007", "1.0", "one, two\nthree", "\U0001f600", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
            "<script>alert(1)</script>", "=1+1", 'a "quoted" word', "C++", "C#", "\u4f60\u597d"]
    lines = "".join(f'"{text.replace(chr(34), 2 * chr(34))}","{i % 2}"\n' for i, text in enumerate(said))
    table = tables.read_table(write("text,label\n" + lines))
    assert list(table.texts) == said and set(table.labels) == {"0", "1"}


def test_a_long_text_is_read_whole(write):
    long = "word " * 200_000
    assert tables.read_table(write(GOOD + f"{long},good\n")).texts[-1] == long.strip()


def test_every_kind_of_source_gives_the_same_table(write, tmp_path):
    import datasets
    import pandas

    mapping = {"text": [f"text {i}" for i in range(20)], "label": ["a", "b"] * 10, "who": [f"w{i // 2}" for i in range(20)]}
    frame, data = pandas.DataFrame(mapping), datasets.Dataset.from_dict(mapping)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    write("".join(json.dumps(dict(zip(mapping, row, strict=True))) + "\n" for row in zip(*mapping.values(), strict=True)), "t.jsonl")
    data.save_to_disk(tmp_path / "folder")
    datasets.DatasetDict(train=data, test=data).save_to_disk(tmp_path / "splits")
    found = {source if isinstance(source, str) else type(source).__name__: tables.read_table(
        tmp_path / source if isinstance(source, str) else source, group="who")
        for source in (mapping, frame, data, "t.csv", "t.parquet", "t.jsonl", "folder", "splits")}
    for name, table in found.items():
        assert (list(table.texts), list(table.labels), list(table.groups)) == tuple(mapping.values()), name
    assert found["splits"].notes == ("of the splits 'train', 'test' 'train' is read; this command draws its own test items",)


def test_a_class_that_is_stored_as_a_number_is_read_by_its_name():
    import datasets

    data = datasets.Dataset.from_dict({"text": list("abcd"), "label": ["x", "y"] * 2}).cast_column("label", datasets.ClassLabel(names=["x", "y"]))
    assert tables.read_table(data).labels == ("x", "y", "x", "y")


def test_rows_without_text_or_label_are_left_out_and_counted(write):
    table = tables.read_table(write(GOOD + ",good\nno label,\n  , \nshort row\n"))
    assert len(table) == 20 and table.n_rows == 24 and table.notes == ("4 of 24 rows have no text or no label and are left out",)
    missing = tables.read_table({"text": ["a", None, float("nan"), "d"], "label": ["x", "y", "y", "y"]})
    assert missing.texts == ("a", "d")


def test_a_long_table_is_drawn_from_evenly(write):
    path = write("text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(5000)))
    drawn = tables.read_table(path, limit=500, seed=1)
    assert len(drawn) == 500 == len(set(drawn.texts)) and drawn.n_rows == 5000
    assert drawn.notes == ("of 5,000 rows 500 were drawn (seed 1); only these are looked at",)
    assert drawn == tables.read_table(path, limit=500, seed=1) != tables.read_table(path, limit=500, seed=2)
    first = sum(int(text.split()[1]) < 2500 for text in drawn.texts)
    assert abs(first - 250) < 45, "four standard deviations"


def test_labels_that_are_most_likely_one_are_named(write):
    table = tables.read_table(write(GOOD + "one more,Good\nand one,good \n"))
    assert table.notes == ("the labels 'Good', 'good' differ by case or blanks alone; they count as different labels",)


BAD = {  # name: (content, what is said)
    "empty": ("", "is empty; the first line names the columns"),
    "header only": ("text,label\n", "has no row with both 'text' and 'label'; give it some"),
    "blank texts": ("text,label\n" + " ,good\n ,bad\n", "has no row with both 'text' and 'label' among 2"),
    "an image": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "holds NUL bytes, so it is no text"),
    "NUL bytes": (GOOD + "a\0b,good\n", "holds NUL bytes, so it is no text"),
    "no such column": ("Text,category\n" + rows(), "has no column 'text'; it has 'Text', 'category': did you mean 'Text'?"),
    "numbers for texts": ("text,label\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(9)), "holds numbers, not texts"),
    "one label": ("text,label\n" + rows(labels=["good"]), "has one label, 'good'; a choice needs two at least"),
    "a label a text": ("text,label\n" + "".join(f"text {i},label {i}\n" for i in range(60)), "has 60 labels for 60 texts; is it"),
    "a comma without quotes": (GOOD + "well, this has a comma,good\n", "line 22 of {path} has 3 fields, the header 2; put quotes"),
    "a quote that never ends": (GOOD + '"no end,good\n', "cannot be read as CSV after line 2"),
    "two columns of a name": ("text,label,text\n" + "a,b,c\n", "has 2 columns 'text'; give them different names"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused_in_one_line_and_quickly(write, name):
    content, message = BAD[name]
    path = write(content)
    assert message.format(path=path) in refusal(path)


def test_files_that_are_none(write, tmp_path):
    write(GOOD, "reviews.csv")
    assert refusal(tmp_path / "review.csv") == f"there is no file {tmp_path / 'review.csv'}; did you mean 'reviews.csv'?"
    assert "there is no file" in refusal(tmp_path / "nowhere" / "x.csv")
    (tmp_path / "bare").mkdir()
    assert "holds no data set" in refusal(tmp_path / "bare")
    assert "cannot be read as Parquet" in refusal(write(b"PAR1 and nothing more", "t.parquet"))
    assert "line 2 of" in refusal(write('{"text": "a", "label": "b"}\n{"text": \n', "t.jsonl"))
    assert "write one object a line" in refusal(write("[1, 2]\n", "u.jsonl"))
    assert "has no column 'label'; it has 'text', 'Labels': did you mean 'Labels'?" in refusal(write('{"text": "a", "Labels": "b"}\n', "v.jsonl"))


def test_columns_are_named_once_and_are_equally_long():
    assert "one column of the table is named twice: 'a', 'a'" in refusal({"a": ["x"]}, text="a", label="a")
    assert "differ in length" in refusal({"text": ["x"], "label": ["a", "b"]})
    assert "cannot read data of type int" in refusal(7)
    assert "limit is 0" in refusal({"text": ["x"], "label": ["a"]}, limit=0)
