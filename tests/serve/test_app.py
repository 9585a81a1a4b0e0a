import asyncio
import json
import shutil
import threading

import pytest

import plaudit
from plaudit.bundle.folder import save_bundle
from plaudit.bundle.trained import TrainedModel
from plaudit.errors import BundleError, SettingsError
from plaudit.explain.explanation import explain
from plaudit.serve.problem import Problem

JSON = {"Content-Type": "application/json"}
KEY = "a-key-of-24-characters-or-so"
TEXTS = ["a lovely film", "dull and tedious", "", "Ünïcödé 😀 lovely"]


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_many_texts_are_judged_as_the_predictor_judges_them(serving, toy_bow_folder):
    answer = serving().predict(texts=TEXTS)
    assert answer.status_code == 200
    content = answer.json()
    predictor = plaudit.load(toy_bow_folder)
    probabilities = predictor.predict_proba(TEXTS)
    assert content["model"] == "toy"
    assert content["latency_ms"] > 0
    assert (
        [p["label"] for p in content["predictions"]]
        == predictor.predict(TEXTS)
        == ["positive", "negative", None, "positive"]
    )
    for prediction, row in zip(content["predictions"], probabilities, strict=True):
        assert list(prediction["probabilities"]) == ["negative", "positive"]
        assert list(prediction["probabilities"].values()) == pytest.approx(row, abs=1e-7)
        assert prediction["explanation"] is None


def test_a_blank_text_has_no_label_and_the_reason_is_said(serving):
    blank, empty, film = serving().predict(texts=[" \n\t", "", "a lovely film"]).json()["predictions"]
    assert [(p["label"], p["reason"]) for p in (blank, empty)] == [(None, "blank")] * 2
    assert (film["label"], film["reason"]) == ("positive", None)


def test_one_text_needs_no_list(serving):
    client = serving()
    one, listed = client.predict(texts="a lovely film"), client.predict(texts=["a lovely film"])
    assert one.json()["predictions"] == listed.json()["predictions"]


def test_an_explanation_is_that_of_the_command(serving):
    client = serving()
    text = "a lovely film, dull in parts"
    (prediction,) = client.predict(texts=text, explain=True).json()["predictions"]
    (expected,) = explain(client.service.models.by_name["toy"].predictor, [text])
    whole = expected.as_json()
    assert prediction["explanation"] == {name: whole[name] for name in prediction["explanation"]}
    assert [token["text"] for token in prediction["explanation"]["tokens"]][1] == "lovely"


def test_abstaining_is_a_label_of_null(serving):
    (prediction,) = serving(abstain_below=1.0).predict(texts="a film").json()["predictions"]
    assert (prediction["label"], prediction["reason"]) == (None, "unsure")
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)


def test_a_request_names_its_model(serving, toy_bow_folder):
    client = serving(f"one={toy_bow_folder}", f"two={toy_bow_folder}")
    assert client.predict(texts="a film").json()["model"] == "one"
    assert client.predict(texts="a film", model="two").json()["model"] == "two"
    answer = client.predict(texts="a film", model="tow")
    assert code(answer) == (404, "unknown_model")
    assert "did you mean two?" in answer.text


def test_models_and_limits_are_told(serving, toy_bow_folder):
    client = serving(max_texts=7)
    told = client.request("GET", "/v1/models").json()
    assert told["default"] == "toy"
    (model,) = told["models"]
    predictor = plaudit.load(toy_bow_folder)
    assert (model["name"], model["kind"], model["labels"]) == ("toy", "bow", ["negative", "positive"])
    assert (model["size_bytes"], model["digest"]) == (predictor.size_bytes, predictor.digest)
    assert client.request("GET", "/v1/limits").json()["max_texts"] == 7


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "body: Invalid JSON"),
        (b"{", "body: Invalid JSON"),
        (b"[]", "body: Input should be an object"),
        (b"{}", "texts: Field required"),
        (b'{"texts": []}', "texts: List should have at least 1 item"),
        (b'{"texts": ["a", 1]}', "texts.1: Input should be a valid string"),
        (b'{"texts": null}', "texts: Input should be a valid array"),
        (b'{"texts": "a", "modle": "toy"}', "body: modle is unknown; did you mean model?"),
        (b'{"texts": "a", "explain": "yes"}', "explain: Input should be a valid boolean"),
        (b'{"texts": "\\ud800"}', "body: Invalid JSON"),
        (b'{"texts": "\xff"}', "body: Invalid JSON"),
        (b'{"texts": ' + 100_000 * b"[", "body: Invalid JSON"),
    ],
)
def test_a_request_that_is_wrong_is_told_where(serving, content, said):
    answer = serving().request(
        "POST", "/v1/predict", content=content, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert code(answer) == (422, "invalid_request")
    assert answer.json()["error"]["message"].startswith(said)


@pytest.mark.parametrize(
    ("content", "expected", "said"),
    [
        ({"texts": ["a"] * 4}, "too_many_texts", "4 texts; the limit is 3"),
        ({"texts": ["a", "a" * 21]}, "text_too_long", "texts[1] has 21 characters; the limit is 20"),
        ({"texts": ["a"] * 3, "explain": True}, "too_many_texts", "explain 3 texts; the limit is 2"),
        ({"texts": "a" * 11, "explain": True}, "text_too_long", "11 characters; the limit is 10"),
    ],
)
def test_over_a_limit_is_422_with_the_limit(serving, content, expected, said):
    limits = {"max_texts": 3, "max_characters": 20, "max_explained_texts": 2, "max_explained_characters": 10}
    answer = serving(**limits).predict(**content)
    assert code(answer) == (422, expected)
    assert answer.json()["error"]["message"].endswith(said)


def test_a_body_over_the_limit_is_413_with_or_without_its_length(serving):
    client = serving(max_body_bytes=1000)
    content = json.dumps({"texts": "a" * 2000}).encode()

    async def pieces():
        yield content[:500]
        yield content[500:]

    for body in (content, pieces()):
        answer = client.request("POST", "/v1/predict", content=body, headers={"Content-Type": "application/json"})
        assert code(answer) == (413, "body_too_large")
        assert "1,000 bytes" in answer.text
        assert answer.headers["Connection"] == "close"


def test_a_body_that_is_not_called_json_is_refused(serving):
    answer = serving().request("POST", "/v1/predict", data={"texts": "a"})
    assert code(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"Content-Encoding": "gzip"}, "gzip"),
        ({"Content-Encoding": "br"}, "br"),
        ({"Content-Type": "application/json; charset=UTF-16"}, "UTF-16"),
    ],
)
def test_a_body_in_another_encoding_is_refused_by_its_name(serving, headers, named):
    answer = serving().request("POST", "/v1/predict", content=b"\x1f\x8b", headers={**JSON, **headers})
    assert code(answer) == (415, "unsupported_media_type")
    assert named in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers", [{"Content-Encoding": "identity"}, {"Content-Type": 'application/json; charset="utf-8"'}]
)
def test_a_body_that_is_called_plain_utf_8_is_read(serving, headers):
    body = json.dumps({"texts": "a lovely film"})
    assert serving().request("POST", "/v1/predict", content=body, headers={**JSON, **headers}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/page/page.js", "/healthz", "/readyz", "/openapi.json", "/v1/models", "/v1/limits", "/metrics"]
)
def test_head_is_answered_as_get_without_the_body(serving, path):
    client = serving()
    got, head = client.request("GET", path), client.request("HEAD", path)
    assert head.status_code == got.status_code
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert got.content
    assert not head.content


def test_paths_and_methods_that_are_not_there(serving):
    client = serving()
    assert code(client.request("GET", "/v2")) == (404, "not_found")
    answer = client.request("DELETE", "/v1/predict")
    assert code(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"
    assert client.request("HEAD", "/v1/predict").status_code == 405
    assert client.request("GET", "/page/../app.py").status_code == 404
    assert client.request("GET", "/page/%2e%2e/app.py").status_code == 404


def test_with_keys_only_page_and_probes_are_public(serving):
    client = serving(keys=["another-key-that-is-long", KEY])
    for path in ("/", "/healthz", "/readyz", "/openapi.json"):
        assert client.request("GET", path).status_code == 200
    for path in ("/v1/models", "/v1/limits", "/metrics"):
        answer = client.request("GET", path)
        assert code(answer) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert client.request("GET", path, headers={"Authorization": f"bearer {KEY}"}).status_code == 200


@pytest.mark.parametrize(
    "given", ["", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer", "Bearer é"]
)
def test_a_wrong_key_is_refused(serving, given):
    headers = {"Authorization": given.encode()}
    answer = serving(keys=[KEY]).request("POST", "/v1/predict", json={"texts": "a"}, headers=headers)
    assert code(answer) == (401, "unauthorized")


def test_every_answer_carries_the_security_headers_and_a_request_id(serving):
    client = serving(keys=[KEY])
    for path in ("/", "/healthz", "/nothing", "/v1/models"):
        headers = client.request("GET", path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert len(headers["X-Request-ID"]) == 16
        assert "Access-Control-Allow-Origin" not in headers
        assert "Server" not in headers


def test_a_request_keeps_its_id_if_that_is_harmless(serving):
    client = serving()
    for given, kept in [("abc-1", True), ("a" * 65, False), ('"\\', False)]:
        answer = client.request("GET", "/healthz", headers={"X-Request-ID": given})
        assert (answer.headers["X-Request-ID"] == given) is kept
        assert client.events()[-1]["id"] == answer.headers["X-Request-ID"]


def test_texts_are_logged_only_if_asked(serving):
    for log_texts in (False, True):
        client = serving(log_texts=log_texts)
        client.predict(texts="a lovely secret")
        (event,) = client.events()
        assert (event["event"], event["status"], event["model"], event["texts"]) == ("request", 200, "toy", 1)
        assert ("secret" in json.dumps(event)) is log_texts


def test_metrics_count_requests_and_verdicts(serving):
    client = serving()
    client.predict(texts=["lovely", "superb", "dull"])
    client.predict(texts=[])
    client.request("GET", "/who/knows")
    lines = client.request("GET", "/metrics").text.splitlines()
    assert 'plaudit_requests_total{path="/v1/predict",status="200"} 1.0' in lines
    assert 'plaudit_requests_total{path="/v1/predict",status="422"} 1.0' in lines
    assert 'plaudit_requests_total{path="other",status="404"} 1.0' in lines
    assert 'plaudit_verdicts_total{label="positive",model="toy"} 2.0' in lines
    assert "plaudit_requests_in_work 0.0" in lines


def test_a_client_cannot_make_metrics_grow(serving):
    client = serving()
    lengths = []
    for number in range(2):
        for path in ("/page/", "/who/knows/", "/v1/"):
            client.request("GET", f"{path}{number}")
        lengths.append(len(client.request("GET", "/metrics").text.splitlines()))
    # Only that /metrics itself was asked is new.
    assert lengths[1] - lengths[0] <= 2


def test_one_body_of_many_mistakes_is_told_the_first(serving):
    client = serving()
    many_numbers = client.request(
        "POST", "/v1/predict", content=b'{"texts": [' + b"1," * 500_000 + b"1]}", headers=JSON
    )
    assert many_numbers.json()["error"]["message"] == "texts.0: Input should be a valid string"
    names = ",".join(f'"{number}": 0' for number in range(200_000))
    assert code(client.request("POST", "/v1/predict", content=f"{{{names}}}", headers=JSON)) == (422, "invalid_request")


def test_an_answer_that_takes_too_long_is_given_up(serving, held):
    client = serving(answer_seconds=0.05, max_requests=1)
    released = held(client)
    assert code(client.predict(texts="lovely")) == (503, "overloaded")
    released.set()
    assert "plaudit_requests_in_work 0.0" in client.request("GET", "/metrics").text.splitlines()


def test_bodies_in_memory_are_bounded_together(serving):
    client = serving(max_held_bytes=100)
    assert code(client.predict(texts="a" * 200)) == (503, "overloaded")
    for _ in range(3):
        assert client.predict(texts="a" * 50).status_code == 200


def test_not_ready_while_it_stops(serving):
    client = serving()
    client.service.app.state.draining = lambda: True
    assert code(client.request("GET", "/readyz")) == (503, "stopping")
    assert client.request("GET", "/healthz").status_code == 200


@pytest.fixture
def held(monkeypatch):
    """Return a function that makes the toy model of a client wait, on its thread, until an event is set."""

    def hold(client):
        released = threading.Event()
        model = client.service.models.by_name["toy"]
        predict = model.predict

        def waiting(texts):
            assert released.wait(10)
            return predict(texts)

        monkeypatch.setattr(model.batcher, "_score", waiting)
        monkeypatch.setattr(model.batcher, "_seconds_per_character", 1.0)
        return released

    return hold


def test_a_full_service_sheds_at_once_and_finishes_what_it_accepted(serving, held):
    client = serving(max_requests=2)
    released = held(client)

    async def crowd():
        asking = client.asking()
        accepted = [asyncio.create_task(asking.post("/v1/predict", json={"texts": "lovely"})) for _ in range(2)]
        await asyncio.sleep(0.1)
        shed = await asyncio.wait_for(asking.post("/v1/predict", json={"texts": "dull"}), 1)
        others = await asking.get("/healthz")
        released.set()
        return shed, others, await asyncio.gather(*accepted), await asking.post("/v1/predict", json={"texts": "dull"})

    shed, others, accepted, after = asyncio.run(crowd())
    assert code(shed) == (503, "overloaded")
    assert shed.headers["Retry-After"] == "1"
    assert [answer.status_code for answer in (others, *accepted, after)] == [200] * 4


def test_too_many_explanations_are_shed_while_verdicts_go_on(serving, monkeypatch):
    client = serving(max_explaining=1)
    model = client.service.models.by_name["toy"]
    released = threading.Event()
    monkeypatch.setattr(model, "explain", lambda texts: released.wait(10) and explain(model.predictor, texts))

    async def crowd():
        asking = client.asking()
        content = {"texts": "lovely", "explain": True}
        first = asyncio.create_task(asking.post("/v1/predict", json=content))
        await asyncio.sleep(0.1)
        second = await asking.post("/v1/predict", json=content)
        verdict = await asking.post("/v1/predict", json={"texts": "lovely"})
        released.set()
        return await first, second, verdict

    first, second, verdict = asyncio.run(crowd())
    assert code(second) == (503, "overloaded")
    assert (first.status_code, verdict.status_code) == (200, 200)


def test_a_body_that_does_not_arrive_is_given_up(serving):
    client = serving(body_seconds=0.05)

    async def slow():
        yield b'{"texts": '
        await asyncio.sleep(5)

    answer = client.request("POST", "/v1/predict", content=slow(), headers={"Content-Type": "application/json"})
    assert code(answer) == (408, "too_slow")
    assert client.predict(texts="a").status_code == 200


def test_an_error_of_ours_is_logged_without_the_text_and_hurts_nobody_else(serving, monkeypatch):
    client = serving()
    model = client.service.models.by_name["toy"]
    predict = model.predict

    def failing(texts):
        if "bad" in texts[0]:
            raise ZeroDivisionError(texts[0])
        return predict(texts)

    monkeypatch.setattr(model.batcher, "_score", failing)
    answer = client.predict(texts="a bad secret")
    assert code(answer) == (500, "internal")
    crash = client.events()[0]
    assert (crash["event"], crash["error"]) == ("crash", "ZeroDivisionError")
    assert "secret" not in json.dumps(client.events())
    assert client.predict(texts="lovely").status_code == 200


def test_a_reload_lets_the_new_model_judge_and_finishes_with_the_old_one(
    serving, held, toy_bow, toy_bow_folder, tmp_path
):
    folder = tmp_path / "toy"
    shutil.copytree(toy_bow_folder, folder)
    client = serving(str(folder))
    old = client.request("GET", "/v1/models").json()["models"][0]["digest"]
    released = held(client)
    flipped = type(toy_bow)(
        toy_bow.settings, toy_bow.labels, keys=toy_bow.keys, weights=-toy_bow.weights, bias=-toy_bow.bias
    )

    async def change():
        asking = client.asking()
        before = asyncio.create_task(asking.post("/v1/predict", json={"texts": "lovely"}))
        await asyncio.sleep(0.1)
        shutil.rmtree(folder)
        save_bundle(TrainedModel(model=flipped), folder)
        came_of = await client.service.models.reload()
        after = await asking.post("/v1/predict", json={"texts": "lovely"})
        released.set()
        return (await before).json(), came_of, after.json()

    before, came_of, after = asyncio.run(change())
    assert came_of == {"toy": "new"}
    assert [answer["predictions"][0]["label"] for answer in (before, after)] == ["positive", "negative"]
    assert client.request("GET", "/v1/models").json()["models"][0]["digest"] != old
    assert f'digest="{old}"' not in client.request("GET", "/metrics").text


def test_a_model_that_cannot_be_loaded_again_goes_on_serving(serving, toy_bow_folder, tmp_path):
    shutil.copytree(toy_bow_folder, tmp_path / "toy")
    client = serving(str(tmp_path / "toy"))
    for spoil in (lambda manifest: manifest.write_text("{"), lambda manifest: shutil.rmtree(manifest.parent)):
        spoil(tmp_path / "toy" / "bundle.json")
        came_of = asyncio.run(client.service.models.reload())
        assert came_of["toy"].startswith("kept: ")
    assert client.predict(texts="lovely").status_code == 200


def test_models_that_are_not_there_or_share_a_name_are_refused(serving, toy_bow_folder):
    with pytest.raises(BundleError, match="did you mean bow"):
        serving("bwo")
    with pytest.raises(SettingsError, match="two models are called toy"):
        serving(str(toy_bow_folder), f"toy={toy_bow_folder}")


def test_a_problem_is_json_whatever_it_says():
    assert json.loads(Problem(400, "x", 'a "quoted" é\n').body)["error"]["message"] == 'a "quoted" é\n'
