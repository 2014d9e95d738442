//! `ipcrypt-deterministic`: one block of AES-128 for each address.

use aes::{
    Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};

/// Blocks in one call: as many as the widest AES units take at once.
const BLOCKS: usize = 64;

/// A key, ready for use; it is wiped on drop by the `aes` crate.
pub(crate) struct Deterministic(Aes128Enc);

impl Deterministic {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(Aes128Enc::new(key.into()))
    }

    /// Replaces each address by its pseudonym.
    pub(crate) fn map(&self, addresses: &mut [u128]) {
        let mut blocks = [Block::default(); BLOCKS];
        for addresses in addresses.chunks_mut(BLOCKS) {
            let blocks = &mut blocks[..addresses.len()];
            for (block, address) in blocks.iter_mut().zip(&*addresses) {
                *block = address.to_be_bytes().into();
            }
            self.0.encrypt_blocks(blocks);
            for (block, address) in blocks.iter().zip(addresses) {
                *address = u128::from_be_bytes((*block).into());
            }
        }
    }
}
