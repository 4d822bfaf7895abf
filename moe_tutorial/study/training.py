"""Train many seeds as one model: ten runs take as long as three or four.

A claim rests on many seeds, and small models leave most of a processor idle. So the parameters of all seeds are
stacked, ``torch.func.vmap`` runs the same model over the stack, and one optimiser step moves them all. Adam works
element by element and the losses are added up, so no seed affects another.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from IPython import get_ipython
from IPython.display import DisplayHandle
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from tqdm import tqdm

from moe_tutorial.layers import Descent
from moe_tutorial.layers.checks import check_count, check_positive
from moe_tutorial.layers.modes import evaluating
from moe_tutorial.study.data import Dataset
from moe_tutorial.study.environment import interactive, shows_progress
from moe_tutorial.study.usage import share

EVALUATE_AT_ONCE = 2048
"""Test points per forward pass: many seeds at once need memory for each."""


class TrainingDiverged(RuntimeError):
    """The loss became infinite or NaN; training stopped before the update of that step."""


class Seeds:
    """A stack of models, one per seed; the first dimension of all tensors that it returns is the seed.

    Calling it runs the models in the mode of ``model``, which is training; its methods run them in evaluation.

    Attributes:
        model: the model's structure; its own parameters are not used. Its mixtures and trees compute all their experts
            and leaves (``dispatch="dense"``), as no shape under ``torch.vmap`` may depend on the data.
        parameters, buffers: name -> tensor (n_seeds, ...).
        losses: task loss of each step, float (steps, n_seeds).
        last_routing: the ``Routing`` or ``Descent`` of the last step's batches, fields (n_seeds, batch_size, ...); None
            before the first step, and for a model that returns only scores.
    """

    def __init__(self, models: Sequence[nn.Module]):
        self.model = models[0]
        self.parameters, self.buffers = stack_module_state(list(models))
        self.losses = torch.empty(0, len(models))
        self.last_routing: Any = None
        self._sparse = [name for name, part in self.model.named_modules() if getattr(part, "dispatch", "") == "sparse"]
        for name in self._sparse:
            self.model.get_submodule(name).dispatch = "dense"

    def __len__(self) -> int:
        return len(self.losses.T)

    def __call__(self, x: Tensor) -> Any:
        """Run each seed's model on its own batch, (n_seeds, B, d), or all models on the same batch, (B, d)."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Any:
            return functional_call(self.model, (parameters, buffers), (x,))

        # Noise must differ from seed to seed, or the seeds would not be independent runs.
        return vmap(one, in_dims=(0, 0, 0 if x.dim() == 3 else None), randomness="different")(
            self.parameters, self.buffers, x
        )

    @torch.no_grad()
    def scores(self, x: Tensor) -> Tensor:
        """Class scores: (B, d) -> (n_seeds, B, classes)."""
        with evaluating(self.model):
            return torch.cat([_scores_of(self(part)) for part in x.split(EVALUATE_AT_ONCE)], dim=1)

    @torch.no_grad()
    def routing(self, x: Tensor) -> Any:
        """The models' second output for x (B, d) as one batch: ``Routing`` or ``Descent``, fields (n_seeds, B, ...)."""
        with evaluating(self.model):
            return self(x)[1]

    def shares(self, x: Tensor) -> Tensor:
        """Fraction of the choices that went to each expert, or of the points that reached each leaf: (n_seeds, E)."""
        record = self.routing(x)
        if isinstance(record, Descent):
            return share(record.leaf.unsqueeze(-1), record.weights.shape[-1])
        return share(record.indices, record.probs.shape[-1])

    def accuracy(self, x: Tensor, y: Tensor) -> Tensor:
        """Fraction of the points that each seed's model gets right: (n_seeds,)."""
        return (self.scores(x).argmax(-1) == y).float().mean(-1)

    def one(self, index: int) -> nn.Module:
        """A copy of one seed's model as an ordinary module, with its trained parameters and its own dispatch."""
        model = copy.deepcopy(self.model)
        for name in self._sparse:
            model.get_submodule(name).dispatch = "sparse"
        model.load_state_dict({name: value[index] for name, value in (self.parameters | self.buffers).items()})
        return model


def train(
    build: Callable[[], nn.Module],
    data: Dataset,
    seeds: Sequence[int],
    *,
    steps: int = 800,
    batch_size: int = 128,
    learning_rate: float = 1e-2,
    penalty: Callable[[Any, int], Tensor] | None = None,
    freeze: Sequence[str] = (),
    on_step: Callable[[int, Seeds], None] | None = None,
) -> Seeds:
    """Train one model per seed to classify ``data``, all seeds at once, with Adam on the cross-entropy.

    A seed sets the model's initial parameters and its batches. Its result does not depend on which other seeds are
    trained beside it (except with noise, as all seeds draw from one random generator).

    Args:
        build: makes one model; ``model(x)`` gives class scores (B, classes), or ``(scores, routing)``. It may not
            branch on the values of tensors (``Seeds`` ensures this for mixtures and trees).
        data: trained on ``x_train`` (N, d) and ``y_train`` (N,).
        seeds: one model for each.
        steps: of the optimiser.
        batch_size: points per step and seed, drawn with replacement.
        learning_rate: of Adam.
        penalty: (routing, step) -> scalar, added to the loss of each seed; the first step is 0.
        freeze: names of parameters that keep their initial values.
        on_step: called as ``on_step(step, trained)`` before each step and once after the last.
            ``trained.last_routing`` is then that of the step before.

    Raises:
        TrainingDiverged: a loss is not finite.
        TypeError, ValueError: there is no seed, ``steps`` or ``batch_size`` is not an integer of at least 1,
            ``learning_rate`` is not above 0, or no parameter has a name in ``freeze``.
    """
    if not len(seeds):
        raise ValueError("seeds is empty; allowed is one seed or more")
    check_count("steps", steps)
    check_count("batch_size", batch_size)
    check_positive("learning_rate", learning_rate)

    device = data.x_train.device
    trained = Seeds([_build(build, seed).to(device) for seed in seeds])
    if unknown := set(freeze) - set(trained.parameters):
        raise ValueError(f"freeze names {sorted(unknown)}; the parameters are {sorted(trained.parameters)}")
    for name in freeze:
        trained.parameters[name].requires_grad_(False)
    learned = [parameter for parameter in trained.parameters.values() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=learning_rate, fused=True)
    batches = torch.stack([_batches(seed, len(data.x_train), steps, batch_size) for seed in seeds]).to(device)
    trained.losses = torch.empty(steps, len(seeds))

    with torch.random.fork_rng():
        torch.manual_seed(seeds[0])
        for step in progress(range(steps), steps, f"{len(seeds)} seeds"):
            if on_step:
                on_step(step, trained)
            rows = batches[:, step]
            # The same as indexing and a plain cross-entropy, but several times as fast on a CPU.
            output = trained(F.embedding(rows, data.x_train))
            task = F.cross_entropy(_scores_of(output).transpose(1, 2), data.y_train[rows], reduction="none").mean(1)
            loss = task if penalty is None else task + vmap(penalty, in_dims=(0, None))(output[1], step)
            _check_finite(loss, step, seeds)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            trained.losses[step] = task.detach()
            trained.last_routing = None if isinstance(output, Tensor) else output[1]
    if on_step:
        on_step(steps, trained)
    return trained


def _build(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def _batches(seed: int, n: int, steps: int, batch_size: int) -> Tensor:
    """Row indices of all batches of one seed, (steps, batch_size), from a random generator of its own."""
    return torch.randint(n, (steps, batch_size), generator=torch.Generator().manual_seed(seed))


def _scores_of(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _check_finite(loss: Tensor, step: int, seeds: Sequence[int]) -> None:
    finite = loss.isfinite()
    if not finite.all():
        first = int((~finite).nonzero()[0, 0])
        raise TrainingDiverged(
            f"the loss became {loss[first].item()} at step {step} (seed {seeds[first]}); training stopped there. "
            "A smaller learning_rate, or inputs without extreme values, usually helps."
        )


def progress(items: Iterable, total: int, name: str) -> Iterator:
    """The items, with a progress bar if a person can see it, but not in stored outputs or on a page."""
    file = NotebookLine() if interactive() and get_ipython() else None
    return iter(tqdm(items, total=total, desc=name, leave=False, file=file, disable=not shows_progress()))


class NotebookLine:
    """A cell's output for tqdm to write its line to: empty in the end, also in a notebook that is saved.

    tqdm's own widget comes back as text when the notebook is opened again.
    """

    def __init__(self):
        self.output = DisplayHandle()
        self.output.display({}, raw=True)

    def write(self, text: str) -> None:
        """Replace the line."""
        line = text.strip()
        self.output.update({"text/plain": line} if line else {}, raw=True)

    def flush(self) -> None:
        """Nothing is buffered."""
