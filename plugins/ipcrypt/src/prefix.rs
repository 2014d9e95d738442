//! `ipcrypt-pfx`: bit i of the pseudonym is bit i of the address, flipped when the last bit of
//! a block says so. The block is the XOR of two encryptions, under two keys, of the i bits
//! before it with a one in front, right-aligned.
//!
//! The blocks depend on the address alone, not on each other's ciphertext. So we encrypt those
//! of several addresses in one call, which keeps the AES units busy; the published crate makes
//! two calls for every bit (measured by the ignored test `addresses_per_second`).

use aes::{
    Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};

/// Blocks in one call: 4 KiB for each key, a small part of any first-level cache.
const BLOCKS: usize = 256;

/// An address, most significant byte first.
pub(crate) trait Address: Copy {
    const BITS: usize;
    /// What stands before the first bit: a one, and the 96 bits that all IPv4 addresses have in
    /// common.
    const FRONT: u128;
    /// Its bits at the front of a word.
    fn left_aligned(self) -> u128;
    /// Flips the bits that are set in the left-aligned word.
    fn flip(&mut self, bits: u128);
}

impl Address for u32 {
    const BITS: usize = 32;
    const FRONT: u128 = 1 << 96 | 0xffff;
    fn left_aligned(self) -> u128 {
        u128::from(self) << 96
    }
    #[allow(clippy::cast_possible_truncation, reason = "32 bits are what is left")]
    fn flip(&mut self, bits: u128) {
        *self ^= (bits >> 96) as u32;
    }
}

impl Address for u128 {
    const BITS: usize = 128;
    const FRONT: u128 = 1;
    fn left_aligned(self) -> u128 {
        self
    }
    fn flip(&mut self, bits: u128) {
        *self ^= bits;
    }
}

/// Two keys, ready for use; they are wiped on drop by the `aes` crate.
pub(crate) struct Prefix {
    ciphers: [Aes128Enc; 2],
    /// The same blocks for either cipher. Between calls they hold ciphertext only.
    blocks: Box<[[Block; BLOCKS]; 2]>,
}

impl Prefix {
    pub(crate) fn new(first: &[u8; 16], second: &[u8; 16]) -> Self {
        let ciphers = [first, second].map(|key| Aes128Enc::new(key.into()));
        Self { ciphers, blocks: Box::new([[Block::default(); BLOCKS]; 2]) }
    }

    /// Replaces each address by its pseudonym.
    pub(crate) fn map<A: Address>(&mut self, addresses: &mut [A]) {
        let [first, second] = &mut *self.blocks;
        for addresses in addresses.chunks_mut(BLOCKS / A::BITS) {
            let used = addresses.len() * A::BITS;
            let (first, second) = (&mut first[..used], &mut second[..used]);
            for (address, blocks) in addresses.iter().zip(first.chunks_exact_mut(A::BITS)) {
                let (mut prefix, mut rest) = (A::FRONT, address.left_aligned());
                for block in blocks {
                    *block = prefix.to_be_bytes().into();
                    prefix = prefix << 1 | rest >> 127;
                    rest <<= 1;
                }
            }
            second.copy_from_slice(first);
            self.ciphers[0].encrypt_blocks(first);
            self.ciphers[1].encrypt_blocks(second);
            let pairs = first.chunks_exact(A::BITS).zip(second.chunks_exact(A::BITS));
            for (address, (first, second)) in addresses.iter_mut().zip(pairs) {
                let mut flips = 0;
                // A word at a time: shifting 128 bits by one, 128 times, is slower.
                for (at, (first, second)) in first.chunks(32).zip(second.chunks(32)).enumerate() {
                    let bits =
                        first.iter().zip(second).map(|(a, b)| u32::from((a[15] ^ b[15]) & 1));
                    let word = bits.fold(0, |word, bit| word << 1 | bit);
                    flips |= u128::from(word) << (96 - 32 * at);
                }
                address.flip(flips);
            }
        }
    }
}
