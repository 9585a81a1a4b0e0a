import socket

import pytest

from plaudit.errors import SettingsError
from plaudit.serve.run import KEY_VARIABLE, bind, is_loopback, read_keys


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_loopback_is_told_from_what_others_reach(host, expected):
    assert is_loopback(host) is expected


def test_a_port_that_is_taken_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"--port {port}: cannot listen there"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_told(port):
    with pytest.raises(SettingsError, match="give 0 … 65535"):
        bind("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_told():
    with pytest.raises(SettingsError, match=r"--host 192\.0\.2\.1"):
        bind("192.0.2.1", 0)


def test_keys_come_from_the_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert read_keys(None) == []
    monkeypatch.setenv(KEY_VARIABLE, "k" * 16)
    assert read_keys(None) == ["k" * 16]
    (tmp_path / "keys").write_text(f"{'a' * 20}\n\n  {'b' * 20}  \n")
    assert read_keys(tmp_path / "keys") == ["a" * 20, "b" * 20]


@pytest.mark.parametrize(
    ("content", "said"), [("\n", "contains no key"), ("short\n", "key 1 needs 16 or more"), ("é" * 20, "ASCII")]
)
def test_keys_that_protect_nothing_are_refused(tmp_path, content, said):
    (tmp_path / "keys").write_text(content)
    with pytest.raises(SettingsError, match=said):
        read_keys(tmp_path / "keys")


def test_a_file_of_keys_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SettingsError, match="not a file of keys"):
        read_keys(tmp_path / "keys")
