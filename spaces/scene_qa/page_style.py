"""How the page looks: Gradio's theme in light and dark, with the fonts of the visitor's own system."""

import gradio as gr


FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]
# Soft's own greys and indigos are too pale to read: these have a contrast of 4.5 and more with what is behind them.
THEME = gr.themes.Soft(
    primary_hue="indigo",
    secondary_hue="amber",
    neutral_hue="slate",
    font=FONTS,
    font_mono=["ui-monospace", "monospace"],
).set(
    background_fill_primary="*neutral_50",  # Soft's: `set` forgets it
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_label_text_color="*primary_700",
    block_title_text_color="*primary_700",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_hover_dark="*primary_700",
    checkbox_label_background_fill_selected="*primary_600",
)
CSS = """
.gradio-container { max-width: 1280px !important; margin: 0 auto !important; }
#title h1 { margin-bottom: 0.1rem; }
#title p { opacity: 0.85; }
#status .html-container { padding: 0; }
#figures { background: none; border: none !important; box-shadow: none; }
#figures textarea { border: none; background: none; box-shadow: none; padding: 0; resize: none; }
/* A video that is there is small: what the model sees of it, and its answers, are on the screen then. */
#video .upload-container { max-height: 300px; }
#video video { max-height: 160px; }
#examples button :is(video, div) { width: 62px; height: 62px; }
#rgb-only p { font-size: 0.85rem; opacity: 0.85; }
#tasks .wrap { gap: 0.4rem; }
/* Labels stand above pictures, not on them: what they covered could not be seen or clicked. */
#gallery, #frame { padding-top: 2.2rem; }
#gallery .grid-wrap { height: auto; min-height: 0; max-height: 260px; }
#gallery .grid-container { grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); padding-top: 0; }
#gallery .thumbnail-item { aspect-ratio: auto; }
#gallery .thumbnail-item img { height: 96px; }
#frame img { cursor: crosshair; }
#frame:not(.fullscreen) img { max-height: clamp(260px, 39vh, 420px); }
#space-view .modebar { display: none; }
footer .divider { display: none; }
@media (max-width: 640px) {
  .gradio-container { padding: 0.5rem !important; }
  #chat { height: 300px !important; }
  #asking { flex-wrap: wrap; }
  #question { min-width: 100% !important; }
}
"""
