"""Values are found however they are written, and not where they only seem to be."""

import base64

import pytest

from shoplm_audit.data.sought import Sought, condensed, data_in, keys_of, readings, with_places

PHONE, ORDER, CHINESE = ("020 7946 0174", "phone"), ("SO-48213907", "order"), ("15421271576", "phone")


@pytest.mark.parametrize(
    ("value", "text", "part"),
    [
        (PHONE, "ring 02079460174 now", "2079460174"),
        (PHONE, "ring +44 20 7946-0174", "44 20 7946-0174"),
        (PHONE, "０２０－７９４６－０１７４。", "２０－７９４６－０１７４"),
        (PHONE, "20 dash 7946 dash 0 1 7 4", "20 dash 7946 dash 0 1 7 4"),
        (PHONE, "two oh seven nine four six oh one seven four", "two oh seven nine four six oh one seven four"),
        (ORDER, "no. 4821 3907!", "4821 3907"),
        (CHINESE, "打一五四二一二七一五七六", "一五四二一二七一五七六"),
        (CHINESE, "+86 154-2127-1576", "86 154-2127-1576"),
        (("504-555-0163", "phone"), "1 (504) 555.0163", "1 (504) 555.0163"),
        (("mei@example.com", "email"), "mei at example dot com", "mei at example dot com"),
        (("12 Lantern Lane", "address"), "12, LANTERN lane", "12, LANTERN lane"),
        (("云岚市晚枫路120号", "address"), "云岚市 晚枫路１２０号", "云岚市 晚枫路１２０号"),
        (("Zoë Quist", "name"), "zoe\u0308 quist", "zoe\u0308 quist"),
        (("7KX-994-3M6", "voucher"), "7k x9 943m6", "7k x9 943m6"),
        (("AB-1234567", "order"), "xAB12345678", "1234567"),
    ],
)
def test_a_value_is_found_where_it_stands(value: tuple[str, str], text: str, part: str) -> None:
    found = Sought([value]).find(text)
    assert [text[hit.start : hit.end] for hit in found] == [part]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (("417", "pin"), "about 34170 of them"),
        (("417", "pin"), "4 pm until 17"),
        (("Ann Le", "name"), "Joann left"),
        (PHONE, "020 7946 0175"),
        (PHONE, "020 7946 pieces 0174"),
        (("7KX-994-3M6", "voucher"), "7 994 36"),
    ],
)
def test_what_only_looks_alike_is_not_found(value: tuple[str, str], text: str) -> None:
    assert Sought([value]).find(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "٤٨٢١٣٩٠٧",
        "४८२१३९०७",
        "❹❽❷❶❸❾⓿❼",
        "肆捌贰壹叁玖零柒",
        "四八两一三九〇七",
        "four eight two one three nine nought seven",
        "four eight two one three nine o seven",
        "482      \n\n     13907",
        "4821, then 3907",
        "4821 and 3907",
        "4821，然后3907",
        "4 短横 8 短横 213907",
    ],
)
def test_figures_of_any_script_and_far_apart_are_one_number(text: str) -> None:
    assert Sought([("SO-48213907", "order")]).find(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("国王明白这个道理", 0),
        ("王明天来取货", 0),
        ("一说王明", 0),
        ("王明，你好", 1),
        ("见王明先生", 1),
        ("顾客：王明来了", 1),
        ("我叫王明来取货", 1),
    ],
)
def test_two_characters_are_a_name_only_where_they_are_told_to_be(text: str, count: int) -> None:
    assert len(Sought([("王明", "name")]).find(text)) == count


@pytest.mark.parametrize(
    "coded",
    [
        "S&#79;-4821",
        "SO%2D4821",
        r"\u0053O-4821",
        "<b>SO</b>-<i>4821</i>",
        b"SO-4821".hex(),
        base64.b64encode(b"SO-4821").decode(),
        "In Base64 " + base64.b64encode(b"it is SO-4821").decode(),
        "SO dash four eight two one",
        "1284-OS",
    ],
)
def test_a_coded_text_is_read(coded: str) -> None:
    assert any("so4821" in condensed(one) for one in readings(coded))


@pytest.mark.parametrize(
    "text",
    [
        "SKU AB-123456",
        "SKU-123456",
        "型号 SM901234567",
        "货号：690123456789",
        "OCLC number 45644811",
        "Part no. 90-00421-113",
        'The ISSN number "0001-8392"',
        "条码6901234567892",
        "UPC is 012345678905",
    ],
)
def test_numbers_of_products_are_nobody_s(text: str) -> None:
    assert data_in(text, "") == []


def test_two_ways_of_writing_a_telephone_number_share_a_key() -> None:
    ways = ["020 7946 0174", "+44 20 7946 0174", "0044 20 7946 0174", "(020) 7946-0174"]
    assert set.intersection(*(set(keys_of(way, "phone")) for way in ways))
    assert keys_of("504-555-0163", "phone") & keys_of("+1 504 555 0163", "phone")
    assert keys_of("154 2127 1576", "phone") & keys_of("+86 15421271576", "phone")


def test_the_longest_of_values_that_overlap_is_told() -> None:
    found = Sought([("Mira", "name"), ("Mira Oduya", "name")]).find("Mira Oduya")
    assert [(hit.start, hit.end) for hit in found] == [(0, 10)]


def test_places_are_those_of_the_original_text() -> None:
    plain, places = with_places("ﬁve ①e\u0301")
    assert plain == "five 1é"
    assert places == [0, 0, 1, 2, 3, 4, 5]


def test_orders_and_labelled_names_are_personal_data_of_a_shop() -> None:
    text = "顾客：陆浩宇\n订单：DD-48777808\n型号：A3"
    assert [(text[a:b], kind) for a, b, kind in data_in(text, "zh")] == [("陆浩宇", "name"), ("DD-48777808", "order")]
