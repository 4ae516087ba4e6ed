"""The report as a page: every part is there for each kind of report, nothing in it can run, letters do not lie over one another."""

import copy
import math
import re
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from conftest import barriers, needs_axe, needs_browser

from lmtutor.compare import figures
from lmtutor.compare.page import WAYS, body, page
from lmtutor.compare.run import NAMES

BAD = "<script>alert(1)</script>"
HOSTILE = [BAD, "\"quoted\" & 'single' --> ]]> </style></svg>", "<img src=http://example.com/x onerror=alert(1)>",
           "\U0001f600\u200d\U0001f525 emoji",
           "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd", "\u202eright to left", "wordwithoutend" * 30, "a\x00b\ud800c",
           "javascript:alert(1)", "{label}"]
PARTS = ["More labels, better answers?", "The ways side by side", "What it costs", "What would change this", "Know before you believe it",
         "Texts worth looking at", "What was not run, and on what this rests", "Use it, and run it again", "What this does not show"]
LEVELS = {"majority": 0.08, "words": 0.9, "vectors": 0.91, "encoder": 0.95, "label-names": 0.76, "zero-shot, raw": 0.6, "zero-shot": 0.82,
          "few-shot, raw": 0.58, "few-shot": 0.74, "few-shot, nearest": 0.88, "probe": 0.91, "lora": 0.93}


def row(name, labels, estimate, half=0.03, *, metric="macro-f1", price=None, unparsed=None):
    top = math.inf if metric == "cost" else 1
    return {"name": name, "labels": labels, "metric": metric, "estimate": estimate, "low": estimate - half,
            "high": min(top, estimate + half), "draws": 3 if labels else 1,
            "items": 500, "setting": {"C": 10.0} if labels else {}, "train_seconds": 0.013 * labels, "train_flops": 3.1e9 * labels,
            "query_ms": 0.0 if name == "majority" else 2.5,
            "query_flops": 5.9e9, "query_tokens": 250.7, "stored_bytes": 5243680.0, "price_labels": 0.1 * labels, "price_once": 0.0002,
            "price_per_1000": (0.0 if name == "majority" else 7e-5 * (1 + sum(map(ord, name)) % 50)) if price is None else price,
            "unparsed": unparsed}


def report(levels=LEVELS, budgets=(8, 32, 128, 512), *, metric="macro-f1", decision="take", taken="encoder",
           labels=("sport", "politics", "tech"), more=720, **changed):
    """A report as report.py documents it, by hand."""
    ways = []
    for name, best in levels.items():
        for n in (0,) if name.startswith(("label", "zero")) else budgets:
            rise = 0.3 * (1 - math.log(n + 1) / math.log(max(budgets) + 1)) if n and name != "majority" else 0
            ways.append(row(name, n, best - rise, metric=metric))
    taken = None if decision == "none" else taken
    content = {
        "schema": "lmtutor-compare-1", "made": "2026-11-29T20:44:41+00:00", "lmtutor": "0.1.0", "seconds": 155.4, "peak_memory_mb": 1988,
        "settings": {"text": "body", "label": "topic", "group": None, "labels": list(budgets), "seeds": 3, "metric": metric, "least": 2.0,
                     "model": "smollm2", "encoder": "minilm",
                     "words": 60, "asked": None, "queries": 100000, "minutes": 10, "seed": 0},
        "machine": {"cpu": "AMD EPYC", "cores": 2, "threads": 2, "memory_gb": 25.3, "bf16": True, "system": "Linux", "python": "3.11.7",
                    "torch": "2.13.0", "transformers": None},
        "prices": {"label": 0.1, "machine_hour": 0.1, "read": 0.1, "cached": 0.01, "written": 0.5, "currency": "$", "date": "2026-09"},
        "data": {"where": "data/tickets.csv", "rows": 12402, "texts": 12052, "asked": 500, "pool": 11452,
                 "labels": {name: 900 - i for i, name in enumerate(labels)}},
        "ways": ways, "not_run": [{"way": "lora", "labels": 512, "why": "takes about 772 s more than --minutes leaves", "seconds": 772.0},
                                  {"way": "endpoint", "labels": None, "why": "get it with `lmtutor fetch smollm2`", "seconds": None}],
        "more_labels": [{"name": "encoder", "labels": 512, "more": more_, "gain": gain, "low": 0.001, "high": 0.0212}
                        for more_, gain in ((512, 0.0091), (1536, 0.0146))],
        "break_even": [{"cheaper_to_ask": "words", "cheaper_to_train": "encoder", "queries": 12345}],
        "look_at": [{"kind": "label?", "text": f"a doubtful text {i}", "label": labels[0],
                     "answers": {"words": labels[1], "encoder": labels[1]}, "sure": 0.9} for i in range(9)]
        + [{"kind": "error", "text": f"an error {i}", "label": labels[1], "answers": {"encoder": labels[0]},
            "sure": 0.8} for i in range(3)],
        "confused": [{"label": labels[0], "answered": labels[1], "texts": 4.3, "of": 123}],
        "recommendation": {"decision": decision, "way": taken, "labels": max(budgets) if taken else None,
                           "labels_more": more if decision == "undecided" else None,
                           "open": ["vectors"] if decision == "undecided" else [],
                           "reasons": ["The highest number is that of encoder, 95.0, 87.0 (84.3 to 93.0) points above the commonest label.",
                                       "Cheaper, and clearly more than 2.0 points of macro-F1 behind: words."],
                           "would_change": ["If differences below 5 hundredths did not matter: take vectors.",
                                            "With 100,000,000 queries rather than 100,000: take words."]},
        "warnings": [{"kind": "long", "text": "the encoder reads about the first 190 words of a text; 443 of 500 texts asked are longer",
                      "examples": []},
                     {"kind": "conflict", "text": "2 texts stand there with different labels; they were left out",
                      "examples": ["help (sport / tech)", "hi (sport / tech)"]}],
    }
    return content | changed


def hostile():
    labels = [*HOSTILE, *(f"label {i}" for i in range(67))]
    content = report(labels=labels, decision="undecided")
    content["data"]["where"] = f"folder/{HOSTILE[1]}"
    content["look_at"] = [{"kind": kind, "text": said * (1 + (kind == "error")), "label": said, "answers": {"words": BAD, "encoder": said},
                           "sure": 1.0}
                          for said in HOSTILE for kind in ("label?", "error")]
    content["confused"] = [{"label": said, "answered": BAD, "texts": 1.0, "of": 3} for said in HOSTILE]
    content["warnings"] = [{"kind": kind, "text": said, "examples": HOSTILE}
                           for kind, said in zip(("rare", "new kind", "data"), HOSTILE, strict=False)]
    content["settings"] |= {"text": BAD, "label": HOSTILE[1], "model": BAD}
    content["machine"] |= {"cpu": BAD}
    content["prices"] |= {"currency": "<b>", "date": BAD}
    content["not_run"] = [{"way": BAD, "labels": 8, "why": HOSTILE[2], "seconds": 1}] * 9
    content["recommendation"] |= {"reasons": HOSTILE[:3], "would_change": HOSTILE[:3]}
    content["kept"] = {"folder": BAD, "way": BAD, "learned_from": 3, "bytes": 12}
    content["ways"] += [row(f"endpoint, {BAD}", 0, 0.8)]
    content["more_labels"] += [row_ | {"name": BAD} for row_ in content["more_labels"]]
    content["break_even"] += [{"cheaper_to_ask": BAD, "cheaper_to_train": BAD, "queries": 2}]
    return content


def unlabelled():
    return report({"label-names": 0.76, "zero-shot": 0.82, "zero-shot, raw": 0.8}, taken="zero-shot", more_labels=[], break_even=[]) | {
        "recommendation": {"decision": "take", "way": "zero-shot", "labels": 0, "labels_more": None, "reasons": ["a reason"],
                           "would_change": []}}


def hosted():
    content = report(LEVELS | {"endpoint, few-shot": 0.955}, decision="take", taken="endpoint")
    content["ways"] += [row("endpoint", 0, 0.96, price=0.0213, unparsed=7)]
    content["recommendation"]["labels"] = 0
    content["settings"]["model"] = "openai:small"
    return content


KINDS = {
    "take": report(), "undecided": report(decision="undecided"), "undecided for good": report(decision="undecided", more=None),
    "none": report(decision="none"), "hostile": hostile(),
    "kept": report(kept={"folder": "kept", "way": "encoder", "learned_from": 1652, "bytes": 9214}), "unlabelled": unlabelled(),
    "hosted": hosted(),
    "accuracy": report(metric="accuracy"), "average precision": report(metric="average-precision", labels=("yes", "no")),
    "cost": report({name: -8 * (1 - level) for name, level in LEVELS.items()}, metric="cost"),
    "one budget": report(budgets=(32,), more_labels=[]),
    "bare": report({"majority": 0.3, "words": 0.31}, taken="words", warnings=[], look_at=[], confused=[], not_run=[], more_labels=[],
                   break_even=[]),
    "one warning": report(warnings=[{"kind": "noise", "text": "9 texts", "examples": ["x"]}], look_at=[]),
    "only the commonest": report({"majority": 0.3}, decision="none", more_labels=[], look_at=[], confused=[], break_even=[]),
    "near": report({name: 0.9 + level / 1000 for name, level in LEVELS.items()}),
    "many budgets": report(budgets=(8, 10, 12, 16, 32, 64, 100, 128, 1000, 5000, 6000)),
    "old": {key: value for key, value in report().items() if key != "confused"},
}
for name, level in (("dear", 1234.5), ("free", 0.0)):
    KINDS[name] = report()
    for one in KINDS[name]["ways"]:
        one["price_per_1000"] *= level


@pytest.fixture(params=KINDS)
def content(request):
    return copy.deepcopy(KINDS[request.param])


def soup(made):
    return BeautifulSoup(made, "html.parser")


def written(value):
    """As a page can hold it."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", " ", str(value)).encode("utf-8", "replace").decode()


def test_every_part_is_there_and_the_verdict_comes_first(content):
    there = soup(page(content))
    heads = [one.text for one in there.select("h1, h2")]
    parts = PARTS if figures.charged(content) else [one for one in PARTS if one != "What it costs"]
    assert heads[2:] == parts and heads[0].split("/")[-1] in content["data"]["where"]
    told = content["recommendation"]
    said = {"take": f"Take {told['way']}", "undecided": f"Undecided: {told['way']} is highest, vectors may do", "none": "None of these is good enough"}
    assert heads[1].startswith(said[told["decision"]]) and there.title.text.endswith(heads[1])
    assert ("more texts" in heads[1]) == bool(told["labels_more"])
    assert there.html["lang"] == "en" and there.find("meta", attrs={"name": "viewport"})
    for section in there.select("section"):
        assert len(section.get_text(" ", strip=True)) > 60, section.h2.text


def test_nothing_in_it_runs_or_is_asked_for(content):
    for made in (page(content), body(content)):
        there = soup(made)
        assert not there.find("script")
        for one in there.find_all(True):
            assert not [name for name in one.attrs if name.startswith("on") or name in ("src", "href", "action", "style")], one
        assert not re.search(r"url\(|@import|https?://", "".join(style.text for style in there.select("style")))
        assert {one.name for one in there.find_all(True)} <= set(
            "html head meta title style body main header section h1 h2 h3 h4 p em b bdi small span sup dl div dt dd ul ol li table caption "
            "thead tbody tr th td figure figcaption svg path text desc details summary pre".split())
    policy = soup(page(content)).find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_every_text_of_the_report_stands_in_it_as_it_is():
    content = hostile()
    there = soup(page(content)).get_text("\n")
    for said in HOSTILE:
        assert there.count(written(said)) >= 5, said
    assert all(name in there for name in content["data"]["labels"] if name.startswith("label "))
    page(content).encode()


def test_a_cut_text_says_so_and_many_texts_are_folded_and_then_counted():
    content = report(look_at=[{"kind": "error", "text": f"{i} " + "x" * 298, "label": "a", "answers": {"encoder": "b"},
                               "sure": 1.0} for i in range(70)])
    there = soup(page(content))
    assert len(there.select("ol.lmc-texts > li")) == 50 and len(there.select("details ol > li")) == 44
    assert "20 more stand in look_at.csv" in there.text
    assert there.select_one(".lmc-said").text.endswith("x\u2026")


def test_the_numbers_are_those_of_the_report(content):
    there, metric = soup(page(content)), content["settings"]["metric"]
    lines = {line.b.text: [cell.text for cell in line.select("td")] for line in there.select_one("table").select("tbody tr")}
    most = {row["name"]: row for row in figures.at_most(content)}
    assert list(lines) == list(most)
    for name, (labels, level, training, ms, price, stored) in lines.items():
        row = most[name]
        scale = 1 if metric == "cost" else 100
        values = [float(one.replace("\u2212", "-").replace(",", "")) for one in re.findall("[\u2212\\d.,]+", level)]
        assert values == pytest.approx([scale * row[end] for end in ("estimate", "low", "high")], abs=0.51)
        assert int(labels.replace(",", "")) == row["labels"]
        assert values[0] == pytest.approx(scale * row["estimate"], abs=0.051)
        if row["price_per_1000"] >= 1e-5:
            assert float(re.sub("[^\\d.]", "", price)) == pytest.approx(row["price_per_1000"], rel=0.06)
        if ms[0] != "<":
            assert float(ms.replace(",", "")) == pytest.approx(row["query_ms"], rel=0.06)
    assert len(there.select("table")[1].select("tbody tr")) == len(content["ways"]) == len(there.select("table")[2].select("tbody tr"))
    taken = there.select(".lmc-taken")
    assert [line.b.text for line in taken] == [content["recommendation"]["way"]] * bool(content["recommendation"]["way"])


@pytest.mark.parametrize("value, said", [(0, "$0"), (1e-7, "&lt;\u00a0$0.000010"), (0.000072, "$0.000072"), (0.0123, "$0.012"),
                                         (4.2, "$4.20"), (12345.6, "$12,346")])
def test_money(value, said):
    assert figures.money(value, "$") == said and figures.money(0, "CHF") == "CHF\u00a00"


@pytest.mark.parametrize("value, said", [(0, "0"), (0.016, "16 ms"), (0.67, "0.7 s"), (9.96, "10 s"), (99.4, "99 s"), (320, "5 min"),
                                         (9000, "2 h 30 min")])
def test_seconds(value, said):
    assert figures.seconds(value) == said


def test_sizes_counts_and_milliseconds():
    assert [figures.size(one) for one in (0, 900, 5120, 5243680, 269e6, 3.2e12)] == ["0", "900 bytes", "5.1 KB", "5.2 MB", "269 MB",
                                                                                     "3,200 GB"]
    assert [figures.ms(one) for one in (0, 0.001, 0.063, 0.82, 2.52, 147, 12345)] == ["0", "&lt; 0.01", "0.063", "0.82", "2.5", "147",
                                                                                      "12,345"]
    assert figures.many(123456) == "123,456" and figures.many(5.9e9) == "5.9 \u00d7 10<sup>9</sup>"
    assert figures.many(9.99e9) == "1.0 \u00d7 10<sup>10</sup>"


@pytest.mark.parametrize("width", [width for _, width in figures.SCREENS])
def test_letters_in_a_figure_lie_over_nothing(content, width):
    for draw in (figures.curves, figures.prices)[: 1 + bool(figures.charged(content))]:
        sheet = draw(content, width)
        for i, one in enumerate(sheet.texts):
            assert -0.5 <= one[0] and one[0] + one[2] <= width + 0.5 and -0.5 <= one[1] and one[1] + one[3] <= sheet.height + 0.5, one
            assert not [other for other in sheet.texts[:i] + sheet.marks if figures.overlap(one, other)], one


def test_figures_are_whole_and_say_what_they_show(content):
    there = soup(page(content))
    for svg in there.select("svg"):
        root = ElementTree.fromstring(str(svg))
        names = svg["aria-labelledby"].split()
        assert svg["role"] == "img" and [root[0].get("id"), root[1].get("id")] == names and (root[0].tag, root[1].tag) == ("title", "desc")
        assert re.search(r"\d", root[0].text) and len(root[1].text) > 20
    ids = [one["id"] for one in there.select("[id]")]
    assert len(ids) == len(set(ids)) and len(there.select("svg")) == 2 + 2 * bool(figures.charged(content))
    for svg, width in zip(there.select("figure")[0].select("svg"), (760, 350), strict=True):
        assert len(svg.select(".name")) == len(figures.drawn(content)) <= 6 and svg["viewbox"].startswith(f"0 0 {width} ")
        assert len(svg.select(".curve, .mark")) >= len(figures.drawn(content))


def test_the_ways_that_are_drawn_are_the_taken_one_and_the_highest():
    assert [one["name"] for one in figures.drawn(report(taken="words"))] == ["words", "encoder", "lora", "vectors", "probe",
                                                                             "few-shot, nearest"]
    assert [one["name"] for one in figures.drawn(KINDS["only the commonest"])] == ["majority"]


def test_names_share_the_way_when_they_are_moved_apart():
    assert figures.spread([50, 50, 90], 10, 0, 100) == [45, 55, 90]
    assert figures.spread([99, 5, 99], 10, 0, 100) == [90, 5, 100]
    assert figures.ticks(0.2, 0.9) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert figures.ticks(-1.7, -0.4) == pytest.approx([-2, -1.5, -1, -0.5, 0])


@pytest.mark.parametrize("width, most", [(760, 12), (350, 6)])
def test_each_price_is_named_once_beside_its_point_or_below(content, width, most):
    rows = figures.charged(content)[:most]
    if rows:
        drawn = "".join(figures.prices(content, width).drawn)
        assert re.findall('class="name[^>]*>([^<]*)<', drawn) == [figures.text(row["name"]) for row in rows]


def test_there_is_no_figure_of_prices_where_there_are_none():
    assert "What it costs" not in page(KINDS["free"])


def test_what_is_said_of_few_things():
    assert "Nothing stood out" in page(report(warnings=[])) and "All that was asked for was run" in page(report(not_run=[]))
    assert "learns from no labels" in page(unlabelled()) and "cannot be told" in page(report(more_labels=[]))
    kept = soup(page(KINDS["kept"]))
    assert [pre.text for pre in kept.select("pre")] == ["lmtutor predict DIR < texts.txt\nlmtutor predict DIR --json < texts.txt",
                                                        "lmtutor compare data/tickets.csv --text body --label topic --out DIR"]
    changed = report(metric="cost")
    changed["settings"] |= {"labels": [8], "minutes": 3, "text": "two words", "model": "openai:m"}
    assert soup(page(changed)).pre.text == ("lmtutor compare data/tickets.csv --text 'two words' --label topic --labels 8 --minutes 3 "
                                            "--model openai:m --cost-of-error FILE --base-url URL --out DIR")


def test_it_is_the_same_each_time_and_leaves_the_report_alone(content):
    before = copy.deepcopy(content)
    assert page(content) == page(content) and body(content) == body(content) and content == before


def test_the_fragment_has_the_page_s_words_below_a_notebook_s_headings(content):
    whole, part = soup(page(content)), soup(body(content))
    assert part.select_one(".lmc").get_text(" ", strip=True).endswith(whole.main.get_text(" ", strip=True))
    assert not part.find(["h1", "html", "head", "body", "main"])
    for rule in re.findall(r"([^{}]+)\{", re.sub(r"/\*.*?\*/|@[^{]+\{", "", part.style.text, flags=re.S)):
        assert all(".lmc" in one for one in re.sub(r":is\([^)]*\)", ":is()", rule).split(",") if one.strip()), rule


def test_every_way_has_a_plain_name():
    assert set(WAYS) == set(NAMES)


@pytest.fixture(params=["take", "hostile", "cost", "unlabelled"])
def file(request, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page(KINDS[request.param]), encoding="utf-8")
    return path


SMALLEST = """Math.min(...[...document.querySelectorAll('svg text')].filter((it) => it.checkVisibility())
    .map((it) => 13 * it.getScreenCTM().a))"""


def in_a_browser(test):
    for mark in needs_browser:
        test = mark(test)
    return test


@in_a_browser
@needs_axe
@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_a_report_has_no_barrier_and_fits(visit, file, scheme, width):
    visited = visit(file, color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)  # so that axe may look
    visited.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    found = barriers(visited)
    assert not found, "\n".join(found)
    assert visited.evaluate("document.documentElement.scrollWidth") <= width
    assert visited.asked == [file.as_uri()]
    assert visited.evaluate(SMALLEST) >= 8 * 96 / 72


@in_a_browser
def test_on_paper_nothing_is_cut_or_folded(visit, file):
    visited = visit(file, color_scheme="dark", viewport={"width": 680, "height": 960})
    visited.emulate_media(media="print")
    assert visited.evaluate("document.documentElement.scrollWidth") <= 680
    assert not visited.evaluate("[...document.querySelectorAll('details > *')].filter((it) => !it.checkVisibility()).length")
    assert visited.evaluate(SMALLEST) >= 8 * 96 / 72
    assert visited.pdf()[:4] == b"%PDF"
