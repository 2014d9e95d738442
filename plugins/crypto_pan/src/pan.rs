//! The map itself.
//!
//! Bit i of the pseudonym is bit i of the address, flipped when the first bit of AES over the
//! i bits before it says so; the block is filled up from a secret pad. The original is defined
//! for IPv4. IPv6 is the same with 128 bits instead of 32, as everybody else does it
//! (yacryptopan, pycryptopan, Yawning Angel's cryptopan), and pseudonyms agree with theirs.
//!
//! The blocks depend on the address alone, not on each other's ciphertext. So we encrypt the
//! blocks of several addresses in one call, which keeps the AES units busy: a call for each
//! block waits ten rounds for every single bit (measured by the ignored test
//! `addresses_per_second`).
//!
//! The first eight bits are looked up: how they are flipped depends on the first byte alone,
//! and 256 bytes of table save a quarter of the work for IPv4. We did not tabulate 16 bits,
//! which would save another quarter: that table is as large as the first-level cache, and
//! takes a millisecond to make for every epoch's key.

use std::fmt;

use aes::{
    Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use zeroize::Zeroize;

/// Bits that are looked up.
const TABULATED: usize = 8;

/// Blocks that the widest AES units take at once. Fewer take as long.
const WIDTH: usize = 64;

/// Blocks in one call: 3 KiB, a small part of any first-level cache. They are those of eight
/// IPv4 addresses, or of one IPv6 address.
const BLOCKS: usize = 3 * WIDTH;

/// The first i bits set, for i from 0 to 127; laid out in memory as a block is, so that the
/// inner loop swaps no bytes.
const PREFIX: [u128; 128] = {
    let mut masks = [0; 128];
    let mut bits = 1;
    while bits < masks.len() {
        masks[bits] = (u128::MAX << (128 - bits)).to_be();
        bits += 1;
    }
    masks
};

/// An address, most significant byte first.
pub(crate) trait Address: Copy {
    const BITS: usize;
    /// Its bits at the front of a block.
    fn in_block(self) -> u128;
    /// Flips the bits that are set at the front of the word.
    fn flip(&mut self, bits: u128);
}

impl Address for u32 {
    const BITS: usize = 32;
    fn in_block(self) -> u128 {
        u128::from(self) << 96
    }
    #[allow(clippy::cast_possible_truncation, reason = "32 bits are what is left")]
    fn flip(&mut self, bits: u128) {
        *self ^= (bits >> 96) as u32;
    }
}

impl Address for u128 {
    const BITS: usize = 128;
    fn in_block(self) -> u128 {
        self
    }
    fn flip(&mut self, bits: u128) {
        *self ^= bits;
    }
}

/// A key, ready for use. Everything in it is wiped on drop.
pub(crate) struct Pan {
    cipher: Aes128Enc,
    /// In memory order, as [`PREFIX`].
    pad: u128,
    /// How the first byte is flipped, for each that there is.
    first: [u8; 256],
    blocks: [Block; BLOCKS],
}

impl Pan {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let (halves, _) = key.as_chunks::<16>();
        let cipher = Aes128Enc::new((&halves[0]).into());
        let mut block = Block::from(halves[1]);
        cipher.encrypt_block(&mut block);
        let pad = u128::from_ne_bytes(block.into());
        block.as_mut_slice().zeroize();
        let mut pan = Self { cipher, pad, first: [0; 256], blocks: [Block::default(); BLOCKS] };
        for byte in 0..=u8::MAX {
            let blocks = &mut pan.blocks[..TABULATED];
            fill(blocks, pad, u128::from(byte) << 120, &PREFIX);
            pan.cipher.encrypt_blocks(blocks);
            pan.first[usize::from(byte)] = blocks.iter().fold(0, |bits, b| bits << 1 | b[0] >> 7);
        }
        pan
    }

    /// Replaces each address by its pseudonym.
    pub(crate) fn map<A: Address>(&mut self, addresses: &mut [A]) {
        let each = A::BITS - TABULATED;
        for addresses in addresses.chunks_mut(BLOCKS / each) {
            for (address, blocks) in addresses.iter().zip(self.blocks.chunks_exact_mut(each)) {
                fill(blocks, self.pad, address.in_block(), &PREFIX[TABULATED..]);
            }
            let used = (addresses.len() * each).next_multiple_of(WIDTH);
            self.cipher.encrypt_blocks(&mut self.blocks[..used]);
            for (address, blocks) in addresses.iter_mut().zip(self.blocks.chunks_exact(each)) {
                let [first, ..] = address.in_block().to_be_bytes();
                let mut flips = u128::from(self.first[usize::from(first)]) << 120;
                // 24 bits at a time: shifting 128 bits by one, 120 times, is slower.
                for (at, blocks) in blocks.chunks_exact(24).enumerate() {
                    let word = blocks.iter().fold(0, |w, b| w << 1 | u32::from(b[0] >> 7));
                    flips |= u128::from(word) << (96 - 24 * at);
                }
                address.flip(flips);
            }
        }
    }
}

/// Writes the blocks for the bits that come after these prefixes: the address where the mask is
/// set, the pad elsewhere.
#[inline]
fn fill(blocks: &mut [Block], pad: u128, address: u128, prefixes: &[u128]) {
    let differing = pad ^ address.to_be();
    for (block, prefix) in blocks.iter_mut().zip(prefixes) {
        *block = (pad ^ (differing & prefix)).to_ne_bytes().into();
    }
}

impl Drop for Pan {
    fn drop(&mut self) {
        // The cipher wipes itself: feature `zeroize` of the `aes` crate.
        self.pad.zeroize();
        self.first.zeroize();
        for block in &mut self.blocks {
            block.as_mut_slice().zeroize();
        }
    }
}

impl fmt::Debug for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pan").finish_non_exhaustive()
    }
}
