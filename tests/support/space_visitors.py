"""Visitors of the Space: a browser, its windows, and what they must be free of when a test ends."""

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, expect, sync_playwright
from space_server import SpaceServer, chromium
from waiting import LIMIT_SECONDS


ANYTHING, DISTANCE, PLACE, DESCRIBE = "Ask anything", "How far is this point?", "Where is …?", "Describe"
EMPTY = "Upload or record a video (up to 120 s and 100 MB), or pick an example."
SHAPES = {
    "desktop": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "dark",
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 2,
    },
}
BROWSER_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Texts and placeholders whose contrast with what is behind them is below 4.5, WCAG's limit.
PALE = """() => {
  const rgba = text => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return found.length < 4 ? [...found, 1] : found;
  };
  const over = (top, below) => [0, 1, 2].map(k => top[k] * top[3] + below[k] * (1 - top[3])).concat(1);
  const light = colour => {
    const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pale = [];
  const measure = (element, style, text) => {
    const behind = [];
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) {
      behind.unshift(rgba(getComputedStyle(at).backgroundColor));
      opacity *= getComputedStyle(at).opacity;
    }
    if (opacity === 0) return;
    const ground = behind.reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    const ink = rgba(style.color);
    ink[3] *= opacity;
    const [high, low] = [light(over(ink, ground)), light(ground)].sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) pale.push(`${contrast.toFixed(2)} ${text}`);
  };
  for (const element of document.querySelectorAll("body *")) {
    if (!element.offsetParent || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const text = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join(" ").trim();
    if (text) measure(element, getComputedStyle(element), text);
    if (element.placeholder) measure(element, getComputedStyle(element, "::placeholder"), element.placeholder);
  }
  return pale;
}"""
expect.set_options(timeout=1000 * LIMIT_SECONDS)


class Visitor:
    """Somebody's browser window on the Space, and what it asked of the network.

    Args:
        browser (`Browser`): The browser; every visitor has a profile of their own.
        url (`str`): Address of the Space.
        shape (`str`): One of `SHAPES`.
    """

    def __init__(self, browser: Browser, url: str, shape: str = "desktop"):
        self.shape = shape
        context = browser.new_context(**SHAPES[shape])
        context.set_default_timeout(1000 * LIMIT_SECONDS)
        self.page = context.new_page()
        self.errors: list[str] = []
        self.addresses: set[str] = set()
        self.seen = ""
        self.page.on(
            "console", lambda said: said.type == "error" and self.errors.append(f"{said.text} {said.location}")
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.addresses.add(request.url))
        self.page.goto(url)
        self.status = self.page.locator("#status .prose")
        self.figures, self.prompt, self.question = (
            self.page.locator(f"#{name} textarea") for name in ("figures", "prompt", "question")
        )
        self.frame, self.thumbnails = self.page.locator("#frame img"), self.page.locator("#gallery button img")
        self.asked, self.answers = (self.page.locator(f"#chat [data-testid={role}]") for role in ("user", "bot"))
        self.at_work = self.page.locator("#chat [data-testid=status-tracker]:not(.hide)")  # a request is under way
        self.page.locator("#report button").first.click()
        expect(self.figures).to_be_visible()

    def hosts(self) -> set[str]:
        """Whom it talked to, other than itself (`data:` and `blob:`)."""
        return {address.split("/")[2] for address in self.addresses if "://" in address and address[:5] != "blob:"}

    def upload(self, path: Path) -> None:
        """Gives the page a file, in the place of the one it has."""
        if (clear := self.page.locator("#video button[aria-label=Clear]").last).is_visible():
            clear.click()
            expect(self.status).to_have_text(EMPTY)
        self.page.locator("#video input[type=file]").set_input_files(path)

    def pick_example(self, number: int) -> None:
        self.page.locator("#examples button").nth(number).click()
        expect(self.status).to_have_text(re.compile("2 of 72 frames"))
        expect(self.frame).to_be_visible()

    def set_number(self, name: str, text: str) -> Locator:
        """Types a number beside a slider, leaves the box, and returns it."""
        box = self.page.get_by_label(f"number input for {name}")
        if not box.is_visible():
            self.page.locator("#settings button").first.click()
            expect(box).not_to_have_value("")
            # What is shown for the first time takes its first value until it is drawn.
            self.page.evaluate(DRAWN)
        box.fill(text)
        box.press("Tab")
        return box

    def ask(self, text: str, task: str = ANYTHING) -> None:
        """Sends a question."""
        self.page.get_by_label(task, exact=True).check()
        self.question.fill(text)
        self.page.locator("#send").click()

    def press(self, place: Locator, x: float, y: float) -> None:
        """Clicks or taps at shares of a picture's width and height once loaded: before, the pointer is on no pixel."""
        expect(place).to_have_js_property("complete", True)
        expect(place).not_to_have_js_property("naturalWidth", 0)
        box = place.bounding_box()
        position = {"x": x * box["width"], "y": y * box["height"]}
        (place.tap if self.shape == "phone" else place.click)(position=position)

    def shown_frame(self) -> Image.Image:
        """The picture in the frame, once it is another than the last time."""
        expect(self.frame).not_to_have_attribute("src", self.seen)
        self.seen = self.frame.get_attribute("src")
        answer = self.page.request.get(self.seen)
        return Image.open(io.BytesIO(answer.body())).convert("RGB")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=BROWSER_FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def visitors(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """Opens windows; at the end of a test all of them must be free of errors, strange hosts and overflow."""
    opened: list[Visitor] = []

    def visit(server: SpaceServer, shape: str = "desktop") -> Visitor:
        opened.append(Visitor(browser, server.url, shape))
        return opened[-1]

    yield visit
    for number, visitor in enumerate(opened):
        if folder := os.environ.get("SCREENSHOTS"):
            name = re.sub(r"\W+", "_", f"{request.node.name}_{number}")
            visitor.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
    for visitor in opened:
        assert visitor.errors == []
        assert {host.split(":")[0] for host in visitor.hosts()} == {"127.0.0.1"}
        width = visitor.page.evaluate("document.documentElement.scrollWidth")
        assert width <= SHAPES[visitor.shape]["viewport"]["width"]
        visitor.page.context.close()


@pytest.fixture(params=SHAPES)
def visitor(request: pytest.FixtureRequest, visitors, space_server: SpaceServer) -> Visitor:
    return visitors(space_server, request.param)
