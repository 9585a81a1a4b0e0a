"""Runs the service until a signal stops it: address, keys and signals."""

import asyncio
import gc
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from plaudit.errors import SettingsError
from plaudit.serve.app import create_app
from plaudit.serve.gate import Gate
from plaudit.serve.log import Log
from plaudit.serve.metrics import Metrics
from plaudit.serve.served import ServedModels
from plaudit.serve.settings import ServeSettings
from plaudit.threads import stay_on_this_thread

KEY_VARIABLE = "PLAUDIT_API_KEY"
MIN_KEY_CHARACTERS = 16


class Service:
    """Models, application and gate of one service."""

    def __init__(
        self,
        models: Sequence[str],
        *,
        settings: ServeSettings,
        keys: Sequence[str],
        log: Log,
        abstain_below: float = 0.0,
        log_texts: bool = False,
    ) -> None:
        """Load the models; BundleError or SettingsError if one is missing."""
        metrics = Metrics()
        self.log = log
        self.settings = settings
        self.models = ServedModels(models, abstain_below=abstain_below, settings=settings, metrics=metrics)
        self.app = create_app(
            self.models, settings=settings, metrics=metrics, log_texts=log_texts, needs_key=bool(keys)
        )
        self.gate = Gate(self.app, settings=settings, keys=keys, metrics=metrics, log=log)

    def run(self, listener: socket.socket) -> None:
        """Serve on a bound socket until SIGTERM or Ctrl-C; SIGHUP reloads the models."""
        # Our log has what matters of uvicorn's, which also warns of every request that is not HTTP.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        config = uvicorn.Config(
            self.gate,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=self.settings.shutdown_seconds,
        )
        server = uvicorn.Server(config)
        self.app.state.draining = lambda: server.should_exit
        # A full collection takes 0.15 s because libraries made half a million objects; those stay anyway.
        gc.collect()
        gc.freeze()
        # These serve until uvicorn installs its own, and after it has stopped and raises the signal again.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: setattr(server, "should_exit", True))
        stay_on_this_thread()
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            if _handles_hangups():
                runner.get_loop().add_signal_handler(signal.SIGHUP, self._reload_soon)
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            served = {name: model.predictor.digest for name, model in self.models.by_name.items()}
            listener.listen(config.backlog)
            self.log.event("ready", url=f"http://{shown}:{port}", models=served, pid=os.getpid())
            runner.run(server.serve(sockets=[listener]))
        self.log.event("stopped")

    def _reload_soon(self) -> None:
        # The loop keeps no strong reference to a task.
        self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        self.log.event("reloaded", models=await self.models.reload())


def ignore_hangups() -> None:
    """Ignore SIGHUP until there are models to reload."""
    if _handles_hangups():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _handles_hangups() -> bool:
    return hasattr(signal, "SIGHUP") and not sys.stderr.isatty()  # a terminal that closes sends one too


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; SettingsError if that is impossible."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two services share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"--host {host} --port {port}: cannot listen there ({error.strerror})") from None
    except OverflowError:
        listener.close()
        raise SettingsError(f"--port {port}: give 0 … 65535") from None
    return listener


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_keys(file: Path | None) -> list[str]:
    """Return the keys in a file, one per line, or in PLAUDIT_API_KEY; none if neither is given.

    SettingsError if the file is unreadable or has no key, or if a key is too short or not ASCII.
    """
    if file is not None:
        source = str(file)
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file}: not a file of keys ({error}); write one key per line") from None
    else:
        source = KEY_VARIABLE
        lines = os.environ.get(KEY_VARIABLE, "").splitlines()
    keys = [line.strip() for line in lines if line.strip()]
    if file is not None and not keys:
        raise SettingsError(f"{file}: contains no key; write one per line")
    for number, key in enumerate(keys, start=1):
        if len(key) < MIN_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
            raise SettingsError(
                f"{source}: key {number} needs {MIN_KEY_CHARACTERS} or more ASCII characters; "
                "`openssl rand -hex 24` makes one"
            )
    return keys
