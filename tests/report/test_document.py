from plaudit.report.document import Span, spans


def test_code_and_weight_are_marked_and_the_rest_stands_as_it_is():
    assert spans("run `plaudit run x` **now**, <b>") == [
        Span("run "),
        Span("plaudit run x", "code"),
        Span(" "),
        Span("now", "strong"),
        Span(", <b>"),
    ]


def test_marks_that_do_not_close_are_text():
    assert spans("2 ** 3 and a ` tick") == [Span("2 ** 3 and a ` tick")]
    assert spans("") == []
