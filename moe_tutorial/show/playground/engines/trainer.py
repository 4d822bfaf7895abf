"""A training in the kernel that a panel can start, pause and change. It depends on no widget and no page.

A `Run` is the state of one training. A `Trainer` trains it in a thread, in short slices while a page shows it; the
thread ends when training is paused. It waits while a cell runs and has its own random state, so that it changes neither
the time that a cell takes nor the cell's random numbers.
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
"""Last training steps whose choices and losses are averaged, so that the picture does not flicker."""
MAX_HISTORY = 300
"""Maximum steps that the charts show; of a longer training every second, fourth, ... is kept."""
SLICE, FRAME, ANSWER = 0.008, 0.06, 3.0
"""Seconds of training at a time, between two frames, and without an answer of the page before training stops."""
BEHIND = 0.25
"""Maximum delay, in seconds, that a training with a given pace catches up on."""
ON_THE_WAY = 8
"""Maximum frames that are sent without an acknowledgement of the page."""

_turn = threading.Lock()  # must be held to touch a layer
_cell_runs = False
_active: "Trainer | None" = None  # only one trains at a time


@dataclass(eq=False)
class Run:
    """One training of one layer by Adam, and its records.

    Attributes:
        step: steps done since the start.
        k: experts chosen per point in the last forward pass.
        recent: the records of the last steps: task loss, balance term, each expert's share of the choices.
    """

    layer: nn.Module
    """Trained in place; its call on (B, d) returns ``(scores, routing)``, as for `train_live`."""
    data: Any
    """With ``x_train`` (N, d) and ``y_train`` (N,)."""
    n_experts: int
    _: KW_ONLY
    seed: int
    """Seed of the batches, and of the random numbers that the layer draws."""
    batch_size: int
    """Points per step, drawn with replacement."""
    rate: float
    """Learning rate of Adam."""
    coefficient: float = 0.0
    balance: Callable[[Any], Tensor] | None = None
    """``coefficient * balance(routing)`` is added to the cross-entropy."""
    after_step: Callable[[Any], None] | None = None
    """Called with the routing after each step."""

    def __post_init__(self) -> None:
        self._first = deepcopy(self.layer.state_dict())
        self.restart()

    def restart(self) -> None:
        """Reset the layer to its initial state; rate, coefficient and batch size stay."""
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
        """The values of the sliders."""
        noise = {"noise": self.layer.router.noise or 0.0} if self.noisy else {}
        return noise | {"coefficient": self.coefficient, "rate": self.rate, "batch": self.batch_size, "k": self.k}

    def set(self, name: str, value: Any) -> None:
        """Set a slider's value: noise and k are attributes of the router, the others of the run."""
        owner = self.layer.router if name in ("noise", "k") else self
        setattr(owner, {"k": "top_k", "batch": "batch_size"}.get(name, name), value)
        if name != "rate":
            self.recent.clear()  # recorded with other settings

    def train(self, steps: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Train ``steps`` steps, or fewer if ``enough()`` is true after one of them.

        Raises:
            TrainingDiverged: the loss is not finite; that step has changed no parameter.
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
        """The records for a frame: the mean over ``recent``, or the values at these points if it is empty."""
        row = np.mean(self.recent, 0) if self.recent else self._loss(x, y)[2]
        now = [self.step, *row.tolist()]
        if not self.step:
            self._history = [now]
        history = [kept for kept in self._history if kept[0] < self.step] + [now]
        recent = {"steps": len(self.recent), "task": now[1], "balance": now[2], "shares": now[3:]}
        return {"recent": recent, "history": np.array(history, np.float32).tobytes()}

    def _loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Any, np.ndarray]:
        """The loss, the routing, and their record for ``recent``."""
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
    """Trains a panel's run in a background thread that waits while a cell runs, and sends frames to the page.

    Args:
        panel: the widget, with three callbacks. ``obey`` handles a page's message beyond start, pause, step and reset,
            and may replace ``run``. ``measure`` evaluates the layer and returns the content of a frame. Both may touch
            the layer. ``put`` sends a frame, or a part of one, to the page.
        run: the run to train; None if there is none yet.

    Attributes:
        running: whether it trains in the background.
        pace: training steps per second; 0 for as many as possible.
    """

    def __init__(self, panel: Any, run: Run | None = None) -> None:
        self.panel, self.run, self.running, self.pace = panel, run, False, 0
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
        """Train ``steps`` steps in the calling thread."""
        check_count("steps", steps, 0)
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
        self.panel.put(frame | stamp)


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
def looking(layer: nn.Module, seed: int) -> Iterator[None]:
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
