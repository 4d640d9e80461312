"""What the page says of the model that it shows: what can be asked, how it was trained, where it comes from."""

from pathlib import Path

from example_rooms import ExampleRoom
from model_run import Training, Usage


QUESTION, DISTANCE, PLACE, DESCRIBE = "Ask anything", "How far is this point?", "Where is …?", "Describe"
DESCRIBE_QUESTION = "Describe the scene."
CODE = "https://github.com/igep/igep"
OF_TWO_IMAGES = ("correspondence", "pose")
RGB_ONLY = "The model sees nothing but the RGB frames and your question: no depth, pose or point cloud is used here."
RGB_IN = (
    "The model sees nothing but the RGB frames and your question. Geometry is not given to it: it reconstructs depth, "
    "cameras and points from the frames itself, and reads them (Reconstruction, below)."
)


def tasks_of(usage: Usage, training: Training) -> list[str]:
    """What a visitor can ask of a model, the first one first.

    Args:
        usage (`Usage`): What it was trained to be asked.
        training (`Training`): A toy cannot describe: it knows no words but those of its questions.

    Returns:
        `list[str]`: Of `QUESTION`, `DISTANCE`, `PLACE` and `DESCRIBE`; never empty.
    """
    in_words = "questions" in usage.tasks
    offered = {
        QUESTION: in_words,
        DISTANCE: "depth" in usage.tasks,
        PLACE: in_words and bool(usage.where_questions),
        DESCRIBE: in_words and not training.is_toy,
    }
    return [task for task, is_known in offered.items() if is_known] or [QUESTION]


def title_of(model_id: str, usage: Usage, training: Training) -> str:
    """The head of the page, in Markdown.

    Args:
        model_id (`str`): Id on the Hub or folder.
        usage (`Usage`): What it was trained to be asked.
        training (`Training`): How it was trained.

    Returns:
        `str`: What goes in and comes out, and links to model, papers and code.
    """
    tasks = tasks_of(usage, training)
    if DISTANCE in tasks and QUESTION not in tasks:
        told = "A video or a picture in, the distance of any of its points out."
    elif DISTANCE in tasks or PLACE in tasks:
        told = "A video in, answers about distances, places and sizes out."
    else:
        told = "A video in, answers to your questions out."
    folder = Path(model_id)
    name = f"`{folder.resolve().name}`" if folder.is_dir() else f"[{model_id}](https://huggingface.co/{model_id})"
    papers = ", ".join(f"[{paper}]({address})" for paper, address in training.papers)
    links = " · ".join([f"Model: {name}", *([f"Papers: {papers}"] if papers else []), f"[Code]({CODE})"])
    return f"# Ask about a 3D scene, from RGB alone\n{told}\n\n{links}"


def notice_of(usage: Usage, training: Training) -> str:
    """What a visitor must know of the model to judge its answers.

    Args:
        usage (`Usage`): What it was trained to be asked.
        training (`Training`): How it was trained.

    Returns:
        `str`: Sentences: what it is given, what supervised it, what it does not know.
    """
    told = [RGB_IN if training.reconstructs else RGB_ONLY]
    if training.supervised is not None:
        told.append(
            "3D geometry supervised its training only."
            if training.supervised
            else "It learned from answers alone: no 3D geometry supervised its training."
        )
    if training.is_toy:
        told.append(f"It is a toy of {training.parameters / 1e6:.2g} million parameters, which knows few words.")
    if training.rendered:
        told.append(
            "It was trained on rendered rooms and has never seen a photograph."
            if training.is_toy
            else "igep trained it on rendered rooms alone: what it knows of photographs, its base had learned before."
        )
    if images := [task for task in OF_TWO_IMAGES if task in usage.tasks]:
        told.append(f"What it learned about two images ({', '.join(images)}) cannot be asked here.")
    return " ".join(told)


def hint_of(task: str, example: ExampleRoom | None) -> str:
    """What stands in the empty question box.

    Args:
        task (`str`): What is asked.
        example (`ExampleRoom`, *optional*): What is known of the video, where it is a bundled one.

    Returns:
        `str`
    """
    thing = "a thing in the first frame" if example is None else f"a thing, such as {example.objects[0]}"
    return {
        QUESTION: "Ask about the video …",
        DISTANCE: "Click a point, or type x, y",
        PLACE: f"Name {thing}",
        DESCRIBE: "Press Send to have the scene described.",
    }[task]


def ideas_of(task: str, example: ExampleRoom | None, usage: Usage) -> list[str]:
    """What to ask: of a bundled example, about its own objects.

    Args:
        task (`str`): What is asked.
        example (`ExampleRoom`, *optional*): What is known of the video, where it is a bundled one.
        usage (`Usage`): Holds questions that the model was trained on.

    Returns:
        `list[str]`: Texts for the question box; empty where nothing is typed.
    """
    if task == PLACE:
        return [] if example is None else example.objects
    if task != QUESTION or "questions" not in usage.tasks:
        return []
    return list(usage.examples) if example is None else example.questions


def truth_of(task: str, text: str, example: ExampleRoom | None, first_frame: int) -> str:
    """The answer that the room of an example was rendered with.

    Args:
        task (`str`): What is asked.
        text (`str`): A question as it was sent, or with `PLACE` a thing.
        example (`ExampleRoom`, *optional*): What is known of the video, where it is a bundled one.
        first_frame (`int`): Number of the first frame that the model sees, whose camera is "the camera".

    Returns:
        `str`: Empty where it is not known.
    """
    if example is None:
        return ""
    if task != PLACE:
        return example.answer(text, first_frame)
    centre = example.centre_metres(text, first_frame)
    return "" if centre is None else in_words(centre)


def in_words(centre_metres: tuple[float, float, float]) -> str:
    """A place as a visitor says it.

    Args:
        centre_metres (`tuple[float, float, float]`): In the camera: right, down, forward.

    Returns:
        `str`
    """
    x, y, z = (round(metres, 1) for metres in centre_metres)
    sideways = f"{abs(x):.1f} m to the {'right' if x > 0 else 'left'}" if x else ""
    height = f"{abs(y):.1f} m {'down' if y > 0 else 'up'}" if y else ""
    return ", ".join(filter(None, (sideways, height, f"{z:.1f} m ahead")))
