//! bpf(2), as far as a program of five instructions needs it.
//!
//! The structures are the heads of `union bpf_attr` in `include/uapi/linux/bpf.h`; the kernel
//! takes what is not given as zero.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

const MAP_CREATE: u32 = 0;
const MAP_UPDATE_ELEM: u32 = 2;
const MAP_DELETE_ELEM: u32 = 3;
const PROG_LOAD: u32 = 5;
const LINK_CREATE: u32 = 28;

const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// The program takes packets that lie in several pieces; since Linux 5.18.
const XDP_HAS_FRAGS: u32 = 1 << 5;
const FLAGS_SKB_MODE: u32 = 1 << 1;
const FLAGS_DRV_MODE: u32 = 1 << 2;

/// What `bpftool` shows the program and its map under.
const NAME: [u8; 16] = *b"ringmill\0\0\0\0\0\0\0\0";

/// One instruction, `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    /// Destination in the low half, source in the high half.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// Hands a packet to the socket of its queue, or passes it on where there is none.
const fn program(map: RawFd) -> [Instruction; 6] {
    const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
        Instruction { code, registers, offset, immediate }
    }
    [
        // r2 = ctx->rx_queue_index, the fifth word of `struct xdp_md`
        instruction(0x61, 0x12, 16, 0),
        // r1 = the map; two slots, and 1 in the source says that the number is a descriptor
        instruction(0x18, 0x11, 0, map),
        instruction(0, 0, 0, 0),
        // r3 = XDP_PASS, which the helper returns where the map has no socket (since Linux 5.3)
        instruction(0xb7, 0x03, 0, 2),
        // r0 = bpf_redirect_map(r1, r2, r3)
        instruction(0x85, 0x00, 0, 51),
        // return r0
        instruction(0x95, 0x00, 0, 0),
    ]
}

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In the driver, before there is a socket buffer.
    Native,
    /// In the network stack, after GRO; for drivers without XDP.
    Generic,
}

/// The map from queue to socket.
#[derive(Debug)]
pub(super) struct SocketMap(OwnedFd);

impl SocketMap {
    /// A map for so many queues.
    pub(super) fn new(queues: u32) -> io::Result<Self> {
        #[repr(C)]
        struct Create {
            map_type: u32,
            key_size: u32,
            value_size: u32,
            max_entries: u32,
            map_flags: u32,
            inner_map_fd: u32,
            numa_node: u32,
            map_name: [u8; 16],
        }
        let create = Create {
            map_type: MAP_TYPE_XSKMAP,
            key_size: 4,
            value_size: 4,
            max_entries: queues,
            map_flags: 0,
            inner_map_fd: 0,
            numa_node: 0,
            map_name: NAME,
        };
        // SAFETY: no field of `create` is an address.
        Ok(Self(owned(unsafe { bpf(MAP_CREATE, &create) }?)))
    }

    /// Gives the packets of a queue to a socket.
    pub(super) fn insert(&self, queue: u32, socket: RawFd) -> io::Result<()> {
        self.element(MAP_UPDATE_ELEM, queue, socket)
    }

    /// Gives the packets of a queue back to the kernel.
    pub(super) fn remove(&self, queue: u32) -> io::Result<()> {
        self.element(MAP_DELETE_ELEM, queue, -1)
    }

    fn element(&self, command: u32, queue: u32, socket: RawFd) -> io::Result<()> {
        #[repr(C)]
        struct Element {
            map_fd: u32,
            pad: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        let element = Element {
            map_fd: number(self.0.as_raw_fd()),
            pad: 0,
            key: address(&raw const queue),
            value: address(&raw const socket),
            flags: 0,
        };
        // SAFETY: key and value are four bytes each, as the map was made, and live across the
        // call; the kernel reads them only.
        unsafe { bpf(command, &element) }.map(drop)
    }
}

/// Loads the program for a map.
pub(super) fn load(map: &SocketMap, frags: bool) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Load {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
    }
    let instructions = program(map.0.as_raw_fd());
    let load = Load {
        prog_type: PROG_TYPE_XDP,
        insn_cnt: 6,
        insns: address(&raw const instructions),
        license: address(c"Dual MIT/GPL".as_ptr()),
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: if frags { XDP_HAS_FRAGS } else { 0 },
        prog_name: NAME,
    };
    // SAFETY: `insns` is the address of `insn_cnt` instructions and `license` that of a string
    // that ends with a zero; both live across the call and are only read.
    Ok(owned(unsafe { bpf(PROG_LOAD, &load) }?))
}

/// Hangs a program on an interface. Closing the link takes it off again.
pub(super) fn link(program: &OwnedFd, interface: u32, mode: Mode) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Link {
        prog_fd: u32,
        target_ifindex: u32,
        attach_type: u32,
        flags: u32,
    }
    let link = Link {
        prog_fd: number(program.as_raw_fd()),
        target_ifindex: interface,
        attach_type: ATTACH_XDP,
        flags: match mode {
            Mode::Native => FLAGS_DRV_MODE,
            Mode::Generic => FLAGS_SKB_MODE,
        },
    };
    // SAFETY: no field of `link` is an address.
    Ok(owned(unsafe { bpf(LINK_CREATE, &link) }?))
}

/// The system call. The descriptors that it makes are closed on exec.
///
/// # Safety
/// `attributes` is what `command` takes, and the addresses in it are good for what the command
/// does with them.
unsafe fn bpf<T>(command: u32, attributes: &T) -> io::Result<RawFd> {
    // SAFETY: `attributes` lives across the call and has the size that is given.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, &raw const *attributes, mem::size_of::<T>())
    };
    match RawFd::try_from(result) {
        Ok(fd) if fd >= 0 => Ok(fd),
        _ => Err(io::Error::last_os_error()),
    }
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: only called with a descriptor that the kernel has just made for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn number(fd: RawFd) -> u32 {
    fd.cast_unsigned()
}

fn address<T>(of: *const T) -> u64 {
    of.addr() as u64
}
