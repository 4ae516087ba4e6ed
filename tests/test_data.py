"""The built-in sets: nothing twice, nothing across splits, as their cards say."""

import html
import itertools
import re
import subprocess
import sys
from collections import Counter

import pytest
from conftest import everything

from lmtutor.data import assets, bbc, cards, dialogues, reviews, texts
from lmtutor.errors import ConfigError

pytestmark = pytest.mark.long

LOADERS = {"bbc": bbc.load_bbc, "reviews": reviews.load_reviews, "dialogues": dialogues.load_dialogues}


@pytest.fixture(scope="module")
def sets():
    return {name: load() for name, load in LOADERS.items()}


# --- cards ---


@pytest.mark.parametrize("name", LOADERS)
def test_the_card_tells_the_true_sizes(sets, name):
    assert sets[name].num_rows == cards.card(name).splits
    assert list(sets[name]) == ["train", "validation", "test"]


def test_the_cards_other_numbers_are_true(sets):
    files = sorted(assets.fetch(assets.BBC).rglob("*.txt"), key=lambda path: path.as_posix())
    articles = [bbc._read(path.read_bytes(), topic=path.parent.name) for path in files]
    different = {texts.normalise(f"{article['title']} {article['text']}") for article in articles}
    left = sum(sets["bbc"].num_rows.values())
    assert cards.card("bbc").sizes == {
        "files": len(files),
        "exact copies left out": len(files) - len(different),
        "rewritten articles left out": len(different) - left,
    }
    left = sum(sets["reviews"].num_rows.values())
    sizes = cards.card("reviews").sizes
    assert sizes["reviews"] - sizes["repeated reviews left out"] == left
    categories = Counter(everything(sets["dialogues"], "category"))
    assert cards.card("dialogues").sizes == {
        "categories": len(categories), "pairs of tech support": categories["tech_support"],
    }  # fmt: skip
    ratings = Counter(everything(sets["reviews"], "label"))
    assert abs(ratings[reviews.RATINGS.index("positive")] / left - 2 / 3) < 0.04, "two in three are positive"


def test_cards_need_neither_torch_nor_datasets():
    script = (
        "import sys; from lmtutor.data import cards; print(cards.markdown())\n"
        "assert not {'torch', 'datasets', 'transformers', 'numpy'} & set(sys.modules)"
    )
    page = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    for name, card in cards.CARDS.items():
        assert (
            f"(card-{name})=" in page
            and card.sha256 in page
            and card.licence in page
            and card.not_allowed in page
        )
        assert all(line in page for line in (*card.notes, *card.flaws))
    assert "train 1,232" in page


def test_every_asset_has_a_card_with_its_hash():
    assert {name: cards.CARDS[name].sha256 for name in assets.ASSETS} == {
        name: asset.sha256 for name, asset in assets.ASSETS.items()
    }


def test_a_model_that_is_not_downloaded_says_whose_file_it_was_and_how_to_repeat_it():
    card = cards.card("gemma3")
    page = card.markdown()
    assert "gemma3" not in assets.ASSETS and "wheel" not in page and "not checked against" in page
    assert "`lmtutor record NAME --model google/gemma-3-270m --out FOLDER`" in page and "| Comes in | a file of your own; ours was" in page


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_the_models_are_of_one_size_outside_the_embedding(name):
    """From the shapes that their makers publish: layers, width, heads, heads of keys, size of a head, MLP, norms' weights in a layer."""
    layers, width, heads, kv, head, mlp, norms = {"smollm2": (30, 576, 9, 3, 64, 1536, 2 * 576),
                                                  "gemma3": (18, 640, 4, 1, 256, 2048, 4 * 640 + 2 * 256)}[name]
    inside = layers * (2 * width * head * (heads + kv) + 3 * width * mlp + norms) + width
    sizes = cards.card(name).sizes
    assert sizes["layers"] == layers and sizes["parameters outside the embedding"] == inside
    assert sizes["parameters"] == inside + width * sizes["words of vocabulary"]


def test_unknown_card():
    with pytest.raises(
        ConfigError, match=r"^no card is called 'bcc'; there are smollm2, gemma3, minilm, bbc, reviews, dialogues"
    ):
        cards.card("bcc")


def test_the_card_of_the_short_tasks_is_had_by_its_name_too():
    from lmtutor.data import shorttasks

    made = cards.card("shorttasks")
    assert made.sizes == {
        f"items in {name}": sum(map(len, shorttasks.split(name).values())) for name in shorttasks.TASKS
    }


# --- built-in sets ---


@pytest.mark.parametrize(("name", "key"), [("bbc", "text"), ("reviews", "text"), ("dialogues", "question")])
def test_no_text_is_in_two_splits(sets, name, key):
    seen = {split: set(map(texts.normalise, rows[key])) for split, rows in sets[name].items()}
    for one, other in itertools.combinations(seen, 2):
        assert not seen[one] & seen[other], f"{one} and {other} share a {key}"


def test_no_article_shares_half_its_sentences_with_another(sets):
    full = [f"{row['title']}\n{row['text']}" for split in sets["bbc"].values() for row in split]
    assert texts.unrepeated(full) == list(range(len(full)))


@pytest.mark.parametrize("name", ["bbc", "reviews"])
def test_each_label_has_its_share_of_every_split(sets, name):
    total = Counter(everything(sets[name], "label"))
    for split, rows in sets[name].items():
        for label, n in Counter(rows["label"]).items():
            assert abs(n / len(rows) - total[label] / total.total()) < 0.02, (split, label)


def test_rows_come_in_no_order_of_label(sets):
    """A reader who takes the first hundred must get all labels; the chance of fewer than 10 of one is under 1e-3."""
    assert min(Counter(sets["bbc"]["train"]["label"][:100]).values()) >= 10


def test_articles_are_read_whole(sets):
    assert sets["bbc"]["train"].features["label"].names == [
        "business",
        "entertainment",
        "politics",
        "sport",
        "tech",
    ]
    assert all(everything(sets["bbc"], "title")) and min(map(len, everything(sets["bbc"], "text"))) > 100
    mutu = [text for text in everything(sets["bbc"], "text") if "transfer fee for Mutu" in text]
    assert "a £15.8m sign" in mutu[0], "the one file in Latin-1"
    assert not any("\ufffd" in text for text in everything(sets["bbc"], "text"))


def test_reviews_read_as_a_person_reads_them(sets):
    words = everything(sets["reviews"], "text")
    assert not [
        text
        for text in words
        if html.unescape(text) != text or text.startswith('"') or re.search(r"\s\s", text)
    ]
    assert not [name for name in everything(sets["reviews"], "condition") if "<" in name]
    assert sets["reviews"]["train"].features["label"].names == ["negative", "neutral", "positive"]


def test_the_reviews_own_test_part_stays_the_test_part(sets):
    import zipfile

    with zipfile.ZipFile(assets.fetch(assets.REVIEWS)) as archive:
        raw = texts.normalise(html.unescape(archive.read("drugsComTest.tsv").decode()))
    assert all(texts.normalise(text) in raw for text in sets["reviews"]["test"]["text"])


def test_dialogues_hold_each_pair_once(sets):
    pairs = list(
        zip(everything(sets["dialogues"], "question"), everything(sets["dialogues"], "answer"), strict=True)
    )
    assert len({(texts.normalise(a), texts.normalise(b)) for a, b in pairs}) == len(pairs)
    assert all(len(a) > 1 and len(b) > 0 for a, b in pairs)


@pytest.mark.parametrize("name", LOADERS)
def test_loading_twice_gives_the_same_rows_and_leaves_random_state_alone(sets, name):
    import random

    state = random.getstate()
    again = LOADERS[name]()
    assert {split: rows.to_dict() for split, rows in again.items()} == {
        split: rows.to_dict() for split, rows in sets[name].items()
    }
    assert random.getstate() == state


def test_splits_are_those_of_every_other_machine(sets):
    """Written down once: no version of anything may move a row."""
    assert sets["bbc"]["train"]["title"][:2] == [
        "Swap offer for pirated Windows XP",
        "US economy shows solid GDP growth",
    ]
    assert sets["dialogues"]["test"]["question"][0] == "do you know about the american civil war"


# --- what they are made with ---


def test_unrepeated_keeps_the_first_of_equal_and_of_rewritten_texts():
    one, two, three, four = (
        f"The {word} sentence has a good many words in it." for word in "first second third fourth".split()
    )
    assert texts.unrepeated(["A b.", "a  B!", "c"]) == [0, 2]
    assert texts.unrepeated([f"{one} {two}", f"{one} {three}"]) == [0], "half its sentences"
    assert texts.unrepeated(
        [f"{one} {two} {three}", f"{one} {four} More words that nobody else has ever put here."]
    ) == [0, 1]
    assert texts.unrepeated(
        ["It worked well for me. Bad taste though.", "It worked well for me. No side effects."]
    ) == [0, 1]
    assert texts.unrepeated([]) == []


def test_split_by_hash_is_exact_stratified_grouped_and_reproducible():
    keys = [f"text {i % 90}" for i in range(100)]  # ten of them twice
    labels = ["a" if i % 90 < 60 else "b" for i in range(100)]
    fractions = {"train": 0.6, "validation": 0.2, "test": 0.2}
    splits = texts.split_by_hash(keys, labels, fractions, seed=1)
    assert sorted(itertools.chain(*splits.values())) == list(range(100))
    for label, sizes in {"a": (36, 12, 12), "b": (18, 6, 6)}.items():
        assert tuple(len({keys[i] for i in rows if labels[i] == label}) for rows in splits.values()) == sizes
    homes = {key: {split for split, rows in splits.items() for i in rows if keys[i] == key} for key in keys}
    assert all(len(home) == 1 for home in homes.values())
    assert (
        splits
        == texts.split_by_hash(keys, labels, fractions, seed=1)
        != texts.split_by_hash(keys, labels, fractions, seed=2)
    )
    reordered = texts.split_by_hash(keys[::-1], labels[::-1], fractions, seed=1)
    assert {keys[i] for i in splits["test"]} == {keys[::-1][i] for i in reordered["test"]}


def test_an_answer_holds_whole_words():
    assert texts.holds("It is Paris, of course.", "paris") and not texts.holds("Parisian", "Paris")


def test_questions_are_held_out_and_each_is_asked_once():
    rows = dialogues.held_out_questions()
    assert len({row["question"] for row in rows}) == len(rows) >= 120
    assert not any(row["category"] == "coding" for row in rows)
