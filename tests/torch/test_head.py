"""The layer that predicts the parameters."""

import pytest

from tests.conftest import require

torch = require("torch")

from torch.distributions import kl_divergence  # noqa: E402

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


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("channels", "kernel_size"), [(1, 1), (2, 3)])
def test_head_casts_itself_to_float32_under_autocast(half, channels, kernel_size):
    torch.manual_seed(8)
    decoder = torch.nn.Conv2d(5, 5, 3, padding=1)
    mean = torch.nn.Conv2d(5, channels, 1)
    head = CholeskyHead(5, channels, kernel_size=kernel_size, initial_scale=1.0)
    x = torch.randn(2, channels, 6, 7)
    with torch.autocast("cpu", dtype=half):
        maps = decoder(features())
        loc = mean(maps)
        assert maps.dtype == loc.dtype == half
        field = head(maps, loc)
        loss = -field.log_prob(x).mean() - field.entropy().mean() + field.rsample().square().mean()
    assert field.loc.dtype == field.off_diag.dtype == loss.dtype == torch.float32
    loss.backward()
    layers = [*decoder.parameters(), *mean.parameters(), *head.parameters()]
    gradients = [part.grad.clone() for part in layers]
    assert all(part.dtype == torch.float32 and part.isfinite().all() for part in gradients)
    # The same numbers as those of float32 on the rounded maps: nothing of the head itself is rounded to half.
    plain = head(maps.float(), loc.float())
    for name in ("loc", "log_diag", "off_diag", "cross"):
        assert torch.equal(getattr(field, name), getattr(plain, name))


def test_fields_compute_in_full_precision_under_autocast():
    torch.manual_seed(9)
    p = CholeskyHead(5, 2, 2, initial_scale=1.0)(features(), torch.zeros(2, 2, 6, 7))
    x = torch.randn(2, 2, 6, 7)
    mask = x > 0.0
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            values = [p.log_prob(x), p.log_prob(x, backend="torch"), p.variance, p.conditional_mean(x, mask)]
            values += [p.covariance_matrix, p.precision_matrix, p.scale_tril, p.covariance_with((1, 2))]
            results.append([*values, kl_divergence(p, p.expand((2,))), p.contraction_margin(), p.growth()])
    for plain, under_autocast in zip(*results, strict=True):
        assert torch.equal(plain, under_autocast)


def test_head_of_another_dtype_keeps_it_or_gives_float32():
    maps, loc = features(), torch.zeros(2, 1, 6, 7)
    double = CholeskyHead(5).double()
    assert double(maps.double(), loc.double()).off_diag.dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert double(maps.bfloat16(), loc.bfloat16()).loc.dtype == torch.float64
    half = CholeskyHead(5).bfloat16()
    assert half(maps.bfloat16(), loc.bfloat16()).off_diag.dtype == torch.float32
    with pytest.raises(RuntimeError, match="type"):
        CholeskyHead(5)(maps.bfloat16(), loc)


def test_head_runs_where_there_is_no_autocast():
    head = CholeskyHead(5).to("meta")
    assert head.parameters_of(features().to("meta"))[0].shape == (2, 1, 6, 7)


def test_wide_bounds_are_refused_by_the_field_once_they_are_reached():
    head = CholeskyHead(5, log_diag_bounds=(-100.0, 100.0))
    loc = torch.zeros(2, 1, 6, 7)
    assert head(features(), loc).variance.isfinite().all()
    with pytest.raises(ValueError, match="narrow log_diag_bounds"):
        head(features(scale=1e6), loc)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_head_compiles_under_autocast_without_a_graph_break():
    torch.manual_seed(10)
    head, loc = CholeskyHead(5, 1, initial_scale=1.0), torch.zeros(2, 1, 6, 7)

    def loss(maps):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return -head(maps.bfloat16(), loc, validate_args=False).log_prob(loc + 1.0).mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(features()), loss(features()))


def test_wrong_settings_are_refused_by_name():
    for arguments, name in (
        ({"kernel_size": 2}, "kernel_size"),
        ({"initial_log_diag": 9.0}, "initial_log_diag"),
        ({"radius": 0}, "radius"),
        ({"log_diag_bounds": (-400.0, 7.0)}, r"log_diag_bounds .* got \(-400.0, 7.0\)"),
        ({"log_diag_bounds": (7.0, -5.0)}, "log_diag_bounds must be .* low < high"),
        ({"initial_scale": -1.0}, "initial_scale"),
    ):
        with pytest.raises(ValueError, match=name):
            CholeskyHead(5, 1, **arguments)
