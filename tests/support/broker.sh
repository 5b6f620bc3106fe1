# broker.sh: the broker for tests in bash; source it. $RUNNEL_BINARY names the program.
#
#   broker_start DATA_DIR [ARGUMENTS]   starts it on a free port, or on $BROKER_PORT, and waits until it serves;
#                                       sets BOOTSTRAP (HOST:PORT) and BROKER_PID; fails after $BROKER_READY_SECONDS
#   broker_stop                         SIGTERM; returns its exit status (0 after a clean stop)
#   broker_kill                         SIGKILL, and waits until it is gone
#
# What it says is appended to DATA_DIR.stderr.

BROKER_PID='' BROKER_PORT=0 BOOTSTRAP='' BROKER_READY_SECONDS=30

broker_start() {
    local data_dir=$1 fifo
    shift
    fifo=$(mktemp -u "${TMPDIR:-/tmp}/runnel-ready-XXXXXX")
    mkfifo "$fifo" || return 1
    "$RUNNEL_BINARY" --data-dir "$data_dir" --listen "127.0.0.1:$BROKER_PORT" --ready-fd 3 "$@" \
        3>"$fifo" >>"$data_dir.stderr" 2>&1 </dev/null &
    BROKER_PID=$!
    BOOTSTRAP=
    read -r -t "$BROKER_READY_SECONDS" BOOTSTRAP <"$fifo" || true
    rm -f "$fifo"
    [ -n "$BOOTSTRAP" ] && return
    echo "the broker did not become ready; the end of what it said:" >&2
    tail -n 20 "$data_dir.stderr" >&2
    broker_kill
    return 1
}

broker_stop() {
    local status=0
    [ -n "$BROKER_PID" ] || return 0
    kill -TERM "$BROKER_PID" 2>/dev/null
    # The killer in the background ends a broker that hangs; wait then tells of it (137).
    { timeout 30 tail -s 0.05 --pid="$BROKER_PID" -f /dev/null || kill -KILL "$BROKER_PID"; } 2>/dev/null &
    local watch=$!
    wait "$BROKER_PID" || status=$?
    wait "$watch" 2>/dev/null
    BROKER_PID=
    return "$status"
}

broker_kill() {
    [ -n "$BROKER_PID" ] || return 0
    kill -KILL "$BROKER_PID" 2>/dev/null
    wait "$BROKER_PID" 2>/dev/null
    BROKER_PID=
    return 0
}
