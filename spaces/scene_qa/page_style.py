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
    link_text_color="*primary_700",
    link_text_color_hover="*primary_700",
    link_text_color_visited="*primary_700",
    link_text_color_active="*primary_700",
    link_text_color_dark="*primary_200",
    link_text_color_hover_dark="*primary_200",
    link_text_color_visited_dark="*primary_200",
    link_text_color_active_dark="*primary_200",
)
# Gradio lets `CSS` reach what is inside of its `.contain` alone: what is around it is styled from the page's head.
HEAD = """<style>
.gradio-container .main.fillable.app { max-width: 1280px; }
@media (max-width: 640px) { .gradio-container .main.fillable.app { padding: 0.75rem !important; } }
</style>"""
CSS = """
#title h1 { margin-bottom: 0.1rem; }
#title p { opacity: 0.95; }
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
#frame.asks img { cursor: crosshair; }
#frame:not(.fullscreen) img { max-height: clamp(260px, 39vh, 420px); }
#space-view .modebar { display: none; }
footer .divider { display: none; }
/* The frame fills the screen and no more: the button by which it is left would lie outside of a phone. */
#frame.fullscreen {
  position: fixed; inset: 0 !important; width: 100vw; max-width: 100vw; height: 100dvh; margin: 0 !important;
  padding: 3rem 0 0; animation: none !important; transform: none !important;
}
#frame.fullscreen :is(button, img) { max-width: 100vw; max-height: calc(100dvh - 3rem); }
/* Gradio keeps the frame's place by a box as wide as the screen, which would widen the page. */
#frame.fullscreen + .placeholder { width: 100% !important; }
/* What is tapped is as large as a finger. */
@media (pointer: coarse) {
  #title a { display: inline-flex; align-items: center; justify-content: center; min-width: 44px; min-height: 44px; }
  .icon-button, button.icon, .volume-button, #picture, #send, #stop, #tasks label, #ideas button, .label-wrap,
  #question textarea, #settings :is(input[type="number"], label:has(input[type="checkbox"])), footer button {
    min-width: 44px !important; min-height: 44px !important;
  }
  .icon-button { display: inline-flex !important; align-items: center; justify-content: center; }
  #settings input[type="range"] { height: 44px; background: transparent; }
  #chat .bubble-wrap { padding-top: 3rem; }
}
/* On a phone the frame, the answer and the question are on one screen: what is set and read once comes after. */
@media (max-width: 640px) {
  #title h1 { font-size: 1.35rem; }
  #scene { flex-direction: column; flex-wrap: nowrap; }
  #scene > .side { display: contents; }
  #settings { order: 1; }
  #video video { max-height: 120px; }
  #gallery .grid-container { grid-template-columns: repeat(auto-fill, minmax(72px, 1fr)); }
  #gallery .thumbnail-item img { height: 60px; }
  #frame:not(.fullscreen) img { max-height: 34vh; max-height: 34dvh; }
  #tasks .wrap { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); }
  #tasks label {
    justify-content: center; padding: 0.2rem 0.3rem; font-size: 0.85rem; line-height: 1.15; text-align: center;
  }
  #tasks label span { margin: 0; }
  #tasks input { position: absolute; opacity: 0; }
  #tasks label:focus-within { outline: 2px solid; }
  #chat { height: 220px !important; min-height: 0; }
  #asking { flex-wrap: nowrap; gap: 0.5rem; }
  #asking > * { min-width: 0 !important; }
  #question textarea { overflow-x: hidden; white-space: nowrap; }
  #send, #stop { flex: 0 0 60px !important; height: 44px; padding: 0; font-size: 0.95rem; }
}
"""
