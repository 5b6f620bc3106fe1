"""The figures of a run: their names, units and which way is better; how they follow from a program's result."""
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    name: str
    label: str
    unit: str
    better: str = "less"  # or "more"

    def name_and_unit(self, words):
        """'p99 ms: at most 3', with the unit where the label does not have it."""
        tail = "" if self.unit in self.label or self.unit.startswith("1") else f" {self.unit}"
        return f"{self.label}: {words}{tail}"


ALL = {figure.name: figure for figure in [
    Figure("mib_s", "MiB/s", "MiB/s", "more"),
    Figure("records_s", "records/s", "1/s", "more"),
    Figure("requests_s", "requests/s", "1/s", "more"),
    Figure("fetch_mib_s", "fetched MiB/s", "MiB/s", "more"),
    Figure("produce_mib_s", "produced MiB/s", "MiB/s", "more"),
    Figure("cpu_s_per_gib", "CPU-s/GiB", "s/GiB"),
    Figure("moved_cpu_s_per_gib", "CPU-s/GiB, in and out", "s/GiB"),
    Figure("cpu_s", "CPU s", "s"),
    Figure("cpu_us_per_request", "CPU us/request", "us"),
    Figure("cpu_us_per_record", "CPU us/record", "us"),
    Figure("client_cpu_s_per_gib", "client CPU-s/GiB", "s/GiB"),
    Figure("generator_cores", "cores of the load generator", "cores"),
    Figure("p50_ms", "p50 ms", "ms"),
    Figure("p90_ms", "p90 ms", "ms"),
    Figure("p99_ms", "p99 ms", "ms"),
    Figure("p999_ms", "p99.9 ms", "ms"),
    Figure("max_ms", "max ms", "ms"),
    Figure("lag_p99_ms", "generator late, p99 ms", "ms"),
    Figure("fetch_p50_ms", "fetch p50 ms", "ms"),
    Figure("fetch_p99_ms", "fetch p99 ms", "ms"),
    Figure("fetch_p999_ms", "fetch p99.9 ms", "ms"),
    Figure("fetch_cpu_s_per_gib", "CPU-s/GiB fetched", "s/GiB"),
    Figure("rss_mib", "VmRSS MiB", "MiB"),
    Figure("rss_max_mib", "greatest VmRSS MiB", "MiB"),
    Figure("rss_start_mib", "VmRSS after start, MiB", "MiB"),
    Figure("rss_after_mib", "VmRSS 10 s after, MiB", "MiB"),
    Figure("anonymous_after_mib", "of it its own, MiB", "MiB"),
    Figure("ready_ms", "ready ms", "ms"),
    Figure("serving_ms", "all partitions answer, ms", "ms"),
    Figure("stop_ms", "stop ms", "ms"),
    Figure("idle_cpu", "CPU when idle, thousandths of a core", "1/1000"),
    Figure("wakeups_s", "wake-ups/s", "1/s"),
    Figure("turns_s", "turns/s", "1/s"),
    Figure("requests_per_turn", "requests/turn", "1", "more"),
    Figure("locks_per_request", "locks/request", "1"),
    Figure("lock_us_per_request", "locks held, us/request", "us"),
    Figure("lock_ns", "lock held, ns", "ns"),
    Figure("contended", "locks waited for, %", "%"),
    Figure("connections", "connections", "1", "more"),
    Figure("connection_bytes", "bytes/connection", "B"),
    Figure("partition_bytes", "bytes/partition", "B"),
    Figure("partition_written_bytes", "bytes/written partition", "B"),
    Figure("create_ms", "create ms", "ms"),
    Figure("first_ms", "first record in each, ms", "ms"),
]}


SHARE_ABOVE = {"p50": 0.5, "p90": 0.1, "p99": 0.01, "p999": 0.001}
SAMPLES_ABOVE = 10  # fewer, and a quantile is the latency of a few unlucky ones


def told_quantiles(result):
    """Those of a run that have enough samples above them, and the greatest."""
    latency = result.get("latency_us") or {}
    count = latency.get("count", result.get("records") or 0)
    out = {name: latency[name] for name, share in SHARE_ABOVE.items() if name in latency and count * share >= SAMPLES_ABOVE - 1e-6}
    if latency.get("max") and count:
        out["max"] = latency["max"]
    return out


def from_result(result):
    """Figures of one run, from the JSON of a load program; what it does not tell is left out."""
    out = {}

    def put(name, value):
        if value is not None:
            out[name] = float(value)

    seconds, requests = result.get("seconds") or 0, result.get("requests") or 0
    gib = (result.get("bytes") or 0) / (1 << 30)
    put("mib_s", result.get("mib_s"))
    put("records_s", result.get("records_s"))
    if requests and seconds:
        put("requests_s", requests / seconds)
    # A limit counts the CPU of whoever does the work in it; a server's is what its process used.
    cpu = result.get("server_cpu_s") or result.get("cpu_s")
    if cpu is not None:
        moved = sum((result.get(part) or {}).get("bytes") or 0 for part in ("produce", "fetch")) / (1 << 30)
        if moved:  # of a run with both, neither alone says what the CPU was for
            put("moved_cpu_s_per_gib", cpu / moved)
        else:
            put("cpu_s_per_gib", result.get("server_cpu_s_per_gib") or result.get("cpu_s_per_gib") or (cpu / gib if gib else None))
        if requests:
            put("cpu_us_per_request", cpu * 1e6 / requests)
        if result.get("records"):
            put("cpu_us_per_record", cpu * 1e6 / result["records"])
    if gib and result.get("client_cpu_s"):
        put("client_cpu_s_per_gib", result["client_cpu_s"] / gib)
    if seconds and result.get("client_cpu_s"):
        put("generator_cores", result["client_cpu_s"] / seconds)
    for quantile, us in told_quantiles(result).items():
        put(quantile + "_ms", us / 1000)
    lag = result.get("lag_us") or {}
    if lag.get("count", 0) * SHARE_ABOVE["p99"] >= SAMPLES_ABOVE:  # of an open loop
        put("lag_p99_ms", lag["p99"] / 1000)
    for part in ("fetch", "produce"):
        if isinstance(result.get(part), dict):
            put(part + "_mib_s", result[part].get("mib_s"))
    fetched = result.get("fetch") if isinstance(result.get("fetch"), dict) else {}
    for quantile, us in told_quantiles(fetched).items():
        put(f"fetch_{quantile}_ms", us / 1000)
    if fetched.get("bytes") and cpu is not None:
        put("fetch_cpu_s_per_gib", cpu / (fetched["bytes"] / (1 << 30)))
    # Without a server's pid these are 0: not measured.
    for name in ("rss_mib", "rss_max_mib"):
        put(name, result.get(name) or None)
    return out


def show(value):
    """A number with as many digits as one reads."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.1 or size == 0:
        return f"{value:.2f}"
    return f"{value:.3f}"


QUANTILES = [0, .05, .1, .2, .3, .4, .5, .6, .7, .75, .8, .85, .9, .925, .95, .96, .97, .98, .985, .99, .9925, .995,
             .9965, .998, .999, .99925, .9995, .9998, .9999, .99995, .99998, .99999, 1]


def curve(histogram):
    """[[quantile, us], ...] of a histogram [[us, count], ...]; a quantile needs ten samples above it, but for the last."""
    histogram = sorted(histogram)
    total = sum(count for _, count in histogram)
    out, seen, at = [], 0, 0
    for quantile in QUANTILES if total else []:
        if quantile < 1 and total * (1 - quantile) < 10:
            continue
        while at < len(histogram) - 1 and seen + histogram[at][1] < quantile * total:
            seen += histogram[at][1]
            at += 1
        out.append([quantile, histogram[at][0]])
    return out


def middle_curve(curves):
    """The median of the rounds at each quantile that most of them have."""
    seen = {}
    for curve_of_round in curves:
        for quantile, us in curve_of_round:
            seen.setdefault(quantile, []).append(us)
    return [[quantile, statistics.median(row)] for quantile, row in sorted(seen.items()) if 2 * len(row) > len(curves)]


def thinned(samples, most=240):
    """At most so many of the samples, evenly."""
    step = max(1, -(-len(samples) // most))
    return samples[::step]
