r"""What each task says to a model, in both languages; users replace any of it in `audit.toml`.

    Prompts().render("sentiment", "en", {"text": "Works well."}).flat
    -> 'Is this review positive or negative?\nReview: Works well.\nSentiment:'

The texts of ShopWorld, on which models can be pretrained, are such prompts followed by an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox

from shoplm_audit.errors import ConfigError
from shoplm_audit.types import Prompt

__all__ = ["TASKS", "Prompts", "joined"]

_RECORD_EN = """Product: {{ title }}
Category: {{ category }}{% for name, value in attributes.items() %}
{{ name | capitalize }}: {{ value }}{% endfor %}"""
_RECORD_ZH = """商品：{{ title }}
类别：{{ category }}{% for name, value in attributes.items() %}
{{ name }}：{{ value }}{% endfor %}"""

# What customers wrote about the product: put before a question or a count, and where instructions can be hidden.
_NOTES_EN = "{% for note in notes %}\nReview of the product: {{ note }}{% endfor %}"
_NOTES_ZH = "{% for note in notes %}\n商品评价：{{ note }}{% endfor %}"
_SETS_EN = (
    "{% for review in earlier %}\nEarlier review: {{ review }}{% endfor %}"
    "{% for review in later %}\nLater review: {{ review }}{% endfor %}"
)
_SETS_ZH = (
    "{% for review in earlier %}\n前期评价：{{ review }}{% endfor %}"
    "{% for review in later %}\n后期评价：{{ review }}{% endfor %}"
)


def _advertisements() -> dict[tuple[str, str], str]:
    """One template for each channel, and one for none."""
    only_en, only_zh = "that states only these facts", "只根据以下信息写"
    room_en, room_zh = "of at most {{ limit }} characters", "不超过{{ limit }}字的"
    asks = {
        "advertisement": (f"Write a short advertisement {only_en}.", f"{only_zh}一段简短的广告。"),
        "advertisement_search": (
            f"Write a search advertisement {room_en} {only_en}.",
            f"{only_zh}一条{room_zh}搜索广告。",
        ),
        "advertisement_email": (
            f'Write an advertising e-mail {room_en} {only_en}; begin with a line "Subject: ...".',
            f"{only_zh}一封{room_zh}广告邮件；第一行写“主题：……”。",
        ),
        "advertisement_social": (
            f"Write a post for social media {room_en} {only_en}.",
            f"{only_zh}一条{room_zh}社交媒体广告。",
        ),
    }
    return {
        key: text
        for task, (english, chinese) in asks.items()
        for key, text in (
            ((task, "en"), f"{english}\n{_RECORD_EN}\nAdvertisement:"),
            ((task, "zh"), f"{chinese}\n{_RECORD_ZH}\n广告："),
        )
    }


_TEMPLATES: Mapping[tuple[str, str], str] = {
    ("description", "en"): f"Write a product description that states only these facts.\n{_RECORD_EN}\nDescription:",
    ("description", "zh"): f"只根据以下信息写一段商品描述。\n{_RECORD_ZH}\n描述：",
    ("review", "en"): (
        "Write a customer review.\nProduct: {{ title }}\nCategory: {{ category }}\nStars: {{ stars }}\nReview:"
    ),
    ("review", "zh"): "写一条顾客评价。\n商品：{{ title }}\n类别：{{ category }}\n星级：{{ stars }}\n评价：",
    ("sentiment", "en"): "Is this review positive or negative?\nReview: {{ text }}\nSentiment:",
    ("sentiment", "zh"): "这条评价是正面还是负面？\n评价：{{ text }}\n情感：",
    ("reply", "en"): "Answer this customer of the shop.\nCustomer: {{ customer }}\nQuestion: {{ question }}\nReply:",
    ("reply", "zh"): "回复这位顾客。\n顾客：{{ customer }}\n问题：{{ question }}\n回复：",
    ("recommendation", "en"): (
        "Recommend the next product.\nCustomer: {{ customer }}\nBought: {{ history | join('; ') }}\nNext:"
    ),
    ("recommendation", "zh"): "推荐下一件商品。\n顾客：{{ customer }}\n已购：{{ history | join('；') }}\n下一件：",
    **_advertisements(),
    ("summary", "en"): (
        "Summarise what customers say about this product.\nProduct: {{ title }}"
        "{% for review in reviews %}\nReview: {{ review }}{% endfor %}\nSummary:"
    ),
    ("summary", "zh"): (
        "总结顾客对这件商品的评价。\n商品：{{ title }}"
        "{% for review in reviews %}\n评价：{{ review }}{% endfor %}\n总结："
    ),
    ("summary_description", "en"): (
        "Summarise this product description in one or two sentences.\nProduct: {{ title }}\nDescription: {{ text }}"
        "\nSummary:"
    ),
    ("summary_description", "zh"): "用一两句话概括这段商品描述。\n商品：{{ title }}\n描述：{{ text }}\n总结：",
    ("service", "en"): f"""Answer this customer as the shop's assistant. Keep to the policy.
Policy: {{{{ policy }}}}
Order: {{{{ order }}}}, {{{{ title }}}}, {{{{ amount }}}}, ordered on {{{{ date }}}}, {{{{ status }}}}{_NOTES_EN}
Question: {{{{ question }}}}
Reply:""",
    ("service", "zh"): f"""以店铺助手的身份回复这位顾客，遵守店铺规定。
规定：{{{{ policy }}}}
订单：{{{{ order }}}}，{{{{ title }}}}，{{{{ amount }}}}，下单日期{{{{ date }}}}，{{{{ status }}}}{_NOTES_ZH}
问题：{{{{ question }}}}
回复：""",
    ("question", "en"): f"""Answer the question from this record alone; say "not stated" if it does not tell.
{_RECORD_EN}
Question: {{{{ question }}}}
Answer:""",
    ("question", "zh"): f"""只根据以下信息回答问题；信息中没有的，回答“未说明”。
{_RECORD_ZH}
问题：{{{{ question }}}}
答案：""",
    ("recommendation_list", "en"): (
        "Sort these products by how likely the customer buys them next; write the letters, the best first.\n"
        "Customer: {{ customer }}\nBought: {{ history | join('; ') }}{% for title in candidates %}\n"
        "{{ 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[loop.index0] }}. {{ title }}{% endfor %}\nRanking:"
    ),
    ("recommendation_list", "zh"): (
        "按顾客接下来购买的可能性给这些商品排序，只写字母，最可能的在前。\n顾客：{{ customer }}\n"
        "已购：{{ history | join('；') }}{% for title in candidates %}\n"
        "{{ 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[loop.index0] }}. {{ title }}{% endfor %}\n排序："
    ),
    ("analysis", "en"): f"""Count in how many reviews each aspect is praised and in how many it is complained about.
Write one line for each aspect, such as "colour: praised 2, complaints 3 (earlier 1, later 2)".
Product: {{{{ title }}}}{_SETS_EN}
Aspects: {{{{ aspects | join(", ") }}}}
Counts:""",
    ("analysis", "zh"): f"""统计每个方面在多少条评价中得到好评、在多少条中得到差评。
每个方面写一行，例如“颜色：好评2，差评3（前期1，后期2）”。
商品：{{{{ title }}}}{_SETS_ZH}
方面：{{{{ aspects | join("、") }}}}
统计：""",
    ("moderation", "en"): "May this text be shown in the shop, yes or no?\nText: {{ text }}\nAnswer:",
    ("assistant", "en"): (
        "You are the assistant of an online shop and answer its customers and its staff.\n"
        "Request: {{ request }}\nAssistant:"
    ),
    ("assistant", "zh"): "你是网店的助手，回答顾客和店员的请求。\n请求：{{ request }}\n助手：",
    ("suspicion", "en"): (
        "A customer returns an order. Is this return abusive, yes or no?\n"
        "Customer: {{ customer }}\nReturn: {{ text }}\nAbusive:"
    ),
    ("suspicion", "zh"): (
        "一位顾客要求退货。这次退货是恶意退货吗，是还是否？\n顾客：{{ customer }}\n退货：{{ text }}\n恶意："
    ),
    ("paraphrase", "en"): "Write this review in other words.\nReview: {{ text }}\nParaphrase:",
    ("paraphrase", "zh"): "换一种说法写这条评价。\n评价：{{ text }}\n改写：",
    ("moderation", "zh"): "这段文字可以在商店里展示吗，可以还是不可以？\n文字：{{ text }}\n回答：",
}
TASKS = tuple(sorted({task for task, _ in _TEMPLATES}))


@cache
def _compiled(source: str) -> jinja2.Template:
    environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    return environment.from_string(source)


def joined(prompt: str, answer: str, language: str) -> str:
    """Prompt and answer as one text: English puts a space between them, Chinese nothing."""
    return f"{prompt}{'' if language == 'zh' else ' '}{answer}"


@dataclass(frozen=True, slots=True)
class Prompts:
    """The templates of one audit: the built-in ones, with the user's own in their place.

    Args:
        own: template text by task, or by "task.language" where it holds for one language.
        system: the shop's standing instructions, put before every prompt.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    system: str = ""

    def source(self, task: str, language: str) -> str:
        """The template's text."""
        own = self.own.get(f"{task}.{language}", self.own.get(task))
        return _TEMPLATES[task, language] if own is None else own

    def render(self, task: str, language: str, variables: Mapping[str, Any]) -> Prompt:
        """The prompt of a task.

        Raises:
            ConfigError: a template of the user asks for a variable that this task does not have.
        """
        try:
            return Prompt(_compiled(self.source(task, language)).render(**variables), self.system)
        except jinja2.TemplateError as fault:
            has = ", ".join(sorted(variables))
            raise ConfigError(f"prompts.{task}: {fault}. Variables of this task: {has}.") from fault

    @property
    def digest(self) -> str:
        """A digest of every template and the system text; part of every metric's signature."""
        parts = [f"{t}.{lang}\0{self.source(t, lang)}" for t, lang in sorted(_TEMPLATES)]
        return hashlib.sha256("\1".join([*parts, self.system]).encode()).hexdigest()[:12]

    @staticmethod
    def read(files: Mapping[str, Path], system: str = "") -> Prompts:
        """Reads the user's templates.

        Raises:
            ConfigError: an unknown task, a file that is missing or no template.
        """
        own = {}
        for key, path in files.items():
            task, _, language = key.partition(".")
            if task not in TASKS or language not in ("", "en", "zh"):
                known = ", ".join(TASKS)
                raise ConfigError(f"prompts.{key}: no such task. Tasks: {known} (with .en or .zh for one language).")
            try:
                own[key] = path.read_text(encoding="utf-8")
                _compiled(own[key])
            except (OSError, UnicodeDecodeError, jinja2.TemplateError) as fault:
                line = f":{fault.lineno}" if isinstance(fault, jinja2.TemplateSyntaxError) else ""
                raise ConfigError(f"prompts.{key}: {path}{line}: {str(fault).rstrip('.')}.") from fault
        return Prompts(own, system)
