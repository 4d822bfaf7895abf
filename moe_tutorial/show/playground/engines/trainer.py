"""A training in the kernel that a page can start, pause and change. It depends on no widget and no page.

A `Run` is the state of one training. A `Trainer` trains it in a thread, in short slices while a page shows it; the
thread ends when training is paused. It waits while a cell runs and has its own random state, so that it changes neither
the time that a cell takes nor the cell's random numbers.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from IPython import get_ipython
from torch import Tensor, nn

from moe_tutorial.layers import BiasBalancer
from moe_tutorial.layers.checks import check_count
from moe_tutorial.study import TrainingDiverged

RECENT = 20  # last training steps whose choices and losses are averaged, so that the picture does not flicker
MAX_HISTORY = 300  # maximum steps that the charts show; of a longer training every second, fourth, ... is kept
SLICE, FRAME = 0.008, 0.06  # seconds of training at a time, and between two frames
ANSWER = 3.0  # seconds without an answer of the page before training stops
BEHIND = 0.25  # maximum delay, in seconds, that a training with a given pace catches up on
ON_THE_WAY = 8  # maximum frames that are sent without an acknowledgement of the page

_turn = threading.Lock()  # must be held to touch a layer
_cell_runs = False
_active: "Trainer | None" = None  # only one trains at a time


@dataclass(eq=False)
class Run:
    """One training of one layer by Adam, and its records.

    Args:
        layer: the layer to train in place. Its call on (B, d) returns ``(scores, routing)``, as for `playground`.
        data: the points, with ``x_train`` (N, d) and ``y_train`` (N,).
        n_experts: number of the layer's experts.
        settings: ``seed`` of the batches and of the layer's random numbers; ``batch``, the points per step, which are
            drawn with replacement; ``rate``, Adam's learning rate; ``balance``, which is a name in ``losses``, "bias"
            or "none"; and its ``coefficient``.
        losses: the balance losses by name, each a function routing -> scalar tensor.

    Attributes:
        step: steps done since the start.
        recent: the records of the last steps: task loss, balance term, length of the router's gradient, and each
            expert's share of the choices.
    """

    layer: nn.Module
    data: Any
    n_experts: int
    settings: dict[str, Any]
    losses: Mapping[str, Callable[[Any], Tensor]]

    def __post_init__(self) -> None:
        self._first = deepcopy(self.layer.state_dict())
        self.restart()

    def restart(self) -> None:
        """Reset the layer to its initial state; the settings stay."""
        self.layer.load_state_dict(self._first)
        learned = [parameter for parameter in self.layer.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.Adam(learned)
        self._batches = torch.Generator().manual_seed(self.settings["seed"])
        self._stream = torch.Generator().manual_seed(self.settings["seed"]).get_state()
        self.step, self._k, self._every = 0, 0, 1
        self.recent: deque[np.ndarray] = deque(maxlen=RECENT)
        self._history: list[list[float]] = []

    @property
    def out(self) -> Tensor:
        """(E,) True for the experts that are knocked out."""
        return of_router(self.layer, "out", torch.zeros(self.n_experts, dtype=torch.bool))

    @property
    def noisy(self) -> bool:
        """Whether a slider can set the router's noise."""
        return not isinstance(of_router(self.layer, "noise", "absent"), str)

    @property
    def now(self) -> dict[str, Any]:
        """The settings, with those of the layer."""
        noise = {"noise": self.layer.router.noise or 0.0} if self.noisy else {}
        return self.settings | noise | {"E": self.n_experts, "k": self._k}

    def set(self, name: str, value: Any) -> None:
        """Change a setting; noise and k are attributes of the router."""
        if name in ("noise", "k"):
            setattr(self.layer.router, "top_k" if name == "k" else name, value)
        else:
            self.settings[name] = value
        if name == "balance" and of_router(self.layer, "out") is not None:
            self.layer.router.bias.zero_()  # the page's own router starts without a selection bias
        if name != "rate":
            self.recent.clear()  # recorded with other settings

    def knock(self, expert: int, gone: bool) -> None:
        """Knock an expert of the page's own layer out, or bring it back."""
        out = self.layer.router.out.clone()
        out[expert] = gone
        if out.all():
            raise ValueError(f"expert {expert} is the last one; one has to stay")
        self.layer.router.out = out
        self.recent.clear()

    def train(self, steps: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Train ``steps`` steps, or fewer if ``enough()`` is true after one of them.

        Raises:
            TrainingDiverged: the loss is not finite; that step has changed no parameter.
        """
        x, y = self.data.x_train, self.data.y_train
        for group in self._optimizer.param_groups:
            group["lr"] = self.settings["rate"]
        self.layer.train()
        with random_numbers_from(self._stream):
            for _ in range(steps):
                rows = torch.randint(len(x), (self.settings["batch"],), generator=self._batches)
                task, balance, routing = self._forward(x[rows], y[rows])
                self._optimizer.zero_grad()
                (task + balance).backward()
                self._optimizer.step()
                self._move_bias(routing)
                self._stream = torch.get_rng_state()
                self._keep(self._row(task, balance, routing, self._router_gradient()))
                if enough():
                    break

    def record(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        """The records for a frame. The last row of the history is the mean over ``recent``, or measured at these points
        if that is empty.
        """
        row = np.mean(self.recent, 0) if self.recent else self._row(*self._forward(x, y), gradient=0.0)
        now = [self.step, *row.tolist()]
        if not self.step:
            self._history = [now]
        history = [kept for kept in self._history if kept[0] < self.step] + [now]
        return {"recent": len(self.recent), "history": np.array(history, np.float32).tobytes()}

    def _forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Any]:
        """The task loss, the balance term and the routing at these points."""
        scores, routing = self.layer(x)
        task, balance = F.cross_entropy(scores, y), torch.zeros(())
        loss, coefficient = self.losses.get(self.settings["balance"]), self.settings["coefficient"]
        if loss is not None and coefficient:
            balance = coefficient * loss(self.remaining(routing))
        total = (task + balance).item()
        if not isfinite(total):
            what = f"the loss became {total} at step {self.step}; that step changed nothing"
            raise TrainingDiverged(f"{what}. Reset, and take a smaller learning rate or coefficient.")
        return task, balance, routing

    def _row(self, task: Tensor, balance: Tensor, routing: Any, gradient: float) -> np.ndarray:
        """A record for ``recent``."""
        self._k = routing.indices.shape[-1]
        counts = torch.bincount(routing.indices.flatten(), minlength=self.n_experts).numpy()
        return np.array([task.item(), balance.item(), gradient, *(counts / counts.sum())])

    def _router_gradient(self) -> float:
        """Length of the gradient of the router's weight in the last step; NaN if there is no such weight."""
        weight = of_router(self.layer, "weight")
        if weight is None:
            return nan
        return 0.0 if weight.grad is None else weight.grad.norm().item()

    def _move_bias(self, routing: Any) -> None:
        """Balance by the router's selection bias, if that is the setting."""
        bias, rate = of_router(self.layer, "bias"), self.settings["coefficient"]
        if self.settings["balance"] == "bias" and bias is not None and rate:
            remaining = ~self.out
            moved = bias[remaining]
            BiasBalancer(rate).update(moved, self.remaining(routing).indices)
            bias[remaining] = moved

    def remaining(self, routing: Any) -> Any:
        """The routing without the experts that are knocked out, which no token has chosen.

        Fields with a column for each expert lose the columns of these experts, and ``indices`` are renumbered.
        """
        remaining = ~self.out
        if remaining.all():
            return routing
        fields = {
            name: value[:, remaining]
            for name, value in routing._asdict().items()
            if name not in ("indices", "weights") and value is not None and value.shape[1] == self.n_experts
        }
        place = remaining.cumsum(0) - 1
        return routing._replace(indices=place[routing.indices], **fields)

    def _keep(self, row: np.ndarray) -> None:
        self.step += 1
        self.recent.append(row)
        if self.step % self._every == 0:
            self._history.append([self.step, *np.mean(self.recent, 0)])
        if len(self._history) > MAX_HISTORY:
            self._every *= 2
            self._history = [kept for kept in self._history if kept[0] % self._every == 0]


class Trainer:
    """Trains a panel's run in a background thread that waits while a cell runs, and sends frames to the page.

    Args:
        panel: the widget. Its ``frame`` is what the page draws. Its method ``obey`` handles a page's message beyond
            start, pause, step and reset, and may replace ``run``; ``measure`` returns the content of a frame. Both may
            touch the layer.

    Attributes:
        run: the run to train; None if there is none yet.
        running: whether it trains in the background.
        pace: training steps per second; 0 for as many as possible.
    """

    def __init__(self, panel: Any) -> None:
        self.panel, self.running, self.pace = panel, False, 0
        self.run: Run | None = None
        self._owed, self._paced = 0.0, 0.0  # steps due by the pace, and the time up to which they are counted
        self._notes: deque[dict] = deque()  # the page's clicks and slider moves, for the thread to handle
        self._due, self._serial, self._number, self._seen, self._heard, self._shown = False, 0, 0, 0, 0.0, 0.0
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()
        _take_turns()
        if _active is not None:
            _active.pause()

    @property
    def step(self) -> int:
        return self.run.step if self.run else 0

    def start(self) -> None:
        """Train in the background, a few milliseconds at a time, while a page shows the panel and no cell runs."""
        global _active
        if self.run is None:
            return
        if _active not in (None, self) and _active.running:
            _active.leave()
        _active = self
        self._heard = self._paced = time.monotonic()
        self._owed, self.running = 0.0, True
        self._wake()

    def pause(self) -> None:
        """Stop training in the background, and wait up to two seconds for the thread to end."""
        self.running = self._due = False
        thread = self._thread
        if thread is not None:
            thread.join(2)
        with _turn:
            self._safely(self._show)

    def leave(self) -> None:
        """Stop training in the background without waiting for the thread."""
        self.running, self._due = False, True
        self._wake()

    def advance(self, steps: int = 1) -> None:
        """Train ``steps`` steps in the calling thread.

        Raises:
            RuntimeError: the page, and not the kernel, trains.
        """
        check_count("steps", steps, 0)
        if self.run is None:
            raise RuntimeError("the page trains here; playground(layer, data) trains a layer of yours in the kernel")
        with _turn:
            self.run.train(steps)
            self._show()

    def reset(self) -> None:
        """Reset the layer to its initial state; the sliders stay."""
        if self.run is None:
            return
        with _turn:
            self.run.restart()
            self._show()

    def receive(self, _: Any, content: dict, buffers: list) -> None:
        """Event handler for the page's messages. Any thread may call it, so it does not touch the layer."""
        if "seen" in content:
            self._seen, self._heard = content["seen"], time.monotonic()
        elif content.get("do") == "start":
            self.start()
        elif content.get("do") == "pause":
            self.leave()
        else:
            self._notes.append(content | {"buffers": buffers})
            self._wake()

    def _wake(self) -> None:
        with self._mutex:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="moe-live", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            with self._mutex:
                if not (self.running or self._due or self._notes):
                    self._thread = None
                    return
            asked = bool(self._notes)
            with _turn:
                if not _cell_runs:
                    self._safely(self._work_a_little)
            if _cell_runs:
                self._heard = time.monotonic()
            # Let other threads run: the cell's, or those that send the answer to the page.
            time.sleep(0.02 if _cell_runs or asked else 0.001)

    def _safely(self, act: Callable[[], None]) -> None:
        """Call ``act``. If the learner's layer raises, stop training and show the message in the page."""
        try:
            act()
        except Exception as error:
            self.running = False
            self._notes.clear()
            self._send_stamped({"error": f"{type(error).__name__}: {error}"})

    # Callers of these methods hold _turn.

    def _work_a_little(self) -> None:
        while self._notes:
            self._obey(self._notes.popleft())
            self._due = True
        if self.running:
            end = time.perf_counter() + (SLICE / 3 if self._due else SLICE)
            before = self.run.step
            self.run.train(self._steps_due(), lambda: bool(self._notes) or time.perf_counter() > end)
            self._owed -= self.run.step - before
            if time.monotonic() - self._heard > ANSWER:
                self.running, self._due = False, True
        due = self._due or time.monotonic() - self._shown > FRAME
        if not self.running or (due and self._number - self._seen < ON_THE_WAY):
            self._show()

    def _steps_due(self) -> int:
        if not self.pace:
            return 1_000
        now = time.monotonic()
        self._owed = min(self._owed + (now - self._paced) * self.pace, max(1.0, BEHIND * self.pace))
        self._paced = now
        return int(self._owed)

    def _obey(self, note: dict) -> None:
        self.pace = note.get("pace", self.pace)
        self.panel.obey(note)
        if self.run is None:
            return
        if note.get("do") == "reset":
            self.run.restart()
        elif note.get("do") == "step":
            self.run.train(1)
        self._serial = note.get("serial", self._serial)

    def _show(self) -> None:
        self._send_stamped({"error": ""} | self.panel.measure() if self.run else {})

    def _send_stamped(self, frame: dict[str, Any]) -> None:
        self._due, self._shown = False, time.monotonic()
        self._number += 1
        stamp = {"step": self.step, "running": self.running, "serial": self._serial, "number": self._number}
        self.panel.frame = self.panel.frame | frame | stamp


def _take_turns() -> None:
    """Register the event handlers by which trainers wait while a cell runs."""
    global _cell_runs
    shell = get_ipython()
    if shell is not None and _cell_begins not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", _cell_begins)
        shell.events.register("post_run_cell", _cell_ends)
        _cell_runs = True  # the cell that makes the panel


def _cell_begins(*_: object) -> None:
    global _cell_runs
    _cell_runs = True
    with _turn:  # waits for the end of a slice that has begun
        pass


def _cell_ends(*_: object) -> None:
    global _cell_runs
    _cell_runs = False


def of_router(layer: nn.Module, name: str, default: Any = None) -> Any:
    """An attribute of the layer's router; ``default`` if the router or the attribute is missing."""
    return getattr(getattr(layer, "router", None), name, default)


@contextmanager
def random_numbers_from(stream: Tensor) -> Iterator[None]:
    """Context manager in which torch draws from this CPU state; afterwards it has its former state again."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(stream)
        yield


@contextmanager
def preserving(layer: nn.Module, seed: int) -> Iterator[None]:
    """Context manager to call a layer without gradients; buffers and random state are restored.

    The layer is put in training mode at the start and at the end.
    """
    kept = [(buffer, buffer.clone()) for buffer in layer.buffers()]
    layer.train()
    with torch.no_grad(), random_numbers_from(torch.Generator().manual_seed(seed).get_state()):
        try:
            yield
        finally:
            layer.train()
            for buffer, value in kept:
                buffer.copy_(value)
