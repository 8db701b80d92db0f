import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback.config.base import fields
from pullback.config.plain import UNWRITABLE, check_plain
from pullback.config.schema import StudyConfig, load
from pullback.errors import PullbackError
from pullback.study.plan import Study
