"""How the page looks: ink and paper, with one blue."""

import gradio as gr

from ui.player import ASSETS

CSS = "".join((ASSETS / name).read_text("utf-8") for name in ("page.css", "lab.css", "learn.css"))
# Gradio keeps CSS away from its footer: on a phone it shows one button there, and nothing to divide it from.
HEAD = "<style>@media (max-width: 800px) { footer .divider { display: none !important; } }</style>"
SCRIPT = (ASSETS / "page.js").read_text("utf-8")

INK = gr.themes.Color(
    *("#f7f7f5", "#eeeeea", "#e2e2dc", "#cfcfc7", "#a3a39a"),
    *("#74746c", "#57574f", "#3a3a35", "#24242a", "#17171c", "#0f0f13"),
    name="ink",
)


def theme() -> gr.themes.Base:
    """The theme, in light and dark."""
    return gr.themes.Base(
        primary_hue="indigo", neutral_hue=INK, font="system-ui", font_mono="ui-monospace", radius_size="md"
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_200",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="#2b2b33",
        block_shadow="none",
        block_label_background_fill="white",
        block_label_background_fill_dark="*neutral_900",
        block_title_text_weight="600",
        block_info_text_size="*text_sm",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="#3a3a45",
        input_shadow="none",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="#22222a",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="#3a3a45",
        button_cancel_background_fill="white",
        button_cancel_background_fill_dark="#22222a",
        button_cancel_text_color="#b42318",
        button_cancel_text_color_dark="#fda29b",
        button_border_width="1px",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )
