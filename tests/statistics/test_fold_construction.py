import numpy as np
import pytest
from scipy import integrate, stats

from pullback.statistics.feldman_cousins import intervals
from pullback.statistics.fold_construction import write_fold_tables
from pullback.statistics.fold_tables import WHOLE_CIRCLE, distances, equal_widths, read_table

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


def test_the_command_writes_the_tables(tmp_path, monkeypatch):
    monkeypatch.setattr("pullback.statistics.fold_construction.TABLE_FILE", tmp_path / "tables.npz")
    monkeypatch.setattr("pullback.statistics.fold_construction.distances", lambda: np.array([0.0, 1.5]))
    write_fold_tables()
    with np.load(tmp_path / "tables.npz") as written:
        np.testing.assert_allclose(written[equal_widths(2)], read_table(equal_widths(2))[[0, 384]], rtol=1e-6)
        np.testing.assert_allclose(written[WHOLE_CIRCLE], read_table(WHOLE_CIRCLE), rtol=1e-9)
