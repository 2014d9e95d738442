//! Filters in tcpdump's syntax (pcap-filter(7)), compiled by libpcap.
//!
//! libpcap is loaded when a filter is set and not before, so that the engine runs where it is not
//! installed. Its compiler makes a program of classic BPF. Packet sockets give the program to the
//! kernel; for capture files it is run over each frame by libpcap's own `bpf_filter`, so that
//! tcpdump and this engine cannot disagree about a packet.
//!
//! We did not write a compiler or an interpreter: the syntax has thirty years of corners, and who
//! types a filter here has tried it in tcpdump before.

mod libpcap;
mod sieve;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use libpcap::{Dead, Live, Pcap};
pub(super) use sieve::{Judge, Sieve};

use super::netdev;
use crate::lock::lock;

const ETHERNET: u16 = 1;
const RAW: u16 = 101;
const IEEE802_11: u16 = 105;
const LINUX_SLL: u16 = 113;
const IEEE802_11_RADIOTAP: u16 = 127;

/// From here on, an absolute offset of a load names no byte of the frame: it asks the Linux
/// kernel about the packet (`SKF_LL_OFF` in linux/filter.h, the lowest of its kind).
const KERNEL_OFFSETS: u32 = (-0x20_0000_i32).cast_unsigned();

/// A filter as it was typed, and what libpcap has made of it so far.
#[derive(Debug)]
pub struct Filter {
    text: String,
    pcap: &'static Pcap,
    /// By LINKTYPE. Kept, because a filter may name a host: asked twice, a name server may give
    /// two answers, and two workers would see two filters.
    compiled: Mutex<BTreeMap<u16, Result<Program, FilterError>>>,
}

/// A filter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(pub String);

impl Filter {
    /// Loads libpcap and checks a filter for Ethernet, and if it does not fit there for the other
    /// links that it can be meant for.
    ///
    /// # Errors
    /// When libpcap is missing, or what it says about the filter.
    pub fn new(text: &str) -> Result<Self, FilterError> {
        let pcap = Pcap::get().map_err(FilterError)?;
        let (text, compiled) = (text.to_owned(), Mutex::default());
        let filter = Self { text, pcap, compiled };
        let fits = |link| Dead::open(pcap, link).and_then(|handle| handle.compile(&filter.text));
        if let Err(why) = fits(ETHERNET) {
            // `tcp and udp` is nonsense on every link, though not everywhere does libpcap see it.
            let nonsense = why.contains("rejects all packets");
            let others = [LINUX_SLL, RAW, IEEE802_11_RADIOTAP];
            if nonsense || others.into_iter().all(|link| fits(link).is_err()) {
                let sentence = format!("libpcap refuses this filter (see pcap-filter(7)): {why}");
                return Err(FilterError(sentence));
            }
        }
        Ok(filter)
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The program for packet sockets on an interface: for its link type, and with VLAN tags
    /// looked for where the kernel puts them. For the kernel only, not for
    /// [`Program::accepts`].
    ///
    /// libpcap makes such programs on an open handle of an interface. One is opened for that, and
    /// closed again: of the interface itself, or of `lo` where that is down. Where this process
    /// may open neither, tags that the kernel takes out of a frame are not seen by the filter.
    ///
    /// # Errors
    /// When there is no such interface, when its kind is not known, or what libpcap says.
    pub fn for_interface(&self, interface: &str) -> Result<Program, FilterError> {
        let hardware = match netdev::hardware(interface) {
            Ok(Some(hardware)) => hardware,
            Ok(None) => return Err(FilterError(format!("there is no interface {interface}"))),
            Err(error) => {
                return Err(FilterError(format!("{interface} does not say its type: {error}")));
            }
        };
        let Some(link) = link_of(hardware) else {
            return Err(FilterError(format!(
                "no filter can be used on {interface}: its hardware type {hardware} is not known"
            )));
        };
        let stand_in = (link == ETHERNET).then_some("lo");
        let live = [Some(interface), stand_in].into_iter().flatten();
        let live = live.filter_map(|name| Live::open(self.pcap, name)).find(|l| l.link() == link);
        let compiled = match live {
            Some(handle) => handle.compile(&self.text),
            None => Dead::open(self.pcap, link).and_then(|handle| handle.compile(&self.text)),
        };
        self.program(compiled, || format!("on {interface}"))
    }

    /// The program for frames of a LINKTYPE, to be run by [`Program::accepts`].
    ///
    /// # Errors
    /// What libpcap says: not every filter has a meaning for every link.
    pub fn for_link(&self, link: u16) -> Result<Program, FilterError> {
        let mut known = lock(&self.compiled);
        if let Some(program) = known.get(&link) {
            return program.clone();
        }
        let compiled = Dead::open(self.pcap, link)
            .and_then(|handle| handle.compile(&self.text))
            .and_then(|code| match code.iter().any(asks_the_kernel) {
                // libpcap compiles `inbound` for Linux whatever the frames come from.
                true => Err("only the kernel could tell, and only while it captures".to_owned()),
                false => Ok(code),
            });
        let program = self.program(compiled, || format!("for packets of link type {link}"));
        known.insert(link, program.clone());
        program
    }

    fn program(
        &self,
        compiled: Result<Arc<[libc::sock_filter]>, String>,
        place: impl Fn() -> String,
    ) -> Result<Program, FilterError> {
        match compiled {
            Ok(instructions) => Ok(Program { instructions, pcap: self.pcap }),
            Err(why) => Err(FilterError(format!(
                "the filter `{}` cannot be used {}: {why}",
                self.text,
                place()
            ))),
        }
    }
}

/// A compiled filter.
#[derive(Clone, Debug)]
pub struct Program {
    instructions: Arc<[libc::sock_filter]>,
    pcap: &'static Pcap,
}

impl Program {
    /// For `SO_ATTACH_FILTER`; see socket(7). What it returns for a packet is how much of it the
    /// socket gets: 262144 bytes, libpcap's most.
    pub fn instructions(&self) -> &[libc::sock_filter] {
        &self.instructions
    }

    /// Whether the filter lets a frame through, of which `wire_len` bytes were on the wire. A
    /// frame that ends before the filter has found what it looks for is kept out, as by tcpdump.
    #[inline]
    pub fn accepts(&self, frame: &[u8], wire_len: u32) -> bool {
        self.pcap.run(&self.instructions, frame, wire_len)
    }
}

/// Whether an instruction loads what only the kernel has.
fn asks_the_kernel(instruction: &libc::sock_filter) -> bool {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_ABS;
    // Class and mode; the size does not matter.
    u32::from(instruction.code) & 0xe7 == LOAD && instruction.k >= KERNEL_OFFSETS
}

/// The LINKTYPE of what a packet socket gets from an interface of this kind (`ARPHRD_` in
/// linux/if_arp.h); libpcap's `map_arphrd_to_dlt`, as far as an HTTP capture can need it.
fn link_of(hardware: u16) -> Option<u16> {
    Some(match hardware {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => ETHERNET,
        libc::ARPHRD_IEEE80211 => IEEE802_11,
        libc::ARPHRD_IEEE80211_RADIOTAP => IEEE802_11_RADIOTAP,
        // These have no header of their own before the IP packet. 519 is ARPHRD_RAWIP, 823
        // ARPHRD_IP6GRE.
        libc::ARPHRD_NONE
        | 519
        | libc::ARPHRD_PPP
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT
        | libc::ARPHRD_IPGRE
        | 823 => RAW,
        _ => return None,
    })
}
