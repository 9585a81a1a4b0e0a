import subprocess
import sys

from plaudit.evaluate import machine


def test_the_machine_is_described():
    assert machine.cpu_name()
    assert machine.num_cores() >= 1


def test_asking_for_the_gpu_does_not_import_torch():
    script = "import sys, plaudit.evaluate.machine as e; print(e.gpu_name(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(
        ["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_commit_is_told_only_by_a_repository_that_tracks_the_package(tmp_path, monkeypatch):
    module = tmp_path / "machine.py"
    module.write_text("first")
    monkeypatch.setattr(machine, "PACKAGE", tmp_path)
    monkeypatch.setattr(machine, "__file__", str(module))
    version = machine.code_version()
    assert version[0].isdigit() and "." in version

    git(tmp_path, "init", "--quiet")
    assert machine.code_version() == version  # a repository, but the package is not its own

    git(tmp_path, "add", "machine.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert machine.code_version() == commit

    module.write_text("second")
    assert machine.code_version() == f"{commit}-dirty"
