"""How soon does each page of the site show something on a phone's line? Run it by hand: timings are for people.

    python tests/benchmarks/pages.py

Chromium opens the built site from a server on this machine, with a screen of 360 by 740, over Lighthouse's slow 4G: 1.6
Mbit/s down, 150 ms a request. The processor is this machine's, not made slower, so that a busy one is seen in the
figures. First paint is first-contentful-paint, the median of three visits, each the first.
"""

import os
import sys
from pathlib import Path
from statistics import median

from playwright.sync_api import sync_playwright

from moe_tutorial.tools.book import build

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from headless import browser_path
from on_site import PAGES, serving, weigh

ROOT = Path(__file__).parents[2]
TURNS = 3


def main() -> None:
    """A line a page."""
    with serving(build(ROOT)) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        print(f"{'page':20}{'first paint':>12}{'before it':>11}{'in all':>11}{'requests':>10}")
        for name in PAGES:
            turns = [weigh(browser, f"{address}/{name}.html") for _ in range(TURNS)]
            paint, before, whole, requests = (median(column) for column in zip(*turns, strict=True))
            print(
                f"{name:20}{paint / 1000:10.1f} s{before / 1000:8.0f} kB{whole / 1000:8.0f} kB{requests:10}", flush=True
            )
        browser.close()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "")


if __name__ == "__main__":
    main()
