"""What this book adds to Jupyter Book: its address set once, maths that needs no other host, no files that nobody asks for, and pages
that say to a screen reader what they show to others.

`repository.url` in _config.yml is the only place that knows the address. Buttons that lead there exist while it is set;
the page addresses for search engines and the first cell of the notebooks follow from it.
"""

import json
import re
from html import unescape
from importlib.metadata import files
from shutil import copy2, rmtree

BUTTONS = ("use_repository_button", "use_edit_page_button", "use_issues_button")
FROM_FILE = 'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'  # browsers refuse its fetch
FONTS = "output/chtml/fonts/woff-v2/"
MENDED = [  # what the theme, MyST-NB and pandas write, and what a screen reader needs instead; a page that has it stays as it is
    (r'(<a [^>]*>([^<]+)</a><details[^>]*><summary)>', r'\1 aria-label="Pages of: \2">'),  # of a part, in the sidebar
    (r'<div id="pst-primary-sidebar" class', '<div id="pst-primary-sidebar" role="complementary" aria-label="Book" class'),
    # a name that differs from what is to be read on the thing can't be spoken to choose it
    (r'(<button class="[^"]*search-button-field[^>]*?) aria-label="Search"', r"\1"),
    (r'(<i class="theme-switch [^>]*?) +title="[^"]*"', r"\1"),
    (r'<script [^>]*scripts/fontawesome\.js[^>]*></script>\n?', ""),  # the theme's fonts draw its icons without it
    (r'(<(i|span) class="[^"]*\bfa-[^"]*")(?![^>]*aria-hidden)', r'\1 aria-hidden="true"'),
    (r'<span class="pre">([^\s<>/?-]+)</span>', r"\1"),  # it keeps a line from breaking in a word where no line would break
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r'<th\b[^>]*>((<p>)?(&nbsp;|&#160;|\xa0)?(</p>)?)</th>', r"<td>\1</td>"),  # a table's empty corner is no heading
]


def site_address(repository: str) -> str:
    """Where GitHub shows the book of a GitHub repository; "" for any other address."""
    found = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+?)/?", repository)
    return f"https://{found[1].lower()}.github.io/{found[2]}/" if found else ""


def set_address(app, config):
    """Draw the buttons that lead to the repository only when there is one."""
    options = config.html_theme_options
    url = options.get("repository_url") or ""
    options.update({button: bool(url) for button in BUTTONS})
    if not url:
        options.pop("launch_buttons", None)
    config.html_baseurl = config.html_baseurl or site_address(url)
    config.ogp_site_url = config.html_baseurl


def copy_mathjax(app, failure):
    """Copy the 1.6 MB of MathJax that pages load out of the installed package sphinx-mathjax-offline."""
    if failure or app.builder.format != "html":
        return
    for file in files("sphinx-mathjax-offline"):
        name = str(file).partition("static/mathjax/")[2]
        if name == "tex-chtml.js" or name.startswith(FONTS):
            target = app.outdir / "_static" / "mathjax" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy2(file.locate(), target)


def drop_unasked(app, failure):
    """The theme's source maps (3.5 MB), translations (.5) and second and third copies of its icons, for browsers without woff2 (.7) and as
    a script that draws over what the font has drawn (1.5): nobody asks for them."""
    if not failure and app.builder.format == "html":
        rmtree(app.outdir / "_static/locales", ignore_errors=True)
        for file in [*(app.outdir / "_static").rglob("*.map"), *(app.outdir / "_static/vendor").rglob("*.ttf"),
                     app.outdir / "_static/scripts/fontawesome.js"]:
            file.unlink(missing_ok=True)


def mend_pages(app, failure):
    """Only in what is written does it all stand together: the theme's sidebar is no part of a page's body."""
    if failure or app.builder.format != "html":
        return
    for page in app.outdir.rglob("*.html"):
        text = before = page.read_text(encoding="utf-8")
        for wrong, right in MENDED:
            text = re.sub(wrong, right, text)
        if text != before:
            page.write_text(text, encoding="utf-8")


def thin_downloads(app, failure):
    """The notebooks offered for download come without outputs, to be run: their pictures stand in the pages, and would be a quarter of the book."""
    if failure or app.builder.format != "html":
        return
    for file in (app.outdir / "_sources").rglob("*.ipynb"):
        book = json.loads(file.read_text(encoding="utf-8"))
        for cell in book["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        file.write_text(json.dumps(book, ensure_ascii=False) + "\n", encoding="utf-8")


def thin_pictures(app, failure):
    """Of each picture by matplotlib a half that nobody sees: places to a millionth of a point, a licence, names that nothing asks for,
    groups of nothing, and the same style (with fourteen fonts to choose from) on every mark, which stands once here."""
    if failure or app.builder.format != "html":
        return
    shorter = lambda found: re.sub(r"(\d\.\d\d)\d+", r"\1", found[0])  # noqa: E731
    for file in (app.outdir / "_images").glob("*.svg"):
        text = re.sub(r"<metadata>.*?</metadata>\s*", "", file.read_text(encoding="utf-8"), flags=re.S)
        text = re.sub(r'\s(?:d|points|[xy][12]?|c[xy])="[^"]*"', shorter, text)
        text = re.sub(r"\n\s*", "\n", text)
        if 'id="figure_1"' in text and "class=" not in text:
            asked = set(re.findall(r"#([\w.]+)", text))
            text = re.sub(r' id="([\w.]+_\d+)"', lambda found: found[0] * (found[1] in asked), text)  # noqa: B023
            text, again = re.sub(r' transform="rotate\(-?0 [^"]*"', "", text), 1
            while again:
                text, again = re.subn(r"<g>\n((?:(?!</?g\b).)*)</g>\n", r"\1", text, flags=re.S)
            names = {style: f"s{n}" for n, style in enumerate(dict.fromkeys(re.findall(r' style="([^"]*)"', text)))}
            text = re.sub(r' style="([^"]*)"', lambda found: f' class="{names[found[1]]}"', text)  # noqa: B023
            text = text.replace("</style>", "".join(f"\n.{name}{{{style}}}" for style, name in names.items()) + "</style>", 1)
        file.write_text(text, encoding="utf-8")


def write_index(app, failure):
    """Send visitors of the folder to the first page. Jupyter Book's own redirect names no icon, so browsers look for one."""
    if not failure and app.builder.format == "html":
        page = f"{app.config.root_doc}.html"
        (app.outdir / "index.html").write_text(
            f'<!doctype html><html lang="en"><title>{app.config.html_title}</title><link rel="icon" href="_static/logo.svg">'
            f'<meta http-equiv="refresh" content="0; url={page}"><a href="{page}">{app.config.html_title}</a></html>\n'
        )


def write_llms(app, failure):
    """llms.txt (llmstxt.org): every page in reading order with its first paragraph, for a program that looks for the page to read."""
    if failure or app.builder.name != "html":
        return

    def walk(name, depth):
        yield name, depth
        for below in app.env.toctree_includes.get(name, ()):
            yield from walk(below, depth + 1)

    lines = []
    for name, depth in walk(app.config.root_doc, -1):
        text = (app.outdir / f"{name}.html").read_text(encoding="utf-8")
        first = re.search(r"<h1>.*?<p\b[^>]*>(.*?)</p>", text[text.index('<article class="bd-article"') :], re.S)
        said = " ".join(unescape(re.sub(r"<[^>]+>", "", first[1])).split()) if first and "<dl" not in first[0] else ""
        if depth < 0:
            lines += [f"# {app.env.titles[name].astext()}", "", f"> {said}", "", "## Pages", ""]
        lines.append(f"{'  ' * max(depth, 0)}- [{app.env.titles[name].astext()}]({app.config.html_baseurl}{name}.html): {said}")
    (app.outdir / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def setup(app):
    app.add_js_file(None, body=FROM_FILE, priority=900)
    app.connect("config-inited", set_address, priority=100)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", drop_unasked)
    app.connect("build-finished", mend_pages)
    app.connect("build-finished", thin_downloads)
    app.connect("build-finished", thin_pictures)
    app.connect("build-finished", write_index)
    app.connect("build-finished", write_llms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
