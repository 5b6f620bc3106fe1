"""What the programs of Python clients share: the records that all clients write and read, and the result lines."""
import sys
import time
import traceback

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RECORDS = 1000
TIMEOUT_S = 30


def expected():
    """Key and value of each record."""
    return [(b"key-%d" % (i % 7), b"value-%d" % i) for i in range(RECORDS)]


def check(name, body, *arguments):
    """Runs a check and prints its line."""
    try:
        body(*arguments)
        print("pass", name, flush=True)
    except Exception as error:  # whatever a client throws is the finding
        line = [at.lineno for at in traceback.extract_tb(error.__traceback__) if at.filename.endswith(sys.argv[0])]
        print("fail", name, repr(error).replace("\n", " ")[:200], "in line", line[-1:], flush=True)


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


def expect_soon(holds, what):
    """For what Apache Kafka's brokers know a moment after the controller's answer."""
    deadline = time.monotonic() + 5
    while not holds():
        expect(time.monotonic() < deadline, what)
        time.sleep(0.05)
