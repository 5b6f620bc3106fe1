"""Collects what the runs of a scenario gave, turn by turn, and keeps it: what is finished outlives an interruption."""
import time

import figures
import results

RAW = "raw"  # the turn in which a round's raw limits are measured


def empty(scenario):
    return {"name": scenario.name, "load": str(scenario.load), "raw": scenario.raw, "rounds_wanted": 0, "rates": {},
            "turns": {}, "cases": {}}


class Keeper:
    """A turn is one server (or the raw limits) in one round. Only whole turns are kept."""

    def __init__(self, scenario, folder, marks, kinds, whole_scenario=True, anew=False):
        """marks: setup, a digest of all that has to be the same in every turn; builds: by kind, what was measured;
        commit; about: further members of the result. kinds: those that this call measures."""
        self.scenario, self.folder, self.marks, self.kinds = scenario, folder, marks, kinds
        kept = results.read_one(folder, scenario.name)
        self.said = ""
        if kept is None or kept.get("setup") != marks["setup"]:
            if kept is not None:
                self.said = "what was kept of it was measured otherwise, or somewhere else: it begins anew"
            kept = empty(scenario)
        self.data = kept
        stale = [kind for kind in kinds if self.is_stale(kind)]
        if stale and whole_scenario:
            self.said = "what was kept of it is of another build: it begins anew"
            self.data = empty(scenario)
        for kind in kinds if anew else stale:
            self.drop(kind)
        self.fresh = None

    def is_stale(self, kind):
        return any(turn["build"] != self.marks["builds"][kind] for turn in self.data["turns"].get(kind, []))

    def subjects(self, kind):
        return list(self.scenario.raw) if kind == RAW else [kind]

    def drop(self, kind):
        self.data["turns"].pop(kind, None)
        for cells in self.data["cases"].values():
            for subject in self.subjects(kind):
                cells.pop(subject, None)

    def is_done(self, kind, number):
        return any(turn["round"] == number for turn in self.data["turns"].get(kind, []))

    def seconds_of(self, kind):
        """How long its turns took, or None."""
        took = [turn["seconds"] for turn in self.data["turns"].get(kind, [])]
        return sum(took) / len(took) if took else None

    # --- a turn -----------------------------------------------------------------------------------

    def begin(self, kind, number, busy):
        self.fresh = {"kind": kind, "round": number, "busy": busy, "others": [], "cells": [], "begin": time.monotonic()}

    def add(self, case, subject, values, line, result=None, notes=()):
        timed = (result or {}).get(self.scenario.latency_of, result) or {}
        self.fresh["cells"].append((case, subject, {
            "values": values, "command": str(line), "curve": figures.curve(timed.get("histogram") or []),
            "samples": figures.thinned((result or {}).get("samples") or []), "notes": list(notes)}))

    def fail(self, case, subject, reason):
        self.fresh["cells"].append((case, subject, {"failed": reason}))

    def others(self, cores):
        self.fresh["others"].append(cores)

    def end(self):
        """The turn is whole: it goes to the file."""
        turn, number = self.fresh, self.fresh["round"]
        for case, subject, cell in turn["cells"]:
            kept = self.data["cases"].setdefault(case, {}).setdefault(
                subject, {"values": {}, "command": "", "failed": [], "curves": [], "samples": []})
            if "failed" in cell:
                kept["failed"].append(f"round {number + 1}: {cell['failed']}")
                continue
            kept["command"], kept["samples"] = cell["command"], cell["samples"]
            if cell["notes"]:
                kept["notes"] = cell["notes"]
            for name, value in cell["values"].items():
                row = kept["values"].setdefault(name, [])
                row.extend([None] * (number + 1 - len(row)))
                row[number] = round(value, 4)
            if cell["curve"]:
                kept["curves"].append(cell["curve"])
        others = sorted(turn["others"])
        self.data["turns"].setdefault(turn["kind"], []).append({
            "round": number, "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "commit": self.marks["commit"],
            "build": self.marks["builds"][turn["kind"]], "seconds": round(time.monotonic() - turn["begin"], 1),
            "busy_before": round(turn["busy"], 3), "others": others[len(others) // 2] if others else None})
        self.data.update(self.marks["about"], setup=self.marks["setup"])
        self.fresh = None
        self.write()

    def write(self):
        order = {kind: at for at, kind in enumerate([*self.scenario.servers, RAW])}
        self.data["turns"] = dict(sorted(self.data["turns"].items(), key=lambda item: order.get(item[0], len(order))))
        results.write(self.folder, self.data)
