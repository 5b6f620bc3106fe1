"""./dev bench: runnel and Apache Kafka beside each other, and the machine's limits beside both.

    ./dev bench [all|quick|SCENARIO...]     measure what is not kept yet; an interrupted call is gone on with by the next
    ./dev bench list                        the scenarios, and about how long each takes
    ./dev bench report                      write RESULTS.md and the plots anew from the kept results
    ./dev bench check                       does the table make sense, does the report work? (no measurement)

    --rounds N           so many (default 3); a scenario may want fewer
    --again              measure anew what is kept already
    --within MINUTES     begin nothing that would end later; ends with status 3 when something is left for the next call
    --minutes M          of the long scenario (the hour is 60; default: as long as what is kept of this build, else 5)
    --only SERVER,...    leave other servers out: durable page kafka sink echo raw; what is kept of them stays
    --scale FACTOR       sizes and times times FACTOR, to see that all works; such results go to build/bench-scaled
    --data DIRECTORY     where the servers keep their data (default build/bench-data; its file system is what is measured)
    --pin CPUS:CPUS      pin servers and load generators, as taskset -c does (default: nothing is pinned)
    --table FILE         another table of scenarios
    --out DIRECTORY      where RESULTS.md and results/ go (default tests/bench)
"""
import argparse
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass

import check
import keeper
import machine
import marks
import process
import report
import results
import rounds
import servers
import table

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(BENCH))


NOT_FINISHED = 3


@dataclass
class Settings:
    rounds: int
    minutes: float
    only: list
    scale: float
    there: list  # servers that this machine can start

    def has(self, kind):
        return kind in self.there

    def takes(self, kind):
        return (not self.only or kind in self.only) and (kind == keeper.RAW or self.has(kind))

    def rounds_of(self, scenario):
        return min(self.rounds, scenario.rounds or self.rounds)


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", usage=__doc__, add_help=False)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--within", type=float, default=0)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--data", default=os.path.join(ROOT, "build/bench-data"))
    parser.add_argument("--pin", default="")
    parser.add_argument("--table", default=table.PATH)
    parser.add_argument("--out", default="")
    parser.add_argument("-h", "--help", action="store_true")
    options = parser.parse_args()
    if options.rounds < 1 or options.scale <= 0 or options.minutes < 0 or options.within < 0:
        parser.error("rounds, scale and minutes are above 0")
    if options.scale != 1 and os.path.realpath(options.out or BENCH) == os.path.realpath(BENCH):
        options.out = os.path.join(ROOT, "build/bench-scaled")
    options.out = options.out or BENCH
    return options


def chosen(scenarios, names):
    by_name = {scenario.name: scenario for scenario in scenarios}
    if not names or names == ["all"]:
        return scenarios
    out = []
    for name in names:
        if name == "quick":
            out += [scenario for scenario in scenarios if scenario.quick]
        elif name in by_name:
            out.append(by_name[name])
        else:
            sys.exit(f"bench: no scenario of that name: {name} (./dev bench list shows them)")
    return out


def estimated(scenario, kept, settings):
    """Seconds that a scenario takes with its rounds: as measured here before, else by rule."""
    total, known = 0.0, (kept or {}).get("turns", {})
    for number, kind in scenario.turns(settings.rounds_of(scenario)):
        took = [turn["seconds"] for turn in known.get(kind, []) if turn["seconds"]] if not scenario.long else []
        total += sum(took) / len(took) if took else scenario.turn_seconds(kind, number, settings.minutes, settings.scale)
    return total


def print_list(scenarios, settings, kept):
    total = quick = 0
    print("scenario              1 round   all   rounds")
    for scenario in scenarios:
        one = estimated(scenario, kept.get(scenario.name), Settings(1, settings.minutes, [], settings.scale, []))
        all_of_it = estimated(scenario, kept.get(scenario.name), settings)
        total += all_of_it
        quick += all_of_it if scenario.quick else 0
        print(f"{scenario.name:20} {one / 60:5.1f} min {all_of_it / 60:5.1f} min  {settings.rounds_of(scenario)}  "
              f"{'quick ' if scenario.quick else '      '}{scenario.shows}")
    print(f"\nwith --rounds {settings.rounds}: all about {total / 60:.0f} minutes, quick about {quick / 60:.0f} minutes")


def fetch_kafka(tools):
    """The version that is run, or None with a word why not."""
    try:
        done = subprocess.run([tools.kafka, "--fetch"], capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as reason:
        print(f"bench: Apache Kafka is left out: {reason}", file=sys.stderr)
        return None
    if done.returncode != 0 or not shutil.which("java"):
        last = (done.stderr.strip().splitlines() or ["no java"])[-1]
        print(f"bench: Apache Kafka is left out, its jars could not be fetched: {last}", file=sys.stderr)
        return None
    with open(os.path.join(tools.root, "compat/apache-kafka/pom.xml")) as pom:
        return os.environ.get("KAFKA_VERSION") or re.search(r"<kafka.version>(.*?)</kafka.version>", pom.read())[1]


def measure(scenario, tools, settings, options, found, folder, until):
    """What is missing of one scenario. Returns its result; raises rounds.OutOfTime when something stays missing."""
    kinds = [kind for kind in [*scenario.servers, *([keeper.RAW] if scenario.raw else [])] if settings.takes(kind)]
    keep = keeper.Keeper(scenario, folder, found, kinds, not settings.only, options.again)
    run = rounds.Run(tools, scenario, options.data, settings, keep, lambda text: print(text, flush=True), until)
    missing = run.missing()
    if not missing:
        print(f"\n=== {scenario.name}: has its rounds (--again measures them anew)")
        return keep.data
    run.expect_time(*missing[0])
    busy, load = machine.busy_cores(0.5), machine.load_average()
    print(f"\n=== {scenario.name}: {scenario.shows}\n  {keep.said + '; ' if keep.said else ''}{len(missing)} turns to go, "
          f"load average {' '.join(map(str, load))}, {busy:.2f} cores busy before it"
          + ("  ** this machine is busy: the figures are for orientation only **" if busy > report.BUSY_CORES else ""), flush=True)
    run.go()
    return keep.data


def allow_descriptors(wanted=100000):
    """As many descriptors as Apache Kafka recommends, where this user may; else what there is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted), max(hard, wanted)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def forget_the_dead(directory):
    """Removes what calls left behind that were killed."""
    for name in os.listdir(directory):
        owner = re.match(r"run-(\d+)-", name)
        if owner and not process.is_alive(int(owner[1])):
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)


def write_report(scenarios, page, folder):
    """A report that fails shall not end a long run: its results are kept, ./dev bench report makes it later."""
    try:
        report.write(scenarios, results.read(folder), page, folder)
    except (RuntimeError, KeyError, OSError) as reason:
        print(f"bench: no report: {type(reason).__name__} {reason}", file=sys.stderr)


def main():
    options = arguments()
    if options.help:
        print(__doc__)
        return 0
    try:
        scenarios = table.read(options.table)
    except table.Wrong as wrong:
        sys.exit(f"bench: {wrong}")
    folder, page = os.path.join(options.out, "results"), os.path.join(options.out, "RESULTS.md")
    only = [kind for kind in options.only.split(",") if kind]
    for kind in only:
        if kind not in (*servers.LABELS, keeper.RAW):
            sys.exit(f"bench: no server of that name: {kind}")
    settings = Settings(options.rounds, options.minutes or marks.USUAL_MINUTES, only, options.scale, list(servers.LABELS))
    if options.names == ["list"]:
        print_list(scenarios, settings, results.read(folder))
        return 0
    if options.names == ["check"]:
        return check.main(BENCH)
    if options.names == ["report"]:
        report.write(scenarios, results.read(folder), page, folder)
        return 0
    return measure_all(chosen(scenarios, options.names), scenarios, settings, options, folder, page)


def measure_all(wanted, scenarios, settings, options, folder, page):
    until = time.monotonic() + 60 * options.within if options.within else None
    tools = servers.Tools(ROOT, options.pin.split(":") if options.pin else None)
    kafka_version = fetch_kafka(tools)
    if not kafka_version:
        settings.there.remove("kafka")
    os.makedirs(options.data, exist_ok=True)
    allow_descriptors()
    facts, versions = machine.facts(options.data), machine.versions(tools.runnel, kafka_version or "left out")
    marker = marks.Marker(tools, options, versions, facts, machine.commit(ROOT), settings.rounds_of)
    forget_the_dead(options.data)
    options.data = tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=options.data)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an end that stops servers and load generators
    failed, left = 0, []
    try:
        for scenario in wanted:
            try:
                found, settings.minutes = marker.of(scenario, results.read_one(folder, scenario.name))
                result = measure(scenario, tools, settings, options, found, folder, until)
                failed += sum(len(reasons) for _, _, reasons in results.Result(result).failures())
            except rounds.OutOfTime:
                left.append(scenario.name)
            except rounds.FAILURES as reason:
                failed += 1
                print(f"  {scenario.name}: {reason}", file=sys.stderr)
            except Exception:  # a mistake of ours in one scenario shall not cost the others
                failed += 1
                traceback.print_exc()
    except KeyboardInterrupt:
        print("\nbench: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(options.data, ignore_errors=True)
        write_report(scenarios, page, folder)
    print(f"\nwrote RESULTS.md; {failed} failed run(s)" + (f"; left for the next call: {', '.join(left)}" if left else ""))
    return NOT_FINISHED if left else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
