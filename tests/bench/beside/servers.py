"""Starts and stops what is measured: runnel in two modes, Apache Kafka, and the sinks and echoes that bound them."""
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time

import process
import wire

# Apache Kafka's own start script gives these (bin/kafka-server-start.sh, bin/kafka-run-class.sh).
KAFKA_HEAP = "-Xmx1g -Xms1g"
KAFKA_JVM = ("-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 "
             "-XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true")
# compat/apache-kafka/broker hurries for tests; these are the defaults of Kafka again.
KAFKA_DEFAULTS = ["broker.session.timeout.ms=9000", "broker.heartbeat.interval.ms=2000",
                  "group.initial.rebalance.delay.ms=3000",
                  "log.initial.task.delay.ms=100"]  # not a default: its first deletion would wait for half a minute
# Of all brokers: what a run leaves behind is gone before the next, instead of a minute later.
FORGET = "log.segment.delete.delay.ms=100"
NEVER = 9223372036854775807

LABELS = {
    "durable": "runnel, durable",
    "page": "runnel, page cache",
    "kafka": "Apache Kafka",
    "sink": "answering sink",
    "files": "writing sink",
    "echo": "bare echo",
}
BROKERS = ("durable", "page", "kafka")
LIMIT_SERVERS = ("sink", "files", "echo")

SETTINGS = {
    "durable": "its defaults: an acknowledged record is on the disk (log.flush.interval.messages=1)",
    "page": f"log.flush.interval.messages={NEVER}: an acknowledged record is in the page cache, as with Apache Kafka",
    "kafka": f"its defaults: KRaft, one node, 3 network and 8 I/O threads, flushed by the system; java {KAFKA_HEAP} {KAFKA_JVM}",
    "sink": "takes Produce requests, answers and forgets",
    "files": "the same, but writes the records to a file for each partition and does nothing else: the least that a broker has to do",
    "echo": "libev, sends back what came",
    "every broker": f"{FORGET}, so that a run's files are gone before the next",
}


class Tools:
    """Where the programs are."""

    def __init__(self, root, pin=None):
        self.root = root
        self.runnel = os.environ.get("RUNNEL_BINARY") or os.path.join(root, "build/runnel")
        self.kafka = os.path.join(root, "compat/apache-kafka/broker")
        self.programs = os.environ.get("RUNNEL_BENCH_PROGRAMS") or os.path.join(root, "build/test/tests")
        self.server_pin, self.load_pin = pin or (None, None)

    def program(self, name):
        return os.path.join(self.programs, name)

    def library(self, name):
        return os.path.join(self.programs, f"lib{name}.so")

    def pinned(self, cpus, arguments):
        return ["taskset", "-c", cpus, *arguments] if cpus else arguments


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read_line(descriptor, child, seconds):
    """The first line that a child writes to a descriptor; gives up when it ends or takes too long."""
    end, data = time.monotonic() + seconds, b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while b"\n" not in data:
            if selector.select(timeout=0.5):
                piece = os.read(descriptor, 4096)
                if not piece:
                    raise process.Failed(f"the server ended with status {child.wait(10)} before it was ready")
                data += piece
            if time.monotonic() > end:
                raise process.Failed(f"the server was not ready after {seconds} s")
    return data.split(b"\n")[0].decode()


class Server:
    """A running broker. `pid` is the process that does the work: of Kafka, Java."""

    def __init__(self, tools, kind, directory, overrides=(), port=0, wait=True, environment=None):
        self.tools, self.kind, self.directory = tools, kind, directory
        self.data = os.path.join(directory, "data")
        self.log_path = os.path.join(directory, "server.log")
        os.makedirs(directory, exist_ok=True)
        program = tools.kafka if kind == "kafka" else tools.runnel
        arguments = [program, "--data-dir", self.data, "--listen", f"127.0.0.1:{port}"]
        overrides = [FORGET, *overrides]
        if kind == "page":
            overrides = [f"log.flush.interval.messages={NEVER}", *overrides]
        if kind == "kafka":
            overrides = [*KAFKA_DEFAULTS, *overrides]
        for override in overrides:
            arguments += ["--override", override]
        read_end, write_end = os.pipe() if wait else (None, None)
        if wait:
            arguments += ["--ready-fd", str(write_end)]
        environment = {**os.environ, "KAFKA_HEAP_OPTS": KAFKA_HEAP, "KAFKA_JVM_PERFORMANCE_OPTS": KAFKA_JVM,
                       **(environment or {})}
        self.started = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(tools.pinned(tools.server_pin, arguments), stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, pass_fds=[write_end] if wait else [], env=environment,
                                          start_new_session=True)
        self.address = f"127.0.0.1:{port}"
        if wait:
            os.close(write_end)
            try:
                self.address = read_line(read_end, self.child, 120)
            except BaseException as failed:
                self.kill()
                if not isinstance(failed, process.Failed):
                    raise
                raise process.Failed(f"{failed}: {self.last_words()}") from None
            finally:
                os.close(read_end)

    @property
    def pid(self):
        if self.kind != "kafka":
            return self.child.pid
        with open(self.data + ".pid") as file:
            return int(file.read())

    def last_words(self):
        with open(self.log_path, errors="replace") as log:
            lines = log.read().strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def until_answers(self, seconds=300, pause=0.0005):
        """Seconds from exec to the first answer to Metadata."""
        while True:
            try:
                wire.ask_metadata(self.address)
                return time.monotonic() - self.started
            except OSError:
                pass
            if self.child.poll() is not None:
                raise process.Failed(f"the server ended with status {self.child.returncode}: {self.last_words()}")
            if time.monotonic() - self.started > seconds:
                raise process.Failed(f"no answer after {seconds} s")
            time.sleep(pause)

    def stop(self, seconds=180):
        """A clean stop; returns the seconds that it took."""
        begin = time.monotonic()
        self.child.terminate()
        try:
            status = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise process.Failed(f"did not stop within {seconds} s") from None
        if status != 0:
            raise process.Failed(f"stopped with status {status}: {self.last_words()}")
        return time.monotonic() - begin

    def kill(self):
        """kill -9 of the broker and of whatever started it; all of them are of one group."""
        if self.child.poll() is not None:
            return
        try:
            worker = self.pid
        except (OSError, ValueError):
            worker = self.child.pid
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(60)
        end = time.monotonic() + 20
        while process.is_alive(worker) and time.monotonic() < end:  # a directory has one broker at a time
            time.sleep(0.02)


class LimitServer:
    """A sink or an echo of the program `limits`; directory: where a writing one has its files."""

    def __init__(self, tools, kind, partitions, directory=None):
        self.tools, self.kind, self.directory = tools, kind, directory
        self.begin(partitions)

    def begin(self, partitions):
        self.partitions = partitions
        arguments = [self.tools.program("limits"), "echo" if self.kind == "echo" else "sink", "--listen", "127.0.0.1:0"]
        if self.kind != "echo":
            arguments += ["--partitions", str(partitions)]
        if self.directory:
            arguments += ["--directory", self.directory]
        self.child = subprocess.Popen(self.tools.pinned(self.tools.server_pin, arguments), stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        self.pid = self.child.pid
        try:
            self.address = read_line(self.child.stdout.fileno(), self.child, 20)
        except BaseException:
            self.kill()
            raise

    def kill(self):
        self.child.kill()
        self.child.wait(20)
        self.child.stdout.close()

    def again(self, partitions):
        """Another one, whose topics have so many partitions; what the one before wrote is gone."""
        self.kill()
        self.begin(partitions)


def fresh_directory(base, name):
    """An empty directory for one run."""
    path = os.path.join(base, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path
