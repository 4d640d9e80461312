"""What the model is told of the options: here how it masks packed questions."""

import pytest
from transformers import Qwen2Config

from igep.trainers.supervision.configure_supervision import packs_with_block_mask


@pytest.mark.parametrize(("implementation", "expected"), [("sdpa", False), ("eager", False), ("flex_attention", True)])
def test_the_mask_has_the_form_that_the_attention_takes(implementation, expected):
    assert packs_with_block_mask(Qwen2Config(attn_implementation=implementation)) is expected


def test_flash_attention_is_refused():
    with pytest.raises(ValueError, match="flash_attention_2.*sdpa"):
        packs_with_block_mask(Qwen2Config(attn_implementation="flash_attention_2"))
