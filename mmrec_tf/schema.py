"""What each column is: the one place that knows.

Every other part asks the schema; nothing else guesses from column names. A schema lists the features of the user, of
the item and of the context (the interaction itself), and round-trips through YAML as part of the configuration.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FeatureKind = Literal[
    "id", "categorical", "multi_categorical", "number", "text", "image", "audio", "video", "vector", "timestamp"
]
Side = Literal["user", "item", "context"]

Width = Annotated[int, Field(ge=1)]
"""Of a layer."""

MODALITY_KINDS = ("text", "image", "audio", "video", "vector")
"""Kinds that an encoder (or, for `vector`, the table itself) turns into one vector per item."""

MEDIA_KINDS = ("image", "audio", "video")
"""Kinds whose column holds a file path or the file's bytes."""


class StrictModel(BaseModel):
    """A pydantic model that refuses keys it does not know, so that a misspelt setting is never silently ignored."""

    model_config = ConfigDict(extra="forbid", validate_default=True, populate_by_name=True)


class Feature(StrictModel):
    """One feature of a user, an item or an interaction.

    Args:
        name: str. The feature's name, and its column unless `columns` says otherwise.
        kind: str. One of `id`, `categorical`, `multi_categorical`, `number`, `text`, `image`, `audio`, `video`,
            `vector` (already embedded), `timestamp` (of the context, the moment of the interaction; of a user or an
            item, a number).
        columns: list of str. The table's columns it is read from. Only `text` takes several (joined by a space).
            Defaults to `[name]`.
        separator: str. Between the values of a `multi_categorical` or `vector` cell. Defaults to `|`.
        min_count: int. Categories seen less often in training count as unknown. Defaults to 1.
    """

    name: str = Field(min_length=1)
    kind: FeatureKind
    columns: list[str] = Field(default_factory=list)
    separator: str = Field(default="|", min_length=1)
    min_count: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _fill_columns(self):
        if not self.columns:
            self.columns = [self.name]
        if len(self.columns) > 1 and self.kind != "text":
            raise ValueError(
                f"feature {self.name!r} is of kind {self.kind} and names {len(self.columns)} columns; "
                "only a text feature joins several. Declare one feature for each column."
            )
        return self

    @property
    def column(self) -> str:
        """The feature's first, and for every kind but text only, column."""
        return self.columns[0]

    @property
    def is_number(self) -> bool:
        """Whether a user or an item has one number of it: a moment is the seconds since 1970."""
        return self.kind in ("number", "timestamp")

    @property
    def is_modality(self) -> bool:
        return self.kind in MODALITY_KINDS


class Schema(StrictModel):
    """The features of users, items and interactions.

    Exactly one `id` feature on the user's and on the item's side; the interactions table carries columns of the same
    names. The context may hold one `timestamp`, which temporal splits and histories need.

    Args:
        user: list of `Feature`. Must hold one `id`.
        item: list of `Feature`. Must hold one `id`.
        context: list of `Feature` read from the interactions table.

    Raises:
        ValueError: naming the side, when an id is missing or doubled, two features share a name, or a kind does not
            belong on that side.

    Example:

        >>> schema = Schema(
        ...     user=[Feature(name="user_id", kind="id")],
        ...     item=[Feature(name="item_id", kind="id"), Feature(name="title", kind="text")],
        ...     context=[Feature(name="timestamp", kind="timestamp")],
        ... )
        >>> [feature.name for feature in schema.modalities]
        ['title']
    """

    user: list[Feature]
    item: list[Feature]
    context: list[Feature] = Field(default_factory=list)

    @field_validator("user", "item", "context", mode="before")
    @classmethod
    def _accept_short_form(cls, features):
        # `user_id: id` in YAML is easier to write than a list of mappings; both are taken.
        if isinstance(features, dict):
            return [
                {"name": name, **(spec if isinstance(spec, dict) else {"kind": spec})}
                for name, spec in features.items()
            ]
        return features

    @model_validator(mode="after")
    def _check(self):
        for side, features in (("user", self.user), ("item", self.item), ("context", self.context)):
            names = [feature.name for feature in features]
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"{side} names the feature {doubled[0]!r} twice. Give each feature one entry.")
            ids = [feature.name for feature in features if feature.kind == "id"]
            if side != "context" and len(ids) != 1:
                raise ValueError(
                    f"{side} needs exactly one feature of kind id and has {len(ids)} ({', '.join(ids) or 'none'})."
                )
            if side == "context" and ids:
                raise ValueError("context cannot hold an id feature; the ids come from user and item.")
            if side != "item":
                modality = next((feature for feature in features if feature.is_modality), None)
                if modality:
                    raise ValueError(
                        f"{side} feature {modality.name!r} is of kind {modality.kind}; only items carry "
                        "text, media and vectors. Use a categorical or number feature, or move it to item."
                    )
        if sum(feature.kind == "timestamp" for feature in self.context) > 1:
            raise ValueError("context may hold one timestamp only.")
        return self

    @property
    def user_id(self) -> str:
        """Column of the user id, in the users and the interactions table."""
        return next(feature.column for feature in self.user if feature.kind == "id")

    @property
    def item_id(self) -> str:
        """Column of the item id, in the items and the interactions table."""
        return next(feature.column for feature in self.item if feature.kind == "id")

    @property
    def timestamp(self) -> str | None:
        """Column of the interaction's time, or None."""
        return next((feature.column for feature in self.context if feature.kind == "timestamp"), None)

    @property
    def modalities(self) -> list[Feature]:
        """The item features that become vectors, in the schema's order."""
        return [feature for feature in self.item if feature.is_modality]

    def features(self, side: Side, *kinds: FeatureKind) -> list[Feature]:
        """The side's features of the given kinds, in the schema's order."""
        return [feature for feature in getattr(self, side) if feature.kind in kinds]
