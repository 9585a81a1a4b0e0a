"""The service as a process: signals, slow clients, cut connections."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

KEY = "a-key-of-24-characters-or-so"


@pytest.fixture
def start(toy_bow_folder, tmp_path):
    """Return a function that starts a service of the toy model on a free port: (process, URL, lines of its log)."""
    processes = []

    def started(*options, **environment):
        command = [sys.executable, "-m", "plaudit", "serve", "--port", "0", *options]
        if "--model" not in options:
            command += ["--model", f"toy={toy_bow_folder}"]
        log = tmp_path / "log"
        with log.open("w") as file:
            process = subprocess.Popen(command, stderr=file, stdout=file, env={**os.environ, **environment})
        processes.append(process)
        return process, event(log, "ready")["url"], log

    yield started
    for process in processes:
        process.kill()
        process.wait()


def event(log, name):
    """Wait until an event is in the log and return it."""
    for _ in range(600):
        for line in log.read_text().splitlines():
            if (found := json.loads(line))["event"] == name:
                return found
        time.sleep(0.05)
    raise AssertionError(f"no {name} in {log.read_text()}")


def predict(url, **content):
    return httpx.post(f"{url}/v1/predict", json=content, timeout=30)


def connected(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def head(length):
    lines = ("POST /v1/predict HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


BODY = b'{"texts": "a lovely film"}'


def test_slow_clients_cut_connections_and_nonsense_hurt_nobody_else(start):
    _, url, log = start()
    slow = [connected(url) for _ in range(20)]
    for client in slow:
        client.sendall(head(len(BODY)) + BODY[:5])
    for sent in (head(len(BODY)) + BODY[:5], head(len(BODY)), b"POST /v1/pre", b"\x00\xff\r\n\r\n", b"GET\r\n\r\n"):
        with connected(url) as cut:
            cut.sendall(sent)
    with connected(url) as unread:
        unread.sendall((head(len(BODY)) + BODY) * 200)
    assert predict(url, texts="a lovely film").json()["predictions"][0]["label"] == "positive"
    for client in slow:
        client.sendall(BODY[5:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        client.close()
    assert [line for line in log.read_text().splitlines() if "crash" in line] == []


def test_a_client_that_never_reads_keeps_nobody_from_being_judged(start):
    _, url, log = start("--set", "max_requests=2", "--set", "answer_seconds=1")
    texts = json.dumps({"texts": ["a lovely film"] * 1000}).encode()
    deaf = []
    for _ in range(4):
        client = connected(url)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            client.sendall((head(len(texts)) + texts) * 40)
        deaf.append(client)
    statuses = []
    while 200 not in statuses and len(statuses) < 50:  # what they asked for is judged first
        statuses.append(predict(url, texts="a lovely film").status_code)
        time.sleep(0.1)
    assert statuses[-1] == 200
    for client in deaf:
        client.close()
    assert "crash" not in log.read_text()


def test_a_client_waits_for_nothing_that_it_may_not_send(start):
    _, url, _ = start("--set", "max_body_bytes=1000")
    with connected(url) as client:
        client.sendall(head(10_000_000))
        assert client.recv(65536).startswith(b"HTTP/1.1 413")


def test_sigterm_finishes_what_was_accepted_and_takes_no_more(start):
    process, url, log = start()
    with connected(url) as client:
        client.sendall(head(len(BODY)) + BODY[:5])
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(httpx.ConnectError):
            predict(url, texts="a")
        client.sendall(BODY[5:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert process.wait(20) == 0
    assert event(log, "stopped")


def test_ctrl_c_ends_without_a_traceback(start):
    process, _, log = start()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert "Traceback" not in log.read_text()


def test_sighup_loads_models_again_without_dropping_a_request(start, toy_bow_folder, tmp_path):
    shutil.copytree(toy_bow_folder, tmp_path / "toy")
    process, url, log = start("--model", str(tmp_path / "toy"))
    statuses, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            statuses.append(predict(url, texts="a lovely film").status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    process.send_signal(signal.SIGHUP)
    assert event(log, "reloaded")["models"] == {"toy": "same"}
    stop.set()
    asking.join()
    assert set(statuses) == {200}


def test_a_key_comes_from_the_environment(start):
    _, url, _ = start(PLAUDIT_API_KEY=KEY)
    assert predict(url, texts="a").status_code == 401
    answer = httpx.post(f"{url}/v1/predict", json={"texts": "a"}, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200
