"""Print the medians of a pytest-benchmark JSON file as markdown tables of ratios to this package.

``python -m bench.compare out.json``: a row per group, a column per member, a table per set of members; in brackets how
many times longer than `sparsegmrf` the member took.
"""

import argparse
import json

OURS = "sparsegmrf"


def main():
    """Read the file named on the command line and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    with open(parser.parse_args().file) as file:
        results = json.load(file)
    print(environment(results))
    for members, groups in tables(results["benchmarks"]):
        print()
        print(table(members, groups))


def environment(results):
    """Describe machine, versions and threads in a line."""
    machine = results["machine_info"]
    cpu = machine["cpu"]
    recorded = {}
    for benchmark in results["benchmarks"]:
        recorded |= benchmark["extra_info"]
    parts = [
        f"{cpu.get('brand_raw', 'unknown processor')}, {cpu.get('count')} cores",
        f"{recorded.get('threads', machine.get('threads', '?'))} threads",
        f"Python {machine['python_version']}",
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


def cell(median, ours):
    """Return a median in milliseconds, with its ratio to ours."""
    if median is None:
        return ""
    ratio = "" if ours is None else f" ({median / ours:.2f})"
    return f"{1e3 * median:.3g} ms{ratio}"


if __name__ == "__main__":
    main()
