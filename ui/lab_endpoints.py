"""The page's public endpoints of the lab, one for each activity: the same drawings for programs and language models.

The functions below say what each is asked for: others script against their signatures, so these are written out.
`add` appends the settings that all runs share, and makes the endpoints.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter, getdoc, signature
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_function_description
from gradio_client.utils import is_file_obj_with_meta  # type: ignore[import-untyped]

from diffusion import BadInput, Pipeline, Recipe, Result, checks, prompts
from diffusion.evaluation.readback import Reading, captions_of
from diffusion.files.atomic import write_bytes
from diffusion.lab import Denoising, Forward, noise_panels, picture
from diffusion.lab.edit import MASKS
from diffusion.recipe import SETTINGS
from diffusion.settings import Choice, YesNo
from ui import endpoint, experiments, request
from ui.downloads import file_name
from ui.drawing import Drawing
from ui.events import MODEL
from ui.experiments import EXPERIMENTS
from ui.session import Plan, Session
from ui.work import Work

Answer = tuple[str | None, str | None, int, list[str]]  # the paths of the PNG and the GIF, the seed, and the captions

SHARED = ("guidance", "steps", "sampler", "seed", "guide_from", "guide_to", "spacing", "eta", "weights")
FILES = ("image", "mask", "images")
TEXTS = ("digits", "levels", "strength", "views")  # one or several; a list does, too
ENDINGS = (".png", ".gif")
SWITCHES = ("as_is", "until_right")


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
        digits: where to go from and to, such as "3,8"; more than two are stops on the way.
        frames: how many images, 2 to 100.
        images: pictures to go from and to, one for each of the digits; left out, these are drawn.
        as_is: whether to leave pictures of 28 x 28 pixels as they are; else the digits are cut out and centred.
    """


FUNCTIONS = {each.__name__: each for each in (forward, denoise, edit, inpaint, anagram, hybrid, morph)}


def add(work: Work) -> None:
    """Add the endpoints to the `gr.Blocks` that is being made."""
    settings = dict(SETTINGS)
    for each in EXPERIMENTS.values():
        settings |= each.activity.settings()
    choices = {name: list(each.values.choices) for name, each in settings.items() if isinstance(each.values, Choice)}
    choices |= {"weights": list(work.pipes), "mask_name": list(MASKS)}
    for name in FUNCTIONS:
        draw = draw_with(work, name)
        inputs = [_component(parameter, choices) for parameter in signature(draw).parameters]
        outputs = [
            gr.Image(visible=False, label="Picture"),
            gr.Image(visible=False, label="Animation"),
            gr.Number(visible=False, label="Seed"),
            gr.JSON(visible=False, label="What is read in each image"),
        ]
        gr.Button(visible=False).click(draw, inputs, outputs, api_name=name, **MODEL)


def draw_with(work: Work, name: str) -> Callable[..., Iterator[Answer]]:
    """The function of an endpoint: with the written signature and description, and the settings that all share."""
    written = FUNCTIONS[name]
    parameters = [each for each in signature(written).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
    described = [getdoc(written) or ""]
    if len(parameters) < len(signature(written).parameters):
        _, about, _ = get_function_description(endpoint.generate_with(work))
        parameters += [Parameter(each, Parameter.POSITIONAL_OR_KEYWORD, default=None) for each in SHARED]
        described += [f"    {each}: {about[each]}" for each in SHARED]
    names = [each.name for each in parameters]

    def draw(*given: Any) -> Iterator[Answer]:
        values = {each: value for each, value in zip(names, given, strict=True) if value not in (None, "", [])}
        try:
            until_right = YesNo().check("until_right", values.pop("until_right", False))
            recipe = recipe_of(work, name, values)
            for state in drawn(work, recipe, until_right):
                if state is None:
                    yield None, None, recipe.seed, []  # so that a caller who gives up frees the machine
        except BadInput as error:
            raise endpoint.refusal(error) from None
        assert state is not None
        pictures, captions = state
        with tempfile.TemporaryDirectory() as folder:
            paths = {ending: Path(folder) / f"{file_name(recipe)}{ending}" for ending in pictures}
            for ending, content in pictures.items():
                write_bytes(paths[ending], content)
            yield str(paths[".png"]), str(paths[".gif"]), recipe.seed, captions

    draw.__name__, draw.__doc__ = name, "\n".join(described)
    draw.__signature__ = signature(written).replace(parameters=parameters)  # type: ignore[attr-defined]
    return draw


def recipe_of(work: Work, name: str, given: Mapping[str, Any]) -> Recipe:
    """The recipe that a caller asks for, or BadInput. What is not given is as these weights do it by default."""
    given = dict(given)
    pipe = work.pipe(given.pop("weights", work.usual))
    as_is = YesNo().check("as_is", given.pop("as_is", False))
    first, last = (given.pop(end, None) for end in ("guide_from", "guide_to"))
    values: dict[str, Any] = {"activity": name} | ({"images": []} if "images" in EXPERIMENTS[name].takes else {})
    if first is not None or last is not None:
        values["guidance_interval"] = endpoint.interval(
            first, last, experiments.defaults(name, pipe)["guidance_interval"]
        )
    for each, value in given.items():
        match each:
            case "image" | "images":
                files = value if isinstance(value, list) else [value]
                values["images"] = [one for file in files for one in _pictures(file, pipe, as_is)]
            case "mask":
                _, height, width = pipe.model.shape
                values["mask"] = picture.load(_path(value), (1, height, width), as_is=True, what="The mask")[0]
            case "mask_name":
                if "mask" in values:
                    raise BadInput("Say what to draw anew once: give mask or mask_name, not both.")
                values["mask"] = checks.choice("mask_name", value, MASKS)
            case "digits":
                values["digits"] = _digits(value, pipe)
            case "levels" | "strength" | "views":
                values[each] = checks.several(value)
            case _:
                values[each] = value
    return experiments.recipe(values, pipe)


def drawn(work: Work, recipe: Recipe, until_right: bool) -> Iterator[tuple[dict[str, bytes], list[str]] | None]:
    """Draw a recipe: None now and then, and at last its files by ending, and what is read in each image."""
    if isinstance(recipe.activity, Denoising):
        rows = []
        for row in work.denoised(recipe):
            rows.append(row)
            yield None
        files = {ending: noise_panels.denoised_picture(ending, rows, recipe) for ending in ENDINGS}
        yield files, [caption for row in rows for caption in captions_of(row.result, _read(work, row.result))]
        return
    looks: list[list[Reading]] = []
    if isinstance(recipe.activity, Forward):
        result = Result.blank(recipe, work.of(recipe).model.shape)
    else:
        session, plan = Session(), Plan(recipe, "", 0, rounds=experiments.rounds(recipe))
        for _ in Drawing(work, session, plan, reading=False, until_right=until_right):
            yield None
        assert session.shown is not None
        result = session.shown.result
        looks = session.shown.looks or _read(work, result)
    yield {ending: work.picture(result, ending, looks) for ending in ENDINGS}, captions_of(result, looks)


def _read(work: Work, result: Result) -> list[list[Reading]]:
    """What is read in each image, for each look; nothing where the reader does not read what these weights draw."""
    try:
        return work.read(result)
    except BadInput:
        return []


def _pictures(file: Any, pipe: Pipeline, as_is: bool) -> Any:
    """The picture in a file as the network gets it, or the digits, uint8 (N, H, W[, 3])."""
    found = picture.load(_path(file), pipe.model.shape, as_is=as_is)
    request.check_number(len(found))
    return found


def _path(file: Any) -> str:
    """Where Gradio keeps a file that was sent; BadInput for anything else, such as a path on this machine."""
    if not is_file_obj_with_meta(file):  # Gradio has checked the path of those that are
        raise BadInput(f"A picture must be sent as a file, in Python with handle_file, not {checks.shown(file)}.")
    return str(file["path"])


def _digits(value: Any, pipe: Pipeline) -> list[int]:
    """What a prompt or some labels ask for; none where the network is to choose."""
    if not isinstance(value, str):
        return checks.labels("digits", value, len(pipe.names))
    return [] if request.any_digit(value) else prompts.digits(value, pipe.names)


def _component(name: str, choices: Mapping[str, list[Any]]) -> Any:
    """What describes a parameter. It has no value, so that the default is None."""
    hidden: dict[str, Any] = {"label": name, "visible": False}
    if name in FILES:
        file = gr.File(None, file_count="multiple" if name == "images" else "single", **hidden)
        file.api_info()  # what describes it, which it remembers
        file.data_model = None  # so that Gradio checks the path and no more: what is no file is refused in a sentence
        return file
    if name in choices:
        return gr.Radio(choices[name], **hidden)
    if name in SWITCHES:
        return gr.Checkbox(None, **hidden)  # type: ignore[arg-type]
    return (gr.Textbox if name in TEXTS else gr.Number)(None, **hidden)
