# groups.sh: a client's consumer groups through deaths, restarts and joins, and the judgement of what its members saw.
#
# A client's folder defines group_member, and perhaps group_admin; a STYLE is its own word for an assignor or protocol:
#
#   group_member STYLE GROUP TOPIC NAME   a member of GROUP until its standard input ends; then it leaves politely. It
#                                         reads from the beginning where nothing is committed, and commits what it
#                                         read, often and itself; it is to try again at least twice a second while the
#                                         broker is away. Each line that it prints is one write, for all
#                                         members write into one file, and the order of its lines is what is judged:
#       NAME pid PID                      who is to be killed
#       NAME assign GENERATION P...       partitions that it now has besides those it had; - where it is told none
#       NAME revoke P...                  gives up, before it tells the broker; also before it leaves
#       NAME lost P...                    had to give up: it is no member any more
#       NAME read P OFFSET NUMBER
#       NAME commit P OFFSET              told that OFFSET, the one of the next record, is committed
#       NAME handed P OFFSET              gave up P, and its library has committed OFFSET without telling
#       NAME dropped P OFFSET             perhaps took this record and threw it away, which is its own doing
#       NAME failed REASON                what must not happen
#       NAME note TEXT                    for people
#   group_lines                           only where members cannot print such lines: makes them of what is in the file.
#   group_admin WHEN STYLE GROUP TOPIC COUNT   what the client's tools tell of the group; prints lines of checks. WHEN
#                                         is live with COUNT members, or empty: standard input then has a line `P
#                                         OFFSET` for each partition; that much must be committed. It deletes the group.
# sourced by compat/run.

groups_partitions=6
export GROUP_SESSION_MS=6000 GROUP_HEARTBEAT_MS=500
groups_patience_ms=$((GROUP_SESSION_MS / 2)) # an outage of so long may make members take themselves for expired
groups_arguments=(--override "num.partitions=$groups_partitions" --override group.min.session.timeout.ms=1000
    --override group.consumer.min.session.timeout.ms=1000 --override "group.consumer.session.timeout.ms=$GROUP_SESSION_MS"
    --override group.consumer.min.heartbeat.interval.ms=100
    --override "group.consumer.heartbeat.interval.ms=$GROUP_HEARTBEAT_MS")

# What is open for a member or a writer, who must see its end: nobody else may inherit it.
groups_fds_first=20 groups_fds_last=99
declare -A groups_fd groups_job groups_broken

# groups_run STYLE...: a group for each style, at the same time; the broker's deaths are everybody's. What comes after --
# is for all clients alone, and not for quick.
groups_run() {
    local styles=() style dir=$WORK/groups fds=$groups_fds_first
    for style in "$@"; do
        [ "$style" != -- ] || [ "$COMPAT_SCOPE" != quick ] || break
        [ "$style" = -- ] || styles+=("$style")
    done
    local broker_arguments=("${broker_arguments[@]}" "${groups_arguments[@]}")
    check groups-control groups_control
    BROKER_PORT=0
    ledger_fixed_port || { fail groups "no restart on a port of its own" && return; }
    for style in "${styles[@]}"; do
        mkdir -p "$dir/$style"
        : >"$dir/$style/log"
        groups_open "$style" feed groups_write "$style" 0 >"$dir/$style/feed.out"
    done
    groups_story
    for style in "${styles[@]}"; do
        groups_close "$style" # whoever is left where a step failed
        groups_verdict "$style"
        [ -z "${RUNNEL_KEEP:-}" ] || cp -r "$dir/$style" "$RUNNEL_KEEP/$client-$style"
    done
}

groups_story() {
    local session=$((GROUP_SESSION_MS / 1000))
    groups_step cold 90 "a b c" groups_join a b c
    groups_step killed $((session + 6)) "a c" groups_kill b
    groups_step joined 40 "a c d" groups_join d
    groups_step broker-killed 60 "a c d" groups_restart kill
    if [ "$COMPAT_SCOPE" != quick ]; then
        groups_step broker-stopped 60 "a c d" groups_restart stop
        groups_step killed-with-broker 60 "a d e" groups_turmoil
        groups_step back 40 "a c d e" groups_join c
        groups_step crowd-left $session "a d" groups_leave c e
    fi
    groups_step left $session "d $([ "$COMPAT_SCOPE" = quick ] && echo c)" groups_leave a
    groups_ask live
    groups_drain
}

# --- the steps of the story ---------------------------------------------------------------------------

# groups_step NAME SECONDS LIVE ACTION...: in each group, every partition is then with one of the LIVE members, each of
# them has some, and all partitions are read on.
groups_step() {
    local name=$1 seconds=$2 live=$3 style start=$EPOCHREALTIME at took
    shift 3
    "$@"
    for style in "${styles[@]}"; do
        [ -z "${groups_broken[$style]:-}" ] || continue
        at=$(groups_lines "$style" | wc -l)
        if ! groups_until "$start" "$seconds" groups_settled "$style" "$live"; then
            groups_break "$style" "$style-$name" "not settled within $seconds s: $(groups_owners "$style")"
            continue
        fi
        took=$(groups_elapsed "$start")
        if ! groups_until "$EPOCHREALTIME" 60 groups_moves "$style" "$at" "$live"; then
            groups_break "$style" "$style-$name" "settled after $took, but nobody reads some partitions on"
            continue
        fi
        groups_note "$style" "settled $name"
        pass "$style-$name" "after $took"
    done
}

groups_join() { # members
    local style member
    for style in "${styles[@]}"; do
        for member in "$@"; do
            [ -n "${groups_broken[$style]:-}" ] ||
                groups_open "$style" "$member" group_member "$style" "groups-$style" "groups-$style" "$member"
        done
    done
}

groups_kill() { # member
    local style
    for style in "${styles[@]}"; do
        [ -n "${groups_broken[$style]:-}" ] || groups_murder "$style" "$1"
    done
}

groups_murder() { # style, member
    local pid
    pid=$(groups_lines "$1" | awk -v member="$2" '$1 == member && $2 == "pid" { pid = $3 } END { print pid }')
    kill -KILL "$pid"
    groups_wait "$1" "$2"
    groups_note "$1" "killed $2"
}

groups_leave() { # members
    local style member
    for style in "${styles[@]}"; do
        for member in "$@"; do
            groups_note "$style" "leaving $member"
            groups_hang_up "$style" "$member"
        done
    done
    for style in "${styles[@]}"; do
        for member in "$@"; do
            groups_wait "$style" "$member" && groups_note "$style" "left $member"
        done
    done
}

groups_restart() { # kill or stop
    local style start=$EPOCHREALTIME
    for style in "${styles[@]}"; do
        groups_note "$style" down
    done
    "broker_$1" || fail groups-stop "the broker ended with status $?"
    groups_without_fds broker_start "$DATA" "${broker_arguments[@]}"
    for style in "${styles[@]}"; do
        groups_until "$start" 60 groups_served "$style"
    done
    if [ $((${EPOCHREALTIME/[.,]/} - ${start/[.,]/})) -gt $((groups_patience_ms * 1000)) ]; then
        for style in "${styles[@]}"; do
            groups_note "$style" outage
        done
        sleep 3 # those learn of it
    fi
}

# The broker goes down in the middle of a rebalance, and so does a member.
groups_turmoil() {
    groups_join e
    sleep "0.$((RANDOM % 10))"
    groups_kill c
    groups_restart kill
}

# Nothing is written any more; the members come to the end and leave; after a clean restart a new one goes on.
groups_drain() {
    local style end
    for style in "${styles[@]}"; do
        groups_hang_up "$style" feed
        groups_wait "$style" feed
    done
    groups_caught_up caught-up
    groups_leave a c d
    broker_stop || fail groups-stop "the broker ended with status $?"
    groups_without_fds broker_start "$DATA" "${broker_arguments[@]}"
    for style in "${styles[@]}"; do
        end=$(wc -l <"$WORK/groups/$style/truth")
        groups_write "$style" "$end" </dev/null
    done
    groups_join r
    groups_caught_up resumed
    groups_leave r
    groups_ask empty
}

# Everything that is in the topic was read, and is committed if the client tells of its commits.
groups_caught_up() { # name
    local style start=$EPOCHREALTIME
    for style in "${styles[@]}"; do
        groups_truth "$style"
        [ -z "${groups_broken[$style]:-}" ] || continue
        if groups_until "$start" 60 groups_at_the_end "$style"; then
            pass "$style-$1" "after $(groups_elapsed "$start")"
        else
            groups_break "$style" "$style-$1" "not all was read, or committed"
        fi
    done
}

groups_ask() { # live or empty
    local style members
    declare -F group_admin >/dev/null || return 0
    for style in "${styles[@]}"; do
        [ -z "${groups_broken[$style]:-}" ] || continue
        members=$(groups_owners "$style" | tr ' ' '\n' | cut -d : -f 1 | sort -u | grep -c .)
        groups_ends "$style" | groups_without_fds group_admin "$1" "$style" "groups-$style" "groups-$style" "$members"
    done
}

# --- processes: each has an input of its own, whose end ends it -----------------------------------------

printf -v groups_fds_closed ' %d>&-' $(seq "$groups_fds_first" "$groups_fds_last")

groups_without_fds() {
    eval "\"\$@\"$groups_fds_closed"
}

groups_open() { # style, name, command
    local style=$1 name=$2 dir=$WORK/groups/$1
    shift 2
    mkfifo "$dir/$name.in" 2>/dev/null
    # The shell of the background itself must close them: around a command it would only put them aside.
    { eval "exec$groups_fds_closed" && "$@"; } <"$dir/$name.in" >>"$dir/log" 2>>"$dir/$name.err" &
    groups_job[$style.$name]=$! groups_fd[$style.$name]=$fds
    eval "exec $fds>'$dir/$name.in'"
    fds=$((fds + 1))
}

groups_hang_up() { # style, name
    [ -n "${groups_fd[$1.$2]:-}" ] || return 0
    eval "exec ${groups_fd[$1.$2]}>&-"
    unset "groups_fd[$1.$2]"
}

# Succeeds when there was something to wait for; a bad end is in the log then.
groups_wait() { # style, name
    local status=0 job=${groups_job[$1.$2]:-}
    [ -n "$job" ] || return 1
    groups_hang_up "$1" "$2"
    unset "groups_job[$1.$2]"
    { timeout 30 tail -s 0.05 --pid="$job" -f /dev/null || kill -KILL "$job"; } 2>/dev/null &
    local watch=$!
    wait "$job" || status=$?
    wait "$watch"
    [ "$status" -eq 0 ] || [ "$status" -eq 137 ] || # 137: we killed it
        groups_log "$1" "$2 failed status $status: $(tail -n 1 "$WORK/groups/$1/$2.err")"
}

groups_close() { # style
    local key
    for key in "${!groups_job[@]}"; do
        [ "${key%%.*}" != "$1" ] || groups_hang_up "$1" "${key#*.}"
    done
    for key in "${!groups_job[@]}"; do
        [ "${key%%.*}" != "$1" ] || groups_wait "$1" "${key#*.}"
    done
}

groups_log() { printf '%s\n' "$2" >>"$WORK/groups/$1/log"; }

groups_note() { groups_log "$1" "- $2"; }

groups_break() { # style, check, reason
    groups_broken[$1]=1
    groups_note "$1" "broken $2"
    fail "$2" "$3"
}

# Numbered records with numbered keys, about 200 a second, until the standard input ends.
groups_write() { # style, first number
    local number=$2 status=142 i
    while [ "$status" -gt 128 ]; do
        for i in 1 2 3 4 5 6 7 8 9 10; do
            printf '%d\t%d\n' "$number" "$number"
            number=$((number + 1))
        done
        read -r -t 0.05
        status=$?
    done | kcat -P -q -E -b "$BOOTSTRAP" -t "groups-$1" -K '\t' -X enable.idempotence=true \
        -X topic.partitioner=murmur2_random >/dev/null
}

# --- what the log says so far -----------------------------------------------------------------------------

# What the members wrote; group_lines of a folder may translate it.
groups_lines() { # style
    if declare -F group_lines >/dev/null; then
        group_lines <"$WORK/groups/$1/log"
    else
        cat "$WORK/groups/$1/log"
    fi
}

groups_until() { # start, seconds, command
    local deadline=$((${1/[.,]/} + $2 * 1000000))
    shift 2
    until "$@"; do
        [ "${EPOCHREALTIME/[.,]/}" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

groups_elapsed() { # start
    local ms=$(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 1000))
    printf '%d.%03d s' $((ms / 1000)) $((ms % 1000))
}

# Prints MEMBER:PARTITION for what is owned.
groups_owners() { # style
    groups_lines "$1" | awk '$2 == "assign" { for (i = 4; i <= NF; i++) has[$1 ":" $i] = 1 }
        $2 == "revoke" || $2 == "lost" { for (i = 3; i <= NF; i++) delete has[$1 ":" $i] }
        $1 == "-" && ($2 == "killed" || $2 == "left") { for (key in has) if (index(key, $3 ":") == 1) delete has[key] }
        END { for (key in has) line = line key " "; print line }'
}

groups_settled() { # style, live members
    groups_owners "$1" | tr ' ' '\n' | awk -F : -v live="$2" -v partitions="$groups_partitions" '
        NF { members[$1] = 1; owners[$2]++ }
        END {
            for (partition in owners) if (owners[partition] == 1) single++
            count = split(live, names, " ")
            for (i = 1; i <= count; i++) if (!(names[i] in members)) exit 1
            for (member in members) count--
            exit single != partitions || count != 0
        }'
}

# Each partition was read since that line, and who owns what is still as it should be.
groups_moves() { # style, line, live members
    [ "$(groups_lines "$1" | awk -v at="$2" 'NR > at && $2 == "read" { print $3 }' | sort -u | wc -l)" -eq \
        "$groups_partitions" ] && groups_settled "$1" "$3"
}

# Since the broker went down a commit was told; where the client tells of none, a new group is served.
groups_served() { # style
    [ -z "${groups_broken[$1]:-}" ] || return 0
    if groups_lines "$1" | grep -q '^[a-z]* commit '; then
        groups_lines "$1" | awk '$2 == "commit" { served = 1 } $1 == "-" && $2 == "down" { served = 0 } END { exit !served }'
    else
        groups_without_fds timeout 10 kcat -q -b "$BOOTSTRAP" -G "probe-$1" -c 1 -X auto.offset.reset=earliest "groups-$1" \
            </dev/null >/dev/null 2>&1
    fi
}

# What a reader without a group finds in the topic.
groups_truth() { # style
    groups_without_fds kcat -C -q -e -b "$BOOTSTRAP" -t "groups-$1" -o beginning -f 'truth %p %o %s\n' \
        >"$WORK/groups/$1/truth" 2>/dev/null
}

groups_ends() { # style
    awk '$3 >= end[$2] { end[$2] = $3 + 1 } END { for (p in end) print p, end[p] }' "$WORK/groups/$1/truth" 2>/dev/null |
        sort -n
}

groups_at_the_end() { # style
    { groups_ends "$1" | sed 's/^/- end /' && groups_lines "$1"; } | awk '
        $1 == "-" && $2 == "end" { end[$3] = $4 }
        $2 == "read" && $4 + 1 == end[$3] { read[$3] = 1 }
        $2 == "commit" { commits++; if ($4 == end[$3]) committed[$3] = 1 }
        END { for (p in end) if (!(p in read) || (commits && !(p in committed))) exit 1 }'
}

# --- the judge --------------------------------------------------------------------------------------------

groups_verdict() { # style
    local said
    if said=$(groups_judge "$WORK/groups/$1/truth" <(groups_lines "$1")); then
        pass "$1" "$said"
    else
        fail "$1" "$said"
    fi
}

# Prints what was found, on one line; fails unless
# - a partition had one owner at a time, and one in a generation, and no member saw its generation fall,
# - each member read only what it owned, without a gap, and nothing below an offset that was told as committed before
#   it became the owner,
# - nobody was thrown out, but in an outage of the broker beyond groups_patience_ms: he may learn of it later than the
#   next owner (and Java says that it lost what it has when it leaves in the middle of a rebalance),
# - every record of the topic was read, as it was sent, and was sent once.
groups_judge() { # truth, log
    awk '
        function wrong(what) { if (!(what in count)) kinds[++kind_count] = what; count[what]++
                               if (count[what] == 1) first[what] = $0 }
        # What a long outage may do to a member of whom nothing was heard; whether it was long is known at its end.
        function doubt(what) { if (!down) wrong(what); else { doubts[++doubt_count] = what; line_of[doubt_count] = $0 } }
        function give_up(p) { if (owner[p] == $1) delete owner[p]; else doubt("gave up what it did not have") }
        $1 == "truth" {
            sent[$2, $3] = $4; records++
            if ($4 in numbers) wrong("sent twice")
            numbers[$4] = 1
            next
        }
        $1 == "-" {
            if ($2 == "killed" || $2 == "left") { for (p in owner) if (owner[p] == $3) delete owner[p] }
            if ($2 == "leaving") leaving[$3] = 1
            if ($2 == "down") { down = 1; outage = 0 }
            if ($2 == "outage") outage = 1
            if ($2 == "settled") {
                for (i = 1; i <= doubt_count && !outage; i++) { $0 = line_of[i]; wrong(doubts[i]) }
                doubt_count = down = 0
            }
            if ($2 == "broken") wrong("not finished")
            next
        }
        $2 == "pid" { delete leaving[$1] }
        $2 == "assign" {
            if ($3 != "-") {
                if ($3 + 0 < generation[$1]) wrong("generation fell")
                generation[$1] = $3 + 0
                if ($3 + 0 > highest) highest = $3 + 0
            }
            for (i = 4; i <= NF; i++) {
                if ($i in owner) doubt("owned twice")
                if ($3 != "-" && ($3, $i) in held && held[$3, $i] != $1) wrong("twice in one generation")
                held[$3, $i] = $1; owner[$i] = $1; floor[$i] = told[$i] + 0; moves++
                delete position[$i]
            }
        }
        $2 == "revoke" { for (i = 3; i <= NF; i++) give_up($i) }
        $2 == "lost" && NF > 2 {
            if (!($1 in leaving)) doubt("lost")
            for (i = 3; i <= NF; i++) give_up($i)
        }
        $2 == "read" {
            if (owner[$3] != $1) { doubt("read without owning"); seen[$3, $4] = 1; next }
            if ($4 < floor[$3]) wrong("read again below a commit")
            if ($3 in position && position[$3] != $4) wrong("gap")
            if (!(($3, $4) in sent) || sent[$3, $4] != $5) wrong("never sent")
            position[$3] = $4 + 1; seen[$3, $4] = 1; reads++
        }
        $2 == "commit" { commits++ }
        $2 == "commit" || $2 == "handed" { if ($4 > told[$3]) told[$3] = $4 }
        $2 == "dropped" { excused[$3, $4] = 1 }
        $2 == "failed" { wrong("failed") }
        END {
            $0 = ""
            if (!records || !reads) wrong("nothing")
            for (key in sent) if (!(key in seen) && !(key in excused)) { split(key, part, SUBSEP); $0 = part[1] " " part[2]; wrong("never read") }
            for (i = 0; i < records; i++) if (!(i in numbers)) { $0 = i; wrong("not in the topic") }
            for (i = 1; i <= kind_count; i++) line = line count[kinds[i]] " " kinds[i] " (" first[kinds[i]] "); "
            print line (records + 0) " records, " (reads + 0) " read, " (commits + 0) " commits, " (moves + 0) " assignments, " \
                "generation " (highest ? highest : "not told")
            exit kind_count > 0
        }' "$1" "$2"
}

# The judge itself: it must take a good log and find what is wrong with each of these.
groups_control() {
    local truth=$WORK/control.truth log=$WORK/control.log what edit said
    printf 'truth %s\n' "0 0 0" "0 1 2" "0 2 3" "1 0 1" "1 1 4" >"$truth"
    cat >"$log" <<'LOG'
a assign 1 0 1
a read 0 0 0
a read 1 0 1
a commit 0 1
a revoke 1
b assign 2 1
b read 1 0 1
b commit 1 1
- killed b
a revoke 0
a assign 3 0 1
a read 0 1 2
a read 0 2 3
a read 1 1 4
a handed 0 3
a revoke 0 1
- left a
LOG
    groups_judge "$truth" "$log" && groups_judge "$truth" <(sed '5s/.*/- down/;7s/$/\na lost 1\n- outage\n- settled/' "$log") ||
        return 1
    while IFS='|' read -r what edit; do
        if said=$(groups_judge "$truth" <(sed "$edit" "$log")); then
            echo "not found: $what in $edit"
            return 1
        fi
        [[ $said == *"$what"* ]] || { echo "not found: $what, but $said" && return 1; }
    done <<'LIST'
owned twice|5d
owned twice|9d
twice in one generation|6s/2 1/1 1/
generation fell|11s/3/0/
lost|5s/revoke/lost/
lost|5s/.*/- down/;7s/$/\na lost 1\n- settled/
owned twice|5s/.*/- down/;7s/$/\na lost 1\n- settled/
gave up what it did not have|16s/^a/b/
read without owning|7s/^b/a/
read again below a commit|11aa read 0 0 0
read again below a commit|12s/.*/a read 0 0 0/
gap|12p
never sent|12s/2$/5/
never read|14d
failed|$aa failed status 1
not finished|$a- broken cold
nothing|d
LIST
    ! groups_judge <(sed '$atruth 1 2 4' "$truth") <(sed '14aa read 1 2 4' "$log") >"$WORK/control.said" &&
        grep -q 'sent twice' "$WORK/control.said" &&
        ! groups_judge <(sed '3d' "$truth") <(sed '13d' "$log") >"$WORK/control.said" &&
        grep -q 'not in the topic' "$WORK/control.said"
}
