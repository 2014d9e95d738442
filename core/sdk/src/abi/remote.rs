//! The engine's end: a stage of a loaded plugin as a [`DynStage`].

use std::{ffi::c_void, panic::AssertUnwindSafe, ptr::NonNull};

use abi_stable::std_types::RVec;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::{
    ADDRESS_MAP, AddressMapVt, CArray, CSchema, FAILED, Instance, NETWORK, OK, REFUSED_ROWS, REmit,
    RError, RHost, ROption, RefusedRowsVt, StageVt_Ref, Status,
    arrow::{Exports, Imports},
};
use crate::{
    Batch, Error, Host, Output, Result, Timestamp,
    anonymize::{Columns, by_epoch},
    factory::DynStage,
    key::Epoch,
};
use std::sync::Arc;

/// One stage that a plugin offers.
#[derive(Clone, Copy)]
pub struct Loaded(StageVt_Ref);

impl Loaded {
    /// A stage of a root whose layout was checked.
    #[must_use]
    pub fn new(table: StageVt_Ref) -> Self {
        Self(table)
    }

    /// What `use = "..."` says.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name().as_str()
    }

    /// What it does.
    #[must_use]
    pub fn summary(self) -> &'static str {
        self.0.summary().as_str()
    }

    /// Whether it belongs under `[[sink]]`.
    #[must_use]
    pub fn is_sink(self) -> bool {
        self.0.is_sink()
    }

    /// See [`Sink::NETWORK`](crate::Sink::NETWORK).
    #[must_use]
    pub fn is_network(self) -> bool {
        !self.0.query()(NETWORK.into()).is_null()
    }

    /// What its options are.
    #[must_use]
    pub fn options(self) -> Vec<ROption> {
        self.0.options()().into_vec()
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// What the stage's `new` returned.
    pub fn build(self, options: &str, host: &Host) -> Result<Remote> {
        let mut error = RError::default();
        // SAFETY: the table belongs to a library that is never unloaded; the arguments live
        // across the call.
        let made = unsafe { self.0.create()(options.into(), RHost::export(host), &mut error) };
        let instance = NonNull::new(made).ok_or_else(|| Error::from(error))?;
        let (exports, imports) = (Exports::default(), Imports::default());
        let addresses = self.address_map().map(|map| {
            // SAFETY: the instance was made by the same table, and is not in a call.
            let widens = unsafe { (map.widens)(instance.as_ptr()) };
            (map, Columns::new(self.name(), widens))
        });
        let epoch = host.epoch();
        Ok(Remote { table: self.0, instance, addresses, epoch, exports, imports })
    }
}

impl Loaded {
    /// Its table as an anonymization strategy, if it is one.
    fn address_map(self) -> Option<&'static AddressMapVt> {
        let table = self.0.query()(ADDRESS_MAP.into()).cast::<AddressMapVt>();
        // SAFETY: the name stands for this layout; the table is a constant of a library that is
        // never unloaded.
        unsafe { table.as_ref() }
    }
}

/// An instance that lives in a plugin.
pub struct Remote {
    table: StageVt_Ref,
    instance: NonNull<Instance>,
    /// For an anonymization strategy: it gets the addresses, the records stay here.
    addresses: Option<(&'static AddressMapVt, Columns)>,
    epoch: Option<Epoch>,
    exports: Exports,
    imports: Imports,
}

// SAFETY: the plugin's stage is `Send` (its trait demands it), and the glue around it holds
// nothing that is bound to a thread.
unsafe impl Send for Remote {}

impl Drop for Remote {
    fn drop(&mut self) {
        // SAFETY: `create` made it, and nobody can call it any more.
        unsafe { self.table.destroy()(self.instance.as_ptr()) }
    }
}

/// What the plugin's `emit` calls work on, for the time of one call.
struct Sending<'a, 'b> {
    imports: &'a mut Imports,
    out: &'a mut Output<'b>,
    error: Option<Error>,
}

unsafe extern "C" fn emit(
    context: *mut c_void,
    array: *mut CArray,
    schema: *const CSchema,
    id: u64,
) -> Status {
    // SAFETY: `call` passed this pointer and waits for the plugin to return; the plugin calls
    // back on the same thread, so no other reference is in use.
    let sending = unsafe { &mut *context.cast::<Sending<'_, '_>>() };
    let received = std::panic::catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the plugin's glue hands over live structs and makes the ids.
        let records = unsafe { sending.imports.import(array, schema, id) }?;
        sending.out.emit(records)
    }));
    match received {
        Ok(Ok(())) => OK,
        Ok(Err(error)) => {
            sending.error = Some(error);
            FAILED
        }
        Err(_) => {
            sending.error = Some(Error::new("records from the plugin could not be read"));
            FAILED
        }
    }
}

impl Remote {
    #[inline]
    fn call(
        &mut self,
        out: &mut Output<'_>,
        body: impl FnOnce(StageVt_Ref, *mut Instance, &mut Exports, REmit) -> Result<Status>,
    ) -> Result {
        let mut sending = Sending { imports: &mut self.imports, out, error: None };
        let back = REmit { context: (&raw mut sending).cast(), emit };
        let status = body(self.table, self.instance.as_ptr(), &mut self.exports, back)?;
        if status == OK {
            return Ok(());
        }
        match sending.error.take() {
            Some(error) => Err(error),
            None => Err(self.error()),
        }
    }

    #[cold]
    fn error(&mut self) -> Error {
        let table = self.table.query()(REFUSED_ROWS.into()).cast::<RefusedRowsVt>();
        // SAFETY: the name stands for this layout; the table is a constant of a library that is
        // never unloaded.
        let refused = unsafe { table.as_ref() }.map(|table| {
            // SAFETY: the instance is alive and not in a call.
            unsafe { (table.take)(self.instance.as_ptr()) }
        });
        // SAFETY: as before.
        let error: Error = unsafe { self.table.take_error()(self.instance.as_ptr()) }.into();
        let rows = refused.unwrap_or_default().into_iter();
        error.with_rows(
            rows.map(|it| (usize::try_from(it.row).unwrap_or(usize::MAX), it.why.into())).collect(),
        )
    }
}

// The promise of the table's functions, here and below: the instance came from `create`, is
// called by `&mut self` only, and the pointers live across the call.
impl DynStage for Remote {
    fn schemas(&mut self) -> Result<Vec<SchemaRef>> {
        let mut exported: RVec<CSchema> = RVec::new();
        // SAFETY: see above.
        let status = unsafe { self.table.schemas()(self.instance.as_ptr(), &mut exported) };
        if status != OK {
            return Err(self.error());
        }
        exported.iter().map(|schema| schema.import().map(Arc::new)).collect()
    }

    #[inline]
    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result {
        // SAFETY: see above.
        self.call(out, |table, this, _, back| Ok(unsafe { table.packets()(this, batch, back) }))
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        if let Some((table, columns)) = &mut self.addresses {
            let this = self.instance.as_ptr();
            let mut failed = false;
            let mut done = |status| {
                failed = status != OK;
                if failed { Err(Error::new("")) } else { Ok(()) }
            };
            let mapped = by_epoch(self.epoch, records, |period, records| {
                if let Some(period) = period {
                    // SAFETY: see above.
                    done(unsafe { (table.epoch)(this, period) })?;
                }
                out.emit(columns.map(&records, |v4, v6| {
                    // SAFETY: see above; the slices are borrowed for the call.
                    done(unsafe {
                        (table.map)(this, v4.as_mut_ptr(), v4.len(), v6.as_mut_ptr(), v6.len())
                    })
                })?)
            });
            return if failed { Err(self.error()) } else { mapped };
        }
        self.call(out, |table, this, exports, back| {
            let (mut array, schema, id) = exports.export(records)?;
            // SAFETY: see above.
            Ok(unsafe { table.records()(this, &raw mut array, schema, id, back) })
        })
    }

    fn tick(&mut self, now: Timestamp, out: &mut Output<'_>) -> Result {
        // SAFETY: see above.
        self.call(out, |table, this, _, back| Ok(unsafe { table.tick()(this, now.0, back) }))
    }

    fn finish(&mut self, out: &mut Output<'_>) -> Result {
        // SAFETY: see above.
        self.call(out, |table, this, _, back| Ok(unsafe { table.finish()(this, back) }))
    }
}
