"""Runs as `training_run.json` tells of them, for cards."""


def a_run(**fields) -> dict:
    """A run that trained on answers alone, with these fields in place of its own."""
    run = {
        "base_model": {"name": "org/base", "on_hub": True, "licence": {"name": "apache-2.0"}},
        "earlier": [],
        "steps": 10,
        "samples_per_step": 4,
        "recipe": {"learning_rate": 1e-5},
        "losses": [{"name": "cross-entropy of the answers", "weight": 1.0}],
        "teacher": None,
        "data": [{"name": "training rows", "task": "questions", "rows": 8, "samples": 40}],
        "usage": {"tasks": ["questions"], "num_frames": 2, "frames_as": "video", "multi_turn": True, "examples": []},
        "tags": ["igep"],
        "datasets": [],
        "adapter_only": False,
        "environment": {
            "python": "3.11.7",
            "packages": {"torch": "2.15.0"},
            "device": "CPU",
            "processes": 1,
            "precision": "float32",
        },
    }
    return run | fields
