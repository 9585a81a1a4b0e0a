"""The OpenAPI document and the service agree, whatever is sent."""

import hypothesis
import pytest
import schemathesis

from plaudit.serve.log import Log
from plaudit.serve.run import Service
from plaudit.serve.settings import ServeSettings

KEY = "a-key-of-24-characters-or-so"


@pytest.fixture(scope="session")
def document(toy_bow_folder, tmp_path_factory):
    log = (tmp_path_factory.mktemp("log") / "log").open("w")
    service = Service(
        [f"toy={toy_bow_folder}"],
        settings=ServeSettings(
            wait_ms=0, max_texts=5, max_explained_texts=5, max_characters=50, max_explained_characters=50
        ),
        keys=[KEY],
        log=Log(requests=True, file=log),
    )
    yield schemathesis.openapi.from_asgi("/openapi.json", service.gate)
    log.close()


def tried(document, num_examples, check):
    """Send what the document promises to take, and bodies that it does not; return the operations."""
    operations = [found.ok() for found in document.get_all_operations()]
    for operation in operations:
        modes = list(schemathesis.GenerationMode) if operation.body else [schemathesis.GenerationMode.POSITIVE]
        for mode in modes:

            @hypothesis.settings(
                max_examples=num_examples,
                derandomize=True,
                deadline=None,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def sent(case):
                check(case)

            sent()
    return operations


@pytest.mark.slow
def test_no_answer_breaks_the_document(document):
    operations = tried(document, 100, lambda case: case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"}))
    assert len(operations) == 6


def test_what_the_document_protects_needs_the_key(document):
    def check(case):
        protected = "security" in document.raw_schema["paths"][case.path][case.method.lower()]
        assert (case.call().status_code == 401) is protected

    tried(document, 3, check)
