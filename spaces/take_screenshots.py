"""Takes the pictures of the Space that the documentation shows, of a model that `igep demo-rooms` has trained.

    igep demo-rooms --output outputs/demo_rooms
    python spaces/take_screenshots.py --model outputs/demo_rooms/model
    python spaces/take_screenshots.py --model outputs/demo_rooms/model --all outputs/screenshots

Writes `docs/space_desktop.png` (1440 pixels wide, light), `docs/space_phone.png` (390, dark) and
`scene_qa/preview.png`; with `--all` both widths in light and dark into another folder, and nothing else.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright


SPACES = Path(__file__).resolve().parent
DOCS = SPACES.parent / "docs"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 600  # a busy machine is slow
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
EXAMPLE, QUESTION, THING = 1, 2, "box in blue"  # counted from 0, as they are suggested
POINT = (0.7, 0.6)  # of the frame, as shares of its width and height
PREVIEW = (1000, 782)


@contextmanager
def served(model: str) -> Iterator[str]:
    """The Space of a model, as a process of its own; yields its address."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "MODEL_ID": model,
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": folder,
            "GRADIO_ANALYTICS_ENABLED": "False",
        }
        command = [sys.executable, str(SPACES / "scene_qa" / "app.py")]
        with subprocess.Popen(command, env=os.environ | settings) as process:
            try:
                address = f"http://127.0.0.1:{port}"
                wait_for(process, address)
                yield address
            finally:
                process.terminate()


def wait_for(process: subprocess.Popen, address: str) -> None:
    """Waits until a server answers; ends with it where it ends first."""
    while process.poll() is None:
        try:
            urlopen(address, timeout=SECONDS).close()
        except URLError:
            time.sleep(0.5)
        else:
            return
    sys.exit("take_screenshots.py: error: the Space has ended: see above.")


def visited(browser: Browser, address: str, shape: dict, scheme: str) -> Page:
    """The page in a window, with the first example."""
    page = browser.new_context(**shape, color_scheme=scheme).new_page()
    page.set_default_timeout(1000 * SECONDS)
    page.goto(address)
    page.locator("#examples button").nth(EXAMPLE).click()
    expect(page.locator("#frame img")).to_be_visible()
    return page


def answered(page: Page, count: int) -> None:
    """Waits until so many answers are whole, each with its truth."""
    expect(page.locator("#chat [data-testid=bot]", has_text="(truth:")).to_have_count(count)


def desktop(browser: Browser, address: str, scheme: str) -> Image.Image:
    """A question in words, and a thing that is shown in the frame and in space."""
    page = visited(browser, address, DESKTOP, scheme)
    page.locator("#ideas button").nth(QUESTION).click()
    page.locator("#send").click()
    answered(page, 1)
    page.get_by_label("Where is …?", exact=True).check()
    page.locator("#ideas button", has_text=THING).click()
    expect(page.locator("#question textarea")).to_have_value(THING)
    page.locator("#send").click()
    answered(page, 2)
    expect(page.locator("#space-view .js-plotly-plot canvas").first).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    return picture(page, full_page=True)


def phone(browser: Browser, address: str, scheme: str) -> Image.Image:
    """A point that was tapped."""
    page = visited(browser, address, PHONE, scheme)
    frame = page.locator("#frame img")
    box = frame.bounding_box()
    frame.tap(position={"x": POINT[0] * box["width"], "y": POINT[1] * box["height"]})
    answered(page, 1)
    page.locator("#frame").evaluate("frame => window.scrollTo(0, frame.getBoundingClientRect().top + scrollY - 8)")
    return picture(page, full_page=False)


def picture(page: Page, *, full_page: bool) -> Image.Image:
    """What a window shows, in its own pixels, once all its pictures are there."""
    page.wait_for_function("[...document.images].every(image => image.complete)")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return Image.open(BytesIO(page.screenshot(full_page=full_page, animations="disabled"))).convert("RGB")


def save(image: Image.Image, file: Path) -> None:
    """Writes a picture with 256 colours, which look the same in a third of the bytes."""
    image.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", required=True, help="folder or id of the model that is shown")
    parser.add_argument(
        "--all", type=Path, metavar="FOLDER", help="both widths, light and dark, into this folder alone"
    )
    options = parser.parse_args()
    expect.set_options(timeout=1000 * SECONDS)
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit(f"take_screenshots.py: error: install one of {', '.join(BROWSERS)}.")
    with served(options.model) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        if options.all is not None:
            options.all.mkdir(parents=True, exist_ok=True)
            for scheme in ("light", "dark"):
                save(desktop(browser, address, scheme), options.all / f"desktop_{scheme}.png")
                save(phone(browser, address, scheme), options.all / f"phone_{scheme}.png")
            return
        shown = desktop(browser, address, "light")
        save(shown, DOCS / "space_desktop.png")
        width, height = PREVIEW
        upper = shown.crop((0, 0, shown.width, shown.width * height // width))
        save(upper.resize(PREVIEW, Image.Resampling.LANCZOS), SPACES / "scene_qa" / "preview.png")
        tapped = phone(browser, address, "dark")
        save(tapped.resize((390, 844), Image.Resampling.LANCZOS), DOCS / "space_phone.png")


if __name__ == "__main__":
    main()
