#!/usr/bin/env python3
"""Writes the ground truth of the captures in this directory.

    expected.py FILE...     writes expected/FILE.jsonl
    expected.py --check     says which expected/FILE.jsonl are out of date; exit 1 if any
    expected.py --readme    puts the counts into the table of README.md

One line per TCP packet whose payload begins with a head: one of nine methods and a space,
or `HTTP/1.`. No reassembly: what later packets carry does not count. A retransmission
counts again.

A field that is absent is left out. So is a line that the packet does not finish. Of a
repeated header the first counts. Bytes that are not UTF-8 become U+FFFD.

Python's standard library only, and the program `zstd`. It shares no code with Ringmill,
so that the two cannot be wrong in the same way by copying.
"""
import gzip
import ipaddress
import json
import pathlib
import re
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE")
HEAD = re.compile(rb"(?:" + "|".join(METHODS).encode() + rb") |HTTP/1\.")
HEADERS = {
    "request": ("host", "user-agent", "referer", "content-type", "content-encoding",
                "cache-control", "connection", "pragma"),
    "response": ("server", "content-type", "content-encoding", "cache-control",
                 "connection", "pragma"),
}
VLAN_TYPES = (0x8100, 0x88A8, 0x9100)
IPV6_OPTIONS = (0, 43, 60)  # hop-by-hop, routing, destination: all have one shape


# ---- files ----------------------------------------------------------------------------

def load(path):
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    return path.read_bytes()


def packets(data):
    """(time in ns, link type, bytes) of each packet, in file order."""
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        return pcapng(data)
    return pcap(data)


def pcap(data):
    for order in "<", ">":
        magic, = struct.unpack_from(order + "I", data)
        if magic in (0xA1B2C3D4, 0xA1B23C4D):
            break
    else:
        raise ValueError("not a capture file")
    fraction = 1 if magic == 0xA1B23C4D else 1000
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    at = 24
    while at + 16 <= len(data):
        seconds, part, kept, _ = struct.unpack_from(order + "IIII", data, at)
        yield seconds * 10**9 + part * fraction, link, data[at + 16:at + 16 + kept]
        at += 16 + kept


def pcapng(data):
    at, order, interfaces = 0, "<", []
    while at + 12 <= len(data):
        if data[at:at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, length = struct.unpack_from(order + "II", data, at)
        body = data[at + 8:at + length - 4]
        if kind == 1:
            link, = struct.unpack_from(order + "H", body)
            interfaces.append((link, *clock(body[8:], order)))
        elif kind == 6:
            which, high, low, kept, _ = struct.unpack_from(order + "IIIII", body)
            link, per_second, offset = interfaces[which]
            ticks = high << 32 | low
            yield ticks * 10**9 // per_second + offset * 10**9, link, body[20:20 + kept]
        at += length


def clock(options, order):
    """Ticks per second and offset in seconds of an interface."""
    per_second, offset, at = 10**6, 0, 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from(order + "HH", options, at)
        value = options[at + 4:at + 4 + length]
        if code == 0:
            break
        if code == 9:
            per_second = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        if code == 14:
            offset, = struct.unpack(order + "q", value)
        at += 4 + (length + 3) // 4 * 4
    return per_second, offset


# ---- packets --------------------------------------------------------------------------

def network(link, data):
    """The packet from its IP header on, or None."""
    if link == 101:                                           # raw IP
        return data
    kind_at, at = {1: (12, 14), 113: (14, 16), 276: (0, 20)}[link]  # Ethernet, SLL, SLL2
    kind, = struct.unpack_from(">H", data, kind_at)
    while kind in VLAN_TYPES:
        kind, = struct.unpack_from(">H", data, at + 2)
        at += 4
    return data[at:] if kind in (0x0800, 0x86DD) else None


def tcp(data):
    """(addresses, ports, payload), or None if there is no TCP header in it."""
    if data[0] >> 4 == 4:
        head, total = (data[0] & 15) * 4, struct.unpack_from(">H", data, 2)[0]
        later_fragment = struct.unpack_from(">H", data, 6)[0] & 0x1FFF
        protocol, addresses = data[9], (data[12:16], data[16:20])
        if later_fragment:
            return None
    elif data[0] >> 4 == 6:
        length = struct.unpack_from(">H", data, 4)[0]
        head, total, protocol = 40, 40 + length if length else 0, data[6]
        addresses = data[8:24], data[24:40]
        while protocol in IPV6_OPTIONS:
            protocol, head = data[head], head + 8 + data[head + 1] * 8
    else:
        return None
    if protocol != 6:
        return None
    data = data[head:total or len(data)]        # Ethernet pads short frames: cut that off
    payload = data[(data[12] >> 4) * 4:]
    return [str(ipaddress.ip_address(a)) for a in addresses], struct.unpack_from(">HH", data), payload


# ---- heads ----------------------------------------------------------------------------

def text(raw):
    return raw.decode("utf-8", "replace")


def head(payload):
    """The fields of the head at the start of the payload."""
    lines, whole = [], False
    rest = payload
    while not whole and b"\n" in rest:
        line, rest = rest.split(b"\n", 1)
        line = line.removesuffix(b"\r")
        whole = not line
        lines.append(line)
    first = lines[0] if lines else b""
    if payload.startswith(b"HTTP/1."):
        version, status, reason = (first.split(b" ", 2) + [b"", b""])[:3]
        fields = {"kind": "response", "version": text(version), "reason": text(reason)}
        if status.isdigit():
            fields["status"] = int(status)
    else:
        method, _, target = first.partition(b" ")
        uri, _, version = target.rpartition(b" ")
        fields = {"kind": "request", "method": text(method), "uri": text(uri),
                  "version": text(version)}
    fields = {name: value for name, value in fields.items() if value != ""}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        name = text(name).lower()
        if colon and name in HEADERS[fields["kind"]]:
            fields.setdefault(name.replace("-", "_"), text(value.strip(b" \t")))
    return fields | {"head_complete": whole}


def truth(path):
    """(packets, lines of truth) of one capture."""
    count, lines = 0, []
    for count, (time, link, data) in enumerate(packets(load(path)), 1):
        inner = network(link, data)
        segment = inner and tcp(inner)
        if not segment or not HEAD.match(segment[2]):
            continue
        (src, dst), (sport, dport), payload = segment
        lines.append({"frame": count, "time_ns": str(time), "src": src, "dst": dst,
                      "sport": sport, "dport": dport, "ip_version": inner[0] >> 4,
                      **head(payload)})
    return count, lines


# ---- commands -------------------------------------------------------------------------

def captures():
    return sorted(p for p in HERE.iterdir() if re.search(r"\.pcap(ng)?(\.gz|\.zst)?$", p.name))


def expected(path):
    return path.resolve().parent / "expected" / (path.name + ".jsonl")


def as_text(lines):
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def check():
    stale = [p.name for p in captures()
             if not expected(p).exists() or expected(p).read_text() != as_text(truth(p)[1])]
    for name in stale:
        print(f"{name}: its truth is out of date", file=sys.stderr)
    return 1 if stale else 0


def readme():
    page = HERE / "README.md"
    rows = page.read_text().splitlines()
    for path in captures():
        count, lines = truth(path)
        requests = sum(line["kind"] == "request" for line in lines)
        for at, row in enumerate(rows):
            if row.startswith(f"| `{path.name}` |"):
                cells = row.split("|")[:-4]
                rows[at] = "|".join([*cells, f" {count} ", f" {requests} / {len(lines) - requests} ",
                                     f" {sum(not line['head_complete'] for line in lines)} |"])
                break
        else:
            print(f"{path.name} is not in README.md", file=sys.stderr)
            return 1
    page.write_text("\n".join(rows) + "\n")
    return 0


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    if sys.argv[1:] == ["--readme"]:
        return readme()
    for name in sys.argv[1:]:
        path = pathlib.Path(name)
        expected(path).write_text(as_text(truth(path)[1]))
    return 0


sys.exit(main())
