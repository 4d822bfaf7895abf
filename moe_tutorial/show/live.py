"""Train a layer and watch it, with its sliders in hand: the learner's own layer, in the kernel, while the page draws.

One thread trains in short slices while somebody watches, and ends when it is paused. It waits while a cell runs, and
draws its random numbers from a stream of its own: so it disturbs neither a cell's time nor its randomness.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any

import anywidget
import numpy as np
import torch
import torch.nn.functional as F
import traitlets as t
from IPython import get_ipython
from torch import Tensor, nn

from moe_tutorial.show.regions import MAX_CLASSES, MAX_POINTS, _ask, _experts, _extent, _labels, _pack, _points, grid
from moe_tutorial.show.web import bundle, style
from moe_tutorial.study import TrainingDiverged

RECENT = 20
"""Training steps whose choices and losses are averaged, so that a single batch does not make the picture flicker."""
MAX_HISTORY = 300
"""Steps that the charts show; of a longer training every second, fourth, ... is kept."""
POINTS_DRAWN, RESOLUTION = 240, 40
SLICE, FRAME, ANSWER = 0.008, 0.06, 3.0
"""Seconds: of training at a time, between two frames, and until a page that does not answer is given up."""
ON_THE_WAY = 8
"""Frames that may be under way before the page says that it has drawn one of them."""

_turn = threading.Lock()  # who holds it may touch a layer
_cell_runs = False
_running: "LiveTraining | None" = None  # one panel trains at a time


def _cell_begins(*_: object) -> None:
    global _cell_runs
    _cell_runs = True
    with _turn:  # a slice that has begun ends first
        pass


def _cell_ends(*_: object) -> None:
    global _cell_runs
    _cell_runs = False


class LiveTraining(anywidget.AnyWidget):
    """The widget behind `train_live`.

    Attributes:
        layer: the layer that is trained, in place.
        step: training steps done since the start.
        running: whether it trains by itself.
    """

    _esm = bundle("web/live.js")
    _css = style()
    settings = t.Dict().tag(sync=True)  # what stays the same
    points = t.Bytes().tag(sync=True)
    labels = t.Bytes().tag(sync=True)
    frame = t.Dict().tag(sync=True)  # what the page draws, see _show and _put
    running = False

    def __init__(
        self, layer: nn.Module, data: Any, balance: Callable | None, seed: int, batch_size: int, knobs: dict, **traits
    ) -> None:
        global _cell_runs
        super().__init__(**traits)
        self.layer, self._data, self._balance, self._seed, self._batch_size = layer, data, balance, seed, batch_size
        self._knobs = knobs  # coefficient and learning rate; noise and k are the router's own
        self._first = {name: value.detach().clone() for name, value in layer.state_dict().items()}
        side = self.settings["resolution"]
        self._places = grid(data.x_train[:MAX_POINTS], side, self.settings["extent"]) if side else None
        self._notes: deque[dict] = deque()  # clicks and slider moves, for the thread that may touch the layer
        self._due, self._serial, self._number, self._seen, self._heard, self._shown = False, 0, 0, 0, 0.0, 0.0
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()
        self.on_msg(self._receive)
        shell = get_ipython()
        if shell is not None and _cell_begins not in shell.events.callbacks["pre_run_cell"]:
            shell.events.register("pre_run_cell", _cell_begins)
            shell.events.register("post_run_cell", _cell_ends)
            _cell_runs = True  # the one that makes this panel
        if _running is not None:
            _running.pause()
        self.reset()

    def __repr__(self) -> str:
        return f"Live training: {self.settings['experts']} experts, step {self.step} (an interactive panel)"

    def start(self) -> None:
        """Train by itself, a few milliseconds at a time, while a page shows the panel and no cell runs."""
        global _running
        if _running not in (None, self):
            _running._leave()
        _running = self
        self._heard, self.running = time.monotonic(), True
        self._wake()

    def pause(self) -> None:
        """Stop training by itself; its thread has ended when this returns."""
        self.running = self._due = False
        thread = self._thread
        if thread is not None:
            thread.join(2)
        with _turn:
            self._safely(self._show)

    def advance(self, steps: int = 1) -> None:
        """Train so many steps here and now."""
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
            raise ValueError(f"steps is {steps!r}; allowed are whole numbers from 0")
        with _turn:
            self._train(steps)
            self._show()

    def reset(self) -> None:
        """Back to the layer as it was given, with the sliders as they are."""
        with _turn:
            self._restart()
            self._show()

    def close(self) -> None:
        self.running = False
        super().close()

    # Training. Who calls these holds _turn.

    def _restart(self) -> None:
        self.layer.load_state_dict(self._first)
        learned = [parameter for parameter in self.layer.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.Adam(learned, lr=self._knobs["rate"])
        self._batches = torch.Generator().manual_seed(self._seed)
        self._stream = torch.Generator().manual_seed(self._seed).get_state()
        self.step, self._every = 0, 1
        self._recent: deque[np.ndarray] = deque(maxlen=RECENT)
        self._history: list[list[float]] = []

    def _train(self, steps: int, seconds: float | None = None) -> None:
        x, y = self._data.x_train, self._data.y_train
        begun = time.perf_counter()
        self.layer.train()
        with _random_numbers_from(self._stream):
            for _ in range(steps):
                rows = torch.randint(len(x), (self._batch_size,), generator=self._batches)
                loss, row = self._loss(x[rows], y[rows])
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
                self._stream = torch.get_rng_state()
                self.step += 1
                self._recent.append(row)
                if self.step % self._every == 0:
                    self._history.append([self.step, *np.mean(self._recent, 0)])
                if len(self._history) > MAX_HISTORY:
                    self._every *= 2
                    self._history = [kept for kept in self._history if kept[0] % self._every == 0]
                if seconds is not None and (self._notes or time.perf_counter() - begun > seconds):
                    break

    def _loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, np.ndarray]:
        """The loss, and what is recorded of it: task loss, balance term, each expert's share of the choices."""
        scores, routing = self.layer(x)
        loss = task = F.cross_entropy(scores, y)
        if self._knobs["coefficient"]:
            loss = task + self._knobs["coefficient"] * self._balance(routing)
        if not isfinite(loss.item()):
            raise TrainingDiverged(
                f"the loss became {loss.item()} at step {self.step}; that step changed nothing. Reset, and take a "
                "smaller learning rate or coefficient."
            )
        counts = torch.bincount(routing.indices.flatten(), minlength=self.settings["experts"]).numpy()
        self._k = routing.indices.shape[-1]
        return loss, np.array([task.item(), loss.item() - task.item(), *(counts / counts.sum())])

    # What the page sees.

    def _show(self) -> None:
        """Measure the layer as it stands, and hand it to the page."""
        plane, span = b"", 0.0
        with _looking(self.layer, self._seed):
            if self._recent:
                now = np.mean(self._recent, 0)
            else:  # nothing was trained with these settings yet: what would be chosen?
                now = self._loss(self._data.x_train[:MAX_POINTS], self._data.y_train[:MAX_POINTS])[1]
            if self._places is not None:
                codes, span = _pack(_ask(self.layer, self._places)[0])
                plane = codes.tobytes()
            self.layer.eval()
            right = self.layer(self._data.x_test)[0].argmax(-1) == self._data.y_test
        now = [self.step, *now.tolist()]
        if not self.step:
            self._history = [now]
        history = [row for row in self._history if row[0] < self.step] + [now]
        self._put(
            task=now[1], extra=now[2], shares=now[3:], recent=len(self._recent), error="", plane=plane, span=span,
            accuracy=right.float().mean().item(), history=np.array(history, np.float32).tobytes(),
        )  # fmt: skip

    def _put(self, **changed: Any) -> None:
        self._due, self._shown = False, time.monotonic()
        self._number += 1
        knobs = self._knobs | {"k": self._k}
        if "noise" in self.settings["sliders"]:
            knobs["noise"] = self.layer.router.noise or 0.0
        status = {"step": self.step, "running": self.running, "serial": self._serial, "number": self._number}
        self.frame = self.frame | changed | status | {"knobs": knobs}

    def _safely(self, act: Callable[[], None]) -> None:
        """The learner's layer may raise: show what it says, and stay alive."""
        try:
            act()
        except Exception as error:
            self.running = False
            self._notes.clear()
            self._put(error=f"{type(error).__name__}: {error}")

    # What the page wants. A message comes in whatever thread brings it, so it only leaves a note.

    def _receive(self, _: Any, content: dict, __: Any) -> None:
        if "seen" in content:
            self._seen, self._heard = content["seen"], time.monotonic()
        elif content.get("do") == "start":
            self.start()
        elif content.get("do") == "pause":
            self._leave()
        else:
            self._notes.append(content)
            self._wake()

    def _leave(self) -> None:
        self.running, self._due = False, True
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

    def _work_a_little(self) -> None:
        while self._notes:
            self._obey(self._notes.popleft())
            self._due = True
        if self.running:
            self._train(1_000, SLICE / 3 if self._due else SLICE)
            if time.monotonic() - self._heard > ANSWER:
                self.running, self._due = False, True
        due = self._due or time.monotonic() - self._shown > FRAME
        if not self.running or (due and self._number - self._seen < ON_THE_WAY):
            self._show()

    def _obey(self, note: dict) -> None:
        if note.get("do") == "reset":
            self._restart()
        elif note.get("do") == "step":
            self._train(1)
        for name, value in note.get("set", {}).items():
            if name in self._knobs:
                self._knobs[name] = value
            else:
                setattr(self.layer.router, {"k": "top_k"}.get(name, name), value)
            if name != "rate":
                self._recent.clear()  # choices with other settings
        for group in self._optimizer.param_groups:
            group["lr"] = self._knobs["rate"]
        self._serial = note.get("serial", self._serial)


@contextmanager
def _random_numbers_from(stream: Tensor) -> Iterator[None]:
    """Within it torch draws from this state; afterwards the learner's own stream goes on where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(stream)
        yield


@contextmanager
def _looking(layer: nn.Module, seed: int) -> Iterator[None]:
    """A look in training mode, which changes nothing: no gradient, no buffer, no random number that somebody needs."""
    kept = [(buffer, buffer.clone()) for buffer in layer.buffers()]
    layer.train()
    with torch.no_grad(), _random_numbers_from(torch.Generator().manual_seed(seed).get_state()):
        try:
            yield
        finally:
            layer.train()
            for buffer, value in kept:
                buffer.copy_(value)


def train_live(
    layer: nn.Module,
    data: Any,
    *,
    balance: Callable[[Any], Tensor] | None = None,
    balance_name: str = "balance loss",
    coefficient: float = 0.0,
    learning_rate: float = 0.01,
    batch_size: int = 128,
    seed: int = 0,
    headless_steps: int = 200,
    title: str | None = None,
) -> LiveTraining:
    """Train your own layer and watch it: buttons, sliders, each expert's share and region, the loss.

    In JupyterLab it starts paused at step 0. Elsewhere (tests, the website) it trains ``headless_steps`` at once. The
    same seed, steps and settings give the same numbers, and your own random numbers are not touched.

    Args:
        layer: a MixtureOfExperts, or a module whose call on (B, d) returns ``(scores, routing)``: (B, classes), and an
            object with ``indices`` (B, k) and ``logits`` (B, experts). It is trained in place, by Adam. The sliders for
            noise and k set ``layer.router.noise`` and ``layer.router.top_k``; without these there are none.
        data: a Dataset, or anything with ``x_train``, ``y_train``, ``x_test``, ``y_test``. The map needs width 2.
        balance: routing -> a tensor with one number, such as ``switch_loss``; times the coefficient it joins the
            cross-entropy. Without it there is no such slider.
        balance_name: what the page calls it.
        coefficient, learning_rate: where these sliders start.
        batch_size: points a step, drawn with replacement.
        seed: of the batches and of the noise.
        headless_steps: trained at once where there is no JupyterLab.
        title: a few words above the picture that name what is shown; its message is computed.
    """
    for name, value, low in [("batch_size", batch_size, 1), ("seed", seed, 0), ("headless_steps", headless_steps, 0)]:
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ValueError(f"{name} is {value!r}; allowed are whole numbers from {low}")
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate is {learning_rate!r}; allowed is a number above 0")
    if not 0 <= coefficient < float("inf") or (coefficient and balance is None):
        raise ValueError(f"coefficient is {coefficient!r}; allowed is a number from 0, and only 0 without a balance")
    n_experts, n_classes = _try(layer, data, balance, batch_size)
    router = getattr(layer, "router", None)
    noise = getattr(router, "noise", "absent")
    sliders = {
        "noise": not isinstance(noise, str),
        "coefficient": balance is not None,
        "rate": True,
        "k": hasattr(router, "top_k"),
    }
    remarks = {"learned": "The noise is learned: no slider for it.", "absent": "No router.noise: no slider for it."}
    drawn, mapped = data.x_train[:POINTS_DRAWN], data.x_train.shape[1] == 2
    labels = np.zeros(len(drawn), np.uint8)
    if labelled := mapped and n_classes <= MAX_CLASSES:
        labels = _labels(data.y_train[:POINTS_DRAWN], drawn)
    settings = {
        "experts": n_experts,
        "sliders": [name for name, there in sliders.items() if there],
        "remark": remarks.get(noise, "") if isinstance(noise, str) else "",
        "balanceName": balance_name,
        "resolution": RESOLUTION if mapped else 0,
        "extent": _extent(_points(data.x_train[:MAX_POINTS]), None) if mapped else [],
        "labelled": labelled,
        "title": title or "",
    }
    points = _points(drawn).tobytes() if mapped else b""
    traits = {"settings": settings, "points": points, "labels": labels.tobytes()}
    knobs = {"coefficient": float(coefficient), "rate": float(learning_rate)}
    panel = LiveTraining(layer, data, balance, seed, batch_size, knobs, **traits)
    if os.environ.get("MOE_SITE") == "1" or "JPY_SESSION_NAME" not in os.environ:
        panel.advance(headless_steps)
    return panel


def _try(layer: nn.Module, data: Any, balance: Callable | None, batch_size: int) -> tuple[int, int]:
    """One batch forward, so that what does not fit is said at once; returns how many experts and classes there are."""
    if not isinstance(layer, nn.Module) or not any(p.requires_grad for p in layer.parameters()):
        raise ValueError(f"layer is {type(layer).__name__}; allowed is a torch.nn.Module with parameters to train")
    parts = [getattr(data, name, None) for name in ("x_train", "y_train", "x_test", "y_test")]
    if not all(isinstance(part, Tensor) and len(part) for part in parts) or parts[0].ndim != 2:
        raise ValueError(
            f"data is {type(data).__name__}; allowed is a Dataset, or anything with the tensors x_train and x_test "
            "(N, d) and y_train and y_test (N,)"
        )
    x, n_classes = data.x_train[:batch_size], int(data.y_train.max()) + 1
    with _looking(layer, 0):
        try:
            out = layer(x)
        except Exception as error:
            raise ValueError(f"layer fails on x of shape {tuple(x.shape)}: {type(error).__name__}: {error}") from error
        scores, routing = out if isinstance(out, tuple) and len(out) == 2 else (out, None)
        if not isinstance(scores, Tensor) or not all(hasattr(routing, name) for name in ("indices", "logits")):
            raise ValueError(
                f"layer returns {type(out).__name__}; allowed is (scores, routing): a tensor, and an object with "
                "indices and logits"
            )
        shapes = [tuple(part.shape) for part in (scores, routing.logits, routing.indices)]
        if any(len(shape) != 2 or shape[0] != len(x) for shape in shapes) or shapes[0][1] < n_classes:
            raise ValueError(
                f"layer returns scores {shapes[0]}, logits {shapes[1]}, indices {shapes[2]} for {len(x)} points of "
                f"{n_classes} classes; allowed are ({len(x)}, {n_classes} or more), ({len(x)}, experts), ({len(x)}, k)"
            )
        n_experts = shapes[1][1]
        _experts(n_experts, "layer")
        low, high = int(routing.indices.min()), int(routing.indices.max())
        if low < 0 or high >= n_experts:
            raise ValueError(f"routing.indices run from {low} to {high}; allowed are 0 to {n_experts - 1}")
        term = balance(routing) if balance else torch.tensor(0.0)
        if not isinstance(term, Tensor) or term.ndim:
            got = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise ValueError(f"balance returns {got}; allowed is a tensor with one number, of shape ()")
    return n_experts, n_classes
