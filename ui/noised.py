"""The view of noise: a picture at a noise level, a blur and the network's guess side by side, and the formula."""

import html

from torch import Tensor

from diffusion.lab.forward import Noisy
from diffusion.lab.noise_panels import pixels
from ui.player import png

EMPTY = '<p class="formula">Draw a digit, open a picture or take a real one: its noise is shown here.</p>'


def view(noisy: Noisy, guess: Tensor) -> str:
    """The first image (C, H, W) of some, as HTML."""
    level = noisy.level
    shown = (
        (f"x<sub>{level.index}</sub>", "noisy", noisy.x),
        ("best blur", "blurred", noisy.blur),
        ("one guess", "guessed at once", guess),
        ("x<sub>0</sub>", "picture", noisy.clean),
    )
    figures = "".join(
        f'<figure><img src="{png(pixels(image[:1])[0])}" alt="{about}"><figcaption>{title}'
        + (f"<small>error {noisy.error(image):.3f}</small>" if about != "picture" else "<small>the picture</small>")
        + "</figcaption></figure>"
        for title, about, image in shown
    )
    alpha, sigma = level.alpha, level.sigma
    name, clean = f"x<sub>{level.index}</sub>", "x<sub>0</sub>"
    numbers = f"{name} = {alpha:.3f} · {clean} + {sigma:.3f} · noise"
    return (
        f'<div class="noised">{figures}</div>'
        f'<p class="formula"><span>x<sub>i</sub> = alpha<sub>i</sub> · {clean} + sigma<sub>i</sub> · noise</span>'
        f"<span>{numbers}</span><span>signal to noise {html.escape(noisy.ratio)}</span></p>"
    )
