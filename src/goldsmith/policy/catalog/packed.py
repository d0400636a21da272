"""Bytes out of gzip, as many as are wanted and no more."""

import zlib

from goldsmith.kernel.errors import InvalidInputError

_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib: 16 + 15, expect a gzip header
_CHUNK_BYTES = 1 << 20


def unpacked(data: bytes, *, bytes_max: int) -> bytes:
    """`data` itself, or what it is the gzip of (one member or several).

    Raises InvalidInputError for a damaged gzip and for contents of more than `bytes_max` bytes; never holds
    more than about that many at once, however much the data would grow to.
    """
    if not data.startswith(_MAGIC):
        _check(len(data), bytes_max)
        return data
    found = bytearray()
    rest = data
    while rest.startswith(_MAGIC):
        stream = zlib.decompressobj(_GZIP_WINDOW)
        pending = rest
        while not stream.eof:
            try:
                piece = stream.decompress(pending, _CHUNK_BYTES)
            except zlib.error as error:
                raise InvalidInputError(
                    f"the gzip is damaged: {error}", hint="fetch the file again"
                ) from error
            found += piece
            _check(len(found), bytes_max)
            pending = stream.unconsumed_tail
            if not pending and not piece and not stream.eof:
                raise InvalidInputError("the gzip ends too early", hint="fetch the file again")
        rest = stream.unused_data
    return bytes(found)


def _check(length: int, bytes_max: int) -> None:
    if length > bytes_max:
        raise InvalidInputError(
            f"the contents are larger than {bytes_max} bytes", hint="split the file into smaller ones"
        )
