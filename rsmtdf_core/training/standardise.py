"""Affine maps of a teacher's tokens: the targets that the student learns instead of the tokens themselves.

Centering subtracts the mean token, which makes up more than half of the raw MSE of common teachers. PHI-S also rotates
the tokens and divides them by one number, so that every channel has unit variance and distances keep their ratios.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rsmtdf_core.errors import ConfigError

Floats = npt.NDArray[np.float64]

# With a variance below this share of the largest squared mean, the tokens of a sample do not vary.
_CONSTANT = 1e-12


@dataclass(frozen=True, slots=True)
class TokenMap:
    """The map t -> (t - offset) @ matrix of tokens [..., D].

    Attributes:
        offset: the mean token, float32 [D].
        matrix: float32 [D, D]; None for the identity.
    """

    offset: Tensor
    matrix: Tensor | None = None

    def __call__(self, tokens: Tensor) -> Tensor:
        """Map tokens, float32 [..., D], to a new tensor of the same shape."""
        centered = tokens - self.offset
        return centered if self.matrix is None else centered @ self.matrix

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        matrix = {} if self.matrix is None else {"matrix": self.matrix}
        return {"offset": self.offset, **matrix}

    def to(self, device: torch.device) -> "TokenMap":
        """Return the map on a device."""
        matrix = None if self.matrix is None else self.matrix.to(device)
        return TokenMap(self.offset.to(device), matrix)


def phi_s(mean: Floats, covariance: Floats) -> TokenMap:
    """Return the PHI standardization of tokens with this mean [D] and covariance [D, D].

    With the eigenvectors U and eigenvalues of the covariance, a Hadamard matrix H of orthonormal rows, and alpha the
    root of the mean eigenvalue, a token t becomes H U^T (t - mean) / alpha (Ranzinger et al. 2024, PHI-S:
    Distribution Balancing for Label-Free Multi-Teacher Distillation, arXiv 2410.01680). All entries of H have the same
    size, so each channel has the mean of the eigenvalues as variance before the division, and 1 after it. H and U are
    orthogonal, so all distances are divided by alpha.

    Raises:
        ConfigError: If no Hadamard matrix of order D is known here, or the tokens do not vary.
    """
    _, eigenvectors = np.linalg.eigh(covariance)
    # The sign of an eigenvector is arbitrary, and libraries differ in it.
    largest = np.abs(eigenvectors).argmax(axis=0)
    eigenvectors *= np.sign(eigenvectors[largest, np.arange(len(mean))])
    variance = float(np.trace(covariance)) / len(mean)  # also the mean of the eigenvalues
    if not variance > _CONSTANT * float(np.square(mean).max(initial=0)):
        raise _unusable("the tokens of the sample do not vary")
    rotation = eigenvectors @ hadamard(len(mean)).T / np.sqrt(len(mean))
    matrix = np.ascontiguousarray(rotation / np.sqrt(variance), np.float32)
    return TokenMap(torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(matrix))


def token_moments(views: Iterable[npt.NDArray[Any]]) -> tuple[Floats, Floats]:
    """Return the mean [D] and the covariance [D, D] of the tokens of views [H, W, D], reading one view at a time."""
    count, shift = 0, None
    total: Any = 0.0
    products: Any = 0.0
    for view in views:
        tokens = view.reshape(-1, view.shape[-1]).astype(np.float64)
        # Near the mean of all views, so that little cancels in the difference below.
        shift = tokens.mean(axis=0) if shift is None else shift
        tokens -= shift
        count += len(tokens)
        total = total + tokens.sum(axis=0)
        products = products + tokens.T @ tokens
    assert shift is not None, "moments of no views"
    mean = total / count
    return shift + mean, products / count - np.outer(mean, mean)


def hadamard(order: int) -> npt.NDArray[np.int64]:
    """Return a Hadamard matrix: entries 1 and -1, and orthogonal rows, int64 [order, order].

    Sylvester's doubling starts from 1, 2 or an order of Paley's two constructions (Paley 1933, On Orthogonal Matrices):
    q + 1 for a prime q = 3 mod 4, or 2 (q + 1) for a prime q = 1 mod 4. This covers the widths of common teachers.

    Raises:
        ConfigError: If these constructions do not give the order.
    """
    matrix = _smallest(order)
    doublings = 0
    while matrix is None and order % 2 == 0:
        order, doublings = order // 2, doublings + 1
        matrix = _smallest(order)
    if matrix is None:
        raise _unusable(
            f"it needs a Hadamard matrix, and none of order {order << doublings} is known"
        )
    for _ in range(doublings):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _smallest(order: int) -> npt.NDArray[np.int64] | None:
    """Return a matrix of order 1 or of a construction by Paley; None if there is none."""
    if order == 1:
        return np.ones((1, 1), np.int64)
    if order % 4 == 0 and _is_prime(order - 1):
        skew = _bordered(order - 1, -1)
        return skew + np.eye(order, dtype=np.int64)
    if order % 4 == 0 and order // 2 % 4 == 2 and _is_prime(order // 2 - 1):
        conference = _bordered(order // 2 - 1, 1)
        identity = np.eye(order // 2, dtype=np.int64)
        return np.kron(conference, [[1, 1], [1, -1]]) + np.kron(identity, [[1, -1], [-1, -1]])
    return None


def _bordered(prime: int, left: int) -> npt.NDArray[np.int64]:
    """Return Jacobsthal's matrix of a prime with a border: 1 above, `left` at the left, 0 in the corner."""
    residues = np.full(prime, -1)
    residues[np.arange(1, prime) ** 2 % prime] = 1
    residues[0] = 0
    numbers = np.arange(prime)
    inner = residues[(numbers[:, None] - numbers) % prime]
    return np.block(
        [
            [np.zeros((1, 1), np.int64), np.ones((1, prime), np.int64)],
            [np.full((prime, 1), left), inner],
        ]
    )


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _unusable(why: str) -> ConfigError:
    return ConfigError(
        f"the targets of a teacher cannot be standardized by phi-s: {why}",
        where="objective.distillation.targets",
        remedy="--set objective.distillation.targets=centered",
    )
