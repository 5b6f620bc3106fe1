"""Runs one scenario: every server in turns, round after round, each on an empty directory."""
import dataclasses
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
from keeper import RAW
from options import Line

CALIBRATE_SECONDS = 4
CALIBRATION_SECONDS = 25  # with the start and the warm-up before it
COLD_SECONDS = 6  # in this time the host takes free memory back
# A warm-up comes in slices: Java's goes on until one brings no tenth more than the best before it.
SLICE_SECONDS, SLICES_LEAST, SLICES_MOST, RISING = 3, 2, 6, 1.1
NATIVE_WARM_UP_SECONDS = 1
PLAIN_LOAD = "load produce --connections 8 --depth 4 --record-size 1KiB --batch-size 16KiB --acks -1"
FAILURES = (process.Failed, wire.Refused, machine.StillCached, OSError, ValueError, struct.error)


class OutOfTime(Exception):
    """The next turn would not end within the time that this call has."""


class Run:
    """One scenario on one machine. until: time.monotonic() at which all has to be done, or None."""

    def __init__(self, tools, scenario, base, settings, keeper, say, until=None):
        self.tools, self.scenario, self.base, self.settings, self.say = tools, scenario, base, settings, say
        self.keeper, self.until, self.rounds = keeper, until, settings.rounds_of(scenario)
        self.rates, self.topics, self.filled = keeper.data["rates"], 0, None

    def missing(self):
        """The turns that are not kept yet: (round, kind), in turns: A B C, C B A, ..."""
        return [(number, kind) for number, kind in self.scenario.turns(self.rounds)
                if self.settings.takes(kind) and not self.keeper.is_done(kind, number)]

    def go(self):
        """Measures what is missing. OutOfTime: the rest is for a later call."""
        for number, kind in self.missing():
            self.expect_time(number, kind)
            self.calibrate()
            self.keeper.begin(kind, number, machine.quiet() if self.settings.scale == 1 else machine.busy_cores(0.2))
            if kind == RAW:
                self.raw_limits(number)
            elif self.scenario.is_lifecycle:
                self.lifecycle(number, kind)
            else:
                self.serve(number, kind)
            self.keeper.end()

    def expect_time(self, number, kind):
        if self.until and time.monotonic() + self.seconds_of(number, kind) > self.until:
            raise OutOfTime

    def seconds_of(self, number, kind):
        """About how long a turn takes, with finding the rates that are not known yet."""
        took = self.keeper.seconds_of(kind) or self.scenario.turn_seconds(kind, number, self.settings.minutes, self.settings.scale)
        return took + CALIBRATION_SECONDS * sum(case.name not in self.rates for case, _ in self.calibrated())

    def calibrated(self):
        """The cases whose rate is half of what a server takes: (case, server)."""
        rates = ((case, case.line.get("rate", "")) for case in self.scenario.cases)
        return [(case, rate.removeprefix("half-of-")) for case, rate in rates if rate.startswith("half-of-")]

    # --- rates ------------------------------------------------------------------------------------

    def calibrate(self):
        """Finds what `half-of-SERVER` is: that server's throughput at saturation with the load of the case."""
        for case, basis in self.calibrated():
            if case.name in self.rates:
                continue
            if not self.settings.has(basis):
                self.say(f"  {case.name}: left out, as {servers.LABELS[basis]} is")
                continue
            line = case.line.with_options(rate=None, seconds=CALIBRATE_SECONDS * self.settings.scale, warmup=1,
                                          total_size=None, sample_ms=None)
            with Started(self, basis, case.line) as server:
                self.warm_up(server, case, line)
                result = self.once(server, line, case)
            moved = result.get("produce") or result
            self.rates[case.name] = round(moved["mib_s"] / 2, 2)
            self.say(f"  {case.name}: half of {moved['mib_s']:.0f} MiB/s of {servers.LABELS[basis]}")

    def line_of(self, case, kind):
        """The case's load with the times and rates of this run; None when its rate could not be found."""
        line = case.line.scaled(self.settings.scale)
        if self.scenario.long:
            line = line.with_options(seconds=int(60 * self.scenario.minutes_of(kind, self.settings.minutes)
                                                 * self.settings.scale))
        if line.get("rate", "").startswith("half-of-"):
            if case.name not in self.rates:
                return None
            line = line.with_options(rate=self.rates[case.name])
        return line

    # --- runs -------------------------------------------------------------------------------------

    def once(self, server, line, case=None, warming_up=False):
        """One run on a topic of its own, or on one that was filled for it; returns the program's JSON."""
        limit = isinstance(server, servers.LimitServer)
        needs_topic = line.words[1:2] not in (["ping"], ["idle"])
        topic = None
        if limit:
            topic = "bench" if needs_topic else None
            if server.kind == "echo":
                line = line.with_options(api="echo")
        elif needs_topic:
            topic = self.topic_for(server, line, case)
        if not warming_up and (not limit or server.directory):
            self.prepare_memory(line)
        try:
            return programs.run(self.tools, line, server, topic)
        finally:
            if topic and not limit and not self.filled:
                self.forget(server, topic)

    def topic_for(self, server, line, case):
        """A new topic; cases that fill in the same share it, one after the other."""
        fill = str(case.fill) if case and case.fill else None
        if self.filled and self.filled[0] == fill:
            return self.filled[1]
        if self.filled:
            self.forget(server, self.filled[1])
        self.topics += 1
        topic, self.filled = f"bench-{self.topics}", None
        configs = [tuple(row.split("=", 1)) for row in self.scenario.topic]
        wire.create_topic(server.address, topic, line.number("partitions", 1), configs)
        if fill:
            programs.run(self.tools, case.fill.scaled(self.settings.scale), server, topic)
            self.filled = (fill, topic)
        return topic

    def prepare_memory(self, line):
        if self.scenario.memory == "warm":
            programs.warm(self.tools, (line.number("total-size") or 4 << 30) if self.settings.scale == 1 else 64 << 20)
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
        lines = {case.name: self.line_of(case, kind) for case in self.scenario.cases if kind in case.servers}
        cases = [case for case in self.scenario.cases if lines.get(case.name)]
        if not cases:
            return
        started = None
        try:
            for case in cases:
                if started and case.overrides != started.overrides:
                    started.__exit__()
                    started = None
                if self.scenario.cache == "cold":
                    self.serve_cold(number, kind, case, lines[case.name])
                    continue
                if not started:
                    started = Started(self, kind, case.line, case.overrides)
                    server = started.__enter__()
                    self.warm_up(server, case, lines[case.name])
                if isinstance(server, servers.LimitServer) and (server.directory or server.partitions != case.line.get("partitions", "1")):
                    server.again(case.line.get("partitions", "1"))
                self.one(number, kind, server, case, lines[case.name])
        except FAILURES as reason:
            self.keeper.fail(cases[0].name, kind, f"the server: {reason}")
            self.say(f"  round {number + 1}  {kind:8} the server: {reason}")
        finally:
            self.filled = None
            if started:
                started.__exit__()

    def serve_cold(self, number, kind, case, line):
        """One case on files that are not in memory: they are filled, the server stops and they are dropped; it starts again
        and is warmed up with others."""
        small = case.fill.scaled(0.1 * self.settings.scale)
        other = dataclasses.replace(case, fill=small)
        with Started(self, kind, line, case.overrides) as server:
            for topic, fill in (("cold", case.fill.scaled(self.settings.scale)), ("other", small)):
                wire.create_topic(server.address, topic, line.number("partitions", 1))
                programs.run(self.tools, fill, server, topic)
            server.stop()
            machine.drop_from_cache(server.directory)
            server = servers.Server(self.tools, kind, server.directory, [*self.scenario.overrides, *case.overrides])
            try:
                wire.await_leaders(server.address, "cold", line.number("partitions", 1))
                self.filled = (str(small), "other")
                self.warm_up(server, other, line)
                machine.expect_dropped(server.data, "cold")
                self.filled = (str(case.fill), "cold")
                self.one(number, kind, server, case, line)
            finally:
                server.kill()

    def warm_up(self, server, case, line):
        """Lets a broker (Java's compiler above all) meet the load at saturation before anything counts."""
        if isinstance(server, servers.LimitServer):
            return
        if line.words[0] != "load":  # other clients meet the broker's same code; ours loads it more
            own = Line(PLAIN_LOAD).with_options(partitions=line.get("partitions", 1))
            if line.words[1] == "consume":
                own = Line("load fetch --from-start --connections 8").with_options(partitions=line.get("partitions", 1))
            line = own
        line = line.with_options(warmup=None, total_size=None, sample_ms=None, rate=None, requests_rate=None)
        if server.kind != "kafka":
            self.once(server, line.with_options(seconds=NATIVE_WARM_UP_SECONDS * self.settings.scale), case, True)
            return
        best = 0.0
        for number in range(SLICES_MOST):
            result = self.once(server, line.with_options(seconds=SLICE_SECONDS * self.settings.scale), case, True)
            rate = (result.get("produce") or result)["requests_s"]
            if number + 1 >= SLICES_LEAST and rate < best * RISING:
                break
            best = max(best, rate)

    def one(self, number, kind, server, case, line):
        begin, busy = time.monotonic(), machine.busy_seconds()[0]
        child, own = process.cpu_of_children(), process.cpu_seconds(server.pid)
        try:
            result = self.once(server, line, case)
        except FAILURES as reason:
            self.keeper.fail(case.name, kind, str(reason))
            self.say(f"  round {number + 1}  {kind:8} {case.name}: failed: {reason}")
            if server.child.poll() is not None:
                raise process.Failed("it ended") from None
            return
        ours = process.cpu_of_children() - child + process.cpu_seconds(server.pid) - own
        self.keeper.others(round(max(0.0, (machine.busy_seconds()[0] - busy - ours) / (time.monotonic() - begin)), 3))
        values = figures.from_result(result)
        self.keeper.add(case.name, kind, values, line, result)
        self.tell(number, kind, case.name, values)

    def raw_limits(self, number):
        for case in self.scenario.cases:
            line = self.line_of(case, RAW)
            for name, text in self.scenario.raw_for(case, number).items():
                if line is None:
                    continue
                directory = servers.fresh_directory(self.base, "raw")
                try:
                    if "--directory" in text:
                        self.prepare_memory(line)
                    limit, result = programs.run_limit(self.tools, text, line, directory, self.settings.scale)
                    values = figures.from_result(result)
                    self.keeper.add(case.name, name, values, limit.with_options(directory=None), result)
                    self.tell(number, name, case.name, values)
                except FAILURES as reason:
                    self.keeper.fail(case.name, name, str(reason))
                    self.say(f"  round {number + 1}  {name:8} {case.name}: failed: {reason}")
                finally:
                    shutil.rmtree(directory, ignore_errors=True)

    def lifecycle(self, number, kind):
        """Cases that differ in nothing but what is done last share one server and what was filled into it."""
        measure = lifecycle.MEASURES[self.scenario.load.words[0]]
        for cases in self.scenario.shared_cases(kind):
            directory = servers.fresh_directory(self.base, kind)
            told = set()

            def keep(case, values, line, notes=()):
                told.add(case)
                self.keeper.add(case, kind, values, line, notes=notes)
                self.tell(number, kind, case, values)

            overrides = [*self.scenario.overrides, *cases[0].overrides]
            lines = {case.name: case.line.scaled(self.settings.scale, counts=True) for case in cases}
            try:
                measure(lifecycle.Scene(self.tools, kind, directory, lines, overrides, self.settings.scale, keep))
            except FAILURES as reason:
                for case in cases:
                    if case.name not in told:
                        self.keeper.fail(case.name, kind, str(reason))
                        self.say(f"  round {number + 1}  {kind:8} {case.name}: failed: {reason}")
            finally:
                shutil.rmtree(directory, ignore_errors=True)

    def tell(self, number, subject, case, values):
        said = "  ".join(f"{figures.ALL[name].label} {figures.show(values[name])}" for name in self.scenario.figures
                         if name in values)
        self.say(f"  round {number + 1}  {subject:8} {case:24} {said}")


class Started:
    """A server of a round, in an empty directory, for a with statement."""

    def __init__(self, run, kind, line, overrides=()):
        self.run, self.kind, self.line, self.overrides, self.directory = run, kind, line, list(overrides), None
        self.server = None  # until it runs

    def __enter__(self):
        if self.kind in servers.LIMIT_SERVERS:
            if self.kind == "files":
                self.directory = servers.fresh_directory(self.run.base, self.kind)
            self.server = servers.LimitServer(self.run.tools, self.kind, self.line.get("partitions", "1"), self.directory)
            return self.server
        self.directory = servers.fresh_directory(self.run.base, self.kind)
        self.server = servers.Server(self.run.tools, self.kind, self.directory,
                                     [*self.run.scenario.overrides, *self.overrides])
        return self.server

    def __exit__(self, *_):
        self.run.filled = None
        if self.server:
            self.server.kill()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
