"""What the README and pages of docs/ tell a reader to type: commands that the real parsers take, Python that runs."""

import argparse
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser
from PIL import Image
from scene_folders import scene_row, write_exported
from space_server import SpaceServer, noise_frames, write_video
from tiny_checkpoints import build_tokenizer, random_frames
from tiny_vid_llm import tiny_encoder, tiny_language_model

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import cli, distill, joint, sft
from igep.trainers.commands.launch import LAUNCHED
from igep.trainers.package_files import PACKAGE, TINY_BASE


pytest_plugins = ["space_model"]

TOP = [PACKAGE / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*TOP, *sorted((PACKAGE / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\(([^)\s]+)\)|src="([^"]+)"')
SPACE_URL = re.compile(r"http://127\.0\.0\.1:\d+")
FRAME_SIZE = re.compile(r"frame_size=\(\d+, \d+\)")  # of which a test makes a smaller one
ENCODER, LANGUAGE_MODEL = "facebook/dinov2-large", "Qwen/Qwen2-7B-Instruct"  # that pages make a Vid-LLM of
SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")  # lines may be broken in it
OURS = ("igep", "python", ".venv/bin/python", "accelerate", "make")
SEPARATORS = ("&&", "||", "|", ";", "&")
PARSE_KNOWN_ARGS = argparse.ArgumentParser.parse_known_args  # before a test puts another in its place
TRAINERS = {"sft": sft, "distill": distill, "joint": joint}
FRONTS = ("igep", "igep launch")  # parsers that only split a command line: the words are the next one's
FOLDERS = ("trainers/", "benchmarks/", "tests/", "spaces/", "docs/", "hub_cards/")


@dataclass(frozen=True)
class Typed:
    """A command as a page shows it.

    Args:
        page (`str`): File name.
        words (`tuple[str, ...]`): The command, split as a shell does.
        is_whole (`bool`): In a block of its own; in the middle of a sentence it may be a command's name alone.
    """

    page: str
    words: tuple[str, ...]
    is_whole: bool


def shell_lines(block: str) -> Iterator[str]:
    """Lines of a shell block, continued ones joined, without what a here-document holds."""
    end = None
    for line in block.replace("\\\n", " ").splitlines():
        if end is not None:
            end = None if line.strip() == end else end
            continue
        if (here := re.search(r"<<-?'?(\w+)'?", line)) is not None:
            end = here.group(1)
        yield line


def commands_in(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line, one for each part of a pipe or a list, without variables set before them."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), ";"]:
        if word not in SEPARATORS:
            words.append(word)
            continue
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words:
            yield tuple(words)
        words = []


def typed_commands() -> list[Typed]:
    """Every command of ours in the pages, once."""
    found: dict[Typed, None] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for language, block in FENCE.findall(text):
            if language in ("bash", "sh", "shell", "console"):
                for line in shell_lines(block):
                    for words in commands_in(line):
                        found[Typed(page.name, words, True)] = None
        for span in SPAN.findall(FENCE.sub("", text)):
            # Of a command with a gap (`...`, `<plan>`, NEW_FOLDER) there is nothing to parse.
            if span.split()[0] in OURS and len(span.split()) > 1 and not re.search(r"[<>|{]|\.\.\.|[A-Z]{3}", span):
                found[Typed(page.name, tuple(shlex.split(span)), False)] = None
    return [command for command in found if command.words[0] in OURS]


def python_blocks(page: Path) -> list[str]:
    """The Python of a page, in order."""
    return [block for language, block in FENCE.findall(page.read_text(encoding="utf-8")) if language == "python"]


# ---- Form


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_prose_keeps_to_the_width_of_the_code(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
    assert [line for line in prose if len(line) > 119 and not line.lstrip().startswith("|")] == []


# ---- Links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    links = [first or second for first, second in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))]
    lost = [link for link in links if "://" not in link and not (page.parent / link.split("#")[0]).exists()]
    assert not lost


def test_every_page_is_reached_from_the_readme():
    linked = {first or second for first, second in LINK.findall((PACKAGE / "README.md").read_text(encoding="utf-8"))}
    assert {page.relative_to(PACKAGE).as_posix() for page in PAGES} - linked == {"README.md"}


# ---- Commands


class Parsed(Exception):
    """Raised where a parser has taken a whole command line, before anything is done with it."""

    def __init__(self, leftover: list[str]):
        super().__init__(leftover)
        self.leftover = leftover


@pytest.fixture
def stop_after_parsing(monkeypatch):
    """Lets every parser of the process take its arguments and then stop."""
    depth = []

    def parse_and_stop(parser, args=None, namespace=None):
        depth.append(parser)  # a subcommand's parser is called by that of the command
        try:
            found = PARSE_KNOWN_ARGS(parser, args, namespace)
        finally:
            depth.pop()
        if depth or parser.prog in FRONTS:
            return found
        raise Parsed(found[1])

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse_and_stop)
    monkeypatch.chdir(PACKAGE)


def leftover_of(run) -> list[str]:
    """What the parser of a command did not know, of which some commands hand the rest on."""
    try:
        run()
    except Parsed as parsed:
        return parsed.leftover
    except SystemExit as end:
        if end.code not in (0, None):  # 0 is that of `--help`
            raise AssertionError(f"refused: {end.code}") from end
        return []
    raise AssertionError("the command parsed nothing")


def run_script(script: str, arguments: list[str], monkeypatch) -> list[str]:
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    return leftover_of(lambda: runpy.run_path(str(PACKAGE / script), run_name="__main__"))


def check(words: tuple[str, ...], is_whole: bool, monkeypatch) -> None:
    """Raises if a command would not be taken as it is typed."""
    program, *rest = words
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (PACKAGE / "Makefile").read_text(), re.MULTILINE)
        named = [word for word in rest if "=" not in word]
        assert named
        assert set(named) <= set(targets)
    elif program == "igep":
        assert rest, "igep alone asks for a command"
        arguments = rest if is_whole or len(rest) > 1 else [*rest, "--help"]
        leftover = leftover_of(lambda: sys.exit(cli.main(arguments)))
        command, *words = arguments
        if "--help" in words:
            return
        if command == "launch":
            assert not leftover, leftover
            place = next(place for place, word in enumerate(words) if word in LAUNCHED)
            check(("igep", *words[place:]), is_whole, monkeypatch)
        elif command in TRAINERS:
            trainer_takes(command, words)
        elif leftover:  # the experiments hand what they do not know to `igep sft`
            assert command in cli.EXPERIMENTS, leftover
            trainer_takes("sft", leftover)
    elif program == "accelerate":
        assert rest[0] == "launch"
        launch = vars(original_parse(launch_command_parser(), rest[1:]))
        as_module = ("-m",) if launch["module"] else ()
        check(
            ("python", *as_module, launch["training_script"], *launch["training_script_args"]), is_whole, monkeypatch
        )
    elif rest[0] == "-m":
        if rest[1].startswith("igep."):
            module = rest[1].removeprefix("igep.").replace(".", "/")
            check((program, f"{module}.py", *rest[2:]), is_whole, monkeypatch)
        else:
            assert rest[1] in ("pytest", "pip", "venv", "lmms_eval"), rest[1]
    elif rest[0] != "-c":
        script, *arguments = rest
        leftover = run_script(script, arguments, monkeypatch)
        if Path(script).stem in TRAINERS and "--help" not in arguments:
            trainer_takes(Path(script).stem, arguments)
        elif leftover:
            assert script.startswith("trainers/experiments/")
            trainer_takes("sft", leftover)


def original_parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """What a parser makes of its arguments, without stopping; a word that it does not know is an error."""
    found, leftover = PARSE_KNOWN_ARGS(parser, arguments)
    assert not leftover, leftover
    return found


def trainer_takes(name: str, arguments: list[str]) -> None:
    """Raises if a recipe, an option or a value is one that training would refuse."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", PARSE_KNOWN_ARGS)
        TRAINERS[name].parse([*arguments, "--use_cpu", "true"])


@pytest.mark.parametrize("command", typed_commands(), ids=lambda command: f"{command.page}: {' '.join(command.words)}")
def test_the_real_parser_takes_the_command(command, stop_after_parsing, monkeypatch):
    for word in command.words:
        if word.startswith(FOLDERS) and "*" not in word:
            assert (PACKAGE / word.split("::")[0]).exists(), f"{command.page} names {word}, which is not there"
    check(command.words, command.is_whole, monkeypatch)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("igep aks --model m --video v q", "refused"),
        ("igep ask --modle m --video v q", "refused"),
        ("igep check path --metres_per 1", "--metres_per"),
        ("igep sft --config quikstart.yaml", "refused"),
        ("igep sft --config quickstart.yaml --max_step 2", "refused"),
        ("igep launch fsdp3.yaml sft --config quickstart.yaml", "refused"),
        ("igep launch fsdp2.yaml sft --config quickstart.yaml --max_stepz 2", "refused"),
        ("igep launch fsdp2.yaml --num_proceses 2 sft --config quickstart.yaml", "num_proceses"),
        ("igep quickstart --outputt here", "outputt"),
        ("python -m igep.trainers.score --modle m", ""),
        ("python trainers/sft.py --config trainers/recipes/quikstart.yaml", "quikstart"),
        ("accelerate launch trainers/sft.py --config trainers/recipes/quickstart.yaml --max_stepz 2", "max_steps"),
        ("accelerate launch trainers/sft.py --config trainers/recipes/quickstart.yaml --max_steps many", ""),
        ("accelerate lunch trainers/sft.py", ""),
        ("python trainers/experiments/quickstart.py --outputt here", ""),
        ("python trainers/nowhere.py", "nowhere"),
        ("make qickstart", ""),
    ],
)
def test_a_command_with_a_mistake_would_be_found(line, reason, stop_after_parsing, monkeypatch, capsys):
    with pytest.raises((AssertionError, SystemExit, OSError, ValueError), match=reason or None):
        check(tuple(shlex.split(line)), True, monkeypatch)


def test_commands_are_found_where_they_stand():
    block = (
        "A=1 igep check a \\\n  --frame_stride 1 && make test  # a remark\n"
        "curl x <<JSON\nigep in a text\nJSON\nigep demo\n"
    )
    found = [words for line in shell_lines(block) for words in commands_in(line)]
    assert ("igep", "check", "a", "--frame_stride", "1") in found
    assert ("make", "test") in found
    assert ("igep", "demo") in found
    assert not any("text" in words for words in found)
    assert {command.page for command in typed_commands()} >= {"README.md"}


# ---- Python


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    """The tiny base as training would have saved it."""
    folder = tmp_path_factory.mktemp("readme") / "model"
    IGEPForConditionalGeneration.from_base(TINY_BASE).save_pretrained(folder)
    IGEPProcessor.from_base(TINY_BASE).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def parts_folder(tmp_path_factory) -> Path:
    """A tiny encoder and a tiny language model under the ids of those that pages name."""
    folder = tmp_path_factory.mktemp("parts")
    tiny_encoder(registers=0, layers=4).save_pretrained(folder / ENCODER)
    tokenizer = build_tokenizer("<image>", "<video>")
    tiny_language_model(len(tokenizer)).save_pretrained(folder / LANGUAGE_MODEL)
    tokenizer.save_pretrained(folder / LANGUAGE_MODEL)
    return folder


@pytest.fixture
def place_of_a_reader(model_folder, tmp_path, monkeypatch) -> Path:
    """A working folder with what the pages take as given: models under any name, scenes, a video, a photo."""
    write_exported(tmp_path / "path" / "to" / "scenes" / "desk", scene_row(4))
    (tmp_path / "path" / "to" / "scenes" / "desk" / "questions.jsonl").write_text(
        '{"question": "How far is the box?", "answer": "2.0"}\n' * 4
    )
    write_video(tmp_path / "room.mp4", noise_frames(4))
    shutil.copy(tmp_path / "room.mp4", tmp_path / "path" / "to" / "video.mp4")
    Image.new("RGB", (64, 64), (90, 120, 30)).save(tmp_path / "photo.png")
    (tmp_path / "trainers").symlink_to(PACKAGE / "trainers")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepare(block: str, folder: Path, model: Path, parts: Path) -> None:
    """Puts tiny models where a block reads one: a folder under `outputs/`, or an id on the Hub."""
    for name in re.findall(r"""["']((?:outputs|user|[\w-]+)/[\w.-]+)["']""", block):
        target = folder / name
        if not target.exists() and name.split("/")[0] not in ("path", "trainers"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(parts / name if name in (ENCODER, LANGUAGE_MODEL) else model, target)


def run_block(block: str, names: dict, folder: Path) -> dict:
    """Runs a block as a file of its own, with these names given, and returns all names it leaves."""
    (folder / "block.py").write_text(block, encoding="utf-8")
    left = runpy.run_path(str(folder / "block.py"), init_globals=names)
    return {name: value for name, value in left.items() if not name.startswith("__")}


@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, place_of_a_reader, model_folder, parts_folder):
    """Block after block, with what those before have defined, on tiny models and small frames; what talks to a running
    Space has a test of its own."""
    names = {"frames": random_frames(2, size=(64, 64))}
    for block in python_blocks(page):
        if SPACE_URL.search(block) is None:
            prepare(block, place_of_a_reader, model_folder, parts_folder)
            names |= run_block(FRAME_SIZE.sub("frame_size=(32, 48)", block), names, place_of_a_reader)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(SPACE_URL.search(block) for block in python_blocks(page))],
    ids=lambda page: page.name,
)
def test_the_python_that_asks_a_space_runs(page, place_of_a_reader, space_model):
    blocks = [block for block in python_blocks(page) if SPACE_URL.search(block)]
    with SpaceServer(space_model, place_of_a_reader) as server:
        for block in blocks:
            run_block(SPACE_URL.sub(server.url, block), {}, place_of_a_reader)
