"""Text files of users: UTF-8, with or without a byte order mark, of bounded size and depth."""

import pytest

from agents import text_files
from agents.text_files import read_json, read_text, read_toml


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_is_no_text(mark, tmp_path):
    (tmp_path / "a.toml").write_bytes(f"{mark}# θ\r\nx = 'θ'\r\n".encode())
    (tmp_path / "a.json").write_bytes(f'{mark}{{"x": "θ"}}'.encode())
    assert read_text(tmp_path / "a.toml", "it") == "# θ\nx = 'θ'\n"
    assert read_toml(tmp_path / "a.toml", "it") == read_json(tmp_path / "a.json", "it") == {"x": "θ"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff", "must be text in UTF-8"),
        ("θ = 1".encode("utf-16"), "must be text in UTF-8"),
        (b"x = ", "must be a TOML file"),
        (b"x = " + b"[" * 100_000, "at most 64 deep"),
        (b"x = " + b"[" * 65 + b"]" * 65, "at most 64 deep"),
        (b"x = " + b"{a=" * 100_000, "at most 64 deep"),
        (b"a." * 70 + b"a = 1", "at most 64 deep"),
        (b'"=" . ' * 200_000 + b"a = 1", "must have at most 1000000 bytes"),
        (b'"=".' * 200_000 + b"a = 1", "at most 64 deep"),
        (b"x = 1" + b"0" * 5000, "must be a TOML file"),
    ],
)
def test_bad_toml_is_one_sentence(content, words, tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        read_toml(path, "a grid")
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must be a JSON file"),
        (b"[1]", "must be an object"),
        (b"null", "must be an object"),
        (b'{"a":' * 100_000, "at most 64 deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "at most 64 deep"),
        (b"[" * 100_000 + b"]" * 100_000, "at most 64 deep"),
        (b'{"a": "\xff"}', "must be text in UTF-8"),
    ],
)
def test_bad_json_is_one_sentence(content, words, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_json(path, "a run")


def test_files_without_an_end_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(text_files, "LARGEST_TOML", 10)
    (tmp_path / "long").write_text("01234567890")
    with pytest.raises(ValueError, match="must have at most 10 bytes"):
        read_toml(tmp_path / "long", "it")


@pytest.mark.parametrize("name", ["missing", ".", "a\0b"])
def test_what_cannot_be_read_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_text(tmp_path / name, "it")
