import time

import mutate
import pytest

TINY = '''"""A tiny module; σ makes columns of bytes and of characters differ."""


def wide(σ: "float > 0", limit=2):
    """Whether σ is beyond a limit."""
    text = f"{σ - 1}" + "…"
    return bool(text) and σ > limit


def slow(numbers):
    if not numbers:
        raise ValueError("none")
    return max(numbers[1:])
'''
TESTS = """
import pytest
from tiny.half import wide

@pytest.mark.parametrize(("sigma", "expected"), [(1, False), (2, False), (2.5, True), (3, True)])
def test_wide(sigma, expected):
    assert wide(sigma) == expected
"""


@pytest.fixture
def project(tmp_path):
    """A project with a module that is tested half, in a package of the package or not."""

    def make(package=""):
        for folder, name, text in (("src/tiny", "half.py", TINY), ("tests", "test_half.py", TESTS)):
            path = tmp_path / folder / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("tiny.half", "tiny.sub.half" if package else "tiny.half"), encoding="utf-8")
        return tmp_path

    return make


def changed(source):
    """The changed lines of all mutants, by number, stripped."""
    found = list(mutate.mutants("m.py", source))
    assert len({mutant.text for mutant in found}) == len(found)
    return [(mutant.line, mutant.text.splitlines()[mutant.line - 1].strip()) for mutant in found]


def test_what_is_changed():
    assert changed(TINY) == [
        (4, 'def wide(σ: "float > 0", limit=(2 + 1)):'),
        (4, 'def wide(σ: "float > 0", limit=(2 - 1)):'),
        (7, "return (bool(text) or σ > limit)"),
        (7, "return bool(text) and (σ >= limit)"),
        (7, "return bool(text) and (σ <= limit)"),
        (11, "if (not (not numbers)):"),
        (11, "if (numbers):"),
        (12, "pass"),
        (13, "return min(numbers[1:])"),
        (13, "return max(numbers[(1 + 1):])"),
        (13, "return max(numbers[(1 - 1):])"),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("f(a, b)", ["pass", "(f(b, a))"]),
        ("x = -a - b", ["x = (-a + b)", "x = (a) - b"]),
        ("x = a.max() if a else 0.5", ["x = a.max() if (not (a)) else 0.5", "x = (a.min)() if a else 0.5"]),
        ("x = [a for a in b if a]", ["x = [a for a in b if (not (a))]"]),
        ("x: Float[1 + 1] = True", ["x: Float[1 + 1] = False"]),
        ("x = a[:b]", ["x = a[:b + 1]"]),
        ("x = a is not b", ["x = (a is b)"]),
        ("while a == b: c", ["while (not (a == b)): c", "while (a != b): c"]),
        ("x = 'a' + b", []),
        ("x = f(*a, b)", []),
        ("x = min(a, b)", ["x = max(a, b)"]),
    ],
)
def test_each_kind_of_change(line, expected):
    assert [text for _, text in changed(line)][: len(expected)] == expected
    if not expected:
        assert not changed(line)


def test_the_tests_of_a_module(project):
    path = project()
    assert mutate.tests_of("src/tiny/half.py", path) == ["tests/test_half.py"]
    assert mutate.tests_of("src/tiny/sub/_half.py", path) == ["tests/test_half.py"]
    assert mutate.tests_of("src/tiny/other.py", path) == []
    project("sub")
    assert mutate.tests_of("src/tiny/sub/_half.py", path) == ["tests/sub/test_half.py"]
    assert mutate.tests_of("src/tiny/half.py", path) == ["tests/test_half.py"]


def test_a_mutant_that_is_killed_and_one_that_survives(project, capsys):
    path, module = project("sub"), "src/tiny/sub/half.py"
    before = (path / module).read_bytes()
    found = list(mutate.mutants(module, TINY))
    count = mutate.main([module, "--project", str(path), "--number", "3", "--seed", "1"])
    printed = capsys.readouterr().out
    said = [line for line in printed.splitlines() if line.startswith(module)]
    lines = [int(line.split(":")[1]) for line in said]
    assert lines == sorted(lines)
    assert [line.endswith("killed") for line in said] == [number < 10 for number in lines]
    assert 0 < count < 3
    assert printed.splitlines()[-1] == f"3 of {len(found)} mutants: {3 - count} killed, {count} survived"
    assert "    +" in printed
    assert (path / module).read_bytes() == before


def test_a_mutant_that_never_ends_is_killed(project):
    path = project()
    (path / "tests" / "test_half.py").write_text("import time\ndef test(): time.sleep(600)\n")
    begin = time.monotonic()
    mutant = next(mutate.mutants("src/tiny/half.py", TINY))
    assert not mutate.survives(mutant, path, ["tests/test_half.py"], timeout=1.0)
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("missing", [True, False])
def test_what_cannot_be_judged(project, capsys, missing):
    path = project()
    tests = path / "tests" / "test_half.py"
    if missing:
        tests.unlink()
    else:
        tests.write_text("def test(): assert False\n")
    with pytest.raises(SystemExit):
        mutate.main(["src/tiny/half.py", "--project", str(path)])
    said = capsys.readouterr().err
    assert ("no tests of src/tiny/half.py" if missing else "fail without any mutation") in said
