//! IP and what it carries, in every case that there is: with etherparse's header slices.

use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice,
    err::{ip_auth, ipv4, ipv6},
    ip_number,
};
use ringmill_sdk::{Step, map_v4};

use crate::{
    drop_reason::DropReason,
    fragments::{Fragment, Head, Key},
    road::{Found, Layer, Next, Road},
    span::{Span, be16},
    transport,
};

/// The IP version that the layer outside promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    V4,
    V6,
    /// The packet itself says.
    Any,
}

/// What is inside of an IP packet.
#[derive(Debug)]
pub(crate) enum Inside<'f> {
    Layer(Layer, Span<'f>),
    Found(Found<'f>),
}

/// The IP header that is being looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Where it starts in the frame.
    pub(crate) start: usize,
    pub(crate) ends: Ends,
}

/// Source and destination.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

/// Goes to what the packet carries.
#[inline]
pub(crate) fn enter<'f>(
    span: Span<'f>,
    net: Net,
    road: &mut Road,
) -> Result<Inside<'f>, DropReason> {
    match (net, span.captured().first().ok_or(DropReason::ShortIp)? >> 4) {
        (Net::V4 | Net::Any, 4) => v4(span, road),
        (Net::V6 | Net::Any, 6) => v6(span, road),
        _ => Err(DropReason::BadIpVersion),
    }
}

/// The length of the IP packet that the bytes look like, where nothing else says that they are
/// one.
pub(crate) fn plausible(span: Span<'_>) -> Option<(Net, usize)> {
    let bytes = span.captured();
    let (net, header, total) = match bytes.first()? {
        first @ 0x45..=0x4f => (Net::V4, usize::from(first & 15) * 4, usize::from(be16(bytes, 2)?)),
        0x60..=0x6f => (Net::V6, 40, 40 + usize::from(be16(bytes, 4)?)),
        _ => return None,
    };
    (header..=span.len()).contains(&total).then_some((net, total))
}

/// RFC 791.
#[inline]
fn v4<'f>(span: Span<'f>, road: &mut Road) -> Result<Inside<'f>, DropReason> {
    let ip = span.captured();
    let head = Ipv4HeaderSlice::from_slice(ip).map_err(|error| match error {
        ipv4::HeaderSliceError::Len(_) => DropReason::ShortIp,
        ipv4::HeaderSliceError::Content(_) => DropReason::BadIpLength,
    })?;
    let (header, total) = (head.slice().len(), usize::from(head.total_len()));
    if total != 0 && total < header {
        return Err(DropReason::BadIpLength);
    }
    let total = if total == 0 { span.len() } else { total };
    let mut body = span.claim(total).skip(header);
    let mut protocol = head.protocol();
    if head.is_fragmenting_payload() {
        let key = Key {
            ends: (map_v4(head.source()), map_v4(head.destination())),
            number: u32::from(head.identification()),
            // RFC 791: the protocol is part of a datagram's name.
            protocol: protocol.0,
            scope: road.scope,
            vlan: road.vlan & 0x0fff,
        };
        return Ok(Inside::Found(Found::Fragment(Box::new(Fragment {
            key,
            head: Head::V4(head.slice()),
            offset: usize::from(head.fragments_offset().value()) * 8,
            more: head.more_fragments(),
            body,
        }))));
    }
    while protocol == ip_number::AUTH {
        (protocol, body) = authentication(body, road)?;
    }
    let ends = Ends::V4(head.source(), head.destination());
    carried(protocol, body, Header { start: span.start(), ends }, road)
}

/// RFC 8200; a payload length of 0 is that of offloads and jumbograms (RFC 2675).
fn v6<'f>(span: Span<'f>, road: &mut Road) -> Result<Inside<'f>, DropReason> {
    let ip = span.captured();
    let head = Ipv6HeaderSlice::from_slice(ip).map_err(|error| match error {
        ipv6::HeaderSliceError::Len(_) => DropReason::ShortIp,
        ipv6::HeaderSliceError::Content(_) => DropReason::BadIpVersion,
    })?;
    let len = usize::from(head.payload_length());
    let total = if len == 0 { span.len() } else { len + 40 };
    let mut body = span.claim(total).skip(40);
    let mut protocol = head.next_header();
    // Where the number of the header stands that comes next.
    let mut named_at = 6;
    loop {
        let here = body.start() - span.start();
        (protocol, body) = match protocol {
            ip_number::IPV6_HOP_BY_HOP if named_at == 6 => options(body)?,
            ip_number::IPV6_HOP_BY_HOP => return Err(DropReason::BadIpExtension),
            ip_number::IPV6_DEST_OPTIONS | ip_number::IPV6_ROUTE => options(body)?,
            ip_number::AUTH => authentication(body, road)?,
            ip_number::IPV6_FRAG => {
                let fragment = Ipv6FragmentHeaderSlice::from_slice(body.captured())
                    .map_err(|error| extension(body, error.required_len))?;
                let rest = body.skip(fragment.slice().len());
                if fragment.is_fragmenting_payload() {
                    let key = Key {
                        ends: (head.source(), head.destination()),
                        number: fragment.identification(),
                        protocol: 0,
                        scope: road.scope,
                        vlan: road.vlan & 0x0fff,
                    };
                    let next = fragment.next_header().0;
                    return Ok(Inside::Found(Found::Fragment(Box::new(Fragment {
                        key,
                        head: Head::V6 { bytes: &ip[..here], named_at, next },
                        offset: usize::from(fragment.fragment_offset().value()) * 8,
                        more: fragment.more_fragments(),
                        body: rest,
                    }))));
                }
                (fragment.next_header(), rest)
            }
            _ => break,
        };
        named_at = here;
    }
    let ends = Ends::V6(head.source(), head.destination());
    carried(protocol, body, Header { start: span.start(), ends }, road)
}

/// An extension header with a length of its own.
fn options(body: Span<'_>) -> Result<(IpNumber, Span<'_>), DropReason> {
    let header = Ipv6RawExtHeaderSlice::from_slice(body.captured())
        .map_err(|error| extension(body, error.required_len))?;
    Ok((header.next_header(), body.skip(header.slice().len())))
}

/// RFC 4302.
fn authentication<'f>(body: Span<'f>, road: &mut Road) -> Result<(IpNumber, Span<'f>), DropReason> {
    let header = IpAuthHeaderSlice::from_slice(body.captured()).map_err(|error| match error {
        ip_auth::HeaderSliceError::Len(error) => extension(body, error.required_len),
        ip_auth::HeaderSliceError::Content(_) => DropReason::BadIpExtension,
    })?;
    road.enter(Step::AH)?;
    Ok((header.next_header(), body.skip(header.slice().len())))
}

fn extension(body: Span<'_>, needed: usize) -> DropReason {
    body.blame(needed, DropReason::ShortIp, DropReason::BadIpExtension)
}

/// What an IP packet carries. An ICMP error quotes a packet that is not traffic, so ICMP is
/// never looked into.
#[inline]
fn carried<'f>(
    protocol: IpNumber,
    body: Span<'f>,
    header: Header,
    road: &mut Road,
) -> Result<Inside<'f>, DropReason> {
    let is_v4 = matches!(header.ends, Ends::V4(..));
    let next: Next<'f> = match protocol {
        ip_number::TCP => return transport::tcp(body, header, road).map(Inside::Found),
        ip_number::UDP => return transport::udp(body, header, road).map(Inside::Found),
        ip_number::IPV4 => {
            road.enter(if is_v4 { Step::IP4_IN_4 } else { Step::IP4_IN_6 })?;
            Ok((Layer::Ip(Net::V4), body))
        }
        ip_number::IPV6 => {
            road.enter(if is_v4 { Step::IP6_IN_4 } else { Step::IP6_IN_6 })?;
            Ok((Layer::Ip(Net::V6), body))
        }
        ip_number::GRE => Ok((Layer::Gre, body)),
        L2TP => Ok((Layer::L2tp3, body)),
        // RFC 4023.
        ip_number::MPLS_IN_IP => Ok((Layer::Mpls, body)),
        ip_number::ETHER_IP => ether_ip(body, road),
        // RFC 8986, section 4.9.
        ETHERNET => {
            road.enter(Step::ETHERIP)?;
            Ok((Layer::Ethernet, body))
        }
        _ => Err(DropReason::NotTcpOrUdp),
    };
    next.map(|(layer, span)| Inside::Layer(layer, span))
}

const ETHERNET: IpNumber = IpNumber(143);
const L2TP: IpNumber = IpNumber(115);

/// RFC 3378: a version, and bits that are zero.
fn ether_ip<'f>(body: Span<'f>, road: &mut Road) -> Next<'f> {
    if body.head::<2>()?[0] >> 4 != 3 {
        return Err(DropReason::BadEncapsulation);
    }
    road.enter(Step::ETHERIP)?;
    Ok((Layer::Ethernet, body.skip(2)))
}
