"""Records with checksums that know what they are of."""

import json

import pytest

from evor_eqx.errors import UserError
from evor_eqx.system.files import short_hash
from evor_eqx.system.json_records import append_line, read_json, read_lines, write_json


def test_a_record_of_something_else_is_misplaced_not_damaged(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"a": 1}, "one")
    assert read_json(path, "one") == {"a": 1}
    for of in ("two", None):
        with pytest.raises(UserError, match=r"misplaced file .*record.json: got the record of one, .* put the right"):
            read_json(path, of)


def test_a_line_of_something_else_is_misplaced(tmp_path):
    path = tmp_path / "rows.jsonl"
    append_line(path, {"a": 1}, "one")
    append_line(path, {"a": 2}, "two")
    with pytest.raises(UserError, match=r"misplaced line 2 of .*rows.jsonl: got the record of two, expected .* one"):
        list(read_lines(path, "one"))


def test_a_record_from_before_it_was_noted_is_read(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"a": 1, "checksum": short_hash({"a": 1})}))
    assert read_json(path, "one") == read_json(path) == {"a": 1}


def test_what_it_is_of_is_part_of_the_checksum(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"a": 1}, "one")
    path.write_text(path.read_text().replace('"one"', '"two"'))
    with pytest.raises(UserError, match=r"damaged file .*does not match its checksum"):
        read_json(path, "two")


@pytest.mark.parametrize(("optional", "is_read"), [(True, True), (False, False)])
def test_a_record_without_a_checksum_is_read_only_where_that_is_asked_for(tmp_path, optional, is_read):
    path = tmp_path / "record.json"
    path.write_text('{"a": 1}')
    if is_read:
        assert read_json(path, optional_checksum=optional) == {"a": 1}
    else:
        with pytest.raises(UserError, match="damaged file"):
            read_json(path, optional_checksum=optional)
