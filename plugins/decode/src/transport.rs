//! TCP (RFC 9293) and UDP (RFC 768), the ends of the road; a UDP datagram may be a tunnel.

use etherparse::{TcpHeaderSlice, UdpHeaderSlice, err::tcp};
use ringmill_sdk::Layers;

use crate::{
    drop_reason::DropReason,
    flow,
    ip::{Ends, Header},
    road::{Found, Road},
    span::Span,
    tunnel,
};

pub(crate) type Ports = (u16, u16);

const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;

/// A TCP segment.
#[inline]
pub(crate) fn tcp<'f>(
    body: Span<'f>,
    ip: Header,
    road: &mut Road,
) -> Result<Found<'f>, DropReason> {
    let head = TcpHeaderSlice::from_slice(body.captured()).map_err(|error| match error {
        tcp::HeaderSliceError::Len(error) => {
            body.blame(error.required_len, DropReason::ShortTransport, DropReason::BadTcpHeader)
        }
        tcp::HeaderSliceError::Content(_) => DropReason::BadTcpHeader,
    })?;
    let ports = (head.source_port(), head.destination_port());
    found(TCP, body, (head.slice().len(), head.slice()[13]), ports, ip, road)
}

/// A UDP datagram, or what it carries.
pub(crate) fn udp<'f>(
    body: Span<'f>,
    ip: Header,
    road: &mut Road,
) -> Result<Found<'f>, DropReason> {
    let head = UdpHeaderSlice::from_slice(body.captured()).map_err(|error| {
        body.blame(error.required_len, DropReason::ShortTransport, DropReason::BadUdpLength)
    })?;
    let len = match usize::from(head.length()) {
        // RFC 2675, section 4: the UDP length of a jumbogram.
        0 => body.len(),
        len if len < UDP_HEADER || len > body.len() => return Err(DropReason::BadUdpLength),
        len => len,
    };
    let (body, ports) = (body.claim(len), (head.source_port(), head.destination_port()));
    if tunnel::may_be(ports)
        && let Some(inside) = tunnel::inside(ports, body.skip(UDP_HEADER), road)?
    {
        return Ok(inside);
    }
    found(UDP, body, (UDP_HEADER, 0), ports, ip, road)
}

#[inline]
fn found<'f>(
    protocol: u8,
    body: Span<'f>,
    (head_len, tcp_flags): (usize, u8),
    ports: Ports,
    ip: Header,
    road: &mut Road,
) -> Result<Found<'f>, DropReason> {
    let payload = body.skip(head_len);
    let offset = |at: usize| u16::try_from(at).map_err(|_| DropReason::BadIpExtension);
    let captured = payload.captured().len();
    let (ip_version, hash) = match ip.ends {
        Ends::V4(from, to) => (4, flow::v4(from, to, ports, protocol)),
        Ends::V6(from, to) => (6, flow::v6(from, to, ports, protocol)),
    };
    road.flow_hash = hash;
    road.layers = Layers {
        ip_version,
        protocol,
        vlan: 0,
        l3: offset(ip.start)?,
        l4: offset(body.start())?,
        payload: offset(payload.start())?,
        payload_len: u32::try_from(captured).unwrap_or(u32::MAX),
        truncated: payload.len() > captured,
        tcp_flags,
    };
    Ok(Found::Transport)
}
