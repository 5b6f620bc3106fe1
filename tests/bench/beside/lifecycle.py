"""What is measured by starting, stopping and leaving alone: start, restart, idle, memory, connections, partitions."""
import resource
import time

import machine
import process
import programs
import servers
import wire
from options import Line

SETTLE_SECONDS = 10  # until a server that was just busy or just started counts as idle


class Scene:
    """One server kind in one case of one round, in a directory of its own."""

    def __init__(self, tools, kind, directory, line, scenario):
        self.tools, self.kind, self.directory, self.line = tools, kind, directory, line
        self.overrides = scenario.overrides

    def server(self, port=0, wait=True):
        return servers.Server(self.tools, self.kind, self.directory, self.overrides, port, wait)

    def load(self, text, server, topic):
        return programs.run(self.tools, Line(text), server, topic)


def timed_start(scene):
    """Starts a server and returns it with the milliseconds from exec to its first answer."""
    server = scene.server(port=servers.free_port(), wait=False)
    try:
        return server, server.until_answers(pause=0.0003 if scene.kind != "kafka" else 0.005) * 1000
    except BaseException:
        server.kill()
        raise


def start(scene):
    """From exec to the first answer, on a directory that was served before and holds what the case asks for."""
    partitions = scene.line.number("partitions", 0)
    server = scene.server()
    try:
        if partitions:
            wire.create_topic(server.address, "full", partitions)
            scene.load(f"load produce --connections 16 --partitions {partitions} --depth 4 --record-size 100 --batch-size 100 "
                       f"--acks 1 --total-size {partitions * 400}", server, "full")
    finally:
        server.stop()
    ready = []
    for _ in range(1 if scene.kind == "kafka" else 5):
        server, ms = timed_start(scene)
        ready.append(ms)
        rss = process.memory(server.pid)["VmRSS"]
        server.stop()
    return {"ready_ms": sorted(ready)[len(ready) // 2], "rss_start_mib": rss}


def restart(scene):
    """Fills a topic, ends the broker (--how clean or kill) and starts it again on what is there."""
    total, how = scene.line.number("total-size", 10 << 30), scene.line.get("how", "clean")
    server = scene.server()
    try:
        wire.create_topic(server.address, "filled", 16)
        scene.load("load produce --connections 16 --partitions 16 --depth 4 --record-size 1KiB --batch-size 256KiB --acks 1 "
                   f"--total-size {total}", server, "filled")
        figures = {}
        if how == "kill":
            server.kill()
        else:
            figures["stop_ms"] = server.stop() * 1000
    except BaseException:
        server.kill()
        raise
    if scene.line.get("memory") == "cold":
        machine.drop_from_cache(scene.directory)
    server, figures["ready_ms"] = timed_start(scene)
    cpu = process.cpu_seconds(server.pid)
    figures["cpu_s_per_gib"] = cpu / (total / (1 << 30))
    figures["rss_start_mib"] = process.memory(server.pid)["VmRSS"]
    server.kill()
    return figures


def idle(scene):
    """Nobody asks for anything: CPU and wake-ups, after a load and a rest. The figures are those of --seconds."""
    seconds = float(scene.line.get("seconds", 30))
    server = scene.server()
    try:
        if scene.line.has("loaded"):
            wire.create_topic(server.address, "loaded", 16)
            scene.load("load produce --connections 16 --partitions 16 --depth 4 --record-size 1KiB --batch-size 64KiB --acks 1 "
                       "--total-size 256MiB", server, "loaded")
        time.sleep(SETTLE_SECONDS)
        cpu, woken = process.cpu_seconds(server.pid), process.wakeups(server.pid)
        time.sleep(seconds)
        return {"idle_cpu": (process.cpu_seconds(server.pid) - cpu) / seconds * 1000,
                "wakeups_s": (process.wakeups(server.pid) - woken) / seconds}
    finally:
        server.kill()


def memory(scene):
    """VmRSS after the start, the greatest under load, and after a rest."""
    server = scene.server()
    try:
        figures = {"rss_start_mib": process.memory(server.pid)["VmRSS"]}
        wire.create_topic(server.address, "loaded", 16)
        most = 0.0
        for kind in ("produce --depth 4", "fetch --from-start --fetch-size 1MiB"):
            result = scene.load(f"load {kind} --connections {scene.line.get('connections', 64)} --partitions 16 "
                                "--record-size 1KiB --batch-size 64KiB --total-size 1GiB", server, "loaded")
            most = max(most, result["rss_max_mib"])
        figures["rss_max_mib"] = most
        time.sleep(SETTLE_SECONDS)
        after = process.memory(server.pid)
        figures["rss_after_mib"], figures["anonymous_after_mib"] = after["VmRSS"], after["RssAnon"]
        return figures
    finally:
        server.kill()


def connections(scene):
    """What each of many idle connections costs in VmRSS; as many as the descriptors allow."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(scene.line.number("connections", 10000), descriptors // 2 - 100)  # runnel gives connections half of them
    server = scene.server()
    try:
        scene.load("load idle --connections 16 --seconds 1", server, None)  # what the first ones bring about stays out
        result = scene.load(f"load idle --connections {count} --warmup 1 --seconds {scene.line.get('seconds', 5)}", server, None)
        return {"connections": count, "connection_bytes": result["rss_per_connection_bytes"], "rss_max_mib": result["rss_max_mib"],
                "idle_cpu": result["server_cpu_s"] / result["seconds"] * 1000,
                "wakeups_s": result["wakeups"] / result["seconds"]}
    finally:
        server.kill()


def partitions(scene):
    """Makes a topic of many partitions, writes into each, starts again: times, and memory of each that is idle."""
    count = scene.line.number("partitions", 10000)
    server, figures = scene.server(), {}
    try:
        before = process.memory(server.pid)["VmRSS"]
        begin = time.monotonic()
        wire.create_topic(server.address, "many", count)
        figures["create_ms"] = (time.monotonic() - begin) * 1000
        time.sleep(SETTLE_SECONDS)
        figures["partition_bytes"] = (process.memory(server.pid)["VmRSS"] - before) * (1 << 20) / count
        begin = time.monotonic()
        scene.load(f"load produce --connections 16 --partitions {count} --depth 4 --record-size 100 --batch-size 100 --acks 1 "
                   f"--total-size {count * 400}", server, "many")
        figures["first_ms"] = (time.monotonic() - begin) * 1000
        figures["rss_mib"] = process.memory(server.pid)["VmRSS"]
        figures["stop_ms"] = server.stop() * 1000
    except BaseException:
        server.kill()
        raise
    server, figures["ready_ms"] = timed_start(scene)
    server.kill()
    return figures


MEASURES = {"start": start, "restart": restart, "idle": idle, "memory": memory, "connections": connections,
            "partitions": partitions}
