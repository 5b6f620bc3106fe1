# checks.sh: what the run() of a client's folder may use to judge; sourced by compat/run.

codecs="none gzip snappy lz4 zstd"
records=1000

pass() { printf 'pass %s\n' "$1${2:+ $2}"; }
fail() { printf 'fail %s %s\n' "$1" "${2:-}"; }
skip() { printf 'skip %s %s\n' "$1" "${2:-}"; }

# check NAME COMMAND...: pass when the command succeeds; else fail, with the last line it wrote.
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        pass "$name"
    else
        fail "$name" "$(printf '%s' "$output" | tail -n 1 | cut -c 1-160)"
    fi
}

# The records that every client writes and reads: key-0..key-6, value-0..value-999.
expected_records() {
    local i
    for ((i = 0; i < records; i++)); do
        printf 'key-%d\tvalue-%d\n' $((i % 7)) "$i"
    done
}

# Writes them with kcat into the topics seed-CODEC, for clients to read.
seed_topics() {
    local codec
    for codec in $codecs; do
        expected_records | kcat -P -q -b "$BOOTSTRAP" -t "seed-$codec" -p 0 -K '\t' -z "$codec" ||
            { fail "seed-$codec" "kcat could not write" && return 1; }
    done
}

# Does kcat read from partition 0 of a topic exactly what a client should have written there?
kcat_reads() {
    kcat -C -q -e -b "$BOOTSTRAP" -t "$1" -p 0 -o beginning -f '%k\t%s\n' | cmp - <(expected_records)
}

# The same as checks, for the topics PREFIX-CODEC.
check_with_kcat() {
    local codec
    for codec in ${2:-$codecs}; do
        check "kcat-reads-$codec" kcat_reads "$1-$codec"
    done
}
