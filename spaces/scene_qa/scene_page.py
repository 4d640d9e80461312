"""What happens on the page of the Space, and what it shows then."""

import html
import logging
import re
from collections.abc import Iterator
from contextlib import closing

import gradio as gr
from answer_pictures import enlarged
from field_of_view import DEFAULT_DEGREES
from question_text import is_empty, named_thing
from scene_api import SceneApi
from scene_conversation import Asked, Conversation
from scene_layout import EMPTY, NAMES_FOR_SCREEN_READERS, NOTHING_TO_ASK, SceneLayout
from scene_model import Scene, SceneModel
from scene_questions import Outcome, RequestError, ask, ask_distance, ask_place, open_scene
from scene_sessions import SceneSessions
from scene_turns import TOO_MANY, Turns, client_of, in_turn
from scene_words import DESCRIBE, DESCRIBE_QUESTION, DISTANCE, PLACE, QUESTION, hint_of, truth_of
from work_in_beats import in_beats


NO_SCENE = "There is no video, or it was put away after an hour: upload one or pick an example."
FAILED = "Something went wrong here. Ask again, or pick another video."
READ_AT_ONCE = 4  # videos, each in a process of its own
FAILED_TO_OPEN = "Something went wrong here. Try this video again, or pick another one."

_POINT = re.compile(r"\s*\(?\s*(\d{1,6})(?:\.\d*)?\s*[,;\s]\s*(\d{1,6})(?:\.\d*)?\s*\)?\s*")
logger = logging.getLogger(__name__)


class ScenePage:
    """What the visitor does on the page.

    Args:
        model (`SceneModel`): The model.
        sessions (`SceneSessions`): Where the visitors' scenes are kept.
        uploads (`str`): The folder that uploads lie in.
        answering (`Turns`): Whose turn it is to be answered.
        reading (`Turns`): Whose turn it is to have a video read.
    """

    def __init__(self, model: SceneModel, sessions: SceneSessions, uploads: str, answering: Turns, reading: Turns):
        self.model = model
        self.sessions = sessions
        self.uploads = uploads
        self.answering = answering
        self.reading = reading

    # ---- What the visitor does

    def load(
        self,
        video: str | None,
        picture: str | None,
        num_frames: int,
        key: str | None,
        conversation: Conversation,
        task: str = QUESTION,
        request: gr.Request | None = None,
    ) -> Iterator[dict]:
        """A new video or picture, or another number of frames: the conversation begins anew."""
        view = self.view
        path = video or picture
        before = self.sessions.get(key)
        if before is not None and before.source == (path, num_frames):
            yield gr.skip()
            return
        self.sessions.remove(key)
        conversation.clear()
        changes = {
            self.session: None,
            view.chat: gr.Chatbot(value=[], placeholder=NOTHING_TO_ASK),
            view.gallery: gr.Gallery(value=None, visible=False),
            view.frame: gr.Image(value=None, visible=False),
            view.space_view: gr.Plot(visible=False),
            self.frame_number: 0,
            view.prompt_sent: "",
            view.figures: "",
            view.ideas: view.ideas_for(path, task),
            view.question: view.hint_for(path, task),
        }
        if video is not None:
            changes[view.picture] = None
        if path is None:
            yield changes | {view.status: EMPTY}
            return
        try:
            # At every beat Gradio may end it: whoever leaves gives up the place, and the work.
            with self.reading.ticket(client_of(request)) as ticket:
                while not self.reading.wait(ticket):
                    yield gr.skip()
                reading = in_beats(lambda left: open_scene(path, num_frames, self.uploads, left), gr.skip())
                scene, about = yield from reading
        except RequestError as error:
            yield changes | {view.status: html.escape(f"⚠ {error}")}
            return
        except Exception:
            logger.exception("a video could not be opened")
            yield changes | {view.status: f"⚠ {FAILED_TO_OPEN}"}
            return
        yield changes | {
            self.session: self.sessions.add(scene),
            view.status: html.escape(about),
            view.chat: gr.Chatbot(value=[], placeholder=view.invitation),
            view.gallery: gr.Gallery(value=scene.frames, visible=len(scene.frames) > 1, selected_index=0),
            **self._frame_shown(scene, 0),
        }

    def field_of_view(self, path: str | None) -> tuple[float, bool]:
        """That of another video, known of the examples only, and whether it is to be estimated."""
        example = self.view.example(path)
        if example is None:
            return DEFAULT_DEGREES, self.model.calibrator is not None
        return example.field_of_view_degrees, False

    def choose_task(self, task: str, key: str | None) -> tuple[gr.Textbox, gr.Dataset]:
        """Another thing to ask: its hint and its ideas."""
        scene = self.sessions.get(key)
        path = scene and scene.source[0]
        return self.view.hint_for(path, task), self.view.ideas_for(path, task)

    def show_frame(self, key: str | None, number: int, chosen: gr.SelectData) -> dict:
        """Another frame of the gallery."""
        scene = self.sessions.get(key)
        if scene is None or not 0 <= chosen.index < len(scene.frames) or chosen.index == number:
            return gr.skip()
        return self._frame_shown(scene, chosen.index)

    def send(
        self,
        key: str | None,
        conversation: Conversation,
        number: int,
        text: str,
        task: str,
        remember: bool,
        max_new_tokens: int,
        field_of_view: float,
        focal_pixels: float | None,
        is_estimated: bool,
    ) -> dict:
        """A question was sent. It leaves its box once it is accepted."""
        if task in (QUESTION, PLACE) and is_empty(text):
            return gr.skip()
        scene, text = self.sessions.get(key), text or ""
        camera = _camera(max_new_tokens, None if is_estimated else field_of_view, focal_pixels)
        accepted = {self.view.question: ""}
        point = _POINT.fullmatch(text)
        if task == DISTANCE and point is not None:
            pixel = [int(at) + 0.5 for at in point.groups()]
            asked, answers = self._point_asked(scene, number, pixel, camera)
            truth = self._truth_of_point(scene, number, pixel)
        elif task == DISTANCE and not (text.strip() and QUESTION in self.view.tasks_offered):
            asked, answers = DISTANCE, _refused(f"{hint_of(DISTANCE, None)}: each asks how far it is.")
        elif task == PLACE:
            asked = f"Where is the {named_thing(text)}?"
            number, answers = 0, scene and ask_place(self.model, scene, text, **camera)
        else:
            accepted |= {self.view.tasks: QUESTION} if task == DISTANCE else {}
            accepted = {} if task == DESCRIBE else accepted
            asked = DESCRIBE_QUESTION if task == DESCRIBE else text
            answers = scene and ask(self.model, scene, asked, remember=remember, max_new_tokens=max_new_tokens)
        if point is None or task != DISTANCE:
            truth = self._truth(task, named_thing(text) if task == PLACE else asked, scene)
        return self._add(conversation, Asked(asked, scene, answers, number, accepted, typed=True, truth=truth))

    def click(
        self,
        key: str | None,
        conversation: Conversation,
        number: int,
        max_new_tokens: int,
        field_of_view: float,
        focal_pixels: float | None,
        is_estimated: bool,
        point: gr.SelectData,
    ) -> dict:
        """A point of the frame was clicked, which asks how far it is whatever the task was."""
        scene = self.sessions.get(key)
        camera = _camera(max_new_tokens, None if is_estimated else field_of_view, focal_pixels)
        pixel = (0.0, 0.0)
        if scene is not None:
            shown, factor = enlarged(scene.frames[number])
            sides = zip(point.index, shown.size, scene.scale, strict=True)
            pixel = [min(max(at + 0.5, 0), side) / factor * scale for at, side, scale in sides]
        asked, answers = self._point_asked(scene, number, pixel, camera)
        accepted = {self.view.tasks: DISTANCE} if DISTANCE in self.view.tasks_offered else {}
        truth = self._truth_of_point(scene, number, pixel)
        return self._add(conversation, Asked(asked, scene, answers, number, accepted, typed=False, truth=truth))

    def answer(self, conversation: Conversation, request: gr.Request | None = None) -> Iterator[dict]:
        """Writes the answer whose turn it is: the chat while it arrives, and what else changes on the page."""
        view = self.view
        if (asked := conversation.next()) is None:
            yield {view.chat: conversation.shown()}
            return
        begun, report = False, {}
        try:
            if asked.scene is None:
                raise RequestError(NO_SCENE)
            turns = in_turn(self.answering, client_of(request), asked.outcomes)
            with closing(turns) as outcomes:  # the model writes nothing more once an answer is not wanted
                for outcome in outcomes:
                    if not conversation.write(asked, outcome.text):
                        break
                    yield {view.chat: conversation.shown()} | self._outcome_shown(asked, outcome, begun)
                    begun = True
            if asked.truth:
                conversation.write(asked, f"{outcome.text} (truth: {asked.truth})")
            report = {
                view.prompt_sent: "\n\n".join(f"{report.prompt}\n→ {report.text}" for report in outcome.reports),
                view.figures: _figures(outcome),
                view.space_view: gr.Plot(value=outcome.figure, visible=outcome.figure is not None),
            }
        except RequestError as error:
            conversation.write(asked, f"⚠ {error}")
        except gr.Error as error:  # ZeroGPU's own, such as a spent quota
            conversation.write(asked, f"⚠ {error.message}")
        except Exception:
            logger.exception("a question could not be answered")
            conversation.write(asked, f"⚠ {FAILED}")
        yield {view.chat: conversation.shown()} | (report if conversation.end(asked) else {})

    def turn_away(self, conversation: Conversation) -> list[dict]:
        """The queue is full: the question whose turn it would have been is not answered."""
        if (asked := conversation.next()) is not None:
            conversation.write(asked, f"⚠ {TOO_MANY}")
            conversation.end(asked)
        return conversation.shown()

    def stop(self, conversation: Conversation) -> list[dict]:
        """The answer is not to be written on."""
        conversation.stop()
        return conversation.shown()

    def forget(self, key: str | None, conversation: Conversation, number: int) -> dict:
        """The chat was cleared: the model is not shown those turns any more, and nothing of them stays on the page."""
        conversation.clear()
        changes = {self.view.chat: [], self.view.space_view: gr.Plot(visible=False)}
        if (scene := self.sessions.get(key)) is None:
            return changes
        scene.turns = []
        return changes | self._frame_shown(scene, number)

    # ---- What the page shows

    def _add(self, conversation: Conversation, asked: Asked) -> dict:
        """The chat with a question whose answer waits for its turn; nothing changes where it is refused."""
        return {self.view.chat: conversation.shown()} if conversation.add(asked) else gr.skip()

    def _outcome_shown(self, asked: Asked, outcome: Outcome, begun: bool) -> dict:
        """What is shown beside the words of an answer, from its first outcome on."""
        view, number = self.view, asked.frame_number
        changes = {}
        if not begun:
            changes = {
                view.space_view: gr.Plot(visible=False),
                **self._frame_shown(asked.scene, number),
                **asked.accepted,
                view.gallery: gr.Gallery(selected_index=number),
            }
        if outcome.picture is not None:
            changes[view.frame] = gr.Image(value=outcome.picture, visible=True, label=self.view.frame_label(number))
        return changes

    def _point_asked(
        self, scene: Scene | None, number: int, pixel: list[float], camera: dict
    ) -> tuple[str, Iterator[Outcome] | None]:
        """How far a pixel of the video is, as words and as a request."""
        if scene is None:
            return DISTANCE, None
        asked = f"How far is pixel ({int(pixel[0])}, {int(pixel[1])}) of frame {number + 1}?"
        at = tuple(float(side) for side in pixel / scene.scale)
        return asked, ask_distance(self.model, scene, number, at, **camera)

    def _truth(self, task: str, text: str, scene: Scene | None) -> str:
        """What is true of a bundled example; empty where nothing is known."""
        if scene is None or (example := self.view.example(scene.source[0])) is None:
            return ""
        return truth_of(task, text, example, scene.frame_numbers[0])

    def _truth_of_point(self, scene: Scene | None, number: int, pixel: list[float]) -> str:
        """How far a pixel of a bundled example is, as the model was taught to say it; empty where nothing is known."""
        if scene is None or (example := self.view.example(scene.source[0])) is None:
            return ""
        share = tuple(at / side for at, side in zip(pixel, scene.video_size, strict=True))
        if not all(0 <= at <= 1 for at in share):
            return ""
        metres = example.distance_metres(share, scene.frame_numbers[number], self.model.usage.distance_kind)
        return f"{metres:.2f} m"

    def _frame_shown(self, scene: Scene, number: int) -> dict:
        """A frame with nothing drawn on it."""
        picture, _ = enlarged(scene.frames[number])
        return {
            self.frame_number: number,
            self.view.frame: gr.Image(value=picture, visible=True, label=self.view.frame_label(number)),
        }

    # ---- Wiring

    def build(self) -> gr.Blocks:
        """Lays the page out, wires it, and returns it."""
        with gr.Blocks(title="3D scene questions from RGB", delete_cache=(600, 3600)) as page:
            self.session, self.frame_number = gr.State(), gr.State(0)
            self.conversation = gr.State(Conversation())
            self.view = SceneLayout(self.model)
            self._wire()
            SceneApi(self.model, self.uploads, self.answering, self.reading).build(self.view)
            if self.model.reconstructs:
                from reconstruction_view import ReconstructionView  # which other models do not need

                view = ReconstructionView(self.model, self.sessions, self.uploads, self.answering, self.reading)
                view.build(self.session, self.view.video)
            page.load(None, js=NAMES_FOR_SCREEN_READERS)
        return page

    def _wire(self) -> None:
        view = self.view
        at_once = {"api_visibility": "private", "queue": False}
        answering = {
            "api_visibility": "private",
            "concurrency_limit": None,  # `Turns` limits them
            "show_progress": "minimal",
            "show_progress_on": view.chat,
            "trigger_mode": "multiple",
        }
        drawn = [view.chat, view.frame, self.frame_number, view.space_view]
        shown = [*drawn, view.gallery, view.prompt_sent, view.figures, view.question, view.tasks]
        visit = [self.session, self.conversation, self.frame_number]
        camera = [view.max_new_tokens, view.field_of_view, view.focal_pixels, view.is_estimated]
        sent = gr.on(
            [view.send_button.click, view.question.submit],
            self.send,
            [*visit, view.question, view.tasks, view.remember, *camera],
            shown,
            **at_once,
        )
        clicked = view.frame.select(self.click, [*visit, *camera], shown, **at_once)
        # Nothing cancels an answer but the conversation: a page that Gradio lets cancel one may show it as under way
        # for ever.
        for event in (sent, clicked):
            answered = event.then(self.answer, self.conversation, shown, **answering)
            answered.failure(self.turn_away, self.conversation, view.chat, **at_once)
            # Answers under way at once each show the whole chat: what one of them showed may reach the browser after
            # what is newer.
            answered.then(Conversation.shown, self.conversation, view.chat, **at_once)
        # One listener here as well: an older reading never ends after a newer one.
        loaded = gr.on(
            [view.video.change, view.picture.upload, view.num_frames.change],
            self.load,
            [view.video, view.picture, view.num_frames, self.session, self.conversation, view.tasks],
            [self.session, view.status, view.ideas, view.picture, *shown],
            api_visibility="private",
            concurrency_limit=None,
            trigger_mode="always_last",
            show_progress="minimal",
            show_progress_on=view.chat,
        )
        # A picture takes the place of a video; `load` takes it away once there is a video again.
        view.picture.upload(lambda: None, None, view.video, **at_once, show_progress="hidden")
        # Sliders are given nothing but numbers: by an update or `gr.skip`, Gradio would make them anew, as it knows
        # them.
        view.video.change(
            self.field_of_view,
            view.video,
            [view.field_of_view, view.is_estimated],
            **at_once,
            show_progress="hidden",
        )
        view.field_of_view.input(lambda: False, None, view.is_estimated, **at_once, show_progress="hidden")
        for slider in view.sliders:
            slider.release(lambda number: number, slider, slider, **at_once, show_progress="hidden")
        view.gallery.select(
            self.show_frame, [self.session, self.frame_number], [self.frame_number, view.frame], **at_once
        )
        view.tasks.change(self.choose_task, [view.tasks, self.session], [view.question, view.ideas], **at_once)
        view.ideas.click(lambda idea: idea[0], view.ideas, view.question, **at_once)
        stopped = view.stop_button.click(self.stop, self.conversation, view.chat, **at_once)
        cleared = view.chat.clear(self.forget, [self.session, self.conversation, self.frame_number], drawn, **at_once)
        for event in (stopped, cleared, loaded):
            # What was on its way to the browser then arrives afterwards: the chat is shown once more.
            event.then(Conversation.shown, self.conversation, view.chat, **at_once)


def _camera(max_new_tokens: int, field_of_view: float | None, focal_pixels: float | None) -> dict:
    """The settings as keywords of a request."""
    return {
        "max_new_tokens": max_new_tokens,
        "field_of_view_degrees": field_of_view,
        "focal_pixels": focal_pixels,
    }


def _refused(message: str) -> Iterator[Outcome]:
    raise RequestError(message)
    yield  # a generator, like the answers


def _figures(outcome: Outcome) -> str:
    reports = outcome.reports
    prompt, vision, answer = (
        sum(vars(report)[name] for report in reports) for name in ("prompt_tokens", "vision_tokens", "answer_tokens")
    )
    parts = [
        f"{prompt} prompt tokens, {vision} of them frames",
        f"{answer} answer tokens",
        f"{sum(report.seconds for report in reports):.2f} s",
        "frames encoded now" if any(report.encoded_now for report in reports) else "frames encoded before",
        *(report.stopped for report in reports if report.stopped),
    ]
    return " · ".join(parts)


def build_page(
    model: SceneModel, sessions: SceneSessions, uploads: str, *, concurrency: int, waiting: int, per_client: int
) -> gr.Blocks:
    """The Space's page.

    Args:
        model (`SceneModel`): The model.
        sessions (`SceneSessions`): Where the visitors' scenes are kept.
        uploads (`str`): The folder that uploads lie in.
        concurrency (`int`): Answers that the model writes at once.
        waiting (`int`): Requests that may wait for their turn, those to be answered and those to be read apart.
        per_client (`int`): Requests that one client may have under way, of either.

    Returns:
        `gr.Blocks`: To be queued and launched.
    """
    answering, reading = (Turns(at_once, waiting, per_client) for at_once in (concurrency, READ_AT_ONCE))
    return ScenePage(model, sessions, uploads, answering, reading).build()
