"""The comparison of a run of the benches with a baseline: ratios, exit codes, what is ours, bad files."""

import json

import pytest

from bench import compare

DRAW = "a draw, 64"


def benchmark(name, seconds, group=DRAW):
    """Return one benchmark as pytest-benchmark writes it, with a median twice its fastest round."""
    return {"group": group, "name": name, "stats": {"min": seconds, "median": 2.0 * seconds}, "extra_info": {}}


@pytest.fixture
def write(tmp_path):
    """Write a file of benchmarks and return its path."""

    def written(name, *benchmarks):
        machine = {"cpu": {"brand_raw": "a processor", "count": 2}, "python_version": "3.11.0", "threads": 2}
        content = {"machine_info": machine, "datetime": "2026-01-02T03:04:05", "benchmarks": benchmarks}
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return str(path)

    return written


def rows(printed):
    """Return the cells of the table by name of the member."""
    lines = [line for line in printed.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    return {cells[1]: cells[2:] for cells in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)}


def test_ratios_are_those_of_the_fastest_rounds(write, capsys):
    before = write("before.json", benchmark("sparsegmrf", 0.010), benchmark("numpy", 2.0))
    now = write("now.json", benchmark("sparsegmrf", 0.0125), benchmark("numpy", 1.0))
    assert compare.main([now, "--baseline", before]) == 0
    printed = capsys.readouterr().out
    assert rows(printed) == {
        "sparsegmrf": ["10 ms", "12.5 ms", "1.25", ""],
        "numpy": ["2 s", "1 s", "0.50", "competitor"],
    }
    assert printed.count("a processor, 2 cores; 2 threads; Python 3.11.0; 2026-01-02T03:04") == 2


@pytest.mark.parametrize(("tolerance", "code"), [("0.2", 1), ("0.3", 0)])
def test_exit_code_is_one_past_the_tolerance(write, capsys, tolerance, code):
    before, now = write("before.json", benchmark("sparsegmrf", 1.0)), write("now.json", benchmark("sparsegmrf", 1.25))
    assert compare.main([now, "--baseline", before, "--tolerance", tolerance]) == code
    assert ("1 past 1.2 times the baseline:\n- a draw, 64: sparsegmrf" in capsys.readouterr().out) == bool(code)


def test_tolerance_is_three_tenths_unless_told(write):
    before = write("before.json", benchmark("sparsegmrf", 1.0))
    for seconds, code in ((1.29, 0), (1.31, 1)):
        assert compare.main([write("now.json", benchmark("sparsegmrf", seconds)), "--baseline", before]) == code


def test_slower_competitors_are_told_and_not_judged(write, capsys):
    before = write("before.json", benchmark("sparsegmrf", 1.0), benchmark("numpy", 1.0))
    now = write("now.json", benchmark("sparsegmrf", 1.0), benchmark("numpy", 9.0))
    assert compare.main([now, "--baseline", before]) == 0
    assert rows(capsys.readouterr().out)["numpy"] == ["1 s", "9 s", "9.00", "competitor"]


def test_variants_of_ours_and_groups_without_a_competitor_are_judged(write, capsys):
    names = [("sparsegmrf, into an array", DRAW), ("stencil", "model"), ("test_fit[1024]", None)]
    for name, group in names:
        first = benchmark("sparsegmrf", 1.0)
        before = write("before.json", first, benchmark(name, 1.0, group))
        now = write("now.json", first, benchmark(name, 2.0, group))
        assert compare.main([now, "--baseline", before]) == 1
        assert rows(capsys.readouterr().out)[name] == ["1 s", "2 s", "2.00", "slower"]


def test_faster_new_and_missing_benchmarks_are_told(write, capsys):
    before = write("before.json", benchmark("sparsegmrf", 1.0), benchmark("sparsegmrf", 1.0, "gone"))
    now = write("now.json", benchmark("sparsegmrf", 0.5), benchmark("sparsegmrf, twice", 1.0))
    assert compare.main([now, "--baseline", before]) == 0
    printed = capsys.readouterr().out
    assert f"| {DRAW} | sparsegmrf | 1 s | 500 ms | 0.50 | faster |" in printed
    assert "| gone | sparsegmrf | 1 s |  |  | not run |" in printed
    assert f"| {DRAW} | sparsegmrf, twice |  | 1 s |  | new |" in printed


def test_without_a_baseline_members_of_a_group_are_compared_by_their_medians(write, capsys):
    now = write("now.json", benchmark("numpy", 1.5), benchmark("sparsegmrf", 0.25))
    assert compare.main([now]) == 0
    printed = capsys.readouterr().out
    assert "| | sparsegmrf | numpy |" in printed
    assert f"| {DRAW} | 500 ms | 3 s (6.00) |" in printed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no json", "got no JSON"),
        ("[]", "got another one"),
        ('{"benchmarks": []}', "got another one"),
        (None, "No such"),
    ],
)
def test_a_file_that_is_none_of_pytest_benchmark_is_refused(write, tmp_path, capsys, content, said):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    for arguments in ([str(path)], [write("now.json", benchmark("sparsegmrf", 1.0)), "--baseline", str(path)]):
        with pytest.raises(SystemExit) as ended:
            compare.main(arguments)
        assert ended.value.code == 2
        printed = capsys.readouterr().err
        assert said in printed
        assert "bad.json" in printed


def test_runs_that_share_no_benchmark_are_refused(write, capsys):
    before, now = (
        write("before.json", benchmark("sparsegmrf", 1.0, "a")),
        write("now.json", benchmark("sparsegmrf", 1.0)),
    )
    with pytest.raises(SystemExit) as ended:
        compare.main([now, "--baseline", before])
    assert ended.value.code == 2
    assert "have none in common" in capsys.readouterr().err


@pytest.mark.parametrize("tolerance", ["0", "-1", "nan", "inf", "much"])
def test_a_tolerance_that_is_no_positive_number_is_refused(write, capsys, tolerance):
    path = write("now.json", benchmark("sparsegmrf", 1.0))
    with pytest.raises(SystemExit) as ended:
        compare.main([path, "--baseline", path, f"--tolerance={tolerance}"])
    assert ended.value.code == 2
    assert "--tolerance" in capsys.readouterr().err
