//! The way from the outside of a frame to its innermost IP packet.

use std::fmt;

use abi_stable::StableAbi;

/// One protocol on the way, by number.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Step(pub u8);

macro_rules! steps {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)+) => {
        impl Step {
            $($(#[$doc])* pub const $constant: Self = Self($number);)+

            /// The names, in the order of the numbers.
            pub const NAMES: &'static [&'static str] = &["", $($name),+];
        }

        #[test]
        fn every_name_stands_at_its_number() {
            $(assert_eq!(Step($number).name(), $name);)+
        }
    };
}

steps! {
    /// There are more steps than fit; stands in the last place.
    MORE = 1, "more";
    /// An Ethernet header inside something else (IEEE 802.3).
    ETHERNET = 2, "ethernet";
    /// VLAN tags of such a header, however many (IEEE 802.1Q).
    VLAN = 3, "vlan";
    /// Provider backbone bridging (IEEE 802.1ah).
    PBB = 4, "pbb";
    /// A label stack, however high (RFC 3032).
    MPLS = 5, "mpls";
    /// A PPP session over Ethernet (RFC 2516).
    PPPOE = 6, "pppoe";
    /// PPP inside something else than PPPoE (RFC 1661).
    PPP = 7, "ppp";
    /// RFC 2784, RFC 2890, RFC 1701.
    GRE = 8, "gre";
    /// Enhanced GRE (RFC 2637).
    PPTP = 9, "pptp";
    /// A mirrored frame without a header (draft-foschiano-erspan).
    ERSPAN_1 = 10, "erspan_1";
    /// The same with one.
    ERSPAN_2 = 11, "erspan_2";
    /// The same with the longer one.
    ERSPAN_3 = 12, "erspan_3";
    /// A packet redirected to a cache (WCCP).
    WCCP = 13, "wccp";
    /// RFC 7348.
    VXLAN = 14, "vxlan";
    /// draft-ietf-nvo3-vxlan-gpe.
    VXLAN_GPE = 15, "vxlan_gpe";
    /// RFC 8926.
    GENEVE = 16, "geneve";
    /// 3GPP TS 29.281.
    GTP_U = 17, "gtp_u";
    /// IPv4 in IPv4 (RFC 2003).
    IP4_IN_4 = 18, "4in4";
    /// IPv6 in IPv4 (RFC 4213).
    IP6_IN_4 = 19, "6in4";
    /// IPv4 in IPv6 (RFC 2473).
    IP4_IN_6 = 20, "4in6";
    /// IPv6 in IPv6 (RFC 2473).
    IP6_IN_6 = 21, "6in6";
    /// RFC 4380.
    TEREDO = 22, "teredo";
    /// An authentication header (RFC 4302).
    AH = 23, "ah";
    /// RFC 2661.
    L2TP_2 = 24, "l2tp_2";
    /// RFC 3931.
    L2TP_3 = 25, "l2tp_3";
    /// A service function chain (RFC 8300).
    NSH = 26, "nsh";
    /// A sniffer's stream (TaZmen Sniffer Protocol).
    TZSP = 27, "tzsp";
    /// An IEEE 802.11 header inside something else.
    WIFI = 28, "wifi";
    /// Ethernet right above IP (RFC 3378).
    ETHERIP = 29, "etherip";
    /// A UDP header that only carries GRE (RFC 8086) or MPLS (RFC 7510).
    UDP = 30, "udp";
}

impl Step {
    /// The name; empty for a number that has none.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

/// The first steps on the way to the innermost IP packet, from outside; none for a packet that
/// lies in its link layer (VLAN tags of which are no steps).
///
/// ```
/// use ringmill_sdk::{Encapsulation, Step};
/// let mut way = Encapsulation::default();
/// [Step::GRE, Step::ERSPAN_2, Step::ETHERNET].map(|step| way.push(step));
/// assert_eq!(way.to_string(), "gre/erspan_2/ethernet");
/// ```
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encapsulation([u8; 6]);

// Derived, it would be a call for every packet.
impl Default for Encapsulation {
    #[inline]
    fn default() -> Self {
        Self([0; 6])
    }
}

impl Encapsulation {
    /// Adds a step inside those already there. Where there is no room, the last one becomes
    /// [`Step::MORE`].
    #[inline]
    pub fn push(&mut self, step: Step) {
        match self.0.iter_mut().find(|place| **place == 0) {
            Some(place) => *place = step.0,
            None => self.0[5] = Step::MORE.0,
        }
    }

    /// There is none.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0[0] == 0
    }

    /// The steps, from outside.
    pub fn steps(self) -> impl Iterator<Item = Step> {
        self.0.into_iter().take_while(|&number| number != 0).map(Step)
    }
}

/// The names with `/` between them.
impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps().enumerate().try_for_each(|(at, step)| {
            if at > 0 {
                f.write_str("/")?;
            }
            f.write_str(step.name())
        })
    }
}

#[test]
fn too_many_steps_say_so() {
    let mut way = Encapsulation::default();
    assert!(way.is_empty());
    (0..6).for_each(|_| way.push(Step::MPLS));
    assert_eq!(way.to_string(), "mpls/mpls/mpls/mpls/mpls/mpls");
    way.push(Step::GRE);
    assert_eq!(way.to_string(), "mpls/mpls/mpls/mpls/mpls/more");
}
