"""Writes RESULTS.md from the kept results: aims first, then a table and plots for each scenario."""
import os

import figures
import judge
import plots
import servers
from results import Result

BUSY_CORES = 0.3
GENERATOR_FULL = 0.97


def write(scenarios, kept, path, folder):
    """kept: results by name; folder: where the plots go, beside RESULTS.md."""
    measured = [scenario for scenario in scenarios if scenario.name in kept and kept[scenario.name]["turns"]]
    judged = {scenario.name: judge.judge(scenario, kept.get(scenario.name)) for scenario in scenarios}
    link = os.path.relpath(folder, os.path.dirname(path))
    text = [_head(), _summary([one for rows in judged.values() for one in rows]), _scenarios(scenarios, kept, judged),
            _machine([kept[scenario.name] for scenario in measured])]
    text += [_scenario(scenario, kept[scenario.name], judged[scenario.name], link, folder) for scenario in measured]
    with open(path, "w") as file:
        file.write("\n".join(text))


def _head():
    return """# Results

Written by `./dev bench`; do not edit. What is measured and why stands in [beside/scenarios.toml](beside/scenarios.toml), how in
[beside/README.md](beside/README.md); older figures taken by hand in [HISTORY.md](HISTORY.md).

A figure is the median of the rounds, in brackets the least and the most. `x` is a ratio, the median of the ratios of each round;
behind a figure it is that to Apache Kafka's. CPU is that of the whole server process, user and kernel; of a raw limit that of the
side where the server would be. Everything shares the machine's cores, load generators too; nothing is pinned unless it says so. A quantile with
fewer than ten samples above it is left out.
"""


def _machine(measured):
    if not measured:
        return "Nothing was measured yet.\n"
    data = max(measured, key=lambda one: Result(one).date())
    rows = [*data["machine"].items(), ("versions", ", ".join(f"{name} {value}" for name, value in data["versions"].items()))]
    out = "## Machine and settings\n\n| | |\n|---|---|\n"
    out += "".join(f"| {name} | {value} |\n" for name, value in rows)
    out += "".join(f"| {servers.LABELS.get(kind, kind)} | {text} |\n" for kind, text in servers.SETTINGS.items())
    others = {}
    for one in measured:
        if one["machine"] != data["machine"]:
            others.setdefault(", ".join(one["machine"].values()), []).append(f"[{one['name']}](#{one['name']})")
    for machine, names in others.items():
        out += f"\n**Measured on another machine ({machine}): {', '.join(names)}.** Compare within a scenario only.\n"
    return out


# --- aims -----------------------------------------------------------------------------------------


def _summary(judged):
    """One row for each aim that the scenarios share, with its worst and its best case."""
    words = ("met", "missed", "not measured")
    count = {word: sum(one.count(word) for one in judged) for word in words}
    beyond = sum(one.out_of_reach() for one in judged)
    out = (f"## Aims: {count['met']} met, {count['missed']} missed, of which {beyond} are out of reach, "
           f"{count['not measured']} not measured\n\n")
    out += ("An aim counts once for each case of each scenario that has it; those of one scenario stand in its section. Where one is "
            "missed, what the scenario's bound reaches (a program that does nothing but what no broker can leave out) stands behind "
            "it; *out of reach* is what that bound misses too, though it comes nearer.\n\n")
    out += "| aim | wanted | | worst | best |\n|---|---|---|---|---|\n"
    groups = {}
    for one in judged:
        groups.setdefault(one.says, []).append(one)
    for says, rows in groups.items():
        wanted = dict.fromkeys(one.wanted for one in rows)
        if len(wanted) > 1:  # of several figures, the same
            wanted = dict.fromkeys(one.wanted.partition(": ")[2] for one in rows)
        wanted = " or ".join(wanted)
        found = sorted(((verdict.share, one, verdict) for one in rows for verdict in one.verdicts if verdict.share is not None),
                       key=lambda row: row[0])
        worst, best = (_one(row) for row in (found[0], found[-1])) if found else ("-", "-")
        out += f"| {says} | {wanted} | {_word(rows)} | {worst} | {best if len(found) > 1 else ''} |\n"
    return out


def _one(row):
    _, judged, verdict = row
    text = f"{figures.show(verdict.value)}{judged.unit} [{judged.scenario}](#{judged.scenario}), {verdict.case}"
    return f"**{text}**" if verdict.word == "missed" else text


def _word(rows):
    """The verdict on all cases of some aims."""
    count = {word: sum(one.count(word) for one in rows) for word in ("met", "missed", "not measured")}
    measured = count["met"] + count["missed"]
    out = f"met in {count['met']} of {measured}" if measured > 1 else "met"
    if count["missed"]:
        out = f"**missed** in {count['missed']} of {measured}" if measured > 1 else "**missed**"
        beyond = sum(one.out_of_reach() for one in rows)
        if beyond:
            out += f" ({beyond} out of reach)" if count["missed"] > 1 else " (out of reach)"
    if not measured:
        return "not measured"
    return out + (f", {count['not measured']} not measured" if count["not measured"] else "")


def _aims(judged):
    """Those of one scenario."""
    out = ""
    for one in judged:
        found = "; ".join(_found(verdict) for verdict in one.verdicts)
        out += f"| {_word([one])} | {one.says} | {one.wanted} | {found} |\n"
    return f"\n| | aim | wanted | found |\n|---|---|---|---|\n{out}" if out else ""


def _found(verdict):
    text = f"{verdict.case}: {verdict.found}"
    text = f"**{text}**" if verdict.word == "missed" else text
    return text + (f" [{verdict.bound}]" if verdict.bound else "")


# --- scenarios ------------------------------------------------------------------------------------


def _scenarios(scenarios, kept, judged):
    out = "## Scenarios\n\n| | measured | commit | rounds | aims | |\n|---|---|---|---:|---|---|\n"
    for scenario in scenarios:
        data = kept.get(scenario.name)
        if not data or not data["turns"]:
            out += f"| {scenario.name} | not yet | | | | |\n"
            continue
        result = Result(data)
        builds = result.builds()
        counts = {word: sum(one.count(word) for one in judged[scenario.name]) for word in ("met", "missed")}
        aims = f"{counts['met']} met" + (f", **{counts['missed']} missed**" if counts["missed"] else "")
        out += (f"| [{scenario.name}](#{scenario.name}) | {result.date()} | {', '.join(commit for commit, *_ in builds)} | "
                f"{_rounds(result)} | {aims if judged[scenario.name] else ''} | {_remark(data)} |\n")
    return out


def _rounds(result):
    """As many as every server has that has all."""
    done = [len(result.rounds(kind)) for kind in result.data["turns"] if kind not in result.data.get("once", [])] or [1]
    wanted = result.data["rounds_wanted"]
    return f"{min(done)}" + (f" of {wanted}" if min(done) < wanted else "")


def _remark(data):
    words = []
    if data.get("scale", 1) != 1:
        words.append(f"**scaled by {data['scale']:g}: no figures**")
    if _is_busy(data):
        words.append("**busy machine**")
    if Result(data).failures():
        words.append("**failed runs**")
    return ", ".join(words)


def _cell(result, case, subject, figure):
    spread = result.spread(case, subject, figure)
    if not spread:
        return "-"
    text = figures.show(spread.median)
    if len(spread.values) > 1:
        text += f" ({figures.show(spread.least)}-{figures.show(spread.most)})"
    if subject in ("durable", "page"):
        ratio = result.ratio(case, subject, "kafka", figure)
        if ratio:
            text += f" {figures.show(ratio.median)}x"
    return text


def _when(data):
    """Date, commit and rounds; with more than one commit, which servers are of which."""
    rows = []
    for commit, date, kinds, least, most in Result(data).builds():
        count = f"{least}" if least == most else f"{least} to {most}"
        rows.append(f"{date}, commit {commit}, {count} round{'s' if most != 1 else ''}"
                    + (f" of {data['rounds_wanted']}" if most < data["rounds_wanted"] else "")
                    + (f" ({', '.join(judge.label(kind) for kind in kinds)})" if len(Result(data).builds()) > 1 else ""))
    return "; ".join(rows)


def _scenario(scenario, data, judged, link, folder):
    result = Result(data)
    out = f"## {scenario.name}\n\n{scenario.shows}\n\n"
    out += _when(data) + "; " + _busy(data) + "\n"
    out += f"`{data['load']}`" + (f", {scenario.memory} memory" if scenario.memory else "")
    out += ", dropped from the page cache" if scenario.cache == "cold" else ""
    out += f", {data['minutes']:g} minutes" if scenario.long else ""
    out += "".join(f", {name}: {rate} MiB/s" for name, rate in data.get("rates", {}).items())
    out += f", pinned: {data['pinned']}" if data.get("pinned") else ""
    columns = [figures.ALL[name] for name in scenario.figures
               if any(name in cell["values"] for subjects in data["cases"].values() for cell in subjects.values())]
    out += "\n\n| case | | " + " | ".join(figure.label for figure in columns) + " |\n"
    out += "|---|---|" + "---:|" * len(columns) + "\n"
    for case in scenario.cases:
        word = case.name
        for subject in [*scenario.servers, *scenario.raw]:
            if not any(data["cases"].get(case.name, {}).get(subject, {}).get("values", {}).values()):
                continue
            cells = [_cell(result, case.name, subject, figure.name) for figure in columns]
            out += f"| {word} | {_subject(scenario, subject)} | " + " | ".join(cells) + " |\n"
            word = ""
    out += _bounded(scenario, result)
    for case in scenario.cases:
        for kind in scenario.servers:
            notes = (result.cell(case.name, kind) or {}).get("notes")
            out += f"\n- {case.name}: {'; '.join(notes)}" if notes else ""
    out += "\n" if out.endswith("waited") else ""
    failures = result.failures()
    if failures:
        out += "\nFailed:\n\n" + "".join(f"- {case}, {judge.label(subject)}: {'; '.join(reasons)}\n"
                                         for case, subject, reasons in failures)
    out += _aims(judged)
    for name, caption in plots.draw(scenario, data, folder) if plots.available() else []:
        out += f"\n![{scenario.name}: {caption}]({link}/{name})\n"
    return out


def _bounded(scenario, result):
    """Where the load generator, a single thread, had nothing left: another would have moved more."""
    found = []
    for case in scenario.cases:
        for kind in scenario.servers:
            busy = result.spread(case.name, kind, "generator_cores")
            if busy and busy.median >= GENERATOR_FULL and scenario.load.words[0] == "load":
                found.append(f"{case.name}, {judge.label(kind)} ({figures.show(busy.median)})")
    return f"\nThe thread of the load generator was busy all the time, so these could be higher: {'; '.join(found)}.\n" if found else ""


def _subject(scenario, subject):
    return f"*raw: {subject}*" if subject in scenario.raw else judge.label(subject)


def _is_busy(data):
    return (Result(data).median_of_turns("busy_before") or 0) > BUSY_CORES


def _busy(data):
    busy, others = (Result(data).median_of_turns(name) for name in ("busy_before", "others"))
    out = f"{busy or 0:.2f} cores busy before a turn"
    if others is not None:
        out += f", {others:.2f} busy with others' and the kernel's own work during it"
    if data.get("scale", 1) != 1:
        out += f". **Scaled by {data['scale']:g}: these are no figures**"
    elif _is_busy(data):
        out += ". **The machine was busy: these figures are for orientation only**"
    return out + "."
