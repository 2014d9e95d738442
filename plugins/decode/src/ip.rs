//! IP and what it carries, in every case that there is: with etherparse's header slices.

use etherparse::{
    IpNumber, Ipv4HeaderSlice, Ipv6ExtensionsSlice, Ipv6HeaderSlice, TcpHeaderSlice,
    UdpHeaderSlice,
    err::{ip_auth, ipv4, ipv6, ipv6_exts, tcp},
    ip_number,
};
use ringmill_sdk::Layers;

use crate::{
    drop_reason::DropReason,
    flow,
    link::{Link, Net},
};

type Ports = (u16, u16);

/// The layers and the flow hash of a frame that had `wire_len` bytes before the capture cut
/// it.
pub(crate) fn find(frame: &[u8], wire_len: u32, link: &Link) -> Result<(Layers, u64), DropReason> {
    let ip = frame.get(usize::from(link.l3)..).ok_or(DropReason::ShortFrame)?;
    let cut = (wire_len as usize).saturating_sub(frame.len());
    match (link.net, ip.first().ok_or(DropReason::ShortIp)? >> 4) {
        (Net::V4 | Net::Any, 4) => v4(ip, cut, link),
        (Net::V6 | Net::Any, 6) => v6(ip, cut, link),
        _ => Err(DropReason::BadIpVersion),
    }
}

/// What an IP packet carries.
struct Body<'a> {
    protocol: IpNumber,
    /// Where it starts, from the start of the IP header.
    start: usize,
    captured: &'a [u8],
    /// Its length on the wire as far as the headers tell; at least that of `captured`.
    len: usize,
}

impl<'a> Body<'a> {
    /// Cuts the body off a packet. `total` is its length as the header says, 0 for the rest
    /// of the frame; `cut` is how many bytes of the frame were not captured.
    fn new(ip: &'a [u8], header: usize, total: usize, cut: usize, protocol: IpNumber) -> Self {
        let total = if total == 0 { ip.len() + cut } else { total };
        // Callers have checked that the header fits in both; if not, there is no body.
        let captured = ip.get(header..total.min(ip.len())).unwrap_or_default();
        Self { protocol, start: header, captured, len: total.saturating_sub(header) }
    }

    /// Steps over `extensions` bytes, after which comes `protocol`.
    fn skip(&mut self, extensions: usize, protocol: IpNumber) {
        self.protocol = protocol;
        self.start += extensions;
        self.captured = self.captured.get(extensions..).unwrap_or_default();
        self.len = self.len.saturating_sub(extensions);
    }

    /// `short` when the capture is to blame that `needed` bytes are not there, else `bad`.
    fn blame(&self, needed: usize, short: DropReason, bad: DropReason) -> DropReason {
        if needed > self.len { bad } else { short }
    }
}

/// RFC 791.
fn v4(ip: &[u8], cut: usize, link: &Link) -> Result<(Layers, u64), DropReason> {
    let head = Ipv4HeaderSlice::from_slice(ip).map_err(|error| match error {
        ipv4::HeaderSliceError::Len(_) => DropReason::ShortIp,
        ipv4::HeaderSliceError::Content(_) => DropReason::BadIpLength,
    })?;
    let (header, total) = (head.slice().len(), usize::from(head.total_len()));
    if total != 0 && total < header {
        return Err(DropReason::BadIpLength);
    }
    if head.is_fragmenting_payload() {
        return Err(DropReason::IpFragment);
    }
    let mut body = Body::new(ip, header, total, cut, head.protocol());
    if body.protocol == ip_number::AUTH {
        let auth = etherparse::IpAuthHeaderSlice::from_slice(body.captured).map_err(|error| {
            bad_extension(
                &body,
                match error {
                    ip_auth::HeaderSliceError::Len(error) => Some(error.required_len),
                    ip_auth::HeaderSliceError::Content(_) => None,
                },
            )
        })?;
        body.skip(auth.slice().len(), auth.next_header());
    }
    let (layers, ports) = transport(&body, link, 4)?;
    Ok((layers, flow::v4(head.source(), head.destination(), ports, body.protocol.0)))
}

/// RFC 8200; a payload length of 0 is that of offloads and jumbograms (RFC 2675).
fn v6(ip: &[u8], cut: usize, link: &Link) -> Result<(Layers, u64), DropReason> {
    let head = Ipv6HeaderSlice::from_slice(ip).map_err(|error| match error {
        ipv6::HeaderSliceError::Len(_) => DropReason::ShortIp,
        ipv6::HeaderSliceError::Content(_) => DropReason::BadIpVersion,
    })?;
    let len = usize::from(head.payload_length());
    let total = if len == 0 { 0 } else { len + 40 };
    let mut body = Body::new(ip, 40, total, cut, head.next_header());
    let (extensions, protocol, rest, error) =
        Ipv6ExtensionsSlice::from_slice_lax(body.protocol, body.captured);
    if extensions.is_fragmenting_payload() {
        return Err(DropReason::IpFragment);
    }
    if let Some((error, _)) = error {
        return Err(bad_extension(
            &body,
            match error {
                ipv6_exts::HeaderSliceError::Len(error) => {
                    Some(error.layer_start_offset + error.required_len)
                }
                ipv6_exts::HeaderSliceError::Content(_) => None,
            },
        ));
    }
    body.skip(body.captured.len() - rest.len(), protocol);
    let (layers, ports) = transport(&body, link, 6)?;
    Ok((layers, flow::v6(head.source(), head.destination(), ports, body.protocol.0)))
}

fn bad_extension(body: &Body<'_>, needed: Option<usize>) -> DropReason {
    match needed {
        Some(needed) => body.blame(needed, DropReason::ShortIp, DropReason::BadIpExtension),
        None => DropReason::BadIpExtension,
    }
}

fn transport(body: &Body<'_>, link: &Link, ip_version: u8) -> Result<(Layers, Ports), DropReason> {
    let (head_len, len, ports) = match body.protocol {
        ip_number::TCP => tcp(body)?,
        ip_number::UDP => udp(body)?,
        ip_number::IPV4 | ip_number::IPV6 => return Err(DropReason::IpInIp),
        ip_number::GRE => return Err(DropReason::Gre),
        _ => return Err(DropReason::NotTcpOrUdp),
    };
    let captured = body.captured.len().min(len);
    let l4 = usize::from(link.l3) + body.start;
    let offset = |at: usize| u16::try_from(at).map_err(|_| DropReason::BadIpExtension);
    let layers = Layers {
        ip_version,
        protocol: body.protocol.0,
        vlan: link.vlan,
        l3: link.l3,
        l4: offset(l4)?,
        payload: offset(l4 + head_len)?,
        payload_len: u32::try_from(captured - head_len).unwrap_or(u32::MAX),
        truncated: len > captured,
    };
    Ok((layers, ports))
}

/// Length of the header, length of header and payload on the wire, ports.
fn tcp(body: &Body<'_>) -> Result<(usize, usize, Ports), DropReason> {
    let head = TcpHeaderSlice::from_slice(body.captured).map_err(|error| match error {
        tcp::HeaderSliceError::Len(error) => {
            body.blame(error.required_len, DropReason::ShortTransport, DropReason::BadTcpHeader)
        }
        tcp::HeaderSliceError::Content(_) => DropReason::BadTcpHeader,
    })?;
    Ok((head.slice().len(), body.len, (head.source_port(), head.destination_port())))
}

/// As [`tcp`].
fn udp(body: &Body<'_>) -> Result<(usize, usize, Ports), DropReason> {
    let head = UdpHeaderSlice::from_slice(body.captured).map_err(|error| {
        body.blame(error.required_len, DropReason::ShortTransport, DropReason::BadUdpLength)
    })?;
    let len = match usize::from(head.length()) {
        // RFC 2675, section 4: the UDP length of a jumbogram.
        0 => body.len,
        len if len < 8 || len > body.len => return Err(DropReason::BadUdpLength),
        len => len,
    };
    Ok((8, len, (head.source_port(), head.destination_port())))
}
