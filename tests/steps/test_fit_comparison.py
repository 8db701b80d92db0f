import numpy as np
import torch

from pullback.config.model_schema import Track
from pullback.detector.bound_model import parameters_of
from pullback.detector.known import Known
from pullback.detector.reconstruction import Reconstruction
from pullback.models import load_model
from pullback.steps.fit_comparison import FitComparison

Z = np.array([0.0, 0.5, 1.0, 1.4])


def test_blocks_add_up_to_the_sums_over_all_muons():
    rng = np.random.default_rng(8)
    hits = rng.normal(0, 1, (60, 1)) + rng.normal(0, 0.1, (60, 1)) * Z + rng.normal(0, 0.01, (60, 4))
    hits += 1e-3 * np.arange(60)[:, None] * [0, 1, 0, 0]  # a layer that drifts
    x, model = torch.from_numpy(hits), load_model(Track(z=Z.tolist()))
    comparison = FitComparison(Reconstruction(model, parameters_of(model, {"sigma": 0.01})))
    whole = comparison.compared(x, Known(), 0, 60)
    parts = [comparison.compared(x[start : start + 20], Known(), start, 60) for start in (0, 20, 40)]
    for name, sums in whole.sums.arrays.items():
        found = sum(part.sums.arrays[name] for part in parts)
        np.testing.assert_allclose(found, sums, rtol=1e-12, atol=1e-12 * np.abs(sums).max(), err_msg=name)
    torch.testing.assert_close(torch.cat([part.residual for part in parts]), whole.residual, rtol=0, atol=0)
    # By numpy: the residual of a hit from the line through the others.
    others = np.delete(np.arange(4), 1)
    expected = [row[1] - np.polyval(np.polyfit(Z[others], row[others], 1), Z[1]) for row in hits]
    np.testing.assert_allclose(whole.residual[:, 1], expected, rtol=1e-9, atol=1e-14)
