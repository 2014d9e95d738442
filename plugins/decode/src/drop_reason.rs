//! Why a frame is dropped.

/// One reason; the stage's page says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum DropReason {
    UnknownLinkType,
    ShortFrame,
    TooManyTags,
    Llc,
    Arp,
    Mpls,
    Pppoe,
    Macsec,
    OtherEthertype,
    BadIpVersion,
    ShortIp,
    BadIpLength,
    BadIpExtension,
    IpFragment,
    IpInIp,
    Gre,
    NotTcpOrUdp,
    ShortTransport,
    BadTcpHeader,
    BadUdpLength,
}

impl DropReason {
    /// All of them, each at its own number.
    pub(crate) const ALL: [Self; 20] = [
        Self::UnknownLinkType,
        Self::ShortFrame,
        Self::TooManyTags,
        Self::Llc,
        Self::Arp,
        Self::Mpls,
        Self::Pppoe,
        Self::Macsec,
        Self::OtherEthertype,
        Self::BadIpVersion,
        Self::ShortIp,
        Self::BadIpLength,
        Self::BadIpExtension,
        Self::IpFragment,
        Self::IpInIp,
        Self::Gre,
        Self::NotTcpOrUdp,
        Self::ShortTransport,
        Self::BadTcpHeader,
        Self::BadUdpLength,
    ];

    /// As the ledger shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UnknownLinkType => "unknown_link_type",
            Self::ShortFrame => "short_frame",
            Self::TooManyTags => "too_many_tags",
            Self::Llc => "llc",
            Self::Arp => "arp",
            Self::Mpls => "mpls",
            Self::Pppoe => "pppoe",
            Self::Macsec => "macsec",
            Self::OtherEthertype => "other_ethertype",
            Self::BadIpVersion => "bad_ip_version",
            Self::ShortIp => "short_ip",
            Self::BadIpLength => "bad_ip_length",
            Self::BadIpExtension => "bad_ip_extension",
            Self::IpFragment => "ip_fragment",
            Self::IpInIp => "ip_in_ip",
            Self::Gre => "gre",
            Self::NotTcpOrUdp => "not_tcp_or_udp",
            Self::ShortTransport => "short_transport",
            Self::BadTcpHeader => "bad_tcp_header",
            Self::BadUdpLength => "bad_udp_length",
        }
    }
}

#[test]
fn every_reason_stands_at_its_number() {
    for (at, reason) in DropReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, at, "{}", reason.name());
    }
}
