#!/bin/bash
# one_node_slurm.sh FOLDER COMMAND...: run a command beside a Slurm of one node, whose daemons end with it.
# Wants root, and Debian's slurmctld, slurmd, slurm-client and munge; run it inside `unshare --mount`.
set -euo pipefail
D=$1
shift
mkdir -p "$D"/{etc,etcmunge,run,ctld,spool,log} /etc/slurm
chmod 755 "$D/run"
chmod 700 "$D/etcmunge"
head -c 1024 /dev/urandom >"$D/etcmunge/munge.key"
chmod 400 "$D/etcmunge/munge.key"
cat >"$D/etc/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=localhost
SlurmUser=root
AuthInfo=socket=$D/run/munge.sock
StateSaveLocation=$D/ctld
SlurmdSpoolDir=$D/spool
SlurmctldPidFile=$D/slurmctld.pid
SlurmdPidFile=$D/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
NodeName=localhost CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE State=UP
CONF
mount --bind "$D/etc" /etc/slurm

stop() {
    for file in slurmd slurmctld munged; do
        [ -f "$D/$file.pid" ] && kill "$(cat "$D/$file.pid")" 2>/dev/null || true
    done
}
trap stop EXIT
munged --key-file="$D/etcmunge/munge.key" --socket="$D/run/munge.sock" --pid-file="$D/munged.pid" \
    --log-file="$D/log/munged.log" --seed-file="$D/run/munge.seed"
slurmctld -c -L "$D/log/slurmctld.log"
slurmd -N localhost -L "$D/log/slurmd.log"
for _ in $(seq 60); do
    sinfo --noheader --format=%T 2>/dev/null | grep -q idle && break
    sleep 0.5
done
"$@"
