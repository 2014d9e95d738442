//! Record batches across the boundary, by the Arrow C Data Interface
//! (<https://arrow.apache.org/docs/format/CDataInterface.html>).
//!
//! The two structs are mirrored here field by field, so that `abi_stable` checks them and a
//! plugin may be built with another release of the arrow crates. A schema crosses once and is
//! then known by an id, because importing it for every batch costs as much as the batch. The
//! id is made here and never by an author: an array that is read by the wrong schema reads
//! past its buffers without an error.

use std::{
    ffi::{c_char, c_void},
    mem,
    sync::Arc,
};

use abi_stable::StableAbi;
use arrow_array::{Array, RecordBatch, RecordBatchOptions, StructArray};
use arrow_data::ffi::FFI_ArrowArray;
use arrow_schema::{DataType, Fields, Schema, SchemaRef, ffi::FFI_ArrowSchema};

use crate::{Error, Result};

/// `struct ArrowArray` of the C Data Interface.
#[repr(C)]
#[derive(StableAbi, Debug)]
pub struct CArray {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *mut *const c_void,
    children: *mut *mut CArray,
    dictionary: *mut CArray,
    release: Option<unsafe extern "C" fn(*mut CArray)>,
    private_data: *mut c_void,
}

/// `struct ArrowSchema` of the C Data Interface.
#[repr(C)]
#[derive(StableAbi, Debug)]
pub struct CSchema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut CSchema,
    dictionary: *mut CSchema,
    release: Option<unsafe extern "C" fn(*mut CSchema)>,
    private_data: *mut c_void,
}

const _: () = assert!(
    size_of::<CArray>() == size_of::<FFI_ArrowArray>()
        && align_of::<CArray>() == align_of::<FFI_ArrowArray>()
        && size_of::<CSchema>() == size_of::<FFI_ArrowSchema>()
        && align_of::<CSchema>() == align_of::<FFI_ArrowSchema>(),
    "both are the C Data Interface's structs"
);

// SAFETY: the interface allows an exported structure to be moved to and released on another
// thread; ours is made from Arrow arrays, which are Send and Sync.
unsafe impl Send for CArray {}
// SAFETY: as above.
unsafe impl Send for CSchema {}

impl Drop for CArray {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: an array that still has its release callback has not been moved out.
            unsafe { release(self) }
        }
    }
}

impl Drop for CSchema {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: a schema that still has its release callback has not been moved out.
            unsafe { release(self) }
        }
    }
}

impl CSchema {
    /// The schema as a struct type, as record batches cross.
    pub(super) fn export(schema: &Schema) -> Result<Self> {
        let exported = FFI_ArrowSchema::try_from(schema)?;
        // SAFETY: both are the same C struct (asserted above); ownership moves with the bytes.
        Ok(unsafe { mem::transmute::<FFI_ArrowSchema, Self>(exported) })
    }

    /// The schema in `self`.
    pub(super) fn import(&self) -> Result<Schema> {
        if self.release.is_none() {
            return Err(Error::new("a schema that was already released crossed the boundary"));
        }
        // SAFETY: both are the same C struct; a live schema is only read.
        let imported = unsafe { &*std::ptr::from_ref(self).cast::<FFI_ArrowSchema>() };
        Ok(Schema::try_from(imported)?)
    }
}

impl CArray {
    pub(super) fn export(records: RecordBatch) -> Self {
        let data = StructArray::from(records).to_data();
        let exported = FFI_ArrowArray::new(&data);
        // SAFETY: both are the same C struct; ownership moves with the bytes.
        unsafe { mem::transmute::<FFI_ArrowArray, Self>(exported) }
    }

    /// Moves the array out of the caller's memory, as the interface asks of a consumer.
    ///
    /// # Safety
    /// `from` must point at an array.
    pub(super) unsafe fn take(from: *mut Self) -> Self {
        // SAFETY: the caller's promise; clearing `release` marks the original as moved, so it
        // is not released twice.
        unsafe {
            let taken = std::ptr::read(from);
            (*from).release = None;
            taken
        }
    }

    /// The record batch in `self`, which must be of `schema`.
    ///
    /// The shape is checked against the schema for every batch; the contents are trusted, as
    /// the interface has it.
    pub(super) fn import(self, schema: &SchemaRef) -> Result<RecordBatch> {
        if self.release.is_none() {
            return Err(Error::new("an array that was already released crossed the boundary"));
        }
        self.check_children(schema.fields())?;
        let rows = usize::try_from(self.length)
            .map_err(|_| Error::new("an array of negative length crossed the boundary"))?;
        // SAFETY: both are the same C struct; ownership moves with the bytes.
        let array = unsafe { mem::transmute::<Self, FFI_ArrowArray>(self) };
        let struct_type = DataType::Struct(schema.fields().clone());
        // SAFETY: the producer is our own glue or follows the interface; the number of
        // buffers and children at each level fits the type, as was checked.
        let data = unsafe { arrow_array::ffi::from_ffi_and_data_type(array, struct_type)? };
        let (_, columns, _) = StructArray::from(data).into_parts();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    fn check_children(&self, fields: &Fields) -> Result {
        let count = usize::try_from(self.n_children).unwrap_or(usize::MAX);
        if count != fields.len() || (count > 0 && self.children.is_null()) {
            return Err(Error::new(format!(
                "a record batch with {count} columns crossed the boundary under a schema of {}",
                fields.len()
            )));
        }
        for (i, field) in fields.iter().enumerate() {
            // SAFETY: the interface promises `n_children` valid pointers.
            let child = unsafe { &**self.children.add(i) };
            let buffers = buffers_of(field.data_type());
            if buffers.is_some_and(|buffers| buffers != child.n_buffers) {
                return Err(Error::new(format!(
                    "column `{}` crossed the boundary with {} buffers; its type {} has another \
                     number",
                    field.name(),
                    child.n_buffers,
                    field.data_type()
                )));
            }
            match field.data_type() {
                DataType::Struct(fields) => child.check_children(fields)?,
                DataType::Map(entries, _) | DataType::List(entries) => {
                    child.check_children(&Fields::from(vec![Arc::clone(entries)]))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// How many buffers an array of this type has; `None` where it is not fixed.
fn buffers_of(data_type: &DataType) -> Option<i64> {
    Some(match data_type {
        DataType::Null => 0,
        DataType::Struct(_) | DataType::FixedSizeList(..) => 1,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => 3,
        DataType::Utf8View
        | DataType::BinaryView
        | DataType::Union(..)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => return None,
        _ => 2,
    })
}

/// The schemas that one side has sent to the other, with their ids.
#[derive(Debug, Default)]
pub(super) struct Exports {
    sent: Vec<(SchemaRef, CSchema, u64)>,
    next: u64,
}

impl Exports {
    /// The array, the schema and its id, to be handed over in one call.
    pub(super) fn export(&mut self, records: RecordBatch) -> Result<(CArray, &CSchema, u64)> {
        let schema = records.schema();
        let known = self
            .sent
            .iter()
            .position(|(sent, ..)| Arc::ptr_eq(sent, &schema))
            .or_else(|| self.sent.iter().position(|(sent, ..)| *sent == schema));
        let at = match known {
            Some(at) => at,
            None => {
                // A stage that makes a new schema for every batch must not grow this list; the
                // ids go on, so none is ever used for two schemas.
                if self.sent.len() == 64 {
                    self.sent.clear();
                }
                self.next += 1;
                self.sent.push((Arc::clone(&schema), CSchema::export(&schema)?, self.next));
                self.sent.len() - 1
            }
        };
        let (_, exported, id) = &self.sent[at];
        Ok((CArray::export(records), exported, *id))
    }
}

/// The schemas that one side has received from the other.
#[derive(Debug, Default)]
pub(super) struct Imports {
    seen: Vec<(u64, SchemaRef)>,
}

impl Imports {
    /// The record batch in `array`.
    ///
    /// # Safety
    /// `array` and `schema` must point at live structs; the same `id` must always come with
    /// the same schema. The array is moved out in every case.
    pub(super) unsafe fn import(
        &mut self,
        array: *mut CArray,
        schema: *const CSchema,
        id: u64,
    ) -> Result<RecordBatch> {
        if array.is_null() || schema.is_null() {
            return Err(Error::new("a null pointer crossed the boundary"));
        }
        // SAFETY: the caller's promise.
        let array = unsafe { CArray::take(array) };
        let schema = match self.seen.iter().find(|(seen, _)| *seen == id) {
            Some((_, schema)) => Arc::clone(schema),
            None => {
                // SAFETY: the caller's promise.
                let schema = Arc::new(unsafe { &*schema }.import()?);
                if self.seen.len() == 64 {
                    self.seen.clear();
                }
                self.seen.push((id, Arc::clone(&schema)));
                schema
            }
        };
        array.import(&schema)
    }
}
