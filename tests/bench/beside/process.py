"""What the system tells about a process, and running a program within a time limit."""
import json
import os
import resource
import signal
import subprocess

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of all its threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid):
    """VmRSS, VmHWM, RssAnon, RssFile in MiB."""
    wanted = {"VmRSS": 0.0, "VmHWM": 0.0, "RssAnon": 0.0, "RssFile": 0.0}
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in wanted:
                wanted[name] = int(rest.split()[0]) / 1024
    return wanted


def wakeups(pid):
    """How often its threads slept and were woken."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/status") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt"))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def cpu_of_children():
    """CPU seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Failed(Exception):
    """A run that gave no result, with the reason in words."""


def run(arguments, seconds, **further):
    """Runs a program to its end and returns what it printed; it is killed, with its group, when it takes longer."""
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, start_new_session=True, **further)
    try:
        out, complaint = child.communicate(timeout=seconds)
    except BaseException as reason:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if isinstance(reason, subprocess.TimeoutExpired):
            raise Failed(f"took longer than {seconds:.0f} s") from None
        raise
    if child.returncode != 0:
        word = (complaint.strip() or out.strip() or "no word").splitlines()[0]
        raise Failed(f"ended with status {child.returncode}: {word}")
    return out


def run_json(arguments, seconds, **further):
    """The same for a program that prints one JSON object."""
    out = run(arguments, seconds, **further)
    try:
        return json.loads(out)
    except ValueError:
        raise Failed(f"printed no JSON but {out[:80]!r}") from None
