"""The sentences of the chapter on tokens: four languages, one meaning a line, none twice."""

from lmtutor.data import parallel


def test_each_language_has_fifty_different_sentences():
    sentences = parallel.read()
    assert list(sentences) == ["english", "german", "french", "russian"]
    for lines in sentences.values():
        assert len(lines) == len(set(lines)) == 50
        assert all(line == line.strip() and line.endswith(".") and "  " not in line for line in lines)


def test_a_sentence_is_written_in_the_script_of_its_language():
    sentences = parallel.read()
    assert all(line.isascii() for line in sentences["english"])
    for language in ("german", "french"):
        assert not any("\u0400" <= letter <= "\u04ff" for line in sentences[language] for letter in line)
    letters = [letter for line in sentences["russian"] for letter in line if letter.isalpha()]
    assert all("\u0400" <= letter <= "\u04ff" for letter in letters)


def test_no_translation_is_left_in_english_or_out_of_proportion():
    for others in zip(*parallel.read().values(), strict=True):
        assert len(set(others)) == 4
        assert max(map(len, others)) < 2 * min(map(len, others))
