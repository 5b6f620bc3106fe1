"""./dev bench: runnel and Apache Kafka beside each other, and the machine's limits beside both.

    ./dev bench [all|quick|SCENARIO...]     measure; what was measured before and is not named stays in the results
    ./dev bench list                        the scenarios, and about how long each takes
    ./dev bench report                      write RESULTS.md and the plots anew from the kept results
    ./dev bench check                       does the table make sense, does the report work? (no measurement)

    --rounds N           instead of each scenario's own number
    --minutes M          of the long scenario (default 5; the hour is 60)
    --only SERVER,...    leave other servers out: durable page kafka sink echo
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
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import check
import machine
import report
import results
import rounds
import servers
import table

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(BENCH))


@dataclass
class Settings:
    rounds: int
    minutes: float
    only: list
    pin: str

    def takes(self, kind):
        return not self.only or kind in self.only or kind not in servers.LABELS


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", usage=__doc__, add_help=False)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--data", default=os.path.join(ROOT, "build/bench-data"))
    parser.add_argument("--pin", default="")
    parser.add_argument("--table", default=table.PATH)
    parser.add_argument("--out", default=BENCH)
    parser.add_argument("-h", "--help", action="store_true")
    return parser.parse_args()


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


def print_list(scenarios, minutes):
    total = 0
    for scenario in scenarios:
        seconds = table.seconds_of(scenario, minutes)
        total += seconds
        print(f"{scenario.name:20} {seconds / 60:5.0f} min  {'quick ' if scenario.quick else '      '}{scenario.shows}")
    quick = sum(table.seconds_of(scenario, minutes) for scenario in scenarios if scenario.quick)
    print(f"\nall: about {total / 3600:.1f} hours; quick, with --rounds 3 of its own: about {quick * 0.6 / 60:.0f} minutes")


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


def measure(scenario, tools, settings, options, kafka_version):
    """One scenario from its start to its kept result."""
    busy, load = machine.quiet(), machine.load_average()
    print(f"\n=== {scenario.name}: {scenario.shows}")
    print(f"  load average {' '.join(map(str, load))}, {busy:.2f} cores busy before it"
          + ("  ** this machine is busy: the figures are for orientation only **" if busy > report.BUSY_CORES else ""), flush=True)
    begin = time.monotonic()
    run = rounds.Run(tools, scenario, options.data, settings, lambda text: print(text, flush=True))
    cases, whole = run.go()
    return {
        "name": scenario.name,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": machine.commit(ROOT),
        "machine": machine.facts(options.data),
        "versions": machine.versions(tools.runnel, kafka_version or "left out"),
        "load": str(scenario.load),
        "raw": scenario.raw,
        "rounds": whole,
        "rounds_wanted": run.rounds,
        "minutes": settings.minutes,
        "pinned": settings.pin,
        "only": options.only,
        "rates": run.rates,
        "load_average_before": load,
        "busy_cores_before": round(busy, 3),
        "others_cores": statistics.median(run.keeper.others) if run.keeper.others else None,
        "took_seconds": round(time.monotonic() - begin),
        "cases": cases,
    }


def allow_descriptors(wanted=100000):
    """As many descriptors as Apache Kafka recommends, where this user may; else what there is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted), max(hard, wanted)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def write_report(scenarios, page, folder):
    """A report that fails shall not end a run of hours: its results are kept, ./dev bench report makes it later."""
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
    if options.names == ["list"]:
        print_list(scenarios, options.minutes)
        return 0
    if options.names == ["check"]:
        return check.main(BENCH)
    if options.names == ["report"]:
        report.write(scenarios, results.read(folder), page, folder)
        return 0
    if options.names == ["quick"] and not options.rounds:
        options.rounds = 3
    wanted = chosen(scenarios, options.names)
    pin = options.pin.split(":") if options.pin else None
    tools = servers.Tools(ROOT, pin)
    settings = Settings(options.rounds, options.minutes, [kind for kind in options.only.split(",") if kind], options.pin)
    kafka_version = fetch_kafka(tools) if settings.takes("kafka") else None
    if not kafka_version:
        settings.only = [kind for kind in settings.only or servers.LABELS if kind != "kafka"]
    os.makedirs(options.data, exist_ok=True)
    allow_descriptors()
    options.data = tempfile.mkdtemp(prefix="run-", dir=options.data)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an end that stops servers and load generators
    failed = 0
    try:
        for scenario in wanted:
            result = measure(scenario, tools, settings, options, kafka_version)
            failed += sum(len(reasons) for _, _, reasons in results.Result(result).failures())
            results.write(folder, result)
            write_report(scenarios, page, folder)
    except KeyboardInterrupt:
        print("\nbench: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(options.data, ignore_errors=True)
    print(f"\nwrote RESULTS.md, {len(wanted)} scenario(s), {failed} failed run(s)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
