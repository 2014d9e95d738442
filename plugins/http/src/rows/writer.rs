//! One row: each value of a head goes to its column.

use ringmill_sdk::columns::Text;

use super::{Cell, Rows};
use crate::{
    columns::Value,
    extras::Extras,
    fields::{self, Column},
    framing::{Framing, decimal},
    head::{Flags, Kind, Start, Take},
    text::Checked,
    url::{cut_host, links_without_userinfo, without_userinfo},
};

/// Writes one row.
pub(super) struct Writer<'r, 'a> {
    rows: &'r mut Rows,
    pub flags: Flags,
    pub head: Checked<'a>,
    pub waiting: Extras<'a>,
    /// One bit for each [`Column`] that has its value.
    filled: u64,
    /// At most as many bytes of text as this row will hold in its longest column.
    pub size: usize,
    pub framing: Framing,
    /// There was a Content-Type.
    has_type: bool,
}

impl<'a> Take<'a> for Writer<'_, 'a> {
    #[inline]
    fn start(&mut self, start: &Start<'a>) {
        self.framing.start(start);
        let (row, head) = (self.rows.rows, Checked::new(start.head));
        self.head = head;
        let rows = &mut *self.rows;
        let mut is_utf8 = true;
        // What is missing in the first line is null.
        let mut put = |column: &mut Text, value: &[u8]| {
            if !value.is_empty() {
                is_utf8 &= put(column, row, head, value);
            }
        };
        put(&mut rows.version, start.version);
        match rows.kind {
            Kind::Request => {
                put(&mut rows.method, start.method);
                match without_userinfo(start.target, start.target_cut) {
                    (target, b"") => put(&mut rows.uri, target),
                    (before, after) => put(&mut rows.uri, &[before, after].concat()),
                }
            }
            Kind::Response => {
                put(&mut rows.reason, start.reason);
                if let Some(status) = start.status {
                    rows.status_code.put(row, status);
                    rows.mix.status(status);
                }
            }
        }
        self.size += longest(start.method.len() + start.target.len() + start.reason.len());
        if !is_utf8 {
            self.flags.set(Flags::NOT_UTF8);
        }
    }

    #[inline]
    fn field(&mut self, name: &'a str, value: &'a [u8], cut: bool) {
        self.size += longest(name.len() + value.len());
        let known = fields::field(name.as_bytes());
        let taken = match known {
            Some(fields::Field::Column(column)) => {
                self.heed(column, value);
                self.own(column, value, cut)
            }
            _ => false,
        };
        if !taken {
            self.waiting.push(name, value, known, cut);
        }
    }
}

impl<'r, 'a> Writer<'r, 'a> {
    /// For the row behind the last one; `waiting` is empty.
    pub(super) fn new(rows: &'r mut Rows, waiting: Extras<'a>) -> Self {
        Self {
            rows,
            flags: Flags::default(),
            head: Checked::default(),
            waiting,
            filled: 0,
            size: 0,
            framing: Framing::default(),
            has_type: false,
        }
    }

    /// What is told by more than the column.
    #[inline]
    fn heed(&mut self, column: Column, value: &[u8]) {
        match column {
            Column::ContentLength => self.framing.length(value),
            Column::TransferEncoding => self.framing.coding(value),
            // Of the first one.
            Column::ContentType
                if self.rows.kind == Kind::Response
                    && !std::mem::replace(&mut self.has_type, true) =>
            {
                self.rows.mix.content(value);
            }
            _ => {}
        }
    }

    /// Whether the value is in its column now; else there is none, or it has one already.
    #[inline]
    fn own(&mut self, column: Column, value: &'a [u8], cut: bool) -> bool {
        let (row, head) = (self.rows.rows, self.head);
        let bit = 1 << column as u32;
        if self.filled & bit != 0 {
            return false;
        }
        let Some(cell) = self.rows.cell(column) else { return false };
        let is_utf8 = match (cell, column.value()) {
            (Cell::Number(numbers), _) => match decimal(value) {
                // Of a number that is cut nobody knows how much is missing.
                Some(number) if !cut => {
                    numbers.put(row, number);
                    true
                }
                _ => return false,
            },
            (Cell::Text(text), Value::Text | Value::Number) => put(text, row, head, value),
            (Cell::Text(text), Value::Url) => put_url(text, row, head, value, cut),
            (Cell::Text(text), Value::Authority) => {
                put_url(text, row, head, if cut { cut_host(value) } else { value }, false)
            }
            (Cell::Text(text), Value::Links) => match links_without_userinfo(value, cut) {
                None => put(text, row, head, value),
                Some(value) => text.put_bytes(row, &value),
            },
        };
        self.filled |= bit;
        if !is_utf8 {
            self.flags.set(Flags::NOT_UTF8);
        }
        true
    }
}

/// Whether the URL was UTF-8.
#[inline]
fn put_url(column: &mut Text, row: usize, head: Checked<'_>, url: &[u8], cut: bool) -> bool {
    match without_userinfo(url, cut) {
        (url, b"") => put(column, row, head, url),
        (before, after) => column.put_bytes(row, &[before, after].concat()),
    }
}

/// Whether the value was UTF-8.
#[inline]
fn put(column: &mut Text, row: usize, head: Checked<'_>, value: &[u8]) -> bool {
    match head.find(value) {
        Some(value) => {
            column.put(row, value);
            true
        }
        None => column.put_bytes(row, value),
    }
}

/// How long `bytes` may become: a byte that is not UTF-8 takes three, and `, ` may follow.
#[inline]
fn longest(bytes: usize) -> usize {
    bytes.saturating_mul(3).saturating_add(2)
}
