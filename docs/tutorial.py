# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Tutorial: from the exercise to a study
#
# A muon starts at height dz above a detector layer and crosses the layer at x. The layer records x with finite
# resolution. How large is the angle θ of the muon from the vertical, and how well is it known?
#
# This page solves the exercise by hand, as it is often given to students, shows three things that go wrong, does each
# with pullback, and ends with a scan and a report. Every number is computed in the cell above it. The page is a
# [notebook](tutorial.ipynb) too: run it, and change it.

# %%
import subprocess
import sys
import time
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import torch
from torch.autograd.functional import jacobian

import pullback

torch.manual_seed(1)
plt.rcParams |= {"figure.figsize": (7, 3.6), "figure.dpi": 150, "axes.grid": True, "grid.alpha": 0.3}

# %% [markdown]
# ## The exercise
#
# Ten muons cross the layer between 0 and 1 m. The resolution is a tensor with the inverse of the uncertainty of each
# hit: 100/m means σ_x = 1 cm. *Smearing* adds Gaussian noise of this width to the true hits.

# %%
dz = 1.5  # m


def smear(x_true, resolution):
    return x_true + torch.randn_like(x_true) / resolution


def infer(x):
    return torch.arctan(x.abs() / dz)  # rad; an angle from the vertical has no sign


x_true = torch.rand(10, dtype=torch.float64)
resolution = torch.full_like(x_true, 100.0)  # 1/m
x = smear(x_true, resolution)
theta = infer(x)

# %% [markdown]
# Linear propagation of uncertainty needs the derivative of each θ with respect to each hit: the Jacobian. θ of a muon
# depends on its own hit only, so the (10, 10) matrix is diagonal, and the sum over a row is dθ/dx of that muon.

# %%
J = jacobian(infer, x)
sigma = (J / resolution).sum(dim=1)
print("shape of J:", tuple(J.shape))
for row in zip(x, theta, sigma, strict=True):
    print("x = {:.4f} m    θ = {:.4f} rad    σ = {:.4f} rad".format(*row))

# %% [markdown]
# This looks right, and for these ten muons it is. pullback gives the same σ in one call:

# %%
linear = pullback.propagate(pullback.infer_theta, x, sigma=0.01)
difference = (linear.sigma[:, 0] - sigma).abs().max()
print(f"largest difference: {difference:.1e} rad")

# %% [markdown]
# ## First problem: σ is negative for x < 0
#
# A muon that crosses the layer close to x = 0 may be recorded at x < 0. There θ falls with x, and so dθ/dx < 0.

# %%
x = smear(torch.rand(2000, dtype=torch.float64), 100.0)
sigma = (jacobian(infer, x) / 100.0).sum(dim=1)
print(f"of {len(x)} muons: x < 0 for {(x < 0).sum()}, σ < 0 for {(sigma < 0).sum()}")
assert torch.equal(x < 0, sigma < 0)

# %% [markdown]
# The derivative is not the uncertainty. Linear propagation is σ² = J Σ Jᵀ, the sum of squares, where Σ is the
# covariance of the hits. `propagate` computes this, and its σ is never negative.

# %%
linear = pullback.propagate(pullback.infer_theta, x, sigma=0.01)
print(f"smallest σ, by hand:  {1e3 * sigma.min():7.3f} mrad")
print(f"smallest σ, pullback: {1e3 * linear.sigma.min():7.3f} mrad")

# %% [markdown]
# ## Second problem: the Jacobian has N × N entries
#
# Only N of them are not zero. All of them are computed, one row at a time, and stored.

# %%
print("     N     by hand    Jacobian    propagate   muon_jacobian")
for muons in (100, 1000, 4000):
    x = smear(torch.rand(muons, dtype=torch.float64), 100.0)
    start = time.perf_counter()
    J = jacobian(infer, x)
    middle = time.perf_counter()
    pullback.propagate(pullback.infer_theta, x, sigma=0.01)
    end = time.perf_counter()
    own = pullback.muon_jacobian(pullback.infer_theta, x)
    row = f"{muons:6}  {middle - start:8.4f} s  {J.nbytes / 1e6:7.2f} MB"
    print(f"{row}  {end - middle:9.5f} s  {own.nbytes / 1e6:10.4f} MB")

# %% [markdown]
# Ten times more muons take a hundred times the memory. `muon_jacobian` computes the derivatives of each muon by its
# own hits only, and a million muons are no problem:

# %%
x = smear(torch.rand(1_000_000, dtype=torch.float64), 100.0)
start = time.perf_counter()
pullback.propagate(pullback.infer_theta, x, sigma=0.01)
print(f"{len(x):,} muons: {time.perf_counter() - start:.3f} s")

# %% [markdown]
# The usual shortcut is to differentiate the sum of all θ once. It is right if each θ depends on its own hit only. It
# silently gives wrong numbers if the inference couples muons, for example if it subtracts the mean hit:


# %%
def centred(hits):
    return torch.arctan((hits - hits.mean(dim=0)) / dz)


few = x[:100].clone().requires_grad_()
(shortcut,) = torch.autograd.grad(centred(few).sum(), few)
right = jacobian(centred, few).diagonal()
print("dθ/dx by the shortcut:", shortcut[:4].numpy().round(4))
print("dθ/dx by the Jacobian:", right[:4].detach().numpy().round(4))

# %% [markdown]
# pullback tests whether muons are coupled, and refuses:

# %%
try:
    pullback.propagate(centred, x[:100], sigma=0.01)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Third problem: the fold at x = 0
#
# θ falls for x < 0 and rises for x > 0. Such a place is called a *fold*: hits on both of its sides give the same θ.
# Linear propagation looks at the slope at the hit only, and does not see the other side. Whether that matters is a
# question for toys: add noise to a hit many times, infer θ each time, and look at the spread of the results.

# %%
distances = torch.tensor([0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5], dtype=torch.float64)  # x/σ_x
x = 0.01 * distances
toys = infer(smear(x.expand(200_000, -1), 100.0))  # (toy, muon)
spread = toys.std(dim=0)

by_hand = jacobian(infer, x).diagonal().abs() / 100.0
quoted = pullback.quote(pullback.infer_theta, x, sigma=0.01).sigma[:, 0]

print("x/σ_x    toys   by hand   quoted   (σ of θ, mrad)")
for row in zip(distances, 1e3 * spread, 1e3 * by_hand, 1e3 * quoted, strict=True):
    print("{:5.2f}  {:6.3f}   {:7.3f}  {:7.3f}".format(*row))
print(f"at 0.25 σ_x, by hand over toys: {by_hand[1] / spread[1]:.2f}")
print(f"largest difference of quoted σ and toys: {100 * (quoted / spread - 1).abs().max():.1f} %")
assert (quoted / spread - 1).abs().max() < 0.05

# %% [markdown]
# By hand, σ is 0 exactly at the fold, where autograd takes the slope of |x| to be 0, and far too large right beside
# it. `quote` gives σ of linear propagation where that is right to 5 %, and elsewhere the standard deviation from an
# integral over the noise. It agrees with the toys everywhere to within this tolerance, and it needs no toys. The small
# step in the curve is where it passes from one to the other.

# %%
fine = torch.linspace(0, 5, 201, dtype=torch.float64)
curve = pullback.quote(pullback.infer_theta, 0.01 * fine, sigma=0.01).sigma[:, 0]

fig, ax = plt.subplots()
ax.plot(fine, 1e3 * curve, color="tab:blue", label="pullback.quote")
ax.plot(distances, 1e3 * spread, "o", color="black", label="toys")
ax.plot(distances, 1e3 * by_hand, "x", color="tab:red", markersize=8, label="by hand: |dθ/dx| σ$_x$")
ax.set(xlabel="x/σ$_x$", ylabel="σ of θ (mrad)", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# ### Does the interval hold the truth?
#
# This is the question that matters in the end, and it is a different one. The toys above were thrown around a
# *recorded* hit. Now take a true hit, record it many times, quote an interval for each recorded hit, and count how
# often it holds the true θ. This share is the *coverage*, and it should be 68 %.

# %%
records = 5000
x_true = 0.01 * torch.tensor([0.0, 0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
recorded = smear(x_true.expand(records, -1), 100.0)  # (record, muon)
truth = infer(x_true)

theta = infer(recorded)
sigma = torch.cos(theta) ** 2 / dz / 100.0  # |dθ/dx| σ_x
by_hand = ((theta - truth).abs() <= sigma).double().mean(dim=0)

quoted = pullback.quote(pullback.infer_theta, recorded.flatten(), sigma=0.01)


def coverage(interval):
    low, high = interval[:, 0].T.reshape(2, records, -1)
    return ((low <= truth) & (truth <= high)).double().mean(dim=0)


error = (0.68 * 0.32 / records) ** 0.5
print(f"coverage, each ± {100 * error:.1f} %")
print("true x/σ_x   θ ± σ by hand   interval68   confidence68")
shares = by_hand, coverage(quoted.interval68), coverage(quoted.confidence68)
for row in zip(100 * x_true, *shares, strict=True):
    print("{:10.1f}   {:14.1%}   {:10.1%}   {:12.1%}".format(*map(float, row)))
assert (shares[-1] - 0.6827).abs().max() < 4 * error

# %% [markdown]
# `interval68` is the coverage interval of JCGM 101: it contains 68 % of the values that would be recorded if the true
# hit were where this hit is. At the fold it does not hold the truth at all, because it leaves out the smallest
# values, and the truth is the smallest value. The intervals to quote for the truth are the confidence intervals. They
# hold it as often as they say for every true value, at the fold too. They need not be symmetric, and close to the
# fold they begin at 0:

# %%
x = torch.tensor([0.001, 0.005, 0.02, 0.5], dtype=torch.float64)
pullback.quote(pullback.infer_theta, x, sigma=0.01)

# %% [markdown]
# ## Toys as a check of everything
#
# With simulated muons the truth is known. The *pull* is (θ − true θ)/σ. If σ is right, pulls have a standard
# deviation of 1. Averaged over many muons, this hides the fold, because only few muons are close to it. Therefore look
# at pulls in bins of the true θ/σ.

# %%
x_true = 0.1 * torch.rand(400_000, dtype=torch.float64)
x = smear(x_true, 100.0)
sigma = torch.cos(infer(x)) ** 2 / dz / 100.0  # |dθ/dx| σ_x, as by hand
pull = (infer(x) - infer(x_true)) / sigma
print(f"all muons: width of pulls {pull.std():.3f}")
for low, high in ((0, 0.5), (0.5, 1), (1, 2), (2, 3), (3, 10)):
    inside = (x_true >= 0.01 * low) & (x_true < 0.01 * high)
    width, mean = pull[inside].std(), pull[inside].mean()
    print(f"true x/σ_x {low:>3} to {high:>3}: width {width:.3f}, mean {mean:+.3f}")

# %% [markdown]
# ## A scan, and its report
#
# All of this for many muons and several designs is a *study*. A config file says what is to be computed:

# %%
folder = Path("tutorial_study")
folder.mkdir(exist_ok=True)
config = """\
study: tutorial                     # results go to results/tutorial/
source: {kind: simulated, muons: 10000, x_min: 0.0, x_max: 1.0}
detector: {resolution: 100.0}       # 1/m, so 1 cm
model: {name: one_hit, dz: 1.5}
scan:
  detector.resolution: [50, 100, 200]
"""
(folder / "my.yaml").write_text(config)


def run(*arguments):
    """What the command `pullback` prints, as in a terminal."""
    command = [sys.executable, "-m", "pullback", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    print(done.stdout or done.stderr)
    done.check_returncode()


run("check", "my.yaml")

# %% [markdown]
# In a terminal this is `pullback check my.yaml`. Then run it:

# %%
run("run", "my.yaml")

# %% [markdown]
# The last lines are the answer and the verdict. The verdict answers three questions: is the propagation right, is the
# truth covered, and do the data agree with the stated resolution? The last one needs more hits than parameters, and
# here a muon has one hit. See [validation](validation.md).
#
# The report is `report.html` in the folder of the study: [open that of this
# run](tutorial_study/results/tutorial/report.html). (Its links to HDF5 files work in the folder of the study only,
# not on this site.) All numbers are in `study.h5`, with units, one group per point of the scan:

# %%
fig, ax = plt.subplots()
with h5py.File(folder / "results/tutorial/study.h5") as study:
    for resolution in (50, 100, 200):
        point = study[f"detector.resolution={resolution}"]
        theta, sigma, valid = point["theta"][:], point["sigma_theta"][:], point["linear_valid_theta"][:]
        mean = 1e3 * sigma.mean()
        print(f"{resolution:3}/m: mean σ {mean:6.3f} mrad, linear propagation valid for {valid.mean():.1%}")
        ax.plot(1e3 * theta, 1e3 * sigma, ".", markersize=2, label=f"{resolution}/m")
ax.set(xlabel="θ (mrad)", ylabel="quoted σ of θ (mrad)", ylim=(0, 17))
ax.legend(markerscale=6, ncols=3, loc="upper center", title="resolution")
plt.show()

# %% [markdown]
# σ falls towards large θ, where θ changes less with x, and towards the fold at θ = 0. The wider the noise, the wider
# the region of the fold.
#
# ## A telescope, in cm and µm
#
# Several layers need another model, and most people know their detector by lengths. Numbers may have units, and `sigma`
# is the width of a hit where `resolution` is its inverse. `pullback check` says what the study would do:

# %%
telescope = """\
study: telescope
source: {muons: 10000, x_min: -20 cm, x_max: 20 cm, cosmic: {momentum: 4 GeV}}
detector: {sigma: {x: 150 um, y: 300 um}, efficiency: 0.96}
model: {name: track3d, z: "[0, 12, 25, 61, 80] cm", material: 0.5 %X0}
"""
(folder / "telescope.yaml").write_text(telescope)
run("check", "telescope.yaml")

# %% [markdown]
# `pullback init telescope` writes such a config with comments, `pullback keys detector` explains its keys.
#
# ## Where to go from here
#
# - [Hits from a file of your own](recorded_data.md), or [a model of your own](models.md)
# - [Which uncertainty to quote](uncertainty.md), and [which interval](intervals.md)
# - [All keys of the config](../config/README.md), and [all results](../results/README.md)
