"""What the members of Python clients share: the lines of compat/groups.sh, and the end of the standard input."""
import os
import sys
import threading


class Lines:
    """Prints each line with one write, so that the lines of several members in one file stay whole."""

    def __init__(self, name):
        self.name = name
        self.say("pid", os.getpid())

    def say(self, *words):
        os.write(1, (" ".join(map(str, (self.name,) + words)).replace("\n", " ") + "\n").encode())

    def of_partitions(self, *words, partitions):
        self.say(*words, *sorted(one.partition for one in partitions))


def input_ends():
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    return ended


def committed_ends():
    """The lines that group_admin gets: what must be committed in each partition."""
    return {int(partition): int(offset) for partition, offset in map(str.split, sys.stdin)}
