"""Write and submit a Slurm job that trains on many nodes and resumes by itself after preemption or a time limit."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from plaudit.distributed.launch import DEFAULT_PORT, Cluster
from plaudit.errors import INTERRUPTED_STATUS, OutputError, SettingsError

_WARNING_S = 120
# Each job of a node meets at a port of its own.
_RENDEZVOUS = f'"$head:$(({DEFAULT_PORT} + SLURM_JOB_ID % 1000))"'
_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
{gpus}#SBATCH --output={log}
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=USR1@{warning_s}
{options}
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# srun does not inherit --cpus-per-task from the job.
srun --kill-on-bad-exit=0 ${{SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"}} \\
    {command} --nodes "$SLURM_JOB_NUM_NODES" --rendezvous {rendezvous}
status=$?
case $status in  # stopped by a signal, or ended by USR1 or TERM before it could handle them
    {interrupted}|138|143)
        # After preemption or --signal, back into the queue; a job that scancel ends is not RUNNING any more.
        state=$(squeue --noheader --format=%T --jobs="$SLURM_JOB_ID")
        if [ "$state" = RUNNING ]; then scontrol requeue "$SLURM_JOB_ID"; fi ;;
esac
exit $status
"""


def job_script(
    cluster: Cluster, arguments: Sequence[str], *, name: str, log: Path, gpus: bool, options: Sequence[str]
) -> str:
    """Return the text of an sbatch script whose nodes each run `plaudit ARGUMENTS --nodes … --rendezvous …`.

    The name of `log` may contain sbatch's "%j". `options` are further ones for sbatch, such as "--partition=gpu".
    """
    if cluster.rendezvous is not None:
        cluster.check()
    for option in options:
        if not option.startswith("-"):
            raise SettingsError(f"--sbatch {option}: write the whole option, for example --partition=gpu")
    return _SCRIPT.format(
        name=shlex.quote(f"plaudit-{name}"),
        nodes=cluster.nodes,
        gpus=f"#SBATCH --gpus-per-node={cluster.ranks_per_node}\n" if gpus else "",
        log=shlex.quote(str(log.parent).replace("%", "%%") + f"/{log.name}"),
        warning_s=_WARNING_S,
        options="".join(f"#SBATCH {option}\n" for option in options),
        command=shlex.join([sys.executable, "-m", "plaudit", *arguments]),
        rendezvous=shlex.quote(cluster.rendezvous) if cluster.rendezvous else _RENDEZVOUS,
        interrupted=INTERRUPTED_STATUS,
    )


def submit(script: str, path: Path) -> str:
    """Write the script to `path`, submit it and return the job's number; SettingsError if Slurm refuses it."""
    if shutil.which("sbatch") is None:
        raise SettingsError("sbatch: not found; submit from a node with Slurm, or print the script with --dry-run")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: not written: {error.strerror}; choose another --out folder") from None
    done = subprocess.run(["sbatch", "--parsable", str(path)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reasons = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise SettingsError(f"{path}: sbatch refused it: {reasons[-1]}")
    return done.stdout.strip().partition(";")[0]
