"""The views of noise, as pictures side by side.

A picture at a noise level, a blur and the network's guess, with the formula; and one guess beside many steps.
"""

import html

import torch
from torch import Tensor

from diffusion.data import to_float
from diffusion.lab.forward import Denoised, Noisy
from diffusion.lab.noise_panels import pixels
from ui.player import png

EMPTY = '<p class="formula">Draw something, open a picture or take a real one: its noise is shown here.</p>'


def view(noisy: Noisy, guess: Tensor) -> str:
    """The first image (C, H, W) of some, as HTML."""
    level = noisy.level
    figures = _figures(
        noisy,
        (f"x<sub>{level.index}</sub>", "noisy", noisy.x),
        ("best blur", "blurred", noisy.blur),
        ("one guess", "guessed at once", guess),
        ("x<sub>0</sub>", "picture", noisy.clean),
    )
    alpha, sigma = level.alpha, level.sigma
    name, clean = f"x<sub>{level.index}</sub>", "x<sub>0</sub>"
    numbers = f"{name} = {alpha:.3f} · {clean} + {sigma:.3f} · noise"
    general = f"x<sub>i</sub> = alpha<sub>i</sub> · {clean} + sigma<sub>i</sub> · noise"
    return (
        f'{figures}<p class="formula"><span>{general}</span>'
        f"<span>{numbers}</span><span>signal to noise {html.escape(noisy.ratio)}</span></p>"
    )


def ways(denoised: Denoised) -> str:
    """The first image with noise that is added, one guess and many steps beside each other, as HTML."""
    noisy = denoised.noisy
    many = to_float(torch.from_numpy(denoised.result.images)).to(noisy.x.device)
    return _figures(
        noisy,
        ("with noise", "with noise", noisy.x / noisy.level.alpha),
        ("one guess", "guessed at once", denoised.one_step),
        ("many steps", "denoised in many steps", many),
        ("x<sub>0</sub>", "picture", noisy.clean),
    )


def _figures(noisy: Noisy, *shown: tuple[str, str, Tensor]) -> str:
    """Images (B, C, H, W), of each the first, side by side: a title, what a screen reader says, and the image."""
    figures = "".join(
        f'<figure><img src="{png(pixels(image[:1])[0])}" alt="{about}"><figcaption>{title}'
        + (f"<small>error {noisy.error(image):.3f}</small>" if about != "picture" else "<small>the picture</small>")
        + "</figcaption></figure>"
        for title, about, image in shown
    )
    return f'<div class="noised">{figures}</div>'
