//! The plugin's end: a [`Stage`] behind the table of functions.
//!
//! No panic crosses: [`Guard`] catches those of the author's code, and `extern "C"` would
//! abort on any other, so the glue itself has none.

use std::ffi::c_void;

use abi_stable::{
    library::{CheckTypeLayout, LibHeader, RootModuleResult},
    prefix_type::PrefixTypeTrait,
    std_types::{RSlice, RStr, RVec},
};
use arrow_array::RecordBatch;

use super::{
    ADDRESS_MAP, AddressMapVt, CArray, CSchema, FAILED, Instance, NETWORK, OK, REFUSED_ROWS, REmit,
    RError, RHost, ROption, RRefusedRow, RefusedRowsVt, Root, Root_Ref, StageVt, StageVt_Ref,
    Status,
    arrow::{Exports, Imports},
    no_query,
};
use crate::{
    AddressMap, Anonymizer, Batch, Error, OptionHelp, Output, Result, Sink, SinkStage, Stage,
    Timestamp,
    factory::{DynStage, Guard},
};

/// An instance, as the plugin knows it.
struct Own<S: Stage> {
    stage: Guard<S>,
    /// Keeps its memory from call to call.
    emitted: Vec<RecordBatch>,
    exports: Exports,
    imports: Imports,
    error: Option<Error>,
}

impl<S: Stage> Own<S> {
    /// Runs a call of the stage and hands over what it emitted.
    fn run(
        &mut self,
        emit: REmit,
        body: impl FnOnce(&mut Guard<S>, &mut Output<'_>) -> Result,
    ) -> Status {
        let result = body(&mut self.stage, &mut Output::new(&mut self.emitted));
        if result.is_ok() && self.emitted.is_empty() {
            return OK;
        }
        // Records that were emitted before a failure are good and are kept.
        let sent = self.emitted.drain(..).try_fold((), |(), records| {
            let (mut array, schema, id) = self.exports.export(records)?;
            // SAFETY: `emit` came with this call and is used on its thread, inside it.
            match unsafe { (emit.emit)(emit.context, &raw mut array, schema, id) } {
                OK => Ok(()),
                status => Err(Error::new(format!("the engine refused records: status {status}"))),
            }
        });
        match result.and(sent) {
            Ok(()) => OK,
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: Error) -> Status {
        let status = RError::from(error.clone()).status;
        self.error = Some(error);
        status
    }
}

/// # Safety
/// `instance` must have come from `create::<S>` and not been destroyed, and no other
/// reference to it may be alive.
unsafe fn own<'a, S: Stage>(instance: *mut Instance) -> &'a mut Own<S> {
    // SAFETY: the caller's promise.
    unsafe { &mut *instance.cast::<Own<S>>() }
}

unsafe extern "C" fn create<S: Stage>(
    options: RStr<'_>,
    host: RHost,
    error: &mut RError,
) -> *mut Instance {
    match Guard::<S>::new(options.as_str(), &host.import()) {
        Ok(stage) => {
            let (exports, imports) = (Exports::default(), Imports::default());
            let own = Own { stage, emitted: Vec::new(), exports, imports, error: None };
            Box::into_raw(Box::new(own)).cast()
        }
        Err(failed) => {
            *error = failed.into();
            std::ptr::null_mut()
        }
    }
}

// In the functions below the engine's promise is that of `own`: it calls an instance from one
// thread at a time, between `create` and `destroy`.

unsafe extern "C" fn destroy<S: Stage>(instance: *mut Instance) {
    // SAFETY: see above; `create` made the box, and this is the last call.
    let mut own = unsafe { Box::from_raw(instance.cast::<Own<S>>()) };
    own.stage.discard();
}

unsafe extern "C" fn schemas<S: Stage>(instance: *mut Instance, out: &mut RVec<CSchema>) -> Status {
    // SAFETY: see above.
    let own = unsafe { own::<S>(instance) };
    let exported = own.stage.schemas().and_then(|schemas| {
        schemas.iter().map(|schema| CSchema::export(schema)).collect::<Result<Vec<_>>>()
    });
    match exported {
        Ok(exported) => {
            out.extend(exported);
            OK
        }
        Err(error) => own.fail(error),
    }
}

unsafe extern "C" fn packets<S: Stage>(
    instance: *mut Instance,
    batch: &mut Batch<'_>,
    emit: REmit,
) -> Status {
    // SAFETY: see above.
    unsafe { own::<S>(instance) }.run(emit, |stage, out| stage.packets(batch, out))
}

unsafe extern "C" fn records<S: Stage>(
    instance: *mut Instance,
    array: *mut CArray,
    schema: *const CSchema,
    id: u64,
    emit: REmit,
) -> Status {
    // SAFETY: see above.
    let own = unsafe { own::<S>(instance) };
    // SAFETY: the engine's glue hands over live structs and makes the ids.
    match unsafe { own.imports.import(array, schema, id) } {
        Ok(records) => own.run(emit, |stage, out| stage.records(records, out)),
        Err(error) => own.fail(error),
    }
}

unsafe extern "C" fn tick<S: Stage>(instance: *mut Instance, now: i64, emit: REmit) -> Status {
    // SAFETY: see above.
    unsafe { own::<S>(instance) }.run(emit, |stage, out| stage.tick(Timestamp(now), out))
}

unsafe extern "C" fn finish<S: Stage>(instance: *mut Instance, emit: REmit) -> Status {
    // SAFETY: see above.
    unsafe { own::<S>(instance) }.run(emit, DynStage::finish)
}

unsafe extern "C" fn take_error<S: Stage>(instance: *mut Instance) -> RError {
    // SAFETY: see above.
    let error = unsafe { own::<S>(instance) }.error.take();
    error.map_or_else(|| RError { status: FAILED, ..RError::default() }, RError::from)
}

extern "C" fn options<S: Stage>() -> RVec<ROption> {
    let one = |option: &OptionHelp| ROption {
        name: option.name.into(),
        kind: option.kind.into(),
        required: option.default.is_none(),
        default: option.default.map(|show| show()).unwrap_or_default().into(),
        help: option.help.into(),
    };
    S::OPTIONS.iter().map(one).collect()
}

unsafe extern "C" fn map<A: AddressMap>(
    instance: *mut Instance,
    v4: *mut u32,
    v4_len: usize,
    v6: *mut u128,
    v6_len: usize,
) -> Status {
    // SAFETY: see above; `address_map` puts this into the table of an `Anonymizer<A>` only.
    let own = unsafe { own::<Anonymizer<A>>(instance) };
    // SAFETY: the engine hands over two slices that nothing else refers to during the call.
    let (v4, v6) = unsafe {
        (std::slice::from_raw_parts_mut(v4, v4_len), std::slice::from_raw_parts_mut(v6, v6_len))
    };
    let mapped = own.stage.call("records()", |stage| {
        stage.map(v4, v6);
        Ok(())
    });
    match mapped {
        Ok(()) => OK,
        Err(error) => own.fail(error),
    }
}

/// False too for a strategy that panicked: it is not asked for addresses any more.
unsafe extern "C" fn widens<A: AddressMap>(instance: *mut Instance) -> bool {
    // SAFETY: as in `map`.
    let own = unsafe { own::<Anonymizer<A>>(instance) };
    own.stage.call("widens()", |stage| Ok(stage.widens())).unwrap_or(false)
}

unsafe extern "C" fn epoch<A: AddressMap>(instance: *mut Instance, period: i64) -> Status {
    // SAFETY: as in `map`.
    let own = unsafe { own::<Anonymizer<A>>(instance) };
    match own.stage.call("epoch()", |stage| stage.epoch(period)) {
        Ok(()) => OK,
        Err(error) => own.fail(error),
    }
}

extern "C" fn query_address_map<A: AddressMap>(what: RStr<'_>) -> *const c_void {
    let table: &'static AddressMapVt =
        &const { AddressMapVt { map: map::<A>, widens: widens::<A>, epoch: epoch::<A> } };
    if what.as_str() == ADDRESS_MAP { std::ptr::from_ref(table).cast() } else { std::ptr::null() }
}

unsafe extern "C" fn refused_rows<S: Sink>(instance: *mut Instance) -> RVec<RRefusedRow> {
    // SAFETY: see above; `sink` puts this into the table of a `SinkStage<S>` only.
    let own = unsafe { own::<SinkStage<S>>(instance) };
    let rows = own.error.as_ref().map_or(&[][..], Error::rows).iter();
    rows.map(|(row, why)| RRefusedRow { row: *row as u64, why: why.as_str().into() }).collect()
}

extern "C" fn query_sink<S: Sink>(what: RStr<'_>) -> *const c_void {
    static YES: u8 = 1;
    let refused: &'static RefusedRowsVt = &const { RefusedRowsVt { take: refused_rows::<S> } };
    match what.as_str() {
        NETWORK if S::NETWORK => (&raw const YES).cast(),
        REFUSED_ROWS => std::ptr::from_ref(refused).cast(),
        _ => std::ptr::null(),
    }
}

/// The table of one stage. For [`export_plugin!`](crate::export_plugin).
#[must_use]
pub fn entry<S: Stage>() -> StageVt_Ref {
    table::<S>(false, no_query)
}

/// The table of a sink. For [`export_plugin!`](crate::export_plugin).
#[must_use]
pub fn sink<S: Sink>() -> StageVt_Ref {
    table::<SinkStage<S>>(true, query_sink::<S>)
}

/// The table of an anonymization strategy. For [`export_plugin!`](crate::export_plugin).
#[must_use]
pub fn address_map<A: AddressMap>() -> StageVt_Ref {
    table::<Anonymizer<A>>(false, query_address_map::<A>)
}

fn table<S: Stage>(is_sink: bool, query: extern "C" fn(RStr<'_>) -> *const c_void) -> StageVt_Ref {
    let table = StageVt {
        name: S::NAME.into(),
        summary: S::SUMMARY.into(),
        is_sink,
        options: options::<S>,
        create: create::<S>,
        destroy: destroy::<S>,
        schemas: schemas::<S>,
        packets: packets::<S>,
        records: records::<S>,
        tick: tick::<S>,
        finish: finish::<S>,
        take_error: take_error::<S>,
        query,
    };
    table.leak_into_prefix()
}

/// The root that the loader asks for, made from the tables of the plugin's stages.
///
/// The loader runs the constructor once per library, so what this leaks is bounded.
#[must_use]
pub fn root(stages: Vec<StageVt_Ref>) -> Root_Ref {
    let stages = RSlice::from_slice(stages.leak());
    Root { stages, query: no_query }.leak_into_prefix()
}

/// Runs the constructor of the root; a panic in it is an error of the loader's.
#[must_use]
pub fn construct(root: fn() -> Root_Ref) -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(root)
}

/// The header that [`export_plugin!`](crate::export_plugin) exports.
#[must_use]
pub const fn library_header(constructor: extern "C" fn() -> RootModuleResult) -> LibHeader {
    // SAFETY: the macro's constructor returns what `construct` made of a `Root_Ref`.
    unsafe { LibHeader::from_constructor::<Root_Ref>(constructor, CheckTypeLayout::Yes) }
}
