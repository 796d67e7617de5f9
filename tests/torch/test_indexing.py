"""Items of the batch, devices and dtypes of a distribution."""

import math

import numpy as np
import pytest

from tests.conftest import require

torch = require("torch")

from sparsegmrf.torch import CholeskyGMRF  # noqa: E402
from tests.torch.fields import field  # noqa: E402

PARAMETERS = ("loc", "log_diag", "off_diag", "cross")
INDICES = [
    1,
    -1,
    np.int64(1),
    slice(1, None),
    slice(None, None, 2),
    slice(3, 3),
    ...,
    None,
    True,
    (1, 2),
    (..., 0),
    (slice(None), 1),
    (None, ..., None, 2),
    [2, 0, 0],
    [],
    range(1, 3),
    np.array([0, 2]),
    torch.tensor([[0, 1], [2, 2]]),
    torch.tensor([True, False, True]),
    torch.eye(3, 4).bool(),
    (torch.tensor([0, 1]), torch.tensor([3, 2])),
    (torch.tensor([0, 1]), None, [3, 2]),
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
@pytest.mark.parametrize("shared", ["nothing", "factor", "rows", "columns"])
def test_index_takes_items_of_the_batch_as_from_a_tensor(index, shared):
    p = field((3, 4), 2)
    parts = p.log_diag, p.off_diag, p.cross
    part_of = {"nothing": ..., "factor": (0, 0), "rows": 0, "columns": (slice(None), slice(0, 1))}[shared]
    p = CholeskyGMRF(p.loc, *(part[part_of] for part in parts))
    x = p.sample()
    density = p.log_prob(x)
    items = torch.arange(12).reshape(3, 4)[list(index) if isinstance(index, range) else index]
    q = p[index]
    assert type(q) is CholeskyGMRF
    assert q.batch_shape == items.shape
    assert q.event_shape == p.event_shape
    for name in PARAMETERS:
        assert torch.equal(getattr(q, name), getattr(p, name).flatten(0, 1)[items])
    assert torch.equal(q.log_prob(x.flatten(0, 1)[items]), density.flatten()[items])
    assert q.rsample((2,)).shape == (2, *q.batch_shape, 2, 3, 4)
    torch.testing.assert_close(q.variance, p.variance.flatten(0, 1)[items])


def test_gradient_reaches_the_items_that_were_taken():
    p = field((3,))
    log_diag = p.log_diag.clone().requires_grad_()
    CholeskyGMRF(p.loc, log_diag, p.off_diag)[1:].entropy().sum().backward()
    assert torch.equal(log_diag.grad, torch.tensor([0.0, -1.0, -1.0]).double().view(3, 1, 1, 1).expand(3, 1, 3, 4))


def test_items_are_views_and_shared_factors_stay_shared():
    p = field((3,))
    assert p[1].off_diag.data_ptr() == p.off_diag[1].data_ptr()
    q = CholeskyGMRF(p.loc, p.log_diag[0], p.off_diag[0])[[2, 0]]
    assert q.off_diag.data_ptr() == p.off_diag.data_ptr()
    assert q.off_diag.stride(0) == 0


def test_batch_can_be_iterated_over():
    p = field((3,))
    x = p.sample()
    assert torch.equal(torch.stack([q.log_prob(y) for q, y in zip(p, x, strict=True)]), p.log_prob(x))
    with pytest.raises(TypeError, match="without batch axes"):
        list(field())


@pytest.mark.parametrize("index", [(0, 0), (..., ...), (0, ..., 0), torch.ones(3, 1).bool(), "a", 1.5])
def test_indices_beyond_the_batch_are_refused(index):
    with pytest.raises(IndexError, match="index must"):
        field((3,))[index]
    with pytest.raises(IndexError):
        field((3,))[3]
    with pytest.raises(IndexError, match="at most the 0 axes"):
        field()[0]


def test_index_keeps_the_class_and_whether_arguments_are_validated():
    class Named(CholeskyGMRF):
        pass

    p = field((2,))
    q = Named(p.loc, p.log_diag, p.off_diag, validate_args=False)
    for made in (q[0], q.to(torch.float32)):
        assert type(made) is Named
        assert made.log_prob(torch.full_like(made.loc, math.nan)).isnan().all()
    with pytest.raises(ValueError, match="value"):
        p[0].log_prob(torch.full_like(p.loc[0], math.nan))


@pytest.mark.parametrize("argument", [torch.float32, torch.zeros(0), "cpu"])
def test_to_takes_what_a_tensor_takes(argument):
    p = field((2,), 2)
    q = p.to(argument)
    assert q.loc.dtype == p.loc.to(argument).dtype
    expected = CholeskyGMRF(*(getattr(p, name).to(argument) for name in PARAMETERS))
    x = expected.sample((3,))
    assert torch.equal(q.log_prob(x), expected.log_prob(x))
    assert q.batch_shape == p.batch_shape
    assert p.to(dtype=torch.float64, copy=True).loc.data_ptr() != p.loc.data_ptr()


def test_to_another_device_moves_every_parameter():
    q = CholeskyGMRF(*(getattr(field((2,), 2), name) for name in PARAMETERS), validate_args=False).to("meta")
    assert {getattr(q, name).device.type for name in PARAMETERS} == {"meta"}
    assert q.log_prob(q.loc).device.type == "meta"
    assert q[0].entropy().shape == ()


def test_to_is_differentiable():
    p = field((2,))
    loc = p.loc.float().requires_grad_()
    q = CholeskyGMRF(loc, p.log_diag.float(), p.off_diag.float()).to(torch.float64)
    q.log_prob(p.loc + 1.0).sum().backward()
    assert loc.grad.dtype == torch.float32
    assert loc.grad.all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.complex64])
def test_to_refuses_other_dtypes_by_name(dtype):
    with pytest.raises(ValueError, match=f"dtype must be float32 or float64, got {dtype}"):
        field((2,)).to(dtype)
