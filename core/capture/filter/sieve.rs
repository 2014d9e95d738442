//! A filter as one worker runs it over frames of several link types.

use std::sync::Arc;

use super::{Filter, Program};

/// A worker's filter. It asks for a program when it meets a link type first, and holds it from
/// then on: per packet there is no lock, only the run.
#[derive(Debug)]
pub(crate) struct Sieve {
    filter: Option<Arc<Filter>>,
    met: Vec<(u16, Option<Program>)>,
}

/// Who judges the frames of a link type.
#[derive(Debug)]
pub(crate) enum Judge<'a> {
    /// There is no filter.
    Nobody,
    /// This program.
    Program(&'a Program),
    /// The filter has no meaning for them.
    Unfit,
}

impl Sieve {
    pub(crate) fn new(filter: Option<Arc<Filter>>) -> Self {
        Self { filter, met: Vec::new() }
    }

    /// Whether it lets everything through.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.filter.is_none()
    }

    /// Who judges the frames of `link`.
    #[inline]
    pub(crate) fn judge(&mut self, link: u16) -> Judge<'_> {
        let Some(filter) = &self.filter else { return Judge::Nobody };
        let at = match self.met.iter().position(|(met, _)| *met == link) {
            Some(at) => at,
            None => meet(filter, &mut self.met, link),
        };
        match &self.met[at].1 {
            Some(program) => Judge::Program(program),
            None => Judge::Unfit,
        }
    }

    /// Why the filter has no meaning for `link`.
    pub(crate) fn why(&self, link: u16) -> Option<String> {
        let filter = self.filter.as_ref()?;
        filter.for_link(link).err().map(|error| error.to_string())
    }
}

#[cold]
fn meet(filter: &Filter, met: &mut Vec<(u16, Option<Program>)>, link: u16) -> usize {
    met.push((link, filter.for_link(link).ok()));
    met.len() - 1
}
