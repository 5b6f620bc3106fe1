"""./dev bench check: does the table make sense, and do results become a report? Measures nothing, takes seconds."""
import os
import random
import tempfile

import figures
import judge
import keeper
import loops
import machine
import marks
import plots
import programs
import report
import results
import rounds
import servers
import table
from options import Line, size

SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sample")

PRODUCED = """123 records sent, 24.6 records/sec (0.02 MB/sec), 1.0 ms avg latency, 2.0 ms max latency.
500000 records sent, 51234.553735 records/sec (50.03 MB/sec), 580.60 ms avg latency, 993.00 ms max latency, 571 ms 50th, 934 ms 95th, 972 ms 99th, 990 ms 99.9th.
"""
CONSUMED = """start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
2026-01-01 00:00:00:000, 2026-01-01 00:00:06:000, 1024.0, 170.7, 1048576, 174762.7, 3500, 2500, 409.6, 419430.4
"""


def check_options():
    assert size("64KiB") == 65536 and size("100") == 100
    line = Line("load produce --acks -1 --idempotent --batch-size 64KiB --set a=b --set c=d")
    assert line.arguments() == ["produce", "--acks", "-1", "--idempotent", "--batch-size", "65536", "--set", "a=b", "--set", "c=d"]
    merged = line.merged(Line("--batch-size 1KiB --rate 5"))
    assert merged.get("batch-size") == "1KiB" and merged.get("rate") == "5" and merged.has("idempotent")
    short = Line("load produce --total-size 2GiB --seconds 4 --partitions 1000").scaled(0.1)
    assert short.number("total-size") == (2 << 30) // 10 and short.get("seconds") == "0.4" and short.get("partitions") == "1000"
    assert line.get("batch-size") == "64KiB" and not line.with_options(idempotent=None).has("idempotent")


def check_figures():
    histogram = [[float(us), 1] for us in range(1, 10001)]
    random.Random(1).shuffle(histogram)
    curve = dict(map(tuple, figures.curve(histogram)))
    assert curve[.5] == 5000 and curve[.99] == 9900 and curve[1] == 10000 and .99998 not in curve
    assert figures.curve([]) == []
    assert figures.middle_curve([[[.5, 1], [.9, 5]], [[.5, 3], [.9, 6]], [[.5, 2]]]) == [[.5, 2], [.9, 5.5]]
    assert len(figures.thinned(list(range(1000)))) <= 240
    values = figures.from_result({"requests": 10, "seconds": 2, "bytes": 1 << 30, "mib_s": 512, "server_cpu_s": 0.5,
                                  "latency_us": {"p50": 1500, "p99": 3000, "p999": 3100, "max": 4000, "count": 1000}})
    both = figures.from_result({"bytes": 1 << 30, "server_cpu_s": 1, "produce": {"bytes": 1 << 30}, "fetch": {"bytes": 3 << 30}})
    assert both["moved_cpu_s_per_gib"] == 0.25 and "cpu_s_per_gib" not in both
    assert values["cpu_s_per_gib"] == 0.5 and values["p50_ms"] == 1.5 and values["requests_s"] == 5
    assert values["p99_ms"] == 3 and values["max_ms"] == 4 and "p999_ms" not in values, "a p99.9 of 1,000 samples is one of them"


def check_perf_tools():
    produced = programs.parse_produced(PRODUCED, 1024)
    assert produced["records"] == 500000 and produced["mib_s"] == 50.03 and produced["latency_us"]["p999"] == 990000
    consumed = programs.parse_consumed(CONSUMED, 1024)
    assert consumed["mib_s"] == 409.6 and consumed["seconds"] == 2.5 and consumed["records"] == 1048576


def check_table(bench):
    scenarios = table.read()
    names = [scenario.name for scenario in scenarios]
    assert len(names) >= 24, "issue 6 wants 24 scenarios"
    programs_there = {name.removesuffix("_bench.c") for name in os.listdir(bench) if name.endswith("_bench.c")}
    taken = programs_there & set(names) | {"all", "quick", "list", "report", "check"} & set(names)
    assert not taken, f"a scenario has the name of something else: {taken}"
    for broken in ("figures = ['speed']", "load = 'lod produce'", "servers = ['redpanda']", "plots = ['pie']", "rounds_ = 3",
                   "cases = [{ name = 'a', options = '--rate fast' }]", "raw = { pump = 'pump --connections {threads}' }"):
        assert is_refused(broken), broken
    return scenarios


def is_refused(row):
    """Is a table with one good scenario refused when this row is in the place of the good one?"""
    rows = {"load": "'load produce --connections 1'", "servers": "['page']", "figures": "['mib_s']", "cases": "[{ name = 'a' }]"}
    name, _, value = row.partition(" = ")
    rows[name] = value
    text = "[[scenario]]\nname = 'x'\nshows = 'x'\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        try:
            table.read(file.name)
        except table.Wrong:
            return True
    return False


SMALL = """[[scenario]]
name = "x"
shows = "x"
load = "load produce --connections 1 --total-size 1GiB"
cases = [{ name = "a" }, { name = "b" }]
servers = ["page", "kafka", "sink"]
raw = { pump = "pump --connections {connections}", crc = "crc" }
figures = ["mib_s"]
aims = [{ says = "x", figure = "mib_s", of = "page", against = "pump", at_least = 0.6 }]
"""


def small_scenario(folder, text=SMALL):
    path = os.path.join(folder, "table.toml")
    with open(path, "w") as file:
        file.write(text)
    return table.read(path)[0]


def small_marks(runnel="r1", setup="s1", commit="c1"):
    about = {"machine": {"memory": "1 GiB"}, "versions": {}, "rounds_wanted": 2, "once": ["sink"]}
    builds = {"page": runnel, "kafka": "k", "sink": "g", keeper.RAW: "g"}
    return {"setup": setup, "builds": builds, "commit": commit, "about": about}


def turn(keep, kind, number, value):
    """A turn in which both cases gave the value."""
    keep.begin(kind, number, 0.1)
    for case in ("a", "b"):
        for subject in keep.subjects(kind):
            keep.add(case, subject, {"mib_s": value}, "line", {"histogram": [[1.0, 50], [2.0, 50]], "latency_us": {}})
    keep.end()


def check_turns():
    """Who runs when: turns go there and back; what no aim compares with is measured once."""
    with tempfile.TemporaryDirectory() as out:
        scenario = small_scenario(out)
    assert scenario.turns(2) == [(0, "page"), (0, "kafka"), (0, "sink"), (0, "raw"), (1, "raw"), (1, "kafka"), (1, "page")]
    first, second = scenario.cases
    assert list(scenario.raw_for(first, 0)) == ["pump", "crc"] and list(scenario.raw_for(first, 1)) == ["pump"]
    assert list(scenario.raw_for(second, 0)) == ["pump"]
    for kind in ("page", "kafka", "sink", "raw"):
        assert 0 < scenario.turn_seconds(kind, 0, 5) < 120


def check_keeper():
    """What is finished outlives an interruption; what was measured otherwise is not mixed with it."""
    with tempfile.TemporaryDirectory() as out:
        scenario = small_scenario(out)
        kinds = ["page", "kafka", "sink", "raw"]
        keep = keeper.Keeper(scenario, out, small_marks(), kinds)
        turn(keep, "page", 0, 10.0)
        turn(keep, "kafka", 0, 5.0)
        keep.begin("sink", 0, 0.1)  # interrupted
        keep.add("a", "sink", {"mib_s": 99.0}, "line")

        again = keeper.Keeper(scenario, out, small_marks(commit="c2"), kinds)
        assert again.is_done("page", 0) and again.is_done("kafka", 0) and not again.is_done("sink", 0)
        assert "sink" not in again.data["cases"]["a"]
        turn(again, "kafka", 1, 6.0)
        turn(again, "page", 1, 12.0)
        result = results.Result(results.read(out)["x"])
        assert result.values("a", "page", "mib_s") == [10, 12] and result.values("b", "kafka", "mib_s") == [5, 6]
        assert len(result.cell("a", "page")["curves"]) == 2
        assert [row[0] for row in result.builds()] == ["c1", "c2"] or [row[0] for row in result.builds()] == ["c2", "c1"]

        newer = keeper.Keeper(scenario, out, small_marks(runnel="r2"), ["page"], whole_scenario=False)  # --only page
        assert not newer.is_done("page", 0) and newer.is_done("kafka", 1), "--only leaves the others"
        newer = keeper.Keeper(scenario, out, small_marks(runnel="r2"), kinds)
        assert newer.said and not newer.data["turns"], "another binary: all of it begins anew"
        other = keeper.Keeper(scenario, out, small_marks(setup="s2"), kinds)
        assert other.said and not other.data["turns"], "another machine or load: all of it begins anew"
        anew = keeper.Keeper(scenario, out, small_marks(), ["kafka"], whole_scenario=False, anew=True)
        assert anew.is_done("page", 1) and not anew.is_done("kafka", 0), "--again"
        assert results.read(out)["x"]["turns"]["kafka"], "nothing is lost before something new is there"
        later = keeper.Keeper(scenario, out, small_marks(), ["kafka"], whole_scenario=False)
        turn(later, "kafka", 2, 7.0)  # a hole is no value
        turn(later, "page", 3, 8.0)
        assert results.Result(later.data).values("a", "page", "mib_s") == [10, 12, None, 8]
        ratio = results.Result(later.data).ratio("a", "page", "kafka", "mib_s")
        assert ratio.values == [2, 2]


class Options:
    def __init__(self, minutes=0.0, pin="", scale=1.0):
        self.minutes, self.pin, self.scale = minutes, pin, scale


class Programs:
    """Tools whose programs are no files: their names are what they hold."""

    def __init__(self, runnel="r1"):
        self.runnel, self.root = runnel, os.path.dirname(SAMPLE)


def check_marks():
    """What makes results others, and what does not."""
    def marks_of(scenario, options=None, runnel="r1", kept=None, memory="1 GiB", commit="c"):
        versions = {"Apache Kafka": "4", "Java": "17"}
        return marks.Marker(Programs(runnel), options or Options(), versions, {"memory": memory}, commit,
                            lambda _: 3).of(scenario, kept)

    with tempfile.TemporaryDirectory() as out:
        scenario = small_scenario(out)
        other_aim = small_scenario(out, SMALL.replace("0.6", "0.7"))
        other_size = small_scenario(out, SMALL.replace("1GiB", "2GiB"))
        long = small_scenario(out, SMALL + "minutes = { page = 1.0 }\n")
    first, _ = marks_of(scenario)
    for same in (marks_of(other_aim), marks_of(scenario, commit="d"), marks_of(scenario, runnel="r2"), marks_of(scenario, Options(9))):
        assert same[0]["setup"] == first["setup"]
    for other in (marks_of(other_size), marks_of(scenario, Options(pin="0:1")), marks_of(scenario, Options(scale=0.5)),
                  marks_of(scenario, memory="2 GiB")):
        assert other[0]["setup"] != first["setup"]
    assert marks_of(scenario, runnel="r2")[0]["builds"]["page"] != first["builds"]["page"]
    assert marks_of(scenario, runnel="r2")[0]["builds"]["kafka"] == first["builds"]["kafka"]
    hour, minutes = marks_of(long, Options(60))
    kept = {"setup": hour["setup"], "minutes": 60, "turns": {"page": [{"build": hour["builds"]["page"]}]}}
    assert minutes == 60 and marks_of(long, kept=kept)[1] == 60 and marks_of(long)[1] == marks.USUAL_MINUTES
    assert marks_of(long, runnel="r2", kept=kept)[1] == marks.USUAL_MINUTES


class Named:
    """Addresses with names."""

    def of(self, address):
        return f"f{address}"


def check_dead_server():
    """A server that does not start is a failed turn, and no end of the others."""
    with tempfile.TemporaryDirectory() as out:
        scenario = small_scenario(out)
        tools = servers.Tools(out)
        tools.runnel = "/bin/false"
        keep = keeper.Keeper(scenario, out, small_marks(), ["page"])
        run = rounds.Run(tools, scenario, out, Settings(), keep, lambda text: None)
        run.go()
        failures = results.Result(results.read(out)["x"]).failures()
        assert len(failures) == 1 and "ended with status 1" in str(failures), failures
        assert not run.missing() and not os.path.exists(os.path.join(out, "page"))


class Settings:
    minutes, scale = 5, 0.1

    def rounds_of(self, _):
        return 1

    def takes(self, kind):
        return kind == "page"


def check_loops():
    """What the library counted between two looks; what is no part of a request's path is left out."""
    def write(path, turns, sites):
        rows = [loops.SITE.pack(*row) for row in sites] + [bytes(loops.SITE.size)] * (loops.SITES - len(sites))
        with open(path, "wb") as file:
            file.write(loops.HEAD.pack(turns, 0, 20) + b"".join(rows))
        return loops.Counts(path)

    with tempfile.TemporaryDirectory() as out:
        before = write(os.path.join(out, "a"), 100, [(7, 50, 0, 5000, 900, 0)])
        after = write(os.path.join(out, "b"), 300, [(7, 1050, 10, 105000, 900, 70), (8, 2, 0, 10 ** 9, 10 ** 9, 0)])
    values, notes = loops.told(after, before, {"seconds": 2, "requests": 1000}, Named())
    assert values == {"turns_s": 100, "requests_per_turn": 5, "locks_per_request": 1, "lock_ns": 100, "lock_us_per_request": 0.1, "contended": 1}, values
    assert len(notes) == 1 and notes[0].startswith("f7: 1.00 a request, held 100 ns"), notes


def check_cold_cache():
    """Pages that are in memory are noticed, whoever was asked to drop them."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(SAMPLE)) as out:
        folder = os.path.join(out, "topic-0")
        os.makedirs(folder)
        with open(os.path.join(folder, "0.log"), "wb") as file:
            file.write(b"x" * (1 << 20))
        try:
            machine.expect_dropped(out, "topic")
        except machine.StillCached:
            pass
        else:
            raise AssertionError("what was just written is in memory")
        machine.expect_dropped(out, "other")
        if machine.file_system(out) in ("tmpfs", "overlay", "unknown"):
            return "cannot be dropped on this file system"
        machine.drop_from_cache(out)
        machine.expect_dropped(out, "topic")
        return None


def check_judge(scenarios, kept):
    """The sample results hold an aim that is met, one that is missed and one that was not measured."""
    words = {verdict.word for scenario in scenarios for judged in judge.judge(scenario, kept.get(scenario.name))
             for verdict in judged.verdicts}
    assert words == {"met", "missed", "not measured"}, words
    spread = results.Result(kept["half-load"]).ratio("half of Kafka's", "page", "kafka", "p99_ms")
    assert spread and spread.least <= spread.median <= spread.most


def check_bound():
    """An aim is out of reach when the bound misses it too and comes nearer; a latency never is."""
    with tempfile.TemporaryDirectory() as out:
        text = SMALL.replace('"kafka", "sink"]', '"kafka", "sink"]\nbound = "sink"').replace('against = "pump", ', 'against = "kafka", ')
        scenario = small_scenario(out, text)
        assert scenario.is_judged("sink") and (1, "sink") in scenario.turns(2)
        for sink, reached in ((5.0, True), (7.0, False), (3.0, False)):  # page has 4, Kafka 10, wanted is 6
            folder = os.path.join(out, f"{sink}")
            keep = keeper.Keeper(scenario, folder, small_marks(), ["page", "kafka", "sink"])
            for kind, value in (("page", 4.0), ("kafka", 10.0), ("sink", sink)):
                turn(keep, kind, 0, value)
            verdict = judge.judge(scenario, results.read(folder)["x"])[0].verdicts[0]
            assert verdict.word == "missed" and verdict.out_of_reach == reached and verdict.bound == f"answering sink {sink / 10:.2f}x", verdict
        try:
            small_scenario(out, text.replace('bound = "sink"', 'bound = "echo"'))
        except table.Wrong:
            return
        raise AssertionError("a bound that the scenario does not have")


def check_report(scenarios, kept):
    with tempfile.TemporaryDirectory() as out:
        folder, page = os.path.join(out, "results"), os.path.join(out, "RESULTS.md")
        for result in kept.values():
            results.write(folder, result)
        assert results.read(folder) == kept
        report.write(scenarios, results.read(folder), page, folder)
        with open(page) as file:
            text = file.read()
        for name in kept:
            assert f"\n## {name}\n" in text, name
        assert "**missed**" in text and "| met in 3 of 3" in text and "| not yet |" in text
        assert not any(line != line.rstrip() for line in text.splitlines()), "blanks at the end of a line"
        if not plots.available():
            return "without gnuplot, so no plot was drawn"
        drawn = [name for name in os.listdir(folder) if name.endswith(".svg")]
        assert len(drawn) == sum(len(scenario.plots) for scenario in scenarios if scenario.name in kept), drawn
        assert all(f"results/{name}" in text for name in drawn)
        return f"{len(drawn)} plots"


def main(bench):
    failed = 0

    def step(name, work, *given):
        nonlocal failed
        try:
            out = work(*given)
            print(f"pass bench/{name}" + (f" ({out})" if isinstance(out, str) else ""))
            return out
        except (AssertionError, table.Wrong, RuntimeError, KeyError, AttributeError, TypeError, machine.StillCached) as reason:
            failed = 1
            print(f"fail bench/{name}: {type(reason).__name__} {reason}")
            return None

    step("options", check_options)
    step("figures", check_figures)
    step("perf-tools", check_perf_tools)
    step("turns", check_turns)
    step("bound", check_bound)
    step("keeper", check_keeper)
    step("marks", check_marks)
    step("dead-server", check_dead_server)
    step("loops", check_loops)
    step("cold-cache", check_cold_cache)
    scenarios = step("table", check_table, bench)
    kept = results.read(SAMPLE)
    if scenarios:
        step("aims", check_judge, scenarios, kept)
        step("report", check_report, scenarios, kept)
    return failed
