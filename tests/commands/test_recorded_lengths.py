"""What `pullback check` says of units and of dead layers, from the hits of a file."""

import numpy as np
import pytest

from pullback.commands.outlook import outlook

Z = [0.0, 0.1, 0.2, 0.3, 0.45, 0.6]
IN_MM = [1e3 * height for height in Z]
SPREAD = "of the hits of {} spread over "


@pytest.fixture
def note(tmp_path):
    """The note that is printed of recorded hits."""

    def found(hits, model, names=None, sigma="20 um", **raw):
        names = names or [f"x{layer}" for layer in range(hits.shape[1])]
        rows = [",".join("" if np.isnan(each) else repr(float(each)) for each in row) for row in hits]
        (tmp_path / "hits.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
        source = {"kind": "recorded", "file": str(tmp_path / "hits.csv"), **raw.pop("source", {})}
        config = {"study": "s", "source": source, "model": model, "detector": {"sigma": sigma}, **raw}
        lines = str(outlook(config)).splitlines()
        first = next((index for index, line in enumerate(lines) if line.startswith("note ")), None)
        if first is None:
            return ""
        last = next(index for index in range(first + 1, len(lines)) if not lines[index].startswith(" "))
        return " ".join(line.strip() for line in lines[first:last]).removeprefix("note").strip()

    return found


def hits_of(z=Z, cosmic=True, muons=120, seed=1):
    rng = np.random.default_rng(seed)
    slope = np.tan(rng.uniform(-0.8, 0.8, muons)) if cosmic else rng.normal(0, 1e-3, muons)
    at_zero = rng.uniform(-0.3, 0.3, muons) if cosmic else rng.normal(0, 5e-3, muons)
    return at_zero[:, None] + slope[:, None] * np.array(z) + 2e-5 * rng.normal(size=(muons, len(z)))


@pytest.mark.parametrize("alignment", [{}, {"alignment": {}}])
@pytest.mark.parametrize("cosmic", [False, True])
def test_a_forgotten_unit_is_asked_for(note, cosmic, alignment):
    model, hits = {"name": "track", "z": Z}, hits_of(cosmic=cosmic)
    hits += np.random.default_rng(2).normal(0, 3e-4, 6)  # layers out of place
    assert note(hits, model, **alignment) == ""
    assert "write `source.unit: mm` if the positions in the file are in mm (now m)" in note(
        1e3 * hits, model, **alignment
    )
    assert note(1e3 * hits, model, source={"unit": "mm"}, **alignment) == ""
    assert "write `source.unit: m` if" in note(hits, model, source={"unit": "mm"}, **alignment)


def test_heights_without_a_unit_are_asked_for(note):
    words = "the layers of model.z span 600 m: if the heights are in mm, write `model.z: [0 mm, 100 mm, …]`"
    assert note(hits_of(), {"name": "track", "z": IN_MM}) == words
    both = note(1e3 * hits_of(), {"name": "track", "z": IN_MM})
    assert both.count(words) == 1
    assert "`source.unit: mm`" in both
    assert "[0 mm, 8 mm, …]" in note(hits_of([0, 0.008, 0.03], cosmic=False), {"name": "track", "z": [0, 8, 30]})
    assert note(hits_of([0.0]), {"name": "one_hit", "dz": 1500}, ["x"]).endswith("write `model.dz: 1500 mm`")


def test_muons_without_residuals_are_asked_for_if_they_spread_too_far(note):
    assert SPREAD.format("x₁") in note(1e3 * hits_of([0, 0.5]), {"name": "track", "z": [0, 0.5]})
    assert SPREAD.format("x") in note(1e3 * hits_of([1.5]), {"name": "one_hit"}, ["x"])
    assert note(hits_of([0, 0.5]), {"name": "track", "z": [0, 0.5]}) == note(hits_of([1.5]), {"name": "one_hit"}, ["x"])


def test_dead_layers_are_named(note):
    model, hits = {"name": "track", "z": Z}, hits_of()
    hits[:, 2] = 0.1
    assert note(hits, model) == "all hits of x₂ are the same: a dead layer, or a wrong column in source?"
    hits[:, 2] = np.nan
    assert note(hits, model) == "no muon has a hit of x₂: a dead layer, or a wrong column in source?"
    hits[7, 2] = 0.1
    assert "no muon" not in note(hits, model)
