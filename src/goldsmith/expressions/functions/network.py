"""Functions of IP addresses and ranges."""

import ipaddress
import re

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.functions.function import Function, int_argument, strict_text_argument
from goldsmith.kernel.json import JsonValue

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Span = tuple[int, int, int]
_PART = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


def _ip_range_contains(outer: JsonValue, inner: JsonValue) -> bool:
    """Ranges of different families contain nothing of each other."""
    version, first, last = _span(strict_text_argument("ipRangeContains", 1, outer))
    other_version, other_first, other_last = _span(strict_text_argument("ipRangeContains", 2, inner))
    return version == other_version and first <= other_first and other_last <= last


def _span(text: str) -> _Span:
    """(IP version, first, last) of `a`, `a/bits` (host bits may be set) or `a-b`."""
    start, dash, end = text.partition("-")
    if dash:
        (version, first), (other_version, last) = _address(start, text), _address(end, text)
        if version != other_version or last < first:
            raise _no_range(text)
        return version, first, last
    address, slash, mask = text.partition("/")
    version, number = _address(address, text)
    width = 32 if version == 4 else 128
    bits = width
    if slash:
        if not re.fullmatch(r"[ ]*[+]?[0-9]{1,9}[ ]*", mask) or int(mask) > width:
            raise _no_range(text)
        bits = int(mask)
    rest = (1 << width - bits) - 1
    return version, number & ~rest, number | rest


def _address(text: str, whole: str) -> tuple[int, int]:
    """(IP version, number); IPv4 also in the short forms of inet_aton, as .NET reads them."""
    if ":" in text:
        try:
            return 6, int(ipaddress.IPv6Address(text.removeprefix("[").removesuffix("]").partition("%")[0]))
        except ValueError:
            raise _no_range(whole) from None
    parts = text.split(".")
    if len(text) > 64 or len(parts) > 4 or not all(_PART.fullmatch(part) for part in parts):
        raise _no_range(whole)
    try:
        numbers = [int(part, 8) if part[0] == "0" and part.isdecimal() else int(part, 0) for part in parts]
    except ValueError:
        raise _no_range(whole) from None
    last_width = 8 * (5 - len(parts))
    if any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 1 << last_width:
        raise _no_range(whole)
    value = numbers[-1]
    for index, number in enumerate(numbers[:-1]):
        value |= number << 8 * (3 - index)
    return 4, value


def _no_range(text: str) -> EvaluationError:
    return EvaluationError(
        f"ipRangeContains() expects an address, a CIDR block or a range, got '{text[:60]}'",
        hint="write 10.0.0.1, 10.0.0.0/24 or 10.0.0.1-10.0.0.9",
    )


def _network(function: str, value: JsonValue) -> Network:
    text = strict_text_argument(function, 1, value)
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise EvaluationError(f"{function}() expects a CIDR block, got '{text[:60]}'") from None


def _parse_cidr(value: JsonValue) -> JsonValue:
    network = _network("parseCidr", value)
    first, last = network.network_address, network.broadcast_address
    usable = network.version == 4 and network.prefixlen < 31
    parsed: dict[str, JsonValue] = {
        "network": str(first),
        "netmask": str(network.netmask),
        "firstUsable": str(first + 1 if usable else first),
        "lastUsable": str(last - 1 if usable else last),
        "cidr": network.prefixlen,
    }
    if network.version == 4:
        parsed["broadcast"] = str(last)
    return parsed


def _cidr_subnet(value: JsonValue, new_bits: JsonValue, index: JsonValue) -> str:
    network = _network("cidrSubnet", value)
    bits, number = int_argument("cidrSubnet", 2, new_bits), int_argument("cidrSubnet", 3, index)
    if not network.prefixlen <= bits <= network.max_prefixlen:
        raise EvaluationError(
            f"cidrSubnet() expects a prefix from {network.prefixlen} to {network.max_prefixlen}, got {bits}"
        )
    if not 0 <= number < 1 << bits - network.prefixlen:
        raise EvaluationError(f"cidrSubnet() has no subnet {number} of /{bits} in {network}")
    return f"{network.network_address + (number << network.max_prefixlen - bits)}/{bits}"


def _cidr_host(value: JsonValue, index: JsonValue) -> str:
    network = _network("cidrHost", value)
    number = int_argument("cidrHost", 2, index)
    if number < 0 or number + 1 >= network.num_addresses - (network.version == 4):
        raise EvaluationError(f"cidrHost() has no host {number} in {network}")
    return str(network.network_address + number + 1)


FUNCTIONS = (
    Function("ipRangeContains", 2, 2, _ip_range_contains, "whether a range of addresses contains another"),
    Function("parseCidr", 1, 1, _parse_cidr, "the parts of a CIDR block", builds=True),
    Function("cidrSubnet", 3, 3, _cidr_subnet, "a subnet of a CIDR block by prefix length and index"),
    Function("cidrHost", 2, 2, _cidr_host, "a usable address of a CIDR block by index"),
)
