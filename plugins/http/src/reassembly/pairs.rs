//! Requests that were not answered yet: what their responses will say of them.

use ringmill_sdk::prefetch;

use super::table::NONE;
use crate::{framing::Method, rows::Asked};

/// The most requests of one connection that wait for a response; browsers that pipelined at
/// all had 8 under way.
pub(super) const MOST: u8 = 64;

/// The longest URL that is kept, in bytes; of a longer one a response has the beginning.
const LONGEST: usize = 8192;

/// A request without its response.
#[derive(Default)]
pub(super) struct Request {
    /// Method, host and URL, one behind the other.
    pub text: Vec<u8>,
    /// Where the method and the host end.
    pub ends: (usize, usize),
    /// Which of the three there are.
    pub there: (bool, bool, bool),
    pub method: Method,
    /// When the end of its head was seen, in nanoseconds.
    pub end: i64,
    pub exchange: u32,
    /// The next byte that the client awaited when it sent this.
    pub awaited: Option<u32>,
    /// Before it others may have been missed.
    pub unsure: bool,
    pub next: u32,
}

impl Request {
    pub(super) fn asked(&self) -> Asked<'_> {
        let part =
            |range: std::ops::Range<usize>, there: bool| self.text.get(range).filter(|_| there);
        let (method, host) = self.ends;
        Asked {
            method: part(0..method, self.there.0),
            host: part(method..host, self.there.1),
            uri: part(host..self.text.len(), self.there.2),
        }
    }

    fn keep(&mut self, asked: &Asked<'_>) {
        let parts = [asked.method, asked.host, asked.uri];
        let length = |part: &Option<&[u8]>| part.map_or(0, |part| part.len().min(LONGEST));
        self.text.clear();
        self.text.reserve(parts.iter().map(length).sum());
        self.there = (asked.method.is_some(), asked.host.is_some(), asked.uri.is_some());
        let mut put = |part: Option<&[u8]>| {
            self.text.extend_from_slice(beginning(part.unwrap_or_default()));
            self.text.len()
        };
        self.ends = (put(asked.method), put(asked.host));
        put(asked.uri);
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.text.capacity()
    }
}

/// What is kept of a text: up to the begin of a character.
#[inline]
fn beginning(text: &[u8]) -> &[u8] {
    match text.get(LONGEST) {
        None => text,
        Some(_) => {
            let begins = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
            let end = (0..=LONGEST).rev().find(begins);
            text.get(..end.unwrap_or(0)).unwrap_or_default()
        }
    }
}

/// All of them, in one list for each connection.
pub(super) struct Pairs {
    all: Vec<Request>,
    free: u32,
    pub bytes: usize,
}

impl Pairs {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), free: NONE, bytes: 0 }
    }

    pub(super) fn get(&self, number: u32) -> Option<&Request> {
        self.all.get(number as usize)
    }

    /// Asks for the lines that a request lies in, if there is one.
    #[inline]
    pub(super) fn prefetch(&self, number: u32) {
        if let Some(Request { text, exchange, .. }) = self.get(number) {
            prefetch(text);
            prefetch(exchange);
        }
    }

    /// Asks for what it asked for.
    #[inline]
    pub(super) fn prefetch_text(&self, number: u32) {
        let text = self.get(number).and_then(|request| request.text.first());
        text.into_iter().for_each(prefetch);
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Request> {
        self.all.get_mut(number as usize)
    }

    /// Adds a request behind the others of the list that begins with `first`.
    pub(super) fn push(&mut self, first: &mut u32, mut request: Request, asked: &Asked<'_>) {
        let number = match self.all.get_mut(self.free as usize) {
            Some(old) => {
                let number = self.free;
                self.free = old.next;
                request.text = std::mem::take(&mut old.text);
                request.keep(asked);
                request.next = NONE;
                *old = request;
                number
            }
            None => {
                request.keep(asked);
                request.next = NONE;
                self.all.push(request);
                u32::try_from(self.all.len() - 1).unwrap_or(NONE)
            }
        };
        self.bytes += self.all[number as usize].size();
        let mut last = *first;
        if last == NONE {
            *first = number;
            return;
        }
        while let Some(request) = self.get(last).filter(|request| request.next != NONE) {
            last = request.next;
        }
        self.all[last as usize].next = number;
    }

    /// Adds a request before the others of the list; between it and them others may be missing.
    pub(super) fn push_first(&mut self, first: &mut u32, request: Request, asked: &Asked<'_>) {
        let others = std::mem::replace(first, NONE);
        if let Some(next) = self.get_mut(others) {
            next.unsure = true;
        }
        self.push(first, request, asked);
        if let Some(request) = self.get_mut(*first) {
            request.next = others;
        }
    }

    /// Puts the request whose sender awaited exactly this byte before the others of the list.
    /// Of those that it passes, or of all if there is none, nobody knows any more which is
    /// answered next. Whether there is one.
    pub(super) fn bring_first(&mut self, first: &mut u32, awaited: u32) -> bool {
        let (mut before, mut at) = (NONE, *first);
        while let Some(request) = self.get_mut(at) {
            if request.awaited == Some(awaited) {
                break;
            }
            request.unsure = true;
            (before, at) = (at, request.next);
        }
        let Some(found) = self.get_mut(at) else { return false };
        found.unsure = false;
        if before != NONE {
            let behind = std::mem::replace(&mut found.next, *first);
            *first = at;
            if let Some(before) = self.get_mut(before) {
                before.next = behind;
            }
        }
        true
    }

    /// Takes the first request off the list.
    pub(super) fn pop(&mut self, first: &mut u32) -> bool {
        let Some(request) = self.all.get_mut(*first as usize) else { return false };
        self.bytes -= request.size();
        // A long URL is rare; its memory does not stay.
        if request.text.capacity() > 512 {
            request.text = Vec::new();
        }
        let next = std::mem::replace(&mut request.next, self.free);
        self.free = std::mem::replace(first, next);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_awaited_a_byte_comes_first() {
        // (awaited, whether that is there, the order then, and what is unsure)
        type Order = [(u32, bool); 3];
        let cases: &[(u32, bool, Order)] = &[
            (10, true, [(10, false), (20, true), (30, false)]),
            (20, true, [(20, false), (10, true), (30, false)]),
            (30, true, [(30, false), (10, true), (20, true)]),
            (40, false, [(10, true), (20, true), (30, true)]),
        ];
        for (awaited, found, expected) in cases {
            let (mut pairs, mut list) = (Pairs::new(), NONE);
            let asked = Asked { method: None, host: None, uri: None };
            let request = |n| Request { awaited: Some(n), ..Request::default() };
            pairs.push(&mut list, request(20), &asked);
            pairs.push(&mut list, request(30), &asked);
            pairs.push_first(&mut list, request(10), &asked);
            assert_eq!(pairs.bring_first(&mut list, *awaited), *found, "{awaited}");
            for expected in expected {
                let request = pairs.get(list).map(|it| (it.awaited, it.unsure));
                assert_eq!(request, Some((Some(expected.0), expected.1)), "{awaited}");
                assert!(pairs.pop(&mut list));
            }
            assert!(list == NONE && pairs.bytes == 0, "{awaited}");
        }
    }

    #[test]
    fn first_in_first_out() {
        let mut pairs = Pairs::new();
        let (mut one, mut two) = (NONE, NONE);
        let long = "\u{e9}".repeat(5000);
        let asked = |at: u32| match at % 3 {
            0 => Asked { method: Some(b"GET"), host: None, uri: Some(b"/") },
            1 => Asked { method: Some(b"A"), host: Some(b""), uri: None },
            _ => Asked { method: None, host: Some(b"h"), uri: Some(long.as_bytes()) },
        };
        for round in 0..10 {
            for at in 0..5 {
                let list = if at % 2 == 0 { &mut one } else { &mut two };
                let request = Request { exchange: round * 5 + at, ..Request::default() };
                pairs.push(list, request, &asked(at));
            }
            for at in [0, 1, 2, 3, 4] {
                let list = if at % 2 == 0 { &mut one } else { &mut two };
                let request = pairs.get(*list).map(|it| (it.exchange, it.asked()));
                let mut expected = asked(at);
                expected.uri = expected.uri.map(|uri| &uri[..uri.len().min(LONGEST)]);
                assert_eq!(request, Some((round * 5 + at, expected)));
                assert!(pairs.pop(list));
            }
            assert!(!pairs.pop(&mut one) && !pairs.pop(&mut two));
            assert_eq!(pairs.bytes, 0);
        }
        assert_eq!(pairs.all.len(), 5, "memory is used again");
    }
}
