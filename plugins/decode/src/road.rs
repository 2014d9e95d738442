//! From one layer to the next, until TCP, UDP or a fragment.
//!
//! Every protocol has a file with the same skeleton: `enter` looks at the header once, says
//! through [`Road::enter`] that it was here, and returns the layer inside with its bytes. No
//! layer looks at one outside of it. Each takes at least a byte off the frame, so the walk
//! ends, and its time is linear in the frame: only a UDP datagram that may be a tunnel is
//! tried, and if the try fails it failed on a way without another UDP header in it.

use ringmill_sdk::{Encapsulation, Layers, Step};

use crate::{
    drop_reason::DropReason, erspan, ethernet, fragments::Fragment, gre, ip, l2tp, mpls, nsh, ppp,
    span::Span, wifi,
};

/// Encapsulations of one packet, VLAN tags and the Ethernet and PPP headers in a tunnel not
/// counted. Real ones have three or four.
const MOST: u8 = 8;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// An Ethernet header inside something.
    Ethernet,
    Ip(ip::Net),
    Mpls,
    Pppoe,
    Ppp,
    Hdlc,
    Gre,
    Erspan1,
    Erspan2,
    Erspan3,
    Nsh,
    L2tp3,
    Wifi,
    Avs,
    Prism,
}

pub(crate) type Next<'f> = Result<(Layer, Span<'f>), DropReason>;

/// Where the walk ended.
#[derive(Debug)]
pub(crate) enum Found<'f> {
    /// TCP or UDP; the road has its layers and its flow hash. Returned they would go through
    /// memory from function to function, written two bytes and read eight at a time.
    Transport,
    /// In a box, so that what is not one need not be moved around in its size.
    Fragment(Box<Fragment<'f>>),
}

/// What was passed on the way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Road {
    /// The outermost VLAN tag; 0 when there is none.
    pub(crate) vlan: u16,
    pub(crate) way: Encapsulation,
    /// Tells tunnels apart that may use the same addresses inside.
    pub(crate) scope: u64,
    passed: u8,
    /// Of the transport that was found, but for the VLAN tag.
    pub(crate) layers: Layers,
    pub(crate) flow_hash: u64,
}

impl Road {
    /// An encapsulation begins.
    pub(crate) fn enter(&mut self, step: Step) -> Result<(), DropReason> {
        self.passed += 1;
        if self.passed > MOST {
            return Err(DropReason::TooDeep);
        }
        self.way.push(step);
        self.scoped(u32::from(step.0));
        Ok(())
    }

    /// A step that only follows another.
    pub(crate) fn note(&mut self, step: Step) {
        self.way.push(step);
    }

    /// The tunnel has this number.
    pub(crate) fn scoped(&mut self, number: u32) {
        self.scope =
            (self.scope.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Follows the layers inwards.
pub(crate) fn walk<'f>(
    mut layer: Layer,
    mut span: Span<'f>,
    road: &mut Road,
) -> Result<Found<'f>, DropReason> {
    loop {
        (layer, span) = match layer {
            Layer::Ip(net) => match ip::enter(span, net, road)? {
                ip::Inside::Layer(layer, span) => (layer, span),
                ip::Inside::Found(found) => return Ok(found),
            },
            Layer::Ethernet => ethernet::enter(span, road)?,
            Layer::Mpls => mpls::enter(span, road)?,
            Layer::Pppoe => ppp::over_ethernet(span, road)?,
            Layer::Ppp => ppp::enter(span)?,
            Layer::Hdlc => ppp::hdlc(span, road)?,
            Layer::Gre => gre::enter(span, road)?,
            Layer::Erspan1 => erspan::first(span, road)?,
            Layer::Erspan2 => erspan::second(span, road)?,
            Layer::Erspan3 => erspan::third(span, road)?,
            Layer::Nsh => nsh::enter(span, road)?,
            Layer::L2tp3 => l2tp::third(span, road)?,
            Layer::Wifi => wifi::enter(span, road)?,
            Layer::Avs => wifi::avs(span)?,
            Layer::Prism => wifi::prism(span)?,
        };
    }
}
