//! Why a frame is dropped.

/// One reason; the stage's page says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum DropReason {
    UnknownLinkType,
    ShortFrame,
    Llc,
    Arp,
    Mpls,
    Pppoe,
    PppControl,
    OtherPpp,
    L2tpControl,
    Macsec,
    OtherEthertype,
    WifiOther,
    WifiProtected,
    WifiFragment,
    WifiAggregate,
    ShortEncapsulation,
    BadEncapsulation,
    TooDeep,
    BadIpVersion,
    ShortIp,
    BadIpLength,
    BadIpExtension,
    IpFragment,
    FragmentHeld,
    FragmentDuplicate,
    FragmentOverlap,
    FragmentCut,
    BadFragment,
    NotTcpOrUdp,
    ShortTransport,
    BadTcpHeader,
    BadUdpLength,
}

impl DropReason {
    /// All of them, each at its own number.
    pub(crate) const ALL: [Self; 32] = [
        Self::UnknownLinkType,
        Self::ShortFrame,
        Self::Llc,
        Self::Arp,
        Self::Mpls,
        Self::Pppoe,
        Self::PppControl,
        Self::OtherPpp,
        Self::L2tpControl,
        Self::Macsec,
        Self::OtherEthertype,
        Self::WifiOther,
        Self::WifiProtected,
        Self::WifiFragment,
        Self::WifiAggregate,
        Self::ShortEncapsulation,
        Self::BadEncapsulation,
        Self::TooDeep,
        Self::BadIpVersion,
        Self::ShortIp,
        Self::BadIpLength,
        Self::BadIpExtension,
        Self::IpFragment,
        Self::FragmentHeld,
        Self::FragmentDuplicate,
        Self::FragmentOverlap,
        Self::FragmentCut,
        Self::BadFragment,
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
            Self::Llc => "llc",
            Self::Arp => "arp",
            Self::Mpls => "mpls",
            Self::Pppoe => "pppoe",
            Self::PppControl => "ppp_control",
            Self::OtherPpp => "other_ppp",
            Self::L2tpControl => "l2tp_control",
            Self::Macsec => "macsec",
            Self::OtherEthertype => "other_ethertype",
            Self::WifiOther => "wifi_other",
            Self::WifiProtected => "wifi_protected",
            Self::WifiFragment => "wifi_fragment",
            Self::WifiAggregate => "wifi_aggregate",
            Self::ShortEncapsulation => "short_encapsulation",
            Self::BadEncapsulation => "bad_encapsulation",
            Self::TooDeep => "too_deep",
            Self::BadIpVersion => "bad_ip_version",
            Self::ShortIp => "short_ip",
            Self::BadIpLength => "bad_ip_length",
            Self::BadIpExtension => "bad_ip_extension",
            Self::IpFragment => "ip_fragment",
            Self::FragmentHeld => "fragment_held",
            Self::FragmentDuplicate => "fragment_duplicate",
            Self::FragmentOverlap => "fragment_overlap",
            Self::FragmentCut => "fragment_cut",
            Self::BadFragment => "bad_fragment",
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
