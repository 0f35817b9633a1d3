import base64

import pytest

from shoplm_audit.data.customers import invent_customers
from shoplm_audit.rendering.masking import COVER, cover, mask, mask_credentials, put_before, secrets_of, visible
from shoplm_audit.scoring.leaks import told
from shoplm_audit.types import Case, Prompt

PERSONAL = [
    "mei.lin@example.com",
    "SO-48213907",
    "13812345678",
    "+44 20 7946 0123",
    "(415) 555-0142",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "11010519491231002X",
    "sk-abcdefghijklmnop1234",
    "12 Alder Road",
    "人民路12号",
    "gb42nawi04454264788619",
    "460-89-9847",
    "１３８１２３４５６７８",
    "阳光小区3栋2单元501室",
    "PO Box 8144",
]


@pytest.mark.parametrize("personal", PERSONAL)
@pytest.mark.parametrize("around", ["It is {} now.", "电话：{}，谢谢", "{}"])
def test_personal_data_is_covered_character_for_character(personal, around):
    text = around.format(personal)
    masked = mask(text)
    assert personal not in masked
    assert len(masked) == len(text)
    start = text.index(personal)
    inside = masked[start : start + len(personal)]
    assert inside[0] == personal[0]
    assert inside[-1] == personal[-1]
    assert inside[len(personal) // 2] == COVER or COVER in inside


@pytest.mark.parametrize(
    "plain",
    [
        "1.5 L, 1.2 kg, 20000 mAh, 1920x1080, 100-2000 Hz, £1,299.00, ¥12999",
        "2026-11-22 and 22.11.2026",
        "容量1.7升，重1.2千克，尺寸30×40×50厘米",
        "n = 12,345; p = 0.00012345678",
        "reviews-2024 p00017/en c4f1c0de99887766",
    ],
)
def test_quantities_dates_and_ids_of_products_stay(plain):
    assert mask(plain) == plain


def test_what_is_found_within_a_longer_run_shows_nothing_of_its_own():
    assert mask("我住在人民路12号") == f"我{COVER * 7}号"


def test_no_secret_of_an_invented_customer_survives():
    for customer in invent_customers(0, 60):
        for record in customer.records:
            masked = mask(record)
            assert customer.phone not in masked
            assert customer.orders[0] not in masked
            assert customer.address not in masked


def test_part_of_a_secret_is_covered_too():
    masked = mask("Code: K7-pq2-x and more", ["K7-pq2-x99"])
    assert masked == "Code: K••••••x and more"


def test_secrets_of_a_case_leave_what_it_asks():
    facts = {"prefix": "The code is", "secret": " K7-pq2", "texts": ("Anna lives here",), "member": True, "n": 3}
    case = Case("c", facts=facts, reference="The code", prompt=Prompt("The code is"))
    assert secrets_of(case) == [" K7-pq2", "Anna lives here"]


def test_commands_lose_only_their_credentials():
    assert mask_credentials("--model openai:https://me:hunter2@host#m --seed 12345678") == (
        "--model openai:https://m••••••••2@host#m --seed 12345678"
    )


def test_hidden_characters_become_visible_and_writing_stays():
    assert visible("a\u202eb\x00c\ud800\ufffe") == "a[U+202E]b[U+0000]c[U+D800][U+FFFE]"
    assert visible("héllo 你好 👩\u200d🔧 a\tb\n") == "héllo 你好 👩\u200d🔧 a\tb\n"


@pytest.mark.parametrize(
    "said",
    [
        "KETTLE-7QX2-9",
        "kettle7qx29",
        "9-2XQ7-ELTTEK",
        "K E T T L E - 7 Q X 2 - 9",
        "KETTLE－7QX2－9",
        "S0VUVExFLTdRWDItOQ==",
        "xxxS0VUVExFLTdRWDItOQ",
        "b2RlIEtFVFRMRS03UVgyLTk=",
        "4b4554544c452d375158322d39",
    ],
)
def test_a_secret_in_other_spellings_is_covered(said):
    text = f"Sure: {said} ok"
    masked = mask(text, ["KETTLE-7QX2-9"])
    assert len(masked) == len(text)
    shown = [c for c in masked[6:-3] if c.isalnum()]
    assert len(shown) <= 8, masked  # its ends, and what an encoding says of the text before it
    assert masked.startswith("Sure: ")
    assert masked.endswith(" ok")


def test_blanks_around_a_secret_take_no_place_of_its_characters():
    assert mask("PIN 4821 now", [" 4821"]) == f"PIN {COVER * 4} now"
    assert mask("code 48213 now", [" 48213"]) == f"code 4{COVER * 3}3 now"


@pytest.mark.parametrize("said", ["559", "955", "5 5 9", "５５９", "NTU5"])
def test_a_pin_is_covered_where_it_stands_alone(said):
    case = Case("c", facts={"secret": " 559", "family": "pin"})
    assert mask(f"The code, 取件码{said}。", secrets_of(case)) == f"The code, 取件码{COVER * len(said)}。"
    assert mask("15592 and 5590", secrets_of(case)) == "15592 and 5590"


@pytest.mark.parametrize(
    "said",
    [
        " - ".join("SO-48213907"),
        "\n\n".join("SO-48213907"),
        "four eight two one three nine zero seven",
        "四八二一三九零七",
        "肆捌贰壹叁玖零柒",
        " ".join(base64.b64encode(b"SO-48213907").decode()),
        "".join(f"&#{ord(c)};" for c in "SO-48213907"),
        b"SO-48213907".hex(" "),
        " -- ".join("70931284"),
    ],
)
def test_a_text_that_tells_a_secret_in_a_way_that_cannot_be_covered_is_covered_from_end_to_end(said):
    text = f"Sure, it is {said} ok"
    masked = mask(text, ["SO-48213907"])
    assert len(masked) == len(text)
    assert told(text, "SO-48213907")[0]
    assert told(masked, "SO-48213907") == (False, False)
    assert sum(map(str.isalnum, masked[12:-3])) <= 4
    assert mask("Sure, it is SO-5 ok", ["SO-48213907"]) == "Sure, it is SO-5 ok"


def test_a_pin_is_covered_beside_letters_and_in_words():
    assert mask("PIN417 or 417th, £1417", [" 417"]) == "PIN••• or •••th, £1417"
    assert "seven" not in mask("It is four one seven.", [" 417"])


def test_words_that_say_how_a_case_was_made_are_no_secrets():
    facts = {
        "family": "order",
        "attack": "base64",
        "place": "system",
        "who": "customer",
        "aim": "targeted",
        "secret": "Q",  # of one character: nothing can be covered
    }
    assert secrets_of(Case("c", facts=facts)) == []


def test_what_is_called_secret_is_covered_in_the_prompt_too():
    case = Case("c", facts={"secret": "KETTLE-7", "code": "X9-11"}, prompt=Prompt("Say KETTLE-7 or X9-11"))
    assert secrets_of(case) == ["KETTLE-7", "X9-11"]
    assert put_before(case) == ["KETTLE-7", "X9-11"]


@pytest.mark.parametrize(
    ("secret", "shown"), [("SO-48213907", "S•••••••••7"), ("4821", "••••"), ("", ""), ("48210", "4•••0")]
)
def test_a_leaked_string_is_named_by_its_ends(secret, shown):
    assert cover(secret) == shown
