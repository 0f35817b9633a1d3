"""What files of a shop are read as, and how the rows that are none are told."""

from __future__ import annotations

import csv
import doctest
import gzip
import json
import math
import re
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from shoplm_audit.data import cells
from shoplm_audit.data.layouts import FIELDS, LAYOUTS
from shoplm_audit.data.readers import check_file, guess_kind, language_of, read_records
from shoplm_audit.data.records import Dialogue, Interaction, Product, Record, Review, Text
from shoplm_audit.errors import ConfigError, DataError
from shoplm_audit.types import Turn

REAL = Path(__file__).parents[2] / ".." / "shared" / "data"
Rows = Sequence[Mapping[str, object]]


def write(path: Path, rows: Rows) -> Path:
    """Writes rows in the format that the name tells; absent cells stay empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, columns, dialect="excel-tab" if path.suffix == ".tsv" else "excel")
            writer.writeheader()
            writer.writerows(rows)
    else:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def one(kind: str, path: Path, mapping: Mapping[str, str] | None = None) -> Record:
    (record,) = read_records(kind, path, mapping=mapping)
    return record


def fault(kind: str, path: Path, mapping: Mapping[str, str] | None = None) -> str:
    with pytest.raises(DataError) as raised:
        list(read_records(kind, path, mapping=mapping))
    return str(raised.value)


# The same records from every format ----------------------------------------------------------------

REVIEWS = [
    {"id": "a", "product": "p1", "text": 'Warm, "very" warm\nand navy', "rating": 4.5, "user": "u1", "label": "1"},
    {"id": "b", "product": "p2", "text": "颜色很好看，\t质量一般", "rating": 1.0, "user": "u2", "label": "0"},
]
EXPECTED = [
    Review("a", "p1", 'Warm, "very" warm\nand navy', 4.5, "u1", label="positive"),
    Review("b", "p2", "颜色很好看，\t质量一般", 1.0, "u2", label="negative", language="zh"),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz"])
def test_every_format_gives_the_same_records(tmp_path: Path, suffix: str) -> None:
    assert list(read_records("reviews", write(tmp_path / f"reviews{suffix}", REVIEWS))) == EXPECTED


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_a_byte_order_mark_and_windows_line_ends_are_tolerated(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"reviews{suffix}", [{"product": "p", "text": "good"}])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    record = one("reviews", path)
    assert isinstance(record, Review)
    assert (record.product, record.text) == ("p", "good")


def test_line_separators_inside_a_json_string_do_not_end_the_row(tmp_path: Path) -> None:
    path = write(tmp_path / "texts.jsonl", [{"text": "one\u2028two\x85three"}])
    assert one("texts", path) == Text("texts.jsonl:1", "one\u2028two\x85three")


def test_semicolons_and_tabs_under_the_name_csv_are_seen_from_the_header(tmp_path: Path) -> None:
    for sign in ";\t":
        path = tmp_path / "reviews.csv"
        path.write_text(f"product{sign}text\np1{sign}soft, warm\n", encoding="utf-8")
        record = one("reviews", path)
        assert isinstance(record, Review)
        assert (record.product, record.text) == ("p1", "soft, warm")


def test_plain_text_is_one_text_a_line_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("first\n\n第二行文字\n", encoding="utf-8")
    assert list(read_records("texts", path)) == [
        Text("corpus.txt:1", "first"),
        Text("corpus.txt:3", "第二行文字", language="zh"),
    ]
    assert "not reviews" in fault("reviews", path)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".jsonl.gz"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, suffix: str) -> None:
    def peak(rows: int) -> int:
        made = [{"product": f"p{n}", "text": f"review {n} " + "x" * 200} for n in range(rows)]
        path = write(tmp_path / f"{rows}{suffix}", made)
        del made
        list(read_records("reviews", write(tmp_path / f"warm{suffix}", [{"product": "p", "text": "t"}])))
        tracemalloc.start()
        count = sum(1 for _ in read_records("reviews", path))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == rows
        return highest

    # 9,000 rows that were held would be more than 3 MB.
    assert peak(11_000) < peak(2_000) + 500_000


# Layouts -------------------------------------------------------------------------------------------

LAYOUT_ROWS: list[tuple[str, str, Mapping[str, object], Record]] = [
    (
        "reviews",
        "Amazon Reviews 2014/2018",
        {
            "reviewerID": "A1",
            "asin": "B01",
            "reviewText": "Fits.",
            "overall": 5.0,
            "summary": "Good",
            "unixReviewTime": 1441324800,
        },
        Review("f.jsonl:1", "B01", "Fits.", 5.0, "A1", "Good", "2015-09-04T00:00:00Z"),
    ),
    (
        "reviews",
        "Amazon Reviews 2023",
        {
            "rating": 2,
            "title": "Meh",
            "text": "Broke.",
            "asin": "B02",
            "parent_asin": "B00",
            "user_id": "AE",
            "timestamp": 1588615855070,
        },
        Review("f.jsonl:1", "B00", "Broke.", 2.0, "AE", "Meh", "2020-05-04T18:10:55Z"),
    ),
    (
        "reviews",
        "Amazon Reviews, trimmed",
        {"user": "u", "rating": 3.0, "reviewText": "Fine.", "summary": "So so"},
        Review("f.jsonl:1", "", "Fine.", 3.0, "u", "So so"),
    ),
    (
        "reviews",
        "Yelp",
        {
            "review_id": "r",
            "user_id": "u",
            "business_id": "b",
            "stars": 4,
            "text": "Nice.",
            "date": "2018-07-07 22:09:11",
        },
        Review("r", "b", "Nice.", 4.0, "u", time="2018-07-07 22:09:11"),
    ),
    (
        "reviews",
        "label, review",
        {"cat": "书籍", "label": 0, "review": "内容很差"},
        Review("f.jsonl:1", "", "内容很差", math.nan, label="negative", language="zh", category="书籍"),
    ),
    (
        "products",
        "E2E",
        {"mr": "name[The Eagle], eatType[coffee shop], customer rating[5 out of 5]", "ref": "The Eagle is rated 5."},
        Product(
            "f.jsonl:1",
            "The Eagle",
            "coffee shop",
            {"eatType": "coffee shop", "customer rating": "5 out of 5"},
            "The Eagle is rated 5.",
        ),
    ),
    (
        "products",
        "AdvertiseGen",
        {"content": "类型#裙*材质#针织*风格#复古*风格#文艺*风格#复古", "summary": "这款针织裙"},
        Product("f.jsonl:1", "裙", "裙", {"材质": "针织", "风格": "复古、文艺"}, "这款针织裙", language="zh"),
    ),
    (
        "products",
        "Amazon products",
        {
            "parent_asin": "B1",
            "title": "Kettle",
            "main_category": "Kitchen",
            "details": {"Colour": "navy", "Parts": ["lid", "base"], "Empty": None, "Cordless": True, "Litres": 2.0},
            "price": 12.5,
            "description": ["Boils.", "Fast."],
        },
        Product(
            "B1",
            "Kettle",
            "Kitchen",
            {"Colour": "navy", "Parts": "lid, base", "Cordless": "yes", "Litres": "2"},
            "Boils., Fast.",
            "12.5",
        ),
    ),
    (
        "products",
        "product table",
        {"name": "lg dishwasher", "brand": "lg", "price": None},
        Product("f.jsonl:1", "lg dishwasher", "", {"brand": "lg"}),
    ),
    (
        "dialogues",
        "turns",
        {"turns": [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Hello"}], "intent": "greet"},
        Dialogue("f.jsonl:1", (Turn("user", "Hi"), Turn("assistant", "Hello")), intent="greet"),
    ),
    (
        "dialogues",
        "turns",
        {"conversations": '[{"from": "human", "value": "能退货吗"}, {"from": "gpt", "value": "可以"}]'},
        Dialogue("f.jsonl:1", (Turn("user", "能退货吗"), Turn("assistant", "可以")), language="zh"),
    ),
    (
        "dialogues",
        "question, answer",
        {"question": "Where?", "answer": "Here.", "product": "p"},
        Dialogue("f.jsonl:1", (Turn("user", "Where?"), Turn("assistant", "Here.")), "p"),
    ),
    (
        "dialogues",
        "Bitext, questions only",
        {"utterance": "cancel it", "intent": "cancel_order"},
        Dialogue("f.jsonl:1", (Turn("user", "cancel it"),), intent="cancel_order"),
    ),
    (
        "interactions",
        "interactions",
        {"user": "u", "product": "p", "rating": 5, "time": "2020"},
        Interaction("u", "p", "2020", 5.0),
    ),
    (
        "interactions",
        "Amazon Reviews",
        {"user_id": "u", "parent_asin": "p", "rating": 1, "timestamp": "1588615855"},
        Interaction("u", "p", "2020-05-04T18:10:55Z", 1.0),
    ),
    ("texts", "texts", {"text": "buy now", "label": 1}, Text("f.jsonl:1", "buy now", "1")),
]


@pytest.mark.parametrize(("kind", "layout", "row", "record"), LAYOUT_ROWS, ids=[f"{r[0]}-{r[1]}" for r in LAYOUT_ROWS])
def test_layouts_are_recognised(
    tmp_path: Path, kind: str, layout: str, row: Mapping[str, object], record: Record
) -> None:
    path = write(tmp_path / "f.jsonl", [row])
    assert repr(one(kind, path)) == repr(record)  # repr, as nan is not equal to itself
    check = check_file(kind, path)
    assert (check.layout, check.rows, check.bad, check.unused) == (layout, 1, 0, ())
    assert guess_kind(path) == kind


def test_every_layout_names_only_fields_of_its_kind_and_lower_case_columns() -> None:
    for kind, layouts in LAYOUTS.items():
        for layout in layouts:
            assert {*layout.columns, *layout.needed, *layout.derived} <= set(FIELDS[kind]), layout.name
            columns = [c for each in (*layout.columns.values(), *layout.signs) for c in each]
            assert columns == [column.casefold() for column in columns], layout.name


@pytest.mark.parametrize(
    "row",
    [
        {"attributes": {"colour": "navy", "weight": "1.2 kg"}},
        {"attributes": '{"colour": "navy", "weight": "1.2 kg"}'},
        {"attributes": "colour=navy; weight = 1.2 kg;"},
        {"attributes": ["colour=navy", "weight=1.2 kg"]},
        {"attributes.colour": "navy", "attributes.weight": "1.2 kg"},
        {"attributes": "", "spec": "colour=navy;weight=1.2 kg"},
        {"spec 1": "colour=navy", "spec 2": "weight=1.2 kg"},
        {"colour": "navy", "weight": "1.2 kg"},
        {"attributes": "name[Kettle], colour[navy], weight[1.2 kg]", "id": None, "name": ""},
    ],
)
def test_attributes_are_read_from_every_form(tmp_path: Path, row: Mapping[str, object]) -> None:
    record = one("products", write(tmp_path / "f.jsonl", [{"id": "1", "title": "Kettle", "category": "k"} | row]))
    assert isinstance(record, Product)
    assert {k: v for k, v in record.attributes.items() if k != "name"} == {"colour": "navy", "weight": "1.2 kg"}


def test_parquet_maps_and_structs_are_attributes(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    cells_ = pyarrow.array([[("colour", "navy")]], type=pyarrow.map_(pyarrow.string(), pyarrow.string()))
    table = pyarrow.table({"id": ["1"], "title": ["Kettle"], "category": ["k"], "attributes": cells_})
    pyarrow.parquet.write_table(table, tmp_path / "f.parquet")
    record = one("products", tmp_path / "f.parquet")
    assert isinstance(record, Product)
    assert record.attributes == {"colour": "navy"}


def test_columns_that_no_field_is_read_from_are_named_by_the_check(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("Title,Brand,Note,url\nKettle,Norvik,see below,http://x.y/?id=3&b=4\n", encoding="utf-8")
    check = check_file("products", path)
    assert check.columns == {"title": "Title", "attributes": "Brand"}
    assert check.unused == ("Note", "url")


# Mapping -------------------------------------------------------------------------------------------


def test_mapped_columns_give_the_fields_of_an_unknown_file(tmp_path: Path) -> None:
    path = tmp_path / "hotels.csv"
    path.write_text("hotel,polarity,Review Body,stars\nconrad,negative,Dusty room,2\n", encoding="utf-8")
    mapping = {"product": "hotel", "label": "polarity", "text": "review body", "rating": "stars"}
    assert one("reviews", path, mapping) == Review("hotels.csv:2", "conrad", "Dusty room", 2.0, label="negative")


def test_an_empty_mapping_says_that_there_is_no_such_column(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [{"text": "Warm.", "rating": 5}])
    assert "--map product=COLUMN (--map product= if there is none)" in fault("reviews", path)
    record = one("reviews", path, {"product": ""})
    assert isinstance(record, Review)
    assert (record.product, record.rating) == ("", 5.0)


def test_a_mapped_column_overrules_the_layout(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [{"product": "p", "text": "short", "body": "the whole", "Farbe": "x"}])
    record = one("reviews", path, {"text": "body"})
    assert isinstance(record, Review)
    assert record.text == "the whole"


def test_an_attribute_can_be_mapped_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"title": "Kettle", "Farbe": "navy"}])
    record = one("products", path, {"attributes.colour": "Farbe"})
    assert isinstance(record, Product)
    assert record.attributes == {"colour": "navy"}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_mapped_column_that_does_not_exist_is_an_error_even_for_an_optional_field(
    tmp_path: Path, suffix: str
) -> None:
    path = write(tmp_path / f"r{suffix}", [{"product": "p", "text": "t", "date": "2020"}])
    message = fault("reviews", path, {"time": "dat"})
    assert '--map time=dat: there is no column "dat", only "product", "text", "date"' in message


@pytest.mark.parametrize(
    ("kind", "mapping", "words"),
    [
        ("reviews", {"txt": "body"}, 'no field "txt"'),
        ("reviews", {"attributes.colour": "c"}, "no field"),
        ("reviews", {"text": ""}, "cannot do without it"),
        ("products", {"attributes.colour": ""}, "cannot do without it"),
        ("orders", {}, '"orders" is no kind of data. Kinds: products, reviews'),
    ],
)
def test_options_that_do_not_fit_are_refused_before_a_row_is_read(
    tmp_path: Path, kind: str, mapping: Mapping[str, str], words: str
) -> None:
    path = write(tmp_path / "r.jsonl", [{"product": "p", "text": "t"}])
    with pytest.raises(ConfigError, match=words):
        read_records(kind, path, mapping=mapping)


# Bad rows ------------------------------------------------------------------------------------------


def test_a_bad_row_is_told_by_file_line_and_remedy(tmp_path: Path) -> None:
    good = {"product": "p", "text": "fine"}
    path = write(tmp_path / "reviews.jsonl", [good] * 16 + [{"product": "p"}])
    assert fault("reviews", path) == (
        'reviews.jsonl:17: not a review: missing "text". '
        "Give the column with --map text=COLUMN, or drop such rows with --skip-bad-rows."
    )


def test_all_faults_of_a_row_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [{"rating": 9, "label": "spam", "language": "fr", "title": {"a": 1}}])
    message = fault("reviews", path)
    for words in ('missing "product" and "text"', '"rating" is "9"', '"label" is "spam"', '"language" is "fr"'):
        assert words in message
    assert '"title" is an object' in message


BAD_ROWS: list[tuple[str, str, str]] = [
    ("reviews", '{"product": "p", "text": "  \\ufeff "}', '"text" is empty'),
    ("reviews", '{"product": "p", "text": "t", "rating": 0}', "from 1 to 5"),
    ("reviews", '{"product": "p", "text": "t", "rating": "five"}', '"rating" is "five"'),
    ("reviews", '{"product": "p", "text": "t", "rating": 1e999}', "from 1 to 5"),
    ("reviews", '{"product": "p", "text": "t", "rating": true}', "from 1 to 5"),
    ("reviews", '{"product": "p", "text": "t", "rating": "nan"}', "from 1 to 5"),
    ("reviews", '{"product": "p", "text": "a\\u0000b"}', "NUL"),
    ("reviews", '{"product": "p", "text": "a\\ud83d"}', "surrogate"),
    ("reviews", '{"product": "p", "text": "t", "label": 2}', "positive or negative"),
    ("reviews", '{"product": "p", "text": "t"', "not JSON: Expecting ',' delimiter at column 29"),
    ("reviews", '["p", "t"]', "not a JSON object"),
    ("reviews", "[" * 100_000, "not JSON"),
    ("reviews", '{"product": "p", "text": "t", "rating": ' + "9" * 5000 + "}", "not JSON that can be read"),
    ("reviews", '{"product": "p", "text": "t", "Text": "u"}', "differ only in case"),
    ("products", '{"id": "1", "title": "t", "category": "c"}', 'missing "attributes"'),
    ("products", '{"id": "1", "title": "t", "category": "c", "attributes": "navy"}', "name=value"),
    ("products", '{"id": "1", "title": "t", "category": "c", "attributes": {"a": {"b": 1}}}', "an object"),
    ("products", '{"id": "1", "title": "t", "category": "c", "attributes": {" ": "navy"}}', "without a name"),
    ("products", '{"mr": "eatType[pub]"}', 'hold no "name"'),
    ("products", '{"mr": "name[Eagle, eatType[pub]"}', "name=value"),
    ("dialogues", '{"question": "Where?"}', 'missing "answer"'),
    ("dialogues", '{"turns": []}', '"turns" is empty'),
    ("dialogues", '{"turns": [{"role": "pilot", "text": "x"}]}', 'the role "pilot" in turn 1'),
    ("dialogues", '{"turns": [{"role": "user", "text": "x"}, {"role": "user"}]}', "no text in turn 2"),
    ("interactions", '{"user": "u"}', 'missing "product"'),
    ("texts", '{"label": "x"}', 'missing "text"'),
]


@pytest.mark.parametrize(("kind", "row", "words"), BAD_ROWS, ids=[f"{k}: {w}" for k, _, w in BAD_ROWS])
def test_a_broken_row_is_an_error_and_can_be_skipped_but_not_in_silence(
    tmp_path: Path, kind: str, row: str, words: str
) -> None:
    good = {
        "reviews": {"product": "p", "text": "t"},
        "products": {"mr": "name[E]"}
        if '"mr"' in row
        else {"id": "1", "title": "t", "category": "c", "attributes": "a=b"},
        "dialogues": {"question": "q", "answer": "a"},
        "interactions": {"user": "u", "product": "p"},
        "texts": {"text": "t"},
    }[kind]
    if '"turns"' in row:
        good = {"turns": [{"role": "user", "text": "x"}]}
    path = tmp_path / "f.jsonl"
    path.write_text(f"{json.dumps(good)}\n{row}\n\n{json.dumps(good)}\n", encoding="utf-8")
    message = fault(kind, path)
    assert message.startswith("f.jsonl:2: ")
    assert words in message
    assert "--skip-bad-rows" in message
    assert "\n" not in message
    told: list[str] = []
    assert len(list(read_records(kind, path, skip_bad_rows=True, on_bad=told.append))) == 2
    assert told == [message]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("product,text\np,t\np\np,t\n", "3: 1 columns where the header has 2"),
        ("product,text\np,t\np,t,x\np,t\n", "3: 3 columns where the header has 2"),
        ('product,text\np,t\np,"a"b\np,t\n', "3: broken quoting"),
        (
            'product,text\np,t\np,t\np,"never closed\np,t\n',
            "4: broken quoting: unexpected end of data (read on to line 5)",
        ),
        ("product,text\np,t\np,a\0b\np,t\n", '3: not a review: "text" holds a NUL byte'),
        ('product,text\n"p\n1",t\n"p\n2",\np,t\n', '4: not a review: "text" is empty'),
        ("\n\nproduct,text\n\np,t\n\np,\np,t\n", '7: not a review: "text" is empty'),
    ],
)
def test_broken_csv_rows_are_told_by_the_line_they_begin_at(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert fault("reviews", path).startswith(f"f.csv:{words}")
    told: list[str] = []
    assert len(list(read_records("reviews", path, skip_bad_rows=True, on_bad=told.append))) == 2
    assert len(told) == 1


def test_rows_skipped_without_a_listener_are_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [{"product": "p", "text": "t"}, {"product": "p"}])
    with pytest.warns(UserWarning, match=r'^r\.jsonl:2: not a review: missing "text"'):
        assert len(list(read_records("reviews", path, skip_bad_rows=True))) == 1


def test_a_huge_field_is_read_and_one_without_an_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"product,text\np,{'x' * 1_000_000}\n", encoding="utf-8")
    record = one("reviews", path)
    assert isinstance(record, Review)
    assert len(record.text) == 1_000_000
    path.write_text('product,text\np,"' + ("x" * 9_999 + "\n") * 1_700, encoding="utf-8")
    assert "f.csv:2: broken quoting: field larger than field limit" in fault("reviews", path)


def test_a_file_without_any_good_row_is_an_error_even_when_bad_ones_are_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [{"text": "t"}] * 3)
    with pytest.raises(DataError, match=r"none of its 3 rows is a review\. First: r\.jsonl:1: .*missing \"product\""):
        list(read_records("reviews", path, skip_bad_rows=True, on_bad=lambda message: None))
    assert (check_file("reviews", path).rows, check_file("reviews", path).bad) == (0, 3)


def test_the_check_counts_all_bad_rows_and_shows_the_first_twenty(tmp_path: Path) -> None:
    rows = [{"product": "p", "text": "好看" if n % 3 else ""} for n in range(90)] + [{"product": "p", "text": "ok"}]
    check = check_file("reviews", write(tmp_path / "r.jsonl", rows))
    assert (check.rows, check.bad, len(check.messages)) == (61, 30, 20)
    assert check.messages[1].startswith("r.jsonl:4: ")
    assert check.languages == {"en": 1, "zh": 60}
    assert check.columns == {"product": "product", "text": "text"}


# Files that are none --------------------------------------------------------------------------------


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _bytes(content: bytes) -> Callable[[Path], Path]:
    def put(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return put


@pytest.mark.parametrize(
    ("name", "put", "words"),
    [
        ("f.jsonl", _bytes(b""), "the file is empty"),
        ("f.jsonl", _bytes(b"\n \n"), "holds no row"),
        ("f.csv", _bytes(b"product,text\n"), "holds no row"),
        ("f.csv", _bytes(b"product,text,text\na,b,c\n"), 'two columns are called "text"'),
        ("f.csv", _bytes("product,text\np,好".encode("gb18030")), "not UTF-8 at byte 15 (0xba). Convert it"),
        ("f.csv", _bytes(b"\xef\xbb\xbfproduct,text\xff\np,t"), "not UTF-8 at byte 15 (0xff)"),
        ("f.jsonl", _bytes('{"text": "t"}'.encode("utf-16")), "UTF-16. Convert it"),
        ("f.jsonl", _bytes(b'[{"product": "p", "text": "t"}]'), "one JSON array"),
        ("f.parquet", _bytes(b"product,text\np,t\n"), "not a Parquet file"),
        ("f.jsonl.gz", _bytes(b"product"), "broken gzip"),
        ("f.jsonl.gz", _bytes(gzip.compress(b'{"product": "p", "text": "t"}\n' * 99)[:-9]), "broken gzip"),
        ("f.xlsx", _bytes(b"PK"), "no known data format"),
        ("f", _bytes(b"x"), "no known data format"),
        ("f.csv", _folder, "is a folder"),
        ("f.jsonl", lambda path: path, "No such file"),
    ],
)
def test_files_that_cannot_be_read_are_told(tmp_path: Path, name: str, put: Callable[[Path], Path], words: str) -> None:
    path = put(tmp_path / name)
    message = fault("reviews", path)
    assert words in message
    assert name in message
    with pytest.raises(DataError, match="^" + re.escape(message)):
        check_file("reviews", path)


def test_a_missing_file_is_told_by_the_call_not_by_the_first_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_records("reviews", tmp_path / "none.jsonl")


def test_a_kind_is_guessed_from_the_first_row_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"broken\n{"question": "q", "answer": "a"}\n', encoding="utf-8")
    assert guess_kind(path) == "dialogues"
    path = tmp_path / "f.txt"
    path.write_text("a text\n", encoding="utf-8")
    assert guess_kind(path) == "texts"
    with pytest.raises(DataError, match="not a Parquet file"):
        guess_kind(_bytes(b"PAR1")(tmp_path / "f.parquet"))


def test_columns_that_fit_no_kind_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='fit no kind of data \\("a", "b"\\)'):
        guess_kind(write(tmp_path / "f.csv", [{"a": 1, "b": 2}]))


# Languages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Great kettle", "en"),
        ("很好", "zh"),
        ("不错~~~~~~~~~~~~~~~~~~~~~~ 10/10", "zh"),
        ("iPhone 手机壳很好用", "zh"),
        ("The sign reads 茶 and nothing else", "en"),
        ("¡Qué café!", "en"),
        ("12345 !!!", "en"),
        ("", "en"),
    ],
)
def test_language_is_told_by_the_share_of_han_characters_among_the_letters(text: str, language: str) -> None:
    assert language_of(text) == language


def test_a_given_language_is_believed(tmp_path: Path) -> None:
    rows = [{"text": "OK", "language": tag} for tag in ("zh-CN", "Chinese", "zh")]
    assert {r.language for r in read_records("texts", write(tmp_path / "t.csv", rows)) if isinstance(r, Text)} == {"zh"}


def test_doctests() -> None:
    assert doctest.testmod(cells).failed == 0


# Real files ----------------------------------------------------------------------------------------


def _csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def _real(name: str) -> Path:
    path = REAL / name
    if not path.exists():
        pytest.skip(f"the real data set {name} is not beside the checkout")
    return path


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "kind", "layout", "language"),
    [
        ("amazon_5core/AMAZON_FASHION_5.clean.jsonl", "reviews", "Amazon Reviews 2014/2018", "en"),
        ("amazon_5core/All_Beauty_5.clean.jsonl", "reviews", "Amazon Reviews 2014/2018", "en"),
        ("product_catalog_er/products_abt_buy.jsonl", "products", "product table", "en"),
        ("product_catalog_er/products_amazon_google_software.jsonl", "products", "product table", "en"),
        ("product_catalog_er/products_walmart_amazon.jsonl", "products", "product table", "en"),
        ("advertisegen/dev.json", "products", "AdvertiseGen", "zh"),
        ("e2e_nlg/devset.csv", "products", "E2E", "en"),
        ("e2e_nlg/testset.csv", "products", "E2E", "en"),
        ("e2e_nlg/testset_w_refs.csv", "products", "E2E", "en"),
        (
            "bitext_customer_service/Bitext_Sample_Customer_Service_Training_Dataset.csv",
            "dialogues",
            "Bitext, questions only",
            "en",
        ),
    ],
)
def test_real_files_load_whole(name: str, kind: str, layout: str, language: str) -> None:
    path = _real(name)
    lines = sum(1 for line in path.read_bytes().split(b"\n") if line.strip())
    check = check_file(kind, path)
    assert guess_kind(path) == kind
    assert (check.layout, check.bad) == (layout, 0)
    assert check.rows == lines - (path.suffix == ".csv")
    assert check.languages == {language: check.rows}


@pytest.mark.real_data
def test_real_chinese_reviews_load_but_for_the_one_that_is_empty() -> None:
    path = _real("zh_reviews/online_shopping_10_cats.csv")
    rows = _csv_rows(path)
    told: list[str] = []
    read = [r for r in read_records("reviews", path, skip_bad_rows=True, on_bad=told.append) if isinstance(r, Review)]
    empty = [number for number, row in enumerate(rows, 2) if not row["review"].strip()]
    assert [int(message.split(":")[1]) for message in told] == empty == [36427]
    assert len(read) == len(rows) - 1 == 62_773
    wanted = Counter((row["cat"], row["label"]) for row in rows if row["review"].strip())
    assert Counter((r.category, "1" if r.label == "positive" else "0") for r in read) == wanted
    assert sum(r.language == "zh" for r in read) > 0.999 * len(read)
    assert not any("\ufeff" in r.text[:1] for r in read)


@pytest.mark.real_data
def test_real_ratings_users_and_products_are_those_of_the_file() -> None:
    path = _real("amazon_5core/All_Beauty_5.clean.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    read = [r for r in read_records("reviews", path) if isinstance(r, Review)]
    assert Counter((r.user, r.product, r.rating) for r in read) == Counter(
        (row["user"], row["asin"], row["rating"]) for row in rows
    )


@pytest.mark.real_data
def test_the_corrected_e2e_set_loads_but_for_the_rows_without_a_name() -> None:
    path = _real("e2e_cleaned/devel-fixed.no-ol.csv")
    nameless = sum("name[" not in row["mr"] for row in _csv_rows(path))
    check = check_file("products", path)
    assert (check.rows, check.bad) == (4299 - nameless, nameless)
    assert check.unused == ("fixed", "orig_mr")


@pytest.mark.real_data
def test_the_whole_attributes_of_real_products_are_kept() -> None:
    path = _real("advertisegen/dev.json")
    for line, product in zip(
        path.read_text(encoding="utf-8").splitlines(), read_records("products", path), strict=True
    ):
        assert isinstance(product, Product)
        pairs = {tuple(pair.split("#")) for pair in json.loads(line)["content"].split("*")}
        kept = {(name, value) for name, values in product.attributes.items() for value in values.split("、")}
        assert kept == {pair for pair in pairs if pair[0] != "类型"}
        assert ("类型", product.title.split("、")[0]) in pairs
