# topics.sh: kafka-topics.sh, kafka-configs.sh and kafka-cluster.sh, which are these classes; sourced by client.

topics() { java_run org.apache.kafka.tools.TopicCommand --bootstrap-server "$BOOTSTRAP" "$@"; }

configs() { java_run kafka.admin.ConfigCommand --bootstrap-server "$BOOTSTRAP" --entity-type topics "$@"; }

# expect_output PATTERN COMMAND...: it succeeds, and a line of what it writes matches.
expect_output() {
    local pattern=$1 output
    shift
    output=$("$@" 2>&1) || { echo "status $?: $(tail -n 1 <<<"$output")" && return 1; }
    grep -qE -- "$pattern" <<<"$output" || { echo "no $pattern in: $(paste -sd' ' <<<"$output")" && return 1; }
}

# expect_failure PATTERN COMMAND...: it fails, and says so.
expect_failure() {
    local pattern=$1 output
    shift
    ! output=$("$@" 2>&1) || { echo "no failure: $output" && return 1; }
    grep -qE -- "$pattern" <<<"$output" || { echo "no $pattern in: $(paste -sd' ' <<<"$output")" && return 1; }
}

creates() {
    expect_output '^Created topic tools-made\.$' topics --create --topic tools-made --partitions 4 \
        --config retention.ms=1234567 --config cleanup.policy=compact &&
        expect_output '^Created topic tools-assigned\.$' topics --create --topic tools-assigned --replica-assignment 1,1 &&
        expect_output '^$|already exists' topics --create --topic tools-made --if-not-exists
}

create_fails() {
    expect_failure "Topic 'tools-made' already exists" topics --create --topic tools-made &&
        expect_failure 'contains one or more characters other than ASCII alphanumerics' topics --create --topic 'no topic' &&
        expect_failure 'Unable to replicate the partition 3 time' topics --create --topic tools-bad --replication-factor 3 &&
        expect_failure 'Invalid value soon for configuration retention.ms' topics --create --topic tools-bad --config retention.ms=soon
}

describes() {
    expect_output 'Topic: tools-made.*TopicId: [-_A-Za-z0-9]{22}.*PartitionCount: 4.*ReplicationFactor: 1.*retention.ms=1234567' \
        topics --describe --topic tools-made &&
        expect_output 'Topic: tools-made.*Partition: 3.*Leader: 1.*Replicas: 1.*Isr: 1' topics --describe --topic tools-made &&
        expect_output '^tools-assigned$' topics --list &&
        expect_failure "does not exist" topics --describe --topic tools-unknown
}

alters() {
    topics --alter --topic tools-made --partitions 6 &&
        expect_output 'PartitionCount: 6' topics --describe --topic tools-made &&
        expect_failure 'currently has 6 partition\(s\); 2 would not be an increase' topics --alter --topic tools-made --partitions 2
}

config_describes() {
    expect_output 'retention.ms=1234567 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention.ms=1234567' \
        configs --entity-name tools-made --describe &&
        expect_output 'segment.bytes=1073741824 sensitive=false synonyms=\{DEFAULT_CONFIG:log.segment.bytes=1073741824\}' \
            configs --entity-name tools-made --describe --all
}

config_alters() {
    expect_output 'Completed updating config for topic tools-made' configs --entity-name tools-made --alter \
        --add-config 'retention.ms=60000,cleanup.policy=[delete,compact]' &&
        expect_output 'cleanup.policy=delete,compact ' configs --entity-name tools-made --describe &&
        expect_output 'retention.ms=60000 ' configs --entity-name tools-made --describe &&
        expect_output 'Completed' configs --entity-name tools-made --alter --delete-config retention.ms &&
        ! expect_output 'retention.ms' configs --entity-name tools-made --describe >/dev/null &&
        expect_failure 'Invalid value soon for configuration retention.ms' configs --entity-name tools-made --alter --add-config retention.ms=soon
}

group_configs() { java_run kafka.admin.ConfigCommand --bootstrap-server "$BOOTSTRAP" --entity-type groups "$@"; }

group_config_alters() {
    expect_output 'Completed updating config for group tools-group' group_configs --entity-name tools-group --alter \
        --add-config consumer.session.timeout.ms=50000,consumer.heartbeat.interval.ms=6000 &&
        expect_output 'session.timeout.ms=50000 sensitive=false synonyms=\{DYNAMIC_GROUP_CONFIG:consumer.session.timeout.ms=50000\}' \
            group_configs --entity-name tools-group --describe &&
        expect_output 'share.session.timeout.ms=45000 sensitive=false synonyms=\{DEFAULT_CONFIG:' \
            group_configs --entity-name tools-group --describe --all &&
        expect_output 'for group tools-group are:' group_configs --describe &&
        expect_output 'Completed' group_configs --entity-name tools-group --alter --delete-config consumer.session.timeout.ms &&
        ! expect_output 'session.timeout' group_configs --entity-name tools-group --describe >/dev/null &&
        expect_output 'heartbeat.interval.ms=6000 ' group_configs --entity-name tools-group --describe
}

group_config_fails() {
    expect_failure 'consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms' \
        group_configs --entity-name tools-group --alter --add-config consumer.session.timeout.ms=1000 &&
        expect_failure 'Unknown group config name: retention.ms' \
            group_configs --entity-name tools-group --alter --add-config retention.ms=1000
}

cluster() {
    expect_output '^Cluster ID: [-_A-Za-z0-9]{22}$' java_run org.apache.kafka.tools.ClusterTool cluster-id \
        --bootstrap-server "$BOOTSTRAP" &&
        expect_output '^1 +127.0.0.1' java_run org.apache.kafka.tools.ClusterTool list-endpoints \
            --bootstrap-server "$BOOTSTRAP"
}

deletes() {
    topics --delete --topic tools-made && ! topics --list | grep -qx tools-made &&
        expect_failure "does not exist" topics --delete --topic tools-made
}

check_topics() {
    check topics-create creates
    check topics-create-fails create_fails
    check topics-describe describes
    check topics-alter alters
    check configs-describe config_describes
    check configs-alter config_alters
    check configs-groups group_config_alters
    check configs-groups-fails group_config_fails
    check cluster cluster
    check get-offsets-made offsets "tools-made:0:0 tools-made:1:0 tools-made:2:0 tools-made:3:0 tools-made:4:0 tools-made:5:0" \
        --topic tools-made
    check topics-delete deletes
}
