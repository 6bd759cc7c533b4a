"""What the Hub holds: weights are downloaded, or found in its cache, and whatever goes wrong is said in a sentence."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import getproxies

from tqdm import tqdm

from diffusion.checks import BadInput, shown

REPO = r"[\w.-]{1,96}/[\w.-]{1,96}"  # what may be a name on the Hub: there its own rules decide
WEIGHTS = "model.safetensors"  # the name in every folder and on the Hub
INDEX = "model_index.json"  # the name, in a folder and on the Hub, of what names the parts of a text-to-image model


def on_hub(source: str | Path | None) -> bool:
    """Whether `source` names "user/repo" on the Hub: no folder does, nor runs/mnist before it is trained."""
    if not re.fullmatch(REPO, str(source)) or str(source).startswith("runs/"):
        return False
    path = Path(str(source))
    return path.suffix != ".safetensors" and not path.parent.is_dir()


def pull(repo: str, revision: str | None = None) -> Path:
    """Download the weights of "user/repo" from the Hub, or find them in its cache.

    Args:
        revision: a branch, a tag or a commit; the main branch by default.

    Raises BadInput where there is no such model or revision, or no way to the Hub and nothing in the cache.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    known = isinstance(_asked(repo, INDEX, partial(try_to_load_from_cache, repo, INDEX, revision=revision)), str)
    for name in (INDEX, WEIGHTS) if known else (WEIGHTS, INDEX):
        if found := _asked(repo, name, partial(hf_hub_download, repo, name, revision=revision), revision):
            return Path(found)
    raise BadInput(NOWHERE.format(repo=repo))


NOWHERE = (
    "There is no folder {repo}, nor a model of that name with "
    f"{WEIGHTS} or {INDEX}"
    " on the Hub that you may read: check the name, or log in with `hf auth login`."
)

Answer = TypeVar("Answer")


def _asked(repo: str, what: str, ask: Callable[[], Answer], revision: str | None = None) -> Answer | None:
    """What the Hub's client answers about a repository; None where it is there, and the file is not. Else BadInput."""
    from huggingface_hub import errors, is_offline_mode

    try:
        return ask()
    except errors.RemoteEntryNotFoundError:
        return None
    except errors.RevisionNotFoundError:
        message = f"{repo} has no revision {shown(revision)}: choose one of its branches, tags or commits."
    except errors.GatedRepoError:
        message = f"{repo} is gated: accept its licence on its page on the Hub, and log in with `hf auth login`."
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        message = NOWHERE.format(repo=repo)
    except failures() as error:
        if is_offline_mode():
            message = f"{what} of {repo} is not in the cache and HF_HUB_OFFLINE is set: unset it, or name a folder."
        elif isinstance(error, UnicodeError):
            message = f"The token holds characters that no token has: log in with `hf auth login` to download {repo}."
        elif isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 401:
            message = f"The Hub refuses the token (401): log in with `hf auth login` to download {repo}."
        else:
            message = f"{what} of {repo} could not be downloaded: {check_connection(error)}, or name a folder."
    raise BadInput(message)  # out here, so that it carries no error with a request in it


class Hidden(tqdm):  # type: ignore[misc]  # it has no types
    """A bar of progress that is not shown."""

    def __init__(self, *items: Any, **options: Any):
        super().__init__(*items, **options | {"disable": True})


class Hub:
    """The files of a text-to-image model on the Hub, at a commit."""

    def __init__(self, repo: str, commit: str):
        self.repo, self.commit = repo, commit

    def files(self, part: str) -> dict[str, int]:
        """Those of a part: bytes by path. With its first file, the list of all came into the cache."""
        from huggingface_hub import errors, get_cached_repo_tree

        try:
            tree = get_cached_repo_tree(self.repo, revision=self.commit)
        except errors.CachedRepoTreeNotFoundError:  # a cache that others filled
            return {}
        return {each.path: each.size for each in tree if each.path.startswith(f"{part}/")}

    def download(self, files: Sequence[str]) -> None:
        """Have these files in the cache, beside the index."""
        from huggingface_hub import snapshot_download

        small = all(file.endswith(".json") for file in files)
        wanted: dict[str, Any] = {"allow_patterns": list(files), "tqdm_class": Hidden if small else None}
        _asked(self.repo, files[0], partial(snapshot_download, self.repo, revision=self.commit, **wanted))


def failures() -> tuple[type[Exception], ...]:
    """What the Hub's client raises where the Hub cannot be reached, breaks off, or answers what nobody expects."""
    from huggingface_hub.utils import httpx

    proxies = (ImportError, httpx.InvalidURL)  # where the environment names one that the client cannot use
    return httpx.HTTPError, OSError, RuntimeError, ValueError, AttributeError, *proxies


def check_connection(error: Exception | None) -> str:
    """What to do where there is no way to the Hub."""
    if isinstance(error, ImportError):
        return "a SOCKS proxy is set, which needs `pip install socksio`"
    proxies = any(getproxies().get(scheme) for scheme in ("http", "https", "all"))
    return "check the connection and the proxy that is set" if proxies else "check the connection"
