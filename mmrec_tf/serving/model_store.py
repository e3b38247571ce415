"""The models of an export folder, loaded and ready to be called, also while the folder changes.

A server needs to know which models and versions a folder holds, which of them load, and how to call their signatures.
This module answers that for a folder laid out as TensorFlow Serving wants it, without knowing of HTTP:
`<name>/<integer version>/saved_model.pb`. A version that does not load never stops the others: its `state` and
`error_message` say why.
"""

import gc
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.batching import BatchScheduler
from mmrec_tf.serving.model_version import DEFAULT_SIGNATURE, GraphError, ModelVersion, Signature
from mmrec_tf.serving.server_config import ModelsConfigFile, VersionPolicy, read_max_batch_size

__all__ = ["DEFAULT_SIGNATURE", "MAX_VERSION", "GraphError", "ModelNotFoundError", "ModelStore", "ModelVersion"]
__all__ += ["Signature", "UnknownLabelError"]

logger = logging.getLogger(__name__)

MAX_VERSION = 2**63 - 1


class ModelNotFoundError(ServingError):
    """No such model, or no such version of it, can be called.

    Attributes:
        code: str. TensorFlow's error code, `"NOT_FOUND"`.
    """

    code = "NOT_FOUND"


class UnknownLabelError(ModelNotFoundError):
    """No version has the label, which TensorFlow Serving calls a mistake in the request.

    Attributes:
        code: str. TensorFlow's error code, `"INVALID_ARGUMENT"`.
    """

    code = "INVALID_ARGUMENT"


class ModelStore:
    """All models of an export folder; finds a version by name and number, or by name and label.

    Which versions of a model are served is what its `model_version_policy` in `models.config` says, as in TensorFlow
    Serving: the highest ones (one, where there is no policy), all, or those that are named. At creation the highest of
    them is loaded, and where that fails, the next lower one that loads stands in for it; `refresh` loads the others,
    and so does a request that comes before. Names in requests are only ever looked up among the names found here, so
    that no request can reach outside the folder.

    Args:
        export_dir: Path. Folder of `<name>/<integer version>/saved_model.pb`.
        models: names to serve. Defaults to every model of the folder.
        num_versions: int. The highest versions that are served of each model, whatever its policy; None, the default,
            to obey the policies, and to serve 2 of a model that `models.config` does not name.
        max_batch_size: int. Most rows of a call that requests share; 1 for none. Defaults to what
            `batching_parameters.txt` says, or 64.
        config_file: Path. Another file for `models.config`. Defaults to that of the folder.
        observe, sample: called after each call of a signature; see `BatchScheduler`.

    Raises:
        ServingError: if the folder does not exist, holds no model, or lacks one of `models`, or `config_file` is not
            there or cannot be read. That of the folder is then left out, with a warning.
    """

    def __init__(
        self,
        export_dir: Path,
        models: Sequence[str] | None = None,
        num_versions: int | None = None,
        max_batch_size: int | None = None,
        observe: Callable[[str, str, int, int, float], None] | None = None,
        sample: Callable | None = None,
        config_file: Path | None = None,
    ):
        self.folder = Path(export_dir)
        largest = max_batch_size or read_max_batch_size(self.folder)
        self.batches = BatchScheduler(largest, observe=observe, sample=sample)
        self._latest = None if num_versions is None else VersionPolicy(latest=num_versions)
        self._only = list(models or ())
        self._config = ModelsConfigFile(self.folder, config_file)
        self._labels: dict[str, Mapping[str, int]] = dict(self._config.said.labels)
        self._changes = threading.Lock()
        # What was to replace a loaded version and did not load.
        self._refused: dict[tuple[str, int], ModelVersion] = {}
        found = _find_models(self.folder)
        missing = [name for name in self._only if name not in found]
        if missing:
            raise ServingError(
                f"{export_dir} has no model {', '.join(map(repr, missing))}. Models there: {', '.join(found)}."
            )
        # Each value is replaced, never changed, so that a request sees all of a change or nothing of it.
        self._versions: dict[str, dict[int, ModelVersion]] = {
            name: {number: self._version(name, number, path) for number, path in found[name].items()}
            for name in self._only or found
        }
        for name in self._versions:
            # One that fails makes room for the next lower one.
            while (waiting := self._served(name)) and not waiting[0].load():
                pass

    @property
    def names(self) -> list[str]:
        """Names of the served models."""
        return list(self._versions)

    def versions(self, name: str) -> list[ModelVersion]:
        """The versions of a model that are served or could not be loaded, highest first; empty for an unknown name."""
        versions = self._versions.get(name, {}).values()
        served = self._served(name)
        return [v for v in versions if v in served or v.state in ("AVAILABLE", "LOADING", "END")]

    def labels(self, name: str) -> dict[str, int]:
        """The labels of a model's versions, by `models.config`."""
        return dict(self._labels.get(name, {}))

    def number_of(self, name: str, label: str) -> int:
        """The version that has a label.

        Raises:
            UnknownLabelError: if none has.
        """
        labels = self._labels.get(name, {})
        if label not in labels:
            known = ", ".join(labels) or "none; models.config names them"
            raise UnknownLabelError(f"Unrecognized servable version label: {label}; labels of {name}: {known}")
        return labels[label]

    def find(self, name: str, version: int | None = None, label: str | None = None) -> ModelVersion:
        """The version to call, loading it if need be.

        Args:
            name: str. The model.
            version: int. The version. Defaults to the highest one that is loaded.
            label: str. In place of a number, one of `labels`.

        Raises:
            ModelNotFoundError: if there is none, or it cannot be loaded.
        """
        loaded = self.find_loaded(name, version, label)
        if loaded is not None:
            return loaded
        version = version if label is None else self.number_of(name, label)
        wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        # A version that fails makes room for the next lower one.
        while waiting := [v for v in self._served(name) if version is None or v.version == version]:
            if waiting[0].load():
                return waiting[0]
        failed = [v for v in self.versions(name) if v.is_broken and (version is None or v.version == version)]
        if failed:
            reason = f"version {failed[0].version} cannot be loaded ({failed[0].error_code}: {failed[0].error_message})"
        elif name in self._versions:
            reason = f"versions of {name}: {', '.join(str(v.version) for v in self.versions(name))}"
        else:
            reason = f"models here: {', '.join(self.names)}"
        raise ModelNotFoundError(f"Servable not found for request: {wanted}; {reason}")

    def find_loaded(self, name: str, version: int | None = None, label: str | None = None) -> ModelVersion | None:
        """As `find`, but never waits: None where the version would have to be loaded first, or is not there."""
        version = version if label is None else self.number_of(name, label)
        versions = self._versions.get(name, {})
        if version is not None:
            found = versions.get(version)
            return found if found is not None and found.is_available else None
        return next((v for v in versions.values() if v.is_available), None)

    def refresh(self) -> None:
        """Takes in what has changed in the folder: loads what is to be served, then lets go of what is not.

        A version takes its place, and its labels, when it is loaded and has answered its warm-up records; until then,
        and when it fails, those before it answer. One that failed is tried again when its files have changed. One whose
        files are others than it was loaded from, as after a run is replaced, is loaded anew, and until then answers as
        before. One that is gone from the folder is let go, unless it is the last.
        """
        with self._changes:
            labels = self._config.read().labels
            for name in self._names_now():
                there = _version_numbers(self.folder / name)
                self._take_in(name, there)
                # One that fails makes room for the next lower one.
                while waiting := [v for v in self._served(name, there) if not v.is_available]:
                    waiting[0].load()
                self._take_in_replaced(name, there)
                self._move_labels(name, labels.get(name, {}))
                self._let_go(name, there)

    def close(self) -> None:
        """Ends the threads that calls run on."""
        self.batches.close()

    def _version(self, name: str, number: int, path: Path) -> ModelVersion:
        return ModelVersion(name, number, path, self.batches)

    def _served(self, name: str, there: Mapping[int, Path] | None = None) -> list[ModelVersion]:
        versions = self._versions.get(name, {})
        sound = [n for n, v in versions.items() if not v.is_broken and (there is None or n in there)]
        policy = self._latest or self._config.said.policy_of(name)
        return [versions[number] for number in policy.chosen(sound)]

    def _names_now(self) -> list[str]:
        if self._only:
            return self._only
        try:
            found = _find_models(self.folder)
        except (ServingError, OSError) as error:
            # What is loaded goes on answering while the folder is away.
            logger.warning("%s", error)
            found = {}
        return list({**self._versions, **found})

    def _take_in(self, name: str, paths: Mapping[int, Path]) -> None:
        known = self._versions.get(name, {})
        versions = {number: v for number, v in known.items() if number in paths or v.is_available}
        for number, path in paths.items():
            if number not in versions or (versions[number].is_broken and versions[number].has_changed()):
                versions[number] = self._version(name, number, path)
        versions = dict(sorted(versions.items(), reverse=True))
        if list(versions.items()) != list(known.items()):
            self._versions = {**self._versions, name: versions}

    def _take_in_replaced(self, name: str, there: Mapping[int, Path]) -> None:
        changed = [v.version for v in self._served(name, there) if v.is_available and v.has_changed()]
        for number in changed:
            refused = self._refused.get((name, number))
            if refused is not None and not refused.has_changed():
                continue
            fresh = self._version(name, number, there[number])
            if not fresh.load():
                self._refused[name, number] = fresh
                continue
            self._refused.pop((name, number), None)
            self._versions = {**self._versions, name: {**self._versions[name], number: fresh}}
            logger.info("%s version %d has other files than before, and answers by them now", name, number)
            # As in `_let_go`: what it was before refers to itself.
            gc.collect()

    def _move_labels(self, name: str, said: Mapping[str, int]) -> None:
        # As in TensorFlow Serving, a label moves to a version that can be called, and not before it can.
        before, versions = self._labels.get(name, {}), self._versions[name]
        moved = {}
        for label, number in said.items():
            old = before.get(label, number)
            is_kept = number not in versions or not versions[number].is_available
            moved[label] = old if is_kept and old in versions and versions[old].is_available else number
        self._labels = {**self._labels, name: moved}

    def _let_go(self, name: str, there: Mapping[int, Path]) -> None:
        available = [v for v in self._versions[name].values() if v.is_available]
        kept = [v for v in self._served(name, there) if v.is_available] or available[:1]
        versions = dict(self._versions[name])
        for version in available:
            if version not in kept:
                logger.info("%s version %d is not served any more", name, version.version)
                del versions[version.version]
                if version.version in there:
                    versions[version.version] = self._version(name, version.version, version.path)
                    versions[version.version].state = "END"
        if len(kept) < len(available):
            self._versions = {**self._versions, name: dict(sorted(versions.items(), reverse=True))}
            # What a loaded SavedModel is made of refers to itself, so that counting references does not free it.
            del available, version
            gc.collect()


def _find_models(export_dir: Path) -> dict[str, dict[int, Path]]:
    if not export_dir.is_dir():
        raise ServingError(f"The export folder {export_dir} does not exist. Write one with `mmrec export RUN`.")
    found = {}
    for folder in sorted(export_dir.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            numbers = _version_numbers(folder)
            if numbers:
                found[folder.name] = dict(sorted(numbers.items(), reverse=True))
    if found:
        return found
    if _version_numbers(export_dir):
        hint = f"It is itself a model: serve its parent, {export_dir.parent}."
    elif (export_dir / "export").is_dir():
        hint = f"Did you mean {export_dir / 'export'}?"
    else:
        hint = "Write one with `mmrec export RUN`."
    raise ServingError(f"{export_dir} holds no model (<name>/<integer version>/saved_model.pb). {hint}")


def _version_numbers(folder: Path) -> dict[int, Path]:
    # A number written with leading zeros names the same version; the first in order of name is taken.
    numbers: dict[int, Path] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        logger.warning("%s is left out: %s", folder, error)
        return numbers
    for path in paths:
        if re.fullmatch(r"[0-9]{1,30}", path.name) and int(path.name) <= MAX_VERSION and path.is_dir():
            numbers.setdefault(int(path.name), path)
    return numbers
