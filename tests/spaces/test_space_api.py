"""The Space's endpoints for scripts: answers, refusals, whose answer is whose, and what requests leave behind."""

import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image
from scene_model import Scene
from scene_questions import ask, ask_distance, ask_place, open_scene
from scene_sessions import SceneSessions
from space_server import SPACE, SpaceServer, still_frames, write_video
from waiting import LIMIT_SECONDS


pytest_plugins = ["space_model"]

EXAMPLES = SPACE / "examples"
QUESTION = "How many metres away is the box in red?"
DEFAULTS = {
    "ask": {"video": None, "question": QUESTION, "num_frames": 2, "max_new_tokens": 32},
    "distance": {
        "video": None,
        "x": 0.5,
        "y": 0.5,
        "frame": 0,
        "num_frames": 2,
        "field_of_view": 64.0,
        "focal_pixels": None,
        "max_new_tokens": 32,
    },
    "locate": {
        "video": None,
        "thing": "box in red",
        "num_frames": 2,
        "field_of_view": 64.0,
        "focal_pixels": None,
        "max_new_tokens": 32,
    },
}
MARGIN_MEGABYTES = 60
get, post = (partial(work, timeout=LIMIT_SECONDS) for work in (httpx.get, httpx.post))


def uploaded(server: SpaceServer, path: Path) -> dict:
    """Uploads a file and returns what names it in a request."""
    with path.open("rb") as file:
        answer = post(f"{server.url}/gradio_api/upload", files={"files": (path.name, file)}).raise_for_status()
    return file_data(answer.json()[0])


def file_data(path: str | Path) -> dict:
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def request(server: SpaceServer, name: str, **values: object) -> tuple[str, dict]:
    """Calls an endpoint without the client, which checks values; returns what happened and what came with it."""
    # `json` writes NaN and Infinity, which Gradio's client refuses to send.
    body = json.dumps({"data": list((DEFAULTS[name] | values).values())})
    url = f"{server.url}/gradio_api/call/{name}"
    started = post(url, content=body, headers={"content-type": "application/json"}).raise_for_status()
    lines = get(f"{url}/{started.json()['event_id']}").text.strip().splitlines()
    event, data = lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))
    return event, data[0] if event == "complete" else data


def last(answers: Iterator):
    *_, outcome = answers
    return outcome


@pytest.fixture(scope="module")
def client(space_server: SpaceServer) -> Client:
    return Client(space_server.url, verbose=False, httpx_kwargs={"timeout": LIMIT_SECONDS})


@pytest.fixture(scope="module")
def room(space_server: SpaceServer) -> dict:
    return uploaded(space_server, EXAMPLES / "room_1.mp4")


# ---- Answers


@pytest.mark.slow
def test_three_endpoints_are_public(client, space_server):
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert set(endpoints["named_endpoints"]) == {"/ask", "/distance", "/locate"}
    assert not endpoints["unnamed_endpoints"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["run", "api"])
@pytest.mark.parametrize("name", ["ask", "distance", "locate", "load", "answer", "answer_1"])
def test_nobody_passes_the_queue(space_server, room, name, way):
    values = (DEFAULTS.get(name, {}) | {"video": room}).values()
    answer = post(f"{space_server.url}/gradio_api/{way}/{name}", json={"data": list(values)})
    assert answer.status_code == 404
    assert "join the queue" in answer.text


@pytest.mark.slow
def test_answers_are_those_of_the_model_asked_directly(client, bare_model):
    path = EXAMPLES / "room_2.mp4"
    video = handle_file(path)
    scene, _ = open_scene(str(path), 2, EXAMPLES)
    camera = {"field_of_view_degrees": 60.0, "focal_pixels": None, "max_new_tokens": 128}
    for question in (QUESTION, "How many spheres are there?"):
        found = client.predict(video, question, num_frames=2, api_name="/ask")
        expected = last(ask(bare_model, scene, question, remember=False, max_new_tokens=128))
        assert found["answer"] == expected.text
        assert found["model_calls"][0]["prompt"] == expected.reports[0].prompt
        assert found["model_calls"][0]["vision_tokens"] == 2 * 16 + 1
    metres = []
    for frame, x, y in ((0, 0.25, 0.75), (0, 0.5, 0.25), (1, 0.75, 0.9)):
        found = client.predict(video, x=x, y=y, frame=frame, num_frames=2, api_name="/distance")
        width, height = scene.frames[frame].size
        expected = last(ask_distance(bare_model, scene, frame, (x * width, y * height), **camera))
        assert found["metres"] == expected.metres > 0
        assert found["answer"] == f"{expected.metres:.2f} m from the camera."
        assert found["model_calls"][0]["prompt"] == expected.reports[0].prompt
        metres.append(expected.metres)
    assert len(set(metres)) > 1, "these points do not tell one answer from another"
    for thing in ("box in purple", "sphere in red"):
        found = client.predict(video, thing, num_frames=2, api_name="/locate")
        expected = last(ask_place(bare_model, scene, thing, **camera))
        assert found["answer"] == expected.text
        if expected.place is not None:
            assert tuple(found["centre_metres"]) == expected.place.centre_metres
            assert tuple(found["size_metres"]) == expected.place.size_metres


# ---- What is refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("ask", {"question": ""}, "There is no question: write one."),
        ("ask", {"question": " \n "}, "There is no question: write one."),
        ("ask", {"question": None}, "There is no question: write one."),
        ("ask", {"question": "x" * 1001}, "This question has 1001 characters; the limit is 1000."),
        ("ask", {"num_frames": 0}, "frames: 0 is not a whole number from 1 to 32."),
        ("ask", {"num_frames": 33}, "frames: 33 is not a whole number from 1 to 32."),
        ("ask", {"num_frames": -1}, "frames: -1 is not a whole number from 1 to 32."),
        ("ask", {"num_frames": 2.5}, "frames: 2.5 is not a whole number from 1 to 32."),
        ("ask", {"num_frames": float("nan")}, "frames: nan is not a whole number from 1 to 32."),
        ("ask", {"num_frames": "2"}, "frames: '2' is not a whole number from 1 to 32."),
        ("ask", {"num_frames": None}, "frames: None is not a whole number from 1 to 32."),
        ("ask", {"num_frames": [2]}, "frames: [2] is not a whole number from 1 to 32."),
        ("ask", {"num_frames": True}, "frames: True is not a whole number from 1 to 32."),
        ("ask", {"max_new_tokens": -1}, "longest answer: -1 is not a whole number from 1 to 512."),
        ("ask", {"max_new_tokens": 10**9}, "longest answer: 1000000000 is not a whole number from 1 to 512."),
        ("ask", {"video": None}, "There is no video yet: upload or record one, or pick an example."),
        ("distance", {"x": 2}, "x and y are shares of width and height, from 0 to 1."),
        ("distance", {"y": float("nan")}, "x and y are shares of width and height, from 0 to 1."),
        ("distance", {"x": "left"}, "x and y are shares of width and height, from 0 to 1."),
        ("distance", {"x": None}, "x and y are shares of width and height, from 0 to 1."),
        ("distance", {"x": True}, "x and y are shares of width and height, from 0 to 1."),
        ("distance", {"focal_pixels": ""}, "A focal length of  pixels is not that of a camera"),
        ("distance", {"focal_pixels": [600]}, "A focal length of [600] pixels is not that of a camera"),
        ("distance", {"frame": 2}, "frame 2 is not one of the 2 frames."),
        ("distance", {"frame": -1}, "frame -1 is not one of the 2 frames."),
        ("distance", {"frame": 0.5}, "frame 0.5 is not one of the 2 frames."),
        ("distance", {"frame": "first"}, "frame first is not one of the 2 frames."),
        ("distance", {"focal_pixels": float("inf")}, "A focal length of inf pixels is not that of a camera"),
        ("distance", {"focal_pixels": float("nan")}, "A focal length of nan pixels is not that of a camera"),
        ("distance", {"focal_pixels": -500}, "A focal length of -500 pixels is not that of a camera"),
        ("distance", {"focal_pixels": "wide"}, "A focal length of wide pixels is not that of a camera"),
        ("distance", {"field_of_view": float("nan")}, "A field of view of nan degrees is not that of a camera"),
        ("distance", {"field_of_view": 180}, "A field of view of 180 degrees is not that of a camera"),
        ("distance", {"field_of_view": "wide"}, "A field of view of wide degrees is not that of a camera"),
        ("distance", {"max_new_tokens": float("nan")}, "longest answer: nan is not a whole number from 1 to 512."),
        ("locate", {"thing": ""}, "There is no question: write one."),
        ("locate", {"field_of_view": 0}, "A field of view of 0 degrees is not that of a camera"),
        ("locate", {"max_new_tokens": float("nan")}, "longest answer: nan is not a whole number from 1 to 512."),
    ],
)
def test_bad_values_are_named(space_server, room, name, values, message):
    event, data = request(space_server, name, **{"video": room} | values)
    assert event == "error"
    assert message in data["error"]
    assert request(space_server, name, video=room)[0] == "complete"


@pytest.mark.slow
def test_only_uploads_are_read(space_server, space_model, tmp_path):
    video = EXAMPLES / "room_1.mp4"
    elsewhere = tmp_path / "room_1.mp4"
    elsewhere.write_bytes(video.read_bytes())
    beside = space_server.uploads.with_name("uploads_of_others") / "room_1.mp4"
    beside.parent.mkdir()
    beside.write_bytes(video.read_bytes())
    link = space_server.uploads / "link.mp4"
    link.symlink_to(elsewhere)
    upwards = f"{space_server.uploads}/../uploads_of_others/room_1.mp4"
    paths = ["/etc/passwd", "../../../../etc/passwd", "/proc/self/environ", SPACE / "app.py", video, elsewhere, beside]
    paths += [link, upwards, space_model, space_model / "config.json", "file:///etc/passwd", f"concat:{elsewhere}"]
    for path in [str(path) for path in paths]:
        for hidden in ({}, {"is_stream": True}, {"url": f"{space_server.url}/gradio_api/file={path}"}):
            event, _ = request(space_server, "ask", video=file_data(path) | hidden)
            assert event == "error", path
        for way in ("/gradio_api/file=", "/file=", "/gradio_api/stream/"):
            answer = get(space_server.url + way + path)
            assert answer.status_code in (403, 404), (way, path, answer.status_code)
    assert request(space_server, "ask", video="/etc/passwd")[0] == "error"
    # Gradio looks for files in every value, so a question is a way in as well.
    good = uploaded(space_server, video)
    assert request(space_server, "ask", video=good, question=file_data("/etc/passwd"))[0] == "error"
    assert request(space_server, "ask", video=good)[0] == "complete"


@pytest.mark.slow
def test_addresses_are_not_fetched(space_server):
    visits = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write((EXAMPLES / "room_1.mp4").read_bytes())

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433"):
            url = f"http://{host}:{server.server_port}/room_1.mp4"
            for hidden in ({}, {"is_stream": True}, {"url": url}):
                event, _ = request(space_server, "ask", video=file_data(url) | hidden)
                assert event == "error", url
            for way in ("file=", "proxy="):
                assert get(f"{space_server.url}/gradio_api/{way}{url}").status_code in (400, 403, 404)
        server.shutdown()
    assert visits == []
    assert space_server.is_healthy()


@pytest.mark.slow
def test_a_file_over_the_limit_is_refused(space_server):
    def body(megabytes: int) -> Iterator[bytes]:
        yield b'--end\r\nContent-Disposition: form-data; name="files"; filename="endless.mp4"\r\n\r\n'
        for _ in range(megabytes):
            yield bytes(2**20)
        yield b"\r\n--end--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=end"}
    answer = post(f"{space_server.url}/gradio_api/upload", content=body(150), headers=headers)
    assert answer.status_code == 413
    assert "exceeded maximum allowed size" in answer.text
    assert not [file for file in space_server.uploads.rglob("endless.mp4") if file.stat().st_size]
    assert space_server.is_healthy()


# ---- Many requests


@pytest.mark.slow
def test_clients_at_once_get_their_own_answers(space_server, bare_model, tmp_path):
    def video(number: int) -> Path:
        colour = np.array([36 * number, 255 - 36 * number, 128 * (number % 2)], np.uint8)
        frames = [frame * 0 + colour for frame in still_frames(number + 1, 96, 128)]
        return write_video(tmp_path / f"{number}.mp4", frames)

    videos = [video(number) for number in range(8)]
    expected = []
    for path in videos:
        scene, _ = open_scene(str(path), 8, tmp_path)
        camera = {"field_of_view_degrees": 60.0, "focal_pixels": None}
        answer = last(ask(bare_model, scene, QUESTION, remember=False, max_new_tokens=32))
        metres = last(ask_distance(bare_model, scene, 0, (64, 48), **camera, max_new_tokens=32)).metres
        expected.append((answer.text, answer.reports[0].vision_tokens, metres))
    assert len(set(expected)) == 8
    assert len({metres for *_, metres in expected}) > 2

    def visit(path: Path) -> list[tuple]:
        client = Client(space_server.url, verbose=False, httpx_kwargs={"timeout": LIMIT_SECONDS})
        found = []
        for _ in range(3):
            answer = client.predict(handle_file(path), QUESTION, 8, 32, api_name="/ask")
            point = client.predict(handle_file(path), num_frames=8, max_new_tokens=32, api_name="/distance")
            found.append((answer["answer"], answer["model_calls"][0]["vision_tokens"], point["metres"]))
        return found

    with ThreadPoolExecutor(8) as pool:
        for found, own in zip(pool.map(visit, videos), expected, strict=True):
            assert found == [own] * 3


@pytest.mark.slow
def test_requests_leave_no_memory_behind(space_server, capsys):
    videos = [uploaded(space_server, EXAMPLES / f"room_{number}.mp4") for number in (1, 2, 3)]
    megabytes = {}
    for number in range(1, 201):
        name = ("ask", "distance", "locate")[number % 3]
        assert request(space_server, name, video=videos[number // 3 % 3])[0] == "complete"
        if number in (1, 40, 100, 200):
            megabytes[number] = space_server.resident_megabytes()
    with capsys.disabled():
        sys.stdout.write(f"\nresident MB after requests { ({n: round(at) for n, at in megabytes.items()}) }\n")
    assert megabytes[200] - megabytes[40] < MARGIN_MEGABYTES


@pytest.mark.slow
def test_bad_files_are_refused_and_leave_no_memory_behind(space_server, bad_videos, capsys):
    megabytes = {}
    for number in range(1, 51):
        path, message = list(bad_videos.items())[number % len(bad_videos)]
        event, data = request(space_server, "ask", video=uploaded(space_server, path))
        assert event == "error", path.name
        assert message in data["error"]
        if number in (1, 10, 50):
            megabytes[number] = space_server.resident_megabytes()
    with capsys.disabled():
        sys.stdout.write(f"\nresident MB after bad files { ({n: round(at) for n, at in megabytes.items()}) }\n")
    assert megabytes[50] - megabytes[10] < MARGIN_MEGABYTES
    assert request(space_server, "ask", video=uploaded(space_server, EXAMPLES / "room_1.mp4"))[0] == "complete"


@pytest.mark.slow
def test_the_script_on_the_spaces_card_runs(space_server, tmp_path):
    code = (SPACE / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    code = code.replace("http://127.0.0.1:7860", space_server.url)
    assert space_server.url in code
    shutil.copy(EXAMPLES / "room_1.mp4", tmp_path / "video.mp4")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "'answer'" in done.stdout


# ---- Sessions


def test_keys_of_sessions_cannot_be_guessed():
    sessions = SceneSessions(1000, 60)
    keys = [sessions.add(Scene([])) for _ in range(1000)]
    assert len(set(keys)) == 1000
    assert min(map(len, keys)) >= 20
    assert len({key[:4] for key in keys}) > 950
    assert sessions.get(None) is None
    assert sessions.get("") is None
    assert sessions.get(keys[0][:-1]) is None


def test_the_scene_used_longest_ago_makes_room():
    sessions = SceneSessions(2, 60)
    scenes = [Scene([]) for _ in range(3)]
    first, second = (sessions.add(scene) for scene in scenes[:2])
    assert sessions.get(first) is scenes[0]
    third = sessions.add(scenes[2])
    assert [sessions.get(key) for key in (first, second, third)] == [scenes[0], None, scenes[2]]
    assert len(sessions) == 2
    sessions.remove(first)
    sessions.remove(first)
    sessions.remove(None)
    assert sessions.get(first) is None
    assert sessions.get(third) is scenes[2]


def test_large_scenes_make_room_for_new_ones():
    frames = [Image.new("RGB", (100, 100))] * 10  # 300,000 bytes
    sessions = SceneSessions(10, 60, num_bytes=700_000)
    first, second = sessions.add(Scene(frames)), sessions.add(Scene(frames))
    assert sessions.get(first) is not None, "both fit"
    sessions.get(first).encoded["video"] = {"video": {"pooler_output": [torch.zeros(50_000)]}}  # 200,000 bytes
    assert sessions.get(second) is None, "the encoding counts as well"
    third = sessions.add(Scene(frames * 5))
    assert sessions.get(first) is None
    assert sessions.get(third) is not None, "the newest stays, whatever its size"


def test_unused_scenes_expire(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("scene_sessions.time.monotonic", lambda: now[0])
    sessions = SceneSessions(10, 60)
    used, unused = sessions.add(Scene([])), sessions.add(Scene([]))
    now[0] = 50
    assert sessions.get(used) is not None
    now[0] = 100
    assert sessions.get(used) is not None
    assert sessions.get(unused) is None
    now[0] = 161
    assert sessions.get(used) is None
    assert len(sessions) == 0


def test_threads_see_their_own_scenes():
    sessions = SceneSessions(8, 60)
    wrong = []

    def visit(_: int) -> None:
        for _ in range(500):
            scene = Scene([])
            key = sessions.add(scene)
            if sessions.get(key) not in (scene, None):  # `None`: others have made it go
                wrong.append(key)
            sessions.remove(key)
            if len(sessions) > 8:
                wrong.append(len(sessions))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(visit, range(16)))
    assert wrong == []
    assert len(sessions) == 0
