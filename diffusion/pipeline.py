"""The pipeline: what to draw -> a stream of steps -> a result. The one way in, for library, CLI and page alike."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from diffusion import checkpoint, checks
from diffusion.activity import Setup
from diffusion.data import to_float
from diffusion.denoiser import Denoiser
from diffusion.guidance import clipping, evaluations, guided, taking_guidance
from diffusion.hardware import best_device
from diffusion.model import Idle, Model, Offer, TextModel
from diffusion.noise import Noise
from diffusion.precision import prepared
from diffusion.recipe import Recipe, check_prompts
from diffusion.result import Result, Run
from diffusion.samplers import SAMPLERS, Denoise
from diffusion.scheduler import Level
from diffusion.style import ATTRIBUTES, conditions

BATCH = 250  # images drawn at once for a file of single digits: memory stays small however many are asked for


Edit = Callable[[Setup], Setup]


class Pipeline:
    """Draws digits with a trained model.

    >>> pipe = Pipeline.from_pretrained()
    >>> pipe([7, 7, 3], guidance=2.0, steps=20, seed=0).save("digits.png")

    Args:
        model: what draws: a `Denoiser`, or anything that keeps the contract of model.py.
        weights: the fingerprint of their file, where there is one.
        drawing: the same model, prepared for this machine: see precision.py.
    """

    def __init__(self, model: Model, weights: str = "", drawing: Model | None = None):
        self.model = model
        self.weights = weights
        self.drawing = drawing or model

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        precision: str = "fp32",
    ) -> "Pipeline":
        """Load weights: those of a name that ship, or a file, a folder, or "user/repo" on the Hub.

        None or "bundled" draws digits, and its student "few-step" does so in few steps; "fashion" and
        "fashion-few-step" draw clothes; "course-denoiser" makes one guess.

        A folder or repository may also hold a stage of DeepFloyd IF, which draws what it is `told`.

        The device is the GPU where there is one. The precision is fp32; bf16, which visibly changes about one digit in
        a hundred; or auto, whatever is quickest here (precision.py). Raises BadInput where there are no such weights.
        """
        device = device or best_device()
        file = checkpoint.find(source, revision)
        if file.name == checkpoint.INDEX:
            model = checkpoint.text_to_image(file, source, torch.device(device), precision)
            return cls(model, model.fingerprint)
        denoiser = checkpoint.load(file).to(device)
        return cls(denoiser, checkpoint.fingerprint(file), prepared(denoiser, precision, _trial))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the weights to a folder that `from_pretrained` reads."""
        if not isinstance(self.model, Denoiser):
            raise checks.BadInput("Only the networks of this project can be saved, and this model is none of them.")
        checkpoint.save(self.model, Path(folder) / checkpoint.WEIGHTS)

    @property
    def offer(self) -> Offer:
        """What these weights can draw, and with which settings."""
        return self.model.offer

    @property
    def names(self) -> tuple[str, ...]:
        """What each digit stands for: digit k asks for an image of names[k]; for MNIST they are the digits."""
        return self.offer.names

    def recipe(self, digits: int | Iterable[int], **settings: Any) -> Recipe:
        """The recipe of some digits, or BadInput. What is not said is what these weights draw with by default."""
        labels = self.offer.labels(digits)
        self.offer.check_style(settings)
        told = {"prompts": self.offer.prompts} | self.offer.defaults_for(settings.get("activity"))
        return Recipe(tuple(labels), **told | settings)

    def told(self, prompts: Sequence[str], embeddings: Mapping[str, Tensor] | None = None) -> "Pipeline":
        """The same weights, which draw these prompts: digit k asks for an image of prompts[k].

        >>> pipe = Pipeline.from_pretrained("DeepFloyd/IF-I-M-v1.0").told(["a photo of a cat"])
        >>> pipe([0, 0], steps=20).save("cats.png")

        Args:
            embeddings: those of the prompts, and of the empty one, where they were encoded before: see
                `checkpoint.embeddings`.

        Raises BadInput where the weights take no text, or for no prompt.
        """
        if not self.offer.takes_text:
            raise checks.BadInput("These weights draw classes and take no text: choose text-to-image weights.")
        model = cast(TextModel, self.model)
        return Pipeline(model.told(check_prompts(prompts, least=1), embeddings), self.weights)

    def upscaled(self, result: Result, by: "Pipeline") -> Run:
        """The run that makes the images of a result larger, with the seeds, steps and sampler of its recipe.

        Args:
            by: a second stage of DeepFloyd IF. It is told the same embeddings, and guided by its own default.

        The recipe of its result names that stage. Raises BadInput where these weights or those are of another kind.
        """
        self.check_stages(by)
        model = cast(TextModel, self.model)
        model.free()
        recipe = replace(result.recipe, activity=None, guidance=by.offer.defaults["guidance"])
        larger = cast(TextModel, by.model).told(recipe.prompts, model.known or None)
        noise = Noise(recipe.seeds, larger.shape, larger.device)
        start = larger.scheduler.start * noise()
        seeing = larger.seeing(to_float(torch.from_numpy(result.images)).to(larger.device), noise())
        run = Pipeline(seeing).run(recipe, lambda setup: replace(setup, start=start, noise=noise))
        run.recipe = replace(result.recipe, upscale=larger.name)  # which draws it again
        return run

    def check_stages(self, by: "Pipeline") -> None:
        """BadInput where these weights draw nothing that those could make larger."""
        if not self.offer.takes_text or self.offer.upscales or not by.offer.upscales:
            raise checks.BadInput(
                "Only what the first stage of DeepFloyd IF draws is made larger, by weights of its second stage: "
                "choose such a pair."
            )

    def differs(self, recipe: Recipe) -> str:
        """A sentence for a recipe that was drawn by other weights than these, or else no text."""
        if recipe.weights in ("", self.weights):
            return ""
        mine = f"these are {self.weights}" if self.weights else "these have no name"
        return f"This recipe was drawn by the weights {recipe.weights}, and {mine}: the digits will look different."

    def strange(self, recipe: Recipe) -> str:
        """A sentence where a recipe asks for guesses at levels that these weights were not trained for, or no text."""
        path = self.model.scheduler.indices(recipe.steps, recipe.spacing)
        return self.offer.strange(path if recipe.activity is None else recipe.activity.guessed_at(path))

    def __call__(self, digits: int | Iterable[int], **settings: Any) -> Result:
        """Draw one image per digit. The settings are those of `Recipe`: guidance, steps, sampler, eta, ..."""
        return self.stream(digits, **settings).result()

    def stream(self, digits: int | Iterable[int], **settings: Any) -> Run:
        """The same run, step by step."""
        return self.run(self.recipe(digits, **settings))

    def batches(
        self, recipe: Recipe, size: int = BATCH, on_step: Callable[[], object] = lambda: None
    ) -> Iterator[Result]:
        """A recipe of any length, drawn `size` images at a time so that memory stays small."""
        for part in recipe.split(size):
            run = self.run(part)
            for _ in run:
                on_step()
            yield run.result()

    def levels(self, recipe: Recipe) -> Sequence[Level]:
        """The path that the run of a recipe walks, from its first level to the clean image."""
        levels = self.model.scheduler.levels(recipe.steps, recipe.spacing)
        return recipe.activity.path(levels) if recipe.activity else levels

    def steps(self, recipe: Recipe) -> int:
        """How many steps that is: those of the recipe, or fewer where its activity cuts the path."""
        return len(self.levels(recipe)) - 1

    def evaluations(self, recipe: Recipe) -> float:
        """How often the network is run for one image, on the average of all of them."""
        if recipe.activity is not None:
            return sum(self.work(recipe))
        path = SAMPLERS[recipe.sampler].asks(self.model.scheduler.indices(recipe.steps, recipe.spacing))
        if self.offer.takes_guidance:
            return len(path)
        return evaluations(recipe.guidance, recipe.guidance_interval, path)

    def work(self, recipe: Recipe) -> list[float]:
        """The same in each step, by which the time that is left can be told. What comes before the first is in it.

        It is counted in a run with a network that does nothing, so that an activity may ask whatever it likes.
        """
        part = next(recipe.split(BATCH))
        idle = Idle(self.model)
        done, work = 0, []
        for _ in Pipeline(idle).run(part):
            work.append((idle.evaluations - done) / len(part.digits))
            done = idle.evaluations
        return work

    def run(self, recipe: Recipe, edit: Edit = lambda setup: setup) -> Run:
        """The run of a recipe, step by step. The recipe of its result names the weights of this pipeline.

        Args:
            edit: changes what the run is made of, before it begins and after the recipe's own activity did.

        Raises BadInput for a recipe that these weights cannot draw.
        """
        self.check(recipe)
        recipe = replace(recipe, weights=self.weights, upscale="")  # which is another run: see `upscaled`
        setup = self.setup(recipe)
        if recipe.activity is not None:
            setup = recipe.activity.edit(setup)
        setup = edit(setup)
        steps = setup.walk(setup.denoise, setup.start, setup.levels, setup.noise)
        return Run(recipe, steps, setup.start, setup.levels)

    def setup(self, recipe: Recipe) -> Setup:
        """What the run of a recipe is made of, unless it is edited."""
        labels = torch.tensor(recipe.digits, device=self.model.device)
        levels = self.model.scheduler.levels(recipe.steps, recipe.spacing)
        noise = Noise(recipe.seeds, self.model.shape, self.model.device)
        sampler = SAMPLERS[recipe.sampler]
        clips = clipping(self.offer.thresholding)

        def guide(
            labels: Tensor, guidance: float | None = None, clip: bool = True, images: Tensor | None = None
        ) -> Denoise:
            guidance = recipe.guidance if guidance is None else guidance
            if labels.ndim == 1 and (style := self._style(recipe, labels, images)) is not None:
                labels = conditions(labels, style)
            if self.offer.takes_guidance:
                return taking_guidance(self.drawing, labels, guidance, levels)
            return guided(self.drawing, labels, guidance, recipe.guidance_interval, clips if clip else None)

        walk = partial(sampler, **{name: getattr(recipe, name) for name in sampler.options})
        return Setup(guide(labels), levels, self.model.scheduler.start * noise(), noise, guide, labels, walk, clips)

    def _style(self, recipe: Recipe, labels: Tensor, images: Tensor | None) -> Tensor | None:
        """How the images of a recipe, or some of them, are to be written as these labels (B,): (B, 3), or None for any.

        Whatever an image is drawn as, it is by the same hand.
        """
        if self.offer.styles is None:
            return None
        chosen = range(len(labels)) if images is None else images.tolist()
        seeds = recipe.seeds
        words = [(new, word) for new, k in enumerate(chosen) for image, word in recipe.words if image == k]
        fixed = [getattr(recipe, name) for name in ATTRIBUTES]
        return self.offer.styles.targets(labels.tolist(), [seeds[k] for k in chosen], fixed, recipe.hand, words)

    def check(self, recipe: Recipe) -> None:
        """BadInput for a recipe that these weights cannot draw."""
        self.offer.check(recipe)
        if recipe.activity is not None:
            recipe.activity.check(recipe.digits, self.model.shape, len(self.names))


def _trial(denoiser: Denoiser, count: int) -> Iterator[Tensor]:
    """The shortest run with a step to time after one that warms up. All weights take guidance 0, at half its cost."""
    return (step.x for step in Pipeline(denoiser).stream([0] * count, steps=2, guidance=0))
