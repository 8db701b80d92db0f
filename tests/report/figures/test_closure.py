import numpy as np
from pictured import draw


def test_muons_with_layers_without_hits_are_named_and_coloured(telescope):
    top = draw(telescope.run, "sigma").axes[0]
    shown = {each.get_label(): each for each in top.lines}
    muon = telescope.columns["toys/muon"]
    hits = telescope.hits[muon].reshape(len(muon), 2, 4)
    missing = np.isnan(hits).any(axis=1).sum(axis=1)
    names = ("hits in all layers", "1 layer without a hit", "2 or more layers without")
    assert 0 < (missing > 0).sum() < len(missing)
    colours = set()
    for number, name in enumerate(names):
        which = missing >= number if number == 2 else missing == number
        line = shown.get(f"quoted σ, {name}")
        drawn = np.sort(line.get_ydata()) if line else []
        np.testing.assert_array_equal(drawn, np.sort(telescope.columns["sigma_theta"][muon[which]]))
        colours |= {line.get_color()} if line else set()
    assert len(colours) == len([name for name in names if f"quoted σ, {name}" in shown])
