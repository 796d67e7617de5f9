"""Values are checked in every test, also after torch.compile, which switches the checks off for the whole process."""

import pytest


@pytest.fixture(autouse=True)
def checks_are_on():
    distributions = pytest.importorskip("torch.distributions", reason="torch is not installed")
    before = distributions.Distribution._validate_args
    distributions.Distribution.set_default_validate_args(True)
    yield
    distributions.Distribution.set_default_validate_args(before)
