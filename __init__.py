"""3D understanding for video vision-language models from RGB alone."""

__version__ = "0.1.0"
