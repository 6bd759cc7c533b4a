"""The lab's endpoints, through gradio_client."""

from dataclasses import replace
from inspect import getdoc, signature
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from sentences import is_one_sentence

from diffusion import Pipeline, Recipe
from diffusion.lab import picture, recipes
from diffusion.lab.edit import MASKS
from diffusion.recipe import SETTINGS
from diffusion.settings import Choice, Several
from ui import lab_endpoints
from ui.experiments import EXPERIMENTS
from ui.work import Work

PHOTO = Path(__file__).parents[2] / "docs" / "photo.jpg"

OWN = {  # by position: what others send as a list stays what it is
    "forward": ["image", "levels", "seed", "as_is"],
    "denoise": ["image", "levels", "digits", "stride", "one_step", "as_is"],
    "edit": ["image", "digits", "strength", "count", "until_right", "as_is"],
    "inpaint": ["image", "mask", "mask_name", "digits", "method", "inner", "count", "until_right", "as_is"],
    "anagram": ["digits", "views", "reduction", "inner", "count", "until_right"],
    "hybrid": ["digits", "radius", "inner", "count", "until_right"],
    "morph": ["digits", "frames", "images", "as_is"],
}


@pytest.fixture(scope="module")
def client(url: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_written_signatures_follow_the_declarations(pipe: Pipeline, few_step: Pipeline, name: str) -> None:
    work = Work({"bundled": pipe, "few-step": few_step})
    draw = lab_endpoints.draw_with(work, name, lab_endpoints.about_settings(work))
    parameters, activity = signature(draw).parameters, EXPERIMENTS[name].activity
    shared = [] if name == "forward" else [*lab_endpoints.SHARED]
    assert [*parameters] == OWN[name] + shared
    assert all(parameter.default is None for parameter in parameters.values())
    assert set(activity.options) <= set(parameters)
    assert ("until_right" in parameters) == activity.retried
    assert ("image" in parameters) == ("images" in EXPERIMENTS[name].takes)
    assert {"guide_from", "guide_to", "weights", *SETTINGS} - {"guidance_interval"} == {*lab_endpoints.SHARED}

    about = dict(line.strip().split(": ", 1) for line in (getdoc(draw) or "").splitlines() if line.startswith("    "))
    assert set(about) == set(parameters)
    for each in activity.options:
        values = activity.settings()[each].values
        values = values.of if isinstance(values, Several) else values
        if each not in ("mask", "strength") and (not isinstance(values, Choice) or each == "views"):
            low, high = (values.low, values.high) if hasattr(values, "low") else (None, None)
            said = [f"{low:,g}", f"{high:,g}"] if high else set(values.choices) - {"identity"}
            assert all(str(one) in about[each] for one in said)


def sent(name: str, given: dict) -> dict:
    """What is sent to an endpoint: with the photo, where it begins with a picture."""
    return ({"image": handle_file(PHOTO)} if "image" in OWN[name] else {}) | given


@pytest.mark.parametrize(
    ("name", "given", "asked"),
    [
        ("forward", {}, {}),
        ("denoise", {"stride": 400}, {"stride": 400}),
        ("edit", {"digits": "9", "strength": "0.1,0.2"}, {"digits": [9], "strength": [0.1, 0.2]}),
        ("edit", {"strength": 0.1}, {"digits": [0], "guidance": 0.0, "strength": 0.1}),
        ("inpaint", {"digits": 9, "mask_name": "left", "steps": 2}, {"digits": 9, "mask": "left", "steps": 2}),
        ("anagram", {"digits": "6, 9", "guide_to": 800, "steps": 2}, {"guidance_interval": (300, 800), "steps": 2}),
        ("hybrid", {"digits": [3, 8], "count": 2, "weights": "few-step"}, {"digits": [3, 8], "count": 2}),
    ],
    ids=str,
)
def test_what_is_not_said_is_left_to_the_weights(client: Client, pipe, few_step, name, given, asked) -> None:
    png, gif, seed, captions = client.predict(**sent(name, given), api_name=f"/{name}")
    drawing = few_step if "weights" in given else pipe
    pictures = {"images": picture.load(PHOTO, pipe.model.shape)} if "image" in OWN[name] else {}
    digits = {"digits": [6, 9]} if name == "anagram" else {}
    wanted = recipes.RECIPES[name](drawing, **pictures, **digits, **asked)
    assert Recipe.from_file(png) == Recipe.from_file(gif) == replace(wanted, weights=drawing.weights)
    assert Path(png).name.startswith(name)
    assert seed == 0
    with Image.open(gif) as film:
        assert film.n_frames > 1
    levels = len(wanted.activity.levels) if name == "denoise" else 1
    assert len(captions) == (0 if name == "forward" else levels * len(wanted.digits))
    ways = {"anagram": "upright {}; rotate-180 {}", "hybrid": "near {}; from afar {}"}.get(name, "{}")
    assert all(text.count(" %") == ways.count("{}") for text in captions)
    assert all(text.startswith(ways.split("{")[0]) for text in captions)


def test_a_morph_goes_between_pictures_and_until_right_draws_again(client: Client, tmp_path: Path) -> None:
    given = {"images": [handle_file(PHOTO)] * 2, "frames": 2, "steps": 4}
    png, _, _, captions = client.predict(**given, api_name="/morph")
    assert len(captions) == 2
    assert len(Recipe.from_file(png).activity.images) == 2
    assert Recipe.from_file(png).activity.digits == (4, 4)  # which are read
    anagram = {"digits": "8,1", "steps": 4, "seed": 1}
    png, _, _, [caption] = client.predict(**anagram, until_right=True, api_name="/anagram")
    assert caption.startswith("upright ")
    assert Recipe.from_file(png).seeds != [1]


def image(tmp_path: Path, pixels: np.ndarray, name: str = "a.png") -> dict:
    Image.fromarray(pixels).save(tmp_path / name)
    return handle_file(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("edit", {"image": None}, "There is no picture"),
        ("edit", {"image": "docs/photo.jpg"}, "must be sent as a file"),
        ("edit", {"image": {"path": __file__}}, "must be sent as a file"),
        ("edit", {"image": "BLANK"}, "no digit on this picture"),
        ("edit", {"image": "TEXT"}, "no picture that can be read"),
        ("edit", {"image": "HUGE"}, "megapixels"),
        ("edit", {"strength": 1.5}, "strength must be a number from 0 to 1"),
        ("edit", {"as_is": True}, "must be 28 x 28 pixels"),
        ("edit", {"digits": "<7>"}, "Cannot read '<7>'"),
        ("inpaint", {"digits": 7}, "Say what to draw anew"),
        ("inpaint", {"mask": "BLANK"}, "The mask must be 28 x 28 pixels"),
        ("inpaint", {"mask": "KEPT"}, "None of the picture is white in the mask"),
        ("inpaint", {"mask_name": "middle"}, "mask_name must be one of top"),
        ("inpaint", {"mask_name": "top", "weights": "few-step"}, "choose the weights named bundled"),
        ("forward", {"levels": "500,250"}, "levels must be one or more that rise"),
        ("forward", {"levels": list(range(200))}, "at most 100"),
        ("anagram", {"digits": "6"}, "An anagram needs 2 digits"),
        ("anagram", {"digits": "6,9", "views": "sideways"}, "must be one of"),
        ("hybrid", {"digits": "3,3"}, "two digits that differ"),
        ("morph", {"digits": "3"}, "A morph needs two digits"),
        ("morph", {"images": ["PHOTO"]}, "A morph needs two pictures"),
        ("hybrid", {"digits": "3,8", "thickness": 40}, "With these weights, thickness must be any or 1.31 to 5.19"),
        ("morph", {"digits": "3,8", "frames": 1}, "frames must be"),
    ],
    ids=str,
)
def test_bad_input_is_refused_in_a_sentence(client: Client, tmp_path: Path, name, given, sentence) -> None:
    (tmp_path / "TEXT.png").write_text("a letter")
    files = {
        "BLANK": image(tmp_path, np.full((90, 90), 255, np.uint8)),
        "TEXT": handle_file(tmp_path / "TEXT.png"),
        "HUGE": image(tmp_path, np.zeros((10_000, 10_000), bool), "huge.png"),
        "KEPT": image(tmp_path, np.zeros((28, 28), np.uint8), "kept.png"),
    }
    given = {key: files.get(value, value) if isinstance(value, str) else value for key, value in given.items()}
    given |= {"images": [handle_file(PHOTO)]} if "images" in given else {}
    with pytest.raises(AppError) as refusal:
        client.predict(**sent(name, given), api_name=f"/{name}")
    assert sentence in refusal.value.message
    assert is_one_sentence(refusal.value.message)


def test_the_settings_of_style_are_taken_as_numbers_or_words(make_denoiser, styles) -> None:
    work = Work({"bundled": Pipeline(make_denoiser(styles=styles))})
    for name, digits in (("anagram", [6, 9]), ("morph", [3, 8])):
        wanted = lab_endpoints.recipe_of(work, name, {"digits": digits, "thickness": 2.5, "slant": "any", "hand": "7"})
        assert (wanted.thickness, wanted.slant, wanted.hand) == (2.5, "any", 7)


def test_every_mask_has_its_name(client: Client) -> None:
    parameters = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/inpaint"]["parameters"]
    described = {each["parameter_name"]: each for each in parameters}
    assert described["mask_name"]["type"]["enum"] == list(MASKS)
    assert described["image"]["python_type"]["type"] == "filepath"
