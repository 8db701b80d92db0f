"""Two trackers of three layers, and the scattering between them: by TomOpt, muograph and pullback.

Hits are (muon, 12): x on each layer, then y, m, from the top down; z has the heights, sigma the resolution, m.
"""


def by_tomopt(hits, z, sigma, spread, batch):
    """Scattering angle and point of closest approach by TomOpt, with its uncertainties if `spread`."""
    import numpy as np
    import torch
    from tomopt.inference import ScatterBatch
    from tomopt.muon import MuonBatch
    from tomopt.volume import DetectorPanel, PanelDetectorLayer, PassiveLayer, Volume
    from torch import nn

    lw = torch.tensor([4.0, 4.0])

    def detector(pos, heights):
        panels = [
            DetectorPanel(res=1 / sigma, eff=1.0, init_xyz=(0.0, 0.0, h), init_xy_span=(4.0, 4.0)) for h in heights
        ]
        return PanelDetectorLayer(pos=pos, lw=lw, z=max(heights), size=max(heights) - min(heights), panels=panels)

    above, below = z[:3].tolist(), z[3:].tolist()
    passive = PassiveLayer(lw=lw, z=min(above), size=min(above) - max(below))
    volume = Volume(nn.ModuleList([detector("above", above), passive, detector("below", below)]))

    def reconstruct(some):
        x, y = torch.as_tensor(some, dtype=torch.float32).split(6, dim=1)
        numbered = torch.nn.functional.pad(torch.arange(len(some))[:, None], (0, 4)).float()
        muons = MuonBatch(numbered, init_z=max(above))
        for layer, height in enumerate(z.tolist()):
            place = torch.stack([x[:, layer], y[:, layer], torch.full((len(some),), height)], dim=1)
            known = {"gen_xyz": place, "unc_xyz": torch.tensor([sigma, sigma, 0.0]).expand(len(some), 3)}
            hit = {"reco_xyz": place.clone().requires_grad_(), "eff": torch.ones(len(some), 1), **known}
            muons.append_hits(hit, "above" if layer < 3 else "below")
        found = ScatterBatch(muons, volume)
        values = [found.theta_msc, found.poca_xyz]
        if spread:
            values += [found.theta_msc_unc, found.poca_xyz_unc] if spread > 1 else [found.theta_msc_unc]
        values = torch.cat(values, dim=1).detach()
        whole = torch.full((len(some), values.shape[1]), torch.nan)
        whole[found.mu.x.long()] = values  # it leaves out muons of theta_msc = 0
        return whole.numpy()

    found = np.concatenate([reconstruct(hits[i : i + batch]) for i in range(0, len(hits), batch)])
    names = ("theta", "x", "y", "z", "theta_sigma", "x_sigma", "y_sigma", "z_sigma")
    return dict(zip(names, found.T.astype(float), strict=False))


def by_muograph(hits, z, sigma, true):
    """Scattering angle and point of closest approach by muograph, with its two angular resolutions."""
    import numpy as np
    import pandas as pd
    import torch
    from muograph.hits.hits import Hits
    from muograph.reconstruction.poca import POCA
    from muograph.tracking.tracking import Tracking, TrackingMST

    def table(places):
        columns = {f"{axis}{i}": places[:, 6 * v + i] for v, axis in enumerate("XY") for i in range(6)}
        heights = {f"Z{i}": np.full(len(places), height) for i, height in enumerate(z)}
        return pd.DataFrame({**columns, **heights, "E": np.ones(len(places))})

    def tracker(label, planes):
        seen = Hits(table(true), planes, spatial_res=(1000 * sigma, 1000 * sigma, 0.0), input_unit="m")
        seen.reco_hits = Hits.get_hits_from_df(table(hits), planes) * 1000  # in place of its own smearing, mm
        return Tracking(label, seen)

    above, below = tracker("above", (0, 1, 2)), tracker("below", (3, 4, 5))
    both = TrackingMST((above, below))
    point = POCA.compute_poca_points(both.points_in, both.points_out, both.tracks_in, both.tracks_out) / 1000
    p, q = both.tracks_in.double(), both.tracks_out.double()
    angle = torch.atan2(torch.linalg.cross(p, q).norm(dim=1), (p * q).sum(dim=1))
    found = dict(zip("xyz", point.double().numpy().T, strict=True))
    resolutions = {"above": np.array(both.angular_res_in), "below": np.array(both.angular_res_out)}
    return {"theta": both.dtheta.double().numpy(), "angle": angle.numpy(), **found, **resolutions}


def by_pullback(hits, z, sigma):
    """Scattering angle and point of closest approach by pullback, with σ and intervals."""
    from functools import partial

    import torch

    from pullback import quote
    from pullback.models.scatter import infer_scatter

    infer = partial(infer_scatter, z_upper=z[:3].tolist(), z_lower=z[3:].tolist(), resolution=[1 / sigma] * 6)
    quoted = quote(infer, torch.from_numpy(hits), sigma=sigma)

    ends = {"": "value", "_sigma": "sigma", "_68": "interval68", "_confidence": "confidence68"}
    places = {"theta": 4, "x": 5, "y": 6, "z": 7}
    return {f"{name}{end}": getattr(quoted, ends[end])[:, i].numpy() for name, i in places.items() for end in ends}


def by_propagate(hits, z, sigma):
    """The same values by pullback, with linear propagation alone."""
    from functools import partial

    import torch

    from pullback import propagate
    from pullback.models.scatter import infer_scatter

    infer = partial(infer_scatter, z_upper=z[:3].tolist(), z_lower=z[3:].tolist(), resolution=[1 / sigma] * 6)
    found = propagate(infer, torch.from_numpy(hits), sigma=sigma)
    return {
        f"{name}{end}": values[:, i].numpy()
        for name, i in {"theta": 4, "x": 5, "y": 6, "z": 7}.items()
        for end, values in {"": found.value, "_sigma": found.sigma}.items()
    }
