"""Pushing to the Hugging Face Hub: a run, or a data set, in one commit with all of it. A tag names a run's weights.

Whatever goes wrong ends in one sentence. Nothing of the client's own error goes along, for it may quote the token.
"""

import hashlib
import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion.checkpoint import WEIGHTS, fingerprint, load
from diffusion.checks import BadInput, shown
from diffusion.download import check_connection, failures
from diffusion.files.shards import INDEX, read_index
from diffusion.hub.card import model_card, pictures

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = "README.md"
TAG = r"[A-Za-z0-9][\w.-]{0,63}"


class PushFailed(BadInput):
    """An upload that failed, while nothing was wrong with the run: pushing again does what is left to do."""


def push(folder: str | Path, repo: str, *, private: bool = False, tag: str | None = None) -> str:
    """Upload a run's weights, config, card and pictures to "user/repo" in one commit, and tag it.

    Args:
        folder: of a finished run; it is only read.
        private: for a repository that is yet to be created, which happens here where it is missing.
        tag: by default named after the weights, like "weights-1a2b3c4d", so that other weights never collide with it.

    Returns:
        The address of the commit.

    Raises BadInput where something is wrong with the folder or the names, and PushFailed where the upload fails.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    check_repo(repo)
    check_tag(tag)
    folder = Path(folder)
    config = load(folder / WEIGHTS).config
    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    name = tag or f"weights-{fingerprint(folder / WEIGHTS)}"
    files: dict[str, bytes | str] = {
        WEIGHTS: str(folder / WEIGHTS),
        "config.json": json.dumps(asdict(config), indent=2).encode(),
        CARD: model_card(repo, name, folder, config).encode(),
    }
    files |= {picture: str(folder / picture) for picture in pictures(folder)}
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]

    def upload() -> str:
        api = HfApi()
        _create(api, repo, "model", private)
        tagged = _weights_at(repo, name)
        if tagged not in (None, sha256):
            raise BadInput(
                f"{repo} does not have these weights at its tag {name}: choose another tag, or leave it out."
            )
        commit = api.create_commit(repo, operations, commit_message="Upload a digit diffusion model")
        if tagged is None:
            api.create_tag(repo, tag=name, revision=commit.oid)
        return commit.commit_url

    return _told(upload, "the run is safe, push it again")


def push_dataset(folder: str | Path, repo: str, *, private: bool = False) -> str:
    """Upload a whole data set, its index and its card to "user/repo" in one commit.

    The files that the index of an earlier one names are deleted in it. Pushed again after a failure, large files that
    have arrived are not sent twice. The arguments, the result and the errors are those of `push`.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    check_repo(repo)
    folder = Path(folder)
    index = read_index(folder)
    if index is None:
        raise BadInput(f"{folder} holds no whole data set: draw all its shards first.")
    named = index.get("files")
    if not isinstance(named, list) or not all(isinstance(name, str) and ".." not in name for name in named):
        raise BadInput(f"{folder} has a damaged index: draw the data set again in another folder.")
    files = [*named, INDEX, CARD]
    if any(name.endswith("/") for name in files):
        raise BadInput("The Hub takes a few large files, not one for each image: draw the data set in another format.")
    if missing := next((name for name in files if not (folder / name).is_file()), None):
        raise BadInput(f"{folder / missing} is missing: draw the data set again in another folder.")

    def upload() -> str:
        api = HfApi()
        _create(api, repo, "dataset", private)
        old = _drawn_before(api, repo) - {*files}
        operations = [CommitOperationAdd(name, str(folder / name)) for name in files]
        deletions = [CommitOperationDelete(name) for name in sorted(old)]
        message = "Upload a data set drawn by Digit Diffusion"
        commit = api.create_commit(repo, [*operations, *deletions], commit_message=message, repo_type="dataset")
        return commit.commit_url

    return _told(upload, "the data set is safe, push it again")


def _drawn_before(api: "HfApi", repo: str) -> set[str]:
    """The files of the data set that was pushed there before; BadInput where the repository holds anything else."""
    there = {file.rfilename for file in api.dataset_info(repo).siblings or []} - {".gitattributes", CARD}
    if not there:
        return set()
    index = None
    if INDEX in there:
        index = read_index(Path(api.hf_hub_download(repo, INDEX, repo_type="dataset")).parent)
    if not index or not isinstance(index.get("files"), list):
        raise BadInput(f"{repo} holds something else than a data set that was drawn here: choose another name.")
    return there & {str(name) for name in index["files"]}


def _create(api: "HfApi", repo: str, kind: str, private: bool) -> None:
    """Create a repository where it is missing; BadInput where it is there and public, and private was asked for."""
    api.create_repo(repo, repo_type=kind, private=private or None, exist_ok=True)
    if private and not api.repo_info(repo, repo_type=kind).private:
        raise BadInput(f"{repo} exists and is public: make it private in its settings, or choose another name.")


def _told(upload: Callable[[], str], what_now: str) -> str:
    """The address that an upload comes to, or PushFailed for whatever the Hub refuses."""
    try:
        return upload()
    except BadInput:
        raise
    except failures() as error:
        failure = _failure(error)
    raise PushFailed(f"{failure}; {what_now}.")  # out here, so that it carries no error with a token


def _weights_at(repo: str, revision: str) -> str | None:
    """The SHA-256 of the weights at a revision: "" where it has none, None where there is no such revision."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    try:
        return get_hf_file_metadata(hf_hub_url(repo, WEIGHTS, revision=revision)).etag
    except errors.RevisionNotFoundError:
        return None
    except errors.RemoteEntryNotFoundError:
        return ""


def check_push(repo: str, tag: str | None = None, later: str = "train first, and push the run afterwards") -> None:
    """BadInput where a push to "user/repo" is bound to fail, for a wrong name or token: ask before long work.

    Whether the token's owner may write to this very repository is for the Hub to say, at the push.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    check_repo(repo)
    check_tag(tag)
    try:
        answer = HfApi().whoami()
        role = ((answer.get("auth") or {}).get("accessToken") or {}).get("role")  # read, write or fineGrained
        failure = (
            "This token may only read: log in with `hf auth login`, with one that may write" if role == "read" else ""
        )
    except LocalTokenNotFoundError:
        failure = "There is no token to push with: log in with `hf auth login`"
    except failures() as error:
        failure = _failure(error)
    if failure:
        raise BadInput(f"{failure}; or {later}.")


def check_repo(repo: str) -> None:
    """BadInput where `repo` cannot be the name of a repository on the Hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
        valid = "/" in repo
    except HFValidationError:
        valid = False
    if not valid:
        raise BadInput(f"{shown(repo)} is not a valid name for a repository: write it as user/repo.")


def check_tag(tag: str | None) -> None:
    """BadInput where `tag` cannot be a tag on the Hub; None, for the default, can."""
    if tag is not None and (not re.fullmatch(TAG, tag, re.ASCII) or tag == "main"):
        raise BadInput(f"{shown(tag)} is not a valid name for a tag: use letters, digits, dots and dashes, as in v1.0.")


def _failure(error: Exception) -> str:
    """What went wrong on the way to the Hub, and what to do about it."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import httpx

    wrapped = not isinstance(error, httpx.HTTPError | OSError)  # as those of an upload and of a card are
    cause = error.__cause__ if wrapped else error
    if isinstance(error, UnicodeError):  # a byte order mark, a typographic dash: no header can hold it
        return "The token holds characters that no token has: log in with `hf auth login`, or correct HF_TOKEN"
    if isinstance(cause, HfHubHTTPError):
        status = cause.response.status_code
        if status == 401:
            return "The Hub refuses the token (401): log in with `hf auth login`, or correct HF_TOKEN"
        if status in (403, 404):
            return f"This token may not write there ({status}): log in with `hf auth login` as someone who may"
        if status == 429 or status >= 500:
            return f"The Hub refused ({status}): wait a little"
        reason = _reason(cause.server_message or "")
        if reason:
            return f"The Hub refused ({status}), saying {reason!r}: put that right"
        return f"The Hub refused ({status}), giving no reason: see what is in the way there"
    if isinstance(cause, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: unset it"
    if isinstance(cause, httpx.HTTPError | OSError):
        return f"The Hub cannot be reached: {check_connection(cause)}"
    if isinstance(error, ImportError):  # of what a proxy needs
        return f"The Hub cannot be reached: {check_connection(error)}"
    return f"The upload broke off: {check_connection(error)}"


def _reason(message: str) -> str:
    """A server's message in a few words, without any that is a token or long enough to hold one."""
    return textwrap.shorten(re.sub(r"\S*hf_\S*|\S{30,}", "...", message.rstrip(".")), 80, placeholder=" ...")
