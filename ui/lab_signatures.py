"""What the lab's endpoints are asked for. Others script against these signatures, so they are written out.

The functions do nothing: lab_endpoints.py makes endpoints of them, which take the settings of a drawing as well.
"""

from typing import Any


def forward(image: Any = None, levels: Any = None, seed: Any = None, as_is: Any = None) -> None:
    """Add noise to a picture of a digit, as in training. Returns it at some noise levels (PNG), at all of them (GIF).

    Args:
        image: a photo or a drawing of a digit, of any size: PNG, JPEG or WebP.
        levels: noise levels that rise, 0 (clean) to 999 (pure noise), such as "250,500,750".
        seed: of the noise, 0 to 4,294,967,295.
        as_is: whether to leave a picture of 28 x 28 pixels as it is; else the digit is cut out and centred.
    """


def denoise(
    image: Any = None,
    levels: Any = None,
    digits: Any = None,
    stride: Any = None,
    one_step: Any = None,
    as_is: Any = None,
    **settings: Any,
) -> None:
    """Add noise to a picture of a digit and take it away in three ways: a blur, one guess, and many steps.

    Returns all of them side by side with their errors (PNG), the many steps at work (GIF), the seed, and what a
    classifier reads in the outcome of the many steps.

    Args:
        image: a photo or a drawing of a digit, of any size: PNG, JPEG or WebP.
        levels: noise levels that rise, 0 (clean) to 999 (pure noise), such as "250,500,750".
        digits: which digit the network is told that it sees, such as "7"; left out, it is not told.
        stride: levels between the guesses of the many steps, 0 to 1,000; 0 takes as many guesses as steps.
        one_step: whose the one guess is: own, the same network's, or course-denoiser, a small one made for level 499.
        as_is: whether to leave a picture of 28 x 28 pixels as it is; else the digit is cut out and centred.
    """


def edit(
    image: Any = None,
    digits: Any = None,
    strength: Any = None,
    count: Any = None,
    until_right: Any = None,
    as_is: Any = None,
    **settings: Any,
) -> None:
    """Turn a picture of a digit into another digit, and keep its strokes as far as that goes (image to image).

    Returns the pictures (PNG), how they came about (GIF), the seed, and what a classifier reads in each.

    Args:
        image: a photo or a drawing of a digit, of any size: PNG, JPEG or WebP.
        digits: what to draw it as, such as "7"; several like "4,9" draw one each; left out, the network chooses.
        strength: how much may change, 0 (the same) to 1 (new); several like "0.4,0.6,0.8", or classic, make a strip.
        count: how many of each; 100 images in all at most.
        until_right: whether what reads wrong is drawn again from other seeds, up to ten times.
        as_is: whether to leave a picture of 28 x 28 pixels as it is; else the digit is cut out and centred.
    """


def inpaint(
    image: Any = None,
    mask: Any = None,
    mask_name: Any = None,
    digits: Any = None,
    method: Any = None,
    inner: Any = None,
    count: Any = None,
    until_right: Any = None,
    as_is: Any = None,
    **settings: Any,
) -> None:
    """Draw part of a picture of a digit anew, as a digit of your choice, and keep the rest of it bit for bit.

    Returns the pictures (PNG), how they came about (GIF), the seed, and what a classifier reads in each.

    Args:
        image: a photo or a drawing of a digit, of any size: PNG, JPEG or WebP.
        mask: what to draw anew, as a picture of 28 x 28 pixels, white there and black elsewhere; or give mask_name.
        mask_name: what to draw anew, by name: a half of the picture, a hole in its middle, or random pixels.
        digits: what to draw it as, such as "7"; several like "4,9" draw one each; left out, the network chooses.
        method: how the new part is made to fit the part that is kept; few-step weights take replacement or repaint.
        inner: rounds at each noise level in which both parts come to fit, 0 to 50.
        count: how many of each; 100 images in all at most.
        until_right: whether what reads wrong is drawn again from other seeds, up to ten times.
        as_is: whether to leave a picture of 28 x 28 pixels as it is; else the digit is cut out and centred.
    """


def anagram(
    digits: Any = None,
    views: Any = None,
    reduction: Any = None,
    inner: Any = None,
    count: Any = None,
    until_right: Any = None,
    **settings: Any,
) -> None:
    """Draw one picture that reads as one digit upright, and as another one when it is turned.

    Returns both readings side by side (PNG), how the picture came about and turns (GIF), the seed, and what a
    classifier reads in each.

    Args:
        digits: one for upright and one for each view, such as "6,9".
        views: rotate-180, rotate-90, rotate-270, flip, mirror, transpose or jigsaw; several like "rotate-180,flip".
        reduction: whether each step follows the mean of what the network guesses for all views, or one at a time.
        inner: extra steps at each noise level, 0 to 20.
        count: how many; 100 at most.
        until_right: whether what reads wrong is drawn again from other seeds, up to 32 times; most pairs need it.
    """


def hybrid(
    digits: Any = None,
    radius: Any = None,
    inner: Any = None,
    count: Any = None,
    until_right: Any = None,
    **settings: Any,
) -> None:
    """Draw one picture that reads as one digit from near, and as another one from afar.

    Returns the picture, as it is and blurred (PNG), how it came about (GIF), the seed, and what a classifier reads in
    each.

    Args:
        digits: the one from near, then the one from afar, such as "3,8".
        radius: of the blur that parts near from afar, in pixels, 0.3 to 8.
        inner: extra steps at each noise level, 0 to 20.
        count: how many; 100 at most.
        until_right: whether what reads wrong is drawn again from other seeds, up to 32 times; most pairs need it.
    """


def morph(digits: Any = None, frames: Any = None, images: Any = None, as_is: Any = None, **settings: Any) -> None:
    """Go from one digit to another through digits, and back.

    Returns the frames (PNG), the film (GIF), the seed, and what a classifier reads in each frame.

    Args:
        digits: where to go from and to, such as "3,8"; more than two are stops on the way; those of pictures are read.
        frames: how many images, 2 to 100.
        images: pictures to go from and to, two or more; left out, the digits are drawn.
        as_is: whether to leave pictures of 28 x 28 pixels as they are; else the digits are cut out and centred.
    """


FUNCTIONS = {each.__name__: each for each in (forward, denoise, edit, inpaint, anagram, hybrid, morph)}
