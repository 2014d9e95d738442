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
//! We did not tabulate the first 8 or 16 bits, which are the same for all addresses: a quarter
//! to a half of the blocks less, but the table is key material that lies in the cache beside
//! everything else, and the map is already a small part of what a record costs.

use std::{fmt, ops::BitXorAssign};

use aes::{
    Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use zeroize::Zeroize;

/// Blocks in one call: 4 KiB, a small part of any first-level cache. More is not faster.
const BLOCKS: usize = 256;

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
pub(crate) trait Address: Copy + BitXorAssign {
    const BITS: usize;
    /// Its bits at the front of a block.
    fn in_block(self) -> u128;
    /// Its last bits come from this word; those before are `front`.
    fn append(front: Self, word: u32) -> Self;
    const ZERO: Self;
}

impl Address for u32 {
    const BITS: usize = 32;
    const ZERO: Self = 0;
    fn in_block(self) -> u128 {
        u128::from(self) << 96
    }
    fn append(_: Self, word: u32) -> Self {
        word
    }
}

impl Address for u128 {
    const BITS: usize = 128;
    const ZERO: Self = 0;
    fn in_block(self) -> u128 {
        self
    }
    fn append(front: Self, word: u32) -> Self {
        front << 32 | Self::from(word)
    }
}

/// A key, ready for use. Everything in it is wiped on drop.
pub(crate) struct Pan {
    cipher: Aes128Enc,
    /// In memory order, as [`PREFIX`].
    pad: u128,
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
        let blocks = [Block::default(); BLOCKS];
        Self { cipher, pad, blocks }
    }

    /// Replaces each address by its pseudonym.
    pub(crate) fn map<A: Address>(&mut self, addresses: &mut [A]) {
        let pad = self.pad;
        for addresses in addresses.chunks_mut(BLOCKS / A::BITS) {
            let blocks = &mut self.blocks[..addresses.len() * A::BITS];
            for (address, blocks) in addresses.iter().zip(blocks.chunks_exact_mut(A::BITS)) {
                let differing = pad ^ address.in_block().to_be();
                for (block, prefix) in blocks.iter_mut().zip(&PREFIX) {
                    // The address where the mask is set, the pad elsewhere.
                    *block = (pad ^ (differing & prefix)).to_ne_bytes().into();
                }
            }
            self.cipher.encrypt_blocks(blocks);
            for (address, blocks) in addresses.iter_mut().zip(blocks.chunks_exact(A::BITS)) {
                // A word at a time: shifting 128 bits by one, 128 times, is slower.
                *address ^= blocks.chunks_exact(32).fold(A::ZERO, |flips, blocks| {
                    let word = blocks.iter().fold(0, |w, b| w << 1 | u32::from(b[0] >> 7));
                    A::append(flips, word)
                });
            }
        }
    }
}

impl Drop for Pan {
    fn drop(&mut self) {
        // The cipher wipes itself: feature `zeroize` of the `aes` crate.
        self.pad.zeroize();
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
