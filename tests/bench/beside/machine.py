"""The machine that is measured: what it is, how busy it is with something else, what is installed."""
import ctypes
import mmap
import os
import re
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _first(path, pattern, default="unknown"):
    try:
        with open(path) as file:
            match = re.search(pattern, file.read(), re.M)
        return match[1].strip() if match else default
    except OSError:
        return default


def _said_by(arguments, pattern, default="unknown"):
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return default
    match = re.search(pattern, done.stdout + done.stderr, re.M)
    return match[1] if match else default


def file_system(path):
    """Type of the file system that holds a path."""
    path, best, kind = os.path.realpath(path), "", "unknown"
    with open("/proc/mounts") as file:
        for line in file:
            _, mount, this_kind = line.split()[:3]
            inside = path == mount or path.startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= len(best):
                best, kind = mount, this_kind
    return kind


def facts(data_path):
    """The machine in words that lead nobody to its owner."""
    return {
        "processor": f"{os.cpu_count()} x {_first('/proc/cpuinfo', r'^model name[^:]*: (.*)$')}",
        "memory": f"{int(_first('/proc/meminfo', r'^MemTotal: *([0-9]+)', '0')) / (1 << 20):.0f} GiB",
        "kernel": f"Linux {os.uname().release}",
        "disk": file_system(data_path),
        "frequency": _first("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", r"(.+)", "no governor (a guest)"),
    }


def commit(root):
    """Short name of the commit that is measured, with a + when files of it are changed."""
    name = _said_by(["git", "-C", root, "rev-parse", "--short=10", "HEAD"], r"^([0-9a-f]+)$")
    outside = [":!tests/bench/RESULTS.md", ":!tests/bench/results"]
    changed = _said_by(["git", "-C", root, "status", "--porcelain", "-uno", "--", ".", *outside], r"(\S)", "")
    return name + ("+" if changed and name != "unknown" else "")


def versions(runnel, kafka_version):
    return {
        "runnel": _said_by([runnel, "--version"], r"(\d\S*)"),
        "Apache Kafka": kafka_version,
        "Java": _said_by(["java", "-version"], r'version "([^"]+)"'),
        "librdkafka": _said_by(["dpkg-query", "-W", "-f", "${Version}", "librdkafka1"], r"^([0-9.]+)"),
        "gcc": _said_by(["gcc", "-dumpfullversion"], r"(\S+)"),
    }


def busy_seconds():
    """CPU seconds that all processors have worked; and those that the host took away."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = (int(word) / TICKS for word in file.readline().split()[1:9])
    return user + nice + system + irq + softirq, steal


def busy_cores(seconds=1.0):
    """How many cores work for others, looked at for so long."""
    before = busy_seconds()[0]
    time.sleep(seconds)
    return (busy_seconds()[0] - before) / seconds


def quiet(seconds=20.0, below=0.2):
    """Waits for a quiet machine, at most so long; returns the cores that are still busy."""
    end = time.monotonic() + seconds
    busy = busy_cores(0.4)
    while busy > below and time.monotonic() < end:
        busy = min(busy, busy_cores())
    return busy


def load_average():
    return [round(value, 2) for value in os.getloadavg()]


class StillCached(Exception):
    """The kernel did not forget what it was asked to."""


def drop_from_cache(directory):
    """Writes every file of a tree back and asks the kernel to forget its pages: the next read is from the disk. Pages that a
    process has mapped stay, so whoever serves the files has to be stopped."""
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                file = os.open(os.path.join(folder, name), os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                os.fdatasync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)


def expect_dropped(directory, topic):
    """Raises StillCached when more than a tenth of the pages of a topic's logs are in memory."""
    pages = cached = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            if name.endswith(".log") and os.path.basename(folder).startswith(topic + "-"):
                these, here = _cached_pages(os.path.join(folder, name))
                pages, cached = pages + these, cached + here
    if cached * 10 > pages:
        raise StillCached(f"{cached} of {pages} pages are still in the page cache")


def _cached_pages(path):
    """(pages of a file, those in memory)"""
    size = os.path.getsize(path)
    if size == 0:
        return 0, 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
        count = -(-size // mmap.PAGESIZE)
        seen = (ctypes.c_ubyte * count)()
        here = ctypes.c_char.from_buffer(memory)
        if ctypes.CDLL(None, use_errno=True).mincore(ctypes.c_void_p(ctypes.addressof(here)), ctypes.c_size_t(size), seen) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        del here
        return count, sum(byte & 1 for byte in seen)


def tree_size(directory):
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total
