"""What this book adds to Jupyter Book: its address set once, and maths that needs no other host.

`repository.url` in _config.yml is the only place that knows the address. Buttons that lead there exist while it is set;
the page addresses for search engines and the first cell of the notebooks follow from it.
"""

import re
from importlib.metadata import files
from shutil import copy2

BUTTONS = ("use_repository_button", "use_edit_page_button", "use_issues_button")
FROM_FILE = 'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'  # browsers refuse its fetch
FONTS = "output/chtml/fonts/woff-v2/"


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


def write_index(app, failure):
    """Send visitors of the folder to the first page. Jupyter Book's own redirect names no icon, so browsers look for one."""
    if not failure and app.builder.format == "html":
        page = f"{app.config.root_doc}.html"
        (app.outdir / "index.html").write_text(
            f'<!doctype html><html lang="en"><title>{app.config.html_title}</title><link rel="icon" href="_static/logo.svg">'
            f'<meta http-equiv="refresh" content="0; url={page}"><a href="{page}">{app.config.html_title}</a></html>\n'
        )


def setup(app):
    app.add_js_file(None, body=FROM_FILE, priority=900)
    app.connect("config-inited", set_address, priority=100)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", write_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
