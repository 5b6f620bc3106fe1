# groups.sh: kafka-consumer-groups.sh with a group of each protocol; sourced by client.

groups() { # options
    java_run org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$BOOTSTRAP" "$@" 2>&1
}

# The columns of a line of what is printed match.
line() { # pattern, options
    local pattern=$1 output
    shift
    output=$(groups "$@" | awk '{ $1 = $1 } 1')
    grep -qE -- "^$pattern" <<<"$output" || { echo "no $pattern in: $(paste -sd' ' <<<"$output")" && return 1; }
}

no_line() { ! line "$@" >/dev/null; }

resets_offsets() {
    groups --reset-offsets --group tools --topic seed-none --topic seed-lz4 --to-latest --execute >/dev/null &&
        line 'tools seed-none 0 400' --reset-offsets --group tools --topic seed-none:0 --to-offset 400 --execute
}

deletes_offsets() {
    line 'seed-lz4 0 Successful' --delete-offsets --group tools --topic seed-lz4 &&
        no_line 'tools seed-lz4' --describe --group tools
}

# Kafka's own formatter reads what we keep.
decodes_offsets() {
    java_run kafka.tools.DumpLogSegments --offsets-decoder --print-data-log --deep-iteration \
        --files "$(find "$DATA" -path '*__consumer_offsets-*' -name '*.log' -size +0 | paste -sd,)" >"$WORK/decoded" 2>&1 &&
        grep -q '"type":"1","data":{"group":"tools","topic":"seed-none","partition":0}.*"offset":400' "$WORK/decoded" &&
        grep -q '"type":"2","data":{"group":"tools-classic"}.*"protocolType":"consumer"' "$WORK/decoded" &&
        grep -q '"type":"3","data":{"groupId":"tools-consumer"}' "$WORK/decoded" &&
        ! grep -qE 'Exception|Could not|null exception' "$WORK/decoded"
}

# A console consumer in a group; the shell of the background becomes it.
joins() { # protocol
    exec java -Xmx512m -cp "$CACHE/classes:$CACHE/lib/*" org.apache.kafka.tools.consumer.ConsoleConsumer \
        --bootstrap-server "$BOOTSTRAP" --topic seed-none --group "tools-$1" --from-beginning \
        --command-property "group.protocol=$1" --command-property auto.commit.interval.ms=100 >/dev/null 2>&1
}

# The whole of a group with one member, who has read all: lag, members, state, lists.
busy_described() { # protocol
    local deadline=$((SECONDS + 60))
    until line "tools-$1 seed-none 0 1000 1000 0 [^ ]+ /127.0.0.1 console-consumer" --describe --group "tools-$1" 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
    done >"$WORK/described"
    line "tools-$1 [^ ]+ /127.0.0.1 console-consumer 3" --describe --group "tools-$1" --members
}

members_described() { # protocol
    local epochs='- seed-none:0,1,2 - -'
    [ "$1" = classic ] || epochs='[0-9]+ seed-none:0,1,2 [0-9]+ seed-none:0,1,2'
    line "tools-$1 [^ ]+ /127.0.0.1 console-consumer 3 $epochs" --describe --group "tools-$1" --members --verbose
}

state_described() { # protocol
    local strategy='range Stable - -'
    [ "$1" = classic ] || strategy='uniform Stable [0-9]+ [0-9]+'
    line "tools-$1 127.0.0.1:[0-9]+ \\(1\\) $strategy 1" --describe --group "tools-$1" --state --verbose
}

listed() { # protocol
    line "tools-$1 Stable" --list --state && line "tools-$1 Stable" --list --state stable &&
        no_line "tools-$1" --list --state empty && line "tools-$1 [Cc]" --list --type "$1"
}

busy_refuses() { # protocol
    line "\\* Group .tools-$1. could not be deleted.*GroupNotEmptyException" --delete --group "tools-$1" &&
        line 'seed-none 0 Error: .*GroupSubscribedToTopicException' --delete-offsets --group "tools-$1" --topic seed-none &&
        line "Error: Assignments can only be reset if the group 'tools-$1' is inactive, but the current state is Stable" \
            --reset-offsets --group "tools-$1" --topic seed-none --to-earliest --execute
}

empty_described() { # protocol
    line "tools-$1 127.0.0.1:[0-9]+ \\(1\\) .*Empty 0" --describe --group "tools-$1" --state &&
        line "tools-$1 seed-none 0 1000 1000 0 - - -" --describe --group "tools-$1"
}

empty_reset() { # protocol
    line "tools-$1 seed-none 0 995" --reset-offsets --group "tools-$1" --topic seed-none:0 --shift-by -5 --dry-run &&
        line "tools-$1 seed-none 0 1000 1000 0" --describe --group "tools-$1" &&
        line "tools-$1 seed-none 0 995" --reset-offsets --group "tools-$1" --topic seed-none:0 --shift-by -5 --execute &&
        line "tools-$1 seed-none 0 995 1000 5" --describe --group "tools-$1" &&
        line "tools-$1 seed-none 0 0" --reset-offsets --group "tools-$1" --all-topics --to-earliest --execute &&
        line 'seed-none 1 Successful' --delete-offsets --group "tools-$1" --topic seed-none:1 &&
        no_line "tools-$1 seed-none 1" --describe --group "tools-$1"
}

empty_deleted() { # protocol
    line 'Deletion of requested consumer groups .* was successful' --delete --group "tools-$1" &&
        no_line "tools-$1" --list && line 'Error: .*GroupIdNotFoundException' --describe --group "tools-$1" &&
        line "\\* Group .tools-$1. could not be deleted.*GroupIdNotFoundException" --delete --group "tools-$1"
}

check_groups() {
    local protocol member
    check groups-reset-offsets resets_offsets
    check groups-describe line 'tools seed-none 0 400 1000 600 - - -' --describe --group tools
    check groups-delete-offsets deletes_offsets
    for protocol in classic consumer; do
        joins "$protocol" &
        member=$!
        check "groups-$protocol-busy" busy_described "$protocol"
        check "groups-$protocol-members" members_described "$protocol"
        check "groups-$protocol-state" state_described "$protocol"
        check "groups-$protocol-list" listed "$protocol"
        check "groups-$protocol-refused" busy_refuses "$protocol"
        kill "$member"
        wait "$member"
        check "groups-$protocol-empty" empty_described "$protocol"
        check "groups-$protocol-reset" empty_reset "$protocol"
    done
    check groups-decoded decodes_offsets
    for protocol in classic consumer; do
        check "groups-$protocol-deleted" empty_deleted "$protocol"
    done
    check groups-delete line 'Deletion of requested consumer groups' --delete --group tools
}
