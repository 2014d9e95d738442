//! PF_RING.
