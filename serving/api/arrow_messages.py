"""Whether an Arrow stream has compressed buffers: read off its messages' own headers, nothing unpacked.

A message is `ff ff ff ff`, the length of its header, the header as a FlatBuffers table (`Message.fbs`), and a
body. pyarrow says the header's bytes but not what is in them, and unpacks as it reads.
"""

import struct

import pyarrow as pa

_HEADER_TYPE, _HEADER = 1, 2
"""Fields of the table `Message`, counted from 0."""

_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_COMPRESSION = 3
"""Field of the table `RecordBatch`."""

_DATA = 1
"""Field of the table `DictionaryBatch` that holds its record batch."""


def compressed_batches(body: bytes) -> bool:
    """Whether any batch of a stream has compressed buffers.

    Raises:
        pa.ArrowInvalid: a header is not one.
    """
    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(body))
    try:
        return any(_is_compressed(message.metadata.to_pybytes()) for message in _messages(reader))
    except (struct.error, IndexError) as error:
        raise pa.ArrowInvalid(f"a message's header is broken: {error}") from error


def _messages(reader: pa.ipc.MessageReader):  # type: ignore[no-untyped-def]
    while True:
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _is_compressed(header: bytes) -> bool:
    message = struct.unpack_from("<I", header, 0)[0]
    kind = _field(header, message, _HEADER_TYPE)
    content = _field(header, message, _HEADER)
    if kind is None or content is None:
        return False
    sort, table = header[kind], _followed(header, content)
    if sort == _DICTIONARY_BATCH:
        data = _field(header, table, _DATA)
        return data is not None and _field(header, _followed(header, data), _COMPRESSION) is not None
    return sort == _RECORD_BATCH and _field(header, table, _COMPRESSION) is not None


def _field(buffer: bytes, table: int, number: int) -> int | None:
    """Where a field of a FlatBuffers table lies; None: it is not there."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    size = struct.unpack_from("<H", buffer, vtable)[0]
    at = 4 + 2 * number
    if at + 2 > size:
        return None
    offset = struct.unpack_from("<H", buffer, vtable + at)[0]
    return table + offset if offset else None


def _followed(buffer: bytes, at: int) -> int:
    return int(at + struct.unpack_from("<I", buffer, at)[0])
