"""A chapter as JupyterLab shows it before anybody trusts it: no SVG, no script, but every picture, card and table.

Needs playwright and Debian's chromium; without them this is skipped and says so.
"""

import json
import os
import shutil
import subprocess
import sys
import time

import nbformat
import pytest
from conftest import ROOT, needs_browser

pytestmark = needs_browser
CHAPTER = ROOT / "notebooks/03_pretraining.ipynb"
ALL_CELLS = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"  # else only those in the window are drawn


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab of its own, which has signed nothing, with a copy of the chapter."""
    folder = tmp_path_factory.mktemp("lab")
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    settings = folder / "settings" / ALL_CELLS
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')
    (folder / "work").mkdir()
    shutil.copy(CHAPTER, folder / "work")
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token=",
               f"--ServerApp.root_dir={folder / 'work'}"]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, env=os.environ | own | {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}, stdout=log, stderr=log)
        try:
            for _ in range(600):
                if found := list((folder / "runtime").glob("jpserver-*.json")):
                    break
                time.sleep(0.1)
            assert found, (folder / "log").read_text()
            yield json.loads(found[0].read_text())["url"]
        finally:
            server.terminate()
            server.wait(30)


def test_an_untrusted_chapter_shows_its_pictures_cards_and_tables(browser, lab):
    data = [output.get("data", {}) for cell in nbformat.read(CHAPTER, as_version=4).cells for output in cell.get("outputs", [])]
    html = "".join(kinds.get("text/html", "") for kinds in data)
    wanted = {"img": sum("image/png" in kinds for kinds in data), ".lm-card": html.count('class="lm-card'),
              ".lm-table table": html.count('class="lm-table')}
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"{lab}lab/tree/{CHAPTER.name}")
    page.wait_for_selector(".jp-OutputArea .lm-card", timeout=60_000)
    page.wait_for_timeout(1000)
    for what, count in wanted.items():
        shown = page.locator(f".jp-OutputArea-output :is({what})")
        assert count and shown.count() == count, f"{what}: {shown.count()} of {count}"
        assert all(box["width"] > 100 and box["height"] > 30 for box in map(lambda it: it.bounding_box(), shown.all()))
    assert page.locator(".jp-OutputArea-output svg").count() == 0, "an untrusted notebook shows no SVG, so the PNG is what is seen"
    assert all(page.locator(".jp-OutputArea-output img").evaluate_all("all => all.map((it) => it.naturalWidth > 100)"))
    for card in page.locator(".jp-OutputArea-output .lm-card").all():
        assert len(card.inner_text()) > 40
    quiz = page.locator(".jp-OutputArea-output .lm-quiz")
    quiz.locator("> details > summary").click()
    assert quiz.locator("fieldset > legend").count() == quiz.locator("details details").count() == html.count("<fieldset>") >= 2
    assert quiz.get_by_role("radio").count() == html.count('type="radio"')  # disabled, until the cell is run
    tops = [box["y"] for box in map(lambda it: it.bounding_box(), quiz.locator("label").all())]
    assert tops == sorted(set(tops)), "each option has a line of its own, without the book's style sheet, too"
    quiz.locator("details details summary").first.click()
    assert quiz.locator("details details p").first.is_visible()
    page.context.close()
