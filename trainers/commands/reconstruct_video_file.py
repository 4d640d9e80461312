"""From a model and a video on disk to a point cloud on disk."""

from pathlib import Path

from tqdm import tqdm

from igep.trainers.cards.usage import read_usage
from igep.trainers.commands.point_cloud_file import PointCloud, check_selection, confident_points, save_point_cloud
from igep.trainers.data.scenes.video_frames import DEFAULT_NUM_FRAMES, read_frames
from igep.trainers.evaluation.load_vlm import load_for_answers
from igep.trainers.evaluation.reconstruct_video import check_reconstructs, reconstruct_frames


def reconstruct_video_file(
    model_dir: str | Path,
    video: str | Path,
    output: Path,
    num_frames: int | None = None,
    *,
    keep: float = 0.7,
    most_points: int = 500_000,
    device: str | None = None,
) -> PointCloud:
    """Reconstructs a video and writes what it shows.

    Args:
        model_dir (`str | Path`): Directory or Hub id of a Vid-LLM model. Code that it brings along is run.
        video (`str | Path`): Video file, folder of images or image; see `video_frames.read_frames`.
        output (`Path`): `.glb` or `.ply`; a file that is there is replaced.
        num_frames (`int`, *optional*): Frames to look at, spread evenly; by default as many as the model was trained
            with, 8 where it does not say, or all where there are fewer.
        keep (`float`, *optional*, defaults to `0.7`): Share of the points that is kept, the most confident.
        most_points (`int`, *optional*, defaults to `500_000`): Most points.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.

    Returns:
        `PointCloud`: What was written.

    Raises:
        ValueError: A bad option or device, a model that does not reconstruct, or not one point that is finite.
        VideoError: A video that cannot be used.
        OSError: No model at `model_dir`, or the file cannot be written.
    """
    check_selection(keep, most_points)
    trained = read_usage(model_dir).get("num_frames", DEFAULT_NUM_FRAMES)
    with tqdm(total=4, desc="reading the video", unit="step") as bar:
        frames = read_frames(video, num_frames, at_most=trained)
        _step(bar, "loading the model")
        model, processor = load_for_answers(model_dir, device)
        check_reconstructs(model.config.model_type, str(model_dir))
        _step(bar, f"reconstructing {len(frames)} frames")
        found = reconstruct_frames(model, processor, frames)
        _step(bar, f"writing {output.name}")
        points, colours = confident_points(found.points_metres, found.frames, found.confidence, keep, most_points)
        size = (found.frames.shape[1], found.frames.shape[2])
        cloud = PointCloud(points, colours, found.world_from_camera, found.intrinsics, size)
        save_point_cloud(output, cloud)
        bar.update()
    return cloud


def _step(bar: tqdm, description: str) -> None:
    bar.update()
    bar.set_description(description)
