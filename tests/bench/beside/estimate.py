"""How long a turn is about to take, before it was ever measured."""
import lifecycle
import servers
from keeper import RAW
from options import Line, filled, size

# Seconds, and MiB/s that a server of two cores takes about.
START = {"kafka": 5.0, "durable": 0.3, "page": 0.3, "sink": 0.2, "files": 0.2, "echo": 0.2}
WARM_UP = {"kafka": 11.0, "durable": 1.3, "page": 1.3, "sink": 0.0, "files": 0.0, "echo": 0.0}
SPEED = {"kafka": 500, "durable": 800, "page": 1000, "sink": 2500, "files": 1500, "echo": 2500}
CLIENT_SPEED = {"load": 4000, "librdkafka_load": 700, "kafka-perf": 120}
SMALL_SPEED = 60  # with a record to a request
TOPIC, MEMORY, QUIET = 0.5, 1.2, 0.5
LIFECYCLE = {"start": {"kafka": 12, "durable": 2, "page": 2}, "restart": {"kafka": 60, "durable": 30, "page": 30},
             "idle": {"kafka": 70, "durable": 62, "page": 62}, "memory": {"kafka": 30, "durable": 16, "page": 16},
             "connections": {"kafka": 35, "durable": 22, "page": 22},
             "loops": {"kafka": 12, "durable": 7, "page": 7},
             "partitions": {"kafka": 200, "durable": 55, "page": 55}}


def run_seconds(line, kind):
    """One run of a load program, or of a raw limit."""
    seconds = float(line.get("seconds", 0)) + float(line.get("warmup", 0))
    if not line.number("total-size"):
        return seconds or 2
    speed = min(SPEED.get(kind, 2500), CLIENT_SPEED.get(line.words[0], 4000))
    if line.has("batch-size") and size(line.get("batch-size")) < 4096:
        speed = SMALL_SPEED
    return line.number("total-size") / (1 << 20) / speed + (2 if line.words[0] == "kafka-perf" else 0)


def turn_seconds(scenario, kind, number, minutes, scale):
    if scenario.is_lifecycle:
        one = LIFECYCLE[scenario.load.words[0]].get(kind, 10)
        return QUIET + one * len(scenario.shared_cases(kind)) * max(scale, 0.3)
    if kind == RAW:
        lines = [Line(filled(text, case.line)).scaled(scale) for case in scenario.cases for text in scenario.raw_for(case, number).values()]
        return QUIET + sum(run_seconds(line, kind) + MEMORY * line.has("directory") for line in lines)
    cases = [case for case in scenario.cases if kind in case.servers]
    starts = 1 + sum(one.overrides != other.overrides for one, other in zip(cases, cases[1:]))
    starts_again = START[kind] + 1 if scenario.cache == "cold" else 0
    total = QUIET + starts_again + starts * (START[kind] + WARM_UP[kind] * max(scale, 0.2))
    in_it = None
    for case in cases:
        line = case.line.scaled(scale)
        if scenario.long:
            line = line.with_options(seconds=scenario.minutes_of(kind, minutes) * 60 * scale)
        total += run_seconds(line, kind) + TOPIC
        if scenario.memory and kind not in ("sink", "echo"):
            total += 7 if scenario.memory == "cold" else MEMORY * max(scale, 0.1)
        if case.fill and str(case.fill) != in_it:
            in_it = str(case.fill)
            total += run_seconds(case.fill.scaled(scale), kind) + TOPIC
    return total


assert set(LIFECYCLE) == set(lifecycle.MEASURES)
