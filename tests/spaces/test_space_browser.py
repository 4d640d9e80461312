"""The Space's page in a browser, as visitors use it: on desktop and phone, with good and bad videos, hostile text."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from scene_model import Scene, SceneModel
from scene_questions import ask, ask_place, open_scene
from space_server import SPACE, noise_frames, write_video
from space_visitors import ANYTHING, DESCRIBE, DISTANCE, EMPTY, PALE, PLACE, SHAPES, Visitor


pytest_plugins = ["space_model", "space_visitors"]
pytestmark = pytest.mark.slow

EXAMPLES = SPACE / "examples"
QUESTION = "How many metres away is the box in red?"


def last(answers: Iterator):
    *_, outcome = answers
    return outcome


def example_scene(number: int) -> Scene:
    return open_scene(str(EXAMPLES / f"room_{number}.mp4"), 2, EXAMPLES)[0]


def expected_answer(model: SceneModel, scene: Scene, question: str, remember: bool = False) -> re.Pattern:
    """The model's answer and, where the page knows it, the truth."""
    answer = last(ask(model, scene, question, remember=remember, max_new_tokens=128)).text
    return re.compile(rf"^{re.escape(answer)}( \(truth: [^)]+\))?$")


# ---- Whole visits


def test_an_empty_page_says_what_to_do(visitor: Visitor):
    expect(visitor.status).to_have_text(EMPTY)
    expect(visitor.page.locator("#examples button")).to_have_count(3)
    for hidden in ("#gallery", "#frame", "#space-view"):
        expect(visitor.page.locator(hidden)).not_to_be_visible()
    for number, task in enumerate((ANYTHING, DISTANCE, PLACE)):
        visitor.ask("box in red", task)
        expect(visitor.answers.nth(number)).to_have_text(re.compile("^⚠ There is no video"))
        expect(visitor.question).to_have_value("box in red")


def test_an_example_is_asked_about(visitor: Visitor, bare_model):
    visitor.pick_example(0)
    expect(visitor.thumbnails).to_have_count(2)
    expect(visitor.page.locator("#ideas")).to_contain_text("Which is closer")
    scene = example_scene(1)
    for number, (question, encoded) in enumerate(((QUESTION, "now"), ("How many spheres are there?", "before"))):
        visitor.ask(question)
        expect(visitor.asked.nth(number)).to_have_text(question)
        expect(visitor.answers.nth(number)).to_have_text(expected_answer(bare_model, scene, question))
        expect(visitor.figures).to_have_value(re.compile(f"33 of them frames · .*frames encoded {encoded}$"))
        expect(visitor.prompt).to_have_value(re.compile(re.escape(question)))
    expect(visitor.answers).to_have_count(2)
    expect(visitor.page.get_by_label(DESCRIBE, exact=True)).to_have_count(0)  # which a toy cannot
    visitor.page.locator("#ideas button").first.click()
    expect(visitor.question).to_have_value("Which is closer, the box in purple or the cylinder in green?")
    visitor.page.locator("#send").click()
    expect(visitor.answers.nth(2)).to_have_text(re.compile(r"\(truth: purple\)$"))
    visitor.page.get_by_label(PLACE, exact=True).check()
    expect(visitor.question).to_have_attribute("placeholder", "Name a thing, such as box in purple")
    visitor.page.locator("#ideas button").first.click()
    expect(visitor.question).to_have_value("box in purple")


def test_a_point_of_an_uploaded_frame_is_asked_about(visitor: Visitor, tmp_path):
    """Wide and tall frames, small ones that are shown enlarged: the pixel asked about is the one that was pressed."""
    for number, (height, width) in enumerate(((96, 192), (192, 96), (480, 640))):
        path = write_video(tmp_path / f"{width}.mp4", noise_frames(10, number, (height, width)))
        visitor.upload(path)
        expect(visitor.status).to_have_text(re.compile(f"2 of 10 frames, {width} x {height}"))
        expect(visitor.thumbnails).to_have_count(2)
        for second_frame, (x, y) in enumerate(((0.25, 0.7), (0.8, 0.45))):
            if second_frame:
                visitor.thumbnails.nth(1).click()
                expect(visitor.page.locator("#frame")).to_contain_text("Frame 2:")
            undrawn = visitor.shown_frame()
            visitor.press(visitor.frame, x, y)
            asked = visitor.asked.nth(second_frame)
            expect(asked).to_have_text(re.compile(rf"^How far is pixel .* of frame {second_frame + 1}\?$"))
            expect(visitor.answers.nth(second_frame)).to_have_text(re.compile(r"^\d+\.\d\d m from the camera\.$"))
            found = [int(at) for at in re.findall(r"\d+", asked.inner_text())[:2]]
            assert np.abs(np.array(found) - (x * width, y * height)).max() < 2 + max(height, width) / 300
            steps = [round(at * 64 / side) for at, side in zip(found, (width, height), strict=True)]
            near = [f"({step - 1}|{step}|{step + 1})" for step in steps]
            expect(visitor.prompt).to_have_value(re.compile(rf"coordinates \({near[0]}, {near[1]}\) from"))
            # Where the point is, the picture is in the accent colour now; far away it is as it was.
            drawn = visitor.shown_frame()
            assert drawn.size == undrawn.size
            factor = drawn.width / width
            at = tuple(int((pixel + 0.5) * factor) for pixel in found)
            assert np.abs(np.subtract(drawn.getpixel(at), (255, 176, 0))).max() < 60
            changed = np.abs(np.asarray(drawn, int) - np.asarray(undrawn, int)).max(2) > 40
            assert 100 < changed.sum() < changed.size / 4
            assert not changed[:: drawn.height - 1, :: drawn.width - 1].any()


def test_an_image_takes_the_place_of_a_video_and_gives_it_back(visitors, space_server, tmp_path):
    visitor = visitors(space_server)
    visitor.pick_example(0)
    Image.fromarray(noise_frames(1)[0]).save(tmp_path / "photo.png")
    visitor.page.locator("input[type=file][accept='image/*']").set_input_files(tmp_path / "photo.png")
    expect(visitor.status).to_have_text(re.compile("^An image of 128 x 96"))
    expect(visitor.page.locator("#video video")).to_have_count(0)
    visitor.ask(QUESTION)
    expect(visitor.figures).to_have_value(re.compile("frames encoded now$"))
    expect(visitor.frame).to_be_visible()
    visitor.pick_example(1)
    visitor.page.locator("#video button[aria-label=Clear]").last.click()
    expect(visitor.status).to_have_text(EMPTY)


def test_how_far_can_be_asked_with_the_keyboard(visitors, space_server):
    visitor = visitors(space_server)
    visitor.pick_example(0)
    visitor.thumbnails.nth(1).click()
    expect(visitor.page.locator("#frame")).to_contain_text("Frame 2:")
    visitor.ask("200, 150", DISTANCE)
    expect(visitor.asked).to_have_text("How far is pixel (200, 150) of frame 2?")
    expect(visitor.answers).to_have_text(re.compile(r"^\d+\.\d\d m from the camera\.( \(truth: \d+\.\d\d m\))?$"))
    expect(visitor.question).to_have_value("")
    visitor.question.fill("384, 0")
    visitor.question.press("Enter")
    expect(visitor.answers.nth(1)).to_have_text("⚠ This point is outside the frame of 384 x 384 pixels.")
    expect(visitor.question).to_have_value("384, 0")
    visitor.ask("", DISTANCE)
    expect(visitor.answers.nth(2)).to_have_text(re.compile("^⚠ Click a point, or type x, y"))


def test_a_question_is_not_lost_after_a_click(visitor: Visitor):
    visitor.pick_example(0)
    visitor.press(visitor.frame, 0.5, 0.5)
    expect(visitor.answers).to_have_text(re.compile("m from the camera"))
    expect(visitor.page.get_by_label(DISTANCE)).to_be_checked()
    visitor.question.fill(QUESTION)
    visitor.page.locator("#send").click()
    expect(visitor.asked.nth(1)).to_have_text(QUESTION)
    expect(visitor.figures).to_have_value(re.compile("33 of them frames"))
    expect(visitor.page.get_by_label(ANYTHING)).to_be_checked()


def test_numbers_typed_beside_sliders_are_those_that_are_used(visitors, space_server, tmp_path):
    visitor = visitors(space_server)
    visitor.pick_example(0)
    name = "Frames that the model sees"
    for typed, used in (("5", 5), ("100", 32), ("2.5", 3), ("", 2), ("0", 1)):
        box = visitor.set_number(name, typed)
        expect(visitor.status).to_have_text(re.compile(f"^{used} of 72 frames"))
        expect(box).to_have_value(str(used))
    visitor.page.get_by_label(f"range slider for {name}").press("ArrowRight")
    expect(visitor.status).to_have_text(re.compile("^2 of 72 frames"))
    angle = "Horizontal field of view in degrees"
    expect(visitor.page.get_by_label(f"number input for {angle}")).to_have_value("64")
    expect(visitor.set_number(angle, "500")).to_have_value("140")
    visitor.press(visitor.frame, 0.5, 0.5)
    expect(visitor.answers).to_have_text(re.compile("m from the camera"))
    visitor.upload(write_video(tmp_path / "mine.mp4", noise_frames(10)))
    expect(visitor.status).to_have_text(re.compile("^2 of 10 frames"))
    expect(visitor.page.get_by_label(f"number input for {angle}")).to_have_value("60")
    expect(visitor.page.locator(".toast-body")).to_have_count(0)


def test_drawings_go_with_their_answer(visitors, space_server, bare_model):
    camera = {"field_of_view_degrees": 64.0, "focal_pixels": None, "max_new_tokens": 128}
    visitor = visitors(space_server)
    visitor.pick_example(0)
    plain = visitor.shown_frame()
    visitor.thumbnails.nth(1).click()
    expect(visitor.page.locator("#frame")).to_contain_text("Frame 2:")
    selected = visitor.page.locator("#gallery button.selected img")
    things = (f"{shape} in {colour}" for shape in ("sphere", "box") for colour in ("red", "blue", "purple"))
    thing = next(at for at in things if last(ask_place(bare_model, example_scene(1), at, **camera)).place is not None)
    visitor.ask(thing, PLACE)
    expect(visitor.page.locator("#space-view")).to_be_visible()
    expect(visitor.page.locator("#frame")).to_contain_text("Frame 1:")
    expect(selected).to_have_attribute("src", visitor.thumbnails.first.get_attribute("src"))
    assert np.abs(np.asarray(visitor.shown_frame(), int) - np.asarray(plain, int)).max() > 100
    visitor.page.locator("#chat button[aria-label=Clear]").click()
    expect(visitor.page.locator("#space-view")).not_to_be_visible()
    np.testing.assert_array_equal(visitor.shown_frame(), plain)


def test_what_is_read_is_clear_and_has_a_name(visitor: Visitor):
    visitor.pick_example(0)
    visitor.page.locator("#settings button").first.click()
    expect(visitor.page.get_by_label("Example video 3")).to_be_visible()
    expect(visitor.page.locator("#status")).to_have_attribute("aria-live", "polite")
    assert visitor.page.evaluate(PALE) == []


def test_the_frame_is_in_the_window(visitors, space_server):
    visitor = visitors(space_server)
    visitor.pick_example(0)
    box = visitor.frame.bounding_box()
    assert box["y"] + box["height"] <= SHAPES["desktop"]["viewport"]["height"]


def test_frame_answer_and_question_are_on_one_screen_of_a_phone(visitors, space_server):
    visitor = visitors(space_server, "phone")
    visitor.pick_example(0)
    expect(visitor.thumbnails).to_have_count(2)
    top = visitor.page.locator("#frame").bounding_box()["y"]
    box = visitor.page.locator("#asking").bounding_box()
    assert top < visitor.page.locator("#chat").bounding_box()["y"] < box["y"]
    assert box["y"] + box["height"] - top <= SHAPES["phone"]["viewport"]["height"]
    for name in ("#send", "#stop", "#picture", "#title a", "#tasks label", "#ideas button", "#settings .label-wrap"):
        for target in visitor.page.locator(name).all():
            size = target.bounding_box()
            assert min(size["width"], size["height"]) >= 44, name
    visitor.page.get_by_label("Fullscreen", exact=True).tap()
    leave = visitor.page.get_by_label("Exit fullscreen mode")
    expect(leave).to_be_in_viewport(ratio=1)
    width = SHAPES["phone"]["viewport"]["width"]
    assert visitor.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    size = leave.bounding_box()
    assert min(size["width"], size["height"]) >= 44
    leave.tap()
    expect(leave).to_have_count(0)
    assert visitor.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]


def test_a_phone_loses_no_more_than_a_finger_of_its_width(visitors, space_server):
    visitor = visitors(space_server, "phone")
    for name in ("#video", "#chat", "#settings", "#rgb-only"):
        box = visitor.page.locator(name).bounding_box()
        assert box["x"] <= 12, name
        assert box["width"] >= SHAPES["phone"]["viewport"]["width"] - 24, name


def test_a_recording_asks_for_the_rear_camera_and_no_microphone(visitors, space_server):
    visitor = visitors(space_server, "phone")
    visitor.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async wanted => { window.wanted = wanted; throw new "
        "Error('none') } }"
    )
    visitor.page.get_by_label("Capture from camera").click()
    visitor.page.get_by_title("grant webcam access").locator("button").click()
    visitor.page.wait_for_function("() => window.wanted !== undefined")
    wanted = visitor.page.evaluate("window.wanted")
    assert wanted["audio"] is False
    assert wanted["video"]["facingMode"] == {"ideal": "environment"}
    visitor.errors.clear()  # there is no camera here


def test_a_thing_is_shown_on_the_frame_and_in_space(visitor: Visitor, bare_model):
    camera = {"field_of_view_degrees": 64.0, "focal_pixels": None, "max_new_tokens": 128}
    things = [
        f"{shape} in {colour}" for shape in ("sphere", "box", "cylinder") for colour in ("red", "blue", "purple")
    ]
    scene = example_scene(1)
    found = {thing: last(ask_place(bare_model, scene, thing, **camera)) for thing in things}
    thing, expected = next((name, answer) for name, answer in found.items() if answer.place is not None)
    visitor.pick_example(0)
    undrawn = visitor.shown_frame()
    visitor.ask(thing, PLACE)
    expect(visitor.asked).to_have_text(f"Where is the {thing}?")
    expect(visitor.answers).to_contain_text(expected.text)  # and the truth, where the example knows it
    assert "m ahead of the first camera." in expected.text
    expect(visitor.page.locator("#space-view .js-plotly-plot canvas").first).to_be_visible()
    expect(visitor.page.locator("#space-view .legend")).to_contain_text(thing)
    drawn = visitor.shown_frame()
    changed = np.abs(np.asarray(drawn, int) - np.asarray(undrawn, int)).max(2) > 40
    as_expected = np.abs(np.asarray(expected.picture, int) - np.asarray(undrawn, int)).max(2) > 40
    assert (changed & as_expected).sum() > 0.8 * (changed | as_expected).sum() > 300


def test_turns_are_read_until_the_chat_is_cleared(visitors, space_server, bare_model):
    visitor = visitors(space_server)
    visitor.pick_example(0)
    visitor.page.locator("#settings button").first.click()
    visitor.page.get_by_label("The model reads the conversation so far").check()
    scene = example_scene(1)
    for number, question in enumerate((QUESTION, "How many spheres are there?")):
        visitor.ask(question)
        expect(visitor.answers.nth(number)).to_have_text(expected_answer(bare_model, scene, question, remember=True))
    expect(visitor.prompt).to_have_value(re.compile(f"{re.escape(QUESTION)}.*How many spheres", re.DOTALL))
    visitor.page.locator("#chat button[aria-label=Clear]").click()
    expect(visitor.answers).to_have_count(0)
    visitor.ask("How many boxes are there?")
    expect(visitor.answers).to_have_text(expected_answer(bare_model, example_scene(1), "How many boxes are there?"))
    expect(visitor.prompt).to_have_value(re.compile("How many boxes"))
    assert QUESTION not in visitor.prompt.input_value()


def test_visitors_at_once_see_their_own_scenes(visitors, space_server, bare_model, tmp_path):
    videos = [write_video(tmp_path / f"{count}.mp4", noise_frames(count, count)) for count in (1, 2, 1, 2)]
    windows = [visitors(space_server) for _ in videos]
    for window, video in zip(windows, videos, strict=True):
        window.upload(video)
        expect(window.frame).to_be_visible()
    for turn in range(2):
        for number, window in enumerate(windows):
            window.ask(f"How many metres away is the box in {('red', 'blue')[(number + turn) % 2]}?")
        for number, (window, video) in enumerate(zip(windows, videos, strict=True)):
            question = f"How many metres away is the box in {('red', 'blue')[(number + turn) % 2]}?"
            scene, about = open_scene(str(video), 2, tmp_path)
            expect(window.status).to_have_text(about)
            expect(window.asked.nth(turn)).to_have_text(question)
            expect(window.answers.nth(turn)).to_have_text(expected_answer(bare_model, scene, question))
            expect(window.figures).to_have_value(re.compile(f" {16 * len(scene.frames) + 1} of them frames"))
            expect(window.prompt).to_have_value(re.compile(re.escape(question)))


# ---- What goes wrong


def test_bad_files_are_explained_and_good_ones_work_after(visitors, space_server, bad_videos, tmp_path):
    visitor = visitors(space_server)
    good = write_video(tmp_path / "fine.mp4", noise_frames(10))
    for path, message in bad_videos.items():
        visitor.upload(path)
        expect(visitor.status).to_have_text(re.compile("^⚠ .*" + re.escape(message)))
        expect(visitor.frame).not_to_be_visible()
        visitor.upload(good)
        expect(visitor.status).to_have_text(re.compile("^2 of 10 frames"))
        expect(visitor.frame).to_be_visible()
    visitor.ask(QUESTION)
    expect(visitor.figures).to_have_value(re.compile("frames encoded now"))
    # What the browser itself says about files that it cannot play.
    assert all(error.startswith(("Failed to load resource", "Failed to fetch")) for error in visitor.errors)
    visitor.errors.clear()


def test_text_is_never_html(visitors, space_server):
    visitor = visitors(space_server)
    hostile = '<img src=x onerror="window.hacked=1">**bold**'
    video = (EXAMPLES / "room_1.mp4").read_bytes()
    name = '<img src=x onerror="window.hacked=1">.mp4'
    visitor.page.locator("#video input[type=file]").set_input_files(
        {"name": name, "mimeType": "video/mp4", "buffer": video}
    )
    expect(visitor.status).to_have_text(re.compile("^2 of 72 frames"))
    for number, task in enumerate((ANYTHING, PLACE)):
        visitor.ask(hostile, task)
        expect(visitor.answers.nth(number)).not_to_have_text("…")
        expect(visitor.asked.nth(number)).to_contain_text(hostile)
        expect(visitor.prompt).to_have_value(re.compile(re.escape(hostile)))
    assert visitor.page.locator("#chat img, #chat strong, img[src=x]").count() == 0
    assert visitor.page.evaluate("window.hacked") is None
