//! Makes whole files of what a process that died has left.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use ringmill_sdk::Host;

use crate::{
    file::{Places, UNFINISHED},
    footers,
};

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Files made whole, and the rows in them.
    pub(crate) files: u64,
    pub(crate) rows: u64,
    /// Files without a single row group, which were removed.
    removed: u64,
    /// Bytes behind the last row group that was whole, of all files.
    lost: u64,
}

/// Looks through the directories of all record types. Nothing in there is fatal: what cannot be
/// mended now is told and left for the next start.
pub(crate) fn recover(directory: &Path, host: &Host) -> Recovered {
    let mut all = Recovered::default();
    for record in fs::read_dir(directory).into_iter().flatten().flatten() {
        let record = record.path();
        for entry in fs::read_dir(record.join(UNFINISHED)).into_iter().flatten().flatten() {
            let Some(places) = Places::of(&record, &entry.file_name().to_string_lossy()) else {
                continue;
            };
            if let Err(error) = mend(&places, &mut all) {
                let place = places.data.display();
                host.warn(format_args!("cannot recover `{place}`, which is kept: {error}"));
            }
        }
    }
    let Recovered { files, rows, removed, lost } = all;
    if files + removed > 0 {
        host.warn(format_args!(
            "recovered {rows} rows in {files} files of `{}` from an engine that was killed; {} KiB \
             in them and {removed} other files held no whole row group and are gone",
            directory.display(),
            lost.div_ceil(1024),
        ));
    }
    all
}

fn mend(places: &Places, all: &mut Recovered) -> io::Result<()> {
    let data = match OpenOptions::new().read(true).write(true).open(&places.data) {
        // Footers whose file is whole, or gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fs::remove_file(&places.footers).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            });
        }
        data => data?,
    };
    // Another engine's that lives, or a file system without locks.
    if data.try_lock().is_err() {
        return Ok(());
    }
    let len = data.metadata()?.len();
    let mut kept = len;
    // It may lack no more than its name.
    let mut metadata = metadata(&data);
    if metadata.is_none()
        && let Ok(recorded) = fs::read(&places.footers)
        && let Some((end, footer)) = footers::last(&recorded, len)
    {
        data.set_len(end)?;
        data.write_all_at(footer, end)?;
        kept = end;
        metadata = self::metadata(&data);
    }
    all.lost += len - kept;
    let Some(metadata) = metadata else {
        places.remove()?;
        all.removed += 1;
        all.lost += kept;
        return Ok(());
    };
    data.sync_all()?;
    places.publish()?;
    all.files += 1;
    all.rows += u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
    Ok(())
}

/// That of a file which is whole.
fn metadata(data: &File) -> Option<ParquetMetaData> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(data).ok()?;
    (metadata.num_row_groups() > 0).then_some(metadata)
}
