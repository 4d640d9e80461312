"""Every benchmark by its name on the command line."""

from igep.trainers.data.vlm3.vlm3_options import VLM3_TASKS
from igep.trainers.evaluation.benchmarks.benchmark import ModelMeasurement, QuestionBenchmark
from igep.trainers.evaluation.benchmarks.latency import Latency
from igep.trainers.evaluation.benchmarks.multi3drefer import MULTI3DREFER
from igep.trainers.evaluation.benchmarks.reconstruction import RECONSTRUCTION
from igep.trainers.evaluation.benchmarks.regressed_boxes import MULTI3DREFER_REGRESSED, SCANREFER_REGRESSED
from igep.trainers.evaluation.benchmarks.room_depth_probe import RoomDepthProbe
from igep.trainers.evaluation.benchmarks.rooms import Rooms
from igep.trainers.evaluation.benchmarks.scan2cap import SCAN2CAP
from igep.trainers.evaluation.benchmarks.scanqa import SCANQA
from igep.trainers.evaluation.benchmarks.scanrefer import SCANREFER
from igep.trainers.evaluation.benchmarks.sqa3d import SQA3D
from igep.trainers.evaluation.benchmarks.text_boxes import MULTI3DREFER_BOXES, SCANREFER_BOXES
from igep.trainers.evaluation.benchmarks.vlm3_tasks import VLM3Task
from igep.trainers.evaluation.benchmarks.vsi_bench import VSI_BENCH


BENCHMARKS: dict[str, QuestionBenchmark | ModelMeasurement] = {
    benchmark.name: benchmark
    for benchmark in (
        *(SCANQA, SQA3D, VSI_BENCH),
        *(SCANREFER, MULTI3DREFER, SCANREFER_REGRESSED, MULTI3DREFER_REGRESSED),
        *(SCANREFER_BOXES, MULTI3DREFER_BOXES, SCAN2CAP),
        *map(VLM3Task, VLM3_TASKS),
        *(Rooms(), RoomDepthProbe(), Latency(), RECONSTRUCTION),
    )
}
