//! A record batch as bytes: an Arrow IPC stream of one batch, with its schema, in zstd.
//!
//! Each has its schema with it, so that it can be read whatever chain the config has by then.

use std::{io, panic};

use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use ringmill_sdk::{Error, Result};
use zstd::bulk;

use super::frame::LONGEST;

/// As fast as a disk, and a tenth of the bytes.
const LEVEL: i32 = 1;
/// In front of the compressed bytes: their length before.
const LENGTH: usize = 4;

/// The batch as bytes.
///
/// # Errors
/// A batch that Arrow cannot write, or one of more than a GiB.
pub(super) fn encode(records: &RecordBatch) -> Result<Vec<u8>> {
    let plain = to_ipc(records)?;
    let length = u32::try_from(plain.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| Error::new("a record batch of more than a GiB"))?;
    let mut bytes = vec![0; LENGTH + zstd::zstd_safe::compress_bound(plain.len())];
    bytes[..LENGTH].copy_from_slice(&length.to_le_bytes());
    let used = bulk::compress_to_buffer(&plain, &mut bytes[LENGTH..], LEVEL)?;
    bytes.truncate(LENGTH + used);
    Ok(bytes)
}

/// The batch as an Arrow IPC stream.
///
/// # Errors
/// A batch that Arrow cannot write.
pub(super) fn to_ipc(records: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), records.schema_ref())?;
    writer.write(records)?;
    Ok(writer.into_inner()?)
}

/// The batch that [`encode`] made these bytes of.
///
/// # Errors
/// When they are something else.
pub(super) fn decode(bytes: &[u8]) -> Result<RecordBatch> {
    let (length, packed) = bytes.split_first_chunk::<LENGTH>().ok_or_else(damaged)?;
    let length = u32::from_le_bytes(*length);
    if length > LONGEST {
        return Err(damaged());
    }
    let plain = bulk::decompress(packed, length as usize)?;
    // Of some damage Arrow makes a panic. It would have to have the right checksum, but the
    // engine must not end by what lies on a disk.
    panic::catch_unwind(|| {
        let mut batches = StreamReader::try_new(io::Cursor::new(plain), None)?;
        Ok(batches.next().ok_or_else(damaged)??)
    })
    .unwrap_or_else(|_| Err(damaged()))
}

fn damaged() -> Error {
    Error::new("it is not a spilled record batch")
}
