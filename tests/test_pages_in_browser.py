"""Pages of the built book as a reader has them: in light and dark, on a phone, by a screen reader, on paper.

Needs playwright and Debian's chromium (no browser is downloaded), and for barriers the copy of axe in axe-playwright-python; without
them these tests are skipped and say so.
"""

import pytest
from conftest import barriers, needs_axe, needs_browser

pytestmark = needs_browser
PAGES = ["book/intro", "book/part3", "notebooks/03_pretraining", "notebooks/deeper/03_pretraining_in_full", "book/glossary",
         "book/reference", "book/talk", "book/guide"]


@needs_axe
@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 1280), ("light", 390)])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_barrier_and_fits(visit, site, name, scheme, width):
    page = visit(site / f"{name}.html", color_scheme=scheme, viewport={"width": width, "height": 900})
    page.wait_for_load_state("networkidle")
    if page.locator(".tinylive").count():
        page.locator(".tinylive").first.scroll_into_view_if_needed()  # it loads when it is near
        page.wait_for_selector(".tinylive:not([aria-busy]) .tl-part")
    found = barriers(page)
    assert not found, "\n".join(found)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name, what", [("03_pretraining", ".lm-card"), ("03_pretraining", ".lm-table"), ("08_gradients_and_forgetting", "figure > svg")])
def test_in_the_dark_cards_tables_and_figures_stand_on_the_page(visit, site, name, what):
    """The theme lays a light sheet under HTML that a cell puts out; its rule must lose to ours."""
    page = visit(site / f"notebooks/{name}.html", color_scheme="dark", viewport={"width": 1280, "height": 900})
    grounds = page.evaluate(f"[...document.querySelectorAll('.text_html:has(> {what})')].map((it) => getComputedStyle(it).backgroundColor)")
    assert grounds and set(grounds) == {"rgba(0, 0, 0, 0)"}


@pytest.mark.parametrize("name", ["book/intro", "book/guide", "book/cards", "notebooks/09_lora_on_a_real_model"])
def test_icons_are_drawn_by_the_themes_font(visit, site, name):
    page = visit(site / f"{name}.html", viewport={"width": 1280, "height": 900})
    page.click(".dropdown-download-buttons > button")
    page.evaluate("document.fonts.ready")
    assert page.evaluate("[...document.fonts].filter((it) => it.family.includes('Awesome') && it.status == 'loaded').length")
    drawn = page.evaluate("""[...document.querySelectorAll("[class*='fa-']")].filter((it) => it.checkVisibility()).map((it) => {
        const before = getComputedStyle(it, "::before");
        return [it.className, before.fontFamily.includes("Awesome") && /^"."$/.test(before.content) && it.getBoundingClientRect().width > 8];
    })""")
    assert len(drawn) > 8 and not [icon for icon, there in drawn if not there]


@pytest.mark.parametrize("name", ["notebooks/03_pretraining", "notebooks/deeper/03_pretraining_in_full"])
def test_on_paper_no_code_is_cut_and_nothing_stays_folded(visit, site, name):
    page = visit(site / f"{name}.html", color_scheme="dark", viewport={"width": 680, "height": 960})  # of a sheet of A4
    page.emulate_media(media="print")
    count = lambda selector, js: page.evaluate(f"[...document.querySelectorAll({selector!r})].filter((it) => {js}).length")  # noqa: E731
    assert count(".bd-content pre", "it.clientWidth") >= 20
    assert not count(".bd-content :is(pre, .text_html, div.highlight)", "it.clientWidth && it.scrollWidth > it.clientWidth + 1")
    assert not count(".bd-content details > *", "!it.matches('summary') && !it.checkVisibility()")
    assert not count(".bd-sidebar, .copybtn, .headerlink, .prev-next-footer, details.hide > summary", "it.checkVisibility()")
    assert page.pdf()[:4] == b"%PDF"
