import io

from rich.console import Console

from plaudit.evaluate.results import Latency
from plaudit.evaluate.view import print_results


def shown(*results, width=80):
    output = io.StringIO()
    print_results(results, Console(file=output, width=width))
    return output.getvalue().splitlines()


def test_every_figure_is_whole_on_80_columns_whatever_the_name(make_result):
    large = make_result(
        model="bidirectional-lstm-of-256-units-with-attention",
        accuracy=1,
        accuracy_ci95=(0.9975, 1),
        reviews_per_second=1_234_567,
        size_bytes=412_345_678,
        latency_ms=Latency(p50=123.4, p99=1234.5),
    )
    lines = shown(make_result(), large)
    text = "\n".join(lines)
    assert max(len(line) for line in lines if "no better than" not in line) <= 80
    for figure in ("90.00 (60.00–98.00)", "100.00 (99.75–100.00)", "1,234,567", "1,234.50", "412.35", "p99 ms", "MB"):
        assert figure in text
    first_cells = "".join(line.split()[0] for line in lines if line.split())
    assert large.model in first_cells.replace("imdb,", "")


def test_the_most_accurate_model_comes_first(make_result):
    lines = shown(make_result(model="worse", accuracy=0.7), make_result(model="better", accuracy=0.8))
    assert [line.split()[0] for line in lines if "worse  " in line or "better  " in line] == ["better", "worse"]


def test_each_data_set_has_its_own_table(make_result):
    lines = shown(make_result(data="imdb"), make_result(data="own.csv", auc=None))
    assert [line.strip() for line in lines if "reviews" in line and "reviews/s" not in line] == [
        "imdb, test: 10 reviews",
        "own.csv, test: 10 reviews",
    ]
    assert any("  –  " in line for line in lines)


def test_what_forbids_to_trust_the_figures_stands_below_them(make_result):
    lines = shown(make_result(accuracy=0.6, accuracy_ci95=(0.3, 0.8), confusion=((3, 2), (2, 3))))
    assert lines[-3:] == [
        "always answering neg: 50.00 % accuracy",
        "bow: no better than always answering neg: 60.0 % (30.0–80.0) against 50.0 %",
        "only 10 texts were tested, too few to tell: see the intervals",
    ]
