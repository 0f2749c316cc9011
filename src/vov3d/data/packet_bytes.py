"""What the bytes of a compressed frame say of it, where the container and FFmpeg do not."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

CODECS_TO_CHECK = frozenset({"ffv1", "h264", "mjpeg", "mpeg2video"})
MAX_32_BITS = 0xFFFFFFFF
START_CODE = b"\x00\x00\x01"
H264_FORBIDDEN_BIT = 0x80
H264_REFERENCE_BITS = 0x60
H264_SLICE, H264_IDR_SLICE = 1, 5
H264_PASSING = frozenset({H264_SLICE, 6, 9, 12})  # beside slices: messages, delimiters, filler; no parameter sets
JPEG_START_OF_SCAN = 0xDA
JPEG_FRAME_TYPES = frozenset({0xC0, 0xC1, 0xC2, 0xC3})
JPEG_HUFFMAN_TABLES, JPEG_QUANTIZATION_TABLES, JPEG_RESTART_INTERVAL = 0xC4, 0xDB, 0xDD
JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")
JPEG_MARKERS_AFTER_SCAN = frozenset({0xC4, 0xD9, 0xDA, 0xFE})  # more tables, the end, another scan, a comment
JPEG_RESTARTS = frozenset(range(0xD0, 0xD8))
MPEG2_SLICE = re.compile(rb"\x00\x00\x01[\x01-\xaf]")
MPEG2_MAX_HEIGHT_OF_PLAIN_ROWS = 2800
FFV1_FOOTER_BYTES = 8  # length (3), status (1), checksum (4)
FFV1_CHECKSUM_STARTS = (0, 0x5E31029E)  # of versions 3 and 4, in the order of bits that zlib uses
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def is_damaged(codec: str, data: bytes, extradata: bytes | None = None, height: int = 0) -> bool:
    """Whether a packet is damaged in a way of which FFmpeg's decoder makes no error.

    What it cannot read it then takes from whatever picture was in that memory before.

    Args:
        codec: canonical name, one of `CODECS_TO_CHECK`.
        data: the packet.
        extradata: of the stream.
        height: of the stream in pixels.
    """
    if codec == "mpeg2video":
        return is_mpeg2_slice_missing(data, height)
    if codec == "h264":
        return any(header & H264_FORBIDDEN_BIT or not header & 31 for header in _nal_headers(data, extradata))
    return is_jpeg_scan_broken(data) if codec == "mjpeg" else is_ffv1_checksum_wrong(data)


def is_mpeg2_slice_missing(data: bytes, height: int) -> bool:
    """Whether a row of an MPEG-2 picture has no slice; a packet holds a frame, one field or two.

    Source: ITU-T H.262 sections 6.1.2 and 6.2.4.
    """
    rows = {found.group()[3] for found in MPEG2_SLICE.finditer(data)}
    if not rows or height > MPEG2_MAX_HEIGHT_OF_PLAIN_ROWS:
        return False
    num_field_rows = -(-height // 32)
    return len(rows) < max(rows) or max(rows) not in (-(-height // 16), num_field_rows, 2 * num_field_rows)


def is_ffv1_checksum_wrong(data: bytes) -> bool:
    """Whether a slice of an FFV1 packet has a checksum that is wrong; those of older versions have none.

    Source: RFC 9043 section 4.9.
    """
    if not any(data[-FFV1_FOOTER_BYTES:]):
        return True  # zeros, where the length of the last slice must be
    starts: set[int | None] = set()
    end = len(data)
    while end > FFV1_FOOTER_BYTES:
        length = int.from_bytes(data[end - 8 : end - 5], "big") + FFV1_FOOTER_BYTES
        if length > end:
            break
        starts.add(_ffv1_checksum_start(data[end - length : end]))
        end -= length
    if end == 0:
        return None in starts or len(starts) > 1
    return bool(starts - {None})  # some have one, so all have; without any it is an older version


def _ffv1_checksum_start(data: bytes) -> int | None:
    """The value from which the checksum of an FFV1 slice was computed; None if it is wrong."""
    mirrored = data.translate(REVERSED_BITS)
    for start in FFV1_CHECKSUM_STARTS:
        if zlib.crc32(mirrored, start ^ MAX_32_BITS) ^ MAX_32_BITS == start:
            return start
    return None


def is_hidden_vp8(data: bytes) -> bool:
    """Whether a VP8 packet only makes a reference for later ones.

    Source: show_frame of the frame tag, RFC 6386 section 9.1.
    """
    return not data[0] >> 4 & 1


def is_h264_without_idr(data: bytes, extradata: bytes | None) -> bool:
    """Whether an H.264 packet has slices, and the first is not of an IDR picture: others may refer to what precedes it.

    Args:
        data: the packet.
        extradata: of the stream; it says how long the lengths before NAL units are.

    Source: nal_unit_type, ITU-T H.264 section 7.4.1; lengths: ISO/IEC 14496-15 section 5.3.3.1.
    """
    kinds = (header & 31 for header in _nal_headers(data, extradata))
    return next((kind for kind in kinds if H264_SLICE <= kind <= H264_IDR_SLICE), None) in range(1, H264_IDR_SLICE)


def is_h264_without_use(data: bytes, extradata: bytes | None) -> bool:
    """Whether an H.264 packet holds slices of a picture that no other refers to, and nothing that outlasts it.

    A decoder that has never seen it gives every other picture as it is.

    Args:
        data: the packet.
        extradata: of the stream.

    Source: nal_ref_idc, ITU-T H.264 section 7.4.1.
    """
    headers = list(_nal_headers(data, extradata))
    of_slices = [header for header in headers if header & 31 == H264_SLICE]
    if not of_slices or any(header & H264_REFERENCE_BITS for header in of_slices):
        return False
    return all(header & 31 in H264_PASSING for header in headers)


def _nal_headers(data: bytes, extradata: bytes | None) -> Iterator[int]:
    """First bytes of the NAL units of an H.264 packet."""
    if extradata is not None and len(extradata) > 4 and extradata[0] == 1:
        return _nal_headers_after_lengths(data, (extradata[4] & 3) + 1)
    return _nal_headers_after_start_codes(data)


def _nal_headers_after_start_codes(data: bytes) -> Iterator[int]:
    """First bytes of the NAL units that stand between start codes."""
    place = data.find(START_CODE)
    while 0 <= place < len(data) - len(START_CODE):
        yield data[place + 3]
        place = data.find(START_CODE, place + 3)


def _nal_headers_after_lengths(data: bytes, num_length_bytes: int) -> Iterator[int]:
    """First bytes of the NAL units that come after their lengths."""
    place = 0
    while place + num_length_bytes < len(data):
        length = int.from_bytes(data[place : place + num_length_bytes], "big")
        yield data[place + num_length_bytes]
        place += num_length_bytes + length


def is_jpeg_with_tables(data: bytes) -> bool:
    """Whether a JPEG picture brings all tables that it needs; without them a decoder takes those of another picture.

    Source: ITU-T T.81 annex B.
    """
    quantization: set[int] = set()
    huffman: set[int] = set()
    needed: set[int] = set()
    for marker, segment in _jpeg_segments(data):
        if marker == JPEG_QUANTIZATION_TABLES:
            quantization |= {kind & 15 for kind in _quantization_tables(segment)}
        elif marker == JPEG_HUFFMAN_TABLES:
            huffman |= set(_huffman_tables(segment))
        elif marker in JPEG_FRAME_TYPES:
            needed |= set(segment[8::3])
        elif marker == JPEG_START_OF_SCAN:
            choices = segment[2::2][: segment[0]]
            chosen = {choice >> 4 for choice in choices} | {16 + (choice & 15) for choice in choices}
            return bool(needed and chosen) and needed <= quantization and chosen <= huffman
    return False


def is_jpeg_scan_broken(data: bytes) -> bool:
    """Whether a JPEG picture has no scan, or something stands in the first one that may not, and cuts it short.

    Source: ITU-T T.81 section B.1.1.
    """
    segments = list(_jpeg_segments(data))
    markers = {marker for marker, _ in segments}
    if JPEG_START_OF_SCAN not in markers:
        return True
    scan = 2 + sum(4 + len(segment) for _, segment in segments)
    for found in JPEG_MARKER.finditer(data, scan):
        marker = found.group()[1]
        if marker not in JPEG_RESTARTS:
            return marker not in JPEG_MARKERS_AFTER_SCAN
        if JPEG_RESTART_INTERVAL not in markers:
            return True
    return False


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment up to the first scan, or up to where the chain is broken."""
    place = 2
    while data[:2] == b"\xff\xd8" and data[place : place + 1] == b"\xff" and place + 4 < len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        yield marker, data[place + 4 : place + 2 + length]
        if marker == JPEG_START_OF_SCAN or length <= 2:
            return
        place += 2 + length
        while data[place : place + 2] == b"\xff\xff":  # bytes that only fill
            place += 1


def _quantization_tables(segment: bytes) -> Iterator[int]:
    """Precision and name of each table in a segment."""
    place = 0
    while place < len(segment):
        yield segment[place]
        place += 1 + 64 * (1 + (segment[place] >> 4))


def _huffman_tables(segment: bytes) -> Iterator[int]:
    """Class and name of each table in a segment."""
    place = 0
    while place < len(segment):
        yield segment[place]
        place += 17 + sum(segment[place + 1 : place + 17])
