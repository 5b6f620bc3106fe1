# ledger.sh: restarts and kills under a client's idempotent producer, and the judgement of what it left.
#
# A client's folder defines two functions; TOPIC has PARTITIONS partitions:
#
#   ledger_write TOPIC PARTITIONS   sends numbered records, 0, 1, 2 ... to each partition, until its standard input
#                                   ends; then flushes. Prints `acked P N OFFSET` and `failed P N REASON` as they come,
#                                   `sent P COUNT` for each partition at its end.
#   ledger_read TOPIC PARTITIONS    reads all partitions from the beginning; once its standard input has ended, up to
#                                   the ends that the partitions then have. Prints `read P OFFSET N`.
#
# The value of record N of partition P is `P:N:` and as many x as ledger_padding says: the readers check that.
# sourced by compat/run.

ledger_partitions=3 # what num.partitions in the broker_arguments of the folders makes of a new topic

# How often the broker goes down.
ledger_rounds() {
    [ "$COMPAT_SCOPE" = quick ] && echo 6 || echo "${RUNNEL_ROUNDS:-20}"
}

# ledger NAME: one reader is there all the time, one reads afterwards; `kill -9` and clean restarts meanwhile.
ledger() {
    judge_mode='' interrupt=ledger_restart ledger_run "$1" "$(ledger_rounds)"
}

# ledger_pauses NAME: the broker stands still for longer than the writer, told so by LEDGER_IMPATIENT=1, waits for an
# answer. Records may fail then, and be there or not; never twice, and never in the way of others.
ledger_pauses() {
    judge_mode=impatient LEDGER_IMPATIENT=1 interrupt=ledger_pause ledger_run "$1" 5
}

# What happens to the broker in a round. Two kills, then a clean restart.
ledger_restart() { # name, round
    if [ $(($2 % 3)) -ne 0 ]; then
        broker_kill
    else
        broker_stop || fail "$1-stop" "round $2: status $?"
    fi
    broker_start "$DATA" "${broker_arguments[@]}" 7>&- 8>&-
}

ledger_pause() {
    local all
    all="$BROKER_PID $(cat "/proc/$BROKER_PID/task/$BROKER_PID/children")" # Apache Kafka is a child
    kill -STOP $all
    sleep 5
    kill -CONT $all
}

ledger_run() {
    local name=$1 rounds=$2 dir=$WORK/$1 round
    export LEDGER_IMPATIENT=${LEDGER_IMPATIENT:-}
    check ledger-control ledger_control
    mkdir -p "$dir"
    ledger_fixed_port || { fail "$name" "no restart on a port of its own" && return; }
    mkfifo "$dir/writer.in" "$dir/reader.in"
    : >"$dir/journal"
    ledger_write "$name" "$ledger_partitions" <"$dir/writer.in" >"$dir/journal" 2>"$dir/writer.err" &
    local writer=$!
    exec 7>"$dir/writer.in"
    ledger_grows "$dir/journal" # the topic is there
    ledger_read "$name" "$ledger_partitions" <"$dir/reader.in" >"$dir/live" 2>"$dir/reader.err" 7>&- &
    local reader=$!
    exec 8>"$dir/reader.in"
    for ((round = 1; round <= rounds; round++)); do
        ledger_grows "$dir/journal" || break
        "$interrupt" "$name" "$round" || break
    done
    ledger_grows "$dir/journal" || round=$rounds
    exec 7>&-
    wait "$writer" || echo "failed - - the producer ended with status $?: $(tail -n 1 "$dir/writer.err")" >>"$dir/journal"
    exec 8>&-
    wait "$reader" || echo "failed - - the reader ended with status $?: $(tail -n 1 "$dir/reader.err")" >>"$dir/live"
    ledger_read "$name" "$ledger_partitions" </dev/null >"$dir/after" 2>"$dir/after.err" ||
        echo "failed - - the second reader ended with status $?: $(tail -n 1 "$dir/after.err")" >>"$dir/after"
    if [ "$round" -le "$rounds" ]; then
        fail "$name" "nothing was acknowledged any more in round $round of $rounds"
    fi
    ledger_verdict "$name-live" "$dir/journal" "$dir/live" "$rounds rounds"
    ledger_verdict "$name" "$dir/journal" "$dir/after" "$rounds rounds"
    ledger_keep "$name"
}

# The broker anew, on a port below those that the system hands to clients: nobody can take it while it is down.
ledger_fixed_port() {
    local try
    [ "$BROKER_PORT" -eq 0 ] || return 0
    broker_stop
    for try in 1 2 3 4 5; do
        BROKER_PORT=$((20000 + RANDOM % 12000))
        broker_start "$DATA" "${broker_arguments[@]}" && return
    done
    return 1
}

# Waits until the journal has grown by a random size, then a random moment longer.
ledger_grows() {
    local file=$1 target deadline=$((SECONDS + 60))
    target=$(($(stat -c %s "$file") + 1 + RANDOM * 2))
    while [ "$(stat -c %s "$file")" -lt "$target" ]; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.01
    done
    sleep "0.0$((RANDOM % 100))"
}

# Keeps what a failed ledger was judged by, for a person to look at.
ledger_keep() {
    [ -z "${RUNNEL_KEEP:-}" ] || cp -r "$WORK/$1" "$RUNNEL_KEEP/"
}

ledger_verdict() { # name, journal, reading, what happened
    local said
    if said=$(ledger_judge "$2" "$3"); then
        pass "$1" "$said, $4"
    else
        fail "$1" "$said ($4)"
    fi
}

# Prints what was found, on one line; fails unless every record that was sent was acknowledged and is there once, at
# the offset of its acknowledgement (-1 where the client was not told), in the order of sending and without a gap. With
# judge_mode=impatient a record may have failed; it is there once or not at all, anywhere.
ledger_judge() { # journal, reading
    awk -v impatient="${judge_mode:+1}" '
        function wrong(what) { if (!(what in count)) kinds[++kind_count] = what; count[what]++
                               if (count[what] == 1) first[what] = $0 }
        $1 == "acked" { if (($2, $3) in acked) wrong("acknowledged twice"); acked[$2, $3] = $4; acks++ }
        $1 == "sent"  { sent[$2] = $3; partitions++; all += $3 }
        impatient && $1 == "failed" && $3 ~ /^[0-9]+$/ { failed[$2, $3] = 1; failures++; next }
        $1 == "failed" || $1 == "fatal" || $1 == "corrupt" { wrong($1) }
        $1 == "read"  {
            if ($3 != next_offset[$2] + 0) wrong("gap")
            next_offset[$2] = $3 + 1
            if (($2, $4) in found) wrong("duplicate")
            else if (($2, $4) in failed) found[$2, $4] = 1
            else if ($4 < next_number[$2] + 0) wrong("disorder")
            else next_number[$2] = $4 + 1
            found[$2, $4] = 1
            if (!(($2, $4) in acked)) unacknowledged[$2, $4] = 1
            else if (acked[$2, $4] >= 0 && acked[$2, $4] != $3) wrong("not at its offset")
            if (!($2 in sent) || $4 >= sent[$2]) wrong("never sent")
            records++
        }
        END {
            $0 = ""
            if (!partitions || !acks) wrong("no producer that came to its end")
            for (key in acked) if (!(key in found)) { split(key, part, SUBSEP); $0 = part[1] " " part[2]; wrong("lost") }
            $0 = acks " of " all
            if (acks + failures != all) wrong("not acknowledged")
            for (i = 1; i <= kind_count; i++) line = line count[kinds[i]] " " kinds[i] " (" first[kinds[i]] "); "
            print line (acks + 0) " acknowledged, " (failures + 0) " failed, " (records + 0) " read"
            exit kind_count > 0
        }' "$1" "$2"
}

# The judge itself: it must take a good ledger and find what is wrong with each of these.
ledger_control() {
    local journal=$WORK/control.journal reading=$WORK/control.reading what edit
    printf '%s\n' "acked 0 0 0" "acked 0 1 1" "acked 0 2 2" "acked 1 0 0" "acked 1 1 -1" "sent 0 3" "sent 1 2" >"$journal"
    printf '%s\n' "read 0 0 0" "read 0 1 1" "read 1 0 0" "read 0 2 2" "read 1 1 1" >"$reading"
    ledger_judge "$journal" "$reading" || return 1
    while IFS='|' read -r what edit; do
        ledger_finds "$what" "$journal" <(sed "$edit" "$reading") || return 1
    done <<'END'
lost|5d
lost|2d
lost|d
duplicate|$aread 1 2 1
duplicate|$aread 0 3 0
disorder|2s/1 1/1 2/;4s/2 2/2 1/
not at its offset|1s/0 0/1 0/;2s/1 1/2 1/;4s/2 2/3 2/
gap|5s/1 1/2 1/
never sent|$aread 0 3 3
corrupt|$acorrupt 0 2
failed|$afailed - - status 1
END
    journal=$WORK/control.impatient
    printf '%s\n' "acked 0 0 0" "failed 0 1 timed out" "acked 0 2 2" "sent 0 3" >"$journal"
    judge_mode=impatient ledger_finds duplicate "$journal" <(printf 'read 0 %s\n' "0 0" "1 1" "2 2" "3 1") &&
        judge_mode=impatient ledger_finds lost "$journal" <(printf 'read 0 %s\n' "0 0" "1 1") || return 1
    journal=$WORK/control.journal
    ledger_finds "no producer" <(grep -v sent "$journal") "$reading" &&
        ledger_finds "not acknowledged" <(grep -v 'acked 0 1' "$journal") "$reading"
}

ledger_finds() { # what, journal, reading
    local said
    if said=$(ledger_judge "$2" "$3"); then
        echo "not found: $1"
        return 1
    fi
    [[ $said == *"$1"* ]] || { echo "not found: $1, but $said" && return 1; }
}
