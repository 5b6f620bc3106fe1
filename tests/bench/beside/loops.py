"""What the loops of a broker do while they are loaded: turns, wake-ups, and how long its locks are held.

Throughput, CPU and wake-ups come from an undisturbed run; turns and locks from a second one, with a library before libc
that counts them (../load/preload/loop_watch.c)."""
import bisect
import mmap
import os
import struct
import subprocess

import figures
import process
import programs
import wire
from options import Line

HEAD, SITE, SITES = struct.Struct("=3Q"), struct.Struct("=6Q"), 256
TOLD_SITES = 4


class Site:
    """A place in the program that takes a lock."""

    def __init__(self, row):
        self.address, self.count, self.contended, self.held_ns, self.held_max_ns, self.waited_ns = row

    def minus(self, before):
        out = Site((self.address, self.count, self.contended, self.held_ns, self.held_max_ns, self.waited_ns))
        if before:
            out.count -= before.count
            out.contended -= before.contended
            out.held_ns -= before.held_ns
            out.waited_ns -= before.waited_ns
        return out


class Counts:
    """What the library has counted so far."""

    def __init__(self, path):
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
            data = bytes(memory)
        self.turns, self.events, _ = HEAD.unpack_from(data)
        sites = (Site(SITE.unpack_from(data, HEAD.size + at * SITE.size)) for at in range(SITES))
        self.sites = {site.address: site for site in sites if site.address}

    def since(self, before):
        return [site.minus(before.sites.get(address)) for address, site in self.sites.items()]


class Names:
    """Which function of a running program an address is in."""

    def __init__(self, program, pid):
        self.begins, self.names, self.base = [], [], 0
        try:
            done = subprocess.run(["nm", "--defined-only", "-n", program], capture_output=True, text=True, timeout=60)
            with open(f"/proc/{pid}/maps") as file:
                self.base = next(int(line.split("-")[0], 16) for line in file if line.rstrip().endswith(os.path.realpath(program)))
        except (OSError, StopIteration, subprocess.TimeoutExpired):
            return
        for line in done.stdout.splitlines():
            address, kind, name = line.split(maxsplit=2)
            if kind in "tT":
                self.begins.append(int(address, 16))
                self.names.append(name.partition(".")[0])

    def of(self, address):
        at = bisect.bisect_right(self.begins, address - self.base) - 1
        return self.names[at] if 0 <= at < len(self.names) - 1 else "a library"


def loops(scene):
    """One case: `loops KIND --options of load`; the settings that make it one loop or two are the case's overrides."""
    (case, line), = scene.lines.items()
    load = line.merged(Line())
    load.words = ["load", *line.words[1:]]
    values, _ = one_run(scene, load, None)
    watched = os.path.join(scene.directory, "loops")
    seen, notes = one_run(scene, load, watched)
    values.update({name: seen[name] for name in ("turns_s", "requests_per_turn", "locks_per_request", "lock_ns", "lock_us_per_request", "contended")
                   if name in seen})
    scene.keep(case, values, line, notes)


def one_run(scene, load, watched):
    environment = {}
    if watched:
        environment = {"RUNNEL_LOOP_WATCH": watched, "LD_PRELOAD": scene.tools.library("loop_watch")}
    server = scene.server(environment=environment)
    try:
        topic = None
        if load.words[1] != "ping" or load.has("api"):
            topic = "watched" if watched else "plain"
            wire.create_topic(server.address, topic, load.number("partitions", 1))
        if load.words[1] == "fetch":
            scene.load("load produce --connections 8 --depth 4 --record-size 1KiB --batch-size 64KiB --acks 1 "
                       f"--partitions {load.get('partitions', 1)} --total-size 512MiB", server, topic)
        load = load.with_options(warmup=None)  # what is counted beside the run has no other beginning
        programs.run(scene.tools, load.with_options(seconds=0.5), server, topic)
        before, woken = watched and Counts(watched), process.wakeups(server.pid)
        result = programs.run(scene.tools, load, server, topic)
        values = figures.from_result(result)
        values["wakeups_s"] = (process.wakeups(server.pid) - woken) / result["seconds"]
        if not watched:
            return values, []
        return told(Counts(watched), before, result, Names(scene.tools.runnel, server.pid))
    finally:
        server.kill()


def told(after, before, result, names):
    turns, seconds, requests = after.turns - before.turns, result["seconds"], result["requests"]
    # Who takes a lock for less than one request of a hundred is no part of its path: the flusher, the cleaner.
    sites = [site for site in after.since(before) if site.count * 100 >= requests]
    locks, held = sum(site.count for site in sites), sum(site.held_ns for site in sites)
    values = {"turns_s": turns / seconds, "requests_per_turn": requests / max(turns, 1),
              "locks_per_request": locks / max(requests, 1), "lock_ns": held / max(locks, 1), "lock_us_per_request": held / 1000 / max(requests, 1),
              "contended": 100 * sum(site.contended for site in sites) / max(locks, 1)}
    notes = [f"{names.of(site.address)}: {figures.show(site.count / requests)} a request, held {figures.show(site.held_ns / site.count)} ns "
             f"(at most {figures.show(site.held_max_ns / 1000)} us), {figures.show(100 * site.contended / site.count)} % waited"
             for site in sorted(sites, key=lambda site: -site.held_ns)[:TOLD_SITES] if requests]
    return values, notes


