"""Which columns of a known kind of file hold which field: Amazon Reviews, Yelp, E2E, label and review, our own.

    Layout("Yelp", signs=(("business_id", "stars", "text"),), needed=("text",), columns={"rating": ("stars",)})

Columns are compared without regard to case, so they stand here in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

__all__ = ["ATTRIBUTE_COLUMNS", "FIELDS", "LAYOUTS", "Layout", "layout_of"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How one known kind of file names its columns.

    Attributes:
        name: how it is told to the user.
        signs: sets of columns; a file that has all of any one of them has this layout.
        needed: the fields that every row has to fill.
        columns: where a field is found, the preferred column first; the field's own name always comes last.
        derived: a field that is read from an attribute of this name where no column holds it.
    """

    name: str
    signs: tuple[tuple[str, ...], ...]
    needed: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    derived: Mapping[str, str] = field(default_factory=dict)

    def places(self, name: str) -> tuple[str, ...]:
        """The columns in which the field is looked for, the preferred one first."""
        return tuple(dict.fromkeys((*self.columns.get(name, ()), name)))


FIELDS: Mapping[str, tuple[str, ...]] = {
    "products": ("id", "title", "category", "attributes", "description", "price", "language"),
    "reviews": ("id", "product", "user", "rating", "text", "title", "time", "label", "language", "category"),
    "dialogues": ("id", "turns", "question", "answer", "product", "intent", "language"),
    "interactions": ("user", "product", "time", "rating"),
    "texts": ("id", "text", "label", "language", "user", "group"),
    "exercises": ("prompt", "answer", "task", "system"),
    "stereotypes": ("context", "options", "answer", "bias"),
}

# Columns of product tables that are an attribute under their own name, without the prefix "attributes.".
ATTRIBUTE_COLUMNS = frozenset(
    ("brand", "color", "colour", "manufacturer", "material", "model", "modelno", "size", "store", "weight")
)

_NAMED = {"title": ("title", "name")}
_AMAZON_USER = ("user_id", "reviewerid", "user")
_AMAZON_TIME = ("unixreviewtime", "timestamp", "reviewtime")

# The first layout whose signs are there is taken; the last of each kind is our own, which is also the fallback.
LAYOUTS: Mapping[str, tuple[Layout, ...]] = {
    "products": (
        Layout(
            "E2E",
            (("mr",),),
            ("attributes",),
            {"attributes": ("mr",), "description": ("ref",)},
            {"title": "name", "category": "eatType"},
        ),
        Layout(
            "AdvertiseGen",
            (("content", "summary"),),
            ("attributes",),
            {"attributes": ("content",), "description": ("summary",)},
            {"title": "类型", "category": "类型"},
        ),
        Layout(
            "Amazon products",
            (("parent_asin", "title"), ("asin", "title")),
            ("title",),
            {
                "id": ("parent_asin", "asin"),
                "category": ("main_category", "main_cat", "category", "categories"),
                "attributes": ("details",),
            },
        ),
        Layout(
            "products", (("id", "title"), ("id", "name"), ("attributes",)), ("title", "category", "attributes"), _NAMED
        ),
        Layout("product table", (("title",), ("name",)), ("title",), _NAMED),
        Layout("products", (), ("title", "category", "attributes"), _NAMED),
    ),
    "reviews": (
        Layout(
            "Amazon Reviews 2023",
            (("parent_asin", "user_id", "text"), ("asin", "user_id", "text")),
            ("product", "text"),
            {"product": ("parent_asin", "asin"), "user": _AMAZON_USER, "time": _AMAZON_TIME},
        ),
        Layout(
            "Amazon Reviews 2014/2018",
            (("asin", "reviewtext"), ("asin", "overall")),
            ("product", "text"),
            {
                "product": ("asin",),
                "user": _AMAZON_USER,
                "rating": ("overall",),
                "text": ("reviewtext",),
                "title": ("summary",),
                "time": _AMAZON_TIME,
            },
        ),
        Layout(
            "Amazon Reviews, trimmed",
            (("reviewtext",),),
            ("text",),
            {
                "user": _AMAZON_USER,
                "rating": ("overall",),
                "text": ("reviewtext",),
                "title": ("summary",),
                "time": _AMAZON_TIME,
            },
        ),
        Layout(
            "Yelp",
            (("business_id", "stars", "text"),),
            ("product", "text"),
            {
                "id": ("review_id",),
                "product": ("business_id",),
                "user": ("user_id",),
                "rating": ("stars",),
                "time": ("date",),
            },
        ),
        Layout("label, review", (("label", "review"),), ("text", "label"), {"text": ("review",), "category": ("cat",)}),
        Layout("reviews", (("product", "text"),), ("product", "text")),
    ),
    "dialogues": (
        Layout(
            "turns",
            (("turns",), ("messages",), ("conversations",)),
            ("turns",),
            {"turns": ("messages", "conversations")},
        ),
        Layout(
            "Bitext",
            (("instruction", "response"),),
            ("question", "answer"),
            {"question": ("instruction",), "answer": ("response",)},
        ),
        Layout("Bitext, questions only", (("utterance", "intent"),), ("question",), {"question": ("utterance",)}),
        Layout("question, answer", (("question", "answer"),), ("question", "answer")),
    ),
    "interactions": (
        Layout(
            "Amazon Reviews",
            (("user_id", "parent_asin"), ("user_id", "asin"), ("reviewerid", "asin"), ("user", "asin")),
            ("user", "product"),
            {"user": _AMAZON_USER, "product": ("parent_asin", "asin"), "rating": ("overall",), "time": _AMAZON_TIME},
        ),
        Layout(
            "Yelp",
            (("user_id", "business_id"),),
            ("user", "product"),
            {"user": ("user_id",), "product": ("business_id",), "rating": ("stars",), "time": ("date",)},
        ),
        Layout("interactions", (("user", "product"),), ("user", "product")),
    ),
    "texts": (
        Layout("Bitext", (("utterance", "intent"),), ("text",), {"text": ("utterance",), "label": ("intent",)}),
        Layout("texts", (("text",),), ("text",)),
    ),
    # What a row of each means is read in data/exercises.py.
    "exercises": (
        Layout(
            "ShopBench",
            (("input_field", "output_field", "task_type"),),
            ("prompt",),
            {"prompt": ("input_field",), "answer": ("output_field",), "task": ("task_name", "task_type", "metric")},
        ),
        Layout(
            "EcomInstruct, spans",
            (("sentences", "spans"),),
            ("prompt",),
            {"prompt": ("sentences",), "answer": ("spans",), "task": ("label_set",)},
        ),
        Layout(
            "EcomInstruct, labels",
            (("sentences", "labels"),),
            ("prompt",),
            {"prompt": ("sentences",), "answer": ("labels",)},
        ),
        Layout(
            "ChineseEcomQA",
            (("prompt", "gt"),),
            ("prompt",),
            {"answer": ("gt",), "system": ("system_prompt",)},
        ),
    ),
    # What a row of each means is read in data/stereotypes.py.
    "stereotypes": (
        Layout(
            "BBQ",
            (("context", "question", "ans0", "answer_info"), ("context", "question", "ans0", "target_loc")),
            ("context",),
            {
                "options": ("ans0", "ans1", "ans2", "question"),
                "answer": ("label", "answer_info", "question_polarity", "context_condition", "target_loc"),
                "bias": ("category", "additional_metadata", "question_index"),
            },
        ),
        Layout(
            "CBBQ",
            (("context", "question", "ans0", "bias_targeted_groups"),),
            ("context",),
            {
                "options": ("ans0", "ans1", "ans2", "question"),
                "answer": ("label", "question_polarity", "context_condition"),
                "bias": ("category", "bias_targeted_groups", "question_index"),
            },
        ),
        Layout(
            "CrowS-Pairs",
            (("sent_more", "sent_less"),),
            ("options",),
            {"options": ("sent_more", "sent_less"), "answer": ("stereo_antistereo",), "bias": ("bias_type",)},
        ),
        Layout(
            "StereoSet, flattened",
            (("stereotype", "anti-stereotype", "unrelated"),),
            ("context",),
            {"options": ("stereotype", "anti-stereotype", "unrelated"), "bias": ("bias_type", "target", "type")},
        ),
        Layout(
            "StereoSet",
            (("context", "sentences", "target"),),
            ("context",),
            {"options": ("sentences",), "bias": ("bias_type", "target", "type")},
        ),
        Layout("WinoBias", (("sentence", "number"),), ("context",), {"context": ("sentence",), "answer": ("number",)}),
    ),
}


def layout_of(kind: str, columns: Set[str]) -> Layout | None:
    """The layout of a file with these columns (in lower case), or None where none of the kind fits."""
    return next((layout for layout in LAYOUTS[kind] if any(columns >= set(sign) for sign in layout.signs)), None)
