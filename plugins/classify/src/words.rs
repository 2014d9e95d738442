//! The words that a TCP payload may begin with, found without trying one after the other.
//!
//! A table is indexed by a hash of the first two bytes that is perfect for these words, so
//! that one comparison says whether a payload begins with any of them. What comes first in a
//! payload is close to random; a chain of comparisons or a jump table would be mispredicted.

use ringmill_sdk::Class;

const WORDS: [(&[u8], Class); 11] = [
    (b"GET ", Class::HTTP_REQUEST),
    (b"POST ", Class::HTTP_REQUEST),
    (b"PUT ", Class::HTTP_REQUEST),
    (b"DELETE ", Class::HTTP_REQUEST),
    (b"PATCH ", Class::HTTP_REQUEST),
    (b"HEAD ", Class::HTTP_REQUEST),
    (b"OPTIONS ", Class::HTTP_REQUEST),
    (b"CONNECT ", Class::HTTP_REQUEST),
    (b"TRACE ", Class::HTTP_REQUEST),
    (b"HTTP/1.", Class::HTTP_RESPONSE),
    (b"SSH-", Class::SSH),
];

#[derive(Clone, Copy)]
struct Entry {
    /// The word in the highest bytes.
    word: u64,
    /// Which bytes count.
    mask: u64,
    class: Class,
}

const BITS: u32 = 4;
const MULTIPLIER: u16 = 0x01c9;

/// An empty entry matches nothing: its word has a bit outside its mask.
const TABLE: [Entry; 1 << BITS] = {
    let mut table = [Entry { word: 1, mask: 0, class: Class::OTHER }; 1 << BITS];
    let mut n = 0;
    while n < WORDS.len() {
        let (text, class) = WORDS[n];
        let (mut word, mut at) = (0, 0);
        while at < text.len() {
            word |= (text[at] as u64) << (56 - 8 * at);
            at += 1;
        }
        let place = place(word);
        assert!(table[place].mask == 0, "two words in one place: choose another multiplier");
        table[place] = Entry { word, mask: u64::MAX << (64 - 8 * text.len()), class };
        n += 1;
    }
    table
};

/// The class of the word that a payload begins with; its first byte is the highest.
#[inline]
pub(crate) fn find(first: u64) -> Option<Class> {
    let entry = &TABLE[place(first)];
    (first & entry.mask == entry.word).then_some(entry.class)
}

#[inline]
const fn place(first: u64) -> usize {
    let two = (first >> 48) as u16;
    (two.wrapping_mul(MULTIPLIER) >> (16 - BITS)) as usize
}
