"""Access tokens by their makers' forms, and by what stands beside them where the form tells nothing."""

import re


_MAKERS = (
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"hf_(?:oauth|jwt)_[\w.-]{30,}",
    r"api_org_[A-Za-z0-9]{20,}",
    r"sk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic, OpenRouter
    r"A[SK]IA[0-9A-Z]{16}",  # AWS
    r"gh[opsru]_[A-Za-z0-9]{30,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"gl(?:pat|dt|rt|ptt|ft|soat|agent|cbt|imt)-[\w.-]{20,}",  # GitLab
    r"ATATT3[\w=-]{40,}",  # Atlassian
    r"xox[abeoprs]-[A-Za-z0-9-]{20,}",  # Slack
    r"xoxe\.xox[bp]-\d-[A-Za-z0-9]{40,}",
    r"xapp-[A-Za-z0-9-]{20,}",
    r"hooks\.slack\.com/services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{16,}",
    r"hooks\.slack\.com/(?:workflows|triggers)/[A-Z0-9]{6,}(?:/[A-Za-z0-9]+)*/[A-Za-z0-9]{16,}",
    r"(?:[a-z]+\.)?discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d{17,20}/[\w-]{60,}",
    r"[MNO][A-Za-z0-9_-]{23,27}\.[\w-]{6}\.[\w-]{27,38}",  # Discord's bots
    r"(?:bot)?\d{8,10}:AA[\w-]{33}",  # Telegram's bots
    r"[\w-]+\.webhook\.office\.com/webhookb2/[0-9a-f-]{36}@[0-9a-f-]{36}/[^\s\"']{20,}",  # Microsoft Teams
    r"AIza[\w-]{35}",  # Google
    r"ya29\.[\w-]{20,}",
    r"GOCSPX-[\w-]{28}",
    r"\w{3}\dQ~[\w.~-]{31,34}",  # Microsoft Entra
    r"nvapi-[\w-]{40,}",  # NVIDIA
    r"wandb_v\d_[\w-]{40,}",  # Weights & Biases
    r"KGAT_[0-9a-f]{32}",  # Kaggle
    r"figd_[\w-]{40,}",  # Figma
    r"r8_[A-Za-z0-9]{37,}",  # Replicate
    r"gsk_[A-Za-z0-9]{40,}",  # Groq
    r"xai-[A-Za-z0-9]{40,}",  # xAI
    r"pplx-[A-Za-z0-9]{40,}",  # Perplexity
    r"tgp_v1_[\w-]{30,}",  # Together
    r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",  # LangSmith
    r"pcsk_\w{40,}",  # Pinecone
    r"jina_[0-9a-f]{32}\w{20,}",
    r"tvly-[\w-]{24,}",  # Tavily
    r"rpa_[A-Z0-9]{40,}\w*",  # RunPod
    r"sk_[0-9a-f]{48}",  # ElevenLabs
    r"ms-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",  # ModelScope
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[\w-]{50,}",
    r"rubygems_[0-9a-f]{48}",
    r"dckr_(?:pat|oat)_[\w-]{20,}",  # Docker
    r"do[opr]_v1_[0-9a-f]{64}",  # DigitalOcean
    r"dapi[0-9a-f]{32}",  # Databricks
    r"hv[sbr]\.[\w-]{24,}",  # Vault
    r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}",  # Terraform
    r"pul-[0-9a-f]{40}",  # Pulumi
    r"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}",  # Grafana
    r"sntry[su]_[A-Za-z0-9+/=_]{40,}",  # Sentry
    r"NRAK-[A-Z0-9]{27}",  # New Relic
    r"tskey-[\w-]{20,}",  # Tailscale
    r"sbp_[0-9a-f]{40}",  # Supabase
    r"nfp_[A-Za-z0-9]{36,}",  # Netlify
    r"HRKU-[\w-]{36,}",  # Heroku
    r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}",  # Airtable
    r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",  # Postman
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",  # Shopify
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
    r"SG\.[\w-]{22}\.[\w-]{43}",  # SendGrid
    r"lin_api_[A-Za-z0-9]{40}",
    r"ntn_[A-Za-z0-9]{40,}",  # Notion
    r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",  # a signed JSON web token
)
_NAMED = "wandb|comet|neptune|clearml|openai|aws_secret_access|azure|mlflow|kaggle|cohere|mistral|roboflow"
# Where no form tells whose it is, what stands beside it does. Forty hexadecimal digits alone are a commit.
_BESIDE = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----",
    r"AccountKey=[A-Za-z0-9+/]{40,}",  # Azure
    r"[?&]sig=[A-Za-z0-9%+/]{40,}",
    r"X-(?:Amz|Goog)-Signature=[0-9a-f]{64}",
    r"://[^/\s:@\"']+:[^/\s@\"'{}<>]{3,}@",  # a password in an address
    r"\bmachine\s+[\w.-]+\s+login\s+\S+\s+password\s+[\w-]{16,}",  # .netrc
    r"(?i:\bauthorization\b[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+[A-Za-z0-9._~+/-]{24,})",
    r"\"username\"\s*:\s*\"[^\"\s]{1,64}\"\s*,\s*\"key\"\s*:\s*\"[0-9a-f]{32}\"",  # kaggle.json
    r"(?i:\bwandb\W{1,4}login\b[^\n]{0,40}?[\s\"'=])[0-9a-f]{40}(?![0-9a-f])",
    r"(?i:\bwandb\b[^\n]{0,40}?\b(?:key|token|password)\b\W{1,6})[0-9a-f]{40}(?![0-9a-f])",
    rf"(?i:\b(?:{_NAMED})\w*(?:key|token)\b\W{{1,6}}[A-Za-z0-9+/=_-]{{32,}})",
    r"(?i:\b\w{0,32}(?:api_?key|secret_?key|access_?token|auth_?token|password)\b[\"']?\s{0,4}[:=]\s{0,4}[\"']?)[0-9a-f]{32,}\b",
)
ACCESS_TOKEN = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_MAKERS)})(?![A-Za-z0-9_])|{'|'.join(_BESIDE)}")


def holds_access_token(text: str) -> bool:
    """Whether a text holds what looks like an access token or a private key.

    Args:
        text (`str`): Anything.

    Returns:
        `bool`
    """
    return ACCESS_TOKEN.search(text) is not None
