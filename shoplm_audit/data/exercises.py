r"""Rows of public benchmarks as exercises: ShopBench / Shopping MMLU, EcomInstruct, ChineseEcomQA.

exercise_of({"input_field": "Which ...?\n0. mouse pad\n1. leash", "output_field": 0, ...}, "ShopBench", "dev:2")
-> Exercise("dev:2", "ShopBench", "task2", "choice", "Which ...", ("0",), ...)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from shoplm_audit.data.cells import CellError, language_of
from shoplm_audit.data.records import Exercise, Form

__all__ = ["exercise_of"]

_FORMS: Mapping[str, Form] = {
    "multiple-choice": "choice",
    "retrieval": "retrieval",
    "ranking": "ranking",
    "named_entity_recognition": "entities",
    "generation": "text",
}
_CANDIDATES = re.compile(r"候选[^：:\n]*[：:]([^\n]+)")
_INTENTS = re.compile(r"候选意图有['‘“\"]([^'’”\"]+)")
_CLOSED = (("是", "否"), ("有", "没有"), ("能", "不能"), ("可以", "不可以"))


def exercise_of(values: Mapping[str, object], layout: str, where: str) -> Exercise:
    """The exercise of a row; its id is where it stands.

    Args:
        values: cells by column, in lower case.
        layout: as `data.layouts` calls it.
        where: file and line.

    Raises:
        CellError: a cell that does not fit, named.
    """
    return _READERS[layout](values, where)


def _shopbench(values: Mapping[str, object], where: str) -> Exercise:
    kind, metric = str(values.get("task_type", "")).strip().casefold(), str(values.get("metric", "")).strip().casefold()
    if kind not in _FORMS:
        raise CellError(f'has the task_type "{kind}": known are {", ".join(_FORMS)}')
    form, told, prompt = _FORMS[kind], values.get("output_field"), _text(values, "input_field")
    if form == "ranking":
        gains = tuple(_number(one) for one in _list(told))
        if not any(gains):
            raise CellError("has only zeros as output_field: nothing of it is relevant, so no order is right")
        return Exercise(where, "ShopBench", _task(values), form, prompt, (), gains, metric=metric,
                        language=language_of(prompt))  # fmt: skip
    answers = tuple(str(one).strip() for one in (_list(told) if form in ("retrieval", "entities") else [told]))
    if not all(answers):
        raise CellError("has an empty output_field")
    return Exercise(where, "ShopBench", _task(values), form, prompt, answers, metric=metric,
                    language=language_of(prompt))  # fmt: skip


def _ecom_qa(values: Mapping[str, object], where: str) -> Exercise:
    prompt, gold = _text(values, "prompt"), _text(values, "gt")
    system = str(values.get("system_prompt", "") or "").strip()
    found, intents = _CANDIDATES.search(prompt), _INTENTS.search(system)
    listed = found[1] if found else re.sub("（[^）]*）", "", intents[1]) if intents else ""
    labels = tuple(one.strip() for one in re.split("[,，、]", listed) if one.strip())
    answers = tuple(one.strip() for one in re.split("[,，、]", gold) if one.strip())
    form: Form = "short"
    if gold in labels:
        form = "label"
    elif len(answers) > 1 and set(answers) <= set(labels):
        return Exercise(where, "ChineseEcomQA", _task(values), "entities", prompt, answers, (), labels, system, "zh")
    elif closed := next((pair for pair in _CLOSED if gold in pair), None):
        form, labels = "label", closed
    return Exercise(where, "ChineseEcomQA", _task(values), form, prompt, (gold,), (), labels, system, "zh")


def _ecom_labels(values: Mapping[str, object], where: str) -> Exercise:
    text, told = _text(values, "sentences"), values.get("labels")
    language = language_of(text)
    names = told.get(language, told.get("zh")) if isinstance(told, Mapping) else told
    gold = tuple(str(one).strip() for one in _list(names))
    if len(gold) != 1:
        raise CellError(f"has {len(gold)} labels: it has to be one")
    labels: tuple[str, ...] = ("匹配", "不匹配") if language == "zh" else ("match", "not match")
    if gold[0] not in labels:
        labels = tuple(str(one) for one in _list(values.get("label_set"))) if values.get("label_set") else gold
    question = (
        f"标题和属性说的是同一件商品吗？只回答“{'”或“'.join(labels)}”。\n{text}\n答案："
        if language == "zh"
        else f"Do title and attributes speak of one product? Answer {' or '.join(labels)}.\n{text}\nAnswer:"
    )
    return Exercise(
        where, "EcomInstruct", "title_attribute_matching", "label", question, gold, (), labels, "", language
    )


def _ecom_spans(values: Mapping[str, object], where: str) -> Exercise:
    text, language = _text(values, "sentences"), language_of(_text(values, "sentences"))
    spans = values.get("spans")
    if not isinstance(spans, Sequence) or not all(isinstance(one, Mapping) and "term" in one for one in spans):
        raise CellError("has spans that are no list of objects with type and term")
    kinds = [str(one) for one in _list(values.get("label_set"))]
    answers = tuple(dict.fromkeys(f"{one.get('type', '')}：{one['term']}" for one in spans))
    question = (
        f"抽取文本中的属性值，每行写“属性：值”，没有则写“无”。\n属性：{'、'.join(kinds)}\n文本：{text}\n答案："
        if language == "zh"
        else f'Extract the attribute values, one "attribute：value" a line, or "none".\n'
        f"Attributes: {', '.join(kinds)}\nText: {text}\nAnswer:"
    )
    task = "attribute_value_extraction"
    return Exercise(where, "EcomInstruct", task, "entities", question, answers, language=language)


_READERS: Mapping[str, Callable[[Mapping[str, object], str], Exercise]] = {
    "ShopBench": _shopbench,
    "ChineseEcomQA": _ecom_qa,
    "EcomInstruct, labels": _ecom_labels,
    "EcomInstruct, spans": _ecom_spans,
}


def _text(values: Mapping[str, object], column: str) -> str:
    text = values.get(column)
    if not isinstance(text, str) or not text.strip():
        raise CellError(f'has no text in "{column}"')
    return text.rstrip(" ")


def _task(values: Mapping[str, object]) -> str:
    return str(values.get("task_name") or values.get("task") or "")


def _list(value: object) -> list[object]:
    if not isinstance(value, list | tuple) or not value:
        raise CellError("has something else where a list has to stand")
    return list(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CellError(f'has "{value}" among its weights: they have to be numbers')
    return float(value)
