from plaudit.report.numbers import duration, excerpt, interval, points, rate, size


def test_excerpt_keeps_beginning_and_end_at_whole_words():
    text = "The beginning of it all " + "and so on " * 50 + "but the end was good"
    short = excerpt(text, 40)
    assert short.startswith("The beginning of") and short.endswith("end was good")
    assert len(short) <= 43
    assert excerpt("short", 40) == "short"
    assert excerpt(text, 0) == ""
    assert len(excerpt("x" * 1_000, 40)) == 43


def test_quantities_read_well():
    assert [rate(value) for value in (154_870, 412, 9.9, 0.0213)] == ["155,000", "412", "9.9", "0.0213"]
    assert [duration(value) for value in (3.44, 59.97, 125, 3_900)] == [
        "3.4 s",
        "60.0 s",
        "2 min 05 s",
        "1 h 05 min",
    ]
    assert [size(value) for value in (2_950_000, 12_800_000, 1_500)] == ["2.95 MB", "12.8 MB", "1.5 kB"]
    assert interval((0.9132, 0.92)) == "91.32–92.00"
    assert [points(value) for value in (0.0016, -0.0016)] == ["+0.16", "−0.16"]
