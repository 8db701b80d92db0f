import numpy as np
import pytest
from scipy import integrate, stats

from pullback.statistics.feldman_cousins import intervals
from pullback.statistics.fold_construction import unequal_widths, write_fold_tables
from pullback.statistics.fold_tables import (
    RATIOS,
    UNEQUAL_WIDTHS,
    WHOLE_CIRCLE,
    distances,
    entries_across,
    entries_along,
    equal_widths,
    read_table,
)

P68, P95 = 0.6827, 0.95


@pytest.mark.parametrize("components", [1, 2])
def test_the_tables_are_those_of_the_construction(components):
    some = np.r_[0, 1, 7, 256, 370, 511, 1024, 3072]
    for index, level in enumerate((P68, P95)):
        expected = intervals(distances()[some], components, level)
        np.testing.assert_allclose(read_table(equal_widths(components))[some, index], expected, rtol=3e-7, atol=1e-12)


def test_the_whole_circle_makes_the_coverage_of_the_azimuth_nominal_at_the_fold():
    """There, s has any azimuth with equal probability, and its interval ± asin(z/D), or the whole circle."""
    for level, distance in zip((P68, P95), read_table(WHOLE_CIRCLE), strict=True):
        z = stats.norm.isf((1 - level) / 2)
        share, _ = integrate.quad(lambda d, z=z: stats.rayleigh.pdf(d) * np.arcsin(z / d) / np.pi, distance, 40)
        assert stats.rayleigh.cdf(distance) + share == pytest.approx(level, abs=1e-8)


@pytest.mark.parametrize("index", [0, 1])
def test_the_table_of_unequal_widths_is_that_of_the_construction(index):
    """The construction ends in a search, which may stop elsewhere with other libraries."""
    found = unequal_widths(RATIOS[:2], (P68, P95)[index])[1].numpy()
    committed = read_table(UNEQUAL_WIDTHS)[1][..., 2 * index : 2 * index + 2]
    assert np.quantile(np.abs(found - committed), 0.99) < 0.01


def test_the_table_of_unequal_widths_begins_with_equal_ones():
    x, y = entries_along()[:30:7], entries_across(1.0)[:40:9]
    t = np.hypot(x[:, None], y)
    entries = read_table(UNEQUAL_WIDTHS)[0, :30:7, :40:9]
    for index, level in enumerate((P68, P95)):
        expected = intervals(t.ravel(), 2, level).reshape(*t.shape, 2)
        squares = t[..., None] ** 2 + entries[..., 2 * index : 2 * index + 2] * np.sqrt(1 + t[..., None] ** 2)
        np.testing.assert_allclose(np.sqrt(squares.clip(min=0)), expected, atol=0.003)


def test_the_command_writes_the_tables(tmp_path, monkeypatch):
    construction = "pullback.statistics.fold_construction"
    monkeypatch.setattr(f"{construction}.TABLE_FILE", tmp_path / "tables.npz")
    monkeypatch.setattr(f"{construction}.distances", lambda: np.arange(13) / 8)
    monkeypatch.setattr(f"{construction}.RATIOS", np.array([1.0]))
    monkeypatch.setattr(f"{construction}.entries_along", lambda: entries_along()[:3])
    monkeypatch.setattr(f"{construction}.entries_across", lambda ratio: entries_across(ratio)[:3])
    write_fold_tables()
    with np.load(tmp_path / "tables.npz") as written:
        np.testing.assert_allclose(written[equal_widths(2)], read_table(equal_widths(2))[:385:32], rtol=1e-6)
        np.testing.assert_allclose(written[WHOLE_CIRCLE], read_table(WHOLE_CIRCLE), rtol=1e-9)
        assert written[UNEQUAL_WIDTHS].shape == (1, 3, 3, 4)
        upper = [1, 3]  # lower ends are continued below 0 from where they begin, which few distances don't tell
        expected = read_table(UNEQUAL_WIDTHS)[:1, :3, :3, upper]
        np.testing.assert_allclose(written[UNEQUAL_WIDTHS][..., upper], expected, atol=2e-3)
