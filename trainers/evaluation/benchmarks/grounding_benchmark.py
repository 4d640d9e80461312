"""ScanRefer and Multi3DRefer as the papers run them: the model's ground head chooses among proposed boxes of a scene.

Questions are those whose answer is `<ground>`, of any dataset; their `referred_boxes` are the truth. What geometry the
head takes (`geometry_inputs`) and whose boxes it chooses among stand in the protocol of every score. For boxes that a
model writes as text, see the benchmarks of the same names that end in `_boxes`, for those that it regresses those that
end in `_regressed`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tqdm import tqdm
from transformers import PreTrainedConfig, PreTrainedModel

from igep.ground_head import GEOMETRY_OF, Grounded
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.centre_square import crops_to_centre
from igep.trainers.data.geometry_batch import seen_in_square
from igep.trainers.data.ground_truth import axis_aligned_boxes, is_grounding
from igep.trainers.data.scenes.spatial_example import PROPOSAL_LABEL, SpatialDataError
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark import AnsweringBenchmark, QuestionGroup
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.scene_questions import (
    SceneQuestions,
    sampling_of,
    scenes_and_questions,
    scenes_in_words,
    split_in_words,
)
from igep.trainers.evaluation.benchmarks.text_benchmark import COUNTS, PER_CENT
from igep.trainers.metrics.figure import Figure


PROPOSALS_IN_WORDS = {
    "objects": "the true boxes of the scene's objects",
    "detected": "boxes that a detector proposed (ScanNet: Mask3D, on the reconstructed mesh)",
}
INPUTS_IN_WORDS = {
    "none": "and the numbers of the proposals; neither depth nor cameras",
    "predicted": "the pose of their first, and the numbers of the proposals; depth and cameras are the model's own "
    "reconstruction",
    "pose": "their poses and intrinsics, and the numbers of the proposals",
    "depth+pose": "their depth, poses and intrinsics, and the numbers of the proposals",
}
PROTOCOLS = ("peer", "standard")
UNREADABLE = "prediction that is no JSON object with a box"
INVALID = "prediction with a box that is none: not six finite numbers, or a size that is not positive"


@dataclass(frozen=True)
class GroundingGroup(QuestionGroup):
    """Questions about a scene that boxes answer.

    Args:
        proposals (`np.ndarray`): (P, 6) boxes to choose among: centre and sizes in metres, in the scene's world; P may
            be 0.
    """

    proposals: np.ndarray = field(kw_only=True)


class GroundingQuestions(SceneQuestions):
    """The grounding questions of each scene, so many at a time.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        questions (`datasets.Dataset`): Table with `QUESTION_FEATURES`, all answered by boxes.
        options (`BenchmarkOptions`): Frames, questions per pass, and which proposals.
        truth_of (`Callable`): The reference of the metric, but for the type, from the true boxes.

    Raises:
        SpatialDataError: As `SceneQuestions`; or a question that is answered in words, or scenes of which none has
            proposals.
    """

    def __init__(self, scenes: Dataset, questions: Dataset, options: BenchmarkOptions, truth_of: Callable):
        columns = scenes.select_columns(["scene_id", "boxes"])
        boxes = {row["scene_id"]: row["boxes"] for row in columns}
        detected = options.ground_proposals == "detected"
        self._proposals = {
            scene_id: axis_aligned_boxes(
                scene_id, own, [place for place, box in enumerate(own) if (box["label"] == PROPOSAL_LABEL) == detected]
            )
            for scene_id, own in boxes.items()
        }
        if not any(map(len, self._proposals.values())):
            raise SpatialDataError(
                f"ground_proposals={options.ground_proposals!r}: not one of the {len(boxes)} scenes has such boxes, "
                "so there is nothing to choose among. Give them (Mask3D's masks or proposal_box_file), or set it to "
                f"{'objects' if detected else 'detected'}."
            )

        def reference_of(row: dict[str, Any]) -> dict[str, Any]:
            truth = reference_by_boxes(row, boxes[row["scene_id"]], truth_of)
            return {**truth, "proposals": len(self._proposals[row["scene_id"]])}

        super().__init__(
            scenes,
            questions,
            reference_of=reference_of,
            **sampling_of(options),
        )

    def group(self, scene: int, rows: Sequence[dict[str, Any]]) -> GroundingGroup:
        of_scene = super().group(scene, rows)
        return GroundingGroup(**vars(of_scene), proposals=self._proposals[of_scene.group_id])


def reference_by_boxes(row: dict[str, Any], boxes: Sequence[dict[str, Any]], truth_of: Callable) -> dict[str, Any]:
    """The truth of a question that boxes answer.

    Args:
        row (`dict`): Of the questions table.
        boxes (`Sequence[dict]`): Those of its scene.
        truth_of (`Callable`): The reference of the metric, but for the type, from the true boxes.

    Returns:
        `dict`: The reference with `question_type`.

    Raises:
        SpatialDataError: The question is answered in words, or means a box that is not there or cannot be one.
    """
    where = f"Question {row['question_id']!r} about scene {row['scene_id']!r}"
    if not is_grounding(row):
        raise SpatialDataError(f"{where}: its answer is {row['answers'][0]!r}, not <ground>: ask it elsewhere.")
    meant = row["referred_boxes"] or []
    unknown = [place for place in meant if not 0 <= place < len(boxes)]
    if unknown:
        raise SpatialDataError(f"{where}: `referred_boxes` names box {unknown[0]}, the scene has {len(boxes)}.")
    true = axis_aligned_boxes(row["scene_id"], boxes, meant).tolist()
    return {**truth_of(where, true), "question_type": row["question_type"] or ""}


class GroundingBenchmark(AnsweringBenchmark):
    """Questions that a ground head answers.

    Args:
        name (`str`): As on the command line, and that of its loader.
        split (`str`): The split that papers report.
        metric (`Callable`): Takes predictions, references and a protocol, see `igep/trainers/metrics`.
        any_number (`bool`): Whether none, one or several boxes answer, or always one.
    """

    max_new_tokens = 1  # no word is generated

    def __init__(self, name: str, split: str, metric: Callable[..., dict[str, float]], *, any_number: bool):
        self.name = self.dataset = name
        self.split = split
        self.metric = metric
        self.any_number = any_number

    def stated_options(self, values: dict[str, Any], model: str) -> dict[str, Any]:
        """What a score depends on and the user has not said: the model's geometry, and whose boxes.

        Args:
            values (`dict`): Options.
            model (`str`): Folder or Hub id; empty where predictions are scored.

        Returns:
            `dict`: `geometry_inputs` and `ground_proposals`.

        Raises:
            ValueError: The model has no ground head, or one for another setting; or it is not said what the
                predictions were made with.
        """
        inputs = values["geometry_inputs"]
        if model:
            config, _ = PreTrainedConfig.get_config_dict(model)
            if not config.get("ground_head"):
                regresses = f", or that it regresses ({self.name}_regressed)" if config.get("box_decoder") else ""
                raise ValueError(
                    f"benchmark={self.name!r}: {model} has no ground head. Train with ground_weight above 0, or score "
                    f"the boxes that it writes as text ({self.name}_boxes){regresses}."
                )
            trained_with = config["ground_geometry_inputs"]
            inputs = inputs or trained_with
            if (inputs == "none") != (trained_with == "none"):
                raise ValueError(
                    f"benchmark={self.name!r}: geometry_inputs={inputs!r}, but the ground head of {model} was trained "
                    f"with {trained_with!r} and has learnt nothing of it: leave geometry_inputs out."
                )
        if inputs is None:
            raise ValueError(
                f"benchmark={self.name!r}: say what geometry the predictions were made with: --geometry_inputs "
                f"{', '.join(GEOMETRY_OF)}."
            )
        default = (
            "detected" if values["dataset"] == self.dataset else "objects"
        )  # others bring no detector's proposals
        return {"geometry_inputs": inputs, "ground_proposals": values["ground_proposals"] or default}

    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> GroundingQuestions:
        return GroundingQuestions(*scenes_and_questions(options, tables), options, self._truth)

    def answers(
        self,
        model: PreTrainedModel,
        processor: IGEPProcessor,
        groups: Iterable[GroundingGroup],
        options: BenchmarkOptions,
        *,
        share_prefix: bool = True,
        progress: str | None = None,
        total: int | None = None,
    ) -> Iterator[tuple[GroundingGroup, list[str]]]:
        """Answers all questions of all groups, those of one from one encoding of its frames.

        Args:
            model (`PreTrainedModel`): An IGEP model with a ground head, in eval mode.
            processor (`IGEPProcessor`): Its processor.
            groups (`Iterable[GroundingGroup]`): Read as they are answered.
            options (`BenchmarkOptions`): `geometry_inputs` and `frames_as`.
            share_prefix (`bool`, *optional*, defaults to `True`): Ask the questions of a group in one pass.
            progress (`str`, *optional*): Title of a progress bar; without one, none is shown.
            total (`int`, *optional*): Number of groups, for the progress bar.

        Yields:
            `tuple[GroundingGroup, list[str]]`: Every group, and for each question a JSON object: `box` (or `null`
            where there are no proposals), or `boxes`; and `similarities`, one for each proposal in the order of the
            scene's boxes and last that of "none of them".

        Raises:
            SpatialDataError: A scene lacks geometry that the setting takes.
            ValueError: The model cannot take the setting.
        """
        size = tuple(model.config.geometry_size)
        crops = options.frames_as == "video" and crops_to_centre(processor)
        for group in tqdm(groups, desc=progress, total=total, unit="group", disable=progress is None):
            example = group.read_example(size)
            if crops:
                example = seen_in_square(example, size)
            given = {name: vars(example)[name] for name in GEOMETRY_OF[options.geometry_inputs]}
            missing = [name for name, value in given.items() if value is None]
            if missing:
                raise SpatialDataError(
                    f"Scene {group.group_id!r} has no {missing[0]}, which geometry_inputs={options.geometry_inputs!r} "
                    "takes."
                )
            inputs, token_ids = processor.ground_inputs(
                list(example.frames), [each.question for each in group.questions], frames_as=options.frames_as
            )
            found = model.ground(
                dict(inputs.to(model.device, dtype=model.dtype)),
                token_ids,
                torch.from_numpy(group.proposals),
                **{name: torch.from_numpy(value) for name, value in given.items()},
                image_size=size if given else None,
                geometry_inputs=options.geometry_inputs,
                share_prefix=share_prefix,
            )
            yield group, [json.dumps(self._prediction(group.proposals, one)) for one in found]

    def figures(
        self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        references = [{"sample_id": row["sample_id"], **row["reference"]} for row in rows]
        predictions, unparsed = [], 0
        for row in rows:
            if row["prediction"] is None:
                continue
            try:
                boxes = self._boxes_of(row["prediction"])
            except ValueError:
                unparsed, boxes = unparsed + 1, None
            predictions.append({"sample_id": row["sample_id"], ("boxes" if self.any_number else "box"): boxes})
        figures, facts = {}, {"unparsed": unparsed}
        for protocol in PROTOCOLS:
            scores = self.metric(self._as_protocol_takes(predictions, protocol), references, protocol)
            for name, value in scores.items():
                if name in (*COUNTS, "invalid", "invalid_scores"):
                    facts[f"{name}, {protocol}"] = value
                elif not name.endswith("count"):
                    kind = "_".join(name.split("_")[:-2])  # a type before accuracy_25, f1_50 and so on
                    figures[f"{name}, {protocol}"] = Figure(
                        value, int(scores[f"{kind}_count" if kind else "count"]), PER_CENT
                    )
        failures = {UNREADABLE: unparsed, INVALID: int(facts["invalid, standard"])}
        facts["failures"] = {problem: count for problem, count in failures.items() if count}
        return figures, facts | self._further_facts(rows)

    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        inputs = INPUTS_IN_WORDS[options.geometry_inputs]
        return {
            **scenes_in_words(options),
            "split": split_in_words(options, self.split),
            "inputs": f"{options.num_frames} RGB frames, sampled evenly from each scene, {inputs}",
            "questions": f"{num_questions} questions of {self.name}, each asked alone; the ground head chooses among "
            f"{PROPOSALS_IN_WORDS[options.ground_proposals]}",
            "metrics": f"those of igep's trainers/metrics ({self.metric.__name__}) under the protocols "
            f"{', '.join(PROTOCOLS)}",
            "geometry_inputs": options.geometry_inputs,
            "proposals": options.ground_proposals,
        }

    def _as_protocol_takes(self, predictions: list[dict[str, Any]], protocol: str) -> list[dict[str, Any]]:
        """Predictions as a metric's protocol takes them: proposals are boxes along the world's axes, which both do."""
        return predictions

    def _further_facts(self, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
        return {"questions_without_proposals": sum(row["reference"]["proposals"] == 0 for row in rows)}

    def _truth(self, where: str, boxes: list[list[float]]) -> dict[str, Any]:
        if self.any_number:
            return {"boxes": boxes}
        if len(boxes) != 1:
            raise SpatialDataError(f"{where}: `referred_boxes` holds {len(boxes)} boxes; {self.name} means one.")
        return {"box": boxes[0]}

    def _prediction(self, proposals: np.ndarray, found: Grounded) -> dict[str, Any]:
        if self.any_number:
            chosen: Any = {"boxes": proposals[found.chosen].tolist()}
        else:
            chosen = {"box": None if found.best is None else proposals[found.best].tolist()}
        return {**chosen, "similarities": [round(score, 6) for score in found.similarities]}

    def _boxes_of(self, text: str) -> list | None:
        """A prediction's box or boxes; `None` where it says that there is none, `ValueError` where it says nothing."""
        try:
            found = json.loads(text)["boxes" if self.any_number else "box"]
            if found is None and not self.any_number:
                return None
            boxes = [np.asarray(box, dtype=np.float64) for box in (found if self.any_number else [found])]
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from error
        if any(box.ndim != 1 for box in boxes):
            raise ValueError("a box is a list of numbers")
        return [box.tolist() for box in boxes] if self.any_number else boxes[0].tolist()
