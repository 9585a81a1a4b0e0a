"""The front page in the system's Chromium, served by the real service: what people see, do and take home."""

import csv
import gzip
import io
import itertools
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from rich.console import Console

import plaudit
from plaudit.bundle.folder import save_bundle
from plaudit.bundle.locate import shipped_models
from plaudit.bundle.trained import TrainedModel
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.settings import BowSettings

pytestmark = pytest.mark.slow

KEY = "a-key-of-24-characters-or-so"
PRAISE = "A superb film with a great cast. I loved every minute."
PAN = "A dull and boring film. The worst script of the year."
DIVISIVE = "I wanted to love it, and the acting is great, but I was bored."


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Return a function that starts a service with these options and environment and gives its URL."""
    processes = []

    def started(*options, **environment):
        log = tmp_path_factory.mktemp("service") / "log"
        command = [sys.executable, "-m", "plaudit", "serve", "--port", "0", *options]
        with log.open("w") as file:
            process = subprocess.Popen(command, stderr=file, stdout=file, env={**os.environ, **environment})
        processes.append(process)
        for _ in range(1200):
            if ready := re.search(r'"url": "([^"]+)"', log.read_text()):
                return ready[1]
            time.sleep(0.05)
        raise AssertionError(f"the service did not start: {log.read_text()}")

    yield started
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def shipped(start):
    """The URL of a service of the models that ship."""
    return start()


@pytest.fixture(scope="module")
def guarded(start, tmp_path_factory):
    """The URL of a service that asks for a key, has small limits and one model of three labels, named badly."""
    words = {"calm": "quiet slow", "<b>glad</b>": "lovely funny", "sad": "dull weak"}
    texts = [f"a {word} film of number {i}" for said in words.values() for word in said.split() for i in range(10)]
    label_ids = np.repeat(np.arange(3), 20)
    settings = BowSettings(min_count=2, slot_bits=16)
    model = fit_bow(settings, texts, label_ids, tuple(words), console=Console(quiet=True))
    folder = tmp_path_factory.mktemp("models") / "moods"
    save_bundle(TrainedModel(model=model), folder)
    limits = ("max_characters=300", "max_explained_characters=100", "max_texts=4")
    options = [option for limit in limits for option in ("--set", limit)]
    return start("--model", str(folder), *options, PLAUDIT_API_KEY=KEY)


@pytest.fixture
def visit(browser):
    """Return a function that opens a page of its own; what its console says and it asks for are kept on it."""
    contexts = []

    def opened(url, *, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def page(visit, shipped):
    page = visit(shipped)
    page.wait_for_selector(".card")
    return page


@pytest.fixture
def moods(visit, guarded):
    page = visit(guarded)
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector(".card")
    return page


def verdict(page, label):
    """Wait for the verdict of a label and return its probability."""
    page.locator(".label strong", has_text=re.compile(f"^{re.escape(label)}$")).wait_for()
    return page.locator(".share").inner_text()


def choose_file(page, name, content):
    data = content if isinstance(content, bytes) else content.encode()
    page.set_input_files("#picked", {"name": name, "mimeType": "text/csv", "buffer": data})


def scored(page, **options):
    """Score the file that is open and return the rows of the download."""
    page.locator("#start").click()
    page.locator("#download").wait_for(timeout=60_000)
    return downloaded(page, **options)


def downloaded(page, **options):
    with page.expect_download() as download:
        page.locator("#download").click()
    with download.value.path().open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, **options))


def csv_of(rows, **options):
    file = io.StringIO(newline="")
    csv.writer(file, **options).writerows(rows)
    return file.getvalue()


def test_the_page_says_nothing_to_the_console_and_asks_nobody_else(page, shipped):
    page.get_by_label("Review", exact=True).fill(PRAISE)
    page.locator(".words li").first.wait_for()
    choose_file(page, "reviews.csv", csv_of([["text"], [PRAISE], [PAN]]))
    scored(page)
    assert page.said == []
    assert [url for url in page.asked if not url.startswith((shipped, f"blob:{shipped}"))] == []


def test_the_verdict_follows_what_is_typed(page):
    assert "appears here" in page.locator("#verdict").inner_text()
    review = page.get_by_label("Review", exact=True)
    review.press_sequentially("A superb film")
    first = verdict(page, "positive")
    review.press_sequentially(", but dull and boring and far too long", delay=5)
    assert verdict(page, "negative") != first
    (expected,) = plaudit.load("bow").predict_proba(["A superb film, but dull and boring and far too long"])
    page.locator(".share", has_text=f"{100 * expected[0]:.1f}\u00a0%").wait_for()
    bar = page.locator("#verdict .parts").get_attribute("aria-label")
    assert bar == f"negative {100 * expected[0]:.1f}\u00a0%, positive {100 * expected[1]:.1f}\u00a0%"
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("appears here").wait_for()
    assert page.locator(".words").is_hidden()


def test_an_answer_to_an_older_text_never_shows(page):
    held = []

    def hold_the_first(route):
        if PRAISE in route.request.post_data and not held:
            held.append(route)
        else:
            route.continue_()

    page.route("**/v1/predict", hold_the_first)
    review = page.get_by_label("Review", exact=True)
    review.fill(PRAISE)
    page.wait_for_timeout(600)
    review.fill(PAN)
    verdict(page, "negative")
    held[0].continue_()
    page.wait_for_timeout(300)
    assert verdict(page, "negative")


def test_the_marks_lie_on_the_right_words_whatever_emoji_come_before(page):
    text = "😀😀 Ünï 👩‍👩‍👧 a superb film 💛 that is not dull\nat all, great"
    page.get_by_label("Review", exact=True).fill(text)
    page.locator(".words li").first.wait_for()
    marks = page.locator("mark")
    assert {"superb", "dull", "great"} <= set(marks.all_inner_texts())
    assert page.locator("#marked").evaluate("one => one.textContent") == f"{text}\u200b"
    superb, dull = page.locator("mark", has_text="superb"), page.locator("mark", has_text="dull")
    assert "for positive" in superb.get_attribute("data-says")
    assert "for negative" in dull.get_attribute("data-says")
    assert (superb.get_attribute("class"), dull.get_attribute("class")) == ("solid", "dotted")
    listed = page.locator(".words .pair > div").nth(0).inner_text()
    assert "Words for positive" in listed
    assert "superb" in listed


def test_the_marked_text_is_set_exactly_as_the_one_that_is_written(page):
    review = page.get_by_label("Review", exact=True)
    review.fill(f"{PRAISE}\n\n{'w' * 200}\n{'It has its moments, and then some. ' * 60}\n")
    page.locator("mark").first.wait_for()
    script = (
        "id => { const b = document.getElementById(id).getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }"
    )
    assert page.evaluate(script, "review") == page.evaluate(script, "marked")
    assert review.evaluate("one => [one.scrollHeight - one.clientHeight, one.scrollWidth - one.clientWidth]") == [0, 0]


def test_marks_move_along_while_the_text_is_edited(page):
    review = page.get_by_label("Review", exact=True)
    review.fill("A superb film")
    page.locator("mark", has_text="superb").wait_for()
    page.route("**/v1/predict", lambda route: None)
    review.press("Home")
    review.press_sequentially("Well. ")
    assert "superb" in page.locator("mark").all_inner_texts()
    review.press("End")
    for _ in range(len(" film") + 2):
        review.press("Backspace")
    assert "superb" not in page.locator("mark").all_inner_texts()


def test_pointing_at_a_word_tells_what_it_adds(page):
    page.get_by_label("Review", exact=True).fill(PRAISE)
    mark = page.locator("mark", has_text="superb")
    mark.wait_for()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator(".tip").inner_text() == mark.get_attribute("data-says")
    page.mouse.move(2, 2)
    assert page.locator(".tip").is_hidden()


def test_models_judge_side_by_side_and_their_disagreement_is_said(page):
    page.get_by_label("Review", exact=True).fill(DIVISIVE)
    page.get_by_text(
        "The models disagree: bow says positive, ensemble says negative and lstm says negative."
    ).wait_for()
    for name in shipped_models():
        predictor = plaudit.load(name)
        (row,) = predictor.predict_proba([DIVISIVE])
        said = page.locator(f".card[data-model={name}]").inner_text()
        assert f"{predictor.labels[row.argmax()]} {100 * row.max():.1f}\u00a0%" in said.lower()
        assert f"{predictor.num_parameters:,}" in said
        assert re.search(r"[\d.]+ ms", said)
    page.get_by_label("Review", exact=True).fill(PRAISE)
    page.get_by_text("All 3 models say positive.").wait_for()


def test_another_model_can_speak_above(page):
    page.get_by_role("button", name="Torn").click()
    verdict(page, "positive")
    page.get_by_role("radio", name="lstm").check()
    page.get_by_text("lstm says", exact=True).wait_for()
    page.get_by_text("what changes for lstm when a word is left out").wait_for()
    assert '"model":"lstm"' in page.locator("#curl").inner_text()


def test_the_verdict_is_spoken_only_once_it_has_come_to_rest(page):
    review = page.get_by_label("Review", exact=True)
    spoken = page.locator("#spoken-verdict")
    review.press_sequentially("A superb film")
    verdict(page, "positive")
    assert spoken.inner_text() == ""
    page.locator("#spoken-verdict", has_text="positive, ").wait_for(state="attached")
    assert spoken.get_attribute("aria-live") == "polite"


def test_a_csv_comes_back_row_for_row_with_verdicts(page):
    rows = [
        ["id", "note, quoted", "review", "sentiment"],
        ["1", 'said "so"', PRAISE, "positive"],
        ["2", "=1+1", "", "negative"],
        ["3", "", '"Dull", he said,\nand boring\r\nto the end 😀', "neg"],
        ["4", " kept ", "   ", "positive"],
        ["5", "x", "long " * 25_000, "positive"],
        ["6", "x", PAN, "1"],
    ]
    choose_file(page, "mine.csv", "\ufeff" + csv_of(rows))
    page.get_by_label("Text column").wait_for()
    assert page.get_by_label("Text column").input_value() == "2"
    table = scored(page)
    labels = plaudit.load("bow")
    probabilities = dict(zip((1, 3, 6), labels.predict_proba([rows[i][2] for i in (1, 3, 6)]), strict=True))
    assert table[0] == ["\ufeffid", *rows[0][1:], "predicted", "probability_negative", "probability_positive"]
    assert [row[:4] for row in table[1:]] == rows[1:]
    for i, row in enumerate(table[1:], start=1):
        if i in probabilities:
            assert row[4] == labels.labels[probabilities[i].argmax()]
            assert [float(cell) for cell in row[5:]] == pytest.approx(probabilities[i], abs=1e-6)
        else:
            assert row[4:] == ["", "", ""]
    assert page.locator(".outcome").inner_text().startswith("3 of 6 rows scored by bow")
    assert "2 without text and 1 longer than 100,000 characters" in page.locator(".left").inner_text()
    assert page.locator(".accuracy .figure").inner_text() == "66.67 %"


def test_five_thousand_rows_are_scored_summed_up_and_open_above(page):
    texts = [PRAISE, PAN, DIVISIVE, "It has its moments."]
    rows = [[f"{i}: {texts[i % 4]}", ("positive", "negative")[i % 2]] for i in range(5000)]
    choose_file(page, "many.tsv", csv_of([["review", "label"], *rows], delimiter="\t"))
    table = scored(page)
    predicted = plaudit.load("bow").predict([row[0] for row in rows])
    assert [row[:2] for row in table[1:]] == rows
    assert [row[2] for row in table[1:]] == predicted
    right = sum(row[1] == label for row, label in zip(rows, predicted, strict=True))
    assert page.locator(".accuracy .figure").inner_text() == f"{100 * right / 5000:.2f} %"
    assert f"{predicted.count('negative'):,}" in page.locator(".counts li", has_text="negative").inner_text()
    bins = page.locator(".histogram rect").evaluate_all("all => all.map(one => one.dataset.says)")
    counts = [int(re.search(r": ([\d,]+) row", said)[1].replace(",", "")) for said in bins]
    assert (len(counts), sum(counts)) == (20, 5000)
    look = page.locator(".look").first
    text = look.inner_text()
    look.click()
    assert page.get_by_label("Review", exact=True).input_value() == text
    verdict(page, "negative")


def test_json_lines_keep_their_fields_and_how_numbers_were_written(page):
    lines = [
        {"id": 12345678901234567890, "body": PRAISE, "stars": 5},
        {"id": 2, "body": None, "extra": {"a": [1, "x"]}},
    ]
    content = "\n".join([json.dumps(lines[0]).replace(" 5}", " 5.0}"), "", json.dumps(lines[1])])
    choose_file(page, "mine.jsonl.gz", gzip.compress(content.encode()))
    table = scored(page)
    assert [row[:5] for row in table] == [
        ["id", "body", "stars", "extra", "predicted"],
        ["12345678901234567890", PRAISE, "5.0", "", "positive"],
        ["2", "", "", '{"a":[1,"x"]}', ""],
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_cells_are_split_as_python_splits_them_wherever_the_pieces_end(page, size):
    content = 'a,"b ""x"" ,",c\r\n"","",""\n1,"two\r\nlines",\r\n,,\nlast,"q"'
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    script = """async (pieces) => {
      const { Delimited } = await import("/page/table.js");
      const rows = [], parser = new Delimited(",", (row) => rows.push(row));
      pieces.forEach((piece) => parser.feed(piece));
      parser.end();
      return rows;
    }"""
    assert page.evaluate(script, pieces) == list(csv.reader(io.StringIO(content, newline="")))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine.xlsx", b"PK", "mine.xlsx is a spreadsheet; save it as CSV (UTF-8) first."),
        ("mine.parquet", b"PAR1", "A browser cannot read Parquet."),
        ("mine", b"text", "mine is not a file that this page can read; use .csv, .tsv or .jsonl"),
        ("mine.csv", b"", "mine.csv is empty"),
        ("mine.csv", b"text\n", "mine.csv has no rows below its column names."),
        ("mine.csv", "text\nÜ".encode("latin-1"), "mine.csv is not UTF-8 text; save it as CSV in UTF-8."),
        ("mine.csv", b"a,text\n1,x\n2,y,z\n", "Row 2 has 3 cells where the first row names 2 columns"),
        ("mine.csv", b'text\n"x', "A quote is opened but never closed"),
        ("mine.csv.gz", b"text", "mine.csv.gz is not a gzip file of UTF-8 text."),
        ("mine.jsonl", b'{"text": "x"}\n[1]', "Line 2 is not a JSON object"),
        ("mine.jsonl", b"{", "Line 1 is not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(page, name, content, said):
    choose_file(page, name, content)
    page.locator("#file-error", has_text=said).wait_for()
    assert page.locator("#start").count() == 0


def test_a_file_that_has_scores_already_is_not_given_others(page):
    choose_file(page, "mine.csv", "text,predicted\nx,y\n")
    page.locator("#start").click()
    page.get_by_text("mine.csv has a column “predicted” already; rename it").wait_for()


def test_a_dropped_file_without_a_usual_name_offers_its_longest_column_and_takes_another(page):
    script = """content => {
      const data = new DataTransfer();
      data.items.add(new File([content], "odd.csv"));
      const options = { dataTransfer: data, bubbles: true, cancelable: true };
      document.getElementById("drop").dispatchEvent(new DragEvent("drop", options));
    }"""
    page.evaluate(script, csv_of([["x;1", "y"], [PAN, "superb"]], delimiter=";"))
    page.get_by_text("No column has a usual name for texts").wait_for()
    page.get_by_label("Text column").select_option("y")
    header, row = scored(page, delimiter=";")
    assert header[:3] == ["x;1", "y", "predicted"]
    assert row[:3] == [PAN, "superb", "positive"]


def test_a_cancelled_run_keeps_what_it_has(page):
    calls = []

    def slow(route):
        calls.append(route)
        if len(calls) < 3:
            route.continue_()

    page.route("**/v1/predict", slow)
    choose_file(page, "mine.csv", csv_of([["text"], *[[PRAISE]] * 500]))
    page.locator("#start").click()
    page.get_by_text("rows/s").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.", exact=True).wait_for()
    done = int(page.locator(".outcome").inner_text().split()[0])
    assert 0 < done < 500
    assert f"{500 - done} not reached" in page.locator(".left").inner_text()
    table = downloaded(page)
    assert (len(table), [row[1] for row in table[1:]].count("positive")) == (501, done)


def test_a_busy_service_is_waited_for_as_long_as_it_says(page):
    busy = {"status": 503, "headers": {"Retry-After": "1"}, "json": {"error": {"code": "overloaded", "message": "no"}}}
    times = []

    def refuse_twice(route):
        times.append(time.monotonic())
        route.fulfill(**busy) if len(times) <= 2 else route.continue_()

    page.route("**/v1/predict", refuse_twice)
    choose_file(page, "mine.csv", csv_of([["text"], [PRAISE], [PAN]]))
    page.locator("#start").click()
    page.get_by_text("The service is busy; continuing in 1 s").wait_for()
    page.locator("#download").wait_for()
    assert [row[1] for row in downloaded(page)[1:]] == ["positive", "negative"]
    assert times[1] - times[0] >= 0.9
    times.clear()
    page.get_by_label("Review", exact=True).fill(PRAISE)
    page.get_by_text("The service is busy. Trying again in 1 s.").wait_for()
    verdict(page, "positive")
    page.locator("#notice").wait_for(state="hidden")


def test_a_service_that_is_away_is_said_to_be_and_taken_up_again(page):
    page.route(re.compile("/(v1|healthz)"), lambda route: route.abort())
    page.get_by_label("Review", exact=True).fill(PRAISE)
    page.get_by_text("The service cannot be reached. Trying again").wait_for()
    page.unroute(re.compile("/(v1|healthz)"))
    verdict(page, "positive")
    page.locator("#notice").wait_for(state="hidden")


def test_a_text_that_the_service_refuses_costs_no_other_row_its_verdict(moods):
    def without_limit(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "max_characters": 1000})

    moods.route("**/v1/limits", without_limit)
    moods.reload()
    moods.wait_for_selector(".card")
    texts = ["lovely", "dull " * 100, "quiet", "weak", "funny"]
    choose_file(moods, "mine.csv", csv_of([["text"], *[[text] for text in texts]]))
    table = scored(moods)
    assert [row[1] for row in table[1:]] == ["<b>glad</b>", "", "calm", "sad", "<b>glad</b>"]
    assert "1 rejected by the service" in moods.locator(".left").inner_text()


def test_limits_are_shown_and_kept(moods):
    review = moods.get_by_label("Review", exact=True)
    review.fill("lovely " * 20)
    verdict(moods, "<b>glad</b>")
    moods.get_by_text("Words are marked in texts of up to 100 characters.").wait_for()
    review.fill("😀" * 301)
    moods.get_by_text("301 of 300 characters").wait_for()
    moods.get_by_text("This is longer than the service's limit of 300 characters.").wait_for()


def test_three_labels_have_a_part_of_the_bar_each_and_words_for_and_against(moods):
    moods.get_by_label("Review", exact=True).fill("a quiet, lovely film")
    moods.locator(".words li").first.wait_for()
    assert moods.locator("#verdict .bar li").count() == 3
    hues = moods.locator("#verdict .parts span").evaluate_all(
        "all => all.map(one => getComputedStyle(one).backgroundColor)"
    )
    assert len(set(hues)) == 3
    said = moods.locator(".words").inner_text()
    label = moods.locator(".label strong").inner_text().lower()
    assert f"Words for {label}" in said
    assert f"Words against {label}" in said
    assert "the only model of this service" in moods.locator("#agreement").inner_text()
    choose_file(moods, "mine.csv", csv_of([["text"], ["lovely"], ["dull"]]))
    assert scored(moods)[0] == ["text", "predicted", "probability_calm", "probability_<b>glad</b>", "probability_sad"]
    assert moods.locator(".counts li").count() == 3


def test_a_key_is_asked_for_checked_and_kept_in_this_tab_alone(visit, guarded):
    page = visit(guarded)
    page.get_by_text("This service needs a key").wait_for()
    assert page.evaluate("document.activeElement.id") == "key"
    page.keyboard.type("a-wrong-key-of-24-letters")
    page.keyboard.press("Enter")
    page.get_by_text("The service does not accept this key.").wait_for()
    page.get_by_label("API key").fill("ключ")
    page.get_by_role("button", name="Use this key").click()
    page.get_by_text("A key has only letters, digits and other ASCII characters.").wait_for()
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Use this key").click()
    page.wait_for_selector(".card")
    assert page.locator("#key-form").is_hidden()
    page.get_by_label("Review", exact=True).fill("lovely")
    verdict(page, "<b>glad</b>")
    command = page.locator("#curl").inner_text()
    assert "Authorization: Bearer $PLAUDIT_API_KEY" in command
    assert KEY not in page.content()
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    page.reload()
    page.wait_for_selector(".card")


def test_the_command_line_is_one_that_a_shell_runs(page, shipped):
    text = "It's \"good\" – isn't it? $HOME `ls` \\ 😀\nYes."
    page.get_by_label("Review", exact=True).fill(text)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.get_by_text("Copied.").wait_for()
    command = page.evaluate("navigator.clipboard.readText()")
    shown = subprocess.run(["sh", "-c", command.replace("curl", "printf '%s\\0'", 1)], capture_output=True, check=True)
    arguments = shown.stdout.decode().split("\0")
    assert arguments[1] == f"{shipped}/v1/predict"
    assert json.loads(arguments[5]) == {"texts": text, "model": "bow"}


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_the_page_never_scrolls_sideways(visit, shipped, width):
    page = visit(shipped, width=width)
    page.wait_for_selector(".card")
    page.get_by_label("Review", exact=True).fill(f"{PAN} {'w' * 300}")
    page.locator(".words li").first.wait_for()
    choose_file(
        page, f"{'n' * 80}.csv", csv_of([["text", "label", "c" * 90], [PRAISE, "pos", "z" * 90], [PAN, "neg", "z"]])
    )
    scored(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


CONTRASTS = """() => {
  const parse = (said) => {
    const numbers = said.match(/[\\d.]+(?:e-?\\d+)?/g).map(Number);
    const scale = said.startsWith("color(") ? 255 : 1;
    return [...numbers.slice(0, 3).map((one) => one * scale), numbers[3] ?? 1];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((one, i) => one * a + under[i] * (1 - a));
  const linear = (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => rgb.reduce((sum, one, i) => sum + linear(one / 255) * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) =>
    element ? over(parse(getComputedStyle(element).backgroundColor), ground(element.parentElement)) : [255, 255, 255];
  const written = getComputedStyle(document.getElementById("review")).color;
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if ((!own && element.id !== "review") || !element.checkVisibility()) continue;
    if (element.id === "marked" || element.closest("noscript, .spoken, .skip, option")) continue;
    const style = getComputedStyle(element);
    const ink = element.tagName === "MARK" ? written : element instanceof SVGElement ? style.fill : style.color;
    const below = ground(element);
    const [high, low] = [light(over(parse(ink), below)), light(below)].sort((a, b) => b - a);
    const what = `${element.tagName}.${element.getAttribute("class")} ${element.textContent.slice(0, 30)}`;
    found.push([(high + 0.05) / (low + 0.05), what]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(visit, shipped, guarded, scheme):
    page = visit(shipped, color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_selector(".card")
    page.get_by_label("Review", exact=True).fill(DIVISIVE + " " + PAN)
    page.locator(".words li").first.wait_for()
    choose_file(page, "mine.csv", csv_of([["x", "label"], [PRAISE, "pos"], [PAN, "neg"], ["", "neg"]]))
    scored(page)
    page.mouse.move(2, 2)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 60
    choose_file(page, "mine.xlsx", b"PK")
    page.locator("#file-error", has_text="spreadsheet").wait_for()
    locked = visit(guarded, color_scheme=scheme)
    locked.get_by_role("button", name="Use this key").click()
    locked.get_by_text("Enter the key first.").wait_for()
    found += page.evaluate(CONTRASTS) + locked.evaluate(CONTRASTS)
    assert [(round(contrast, 2), what) for contrast, what in found if contrast < 4.5] == []


def test_everything_can_be_done_by_keyboard(page, tmp_path):
    def tab_to(script):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(f"(one => {script})(document.activeElement)"):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none" or page.evaluate("document.activeElement.id") == "review"
                return
        raise AssertionError(f"Tab never reaches {script}")

    # Playwright takes its time to intercept choosers once somebody listens; a key is quicker.
    page.on("filechooser", lambda _: None)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "review"
    page.keyboard.type(PAN)
    verdict(page, "negative")
    tab_to("one.textContent === 'Praise'")
    page.keyboard.press("Space")
    verdict(page, "positive")
    tab_to("one.type === 'radio'")
    page.keyboard.press("ArrowRight")
    page.get_by_text("ensemble says", exact=True).wait_for()
    tab_to("one.id === 'choose'")
    path = tmp_path / "mine.csv"
    path.write_text(csv_of([["text"], [PRAISE]]), newline="")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(path)
    page.locator("#start:focus").wait_for()
    page.keyboard.press("Enter")
    page.locator("#download:focus").wait_for()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "mine.scored.csv"


def test_landmarks_names_and_live_regions_are_there_for_screen_readers(page):
    page.get_by_label("Review", exact=True).fill(PRAISE)
    page.locator(".words li").first.wait_for()
    for landmark in ("banner", "main", "contentinfo", "navigation"):
        assert page.get_by_role(landmark).count() == 1
    unnamed = page.locator("button, input:not([hidden]), select, textarea, svg, progress").evaluate_all(
        "all => all.filter(one => one.checkVisibility() && !one.getAttribute('aria-label') && !one.labels?.length"
        " && !one.textContent.trim()).map(one => one.outerHTML)"
    )
    assert unnamed == []
    levels = page.locator("h1, h2, h3").evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map(one => +one.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
