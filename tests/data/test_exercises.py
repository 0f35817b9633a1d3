"""Public benchmarks are read as their files stand, and a row that is none is told."""

import json
from collections import Counter
from pathlib import Path

import pytest

from shoplm_audit.data.readers import check_file, guess_kind, read_records
from shoplm_audit.data.records import Exercise
from shoplm_audit.errors import DataError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
ROWS = {
    "shopbench.jsonl": [
        {
            "input_field": "Which?\n0. a\n1. b\nAnswer: ",
            "output_field": 1,
            "task_name": "t2",
            "task_type": "multiple-choice",
            "metric": "accuracy",
        },
        {
            "input_field": "Rank 1 to 3.",
            "output_field": [1, 0.1, 0],
            "task_name": "t12",
            "task_type": "ranking",
            "metric": "ndcg",
        },
        {
            "input_field": "Entities?",
            "output_field": ["tablette"],
            "task_name": "t4",
            "task_type": "named_entity_recognition",
            "metric": "micro f1",
        },
    ],
    "qa.jsonl": [
        {"system_prompt": "仿照示例回答。", "prompt": "***候选类目***：锅,碗\n***答案***：", "gt": "碗", "task": "IC"},
        {"system_prompt": "", "prompt": "灭火器可分为哪三类？", "gt": "甲式、乙式", "task": "IDC"},
        {"system_prompt": "", "prompt": "商品甲是电炉吗？", "gt": "否", "task": "CC"},
        {"system_prompt": "", "prompt": "***候选类目***：锅,碗,盆\n***答案***：", "gt": "锅,盆", "task": "IC"},
        {
            "system_prompt": "已知query候选意图有'买什么（如场景、品类）、怎么办、怎么挑/怎么买'，输出意图。",
            "prompt": "***query***：灯不亮",
            "gt": "怎么办",
            "task": "ITC",
        },
    ],
    "spans.jsonl": [
        {
            "sentences": "HC圆领连衣裙",
            "label_set": ["领型", "风格"],
            "spans": [{"type": "领型", "term": "圆领", "start": 2, "end": 4}],
        }
    ],
    "labels.jsonl": [
        {"sentences": "Title: 锅具套装家用, Attritute: 材质#:#铁", "labels": {"en": ["not match"], "zh": ["不匹配"]}}
    ],
}


def read(folder: Path, name: str) -> list[Exercise]:
    path = folder / name
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS[name]), encoding="utf-8")
    assert guess_kind(path) == "exercises"
    return [row for row in read_records("exercises", path) if isinstance(row, Exercise)]


def test_each_format_becomes_exercises_with_their_right_answers(tmp_path: Path) -> None:
    choice, ranking, entities = read(tmp_path, "shopbench.jsonl")
    assert (choice.form, choice.answers, choice.prompt[-7:]) == ("choice", ("1",), "Answer:")
    assert (ranking.form, ranking.gains) == ("ranking", (1.0, 0.1, 0.0))
    assert (entities.form, entities.answers) == ("entities", ("tablette",))
    listed, short, closed, several, intent = read(tmp_path, "qa.jsonl")
    assert (closed.form, closed.labels) == ("label", ("是", "否"))
    assert (several.form, several.answers, several.labels) == ("entities", ("锅", "盆"), ("锅", "碗", "盆"))
    assert (intent.form, intent.labels) == ("label", ("买什么", "怎么办", "怎么挑/怎么买"))
    assert (listed.form, listed.labels, listed.system, listed.language) == (
        "label",
        ("锅", "碗"),
        "仿照示例回答。",
        "zh",
    )
    assert (short.form, short.labels) == ("short", ())
    assert read(tmp_path, "spans.jsonl")[0].answers == ("领型：圆领",)
    assert "圆领连衣裙" in read(tmp_path, "spans.jsonl")[0].prompt
    assert (read(tmp_path, "labels.jsonl")[0].answers, read(tmp_path, "labels.jsonl")[0].form) == (("不匹配",), "label")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"task_type": "poetry"}, 'the task_type "poetry"'),
        ({"task_type": "ranking", "output_field": [0, 0]}, "only zeros"),
        ({"task_type": "retrieval", "output_field": 3}, "a list has to stand"),
        ({"input_field": " "}, 'no text in "input_field"'),
    ],
)
def test_a_row_that_is_no_exercise_is_told_with_its_line(tmp_path: Path, change: dict[str, object], told: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(ROWS["shopbench.jsonl"][0] | change) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.jsonl:1: not an exercise: .*") as raised:
        list(read_records("exercises", path))
    assert told in str(raised.value)


@pytest.mark.real_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="no real data beside the checkout")
def test_the_published_files_are_read_whole() -> None:
    forms: Counter[str] = Counter()
    for path in sorted(SHARED.glob("shopbench_*/*.json")) + sorted(SHARED.glob("ecomgpt_*/*.json")):
        assert check_file("exercises", path).bad == 0
        forms.update(row.form for row in read_records("exercises", path) if isinstance(row, Exercise))
    assert forms == {"choice": 52, "retrieval": 15, "entities": 508, "text": 17, "ranking": 4, "label": 500}
