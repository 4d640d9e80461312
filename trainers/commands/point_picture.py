"""A point and its distance drawn on the image it was asked about."""

from pathlib import Path

from PIL import ImageDraw, ImageFont

from igep.trainers.data.scenes.video_frames import read_frames


def save_point_picture(image: str | Path, pixel: tuple[int, int], metres: float, output: str | Path) -> None:
    """Draws a ring around a pixel and the metres beside it.

    Args:
        image (`str | Path`): The image, as `video_frames.read_frames` takes it.
        pixel (`tuple[int, int]`): Column and row, counted from 0.
        metres (`float`): What to write.
        output (`str | Path`): PNG file; its folder is made.

    Raises:
        ValueError: The file name does not end in .png.
        VideoError: The image cannot be read.
    """
    output = Path(output)
    if output.suffix.lower() != ".png":
        raise ValueError(f"{output} does not end in .png: pictures are written as PNG.")
    frame = read_frames(image, None)[0].convert("RGB")
    x, y = pixel[0] + 0.5, pixel[1] + 0.5
    unit = max(1, round(max(frame.size) / 200))
    draw = ImageDraw.Draw(frame)
    radius = 3 * unit
    # Dark under light: the ring and the letters stand out on any image.
    for width, colour in ((3 * unit, "black"), (unit, "white")):
        grown = radius + (width - unit) / 2
        draw.ellipse([x - grown, y - grown, x + grown, y + grown], outline=colour, width=width)
    font = ImageFont.load_default(size=max(10, 6 * unit))
    text = f"{metres:.2f} m"
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font, stroke_width=unit)
    gap = radius + 2 * unit
    text_x = x + gap - left if x + gap + right - left <= frame.width else x - gap - right
    text_y = min(max(y - (top + bottom) / 2, -top), frame.height - bottom)
    draw.text((max(text_x, -left), text_y), text, font=font, fill="white", stroke_fill="black", stroke_width=unit)
    output.parent.mkdir(parents=True, exist_ok=True)
    frame.save(output)
