"""Results on a GPU, on one that is only pretended, and what is said where there is none."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from configs import load
from pretend_gpu import OnGpu, PretendGpu
from running import PROJECT, SMALL, Workflow, slow
from scipy.stats import ks_2samp

from pullback import (
    Gaussian,
    PullbackError,
    adaptive_toys,
    propagate,
    propagate_distribution,
    quote,
    random_stream,
    run_toys,
    second_order,
    steps,
)
from pullback.config.model_schema import OneHit, Scatter, Track, Track3d
from pullback.detector.bound_model import Inference, parameters_of
from pullback.detector.response import Response
from pullback.models import load_model
from pullback.store import artefact
from pullback.study.plan import Study
from pullback.uncertainty import device, linear
from pullback.uncertainty.device import DeviceGenerator, device_of
from pullback.uncertainty.toys import ToySetup, throw_toys

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CPU = torch.device("cpu")

MODELS = {
    "one_hit": OneHit(),
    "track": Track(theta0=0.001),
    "track3d": Track3d(z=[0.0, 1.0]),
    "scatter": Scatter(z_upper=[0.6, 1.0], z_lower=[-0.6, -1.0]),
}


def inference(name, where):
    model = load_model(MODELS[name])
    return Inference(model, parameters_of(model, {"resolution": 1000.0}, where))


def hits_of(name, where, muons=40):
    """Tracks at all angles, some of them next to a fold, and one muon without a finite hit."""
    model = load_model(MODELS[name])
    rng = random_stream(1, "truth")
    hits = rng.normal(0.0, 0.3, (muons, len(model.coordinates)))
    hits[::4] *= 0.001
    hits[5] = np.nan
    return torch.from_numpy(hits).to(where)


def results(name, where):
    """What the library says of a few muons whose tensors are in one place, by name."""
    infer, hits = inference(name, where), hits_of(name, where)
    rngs = [random_stream(1, "toys", muon) for muon in range(len(hits))]
    inputs = [Gaussian(centre, 0.001) for centre in hits[:3].cpu().numpy().T]
    root = torch.diag_embed(torch.full_like(hits[:1], 0.001))
    few = partial(throw_toys, [ToySetup(infer, hits[:3], 0.0, root), ToySetup(infer, hits[:3], 0.002, None)], 20_000)
    # Moments to second order of what has a fold in several dimensions are infinite at it.
    found = {"second_order": second_order(infer, hits[1::2], covariance=1e-6)} if name == "one_hit" else {}
    return found | {
        "propagate": propagate(infer, hits, covariance=1e-6),
        "quote": quote(infer, hits, covariance=1e-6),
        "spread": propagate_distribution(infer, hits, covariance=1e-6, screen=False),
        "adaptive_toys": adaptive_toys(infer, inputs, random_stream(3, "toys"), most=30_000, device=where),
        "run_toys": run_toys(infer, hits, sigma=0.001, toys=300, rng=random_stream(2, "toys")),
        "throw_toys": few(rngs[:3])[0],
        "adaptive": few(rngs[3:6], n_dig=1)[1],
    }


def assert_close(found, expected):
    """On the GPU, and equal to 1e-9 of the greatest number of each column; an error, of what it is one of."""
    for name, values in expected.items():
        columns = values._asdict()
        for field, value in columns.items():
            other = getattr(found[name], field)
            assert other.device.type == "cuda", (name, field)
            other, value = other.cpu().double(), value.double()
            sizes = columns.get(field.removesuffix("_error"), value).double()
            scale = float(sizes[torch.isfinite(sizes)].abs().amax()) if torch.isfinite(sizes).any() else 0.0
            said = partial("{} {}: {}".format, name, field)
            torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-9 * scale, equal_nan=True, msg=said)


@pytest.mark.parametrize("name", ["one_hit", "track", slow("track3d"), slow("scatter")])
def test_nothing_is_mixed_with_the_cpu(name, monkeypatch):
    monkeypatch.setattr(linear, "MUONS_AT_A_TIME", 32 * len(load_model(MODELS[name]).coordinates))
    expected = results(name, CPU)
    with PretendGpu():
        found = results(name, torch.device("cuda"))
        assert_close(found, expected)


@needs_gpu
@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_has_the_results_of_the_cpu(name):
    assert_close(results(name, torch.device("cuda")), results(name, CPU))


def test_what_is_pretended_refuses_what_a_gpu_refuses():
    there = PretendGpu()
    with there:
        here, gpu = torch.ones(3), torch.ones(3, device="cuda")
        assert gpu.device.type == gpu.to(torch.float64).device.type == torch.zeros_like(gpu).device.type == "cuda"
        assert here.device.type == gpu.cpu().device.type == "cpu"
        for mixed in (
            lambda: here + gpu,
            lambda: torch.cat([gpu, here]),
            lambda: gpu.gather(0, torch.arange(3)),
            lambda: here[gpu > 0],
            lambda: gpu.__setitem__(slice(None), here),
            lambda: torch.sub(gpu, 1, out=here),
        ):
            with pytest.raises(RuntimeError, match="cuda:0"):
                mixed()
        for plain in (gpu.numpy, lambda: np.asarray(gpu), lambda: np.ones(3) * gpu):
            with pytest.raises(TypeError, match="numpy"):
                plain()
        # Numbers and indices may be the CPU's.
        assert type(gpu[torch.arange(2)] * torch.tensor(2.0)) is OnGpu
        assert isinstance(gpu.numpy(force=True), np.ndarray)
        assert type(torch.sort(gpu).values) is OnGpu


STUDIES = {
    "one_hit": {"scan": {"detector.resolution": [50, 100]}, "systematics": {"model.dz": 0.01}},
    "track": {
        "model": {"name": "track", "theta0": 0.001},
        "detector": {"resolution": 1000, "efficiency": 0.8, "noise": "tails"},
        "systematics": {
            "alignment.x[1]": 0.001,
            "model.z[1]": 0.001,
            "correlations": {"alignment.x[1], model.z[1]": 0.5},
        },
    },
    "scatter": {"model": {"name": "scatter"}, "detector": {"resolution": 5000}, "source": {"muons": 60}},
    "adaptive": {"toys": {"mode": "adaptive", "muons": 5, "most": 30_000}, "detector": {"noise": "clipped"}},
    "own": {
        "model": {
            "file": str(PROJECT / "examples/magnet.py"),
            "coordinates": ["x0", "x1", "x2"],
            "observables": [{"name": name, "unit": "1", "fold": "none"} for name in ("sagitta", "q_over_p")],
            "parameters": {"B": 1.0, "z": [1.0, 0.5, 0.0]},
            "draw": "draw",
            "covariance": "covariance",
        },
        "detector": {"resolution": 5000},
    },
    "recorded": {
        "model": {"name": "track", "z": [0.0, 0.5, 1.0]},
        "source": {
            "kind": "recorded",
            "file": "hits.csv",
            "sigma": {"x0": "s", "x1": "s"},
            "covariance": {"x0,x1": "c"},
        },
    },
}


def raw_of(name):
    common = {"study": "small", "source": {"muons": 400}, "toys": {"muons": 12, "per_muon": 300, "experiments": 100}}
    if name == "recorded":
        rows = random_stream(1, "truth").normal(0, 0.3, (50, 3))
        lines = [",".join(map(str, row)) + (",0.01,0.00002" if row[0] > 0 else ",0.02,-0.0001") for row in rows]
        Path("hits.csv").write_text("\n".join(["x0,x1,x2,s,c", *lines]) + "\n")
    return {**common, **STUDIES[name]}


def columns(raw, folder, where="cpu"):
    """Every column of the artefacts that are made from models' results, by file and name."""
    study = Study.from_config(raw)
    (whole,) = study.batches.values()
    paths = {kind: folder / f"{kind}.h5" for kind in study.kinds}
    if study.recorded:
        steps.import_hits(whole.of_kind("reco"), paths["reco"])
    else:
        steps.simulate_hits(whole.of_kind("truth"), paths["truth"])
        steps.smear_hits(whole.of_kind("reco"), paths["truth"], paths["reco"])
    steps.propagate_uncertainty(whole.of_kind("sigma"), paths["reco"], paths["sigma"], paths.get("truth"), where)
    steps.run_toys(whole.of_kind("toys"), paths["reco"], paths["toys"], where)
    found = {}
    for kind in ("sigma", "toys"):
        with artefact.open_verified(paths[kind], kind) as file:
            reader = artefact.Reader(paths[kind], file)
            for label in (part.label for part in whole.parts):
                found |= {f"{kind}/{name}": reader.rows(name) for name, _ in reader.columns(label)}
    return found


def assert_same_columns(found, expected):
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        scale = float(np.nanmax(np.abs(np.where(np.isfinite(values), values, np.nan)), initial=0.0))
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-9 * scale, err_msg=name)


@pytest.mark.parametrize("name", STUDIES)
def test_jobs_mix_nothing_with_the_cpu(name, tmp_path, monkeypatch):
    raw = raw_of(name)
    expected = columns(raw, tmp_path / "cpu")
    monkeypatch.setattr(device, "device_of", lambda wanted: torch.device(wanted))
    with PretendGpu() as gpu:
        found = columns(raw, tmp_path / "gpu", "cuda")
    assert gpu.operations > 1000
    assert_same_columns(found, expected)


def test_a_model_of_the_users_that_mixes_says_where_and_what_to_do(tmp_path, monkeypatch):
    text = (PROJECT / "examples/magnet.py").read_text()
    Path("mixed.py").write_text(text.replace("hits.new_tensor([0.0, 0.0, 1.0])", "torch.eye(3, dtype=hits.dtype)[2]"))
    raw = raw_of("own")
    raw["model"] = {**raw["model"], "file": "mixed.py"}
    columns(raw, tmp_path / "cpu")
    monkeypatch.setattr(device, "device_of", lambda wanted: torch.device(wanted))
    advice = "make them by hits.new_tensor, or set compute.device: cpu"
    with (
        PretendGpu(),
        pytest.raises(PullbackError, match=rf"^mixed\.py:46: covariance: RuntimeError: .*{advice} \(in: .*\)$"),
    ):
        columns(raw, tmp_path / "gpu", "cuda")


@needs_gpu
@pytest.mark.parametrize("name", STUDIES)
def test_jobs_on_a_gpu_write_what_those_on_the_cpu_write(name, tmp_path):
    raw = raw_of(name)
    assert_same_columns(columns(raw, tmp_path / "gpu", "cuda"), columns(raw, tmp_path / "cpu"))


@needs_gpu
def test_a_gpu_draws_its_own_toys(tmp_path):
    raw = {**raw_of("one_hit"), "compute": {"device": "cuda", "device_random": True}}
    one, again = (columns(raw, tmp_path / name, "cuda") for name in ("one", "again"))
    for name, values in one.items():
        np.testing.assert_allclose(again[name], values, rtol=1e-9, atol=1e-12, err_msg=name)


def test_auto_is_the_gpu_only_where_there_is_one(monkeypatch):
    for there, name in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device_of("auto").type == name
    assert device_of("cuda").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("the CPU needs no driver"))
    assert device_of("cpu") == CPU
    with pytest.raises(ValueError, match=r"^device is 'gpu'; it must be auto, cpu or cuda"):
        device_of("gpu")


def test_jobs_without_their_gpu_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PullbackError, match=r"^compute\.device is cuda, but torch \S+ finds no GPU on \S+; run where"):
        columns(raw_of("one_hit"), tmp_path, "cuda")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["reco.h5", "truth.h5"]
    # What made the toys is in the config, and a job can't be told otherwise.
    raw = {**raw_of("one_hit"), "compute": {"device": "cuda", "device_random": True}}
    with pytest.raises(PullbackError, match="finds no GPU"):
        columns(raw, tmp_path / "random", "cpu")
    assert not (tmp_path / "random/toys.h5").exists()


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_random_numbers_of_a_device_need_that_device(name):
    with pytest.raises(
        PullbackError, match=rf"^config: compute: device_random needs device: cuda, not {name}: [^\n]*$"
    ):
        load({"study": "s", "compute": {"device": name, "device_random": True}})


def test_the_config_of_a_result_says_where_only_if_that_made_it():
    for device_random, said in ((False, {"device_random": False}), (True, {"device": "cuda", "device_random": True})):
        config = load({"study": "s", "compute": {"device": "cuda", "device_random": device_random}})
        written = config.model_dump(mode="json")
        assert written["compute"] == {**said, "batch_cost": written["compute"]["batch_cost"], "storage": "lossless"}
        assert load(written).compute.device_random == device_random


NOISES = (
    {"kind": "gaussian"},
    {"kind": "strip", "pitch": 0.0},
    {"kind": "tails", "fraction": 0.1, "width": 4.0},
    {"kind": "clipped", "clip": 1.5},
)


@pytest.mark.parametrize("kind", NOISES, ids=lambda kind: kind["kind"])
def test_a_device_draws_every_kind_of_noise(kind):
    """The same distribution as numpy's, by Kolmogorov and Smirnov's test of two samples."""
    study, count = Study.from_config({"study": "s", "detector": {"noise": kind}}), 100_000
    response = Response(study.first_part("nominal")[0])
    ours = response.toy_deviates(DeviceGenerator(random_stream(1, "toys", 1), CPU), (count, 2))
    theirs = response.toy_deviates(random_stream(1, "toys", 2), (count, 2))
    assert ours.dtype == torch.float64
    for one, other in zip(ours.numpy().T, theirs.T, strict=True):
        assert ks_2samp(one, other).pvalue > 0.001
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / count**0.5
    assert abs(np.corrcoef(ours.numpy().T)[0, 1]) < 5 / count**0.5


@pytest.mark.parametrize("n_dig", [None, 1])
def test_toys_that_a_device_draws_are_right_and_do_not_depend_on_their_company(n_dig):
    infer, hits = inference("one_hit", CPU), torch.tensor([[0.0], [0.5], [-0.3]], dtype=torch.float64)
    throw = lambda rows: throw_toys(  # noqa: E731
        [ToySetup(infer, hits[rows], 0.01)],
        50_000,
        [DeviceGenerator(random_stream(1, "toys", muon), CPU) for muon in range(3)[rows]],
        n_dig=n_dig,
    )[0]
    together, alone = throw(slice(None)), [throw(slice(muon, muon + 1)) for muon in range(3)]
    for field in together._fields:
        assert torch.equal(getattr(together, field), torch.cat([getattr(each, field) for each in alone])), field
    exact = propagate_distribution(infer, hits, covariance=0.01**2)
    assert ((together.sd - exact.sd).abs() < 5 * together.sd_error).all()


def test_jobs_with_random_numbers_of_a_device(tmp_path, monkeypatch):
    """With the CPU in place of the GPU: other toys, as wide, and all else as it was."""
    monkeypatch.setattr(device, "device_of", lambda wanted: CPU)
    raw = raw_of("one_hit") | {"toys": {"muons": 12, "per_muon": 2000, "experiments": 100}}
    theirs, ours = (
        columns({**raw, "compute": each}, tmp_path / str(len(each)))
        for each in ({}, {"device": "cuda", "device_random": True})
    )
    other = {name for name, values in theirs.items() if values.tobytes() != ours[name].tobytes()}
    assert {name.split("/")[0] for name in other} == {"toys"}
    assert {name.split("/")[-1] for name in other} > {"toy_mean_theta", "toy_sd_theta", "pull_theta"}
    for name in other:
        if name.endswith("toy_sd_theta"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=6 / np.sqrt(2000))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study that has been run."""
    workflow = Workflow(tmp_path_factory.mktemp("done"))
    written(workflow)
    workflow.run("--cores", "1", "--configfile", "small.yaml")
    return workflow


def written(workflow, **compute):
    raw = {**SMALL, "scan": None, "compute": compute}
    (workflow.folder / "small.yaml").write_text(yaml.safe_dump(raw))


@pytest.mark.slow
def test_another_device_makes_nothing_again(done):
    for name in ("cpu", "cuda", "auto"):
        written(done, device=name)
        assert "Nothing to be done" in done.run("--cores", "1", "--configfile", "small.yaml", "--dry-run"), name


@pytest.mark.slow
def test_random_numbers_of_a_device_make_the_toys_again_and_nothing_else(done):
    written(done, device="cuda", device_random=True)
    printed = done.run("--cores", "1", "--configfile", "small.yaml", "--dry-run")
    planned = {line.split()[0] for line in printed.splitlines() if line.endswith(" 1") and len(line.split()) == 2}
    assert planned == {"run_toys", "tally", "validate", "plot", "report", "check", "all"}


@pytest.mark.slow
def test_a_workflow_without_its_gpu_says_so_in_one_line(done, tmp_path):
    shutil.copytree(done.folder, tmp_path, dirs_exist_ok=True)
    workflow = Workflow(tmp_path)
    written(workflow, device="cuda")
    for rule, lost in (("propagate_uncertainty", "sigma/nominal.h5"), ("run_toys", "toys/nominal.h5")):
        (tmp_path / "results/small" / lost).unlink()
        printed = workflow.run(f"results/small/{lost}", "--cores", "1", "--configfile", "small.yaml", expect=1)
        (line,) = [line for line in printed.splitlines() if line.startswith("pullback: ")]
        assert line.startswith(f"pullback: {rule}: compute.device is cuda, but torch {torch.__version__} finds no GPU")
        assert "Traceback" not in printed
        assert lost not in workflow.results()
