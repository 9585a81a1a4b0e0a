"""A service of toy models without sockets, and clients to ask it."""

import asyncio
import io
import json

import httpx
import pytest

from plaudit.serve.log import Log
from plaudit.serve.run import Service
from plaudit.serve.settings import ServeSettings


class Client:
    """Sends requests to a service in this process, each on an event loop of its own, or many on one."""

    def __init__(self, service, log):
        self.service, self._log = service, log

    def request(self, method, path, **options):
        async def ask():
            return await self.asking().request(method, path, **options)

        return asyncio.run(ask())

    def asking(self):
        """Return an httpx client for use on an event loop."""
        transport = httpx.ASGITransport(self.service.gate, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://service")

    def predict(self, **content):
        return self.request("POST", "/v1/predict", json=content)

    def events(self):
        """Return what was logged so far."""
        return [json.loads(line) for line in self._log.getvalue().splitlines()]


@pytest.fixture
def serving(toy_bow_folder):
    """Return a function that makes a client of a service of the toy model, `toy`, with these settings."""

    def serve(*models, keys=(), log_texts=False, abstain_below=0.0, **settings):
        log = io.StringIO()
        service = Service(
            models or [f"toy={toy_bow_folder}"],
            settings=ServeSettings(**settings),
            keys=keys,
            log=Log(requests=True, file=log),
            abstain_below=abstain_below,
            log_texts=log_texts,
        )
        return Client(service, log)

    return serve
