"""Runs one scenario: every server in turns, round after round, each on an empty directory."""
import shutil
import struct
import time

import figures
import lifecycle
import machine
import process
import programs
import servers
import wire

CALIBRATE_SECONDS = 4
COLD_SECONDS = 6  # in this time the host takes free memory back
FAILURES = (process.Failed, wire.Refused, OSError, struct.error)


class Keeper:
    """Collects what the runs of a scenario gave: per case and subject a value for each round."""

    def __init__(self, rounds, latency_of):
        self.rounds, self.latency_of, self.entries, self.others = rounds, latency_of, {}, []

    def entry(self, case, subject):
        cell = self.entries.setdefault(case, {}).setdefault(
            subject, {"values": {}, "command": "", "failed": [], "histograms": [], "samples": []})
        return cell

    def add(self, case, subject, number, values, line, result=None):
        cell = self.entry(case, subject)
        cell["command"] = str(line)
        for name, value in values.items():
            cell["values"].setdefault(name, [None] * self.rounds)[number] = round(value, 4)
        timed = (result or {}).get(self.latency_of, result) or {}
        if timed.get("histogram"):
            cell["histograms"].append(timed["histogram"])
        if result and result.get("samples"):
            cell["samples"].append(result["samples"])

    def fail(self, case, subject, number, reason):
        self.entry(case, subject)["failed"].append(f"round {number + 1}: {reason}")

    def finished(self):
        """What is kept: histograms become one curve, samples are those of the middle round."""
        for subjects in self.entries.values():
            for cell in subjects.values():
                histograms, samples = cell.pop("histograms"), cell.pop("samples")
                cell["curve"] = figures.curve(figures.merged_histogram(histograms))
                cell["samples"] = figures.thinned(samples[len(samples) // 2]) if samples else []
        return self.entries


class Run:
    """One scenario on one machine."""

    def __init__(self, tools, scenario, base, settings, say):
        self.tools, self.scenario, self.base, self.settings, self.say = tools, scenario, base, settings, say
        self.rounds = settings.rounds or scenario.rounds
        self.keeper = Keeper(self.rounds, scenario.latency_of)
        self.rates, self.topics = {}, 0
        self.deadline = time.monotonic() + 60 * max(scenario.limit_minutes, settings.minutes * 4 if scenario.long else 0)

    def go(self):
        """Returns what is kept and how many rounds were whole."""
        whole = 0
        for number in range(self.rounds):
            if time.monotonic() > self.deadline:
                self.say(f"  the time of {self.scenario.limit_minutes:.0f} minutes is over after {whole} rounds")
                break
            self.round(number)
            whole += 1
        return self.keeper.finished(), whole

    def round(self, number):
        kinds = [kind for kind in self.scenario.servers if self.settings.takes(kind)]
        if number == 0:
            self.calibrate()
        turns = [("server", kind) for kind in kinds]
        if self.scenario.raw:
            turns.append(("raw", None))
        for what, kind in turns if number % 2 == 0 else reversed(turns):
            if what == "raw":
                self.raw_limits(number)
            elif self.scenario.is_lifecycle:
                self.lifecycle(number, kind)
            else:
                self.serve(number, kind)

    # --- rates ------------------------------------------------------------------------------------

    def calibrate(self):
        """Finds what `half-of-SERVER` is: that server's throughput at saturation with the load of the case."""
        for case in self.scenario.cases:
            basis = case.line.get("rate", "").removeprefix("half-of-")
            if basis == case.line.get("rate", ""):
                continue
            if not self.settings.takes(basis):
                self.say(f"  {case.name}: left out, as {servers.LABELS[basis]} is")
                continue
            line = case.line.with_options(rate=None, seconds=CALIBRATE_SECONDS, warmup=2, total_size=None, sample_ms=None)
            try:
                with self.started(basis, case.line) as server:
                    self.warm_up(server, case, line)
                    result = self.once(server, line, case)
                moved = result.get("produce") or result
                self.rates[case.name] = round(moved["mib_s"] / 2, 2)
                self.say(f"  {case.name}: half of {moved['mib_s']:.0f} MiB/s of {servers.LABELS[basis]}")
            except FAILURES as reason:
                self.keeper.fail(case.name, basis, 0, f"at saturation: {reason}")
                self.say(f"  {case.name}: {basis} at saturation: {reason}")

    def line_of(self, case):
        """The case's load with the times and rates of this run; None when its rate could not be found."""
        line = case.line
        if self.scenario.long:
            line = line.with_options(seconds=int(self.settings.minutes * 60))
        if line.get("rate", "").startswith("half-of-"):
            if case.name not in self.rates:
                return None
            line = line.with_options(rate=self.rates[case.name])
        return line

    # --- runs -------------------------------------------------------------------------------------

    def started(self, kind, line):
        return Started(self, kind, line)

    def once(self, server, line, case=None):
        """One run on a topic of its own, filled and warmed as the scenario says; returns the program's JSON."""
        limit = isinstance(server, servers.LimitServer)
        self.topics += 1
        topic = f"bench-{self.topics}"
        needs_topic = line.words[1:2] not in (["ping"], ["idle"])
        if needs_topic and not limit:
            configs = [tuple(row.split("=", 1)) for row in self.scenario.topic]
            wire.create_topic(server.address, topic, line.number("partitions", 1), configs)
            if case and case.fill:
                programs.run(self.tools, case.fill, server, topic)
            if self.scenario.cache == "cold":
                machine.drop_from_cache(server.directory)
        if not limit:
            self.prepare_memory(line)
        if limit and server.kind == "echo":
            line = line.with_options(api="echo")
        try:
            return programs.run(self.tools, line, server, topic if needs_topic else None)
        finally:
            if needs_topic and not limit:
                self.forget(server, topic)

    def prepare_memory(self, line):
        if self.scenario.memory == "warm":
            programs.warm(self.tools, line.number("total-size", "4GiB"))
        elif self.scenario.memory == "cold":
            time.sleep(COLD_SECONDS)

    def forget(self, server, topic):
        """Deletes a topic and waits until its files are gone, so that no later run meets their write-back."""
        try:
            wire.delete_topic(server.address, topic)
        except (OSError, wire.Refused):
            return
        end = time.monotonic() + 20
        while machine.tree_size(server.data) > 80 << 20 and time.monotonic() < end:
            time.sleep(0.1)

    def serve(self, number, kind):
        """All cases of a round on one server that was started for it."""
        cases = [case for case in self.scenario.cases if kind in case.servers]
        lines = {case.name: self.line_of(case) for case in cases}
        cases = [case for case in cases if lines[case.name] is not None]
        if not cases:
            return
        try:
            with self.started(kind, cases[0].line) as server:
                if self.scenario.warm_up and not isinstance(server, servers.LimitServer):
                    self.warm_up(server, cases[0], lines[cases[0].name])
                for case in cases:
                    if isinstance(server, servers.LimitServer) and server.partitions != case.line.get("partitions", "1"):
                        server.again(case.line.get("partitions", "1"))
                    self.one(number, kind, server, case, lines[case.name])
        except FAILURES as reason:
            self.keeper.fail(cases[0].name, kind, number, f"the server: {reason}")
            self.say(f"  round {number + 1}  {kind:8} the server: {reason}")

    def warm_up(self, server, case, line):
        """Lets the server (Java's compiler above all) meet the load before anything counts."""
        if line.words[0] == "kafka-perf" or line.has("total-size") and not line.has("seconds"):
            line = line.with_options(total_size="1GiB" if line.words[0] == "load" else "256MiB")
        else:
            line = line.with_options(seconds=self.scenario.warm_up, warmup=None, total_size=None, sample_ms=None)
        self.once(server, line, case)

    def one(self, number, kind, server, case, line):
        begin, busy = time.monotonic(), machine.busy_seconds()[0]
        child, own = process.cpu_of_children(), process.cpu_seconds(server.pid)
        try:
            result = self.once(server, line, case)
        except FAILURES as reason:
            self.keeper.fail(case.name, kind, number, str(reason))
            self.say(f"  round {number + 1}  {kind:8} {case.name}: failed: {reason}")
            return
        ours = process.cpu_of_children() - child + process.cpu_seconds(server.pid) - own
        others = max(0.0, (machine.busy_seconds()[0] - busy - ours) / (time.monotonic() - begin))
        self.keeper.others.append(round(others, 3))
        values = figures.from_result(result)
        self.keeper.add(case.name, kind, number, values, line, result)
        self.tell(number, kind, case.name, values)

    def raw_limits(self, number):
        for case in self.scenario.cases:
            line = self.line_of(case)
            for name, text in self.scenario.raw_for(case).items():
                if line is None:
                    continue
                directory = servers.fresh_directory(self.base, "raw")
                try:
                    if "--directory" in text:
                        self.prepare_memory(line)
                    limit, result = programs.run_limit(self.tools, text, line, directory)
                    values = figures.from_result(result)
                    self.keeper.add(case.name, name, number, values, limit.with_options(directory=None), result)
                    self.tell(number, name, case.name, values)
                except FAILURES as reason:
                    self.keeper.fail(case.name, name, number, str(reason))
                    self.say(f"  round {number + 1}  {name:8} {case.name}: failed: {reason}")
                finally:
                    shutil.rmtree(directory, ignore_errors=True)

    def lifecycle(self, number, kind):
        measure = lifecycle.MEASURES[self.scenario.load.words[0]]
        for case in self.scenario.cases:
            if kind not in case.servers:
                continue
            directory = servers.fresh_directory(self.base, kind)
            try:
                values = measure(lifecycle.Scene(self.tools, kind, directory, case.line, self.scenario))
                self.keeper.add(case.name, kind, number, values, case.line)
                self.tell(number, kind, case.name, values)
            except FAILURES as reason:
                self.keeper.fail(case.name, kind, number, str(reason))
                self.say(f"  round {number + 1}  {kind:8} {case.name}: failed: {reason}")
            finally:
                shutil.rmtree(directory, ignore_errors=True)

    def tell(self, number, subject, case, values):
        said = "  ".join(f"{figures.ALL[name].label} {figures.show(values[name])}" for name in self.scenario.figures
                         if name in values)
        self.say(f"  round {number + 1}  {subject:8} {case:24} {said}")


class Started:
    """A server of a round, in an empty directory, for a with statement."""

    def __init__(self, run, kind, line):
        self.run, self.kind, self.line, self.directory = run, kind, line, None

    def __enter__(self):
        if self.kind in servers.LIMIT_SERVERS:
            self.server = servers.LimitServer(self.run.tools, self.kind, self.line.get("partitions", "1"))
            return self.server
        self.directory = servers.fresh_directory(self.run.base, self.kind)
        self.server = servers.Server(self.run.tools, self.kind, self.directory, self.run.scenario.overrides)
        return self.server

    def __exit__(self, *_):
        self.server.kill()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
