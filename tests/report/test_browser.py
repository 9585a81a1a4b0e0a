"""The page in a browser: the system's Chromium, driven by Playwright, which downloads none."""

import pytest

from plaudit.evaluate.results import add_results
from plaudit.report.write import write_report
from tests.conftest import result_with

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on seven models of long names, some of nearly the same speed and accuracy."""
    folder = tmp_path_factory.mktemp("report")
    models = {
        "teacher-of-all-others": ("ensemble", 0.936, 27, 253e6, 11_940.0),
        "lstm-adversarial": ("lstm", 0.927, 142, 37e6, 10_200.0),
        "lstm": ("lstm", 0.918, 19_900, 755e3, 892.0),
        "bow-student": ("bow", 0.9176, 337_000, 3.5e6, 33.5),
        "bow": ("bow", 0.9167, 494_000, 527e3, 92.0),
        "bow-pruned": ("bow", 0.9166, 496_000, 632e3, 92.0),
        "lstm-beaten-by-all": ("lstm", 0.886, 9_230, 457e3, 822.0),
    }
    settings = {"max_order": 3, "min_count": 5, "slot_bits": 20, "inverse_regularization": 0.2, "storage": "fp16"}
    results = [
        result_with(
            model=name,
            kind=kind,
            accuracy=accuracy,
            accuracy_ci95=(accuracy - 0.0034, accuracy + 0.0034),
            reviews_per_second=speed,
            size_bytes=int(size),
            train_seconds=seconds,
            recipe={"models": {name: settings}},
        )
        for name, (kind, accuracy, speed, size, seconds) in models.items()
    ]
    add_results(folder / "results.json", results)
    return write_report(folder, folder / "report.html").as_uri()


@pytest.fixture
def page(browser, report):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.goto(report)
    yield page
    context.close()


def chart(page):
    return page.locator('.chart[aria-label^="Accuracy against texts per second"]')


def column(page, heading):
    """The cells of the table of costs in the column of a heading."""
    table = page.locator("table", has_text="Speed and size")
    place = table.locator("thead th").all_inner_texts().index(heading)
    return [row.locator("th, td").nth(place).inner_text() for row in table.locator("tbody tr").all()]


def test_the_page_makes_no_error_and_no_request(browser, report):
    context = browser.new_context()
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report)
    page.wait_for_load_state("networkidle")
    context.close()
    assert said == []
    assert asked == [report]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways_and_captions_are_whole(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    captions = page.locator("caption").evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
    assert max(captions) <= width


def test_no_two_texts_of_the_chart_overlap(page):
    boxes = (
        chart(page)
        .locator("text")
        .evaluate_all(
            "all => all.filter(one => one.textContent && getComputedStyle(one).opacity > 0).map(one => {"
            " const b = one.getBoundingClientRect(); return [one.textContent, b.left, b.top, b.right, b.bottom]; })"
        )
    )
    overlapping = [
        (a[0], b[0])
        for i, a in enumerate(boxes)
        for b in boxes[:i]
        # A pixel of two boxes may touch: they are as high as the line, not as its letters.
        if min(a[3], b[3]) - max(a[1], b[1]) > 1 and min(a[4], b[4]) - max(a[2], b[2]) > 1
    ]
    assert len(boxes) > 10
    assert overlapping == []


def test_pointing_at_a_mark_shows_what_it_says_and_leaving_hides_it(page):
    tip = page.locator(".tip")
    assert tip.is_hidden()
    mark = chart(page).locator('[data-tooltip^="lstm-beaten-by-all"]').last
    mark.hover()
    assert tip.is_visible()
    assert tip.inner_text() == mark.get_attribute("data-tooltip")
    assert "88.60" in tip.inner_text()
    page.mouse.move(2, 2)
    assert tip.is_hidden()


def test_arrow_keys_walk_the_marks_of_a_chart_and_escape_hides_the_tip(page):
    tip = page.locator(".tip")
    says = chart(page).locator("[data-tooltip]").evaluate_all("all => all.map(one => one.dataset.tooltip)")
    chart(page).focus()
    for key, expected in (("ArrowRight", says[0]), ("ArrowRight", says[1]), ("ArrowLeft", says[0])):
        page.keyboard.press(key)
        assert tip.inner_text() == expected
    page.keyboard.press("Escape")
    assert tip.is_hidden()


@pytest.mark.parametrize(
    ("heading", "first", "last"),
    [
        ("Model", "teacher-of-all-others", "bow"),
        ("Texts/s", "496,000", "27"),
        ("Size", "253 MB", "0.457 MB"),
        ("Training", "3 h 19 min", "33.5 s"),
    ],
)
def test_a_click_on_a_heading_sorts_its_table_both_ways(page, heading, first, last):
    head = page.locator("table", has_text="Speed and size").get_by_role("columnheader", name=heading, exact=True)
    for order, ends in (("descending", (first, last)), ("ascending", (last, first))):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == order
        cells = column(page, heading)
        assert (cells[0], cells[-1]) == ends


def test_a_dark_scheme_darkens_the_page_and_lightens_the_texts_of_charts(page):
    def colours():
        text = chart(page).locator("text").first.evaluate("one => getComputedStyle(one).fill")
        return page.evaluate("getComputedStyle(document.body).backgroundColor"), text

    light = colours()
    page.emulate_media(color_scheme="dark")
    dark = colours()
    assert light == ("rgb(255, 255, 255)", "rgb(27, 29, 32)")
    assert dark == ("rgb(20, 23, 26)", "rgb(228, 230, 232)")


def test_print_leaves_out_what_answers_to_clicks(page):
    assert page.locator("nav").is_visible()
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
