//! All that the author of a Ringmill stage, sink or anonymization strategy sees.
//!
//! Three traits, of which most authors want one:
//!
//! * [`Stage`] looks at packets and takes and emits records; everything but its name, its
//!   options and its constructor has a default.
//! * [`Sink`] takes records and writes them somewhere.
//! * [`AddressMap`] turns an address into another.
//!
//! Packets come in a [`Batch`] and live as long as their slot in the capture ring. Records are
//! Apache Arrow record batches ([`arrow_array`], [`arrow_schema`] and [`arrow_buffer`] are
//! re-exported, so that versions cannot disagree); what their columns mean is written down in
//! [`schema`].
//!
//! The same source is linked into the engine or loaded from a `.so`: put the stage in a
//! library crate, and beside it a `cdylib` crate of one line with [`export_plugin!`]. What is
//! loaded has a standard library of its own: its `tracing` and `log` lines go nowhere (use
//! [`Host::log`]), and no `Box<dyn Any>` may cross. The engine survives a plugin's panic; a
//! segmentation fault, a stack overflow, an endless loop or `exit()` it cannot survive.

extern crate self as ringmill_sdk;

#[doc(hidden)]
pub mod abi;
mod anonymize;
pub mod columns;
mod config;
mod encapsulation;
mod error;
mod factory;
mod host;
pub mod json;
pub mod key;
mod methods;
mod options;
mod packet;
mod panics;
mod prefetch;
pub mod render;
pub mod schema;
pub mod secret;
mod sink;
mod span;
mod stage;
pub mod testing;

pub use arrow_array;
pub use arrow_buffer;
pub use arrow_schema;
pub use serde;

pub use abi::{Arena, Keeper};
pub use anonymize::{AddressMap, Anonymizer, by_epoch, special};
pub use config::parse as parse_config;
pub use encapsulation::{Encapsulation, Step};
pub use error::{Error, ErrorKind, Result};
pub use factory::{DynStage, Factory, Role};
pub use host::{Counter, CounterCell, Host, HostApi, Level};
pub use methods::is_registered_method;
pub use options::{NoOptions, OptionHelp, OptionValue};
pub use packet::{
    BATCH, Batch, Class, Layers, Packet, Reason, Timestamp, connection, map_v4, unmap_v4,
};
pub use prefetch::prefetch;
pub use sink::SinkStage;
pub use span::Span;
pub use stage::{Output, Sink, Stage};

/// What most stages need, for `use ringmill_sdk::prelude::*`.
pub mod prelude {
    pub use crate::arrow_array::RecordBatch;
    pub use crate::arrow_schema::SchemaRef;
    pub use crate::{
        AddressMap, Batch, Class, Counter, Error, Host, NoOptions, OptionHelp, Output, Packet,
        Reason, Result, Sink, Span, Stage, Timestamp, choice, export_plugin, options, schema,
        special::Special,
    };
}

/// Exports stages from a `cdylib` crate, so that the engine can load them.
///
/// ```ignore
/// ringmill_sdk::export_plugin!(stage every_nth::EveryNth);
/// ringmill_sdk::export_plugin!(sink my_store::MyStore);
/// ringmill_sdk::export_plugin!(address_map my_map::MyMap);
/// ringmill_sdk::export_plugin!(stage a::A, sink b::B);
/// ```
///
/// Not in a library that something else links: two plugins in one executable collide.
#[macro_export]
macro_rules! export_plugin {
    ($($role:ident $stage:ty),+ $(,)?) => {
        const _: () = {
            #[unsafe(no_mangle)]
            #[used]
            static RINGMILL_PLUGIN_INFO: $crate::abi::Info = $crate::abi::Info {
                // The crate that is linked decides it, and not how the SDK was compiled.
                unwinds: ::core::cfg!(panic = "unwind") as u8,
                ..$crate::abi::Info::THIS
            };

            fn root() -> $crate::abi::Root_Ref {
                $crate::abi::root(vec![$($crate::export_plugin!(@entry $role $stage)),+])
            }

            extern "C" fn construct() -> $crate::abi::RootResult {
                $crate::abi::construct(root)
            }

            #[unsafe(no_mangle)]
            static RINGMILL_PLUGIN_ROOT: $crate::abi::LibHeader =
                $crate::abi::library_header(construct);
        };
    };
    (@entry stage $stage:ty) => { $crate::abi::entry::<$stage>() };
    (@entry sink $sink:ty) => { $crate::abi::sink::<$sink>() };
    (@entry address_map $map:ty) => { $crate::abi::address_map::<$map>() };
}
