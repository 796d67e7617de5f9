"""Print the times in a pytest-benchmark JSON file as markdown tables of ratios.

``python -m bench.compare out.json``: the medians, a row per group, a column per member, a table per set of members; in
brackets how many times longer than `sparsegmrf` the member took.

``python -m bench.compare out.json --baseline bench/baseline.json [--tolerance 0.3]``: a row per member, with the ratio
of its fastest round, which other work on the machine disturbs least, to that of the baseline; exit with 1 if one of
ours takes more than ``1 + tolerance`` times as long. Ours is in a group with a member `sparsegmrf` that one, and those
whose name begins so; the others are competitors, which tell how fast the machine was. In a group without it every
member is ours.
"""

import argparse
import json
import math
import sys

OURS = "sparsegmrf"
TOLERANCE = 0.3


def main(arguments=None):
    """Print the tables of the file named on the command line; return the exit code, 2 if there is nothing to tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="JSON of pytest --benchmark-json")
    parser.add_argument("--baseline", help="JSON of an earlier run to compare with")
    parser.add_argument("--tolerance", type=positive, default=TOLERANCE, help="share by which a time may grow")
    parsed = parser.parse_args(arguments)
    try:
        results = read(parsed.file)
        baseline = read(parsed.baseline) if parsed.baseline else None
        if baseline is not None and not fastest(results).keys() & fastest(baseline).keys():
            raise ValueError(
                f"{parsed.file} and {parsed.baseline} must share a benchmark, but they have none in common"
            )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if baseline is not None:
        return compare(results, baseline, parsed.tolerance)
    print(environment(results))
    for members, groups in tables(results["benchmarks"]):
        print()
        print(table(members, groups))
    return 0


def positive(text):
    """Return a positive finite number."""
    value = float(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def read(path):
    """Return the content of a file that pytest-benchmark wrote; raise a ValueError if it is none."""
    with open(path, encoding="utf-8") as file:
        try:
            results = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} must be a JSON file of pytest --benchmark-json, got no JSON: {error}") from error
    if not isinstance(results, dict) or not {"benchmarks", "machine_info", "datetime"} <= results.keys():
        raise ValueError(f"{path} must be a JSON file of pytest --benchmark-json, got another one")
    return results


def compare(results, baseline, tolerance):
    """Print the ratios of a run to a baseline, and return 1 if one of ours is past the tolerance, else 0."""
    now, before = fastest(results), fastest(baseline)
    print(f"baseline: {environment(baseline)}\n")
    print(f"this run: {environment(results)}\n")
    print("| | | baseline | this run | ratio | |")
    print("|---|---|---|---|---|---|")
    slower = []
    for key in [*before, *(key for key in now if key not in before)]:
        found = verdict(key, now, before, tolerance)
        if found == "slower":
            slower.append(key)
        cells = [cell(before.get(key)), cell(now.get(key)), ratio_of(key, now, before), found]
        print(f"| {key[0]} | {key[1]} | {' | '.join(cells)} |")
    if slower:
        print(f"\n{len(slower)} past {1.0 + tolerance:g} times the baseline:")
        print("\n".join(f"- {group}: {name}" for group, name in slower))
    return 1 if slower else 0


def fastest(results):
    """Return the time of the fastest round in seconds by group and name, in the order of the file."""
    return {(each["group"] or "", each["name"]): each["stats"]["min"] for each in results["benchmarks"]}


def verdict(key, now, before, tolerance):
    """Say of a benchmark whether it is past the tolerance."""
    if key not in now:
        return "not run"
    if key not in before:
        return "new"
    group, name = key
    if not name.startswith(OURS) and (group, OURS) in now.keys() | before.keys():
        return "competitor"
    ratio = now[key] / before[key]
    return "slower" if ratio > 1.0 + tolerance else "faster" if ratio < 1.0 / (1.0 + tolerance) else ""


def ratio_of(key, now, before):
    """Return how many times as long as in the baseline a benchmark took; empty if it is in one run only."""
    return f"{now[key] / before[key]:.2f}" if key in now and key in before else ""


def environment(results):
    """Describe machine, versions and threads in a line."""
    machine = results["machine_info"]
    cpu = machine.get("cpu", {})
    recorded = {}
    for benchmark in results["benchmarks"]:
        recorded |= benchmark.get("extra_info", {})
    parts = [
        f"{cpu.get('brand_raw', 'unknown processor')}, {cpu.get('count', '?')} cores",
        f"{recorded.get('threads', machine.get('threads', '?'))} threads",
        f"Python {machine.get('python_version', '?')}",
        *(f"{name} {version}" for name, version in machine.get("versions", {}).items()),
    ]
    if "cholmod_blas" in recorded:
        parts += [f"CHOLMOD on {recorded['cholmod_blas']} BLAS", *recorded.get("pools", [])]
    return "; ".join([*parts, results["datetime"][:16]])


def tables(benchmarks):
    """Return, in the order of the file, the sets of members and for each the medians of its groups."""
    groups = {}
    for benchmark in benchmarks:
        groups.setdefault(benchmark["group"], {})[benchmark["name"]] = benchmark["stats"]["median"]
    split = []
    for group, medians in groups.items():
        partner = next((entry for entry in split if set(entry[0]) & set(medians) - {OURS}), None)
        if partner is None:
            partner = ({}, {})
            split.append(partner)
        partner[0].update(dict.fromkeys(medians))
        partner[1][group] = medians
    return [(sorted(members, key=lambda name: name != OURS), rows) for members, rows in split]


def table(members, groups):
    """Return the markdown table, this package first."""
    lines = [f"| | {' | '.join(members)} |", "|---" * (len(members) + 1) + "|"]
    for group, medians in groups.items():
        ours = medians.get(OURS)
        cells = [cell(medians.get(name), ours if name != OURS else None) for name in members]
        lines.append(f"| {group} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(time, ours=None):
    """Return a time in milliseconds or seconds, with its ratio to ours if that is given."""
    if time is None:
        return ""
    ratio = "" if ours is None else f" ({time / ours:.2f})"
    return f"{time:.3g} s{ratio}" if time >= 1.0 else f"{1e3 * time:.3g} ms{ratio}"


if __name__ == "__main__":
    sys.exit(main())
