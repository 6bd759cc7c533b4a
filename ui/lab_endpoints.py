"""The page's public endpoints of the lab, one for each activity: the same drawings for programs and language models.

lab_signatures.py says what each is asked for; to that the settings are added that all drawings share.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter, getdoc, signature
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_function_description
from gradio_client.utils import is_file_obj_with_meta  # type: ignore[import-untyped]

from diffusion import BadInput, Pipeline, Recipe, Result, checks, prompts
from diffusion.evaluation.readback import Reading, captions_of, labels_in
from diffusion.files.atomic import write_bytes
from diffusion.lab import Denoising, Forward, Morph, noise_panels, picture
from diffusion.lab.edit import MASKS
from diffusion.recipe import SETTINGS
from diffusion.settings import Choice, YesNo
from diffusion.style import HOW
from ui import endpoint, experiments, request
from ui.downloads import file_name
from ui.drawing import Drawing
from ui.events import MODEL
from ui.experiments import EXPERIMENTS
from ui.lab_signatures import FUNCTIONS
from ui.session import Plan, Session
from ui.work import Work, reader

Answer = tuple[str | None, str | None, int, list[str]]  # the paths of the PNG and the GIF, the seed, and the captions

SHARED = ("guidance", "steps", "sampler", "seed", "guide_from", "guide_to", "spacing", "eta", "weights", *HOW)
FILES = ("image", "mask", "images")
TEXTS = ("digits", "levels", "strength", "views", "hand")  # one or several, where a list does, too; or a word
ENDINGS = (".png", ".gif")
SWITCHES = ("as_is", "until_right")


def add(work: Work) -> None:
    """Add the endpoints to the `gr.Blocks` that is being made."""
    settings = dict(SETTINGS)
    for each in EXPERIMENTS.values():
        settings |= each.activity.settings()
    choices = {name: list(each.values.choices) for name, each in settings.items() if isinstance(each.values, Choice)}
    choices |= {"weights": list(work.pipes), "mask_name": list(MASKS)}
    about = about_settings(work)
    for name in FUNCTIONS:
        draw = draw_with(work, name, about)
        inputs = [_component(parameter, choices) for parameter in signature(draw).parameters]
        outputs = [
            gr.Image(visible=False, label="Picture"),
            gr.Image(visible=False, label="Animation"),
            gr.Number(visible=False, label="Seed"),
            gr.JSON(visible=False, label="What is read in each image"),
        ]
        gr.Button(visible=False).click(draw, inputs, outputs, api_name=name, **MODEL)


def about_settings(work: Work) -> dict[str, str]:
    """What the endpoint /generate says of each of its settings, by name."""
    _, about, _ = get_function_description(endpoint.generate_with(work))
    return about


def draw_with(work: Work, name: str, about: Mapping[str, str]) -> Callable[..., Iterator[Answer]]:
    """The function of an endpoint: with the written signature and description, and the settings that all share.

    Args:
        about: what is said of these settings, by name.
    """
    written = FUNCTIONS[name]
    parameters = [each for each in signature(written).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
    described = [getdoc(written) or ""]
    if len(parameters) < len(signature(written).parameters):
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
            case "thickness" | "slant" | "width" | "hand":
                values[each] = SETTINGS[each].values.read(value) if isinstance(value, str) else value
            case "levels" | "strength" | "views":
                values[each] = checks.several(value)
            case _:
                values[each] = value
    if name == Morph.name and pipe.offer.knows_labels and "images" in values and "digits" not in values:
        values["digits"] = labels_in(pipe, reader(pipe.names), np.stack(values["images"]))
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
