"""The reader's own table: split, or told plainly what is wrong with it."""

import warnings

import pytest
from conftest import everything

from lmtutor.data import tables
from lmtutor.errors import DataError


def csv_of(tmp_path, content, name="mine.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(n=10, labels=("good", "bad"), separator=","):
    return "".join(f"text number {i} of {label}{separator}{label}\n" for label in labels for i in range(n))


def refusal(source, **names):
    with pytest.raises(DataError) as caught:
        tables.load_csv(source, seed=0, **names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_is_split_and_labels_are_sorted(tmp_path):
    loaded = tables.load_csv(csv_of(tmp_path, "text,label\n" + rows()), seed=0)
    assert loaded.num_rows == {"train": 12, "validation": 4, "test": 4}
    assert loaded["train"].features["label"].names == ["bad", "good"]
    for row in loaded["test"]:
        assert row["text"].endswith(loaded["test"].features["label"].int2str(row["label"]))
    assert loaded["test"]["text"] == tables.load_csv(tmp_path / "mine.csv", seed=0)["test"]["text"]
    assert loaded["test"]["text"] != tables.load_csv(tmp_path / "mine.csv", seed=1)["test"]["text"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_byte_order_mark_and_line_ends_of_spreadsheets(tmp_path, separator):
    content = f"message{separator}topic\n{rows(separator=separator)}".replace("\n", "\r\n")
    loaded = tables.load_csv(
        csv_of(tmp_path, b"\xef\xbb\xbf" + content.encode()), text="message", label="topic", seed=0
    )
    assert sum(loaded.num_rows.values()) == 20


def test_quoted_texts_keep_their_commas_and_lines(tmp_path):
    path = csv_of(tmp_path, "text,label\n" + rows() + '"one, two\nthree",good\n')
    assert "one, two\nthree" in everything(tables.load_csv(path, seed=0), "text")


def test_dataframes_datasets_and_mappings_are_tables_too(tmp_path):
    import datasets
    import pandas

    mapping = {"text": [f"text {i}" for i in range(20)], "label": ["a", "b"] * 10}
    wanted = tables.load_csv(mapping, seed=0)["train"].to_dict()
    assert tables.load_csv(pandas.DataFrame(mapping), seed=0)["train"].to_dict() == wanted
    assert tables.load_csv(datasets.Dataset.from_dict(mapping), seed=0)["train"].to_dict() == wanted


def test_rows_without_text_or_label_and_repeated_texts_are_left_out_and_counted(tmp_path):
    path = csv_of(tmp_path, "text,label\n" + rows() + ",good\nno label,\nText  number 1 of GOOD!,bad\n")
    with pytest.warns(
        UserWarning, match="of 23 rows, left out 2 without text or label and 1 with a text that was there"
    ):
        loaded = tables.load_csv(path, seed=0)
    assert sum(loaded.num_rows.values()) == 20 and "text number 1 of good" in everything(loaded, "text")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables.load_csv(csv_of(tmp_path, "text,label\n" + rows()), seed=0)


def test_missing_and_wrong_columns(tmp_path):
    path = csv_of(tmp_path, "Text,category\n" + rows())
    assert refusal(path) == f"{path} has no column 'text'; it has 'Text', 'category': did you mean 'Text'?"
    assert refusal(path, text="Text") == (
        f"{path} has no column 'label'; it has 'Text', 'category': name the right one with text=... and label=..."
    )
    assert "text and label are both the column 'Text'" in refusal(path, text="Text", label="Text")
    assert (
        refusal({})
        == "the table has no column 'text'; it has none: name the right one with text=... and label=..."
    )
    numbered = {"text": list(range(20)), "label": ["a", "b"] * 10}
    assert (
        refusal(numbered)
        == "the column 'text' of the table holds numbers, not texts; name the column with the texts"
    )
    swapped = refusal({"text": ["a", "b"] * 15, "label": [f"text {i}" for i in range(30)]})
    assert "has one class" in swapped or "different texts" in swapped
    free = {"text": [f"text {i}" for i in range(60)], "label": [f"label {i}" for i in range(60)]}
    assert "has 60 classes for 60 texts; is it the column with the labels?" in refusal(free)


def test_empty_data(tmp_path):
    path = csv_of(tmp_path, "")
    assert refusal(path) == f"{path} is empty; the first line must name the columns"
    path = csv_of(tmp_path, "text,label\n")
    assert refusal(path) == f"{path} has no row with both 'text' and 'label'; give at least 5 a class"
    assert "has no row with both" in refusal({"text": [None, "a"], "label": ["b", float("nan")]})


def test_one_class_and_small_classes(tmp_path):
    path = csv_of(tmp_path, "text,label\n" + rows(labels=["good"]))
    assert refusal(path) == (
        f"the column 'label' of {path} has one class, 'good'; there is nothing to learn with fewer than two"
    )
    path = csv_of(tmp_path, "text,label\n" + rows() + rows(2, ["so-so"]) + rows(4, ["odd"]))
    assert refusal(path) == (
        f"class 'so-so' of {path} has 2 different texts, at least 5 are needed to train, choose and test; "
        "add some, or leave out or merge the classes that are too small (2)"
    )
    fewest = tables.load_csv(csv_of(tmp_path, "text,label\n" + rows(tables.FEWEST)), seed=0)
    assert all(set(split["label"]) == {0, 1} for split in fewest.values()), (
        "five are enough for one in each split"
    )


def test_files_that_are_none(tmp_path):
    assert (
        refusal(tmp_path / "none.csv")
        == f"there is no file {tmp_path / 'none.csv'}; give the path of a CSV file with a header"
    )
    path = csv_of(tmp_path, "text,label\ncaf\xe9,good\n".encode("latin-1"))
    assert refusal(path) == f"{path} is not UTF-8 text; save it as CSV in UTF-8 (a spreadsheet offers that)"
    path = csv_of(tmp_path, 'text,label\n"no end,good\n')
    assert refusal(path).startswith(f"{path} cannot be read as CSV after line 1 (")
    path = csv_of(tmp_path, "text,label\nwell, this has a comma,good\n")
    assert refusal(path) == f"row 1 of {path} has more fields than the header; put quotes around texts with ','"
    assert refusal(42) == "cannot read data of type int; give a CSV file's path, a DataFrame, or a Dataset"
    assert "columns differ in length" in refusal({"text": ["a"], "label": []})
