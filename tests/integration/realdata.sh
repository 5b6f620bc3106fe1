#!/usr/bin/env bash
# realdata: 50 MB of this machine's own text through kcat into 8 partitions, with every codec, and with a
# kill -9 in the middle. One record a line, keyed by file name; it must come back identical, in order per key.
# Prints `pass|fail|skip NAME REASON` lines. $RUNNEL_BINARY names the broker.
set -uo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../support/broker.sh"

wanted=$((50 * 1000 * 1000))
tab=$(printf '\t')
work=$(mktemp -d "${TMPDIR:-/tmp}/runnel-realdata-XXXXXX")
feeder='' failed=0

finish() {
    broker_kill
    [ -z "$feeder" ] || kill "$feeder" 2>/dev/null
    [ "$failed" -ne 0 ] || rm -rf "$work"
}
trap finish EXIT

pass() { printf 'pass realdata/%s %s\n' "$1" "$2"; }
fail() {
    printf 'fail realdata/%s %s (data in %s)\n' "$1" "$2" "$work"
    failed=1
}

# Names of text files, best first: what every Debian has, until there is enough.
candidates() {
    find /usr/share/doc -type f -name copyright
    find /usr/share/dict -type f 2>/dev/null
    find /usr/share/doc -type f -name 'changelog*.gz'
    find /var/lib/dpkg/info -type f -name '*.list'
    find /var/lib/apt/lists -maxdepth 1 -type f -name '*_Packages' 2>/dev/null
    find /usr/include /usr/share/perl /usr/lib/python3 /usr/share/cmake* -type f 2>/dev/null
}

# Writes FILE TAB LINE for every line, for as many files as it takes.
collect() {
    local size=0 file
    while [ "$size" -lt "$wanted" ] && read -r file; do
        case $file in
        *.gz) gzip -dc "$file" ;;
        *) grep -qI '' "$file" && cat "$file" ;;
        esac 2>/dev/null | head -c 30000000 | awk -v name="$file" '{ print name "\t" $0 }' >>"$work/input"
        size=$(stat -c %s "$work/input")
    done < <(candidates)
    [ "$size" -ge "$wanted" ]
}

produce() { # topic, codec; lines on standard input
    kcat -P -q -b "$BOOTSTRAP" -t "$1" -K "$tab" -z "$2"
}

consume() { # topic, file: what comes, sorted by key and otherwise in the order in which it came
    kcat -C -q -e -b "$BOOTSTRAP" -t "$1" -o beginning -f '%k\t%s\n' | sort -s -t "$tab" -k 1,1 >"$2"
}

compare() { # name, topic
    consume "$2" "$work/output"
    if cmp -s "$work/expected" "$work/output"; then
        pass "$1" "$(wc -c <"$work/output") bytes, $(wc -l <"$work/output") records"
    else
        fail "$1" "$(cmp "$work/expected" "$work/output" 2>&1 | head -n 1)"
    fi
}

through_codec() { # codec
    produce "text-$1" "$1" <"$work/input" || fail "$1" "kcat ended with status $?"
    compare "$1" "text-$1"
}

# The broker dies when kcat has read half of the text. What is in the log then must be, per key, the first
# lines of that key; the others are sent after the restart, and the whole is compared.
killed_in_the_middle() { # codec
    local topic=killed-$1 half kept
    half=$(($(wc -l <"$work/input") / 2))
    rm -f "$work/feed"
    mkfifo "$work/feed"
    produce "$topic" "$1" <"$work/feed" 2>/dev/null &
    feeder=$!
    exec 8>"$work/feed"
    head -n "$half" "$work/input" >&8 # returns when kcat has taken all but a pipe's content
    broker_kill
    kill -KILL "$feeder" 2>/dev/null
    wait "$feeder" 2>/dev/null
    feeder=
    exec 8>&-
    broker_start "$work/data" --override num.partitions=8 || { fail "$1-killed" "no restart" && return; }
    consume "$topic" "$work/kept"
    kept=$(wc -l <"$work/kept")
    # Per key, the first file's lines must begin the second one's; the rest of the second is printed.
    if ! awk -F '\t' '
        function key(line) { return substr(line, 1, index(line, "\t") - 1) }
        NR == FNR { kept[key($0), ++count[key($0)]] = $0; next }
        {
            k = key($0); n = ++seen[k]
            if (n > count[k] + 0) { print; next }
            if (kept[k, n] != $0) { bad = 1; exit }
            matched++
        }
        END { exit bad || matched + 0 != NR_kept + 0 }' NR_kept="$kept" \
        "$work/kept" "$work/input" >"$work/rest"; then
        fail "$1-killed" "what was kept ($kept records) is not, per key, the beginning of what was sent"
        return
    fi
    [ "$kept" -gt 0 ] && [ -s "$work/rest" ] || fail "$1-killed" "the kill was not in the middle: $kept kept"
    produce "$topic" "$1" <"$work/rest" || fail "$1-killed" "kcat ended with status $?"
    compare "$1-killed" "$topic"
}

command -v kcat >/dev/null || { echo "skip realdata/all kcat is missing" && exit 0; }
if ! collect; then
    fail input "this machine has no 50 MB of text: $(wc -c <"$work/input")"
    exit 1
fi
sort -s -t "$tab" -k 1,1 "$work/input" >"$work/expected"
printf 'text: %d bytes, %d lines, %d files\n' "$(wc -c <"$work/input")" "$(wc -l <"$work/input")" \
    "$(cut -f 1 "$work/input" | uniq | wc -l)"

broker_start "$work/data" --override num.partitions=8 || { fail start "no broker" && exit 1; }
for codec in none gzip snappy lz4 zstd; do
    through_codec "$codec"
done
for codec in none gzip snappy lz4 zstd; do
    killed_in_the_middle "$codec"
done
broker_stop || fail stop "the broker ended with status $?"
exit "$failed"
