"""The layer that predicts the parameters."""

import pytest

from tests.conftest import require

torch = require("torch")

from sparsegmrf.torch import CholeskyGMRF, CholeskyHead  # noqa: E402


def features(batch=(2,), scale=1.0):
    return scale * torch.randn(*batch, 5, 6, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("batch", [(2,), (2, 3), ()])
@pytest.mark.parametrize(("channels", "radius"), [(1, 1), (3, 2)])
def test_head_gives_a_field_on_the_images(channels, radius, batch):
    head = CholeskyHead(5, channels, radius, kernel_size=3)
    p = head(features(batch), torch.zeros(*batch, channels, 6, 7))
    assert isinstance(p, CholeskyGMRF)
    assert p.batch_shape == batch
    assert p.event_shape == (channels, 6, 7)
    loss = -p.log_prob(p.rsample()).sum()
    loss.backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in head.parameters())


def test_head_starts_at_nearly_independent_pixels_of_the_given_spread():
    torch.manual_seed(1)
    log_diag, off_diag, cross = CholeskyHead(5, 3, 2, initial_log_diag=1.5).parameters_of(features())
    torch.testing.assert_close(log_diag, torch.full_like(log_diag, 1.5), atol=0.2, rtol=0.0)
    assert (off_diag / log_diag.exp().unsqueeze(2)).abs().max() < 0.03
    assert (cross / log_diag.exp()).abs().max() < 0.15


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_contractive_head_is_contractive_whatever_it_has_learnt(scale):
    torch.manual_seed(2)
    head = CholeskyHead(5, 3, 2, initial_scale=1.0)
    p = head(features(scale=scale), torch.zeros(2, 3, 6, 7))
    assert (p.contraction_margin() > 0.005).all()
    assert p.rsample((20,)).isfinite().all()


def test_diagonal_stays_within_its_bounds():
    torch.manual_seed(3)
    head = CholeskyHead(5, 2, log_diag_bounds=(-1.0, 2.0), initial_scale=1.0)
    log_diag, _, _ = head.parameters_of(features(scale=1e4))
    assert log_diag.min() >= -1.0
    assert log_diag.max() <= 2.0


def test_head_without_contraction_can_leave_the_limit():
    torch.manual_seed(4)
    head = CholeskyHead(5, 1, contractive=False, initial_scale=1.0)
    p = head(features(scale=10.0), torch.zeros(2, 1, 6, 7))
    assert (p.contraction_margin() < 0.0).any()


def test_channels_stay_apart_without_cross():
    head = CholeskyHead(5, 3, cross=False)
    assert head.parameters_of(features())[2].shape == (2, 0, 6, 7)


def test_head_learns_the_correlation_of_neighbours():
    torch.manual_seed(5)
    expected = torch.tensor([-0.4, 0.0, -0.4, 0.0])
    truth = CholeskyGMRF(*torch.zeros(2, 1, 6, 7), expected.view(1, 4, 1, 1).expand(1, 4, 6, 7))
    head = CholeskyHead(1, 1)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    ones = torch.ones(1, 1, 6, 7)
    for _ in range(120):
        optimizer.zero_grad()
        loss = -head(ones, torch.zeros(1, 1, 6, 7)).log_prob(truth.sample((64,)).reshape(64, 1, 1, 6, 7)).mean()
        loss.backward()
        optimizer.step()
    _, off_diag, _ = head.parameters_of(ones)
    learnt = off_diag[0, 0, :, 0, 0].detach()
    torch.testing.assert_close(learnt, expected, atol=0.06, rtol=0.0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_training_step_with_a_head_compiles_without_a_graph_break():
    torch.manual_seed(6)
    head, loc = CholeskyHead(5, 2, 2, initial_scale=1.0), torch.zeros(2, 2, 6, 7)

    def loss(maps):
        field = head(maps, loc, validate_args=False)
        return field.rsample().square().mean() - field.log_prob(loc + 1.0).mean()

    results = []
    for step in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(7)
        value = step(features())
        results.append([value, *torch.autograd.grad(value, head.parameters())])
    for plain, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, plain)


def test_wrong_settings_are_refused_by_name():
    for arguments, name in (
        ({"kernel_size": 2}, "kernel_size"),
        ({"initial_log_diag": 9.0}, "initial_log_diag"),
        ({"radius": 0}, "radius"),
        ({"initial_scale": -1.0}, "initial_scale"),
    ):
        with pytest.raises(ValueError, match=name):
            CholeskyHead(5, 1, **arguments)
