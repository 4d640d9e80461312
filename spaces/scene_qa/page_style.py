"""How the page looks: Gradio's theme in light and dark, with the fonts of the visitor's own system."""

import gradio as gr


FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]
THEME = gr.themes.Soft(
    primary_hue="indigo",
    secondary_hue="amber",
    neutral_hue="slate",
    font=FONTS,
    font_mono=["ui-monospace", "monospace"],
)
CSS = """
.gradio-container { max-width: 1280px !important; margin: 0 auto !important; }
#title h1 { margin-bottom: 0.1rem; }
#title p { opacity: 0.85; }
#status, #figures { background: none; border: none !important; box-shadow: none; }
#status textarea, #figures textarea { border: none; background: none; box-shadow: none; padding: 0; resize: none; }
#video video, #video .upload-container { max-height: 300px; }
#rgb-only p { font-size: 0.85rem; opacity: 0.8; }
#tasks .wrap { gap: 0.4rem; }
/* Labels stand above pictures, not on them: what they covered could not be seen or clicked. */
#gallery, #frame { padding-top: 2.2rem; }
#gallery .grid-wrap { height: auto; min-height: 0; max-height: 260px; }
#gallery .grid-container { grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); padding-top: 0; }
#gallery .thumbnail-item { aspect-ratio: auto; }
#gallery .thumbnail-item img { height: 96px; }
#frame img { cursor: crosshair; max-height: 420px; }
footer .divider { display: none; }
@media (max-width: 640px) {
  .gradio-container { padding: 0.5rem !important; }
  #video video { max-height: 190px; }
  #chat { height: 300px !important; }
}
"""
