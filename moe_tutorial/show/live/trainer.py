"""A training in the kernel that a panel can start, pause and change. It knows no widget and no page.

A `Run` is one training as far as it has come. A `Trainer` is a thread that trains it in short slices while somebody
watches, and ends when it is paused. It waits while a cell runs, and draws its random numbers from a stream of its own:
so it disturbs neither a cell's time nor its randomness.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass
from math import isfinite
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from IPython import get_ipython
from torch import Tensor, nn

from moe_tutorial.layers.checks import check_count
from moe_tutorial.study import TrainingDiverged

RECENT = 20
"""Training steps whose choices and losses are averaged, so that a single batch does not make the picture flicker."""
MAX_HISTORY = 300
"""Steps that the charts show; of a longer training every second, fourth, ... is kept."""
SLICE, FRAME, ANSWER = 0.008, 0.06, 3.0
"""Seconds: of training at a time, between two frames, and until a page that does not answer is given up."""
BEHIND = 0.25
"""Seconds of its pace that a training may make up for."""
ON_THE_WAY = 8
"""Frames that may be under way before the page says that it has drawn one of them."""

_turn = threading.Lock()  # who holds it may touch a layer
_cell_runs = False
_active: "Trainer | None" = None  # one trains at a time


@dataclass(eq=False)
class Run:
    """One training of one layer by Adam, and what is recorded of it.

    Attributes:
        step: steps done since the start.
        k: experts that were chosen per point when it last looked.
        recent: the records of the last steps: task loss, balance term, each expert's share of the choices.
    """

    layer: nn.Module
    """Trained in place; its call on (B, d) returns ``(scores, routing)``, as for `train_live`."""
    data: Any
    """With ``x_train`` (N, d) and ``y_train`` (N,)."""
    n_experts: int
    _: KW_ONLY
    seed: int
    """Of the batches, and of the stream that the layer's noise is drawn from."""
    batch_size: int
    """Points a step, drawn with replacement."""
    rate: float
    """Of Adam."""
    coefficient: float = 0.0
    balance: Callable[[Any], Tensor] | None = None
    """``coefficient * balance(routing)`` joins the cross-entropy."""
    after_step: Callable[[Any], None] | None = None
    """Called with the routing after each step."""

    def __post_init__(self) -> None:
        self._first = deepcopy(self.layer.state_dict())
        self.restart()

    def restart(self) -> None:
        """Back to the layer as it was given; rate, coefficient and batch size stay."""
        self.layer.load_state_dict(self._first)
        learned = [parameter for parameter in self.layer.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.Adam(learned, lr=self.rate)
        self._batches = torch.Generator().manual_seed(self.seed)
        self._stream = torch.Generator().manual_seed(self.seed).get_state()
        self.step, self.k, self._every = 0, 0, 1
        self.recent: deque[np.ndarray] = deque(maxlen=RECENT)
        self._history: list[list[float]] = []

    @property
    def noisy(self) -> bool:
        """Whether a slider can set the router's noise."""
        return not isinstance(of_router(self.layer, "noise", "absent"), str)

    @property
    def settings(self) -> dict[str, Any]:
        """Where the sliders stand."""
        noise = {"noise": self.layer.router.noise or 0.0} if self.noisy else {}
        return noise | {"coefficient": self.coefficient, "rate": self.rate, "batch": self.batch_size, "k": self.k}

    def set(self, name: str, value: Any) -> None:
        """Move a slider: noise and k are the router's own, the others the run's."""
        owner = self.layer.router if name in ("noise", "k") else self
        setattr(owner, {"k": "top_k", "batch": "batch_size"}.get(name, name), value)
        if name != "rate":
            self.recent.clear()  # choices with other settings

    def train(self, steps: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Train so many steps, or fewer where it is ``enough`` after one of them.

        Raises:
            TrainingDiverged: the loss is not finite; that step has changed nothing.
        """
        x, y = self.data.x_train, self.data.y_train
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate
        self.layer.train()
        with random_numbers_from(self._stream):
            for _ in range(steps):
                rows = torch.randint(len(x), (self.batch_size,), generator=self._batches)
                loss, routing, row = self._loss(x[rows], y[rows])
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
                if self.after_step:
                    self.after_step(routing)
                self._stream = torch.get_rng_state()
                self._keep(row)
                if enough():
                    break

    def record(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        """What a frame says of it: the mean over the last steps, or, before any, what is chosen for these points."""
        row = np.mean(self.recent, 0) if self.recent else self._loss(x, y)[2]
        now = [self.step, *row.tolist()]
        if not self.step:
            self._history = [now]
        history = [kept for kept in self._history if kept[0] < self.step] + [now]
        recent = {"steps": len(self.recent), "task": now[1], "balance": now[2], "shares": now[3:]}
        return {"recent": recent, "history": np.array(history, np.float32).tobytes()}

    def _loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Any, np.ndarray]:
        """The loss, the routing, and what is recorded of them."""
        scores, routing = self.layer(x)
        loss = task = F.cross_entropy(scores, y)
        if self.coefficient:
            loss = task + self.coefficient * self.balance(routing)
        if not isfinite(loss.item()):
            what = f"the loss became {loss.item()} at step {self.step}; that step changed nothing"
            raise TrainingDiverged(f"{what}. Reset, and take a smaller learning rate or coefficient.")
        counts = torch.bincount(routing.indices.flatten(), minlength=self.n_experts).numpy()
        self.k = routing.indices.shape[-1]
        return loss, routing, np.array([task.item(), loss.item() - task.item(), *(counts / counts.sum())])

    def _keep(self, row: np.ndarray) -> None:
        self.step += 1
        self.recent.append(row)
        if self.step % self._every == 0:
            self._history.append([self.step, *np.mean(self.recent, 0)])
        if len(self._history) > MAX_HISTORY:
            self._every *= 2
            self._history = [kept for kept in self._history if kept[0] % self._every == 0]


class Trainer:
    """A thread for a panel's run, its turns with the notebook's cells, and the pace of the frames.

    Args:
        panel: the widget. Its ``obey`` does what a page's message asks beyond start, pause, step and reset, and may
            exchange ``run``; its ``measure`` looks at the layer as it stands, and returns what a frame holds. Both may
            touch the layer. Its ``put`` hands a frame, or a part of one, to the page.
        run: what is trained; None where that is not known yet.

    Attributes:
        running: whether it trains by itself.
        pace: training steps a second; 0 for as many as it can.
    """

    def __init__(self, panel: Any, run: Run | None = None) -> None:
        self.panel, self.run, self.running, self.pace = panel, run, False, 0
        self._owed, self._paced = 0.0, 0.0  # steps that the pace asks for, and up to when they are counted
        self._notes: deque[dict] = deque()  # clicks and slider moves, for the thread that may touch the layer
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
        """Train by itself, a few milliseconds at a time, while a page shows the panel and no cell runs."""
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
        """Stop training by itself; its thread has ended when this returns."""
        self.running = self._due = False
        thread = self._thread
        if thread is not None:
            thread.join(2)
        with _turn:
            self._safely(self._show)

    def leave(self) -> None:
        """Stop training by itself soon, without waiting for it."""
        self.running, self._due = False, True
        self._wake()

    def advance(self, steps: int = 1) -> None:
        """Train so many steps here and now."""
        check_count("steps", steps, 0)
        with _turn:
            self.run.train(steps)
            self._show()

    def reset(self) -> None:
        """Back to the layer as it was given, with the sliders as they are."""
        if self.run is None:
            return
        with _turn:
            self.run.restart()
            self._show()

    def receive(self, _: Any, content: dict, buffers: list) -> None:
        """A message of the page. It comes in whatever thread brings it, so it only leaves a note."""
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
            # Others' turn: the cell's, or theirs who carry the answer to the page and draw it.
            time.sleep(0.02 if _cell_runs or asked else 0.001)

    def _safely(self, act: Callable[[], None]) -> None:
        """The learner's layer may raise: show what it says, and stay alive."""
        try:
            act()
        except Exception as error:
            self.running = False
            self._notes.clear()
            self._send_stamped({"error": f"{type(error).__name__}: {error}"})

    # Who calls these holds _turn.

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
        self.panel.put(frame | stamp)


def _take_turns() -> None:
    """Wait from now on while a cell runs."""
    global _cell_runs
    shell = get_ipython()
    if shell is not None and _cell_begins not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", _cell_begins)
        shell.events.register("post_run_cell", _cell_ends)
        _cell_runs = True  # the one that makes the panel


def _cell_begins(*_: object) -> None:
    global _cell_runs
    _cell_runs = True
    with _turn:  # a slice that has begun ends first
        pass


def _cell_ends(*_: object) -> None:
    global _cell_runs
    _cell_runs = False


def of_router(layer: nn.Module, name: str, default: Any = None) -> Any:
    """A part of the layer's router, if both are there."""
    return getattr(getattr(layer, "router", None), name, default)


@contextmanager
def random_numbers_from(stream: Tensor) -> Iterator[None]:
    """Within it torch draws from this state; afterwards the learner's own stream goes on where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(stream)
        yield


@contextmanager
def looking(layer: nn.Module, seed: int) -> Iterator[None]:
    """A look in training mode, which changes nothing: no gradient, no buffer, no random number that somebody needs."""
    kept = [(buffer, buffer.clone()) for buffer in layer.buffers()]
    layer.train()
    with torch.no_grad(), random_numbers_from(torch.Generator().manual_seed(seed).get_state()):
        try:
            yield
        finally:
            layer.train()
            for buffer, value in kept:
                buffer.copy_(value)
