import io
import json
import re
import sys
from html.parser import HTMLParser

import pytest
from rich.console import Console

from plaudit.cli.main import main
from plaudit.errors import OutputError
from plaudit.explain import view
from plaudit.explain.explanation import Explanation, Token, explain


def explanation_of(text, contributions, **changes):
    """An explanation of a text whose words contribute these numbers."""
    spans = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
    tokens = tuple(Token(s, e, text[s:e], c) for (s, e), c in zip(spans, contributions, strict=True))
    total = sum(contributions)
    values = {"label": "positive", "predicted": "positive", "probability": 0.9, "method": "exact", "rest": 0.1}
    return Explanation(**({"text": text, "tokens": tokens, "log_odds": total + 0.1} | values | changes))


def shown(explanation, *, color=False, **options):
    output = io.StringIO()
    system = "truecolor" if color else None
    view.print_explanation(
        explanation, Console(file=output, width=80, force_terminal=color, color_system=system), **options
    )
    return output.getvalue()


class Page(HTMLParser):
    """What is on a page: marks as (class, title, text), the text of paragraphs, and all tags."""

    def __init__(self, page):
        super().__init__()
        self.marks, self.tags, self.text, self._open = [], [], "", None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "mark":
            self._open = dict(attributes)

    def handle_endtag(self, tag):
        self._open = None if tag == "mark" else self._open

    def handle_data(self, data):
        self.text += data
        if self._open and "title" in self._open:
            self.marks.append((self._open["class"], self._open["title"], data))


def test_the_terminal_shows_verdict_text_words_and_sum():
    lines = shown(explanation_of("Dull but Lovely, lovely", [-1, 0.01, 0.5, 1.5])).splitlines()
    assert lines == [
        "positive 0.900",
        "Dull but Lovely, lovely",
        "for     lovely +1.50, lovely, +0.50, but +0.01",
        "against dull -1.00",
        "log-odds +1.11 = words +1.01, rest +0.10, unexplained +0.00; exact",
    ]


def test_a_label_that_is_not_the_verdict_is_shown_with_the_verdict():
    assert shown(explanation_of("hm", [1], predicted="negative")).startswith("positive 0.900 (predicted negative)\n")


def test_words_are_coloured_by_sign_and_strength():
    coloured = shown(explanation_of("dull but lovely", [-0.5, 0.01, 1]), color=True)
    text = coloured.splitlines()[1]
    strong_for, weak_against = ("48;2;74;154;212", "48;2;245;170;78")
    assert re.search(rf"\x1b\[[^m]*{strong_for}m(\S+)\x1b", text)[1] == "lovely"
    assert re.search(rf"\x1b\[[^m]*{weak_against}m(\S+)\x1b", text)[1] == "dull"
    assert " but " in text


def test_occurrences_of_a_word_are_summed_whatever_their_case():
    pro, con = explanation_of("Fine fine FINE dull", [1, 1, 1, -2]).top_words(5)
    assert (pro, con) == ([("fine", 3)], [("dull", -2)])


def test_top_limits_the_lists():
    text = shown(explanation_of("a b c d", [1, 2, 3, -1]), top=1)
    assert "for     c +3.00\n" in text


def test_controls_of_the_terminal_and_markup_in_a_text_do_nothing():
    text = shown(explanation_of("\x1b[31mred [bold]x[/] \x07\x9b", [1, 1, 1]), color=True)
    assert "\x1b[31m" not in text
    assert "\x07" not in text
    assert "[bold]x[/]" in text


def test_a_text_without_words_is_shown():
    assert "for     –" in shown(explanation_of("", []))


def test_the_page_marks_words_with_their_numbers_and_keeps_the_text():
    text = 'A  <b>Lovely</b>\n "film" & dull <i>'
    page = Page(view.html_page([explanation_of(text, [0.001, 2, 0.3, 0.001, -1, 0.001])], model="bow"))
    assert page.marks == [
        ("for", "+2.000", "<b>Lovely</b>"),
        ("for", "+0.300", '"film"'),
        ("against", "-1.000", "dull"),
    ]
    assert text in page.text


def test_the_page_runs_and_fetches_nothing_whatever_the_text_says(toy_bow):
    evil = '<script>alert(1)</script><img src=x onerror="a"> lovely \' " </style> \ud83d'
    page = view.html_page(explain(toy_bow, [evil]), model='<script>"')
    tags = set(Page(page).tags)
    assert not tags & {"script", "img", "link", "iframe"}
    assert tags <= {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "p",
        "mark",
        "article",
        "dl",
        "dt",
        "dd",
    }
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page


def test_the_page_is_written_whole_half_a_surrogate_pair_included(toy_bow, tmp_path):
    view.write_html(tmp_path / "new" / "why.html", explain(toy_bow, ["lovely \ud83d"]), model="bow")
    assert (tmp_path / "new" / "why.html").read_text(encoding="utf-8").endswith("</html>\n")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        view.write_html(tmp_path / "file" / "why.html", [], model="bow")


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_letters_are_readable_on_every_colour(theme):
    for background in (view.FOR[theme], view.AGAINST[theme], view.PAPER[theme]):
        assert contrast(view.INK[theme], background) > 4.5
    for background in (*view._FOR_SHADES, *view._AGAINST_SHADES):
        assert contrast("#000000", background) > 4.5


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs the command in this process: (status, stdout, stderr)."""

    def call(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["plaudit", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


def test_explain_prints_each_text_and_writes_the_page(command, toy_bow_folder, tmp_path):
    page = tmp_path / "why.html"
    arguments = ("explain", "-m", str(toy_bow_folder), "a lovely film", "a dull film", "--html", str(page))
    status, out, err = command(*arguments)
    assert (status, err) == (0, f"page: {page}\n")
    assert [block.splitlines()[1] for block in out.split("\n\n")] == ["a lovely film", "a dull film"]
    assert Page(page.read_text()).tags.count("article") == 2


def test_explain_reads_lines_and_prints_one_json_object_for_each(command, toy_bow_folder):
    options = ("--json", "--method", "occlusion", "--target", "negative")
    status, out, err = command("explain", "-m", str(toy_bow_folder), *options, stdin="lovely Ärger\r\n\n".encode())
    assert (status, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert (first["text"], second["text"], second["tokens"]) == ("lovely Ärger", "", [])
    assert (first["label"], first["predicted"], first["method"]) == ("negative", "positive", "occlusion")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no texts: give some as arguments or as lines on stdin"),
        (("hi", "--method", "gradients"), "method gradients: not for a bow model; give exact or occlusion"),
        (("hi", "--target", "good"), "label good is unknown; known: negative, positive"),
        (("hi", "--json", "--top", "3"), "--top has no effect on --json, which lists every word; leave it out"),
    ],
)
def test_a_mistake_is_one_line(command, toy_bow_folder, arguments, message):
    assert command("explain", "-m", str(toy_bow_folder), *arguments) == (2, "", f"error: {message}\n")
