# kafka_groups.sh: groups of each kind with Kafka's tools and kcat, for the checks of what is kept of them; sourced by clients.

groups() { # options of kafka-consumer-groups
    java_run org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$BOOTSTRAP" "$@" 2>&1
}

# Lines of a description with single blanks, without what differs from start to start.
describe_all() { # offsets|members|state
    groups --describe --all-groups "--$1" | awk 'NF { $1 = $1; print }' |
        grep -vE '^(GROUP|Consumer group|Warning)' | sed -E 's/127\.0\.0\.1:[0-9]+ \(1\)/BROKER/' | sort
}

# kcat commits when it ends. Its members are of the classic protocol.
read_classic() { # group, topic, count, options
    kcat -b "$BOOTSTRAP" -G "$1" -q -c "$3" -X auto.offset.reset=earliest "${@:4}" "$2" 2>/dev/null | wc -l
}

# Members of the consumer protocol (KIP-848).
read_consumer() { # group, topic, count, further properties
    local property properties=(--consumer-property group.protocol=consumer)
    for property in "${@:4}"; do properties+=(--consumer-property "$property"); done
    java_run org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$BOOTSTRAP" --topic "$2" --group "$1" \
        --from-beginning --max-messages "$3" --timeout-ms 20000 "${properties[@]}" 2>/dev/null | grep -c .
}

# Are they the same, and not empty? Else it prints the first lines that differ.
same_lines() { # file, file
    [ -s "$1" ] || { echo "nothing is described" && return 1; }
    diff "$1" "$2" >"$WORK/differ" && return
    grep '^[<>]' "$WORK/differ" | head -n 2 | paste -sd' '
    return 1
}

# Groups that nobody is in: one of each protocol, one with static members that keep their place for an hour.
make_groups() {
    [ "$(read_classic classic seed-none 400)" -eq 400 ] &&
        [ "$(read_classic static seed-lz4 300 -X group.instance.id=one -X session.timeout.ms=1700000 -X max.poll.interval.ms=1700000)" -eq 300 ] &&
        [ "$(read_consumer modern seed-gzip 200)" -ge 200 ]
}
