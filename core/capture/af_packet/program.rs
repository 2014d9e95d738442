//! The programs that decide what the kernel puts into a ring: classic BPF, see
//! `Documentation/networking/filter.rst`.

use libc::sock_filter;

use super::{RingError, Setup};
use crate::config::Direction;

const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
const LOAD_NUMBER: u16 = 0x00; // BPF_LD | BPF_IMM
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K

/// Lets nothing through.
pub(super) const CLOSED: &[sock_filter] = &[statement(RETURN, 0)];

/// What is let through from an interface once its ring is enabled, and how much of it.
///
/// What the machine sends itself is kept out here and not only by `PACKET_IGNORE_OUTGOING`, which
/// kernels before 4.20 do not have and which none heeds in a fanout group (6.2 has a flag of the group for it). What a
/// filter keeps out is counted by nobody.
pub(super) fn open(setup: &Setup, interface: &str) -> Result<Vec<sock_filter>, RingError> {
    let mut program = Vec::new();
    if setup.direction == Direction::Receive {
        let packet_type = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
        program.push(statement(LOAD_BYTE, packet_type));
        let outgoing = u32::from(libc::PACKET_OUTGOING);
        program.push(sock_filter { code: JUMP_EQUAL, jt: 0, jf: 1, k: outgoing });
        program.push(statement(RETURN, 0));
        // The filter finds the accumulator as it would without us.
        program.push(statement(LOAD_NUMBER, 0));
    }
    match &setup.filter {
        None => program.push(statement(RETURN, setup.snaplen)),
        Some(filter) => {
            let compiled = filter.for_interface(interface);
            let compiled = compiled.map_err(|error| RingError(error.to_string()))?;
            let cut = |line: &sock_filter| match line.code {
                RETURN => sock_filter { k: line.k.min(setup.snaplen), ..*line },
                _ => *line,
            };
            program.extend(compiled.instructions().iter().map(cut));
        }
    }
    Ok(program)
}

const fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use super::{CLOSED, LOAD_BYTE, RETURN, Setup, open};
    use crate::config::{Balance, Clock, Direction};

    fn setup(direction: Direction) -> Setup {
        Setup {
            interfaces: vec!["eth0".to_owned()],
            workers: 1,
            cluster: None,
            balance: Balance::Flow,
            promiscuous: true,
            direction,
            clock: Clock::System,
            snaplen: 1000,
            ring_bytes: 1 << 20,
            block_timeout_ms: 10,
            filter: None,
        }
    }

    #[test]
    fn a_closed_ring_takes_nothing() {
        assert!(matches!(CLOSED, [only] if only.code == RETURN && only.k == 0));
    }

    #[test]
    fn without_a_filter_everything_passes_up_to_the_snaplen() {
        let both = open(&setup(Direction::Both), "eth0").unwrap();
        assert!(matches!(both.as_slice(), [only] if only.code == RETURN && only.k == 1000));
    }

    #[test]
    fn what_this_machine_sends_is_kept_out_unless_asked_for() {
        let receive = open(&setup(Direction::Receive), "eth0").unwrap();
        let [load, jump, drop, _, pass] = receive.as_slice() else { panic!("{receive:?}") };
        assert_eq!((load.code, load.k), (LOAD_BYTE, 0xffff_f004));
        assert_eq!((jump.k, jump.jt, jump.jf), (4, 0, 1));
        assert_eq!((drop.code, drop.k), (RETURN, 0));
        assert_eq!((pass.code, pass.k), (RETURN, 1000));
    }
}
