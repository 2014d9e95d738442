//! Builds capture files byte by byte, for the tests of this folder.
//!
//! The builders write what they are told, right or wrong, so that a test can damage one field.

/// A pcap layout that a test wants.
#[derive(Clone, Copy)]
pub(crate) struct PcapKind {
    pub(crate) name: &'static str,
    magic: u32,
    big: bool,
    pub(crate) nanos: bool,
    modified: bool,
}

impl PcapKind {
    pub(crate) const ALL: [Self; 6] = [
        Self::new("micros, little", 0xa1b2_c3d4, false),
        Self::new("micros, big", 0xa1b2_c3d4, true),
        Self::new("nanos, little", 0xa1b2_3c4d, false),
        Self::new("nanos, big", 0xa1b2_3c4d, true),
        Self::new("modified, little", 0xa1b2_cd34, false),
        Self::new("modified, big", 0xa1b2_cd34, true),
    ];

    const fn new(name: &'static str, magic: u32, big: bool) -> Self {
        Self { name, magic, big, nanos: magic == 0xa1b2_3c4d, modified: magic == 0xa1b2_cd34 }
    }
}

fn u16_bytes(value: u16, big: bool) -> [u8; 2] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn u32_bytes(value: u32, big: bool) -> [u8; 4] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a sample is small")
}

/// A pcap file in the making.
pub(crate) struct PcapFile {
    kind: PcapKind,
    pub(crate) bytes: Vec<u8>,
}

impl PcapFile {
    pub(crate) fn new(kind: PcapKind, snaplen: u32, link: u32) -> Self {
        let mut file = Self { kind, bytes: Vec::new() };
        file.u32(kind.magic);
        file.bytes.extend(u16_bytes(2, kind.big));
        file.bytes.extend(u16_bytes(4, kind.big));
        for field in [0, 0, snaplen, link] {
            file.u32(field);
        }
        file
    }

    pub(crate) fn version(&mut self, major: u16, minor: u16) {
        self.bytes[4..6].copy_from_slice(&u16_bytes(major, self.kind.big));
        self.bytes[6..8].copy_from_slice(&u16_bytes(minor, self.kind.big));
    }

    pub(crate) fn record_header(&mut self, seconds: u32, fraction: u32, captured: u32, wire: u32) {
        for field in [seconds, fraction, captured, wire] {
            self.u32(field);
        }
        if self.kind.modified {
            self.u32(3);
            self.u32(0x0800_0000);
        }
    }

    pub(crate) fn packet(&mut self, seconds: u32, fraction: u32, data: &[u8], wire: u32) {
        self.record_header(seconds, fraction, length(data), wire);
        self.bytes.extend(data);
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(u32_bytes(value, self.kind.big));
    }
}

/// A pcapng file in the making.
pub(crate) struct NgFile {
    big: bool,
    pub(crate) bytes: Vec<u8>,
}

impl NgFile {
    pub(crate) fn new(big: bool) -> Self {
        let mut file = Self { big, bytes: Vec::new() };
        file.section(big);
        file
    }

    /// Begins a section, which may have another byte order.
    pub(crate) fn section(&mut self, big: bool) {
        self.big = big;
        let mut body = Vec::new();
        body.extend(u32_bytes(0x1a2b_3c4d, big));
        body.extend(u16_bytes(1, big));
        body.extend(u16_bytes(0, big));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body);
    }

    /// A block of any kind, padded.
    pub(crate) fn block(&mut self, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let total = u32::try_from(padded + 12).expect("a sample is small");
        self.raw(kind, total, body, total);
    }

    /// A block with whatever lengths.
    pub(crate) fn raw(&mut self, kind: u32, head: u32, body: &[u8], tail: u32) {
        self.bytes.extend(u32_bytes(kind, self.big));
        self.bytes.extend(u32_bytes(head, self.big));
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes.extend(u32_bytes(tail, self.big));
    }

    /// Options, padded and ended.
    pub(crate) fn options(&self, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (code, value) in options {
            bytes.extend(u16_bytes(*code, self.big));
            let length = u16::try_from(value.len()).expect("a sample is small");
            bytes.extend(u16_bytes(length, self.big));
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            bytes.extend([0; 4]);
        }
        bytes
    }

    pub(crate) fn u64(&self, value: u64) -> [u8; 8] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn interface(&mut self, link: u16, snaplen: u32, options: &[(u16, &[u8])]) {
        let mut body = Vec::from(u16_bytes(link, self.big));
        body.extend([0; 2]);
        body.extend(u32_bytes(snaplen, self.big));
        body.extend(self.options(options));
        self.block(1, &body);
    }

    pub(crate) fn enhanced(
        &mut self,
        interface: u32,
        ticks: u64,
        data: &[u8],
        wire: u32,
        options: &[(u16, &[u8])],
    ) {
        let mut body = self.ticks(interface, ticks);
        self.tail(&mut body, length(data), data, wire, options);
        self.block(6, &body);
    }

    /// An Enhanced Packet Block that lies about its length.
    pub(crate) fn overlong(&mut self, captured: u32, data: &[u8]) {
        let mut body = self.ticks(0, 0);
        self.tail(&mut body, captured, data, captured, &[]);
        self.block(6, &body);
    }

    pub(crate) fn obsolete(&mut self, interface: u16, ticks: u64, data: &[u8], wire: u32) {
        let mut body = self.ticks(0, ticks);
        body[..2].copy_from_slice(&u16_bytes(interface, self.big));
        body[2..4].copy_from_slice(&u16_bytes(u16::MAX, self.big));
        self.tail(&mut body, length(data), data, wire, &[]);
        self.block(2, &body);
    }

    pub(crate) fn simple(&mut self, data: &[u8], wire: u32) {
        let mut body = Vec::from(u32_bytes(wire, self.big));
        body.extend(data);
        self.block(3, &body);
    }

    pub(crate) fn statistics(&mut self, interface: u32, received: u64, dropped: u64) {
        let mut body = self.ticks(interface, 0);
        let (received, dropped) = (self.u64(received), self.u64(dropped));
        body.extend(self.options(&[(4, &received), (5, &dropped)]));
        self.block(5, &body);
    }

    fn ticks(&self, interface: u32, ticks: u64) -> Vec<u8> {
        let high = u32::try_from(ticks >> 32).expect("32 bits are left");
        let low = u32::try_from(ticks & 0xffff_ffff).expect("32 bits are left");
        [interface, high, low].into_iter().flat_map(|field| u32_bytes(field, self.big)).collect()
    }

    fn tail(
        &self,
        body: &mut Vec<u8>,
        captured: u32,
        data: &[u8],
        wire: u32,
        options: &[(u16, &[u8])],
    ) {
        body.extend(u32_bytes(captured, self.big));
        body.extend(u32_bytes(wire, self.big));
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(self.options(options));
    }
}

/// One good file of each format: name, bytes, and where each record ends.
pub(crate) fn good_files() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = PcapKind::ALL
        .iter()
        .map(|kind| {
            let mut file = PcapFile::new(*kind, 65_535, 1);
            for (i, size) in (0_u32..).zip([60_usize, 0, 1, 333, 64]) {
                file.packet(1000 + i, i, &vec![0xab; size], 1500);
            }
            (format!("pcap {}", kind.name), file.bytes)
        })
        .collect();
    for big in [false, true] {
        let mut file = NgFile::new(big);
        file.interface(1, 262_144, &[(2, b"eth2"), (9, &[9])]);
        file.enhanced(0, 1_000_000_000, b"first", 60, &[(1, b"a comment")]);
        file.block(4, b"names");
        file.interface(113, 4, &[]);
        file.enhanced(1, 2_000_000, &[0xcd; 70], 1500, &[]);
        file.simple(b"third", 5);
        file.obsolete(1, 3_000_000, b"fourth", 6);
        file.block(0x0bad, b"custom");
        file.statistics(0, 100, 7);
        file.section(!big);
        file.interface(101, 0, &[(9, &[0x94])]);
        file.enhanced(0, 5 << 20, b"fifth", 5, &[]);
        files.push((format!("pcapng, big endian first: {big}"), file.bytes));
    }
    files
}
