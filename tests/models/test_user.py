"""The user's own model: the config's section, the file's functions, and every way in which they are refused."""

import hashlib
import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from running import PROJECT, Run

from pullback import PullbackError, propagate, quote, random_stream, run_toys, steps
from pullback.config.model_base import RESULTS_OF
from pullback.config.model_schema import OneHit
from pullback.config.own_schema import Own
from pullback.detector.bound_model import Inference, parameters_of
from pullback.models import load_model
from pullback.models.user_checks import check_fit_functions, check_model
from pullback.models.user_file import read_model_file
from pullback.statistics.fold_intervals import one_direction
from pullback.steps.target import find_target
from pullback.store import columns
from pullback.study.plan import Study

SOURCE = SimpleNamespace(x_min=-1.0, x_max=3.0)
HITS = torch.tensor([[0.1, 0.3], [-0.4, 0.2], [0.25, -0.7], [0.6, 0.65]], dtype=torch.float64)
SLOPE = """
    import torch

    def infer(hits, dz):
        x0, x1 = hits.unbind(1)
        return torch.atan2(x1 - x0, dz)[:, None]
"""


def section(**changes):
    """A model with two coordinates and one observable."""
    raw = {
        "file": "my_model.py",
        "coordinates": ["x0", "x1"],
        "observables": [{"name": "theta", "unit": "rad"}],
        "parameters": {"dz": 0.5},
    }
    return Own.model_validate({**raw, **changes})


def write(code: str) -> None:
    Path("my_model.py").write_text(textwrap.dedent(code).lstrip("\n"), encoding="utf-8")


def model_of(code: str = SLOPE, **changes):
    write(code)
    return load_model(section(**changes))


def refused(call, *arguments) -> str:
    with pytest.raises(PullbackError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


# The model


def test_what_the_pipeline_knows_of_it():
    coordinates = [{"name": "a", "layer": 1}, {"name": "b", "unit": "ns", "long_name": "time", "layer": 0}]
    observable = {"name": "theta", "unit": "rad", "long_name": "angle", "symbol": "θ", "fold": "theta"}
    observable |= {"domain": 4.0, "folds": ["slope"]}
    observables = [observable, {"name": "slope", "unit": "1"}, {"name": "phi", "unit": "rad", "period": 6.3}]
    model = model_of(coordinates=coordinates, observables=observables, missing=True)
    assert [tuple(each)[:4] for each in model.coordinates] == [("a", "m", "a", "a"), ("b", "ns", "time", "b")]
    assert tuple(model.observables[0]) == ("theta", "rad", "angle", "θ", 0.0, "theta", 4.0, ("slope",))
    assert [each.period for each in model.observables] == [0.0, 0.0, 6.3]
    assert model.layers == (1, 0)
    assert model.missing
    assert model.parameters == {"dz": 0.5}
    assert model.infer_uses == ("dz",)
    assert model.intersect_uses == model.covariance_uses == ()
    assert model.covariance is None
    assert model.intersect_layers(HITS) is HITS
    assert model_of().layers == (0, 1)


def test_its_observables_are_propagated_with_the_right_uncertainty():
    model = model_of()
    infer = partial(model.infer, **model.parameters)
    result = propagate(infer, HITS, covariance=0.01**2)
    slope = (HITS[:, 1:] - HITS[:, :1]) / 0.5
    torch.testing.assert_close(result.value, slope.atan(), rtol=1e-15, atol=0)
    torch.testing.assert_close(result.sigma, 2**0.5 * 0.01 / 0.5 / (1 + slope**2), rtol=1e-13, atol=0)
    toys = run_toys(infer, HITS, sigma=0.01, toys=20_000, rng=random_stream(1, "toys"))
    torch.testing.assert_close(quote(infer, HITS, covariance=0.01**2).sigma, toys.sd, rtol=0.03, atol=0)


def test_parameters_are_tensors_and_carry_gradients():
    model = model_of(
        """
        def infer(hits, dz, weights):
            assert dz.ndim == 0 and weights.shape == (2,) and dz.dtype == weights.dtype == hits.dtype
            return (hits * weights).sum(1, keepdim=True) * dz
        """,
        parameters={"dz": 2, "weights": [1, 2]},
    )
    assert model.parameters == {"dz": 2.0, "weights": (1.0, 2.0)}
    assert model.infer(HITS, **model.parameters)[0].item() == pytest.approx(1.4)
    dz = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    sigma = propagate(partial(model.infer, dz=dz, weights=(1.0, 2.0)), HITS, covariance=1.0).sigma
    (slope,) = torch.autograd.grad(sigma.sum(), dz)
    assert slope.item() == pytest.approx(len(HITS) * 5**0.5)


def test_resolution_is_handed_over_to_what_has_an_argument_of_that_name():
    code = """
        def infer(hits, resolution):
            w = resolution**2
            return ((hits * w).sum(1) / w.sum())[:, None]

        def blur(hits, resolution=None):
            return hits.new_zeros(2, 2)

        def draw(rng, muons):
            return rng.random((muons, 2))
    """
    model = model_of(code, parameters={}, covariance="blur", draw="draw")
    assert model.infer_uses == model.covariance_uses == ("resolution",)
    with pytest.raises(ValueError, match="parameters must have resolution"):
        check_model(model, HITS)
    check_model(model, HITS, {"resolution": [100.0, 50.0]})


def test_without_draw_each_coordinate_is_uniform():
    x = model_of().generate(random_stream(1, "truth"), 20_000, SOURCE)
    assert x.shape == (20_000, 2)
    assert x.min() >= -1
    assert x.max() < 3
    np.testing.assert_allclose(x.mean(axis=0), 1.0, atol=4 * 4 / (12 * 20_000) ** 0.5)
    assert abs(np.corrcoef(x.T)[0, 1]) < 4 / 20_000**0.5


def test_draw_has_the_parameters_that_it_names():
    code = (
        SLOPE
        + """
    def throw(rng, muons, widths, *, shift=1.0):
        return shift + widths * rng.standard_normal((muons, 2))
    """
    )
    model = model_of(code, parameters={"dz": 0.5, "widths": [1.0, 0.0]}, draw="throw")
    assert model.infer_uses == ("dz",)
    x = model.generate(random_stream(1, "truth"), 100, SOURCE)
    assert (x[:, 1] == 1).all()
    assert x[:, 0].std() == pytest.approx(1, abs=0.3)
    np.testing.assert_array_equal(x, model.generate(random_stream(1, "truth"), 100, SOURCE))


def test_true_hits_by_other_random_numbers_than_those_of_rng_are_refused():
    code = "\n    import numpy\n    def draw(rng, muons):\n        return numpy.random.random((muons, 2))\n"
    message = refused(model_of(SLOPE + code, draw="draw").generate, random_stream(1, "truth"), 3, SOURCE)
    assert message.startswith("my_model.py:8: draw draws other hits from the same rng: every random number must come")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[[0.0, 1.0]]", "NumPy array (muon, coordinate) of shape (3, 2), not list"),
        ("rng.random((2, muons))", "of shape (3, 2), not ndarray (2, 3)"),
        ("rng.integers(5, size=(muons, 2))", "finite floating-point numbers"),
        ("rng.random((muons, 2)) * float('nan')", "finite floating-point numbers"),
    ],
)
def test_what_can_not_be_true_hits_is_refused(body, reason):
    model = model_of(SLOPE + f"\n    def draw(rng, muons):\n        return {body}\n", draw="draw")
    message = refused(model.generate, random_stream(1, "truth"), 3, SOURCE)
    assert message.startswith("my_model.py:7: draw must return ")
    assert reason in message


def test_functions_may_be_assigned_or_imported():
    code = """
        from functools import partial
        from torch import atan2

        def angle(hits, n, dz):
            return n * atan2(hits[:, 1:] - hits[:, :1], dz)

        infer = partial(angle, n=1)
    """
    model = model_of(code)
    check_model(model, HITS)
    torch.testing.assert_close(model.infer(HITS, dz=0.5), ((HITS[:, 1:] - HITS[:, :1]) / 0.5).atan())


def test_dataclasses_work_in_it():
    code = """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Line:
            slope: torch.Tensor

        def infer(hits, dz):
            return Line((hits[:, 1:] - hits[:, :1]) / dz).slope
    """
    check_model(model_of(code), HITS)


# The file


def test_what_it_prints_stays_out_of_the_graph_that_snakemake_prints(capsys):
    model_of("print('run')\n" + textwrap.dedent(SLOPE))
    assert capsys.readouterr() == ("", "run\n")


def test_planning_without_a_model_file_imports_no_torch():
    code = (
        "import sys\n"
        "from pullback.study.plan import Study\n"
        "Study.from_config({'study': 's', 'source': {'muons': 20}})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_run_once_for_all_points():
    write("import uuid, pathlib\npathlib.Path(f'run-{uuid.uuid4()}').touch()\n" + textwrap.dedent(SLOPE))
    for dz in (0.5, 1.0):
        model = load_model(section(parameters={"dz": dz}))
        model.infer(HITS, **model.parameters)
    assert len(list(Path().glob("run-*"))) == 1


def test_an_edited_file_is_read_again_and_refused_within_a_run():
    first = model_of()
    job, planned = section(), hashlib.sha256(Path("my_model.py").read_bytes()).hexdigest()
    assert load_model(job, planned).infer_uses == ("dz",)
    second = model_of(SLOPE.replace("dz)[", "2*dz)["))
    assert not torch.equal(first.infer(HITS, dz=0.5), second.infer(HITS, dz=0.5))
    assert not list(Path().glob("__pycache__"))
    assert refused(load_model, job, planned) == "my_model.py: has changed since this run began: run again"


@pytest.mark.parametrize(
    ("code", "changes", "expected"),
    [
        ("import torch\n\ndef infer(hits:\n", {}, "my_model.py:3: is not valid Python: "),
        ("x = 'é", {}, "my_model.py:1: is not valid Python: unterminated string literal"),
        ("x = 1\0", {}, "my_model.py:1: is not valid Python: source code string cannot contain null bytes"),
        ("def infre(hits, dz): ...", {}, "has no function 'infer', which model.function names; did you mean infre?"),
        ("def slope(hits): ...", {}, "has no function 'infer', which model.function names; its functions are slope"),
        ("infer: int", {"function": "angle"}, "has no function 'angle', which model.function names; it defines none"),
        (SLOPE, {"draw": "throw"}, "has no function 'throw', which model.draw names"),
        (SLOPE, {"covariance": "blur"}, "has no function 'blur', which model.covariance names"),
        ("def infer(): ...", {}, "my_model.py:1: infer must take hits, then the parameters by name; it takes ()"),
        (
            "#\ndef infer(hits, dzz): ...",
            {},
            "my_model.py:2: infer needs 'dzz', which model.parameters doesn't have; add it there, or give a default",
        ),
        ("def infer(hits, *, a): ...", {}, "my_model.py:1: infer needs 'a', which model.parameters doesn't have"),
        ("def infer(dz, hits): ...", {}, "my_model.py:1: infer has 'dz' in place of hits; the parameters come after"),
        (
            "def infer(hits, a=1, /, *args, dzz=2.0): ...",
            {},
            "my_model.py:1: infer takes no parameter 'dz', which model.parameters has; "
            "it takes (hits, a=1, /, *args, dzz=2.0)",
        ),
        (
            SLOPE + "\n    def draw(rng, muons, resolution): ...",
            {"draw": "draw"},
            "my_model.py:7: draw needs 'resolution', which model.parameters doesn't have",
        ),
    ],
)
def test_a_file_that_can_not_do_is_refused_when_it_is_read(code, changes, expected):
    write(code)
    assert expected in refused(load_model, section(**changes))


def neighbours(folder: str, factor: float) -> str:
    """A model file with a module beside it, which imports a package beside it, which imports its own modules."""
    files = {
        "my_model.py": """
            import helper
            from helper import factor as f

            def infer(hits, dz):
                return helper.scaled(hits[:, :1]) * dz
        """,
        "helper.py": """
            import package.inner
            from package import inner as same, constant

            factor = package.inner.FACTOR
            assert same is package.inner

            def scaled(x):
                return factor * x
        """,
        "package/__init__.py": "from .deep.constants import constant",
        "package/inner.py": "from . import constant as FACTOR",
        "package/deep/constants.py": f"constant = {factor}",  # a folder without __init__.py
    }
    for name, code in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code).lstrip("\n"), encoding="utf-8")
    return f"{folder}/my_model.py"


def test_two_folders_may_have_modules_of_one_name():
    first, second = (load_model(section(file=neighbours(name, x))) for name, x in (("a", 2.0), ("b", 3.0)))
    for model, factor in ((first, 2.0), (second, 3.0), (first, 2.0)):
        torch.testing.assert_close(model.infer(HITS, dz=0.5), factor * 0.5 * HITS[:, :1])
    assert not {"helper", "package", "my_model"} & {*sys.modules}
    assert not list(Path().rglob("__pycache__"))


@pytest.mark.parametrize("name", ["my_model.py", "helper.py", "package/inner.py", "package/deep/constants.py"])
def test_a_change_of_any_module_beside_it_is_noticed(name):
    job = section(file=neighbours("a", 2.0))
    before = read_model_file(job.file).sha256
    load_model(job, before)
    assert read_model_file("./a/my_model.py").sha256 == before
    with Path("a", name).open("a") as file:
        file.write("# changed\n")
    expected = "a/my_model.py or what it imports from its folder: has changed since this run began: run again"
    assert refused(load_model, job, before) == expected
    assert read_model_file(job.file).sha256 != before


def test_the_digest_of_a_file_alone_is_its_own():
    write("import torch")
    Path("not_imported.py").touch()
    assert read_model_file("my_model.py").sha256 == hashlib.sha256(b"import torch").hexdigest()


def test_a_file_beside_it_may_not_have_the_name_of_an_installed_module():
    for name in ("torch.py", "random.py"):
        Path(name).touch()
        message = refused(model_of, f"import {name[:-3]}\n")
        assert message.startswith(
            f"my_model.py:1: ImportError: {name} has the name of an installed module, {name[:-3]}"
        )
        Path(name).unlink()
    Path("torch.py").write_text("import torch")
    assert refused(load_model, section(file="torch.py")).startswith(
        "torch.py:1: ImportError: torch.py has the name of an inst"
    )
    Path("torch.py").unlink()
    Path("torch").mkdir()  # no package without an __init__.py, where there is another
    model_of()


@pytest.mark.parametrize(
    ("helper", "expected"),
    [
        ("x = (1", "helper.py:1: is not valid Python: '(' was never closed (in: x = (1)"),
        ("\nx = 1 / 0", "helper.py:2: ZeroDivisionError: division by zero (in: x = 1 / 0)"),
        ("y = 1", "my_model.py:1: ImportError: cannot import name 'x' from 'helper' (helper.py) (in: from helper"),
        (
            "from .. import x",
            "helper.py:1: ImportError: attempted relative import beyond top-level package (in: ",
        ),
    ],
)
def test_errors_in_a_module_beside_it_have_their_line(helper, expected):
    Path("helper.py").write_text(helper)
    assert refused(model_of, "from helper import x\n").startswith(expected)
    Path("helper.py").write_text("def x(hits, dz):\n    return hits.no_such\n")
    message = refused(partial(model_of("from helper import x\ninfer = x").infer, HITS, dz=0.5))
    assert message.startswith("helper.py:2: infer: AttributeError: 'Tensor' object has no attribute 'no_such'")


@pytest.mark.parametrize("statement", ["import helper", "from . import helper"])
def test_a_module_beside_it_that_a_function_imports_is_refused(statement):
    Path("helper.py").touch()
    model = model_of(f"def infer(hits, dz):\n    {statement}\n")
    expected = "my_model.py:2: infer: ImportError: helper.py is imported too late to notice when it changes; import it"
    assert refused(partial(model.infer, HITS, dz=0.5)).startswith(expected)


def test_a_missing_file_is_refused():
    message = refused(load_model, section(file="models/none.py"))
    assert message == f"models/none.py: no such file (relative paths start at {Path.cwd()})"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkdir, "my_model.py: is a folder, not a file"),
        (os.mkfifo, "my_model.py: is a pipe, socket or device; only regular files are read; copy its content to one"),
        (partial(os.symlink, "/dev/zero"), "my_model.py: is a pipe, socket or device; only regular files are read"),
        (Path.touch, "my_model.py: has no function 'infer', which model.function names; it defines none"),
    ],
)
def test_only_regular_files_are_read(make, reason):
    make(Path("my_model.py"))
    assert refused(load_model, section()).startswith(reason)


@pytest.mark.parametrize("file", ["a\0b.py", "a" * 5000 + ".py"])
def test_names_that_no_file_can_have(file):
    message = refused(load_model, section(file=file))
    assert "can't be read" in message
    assert len(message) < 300


TOO_DEEP = "my_model.py: has an expression of too many terms or brackets, or too many elif, for Python to read it"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (b"x = " + b"+".join([b"1"] * 20_000), TOO_DEEP),
        (b"x = " + b"-" * 100_000 + b"1", TOO_DEEP),
        (b"x = f" + b"()" * 20_000, TOO_DEEP),
        (b"if x: pass\n" + b"elif x: pass\n" * 20_000, TOO_DEEP),
        (b"x = " + b"(" * 1000 + b"1" + b")" * 1000, "my_model.py:1: is not valid Python: too many nested parentheses"),
        (b"#\nreturn 1\n", "my_model.py:2: is not valid Python: 'return' outside function"),
        (b"\0", "my_model.py:1: is not valid Python: source code string cannot contain null bytes"),
        ("x = 1".encode("utf-16"), "my_model.py:1: is not valid Python: "),
        ("#\nx = 'µ'".encode("cp1252"), "my_model.py:2: is not valid Python: (unicode error) 'utf-8' codec can't"),
        (b"# coding: klingon\n", "my_model.py:1: is not valid Python: unknown encoding: klingon"),
    ],
)
def test_what_python_can_not_read_is_refused_in_a_short_line(code, expected):
    Path("my_model.py").write_bytes(code)
    message = refused(load_model, section())
    assert message.startswith(expected)
    assert message.isprintable()
    assert len(message) < 300


def test_keyword_arguments_take_every_parameter():
    model = model_of("def infer(hits, **parameters):\n    return hits[:, :1] / parameters['dz']\n")
    assert model.infer_uses == ("dz",)
    check_model(model, HITS)


# Errors in it


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "import no_such_module",
            "my_model.py:1: ModuleNotFoundError: No module named 'no_such_module' (in: import no",
        ),
        ("x = 1 / 0", "my_model.py:1: ZeroDivisionError: division by zero (in: x = 1 / 0)"),
        ("exit(3)", "my_model.py:1: SystemExit: 3 (in: exit(3))"),
    ],
)
def test_errors_of_running_it_have_their_line(code, expected):
    for _ in range(2):
        assert expected in refused(model_of, code + "\n" + textwrap.dedent(SLOPE))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "import torch\ndef infer(hits, dz):\n    z = torch.ones(3)\n    return hits @ z\n",
            "my_model.py:4: infer: RuntimeError: size mismatch, got input (4), mat (4x2), vec (3) (in: return hits",
        ),
        (
            "def infer(hits, dz):\n    return helper(hits)\ndef helper(hits):\n    raise ValueError\n",
            "my_model.py:4: infer: ValueError (in: raise ValueError)",
        ),
        (
            "def infer(hits, dz):\n    raise ValueError('one\\ntwo')\n",
            "my_model.py:2: infer: ValueError: one (in: raise ValueError('one\\ntwo'))",
        ),
        (
            "def infer(hits, dz):\n    raise SystemExit(0)\n",
            "my_model.py:2: infer: SystemExit: 0 (in: raise SystemExit(0))",
        ),
        (
            "def infer(hits, a=1, /, dz=2): return hits.no_such\n",
            "my_model.py:1: infer: AttributeError: 'Tensor' object has no attribute 'no_such' (in: def infer(",
        ),
    ],
)
def test_errors_in_a_function_have_the_line_of_the_file(code, expected):
    model = model_of(code)
    assert refused(partial(model.infer, HITS, dz=0.5)).startswith(expected)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("infer = 3\n", "my_model.py:1: infer: is not a function but int"),
        ("infer = lambda hits: hits\n", "my_model.py:1: infer takes no parameter 'dz', which model.parameters has; it"),
        (
            "infer = lambda hits, a, dz: hits\n",
            "my_model.py:1: infer needs 'a', which model.parameters doesn't have; add it there, or give a default",
        ),
        (
            "class Angle:\n    def __call__(self, hits, a): ...\n\ninfer: object = Angle()\n",
            "my_model.py:4: infer needs 'a', which model.parameters doesn't have",
        ),
        (
            "from functools import cache\n\n@cache\ndef infer(hits, a): ...\n",
            "my_model.py:4: infer needs 'a', which model.parameters doesn't have",
        ),
        (
            "from functools import partial\ninfer = partial(lambda hits, a, b: hits, a=1)\n",
            "my_model.py:2: infer needs 'b', which model.parameters doesn't have",
        ),
        ("from math import (\n    pi as infer,\n)\n", "my_model.py:2: infer: is not a function but float"),
    ],
)
def test_any_callable_is_checked_when_the_file_is_read(code, expected):
    assert refused(model_of, code).startswith(expected)


def test_any_callable_may_take_the_resolution():
    assert model_of("infer = lambda hits, dz, resolution: hits\n").infer_uses == ("dz", "resolution")


def test_an_argument_that_it_does_not_take_is_named():
    message = refused(partial(model_of().infer, HITS, dzz=0.5))
    assert message == (
        "my_model.py:3: infer: TypeError: infer() got an unexpected keyword argument 'dzz'; it takes (hits, dz)"
    )


# What is refused since the pipeline could not rely on it

BODY = """
    import torch, numpy as np

    CALLS = []

    def infer(hits, dz):
        {}
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "return hits[:, 0] / dz",
            "must return a tensor (muon, observable), (4, 1) of theta for 4 muons, not Tensor (4,)",
        ),
        ("return hits / dz", "must return a tensor (muon, observable), (4, 1) of theta for 4 muons, not Tensor (4, 2)"),
        ("return None", "must return a tensor (muon, observable), (4, 1) of theta for 4 muons, not NoneType"),
        (
            "return hits[:, :1].numpy()",
            "must return a tensor (muon, observable), (4, 1) of theta for 4 muons, not ndarray",
        ),
        ("return torch.ones(4, 1).double() * hits[0, 0]", "(1, 1) of theta for 1 muons, not Tensor (4, 1)"),
        ("return (hits[:, :1] / dz).float()", "must return float64, as the hits are, not torch.float32"),
        (
            "return (hits[:, :1] - hits[:, :1].mean()) / dz",
            "couples muons: an observable of one muon depends on the hits",
        ),
        ("return (hits[:, :1] - hits[:, :1].mean().detach()) / dz", "couples muons"),
        (
            "return (hits[:, :1] - (hits.sum() if len(hits) > 100 else 0)) / dz",
            "couples muons: an observable of one muon is another among many muons than among few",
        ),
        (
            "return (hits[:100, :1]) / dz",
            "must return a tensor (muon, observable), (4096, 1) of theta for 4096 muons, ",
        ),
        (
            "return hits[:, :1].detach() / dz",
            "breaks the graph: its result does not depend on the hits through torch",
        ),
        (
            "return hits[:, :1].detach() / dz.detach()",
            "breaks the graph: its result does not depend on the hits through torch",
        ),
        (
            "return (hits[:, :1] + hits[:, 1:].detach()) / dz",
            "breaks the graph: the derivative of theta by the hits x1 is not what differences say",
        ),
        ("return torch.tensor(hits[:, :1].tolist()).double() / dz", "breaks the graph"),
        (
            "return hits[:, :1] / dz.detach()",
            "breaks the graph: the derivative of theta by the parameter dz is not what",
        ),
        ("hits -= 1; return hits[:, :1] / dz", "changes its hits or parameters in place: work on a copy, hits.clone()"),
        ("hits[:, 0] = 0; return hits[:, 1:] / dz", "changes its hits or parameters in place"),
        ("return hits[:, :1] / dz + torch.rand(1)", "gives another result at the second call: it must use no random"),
        ("CALLS.append(1); return hits[:, :1] / dz + len(CALLS)", "gives another result at the second call"),
    ],
)
def test_what_the_pipeline_can_not_rely_on_is_refused(body, reason):
    message = refused(check_model, model_of(BODY.format(body)), HITS)
    assert message.startswith("my_model.py:5: infer ")
    assert reason in message


@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        ("hits.clamp_(min=-9.); return hits[:, :1] / dz", 6, ": RuntimeError: changes its hits or parameters in place"),
        ("hits[hits.isnan()] = 0; return hits[:, :1] / dz", 6, ": RuntimeError: changes its hits or parameters in pl"),
        ("y = hits[:, :1].exp(); y += 1; return y / dz", 5, " changes an intermediate result in place that its deriva"),
    ],
)
def test_what_is_changed_in_place_is_told_with_what_to_write(body, line, reason):
    """Where no number changes, only torch finds it."""
    message = refused(check_model, model_of(BODY.format(body)), HITS)
    assert message.startswith(f"my_model.py:{line}: infer{reason}")
    assert "Variable" not in message


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # numpy's, of torch
@pytest.mark.parametrize("body", ["np.arctan(hits[:, :1]) / dz", "torch.from_numpy(hits.numpy()[:, :1]) / dz"])
def test_numpy_on_the_hits_is_refused_with_its_line(body):
    message = refused(check_model, model_of(BODY.format(f"return {body}")), HITS)
    assert message.startswith("my_model.py:6: infer: ")
    assert (
        "NumPy breaks the graph, so that the hits have no derivatives; compute with torch instead (in: ret" in message
    )
    assert "detach" not in message


@pytest.mark.parametrize(
    "body",
    [
        "return hits[:, :1].abs() / dz",  # a kink
        "return torch.atan2(hits[:, 1:], hits[:, :1]) * dz",
        "return (hits[:, :1] / 0.02).round() * 0.02 + 0 * dz",  # derivatives of 0, as differences have them
        "return torch.where(hits[:, :1] > 0.5, float('nan'), hits[:, 1:].exp()) * dz",
        "return hits[:, :1] * int(dz * 6)",  # a count, which 3 is
        "return 1e6 + hits[:, :1] / dz",
        "return 1e-9 * hits[:, :1].sin() / dz",
        "return hits[:, :1] + (dz - 0.5)**2",  # flat at the parameter's own value
        "hits = hits.clone(); hits[:, 0] -= 1; return hits[:, :1] / dz",
    ],
)
def test_what_is_right_passes(body):
    check_model(model_of(BODY.format(body)), HITS)
    check_model(model_of(BODY.format(body)), HITS[:1])
    check_model(model_of(BODY.format(body)), HITS[:0])


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1e3, 0.0), (1e-3, 1000.0)])
def test_any_scale_of_hits_will_do(scale, offset):
    hits = HITS * scale + offset
    body = f"return ((hits[:, :1] - {offset}) * {1 / scale}).sin() * dz + {{}} * (hits[:, 1:] - {offset}).detach()"
    check_model(model_of(BODY.format(body.format(0.0))), hits)
    assert "by the hits x1" in refused(check_model, model_of(BODY.format(body.format(0.1 / scale))), hits)


def test_hits_that_differ_by_little_more_than_rounding_are_checked_too():
    hits = HITS * 1e-9 + 1000
    check_model(model_of(BODY.format("return hits[:, :1] * dz")), hits)
    lost = BODY.format("return hits[:, :1] * dz + hits[:, 1:].detach()")
    assert "by the hits x1" in refused(check_model, model_of(lost), hits)


def test_any_scale_of_parameters_will_do():
    for dz in (1e-9, 0.0, 1e6, [1e-9, 0.0, -5.0]):
        check_model(
            model_of(BODY.format("return hits[:, :1] + (dz + (1 + dz**2).log()).sum()"), parameters={"dz": dz}), HITS
        )
    lost = BODY.format("return hits[:, :1] * (dz[0] + dz[1].detach())")
    assert "by the parameter dz" in refused(check_model, model_of(lost, parameters={"dz": [1.0, 1e-9]}), HITS)


def test_a_muon_on_a_kink_passes():
    check_model(model_of(BODY.format("return hits[:, :1].abs() / dz")), torch.zeros(5, 2, dtype=torch.float64))


def test_it_takes_numpy_hits_and_passes_over_those_that_are_not_finite():
    hits = HITS.numpy().copy()
    hits[0] = np.nan
    hits[1] = np.inf
    check_model(model_of(BODY.format("assert hits.isfinite().all(); return hits[:, :1] / dz")), hits)


def test_a_built_in_model_passes():
    check_model(load_model(OneHit()), torch.ones(3, 1, dtype=torch.float64))


def test_missing_hits_must_not_spoil_derivatives():
    mean = "n = hits.isfinite(); return torch.where(n, {}, 0.0).sum(1, keepdim=True) / n.sum(1, keepdim=True) * dz"
    bad = model_of(BODY.format(mean.format("hits.exp()")), missing=True)
    message = refused(check_model, bad, HITS)
    assert message.startswith(
        "my_model.py:5: infer has theta without the hit x0, but derivatives that are NaN: replace the NaN of a missing"
    )
    check_model(model_of(BODY.format(mean.format("hits.nan_to_num().exp()")), missing=True), HITS)
    holes = torch.where(torch.eye(4, 2, dtype=torch.bool) | (torch.arange(4) > 1)[:, None], float("nan"), HITS)
    assert "without the hit x0" in refused(check_model, bad, holes)  # no muon has all hits
    check_model(model_of(SLOPE, missing=True), HITS)  # no value without both, and none is claimed


COVARIANCE = (
    SLOPE
    + """
    def blur(hits, dz):
        {}
"""
)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "return dz",
            "must return a tensor (coordinate, coordinate) or (muon, coordinate, coordinate), (2, 2) or (4, 2, 2)",
        ),
        ("return hits", "for 4 muons, not Tensor (4, 2)"),
        ("return torch.eye(2) * 1e-4", "must return float64"),
        (
            "return -dz * torch.eye(2, dtype=hits.dtype)",
            "returns what is not a covariance: covariance at coordinate 0 has a negative variance",
        ),
        (
            "return dz * torch.ones(2, 2).double().triu()",
            "returns what is not a covariance: covariance at coordinate 0, coordinate 1 is not symmetric",
        ),
        ("return dz * torch.full((2, 2), float('nan')).double()", "is not finite"),
        ("return dz * hits.abs().sum() * torch.eye(2).double()", "couples muons"),
        ("return dz * (1 + (len(hits) > 100)) * torch.eye(2).double()", "couples muons"),
        (
            "return dz.detach() * torch.eye(2).double()",
            "breaks the graph: the derivative of the covariance by the parameter",
        ),
        ("hits *= 2; return dz * torch.eye(2).double()", "changes its hits"),
        ("return dz * torch.rand(1).double() * torch.eye(2)", "gives another result at the second call"),
    ],
)
def test_what_is_no_covariance_is_refused(body, reason):
    message = refused(check_model, model_of(COVARIANCE.format(body), covariance="blur"), HITS)
    assert message.startswith("my_model.py:7: blur ")
    assert reason in message


@pytest.mark.parametrize("body", ["return dz", "return numpy.eye(2)", "return -dz * torch.eye(2, dtype=hits.dtype)"])
def test_what_is_no_covariance_is_refused_before_hits_are_smeared_by_it(tmp_path, body):
    write(COVARIANCE.format("import numpy; " + body))
    raw = {"study": "s", "source": {"muons": 20}, "model": section(covariance="blur").model_dump()}
    batch = next(iter(Study.from_config(raw).batches.values()))
    steps.simulate_hits(batch.of_kind("truth"), tmp_path / "truth.h5")
    message = refused(steps.smear_hits, batch.of_kind("reco"), tmp_path / "truth.h5", tmp_path / "reco.h5")
    assert message.startswith("my_model.py:7: blur ")


def test_an_own_covariance():
    per_muon = "return (dz * hits[:, 0]**2)[:, None, None] * torch.eye(2, dtype=hits.dtype)"
    for body in (per_muon, "return dz * torch.eye(2, dtype=hits.dtype)"):
        model = model_of(COVARIANCE.format(body), covariance="blur")
        assert model.covariance_uses == ("dz",)
        check_model(model, HITS)
        check_model(model, HITS[:2])  # as many muons as coordinates


def test_what_only_a_large_company_shows_is_refused_with_its_line_by_every_step(tmp_path):
    code = BODY.format("return (hits[:, :1] + (hits.mean() if len(hits) > 5000 else 0)) / dz")
    write(code)
    raw = {
        "study": "s",
        "source": {"muons": 6000},
        "model": section().model_dump(),
        "toys": {"muons": 20, "per_muon": 100},
    }
    expected = "my_model.py:5: infer couples muons: an observable of one muon depends on the hits of another, so a "
    assert refused(Run(raw, tmp_path / "run").make) == expected + "Jacobian muon by muon would be wrong"
    assert not (tmp_path / "run" / "sigma").exists() or not list((tmp_path / "run" / "sigma").iterdir())
    target = Study.from_config({**raw, "target": {"sigma_theta": 0.01, "vary": "model.dz"}})
    assert refused(find_target, target, tmp_path / "target.json").startswith(expected)
    assert not (tmp_path / "target.json").exists()


# Folds

FOLDS = """
    import torch

    def infer(hits):
        tx, ty = (hits[:, :2] - hits[:, 2:]).unbind(1)
        other = hits[:, 0]
        size = torch.sqrt(tx**2 + ty**2)
        return torch.stack([{expression}, tx, ty], dim=1)
"""


def folding_model(expression, folds, **observable):
    observables = [{"name": "o", "unit": "1", "folds": folds, **observable}]
    observables += [{"name": name, "unit": "1", "fold": "none"} for name in ("tx", "ty")]
    code = FOLDS.replace("{expression}", expression)
    return model_of(code, coordinates=["x0", "y0", "x1", "y1"], parameters={}, observables=observables)


FOUR = torch.tensor(np.random.default_rng(1).normal(size=(8, 4)))
DEGREES = "torch.atan2(ty, tx) * 180 / torch.pi"


@pytest.mark.parametrize(
    ("expression", "folds", "observable"),
    [
        ("size", ["tx", "ty"], {}),
        ("size.atan()", ["ty", "tx"], {}),
        ("size**2 - 1", ["tx", "ty"], {}),
        ("tx.abs()", ["tx"], {}),
        ("torch.log(1 + ty**2)", ["ty"], {}),
        ("torch.atan2(ty, tx)", ["tx", "ty"], {"period": 2 * np.pi}),
        (DEGREES, ["tx", "ty"], {"period": 360}),
        (DEGREES + " % 360", ["tx", "ty"], {"period": 360}),
    ],
)
def test_folds_that_are_right(expression, folds, observable):
    check_model(folding_model(expression, folds, **observable), FOUR)


SUM = "is not a function of √(tx² + ty²) alone"


@pytest.mark.parametrize(
    ("expression", "folds", "observable", "expected"),
    [
        ("size + 1e-4 * other", ["tx", "ty"], {}, SUM),
        ("torch.sqrt(tx**2 + 1.01 * ty**2)", ["tx", "ty"], {}, SUM),
        ("tx.abs() + ty.abs()", ["tx", "ty"], {}, SUM),
        ("tx.abs()", ["tx", "ty"], {}, SUM),
        ("size", ["tx"], {}, "is not a function of |tx| alone"),
        ("tx * 2", ["tx"], {}, "is not a function of |tx| alone"),
        ("1 / (1 + size)", ["tx", "ty"], {}, "does not increase with √(tx² + ty²)"),
        ("torch.cos(tx)", ["tx"], {}, "does not increase with |tx|"),
        ("torch.atan2(tx, ty)", ["tx", "ty"], {"period": 2 * np.pi}, "is not the azimuth atan2(ty, tx)"),
        (
            "torch.atan2(ty, tx)",
            ["tx", "ty"],
            {"period": 360},
            "is not the azimuth atan2(ty, tx), in units of its period",
        ),
    ],
)
def test_folds_that_are_wrong(expression, folds, observable, expected):
    message = refused(check_model, folding_model(expression, folds, **observable), FOUR)
    assert message.startswith("my_model.py:3: infer returns o that ")
    assert expected in message
    assert message.endswith("model.observables has folds of " + " and ".join(folds) + ": correct one of them")


def test_declared_folds_give_the_intervals_of_the_built_in_construction():
    """|x1 − x0| of an own model, with its fold and without, against the quantiles of the folded normal distribution."""
    code = SLOPE.replace("torch.atan2(x1 - x0, dz)[:, None]", "torch.stack([(x1 - x0).abs(), x1 - x0], dim=1)")
    observables = [{"name": "o", "unit": "m"}, {"name": "s", "unit": "m", "fold": "none"}]
    found = {}
    for name, folds in (("declared", ["s"]), ("undeclared", [])):
        observables[0]["folds"] = folds
        model = model_of(code, observables=observables)
        infer = Inference(model, parameters_of(model, {"resolution": 2**0.5}))
        found[name] = quote(infer, HITS, sigma=0.5**0.5).confidence68[:, 0]
    expected = one_direction((HITS[:, 1] - HITS[:, 0]).abs())[:, 0]
    torch.testing.assert_close(found["declared"], expected, rtol=1e-9, atol=1e-12)
    assert (found["undeclared"] - expected).abs().max() > 0.1


# The config


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"coordinates": []}, "at least 1 item"),
        ({"observables": []}, "at least 1 item"),
        ({"coordinates": ["x 0"]}, "coordinates: 'x 0' is not a name in Python"),
        ({"coordinates": ["x", "x"]}, "coordinates: duplicate name 'x'"),
        ({"coordinates": ["x", {"name": "y", "layer": 1}]}, "coordinates: give all of them a layer, counted from 0"),
        ({"coordinates": [{"name": "y", "layer": 1}]}, "coordinates: give all of them a layer, counted from 0"),
        ({"observables": [{"name": "class", "unit": "m"}]}, "observables: 'class' is not a name in Python"),
        (
            {"observables": [{"name": "a", "unit": "m", "fold": "b"}]},
            "observables: a: fold is 'b', no observable; allowed: a",
        ),
        (
            {"observables": [{"name": "a", "unit": "m"}, {"name": "sigma_a", "unit": "m"}]},
            "observables: sigma_a is the name of a result of a",
        ),
        (
            {"observables": [{"name": "a", "unit": "m", "folds": ["b"]}]},
            "observables: a: folds has 'b'; it names other observables, without folds or period; there is no other",
        ),
        (
            {"observables": [{"name": "a", "unit": "m", "folds": ["a"]}, {"name": "b", "unit": "m"}]},
            "observables: a: folds has 'a'; it names other observables, without folds or period; allowed: b",
        ),
        (
            {"observables": [{"name": "a", "unit": "m", "folds": ["b", "b"]}, {"name": "b", "unit": "m"}]},
            "observables: a: folds has 'b' twice; two directions are two observables",
        ),
        (
            {"observables": [{"name": "a", "unit": "m", "folds": ["b"], "period": 1}, {"name": "b", "unit": "m"}]},
            "observables: a: folds must name two observables for an angle with a period, which is their azimuth",
        ),
        (
            {"observables": [{"name": "a", "unit": "m", "folds": ["b"], "fold": "none"}, {"name": "b", "unit": "m"}]},
            "observables: a: folds names observables that fold into it, but fold is none; leave one of the two out",
        ),
        ({"observables": [{"name": "a", "unit": "m", "folds": "b"}]}, "a valid list"),
        (
            {"parameters": {"a": "1e5"}},
            "a is '1e5'; it must be a finite number or a list of them (YAML takes it for text",
        ),
        ({"parameters": {"a": True}}, "a is True; it must be a finite number"),
        ({"parameters": {"a": []}}, "a is []; it must be a finite number"),
        ({"parameters": {"a": [1.0, float("nan")]}}, "a is [1.0, nan]; it must be a finite number"),
        ({"parameters": {"a": None}}, "a is None; it must be a finite number"),
        ({"parameters": {"a-b": 1.0}}, "parameters: 'a-b' is not a name in Python"),
        ({"parameters": {"file": 1.0}}, "parameters: 'file' has a meaning of its own in model"),
        ({"parameters": {"hits": 1.0}}, "parameters: 'hits' has a meaning of its own in model"),
        ({"parameters": {"resolution": 1.0}}, "parameters: 'resolution' belongs to the detector: leave it out"),
        ({"units": {"dzz": 1}}, "units: 'dzz' is not a parameter; did you mean dz?"),
        ({"units": {"dzz": "m"}}, "units: 'dzz' is not a parameter; did you mean dz?"),
        ({"function": "a.b"}, "'a.b' is not a name in Python"),
        ({"draw": "import"}, "'import' is not a name in Python"),
        ({"nonsense": 1}, "Extra inputs are not permitted"),
    ],
)
def test_mistakes_in_the_section_are_refused(change, expected):
    with pytest.raises(ValidationError) as caught:
        section(**change)
    (error,) = caught.value.errors()
    assert expected in error["msg"]


def test_a_formula_that_figures_cannot_show_is_refused():
    section(observables=[{"name": "a", "unit": "rad", "symbol": r"$\theta_0$"}])
    with pytest.raises(ValidationError, match="is not a formula that figures can show"):
        section(observables=[{"name": "a", "unit": "rad", "symbol": r"$\frac{1$"}])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["muon"], "muon: the result muon exists already; choose another name"),
        (["toys"], "toys: the result toys exists already"),
        (["covariance"], "the result covariance exists already"),
        (["x"], "x: the result x_true exists already"),  # that of the true hits
        (["a", "interval68_a"], "interval68_a is the name of a result of a"),
        (["a", "shared_a"], "the result sigma_shared_a exists already"),
    ],
)
def test_observables_must_not_have_the_names_of_results(names, expected):
    with pytest.raises(ValidationError, match=expected):
        section(observables=[{"name": name, "unit": "m"} for name in names])


def test_the_names_of_results_are_those_that_are_written():
    written = (
        *columns.QUOTED.values(),
        *columns.TRUE_LINEAR.values(),
        *columns.BUDGET.values(),
        *columns.SHARED.values(),
        *columns.DISTANCES.values(),
    )
    assert {each.name.format(name="{}") for each in written} | {"{}_true"} == {*RESULTS_OF}


def test_the_schema_knows_the_example():
    import jsonschema

    schema = Own.model_json_schema()
    jsonschema.validate(example()["model"], schema)
    jsonschema.validate({**example()["model"], "coordinates": [{"name": "x0", "unit": "m"}]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**example()["model"], "coordinates": [{"name": "x0", "units": "m"}]}, schema)


def test_a_coordinate_may_be_its_name_alone():
    assert section().coordinates[0].model_dump() == {"name": "x0", "unit": "m", "long_name": "", "layer": None}


# The example


def example(name="own_model"):
    return yaml.safe_load((PROJECT / "config" / f"{name}.yaml").read_text())


@pytest.fixture
def magnet(monkeypatch):
    monkeypatch.chdir(PROJECT)
    return load_model(Own.model_validate(example()["model"]))


def test_the_example_infers_the_momentum_that_it_draws(magnet):
    hits = magnet.generate(random_stream(1, "truth"), 500, SOURCE)
    check_model(magnet, hits)
    value = magnet.infer(torch.from_numpy(hits), **magnet.parameters).numpy()
    q_over_p = random_stream(1, "truth").uniform(-0.5, 0.5, 500)
    np.testing.assert_allclose(value[:, 1], q_over_p, rtol=0, atol=1e-12)
    # The sagitta of a gentle bend over L is 0.3 B L² / (8 p), in this view over the cube of the cosine.
    steep = np.cos(np.arctan(hits[:, 2] - hits[:, 0])) ** 3
    np.testing.assert_allclose(value[:, 0] * steep, 0.299792458 * q_over_p / 8, rtol=0.02)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e-9, 1e-9), st.floats(-1e3, 1e3))
def test_the_example_is_sound_where_a_track_is_straight_and_far(bend, far):
    """Against the parabola, which a gentle bend is: without loss of digits, and with no 0/0."""
    folder = str(PROJECT / "examples/magnet.py")
    raw = {**example()["model"], "file": folder, "name": "own"}
    magnet = load_model(Own.model_validate(raw))
    hits = torch.tensor([[far, far - bend, far]], dtype=torch.float64)
    value = magnet.infer(hits, **magnet.parameters)
    actual = (hits[0, 0] - hits[0, 1]).item()  # what is left of the bend at that distance
    assert value[0, 0].item() == pytest.approx(actual, rel=1e-12, abs=1e-300)
    assert value[0, 1].item() == pytest.approx(8 * actual / 0.299792458, rel=1e-12, abs=1e-300)


def test_the_uncertainty_of_the_example_is_that_of_its_toys(magnet):
    """Toys are thrown here by hand, muon by muon, with the scattering in the last layer."""
    hits = torch.from_numpy(magnet.generate(random_stream(1, "truth"), 5, SOURCE))
    infer = partial(magnet.infer, **magnet.parameters)
    added = magnet.covariance(hits, **magnet.parameters)
    cov = torch.eye(3, dtype=torch.float64) * 0.0002**2 + added
    assert (added[:, 2, 2] > 0).all()
    # Highland: θ₀ = 0.0136 GeV / p √t (1 + 0.038 ln t), over half a metre.
    p = 1 / infer(hits)[:, 1].abs()
    theta0 = 0.0136 / p * 0.005**0.5 * (1 + 0.038 * np.log(0.005))
    torch.testing.assert_close(added[:, 2, 2].sqrt(), theta0 * 0.5, rtol=1e-12, atol=0)
    z = torch.from_numpy(random_stream(2, "toys").standard_normal((40_000, 5, 3)))
    z = z * cov.diagonal(dim1=1, dim2=2).sqrt()
    toys = infer((hits + z).reshape(-1, 3)).reshape(40_000, 5, 2)
    torch.testing.assert_close(
        propagate(infer, hits, covariance=cov).sigma, toys.std(dim=0), rtol=4 / 80_000**0.5, atol=0
    )


def test_the_example_runs(tmp_path, monkeypatch):
    """The config that ships, smaller."""
    monkeypatch.chdir(PROJECT)
    raw = example()
    raw["source"]["muons"] = 3000
    raw["toys"] = {"muons": 60, "per_muon": 2000}
    run = Run(raw, tmp_path / "out").make()
    assert len(run.study.points) == 3
    assert run.outputs.validation.exists()


def blocks(language: str) -> list[str]:
    """What the page on models shows in a language."""
    page = (PROJECT / "docs/models.md").read_text(encoding="utf-8")
    return [block.split("```")[0] for block in page.split(f"```{language}\n")[1:]]


def test_the_ten_lines_of_the_page_on_models_are_right():
    shown = {}
    exec(compile(blocks("python")[0], "docs/models.md", "exec"), shown)
    np.testing.assert_allclose(shown["quoted"].sigma[:, 0], [0.0244, 0.0116], atol=5e-5)
    np.testing.assert_allclose(shown["toys"].sd, shown["quoted"].sigma, rtol=4 / 20_000**0.5)


def test_the_models_of_the_page_are_right():
    _, simple, missing, draw, covariance, fit, _ = blocks("python")
    Path("my_model.py").write_text("\n".join([simple, draw, covariance]), encoding="utf-8")
    raw = {"name": "own", **yaml.safe_load(blocks("yaml")[0])["model"]}
    added = {"draw": "draw", "covariance": "covariance", "parameters": {"dz": 0.5, "theta0": 0.01}}
    for each in (raw, {**raw, **added}):
        model = load_model(Own.model_validate(each))
        check_model(model, model.generate(random_stream(1, "truth"), 20, SOURCE))
    write(f"{simple}\n{fit}")
    line = section(coordinates=["x0", "x1", "x2"], fitted="fitted", parameters={"dz": 0.5, "z": [0.0, 0.5, 1.0]})
    hits = torch.tensor([[0.0, 0.6, 1.0], [0.2, 0.1, 0.3]]).double()
    check_fit_functions(load_model(line), hits)
    expected = [np.polyval(np.polyfit([0.0, 0.5, 1.0], each, 1), [0.0, 0.5, 1.0]) for each in hits.numpy()]
    np.testing.assert_allclose(load_model(line).fitted(hits, z=torch.tensor([0.0, 0.5, 1.0]).double()), expected)
    write(missing)
    model = load_model(section(coordinates=["a", "b", "c"], parameters={"z": [1000.0, 1000.5, 1001.0]}, missing=True))
    hits = torch.tensor([[0.0, 0.5, 1.0], [float("nan"), 0.5, 1.0], [float("nan"), 0.5, float("nan")]]).double()
    check_model(model, hits)
    value = model.infer(hits, **model.parameters)[:, 0]
    np.testing.assert_allclose(value, [np.pi / 4, np.pi / 4, np.nan], rtol=1e-14)


def test_the_plane_of_the_page_is_where_the_line_is():
    write(blocks("python")[-1])
    (shown,) = [yaml.safe_load(block) for block in blocks("yaml") if "plane" in block]
    model = load_model(section(**shown, coordinates=["x0", "x1", "x2", "x3"]))
    hits = torch.tensor([[0.0, 0.6, 1.0, 0.3], [0.2, 0.1, 0.3, 0.0]]).double()
    check_model(model, hits)
    z = model.parameters["z"]
    expected = [np.polyval(np.polyfit(z, each, 1), 0.06) for each in hits.numpy()]
    np.testing.assert_allclose(model.infer(hits, **model.parameters)[:, 1], expected, rtol=1e-12)


def test_the_error_that_the_page_shows_is_what_is_said():
    page = (PROJECT / "docs/models.md").read_text(encoding="utf-8")
    (shown,) = [line.strip() for line in page.splitlines() if line.startswith("    my_model.py:")]
    Path("my_model.py").write_text(blocks("python")[1].replace("unbind", "unbnd"))
    assert refused(partial(load_model(section()).infer, HITS, dz=0.5)) == shown


def test_an_infinite_observable_beside_a_backward_pass_of_ones_own(tmp_path):
    """torch has no forward pass of it, which must not be told as a mistake of the file: σ stays NaN."""
    model = model_of(
        """
        import torch

        class Doubled(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return 2 * x

            @staticmethod
            def backward(ctx, gradient):
                return 2 * gradient

        def infer(hits):
            x0, x1 = hits.unbind(1)
            return torch.stack([1 / x0, Doubled.apply(x0 + x1)], dim=1)
        """,
        observables=[{"name": "a", "unit": "1"}, {"name": "b", "unit": "m"}],
        parameters={},
    )
    found = propagate(model.infer, torch.tensor([[0.0, 0.3], [0.5, 0.1]], dtype=torch.float64), covariance=1e-4).sigma
    assert found.isnan().tolist() == [[True, True], [False, False]]
