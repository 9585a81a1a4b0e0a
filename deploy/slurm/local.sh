#!/usr/bin/env bash
# Starts a real Slurm cluster of two nodes on this machine, to try out job scripts; see README.md in this folder.
# Everything lies in one folder, key and socket included: a Slurm or munge of the system is neither read nor touched.
set -eu

fail() { echo "local.sh: $*" >&2 && exit 1; }

[ $# -eq 2 ] || fail "usage: local.sh start|stop|status DIR"
dir=$(realpath -m -- "$2")
export SLURM_CONF="$dir/slurm.conf"
mark="# Written by local.sh start"
daemons="munged slurmctld node1 node2" # in the order of starting; each has a NAME.pid and a NAME.log in the folder

# Prints the process id of a running daemon. An old pid file may name an unrelated process, so its command line is checked.
pid_of() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && grep -qsF "$dir/" "/proc/$pid/cmdline" && echo "$pid"
}
gone() { ! pid_of "$1"; }
settled() { for name in $daemons; do pid_of "$name" || return 0; done && two_idle; }
two_idle() { [ "$(sinfo --noheader --partition=low --format='%T %D')" = "idle 2" ]; }
no_jobs() { [ -z "$(squeue --noheader)" ]; }
taken() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Prints the process ids of steps and of what they started: all of it outlives slurmd.
leftovers() {
    local process
    for process in /proc/[0-9]*; do
        grep -qszxF "SLURM_CONF=$SLURM_CONF" "$process/environ" || continue
        grep -qsx slurmstepd "$process/comm" || grep -qszx 'SLURMD_NODENAME=node[12]' "$process/environ" || continue
        echo "${process#/proc/}"
    done
}

running() {
    for name in $daemons; do if pid_of "$name"; then return; fi; done
    leftovers | grep .
}

# Tries a command until it succeeds, for so many seconds at most.
within() {
    for _ in $(seq $(($1 * 10))); do
        if "${@:2}" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done && return 1
}

stop() {
    local name signal pid
    if pid_of slurmctld >/dev/null; then # jobs first, while there are daemons to end them
        squeue --noheader --format=%A | xargs -r scancel --quiet || true
        within 15 no_jobs || true
    fi
    for name in $(echo "$daemons" | tr ' ' '\n' | tac); do
        for signal in TERM KILL; do
            if pid=$(pid_of "$name"); then kill -s $signal "$pid" || true; fi
            if within 5 gone "$name"; then break; fi
        done
        rm -f "$dir/$name.pid"
    done
    leftovers | xargs -r kill -s KILL 2>/dev/null || true
}

died() { stop && fail "$1 died: $(grep -E 'fatal|[Ee]rror' "$dir/$1.log" | tail -n 1)"; }

# Starts a daemon, which goes to the background by itself and then writes its pid file.
launch() {
    : >"$dir/$1.log"
    if ! "${@:2}" </dev/null >>"$dir/$1.log" 2>&1 || ! within 5 pid_of "$1"; then died "$1"; fi
}

start() {
    local program host port megabytes name
    [ "$(id -u)" = 0 ] || fail "needs root: slurmd starts jobs as their users"
    for program in munged slurmctld slurmd srun; do
        command -v $program >/dev/null || fail "no $program: apt-get install slurm-wlm munge"
    done
    case $dir in *[!A-Za-z0-9/._+-]*) fail "$dir: only letters, digits and /._+- can stand in slurm.conf" ;; esac
    [ ${#dir} -le 75 ] || fail "$dir: longer than 75 characters, too long for the sockets in it"
    ! running >/dev/null || fail "$dir: a cluster runs there already; stop it first"
    [ ! -e "$SLURM_CONF" ] || grep -qxF "$mark" "$SLURM_CONF" || fail "$SLURM_CONF: not local.sh's; take another folder"
    mkdir -p "$dir/state" "$dir/node1" "$dir/node2" 2>/dev/null || fail "$dir: cannot be made"
    (umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")

    # Three free ports in a row, from a place that depends on the folder: two clusters that start at once do not meet.
    port=$((20000 + $(echo "$dir" | cksum | cut -d ' ' -f 1) % 4000 * 3))
    while taken $port || taken $((port + 1)) || taken $((port + 2)); do port=$((port + 3)); done
    host=$(uname -n) host=${host%%.*} megabytes=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
    cat >"$SLURM_CONF" <<END
$mark
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
# A requeued job waits cred_expire + 1 seconds before it may start; 121 by default.
AuthInfo=socket=$dir/munge.socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/%n.log
# No cgroups. With proctrack/cgroup, which clusters have, signals but SIGKILL reach a step's tasks alone; here also
# what the tasks started.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# A job has its nodes to itself. Each node claims the whole machine.
SelectType=select/linear
SlurmdParameters=config_overrides
NodeName=node[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 2))] CPUs=$(nproc --all) \
RealMemory=$megabytes
# Jobs of high take the nodes of jobs of low, which get a signal, have GraceTime seconds and are then requeued.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=30
PartitionName=high Nodes=ALL PriorityTier=2 PreemptMode=OFF
JobRequeue=1
# Nobody wants to wait: seconds from SIGTERM to SIGKILL, until a silent node is down, between looks at the queue.
KillWait=5
SlurmdTimeout=20
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
END
    trap 'stop; exit 1' INT TERM
    # --force: munged otherwise refuses folders that others may not enter, or may write to.
    launch munged munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" \
        --log-file="$dir/munged.log" --seed-file="$dir/munged.seed"
    launch slurmctld slurmctld -c -f "$SLURM_CONF"
    for name in node1 node2; do launch $name slurmd -c -N $name -f "$SLURM_CONF"; done
    within 30 settled || true
    for name in $daemons; do pid_of "$name" >/dev/null || died "$name"; done
    two_idle || { stop && fail "the nodes are not idle after 30 seconds: $(tail -n 1 "$dir/slurmctld.log")"; }
    echo "two nodes are idle; to use them: export SLURM_CONF=$SLURM_CONF"
}

case $1 in
start) start ;;
stop) running >/dev/null || fail "$dir: no cluster runs there" && stop ;;
status) pid_of slurmctld >/dev/null || fail "$dir: no cluster runs there" && sinfo ;;
*) fail "usage: local.sh start|stop|status DIR" ;;
esac
