import pytest
import torch

from igep.multi_head_attention import LayerScale, MultiHeadAttention, SelfAttentionBlock


def attention(channels=8, heads=2):
    torch.manual_seed(0)
    return MultiHeadAttention(channels, heads)


def test_it_is_softmax_attention_over_normalised_queries_and_keys():
    module = attention()
    queries, context = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    bias = torch.randn(2, 3, 5)
    query = module.query_norm(module.query(queries).view(2, 3, 2, 4))
    key, value = module.key_value(context).view(2, 5, 2, 2, 4).unbind(2)
    logits = torch.einsum("nqhc,nshc->nhqs", query, module.key_norm(key)) / 2
    for given in (None, bias):
        weights = (logits if given is None else logits + given[:, None]).softmax(-1)
        expected = module.output(torch.einsum("nhqs,nshc->nqhc", weights, value).flatten(-2))
        torch.testing.assert_close(module(queries, context, bias=given), expected)


def test_masked_keys_are_not_read():
    module = attention()
    queries, context = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, False, True, True, False]])
    torch.testing.assert_close(module(queries, context, mask), module(queries, context[:, mask[0]]))


def test_a_block_whose_factors_are_zero_changes_nothing():
    torch.manual_seed(0)
    block = SelfAttentionBlock(8, 2, 4, layer_scale=0.0)
    tokens = torch.randn(2, 5, 8)
    torch.testing.assert_close(block(tokens), tokens, rtol=0, atol=0)


def test_factors_go_back_to_their_first_value():
    scale = LayerScale(4, 0.25)
    torch.nn.init.zeros_(scale.scale)
    scale.reset_parameters()
    assert scale.scale.tolist() == [0.25] * 4


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="3 heads do not divide 8 channels"):
        MultiHeadAttention(8, 3)
