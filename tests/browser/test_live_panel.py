"""The live training panel in JupyterLab for real: clicks, slider moves, cells run again, an interrupt, a closed tab."""

import pytest
from in_lab import jupyterlab, move, notebook, picture, run_all
from sampled import sampled

PANEL = """
import threading
import time
import torch
from moe_tutorial.layers import MixtureOfExperts, switch_loss
from moe_tutorial.show import train_live
from moe_tutorial.study import regimes_2d

torch.manual_seed(0)
layer = MixtureOfExperts(2, 16, 8, 1, d_out=2)
panel = train_live(layer, regimes_2d(), balance=switch_loss)
panel
"""
THREADS = 'print("threads", [t.name for t in threading.enumerate() if "moe" in t.name], panel.running, panel.step)'
LONG = "for _ in range(600):\n    time.sleep(0.1)"
PLAYGROUND = "from moe_tutorial.show import playground\nplayground()"
GONE = "The kernel is gone: it was restarted, or it died. Run this cell again."
SLIDERS = ("Noise on the logits", "Balance loss", "Learning rate", "Chosen per point, k")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("live")
    (home / "live.ipynb").write_text(notebook(PANEL, THREADS), encoding="utf-8")
    (home / "play.ipynb").write_text(notebook(PLAYGROUND), encoding="utf-8")
    (home / "interrupt.ipynb").write_text(notebook(PANEL, THREADS, "# a long one comes here"), encoding="utf-8")
    with jupyterlab(home) as address:
        yield address


class Panel:
    """The panel on the page, and what a reader does with it."""

    def __init__(self, page, lab, name="live.ipynb"):
        self.page = page
        run_all(page, lab, name)
        self.root = page.locator(".moe-root")
        self.title = self.root.locator(".moe-title")
        page.wait_for_function("document.querySelector('.moe-root')?.dataset.step === '0'")

    def click(self, name):
        self.root.get_by_role("button", name=name, exact=True).click()

    def until(self, condition):
        """Wait for a condition on the root's data: step, serial, running."""
        self.page.wait_for_function(
            f"(({{step, serial, running}}) => {condition})(document.querySelector('.moe-root').dataset)"
        )

    def step(self):
        return int(self.root.get_attribute("data-step"))

    def pause(self):
        self.click("Pause")
        self.until("running === 'false'")

    def shown(self):
        pictures = [picture(canvas) for canvas in self.root.locator("canvas").all()]
        return pictures, self.title.inner_text(), self.root.locator(".moe-shares").inner_text()

    def run_cell(self, number, wait=True):
        """Run a cell and return what it prints."""
        cell = self.page.locator(".jp-CodeCell").nth(number)
        prompt = cell.locator(".jp-InputArea-prompt")
        before = prompt.inner_text()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        if wait:
            self.page.wait_for_function(
                r"([n, before]) => {const t = document.querySelectorAll('.jp-CodeCell')[n]"
                r".querySelector('.jp-InputArea-prompt').innerText; return t !== before && /\d/.test(t)}",
                arg=[number, before],
            )
            return cell.locator(".jp-OutputArea").inner_text()
        return ""


def test_start_pause_step_and_reset(page, lab):
    panel = Panel(page, lab)
    first = panel.shown()
    assert panel.title.inner_text().startswith("Step 0: ")
    panel.click("Step")
    panel.until("step === '1'")
    assert panel.shown() != first
    panel.click("Start")
    panel.until("+step > 100")
    assert panel.root.get_by_role("button", name="Step", exact=True).is_disabled()
    panel.pause()
    step, shown = panel.step(), panel.shown()
    page.wait_for_timeout(500)
    assert (panel.step(), panel.shown()) == (step, shown)
    assert panel.title.inner_text().startswith(f"Step {step}: ")
    assert all(mine != start for mine, start in zip(shown[0], first[0], strict=True))
    for canvas in panel.root.locator("canvas").all():
        assert canvas.get_attribute("role") == "img"
        assert canvas.get_attribute("aria-label")
    panel.click("Reset")
    panel.until("step === '0'")
    assert panel.shown() == first


@pytest.mark.parametrize("running", sampled([False, True], kept=[True]))
def test_each_slider_changes_what_is_shown(page, lab, running):
    panel = Panel(page, lab)
    if running:
        panel.click("Start")
        panel.until("+step > 50")
    for number, name in enumerate(SLIDERS):
        before, slider = panel.shown(), panel.root.get_by_role("slider", name=name)
        words = slider.get_attribute("aria-valuetext")
        for _ in range(1 if name == "Chosen per point, k" else 5):
            move(page, slider, "ArrowRight")
        panel.until(f"+serial === {5 * number + (1 if number == 3 else 5)}")
        assert slider.get_attribute("aria-valuetext") != words
        if running or name != "Learning rate":  # that one shows in steps to come
            assert panel.shown() != before, name
    assert panel.root.get_attribute("data-running") == str(running).lower()


@pytest.mark.nightly
def test_the_theme_of_jupyterlab_recolours_the_panel_at_rest(page, lab):
    panel = Panel(page, lab)
    light = panel.shown()[0]
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_timeout(300)
    assert all(dark != lit for dark, lit in zip(panel.shown()[0], light, strict=True))


@pytest.mark.nightly
def test_run_its_cell_ten_times_and_one_thread_is_left(page, lab):
    panel = Panel(page, lab)
    for _ in range(10):
        panel.run_cell(0)
        page.wait_for_function("document.querySelector('.moe-root')?.dataset.step === '0'")
        panel.click("Start")
        panel.until("+step > 5")
    page.wait_for_timeout(500)
    assert "threads ['moe-live'] True" in panel.run_cell(1)
    panel.pause()
    page.wait_for_timeout(300)
    assert "threads [] False" in panel.run_cell(1)


def test_it_waits_for_a_cell_and_survives_an_interrupt(page, lab):
    panel = Panel(page, lab, "interrupt.ipynb")
    panel.click("Start")
    panel.until("+step > 20")
    cell = page.locator(".jp-CodeCell").nth(2).locator(".cm-content")
    cell.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(LONG)
    panel.run_cell(2, wait=False)
    panel.root.get_by_text("Waiting for the kernel").wait_for()
    step = panel.step()
    page.wait_for_timeout(4000)  # longer than it waits for a page that does not answer
    assert panel.step() == step
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("i")  # interrupts the kernel
    page.get_by_text("KeyboardInterrupt").first.wait_for()
    panel.until(f"+step > {step + 20} && running === 'true'")
    panel.pause()
    panel.click("Start")
    panel.until("running === 'true'")


def restart_from_the_menu(page, lab):
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_text("Restart Kernel…", exact=True).click()
    page.locator(".jp-Dialog .jp-mod-accept").click()


def restart_from_elsewhere(page, lab):
    kernels = page.request.get(f"{lab}/api/kernels").json()
    newest = max(kernels, key=lambda kernel: kernel["last_activity"])
    restart = "fetch(url, {method: 'POST', headers: {'X-XSRFToken': /_xsrf=([^;]+)/.exec(document.cookie)[1]}})"
    assert page.evaluate(f"async (url) => (await {restart}).ok", f"{lab}/api/kernels/{newest['id']}/restart")


def kill(page, lab):
    cell = page.locator(".jp-CodeCell").nth(1).locator(".cm-content")
    cell.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("import os\nos._exit(1)")
    page.keyboard.press("Control+Enter")
    page.locator(".jp-Dialog .jp-mod-accept").click()  # "appears to have died"


@pytest.mark.parametrize("end", sampled([restart_from_the_menu, restart_from_elsewhere, kill], kept=[kill]))
def test_a_kernel_that_ends_in_training_is_gone_and_its_cell_run_again_trains(page, lab, end):
    panel = Panel(page, lab)
    panel.click("Start")
    panel.until("+step > 20")
    end(page, lab)
    panel.root.get_by_text("The kernel is gone").wait_for()
    page.wait_for_timeout(2500)  # longer than it takes to acknowledge a frame, or to say that it waits
    assert panel.root.get_by_role("alert").inner_text() == GONE
    assert panel.root.get_by_text("Waiting for the kernel").count() == 0
    assert all(node.is_disabled() for node in panel.root.locator("button, input").all())
    assert panel.root.get_attribute("data-running") == "false"
    panel.run_cell(0, wait=False)
    page.wait_for_function("document.querySelector('.moe-root')?.dataset.step === '0'")
    panel.click("Start")
    panel.until("+step > 20")
    panel.pause()


@pytest.mark.nightly
def test_the_playgrounds_kernel_that_ends_in_training_is_gone_and_its_cell_run_again_trains(page, lab):
    def train():
        root.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('.moe-root')?.dataset.engine === 'browser'")
        root.get_by_label("Train in").select_option("kernel")
        page.wait_for_function("document.querySelector('.moe-root').dataset.engine === 'kernel'")
        root.get_by_role("button", name="Play", exact=True).click()
        page.wait_for_function("+document.querySelector('.moe-root').dataset.step > 20")

    run_all(page, lab, "play.ipynb")
    root = page.locator(".moe-root")
    train()
    restart_from_the_menu(page, lab)
    root.get_by_text("The kernel is gone").wait_for()
    page.wait_for_timeout(2500)
    assert root.get_by_role("alert").inner_text() == GONE
    root.get_by_role("button", name="Play", exact=True).click()  # in vain, and without an error
    root.get_by_role("slider", name="Learning rate").press("ArrowRight")
    page.wait_for_timeout(1500)
    assert root.get_by_role("alert").inner_text() == GONE
    assert root.get_attribute("data-running") == "false"
    page.locator(".jp-CodeCell .cm-content").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_function("document.querySelector('.moe-root')?.dataset.engine === 'browser'")
    train()
    root.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_function("document.querySelector('.moe-root').dataset.running === 'false'")


@pytest.mark.nightly
def test_a_closed_tab_pauses_and_opened_again_it_goes_on_from_there(page, lab):
    panel = Panel(page, lab)
    panel.click("Start")
    panel.until("+step > 20")
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_text("Save Notebook", exact=True).click()
    page.wait_for_timeout(1000)
    page.goto("about:blank")
    page.wait_for_timeout(5000)
    page.goto(f"{lab}/lab/tree/live.ipynb")
    page.wait_for_function("document.querySelector('.moe-root')?.dataset.step > 20")
    assert panel.root.get_attribute("data-running") == "false"
    step = panel.step()
    assert f"threads [] False {step}" in panel.run_cell(1)
    panel.click("Start")
    panel.until(f"+step > {step + 20}")
    panel.pause()
