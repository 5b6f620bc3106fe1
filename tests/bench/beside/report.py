"""Writes RESULTS.md from the kept results: aims first, then a table and plots for each scenario."""
import os

import figures
import judge
import plots
import servers
from results import Result

BUSY_CORES = 0.3


def write(scenarios, kept, path, folder):
    """kept: results by name; folder: where the plots go, beside RESULTS.md."""
    measured = [scenario for scenario in scenarios if scenario.name in kept]
    judged = [one for scenario in scenarios for one in judge.judge(scenario, kept.get(scenario.name))]
    text = [_head(), _machine(kept), _aims(judged, kept)]
    text += [_scenario(scenario, kept[scenario.name], os.path.relpath(folder, os.path.dirname(path)), folder)
             for scenario in measured]
    missing = [scenario.name for scenario in scenarios if scenario.name not in kept]
    if missing:
        text.append("## Not measured yet\n\n" + ", ".join(f"`{name}`" for name in missing) + "\n")
    with open(path, "w") as file:
        file.write("\n".join(text))


def _head():
    return """# Results

Written by `./dev bench`; do not edit. What is measured and why stands in [beside/scenarios.toml](beside/scenarios.toml), how in
[beside/README.md](beside/README.md); older figures taken by hand in [HISTORY.md](HISTORY.md).

A figure is the median of the rounds, in brackets the least and the most. `x` behind it is its ratio to Apache Kafka's, the median of
the ratios of each round. CPU is that of the whole server process, user and kernel; of a raw limit that of the whole measurement.
Everything shares the machine's cores, load generators too; nothing is pinned unless it says so.
"""


def _latest(kept):
    return max(kept.values(), key=lambda data: data["date"])


def _machine(kept):
    if not kept:
        return "Nothing was measured yet.\n"
    data = _latest(kept)
    rows = [*data["machine"].items(), ("versions", ", ".join(f"{name} {value}" for name, value in data["versions"].items()))]
    out = "## Machine and settings of the latest run\n\n| | |\n|---|---|\n"
    out += "".join(f"| {name} | {value} |\n" for name, value in rows)
    out += "".join(f"| {servers.LABELS.get(kind, kind)} | {text} |\n" for kind, text in servers.SETTINGS.items())
    others = {(tuple(one["machine"].items())) for one in kept.values()}
    if len(others) > 1:
        out += "\nThe scenarios were not all measured on the same machine: compare within one only.\n"
    return out


def _aims(judged, kept):
    count = {word: sum(one.count(word) for one in judged) for word in ("met", "missed", "not measured")}
    out = f"## Aims: {count['met']} met, {count['missed']} missed, {count['not measured']} not measured\n\n"
    out += "Each aim counts once for each case of its scenario; a case that misses it is bold.\n\n"
    out += "| | scenario | aim | wanted | found |\n|---|---|---|---|---|\n"
    for one in judged:
        if one.scenario in kept:
            found = "; ".join(_found(verdict) for verdict in one.verdicts)
            out += f"| {_word(one)} | [{one.scenario}](#{one.scenario}) | {one.says} | {one.wanted} | {found} |\n"
    return out


def _found(verdict):
    text = f"{verdict.case}: {verdict.found}"
    return f"**{text}**" if verdict.word == "missed" else text


def _word(one):
    """The verdict on all its cases."""
    missed, measured = one.count("missed"), len(one.verdicts) - one.count("not measured")
    if not measured:
        return "not measured"
    if not missed:
        return "met"
    return "**missed**" if missed == measured else f"**missed** in {missed} of {measured}"


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


def _scenario(scenario, data, link, folder):
    result = Result(data)
    rounds = f"{data['rounds']} round{'s' if data['rounds'] != 1 else ''}"
    if data["rounds"] < data["rounds_wanted"]:
        rounds += f" of {data['rounds_wanted']}"
    out = f"## {scenario.name}\n\n{scenario.shows}\n\n"
    out += f"{data['date']}, commit {data['commit']}, {rounds}; " + _busy(data) + "\n"
    out += f"`{data['load']}`" + (f", {scenario.memory} memory" if scenario.memory else "")
    out += ", dropped from the page cache" if scenario.cache == "cold" else ""
    out += f", {data['minutes']:g} minutes" if scenario.long else ""
    out += "".join(f", {name}: {rate} MiB/s" for name, rate in data.get("rates", {}).items())
    out += f", pinned: {data['pinned']}" if data.get("pinned") else ""
    out += f", only {data['only']}" if data.get("only") else ""
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
    failures = result.failures()
    if failures:
        out += "\nFailed:\n\n" + "".join(f"- {case}, {judge.label(subject)}: {'; '.join(reasons)}\n"
                                         for case, subject, reasons in failures)
    for name, caption in plots.draw(scenario, data, folder) if plots.available() else []:
        out += f"\n![{scenario.name}: {caption}]({link}/{name})\n"
    return out


def _subject(scenario, subject):
    return f"*raw: {subject}*" if subject in scenario.raw else judge.label(subject)


def _busy(data):
    busy, others = data["busy_cores_before"], data.get("others_cores")
    out = f"{busy:.2f} cores busy before it"
    if others is not None:
        out += f", {others:.2f} busy with others' and the kernel's own work during it"
    if busy > BUSY_CORES:
        out += ". **The machine was busy: these figures are for orientation only**"
    return out + "."
