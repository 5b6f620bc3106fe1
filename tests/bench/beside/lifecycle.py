"""What is measured by starting, stopping and leaving alone: start, restart, idle, memory, connections, partitions; and loops.py."""
import resource
import time

import loops
import machine
import process
import programs
import servers
import wire
from options import Line

SETTLE_SECONDS = 10  # until a server that was just busy or just started counts as idle
SHARES = ("restart", "idle")  # whose cases follow each other on one server
MIB = 1 << 20


class Scene:
    """One server kind in one round, in a directory of its own. lines: by case; keep(case, figures, line, notes) takes results."""

    def __init__(self, tools, kind, directory, lines, overrides, scale, keep):
        self.tools, self.kind, self.directory, self.lines = tools, kind, directory, lines
        self.overrides, self.scale, self.keep = overrides, scale, keep

    @property
    def line(self):
        """Of the first case."""
        return next(iter(self.lines.values()))

    def keep_only(self, figures):
        """The figures of a scene with one case."""
        (case, line), = self.lines.items()
        self.keep(case, figures, line)

    def server(self, port=0, wait=True, environment=None):
        return servers.Server(self.tools, self.kind, self.directory, self.overrides, port, wait, environment)

    def load(self, text, server, topic):
        return programs.run(self.tools, Line(text), server, topic)

    def settle(self):
        time.sleep(max(1, SETTLE_SECONDS * self.scale))


def timed_start(scene):
    """Starts a server and returns it with the milliseconds from exec to its first answer."""
    server = scene.server(port=servers.free_port(), wait=False)
    try:
        return server, server.until_answers(pause=0.0003 if scene.kind != "kafka" else 0.005) * 1000
    except BaseException:
        server.kill()
        raise


def until_serving(server, topic, partitions, seconds=300):
    """Milliseconds from exec until every partition of a topic answers: Metadata alone may come before that."""
    while True:
        try:
            if wire.all_answer(server.address, topic, partitions):
                return (time.monotonic() - server.started) * 1000
        except (OSError, wire.Refused):
            pass
        if time.monotonic() - server.started > seconds:
            raise process.Failed(f"{topic} does not answer {seconds} s after the start")
        time.sleep(0.001 if partitions < 100 else 0.02)


def first_records(scene, server, topic, partitions):
    """A record or some in each partition."""
    scene.load(f"load produce --connections 16 --partitions {partitions} --depth 4 --record-size 100 --batch-size 100 "
               f"--acks 1 --total-size {partitions * 400}", server, topic)


def start(scene):
    """From exec to the first answer, on a directory that was served before and holds what the case asks for."""
    partitions = scene.line.number("partitions", 0)
    server = scene.server()
    try:
        if partitions:
            wire.create_topic(server.address, "full", partitions)
            first_records(scene, server, "full", partitions)
        server.stop()
    finally:
        server.kill()
    ready = []
    for _ in range(1 if scene.kind == "kafka" else 5):
        server, ms = timed_start(scene)
        try:
            ready.append(ms)
            rss = process.memory(server.pid)["VmRSS"]
            server.stop()
        finally:
            server.kill()
    scene.keep_only({"ready_ms": sorted(ready)[len(ready) // 2], "rss_start_mib": rss})


def restart(scene):
    """Fills a topic, ends the broker (--how clean or kill) and starts it again on what is there: case by case, the one
    with --memory cold on files that are dropped from the page cache."""
    total, how = scene.line.number("total-size", 10 << 30), scene.line.get("how", "clean")
    server, stopped = scene.server(), {}
    try:
        wire.create_topic(server.address, "filled", 16)
        scene.load("load produce --connections 16 --partitions 16 --depth 4 --record-size 1KiB --batch-size 256KiB --acks 1 "
                   f"--total-size {total}", server, "filled")
        if how != "kill":
            stopped = {"stop_ms": server.stop() * 1000}
    finally:
        server.kill()
    for case, line in scene.lines.items():
        if line.get("memory") == "cold":
            machine.drop_from_cache(scene.directory)
            machine.expect_dropped(scene.directory, "filled")
        server, ready = timed_start(scene)
        try:
            serving = until_serving(server, "filled", 16)
            cpu, rss = process.cpu_seconds(server.pid), process.memory(server.pid)["VmRSS"]
            scene.keep(case, {**stopped, "ready_ms": ready, "serving_ms": serving, "cpu_s": cpu, "rss_start_mib": rss}, line)
            if case != list(scene.lines)[-1]:
                server.stop()
        finally:
            server.kill()
        stopped = {}


def idle(scene):
    """Nobody asks for anything: CPU and wake-ups of --seconds, after a rest; with --loaded after a load and a rest."""
    server = scene.server()
    try:
        for case, line in scene.lines.items():
            seconds = float(line.get("seconds", 30))
            if line.has("loaded"):
                wire.create_topic(server.address, "loaded", 16)
                scene.load("load produce --connections 16 --partitions 16 --depth 4 --record-size 1KiB --batch-size 64KiB "
                           "--acks 1 --total-size 256MiB", server, "loaded")
            scene.settle()
            cpu, woken = process.cpu_seconds(server.pid), process.wakeups(server.pid)
            time.sleep(seconds)
            scene.keep(case, {"idle_cpu": (process.cpu_seconds(server.pid) - cpu) / seconds * 1000,
                              "wakeups_s": (process.wakeups(server.pid) - woken) / seconds,
                              "rss_mib": process.memory(server.pid)["VmRSS"]}, line)
    finally:
        server.kill()


def memory(scene):
    """VmRSS after the start, the greatest under load, and after a rest."""
    server = scene.server()
    try:
        figures = {"rss_start_mib": process.memory(server.pid)["VmRSS"]}
        wire.create_topic(server.address, "loaded", 16)
        most, total = 0.0, scene.line.number("total-size", 1 << 30)
        for kind in ("produce --depth 4", "fetch --from-start --fetch-size 1MiB"):
            result = scene.load(f"load {kind} --connections {scene.line.get('connections', 64)} --partitions 16 "
                                f"--record-size 1KiB --batch-size 64KiB --total-size {total}", server, "loaded")
            most = max(most, result["rss_max_mib"])
        figures["rss_max_mib"] = most
        scene.settle()
        after = process.memory(server.pid)
        figures["rss_after_mib"], figures["anonymous_after_mib"] = after["VmRSS"], after["RssAnon"]
        scene.keep_only(figures)
    finally:
        server.kill()


def connections(scene):
    """What each of many idle connections costs in VmRSS; as many as the descriptors allow."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(scene.line.number("connections", 10000), descriptors // 2 - 100)  # runnel gives connections half of them
    server = scene.server()
    try:
        scene.load("load idle --connections 16 --seconds 1", server, None)  # what the first ones bring about stays out
        result = scene.load(f"load idle --connections {count} --warmup 2 --seconds {scene.line.get('seconds', 5)}", server, None)
        scene.keep_only({"connections": count, "connection_bytes": result["rss_per_connection_bytes"],
                         "rss_max_mib": result["rss_max_mib"],
                         "idle_cpu": result["server_cpu_s"] / result["seconds"] * 1000,
                         "wakeups_s": result["wakeups"] / result["seconds"]})
    finally:
        server.kill()


def partitions(scene):
    """Makes a topic with a tenth of many partitions, then one with the rest; writes into each; starts again.

    What a partition costs is the slope between the two points, so that what the first partitions bring about (threads,
    maps, pools) does not count. It is looked at when they were just made, and when each was written and rested."""
    count = scene.line.number("partitions", 10000)
    few, figures = count // 10, {}
    server = scene.server()

    def rss():
        return process.memory(server.pid)["VmRSS"] * MIB

    try:
        wire.create_topic(server.address, "few", few)
        scene.settle()
        made_few = rss()
        begin = time.monotonic()
        wire.create_topic(server.address, "many", count - few)
        figures["create_ms"] = (time.monotonic() - begin) * 1000
        scene.settle()
        made_all = rss()
        figures["partition_bytes"] = (made_all - made_few) / (count - few)
        first_records(scene, server, "few", few)
        scene.settle()
        written_few = rss()
        begin = time.monotonic()
        first_records(scene, server, "many", count - few)
        figures["first_ms"] = (time.monotonic() - begin) * 1000
        scene.settle()
        # Between the two points lie the writes of the rest; what it cost to make them was there before.
        figures["partition_written_bytes"] = (rss() - written_few + made_all - made_few) / (count - few)
        figures["rss_mib"] = rss() / MIB
        figures["stop_ms"] = server.stop() * 1000
    finally:
        server.kill()
    server, figures["ready_ms"] = timed_start(scene)
    try:
        figures["rss_start_mib"] = rss() / MIB
        figures["serving_ms"] = until_serving(server, "many", count - few)
    finally:
        server.kill()
    scene.keep_only(figures)


MEASURES = {"start": start, "restart": restart, "idle": idle, "memory": memory, "connections": connections,
            "partitions": partitions, "loops": loops.loops}
