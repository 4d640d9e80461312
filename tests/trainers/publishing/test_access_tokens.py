"""Tokens are found by their makers' forms or what stands beside them; commits, hashes and placeholders are none."""

import pytest
from growth import grows_linearly

from igep.trainers.publishing.access_tokens import holds_access_token


HEX = "0123456789abcdef" * 4
WORD = "aB3dE5gH7jK9mN1pQ3sT5vX7zB9dF1hJ3lN5pR7tV9xZ1bD3fH5jL7nP9rT1vX3zB5"
# In pieces, for the machines that look for tokens in repositories.
TOKENS = {
    "Slack, webhook": "https://hooks.slack.com/" + "services/T0AB12CD3/B0AB12CD3/" + WORD[:24],
    "Slack, workflow": "https://hooks.slack.com/" + "triggers/T0AB12CD3/1234567890/" + WORD[:24],
    "Discord, webhook": "https://discord.com/api/" + "webhooks/123456789012345678/" + WORD,
    "Discord, older webhook": "https://canary.discordapp.com/api/v10/" + "webhooks/123456789012345678/" + WORD,
    "Discord, bot": "MTIz" + WORD[:20] + ".G" + WORD[:5] + "." + WORD[:38],
    "Telegram": "1234567890:" + "AA" + WORD[:33],
    "Telegram, address": "https://api.telegram.org/bot1234567890:" + "AA" + WORD[:33] + "/sendMessage",
    "Figma": "figd_" + WORD[:43],
    "Kaggle, file": '{"username":"me","key":"' + HEX[:32] + '"}',
    "Kaggle, name": "KAGGLE_KEY=" + HEX[:32],
    "Kaggle, new": "KGAT_" + HEX[:32],
    "W&B, command": "wandb login " + HEX[:40],
    "W&B, option": "wandb login --relogin " + HEX[:40],
    "W&B, call": 'wandb.login(key="' + HEX[:40] + '")',
    "W&B, netrc": "machine api.wandb.ai\n  login user\n  password " + HEX[:40],
    "W&B, key": "wandb key: " + HEX[:40],
    "Hugging Face, OAuth": "hf_oauth_" + WORD[:40],
    "header": "Authorization: Bearer " + WORD[:40],
    "header in JSON": '"Authorization": "Basic ' + WORD[:40] + '"',
    "Azure, signed address": "https://a.blob.core.windows.net/x?sv=1&sig=" + WORD[:43] + "%3D",
    "AWS, signed address": "https://b.s3.amazonaws.com/x?X-Amz-Signature=" + HEX,
    "Google": "GOCSPX-" + WORD[:28],
    "Vault": "hvs." + WORD[:30],
    "LangSmith": "lsv2_pt_" + HEX[:32] + "_" + HEX[:10],
    "Tailscale": "tskey-auth-" + WORD[:30],
    "Shopify": "shpat_" + HEX[:32],
    "PGP": "-----BEGIN PGP PRIVATE " + "KEY BLOCK-----",
    "named": 'api_key = "' + HEX[:32] + '"',
    "password": "DB_PASSWORD=" + HEX[:32],
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_a_token_is_found(token):
    for text in (token, f"use '{token}' here", f"a\n{token}\nb"):
        assert holds_access_token(text)


@pytest.mark.parametrize(
    "text",
    [
        f"commit {HEX[:40]} revision: {HEX[:40]}",
        f"logged to wandb, run of commit {HEX[:40]}",
        f"wandb: run abc123\nrevision {HEX[:40]}",
        f"sha256:{HEX} md5 {HEX[:32]} etag {HEX[:32]}",
        "https://hooks.slack.com/services/... https://hooks.slack.com/services/T000/B000/XXX",
        "https://discord.com/api/webhooks/ID/TOKEN https://discord.gg/abc",
        "Authorization: Bearer $HF_TOKEN, Authorization: Bearer <token>, Bearer hf_...",
        "wandb login YOUR_KEY; WANDB_API_KEY=<key>; KAGGLE_KEY=...; api_key = os.environ['KEY']",
        "12:30 1234567890:AB 10:AA 2024-11-26T10:20:30",
        "pad_token_id eos_token bos_token image_token_index=151646 num_tokens: 12345678901234567890",
        "https://user@host/x https://huggingface.co/a/b?download=true&sig=short",
        "machine learning login password",
        '{"username": "me", "key": "value"}',
        "model.layers.0.self_attn.q_proj.weight_scale_inv",
    ],
)
def test_what_only_looks_alike_is_none(text):
    assert not holds_access_token(text)


@pytest.mark.parametrize(
    "piece", ["a", "a.", "wandb ", "machine a ", "://a:", "key=", "0f", "AA", '"username":"a",', "bot1"]
)
def test_no_text_takes_long(piece):
    assert grows_linearly(holds_access_token, piece)
