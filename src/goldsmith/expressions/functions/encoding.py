"""Functions that encode and decode: JSON, base64, URIs, data URIs."""

import base64
import binascii
import re
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit, urlunsplit

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.functions.function import Function, strict_text_argument, text_argument
from goldsmith.expressions.json_reader import read_json
from goldsmith.expressions.text import utf8
from goldsmith.expressions.values import json_text, scalar_text
from goldsmith.kernel.json import JsonValue

_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


def _json(value: JsonValue) -> JsonValue:
    return {} if value is None else _read(strict_text_argument("json", 1, value), "json")


def _read(text: str, function: str) -> JsonValue:
    try:
        return read_json(text)
    except ValueError as error:
        raise EvaluationError(f"{function}() got text that is not JSON: {error}") from error


def _base64(value: JsonValue) -> str:
    return base64.b64encode(utf8(text_argument("base64", 1, value))).decode()


def _base64_to_string(value: JsonValue) -> str:
    return _decoded(text_argument("base64ToString", 1, value), "base64ToString")


def _base64_to_json(value: JsonValue) -> JsonValue:
    return _read(_decoded(text_argument("base64ToJson", 1, value), "base64ToJson"), "base64ToJson")


def _decoded(text: str, function: str) -> str:
    try:
        return base64.b64decode(text.translate(_NO_BLANKS), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError) as error:
        raise EvaluationError(f"{function}() got text that is not base64: {error}") from error


_NO_BLANKS = dict.fromkeys(map(ord, " \t\r\n"))


def _uri_component(value: JsonValue) -> str:
    return quote(utf8(text_argument("uriComponent", 1, value)), safe="")


def _uri_component_to_string(value: JsonValue) -> str:
    return _url_decoded(text_argument("uriComponentToString", 1, value)).decode("utf-8", "replace")


def _url_decoded(text: str) -> bytes:
    """As HttpUtility.UrlDecode: `+` is a blank, and `%u20AC` is read too."""
    wide = re.sub("%u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text.replace("+", " "))
    return unquote_to_bytes(utf8(wide))


def _uri(base: JsonValue, relative: JsonValue) -> str:
    root, path = text_argument("uri", 1, base), text_argument("uri", 2, relative)
    try:
        scheme = urlsplit(root).scheme
        if not scheme or ":" not in root or re.search(r"[\s<>\"{}|\\^`]", root):
            raise EvaluationError(f"uri() expects an absolute URI as its base, got '{root[:80]}'")
        if _SCHEME.match(path) and ":" in path.split("/")[0] and urlsplit(path).scheme:
            return _absolute(path)
        # urljoin resolves only schemes that it knows; the rules are the same for all.
        joined = urljoin("http" + root[len(scheme) :], path)
        return _absolute(scheme + joined.removeprefix("http") if joined.startswith("http:") else joined)
    except ValueError as error:
        raise EvaluationError(f"uri() cannot combine '{root[:80]}' and '{path[:80]}': {error}") from error


def _absolute(uri: str) -> str:
    """The URI as .NET normalises it: lower-case scheme and host, no default port, escaped characters."""
    parts = urlsplit(uri)
    scheme, host = parts.scheme.lower(), parts.netloc
    user, at, place = host.rpartition("@")
    place = place.lower().removesuffix(f":{_DEFAULT_PORTS.get(scheme, '')}")
    path = parts.path or ("/" if host else "")
    path, query, fragment = (
        quote(utf8(text), safe="/:?#[]@!$&'()*+,;=-._~%") for text in (path, parts.query, parts.fragment)
    )
    return urlunsplit((scheme, user + at + place, path, query, fragment))


def _data_uri(value: JsonValue) -> str:
    text = json_text(value) if isinstance(value, list | dict) else scalar_text(value)
    media = "text/plain" if isinstance(value, str | None) else "application/json"
    return f"data:{media};charset=utf8;base64,{base64.b64encode(utf8(text)).decode()}"


def _data_uri_to_string(value: JsonValue) -> str:
    text = text_argument("dataUriToString", 1, value)
    metadata, comma, data = text[len("data:") :].partition(",")
    media, *options = metadata.split(";")
    well_formed = (
        text[: len("data:")].lower() == "data:"
        and comma
        and all(option.strip() for option in options)
        and (media or not options or [option.lower() for option in options] == ["base64"])
    )
    if not well_formed:
        raise EvaluationError(f"dataUriToString() expects a data URI, got '{text[:40]}'")
    charset = (
        options[0][len("charset=") :] if options and options[0].lower().startswith("charset=") else "utf-8"
    )
    # `utf8` is what dataUri() itself writes.
    if charset.lower() not in ("utf-8", "utf8"):
        raise EvaluationError(f"dataUriToString() expects the charset utf-8, got '{charset[:40]}'")
    if options and options[-1].lower() == "base64":
        return _decoded(data, "dataUriToString")
    return _url_decoded(data).decode("utf-8", "replace")


FUNCTIONS = (
    Function("json", 1, 1, _json, "the value that a text is the JSON of", builds=True),
    Function("base64", 1, 1, _base64, "a string (as UTF-8) in base64", builds=True),
    Function("base64ToString", 1, 1, _base64_to_string, "the string that base64 stands for", builds=True),
    Function("base64ToJson", 1, 1, _base64_to_json, "the JSON value that base64 stands for", builds=True),
    Function("uri", 2, 2, _uri, "a relative URI resolved against an absolute one", builds=True),
    Function("uriComponent", 1, 1, _uri_component, "a string escaped as a part of a URI", builds=True),
    Function("uriComponentToString", 1, 1, _uri_component_to_string, "the string that was escaped"),
    Function("dataUri", 1, 1, _data_uri, "a value as a data URI", builds=True),
    Function("dataUriToString", 1, 1, _data_uri_to_string, "the string that a data URI holds"),
)
