from .detector.smearing import smear as smear
from .errors import ArtefactError as ArtefactError
from .errors import ConfigError as ConfigError
from .errors import HitsError as HitsError
from .errors import ModelError as ModelError
from .errors import PullbackError as PullbackError
from .models.one_hit import infer_theta as infer_theta
from .statistics.random import random_stream as random_stream
from .uncertainty.adaptive import adaptive_toys as adaptive_toys
from .uncertainty.budget import budget_sources as budget_sources
from .uncertainty.budget import uncertainty_budget as uncertainty_budget
from .uncertainty.confidence import confidence_interval as confidence_interval
from .uncertainty.design import mean_sigma_gradient as mean_sigma_gradient
from .uncertainty.design import solve_target as solve_target
from .uncertainty.distribution import propagate_distribution as propagate_distribution
from .uncertainty.higher_order import second_order as second_order
from .uncertainty.inputs import Arcsine as Arcsine
from .uncertainty.inputs import Gaussian as Gaussian
from .uncertainty.inputs import MultivariateGaussian as MultivariateGaussian
from .uncertainty.inputs import Rectangular as Rectangular
from .uncertainty.inputs import StudentT as StudentT
from .uncertainty.inputs import Trapezoid as Trapezoid
from .uncertainty.jacobians import jacobian as jacobian
from .uncertainty.jacobians import muon_jacobian as muon_jacobian
from .uncertainty.linear import propagate as propagate
from .uncertainty.quoting import quote as quote
from .uncertainty.systematics import MeanAccumulator as MeanAccumulator
from .uncertainty.systematics import correlation_matrix as correlation_matrix
from .uncertainty.systematics import covariance_matrix as covariance_matrix
from .uncertainty.systematics import cross_covariance as cross_covariance
from .uncertainty.systematics import mean_uncertainty as mean_uncertainty
from .uncertainty.systematics import systematic_jacobian as systematic_jacobian
from .uncertainty.toys import run_toys as run_toys
from .uncertainty.validity import linear_valid as linear_valid
from .uncertainty.validity import numerical_tolerance as numerical_tolerance

__version__: str
__all__: list[str]
