"""The job script: its text, and its shell's logic with other programs in the place of Slurm's."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from plaudit.distributed.launch import Cluster
from plaudit.distributed.slurm import job_script, submit
from plaudit.errors import OutputError, SettingsError

ARGUMENTS = ("launch", "/data/toy.toml", "--out", "/runs/toy", "--resume")


def script_of(cluster=None, arguments=ARGUMENTS, *, name="toy", log="/runs/toy/slurm-%j.log", gpus=False, options=()):
    return job_script(cluster or Cluster(nodes=2), arguments, name=name, log=Path(log), gpus=gpus, options=options)


def directives(script):
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Programs of Slurm's names on the PATH; call it with the text of one. What they are given is in `told`."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "1234")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node[7-8]")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)

    def write(name, text):
        program = programs / name
        program.write_text(f'#!/bin/bash\necho {name} "$@" >> {tmp_path}/told\n{text}\n')
        program.chmod(0o755)

    write("scontrol", 'if [ "$1" = show ]; then echo node7; echo node8; fi')
    write("squeue", "echo RUNNING")
    write("srun", "exit 0")
    return write


def run_script(tmp_path, script):
    path = tmp_path / "job.sh"
    path.write_text(script)
    return subprocess.run(["bash", path], timeout=30).returncode


def told(tmp_path):
    return (tmp_path / "told").read_text().splitlines()


def test_nodes_are_asked_for_and_warned_before_their_time_is_up():
    assert directives(script_of()) == [
        "--job-name=plaudit-toy",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--output=/runs/toy/slurm-%j.log",
        "--open-mode=append",
        "--requeue",
        "--signal=USR1@120",
    ]


def test_gpus_are_asked_for_where_ranks_use_them():
    cluster = Cluster(nodes=2, ranks_per_node=4)
    assert "--gpus-per-node=4" in directives(script_of(cluster, gpus=True))
    assert "gpu" not in script_of(cluster)


def test_options_of_sbatch_come_last_and_so_win():
    options = ["--signal=USR1@300", "-p gpu", "--comment='a b'"]
    assert directives(script_of(options=options))[-3:] == options


def test_an_option_that_sbatch_would_not_take_is_refused():
    with pytest.raises(SettingsError, match=r"--sbatch partition=gpu: write the whole option, for example --"):
        script_of(options=["partition=gpu"])


@pytest.mark.parametrize("rendezvous", ["node1", "localhost:0", "localhost:65536", "no.such.host.invalid:29400"])
def test_a_wrong_rendezvous_is_refused_before_the_job_waits_in_the_queue(rendezvous):
    with pytest.raises(SettingsError, match=f"--rendezvous {rendezvous}: "):
        script_of(Cluster(nodes=2, rendezvous=rendezvous))


@pytest.mark.parametrize("name", ["toy", 'a toy\'s "recipe" $HOME `id`'])
@pytest.mark.parametrize("options", [(), ("--time=1:00:00", "-C fast")])
@pytest.mark.parametrize("gpus", [False, True])
def test_bash_accepts_the_script(name, options, gpus):
    script = script_of(name=name, log=f"/runs/{name}/slurm-%j.log", gpus=gpus, options=options)
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_log_may_lie_in_a_folder_with_spaces_and_percent_signs():
    assert "--output='/runs/50%% of it/slurm-%j.log'" in directives(script_of(log="/runs/50% of it/slurm-%j.log"))


def test_every_node_launches_the_recipe_with_its_paths_whole(slurm, tmp_path):
    slurm("srun", f"""printf '%s\\n' "$@" > {tmp_path}/arguments""")
    arguments = ("launch", "/data/my toy's $HOME.toml", "--out", "/runs/a b")
    assert run_script(tmp_path, script_of(arguments=arguments)) == 0
    given = (tmp_path / "arguments").read_text().splitlines()
    assert given[:4] == ["--kill-on-bad-exit=0", given[1], "-m", "plaudit"]
    assert given[4:] == [*arguments, "--nodes", "2", "--rendezvous", "node7:29634"]


def test_jobs_that_share_a_node_meet_at_ports_of_their_own(slurm, tmp_path, monkeypatch):
    ports = set()
    for job in ("1234", "1235"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        run_script(tmp_path, script_of())
        ports.add(told(tmp_path)[-1].rpartition(":")[2])
    assert ports == {"29634", "29635"}


def test_nodes_meet_where_they_are_told_to(slurm, tmp_path):
    run_script(tmp_path, script_of(Cluster(nodes=2, rendezvous="127.0.0.1:5000")))
    assert told(tmp_path)[-1].endswith(" --nodes 2 --rendezvous 127.0.0.1:5000")


def test_tasks_get_the_processors_that_the_job_was_given(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "16")
    run_script(tmp_path, script_of())
    assert " --cpus-per-task=16 " in told(tmp_path)[-1]


@pytest.mark.parametrize("status", [130, 138, 143])
def test_a_job_that_was_told_to_stop_goes_back_into_the_queue(slurm, tmp_path, status):
    slurm("srun", f"exit {status}")
    assert run_script(tmp_path, script_of()) == status
    assert told(tmp_path)[-1] == "scontrol requeue 1234"


@pytest.mark.parametrize("status", [0, 1, 2, 137])
def test_a_job_that_ends_by_itself_does_not(slurm, tmp_path, status):
    slurm("srun", f"exit {status}")
    assert run_script(tmp_path, script_of()) == status
    assert not [line for line in told(tmp_path) if "requeue" in line]


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", ""])
def test_a_job_that_is_cancelled_does_not(slurm, tmp_path, state):
    slurm("srun", "exit 143")
    slurm("squeue", f"echo {state}")
    assert run_script(tmp_path, script_of()) == 143
    assert not [line for line in told(tmp_path) if "requeue" in line]


def test_a_script_that_is_ended_itself_does_not(slurm, tmp_path):
    slurm("srun", f"touch {tmp_path}/runs; trap 'exit 130' TERM; while :; do sleep 0.05; done")
    (tmp_path / "job.sh").write_text(script_of())
    process = subprocess.Popen(["bash", tmp_path / "job.sh"], start_new_session=True)
    while not (tmp_path / "runs").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)  # as scancel does: script and tasks at once
    assert process.wait(timeout=30) == -signal.SIGTERM
    assert not [line for line in told(tmp_path) if "requeue" in line]


def test_a_script_is_written_and_submitted(slurm, tmp_path):
    slurm("sbatch", "echo '77;cluster'")
    path = tmp_path / "a folder" / "job.sh"
    assert submit(script_of(), path) == "77"
    assert path.read_text() == script_of()
    assert told(tmp_path) == [f"sbatch --parsable {path}"]


@pytest.mark.parametrize(
    ("says", "message"),
    [("echo 'sbatch: error: no such partition' >&2; exit 1", "no such partition"), ("exit 3", "status 3")],
)
def test_what_slurm_objects_to_is_told(slurm, tmp_path, says, message):
    slurm("sbatch", says)
    with pytest.raises(SettingsError, match=f"job.sh: sbatch refused it: .*{message}"):
        submit(script_of(), tmp_path / "job.sh")


def test_a_machine_without_slurm_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="sbatch: not found; submit from a node with Slurm, or print"):
        submit(script_of(), tmp_path / "run" / "job.sh")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_is_told(slurm, tmp_path):
    slurm("sbatch", "echo 77")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/ranks/job\.sh: not written: .*; choose another --out folder"):
        submit(script_of(), tmp_path / "file" / "ranks" / "job.sh")
