"""The model card: what the Hub shows of a run, told from the files in its folder."""

import json
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion.checkpoint import NAMES, WEIGHTS, fingerprint
from diffusion.checks import MAX_GUIDANCE, MAX_IMAGES, BadInput, interval, number, whole, written
from diffusion.config import DenoiserConfig
from diffusion.data import DATASETS, DEFAULT
from diffusion.download import on_hub
from diffusion.evaluation.sweep import title
from diffusion.guidance import EVERYWHERE
from diffusion.recipe import SETTINGS
from diffusion.scheduler import T
from diffusion.style import HOW

HUB_IDS = {  # of the data sets that the Hub has under a name we are sure of
    "mnist": "ylecun/mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "kmnist": "tanganke/kmnist",
    "cifar10": "uoft-cs/cifar10",
}
PICTURES = {  # of each kind the latest is shown
    "digits-[0-9]*.png": "Images drawn by the model",
    "results-[0-9]*.png": "Guesses of the model",
    "training.gif": "Images drawn from the same noise as the training went on",
    "loss.png": "The loss over the training",
}
LOCAL = ("data", "out")  # settings that are paths on the trainer's own machine
ORIGINS = ("teacher", "init")  # settings that name weights, and may be such paths too
UNPUBLISHED = "weights that are not published here"  # in place of such a path
TASK = "unconditional-image-generation"  # the Hub's nearest: it has no task for images of a class


@dataclass(frozen=True)
class Evaluation:
    """One run of `python -m diffusion evaluate`, as scores.json keeps it."""

    recipe: dict[str, Any]  # what a sweep varies of it
    count: int
    precision: str
    figures: dict[str, tuple[float, float]]  # name -> the figure for drawn images, and its floor: for real ones

    @property
    def name(self) -> str:
        return title({"recipe": self.recipe})


def model_card(repo: str, tag: str, folder: str | Path, config: DenoiserConfig) -> str:
    """The README of "user/repo" on the Hub: metadata in front, then Markdown.

    Of the run's folder it reads config.json and scores.json, where they are, and names the pictures. Raises BadInput
    where one of the two is damaged.
    """
    folder = Path(folder)
    settings = _settings(folder)
    dataset = settings.get("dataset", DEFAULT)
    evaluations = read_evaluations(folder)
    sections = [
        f"# {repo.split('/')[-1]}",
        _summary(dataset, config),
        "\n".join(f"![{text}]({name})" for name, text in pictures(folder).items()),
        _usage(repo, tag, config),
        _training(settings),
        evaluation_section(evaluations),
    ]
    body = "\n\n".join(section for section in sections if section)
    return f"---\n{_metadata(repo, dataset, config, evaluations)}\n---\n\n{body}\n"


def pictures(folder: str | Path) -> dict[str, str]:
    """The pictures in a run's folder that are worth showing: file name -> what it shows."""
    found = {text: [path.name for path in Path(folder).glob(pattern)] for pattern, text in PICTURES.items()}
    return {max(names, key=lambda name: (len(name), name)): text for text, names in found.items() if names}


def read_evaluations(folder: str | Path, mine: str | None = None) -> list[Evaluation]:
    """What scores.json in a folder holds; nothing where there is none, BadInput where it is damaged.

    Scores of other weights are left out: those of a run from before it was trained on, for one.

    Args:
        mine: the fingerprint of the weights, by default of those in the folder.
    """
    path, weights = Path(folder) / "scores.json", Path(folder) / WEIGHTS
    scores = _read(path)
    if mine is None and weights.exists():
        mine = fingerprint(weights)
    try:
        runs = [] if scores is None else [run for run in scores["runs"] if run.get("weights", mine) == mine]
        return [_read_evaluation(run) for run in runs]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _damaged(path) from None


def _read_evaluation(run: dict[str, Any]) -> Evaluation:
    recipe = {
        "sampler": str(run["recipe"]["sampler"]),
        "eta": number("eta", run["recipe"]["eta"], 0, 1),
        "guidance": number("guidance", run["recipe"]["guidance"], 0, MAX_GUIDANCE),
        "steps": whole("steps", run["recipe"]["steps"], 1, T),
        "spacing": str(run["recipe"].get("spacing", "trailing")),  # older scores do not say
        "guidance_interval": list(interval("", run["recipe"]["guidance_interval"], *EVERYWHERE)),
    }
    recipe |= {name: SETTINGS[name].check(run["recipe"][name]) for name in HOW if name in run["recipe"]}
    figures = {
        name: (number(name, row["value"], -1e9, 1e9), number(name, row["floor"], -1e9, 1e9))
        for name, row in run.items()
        if isinstance(row, dict) and None not in (row.get("value"), row.get("floor"))
    }
    return Evaluation(recipe, whole("count", run["count"], 1, MAX_IMAGES), str(run.get("drawn_in", "fp32")), figures)


def _settings(folder: Path) -> dict[str, Any]:
    """What config.json in a run's folder says, but for what means something on the trainer's own machine only."""
    values = _read(folder / "config.json") or {}
    values = {"preset" if name == "recipe" else name: value for name, value in values.items()}  # its old name
    for name in ORIGINS:
        source = str(values.get(name, ""))
        if source and source not in NAMES and not on_hub(source):
            values[name] = UNPUBLISHED
    return {name: value for name, value in values.items() if name not in LOCAL and value != ""}


def _read(path: Path) -> dict[str, Any] | None:
    """A file with one JSON object; None where there is no such file."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, OSError, RecursionError):
        raise _damaged(path) from None
    if not isinstance(value, dict):
        raise _damaged(path)
    return value


def _damaged(path: Path) -> BadInput:
    return BadInput(f"{path} is damaged: make it again, or delete it to leave it out of the model card.")


def _metadata(repo: str, dataset: str, config: DenoiserConfig, evaluations: list[Evaluation]) -> str:
    """The card's YAML, with the figures as the Hub's model-index."""
    from huggingface_hub import EvalResult, ModelCardData

    hub_id = HUB_IDS.get(dataset)
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=hub_id or dataset,
            dataset_name=_title(dataset),
            dataset_split="test",
            metric_type=name,
            metric_name=f"{_words(name)} ({evaluation.name})",
            metric_value=value,
            metric_args=evaluation.recipe | {"count": evaluation.count, "floor": floor},
        )
        for evaluation in evaluations
        for name, (value, floor) in evaluation.figures.items()
    ]
    metadata = ModelCardData(
        license="mit",
        library_name="pytorch",
        pipeline_tag=TASK,
        datasets=[hub_id] if hub_id else None,
        tags=["diffusion", dataset, *(["class-conditional"] if config.offer.knows_labels else []), "from-scratch"],
        model_name=repo.split("/")[-1] if results else None,
        eval_results=results or None,
    )
    return metadata.to_yaml()


def _summary(dataset: str, config: DenoiserConfig) -> str:
    size = config.unet.image_size
    kind = "class-conditional " if config.offer.knows_labels else ""
    return (
        f"A {kind}diffusion model of {_title(dataset)}, {size} x {size} pixels, trained from scratch with "
        f"Digit Diffusion: {config.schedule} schedule, {config.prediction} prediction."
    )


def _title(dataset: str) -> str:
    return DATASETS[dataset].title if dataset in DATASETS else dataset


def _usage(repo: str, tag: str, config: DenoiserConfig) -> str:
    labels = [str(label) for label in range(config.unet.classes)]
    names = list(config.names)
    guidance = written(config.offer.defaults["guidance"])
    legend = ", ".join(f"{label} {name}" for label, name in zip(labels, names, strict=True))
    return f"""## Draw with it

In a copy of Digit Diffusion:

```python
from diffusion import Pipeline

pipe = Pipeline.from_pretrained("{repo}", revision="{tag}")
pipe([{", ".join(labels[:3])}], guidance={guidance}, seed=0).save("drawn.png")  # or .gif, or .npz
```""" + (f"\n\nThe classes: {legend}." if names != labels else "")


def _training(settings: dict[str, Any]) -> str:
    if not settings:
        return ""
    rows = [f"| {name} | {_value(value)} |" for name, value in settings.items()]
    table = "\n".join(["| setting | value |", "| --- | --- |", *rows])
    return f"## Train it again\n\n```bash\n{training_command(settings)}\n```\n\n{table}"


def training_command(settings: dict[str, Any]) -> str:
    """The command line of train.py that a run's settings mean, on lines of at most 100 columns."""
    preset = {"preset": settings["preset"]} if "preset" in settings else {}  # comes first: the others refine it
    words = ["python train.py"]
    for name, value in (preset | settings).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value not in (None, ""):
            words.append(f"--{flag} {shlex.quote(_value(value))}")
    glued = " ".join(word.replace(" ", "\0") for word in words)  # a flag and its value stay on one line
    lines = textwrap.wrap(glued, 96, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return " \\\n".join(lines).replace("\0", " ")


def _value(value: Any) -> str:
    """A setting as train.py takes it: lists as 48,96."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def evaluation_section(evaluations: list[Evaluation]) -> str:
    """The figures as a section of a card, or no text where there are none."""
    if not evaluations:
        return ""
    parts = ["## How good is it?", "Each figure beside its floor, the same figure for real images."]
    for evaluation in evaluations:
        rows = [
            f"| {_words(name)} | {value:.4g} | {floor:.4g} |" for name, (value, floor) in evaluation.figures.items()
        ]
        table = "\n".join(["| figure | drawn | real |", "| --- | --- | --- |", *rows])
        parts += [f"{evaluation.count:,} images drawn with {evaluation.name}:", table]
    return "\n\n".join(parts)


def _words(name: str) -> str:
    return name.replace("_", " ")
