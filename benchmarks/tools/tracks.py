"""A telescope of four layers: by ACTS, by a Kalman filter of filterpy, and by pullback.

Hits are (muon, 8): x on each layer, then y, m, from the top down; z has the heights, sigma the resolution, m. Layers
are of silicon, `thickness` m thick (0: none), and deflect muons by angles of standard deviation theta0 in each view.
"""


def by_acts(hits, z, sigma, thickness, momentum, along):
    """Angle to the telescope's axis, and x at the first layer, by the Kalman filter of ACTS.

    The telescope lies along z of ACTS, so that the angle is its θ, or along x, far from where its angles are singular.
    """
    import acts
    import acts.examples as ex
    import numpy as np

    heights = [1000 * float(z[0] - each) for each in z]  # mm, along the flight of the muon
    xy = 1000 * np.stack(np.split(hits, 2, axis=1), axis=2)
    slopes = (xy[:, -1] - xy[:, 0]) / heights[-1]
    planes, quiet = [], acts.logging.WARNING
    shape = {
        "bounds": [4000.0, 4000.0],
        "offsets": [0.0, 0.0],
        "stereos": [0.0] * len(heights),
        "surfaceType": 0,
        "rotDirection": "xyz".index(along),
    }
    material = max(1000 * float(thickness), 1e-6)
    telescope = ex.TelescopeDetector(positions=heights, thickness=material, **shape).trackingGeometry()
    telescope.visitSurfaces(lambda plane: planes.append(plane))
    fitted = np.full((len(hits), 4), np.nan)

    def turned(ahead, x, y):
        """A vector in the axes of ACTS."""
        return (x, y, ahead) if along == "z" else (ahead, y, -x)

    def of_axis(phi, theta, covariance):
        """The angle to the telescope's axis and its variance, by linear propagation from φ and θ."""
        if along == "z":
            return theta, covariance[1, 1]
        slopes = np.array([-1 / (np.tan(theta) * np.cos(phi)), np.tan(phi)])
        by_theta, by_phi = np.array([1 / (np.sin(theta) ** 2 * np.cos(phi)), 0.0]), slopes[0] * np.tan(phi)
        jacobian = np.column_stack([[by_phi, 1 / np.cos(phi) ** 2], by_theta])
        length = np.hypot(*slopes)
        gradient = slopes / (length * (1 + length**2)) @ jacobian
        return np.arctan(length), gradient @ covariance @ gradient

    class Feed(ex.IAlgorithm):
        """One muon per event: its hits, and where its fit begins."""

        def __init__(self):
            super().__init__(name="Feed", level=quiet)
            kinds = (ex.MeasurementContainer, ex.ProtoTrackContainer, ex.SimParticleContainer)
            self.out = [ex.WriteDataHandle(self, kind, kind.__name__) for kind in kinds]
            for handle, name in zip(self.out, ("measurements", "prototracks", "particles"), strict=True):
                handle.initialize(name)

        def execute(self, context):
            measurements, tracks, particles = (
                ex.MeasurementContainer(),
                ex.ProtoTrackContainer(),
                ex.SimParticleContainer(),
            )
            track, variances = ex.ProtoTrack(), 2 * [(1000 * sigma) ** 2]
            for i, plane in enumerate(planes):
                place = xy[context.eventNumber, i].tolist()
                measurements.emplaceMeasurement(plane.geometryId, [0, 1], place, variances)
                track.append(i)
            tracks.append(track)
            barcode = ex.SimBarcode()
            barcode.vertexPrimary, barcode.particle = 1, 1
            muon = ex.SimParticle(barcode, acts.PdgParticle(13), -1.0, 0.1057)
            slope = slopes[context.eventNumber]
            muon.fourPosition = acts.Vector4(*turned(-10.0, *(xy[context.eventNumber, 0] - 10 * slope)), 0.0)
            muon.direction, muon.absoluteMomentum = acts.Vector3(*turned(1.0, *slope)), float(momentum)
            particles.insert(muon)
            for handle, made in zip(self.out, (measurements, tracks, particles), strict=True):
                handle(context, made)
            return ex.ProcessCode.SUCCESS

    class Take(ex.IAlgorithm):
        """The fitted parameters of the muon."""

        def __init__(self):
            super().__init__(name="Take", level=quiet)
            self.tracks = ex.ReadDataHandle(self, ex.ConstTrackContainer, "tracks")
            self.tracks.initialize("tracks")

        def execute(self, context):
            for track in self.tracks(context.eventStore):
                covariance = np.array([[track.covariance[i, j] for j in range(4)] for i in range(4)])
                angle, variance = of_axis(track.phi, track.theta, covariance[2:, 2:])
                fitted[context.eventNumber] = [angle, variance**0.5, track.loc0, covariance[0, 0] ** 0.5]
            return ex.ProcessCode.SUCCESS

    fit = ex.makeKalmanFitterFunction(
        telescope,
        acts.ConstantBField(acts.Vector3(0, 0, 0)),
        multipleScattering=thickness > 0,
        energyLoss=False,
        reverseFilteringMomThreshold=0.0,
        reverseFilteringCovarianceScaling=100.0,
        chi2Cut=float("inf"),
        freeToBoundCorrection=ex.FreeToBoundCorrection(False),
        useJosephFormulation=False,
        level=quiet,
    )
    known = {"sigmaLoc0": 0, "sigmaLoc1": 0, "sigmaTime": 0, "sigmaPhi": 0, "sigmaTheta": 0, "sigmaPtRel": 0}
    begin = {"initialSigmas": [1000.0, 1000.0, 3.0, 3.0, 1e-3, 1.0], "initialVarInflation": [1.0] * 6, **known}
    run = ex.Sequencer(events=len(hits), numThreads=1, logLevel=quiet, trackFpes=False)
    run.addAlgorithm(Feed())
    run.addAlgorithm(
        ex.ParticleTrackParamExtractor(level=quiet, inputParticles="particles", outputTrackParameters="at_particle")
    )
    run.addAlgorithm(
        ex.TrackParameterSmearing(
            level=quiet,
            inputTrackParameters="at_particle",
            outputTrackParameters="start",
            randomNumbers=ex.RandomNumbers(seed=1),
            **begin,
        )
    )
    run.addAlgorithm(
        ex.TrackFittingAlgorithm(
            level=quiet,
            inputMeasurements="measurements",
            inputProtoTracks="prototracks",
            outputTracks="tracks",
            inputInitialTrackParameters="start",
            inputClusters="",
            pickTrack=-1,
            fit=fit,
            calibrator=ex.makePassThroughCalibrator(),
            referenceSurface=planes[0],
        )
    )
    run.addAlgorithm(Take())
    run.run()
    theta, theta_sigma, x, x_sigma = fitted.T
    return {"theta": theta, "theta_sigma": theta_sigma, "x": x / 1000, "x_sigma": x_sigma / 1000}


def by_filterpy(hits, z, sigma, theta0):
    """Slope, angle and x at the first layer of one view: a Kalman filter from the lowest layer upwards."""
    import numpy as np
    from filterpy.kalman import KalmanFilter

    kick = np.diag([0.0, theta0**2])  # what a layer does to position and slope
    found = []
    for muon in hits[:, :4]:
        kalman = KalmanFilter(dim_x=2, dim_z=1)
        kalman.x, kalman.P = np.array([muon[-1], 0.0]), np.diag([1e8 * sigma**2, 1e2])  # as good as unknown
        kalman.H, kalman.R = np.array([[1.0, 0.0]]), np.array([[sigma**2]])
        for layer in range(len(z) - 1, -1, -1):
            kalman.update(muon[layer])
            up = z[layer - 1] - z[layer] if layer else 0.0
            step = np.array([[1.0, up], [0.0, 1.0]])
            kalman.predict(F=step, Q=step @ kick @ step.T)
        found.append([*kalman.x, *np.sqrt(np.diag(kalman.P))])
    x, slope, x_sigma, slope_sigma = np.array(found).T
    theta = {"theta": np.arctan(np.abs(slope)), "theta_sigma": slope_sigma / (1 + slope**2)}
    return {"slope": slope, "slope_sigma": slope_sigma, "x": x, "x_sigma": x_sigma, **theta}


def by_pullback(hits, z, sigma, theta0, views):
    """The same by pullback: `track` fits one view, `track3d` both."""
    import torch

    from pullback import quote
    from pullback.detector.reconstruction import Reconstruction
    from pullback.study.plan import Study

    study = Study.from_config(
        {
            "study": "telescope",
            "source": {"kind": "simulated", "muons": 1},
            "detector": {"resolution": 1 / sigma},
            "model": {
                "name": {1: "track", 2: "track3d"}[views],
                "z": z.tolist(),
                "theta0": theta0,
                "at": [z[0].item()],
            },
        }
    )
    part = study.batch("reco", next(iter(study.batches))).parts[0]
    reconstruction = Reconstruction.of(part)  # with theta0 it fits by generalised least squares
    taken = reconstruction.taken(torch.from_numpy(hits[:, : 4 * views]))
    quoted = quote(reconstruction.infer, taken.hits, covariance=taken.covariance)

    places = {each.name: i for i, each in enumerate(part.model.observables)}
    names = {"slope": "slope" if views == 1 else "tx", "theta": "theta", "x": "x_at_0"}
    found = {
        f"{short}{end}": getattr(quoted, values)[:, places[name]].numpy()
        for short, name in names.items()
        for end, values in (("", "value"), ("_sigma", "sigma"), ("_linear", "sigma_linear"))
    }
    return {**found, "theta_confidence": quoted.confidence68[:, places["theta"]].numpy()}


def fitted_by_pullback(hits, z, sigma):
    """The zenith angle alone."""
    import torch

    from pullback.models.track3d import infer_track3d

    return {"theta": infer_track3d(torch.from_numpy(hits), z=z.tolist(), resolution=[1 / sigma] * 4)[:, 0].numpy()}
