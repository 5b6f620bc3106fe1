"""Runs one load generator against one server: ours, that on librdkafka, or Kafka's own perf tools."""
import os
import re
import threading

import process
from options import Line, filled

OURS = ("load", "librdkafka_load")
KAFKA_TOOLS = ("kafka-perf",)
SLACK_SECONDS = 90  # beyond what a run should take, before it is given up


def time_limit(line):
    seconds = float(line.get("seconds", 0)) + float(line.get("warmup", 0))
    return 3 * seconds + SLACK_SECONDS + line.number("total-size") / (5 << 20)


def run(tools, line, server, topic):
    """Returns the program's JSON. `line` is complete but for the server and the topic."""
    if line.words[0] == "kafka-perf":
        return kafka_perf(tools, line, server, topic)
    arguments = [tools.program(line.words[0]), *line.arguments(), "--bootstrap", server.address]
    if topic:
        arguments += ["--topic", topic]
    arguments += ["--server-pid", str(server.pid)]
    result = process.run_json(tools.pinned(tools.load_pin, arguments), time_limit(line))
    if result.get("errors"):
        raise process.Failed(f"{result['errors']} requests were answered with an error")
    return result


def run_limit(tools, text, line, directory, scale=1):
    """A raw limit: a line of the program `limits`, with the load's options where it names them."""
    limit = Line(filled(text, line)).scaled(scale)
    if limit.get("directory") is not None:
        limit = limit.with_options(directory=directory)
    return limit, process.run_json([tools.program("limits"), limit.words[0], *limit.arguments()], time_limit(limit))


def warm(tools, bytes_count):
    """Makes the host find memory: so many pages are written and given back. Lasts for about two seconds."""
    process.run_json([tools.program("limits"), "warm", "--total-size", str(bytes_count)], 120)


# --- Kafka's perf tools ---------------------------------------------------------------------------

PRODUCED = re.compile(r"(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, "
                      r"([\d.]+) ms max latency, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99\.9th")


class Watch:
    """CPU and greatest VmRSS of a server while something runs."""

    def __init__(self, pid):
        self.pid, self.cpu, self.rss_max = pid, process.cpu_seconds(pid), 0.0
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        while not self.end.wait(0.1):
            self.rss_max = max(self.rss_max, process.memory(self.pid)["VmRSS"])

    def stop(self):
        self.end.set()
        self.thread.join()
        rss = process.memory(self.pid)["VmRSS"]
        return {"server_cpu_s": process.cpu_seconds(self.pid) - self.cpu, "rss_mib": rss, "rss_max_mib": max(rss, self.rss_max)}


def kafka_perf(tools, line, server, topic):
    """kafka-perf produce|consume --record-size --total-size [--set KEY=VALUE]."""
    direction, record_size = line.words[1], line.number("record-size", 1024)
    records = line.number("total-size", 1 << 30) // record_size
    java = ["java", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp",
            os.path.join(kafka_jars(tools), "*")]
    settings = [word for setting in line.get("set", []) for word in ("--command-property", setting)]
    if direction == "produce":
        arguments = [*java, "org.apache.kafka.tools.ProducerPerformance", "--throughput", line.get("throughput", "-1"),
                     "--record-size", str(record_size)]
    else:
        arguments = [*java, "org.apache.kafka.tools.ConsumerPerformance", "--timeout", "30000"]
    arguments += ["--bootstrap-server", server.address, "--topic", topic, "--num-records", str(records), *settings]
    watch, before = Watch(server.pid), process.cpu_of_children()
    try:
        out = process.run(tools.pinned(tools.load_pin, arguments), time_limit(line))
    finally:
        watched = watch.stop()
    result = (parse_produced if direction == "produce" else parse_consumed)(out, record_size)
    return {"kind": f"kafka-perf {direction}", **result, **watched, "client_cpu_s": process.cpu_of_children() - before}


def kafka_jars(tools):
    with open(os.path.join(tools.root, "compat/apache-kafka/pom.xml")) as pom:
        version = re.search(r"<kafka.version>(.*?)</kafka.version>", pom.read())[1]
    return os.path.join(tools.root, "compat/.cache/apache-kafka", os.environ.get("KAFKA_VERSION", version))


def parse_produced(text, record_size):
    """The last line of ProducerPerformance sums up; its MB are MiB."""
    found = PRODUCED.findall(text)
    if not found:
        raise process.Failed("ProducerPerformance printed no result")
    records, rate, mib_s, _, greatest, p50, _, p99, p999 = map(float, found[-1])
    return {"records": int(records), "bytes": int(records * record_size), "seconds": records / rate, "mib_s": mib_s,
            "records_s": rate, "latency_us": {"p50": p50 * 1000, "p99": p99 * 1000, "p999": p999 * 1000, "max": greatest * 1000}}


def parse_consumed(text, _record_size):
    """ConsumerPerformance prints a heading and one row; fetch.MB.sec leaves out the time of the first rebalance."""
    rows = [line.split(", ") for line in text.splitlines() if line.count(", ") >= 9]
    if len(rows) < 2:
        raise process.Failed("ConsumerPerformance printed no result")
    row = dict(zip((name.strip() for name in rows[-2]), rows[-1]))
    mib, records = float(row["data.consumed.in.MB"]), int(row["data.consumed.in.nMsg"])
    return {"records": records, "bytes": int(mib * (1 << 20)), "seconds": int(row["fetch.time.ms"]) / 1000,
            "mib_s": float(row["fetch.MB.sec"]), "records_s": float(row["fetch.nMsg.sec"])}
