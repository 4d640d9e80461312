"""`transformers serve` answers OpenAI's chat requests with an exported model as `generate` does.

Needs `pip install "transformers[serving]"`.
"""

import base64
import io
import json
import os
import string
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import openai
import pytest
from PIL import Image
from processes import end, free_port, wait_for_server
from tiny_checkpoints import FAMILIES, random_frames
from waiting import LIMIT_SECONDS

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.commands.export_vlm import export_vlm


QUESTION = "How far is the chair?"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=FAMILIES)
def served(request, checkpoint_folders, tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A running server of a plain VLM exported from a saved model, and that model's own greedy answers."""
    root = tmp_path_factory.mktemp("served")
    processor = IGEPProcessor.from_base(checkpoint_folders[request.param])
    IGEPForConditionalGeneration.from_base(checkpoint_folders[request.param]).save_pretrained(root / "model")
    model = IGEPForConditionalGeneration.from_pretrained(root / "model")
    # A random model writes bytes that are no text, of which a stream and a string keep different parts.
    letters = processor.tokenizer.convert_tokens_to_ids(list(string.ascii_letters))
    allowed = {*letters, processor.tokenizer.eos_token_id}
    model.generation_config.suppress_tokens = sorted(set(range(len(processor.tokenizer))) - allowed)
    export_vlm(model, root / "plain", processor)

    def expected(frames: list[Image.Image]) -> tuple[str, int]:
        inputs = processor.question_inputs(frames, QUESTION, frames_as="images")
        length = inputs["input_ids"].shape[1]
        generated = model.generate(**inputs, max_new_tokens=8, do_sample=False)[:, length:]
        return processor.batch_decode(generated, skip_special_tokens=True)[0], length

    port, log = free_port(), root / "server.log"
    command = [Path(sys.executable).with_name("transformers"), "serve", root / "plain"]
    environment = {**os.environ, "HF_HOME": str(root / "hf_home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_server(process, f"{url}/health", log)
        yield SimpleNamespace(url=url, name=str(root / "plain"), expected=expected, log=log)
    finally:
        end(process)


@pytest.fixture(autouse=True)
def log_of_a_failure(served) -> Iterator[None]:
    """pytest shows what is printed here beside a failed test, and else nothing."""
    start = len(served.log.read_text())
    yield
    sys.stdout.write(served.log.read_text()[start:])


def messages(frames: list[Image.Image]) -> list[dict]:
    parts = []
    for frame in frames:
        file = io.BytesIO()
        frame.save(file, format="PNG")
        data = base64.b64encode(file.getvalue()).decode()
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}})
    return [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]


@pytest.fixture
def client(served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", timeout=LIMIT_SECONDS, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("num_frames", [1, 3])
def test_the_openai_client_gets_the_answer_of_generate(served, client, num_frames):
    frames = random_frames(num_frames)
    text, length = served.expected(frames)
    other, _ = served.expected(random_frames(num_frames, seed=1))
    assert text != other, "the tiny model does not look at its images: the test proves nothing"
    for shown, answer in ((frames, text), (random_frames(num_frames, seed=1), other)):
        reply = client.chat.completions.create(
            model=served.name, messages=messages(shown), max_tokens=8, temperature=0
        )
        assert reply.choices[0].message.content == answer
        assert reply.usage.prompt_tokens == length


def test_a_stream_is_the_same_answer_in_pieces(served, client):
    frames = random_frames(2)
    stream = client.chat.completions.create(
        model=served.name, messages=messages(frames), max_tokens=8, temperature=0, stream=True
    )
    pieces = [chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content]
    assert len(pieces) > 1
    assert "".join(pieces) == served.expected(frames)[0]


def test_plain_http_is_enough(served):
    frames = random_frames(1)
    body = {"model": served.name, "messages": messages(frames), "max_tokens": 8, "temperature": 0}
    request = urllib.request.Request(
        f"{served.url}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as response:
        reply = json.load(response)
    assert reply["choices"][0]["message"]["content"] == served.expected(frames)[0]
