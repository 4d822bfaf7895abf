"""The data of the course, small enough for a laptop. Nothing is downloaded.

Three data sets are for classification: points in the plane (``regimes_2d``), handwritten digits (``digits``), and
digits under four rules at once (``digits4``). Three kinds of text are for next-character prediction (``texts``).
"""

import ast
import importlib.util
import random
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from moe_tutorial.layers.checks import check_choice, check_count
from moe_tutorial.study.environment import seeds

N_REGIMES = 4


class Dataset(NamedTuple):
    """Inputs, labels and the hidden rule that made each label, split into training and test data.

    ``x_*`` (N, d) float32 · ``y_*`` (N,) int64 class · ``regime_*`` (N,) int64 rule, all zero if there is one rule.
    """

    x_train: Tensor
    y_train: Tensor
    regime_train: Tensor
    x_test: Tensor
    y_test: Tensor
    regime_test: Tensor

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data on another device, such as ``"cuda"`` or ``"mps"``; `train` then works there."""
        return Dataset(*(part.to(device) for part in self))


def _inputs(kind: str, x_train: np.ndarray, x_test: np.ndarray) -> tuple[Tensor, Tensor]:
    """Raw pixels, or pixels standardised with the training set's own mean and deviation."""
    if check_choice("inputs", kind, ("raw", "standardised")) == "standardised":
        # Border pixels are always blank: their deviation is 0, and a division by it would be NaN.
        mean, deviation = x_train.mean(0), x_train.std(0)
        deviation[deviation < 1e-6] = 1.0
        x_train, x_test = (x_train - mean) / deviation, (x_test - mean) / deviation
    return torch.tensor(x_train, dtype=torch.float32), torch.tensor(x_test, dtype=torch.float32)


def _split_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 8, 8) from 0 to 1, and labels. All seeds of a study share a split; another MOE_SEED draws another."""
    images, labels = load_digits(return_X_y=True)
    draw = seeds(1)[0] % 2**32  # scikit-learn takes no more bits
    return train_test_split(images.reshape(-1, 8, 8) / 16, labels, test_size=0.25, random_state=draw, stratify=labels)


def regimes_2d(n: int = 1024, seed: int = 0) -> Dataset:
    """Points in the square [-1, 1]², where each quarter has a rule of its own for telling class 0 from class 1.

    In every quarter a straight line splits the points, and the line turns by 45 degrees from one quarter to the next.
    A straight line can solve one quarter, but not all four.

    Args:
        n: points in the training set; as many again are drawn for the test set.
        seed: of the draw.

    Returns:
        Dataset with ``x`` (n, 2), ``y`` in {0, 1}, ``regime`` in {0, 1, 2, 3} (the quarter).

    Raises:
        TypeError, ValueError: ``n`` is not an integer of at least 1.

    Source: made up for this course.
    """
    check_count("n", n)
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(2 * n, 2, generator=generator) - 1
    right, upper = (x > 0).long().T
    regime = 2 * upper + (right ^ upper)  # counter-clockwise from the lower left
    centre = 0.5 * x.sign()
    angle = torch.pi * (0.25 * regime + 0.125)
    normal = torch.stack([angle.cos(), angle.sin()], dim=-1)
    y = (((x - centre) * normal).sum(-1) > 0).long()
    return Dataset(x[:n], y[:n], regime[:n], x[n:], y[n:], regime[n:])


def digits(inputs: str = "raw") -> Dataset:
    """Handwritten digits, 8 x 8 pixels: 1,347 to train on, 450 to test.

    Args:
        inputs: ``"raw"`` for pixels from 0 to 1, ``"standardised"`` for mean 0 and deviation 1 per pixel.

    Returns:
        Dataset with ``x`` (N, 64), ``y`` in 0..9, ``regime`` all zero.

    Raises:
        ValueError: another kind of ``inputs``.

    Source: the UCI optical digits (Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49), the part that ships
    with scikit-learn (``sklearn.datasets.load_digits``).
    """
    train, test, y_train, y_test = _split_digits()
    x_train, x_test = _inputs(inputs, train.reshape(-1, 64), test.reshape(-1, 64))
    y_train, y_test = torch.as_tensor(y_train), torch.as_tensor(y_test)
    return Dataset(x_train, y_train, torch.zeros_like(y_train), x_test, y_test, torch.zeros_like(y_test))


def digits4(inputs: str = "raw") -> Dataset:
    """Digits under four rules: each image in four rotations, and each rotation with its own names for the digits.

    A 7 on its side is not a 7 here: rotation r has a fixed permutation of the ten labels (rotation 0 keeps them). The
    four rules share nothing but the pen strokes, which makes it a fair test of experts: with one rule, as in
    :func:`digits`, there is nothing to divide.

    Args:
        inputs: ``"raw"`` for pixels from 0 to 1, ``"standardised"`` for mean 0 and deviation 1 per pixel.

    Returns:
        Dataset with ``x`` (5388 or 1800, 64), ``y`` in 0..9, ``regime`` in {0, 1, 2, 3}: quarter turns.

    Raises:
        ValueError: another kind of ``inputs``.

    Source: scikit-learn's digits as in :func:`digits`; the rotations and the relabelling were made for this course.
    """
    train, test, y_train, y_test = _split_digits()
    names = np.stack([np.arange(10), *(np.random.default_rng(r).permutation(10) for r in range(1, N_REGIMES))])

    def under_four_rules(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, Tensor, Tensor]:
        x = np.concatenate([np.rot90(images, r, axes=(1, 2)) for r in range(N_REGIMES)]).reshape(-1, 64)
        y = np.concatenate([names[r][labels] for r in range(N_REGIMES)])
        regime = np.repeat(np.arange(N_REGIMES), len(labels))
        return x, torch.as_tensor(y), torch.as_tensor(regime)

    # The split comes before the rotation: no test image has a rotated twin in the training set.
    train, y_train, regime_train = under_four_rules(train, y_train)
    test, y_test, regime_test = under_four_rules(test, y_test)
    x_train, x_test = _inputs(inputs, train, test)
    return Dataset(x_train, y_train, regime_train, x_test, y_test, regime_test)


def put_aside(data: Dataset) -> tuple[Dataset, tuple[Tensor, Tensor]]:
    """:func:`digits4` with four fifths of its training images, in all rotations; and the others, x and y, to choose on.

    Nothing that is chosen on these has to be asked of the test images.
    """
    images = len(data.x_train) // N_REGIMES
    kept = torch.arange(len(data.x_train)) % images < images * 4 // 5
    most = data._replace(x_train=data.x_train[kept], y_train=data.y_train[kept], regime_train=data.regime_train[kept])
    return most, (data.x_train[~kept], data.y_train[~kept])


CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
"""The vocabulary of the texts: line end and printable ASCII, 96 characters. A character's token id is its index."""

CODE = "argparse bisect calendar configparser csv difflib fractions heapq optparse pprint statistics tarfile textwrap"
"""Modules of the standard library whose source is the domain "code": in pure Python, much the same in all versions."""


class Texts(NamedTuple):
    """Texts of several domains, of equal length, as indices into :data:`CHARACTERS`.

    ``names`` of the D domains · ``train`` (D, N) and ``test`` (D, M) int64.
    """

    names: tuple[str, ...]
    train: Tensor
    test: Tensor


def encode(text: str) -> Tensor:
    """A text as token ids, int64 (N,). Accents are dropped, tabs expanded, and unknown characters become "?"."""
    plain = unicodedata.normalize("NFKD", text.replace("\r\n", "\n").expandtabs(4))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    known = {character: number for number, character in enumerate(CHARACTERS)}
    return torch.tensor([known.get(c, known["?"]) for c in plain], dtype=torch.int64)


def decode(tokens: Tensor) -> str:
    """The text of these token ids, int (N,)."""
    return "".join(CHARACTERS[number] for number in tokens.tolist())


def texts(n: int = 120_000, own: Mapping[str, Path | str] | None = None) -> Texts:
    """Prose, code and arithmetic for next-character prediction, ``n`` characters of each.

    Nothing is downloaded. **Prose** is paragraphs of Python's own manual (``pydoc_data.topics``), without its
    examples; **code** is modules of the standard library without docstrings and comments, written out again by
    :func:`ast.unparse`, so that its style is the same everywhere; **arithmetic** is generated sums and products.
    The first two differ a little between Python versions, so figures that rest on them need a tolerance.

    Args:
        n: characters per domain, the last tenth of them for testing.
        own: more domains, name -> a text file in UTF-8 of at least ``n`` characters; the name of a domain above
            replaces it.

    Raises:
        TypeError, ValueError: ``n`` is not an integer of at least 1,000, a text is shorter, or a file is not text.
        FileNotFoundError: there is no such file.

    Sources: the Python Software Foundation's manual and library, part of every Python under the PSF licence.
    """
    check_count("n", n, low=1000)
    sources = {"prose": _prose, "code": _code, "arithmetic": lambda: _arithmetic(n)}
    for name, path in (own or {}).items():
        sources[name] = lambda name=name, path=Path(path): _read(name, path)
    streams = []
    for name, source in sources.items():
        tokens = encode(source())
        if len(tokens) < n:
            raise ValueError(f"{name} holds {len(tokens)} characters; allowed is n = {n} or more: choose a smaller n")
        streams.append(tokens[:n])
    both = torch.stack(streams)
    return Texts(tuple(sources), both[:, : n - n // 10], both[:, n - n // 10 :])


CHARACTER_CLASSES = ("lower case", "upper case", "digit", "space", "line end", "sign")


def character_class(tokens: Tensor) -> Tensor:
    """The index in :data:`CHARACTER_CLASSES` of each token's class, int (...) -> int64 (...)."""
    tests = (str.islower, str.isupper, str.isdigit, " ".__eq__, "\n".__eq__)
    kinds = [next((place for place, test in enumerate(tests) if test(c)), len(tests)) for c in CHARACTERS]
    return torch.tensor(kinds)[tokens]


def _prose() -> str:
    """Paragraphs of running text in the manual: not indented, and mostly letters."""
    paragraphs = []
    for name in sorted(topics):
        for paragraph in topics[name].split("\n\n"):
            line = " ".join(paragraph.split())
            letters = sum(c.isalpha() or c == " " for c in line)
            if len(line) > 60 and not paragraph.startswith((" ", "*")) and letters > 0.9 * len(line):
                paragraphs.append(line)
    return "\n".join(paragraphs)


def _code() -> str:
    """Source code without docstrings and comments, which are prose."""
    modules = []
    for name in CODE.split():
        spec = importlib.util.find_spec(name)
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(
                node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ) and ast.get_docstring(node):
                node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]
        modules.append(ast.unparse(tree))
    return "\n".join(modules)


def _arithmetic(n: int) -> str:
    """Sums, differences and products of numbers below 100, one per line, from a fixed seed."""
    draw = random.Random(0)
    lines = []
    for _ in range(n // 6 + 1):  # the shortest line, 0+0=0 with its end, has six characters
        a, b, sign = draw.randrange(100), draw.randrange(100), draw.choice("+-*")
        lines.append(f"{a}{sign}{b}={a + b if sign == '+' else a - b if sign == '-' else a * b}")
    return "\n".join(lines)


def _read(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} for {name!r} is not a text in UTF-8 ({error.reason}); allowed is a plain text file"
        ) from None
