#!/usr/bin/env python3
"""A cable in user space, for link types that the kernel may not offer.

    wire.py raw  NEAR FAR                     two tun devices: packets with no link header
    wire.py vlan NEAR FAR TRUNK_NEAR TRUNK_FAR TAG...
                                              two tap devices joined by a veth trunk, on
                                              which each frame carries the given tags

A TAG is TPID:VID, the outer one first: 88a8:200 8100:30.

Why not `ip link add type vlan`: small kernels are built without 802.1Q. What is on the
trunk is the same either way. The devices vanish when this process ends.
"""
import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_TAP, IFF_NO_PI = 1, 2, 0x1000
ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 263, 8, 4
TP_STATUS_VLAN_VALID = 0x10


def device(name, mode):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), mode | IFF_NO_PI))
    return fd


def trunk_port(name):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    # The kernel takes the outer tag off each frame and reports it beside the frame.
    port.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    port.bind((name, ETH_P_ALL))
    return port


def receive(port):
    """One whole frame, its outer tag put back; None for a frame that we sent."""
    data, ancillary, _, address = port.recvmsg(65535, 256)
    if address[2] == PACKET_OUTGOING:
        return None
    for level, kind, value in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
            if status & TP_STATUS_VLAN_VALID:
                data = data[:12] + struct.pack(">HH", tpid, tci) + data[12:]
    return data


def carry_raw(near, far):
    ends = {near: far, far: near}
    while True:
        for fd in select.select(list(ends), [], [])[0]:
            packet = os.read(fd, 65535)
            try:
                os.write(ends[fd], packet)
            except OSError:
                pass  # the other end is not up yet: a cable drops it


def carry_tagged(near, far, near_port, far_port, tags):
    out = {near: near_port, far: far_port}
    back = {near_port: near, far_port: far}
    while True:
        for end in select.select([*out, *back], [], [])[0]:
            try:
                if end in out:
                    frame = os.read(end, 65535)
                    out[end].send(frame[:12] + tags + frame[12:])
                else:
                    frame = receive(end)
                    if frame and frame[12:].startswith(tags):
                        os.write(back[end], frame[:12] + frame[12 + len(tags):])
            except OSError:
                pass


def main():
    kind, near, far, *rest = sys.argv[1:]
    if kind == "raw":
        carry_raw(device(near, IFF_TUN), device(far, IFF_TUN))
    ports = [trunk_port(name) for name in rest[:2]]
    tags = b"".join(
        struct.pack(">HH", int(tpid, 16), int(vid))
        for tpid, vid in (tag.split(":") for tag in rest[2:])
    )
    carry_tagged(device(near, IFF_TAP), device(far, IFF_TAP), *ports, tags)


main()
