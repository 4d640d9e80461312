"""A DepthPro of random weights: the class of the calibrator the documentation names, in a hundredth of a second."""

from pathlib import Path

import torch
from transformers import DepthProConfig, DepthProForDepthEstimation, DepthProImageProcessor


def tiny_depth_pro(use_fov_model):
    vision = {
        "model_type": "dinov2",
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "patch_size": 4,
        "mlp_ratio": 2,
        "use_mask_token": False,
    }
    config = DepthProConfig(
        patch_size=16,
        fusion_hidden_size=16,
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[10, 8],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.2],
        scaled_images_feature_dims=[12, 12],
        use_fov_model=use_fov_model,
        image_model_config=vision | {"image_size": 16},
        patch_model_config=vision | {"image_size": 16},
        fov_model_config=vision | {"image_size": 16},
        num_fov_head_layers=0,
    )
    torch.manual_seed(0)
    return DepthProForDepthEstimation(config).eval()


def save_tiny_depth_pro(folder: Path, degrees: float = 70.0) -> str:
    """Writes it with its image processor, as on the Hub; its field of view is about so many degrees."""
    model = tiny_depth_pro(use_fov_model=True)
    torch.nn.init.constant_(model.fov_model.head.layers[-1].bias, degrees)
    model.save_pretrained(folder)
    DepthProImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)
