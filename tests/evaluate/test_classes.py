import pytest

from plaudit.evaluate.classes import Confused, cautions, class_figures, confusions, largest_class


@pytest.fixture
def result(make_result):
    return make_result(labels=("a", "b", "c"), confusion=((6, 1, 0), (2, 1, 0), (0, 0, 0)))


def test_recall_is_of_the_labelled_and_precision_of_the_predicted(result):
    a, b, c = class_figures(result)
    assert (a.n, a.recall, a.precision) == (7, 6 / 7, 6 / 8)
    assert (b.n, b.recall, b.precision) == (3, 1 / 3, 1 / 2)
    assert a.f1 == pytest.approx(0.8)
    assert (c.n, c.recall, c.precision, c.f1) == (0, None, None, None)


def test_a_class_that_is_never_right_has_an_f1_of_nothing(make_result):
    first, second = class_figures(make_result(accuracy=0.6, confusion=((6, 0), (4, 0))))
    assert (second.recall, second.precision, second.f1) == (0, None, 0)
    assert first.recall == 1


def test_the_largest_class_is_that_of_most_labels_not_of_most_predictions(make_result):
    assert largest_class(make_result(confusion=((1, 5), (0, 4)))) == ("neg", 0.6)


def test_the_most_frequent_confusion_comes_first(result):
    assert confusions(result) == [Confused("b", "a", 2, 3), Confused("a", "b", 1, 7)]


@pytest.mark.parametrize(
    ("right", "interval", "expected"),
    [
        (0.51, (0.455, 0.565), ["m: no better than always answering neg: 51.0 % (45.5–56.5) against 50.0 %"]),
        (0.4, (0.35, 0.45), ["m: no better than always answering neg: 40.0 % (35.0–45.0) against 50.0 %"]),
        (0.6, (0.51, 0.65), []),
    ],
)
def test_a_model_whose_interval_holds_the_largest_class_is_no_better(make_result, right, interval, expected):
    result = make_result(model="m", n=100, confusion=((25, 25), (25, 25)), accuracy=right, accuracy_ci95=interval)
    assert cautions([result]) == expected


def test_fewer_than_a_hundred_texts_are_called_few(make_result):
    few = make_result(model="m", n=99, confusion=((49, 1), (1, 48)), accuracy=0.98, accuracy_ci95=(0.93, 0.99))
    assert cautions([few, few]) == ["only 99 texts were tested, too few to tell: see the intervals"]
