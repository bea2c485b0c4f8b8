"""A headless browser, and reading what stands on its screen."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
SWITCHES = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
)


@contextmanager
def headless_browser() -> Iterator:
    """An installed Chromium; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f'no browser: none of {", ".join(NAMES)} is installed')
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=SWITCHES)
        try:
            yield browser
        finally:
            browser.close()


def color_at(page, x: float, y: float) -> np.ndarray:
    """RGB of the screen at a place, in pixels of the window."""
    shot = Image.open(io.BytesIO(page.screenshot(clip=dict(x=int(x), y=int(y), width=1, height=1)))).convert('RGB')
    return np.asarray(shot)[0, 0].astype(int)
