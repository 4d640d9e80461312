"""Labelled pixels per second with and without packing, in training and in answering, side by side in one run.

    python benchmarks/pack_questions.py

The models are random, with the proportions of Qwen3-VL-4B and LLaVA-OneVision-7B between vision tower and language
model, and small enough for a processor. The image has the size of VLM3's released depth example, the questions and
answers are VLM3's, and words, punctuation marks and digits are tokens of their own, about as in Qwen's vocabulary. A
step is forward and backward; without packing it is one question after the other, which needs the least memory. Peak
memory is that of a process of its own.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import torch
from PIL import Image

from igep.benchmarks.models.random_vlm import FAMILIES, build
from igep.question_packing import answer_questions
from igep.spatial_prompts import depth_answer, depth_question
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.scenes.spatial_example import SpatialExample


IMAGE_SIZE = (920, 1215)  # height and width of the released depth example


def example(questions: int, image_size: tuple[int, int]) -> SpatialExample:
    """One image of noise with so many depth questions."""
    noise = torch.randint(0, 256, (*image_size, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    turns = tuple(
        (depth_question(((37 * number + 5) % 2000, (91 * number + 17) % 2000)), depth_answer(1 + 0.37 * number))
        for number in range(questions)
    )
    frames = (Image.fromarray(noise.numpy()),)
    return SpatialExample("s", "s", ("0",), frames, None, None, None, turns)


class Work:
    """One model with everything that the two ways of training and of answering need.

    Args:
        family (`str`): One of `FAMILIES`.
        questions (`int`): K.
        device (`str`): Torch device.
        new_tokens (`int`): Tokens of every answer.
        image_size (`tuple[int, int]`): Height and width of the image.
    """

    def __init__(self, family: str, questions: int, device: str, new_tokens: int, image_size: tuple[int, int]):
        texts = [depth_question((x, 2345678901 % (x + 9))) + depth_answer(x / 7 + 1) for x in range(2000)]
        self.model, self.processor = build(family, texts)
        self.model.to(device)
        self.new_tokens = new_tokens
        self.asked = example(questions, image_size)
        self.names = (
            "sample_ids",
            "scene_ids",
            "frame_ids",
            "depth_metres",
            "intrinsics",
            "world_from_camera",
            "frame_mask",
        )
        one_each = [
            SpatialExample(**(vars(self.asked) | {"conversation": (turn,)})) for turn in self.asked.conversation
        ]
        collate = IGEPDataCollator(self.processor, (8, 8), frames_as="images", pack_questions=True)
        plain = IGEPDataCollator(self.processor, (8, 8), frames_as="images")
        self.packed = [self._inputs(collate([self.asked]), device)]
        self.separate = [self._inputs(plain([one]), device) for one in one_each]
        self.supervised = sum(int((batch["labels"] != -100).sum()) for batch in self.separate)
        self.device = device

    def _inputs(self, batch: dict, device: str) -> dict:
        return {name: value.to(device) for name, value in batch.items() if name not in self.names}

    def train(self, batches: list[dict]) -> float:
        """Forward and backward of every batch; returns the loss."""
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        total = 0.0
        for batch in batches:
            loss = self.model(**batch, num_items_in_batch=self.supervised).loss
            loss.backward()
            total += loss.item()
        return total

    def answer_packed(self) -> list[list[int]]:
        """All answers from one prefill."""
        self.model.eval()
        questions = [question for question, _ in self.asked.conversation]
        prefix, ids = self.processor.packed_question_inputs(list(self.asked.frames), questions, frames_as="images")
        return answer_questions(
            self.model.vlm, dict(prefix.to(self.device)), ids, max_new_tokens=self.new_tokens, eos_token_ids=[-1]
        )

    def answer_separately(self) -> list[list[int]]:
        """One `generate` per question; the token that ends an answer ends none, in both ways of answering."""
        self.model.eval()
        answers = []
        for question, _ in self.asked.conversation:
            inputs = self.processor.question_inputs(list(self.asked.frames), question, frames_as="images").to(
                self.device
            )
            length = inputs["input_ids"].shape[1]
            with torch.no_grad():
                tokens = self.model.generate(
                    **inputs, max_new_tokens=self.new_tokens, eos_token_id=-1, do_sample=False
                )
            answers.append(tokens[0, length:].tolist())
        return answers

    def jobs(self) -> dict[str, Callable]:
        """What is timed, by name."""
        return {
            "train, separate": lambda: self.train(self.separate),
            "train, packed": lambda: self.train(self.packed),
            "answer, separate": self.answer_separately,
            "answer, packed": self.answer_packed,
        }


def seconds(job: Callable, device: str) -> float:
    begin = time.perf_counter()
    job()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def peak_gibibytes(options: argparse.Namespace, family: str, job: str) -> float:
    """Peak memory of one job in a process of its own, less what the process holds before it."""
    command = [sys.executable, __file__, "--family", family, "--memory_of", job]
    for name in ("questions", "new_tokens", "device", "threads"):
        command += [f"--{name}", str(vars(options)[name])]
    command += ["--image_size", *map(str, options.image_size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def memory_of(options: argparse.Namespace) -> float:
    work = Work(options.family, options.questions, options.device, options.new_tokens, tuple(options.image_size))
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work.jobs()[options.memory_of]()
        return (torch.cuda.max_memory_allocated() - before) / 2**30
    with PeakResidentMemory() as peak:
        work.jobs()[options.memory_of]()
    return peak.grown_gibibytes


class PeakResidentMemory:
    """Samples the resident memory of the process while the body of a `with` runs."""

    def __enter__(self) -> Self:
        self.running = True
        self.before = self.peak = self._resident()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.running = False
        self.thread.join()

    @property
    def grown_gibibytes(self) -> float:
        """Peak less what was resident before."""
        return (self.peak - self.before) / 2**30

    def _sample(self) -> None:
        while self.running:
            self.peak = max(self.peak, self._resident())
            time.sleep(0.005)

    @staticmethod
    def _resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--questions", type=int, default=10, help="K, questions about the image")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the median is reported")
    parser.add_argument("--new_tokens", type=int, default=24, help="tokens of every answer")
    parser.add_argument(
        "--image_size", type=int, nargs=2, default=IMAGE_SIZE, metavar=("H", "W"), help="height and width of the image"
    )
    parser.add_argument("--no_memory", action="store_true", help="leave out peak memory: a process for every job")
    parser.add_argument("--threads", type=int, default=2, help="threads of the processor")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--family", choices=FAMILIES, help="one family alone")
    parser.add_argument("--memory_of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(memory_of(options)))
        return
    print(
        "| model | vision tokens | tokens per question | job | pixels/s | peak GiB "
        f"| packed / separate (K = {options.questions}) |"
    )
    print("|---|---|---|---|---|---|---|")
    for family in [options.family] if options.family else FAMILIES:
        work = Work(family, options.questions, options.device, options.new_tokens, tuple(options.image_size))
        jobs = work.jobs()
        if abs(jobs["train, packed"]() - jobs["train, separate"]()) > 1e-4:
            raise AssertionError("the packed loss is not that of separate questions")
        if jobs["answer, packed"]() != jobs["answer, separate"]():
            raise AssertionError("the packed answers are not those of separate questions")
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(options.repeats):
            for name, job in jobs.items():
                times[name].append(seconds(job, options.device))
        rates = {name: options.questions / statistics.median(values) for name, values in times.items()}
        blocks = work.packed[0]["block_index"]
        config = work.model.config.vlm_config
        vision = int((work.packed[0]["input_ids"] == config.image_token_id).sum())
        per_question = int((blocks == 1).sum())
        for name in jobs:
            ratio = rates[name] / rates[name.replace("packed", "separate")]
            memory = "-" if options.no_memory else f"{peak_gibibytes(options, family, name):.2f}"
            shown = f"{ratio:.1f}x" if "packed" in name else ""
            print(
                f"| {family} | {vision} | {per_question} | {name} | {rates[name]:.2f} | {memory} | {shown} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
