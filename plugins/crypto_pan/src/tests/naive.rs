//! The map written down as the paper defines it: one bit after another, one AES call a bit.
//! The oracle for the batched one, and what it is measured against.

use aes::{
    Aes128, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};

pub(super) struct Naive {
    cipher: Aes128,
    pad: [u8; 16],
}

impl Naive {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let cipher = Aes128::new_from_slice(&key[..16]).unwrap();
        let mut pad = Block::try_from(&key[16..]).unwrap();
        cipher.encrypt_block(&mut pad);
        Self { cipher, pad: pad.into() }
    }

    pub(super) fn v4(&self, address: u32) -> u32 {
        u32::from_be_bytes(self.map(address.to_be_bytes()))
    }

    pub(super) fn v6(&self, address: u128) -> u128 {
        u128::from_be_bytes(self.map(address.to_be_bytes()))
    }

    fn map<const N: usize>(&self, address: [u8; N]) -> [u8; N] {
        let mut input = self.pad;
        let mut pseudonym = [0; N];
        for bit in 0..N * 8 {
            let mut block = Block::from(input);
            self.cipher.encrypt_block(&mut block);
            let (byte, mask) = (bit / 8, 0x80 >> (bit % 8));
            let flip = if block[0] & 0x80 == 0 { 0 } else { mask };
            pseudonym[byte] |= (address[byte] & mask) ^ flip;
            // The next bit sees one bit more of the address and one less of the pad.
            input[byte] = (input[byte] & !mask) | (address[byte] & mask);
        }
        pseudonym
    }
}
