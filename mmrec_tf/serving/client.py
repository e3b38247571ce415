"""A client for the embedded server and for TensorFlow Serving, over REST or gRPC."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmrec_tf.serving.client_calls import Calls
from mmrec_tf.serving.client_errors import DeadlineExceeded, NotFound, ResourceExhausted, Unavailable
from mmrec_tf.serving.client_metadata import ModelMetadata, ModelStatus, SignatureInfo, Target
from mmrec_tf.serving.client_requests import checked_k, complete, context_values, ids, lists_of_ids
from mmrec_tf.serving.client_transport import connect
from mmrec_tf.serving.client_values import to_arrays

Ids = str | Sequence[str]
Lists = Sequence[str] | Sequence[Sequence[str]]


class Client:
    """Asks a server for recommendations, or for any signature of any model.

    TensorFlow is not imported. One client serves all threads of a process; it keeps connections open until it is closed
    or its `with` block ends. What may pass (a server that starts, stops or is overloaded, a connection that breaks) is
    asked again after growing waits, within the time that the caller gives; what cannot pass is not.

    Strings of answers are `str`, but `bytes` in outputs whose names end in `_bytes`, which is TensorFlow Serving's rule
    for REST; in requests both are taken. Numbers have the types of the signature over REST too. The types and shapes of
    a signature come from the server's metadata, which are kept for a minute.

    Args:
        url: str. `http://host:8501` or `https://...` for REST, with a path where a proxy wants one; `grpc://host:8500`
            or `grpcs://...` for gRPC, which needs grpcio (`pip install 'mmrec-tf[grpc]'`).
        api_key: str or None. Sent as `x-api-key`.
        timeout: float. Seconds that a call may take with all its repetitions. Defaults to 10.
        retries: int. How often a call is repeated at most. Defaults to 4.
        ca_file: path of a PEM file with the certificates to trust, for https and grpcs. Defaults to the system's.
        pool_size: int. Idle connections that are kept, for REST. Defaults to 10.

    Raises:
        InvalidArgument: for an address of another kind, or a file that cannot be read.
        ServingError: if gRPC is asked for and grpcio is not installed.

    Example:

        >>> with Client("http://localhost:8501") as client:  # doctest: +SKIP
        ...     client.recommend(["U0042"], k=3)["item_id"]
        array([['P0007', 'P0011', 'P0003']], dtype=object)
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        timeout: float = 10.0,
        retries: int = 4,
        ca_file: str | Path | None = None,
        pool_size: int = 10,
    ):
        self._calls = Calls(connect(url, api_key, ca_file, pool_size), timeout, retries)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, object],
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            model: str. The model's name.
            inputs: dict of input name -> nested lists or array, with the batch as the first dimension; lists of strings
                that differ in length are filled with `""`.
            signature: str. Defaults to `"serving_default"`.
            version: int. Defaults to the newest.
            label: str. In place of a version, a label of the server's configuration, such as `"previous"`.
            timeout: float. Seconds. Defaults to the client's.

        Returns:
            Dict of arrays by output name.

        Raises:
            InvalidArgument: if there is no such signature, or the inputs do not fit it.
            NotFound: if there is no such model or version.
            ClientError: for anything else; its subclass says what.
        """
        return self._calls.ask(Target(model, version, label), signature, lambda info: to_arrays(inputs, info), timeout)

    def recommend(
        self,
        user_ids: Ids,
        k: int = 10,
        exclude_ids: Lists | None = None,
        history_item_ids: Lists | None = None,
        context: Mapping[str, object] | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """The k best items for each user, best first.

        Args:
            user_ids: ids; one alone may stand for a list of one. Users that the model does not know are served from
                `history_item_ids`, or get what is popular.
            k: int. Items for each. Defaults to 10.
            exclude_ids: items not to recommend: a list of ids for all users, or a list for each.
            history_item_ids: what users did last, oldest first, in place of what the model knows; in the same forms.
            context: dict of input name -> one value for all users, or a list with one for each. What is not given, and
                None, is unknown.
            version: int. Defaults to the newest.
            label: str. In place of a version, a label of the server's configuration.
            timeout: float. Seconds. Defaults to the client's.

        Returns:
            Dict of `item_id` (`str`) and `score` (float32), `[users, k]`; fewer columns where the catalogue is smaller.
            Where fewer unseen items are left, the last places hold `""` and the lowest float32.
        """
        users = ids(user_ids, "user_ids")
        count = checked_k(k)

        def build(signature: SignatureInfo) -> dict[str, np.ndarray]:
            given = {"user_id": users, "k": [count] * len(users)}
            for name, values in (("exclude_ids", exclude_ids), ("history_item_ids", history_item_ids)):
                if values is not None:
                    given[name] = lists_of_ids(values, len(users), name)
            given |= context_values(context or {}, signature, len(users))
            return to_arrays(complete(given, signature, len(users)), signature)

        return self._calls.ask(Target("recommend", version, label), "recommend", build, timeout)

    def similar_items(
        self,
        item_ids: Ids,
        k: int = 10,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """The k items nearest to each item.

        Args:
            item_ids: ids; one alone may stand for a list of one.
            k: int. Defaults to 10.
            version, label, timeout: as for `recommend`.

        Returns:
            Dict of `item_id` (`str`) and `score` (float32), `[items, k]`.
        """
        items = ids(item_ids, "item_ids")
        given = {"item_id": items, "k": [checked_k(k)] * len(items)}
        return self._calls.ask(
            Target("retrieval", version, label), "similar_items", lambda s: to_arrays(given, s), timeout
        )

    def rank(
        self,
        user_ids: Ids,
        item_ids: Lists,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> np.ndarray:
        """How good items are for users, by the ranker.

        Args:
            user_ids: ids; one alone may stand for a list of one.
            item_ids: a list of ids for all users, or a list for each.
            version, label, timeout: as for `recommend`.

        Returns:
            `[users, items]` float32; NaN where a user's list is shorter than the longest.

        Raises:
            NotFound: if the run was exported without a ranker.
        """
        users = ids(user_ids, "user_ids")
        lists = lists_of_ids(item_ids, len(users), "item_ids")
        given = {"user_id": users, "item_ids": lists}
        target = Target("ranking", version, label)
        scores = self._calls.ask(target, "rank", lambda s: to_arrays(given, s), timeout)["score"].copy()
        for row, names in enumerate(lists):
            scores[row, len(names) :] = np.nan
        return scores

    def embed_user(
        self, user_ids: Ids, version: int | None = None, label: str | None = None, timeout: float | None = None
    ) -> np.ndarray:
        """`[users, width]` float32 embeddings, whose dot product with those of items is the towers' score."""
        given = {"user_id": ids(user_ids, "user_ids")}
        return self._embed("embed_user", given, version, label, timeout)

    def embed_item(
        self, item_ids: Ids, version: int | None = None, label: str | None = None, timeout: float | None = None
    ) -> np.ndarray:
        """`[items, width]` float32 embeddings; see `embed_user`."""
        given = {"item_id": ids(item_ids, "item_ids")}
        return self._embed("embed_item", given, version, label, timeout)

    def status(
        self, model: str, version: int | None = None, label: str | None = None, timeout: float | None = None
    ) -> list[ModelStatus]:
        """The states of a model's versions, or of one of them, highest first.

        Raises:
            NotFound: if there is none.
        """
        return self._calls.status(Target(model, version, label), timeout)

    def metadata(
        self, model: str, version: int | None = None, label: str | None = None, timeout: float | None = None
    ) -> ModelMetadata:
        """The signatures of a model, asked anew.

        Raises:
            NotFound: if there is no such model.
        """
        return self._calls.metadata(Target(model, version, label), timeout)

    def ready(self, *models: str, timeout: float = 1.0) -> bool:
        """True when the server answers and each of the models has a version that can be asked.

        Args:
            models: names. Defaults to `"recommend"`.
            timeout: float. Seconds for each model. Defaults to 1.

        Raises:
            ClientError: for what waiting does not mend, such as a wrong API key.
        """
        try:
            return all(any(s.is_available for s in self.status(m, timeout=timeout)) for m in models or ("recommend",))
        except (DeadlineExceeded, NotFound, ResourceExhausted, Unavailable):
            return False

    def close(self) -> None:
        """Closes the connections."""
        self._calls.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _embed(self, signature, given, version, label, timeout) -> np.ndarray:
        target = Target("retrieval", version, label)
        return self._calls.ask(target, signature, lambda s: to_arrays(given, s), timeout)["embedding"]
