"""The built book: strict, self-contained, described, linked, small. The pages are built here, afresh."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import ROOT, book_command, build

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src",
         "object": "data", "input": "src"}
RAW = re.compile(r"\{glue|\{(level|more|less|about)\}`|```\{|\{(cite|term|doc|ref|numref|figure|chapters)\b|:::|<!-- (made|holds)|Traceback \(most recent call last\)")


def configuration():
    """The book's configuration, usable from another folder."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["sphinx"]["local_extensions"] = dict.fromkeys(config["sphinx"]["local_extensions"], str(ROOT / "book/_ext"))
    return config


@pytest.fixture(scope="session")
def addressed(tmp_path_factory):
    """The book of a repository whose address is known."""
    folder, config = tmp_path_factory.mktemp("addressed"), configuration()
    config["repository"]["url"] = "https://github.com/someone/lmtutor"
    (folder / "_config.yml").write_text(yaml.safe_dump(config))
    return build(folder, folder / "_config.yml")


@pytest.fixture(scope="session")
def pages(site):
    return {str(p.relative_to(site)): BeautifulSoup(p.read_text(encoding="utf-8"), "html.parser")
            for p in sorted(site.rglob("*.html")) if "_static" not in p.parts}


def external(address):
    return bool(re.match(r"(https?:)?//", address.strip()))


def loads(soup):
    """Every address that a browser fetches by itself to show a page."""
    for tag, attribute in LOADS.items():
        yield from (element[attribute] for element in soup.find_all(tag) if element.get(attribute))
    for element in soup.find_all(srcset=True):
        yield from (part.split()[0] for part in element["srcset"].split(","))
    for link in soup.find_all("link", href=True):
        if {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch"} & set(link["rel"]):
            yield link["href"]
    for style in [e.string or "" for e in soup.find_all("style")] + [e["style"] for e in soup.find_all(style=True)]:
        yield from css_loads(style)


def css_loads(css):
    return re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s;]+)""", css)


def bad_alt(image):
    """Whether a picture is without a description; one that says it is decoration (alt="" in a link with text) is not."""
    alt = image.get("alt")
    return alt is None or "_images" in alt or alt.lower() in {"", "image", "figure"}


def missing_targets(name, soup, site, anchors):
    """Links of a page that lead to no file or to no place on it."""
    for link in soup.find_all("a", href=True):
        address = urlparse(link["href"])
        if address.scheme or address.netloc or link["href"] in ("", "#"):
            continue
        target = (site / name).parent / unquote(address.path) if address.path else site / name
        target = Path(os.path.normpath(target))
        if not target.exists():
            yield link["href"]
        elif address.fragment and target.suffix == ".html" and unquote(address.fragment) not in anchors(target):
            yield link["href"]


def test_pages_are_those_of_the_table_of_contents(pages):
    toc = (ROOT / "book/_toc.yml").read_text()
    listed = {f"{name}.html" for name in re.findall(r"(?:root|file): (\S+)", toc)}
    assert listed <= set(pages) and set(pages) - listed == {"index.html", "genindex.html", "search.html"} | (
        {"py-modindex.html"} & set(pages))


def test_no_page_loads_anything_from_another_host(pages, site):
    for name, soup in pages.items():
        assert not [address for address in loads(soup) if external(address)], name
    for sheet in site.rglob("*.css"):
        assert not [a for a in css_loads(sheet.read_text(encoding="utf-8")) if external(a)], sheet.name


def test_scripts_name_no_host_to_load_from(pages):
    for name, soup in pages.items():
        for script in soup.find_all("script"):
            assert not re.search(r"cdn|unpkg|jsdelivr|cloudflare|thebe", (script.get("src") or "") + (script.string or "")), name


def test_every_file_that_a_page_loads_is_there(pages, site):
    for name, soup in pages.items():
        for address in loads(soup):
            path = urlparse(address).path
            if not address.startswith("data:"):
                assert ((site / name).parent / unquote(path)).exists(), f"{name}: {address}"


def test_a_chapter_has_one_quiz_and_leads_from_it_to_what_to_take_away(pages):
    chapters = {name: soup for name, soup in pages.items() if re.fullmatch(r"notebooks/\d\d_\w+\.html", name)}
    assert len(chapters) == 17
    for name, soup in chapters.items():
        quizzes = soup.select(".lm-quiz")
        assert len(quizzes) == 1 and quizzes[0].find_next("h2").get_text().startswith("To take away"), name


def test_mathematics_comes_along(site):
    assert (site / "_static/mathjax/tex-chtml.js").stat().st_size > 1e6
    assert len(list((site / "_static/mathjax/output/chtml/fonts/woff-v2").glob("*.woff"))) > 20


def test_every_picture_is_described(pages):
    for name, soup in pages.items():
        assert not [str(image) for image in soup.find_all("img") if bad_alt(image)], name


def test_no_raw_directive_and_no_traceback(pages):
    for name, soup in pages.items():
        found = RAW.search(soup.get_text())
        assert not found, f"{name}: {found and soup.get_text()[max(0, found.start() - 80):found.end() + 80]}"


def test_internal_links_and_anchors_lead_somewhere(pages, site):
    ids = {}

    def anchors(path):
        if path not in ids:
            soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
            ids[path] = {e["id"] for e in soup.find_all(id=True)} | {e["name"] for e in soup.find_all("a", attrs={"name": True})}
        return ids[path]

    for name, soup in pages.items():
        assert not list(missing_targets(name, soup, site, anchors)), name


def test_sizes(pages, site):
    assert sum(p.stat().st_size for p in site.rglob("*") if p.is_file()) <= 32e6
    assert max((site / name).stat().st_size for name in pages) <= 1.1e6


def test_pictures_keep_all_that_they_ask_for(site):
    for file in (site / "_images").glob("*.svg"):
        text = file.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(re.findall(r' id="([^"]+)"', text)), file.name
        if 'class="s0"' in text:
            named, styled = set(re.findall(r' class="(s\d+)"', text)), set(re.findall(r"^\.(s\d+){[^{}]+}", text, re.M))
            assert named == styled and " style=" not in text, file.name


def test_the_sheet_knows_every_icon_that_a_page_or_a_script_of_the_theme_shows(pages, site):
    sheet = (site / "_static/styles/pydata-sphinx-theme.css").read_text(encoding="utf-8")
    icons = [icon for soup in pages.values() for icon in soup.select("i[class*='fa-'], span[class*='fa-']")]
    shown = {word for icon in icons for word in icon["class"] if word.startswith("fa-")}
    for script in (site / "_static/scripts").glob("*.js"):
        shown |= set(re.findall(r"\bfa-[a-z]+(?:-[a-z]+)*", script.read_text(encoding="utf-8")))
    assert len(shown) > 10 and not [name for name in shown if not re.search(rf"\.{name}(:before)?[,{{]", sheet)]
    assert all(icon.get("aria-hidden") for icon in icons)


def test_downloads_are_notebooks_to_be_run(site):
    books = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((site / "_sources").rglob("*.ipynb"))]
    assert len(books) > 50
    assert not any(cell.get("outputs") or cell.get("execution_count") for book in books for cell in book["cells"])


def test_the_live_model_is_small_and_loaded_by_pages_that_show_it(pages, site):
    files = list((site / "_static/live").iterdir())
    assert 5e5 < sum(file.stat().st_size for file in files) <= 5.6e6 and not list(site.rglob("*.map"))
    for name, soup in pages.items():
        shown, loaded = soup.select(".tinylive"), [address for address in loads(soup) if "/live/" in address]
        assert bool(shown) == any(address.endswith("live.js") for address in loaded), name
        assert not [address for address in loaded if "weights" in address or "world" in address], name
        assert all(place.select("noscript img[alt]") or place.select_one("noscript").get_text(strip=True) for place in shown), name
    assert pages["book/talk.html"].select(".tinylive[data-stage=full]")


def test_the_list_for_programs_names_every_page_once_and_what_it_answers(pages, site):
    text = (site / "llms.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^ *- \[(.+?)\]\((.+?)\): (.*)$", text, re.M)
    assert text.startswith("# Three ways") and [address for _, address, _ in lines][0] == "book/intro.html"
    toc = re.findall(r"(?:root|file): (\S+)", (ROOT / "book/_toc.yml").read_text())
    assert [address for _, address, _ in lines] == [f"{name}.html" for name in toc]
    assert sum(not said for *_, said in lines) <= 3, [line for line in lines if not line[2]]  # the glossary has no first paragraph
    assert not re.search(r"<[a-z/]|&[a-z]+;", text) and len(text) < 60_000


def test_one_search_box_and_it_works_from_a_file(pages, site):
    for name, soup in pages.items():
        if name != "index.html":
            assert len(soup.select(".search-button-field")) == 1 and not soup.select(".navbar-persistent--container"), name
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(") and "demonstr" in index  # a script, so that file:// can load it


def test_every_module_is_in_the_reference(pages):
    text = "".join(pages[f"book/{name}.html"].get_text() for name in ("reference", "reference_chapters"))
    modules = {str(p.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__")
               for p in (ROOT / "lmtutor").glob("**/*.py") if not p.stem.startswith("__")}
    assert not [name for name in modules if name not in text]


def test_no_page_names_a_folder_of_the_machine_that_built_it(pages):
    assert not [name for name, soup in pages.items() if str(ROOT) in soup.get_text() or "PosixPath(" in soup.get_text()]


def test_every_source_in_the_bibliography_is_cited():
    keys = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text(), re.M))
    prose = "".join(path.read_text() for path in (ROOT / "book").glob("*.md"))
    cited = {key for group in re.findall(r"\{cite:\w\}`([^`]+)`", prose) for key in group.split(",")}
    assert cited == keys


def cards_of_parts(pages):
    return [card for name, soup in pages.items() if re.fullmatch(r"book/part\d\.html", name) for card in soup.select(".lm-chapter")]


def test_every_chapter_has_a_card_with_its_question_a_picture_and_an_answer_with_numbers(pages):
    chapters = {path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    cards = cards_of_parts(pages)
    assert sorted(Path(card.select_one(".lm-question a")["href"]).stem for card in cards) == sorted(chapters)
    for card in cards:
        question, answer, takes = card.select(".lm-said p")
        assert question.get_text().strip().endswith("?") and re.search(r"\d", answer.get_text()), question
        assert re.search(r"about \d+ (second|minute)s?, [\d.]+ GB", takes.get_text()), takes
        assert len(card.select(".lm-hero img[alt]")) == 1 and len(card.select_one("img")["alt"]) > 40, question


def test_the_first_page_has_three_ways_the_live_model_every_question_and_the_article(pages):
    page = pages["book/intro.html"]
    ways = page.select(".lm-way")
    assert len(ways) == 3 and all(len(re.findall(r"\d+%", way.get_text())) >= 2 and "chapter" in way.get_text() for way in ways)
    assert page.select_one("a.lm-talk")["href"] == "talk.html" and page.select("a[href*='bibliography.html#']")
    asked = {link["href"]: link.get_text() for link in page.select("article li a[href^='../notebooks/']")}
    for card in cards_of_parts(pages):
        question = card.select_one(".lm-question a")
        assert asked[question["href"]] == question.get_text()


def test_pages_of_parts_say_levels_and_leave_intervals_to_the_ledger(pages):
    interval = re.compile(r"\[[−-]?[\d.]+, [−-]?[\d.]+\]|\bn\s?=\s?\d")
    for name in ("intro", "part1", "part2", "part3", "part4"):
        text = pages[f"book/{name}.html"].article.get_text()
        assert not interval.search(text), interval.search(text)
        assert pages[f"book/{name}.html"].select("article a[href^='ledger.html']"), name
    assert len(re.findall(r"\([−-]?[\d.]+ to [−-]?[\d.]+\)", pages["book/ledger.html"].article.get_text())) > 150


def test_without_an_address_no_button_leads_to_a_repository(pages):
    if yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]:
        pytest.skip("the address is set")
    for name, soup in pages.items():
        leads = [a["href"] for a in soup.select(".header-article a[href], .bd-header-article a[href]")]
        assert not [href for href in leads if external(href)], name


@pytest.mark.long
def test_with_an_address_the_buttons_are_right(addressed):
    path, page = "someone/lmtutor", sorted((ROOT / "notebooks").glob("*.ipynb"))[0].stem
    html = (addressed / f"notebooks/{page}.html").read_text(encoding="utf-8")
    assert f"https://colab.research.google.com/github/{path}/blob/main/notebooks/{page}.ipynb" in html
    assert f"https://mybinder.org/v2/gh/{path}/main?urlpath=lab/tree/notebooks/{page}.ipynb" in html
    assert f'href="https://github.com/{path}"' in html and f"https://github.com/{path}/issues/new" in html
    assert f'rel="canonical" href="https://someone.github.io/lmtutor/notebooks/{page}.html"' in html


def test_the_checks_above_can_fail(tmp_path):
    bad = BeautifulSoup(
        '<script src="https://cdn.example/x.js"></script><img src="a.svg" alt="../_images/1.svg"><img src="b.svg">'
        '<link rel="stylesheet" href="//host/x.css"><p style="background:url(https://host/y.png)"></p>'
        '<a href="gone.html">x</a><a href="#gone">y</a>', "html.parser")
    assert len([address for address in loads(bad) if external(address)]) == 3
    assert [bad_alt(image) for image in bad.find_all("img")] == [True, True]
    (tmp_path / "page.html").write_text(str(bad))
    assert list(missing_targets("page.html", bad, tmp_path, lambda path: set())) == ["gone.html", "#gone"]
    assert RAW.search("loss {glue:text}`x`") and RAW.search("Traceback (most recent call last)")
    assert css_loads("@import 'https://x'; a{b:url( \"y\" )}") == ["https://x", "y"]


def test_a_missing_number_or_page_fails_the_build(tmp_path):
    """A page that asks for a number no notebook holds, a term nobody explains or a page that is not there."""
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(configuration()))
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns("*.md", "*.yml", "_ext"))
    (tmp_path / "page.md").write_text("# Title\n\n{glue:text}`nowhere` {term}`unheard of` [x](gone.md)\n")
    done = subprocess.run([*book_command(), tmp_path, "-W", "-n", "--keep-going", "-q"],
                          capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    for fault in ("nowhere", "unheard of", "gone.md"):
        assert fault in said, said
