import pytest

from helpers import label_files
from helpers.errors import UserError


def read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return label_files.read(tmp_path / name)


def test_reals_list_is_read_by_number(tmp_path):
    assert read(tmp_path, "real.json", "[[1, 2], [], [3]]") == [[1, 2], [], [3]]


def test_a_mapping_may_hold_single_labels(tmp_path):
    assert read(tmp_path, "x.json", '{"a.JPEG": 3, "b.JPEG": [1, 2], "c.JPEG": []}') == {"a.JPEG": [3], "b.JPEG": [1, 2], "c.JPEG": []}


def test_lines_hold_a_name_which_may_have_spaces_and_its_labels(tmp_path):
    assert read(tmp_path, "x.txt", "a.JPEG 3\n\n my 2 cats.png  1\t2 \n") == {"a.JPEG": [3], "my 2 cats.png": [1, 2]}


@pytest.mark.parametrize("name", ["x.json", "x.txt"])
def test_a_byte_order_mark_is_no_part_of_the_content(tmp_path, name):
    content = {"x.json": '{"a": 1}', "x.txt": "a 1"}[name]
    assert read(tmp_path, name, b"\xef\xbb\xbf" + content.encode()) == {"a": [1]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.json", "[[1], ", "x.json is not JSON (Expecting value"),
        ("x.json", "", "x.json is not JSON (Expecting value"),
        ("x.json", b"[[1], \xff]", "x.json is not JSON ("),
        ("x.json", "[" * 100_000, "x.json is not JSON (maximum recursion depth exceeded"),
        ("x.json", "3", "x.json: it is neither a list nor a mapping"),
        ("x.json", "null", "x.json: it is neither a list nor a mapping"),
        ("x.json", '[[1], ["2"]]', "x.json: entry 2 is neither a label nor a list of labels"),
        ("x.json", "[[1], [2.0]]", "x.json: entry 2 is neither"),
        ("x.json", "[[1], true]", "x.json: entry 2 is neither"),
        ("x.json", "[[1], [true]]", "x.json: entry 2 is neither"),
        ("x.json", "[[1], NaN]", "x.json: entry 2 is neither"),
        ("x.json", '{"a": null}', "x.json: entry 'a' is neither"),
        ("x.json", '{"a": {"b": [1]}}', "x.json: entry 'a' is neither"),
        ("x.txt", "a.JPEG 3\nb.JPEG\n", "x.txt, line 2 is not 'name label [label ...]': 'b.JPEG'"),
        ("x.txt", "3\n", "x.txt, line 1 is not"),
        ("x.txt", "a.JPEG 3.5\n", "x.txt, line 1 is not"),
        ("x.txt", "[[1], [2]]", "x.txt, line 1 is not"),
    ],
)
def test_any_other_form_is_told_in_one_sentence_with_the_forms_that_there_are(tmp_path, name, content, said):
    with pytest.raises(UserError) as error:
        read(tmp_path, name, content)
    assert str(error.value).startswith(said)
    assert str(error.value).endswith("give " + label_files.FORMS + ".")


def test_an_image_that_is_named_twice_is_an_error(tmp_path):
    with pytest.raises(UserError, match="x.txt, line 2 names a a second time: write all labels of an image on one line."):
        read(tmp_path, "x.txt", "a 1\na 2\n")
    with pytest.raises(UserError, match="x.json names a a second time: write all labels of an image in one list."):
        read(tmp_path, "x.json", '{"a": 1, "b": 3, "a": 2}')


def test_a_folder_can_not_be_read(tmp_path):
    with pytest.raises(UserError, match="can't be read"):
        label_files.read(tmp_path)
