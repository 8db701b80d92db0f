"""The built-in models written by hand for JAX, one muon at a time, and what `propagate` returns of them."""

import numpy as np

Z = (0.0, 0.3, 0.6, 0.9)
"""Heights of the layers of a track, m."""
Z_UPPER, Z_LOWER = (1.5, 1.25, 1.0), (-1.0, -1.25, -1.5)
"""Heights of the layers of both trackers, m."""
DZ = 1.5


def weights(z, at=0.0):
    """What each hit counts in the slope of a line through layers of equal resolution, and in its position."""
    z = np.asarray(z)
    arm = z - z.mean()
    slope = arm / (arm**2).sum()
    return slope, 1 / len(z) + slope * (at - z.mean())


def functions(jnp):
    """The models' functions of one muon, by name."""
    (slope, intercept), upper, lower = weights(Z), weights(Z_UPPER), weights(Z_LOWER)

    def one_hit(hits):
        return jnp.arctan(jnp.abs(hits) / DZ)

    def track(hits):
        s = slope @ hits
        return jnp.stack([s, jnp.arctan(jnp.abs(s)), intercept @ hits])

    def track3d(hits):
        x, y = slope @ hits[:4], slope @ hits[4:]
        return jnp.stack([jnp.arctan(jnp.hypot(x, y)), jnp.arctan2(y, x), x, y])

    def scatter(hits):
        x_above, x_below, y_above, y_below = hits[:3], hits[3:6], hits[6:9], hits[9:]
        px, qx, py, qy = upper[0] @ x_above, lower[0] @ x_below, upper[0] @ y_above, lower[0] @ y_below
        x, y = upper[1] @ x_above, upper[1] @ y_above
        dx, dy, vx, vy = qx - px, qy - py, lower[1] @ x_below - x, lower[1] @ y_below - y
        nz = px * dy - py * dx
        square, shared = dx**2 + dy**2 + nz**2, vx * dx + vy * dy
        s, t = ((vx * b - vy * a) * nz - shared for a, b in ((qx, qy), (px, py)))
        s, t = s / square, t / square
        return jnp.stack(
            [
                jnp.arctan(jnp.sqrt(px**2 + py**2)),
                jnp.arctan(jnp.sqrt(qx**2 + qy**2)),
                jnp.arctan2(dx, 1 + px * qx),
                jnp.arctan2(dy, 1 + py * qy),
                jnp.arctan2(jnp.sqrt(square), 1 + px * qx + py * qy),
                x + (vx + s * px + t * qx) / 2,
                y + (vy + s * py + t * qy) / 2,
                (s + t) / 2,
            ]
        )

    return {"one hit": one_hit, "track": track, "track3d": track3d, "scatter": scatter}


def hits_of(name, muons, rng):
    """Hits of muons with slopes of 0.3, scattered by 0.02 between both trackers."""
    if name == "one hit":
        return rng.random((muons, 1))
    slopes, positions = 0.3 * rng.normal(size=(muons, 2)), 0.1 * rng.normal(size=(muons, 2))
    below = slopes + 0.02 * rng.normal(size=(muons, 2))
    lines = [(slopes, Z_UPPER), (below, Z_LOWER)] if name == "scatter" else [(slopes, Z)]
    views = (0,) if name == "track" else (0, 1)
    columns = [positions[:, [view]] + each[:, [view]] * np.array(z) for view in views for each, z in lines]
    hits = np.concatenate(columns, axis=1)
    return hits + 1e-4 * rng.normal(size=hits.shape)


def laws(jax, infer, per_muon=False):
    """What `propagate` returns, compiled and mapped over muons, by each way that JAX has to differentiate."""

    def law(jacobian):
        def of_one(hits, cov):
            value, jac = infer(hits), jacobian(hits)
            covariance = (jac * cov if cov.ndim == 1 else jac @ cov) @ jac.T
            return value, covariance, jax.numpy.sqrt(jax.numpy.diagonal(covariance))

        return jax.jit(jax.vmap(of_one, in_axes=(0, 0 if per_muon else None)))

    return {"jacrev": law(jax.jacrev(infer)), "jacfwd": law(jax.jacfwd(infer))}


def law_of_one_hit(jax, infer):
    """The same for one hit by `grad`, without matrices."""

    def of_one(hit, cov):
        theta, slope = jax.value_and_grad(lambda x: infer(x))(hit[0])
        variance = slope * cov[0] * slope
        return theta[None], variance[None, None], (jax.numpy.abs(slope) * jax.numpy.sqrt(cov[0]))[None]

    return jax.jit(jax.vmap(of_one, in_axes=(0, None)))
